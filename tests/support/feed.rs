//! What a test camera shows: a generated picture, or a clip whose H.264 is passed on as it is, for ever.

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The coding of a generated picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// x264.
    H264,
    /// x265.
    H265,
    /// 4:2:0 JPEG.
    Mjpeg,
    /// 4:2:2 JPEG, as many cameras send it.
    Mjpeg422,
}

/// What is shown.
#[derive(Clone, Debug)]
pub enum Feed {
    /// A moving pattern, encoded as it goes; one key frame a second.
    Pattern {
        /// How it is encoded.
        coding: Coding,
        /// Pixels.
        size: (i32, i32),
        /// Frames a second.
        fps: i32,
    },
    /// A clip, repeated without a gap.
    Clip(Arc<Clip>),
    /// A clip that plays once for whoever connects first; then the camera stays connected and shows nothing.
    ClipOnce(Arc<Clip>),
}

impl Feed {
    /// A pattern of 15 frames a second.
    #[must_use]
    pub const fn pattern(coding: Coding, size: (i32, i32)) -> Self {
        Self::Pattern { coding, size, fps: 15 }
    }

    /// The description of the server's pipeline. Elements named `size` and `feed` are reached by name later.
    #[must_use]
    pub fn launch(&self) -> String {
        match self {
            Self::Pattern { coding, size: (width, height), fps } => {
                let format = if *coding == Coding::Mjpeg422 { "Y42B" } else { "I420" };
                format!(
                    "( videotestsrc is-live=true pattern=smpte horizontal-speed=3 ! capsfilter name=size \
                     caps=video/x-raw,format={format},width={width},height={height},framerate={fps}/1 ! {} )",
                    coding.encoder(*fps, "pay0")
                )
            }
            Self::Clip(clip) | Self::ClipOnce(clip) => format!(
                "( appsrc name=feed is-live=true format=time ! {} ! {} name=pay0 pt=96 config-interval=-1 )",
                clip.parser, clip.payloader
            ),
        }
    }
}

impl Coding {
    /// The tail of a pipeline that encodes and payloads; the payloader is called `name`.
    #[must_use]
    pub fn encoder(self, fps: i32, name: &str) -> String {
        match self {
            Self::H264 => format!(
                "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=600 threads=1 ! h264parse ! \
                 rtph264pay name={name} pt=96 mtu=1200 config-interval=-1"
            ),
            Self::H265 => format!(
                "x265enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=600 \
                 option-string=log-level=none:pools=1:frame-threads=1 ! h265parse ! \
                 rtph265pay name={name} pt=96 mtu=1200 config-interval=-1"
            ),
            Self::Mjpeg | Self::Mjpeg422 => format!("jpegenc ! rtpjpegpay name={name} pt=26 mtu=1200"),
        }
    }
}

/// A clip in memory, cut into access units.
#[derive(Debug)]
pub struct Clip {
    units: Vec<Unit>,
    caps: gst::Caps,
    duration_ns: u64,
    parser: &'static str,
    payloader: &'static str,
}

#[derive(Debug)]
struct Unit {
    bytes: gst::Buffer,
    pts_ns: u64,
    dts_ns: u64,
    is_key: bool,
}

/// Larger clips would fill the memory of the machine that shows them.
const CLIP_BYTES_MAX: u64 = 256 << 20;

impl Clip {
    /// Reads a clip of H.264 (or H.265) in MP4 or as a bare stream. Nothing is decoded.
    ///
    /// # Errors
    /// A sentence with the path when it is missing, too large, or holds neither.
    pub fn load(path: &Path) -> Result<Arc<Self>, String> {
        gst::init().map_err(|error| error.to_string())?;
        let wrong = |what: String| format!("{}: {what}", path.display());
        let bytes = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
        if bytes > CLIP_BYTES_MAX {
            return Err(wrong(format!("{bytes} bytes, more than {CLIP_BYTES_MAX}")));
        }
        Self::load_as(path, "h264", "h264parse", "rtph264pay")
            .or_else(|_| Self::load_as(path, "h265", "h265parse", "rtph265pay"))
            .map_err(wrong)
    }

