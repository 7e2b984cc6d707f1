//! The pipeline of one connection to an RTSP camera. It is used once: after a fault a new one is built, because the
//! same pipeline started a second time gave no frame in nine of ten tries and no error either.

use crate::chain::{self, Follow, Input, Keep};
use crate::codec::{Codec, Hardware, element};
use crate::fault::{Fault, printable};
use crate::secret::Credential;
use crate::source::{RtspUrl, Transport};
use crate::tap::{Notice, Tap};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_rtsp as gst_rtsp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How long packets may wait for a straggler. The default of 2 s would make every frame 2 s old.
const LATENCY_MS: u32 = 200;
/// How long a connection or an answer may take. The default is 20 s.
const TCP_TIMEOUT_US: u64 = 3_000_000;
/// How long the goodbye to the camera may take.
const TEARDOWN_NS: u64 = 200_000_000;

/// Builds the pipeline, not yet started. What happens on its threads goes to `tap`.
pub(crate) fn open(
    (url, transport, credential): (&RtspUrl, Transport, Option<&Credential>),
    hardware: Hardware,
    tap: &Arc<Tap>,
) -> Result<(gst::Pipeline, gst::Element), Fault> {
    let pipeline = gst::Pipeline::new();
    let source = element("rtspsrc")?;
    source.set_property("location", url.as_str());
    if let Some(Credential { user, password }) = credential {
        source.set_property("user-id", user);
        source.set_property("user-pw", password.expose());
    }
    source.set_property(
        "protocols",
        match transport {
            Transport::Tcp => gst_rtsp::RTSPLowerTrans::TCP,
            Transport::Udp => gst_rtsp::RTSPLowerTrans::UDP,
        },
    );
    source.set_property("latency", LATENCY_MS);
    source.set_property("drop-on-latency", true);
    source.set_property("tcp-timeout", TCP_TIMEOUT_US);
    source.set_property("teardown-timeout", TEARDOWN_NS);
    // Its own reconnection would present the password behind the back of the lock-out guard.
    source.set_property("udp-reconnect", false);
    pipeline.add(&source).map_err(|_| Fault::Broken { said: "rtspsrc cannot be used".to_owned() })?;

    // The guard reads packet-lost events; the jitter buffer sends them only when asked to.
    source.connect("new-manager", false, |values| {
        if let Some(manager) = values.get(1).and_then(|value| value.get::<gst::Element>().ok())
            && manager.has_property("do-lost")
        {
            manager.set_property("do-lost", true);
        }
        None
    });
    let is_admitted = Arc::new(AtomicBool::new(false));
    present_the_password_once(&source, &is_admitted);
    choose_stream(&source, tap, is_admitted);
    link_when_it_comes(&pipeline, &source, hardware, tap);
    Ok((pipeline, source))
}

/// Keeps `rtspsrc` from presenting a refused password again. With user and password given as properties it repeats a
/// request that is answered 401 eight times (GStreamer 1.22, and still in the development version; counted by a test),
/// which locks an account at the first wrong password.
///
/// A request that comes back to be sent again carries the `Authorization` it was refused with. Before the camera has
/// accepted us once such a request is held back, and `rtspsrc` gives up with the 401 it has. Afterwards one repetition
/// is let through, because cameras renew their nonces. A camera that both asks for a password on OPTIONS and renews its
/// nonce with every request would be taken to refuse a right password; we know of none.
fn present_the_password_once(source: &gst::Element, is_admitted: &Arc<AtomicBool>) {
    let (is_admitted, repeated) = (is_admitted.clone(), AtomicU32::new(0));
    source.connect("before-send", false, move |values| {
        let request = values.get(1).and_then(|value| value.get::<gst_rtsp::rtsp_message::RTSPMessage>().ok());
        let was_refused = request.is_some_and(|request| !request.parse_auth_credentials().is_empty());
        if !was_refused {
            repeated.store(0, Ordering::Release);
            return Some(true.to_value());
        }
        let repetitions_max = u32::from(is_admitted.load(Ordering::Acquire));
        Some((repeated.fetch_add(1, Ordering::AcqRel) < repetitions_max).to_value())
    });
}

/// Takes the first video stream we can decode and refuses the rest: sound is none of our business.
fn choose_stream(source: &gst::Element, tap: &Arc<Tap>, is_admitted: Arc<AtomicBool>) {
    let (tap, taken) = (tap.clone(), AtomicBool::new(false));
    source.connect("select-stream", false, move |values| {
        is_admitted.store(true, Ordering::Release);
        tap.tell(Notice::Admitted);
        let caps = values.get(2).and_then(|value| value.get::<gst::Caps>().ok());
        let take = match caps.as_ref().and_then(video_encoding) {
            Some(name) if Codec::from_rtp(&name).is_some() => !taken.swap(true, Ordering::AcqRel),
            Some(name) => {
                tap.cannot_decode(printable(&name));
                false
            }
            None => false,
        };
        Some(take.to_value())
    });
}

/// The encoding name when the caps are of a video stream.
fn video_encoding(caps: &gst::Caps) -> Option<String> {
    let first = caps.structure(0)?;
    if first.get::<&str>("media").ok()? != "video" {
        return None;
    }
    // RFC 3551 lets payload type 26 stand for JPEG without a name.
    first
        .get::<String>("encoding-name")
        .ok()
        .or_else(|| first.get::<i32>("payload").ok().filter(|payload| *payload == 26).map(|_| "JPEG".to_owned()))
}

fn link_when_it_comes(pipeline: &gst::Pipeline, source: &gst::Element, hardware: Hardware, tap: &Arc<Tap>) {
    let (weak, tap, linked) = (pipeline.downgrade(), tap.clone(), AtomicBool::new(false));
    source.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let Some(codec) = video_encoding(&caps).as_deref().and_then(Codec::from_rtp) else { return };
        if linked.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Err(fault) = link(&pipeline, pad, (codec, hardware), &tap) {
            tap.tell(Notice::Fault(fault));
        }
    });
}

fn link(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    (codec, hardware): (Codec, Hardware),
    tap: &Arc<Tap>,
) -> Result<(), Fault> {
    let sink = chain::sink(Follow::Arrival, Keep::Newest);
    sink.set_callbacks(tap.callbacks());
    let chain = chain::build(pipeline, (codec, Input::Rtp, hardware), &sink)?;
    if let Some(depayloader) = &chain.depayloader {
        tap.guard(depayloader);
    }
    tap.chose(codec, &chain.decoder);
    pad.link(&chain.entry).map_err(|_| Fault::FormatRefused)?;
    Ok(())
}

/// Asks the camera for a parameter it need not know, so that it sees we are alive: GStreamer 1.22 sends no keep-alive
/// over TCP while packets flow, and some cameras end a session after 60 s without one. Gives whether it was sent.
/// The answer, usually a refusal, is not looked at: any answer means that the session lives.
pub(crate) fn keep_alive(source: &gst::Element) -> bool {
    let promise = gst::Promise::new();
    source.emit_by_name::<bool>("get-parameter", &[&"keep-alive", &None::<&str>, &promise])
}
