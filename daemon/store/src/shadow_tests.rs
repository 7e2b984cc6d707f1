//! Counts that add up over restarts, age out, and are gone when somebody erases them.

use super::*;
use crate::testing::Bench;
use sekisho_logic::calibrate::{Finding, Sample};
use sekisho_logic::id::CameraId;

const ROW: RowKey = RowKey { from_mpx: 16_000, frames: 3 };

fn network() -> Network {
    Network { model_digest: "feed".into(), preprocessing: "1".into() }
}

fn batch(tracks: u64) -> Batch {
    let mut batch = Batch::default();
    let tally = batch.rows.entry(ROW).or_default();
    (0..tracks).for_each(|_| tally.add(&Sample { row: ROW, people: 3, best: 170, rest: vec![130, 140] }));
    let gate = batch.traffic.entry(CameraId::try_new("gate").expect("name")).or_default();
    (gate.strangers, gate.candidates) = (tracks, 1);
    batch
}

fn on_day(day: i64) -> WallMs {
    WallMs(day * DAY_MS + 1)
}

fn stale() -> Stale {
    Stale { since: WallMs(5), calibration_id: "sface".into(), finding: Finding::Rejections }
}

#[test]
fn counts_add_up_over_days_and_restarts_and_other_networks_keep_their_own() {
    let mut bench = Bench::new();
    for day in [700, 701, 708] {
        assert_eq!(bench.store.add_counted(&network(), 1, &batch(10), on_day(day), 90).expect("added"), Counted::Added);
        bench.reload();
    }
    let (rows, unreadable) = bench.store.counted_scores(&network()).expect("read");
    assert_eq!((rows[&ROW].tracks(), unreadable), (30, 0));
    let other = Network { preprocessing: "2".into(), ..network() };
    assert!(bench.store.counted_scores(&other).expect("read").0.is_empty());
    // The first day is left out, and today is not over.
    let traffic = bench.store.measured_traffic(on_day(708)).expect("read").expect("counted");
    assert_eq!((traffic.camera_days, traffic.strangers_per_camera_day.round()), (1, 10.0));
    let days = bench.store.counted_days(on_day(708)).expect("read");
    assert_eq!(days, [DayCount { tracks: 11, candidates: 1 }; 2]);
}

#[test]
fn what_is_older_than_asked_for_is_forgotten() {
    let mut bench = Bench::new();
    bench.store.add_counted(&network(), 1, &batch(10), on_day(700), 30).expect("added");
    bench.store.add_counted(&network(), 1, &batch(1), on_day(760), 30).expect("added");
    assert_eq!(bench.store.counted_scores(&network()).expect("read").0[&ROW].tracks(), 1);
    assert_eq!(bench.count("SELECT count(*) FROM shadow_traffic"), 1);
}

#[test]
fn an_erasure_is_audited_and_counts_made_before_it_are_not_added_after_it() {
    let mut bench = Bench::new();
    bench.store.add_counted(&network(), 1, &batch(10), on_day(700), 90).expect("added");
    let watch = Watch::from_parts("sface".into(), Cusum::default(), vec![(ROW, batch(4).rows[&ROW].to_bytes())]);
    bench.store.keep_drift_watch(&watch, 1).expect("kept");
    let erased = bench.store.erase_counted("uid:7", WallMs(9)).expect("erased");
    assert_eq!(erased, Erased { looks: 10, days: 1 });
    assert_eq!(bench.store.calibration_state().expect("state").epoch, 2);
    let late = bench.store.add_counted(&network(), 1, &batch(10), on_day(700), 90).expect("answered");
    assert_eq!(late, Counted::Erased);
    assert!(bench.store.counted_scores(&network()).expect("read").0.is_empty());
    assert_eq!(bench.store.measured_traffic(on_day(702)).expect("read"), None);
    bench.store.keep_drift_watch(&watch, 1).expect("not kept: it is of before");
    assert_eq!(bench.store.drift_watch("sface").expect("read").windows().count(), 0);
    let last = bench.store.audit_entries(0, 10).expect("rows").pop().expect("a row");
    assert_eq!((last.actor.as_str(), last.action.as_str()), ("uid:7", "shadow-reset"));
}

#[test]
fn stale_survives_a_restart_is_raised_once_and_only_somebody_takes_it_back() {
    let mut bench = Bench::new();
    bench.store.raise_stale(&stale(), WallMs(5)).expect("raised");
    let later = Stale { since: WallMs(6), ..stale() };
    bench.store.raise_stale(&later, WallMs(6)).expect("known already");
    bench.reload();
    assert_eq!(bench.store.calibration_state().expect("state").stale, Some(stale()));
    assert!(bench.store.clear_stale("uid:7", "acknowledged", WallMs(9)).expect("cleared"));
    assert!(!bench.store.clear_stale("uid:7", "acknowledged", WallMs(9)).expect("nothing to clear"));
    let actions: Vec<_> = bench.store.audit_entries(0, 10).expect("rows").into_iter().map(|row| row.action).collect();
    assert_eq!(actions, ["calibration-stale", "calibration-fresh"]);
}

#[test]
fn windows_come_back_for_the_same_calibration_and_begin_anew_for_another() {
    let mut bench = Bench::new();
    let watch = Watch::from_parts("sface".into(), Cusum::default(), vec![(ROW, batch(4).rows[&ROW].to_bytes())]);
    bench.store.keep_drift_watch(&watch, 1).expect("kept");
    bench.reload();
    let back = bench.store.drift_watch("sface").expect("read");
    assert_eq!(back.windows().collect::<Vec<_>>(), [(ROW, 4)]);
    assert_eq!(bench.store.drift_watch("site-1").expect("read").windows().count(), 0);
}
