//! An erasure is killed with SIGKILL after each of its steps and at random moments. Whoever opens the store next finishes it:
//! nothing of the person is in any file, the receipt holds, and everybody else is untouched.

use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{
    AuditVerdict, Enrol, Enrolment, ErasureCause, ErasureStep, Needles, NewEvidence, NewTemplate, ReceiptVerdict,
    Store, TemplateSource, receipt_verdict,
};
use sekisho_tests::clock::RealClock;
use sekisho_tests::store::{Dice, SINK, new_grounds, open_signing, setting, story};
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| u8::try_from(dice.roll(0, 256)).unwrap_or(0)).collect()
}

fn template(seed: u64) -> Embedding {
    let raw: Vec<f32> = noise(128, seed).into_iter().map(|byte| f32::from(byte) - 127.5).collect();
    Embedding::try_new(&raw).expect("a vector")
}

fn person(name: &str) -> PersonId {
    PersonId::try_new(name).expect("a name")
}

fn png(seed: u64) -> Vec<u8> {
    let head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x34\0\0\0\x46".to_vec();
    [head, noise(8000, seed)].concat()
}

fn enrol(store: &mut Store, name: &str, seed: u64, at: WallMs) {
    let new = Enrolment {
        person: person(name),
        list: ListId::try_new("watch").expect("a name"),
        display_name: None,
        grounds: new_grounds(),
        photos: vec![noise(30_000, seed)],
        faces: Vec::new(),
        templates: vec![NewTemplate {
            source: TemplateSource::Prototype,
            size_bin_px: None,
            model_digest: "ab".into(),
            preprocessing: "align-1".into(),
            embedding: template(seed + 1),
        }],
    };
    store.enrol(Enrol::Replace, &new, "uid:4242", at).expect("enrolled");
}

/// `ann-1` with alerts, pictures and deliveries, and `bob-1` beside her. Gives what must not be found afterwards.
fn site(dir: &Path, at: WallMs) -> Needles {
    let mut store = open_signing(dir).expect("made");
    enrol(&mut store, "bob-1", 50, at);
    enrol(&mut store, "ann-1", 10, at);
    for n in 0..5 {
        for event in story(&format!("a-{n}"), WallMs(at.0 + n)).expect("a story") {
            store.append(&event, &[SINK], "daemon").expect("appended");
        }
    }
    let taken = |n: i64| NewEvidence {
        alert: sekisho_logic::record::AlertId(format!("a-{}", n % 5)),
        person: person("ann-1"),
        taken: WallMs(at.0 + n),
        inter_eye_px: 20.0,
        quality: "{}".into(),
        png: png(100 + n.unsigned_abs()),
    };
    let pictures: Vec<_> = (0..10).map(taken).collect();
    assert_eq!(store.keep_evidence(&pictures, at, WallMs(at.0 + 3_600_000), 8).expect("kept"), 10);
    store.close().expect("closed");
    let vector: Vec<u8> = template(11).as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
    let plain = [vec![noise(30_000, 10), vector], pictures.into_iter().map(|one| one.png).collect()].concat();
    Needles::of(plain.iter().map(Vec::as_slice))
}

fn pieces(dir: &Path, needles: &Needles) -> usize {
    let files = std::fs::read_dir(dir).expect("dir").map(|entry| entry.expect("entry").path());
    files.map(|path| needles.found_in_file(&path).expect("read")).sum()
}

