//! The two halves of a start: everything is proven first, then the threads are set going.

use super::books::Books;
use super::counter::Counter;
use super::decide::{DecideLoop, Order};
use super::erasures::ErasureWatch;
use super::fleet::WorkerHandle;
use super::gallery::GalleryWatch;
use super::journal::StoreJournal;
use super::keeper::{Keeper, SharedTraffic};
use super::pause::Pause;
use super::second::{SecondQueue, SecondWorker};
use super::sinks::{Roster, Sinks};
use super::suspension::Desk;
use super::vision::VisionWorker;
use crate::cmd::Failure;
use crate::config::{Settings, WrittenKeys};
use crate::evidence::recorder::{PictureQueue, Recorder};
use crate::eyes::{Loaded, OpenEyes};
use crate::keys;
use crate::notify::{self, Pulse};
use crate::providers::standing::Shown;
use crate::second::{OpenSecond, SecondEyes};
use crate::sink::outlet::CamerasUp;
use crate::site::{self, CalibrationPlaces, ChosenCalibration, Galleries};
use crate::status::board::{Board, SecondPeople};
use crate::status::server;
use crate::status::view::{Facts, Sources};
use crate::web::{Around, Web};
use sekisho_camera::slot::Signal;
use sekisho_logic::record::AlertRecord;
use sekisho_logic::second::SecondNetwork;
use sekisho_logic::suspension::Suspension;
use sekisho_logic::time::{Clock, Now, WallMs};
use sekisho_logic::watcher::{AlertPictures, Watcher};
use sekisho_store::{
    InstanceLock, LastRun, Network, OpenAlert, PAUSE_MATCHING, RunInfo, Store, StoreError, StoreHandle, Switch,
};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use tokio::sync::broadcast;

/// What must be right before anything runs: networks, calibration, store, socket.
pub(super) struct Proven {
    pub(super) eyes: Vec<OpenEyes>,
    pub(super) second: Option<OpenSecond>,
    /// What the embedder's templates are bound to.
    pub(super) network: Network,
    pub(super) calibration: ChosenCalibration,
    pub(super) places: CalibrationPlaces,
    pub(super) store: Store,
    pub(super) lock: InstanceLock,
    pub(super) listener: tokio::net::UnixListener,
    pub(super) galleries: Galleries,
    pub(super) open: Vec<(AlertRecord, u32)>,
    pub(super) suspended: Vec<Suspension>,
    pub(super) paused: Option<Switch>,
    pub(super) facts: Facts,
    pub(super) run: u32,
}

