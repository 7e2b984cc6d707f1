//! Resampling along one axis as a table: for every output sample the first source sample and a few weights.
//!
//! Shrinking averages the area an output sample covers (fractional at both ends), which cannot alias. Enlarging
//! interpolates linearly. At scale one both are the same, so nothing jumps there. Samples outside are the nearest edge
//! sample; that is folded into the weights, so the loops that use the table need no test.

/// The table of one axis.
#[derive(Debug, Default)]
pub(super) struct Axis {
    taps: usize,
    starts: Vec<usize>,
    weights: Vec<f32>,
}

impl Axis {
    /// `out` samples cover `length` source samples from edge `from` on; the source has `available`.
    pub(super) fn set(&mut self, from: f64, length: f64, out: usize, available: usize) {
        self.starts.clear();
        self.weights.clear();
        self.taps = 0;
        let (Some(out_f), true) = (u32::try_from(out).ok().map(f64::from), out > 0 && available > 0) else { return };
        let step = length / out_f;
        if !step.is_finite() || step <= 0.0 || !from.is_finite() {
            return;
        }
        let last = available - 1;
        let taps = if step >= 1.0 { index(step.ceil(), usize::MAX - 1) + 1 } else { 2 };
        self.taps = taps.min(available);
        self.starts.reserve(out);
        self.weights.resize(out * self.taps, 0.0);
        let mut centre = 0.5;
        for row in self.weights.chunks_exact_mut(self.taps) {
            let middle = from + centre * step;
            // An edge sample also stands for everything beyond it.
            let (low, high) =
                if step >= 1.0 { (middle - step / 2.0, middle + step / 2.0) } else { (middle - 0.5, middle + 0.5) };
            let start = index(low, last).min(available - row.len());
            for (offset, weight) in row.iter_mut().enumerate() {
                let at = start + offset;
                let begin = if at == 0 { f64::NEG_INFINITY } else { position(at) };
                let end = if at == last { f64::INFINITY } else { position(at + 1) };
                // The part of what the output sample covers that lies in this source sample. For the linear
                // interpolation of an enlargement that is a cell of width one around the position.
                let overlap = (end.min(high) - begin.max(low)).max(0.0);
                #[expect(clippy::cast_possible_truncation, reason = "a weight is between 0 and 1")]
                {
                    *weight = (overlap / (high - low)) as f32;
                }
            }
            self.starts.push(start);
            centre += 1.0;
        }
    }

    /// First source sample and weights of every output sample.
    pub(super) fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.taps.max(1)))
    }

    /// The source samples in use: first, and one past the last.
    pub(super) fn span(&self) -> (usize, usize) {
        let first = self.starts.iter().copied().min().unwrap_or(0);
        (first, self.starts.iter().copied().max().unwrap_or(0) + self.taps)
    }

    /// Applies the table to interleaved samples that begin at source sample `first`, one channel at a time.
    pub(super) fn apply(&self, source: &[f32], first: usize, channels: usize, channel: usize, out: &mut [f32]) {
        match (channels, self.taps) {
            (1, 1) => self.apply_fixed::<1>(source, first, out),
            (1, 2) => self.apply_fixed::<2>(source, first, out),
            (1, 3) => self.apply_fixed::<3>(source, first, out),
            (1, 4) => self.apply_fixed::<4>(source, first, out),
            (1, 5) => self.apply_fixed::<5>(source, first, out),
            _ => {
                for ((start, weights), out) in self.rows().zip(out) {
                    let samples = source[(start - first) * channels + channel..].iter().step_by(channels);
                    *out = weights.iter().zip(samples).map(|(w, s)| w * s).sum();
                }
            }
        }
    }

    /// With a known number of taps the inner loop is unrolled; these cover all but strong shrinking.
    fn apply_fixed<const TAPS: usize>(&self, source: &[f32], first: usize, out: &mut [f32]) {
        let (weights, _) = self.weights.as_chunks::<TAPS>();
        for ((start, weights), out) in self.starts.iter().zip(weights).zip(out) {
            if let Some(samples) = source.get(start - first..start - first + TAPS) {
                *out = weights.iter().zip(samples).map(|(w, s)| w * s).sum();
            }
        }
    }
}

/// The sample a position lies in, at most `last`.
fn index(position: f64, last: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=2^32 before")]
    {
        (position.clamp(0.0, f64::from(u32::MAX)) as usize).min(last)
    }
}

/// Where a sample begins. Pictures are at most 65535 wide.
fn position(index: usize) -> f64 {
    u32::try_from(index).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(from: f64, length: f64, out: usize, available: usize) -> Axis {
        let mut axis = Axis::default();
        axis.set(from, length, out, available);
        axis
    }

    #[test]
    fn scale_one_copies() {
        let axis = table(3.0, 4.0, 4, 20);
        let source: Vec<f32> = (0_u8..20).map(f32::from).collect();
        let mut out = [0.0; 4];
        axis.apply(&source, 0, 1, 0, &mut out);
        for (found, expected) in out.into_iter().zip([3.0_f32, 4.0, 5.0, 6.0]) {
            assert!((found - expected).abs() < 1e-6);
        }
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_stay_inside(
            from in -300.0_f64..300.0, length in 0.5_f64..900.0, out in 1_usize..200, available in 1_usize..300,
        ) {
            let axis = table(from, length, out, available);
            prop_assert_eq!(axis.rows().count(), out);
            let (first, end) = axis.span();
            prop_assert!(end <= available && first < end);
            for (start, weights) in axis.rows() {
                prop_assert!(start + weights.len() <= available);
                prop_assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-3);
                prop_assert!(weights.iter().all(|w| *w >= 0.0));
            }
        }

        #[test]
        fn a_linear_ramp_stays_linear_inside(from in 20.0_f64..40.0, length in 5.0_f64..200.0, out in 2_usize..100) {
            let axis = table(from, length, out, 300);
            let source: Vec<f32> = (0_u16..300).map(f32::from).collect();
            let mut result = vec![0.0; out];
            axis.apply(&source, 0, 1, 0, &mut result);
            let step = length / f64::from(u32::try_from(out).expect("small"));
            let mut centre = 0.5;
            for value in result {
                let truth = from + centre * step - 0.5;
                // Averaging takes a sample for constant over its width, which is off by at most an eighth.
                prop_assert!((f64::from(value) - truth).abs() < 0.13, "{value} is not {truth}");
                centre += 1.0;
            }
        }
    }
}
