//! The demonstration's camera: clips as RTSP streams with a password, for ever, until asked to end.

use sekisho_camera::CameraState;
use sekisho_tests::demo::DemoCamera;
use sekisho_tests::feed::{Coding, write_pattern};
use sekisho_tests::watching::{Watched, settings};
use std::process::Command;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const BINARY: &str = env!("CARGO_BIN_EXE_demo-camera");

#[test]
fn it_shows_a_clip_for_ever_to_those_with_the_password_and_ends_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let clip = write_pattern(&folder.path().join("a.mp4"), Coding::H264, (320, 240), 15).expect("a clip");
    let demo = DemoCamera::start(BINARY, 0, &clip, ("demo", "pw-of-the-demo\n")).expect("a demo camera");

    let watched = Watched::start("gate", settings(demo.url(), Some(("demo", "pw-of-the-demo"))));
    let (status, _) = watched.until(SOON, |status| status.frames_decoded_total >= 40);
    assert!(status.reconnects_total.is_empty(), "a clip of 15 frames was not repeated without a gap: {status:?}");
    let stranger = Watched::start("yard", settings(demo.url(), None));
    let _refused = stranger.until_state(CameraState::AuthHold, SOON);

    let status = demo.terminate().expect("asked to end");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn wrong_arguments_are_a_sentence_and_a_failure() {
    for (arguments, words) in [
        (vec!["--stream", "gate"], "write NAME=CLIP"),
        (vec!["--stream", "gate=/nonexistent/a.mp4"], "/nonexistent/a.mp4"),
    ] {
        let output = Command::new(BINARY).args(&arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
    }
}
