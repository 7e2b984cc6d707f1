//! Which faces are worth embedding: floors of quality, from the configuration.

use crate::face::{Quality, Unfit};
use crate::geometry::Rect;

/// Floors below which a face is counted but not compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floors {
    /// Fewest source pixels between the eyes.
    pub inter_eye_px_min: f32,
    /// Least sharpness, 0..=1.
    pub sharpness_min: f32,
    /// Degrees the head may be turned to either side.
    pub yaw_deg_max: f32,
    /// Degrees the head may be tilted to either side.
    pub roll_deg_max: f32,
    /// Least mean luma, 0..=1.
    pub brightness_min: f32,
    /// Greatest mean luma, 0..=1.
    pub brightness_max: f32,
    /// Least standard deviation of luma, 0..=1.
    pub contrast_min: f32,
}

impl Floors {
    /// Whether a face is worth embedding in a frame of `frame_px` (width, height); else the first thing wrong with it,
    /// in the order in which an operator can do something about it.
    ///
    /// # Errors
    /// The reason.
    pub fn fit(&self, quality: &Quality, box_in_frame: Rect, frame_px: (f32, f32)) -> Result<(), Unfit> {
        // A detector's box may overlap the edge by a little without the face being cut; a tenth is eyes or chin.
        let frame = Rect::new(0.0, 0.0, frame_px.0, frame_px.1);
        if box_in_frame.intersection(frame) < 0.9 * box_in_frame.area() {
            return Err(Unfit::Cut);
        }
        // Written so that NaN is never fit.
        let above = |value: f32, floor: f32| value >= floor;
        if !above(quality.inter_eye_px, self.inter_eye_px_min) {
            return Err(Unfit::TooSmall);
        }
        let lit = above(quality.brightness, self.brightness_min) && above(self.brightness_max, quality.brightness);
        if !lit || !above(quality.contrast, self.contrast_min) {
            return Err(Unfit::Exposure);
        }
        if !above(self.yaw_deg_max, quality.yaw_deg.abs()) || !above(self.roll_deg_max, quality.roll_deg.abs()) {
            return Err(Unfit::Pose);
        }
        if !above(quality.sharpness, self.sharpness_min) {
            return Err(Unfit::Blurred);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::Alignment;

    const FLOORS: Floors = Floors {
        inter_eye_px_min: 4.0,
        sharpness_min: 0.1,
        yaw_deg_max: 45.0,
        roll_deg_max: 30.0,
        brightness_min: 0.1,
        brightness_max: 0.9,
        contrast_min: 0.03,
    };

    fn good() -> Quality {
        Quality {
            inter_eye_px: 10.0,
            sharpness: 0.5,
            yaw_deg: 5.0,
            roll_deg: -3.0,
            brightness: 0.4,
            contrast: 0.15,
            alignment: Alignment::Landmarks,
        }
    }

    fn judged(quality: &Quality) -> Result<(), Unfit> {
        FLOORS.fit(quality, Rect::new(10.0, 10.0, 30.0, 40.0), (640.0, 360.0))
    }

    #[test]
    fn each_fault_is_named() {
        assert_eq!(judged(&good()), Ok(()));
        assert_eq!(judged(&Quality { inter_eye_px: 3.9, ..good() }), Err(Unfit::TooSmall));
        assert_eq!(judged(&Quality { sharpness: 0.05, ..good() }), Err(Unfit::Blurred));
        assert_eq!(judged(&Quality { yaw_deg: -50.0, ..good() }), Err(Unfit::Pose));
        assert_eq!(judged(&Quality { roll_deg: 31.0, ..good() }), Err(Unfit::Pose));
        assert_eq!(judged(&Quality { brightness: 0.95, ..good() }), Err(Unfit::Exposure));
        assert_eq!(judged(&Quality { contrast: 0.01, ..good() }), Err(Unfit::Exposure));
    }

    #[test]
    fn nan_is_never_fit() {
        assert!(judged(&Quality { sharpness: f32::NAN, ..good() }).is_err());
        assert!(judged(&Quality { brightness: f32::NAN, ..good() }).is_err());
        assert!(judged(&Quality { yaw_deg: f32::NAN, ..good() }).is_err());
    }

    #[test]
    fn a_face_half_outside_the_picture_is_cut() {
        let half = Rect::new(-15.0, 10.0, 30.0, 40.0);
        assert_eq!(FLOORS.fit(&good(), half, (640.0, 360.0)), Err(Unfit::Cut));
    }
}
