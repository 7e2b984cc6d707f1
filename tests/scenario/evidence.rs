//! Pictures of alerts: those who raise one are shown to reviewers, nobody else is kept, and what has expired is erased.

use sekisho::evidence::recorder::{self, PictureQueue, Recorder};
use sekisho::notify::Pulse;
use sekisho::status::board::Board;
use sekisho_camera::clip::ClipReader;
use sekisho_logic::face::{Alignment, Quality};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::id::{CameraId, PersonId};
use sekisho_logic::picture::{FacePicture, RgbPatch};
use sekisho_logic::record::{AlertId, AlertRecord};
use sekisho_logic::time::{Clock, Mono, WallMs};
use sekisho_logic::watcher::AlertPictures;
use sekisho_store::{
    AlertFilter, Append, DbKey, DiskLevel, IfMissing, NewEvidence, StorageState, Store, StoreHandle, StoreThread,
    WorkerSettings,
};
use sekisho_tests::clock::RealClock;
use sekisho_tests::planted;
use sekisho_tests::site::{Daemon, Site, fetched, files, shared};
use sekisho_tests::stills::{Cut, cut_last_frame};
use sekisho_tests::store::{Dice, Scratch, open, story};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Where the three faces are in the last frame of `three-people-approach.mp4` (480x270).
const PEOPLE: [(&str, Cut); 3] =
    [("left", (16, 40, 140, 180)), ("middle", (160, 20, 140, 160)), ("right", (300, 60, 140, 180))];

/// How PNG and JPEG files begin; long enough not to come about by chance in encrypted pages.
const SIGNATURES: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF\xE0\x00\x10JFIF", b"Exif\0\0"];

fn store_of(site: &Site) -> Store {
    let state = site.path("state");
    let key = DbKey::from_file(&state.join("store.key"), IfMissing::Refuse).expect("a key");
    Store::open_existing(&state.join("sekisho.db"), key).expect("a database")
}

fn holds(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}

fn all_alerts(store: &mut Store) -> Vec<AlertRecord> {
    store.alerts(&AlertFilter::default(), 1000).expect("alerts")
}

/// Three people enrolled on the watch list, and the clip that shows them; `None` (said aloud) where something is absent.
fn watched() -> Option<(Site, PathBuf)> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?.canonicalize().expect("the clip");
    let site = Site::new();
    if sekisho_store::Space::measure(site.dir.path()).is_ok_and(|space| space.level() >= DiskLevel::Scarce) {
        eprintln!("SKIPPED: the disk of {} is nearly full, so rightly no picture is kept", site.dir.path().display());
        return None;
    }
    for (name, cut) in PEOPLE {
        let photo = site.path(&format!("{name}.png"));
        cut_last_frame(&clip, &[(cut, &photo)]).expect("a still");
        let _said = site.enrol(&[name, &photo.display().to_string(), "--list", "watch"]);
        std::fs::remove_file(photo).expect("own file");
    }
    Some((site, clip))
}

fn camera(name: &str, clip: &Path) -> String {
    format!("[cameras.{name}]\nsource = {:?}\nlists = [\"watch\"]\n", format!("file://{}", clip.display()))
}

fn tracks_over(daemon: &Daemon) -> u64 {
    let cameras = daemon.get("/v1/cameras");
    let verdicts = &cameras["cameras"][0]["verdicts"];
    let undecided = verdicts["not-decidable"].as_object().into_iter().flatten();
    let undecided: u64 = undecided.filter_map(|(_, count)| count.as_u64()).sum();
    undecided + verdicts["not-enrolled"].as_u64().unwrap_or(0) + verdicts["identified"].as_u64().unwrap_or(0)
}

