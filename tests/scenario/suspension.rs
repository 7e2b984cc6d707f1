//! Reviewers reject everything a camera raises: it is suspended, stays so over a restart, and somebody lifts it.

use sekisho_logic::id::{CameraId, PersonId};
use sekisho_logic::time::Clock as _;
use sekisho_logic::time::WallMs;
use sekisho_tests::clock::RealClock;
use sekisho_tests::site::{Daemon, Site, fetched};
use sekisho_tests::store;

const ALERTS: u32 = 12;

/// Puts machine-confirmed alerts of one camera and a dozen people into the store, waiting for a vote.
fn plant(site: &Site, now: WallMs) {
    let state = site.path("state");
    std::fs::create_dir_all(&state).expect("a writable folder");
    let key = state.join("store.key");
    let key = sekisho_store::DbKey::from_file(&key, sekisho_store::IfMissing::Create).expect("a key");
    let mut store = sekisho_store::Store::create_or_open(&state.join("sekisho.db"), key).expect("a store");
    for nth in 0..ALERTS {
        for mut event in store::story(&format!("a-{nth}"), now).expect("events").into_iter().take(2) {
            let person = PersonId::try_new(&format!("p-{nth}")).expect("a name");
            for record in event.before.iter_mut().chain([&mut event.after]) {
                record.person = person.clone();
                record.camera = CameraId::try_new("gate").expect("a name");
                record.expires = Some(WallMs(now.0 + 3_600_000));
            }
            store.append(&event, &[], "daemon").expect("journalled");
        }
    }
    store.close().expect("closed");
}

fn suspended(daemon: &Daemon) -> Vec<String> {
    let status = daemon.get("/v1/status");
    let all = status["suspensions"].as_array().expect("a list").iter();
    all.map(|one| format!("{} {}", one["kind"].as_str().unwrap_or("?"), one["subject"].as_str().unwrap_or("?")))
        .collect()
}

#[test]
fn a_camera_whose_alerts_are_all_rejected_is_suspended_until_somebody_lifts_it() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    plant(&site, RealClock::start().now().wall);
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the alerts are back", 5, |daemon| daemon.get("/v1/status")["alerts"]["open"] == ALERTS);
    for nth in 0..ALERTS {
        assert!(suspended(&daemon).is_empty() || nth > 3, "too early, after {nth} rejections");
        let _told = site.done(&["alerts", "reject", &format!("a-{nth}"), "--reason", "somebody else"]);
    }
    daemon.wait_until("the camera is suspended", 5, |daemon| suspended(daemon) == ["camera gate"]);
    assert!(site.done(&["status"]).contains("SUSPENDED    camera gate"), "said to people as well");
    assert!(daemon.log().contains("sekisho alerts resume camera gate"), "the log says what to do");
    let alert = daemon.get("/v1/alerts/a-0");
    assert_eq!((&alert["stage"], &alert["votes"][0]["reason"]), (&"rejected".into(), &"somebody else".into()));
    assert!(daemon.stop(5).success());

    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the suspension is back", 5, |daemon| suspended(daemon) == ["camera gate"]);
    let wrong = site.cli(&["alerts", "resume", "camera", "yard"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("camera yard is not suspended"));
    let _told = site.done(&["alerts", "resume", "camera", "gate"]);
    daemon.wait_until("it is lifted", 5, |daemon| suspended(daemon).is_empty());
    assert!(daemon.stop(5).success());
    let mut daemon = site.start();
    daemon.wait_ready();
    assert!(suspended(&daemon).is_empty(), "lifted for good");
}
