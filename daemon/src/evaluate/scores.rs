//! Scores without a threshold: comparisons for the DET curve, searches for the open-set curve.

use super::judge::Trial;
use super::material::{Enrolled, Sample};
use super::note::Note;
use super::tables::Bins;
use sekisho_logic::calibration::{Calibration, fmr_for_fpir};
use sekisho_logic::evaluation::{CurvePoint, Scores};
use serde::Serialize;

/// Comparisons kept at the most; a larger sample is thinned evenly, which moves no rate by more than a few parts in a
/// thousand.
const COMPARISONS_MAX: usize = 4_000_000;

/// Pairs of people that are named as possibly one person at the most.
const TWINS_MAX: usize = 10;

/// Chance that a gallery of different people gives even one warning of a double.
const TWINS_CHANCE: f64 = 0.001;

/// False rates at which the missed share is read off a curve.
const RATES: [f64; 3] = [0.01, 0.001, 0.0001];

/// What would be missed at one false rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MissedAt {
    /// FMR or FPIR.
    pub false_rate: f64,
    /// FNMR or FNIR; absent when the sample is smaller than `1 / false_rate`.
    pub miss_rate: Option<f64>,
}

/// A curve of one size bin, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Curve {
    /// Lower edge of the bin, source pixels between the eyes; absent for all sizes.
    pub from_px: Option<f32>,
    /// Trials that ought to pass.
    pub genuine: u64,
    /// Trials that ought to fail.
    pub impostor: u64,
    /// What is missed at 1/100, 1/1000 and 1/10000.
    pub missed_at: Vec<MissedAt>,
    /// The points, false rate falling.
    pub points: Vec<CurvePoint>,
}

fn curve(from_px: Option<f32>, scores: &Scores) -> Curve {
    Curve {
        from_px,
        genuine: scores.genuine.len() as u64 + scores.genuine_missed,
        impostor: scores.impostor.len() as u64 + scores.impostor_missed,
        missed_at: RATES
            .into_iter()
            .map(|false_rate| MissedAt { false_rate, miss_rate: scores.missed_at(false_rate) })
            .collect(),
        points: scores.curve(),
    }
}

/// FMR against FNMR of all frames fused, by size bin: cosines with every prototype. A failure to acquire counts as a miss
/// in the bin of the size that was seen.
#[must_use]
pub fn det(trials: &[Trial], gallery: &[Enrolled], bins: &Bins) -> Vec<Curve> {
    let mut scores = vec![Scores::default(); bins.0.len()];
    let every = (trials.len() * gallery.len()).div_ceil(COMPARISONS_MAX).max(1);
    let mut count = 0;
    // Who stands in for a stranger is in here once already, under the own name.
    for trial in trials.iter().filter(|trial| trial.left_out.is_none()) {
        let Some(scores) = bins.at(trial.px).map(|bin| &mut scores[bin]) else { continue };
        let Some(template) = &trial.template else {
            scores.genuine_missed += u64::from(trial.person.is_some());
            continue;
        };
        for (at, its) in gallery.iter().enumerate() {
            let cosine = || f64::from(template.cosine(&its.prototype));
            count += 1;
            if trial.person == Some(at) {
                scores.genuine.push(cosine());
            } else if count % every == 0 {
                scores.impostor.push(cosine());
            }
        }
    }
    let curves = bins.0.iter().zip(&scores).map(|((from, _), scores)| curve(Some(*from), scores));
    curves.filter(|curve| !curve.points.is_empty()).collect()
}

/// FPIR against FNIR over all sizes: a search's score is the log likelihood ratio of its best person. A size without
/// calibration and a failure to acquire have none; an enrolled person's search in which somebody else is best is a miss.
#[must_use]
pub fn open_set(trials: &[Trial], gallery: &[Enrolled], calibration: &Calibration) -> Curve {
    let mut scores = Scores::default();
    for trial in trials {
        let best = trial.template.as_ref().and_then(|template| {
            let others = gallery.iter().enumerate().filter(|(at, _)| Some(*at) != trial.left_out);
            let all = others.map(|(at, its)| (at, template.cosine(&its.prototype)));
            all.max_by(|a, b| a.1.total_cmp(&b.1))
        });
        let judged = best.and_then(|(at, cosine)| Some((at, calibration.row(trial.px, trial.frames)?.llr(cosine))));
        match (trial.person, judged) {
            (Some(person), Some((at, llr))) if at == person => scores.genuine.push(llr),
            (Some(_), _) => scores.genuine_missed += 1,
            (None, Some((_, llr))) => scores.impostor.push(llr),
            (None, None) => scores.impostor_missed += 1,
        }
    }
    curve(None, &scores)
}

/// Pairs of people of the gallery, and strangers beside enrolled people, who resemble each other more than different
/// people do: probably one person under two names. The bar is set so that a sample of different people is called out
/// once in a thousand times (the tail was measured on degraded pictures, and photographs of one day and place resemble each
/// other more).
#[must_use]
pub fn doubles(sample: &Sample, trials: &[Trial], calibration: &Calibration) -> Vec<Note> {
    let mut notes = Vec::new();
    let gallery = &sample.gallery;
    let pairs = gallery.len() * gallery.len().saturating_sub(1) / 2;
    let Some(row) = calibration.row(f32::MAX, 1) else { return notes };
    let bar = row.threshold(fmr_for_fpir(TWINS_CHANCE, pairs));
    let mut twins = Vec::new();
    for (at, one) in gallery.iter().enumerate() {
        for other in &gallery[at + 1..] {
            let cosine = one.prototype.cosine(&other.prototype);
            if cosine >= bar {
                twins.push((cosine, &one.label, &other.label));
            }
        }
    }
    twins.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, one, other) in twins.iter().take(TWINS_MAX) {
        notes.push(Note::new("doubles", [("one", (*one).clone()), ("other", (*other).clone())]));
    }
    let strangers: Vec<&Trial> = trials.iter().filter(|trial| trial.person.is_none()).collect();
    if !sample.strangers_given {
        return notes;
    }
    let comparisons = strangers.len() * gallery.len();
    let mut said = std::collections::BTreeSet::new();
    for trial in strangers {
        let Some((template, row)) = trial.template.as_ref().zip(calibration.row(trial.px, trial.frames)) else {
            continue;
        };
        let bar = row.threshold(fmr_for_fpir(TWINS_CHANCE, comparisons));
        for its in gallery.iter().filter(|its| template.cosine(&its.prototype) >= bar) {
            if said.len() < TWINS_MAX && said.insert((trial.unit.clone(), its.label.clone())) {
                let values = [("one", trial.unit.clone()), ("other", its.label.clone())];
                notes.push(Note::new("stranger-enrolled", values));
            }
        }
    }
    notes
}
