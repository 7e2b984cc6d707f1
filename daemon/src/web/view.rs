//! Alerts as the page is given them. What a reviewer must not see before voting is left out here, not hidden there.

use super::reviewers::Reviewers;
use super::sessions::Who;
use sekisho_logic::record::{AlertRecord, EvidenceRecord, SecondOpinion, Stage};
use sekisho_logic::role::Action;
use sekisho_logic::time::WallMs;
use sekisho_store::{EarlierRejection, EvidenceRow, Person, PhotoRow};
use serde_json::{Value, json};

/// Everything there is to show of one alert.
#[derive(Clone, Debug)]
pub struct Material {
    /// The alert.
    pub alert: AlertRecord,
    /// Its pictures.
    pub pictures: Vec<EvidenceRow>,
    /// The person; absent once erased.
    pub person: Option<Person>,
    /// Their photographs.
    pub photos: Vec<PhotoRow>,
    /// Earlier alerts of the person that people rejected, and whether there still is a picture.
    pub earlier: Vec<(EarlierRejection, bool)>,
}

/// Somebody who looks.
#[derive(Clone, Copy, Debug)]
pub struct Looker<'l> {
    /// Who.
    pub who: &'l Who,
    /// Who is the same person.
    pub reviewers: &'l Reviewers,
}

impl Looker<'_> {
    fn voted(&self, alert: &AlertRecord) -> bool {
        self.reviewers.has_voted(alert, &self.who.identity)
    }

    /// Whether evidence and votes are kept from them: people are to say what they see before they hear what the machine and
    /// others say.
    #[must_use]
    pub fn blind(&self, alert: &AlertRecord) -> bool {
        !alert.stage.is_final() && alert.votes_required > 0 && self.who.role.votes() && !self.voted(alert)
    }

    /// Why they may not vote; `None` when they may.
    #[must_use]
    pub fn hindrance(&self, alert: &AlertRecord) -> Option<&'static str> {
        if alert.stage.is_final() {
            Some("the alert has ended")
        } else if alert.votes_required == 0 {
            Some("this list is confirmed by the machine alone")
        } else if alert.stage == Stage::Candidate {
            Some("it is still a candidate; votes are taken once independent frames have confirmed it")
        } else if self.voted(alert) {
            Some("you have voted; a vote cannot be changed")
        } else if !self.who.role.votes() {
            Some("your role may look but not vote")
        } else {
            None
        }
    }
}

/// An alert in a list.
#[must_use]
pub fn summary(alert: &AlertRecord, pictures: &[EvidenceRow], display_name: Option<&str>, looker: Looker<'_>) -> Value {
    let latest = latest(alert);
    let faces = looker.who.role.may(Action::SeeFaces);
    let pictures = (1..).zip(pictures).filter(|_| faces).map(|(n, picture)| picture_json(n, picture));
    json!({
        "id": alert.id,
        "stage": alert.stage,
        "cause": alert.cause,
        "camera": alert.camera,
        "list": alert.list,
        "purpose": alert.purpose,
        "person": alert.person,
        "display-name": display_name,
        "opened": alert.opened.to_rfc3339(),
        "changed": alert.changed.to_rfc3339(),
        "expires": alert.expires.map(WallMs::to_rfc3339),
        "face-px": tenths(latest.inter_eye_px),
        "frames-used": latest.frames_used,
        "pictures": pictures.collect::<Vec<_>>(),
        "votes-required": alert.votes_required,
        "votes-cast": alert.votes.len(),
        "voted": looker.voted(alert),
        "quiet": alert.quiet,
    })
}

/// One alert with everything that this looker may see of it.
#[must_use]
pub fn detail(material: &Material, looker: Looker<'_>) -> Value {
    let (alert, person) = (&material.alert, material.person.as_ref());
    let mut view = summary(alert, &material.pictures, person.and_then(|one| one.display_name.as_deref()), looker);
    for (shown, picture) in view["pictures"].as_array_mut().into_iter().flatten().zip(&material.pictures) {
        shown["quality"] = serde_json::from_str(&picture.quality).unwrap_or(Value::Null);
    }
    let enrolled_by = alert.enrolled_by.as_ref().or(person.map(|one| &one.enrolled_by));
    let hindrance = looker.hindrance(alert);
    let more = json!({
        "blind": looker.blind(alert),
        "photos": (1..).zip(&material.photos).filter(|_| looker.who.role.may(Action::SeeFaces))
            .map(|(n, photo): (u32, _)| json!({ "n": n, "added": photo.added.to_rfc3339(), "cut": photo.face.is_some() })).collect::<Vec<_>>(),
        "enrolled": person.map(|one| one.enrolled.to_rfc3339()),
        "enrolled-by": enrolled_by.map(|name| looker.reviewers.canonical(name)),
        "caller-enrolled": enrolled_by.is_some_and(|name| looker.reviewers.same(name, &looker.who.identity)),
        "quality": latest(alert).frames_unfit.iter()
            .map(|(reason, count)| json!({ "reason": reason, "count": count })).collect::<Vec<_>>(),
        "earlier-rejections": material.earlier.iter().map(earlier_json).collect::<Vec<_>>(),
        "may-vote": hindrance.is_none(),
        "may-not-vote-because": hindrance,
    });
    merge(&mut view, more);
    if !looker.blind(alert) {
        merge(&mut view, evidence(alert, looker.reviewers));
    }
    view
}

