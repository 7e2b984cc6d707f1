//! A site fits its calibration to its own strangers, a calibration becomes stale, and shadow mode raises nothing: with the
//! real program, database and networks.

use sekisho_logic::calibrate::{Batch, Finding, RowKey, Sample, Stale};
use sekisho_logic::time::WallMs;
use sekisho_store::{Counted, DbKey, IfMissing, Network, Store};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use sekisho_tests::stills::{Cut, cut_last_frame};
use serde_json::Value;
use std::path::Path;

fn store(site: &Site) -> Store {
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("the site's key");
    Store::open_existing(&site.path("state/sekisho.db"), key).expect("the site's database")
}

fn started(site: &Site) -> Daemon {
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("thresholds", 10, |daemon| daemon.get("/v1/status")["thresholds"][0]["by-size"].is_array());
    daemon
}

/// The network in use, as status tells it.
fn network(daemon: &Daemon) -> Network {
    let models = &daemon.get("/v1/status")["models"];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    Network { model_digest: text(&models["embedder"]["digest"]), preprocessing: text(&models["preprocessing"]) }
}

/// The largest size of the calibration in force at three frames, and its threshold.
fn largest(daemon: &Daemon) -> (f64, f64) {
    let status = daemon.get("/v1/status");
    let cells = status["thresholds"][0]["by-size"].as_array().expect("cells").clone();
    let last = cells.iter().rev().find(|cell| cell["frames"] == 3).expect("a size");
    (last["from-px"].as_f64().expect("a size"), last["cosine"].as_f64().expect("decidable"))
}

/// Strangers before fifty people, whose scores lie `shift` cells (of 1/128) around 0.1.
#[expect(clippy::cast_possible_truncation, reason = "cells are bytes and sizes are small")]
fn strangers(from_px: f64, tracks: u64, shift: i64) -> Batch {
    let row = RowKey::new(from_px as f32, 3);
    let mut batch = Batch::default();
    for track in 0..tracks {
        // A triangle of cells, 0.09 wide on either side: two dice a comparison.
        let dice = |n: u64| (track.wrapping_mul(50) + n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let cosine = |n: u64| 141 + shift + i64::try_from(dice(n) % 24 + dice(n + 7) % 24).expect("small") - 23;
        let mut cells: Vec<u8> = (0..50).map(|n| cosine(n).clamp(0, 255) as u8).collect();
        cells.sort_unstable();
        let best = cells.pop().expect("fifty");
        batch.rows.entry(row).or_default().add(&Sample { row, people: 50, best, rest: cells });
    }
    batch
}

fn now() -> WallMs {
    let since = std::fs::metadata("/proc/self").and_then(|about| about.modified()).expect("a clock");
    let since = since.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    WallMs(i64::try_from(since.as_millis()).expect("this century"))
}

#[test]
fn a_site_calibrates_on_its_strangers_and_the_running_daemon_takes_it() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = started(&site);
    let shipped = daemon.get("/v1/status")["calibration"].clone();
    assert_eq!((&shipped["source"], &shipped["stale"]), (&"shipped".into(), &Value::Null));
    let refused = site.cli(&["calibrate", "--from-shadow"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("0 looks at strangers"), "{said}");

    let (px, before) = largest(&daemon);
    // Strangers who score clearly higher than the shipped table says.
    let added = store(&site).add_counted(&network(&daemon), 1, &strangers(px, 4000, 16), now(), 90).expect("added");
    assert_eq!(added, Counted::Added);
    let printed = site.done(&["calibrate", "--from-shadow", "--out", &site.path("try.toml").display().to_string()]);
    assert!(printed.contains("Not in force") && printed.contains("stricter"), "{printed}");
    assert_eq!(daemon.get("/v1/status")["calibration"]["id"], shipped["id"]);

    let said: Value =
        serde_json::from_str(&site.done(&["calibrate", "--from-shadow", "--install", "--json"])).expect("JSON");
    assert_eq!(said["before"], shipped["id"]);
    daemon.wait_until("the site's calibration", 20, |daemon| {
        daemon.get("/v1/status")["calibration"]["id"] == said["after"] && largest(daemon).1 > before + 0.02
    });
    let calibration = daemon.get("/v1/status")["calibration"].clone();
    assert_eq!((&calibration["source"], &calibration["age-days"]), (&"shadow".into(), &0.into()));
    let status = site.done(&["status"]);
    assert!(status.contains("(shadow, 0 days old)") && status.contains("cosine, staff"), "{status}");

    assert!(site.done(&["calibrate", "--reset-shadow"]).contains("4000 looks at strangers"));
    assert!(daemon.stop(5).success());
    let actions: Vec<_> = store(&site).audit_entries(0, 50).expect("audit").into_iter().map(|row| row.action).collect();
    assert!(
        ["calibration-installed", "shadow-reset"].iter().all(|wanted| actions.iter().any(|a| a == wanted)),
        "{actions:?}"
    );
}

#[test]
fn a_stale_calibration_is_said_everywhere_survives_a_restart_and_ends_by_acknowledgement() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = started(&site);
    let (_, usual) = largest(&daemon);
    let id = daemon.get("/v1/status")["calibration"]["id"].as_str().expect("an id").to_owned();
    let nothing = site.cli(&["calibrate", "--acknowledge"]);
    assert_eq!(nothing.status.code(), Some(1));
    let stale = Stale { since: now(), calibration_id: id, finding: Finding::Rejections };
    store(&site).raise_stale(&stale, now()).expect("raised");
    let is_stale = |daemon: &Daemon| {
        let healthz = daemon.request("GET", "/healthz", "").expect("an answer");
        let tightened =
            daemon.get("/v1/status")["thresholds"][0]["target-fpir-per-mille"].as_f64().expect("a rate") < 0.2;
        healthz.0 == 200 && healthz.1.starts_with("calibration-stale: ") && tightened && largest(daemon).1 > usual
    };
    daemon.wait_until("calibration-stale", 20, is_stale);
    assert!(daemon.log().contains("calibration-stale"), "{}", daemon.log());
    let metrics = daemon.request("GET", "/metrics", "").expect("metrics").1;
    assert!(metrics.contains("sekisho_calibration_stale 1"), "{metrics}");
    assert!(daemon.stop(5).success());

    let mut daemon = started(&site);
    daemon.wait_until("calibration-stale after the restart", 20, is_stale);
    assert!(site.done(&["status"]).contains("STALE"));
    assert!(site.done(&["calibrate", "--acknowledge"]).contains("people reject"));
    daemon.wait_until("fresh again", 20, |daemon| {
        let healthz = daemon.request("GET", "/healthz", "").expect("an answer").1;
        healthz == "ok\n" && (largest(daemon).1 - usual).abs() < 1e-6
    });
    assert!(daemon.stop(5).success());
}

