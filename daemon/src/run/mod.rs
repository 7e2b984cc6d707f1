//! The daemon put together and taken apart again.
//!
//! ```text
//! start:  networks proven -> store open -> gallery, calibration -> decide, vision, sinks, socket -> cameras -> READY
//! stop:   cameras, vision -> decide -> gallery watch -> sinks -> socket -> store -> networks
//! ```
//!
//! Each arrow of the stop waits for what was before it, so that whatever a camera still showed is decided, and whatever
//! was decided is written and told.

pub mod decide;
pub mod fleet;
pub mod gallery;
pub mod journal;
pub mod look;
pub mod reload;
pub mod vision;

use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::settings::SinkKind;
use crate::eyes::Loaded;
use crate::notify::{self, Pulse};
use crate::sink::event_log::EventLog;
use crate::site;
use crate::status::access::AccessRules;
use crate::status::board::Board;
use crate::status::routes::{App, router};
use crate::status::server::{self, SocketCounts};
use crate::status::view::{Facts, Sources};
use crate::status::wire;
use decide::{DecideLoop, Order};
use fleet::{Fleet, WorkerHandle};
use gallery::GalleryWatch;
use journal::{StoreJournal, Subscriptions};
use sd_notify::NotifyState;
use sekisho_camera::slot::Signal;
use sekisho_logic::time::{Clock, Now};
use sekisho_logic::watcher::Watcher;
use sekisho_store::{
    CommittedEvent, InstanceLock, LastRun, OpenAlert, RunInfo, Store, StoreHandle, StoreThread, WorkerSettings,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Events a slow listener may be behind before it is told that it missed some.
const BACKLOG_MAX: usize = 256;

/// How long the store may take to write what waits when the daemon stops.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Everything that runs.
pub struct Daemon {
    settings: Settings,
    clock: Arc<dyn Clock>,
    store: StoreHandle,
    orders: SyncSender<Order>,
    fleet: Arc<Fleet>,
    sources: Arc<Sources>,
    subscriptions: Subscriptions,
    access: watch::Sender<AccessRules>,
    stop_socket: watch::Sender<bool>,
    sinks: Sinks,
    pulse: Arc<Pulse>,
    decide: JoinHandle<()>,
    gallery: (Arc<AtomicBool>, JoinHandle<()>),
    app: App,
    _lock: InstanceLock,
}

type Wakers = Arc<RwLock<BTreeMap<String, Box<dyn Fn() + Send + Sync>>>>;

struct Sinks {
    running: BTreeMap<String, EventLog>,
    wakers: Wakers,
}

impl Sinks {
    fn start(
        &mut self,
        settings: &Settings,
        store: &StoreHandle,
        clock: &Arc<dyn Clock>,
        pulse: &Pulse,
    ) -> Result<(), Failure> {
        for (name, sink) in &settings.sinks {
            let name = name.as_str();
            if self.running.contains_key(name) {
                continue;
            }
            let SinkKind::EventLog { path } = &sink.kind;
            let beat = pulse.register(&format!("sink-{name}"), clock.now().mono);
            let log = EventLog::spawn(name, path, store.clone(), Arc::clone(clock), beat)
                .map_err(|error| Failure::No(format!("sink {name}: no thread: {error}")))?;
            let waker = Box::new(log.waker());
            self.wakers.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), waker);
            self.running.insert(name.to_owned(), log);
        }
        Ok(())
    }

    fn stop(&mut self, name: &str) {
        self.wakers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(sink) = self.running.remove(name) {
            sink.stop();
        }
    }

    fn stop_all(&mut self) {
        for name in self.running.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name);
        }
    }
}

/// Groups from the settings.
fn access_rules(settings: &Settings) -> AccessRules {
    let daemon = &settings.daemon;
    AccessRules {
        view: daemon.view_groups.clone(),
        review: daemon.review_groups.clone(),
        admin: daemon.admin_groups.clone(),
    }
}

