//! A site's scores and the shipped table together make the site's table.
//!
//! For each row and each rate `r_j` of the shipped tail (falling from 0.1), the site's scores say that the cosine reached by
//! `r_j` of wrong comparisons lies `d_j` above the shipped one, with the worth of `k_j` independent comparisons (neighbouring
//! rows help with at most half of `K0` together). The correction that is applied is
//!
//! ```text
//! D_j = (k_j d_j + K0 D_(j-1)) / (k_j + K0),   D_(-1) = 0,   K0 = 30
//! ```
//!
//! which is the posterior mean of a random walk from rate to rate that starts at the shipped table (normal likelihood with
//! variance 1/k, normal step with variance 1/K0). So with few scores the table stays near the shipped one; with many it
//! follows the data; and where nothing was seen, far down the tail, the last correction that was seen goes on: a site
//! whose strangers score higher at 1 % is taken to score higher at 0.001 % too. `K0` is 30 because a rate counted from 30
//! comparisons is known within about a third, which is what the shipped rates are worth on a site they were not measured on.
//!
//! The interval is that of the same model, `D_j +- 1.96 |dcos/dln r| / sqrt(k_j + K0)`: it counts the shipped table as
//! `K0` comparisons, and cannot know how far a site is from it.

use super::curve::Curve;
use super::line;
use super::monotone::rising;
use super::pareto::Pareto;
use super::tally::RowKey;
use crate::calibration::{RawCalibration, RawRow, RawTail, SourceKind};
use std::collections::BTreeMap;

/// What the shipped table is worth, in comparisons beyond a threshold, in faces, and in labelled people.
const K0: f64 = 30.0;
const FACES0: f64 = 200.0;
const GENUINE0: f64 = 100.0;
/// Below this support a rate is taken from the fitted tail. 30 comparisons fix a rate within about a third.
const COUNTED_MIN: f64 = 30.0;
/// What counted strangers say about rates below this comes from the fitted tail: the few of them who became candidates are
/// missing, which at such rates begins to show.
const COUNTED_RATE_MIN: f64 = 1e-3;
/// As `models/calibrate/fit.py`: what a row needs of its own, and what it must find.
const GENUINE_MIN: u32 = 100;
const PEOPLE_MIN: u32 = 50;
const TPIR_MIN: f64 = 0.05;
const TPIR_AT_FMR: f64 = 1e-4;

/// What a site measured in one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowEvidence {
    /// Wrong comparisons.
    pub curve: Curve,
    /// Cosines of right comparisons; empty when nobody was labelled.
    pub genuine: Vec<f32>,
    /// Different people behind them.
    pub genuine_people: u32,
}

/// What a site measured.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteScores {
    /// How.
    pub kind: SourceKind,
    /// Name of the table to be.
    pub id: String,
    /// Where the scores come from, for people.
    pub source: String,
    /// When, RFC 3339.
    pub date: String,
    /// By row.
    pub rows: BTreeMap<RowKey, RowEvidence>,
}

/// The table, and what the site contributed to it.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// To be written.
    pub table: RawCalibration,
    /// Rows that the site's scores reached, themselves or through a neighbour.
    pub rows_moved: usize,
}

/// One rate of one row, as the site sees it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    shift: f64,
    support: f64,
    extrapolated: bool,
}

/// Makes the site's table. Rows and rates are those of `prior`.
#[must_use]
pub fn fit(prior: &RawCalibration, site: &SiteScores) -> Fitted {
    let mut table = prior.clone();
    table.id.clone_from(&site.id);
    table.source.clone_from(&site.source);
    table.date = Some(site.date.clone());
    table.source_kind = Some(site.kind);
    table.prior_id = Some(prior.id.clone());
    let mut rows_moved = 0;
    for (at, bin) in prior.bin.iter().enumerate() {
        for (nth, row) in bin.frames.iter().enumerate() {
            let near = Near { prior, site, bin: at, row: nth };
            let moved = near.tail(&mut table.bin[at].frames[nth]);
            rows_moved += usize::from(moved);
            if let Some(own) = site.rows.get(&RowKey::new(bin.inter_eye_px_min, row.n)) {
                describe(&mut table.bin[at].frames[nth], own, site.kind);
                draw_line(&mut table.bin[at].frames[nth], row, own);
            }
        }
    }
    if rows_moved > 0 {
        smooth_lines(&mut table);
        decide(&mut table, prior);
    }
    Fitted { table, rows_moved }
}

