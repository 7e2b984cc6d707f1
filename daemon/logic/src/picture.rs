//! What one face looked like. Held in memory for the best few frames of a track, so that a second network and the people
//! who review an alert see what the first network saw; written down only for tracks that raise an alert.

use crate::face::Quality;
use crate::frame::FrameStamp;
use std::fmt;

/// A small RGB picture, 8 bits a channel, rows from the top, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbPatch {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

impl RgbPatch {
    /// `None` unless `rgb` holds exactly `3 * width * height` bytes and neither side is zero.
    #[must_use]
    pub fn try_new(width: u32, height: u32, rgb: Vec<u8>) -> Option<Self> {
        let bytes = u64::from(width) * u64::from(height) * 3;
        (bytes > 0 && rgb.len() as u64 == bytes).then_some(Self { width, height, rgb })
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The bytes.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl fmt::Debug for RgbPatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbPatch({}x{})", self.width, self.height)
    }
}

/// One face of one frame.
#[derive(Clone, Debug, PartialEq)]
pub struct FacePicture {
    /// When it was taken.
    pub stamp: FrameStamp,
    /// How good it is.
    pub quality: Quality,
    /// The aligned 112x112 crop that networks are given.
    pub aligned: RgbPatch,
    /// The face with a margin, at the camera's own resolution: what a reviewer is shown.
    pub native: RgbPatch,
}
