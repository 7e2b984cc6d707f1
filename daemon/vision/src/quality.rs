//! What can be said about a face before any network looks at it.

use crate::aligner::Aligned;
use crate::planes::aligned::Crop;
use sekisho_logic::face::Quality;
use sekisho_logic::geometry::CROP_PX;

/// The crop is judged on a grid this many samples wide, 8.8 of them between the eyes. Every face of at least that many
/// native pixels fills the grid's bandwidth, so its size does not show in the result; smaller ones are honestly less
/// sharp. The grid is as fine as it has to be: recognition at 24 samples a crop is within 1.5 % of that at 112, so blur
/// that cannot be seen here does no harm.
const GRID: usize = 28;

/// Crop pixels a grid sample is wide.
const CELL: usize = CROP_PX / GRID;

/// The part of the grid that is face (columns and rows): YuNet's average box, without its border.
const FACE: (std::ops::Range<usize>, std::ops::Range<usize>) = (5..23, 5..27);

/// High-frequency ratio that counts as fully sharp: that of in-focus portrait photographs.
const RATIO_SHARP: f32 = 2.0;

/// Contrast (of 0..=1) below which sharpness is undefined: a flat crop has no edges to be sharp.
const CONTRAST_FLAT: f32 = 0.01;

/// How far the nose tip stands out from the plane of the eyes, in inter-eye distances: 20 mm to 30 mm of 63 mm in adult
/// heads. Turns the nose's shift between the eyes into an angle.
const NOSE_DEPTH: f32 = 0.42;

/// Measures an aligned face.
#[must_use]
pub fn measure(crop: &Crop, aligned: &Aligned) -> Quality {
    let grid = Grid::of(crop);
    let (brightness, contrast) = grid.mean_and_deviation();
    let [left, right, nose, ..] = aligned.landmarks_in_frame;
    let (dx, dy) = (right.x - left.x, right.y - left.y);
    let inter_eye = dx.hypot(dy).max(f32::MIN_POSITIVE);
    // The nose's place along the line of the eyes, from their middle, in inter-eye distances.
    let (nx, ny) = (nose.x - (left.x + right.x) / 2.0, nose.y - (left.y + right.y) / 2.0);
    let shift = (nx * dx + ny * dy) / (inter_eye * inter_eye);
    Quality {
        inter_eye_px: aligned.inter_eye_px,
        sharpness: grid.sharpness(contrast),
        yaw_deg: (shift / NOSE_DEPTH).atan().to_degrees(),
        roll_deg: dy.atan2(dx).to_degrees(),
        brightness,
        contrast,
        alignment: aligned.alignment,
    }
}

/// Luma of the crop on the common grid, 0..=1.
struct Grid([[f32; GRID]; GRID]);

impl Grid {
    fn of(crop: &Crop) -> Self {
        let mut grid = [[0.0_f32; GRID]; GRID];
        for (y, line) in crop.rgb().chunks_exact(CROP_PX * 3).enumerate() {
            for (cell, sum) in line.chunks_exact(CELL * 3).zip(&mut grid[y / CELL]) {
                for [red, green, blue] in cell.as_chunks::<3>().0 {
                    *sum += 0.299 * f32::from(*red) + 0.587 * f32::from(*green) + 0.114 * f32::from(*blue);
                }
            }
        }
        // 16 pixels a cell, 255 steps a pixel.
        grid.iter_mut().flatten().for_each(|sum| *sum /= 16.0 * 255.0);
        Self(grid)
    }

    fn face(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        FACE.1.flat_map(|y| FACE.0.map(move |x| (x, y)))
    }

    fn mean_and_deviation(&self) -> (f32, f32) {
        let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
        for (x, y) in self.face() {
            let value = self.0[y][x];
            sum += value;
            squares += value * value;
            count += 1.0;
        }
        let mean = sum / count;
        (mean, (squares / count - mean * mean).max(0.0).sqrt())
    }

