//! The real binary's verbs and exit codes, and what it says about bad input: one sentence, no panic.

use sekisho_tests::site::{Site, fetched, grounds, root};
use std::path::PathBuf;
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Fails with 1 (the answer is no) or 2 (wrong command line or configuration), naming `words`, never a panic.
fn refused(site: &Site, args: &[&str], code: i32, words: &[&str]) {
    let output = site.cli(args);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{args:?} should mention {word:?}: {said}");
    }
}

/// The same of an enrolment whose grounds are complete.
fn enrol_refused(site: &Site, args: &[&str], code: i32, words: &[&str]) {
    let grounds = grounds();
    let all = ["gallery", "enroll"].into_iter().chain(args.iter().copied());
    refused(site, &all.chain(grounds.iter().map(String::as_str)).collect::<Vec<_>>(), code, words);
}

fn photo(name: &str) -> Option<PathBuf> {
    let path = root().join(".sekisho/demo/photos").join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is absent; run deploy/setup", path.display());
    None
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let site = Site::new();
    refused(&site, &["frobnicate"], 2, &["frobnicate"]);
    refused(&site, &["gallery", "enroll"], 2, &["PERSON"]);
    refused(&site, &["alerts", "show", "../../etc/passwd"], 2, &["is not an alert id"]);
    assert!(site.cli(&["--help"]).status.success());
    assert!(site.cli(&["--version"]).status.success());
}

