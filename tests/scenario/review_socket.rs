//! The socket keeps evidence and votes from whoever has yet to vote, and one person is one person there too.

use sekisho_tests::browser::{Browser, PASSWORD, address, reviewer};
use sekisho_tests::planted::{self, Alert, EVIDENCE};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

fn started(alerts: &[Alert<'_>], people: &[(&str, &[&str])]) -> Option<(Site, Daemon)> {
    fetched()?;
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    for (name, more) in people {
        reviewer(&site, name, "reviewer", more);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::enrol(&mut store, "bob-1", "uid:4711");
    for one in alerts {
        planted::alert(&mut store, one);
    }
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    Some((site, daemon))
}

fn speaks(text: &str) -> bool {
    EVIDENCE.iter().any(|number| text.contains(number))
}

#[test]
fn alerts_are_listed_shown_and_watched_without_evidence_until_the_vote() {
    let alerts = [Alert::of("a-1", 2), Alert { person: "bob-1", camera: "yard", ..Alert::of("a-2", 1) }];
    let Some((site, mut daemon)) = started(&alerts, &[("ito", &[])]) else { return };
    let list = site.done(&["alerts", "list"]);
    let cells = |list: &str, id: &str| -> Vec<String> {
        let row = list.lines().find(|line| line.ends_with(id)).expect("a row");
        row.split_whitespace().map(str::to_owned).collect()
    };
    assert!(!speaks(&list), "{list}");
    assert_eq!(cells(&list, "a-1")[6], "-", "{list}");
    let show = site.done(&["alerts", "show", "a-1"]);
    assert!(!speaks(&show) && show.contains("llr -, cosine -, 6 frames, inter-eye 17.2 px"), "{show}");
    let (_, body) = daemon.request("GET", "/v1/alerts", "").expect("an answer");
    assert!(!speaks(&body) && !body.contains("\"votes\""), "{body}");

    let mut watch = Command::new(sekisho_tests::site::binary())
        .args(["--config", &site.path("sekisho.toml").display().to_string(), "alerts", "watch", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut heard = BufReader::new(watch.stdout.take().expect("its output"));
    std::thread::sleep(Duration::from_millis(700));
    // Somebody else votes on both: a-1 stays open, a-2 is decided.
    let mut ito = Browser::logged_in(address(&mut daemon), "ito");
    for id in ["a-1", "a-2"] {
        let answer =
            ito.post(&format!("/api/alerts/{id}/votes"), &json!({ "verdict": "confirm", "reason": "recognised" }));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut line = || {
        let mut line = String::new();
        heard.read_line(&mut line).expect("a line");
        line
    };
    let open = line();
    assert!(!speaks(&open) && !open.contains("ito") && open.contains("\"blind\":true"), "{open}");
    let ended: Value = serde_json::from_str(&line()).expect("JSON");
    assert!(ended["after"]["stage"] == "confirmed" && ended["after"]["llr"] == 9.25, "{ended}");
    assert_eq!(ended["after"]["votes"][0]["reviewer"], "reviewer:ito", "what is final is told whole");
    watch.kill().expect("own process");
    let _reaped = watch.wait();

    let said = site.done(&["alerts", "confirm", "a-1"]);
    assert!(said.contains("CONFIRMED") && said.contains("llr 9.25"), "{said}");
    assert_eq!(cells(&site.done(&["alerts", "list"]), "a-1")[6], "9.25");
    assert!(daemon.stop(5).success());
}

#[test]
fn a_linked_unix_user_votes_as_the_reviewer_and_only_once() {
    let alerts = [Alert::of("a-1", 2), Alert { person: "bob-1", ..Alert::of("a-2", 2) }];
    let Some((site, mut daemon)) = started(&alerts, &[("sato", &["--unix-user", "root"])]) else { return };
    let said = site.done(&["alerts", "confirm", "a-1"]);
    assert!(said.contains("MACHINE-CONFIRMED"), "{said}");
    assert_eq!(daemon.get("/v1/alerts/a-1")["votes"][0]["reviewer"], "reviewer:sato");
    let mut sato = Browser::logged_in(address(&mut daemon), "sato");
    let view = sato.get("/api/alerts/a-1").json();
    assert!(view["voted"] == true && view["blind"] == false && view["may-vote"] == false, "{view}");
    assert_eq!(sato.post("/api/alerts/a-1/votes", &json!({ "verdict": "confirm" })).status, 409);
    assert_eq!(sato.post("/api/alerts/a-2/votes", &json!({ "verdict": "confirm" })).status, 200);
    assert_eq!(site.cli(&["alerts", "confirm", "a-2"]).status.code(), Some(1));
    // Removing the reviewer does not make two people of one.
    let _said = site.done(&["reviewers", "remove", "sato"]);
    std::thread::sleep(Duration::from_secs(1));
    for id in ["a-1", "a-2"] {
        let again = site.cli(&["alerts", "confirm", id]);
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.code() == Some(1) && said.contains("already voted"), "{id}: {said}");
        assert_eq!(daemon.get(&format!("/v1/alerts/{id}"))["stage"], "machine-confirmed");
    }
    assert_eq!(sato.log_in("sato", PASSWORD).status, 401);
    assert!(daemon.stop(5).success());
}
