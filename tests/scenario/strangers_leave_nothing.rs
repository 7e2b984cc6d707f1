//! People who match nobody leave nothing: strangers pass four cameras of a running daemon, and then every file of the site is
//! searched for anything their faces give: templates, crops, pictures.
//!
//! An hour of strangers is done in a minute by looking more often and at several cameras at once; `SEKISHO_STRANGERS_S` says
//! for how many seconds otherwise, and the test prints how many tracks that were.

use sekisho::config;
use sekisho::run::look::Look;
use sekisho_camera::clip::ClipReader;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::WallMs;
use sekisho_store::{DbKey, IfMissing, Store};
use sekisho_tests::site::{Daemon, Site, fetched, files, shared};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::Duration;

/// Bytes in one piece that is looked for: long enough not to come about by chance.
const PIECE: usize = 32;

/// How picture files begin.
const SIGNATURES: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\xFF\xD8\xFF\xE0\x00\x10JFIF", b"Exif\0\0"];

/// Tables that may grow while strangers pass: the daemon's own runs, trail and notes (such as a random number of the log-in),
/// and counts without anybody in them.
const MAY_GROW: [&str; 9] = [
    "audit",
    "audit_checkpoints",
    "calibration_state",
    "drift_windows",
    "meta",
    "runs",
    "shadow_scores",
    "shadow_traffic",
    "sqlite_sequence",
];

/// Pieces that only a face gives; a file that holds one holds something of somebody.
#[derive(Default)]
struct Pieces(HashSet<[u8; PIECE]>);

impl Pieces {
    /// Every piece of `bytes` that begins at a multiple of its length: a file that holds 63 bytes in a row holds one.
    fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks_exact(PIECE) {
            let different: HashSet<u8> = piece.iter().copied().collect();
            // Black corners and blown-out walls are in every picture.
            if different.len() > PIECE / 4 {
                self.0.insert(piece.try_into().expect("exact"));
            }
        }
    }

    fn found_in(&self, bytes: &[u8]) -> bool {
        bytes.windows(PIECE).any(|window| window.try_into().is_ok_and(|piece: [u8; PIECE]| self.0.contains(&piece)))
    }
}

fn store_of(site: &Site) -> Store {
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("a key");
    Store::open_existing(&site.path("state/sekisho.db"), key).expect("a database")
}

/// What every frame of the clips gives of anybody's face, by the daemon's own eyes; and how many faces were embedded.
fn faces_of(site: &Site, clips: &[PathBuf]) -> (Pieces, usize) {
    let mut settings = config::load(&site.path("sekisho.toml")).expect("a configuration");
    // Every frame, because which ones the daemon took is chance.
    settings.track.min_interval = Duration::ZERO;
    let mut eyes = sekisho::eyes::Loaded::open(&settings).expect("networks").eyes().expect("sessions");
    let (mut pieces, mut faces) = (Pieces::default(), 0);
    for clip in clips {
        let camera = CameraId::try_new("one").expect("a name");
        let mut look = Look::new(&settings, &camera, &settings.cameras[&camera], 0);
        for frame in ClipReader::open(clip, WallMs(0)).expect("a clip") {
            let frame = frame.expect("a frame");
            let (view, stamp) = (frame.view().expect("planes"), frame.stamp());
            let seen = look.see(&mut eyes.0, &view, stamp, stamp.mono).expect("networks run");
            for face in seen.faces {
                let Ok(embedding) = &face.embedding else { continue };
                faces += 1;
                let template: Vec<u8> = embedding.as_slice().iter().flat_map(|value| value.to_le_bytes()).collect();
                pieces.add(&template);
                if let Some(picture) = &face.picture {
                    pieces.add(picture.aligned.rgb());
                    pieces.add(picture.native.rgb());
                }
            }
        }
    }
    (pieces, faces)
}