impl Proven {
    /// Opens and checks everything; `None` when `stop` says that the daemon is to end before it has begun.
    pub(super) fn prove(
        settings: &Settings,
        written: &WrittenKeys,
        started: Now,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, Failure> {
        // At the very first start nobody has made it yet; a failure is said by the lock.
        let _said_next = site::make_private(&settings.daemon.state_dir);
        // Before anything is tried: what is remembered of accelerators is one daemon's.
        let lock = InstanceLock::acquire(&settings.daemon.state_dir).map_err(Failure::no)?;
        let mut loaded = Loaded::open_for_daemon(settings, started.wall, stop)?;
        let places = loaded.calibration_places()?;
        let calibration = places.choose()?;
        let mut eyes = Vec::new();
        for _ in 0..vision_workers(settings) {
            if stop() {
                return Ok(None);
            }
            eyes.push(loaded.eyes()?);
        }
        let second = loaded.second()?;
        loaded.networks().second_warning().iter().for_each(|said| tracing::warn!("{said}"));
        let mut store = site::open_store(settings)?;
        begin_run(&mut store, started)?;
        let listener = server::bind(&settings.daemon.socket).map_err(Failure::no)?;
        let (network, beside) = (loaded.first().clone(), second.as_ref().map(|second| &second.network));
        let rows = site::gallery_rows(&mut store, &network, beside, started.wall).map_err(Failure::no)?;
        let galleries = Galleries::of(rows, &network, beside)?;
        galleries.left_out.iter().for_each(|said| tracing::warn!("{said}"));
        let about = loaded.about();
        note_start(&mut store, written, &about, started).map_err(Failure::no)?;
        note_loaded(&mut store, &galleries, &calibration, settings, started).map_err(Failure::no)?;
        let open = store.open_alerts().map_err(Failure::no)?;
        let suspended = store.suspensions().map_err(Failure::no)?;
        let paused = store.switch(PAUSE_MATCHING).map_err(Failure::no)?;
        let standings = Arc::new(loaded.into_standings());
        let facts = Facts { started, models: about, standings, keys: keys_json(&store) };
        let clock_part = u32::try_from(started.wall.0.rem_euclid(0x0100_0000)).unwrap_or_default();
        Ok(Some(Self {
            eyes,
            second,
            network,
            calibration,
            places,
            store,
            lock,
            listener,
            galleries,
            open: open.into_iter().map(|OpenAlert { record, sequence }| (record, sequence)).collect(),
            suspended,
            paused,
            facts,
            run: clock_part ^ std::process::id(),
        }))
    }
}

/// Where the keys in use come from.
fn keys_json(store: &Store) -> serde_json::Value {
    let signing = store.signing().map(|key| serde_json::json!({ "id": key.id(), "public-key": key.public() }));
    serde_json::json!({ "database": keys::protection(store.key_source()), "signing": signing })
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

/// What this run works with, for the audit trail: the configuration's hash and the networks' names and hashes.
fn note_start(store: &mut Store, written: &WrittenKeys, about: &Value, now: Now) -> Result<(), StoreError> {
    let detail = json!({ "sha256": written.sha256(), "keys": written.count() });
    store.audit(now.wall, "daemon", "config-loaded", None, detail)?;
    let one = |name: &str| {
        let its = &about[name];
        json!({ "id": its["id"], "sha256": its["digest"], "provider": its["provider"], "device": its["device"],
            "fallback": its["fallback"], "reason": its["reason"] })
    };
    let detail = json!({ "detector": one("detector"), "embedder": one("embedder"), "second": one("second"),
        "preprocessing": about["preprocessing"], "runtime": about["runtime"] });
    store.audit(now.wall, "daemon", "models-loaded", None, detail)
}

/// Networks that left their accelerator while the daemon ran.
pub(super) fn note_falls(store: &StoreHandle, fell: Vec<Shown>, now: WallMs) {
    for one in fell {
        let detail = json!({ "role": one.role, "network": one.network, "reason": one.reason });
        let noted = store.submit(move |store| {
            if let Err(error) = store.audit(now, "daemon", "accelerator-left", None, detail) {
                tracing::error!("that a network left its accelerator is not in the audit trail: {error}");
            }
        });
        if let Err(error) = noted {
            tracing::error!("that a network left its accelerator is not in the audit trail: {error}");
        }
    }
}

/// The reference database and the calibration in use, likewise.
fn note_loaded(
    store: &mut Store,
    galleries: &Galleries,
    calibration: &ChosenCalibration,
    settings: &Settings,
    now: Now,
) -> Result<(), StoreError> {
    store.audit(now.wall, "daemon", "gallery-loaded", None, galleries.about())?;
    let strangers = settings.decide.strangers_per_camera_day;
    let detail = json!({ "id": calibration.calibration.id(), "fpir": site::general_fpir(settings, strangers) });
    store.audit(now.wall, "daemon", "calibration-loaded", None, detail)
}

/// What every thread is given a share of.
pub(super) struct Shared<'d> {
    pub(super) clock: &'d Arc<dyn Clock>,
    pub(super) store: &'d StoreHandle,
    pub(super) orders: &'d SyncSender<Order>,
    pub(super) board: &'d Arc<Board>,
    pub(super) pulse: &'d Arc<Pulse>,
    pub(super) verdicts: &'d broadcast::Sender<Arc<str>>,
    pub(super) counter: &'d Arc<Counter>,
    pub(super) pause: &'d Arc<Pause>,
}

/// A thread that runs until it is told to stop.
pub(super) type Stoppable = (Arc<AtomicBool>, JoinHandle<()>);

/// The second network as it runs; empty without one.
pub(super) struct Seconded {
    pub(super) queue: SecondQueue,
    pub(super) network: Option<Network>,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl Shared<'_> {
    /// Starts the deciding loop.
    pub(super) fn decide(
        &self,
        watcher: Watcher,
        journal: StoreJournal,
        (desk, pictures, second): (Desk, PictureQueue, SecondQueue),
        orders: Receiver<Order>,
        (open, suspended): (Vec<(AlertRecord, u32)>, Vec<Suspension>),
    ) -> Result<JoinHandle<()>, Failure> {
        let decide = DecideLoop {
            watcher,
            desk,
            clock: Arc::clone(self.clock),
            orders,
            journal,
            board: Arc::clone(self.board),
            verdicts: self.verdicts.clone(),
            pulse: Arc::clone(self.pulse),
            watchdog: notify::watchdog_interval(),
            counter: Arc::clone(self.counter),
            pictures,
            second,
        };
        spawn("decide", move || decide.run(open, suspended))
    }

