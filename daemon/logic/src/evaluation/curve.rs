//! Error curves without a threshold: what would be missed at each false rate.

use serde::Serialize;

/// Most points of a curve; a plot is not finer.
const POINTS_MAX: usize = 48;

/// Scores of two kinds of trials, whatever they are: comparisons (FMR, FNMR) or searches (FPIR, FNIR).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// Scores of trials that ought to pass.
    pub genuine: Vec<f64>,
    /// Trials that ought to pass and have no score: failures to acquire, or somebody else was first.
    pub genuine_missed: u64,
    /// Scores of trials that ought to fail.
    pub impostor: Vec<f64>,
    /// Trials that ought to fail and have no score: nothing was acquired, so nobody was named.
    pub impostor_missed: u64,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CurvePoint {
    /// Least score that passes.
    pub threshold: f64,
    /// Share of trials that ought to fail and pass: FMR or FPIR.
    pub false_rate: f64,
    /// Share of trials that ought to pass and fail, failures to acquire included: FNMR or FNIR.
    pub miss_rate: f64,
}

impl Scores {
    /// Points with falling false rate, evenly spaced on its logarithm from one down to a single false pass; the last has
    /// none at all. Empty when either kind has no trials.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of trials are far below 2^52")]
    pub fn curve(&self) -> Vec<CurvePoint> {
        let genuine = sorted(&self.genuine);
        let impostor = sorted(&self.impostor);
        let genuine_all = genuine.len() as f64 + self.genuine_missed as f64;
        let impostor_all = impostor.len() as f64 + self.impostor_missed as f64;
        if genuine_all < 1.0 || impostor_all < 1.0 {
            return Vec::new();
        }
        let mut points: Vec<CurvePoint> = Vec::new();
        for passing in steps(impostor.len()) {
            // Just above the first score that must not pass; the lowest score of all when every one may.
            let threshold = match impostor.len().checked_sub(passing + 1) {
                Some(at) => next_up(impostor[at]),
                None => impostor.first().copied().unwrap_or(0.0).min(genuine.first().copied().unwrap_or(0.0)),
            };
            let falsely = impostor.len() - impostor.partition_point(|score| *score < threshold);
            let failing = genuine.partition_point(|score| *score < threshold);
            let point = CurvePoint {
                threshold,
                false_rate: falsely as f64 / impostor_all,
                miss_rate: (failing as f64 + self.genuine_missed as f64) / genuine_all,
            };
            if points.last().is_none_or(|last| point.false_rate < last.false_rate) {
                points.push(point);
            }
        }
        points
    }

    /// Share missed at a false rate of at most `rate`; `None` when the sample has no such point (fewer trials than
    /// `1 / rate`).
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of trials are far below 2^52")]
    pub fn missed_at(&self, rate: f64) -> Option<f64> {
        let impostor_all = self.impostor.len() as f64 + self.impostor_missed as f64;
        let genuine_all = self.genuine.len() as f64 + self.genuine_missed as f64;
        if genuine_all < 1.0 || rate * impostor_all < 1.0 {
            return None;
        }
        let impostor = sorted(&self.impostor);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=number of trials")]
        let passing = (rate * impostor_all).floor() as usize;
        let threshold = impostor.len().checked_sub(passing + 1).map_or(f64::MIN, |at| next_up(impostor[at]));
        let failing = self.genuine.iter().filter(|score| **score < threshold).count();
        Some((failing as f64 + self.genuine_missed as f64) / genuine_all)
    }
}

fn sorted(scores: &[f64]) -> Vec<f64> {
    let mut scores = scores.to_vec();
    scores.sort_by(f64::total_cmp);
    scores
}

fn next_up(score: f64) -> f64 {
    score.next_up()
}

/// Numbers of passing trials from all down to none, evenly spaced on the logarithm.
fn steps(count: usize) -> Vec<usize> {
    #[expect(clippy::cast_precision_loss, reason = "counts of trials are far below 2^52")]
    let (all, last) = (count.max(1) as f64, (POINTS_MAX - 2) as f64);
    let mut steps: Vec<usize> = (0..POINTS_MAX - 1)
        .map(|at| {
            let share = f64::from(u32::try_from(at).unwrap_or(0)) / last;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1..=count")]
            let passing = all.powf(1.0 - share).round() as usize;
            passing.min(count)
        })
        .collect();
    steps.push(0);
    steps.dedup();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_known_sample_gives_its_rates() {
        let scores = Scores {
            genuine: vec![0.9, 0.8, 0.4],
            genuine_missed: 1,
            impostor: vec![0.1, 0.2, 0.3, 0.5, 0.85],
            impostor_missed: 5,
        };
        assert_eq!(scores.missed_at(0.1), Some(0.5), "one of ten may pass: above 0.5 lie 0.9 and 0.8 of four");
        assert_eq!(scores.missed_at(0.2), Some(0.25), "two of ten may pass: 0.4 is above 0.3");
        assert_eq!(scores.missed_at(0.3), Some(0.25));
        assert_eq!(scores.missed_at(0.01), None, "ten trials say nothing about one in a hundred");
        let curve = scores.curve();
        let last = curve.last().expect("points");
        assert_eq!((last.false_rate, last.miss_rate), (0.0, 0.75));
        assert!((curve[0].false_rate - 0.5).abs() < 1e-12, "half the strangers were never acquired");
    }

    #[test]
    fn without_trials_there_is_no_curve() {
        assert!(Scores::default().curve().is_empty());
        assert!(Scores { genuine: vec![1.0], ..Scores::default() }.curve().is_empty());
    }

    proptest! {
        #[test]
        fn fewer_false_passes_never_miss_fewer(
            genuine in prop::collection::vec(-1.0_f64..1.0, 1..60),
            impostor in prop::collection::vec(-1.0_f64..1.0, 1..200),
            missed in 0_u64..5,
        ) {
            let scores = Scores { genuine, genuine_missed: missed, impostor, impostor_missed: 0 };
            let curve = scores.curve();
            prop_assert!(curve.len() <= POINTS_MAX);
            prop_assert!(curve.windows(2).all(|w| w[1].false_rate < w[0].false_rate && w[1].miss_rate >= w[0].miss_rate));
            prop_assert!(curve.iter().all(|p| (0.0..=1.0).contains(&p.miss_rate)));
        }
    }
}
