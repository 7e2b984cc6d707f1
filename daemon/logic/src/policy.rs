//! Every number that decides about a person, in one place. Made from the configuration; changed by a reload.

use crate::calibration::fmr_for_fpir;
use crate::face::DetectedFace;
use crate::hours::{Hours, Zone};
use crate::id::{CameraId, ListId};
use crate::time::WallMs;
use crate::zone::{Area, Place};
use std::collections::BTreeMap;
use std::time::Duration;

/// Who turns a machine-confirmed alert into a confirmed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfirmBy {
    /// Nobody: disjoint frames are enough (an entry log).
    Machine,
    /// One person.
    Human,
    /// Two distinct people (EU AI Act, Art. 14(5), asks this of remote biometric identification).
    TwoPerson,
}

impl ConfirmBy {
    /// Distinct votes needed, either way.
    #[must_use]
    pub const fn votes(self) -> u32 {
        match self {
            Self::Machine => 0,
            Self::Human => 1,
            Self::TwoPerson => 2,
        }
    }
}

/// What being recognised means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// An entry is written; nobody is called.
    EntryLog,
    /// Somebody is to look now.
    Watch,
}

impl Purpose {
    /// The word used in the configuration and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EntryLog => "entry-log",
            Self::Watch => "watch",
        }
    }
}

/// What a list asks for, at one camera or at all that say nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct ListPolicy {
    /// What being recognised means; receivers of events sort by it.
    pub purpose: Purpose,
    /// Who confirms.
    pub confirm: ConfirmBy,
    /// Distinct people who must agree, either way: 0 with [`ConfirmBy::Machine`], otherwise at least what `confirm` says.
    pub votes: u32,
    /// How long a machine-confirmed alert waits for votes.
    pub vote_expires: Duration,
    /// Share of strangers' tracks that may become a candidate of this list. The same at every camera.
    pub target_fpir: f64,
    /// When the list is matched at all.
    pub schedule: Hours,
    /// When alerts are recorded and reviewed without sinks being told that keep quiet.
    pub quiet: Hours,
    /// After an alert has ended other than withdrawn, the next one for the same person and camera waits this long.
    pub cool_down: Duration,
}

impl ListPolicy {
    /// A policy that is always in force, never quiet, and asks for as many votes as `confirm` says.
    #[must_use]
    pub fn new(purpose: Purpose, confirm: ConfirmBy, vote_expires: Duration, target_fpir: f64) -> Self {
        Self {
            purpose,
            confirm,
            votes: confirm.votes(),
            vote_expires,
            target_fpir,
            schedule: Hours::always(),
            quiet: Hours::never(),
            cool_down: Duration::ZERO,
        }
    }
}

/// What the second network must say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondPolicy {
    /// Frames it is shown at the most, the best of the track.
    pub frames: u32,
    /// It agrees when its log likelihood ratio is at least this, or at least what 95 of 100 true candidates reach at the
    /// face size where that is less (but never below 0), and nobody is nearer by its own gallery.
    pub agrees_llr_min: f64,
    /// At or below this it speaks against the candidate, which is withdrawn.
    pub withdraw_llr_max: f64,
}

impl Default for SecondPolicy {
    fn default() -> Self {
        Self { frames: 5, agrees_llr_min: 4.0, withdraw_llr_max: -1.0 }
    }
}

/// Whether a camera's candidates become alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// They do.
    #[default]
    Live,
    /// They are counted, nobody is named and nothing is raised: for the time before go-live.
    Shadow,
}

/// What a camera may compare at all.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraPolicy {
    /// Lists; people on others are never compared with this camera's faces.
    pub lists: Vec<ListId>,
    /// Whether it raises alerts.
    pub mode: Mode,
    /// Where in its picture.
    pub area: Area,
    /// When.
    pub schedule: Hours,
}

impl Default for CameraPolicy {
    fn default() -> Self {
        Self { lists: Vec::new(), mode: Mode::Live, area: Area::default(), schedule: Hours::always() }
    }
}

/// What a stale calibration does to deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnDrift {
    /// It is said, everywhere; thresholds stay.
    Warn,
    /// Thresholds go to a tenth of the permitted rate as well.
    #[default]
    Tighten,
    /// Candidates are raised; no machine confirms them.
    SuspendConfirmation,
}

impl OnDrift {
    /// The word used in the configuration and in status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Tighten => "tighten",
            Self::SuspendConfirmation => "suspend-confirmation",
        }
    }
}

/// What is in force beside the policy because of the calibration's state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// The target rates are multiplied by this, 0..=1.
    pub fpir_factor: f64,
    /// Whether disjoint frames may confirm a candidate.
    pub confirms: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self { fpir_factor: 1.0, confirms: true }
    }
}

impl Standing {
    /// How much stricter `tighten` is. A tail found half again to several times too heavy is more than made up for.
    pub const TIGHTENED: f64 = 0.1;