    /// Starts keeping the pictures of alerts. The thread ends with the deciding loop, which holds the other end.
    pub(super) fn recorder(
        &self,
        looks: Receiver<Box<AlertPictures>>,
        settings: &Arc<RwLock<Settings>>,
    ) -> Result<JoinHandle<()>, Failure> {
        let recorder = Recorder {
            looks,
            store: self.store.clone(),
            clock: Arc::clone(self.clock),
            settings: Arc::clone(settings),
            board: Arc::clone(self.board),
            beat: self.pulse.register("evidence", self.clock.now().mono),
            synchronised: crate::clock::synchronised,
        };
        spawn("evidence", move || recorder.run())
    }

    /// The review page, not served yet.
    pub(super) fn web(
        &self,
        sources: &Arc<Sources>,
        alerts: &broadcast::Sender<Arc<str>>,
        settings: &Arc<RwLock<Settings>>,
    ) -> Result<Arc<Web>, Failure> {
        let around = Around {
            clock: Arc::clone(self.clock),
            store: self.store.clone(),
            orders: self.orders.clone(),
            alerts: alerts.clone(),
            sources: Arc::clone(sources),
            settings: Arc::clone(settings),
            counts: Arc::clone(&sources.review),
        };
        Web::new(around).map(Arc::new)
    }

    /// Gives the watcher a second network and starts its thread, if there is such a network.
    pub(super) fn seconded(
        &self,
        watcher: Watcher,
        open: Option<OpenSecond>,
        galleries: &Galleries,
    ) -> Result<(Watcher, Seconded), Failure> {
        let (Some(open), Some(gallery)) = (open, &galleries.second) else {
            return Ok((watcher, Seconded { queue: SecondQueue::default(), network: None, thread: None }));
        };
        let network = SecondNetwork { gallery: Arc::clone(gallery), calibration: open.calibration };
        let (queue, asks) = SecondQueue::bounded();
        let thread = Some(self.second(open.eyes, asks)?);
        Ok((watcher.with_second(network), Seconded { queue, network: Some(open.network), thread }))
    }

    /// Starts the second network's thread.
    fn second(&self, eyes: SecondEyes, asks: Receiver<Box<AlertPictures>>) -> Result<JoinHandle<()>, Failure> {
        let worker = SecondWorker {
            eyes,
            asks,
            orders: self.orders.clone(),
            clock: Arc::clone(self.clock),
            board: Arc::clone(self.board),
            beat: self.pulse.register("second", self.clock.now().mono),
        };
        spawn("second", move || worker.run())
    }

