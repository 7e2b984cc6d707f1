use super::*;
use crate::evidence::tests::picture;
use crate::needles::Needles;
use crate::testing::{Bench, embedding, grounds, grounds_until, key, list, noise, person};
use std::path::Path;

pub(crate) const MODEL: &str = "aa11";
pub(crate) const PREP: &str = "align-1";
pub(crate) const NOW: WallMs = WallMs(1_000_000);

pub(crate) fn template(source: TemplateSource, dim: usize, seed: u64) -> NewTemplate {
    NewTemplate {
        source,
        size_bin_px: None,
        model_digest: MODEL.into(),
        preprocessing: PREP.into(),
        embedding: embedding(dim, seed),
    }
}

pub(crate) fn enrolment(name: &str, seed: u64) -> Enrolment {
    Enrolment {
        person: person(name),
        list: list("staff"),
        display_name: Some("Ann Example".into()),
        grounds: grounds(),
        photos: vec![noise(40_000, seed), noise(9_000, seed + 1)],
        faces: vec![Some([10, 20, 300, 400])],
        templates: vec![
            template(TemplateSource::Photo(0), 128, seed),
            template(TemplateSource::Photo(1), 128, seed + 1),
            template(TemplateSource::Prototype, 128, seed + 2),
        ],
    }
}

#[test]
fn an_enrolment_is_listed_shown_and_matched() {
    let mut bench = Bench::new();
    let done = bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    assert_eq!((done.photos, done.templates, done.replaced, done.status), (2, 3, false, PersonStatus::Active));
    bench.store.enrol(Enrol::Add, &enrolment("bob-1", 10), "uid:7", NOW).expect("enrolled");
    let names: Vec<_> = bench.store.people().expect("list").into_iter().map(|p| p.id.to_string()).collect();
    assert_eq!(names, ["ann-1", "bob-1"]);
    let ann = bench.store.person(&person("ann-1")).expect("read").expect("there");
    assert_eq!((ann.photos, ann.templates, ann.enrolled, ann.enrolled_by.as_str()), (2, 3, NOW, "uid:7"));
    assert_eq!((ann.display_name.as_deref(), ann.grounds.alternative_offered), (Some("Ann Example"), Some(true)));
    assert_eq!(bench.store.person(&person("eve-1")).expect("read"), None);
    let photos = bench.store.photos(&person("ann-1")).expect("photos");
    assert_eq!(photos[0].bytes, noise(40_000, 1));
    assert_eq!(photos[1].sha256, hex::encode(Sha256::digest(noise(9_000, 2))));
    let gallery = bench.store.gallery(MODEL, PREP, NOW).expect("gallery");
    assert_eq!(gallery.rows.len(), 2, "only prototypes are matched against");
    assert!(gallery.rows[0].embedding.cosine(&embedding(128, 3)) > 0.9999);
    assert!(gallery.without_prototype.is_empty() && gallery.other_versions.is_empty());
}

#[test]
fn adding_twice_is_refused_and_replacing_takes_the_new() {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    let again = bench.store.enrol(Enrol::Add, &enrolment("ann-1", 50), "uid:7", NOW);
    assert!(matches!(again, Err(StoreError::AlreadyEnrolled { .. })), "{again:?}");
    let done = bench.store.enrol(Enrol::Replace, &enrolment("ann-1", 50), "uid:7", NOW).expect("replaced");
    assert_eq!((done.replaced, done.traces), (true, Traces::Gone));
    assert_eq!(bench.store.photos(&person("ann-1")).expect("photos")[0].bytes, noise(40_000, 50));
    assert_eq!(bench.count("SELECT count(*) FROM templates"), 3);
    let new = bench.store.enrol(Enrol::Replace, &enrolment("bob-1", 60), "uid:7", NOW).expect("added");
    assert!(!new.replaced);
}

