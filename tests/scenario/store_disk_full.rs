//! The disk fills up at many points. Nothing crashes, nothing acknowledged is lost, and once there is room again everything
//! that waited is saved without a restart.

use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::WallMs;
use sekisho_store::{
    Append, AuditVerdict, Enrol, Enrolment, StorageState, Store, StoreError, StoreHandle, StoreThread, WorkerSettings,
};
use sekisho_tests::clock::RealClock;
use sekisho_tests::store::{SINK, Scratch, journal, new_grounds, open, setting, story};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn small_disk(options: &str) -> Option<Scratch> {
    match Scratch::mount(options) {
        Ok(scratch) => Some(scratch),
        Err(error) => {
            eprintln!("SKIPPED: a small file system cannot be mounted here ({error}); run as root to test a full disk");
            None
        }
    }
}

/// A fifth of the small disk; the log stays below half of this.
const BALLAST_BYTES: u64 = 640 * 1024;

fn settings(ballast_bytes: u64) -> WorkerSettings {
    WorkerSettings {
        ballast_bytes,
        batch_max: 8,
        retry_first: Duration::from_millis(2),
        retry_max: Duration::from_millis(20),
        tend_every: Duration::from_millis(50),
        ..WorkerSettings::default()
    }
}

fn spawn(store: Store, ballast_bytes: u64) -> (StoreHandle, Receiver<String>) {
    let (sender, committed) = channel();
    let handle = StoreThread::spawn(store, RealClock::start(), settings(ballast_bytes), move |events| {
        for committed in events {
            let _ = sender.send(committed.event.event_id());
        }
    });
    (handle.expect("a thread"), committed)
}

fn send(handle: &StoreHandle, alerts: std::ops::Range<u32>) -> BTreeSet<String> {
    let mut sent = BTreeSet::new();
    for alert in alerts {
        for event in story(&format!("a-{alert}"), WallMs(1000)).expect("a story") {
            sent.insert(event.event_id());
            handle.append(Append { event, sinks: vec![SINK.into()], actor: "daemon".into() }).expect("taken");
        }
    }
    sent
}

fn wait_until(handle: &StoreHandle, what: &str, condition: impl Fn(&sekisho_store::StoreHealth) -> bool) {
    for _ in 0..4000 {
        if condition(&handle.health()) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: never; {:?}", handle.health());
}

/// Whether the disk was full for the store, and whether it got through by giving up the ballast.
fn fill_and_free(leave_bytes: u64, ballast_bytes: u64) -> Option<(bool, bool)> {
    let disk = small_disk("size=3m")?;
    let (handle, committed) = spawn(open(&disk.path).expect("made"), ballast_bytes);
    wait_until(&handle, "ballast", |health| health.ballast || ballast_bytes == 0);
    let mut sent = send(&handle, 0..5);
    wait_until(&handle, "first alerts", |health| health.events_waiting == 0);
    let filler = disk.fill(leave_bytes).expect("filled");
    sent.extend(send(&handle, 5..50));
    wait_until(&handle, "saved or failed", |health| {
        health.events_waiting == 0 || matches!(health.state, StorageState::Failed { tries, .. } if tries >= 4)
    });
    let full = handle.health();
    let acked: BTreeSet<String> = committed.try_iter().collect();
    assert_eq!(full.events_refused_total + full.events_dropped_total, 0);
    // Even while nothing can be written, what was acknowledged can be read.
    let readable = handle.call(|store| journal(store).map(|(ids, _)| ids)).expect("asked").expect("read");
    assert!(acked.iter().all(|id| readable.contains(id)), "acknowledged and not readable at {leave_bytes}");

    std::fs::remove_file(filler).expect("room again");
    wait_until(&handle, "saved", |health| health.events_waiting == 0 && health.state == StorageState::Ok);
    wait_until(&handle, "ballast again", |health| health.ballast || ballast_bytes == 0);
    let report = handle.stop(PATIENCE);
    assert!(report.closed && report.events_unsaved == 0, "{report:?}");
    let acked: BTreeSet<String> = acked.into_iter().chain(committed.iter()).collect();
    assert_eq!(acked, sent, "at {leave_bytes}");

    let mut store = open(&disk.path).expect("opened again");
    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new(), "at {leave_bytes}");
    let (ids, _) = journal(&mut store).expect("journal");
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), sent);
    assert_eq!(ids.len(), sent.len());
    assert!(matches!(store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }));
    Some((full.state != StorageState::Ok, full.state == StorageState::Ok && !full.ballast && ballast_bytes > 0))
}

