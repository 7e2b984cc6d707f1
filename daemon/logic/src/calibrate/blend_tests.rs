//! Sites that resemble the shipped table, sites that do not, and sites that have hardly seen anybody.

use super::super::tally::Tally;
use super::super::testing::{Random, look, strangers};
use super::*;
use crate::calibration::tests::plain_raw;
use crate::calibration::{Calibration, RawBin};
use proptest::prelude::*;

/// Two decidable bins of three frame counts, impostors N(0, 0.1), genuine N(0.5, 0.1).
fn prior() -> RawCalibration {
    let mut table = plain_raw();
    let row = |n| RawRow { n, genuine_std: 0.12, impostor_identities: 300, ..table.bin[1].frames[0].clone() };
    let frames: Vec<RawRow> = [1, 3, 6].map(row).to_vec();
    let bin = |from, to| RawBin { inter_eye_px_min: from, inter_eye_px_max: to, frames: frames.clone() };
    table.bin = vec![bin(8.0, Some(16.0)), bin(16.0, None)];
    table
}

fn site(rows: impl IntoIterator<Item = (RowKey, Tally)>) -> SiteScores {
    let evidence =
        |tally: &Tally| RowEvidence { curve: Curve::from_strangers(tally), genuine: Vec::new(), genuine_people: 0 };
    SiteScores {
        kind: SourceKind::Shadow,
        id: "site".into(),
        source: "test".into(),
        date: "2026-11-24T00:00:00Z".into(),
        rows: rows.into_iter().map(|(key, tally)| (key, evidence(&tally))).collect(),
    }
}

fn shifts(fitted: &Fitted, prior: &RawCalibration, bin: usize, row: usize) -> Vec<f64> {
    let (new, old) = (&fitted.table.bin[bin].frames[row].tail, &prior.bin[bin].frames[row].tail);
    new.iter().zip(old).map(|(new, old)| new.cosine - old.cosine).collect()
}

const ROW: RowKey = RowKey { from_mpx: 16_000, frames: 3 };

#[test]
fn without_scores_the_shipped_table_comes_back() {
    let prior = prior();
    let fitted = fit(&prior, &site([]));
    assert_eq!(fitted.rows_moved, 0);
    assert!(shifts(&fitted, &prior, 1, 1).iter().all(|shift| shift.abs() < 1e-9));
    assert!((fitted.table.bin[1].frames[1].llr_slope - 50.0).abs() < 1e-9);
    Calibration::try_new(fitted.table).expect("a valid table");
}

#[test]
fn a_few_strangers_move_little_and_many_move_it_to_where_they_are() {
    let prior = prior();
    // The site's strangers score 0.06 higher.
    let few = fit(&prior, &site([(ROW, strangers(&mut Random(1), 8, 40, (0.06, 0.1)))]));
    let many = fit(&prior, &site([(ROW, strangers(&mut Random(1), 20_000, 40, (0.06, 0.1)))]));
    let (few, many) = (shifts(&few, &prior, 1, 1), shifts(&many, &prior, 1, 1));
    assert!(few.iter().all(|shift| shift.abs() < 0.045), "{few:?}");
    assert!(many.iter().take(3).all(|shift| (shift - 0.06).abs() < 0.01), "{many:?}");
    assert!(many[3..].iter().all(|shift| (shift - 0.06).abs() < 0.035), "down the tail too: {many:?}");
    assert!(few[0] < many[0], "{few:?} {many:?}");
}

#[test]
fn a_site_like_the_shipped_table_changes_nothing_and_its_interval_holds_the_truth() {
    let prior = prior();
    let fitted = fit(&prior, &site([(ROW, strangers(&mut Random(5), 5000, 60, (0.0, 0.1)))]));
    let row = &fitted.table.bin[1].frames[1];
    assert_eq!(row.site_count, Some(5000));
    for (point, truth) in row.tail.iter().zip([0.128, 0.233, 0.309, 0.372]) {
        assert!((point.cosine - truth).abs() < 0.02, "{point:?} {truth}");
        let (low, high) = (point.cosine_low.expect("reckoned"), point.cosine_high.expect("reckoned"));
        assert!(low < point.cosine && point.cosine < high && low - 0.006 < truth && truth < high + 0.006, "{point:?}");
    }
    let (low, high) = interval_at(row, 3e-4).expect("reckoned");
    assert!(low < 0.343 && 0.343 < high && high - low < 0.1, "{low} {high}");
    assert_eq!(interval_at(&prior.bin[1].frames[1], 3e-4), None, "the shipped table gives none");
    assert!(row.decidable && (row.llr_slope / 50.0 - 1.0).abs() < 0.05, "{row:?}");
}

#[test]
fn enrolled_people_among_the_strangers_raise_thresholds_only_and_by_little() {
    let prior = prior();
    let (mut random, mut tally) = (Random(8), Tally::default());
    for at in 0..5000 {
        // One in ten is enrolled and was missed at cosines up to 0.6.
        let enrolled = (at % 10 == 0).then(|| random.cosine(0.45, 0.1));
        tally.add(&look(&mut random, 80, (0.0, 0.1), enrolled));
    }
    let moved = shifts(&fit(&prior, &site([(ROW, tally)])), &prior, 1, 1);
    assert!(moved.iter().all(|shift| (-0.012..0.04).contains(shift)), "{moved:?}");
}

/// The cosine that a share of a Gaussian lies above, by halving.
fn quantile((mean, std): (f64, f64), share: f64) -> f64 {
    let (mut low, mut high) = (mean, mean + 12.0 * std);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        let beyond = 0.5 * erfc((middle - mean) / std / std::f64::consts::SQRT_2);
        if beyond > share { low = middle } else { high = middle }
    }
    low
}