/// What status says about thresholds.
fn thresholds(settings: &Settings) -> Value {
    let policy = site::policy(settings);
    let lists = policy.lists.iter().map(|(name, list)| {
        json!({
            "list": name,
            "target-fpir-per-mille": list.target_fpir * 1000.0,
            "confirm": match list.confirm {
                sekisho_logic::policy::ConfirmBy::Machine => "machine",
                sekisho_logic::policy::ConfirmBy::Human => "human",
                sekisho_logic::policy::ConfirmBy::TwoPerson => "two-person",
            },
        })
    });
    Value::Array(lists.collect())
}

fn vision_workers(settings: &Settings) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    settings
        .daemon
        .vision_workers
        .map_or(cores.saturating_sub(1).max(1), |count| usize::try_from(count).unwrap_or(1).max(1))
}

fn begin_run(store: &mut Store, now: Now) -> Result<(), Failure> {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let info = RunInfo { boot_id, version: env!("CARGO_PKG_VERSION").into(), pid: std::process::id() };
    match store.begin_run(&info, now.wall).map_err(Failure::no)? {
        LastRun::Broke { started } => tracing::warn!(
            "the run that began {} did not stop in order (power cut, kill or crash); its journal was recovered",
            started.to_rfc3339(),
        ),
        LastRun::None | LastRun::Stopped { .. } => {}
    }
    Ok(())
}

/// Committed events go to listeners and wake the sinks. Called on the store thread, so it must not wait.
fn announce(alerts: broadcast::Sender<Arc<str>>, wakers: Wakers) -> impl FnMut(Vec<CommittedEvent>) + Send {
    move |committed| {
        for event in &committed {
            // Nobody listening is the normal case.
            let _listeners = alerts.send(wire::event(&event.event).to_string().into());
        }
        for wake in wakers.read().unwrap_or_else(PoisonError::into_inner).values() {
            wake();
        }
    }
}

impl Daemon {
    /// Starts everything but the cameras' first frames. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the configuration or a file it names is wrong, [`Failure::No`] when the machine refuses.
    pub fn start(settings: Settings) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let started = clock.now();
        let mut loaded = Loaded::open(&settings)?;
        let calibration = loaded.calibration()?;
        let eyes = (0..vision_workers(&settings)).map(|_| loaded.eyes()).collect::<Result<Vec<_>, _>>()?;
        let mut store = site::open_store(&settings)?;
        let lock = InstanceLock::acquire(&settings.daemon.state_dir).map_err(Failure::no)?;
        begin_run(&mut store, started)?;
        let listener = server::bind(&settings.daemon.socket).map_err(Failure::no)?;
        let (digest, preprocessing) = (loaded.embedder_digest().to_owned(), loaded.preprocessing().to_owned());
        let rows = site::read_gallery(&mut store, &digest, &preprocessing, started).map_err(Failure::no)?;
        let version = rows.version;
        let people = Arc::new(site::matcher_gallery(rows, &digest)?);
        let open = store.open_alerts().map_err(Failure::no)?;
        let facts = Facts {
            started,
            models: loaded.about(),
            calibration: json!({ "id": calibration.id(), "decidable-cells": calibration.cells().filter(|cell| cell.2).count() }),
        };

        let (board, pulse) = (Arc::new(Board::default()), Arc::new(Pulse::default()));
        let (alerts, verdicts) = (broadcast::channel(BACKLOG_MAX).0, broadcast::channel(BACKLOG_MAX).0);
        let wakers = Wakers::default();
        let committed = announce(alerts.clone(), Arc::clone(&wakers));
        let store = StoreThread::spawn(store, Arc::clone(&clock), WorkerSettings::default(), committed)
            .map_err(|error| Failure::No(format!("no thread for the store: {error}")))?;
        let mut sinks = Sinks { running: BTreeMap::new(), wakers };
        sinks.start(&settings, &store, &clock, &pulse)?;

