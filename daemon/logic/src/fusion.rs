//! Frames of one track become one template: a quality-weighted, decorrelated sum.
//!
//! Fusing `N` unit frames with mutual cosine `r`, each at cosine `s` to the gallery, gives the template a cosine of
//! `s * sqrt(N / (1 + (N - 1) r))`: many frames help only as far as they differ. So frames closer together than the
//! policy's interval are left out, and a frame that resembles nobody pulls the template away from everybody: it counts
//! against, as it should.

use crate::embedding::Embedding;
use crate::face::{Alignment, Quality, Unfit};
use crate::time::Mono;
use std::collections::BTreeMap;
use std::time::Duration;

/// Frames beyond this are not added: the gain is below 3 % there at the correlations CCTV has, and a person standing in
/// view for an hour should not make the template ever heavier and slower to change.
pub const FRAMES_MAX: u32 = 32;

/// Running sum over the used frames of one track.
#[derive(Clone, Debug, Default)]
pub struct Fusion {
    sum: Vec<f32>,
    used: u32,
    last_used: Option<Mono>,
    inter_eye_px: Vec<f32>,
    unfit: BTreeMap<Unfit, u32>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is part of the template now.
    Used,
    /// It was left out.
    LeftOut(Unfit),
    /// The template is full.
    Full,
}

/// Weight of a frame. Half for a box-aligned face, and falling with blur and with size below 16 px between the eyes,
/// where the genuine score is known to drop; never zero, so that no frame is silently ignored.
#[must_use]
pub fn weight(quality: &Quality) -> f32 {
    let size = (quality.inter_eye_px / 16.0).clamp(0.25, 1.0);
    let sharp = 0.5 + 0.5 * quality.sharpness.clamp(0.0, 1.0);
    let aligned = match quality.alignment {
        Alignment::Landmarks => 1.0,
        Alignment::BoxFallback => 0.5,
    };
    size * sharp * aligned
}

impl Fusion {
    /// Adds a frame, unless it is too close to the last one used.
    pub fn offer(&mut self, at: Mono, embedding: &Embedding, quality: &Quality, min_interval: Duration) -> Offered {
        if self.used >= FRAMES_MAX {
            return Offered::Full;
        }
        if self.last_used.is_some_and(|last| at.since(last) < min_interval) {
            self.leave_out(Unfit::TooSoon);
            return Offered::LeftOut(Unfit::TooSoon);
        }
        if self.sum.is_empty() {
            self.sum = vec![0.0; embedding.dim()];
        } else if self.sum.len() != embedding.dim() {
            self.leave_out(Unfit::NoEmbedding);
            return Offered::LeftOut(Unfit::NoEmbedding);
        }
        let weight = weight(quality);
        for (sum, value) in self.sum.iter_mut().zip(embedding.as_slice()) {
            *sum += weight * value;
        }
        self.used += 1;
        self.last_used = Some(at);
        self.inter_eye_px.push(quality.inter_eye_px);
        Offered::Used
    }

    /// Notes a frame that could not be used.
    pub fn leave_out(&mut self, why: Unfit) {
        let count = self.unfit.entry(why).or_default();
        *count = count.saturating_add(1);
    }

    /// Frames used.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }

    /// When the last frame was used.
    #[must_use]
    pub const fn last_used(&self) -> Option<Mono> {
        self.last_used
    }

    /// Frames left out, by reason.
    #[must_use]
    pub const fn unfit(&self) -> &BTreeMap<Unfit, u32> {
        &self.unfit
    }

    /// The reason most frames were left out for, other than being too soon.
    #[must_use]
    pub fn main_unfit(&self) -> Option<Unfit> {
        let real = self.unfit.iter().filter(|(why, _)| **why != Unfit::TooSoon);
        real.max_by_key(|(_, count)| **count).map(|(why, _)| *why)
    }

    /// Median inter-eye distance of the used frames, source pixels; zero without frames. It selects the calibration
    /// row, and the median makes one lucky close-up unable to change the bin.
    #[must_use]
    pub fn inter_eye_px(&self) -> f32 {
        let mut sizes = self.inter_eye_px.clone();
        sizes.sort_by(f32::total_cmp);
        sizes.get(sizes.len() / 2).copied().unwrap_or(0.0)
    }

    /// The template: the sum at unit length. `None` without frames or when they cancel out.
    #[must_use]
    pub fn template(&self) -> Option<Embedding> {
        Embedding::try_new(&self.sum).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn quality(inter_eye_px: f32) -> Quality {
        Quality {
            inter_eye_px,
            sharpness: 1.0,
            yaw_deg: 0.0,
            roll_deg: 0.0,
            brightness: 0.5,
            contrast: 0.2,
            alignment: Alignment::Landmarks,
        }
    }

    fn unit(values: &[f32]) -> Embedding {
        Embedding::try_new(values).expect("finite")
    }

    const QUARTER: Duration = Duration::from_millis(250);

    #[test]
    fn a_burst_counts_once() {
        let mut fusion = Fusion::default();
        for ms in 0..10 {
            fusion.offer(Mono::from_millis(ms * 20), &unit(&[1.0, 0.0]), &quality(20.0), QUARTER);
        }
        assert_eq!(fusion.used(), 1);
        assert_eq!(fusion.unfit().get(&Unfit::TooSoon), Some(&9));
        assert_eq!(fusion.main_unfit(), None, "being too soon is no fault of the camera");
    }

    #[test]
    fn an_unknown_frame_counts_against() {
        let mut fusion = Fusion::default();
        let ann = unit(&[1.0, 0.0]);
        fusion.offer(Mono::from_millis(0), &ann, &quality(20.0), QUARTER);
        let before = fusion.template().expect("one frame").cosine(&ann);
        fusion.offer(Mono::from_millis(300), &unit(&[0.0, 1.0]), &quality(20.0), QUARTER);
        assert!(fusion.template().expect("two frames").cosine(&ann) < before - 0.2);
    }

    #[test]
    fn frames_that_cancel_have_no_template() {
        let mut fusion = Fusion::default();
        fusion.offer(Mono::from_millis(0), &unit(&[1.0]), &quality(20.0), QUARTER);
        fusion.offer(Mono::from_millis(300), &unit(&[-1.0]), &quality(20.0), QUARTER);
        assert_eq!(fusion.template(), None);
    }

    #[test]
    fn one_close_up_does_not_change_the_size_bin() {
        let mut fusion = Fusion::default();
        for (ms, px) in [(0, 8.0), (300, 9.0), (600, 40.0), (900, 8.5), (1200, 8.2)] {
            fusion.offer(Mono::from_millis(ms), &unit(&[1.0, 0.0]), &quality(px), QUARTER);
        }
        assert!((fusion.inter_eye_px() - 8.5).abs() < 1e-6);
    }

    #[test]
    fn a_person_standing_for_an_hour_stays_bounded() {
        let mut fusion = Fusion::default();
        for second in 0..3600 {
            fusion.offer(Mono::from_millis(second * 1000), &unit(&[1.0, 0.0]), &quality(20.0), QUARTER);
        }
        assert_eq!(fusion.used(), FRAMES_MAX);
    }
}
