//! Claims about the alert machine, and an event soup that no order of events may break.

use super::*;
use crate::policy::{ConfirmBy, Purpose};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TIMING: CandidateTiming =
    CandidateTiming { expires: Duration::from_secs(30), visit_gap: Duration::from_secs(60), quiet: false };

fn now(ms: u64) -> Now {
    Now { mono: Mono::from_millis(ms), wall: WallMs(1_000_000 + i64::try_from(ms).expect("small")) }
}

fn policy(confirm: ConfirmBy) -> ListPolicy {
    ListPolicy::new(Purpose::EntryLog, confirm, Duration::from_secs(900), 1e-3)
}

fn sighting(camera: &str, person: &str) -> Sighting {
    Sighting {
        camera: CameraId::try_new(camera).expect("name"),
        person: PersonId::try_new(person).expect("name"),
        list: ListId::try_new("staff").expect("name"),
        track: TrackId(1),
        enrolled_by: None,
    }
}

fn ballot(reviewer: &str, verdict: Verdict) -> Ballot {
    Ballot { reviewer: reviewer.to_owned(), verdict, reason: None }
}

fn evidence() -> EvidenceRecord {
    EvidenceRecord {
        cosine: 0.6,
        llr: 8.0,
        runner_up_gap: Some(5.0),
        target_fpir: 1e-3,
        inter_eye_px: 12.0,
        frames_used: 3,
        frames_unfit: Vec::new(),
        model_digest: "feed".into(),
        calibration_id: "test".into(),
    }
}

struct World {
    machine: AlertMachine,
    who: Sighting,
    policy: ListPolicy,
}

impl World {
    fn new(confirm: ConfirmBy) -> Self {
        Self { machine: AlertMachine::new(7), who: sighting("gate", "ann"), policy: policy(confirm) }
    }

    fn candidate(&mut self, ms: u64) -> Option<AlertEvent> {
        self.machine.candidate(now(ms), &self.who, &self.policy, evidence(), TIMING)
    }

    fn independent(&mut self, ms: u64) -> Vec<AlertEvent> {
        self.machine.independent(now(ms), &self.who.camera, &self.who.person, &self.policy, evidence())
    }
}

fn stages(events: &[AlertEvent]) -> Vec<Stage> {
    events.iter().map(|event| event.after.stage).collect()
}

#[test]
fn a_list_confirmed_by_the_machine_needs_disjoint_frames_and_nobody() {
    let mut world = World::new(ConfirmBy::Machine);
    assert_eq!(world.candidate(0).expect("new").after.stage, Stage::Candidate);
    assert_eq!(stages(&world.independent(900)), [Stage::MachineConfirmed, Stage::Confirmed]);
    assert_eq!(world.machine.all_open().count(), 0);
}

#[test]
fn one_visit_raises_one_alert() {
    let mut world = World::new(ConfirmBy::Machine);
    assert!(world.candidate(0).is_some());
    assert!(world.candidate(100).is_none(), "one is open");
    world.independent(900);
    assert!(world.candidate(2_000).is_none(), "this visit has had its alert");
    world.machine.seen(Mono::from_millis(50_000), &world.who.camera, &world.who.person);
    world.machine.tick(now(100_000), TIMING.visit_gap);
    assert!(world.candidate(100_000).is_none(), "seen 50 s ago: still the same visit");
    world.machine.tick(now(161_000), TIMING.visit_gap);
    assert!(world.candidate(161_000).is_some(), "unseen for a minute: a new visit");
}

#[test]
fn a_candidate_without_independent_evidence_is_withdrawn_in_time() {
    let mut world = World::new(ConfirmBy::Human);
    world.candidate(0);
    assert!(world.machine.tick(now(29_999), TIMING.visit_gap).is_empty());
    let events = world.machine.tick(now(30_000), TIMING.visit_gap);
    assert_eq!(stages(&events), [Stage::Withdrawn]);
    assert_eq!(events[0].after.cause, Cause::NoIndependentEvidence);
    assert!(world.candidate(31_000).is_some(), "a withdrawn candidate does not silence a later one");
}

