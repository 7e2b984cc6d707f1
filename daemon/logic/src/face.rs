//! One face in one frame: where it is, how good it is, and what came of it.

use crate::embedding::Embedding;
use crate::frame::FrameStamp;
use crate::geometry::{Landmarks, Rect};
use crate::id::{CameraId, TrackId};
use crate::picture::FacePicture;
use std::sync::Arc;

/// What the detector reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetectedFace {
    /// The box, in pixels of the source frame.
    pub box_in_frame: Rect,
    /// The five points, in pixels of the source frame.
    pub landmarks_in_frame: Landmarks,
    /// The detector's own score, 0..=1. Not a probability.
    pub score: f32,
}

/// How a face was brought into the 112x112 crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alignment {
    /// Five-point similarity.
    Landmarks,
    /// The points were collinear, out of order or outside the box, so the crop is centred on the box. Such a face is
    /// embedded and tracked, but its evidence weighs less.
    BoxFallback,
}

/// What could be measured of a face before any network looked at it.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Quality {
    /// Distance between the eyes in the source frame, in pixels, before any resizing. With [`Alignment::BoxFallback`]
    /// it is estimated from the box width. The size by which scores are calibrated.
    pub inter_eye_px: f32,
    /// 0..=1: high-frequency energy relative to contrast, measured at one common scale so that a small face does not
    /// look sharper for being small.
    pub sharpness: f32,
    /// Degrees the head is turned, from where the nose lies between the eyes; positive to the viewer's right. Coarse.
    pub yaw_deg: f32,
    /// Degrees the line between the eyes is tilted.
    pub roll_deg: f32,
    /// Mean luma of the crop, 0..=1.
    pub brightness: f32,
    /// Standard deviation of luma of the crop, 0..=1.
    pub contrast: f32,
    /// How it was aligned.
    pub alignment: Alignment,
}

/// Why a detected face was not embedded or its embedding does not count. Counted per camera, so that an operator sees
/// why a camera is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unfit {
    /// Fewer inter-eye pixels than the policy's floor.
    TooSmall,
    /// Sharpness below the floor.
    Blurred,
    /// Turned or tilted beyond the limit.
    Pose,
    /// Too dark, too bright or without contrast.
    Exposure,
    /// The box touches the edge of the picture.
    Cut,
    /// Too soon after the last frame of this track that was used; it would repeat the same evidence.
    TooSoon,
    /// The network's answer was not a usable vector.
    NoEmbedding,
    /// Outside the zones in which the camera may compare faces.
    OutsideZone,
    /// It does not move as a person does: a picture on a wall.
    Static,
}

impl Unfit {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 9] = [
        Self::TooSmall,
        Self::Blurred,
        Self::Pose,
        Self::Exposure,
        Self::Cut,
        Self::TooSoon,
        Self::NoEmbedding,
        Self::OutsideZone,
        Self::Static,
    ];

    /// The word used in configuration, status and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooSmall => "too-small",
            Self::Blurred => "blurred",
            Self::Pose => "pose",
            Self::Exposure => "exposure",
            Self::Cut => "cut",
            Self::TooSoon => "too-soon",
            Self::NoEmbedding => "no-embedding",
            Self::OutsideZone => "outside-zone",
            Self::Static => "static",
        }
    }
}

/// A detected face with its track and, when it was worth it, its embedding.
#[derive(Clone, Debug)]
pub struct TrackedFace {
    /// The track it belongs to.
    pub track: TrackId,
    /// Where it is.
    pub face: DetectedFace,
    /// How good it is.
    pub quality: Quality,
    /// The embedding, or why there is none.
    pub embedding: Result<Embedding, Unfit>,
    /// What it looked like, for the second network and for reviewers; only beside an embedding.
    pub picture: Option<Arc<FacePicture>>,
}

/// Everything one analysed frame contributes to deciding. Sent also when no face was seen, so that time passes.
#[derive(Clone, Debug)]
pub struct FrameFaces {
    /// Which camera.
    pub camera: CameraId,
    /// When.
    pub stamp: FrameStamp,
    /// Width and height of the frame, in pixels; what is inside a camera's zones hangs on it.
    pub frame_px: (f32, f32),
    /// The faces.
    pub faces: Vec<TrackedFace>,
    /// Tracks that ended with this frame; they get their final verdict.
    pub ended: Vec<TrackId>,
}
