use super::*;
use crate::handle::JobRefused;
use crate::outbox::RetryPolicy;
use crate::testing::{Bench, key, story};
use sekisho_logic::time::{Now, WallMs};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Instant;

struct RealClock(Instant);

#[expect(clippy::disallowed_methods, reason = "these tests wait for a real thread")]
fn real_clock() -> Arc<dyn Clock> {
    Arc::new(RealClock(Instant::now()))
}

impl Clock for RealClock {
    fn now(&self) -> Now {
        let millis = u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono: Mono::from_millis(millis), wall: WallMs(0) }
    }
}

fn quick() -> WorkerSettings {
    WorkerSettings {
        ballast_bytes: 0,
        retry_first: Duration::from_millis(2),
        retry_max: Duration::from_millis(10),
        tend_every: Duration::from_millis(20),
        ..WorkerSettings::default()
    }
}

struct Rig {
    handle: StoreHandle,
    committed: Receiver<Vec<CommittedEvent>>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Rig {
    fn new(settings: WorkerSettings) -> Self {
        let Bench { store, dir } = Bench::new();
        let path = store.path().to_path_buf();
        let (sender, committed) = channel();
        let handle = StoreThread::spawn(store, real_clock(), settings, move |events| drop(sender.send(events)))
            .expect("a thread");
        Self { handle, committed, path, _dir: dir }
    }

    fn append(&self, event: &sekisho_logic::record::AlertEvent) {
        let append = Append { event: event.clone(), sinks: vec!["log".into()], actor: "daemon".into() };
        self.handle.append(append).expect("taken");
    }

    /// Waits until `count` events were reported as committed, and names them.
    fn wait_for(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let events = self.committed.recv_timeout(PATIENCE).expect("committed in time");
            ids.extend(events.iter().map(|committed| committed.event.event_id()));
        }
        ids
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&crate::StoreHealth) -> bool) -> crate::StoreHealth {
        for _ in 0..4000 {
            let health = self.handle.health();
            if condition(&health) {
                return health;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{what}: never; {:?}", self.handle.health());
    }

    /// From here on the file cannot be opened, and the connection is not trusted: what an I/O error looks like.
    fn break_disk(&self) {
        let hidden = hidden(&self.path);
        self.handle
            .call(move |store| {
                store.spoil();
                std::fs::rename(store.path(), hidden).expect("renamed");
            })
            .expect("broken");
    }

    fn mend_disk(&self) {
        std::fs::rename(hidden(&self.path), &self.path).expect("renamed back");
    }
}

fn hidden(path: &Path) -> PathBuf {
    path.with_extension("hidden")
}

#[test]
fn events_are_committed_in_order_and_named_once() {
    let rig = Rig::new(quick());
    let mut sent = Vec::new();
    for alert in 0..40 {
        for event in story(&format!("a-{alert}")) {
            sent.push(event.event_id());
            rig.append(&event);
        }
    }
    assert_eq!(rig.wait_for(160), sent);
    rig.append(&story("a-0")[0]);
    let again = rig.committed.recv_timeout(PATIENCE).expect("answered");
    assert_eq!(again[0].appended, Appended::AlreadyThere { row: 1 });
    let health = rig.handle.health();
    assert_eq!((health.events_committed_total, health.events_waiting), (161, 0));
    let due = |store: &mut Store| store.pending("log", WallMs(9000), &RetryPolicy::default(), 100);
    assert_eq!(rig.handle.call(due).expect("asked").expect("pending").len(), 40, "the first of each alert");
    assert_eq!(rig.handle.stop(PATIENCE), StopReport { events_unsaved: 0, closed: true });
}

#[test]
fn events_wait_while_the_disk_refuses_and_are_saved_in_order_when_it_is_back() {
    let rig = Rig::new(quick());
    rig.append(&story("a-0")[0]);
    rig.wait_for(1);
    rig.break_disk();
    let mut sent = Vec::new();
    for event in story("a-1").into_iter().chain(story("a-2")) {
        sent.push(event.event_id());
        rig.append(&event);
    }
    let failed = rig.wait_until("failed", |h| matches!(h.state, StorageState::Failed { tries, .. } if tries > 3));
    assert_eq!((failed.events_waiting, failed.events_committed_total), (8, 1));
    assert_eq!(rig.handle.unsaved(3).iter().map(|e| e.event_id()).collect::<Vec<_>>(), sent[..3]);
    let asked = rig.handle.call(|store| store.journal_end()).expect("jobs still run");
    assert!(asked.is_err_and(|error| error.is_storage()));
    rig.mend_disk();
    assert_eq!(rig.wait_for(8), sent);
    assert_eq!(rig.wait_until("ok", |h| h.state == StorageState::Ok).events_waiting, 0);
    assert_eq!(rig.handle.call(|store| store.journal_end()).expect("asked").expect("read"), 9);
}

#[test]
fn a_full_ring_drops_the_oldest_and_counts() {
    let rig = Rig::new(WorkerSettings { ring_max: 5, ..quick() });
    rig.break_disk();
    for alert in 0..9 {
        rig.append(&story(&format!("a-{alert}"))[0]);
    }
    // What is being tried is out of the ring for a moment and still counts against it when it comes back.
    let health = rig.wait_until("full", |h| h.events_dropped_total == 4);
    assert!(health.events_waiting <= 5);
    rig.mend_disk();
    assert_eq!(rig.wait_for(5), ["a-4.1", "a-5.1", "a-6.1", "a-7.1", "a-8.1"]);
}

#[test]
fn a_refused_event_does_not_hold_up_the_others() {
    let rig = Rig::new(quick());
    let good = story("a-1");
    let (mut bad, mut conflict) = (story("a-2")[0].clone(), good[0].clone());
    bad.sequence = 0;
    conflict.after.votes_required = 9;
    // Held back until all are in, so that they meet in one batch.
    let (go, wait) = channel::<()>();
    rig.handle.submit(move |_| wait.recv().unwrap_or(())).expect("taken");
    for event in [&good[0], &bad, &good[1], &conflict, &good[2]] {
        rig.append(event);
    }
    go.send(()).expect("waiting");
    assert_eq!(rig.wait_for(3), ["a-1.1", "a-1.2", "a-1.3"]);
    let health = rig.wait_until("refused", |h| h.events_refused_total == 2);
    assert_eq!((health.state, health.events_waiting), (StorageState::Ok, 0));
}

#[test]
fn stopping_saves_what_waits_and_takes_no_more() {
    let rig = Rig::new(quick());
    for alert in 0..300 {
        rig.append(&story(&format!("a-{alert}"))[0]);
    }
    let answer = rig.handle.ask(|store| store.journal_end()).expect("taken");
    assert_eq!(rig.handle.stop(PATIENCE), StopReport { events_unsaved: 0, closed: true });
    assert!(answer.recv().expect("answered").is_ok());
    let late = Append { event: story("late")[0].clone(), sinks: Vec::new(), actor: "daemon".into() };
    assert_eq!(rig.handle.append(late), Err(JobRefused::Stopped));
    assert_eq!(rig.handle.call(|_| ()), Err(JobRefused::Stopped));
    assert_eq!(rig.handle.stop(PATIENCE).events_unsaved, 0, "stopping twice is harmless");
    let mut store = Store::open_existing(&rig.path, key()).expect("opened");
    assert_eq!(store.journal_end().expect("end"), 300);
}

#[test]
fn stopping_on_a_broken_disk_keeps_the_deadline_and_says_what_is_lost() {
    let rig = Rig::new(WorkerSettings { retry_first: PATIENCE, retry_max: PATIENCE, ..quick() });
    rig.break_disk();
    for event in story("a-1") {
        rig.append(&event);
    }
    rig.wait_until("failed", |h| matches!(h.state, StorageState::Failed { .. }));
    let clock = real_clock();
    let report = rig.handle.stop(Duration::from_millis(150));
    assert_eq!(report, StopReport { events_unsaved: 4, closed: false });
    assert!(clock.now().mono.as_millis() < 2000, "the deadline was 150 ms");
}

#[test]
fn a_disk_that_comes_back_while_stopping_is_still_used() {
    let rig = Rig::new(WorkerSettings { retry_first: PATIENCE, retry_max: PATIENCE, ..quick() });
    rig.break_disk();
    rig.append(&story("a-1")[0]);
    rig.wait_until("failed", |h| matches!(h.state, StorageState::Failed { .. }));
    rig.mend_disk();
    assert_eq!(rig.handle.stop(PATIENCE), StopReport { events_unsaved: 0, closed: true });
}

#[test]
fn too_many_requests_are_refused_and_counted() {
    let rig = Rig::new(WorkerSettings { jobs_max: 2, ..quick() });
    let (go, wait) = channel::<()>();
    rig.handle.submit(move |_| wait.recv().unwrap_or(())).expect("taken");
    rig.wait_until("taken up", |h| h.jobs_waiting == 0);
    rig.handle.submit(|_| ()).expect("one waits");
    let answer = rig.handle.ask(|_| 7).expect("two wait");
    assert_eq!(rig.handle.submit(|_| ()), Err(JobRefused::Full));
    assert_eq!(rig.handle.health().jobs_refused_total, 1);
    go.send(()).expect("waiting");
    assert_eq!(answer.recv(), Ok(7));
}

#[test]
fn the_thread_ends_with_its_last_handle() {
    let Rig { handle, committed, path, _dir } = Rig::new(quick());
    let other = handle.clone();
    let append = Append { event: story("a-1")[0].clone(), sinks: Vec::new(), actor: "daemon".into() };
    drop(handle);
    other.append(append).expect("one handle is left");
    drop(other);
    assert_eq!(committed.recv_timeout(PATIENCE).expect("saved first").len(), 1);
    assert_eq!(committed.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    let mut store = Store::open_existing(&path, key()).expect("opened");
    assert_eq!(store.journal_end().expect("end"), 1);
}

#[test]
fn the_ballast_is_set_aside_and_the_room_is_known() {
    let rig = Rig::new(WorkerSettings { ballast_bytes: 200_000, ..quick() });
    let health = rig.wait_until("set aside", |h| h.ballast);
    assert!(health.disk.is_some() && health.space.is_some_and(|space| space.free_bytes > 0));
    let file = rig.path.with_file_name("ballast");
    std::fs::remove_file(&file).expect("removed");
    rig.wait_until("set aside again", |h| h.ballast && file.exists());
}