#[test]
fn two_distinct_people_are_two_and_the_same_one_is_not() {
    let mut world = World::new(ConfirmBy::TwoPerson);
    let id = world.candidate(0).expect("new").after.id;
    let vote = |world: &mut World, who: &str, verdict| world.machine.vote(now(5_000), &id, &ballot(who, verdict));
    assert_eq!(vote(&mut world, "uid:1", Verdict::Confirm), Err(VoteRefused::StillCandidate(id.clone())));
    assert_eq!(stages(&world.independent(900)), [Stage::MachineConfirmed]);
    assert_eq!(vote(&mut world, "uid:1", Verdict::Confirm).expect("counts").after.stage, Stage::MachineConfirmed);
    assert!(matches!(vote(&mut world, "uid:1", Verdict::Confirm), Err(VoteRefused::Twice { .. })));
    assert_eq!(vote(&mut world, "uid:2", Verdict::Unsure).expect("counts").after.stage, Stage::MachineConfirmed);
    let last = vote(&mut world, "uid:3", Verdict::Confirm).expect("counts");
    assert_eq!((last.after.stage, last.after.votes.len(), last.kind()), (Stage::Confirmed, 3, "end"));
    assert_eq!(vote(&mut world, "uid:4", Verdict::Reject), Err(VoteRefused::NotOpen(id.clone())));
}

#[test]
fn nobody_voting_lets_it_expire() {
    let mut world = World::new(ConfirmBy::Human);
    let id = world.candidate(0).expect("new").after.id;
    world.independent(1_000);
    let events = world.machine.tick(now(901_000), TIMING.visit_gap);
    assert_eq!(stages(&events), [Stage::Expired]);
    assert!(world.machine.vote(now(901_001), &id, &ballot("uid:1", Verdict::Confirm)).is_err(), "too late is too late");
}

#[test]
fn a_restart_keeps_what_waits_for_people_and_withdraws_candidates() {
    let mut world = World::new(ConfirmBy::Human);
    let candidate = world.candidate(0).expect("new").after;
    let confirmed = world.independent(1_000).pop().expect("machine-confirmed").after;
    let mut other = candidate;
    other.person = PersonId::try_new("bob").expect("name");
    let mut next = AlertMachine::new(8);
    let events = next.restore(now(2_000), [(confirmed.clone(), 2), (other, 1)]);
    assert_eq!(stages(&events), [Stage::Withdrawn]);
    assert_eq!((events[0].after.cause, events[0].sequence), (Cause::Restarted, 2));
    let vote = next.vote(now(3_000), &confirmed.id, &ballot("uid:1", Verdict::Reject)).expect("still open");
    assert_eq!((vote.after.stage, vote.sequence), (Stage::Rejected, 3));
}

#[test]
fn what_is_due_is_over_even_before_the_tick() {
    let mut world = World::new(ConfirmBy::Human);
    let id = world.candidate(0).expect("new").after.id;
    assert!(world.independent(30_000).is_empty(), "the candidate's time was up");
    assert_eq!(stages(&world.machine.tick(now(30_000), TIMING.visit_gap)), [Stage::Withdrawn]);
    let id = world.candidate(40_000).map_or(id, |event| event.after.id);
    world.independent(41_000);
    assert!(world.machine.vote(now(941_000), &id, &ballot("uid:1", Verdict::Confirm)).is_err());
}

#[test]
fn whoever_enrolled_the_person_is_never_the_only_one_to_decide() {
    for verdict in [Verdict::Confirm, Verdict::Reject] {
        let mut world = World::new(ConfirmBy::Human);
        world.who.enrolled_by = Some("uid:1".into());
        let id = world.candidate(0).expect("new").after.id;
        world.independent(900);
        let mut vote =
            |who: &str| world.machine.vote(now(5_000), &id, &ballot(who, verdict)).expect("counts").after.stage;
        assert_eq!(vote("uid:1"), Stage::MachineConfirmed, "their vote alone decides nothing");
        assert!(vote("uid:2").is_final(), "with another person's it does");
    }
}

#[test]
fn a_reason_is_kept_as_one_short_line() {
    let mut world = World::new(ConfirmBy::Human);
    let id = world.candidate(0).expect("new").after.id;
    world.independent(900);
    let reason = Some(format!(" somebody\nelse{}", "!".repeat(1_000)));
    let ballot = Ballot { reason, ..ballot("uid:1", Verdict::Reject) };
    let event = world.machine.vote(now(5_000), &id, &ballot).expect("counts");
    let kept = event.after.votes[0].reason.clone().expect("a reason");
    assert!(kept.starts_with("somebody else!") && kept.len() < REASON_CHARS_MAX, "{kept}");
}

