//! Surveys of imagined cameras.

use super::*;
use crate::advice::{Advice, Assumed, Grade, assess};
use crate::calibration::tests::plain;
use crate::face::Alignment;
use crate::figures::{Dori, px_per_m};

const ASSUMED: Assumed = Assumed { view_deg: 80.0, look: 3, confirm_look: 3 };

fn survey() -> Survey {
    let policy = SurveyPolicy { looks: vec![3, 6, 12], confirm_looks: vec![3], target_fpir: 0.001, people: 100 };
    Survey::new(policy, Arc::new(plain()))
}

fn quality(px: f32) -> Quality {
    Quality {
        inter_eye_px: px,
        sharpness: 0.5,
        yaw_deg: 4.0,
        roll_deg: 0.0,
        brightness: 0.5,
        contrast: 0.2,
        alignment: Alignment::Landmarks,
    }
}

/// One track of `faces` faces that ends.
fn pass(survey: &mut Survey, track: u64, hour: u8, faces: u32, quality: Quality, fit: Result<(), Unfit>) {
    for at in 0..faces {
        let face =
            MeasuredFace { track: TrackId(track), box_in_frame: Rect::new(300.0, 100.0, 40.0, 50.0), quality, fit };
        let ended = [TrackId(track)];
        let ended = if at + 1 == faces { &ended[..] } else { &[] };
        survey.on_frame(&Seen { hour, frame_px: (640.0, 360.0), brightness: 0.4, faces: &[face], ended });
    }
}

#[test]
fn tracks_are_decidable_as_the_judge_would_have_it() {
    let mut survey = survey();
    pass(&mut survey, 1, 9, 8, quality(20.0), Ok(()));
    pass(&mut survey, 2, 9, 3, quality(20.0), Ok(()));
    pass(&mut survey, 3, 9, 8, quality(3.0), Ok(()));
    pass(&mut survey, 4, 17, 2, quality(20.0), Ok(()));
    pass(&mut survey, 5, 17, 8, quality(20.0), Err(Unfit::Pose));
    pass(&mut survey, 6, 17, 1, quality(20.0), Ok(()));
    let figures = survey.figures();
    assert_eq!((figures.tracks, figures.tracks_seen_once), (5, 1));
    assert_eq!((figures.tracks_decidable, figures.tracks_confirmable), (2, 1), "the second has no later frames");
    let undecided: Vec<_> = figures.undecided.iter().map(|(why, count)| (*why, *count)).collect();
    assert_eq!(undecided, [("no-calibration", 1), ("pose", 1), ("too-few-frames", 1)]);
    let hours: Vec<_> = figures.hours.iter().map(|hour| (hour.hour, hour.tracks, hour.decidable)).collect();
    assert_eq!(hours, [(9, 3, 2), (17, 2, 0)]);
    assert_eq!(figures.places.len(), 1);
    assert_eq!((figures.places[0].column, figures.places[0].row, figures.places[0].faces), (8, 3, 30));
}

#[test]
fn the_estimate_is_the_share_of_genuine_scores_above_the_threshold_in_force() {
    let mut survey = survey();
    pass(&mut survey, 1, 9, 3, quality(20.0), Ok(()));
    pass(&mut survey, 2, 9, 2, quality(20.0), Ok(()));
    let table = plain();
    let row = table.row(20.0, 3).expect("a row");
    let expected = row.genuine_share(row.threshold(fmr_for_fpir(0.001 / 3.0, 100))) / 2.0;
    let found = survey.figures().found_share.expect("tracks");
    assert!(
        (found - expected).abs() < 1e-9 && found > 0.05,
        "{found} against {expected}; half the tracks are too short"
    );
}

#[test]
fn what_is_kept_of_a_day_is_bounded() {
    let mut survey = survey();
    for track in 0..20_000 {
        pass(&mut survey, track, u8::try_from(track % 24).expect("small"), 3, quality(20.0), Ok(()));
    }
    // Tracks that never end, as no tracker makes them.
    for track in 20_000..21_000 {
        let face = MeasuredFace {
            track: TrackId(track),
            box_in_frame: Rect::new(0.0, 0.0, 9.0, 9.0),
            quality: quality(9.0),
            fit: Ok(()),
        };
        survey.on_frame(&Seen { hour: 1, frame_px: (640.0, 360.0), brightness: 0.4, faces: &[face], ended: &[] });
    }
    assert!(survey.live.len() <= LIVE_MAX);
    survey.end_all();
    assert!(survey.live.is_empty());
    assert_eq!(survey.tracks(), 20_000);
}

