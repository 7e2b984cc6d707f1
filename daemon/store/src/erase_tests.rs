use super::ErasureStep::{Begun, Done, KeyDestroyed, RowsDeleted, Scrubbed};
use super::*;
use crate::AuditVerdict;
use crate::enrolment::Enrol;
use crate::evidence::tests::picture;
use crate::people::tests::{MODEL, NOW, PREP, crowded, enrolment, pieces_found, secrets, stored};
use crate::receipt::{ReceiptVerdict, receipt_verdict};
use crate::testing::{Bench, key, person, story};
use crate::tombstones::Tombstone;
use crate::{DbKey, SigningKey};
use sekisho_logic::record::{AlertEvent, AlertId, Stage};
use std::path::Path;
use std::sync::{Arc, Mutex};

fn signing() -> Option<SigningKey> {
    SigningKey::new(&DbKey::from_bytes([3; 32]))
}

/// Journals the story of alert `id` about `who`, to be told to one sink.
fn alert(store: &mut Store, id: &str, who: &str) {
    for mut event in story(id) {
        event.after.person = person(who);
        event.before.iter_mut().for_each(|before| before.person = person(who));
        store.append(&event, &["hook"], "daemon").expect("appended");
    }
}

/// Ann with everything one can have, among others.
fn site(dir: &Path) -> (Store, Vec<Vec<u8>>) {
    let (mut store, ann) = crowded(dir);
    store.sign_with(signing());
    alert(&mut store, "a-1", "ann-1");
    alert(&mut store, "z-1", "zoe-1");
    let zoes = crate::evidence::NewEvidence { person: person("zoe-1"), ..picture("z-1", 9, 20.0) };
    let pictures: Vec<_> = (5..8).map(|taken| picture("a-1", taken, 20.0)).chain([zoes]).collect();
    assert_eq!(store.keep_evidence(&pictures, NOW, WallMs(NOW.0 + 1), 8).expect("kept"), 4);
    let plain = secrets(&ann).into_iter().chain(pictures.into_iter().take(3).map(|picture| picture.png));
    (store, plain.collect())
}

/// What is left in the files of the plain photographs and templates, of what was stored of them, and of the key.
struct Canary {
    plain: Vec<Vec<u8>>,
    stored: Vec<Vec<u8>>,
}

impl Canary {
    fn of(store: &mut Store, plain: Vec<Vec<u8>>) -> Self {
        Self { plain, stored: stored(store, "ann-1") }
    }

    fn found(&self, dir: &Path) -> (usize, usize) {
        (pieces_found(dir, &self.plain), pieces_found(dir, &self.stored))
    }
}

