//! Every measured file before the daemon's own judge: the same `Watcher`, gallery search, calibration and policy that
//! decide about live tracks.

use super::material::Enrolled;
use crate::cmd::Failure;
use crate::measure::{self, Medium, ProbeFrame, ProbeTrack};
use sekisho_logic::calibration::Calibration;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{DetectedFace, FrameFaces, Quality, TrackedFace};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::gallery::{Gallery, Member};
use sekisho_logic::geometry::{Point, Rect};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::judge::Bench;
use sekisho_logic::outcome::{Outcome, Undecidable};
use sekisho_logic::picture::{FacePicture, RgbPatch};
use sekisho_logic::policy::{CameraPolicy, Policy};
use sekisho_logic::record::Stage;
use sekisho_logic::second::{SecondAnswer, SecondNetwork};
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_logic::watcher::{Action, AlertPictures, Watcher};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// What became of a track, for the table of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// A candidate was raised.
    Candidate,
    /// Nothing could be compared.
    Unacquired(measure::Failure),
    /// Compared and not decided.
    Undecided(Undecidable),
    /// Compared: nobody who is enrolled.
    NotEnrolled,
}

impl End {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unacquired(why) => why.as_str(),
            Self::Undecided(why) => why.as_str(),
            Self::NotEnrolled => "not-enrolled",
            Self::Candidate => "candidate",
        }
    }
}

/// A track judged once at a frame count, at one target rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneLook {
    /// Frames fused.
    pub frames: u32,
    /// Median inter-eye distance of these, source pixels.
    pub px: f32,
    /// Which of the targets.
    pub target: usize,
    /// Whether the calibration decides at this size and count.
    pub decidable: bool,
    /// Who was identified, by place in the gallery.
    pub named: Option<usize>,
}

/// One track and what was decided about it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Whom to resample together.
    pub unit: String,
    /// Who it is, by place in the gallery; `None` for a stranger.
    pub person: Option<usize>,
    /// Who was left out of the gallery so as to stand in for a stranger, by place in it.
    pub left_out: Option<usize>,
    /// Number of its file: tracks of one file are one appearance.
    pub file: usize,
    /// What the file was.
    pub medium: Medium,
    /// Median inter-eye distance of the usable frames, or the largest seen; zero without a face.
    pub px: f32,
    /// Frames fused in the end.
    pub frames: u32,
    /// What became of it.
    pub end: End,
    /// Of whom it became a candidate, by place in the gallery.
    pub named: Option<usize>,
    /// Whether that was machine-confirmed: by disjoint frames, and by the second network's agreement where there is one.
    pub confirmed: bool,
    /// Whether disjoint frames alone would have confirmed it.
    pub confirmed_alone: bool,
    /// The same track judged once at each frame count it reaches, at each target.
    pub looks: Vec<OneLook>,
    /// All frames fused; `None` when there are none.
    pub template: Option<Embedding>,
}

/// The judge.
pub struct Court {
    gallery: Arc<Gallery>,
    second: Option<SecondNetwork>,
    calibration: Arc<Calibration>,
    policy: Policy,
    list: ListId,
    camera: CameraId,
    people: Vec<PersonId>,
    counts: Vec<u32>,
    targets: Vec<f64>,
    left_out: Option<usize>,
}

impl Court {
    /// A judge over these people, all on `list`, that also tries the given `targets` (rates, 0..1). With the calibration of a
    /// second network, machine confirmation needs its agreement.
    ///
    /// # Errors
    /// [`Failure::No`] when the prototypes make no gallery.
    pub fn new(
        enrolled: &[Enrolled],
        (mut policy, list): (Policy, ListId),
        (calibration, second): (Arc<Calibration>, Option<Arc<Calibration>>),
        targets: Vec<f64>,
    ) -> Result<Self, Failure> {
        let camera = CameraId::try_new("measured").map_err(Failure::no)?;
        policy.cameras.insert(camera.clone(), CameraPolicy { lists: vec![list.clone()], ..CameraPolicy::default() });
        let people: Vec<PersonId> = (0..enrolled.len())
            .map(|at| PersonId::try_new(&format!("p{at}")))
            .collect::<Result<_, _>>()
            .map_err(Failure::no)?;
        let counts: BTreeSet<u32> = calibration.cells().map(|(_, frames, _)| frames).collect();
        let mut court = Self {
            gallery: Arc::new(Gallery::default()),
            second: second.map(|calibration| SecondNetwork { gallery: Arc::new(Gallery::default()), calibration }),
            calibration,
            policy,
            list,
            camera,
            people,
            counts: counts.into_iter().collect(),
            targets,
            left_out: None,
        };
        court.fill(enrolled)?;
        Ok(court)
    }

