//! Clips on disk: played like a camera by the supervisor, or read frame by frame by [`ClipReader`].

use crate::bus::{Interpreter, first_fault};
use crate::chain::{self, Follow, Input, Keep};
use crate::codec::{Codec, Hardware, element};
use crate::fault::{Fault, size_refused};
use crate::frame::{Decoded, Frame, UnmappableFrame};
use crate::slot::unpoisoned;
use crate::source::{Pace, Repeat, Source, extension_of};
use crate::tap::{Notice, Tap};
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::time::{Mono, WallMs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// How a clip is packed, by its extension.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// A container with a demuxer of this name; it can be sent back to its start while it plays.
    Container(&'static str),
    /// A bare stream of this coding, without times of its own.
    Bare(Codec),
}

impl Packing {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match extension_of(path).as_str() {
            "mp4" | "m4v" | "mov" => Some(Self::Container("qtdemux")),
            "mkv" | "webm" => Some(Self::Container("matroskademux")),
            "h264" | "264" => Some(Self::Bare(Codec::H264)),
            "h265" | "265" | "hevc" => Some(Self::Bare(Codec::H265)),
            _ => None,
        }
    }
}

/// Tells somebody on another thread.
pub(crate) trait Listener: Send + Sync + 'static {
    fn chose(&self, codec: Codec, decoder: &gst::Element);
    fn fault(&self, fault: Fault);
}

/// Frames of a bare stream that says no rate come this far apart.
const FRAME_NS_ASSUMED: u64 = 40_000_000;

/// Builds the pipeline of a clip that ends in `sink`, not yet started.
pub(crate) fn open(
    path: &Path,
    sink: &gst_app::AppSink,
    hardware: Hardware,
    listener: Arc<dyn Listener>,
) -> Result<gst::Pipeline, Fault> {
    let packing = Packing::of(path).ok_or(Fault::BadClip { said: "its extension is unknown".to_owned() })?;
    match std::fs::metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(Fault::BadClip { said: format!("{} is no file", path.display()) }),
        Err(error) => return Err(Fault::BadClip { said: format!("{}: {error}", path.display()) }),
    }
    let pipeline = gst::Pipeline::new();
    let broken = |_| Fault::Broken { said: "the clip's pipeline cannot be built".to_owned() };
    let source = element("filesrc")?;
    source.set_property("location", path);
    // The sink is there from the start: a pipeline without one counts as ready before anything is decoded.
    pipeline.add_many([&source, sink.upcast_ref::<gst::Element>()]).map_err(broken)?;
    match packing {
        Packing::Bare(codec) => {
            let chain = chain::build(&pipeline, (codec, Input::Bytes, hardware), sink)?;
            give_times(&chain.decoder);
            listener.chose(codec, &chain.decoder);
            let pad = source.static_pad("src").ok_or(Fault::FormatRefused)?;
            pad.link(&chain.entry).map_err(|_| Fault::FormatRefused)?;
        }
        Packing::Container(name) => {
            let demuxer = element(name)?;
            pipeline.add(&demuxer).map_err(broken)?;
            source.link(&demuxer).map_err(broken)?;
            link_when_it_comes(&pipeline, &demuxer, sink, hardware, listener);
        }
    }
    Ok(pipeline)
}

fn link_when_it_comes(
    pipeline: &gst::Pipeline,
    demuxer: &gst::Element,
    sink: &gst_app::AppSink,
    hardware: Hardware,
    listener: Arc<dyn Listener>,
) {
    let linked = Arc::new(AtomicBool::new(false));
    let (told, any) = (listener.clone(), linked.clone());
    demuxer.connect_no_more_pads(move |_| {
        if !any.load(Ordering::Acquire) {
            told.fault(Fault::BadClip { said: "it holds no H.264, H.265 or MJPEG video".to_owned() });
        }
    });
    let (weak, sink) = (pipeline.downgrade(), sink.clone());
    demuxer.connect_pad_added(move |_, pad| {
        let Some(pipeline) = weak.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let name = caps.structure(0).map(|first| first.name().to_string()).unwrap_or_default();
        let Some(codec) = Codec::from_media_type(&name) else { return };
        if linked.swap(true, Ordering::AcqRel) {
            return;
        }
        match chain::build(&pipeline, (codec, Input::Units, hardware), &sink) {
            Ok(chain) => {
                listener.chose(codec, &chain.decoder);
                if pad.link(&chain.entry).is_err() {
                    listener.fault(Fault::FormatRefused);
                }
            }
            Err(fault) => listener.fault(fault),
        }
    });
}

