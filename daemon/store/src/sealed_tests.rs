use super::*;
use crate::enrolment::Enrol;
use crate::evidence::tests::picture;
use crate::people::tests::{MODEL, NOW, PREP, enrolment, pieces_found, secrets, stored};
use crate::testing::{Bench, embedding, key, person, record};
use sekisho_logic::record::{AlertEvent, AlertId, Stage};
use sekisho_logic::time::WallMs;

fn two() -> Bench {
    let mut bench = Bench::new();
    for (name, seed) in [("ann-1", 1), ("bob-1", 10)] {
        bench.store.enrol(Enrol::Add, &enrolment(name, seed), "uid:7", NOW).expect("enrolled");
    }
    let taken = [picture("a-1", 7, 20.0)];
    assert_eq!(bench.store.keep_evidence(&taken, NOW, NOW, 8).expect("kept"), 1);
    bench
}

/// Photographs, templates and the picture, each by its own reader.
fn readable(store: &mut Store, seed: u64) -> bool {
    let photos = store.photos(&person("ann-1")).expect("photos");
    let by_id = store.photo_bytes(photos[0].id).expect("read").expect("there");
    let rows = store.gallery(MODEL, PREP, NOW).expect("gallery").rows;
    let ann = rows.iter().find(|row| row.person == person("ann-1")).expect("ann");
    let picture_id = store.evidence(&AlertId("a-1".into())).expect("rows")[0].id;
    let seen = store.evidence_picture(picture_id).expect("read").expect("there");
    photos[0].bytes == by_id
        && photos[0].bytes == enrolment("ann-1", seed).photos[0]
        && ann.embedding.cosine(&embedding(128, seed + 2)) > 0.99999
        && seen == picture("a-1", 7, 20.0).png
}

#[test]
fn what_is_stored_is_neither_the_photograph_nor_the_template_nor_its_rotation() {
    let mut bench = two();
    assert!(readable(&mut bench.store, 1));
    let plain = secrets(&enrolment("ann-1", 1));
    for value in stored(&mut bench.store, "%") {
        for secret in plain.iter().chain([&picture("a-1", 7, 20.0).png]) {
            assert!(!value.windows(32).any(|window| window == &secret[..32]));
        }
    }
    // Even with the key a template is turned.
    let ring = bench.store.ring().expect("ring");
    let (id, vector): (i64, Vec<u8>) = bench
        .store
        .read(|c| {
            let sql = "SELECT id, vector FROM templates WHERE person = 'ann-1' AND kind = 'prototype'";
            Ok(c.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
        })
        .expect("read");
    let place = Place::Template {
        person: "ann-1",
        kind: "prototype",
        size_bin_px: None,
        model_digest: MODEL,
        preprocessing: PREP,
        sha256: "",
    };
    let turned = open(&ring, &place, 1, &vector).expect("opens");
    let turned: Vec<f32> = turned.as_chunks::<4>().0.iter().map(|at| f32::from_le_bytes(*at)).collect();
    let turned = Embedding::try_new(&turned).expect("a vector");
    assert!(turned.cosine(&embedding(128, 3)).abs() < 0.5, "template {id} is stored as it is");
}

#[test]
fn a_value_put_into_another_row_does_not_open_there() {
    let mut bench = two();
    let swap = "UPDATE templates SET vector = (SELECT vector FROM templates t WHERE t.person = 'bob-1' AND t.kind = 'prototype')
                WHERE person = 'ann-1' AND kind = 'prototype'";
    bench.store.read(|c| Ok(c.execute_batch(swap)?)).expect("swapped");
    let gallery = bench.store.gallery(MODEL, PREP, NOW).expect("gallery");
    assert_eq!((gallery.rows.len(), gallery.unreadable), (1, 1));
    assert_eq!(gallery.rows[0].person, person("bob-1"), "nobody is matched as somebody else");
}

fn private(path: &Path) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("chmod");
}

