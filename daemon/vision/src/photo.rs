//! Enrolment: from the bytes of a photograph to one person's embedding, or a sentence why not.
//!
//! Limits are checked before anything is decoded. The face is sampled by the same code that samples video.

use crate::analyser::{Eyes, FoundFace, Shown};
use crate::detector::{Cut, INPUT_SHAPES_PX, Sighting};
use crate::letterbox::Letterbox;
use crate::plan::{self, Job, Why};
use crate::planes::aligned::Crop;
use crate::planes::{Pixels, RgbImage};
use crate::session::RunError;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{Alignment, Quality};
use sekisho_logic::geometry::Rect;
use std::io::{Cursor, Read};
use std::path::Path;

/// What is accepted as an enrolment photograph.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhotoLimits {
    /// Largest file, in bytes.
    pub bytes_max: usize,
    /// Most pixels; checked from the header.
    pub pixels_max: u64,
    /// Least distance between the eyes, in pixels of the photograph.
    pub inter_eye_px_min: f32,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        // 20 MiB and 50 megapixels are what good cameras make. 20 px between the eyes is a face about 45 px wide: below
        // it a gallery picture is worse than what most cameras here see.
        Self { bytes_max: 20 << 20, pixels_max: 50_000_000, inter_eye_px_min: 20.0 }
    }
}

/// Score from which a second face counts. Higher than for tracking, because a pattern on a curtain must not keep
/// somebody from being enrolled.
const OTHER_SCORE_MIN: f32 = 0.75;

/// Score of the face itself.
const SCORE_MIN: f32 = 0.6;
/// From here on something may be a face that is to be covered.
const DOUBTFUL_SCORE_MIN: f32 = 0.4;

/// Longer side, in input pixels, at which a photograph is searched most finely.
const SIDE_FINE_PX: f32 = 1280.0;

/// Why a photograph enrols nobody. Each is one sentence for whoever chose it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PhotoError {
    /// The file cannot be read.
    #[error("the file cannot be read: {detail}")]
    Unreadable {
        /// What the system said.
        detail: String,
    },
    /// No bytes at all.
    #[error("the file is empty; choose a JPEG or PNG photograph")]
    Empty,
    /// More bytes than allowed; it was not decoded.
    #[error("the file has {bytes} bytes, at most {bytes_max} are accepted; choose a smaller photograph")]
    TooManyBytes {
        /// Bytes given.
        bytes: usize,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// More pixels than allowed; it was not decoded.
    #[error("the photograph is {width}x{height}, at most {pixels_max} pixels are accepted; scale it down")]
    TooManyPixels {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pixels allowed.
        pixels_max: u64,
    },
    /// Neither JPEG nor PNG.
    #[error("the file is neither a JPEG nor a PNG picture; convert it first")]
    NotAPicture,
    /// It begins like a picture and then is none.
    #[error("the picture is damaged or incomplete ({detail}); copy it again")]
    Damaged {
        /// What the decoder said.
        detail: String,
    },
    /// Nobody to be seen.
    #[error("no face was found; choose a photograph that shows the face from the front")]
    NoFace,
    /// More than one person; who is meant?
    #[error("{count} faces were found; cut the photograph so that it shows only the person to enrol")]
    SeveralFaces {
        /// How many.
        count: usize,
    },
    /// One face, too few pixels.
    #[error(
        "the eyes are {inter_eye_px:.0} px apart, at least {inter_eye_px_min:.0} are needed; choose a photograph from closer by"
    )]
    TooSmall {
        /// Found.
        inter_eye_px: f32,
        /// Needed.
        inter_eye_px_min: f32,
    },
    /// One face whose five points cannot be trusted, or that the picture cuts.
    #[error("the face is turned away or cut off; choose a photograph that shows all of it from the front")]
    NotFrontal,
    /// The networks failed; the photograph may be good.
    #[error("the face could not be analysed: {0}")]
    Run(#[from] RunError),
    /// The embedder gave no usable vector.
    #[error("the embedder gave no usable answer for this face; see the log")]
    NoEmbedding,
}

/// One person's template from one photograph.
#[derive(Clone, Debug)]
pub struct EnrolledFace {
    /// Unit mean of the embeddings of the crop and of its mirror image.
    pub embedding: Embedding,
    /// How good the face is.
    pub quality: Quality,
    /// The aligned picture, for people to look at.
    pub crop: Crop,
    /// Where the face is: left, top, width, height in whole pixels of the upright photograph.
    pub face_in_photo: [u32; 4],
}

