//! Logging in to the review page and out again: passwords, tickets, roles, and how a log-in ends.

use sekisho_tests::browser::{Browser, PASSWORD, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

fn started(people: &[(&str, &str)]) -> Option<(Site, Daemon, SocketAddr)> {
    fetched()?;
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    for (name, role) in people {
        reviewer(&site, name, role, &[]);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::alert(&mut store, &Alert::of("a-1", 1));
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let address = address(&mut daemon);
    Some((site, daemon, address))
}

fn trail(site: &Site) -> Vec<(String, String, String)> {
    let rows = planted::store(site).audit_entries(0, 1000).expect("the trail");
    rows.into_iter().map(|row| (row.action, row.actor, row.detail)).collect()
}

#[test]
fn a_reviewer_logs_in_looks_and_logs_out_and_the_cookie_is_worth_nothing_afterwards() {
    let Some((site, daemon, address)) = started(&[("sato", "reviewer")]) else { return };
    let mut browser = Browser::new(address);
    assert_eq!(browser.get("/").status, 200);
    assert_eq!(browser.get("/api/session").status, 401);
    let wrong = browser.log_in("sato", "correct horse batterz");
    let nobody = browser.log_in("nobody", PASSWORD);
    assert_eq!((wrong.status, wrong.body), (401, nobody.body), "nothing tells whether there is such a name");
    let answer = browser.log_in("Sato ", PASSWORD);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let line = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(line.starts_with("sekisho=") && line.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{line}");
    let me = browser.get("/api/session").json();
    assert_eq!(
        (&me["name"], &me["role"], &me["identity"]),
        (&json!("sato"), &json!("reviewer"), &json!("reviewer:sato"))
    );
    assert!(me["csrf"].as_str().is_some_and(|csrf| csrf.len() == 64) && me["non-commercial"] == true, "{me}");
    assert_eq!(browser.get("/api/queue").json()["waiting"], 1);

    let stolen = browser.clone();
    let before = browser.cookies["sekisho"].clone();
    assert_eq!(browser.log_in("sato", PASSWORD).status, 200);
    assert_ne!(browser.cookies["sekisho"], before, "each log-in has a value of its own");
    assert_eq!(stolen.clone().get("/api/session").status, 401, "and ends the one this browser had");
    let mut stolen = browser.clone();
    assert_eq!(browser.post("/api/logout", &json!({})).status, 204);
    assert!(!browser.cookies.contains_key("sekisho"));
    assert_eq!(stolen.get("/api/queue").status, 401, "a cookie kept from before is worth nothing");
    assert_eq!(daemon.get("/v1/status")["review"]["state"], "served");
    assert!(!daemon.log().contains(PASSWORD) && daemon.stop(5).success());
    let rows = trail(&site);
    let of = |action: &str, actor: &str| rows.iter().filter(|row| row.0 == action && row.1 == actor).count();
    assert_eq!((of("review-login", "reviewer:sato"), of("review-logout", "reviewer:sato")), (2, 2), "{rows:?}");
    assert_eq!((of("review-refused", "reviewer:sato"), of("review-refused", "unknown")), (1, 1), "{rows:?}");
    assert!(rows.iter().all(|row| !row.2.contains(PASSWORD) && !row.2.contains("argon2")), "{rows:?}");
    let list = site.done(&["reviewers", "list"]);
    assert!(list.contains("sato") && !list.contains("argon2") && !list.contains(" -  \n"), "{list}");
}

#[test]
fn a_reset_and_a_removal_end_log_ins_and_their_event_streams_within_a_second() {
    let Some((site, daemon, address)) = started(&[("sato", "reviewer"), ("ito", "viewer")]) else { return };
    let (mut sato, mut ito) = (Browser::logged_in(address, "sato"), Browser::logged_in(address, "ito"));
    let (status, mut events) = sato.listen().expect("an event stream");
    assert_eq!(status, 200);
    let said = site.done(&["reviewers", "reset", "sato", "--generate"]);
    let password = said.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password").to_owned();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(sato.get("/api/session").status, 401);
    assert!(events.ended());
    assert_eq!(sato.log_in("sato", PASSWORD).status, 401, "the old password");
    assert_eq!(sato.log_in("sato", &password).status, 200);
    let _said = site.done(&["reviewers", "remove", "ito"]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(ito.get("/api/cameras").status, 401);
    assert_eq!(ito.log_in("ito", PASSWORD).status, 401);
    assert_eq!(sato.get("/api/session").status, 200, "others stay");
    assert!(daemon.stop(5).success(), "open event streams do not hold up the end");
}

#[test]
fn roles_look_vote_and_lift_as_they_should() {
    let people = [("vera", "viewer"), ("rei", "reviewer"), ("aki", "admin"), ("dan", "dpo")];
    let Some((_site, daemon, address)) = started(&people) else { return };
    let vote = json!({ "verdict": "unsure", "reason": "too-small" });
    let lift = json!({ "kind": "person", "subject": "ann-1" });
    // What a vote and lifting a suspension that is not there come to.
    for ((name, _), (voting, lifting)) in people.iter().zip([(403, 403), (200, 403), (200, 404), (403, 403)]) {
        let mut browser = Browser::logged_in(address, name);
        for path in ["/api/queue", "/api/alerts", "/api/alerts/a-1", "/api/cameras", "/api/filters", "/api/suspensions"]
        {
            assert_eq!(browser.get(path).status, 200, "{name} {path}");
        }
        let voted = browser.post("/api/alerts/a-1/votes", &vote);
        assert_eq!(voted.status, voting, "{name}: {}", voted.text());
        let lifted = browser.post("/api/suspensions/lift", &lift);
        assert_eq!(lifted.status, lifting, "{name}: {}", lifted.text());
    }
    assert!(daemon.stop(5).success());
}

#[test]
fn a_ticket_from_the_socket_logs_in_once_as_whom_the_kernel_says() {
    let Some((site, daemon, address)) = started(&[]) else { return };
    let printed = site.done(&["review", "--print"]);
    let url = printed.lines().next().expect("an address").to_owned();
    let (page, ticket) = url.split_once("#ticket=").expect("a ticket");
    assert_eq!(page, format!("http://{address}/"));
    let mut browser = Browser::new(address);
    let answer = browser.present(ticket);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (me, uid) = (answer.json(), rustix::process::getuid().as_raw());
    assert_eq!((&me["role"], &me["identity"]), (&json!("admin"), &json!(format!("uid:{uid}"))));
    assert_eq!(Browser::new(address).present(ticket).status, 401, "once");
    assert_eq!(Browser::new(address).present(&"0".repeat(64)).status, 401);
    let document: serde_json::Value = serde_json::from_str(&site.done(&["review", "--json"])).expect("JSON");
    assert_eq!((&document["expires-s"], &document["certificate-sha256"]), (&json!(120), &json!(null)));

    // Linked to a reviewer since, the same Unix user is another person to the page: the log-in is over.
    reviewer(&site, "sato", "viewer", &["--unix-user", &uid.to_string()]);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(browser.get("/api/session").status, 401);
    let url = site.done(&["review", "--print"]);
    let ticket = url.lines().next().and_then(|line| line.split_once('=')).expect("a ticket").1.to_owned();
    let me = browser.present(&ticket).json();
    assert_eq!((&me["name"], &me["role"], &me["identity"]), (&json!("sato"), &json!("admin"), &json!("reviewer:sato")));
    assert!(daemon.stop(5).success());
}

#[test]
fn without_a_page_there_is_no_ticket_and_a_taken_port_takes_nothing_down() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    let mut daemon = site.start();
    daemon.wait_ready();
    let refused = site.cli(&["review", "--print"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("[review] enabled"), "{said}");
    assert!(daemon.stop(5).success());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    site.review(&format!("listen = \"127.0.0.1:{port}\""));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the failure in status", 10, |daemon| daemon.get("/v1/status")["review"]["state"] == "failed");
    let refused = site.cli(&["review"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("not served") && said.contains("in use"), "{said}");
    drop(taken);
    daemon.wait_until("the page", 15, |daemon| daemon.get("/v1/status")["review"]["state"] == "served");
    assert!(daemon.stop(5).success());
}

#[test]
fn reviewers_are_managed_with_clear_sentences() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    reviewer(&site, "sato", "reviewer", &["--unix-user", "root"]);
    let said = |args: &[&str], code: i32| {
        let output = site.cli(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    };
    let file = site.path("password").display().to_string();
    let add = |name, more: &[&str]| said(&[&["reviewers", "add", name, "--role", "reviewer"][..], more].concat(), 1);
    assert!(add("sato", &["--password-file", &file]).contains("there already"));
    assert!(add("ito", &["--password-file", &file, "--unix-user", "0"]).contains("sato already"));
    let wrong = |more: &[&str]| said(&[&["reviewers", "add", "ito", "--role", "reviewer"][..], more].concat(), 2);
    assert!(wrong(&["--unix-user", "no-such-user"]).contains("no Unix user"));
    std::fs::write(site.path("short"), "too short").expect("a writable folder");
    let short = site.path("short").display().to_string();
    assert!(wrong(&["--password-file", &short]).contains("chmod 600"), "the file is readable by others");
    let chmod = std::process::Command::new("chmod").arg("600").arg(&short).status();
    assert!(chmod.expect("chmod(1)").success());
    assert!(wrong(&["--password-file", &short]).contains("fewer than 10"));
    assert!(said(&["reviewers", "remove", "nobody"], 1).contains("no reviewer nobody"));
    assert!(said(&["reviewers", "reset", "nobody", "--generate"], 1).contains("no reviewer nobody"));
    let list: serde_json::Value = serde_json::from_str(&site.done(&["reviewers", "list", "--json"])).expect("JSON");
    assert_eq!(list["reviewers"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&list["reviewers"][0]["unix-user"], &list["reviewers"][0]["role"]),
        (&json!("root"), &json!("reviewer"))
    );
}