/// Runs the eraser until it ends or is killed; after `within`, if given, it is killed from here.
fn run(dir: &Path, step: &str, within: Option<Duration>) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eraser"))
        .args([dir.as_os_str(), "ann-1".as_ref(), step.as_ref()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the eraser starts");
    if let Some(within) = within {
        let mut ready = [0; 6];
        child.stdout.as_mut().expect("piped").read_exact(&mut ready).expect("it gets ready");
        std::thread::sleep(within);
        let _over = child.kill();
    }
    let status = child.wait().expect("reaped");
    assert!(status.success() || status.signal() == Some(9), "{step}: {status}");
    !status.success()
}

/// What the next start finds and leaves.
fn finished(dir: &Path, needles: &Needles, what: &str) {
    assert_eq!(pieces(dir, needles), 0, "{what}: found before the next start");
    let mut store = open_signing(dir).expect("opened");
    let now = RealClock::start().now().wall;
    let noted = store.newest_erasure(&person("ann-1")).expect("read").is_some();
    let matched = store.gallery("ab", "align-1", now).expect("gallery").rows;
    assert_eq!(matched.iter().any(|row| row.person == person("ann-1")), !noted, "{what}: not matched once it is noted");
    store.resume_erasures(now).expect("resumed");
    if !noted {
        // Killed before it was noted: nothing has happened yet.
        store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", now).expect("erased");
    }
    let check = store.check_erasure(&person("ann-1")).expect("checked");
    assert!(check.proven(), "{what}: {check:?}");
    let erasure = check.erasure.expect("there");
    assert_eq!((erasure.step, erasure.counts.photos, erasure.counts.alerts), (ErasureStep::Done, 1, 5), "{what}");
    assert_eq!((erasure.counts.pictures, erasure.counts.deliveries), (10, 20), "{what}");
    let receipt = erasure.receipt.clone().expect("a receipt");
    assert_eq!(receipt_verdict(&receipt), ReceiptVerdict::Valid, "{what}");
    let again = store.erase(&person("ann-1"), ErasureCause::Asked, "uid:9", now).expect("known");
    assert_eq!(again.receipt, Some(receipt), "{what}: the same receipt");
    assert_eq!(store.rows_holding(needles).expect("searched"), 0, "{what}");
    let gallery = store.gallery("ab", "align-1", now).expect("gallery");
    assert!(gallery.rows[0].embedding.cosine(&template(51)) > 0.9999 && gallery.rows.len() == 1, "{what}");
    assert_eq!(store.photos(&person("bob-1")).expect("photos")[0].bytes, noise(30_000, 50), "{what}");
    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new(), "{what}");
    assert!(matches!(store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }), "{what}");
    assert_eq!(pieces(dir, needles), 0, "{what}: with the store open");
    store.close().expect("closed");
    assert_eq!(pieces(dir, needles), 0, "{what}: afterwards");
    let tombstones = std::fs::read_to_string(dir.join("erased.ndjson")).expect("a tombstone");
    assert_eq!(tombstones.matches("\"person\":\"ann-1\"").count(), 1, "{what}: {tombstones}");
}

#[test]
fn killed_after_any_step_an_erasure_is_finished_by_the_next_start_with_nothing_left() {
    for step in ErasureStep::ALL.map(ErasureStep::as_str) {
        let dir = tempfile::tempdir().expect("temp dir");
        let needles = site(dir.path(), WallMs(RealClock::start().now().wall.0 - 60_000));
        assert!(needles.count() > 3000, "something is looked for");
        assert!(run(dir.path(), step, None), "{step}: it was killed");
        finished(dir.path(), &needles, step);
    }
}

#[test]
fn killed_at_any_moment_an_erasure_is_finished_by_the_next_start_with_nothing_left() {
    let mut dice = Dice::new(setting("SEKISHO_SEED", 1));
    let mut killed = 0;
    let rounds = setting("SEKISHO_KILLS", 200) / 10;
    for round in 0..rounds {
        let dir = tempfile::tempdir().expect("temp dir");
        let needles = site(dir.path(), WallMs(RealClock::start().now().wall.0 - 60_000));
        let within = Duration::from_micros(dice.roll(0, 60_000));
        killed += u64::from(run(dir.path(), "none", Some(within)));
        finished(dir.path(), &needles, &format!("round {round}, killed after {within:?}"));
    }
    println!("{killed} of {rounds} erasures were killed");
}
