use super::*;
use crate::testing::{Bench, story};

const POLICY: RetryPolicy = RetryPolicy { first_ms: 100, max_ms: 1000, age_max_ms: 60_000, attempts_min: 3 };

fn loaded() -> Bench {
    let mut bench = Bench::new();
    for alert in ["a-1", "a-2"] {
        for event in story(alert) {
            bench.store.append(&event, &["log"], "daemon").expect("appended");
        }
    }
    bench
}

fn due(bench: &mut Bench, now: i64) -> Vec<String> {
    let items = bench.store.pending("log", WallMs(now), &POLICY, 100).expect("pending");
    items.iter().map(|item| item.event.event_id()).collect()
}

fn delivered(bench: &mut Bench, ids: &[&str]) -> usize {
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    bench.store.mark_delivered("log", &ids, WallMs(3000)).expect("marked")
}

#[test]
fn an_alerts_events_go_out_one_after_the_other() {
    let mut bench = loaded();
    assert_eq!(due(&mut bench, 2000), ["a-1.1", "a-2.1"]);
    assert_eq!(delivered(&mut bench, &["a-1.1"]), 1);
    assert_eq!(due(&mut bench, 2000), ["a-1.2", "a-2.1"]);
    assert_eq!(delivered(&mut bench, &["a-1.1", "a-1.2", "nobody.1"]), 1, "marking again is harmless");
    assert_eq!(due(&mut bench, 2000), ["a-1.3", "a-2.1"]);
    assert!(bench.store.pending("other", WallMs(2000), &POLICY, 100).expect("pending").is_empty());
}

#[test]
fn a_failed_try_waits_longer_each_time_and_holds_up_only_its_alert() {
    let mut bench = loaded();
    let fail = |bench: &mut Bench, now| {
        bench.store.mark_failed("log", "a-1.1", "refused", WallMs(now), &POLICY).expect("noted")
    };
    assert_eq!(fail(&mut bench, 2000), Some(WallMs(2100)));
    assert_eq!(due(&mut bench, 2050), ["a-2.1"]);
    assert_eq!(due(&mut bench, 2100), ["a-2.1", "a-1.1"], "what was never tried comes first");
    assert_eq!(fail(&mut bench, 2100), Some(WallMs(2300)));
    for _ in 0..8 {
        fail(&mut bench, 2100);
    }
    assert_eq!(fail(&mut bench, 2100), Some(WallMs(3100)), "the wait stops growing");
    let item = &bench.store.pending("log", WallMs(3100), &POLICY, 2).expect("pending")[1];
    assert_eq!((item.attempts, item.created), (11, WallMs(1001)));
}

#[test]
fn a_clock_set_back_does_not_hold_up_deliveries() {
    let mut bench = loaded();
    bench.store.mark_failed("log", "a-1.1", "refused", WallMs(90_000_000), &POLICY).expect("noted");
    assert_eq!(due(&mut bench, 2000), ["a-2.1", "a-1.1"]);
}

#[test]
fn a_clock_set_ahead_does_not_kill_deliveries() {
    let mut bench = loaded();
    let year = WallMs(31_536_000_000);
    assert!(bench.store.mark_failed("log", "a-1.1", "refused", year, &POLICY).expect("noted").is_some());
}

#[test]
fn what_is_given_up_is_kept_counted_and_can_be_requeued() {
    let mut bench = loaded();
    let long = "x".repeat(5000);
    for _ in 0..2 {
        assert!(bench.store.mark_failed("log", "a-1.1", &long, WallMs(70_000), &POLICY).expect("noted").is_some());
    }
    assert_eq!(bench.store.mark_failed("log", "a-1.1", &long, WallMs(70_000), &POLICY).expect("noted"), None);
    assert_eq!(bench.count("SELECT max(length(last_error)) FROM outbox"), 300);
    let depths = bench.store.outbox_depths().expect("depths");
    let expected = SinkDepth {
        sink: "log".into(),
        pending: 7,
        dead: 1,
        oldest_pending: Some(WallMs(1001)),
        last_error: Some("x".repeat(300)),
        ..SinkDepth::default()
    };
    assert_eq!(depths, std::slice::from_ref(&expected));
    assert_eq!(bench.store.outbox_depth("log").expect("depth"), expected);
    assert_eq!(due(&mut bench, 70_000), ["a-1.2", "a-2.1"], "the next event of the alert is not held up for ever");
    assert_eq!(bench.store.requeue_dead("log", WallMs(70_000), "uid:7").expect("requeued"), 1);
    assert_eq!(bench.store.requeue_dead("log", WallMs(70_000), "uid:7").expect("nothing left"), 0);
    assert_eq!(due(&mut bench, 70_000), ["a-1.1", "a-2.1"]);
    let last = bench.store.audit_entries(0, 100).expect("rows").pop().expect("a row");
    assert_eq!((last.action.as_str(), last.actor.as_str()), ("sink-requeue", "uid:7"));
}

