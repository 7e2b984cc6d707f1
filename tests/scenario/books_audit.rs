//! The audit trail of a real daemon: what is in it, that it verifies, and that somebody with the database but without the
//! signing key is found out (P12).

use sekisho_logic::id::PersonId;
use sekisho_logic::record::{AlertEvent, AlertId, Cause, Verdict, Vote};
use sekisho_store::{Correction, Store};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Site, fetched};
use serde_json::Value;
use std::path::Path;

fn json(site: &Site, args: &[&str]) -> Value {
    serde_json::from_str(&site.done(args)).expect("JSON")
}

fn rows(site: &Site) -> Vec<Value> {
    json(site, &["audit", "show", "--json", "--limit", "10000"])["rows"].as_array().expect("rows").clone()
}

fn verify(site: &Site, more: &[&str]) -> (Option<i32>, Value) {
    let output = site.cli(&[&["audit", "verify", "--json"], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn copy(from: &Path, to: &Path) {
    let _size = std::fs::copy(from, to).expect("copied");
}

#[test]
fn start_reload_and_stop_are_in_the_trail_and_changed_keys_without_their_values() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = site.start();
    daemon.wait_ready();
    site.write_config(
        "[sinks.desk]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/canary-path\"\n[drift]\nwindow-tracks = 600\n",
    );
    daemon.signal("HUP");
    daemon.wait_until("the reload", 20, |_| rows(&site).iter().any(|row| row["action"] == "config-reloaded"));
    site.write_config("[decide]\nmode = \"nonsense\"\n");
    daemon.signal("HUP");
    daemon.wait_until("the refusal", 20, |daemon| daemon.log().contains("the configuration in force stays as it was"));
    site.write_config("");
    daemon.wait_until("its row", 20, |_| rows(&site).iter().any(|row| row["action"] == "config-refused"));
    assert!(daemon.stop(10).success());
    let rows = rows(&site);
    let actions: Vec<_> = rows.iter().filter_map(|row| row["action"].as_str()).collect();
    for action in ["run-start", "config-loaded", "models-loaded", "gallery-loaded", "calibration-loaded", "run-stop"] {
        assert_eq!(actions.iter().filter(|one| **one == action).count(), 1, "{action}: {actions:?}");
    }
    let of = |action: &str| rows.iter().find(|row| row["action"] == action).expect(action)["detail"].clone();
    let changed = of("config-reloaded");
    let names: Vec<_> = changed["changed"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(names, ["drift.window-tracks", "sinks.desk.kind", "sinks.desk.url"]);
    assert_eq!(changed["sinks-added"][0], "desk");
    assert!(!rows.iter().any(|row| row.to_string().contains("canary-path")), "values are never told");
    assert_eq!(of("models-loaded")["embedder"]["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(of("gallery-loaded")["people"], 0);

    // The last row, the stop itself, is signed.
    let (code, verdict) = verify(&site, &[]);
    assert_eq!((code, &verdict["whole"]), (Some(0), &Value::Bool(true)), "{verdict}");
    assert_eq!(verdict["signed-to"], rows.last().expect("rows")["seq"]);
    let key = json(&site, &["audit", "key", "--json"]);
    let file = std::fs::read_to_string(site.path("state/audit-checkpoints.ndjson")).expect("checkpoints");
    let last: Value = serde_json::from_str(file.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["key-id"], key["key-id"]);
}

#[test]
fn a_trail_that_was_cut_off_is_found_by_verify_and_by_the_daemon_which_signs_it_no_more() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let run = |site: &Site| {
        let mut daemon = site.start();
        daemon.wait_ready();
        assert!(daemon.stop(10).success());
    };
    run(&site);
    let (database, before) = (site.path("state/sekisho.db"), site.path("before.db"));
    copy(&database, &before);
    let rows_before = rows(&site).len();
    run(&site);
    let kept = site.path("elsewhere.ndjson");
    copy(&site.path("state/audit-checkpoints.ndjson"), &kept);

    // Somebody puts back what was there before, and takes the checkpoints of this box along.
    copy(&before, &database);
    std::fs::remove_file(site.path("state/audit-checkpoints.ndjson")).expect("there");
    assert_eq!(verify(&site, &[]).0, Some(0), "what lies here alone cannot tell");
    let place = kept.display().to_string();
    let (code, verdict) = verify(&site, &["--checkpoints", &place]);
    assert_eq!(code, Some(1), "{verdict}");
    assert_eq!(
        (&verdict["broken"]["how"], verdict["broken"]["seq"].as_u64()),
        (&"truncated".into(), Some(rows_before as u64 + 1))
    );

    // With its file in place the daemon finds it itself.
    copy(&kept, &site.path("state/audit-checkpoints.ndjson"));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the alarm", 20, |daemon| daemon.log().contains("THE AUDIT TRAIL IS BROKEN at row"));
    assert!(daemon.stop(10).success());
    assert_eq!(
        std::fs::read(&kept).expect("read"),
        std::fs::read(site.path("state/audit-checkpoints.ndjson")).expect("read"),
        "nothing more was signed"
    );
    assert_eq!(verify(&site, &[]).0, Some(1));
    let other = "11".repeat(32);
    assert_eq!(verify(&site, &["--checkpoints", &place, "--public-key", &other]).1["broken"]["how"], "signature");
    assert_eq!(verify(&site, &["--public-key", "nonsense"]).0, Some(2));
}

/// A reviewer's vote that confirms the alert.
fn vote(store: &mut Store, alert: &str, reviewer: &str) {
    let open = store.alert(&AlertId(alert.into())).expect("read").expect("there");
    let mut after = open.record.clone();
    let wall = planted::now();
    after.votes.push(Vote {
        reviewer: reviewer.into(),
        verdict: Verdict::Confirm,
        reason: Some("canary-reason".into()),
        wall,
    });
    (after.changed, after.cause) = (wall, Cause::Vote);
    let event = AlertEvent { before: Some(open.record), after, sequence: open.sequence + 1 };
    store.append(&event, &["desk"], reviewer).expect("appended");
}

#[test]
fn what_the_law_asks_of_one_alert_is_told_and_no_row_holds_a_name_or_a_face() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:0");
    drop(store);
    let mut daemon = site.start();
    daemon.wait_ready();
    let mut store = planted::store(&site);
    planted::alert(&mut store, &Alert::of("a-1", 2));
    vote(&mut store, "a-1", "reviewer:sato");
    vote(&mut store, "a-1", "reviewer:ito");
    let ann = PersonId::try_new("ann-1").expect("a name");
    let correction = Correction { list: None, display_name: Some("Canary Anna".into()) };
    let _changed = store.correct(&ann, &correction, "uid:0", planted::now()).expect("corrected");
    let photo = store.photos(&ann).expect("photos").remove(0).bytes;
    drop(store);
    let out = site.path("export").display().to_string();
    let _said = site.done(&["gallery", "export", "ann-1", "--out", &out]);
    let _said = site.done(&["gallery", "hold", "ann-1", "--reason", "case 7"]);
    let _said = site.done(&["breach-report"]);
    assert!(daemon.stop(10).success());

    let sheet = json(&site, &["audit", "show", "--alert", "a-1", "--json"]);
    let period = &sheet["period"];
    assert!(period["start"].is_string() && period["end"].is_string(), "(a) {sheet:#}");
    assert!(sheet["reference-database"]["detail"]["sha256"].is_string(), "(b) {sheet:#}");
    let pictures = sheet["input"]["pictures"].as_array().expect("(c) pictures");
    assert_eq!(pictures.len(), 2);
    assert!(pictures.iter().all(|one| one["sha256"].as_str().is_some_and(|hash| hash.len() == 64)));
    let reviewers: Vec<_> = sheet["verified-by"].as_array().expect("(d)").iter().map(|one| &one["reviewer"]).collect();
    assert_eq!(reviewers, ["reviewer:sato", "reviewer:ito"]);
    let told = site.done(&["audit", "show", "--alert", "a-1"]);
    for part in ["(a) period of use", "(b) reference database", "(c) input", "(d) verified by        reviewer:sato"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(site.cli(&["audit", "show", "--alert", "a-2"]).status.code(), Some(1));

    let trail: String = rows(&site).iter().map(Value::to_string).collect();
    for canary in ["Canary", "Ann Example", "canary-reason", "0.6123"] {
        assert!(!trail.contains(canary), "{canary}");
    }
    let piece = &photo[photo.len() / 2..photo.len() / 2 + 12];
    assert!(!trail.contains(&hex::encode(piece)), "no photograph");
    for action in ["enrol", "alert", "evidence-kept", "correct", "export", "hold", "breach-report"] {
        assert!(trail.contains(&format!("\"action\":\"{action}\"")), "{action}");
    }
    assert_eq!(verify(&site, &[]).0, Some(0));
}