        let (orders, inbox) = sync_channel(decide::ORDERS_MAX);
        let subscriptions = Subscriptions::new(RwLock::new(journal::subscriptions(&settings)));
        let run = u32::try_from(started.wall.0.rem_euclid(0x0100_0000)).unwrap_or_default() ^ std::process::id();
        let decide = DecideLoop {
            watcher: Watcher::new(site::policy(&settings), Arc::clone(&people), Arc::new(calibration), run),
            clock: Arc::clone(&clock),
            orders: inbox,
            journal: StoreJournal { store: store.clone(), subscriptions: Arc::clone(&subscriptions) },
            board: Arc::clone(&board),
            verdicts: verdicts.clone(),
            pulse: Arc::clone(&pulse),
            watchdog: notify::watchdog_interval(),
        };
        let open = open.into_iter().map(|OpenAlert { record, sequence }| (record, sequence)).collect();
        let decide = spawn("decide", move || decide.run(open))?;
        let gallery = {
            let stop = Arc::new(AtomicBool::new(false));
            let watch = GalleryWatch {
                store: store.clone(),
                orders: orders.clone(),
                clock: Arc::clone(&clock),
                model_digest: digest,
                preprocessing,
                version,
                stop: Arc::clone(&stop),
                beat: pulse.register("gallery", started.mono),
            };
            (stop, spawn("gallery", move || watch.run())?)
        };
        let mut workers = Vec::new();
        for (at, eyes) in eyes.into_iter().enumerate() {
            let (signal, (assign, assigned)) = (Signal::new(), sync_channel(64));
            let worker = vision::VisionWorker {
                eyes: eyes.0,
                signal: Arc::clone(&signal),
                assigned,
                orders: orders.clone(),
                clock: Arc::clone(&clock),
                board: Arc::clone(&board),
                beat: pulse.register(&format!("vision-{at}"), started.mono),
            };
            let thread = spawn(&format!("vision-{at}"), move || worker.run())?;
            workers.push(WorkerHandle { signal, assign, thread });
        }
        let fleet = Arc::new(Fleet::new(workers, Arc::clone(&clock)));
        let counts = Arc::new(SocketCounts::default());
        let sources = Arc::new(Sources {
            facts,
            thresholds: RwLock::new(thresholds(&settings)),
            board,
            clock: Arc::clone(&clock),
            cameras: {
                let fleet = Arc::clone(&fleet);
                Box::new(move || fleet.statuses())
            },
            store: {
                let store = store.clone();
                Box::new(move || store.health())
            },
            socket: Arc::clone(&counts),
        });
        let app = App { sources: Arc::clone(&sources), alerts, verdicts, orders: orders.clone(), store: store.clone() };
        let (access, rules) = watch::channel(access_rules(&settings));
        let (stop_socket, stop) = watch::channel(false);
        tokio::spawn(server::serve(listener, router(app.clone()), rules, counts, stop));
        Ok(Self {
            settings,
            clock,
            store,
            orders,
            fleet,
            sources,
            subscriptions,
            access,
            stop_socket,
            sinks,
            pulse,
            decide,
            gallery,
            app,
            _lock: lock,
        })
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

    /// Stops everything, in order.
    pub fn stop(mut self) {
        notify::tell(&[NotifyState::Stopping]);
        self.fleet.stop();
        // The loop is gone only if it panicked, and then the process is on its way out already.
        let _gone = self.orders.send(Order::Stop);
        if self.decide.join().is_err() {
            tracing::error!("the deciding loop panicked");
        }
        self.gallery.0.store(true, Ordering::Relaxed);
        self.gallery.1.thread().unpark();
        if self.gallery.1.join().is_err() {
            tracing::error!("the gallery thread panicked");
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

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| Failure::No(format!("no thread for {name}: {error}")))
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
    let mut daemon = Daemon::start(settings)?;
    daemon.watch_cameras();
    let cameras = daemon.settings.cameras.values().filter(|its| its.enabled).count();
    tracing::info!("watching {cameras} cameras; ask with `sekisho status`");
    notify::tell(&[NotifyState::Ready, NotifyState::Status(&format!("watching {cameras} cameras"))]);
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                // Reading files and starting cameras may take a moment; nothing else waits on this task.
                tokio::task::block_in_place(|| daemon.reload(config));
            }
        }
    }
    tracing::info!("stopping");
    tokio::task::block_in_place(|| daemon.stop());
    tracing::info!("stopped");
    Ok(())
}
