use super::*;
use crate::calibration::tests::plain;
use crate::face::Alignment;

const NOW: WallMs = WallMs(1_800_000_000_000);
const GATE: Gate = Gate { sharpness_min: 0.02, yaw_deg_max: 45.0, brightness: (0.04, 0.95), contrast_min: 0.02 };

fn person(name: &str) -> PersonId {
    PersonId::try_new(name).expect("a name")
}

fn good() -> Quality {
    Quality {
        inter_eye_px: 80.0,
        sharpness: 0.6,
        yaw_deg: 3.0,
        roll_deg: 0.0,
        brightness: 0.5,
        contrast: 0.2,
        alignment: Alignment::Landmarks,
    }
}

/// A unit vector at this cosine to the first axis, and otherwise along axis `along`.
fn at(cosine: f32, along: usize) -> Embedding {
    let mut vector = vec![0.0; 8];
    vector[0] = cosine;
    vector[along] = (1.0 - cosine * cosine).sqrt();
    Embedding::try_new(&vector).expect("finite")
}

fn photo(name: &str, quality: Quality, template: Embedding) -> Photo {
    let face = Ok(Face { quality, templates: vec![template] });
    Photo { name: name.into(), sha256: name.into(), added: None, face }
}

fn judged(photos: &[Photo]) -> Vec<(&'static str, Severity, Vec<String>)> {
    let calibration = plain();
    let bench = Bench { gate: GATE, calibrations: &[&calibration], now: NOW };
    let found = photographs(&person("ann-1"), photos, &bench);
    assert!(found.iter().all(|one| one.advice.ends_with('.') && !one.said.is_empty()));
    found.into_iter().map(|one| (one.kind, one.severity, one.photos)).collect()
}

fn kinds(photos: &[Photo]) -> Vec<(&'static str, Severity)> {
    judged(photos).into_iter().map(|(kind, severity, _)| (kind, severity)).collect()
}

#[test]
fn two_good_photographs_of_one_person_are_nothing_to_speak_of() {
    assert!(judged(&[photo("a", good(), at(0.8, 1)), photo("b", good(), at(0.8, 2))]).is_empty());
    assert_eq!(kinds(&[photo("a", good(), at(0.8, 1))]), [("few-photos", Severity::Warning)]);
}

#[test]
fn a_poor_photograph_is_warned_of_and_one_that_no_camera_would_be_compared_with_is_refused() {
    let one = |quality| {
        let found = kinds(&[photo("a", quality, at(0.8, 1)), photo("b", good(), at(0.8, 2))]);
        assert_eq!(found.len(), 1, "{found:?}");
        found[0]
    };
    let warned = |kind| (kind, Severity::Warning);
    assert_eq!(one(Quality { inter_eye_px: 30.0, ..good() }), warned("small-face"));
    assert_eq!(one(Quality { sharpness: 0.1, ..good() }), warned("blurred"));
    assert_eq!(one(Quality { sharpness: 0.01, ..good() }), ("blurred", Severity::Error));
    assert_eq!(one(Quality { yaw_deg: -30.0, ..good() }), warned("turned"));
    assert_eq!(one(Quality { yaw_deg: 50.0, ..good() }), ("turned", Severity::Error));
    assert_eq!(one(Quality { brightness: 0.1, ..good() }), warned("light"));
    assert_eq!(one(Quality { brightness: 0.97, ..good() }), ("light", Severity::Error));
    assert_eq!(one(Quality { contrast: 0.01, ..good() }), ("contrast", Severity::Error));
}

#[test]
fn a_photograph_without_a_usable_face_is_an_error_with_its_own_words() {
    let broken = Photo { face: Err("2 faces were found".into()), ..photo("b", good(), at(0.8, 2)) };
    let found = judged(&[photo("a", good(), at(0.8, 1)), broken]);
    assert_eq!(found[0], ("no-usable-face", Severity::Error, vec!["b".to_owned()]));
    assert_eq!(found[1].0, "few-photos", "one usable photograph is left");
}

