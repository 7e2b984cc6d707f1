//! An enrolled photograph as a reviewer is shown it: the face with a margin, small, and nothing else that was in the file.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};

/// Longer side of a portrait, in pixels.
const SIDE_PX_MAX: u32 = 480;
/// Shown around the face on each side, as a share of its size: hair, ears and chin help people more than the eyes alone.
const MARGIN: f32 = 0.35;
/// Largest file the store keeps.
const BYTES_MAX: usize = 32 << 20;
/// Most pixels; what enrolment accepts.
const PIXELS_MAX: u64 = 50_000_000;
/// Most bytes of the decoded picture: the most pixels at three bytes. Only one is decoded at a time.
const DECODED_BYTES_MAX: u64 = 3 * PIXELS_MAX;
/// At this quality the blocks of the coding do not show beside those of the photograph itself.
const JPEG_QUALITY: u8 = 90;

/// Decoding a photograph takes up to 150 MB for a moment; never two at once.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Why there is no portrait.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortraitError {
    /// More bytes or pixels than are decoded.
    #[error("the photograph is too large to be shown ({detail}); enrol a smaller one with --replace")]
    TooLarge {
        /// In numbers.
        detail: String,
    },
    /// Neither JPEG nor PNG, or damaged.
    #[error("the photograph cannot be decoded ({detail}); enrol another one with --replace")]
    Damaged {
        /// What the decoder said.
        detail: String,
    },
}

fn damaged(error: impl std::fmt::Display) -> PortraitError {
    PortraitError::Damaged { detail: error.to_string().lines().next().unwrap_or_default().to_owned() }
}

/// Decodes a JPEG or PNG photograph, turns it upright as its EXIF data says, cuts it to the face (left, top, width, height in
/// pixels of the upright photograph) with a margin, and gives a JPEG of at most 480 pixels on the longer side without any
/// metadata. Without a face, or with one outside the photograph, all of it is shown.
///
/// # Errors
/// [`PortraitError`]; nothing is decoded before the size is known to be acceptable.
pub fn portrait(bytes: &[u8], face: Option<[u32; 4]>) -> Result<Vec<u8>, PortraitError> {
    if bytes.len() > BYTES_MAX {
        return Err(PortraitError::TooLarge { detail: format!("{} bytes", bytes.len()) });
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        Ok(_) | Err(_) => return Err(damaged("neither a JPEG nor a PNG picture")),
    };
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut memory = Limits::default();
    memory.max_alloc = Some(DECODED_BYTES_MAX);
    reader.limits(memory);
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    let decoded = decoder.total_bytes();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoded > DECODED_BYTES_MAX {
        return Err(PortraitError::TooLarge {
            detail: format!("{width}x{height} pixels, {decoded} bytes when decoded"),
        });
    }
    let turn = decoder.orientation().map_err(damaged)?;
    let whole = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    // Cut before turning, so that the large picture is in memory once.
    let upright = if swaps(turn) { (height, width) } else { (width, height) };
    let shown = match face.and_then(|face| around(face, upright)) {
        Some(region) => {
            let [x, y, w, h] = as_stored(region, upright, turn);
            small(&whole.crop_imm(x, y, w, h))
        }
        None => small(&whole),
    };
    drop(whole);
    let mut shown = DynamicImage::ImageRgb8(shown);
    shown.apply_orientation(turn);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&shown).map_err(damaged)?;
    Ok(jpeg)
}

/// The face with its margin, within a picture of that size; `None` when it is empty or outside.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "clamped to the picture, which has at most 50 megapixels"
)]
fn around([left, top, width, height]: [u32; 4], (across, down): (u32, u32)) -> Option<[u32; 4]> {
    if width == 0 || height == 0 || left >= across || top >= down {
        return None;
    }
    let span = |from: u32, length: u32, of: u32| {
        let margin = length as f32 * MARGIN;
        let first = (from as f32 - margin).floor().clamp(0.0, of as f32 - 1.0) as u32;
        let end = (from as f32 + length as f32 + margin).ceil().clamp(0.0, of as f32) as u32;
        (first, end.min(of).saturating_sub(first).max(1))
    };
    let ((x, w), (y, h)) = (span(left, width, across), span(top, height, down));
    Some([x, y, w, h])
}

/// Whether upright the picture is as wide as it is high in the file.
const fn swaps(turn: Orientation) -> bool {
    match turn {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            true
        }
        Orientation::NoTransforms
        | Orientation::Rotate180
        | Orientation::FlipHorizontal
        | Orientation::FlipVertical => false,
    }
}

/// Where a region of the upright picture is in the file, before the turn.
const fn as_stored([x, y, w, h]: [u32; 4], (across, down): (u32, u32), turn: Orientation) -> [u32; 4] {
    let (right, bottom) = (across - x - w, down - y - h);
    match turn {
        Orientation::NoTransforms => [x, y, w, h],
        Orientation::FlipHorizontal => [right, y, w, h],
        Orientation::FlipVertical => [x, bottom, w, h],
        Orientation::Rotate180 => [right, bottom, w, h],
        Orientation::Rotate90 => [y, right, h, w],
        Orientation::Rotate270 => [bottom, x, h, w],
        // Turned, then flipped.
        Orientation::Rotate90FlipH => [y, x, h, w],
        Orientation::Rotate270FlipH => [bottom, right, h, w],
    }
}

/// At most 480 pixels on the longer side; never enlarged.
fn small(picture: &DynamicImage) -> RgbImage {
    let longer = picture.width().max(picture.height());
    if longer <= SIDE_PX_MAX {
        return picture.to_rgb8();
    }
    // Averaging first needs no copy in floating point of a picture of tens of megapixels.
    let halfway =
        if longer > 4 * SIDE_PX_MAX { Some(picture.thumbnail(2 * SIDE_PX_MAX, 2 * SIDE_PX_MAX)) } else { None };
    halfway.as_ref().unwrap_or(picture).resize(SIDE_PX_MAX, SIDE_PX_MAX, FilterType::Triangle).into_rgb8()
}

#[cfg(test)]
#[path = "portrait_tests.rs"]
mod tests;
