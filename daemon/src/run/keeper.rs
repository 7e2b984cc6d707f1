//! The calibration's keeper: writes down what is counted about strangers, notices when the calibration in force no longer
//! fits them, and puts another one in force when somebody installs it.
//!
//! ```text
//! counter --once a minute--> store (counts) --> watch --finding--> stale: store (audited), log, events, Standing to decide
//! calibration.toml changed -> Calibration to decide, fresh        somebody acknowledged in the store -> fresh
//! ```

use super::books;
use super::counter::Counter;
use super::decide::Order;
use crate::config::Settings;
use crate::notify::Beat;
use crate::site::{self, CalibrationPlaces, ChosenCalibration};
use crate::status::board::{Board, CalibrationView};
use crate::status::wire::SCHEMA_VERSION;
use sekisho_logic::calibrate::{DriftRules, Finding, Stale, Watch};
use sekisho_logic::policy::Standing;
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_store::{Counted, MeasuredTraffic, Network, Store, StoreError, StoreHandle};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::sync::broadcast;

/// An installed calibration and an acknowledgement take effect within about this time.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Counts are written this often: one small transaction, and at most a minute of counts is lost with the power.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Camera-days from which counted traffic is in force instead of the configured number.
pub const CAMERA_DAYS_MIN: u64 = 3;

const DAY_MS: i64 = 86_400_000;

/// Traffic as counted, for whoever makes a policy.
pub type SharedTraffic = Arc<Mutex<Option<MeasuredTraffic>>>;

/// Strangers a camera and day in force: counted once there is enough, else configured.
#[must_use]
pub fn strangers(settings: &Settings, traffic: &SharedTraffic) -> (f64, bool) {
    let counted = *traffic.lock().unwrap_or_else(PoisonError::into_inner);
    match counted.filter(|counted| counted.camera_days >= CAMERA_DAYS_MIN) {
        Some(counted) => (counted.strangers_per_camera_day, true),
        None => (settings.decide.strangers_per_camera_day, false),
    }
}

/// What the keeper works with.
pub struct Keeper {
    /// The store.
    pub store: StoreHandle,
    /// The deciding loop.
    pub orders: SyncSender<Order>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What was counted.
    pub counter: Arc<Counter>,
    /// The configuration in force.
    pub settings: Arc<RwLock<Settings>>,
    /// Where calibrations lie.
    pub places: CalibrationPlaces,
    /// The one in force.
    pub chosen: ChosenCalibration,
    /// Where status reads from.
    pub board: Arc<Board>,
    /// Who listens to events.
    pub events: broadcast::Sender<Arc<str>>,
    /// Traffic as counted.
    pub traffic: SharedTraffic,
    /// Set to end.
    pub stop: Arc<AtomicBool>,
    /// Its hand on the pulse.
    pub beat: Beat,
}

/// What it remembers.
struct Memory {
    epoch: i64,
    stale: Option<Stale>,
    /// Noticed, but the store did not take it yet.
    unwritten: bool,
    watch: Watch,
    standing: Standing,
    written: Mono,
    day: i64,
    file: Option<SystemTime>,
    strangers: f64,
    failures: u64,
}

