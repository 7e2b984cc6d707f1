//! Backups: made while the daemon runs, put back as a whole, proof against damage, crashes and the return of the erased.

use sekisho_logic::id::PersonId;
use sekisho_store::{ErasureCause, Store};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Site, binary, fetched};
use sekisho_tests::store::Dice;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn people(site: &Site) -> Vec<String> {
    let mut store: Store = planted::store(site);
    store.people().expect("people").into_iter().map(|person| person.id.to_string()).collect()
}

fn planted(names: &[&str]) -> Site {
    let site = Site::new();
    let mut store = planted::store(&site);
    for name in names {
        planted::enrol(&mut store, name, "uid:0");
    }
    site
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn backup(site: &Site, to: &Path) -> PathBuf {
    let told = site.done(&["backup", "create", &to.display().to_string(), "--json"]);
    let told: Value = serde_json::from_str(&told).expect("JSON");
    PathBuf::from(told["file"].as_str().expect("a file"))
}

#[test]
fn a_backup_made_while_the_daemon_runs_is_put_back_and_the_erased_stay_erased() {
    if fetched().is_none() {
        return;
    }
    let site = planted(&["ann-1", "bob-2"]);
    let mut daemon = site.start();
    daemon.wait_ready();
    let shelf = site.path("shelf");
    std::fs::create_dir(&shelf).expect("made");
    let file = backup(&site, &shelf);
    let place = file.display().to_string();
    let bytes = std::fs::read(&file).expect("read");
    assert!(bytes.starts_with(b"sekisho backup 1\n"));
    for canary in [&b"ann-1"[..], b"Ann Example", b"SQLite format"] {
        assert!(!bytes.windows(canary.len()).any(|window| window == canary), "nothing shows");
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "cat-3", "uid:0");
    planted::alert(&mut store, &Alert::of("a-9", 1));
    drop(store);
    let _said = site.done(&["gallery", "remove", "bob-2"]);
    let refused = site.cli(&["restore", &place, "--replace"]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("stop it first"), "{}", said(&refused));
    assert!(daemon.stop(10).success());

    let refused = site.cli(&["restore", &place]);
    assert!(refused.status.code() == Some(1) && said(&refused).contains("--replace"), "{}", said(&refused));
    assert_eq!(people(&site), ["ann-1", "cat-3"]);
    let told = site.done(&["restore", &place, "--replace"]);
    assert!(told.contains("erased again") && told.contains("bob-2"), "{told}");
    assert_eq!(people(&site), ["ann-1"], "as it was then, but for the one who was erased since");
    let aside = std::fs::read_dir(site.path("state")).expect("a folder").flatten();
    let aside: Vec<_> = aside.filter(|one| one.file_name().to_string_lossy().starts_with("before-restore-")).collect();
    assert_eq!(aside.len(), 1);

    // The trail tells of it, and checkpoints of the trail that was given up are known as such.
    let old = aside[0].path().join("audit-checkpoints.ndjson").display().to_string();
    let verify = site.cli(&["audit", "verify", "--json", "--checkpoints", &old]);
    let verdict: Value = serde_json::from_slice(&verify.stdout).expect("JSON");
    assert!(verify.status.success() && verdict["superseded"].as_u64() > Some(0), "{verdict}");
    assert!(site.done(&["audit", "show", "--action", "restore"]).contains("restore"));
    assert!(site.done(&["audit", "verify"]).contains("whole"));

    let _told = site.done(&["restore", &place, "--replace", "--purge-old"]);
    let left = std::fs::read_dir(site.path("state")).expect("a folder").flatten();
    let names: Vec<_> = left.map(|one| one.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("before-restore-")).count(), 1, "only the first: {names:?}");
    assert!(!names.iter().any(|name| name.starts_with("restor")), "{names:?}");
    let mut daemon = site.start();
    daemon.wait_ready();
    assert!(daemon.stop(10).success());
}

