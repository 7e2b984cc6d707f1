//! How often one comparison with one wrong person reaches a cosine, as measured: a falling curve over the cells, with how
//! much each of its points can be relied upon.

use super::tally::{CELLS, Tally, edge};

/// False match rate at each cell's lower edge.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    rate: Vec<f64>,
    support: Vec<f64>,
    seen: Vec<f64>,
    clusters: u64,
    comparisons: u64,
}

/// Expected comparisons of a stranger, the best of `people` left out, at or above a cosine that one comparison reaches
/// with probability `rate`: `n r - P(best reaches it) = n r - 1 + (1 - r)^n`.
#[must_use]
pub fn beyond_without_best(rate: f64, people: f64) -> f64 {
    people * rate + (people * (-rate.min(1.0 - 1e-15)).ln_1p()).exp_m1()
}

/// The rate that leads to `beyond` comparisons, and by what part the rate moves when `beyond` moves by a part
/// (`d ln r / d ln beyond`). Found by halving, for the function rises from 0 to `n - 1`.
fn rate_of(beyond: f64, people: f64) -> (f64, f64) {
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if beyond_without_best(middle, people) < beyond { low = middle } else { high = middle }
    }
    let rate = 0.5 * (low + high);
    let slope = people * -((people - 1.0) * (-rate.min(1.0 - 1e-15)).ln_1p()).exp_m1();
    (rate, (beyond / (rate * slope).max(1e-300)).clamp(0.0, 1.0))
}

impl Curve {
    /// From what was counted in passing.
    ///
    /// The best comparison of each track was left out; its expectation is put back by solving [`beyond_without_best`] for
    /// the rate. Comparisons that share a face (or a gallery) are not independent; positive dependence makes the best
    /// comparisons fewer and the others more than reckoned here, so the rate errs upwards.
    #[must_use]
    pub fn from_strangers(tally: &Tally) -> Self {
        let people = tally.people_mean();
        let solved = (0..CELLS).map(|cell| {
            let (mean, square) = tally.beyond(cell);
            if mean <= 0.0 || people < 2.0 {
                return (0.0, (0.0, 0.0));
            }
            let (rate, part) = rate_of(mean, people);
            let seen = independent(tally.tracks(), mean, square);
            (rate, (seen, seen / part.powi(2).max(0.05)))
        });
        let (rate, (seen, support)) = solved.unzip();
        Self { rate, support, seen, clusters: tally.tracks(), comparisons: tally.comparisons() }.falling()
    }

    /// From labelled scores: the cosines of each person's probes with everybody else.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn from_labelled(people: &[Vec<f32>]) -> Self {
        let people: Vec<&Vec<f32>> = people.iter().filter(|scores| !scores.is_empty()).collect();
        let (mut mean, mut square) = (vec![0.0; CELLS], vec![0.0; CELLS]);
        for scores in &people {
            let mut counts = [0_u32; CELLS];
            scores.iter().for_each(|cosine| counts[usize::from(super::tally::cell(*cosine))] += 1);
            let (mut beyond, total) = (0_u32, scores.len() as f64);
            for cell in (0..CELLS).rev() {
                beyond += counts[cell];
                let share = f64::from(beyond) / total;
                mean[cell] += share / people.len() as f64;
                square[cell] += share * share / people.len() as f64;
            }
        }
        let clusters = people.len() as u64;
        let seen: Vec<f64> = mean.iter().zip(&square).map(|(mean, sq)| independent(clusters, *mean, *sq)).collect();
        let comparisons = people.iter().map(|scores| scores.len() as u64).sum();
        Self { rate: mean, support: seen.clone(), seen, clusters, comparisons }.falling()
    }

    /// Rounding must not make it rise.
    fn falling(mut self) -> Self {
        for cell in (0..CELLS - 1).rev() {
            self.rate[cell] = self.rate[cell].max(self.rate[cell + 1]);
        }
        self
    }

    /// Faces behind it: tracks, or labelled people.
    #[must_use]
    pub const fn clusters(&self) -> u64 {
        self.clusters
    }

    /// Comparisons behind it.
    #[must_use]
    pub const fn comparisons(&self) -> u64 {
        self.comparisons
    }

    /// Rate at a cell's lower edge.
    #[must_use]
    pub fn rate(&self, cell: usize) -> f64 {
        self.rate.get(cell).copied().unwrap_or(0.0)
    }

    /// How many independent comparisons beyond a cell's lower edge this is worth: `1 / Var(ln rate)`.
    #[must_use]
    pub fn support(&self, cell: usize) -> f64 {
        self.support.get(cell).copied().unwrap_or(0.0)
    }

    /// How many independent comparisons were in fact seen beyond it. Less than the support where the best one was left out:
    /// what is left rises with the square of the rate there, which fixes the rate well and what lies beyond badly.
    #[must_use]
    pub fn seen(&self, cell: usize) -> f64 {
        self.seen.get(cell).copied().unwrap_or(0.0)
    }

    /// The cosine that a share `rate` of comparisons reaches, with the support there; between two edges the logarithm of
    /// the rate is a straight line. `None` beyond what was seen.
    #[must_use]
    pub fn quantile(&self, rate: f64) -> Option<(f64, f64)> {
        let after = (1..CELLS).find(|cell| self.rate[*cell] < rate)?;
        let (above, below) = (self.rate[after - 1], self.rate[after]);
        if below <= 0.0 || above < rate {
            return None;
        }
        let part = if above > below { (above.ln() - rate.ln()) / (above.ln() - below.ln()) } else { 0.0 };
        Some((edge(after - 1) + part / 128.0, self.support[after]))
    }

    /// The rate at a cosine, interpolated likewise; zero beyond what was seen.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 just before")]
    pub fn rate_at(&self, cosine: f64) -> (f64, f64) {
        let place = ((cosine + 1.0) * 128.0).clamp(0.0, 255.0);
        let cell = place.floor() as usize;
        let (low, high) = (self.rate(cell), self.rate(cell + 1));
        let part = place - place.floor();
        let rate = if high > 0.0 { low * (high / low).powf(part) } else { low * (1.0 - part) };
        (rate, self.support(cell))
    }

    /// Mean and standard deviation of the cosines.
    #[must_use]
    pub fn moments(&self) -> (f64, f64) {
        let share = |cell: usize| self.rate(cell) - self.rate(cell + 1);
        let total: f64 = (0..CELLS).map(share).sum::<f64>().max(1e-12);
        let middle = |cell: usize| edge(cell) + 0.5 / 128.0;
        let mean = (0..CELLS).map(|cell| share(cell) * middle(cell)).sum::<f64>() / total;
        let spread = (0..CELLS).map(|cell| share(cell) * (middle(cell) - mean).powi(2)).sum::<f64>() / total;
        (mean, spread.sqrt())
    }
}

