//! What the socket keeps from people who are to vote, until they have: evidence and the votes of others.
//!
//! Whoever reads before voting votes as they read. So open alerts of lists that people confirm are told to reviewers and
//! administrators without these, also on the event stream; who cannot vote sees all. Sinks are told all: they are
//! no reviewers, and who may read them is set elsewhere.

use super::access::Peer;
use crate::web::reviewers::Reviewers;
use sekisho_logic::record::Stage;
use sekisho_logic::role::Action;
use serde_json::{Value, json};

/// Keys that speak for or against, wherever they stand in an alert.
const SPEAKING: [&str; 7] = ["llr", "cosine", "fpir", "runner-up-gap", "second", "combined-llr", "votes"];

/// Somebody at the socket.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'r> {
    /// Who.
    pub peer: Peer,
    /// Who is the same person.
    pub reviewers: &'r Reviewers,
}

impl Reader<'_> {
    fn must_vote(&self, alert: &Value) -> bool {
        let open = alert["stage"].as_str().and_then(Stage::parse).is_some_and(|stage| !stage.is_final());
        let me = self.reviewers.canonical(&self.peer.reviewer());
        let mut votes = alert["votes"].as_array().into_iter().flatten();
        let voted = votes.any(|vote| vote["reviewer"].as_str().is_some_and(|name| self.reviewers.same(name, &me)));
        self.peer.roles.may(Action::Vote) && open && alert["votes-required"] != 0 && !voted
    }

    /// An alert as this reader may see it.
    #[must_use]
    pub fn alert(&self, mut alert: Value) -> Value {
        if self.must_vote(&alert) {
            hide(&mut alert);
        }
        alert
    }

    /// A line of the event stream as this reader may see it.
    #[must_use]
    pub fn event(&self, line: &str) -> Option<String> {
        let mut event: Value = serde_json::from_str(line).ok()?;
        if event["type"] == "track" && self.peer.roles.may(Action::Vote) {
            // The track of an alert tells the same as the alert.
            event.as_object_mut()?.remove("llr");
            return Some(event.to_string());
        }
        if !self.must_vote(event.get("after")?) {
            return None;
        }
        hide(&mut event["after"]);
        if event["before"].is_object() {
            hide(&mut event["before"]);
        }
        Some(event.to_string())
    }
}

fn hide(alert: &mut Value) {
    // How many have voted says nothing about what they said.
    alert["votes-cast"] = json!(alert["votes"].as_array().map_or(0, Vec::len));
    for part in ["/candidate", "/confirmation", ""] {
        if let Some(Value::Object(part)) = alert.pointer_mut(part) {
            SPEAKING.iter().for_each(|key| drop(part.remove(*key)));
        }
    }
    alert["blind"] = json!(true);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::wire;
    use crate::web::reviewers::tests::{alert, reviewer};
    use sekisho_logic::record::{AlertEvent, AlertRecord};
    use sekisho_logic::role::Role;

    fn peer(uid: u32, role: Role) -> Peer {
        Peer { uid, pid: None, roles: role.into() }
    }

    fn told(alert: AlertRecord) -> String {
        let before = Some(AlertRecord { votes: Vec::new(), ..alert.clone() });
        wire::event(&AlertEvent { before, after: alert, sequence: 3 }).to_string()
    }

    /// Whether anything of the evidence or of the votes is in a text.
    fn speaks(text: &str) -> bool {
        ["9.25", "0.6123", "3.5", "uid:7", "\"votes\""].iter().any(|trace| text.contains(trace))
    }

    #[test]
    fn whoever_is_to_vote_hears_nothing_of_evidence_or_votes_before() {
        let reviewers = Reviewers::default();
        for role in [Role::Reviewer, Role::Admin] {
            let reader = Reader { peer: peer(1000, role), reviewers: &reviewers };
            let shown = reader.alert(wire::alert(&alert(&["uid:7"])));
            assert!(shown["blind"] == true && !speaks(&shown.to_string()), "{shown}");
            assert_eq!(
                (&shown["face-px"], &shown["frames-used"], &shown["candidate"]["frames-used"]),
                (&21.5.into(), &6.into(), &6.into())
            );
            let event = reader.event(&told(alert(&["uid:7"]))).expect("made blind");
            assert!(!speaks(&event), "{event}");
        }
    }

    #[test]
    fn the_vote_opens_the_eyes_also_when_given_as_a_reviewer() {
        let reviewers = Reviewers::default();
        reviewers.replace(vec![reviewer("sato", Some(1000))]);
        let reader = Reader { peer: peer(1000, Role::Reviewer), reviewers: &reviewers };
        for voter in ["uid:1000", "reviewer:sato"] {
            assert_eq!(reader.alert(wire::alert(&alert(&[voter])))["llr"], 9.25);
            assert_eq!(reader.event(&told(alert(&[voter]))), None, "the line goes as it is");
        }
        assert!(reader.alert(wire::alert(&alert(&["reviewer:ito"]))).get("llr").is_none());
    }

    #[test]
    fn viewers_final_alerts_and_lists_that_nobody_confirms_are_shown_whole() {
        let reviewers = Reviewers::default();
        let whole = |role, alert: AlertRecord| {
            let reader = Reader { peer: peer(1000, role), reviewers: &reviewers };
            reader.alert(wire::alert(&alert))["llr"] == 9.25 && reader.event(&told(alert)).is_none()
        };
        assert!(whole(Role::Viewer, alert(&["uid:7"])) && whole(Role::Dpo, alert(&["uid:7"])));
        assert!(whole(Role::Admin, AlertRecord { stage: Stage::Rejected, ..alert(&["uid:7"]) }));
        assert!(whole(Role::Admin, AlertRecord { votes_required: 0, ..alert(&[]) }));
        assert!(
            !whole(Role::Admin, AlertRecord { stage: Stage::Candidate, ..alert(&[]) }),
            "a candidate is voted on next"
        );
    }

    #[test]
    fn a_finished_track_does_not_tell_what_its_alert_keeps() {
        let reviewers = Reviewers::default();
        let line = json!({ "type": "track", "person": "ann-1", "llr": 9.25 }).to_string();
        let event = |role| Reader { peer: peer(1000, role), reviewers: &reviewers }.event(&line);
        assert_eq!(event(Role::Viewer), None);
        assert!(event(Role::Reviewer).is_some_and(|line| !line.contains("9.25") && line.contains("ann-1")));
        let reader = Reader { peer: peer(1000, Role::Admin), reviewers: &reviewers };
        assert_eq!(reader.event("{\"type\":\"calibration\"}"), None);
        assert_eq!(reader.event("nonsense"), None);
    }
}
