//! Whether the calibration in force still describes the strangers who pass.
//!
//! ```text
//! fresh --finding--> stale --new calibration, or a person acknowledges--> fresh
//! ```
//!
//! A window of `window_tracks` strangers is gathered for each row; when it is full it is tested once and emptied, so no
//! stranger is tested twice. A row is tested for
//!
//! - **its body**: Kolmogorov and Smirnov's distance between one comparison a track (independent values) and the table's
//!   tail, taken at the points of the tail. The largest of some distances is at most the largest of all, so the usual
//!   distribution errs to the quiet side (as it does for values in cells; Conover, JASA 67, 1972). Significance by
//!   Stephens' approximation (Press et al., Numerical Recipes, 14.3.3); only a distance above 0.1 counts.
//! - **its tail**: the rate of comparisons beyond each point of the tail against the table's, on the logarithm, with the
//!   spread between tracks. It must be *significantly more than half again as much*, for a small difference is no drift;
//!   that is the direction in which false candidates multiply.
//!
//! Scores that move *down* are found only as far as they change the upper tenth, which is what tables hold: they cost
//! missed people, not false candidates.
//!
//! The chance of a finding without drift is [`ALPHA`] for all rows and tests together each time every row fills its window
//! once (Bonferroni). Rows are all decidable rows at the policy's looks.

use super::chart::{Cusum, DayCount, candidate_flood};
use super::curve::{Curve, beyond_without_best};
use super::tally::{Batch, RowKey, Tally};
use crate::calibration::Calibration;
use crate::time::WallMs;
use std::collections::BTreeMap;

/// Chance of a finding without drift, for one round of all rows.
pub const ALPHA: f64 = 1e-3;
/// Distances below this are of no consequence.
const DISTANCE_MIN: f64 = 0.1;
/// A tail this much heavier is borne.
const RATIO_BORNE: f64 = 1.5;
/// A tail's own uncertainty, as comparisons beyond a point: what the shipped table is worth on another site.
const TABLE_SUPPORT: f64 = 100.0;

/// Numbers of the configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftRules {
    /// Strangers' tracks a row gathers before it is tested.
    pub window_tracks: u64,
    /// Share of voted alerts that people may reject, 0..1.
    pub rejected_borne: f64,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// The body of a row's scores lies elsewhere.
    ScoresMoved {
        /// Which row.
        row: RowKey,
        /// Kolmogorov and Smirnov's distance, 0..1.
        distance: f64,
        /// Tracks behind it.
        tracks: u64,
    },
    /// More wrong comparisons reach a cosine than the table says.
    TailHeavier {
        /// Which row.
        row: RowKey,
        /// How many times more.
        ratio: f64,
        /// At this rate of the table.
        at_fmr: f64,
        /// Tracks behind it.
        tracks: u64,
    },
    /// People reject too many alerts.
    Rejections,
    /// Far more candidates in a day than usual.
    CandidateFlood {
        /// Candidates among tracks, yesterday.
        share: f64,
        /// And usually.
        usual: f64,
    },
}

impl Finding {
    /// The word used in status, metrics and the audit.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::ScoresMoved { .. } => "scores-moved",
            Self::TailHeavier { .. } => "tail-heavier",
            Self::Rejections => "rejections",
            Self::CandidateFlood { .. } => "candidate-flood",
        }
    }

    /// A sentence for people.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::ScoresMoved { row, distance, tracks } => format!(
                "strangers' scores from {} px at {} frames lie elsewhere than the calibration says (distance {distance:.2} \
                 over {tracks} tracks)",
                row.from_px(),
                row.frames
            ),
            Self::TailHeavier { row, ratio, at_fmr, tracks } => format!(
                "{ratio:.1} times as many wrong comparisons from {} px at {} frames as the calibration says (at a rate of \
                 {at_fmr}, over {tracks} tracks)",
                row.from_px(),
                row.frames
            ),
            Self::Rejections => "people reject many more alerts than [drift] rejected-per-mille bears".to_owned(),
            Self::CandidateFlood { share, usual } => format!(
                "{:.1} of a thousand tracks became candidates in a day, usually it is {:.1}",
                share * 1000.0,
                usual * 1000.0
            ),
        }
    }
}

/// The calibration no longer describes the site, until somebody does something about it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stale {
    /// Since when.
    pub since: WallMs,
    /// Which calibration.
    pub calibration_id: String,
    /// Why.
    pub finding: Finding,
}

/// What is gathered between tests. Kept by the store, so that a restart loses nothing.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    calibration_id: String,
    rows: BTreeMap<RowKey, Tally>,
    votes: Cusum,
    tests_total: u64,
}

impl Watch {
    /// A watch over a calibration that begins now.
    #[must_use]
    pub fn new(calibration_id: &str) -> Self {
        Self { calibration_id: calibration_id.to_owned(), ..Self::default() }
    }

    /// Which calibration is watched.
    #[must_use]
    pub fn calibration_id(&self) -> &str {
        &self.calibration_id
    }

    /// Windows tested so far.
    #[must_use]
    pub const fn tests_total(&self) -> u64 {
        self.tests_total
    }

