use super::*;
use crate::enrolment::{Enrol, Enrolment};
use crate::erase::ErasureCause;
use crate::testing::{Bench, list, noise, person, record, vote};
use sekisho_logic::record::{AlertEvent, Stage, Verdict};

const NOW: WallMs = WallMs(1_000_000);
/// Format, nonce and tag.
const SEALED_BYTES: usize = 29;
const HOUR_MS: i64 = 3_600_000;
const KEEP: EvidenceKeep = EvidenceKeep {
    unconfirmed_ms: 24 * HOUR_MS,
    rejected_ms: 48 * HOUR_MS,
    confirmed_ms: 720 * HOUR_MS,
    at_most_ms: Vec::new(),
};

/// A file that begins as a PNG of that size does, with noise behind it that can be looked for.
pub(crate) fn png(width: u32, height: u32, seed: u64) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend(noise(9_000, seed));
    bytes
}

pub(crate) fn picture(alert: &str, taken: i64, inter_eye_px: f32) -> NewEvidence {
    NewEvidence {
        alert: AlertId(alert.into()),
        person: person("ann-1"),
        taken: WallMs(taken),
        inter_eye_px,
        quality: r#"{"sharpness":0.5}"#.into(),
        png: png(52, 70, taken.unsigned_abs()),
    }
}

fn enrol(bench: &mut Bench, who: &str) {
    let new = Enrolment {
        person: person(who),
        list: list("watch"),
        display_name: None,
        grounds: crate::testing::grounds(),
        photos: vec![noise(5000, 1), noise(4000, 2)],
        faces: vec![Some([10, 20, 300, 400])],
        templates: Vec::new(),
    };
    bench.store.enrol(Enrol::Add, &new, "uid:7", NOW).expect("enrolled");
}

/// Journals alert `id` of `who` at `stage`, changed at `changed`.
fn alert(bench: &mut Bench, id: &str, who: &str, stage: Stage, changed: i64) {
    let mut after = record(id, stage);
    (after.person, after.changed) = (person(who), WallMs(changed));
    let sequence = bench.store.alert(&after.id).expect("read").map_or(1, |there| there.sequence + 1);
    bench.store.append(&AlertEvent { before: None, after, sequence }, &[], "daemon").expect("appended");
}

