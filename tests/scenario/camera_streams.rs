//! What a camera may send: H.264, H.265 and MJPEG over RTSP with a digest password, by TCP and UDP.

use sekisho_camera::{CameraState, Codec, Source, Transport};
use sekisho_logic::frame::Range;
use sekisho_tests::feed::{Coding, Feed};
use sekisho_tests::rtsp::{Login, RtspServer};
use sekisho_tests::watching::{Watched, settings};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn login() -> Login {
    Login { user: "ann".to_owned(), password: "s3cret".to_owned() }
}

fn server(feed: Feed) -> RtspServer {
    RtspServer::start("127.0.0.1", 0, Some(&login()), &[("gate", feed)]).expect("a server")
}

/// Frames of the right size with something in them, and a status that says the same.
fn shows(coding: Coding, codec: Codec) {
    let server = server(Feed::pattern(coding, (320, 240)));
    let watched = Watched::start("gate", settings(&server.url("gate"), Some(("ann", "s3cret"))));
    let frames = watched.frames(10, SOON);
    for pair in frames.windows(2) {
        assert!(pair[0].stamp().sequence < pair[1].stamp().sequence, "frames came out of order");
        assert!(pair[0].stamp().mono <= pair[1].stamp().mono);
    }
    let view = frames[9].view().expect("I420 or NV12");
    assert_eq!((view.width(), view.height()), (320, 240));
    let luma = view.luma();
    let (mut low, mut high) = (u8::MAX, 0);
    for row in luma.bytes.chunks(luma.stride).take(240) {
        low = row[..320].iter().copied().fold(low, u8::min);
        high = row[..320].iter().copied().fold(high, u8::max);
    }
    assert!(high - low > 100, "a colour-bar picture has contrast, this one spans {low}..={high}");
    let expected = if codec == Codec::Mjpeg { Range::Full } else { Range::Limited };
    assert_eq!(view.range(), expected);

    let (status, _) = watched.until_state(CameraState::Streaming, SOON);
    assert_eq!((status.codec, status.width, status.height), (Some(codec), Some(320), Some(240)));
    assert!(status.frames_decoded_total >= 10 && status.last_error.is_none(), "{status:?}");
    assert!(status.last_frame_age_ms.is_some_and(|age| age < 5_000), "{status:?}");
}

#[test]
fn h264_with_a_digest_password() {
    shows(Coding::H264, Codec::H264);
}

#[test]
fn h265_with_a_digest_password() {
    shows(Coding::H265, Codec::H265);
}

#[test]
fn mjpeg_with_a_digest_password() {
    shows(Coding::Mjpeg, Codec::Mjpeg);
}

#[test]
fn mjpeg_of_half_chroma_becomes_plain_i420() {
    shows(Coding::Mjpeg422, Codec::Mjpeg);
}

#[test]
fn udp_when_the_configuration_says_so() {
    let server = server(Feed::pattern(Coding::H264, (320, 240)));
    let mut settings = settings(&server.url("gate"), Some(("ann", "s3cret")));
    settings.source = settings.source.with_transport(Transport::Udp);
    assert!(matches!(settings.source, Source::Rtsp { transport: Transport::Udp, .. }));
    let watched = Watched::start("gate", settings);
    assert_eq!(watched.frames(5, SOON).len(), 5);
}

#[test]
fn one_slow_worker_gets_the_newest_frame_and_the_rest_is_counted() {
    let server = server(Feed::pattern(Coding::H264, (320, 240)));
    let watched = Watched::start("gate", settings(&server.url("gate"), Some(("ann", "s3cret"))));
    let first = watched.frames(1, SOON).remove(0).stamp();
    let _much_later = watched.until(SOON, |status| status.frames_decoded_total >= first.sequence + 15);
    let next = watched.frames(1, SOON).remove(0).stamp();
    assert!(next.sequence >= first.sequence + 15, "an old frame was kept: {first:?}, then {next:?}");
    assert!(watched.slot.superseded_total() >= 13, "{}", watched.slot.superseded_total());
}

#[test]
fn keep_alives_reach_the_camera_over_tcp_and_do_not_disturb_the_stream() {
    let server = server(Feed::pattern(Coding::H264, (320, 240)));
    let mut settings = settings(&server.url("gate"), Some(("ann", "s3cret")));
    settings.keep_alive = Duration::from_millis(300);
    let watched = Watched::start("gate", settings);
    let _first = watched.frames(1, SOON);
    let (status, _) = watched.until(SOON, |_| server.keep_alives() >= 10);
    let _still_coming = watched.frames(10, SOON);
    let reconnects = watched.handle.status().reconnects_total;
    assert!(reconnects.is_empty(), "{} keep-alives, {reconnects:?}, {status:?}", server.keep_alives());
}
