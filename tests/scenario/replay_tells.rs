//! What a replay writes: the same bytes every time, the event log of a sink, and a sheet that says why.

use sekisho_tests::feed::{Coding, write_pattern};
use sekisho_tests::site::{Site, fetched, shared};
use sekisho_tests::stills::cut_last_frame;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A composed clip of the demonstration with the people it shows enrolled, or `None` (said aloud).
fn demonstration() -> Option<(Site, PathBuf)> {
    let fetched = fetched()?;
    let (clip, photos) = (fetched.join("demo/clips/gate.mp4"), fetched.join("demo/photos"));
    if !clip.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", clip.display());
        return None;
    }
    let site = Site::new();
    for (who, photo) in [("obama", "obama.jpg"), ("hopper", "grace_hopper.jpg"), ("collins", "astronaut.png")] {
        let _said = site.enrol(&[who, &photos.join(photo).display().to_string()]);
    }
    Some((site, clip))
}

/// Footage of real people with one of them enrolled, or `None` (said aloud).
fn footage() -> Option<(Site, PathBuf)> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?;
    let site = Site::new();
    let photo = site.path("middle.png");
    cut_last_frame(&clip, &[((160, 20, 140, 160), &photo)]).expect("a still");
    let _said = site.enrol(&["middle", &photo.display().to_string()]);
    Some((site, clip))
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replays twice; everything written is the same to the byte, and the events are those of standard output.
fn same_every_time(site: &Site, clip: &Path) {
    let clip = clip.display().to_string();
    let run = |name: &str| {
        let (events, sheet) = (site.path(&format!("{name}.ndjson")), site.path(name));
        let (file, folder) = (events.display().to_string(), sheet.display().to_string());
        let output = site.cli(&["replay", &clip, "--json", "--events", &file, "--explain", &folder]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("times as fast as real time"), "{said}");
        (String::from_utf8_lossy(&output.stdout).into_owned(), text(&events), sheet)
    };
    let (first, second) = (run("first"), run("second"));
    assert!(!first.1.is_empty(), "nothing happened on this clip:\n{}", first.0);
    assert_eq!((&first.0, &first.1), (&second.0, &second.1));
    let printed: Vec<&str> = first.0.lines().filter(|line| !line.contains("\"type\":\"track\"")).collect();
    assert_eq!(printed, first.1.lines().collect::<Vec<_>>(), "the log holds the alert events, all of them, in order");
    let mut files: Vec<_> =
        std::fs::read_dir(&first.2).expect("a folder").flatten().map(|file| file.file_name()).collect();
    files.sort();
    assert_eq!(files.len(), 2, "a page and its data: {files:?}");
    for file in files {
        assert_eq!(text(&first.2.join(&file)), text(&second.2.join(&file)), "{}", file.display());
    }
}

#[test]
fn a_demonstration_clip_gives_the_same_bytes_every_time() {
    let Some((site, clip)) = demonstration() else { return };
    same_every_time(&site, &clip);
}

#[test]
fn real_footage_gives_the_same_bytes_every_time() {
    let Some((site, clip)) = footage() else { return };
    same_every_time(&site, &clip);
}

