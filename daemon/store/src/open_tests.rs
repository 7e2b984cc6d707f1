use super::*;
use crate::SCHEMA_VERSION;
use crate::testing::{Bench, KEY, key, story};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

#[test]
fn a_new_store_is_private_and_opens_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("state").join("sekisho.db");
    let mut store = Store::create_or_open(&path, key()).expect("made");
    store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o7777;
    assert_eq!(mode(&dir.path().join("state")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(&dir.path().join(format!("state/sekisho.db{suffix}"))), 0o600, "{suffix}");
    }
    store.close().expect("closed");
    assert!(!dir.path().join("state/sekisho.db-wal").exists(), "closing folds the log back");
    let mut store = Store::open_existing(&path, key()).expect("opened");
    assert_eq!(store.journal_end().expect("end"), 1);
}

#[test]
fn open_existing_makes_nothing() {
    let dir = tempfile::tempdir().expect("temp dir");
    for name in ["none.db", "no/such/dir.db"] {
        let error = Store::open_existing(&dir.path().join(name), key()).expect_err("absent");
        assert!(matches!(error, StoreError::Absent { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 0);
    let empty = dir.path().join("empty.db");
    fs::write(&empty, b"").expect("write");
    assert!(matches!(Store::open_existing(&empty, key()), Err(StoreError::Absent { .. })));
    // What a crash right after the file was made leaves behind is finished by the next start.
    Store::create_or_open(&empty, key()).expect("finished");
}

#[test]
fn a_wrong_key_is_told_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    bench.store.checkpoint().expect("folded");
    let before = fs::read(bench.path()).expect("read");
    let mut other = KEY;
    other[31] ^= 1;
    for _ in 0..2 {
        let error = Store::create_or_open(&bench.path(), DbKey::from_bytes(other)).expect_err("refused");
        assert!(matches!(error, StoreError::WrongKey { .. }), "{error}");
    }
    assert_eq!(fs::read(bench.path()).expect("read"), before);
    bench.reload();
    assert_eq!(bench.store.journal_end().expect("end"), 1);
}

#[test]
fn damage_is_found_at_start() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("db");
    let mut store = Store::create_or_open(&path, key()).expect("made");
    for alert in 0..50 {
        store.append(&story(&format!("a-{alert}"))[0], &["log"], "daemon").expect("appended");
    }
    store.close().expect("closed");
    let size = fs::metadata(&path).expect("there").len();
    // Every page is authenticated, so one flipped byte in any of them is found.
    for place in [size / 2, size - 100] {
        let whole = fs::read(&path).expect("read");
        let mut file = OpenOptions::new().write(true).open(&path).expect("open");
        file.seek(SeekFrom::Start(place)).expect("seek");
        let at = usize::try_from(place).expect("small");
        file.write_all(&[whole[at] ^ 0x40]).expect("damage");
        let error = Store::open_existing(&path, key()).expect_err("damaged");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
        fs::write(&path, whole).expect("healed");
    }
    Store::open_existing(&path, key()).expect("sound again");
}

#[test]
fn a_truncated_or_foreign_file_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("db");
    Store::create_or_open(&path, key()).expect("made").close().expect("closed");
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    let error = Store::open_existing(&path, key()).expect_err("cut");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    for junk in [&b"hello"[..], &[0_u8; 4096], &[0xff_u8; 100_000]] {
        fs::write(&path, junk).expect("junk");
        let error = Store::create_or_open(&path, key()).expect_err("junk");
        assert!(matches!(error, StoreError::WrongKey { .. } | StoreError::Corrupt { .. }), "{error}");
        assert_eq!(fs::read(&path).expect("read"), junk, "the file was touched");
    }
}

#[test]
fn loose_modes_are_closed_or_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("db");
    Store::create_or_open(&path, key()).expect("made").close().expect("closed");
    fs::set_permissions(&path, Permissions::from_mode(0o664)).expect("chmod");
    Store::open_existing(&path, key()).expect("opened");
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
    for mode in [0o770, 0o702, 0o1777] {
        fs::set_permissions(dir.path(), Permissions::from_mode(mode)).expect("chmod");
        let error = Store::open_existing(&path, key()).expect_err("exposed");
        assert!(matches!(error, StoreError::Exposed { .. }) && error.to_string().contains("chmod 700"), "{error}");
    }
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).expect("chmod");
}

#[test]
fn a_link_in_the_place_of_database_log_or_reserve_is_not_followed() {
    let dir = tempfile::tempdir().expect("temp dir");
    let [theirs, own, path] = ["shadow", "own.db", "sekisho.db"].map(|name| dir.path().join(name));
    fs::write(&theirs, "root:x").expect("written");
    fs::set_permissions(&theirs, Permissions::from_mode(0o640)).expect("chmod");
    Store::create_or_open(&own, key()).expect("made").close().expect("closed");
    fs::set_permissions(&own, Permissions::from_mode(0o640)).expect("chmod");
    for target in [&theirs, &own] {
        symlink(target, &path).expect("linked");
        for open in [Store::create_or_open, Store::open_existing, Store::open_to_look] {
            let error = open(&path, key()).expect_err("a link").to_string();
            assert!(error.contains("it is a link, which is not followed"), "{error}");
        }
        assert_eq!(fs::metadata(target).expect("there").mode() & 0o7777, 0o640);
        fs::remove_file(&path).expect("own link");
    }
    for beside in ["own.db-wal", "own.db-shm"] {
        symlink(&theirs, dir.path().join(beside)).expect("linked");
        assert!(Store::create_or_open(&own, key()).is_err(), "{beside} was followed");
        fs::remove_file(dir.path().join(beside)).expect("own link");
    }
    let reserve = crate::Ballast::beside(&own, 5000);
    symlink(&theirs, dir.path().join("ballast")).expect("linked");
    assert!(reserve.release().is_err());
    assert!(reserve.fill().is_err());
    symlink(&theirs, dir.path().join("run.lock")).expect("linked");
    assert!(crate::InstanceLock::acquire(dir.path()).is_err());
    assert_eq!(fs::read(&theirs).expect("there"), b"root:x");
    // The directory itself may be one: an administrator put it elsewhere.
    let by_link = dir.path().join("link");
    symlink(dir.path(), &by_link).expect("linked");
    Store::create_or_open(&by_link.join("own.db"), key()).expect("opened").close().expect("closed");
}

