//! `sekisho doctor` in every broken state there is: each is named under its id with something to do, the exit code says how bad
//! it is, and nothing is changed by looking.

use sekisho_logic::time::WallMs;
use sekisho_tests::planted;
use sekisho_tests::rtsp_stub::{Manner, RtspStub};
use sekisho_tests::site::{Site, fetched, files, root};
use sekisho_tests::store::Scratch;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// The exit code, and the document.
fn doctor(site: &Site, more: &[&str]) -> (Option<i32>, Value) {
    let output = site.cli(&[&["doctor", "--json"], more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no document: {said}"));
    (output.status.code(), document)
}

/// The finding of this id.
#[track_caller]
fn finding<'d>(document: &'d Value, id: &str) -> &'d Value {
    let found = document["findings"].as_array().into_iter().flatten().find(|finding| finding["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is not among {document:#}"))
}

fn has(document: &Value, id: &str) -> bool {
    document["findings"].as_array().into_iter().flatten().any(|finding| finding["id"] == id)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own file");
}

/// Replaces one line's value in the site's configuration.
fn change(site: &Site, key: &str, value: &str) {
    let path = site.path("sekisho.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let lines = text.lines().map(|line| match line.starts_with(&format!("{key} = ")) {
        true => format!("{key} = {value:?}\n"),
        false => format!("{line}\n"),
    });
    std::fs::write(&path, lines.collect::<String>()).expect("writable");
}

#[test]
fn without_a_configuration_it_says_so_and_looks_at_the_rest() {
    let site = Site::new();
    std::fs::remove_file(site.path("sekisho.toml")).expect("own file");
    let (code, document) = doctor(&site, &[]);
    assert_eq!(code, Some(2));
    let missing = finding(&document, "configuration/missing");
    assert!(missing["advice"].as_str().is_some_and(|text| text.contains("sekisho setup")), "{missing}");
    assert_eq!(document["configured"], false);
    assert!(
        document["findings"].as_array().is_some_and(|all| all.iter().any(|it| it["area"] == "clock")),
        "{document}"
    );
    assert!(
        document["findings"].as_array().is_some_and(|all| all.iter().any(|it| it["area"] == "service")),
        "{document}"
    );
}

#[test]
fn every_mistake_of_a_broken_configuration_is_named_with_its_line() {
    let site = Site::new();
    site.write_config("[cameras.gate]\nsorce = \"rtsp://192.0.2.1/x\"\n[detect]\nanalysed-fps = -1\n");
    let (code, document) = doctor(&site, &[]);
    assert_eq!(code, Some(2));
    let said: Vec<_> = document["findings"].as_array().into_iter().flatten().map(ToString::to_string).collect();
    for word in ["sorce", "analysed-fps"] {
        assert!(said.iter().any(|it| it.contains(word) && it.contains("sekisho.toml:")), "{word}: {document:#}");
    }
    std::fs::write(site.path("sekisho.toml"), [0xff, 0xfe, 0, 1]).expect("writable");
    assert_eq!(doctor(&site, &[]).0, Some(2));
}

#[test]
fn missing_networks_and_a_missing_runtime_are_errors_that_name_the_file() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    change(&site, "dir", &site.path("nothing").display().to_string());
    for more in [&[][..], &["--quick"]] {
        let (code, document) = doctor(&site, more);
        let missing = finding(&document, "models/missing");
        assert_eq!((code, &missing["level"]), (Some(1), &json!("error")));
        assert!(missing["said"].as_str().is_some_and(|text| text.contains("nothing")), "{missing}");
    }
    change(&site, "onnxruntime", "/nonexistent/libonnxruntime.so");
    assert!(finding(&doctor(&site, &[]).1, "models/runtime")["place"].to_string().contains("/nonexistent"));
    change(&site, "manifest", "/nonexistent/manifest.toml");
    assert_eq!(finding(&doctor(&site, &[]).1, "models/manifest")["level"], "error");
}

