//! A decoded picture, in the memory the decoder wrote it to.

use gstreamer as gst;
use gstreamer_video::{self as gst_video, VideoFrameExt as _};
use sekisho_logic::frame::{BadFrame, Chroma, FrameStamp, FrameView, Matrix, Plane, Range};
use std::fmt;

/// A picture as the decoder left it, not yet mapped; what lies in a [`Slot`](crate::slot::Slot).
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) buffer: gst::Buffer,
    pub(crate) info: gst_video::VideoInfo,
    pub(crate) stamp: FrameStamp,
}

/// A mapped picture. It keeps the decoder's buffer, so hold it only while working on it: at most one per worker, else
/// the decoder's pool grows.
pub struct Frame {
    mapped: gst_video::VideoFrame<gst_video::video_frame::Readable>,
    stamp: FrameStamp,
}

/// The memory of a picture could not be mapped for reading as its caps describe it. Skip the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame {sequence} of {width}x{height} cannot be mapped; it is skipped")]
pub struct UnmappableFrame {
    /// Which frame.
    pub sequence: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Why a mapped picture is not one the rest of the program reads. Skip the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPicture {
    /// Neither I420 nor NV12.
    #[error("pictures in {0:?} are not supported, only I420 and NV12")]
    Format(gst_video::VideoFormat),
    /// A plane is missing, or stored bottom up.
    #[error("plane {0} is missing or stored bottom up")]
    Plane(u32),
    /// Planes and size do not agree.
    #[error(transparent)]
    Geometry(#[from] BadFrame),
}

impl Decoded {
    pub(crate) fn map(self) -> Result<Frame, UnmappableFrame> {
        let Self { buffer, info, stamp } = self;
        let (width, height, sequence) = (info.width(), info.height(), stamp.sequence);
        gst_video::VideoFrame::from_buffer_readable(buffer, &info)
            .map(|mapped| Frame { mapped, stamp })
            .map_err(|_| UnmappableFrame { sequence, width, height })
    }
}

impl Frame {
    /// When it was decoded and its number.
    #[must_use]
    pub const fn stamp(&self) -> FrameStamp {
        self.stamp
    }

    /// Pixels across.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.mapped.width()
    }

    /// Pixels down.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.mapped.height()
    }

    /// The planes, borrowed. Nothing is copied.
    ///
    /// # Errors
    /// [`BadPicture`] when the format is neither I420 nor NV12 or the planes do not make a picture.
    pub fn view(&self) -> Result<FrameView<'_>, BadPicture> {
        let chroma = match self.mapped.format() {
            gst_video::VideoFormat::I420 => Chroma::I420 { u: self.plane(1)?, v: self.plane(2)? },
            gst_video::VideoFormat::Nv12 => Chroma::Nv12 { uv: self.plane(1)? },
            other => return Err(BadPicture::Format(other)),
        };
        let size = (self.width() as usize, self.height() as usize);
        let (matrix, range) = colours(&self.mapped.info().colorimetry(), self.height());
        Ok(FrameView::try_new(size, self.plane(0)?, chroma, matrix, range)?)
    }

    fn plane(&self, index: u32) -> Result<Plane<'_>, BadPicture> {
        let bytes = self.mapped.plane_data(index).map_err(|_| BadPicture::Plane(index))?;
        let stride = self.mapped.plane_stride().get(index as usize).copied().unwrap_or(-1);
        Ok(Plane { bytes, stride: usize::try_from(stride).map_err(|_| BadPicture::Plane(index))? })
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} of {}x{})", self.stamp.sequence, self.width(), self.height())
    }
}

/// What the caps say about colour. Cameras that say nothing mean BT.601 below 720 lines and BT.709 from there; BT.2020
/// (which no camera of the kind we serve sends) is nearer to BT.709 than to BT.601.
fn colours(said: &gst_video::VideoColorimetry, height: u32) -> (Matrix, Range) {
    let range = match said.range() {
        gst_video::VideoColorRange::Range0_255 => Range::Full,
        _ => Range::Limited,
    };
    let matrix = match said.matrix() {
        gst_video::VideoColorMatrix::Bt601 | gst_video::VideoColorMatrix::Fcc => Matrix::Bt601,
        gst_video::VideoColorMatrix::Bt709
        | gst_video::VideoColorMatrix::Bt2020
        | gst_video::VideoColorMatrix::Smpte240m => Matrix::Bt709,
        _ if height < 720 => Matrix::Bt601,
        _ => Matrix::Bt709,
    };
    (matrix, range)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sekisho_logic::time::{Mono, WallMs};

    pub(crate) fn stamp(sequence: u64) -> FrameStamp {
        FrameStamp { sequence, mono: Mono::from_millis(sequence), wall: WallMs(0) }
    }

    fn made(format: gst_video::VideoFormat, sequence: u64, (width, height): (u32, u32)) -> Decoded {
        gst::init().expect("GStreamer starts");
        let info = gst_video::VideoInfo::builder(format, width, height).build().expect("a possible format");
        let bytes: Vec<u8> = (0..info.size()).map(|at| u8::try_from(at % 251).expect("below 251")).collect();
        Decoded { buffer: gst::Buffer::from_slice(bytes), info, stamp: stamp(sequence) }
    }

    pub(crate) fn decoded(sequence: u64, width: u32, height: u32) -> Decoded {
        made(gst_video::VideoFormat::I420, sequence, (width, height))
    }

    #[test]
    fn planes_are_borrowed_from_the_decoders_memory() {
        let decoded = decoded(7, 64, 48);
        let at = decoded.buffer.map_readable().expect("readable").as_slice().as_ptr();
        let frame = decoded.map().expect("mappable");
        let view = frame.view().expect("I420");
        assert_eq!((view.width(), view.height(), frame.stamp().sequence), (64, 48, 7));
        assert_eq!(view.luma().bytes.as_ptr(), at, "the luma plane was copied");
        assert!(matches!(view.chroma(), Chroma::I420 { u, .. } if u.stride == 32));
    }

    #[test]
    fn nv12_has_one_chroma_plane_and_other_formats_are_refused_by_name() {
        let frame = made(gst_video::VideoFormat::Nv12, 1, (64, 48)).map().expect("mappable");
        assert!(matches!(frame.view().expect("NV12").chroma(), Chroma::Nv12 { uv } if uv.stride == 64));
        let frame = made(gst_video::VideoFormat::Rgb, 1, (64, 48)).map().expect("mappable");
        assert_eq!(frame.view().err(), Some(BadPicture::Format(gst_video::VideoFormat::Rgb)));
    }

    #[test]
    fn a_buffer_shorter_than_its_caps_is_an_error_and_no_crash() {
        let mut short = decoded(3, 64, 48);
        short.buffer = gst::Buffer::from_slice(vec![0_u8; 100]);
        assert_eq!(short.map().err(), Some(UnmappableFrame { sequence: 3, width: 64, height: 48 }));
    }

    #[test]
    fn colour_follows_the_caps_and_then_the_height() {
        gst::init().expect("GStreamer starts");
        let said = |text: &str| text.parse::<gst_video::VideoColorimetry>().expect("a colorimetry");
        assert_eq!(colours(&said("1:4:0:0"), 1080), (Matrix::Bt601, Range::Full));
        assert_eq!(colours(&said("bt709"), 360), (Matrix::Bt709, Range::Limited));
        assert_eq!(colours(&said("0:0:0:0"), 360), (Matrix::Bt601, Range::Limited));
        assert_eq!(colours(&said("0:0:0:0"), 1080), (Matrix::Bt709, Range::Limited));
    }
}