    /// What a policy asks for while the calibration is stale.
    #[must_use]
    pub const fn stale(on_drift: OnDrift) -> Self {
        match on_drift {
            OnDrift::Warn => Self { fpir_factor: 1.0, confirms: true },
            OnDrift::Tighten => Self { fpir_factor: Self::TIGHTENED, confirms: true },
            OnDrift::SuspendConfirmation => Self { fpir_factor: 1.0, confirms: false },
        }
    }
}

/// The whole policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Frame counts at which a track is judged, ascending. The target rate is divided equally among them (Bonferroni),
    /// because every look is another chance to be wrong. The first one is the least number of frames for a candidate.
    pub looks: Vec<u32>,
    /// Frame counts at which the disjoint confirming frames are judged, likewise.
    pub confirm_looks: Vec<u32>,
    /// Two frames of one track closer than this say the same thing twice and count once.
    pub min_interval: Duration,
    /// Log likelihood ratio by which the best person must lead the second best.
    pub runner_up_llr_min: f64,
    /// At or below this log likelihood ratio a track is not enrolled; between it and the threshold, undecided.
    pub not_enrolled_llr_max: f64,
    /// Confirming frames at or below this log likelihood ratio withdraw the candidate.
    pub withdraw_llr_max: f64,
    /// A person unseen for this long on a camera has left; the next sighting may alert again.
    pub visit_gap: Duration,
    /// How long a candidate waits for independent evidence.
    pub candidate_expires: Duration,
    /// A track not seen for this long is over, whatever the tracker says.
    pub track_expires: Duration,
    /// Lists by name.
    pub lists: BTreeMap<ListId, ListPolicy>,
    /// Where a list asks for something else at one camera.
    pub lists_at: BTreeMap<(ListId, CameraId), ListPolicy>,
    /// Local time, for schedules and quiet hours.
    pub zone: Zone,
    /// What the second network must say, where there is one.
    pub second: SecondPolicy,
    /// Share of a person's or a camera's voted alerts that people may reject before it is suspended, 0..1.
    pub suspend_rejected: f64,
    /// Cameras by name.
    pub cameras: BTreeMap<CameraId, CameraPolicy>,
    /// Whether strangers' scores are counted.
    pub counts_strangers: bool,
    /// What the calibration's state adds; not from the configuration.
    pub standing: Standing,
}

impl Policy {
    /// Lists a camera may match; none when the camera is not configured.
    #[must_use]
    pub fn lists_of(&self, camera: &CameraId) -> &[ListId] {
        self.cameras.get(camera).map_or(&[], |camera| &camera.lists)
    }

    /// What `list` asks for at `camera`; `None` when there is no such list.
    #[must_use]
    pub fn list_at(&self, list: &ListId, camera: &CameraId) -> Option<&ListPolicy> {
        self.lists_at.get(&(list.clone(), camera.clone())).or_else(|| self.lists.get(list))
    }

    /// Whether a camera may compare faces at this moment; one that is not configured has no hours of its own.
    #[must_use]
    pub fn is_open(&self, camera: &CameraId, wall: WallMs) -> bool {
        self.cameras.get(camera).is_none_or(|its| its.schedule.contains(self.zone.local(wall)))
    }

    /// Whether a face lies where its camera may compare it, in a picture of `frame_px` (width, height).
    #[must_use]
    pub fn admits(&self, camera: &CameraId, face: &DetectedFace, frame_px: (f32, f32)) -> bool {
        self.cameras.get(camera).is_none_or(|its| its.area.place(face, frame_px) == Place::Inside)
    }

    /// Lists a camera may match at this moment; none outside its hours.
    #[must_use]
    pub fn lists_now(&self, camera: &CameraId, wall: WallMs) -> Vec<ListId> {
        let local = self.zone.local(wall);
        if !self.is_open(camera, wall) {
            return Vec::new();
        }
        let open = |list: &&ListId| self.list_at(list, camera).is_some_and(|policy| policy.schedule.contains(local));
        self.lists_of(camera).iter().filter(open).cloned().collect()
    }

    /// Whether a camera raises alerts; one that is not configured does.
    #[must_use]
    pub fn mode_of(&self, camera: &CameraId) -> Mode {
        self.cameras.get(camera).map_or(Mode::Live, |camera| camera.mode)
    }

    /// The target rate for a person on `list`, stricter while the standing asks for it.
    #[must_use]
    pub fn target_fpir(&self, list: &ListId) -> f64 {
        self.lists.get(list).map_or(0.0, |list| list.target_fpir * self.standing.fpir_factor)
    }

    /// The false match rate one comparison may have at one of `looks` looks, for a person on `list` in a search among
    /// `people`.
    #[must_use]
    pub fn fmr_per_comparison(&self, list: &ListId, people: usize, looks: usize) -> f64 {
        let share = f64::from(u32::try_from(looks.max(1)).unwrap_or(u32::MAX));
        fmr_for_fpir(self.target_fpir(list) / share, people)
    }
}
