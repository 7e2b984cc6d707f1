//! From a region of the frame to the detector's input and back, in one place.
//!
//! The input has one of a few fixed shapes. The region is scaled to fit; what is left over on one axis shows more of
//! the surroundings instead of a black bar, so the mapping is a scale and a shift and nothing else.
//!
//! Regions are pixel edges, and the network's coordinates are taken as edges of its input's pixels: its answers to a
//! picture shrunk k times, multiplied by k, are those to the picture itself within 0.2 px for each step of k (both axes
//! together, 1 100 faces, k = 2, 3, 4), where coordinates of pixel centres would differ by 0.5 px. Faces are reported in
//! pixel centres; the half pixel between edge and centre is added here.

use crate::planes::px;
use sekisho_logic::face::DetectedFace;
use sekisho_logic::geometry::{Point, Rect};

/// How one region lies in one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Letterbox {
    seen: Rect,
    input_from_frame: f32,
    input_px: (usize, usize),
}

impl Letterbox {
    /// Fits `region` (pixel edges, in a frame of `frame_px`) into an input of `input_px`, both width and height.
    /// What is seen is moved into the frame where it fits. `None` for an empty or not finite region or input.
    #[must_use]
    pub fn fit(region: Rect, frame_px: (f32, f32), input_px: (usize, usize)) -> Option<Self> {
        let (width, height) = (px(input_px.0), px(input_px.1));
        let input_from_frame = (width / region.width).min(height / region.height);
        let positive = region.width > 0.0 && region.height > 0.0 && region.is_finite();
        if !positive || !input_from_frame.is_finite() || input_from_frame <= 1e-4 {
            return None;
        }
        let (seen_width, seen_height) = (width / input_from_frame, height / input_from_frame);
        let centre = region.centre();
        let seen = Rect::new(
            inside(centre.x - seen_width / 2.0, seen_width, frame_px.0),
            inside(centre.y - seen_height / 2.0, seen_height, frame_px.1),
            seen_width,
            seen_height,
        );
        seen.is_finite().then_some(Self { seen, input_from_frame, input_px })
    }

    /// What the input shows, in the frame (pixel edges). Parts outside the frame repeat its edge.
    #[must_use]
    pub const fn seen_in_frame(&self) -> Rect {
        self.seen
    }

    /// Input pixels a frame pixel.
    #[must_use]
    pub const fn scale(&self) -> f32 {
        self.input_from_frame
    }

    /// Width and height of the input.
    #[must_use]
    pub const fn input_px(&self) -> (usize, usize) {
        self.input_px
    }

    /// A point of the frame (pixel centres) in the input (pixel edges).
    #[must_use]
    pub fn to_input(&self, p: Point) -> Point {
        Point::new((p.x + 0.5 - self.seen.x) * self.input_from_frame, (p.y + 0.5 - self.seen.y) * self.input_from_frame)
    }

    /// The way back.
    #[must_use]
    pub fn to_frame(&self, p: Point) -> Point {
        Point::new(p.x / self.input_from_frame + self.seen.x - 0.5, p.y / self.input_from_frame + self.seen.y - 0.5)
    }

    /// A face in the input as one in the frame.
    #[must_use]
    pub fn face_to_frame(&self, face: &DetectedFace) -> DetectedFace {
        let corner = self.to_frame(Point::new(face.box_in_frame.x, face.box_in_frame.y));
        let (width, height) = (face.box_in_frame.width, face.box_in_frame.height);
        DetectedFace {
            box_in_frame: Rect::new(corner.x, corner.y, width / self.input_from_frame, height / self.input_from_frame),
            landmarks_in_frame: face.landmarks_in_frame.map(|p| self.to_frame(p)),
            score: face.score,
        }
    }

