//! The evidence line: logistic regression on the cosine.

/// Slope (natural-log likelihood ratio per unit of cosine) and offset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Per unit of cosine.
    pub slope: f64,
    /// At cosine zero.
    pub offset: f64,
}

/// A cosine with the share of its class that it stands for.
pub type Weighted = (f64, f64);

/// A Gaussian as 81 weighted points from -4 to 4 standard deviations.
#[must_use]
pub fn gaussian(mean: f64, std: f64) -> Vec<Weighted> {
    let places = (-40..=40).map(|step| f64::from(step) / 10.0);
    places.map(|z| (mean + z * std, (-0.5 * z * z).exp())).collect()
}

fn moments(points: &[Weighted]) -> (f64, f64, f64) {
    let total: f64 = points.iter().map(|(_, weight)| weight).sum();
    let mean = points.iter().map(|(x, weight)| x * weight).sum::<f64>() / total;
    let variance = points.iter().map(|(x, weight)| (x - mean).powi(2) * weight).sum::<f64>() / total;
    (total, mean, variance)
}

/// Fits the line with both classes weighted alike, so that the logit is the log likelihood ratio. Newton's method on
/// centred, scaled cosines; a weak pull of the slope to the Gaussian estimate keeps it finite when the classes do not
/// overlap. The same as `evidence_line` in `models/calibrate/fit.py`. `None` when a class is empty or all alike.
#[must_use]
pub fn fit(genuine: &[Weighted], impostor: &[Weighted]) -> Option<Line> {
    const STRENGTH: f64 = 1e-3;
    let ((g_total, g_mean, g_var), (i_total, i_mean, i_var)) = (moments(genuine), moments(impostor));
    let (middle, scale) = (0.5 * (g_mean + i_mean), (0.5 * (g_var + i_var)).sqrt());
    if !(scale > 1e-6 && middle.is_finite()) {
        return None;
    }
    let prior = (g_mean - i_mean) / scale;
    let (mut slope, mut offset) = (prior.max(0.1), 0.0);
    for _ in 0..100 {
        let (mut by_slope, mut by_offset) = (STRENGTH * (slope - prior), 0.0);
        let (mut curve_ss, mut curve_so, mut curve_oo) = (STRENGTH, 0.0, 1e-9);
        for (points, total, truth) in [(genuine, g_total, 1.0), (impostor, i_total, 0.0)] {
            for (cosine, weight) in points {
                let (x, weight) = ((cosine - middle) / scale, 0.5 * weight / total);
                let p = 1.0 / (1.0 + (-(slope * x + offset).clamp(-50.0, 50.0)).exp());
                let (error, curve) = (weight * (p - truth), weight * p * (1.0 - p));
                by_slope += error * x;
                by_offset += error;
                curve_ss += curve * x * x;
                curve_so += curve * x;
                curve_oo += curve;
            }
        }
        let determinant = curve_ss * curve_oo - curve_so * curve_so;
        let step_slope = ((curve_oo * by_slope - curve_so * by_offset) / determinant).clamp(-2.0, 2.0);
        let step_offset = ((curve_ss * by_offset - curve_so * by_slope) / determinant).clamp(-2.0, 2.0);
        slope -= step_slope;
        offset -= step_offset;
        if step_slope.abs().max(step_offset.abs()) < 1e-9 {
            break;
        }
    }
    let line = Line { slope: slope / scale, offset: offset - slope * middle / scale };
    (line.slope.is_finite() && line.offset.is_finite()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_gaussians_of_equal_spread_give_their_likelihood_ratio() {
        // llr = (m / s^2) c - m^2 / (2 s^2).
        let line = fit(&gaussian(0.3, 0.1), &gaussian(0.0, 0.1)).expect("a line");
        assert!((line.slope - 30.0).abs() < 0.8 && (line.offset + 4.5).abs() < 0.15, "{line:?}");
    }

    #[test]
    fn classes_that_do_not_overlap_give_a_finite_line() {
        let line = fit(&gaussian(0.9, 0.01), &gaussian(0.0, 0.01)).expect("a line");
        assert!(line.slope > 0.0 && line.slope.is_finite());
        assert_eq!(fit(&[], &gaussian(0.0, 0.1)), None);
        assert_eq!(fit(&[(0.5, 1.0)], &[(0.5, 1.0)]), None);
    }
}