fn tracks(daemon: &Daemon) -> (u64, u64) {
    let (mut tracks, mut faces) = (0, 0);
    for camera in daemon.get("/v1/cameras")["cameras"].as_array().into_iter().flatten() {
        let verdicts = &camera["verdicts"];
        let undecided = verdicts["not-decidable"].as_object().into_iter().flatten();
        tracks += undecided.filter_map(|(_, count)| count.as_u64()).sum::<u64>();
        tracks += verdicts["not-enrolled"].as_u64().unwrap_or(0) + verdicts["identified"].as_u64().unwrap_or(0);
        faces += camera["faces"].as_u64().unwrap_or(0);
    }
    (tracks, faces)
}

#[test]
fn no_file_holds_anything_of_a_stranger_who_passed() {
    let Some(place) = fetched() else { return };
    let names = ["three-people-approach", "two-strangers-approach", "woman-close"];
    let clips: Vec<PathBuf> = names.iter().filter_map(|name| shared(&format!("data/clips/{name}.mp4"))).collect();
    let photo = place.join("demo/photos/obama.jpg");
    if clips.len() < names.len() || !photo.exists() {
        eprintln!("SKIPPED: clips or {} are absent", photo.display());
        return;
    }
    let clips: Vec<_> = clips.iter().map(|clip| clip.canonicalize().expect("a path")).collect();
    let mut site = Site::new();
    let _said = site.enrol(&["ann-1", &photo.display().to_string(), "--list", "watch"]);
    let log = site.path("events.ndjson");
    let mut text = format!("[detect]\nanalysed-fps = 10.0\n[sinks.log]\nkind = \"event-log\"\npath = {log:?}\n");
    for (name, clip) in ["one", "two", "three", "four"].iter().zip(clips.iter().cycle()) {
        let source = format!("file://{}", clip.display());
        text.push_str(&format!(
            "[cameras.{name}]\nsource = {source:?}\nrepeat = \"forever\"\nlists = [\"watch\"]\npurpose = \"Test\"\n\
             legal-basis = \"consent\"\n"
        ));
    }
    site.configure(&text);
    let mut before = store_of(&site);
    let rows_before = before.rows_by_table().expect("counted");
    before.close().expect("closed");

    let mut daemon = site.start();
    daemon.wait_ready();
    let seconds = std::env::var("SEKISHO_STRANGERS_S").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    std::thread::sleep(Duration::from_secs(seconds));
    daemon.wait_until("strangers who passed", 120, |daemon| tracks(daemon).0 >= 12);
    let (passed, faces) = tracks(&daemon);
    println!("{passed} tracks, {faces} faces in {seconds} s at {} cameras", 4);
    let while_running = files(site.dir.path());
    assert!(daemon.stop(10).success());

    let (pieces, embedded) = faces_of(&site, &clips);
    println!("{embedded} faces give {} pieces to look for", pieces.0.len());
    assert!(embedded > 100 && pieces.0.len() > 10_000, "the clips show faces");
    let planted = while_running.iter().find(|(path, _)| path.ends_with("daemon.log")).map(|(_, log)| log.clone());
    let piece = pieces.0.iter().next().expect("one");
    assert!(pieces.found_in(&[planted.expect("a log"), piece.to_vec()].concat()), "a leak would be found");
    let after = files(site.dir.path());
    for (path, bytes) in while_running.iter().chain(&after) {
        // The video itself lies elsewhere, and so does the photograph that was enrolled.
        assert!(!pieces.found_in(bytes), "{} holds something of a stranger's face", path.display());
        let shown =
            SIGNATURES.iter().any(|signature| bytes.windows(signature.len()).any(|window| window == *signature));
        assert!(!shown, "{} holds a picture", path.display());
    }
    // What the encryption hides from the search above: no table that could hold anybody has grown.
    let rows: BTreeMap<String, u64> = store_of(&site).rows_by_table().expect("counted");
    let grown = rows.iter().filter(|(table, count)| rows_before.get(*table) != Some(*count));
    let grown: Vec<_> = grown.filter(|(table, _)| !MAY_GROW.contains(&table.as_str())).collect();
    assert!(grown.is_empty(), "{grown:?}");
    for table in ["evidence", "alerts", "journal", "votes", "outbox"] {
        assert_eq!(rows[table], 0, "{table}");
    }
    assert_eq!((rows["photos"], rows["people"]), (1, 1));
}
