//! `sekisho evaluate` with the real binary: bad input gets one sentence, good input a report that hides nothing.

use sekisho_tests::site::{Site, fetched, root, shared};
use std::path::{Path, PathBuf};
use std::process::Output;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Puts a file of the demonstration (public domain) or some bytes at `place` inside the site.
fn put(site: &Site, place: &str, bytes: &[u8]) -> PathBuf {
    let path = site.path(place);
    std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn photo(name: &str) -> Vec<u8> {
    std::fs::read(root().join(".sekisho/demo/photos").join(name)).expect("set-up fetched the demonstration")
}

/// Runs `evaluate` on the site's folders `gallery` and `probes` with more arguments.
fn run(site: &Site, more: &[&str]) -> Output {
    let path = |name: &str| site.path(name).display().to_string();
    let (gallery, probes, out) = (path("gallery"), path("probes"), path("out"));
    let mut args = vec!["evaluate", "--gallery", &gallery, "--probes", &probes, "--out", &out];
    args.extend(more);
    site.cli(&args)
}

#[track_caller]
fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked") && said.trim().lines().count() == 1, "one sentence: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
}

/// Folders of two people each, with files that are only looked at once everything else is right.
fn site() -> Site {
    let site = Site::new();
    for place in ["gallery/ann/1.jpg", "gallery/bob/1.jpg", "probes/ann/2.jpg", "strangers/cat/1.jpg"] {
        put(&site, place, b"no picture");
    }
    site
}

#[test]
fn folders_that_cannot_be_used_are_named() {
    let site = Site::new();
    refused(&run(&site, &[]), 2, &["--gallery", "gallery", "sub-folder"]);
    std::fs::create_dir(site.path("gallery")).expect("a folder");
    refused(&run(&site, &[]), 2, &["--gallery", "no photographs"]);
    put(&site, "gallery/ann/notes.txt", b"x");
    refused(&run(&site, &[]), 2, &["--gallery", "no photographs"]);
    put(&site, "gallery/ann/1.jpg", b"x");
    refused(&run(&site, &[]), 2, &["--probes", "probes"]);
    put(&site, "probes", b"a file");
    refused(&run(&site, &[]), 2, &["--probes", "probes"]);
    let site = self::site();
    put(&site, "gallery/loose.jpg", b"x");
    refused(&run(&site, &[]), 2, &["--gallery", "loose.jpg", "sub-folder named after the person"]);
}

#[test]
fn people_who_are_where_they_cannot_be_are_named() {
    let site = site();
    put(&site, "probes/dan/1.jpg", b"x");
    put(&site, "probes/eve/1.jpg", b"x");
    refused(&run(&site, &[]), 2, &["--probes", "dan, eve", "not in the gallery"]);
    let site = self::site();
    put(&site, "strangers/bob/1.jpg", b"x");
    let strangers = site.path("strangers").display().to_string();
    refused(&run(&site, &["--strangers", &strangers]), 2, &["--strangers", "bob", "also in the gallery"]);
}

#[test]
fn groups_that_do_not_match_are_refused_by_name() {
    let site = site();
    for (text, words) in [
        ("person,group\nzoe,A\nann,B\n", &["zoe", "no folder"][..]),
        ("cat,A\n", &["--groups", "groups.csv"]),
        ("ann;A\n", &["line 1"]),
        ("ann,A\nann,B\n", &["line 2", "ann", "two groups"]),
        ("", &["no line"]),
    ] {
        let file = put(&site, "groups.csv", text.as_bytes()).display().to_string();
        refused(&run(&site, &["--groups", &file]), 2, words);
    }
    put(&site, "probes/bob/2.jpg", b"x");
    let file = put(&site, "groups.csv", b"ann,A\n").display().to_string();
    refused(&run(&site, &["--groups", &file]), 2, &["no group", "bob"]);
    refused(&run(&site, &["--groups", "/nowhere.csv"]), 2, &["/nowhere.csv"]);
}