/// What the machine and the other reviewers say.
fn evidence(alert: &AlertRecord, reviewers: &Reviewers) -> Value {
    let latest = latest(alert);
    let vote = |vote: &sekisho_logic::record::Vote| {
        json!({
            "reviewer": reviewers.canonical(&vote.reviewer), "verdict": vote.verdict, "reason": vote.reason,
            "at": vote.wall.to_rfc3339(),
        })
    };
    json!({
        "votes": alert.votes.iter().map(vote).collect::<Vec<_>>(),
        "llr": hundredths(latest.llr),
        "cosine": ten_thousandths(latest.cosine),
        "fpir": latest.target_fpir,
        "second": alert.second.as_ref().map(second_json),
        "combined-llr": alert.second.as_ref().map(|second| hundredths(second.combined_llr)),
    })
}

fn second_json(second: &SecondOpinion) -> Value {
    json!({
        "agrees": second.agrees,
        "cosine": ten_thousandths(second.cosine),
        "llr": hundredths(second.llr),
        "combined-llr": hundredths(second.combined_llr),
        "face-px": tenths(second.inter_eye_px),
        "frames-used": second.frames_used,
        "model-digest": second.model_digest,
        "calibration-id": second.calibration_id,
    })
}

fn picture_json(n: u32, picture: &EvidenceRow) -> Value {
    json!({
        "n": n,
        "taken": picture.taken.to_rfc3339(),
        "face-px": tenths(picture.inter_eye_px),
        "width": picture.width,
        "height": picture.height,
    })
}

fn earlier_json((earlier, pictured): &(EarlierRejection, bool)) -> Value {
    json!({
        "alert": earlier.alert,
        "camera": earlier.camera,
        "at": earlier.at.to_rfc3339(),
        "reasons": earlier.reasons,
        "picture": pictured.then(|| format!("/api/alerts/{}/pictures/1", earlier.alert)),
    })
}

fn latest(alert: &AlertRecord) -> &EvidenceRecord {
    alert.confirmation.as_ref().unwrap_or(&alert.candidate)
}

fn merge(view: &mut Value, more: Value) {
    if let (Value::Object(view), Value::Object(more)) = (view, more) {
        view.extend(more);
    }
}

fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

fn ten_thousandths(value: f32) -> f64 {
    (f64::from(value) * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::super::reviewers::tests::{alert, reviewer};
    use super::super::sessions::By;
    use super::*;
    use sekisho_logic::id::ReviewerName;
    use sekisho_store::ReviewerRole;

    const HIDDEN: [&str; 6] = ["votes", "llr", "cosine", "fpir", "second", "combined-llr"];

    fn who(name: &str, role: ReviewerRole) -> Who {
        let by = By::Password { name: ReviewerName::try_new(name).expect("a name"), set: WallMs(1) };
        Who { name: name.into(), identity: format!("reviewer:{name}"), role, by }
    }

    fn shown(alert: AlertRecord, who: &Who, reviewers: &Reviewers) -> Value {
        let material = Material { alert, pictures: Vec::new(), person: None, photos: Vec::new(), earlier: Vec::new() };
        detail(&material, Looker { who, reviewers })
    }

    #[test]
    fn before_the_vote_nothing_of_the_evidence_is_in_the_answer_and_after_it_all() {
        let reviewers = Reviewers::default();
        for role in [ReviewerRole::Reviewer, ReviewerRole::Admin] {
            let sato = who("sato", role);
            let before = shown(alert(&["reviewer:ito"]), &sato, &reviewers);
            assert_eq!(
                (&before["blind"], &before["may-vote"], &before["votes-cast"]),
                (&true.into(), &true.into(), &1.into())
            );
            let text = before.to_string();
            assert!(
                HIDDEN.iter().all(|key| before.get(key).is_none()) && !text.contains("9.25") && !text.contains("ito"),
                "{text}"
            );
            let after = shown(alert(&["reviewer:sato"]), &sato, &reviewers);
            assert!(HIDDEN.iter().all(|key| after.get(key).is_some()), "{after}");
            assert_eq!(
                (&after["blind"], &after["may-vote"], &after["llr"]),
                (&false.into(), &false.into(), &9.25.into())
            );
        }
    }

    #[test]
    fn who_cannot_vote_sees_all_and_what_has_ended_is_shown_whole() {
        let reviewers = Reviewers::default();
        for role in [ReviewerRole::Viewer, ReviewerRole::Dpo] {
            let view = shown(alert(&[]), &who("abe", role), &reviewers);
            assert!(view["blind"] == false && view["llr"] == 9.25 && view["may-vote"] == false, "{view}");
            assert_eq!(view["may-not-vote-because"], "your role may look but not vote");
        }
        let ended = AlertRecord { stage: Stage::Expired, expires: None, ..alert(&[]) };
        let view = shown(ended, &who("sato", ReviewerRole::Reviewer), &reviewers);
        assert!(view["blind"] == false && view["llr"] == 9.25 && view["expires"].is_null(), "{view}");
        let candidate = AlertRecord { stage: Stage::Candidate, ..alert(&[]) };
        let view = shown(candidate, &who("sato", ReviewerRole::Reviewer), &reviewers);
        assert!(view["blind"] == true && view["may-vote"] == false && view.get("llr").is_none(), "{view}");
    }

    #[test]
    fn whoever_enrolled_the_person_is_told_so_and_their_unix_user_is_the_same() {
        let reviewers = Reviewers::default();
        let sato = who("sato", ReviewerRole::Reviewer);
        assert_eq!(shown(alert(&[]), &sato, &reviewers)["caller-enrolled"], false);
        reviewers.replace(vec![reviewer("sato", Some(1000))]);
        let view = shown(alert(&[]), &sato, &reviewers);
        assert!(view["caller-enrolled"] == true && view["enrolled-by"] == "reviewer:sato", "{view}");
    }
}