#[test]
fn a_network_that_was_changed_is_refused() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let own = site.path("models");
    std::fs::create_dir(&own).expect("a folder");
    for (path, bytes) in files(&root().join(".sekisho/models")) {
        let name = path.file_name().expect("a name");
        let mut bytes = bytes;
        if name.to_string_lossy().contains("yunet") {
            bytes[1000] ^= 1;
        }
        std::fs::write(own.join(name), bytes).expect("written");
    }
    change(&site, "dir", &own.display().to_string());
    assert_eq!(finding(&doctor(&site, &[]).1, "models/refused")["level"], "error");
}

#[test]
fn without_a_calibration_nothing_can_be_decided_and_that_is_said() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let own = site.path("models");
    std::fs::create_dir(&own).expect("a folder");
    for entry in std::fs::read_dir(root().join("models")).expect("the models").flatten() {
        if entry.file_name() != "calibration" {
            std::os::unix::fs::symlink(entry.path().canonicalize().expect("there"), own.join(entry.file_name()))
                .expect("a link");
        }
    }
    change(&site, "manifest", &own.join("manifest.toml").display().to_string());
    // The manifest is found through its link; what lies beside it is not there.
    std::fs::remove_file(own.join("manifest.toml")).expect("own link");
    std::fs::copy(root().join("models/manifest.toml"), own.join("manifest.toml")).expect("copied");
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(code, Some(1));
    assert_eq!(finding(&document, "calibration/none")["level"], "error", "{document:#}");
}

#[test]
fn the_sites_own_calibration_that_cannot_be_used_is_an_error_and_the_shipped_one_a_warning() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let (_, document) = doctor(&site, &["--quick"]);
    assert_eq!(finding(&document, "calibration/not-of-this-site")["level"], "warning");
    assert_eq!(finding(&document, "accuracy/not-measured")["level"], "warning");
    std::fs::create_dir(site.path("state")).expect("a folder");
    std::fs::write(site.path("state/calibration.toml"), "nonsense = [").expect("written");
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(finding(&document, "calibration/refused")["level"], "error");
    assert_eq!(code, Some(1));
}

#[test]
fn exposed_keys_credentials_and_directories_are_named_with_the_command_that_closes_them() {
    let mut site = Site::new();
    site.configure("[cameras.gate]\nsource = \"rtsp://127.0.0.1:9/x\"\ncredential = \"gate\"\n");
    drop(planted::store(&site));
    site.credential("gate", "ann:secret-word");
    mode(&site.path("credentials/gate"), 0o644);
    mode(&site.path("state/store.key"), 0o640);
    std::fs::write(site.path("state/audit.key"), "x").expect("own file");
    mode(&site.path("state/audit.key"), 0o644);
    mode(&site.path("state"), 0o755);
    mode(&site.path("sekisho.toml"), 0o666);
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(code, Some(1));
    for id in ["key-exposed", "credential-exposed", "state-dir-open", "config-writable"] {
        let found = finding(&document, &format!("permissions/{id}"));
        assert!(found["advice"].as_str().is_some_and(|text| text.contains("chmod")), "{found}");
    }
    assert!(has(&document, "keys/database-closed"), "{document:#}");
    assert!(!document.to_string().contains("secret-word"));
    let exposed = document["findings"].as_array().into_iter().flatten();
    for found in exposed.filter(|found| found["id"] == "permissions/key-exposed") {
        // What renews the database's key leaves the other one as it was.
        let of_trail = found["place"].as_str().is_some_and(|place| place.ends_with("audit.key"));
        assert_eq!(found["advice"].as_str().is_some_and(|text| text.contains("gallery rekey")), !of_trail, "{found}");
    }
    std::fs::remove_file(site.path("credentials/gate")).expect("own file");
    std::fs::create_dir(site.path("credentials/gate")).expect("own folder");
    let (_, document) = doctor(&site, &["--quick"]);
    let advice = finding(&document, "permissions/credential-unusable")["advice"].to_string();
    assert!(advice.contains("put it away") && !advice.contains("chmod"), "{advice}");
    std::fs::remove_dir(site.path("credentials/gate")).expect("own folder");
    assert_eq!(finding(&doctor(&site, &["--quick"]).1, "permissions/credential-missing")["level"], "error");
}