    /// Root mean square of the Laplacian over the standard deviation: energy of the highest frequencies of the common
    /// grid relative to all. Independent of exposure and contrast.
    fn sharpness(&self, contrast: f32) -> f32 {
        if contrast < CONTRAST_FLAT {
            return 0.0;
        }
        let (mut squares, mut count) = (0.0, 0.0);
        for (x, y) in self.face() {
            let around = self.0[y - 1][x] + self.0[y + 1][x] + self.0[y][x - 1] + self.0[y][x + 1];
            let laplacian: f32 = 4.0 * self.0[y][x] - around;
            squares += laplacian * laplacian;
            count += 1.0;
        }
        ((squares / count).sqrt() / contrast / RATIO_SHARP).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aligner::align;
    use crate::planes::RgbView;
    use crate::planes::aligned::CropSampler;
    use sekisho_logic::face::{Alignment, DetectedFace};
    use sekisho_logic::geometry::{ARCFACE_TEMPLATE, Landmarks, Point, Rect};

    fn aligned(landmarks: Landmarks) -> Aligned {
        Aligned {
            crop_from_frame: sekisho_logic::geometry::Similarity::scale_shift(1.0, 0.0, 0.0),
            alignment: Alignment::Landmarks,
            inter_eye_px: landmarks[0].distance(landmarks[1]),
            landmarks_in_frame: landmarks,
        }
    }

    fn flat(value: u8) -> Crop {
        Crop::try_new(vec![value; CROP_PX * CROP_PX * 3]).expect("sized right")
    }

    /// A head's brightness at (u, v), in inter-eye distances from between the eyes, seen through a blur of `blur`
    /// inter-eye distances (standard deviation): a few cosine waves, each damped as a Gaussian damps it.
    fn head(u: f32, v: f32, blur: f32) -> f32 {
        let mut sum = 0.5;
        for (at, frequency) in [0.35_f32, 0.7, 1.1, 1.7, 2.3, 3.1].into_iter().enumerate() {
            let angle = f32::from(u8::try_from(at).expect("few")) * 1.1;
            let (fu, fv) = (frequency * angle.cos(), frequency * angle.sin());
            let damping = (-2.0 * (std::f32::consts::PI * frequency * blur).powi(2)).exp();
            sum += 0.12 / frequency.sqrt() * damping * (std::f32::consts::TAU * (fu * u + fv * v) + angle).cos();
        }
        sum
    }

    /// Its crop from a picture in which the eyes are `inter_eye` pixels apart; every pixel is the mean over its area.
    fn seen_at(inter_eye: f32, blur: f32) -> Quality {
        let side = 8.0 * inter_eye;
        let width = crate::planes::tests::whole_px(side);
        let origin = Point::new(side / 2.0, side / 2.2);
        let mut rgb = Vec::new();
        for y in 0..width {
            for x in 0..width {
                let mut sum = 0.0;
                for step in 0..16_u8 {
                    let (sx, sy) = (f32::from(step % 4) / 4.0 - 0.375, f32::from(step / 4) / 4.0 - 0.375);
                    let (px, py) = (crate::planes::px(x) + sx, crate::planes::px(y) + sy);
                    sum += head((px - origin.x) / inter_eye, (py - origin.y) / inter_eye, blur);
                }
                rgb.extend([crate::planes::tests::to_byte(sum / 16.0 * 255.0); 3]);
            }
        }
        let landmarks = ARCFACE_TEMPLATE.map(|t| {
            let unit = sekisho_logic::geometry::crop_inter_eye_px();
            Point::new(origin.x + (t.x - 55.9) / unit * inter_eye, origin.y + (t.y - 51.6) / unit * inter_eye)
        });
        let box_in_frame =
            Rect::new(origin.x - 1.07 * inter_eye, origin.y - 1.1 * inter_eye, 2.15 * inter_eye, 2.9 * inter_eye);
        let face = DetectedFace { box_in_frame, landmarks_in_frame: landmarks, score: 0.9 };
        let aligned = align(&face).expect("a face");
        assert_eq!(aligned.alignment, Alignment::Landmarks);
        let view = RgbView::try_new(width, width, &rgb).expect("sized right");
        let crop = CropSampler::default().sample(view.into(), aligned.crop_from_frame).expect("plain");
        measure(&crop, &aligned)
    }

    #[test]
    fn the_same_blur_has_the_same_sharpness_at_every_size() {
        for blur in [0.02_f32, 0.08, 0.15] {
            let reference = seen_at(35.0, blur).sharpness;
            for inter_eye in [10.0_f32, 13.0, 20.0, 28.0, 50.0, 70.0] {
                let quality = seen_at(inter_eye, blur);
                let ratio = quality.sharpness / reference;
                assert!(
                    (0.8..1.2).contains(&ratio),
                    "blur {blur} at {inter_eye} px: {} of {reference}",
                    quality.sharpness
                );
                assert!((quality.inter_eye_px - inter_eye).abs() < 0.01);
            }
        }
    }

    #[test]
    fn more_blur_is_less_sharp_and_a_smaller_face_is_never_sharper() {
        let by_blur = [0.02_f32, 0.08, 0.15, 0.3].map(|blur| seen_at(30.0, blur).sharpness);
        assert!(by_blur.windows(2).all(|w| w[1] < 0.9 * w[0]), "{by_blur:?}");
        let by_size = [12.0_f32, 8.0, 5.0, 3.0].map(|inter_eye| seen_at(inter_eye, 0.02).sharpness);
        assert!(by_size.windows(2).all(|w| w[1] < 1.05 * w[0]), "{by_size:?}");
    }

    #[test]
    fn a_flat_crop_is_neither_sharp_nor_contrasty() {
        let quality = measure(&flat(128), &aligned(ARCFACE_TEMPLATE));
        assert!(quality.sharpness < 1e-6 && quality.contrast < 1e-3);
        assert!((quality.brightness - 128.0 / 255.0).abs() < 1e-3);
    }

    #[test]
    fn pose_comes_from_the_points() {
        let turned = |nose_shift: f32, roll_deg: f32| {
            let mut points = ARCFACE_TEMPLATE;
            points[2].x += nose_shift * 35.2;
            let (sin, cos) = roll_deg.to_radians().sin_cos();
            aligned(points.map(|p| Point::new(p.x * cos - p.y * sin, p.x * sin + p.y * cos)))
        };
        let frontal = measure(&flat(90), &turned(0.0, 0.0));
        assert!(frontal.yaw_deg.abs() < 1.0 && frontal.roll_deg.abs() < 1.0);
        let right = measure(&flat(90), &turned(0.2, 0.0));
        assert!((20.0..35.0).contains(&right.yaw_deg), "{}", right.yaw_deg);
        let tilted = measure(&flat(90), &turned(-0.2, 25.0));
        assert!((-35.0..-20.0).contains(&tilted.yaw_deg) && (tilted.roll_deg - 25.0).abs() < 1.0);
    }
}