fn ids_in(dir: &Path, word: &str) -> Vec<String> {
    let holds = |path: &Path| {
        let bytes = std::fs::read(path).expect("read");
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    let files = std::fs::read_dir(dir).expect("dir").map(|entry| entry.expect("entry").path());
    files.filter(|path| holds(path)).map(|path| path.file_name().expect("a name").to_string_lossy().into()).collect()
}

/// A plain file, so that what lies in pages, log and shared memory can be looked for; with encryption no page then holds its
/// cipher text either. It says nothing about blocks that a flash disk keeps; against those stands the key.
#[test]
fn at_no_step_is_anything_plain_in_any_file_and_in_the_end_nothing_at_all() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut store, plain) = site(dir.path());
    let canary = Arc::new(Canary::of(&mut store, plain));
    let all: usize = canary.stored.iter().map(|value| value.len() / 32).sum();
    let (plain_found, stored_found) = canary.found(dir.path());
    // A piece that lies across the border of two pages is in no file in one piece; there are some of those.
    assert!(plain_found == 0 && stored_found > all * 9 / 10, "the scan finds what is there: {stored_found} of {all}");
    let (seen, at) = (Arc::new(Mutex::new(Vec::new())), dir.path().to_path_buf());
    let (told, watched) = (Arc::clone(&seen), Arc::clone(&canary));
    store.on_erasure_step(move |_, step| {
        let (plain, stored) = watched.found(&at);
        told.lock().expect("whole").push((step, plain, stored > 0));
    });
    let erased = store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", NOW).expect("erased");
    let wanted =
        [(Begun, 0, true), (KeyDestroyed, 0, true), (RowsDeleted, 0, true), (Scrubbed, 0, false), (Done, 0, false)];
    assert_eq!(*seen.lock().expect("whole"), wanted, "noise without a key until it is gone as well");
    let ErasureCounts { photos, templates, pictures, alerts, deliveries } = erased.counts;
    assert_eq!((photos, templates, pictures, alerts, deliveries), (2, 2, 3, 1, 4));
    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new());
    assert!(matches!(store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }));
    // The id is in the trail, in the erasure itself and in the tombstone, and nowhere else.
    let holders = store
        .read(|c| {
            let sql = "SELECT (SELECT count(*) FROM alerts WHERE person = 'ann-1' OR record LIKE '%ann-1%')
                + (SELECT count(*) FROM journal WHERE before LIKE '%ann-1%' OR after LIKE '%ann-1%')
                + (SELECT count(*) FROM people WHERE id = 'ann-1') + (SELECT count(*) FROM outbox WHERE alert = 'a-1')";
            Ok(c.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
        .expect("read");
    assert_eq!(holders, 0);
    let record = store.alert(&AlertId("a-1".into())).expect("read").expect("there").record;
    assert_eq!((record.person, record.stage), (person("erased-1"), Stage::Confirmed));
    assert!(record.candidate.cosine.abs() < f32::EPSILON && record.candidate.llr.abs() < f32::EPSILON);
    assert_eq!(store.votes_of_ann(), 1, "who voted stays");
    store.close().expect("closed");
    assert_eq!(canary.found(dir.path()), (0, 0));
    assert_eq!(ids_in(dir.path(), "zoe-1"), ["db"], "the scan finds ids");
    let mut holders = ids_in(dir.path(), "ann-1");
    holders.sort();
    assert_eq!(holders, ["db", "erased.ndjson"]);
}

impl Store {
    fn votes_of_ann(&mut self) -> i64 {
        self.read(|c| Ok(c.query_row("SELECT count(*) FROM votes WHERE alert = 'a-1'", [], |row| row.get(0))?))
            .expect("read")
    }
}

#[test]
fn the_receipt_tells_what_was_erased_and_shows_any_change() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut store, _) = site(dir.path());
    let erased = store.erase(&person("ann-1"), ErasureCause::Asked, "uid:8", NOW).expect("erased");
    let receipt = erased.receipt.clone().expect("a receipt");
    assert_eq!(receipt_verdict(&receipt), ReceiptVerdict::Valid);
    let read: serde_json::Value = serde_json::from_str(&receipt).expect("JSON");
    let (seq, head) = store.audit_head().expect("head");
    assert_eq!((read["audit"]["seq"].as_i64(), read["audit"]["head"].as_str()), (Some(seq), Some(head.as_str())));
    assert_eq!((read["person"].as_str(), read["asked-by"].as_str()), (Some("ann-1"), Some("uid:8")));
    assert_eq!(read["erased"]["photos"], 2);
    assert_eq!(read["public-key"], signing().expect("a key").public());
    for (from, to) in [("\"photos\":2", "\"photos\":3"), ("uid:8", "uid:9"), ("ann-1", "ann-2")] {
        assert_eq!(receipt_verdict(&receipt.replace(from, to)), ReceiptVerdict::Invalid, "{from}");
    }
    assert_eq!(receipt_verdict("[]"), ReceiptVerdict::Invalid);
    // Asking again changes nothing.
    let again = store.erase(&person("ann-1"), ErasureCause::Asked, "uid:9", WallMs(NOW.0 + 5)).expect("known");
    assert_eq!(again, erased);
    assert_eq!(store.audit_head().expect("head").0, seq);
    let unknown = store.erase(&person("eve-1"), ErasureCause::Asked, "uid:9", NOW);
    assert!(matches!(unknown, Err(StoreError::NotEnrolled { .. })), "{unknown:?}");
}

