//! Clips on disk: every frame for replay, real time for demonstrations, sentences for what is no clip.

use sekisho_camera::{CameraState, ClipError, ClipReader, Fault, Frame, Pace, Repeat, SpawnError};
use sekisho_logic::time::{Mono, WallMs};
use sekisho_tests::feed::{Coding, write_pattern, write_sound};
use sekisho_tests::watching::{Watched, settings};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SIZE: (i32, i32) = (320, 240);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn all(path: &Path) -> Vec<Frame> {
    let reader = ClipReader::open(path, WallMs(1_000_000)).expect("a readable clip");
    reader.collect::<Result<Vec<_>, _>>().expect("a whole clip")
}

fn luma_of(frame: &Frame) -> Vec<u8> {
    let view = frame.view().expect("I420 or NV12");
    let luma = view.luma();
    luma.bytes.chunks(luma.stride).take(view.height()).flat_map(|row| row[..view.width()].to_vec()).collect()
}

#[test]
fn a_reader_gives_every_frame_in_order_and_the_same_ones_every_time() {
    let folder = folder();
    for (coding, file) in [
        (Coding::H264, "a.mp4"),
        (Coding::H264, "a.mkv"),
        (Coding::H264, "a.h264"),
        (Coding::H265, "b.mp4"),
        (Coding::H265, "b.h265"),
    ] {
        let path = write_pattern(&folder.path().join(file), coding, SIZE, 60).expect("a clip");
        let frames = all(&path);
        assert_eq!(frames.len(), 60, "{file}");
        for (index, frame) in frames.iter().enumerate() {
            let stamp = frame.stamp();
            assert_eq!((stamp.sequence, frame.width(), frame.height()), (index as u64 + 1, 320, 240), "{file}");
            let at_ms = index as u64 * 1000 / 15;
            let late_ms = stamp.mono.as_millis().abs_diff(at_ms);
            assert!(late_ms <= 2, "{file}: frame {index} at {:?}, not at {at_ms} ms", stamp.mono);
            assert_eq!(stamp.wall.0, 1_000_000 + i64::try_from(stamp.mono.as_millis()).expect("short"));
        }
        let again = all(&path);
        assert!(frames.iter().zip(&again).all(|(a, b)| luma_of(a) == luma_of(b) && a.stamp() == b.stamp()), "{file}");
        assert_ne!(luma_of(&frames[0]), luma_of(&frames[30]), "{file}: the pattern moves");
    }
}

#[test]
fn a_clip_says_how_long_it_is() {
    let folder = folder();
    let path = write_pattern(&folder.path().join("a.mp4"), Coding::H264, SIZE, 30).expect("a clip");
    assert_eq!(ClipReader::open(&path, WallMs(0)).expect("readable").duration_ms(), Some(2000));
}

#[test]
fn what_is_no_clip_is_refused_in_a_sentence() {
    let folder = folder();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let sound = write_sound(&folder.path().join("sound.mkv")).expect("a file");
    for path in [
        file("empty.mp4", b""),
        file("empty.h264", b""),
        file("noise.mp4", &[0x5a; 10_000]),
        file("noise.mkv", &[0x5a; 10_000]),
        file("noise.h264", &[0x5a; 10_000]),
        sound,
        folder.path().join("missing.mp4"),
        folder.path().to_path_buf(),
        PathBuf::from("clip.avi"),
    ] {
        let opened = ClipReader::open(&path, WallMs(0));
        let Err(ClipError::Open { fault, .. }) = opened else { panic!("{} was opened", path.display()) };
        assert!(matches!(fault, Fault::BadClip { .. } | Fault::Broken { .. } | Fault::TimedOut), "{fault:?}");
        println!("{}: {fault}", path.display());
    }
}

#[test]
fn a_clip_cut_short_ends_or_says_where_it_broke_off() {
    let folder = folder();
    for file in ["a.mkv", "a.h264", "a.mp4"] {
        let path = write_pattern(&folder.path().join(file), Coding::H264, SIZE, 60).expect("a clip");
        let bytes = std::fs::read(&path).expect("readable");
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
        // An MP4 keeps its index at the end; without it there is nothing to open.
        let Ok(reader) = ClipReader::open(&path, WallMs(0)) else {
            assert_eq!(file, "a.mp4");
            continue;
        };
        let (mut good, mut broken) = (0, 0);
        for frame in reader {
            if frame.is_ok() { good += 1 } else { broken += 1 }
        }
        assert!((10..60).contains(&good) && broken <= 1, "{file}: {good} good, {broken} broken");
    }
}

#[test]
fn a_clip_in_real_time_takes_its_time_and_ends() {
    let folder = folder();
    for file in ["a.mp4", "a.h264"] {
        let path = write_pattern(&folder.path().join(file), Coding::H264, SIZE, 30).expect("a clip");
        let watched = Watched::start("gate", settings(path.to_str().expect("UTF-8"), None));
        let first = watched.frames(1, SOON).remove(0).stamp();
        let (status, _) = watched.until_state(CameraState::Ended, SOON);
        assert_eq!(status.frames_decoded_total, 30, "{file}");
        let last = watched.frames(1, SOON).remove(0).stamp();
        let took = last.mono.since(first.mono);
        assert!((1.7..2.6).contains(&took.as_secs_f64()), "{file}: 29 frames of 1/15 s took {took:?}");
        assert!(status.last_error.is_none() && status.reconnects_total.is_empty(), "{status:?}");
    }
}

#[test]
fn a_clip_for_ever_repeats_without_a_gap_or_a_reconnection() {
    let folder = folder();
    let path = write_pattern(&folder.path().join("a.mp4"), Coding::H264, SIZE, 15).expect("a clip");
    let mut wanted = settings(path.to_str().expect("UTF-8"), None);
    wanted.source = wanted.source.with_playback(Pace::RealTime, Repeat::Forever);
    let watched = Watched::start("gate", wanted);
    let frames = watched.frames(1, SOON);
    let (mut newest, mut gap_max) = (frames[0].stamp().mono, Duration::ZERO);
    let mut count = 0;
    while count < 50 {
        let at: Mono = watched.frames(1, SOON).remove(0).stamp().mono;
        gap_max = gap_max.max(at.since(newest));
        (newest, count) = (at, count + 1);
    }
    let status = watched.handle.status();
    println!("longest gap {gap_max:?}");
    // A frame every 67 ms; 400 ms allow for a busy test machine, and are far less than a second of clip.
    assert!(gap_max < Duration::from_millis(400), "a gap of {gap_max:?}: {status:?}");
    assert!(status.reconnects_total.is_empty() && status.frames_decoded_total >= 50, "{status:?}");
}

#[test]
fn a_missing_clip_is_looked_for_again_later() {
    let watched = Watched::start("gate", settings("/nonexistent/yard.mp4", None));
    let (status, _) = watched.until_state(CameraState::BadConfig, SOON);
    assert!(status.last_error.is_some_and(|said| said.contains("/nonexistent/yard.mp4")));
}

#[test]
fn a_clip_at_full_speed_is_for_the_reader() {
    let mut wanted = settings("yard.mp4", None);
    wanted.source = wanted.source.with_playback(Pace::AsFastAsPossible, Repeat::Once);
    let mut watched = Watched::start("gate", settings("/nonexistent/yard.mp4", None));
    assert!(matches!(watched.handle.reconfigure(wanted), Err(SpawnError::NotLive)));
}
