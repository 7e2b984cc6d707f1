use super::*;
use crate::notify::Pulse;
use sekisho_logic::face::{Alignment, Quality};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::{CameraId, ListId, PersonId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::Purpose;
use sekisho_logic::record::AlertId;
use sekisho_store::{DbKey, Enrol, Enrolment, StoreThread, WorkerSettings};
use std::sync::Mutex;

const NOW: i64 = 1_795_475_179_000;
const HOUR_MS: i64 = 3_600_000;

/// Stands still until it is moved.
struct Hands(Mutex<Now>);

impl Hands {
    fn forward(&self, by: Duration) {
        let mut now = self.0.lock().expect("no panic while held");
        *now = Now { mono: now.mono.plus(by), wall: WallMs(now.wall.0 + ms(by)) };
    }
}

impl Clock for Hands {
    fn now(&self) -> Now {
        *self.0.lock().expect("no panic while held")
    }
}

struct Bench {
    recorder: Recorder,
    queue: PictureQueue,
    hands: Arc<Hands>,
    _dir: tempfile::TempDir,
}

fn grounds() -> NewGrounds {
    let draft = GroundsDraft {
        purpose: Some("watch".into()),
        legal_basis: Some(LegalBasis::LegalClaims),
        record: Some("case 7".into()),
        notice: Some("1".into()),
        expires: Some(WallMs(NOW + 1000 * HOUR_MS)),
        alternative_offered: false,
    };
    NewGrounds::try_new(draft, Purpose::Watch, WallMs(NOW), 366).expect("complete")
}

/// Whose face the pictures show.
fn enrol(store: &mut Store) {
    let new = Enrolment {
        person: PersonId::try_new("ann-1").expect("a name"),
        list: ListId::try_new("watch").expect("a name"),
        display_name: None,
        grounds: grounds(),
        photos: Vec::new(),
        faces: Vec::new(),
        templates: Vec::new(),
    };
    store.enrol(Enrol::Add, &new, "uid:7", WallMs(NOW - 1000)).expect("enrolled");
}

/// A recorder with a store of its own; `None` (said aloud) where the disk is so full that it would rightly write nothing.
fn bench() -> Option<Bench> {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = Store::create_or_open(&dir.path().join("db"), DbKey::from_bytes([7; 32])).expect("made");
    enrol(&mut store);
    if store.space().is_ok_and(|space| space.level() >= DiskLevel::Scarce) {
        eprintln!("SKIPPED: the disk of {} is nearly full, so no picture would be kept", dir.path().display());
        return None;
    }
    let hands = Arc::new(Hands(Mutex::new(Now { mono: Mono::from_millis(5000), wall: WallMs(NOW) })));
    let clock: Arc<dyn Clock> = hands.clone();
    let settings = WorkerSettings { ballast_bytes: 0, ..WorkerSettings::default() };
    let store = StoreThread::spawn(store, Arc::clone(&clock), settings, |_| ()).expect("a thread");
    let board = Arc::<Board>::default();
    let (queue, looks) = queue(&board);
    let settings = Arc::new(RwLock::new(Settings::default()));
    let beat = Pulse::default().register("evidence", hands.now().mono);
    Some(Bench {
        recorder: Recorder { looks, store, clock, settings, board, beat, synchronised: || None },
        queue,
        hands,
        _dir: dir,
    })
}

fn picture(taken: i64, inter_eye_px: f32) -> Arc<FacePicture> {
    let patch = |side: u32, seed: u32| {
        let rgb = (0..side * side * 3).map(|at| u8::try_from((at * 7 + seed) % 256).expect("a byte")).collect();
        RgbPatch::try_new(side, side, rgb).expect("as many bytes as pixels")
    };
    Arc::new(FacePicture {
        stamp: FrameStamp { sequence: 1, mono: Mono::default(), wall: WallMs(taken) },
        quality: Quality {
            inter_eye_px,
            sharpness: 0.5,
            yaw_deg: -3.0,
            roll_deg: 1.25,
            brightness: 0.4,
            contrast: 0.2,
            alignment: Alignment::Landmarks,
        },
        aligned: patch(112, 1),
        native: patch(40, u32::try_from(taken % 200).expect("small")),
    })
}

fn look(alert: &str, pictures: Vec<Arc<FacePicture>>) -> Box<AlertPictures> {
    Box::new(AlertPictures {
        alert: AlertId(alert.into()),
        person: PersonId::try_new("ann-1").expect("a name"),
        camera: CameraId::try_new("gate").expect("a name"),
        pictures,
    })
}

#[test]
fn pictures_are_kept_pixel_for_pixel_with_what_was_measured() {
    let Some(Bench { recorder, queue, _dir, .. }) = bench() else { return };
    let (store, board) = (recorder.store.clone(), Arc::clone(&recorder.board));
    let shown: Vec<_> = (1..=5).map(|at| picture(NOW + at, 10.5)).collect();
    queue.put(look("a-1", shown.clone()));
    // At the confirmation some come again, with others.
    let later: Vec<_> = (6..=9).map(|at| picture(NOW + at, 20.0)).collect();
    queue.put(look("a-1", [shown[3..].to_vec(), later].concat()));
    drop(queue);
    recorder.run();
    let rows = store.call(|store| store.evidence(&AlertId("a-1".into()))).expect("asked").expect("read");
    assert_eq!(rows.len(), 8, "as many as the settings allow");
    assert_eq!(rows.iter().filter(|row| row.inter_eye_px > 19.0).count(), 4, "the largest stay");
    assert_eq!((rows[0].width, rows[0].height), (40, 40));
    let wanted =
        r#"{"alignment":"landmarks","brightness":0.4,"contrast":0.2,"roll-deg":1.25,"sharpness":0.5,"yaw-deg":-3.0}"#;
    let quality: serde_json::Value = serde_json::from_str(&rows[0].quality).expect("JSON");
    let rounded = |value: &serde_json::Value| format!("{:.3}", value.as_f64().unwrap_or_default());
    let wanted: serde_json::Value = serde_json::from_str(wanted).expect("JSON");
    for (name, value) in wanted.as_object().expect("an object") {
        assert!(quality[name] == *value || rounded(&quality[name]) == rounded(value), "{name}: {quality}");
    }
    assert_eq!(quality.as_object().map(serde_json::Map::len), Some(6));
    let id = rows[0].id;
    let png = store.call(move |store| store.evidence_picture(id)).expect("asked").expect("read").expect("there");
    let pixels = image::load_from_memory(&png).expect("a PNG").into_rgb8();
    let native = &shown.iter().find(|picture| picture.stamp.wall == rows[0].taken).expect("offered").native;
    assert_eq!(pixels.as_raw(), native.rgb());
    let view = board.evidence();
    assert_eq!((view.pictures, view.dropped_total.len()), (8, 0), "{view:?}");
}

#[test]
fn a_full_queue_loses_pictures_says_so_and_nobody_waits() {
    let Some(Bench { recorder, queue, _dir, .. }) = bench() else { return };
    for at in 0..LOOKS_MAX + 2 {
        queue.put(look(&format!("a-{at}"), vec![picture(NOW, 10.0), picture(NOW + 1, 10.0)]));
    }
    let board = Arc::clone(&recorder.board);
    assert_eq!(board.evidence().dropped_total["queue-full"], 4);
    let store = recorder.store.clone();
    drop(queue);
    recorder.run();
    assert_eq!(store.call(Store::evidence_count).expect("asked").expect("read"), 2 * LOOKS_MAX as u64);
}

#[test]
fn with_no_pictures_wanted_nothing_is_written() {
    let Some(Bench { recorder, queue, _dir, .. }) = bench() else { return };
    recorder.settings.write().expect("no panic while held").evidence.pictures = Pictures::None;
    let (store, board) = (recorder.store.clone(), Arc::clone(&recorder.board));
    queue.put(look("a-1", vec![picture(NOW, 10.0)]));
    drop(queue);
    recorder.run();
    assert_eq!(store.call(Store::evidence_count).expect("asked").expect("read"), 0);
    assert!(board.evidence().dropped_total.is_empty(), "what is not wanted is not lost");
}

#[test]
fn with_hashes_wanted_the_trail_has_them_and_the_store_no_picture() {
    let Some(Bench { recorder, queue, _dir: dir, .. }) = bench() else { return };
    recorder.settings.write().expect("no panic while held").evidence.pictures = Pictures::HashOnly;
    let store = recorder.store.clone();
    let shown = picture(NOW, 10.0);
    let wanted = hex::encode(Sha256::digest(png(&shown.native).expect("encodes")));
    queue.put(look("a-1", vec![shown]));
    drop(queue);
    recorder.run();
    assert_eq!(store.call(Store::evidence_count).expect("asked").expect("read"), 0);
    let trail = store.call(|store| store.audit_entries(0, 100)).expect("asked").expect("read");
    assert!(trail.iter().any(|entry| entry.action == "picture-hash" && entry.detail.contains(&wanted)), "{trail:?}");
    drop(dir);
}

#[test]
fn what_expired_is_erased_a_large_run_only_after_a_second_look() {
    let Some(Bench { recorder, hands, queue: _queue, _dir }) = bench() else { return };
    let new = |alert: usize, at: i64| {
        let mut new = encoded(&look(&format!("a-{alert}"), Vec::new()), &picture(at, 10.0)).expect("encodes");
        new.taken = WallMs(at);
        new
    };
    let (old, fresh) = (WallMs(NOW - 25 * HOUR_MS), WallMs(NOW));
    let past: Vec<_> = (0..150).map(|n| new(n, old.0)).collect();
    let present: Vec<_> = (200..210).map(|n| new(n, fresh.0)).collect();
    let kept = recorder.store.call(move |store| {
        // Expiries are reckoned from when a picture was written, whatever was noted then.
        store.keep_evidence(&past, old, WallMs(i64::MAX), 8)?;
        store.keep_evidence(&present, fresh, WallMs(0), 8)
    });
    assert_eq!(kept.expect("asked").expect("kept"), 10);
    let (settings, mut memory) = (recorder.settings(), Memory::default());
    recorder.tend(&mut memory, &settings, hands.now());
    let view = recorder.board.evidence();
    assert_eq!((view.pictures, view.due, view.held.map(|held| held.as_str())), (160, 150, Some("large-run")));
    hands.forward(Duration::from_secs(601));
    recorder.tend(&mut memory, &settings, hands.now());
    let view = recorder.board.evidence();
    assert_eq!((view.pictures, view.due, view.erased_total, view.held), (10, 0, 150, None));
    hands.forward(Duration::from_secs(601));
    recorder.tend(&mut memory, &settings, hands.now());
    assert_eq!(recorder.board.evidence().pictures, 10, "what has not expired stays");
    assert_eq!(memory.failures, 0);
}

#[test]
fn what_the_disk_does_not_take_is_given_up_after_a_minute_and_bounded_before() {
    let Some(Bench { recorder, queue: _queue, _dir, .. }) = bench() else { return };
    let (settings, mut memory) = (Settings::default().evidence, Memory::default());
    for n in 0..30 {
        let shown = (0..5).map(|at| picture(NOW + at, 10.0)).collect();
        recorder.take(&mut memory, &look(&format!("a-{n}"), shown), &settings, Mono::from_millis(n * 1000));
    }
    assert_eq!(memory.waiting.len(), WAITING_MAX, "the oldest went");
    assert_eq!(recorder.board.evidence().dropped_total["storage-failed"], 150 - WAITING_MAX as u64);
    recorder.give_up(&mut memory, Mono::from_millis(60_000), false);
    assert_eq!(memory.waiting.len(), WAITING_MAX, "not yet");
    recorder.give_up(&mut memory, Mono::from_millis(79_000), false);
    assert_eq!(memory.waiting.len(), 50, "ten alerts came later");
    recorder.give_up(&mut memory, Mono::from_millis(79_000), true);
    assert_eq!(recorder.board.evidence().dropped_total["storage-failed"], 150);
}