#[test]
fn a_hostile_backup_is_one_sentence_and_changes_nothing() {
    let site = planted(&["ann-1"]);
    let file = backup(&site, &site.path("good.backup"));
    let bytes = std::fs::read(&file).expect("read");
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "bob-2", "uid:0");
    drop(store);
    let database = std::fs::read(site.path("state/sekisho.db")).expect("read");
    let bad = site.path("bad.backup");
    let place = bad.display().to_string();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", Vec::new()),
        ("not ours", b"PK\x03\x04 something else entirely".to_vec()),
        ("head only", bytes[..200].to_vec()),
        ("cut in half", bytes[..bytes.len() / 2].to_vec()),
        ("last byte gone", bytes[..bytes.len() - 1].to_vec()),
        ("salt flipped", flipped(140)),
        ("first chunk flipped", flipped(600)),
        ("end flipped", flipped(bytes.len() - 20)),
        ("more behind", [bytes.clone(), vec![0; 40]].concat()),
    ];
    for (what, content) in cases {
        std::fs::write(&bad, content).expect("written");
        let refused = site.cli(&["restore", &place, "--replace"]);
        let text = said(&refused);
        assert_eq!(refused.status.code(), Some(1), "{what}: {text}");
        assert!(text.trim_end().lines().count() == 1 && text.contains("bad.backup"), "{what}: {text}");
    }
    let other = site.path("other.key");
    std::fs::write(&other, "ab".repeat(32)).expect("written");
    std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    let refused =
        site.cli(&["restore", &file.display().to_string(), "--replace", "--key-file", &other.display().to_string()]);
    assert!(said(&refused).contains("locked with a database-key"), "{}", said(&refused));
    assert_eq!(std::fs::read(site.path("state/sekisho.db")).expect("read"), database, "nothing was changed");
    assert_eq!(people(&site), ["ann-1", "bob-2"]);
    // Another box with a database key of its own cannot open it, passphrase or not.
    let words = site.path("words");
    std::fs::write(&words, "correct horse battery staple\n").expect("written");
    std::fs::set_permissions(&words, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("own file");
    let words = words.display().to_string();
    let under_words = site.path("words.backup").display().to_string();
    let _said = site.done(&["backup", "create", &under_words, "--passphrase-file", &words]);
    let elsewhere = planted(&["eve-5"]);
    let refused = elsewhere.cli(&["restore", &under_words, "--replace", "--passphrase-file", &words]);
    assert!(
        refused.status.code() == Some(1) && said(&refused).contains("does not open with this key"),
        "{}",
        said(&refused)
    );
    assert_eq!(people(&elsewhere), ["eve-5"]);
    let _said = site.done(&["restore", &under_words, "--replace", "--passphrase-file", &words]);
}

/// Starts a verb and kills it after a while of so many milliseconds.
fn killed(site: &Site, args: &[&str], after_ms: u64) {
    let mut command = Command::new(binary());
    command.arg("--config").arg(site.path("sekisho.toml")).args(args).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    std::thread::sleep(Duration::from_millis(after_ms));
    let _over_already = child.kill();
    let _status = child.wait().expect("reaped");
}

#[test]
fn killed_at_any_moment_there_is_a_whole_backup_or_none_and_the_old_state_or_the_new() {
    let site = planted(&["ann-1", "bob-2"]);
    let file = backup(&site, &site.path("first.backup")).display().to_string();
    let mut store = planted::store(&site);
    store
        .erase(&PersonId::try_new("bob-2").expect("a name"), ErasureCause::Asked, "uid:0", planted::now())
        .expect("erased");
    planted::enrol(&mut store, "cat-3", "uid:0");
    drop(store);
    let (mut dice, mut seen) = (Dice::new(11), [0, 0]);
    let shelf = site.path("shelf");
    std::fs::create_dir(&shelf).expect("made");
    for round in 0..12 {
        let name = shelf.join(format!("{round}.backup"));
        killed(&site, &["backup", "create", &name.display().to_string()], dice.roll(5, 1500));
        if name.exists() {
            let listed = site.done(&["backup", "list", &shelf.display().to_string()]);
            assert!(listed.contains(&format!("{round}.backup")), "{listed}");
            seen[0] += 1;
        }
    }
    let whole = backup(&site, &shelf);
    assert!(whole.exists());
    let left = std::fs::read_dir(&shelf).expect("a folder").flatten();
    assert!(
        left.into_iter().all(|one| !one.file_name().to_string_lossy().starts_with('.')),
        "leftovers are cleared away"
    );
    for _ in 0..12 {
        killed(&site, &["restore", &file, "--replace"], dice.roll(5, 1500));
        let there = people(&site);
        // The old one, or the new one in which the erased are erased again.
        assert!(there == ["ann-1", "cat-3"] || there == ["ann-1"], "{there:?}");
        assert!(site.done(&["audit", "verify"]).contains("whole"));
        if there == ["ann-1"] {
            seen[1] += 1;
            let mut store = planted::store(&site);
            planted::enrol(&mut store, "cat-3", "uid:0");
        }
    }
    println!("backups whole {} of 12, restores done {} of 12", seen[0], seen[1]);
}
