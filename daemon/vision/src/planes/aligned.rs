//! The aligned 112x112 crop: a similarity transform sampled from the native pixels.
//!
//! One interpolator serves every size. Where the face is larger than the crop, the surroundings are first area-averaged
//! to exactly the crop's pixel size, so that nothing aliases; then, as for smaller faces at once, cubic convolution
//! reads the rotated positions. At scale one the first step is the identity, so nothing jumps there.
//!
//! The cubic kernel is Keys' with a = -0.5 (R. Keys, IEEE ASSP 29(6), 1981): the only member of the family that
//! reproduces parabolas, the least ringing of the usual ones, which matters on block-edged video, and the one Pillow and
//! PyTorch's antialiased resize use, with which low-resolution training pictures are usually enlarged.

use super::Pixels;
use super::region::RegionSampler;
use sekisho_logic::geometry::{CROP_PX, Point, Rect, Similarity};

/// Side of the crop as a coordinate.
const SIDE: f32 = 112.0;

/// An aligned face: 112 rows of 112 RGB triples, 0..=255.
#[derive(Clone, PartialEq, Eq)]
pub struct Crop {
    rgb: Vec<u8>,
}

/// A picture of a face is personal; it is never printed.
impl std::fmt::Debug for Crop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Crop(112x112)")
    }
}

impl Crop {
    /// From `112 * 112 * 3` bytes; `None` for any other number.
    #[must_use]
    pub fn try_new(rgb: Vec<u8>) -> Option<Self> {
        (rgb.len() == CROP_PX * CROP_PX * 3).then_some(Self { rgb })
    }

    /// The bytes, rows of RGB triples.
    #[must_use]
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The left-right mirror image.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        let (pixels, _) = self.rgb.as_chunks::<3>();
        let rgb = pixels.chunks_exact(CROP_PX).flat_map(|row| row.iter().rev().flatten().copied()).collect();
        Self { rgb }
    }
}

/// Makes aligned crops. Keeps its buffers, so one per thread.
#[derive(Debug, Default)]
pub struct CropSampler {
    region: RegionSampler,
    patch: Vec<[f32; 4]>,
}

/// Faces from 1.2 px (a crop pixel is 1/64 of a frame pixel) to 9000 px between the eyes; no real face is outside.
const SCALE_RANGE: std::ops::RangeInclusive<f32> = 0.003_9..=64.0;

impl CropSampler {
    /// Samples the crop; `None` when the transform is not finite or magnifies beyond any face.
    pub fn sample(&mut self, pixels: Pixels<'_>, crop_from_frame: Similarity) -> Option<Crop> {
        if !SCALE_RANGE.contains(&crop_from_frame.scale()) {
            return None;
        }
        let frame_from_crop = crop_from_frame.inverse();
        let patch = Patch::around(frame_from_crop)?;
        let planes = self.region.sample(pixels, patch.region, (patch.width, patch.height));
        self.patch.clear();
        self.patch.extend(
            planes.red.iter().zip(planes.green).zip(planes.blue).map(|((red, green), blue)| [*red, *green, *blue, 0.0]),
        );
        if self.patch.len() != patch.width * patch.height {
            return None;
        }
        let mut rgb = Vec::with_capacity(CROP_PX * CROP_PX * 3);
        let origin = patch.position(frame_from_crop.apply(Point::new(0.0, 0.0)));
        let right = patch.position(frame_from_crop.apply(Point::new(1.0, 0.0)));
        let (dx, dy) = (right.x - origin.x, right.y - origin.y);
        let mut line = 0.0;
        for _ in 0..CROP_PX {
            let start = Point::new(origin.x - dy * line, origin.y + dx * line);
            self.line(patch.width, start, (dx, dy), &mut rgb);
            line += 1.0;
        }
        Crop::try_new(rgb)
    }

    /// One row of the crop.
    fn line(&self, width: usize, start: Point, (dx, dy): (f32, f32), rgb: &mut Vec<u8>) {
        let mut along = 0.0;
        for _ in 0..CROP_PX {
            let (x, y) = (start.x + dx * along, start.y + dy * along);
            let (x_floor, y_floor) = (x.floor(), y.floor());
            let (across, down) = (cubic_weights(x - x_floor), cubic_weights(y - y_floor));
            // `Patch::around` leaves two samples on every side, so both are at least 1.
            let begin = (index(y_floor) - 1) * width + index(x_floor) - 1;
            let mut sum = [0.0_f32; 4];
            for (row, weight_down) in down.iter().enumerate() {
                let samples = &self.patch[begin + row * width..][..4];
                let mut in_row = [0.0_f32; 4];
                for (sample, weight) in samples.iter().zip(across) {
                    for channel in 0..4 {
                        in_row[channel] += weight * sample[channel];
                    }
                }
                for channel in 0..4 {
                    sum[channel] += weight_down * in_row[channel];
                }
            }
            rgb.extend(sum[..3].iter().map(|value| byte(*value)));
            along += 1.0;
        }
    }
}

/// Keys' cubic convolution for the samples at -1, 0, 1 and 2 around a position `t` behind sample 0.
fn cubic_weights(t: f32) -> [f32; 4] {
    const A: f32 = -0.5;
    let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)]
}

/// Rounds to a byte; NaN cannot occur because the planes are clamped and the weights finite.
fn byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 before")]
    {
        (value + 0.5).clamp(0.0, 255.0) as u8
    }
}

/// A position inside the patch as an index; at least 1 there.
fn index(position: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=1024 before")]
    {
        position.clamp(1.0, 1024.0) as usize
    }
}

/// The axis-parallel surroundings of a crop, in pixels no finer than the crop's and no finer than the frame's.
struct Patch {
    /// In the frame, pixel edges.
    region: Rect,
    width: usize,
    height: usize,
    /// Frame pixels a patch pixel.
    step: f32,
}

impl Patch {
    fn around(frame_from_crop: Similarity) -> Option<Self> {
        let corners = [(0.0, 0.0), (SIDE - 1.0, 0.0), (0.0, SIDE - 1.0), (SIDE - 1.0, SIDE - 1.0)]
            .map(|(x, y)| frame_from_crop.apply(Point::new(x, y)));
        let step = frame_from_crop.scale().max(1.0);
        let bound = |pick: fn(f32, f32) -> f32, of: fn(&Point) -> f32, from| corners.iter().map(of).fold(from, pick);
        let (left, right) = (bound(f32::min, |p| p.x, f32::INFINITY), bound(f32::max, |p| p.x, f32::NEG_INFINITY));
        let (top, bottom) = (bound(f32::min, |p| p.y, f32::INFINITY), bound(f32::max, |p| p.y, f32::NEG_INFINITY));
        // Two samples before the first position and three behind the last one: the kernel's reach and one for rounding.
        let (x, y) = ((left - 2.0 * step).floor(), (top - 2.0 * step).floor());
        let across = ((right - x) / step).ceil() + 4.0;
        let down = ((bottom - y) / step).ceil() + 4.0;
        // 112 * sqrt(2) + 10 is the most a rotation can ask for.
        if !(x.is_finite() && y.is_finite() && (1.0..=200.0).contains(&across) && (1.0..=200.0).contains(&down)) {
            return None;
        }
        let (width, height) = (index(across), index(down));
        Some(Self { region: Rect::new(x, y, across * step, down * step), width, height, step })
    }

    /// Where a point of the frame (pixel centres) lies in the patch (pixel centres).
    fn position(&self, p: Point) -> Point {
        Point::new((p.x + 0.5 - self.region.x) / self.step - 0.5, (p.y + 0.5 - self.region.y) / self.step - 0.5)
    }
}