/// A decoded photograph, upright.
#[derive(Clone, Debug)]
pub struct Photo(RgbImage);

impl Photo {
    /// Decodes JPEG or PNG, turned as its EXIF orientation says.
    ///
    /// # Errors
    /// Those of [`PhotoError`] that are about files; nothing is decoded before size and format are known to be acceptable.
    pub fn decode(bytes: &[u8]) -> Result<Self, PhotoError> {
        Self::decode_within(bytes, &PhotoLimits::default())
    }

    /// As [`decode`](Self::decode) with other limits.
    ///
    /// # Errors
    /// As `decode`.
    pub fn decode_within(bytes: &[u8], limits: &PhotoLimits) -> Result<Self, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        if bytes.len() > limits.bytes_max {
            return Err(PhotoError::TooManyBytes { bytes: bytes.len(), bytes_max: limits.bytes_max });
        }
        let damaged = |detail: String| PhotoError::Damaged { detail: detail.lines().next().unwrap_or("").to_owned() };
        let format = image::guess_format(bytes).map_err(|_| PhotoError::NotAPicture)?;
        match format {
            ImageFormat::Jpeg if !jpeg_is_complete(bytes) => return Err(damaged("the end is missing".into())),
            ImageFormat::Jpeg | ImageFormat::Png => {}
            _ => return Err(PhotoError::NotAPicture),
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut memory = Limits::default();
        // Four 16-bit channels a pixel, and as much again for turning it.
        memory.max_alloc = Some(limits.pixels_max.saturating_mul(16));
        reader.limits(memory);
        let mut decoder = reader.into_decoder().map_err(|e| damaged(e.to_string()))?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > limits.pixels_max {
            return Err(PhotoError::TooManyPixels { width, height, pixels_max: limits.pixels_max });
        }
        let orientation = decoder.orientation().map_err(|e| damaged(e.to_string()))?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| damaged(e.to_string()))?;
        picture.apply_orientation(orientation);
        let rgb = picture.into_rgb8();
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        RgbImage::try_new(width, height, rgb.into_raw())
            .map(Self)
            .ok_or_else(|| damaged(format!("a size of {width}x{height} is not usable")))
    }

    /// Its pixels.
    #[must_use]
    pub fn pixels(&self) -> Pixels<'_> {
        Pixels::Rgb(self.0.view())
    }
}

/// Reads a photograph's file, no further than the largest one accepted.
///
/// # Errors
/// [`PhotoError::Unreadable`] or [`PhotoError::TooManyBytes`].
pub fn read(path: &Path) -> Result<Vec<u8>, PhotoError> {
    let bytes_max = PhotoLimits::default().bytes_max;
    let unreadable = |error: std::io::Error| PhotoError::Unreadable { detail: error.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    if bytes > bytes_max as u64 {
        return Err(PhotoError::TooManyBytes { bytes: usize::try_from(bytes).unwrap_or(usize::MAX), bytes_max });
    }
    let mut content = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut content).map_err(unreadable)?;
    Ok(content)
}

/// The decoder fills the rest of a cut JPEG with grey and says nothing, so the end marker is looked for: behind the
/// start of the scan it cannot occur inside data.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some([0xFF, marker, high, low]) = bytes.get(at..at + 4) {
        if *marker == 0xDA {
            return bytes[at..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
        }
        at += 2 + usize::from(u16::from_be_bytes([*high, *low])).max(2);
    }
    false
}

/// Finds the one face of a photograph.
///
/// # Errors
/// [`PhotoError`]: nobody, several, too small, not frontal, or the detector failed.
pub fn find(eyes: &mut Eyes, pixels: Pixels<'_>, limits: &PhotoLimits) -> Result<FoundFace, PhotoError> {
    let sightings = eyes.search(pixels, &jobs(pixels), SCORE_MIN)?;
    let best = sightings.iter().max_by(|a, b| a.face.score.total_cmp(&b.face.score)).ok_or(PhotoError::NoFace)?;
    let count = sightings.iter().filter(|s| s.face.score >= OTHER_SCORE_MIN || *s == best).count();
    if count > 1 {
        return Err(PhotoError::SeveralFaces { count });
    }
    let refined = refine(eyes, pixels, best)?;
    let found = eyes.judge(pixels, &refined).ok_or(PhotoError::NoFace)?;
    if found.quality.alignment != Alignment::Landmarks || found.shown != Shown::Whole {
        return Err(PhotoError::NotFrontal);
    }
    if found.quality.inter_eye_px < limits.inter_eye_px_min {
        return Err(PhotoError::TooSmall {
            inter_eye_px: found.quality.inter_eye_px,
            inter_eye_px_min: limits.inter_eye_px_min,
        });
    }
    Ok(found)
}

