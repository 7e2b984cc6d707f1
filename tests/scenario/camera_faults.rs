//! What a camera may do to us, and what it may not: wrong passwords, dead ends, restarts, freezes, changes in
//! mid-stream, lost packets.

use sekisho_camera::{AuthLockout, CameraState, ClipReader, Codec, Frame, Stopped};
use sekisho_logic::time::WallMs;
use sekisho_tests::feed::{Clip, Coding, Feed, rtp_packets, write_pattern};
use sekisho_tests::rtsp::{Login, RtspServer};
use sekisho_tests::rtsp_stub::{Manner, RtspStub};
use sekisho_tests::watching::{Log, Watched, settings};
use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const SIZE: (i32, i32) = (320, 240);
/// In every login of these tests, and nowhere else.
const CANARY: &str = "canary-58213";

fn login() -> Login {
    Login { user: "ann".to_owned(), password: CANARY.to_owned() }
}

fn server(streams: &[(&str, Feed)]) -> RtspServer {
    RtspServer::start("127.0.0.1", 0, Some(&login()), streams).expect("a server")
}

fn watch(name: &str, url: &str) -> Watched {
    let _log = Log::collected();
    Watched::start(name, settings(url, Some(("ann", CANARY))))
}

#[test]
fn a_refused_password_is_presented_twice_and_never_a_third_time() {
    let log = Log::collected();
    let stub = RtspStub::start(Manner::RefuseEverybody).expect("a port");
    let lockout = AuthLockout::new();
    let wanted = settings(&stub.url(), Some(("ann", CANARY)));
    // Two channels of one recorder, told the same wrong password.
    let mut main = Watched::start_with("main", wanted.clone(), lockout.clone());
    let sub = Watched::start_with("sub", wanted, lockout);
    for watched in [&main, &sub] {
        let (status, _) = watched.until_state(CameraState::AuthHold, SOON);
        assert!(status.next_attempt_ms.is_some_and(|wait| wait > 29 * 60_000), "{status:?}");
        let said = status.last_error.expect("a sentence");
        assert!(said.contains("held"), "{said}");
    }
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(stub.passwords_presented(), 2);

    let mut other = settings(&stub.url(), Some(("ann", "another-canary-58213")));
    main.handle.reconfigure(other.clone()).expect("valid settings");
    let _retried = main.until(SOON, |_| stub.passwords_presented() == 3);
    let _held = main.until_state(CameraState::AuthHold, SOON);
    assert_eq!(stub.passwords_presented(), 4, "a changed password gets its two tries at once");
    other.stall = Duration::from_secs(4);
    main.handle.reconfigure(other).expect("valid settings");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(stub.passwords_presented(), 4, "the same password again is no new password");

    let everything = format!("{} {} {:?} {:?}", log.text(), stub.heard(), main.handle.status(), sub.handle.status());
    assert!(everything.contains("refused the user and password"), "nothing was logged: {everything}");
    assert!(!everything.contains("canary"), "a password leaked: {everything}");
}

#[test]
fn a_camera_that_wants_a_password_we_do_not_have_says_so() {
    let server = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let watched = Watched::start("gate", settings(&server.url("gate"), None));
    let (status, _) = watched.until_state(CameraState::AuthHold, SOON);
    assert!(status.last_error.is_some_and(|said| said.contains("none is configured")));
    let wrong = Watched::start("yard", settings(&server.url("gate"), Some(("ann", "wrong"))));
    let (status, _) = wrong.until_state(CameraState::AuthHold, SOON);
    assert_eq!(status.reconnects_total.get("wrong-password"), Some(&2), "{status:?}");
}

#[test]
fn dead_ends_are_named_and_waited_for() {
    let server = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let sound = "m=audio 0 RTP/AVP 0\r\na=control:a\r\n".to_owned();
    let old = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\na=control:v\r\n".to_owned();
    let (sound, old) = (Manner::Describe(sound), Manner::Describe(old));
    let sound = RtspStub::start(sound).expect("a port");
    let old = RtspStub::start(old).expect("a port");
    let minutes = 60_000;
    for (url, state, reason, words) in [
        (server.url("nowhere"), CameraState::BadConfig, "not-found", "check the address"),
        (sound.url(), CameraState::BadConfig, "no-video", "no video"),
        (old.url(), CameraState::BadConfig, "unsupported-codec", "sends MP4V-ES"),
    ] {
        let watched = watch("gate", &url);
        let (status, _) = watched.until_state(state, SOON);
        assert_eq!(status.reconnects_total.get(reason), Some(&1), "{url}: {status:?}");
        assert!(status.next_attempt_ms.is_some_and(|wait| wait > 3 * minutes), "{status:?}");
        assert!(status.last_error.is_some_and(|said| said.contains(words)), "{url}");
        assert_eq!(watched.handle.stop(), Stopped::Cleanly);
    }
}

