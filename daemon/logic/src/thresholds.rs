//! The thresholds in force, for people to look at: what follows from target rate, calibration and gallery size.

use crate::calibration::Calibration;
use crate::gallery::Gallery;
use crate::id::ListId;
use crate::policy::Policy;

/// The least cosine of a candidate in one situation.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// Of which list.
    pub list: ListId,
    /// Size bin, inter-eye pixels, lower edge.
    pub from_px: f32,
    /// Upper edge; infinite in the last bin.
    pub to_px: f32,
    /// At which look.
    pub frames: u32,
    /// People compared, at the camera that compares most.
    pub people: usize,
    /// False match rate that each comparison may have.
    pub fmr: f64,
    /// The cosine that follows; `None` where nothing can be decided.
    pub cosine: Option<f32>,
}

/// Every list, size bin and look. A cosine at which the evidence is not positive is raised to where it is, as judging does.
#[must_use]
pub fn in_force(policy: &Policy, calibration: &Calibration, gallery: &Gallery) -> Vec<InForce> {
    let mut found = Vec::new();
    for list in policy.lists.keys() {
        let among = policy.cameras.values().filter(|camera| camera.lists.contains(list));
        let compared =
            |lists: &[ListId]| gallery.members().iter().filter(|member| lists.contains(&member.list)).count();
        let people = among.map(|camera| compared(&camera.lists)).max().unwrap_or_else(|| gallery.members().len());
        let fmr = policy.fmr_per_comparison(list, people, policy.looks.len());
        for (from_px, to_px) in calibration.bins() {
            for frames in &policy.looks {
                let row = calibration.row(from_px, *frames);
                let cosine = row.map(|row| row.threshold(fmr).max(row.cosine_at_llr(0.0)));
                found.push(InForce { list: list.clone(), from_px, to_px, frames: *frames, people, fmr, cosine });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibration::tests::plain;
    use crate::policy::Standing;
    use crate::watcher::tests::{enrolled, policy};

    #[test]
    fn they_follow_rate_gallery_and_standing_and_say_where_nothing_is_decided() {
        let (calibration, gallery) = (plain(), enrolled());
        let mut policy = policy(crate::policy::ConfirmBy::Machine);
        let usual = in_force(&policy, &calibration, &gallery);
        assert_eq!(usual.len(), 2 * 3, "two bins at three looks");
        assert!(usual.iter().all(|row| row.cosine.is_none() == (row.from_px < 4.0) && row.people == 3));
        policy.standing = Standing { fpir_factor: Standing::TIGHTENED, ..Standing::default() };
        let tightened = in_force(&policy, &calibration, &gallery);
        let both = usual.iter().zip(&tightened).filter_map(|(a, b)| Some((a.cosine?, b.cosine?)));
        assert_eq!(both.clone().count(), 3);
        assert!(both.clone().all(|(a, b)| b > a + 0.03), "{:?}", both.collect::<Vec<_>>());
    }
}
