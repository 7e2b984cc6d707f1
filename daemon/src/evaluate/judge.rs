//! Every measured file before the daemon's own judge: the same `Watcher`, gallery search, calibration and policy that
//! decide about live tracks.

use super::material::Enrolled;
use crate::cmd::Failure;
use crate::measure::{self, Medium, ProbeTrack};
use sekisho_logic::calibration::Calibration;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{DetectedFace, FrameFaces, TrackedFace};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::gallery::{Gallery, Member};
use sekisho_logic::geometry::{Point, Rect};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::judge::Bench;
use sekisho_logic::outcome::{Outcome, Undecidable};
use sekisho_logic::policy::{CameraPolicy, Mode, Policy};
use sekisho_logic::record::Stage;
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_logic::watcher::{Action, Watcher};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Whether that was confirmed by disjoint frames.
    pub confirmed: bool,
    /// The same track judged once at each frame count it reaches, at each target.
    pub looks: Vec<OneLook>,
    /// All frames fused; `None` when there are none.
    pub template: Option<Embedding>,
}

/// The judge.
pub struct Court {
    gallery: Arc<Gallery>,
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
    /// A judge over these people, all on `list`, that also tries the given `targets` (rates, 0..1).
    ///
    /// # Errors
    /// [`Failure::No`] when the prototypes make no gallery.
    pub fn new(
        enrolled: &[Enrolled],
        (mut policy, list): (Policy, ListId),
        calibration: Arc<Calibration>,
        targets: Vec<f64>,
    ) -> Result<Self, Failure> {
        let camera = CameraId::try_new("measured").map_err(Failure::no)?;
        policy.cameras.insert(camera.clone(), CameraPolicy { lists: vec![list.clone()], mode: Mode::Live });
        let people: Vec<PersonId> = (0..enrolled.len())
            .map(|at| PersonId::try_new(&format!("p{at}")))
            .collect::<Result<_, _>>()
            .map_err(Failure::no)?;
        let counts: BTreeSet<u32> = calibration.cells().map(|(_, frames, _)| frames).collect();
        let mut court = Self {
            gallery: Arc::new(Gallery::default()),
            calibration,
            policy,
            list,
            camera,
            people,
            counts: counts.into_iter().collect(),
            targets,
            left_out: None,
        };
        court.gallery = Arc::new(court.gallery_without(enrolled, None)?);
        Ok(court)
    }

    fn gallery_without(&self, enrolled: &[Enrolled], left_out: Option<usize>) -> Result<Gallery, Failure> {
        let members = self.people.iter().zip(enrolled).enumerate().filter(|(at, _)| Some(*at) != left_out);
        let members = members.map(|(_, (person, its))| {
            (Member { person: person.clone(), list: self.list.clone() }, its.prototype.clone())
        });
        Gallery::try_new(1, self.calibration.model_digest(), members).map_err(Failure::no)
    }

    /// The same judge without one person in the gallery, so that this person is a stranger to it.
    ///
    /// # Errors
    /// [`Failure::No`] when the prototypes make no gallery.
    pub fn without(&self, enrolled: &[Enrolled], person: usize) -> Result<Self, Failure> {
        Ok(Self {
            gallery: Arc::new(self.gallery_without(enrolled, Some(person))?),
            calibration: Arc::clone(&self.calibration),
            policy: self.policy.clone(),
            list: self.list.clone(),
            camera: self.camera.clone(),
            people: self.people.clone(),
            counts: self.counts.clone(),
            targets: self.targets.clone(),
            left_out: Some(person),
        })
    }