#[test]
fn a_site_calibration_of_another_network_is_refused_with_a_sentence_and_the_shipped_one_serves() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = started(&site);
    let shipped = daemon.get("/v1/status")["calibration"]["id"].clone();
    let file = daemon.get("/v1/status")["calibration"]["file"].as_str().expect("a file").to_owned();
    let digest = network(&daemon).model_digest;
    let text = std::fs::read_to_string(Path::new(&file)).expect("the shipped table").replace(&digest, &"0".repeat(64));
    std::fs::write(site.path("state/calibration.toml"), text).expect("a writable folder");
    daemon.wait_until("the refusal", 20, |daemon| {
        let calibration = &daemon.get("/v1/status")["calibration"];
        calibration["refused"].as_str().is_some_and(|said| said.contains("calibrate again"))
            && calibration["id"] == shipped
    });
    assert!(daemon.stop(5).success());
}

/// Photographs of `people` people: the first one for the gallery, the others as probes. `None` (said aloud) without them.
fn labelled(site: &Site, people: usize) -> Option<()> {
    let archive = shared("data/test-lfw.tar")?;
    let listed = std::process::Command::new("tar").arg("tf").arg(&archive).output().expect("tar(1)");
    let mut files: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    files.retain(|file| file.ends_with(".jpg"));
    files.sort_unstable();
    let person = |file: &str| file.split('/').next().unwrap_or_default().to_owned();
    let photos = |name: &str| files.iter().filter(|file| person(file) == name).cloned().collect::<Vec<_>>();
    let mut names: Vec<String> = files.iter().map(|file| person(file)).collect();
    names.dedup();
    let chosen: Vec<_> =
        names.into_iter().map(|name| photos(&name)).filter(|own| own.len() >= 3).take(people).collect();
    for (at, file) in chosen.iter().flat_map(|own| own.iter().take(3).enumerate()) {
        let folder = site.path(if at == 0 { "gallery" } else { "probes" });
        std::fs::create_dir_all(&folder).expect("a fresh folder");
        let done = std::process::Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&folder).arg(file).status();
        assert!(done.expect("tar(1)").success());
    }
    Some(())
}

