//! A person is erased while the daemon runs: with an open alert, pictures, and messages waiting for a receiver that is away.

use sekisho_logic::id::PersonId;
use sekisho_logic::record::{AlertId, Stage};
use sekisho_logic::time::WallMs;
use sekisho_store::{InstanceLock, RetryPolicy};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched, files};
use sekisho_tests::store::story;
use std::path::PathBuf;

fn ann() -> PersonId {
    PersonId::try_new("ann-1").expect("a name")
}

/// An open alert with pictures, and an older one that a dead receiver was not told of. Gives the photograph and the pictures.
fn planted_site() -> (Site, Vec<PathBuf>) {
    let mut site = Site::new();
    let log = site.path("events.ndjson");
    site.configure(&format!(
        "[sinks.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\n[sinks.log]\nkind = \"event-log\"\npath = {:?}\n",
        log.display().to_string()
    ));
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4242");
    planted::alert(&mut store, &Alert::of("a-1", 1));
    for event in story("a-2", WallMs(planted::now().0 - 1000)).expect("a story") {
        store.append(&event, &["hook", "log"], "daemon").expect("appended");
    }
    let photo = store.photos(&ann()).expect("photos").remove(0).bytes;
    let rows = store.evidence(&AlertId("a-1".into())).expect("rows");
    let pictures = rows.iter().map(|row| store.evidence_picture(row.id).expect("read").expect("there"));
    let needles = tempfile::tempdir().expect("temp dir").keep();
    let written = std::iter::once(photo).chain(pictures).zip(0..).map(|(bytes, n)| {
        let path = needles.join(format!("needle-{n}"));
        std::fs::write(&path, bytes).expect("written");
        path
    });
    let written = written.collect();
    store.close().expect("closed");
    (site, written)
}

fn waiting(site: &Site) -> usize {
    planted::store(site).pending("hook", WallMs(i64::MAX / 2), &RetryPolicy::default(), 99).expect("asked").len()
}

#[test]
fn somebody_erased_while_the_daemon_runs_is_in_no_file_and_no_message_any_more() {
    if fetched().is_none() {
        return;
    }
    let (site, needles) = planted_site();
    let mut daemon: Daemon = site.start();
    daemon.wait_ready();
    let log = || std::fs::read_to_string(site.path("events.ndjson")).unwrap_or_default();
    daemon.wait_until("the event log", 10, |_| log().contains("a-2.4"));
    assert!(log().contains("\"ann-1\"") && waiting(&site) > 0, "the receiver is away");

    let said: serde_json::Value =
        serde_json::from_str(&site.done(&["gallery", "erase", "ann-1", "--json"])).expect("JSON");
    assert_eq!((said["erased"]["photos"].as_u64(), said["erased"]["pictures"].as_u64()), (Some(1), Some(2)), "{said}");
    assert_eq!(
        (said["erased"]["alerts"].as_u64(), said["erased"]["deliveries"].as_u64()),
        (Some(2), Some(4)),
        "{said}"
    );
    let ended = || planted::store(&site).alert(&AlertId("a-1".into())).expect("read").expect("there").record;
    daemon.wait_until("the open alert ended", 10, |_| ended().stage == Stage::Expired);
    let name = format!("erased-{}", said["erasure"]);
    assert_eq!(ended().person.as_str(), name);
    daemon.wait_until("the end told", 10, |_| log().contains(&name));
    let told = planted::store(&site).pending("hook", WallMs(i64::MAX / 2), &RetryPolicy::default(), 99).expect("asked");
    assert!(told.iter().all(|item| item.event.after.person.as_str() == name), "the receiver hears of nobody");
    assert!(
        daemon.get("/v1/alerts")["alerts"]
            .as_array()
            .is_none_or(|open| open.iter().all(|one| one["person"] != "ann-1"))
    );

    let mut verify = vec!["gallery", "verify-erasure", "ann-1", "--json"];
    let paths: Vec<String> = needles.iter().map(|path| path.display().to_string()).collect();
    paths.iter().for_each(|path| verify.extend(["--needle", path]));
    // A daemon that writes at that very moment has something in its log; then once more.
    let proven = (0..5).any(|_| site.cli(&verify).status.success());
    assert!(proven, "{}", String::from_utf8_lossy(&site.cli(&verify).stdout));
    assert!(daemon.stop(5).success());
    let told = site.done(&verify);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert!(told["proven"] == true && told["needles"].as_u64() > Some(50), "{told}");
    let mut holders: Vec<String> = files(site.dir.path())
        .into_iter()
        .filter(|(_, bytes)| bytes.windows(7).any(|window| window == b"\"ann-1\""))
        .map(|(path, _)| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    holders.sort();
    assert_eq!(holders, ["erased.ndjson", "events.ndjson"], "what was delivered keeps the opaque id");
    let found = site.cli(&[
        "gallery",
        "verify-erasure",
        "ann-1",
        "--needle",
        &paths[0],
        "--also",
        &needles[0].parent().expect("a folder").display().to_string(),
    ]);
    assert_eq!(found.status.code(), Some(1), "the search finds what is there");
    std::fs::remove_dir_all(needles[0].parent().expect("a folder")).expect("own folder");
}

#[test]
fn keys_are_not_renewed_while_a_daemon_runs() {
    let site = Site::new();
    let store = planted::store(&site);
    store.close().expect("closed");
    let _held = InstanceLock::acquire(&site.path("state")).expect("as a daemon does");
    let refused = site.cli(&["gallery", "rekey"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("another sekisho is running here"), "{said}");
}
