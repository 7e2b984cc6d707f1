use super::*;
use crate::AuditVerdict;
use crate::outbox::RetryPolicy;
use crate::testing::{Bench, person, record, story, vote};
use proptest::prelude::*;
use sekisho_logic::record::Verdict;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn one_append_reaches_alert_journal_votes_outbox_and_audit() {
    let mut bench = Bench::new();
    for event in story("a-1") {
        let appended = bench.store.append(&event, &["log", "hook"], "daemon").expect("appended");
        assert_eq!(appended, Appended::New { row: i64::from(event.sequence) });
    }
    let alert = bench.store.alert(&AlertId("a-1".into())).expect("read").expect("there");
    assert_eq!((alert.sequence, alert.record), (4, story("a-1")[3].after.clone()));
    let events: Vec<_> = bench.store.events_since(0, 10).expect("events").into_iter().map(|row| row.event).collect();
    assert_eq!(events, story("a-1"));
    assert_eq!(bench.store.events_since(3, 10).expect("events").len(), 1);
    assert_eq!(bench.count("SELECT count(*) FROM outbox WHERE state = 'pending'"), 8);
    assert_eq!(bench.count("SELECT count(*) FROM votes WHERE reviewer = 'uid:7' AND verdict = 'confirm'"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM audit WHERE action = 'alert' AND subject = 'a-1'"), 4);
    assert_eq!(bench.store.journal_end().expect("end"), 4);
}

#[test]
fn appending_again_changes_nothing_not_even_for_more_sinks() {
    let mut bench = Bench::new();
    let event = &story("a-1")[0];
    bench.store.append(event, &["log"], "daemon").expect("appended");
    let head = bench.store.audit_head().expect("head");
    let again = bench.store.append(event, &["log", "hook"], "daemon").expect("appended");
    assert_eq!(again, Appended::AlreadyThere { row: 1 });
    assert_eq!((bench.count("SELECT count(*) FROM outbox"), bench.store.audit_head().expect("head")), (1, head));
}

#[test]
fn the_same_id_with_other_content_is_a_conflict() {
    let mut bench = Bench::new();
    let mut event = story("a-1")[0].clone();
    bench.store.append(&event, &["log"], "daemon").expect("appended");
    event.after.candidate.llr += 1.0;
    let error = bench.store.append(&event, &["log"], "daemon").expect_err("refused");
    assert!(matches!(error, StoreError::Conflict { .. }) && !error.is_storage(), "{error}");
    assert_eq!(bench.count("SELECT count(*) FROM journal"), 1);
}

#[test]
fn events_that_break_a_rule_leave_nothing_of_the_batch() {
    let mut bench = Bench::new();
    let good = Append { event: story("a-1")[0].clone(), sinks: vec!["log".into()], actor: "daemon".into() };
    let mut zero = good.clone();
    zero.event.sequence = 0;
    let mut mixed = good.clone();
    mixed.event = story("a-2")[1].clone();
    mixed.event.before = Some(record("a-3", Stage::Candidate));
    for bad in [zero, mixed] {
        let error = bench.store.append_all(&[good.clone(), bad]).expect_err("refused");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert_eq!(bench.count("SELECT count(*) FROM alerts"), 0);
}

#[test]
fn a_late_event_is_kept_but_does_not_turn_the_alert_back() {
    let mut bench = Bench::new();
    let story = story("a-1");
    for at in [0, 3, 1, 2] {
        bench.store.append(&story[at], &[], "daemon").expect("appended");
    }
    let alert = bench.store.alert(&AlertId("a-1".into())).expect("read").expect("there");
    assert_eq!((alert.sequence, alert.record.stage), (4, Stage::Confirmed));
    assert_eq!(bench.count("SELECT count(*) FROM journal"), 4);
}

#[test]
fn a_changed_mind_is_one_vote_and_two_journal_rows() {
    let mut bench = Bench::new();
    let mut events = story("a-1");
    events.truncate(3);
    let mut after = events[2].after.clone();
    after.votes = vec![vote("uid:7", Verdict::Reject), vote("uid:8", Verdict::Unsure)];
    after.votes[0].reason = Some("not-the-same-person".into());
    events.push(AlertEvent { before: Some(events[2].after.clone()), after, sequence: 4 });
    for event in &events {
        bench.store.append(event, &[], "uid:7").expect("appended");
    }
    assert_eq!(bench.count("SELECT count(*) FROM votes"), 2);
    assert_eq!(bench.count("SELECT count(*) FROM votes WHERE reviewer = 'uid:7' AND verdict = 'reject'"), 1);
    assert_eq!(bench.count("SELECT count(*) FROM votes WHERE reason = 'not-the-same-person'"), 1);
}

#[test]
fn filters_narrow_and_the_newest_comes_first() {
    let mut bench = Bench::new();
    let mut add = |id: &str, camera: &str, who: &str, opened: i64, stage| {
        let mut after = record(id, stage);
        after.camera = CameraId::try_new(camera).expect("a name");
        after.person = person(who);
        after.opened = WallMs(opened);
        bench.store.append(&AlertEvent { before: None, after, sequence: 1 }, &[], "daemon").expect("appended");
    };
    add("a-1", "gate", "ann-1", 100, Stage::Candidate);
    add("a-2", "gate", "bob-1", 200, Stage::Confirmed);
    add("a-3", "dock", "ann-1", 300, Stage::MachineConfirmed);
    add("a-4", "dock", "bob-1", 400, Stage::Withdrawn);
    let mut ids = |filter: &AlertFilter, limit| -> Vec<String> {
        bench.store.alerts(filter, limit).expect("alerts").into_iter().map(|alert| alert.id.0).collect()
    };
    let any = AlertFilter::default();
    assert_eq!(ids(&any, 10), ["a-4", "a-3", "a-2", "a-1"]);
    assert_eq!(ids(&any, 2), ["a-4", "a-3"]);
    assert_eq!(ids(&AlertFilter { stage: Some(Stage::Confirmed), ..any.clone() }, 10), ["a-2"]);
    assert_eq!(ids(&AlertFilter { camera: CameraId::try_new("dock").ok(), ..any.clone() }, 10), ["a-4", "a-3"]);
    let recent_ann = AlertFilter { person: Some(person("ann-1")), since: Some(WallMs(300)), ..any.clone() };
    assert_eq!(ids(&recent_ann, 10), ["a-3"]);
    assert_eq!(ids(&AlertFilter { until: Some(WallMs(300)), ..any.clone() }, 10), ["a-2", "a-1"]);
    let page = |before: &str| AlertFilter { before: Some(AlertId(before.into())), ..any.clone() };
    assert_eq!((ids(&page("a-4"), 2), ids(&page("a-1"), 2)), (vec!["a-3".into(), "a-2".into()], Vec::new()));
    assert_eq!(ids(&page("no-such-alert"), 2), Vec::<String>::new());
    assert_eq!(ids(&AlertFilter { list: ListId::try_new("staff").ok(), ..any }, 10), Vec::<String>::new());
    let menus = bench.store.alert_menus(10).expect("menus");
    assert_eq!((menus.cameras, menus.lists), (vec!["dock".into(), "gate".into()], vec!["watch".into()]));
    assert_eq!(menus.people, ["ann-1", "bob-1"]);
    let open: Vec<_> =
        bench.store.open_alerts().expect("open").into_iter().map(|o| (o.record.id.0, o.sequence)).collect();
    assert_eq!(open, [("a-1".into(), 1), ("a-3".into(), 1)]);
}

#[test]
fn the_journal_refuses_update_delete_and_replace() {
    let mut bench = Bench::new();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    for sql in [
        "UPDATE journal SET after = '{}'",
        "DELETE FROM journal",
        "REPLACE INTO journal SELECT row, event_id, alert, sequence, 5, kind, before, after, run, mono_ns, clock_synced FROM journal",
    ] {
        let error = bench.store.read(|connection| Ok(connection.execute_batch(sql)?)).expect_err(sql).to_string();
        assert!(error.contains("append-only"), "{sql}: {error}");
    }
}

#[test]
fn a_record_that_does_not_read_is_damage_by_name() {
    let mut bench = Bench::new();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    bench.store.read(|c| Ok(c.execute_batch("UPDATE alerts SET record = '{}'")?)).expect("damaged");
    let error = bench.store.alert(&AlertId("a-1".into())).expect_err("damaged");
    assert!(matches!(&error, StoreError::Corrupt { detail, .. } if detail.contains("a-1")), "{error}");
}

/// One step of a soup: append an event of one of a few alerts, alone or with others in one batch.
fn steps() -> impl Strategy<Value = Vec<Vec<(u8, usize, bool)>>> {
    let one = (0_u8..4, 0_usize..4, any::<bool>());
    prop::collection::vec(prop::collection::vec(one, 1..5), 1..20)
}

fn check_invariants(bench: &mut Bench, handed_in: &BTreeMap<String, AlertEvent>) {
    let rows = bench.store.events_since(0, 1000).expect("events");
    let journalled: BTreeMap<String, AlertEvent> = rows.iter().map(|r| (r.event.event_id(), r.event.clone())).collect();
    assert_eq!(rows.len(), journalled.len(), "an event is in the journal twice");
    assert_eq!(&journalled, handed_in);
    let alerts: BTreeSet<&str> = journalled.values().map(|event| event.after.id.0.as_str()).collect();
    for alert in alerts {
        let last = journalled.values().filter(|event| event.after.id.0 == alert).max_by_key(|event| event.sequence);
        let last = last.expect("at least one");
        let stored = bench.store.alert(&AlertId(alert.into())).expect("read").expect("there");
        assert_eq!((stored.sequence, &stored.record), (last.sequence, &last.after));
    }
    let events = i64::try_from(handed_in.len()).expect("few");
    assert_eq!(bench.count("SELECT count(*) FROM outbox"), events * 2);
    assert_eq!(bench.count("SELECT count(*) FROM audit"), events);
    let voted = "SELECT count(*) FROM votes v JOIN alerts a ON a.id = v.alert WHERE instr(a.record, v.reviewer) = 0";
    assert_eq!(bench.count(voted), 0, "a vote that the alert does not hold");
    let report = bench.store.audit_verify().expect("verified");
    assert!(matches!(report.verdict, AuditVerdict::Intact { .. }), "{report:?}");
    assert!(bench.store.integrity_check().expect("checked").is_empty());
}

/// Delivers everything to one sink and returns the order of delivery by alert.
fn drain(bench: &mut Bench) -> BTreeMap<String, Vec<u32>> {
    let mut out: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    loop {
        let items = bench.store.pending("log", WallMs(10_000), &RetryPolicy::default(), 3).expect("pending");
        if items.is_empty() {
            return out;
        }
        let ids: Vec<String> = items.iter().map(|item| item.event.event_id()).collect();
        for item in items {
            out.entry(item.event.after.id.0.clone()).or_default().push(item.event.sequence);
        }
        assert_eq!(bench.store.mark_delivered("log", &ids, WallMs(10_000)).expect("marked"), ids.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn repeated_and_reordered_events_keep_the_books_straight(batches in steps()) {
        let mut bench = Bench::new();
        let mut handed_in = BTreeMap::new();
        for batch in batches {
            let appends: Vec<Append> = batch
                .iter()
                .map(|(alert, at, _)| Append {
                    event: story(&format!("a-{alert}"))[*at].clone(),
                    sinks: vec!["log".into(), "hook".into()],
                    actor: "daemon".into(),
                })
                .collect();
            let results = bench.store.append_all(&appends).expect("appended");
            for (append, appended) in appends.into_iter().zip(results) {
                let known = handed_in.insert(append.event.event_id(), append.event).is_some();
                prop_assert_eq!(known, matches!(appended, Appended::AlreadyThere { .. }));
            }
            if batch.iter().any(|(_, _, reload)| *reload) {
                bench.reload();
            }
        }
        check_invariants(&mut bench, &handed_in);
        let delivered = drain(&mut bench);
        prop_assert_eq!(delivered.values().map(Vec::len).sum::<usize>(), handed_in.len());
        for (alert, sequences) in delivered {
            prop_assert!(sequences.is_sorted(), "{} went out as {:?}", alert, sequences);
        }
    }
}
