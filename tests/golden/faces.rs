//! Faces of people in photographs in the public domain: found, aligned and embedded as when the numbers were kept.

use crate::picture::{Frame, resized, scene, shrunk, whole};
use crate::{EMBEDDERS, eyes, eyes_of, eyes_with, manifest, photo, root};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::Alignment;
use sekisho_logic::frame::{Matrix, Range};
use sekisho_logic::geometry::Rect;
use sekisho_logic::time::Mono;
use sekisho_vision::analyser::{CameraEyes, CameraEyesSettings, Eyes};
use sekisho_vision::photo::{self as enrolment, EnrolledFace, PhotoError};
use sekisho_vision::planes::{Pixels, RgbImage};

fn enrolled(eyes: &mut Eyes, name: &str) -> Option<EnrolledFace> {
    Some(enrolment::enrol_pixels(eyes, photo(name)?.pixels()).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// `(name, inter-eye distance, embedding)` of every kept face, as embedded by `embedder`.
fn kept(embedder: &str) -> Vec<(String, f32, Embedding)> {
    let path = root().join(format!("models/golden/faces-{embedder}.txt"));
    let text = std::fs::read_to_string(path).expect("the kept numbers");
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().expect("a name").to_owned();
            let numbers: Vec<f32> = words.map(|word| word.parse().expect("a number")).collect();
            (name, numbers[0], Embedding::try_new(&numbers[1..]).expect("finite"))
        })
        .collect()
}

#[test]
fn kept_faces_are_found_and_embedded_as_before() {
    for embedder in EMBEDDERS {
        let Some(mut eyes) = eyes_of(embedder) else { return };
        let kept = kept(embedder);
        assert_eq!(kept.len(), 2);
        for (name, inter_eye_px, embedding) in kept {
            let Some(found) = enrolled(&mut eyes, &name) else { return };
            assert_eq!(found.quality.alignment, Alignment::Landmarks);
            let cosine = found.embedding.cosine(&embedding);
            assert!((found.quality.inter_eye_px / inter_eye_px - 1.0).abs() < 0.02, "{name}: {:?}", found.quality);
            // The runtime's kernels differ between processors in the fifth digit.
            assert!(cosine > 0.999, "{embedder}, {name}: {cosine}");
        }
    }
}

#[test]
fn swapped_colours_would_be_noticed() {
    let Some(changed) = manifest(|text| text.replace("colour = \"rgb\"", "colour = \"bgr\"")) else { return };
    for embedder in EMBEDDERS {
        let Some(mut swapped) = eyes_with(&changed, embedder) else { return };
        for (name, _, embedding) in kept(embedder) {
            let Some(found) = enrolled(&mut swapped, &name) else { return };
            let cosine = found.embedding.cosine(&embedding);
            assert!(cosine < 0.98, "{embedder}, {name}: with red and blue exchanged the cosine is still {cosine}");
        }
    }
}

#[test]
fn a_photograph_and_its_video_frame_are_the_same_face() {
    let Some(mut eyes) = eyes() else { return };
    for name in ["astronaut.png", "grace_hopper.jpg"] {
        let Some(photo) = photo(name) else { return };
        let photo = shrunk(photo.pixels(), 1.0);
        let direct = enrolment::enrol_pixels(&mut eyes, photo.view().into()).expect("one face");
        for (matrix, range) in
            [(Matrix::Bt601, Range::Limited), (Matrix::Bt709, Range::Limited), (Matrix::Bt601, Range::Full)]
        {
            let frame = Frame::of(&photo, matrix, range);
            let video = enrolment::enrol_pixels(&mut eyes, frame.view().into()).expect("one face");
            let cosine = direct.embedding.cosine(&video.embedding);
            eprintln!("{name} as {matrix:?} {range:?}: {cosine:.4}");
            assert!(cosine >= 0.99, "{name} as {matrix:?} {range:?}: {cosine}");
        }
    }
}

#[test]
fn a_batch_says_what_each_face_alone_says() {
    let Some(mut eyes) = eyes() else { return };
    let names = ["astronaut.png", "grace_hopper.jpg", "obama.jpg", "biden.jpg", "obama2.jpg"];
    let mut crops = Vec::new();
    for name in names {
        let Some(photo) = photo(name) else { return };
        let found = enrolment::find(&mut eyes, photo.pixels(), &enrolment::PhotoLimits::default());
        crops.push(found.unwrap_or_else(|error| panic!("{name}: {error}")).crop);
    }
    let list: Vec<_> = crops.iter().chain(&crops).collect();
    let together = eyes.embed_crops(&list);
    assert_eq!(together.len(), 10);
    for (crop, together) in list.iter().zip(together) {
        let alone = eyes.embed_crops(&[crop]).remove(0).expect("an embedding");
        let cosine = alone.cosine(&together.expect("an embedding"));
        assert!(cosine > 0.999_99, "{cosine}");
    }
}

