//! The health of a connection under fake time.

use super::*;
use proptest::prelude::*;

const STALL: Duration = Duration::from_secs(5);

fn at(ms: u64) -> Mono {
    Mono::from_millis(ms)
}

/// Feeds `fps` frames a second from `from_ms` to `to_ms`, checking four times a second.
fn feed(health: &mut Health, counted: &mut Counted, fps: u64, (from_ms, to_ms): (u64, u64)) -> Vec<(u64, Verdict)> {
    let mut seen = Vec::new();
    let (mut due_ms, gap_ms) = (from_ms, 1000 / fps);
    for now_ms in (from_ms..to_ms).step_by(250) {
        while due_ms <= now_ms {
            counted.frames += 1;
            counted.last_frame = Some(at(due_ms));
            due_ms += gap_ms;
        }
        seen.push((now_ms, health.check(at(now_ms), *counted)));
    }
    seen
}

#[test]
fn a_stream_that_stops_is_noticed_within_a_tick_of_the_limit() {
    let (mut health, mut counted) = (Health::new(at(0), STALL), Counted::default());
    let seen = feed(&mut health, &mut counted, 25, (0, 10_000));
    assert!(seen.iter().all(|(_, verdict)| *verdict == Verdict::Streaming), "{seen:?}");
    let last = counted.last_frame.expect("frames came");
    assert_eq!(health.check(last.plus(STALL), counted), Verdict::Streaming);
    let late = last.plus(STALL).plus(Duration::from_millis(250));
    assert!(matches!(health.check(late, counted), Verdict::Fault(Fault::Stalled { .. })));
}

#[test]
fn the_first_frame_may_take_as_long_as_slow_key_frames() {
    let mut health = Health::new(at(0), STALL);
    assert_eq!(health.check(at(15_000), Counted::default()), Verdict::Connecting);
    let verdict = health.check(at(15_250), Counted::default());
    assert_eq!(verdict, Verdict::Fault(Fault::NoFirstFrame { limit: Duration::from_secs(15) }));
}

#[test]
fn waiting_for_a_key_frame_is_no_stall_while_packets_come() {
    let (mut health, mut counted) = (Health::new(at(0), STALL), Counted::default());
    feed(&mut health, &mut counted, 25, (0, 2_000));
    (counted.gated, counted.last_packet) = (true, Some(at(9_900)));
    assert_eq!(health.check(at(10_000), counted), Verdict::Streaming);
    counted.last_packet = Some(at(2_000));
    assert!(matches!(health.check(at(10_000), counted), Verdict::Fault(Fault::Stalled { .. })));
    counted.last_packet = Some(at(17_400));
    assert!(matches!(health.check(at(17_500), counted), Verdict::Fault(Fault::Stalled { .. })));
}

#[test]
fn a_trickle_is_degraded_after_half_a_minute_and_recovers() {
    let (mut health, mut counted) = (Health::new(at(0), STALL), Counted::default());
    let before = feed(&mut health, &mut counted, 20, (0, 120_000));
    assert!(before.iter().all(|(_, verdict)| *verdict == Verdict::Streaming));
    let trickle = feed(&mut health, &mut counted, 2, (120_000, 180_000));
    let first = trickle.iter().find(|(_, verdict)| *verdict == Verdict::Degraded).map(|(ms, _)| ms - 120_000);
    assert!(matches!(first, Some(30_000..=36_000)), "degraded after {first:?} ms");
    let after = feed(&mut health, &mut counted, 20, (180_000, 200_000));
    assert_eq!(after.last().map(|(_, verdict)| verdict.clone()), Some(Verdict::Streaming));
    assert!((health.frames_per_s().expect("a full bucket") - 20.0).abs() < 1.0);
}

#[test]
fn three_decoder_complaints_within_five_seconds_end_it_and_slow_ones_do_not() {
    let mut health = Health::new(at(0), STALL);
    for second in [0, 3, 6, 9, 12] {
        assert_eq!(health.on_decode_warning(at(second * 1000)), None, "at {second} s");
    }
    assert!(matches!(health.on_decode_warning(at(12_500)), Some(Fault::DecodeErrors { count: 3, .. })));
}

#[test]
fn one_format_change_is_fine_and_two_within_a_second_are_not() {
    let mut health = Health::new(at(0), STALL);
    assert_eq!(health.on_format_change(at(0)), None);
    assert_eq!(health.on_format_change(at(1_000)), None);
    assert_eq!(health.on_format_change(at(1_999)), Some(Fault::FormatFlapping));
}

#[test]
fn a_gap_longer_than_the_limit_starts_the_good_time_again() {
    let (mut health, mut counted) = (Health::new(at(0), STALL), Counted::default());
    assert_eq!(health.good_for(), Duration::ZERO);
    feed(&mut health, &mut counted, 10, (0, 40_000));
    assert!(health.good_for() >= Duration::from_secs(39));
    feed(&mut health, &mut counted, 10, (50_000, 51_000));
    assert!(health.good_for() < Duration::from_secs(2), "{:?}", health.good_for());
}

proptest! {
    /// Whatever the schedule of frames, a newest frame older than the limit is a fault and a younger one never is.
    #[test]
    fn a_fault_means_an_old_frame_and_the_other_way_round(gaps_ms in proptest::collection::vec(1_u64..7_000, 1..60)) {
        let (mut health, mut counted, mut now_ms) = (Health::new(at(0), STALL), Counted::default(), 0_u64);
        for gap_ms in gaps_ms {
            counted.frames += 1;
            counted.last_frame = Some(at(now_ms));
            now_ms += gap_ms;
            let verdict = health.check(at(now_ms), counted);
            prop_assert_eq!(matches!(verdict, Verdict::Fault(Fault::Stalled { .. })), gap_ms > 5_000);
            if matches!(verdict, Verdict::Fault(_)) {
                break;
            }
        }
    }
}