/// The pictures of one alert are of its face: about as large as the alert says, and cut with a margin of half its size.
fn plausible(store: &mut Store, alert: &AlertRecord) -> u64 {
    let rows = store.evidence(&alert.id).expect("read");
    assert!((1..=8).contains(&rows.len()), "{}: {} pictures", alert.id, rows.len());
    let candidate = alert.candidate.inter_eye_px;
    let nearest = rows.iter().map(|row| (row.inter_eye_px - candidate).abs()).fold(f32::MAX, f32::min);
    assert!(nearest < 0.05 * candidate, "{}: candidate at {candidate} px, nearest picture {nearest} px off", alert.id);
    for row in &rows {
        // A detector's box is two to three inter-eye distances wide; half as much again around it, less at the edge.
        let wide = f64::from(row.width) / f64::from(row.inter_eye_px);
        assert!((1.5..6.0).contains(&wide) && row.height >= row.width / 2, "{row:?}");
        let quality: serde_json::Value = serde_json::from_str(&row.quality).expect("JSON");
        assert!(quality["sharpness"].is_number() && quality["alignment"].is_string(), "{quality}");
        let png = store.evidence_picture(row.id).expect("read").expect("there");
        let picture = image::load_from_memory(&png).expect("a picture").into_luma8();
        assert_eq!(picture.dimensions(), (row.width, row.height));
        let (dark, light) = picture.as_raw().iter().fold((255, 0), |(low, high), &at| (at.min(low), at.max(high)));
        assert!(light - dark > 40, "a flat picture shows no face: {dark} to {light}");
    }
    rows.len() as u64
}