#[test]
fn one_person_resembles_themselves_and_nobody_else() {
    let Some(mut eyes) = eyes() else { return };
    let mut list = Vec::new();
    for name in ["obama.jpg", "obama2.jpg", "biden.jpg", "astronaut.png", "grace_hopper.jpg"] {
        let Some(face) = enrolled(&mut eyes, name) else { return };
        eprintln!("{name}: {:?}", face.quality);
        list.push((name, face.embedding));
    }
    for (i, (name, one)) in list.iter().enumerate() {
        for (other_name, other) in &list[..i] {
            let cosine = one.cosine(other);
            eprintln!("{name} and {other_name}: {cosine:.3}");
            if name.starts_with("obama") && other_name.starts_with("obama") {
                assert!(cosine > 0.5, "{name} and {other_name}: {cosine}");
            } else {
                assert!(cosine < 0.3, "{name} and {other_name}: {cosine}");
            }
        }
    }
}

#[test]
fn photographs_that_enrol_nobody_say_why() {
    let Some(mut eyes) = eyes() else { return };
    let grey = scene(None, &[]);
    assert_eq!(enrolment::enrol_pixels(&mut eyes, grey.view().into()).expect_err("nobody"), PhotoError::NoFace);
    let Some(group) = photo("solvay-1927.png") else { return };
    match enrolment::enrol_pixels(&mut eyes, group.pixels()).expect_err("29 people") {
        PhotoError::SeveralFaces { count } => assert!((20..=31).contains(&count), "{count} of 29"),
        other => panic!("{other}"),
    }
    let Some(astronaut) = photo("astronaut.png") else { return };
    let small = shrunk(astronaut.pixels(), 4.0);
    match enrolment::enrol_pixels(&mut eyes, small.view().into()).expect_err("too small") {
        PhotoError::TooSmall { inter_eye_px, .. } => assert!((6.0..20.0).contains(&inter_eye_px)),
        other => panic!("{other}"),
    }
    // The right half of the picture begins in the middle of her face.
    let half = resized(astronaut.pixels(), Rect::new(228.0, 0.0, 280.0, 512.0), (280, 512));
    let error = enrolment::enrol_pixels(&mut eyes, half.view().into()).expect_err("half a face");
    assert!(matches!(error, PhotoError::NotFrontal | PhotoError::NoFace), "{error}");
}

/// Her head and shoulders with this many pixels between the eyes.
fn astronaut(photo: &RgbImage, eyes_apart: f32, inter_eye_px: f32) -> RgbImage {
    let factor = eyes_apart / inter_eye_px;
    let head = Rect::new(120.0, 0.0, 210.0, 230.0);
    let size = (whole(head.width / factor), whole(head.height / factor));
    resized(Pixels::Rgb(photo.view()), head, size)
}

#[test]
fn small_faces_walking_by_are_found_and_stay_themselves() {
    let Some(mut eyes) = eyes() else { return };
    let Some(photo) = photo("astronaut.png") else { return };
    let enrolled = enrolment::enrol_pixels(&mut eyes, photo.pixels()).expect("one face");
    let photo = shrunk(photo.pixels(), 1.0);
    for (inter_eye_px, cosine_min) in [(8.0, 0.4), (12.0, 0.6), (20.0, 0.75), (32.0, 0.85)] {
        let head = astronaut(&photo, enrolled.quality.inter_eye_px, inter_eye_px);
        let mut camera = CameraEyes::new(CameraEyesSettings::default());
        let mut tracks: Vec<Rect> = Vec::new();
        let mut cosines = Vec::new();
        let empty = Frame::of(&scene(None, &[]), Matrix::Bt601, Range::Limited);
        for frame in 0..12_usize {
            let walking = (frame >= 4).then(|| (40 + 24 * frame, 60));
            let place: Vec<_> = walking.into_iter().collect();
            let picture = if place.is_empty() {
                None
            } else {
                Some(Frame::of(&scene(Some(&head), &place), Matrix::Bt601, Range::Limited))
            };
            let view = picture.as_ref().unwrap_or(&empty).view();
            let at = Mono::from_millis(200 * frame as u64);
            let found = camera.detect(&mut eyes, &view, at, &tracks).expect("analysed");
            tracks = found.iter().map(|found| found.face.box_in_frame).collect();
            if walking.is_none() {
                assert!(found.is_empty(), "frame {frame} shows nobody");
                continue;
            }
            assert!(found.len() <= 1, "frame {frame} shows one person");
            let list: Vec<_> = found.iter().collect();
            for (found, embedding) in found.iter().zip(eyes.embed(&list)) {
                assert!((found.quality.inter_eye_px / inter_eye_px - 1.0).abs() < 0.25, "{:?}", found.quality);
                cosines.push(embedding.expect("an embedding").cosine(&enrolled.embedding));
            }
        }
        let mean = cosines.iter().sum::<f32>() / cosines.len().max(1) as f32;
        eprintln!("{inter_eye_px} px between the eyes: seen in {} of 8 frames, mean cosine {mean:.3}", cosines.len());
        assert!(cosines.len() >= 7, "{inter_eye_px} px: seen in {} of 8 frames", cosines.len());
        assert!(mean > cosine_min, "{inter_eye_px} px: mean cosine {mean}");
    }
}

