//! Faces that never move: posters, photographs on a wall, a screen that shows a portrait. A person who passes moves by more
//! than the detector's own uncertainty within a few frames.
//!
//! This is no defence against somebody who holds up a photograph, which moves with the hand.

use crate::face::DetectedFace;

/// Least way the point between the eyes must have gone, in pixels: what the detector's points tremble by on a still face.
pub const WAY_PX_MIN: f32 = 2.0;

/// The same as a share of the distance between the eyes, for large faces, whose points tremble by more pixels.
pub const WAY_SHARE_MIN: f32 = 0.25;

/// Growing or shrinking by this factor is movement too: somebody who walks straight at the camera.
pub const GROWTH_MIN: f32 = 1.2;

/// What one track has shown of movement so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stillness {
    x: (f32, f32),
    y: (f32, f32),
    inter_eye_px: (f32, f32),
    moved: bool,
}

fn widened((low, high): (f32, f32), value: f32) -> (f32, f32) {
    (low.min(value), high.max(value))
}

impl Stillness {
    /// A track's first face.
    #[must_use]
    pub fn of(face: &DetectedFace) -> Self {
        let (x, y, px) = measures(face);
        Self { x: (x, x), y: (y, y), inter_eye_px: (px, px), moved: false }
    }

    /// Takes the next face; whether the track has moved by now. Once it has, it is nobody's poster any more.
    pub fn see(&mut self, face: &DetectedFace) -> bool {
        let (x, y, px) = measures(face);
        (self.x, self.y) = (widened(self.x, x), widened(self.y, y));
        self.inter_eye_px = widened(self.inter_eye_px, px);
        let way = (self.x.1 - self.x.0).hypot(self.y.1 - self.y.0);
        let least = WAY_PX_MIN.max(WAY_SHARE_MIN * self.inter_eye_px.0);
        self.moved |= way > least || self.inter_eye_px.1 > GROWTH_MIN * self.inter_eye_px.0;
        self.moved
    }
}

/// Where the point between the eyes is, and how far they are apart.
fn measures(face: &DetectedFace) -> (f32, f32, f32) {
    let [left, right, ..] = face.landmarks_in_frame;
    (f32::midpoint(left.x, right.x), f32::midpoint(left.y, right.y), left.distance(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Point, Rect};
    use proptest::prelude::*;

    fn face(x: f32, y: f32, px: f32) -> DetectedFace {
        let half = px / 2.0;
        let eyes = [Point::new(x - half, y), Point::new(x + half, y)];
        let rest = [Point::new(x, y + half), Point::new(x - half, y + px), Point::new(x + half, y + px)];
        DetectedFace {
            box_in_frame: Rect::new(x - px, y - px, 2.0 * px, 2.0 * px),
            landmarks_in_frame: [eyes[0], eyes[1], rest[0], rest[1], rest[2]],
            score: 0.9,
        }
    }

    #[test]
    fn who_walks_by_or_towards_the_camera_has_moved_within_a_second() {
        let mut by = Stillness::of(&face(100.0, 80.0, 10.0));
        assert!(!by.see(&face(101.0, 80.0, 10.0)) && by.see(&face(103.0, 80.0, 10.0)), "three pixels");
        let mut towards = Stillness::of(&face(100.0, 80.0, 10.0));
        assert!(!towards.see(&face(100.0, 80.2, 11.0)) && towards.see(&face(100.0, 80.4, 12.5)), "a quarter larger");
        assert!(towards.see(&face(100.0, 80.4, 12.5)), "and stays so");
    }

    proptest! {
        #[test]
        fn a_picture_on_a_wall_never_moves_however_the_detector_trembles(
            px in 8.0_f32..60.0,
            trembling in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0, -1.0_f32..1.0), 1..400),
        ) {
            // Seven tenths of a pixel, or four hundredths of the eyes' distance where that is more.
            let by = 0.7_f32.max(0.04 * px);
            let mut still = Stillness::of(&face(200.0, 100.0, px));
            for (dx, dy, grown) in trembling {
                prop_assert!(!still.see(&face(200.0 + dx * by, 100.0 + dy * by, px * (1.0 + 0.06 * grown))));
            }
        }
    }
}