#[test]
fn who_raises_an_alert_is_shown_and_goes_with_their_enrolment() {
    let Some((mut site, clip)) = watched() else { return };
    site.configure(&camera("gate", &clip));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("an alert for each person", 90, |daemon| {
        let waiting = daemon.get("/v1/alerts?stage=machine-confirmed");
        waiting["alerts"].as_array().is_some_and(|alerts| alerts.len() >= PEOPLE.len())
    });
    daemon.wait_until("pictures in status", 10, |daemon| {
        daemon.get("/v1/status")["evidence"]["pictures"].as_u64().is_some_and(|count| count >= 9)
    });
    let told = daemon.get("/v1/status")["evidence"].clone();
    assert_eq!(told["dropped-total"], serde_json::json!({}), "{told}");
    let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
    assert!(metrics.contains("sekisho_evidence_pictures "), "{metrics}");
    assert!(daemon.stop(5).success());
    for (path, bytes) in files(&site.path("state")).into_iter().chain(files(site.dir.path())) {
        let shown = SIGNATURES.iter().any(|signature| holds(&bytes, signature));
        assert!(!shown, "{} holds a picture for anybody to see", path.display());
    }

    let mut store = store_of(&site);
    let alerts = all_alerts(&mut store);
    let counted: u64 = alerts.iter().map(|alert| plausible(&mut store, alert)).sum();
    assert_eq!(store.evidence_count().expect("read"), counted, "no picture without its alert");
    shown_at_a_terminal(&site, &mut store, &alerts[0]);
    enrolled_faces_are_known(&mut store);

    let of_left: u64 = alerts
        .iter()
        .filter(|alert| alert.person.as_str() == "left")
        .map(|alert| store.evidence(&alert.id).expect("read").len() as u64)
        .sum();
    store.close().expect("closed");
    let said = site.done(&["gallery", "erase", "left", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["erased"]["pictures"], of_left, "{said}");
    assert_eq!(store_of(&site).evidence_count().expect("read"), counted - of_left);
}

fn shown_at_a_terminal(site: &Site, store: &mut Store, alert: &AlertRecord) {
    let folder = site.path("shown");
    let said = site.done(&["alerts", "show", &alert.id.0, "--pictures", &folder.display().to_string(), "--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(
        (said["id"].as_str(), said["person"].as_str()),
        (Some(alert.id.0.as_str()), Some(alert.person.as_str()))
    );
    assert!(said["blind"] == true && said["llr"].is_null(), "whoever has yet to vote is not told the evidence: {said}");
    let rows = store.evidence(&alert.id).expect("read");
    let told = said["pictures"].as_array().expect("a list");
    assert_eq!(told.len(), rows.len());
    for (picture, row) in told.iter().zip(&rows) {
        let path = picture["file"].as_str().expect("a path");
        let mode = std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
        assert_eq!(Some(std::fs::read(path).expect("readable")), store.evidence_picture(row.id).expect("read"));
    }
    let photo = said["photos"][0]["file"].as_str().expect("the enrolled face");
    let face = image::open(photo).expect("a picture");
    assert!(face.width().max(face.height()) <= 480 && face.width() > 60, "{}x{}", face.width(), face.height());
    let rows = store.audit_entries(0, 1000).expect("audit");
    let noted = rows.iter().find(|row| row.action == "pictures-shown").expect("audited");
    assert_eq!(noted.subject.as_deref(), Some(alert.id.0.as_str()));
    let missing = site.cli(&["alerts", "show", "no-such-alert", "--pictures", &folder.display().to_string()]);
    assert_eq!(missing.status.code(), Some(1));
    std::fs::remove_dir_all(folder).expect("own folder");
}

/// Enrolment noted where each face is: within the photograph (140 to 180 pixels a side, enlarged three times), not all of it.
fn enrolled_faces_are_known(store: &mut Store) {
    for (name, (_, _, width, height)) in PEOPLE {
        let photos = store.person_photos(&PersonId::try_new(name).expect("a name")).expect("read");
        let [left, top, across, down] = photos[0].face.expect("noted at enrolment");
        assert!(left + across <= 3 * width && top + down <= 3 * height, "{name}");
        assert!(across > 50 && across * down < 9 * width * height / 2, "{name}: {across}x{down}");
    }
}

#[test]
fn strangers_leave_no_picture_anywhere() {
    let Some((mut site, _)) = watched() else { return };
    let Some(clip) = shared("data/clips/two-strangers-approach.mp4") else { return };
    let clip = clip.canonicalize().expect("the clip");
    site.configure(&camera("yard", &clip));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("both strangers' tracks over", 90, |daemon| {
        let faces = daemon.get("/v1/cameras")["cameras"][0]["faces"].as_u64();
        tracks_over(daemon) >= 2 && faces.is_some_and(|faces| faces > 20)
    });
    let evidence = daemon.get("/v1/status")["evidence"].clone();
    assert!(daemon.stop(5).success());
    assert_eq!((evidence["pictures"].as_u64(), evidence["written-total"].as_u64()), (Some(0), Some(0)));
    let mut store = store_of(&site);
    assert!(all_alerts(&mut store).is_empty());
    assert_eq!(store.evidence_count().expect("read"), 0, "whatever the encryption hides");
    store.close().expect("closed");
    let pieces = pieces_of(&clip);
    assert!(pieces.len() > 50);
    for (path, bytes) in files(site.dir.path()) {
        for signature in SIGNATURES {
            assert!(!holds(&bytes, signature), "{} holds a picture", path.display());
        }
        assert!(!pieces.iter().any(|piece| holds(&bytes, piece)), "{} holds a part of a frame", path.display());
    }
}

/// Runs of luma from the middle of the clip's last frame, where the faces are. None is flat.
fn pieces_of(clip: &Path) -> Vec<Vec<u8>> {
    let last = ClipReader::open(clip, WallMs(0)).expect("a clip").last().expect("a frame").expect("readable");
    let view = last.view().expect("planes");
    let luma = view.luma();
    let rows = (0..view.height()).step_by(2);
    let runs = rows.map(|row| luma.bytes[row * luma.stride + view.width() / 3..][..32].to_vec());
    runs.filter(|run| run.iter().max() > run.iter().min().map(|least| least + 20).as_ref()).collect()
}

/// A small picture that is a PNG and like no other.
fn kept(alert: &str, taken: WallMs) -> NewEvidence {
    let mut dice = Dice::new(taken.0.unsigned_abs());
    let noise = image::RgbImage::from_fn(40, 50, |_, _| {
        image::Rgb([0; 3].map(|_| u8::try_from(dice.roll(0, 256)).unwrap_or(0)))
    });
    let mut png = std::io::Cursor::new(Vec::new());
    noise.write_to(&mut png, image::ImageFormat::Png).expect("encodes");
    NewEvidence {
        alert: AlertId(alert.into()),
        person: PersonId::try_new("ann-1").expect("a name"),
        taken,
        inter_eye_px: 18.0,
        quality: "{}".into(),
        png: png.into_inner(),
    }
}

/// A site whose database holds `old` pictures of three days ago and `fresh` ones.
fn with_pictures(old: i64, fresh: i64) -> Site {
    let site = Site::new();
    let _made = site.done(&["gallery", "list"]);
    let mut store = store_of(&site);
    planted::enrol(&mut store, "ann-1", "uid:4242");
    let now = RealClock::start().now().wall;
    let past = WallMs(now.0 - 3 * 86_400_000);
    let one = |at: WallMs| move |n: i64| kept(&format!("a-{n}"), WallMs(at.0 + n));
    let (old, fresh): (Vec<_>, Vec<_>) = ((0..old).map(one(past)).collect(), (0..fresh).map(one(now)).collect());
    store.keep_evidence(&old, past, WallMs(i64::MAX), 8).expect("kept");
    store.keep_evidence(&fresh, now, WallMs(i64::MAX), 8).expect("kept");
    store.close().expect("closed");
    site
}

#[test]
fn what_has_expired_is_erased_while_nobody_watches() {
    if fetched().is_none() {
        return;
    }
    let site = with_pictures(3, 2);
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("three pictures erased", 20, |daemon| daemon.get("/v1/status")["evidence"]["erased-total"] == 3);
    assert_eq!(daemon.get("/v1/status")["evidence"]["pictures"], 2);
    let said = site.done(&["status"]);
    assert!(said.contains("pictures     2 of alerts kept"), "{said}");
    assert!(daemon.stop(5).success());
    let mut store = store_of(&site);
    assert_eq!(store.evidence_count().expect("read"), 2);
    let rows = store.audit_entries(0, 1000).expect("audit");
    assert!(rows.iter().any(|row| row.action == "evidence-expired" && row.detail == r#"{"pictures":3}"#));
}

#[test]
fn when_most_would_go_at_once_the_daemon_waits_and_says_so() {
    if fetched().is_none() {
        return;
    }
    let site = with_pictures(30, 2);
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("word of it in status", 20, |daemon| daemon.get("/v1/status")["evidence"]["held"] == "large-run");
    let evidence = daemon.get("/v1/status")["evidence"].clone();
    assert_eq!((evidence["pictures"].as_u64(), evidence["due"].as_u64()), (Some(32), Some(30)), "{evidence}");
    let said = site.done(&["status"]);
    assert!(said.contains("NOT ERASED   30 pictures") && daemon.log().contains("is the clock right?"), "{said}");
    assert!(daemon.stop(5).success());
}

/// A recorder on a store of its own, in this process.
struct Bench {
    queue: PictureQueue,
    store: StoreHandle,
    board: Arc<Board>,
    thread: std::thread::JoinHandle<()>,
}

fn bench(place: &Path) -> Bench {
    let mut store = open(place).expect("made");
    planted::enrol(&mut store, "ann-1", "uid:4242");
    // The log keeps the room that the photograph took in it, and pictures would find it there.
    assert!(store.checkpoint().expect("folded back"));
    let clock: Arc<dyn Clock> = RealClock::start();
    let settings = WorkerSettings {
        ballast_bytes: 0,
        // The room is measured at the start and after a failure, so that a test decides what is known of it.
        tend_every: Duration::from_secs(3600),
        retry_max: Duration::from_millis(200),
        ..WorkerSettings::default()
    };
    let store = StoreThread::spawn(store, Arc::clone(&clock), settings, |_| ()).expect("a thread");
    let board = Arc::<Board>::default();
    let (queue, looks) = recorder::queue(&board);
    let beat = Pulse::default().register("evidence", clock.now().mono);
    let settings = Arc::new(RwLock::new(sekisho::config::Settings::default()));
    let (shared, synchronised): (_, fn() -> Option<bool>) = (Arc::clone(&board), || None);
    let recorder = Recorder { looks, store: store.clone(), clock, settings, board: shared, beat, synchronised };
    Bench { queue, store, board, thread: std::thread::spawn(move || recorder.run()) }
}

/// An alert's five pictures, `side` pixels wide and high, of noise, so that they take as much room as they say.
fn look(alert: &str, side: u32) -> Box<AlertPictures> {
    let picture = |at: u64| {
        let mut dice = Dice::new(at);
        let mut patch = |side: u32| {
            let rgb = (0..side * side * 3).map(|_| u8::try_from(dice.roll(0, 256)).unwrap_or(0)).collect();
            RgbPatch::try_new(side, side, rgb).expect("as many bytes as pixels")
        };
        let quality = Quality {
            inter_eye_px: 20.0,
            sharpness: 0.5,
            yaw_deg: 0.0,
            roll_deg: 0.0,
            brightness: 0.5,
            contrast: 0.2,
            alignment: Alignment::Landmarks,
        };
        let stamp =
            FrameStamp { sequence: at, mono: Mono::from_millis(at), wall: WallMs(i64::try_from(at).unwrap_or(0)) };
        Arc::new(FacePicture { stamp, quality, aligned: patch(112), native: patch(side) })
    };
    let pictures = (1..=5).map(picture).collect();
    Box::new(AlertPictures {
        alert: AlertId(alert.into()),
        person: PersonId::try_new("ann-1").expect("a name"),
        camera: CameraId::try_new("gate").expect("a name"),
        pictures,
    })
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not happen within 10 s");
}

/// Leaves the disk with room for `more` bytes.
fn shrink(disk: &Scratch, more: u64) {
    let space = sekisho_store::Space::measure(&disk.path).expect("measured");
    let used = space.total_bytes - space.free_bytes;
    disk.remount(&format!("size={}k", (used + more) / 1024)).expect("remounted");
}

#[test]
fn a_disk_that_refuses_pictures_holds_up_no_alert_and_loses_none() {
    let Ok(disk) = Scratch::mount("size=300m") else {
        eprintln!("SKIPPED: a file system cannot be mounted here; run as root to test a full one");
        return;
    };
    let Bench { queue, store, board, thread } = bench(&disk.path);
    let kept = || store.call(Store::evidence_count).expect("asked").expect("read");
    queue.put(look("a-1", 20));
    eventually("the first pictures", || kept() == 5);

    // The disk fills up between two looks at it: pictures wait, and are written when there is room again.
    shrink(&disk, 16 * 1024);
    queue.put(look("a-2", 200));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((kept(), board.evidence().dropped_total.len()), (5, 0), "they wait");
    disk.remount("size=300m").expect("remounted");
    eventually("the pictures that waited", || kept() == 10);

    // Now alerts meet the full disk too. They wait in memory; what room there is is theirs.
    shrink(&disk, 0);
    let stories = (3..203).map(|n| story(&format!("a-{n}"), WallMs(1)).expect("a story"));
    let events: Vec<_> = stories.flatten().collect();
    // More than the room that the log has from the pictures before.
    let sent = events.len() as u64;
    let clock = RealClock::start();
    for event in events {
        let append = Append { event, sinks: vec!["log".into()], actor: "daemon".into() };
        store.append(append).expect("taken whatever the disk does");
    }
    assert!(
        clock.now().mono.since(Mono::default()) < Duration::from_secs(1),
        "handing over does not wait for the disk"
    );
    eventually("a failed storage", || matches!(store.health().state, StorageState::Failed { .. }));
    queue.put(look("a-3", 20));
    eventually("pictures given up", || board.evidence().dropped_total.get("disk-nearly-full") == Some(&5));
    disk.remount("size=300m").expect("remounted");
    eventually("the alerts on the disk", || store.health().events_committed_total == sent);
    assert_eq!((store.health().events_dropped_total, kept()), (0, 10));
    drop(queue);
    thread.join().expect("the thread ends with the deciding loop");
    assert!(store.stop(Duration::from_secs(5)).closed);
}
