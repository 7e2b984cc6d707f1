//! The judge over people, tracks and networks made by hand.

use super::*;
use crate::config::Settings;
use crate::measure::ProbeFrame;
use sekisho_logic::calibration::{RawBin, RawCalibration, RawRow, RawTail};
use sekisho_logic::face::{Alignment, Quality};
use std::path::PathBuf;
use std::time::Duration;

/// One bin from 8 px up: impostors N(0, 0.1), genuine around 0.5.
pub(crate) fn calibration() -> Arc<Calibration> {
    let tail = [(1e-1, 0.128), (1e-2, 0.233), (1e-3, 0.309), (1e-4, 0.372), (1e-5, 0.426)];
    let row = RawRow {
        n: 1,
        decidable: true,
        reason: String::new(),
        genuine_count: 500,
        genuine_mean: 0.5,
        genuine_std: 0.1,
        impostor_count: 100_000,
        impostor_identities: 500,
        impostor_mean: 0.0,
        impostor_std: 0.1,
        site_count: None,
        llr_slope: 50.0,
        llr_offset: -12.5,
        tail: tail.iter().map(|&(fmr, cosine)| RawTail::counted(fmr, cosine)).collect(),
    };
    let raw = RawCalibration {
        format: 1,
        id: "test".into(),
        model_digest: "feed".into(),
        preprocessing: "1".into(),
        source: String::new(),
        date: None,
        source_kind: None,
        prior_id: None,
        bin: vec![RawBin { inter_eye_px_min: 8.0, inter_eye_px_max: None, frames: vec![row] }],
    };
    Arc::new(Calibration::try_new(raw).expect("a valid table"))
}

fn unit(values: &[f32]) -> Embedding {
    Embedding::try_new(values).expect("finite")
}

fn enrolled() -> Vec<Enrolled> {
    let person = |label: &str, at: usize| {
        let mut values = [0.0; 4];
        values[at] = 1.0;
        Enrolled { label: label.into(), prototype: unit(&values), second: None, templates: 1 }
    };
    vec![person("ann", 0), person("bob", 1)]
}

fn track(medium: Medium, frames: u64, embedding: &Embedding, px: f32) -> ProbeTrack {
    let quality = Quality {
        inter_eye_px: px,
        sharpness: 1.0,
        yaw_deg: 0.0,
        roll_deg: 0.0,
        brightness: 0.5,
        contrast: 0.2,
        alignment: Alignment::Landmarks,
    };
    let frame =
        |at| ProbeFrame { at: Mono::from_millis(at * 400), embedding: embedding.clone(), quality, second: None };
    ProbeTrack {
        person: None,
        unit: "x".into(),
        source: PathBuf::from("x.mp4"),
        medium,
        faces: u32::try_from(frames).expect("few"),
        largest_px: px,
        frames: (0..frames).map(frame).collect(),
        unfit: BTreeMap::new(),
    }
}

fn court() -> Court {
    let policy = crate::site::policy(&Settings::default());
    let list = ListId::try_new("watch").expect("a name");
    Court::new(&enrolled(), (policy, list), (calibration(), None), vec![0.01]).expect("a gallery")
}

#[test]
fn a_filmed_person_is_found_confirmed_and_a_stranger_is_not() {
    let (ann, nobody) = (unit(&[0.9, 0.0, 0.3, 0.0]), unit(&[0.1, 0.0, 0.0, 1.0]));
    let court = court();
    let found = &court.hear(0, Some(0), &[&track(Medium::Clip, 12, &ann, 20.0)])[0];
    assert_eq!((found.end, found.named, found.confirmed), (End::Candidate, Some(0), true));
    let other = &court.hear(1, None, &[&track(Medium::Clip, 12, &nobody, 20.0)])[0];
    assert_eq!((other.named, other.confirmed), (None, false));
    let alone = court.without(&enrolled(), 0).expect("a gallery");
    let stand_in = &alone.hear(2, None, &[&track(Medium::Clip, 12, &ann, 20.0)])[0];
    assert_eq!((stand_in.named, stand_in.left_out), (None, Some(0)), "she is nobody there");
}

