//! From five points (or, when they are no use, from the box) to the transform into the aligned crop.

use sekisho_logic::face::{Alignment, DetectedFace};
use sekisho_logic::geometry::{ARCFACE_TEMPLATE, Landmarks, Point, Rect, Similarity};

/// How one face goes into its crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aligned {
    /// Frame pixels to crop pixels.
    pub crop_from_frame: Similarity,
    /// From the points or from the box.
    pub alignment: Alignment,
    /// Distance between the eyes in frame pixels, measured or estimated from the box.
    pub inter_eye_px: f32,
    /// The points used, in the frame; with the box fallback where an average face has them.
    pub landmarks_in_frame: Landmarks,
}

/// Where the five points of an average face lie in YuNet's box, as parts of its width and height. Means over 486
/// CelebA faces, detected in crops aligned to the ArcFace template; the box itself varies by about 6 % of its size.
const POINTS_IN_BOX: [(f32, f32); 5] = [(0.259, 0.373), (0.723, 0.373), (0.491, 0.570), (0.304, 0.772), (0.684, 0.772)];

/// Part of the box width that lies between the eyes of an average face: the difference of the two above.
const INTER_EYE_OF_WIDTH: f32 = 0.464;

/// Height of an average face's box for this distance between the eyes; YuNet's box is 0.746 times as wide as high.
#[must_use]
pub fn face_height_px(inter_eye_px: f32) -> f32 {
    inter_eye_px / INTER_EYE_OF_WIDTH / 0.746
}

/// The points must lie in the box grown by this factor. YuNet draws the mouth of a raised chin a little outside.
const BOX_GROWTH: f32 = 1.5;

/// Part of the box width between the eyes: 0.46 for a frontal face, half of it at 60 degrees of yaw.
const INTER_EYE_OF_WIDTH_RANGE: std::ops::RangeInclusive<f32> = 0.12..=0.85;

/// Least sine of the angle between the line of the eyes and the line from eyes to mouth. Upright faces have 1; below
/// this the five points are nearly on one line and a similarity through them turns by chance.
const SINE_MIN: f32 = 0.35;

/// Root mean square distance, in crop pixels, between the template and the fitted points. Frontal faces have 2 to 4,
/// strongly turned ones about 10; above this they are not the points of a face.
const RESIDUAL_PX_MAX: f32 = 14.0;

/// The alignment of a face; `None` only for a box that is empty or not finite.
#[must_use]
pub fn align(face: &DetectedFace) -> Option<Aligned> {
    from_landmarks(face).or_else(|| from_box(face.box_in_frame))
}

fn from_landmarks(face: &DetectedFace) -> Option<Aligned> {
    let points = face.landmarks_in_frame;
    if !plausible(&points, face.box_in_frame) {
        return None;
    }
    let crop_from_frame = Similarity::fit(&points, &ARCFACE_TEMPLATE)?;
    let squares: f32 =
        points.iter().zip(ARCFACE_TEMPLATE).map(|(p, t)| crop_from_frame.apply(*p).distance(t).powi(2)).sum();
    if (squares / 5.0).sqrt() > RESIDUAL_PX_MAX {
        return None;
    }
    Some(Aligned {
        crop_from_frame,
        alignment: Alignment::Landmarks,
        inter_eye_px: points[0].distance(points[1]),
        landmarks_in_frame: points,
    })
}

fn from_box(face: Rect) -> Option<Aligned> {
    if !face.is_finite() || face.width <= 0.0 || face.height <= 0.0 {
        return None;
    }
    let points = POINTS_IN_BOX.map(|(x, y)| Point::new(face.x + x * face.width, face.y + y * face.height));
    Some(Aligned {
        crop_from_frame: Similarity::fit(&points, &ARCFACE_TEMPLATE)?,
        alignment: Alignment::BoxFallback,
        inter_eye_px: INTER_EYE_OF_WIDTH * face.width,
        landmarks_in_frame: points,
    })
}

