//! What is counted about strangers' scores: bounded, and the same size however many people pass.
//!
//! Nobody says which tracks are strangers. Somebody enrolled who is not identified (turned away, too few frames) is
//! counted too, and that one comparison with their own prototype would spoil the tail. It is nearly always the best of
//! the track, so **the best comparison of every track is left out**. For a stranger this removes the greatest of `n`
//! comparisons, which is known and undone by [`Curve::from_strangers`](super::Curve::from_strangers); what an enrolled
//! person leaves are `n - 1` comparisons with others, which makes the tail look heavier, never lighter. So an error of
//! this kind can only raise thresholds.

use crate::id::CameraId;
use std::collections::BTreeMap;

/// Cells of the histograms, each 1/128 of cosine wide, from -1 to 1.
pub const CELLS: usize = 256;

/// Comparisons of one look that are counted; of a larger gallery every `k`-th person is taken.
pub const COMPARISONS_MAX: usize = 256;

/// First byte of a stored tally.
const VERSION: u8 = 1;

/// The cell a cosine falls into. Not-a-number falls into the lowest.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=255 just before")]
pub fn cell(cosine: f32) -> u8 {
    ((f64::from(cosine) + 1.0) * 128.0).floor().clamp(0.0, 255.0) as u8
}

/// Lower edge of a cell, a cosine.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "at most 256")]
pub fn edge(cell: usize) -> f64 {
    cell as f64 / 128.0 - 1.0
}

/// A row of the calibration: lower edge of the size bin in thousandths of a pixel, and frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RowKey {
    /// Lower edge of the size bin, thousandths of an inter-eye pixel.
    pub from_mpx: u32,
    /// Frames fused.
    pub frames: u32,
}

impl RowKey {
    /// The row that begins at `from_px` inter-eye pixels.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are below 10 000 px")]
    pub fn new(from_px: f32, frames: u32) -> Self {
        Self { from_mpx: (f64::from(from_px) * 1000.0).round().clamp(0.0, 1e7) as u32, frames }
    }

    /// Lower edge of the bin in inter-eye pixels.
    #[must_use]
    pub fn from_px(self) -> f64 {
        f64::from(self.from_mpx) / 1000.0
    }
}

/// One look at one track, reduced to cells. Held until the track ends, then counted or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Which row of the calibration.
    pub row: RowKey,
    /// People compared, the best one among them.
    pub people: u32,
    /// Cell of the best comparison.
    pub best: u8,
    /// Cells of the others, at most [`COMPARISONS_MAX`].
    pub rest: Vec<u8>,
}

/// Statistics of many looks in one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    tracks: u64,
    people: u64,
    /// Sum over tracks of the comparisons at or above each cell's lower edge, the best one left out.
    beyond: Vec<f64>,
    /// The same, squared by track: the spread between tracks, which comparisons sharing a face do not average out.
    beyond_sq: Vec<f64>,
    /// Cells of one comparison a track that is not the best: a sample of independent values.
    one: Vec<u32>,
    /// Cells of the best comparisons.
    best: Vec<u32>,
}

impl Default for Tally {
    fn default() -> Self {
        let (real, whole) = (vec![0.0; CELLS], vec![0; CELLS]);
        Self { tracks: 0, people: 0, beyond: real.clone(), beyond_sq: real, one: whole.clone(), best: whole }
    }
}