#[test]
fn an_erasure_that_was_cut_off_is_gone_on_with_from_every_step() {
    for cut in ErasureStep::ALL {
        let dir = tempfile::tempdir().expect("temp dir");
        let (mut store, plain) = site(dir.path());
        let canary = Canary::of(&mut store, plain);
        store.on_erasure_step(move |_, step| assert!(step != cut, "cut off"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _never = store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", NOW);
        }));
        assert!(caught.is_err(), "{cut:?}");
        drop(store);
        let mut store = Store::create_or_open_plain(&dir.path().join("db")).expect("opened again");
        store.sign_with(signing());
        assert!(store.gallery(MODEL, PREP, NOW).expect("gallery").rows.iter().all(|row| row.person != person("ann-1")));
        let resumed = store.resume_erasures(WallMs(NOW.0 + 1)).expect("resumed");
        assert_eq!(resumed.len(), usize::from(cut != ErasureStep::Done), "{cut:?}");
        let erased = store.newest_erasure(&person("ann-1")).expect("read").expect("there");
        assert_eq!((erased.step, erased.counts.photos, erased.counts.alerts), (ErasureStep::Done, 2, 1), "{cut:?}");
        assert_eq!(receipt_verdict(&erased.receipt.expect("signed")), ReceiptVerdict::Valid);
        assert_eq!(canary.found(dir.path()), (0, 0), "{cut:?}");
        assert!(!store.ring().expect("ring").knows("ann-1"));
        assert_eq!(store.photos(&person("zoe-1")).expect("others are whole").len(), 2);
        assert_eq!(store.resume_erasures(NOW).expect("nothing to do"), []);
    }
}

#[test]
fn a_legal_hold_refuses_in_a_clear_sentence() {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    let hold = "INSERT INTO holds (person, since_ms, by, reason) VALUES ('ann-1', 5, 'uid:1', 'case 2026-7')";
    bench.store.read(|c| Ok(c.execute_batch(hold)?)).expect("held");
    let said =
        bench.store.erase(&person("ann-1"), ErasureCause::Withdrawn, "daemon", NOW).expect_err("held").to_string();
    assert!(said.contains("ann-1: records are under a legal hold") && said.contains("unhold"), "{said}");
    assert_eq!(bench.store.erasures().expect("read"), []);
    assert_eq!(bench.store.photos(&person("ann-1")).expect("all there").len(), 2);
    bench.store.read(|c| Ok(c.execute_batch("DELETE FROM holds")?)).expect("lifted");
    let erased = bench.store.erase(&person("ann-1"), ErasureCause::Withdrawn, "daemon", NOW).expect("erased");
    assert_eq!((erased.step, erased.cause), (ErasureStep::Done, ErasureCause::Withdrawn));
}

#[test]
fn a_reader_elsewhere_holds_up_the_scrubbing_and_no_more() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut store, plain) = site(dir.path());
    let canary = Canary::of(&mut store, plain);
    let mut reader = Store::create_or_open_plain(&dir.path().join("db")).expect("opened beside");
    let blocked = reader
        .read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            snapshot.query_row("SELECT count(*) FROM people", [], |row| row.get::<_, i64>(0))?;
            store.read(|writer| Ok(writer.busy_timeout(std::time::Duration::from_millis(20))?))?;
            Ok(store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", NOW)?)
        })
        .expect("as far as it goes");
    assert_eq!((blocked.step, &blocked.receipt), (ErasureStep::RowsDeleted, &None));
    let done = store.resume_erasures(NOW).expect("the reader is gone");
    assert_eq!(done[0].step, ErasureStep::Done);
    assert_eq!(canary.found(dir.path()), (0, 0));
}

#[test]
fn what_a_running_daemon_still_tells_of_the_erased_is_journalled_without_them() {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    let told = story("a-1");
    for event in &told[..2] {
        bench.store.append(event, &["hook"], "daemon").expect("appended");
    }
    bench.store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", NOW).expect("erased");
    let mut end = AlertEvent { before: Some(told[1].after.clone()), after: told[1].after.clone(), sequence: 3 };
    (end.after.stage, end.after.expires) = (Stage::Withdrawn, None);
    bench.store.append(&end, &["hook"], "daemon").expect("appended");
    bench.store.append(&end, &["hook"], "daemon").expect("and a repeat is harmless");
    bench.store.append(&told[0], &["hook"], "daemon").expect("of what was rewritten too");
    let alert = bench.store.alert(&AlertId("a-1".into())).expect("read").expect("there");
    assert_eq!((alert.record.person, alert.record.stage), (person("erased-1"), Stage::Withdrawn));
    let due = bench.store.pending("hook", NOW, &crate::RetryPolicy::default(), 9).expect("due");
    assert_eq!(due.len(), 1, "the receiver hears of the end");
    assert_eq!(due[0].event.before.as_ref().map(|before| before.person.clone()), Some(person("erased-1")));
    let left = "SELECT count(*) FROM journal WHERE before LIKE '%ann-1%' OR after LIKE '%ann-1%'";
    assert_eq!(bench.count(left), 0);
    // Somebody enrolled under the same id later is somebody else.
    let later = WallMs(NOW.0 + 1000);
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 50), "uid:7", later).expect("enrolled");
    let mut new = story("a-2").remove(0);
    new.after.opened = later;
    bench.store.append(&new, &[], "daemon").expect("appended");
    assert_eq!(bench.store.alert(&AlertId("a-2".into())).expect("read").expect("there").record.person, person("ann-1"));
    let second =
        bench.store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", WallMs(later.0 + 1)).expect("erased");
    assert_eq!((second.id, second.counts.alerts), (2, 1));
}

