//! What a decoded picture looks like to the rest of the program: three (I420) or two (NV12) borrowed planes.
//!
//! The camera crate owns the memory; nobody converts the whole frame to RGB. Sampling is done where it is needed, on
//! exactly the pixels that are needed.

use crate::time::{Mono, WallMs};

/// Where chroma lives. Both are 4:2:0 with 8 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chroma<'a> {
    /// Two planes of half width and height.
    I420 {
        /// Blue difference.
        u: Plane<'a>,
        /// Red difference.
        v: Plane<'a>,
    },
    /// One plane of interleaved U, V pairs, half width (in pairs) and height.
    Nv12 {
        /// `U V U V ...`
        uv: Plane<'a>,
    },
}

/// One plane: rows of `stride` bytes of which the first ones are picture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Plane<'a> {
    /// The bytes, at least `stride * (rows - 1) + row length`.
    pub bytes: &'a [u8],
    /// Distance between the starts of two rows, in bytes.
    pub stride: usize,
}

impl std::fmt::Debug for Plane<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plane({} bytes, stride {})", self.bytes.len(), self.stride)
    }
}

/// How Y, U, V become R, G, B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Matrix {
    /// ITU-R BT.601, the usual one below 720 lines.
    #[default]
    Bt601,
    /// ITU-R BT.709, the usual one from 720 lines up.
    Bt709,
}

/// The span of luma values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Range {
    /// 16..=235, television range, what H.264 cameras send.
    #[default]
    Limited,
    /// 0..=255, what JPEG cameras send.
    Full,
}

/// A borrowed decoded picture.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    width: usize,
    height: usize,
    luma: Plane<'a>,
    chroma: Chroma<'a>,
    matrix: Matrix,
    range: Range,
}

/// Why planes do not make a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Zero, odd below 2, or beyond what any stream we accept can have.
    #[error("a frame of {width}x{height} is outside 16x16 to 8192x8192")]
    Size {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
    },
    /// A plane is shorter than its stride and height say.
    #[error("the {plane} plane holds {have} bytes, {need} are needed")]
    Short {
        /// Which plane.
        plane: &'static str,
        /// Bytes present.
        have: usize,
        /// Bytes the geometry asks for.
        need: usize,
    },
}

fn long_enough(name: &'static str, plane: Plane<'_>, row: usize, rows: usize) -> Result<(), BadFrame> {
    let need = plane.stride.max(row) * (rows - 1) + row;
    if plane.stride < row || plane.bytes.len() < need {
        return Err(BadFrame::Short { plane: name, have: plane.bytes.len(), need });
    }
    Ok(())
}

impl<'a> FrameView<'a> {
    /// Checks that the planes hold what the geometry says; after this every pixel access is in bounds.
    ///
    /// # Errors
    /// [`BadFrame`] for an impossible size or a plane that is too short.
    pub fn try_new(
        (width, height): (usize, usize),
        luma: Plane<'a>,
        chroma: Chroma<'a>,
        matrix: Matrix,
        range: Range,
    ) -> Result<Self, BadFrame> {
        if !(16..=8192).contains(&width) || !(16..=8192).contains(&height) {
            return Err(BadFrame::Size { width, height });
        }
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        long_enough("Y", luma, width, height)?;
        match chroma {
            Chroma::I420 { u, v } => {
                long_enough("U", u, half_width, half_height)?;
                long_enough("V", v, half_width, half_height)?;
            }
            Chroma::Nv12 { uv } => long_enough("UV", uv, half_width * 2, half_height)?,
        }
        Ok(Self { width, height, luma, chroma, matrix, range })
    }

    /// Pixels across.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The luma plane, full size.
    #[must_use]
    pub const fn luma(&self) -> Plane<'a> {
        self.luma
    }

    /// The chroma plane or planes, half size.
    #[must_use]
    pub const fn chroma(&self) -> Chroma<'a> {
        self.chroma
    }

    /// The colour matrix of the stream.
    #[must_use]
    pub const fn matrix(&self) -> Matrix {
        self.matrix
    }

    /// The luma range of the stream.
    #[must_use]
    pub const fn range(&self) -> Range {
        self.range
    }
}

/// When and in which order a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStamp {
    /// Count of decoded frames of this camera since the program started; gaps are superseded frames.
    pub sequence: u64,
    /// When it was decoded, on the monotonic clock. In replay, the clip's own time.
    pub mono: Mono,
    /// The same moment on the wall clock.
    pub wall: WallMs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_planes_are_refused_by_name() {
        let bytes = vec![0_u8; 64 * 48];
        let plane = |n: usize, stride| Plane { bytes: &bytes[..n], stride };
        let make = |y, u, v| {
            FrameView::try_new((64, 48), y, Chroma::I420 { u, v }, Matrix::Bt601, Range::Limited).map(|f| f.width())
        };
        assert_eq!(make(plane(64 * 48, 64), plane(32 * 24, 32), plane(32 * 24, 32)), Ok(64));
        assert!(matches!(
            make(plane(64 * 48, 64), plane(32 * 24 - 1, 32), plane(32 * 24, 32)),
            Err(BadFrame::Short { plane: "U", .. })
        ));
        assert!(matches!(
            make(plane(64 * 48, 63), plane(0, 32), plane(0, 32)),
            Err(BadFrame::Short { plane: "Y", .. })
        ));
    }
}