/// The second network knows ann, by another direction of another size, and takes what it is shown for `it_sees`.
fn with_second(it_sees: &[f32]) -> (Court, ProbeTrack) {
    let policy = crate::site::policy(&Settings::default());
    let list = ListId::try_new("watch").expect("a name");
    let mut people = enrolled();
    people[0].second = Some(unit(&[0.0, 1.0, 0.0]));
    let calibrations = (calibration(), Some(calibration()));
    let court = Court::new(&people, (policy, list), calibrations, vec![0.01]).expect("galleries");
    let mut track = track(Medium::Clip, 12, &unit(&[0.9, 0.0, 0.3, 0.0]), 20.0);
    track.frames.iter_mut().for_each(|frame| frame.second = Some(unit(it_sees)));
    (court, track)
}

#[test]
fn a_second_network_confirms_only_with_its_own_eyes() {
    let (court, track) = with_second(&[0.1, 0.9, 0.0]);
    let agreed = &court.hear(0, Some(0), &[&track])[0];
    assert_eq!((agreed.named, agreed.confirmed, agreed.confirmed_alone), (Some(0), true, true));
    let (court, track) = with_second(&[1.0, 0.0, 0.1]);
    let refused = &court.hear(0, Some(0), &[&track])[0];
    assert_eq!((refused.named, refused.confirmed, refused.confirmed_alone), (Some(0), false, true));
    let (court, mut unseen) = with_second(&[0.1, 0.9, 0.0]);
    unseen.frames.iter_mut().for_each(|frame| frame.second = None);
    let unasked = &court.hear(0, Some(0), &[&unseen])[0];
    assert_eq!((unasked.named, unasked.confirmed), (Some(0), false), "nothing to show is no agreement");
}

#[test]
fn a_photograph_is_judged_at_its_one_frame_and_a_clip_is_not() {
    let (court, ann) = (court(), unit(&[0.9, 0.0, 0.3, 0.0]));
    let photo = &court.hear(0, Some(0), &[&track(Medium::Photo, 1, &ann, 20.0)])[0];
    assert_eq!((photo.end, photo.named), (End::Candidate, Some(0)));
    let clip = &court.hear(0, Some(0), &[&track(Medium::Clip, 1, &ann, 20.0)])[0];
    assert_eq!(clip.end, End::Undecided(Undecidable::TooFewFrames));
    assert_eq!(clip.looks.len(), 1, "judged once at one frame all the same");
}

#[test]
fn what_cannot_be_compared_or_decided_says_why() {
    let (court, ann) = (court(), unit(&[0.9, 0.0, 0.3, 0.0]));
    let small = &court.hear(0, Some(0), &[&track(Medium::Clip, 12, &ann, 5.0)])[0];
    assert_eq!(small.end, End::Undecided(Undecidable::NoCalibration));
    let nothing = &court.hear(0, Some(0), &[&track(Medium::Clip, 0, &ann, 0.0)])[0];
    assert_eq!(nothing.end, End::Unacquired(measure::Failure::NoFace));
    let blurred = ProbeTrack {
        faces: 4,
        unfit: [(sekisho_logic::face::Unfit::Blurred, 4)].into(),
        ..track(Medium::Clip, 0, &ann, 20.0)
    };
    let blurred = &court.hear(0, Some(0), &[&blurred])[0];
    assert_eq!(blurred.end, End::Unacquired(measure::Failure::Unfit(Undecidable::Blurred)));
    assert!(court.threshold(20.0, 3, 4) > court.threshold(20.0, 3, 1), "more looks share the permitted error");
    assert_eq!(court.threshold(5.0, 3, 1), None);
    assert_eq!(track(Medium::Clip, 12, &ann, 20.0).fused(6, Duration::from_millis(250)).used(), 6);
}