#[test]
fn all_faces_are_found_and_standing_people_are_not_lost() {
    let Some(mut eyes) = eyes() else { return };
    let Some(photo) = photo("astronaut.png") else { return };
    let enrolled = enrolment::enrol_pixels(&mut eyes, photo.pixels()).expect("one face");
    let photo = shrunk(photo.pixels(), 1.0);
    let head = astronaut(&photo, enrolled.quality.inter_eye_px, 14.0);
    let frame = Frame::of(&scene(Some(&head), &[(30, 40), (300, 200), (520, 90)]), Matrix::Bt601, Range::Limited);
    let mut camera = CameraEyes::new(CameraEyesSettings::default());
    let mut tracks: Vec<Rect> = Vec::new();
    for step in 0..40_u64 {
        let found = camera.detect(&mut eyes, &frame.view(), Mono::from_millis(200 * step), &tracks).expect("analysed");
        // The first sweep may take a few frames; after it, nobody moves and nobody is lost.
        assert!(found.len() == 3 || step < 3, "step {step}: {} faces", found.len());
        tracks = found.iter().map(|found| found.face.box_in_frame).collect();
    }
}

#[test]
fn blur_lowers_sharpness_of_a_real_face_and_size_hardly_does() {
    let Some(mut eyes) = eyes() else { return };
    for name in ["astronaut.png", "grace_hopper.jpg", "obama.jpg", "biden.jpg"] {
        let Some(photo) = photo(name) else { return };
        let full = enrolment::enrol_pixels(&mut eyes, photo.pixels()).expect("one face").quality;
        let limits = enrolment::PhotoLimits { inter_eye_px_min: 1.0, ..enrolment::PhotoLimits::default() };
        let mut sizes = Vec::new();
        for inter_eye_px in [40.0_f32, 20.0, 10.0] {
            let small = shrunk(photo.pixels(), (full.inter_eye_px / inter_eye_px).max(1.0));
            let found = enrolment::find(&mut eyes, small.view().into(), &limits).expect("one face");
            sizes.push(found.quality.sharpness);
        }
        // Shrunk to 5 px between the eyes and enlarged again: blur that hurts.
        let tiny = shrunk(photo.pixels(), full.inter_eye_px / 5.0);
        let (width, height) = Pixels::Rgb(tiny.view()).size_px();
        let size = (whole(width * 6.0), whole(height * 6.0));
        let blurred = resized(tiny.view().into(), Rect::new(0.0, 0.0, width, height), size);
        let blurred = enrolment::find(&mut eyes, blurred.view().into(), &limits).map(|found| found.quality.sharpness);
        eprintln!("{name}: sharpness {:.3}, at 40, 20, 10 px {sizes:.3?}, blurred {blurred:.3?}", full.sharpness);
        for sharpness in &sizes[..2] {
            assert!((sharpness / full.sharpness - 1.0).abs() < 0.2, "{name}: {sharpness} of {}", full.sharpness);
        }
        // At 10 px the pixels themselves begin to be the limit, which is no blur of the camera's.
        assert!((0.5..1.1).contains(&(sizes[2] / full.sharpness)), "{name}: {} of {}", sizes[2], full.sharpness);
        if let Ok(blurred) = blurred {
            assert!(blurred < 0.5 * full.sharpness, "{name}: {blurred} of {}", full.sharpness);
        }
    }
}
