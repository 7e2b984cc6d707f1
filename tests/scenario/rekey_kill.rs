//! A renewal of all keys is killed with SIGKILL at random moments and begun again: nothing is lost, and in the end nothing opens
//! with an old key.

use sekisho_logic::id::PersonId;
use sekisho_store::{DbKey, IfMissing, Store};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Site, binary};
use sekisho_tests::store::{Dice, setting};
use std::process::{Command, Stdio};
use std::time::Duration;

const PEOPLE: usize = 12;

fn name(n: usize) -> PersonId {
    PersonId::try_new(&format!("p-{n}")).expect("a name")
}

fn contents(store: &mut Store) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..PEOPLE).map(|n| store.photos(&name(n)).expect("photos").remove(0).bytes).collect();
    let rows = store.evidence(&sekisho_logic::record::AlertId("a-1".into())).expect("rows");
    all.extend(rows.iter().map(|row| store.evidence_picture(row.id).expect("read").expect("there")));
    all
}

#[test]
fn killed_at_any_moment_a_renewal_loses_nothing_and_is_ended_by_the_next() {
    let site = Site::new();
    let mut store = planted::store(&site);
    for n in 0..PEOPLE {
        planted::enrol(&mut store, &format!("p-{n}"), "uid:4242");
    }
    planted::alert(&mut store, &Alert { person: "p-0", ..Alert::of("a-1", 1) });
    let before = contents(&mut store);
    assert_eq!(before.len(), PEOPLE + 2);
    store.close().expect("closed");
    let keys = || std::fs::read(site.path("state/people.keys")).expect("keys");
    let (old_key, old_ring) = (std::fs::read(site.path("state/store.key")).expect("a key"), keys());

    let (mut dice, mut killed) = (Dice::new(setting("SEKISHO_SEED", 1)), 0);
    for round in 0..setting("SEKISHO_KILLS", 200) / 10 {
        let mut child = Command::new(binary())
            .arg("--config")
            .arg(site.path("sekisho.toml"))
            .args(["gallery", "rekey"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(dice.roll(1, 400)));
        let _over = child.kill();
        killed += u64::from(!child.wait().expect("reaped").success());
        // Any command finds its way in, whichever of the two keys is in force.
        assert!(site.done(&["gallery", "list"]).contains("p-11"), "round {round}");
        let mut store = planted::store(&site);
        assert!(contents(&mut store) == before, "round {round}: something does not open or is not what it was");
        store.close().expect("closed");
    }
    println!("{killed} renewals were killed");
    let said = site.done(&["gallery", "rekey"]);
    assert!(said.contains("the database has a new key"), "{said}");
    let mut store = planted::store(&site);
    assert!(contents(&mut store) == before);
    store.close().expect("closed");
    let mut names: Vec<_> = std::fs::read_dir(site.path("state"))
        .expect("dir")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("key"))
        .collect();
    names.sort();
    assert_eq!(names, ["audit.key", "people.keys", "people.keys.lock", "store.key"], "no draft and no old key is left");

    // The old key opens neither the database nor the keys of people.
    let old = site.path("old.key");
    std::fs::write(&old, &old_key).expect("written");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
    let open =
        |path: &str| Store::open_existing(&site.path(path), DbKey::from_file(&old, IfMissing::Refuse).expect("a key"));
    assert!(open("state/sekisho.db").is_err());
    assert_ne!(keys(), old_ring);
}