fn expiries(bench: &mut Bench) -> Vec<(String, i64)> {
    bench
        .store
        .read(|connection| {
            let mut statement = connection.prepare("SELECT alert, expires_ms FROM evidence ORDER BY alert")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .expect("read")
}

#[test]
fn pictures_come_back_by_time_with_their_size_and_their_bytes() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    let new = [picture("a-1", 20, 17.25), picture("a-1", 10, 16.5), picture("a-2", 10, 30.0)];
    assert_eq!(bench.store.keep_evidence(&new, NOW, WallMs(NOW.0 + 1), 8).expect("kept"), 3);
    let rows = bench.store.evidence(&AlertId("a-1".into())).expect("read");
    let told: Vec<_> = rows.iter().map(|row| (row.taken.0, row.inter_eye_px, row.width, row.height)).collect();
    assert_eq!(told, [(10, 16.5, 52, 70), (20, 17.25, 52, 70)]);
    assert_eq!(rows[0].quality, r#"{"sharpness":0.5}"#);
    assert_eq!(bench.store.evidence_picture(rows[1].id).expect("read"), Some(new[0].png.clone()));
    assert_eq!(bench.store.evidence_picture(99).expect("read"), None);
    assert!(bench.store.evidence(&AlertId("a-9".into())).expect("read").is_empty());
}

#[test]
fn the_largest_faces_win_and_a_moment_is_written_once() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    let first = [picture("a-1", 1, 10.0), picture("a-1", 2, 12.0), picture("a-1", 3, 11.0)];
    assert_eq!(bench.store.keep_evidence(&first, NOW, NOW, 3).expect("kept"), 3);
    let again = [picture("a-1", 2, 12.0), picture("a-1", 4, 9.0), picture("a-1", 5, 13.0), picture("a-2", 2, 1.0)];
    assert_eq!(bench.store.keep_evidence(&again, NOW, NOW, 3).expect("kept"), 2, "one is there, one too small");
    let rows = bench.store.evidence(&AlertId("a-1".into())).expect("read");
    let moments: Vec<_> = rows.iter().map(|row| row.taken.0).collect();
    assert_eq!(moments, [2, 3, 5], "the smallest went");
    assert_eq!(bench.count("SELECT count(*) FROM evidence"), 4);
}

#[test]
fn what_is_no_png_or_over_its_bound_is_refused_whole() {
    let mut bench = Bench::new();
    let good = picture("a-1", 1, 10.0);
    let no_png = NewEvidence { png: noise(5000, 3), ..good.clone() };
    let cut = NewEvidence { png: good.png[..20].to_vec(), ..good.clone() };
    let flat = NewEvidence { png: png(0, 70, 1), ..good.clone() };
    let large = NewEvidence { png: [png(52, 70, 1), vec![0; PICTURE_BYTES_MAX]].concat(), ..good.clone() };
    let chatty = NewEvidence { quality: "x".repeat(QUALITY_BYTES_MAX + 1), ..good.clone() };
    let sizeless = NewEvidence { inter_eye_px: f32::NAN, ..good.clone() };
    for bad in [no_png, cut, flat, large, chatty, sizeless] {
        let error = bench.store.keep_evidence(&[good.clone(), bad], NOW, NOW, 8).expect_err("refused");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert_eq!(bench.count("SELECT count(*) FROM evidence"), 0);
}

#[test]
fn what_became_of_the_alert_decides_how_long_its_pictures_stay() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    let stages = [
        ("a-1", Stage::Candidate),
        ("a-2", Stage::MachineConfirmed),
        ("a-3", Stage::Confirmed),
        ("a-4", Stage::Rejected),
        ("a-5", Stage::Expired),
        ("a-6", Stage::Withdrawn),
    ];
    for (id, stage) in stages {
        alert(&mut bench, id, "ann-1", stage, NOW.0 + 500);
    }
    let mut by_policy = record("a-7", Stage::Confirmed);
    (by_policy.votes_required, by_policy.changed) = (0, WallMs(NOW.0 + 500));
    bench.store.append(&AlertEvent { before: None, after: by_policy, sequence: 1 }, &[], "daemon").expect("appended");
    let new: Vec<_> = ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7", "b-1"].map(|id| picture(id, 7, 20.0)).into();
    bench.store.keep_evidence(&new, NOW, WallMs(NOW.0 + KEEP.unconfirmed_ms), 8).expect("kept");
    let stock = bench.store.settle_evidence(&KEEP, NOW).expect("settled");
    assert_eq!((stock.pictures, stock.due, stock.bytes), (8, 0, 8 * (png(52, 70, 7).len() + SEALED_BYTES) as u64));
    let (short, after) = (NOW.0 + KEEP.unconfirmed_ms, NOW.0 + 500);
    let wanted = [
        ("a-1", short),
        // Its own time was up before the picture was written.
        ("a-2", short),
        ("a-3", after + KEEP.confirmed_ms),
        ("a-4", after + KEEP.rejected_ms),
        ("a-5", after + KEEP.unconfirmed_ms),
        ("a-6", short),
        // No person looked at it: an entry in a log.
        ("a-7", short),
        ("b-1", short),
    ];
    assert_eq!(expiries(&mut bench), wanted.map(|(id, at)| (id.to_owned(), at)));
    let stock = bench.store.settle_evidence(&KEEP, WallMs(after + KEEP.unconfirmed_ms + 1)).expect("settled");
    assert_eq!((stock.pictures, stock.due), (8, 6));
    let shorter = EvidenceKeep { confirmed_ms: HOUR_MS, ..KEEP };
    let stock = bench.store.settle_evidence(&shorter, WallMs(after + KEEP.unconfirmed_ms + 1)).expect("settled");
    assert_eq!(stock.due, 7, "a shorter time holds for what is there already");
}

#[test]
fn a_vote_long_after_saves_the_pictures_from_the_short_expiry() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    alert(&mut bench, "a-1", "ann-1", Stage::MachineConfirmed, NOW.0);
    bench.store.keep_evidence(&[picture("a-1", 7, 20.0)], NOW, WallMs(NOW.0 + 1), 8).expect("kept");
    alert(&mut bench, "a-1", "ann-1", Stage::Confirmed, NOW.0 + 5 * HOUR_MS);
    let late = WallMs(NOW.0 + 100 * HOUR_MS);
    assert_eq!(bench.store.settle_evidence(&KEEP, late).expect("settled").due, 0);
    assert_eq!(bench.store.forget_evidence(late, 10).expect("nothing to forget"), 0);
    assert_eq!(
        bench.count("SELECT count(*) FROM audit WHERE action LIKE 'evidence-%' AND action <> 'evidence-kept'"),
        0,
        "nothing is not audited"
    );
}