#[test]
fn ports_that_refuse_or_do_not_speak_rtsp_are_retried_with_growing_waits() {
    let closed = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let refused = format!("rtsp://127.0.0.1:{}/gate", closed.expect("a port").port());
    let mail = RtspStub::start(Manner::Smtp).expect("a port");
    for url in [refused, mail.url()] {
        let watched = watch("gate", &url);
        let (status, _) = watched.until(SOON, |status| status.reconnects_total.values().sum::<u64>() >= 2);
        let said = status.last_error.expect("a sentence");
        assert!(said.starts_with("gate: ") && said.contains("reconnecting, attempt"), "{said}");
        let _waits = watched.until_state(CameraState::BackingOff, SOON);
        assert_eq!(watched.handle.stop(), Stopped::Cleanly);
    }
}

#[test]
fn a_camera_that_accepts_and_says_nothing_does_not_hold_up_a_stop() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("rtsp://127.0.0.1:{}/gate", listener.local_addr().expect("bound").port());
    let watched = watch("gate", &url);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(watched.handle.stop(), Stopped::Cleanly);
    let watched = watch("gate", &url);
    let (status, _) = watched.until(SOON, |status| !status.reconnects_total.is_empty());
    assert_eq!(status.reconnects_total.get("timed-out"), Some(&1), "{status:?}");
}

#[test]
fn a_restarted_camera_is_back_within_ten_seconds_and_its_neighbour_is_undisturbed() {
    let mut gate = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let yard = server(&[("yard", Feed::pattern(Coding::H264, SIZE))]);
    let (port, url) = (gate.port(), gate.url("gate"));
    let (gone, stays) = (watch("gate", &url), watch("yard", &yard.url("yard")));
    let (_first, _first_too) = (gone.frames(3, SOON), stays.frames(3, SOON));

    gate.kill();
    let _noticed = gone.until_state(CameraState::BackingOff, Duration::from_secs(6));
    let before = stays.handle.status().frames_decoded_total;
    std::thread::sleep(Duration::from_secs(1));
    let during = stays.handle.status();
    assert!(during.frames_decoded_total >= before + 5 && during.reconnects_total.is_empty(), "{during:?}");

    let streams = [("gate", Feed::pattern(Coding::H264, SIZE))];
    let _gate = RtspServer::start("127.0.0.1", port, Some(&login()), &streams).expect("the same port");
    let (status, took) = gone.until_state(CameraState::Streaming, Duration::from_secs(10));
    println!("frames again {took:?} after the camera was back; {:?}", status.reconnects_total);
    assert!(stays.handle.status().reconnects_total.is_empty());
}

#[test]
fn frozen_pictures_are_noticed_within_six_seconds_while_the_connection_lives() {
    let server = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let watched = watch("gate", &server.url("gate"));
    let _streaming = watched.until_state(CameraState::Streaming, SOON);
    server.faults("gate").freeze(true);
    let (status, took) =
        watched.until(Duration::from_secs(10), |status| status.reconnects_total.contains_key("stalled"));
    println!("freeze noticed after {took:?}");
    assert!(took <= Duration::from_secs(6), "noticed after {took:?}");
    assert!(took >= Duration::from_secs(4), "five seconds were promised, {took:?} is too eager");
    assert_eq!(status.state, CameraState::Stalled);
    assert!(status.last_error.is_some_and(|said| said.contains("no frame for 5.")));
    server.faults("gate").freeze(false);
    let _back = watched.until_state(CameraState::Streaming, SOON);
}

