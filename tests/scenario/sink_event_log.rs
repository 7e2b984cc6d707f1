//! The event log when it grows, when others rotate it, when the disk is full, and when something else was cut off in it.

use sekisho::sink::standing::SinkState;
use sekisho_tests::delivering::Bench;
use sekisho_tests::store::Scratch;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn bench(path: &Path, more: &str) -> Bench {
    let path = path.display();
    Bench::new(&format!("[sinks.hook]\nkind = \"event-log\"\npath = \"{path}\"\nretry-max-s = 60\n{more}\n"))
}

/// Ids of the events in a file, every line of which must be one.
#[track_caller]
fn ids(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is cut off");
    let id = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:.200}"));
        event["id"].as_str().expect("an id").to_owned()
    };
    text.lines().map(id).collect()
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

#[test]
fn a_log_that_has_grown_is_put_aside_and_the_oldest_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("events.ndjson");
    let mut bench = bench(&log, "rotate-mib = 1\nkeep-files = 2");
    let mut told = Vec::new();
    for round in 0..6 {
        bench.happen(&format!("r{round}"), 100);
        assert!(bench.run(HOUR));
        // Each batch is one event of each of a hundred alerts, in order.
        told.extend((1..=4).flat_map(|event| (0..100).map(move |alert| format!("r{round}-{alert}.{event}"))));
    }
    let files = [numbered(&log, 2), numbered(&log, 1), log.clone()];
    let kept: Vec<String> = files.iter().filter(|file| file.exists()).flat_map(|file| ids(file)).collect();
    assert!(!numbered(&log, 3).exists(), "only two are kept");
    assert!(kept.len() < told.len() && kept.len() > 500, "{} of {} lines", kept.len(), told.len());
    assert_eq!(kept, told[told.len() - kept.len()..], "what is kept is the end, whole and in order");
    for file in &files[..2] {
        let about = std::fs::metadata(file).expect("put aside");
        assert!((1 << 20..2 << 20).contains(&about.len()), "{} bytes", about.len());
        assert_eq!(about.permissions().mode() & 0o777, 0o640);
    }
    assert_eq!(bench.depth().delivered, 2400);
}

#[test]
fn a_log_that_others_rotate_is_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("events.ndjson");
    let mut bench = bench(&log, "rotate-mib = 0");
    bench.happen("a", 1);
    assert!(bench.run(HOUR));
    std::fs::rename(&log, dir.path().join("yesterday")).expect("as logrotate does");
    bench.happen("b", 1);
    assert!(bench.run(HOUR));
    assert_eq!((ids(&dir.path().join("yesterday")).len(), ids(&log).len()), (4, 4));
    // As logrotate does with copytruncate.
    std::fs::File::options().write(true).truncate(true).open(&log).expect("open");
    bench.happen("c", 1);
    assert!(bench.run(HOUR));
    assert_eq!(ids(&log), ["c-0.1", "c-0.2", "c-0.3", "c-0.4"]);
}

#[test]
fn a_full_disk_leaves_no_half_line_and_loses_nothing() {
    let scratch = match Scratch::mount("size=2m") {
        Ok(scratch) => scratch,
        Err(error) => return eprintln!("SKIPPED: no file system can be mounted here: {error}"),
    };
    let log = scratch.path.join("events.ndjson");
    let mut bench = bench(&log, "");
    bench.happen("a", 10);
    assert!(bench.run(HOUR));
    // Room for some of the next batch and not for all of it.
    let filler = scratch.fill(20 * 1024).expect("filled");
    bench.happen("b", 50);
    assert!(!bench.run(HOUR));
    let view = bench.view();
    assert_eq!(view.state, SinkState::Failing);
    assert!(view.last_error.as_ref().is_some_and(|said| said.contains("No space left")), "{view:?}");
    let torn = std::fs::read_to_string(&log).expect("the log");
    assert!(!torn.ends_with('\n'), "the test means nothing unless a line was cut in two");
    std::fs::remove_file(filler).expect("room again");
    assert!(bench.run(HOUR));
    let lines = ids(&log);
    assert_eq!(lines.len(), 240, "each once, and no piece of a line");
    assert_eq!(bench.view().state, SinkState::Ok);
}

#[test]
fn what_somebody_else_left_unfinished_stays_on_a_line_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("events.ndjson");
    std::fs::write(&log, "{\"id\":\"old.1\"}\n{\"id\":\"cut of").expect("written");
    let mut bench = bench(&log, "");
    bench.happen("a", 1);
    assert!(bench.run(HOUR));
    let text = std::fs::read_to_string(&log).expect("the log");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[1]), (6, "{\"id\":\"cut of"));
    assert!(lines[2..].iter().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn a_folder_that_is_not_there_is_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("later/events.ndjson");
    let mut bench = bench(&log, "");
    bench.happen("a", 5);
    assert!(!bench.run(HOUR));
    assert!(bench.view().last_error.is_some_and(|said| said.contains("later/events.ndjson: No such file")));
    std::fs::create_dir(log.parent().expect("a folder")).expect("made");
    assert!(bench.run(Duration::from_secs(61)));
    assert_eq!(ids(&log).len(), 20);
}

/// `sekisho setup` writes a test alert as root into a folder of the service, which may hold anything.
#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (log, theirs) = (dir.path().join("events.ndjson"), dir.path().join("profile"));
    std::fs::write(&theirs, "as it was\n").expect("written");
    for target in [theirs.clone(), dir.path().join("made")] {
        std::os::unix::fs::symlink(&target, &log).expect("linked");
        let mut bench = bench(&log, "");
        bench.happen("a", 1);
        assert!(!bench.run(HOUR));
        assert!(bench.view().last_error.is_some_and(|said| said.contains("it is a link, which is not followed")));
        std::fs::remove_file(&log).expect("own link");
        assert!(bench.run(Duration::from_secs(61)));
        assert_eq!(ids(&log).len(), 4);
        std::fs::remove_file(&log).expect("own file");
    }
    assert_eq!(std::fs::read_to_string(&theirs).expect("there"), "as it was\n");
    assert!(!dir.path().join("made").exists());
}