#[test]
fn the_expired_go_oldest_first_and_are_audited() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    for n in 0..5 {
        let new = [picture(&format!("a-{n}"), 7, 20.0)];
        bench.store.keep_evidence(&new, NOW, WallMs(NOW.0 + 10 * n), 8).expect("kept");
    }
    assert_eq!(bench.store.forget_evidence(WallMs(NOW.0 + 30), 2).expect("forgotten"), 2);
    assert_eq!(bench.store.forget_evidence(WallMs(NOW.0 + 30), 9).expect("forgotten"), 1, "what ends now is not over");
    assert_eq!(expiries(&mut bench).into_iter().map(|(id, _)| id).collect::<Vec<_>>(), ["a-3", "a-4"]);
    assert_eq!(bench.store.forget_oldest_evidence(NOW, 1).expect("forgotten"), 1);
    let rows = bench.store.audit_entries(0, 10).expect("audit");
    let gone = rows.iter().filter(|row| row.action != "evidence-kept");
    let told: Vec<_> = gone.map(|row| (row.action.as_str(), row.detail.as_str())).collect();
    let wanted = [
        ("enrol", rows[0].detail.as_str()),
        ("evidence-expired", r#"{"pictures":2}"#),
        ("evidence-expired", r#"{"pictures":1}"#),
        ("evidence-for-room", r#"{"pictures":1}"#),
    ];
    assert_eq!(told, wanted);
}

#[test]
fn pictures_of_the_erased_go_and_none_is_written_after_them() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    enrol(&mut bench, "bob-1");
    alert(&mut bench, "a-1", "ann-1", Stage::Confirmed, NOW.0);
    alert(&mut bench, "b-1", "bob-1", Stage::Confirmed, NOW.0);
    let bobs = NewEvidence { person: person("bob-1"), ..picture("b-1", 7, 20.0) };
    let new = [picture("a-1", 7, 20.0), picture("a-1", 8, 20.0), bobs, picture("a-2", 7, 20.0)];
    bench.store.keep_evidence(&new, NOW, WallMs(NOW.0 + 1), 8).expect("kept");
    let removed = bench.store.erase(&person("ann-1"), ErasureCause::Asked, "uid:7", NOW).expect("erased");
    assert_eq!((removed.counts.pictures, removed.counts.photos), (3, 2), "also of an alert that never came");
    assert_eq!(bench.store.keep_evidence(&[picture("a-1", 9, 20.0)], NOW, NOW, 8).expect("not kept"), 0);
    // An alert that a running daemon still had comes without the person.
    alert(&mut bench, "a-2", "ann-1", Stage::Withdrawn, NOW.0);
    assert_eq!(
        bench.store.alert(&AlertId("a-2".into())).expect("read").expect("there").record.person,
        person("erased-1")
    );
    assert_eq!(bench.store.settle_evidence(&KEEP, NOW).expect("settled").due, 0);
    assert_eq!(bench.count("SELECT count(*) FROM evidence WHERE alert = 'b-1'"), 1);
    let rows = bench.store.audit_entries(0, 20).expect("audit");
    let erased = rows.iter().find(|row| row.action == "erased").expect("audited");
    let counts = r#"{"alerts":1,"deliveries":0,"photos":2,"pictures":3,"templates":0}"#;
    assert_eq!(erased.detail, format!(r#"{{"cause":"asked","erased":{counts},"erasure":1}}"#));
}

#[test]
fn photographs_tell_where_their_face_is_once_it_is_known() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    let photos = bench.store.person_photos(&person("ann-1")).expect("read");
    let faces: Vec<_> = photos.iter().map(|photo| (photo.face, photo.added)).collect();
    assert_eq!(faces, [(Some([10, 20, 300, 400]), NOW), (None, NOW)]);
    let version = bench.store.gallery_version().expect("version");
    bench.store.set_photo_face(photos[1].id, [0, 1, 2, 3]).expect("noted");
    assert_eq!(bench.store.person_photos(&person("ann-1")).expect("read")[1].face, Some([0, 1, 2, 3]));
    assert_eq!(bench.store.gallery_version().expect("version"), version, "nothing to match anew");
    assert_eq!(bench.store.photo_bytes(photos[1].id).expect("read"), Some(noise(4000, 2)));
    assert_eq!(bench.store.photo_bytes(99).expect("read"), None);
    for (id, face) in [(99, [0, 1, 2, 3]), (photos[0].id, [0, 1, 0, 3])] {
        let refused = bench.store.set_photo_face(id, face);
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    }
    assert!(bench.store.person_photos(&person("eve-1")).expect("read").is_empty());
}

#[test]
fn what_was_rejected_before_is_told_with_the_reasons_given() {
    let mut bench = Bench::new();
    let mut reject = |id: &str, who: &str, at: i64, votes: &[(&str, Verdict, Option<&str>)]| {
        let mut after = record(id, if votes.is_empty() { Stage::Expired } else { Stage::Rejected });
        (after.person, after.changed) = (person(who), WallMs(at));
        let said = |(name, verdict, reason): &(&str, Verdict, Option<&str>)| {
            let mut vote = vote(name, *verdict);
            vote.reason = reason.map(str::to_owned);
            vote
        };
        after.votes = votes.iter().map(said).collect();
        bench.store.append(&AlertEvent { before: None, after, sequence: 1 }, &[], "uid:7").expect("appended");
    };
    let no = Verdict::Reject;
    reject("a-1", "ann-1", 100, &[("uid:7", no, Some("too old"))]);
    reject(
        "a-2",
        "ann-1",
        200,
        &[("uid:7", no, Some("not-the-same-person")), ("uid:8", Verdict::Unsure, Some("dark"))],
    );
    reject("a-3", "bob-1", 300, &[("uid:7", no, None)]);
    reject("a-4", "ann-1", 400, &[("uid:9", no, Some("other: a poster")), ("uid:8", no, None)]);
    reject("a-5", "ann-1", 500, &[]);
    let told = bench.store.earlier_rejections(&person("ann-1"), WallMs(200), 9).expect("read");
    let words: Vec<_> = told.iter().map(|one| (one.alert.0.as_str(), one.at.0, one.reasons.join(";"))).collect();
    assert_eq!(words, [("a-4", 400, "other: a poster".into()), ("a-2", 200, "not-the-same-person".to_owned())]);
    assert_eq!(told[0].camera.as_str(), "gate");
    assert_eq!(bench.store.earlier_rejections(&person("ann-1"), WallMs(0), 1).expect("read").len(), 1);
    assert!(bench.store.earlier_rejections(&person("bob-1"), WallMs(0), 9).expect("read")[0].reasons.is_empty());
}

#[test]
fn a_camera_may_shorten_and_a_legal_hold_lengthens_what_is_kept() {
    let mut bench = Bench::new();
    enrol(&mut bench, "ann-1");
    alert(&mut bench, "a-1", "ann-1", Stage::Confirmed, HOUR_MS);
    let hour = |hours: i64| WallMs(hours * HOUR_MS);
    bench.store.keep_evidence(&[picture("a-1", 1, 10.0)], WallMs(0), hour(24), 8).expect("kept");
    let gate = CameraId::try_new("gate").expect("a name");
    let capped = EvidenceKeep { at_most_ms: vec![(gate, 2 * HOUR_MS)], ..KEEP };
    assert_eq!(bench.store.settle_evidence(&KEEP, hour(3)).expect("settled").due, 0);
    assert_eq!(bench.store.settle_evidence(&capped, hour(3)).expect("settled").due, 1);
    let hold = "INSERT INTO holds (person, since_ms, by, reason) VALUES ('ann-1', 1, 'uid:0', 'case 7')";
    bench.store.write(|transaction| Ok(transaction.execute(hold, [])?)).expect("held");
    assert_eq!(bench.store.settle_evidence(&capped, hour(9000)).expect("settled").due, 0);
    assert_eq!(bench.store.forget_oldest_evidence(hour(9000), 10).expect("asked"), 0);
    bench.store.write(|transaction| Ok(transaction.execute("DELETE FROM holds", [])?)).expect("lifted");
    assert_eq!(bench.store.settle_evidence(&capped, hour(9000)).expect("settled").due, 1);
}
