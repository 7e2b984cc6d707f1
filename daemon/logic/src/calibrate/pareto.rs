//! The tail beyond what was seen: a generalised Pareto distribution.
//!
//! Excesses over a high threshold follow one under wide conditions (Pickands 1975; Coles, An Introduction to Statistical
//! Modeling of Extreme Values, 2001, ch. 4). Fitted by probability-weighted moments (Hosking and Wallis, Technometrics
//! 29(3), 1987); interval by the delta method with the covariance of Coles, section 4.3.3.

use super::curve::Curve;
use super::tally::{CELLS, edge};

/// Independent comparisons a tail is fitted to, at least.
const SEEN_MIN: f64 = 100.0;
/// The tail begins where this share lies beyond, or further down where that is too few comparisons.
const SHARE: f64 = 0.005;
/// Where a tenth lies beyond, one is no longer in the tail.
const SHARE_MAX: f64 = 0.1;
/// A cosine is bounded, but a short tail must not be taken from chance; a heavy one must not run away. As in
/// `models/calibrate/fit.py`.
const SHAPE: (f64, f64) = (-0.25, 0.1);

/// The shape is drawn towards that of a Gaussian's tail at these rates, which cosines between strangers resemble, with the
/// worth of this many comparisons: excesses that no comparison was seen at are missing from the moments, and without the
/// pull every small sample looked short-tailed, which is the unsafe side.
const SHAPE_USUAL: (f64, f64) = (-0.1, 300.0);

/// A fitted tail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pareto {
    from: f64,
    rate: f64,
    scale: f64,
    shape: f64,
    support: f64,
    seen: f64,
}

impl Pareto {
    /// Fits the curve's tail; `None` when too little was seen.
    #[must_use]
    pub fn fit(curve: &Curve) -> Option<Self> {
        let fine = |cell: &usize| curve.seen(*cell) >= SEEN_MIN && curve.rate(*cell) <= SHARE_MAX;
        let wanted = (0..CELLS).filter(fine).find(|cell| curve.rate(*cell) <= SHARE);
        let from = wanted.or_else(|| (0..CELLS).rev().find(fine))?;
        let rate = curve.rate(from);
        // First moments of the excess: E[x] is the integral of the survival function S, E[x (1 - F(x))] half that of its
        // square. Trapezoids over the cells down to the last one where ten comparisons were seen; what lies beyond it is
        // added as an exponential of four fifths the mean, which is what a Gaussian's excess shrinks to on the way.
        let last = (from..CELLS).rev().find(|cell| curve.seen(*cell) >= 10.0).unwrap_or(from);
        let (mut mean, mut moment) = (0.0, 0.0);
        for cell in from..last {
            let (a, b) = (curve.rate(cell) / rate, curve.rate(cell + 1) / rate);
            mean += 0.5 * (a + b) / 128.0;
            moment += 0.25 * (a * a + b * b) / 128.0;
        }
        let left = curve.rate(last) / rate;
        mean /= 1.0 - 0.8 * left;
        moment += 0.25 * left * left * 0.8 * mean;
        let shape = (2.0 - mean / (mean - 2.0 * moment)).clamp(SHAPE.0, SHAPE.1);
        let shape = if shape.is_finite() { shape } else { SHAPE.1 };
        let (usual, worth) = SHAPE_USUAL;
        let shape = (curve.seen(from) * shape + worth * usual) / (curve.seen(from) + worth);
        let scale = mean * (1.0 - shape);
        let fitted =
            Self { from: edge(from), rate, scale, shape, support: curve.support(from), seen: curve.seen(from) };
        (fitted.scale > 0.0 && last > from).then_some(fitted)
    }

    /// The cosine reached by a share `rate`, with its standard error.
    #[must_use]
    pub fn quantile(&self, rate: f64) -> (f64, f64) {
        let ratio = self.rate / rate;
        let rise = |scale: f64, shape: f64| {
            if shape.abs() < 1e-6 { scale * ratio.ln() } else { scale / shape * (ratio.powf(shape) - 1.0) }
        };
        let step = 1e-4;
        let by_scale = rise(1.0, self.shape);
        let by_shape = (rise(self.scale, self.shape + step) - rise(self.scale, self.shape - step)) / (2.0 * step);
        let by_log_rate = self.scale * ratio.powf(self.shape);
        let (s, x) = (self.scale, 1.0 + self.shape);
        let fitted =
            2.0 * s * s * x * by_scale * by_scale - 2.0 * s * x * by_scale * by_shape + x * x * by_shape * by_shape;
        let variance = fitted.max(0.0) / self.seen + by_log_rate * by_log_rate / self.support;
        (self.from + rise(self.scale, self.shape), variance.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, strangers};
    use super::*;

    #[test]
    fn the_tail_of_a_gaussian_is_met_within_its_interval() {
        let mut inside = 0;
        for seed in 0..20 {
            let curve = Curve::from_strangers(&strangers(&mut Random(seed), 1500, 60, (0.0, 0.1)));
            let tail = Pareto::fit(&curve).expect("enough");
            let (found, error) = tail.quantile(1e-4);
            assert!((found - 0.372).abs() < 0.05, "{found}");
            inside += usize::from((found - 0.372).abs() <= 1.96 * error);
        }
        assert!(inside >= 17, "{inside} of 20 intervals of 95 % hold the truth");
    }

    #[test]
    fn rarer_means_higher_and_less_certain() {
        let tail =
            Pareto::fit(&Curve::from_strangers(&strangers(&mut Random(1), 2000, 50, (0.0, 0.1)))).expect("enough");
        let found: Vec<_> = [1e-3, 1e-4, 1e-5, 1e-6].map(|rate| tail.quantile(rate)).to_vec();
        assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{found:?}");
    }

    #[test]
    fn a_handful_of_tracks_is_no_tail() {
        assert_eq!(Pareto::fit(&Curve::from_strangers(&strangers(&mut Random(1), 5, 5, (0.0, 0.1)))), None);
    }
}