#[test]
fn the_same_picture_twice_is_found_by_file_and_by_face() {
    let twice = Photo { sha256: "a".into(), ..photo("b", good(), at(0.5, 2)) };
    let found = judged(&[photo("a", good(), at(0.8, 1)), twice]);
    assert_eq!(found[0], ("duplicate-photo", Severity::Warning, vec!["a".to_owned(), "b".to_owned()]));
    let alike = judged(&[photo("a", good(), at(0.8, 1)), photo("b", good(), at(0.81, 1))]);
    assert_eq!(alike[0].0, "duplicate-photo");
}

#[test]
fn a_photograph_of_somebody_else_is_an_error_and_of_two_nobody_knows_which() {
    let own = || vec![photo("a", good(), at(0.9, 1)), photo("b", good(), at(0.9, 2)), photo("c", good(), at(0.9, 3))];
    let mut photos = own();
    photos.push(photo("stranger", good(), at(-0.1, 4)));
    assert_eq!(judged(&photos), [("outlier-photo", Severity::Error, vec!["stranger".to_owned()])]);
    let two = [photo("a", good(), at(1.0, 1)), photo("b", good(), at(0.0, 2))];
    assert_eq!(judged(&two), [("outlier-photo", Severity::Error, vec!["a".to_owned(), "b".to_owned()])]);
}

#[test]
fn an_old_photograph_is_due() {
    let old = Photo { added: Some(WallMs(NOW.0 - 6 * 365 * 86_400_000)), ..photo("a", good(), at(0.8, 1)) };
    assert_eq!(kinds(&[old, photo("b", good(), at(0.8, 2))]), [("old-photo", Severity::Warning)]);
}

#[test]
fn who_is_alike_is_named_with_how_often_it_would_go_wrong() {
    let calibration = plain();
    let operating = [Operating { from_px: 20.0, frames: 3, cosine: 0.4 }];
    let (ann, eve, bob) = (person("ann-1"), person("eve-1"), person("bob-1"));
    let (front, twin, other) = (at(1.0, 1), at(0.9, 2), at(0.1, 3));
    let all = [
        Entry { person: &ann, prototype: &front },
        Entry { person: &eve, prototype: &twin },
        Entry { person: &bob, prototype: &other },
    ];
    let found = confusable(None, &all, &calibration, &operating);
    assert_eq!(found.len(), 1, "{found:?}");
    let pair = (found[0].person.as_str(), found[0].other.as_ref().map(PersonId::as_str));
    assert_eq!(pair, ("eve-1", Some("ann-1")));
    assert!(found[0].said.contains('%') && found[0].said.contains("0.90"), "{}", found[0].said);
    assert!(confusable(Some(all[2]), &all, &calibration, &operating).is_empty(), "bob is like nobody");
    assert_eq!(confusable(Some(all[0]), &all, &calibration, &operating).len(), 1, "nobody is confused with themselves");
}

#[test]
fn the_share_grows_with_similarity_and_never_beats_being_the_person() {
    let calibration = plain();
    let operating = Operating { from_px: 20.0, frames: 3, cosine: 0.4 };
    let row = calibration.row(20.0, 3).expect("decidable");
    let shares: Vec<_> = [0.0, 0.3, 0.6, 0.9, 1.0].map(|c| confusion(c, row, &operating)).to_vec();
    assert!(shares.is_sorted_by(|a, b| a.share <= b.share), "{shares:?}");
    assert!(shares.iter().all(|one| one.share_both <= one.share + 1e-12));
    let own = row.genuine_share(operating.cosine);
    assert!((shares[4].share - own).abs() < 1e-9, "an exact double raises the other as often as oneself");
    assert!(shares[0].share < 1e-3, "a stranger is a stranger: {:?}", shares[0]);
}

#[test]
fn the_size_of_the_gallery_is_explained() {
    let size = GallerySize::of(100, 1e-3, 500.0);
    assert!((1.0 - (1.0 - size.fmr).powi(100) - 1e-3).abs() < 1e-9);
    assert!((size.false_candidates_per_camera_day - 0.5).abs() < 1e-12);
    let said = size.said();
    assert!(said.contains("100 people") && said.contains("0.50 false candidates"), "{said}");
}