#[test]
fn without_the_keys_nobody_is_matched_nothing_panics_and_the_sentence_says_what_to_do() {
    let mut bench = two();
    let keys = bench.dir.path().join("people.keys");
    let whole = std::fs::read(&keys).expect("read");
    for damage in [None, Some(whole[..50].to_vec())] {
        match damage {
            None => std::fs::remove_file(&keys).expect("removed"),
            Some(cut) => {
                std::fs::write(&keys, cut).expect("written");
                private(&keys);
            }
        }
        bench.reload();
        let gallery = bench.store.gallery(MODEL, PREP, NOW).expect("the daemon starts all the same");
        assert_eq!((gallery.rows.len(), gallery.unreadable), (0, 2));
        for error in [
            bench.store.photos(&person("ann-1")).expect_err("unreadable"),
            bench.store.enrol(Enrol::Add, &enrolment("eve-1", 5), "uid:7", NOW).expect_err("refused"),
            bench.store.seal_rest(10).expect_err("refused"),
        ] {
            let said = error.to_string();
            assert!(said.contains("people.keys") && said.contains("restore it from the backup"), "{said}");
        }
    }
    std::fs::write(&keys, &whole).expect("restored");
    bench.reload();
    assert!(readable(&mut bench.store, 1));
}

/// Makes the rows what an earlier version of the program wrote.
fn unseal(store: &mut Store) {
    let plain = enrolment("ann-1", 1);
    let vector: Vec<u8> = embedding(128, 3).as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    store
        .read(|c| {
            let sql = "UPDATE photos SET sealing = 0, bytes = ?1 WHERE id = 1";
            c.execute(sql, [&plain.photos[0]])?;
            c.execute("UPDATE photos SET sealing = 0, bytes = ?1 WHERE id = 2", [&plain.photos[1]])?;
            let sql = "UPDATE templates SET sealing = 0, vector = ?1 WHERE person = 'ann-1'";
            c.execute(sql, [&vector])?;
            let sql = "UPDATE evidence SET sealing = 0, picture = ?1, person = NULL, width = NULL, height = NULL";
            c.execute(sql, [&picture("a-1", 7, 20.0).png])?;
            Ok(())
        })
        .expect("made old");
}

#[test]
fn old_rows_are_readable_and_are_sealed_in_batches_with_nothing_plain_left() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut store = Store::create_or_open_plain(&dir.path().join("db")).expect("made");
    store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    store.keep_evidence(&[picture("a-1", 7, 20.0)], NOW, NOW, 8).expect("kept");
    let mut after = record("a-1", Stage::Candidate);
    after.person = person("ann-1");
    store.append(&AlertEvent { before: None, after, sequence: 1 }, &[], "daemon").expect("appended");
    unseal(&mut store);
    // Of an alert that never came: nobody knows whose it is.
    let orphan = "INSERT INTO evidence (alert, taken_ms, inter_eye_px, quality, written_ms, expires_ms, picture)
                  SELECT 'x-9', taken_ms, inter_eye_px, quality, written_ms, expires_ms, picture FROM evidence";
    store.read(|c| Ok(c.execute_batch(orphan)?)).expect("made");
    std::fs::remove_file(dir.path().join("people.keys")).expect("there was none in that version");
    let plain = enrolment("ann-1", 1).photos;
    assert!(pieces_found(dir.path(), &plain) > 200, "the scan finds what is there");
    assert!(readable(&mut store, 1), "before anything is sealed");
    let first = store.seal_rest(2).expect("sealed");
    assert_eq!(first, Sealing { sealed: 2, unreadable: 0, more: true });
    assert!(readable(&mut store, 1), "half way");
    let (mut rounds, mut last) = (0, first);
    while last.more {
        last = store.seal_rest(2).expect("sealed");
        rounds += 1;
    }
    assert_eq!((rounds, last.unreadable), (3, 0));
    assert!(readable(&mut store, 1), "afterwards");
    assert_eq!(store.evidence(&AlertId("x-9".into())).expect("rows"), []);
    let secrets: Vec<_> = plain.into_iter().chain([picture("a-1", 7, 20.0).png]).collect();
    assert_eq!(pieces_found(dir.path(), &secrets), 0, "neither in database, log nor shared memory");
    assert_eq!(store.seal_rest(2).expect("nothing to do"), Sealing::default());
}

