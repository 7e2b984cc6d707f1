//! Streams that stay as they are, and streams that do not.

use super::super::testing::{Random, look};
use super::*;
use crate::calibration::RawRow;
use crate::calibration::tests::plain_raw;

const RULES: DriftRules = DriftRules { window_tracks: 500, rejected_borne: 0.2 };
const ROW: RowKey = RowKey { from_mpx: 4_000, frames: 2 };

fn table() -> Calibration {
    let mut table = plain_raw();
    let row: RawRow = table.bin[1].frames[0].clone();
    table.bin[1].frames = vec![RawRow { impostor_identities: 320, ..row }];
    Calibration::try_new(table).expect("a valid table")
}

/// Tracks until something is found, in batches of fifty.
fn tracks_to_finding(random: &mut Random, law: (f64, f64), people: usize, most: u64) -> Option<(u64, Finding)> {
    let (table, mut watch) = (table(), Watch::new("test"));
    let mut seen = 0;
    while seen < most {
        let mut batch = Batch::default();
        let tally = batch.rows.entry(ROW).or_default();
        (0..50).for_each(|_| tally.add(&look(random, people, law, None)));
        seen += 50;
        if let Some(found) = watch.take(&batch, &table, 4, RULES) {
            return Some((seen, found));
        }
    }
    None
}

#[test]
fn a_stable_stream_raises_nothing_in_two_hundred_thousand_tracks() {
    // 400 windows of two tests each; at one false finding in a thousand rounds of four rows, 0.1 are expected.
    for (seed, people) in [(1, 5), (2, 30), (3, 100), (4, 200)] {
        let found = tracks_to_finding(&mut Random(seed), (0.0, 0.1), people, 50_000);
        assert_eq!(found, None, "{people} people");
    }
}

#[test]
fn scores_that_move_by_half_a_deviation_are_found_in_the_first_windows() {
    for (seed, people) in [(5, 10), (6, 50), (7, 200)] {
        let (tracks, found) = tracks_to_finding(&mut Random(seed), (0.05, 0.1), people, 50_000).expect("found");
        assert!(tracks <= 1500, "{people} people: {found:?} after {tracks}");
    }
    let (tracks, found) = tracks_to_finding(&mut Random(8), (0.1, 0.1), 20, 50_000).expect("found");
    assert_eq!(tracks, 500, "{found:?}");
}

#[test]
fn a_wider_spread_is_found_in_the_tail() {
    let (tracks, found) = tracks_to_finding(&mut Random(10), (0.0, 0.14), 80, 50_000).expect("found");
    assert!(tracks <= 1000 && matches!(found, Finding::TailHeavier { .. } | Finding::ScoresMoved { .. }), "{found:?}");
    assert!(found.said().contains("4 px at 2 frames"), "{}", found.said());
}

#[test]
fn rejected_alerts_are_found_and_accepted_ones_are_not() {
    let (table, mut watch) = (table(), Watch::new("test"));
    let votes = |confirmed, rejected| Batch { confirmed, rejected, ..Batch::default() };
    for _ in 0..100 {
        assert_eq!(watch.take(&votes(9, 1), &table, 4, RULES), None);
    }
    let found = (0..30).find_map(|_| watch.take(&votes(1, 4), &table, 4, RULES));
    assert_eq!(found, Some(Finding::Rejections));
}

#[test]
fn a_restart_in_the_middle_of_a_window_loses_nothing() {
    let (table, mut random) = (table(), Random(21));
    let mut watch = Watch::new("test");
    for at in 0..10 {
        let mut batch = Batch { rejected: 1, confirmed: 5, ..Batch::default() };
        let tally = batch.rows.entry(ROW).or_default();
        (0..50).for_each(|_| tally.add(&look(&mut random, 20, (0.1, 0.1), None)));
        let found = watch.take(&batch, &table, 4, RULES);
        assert_eq!(found.is_some(), at == 9, "{at}: {found:?}");
        let (id, votes, rows) = watch.parts();
        watch = Watch::from_parts(id, votes, rows);
        assert_eq!(watch.calibration_id(), "test");
    }
}