impl Tally {
    /// Counts a look. One without a second comparison says nothing and is left out.
    pub fn add(&mut self, sample: &Sample) {
        let mut counts = [0_u32; CELLS];
        sample.rest.iter().for_each(|cell| counts[usize::from(*cell)] += 1);
        let Ok(sampled) = u32::try_from(sample.rest.len()) else { return };
        if sampled == 0 || sample.people < 2 {
            return;
        }
        // The comparisons that were sampled stand for all others.
        let each = f64::from(sample.people - 1) / f64::from(sampled);
        let mut beyond = 0.0;
        for cell in (0..CELLS).rev() {
            beyond += f64::from(counts[cell]) * each;
            self.beyond[cell] += beyond;
            self.beyond_sq[cell] += beyond * beyond;
        }
        self.tracks = self.tracks.saturating_add(1);
        self.people = self.people.saturating_add(u64::from(sample.people));
        // Tracks come in any order, so turning through the comparisons picks each person equally often.
        let turn = usize::try_from(self.tracks).unwrap_or(0) % sample.rest.len();
        let one = &mut self.one[usize::from(sample.rest[turn])];
        *one = one.saturating_add(1);
        let best = &mut self.best[usize::from(sample.best)];
        *best = best.saturating_add(1);
    }

    /// Adds another tally of the same row.
    pub fn merge(&mut self, other: &Self) {
        self.tracks = self.tracks.saturating_add(other.tracks);
        self.people = self.people.saturating_add(other.people);
        let add = |to: &mut Vec<f64>, from: &[f64]| to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        add(&mut self.beyond, &other.beyond);
        add(&mut self.beyond_sq, &other.beyond_sq);
        let add =
            |to: &mut Vec<u32>, from: &[u32]| to.iter_mut().zip(from).for_each(|(a, b)| *a = a.saturating_add(*b));
        add(&mut self.one, &other.one);
        add(&mut self.best, &other.best);
    }

    /// Tracks counted.
    #[must_use]
    pub const fn tracks(&self) -> u64 {
        self.tracks
    }