/// Finite, in the box, in the order of a face seen from the front, and not on one line.
fn plausible(points: &Landmarks, face: Rect) -> bool {
    if !face.is_finite() || points.iter().any(|p| !p.x.is_finite() || !p.y.is_finite()) {
        return false;
    }
    let outer = face.scaled(BOX_GROWTH);
    let inside = |p: &Point| {
        (outer.x..=outer.x + outer.width).contains(&p.x) && (outer.y..=outer.y + outer.height).contains(&p.y)
    };
    if !points.iter().all(inside) {
        return false;
    }
    let [left, right, _, mouth_left, mouth_right] = *points;
    let middle = |a: Point, b: Point| Point::new((a.x + b.x) / 2.0, (a.y + b.y) / 2.0);
    let (eyes, mouth) = (middle(left, right), middle(mouth_left, mouth_right));
    let across = (right.x - left.x, right.y - left.y);
    let down = (mouth.x - eyes.x, mouth.y - eyes.y);
    let lengths = across.0.hypot(across.1) * down.0.hypot(down.1);
    // Positive when the mouth is below the eyes as seen from the left eye to the right one: swapped eyes or a face
    // upside down in its own points give a negative value.
    let sine = (across.0 * down.1 - across.1 * down.0) / lengths.max(f32::MIN_POSITIVE);
    let part = across.0.hypot(across.1) / face.width.max(f32::MIN_POSITIVE);
    sine >= SINE_MIN && INTER_EYE_OF_WIDTH_RANGE.contains(&part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn average_face(face: Rect) -> DetectedFace {
        let landmarks_in_frame =
            POINTS_IN_BOX.map(|(x, y)| Point::new(face.x + x * face.width, face.y + y * face.height));
        DetectedFace { box_in_frame: face, landmarks_in_frame, score: 0.9 }
    }

    #[test]
    fn good_points_are_used_and_the_box_agrees_with_them() {
        let face = average_face(Rect::new(100.0, 50.0, 60.0, 80.0));
        let aligned = align(&face).expect("a face");
        assert_eq!(aligned.alignment, Alignment::Landmarks);
        assert!((aligned.inter_eye_px - 27.84).abs() < 0.1);
        let fallback = from_box(face.box_in_frame).expect("a box");
        assert_eq!(fallback.alignment, Alignment::BoxFallback);
        assert!((fallback.inter_eye_px - aligned.inter_eye_px).abs() < 0.1);
        for p in face.landmarks_in_frame {
            assert!(fallback.crop_from_frame.apply(p).distance(aligned.crop_from_frame.apply(p)) < 0.1);
        }
    }

    #[test]
    fn bad_points_fall_back_to_the_box() {
        let good = average_face(Rect::new(100.0, 50.0, 60.0, 80.0));
        let broken: [fn(&mut Landmarks); 6] = [
            |p| p[2].x = f32::NAN,
            |p| p.swap(0, 1),
            |p| p[4] = Point::new(400.0, 50.0),
            |p| *p = [Point::new(130.0, 90.0); 5],
            |p| *p = [110.0, 120.0, 130.0, 140.0, 150.0].map(|x| Point::new(x, x - 30.0)),
            |p| (p[0], p[1], p[3], p[4]) = (p[3], p[4], p[0], p[1]),
        ];
        for (at, damage) in broken.into_iter().enumerate() {
            let mut face = good;
            damage(&mut face.landmarks_in_frame);
            let aligned = align(&face).expect("the box is good");
            assert_eq!(aligned.alignment, Alignment::BoxFallback, "damage {at}");
        }
    }

    #[test]
    fn without_a_box_there_is_no_crop() {
        for face in [Rect::new(0.0, 0.0, 0.0, 10.0), Rect::new(f32::NAN, 0.0, 9.0, 9.0)] {
            let detected =
                DetectedFace { landmarks_in_frame: [Point::new(0.0, 0.0); 5], box_in_frame: face, score: 0.9 };
            assert_eq!(align(&detected), None);
        }
    }

    proptest! {
        #[test]
        fn a_turned_and_noisy_face_still_uses_its_points(
            size in 12.0_f32..300.0, turn in -0.6_f32..0.6, noise in prop::collection::vec(-0.03_f32..0.03, 10),
        ) {
            let face = Rect::new(50.0, 60.0, size, size / 0.75);
            let mut detected = average_face(face);
            let centre = face.centre();
            for (p, jitter) in detected.landmarks_in_frame.iter_mut().zip(noise.chunks(2)) {
                let (x, y) = (p.x - centre.x + jitter[0] * size, p.y - centre.y + jitter[1] * size);
                *p = Point::new(
                    centre.x + x * turn.cos() - y * turn.sin(),
                    centre.y + x * turn.sin() + y * turn.cos(),
                );
            }
            let aligned = align(&detected).expect("a face");
            prop_assert_eq!(aligned.alignment, Alignment::Landmarks);
            prop_assert!((aligned.crop_from_frame.rotation() + turn).abs() < 0.15);
        }

        #[test]
        fn nothing_makes_aligning_panic(values in prop::collection::vec(-1e6_f32..1e6, 14)) {
            let mut landmarks_in_frame = [Point::new(0.0, 0.0); 5];
            for (p, v) in landmarks_in_frame.iter_mut().zip(values[4..].chunks(2)) {
                *p = Point::new(v[0], v[1]);
            }
            let face = DetectedFace {
                box_in_frame: Rect::new(values[0], values[1], values[2], values[3]), landmarks_in_frame, score: 0.5,
            };
            if let Some(aligned) = align(&face) {
                prop_assert!(aligned.inter_eye_px.is_finite() && aligned.inter_eye_px >= 0.0);
            }
        }
    }
}
