//! Situations with a second network, suspensions and hours.

use super::super::tests::{World, enrolled, like, policy};
use super::super::*;
use super::*;
use crate::calibration::tests::plain;
use crate::hours::Hours;
use crate::policy::{ConfirmBy, ListPolicy};
use crate::record::{Cause, Verdict};

fn seconded(confirm: ConfirmBy) -> World {
    let mut world = World::new(confirm);
    let second = SecondNetwork { gallery: Arc::new(enrolled()), calibration: Arc::new(plain()) };
    world.watcher = Watcher::new(policy(confirm), Arc::new(enrolled()), Arc::new(plain()), 1).with_second(second);
    world
}

impl World {
    /// The second network saw all pictures it was shown as `person` with this cosine.
    fn answers(&mut self, person: &str, cosine: f32) -> &mut Self {
        let look = self.asked.pop().expect("it was asked");
        let found = look.pictures.iter().map(|picture| (like(person, cosine), picture.quality));
        self.answer(&look.alert, &SecondAnswer::Embeddings(found.collect()))
    }
}

#[test]
fn disjoint_frames_confirm_only_once_the_second_network_agrees() {
    let mut world = seconded(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[]);
    let shown = &world.asked[0].pictures;
    assert_eq!(shown.len(), 5, "the best five of six");
    assert!(shown.is_sorted_by_key(|picture| picture.stamp.mono));
    world.answers("ann", 0.5).expect(&[(Stage::MachineConfirmed, "ann"), (Stage::Confirmed, "ann")]);
    let second = world.last_record.as_ref().and_then(|record| record.second.clone()).expect("kept with the alert");
    assert!(second.agrees && (second.llr - 12.5).abs() < 0.1 && second.combined_llr > second.llr, "{second:?}");
    world.show("gate", 1, &Ok(like("ann", 0.6)), 9_000).expect(&[]);
    assert!(world.asked.is_empty(), "settled");
}

#[test]
fn a_second_network_that_sees_somebody_else_withdraws_the_candidate() {
    let mut world = seconded(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 1_800).expect(&[(Stage::Candidate, "ann")]);
    world.answers("bob", 0.6).expect(&[(Stage::Withdrawn, "ann")]);
    assert_eq!(world.last_record.as_ref().map(|record| record.cause), Some(Cause::SecondDisagrees));
    world.show("gate", 1, &Ok(like("ann", 0.6)), 9_000).wait(6_000).expect(&[]);
    assert!(world.asked.is_empty(), "not asked about again");
    assert_eq!(world.verdict(), &Outcome::NotDecidable(Undecidable::Ambiguous), "the track is nobody's");
}

#[test]
fn a_second_network_that_cannot_tell_is_asked_again_at_the_next_look() {
    let mut world = seconded(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 1_800).expect(&[(Stage::Candidate, "ann")]);
    world.answers("ann", 0.24).expect(&[]);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[]);
    world.answers("ann", 0.5).expect(&[(Stage::MachineConfirmed, "ann"), (Stage::Confirmed, "ann")]);
}

#[test]
fn without_an_answer_nothing_is_confirmed() {
    let mut world = seconded(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 1_800).expect(&[(Stage::Candidate, "ann")]);
    let alert = world.asked.pop().expect("asked").alert;
    world.answer(&alert, &SecondAnswer::Silent("the session failed".into())).expect(&[]);
    world.wait(31_000).expect(&[(Stage::Withdrawn, "ann")]);
    assert_eq!(world.last_record.as_ref().map(|record| record.cause), Some(Cause::NoSecondOpinion));
}

#[test]
fn reviewers_are_shown_pictures_of_candidates_and_of_nobody_else() {
    let mut world = World::new(ConfirmBy::Human);
    world.show("gate", 1, &Ok(like("ann", 0.05)), 9_000).wait(6_000).expect(&[]);
    assert!(world.evidence.is_empty(), "a stranger");
    world.show("yard", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    assert_eq!(world.evidence.len(), 1);
    assert_eq!(world.evidence[0].pictures.len(), 3);
    world.show("yard", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::MachineConfirmed, "ann")]);
    assert_eq!(world.evidence.len(), 2, "the confirming frames as well");
}

#[test]
fn a_person_whom_reviewers_reject_again_and_again_is_suspended_until_lifted() {
    let mut world = World::new(ConfirmBy::Human);
    let mut rejected = 0;
    while world.suspended.is_empty() {
        world.show("gate", 10 + rejected, &Ok(like("ann", 0.6)), 2_100);
        let open = world.watcher.open_alerts().next().expect("machine-confirmed").id.clone();
        let ballot = Ballot { reviewer: "uid:1".into(), verdict: Verdict::Reject, reason: None };
        world.votes(&open, &ballot).wait(61_000);
        rejected += 1;
        assert!(rejected < 30, "never suspended");
    }
    assert!((3..=15).contains(&rejected), "{rejected} rejections");
    world.alerts.clear();
    world.show("yard", 90, &Ok(like("ann", 0.6)), 4_000).expect(&[]);
    assert_eq!(world.watcher.held_back_total(), 1);
    let ann = Subject::Person(crate::id::PersonId::try_new("ann").expect("name"));
    assert!(world.watcher.lift(&ann) && world.watcher.suspensions().all(|one| one.subject.kind() == "camera"));
    world.show("yard", 91, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
}

#[test]
fn outside_its_schedule_a_list_is_not_matched_and_in_quiet_hours_alerts_say_so() {
    // The script begins on a Thursday at midnight, UTC.
    let mut world = World::new(ConfirmBy::Machine);
    let mut asked = policy(ConfirmBy::Machine);
    for list in asked.lists.values_mut() {
        list.schedule = Hours::parse(["mon-wed 00:00-24:00"]).expect("hours");
    }
    world.watcher.on_policy(asked.clone());
    world.show("gate", 1, &Ok(like("ann", 0.99)), 4_000).wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotEnrolled, "nobody is compared");
    for list in asked.lists.values_mut() {
        list.schedule = Hours::always();
        list.quiet = Hours::parse(["22:00-06:00"]).expect("hours");
    }
    world.watcher.on_policy(asked.clone());
    world.show("gate", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    assert!(world.last_record.as_ref().is_some_and(|record| record.quiet));
    let gate = (asked.lists.keys().next().expect("one").clone(), CameraId::try_new("yard").expect("name"));
    let loud = ListPolicy { quiet: Hours::never(), votes: 2, ..asked.lists.values().next().expect("one").clone() };
    asked.lists_at.insert(gate, loud);
    world.watcher.on_policy(asked);
    world.show("yard", 3, &Ok(like("bob", 0.6)), 900).expect(&[(Stage::Candidate, "bob")]);
    let record = world.last_record.as_ref().expect("one");
    assert!(!record.quiet && record.votes_required == 2, "that camera asks for something else");
}

#[test]
fn an_alert_knows_who_enrolled_the_person() {
    let mut world = World::new(ConfirmBy::Human);
    let ann = crate::id::PersonId::try_new("ann").expect("name");
    let nobody = crate::id::PersonId::try_new("zoe").expect("name");
    let gallery = enrolled().with_enrollers([(ann, "uid:7".to_owned()), (nobody, "uid:8".to_owned())]);
    world.watcher = Watcher::new(policy(ConfirmBy::Human), Arc::new(gallery), Arc::new(plain()), 1);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).show("gate", 2, &Ok(like("bob", 0.6)), 900);
    let enrollers: Vec<_> = world.watcher.open_alerts().map(|open| open.enrolled_by.clone()).collect();
    assert_eq!(enrollers, [Some("uid:7".to_owned()), None]);
}