    /// Puts everybody but whoever is left out into the galleries.
    fn fill(&mut self, enrolled: &[Enrolled]) -> Result<(), Failure> {
        let members = || self.people.iter().zip(enrolled).enumerate().filter(|(at, _)| Some(*at) != self.left_out);
        let member = |person: &PersonId| Member { person: person.clone(), list: self.list.clone() };
        let first = members().map(|(_, (person, its))| (member(person), its.prototype.clone()));
        let gallery = Gallery::try_new(1, self.calibration.model_digest(), first).map_err(Failure::no)?;
        if let Some(SecondNetwork { calibration, .. }) = &self.second {
            let second = members().filter_map(|(_, (person, its))| Some((member(person), its.second.clone()?)));
            let gallery = Gallery::try_new(1, calibration.model_digest(), second).map_err(Failure::no)?;
            self.second = Some(SecondNetwork { gallery: Arc::new(gallery), calibration: Arc::clone(calibration) });
        }
        self.gallery = Arc::new(gallery);
        Ok(())
    }

    /// The same judge without one person in the gallery, so that this person is a stranger to it.
    ///
    /// # Errors
    /// [`Failure::No`] when the prototypes make no gallery.
    pub fn without(&self, enrolled: &[Enrolled], person: usize) -> Result<Self, Failure> {
        let mut court = Self {
            gallery: Arc::clone(&self.gallery),
            second: self.second.clone(),
            calibration: Arc::clone(&self.calibration),
            policy: self.policy.clone(),
            list: self.list.clone(),
            camera: self.camera.clone(),
            people: self.people.clone(),
            counts: self.counts.clone(),
            targets: self.targets.clone(),
            left_out: Some(person),
        };
        court.fill(enrolled)?;
        Ok(court)
    }

    /// Judges the tracks of one file. A photograph is one frame, fewer than the daemon asks for; it is judged at that
    /// one, with the whole permitted error spent on it.
    #[must_use]
    pub fn hear(&self, file: usize, person: Option<usize>, tracks: &[&ProbeTrack]) -> Vec<Trial> {
        let mut policy = self.policy.clone();
        if tracks.iter().any(|track| track.medium == Medium::Photo) {
            policy.looks = vec![1];
        }
        let heard = self.run(&policy, tracks, self.second.as_ref());
        // The same once more without the second network, to say what that one brings; judging costs little.
        let alone = self.second.is_some().then(|| self.run(&policy, tracks, None));
        let alone = alone.as_ref().unwrap_or(&heard);
        let place = |id: &PersonId| self.people.iter().position(|known| known == id);
        tracks
            .iter()
            .zip(0_u64..)
            .map(|(track, number)| {
                let id = TrackId(number);
                let fusion = track.fused(u32::MAX, policy.min_interval);
                let candidate = heard.candidates.get(&id).and_then(place);
                let outcome = heard.outcomes.get(&id);
                let end = match (candidate, track.failure(), outcome) {
                    (Some(_), ..) | (None, None, Some(Outcome::Identified { .. })) => End::Candidate,
                    (None, Some(failure), _) => End::Unacquired(failure),
                    (None, None, Some(Outcome::NotEnrolled)) => End::NotEnrolled,
                    (None, None, Some(Outcome::NotDecidable(why))) => End::Undecided(*why),
                    (None, None, None) => End::Undecided(Undecidable::TooFewFrames),
                };
                let named = candidate.or_else(|| match outcome {
                    Some(Outcome::Identified { person, .. }) => place(person),
                    _ => None,
                });
                Trial {
                    unit: track.unit.clone(),
                    person,
                    left_out: self.left_out,
                    file,
                    medium: track.medium,
                    px: track.inter_eye_px(policy.min_interval),
                    frames: fusion.used(),
                    end,
                    named,
                    confirmed: named.is_some_and(|at| heard.confirmed.contains(&self.people[at])),
                    confirmed_alone: named.is_some_and(|at| alone.confirmed.contains(&self.people[at])),
                    looks: self.look_once(track, &policy),
                    template: fusion.template(),
                }
            })
            .collect()
    }