#[test]
fn nobody_is_enrolled_under_the_name_of_the_erased_or_while_being_erased() {
    let mut bench = Bench::new();
    let refused = bench.store.enrol(Enrol::Add, &enrolment("erased-7", 1), "uid:7", NOW);
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    let begun =
        "INSERT INTO erasures (person, cause, asked_ms, asked_by, step) VALUES ('ann-1', 'asked', 1, 'uid:7', 'begun')";
    bench.store.read(|c| Ok(c.execute_batch(begun)?)).expect("begun");
    let said =
        bench.store.enrol(Enrol::Replace, &enrolment("ann-1", 2), "uid:7", NOW).expect_err("refused").to_string();
    assert!(said.contains("an erasure of ann-1 is under way"), "{said}");
}

#[test]
fn whoever_comes_back_with_an_old_backup_is_erased_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("sekisho.db");
    let open = || {
        let mut store = Store::create_or_open(&path, key()).expect("opened");
        store.sign_with(signing());
        store
    };
    let mut store = open();
    for (name, seed) in [("ann-1", 1), ("bob-1", 10)] {
        store.enrol(Enrol::Add, &enrolment(name, seed), "uid:7", NOW).expect("enrolled");
    }
    alert(&mut store, "a-1", "ann-1");
    store.close().expect("closed");
    let backup = ["sekisho.db", "people.keys"].map(|name| (name, std::fs::read(dir.path().join(name)).expect("read")));
    let mut store = open();
    store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", WallMs(NOW.0 + 10)).expect("erased");
    let known = store.tombstones().expect("read");
    assert_eq!(known, [Tombstone { person: person("ann-1"), asked: WallMs(NOW.0 + 10) }]);
    assert_eq!(store.apply_tombstones(&known, NOW).expect("nobody is back"), []);
    store.close().expect("closed");
    for (name, bytes) in &backup {
        std::fs::write(dir.path().join(name), bytes).expect("restored");
    }
    let half = format!(
        "{}{{\"person\":\"bob-1\",\"asked",
        std::fs::read_to_string(dir.path().join("erased.ndjson")).expect("read")
    );
    std::fs::write(dir.path().join("erased.ndjson"), half).expect("as a crash leaves it");
    let mut store = open();
    assert!(store.person(&person("ann-1")).expect("read").is_some(), "the backup brought her back");
    let known = store.tombstones().expect("from the file beside the database");
    assert_eq!(known.len(), 1, "a line that was cut off is nobody's");
    let again = store.apply_tombstones(&known, WallMs(NOW.0 + 99)).expect("erased again");
    assert_eq!((again.len(), again[0].cause, again[0].step), (1, ErasureCause::Restored, ErasureStep::Done));
    assert_eq!((store.person(&person("ann-1")).expect("read"), again[0].counts.alerts), (None, 1));
    assert!(!store.ring().expect("ring").knows("ann-1") && store.ring().expect("ring").knows("bob-1"));
    assert_eq!(store.apply_tombstones(&known, NOW).expect("once"), []);
    // Enrolled anew afterwards she is not meant.
    store.enrol(Enrol::Add, &enrolment("ann-1", 5), "uid:7", WallMs(NOW.0 + 200)).expect("enrolled");
    assert_eq!(store.apply_tombstones(&known, NOW).expect("nobody is back"), []);
    // A forged or damaged line is not believed.
    let text = std::fs::read_to_string(dir.path().join("erased.ndjson")).expect("read").replace("ann-1", "bob-1");
    std::fs::write(dir.path().join("erased.ndjson"), text).expect("changed");
    assert!(store.tombstones().expect("read").iter().all(|stone| stone.person == person("ann-1")));
}
