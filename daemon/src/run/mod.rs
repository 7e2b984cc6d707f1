//! The daemon put together and taken apart again.
//!
//! ```text
//! start:  networks proven -> store open -> gallery, calibration -> decide, evidence, vision, sinks, socket -> cameras -> READY
//! stop:   cameras, vision -> decide -> second network, evidence, gallery watch, calibration keeper, erasures -> sinks -> socket
//!         -> store -> networks
//! ```
//!
//! Each arrow of the stop waits for what was before it, so that whatever a camera still showed is decided, and whatever
//! was decided is written and told.

pub mod books;
pub mod counter;
pub mod decide;
pub mod erasures;
pub mod fleet;
pub mod gallery;
pub mod journal;
pub mod keeper;
pub mod look;
pub mod pause;
pub mod reload;
pub mod second;
pub mod sinks;
mod start;
pub mod suspension;
pub mod vision;

use crate::books::checkpoints;
use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::config::{Settings, WrittenKeys};
use crate::evidence::recorder;
use crate::notify::{self, Pulse};
use crate::providers::mark::WELL_AFTER;
use crate::sink::outlet::CamerasUp;
use crate::site;
use crate::status::access::AccessRules;
use crate::status::board::Board;
use crate::status::routes::{App, router};
use crate::status::server::{self, SocketCounts};
use crate::status::view::{Facts, Sources};
use crate::status::wire;
use counter::Counter;
use decide::Order;
use fleet::Fleet;
use journal::{StoreJournal, Subscriptions};
use pause::Pause;
use sd_notify::NotifyState;
use sekisho_camera::status::{CameraState, CameraStatus};
use sekisho_logic::time::Clock;
use sekisho_logic::watcher::Watcher;
use sekisho_store::{CommittedEvent, InstanceLock, StoreHandle, StoreThread, WorkerSettings};
use sinks::{Roster, Sinks};
use start::{Proven, Shared, Stoppable};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use suspension::Desk;
use tokio::sync::{broadcast, watch};

/// Events a slow listener may be behind before it is told that it missed some.
const BACKLOG_MAX: usize = 256;

/// Hanging pipelines that are borne.
const TEARDOWNS_STUCK_MAX: u64 = 3;

