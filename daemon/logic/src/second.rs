//! The second, different network's say on a candidate.
//!
//! Two networks trained apart make different mistakes, so a stranger who looks like an enrolled person to one seldom does to
//! the other. The second one is run only for candidates, on the track's best frames, against its own gallery and by its own
//! calibration; its scores are never mixed with the first one's.
//!
//! How much agreement is asked for depends on the face size. A false candidate was chosen for resembling the person, so a
//! log likelihood ratio a little above 0 removes few of them; but asking for more than true candidates reach at a size would
//! lose those. So it is what 95 of 100 true candidates reach there ([`Pairing::reach`](crate::calibration::Pairing::reach)),
//! at the most what the policy asks for, and never below 0: a network that speaks for nobody at a size confirms nobody there.
//! models/quality/second.md says what that removes and costs.

use crate::calibration::{Calibration, Row};
use crate::embedding::Embedding;
use crate::face::Quality;
use crate::fusion::Fusion;
use crate::gallery::Gallery;
use crate::id::{ListId, PersonId};
use crate::policy::SecondPolicy;
use crate::record::SecondOpinion;
use crate::time::Mono;
use std::sync::Arc;
use std::time::Duration;

/// What the second network is judged by.
#[derive(Clone, Debug)]
pub struct SecondNetwork {
    /// Enrolled people, by the second network.
    pub gallery: Arc<Gallery>,
    /// Its scores to evidence.
    pub calibration: Arc<Calibration>,
}

/// What came back when the second network was asked.
#[derive(Clone, Debug)]
pub enum SecondAnswer {
    /// An embedding for each picture it could read, with that picture's quality.
    Embeddings(Vec<(Embedding, Quality)>),
    /// It could not be run; why, for the log.
    Silent(String),
}

/// What an answer comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum SecondSaid {
    /// It agrees; the opinion is kept with the alert.
    Agrees(SecondOpinion),
    /// It speaks against the person.
    Against(SecondOpinion),
    /// It leaves the question open; absent when nothing could be compared (nobody enrolled with it, no calibration at this
    /// size, no answer).
    Open(Option<SecondOpinion>),
}

/// What became of the second network's answers. Every asking ends as one of the others, or its answer is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondCounts {
    /// Askings.
    pub asked: u64,
    /// It agreed.
    pub agreed: u64,
    /// It spoke against the candidate.
    pub against: u64,
    /// It left the question open.
    pub open: u64,
    /// It could not be run, or was too busy.
    pub silent: u64,
    /// The candidate had ended before the answer came.
    pub late: u64,
}

/// Both networks' evidence as one natural-log likelihood ratio, where the pair was not measured together.
///
/// The two look at the same pictures, so their evidence is anything but independent and the sum would overstate it. The mean
/// is what is right when they always say the same, and less than what is right otherwise: never more than the evidence.
#[must_use]
pub fn combined_llr(first: f64, second: f64) -> f64 {
    f64::midpoint(first, second)
}

impl SecondNetwork {
    /// The least log likelihood ratio that counts as agreement for faces of `inter_eye_px`, in a row of the calibration.
    fn asked_for(&self, inter_eye_px: f32, row: &Row, policy: &SecondPolicy) -> f64 {
        // A pair that was never measured together is judged by the second network's own calibration: all genuine
        // comparisons rather than those the first network found, so its reach is lower and less is asked for.
        let reach = self.calibration.pairing().map_or_else(|| Some(row.reach()), |pairing| pairing.reach(inter_eye_px));
        reach.map_or(policy.agrees_llr_min, |reach| policy.agrees_llr_min.min(reach)).max(0.0)
    }

    /// Judges an answer about `person`. `first_llr` is the first network's evidence from the confirming frames.
    #[must_use]
    pub fn judge(
        &self,
        answer: &SecondAnswer,
        person: &PersonId,
        lists: &[ListId],
        first_llr: f32,
        policy: &SecondPolicy,
    ) -> SecondSaid {
        let SecondAnswer::Embeddings(found) = answer else { return SecondSaid::Open(None) };
        let mut fusion = Fusion::default();
        for (embedding, quality) in found {
            // Chosen far enough apart by whoever asked.
            fusion.offer(Mono::default(), embedding, quality, Duration::ZERO);
        }
        let Some(template) = fusion.template() else { return SecondSaid::Open(None) };
        let Some(cosine) = self.gallery.cosine(&template, person) else { return SecondSaid::Open(None) };
        let px = fusion.inter_eye_px();
        let Some(row) = self.calibration.evidence_row(px, fusion.used()) else {
            return SecondSaid::Open(None);
        };
        let llr = row.llr(cosine);
        let first_llr = f64::from(first_llr);
        let combined = self
            .calibration
            .pairing()
            .map_or_else(|| combined_llr(first_llr, llr), |pairing| pairing.combined(first_llr, llr));
        let nearest = self.gallery.nearest(&template, lists);
        let somebody_else = nearest.is_some_and(|nearest| nearest.member.person != *person);
        let agrees = llr >= self.asked_for(px, row, policy) && !somebody_else;
        #[expect(clippy::cast_possible_truncation, reason = "log likelihood ratios are two-digit numbers")]
        let opinion = SecondOpinion {
            agrees,
            cosine,
            llr: llr as f32,
            combined_llr: combined as f32,
            inter_eye_px: px,
            frames_used: fusion.used(),
            model_digest: self.gallery.model_digest().to_owned(),
            calibration_id: self.calibration.id().to_owned(),
        };
        if agrees {
            SecondSaid::Agrees(opinion)
        } else if llr <= policy.withdraw_llr_max {
            SecondSaid::Against(opinion)
        } else {
            SecondSaid::Open(Some(opinion))
        }
    }
}

#[cfg(test)]
#[path = "second_tests.rs"]
mod tests;