/// The 95 % interval of a row's threshold at a false match rate, interpolated as the threshold itself is; `None` where the
/// file gives none.
#[must_use]
pub fn interval_at(row: &RawRow, fmr: f64) -> Option<(f64, f64)> {
    let at = row.tail.iter().position(|point| point.fmr <= fmr).unwrap_or(row.tail.len().checked_sub(1)?);
    let at = at.clamp(1, row.tail.len().saturating_sub(1).max(1));
    let (a, b) = (row.tail.get(at - 1)?, row.tail.get(at)?);
    let part = (fmr.max(1e-12).ln() - a.fmr.ln()) / (b.fmr.ln() - a.fmr.ln());
    let between = |a: f64, b: f64| a + part * (b - a);
    Some((between(a.cosine_low?, b.cosine_low?), between(a.cosine_high?, b.cosine_high?)))
}

struct Near<'a> {
    prior: &'a RawCalibration,
    site: &'a SiteScores,
    bin: usize,
    row: usize,
}

impl Near<'_> {
    /// What the row at an offset of bins and frame counts says about rate `j`.
    fn seen(&self, bins: isize, rows: isize, j: usize) -> Option<Seen> {
        let bin = self.prior.bin.get(self.bin.checked_add_signed(bins)?)?;
        let row = bin.frames.get(self.row.checked_add_signed(rows)?)?;
        let own = self.site.rows.get(&RowKey::new(bin.inter_eye_px_min, row.n))?;
        seen(row, own, j, self.site.kind)
    }

    /// Shifts of rate `j` in rows nearby, weighted, and their weight: half for each step of frame counts up to three, a
    /// quarter for the next size.
    fn neighbours(&self, j: usize) -> (f64, f64) {
        let steps = [(0, 1, 0.5), (0, 2, 0.25), (0, 3, 0.125), (1, 0, 0.25)];
        let both = steps.into_iter().flat_map(|(bins, rows, share)| [(bins, rows, share), (-bins, -rows, share)]);
        let near = both.filter_map(|(bins, rows, share)| Some((share, self.seen(bins, rows, j)?)));
        near.fold((0.0, 0.0), |(sum, support), (share, seen)| {
            (sum + share * seen.support * seen.shift, support + share * seen.support)
        })
    }

    /// Moves the row's tail; false when nobody saw anything of it.
    fn tail(&self, row: &mut RawRow) -> bool {
        let (mut before, mut last, mut moved) = (0.0, f64::NEG_INFINITY, false);
        let old: Vec<RawTail> = row.tail.clone();
        for (j, point) in row.tail.iter_mut().enumerate() {
            let own = self.seen(0, 0, j);
            let (mut sum, mut support) = own.map_or((0.0, 0.0), |seen| (seen.support * seen.shift, seen.support));
            let (near_sum, near_support) = self.neighbours(j);
            // Neighbours are often the same tracks at another look, so all of them together are worth half of K0 at most.
            let part = (0.5 * K0 / near_support.max(1e-9)).min(1.0);
            sum += part * near_sum;
            support += part * near_support;
            moved |= support > 0.0;
            let shift = (sum + K0 * before) / (support + K0);
            before = shift;
            let cosine = (point.cosine + shift).max(last + 1e-4).min(1.5);
            if moved {
                let error = 1.96 * per_log_rate(&old, j) / (support + K0).sqrt();
                point.cosine_low = Some(round(cosine - error));
                point.cosine_high = Some(round(cosine + error));
                point.extrapolated = own.map_or(point.extrapolated, |seen| seen.extrapolated);
            }
            point.cosine = round(cosine);
            last = point.cosine;
        }
        moved
    }
}

fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// How far the cosine moves for one natural logarithm of the rate, at point `j` of a tail.
fn per_log_rate(tail: &[RawTail], j: usize) -> f64 {
    let (a, b) = if j == 0 { (0, 1) } else { (j - 1, j) };
    match (tail.get(a), tail.get(b)) {
        (Some(a), Some(b)) => ((b.cosine - a.cosine) / (a.fmr / b.fmr).ln()).abs().max(1e-4),
        _ => 0.03,
    }
}

fn seen(row: &RawRow, own: &RowEvidence, j: usize, kind: SourceKind) -> Option<Seen> {
    let point = row.tail.get(j)?;
    let deep = kind == SourceKind::Shadow && point.fmr < COUNTED_RATE_MIN;
    if let Some((cosine, support)) =
        own.curve.quantile(point.fmr).filter(|(_, support)| !deep && *support >= COUNTED_MIN)
    {
        return Some(Seen { shift: cosine - point.cosine, support, extrapolated: false });
    }
    if let Some((cosine, error)) = Pareto::fit(&own.curve).map(|tail| tail.quantile(point.fmr)) {
        let support = (per_log_rate(&row.tail, j) / error.max(1e-6)).powi(2);
        return Some(Seen { shift: cosine - point.cosine, support, extrapolated: true });
    }
    // Too little for a tail: what there is, for what it is worth.
    let (cosine, support) = own.curve.quantile(point.fmr).filter(|_| !deep)?;
    (support > 0.0).then_some(Seen { shift: cosine - point.cosine, support, extrapolated: false })
}

