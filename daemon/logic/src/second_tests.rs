//! The second network's judgement: agreement, opposition and silence, by size and by what is known of the pair.

use super::*;
use crate::calibration::tests::plain_raw;
use crate::calibration::{Pairing, RawPair, RawPairBin};
use crate::face::Alignment;
use crate::gallery::Member;

fn unit(values: &[f32]) -> Embedding {
    Embedding::try_new(values).expect("finite")
}

fn person(name: &str) -> PersonId {
    PersonId::try_new(name).expect("a name")
}

fn staff() -> ListId {
    ListId::try_new("staff").expect("a name")
}

fn quality(inter_eye_px: f32) -> Quality {
    Quality {
        inter_eye_px,
        sharpness: 1.0,
        yaw_deg: 0.0,
        roll_deg: 0.0,
        brightness: 0.5,
        contrast: 0.2,
        alignment: Alignment::Landmarks,
    }
}

/// Ann along the first axis, bob along the second. A log likelihood ratio is 50 times the cosine less 12.5.
fn network(reach: &[(f32, f64)]) -> SecondNetwork {
    let member = |name: &str| Member { person: person(name), list: staff() };
    let people = [(member("ann"), unit(&[1.0, 0.0, 0.0])), (member("bob"), unit(&[0.0, 1.0, 0.0]))];
    let calibration = Calibration::try_new(plain_raw()).expect("a valid table");
    let pair = RawPair {
        id: "test".into(),
        first: "f".into(),
        second: "s".into(),
        first_weight: 0.5,
        second_weight: 0.8,
        offset: -1.0,
        bin: reach
            .iter()
            .map(|&(from, llr)| RawPairBin { inter_eye_px_min: from, reach_llr: llr, tracks: 100 })
            .collect(),
    };
    let calibration = match Pairing::try_new(&pair) {
        Ok(pairing) => calibration.as_second(pairing),
        Err(_) => calibration,
    };
    let gallery = Arc::new(Gallery::try_new(1, "second", people).expect("a gallery"));
    SecondNetwork { gallery, calibration: Arc::new(calibration) }
}

/// Three pictures at a cosine of `cosine` to ann and of `other` to bob.
fn pictures(cosine: f32, other: f32, px: f32) -> SecondAnswer {
    let rest = (1.0 - cosine * cosine - other * other).sqrt();
    SecondAnswer::Embeddings(vec![(unit(&[cosine, other, rest]), quality(px)); 3])
}

const POLICY: SecondPolicy = SecondPolicy { frames: 5, agrees_llr_min: 4.0, withdraw_llr_max: -1.0 };

fn about_ann(network: &SecondNetwork, answer: &SecondAnswer) -> SecondSaid {
    network.judge(answer, &person("ann"), &[staff()], 6.0, &POLICY)
}

#[test]
fn evidence_between_against_and_enough_leaves_the_question_open() {
    let network = network(&[(4.0, 9.0)]);
    let SecondSaid::Agrees(opinion) = about_ann(&network, &pictures(0.35, 0.0, 20.0)) else { panic!("5.0 is enough") };
    assert!(opinion.agrees && (opinion.llr - 5.0).abs() < 1e-3 && opinion.frames_used == 3, "{opinion:?}");
    assert!((opinion.combined_llr - (0.5 * 6.0 + 0.8 * 5.0 - 1.0)).abs() < 1e-3, "{opinion:?}");
    assert_eq!((opinion.model_digest.as_str(), opinion.calibration_id.as_str()), ("second", "test"));
    let open = about_ann(&network, &pictures(0.31, 0.0, 20.0));
    assert!(
        matches!(&open, SecondSaid::Open(Some(opinion)) if !opinion.agrees),
        "3.0 is less than asked for: {open:?}"
    );
    assert!(matches!(about_ann(&network, &pictures(0.22, 0.0, 20.0)), SecondSaid::Against(_)), "-1.5 speaks against");
}

#[test]
fn where_true_candidates_reach_less_less_is_asked_for_and_never_below_zero() {
    let network = network(&[(4.0, -2.0), (8.0, 2.0), (16.0, 9.0)]);
    let agrees = |cosine, px| matches!(about_ann(&network, &pictures(cosine, 0.0, px)), SecondSaid::Agrees(_));
    assert!(agrees(0.34, 20.0) && !agrees(0.32, 20.0), "the policy's 4.0 where people reach 9.0");
    assert!(agrees(0.30, 10.0) && !agrees(0.28, 10.0), "2.0 where they reach no more");
    assert!(agrees(0.251, 5.0) && !agrees(0.249, 5.0), "0 where they do not even reach that");
}

#[test]
fn an_unmeasured_pair_is_judged_by_the_second_networks_own_calibration_and_the_mean() {
    let network = network(&[]);
    // Genuine cosines 0.5 +- 0.1: 95 of 100 reach 0.3355, a log likelihood ratio of 4.3.
    assert!(network.calibration.pairing().is_none());
    let SecondSaid::Agrees(opinion) = about_ann(&network, &pictures(0.34, 0.0, 20.0)) else { panic!("above 4.0") };
    assert!((opinion.combined_llr - f32::midpoint(6.0, opinion.llr)).abs() < 1e-3, "{opinion:?}");
    let strict = SecondPolicy { agrees_llr_min: 20.0, ..POLICY };
    let said = |cosine| network.judge(&pictures(cosine, 0.0, 20.0), &person("ann"), &[staff()], 6.0, &strict);
    assert!(matches!(said(0.34), SecondSaid::Agrees(_)) && matches!(said(0.33), SecondSaid::Open(_)));
}

#[test]
fn somebody_nearer_is_no_agreement_unless_the_camera_may_not_match_them() {
    let network = network(&[(4.0, 9.0)]);
    let answer = pictures(0.5, 0.6, 20.0);
    assert!(matches!(about_ann(&network, &answer), SecondSaid::Open(Some(_))), "bob is nearer");
    let guests = ListId::try_new("guests").expect("a name");
    let said = network.judge(&answer, &person("ann"), &[guests], 6.0, &POLICY);
    assert!(matches!(said, SecondSaid::Agrees(_)), "bob's list is not this camera's: {said:?}");
}

#[test]
fn what_cannot_be_compared_stays_open_and_never_agrees() {
    let network = network(&[(4.0, 9.0)]);
    assert_eq!(about_ann(&network, &SecondAnswer::Silent("busy".into())), SecondSaid::Open(None));
    assert_eq!(about_ann(&network, &SecondAnswer::Embeddings(Vec::new())), SecondSaid::Open(None));
    assert_eq!(about_ann(&network, &pictures(0.9, 0.0, 1.0)), SecondSaid::Open(None), "no row for 1 px");
    let other = SecondAnswer::Embeddings(vec![(unit(&[1.0, 0.0]), quality(20.0))]);
    assert_eq!(about_ann(&network, &other), SecondSaid::Open(None), "another network's vector");
    let said = network.judge(&pictures(0.9, 0.0, 20.0), &person("cat"), &[staff()], 6.0, &POLICY);
    assert_eq!(said, SecondSaid::Open(None), "nobody enrolled cat with it");
}
