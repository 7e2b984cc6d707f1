use super::*;
use crate::testing::{Bench, enrolment, list, person, story};
use crate::{Enrol, EvidenceKeep, NewEvidence};
use sekisho_logic::record::AlertId;

fn ann() -> (Bench, PersonId) {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1"), "uid:0", WallMs(1)).expect("enrolled");
    (bench, person("ann-1"))
}

fn actions(bench: &mut Bench) -> Vec<String> {
    bench.store.audit_entries(0, 100).expect("trail").into_iter().map(|entry| entry.action).collect()
}

#[test]
fn restriction_and_release_need_a_reason_and_a_withdrawn_person_is_not_released() {
    let (mut bench, ann) = ann();
    let restrict = (None, PersonStatus::Restricted);
    let release = (Some(PersonStatus::Restricted), PersonStatus::Active);
    let mut set = |change, reason| bench.store.change_status(&ann, change, reason, "uid:7", WallMs(5));
    assert!(matches!(set(restrict, " "), Err(StoreError::Refused { .. })));
    assert!(set(restrict, "Art. 18").expect("set"));
    assert!(!set(restrict, "again").expect("so already"));
    assert!(set(release, "settled").expect("set"));
    assert!(set((None, PersonStatus::Withdrawn), "asked").expect("set"));
    let error = set(release, "oops").expect_err("refused").to_string();
    assert!(error.contains("withdrawn"), "{error}");
    let nobody = bench.store.change_status(&person("bob-2"), restrict, "x", "uid:7", WallMs(5));
    assert!(matches!(nobody, Err(StoreError::NotEnrolled { .. })));
    assert_eq!(actions(&mut bench), ["enrol", "status", "status", "status"]);
}

#[test]
fn a_correction_is_audited_without_the_name() {
    let (mut bench, ann) = ann();
    let correction = Correction { list: Some(list("staff")), display_name: Some("Anna Canary".into()) };
    assert_eq!(bench.store.correct(&ann, &correction, "uid:7", WallMs(5)).expect("done"), ["list", "display-name"]);
    assert!(bench.store.correct(&ann, &correction, "uid:7", WallMs(6)).expect("done").is_empty());
    let found = bench.store.person(&ann).expect("read").expect("there");
    assert_eq!((found.list.as_str(), found.display_name.as_deref()), ("staff", Some("Anna Canary")));
    let remove = Correction { list: None, display_name: Some(" ".into()) };
    assert_eq!(bench.store.correct(&ann, &remove, "uid:7", WallMs(7)).expect("done"), ["display-name"]);
    assert_eq!(bench.store.person(&ann).expect("read").expect("there").display_name, None);
    let trail = bench.store.audit_entries(0, 100).expect("trail");
    assert!(
        trail.iter().all(|entry| !entry.detail.contains("Canary") && !entry.detail.contains("Example")),
        "{trail:?}"
    );
}

#[test]
fn a_hold_stops_erasure_expiry_and_purge_and_is_audited() {
    let (mut bench, ann) = ann();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("journalled");
    let picture = crate::evidence::tests::png(8, 8, 3);
    let new = NewEvidence {
        alert: AlertId("a-1".into()),
        person: ann.clone(),
        taken: WallMs(1000),
        inter_eye_px: 20.0,
        quality: "{}".into(),
        png: picture,
    };
    assert_eq!(bench.store.keep_evidence(&[new], WallMs(1000), WallMs(2000), 8).expect("kept"), 1);
    assert!(bench.store.hold(&ann, "case 7", "uid:7", WallMs(1500)).expect("held"));
    assert!(!bench.store.hold(&ann, "again", "uid:7", WallMs(1600)).expect("the first stands"));
    assert_eq!(bench.store.holds().expect("read")[0].reason, "case 7");

    let keep = EvidenceKeep { unconfirmed_ms: 1, rejected_ms: 1, confirmed_ms: 1, at_most_ms: Vec::new() };
    let forget = |bench: &mut Bench| {
        let stock = bench.store.settle_evidence(&keep, WallMs(9_000_000)).expect("settled");
        let gone = bench.store.forget_evidence(WallMs(9_000_000), 9).expect("asked");
        (stock.due, gone)
    };
    assert_eq!(forget(&mut bench), (0, 0), "not due while held");
    assert_eq!(bench.store.forget_oldest_evidence(WallMs(9_000_000), 9).expect("asked"), 0, "not for room either");
    let error = bench.store.erase(&ann, crate::ErasureCause::Asked, "uid:7", WallMs(9_000_000)).expect_err("held");
    assert!(matches!(error, StoreError::Held { .. }) && error.to_string().contains("unhold"), "{error}");

    assert!(bench.store.unhold(&ann, "closed", "uid:7", WallMs(9_000_001)).expect("lifted"));
    assert!(!bench.store.unhold(&ann, "closed", "uid:7", WallMs(9_000_001)).expect("none left"));
    assert_eq!(forget(&mut bench), (1, 1));
    bench.store.erase(&ann, crate::ErasureCause::Asked, "uid:7", WallMs(9_000_002)).expect("erased");
    let trail = actions(&mut bench);
    for action in ["hold", "unhold", "erased"] {
        assert_eq!(trail.iter().filter(|one| *one == action).count(), 1, "{trail:?}");
    }
}
