//! Where the parts of the daemon pin up what they are doing, and where status is read from.
//!
//! Everything here is a copy made for looking: nothing in the daemon decides by it.

use crate::evidence::retention::Held;
use crate::site::Galleries;
use sekisho_logic::face::Unfit;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::outcome::{Outcome, TrackVerdict, Undecidable};
use sekisho_logic::policy::ConfirmBy;
use sekisho_logic::record::{AlertRecord, Stage};
use sekisho_logic::second::SecondCounts;
use sekisho_logic::suspension::Suspension;
use sekisho_logic::thresholds::InForce;
use sekisho_logic::watcher::LiveTrack;
use sekisho_vision::analyser::StageTimes;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Delays kept for the percentiles: about a day of a busy site, 8 kB.
const DELAYS_MAX: usize = 1024;

/// What deciding looks like from outside.
#[derive(Clone, Debug, Default)]
pub struct DecideView {
    /// Open alerts, all stages that are not final.
    pub open: Vec<AlertRecord>,
    /// Tracks in flight.
    pub tracks: Vec<LiveTrack>,
    /// People and cameras whose alerts are held back.
    pub suspensions: Vec<Suspension>,
    /// Candidates held back because of that.
    pub held_back_total: u64,
    /// Enrolled people in the gallery in force.
    pub gallery_people: usize,
    /// Counts up with every change of the gallery.
    pub gallery_revision: u64,
    /// Tracks and candidates cut short because there were too many.
    pub overflow_total: u64,
    /// Journal entries waiting in the decide loop because the store's queue is full.
    pub journal_waiting: usize,
    /// Journal entries lost because more waited than may.
    pub journal_dropped_total: u64,
    /// Rates and thresholds.
    pub in_force: Arc<InForceView>,
    /// What became of the second network's answers; `None` without one.
    pub second: Option<SecondCounts>,
}

/// Who can be machine-confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondPeople {
    /// People with a template of the second network.
    pub with: usize,
    /// People who are matched and have none: they become candidates, and no machine confirms them.
    pub without: usize,
}

impl SecondPeople {
    /// As the galleries say.
    #[must_use]
    pub fn of(galleries: &Galleries) -> Self {
        let with = galleries.second.as_ref().map_or(0, |second| second.members().len());
        Self { with, without: galleries.without_second.len() }
    }
}

/// Rates and thresholds in force.
#[derive(Clone, Debug, Default)]
pub struct InForceView {
    /// Each list with its target rate and who confirms.
    pub lists: Vec<(ListId, f64, ConfirmBy)>,
    /// By list, size and look.
    pub thresholds: Vec<InForce>,
}

/// What one camera's tracks came to since the start.
#[derive(Clone, Debug, Default)]
pub struct VerdictCounts {
    /// Identified tracks.
    pub identified: u64,
    /// Tracks of people who are not enrolled.
    pub not_enrolled: u64,
    /// Tracks without an honest answer, by reason.
    pub not_decidable: BTreeMap<Undecidable, u64>,
    /// Faces left out, by reason.
    pub faces_unfit: BTreeMap<Unfit, u64>,
    /// Faces seen.
    pub faces: u64,
    /// Alert events by the stage they reached.
    pub stages: BTreeMap<Stage, u64>,
}

/// Processor time and calls of one stage of vision.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTime {
    /// Total.
    pub total: Duration,
    /// How often.
    pub calls: u64,
}

#[derive(Debug, Default)]
struct Tallies {
    cameras: BTreeMap<CameraId, VerdictCounts>,
    delays: VecDeque<Duration>,
    stages: BTreeMap<&'static str, StageTime>,
    faces_dropped_total: u64,
    detector_runs_deferred_total: u64,
    faces_over_limit_total: u64,
}

/// The calibration in force, as status shows it.
#[derive(Clone, Debug, Default)]
pub struct CalibrationView {
    /// As JSON.
    pub json: Value,
    /// Why it does not fit any more, a sentence.
    pub stale: Option<String>,
    /// Age, where its date is known.
    pub age: Option<Duration>,
}

/// Pictures of alerts.
#[derive(Clone, Debug, Default)]
pub struct EvidenceView {
    /// Kept now.
    pub pictures: u64,
    /// Their bytes, when last measured.
    pub bytes: u64,
    /// Expired and not erased yet.
    pub due: u64,
    /// Why those are not erased.
    pub held: Option<Held>,
    /// Written since the start.
    pub written_total: u64,
    /// Erased since the start because they expired or the disk was nearly full.
    pub erased_total: u64,
    /// Left out since the start, by reason.
    pub dropped_total: BTreeMap<&'static str, u64>,
}

/// Alerts that are kept for a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SightingsView {
    /// Kept now, open ones included.
    pub kept: u64,
    /// Past their time and not erased yet.
    pub due: u64,
    /// Past their time and kept because their person is under a legal hold.
    pub exempt: u64,
    /// Why those that are due are not erased.
    pub held: Option<Held>,
    /// Erased since the start.
    pub erased_total: u64,
}

impl EvidenceView {
    /// Counts pictures that were left out.
    pub fn drop(&mut self, why: &'static str, count: usize) {
        if count > 0 {
            *self.dropped_total.entry(why).or_default() += count as u64;
        }
    }
}

/// The board.
#[derive(Debug, Default)]
pub struct Board {
    decide: RwLock<Arc<DecideView>>,
    calibration: RwLock<CalibrationView>,
    second_people: RwLock<SecondPeople>,
    without_grounds: AtomicUsize,
    tallies: Mutex<Tallies>,
    evidence: Mutex<EvidenceView>,
    sightings: Mutex<SightingsView>,
}