fn share_of(count: f64, worth: f64) -> f64 {
    count / (count + worth)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn describe(row: &mut RawRow, own: &RowEvidence, kind: SourceKind) {
    let part = share_of(own.curve.clusters() as f64, FACES0);
    let (mean, std) = own.curve.moments();
    row.site_count = Some(own.curve.clusters());
    row.impostor_mean = round(row.impostor_mean + part * (mean - row.impostor_mean));
    row.impostor_std = round(row.impostor_std + part * (std - row.impostor_std));
    row.impostor_count = row.impostor_count.saturating_add(own.curve.comparisons());
    row.impostor_identities =
        row.impostor_identities.saturating_add(u32::try_from(own.curve.clusters()).unwrap_or(u32::MAX));
    if kind == SourceKind::Labelled && !own.genuine.is_empty() {
        let count = own.genuine.len() as f64;
        let mean = own.genuine.iter().map(|c| f64::from(*c)).sum::<f64>() / count;
        let variance = own.genuine.iter().map(|c| (f64::from(*c) - mean).powi(2)).sum::<f64>() / count;
        let part = share_of(f64::from(own.genuine_people), GENUINE0);
        row.genuine_mean = round(row.genuine_mean + part * (mean - row.genuine_mean));
        row.genuine_std = round(row.genuine_std + part * (variance.sqrt() - row.genuine_std));
        row.genuine_count = row.genuine_count.saturating_add(u32::try_from(own.genuine.len()).unwrap_or(u32::MAX));
    }
}

/// Moves the evidence line by what the line of two Gaussians moves, from the shipped moments to the blended ones. The
/// shipped line was fitted to real scores, which are not Gaussian; the difference of two like fits takes most of that out.
fn draw_line(row: &mut RawRow, old: &RawRow, _own: &RowEvidence) {
    let of = |row: &RawRow| {
        let genuine = line::gaussian(row.genuine_mean, row.genuine_std.max(1e-3));
        line::fit(&genuine, &line::gaussian(row.impostor_mean, row.impostor_std.max(1e-3)))
    };
    let (Some(before), Some(after)) = (of(old), of(row)) else { return };
    let slope = (old.llr_slope * (after.slope / before.slope)).clamp(0.25 * old.llr_slope, 4.0 * old.llr_slope);
    let crossing = -old.llr_offset / old.llr_slope - after.offset / after.slope + before.offset / before.slope;
    if slope.is_finite() && slope > 0.0 && crossing.is_finite() {
        (row.llr_slope, row.llr_offset) = (slope, -slope * crossing);
    }
}

/// Slopes and crossing points rise with size and frame count, as in the shipped table.
fn smooth_lines(table: &mut RawCalibration) {
    let counts: Vec<usize> = table.bin.iter().map(|bin| bin.frames.len()).collect();
    let even = counts.windows(2).all(|pair| pair[0] == pair[1]);
    if !even || table.bin.iter().flat_map(|bin| &bin.frames).any(|row| row.llr_slope <= 0.0) {
        return;
    }
    let grid = |value: fn(&RawRow) -> f64| -> Vec<Vec<f64>> {
        table.bin.iter().map(|bin| bin.frames.iter().map(value).collect()).collect()
    };
    let weight = grid(|row| f64::from(row.genuine_count.max(1)).sqrt());
    let slope = rising(&grid(|row| row.llr_slope), &weight);
    let crossing = rising(&grid(|row| -row.llr_offset / row.llr_slope), &weight);
    for (b, bin) in table.bin.iter_mut().enumerate() {
        for (f, row) in bin.frames.iter_mut().enumerate() {
            row.llr_slope = (slope[b][f] * 1e3).round() / 1e3;
            row.llr_offset = (-slope[b][f] * crossing[b][f] * 1e3).round() / 1e3;
        }
    }
}

/// A row stays decidable unless its strangers moved so far up that it finds next to nobody; a row that was not becomes so
/// only with labelled scores of its own. What is not decidable takes the smaller sizes along.
fn decide(table: &mut RawCalibration, prior: &RawCalibration) {
    let frames: std::collections::BTreeSet<u32> = table.bin.iter().flat_map(|b| b.frames.iter().map(|r| r.n)).collect();
    for n in frames {
        let mut failing = String::new();
        for (bin, old) in table.bin.iter_mut().zip(&prior.bin).rev() {
            let Some(row) = bin.frames.iter_mut().find(|row| row.n == n) else { continue };
            let was = old.frames.iter().find(|row| row.n == n);
            let (share, before) = (share_found(row), was.map_or(0.0, share_found));
            let own = row.genuine_count.saturating_sub(was.map_or(0, |row| row.genuine_count));
            let sufficient = own >= GENUINE_MIN && row.site_count.is_some_and(|people| people >= u64::from(PEOPLE_MIN));
            let lost = share < TPIR_MIN && share < 0.8 * before;
            if !failing.is_empty() || lost {
                if row.decidable || lost {
                    failing = format!(
                        "about {:.1} % of genuine tracks pass at a false match rate of {TPIR_AT_FMR} with this site's strangers",
                        100.0 * share
                    );
                }
                (row.decidable, row.reason) = (false, failing.clone());
            } else if !row.decidable && sufficient && share >= TPIR_MIN && row.llr_slope > 0.0 {
                (row.decidable, row.reason) = (true, String::new());
            }
        }
    }
}

/// Share of genuine tracks above the threshold of [`TPIR_AT_FMR`], for Gaussian genuine scores.
fn share_found(row: &RawRow) -> f64 {
    let Some(point) = row.tail.iter().find(|point| point.fmr <= TPIR_AT_FMR * 1.001) else { return 0.0 };
    0.5 * erfc((point.cosine - row.genuine_mean) / row.genuine_std.max(1e-3) / std::f64::consts::SQRT_2)
}

/// Complementary error function, within 1.2e-7 (Press et al., Numerical Recipes, 3rd ed., 6.2.2).
fn erfc(x: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let value = t * (-x * x + C.iter().rev().fold(0.0, |sum, c| sum * t + c)).exp();
    if x >= 0.0 { value } else { 2.0 - value }
}

#[cfg(test)]
#[path = "blend_tests.rs"]
mod tests;