#[test]
fn a_file_of_somebody_else_in_the_state_directory_is_found() {
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: only root can give a file to somebody else");
        return;
    }
    let site = Site::new();
    drop(planted::store(&site));
    std::os::unix::fs::chown(site.path("state/sekisho.db"), Some(4242), Some(4242)).expect("root may");
    let (_, document) = doctor(&site, &["--quick"]);
    let found = finding(&document, "permissions/foreign-file");
    assert!(found["advice"].as_str().is_some_and(|text| text.contains("chown -R")), "{found}");
}

#[test]
fn a_full_and_a_read_only_disk_are_told_apart() {
    let Ok(disk) = Scratch::mount("size=3m") else {
        eprintln!("SKIPPED: a file system cannot be mounted here; run as root to test a full disk");
        return;
    };
    let site = Site::new();
    change(&site, "state-dir", &disk.path.display().to_string());
    let _made = site.done(&["gallery", "list"]);
    assert_eq!(finding(&doctor(&site, &["--quick"]).1, "disk/full")["level"], "error");
    disk.remount("ro").expect("remounted");
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(code, Some(1));
    let found = finding(&document, "disk/read-only");
    assert!(found["advice"].as_str().is_some_and(|text| text.contains("remount")), "{found}");
}

#[test]
fn with_the_daemon_stopped_each_camera_is_asked_itself() {
    let refuses = RtspStub::start(Manner::RefuseEverybody).expect("a stub");
    let offers =
        RtspStub::start(Manner::Describe("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n".into())).expect("a stub");
    let sound = RtspStub::start(Manner::Describe("m=audio 0 RTP/AVP 0\r\n".into())).expect("a stub");
    let mail = RtspStub::start(Manner::Smtp).expect("a stub");
    let mut site = Site::new();
    site.credential("door", "ann:secret-word");
    for (name, url, more) in [
        ("open", offers.url(), ""),
        ("locked", refuses.url(), "credential = \"door\""),
        ("unknown", refuses.url() + "2", ""),
        ("sound", sound.url(), ""),
        ("mail", mail.url(), ""),
        ("gone", "rtsp://127.0.0.1:9/x".to_owned(), ""),
        ("film", "file:///nonexistent/film.mp4".to_owned(), ""),
    ] {
        site.configure(&format!("[cameras.{name}]\nsource = {url:?}\n{more}"));
    }
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(code, Some(1));
    assert_eq!(finding(&document, "daemon/stopped")["level"], "error");
    let of = |camera: &str| {
        let all = document["findings"].as_array().into_iter().flatten();
        let its = all
            .filter(|it| it["area"] == "cameras" && it["place"] == camera)
            .map(|it| it["id"].as_str().unwrap_or_default());
        its.collect::<Vec<_>>()
    };
    for (camera, id) in [
        ("open", "cameras/answers"),
        ("locked", "cameras/password-refused"),
        ("unknown", "cameras/no-password"),
        ("sound", "cameras/refused"),
        ("mail", "cameras/unreachable"),
        ("gone", "cameras/unreachable"),
        ("film", "cameras/unreachable"),
    ] {
        assert_eq!(of(camera), [id], "{camera}");
    }
    assert_eq!(refuses.passwords_presented(), 1, "a password is presented once, or the account is locked");
    assert!(!refuses.heard().contains("secret-word") && !document.to_string().contains("secret-word"));
}

#[test]
fn a_clock_behind_what_was_written_is_noticed() {
    let site = Site::new();
    let mut store = planted::store(&site);
    let ahead = WallMs(planted::now().0 + 86_400_000);
    store.audit(ahead, "daemon", "run-start", None, json!({})).expect("a row");
    drop(store);
    let (code, document) = doctor(&site, &["--quick"]);
    assert_eq!(code, Some(1));
    assert_eq!(finding(&document, "clock/behind")["level"], "error");
}