#[test]
fn looking_changes_neither_content_nor_mode_nor_log_and_refuses_to_write() {
    let mut bench = Bench::new();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    bench.store.checkpoint().expect("folded");
    bench.store.append(&story("a-1")[1], &[], "daemon").expect("appended");
    // As a crash leaves it: part of the content is in the log only.
    let dir = tempfile::tempdir().expect("temp dir");
    let [path, log] = ["sekisho.db", "sekisho.db-wal"].map(|name| {
        let copy = dir.path().join(name);
        fs::copy(bench.dir.path().join(name), &copy).expect("copied");
        fs::set_permissions(&copy, Permissions::from_mode(0o640)).expect("chmod");
        copy
    });
    let as_it_is = || {
        let mode = fs::metadata(&path).expect("there").mode() & 0o7777;
        (fs::read(&path).expect("read"), fs::read(&log).expect("read"), mode)
    };
    let before = as_it_is();
    let mut store = Store::open_to_look(&path, key()).expect("opened");
    assert_eq!(store.journal_end().expect("read"), 2);
    store.append(&story("a-1")[2], &[], "daemon").expect_err("only looking");
    store.people().expect("opened anew, for looking");
    store.spoil();
    assert_eq!(store.journal_end().expect("read"), 2);
    drop(store);
    assert!(before == as_it_is(), "looking changed the database, its log or its mode");

    // A log without content goes when the last connection closes, as it came.
    Store::open_existing(&path, key()).expect("opened").close().expect("closed");
    let names = || fs::read_dir(dir.path()).expect("dir").count();
    assert_eq!(names(), 1);
    drop(Store::open_to_look(&path, key()).expect("opened"));
    assert_eq!(names(), 1, "a look leaves a file behind");
}

#[test]
fn looking_at_an_older_form_says_so_and_does_not_bring_it_up_to_date() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("db");
    Store::create_or_open(&path, key()).expect("made").close().expect("closed");
    let plain = || {
        let connection = Connection::open(&path).expect("open");
        connection.execute_batch(&key().pragma()).expect("key");
        connection
    };
    let version = || plain().query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).expect("pragma");
    let older = SCHEMA_VERSION - 1;
    plain().pragma_update(None, "user_version", older).expect("set");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("chmod");
    let error = Store::open_to_look(&path, key()).expect_err("older");
    let said = format!("schema {older}, this program writes {SCHEMA_VERSION}; the next start brings it up to date");
    assert!(error.to_string().ends_with(&said), "{error}");
    assert_eq!((version(), fs::metadata(&path).expect("there").mode() & 0o777), (older, 0o644));
    assert!(matches!(Store::open_to_look(&dir.path().join("none"), key()), Err(StoreError::Absent { .. })));
}

#[test]
fn a_held_write_lock_is_busy_not_an_error_of_the_disk() {
    let mut bench = Bench::new();
    let mut other = Store::open_existing(&bench.path(), key()).expect("opened beside");
    other.read(|connection| Ok(connection.busy_timeout(Duration::from_millis(30))?)).expect("set");
    let outcome = bench.store.write(|_| Ok(other.append(&story("a-1")[0], &[], "daemon")));
    assert!(matches!(outcome, Ok(Err(StoreError::Busy { .. }))), "{outcome:?}");
    other.append(&story("a-1")[0], &[], "daemon").expect("free now");
}

#[test]
fn an_error_of_the_system_makes_the_next_use_open_anew() {
    let mut bench = Bench::new();
    bench.store.append(&story("a-1")[0], &[], "daemon").expect("appended");
    bench.store.checkpoint().expect("folded");
    let path = bench.path();
    let broken: Result<(), StoreError> =
        bench.store.read(|_| Err(StoreError::io(&path, "pretending", std::io::Error::other("EIO")).into()));
    assert!(broken.is_err_and(|error| error.is_storage()) && bench.store.spoiled);
    bench.store.append(&story("a-1")[1], &[], "daemon").expect("opened anew and appended");
    assert!(!bench.store.spoiled);
    let hidden = bench.dir.path().join("hidden");
    fs::rename(&path, &hidden).expect("renamed");
    assert!(matches!(bench.store.reopen(), Err(StoreError::Absent { .. })));
    assert!(matches!(bench.store.journal_end(), Err(StoreError::Absent { .. })));
    assert!(!path.exists(), "reopening makes no file");
    fs::rename(&hidden, &path).expect("back");
    assert_eq!(bench.store.journal_end().expect("found again"), 2);
}

#[test]
fn the_log_stays_small() {
    let mut bench = Bench::new();
    for alert in 0..120 {
        bench.store.append(&story(&format!("a-{alert}"))[0], &["log"], "daemon").expect("appended");
    }
    let log = fs::metadata(bench.dir.path().join("sekisho.db-wal")).expect("log").len();
    assert!(log < 600_000, "the log has {log} bytes; the ballast is sized for 1.3 MB");
}
