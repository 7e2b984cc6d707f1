//! Labelled photographs and clips become probe tracks, through the same eyes, tracker and quality rules as live
//! cameras. What `evaluate` measures with, and whatever else needs labelled tracks.
//!
//! ```text
//! folder -> Tree -> Measurer -> ProbeTrack { who, file, frames (embedding, quality, time) | why there are none }
//! ```
//!
//! A clip in a person's folder shows that person and nobody else; a photograph is a track of one frame. Nothing here is
//! stored: embeddings live as long as the value that holds them.

mod extract;
mod still;
mod tree;

pub use extract::{Measurer, SkipReason, Skipped};
pub use tree::{BadTree, Material, Medium, Person, Tree};

use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{Quality, Unfit};
use sekisho_logic::fusion::Fusion;
use sekisho_logic::outcome::Undecidable;
use sekisho_logic::time::Mono;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One frame of a probe that was embedded.
#[derive(Clone, Debug)]
pub struct ProbeFrame {
    /// The clip's own time; zero for a photograph.
    pub at: Mono,
    /// What the embedder made of it.
    pub embedding: Embedding,
    /// Size (source pixels between the eyes) and quality.
    pub quality: Quality,
    /// What the second network made of it; absent without one, for photographs, and beyond [`SECOND_FRAMES_MAX`].
    pub second: Option<Embedding>,
}

/// Frames of a track that the second network is shown at the most: as many as candidate and confirmation can use together.
pub const SECOND_FRAMES_MAX: usize = 2 * sekisho_logic::fusion::FRAMES_MAX as usize;

/// What one network, and the second one where there is one, made of an enrolment picture.
#[derive(Clone, Debug)]
pub struct Template {
    /// By the embedder.
    pub embedding: Embedding,
    /// By the second network.
    pub second: Option<Embedding>,
}

/// One face followed through one file, or the fact that a file showed none.
#[derive(Clone, Debug)]
pub struct ProbeTrack {
    /// Label of the person's folder; `None` for somebody who is known only to be nobody enrolled.
    pub person: Option<String>,
    /// Whom to resample together: the folder's label, or the file's name where strangers have no folders.
    pub unit: String,
    /// The file.
    pub source: PathBuf,
    /// What it was.
    pub medium: Medium,
    /// Faces seen, embedded or not; zero when the file showed none.
    pub faces: u32,
    /// Largest inter-eye distance seen, source pixels; zero when the file showed no face.
    pub largest_px: f32,
    /// Embedded frames in order of time.
    pub frames: Vec<ProbeFrame>,
    /// Faces that were not embedded, by reason.
    pub unfit: BTreeMap<Unfit, u32>,
}

/// Why nothing of a probe can be compared: a failure to acquire (ISO/IEC 19795-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No face was found at all.
    NoFace,
    /// Faces were found, and most were unfit for this reason.
    Unfit(Undecidable),
}

impl Failure {
    /// The word used in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoFace => "no-face",
            Self::Unfit(why) => why.as_str(),
        }
    }
}

impl ProbeTrack {
    /// Why this probe has no frame to compare; `None` when it has one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        if !self.frames.is_empty() {
            return None;
        }
        if self.faces == 0 {
            return Some(Failure::NoFace);
        }
        Some(Failure::Unfit(Undecidable::from_unfit(self.fused(0, Duration::ZERO).main_unfit())))
    }

    /// The first `frames_max` usable frames as the daemon fuses them.
    #[must_use]
    pub fn fused(&self, frames_max: u32, min_interval: Duration) -> Fusion {
        let mut fusion = Fusion::default();
        for (why, count) in &self.unfit {
            (0..*count).for_each(|_| fusion.leave_out(*why));
        }
        for frame in &self.frames {
            if fusion.used() >= frames_max {
                break;
            }
            fusion.offer(frame.at, &frame.embedding, &frame.quality, min_interval);
        }
        fusion
    }

    /// Median inter-eye distance of all fused frames, or the largest seen when there are none; source pixels.
    #[must_use]
    pub fn inter_eye_px(&self, min_interval: Duration) -> f32 {
        let fusion = self.fused(u32::MAX, min_interval);
        if fusion.used() > 0 { fusion.inter_eye_px() } else { self.largest_px }
    }
}