#[test]
fn replacing_does_not_bring_back_who_withdrew() {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    bench.store.set_status(&person("ann-1"), PersonStatus::Withdrawn, "uid:7", NOW).expect("withdrawn");
    let done = bench.store.enrol(Enrol::Replace, &enrolment("ann-1", 2), "uid:7", NOW).expect("replaced");
    assert_eq!(done.status, PersonStatus::Withdrawn);
    assert!(bench.store.gallery(MODEL, PREP, NOW).expect("gallery").rows.is_empty());
}

#[test]
fn only_people_in_force_are_matched() {
    let mut bench = Bench::new();
    let mut ends = enrolment("ends-1", 20);
    ends.grounds = grounds_until(WallMs(NOW.0 + 10));
    for (name, seed) in [("ann-1", 1), ("gone-1", 5), ("held-1", 9)] {
        bench.store.enrol(Enrol::Add, &enrolment(name, seed), "uid:7", NOW).expect("enrolled");
    }
    bench.store.enrol(Enrol::Add, &ends, "uid:7", NOW).expect("enrolled");
    bench.store.set_status(&person("gone-1"), PersonStatus::Withdrawn, "uid:7", NOW).expect("set");
    bench.store.set_status(&person("held-1"), PersonStatus::Restricted, "uid:7", NOW).expect("set");
    let matched = |bench: &mut Bench, now| -> Vec<String> {
        bench.store.gallery(MODEL, PREP, now).expect("gallery").rows.iter().map(|row| row.person.to_string()).collect()
    };
    assert_eq!(matched(&mut bench, NOW), ["ann-1", "ends-1"]);
    assert_eq!(matched(&mut bench, WallMs(NOW.0 + 10)), ["ann-1"]);
    assert_eq!(bench.store.gallery(MODEL, PREP, NOW).expect("gallery").people_inactive, 2);
    bench.store.set_status(&person("held-1"), PersonStatus::Active, "uid:7", NOW).expect("set");
    assert_eq!(matched(&mut bench, NOW), ["ann-1", "ends-1", "held-1"]);
    let nobody = bench.store.set_status(&person("eve-1"), PersonStatus::Active, "uid:7", NOW);
    assert!(matches!(nobody, Err(StoreError::NotEnrolled { .. })));
}

#[test]
fn other_versions_are_counted_and_never_mixed_in() {
    let mut bench = Bench::new();
    bench.store.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    let mut old = enrolment("old-1", 5);
    old.templates.iter_mut().for_each(|template| template.model_digest = "bb22".into());
    bench.store.enrol(Enrol::Add, &old, "uid:7", NOW).expect("enrolled");
    let mut aligned = enrolment("old-2", 9);
    aligned.templates.iter_mut().for_each(|template| template.preprocessing = "align-0".into());
    bench.store.enrol(Enrol::Add, &aligned, "uid:7", NOW).expect("enrolled");
    let gallery = bench.store.gallery(MODEL, PREP, NOW).expect("gallery");
    assert_eq!(gallery.rows.len(), 1);
    assert_eq!(gallery.without_prototype, [person("old-1"), person("old-2")]);
    let others: Vec<_> =
        gallery.other_versions.iter().map(|o| (o.model_digest.as_str(), o.prototypes, o.people)).collect();
    assert_eq!(others, [("aa11", 1, 1), ("bb22", 1, 1)]);

    let photo = bench.store.photos(&person("old-1")).expect("photos")[0].id;
    let anew = [template(TemplateSource::Photo(photo), 64, 70), template(TemplateSource::Prototype, 64, 71)];
    bench.store.replace_templates(&person("old-1"), &anew, "uid:7", NOW).expect("embedded anew");
    assert_eq!(bench.store.gallery(MODEL, PREP, NOW).expect("gallery").rows.len(), 2);
    let strangers = [template(TemplateSource::Photo(photo), 64, 72)];
    let refused = bench.store.replace_templates(&person("ann-1"), &strangers, "uid:7", NOW);
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    assert_eq!(bench.count("SELECT count(*) FROM templates WHERE person = 'ann-1'"), 3, "nothing changed");
}