#[test]
fn a_site_that_cannot_be_is_refused_by_key() {
    let site = site();
    for (text, words) in [
        ("peple-per-day = 3\n", &["peple-per-day"][..]),
        ("enrolled-share = 10.0\n", &["enrolled-share", "from 0 to 1"]),
        ("box-years = 0.0\n", &["box-years"]),
    ] {
        let file = put(&site, "site.toml", text.as_bytes()).display().to_string();
        let output = run(&site, &["--site", &file]);
        assert_eq!(output.status.code(), Some(2));
        words.iter().for_each(|word| assert!(said(&output).contains(word), "{word}: {}", said(&output)));
    }
    refused(&run(&site, &["--list", "guests"]), 2, &["guests", "staff", "watch"]);
}

#[test]
fn files_of_which_nothing_can_be_used_are_a_no_with_the_first_reason() {
    if fetched().is_none() {
        return;
    }
    let site = site();
    refused(&run(&site, &[]), 1, &["--gallery", "nothing usable", "1.jpg", "neither a JPEG nor a PNG"]);
    put(&site, "gallery/ann/1.jpg", &photo("obama.jpg"));
    put(&site, "probes/ann/2.mp4", b"no clip");
    std::fs::remove_file(site.path("probes/ann/2.jpg")).expect("there");
    refused(&run(&site, &[]), 1, &["--probes", "nothing usable", "2.mp4"]);
    std::fs::remove_file(site.path("probes/ann/2.mp4")).expect("there");
    put(&site, "probes/ann/2.jpg", &photo("obama.jpg"));
    refused(&run(&site, &[]), 1, &["--probes", "every file is in the gallery as well"]);
    assert!(!site.path("out/report.html").exists(), "no report without results");
}

fn people(site: &Site) {
    for (place, name) in [
        ("gallery/barack/1.jpg", "obama.jpg"),
        ("gallery/barry/1.jpg", "obama2.jpg"),
        ("gallery/grace/1.jpg", "grace_hopper.jpg"),
        ("gallery/eileen/1.png", "astronaut.png"),
        ("probes/barack/2.jpg", "obama3.jpg"),
        ("probes/grace/same.jpg", "grace_hopper.jpg"),
        ("strangers/passing.jpg", "biden.jpg"),
    ] {
        put(site, place, &photo(name));
    }
    put(site, "probes/barack/3.jpg", b"damaged");
    put(site, "probes/notes.txt", b"x");
}

#[test]
fn a_small_sample_is_reported_and_claims_nothing() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    people(&site);
    let strangers = site.path("strangers").display().to_string();
    let groups = put(&site, "groups.csv", b"person,group\nbarack,A\ngrace,B\n").display().to_string();
    let example = root().join("deploy/site-example.toml").display().to_string();
    let output = run(&site, &["--strangers", &strangers, "--groups", &groups, "--site", &example, "--json"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for words in ["single file", "barack and barry", "same.jpg is the same file", "3.jpg", "notes.txt"] {
        assert!(said.contains(words), "{words:?} is missing: {said}");
    }
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let written = std::fs::read_to_string(site.path("out/report.json")).expect("a file");
    assert_eq!(printed, serde_json::from_str::<serde_json::Value>(&written).expect("JSON"));
    assert_eq!((&printed["main"]["medium"], &printed["sizes"]["enrolled"]), (&"photo".into(), &4.into()));
    let found = &printed["main"]["all"]["found"];
    assert_eq!((&found["of"], &found["people"], &found["how"]), (&1.into(), &1.into(), &"too-few".into()));
    assert_eq!(printed["main"]["all"]["claim-found"]["is"], "not-claimed");
    assert_eq!(printed["main"]["all"]["false-candidates"]["of"], 1);
    let reasons = printed["main"]["reasons"].as_array().expect("a list");
    let counted: u64 = reasons.iter().filter_map(|reason| reason["enrolled"].as_u64()).sum();
    assert_eq!(counted, 1, "every appearance has one outcome");
    page_is_whole(&site.path("out/report.html"), &printed);
}

#[test]
fn groups_are_kept_as_rates_and_nobodys_label_is() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    people(&site);
    let text = b"person,age-band,site\nbarack,older,north\ngrace,older,south\n";
    let groups = put(&site, "groups.csv", text).display().to_string();
    let alone = run(&site, &["--write-summary"]);
    assert!(alone.status.code() == Some(2) && said(&alone).contains("--groups"), "{}", said(&alone));
    std::fs::create_dir_all(site.path("state")).expect("a folder");
    let output = run(&site, &["--groups", &groups, "--write-summary", "--json"]);
    assert!(output.status.success(), "{}", said(&output));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let columns = printed["main"]["groups"].as_array().expect("a list");
    assert_eq!((&columns[0]["column"], &columns[1]["column"]), (&"age-band".into(), &"site".into()));
    assert_eq!(columns[0]["missed"]["groups"][0]["claim"]["is"], "not-claimed");
    let page = std::fs::read_to_string(site.path("out/report.html")).expect("a page");
    assert!(page.contains("not shown: the sample is too small"), "a group too small is not shown");
    let kept = std::fs::read_to_string(site.path("state/groups.toml")).expect("the summary");
    assert!(kept.contains("older") && kept.contains("model-digest"), "{kept}");
    let state = std::fs::read_dir(site.path("state")).expect("a folder").flatten();
    for entry in state {
        let bytes = std::fs::read(entry.path()).expect("readable");
        for name in ["barack", "grace"] {
            assert!(!bytes.windows(name.len()).any(|at| at == name.as_bytes()), "{name} in {}", entry.path().display());
        }
    }
    assert!(!site.path("state/sekisho.db").exists(), "an evaluation touches no database");
}

