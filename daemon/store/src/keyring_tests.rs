use super::*;
use crate::testing::key;
use std::os::unix::fs::PermissionsExt as _;

struct Bench {
    dir: tempfile::TempDir,
    ring: Keyring,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let ring = Keyring::beside(&dir.path().join("sekisho.db"), Some(&key()));
        Self { dir, ring }
    }

    /// The ring as another process sees it.
    fn other(&self) -> Keyring {
        Keyring::beside(&self.dir.path().join("sekisho.db"), Some(&key()))
    }

    fn add(&mut self, people: &[&str]) -> Arc<Ring> {
        let lock = self.ring.lock().expect("locked");
        let add = |ring: &mut Ring| people.iter().try_for_each(|name| ring.add(name)).map(|()| true);
        self.ring.edit(&lock, IfAbsent::Make, add).expect("edited")
    }

    fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.dir.path()).expect("dir");
        let mut names: Vec<_> =
            files.map(|file| file.expect("entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn bytes(ring: &Ring, person: &str, epoch: u32) -> Vec<u8> {
    ring.key(person, epoch).expect("a key").bytes().to_vec()
}

#[test]
fn keys_come_back_and_another_process_sees_them_and_their_end() {
    let mut here = Bench::new();
    let mut there = here.other();
    assert!(there.ring().expect("read").is_none());
    let made = here.add(&["ann-1", "bob-1"]);
    let seen = there.ring().expect("read").expect("there");
    assert_eq!(bytes(&made, "ann-1", 1), bytes(&seen, "ann-1", 1));
    assert_ne!(bytes(&made, "ann-1", 1), bytes(&made, "bob-1", 1));
    let rotation = seen.rotation(1, 8).expect("a rotation");
    assert_eq!(made.rotation(1, 8).expect("a rotation"), rotation);
    let lock = there.lock().expect("locked");
    there.edit(&lock, IfAbsent::Refuse, |ring| Ok(ring.forget("ann-1"))).expect("edited");
    let after = here.ring.ring().expect("read").expect("there");
    assert!(!after.knows("ann-1") && after.knows("bob-1"));
    assert_eq!(here.names(), ["people.keys", "people.keys.lock"]);
    let mode = fs::metadata(here.ring.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn nothing_of_it_is_readable_without_the_databases_key() {
    let mut here = Bench::new();
    let ring = here.add(&["ann-1"]);
    let file = fs::read(here.ring.path()).expect("read");
    for secret in [b"ann-1".to_vec(), bytes(&ring, "ann-1", 1), ring.seeds[&1].to_vec()] {
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }
    let mut foreign = Keyring::beside(&here.dir.path().join("sekisho.db"), Some(&DbKey::from_bytes([7; 32])));
    let error = foreign.ring().expect_err("refused").to_string();
    assert!(error.contains("people.keys") && error.contains("restore it"), "{error}");
}

/// The old file is still open here, as a block of it may still be on the disk: it reads as zeros.
#[test]
fn what_an_edit_replaces_is_overwritten() {
    let mut here = Bench::new();
    here.add(&["ann-1"]);
    let mut old = File::open(here.ring.path()).expect("open");
    let lock = here.ring.lock().expect("locked");
    here.ring.edit(&lock, IfAbsent::Refuse, |ring| Ok(ring.forget("ann-1"))).expect("edited");
    let mut left = Vec::new();
    old.read_to_end(&mut left).expect("read");
    assert!(left.len() > 100 && left.iter().all(|byte| *byte == 0), "{} bytes", left.len());
}

#[test]
fn what_a_crash_left_is_overwritten_by_the_next_edit() {
    let mut here = Bench::new();
    here.add(&["ann-1"]);
    let leftovers = ["people.keys.old", "people.keys.draft"].map(|name| here.dir.path().join(name));
    leftovers.iter().for_each(|path| fs::copy(here.ring.path(), path).map(drop).expect("copied"));
    let mut open = leftovers.clone().map(|path| File::open(path).expect("open"));
    here.add(&["bob-1"]);
    assert_eq!(here.names(), ["people.keys", "people.keys.lock"]);
    for file in &mut open {
        let mut left = Vec::new();
        file.read_to_end(&mut left).expect("read");
        assert!(left.iter().all(|byte| *byte == 0));
    }
}

/// The crash comes when the file in use has its second name already and its successor is not in place yet.
#[test]
fn a_crash_in_the_middle_of_a_replacement_costs_no_key() {
    let mut here = Bench::new();
    let ring = here.add(&["ann-1"]);
    fs::hard_link(here.ring.path(), here.dir.path().join("people.keys.old")).expect("linked");
    let after = here.add(&["bob-1"]);
    assert_eq!(bytes(&ring, "ann-1", 1), bytes(&after, "ann-1", 1));
    assert_eq!(here.names(), ["people.keys", "people.keys.lock"]);
}

/// The directory is the service's, and root's commands work in it.
#[test]
fn a_link_in_the_place_of_a_file_of_ours_is_neither_overwritten_nor_made_through() {
    for name in ["people.keys.old", "people.keys.draft", "people.keys.lock"] {
        let here = Bench::new();
        let theirs = here.dir.path().join("shadow");
        fs::write(&theirs, "root:x").expect("written");
        let made = here.dir.path().join("made");
        for target in [&theirs, &made] {
            std::os::unix::fs::symlink(target, here.dir.path().join(name)).expect("linked");
            let locked = here.ring.lock().and_then(|_| here.ring.wipe_leftovers());
            let error = match locked {
                Err(error) => error.to_string(),
                Ok(()) => panic!("{name} was followed to {}", target.display()),
            };
            assert!(error.contains("it is a link, which is not followed"), "{error}");
            fs::remove_file(here.dir.path().join(name)).expect("own link");
        }
        assert_eq!(fs::read(&theirs).expect("there"), b"root:x", "{name}");
        assert!(!made.exists(), "{name}");
    }
}

#[test]
fn every_damaged_byte_and_every_cut_is_refused_in_a_sentence() {
    let mut here = Bench::new();
    here.add(&["ann-1"]);
    let whole = fs::read(here.ring.path()).expect("read");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        for damaged in [flipped, whole[..at].to_vec()] {
            fs::write(here.ring.path(), &damaged).expect("written");
            let error = here.other().ring().expect_err("refused").to_string();
            assert!(error.contains("people.keys") && error.contains("restore it from the backup"), "{at}: {error}");
        }
    }
    fs::write(here.ring.path(), &whole).expect("written");
    fs::set_permissions(here.ring.path(), fs::Permissions::from_mode(0o640)).expect("chmod");
    assert!(here.other().ring().expect_err("refused").to_string().contains("chmod 600"));
}

#[test]
fn a_renewal_has_both_epochs_until_the_older_is_ended() {
    let mut here = Bench::new();
    let before = here.add(&["ann-1"]);
    let lock = here.ring.lock().expect("locked");
    let both = here.ring.edit(&lock, IfAbsent::Refuse, |ring| ring.begin_epoch().map(|_| true)).expect("begun");
    assert!(both.renewing() && both.epoch() == 2);
    assert_eq!(bytes(&both, "ann-1", 1), bytes(&before, "ann-1", 1));
    assert_ne!(bytes(&both, "ann-1", 2), bytes(&before, "ann-1", 1));
    assert_ne!(both.rotation(1, 8), both.rotation(2, 8));
    let end = |ring: &mut Ring| {
        ring.end_older_epochs();
        Ok(true)
    };
    let after = here.ring.edit(&lock, IfAbsent::Refuse, end).expect("ended");
    assert!(!after.renewing() && after.key("ann-1", 1).is_none() && after.rotation(1, 8).is_none());
    assert_eq!(bytes(&after, "ann-1", 2), bytes(&both, "ann-1", 2));
}

#[test]
fn while_the_databases_key_changes_both_keys_open_the_ring() {
    let mut here = Bench::new();
    let ring = here.add(&["ann-1"]);
    let next = || DbKey::from_bytes([9; 32]);
    let lock = here.ring.lock().expect("locked");
    here.ring.open_to_next(&lock, &next()).expect("written");
    let database = here.dir.path().join("sekisho.db");
    for key in [key(), next()] {
        let opened = Keyring::beside(&database, Some(&key)).ring().expect("read").expect("there");
        assert_eq!(bytes(&opened, "ann-1", 1), bytes(&ring, "ann-1", 1));
    }
    here.ring.close_to_others(&lock, &next()).expect("written");
    assert!(Keyring::beside(&database, Some(&next())).ring().expect("read").is_some());
    assert!(Keyring::beside(&database, Some(&key())).ring().is_err());
}

#[test]
fn processes_that_add_people_at_once_lose_nobody() {
    let here = Bench::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let mut ring = here.other();
            scope.spawn(move || {
                for n in 0..5 {
                    let lock = ring.lock().expect("locked");
                    let name = format!("p{thread}-{n}");
                    ring.edit(&lock, IfAbsent::Make, |ring| ring.add(&name).map(|()| true)).expect("edited");
                }
            });
        }
    });
    assert_eq!(here.other().ring().expect("read").expect("there").people().count(), 20);
}