#[test]
fn every_mistake_of_a_configuration_is_named_with_its_line() {
    let site = Site::new();
    std::fs::write(
        site.path("sekisho.toml"),
        "[daemon]\nsoket = \"/x\"\n\n[cameras.gate]\nsource = \"rtsp://u:hunter2@cam/1\"\n\n[cameras.yard]\nsource = \"rtsp://cam/2\"\nlists = [\"nobody\"]\n",
    )
    .expect("a writable folder");
    let output = site.cli(&["check-config"]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for word in ["sekisho.toml:2", "soket", "socket", "sekisho.toml:5", "sekisho.toml:9", "nobody"] {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
    assert!(!said.contains("hunter2"), "a password was echoed: {said}");
    assert_eq!(site.cli(&["run"]).status.code(), Some(2), "a wrong configuration is no restart loop");
    let site = Site::new();
    assert!(site.done(&["check-config"]).contains("valid"));
    std::fs::remove_file(site.path("sekisho.toml")).expect("there");
    refused(&site, &["status"], 2, &["sekisho.toml"]);
}

#[test]
fn without_a_daemon_the_client_verbs_say_so() {
    let site = Site::new();
    for args in [&["status"][..], &["alerts", "list"], &["alerts", "watch"], &["alerts", "confirm", "1-2-3"]] {
        refused(&site, args, 1, &["no daemon answers"]);
    }
}

#[test]
fn bad_photographs_are_refused_with_one_sentence_each() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(site.path(name), bytes).expect("a writable folder");
        site.path(name).display().to_string()
    };
    let blank = image::RgbImage::from_pixel(640, 480, image::Rgb([128, 128, 128]));
    blank.save(site.path("blank.png")).expect("saved");
    let mut huge = Vec::from(&b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"[..]);
    huge.extend(60_000_u32.to_be_bytes().iter().chain(&60_000_u32.to_be_bytes()));
    huge.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    for (path, words) in [
        (file("empty.jpg", b""), &["empty.jpg"][..]),
        (file("text.png", b"this is not a picture"), &["text.png"]),
        (file("huge.png", &huge), &["huge.png"]),
        (site.path("blank.png").display().to_string(), &["blank.png", "face"]),
        (site.path("absent.png").display().to_string(), &["absent.png"]),
    ] {
        enrol_refused(&site, &["ann", &path], 1, words);
    }
    if let Some(crowd) = photo("solvay-1927.png") {
        enrol_refused(&site, &["ann", &crowd.display().to_string()], 1, &["faces"]);
    }
    assert!(!site.done(&["gallery", "list"]).contains("ann"), "nothing was enrolled");
}

#[test]
fn enrol_list_show_replace_remove() {
    let (Some(_), Some(portrait)) = (fetched(), photo("astronaut.png")) else { return };
    let portrait = portrait.display().to_string();
    let site = Site::new();
    enrol_refused(&site, &["Eileen Collins", &portrait], 2, &["a-z"]);
    enrol_refused(&site, &["eileen", &portrait, "--list", "guests"], 2, &["guests", "staff", "watch"]);
    assert!(site.enrol(&["eileen", &portrait]).contains("enrolled"));
    enrol_refused(&site, &["eileen", &portrait], 1, &["eileen", "replace"]);
    assert!(site.done(&["gallery", "enroll", "eileen", &portrait, "--replace"]).contains("enrolled"));
    let shown: serde_json::Value =
        serde_json::from_str(&site.done(&["gallery", "show", "eileen", "--json"])).expect("JSON");
    assert_eq!((&shown["list"], &shown["photos"]), (&"staff".into(), &1.into()));
    assert!(site.done(&["gallery", "list"]).contains("eileen"));
    let erased = site.done(&["gallery", "erase", "eileen"]);
    assert!(erased.contains("erased") && erased.contains("sekisho-erasure-receipt-1"), "{erased}");
    refused(&site, &["gallery", "show", "eileen"], 1, &["not enrolled"]);
    assert_eq!(site.done(&["gallery", "remove", "eileen"]), erased, "asked again it gives the same receipt");
    refused(&site, &["gallery", "erase", "nobody"], 1, &["nobody", "not enrolled"]);
}

#[test]
fn a_network_that_is_not_what_the_manifest_says_is_refused_by_name() {
    let Some(fetched) = fetched() else { return };
    let site = Site::new();
    assert!(site.done(&["models", "verify"]).contains("valid"));
    let models = site.path("models");
    std::fs::create_dir(&models).expect("a fresh folder");
    // Without SFace in full precision, as the package installs them.
    for name in ["face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec_int8bq.onnx"] {
        std::fs::copy(fetched.join("models").join(name), models.join(name)).expect("a copy");
    }
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let there = format!("{:?}", fetched.join("models").display().to_string());
    let here = format!("{:?}", models.display().to_string());
    std::fs::write(site.path("sekisho.toml"), config.replace(&format!("dir = {there}"), &format!("dir = {here}")))
        .expect("writable");
    assert!(site.done(&["models", "verify"]).contains("absent, not asked for"), "the configuration does not name it");
    let second = models.join("face_recognition_sface_2021dec_int8bq.onnx");
    std::fs::rename(&second, models.join("aside")).expect("a rename");
    refused(&site, &["models", "verify"], 1, &["face_recognition_sface_2021dec_int8bq.onnx"]);
    std::fs::rename(models.join("aside"), &second).expect("a rename");
    let detector = models.join("face_detection_yunet_2023mar.onnx");
    let mut bytes = std::fs::read(&detector).expect("a network");
    bytes[100_000] ^= 1;
    std::fs::write(&detector, bytes).expect("writable");
    refused(&site, &["models", "verify"], 1, &["face_detection_yunet_2023mar.onnx"]);
    refused(&site, &["run"], 2, &["face_detection_yunet_2023mar.onnx"]);
}

#[test]
fn the_store_says_what_is_wrong_with_it() {
    let site = Site::new();
    assert!(site.done(&["gallery", "list"]).contains("person"));
    let database =
        std::fs::read_dir(site.path("state")).expect("made at first use").flatten().map(|entry| entry.path());
    let keys: Vec<_> = database.filter(|path| path.ends_with("store.key")).collect();
    assert_eq!(keys.len(), 1, "one key file");
    let key = std::fs::read_to_string(&keys[0]).expect("a key");
    std::fs::write(&keys[0], key.trim().chars().rev().collect::<String>()).expect("writable");
    refused(&site, &["gallery", "list"], 1, &["key"]);
    std::fs::remove_file(&keys[0]).expect("there");
    refused(&site, &["gallery", "list"], 1, &["key", "missing"]);
}