/// One file that needs nothing else, in both languages, with every sentence there.
fn page_is_whole(path: &Path, printed: &serde_json::Value) {
    let page = std::fs::read_to_string(path).expect("a page");
    assert!(page.contains("id=\"language-en\" checked") && page.contains("class=\"ja\" lang=\"ja\""));
    assert!(!page.contains("??") && !page.contains("<script") && !page.contains("NaN") && !page.contains("inf "));
    for loading in ["src=", "url(", "@import", "<link", "http://", "https://"] {
        assert!(!page.contains(loading), "the page loads something: {loading}");
    }
    let digest = printed["about"]["models"]["embedder"]["digest"].as_str().expect("a digest");
    let calibration = printed["about"]["calibration-id"].as_str().expect("a name");
    for word in [digest, calibration, "not claimed: needs at least", "barack and barry", "@media print"] {
        assert!(page.contains(word), "{word:?} is missing");
    }
    // Braces are left over only in the style sheet.
    let body = page.split("</style>").nth(1).expect("a body");
    assert!(!body.contains('{'), "a value was not filled in");
}

#[test]
fn the_same_material_gives_the_same_figures() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    people(&site);
    let figures = || {
        let output = run(&site, &["--json"]);
        assert!(output.status.success(), "{}", said(&output));
        let mut document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        document["about"]["made"] = serde_json::Value::Null;
        document
    };
    let first = figures();
    assert_eq!(first, figures());
    assert_eq!(first["sizes"]["strangers-are-enrolled-people"], true, "enrolled people stand in for strangers");
}

#[test]
fn a_labelled_clip_with_several_people_is_left_out_and_a_strangers_clip_is_not() {
    let (Some(_), Some(clip)) = (fetched(), shared("data/clips/three-people-approach.mp4")) else { return };
    let clip = std::fs::read(clip).expect("a clip");
    let site = Site::new();
    put(&site, "gallery/barack/1.jpg", &photo("obama.jpg"));
    put(&site, "gallery/grace/1.jpg", &photo("grace_hopper.jpg"));
    put(&site, "probes/barack/2.jpg", &photo("obama3.jpg"));
    put(&site, "probes/barack/crowd.mp4", &clip);
    put(&site, "strangers/crowd.mp4", &clip);
    let strangers = site.path("strangers").display().to_string();
    let output = run(&site, &["--strangers", &strangers, "--json"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("crowd.mp4: two people are in view at"), "{said}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let tracks = document["other"]["all"]["false-candidates"]["of"].as_u64().expect("clips were judged");
    assert!(tracks >= 3, "{tracks} tracks of three people");
}