#[test]
fn looking_at_a_fresh_box_makes_nothing() {
    let site = Site::new();
    let (_, document) = doctor(&site, &["--quick"]);
    assert!(has(&document, "keys/none-yet") && has(&document, "cameras/no-camera"), "{document:#}");
    assert!(!site.path("state").exists(), "a look makes no directory, no key and no database");
}

#[test]
fn looking_at_what_is_there_changes_no_file() {
    let site = Site::new();
    drop(planted::store(&site));
    let database = site.path("state/sekisho.db");
    mode(&database, 0o640);
    let before = files(&site.path("state"));
    let (_, document) = doctor(&site, &[]);
    assert!(has(&document, "audit/whole"), "{document:#}");
    let after = files(&site.path("state"));
    let names =
        |files: &[(std::path::PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before));
    assert!(after == before, "a look changed a file");
    assert_eq!(std::fs::metadata(&database).expect("there").permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_broken_trail_and_a_damaged_database_are_errors_and_no_end() {
    let site = Site::new();
    drop(planted::store(&site));
    let (_, document) = doctor(&site, &[]);
    assert_eq!(finding(&document, "audit/whole")["level"], "ok");
    assert_eq!(finding(&document, "gallery/empty")["level"], "warning");
    assert_eq!(finding(&document, "backups/none")["level"], "warning");
    assert_eq!(finding(&document, "keys/file")["level"], "notice");
    let database = site.path("state/sekisho.db");
    let mut bytes = std::fs::read(&database).expect("the database");
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&database, bytes).expect("writable");
    let (code, document) = doctor(&site, &[]);
    assert_eq!((code, &finding(&document, "keys/database-closed")["level"]), (Some(1), &json!("error")));
}

#[test]
fn a_running_daemon_that_is_well_gives_exit_code_0_and_a_page_in_80_columns() {
    let Some(place) = fetched() else { return };
    let (clip, photo) = (place.join("demo/clips/gate.mp4"), place.join("demo/photos/grace_hopper.jpg"));
    if !clip.exists() || !photo.exists() {
        eprintln!("SKIPPED: {} is absent; run the demonstration once", clip.display());
        return;
    }
    let mut site = Site::new();
    site.enrol(&["grace", &photo.display().to_string()]);
    let clip = clip.canonicalize().expect("the clip");
    site.configure(&format!("[cameras.gate]\nsource = \"file://{}\"\nrepeat = \"forever\"\n", clip.display()));
    site.configure(&format!(
        "[sinks.log]\nkind = \"event-log\"\npath = {:?}\n",
        site.path("events.ndjson").display().to_string()
    ));
    let backups = site.path("backups");
    std::fs::create_dir(&backups).expect("a folder");
    let _made = site.done(&["backup", "create", &backups.display().to_string()]);
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("pictures", 30, |daemon| daemon.get("/v1/status")["cameras"]["streaming"] == 1);
    let (code, document) = doctor(&site, &[]);
    assert_eq!(code, Some(0), "{document:#}");
    for id in [
        "daemon/running",
        "cameras/streaming",
        "sinks/delivering",
        "models/verified",
        "audit/whole",
        "backups/recent",
        "disk/room",
    ] {
        assert_eq!(finding(&document, id)["level"], "ok");
    }
    assert_eq!(document["counts"]["error"], 0);
    let page = site.done(&["doctor"]);
    assert!(page.starts_with("sekisho doctor: 0 errors"), "{page}");
    let wide: Vec<_> =
        page.lines().filter(|line| line.chars().count() > 80 && line.split_whitespace().count() > 1).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    let _answer = site.done(&["pause-matching", "--reason", "a test"]);
    assert_eq!(finding(&doctor(&site, &["--quick"]).1, "daemon/paused")["level"], "warning");
    assert!(daemon.stop(5).success());
    assert!(has(&doctor(&site, &["--quick"]).1, "daemon/stopped"));
}