#[test]
fn labelled_pictures_make_a_calibration_and_wrong_folders_are_refused_in_a_sentence() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let Some(()) = labelled(&site, 8) else { return };
    let (gallery, probes) = (site.path("gallery").display().to_string(), site.path("probes").display().to_string());
    let told = |gallery: &str, probes: &str| {
        let refused = site.cli(&["calibrate", "--labelled", "--gallery", gallery, "--probes", probes]);
        assert_ne!(refused.status.code(), Some(0));
        String::from_utf8_lossy(&refused.stderr).into_owned()
    };
    assert!(told("/nowhere/at/all", &probes).contains("/nowhere/at/all"));
    let said: Value = serde_json::from_str(&site.done(&[
        "calibrate",
        "--labelled",
        "--gallery",
        &gallery,
        "--probes",
        &probes,
        "--install",
        "--json",
    ]))
    .expect("JSON");
    // Photographs of 250 pixels: about 40 between the eyes, one frame each.
    assert!(said["site-looks"].as_u64().is_some_and(|people| people >= 6), "{said}");
    let mut daemon = started(&site);
    daemon.wait_until("the site's calibration", 20, |daemon| {
        let calibration = &daemon.get("/v1/status")["calibration"];
        calibration["source"] == "labelled" && calibration["id"] == said["after"]
    });
    assert!(daemon.stop(5).success());
    std::fs::rename(site.path("probes"), site.path("others")).expect("renamed");
    let folders: Vec<_> =
        std::fs::read_dir(site.path("others")).expect("there").map(|d| d.expect("one").path()).collect();
    for (at, folder) in folders.iter().enumerate() {
        std::fs::rename(folder, site.path("others").join(format!("nobody-{at}"))).expect("renamed");
    }
    let said = told(&gallery, &site.path("others").display().to_string());
    assert!(said.contains("must have the same name"), "{said}");
}

/// Where the faces are in the last frame of the clip (480x270).
const PEOPLE: [(&str, Cut); 2] = [("left", (16, 40, 140, 180)), ("middle", (160, 20, 140, 160))];

#[test]
fn in_shadow_mode_enrolled_people_raise_nothing_and_are_counted() {
    let (Some(_), Some(clip)) = (fetched(), shared("data/clips/three-people-approach.mp4")) else { return };
    let mut site = Site::new();
    let photos: Vec<_> = PEOPLE.iter().map(|(name, _)| site.path(&format!("{name}.png"))).collect();
    let cuts: Vec<_> = PEOPLE.iter().zip(&photos).map(|((_, cut), path)| (*cut, path.as_path())).collect();
    cut_last_frame(&clip, &cuts).expect("stills");
    for ((name, _), photo) in PEOPLE.iter().zip(&photos) {
        let _said = site.enrol(&[name, &photo.display().to_string()]);
    }
    site.configure(&format!("[decide]\nmode = \"shadow\"\n[cameras.hall]\nsource = \"file://{}\"\n", clip.display()));
    let mut daemon = started(&site);
    daemon.wait_until("somebody who would have been a candidate", 120, |daemon| {
        let verdicts = &daemon.get("/v1/cameras")["cameras"][0]["verdicts"];
        assert_eq!(verdicts["identified"], 0, "shadow mode names nobody");
        verdicts["not-decidable"]["shadow-mode"].as_u64().is_some_and(|count| count > 0)
    });
    assert_eq!(daemon.get("/v1/alerts")["alerts"], serde_json::json!([]));
    assert!(daemon.stop(10).success());
    let days = store(&site).counted_days(WallMs(now().0 + 86_400_000)).expect("counted");
    assert!(days.iter().any(|day| day.candidates > 0), "written at the stop: {days:?}");
}
