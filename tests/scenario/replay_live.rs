//! Live and replay are one code path: a clip served by RTSP to the running daemon comes to what its replay comes to.
//!
//! What may differ: which frames are analysed. Live, a frame is taken when it is due by the clock and the newest one
//! wins, so the analysed frames are shifted against those of the replay by up to a frame interval, and on a busy machine
//! some are superseded. A track near a limit may then get its candidate one look earlier or later, and a face seen for a
//! moment may be a track of its own or none. So the test holds what must not differ, exactly, and states a tolerance for
//! the rest:
//! - the same people reach the same stages, in the same order, once each: exactly;
//! - tracks identified, per person: at least one in both; tracks in all: within `TRACKS_APART`.

use sekisho_tests::feed::{Clip, Feed};
use sekisho_tests::rtsp::RtspServer;
use sekisho_tests::site::{Site, fetched, shared};
use sekisho_tests::stills::{Cut, cut_last_frame};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

/// How many tracks more or fewer live may have than the replay. Three people walk up and stay in view, so tracks are
/// few; each may be broken once where frames are missing.
const TRACKS_APART: usize = 3;

/// Where the three faces are in the last frame of `three-people-approach.mp4` (480x270).
const PEOPLE: [(&str, Cut); 3] =
    [("left", (16, 40, 140, 180)), ("middle", (160, 20, 140, 160)), ("right", (300, 60, 140, 180))];

/// Stages each person's alerts went through, from an event log.
fn stages(log: &str) -> BTreeMap<String, Vec<String>> {
    let mut reached: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).expect("one JSON object a line");
        let (person, stage) = (event["after"]["person"].as_str(), event["after"]["stage"].as_str());
        reached.entry(person.expect("a person").to_owned()).or_default().push(stage.expect("a stage").to_owned());
    }
    reached
}

/// Tracks that ended, by what they came to.
fn outcomes(verdicts: &[Value]) -> (usize, BTreeSet<String>) {
    let people = verdicts.iter().filter_map(|verdict| verdict["person"].as_str().map(str::to_owned));
    (verdicts.len(), people.collect())
}

/// Listens to the daemon's finished tracks from now on.
fn listen(socket: &std::path::Path) -> Arc<Mutex<Vec<Value>>> {
    let mut stream = UnixStream::connect(socket).expect("the daemon's socket");
    stream.write_all(b"GET /v1/events?tracks=yes HTTP/1.1\r\nhost: t\r\n\r\n").expect("a request");
    let heard = Arc::<Mutex<Vec<Value>>>::default();
    let list = Arc::clone(&heard);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let event = line.strip_prefix("data: ").and_then(|data| serde_json::from_str::<Value>(data).ok());
            if let Some(event) = event.filter(|event| event["type"] == "track") {
                list.lock().expect("no panic while held").push(event);
            }
        }
    });
    heard
}

#[test]
fn a_clip_over_rtsp_comes_to_what_its_replay_comes_to() {
    if fetched().is_none() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let mut site = Site::new();
    for (name, cut) in PEOPLE {
        let photo = site.path(&format!("{name}.png"));
        cut_last_frame(&clip, &[(cut, &photo)]).expect("a still");
        let _said = site.enrol(&[name, &photo.display().to_string()]);
    }
    let served = Clip::load(&clip).expect("a clip");
    let server = RtspServer::start("127.0.0.1", 0, None, &[("gate", Feed::ClipOnce(served))]).expect("a server");
    let log = site.path("live.ndjson");
    site.configure(&format!(
        "[cameras.gate]\nsource = {:?}\nlists = [\"staff\"]\n[sinks.log]\nkind = \"event-log\"\npath = {:?}\n",
        server.url("gate"),
        log.display().to_string(),
    ));

    let replayed = site.path("replay.ndjson");
    let printed = site.done(&[
        "replay",
        &clip.display().to_string(),
        "--camera",
        "gate",
        "--json",
        "--events",
        &replayed.display().to_string(),
    ]);
    let replayed = stages(&std::fs::read_to_string(&replayed).expect("an event log"));
    let verdicts: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|value: &Value| value["type"] == "track")
        .collect();
    let (tracks_replayed, people_replayed) = outcomes(&verdicts);
    assert_eq!(replayed.len(), PEOPLE.len(), "the replay knows everybody: {replayed:?}");

    let mut daemon = site.start();
    daemon.wait_ready();
    let heard = listen(&site.path("sekisho.sock"));
    // The clip plays once and the camera then falls silent; its tracks end some seconds later.
    daemon.wait_until("as many tracks over as people", 90, |_| {
        let heard = heard.lock().expect("no panic while held");
        outcomes(&heard).1.len() >= PEOPLE.len()
    });
    daemon.wait_until("the event log", 20, |_| {
        std::fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= 3 * PEOPLE.len())
    });
    assert!(daemon.stop(5).success());
    let live = stages(&std::fs::read_to_string(&log).expect("an event log"));
    let (tracks_live, people_live) = outcomes(&heard.lock().expect("no panic while held"));
    println!("tracks: live {tracks_live}, replayed {tracks_replayed}");
    assert_eq!(live, replayed, "the same people reach the same stages");
    assert_eq!(people_live, people_replayed, "the same people are identified");
    assert!(
        tracks_live.abs_diff(tracks_replayed) <= TRACKS_APART,
        "live {tracks_live} tracks, replayed {tracks_replayed}"
    );
}
