//! Whatever happens in whatever order, what a sink is handed keeps the policy's promise: an alert is confirmed only with the
//! votes it needed, by distinct people, not by the enroller alone, and in time. The whole way is real: alert machine,
//! subscriptions, database, outbox.

use proptest::prelude::*;
use sekisho::config::sink_settings::{InQuietHours, SinkFilter};
use sekisho_logic::alert::{AlertMachine, Ballot, CandidateTiming, Sighting};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::policy::{ConfirmBy, ListPolicy, Purpose};
use sekisho_logic::record::{AlertEvent, AlertId, EvidenceRecord, SecondOpinion, Stage, Verdict};
use sekisho_logic::second::SecondSaid;
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::{Append, RetryPolicy, Store};
use sekisho_tests::store;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ENROLLER: &str = "uid:0";
const VISIT_GAP: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Event {
    Seen(u8),
    Independent(u8),
    Second { alert: u8, agrees: bool },
    Turned(u8),
    Vote { alert: u8, reviewer: u8, verdict: u8 },
    Tick,
}

fn event() -> impl Strategy<Value = (u32, Event)> {
    let kind = prop_oneof![
        4 => (0_u8..4).prop_map(Event::Seen),
        4 => (0_u8..4).prop_map(Event::Independent),
        4 => (0_u8..3, any::<bool>()).prop_map(|(alert, agrees)| Event::Second { alert, agrees }),
        1 => (0_u8..4).prop_map(Event::Turned),
        8 => (0_u8..5, 0_u8..4, 0_u8..3).prop_map(|(alert, reviewer, verdict)| Event::Vote { alert, reviewer, verdict }),
        2 => Just(Event::Tick),
    ];
    (0_u32..40_000, kind)
}

fn policy() -> impl Strategy<Value = ListPolicy> {
    let confirm = prop_oneof![Just(ConfirmBy::Machine), Just(ConfirmBy::Human), Just(ConfirmBy::TwoPerson)];
    (confirm, 0_u32..2).prop_map(|(confirm, more)| {
        let new = ListPolicy::new(Purpose::Watch, confirm, Duration::from_secs(300), 1e-3);
        ListPolicy { votes: if new.votes == 0 { 0 } else { new.votes + more }, ..new }
    })
}

fn evidence() -> EvidenceRecord {
    EvidenceRecord {
        cosine: 0.6,
        llr: 8.0,
        runner_up_gap: None,
        target_fpir: 1e-3,
        inter_eye_px: 12.0,
        frames_used: 3,
        frames_unfit: Vec::new(),
        model_digest: "feed".into(),
        calibration_id: "test".into(),
    }
}

fn said(agrees: bool) -> SecondSaid {
    let opinion = SecondOpinion {
        agrees,
        cosine: 0.4,
        llr: 3.0,
        combined_llr: 5.5,
        inter_eye_px: 12.0,
        frames_used: 5,
        model_digest: "beef".into(),
        calibration_id: "test-second".into(),
    };
    if agrees { SecondSaid::Agrees(opinion) } else { SecondSaid::Open(Some(opinion)) }
}

fn sighting(n: u8) -> Sighting {
    Sighting {
        camera: CameraId::try_new(["gate", "yard"][usize::from(n % 2)]).expect("a name"),
        person: PersonId::try_new(["ann-1", "bob-2"][usize::from(n / 2)]).expect("a name"),
        list: ListId::try_new("watch").expect("a name"),
        track: TrackId(u64::from(n)),
        enrolled_by: (n < 2).then(|| ENROLLER.to_owned()),
    }
}

/// Plays the events; even cameras' alerts are raised in quiet hours.
fn play(events: &[(u32, Event)], policy: &ListPolicy, seconded: bool) -> Vec<AlertEvent> {
    let mut machine = AlertMachine::new(1);
    let (mut at, mut out, mut ids): (u64, Vec<AlertEvent>, Vec<AlertId>) = (0, Vec::new(), Vec::new());
    for (gap, event) in events {
        at += u64::from(*gap);
        let now = Now { mono: Mono::from_millis(at), wall: WallMs(1_000_000 + i64::try_from(at).expect("small")) };
        let nth = |n: u8| ids.len().checked_sub(1 + usize::from(n)).map(|i| ids[i].clone());
        let new = match event {
            Event::Seen(n) => {
                let timing =
                    CandidateTiming { expires: Duration::from_secs(30), visit_gap: VISIT_GAP, quiet: n % 2 == 0 };
                machine.candidate(now, &sighting(*n), policy, evidence(), timing).into_iter().collect()
            }
            Event::Independent(n) => {
                let who = sighting(*n);
                if seconded {
                    let _asked = machine.await_second(now, &who.camera, &who.person, evidence());
                    Vec::new()
                } else {
                    machine.independent(now, &who.camera, &who.person, policy, evidence())
                }
            }
            Event::Second { alert, agrees } => {
                nth(*alert).map_or_else(Vec::new, |id| machine.second(now, &id, policy, said(*agrees)))
            }
            Event::Turned(n) => {
                let who = sighting(*n);
                machine.turned(now, &who.camera, &who.person).into_iter().collect()
            }
            Event::Vote { alert, reviewer, verdict } => {
                let verdict = [Verdict::Confirm, Verdict::Reject, Verdict::Unsure][usize::from(*verdict)];
                let ballot = Ballot { reviewer: format!("uid:{reviewer}"), verdict, reason: None };
                nth(*alert).and_then(|id| machine.vote(now, &id, &ballot).ok()).into_iter().collect()
            }
            Event::Tick => machine.tick(now, VISIT_GAP),
        };
        ids.extend(new.iter().filter(|event| event.before.is_none()).map(|event| event.after.id.clone()));
        out.extend(new);
    }
    out
}