#[test]
fn a_renewal_seals_everything_anew_and_forgets_the_older_keys() {
    let mut bench = two();
    let (old, keys) = (stored(&mut bench.store, "%"), bench.store.ring().expect("ring"));
    bench.store.renew_keys().expect("begun");
    assert!(readable(&mut bench.store, 1), "in between");
    bench.store.seal_rest(3).expect("sealed");
    bench.reload();
    bench.store.renew_keys().expect("one that is under way is gone on with");
    while bench.store.seal_rest(3).expect("sealed").more {}
    let ring = bench.store.ring().expect("ring");
    assert!(ring.epoch() == 2 && !ring.renewing() && ring.key("ann-1", 1).is_none());
    assert!(readable(&mut bench.store, 1), "afterwards");
    let new = stored(&mut bench.store, "%");
    assert!(old.iter().all(|value| !new.contains(value)));
    assert_eq!(bench.count("SELECT count(*) FROM templates WHERE sealing <> 2"), 0);
    assert_ne!(keys.key("ann-1", 1).map(|k| k.bytes().to_vec()), ring.key("ann-1", 2).map(|k| k.bytes().to_vec()));
}

#[test]
fn a_key_without_a_row_is_collected_and_no_other() {
    let mut bench = two();
    let lock = bench.store.keyring.lock().expect("locked");
    let add = |ring: &mut Ring| ring.add("cut-off-1").map(|()| true);
    bench.store.keyring.edit(&lock, IfAbsent::Refuse, add).expect("as before a crash");
    drop(lock);
    assert_eq!(bench.store.collect_keys().expect("collected"), 1);
    assert_eq!(bench.store.collect_keys().expect("collected"), 0);
    assert!(readable(&mut bench.store, 1));
}

#[test]
fn nobody_elses_picture_is_kept_and_no_key_is_made_for_it() {
    let mut bench = two();
    let strange = crate::evidence::NewEvidence { person: person("eve-1"), ..picture("e-1", 7, 20.0) };
    assert_eq!(bench.store.keep_evidence(&[strange], NOW, NOW, 8).expect("asked"), 0);
    assert!(!bench.store.ring().expect("ring").knows("eve-1"));
}

/// Prints what sealing costs as well; `SEKISHO_PEOPLE=50000` with `--release` and `--nocapture` is the size the store is built
/// for.
#[test]
fn a_sealed_gallery_gives_everybody_a_plain_one_gave() {
    let people: usize = std::env::var("SEKISHO_PEOPLE").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    let dir = tempfile::tempdir().expect("temp dir");
    let mut store = Store::create_or_open(&dir.path().join("db"), key()).expect("made");
    store
        .write(|transaction| {
            for n in 0..people {
                let name = format!("p-{n}");
                let sql = "INSERT INTO people (id, list, status_ms, enrolled_ms, enrolled_by) VALUES (?1, 'staff', 1, 1, 'uid:0')";
                transaction.prepare_cached(sql)?.execute([&name])?;
                let vector: Vec<u8> =
                    embedding(128, n as u64).as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
                let sql = "INSERT INTO templates (person, kind, model_digest, preprocessing, dim, vector, added_ms)
                           VALUES (?1, 'prototype', ?2, ?3, 128, ?4, 1)";
                transaction.prepare_cached(sql)?.execute(params![name, MODEL, PREP, vector])?;
            }
            Ok(())
        })
        .expect("filled");
    let cpu = || {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        std::time::Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
    };
    let load = |store: &mut Store| {
        (0..3)
            .map(|_| {
                let began = cpu();
                assert_eq!(store.gallery(MODEL, PREP, WallMs(1)).expect("gallery").rows.len(), people);
                cpu().saturating_sub(began)
            })
            .min()
            .expect("three")
    };
    let plain = load(&mut store);
    let began = cpu();
    while store.seal_rest(4096).expect("sealed").more {}
    let sealing = cpu().saturating_sub(began);
    let sealed = load(&mut store);
    let ratio = sealed.as_secs_f64() / plain.as_secs_f64();
    println!("{people} templates: plain {plain:?}, sealed {sealed:?} ({ratio:.2} times), sealing them all {sealing:?}");
}
