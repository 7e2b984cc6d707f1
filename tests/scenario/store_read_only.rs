//! A file system that cannot be written is told in words, at once, and left as it is.

use sekisho_logic::time::WallMs;
use sekisho_store::StoreError;
use sekisho_tests::store::{SINK, Scratch, journal, open, story};

#[test]
fn a_read_only_file_system_is_refused_in_words_and_opens_once_it_is_writable() {
    let disk = match Scratch::mount("size=3m") {
        Ok(disk) => disk,
        Err(error) => {
            eprintln!("SKIPPED: a file system cannot be mounted here ({error}); run as root to test a read-only one");
            return;
        }
    };
    let mut store = open(&disk.path).expect("made");
    store.append(&story("a-1", WallMs(1)).expect("a story")[0], &[SINK], "daemon").expect("journalled");
    store.close().expect("closed");
    disk.remount("ro").expect("remounted");
    let error = open(&disk.path).expect_err("read-only");
    let known = error.downcast_ref::<StoreError>();
    assert!(matches!(known, Some(StoreError::ReadOnly { .. })), "{error}");
    assert!(error.to_string().contains("cannot be written") && error.to_string().contains("sekisho.db"), "{error}");
    disk.remount("rw").expect("remounted");
    let mut store = open(&disk.path).expect("opened");
    assert_eq!(journal(&mut store).expect("journal").0, ["a-1.1"]);
}

#[test]
fn no_key_can_be_made_on_a_read_only_file_system() {
    let Ok(disk) = Scratch::mount("size=3m,ro") else {
        eprintln!("SKIPPED: a file system cannot be mounted here; run as root to test a read-only one");
        return;
    };
    let error = open(&disk.path).expect_err("read-only").to_string();
    assert!(error.contains("db.key") && error.contains("Read-only"), "{error}");
}