    /// Mean number of people compared, at least 2 where anything was counted.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn people_mean(&self) -> f64 {
        if self.tracks == 0 { 0.0 } else { self.people as f64 / self.tracks as f64 }
    }

    /// Comparisons behind it, the best ones left out.
    #[must_use]
    pub const fn comparisons(&self) -> u64 {
        self.people.saturating_sub(self.tracks)
    }

    /// Mean over tracks, and mean of squares, of the comparisons at or above a cell's lower edge.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn beyond(&self, cell: usize) -> (f64, f64) {
        let tracks = self.tracks.max(1) as f64;
        (self.beyond[cell] / tracks, self.beyond_sq[cell] / tracks)
    }

    /// Share of the independent comparisons (one a track) at or above a cosine; within a cell spread evenly.
    #[must_use]
    pub fn one_beyond(&self, cosine: f64) -> f64 {
        share_beyond(&self.one, cosine)
    }

    /// Share of the tracks whose best comparison is at or above a cosine.
    #[must_use]
    pub fn best_beyond(&self, cosine: f64) -> f64 {
        share_beyond(&self.best, cosine)
    }

    /// As bytes: version, tracks, people, then the four histograms, all little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17 + CELLS * 24);
        bytes.push(VERSION);
        bytes.extend(self.tracks.to_le_bytes());
        bytes.extend(self.people.to_le_bytes());
        self.beyond.iter().chain(&self.beyond_sq).for_each(|value| bytes.extend(value.to_le_bytes()));
        self.one.iter().chain(&self.best).for_each(|value| bytes.extend(value.to_le_bytes()));
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) wrote; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (head, rest) = rest.split_at_checked(16)?;
        let (reals, wholes) = rest.split_at_checked(CELLS * 16)?;
        if *version != VERSION || wholes.len() != CELLS * 8 {
            return None;
        }
        let (reals, _) = reals.as_chunks::<8>();
        let (wholes, _) = wholes.as_chunks::<4>();
        let reals: Vec<f64> = reals.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let wholes: Vec<u32> = wholes.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        if reals.iter().any(|value| !value.is_finite() || *value < 0.0) {
            return None;
        }
        Some(Self {
            tracks: u64::from_le_bytes(head[..8].try_into().ok()?),
            people: u64::from_le_bytes(head[8..].try_into().ok()?),
            beyond: reals[..CELLS].to_vec(),
            beyond_sq: reals[CELLS..].to_vec(),
            one: wholes[..CELLS].to_vec(),
            best: wholes[CELLS..].to_vec(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn share_beyond(counts: &[u32], cosine: f64) -> f64 {
    let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
    let within = |at: usize| ((edge(at + 1) - cosine) * 128.0).clamp(0.0, 1.0);
    let beyond: f64 = counts.iter().enumerate().map(|(at, count)| f64::from(*count) * within(at)).sum();
    if total == 0 { 0.0 } else { beyond / total as f64 }
}

/// What one camera's tracks came to, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Tracks that could be judged and were not identified: strangers, as far as anybody knows.
    pub strangers: u64,
    /// Tracks that became a candidate (or, on a shadow camera, would have).
    pub candidates: u64,
}

/// Everything counted since it was last taken. Bounded by rows of the calibration and cameras of the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Scores by row.
    pub rows: BTreeMap<RowKey, Tally>,
    /// Traffic by camera.
    pub traffic: BTreeMap<CameraId, Traffic>,
    /// Alerts that people confirmed.
    pub confirmed: u64,
    /// Alerts that people rejected.
    pub rejected: u64,
}

impl Batch {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what came later.
    pub fn merge(&mut self, other: &Self) {
        for (row, tally) in &other.rows {
            self.rows.entry(*row).or_default().merge(tally);
        }
        for (camera, traffic) in &other.traffic {
            let to = self.traffic.entry(camera.clone()).or_default();
            to.strangers = to.strangers.saturating_add(traffic.strangers);
            to.candidates = to.candidates.saturating_add(traffic.candidates);
        }
        self.confirmed = self.confirmed.saturating_add(other.confirmed);
        self.rejected = self.rejected.saturating_add(other.rejected);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(best: u8, rest: &[u8]) -> Sample {
        let people = u32::try_from(rest.len() + 1).expect("small");
        Sample { row: RowKey::new(16.0, 3), people, best, rest: rest.to_vec() }
    }

    #[test]
    fn cells_cover_every_cosine() {
        assert_eq!((cell(-1.0), cell(0.0), cell(1.0), cell(7.0), cell(f32::NAN)), (0, 128, 255, 255, 0));
        assert!((edge(128)).abs() < 1e-12 && (edge(usize::from(cell(0.3))) - 0.3).abs() < 1.0 / 128.0);
    }

    #[test]
    fn a_gallery_of_one_says_nothing() {
        let mut tally = Tally::default();
        tally.add(&sample(200, &[]));
        assert_eq!(tally, Tally::default());
    }

    #[test]
    fn the_best_is_kept_apart_from_the_others() {
        let mut tally = Tally::default();
        tally.add(&sample(250, &[130, 140]));
        assert_eq!((tally.tracks(), tally.comparisons()), (1, 2));
        assert_eq!(tally.beyond(131), (1.0, 1.0));
        assert_eq!(tally.beyond(130), (2.0, 4.0));
        assert_eq!(tally.beyond(200), (0.0, 0.0));
        assert!((tally.best_beyond(edge(249)) - 1.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn order_and_parts_make_no_difference_and_bytes_bring_it_back(
            looks in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 1..9)), 0..20),
            cut in 0_usize..20,
        ) {
            let mut whole = Tally::default();
            let (mut first, mut second) = (Tally::default(), Tally::default());
            for (at, (best, rest)) in looks.iter().enumerate() {
                whole.add(&sample(*best, rest));
                if at < cut { &mut first } else { &mut second }.add(&sample(*best, rest));
            }
            first.merge(&second);
            prop_assert_eq!(first.tracks(), whole.tracks());
            for cell in 0..CELLS {
                prop_assert!((first.beyond(cell).0 - whole.beyond(cell).0).abs() < 1e-9);
            }
            prop_assert_eq!(Tally::from_bytes(&whole.to_bytes()), Some(whole));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Tally::from_bytes(&bytes), None);
        }
    }
}