    /// The windows being filled, with the tracks in each.
    pub fn windows(&self) -> impl Iterator<Item = (RowKey, u64)> + '_ {
        self.rows.iter().map(|(row, tally)| (*row, tally.tracks()))
    }

    /// Takes what was counted, and tests the windows that are full. `looks` are the frame counts at which tracks are judged:
    /// with the decidable sizes they say how many tests share [`ALPHA`].
    pub fn take(
        &mut self,
        batch: &Batch,
        calibration: &Calibration,
        looks: usize,
        rules: DriftRules,
    ) -> Option<Finding> {
        let mut found = None;
        // Rejections first: the order within a batch is not known, and this one signals rather too early than too late.
        let votes = std::iter::repeat_n(true, counted(batch.rejected))
            .chain(std::iter::repeat_n(false, counted(batch.confirmed)));
        for rejected in votes {
            if self.votes.take(rejected, rules.rejected_borne) {
                self.votes = Cusum::default();
                found = Some(Finding::Rejections);
            }
        }
        for (row, tally) in &batch.rows {
            self.rows.entry(*row).or_default().merge(tally);
        }
        let full: Vec<RowKey> =
            self.rows.iter().filter(|(_, tally)| tally.tracks() >= rules.window_tracks).map(|(row, _)| *row).collect();
        for key in full {
            let Some(tally) = self.rows.remove(&key) else { continue };
            self.tests_total += 1;
            found = test(key, &tally, calibration, looks).or(found);
        }
        found
    }

    /// Looks at whole days, the last one just ended.
    #[must_use]
    pub fn day_ended(days: &[DayCount]) -> Option<Finding> {
        candidate_flood(days).map(|(share, usual)| Finding::CandidateFlood { share, usual })
    }

    /// As lines of text: the calibration, the chart, then a row each.
    #[must_use]
    pub fn parts(&self) -> (String, Cusum, Vec<(RowKey, Vec<u8>)>) {
        let rows = self.rows.iter().map(|(row, tally)| (*row, tally.to_bytes())).collect();
        (self.calibration_id.clone(), self.votes, rows)
    }

    /// What [`parts`](Self::parts) gave; rows that cannot be read begin anew.
    #[must_use]
    pub fn from_parts(calibration_id: String, votes: Cusum, rows: Vec<(RowKey, Vec<u8>)>) -> Self {
        let rows = rows.into_iter().filter_map(|(row, bytes)| Some((row, Tally::from_bytes(&bytes)?))).collect();
        Self { calibration_id, rows, votes, tests_total: 0 }
    }
}

/// A batch is a minute's worth; more votes than this in one are no people.
fn counted(votes: u64) -> usize {
    usize::try_from(votes.min(10_000)).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "counts and sizes are small")]
fn test(key: RowKey, tally: &Tally, calibration: &Calibration, looks: usize) -> Option<Finding> {
    let (_, frames, row) = calibration.place(key.from_px() as f32 + 1e-3, key.frames)?;
    let sizes = calibration.bins().filter(|(from, _)| calibration.row(*from, u32::MAX).is_some()).count();
    let tests = (sizes.max(1) * looks.max(1)) as f64;
    if frames != key.frames {
        return None;
    }
    let (people, curve) = (tally.people_mean(), Curve::from_strangers(tally));
    let (mut distance, mut heavier) = (0.0_f64, None);
    let points = row.knots().count().max(1) as f64;
    for (rate, cosine) in row.knots() {
        let expected = beyond_without_best(rate, people) / (people - 1.0).max(1.0);
        distance = distance.max((tally.one_beyond(cosine) - expected).abs());
        let (seen, support) = curve.rate_at(cosine);
        let error = (1.0 / support.max(1e-9) + 1.0 / TABLE_SUPPORT).sqrt();
        let excess = ((seen / rate).max(1e-300).ln() - RATIO_BORNE.ln()) / error;
        // Where fewer than ten comparisons lie beyond, the logarithm of their number is not nearly normal.
        if support >= 10.0 && normal_beyond(excess) < 0.5 * ALPHA / (tests * points) && heavier.is_none() {
            heavier = Some(Finding::TailHeavier { row: key, ratio: seen / rate, at_fmr: rate, tracks: tally.tracks() });
        }
    }
    let (n, m) = (tally.tracks() as f64, f64::from(row.people()));
    let worth = (n * m / (n + m)).sqrt();
    let chance = kolmogorov_beyond((worth + 0.12 + 0.11 / worth) * distance);
    if distance >= DISTANCE_MIN && chance < 0.5 * ALPHA / tests {
        return Some(Finding::ScoresMoved { row: key, distance, tracks: tally.tracks() });
    }
    heavier
}

/// `Q_KS`: `2 sum (-1)^(j-1) exp(-2 j^2 x^2)`.
fn kolmogorov_beyond(x: f64) -> f64 {
    if x < 0.2 {
        return 1.0;
    }
    let term = |j: i32| f64::from(1 - 2 * ((j - 1) % 2)) * (-2.0 * f64::from(j * j) * x * x).exp();
    (2.0 * (1..=100).map(term).sum::<f64>()).clamp(0.0, 1.0)
}

/// Upper bound of the normal tail (Chernoff).
fn normal_beyond(z: f64) -> f64 {
    if z <= 0.0 { 1.0 } else { (-0.5 * z * z).exp() }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
