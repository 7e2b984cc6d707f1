//! Why a track came to what it came to: what was seen, what was used, every look, and what would have helped.
//!
//! Recorded only when the watcher is asked to ([`Watcher::explaining`](crate::watcher::Watcher::explaining)), for a
//! sheet about a recording; the running daemon does not ask. Holds numbers, no embedding and no picture.

use crate::calibration::Calibration;
use crate::face::{Quality, Unfit};
use crate::fitness::Floors;
use crate::frame::FrameStamp;
use crate::fusion::Offered;
use crate::judge::{Bar, Judgement};
use crate::outcome::{Outcome, TrackVerdict, Undecidable};
use crate::policy::Policy;
use crate::record::EvidenceRecord;

/// Faces of one track that are noted one by one: at five a second, nearly two minutes. Later ones are only counted.
pub const FACES_NOTED_MAX: usize = 512;

/// What became of one face of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Fused into the frames that may raise a candidate.
    Used,
    /// Fused into the later frames that may confirm one.
    UsedToConfirm,
    /// Left out.
    LeftOut(Unfit),
    /// The template was full.
    Full,
    /// The matter was settled already.
    Settled,
}

impl Fate {
    pub(crate) const fn of(offered: Offered, used: Self) -> Self {
        match offered {
            Offered::Used => used,
            Offered::LeftOut(why) => Self::LeftOut(why),
            Offered::Full => Self::Full,
        }
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::UsedToConfirm => "used-to-confirm",
            Self::LeftOut(why) => why.as_str(),
            Self::Full => "full",
            Self::Settled => "settled",
        }
    }

    /// Whether it is part of a template.
    #[must_use]
    pub const fn is_used(self) -> bool {
        matches!(self, Self::Used | Self::UsedToConfirm)
    }
}

/// One face of a track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceNote {
    /// In which frame.
    pub stamp: FrameStamp,
    /// How good it was.
    pub quality: Quality,
    /// What became of it.
    pub fate: Fate,
}

/// Which look it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAt {
    /// At the frames that may raise a candidate.
    Candidate,
    /// At the disjoint frames that may confirm it.
    Confirmation,
    /// At the end of the track: may say "not enrolled" or "cannot tell", never a person.
    End,
}

impl LookAt {
    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Confirmation => "confirmation",
            Self::End => "end",
        }
    }
}

/// One look: how many frames, how far the best person got, and how far they had to get.
#[derive(Clone, Debug, PartialEq)]
pub struct LookNote {
    /// Which.
    pub at: LookAt,
    /// After which frame.
    pub stamp: FrameStamp,
    /// Frames fused by then.
    pub frames_used: u32,
    /// Their median inter-eye distance, source pixels.
    pub inter_eye_px: f32,
    /// The nearest enrolled person and the numbers; absent when nobody was compared or nothing may be decided here.
    pub best: Option<(crate::gallery::Member, EvidenceRecord)>,
    /// What had to be reached; absent when nothing may be decided at this size and frame count.
    pub bar: Option<Bar>,
    /// What it came to.
    pub outcome: Outcome,
}

/// Everything noted about one track.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Explanation {
    /// Its faces, oldest first.
    pub faces: Vec<FaceNote>,
    /// Faces beyond [`FACES_NOTED_MAX`].
    pub faces_unnoted: u32,
    /// Its looks, in order; as many as the policy has, and one at the end.
    pub looks: Vec<LookNote>,
}

impl Explanation {
    pub(crate) fn note_face(&mut self, stamp: FrameStamp, quality: Quality, fate: Fate) {
        if self.faces.len() < FACES_NOTED_MAX {
            self.faces.push(FaceNote { stamp, quality, fate });
        } else {
            self.faces_unnoted = self.faces_unnoted.saturating_add(1);
        }
    }

    pub(crate) fn note_look(&mut self, at: LookAt, stamp: FrameStamp, fused: (u32, f32), judged: &Judgement) {
        self.looks.push(LookNote {
            at,
            stamp,
            frames_used: fused.0,
            inter_eye_px: fused.1,
            best: judged.best.clone(),
            bar: judged.bar,
            outcome: judged.outcome.clone(),
        });
    }

    /// Smallest, median and largest inter-eye distance of its faces, source pixels; `None` without faces.
    #[must_use]
    pub fn inter_eye_px(&self) -> Option<(f32, f32, f32)> {
        let mut sizes: Vec<f32> = self.faces.iter().map(|face| face.quality.inter_eye_px).collect();
        sizes.sort_by(f32::total_cmp);
        Some((*sizes.first()?, *sizes.get(sizes.len() / 2)?, *sizes.last()?))
    }