#[test]
fn the_sheet_says_why_for_every_track_and_belongs_to_its_owner() {
    let Some((site, clip)) = footage() else { return };
    let folder = site.path("sheet");
    let printed =
        site.done(&["replay", &clip.display().to_string(), "--json", "--explain", &folder.display().to_string()]);
    let (page, data) = (folder.join("three-people-approach.html"), folder.join("three-people-approach.json"));
    let mode = |path: &Path| std::fs::metadata(path).expect("written").permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&page), mode(&data)), (0o700, 0o600, 0o600));
    let sheet: Value = serde_json::from_str(&text(&data)).expect("JSON");
    let verdicts: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|value: &Value| value["type"] == "track")
        .collect();
    let tracks = sheet["tracks"].as_array().expect("tracks");
    assert_eq!(tracks.len(), verdicts.len());
    for (track, verdict) in tracks.iter().zip(&verdicts) {
        assert_eq!((&track["track"], &track["decision"]), (&verdict["track"], &verdict["decision"]));
        let faces = track["face-list"].as_array().expect("faces");
        assert_eq!(faces.len() as u64, verdict["faces"].as_u64().expect("a count"), "every face has its fate");
        let used =
            faces.iter().filter(|face| face["fate"].as_str().is_some_and(|fate| fate.starts_with("used"))).count();
        assert_eq!(used as u64, verdict["frames-used"].as_u64().expect("a count"));
        assert!(track["reason-said"]["ja"].as_str().is_some_and(|said| !said.is_ascii()), "{track}");
        if track["decision"] == "not-decidable" && track["reason"] == "too-few-frames" {
            assert!(track["would-have-helped"][0]["said"]["en"].as_str().is_some_and(|said| said.contains("more")));
        }
    }
    let known = tracks.iter().find(|track| track["person"] == "middle").expect("the enrolled person is identified");
    let look = &known["looks"][0];
    assert!(look["cosine"].as_f64() >= look["cosine-min"].as_f64() && look["llr"].as_f64() >= look["llr-min"].as_f64());
    assert_eq!(known["stages"], serde_json::json!(["candidate", "machine-confirmed", "confirmed"]));
    let html = text(&page);
    for needed in ["data:image/png;base64,", "middle", "--explain", "lang=\"ja\"", "viewport"] {
        assert!(html.contains(needed), "{needed} is missing");
    }
    for forbidden in ["<script", "http://", "https://", "url("] {
        assert!(!html.contains(forbidden), "the page is not self-contained: {forbidden}");
    }
    assert!(!text(&data).contains("data:image"), "the data holds no pictures");
}

#[test]
fn a_recording_without_faces_has_a_sheet_that_says_so() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let clip = write_pattern(&site.path("pattern.mp4"), Coding::H264, (320, 240), 30).expect("a clip");
    let folder = site.path("sheet");
    let _printed = site.done(&["replay", &clip.display().to_string(), "--explain", &folder.display().to_string()]);
    let html = text(&folder.join("pattern.html"));
    assert!(html.contains("No face was found") && !html.contains("data:image"));
}

#[test]
fn bad_recordings_and_places_are_one_sentence_each() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let clip =
        write_pattern(&site.path("good.mp4"), Coding::H264, (320, 240), 15).expect("a clip").display().to_string();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(site.path(name), bytes).expect("a writable folder");
        site.path(name).display().to_string()
    };
    let (taken, noise, empty) = (file("taken.ndjson", b"{}\n"), file("noise.mp4", &[7; 4096]), file("empty.mp4", b""));
    let absent = site.path("absent.mp4").display().to_string();
    let under_file = format!("{taken}/sheet");
    let proc_folder = "/proc/sekisho-sheet".to_owned();
    for (args, words) in [
        (vec!["replay", &absent], &["absent.mp4"][..]),
        (vec!["replay", &noise], &["noise.mp4"]),
        (vec!["replay", &empty], &["empty.mp4"]),
        (vec!["replay", &clip, "--events", &taken], &["taken.ndjson", "does not exist yet"]),
        (vec!["replay", &clip, "--events", "/nonexistent/events.ndjson"], &["/nonexistent/events.ndjson", "may write"]),
        (vec!["replay", &clip, "--explain", &under_file], &["taken.ndjson/sheet", "choose a folder"]),
        (vec!["replay", &clip, "--explain", &proc_folder], &["/proc/sekisho-sheet", "choose a folder"]),
    ] {
        let output = site.cli(&args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert_eq!(said.trim().lines().count(), 1, "{args:?} is not one sentence: {said}");
        assert!(words.iter().all(|word| said.contains(word)) && !said.contains("panicked"), "{args:?}: {said}");
    }
    assert_eq!(text(&site.path("taken.ndjson")), "{}\n", "an existing log is left alone");
    let output = site.cli(&["replay", &clip, "--camera", "nowhere"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("nowhere"), "{said}");
}
