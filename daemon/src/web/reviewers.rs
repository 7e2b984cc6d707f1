//! The reviewers there are, as the running daemon knows them; at most half a second old.

use sekisho_logic::record::AlertRecord;
use sekisho_store::{Identities, Reviewer};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

/// Links of a Unix user and a reviewer that are remembered after they were undone.
const LINKS_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Known {
    all: Arc<[Reviewer]>,
    identities: Identities,
    /// Pairs of names that were one person at some time since the start, so that nobody votes twice by having their link
    /// undone in between.
    links: VecDeque<(String, String)>,
}

/// Everybody who may log in, and who is the same person.
#[derive(Debug, Default)]
pub struct Reviewers(RwLock<Known>);

impl Reviewers {
    /// Takes over what the store says now.
    pub fn replace(&self, reviewers: Vec<Reviewer>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for one in &reviewers {
            let Some(uid) = one.unix_uid else { continue };
            let link = (format!("uid:{uid}"), one.identity());
            if !known.links.contains(&link) {
                if known.links.len() >= LINKS_MAX {
                    known.links.pop_front();
                }
                known.links.push_back(link);
            }
        }
        known.identities = Identities::of(&reviewers);
        known.all = reviewers.into();
    }

    /// Everybody.
    #[must_use]
    pub fn all(&self) -> Arc<[Reviewer]> {
        Arc::clone(&self.read().all)
    }

    /// The one name of whoever is meant: see [`Identities::canonical`].
    #[must_use]
    pub fn canonical(&self, identity: &str) -> String {
        self.read().identities.canonical(identity)
    }

    /// Whether two names are, or since the start were, those of one person.
    #[must_use]
    pub fn same(&self, one: &str, other: &str) -> bool {
        let known = self.read();
        let pair = |a: &str, b: &str| known.links.iter().any(|(uid, name)| uid == a && name == b);
        one == other || pair(one, other) || pair(other, one)
    }

    /// The name under which this alert knows whoever is meant: as they voted, or as they enrolled the person, before their
    /// names were linked or after. The alert machine compares names, and must find one person where there is one.
    #[must_use]
    pub fn name_on(&self, alert: &AlertRecord, identity: &str) -> String {
        let names = alert.votes.iter().map(|vote| &vote.reviewer).chain(&alert.enrolled_by);
        let known = names.into_iter().find(|name| self.same(name, identity)).cloned();
        known.unwrap_or_else(|| identity.to_owned())
    }

    /// Whether whoever is meant has voted on this alert.
    #[must_use]
    pub fn has_voted(&self, alert: &AlertRecord, identity: &str) -> bool {
        alert.votes.iter().any(|vote| self.same(&vote.reviewer, identity))
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use sekisho_logic::id::{CameraId, ListId, PersonId, ReviewerName, TrackId};
    use sekisho_logic::policy::Purpose;
    use sekisho_logic::record::{AlertId, Cause, EvidenceRecord, Stage, Verdict, Vote};
    use sekisho_logic::time::WallMs;
    use sekisho_store::ReviewerRole;

    pub(crate) fn reviewer(name: &str, uid: Option<u32>) -> Reviewer {
        Reviewer {
            name: ReviewerName::try_new(name).expect("a name"),
            role: ReviewerRole::Reviewer,
            unix_uid: uid,
            added: WallMs(1),
            added_by: "uid:0".into(),
            secret_set: WallMs(1),
            seen: None,
        }
    }

    /// A machine-confirmed alert that waits for two people.
    pub(crate) fn alert(voters: &[&str]) -> AlertRecord {
        let evidence = EvidenceRecord {
            cosine: 0.6123,
            llr: 9.25,
            runner_up_gap: Some(3.5),
            target_fpir: 1e-3,
            inter_eye_px: 21.5,
            frames_used: 6,
            frames_unfit: vec![("blurred".into(), 2)],
            model_digest: "ab".repeat(32),
            calibration_id: "c/1".into(),
        };
        let vote = |name: &&str| Vote {
            reviewer: (*name).into(),
            verdict: Verdict::Confirm,
            reason: None,
            wall: WallMs(1500),
        };
        AlertRecord {
            id: AlertId("a-1".into()),
            camera: CameraId::try_new("gate").expect("a name"),
            person: PersonId::try_new("ann-1").expect("a name"),
            list: ListId::try_new("watch").expect("a name"),
            purpose: Purpose::Watch,
            track: TrackId(7),
            stage: Stage::MachineConfirmed,
            cause: Cause::IndependentEvidence,
            opened: WallMs(1000),
            changed: WallMs(1200),
            expires: Some(WallMs(61_000)),
            votes_required: 2,
            votes: voters.iter().map(vote).collect(),
            candidate: evidence.clone(),
            confirmation: Some(evidence),
            second: None,
            enrolled_by: Some("uid:1000".into()),
            quiet: false,
        }
    }

    #[test]
    fn one_person_is_one_name_on_an_alert_whenever_the_link_was_made() {
        let reviewers = Reviewers::default();
        let before = alert(&["uid:1001"]);
        assert!(!reviewers.same("uid:1001", "reviewer:sato") && !reviewers.has_voted(&before, "reviewer:sato"));
        reviewers.replace(vec![reviewer("sato", Some(1001)), reviewer("ito", Some(1000))]);
        assert_eq!(reviewers.canonical("uid:1001"), "reviewer:sato");
        assert!(reviewers.has_voted(&before, "reviewer:sato"), "voted as uid:1001, linked since");
        assert_eq!(reviewers.name_on(&before, "reviewer:sato"), "uid:1001");
        assert_eq!(reviewers.name_on(&before, "reviewer:ito"), "uid:1000", "the enroller, who never alone decides");
        reviewers.replace(vec![reviewer("ito", Some(1000))]);
        assert_eq!(reviewers.canonical("uid:1001"), "uid:1001");
        assert!(reviewers.has_voted(&alert(&["reviewer:sato"]), "uid:1001"), "the link was undone after the vote");
        assert_eq!(reviewers.name_on(&before, "reviewer:abe"), "reviewer:abe");
    }
}