#[test]
fn several_tries_are_noted_together() {
    let mut bench = loaded();
    let why = |why: &str| why.to_owned();
    let tried = [
        ("a-1.1".to_owned(), Tried::Delivered),
        ("a-2.1".to_owned(), Tried::Failed { why: why("slow down") }),
        ("nobody.1".to_owned(), Tried::Dead { why: why("never heard of") }),
    ];
    assert_eq!(bench.store.note_tried("log", &tried, WallMs(2000), &POLICY).expect("noted"), Vec::<String>::new());
    assert_eq!(due(&mut bench, 2099), ["a-1.2"]);
    assert_eq!(due(&mut bench, 2100), ["a-1.2", "a-2.1"]);
    let refused = [("a-2.1".to_owned(), Tried::Dead { why: why("no such camera") })];
    assert_eq!(bench.store.note_tried("log", &refused, WallMs(7000), &POLICY).expect("noted"), ["a-2.1"]);
    assert_eq!(due(&mut bench, 7000), ["a-1.2", "a-2.2"]);
    let late = [("a-1.1".to_owned(), Tried::Failed { why: why("late") })];
    bench.store.note_tried("log", &late, WallMs(7000), &POLICY).expect("noted");
    let depth = bench.store.outbox_depth("log").expect("depth");
    assert_eq!((depth.delivered, depth.dead, depth.pending), (1, 1, 6), "nothing undoes a delivery");
    assert_eq!(depth.last_error.as_deref(), Some("no such camera"));
}

#[test]
fn a_sink_that_is_down_too_long_gives_up_what_is_too_old() {
    let mut bench = loaded();
    assert_eq!(bench.store.give_up("log", WallMs(1003), "down for a week", WallMs(5000), 3).expect("given up"), 3);
    assert_eq!(bench.store.give_up("log", WallMs(1003), "down for a week", WallMs(5000), 3).expect("given up"), 1);
    assert_eq!(bench.store.give_up("log", WallMs(1003), "down for a week", WallMs(5000), 3).expect("given up"), 0);
    assert_eq!(due(&mut bench, 5000), ["a-1.3", "a-2.3"]);
    assert_eq!(bench.store.outbox_depth("log").expect("depth").dead, 4);
}

#[test]
fn delivered_rows_are_forgotten_and_the_journal_stays() {
    let mut bench = loaded();
    delivered(&mut bench, &["a-1.1", "a-2.1"]);
    let never = WallMs(i64::MIN);
    assert_eq!(bench.store.forget_settled("log", WallMs(3000), never, 10).expect("none old enough"), (0, 0));
    assert_eq!(bench.store.forget_settled("other", WallMs(3001), WallMs(3001), 10).expect("another's"), (0, 0));
    assert_eq!(bench.store.forget_settled("log", WallMs(3001), never, 1).expect("one at a time"), (1, 0));
    assert_eq!(bench.store.forget_settled("log", WallMs(3001), never, 10).expect("the rest"), (1, 0));
    let dead = [("a-2.2".to_owned(), Tried::Dead { why: "no".into() })];
    bench.store.note_tried("log", &dead, WallMs(2500), &POLICY).expect("noted");
    assert_eq!(bench.store.forget_settled("log", never, WallMs(2501), 10).expect("the dead one"), (0, 1));
    assert_eq!(bench.count("SELECT count(*) FROM journal"), 8);
    bench.store.append(&story("a-1")[0], &["log"], "daemon").expect("again");
    assert_eq!(due(&mut bench, 3000), ["a-1.2", "a-2.3"], "a forgotten delivery is not made again");
}

#[test]
fn waits_double_up_to_the_longest_and_never_overflow() {
    let waits: Vec<i64> = (1..7).map(|attempts| POLICY.wait_ms(attempts)).collect();
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    let odd = RetryPolicy { first_ms: i64::MAX / 2, max_ms: i64::MAX, ..POLICY };
    assert_eq!((odd.wait_ms(u32::MAX), POLICY.wait_ms(0)), (i64::MAX, 100));
}