    fn load_as(path: &Path, kind: &str, parser: &'static str, payloader: &'static str) -> Result<Arc<Self>, String> {
        let demuxer = match path.extension().and_then(|extension| extension.to_str()) {
            Some("mp4" | "m4v" | "mov") => "qtdemux ! ",
            Some("mkv" | "webm") => "matroskademux ! ",
            _ => "",
        };
        let text = format!(
            "filesrc name=file ! {demuxer}{parser} ! video/x-{kind},stream-format=byte-stream,alignment=au ! \
             appsink name=units sync=false"
        );
        let pipeline = gst::parse::launch(&text).map_err(|error| error.to_string())?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| "no pipeline".to_owned())?;
        let by_name = |name| pipeline.by_name(name).ok_or_else(|| format!("no element {name}"));
        by_name("file")?.set_property("location", path);
        let sink = by_name("units")?.downcast::<gst_app::AppSink>().map_err(|_| "no sink".to_owned())?;
        let read = read_units(&pipeline, &sink);
        let _stopped = pipeline.set_state(gst::State::Null);
        let (units, caps, duration_ns) = read?;
        Ok(Arc::new(Self { units, caps, duration_ns, parser, payloader }))
    }

    /// Lets `source` show this clip from its start, `times` times or again and again.
    pub fn show(self: &Arc<Self>, source: &gst_app::AppSrc, times: Option<usize>) {
        source.set_caps(Some(&self.caps));
        let (clip, mut next) = (self.clone(), 0_usize);
        let most = times.map_or(usize::MAX, |times| times * self.units.len());
        source.set_callbacks(
            gst_app::AppSrcCallbacks::builder()
                .need_data(move |source, _| {
                    if next >= most {
                        return;
                    }
                    // An error means that the server is closing this media; it asks no more then.
                    let _flow = source.push_buffer(clip.unit(next));
                    next += 1;
                })
                .build(),
        );
    }

    /// The `index`th access unit of the endless stream.
    fn unit(&self, index: usize) -> gst::Buffer {
        let unit = &self.units[index % self.units.len()];
        let offset_ns = (index / self.units.len()) as u64 * self.duration_ns;
        let mut buffer = unit.bytes.copy();
        let writable = buffer.make_mut();
        writable.set_pts(gst::ClockTime::from_nseconds(unit.pts_ns + offset_ns));
        writable.set_dts(gst::ClockTime::from_nseconds(unit.dts_ns + offset_ns));
        writable.unset_flags(gst::BufferFlags::DISCONT);
        if !unit.is_key {
            writable.set_flags(gst::BufferFlags::DELTA_UNIT);
        }
        buffer
    }
}

fn read_units(pipeline: &gst::Pipeline, sink: &gst_app::AppSink) -> Result<(Vec<Unit>, gst::Caps, u64), String> {
    pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let (mut units, mut caps) = (Vec::<Unit>::new(), None);
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        let Some(buffer) = sample.buffer_owned() else { continue };
        caps = caps.or_else(|| sample.caps_owned());
        let dts = buffer.dts_or_pts().ok_or("a unit without a time; give the clip a frame rate")?;
        units.push(Unit {
            pts_ns: buffer.pts().unwrap_or(dts).nseconds(),
            dts_ns: dts.nseconds(),
            is_key: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
            bytes: buffer,
        });
    }
    let bus = pipeline.bus().ok_or("no bus")?;
    if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
        && let gst::MessageView::Error(error) = message.view()
    {
        return Err(error.error().to_string());
    }
    let first = units.iter().map(|unit| unit.dts_ns.min(unit.pts_ns)).min().ok_or("no video in it")?;
    for unit in &mut units {
        (unit.pts_ns, unit.dts_ns) = (unit.pts_ns - first, unit.dts_ns - first);
    }
    let last = units.iter().map(|unit| unit.pts_ns).max().unwrap_or(0);
    let gap_ns = if units.len() > 1 { last / (units.len() as u64 - 1) } else { 40_000_000 };
    Ok((units, caps.ok_or("no caps")?, last + gap_ns))
}