/// How long the store may take to write what waits when the daemon stops.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that runs.
pub struct Daemon {
    settings: Settings,
    clock: Arc<dyn Clock>,
    store: StoreHandle,
    orders: SyncSender<Order>,
    fleet: Arc<Fleet>,
    subscriptions: Subscriptions,
    access: watch::Sender<AccessRules>,
    stop_socket: watch::Sender<bool>,
    sinks: Sinks,
    decide: JoinHandle<()>,
    recorder: JoinHandle<()>,
    /// Ends when the deciding loop, which alone asks it, has ended.
    second: Option<JoinHandle<()>>,
    /// Threads that look after something until they are told to stop, by name.
    keepers: Vec<(&'static str, Stoppable)>,
    written: WrittenKeys,
    traffic: keeper::SharedTraffic,
    in_force: Arc<RwLock<Settings>>,
    app: App,
    reload_web: watch::Sender<u64>,
    _lock: InstanceLock,
}

/// Committed events go to listeners and wake the sinks. Called on the store thread, so it must not wait.
fn announce(alerts: broadcast::Sender<Arc<str>>, roster: Roster) -> impl FnMut(Vec<CommittedEvent>) + Send {
    move |committed| {
        for event in &committed {
            // Nobody listening is the normal case.
            let _listeners = alerts.send(wire::event(&event.event).to_string().into());
        }
        roster.wake_all();
    }
}

/// Which cameras stream, for sinks that show it.
fn cameras_up(fleet: &Arc<Fleet>) -> CamerasUp {
    let fleet = Arc::clone(fleet);
    let up = |status: CameraStatus| matches!(status.state, CameraState::Streaming | CameraState::Degraded);
    Arc::new(move || fleet.statuses().into_iter().map(|(id, status)| (id, up(status))).collect())
}

/// What status reads from.
fn sources(
    facts: Facts,
    (board, clock, fleet): (&Arc<Board>, &Arc<dyn Clock>, &Arc<Fleet>),
    store: &StoreHandle,
    counts: &Arc<SocketCounts>,
    roster: &Roster,
    (pause, in_force): (&Arc<Pause>, &Arc<RwLock<Settings>>),
) -> Sources {
    let in_force = Arc::clone(in_force);
    let (fleet, store, roster) = (Arc::clone(fleet), store.clone(), roster.clone());
    Sources {
        pause: Arc::clone(pause),
        facts,
        board: Arc::clone(board),
        clock: Arc::clone(clock),
        cameras: Box::new(move || fleet.statuses()),
        store: Box::new(move || store.health()),
        sinks: Box::new(move || roster.views()),
        undone: Box::new(move || in_force.read().unwrap_or_else(PoisonError::into_inner).undone()),
        socket: Arc::clone(counts),
        review: Arc::default(),
    }
}

/// What decides, as it is at the start.
fn watcher(settings: &Settings, proven: &Proven) -> Watcher {
    let calibration = Arc::new(proven.calibration.calibration.clone());
    Watcher::new(site::policy(settings), Arc::clone(&proven.galleries.first), calibration, proven.run)
}

impl Daemon {
    /// Starts everything but the cameras' first frames. Must be called inside a tokio runtime. `None` when `stop` said that it
    /// is to end while the networks were tried and loaded.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the configuration or a file it names is wrong, [`Failure::No`] when the machine refuses.
    pub fn start(config: &Path, settings: Settings, stop: &dyn Fn() -> bool) -> Result<Option<Self>, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let (written, now) = (WrittenKeys::read(config), clock.now());
        let Some(proven) = Proven::prove(&settings, &written, now, stop)? else { return Ok(None) };
        let (board, pulse) = (Arc::new(Board::default()), Arc::new(Pulse::default()));
        let pause = Arc::new(Pause::new(proven.paused.clone()));
        let (alerts, verdicts) = (broadcast::channel(BACKLOG_MAX).0, broadcast::channel(BACKLOG_MAX).0);
        let roster = Roster::default();
        let committed = announce(alerts.clone(), roster.clone());
        let watcher = watcher(&settings, &proven);
        let store = StoreThread::spawn(proven.store, Arc::clone(&clock), WorkerSettings::default(), committed)
            .map_err(|error| Failure::No(format!("no thread for the store: {error}")))?;
        let ((orders, inbox), counter) = (sync_channel(decide::ORDERS_MAX), Arc::<Counter>::default());
        let subscriptions = Subscriptions::new(RwLock::new(journal::subscriptions(&settings)));
        let shared = Shared {
            clock: &clock,
            store: &store,
            orders: &orders,
            board: &board,
            pulse: &pulse,
            verdicts: &verdicts,
            counter: &counter,
            pause: &pause,
        };
        let (watcher, second) = shared.seconded(watcher, proven.second, &proven.galleries)?;
        let journal = StoreJournal { store: store.clone(), subscriptions: Arc::clone(&subscriptions) };
        let desk = Desk { store: store.clone(), events: alerts.clone() };
        let (pictures, looks) = recorder::queue(&board);
        let decide =
            shared.decide(watcher, journal, (desk, pictures, second.queue), inbox, (proven.open, proven.suspended))?;
        let mut keepers = vec![("gallery", shared.gallery(proven.network, second.network, proven.galleries)?)];
        let (in_force, traffic) = (Arc::new(RwLock::new(settings.clone())), keeper::SharedTraffic::default());
        let recorder = shared.recorder(looks, &in_force)?;
        board.pin_calibration(keeper::view(&proven.calibration, &settings, now.wall));
        keepers.extend([
            ("calibration", shared.keeper(proven.places, proven.calibration, &in_force, &traffic, &alerts)?),
            ("books", shared.books(&in_force)?),
            ("erasures", shared.erasures(&in_force)?),
        ]);
        let fleet = Arc::new(Fleet::new(shared.workers(proven.eyes)?, Arc::clone(&clock)));
        let sinks = shared.sinks(roster.clone(), cameras_up(&fleet), &settings)?;
        let counts = Arc::new(SocketCounts::default());
        let sources =
            Arc::new(sources(proven.facts, (&board, &clock, &fleet), &store, &counts, &roster, (&pause, &in_force)));
        let web = shared.web(&sources, &alerts, &in_force)?;
        let app = App { sources, alerts, verdicts, orders: orders.clone(), store: store.clone(), sinks: roster, web };
        let (access, rules) = watch::channel(AccessRules::of(&settings.daemon));
        let (stop_socket, stop) = watch::channel(false);
        let reload_web = app.web.start(&stop);
        tokio::spawn(server::serve(proven.listener, router(app.clone()), rules, counts, stop));
        Ok(Some(Self {
            settings,
            clock,
            store,
            orders,
            fleet,
            subscriptions,
            access,
            stop_socket,
            sinks,
            decide,
            recorder,
            second: second.thread,
            keepers,
            written,
            traffic,
            in_force,
            app,
            reload_web,
            _lock: proven.lock,
        }))
    }

    /// Starts watching the configured cameras. One that cannot be watched is reported and left out; the others run.
    pub fn watch_cameras(&self) {
        let places = site::credentials(&self.settings);
        for (id, its) in self.settings.cameras.iter().filter(|(_, its)| its.enabled) {
            if let Err(error) = self.fleet.watch(&self.settings, id, its, &places) {
                tracing::error!("{error}; the camera is not watched until the configuration is reloaded");
            }
        }
    }

    /// Remembers what an accelerator did since the last look: that it failed, or that it has run well by now.
    fn look_at_accelerator(&self) {
        let (now, facts) = (self.clock.now(), &self.app.sources.facts);
        let fell = facts.standings.note_falls(&self.settings.daemon.state_dir, now.wall);
        start::note_falls(&self.store, fell, now.wall);
        if now.mono.since(facts.started.mono) >= WELL_AFTER {
            facts.standings.well();
        }
    }

