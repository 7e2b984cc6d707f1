//! Shares with 95 % intervals.
//!
//! Trials of one person resemble each other, so people are resampled, not trials (bootstrap by identity). Where no
//! error, or nothing but errors, was seen a bootstrap has nothing to vary: there the rule of three speaks, with people as
//! the independent trials (ISO/IEC 19795-1, annex B). A bootstrap of a handful of errors is too narrow, so the interval
//! is never narrower than Wilson's for independent trials (Wilson, JASA 22, 1927).

use serde::{Deserialize, Serialize};

/// Rounds of the bootstrap; the ends of the interval are then known within about a tenth of its width.
const ROUNDS: usize = 1000;

/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_964;

/// The same sample gives the same interval on every machine.
const SEED: u64 = 0x5E61_5E05;

/// One person's (or one stranger's) trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials in which it happened.
    pub hits: u64,
    /// All trials.
    pub of: u64,
}

/// Where an interval comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Bootstrap by identity, at least as wide as Wilson's.
    Bootstrap,
    /// Rule of three over people.
    RuleOfThree,
    /// Fewer than two people: anything is possible.
    TooFew,
}

/// A share with its sample and 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Share {
    /// Trials in which it happened.
    pub hits: u64,
    /// All trials.
    pub of: u64,
    /// Distinct people behind them.
    pub people: usize,
    /// Lower end, 0..=1.
    pub low: f64,
    /// Upper end, 0..=1.
    pub high: f64,
    /// How the ends were found.
    pub how: How,
}

impl Share {
    /// The share itself, 0..=1; `None` without trials.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.of > 0).then(|| ratio(self.hits, self.of))
    }

    /// The share of trials in which it did not happen, with the mirrored interval.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self { hits: self.of - self.hits, low: 1.0 - self.high, high: 1.0 - self.low, ..*self }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of trials are far below 2^52")]
fn ratio(hits: u64, of: u64) -> f64 {
    hits as f64 / of as f64
}

/// The share over all people, with its interval. People without trials are left out.
#[must_use]
pub fn share(people: impl IntoIterator<Item = Tally>) -> Share {
    let tallies: Vec<Tally> = people.into_iter().filter(|tally| tally.of > 0).collect();
    let (hits, of) = tallies.iter().fold((0, 0), |(hits, of), tally| (hits + tally.hits, of + tally.of));
    let people = tallies.len();
    let (low, high, how) = if people < 2 {
        (0.0, 1.0, How::TooFew)
    } else if hits == 0 {
        (0.0, three_over(people), How::RuleOfThree)
    } else if hits == of {
        (1.0 - three_over(people), 1.0, How::RuleOfThree)
    } else {
        let (by_people, by_trials) = (bootstrap(&tallies), wilson(hits, of));
        (by_people.0.min(by_trials.0), by_people.1.max(by_trials.1), How::Bootstrap)
    };
    Share { hits, of, people, low, high, how }
}

/// With no error in `people` independent trials the rate is below this with 95 %: `1 - 0.05^(1/n)`, about `3/n`.
fn three_over(people: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "people are far below 2^52")]
    let people = people as f64;
    (3.0 / people).min(1.0)
}

/// Wilson's score interval.
fn wilson(hits: u64, of: u64) -> (f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "counts of trials are far below 2^52")]
    let n = of as f64;
    let p = ratio(hits, of);
    let centre = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Percentiles of the share over resampled people.
fn bootstrap(tallies: &[Tally]) -> (f64, f64) {
    let mut random = SplitMix::new(SEED);
    let mut shares: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (mut hits, mut of) = (0, 0);
            for _ in 0..tallies.len() {
                let tally = tallies[random.below(tallies.len())];
                hits += tally.hits;
                of += tally.of;
            }
            ratio(hits, of)
        })
        .collect();
    shares.sort_by(f64::total_cmp);
    (shares[ROUNDS * 25 / 1000], shares[ROUNDS * 975 / 1000 - 1])
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, seeded and the same everywhere. Not for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A generator that always gives the same numbers for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `count`, which is at least one. The bias of the high product is below `count / 2^64`.
    pub fn below(&mut self, count: usize) -> usize {
        let product = u128::from(self.next_u64()) * count as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn people(count: u64, of: u64, hits: impl Fn(u64) -> u64) -> Vec<Tally> {
        (0..count).map(|at| Tally { hits: hits(at), of }).collect()
    }

    #[test]
    fn the_generator_gives_the_published_numbers() {
        let mut random = SplitMix::new(1_234_567);
        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn without_an_error_the_rule_of_three_speaks_over_people_not_trials() {
        let none = share(people(300, 10, |_| 0));
        assert_eq!((none.hits, none.of, none.how), (0, 3000, How::RuleOfThree));
        assert!((none.high - 0.01).abs() < 1e-12 && none.low.abs() < 1e-12);
        let all = share(people(60, 1, |_| 1));
        assert!((all.low - 0.95).abs() < 1e-12 && all.high >= 1.0);
    }

    #[test]
    fn one_error_in_three_hundred_has_the_interval_of_independent_trials() {
        // Clopper and Pearson give 0.0001 to 0.0184, Wilson 0.0006 to 0.0186.
        let one = share(people(300, 1, |at| u64::from(at == 0)));
        assert!((0.0186 - one.high).abs() < 3e-4 && one.low < 6.1e-4, "{one:?}");
    }

    #[test]
    fn people_who_repeat_themselves_count_as_people() {
        let independent = share(people(1000, 1, |at| at % 2));
        let clustered = share(people(20, 50, |at| if at % 2 == 0 { 50 } else { 0 }));
        assert_eq!((independent.hits, clustered.hits), (500, 500));
        assert!(clustered.high - clustered.low > 3.0 * (independent.high - independent.low), "{clustered:?}");
    }

    #[test]
    fn one_person_says_nothing() {
        let one = share(people(1, 1000, |_| 10));
        assert_eq!((one.low, one.high, one.how), (0.0, 1.0, How::TooFew));
        assert_eq!(share([]).value(), None);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share(tallies in prop::collection::vec((0_u64..5, 1_u64..6), 2..40)) {
            let found = share(tallies.iter().map(|(hits, of)| Tally { hits: *hits.min(of), of: *of }));
            let value = found.value().expect("trials");
            prop_assert!((0.0..=1.0).contains(&found.low) && (0.0..=1.0).contains(&found.high));
            prop_assert!(found.low <= value && value <= found.high, "{:?}", found);
            let other = found.complement();
            prop_assert!((other.value().expect("trials") + value - 1.0).abs() < 1e-12 && other.low <= other.high);
        }
    }
}