    /// Plays the tracks of one file to a fresh watcher, in order of time.
    fn run(&self, policy: &Policy, tracks: &[&ProbeTrack], second: Option<&SecondNetwork>) -> Heard {
        let mut watcher = Watcher::new(policy.clone(), Arc::clone(&self.gallery), Arc::clone(&self.calibration), 0);
        if let Some(second) = second {
            watcher = watcher.with_second(second.clone());
        }
        let mut by_time: BTreeMap<Mono, Vec<TrackedFace>> = BTreeMap::new();
        let mut shown = Shown::default();
        for (track, number) in tracks.iter().zip(0_u64..) {
            for frame in &track.frames {
                by_time.entry(frame.at).or_default().push(TrackedFace {
                    track: TrackId(number),
                    face: nowhere(),
                    quality: frame.quality,
                    embedding: Ok(frame.embedding.clone()),
                    picture: second.and_then(|_| shown.stand_in(frame)),
                });
            }
        }
        let mut heard = Heard::default();
        let mut last = FrameStamp { sequence: 0, mono: Mono::default(), wall: WallMs(0) };
        for (at, faces) in by_time {
            let wall = WallMs(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
            last = FrameStamp { sequence: last.sequence + 1, mono: at, wall };
            let now = Now { mono: at, wall };
            let frame =
                FrameFaces { camera: self.camera.clone(), stamp: last, frame_px: (0.0, 0.0), faces, ended: Vec::new() };
            heard.take(watcher.on_faces(now, &frame), (&mut watcher, &shown, now));
            heard.take(watcher.on_tick(now), (&mut watcher, &shown, now));
        }
        let ended = (0..tracks.len() as u64).map(TrackId).collect();
        let over =
            FrameFaces { camera: self.camera.clone(), stamp: last, frame_px: (0.0, 0.0), faces: Vec::new(), ended };
        let now = Now { mono: last.mono, wall: last.wall };
        heard.take(watcher.on_faces(now, &over), (&mut watcher, &shown, now));
        heard
    }

    /// The track judged a single time at each frame count it reaches, at each target.
    fn look_once(&self, track: &ProbeTrack, policy: &Policy) -> Vec<OneLook> {
        let lists = std::slice::from_ref(&self.list);
        let mut looks = Vec::new();
        for frames in &self.counts {
            let fusion = track.fused(*frames, policy.min_interval);
            if fusion.used() < *frames {
                break;
            }
            let px = fusion.inter_eye_px();
            let decidable = self.calibration.row(px, *frames).is_some();
            for (target, rate) in self.targets.iter().enumerate() {
                let mut policy = policy.clone();
                if let Some(list) = policy.lists.get_mut(&self.list) {
                    list.target_fpir = *rate;
                }
                let bench = Bench { gallery: &self.gallery, calibration: &self.calibration, policy: &policy };
                let named = match bench.judge(&fusion, lists, 1).outcome {
                    Outcome::Identified { person, .. } => self.people.iter().position(|known| *known == person),
                    Outcome::NotEnrolled | Outcome::NotDecidable(_) => None,
                };
                looks.push(OneLook { frames: *frames, px, target, decidable, named });
            }
        }
        looks
    }

    /// The cosine a candidate needs at a face size and frame count, with the permitted error divided among `looks`.
    /// `None` where nothing is decided.
    #[must_use]
    pub fn threshold(&self, px: f32, frames: u32, looks: usize) -> Option<f32> {
        let fmr = self.policy.fmr_per_comparison(&self.list, self.people.len(), looks);
        self.calibration.row(px, frames).map(|row| row.threshold(fmr))
    }
}

#[derive(Default)]
struct Heard {
    candidates: BTreeMap<TrackId, PersonId>,
    confirmed: BTreeSet<PersonId>,
    outcomes: BTreeMap<TrackId, Outcome>,
}

/// What the second network made of each frame. The frames' pictures are long gone, so the watcher is given stand-ins that say
/// by their number whose they are.
#[derive(Default)]
struct Shown(Vec<(Embedding, Quality)>);

impl Shown {
    fn stand_in(&mut self, frame: &ProbeFrame) -> Option<Arc<FacePicture>> {
        let embedding = frame.second.clone()?;
        let stamp = FrameStamp { sequence: self.0.len() as u64, mono: frame.at, wall: WallMs(0) };
        self.0.push((embedding, frame.quality));
        let dot = RgbPatch::try_new(1, 1, vec![0; 3])?;
        Some(Arc::new(FacePicture { stamp, quality: frame.quality, aligned: dot.clone(), native: dot }))
    }

    fn answer(&self, look: &AlertPictures) -> SecondAnswer {
        let places = look.pictures.iter().filter_map(|picture| usize::try_from(picture.stamp.sequence).ok());
        SecondAnswer::Embeddings(places.filter_map(|at| self.0.get(at).cloned()).collect())
    }
}

impl Heard {
    fn take(&mut self, actions: Vec<Action>, (watcher, shown, now): (&mut Watcher, &Shown, Now)) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Journal(event) if event.after.stage == Stage::Candidate => {
                    self.candidates.insert(event.after.track, event.after.person.clone());
                }
                Action::Journal(event) if matches!(event.after.stage, Stage::MachineConfirmed | Stage::Confirmed) => {
                    self.confirmed.insert(event.after.person.clone());
                }
                Action::Verdict(verdict) => {
                    self.outcomes.insert(verdict.track, verdict.outcome);
                }
                Action::AskSecond(look) => {
                    actions.extend(watcher.on_second(now, &look.alert, &shown.answer(&look)));
                }
                Action::Journal(_) | Action::CandidateDelay(..) | Action::Evidence(_) | Action::Suspended(_) => {}
            }
        }
    }
}

/// The judge does not ask where a face was.
const fn nowhere() -> DetectedFace {
    DetectedFace {
        box_in_frame: Rect { x: 0.0, y: 0.0, width: 0.0, height: 0.0 },
        landmarks_in_frame: [Point { x: 0.0, y: 0.0 }; 5],
        score: 1.0,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(crate) mod tests;
