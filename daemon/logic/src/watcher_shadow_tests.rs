//! What is counted about strangers, what shadow mode leaves out, and what a stale calibration does.

use super::tests::{World, like, policy};
use super::*;
use crate::calibrate::tally::RowKey;
use crate::calibration::tests::plain;
use crate::policy::{ConfirmBy, OnDrift};
use crate::record::Verdict;

const ROW: RowKey = RowKey { from_mpx: 4_000, frames: 2 };

fn camera(name: &str) -> CameraId {
    CameraId::try_new(name).expect("name")
}

#[test]
fn a_stranger_is_counted_once_a_row_and_nothing_of_them_is_kept() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.05)), 9_000).wait(6_000).expect(&[]);
    let counted = world.watcher.take_counted();
    let rows: Vec<_> = counted.rows.iter().map(|(row, tally)| (*row, tally.tracks(), tally.comparisons())).collect();
    // Looks at 3, 6 and 12 frames; the table has rows from 2 and from 6. Two of three people, the best left out.
    assert_eq!(rows, [(ROW, 1, 2), (RowKey { frames: 6, ..ROW }, 1, 2)]);
    assert_eq!(counted.traffic[&camera("gate")].strangers, 1);
    assert!(world.watcher.take_counted().is_empty(), "taken is taken");
}

#[test]
fn whoever_is_identified_is_no_stranger() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 3_000).wait(6_000);
    let counted = world.watcher.take_counted();
    assert!(counted.rows.is_empty(), "{counted:?}");
    let traffic = counted.traffic[&camera("gate")];
    assert_eq!((traffic.strangers, traffic.candidates), (0, 1));
}

#[test]
fn nothing_is_counted_when_the_configuration_says_so() {
    let mut world = World::new(ConfirmBy::Machine);
    world.watcher.on_policy(Policy { counts_strangers: false, ..policy(ConfirmBy::Machine) });
    world.show("gate", 1, &Ok(like("ann", 0.05)), 9_000).wait(6_000);
    assert!(world.watcher.take_counted().rows.is_empty());
}

#[test]
fn a_shadow_camera_counts_names_nobody_and_raises_nothing_while_its_neighbour_does() {
    let mut world = World::new(ConfirmBy::Machine);
    let mut shadow = policy(ConfirmBy::Machine);
    shadow.cameras.get_mut(&camera("gate")).expect("configured").mode = Mode::Shadow;
    world.watcher.on_policy(shadow);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 6_000).expect(&[]);
    world.wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotDecidable(Undecidable::ShadowMode));
    assert_eq!(world.watcher.take_counted().traffic[&camera("gate")].candidates, 1, "it would have been one");
    world.show("yard", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
}

#[test]
fn votes_are_counted_by_what_they_decide() {
    let mut world = World::new(ConfirmBy::Human);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 2_100);
    let open = world.watcher.open_alerts().next().expect("machine-confirmed").id.clone();
    let now = Now { mono: crate::time::Mono::from_millis(4_000), wall: crate::time::WallMs(4_000) };
    let ballot = Ballot { reviewer: "uid:1".into(), verdict: Verdict::Reject, reason: None };
    world.watcher.on_vote(now, &open, &ballot).expect("taken");
    let counted = world.watcher.take_counted();
    assert_eq!((counted.confirmed, counted.rejected), (0, 1));
}

#[test]
fn a_stale_calibration_goes_on_tightens_or_withholds_as_the_policy_says() {
    // 0.34 passes at the usual rate and not at a tenth of it.
    let weak = || Ok(like("ann", 0.34));
    for (on_drift, candidate, confirmed) in
        [(OnDrift::Warn, true, true), (OnDrift::Tighten, false, false), (OnDrift::SuspendConfirmation, true, false)]
    {
        let mut world = World::new(ConfirmBy::Machine);
        world.watcher.on_standing(Standing::stale(on_drift));
        // A reload does not make it fresh.
        world.watcher.on_policy(policy(ConfirmBy::Machine));
        world.show("gate", 1, &weak(), 3_000);
        let counted: Vec<_> = world.watcher.open_alerts().map(|alert| alert.stage).collect();
        let first: &[(Stage, &str)] = match (candidate, confirmed) {
            (true, true) => &[(Stage::Candidate, "ann"), (Stage::MachineConfirmed, "ann"), (Stage::Confirmed, "ann")],
            (true, false) => &[(Stage::Candidate, "ann")],
            (false, _) => &[],
        };
        world.expect(first);
        assert_eq!(counted.len(), usize::from(candidate && !confirmed), "{on_drift:?}");
    }
}

#[test]
fn another_calibration_is_in_force_at_once_and_old_looks_do_not_count_for_it() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.05)), 1_500);
    world.watcher.on_calibration(Arc::new(plain()));
    world.wait(6_000);
    assert!(world.watcher.take_counted().rows.is_empty());
}