#[test]
fn a_distant_camera_is_told_by_how_much_to_come_closer() {
    let mut survey = survey();
    for track in 0..10 {
        pass(&mut survey, track, 9, 10, quality(3.0), Ok(()));
    }
    let figures = survey.figures();
    assert_eq!(figures.good_px, Some(4.0), "the bin from 4 px finds half of the people");
    let assessment = assess(&figures, ASSUMED);
    assert_eq!(assessment.grade, Grade::Unsuitable);
    let Some(Advice::Closer { factor, scene_width_m, distance_m, move_m, .. }) = assessment.advice.first() else {
        panic!("{:?}", assessment.advice)
    };
    // 3.25 px (the middle of its bin) over 63 mm are 51.6 px/m; 640 px are then 12.4 m of scene.
    assert!((scene_width_m - 640.0 / px_per_m(3.25)).abs() < 0.3, "{scene_width_m}");
    // A lens of 80 degrees sees 12.4 m at 12.4 / (2 tan 40) = 7.4 m.
    assert!((distance_m - 7.39).abs() < 0.2, "{distance_m}");
    assert!((move_m - distance_m * (1.0 - 1.0 / factor)).abs() < 1e-3 && *move_m > 1.0);
    assert!(matches!(assessment.advice[1], Advice::MainStream { then_px, .. } if (then_px - 9.75).abs() < 0.8));
}

#[test]
fn each_fault_has_its_advice_and_a_good_camera_none() {
    let graded = |quality: Quality, fit: Result<(), Unfit>, faces: u32| {
        let mut survey = survey();
        for track in 0..10 {
            pass(&mut survey, track, 9, faces, quality, fit);
        }
        assess(&survey.figures(), ASSUMED)
    };
    let good = graded(quality(20.0), Ok(()), 10);
    assert_eq!((good.grade, good.advice), (Grade::Suitable, vec![]));
    let unconfirmed = graded(quality(20.0), Ok(()), 4);
    assert_eq!(unconfirmed.grade, Grade::CandidatesOnly, "four frames make a candidate and confirm nobody");
    let dark = graded(Quality { brightness: 0.1, ..quality(20.0) }, Ok(()), 10);
    assert_eq!(dark.advice, [Advice::MoreLight { hours: vec![] }]);
    let soft = graded(Quality { sharpness: 0.05, ..quality(20.0) }, Ok(()), 10);
    assert!(matches!(soft.advice[..], [Advice::Sharper { sharpness }] if sharpness < 0.1));
    let brief = graded(quality(20.0), Ok(()), 2);
    assert!(matches!(brief.advice[..], [Advice::LongerInView { need: 3, need_confirmed: 6, .. }]));
    assert_eq!(brief.grade, Grade::Unsuitable);
    let turned = graded(quality(20.0), Err(Unfit::Pose), 10);
    assert!(turned.advice.iter().any(|advice| matches!(advice, Advice::FaceTheCamera { share } if *share > 0.99)));
    let cut = graded(quality(20.0), Err(Unfit::Cut), 10);
    assert!(cut.advice.iter().any(|advice| matches!(advice, Advice::AwayFromTheEdge { .. })));
    let nobody = assess(&survey().figures(), ASSUMED);
    assert_eq!((nobody.grade, nobody.advice.len()), (Grade::NobodySeen, 0));
}

#[test]
fn dark_hours_are_named() {
    let mut survey = survey();
    for track in 0..10 {
        pass(&mut survey, track, 12, 10, quality(20.0), Ok(()));
        pass(&mut survey, 100 + track, 22, 10, Quality { brightness: 0.08, ..quality(20.0) }, Ok(()));
    }
    assert_eq!(assess(&survey.figures(), ASSUMED).advice, [Advice::MoreLight { hours: vec![22] }]);
}

#[test]
fn dori_classes_follow_the_standard() {
    // EN 62676-4: 25, 62.5, 125 and 250 px/m; 63 mm between the eyes make that 1.6, 3.9, 7.9 and 15.75 px.
    for (px, class) in [
        (1.0, Dori::Below),
        (2.0, Dori::Detection),
        (5.0, Dori::Observation),
        (8.0, Dori::Recognition),
        (15.7, Dori::Recognition),
        (15.8, Dori::Identification),
    ] {
        assert_eq!(Dori::of(px), class, "{px} px");
    }
}
