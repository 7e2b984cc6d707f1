//! Enrolment photographs out of clips: a rectangle of one frame, as a PNG file.

use sekisho_camera::clip::ClipReader;
use sekisho_camera::frame::Frame;
use sekisho_logic::frame::{Chroma, FrameView, Range};
use sekisho_logic::time::WallMs;
use std::path::Path;

/// Left, top, width, height in pixels.
pub type Cut = (u32, u32, u32, u32);

/// Cuts rectangles out of the last frame of a clip and writes each to its file, enlarged three times so that it is a
/// photograph of ordinary size.
///
/// # Errors
/// One sentence.
pub fn cut_last_frame(clip: &Path, cuts: &[(Cut, &Path)]) -> Result<(), String> {
    let reader = ClipReader::open(clip, WallMs(0)).map_err(|error| error.to_string())?;
    let mut last: Option<image::RgbImage> = None;
    for frame in reader {
        last = Some(rgb(&frame.map_err(|error| error.to_string())?)?);
    }
    let picture = last.ok_or("the clip has no frame")?;
    for ((x, y, width, height), path) in cuts {
        let part = image::imageops::crop_imm(&picture, *x, *y, *width, *height).to_image();
        let part = image::imageops::resize(&part, width * 3, height * 3, image::imageops::FilterType::CatmullRom);
        part.save(path).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn rgb(frame: &Frame) -> Result<image::RgbImage, String> {
    let view = frame.view().map_err(|error| error.to_string())?;
    Ok(image::RgbImage::from_fn(frame.width(), frame.height(), |x, y| image::Rgb(pixel(&view, x as usize, y as usize))))
}

/// BT.601, the plain way: this is test code, and only a few frames are converted.
fn pixel(view: &FrameView<'_>, x: usize, y: usize) -> [u8; 3] {
    let luma = f32::from(view.luma().bytes[y * view.luma().stride + x]);
    let (u, v) = match view.chroma() {
        Chroma::I420 { u, v } => (u.bytes[y / 2 * u.stride + x / 2], v.bytes[y / 2 * v.stride + x / 2]),
        Chroma::Nv12 { uv } => {
            let at = y / 2 * uv.stride + x / 2 * 2;
            (uv.bytes[at], uv.bytes[at + 1])
        }
    };
    let (base, gain, chroma_gain) = match view.range() {
        Range::Limited => (16.0, 255.0 / 219.0, 255.0 / 224.0),
        Range::Full => (0.0, 1.0, 1.0),
    };
    let (luma, u, v) =
        ((luma - base) * gain, (f32::from(u) - 128.0) * chroma_gain, (f32::from(v) - 128.0) * chroma_gain);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte first")]
    let byte = |value: f32| value.round().clamp(0.0, 255.0) as u8;
    [byte(luma + 1.402 * v), byte(luma - 0.344 * u - 0.714 * v), byte(luma + 1.772 * u)]
}