impl Keeper {
    /// Runs until told to stop; then writes what is left.
    pub fn run(mut self) {
        let now = self.clock.now();
        let mut memory = Memory {
            epoch: 0,
            stale: None,
            unwritten: false,
            watch: Watch::new(self.chosen.calibration.id()),
            standing: Standing::default(),
            written: now.mono,
            day: i64::MIN,
            file: self.changed_at(),
            strangers: self.settings().decide.strangers_per_camera_day,
            failures: 0,
        };
        if let Some(said) = &self.chosen.refused {
            tracing::warn!("{said}");
        }
        let id = self.chosen.calibration.id().to_owned();
        if let Some(watch) = self.ask(&mut memory, move |store| store.drift_watch(&id)) {
            memory.watch = watch;
        }
        loop {
            let now = self.clock.now();
            self.beat.beat(now.mono);
            self.reread(&mut memory);
            self.read_state(&mut memory, now);
            let stopping = self.stop.load(Ordering::Relaxed);
            if stopping || now.mono.since(memory.written) >= WRITE_EVERY {
                memory.written = now.mono;
                self.write(&mut memory, now);
            }
            self.each_day(&mut memory, now);
            self.apply(&mut memory, now);
            if stopping {
                break;
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn network(&self) -> Network {
        let (model_digest, preprocessing) = (self.places.model_digest.clone(), self.places.preprocessing.clone());
        Network { model_digest, preprocessing }
    }

    /// Asks the store; a failure is logged at powers of two, the store itself says the rest.
    fn ask<T: Send + 'static>(
        &self,
        memory: &mut Memory,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        let said = match self.store.call(question) {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        memory.failures += 1;
        if memory.failures.is_power_of_two() {
            tracing::warn!("calibration: {said}; trying again ({} so far)", memory.failures);
        }
        None
    }

    fn changed_at(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.places.own).and_then(|about| about.modified()).ok()
    }

    /// Takes another calibration when the site's file changed.
    fn reread(&mut self, memory: &mut Memory) {
        let changed = self.changed_at();
        if changed == memory.file {
            return;
        }
        let chosen = match self.places.choose() {
            Ok(chosen) => chosen,
            Err(error) => {
                memory.file = changed;
                tracing::error!("{error}; the calibration in force stays");
                return;
            }
        };
        if let Some(said) = &chosen.refused {
            tracing::error!("{said}");
        }
        let order = Order::Calibration(Arc::new(chosen.calibration.clone()));
        // Full means that deciding is behind; the change stays unseen and this is tried again in a second.
        if self.orders.try_send(order).is_ok() {
            memory.file = changed;
            if chosen.calibration.id() != self.chosen.calibration.id() {
                memory.watch = Watch::new(chosen.calibration.id());
            }
            let (wanted, _) = strangers(&self.settings(), &self.traffic);
            let fpir = site::general_fpir(&self.settings(), wanted);
            let detail = json!({ "id": chosen.calibration.id(), "fpir": fpir });
            books::audit(&self.store, "calibration-loaded", None, detail, self.clock.now().wall);
            self.chosen = chosen;
        }
    }

    /// What others wrote: an erasure, an acknowledgement. A stale mark of another calibration is over.
    fn read_state(&self, memory: &mut Memory, now: Now) {
        if memory.unwritten {
            if let Some(stale) = memory.stale.clone() {
                memory.unwritten = self.ask(memory, move |store| store.raise_stale(&stale, now.wall)).is_none();
            }
            return;
        }
        let Some(mut state) = self.ask(memory, Store::calibration_state) else { return };
        let id = self.chosen.calibration.id();
        if state.stale.as_ref().is_some_and(|stale| stale.calibration_id != id) {
            let why = format!("{id} is in force");
            if self.ask(memory, move |store| store.clear_stale("daemon", &why, now.wall)).is_none() {
                return;
            }
            state.stale = None;
        }
        let erased = memory.epoch != 0 && state.epoch != memory.epoch;
        if erased {
            let _gone = self.counter.take();
        }
        if erased || (memory.stale.is_some() && state.stale.is_none()) {
            memory.watch = Watch::new(id);
        }
        (memory.epoch, memory.stale) = (state.epoch, state.stale);
    }

    fn write(&self, memory: &mut Memory, now: Now) {
        let (settings, network, epoch) = (self.settings(), self.network(), memory.epoch);
        let batch = self.counter.take();
        if batch.is_empty() || epoch == 0 {
            self.counter.put(&batch);
            return;
        }
        let (given, keep_days) = (batch.clone(), i64::from(settings.shadow.keep_days));
        let add = move |store: &mut Store| store.add_counted(&network, epoch, &given, now.wall, keep_days);
        match self.ask(memory, add) {
            Some(Counted::Added) => {}
            // Erased between two looks: what was counted before goes too.
            Some(Counted::Erased) => return,
            None => return self.counter.put(&batch),
        }
        let rules = DriftRules {
            window_tracks: u64::from(settings.drift.window_tracks),
            rejected_borne: settings.drift.rejected_borne,
        };
        let looks = settings.decide.looks.len();
        let found = memory.watch.take(&batch, &self.chosen.calibration, looks, rules);
        let watch = memory.watch.clone();
        let _kept = self.ask(memory, move |store| store.keep_drift_watch(&watch, epoch));
        self.raise(memory, found, now);
    }

    fn raise(&self, memory: &mut Memory, found: Option<Finding>, now: Now) {
        if memory.stale.is_some() {
            return;
        }
        if let Some(finding) = found {
            let calibration_id = self.chosen.calibration.id().to_owned();
            let stale = Stale { since: now.wall, calibration_id, finding };
            memory.stale = Some(stale.clone());
            memory.unwritten = self.ask(memory, move |store| store.raise_stale(&stale, now.wall)).is_none();
        }
    }

    /// When a day is over, at the start, and after a reload: traffic, and the chart of candidates.
    fn each_day(&self, memory: &mut Memory, now: Now) {
        let day = now.wall.0.div_euclid(DAY_MS);
        if day != memory.day {
            let started = memory.day == i64::MIN;
            if let Some(counted) = self.ask(memory, move |store| store.measured_traffic(now.wall)) {
                *self.traffic.lock().unwrap_or_else(PoisonError::into_inner) = counted;
                memory.day = day;
            }
            if !started && let Some(days) = self.ask(memory, move |store| store.counted_days(now.wall)) {
                self.raise(memory, Watch::day_ended(&days), now);
            }
        }
        let settings = self.settings();
        let (wanted, _) = strangers(&settings, &self.traffic);
        if (wanted - memory.strangers).abs() > 1e-9 {
            let policy = Box::new(site::policy_at(&settings, wanted));
            let budgeted = settings.decide.per_camera_day.is_some();
            if !budgeted || self.orders.try_send(Order::Policy(policy)).is_ok() {
                if budgeted {
                    let [from, to] = [memory.strangers, wanted].map(|count| site::general_fpir(&settings, count));
                    let detail = json!({ "fpir-from": from, "fpir-to": to, "strangers-per-camera-day": wanted });
                    books::audit(&self.store, "thresholds", None, detail, now.wall);
                }
                memory.strangers = wanted;
            }
        }
    }

    /// Makes deciding, status and listeners know.
    fn apply(&self, memory: &mut Memory, now: Now) {
        let settings = self.settings();
        let on_drift = settings.drift.on_drift;
        let wanted = memory.stale.as_ref().map_or_else(Standing::default, |_| Standing::stale(on_drift));
        let before = self.board.calibration();
        if wanted != memory.standing && self.orders.try_send(Order::Standing(wanted)).is_ok() {
            memory.standing = wanted;
        }
        let said = memory.stale.as_ref().map(|stale| stale.finding.said());
        if before.stale != said {
            let id = self.chosen.calibration.id();
            match (&said, &memory.stale) {
                (Some(said), Some(_)) => tracing::error!(
                    "calibration-stale: {id}: {said}; policy: {}; calibrate again (`sekisho calibrate --from-shadow \
                     --install`) or take it as known (`sekisho calibrate --acknowledge`)",
                    on_drift.as_str(),
                ),
                _ => tracing::info!("calibration: {id} is no longer stale"),
            }
            let event = json!({
                "schema-version": SCHEMA_VERSION, "type": "calibration", "at": now.wall.to_rfc3339(),
                "state": if said.is_some() { "calibration-stale" } else { "fresh" },
                "calibration-id": id, "said": said, "on-drift": on_drift.as_str(),
            });
            // Nobody listening is the normal case.
            let _listeners = self.events.send(event.to_string().into());
        }
        self.board.pin_calibration(self.view(memory, &settings, now.wall));
    }

    fn view(&self, memory: &Memory, settings: &Settings, now: WallMs) -> CalibrationView {
        let traffic = *self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        let (strangers, counted) = strangers(settings, &self.traffic);
        let windows = memory
            .watch
            .windows()
            .map(|(row, tracks)| json!({ "from-px": row.from_px(), "frames": row.frames, "tracks": tracks }));
        let mut view = view(&self.chosen, settings, now);
        view.stale = memory.stale.as_ref().map(|stale| stale.finding.said());
        view.json["stale"] = memory.stale.as_ref().map_or(json!(null), |stale| {
            json!({
                "since": stale.since.to_rfc3339(), "cause": stale.finding.as_str(), "said": stale.finding.said(),
                "on-drift": settings.drift.on_drift.as_str(),
            })
        });
        view.json["drift-windows"] = json!(windows.collect::<Vec<_>>());
        view.json["target"] = json!({
            "by": if settings.decide.per_camera_day.is_some() { "false-candidates-per-camera-day" } else { "target-fpir" },
            "false-candidates-per-camera-day": settings.decide.per_camera_day,
            "target-fpir-per-mille": site::general_fpir(settings, strangers) * 1000.0,
            "strangers-per-camera-day": strangers,
            "strangers-are": if counted { "counted" } else { "configured" },
            "camera-days-counted": traffic.map_or(0, |traffic| traffic.camera_days),
        });
        view
    }
}

/// What can be said of a calibration before anything was counted.
#[must_use]
pub fn view(chosen: &ChosenCalibration, settings: &Settings, now: WallMs) -> CalibrationView {
    let calibration = &chosen.calibration;
    let date = calibration.date().and_then(WallMs::from_rfc3339);
    let age = date.map(|date| Duration::from_millis(now.0.saturating_sub(date.0).max(0).unsigned_abs()));
    let days = age.map(|age| age.as_secs() / 86_400);
    let json = json!({
        "id": calibration.id(),
        "file": chosen.file,
        "source": calibration.source_kind().as_str(),
        "date": calibration.date(),
        "age-days": days,
        "old": days.is_some_and(|days| days > u64::from(settings.drift.old_after_days)),
        "decidable-cells": calibration.cells().filter(|(_, _, decidable)| *decidable).count(),
        "refused": chosen.refused,
        "counts-strangers": settings.shadow.enabled,
        "stale": null,
    });
    CalibrationView { json, stale: None, age }
}