    /// Starts following the store's gallery.
    pub(super) fn gallery(
        &self,
        first: Network,
        second: Option<Network>,
        in_force: Galleries,
    ) -> Result<Stoppable, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        self.board.pin_second_people(SecondPeople::of(&in_force));
        self.board.pin_without_grounds(in_force.without_grounds);
        let watch = GalleryWatch {
            store: self.store.clone(),
            orders: self.orders.clone(),
            clock: Arc::clone(self.clock),
            first,
            second,
            in_force,
            board: Arc::clone(self.board),
            pause: Arc::clone(self.pause),
            stop: Arc::clone(&stop),
            beat: self.pulse.register("gallery", self.clock.now().mono),
        };
        Ok((stop, spawn("gallery", move || watch.run())?))
    }

    /// Starts the calibration's keeper.
    pub(super) fn keeper(
        &self,
        places: CalibrationPlaces,
        chosen: ChosenCalibration,
        settings: &Arc<RwLock<Settings>>,
        traffic: &SharedTraffic,
        events: &broadcast::Sender<Arc<str>>,
    ) -> Result<Stoppable, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let keeper = Keeper {
            store: self.store.clone(),
            orders: self.orders.clone(),
            clock: Arc::clone(self.clock),
            counter: Arc::clone(self.counter),
            settings: Arc::clone(settings),
            places,
            chosen,
            board: Arc::clone(self.board),
            events: events.clone(),
            traffic: Arc::clone(traffic),
            stop: Arc::clone(&stop),
            beat: self.pulse.register("calibration", self.clock.now().mono),
        };
        Ok((stop, spawn("calibration", move || keeper.run())?))
    }

    /// Starts telling the sinks.
    pub(super) fn sinks(&self, roster: Roster, up: CamerasUp, settings: &Settings) -> Result<Sinks, Failure> {
        let mut sinks = Sinks::new(roster, self.store.clone(), Arc::clone(self.clock), Arc::clone(self.pulse), up);
        sinks.follow(settings)?;
        Ok(sinks)
    }

    /// Starts keeping the books.
    pub(super) fn books(&self, settings: &Arc<RwLock<Settings>>) -> Result<Stoppable, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let books = Books {
            store: self.store.clone(),
            clock: Arc::clone(self.clock),
            settings: Arc::clone(settings),
            stop: Arc::clone(&stop),
            beat: self.pulse.register("books", self.clock.now().mono),
        };
        Ok((stop, spawn("books", move || books.run())?))
    }

    /// Starts finishing what is to be gone.
    pub(super) fn erasures(&self, settings: &Arc<RwLock<Settings>>) -> Result<Stoppable, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = ErasureWatch {
            store: self.store.clone(),
            clock: Arc::clone(self.clock),
            settings: Arc::clone(settings),
            stop: Arc::clone(&stop),
            beat: self.pulse.register("erasures", self.clock.now().mono),
        };
        Ok((stop, spawn("erasures", move || watch.run())?))
    }

    /// Starts one vision worker for each set of sessions.
    pub(super) fn workers(&self, eyes: Vec<OpenEyes>) -> Result<Vec<WorkerHandle>, Failure> {
        let one = |(at, eyes): (usize, OpenEyes)| {
            let (signal, name) = (Signal::new(), format!("vision-{at}"));
            // Assignments are made by reloads, a handful at a time; a full queue makes the reload wait.
            let (assign, assigned) = sync_channel(64);
            let worker = VisionWorker {
                eyes: eyes.0,
                signal: Arc::clone(&signal),
                assigned,
                orders: self.orders.clone(),
                clock: Arc::clone(self.clock),
                board: Arc::clone(self.board),
                pause: Arc::clone(self.pause),
                beat: self.pulse.register(&name, self.clock.now().mono),
            };
            Ok(WorkerHandle { signal, assign, thread: spawn(&name, move || worker.run())? })
        };
        eyes.into_iter().enumerate().map(one).collect()
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Failure> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(|error| Failure::No(format!("no thread for {name}: {error}")))
}