#[test]
fn a_full_disk_at_any_point_loses_nothing() {
    let levels = setting("SEKISHO_FILL_LEVELS", 60);
    let (mut failed, mut saved_by_ballast) = (0, 0);
    for level in 0..levels {
        // From nothing left to what the alerts of this test need, in steps that are no multiple of a page.
        // Every other level without a ballast, which would get all but the emptiest through.
        let ballast_bytes = if level % 2 == 0 { BALLAST_BYTES } else { 0 };
        let Some((full, ballast)) = fill_and_free(level * 1_200_000 / levels, ballast_bytes) else { return };
        failed += u64::from(full);
        saved_by_ballast += u64::from(ballast);
    }
    println!(
        "fill levels {levels} | held in memory until there was room {failed} | got through on the ballast {saved_by_ballast}"
    );
    assert!(failed > 0 && saved_by_ballast > 0, "the disk was never full; the test means nothing");
}

#[test]
fn a_restart_on_a_full_disk_gets_going_on_the_ballast() {
    let Some(disk) = small_disk("size=3m") else { return };
    let (handle, _) = spawn(open(&disk.path).expect("made"), BALLAST_BYTES);
    wait_until(&handle, "ballast", |health| health.ballast);
    assert!(handle.stop(PATIENCE).closed);
    let filler = disk.fill(0).expect("filled");
    let mut store = open(&disk.path).expect("opened on the ballast");
    store.append(&story("a-1", WallMs(1)).expect("a story")[0], &[SINK], "daemon").expect("journalled");
    drop(store);
    std::fs::remove_file(filler).expect("room again");
}

#[test]
fn a_full_disk_without_ballast_is_told_in_words_and_recovers_in_place() {
    let Some(disk) = small_disk("size=3m") else { return };
    let mut store = open(&disk.path).expect("made");
    let enrolment = |photos: usize| Enrolment {
        person: PersonId::try_new("ann-1").expect("a name"),
        list: ListId::try_new("staff").expect("a name"),
        display_name: None,
        grounds: new_grounds(),
        photos: (0..photos).map(|n| vec![u8::try_from(n).unwrap_or(0); 1 << 20]).collect(),
        faces: Vec::new(),
        templates: Vec::new(),
    };
    let error = store.enrol(Enrol::Add, &enrolment(4), "uid:0", WallMs(1)).expect_err("no room for four");
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.to_string().contains("disk is full"), "{error}");
    assert!(store.people().expect("read").is_empty(), "nothing of the enrolment is left");
    store.enrol(Enrol::Add, &enrolment(1), "uid:0", WallMs(2)).expect("room for one, on the same connection");
    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new());
}

#[test]
fn running_out_of_file_names_is_a_full_disk_and_does_not_stop_alerts() {
    let Some(disk) = small_disk("size=3m,nr_inodes=12") else { return };
    let store = open(&disk.path).expect("made");
    let (handle, committed) = spawn(store, BALLAST_BYTES);
    wait_until(&handle, "ballast", |health| health.ballast);
    let fillers: Vec<_> = (0..20)
        .map(|n| disk.path.join(format!("name-{n}")))
        .filter(|path| std::fs::File::create(path).is_ok())
        .collect();
    assert!(fillers.len() < 20, "file names did not run out");
    let sent = send(&handle, 0..10);
    wait_until(&handle, "saved", |health| health.events_waiting == 0);
    assert_eq!(committed.try_iter().collect::<BTreeSet<_>>(), sent, "no new file is needed while running");
    assert!(handle.stop(PATIENCE).closed);
    drop(handle);
    // Closing removed the log; opening needs names for it and for the shared-memory file. The ballast gives back one.
    for n in 20..24 {
        let _ = std::fs::File::create(disk.path.join(format!("name-{n}")));
    }
    let error = open(&disk.path).expect_err("no names left");
    assert!(error.to_string().contains("disk is full"), "{error}");
    std::fs::remove_file(&fillers[0]).expect("a name");
    let mut store = open(&disk.path).expect("opened");
    assert_eq!(journal(&mut store).expect("journal").0.len(), sent.len());
}
