//! `sekisho cameras test` and `survey` on the real binary: live cameras that break and come back, clips, bad input.

use sekisho_tests::feed::{Clip, Coding, Feed, write_pattern};
use sekisho_tests::rtsp::{Login, RtspServer};
use sekisho_tests::site::{Site, binary, fetched, shared};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn camera(name: &str, source: &str, more: &str) -> String {
    format!("[cameras.{name}]\nsource = {source:?}\nlists = [\"staff\"]\n{more}\n")
}

/// One sentence with `words`, exit code `code`, no panic.
fn refused(site: &Site, args: &[&str], code: i32, words: &[&str]) {
    let output = site.cli(args);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    let sentences: Vec<_> = said.lines().filter(|line| line.starts_with("sekisho: ")).collect();
    assert_eq!(sentences.len(), 1, "{args:?} is not one sentence: {said}");
    assert!(words.iter().all(|word| said.contains(word)) && !said.contains("panicked"), "{args:?}: {said}");
}

#[test]
fn a_clip_is_measured_the_same_every_time_and_nobody_is_kept() {
    if fetched().is_none() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let Some(more) = shared("data/clips/two-strangers-approach.mp4") else { return };
    let (site, clip, more) = (Site::new(), clip.display().to_string(), more.display().to_string());
    let out = site.path("report");
    let survey = || {
        let printed =
            site.done(&["cameras", "survey", "--clip", &clip, &more, "--json", "--out", &out.display().to_string()]);
        (
            printed,
            text(&out.join("survey-three-people-approach.html")),
            text(&out.join("survey-three-people-approach.json")),
        )
    };
    let (first, second) = (survey(), survey());
    assert_eq!(first, second);
    assert_eq!(first.0, first.2, "what is printed is what is written");
    let mode = |path: &Path| std::fs::metadata(path).expect("written").permissions().mode() & 0o777;
    assert_eq!((mode(&out), mode(&out.join("survey-three-people-approach.html"))), (0o700, 0o600));

    let report: Value = serde_json::from_str(&first.0).expect("JSON");
    let figures = &report["figures"];
    let count = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name}: {figures}"));
    assert!(count("tracks") >= 3 && count("faces") > count("tracks"), "{figures}");
    let undecided: u64 = figures["undecided"].as_object().expect("reasons").values().filter_map(Value::as_u64).sum();
    assert_eq!(undecided + count("tracks-decidable"), count("tracks"), "every track is decidable or has a reason");
    let dori: u64 = report["dori-tracks"].as_object().expect("classes").values().filter_map(Value::as_u64).sum();
    let sizes =
        |list: &Value| list.as_array().into_iter().flatten().filter_map(|bin| bin["count"].as_u64()).sum::<u64>();
    assert_eq!((dori, sizes(&figures["track-px-counts"])), (count("tracks"), count("tracks")));
    let bins: u64 = figures["bins"].as_array().into_iter().flatten().filter_map(|bin| bin["tracks"].as_u64()).sum();
    assert_eq!(bins, count("tracks"));
    assert!(report["summary-said"]["ja"].as_str().is_some_and(|said| !said.is_ascii()));
    for forbidden in ["data:image", "<script", "http://", "https://", "embedding\":"] {
        assert!(!first.1.contains(forbidden) && !first.2.contains(forbidden), "{forbidden}");
    }
    assert!(!site.path("state").exists(), "the survey has no business with the database");
}

#[test]
fn a_recording_without_faces_has_a_report_that_says_so() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let clip = write_pattern(&site.path("pattern.mp4"), Coding::H264, (320, 240), 30).expect("a clip");
    let out = site.path("report").display().to_string();
    let printed = site.done(&["cameras", "survey", "--clip", &clip.display().to_string(), "--out", &out]);
    assert!(printed.contains("Nobody was seen"), "{printed}");
    assert!(text(&site.path("report/survey-pattern.html")).contains("Nobody was seen"));
}

