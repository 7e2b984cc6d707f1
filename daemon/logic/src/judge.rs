//! One look at a fused track: gallery, calibration and policy together give an outcome.

use crate::calibrate::tally::{COMPARISONS_MAX, RowKey, Sample, cell};
use crate::calibration::{Calibration, Row};
use crate::fusion::Fusion;
use crate::gallery::{Gallery, Member, Nearest};
use crate::id::ListId;
use crate::outcome::{Outcome, Undecidable};
use crate::policy::Policy;
use crate::record::EvidenceRecord;

/// What a judgement needs besides the track.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'a> {
    /// Enrolled people.
    pub gallery: &'a Gallery,
    /// Scores to evidence.
    pub calibration: &'a Calibration,
    /// Numbers.
    pub policy: &'a Policy,
}

/// An outcome and, where there was a best person, how far the evidence went.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The answer.
    pub outcome: Outcome,
    /// Best person, whether or not it was enough.
    pub best: Option<(Member, EvidenceRecord)>,
    /// People compared.
    pub compared: usize,
    /// What had to be reached, where a decision was possible at all.
    pub bar: Option<Bar>,
}

/// What the best person of a look must reach to be identified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Least cosine at this face size, frame count and gallery size.
    pub cosine_min: f32,
    /// The same as natural-log likelihood ratio; never below 0.
    pub llr_min: f32,
    /// Least lead over the second best, as log likelihood ratio.
    pub gap_llr_min: f32,
    /// People compared with.
    pub compared: usize,
}

impl Judgement {
    const fn bare(outcome: Outcome) -> Self {
        Self { outcome, best: None, compared: 0, bar: None }
    }
}

impl Bench<'_> {
    /// Judges the frames fused so far. `looks` is how often a track is judged in all: the target rate is shared.
    #[must_use]
    pub fn judge(&self, fusion: &Fusion, lists: &[ListId], looks: usize) -> Judgement {
        let undecided = |reason| Judgement::bare(Outcome::NotDecidable(reason));
        let Some(template) = fusion.template() else {
            return undecided(Undecidable::from_unfit(fusion.main_unfit()));
        };
        let Some(nearest) = self.gallery.nearest(&template, lists) else {
            return Judgement::bare(Outcome::NotEnrolled);
        };
        let Some(row) = self.calibration.row(fusion.inter_eye_px(), fusion.used()) else {
            return undecided(Undecidable::NoCalibration);
        };
        let fmr = self.policy.fmr_per_comparison(&nearest.member.list, nearest.compared, looks);
        let (llr, gap) = (row.llr(nearest.cosine), nearest.runner_up.map(|second| row.llr_gap(nearest.cosine, second)));
        let evidence = self.evidence(fusion, &nearest, llr, gap);
        let bar = self.bar(row, fmr, nearest.compared);
        let outcome = if nearest.cosine < bar.cosine_min || llr <= 0.0 {
            if llr <= self.policy.not_enrolled_llr_max {
                Outcome::NotEnrolled
            } else {
                Outcome::NotDecidable(Undecidable::Ambiguous)
            }
        } else if gap.is_some_and(|gap| gap < self.policy.runner_up_llr_min) {
            Outcome::NotDecidable(Undecidable::LookAlikes)
        } else {
            Outcome::Identified { person: nearest.member.person.clone(), evidence: evidence.clone() }
        };
        Judgement {
            outcome,
            best: Some((nearest.member.clone(), evidence)),
            compared: nearest.compared,
            bar: Some(bar),
        }
    }

    /// A judgement reduced to what shadow mode counts. `turn` says which people of a large gallery are taken. `None` where
    /// nobody was compared, or at a frame count that is no row's.
    #[must_use]
    pub fn sample(&self, fusion: &Fusion, lists: &[ListId], judged: &Judgement, turn: u64) -> Option<Sample> {
        let (best, evidence) = judged.best.as_ref()?;
        let (from_px, frames, _) = self.calibration.place(fusion.inter_eye_px(), fusion.used())?;
        let template = fusion.template()?;
        let rest = self.gallery.some_others(&template, lists, &best.person, COMPARISONS_MAX, turn);
        Some(Sample {
            row: RowKey::new(from_px, frames),
            people: u32::try_from(judged.compared).unwrap_or(u32::MAX),
            best: cell(evidence.cosine),
            rest: rest.into_iter().map(cell).collect(),
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "log likelihood ratios are two-digit numbers")]
    fn bar(&self, row: &Row, fmr: f64, compared: usize) -> Bar {
        let cosine_min = row.threshold(fmr);
        Bar {
            cosine_min,
            llr_min: row.llr(cosine_min).max(0.0) as f32,
            gap_llr_min: self.policy.runner_up_llr_min as f32,
            compared,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "log likelihood ratios are two-digit numbers")]
    fn evidence(&self, fusion: &Fusion, nearest: &Nearest<'_>, llr: f64, gap: Option<f64>) -> EvidenceRecord {
        EvidenceRecord {
            cosine: nearest.cosine,
            llr: llr as f32,
            runner_up_gap: gap.map(|gap| gap as f32),
            target_fpir: self.policy.target_fpir(&nearest.member.list),
            inter_eye_px: fusion.inter_eye_px(),
            frames_used: fusion.used(),
            frames_unfit: fusion.unfit().iter().map(|(why, count)| (why.as_str().to_owned(), *count)).collect(),
            model_digest: self.gallery.model_digest().to_owned(),
            calibration_id: self.calibration.id().to_owned(),
        }
    }
}