    fn count(&self, wanted: Fate) -> u32 {
        let count = self.faces.iter().filter(|face| face.fate == wanted).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Median of `value` over the faces left out for `why`.
    fn median_of(&self, why: Unfit, value: impl Fn(&Quality) -> f32) -> f32 {
        let left = self.faces.iter().filter(|face| face.fate == Fate::LeftOut(why));
        let mut values: Vec<f32> = left.map(|face| value(&face.quality)).collect();
        values.sort_by(f32::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }
}

/// What would have helped, with the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Help {
    /// More usable frames of the person.
    MoreFrames {
        /// Frames used.
        have: u32,
        /// Frames a decision takes at this size.
        need: u32,
    },
    /// More pixels between the eyes.
    LargerFaces {
        /// Pixels there were.
        have_px: f32,
        /// Pixels from which a decision is possible.
        need_px: f32,
    },
    /// Evidence between the two limits.
    MoreEvidence {
        /// Log likelihood ratio reached.
        have_llr: f32,
        /// Needed for a candidate.
        need_llr: f32,
        /// Frames at which it would have been looked at again.
        next_look: Option<u32>,
    },
    /// Two enrolled people fit: better photographs of both, or closer faces.
    ApartFromRunnerUp {
        /// Lead, log likelihood ratio.
        have_llr: f32,
        /// Lead needed.
        need_llr: f32,
    },
    /// Later frames that may confirm.
    ConfirmingFrames {
        /// Later frames used.
        have: u32,
        /// Later frames the first confirming look takes.
        need: u32,
    },
    /// Sharper pictures.
    Sharper {
        /// Sharpness of the blurred faces, 0..=1.
        have: f32,
        /// Least sharpness.
        need: f32,
    },
    /// Faces turned to the camera.
    Frontal {
        /// Degrees they were turned.
        have_deg: f32,
        /// Most degrees.
        most_deg: f32,
    },
    /// Light.
    Light {
        /// Brightness of the badly lit faces, 0..=1.
        have: f32,
    },
    /// A view that does not end in the face.
    WholeFace,
    /// Nobody was enrolled on the camera's lists.
    SomebodyEnrolled,
}

/// What would have helped a track of which `told` was recorded. Empty when it was decided as far as it goes.
#[must_use]
pub fn help(
    verdict: &TrackVerdict,
    told: &Explanation,
    calibration: &Calibration,
    policy: &Policy,
    floors: &Floors,
) -> Vec<Help> {
    match &verdict.outcome {
        Outcome::Identified { .. } => unconfirmed(told, policy).into_iter().collect(),
        Outcome::NotEnrolled => {
            let nobody = told.looks.iter().all(|look| look.best.is_none());
            if nobody { vec![Help::SomebodyEnrolled] } else { Vec::new() }
        }
        Outcome::NotDecidable(reason) => undecided(*reason, told, calibration, policy, floors),
    }
}

fn unconfirmed(told: &Explanation, policy: &Policy) -> Option<Help> {
    let (have, need) = (told.count(Fate::UsedToConfirm), policy.confirm_looks.first().copied().unwrap_or(1));
    let confirmed = told
        .looks
        .iter()
        .any(|look| look.at == LookAt::Confirmation && matches!(look.outcome, Outcome::Identified { .. }));
    (!confirmed && have < need).then_some(Help::ConfirmingFrames { have, need })
}

fn undecided(
    reason: Undecidable,
    told: &Explanation,
    calibration: &Calibration,
    policy: &Policy,
    floors: &Floors,
) -> Vec<Help> {
    let used = told.count(Fate::Used);
    let need = policy.looks.first().copied().unwrap_or(1);
    let (_, middle, largest) = told.inter_eye_px().unwrap_or_default();
    let larger = |have_px: f32, frames: u32| {
        let from = calibration.decidable_from_px(frames)?.max(floors.inter_eye_px_min);
        (have_px < from).then_some(Help::LargerFaces { have_px, need_px: from })
    };
    let more_frames = (used < need).then_some(Help::MoreFrames { have: used, need });
    let last = told.looks.last();
    match reason {
        // Somebody who was large enough for a moment was too small for most of it.
        Undecidable::TooSmall => vec![larger(middle, need), more_frames],
        Undecidable::Blurred => vec![
            Some(Help::Sharper {
                have: told.median_of(Unfit::Blurred, |quality| quality.sharpness),
                need: floors.sharpness_min,
            }),
            more_frames,
        ],
        Undecidable::Pose => vec![
            Some(Help::Frontal {
                have_deg: told.median_of(Unfit::Pose, |quality| quality.yaw_deg.abs().max(quality.roll_deg.abs())),
                most_deg: floors.yaw_deg_max,
            }),
            more_frames,
        ],
        Undecidable::Exposure => {
            vec![Some(Help::Light { have: told.median_of(Unfit::Exposure, |quality| quality.brightness) }), more_frames]
        }
        Undecidable::Cut => vec![Some(Help::WholeFace), more_frames],
        // Nothing was missing: nobody is named in shadow mode, outside the zones, or of a picture on a wall.
        Undecidable::ShadowMode | Undecidable::OutsideZone | Undecidable::Static => Vec::new(),
        Undecidable::TooFewFrames | Undecidable::NoEmbedding => vec![more_frames, larger(largest, need)],
        Undecidable::NoCalibration => {
            let px = last.map_or(largest, |look| look.inter_eye_px);
            match calibration.frames_needed(px) {
                Some(need) if need > used => vec![Some(Help::MoreFrames { have: used, need })],
                _ => vec![larger(px, used.max(1))],
            }
        }
        Undecidable::Ambiguous => vec![last.and_then(|look| {
            let ((_, evidence), bar) = (look.best.as_ref()?, look.bar?);
            let looks = if look.at == LookAt::Confirmation { &policy.confirm_looks } else { &policy.looks };
            let next_look = looks.iter().copied().find(|frames| *frames > look.frames_used);
            Some(Help::MoreEvidence { have_llr: evidence.llr, need_llr: bar.llr_min, next_look })
        })],
        Undecidable::LookAlikes => vec![last.and_then(|look| {
            let ((_, evidence), bar) = (look.best.as_ref()?, look.bar?);
            Some(Help::ApartFromRunnerUp { have_llr: evidence.runner_up_gap?, need_llr: bar.gap_llr_min })
        })],
    }
    .into_iter()
    .flatten()
    .collect()
}
