//! Counts in equal bins: what a day of values leaves behind, in bounded memory.

/// Counts of values between two ends; values beyond them count in the outermost bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    from: f32,
    step: f32,
    counts: Vec<u64>,
    total: u64,
}

/// Tenth, fiftieth and ninetieth of a hundred values, and how many there were.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spread {
    /// A tenth of the values is below.
    pub p10: f32,
    /// Half of the values is below.
    pub p50: f32,
    /// Nine tenths of the values are below.
    pub p90: f32,
    /// Values.
    pub count: u64,
}

impl Histogram {
    /// `bins` equal bins from `from` to `to`; at least one bin, and `to` above `from`.
    #[must_use]
    pub fn new(from: f32, to: f32, bins: u16) -> Self {
        let bins = bins.max(1);
        let step = ((to - from) / f32::from(bins)).max(f32::MIN_POSITIVE);
        Self { from, step, counts: vec![0; usize::from(bins)], total: 0 }
    }

    /// Counts a value; one that is no number is left out.
    pub fn add(&mut self, value: f32) {
        if value.is_nan() {
            return;
        }
        let last = self.counts.len() - 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "floats saturate when cast")]
        let bin = (((value - self.from) / self.step).max(0.0) as usize).min(last);
        self.counts[bin] = self.counts[bin].saturating_add(1);
        self.total = self.total.saturating_add(1);
    }

    /// Values counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Lower edge and count of every bin.
    pub fn bins(&self) -> impl Iterator<Item = (f32, u64)> + '_ {
        let edges = (0_u16..).map(|at| self.from + self.step * f32::from(at));
        edges.zip(self.counts.iter().copied())
    }

    /// The value below which a share `q` (0..=1) of the values lies, interpolated within its bin; `None` without values.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of faces are far below 2^24 a bin where it matters")]
    pub fn quantile(&self, q: f32) -> Option<f32> {
        if self.total == 0 {
            return None;
        }
        let wanted = q.clamp(0.0, 1.0) * self.total as f32;
        let mut below = 0.0;
        let mut last = self.from;
        for (edge, count) in self.bins().filter(|(_, count)| *count > 0) {
            let count = count as f32;
            if below + count >= wanted {
                return Some(edge + self.step * ((wanted - below) / count).clamp(0.0, 1.0));
            }
            below += count;
            last = edge + self.step;
        }
        Some(last)
    }

    /// The spread of the values; `None` without values.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        Some(Spread { p10: self.quantile(0.1)?, p50: self.quantile(0.5)?, p90: self.quantile(0.9)?, count: self.total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_beyond_the_ends_count_in_the_outermost_bins_and_nan_does_not() {
        let mut histogram = Histogram::new(0.0, 10.0, 10);
        for value in [-5.0, 0.5, 9.99, 50.0, f32::INFINITY, f32::NAN] {
            histogram.add(value);
        }
        let counts: Vec<_> = histogram.bins().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[9], histogram.total()), (2, 3, 5));
        assert_eq!(Histogram::new(0.0, 1.0, 4).spread(), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_a_bin_of_the_true_ones(values in prop::collection::vec(0.0_f32..100.0, 1..300)) {
            let mut histogram = Histogram::new(0.0, 100.0, 200);
            let mut sorted = values.clone();
            values.iter().for_each(|value| histogram.add(*value));
            sorted.sort_by(f32::total_cmp);
            let spread = histogram.spread().expect("values");
            prop_assert!(spread.p10 <= spread.p50 && spread.p50 <= spread.p90);
            // The p-quantile lies between the order statistics around rank p n.
            for (q, found) in [(0.1_f32, spread.p10), (0.5, spread.p50), (0.9, spread.p90)] {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a rank among at most 300 values"
                )]
                let at = (values.len() as f32 * q) as usize;
                let low = sorted[at.saturating_sub(1)];
                let high = sorted[(at + 1).min(sorted.len() - 1)];
                prop_assert!(found >= low - 0.51 && found <= high + 0.51, "{q}: {found} not in {low}..{high}");
            }
        }
    }
}