/// A survey as a child process, with its output kept.
fn begin(site: &Site, args: &[&str]) -> Child {
    let mut command = Command::new(binary());
    command.arg("--config").arg(site.path("sekisho.toml")).args(args).env("RUST_LOG", "warn");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

#[test]
fn a_live_survey_outlives_its_camera_and_reports_when_interrupted() {
    if fetched().is_none() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let feed = Feed::Clip(Clip::load(&clip).expect("a clip"));
    let mut server = RtspServer::start("127.0.0.1", 0, None, &[("gate", feed.clone())]).expect("a server");
    let (port, url) = (server.port(), server.url("gate"));
    let mut site = Site::new();
    site.configure(&camera("gate", &url, ""));
    let out = site.path("report");
    let child = begin(&site, &["cameras", "survey", "gate", "--out", &out.display().to_string()]);
    let pid = child.id().to_string();
    // Long enough for the networks to load and the clip to be seen, on a busy machine too; less only means fewer faces.
    std::thread::sleep(Duration::from_secs(12));
    server.kill();
    std::thread::sleep(Duration::from_secs(2));
    let _again = RtspServer::start("127.0.0.1", port, None, &[("gate", feed)]).expect("the camera is back");
    std::thread::sleep(Duration::from_secs(8));
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill(1)").success());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", said(&output));
    let report: Value = serde_json::from_str(&text(&out.join("survey-gate.json"))).expect("JSON");
    assert_eq!(report["ended-early"], true);
    assert!(report["interruptions"].as_object().is_some_and(|faults| !faults.is_empty()), "{report}");
    assert!(report["figures"]["faces"].as_u64().is_some_and(|faces| faces > 0), "{}", report["figures"]);
    let hours = report["figures"]["hours"].as_array().expect("hours");
    assert!((1..=2).contains(&hours.len()), "{hours:?}");
    let page = text(&out.join("survey-gate.html"));
    assert!(page.contains("ended early") && page.contains("By hour of the day"));
}

#[test]
fn a_camera_is_tried_and_what_comes_is_said() {
    if fetched().is_none() {
        return;
    }
    let login = Login { user: "ann".into(), password: "s3cret".into() };
    let feed = Feed::pattern(Coding::H264, (320, 240));
    let server = RtspServer::start("127.0.0.1", 0, Some(&login), &[("gate", feed)]).expect("a server");
    let mut site = Site::new();
    site.credential("good", "ann:s3cret\n");
    site.credential("bad", "ann:wr0ng\n");
    site.configure(&camera("gate", &server.url("gate"), "credential = \"good\""));
    site.configure(&camera("locked", &format!("{}?x", server.url("gate")), "credential = \"bad\""));
    site.configure(&camera("keyless", &format!("{}?y", server.url("gate")), ""));
    site.configure(&camera("nobody", "rtsp://127.0.0.1:9/x", ""));
    let printed = site.done(&["cameras", "test", "gate", "--duration", "3s", "--json"]);
    let tested: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!((&tested["width"], &tested["height"]), (&320.into(), &240.into()), "{tested}");
    assert!(tested["codec"].is_string() && tested["first-picture-ms"].as_u64().is_some(), "{tested}");
    assert!(tested["frames-analysed"].as_u64().is_some_and(|frames| frames > 0), "{tested}");
    assert_eq!(tested["faces"], 0, "{tested}");
    assert!(tested["fps"].as_f64().is_some_and(|fps| fps > 1.0), "{tested}");
    assert!(site.done(&["cameras", "test", "gate", "--duration", "1s"]).contains("first picture after"));

    refused(&site, &["cameras", "test", "locked"], 1, &["locked", "refused the user and password"]);
    refused(&site, &["cameras", "test", "keyless"], 1, &["keyless", "credential"]);
    refused(&site, &["cameras", "test", "nobody"], 1, &["nobody", "no RTSP connection"]);
    let out = site.path("out").display().to_string();
    refused(&site, &["cameras", "survey", "keyless", "--out", &out], 1, &["keyless", "credential"]);
    refused(&site, &["cameras", "survey", "nobody", "--duration", "2s", "--out", &out], 1, &["no RTSP connection"]);
    assert_eq!(std::fs::read_dir(&out).expect("made").count(), 0, "there is nothing to report");
}

#[test]
fn bad_input_is_one_sentence_each() {
    let Some(_) = fetched() else { return };
    let mut site = Site::new();
    site.configure(&camera("gate", "rtsp://127.0.0.1:9/x", ""));
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(site.path(name), bytes).expect("a writable folder");
        site.path(name).display().to_string()
    };
    let (noise, empty) = (file("noise.mp4", &[7; 4096]), file("empty.mp4", b""));
    let out = site.path("out").display().to_string();
    let survey = |clip: &str, out: &str, code: i32, words: &[&str]| {
        refused(&site, &["cameras", "survey", "--clip", clip, "--out", out], code, words);
    };
    survey("/nonexistent/a.mp4", &out, 1, &["/nonexistent/a.mp4"]);
    survey(&noise, &out, 1, &["noise.mp4"]);
    survey(&empty, &out, 1, &["empty.mp4"]);
    survey(&empty, &format!("{noise}/x"), 1, &["noise.mp4/x", "choose a folder"]);
    refused(&site, &["cameras", "survey", "yard"], 2, &["yard", "gate"]);
    refused(&site, &["cameras", "test", "yard"], 2, &["yard", "gate"]);
    for args in [&["cameras", "survey"][..], &["cameras", "survey", "gate", "--duration", "soon"], &["cameras", "test"]]
    {
        let output = site.cli(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
}