#[test]
fn a_candidate_that_only_the_second_network_kept_waiting_says_so() {
    let mut world = World::new(ConfirmBy::Machine);
    let id = world.candidate(0).expect("new").after.id;
    assert_eq!(
        world.machine.await_second(now(900), &world.who.camera, &world.who.person, evidence()),
        Some(id.clone())
    );
    let open = SecondSaid::Open(Some(opinion(false)));
    assert!(world.machine.second(now(1_000), &id, &world.policy, open).is_empty(), "nothing is told yet");
    let events = world.machine.tick(now(30_000), TIMING.visit_gap);
    assert_eq!((events[0].after.stage, events[0].after.cause), (Stage::Withdrawn, Cause::NoSecondOpinion));
    assert_eq!(events[0].after.second, Some(opinion(false)), "what it said is kept");
    let late = world.machine.second(now(30_100), &id, &world.policy, SecondSaid::Agrees(opinion(true)));
    assert!(late.is_empty(), "an answer that comes too late changes nothing");
}

#[test]
fn a_cool_down_outlasts_the_visit() {
    let mut world = World::new(ConfirmBy::Machine);
    world.policy.cool_down = Duration::from_secs(600);
    world.candidate(0);
    world.independent(900);
    world.machine.tick(now(200_000), TIMING.visit_gap);
    assert!(world.candidate(200_000).is_none(), "they left and came back within ten minutes");
    world.machine.tick(now(601_000), TIMING.visit_gap);
    assert!(world.candidate(601_000).is_some());
}

#[test]
fn removing_a_person_ends_the_alert() {
    let mut world = World::new(ConfirmBy::Human);
    world.candidate(0);
    let events = world.machine.people_removed(now(10), |_| false);
    assert_eq!(stages(&events), [Stage::Withdrawn]);
    assert_eq!(events[0].after.cause, Cause::PersonRemoved);
}

#[derive(Clone, Debug)]
enum Event {
    Candidate(u8),
    Independent(u8),
    Turned(u8),
    Await(u8),
    Second { alert: u8, said: u8 },
    Vote { alert: u8, reviewer: u8, verdict: u8 },
    Tick,
    Remove(u8),
}

fn event() -> impl Strategy<Value = (u32, Event)> {
    let kind = prop_oneof![
        4 => (0_u8..6).prop_map(Event::Candidate),
        4 => (0_u8..6).prop_map(Event::Independent),
        1 => (0_u8..6).prop_map(Event::Turned),
        4 => (0_u8..6).prop_map(Event::Await),
        4 => (0_u8..4, 0_u8..3).prop_map(|(alert, said)| Event::Second { alert, said }),
        6 => (0_u8..12, 0_u8..4, 0_u8..3).prop_map(|(alert, reviewer, verdict)| Event::Vote { alert, reviewer, verdict }),
        2 => Just(Event::Tick),
        1 => (0_u8..6).prop_map(Event::Remove),
    ];
    (0_u32..40_000, kind)
}

/// Who enrolled ann.
const ENROLLER: &str = "uid:0";

fn play(events: &[(u32, Event)], policy: &ListPolicy, seconded: bool) -> Vec<AlertEvent> {
    let mut machine = AlertMachine::new(1);
    let (mut at, mut out, mut ids): (u64, Vec<AlertEvent>, Vec<AlertId>) = (0, Vec::new(), Vec::new());
    for (gap, event) in events {
        at += u64::from(*gap);
        let who = |n: u8| {
            let who = sighting(["gate", "yard"][usize::from(n % 2)], ["ann", "bob", "cat"][usize::from(n / 2)]);
            Sighting { enrolled_by: (n < 2).then(|| ENROLLER.to_owned()), ..who }
        };
        let nth = |ids: &[AlertId], n: u8| ids.len().checked_sub(1 + usize::from(n)).map(|i| ids[i].clone());
        match event {
            Event::Candidate(n) => {
                let new = machine.candidate(now(at), &who(*n), policy, evidence(), TIMING);
                ids.extend(new.iter().map(|event| event.after.id.clone()));
                out.extend(new);
            }
            Event::Independent(n) if !seconded => {
                let who = who(*n);
                out.extend(machine.independent(now(at), &who.camera, &who.person, policy, evidence()));
            }
            Event::Await(n) | Event::Independent(n) => {
                let who = who(*n);
                let _asked = machine.await_second(now(at), &who.camera, &who.person, evidence());
            }
            Event::Second { alert, said } => {
                let said = match said {
                    0 => SecondSaid::Agrees(opinion(true)),
                    1 => SecondSaid::Against(opinion(false)),
                    _ => SecondSaid::Open(Some(opinion(false))),
                };
                let id = nth(&ids, *alert);
                out.extend(id.into_iter().flat_map(|id| machine.second(now(at), &id, policy, said.clone())));
            }
            Event::Turned(n) => out.extend(machine.turned(now(at), &who(*n).camera, &who(*n).person)),
            Event::Vote { alert, reviewer, verdict } => {
                let verdict = [Verdict::Confirm, Verdict::Reject, Verdict::Unsure][usize::from(*verdict)];
                if let Some(id) = nth(&ids, *alert) {
                    out.extend(machine.vote(now(at), &id, &ballot(&format!("uid:{reviewer}"), verdict)).ok());
                }
            }
            Event::Tick => out.extend(machine.tick(now(at), TIMING.visit_gap)),
            Event::Remove(n) => {
                let person = who(*n).person;
                out.extend(machine.people_removed(now(at), |p| *p != person));
            }
        }
        let open: BTreeSet<_> = machine.all_open().map(|a| (a.camera.clone(), a.person.clone())).collect();
        assert_eq!(open.len(), machine.all_open().count(), "two open alerts for one person and camera");
    }
    out
}