/// Gives the frames of a bare stream times when its own headers gave none: without, a clip would play in no time.
fn give_times(decoder: &gst::Element) {
    let Some(pad) = decoder.static_pad("src") else { return };
    let next_ns = AtomicU64::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut() {
            let pts_ns = buffer.pts().map_or(next_ns.load(Ordering::Relaxed), gst::ClockTime::nseconds);
            if buffer.pts().is_none() {
                let buffer = buffer.make_mut();
                buffer.set_pts(gst::ClockTime::from_nseconds(pts_ns));
                buffer.set_duration(gst::ClockTime::from_nseconds(FRAME_NS_ASSUMED));
            }
            next_ns.store(pts_ns + FRAME_NS_ASSUMED, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Builds the pipeline of a clip that plays like a camera into `tap`'s slot, not yet started.
pub(crate) fn play(path: &Path, hardware: Hardware, tap: &Arc<Tap>) -> Result<gst::Pipeline, Fault> {
    let sink = chain::sink(Follow::Clock, Keep::Newest);
    sink.set_callbacks(tap.callbacks());
    open(path, &sink, hardware, tap.clone())
}

/// How long a clip may take to show its first picture before it is started as it is.
const PREROLL: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Makes a clip that is to be repeated play as a segment: at its end it says so instead of ending, and continues from
/// the start without a gap. Bare streams cannot do that; they end and are opened again.
pub(crate) fn prepare_repeat(pipeline: &gst::Pipeline) {
    if pipeline.set_state(gst::State::Paused).is_ok() && pipeline.state(PREROLL).0.is_ok() {
        back_to_start(pipeline, gst::SeekFlags::FLUSH);
    }
}

/// Sends a clip that reached its end back to its start.
pub(crate) fn rewind(pipeline: &gst::Pipeline) {
    back_to_start(pipeline, gst::SeekFlags::empty());
}

fn back_to_start(pipeline: &gst::Pipeline, flags: gst::SeekFlags) {
    if pipeline.seek_simple(flags | gst::SeekFlags::SEGMENT, gst::ClockTime::ZERO).is_err() {
        // It then ends at its end, and the supervisor opens it again: a gap of a tenth of a second.
        tracing::debug!("a clip cannot be played as a segment; it will be opened again at its end");
    }
}

impl Listener for Tap {
    fn chose(&self, codec: Codec, decoder: &gst::Element) {
        Self::chose(self, codec, decoder);
    }

    fn fault(&self, fault: Fault) {
        self.tell(Notice::Fault(fault));
    }
}

/// Remembers the first fault for a reader on another thread.
#[derive(Default)]
struct FirstFault(Mutex<Option<Fault>>);

impl Listener for FirstFault {
    fn chose(&self, _codec: Codec, _decoder: &gst::Element) {}

    fn fault(&self, fault: Fault) {
        unpoisoned(self.0.lock()).get_or_insert(fault);
    }
}

/// Why a clip could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// It cannot be opened, or not decoded at all.
    #[error("{path}: {fault}")]
    Open {
        /// Which clip.
        path: PathBuf,
        /// Why.
        fault: Fault,
    },
    /// It broke off; the frames given so far are good.
    #[error("{path}: broke off after {frames} frames: {fault}")]
    BrokeOff {
        /// Which clip.
        path: PathBuf,
        /// Frames given before.
        frames: u64,
        /// Why.
        fault: Fault,
    },
    /// One picture could not be mapped; the next ones may be good.
    #[error("{path}: {frame}")]
    Frame {
        /// Which clip.
        path: PathBuf,
        /// Which frame.
        frame: UnmappableFrame,
    },
}

/// Every frame of a clip, in order, as fast as it is taken; nothing is dropped, and the same clip gives the same frames
/// and stamps every time. `mono` is the clip's own time from its start, `wall` the given start plus that.
pub struct ClipReader {
    path: PathBuf,
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
    interpreter: Interpreter,
    heard: Arc<FirstFault>,
    start: WallMs,
    frames: u64,
    newest: Mono,
    ended: bool,
}

/// How long to wait for one picture at a time.
const PULL: gst::ClockTime = gst::ClockTime::from_mseconds(50);
/// How often: 30 s without any picture is not slowness, it is a decoder that hangs.
const PULLS_MAX: u32 = 600;

impl ClipReader {
    /// Opens a clip and decodes its first picture; `start` is the wall time its first frame is given.
    ///
    /// # Errors
    /// [`ClipError::Open`] when there is no such clip, it holds no video we decode, or its first picture is damaged.
    pub fn open(path: &Path, start: WallMs) -> Result<Self, ClipError> {
        let failed = |fault| ClipError::Open { path: path.to_owned(), fault };
        crate::init().map_err(failed)?;
        let sink = chain::sink(Follow::Arrival, Keep::All);
        let heard = Arc::new(FirstFault::default());
        // In software: hardware decoders may differ in the last bit, and a replay is to be the same everywhere.
        let pipeline = open(path, &sink, Hardware::Avoided, heard.clone()).map_err(failed)?;
        let source = Source::Clip { path: path.to_owned(), pace: Pace::AsFastAsPossible, repeat: Repeat::Once };
        let reader = Self {
            path: path.to_owned(),
            pipeline,
            sink,
            interpreter: Interpreter::new(source),
            heard,
            start,
            frames: 0,
            newest: Mono::default(),
            ended: false,
        };
        reader.start().map_err(failed)?;
        Ok(reader)
    }

    fn start(&self) -> Result<(), Fault> {
        let refused = |_| self.fault().unwrap_or(Fault::BadClip { said: "it does not start".to_owned() });
        self.pipeline.set_state(gst::State::Paused).map_err(refused)?;
        for _ in 0..PULLS_MAX {
            let (reached, state, _) = self.pipeline.state(PULL);
            if let Some(fault) = self.fault() {
                return Err(fault);
            }
            if reached.is_err() {
                return Err(Fault::BadClip { said: "it does not start".to_owned() });
            }
            if state == gst::State::Paused {
                return self.pipeline.set_state(gst::State::Playing).map(|_| ()).map_err(refused);
            }
        }
        Err(Fault::TimedOut)
    }

    fn fault(&self) -> Option<Fault> {
        let heard = unpoisoned(self.heard.0.lock()).take();
        heard.or_else(|| first_fault(&self.pipeline.bus()?, &self.interpreter))
    }

    /// How long the clip says it is, in milliseconds; bare streams do not say.
    #[must_use]
    pub fn duration_ms(&self) -> Option<u64> {
        self.pipeline.query_duration::<gst::ClockTime>().map(gst::ClockTime::mseconds)
    }

    fn broke_off(&mut self, fault: Fault) -> ClipError {
        self.ended = true;
        ClipError::BrokeOff { path: self.path.clone(), frames: self.frames, fault }
    }

    fn frame_of(&mut self, sample: &gst::Sample) -> Result<Frame, ClipError> {
        let parts = sample.buffer_owned().zip(sample.caps()).and_then(|(buffer, caps)| {
            let info = gst_video::VideoInfo::from_caps(caps).ok()?;
            Some((buffer, info))
        });
        let Some((buffer, info)) = parts else {
            return Err(self.broke_off(Fault::FormatRefused));
        };
        if let Some(fault) = size_refused(info.width(), info.height()) {
            return Err(self.broke_off(fault));
        }
        let since_start = buffer.pts().map(|pts| {
            let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
            segment.and_then(|segment| segment.to_stream_time(pts)).unwrap_or(pts)
        });
        // A picture without a time, or one that claims to be older than the last, keeps the order it came in.
        let mono = since_start.map_or(self.newest, |at| Mono::from_nanos(at.nseconds())).max(self.newest);
        self.newest = mono;
        self.frames += 1;
        let wall = WallMs(self.start.0.saturating_add(i64::try_from(mono.as_millis()).unwrap_or(i64::MAX)));
        Decoded { buffer, info, stamp: FrameStamp { sequence: self.frames, mono, wall } }
            .map()
            .map_err(|frame| ClipError::Frame { path: self.path.clone(), frame })
    }
}

impl Iterator for ClipReader {
    type Item = Result<Frame, ClipError>;

    fn next(&mut self) -> Option<Self::Item> {
        for _ in 0..PULLS_MAX {
            if self.ended {
                return None;
            }
            if let Some(sample) = self.sink.try_pull_sample(PULL) {
                return Some(self.frame_of(&sample));
            }
            if let Some(fault) = self.fault() {
                return Some(Err(self.broke_off(fault)));
            }
            self.ended = self.sink.is_eos();
        }
        Some(Err(self.broke_off(Fault::TimedOut)))
    }
}

impl Drop for ClipReader {
    fn drop(&mut self) {
        // Nothing on a network to wait for; the state change of a file pipeline takes milliseconds.
        if self.pipeline.set_state(gst::State::Null).is_err() {
            tracing::warn!(path = %self.path.display(), "the clip's pipeline did not stop; its threads stay");
        }
    }
}
