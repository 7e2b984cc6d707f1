//! The three answers about a track, with reasons.

use crate::explain::Explanation;
use crate::face::Unfit;
use crate::frame::FrameStamp;
use crate::id::{CameraId, PersonId, TrackId};
use crate::record::EvidenceRecord;

/// Why a track could not be decided. Counted per camera, so that an operator sees why a camera is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undecidable {
    /// Most faces had too few inter-eye pixels.
    TooSmall,
    /// Most faces were blurred.
    Blurred,
    /// Most faces were turned away.
    Pose,
    /// Most faces were too dark, too bright or without contrast.
    Exposure,
    /// Most faces were cut by the edge of the picture.
    Cut,
    /// The network gave no usable answer.
    NoEmbedding,
    /// The face was good, but gone too soon.
    TooFewFrames,
    /// No calibration supports this face size and frame count.
    NoCalibration,
    /// The evidence lies between "this person" and "not enrolled".
    Ambiguous,
    /// Two enrolled people fit about equally well.
    LookAlikes,
    /// Somebody enrolled was found, but the camera is in shadow mode and names nobody.
    ShadowMode,
    /// Most faces were outside the zones in which the camera may compare them.
    OutsideZone,
    /// The face never moved as a person does.
    Static,
}

impl Undecidable {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 13] = [
        Self::TooSmall,
        Self::Blurred,
        Self::Pose,
        Self::Exposure,
        Self::Cut,
        Self::NoEmbedding,
        Self::TooFewFrames,
        Self::NoCalibration,
        Self::Ambiguous,
        Self::LookAlikes,
        Self::ShadowMode,
        Self::OutsideZone,
        Self::Static,
    ];

    /// The word used in status, events and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too-small",
            Self::Blurred => "blurred",
            Self::Pose => "pose",
            Self::Exposure => "exposure",
            Self::Cut => "cut",
            Self::NoEmbedding => "no-embedding",
            Self::TooFewFrames => "too-few-frames",
            Self::NoCalibration => "no-calibration",
            Self::Ambiguous => "ambiguous",
            Self::LookAlikes => "look-alikes",
            Self::ShadowMode => "shadow-mode",
            Self::OutsideZone => "outside-zone",
            Self::Static => "static",
        }
    }

    /// The reason that most frames of an undecided track were left out for.
    #[must_use]
    pub const fn from_unfit(unfit: Option<Unfit>) -> Self {
        match unfit {
            Some(Unfit::TooSmall) => Self::TooSmall,
            Some(Unfit::Blurred) => Self::Blurred,
            Some(Unfit::Pose) => Self::Pose,
            Some(Unfit::Exposure) => Self::Exposure,
            Some(Unfit::Cut) => Self::Cut,
            Some(Unfit::NoEmbedding) => Self::NoEmbedding,
            Some(Unfit::OutsideZone) => Self::OutsideZone,
            Some(Unfit::Static) => Self::Static,
            Some(Unfit::TooSoon) | None => Self::TooFewFrames,
        }
    }
}

/// What a track came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// One enrolled person, past the threshold and ahead of everybody else.
    Identified {
        /// Who.
        person: PersonId,
        /// The numbers.
        evidence: EvidenceRecord,
    },
    /// Nobody in the gallery.
    NotEnrolled,
    /// No honest answer.
    NotDecidable(Undecidable),
}

impl Outcome {
    /// The word used in status, events and logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Identified { .. } => "identified",
            Self::NotEnrolled => "not-enrolled",
            Self::NotDecidable(_) => "not-decidable",
        }
    }

    /// The reason, when there is one.
    #[must_use]
    pub const fn reason(&self) -> Option<Undecidable> {
        match self {
            Self::NotDecidable(reason) => Some(*reason),
            Self::Identified { .. } | Self::NotEnrolled => None,
        }
    }
}

/// The final word on one track. Holds nothing that could recognise the person again.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackVerdict {
    /// Where.
    pub camera: CameraId,
    /// Which track.
    pub track: TrackId,
    /// The answer.
    pub outcome: Outcome,
    /// First frame.
    pub began: FrameStamp,
    /// Last frame.
    pub ended: FrameStamp,
    /// Faces seen.
    pub faces: u32,
    /// Faces fused.
    pub frames_used: u32,
    /// Median inter-eye distance of the fused faces, or the largest seen when none was fused; source pixels.
    pub inter_eye_px: f32,
    /// Faces left out, by reason.
    pub unfit: Vec<(Unfit, u32)>,
    /// How it came to that, when the watcher was asked to note it.
    pub explanation: Option<Box<Explanation>>,
}