    /// A reason to end and be started again: a pipeline that hangs in its tear-down keeps a thread and its memory for
    /// ever, and `rtspsrc` is known for it. A few are bearable; from then on a new process is the only cure.
    fn hanging_teardowns(&self) -> Option<String> {
        let stuck: u64 = self.fleet.statuses().iter().map(|(_, status)| status.teardowns_stuck_total).sum();
        (stuck >= TEARDOWNS_STUCK_MAX).then(|| {
            format!("{stuck} camera pipelines hang in GStreamer; ending so that the service manager starts anew")
        })
    }

    /// Stops everything, in order.
    pub fn stop(mut self) {
        notify::tell(&[NotifyState::Stopping]);
        self.fleet.stop();
        // The loop is gone only if it panicked, and then the process is on its way out already.
        let _gone = self.orders.send(Order::Stop);
        if self.decide.join().is_err() {
            tracing::error!("the deciding loop panicked");
        }
        if self.recorder.join().is_err() {
            tracing::error!("the evidence thread panicked");
        }
        if self.second.take().is_some_and(|second| second.join().is_err()) {
            tracing::error!("the second network's thread panicked");
        }
        for (name, (stop, thread)) in self.keepers {
            stop.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the {name} thread panicked");
            }
        }
        settle(&self.store, STORE_PATIENCE);
        self.sinks.stop_all();
        self.stop_socket.send_replace(true);
        let now = self.clock.now().wall;
        match self.store.call(move |store| store.end_run(now)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("the end of this run was not noted: {error}"),
            Err(error) => tracing::warn!("the end of this run was not noted: {error}"),
        }
        // After the last row: what was written until here is signed.
        books::Ledger::open(checkpoints::file(&self.settings)).sign(&self.store, self.clock.now());
        self.app.sources.facts.standings.well();
        drop(self.app);
        let report = self.store.stop(STORE_PATIENCE);
        if report.events_unsaved > 0 {
            tracing::error!(
                "{} alert events could not be written and are lost: the disk refused them",
                report.events_unsaved
            );
        }
        if let Err(error) = std::fs::remove_file(&self.settings.daemon.socket) {
            tracing::debug!("{}: {error}", self.settings.daemon.socket.display());
        }
    }
}

/// Waits until the store has written what it was given, so that the sinks can deliver it before they stop.
fn settle(store: &StoreHandle, within: Duration) {
    let step = Duration::from_millis(20);
    let mut left = within;
    while store.health().events_waiting > 0 && !left.is_zero() {
        std::thread::park_timeout(step);
        left = left.saturating_sub(step);
    }
}

/// Runs the daemon until SIGTERM or SIGINT; SIGHUP reloads the configuration.
///
/// # Errors
/// [`Failure`] when it cannot start.
pub fn run(config: &Path, settings: Settings) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("io").enable_all().build();
    let runtime = runtime.map_err(|error| Failure::No(format!("no I/O runtime: {error}")))?;
    let result = runtime.block_on(until_stopped(config, settings));
    // Open event streams must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(500));
    result
}

async fn until_stopped(config: &Path, settings: Settings) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let no_signals = |error| Failure::No(format!("signals cannot be received: {error}"));
    let (mut term, mut int, mut hup) = (
        signal(SignalKind::terminate()).map_err(no_signals)?,
        signal(SignalKind::interrupt()).map_err(no_signals)?,
        signal(SignalKind::hangup()).map_err(no_signals)?,
    );
    // Heard beside this task, which is busy for minutes while accelerators are tried.
    let (told, mut stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        told.send_replace(true);
    });
    let asked = stop.clone();
    let Some(mut daemon) = Daemon::start(config, settings, &move || *asked.borrow())? else {
        notify::tell(&[NotifyState::Stopping]);
        tracing::info!("stopped before the start was complete");
        return Ok(());
    };
    daemon.settings.undone().iter().for_each(|said| tracing::warn!("{said}"));
    daemon.watch_cameras();
    let cameras = daemon.settings.cameras.values().filter(|its| its.enabled).count();
    tracing::info!("watching {cameras} cameras; ask with `sekisho status`");
    notify::tell(&[NotifyState::Ready, NotifyState::Status(&format!("watching {cameras} cameras"))]);
    let mut look_around = tokio::time::interval(Duration::from_secs(10));
    let mut hanging = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            _ = look_around.tick() => {
                tokio::task::block_in_place(|| daemon.look_at_accelerator());
                hanging = daemon.hanging_teardowns();
                if hanging.is_some() {
                    break;
                }
            }
            _ = hup.recv() => {
                // Reading files and starting cameras may take a moment; nothing else waits on this task.
                tokio::task::block_in_place(|| daemon.reload(config));
            }
        }
    }
    tracing::info!("stopping");
    tokio::task::block_in_place(|| daemon.stop());
    tracing::info!("stopped");
    hanging.map_or(Ok(()), |said| Err(Failure::No(said)))
}
