//! One track in flight, from its first face to its verdict.

use crate::calibrate::tally::Sample;
use crate::explain::{Explanation, LookAt};
use crate::face::Quality;
use crate::frame::FrameStamp;
use crate::fusion::{self, Fusion};
use crate::id::{CameraId, ListId, PersonId, TrackId};
use crate::judge::{Bench, Judgement};
use crate::outcome::{Outcome, TrackVerdict, Undecidable};
use crate::picture::FacePicture;
use crate::record::EvidenceRecord;
use crate::time::Mono;
use std::sync::Arc;

/// A track by camera and number.
pub(super) type Key = (CameraId, TrackId);

/// A person passing by: what was seen so far, and what was made of it.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) began: FrameStamp,
    pub(super) last: FrameStamp,
    pub(super) faces: u32,
    pub(super) first_usable: Option<Mono>,
    pub(super) largest_px: f32,
    pub(super) latest_px: f32,
    pub(super) primary: Fusion,
    pub(super) looks_done: usize,
    pub(super) accused: Option<Accused>,
    pub(super) last_judgement: Option<Outcome>,
    /// At most one a look; counted or dropped when the track ends.
    pub(super) samples: Vec<Sample>,
    /// The best of the frames in `primary`.
    pub(super) best: BestPictures,
    /// Kept only when the watcher explains.
    pub(super) told: Option<Box<Explanation>>,
}

/// The person a track's first frames spoke for, and the frames since.
#[derive(Debug)]
pub(super) struct Accused {
    pub(super) person: PersonId,
    pub(super) list: ListId,
    pub(super) evidence: EvidenceRecord,
    pub(super) since: FrameStamp,
    pub(super) secondary: Fusion,
    pub(super) looks_done: usize,
    pub(super) settled: bool,
    /// The best of the frames in `secondary`.
    pub(super) best: BestPictures,
}

/// The pictures of the frames that weigh most, best first. A handful: each is some tens of kilobytes.
#[derive(Debug, Default)]
pub(super) struct BestPictures(Vec<(f32, Arc<FacePicture>)>);

impl BestPictures {
    pub(super) fn offer(&mut self, picture: Option<&Arc<FacePicture>>, most: u32) {
        let Some(picture) = picture else { return };
        let weight = fusion::weight(&picture.quality);
        let at = self.0.partition_point(|(other, _)| *other >= weight);
        self.0.insert(at, (weight, Arc::clone(picture)));
        self.0.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }

    /// The best of several, in the order they were taken.
    pub(super) fn of(all: &[&Self], most: u32) -> Vec<Arc<FacePicture>> {
        let mut merged: Vec<_> = all.iter().flat_map(|best| best.0.iter()).collect();
        merged.sort_by(|a, b| b.0.total_cmp(&a.0));
        merged.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let mut pictures: Vec<_> = merged.into_iter().map(|(_, picture)| Arc::clone(picture)).collect();
        pictures.sort_by_key(|picture| picture.stamp.mono);
        pictures
    }
}

impl Track {
    pub(super) fn begin(stamp: FrameStamp, explains: bool) -> Self {
        Self {
            began: stamp,
            last: stamp,
            faces: 0,
            first_usable: None,
            largest_px: 0.0,
            latest_px: 0.0,
            primary: Fusion::default(),
            looks_done: 0,
            accused: None,
            last_judgement: None,
            samples: Vec::new(),
            best: BestPictures::default(),
            told: explains.then(Box::default),
        }
    }

    pub(super) fn note(&mut self, stamp: FrameStamp, quality: &Quality) {
        self.last = stamp;
        self.faces = self.faces.saturating_add(1);
        self.latest_px = quality.inter_eye_px;
        self.largest_px = self.largest_px.max(quality.inter_eye_px);
    }

    pub(super) fn verdict(mut self, key: &Key, bench: &Bench<'_>, lists: &[ListId]) -> TrackVerdict {
        let looks = &bench.policy.looks;
        let enough = looks.first().is_some_and(|first| self.primary.used() >= *first);
        let outcome = match (&self.accused, &self.last_judgement) {
            (Some(_), Some(Outcome::NotDecidable(reason))) => Outcome::NotDecidable(*reason),
            (Some(accused), _) => {
                Outcome::Identified { person: accused.person.clone(), evidence: accused.evidence.clone() }
            }
            (None, _) if !enough => Outcome::NotDecidable(Undecidable::from_unfit(self.primary.main_unfit())),
            // No look of its own: all frames may speak for "not enrolled" or "cannot tell", never for a person. Frames
            // after the last look may have tipped the scales; saying so would be one look more than was paid for.
            (None, _) => {
                let judged = bench.judge(&self.primary, lists, looks.len());
                note_look(&mut self.told, LookAt::End, self.last, &self.primary, &judged);
                match judged.outcome {
                    Outcome::Identified { .. } => Outcome::NotDecidable(Undecidable::Ambiguous),
                    other => other,
                }
            }
        };
        let mut unfit = self.primary.unfit().clone();
        for (why, count) in self.accused.iter().flat_map(|accused| accused.secondary.unfit()) {
            *unfit.entry(*why).or_default() += count;
        }
        TrackVerdict {
            camera: key.0.clone(),
            track: key.1,
            outcome,
            began: self.began,
            ended: self.last,
            faces: self.faces,
            frames_used: self.primary.used() + self.accused.as_ref().map_or(0, |accused| accused.secondary.used()),
            inter_eye_px: if self.primary.used() > 0 { self.primary.inter_eye_px() } else { self.largest_px },
            unfit: unfit.into_iter().collect(),
            explanation: self.told,
        }
    }
}

/// Notes a look when the watcher explains.
pub(super) fn note_look(
    told: &mut Option<Box<Explanation>>,
    at: LookAt,
    stamp: FrameStamp,
    fusion: &Fusion,
    judged: &Judgement,
) {
    if let Some(told) = told {
        told.note_look(at, stamp, (fusion.used(), fusion.inter_eye_px()), judged);
    }
}