/// Every face in a picture, however doubtful: what is to be covered for others' sake is better covered once too often.
///
/// # Errors
/// [`PhotoError::Run`] when the networks fail.
pub fn faces(eyes: &mut Eyes, pixels: Pixels<'_>) -> Result<Vec<Rect>, PhotoError> {
    let sightings = eyes.search(pixels, &jobs(pixels), DOUBTFUL_SCORE_MIN)?;
    Ok(sightings.into_iter().map(|sighting| sighting.face.box_in_frame).collect())
}

/// Decodes, finds and embeds.
///
/// # Errors
/// [`PhotoError`].
pub fn enrol(eyes: &mut Eyes, bytes: &[u8]) -> Result<EnrolledFace, PhotoError> {
    let photo = Photo::decode(bytes)?;
    enrol_pixels(eyes, photo.pixels())
}

/// Finds and embeds in a picture that is already decoded, a video frame for example.
///
/// # Errors
/// [`PhotoError`].
pub fn enrol_pixels(eyes: &mut Eyes, pixels: Pixels<'_>) -> Result<EnrolledFace, PhotoError> {
    let found = find(eyes, pixels, &PhotoLimits::default())?;
    let embedding = embed_with_mirror(eyes, &found.crop).ok_or(PhotoError::NoEmbedding)?;
    let face_in_photo = whole_px(found.face.box_in_frame, pixels.size_px());
    Ok(EnrolledFace { embedding, quality: found.quality, crop: found.crop, face_in_photo })
}

/// The pixels a box touches, within the picture; at least one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the picture, 50 megapixels at most"
)]
fn whole_px(face: Rect, (width, height): (f32, f32)) -> [u32; 4] {
    // Boxes are in pixel centres, edges are half a pixel away.
    let left = (face.x + 0.5).floor().clamp(0.0, width - 1.0);
    let top = (face.y + 0.5).floor().clamp(0.0, height - 1.0);
    let right = (face.x + 0.5 + face.width).ceil().clamp(left + 1.0, width);
    let bottom = (face.y + 0.5 + face.height).ceil().clamp(top + 1.0, height);
    [left as u32, top as u32, (right - left) as u32, (bottom - top) as u32]
}

/// Mean of the embeddings of a crop and its mirror image, for the gallery. A face has no side, so the difference of the
/// two is noise.
pub fn embed_with_mirror(eyes: &mut Eyes, crop: &Crop) -> Option<Embedding> {
    let mirror = crop.mirrored();
    let both: Vec<_> = eyes.embed_crops(&[crop, &mirror]).into_iter().collect::<Result<_, _>>().ok()?;
    crate::embedder::unit_mean(&both).ok()
}

/// Where a photograph is searched: finely in tiles, in coarser levels, and as a whole with surroundings made up from
/// its edge, for faces that fill it.
fn jobs(pixels: Pixels<'_>) -> Vec<Job> {
    let frame_px = pixels.size_px();
    let whole = Rect::new(0.0, 0.0, frame_px.0, frame_px.1);
    // Enlarging a small photograph twice at most finds what is in it.
    let finest = (SIDE_FINE_PX / frame_px.0.max(frame_px.1)).min(2.0);
    let mut boxes: Vec<Letterbox> = plan::levels(whole, finest, frame_px).into_iter().flatten().collect();
    let fits = [(whole, (640, 384)), (whole, (320, 320)), (whole.scaled(1.4), (192, 192))];
    boxes.extend(fits.into_iter().filter_map(|(region, shape)| Letterbox::fit(region, frame_px, shape)));
    boxes.into_iter().map(|letterbox| Job { letterbox, why: Why::Sweep }).collect()
}