/// Percentiles of the delay from first usable face to candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DelaySummary {
    /// Median, milliseconds.
    pub p50_ms: u64,
    /// 95th percentile, milliseconds.
    pub p95_ms: u64,
    /// How many candidates it rests on.
    pub count: usize,
}

impl Board {
    /// Replaces the view of deciding.
    pub fn pin(&self, view: DecideView) {
        *self.decide.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// The latest view of deciding.
    #[must_use]
    pub fn decide(&self) -> Arc<DecideView> {
        Arc::clone(&self.decide.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the view of the calibration.
    pub fn pin_calibration(&self, view: CalibrationView) {
        *self.calibration.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// The latest view of the calibration.
    #[must_use]
    pub fn calibration(&self) -> CalibrationView {
        self.calibration.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what became of pictures.
    pub fn note_evidence(&self, note: impl FnOnce(&mut EvidenceView)) {
        note(&mut self.evidence.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The latest about pictures.
    #[must_use]
    pub fn evidence(&self) -> EvidenceView {
        self.evidence.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what became of alerts past their time.
    pub fn note_sightings(&self, note: impl FnOnce(&mut SightingsView)) {
        note(&mut self.sightings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The latest about alerts past their time.
    #[must_use]
    pub fn sightings(&self) -> SightingsView {
        *self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the count of people the second network knows.
    pub fn pin_second_people(&self, people: SecondPeople) {
        *self.second_people.write().unwrap_or_else(PoisonError::into_inner) = people;
    }

    /// The latest count of people the second network knows.
    #[must_use]
    pub fn second_people(&self) -> SecondPeople {
        *self.second_people.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the count of people who are matched without complete grounds.
    pub fn pin_without_grounds(&self, people: usize) {
        self.without_grounds.store(people, Ordering::Relaxed);
    }

    /// The latest count of people who are matched without complete grounds.
    #[must_use]
    pub fn without_grounds(&self) -> usize {
        self.without_grounds.load(Ordering::Relaxed)
    }

    /// Counts a finished track.
    pub fn count_verdict(&self, verdict: &TrackVerdict) {
        self.with(|tallies| {
            let camera = tallies.cameras.entry(verdict.camera.clone()).or_default();
            camera.faces += u64::from(verdict.faces);
            match &verdict.outcome {
                Outcome::Identified { .. } => camera.identified += 1,
                Outcome::NotEnrolled => camera.not_enrolled += 1,
                Outcome::NotDecidable(reason) => *camera.not_decidable.entry(*reason).or_default() += 1,
            }
            for (why, count) in &verdict.unfit {
                *camera.faces_unfit.entry(*why).or_default() += u64::from(*count);
            }
        });
    }

    /// Counts an alert event.
    pub fn count_stage(&self, camera: &CameraId, stage: Stage) {
        self.with(|tallies| {
            *tallies.cameras.entry(camera.clone()).or_default().stages.entry(stage).or_default() += 1;
        });
    }

    /// Notes how long a candidate took.
    pub fn note_delay(&self, delay: Duration) {
        self.with(|tallies| {
            if tallies.delays.len() >= DELAYS_MAX {
                tallies.delays.pop_front();
            }
            tallies.delays.push_back(delay);
        });
    }

    /// Adds time spent in the stages of vision.
    pub fn note_times(&self, times: &StageTimes) {
        self.with(|tallies| {
            for (stage, spent, calls) in *times {
                let time = tallies.stages.entry(stage).or_default();
                time.total += spent;
                time.calls += calls;
            }
            tallies.detector_runs_deferred_total += times.detector_runs_deferred;
            tallies.faces_over_limit_total += times.faces_dropped;
        });
    }

    /// Adds processor time that the second network took for some pictures.
    pub fn note_second_time(&self, spent: Duration, pictures: usize) {
        self.with(|tallies| {
            let time = tallies.stages.entry("second").or_default();
            time.total += spent;
            time.calls += pictures as u64;
        });
    }

    /// Detector runs put off because a frame's work was used up, and faces beyond the most a frame may have.
    #[must_use]
    pub fn overload(&self) -> (u64, u64) {
        self.with(|tallies| (tallies.detector_runs_deferred_total, tallies.faces_over_limit_total))
    }

    /// Counts analysed frames whose faces were dropped because deciding did not keep up.
    pub fn note_faces_dropped(&self) {
        self.with(|tallies| tallies.faces_dropped_total += 1);
    }

    /// Counts by camera.
    #[must_use]
    pub fn verdicts(&self) -> BTreeMap<CameraId, VerdictCounts> {
        self.with(|tallies| tallies.cameras.clone())
    }

    /// Time by stage.
    #[must_use]
    pub fn stages(&self) -> BTreeMap<&'static str, StageTime> {
        self.with(|tallies| tallies.stages.clone())
    }

    /// Analysed frames dropped on the way to deciding.
    #[must_use]
    pub fn faces_dropped_total(&self) -> u64 {
        self.with(|tallies| tallies.faces_dropped_total)
    }

    /// Percentiles over the last 1024 candidates.
    #[must_use]
    pub fn delays(&self) -> DelaySummary {
        let mut delays: Vec<_> = self.with(|tallies| tallies.delays.iter().copied().collect());
        delays.sort_unstable();
        let at = |share: usize| {
            let index = (delays.len() * share / 100).min(delays.len().saturating_sub(1));
            delays.get(index).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
        };
        DelaySummary { p50_ms: at(50), p95_ms: at(95), count: delays.len() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Tallies) -> T) -> T {
        act(&mut self.tallies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
