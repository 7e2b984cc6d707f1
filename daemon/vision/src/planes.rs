//! Sampling straight from the decoder's planes (or from a decoded photograph): exactly the pixels that are needed, in
//! the size they are needed, never a whole frame in RGB.
//!
//! Two conventions meet here. Points and boxes of faces use pixel centres: the top-left pixel's centre is (0, 0), as
//! `sekisho_logic::geometry` says. Regions to sample use pixel edges: (0, 0, width, height) is the whole picture.
//! An edge lies half a pixel above its pixel's centre; that half appears here and in `letterbox` and nowhere else.

pub mod aligned;
mod axis;
pub mod luma;
pub mod region;

use sekisho_logic::frame::{Chroma, FrameView, Matrix, Plane, Range};

/// A decoded photograph: rows of `width` RGB triples without padding.
#[derive(Clone, Copy)]
pub struct RgbView<'a> {
    width: usize,
    height: usize,
    bytes: &'a [u8],
}

impl std::fmt::Debug for RgbView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbView({}x{})", self.width, self.height)
    }
}

impl<'a> RgbView<'a> {
    /// `None` for an empty picture, a side above 65535 pixels, or bytes that are not exactly `width * height * 3`.
    #[must_use]
    pub fn try_new(width: usize, height: usize, bytes: &'a [u8]) -> Option<Self> {
        let fits = (1..=65_535).contains(&width) && (1..=65_535).contains(&height);
        (fits && bytes.len() == width * height * 3).then_some(Self { width, height, bytes })
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// An owned decoded photograph.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}

impl RgbImage {
    /// As [`RgbView::try_new`].
    #[must_use]
    pub fn try_new(width: usize, height: usize, bytes: Vec<u8>) -> Option<Self> {
        RgbView::try_new(width, height, &bytes)?;
        Some(Self { width, height, bytes })
    }

    /// Borrowed, to sample from.
    #[must_use]
    pub fn view(&self) -> RgbView<'_> {
        RgbView { width: self.width, height: self.height, bytes: &self.bytes }
    }
}

/// A picture to sample from. Photographs and video share one sampling code, so that an enrolled face and a face on
/// camera differ by what the camera did and by nothing we did.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// A decoded video frame.
    Frame(FrameView<'a>),
    /// A decoded photograph.
    Rgb(RgbView<'a>),
}

impl<'a> From<FrameView<'a>> for Pixels<'a> {
    fn from(view: FrameView<'a>) -> Self {
        Self::Frame(view)
    }
}

impl<'a> From<RgbView<'a>> for Pixels<'a> {
    fn from(view: RgbView<'a>) -> Self {
        Self::Rgb(view)
    }
}

impl<'a> Pixels<'a> {
    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> usize {
        match self {
            Self::Frame(view) => view.width(),
            Self::Rgb(view) => view.width,
        }
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> usize {
        match self {
            Self::Frame(view) => view.height(),
            Self::Rgb(view) => view.height,
        }
    }

    /// Width and height in pixels, as numbers to compute with.
    #[must_use]
    pub fn size_px(&self) -> (f32, f32) {
        (px(self.width()), px(self.height()))
    }

    fn components(&self) -> Components<'a> {
        match self {
            Self::Rgb(view) => {
                let plane = Plane { bytes: view.bytes, stride: view.width * 3 };
                Components { list: [Some(component(plane, 0, 3, 1, (view.width, view.height))), None, None] }
            }
            Self::Frame(view) => {
                let full = (view.width(), view.height());
                let half = (full.0.div_ceil(2), full.1.div_ceil(2));
                let luma = Some(component(view.luma(), 0, 1, 1, full));
                match view.chroma() {
                    Chroma::I420 { u, v } => Components {
                        list: [luma, Some(component(u, 1, 1, 2, half)), Some(component(v, 2, 1, 2, half))],
                    },
                    Chroma::Nv12 { uv } => Components { list: [luma, Some(component(uv, 1, 2, 2, half)), None] },
                }
            }
        }
    }

    fn conversion(&self) -> Option<Conversion> {
        match self {
            Self::Rgb(_) => None,
            Self::Frame(view) => Some(Conversion::new(view.matrix(), view.range())),
        }
    }
}

/// Pixel counts here are at most 65535, which f32 holds exactly.
pub(crate) fn px(count: usize) -> f32 {
    u16::try_from(count).map_or(f32::from(u16::MAX), f32::from)
}

/// One plane of interleaved channels, `reduction` times smaller than the picture.
#[derive(Clone, Copy)]
struct Component<'a> {
    plane: Plane<'a>,
    /// Where its first channel goes among the three.
    first: usize,
    channels: usize,
    reduction: usize,
    width: usize,
    height: usize,
}

struct Components<'a> {
    list: [Option<Component<'a>>; 3],
}

const fn component(
    plane: Plane<'_>,
    first: usize,
    channels: usize,
    reduction: usize,
    (width, height): (usize, usize),
) -> Component<'_> {
    Component { plane, first, channels, reduction, width, height }
}

/// Y, U, V to R, G, B.
#[derive(Clone, Copy)]
struct Conversion {
    luma_offset: f32,
    luma_gain: f32,
    v_to_r: f32,
    u_to_g: f32,
    v_to_g: f32,
    u_to_b: f32,
}

impl Conversion {
    fn new(matrix: Matrix, range: Range) -> Self {
        // Luma weights of red and blue: ITU-R BT.601-7 table 2 and BT.709-6 item 3.2.
        let (red, blue) = match matrix {
            Matrix::Bt601 => (0.299, 0.114),
            Matrix::Bt709 => (0.2126, 0.0722),
        };
        let green = 1.0 - red - blue;
        let (luma_offset, luma_gain, chroma_gain) = match range {
            Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
            Range::Full => (0.0, 1.0, 1.0),
        };
        Self {
            luma_offset,
            luma_gain,
            v_to_r: 2.0 * (1.0 - red) * chroma_gain,
            u_to_g: -2.0 * (1.0 - blue) * blue / green * chroma_gain,
            v_to_g: -2.0 * (1.0 - red) * red / green * chroma_gain,
            u_to_b: 2.0 * (1.0 - blue) * chroma_gain,
        }
    }

    /// Turns three planes in place.
    fn apply(&self, y: &mut [f32], u: &mut [f32], v: &mut [f32]) {
        for ((y, u), v) in y.iter_mut().zip(u).zip(v) {
            let luma = (*y - self.luma_offset) * self.luma_gain;
            let (cb, cr) = (*u - 128.0, *v - 128.0);
            *y = (luma + self.v_to_r * cr).clamp(0.0, 255.0);
            *u = (luma + self.u_to_g * cb + self.v_to_g * cr).clamp(0.0, 255.0);
            *v = (luma + self.u_to_b * cb).clamp(0.0, 255.0);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
