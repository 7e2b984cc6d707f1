//! Two-person confirmation from the camera to the sink: who said what is on record, and nobody outside hears before the
//! second person.

use sekisho_store::AuditEntry;
use sekisho_tests::browser::{Browser, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use sekisho_tests::stills::cut_last_frame;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TWO_PEOPLE: &str = "[lists.watch]\nconfirm = \"two-person\"\n";

fn sink(site: &Site, name: &str, stages: &str) -> (String, PathBuf) {
    let path = site.path(&format!("{name}.ndjson"));
    (
        format!("[sinks.{name}]\nkind = \"event-log\"\npath = {:?}\nstages = {stages}\n", path.display().to_string()),
        path,
    )
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn vote(browser: &mut Browser, alert: &str, verdict: &str) -> (u16, Value) {
    let body = json!({ "verdict": verdict, "reason": "recognised" });
    let answer = browser.post(&format!("/api/alerts/{alert}/votes"), &body);
    (answer.status, answer.json())
}

fn of_alert(site: &Site, alert: &str) -> Vec<(AuditEntry, Value)> {
    let rows = planted::store(site).audit_entries(0, 10_000).expect("the trail");
    let mine = rows.into_iter().filter(|row| row.subject.as_deref() == Some(alert));
    mine.map(|row| (serde_json::from_str(&row.detail).expect("JSON"), row)).map(|(detail, row)| (row, detail)).collect()
}

/// A person on a list that asks two people, the clip that shows them, a sink for what is confirmed and one for all.
fn watched() -> Option<(Site, PathBuf, PathBuf)> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?.canonicalize().expect("the clip");
    let mut site = Site::new();
    let photo = site.path("left.png");
    cut_last_frame(&clip, &[((16, 40, 140, 180), &photo)]).expect("a still");
    let root = site.enrol_as_another(&["left", &photo.display().to_string(), "--list", "watch"]);
    assert!(root, "these tests run as root");
    let (acts, confirmed) = sink(&site, "acts", "[\"confirmed\"]");
    let (all, heard) =
        sink(&site, "all", "[\"candidate\", \"machine-confirmed\", \"confirmed\", \"rejected\", \"expired\"]");
    site.review("listen = \"127.0.0.1:0\"");
    site.configure(&format!(
        "{TWO_PEOPLE}{acts}{all}[cameras.gate]\nsource = {:?}\nlists = [\"watch\"]\nrepeat = \"forever\"\n",
        format!("file://{}", clip.display()),
    ));
    reviewer(&site, "sato", "reviewer", &["--unix-user", "root"]);
    reviewer(&site, "ito", "reviewer", &[]);
    Some((site, confirmed, heard))
}

fn waiting(daemon: &mut Daemon) -> String {
    let open = |daemon: &Daemon| {
        daemon.get("/v1/alerts?stage=machine-confirmed")["alerts"][0]["id"].as_str().map(str::to_owned)
    };
    // On a busy machine too few frames of one passage are looked at; the clip comes again.
    daemon.wait_until("an alert that waits for two people", 180, |daemon| open(daemon).is_some());
    open(daemon).expect("just seen")
}

#[test]
fn from_camera_to_sink_two_different_people_confirm_one_by_socket_and_one_by_page_and_all_is_on_record() {
    let Some((site, confirmed, heard)) = watched() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    let id = waiting(&mut daemon);
    assert_eq!(daemon.get(&format!("/v1/alerts/{id}"))["votes-required"], 2);

    let first = site.done(&["alerts", "confirm", &id, "--reason", "recognised"]);
    assert!(first.contains("MACHINE-CONFIRMED"), "one person does not confirm: {first}");
    let again = site.cli(&["alerts", "confirm", &id]);
    assert_eq!(again.status.code(), Some(1), "nobody counts twice");
    let page = address(&mut daemon);
    let mut same = Browser::logged_in(page, "sato");
    assert_eq!(vote(&mut same, &id, "confirm").0, 409, "nor as the reviewer that the Unix user is");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(lines(&confirmed), Vec::<Value>::new(), "nobody heard before the second person");

    let mut ito = Browser::logged_in(page, "ito");
    let (status, view) = vote(&mut ito, &id, "confirm");
    assert_eq!((status, &view["stage"]), (200, &json!("confirmed")), "{view}");
    daemon.wait_until("the sink's line", 10, |_| !lines(&confirmed).is_empty());
    let told = lines(&confirmed);
    let voters = |event: &Value| -> Vec<String> {
        let votes = event["after"]["votes"].as_array().cloned().unwrap_or_default();
        votes.iter().filter_map(|vote| Some(vote["reviewer"].as_str()?.to_owned())).collect()
    };
    assert_eq!((told.len(), voters(&told[0])), (1, vec!["reviewer:sato".to_owned(), "reviewer:ito".to_owned()]));
    let mine =
        || -> Vec<Value> { lines(&heard).into_iter().filter(|event| event["after"]["id"] == id.as_str()).collect() };
    daemon.wait_until("all that happened", 10, |_| mine().iter().any(|event| event["type"] == "end"));
    let stages: Vec<_> = mine().iter().map(|event| event["after"]["stage"].clone()).collect();
    assert_eq!(stages, ["candidate", "machine-confirmed", "machine-confirmed", "confirmed"]);
    assert!(daemon.stop(5).success());

    // Who, when, against which gallery, with which evidence: regulation (EU) 2024/1689, Art. 12(3).
    let all = of_alert(&site, &id);
    assert!(all.iter().any(|(row, _)| row.action == "evidence-kept"), "the input that led to it");
    let trail: Vec<_> = all.into_iter().filter(|(row, _)| row.action == "alert").collect();
    let told: Vec<_> =
        trail.iter().map(|(row, detail)| (row.actor.as_str(), detail["stage"].as_str().unwrap_or_default())).collect();
    assert_eq!(
        told,
        [
            ("daemon", "candidate"),
            ("daemon", "machine-confirmed"),
            ("reviewer:sato", "machine-confirmed"),
            ("reviewer:ito", "confirmed"),
        ]
    );
    assert!(trail.is_sorted_by_key(|(row, _)| row.wall));
    for (row, detail) in &trail {
        assert!(
            row.wall.0 > 1_700_000_000_000 && detail["gallery-version"].as_i64().is_some_and(|v| v > 0),
            "{detail}"
        );
        assert_eq!(detail["model-digest"].as_str().map(str::len), Some(64), "{detail}");
        assert!(detail["calibration-id"].as_str().is_some_and(|id| !id.is_empty()), "{detail}");
        assert_eq!(detail["record-sha256"].as_str().map(str::len), Some(64), "{detail}");
        assert!(!row.detail.contains("Example"), "no names: {detail}");
    }
    assert!(site.done(&["audit", "verify"]).contains("whole"));
}

/// A daemon with one alert that waits for two people, and the sink that hears what is confirmed.
fn planted_site(alert: &Alert<'_>) -> Option<(Site, Daemon, PathBuf)> {
    fetched()?;
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    let (acts, confirmed) = sink(&site, "acts", "[\"confirmed\"]");
    site.configure(&format!("{TWO_PEOPLE}{acts}"));
    reviewer(&site, "sato", "reviewer", &["--unix-user", "root"]);
    reviewer(&site, "ito", "reviewer", &[]);
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:0");
    planted::alert(&mut store, alert);
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    Some((site, daemon, confirmed))
}

#[test]
fn one_vote_and_then_nobody_expires_and_no_sink_hears() {
    let Some((site, mut daemon, confirmed)) = planted_site(&Alert { lasts_ms: 40_000, ..Alert::of("a-1", 2) }) else {
        return;
    };
    let said = site.done(&["alerts", "confirm", "a-1"]);
    assert!(said.contains("MACHINE-CONFIRMED"), "{said}");
    daemon.wait_until("the end", 60, |daemon| daemon.get("/v1/alerts/a-1")["stage"] == "expired");
    let mut ito = Browser::logged_in(address(&mut daemon), "ito");
    assert_eq!(vote(&mut ito, "a-1", "confirm").0, 409, "what has ended is not confirmed any more");
    assert!(daemon.stop(5).success());
    assert_eq!(lines(&confirmed), Vec::<Value>::new());
}

#[test]
fn the_enroller_by_socket_and_again_by_page_is_one_person_and_another_one_decides() {
    let alert = Alert { enrolled_by: Some("uid:0"), ..Alert::of("a-1", 2) };
    let Some((site, mut daemon, confirmed)) = planted_site(&alert) else { return };
    let said = site.done(&["alerts", "confirm", "a-1"]);
    assert!(said.contains("MACHINE-CONFIRMED"), "the enroller alone: {said}");
    let mut sato = Browser::logged_in(address(&mut daemon), "sato");
    assert_eq!(vote(&mut sato, "a-1", "confirm").0, 409);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(lines(&confirmed), Vec::<Value>::new());
    let mut ito = Browser::logged_in(sato.address, "ito");
    assert_eq!(vote(&mut ito, "a-1", "confirm").1["stage"], "confirmed");
    daemon.wait_until("the sink's line", 10, |_| lines(&confirmed).len() == 1);
    assert!(daemon.stop(5).success());
}