/// Looks at a found face again at the size at which the five points are most exact.
fn refine(eyes: &mut Eyes, pixels: Pixels<'_>, found: &Sighting) -> Result<Sighting, RunError> {
    let near = found.face.box_in_frame.scaled(3.0);
    let shape = INPUT_SHAPES_PX[3];
    let Some(letterbox) = Letterbox::fit(near, pixels.size_px(), shape) else { return Ok(*found) };
    let again = eyes.search(pixels, &[Job { letterbox, why: Why::Track }], SCORE_MIN)?;
    let same = again
        .into_iter()
        .filter(|s| s.cut == Cut::No && s.face.box_in_frame.iou(found.face.box_in_frame) > 0.4)
        .max_by(|a, b| a.face.score.total_cmp(&b.face.score));
    Ok(same.unwrap_or(*found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let rgb = image::RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([if x < width / 2 { 200 } else { 30 }, if y < height / 2 { 180 } else { 20 }, 90])
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(rgb).write_to(&mut bytes, format).expect("encodes");
        bytes.into_inner()
    }

    fn refusal(bytes: &[u8], limits: &PhotoLimits) -> PhotoError {
        Photo::decode_within(bytes, limits).map(|photo| format!("{photo:?}")).expect_err("must be refused")
    }

    #[test]
    fn bad_files_are_refused_each_for_its_reason() {
        let limits = PhotoLimits::default();
        let (jpeg, png) = (picture(64, 48, ImageFormat::Jpeg), picture(64, 48, ImageFormat::Png));
        assert_eq!(refusal(b"", &limits), PhotoError::Empty);
        assert_eq!(refusal(b"GIF89a and so on, not accepted", &limits), PhotoError::NotAPicture);
        assert_eq!(refusal(b"just text", &limits), PhotoError::NotAPicture);
        for cut in [&jpeg[..jpeg.len() / 2], &jpeg[..jpeg.len() - 2], &png[..png.len() / 2], &jpeg[..3], &png[..20]] {
            assert!(matches!(refusal(cut, &limits), PhotoError::Damaged { .. } | PhotoError::NotAPicture));
        }
        let small = PhotoLimits { bytes_max: 100, ..limits };
        assert!(matches!(refusal(&jpeg, &small), PhotoError::TooManyBytes { .. }));
        for error in [refusal(&jpeg[..jpeg.len() / 2], &limits), refusal(&jpeg, &small)] {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn huge_dimensions_are_refused_from_the_header() {
        // Width and height of a PNG stand at byte 16; its checksum is not needed to refuse it, yet kept right.
        let mut png = picture(64, 48, ImageFormat::Png);
        png[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
        let crc = png_crc(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(matches!(
            refusal(&png, &PhotoLimits::default()),
            PhotoError::TooManyPixels { width: 65_535, height: 65_535, .. } | PhotoError::Damaged { .. }
        ));
        let few = PhotoLimits { pixels_max: 1000, ..PhotoLimits::default() };
        assert!(matches!(refusal(&picture(64, 48, ImageFormat::Jpeg), &few), PhotoError::TooManyPixels { .. }));
    }

    fn png_crc(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            }
        }
        !crc
    }

    #[test]
    fn exif_orientation_is_honoured() {
        let jpeg = picture(64, 48, ImageFormat::Jpeg);
        // An APP1 segment with one entry: orientation 6, "rotate a quarter clockwise".
        let tiff = [0x4D, 0x4D, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0];
        let mut turned = vec![0xFF, 0xD8, 0xFF, 0xE1];
        turned.extend(u16::try_from(2 + 6 + tiff.len()).expect("short").to_be_bytes());
        turned.extend(b"Exif\0\0");
        turned.extend(tiff);
        turned.extend(&jpeg[2..]);
        let upright = Photo::decode(&jpeg).expect("decodes");
        let photo = Photo::decode(&turned).expect("decodes");
        let (photo, upright) = (photo.pixels(), upright.pixels());
        assert_eq!((photo.width(), photo.height()), (upright.height(), upright.width()));
        let (Pixels::Rgb(photo), Pixels::Rgb(upright)) = (photo, upright) else { panic!("photographs are RGB") };
        // The top left of the upright picture is the top right of the turned one.
        let corner = &photo.bytes()[44 * 3..][..3];
        assert!(corner.iter().zip(&upright.bytes()[12..15]).all(|(a, b)| a.abs_diff(*b) < 12), "{corner:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(at in 0_usize..2000, with in proptest::prelude::any::<[u8; 4]>(), png in proptest::bool::ANY) {
            let mut bytes = picture(40, 30, if png { ImageFormat::Png } else { ImageFormat::Jpeg });
            let at = at % (bytes.len() - 4);
            bytes[at..at + 4].copy_from_slice(&with);
            let _ = Photo::decode(&bytes);
        }
    }
}