/// Encodes `frames` of the moving pattern at 15 frames a second, a key frame a second, into an MP4 or Matroska file or
/// a bare stream, by extension. Needs the test machine's x264 or x265.
///
/// # Errors
/// What GStreamer said.
pub fn write_pattern(path: &Path, coding: Coding, (width, height): (i32, i32), frames: u32) -> Result<PathBuf, String> {
    let (encoder, kind) = match coding {
        Coding::H265 => (
            "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=600 \
             option-string=log-level=none:pools=1:frame-threads=1:open-gop=0 ! h265parse",
            "h265",
        ),
        _ => {
            ("x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=600 threads=1 ! h264parse", "h264")
        }
    };
    let muxer = match path.extension().and_then(|extension| extension.to_str()) {
        Some("mp4") => "mp4mux ! ".to_owned(),
        Some("mkv") => "matroskamux ! ".to_owned(),
        _ => format!("video/x-{kind},stream-format=byte-stream ! "),
    };
    let text = format!(
        "videotestsrc num-buffers={frames} pattern=smpte horizontal-speed=3 ! \
         video/x-raw,format=I420,width={width},height={height},framerate=15/1 ! {encoder} ! {muxer}filesink name=file"
    );
    write(path, &text)
}

/// Writes a Matroska file that holds sound and nothing else.
///
/// # Errors
/// What GStreamer said.
pub fn write_sound(path: &Path) -> Result<PathBuf, String> {
    write(path, "audiotestsrc num-buffers=10 ! audio/x-raw,format=S16LE ! matroskamux ! filesink name=file")
}

/// Runs a pipeline that ends in a sink called `file` to its end.
fn write(path: &Path, text: &str) -> Result<PathBuf, String> {
    gst::init().map_err(|error| error.to_string())?;
    let pipeline = gst::parse::launch(text).map_err(|error| error.to_string())?;
    let bin = pipeline.clone().downcast::<gst::Bin>().map_err(|_| "no pipeline".to_owned())?;
    bin.by_name("file").ok_or("no file")?.set_property("location", path);
    pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let end =
        bus.timed_pop_filtered(gst::ClockTime::from_seconds(60), &[gst::MessageType::Eos, gst::MessageType::Error]);
    let _stopped = pipeline.set_state(gst::State::Null);
    match end.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => Ok(path.to_owned()),
        Some(gst::MessageView::Error(error)) => Err(error.error().to_string()),
        _ => Err("encoding took more than 60 s".to_owned()),
    }
}

/// RTP packets of a short pattern in `coding`, for smuggling into a stream of another.
///
/// # Errors
/// What GStreamer said.
pub fn rtp_packets(coding: Coding, (width, height): (i32, i32)) -> Result<Vec<Vec<u8>>, String> {
    let text = format!(
        "videotestsrc num-buffers=30 ! video/x-raw,format=I420,width={width},height={height},framerate=15/1 ! {} ! \
         appsink name=packets sync=false",
        coding.encoder(15, "pay")
    );
    gst::init().map_err(|error| error.to_string())?;
    let pipeline = gst::parse::launch(&text).map_err(|error| error.to_string())?;
    let bin = pipeline.clone().downcast::<gst::Bin>().map_err(|_| "no pipeline".to_owned())?;
    let sink = bin.by_name("packets").ok_or("no sink")?;
    let sink = sink.downcast::<gst_app::AppSink>().map_err(|_| "no sink".to_owned())?;
    // Else lists of packets come out, of which a sink shows only the first.
    sink.set_buffer_list(false);
    pipeline.set_state(gst::State::Playing).map_err(|error| error.to_string())?;
    let mut packets = Vec::new();
    while let Some(sample) = sink.try_pull_sample(gst::ClockTime::from_seconds(10)) {
        if let Some(map) = sample.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            packets.push(map.as_slice().to_vec());
        }
    }
    let _stopped = pipeline.set_state(gst::State::Null);
    if packets.is_empty() { Err("no packets".to_owned()) } else { Ok(packets) }
}