/// Three receivers that want different things.
fn sinks() -> Vec<(&'static str, SinkFilter)> {
    let filter = |stages: &[Stage], in_quiet_hours| SinkFilter {
        stages: stages.to_vec(),
        lists: Vec::new(),
        cameras: Vec::new(),
        in_quiet_hours,
    };
    vec![
        ("all", filter(&Stage::ALL, InQuietHours::Tell)),
        ("door", filter(&[Stage::Confirmed], InQuietHours::Tell)),
        ("pager", filter(&[Stage::Confirmed], InQuietHours::KeepSilent)),
    ]
}

/// Everything the outbox holds for one sink, delivered batch by batch as a sink does.
fn deliver(store: &mut Store, sink: &str) -> Vec<AlertEvent> {
    let (now, mut told) = (WallMs(i64::MAX / 2), Vec::new());
    loop {
        let items = store.pending(sink, now, &RetryPolicy::default(), 16).expect("readable");
        if items.is_empty() {
            return told;
        }
        let ids: Vec<_> = items.iter().map(|item| item.event.event_id()).collect();
        assert_eq!(store.mark_delivered(sink, &ids, now).expect("writable"), ids.len());
        told.extend(items.into_iter().map(|item| item.event));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_sink_is_told_of_a_confirmation_that_the_policy_did_not_allow(
        events in prop::collection::vec(event(), 0..150),
        policy in policy(),
        seconded in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().expect("a folder");
        let mut store = store::open(dir.path()).expect("a store");
        let happened = play(&events, &policy, seconded);
        let to = |event: &AlertEvent| {
            let wanted = sinks().into_iter().filter(|(_, filter)| filter.wants(&event.after));
            wanted.map(|(name, _)| name.to_owned()).collect()
        };
        let batch: Vec<_> = happened
            .iter()
            .map(|event| Append { event: event.clone(), sinks: to(event), actor: "daemon".into() })
            .collect();
        store.append_all(&batch).expect("journalled");
        let mut expires = BTreeMap::new();
        let all = deliver(&mut store, "all");
        prop_assert_eq!(all.len(), happened.len());
        for event in &all {
            if let Some(by) = event.after.expires {
                expires.insert(event.after.id.clone(), by);
            }
        }
        for (sink, filter) in sinks() {
            let told = if sink == "all" { all.clone() } else { deliver(&mut store, sink) };
            let mut seen = BTreeSet::new();
            for event in told {
                let after = &event.after;
                prop_assert!(seen.insert(event.event_id()), "{} heard {} twice", sink, event.event_id());
                prop_assert!(filter.wants(after), "{} heard of {:?}", sink, after.stage);
                let distinct: BTreeSet<_> = after.votes.iter().map(|vote| vote.reviewer.as_str()).collect();
                prop_assert_eq!(distinct.len(), after.votes.len(), "a reviewer counted twice");
                if after.stage != Stage::Confirmed {
                    continue;
                }
                let yes = || after.votes.iter().filter(|vote| vote.verdict == Verdict::Confirm);
                prop_assert!(yes().count() >= policy.votes as usize, "confirmed with {} votes", yes().count());
                prop_assert!(policy.votes == 0 || yes().any(|vote| Some(&vote.reviewer) != after.enrolled_by.as_ref()));
                prop_assert!(!seconded || after.second.as_ref().is_some_and(|second| second.agrees));
                prop_assert!(after.changed <= expires[&after.id], "confirmed after its time was up");
            }
        }
        // The books agree: what the door was told is what happened.
        let confirmed = happened.iter().filter(|event| event.after.stage == Stage::Confirmed).count();
        let mut kept = store.alerts(&sekisho_store::AlertFilter::default(), 1_000).expect("readable");
        kept.retain(|record| record.stage == Stage::Confirmed);
        prop_assert_eq!(kept.len(), confirmed);
    }
}