    /// Whether a box of the frame (pixel centres) reaches a border of what is seen behind which the frame goes on:
    /// such a face may be half a face.
    #[must_use]
    pub fn cuts(&self, face: Rect, frame_px: (f32, f32)) -> bool {
        // Within two input pixels of the border the network draws boxes of what it sees, not of what is there.
        let margin = 2.0 / self.input_from_frame;
        let at = face.shifted(0.5, 0.5);
        let (right, bottom) = (self.seen.x + self.seen.width, self.seen.y + self.seen.height);
        (at.x < self.seen.x + margin && self.seen.x > 1.0)
            || (at.y < self.seen.y + margin && self.seen.y > 1.0)
            || (at.x + at.width > right - margin && right < frame_px.0 - 1.0)
            || (at.y + at.height > bottom - margin && bottom < frame_px.1 - 1.0)
    }
}

/// Moves an interval into 0..=available; one that is longer is centred.
fn inside(from: f32, length: f32, available: f32) -> f32 {
    if length >= available { (available - length) / 2.0 } else { from.clamp(0.0, available - length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn there_and_back_is_where_it_was(
            x in -200.0_f32..2000.0, y in -200.0_f32..1200.0, w in 4.0_f32..1920.0, h in 4.0_f32..1080.0,
            a in -100.0_f32..2000.0, b in -100.0_f32..1200.0,
        ) {
            for input in [(128, 128), (320, 192), (640, 384)] {
                let letterbox = Letterbox::fit(Rect::new(x, y, w, h), (1920.0, 1080.0), input).expect("a region");
                let p = Point::new(a, b);
                prop_assert!(letterbox.to_frame(letterbox.to_input(p)).distance(p) < 0.01);
                // The region's corners lie in the input, unless what is seen had to move into the frame.
                let seen = letterbox.seen_in_frame();
                prop_assert!(seen.width >= w - 0.1 && seen.height >= h - 0.1);
                let (first, last) = (
                    letterbox.to_input(Point::new(seen.x - 0.5, seen.y - 0.5)),
                    letterbox.to_input(Point::new(seen.x + seen.width - 0.5, seen.y + seen.height - 0.5)),
                );
                prop_assert!(first.x.abs() < 0.05 && first.y.abs() < 0.05);
                prop_assert!((last.x - px(input.0)).abs() < 0.1 && (last.y - px(input.1)).abs() < 0.1);
            }
        }

        #[test]
        fn a_face_comes_back_with_its_points(scale in 0.3_f32..3.0, x in 0.0_f32..500.0, y in 0.0_f32..300.0) {
            let region = Rect::new(x, y, 320.0 / scale, 192.0 / scale);
            let letterbox = Letterbox::fit(region, (1920.0, 1080.0), (320, 192)).expect("a region");
            let points = sekisho_logic::geometry::ARCFACE_TEMPLATE;
            let face = DetectedFace {
                box_in_frame: Rect::new(20.0, 10.0, 80.0, 110.0), landmarks_in_frame: points, score: 0.9,
            };
            let found = letterbox.face_to_frame(&face);
            prop_assert!((found.box_in_frame.width * scale - 80.0).abs() < 0.05);
            for (p, q) in found.landmarks_in_frame.iter().zip(points) {
                prop_assert!(letterbox.to_input(*p).distance(q) < 0.02);
            }
        }
    }

    #[test]
    fn empty_regions_have_no_letterbox() {
        for region in
            [Rect::new(0.0, 0.0, 0.0, 5.0), Rect::new(f32::NAN, 0.0, 5.0, 5.0), Rect::new(0.0, 0.0, -1.0, 9.0)]
        {
            assert_eq!(Letterbox::fit(region, (640.0, 360.0), (320, 192)), None);
        }
    }

    #[test]
    fn a_face_at_an_inner_border_may_be_cut_and_at_the_pictures_edge_not() {
        let letterbox = Letterbox::fit(Rect::new(0.0, 80.0, 320.0, 192.0), (640.0, 360.0), (320, 192)).expect("region");
        let frame = (640.0, 360.0);
        assert!(!letterbox.cuts(Rect::new(-0.5, 120.0, 30.0, 40.0), frame));
        assert!(!letterbox.cuts(Rect::new(100.0, 120.0, 30.0, 40.0), frame));
        assert!(letterbox.cuts(Rect::new(295.0, 120.0, 24.0, 40.0), frame));
        assert!(letterbox.cuts(Rect::new(100.0, 78.0, 24.0, 40.0), frame));
    }
}
