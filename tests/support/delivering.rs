//! Deliveries driven by hand: a real store, a clock that is moved, and one sink.

use crate::clock::RealClock;
use crate::site::Site;
use crate::store::{open, story};
use sekisho::config::credentials::CredentialPlaces;
use sekisho::config::sink_settings::{SinkName, SinkSettings};
use sekisho::sink::delivery::{Delivery, Step};
use sekisho::sink::outlet::{Outlet, Setup};
use sekisho::sink::standing::{SinkView, Standing};
use sekisho_logic::id::CameraId;
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_store::{Append, DbKey, IfMissing, SinkDepth, Store, StoreHandle, StoreThread, WorkerSettings};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The sink's name in every test.
pub const NAME: &str = "hook";

/// When the tests begin, on the wall clock: late in November 2026.
pub const BEGINS: WallMs = WallMs(1_795_564_800_000);

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
pub struct MovedClock(AtomicU64);

impl MovedClock {
    /// Moves both clocks.
    pub fn pass(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Time since the beginning.
    #[must_use]
    pub fn passed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Now {
        let passed = self.0.load(Ordering::Relaxed);
        let wall = WallMs(BEGINS.0.saturating_add_unsigned(passed));
        Now { mono: Mono::from_millis(3_600_000 + passed), wall }
    }
}

/// Journals the four events of each of so many alerts in the database of a site whose daemon does not run, for these sinks.
///
/// # Panics
/// When the store refuses.
pub fn prefill(site: &Site, sinks: &[&str], prefix: &str, alerts: usize) {
    let state = site.path("state");
    if !state.exists() {
        std::fs::DirBuilder::new().mode(0o700).create(&state).expect("a folder");
    }
    let (path, key) = (state.join("sekisho.db"), state.join("store.key"));
    let if_missing = if path.exists() { IfMissing::Refuse } else { IfMissing::Create };
    let mut store = Store::create_or_open(&path, DbKey::from_file(&key, if_missing).expect("a key")).expect("a store");
    let now = RealClock::start().now().wall;
    for batch in batches(sinks, prefix, alerts, now) {
        store.append_all(&batch).expect("appended");
    }
    store.close().expect("closed");
}

/// Four events an alert, a hundred alerts at a time, so that a test that looks at memory is not the one that takes it.
fn batches(sinks: &[&str], prefix: &str, alerts: usize, now: WallMs) -> impl Iterator<Item = Vec<Append>> + use<> {
    let sinks: Vec<String> = sinks.iter().map(|name| (*name).to_owned()).collect();
    let prefix = prefix.to_owned();
    let story = move |alert| story(&format!("{prefix}-{alert}"), now).expect("names");
    (0..alerts.div_ceil(100)).map(move |batch| {
        let events = (100 * batch..alerts.min(100 * batch + 100)).flat_map(&story);
        events.map(|event| Append { event, sinks: sinks.clone(), actor: "daemon".to_owned() }).collect()
    })
}

/// One sink with everything it needs.
pub struct Bench {
    /// The clock.
    pub clock: Arc<MovedClock>,
    /// The store thread, on the same clock.
    pub store: StoreHandle,
    /// The deliveries.
    pub delivery: Delivery,
    /// The receiver's near end.
    pub outlet: Outlet,
    /// What the outlet was made of, to be changed and given back.
    pub setup: Setup,
    /// Cameras that stream, in this test.
    pub up: Arc<Mutex<Vec<(CameraId, bool)>>>,
    standing: Arc<Standing>,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

/// Settings of `[sinks.hook]` with these lines, and of the cameras above it.
///
/// # Panics
/// When they are wrong.
#[must_use]
pub fn settings(text: &str) -> (SinkSettings, Vec<CameraId>) {
    let settings = sekisho::config::parse(Path::new("test.toml"), text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let sink = settings.sinks[&SinkName::try_new(NAME).expect("a name")].clone();
    (sink, settings.cameras.into_keys().collect())
}

impl Bench {
    /// A store in a temporary folder and a sink of these lines of configuration (with `[sinks.hook]` in them).
    ///
    /// # Panics
    /// When the machine refuses.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::<MovedClock>::default();
        let shared: Arc<dyn Clock> = Arc::<MovedClock>::clone(&clock);
        let store = open(dir.path()).expect("a store");
        let store = StoreThread::spawn(store, Arc::clone(&shared), WorkerSettings::default(), drop).expect("a thread");
        let (settings, cameras) = settings(text);
        let up: Arc<Mutex<Vec<(CameraId, bool)>>> = Arc::default();
        let seen = Arc::clone(&up);
        let setup = Setup {
            name: NAME.to_owned(),
            settings: settings.clone(),
            cameras,
            places: CredentialPlaces::new(None, dir.path()),
            cameras_up: Arc::new(move || seen.lock().expect("whole").clone()),
        };
        let standing = Arc::new(Standing::new(NAME, settings.kind.as_str(), Outlet::address(&settings)));
        let delivery = Delivery::new(NAME, store.clone(), shared, settings.retry, Arc::clone(&standing));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { clock, store, delivery, outlet: Outlet::new(&setup), setup, up, standing, runtime, dir }
    }

    /// Its folder, in which credentials lie too.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a credential into the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn credential(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("own file");
    }

    /// Journals the four events of each of so many alerts for the sink.
    ///
    /// # Panics
    /// When the store refuses.
    pub fn happen(&self, prefix: &str, alerts: usize) {
        let now = self.clock.now().wall;
        for batch in batches(&[NAME], prefix, alerts, now) {
            let stored = self.store.call(move |store| store.append_all(&batch).map(drop));
            stored.expect("the thread runs").expect("appended");
        }
    }

    /// One step.
    pub fn step(&mut self) -> Step {
        self.runtime.block_on(self.delivery.step(&mut self.outlet))
    }

    /// Steps, moving the clock by every wait, until nothing is pending or `limit` has passed on the moved clock. Returns
    /// whether nothing is pending.
    pub fn run(&mut self, limit: Duration) -> bool {
        let until = self.clock.passed() + limit;
        loop {
            if let Step::Wait(wait) = self.step() {
                if self.depth().pending == 0 {
                    return true;
                }
                let left = until.saturating_sub(self.clock.passed());
                if left.is_zero() {
                    return false;
                }
                self.clock.pass(wait.min(left).max(Duration::from_millis(1)));
            }
        }
    }

    /// Runs something of the outlet's own.
    pub fn outlet<T>(&mut self, act: impl AsyncFnOnce(&mut Outlet) -> T) -> T {
        self.runtime.block_on(act(&mut self.outlet))
    }

    /// What lies where.
    ///
    /// # Panics
    /// When the store refuses.
    #[must_use]
    pub fn depth(&self) -> SinkDepth {
        self.store.call(|store| store.outbox_depth(NAME)).expect("the thread runs").expect("read")
    }

    /// How the sink is doing.
    #[must_use]
    pub fn view(&self) -> SinkView {
        self.standing.view()
    }
}