#[test]
fn new_strangers_become_candidates_at_the_rate_that_was_asked_for_and_the_shipped_table_is_off() {
    // A site whose strangers score higher and wider than where the table was made.
    let (prior, law, people) = (prior(), (0.05, 0.11), 40);
    let fitted = fit(&prior, &site([(ROW, strangers(&mut Random(31), 6000, people, law))]));
    let threshold = |table: RawCalibration| {
        let table = Calibration::try_new(table).expect("a valid table");
        f64::from(table.row(20.0, 3).expect("decidable").threshold(crate::calibration::fmr_for_fpir(0.01, people)))
    };
    let (own, shipped) = (threshold(fitted.table), threshold(prior));
    let fresh = strangers(&mut Random(32), 40_000, people, law);
    let (own, shipped) = (fresh.best_beyond(own), fresh.best_beyond(shipped));
    assert!((0.005..0.02).contains(&own), "asked for 0.01, {own} on strangers not seen before");
    assert!(shipped > 0.05, "{shipped}");
}

#[test]
fn intervals_hold_the_truth_at_a_rate_far_beyond_what_was_counted() {
    let (prior, law, people) = (prior(), (0.03, 0.1), 40);
    let fmr = crate::calibration::fmr_for_fpir(0.001, people);
    let truth = quantile(law, fmr);
    let inside = (0..40).filter(|seed| {
        let fitted = fit(&prior, &site([(ROW, strangers(&mut Random(100 + seed), 3000, people, law))]));
        let (low, high) = interval_at(&fitted.table.bin[1].frames[1], fmr).expect("reckoned");
        (low..high).contains(&truth)
    });
    let inside = inside.count();
    assert!(inside >= 34, "{inside} of 40 intervals of 95 % hold {truth:.3}");
}

#[test]
fn a_row_nobody_passed_learns_from_its_neighbours() {
    let prior = prior();
    let fitted = fit(&prior, &site([(ROW, strangers(&mut Random(2), 4000, 40, (0.08, 0.1)))]));
    let (own, beside) = (shifts(&fitted, &prior, 1, 1)[1], shifts(&fitted, &prior, 1, 2)[1]);
    assert!(beside > 0.015 && beside < own, "{beside} beside {own}");
    assert!(shifts(&fitted, &prior, 0, 0)[1].abs() < 1e-9, "two steps away");
}

#[test]
fn strangers_who_cannot_be_told_from_the_enrolled_make_the_row_undecidable_with_a_reason() {
    let prior = prior();
    let rows = [8_000, 16_000].map(|from_mpx| RowKey { from_mpx, frames: 3 });
    let fitted = fit(&prior, &site(rows.map(|row| (row, strangers(&mut Random(2), 4000, 40, (0.45, 0.1))))));
    let row = &fitted.table.bin[1].frames[1];
    assert!(!row.decidable && row.reason.contains("this site's strangers"), "{row:?}");
    assert!(!fitted.table.bin[0].frames[1].decidable, "the smaller size goes along");
}

#[test]
fn labelled_people_make_a_row_decidable_that_was_not() {
    let mut prior = prior();
    prior.bin.iter_mut().for_each(|bin| bin.frames.iter_mut().for_each(|row| row.decidable = false));
    let mut random = Random(4);
    let scores: Vec<Vec<f32>> = (0..120).map(|_| (0..119).map(|_| random.cosine(0.0, 0.1)).collect()).collect();
    let genuine: Vec<f32> = (0..360).map(|_| random.cosine(0.55, 0.1)).collect();
    let row = RowEvidence { curve: Curve::from_labelled(&scores), genuine, genuine_people: 120 };
    let labelled = SiteScores { kind: SourceKind::Labelled, rows: [(ROW, row)].into(), ..site([]) };
    let fitted = fit(&prior, &labelled);
    assert!(fitted.table.bin[1].frames[1].decidable);
    assert!(!fitted.table.bin[1].frames[2].decidable, "a row without scores of its own stays as it was");
    assert!(fitted.table.bin[1].frames[1].genuine_mean > 0.52);
    Calibration::try_new(fitted.table).expect("a valid table");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_site_saw_the_table_is_valid_and_its_lines_rise(
        seed in any::<u64>(),
        tracks in prop::collection::vec(0_usize..400, 6),
        people in 2_usize..60,
        mean in -0.2_f64..0.5,
        std in 0.02_f64..0.25,
    ) {
        let prior = prior();
        let mut random = Random(seed);
        let keys = [8_000, 16_000].into_iter().flat_map(|from_mpx| [1, 3, 6].map(|frames| RowKey { from_mpx, frames }));
        let rows: Vec<_> =
            keys.zip(tracks).map(|(key, tracks)| (key, strangers(&mut random, tracks, people, (mean, std)))).collect();
        let table = fit(&prior, &site(rows)).table;
        for (b, bin) in table.bin.iter().enumerate() {
            for (f, row) in bin.frames.iter().enumerate() {
                let crossing = |row: &RawRow| -row.llr_offset / row.llr_slope;
                if f > 0 {
                    prop_assert!(row.llr_slope >= bin.frames[f - 1].llr_slope);
                    prop_assert!(crossing(row) >= crossing(&bin.frames[f - 1]) - 2e-3);
                }
                if b > 0 {
                    prop_assert!(row.llr_slope >= table.bin[b - 1].frames[f].llr_slope);
                    prop_assert!(!table.bin[b - 1].frames[f].decidable || row.decidable);
                }
            }
        }
        prop_assert!(Calibration::try_new(table).is_ok());
    }
}
