//! The gallery's doctor on real photographs: what is wrong is found, named with advice, and refused where it would do harm.

use image::imageops::FilterType;
use sekisho_tests::site::{Site, fetched, grounds, root};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

fn photo(name: &str) -> Option<PathBuf> {
    let path = root().join(".sekisho/demo/photos").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent; run deploy/setup", path.display());
    None
}

/// A photograph of the demonstration, changed and saved into the site.
fn changed(site: &Site, name: &str, to: &str, change: impl Fn(image::DynamicImage) -> image::DynamicImage) -> String {
    let path = site.path(to);
    let picture = image::open(root().join(".sekisho/demo/photos").join(name)).expect("a photograph");
    image::DynamicImage::ImageRgb8(change(picture).into_rgb8()).save(&path).expect("saved");
    path.display().to_string()
}

fn enrol(site: &Site, args: &[&str]) -> Output {
    let grounds = grounds();
    let all = ["gallery", "enroll"].into_iter().chain(args.iter().copied());
    site.cli(&all.chain(grounds.iter().map(String::as_str)).collect::<Vec<_>>())
}

fn text(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn doctor(site: &Site, more: &[&str]) -> (Option<i32>, Value) {
    let output = site.cli(&[&["gallery", "doctor", "--json"], more].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output).1));
    (output.status.code(), document)
}

fn kinds(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().into_iter().flatten();
    findings.filter_map(|finding| Some(finding["kind"].as_str()?.to_owned())).collect()
}

#[test]
fn a_photograph_of_somebody_else_enrols_nobody_and_a_copy_is_noticed() {
    let (Some(_), Some(obama), Some(again), Some(grace)) =
        (fetched(), photo("obama.jpg"), photo("obama2.jpg"), photo("grace_hopper.jpg"))
    else {
        return;
    };
    let site = Site::new();
    let [obama, again, grace] = [obama, again, grace].map(|path| path.display().to_string());
    let mixed = enrol(&site, &["barack", &obama, &again, &grace]);
    let (_, said) = text(&mixed);
    assert_eq!(mixed.status.code(), Some(1), "{said}");
    assert!(said.contains("grace_hopper.jpg") && said.contains("unlike the person's other photographs"), "{said}");
    assert!(!site.done(&["gallery", "list"]).contains("barack"), "nobody was enrolled");

    let copy = changed(&site, "obama.jpg", "copy.jpg", |picture| {
        let (width, height) = (picture.width() * 3 / 4, picture.height() * 3 / 4);
        picture.resize(width, height, FilterType::Triangle)
    });
    let twice = enrol(&site, &["barack", &obama, &copy]);
    let (told, said) = text(&twice);
    assert!(twice.status.success(), "a warning refuses nobody: {said}");
    assert!(told.contains("are the same picture") && told.contains("copy.jpg"), "{told}");
    let (code, document) = doctor(&site, &["barack"]);
    assert_eq!((code, kinds(&document)), (Some(0), vec!["duplicate-photo".to_owned()]), "{document}");
    let two = enrol(&site, &["barack", &obama, &again, "--replace"]);
    assert!(!text(&two).0.contains("same picture"), "two photographs of one person are two: {}", text(&two).0);
}

#[test]
fn poor_photographs_are_warned_of_with_advice() {
    let (Some(_), Some(_)) = (fetched(), photo("astronaut.png")) else { return };
    let site = Site::new();
    let soft = changed(&site, "astronaut.png", "soft.png", |picture| picture.blur(6.0));
    let dark = changed(&site, "astronaut.png", "dark.png", |picture| {
        let mut rgb = picture.into_rgb8();
        rgb.pixels_mut().for_each(|pixel| pixel.0 = pixel.0.map(|value| value / 6));
        image::DynamicImage::ImageRgb8(rgb)
    });
    let small = changed(&site, "astronaut.png", "small.png", |picture| {
        let (width, height) = (picture.width() / 2, picture.height() / 2);
        picture.resize(width, height, FilterType::Triangle)
    });
    for (path, word) in [(soft, "blurred"), (dark, "too dark"), (small, "px apart")] {
        let output = enrol(&site, &["eileen", &path, "--replace"]);
        let (told, said) = text(&output);
        let both = format!("{told}{said}");
        assert!(both.contains(word) && both.contains('.'), "{path} should be {word}: {both}");
    }
    let output =
        enrol(&site, &["eileen", &photo("astronaut.png").expect("just seen").display().to_string(), "--replace"]);
    let (told, _) = text(&output);
    assert!(!told.contains("blurred") && !told.contains("too dark"), "a good photograph is good: {told}");
    assert!(told.contains("in the gallery: so that 1 of 1000 strangers' tracks"), "what the size means: {told}");
    assert!(told.contains("false candidates a camera and day"), "{told}");
}

#[test]
fn two_people_who_are_one_are_both_named_with_the_expected_error() {
    let (Some(_), Some(one), Some(other), Some(grace)) =
        (fetched(), photo("obama.jpg"), photo("obama2.jpg"), photo("grace_hopper.jpg"))
    else {
        return;
    };
    let site = Site::new();
    let [one, other, grace] = [one, other, grace].map(|path| path.display().to_string());
    let _said = site.enrol(&["barack", &one]);
    let told = site.enrol(&["grace", &grace]);
    assert!(!told.contains("looks like"), "nobody is like grace: {told}");
    let told = site.enrol(&["barry", &other]);
    assert!(told.contains("looks like barack") && told.contains('%'), "{told}");
    let (code, document) = doctor(&site, &[]);
    assert_eq!((code, &document["errors"]), (Some(0), &Value::from(0)), "{document}");
    let findings = document["findings"].as_array().expect("a list");
    let pair = findings.iter().find(|finding| finding["kind"] == "confusable").expect("the pair");
    let names = [pair["person"].as_str(), pair["other"].as_str()];
    assert!(names.contains(&Some("barack")) && names.contains(&Some("barry")), "{pair}");
    assert_eq!(findings.iter().filter(|finding| finding["kind"] == "confusable").count(), 1, "{document}");
    assert_eq!(kinds(&document).iter().filter(|kind| *kind == "few-photos").count(), 3);
    let unknown = site.cli(&["gallery", "doctor", "nobody"]);
    assert!(unknown.status.code() == Some(1) && text(&unknown).1.contains("not enrolled"), "{}", text(&unknown).1);
}