#[test]
fn a_codec_swapped_in_mid_stream_is_followed() {
    let mut server = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let mut wanted = settings(&server.url("gate"), Some(("ann", CANARY)));
    wanted.stall = Duration::from_secs(3);
    let watched = Watched::start("gate", wanted);
    let (before, _) = watched.until_state(CameraState::Streaming, SOON);
    assert_eq!(before.codec, Some(Codec::H264));
    let packets = rtp_packets(Coding::H265, SIZE).expect("H.265 packets");
    server.mount("gate", &Feed::pattern(Coding::H265, SIZE)).expect("mounted");
    server.faults("gate").smuggle(packets);
    let (after, took) =
        watched.until(SOON, |status| status.codec == Some(Codec::H265) && status.state == CameraState::Streaming);
    println!("followed the swap after {took:?}: {:?}", after.reconnects_total);
    assert!(!after.reconnects_total.is_empty());
}

#[test]
fn a_new_size_in_mid_stream_goes_on_without_a_reconnection() {
    let server = server(&[("gate", Feed::pattern(Coding::H264, SIZE))]);
    let watched = watch("gate", &server.url("gate"));
    assert_eq!(watched.frames(3, SOON)[2].width(), 320);
    server.faults("gate").resize((256, 192));
    let (status, _) = watched.until(SOON, |status| status.width == Some(256));
    let frame = watched.frames(2, SOON).remove(1);
    assert_eq!((frame.width(), frame.height()), (256, 192));
    assert_eq!((status.height, status.reconnects_total.len()), (Some(192), 0), "{status:?}");
}

#[test]
fn frames_beyond_the_limit_are_refused_by_size() {
    let server = server(&[("gate", Feed::pattern(Coding::H264, (4224, 64)))]);
    let watched = watch("gate", &server.url("gate"));
    let (status, _) = watched.until_state(CameraState::BadConfig, SOON);
    let said = status.last_error.expect("a sentence");
    assert!(said.contains("4224x64") && said.contains("4096x2304"), "{said}");
    assert_eq!(status.frames_decoded_total, 0, "a refused frame reached the slot");
}

/// The picture itself, whatever the padding of its rows.
fn hash_of(frame: &Frame) -> u64 {
    let view = frame.view().expect("I420 or NV12");
    let luma = view.luma();
    let rows: Vec<&[u8]> = luma.bytes.chunks(luma.stride).take(view.height()).map(|row| &row[..view.width()]).collect();
    BuildHasherDefault::<DefaultHasher>::default().hash_one(rows)
}

/// Under loss, every frame that reaches the slot is one that the clip holds: none is damaged.
fn nothing_damaged_gets_through(coding: Coding, file: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write_pattern(&folder.path().join(file), coding, SIZE, 90).expect("a clip");
    let clip = Clip::load(Path::new(&path)).expect("a readable clip");
    let whole: HashSet<u64> = ClipReader::open(&path, WallMs(0))
        .expect("a readable clip")
        .map(|frame| hash_of(&frame.expect("a good frame")))
        .collect();
    assert!(whole.len() >= 80, "the pattern moves, yet only {} pictures differ", whole.len());

    let server = server(&[("gate", Feed::Clip(clip))]);
    server.faults("gate").lose(15);
    let watched = watch("gate", &server.url("gate"));
    let mut seen = 0;
    while watched.handle.status().frames_gated_loss_total < 30 || seen < 60 {
        let frame = watched.frame_within(SOON).expect("key frames come through");
        let stamp = frame.stamp();
        seen += 1;
        assert!(whole.contains(&hash_of(&frame)), "frame {seen} ({stamp:?}) is damaged: {:?}", watched.handle.status());
    }
    let status = watched.handle.status();
    println!(
        "{coding:?}: {seen} frames whole, {} gated, {} packets lost ({} dropped on the way)",
        status.frames_gated_loss_total,
        status.packets_lost_total,
        server.faults("gate").dropped_total()
    );
    assert!(status.packets_lost_total > 0 && status.reconnects_total.is_empty(), "{status:?}");
}

#[test]
fn lost_packets_damage_no_h264_frame_that_gets_through() {
    nothing_damaged_gets_through(Coding::H264, "pattern.mp4");
}

#[test]
fn lost_packets_damage_no_h265_frame_that_gets_through() {
    nothing_damaged_gets_through(Coding::H265, "pattern.mkv");
}
