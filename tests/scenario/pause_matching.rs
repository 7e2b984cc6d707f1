//! The switch that stops all matching: within a second, over restarts, by those who may, and with its traces in the trail.

use sekisho_store::{DbKey, IfMissing, Store};
use sekisho_tests::browser::{self, Browser};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use serde_json::json;
use std::time::Duration;

/// A camera that shows three people for ever.
fn site() -> Option<Site> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?.canonicalize().expect("the clip");
    let mut site = Site::new();
    let source = format!("file://{}", clip.display());
    site.configure(&format!("[cameras.gate]\nsource = {source:?}\nlists = [\"watch\"]\nrepeat = \"forever\"\n"));
    site.review("listen = \"127.0.0.1:0\"\n");
    Some(site)
}

/// How often any network ran.
fn network_runs(daemon: &Daemon) -> f64 {
    let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
    let of = metrics.lines().filter(|line| line.starts_with("sekisho_vision_calls_total"));
    of.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn runs_on(daemon: &mut Daemon, what: &str) {
    let before = network_runs(daemon);
    daemon.wait_until(what, 20, |daemon| network_runs(daemon) > before + 3.0);
}

/// Nothing ran between a second after the switch and two seconds later, while the camera went on streaming.
fn stands_still(daemon: &Daemon) {
    std::thread::park_timeout(Duration::from_secs(1));
    let before = network_runs(daemon);
    std::thread::park_timeout(Duration::from_secs(2));
    let after = network_runs(daemon);
    assert!((after - before).abs() < 0.5, "networks ran {} times while paused", after - before);
    let status = daemon.get("/v1/status");
    assert_eq!((&status["state"], &status["cameras"]["streaming"]), (&json!("paused"), &json!(1)));
}

#[test]
fn matching_stops_within_a_second_stays_stopped_over_a_restart_and_goes_on_where_it_was() {
    let Some(site) = site() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    runs_on(&mut daemon, "networks at work");
    let said = site.done(&["pause-matching", "--reason", "the works council asked"]);
    assert!(said.contains("matching is paused"), "{said}");
    stands_still(&daemon);
    let said = site.done(&["status"]);
    assert!(said.contains("PAUSED") && said.contains("the works council asked"), "{said}");
    let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
    let shown = metrics.lines().find(|line| line.starts_with("sekisho_matching_paused"));
    assert!(shown.is_some_and(|line| line.ends_with(" 1.0")), "{shown:?}");
    assert!(site.done(&["pause-matching", "--reason", "again"]).contains("paused already"));
    assert!(daemon.stop(5).success());

    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the stream", 20, |daemon| daemon.get("/v1/status")["cameras"]["streaming"] == 1);
    stands_still(&daemon);
    assert!(network_runs(&daemon) < 0.5, "no frame was looked at since the start");
    assert!(site.done(&["resume-matching"]).contains("matching goes on"));
    runs_on(&mut daemon, "networks at work again");
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
    assert!(daemon.stop(5).success());

    // Without a daemon the switch is set in the database, and the next start begins paused.
    let _said = site.done(&["pause-matching", "--reason", "works on the line"]);
    let empty = site.cli(&["pause-matching", "--reason", " "]);
    assert_eq!(empty.status.code(), Some(1));
    let mut daemon = site.start();
    daemon.wait_ready();
    assert_eq!(daemon.get("/v1/status")["paused"]["reason"], "works on the line");
    assert!(daemon.stop(5).success());
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("a key");
    let mut store = Store::open_existing(&site.path("state/sekisho.db"), key).expect("a database");
    let trail = store.audit_entries(0, 1000).expect("the trail");
    let of: Vec<_> = trail.iter().filter(|entry| entry.action.starts_with("pause-matching")).collect();
    let actions: Vec<_> = of.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["pause-matching-on", "pause-matching-off", "pause-matching-on"]);
    assert!(of[0].actor.starts_with("uid:") && of[0].detail.contains("the works council asked"));
}

#[test]
fn on_the_page_admin_and_dpo_may_pause_and_nobody_else() {
    let Some(site) = site() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    for role in ["viewer", "reviewer", "admin", "dpo"] {
        browser::reviewer(&site, role, role, &[]);
    }
    let address = browser::address(&mut daemon);
    let why = json!({ "reason": "somebody objected" });
    for (role, status) in [("viewer", 403), ("reviewer", 403), ("dpo", 204)] {
        assert_eq!(Browser::logged_in(address, role).post("/api/matching/pause", &why).status, status, "{role}");
    }
    assert_eq!(daemon.get("/v1/status")["paused"]["by"], "reviewer:dpo");
    let seen = Browser::logged_in(address, "viewer").get("/api/suspensions").json();
    assert_eq!(seen["paused"]["reason"], "somebody objected", "everybody who looks is told");
    assert_eq!(Browser::logged_in(address, "reviewer").post("/api/matching/resume", &json!({})).status, 403);
    assert_eq!(Browser::logged_in(address, "admin").post("/api/matching/resume", &json!({})).status, 204);
    assert_eq!(daemon.get("/v1/status")["paused"], json!(null));
    let empty = Browser::logged_in(address, "admin").post("/api/matching/pause", &json!({ "reason": "" }));
    assert_eq!(empty.status, 400);
    assert!(daemon.stop(5).success());
}
