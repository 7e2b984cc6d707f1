//! The explicit chain behind a source: depayloader or demuxer pad, parser, decoder, sink. No autoplugging.
//!
//! ```text
//! RTP pad  -> depayloader (waits for key frames) -> caps -> [parser] -> decoder -> [videoconvert, MJPEG only] -> sink
//! clip pad ------------------------------------------------> [parser] -> decoder -> [videoconvert, MJPEG only] -> sink
//! ```

use crate::codec::{Codec, Hardware, element};
use crate::fault::Fault;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

/// What a chain is made of, for the status.
pub(crate) struct Chain {
    /// Where the source is to be linked.
    pub(crate) entry: gst::Pad,
    /// The depayloader, when the source is RTP.
    pub(crate) depayloader: Option<gst::Element>,
    /// The decoder.
    pub(crate) decoder: gst::Element,
}

/// What comes in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// RTP packets.
    Rtp,
    /// Access units out of a container.
    Units,
    /// A bare byte stream that only a parser can cut into access units.
    Bytes,
}

/// Builds the chain into `pipeline`, in the pipeline's state, ready to be linked at `entry`.
pub(crate) fn build(
    pipeline: &gst::Pipeline,
    (codec, input, hardware): (Codec, Input, Hardware),
    sink: &gst_app::AppSink,
) -> Result<Chain, Fault> {
    let mut elements = Vec::new();
    let mut depayloader = None;
    if input == Input::Rtp {
        let (depay, caps) = codec.depayloader()?;
        let filter = element("capsfilter")?;
        filter.set_property("caps", caps);
        depayloader = Some(depay.clone());
        elements.extend([depay, filter]);
    }
    match codec.parser() {
        Some(parser) => elements.push(parser),
        None if input == Input::Bytes => {
            elements.push(element(if codec == Codec::H265 { "h265parse" } else { "h264parse" })?);
        }
        None => {}
    }
    let decoder = codec.decoder(hardware)?;
    elements.push(decoder.clone());
    if codec == Codec::Mjpeg {
        // Cameras send 4:2:2 or 4:4:4 JPEG. This is the only conversion of whole frames there is, and it passes 4:2:0
        // through untouched.
        elements.push(element("videoconvert")?);
    }
    let broken = |_| Fault::Broken { said: format!("the {} chain cannot be linked", codec.as_str()) };
    pipeline.add_many(&elements).map_err(broken)?;
    let sink: gst::Element = sink.clone().upcast();
    if sink.parent().is_none() {
        pipeline.add(&sink).map_err(broken)?;
    }
    elements.push(sink);
    gst::Element::link_many(&elements).map_err(broken)?;
    // From the end towards the source, so that nothing flows into an element that is not ready.
    for element in elements.iter().rev() {
        element.sync_state_with_parent().map_err(broken)?;
    }
    let entry = elements.first().and_then(|first| first.static_pad("sink"));
    let entry = entry.ok_or(Fault::Broken { said: "the chain has no entry".to_owned() })?;
    Ok(Chain { entry, depayloader, decoder })
}

/// Whether the sink follows the clock or takes frames as they come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// At the time each frame is due.
    Clock,
    /// At once.
    Arrival,
}

/// Whether the sink may drop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The newest; a slow consumer must not make frames old (2 buffers kept 8.7 s of delay upstream without dropping).
    Newest,
    /// All; the source waits.
    All,
}

/// The end of a chain: pictures in system memory, in one of the two formats the rest of the program reads.
pub(crate) fn sink(follow: Follow, keep: Keep) -> gst_app::AppSink {
    let caps = gst::Caps::builder("video/x-raw").field("format", gst::List::new(["I420", "NV12"])).build();
    gst_app::AppSink::builder()
        .caps(&caps)
        .max_buffers(2)
        .drop(keep == Keep::Newest)
        .sync(follow == Follow::Clock)
        .qos(false)
        // Else the sink itself would keep one more decoded frame alive for nobody.
        .enable_last_sample(false)
        .build()
}