    /// Judges the tracks of one file. A photograph is one frame, fewer than the daemon asks for; it is judged at that
    /// one, with the whole permitted error spent on it.
    #[must_use]
    pub fn hear(&self, file: usize, person: Option<usize>, tracks: &[&ProbeTrack]) -> Vec<Trial> {
        let mut policy = self.policy.clone();
        if tracks.iter().any(|track| track.medium == Medium::Photo) {
            policy.looks = vec![1];
        }
        let heard = self.run(&policy, tracks);
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
                    looks: self.look_once(track, &policy),
                    template: fusion.template(),
                }
            })
            .collect()
    }

    /// Plays the tracks of one file to a fresh watcher, in order of time.
    fn run(&self, policy: &Policy, tracks: &[&ProbeTrack]) -> Heard {
        let mut watcher = Watcher::new(policy.clone(), Arc::clone(&self.gallery), Arc::clone(&self.calibration), 0);
        let mut by_time: BTreeMap<Mono, Vec<TrackedFace>> = BTreeMap::new();
        for (track, number) in tracks.iter().zip(0_u64..) {
            for frame in &track.frames {
                by_time.entry(frame.at).or_default().push(TrackedFace {
                    track: TrackId(number),
                    face: nowhere(),
                    quality: frame.quality,
                    embedding: Ok(frame.embedding.clone()),
                    picture: None,
                });
            }
        }
        let mut heard = Heard::default();
        let mut last = FrameStamp { sequence: 0, mono: Mono::default(), wall: WallMs(0) };
        for (at, faces) in by_time {
            let wall = WallMs(i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
            last = FrameStamp { sequence: last.sequence + 1, mono: at, wall };
            let now = Now { mono: at, wall };
            let frame = FrameFaces { camera: self.camera.clone(), stamp: last, faces, ended: Vec::new() };
            heard.take(watcher.on_faces(now, &frame));
            heard.take(watcher.on_tick(now));
        }
        let ended = (0..tracks.len() as u64).map(TrackId).collect();
        let over = FrameFaces { camera: self.camera.clone(), stamp: last, faces: Vec::new(), ended };
        heard.take(watcher.on_faces(Now { mono: last.mono, wall: last.wall }, &over));
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

impl Heard {
    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
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
                Action::Journal(_)
                | Action::CandidateDelay(..)
                | Action::AskSecond(_)
                | Action::Evidence(_)
                | Action::Suspended(_) => {}
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
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::measure::ProbeFrame;
    use sekisho_logic::calibration::{RawBin, RawCalibration, RawRow, RawTail};
    use sekisho_logic::face::{Alignment, Quality};
    use std::path::PathBuf;
    use std::time::Duration;

    /// One bin from 8 px up: impostors N(0, 0.1), genuine around 0.5.
    fn calibration() -> Arc<Calibration> {
        let tail = [(1e-1, 0.128), (1e-2, 0.233), (1e-3, 0.309), (1e-4, 0.372), (1e-5, 0.426)];
        let row = RawRow {
            n: 1,
            decidable: true,
            reason: String::new(),
            genuine_count: 500,
            genuine_mean: 0.5,
            genuine_std: 0.1,
            impostor_count: 100_000,
            impostor_identities: 500,
            impostor_mean: 0.0,
            impostor_std: 0.1,
            site_count: None,
            llr_slope: 50.0,
            llr_offset: -12.5,
            tail: tail.iter().map(|&(fmr, cosine)| RawTail::counted(fmr, cosine)).collect(),
        };
        let raw = RawCalibration {
            format: 1,
            id: "test".into(),
            model_digest: "feed".into(),
            preprocessing: "1".into(),
            source: String::new(),
            date: None,
            source_kind: None,
            prior_id: None,
            bin: vec![RawBin { inter_eye_px_min: 8.0, inter_eye_px_max: None, frames: vec![row] }],
        };
        Arc::new(Calibration::try_new(raw).expect("a valid table"))
    }

    fn unit(values: &[f32]) -> Embedding {
        Embedding::try_new(values).expect("finite")
    }

    fn enrolled() -> Vec<Enrolled> {
        let person = |label: &str, at: usize| {
            let mut values = [0.0; 4];
            values[at] = 1.0;
            Enrolled { label: label.into(), prototype: unit(&values), templates: 1 }
        };
        vec![person("ann", 0), person("bob", 1)]
    }

    fn track(medium: Medium, frames: u64, embedding: &Embedding, px: f32) -> ProbeTrack {
        let quality = Quality {
            inter_eye_px: px,
            sharpness: 1.0,
            yaw_deg: 0.0,
            roll_deg: 0.0,
            brightness: 0.5,
            contrast: 0.2,
            alignment: Alignment::Landmarks,
        };
        let frame = |at| ProbeFrame { at: Mono::from_millis(at * 400), embedding: embedding.clone(), quality };
        ProbeTrack {
            person: None,
            unit: "x".into(),
            source: PathBuf::from("x.mp4"),
            medium,
            faces: u32::try_from(frames).expect("few"),
            largest_px: px,
            frames: (0..frames).map(frame).collect(),
            unfit: BTreeMap::new(),
        }
    }

    fn court() -> Court {
        let policy = crate::site::policy(&Settings::default());
        let list = ListId::try_new("watch").expect("a name");
        Court::new(&enrolled(), (policy, list), calibration(), vec![0.01]).expect("a gallery")
    }

    #[test]
    fn a_filmed_person_is_found_confirmed_and_a_stranger_is_not() {
        let (ann, nobody) = (unit(&[0.9, 0.0, 0.3, 0.0]), unit(&[0.1, 0.0, 0.0, 1.0]));
        let court = court();
        let found = &court.hear(0, Some(0), &[&track(Medium::Clip, 12, &ann, 20.0)])[0];
        assert_eq!((found.end, found.named, found.confirmed), (End::Candidate, Some(0), true));
        let other = &court.hear(1, None, &[&track(Medium::Clip, 12, &nobody, 20.0)])[0];
        assert_eq!((other.named, other.confirmed), (None, false));
        let alone = court.without(&enrolled(), 0).expect("a gallery");
        let stand_in = &alone.hear(2, None, &[&track(Medium::Clip, 12, &ann, 20.0)])[0];
        assert_eq!((stand_in.named, stand_in.left_out), (None, Some(0)), "she is nobody there");
    }

    #[test]
    fn a_photograph_is_judged_at_its_one_frame_and_a_clip_is_not() {
        let (court, ann) = (court(), unit(&[0.9, 0.0, 0.3, 0.0]));
        let photo = &court.hear(0, Some(0), &[&track(Medium::Photo, 1, &ann, 20.0)])[0];
        assert_eq!((photo.end, photo.named), (End::Candidate, Some(0)));
        let clip = &court.hear(0, Some(0), &[&track(Medium::Clip, 1, &ann, 20.0)])[0];
        assert_eq!(clip.end, End::Undecided(Undecidable::TooFewFrames));
        assert_eq!(clip.looks.len(), 1, "judged once at one frame all the same");
    }

    #[test]
    fn what_cannot_be_compared_or_decided_says_why() {
        let (court, ann) = (court(), unit(&[0.9, 0.0, 0.3, 0.0]));
        let small = &court.hear(0, Some(0), &[&track(Medium::Clip, 12, &ann, 5.0)])[0];
        assert_eq!(small.end, End::Undecided(Undecidable::NoCalibration));
        let nothing = &court.hear(0, Some(0), &[&track(Medium::Clip, 0, &ann, 0.0)])[0];
        assert_eq!(nothing.end, End::Unacquired(measure::Failure::NoFace));
        let blurred = ProbeTrack {
            faces: 4,
            unfit: [(sekisho_logic::face::Unfit::Blurred, 4)].into(),
            ..track(Medium::Clip, 0, &ann, 20.0)
        };
        let blurred = &court.hear(0, Some(0), &[&blurred])[0];
        assert_eq!(blurred.end, End::Unacquired(measure::Failure::Unfit(Undecidable::Blurred)));
        assert!(court.threshold(20.0, 3, 4) > court.threshold(20.0, 3, 1), "more looks share the permitted error");
        assert_eq!(court.threshold(5.0, 3, 1), None);
        assert_eq!(track(Medium::Clip, 12, &ann, 20.0).fused(6, Duration::from_millis(250)).used(), 6);
    }
}