/// `1 / Var(ln mean)` from the spread between clusters (Cochran, Sampling Techniques, 3rd ed., ch. 9: clusters are the
/// units). Where clusters happen to agree, the count itself bounds it. The rate's own follows by the delta method.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn independent(clusters: u64, mean: f64, square: f64) -> f64 {
    if mean <= 0.0 || clusters < 2 {
        return 0.0;
    }
    let clusters = clusters as f64;
    let variance = (square - mean * mean).max(0.0) * clusters / (clusters - 1.0);
    (clusters * mean * mean / variance.max(1e-300)).min(clusters * mean.max(1.0))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Random, look, strangers};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn putting_the_best_back_is_exact(rate in 1e-6_f64..0.9, people in 2.0_f64..5000.0) {
            let found = rate_of(beyond_without_best(rate, people), people).0;
            // Far below one comparison in n the function is a difference of nearly equal numbers.
            prop_assert!((found / rate - 1.0).abs() < 1e-3 || rate * people < 1e-3, "{found} for {rate}");
        }
    }

    #[test]
    fn strangers_give_back_the_distribution_they_came_from() {
        // N(0, 0.1): 10 % lie above 0.128, 1 % above 0.233, 0.1 % above 0.309.
        for people in [5, 40, 300] {
            let curve = Curve::from_strangers(&strangers(&mut Random(7), 4000, people, (0.0, 0.1)));
            for (rate, cosine) in [(0.1, 0.128), (0.01, 0.233)] {
                let (found, support) = curve.quantile(rate).expect("seen");
                assert!((found - cosine).abs() < 0.012, "{people} people, {rate}: {found}");
                assert!(support > 30.0 || people < 10, "{people} people, {rate}: support {support}");
            }
        }
    }

    #[test]
    fn enrolled_people_who_were_missed_never_make_the_tail_lighter_and_move_it_little() {
        let (mut random, mut plain) = (Random(3), Tally::default());
        let mut spoilt = Tally::default();
        for at in 0..6000 {
            plain.add(&look(&mut random, 100, (0.0, 0.1), None));
            // Every fifth track is somebody enrolled, missed at a cosine that one stranger in a million reaches.
            let enrolled = (at % 5 == 0).then(|| random.cosine(0.45, 0.1));
            spoilt.add(&look(&mut random, 100, (0.0, 0.1), enrolled));
        }
        let (plain, spoilt) = (Curve::from_strangers(&plain), Curve::from_strangers(&spoilt));
        for rate in [0.1, 0.01, 1e-3] {
            let (a, b) = (plain.quantile(rate).expect("seen").0, spoilt.quantile(rate).expect("seen").0);
            assert!(b > a - 0.006 && b - a < 0.035, "{rate}: {a} {b}");
        }
    }

    #[test]
    fn comparisons_that_share_a_face_count_as_fewer() {
        let mut random = Random(9);
        let mut people: Vec<Vec<f32>> = Vec::new();
        for _ in 0..200 {
            let own = random.normal(0.0, 0.07);
            people.push((0..300).map(|_| random.cosine(own, 0.07)).collect());
        }
        let curve = Curve::from_labelled(&people);
        let (found, support) = curve.quantile(0.01).expect("seen");
        assert!((found - 0.233).abs() < 0.02, "{found}");
        assert!(support < 200.0, "600 comparisons beyond, but of 200 faces: {support}");
        let (mean, std) = curve.moments();
        assert!(mean.abs() < 0.02 && (std - 0.099).abs() < 0.01, "{mean} {std}");
    }
}
