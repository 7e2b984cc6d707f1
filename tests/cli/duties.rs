//! Separate duties: what a role does not permit is refused in a sentence, and what is done all the same is on record. The
//! callers stand behind sudo, as on a site.

use sekisho_tests::browser::{Browser, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Site, binary, fetched, grounds};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

/// Groups of every Debian system, and a user of each who is in no other.
const REVIEWERS: (&str, &str) = ("mail", "8");
const OFFICERS: (&str, &str) = ("news", "9");

fn as_user(site: &Site, uid: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("--config").arg(site.path("sekisho.toml")).args(args).env("SUDO_UID", uid).env("RUST_LOG", "warn");
    command.output().expect("the program starts")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn trail(site: &Site) -> Vec<(String, String, String)> {
    let rows = planted::store(site).audit_entries(0, 1000).expect("the trail");
    rows.into_iter().map(|row| (row.action, row.actor, row.detail)).collect()
}

fn site_with_people(daemon: &str) -> Option<Site> {
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: only root can stand for users behind sudo");
        return None;
    }
    let site = Site::new();
    let path = site.path("sekisho.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replace("[daemon]\n", &format!("[daemon]\n{daemon}"))).expect("writable");
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::enrol(&mut store, "bob-1", "uid:4711");
    planted::enrol(&mut store, "eve-1", "uid:4711");
    store.close().expect("closed");
    Some(site)
}

fn groups() -> String {
    format!("review-groups = [\"{}\"]\ndpo-groups = [\"{}\"]\n", REVIEWERS.0, OFFICERS.0)
}

#[test]
fn an_admin_does_not_erase_where_there_is_an_officer_and_an_officer_does_not_enrol() {
    let Some(site) = site_with_people(&groups()) else { return };
    let refused = as_user(&site, "4242", &["gallery", "remove", "ann-1"]);
    let sentence = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{sentence}");
    for word in ["erasure is for the data-protection officer", "news", "--break-glass", "user 4242", "admin"] {
        assert!(sentence.contains(word), "{word}: {sentence}");
    }
    assert_eq!(as_user(&site, OFFICERS.1, &["gallery", "remove", "ann-1"]).status.code(), Some(0), "the officer may");
    let mut enrol = vec!["gallery", "enroll", "new", "/absent.jpg"];
    let options = grounds();
    enrol.extend(options.iter().map(String::as_str));
    for (uid, role) in [(OFFICERS.1, "dpo"), (REVIEWERS.1, "reviewer")] {
        let refused = as_user(&site, uid, &enrol);
        assert!(refused.status.code() == Some(1) && said(&refused).contains("enrolling is for admin"), "{role}");
        assert!(said(&refused).contains(&format!("the role {role}")), "{}", said(&refused));
        let refused = as_user(&site, uid, &["reviewers", "remove", "x"]);
        assert!(said(&refused).contains("managing reviewers is for admin"), "{role}: {}", said(&refused));
    }
    assert!(said(&as_user(&site, "4242", &enrol)).contains("/absent.jpg"), "an admin comes as far as the photograph");
    let withdrawn = as_user(&site, OFFICERS.1, &["gallery", "withdraw", "bob-1"]);
    assert_eq!(withdrawn.status.code(), Some(0), "{}", said(&withdrawn));
    let refused = as_user(&site, REVIEWERS.1, &["gallery", "withdraw", "eve-1"]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
}

#[test]
fn whoever_breaks_the_glass_is_on_record_with_the_reason_before_it_is_done() {
    let Some(site) = site_with_people(&groups()) else { return };
    let empty = as_user(&site, "4242", &["gallery", "remove", "ann-1", "--break-glass", " "]);
    assert_eq!(empty.status.code(), Some(2), "{}", said(&empty));
    let broken = as_user(&site, "4242", &["gallery", "remove", "ann-1", "--break-glass", "court order 7"]);
    assert_eq!(broken.status.code(), Some(0), "{}", said(&broken));
    let rows = trail(&site);
    let glass = rows.iter().position(|(action, ..)| action == "break-glass").expect("on record");
    let erased = rows.iter().position(|(action, ..)| action == "remove" || action == "erase");
    assert!(erased.is_none_or(|erased| glass < erased), "{rows:?}");
    assert_eq!(rows[glass].1, "uid:4242");
    for word in ["court order 7", "erasure", "admin"] {
        assert!(rows[glass].2.contains(word), "{word}: {}", rows[glass].2);
    }
}

#[test]
fn without_an_officer_admins_stand_in_and_it_shows() {
    let Some(site) = site_with_people("") else { return };
    let done = as_user(&site, "4242", &["gallery", "remove", "ann-1"]);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let rows = trail(&site);
    assert!(rows.iter().any(|(action, actor, detail)| {
        action == "acting-as-dpo" && actor == "uid:4242" && detail.contains("erasure")
    }));
    if fetched().is_some() {
        let mut daemon = site.start();
        daemon.wait_ready();
        assert_eq!(daemon.get("/v1/status")["dpo"], "none");
        assert!(site.done(&["status"]).contains("[daemon] dpo-groups"));
        assert!(daemon.stop(5).success());
    }
}

#[test]
fn a_viewer_sees_no_faces_and_everybody_else_what_the_table_says() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    let people = [("vera", "viewer", 403), ("rei", "reviewer", 200), ("aki", "admin", 200), ("dan", "dpo", 200)];
    for (name, role, _) in people {
        reviewer(&site, name, role, &[]);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::alert(&mut store, &Alert::of("a-1", 2));
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let page = address(&mut daemon);
    for (name, role, faces) in people {
        let mut browser = Browser::logged_in(page, name);
        for path in ["/api/alerts/a-1/pictures/1", "/api/people/ann-1/photos/1"] {
            assert_eq!(browser.get(path).status, faces, "{role} {path}");
        }
        let view = browser.get("/api/alerts/a-1").json();
        let shown = view["pictures"].as_array().map_or(0, Vec::len) + view["photos"].as_array().map_or(0, Vec::len);
        assert_eq!(shown > 0, faces == 200, "{role}: {view}");
    }
    assert!(daemon.stop(5).success());
    let refused =
        trail(&site).into_iter().filter(|(action, actor, _)| action == "review-refused" && actor == "reviewer:vera");
    assert!(refused.count() >= 1, "a refusal by role is on record");
}

#[test]
fn the_socket_asks_the_same_table() {
    let (Some(_), Some(site)) = (fetched(), site_with_people(&groups())) else { return };
    let mut store = planted::store(&site);
    planted::alert(&mut store, &Alert::of("a-1", 2));
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    // On a site the group of the service opens the way to the socket; here everybody comes as far as the role.
    for (path, mode) in [(site.path(""), 0o755), (site.path("sekisho.sock"), 0o666)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
    }
    let as_peer = |uid: &str, args: &[&str]| {
        let uid: u32 = uid.parse().expect("a number");
        let mut command = Command::new(binary());
        command.arg("--config").arg(site.path("sekisho.toml")).args(args).uid(uid).gid(uid).env_remove("SUDO_UID");
        command.output().expect("the program starts")
    };
    for (uid, args, words) in [
        (OFFICERS.1, &["alerts", "confirm", "a-1"][..], &["voting", "review-groups or admin-groups"][..]),
        (OFFICERS.1, &["alerts", "resume", "person", "ann-1"], &["lifting a suspension", "admin-groups"]),
        (REVIEWERS.1, &["alerts", "resume", "person", "ann-1"], &["lifting a suspension", "admin-groups"]),
        ("4242", &["status"], &["looking", "view-groups"]),
    ] {
        let refused = as_peer(uid, args);
        let sentence = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{uid} {args:?}: {sentence}");
        assert!(words.iter().all(|word| sentence.contains(word)), "{uid} {args:?}: {sentence}");
    }
    for (uid, args) in [(OFFICERS.1, &["status"][..]), (OFFICERS.1, &["alerts", "list"]), (REVIEWERS.1, &["status"])] {
        let done = as_peer(uid, args);
        assert_eq!(done.status.code(), Some(0), "{uid} {args:?}: {}", said(&done));
    }
    let voted = as_peer(REVIEWERS.1, &["alerts", "confirm", "a-1"]);
    assert_eq!(voted.status.code(), Some(0), "{}", said(&voted));
    assert_eq!(daemon.get("/v1/status")["dpo"], "configured");
    assert!(daemon.stop(5).success());
}