#[test]
fn unreadable_prototypes_are_counted_not_matched() {
    let mut bench = Bench::new();
    for (name, seed) in [("ann-1", 1), ("nan-1", 5), ("sealed-1", 9)] {
        bench.store.enrol(Enrol::Add, &enrolment(name, seed), "uid:7", NOW).expect("enrolled");
    }
    let damage = "UPDATE templates SET vector = zeroblob(512) WHERE person = 'nan-1';
                  UPDATE templates SET sealing = 7 WHERE person = 'sealed-1';";
    bench.store.read(|connection| Ok(connection.execute_batch(damage)?)).expect("damaged");
    let gallery = bench.store.gallery(MODEL, PREP, NOW).expect("gallery");
    assert_eq!((gallery.rows.len(), gallery.unreadable), (1, 2));
}

#[test]
fn what_is_over_its_bound_or_unfounded_is_refused_whole() {
    let mut bench = Bench::new();
    let mut many = enrolment("ann-1", 1);
    many.photos = vec![vec![1]; PHOTOS_MAX + 1];
    let mut empty = enrolment("ann-1", 1);
    empty.photos[1].clear();
    let mut dangling = enrolment("ann-1", 1);
    dangling.templates[0].source = TemplateSource::Photo(2);
    let mut long = enrolment("ann-1", 1);
    long.display_name = Some("x".repeat(TEXT_BYTES_MAX + 1));
    for bad in [many, empty, dangling, long] {
        let error = bench.store.enrol(Enrol::Add, &bad, "uid:7", NOW).expect_err("refused");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert_eq!(bench.count("SELECT (SELECT count(*) FROM people) + (SELECT count(*) FROM audit)"), 0);
}

#[test]
fn the_same_photo_twice_is_kept_once() {
    let mut bench = Bench::new();
    let mut twice = enrolment("ann-1", 1);
    twice.photos[1] = twice.photos[0].clone();
    twice.templates.remove(1);
    let done = bench.store.enrol(Enrol::Add, &twice, "uid:7", NOW).expect("enrolled");
    assert_eq!((done.photos, bench.count("SELECT count(*) FROM photos")), (1, 1));
}

#[test]
fn another_process_sees_the_edit_at_once() {
    let mut bench = Bench::new();
    let mut cli = Store::open_existing(&bench.path(), key()).expect("opened beside");
    let (data, gallery) = (bench.store.data_version().expect("data"), bench.store.gallery_version().expect("gallery"));
    assert_eq!(bench.store.data_version().expect("data"), data);
    cli.enrol(Enrol::Add, &enrolment("ann-1", 1), "uid:7", NOW).expect("enrolled");
    assert_ne!(bench.store.data_version().expect("data"), data);
    let after = bench.store.gallery_version().expect("gallery");
    assert!(after > gallery);
    cli.audit(NOW, "uid:7", "test", None, json!({})).expect("something else");
    assert_eq!(bench.store.gallery_version().expect("gallery"), after, "only people and templates count");
    cli.set_status(&person("ann-1"), PersonStatus::Withdrawn, "uid:7", NOW).expect("withdrawn");
    assert!(bench.store.gallery_version().expect("gallery") > after);
}

/// How many of the given byte strings' pieces are in any file of `dir`.
pub(crate) fn pieces_found(dir: &Path, secrets: &[Vec<u8>]) -> usize {
    let needles = Needles::of(secrets.iter().map(Vec::as_slice));
    let files = std::fs::read_dir(dir).expect("dir").map(|entry| entry.expect("entry").path());
    files.map(|path| needles.found_in_file(&path).expect("read")).sum()
}

/// Ann's photos and large templates as they lie in a file.
pub(crate) fn secrets(of: &Enrolment) -> Vec<Vec<u8>> {
    let vector = |t: &NewTemplate| t.embedding.as_slice().iter().flat_map(|v| v.to_le_bytes()).collect();
    of.photos.iter().cloned().chain(of.templates.iter().map(vector)).collect()
}

/// Everything sealed that is stored, of one person or of all, as it lies in the file.
pub(crate) fn stored(store: &mut Store, of: &str) -> Vec<Vec<u8>> {
    let sql =
        "SELECT bytes FROM photos WHERE person LIKE ?1 UNION ALL SELECT vector FROM templates WHERE person LIKE ?1
               UNION ALL SELECT picture FROM evidence WHERE person LIKE ?1";
    store
        .read(|connection| {
            let mut statement = connection.prepare(sql)?;
            Ok(statement.query_map([of], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
        .expect("read")
}

pub(crate) fn crowded(dir: &Path) -> (Store, Enrolment) {
    let mut store = Store::create_or_open_plain(&dir.join("db")).expect("made");
    let mut ann = enrolment("ann-1", 1000);
    // 1536 values are 6 KiB: more than a page, so that overflow pages are part of the test.
    ann.templates = vec![template(TemplateSource::Photo(0), 1536, 77), template(TemplateSource::Prototype, 64, 78)];
    for (name, seed) in [("abe-1", 1), ("zoe-1", 30)] {
        store.enrol(Enrol::Add, &enrolment(name, seed), "uid:7", NOW).expect("enrolled");
    }
    store.enrol(Enrol::Add, &ann, "uid:7", NOW).expect("enrolled");
    store.enrol(Enrol::Add, &enrolment("mia-1", 60), "uid:7", NOW).expect("enrolled");
    (store, ann)
}

#[test]
fn no_file_holds_an_expired_picture() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut store, _) = crowded(dir.path());
    let new: Vec<_> = (7001..7005).map(|taken| picture("a-1", taken, 20.0)).collect();
    store.keep_evidence(&new, NOW, WallMs(NOW.0 + 1), 8).expect("kept");
    let plain: Vec<_> = new.into_iter().map(|picture| picture.png).collect();
    assert_eq!(pieces_found(dir.path(), &plain), 0, "pictures are sealed");
    let secrets = store.read(|c| {
        let mut statement = c.prepare("SELECT picture FROM evidence")?;
        Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<Vec<u8>>, _>>()?)
    });
    let secrets = secrets.expect("read");
    assert!(pieces_found(dir.path(), &secrets) > 100, "the scan finds what is there");
    assert_eq!(store.forget_evidence(WallMs(NOW.0 + 2), 9).expect("forgotten"), 4);
    assert_eq!(pieces_found(dir.path(), &secrets), 0, "while the store is still open");
}

#[test]
fn without_our_settings_the_same_scan_finds_the_bytes() {
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut store, _) = crowded(dir.path());
    let secrets = stored(&mut store, "ann-1");
    let careless = "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA secure_delete = OFF; DELETE FROM people WHERE id = 'ann-1';
                    PRAGMA wal_checkpoint(TRUNCATE);";
    store.read(|connection| Ok(connection.execute_batch(careless)?)).expect("deleted");
    assert!(pieces_found(dir.path(), &secrets) > 100, "a plain DELETE leaves the bytes in free pages");
}

#[test]
fn an_encrypted_store_shows_nothing_in_its_files() {
    let mut bench = Bench::new();
    let ann = enrolment("ann-1", 1);
    bench.store.enrol(Enrol::Add, &ann, "uid:7", NOW).expect("enrolled");
    let mut secrets = secrets(&ann);
    assert_eq!(pieces_found(bench.dir.path(), &secrets), 0);
    secrets.push(b"CREATE TABLE people (".repeat(20));
    let files: Vec<u8> = std::fs::read_dir(bench.dir.path())
        .expect("dir")
        .flat_map(|entry| std::fs::read(entry.expect("entry").path()).expect("read"))
        .collect();
    for word in [&b"SQLite format"[..], b"CREATE TABLE", b"Ann Example", b"ann-1"] {
        assert!(!files.windows(word.len()).any(|window| window == word), "{word:?} is readable");
    }
}