fn opinion(agrees: bool) -> SecondOpinion {
    SecondOpinion {
        agrees,
        cosine: 0.4,
        llr: 3.0,
        combined_llr: 5.5,
        inter_eye_px: 12.0,
        frames_used: 5,
        model_digest: "beef".into(),
        calibration_id: "test-second".into(),
    }
}

fn any_policy() -> impl Strategy<Value = ListPolicy> {
    let confirm = prop_oneof![Just(ConfirmBy::Machine), Just(ConfirmBy::Human), Just(ConfirmBy::TwoPerson)];
    (confirm, 0_u32..2, 0_u64..100).prop_map(|(confirm, more, cool_s)| {
        let votes = if confirm == ConfirmBy::Machine { 0 } else { confirm.votes() + more };
        ListPolicy { votes, cool_down: Duration::from_secs(cool_s), ..policy(confirm) }
    })
}

proptest! {
    #[test]
    fn no_soup_of_events_breaks_the_rules(
        events in prop::collection::vec(event(), 0..120),
        policy in any_policy(),
        seconded in any::<bool>(),
    ) {
        let mut ended: BTreeMap<(CameraId, PersonId), WallMs> = BTreeMap::new();
        let mut last: BTreeMap<AlertId, (u32, AlertRecord)> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for event in play(&events, &policy, seconded) {
            prop_assert!(ids.insert(event.event_id()), "event id {} twice", event.event_id());
            let after = &event.after;
            match last.get(&after.id) {
                None => prop_assert!(event.sequence == 1 && after.stage == Stage::Candidate && event.before.is_none()),
                Some((sequence, before)) => {
                    prop_assert_eq!(event.sequence, sequence + 1);
                    prop_assert_eq!(event.before.as_ref(), Some(before));
                    prop_assert!(!before.stage.is_final(), "something followed {:?}", before.stage);
                }
            }
            let distinct: BTreeSet<_> = after.votes.iter().map(|vote| &vote.reviewer).collect();
            prop_assert_eq!(distinct.len(), after.votes.len(), "a reviewer counted twice");
            let agreeing = after.votes.iter().filter(|vote| vote.verdict == Verdict::Confirm).count();
            if after.stage == Stage::Confirmed {
                prop_assert!(agreeing >= policy.votes as usize, "confirmed with {} votes", agreeing);
                prop_assert!(after.confirmation.is_some(), "confirmed without independent evidence");
                let others = after.votes.iter().filter(|vote| Some(&vote.reviewer) != after.enrolled_by.as_ref());
                prop_assert!(policy.votes == 0 || others.count() > 0, "the enroller alone confirmed");
                let expires = event.before.as_ref().and_then(|before| before.expires).expect("was open");
                prop_assert!(after.changed <= expires, "confirmed after its time");
            }
            if seconded && matches!(after.stage, Stage::MachineConfirmed | Stage::Confirmed) {
                prop_assert!(after.second.as_ref().is_some_and(|second| second.agrees), "no second network agreed");
            }
            let key = (after.camera.clone(), after.person.clone());
            if event.kind() == "new" && let Some(ended) = ended.get(&key) {
                let since = Duration::from_millis((after.opened.0 - ended.0).unsigned_abs());
                prop_assert!(since >= policy.cool_down, "{since:?} after the last one");
            }
            if after.stage.is_final() && after.stage != Stage::Withdrawn {
                ended.insert(key, after.changed);
            }
            if after.stage == Stage::Candidate {
                prop_assert!(after.votes.is_empty() && after.confirmation.is_none());
            }
            prop_assert_eq!(after.expires.is_none(), after.stage.is_final());
            last.insert(after.id.clone(), (event.sequence, after.clone()));
        }
    }

    #[test]
    fn the_same_events_give_the_same_history(events in prop::collection::vec(event(), 0..60)) {
        let policy = policy(ConfirmBy::Human);
        prop_assert_eq!(play(&events, &policy, true), play(&events, &policy, true));
    }
}
