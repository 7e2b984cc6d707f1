//! What runs on GStreamer's threads: it counts, closes the loss gate, puts frames into the slot and tells the
//! supervisor. One tap belongs to one connection; once that is given up, whatever its threads still deliver is dropped.

use crate::codec::{Codec, decodes_in_hardware};
use crate::fault::{Fault, size_refused};
use crate::frame::Decoded;
use crate::health::Counted;
use crate::loss_gate::{LossGate, Packet, Passage};
use crate::slot::{Slot, unpoisoned};
use crate::status::Gauges;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::time::{Clock, Mono};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

/// What a connection tells its supervisor.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The camera answered with a description: the password was right, or none was asked for.
    Admitted,
    /// It is over.
    Fault(Fault),
    /// The decoder complained.
    DecodeWarning,
    /// Size or format of the pictures changed.
    FormatChanged,
    /// The stream ended.
    Ended,
    /// A clip played as a segment reached its end and waits to be sent back to the start.
    SegmentDone,
}

/// What wakes a supervisor.
#[derive(Debug)]
pub(crate) enum Event {
    /// The handle set something; look.
    Wake,
    /// A connection has something to tell. Connections are numbered; an old one's news are of no interest.
    Notice(u64, Notice),
}

/// One connection's view of its camera.
pub(crate) struct Tap {
    connection: u64,
    live: AtomicBool,
    in_hardware: AtomicBool,
    slot: Arc<Slot>,
    clock: Arc<dyn Clock>,
    gauges: Arc<Gauges>,
    events: SyncSender<Event>,
    frames: AtomicU64,
    /// Nanoseconds on the monotonic clock plus one; 0 stands for never.
    last_frame_ns: AtomicU64,
    /// As `last_frame_ns`.
    last_packet_ns: AtomicU64,
    gate: Mutex<LossGate>,
    refused_codec: Mutex<Option<String>>,
    format: Mutex<Option<(gst::Caps, gst_video::VideoInfo)>>,
}

impl Tap {
    pub(crate) fn new(
        connection: u64,
        slot: Arc<Slot>,
        clock: Arc<dyn Clock>,
        gauges: Arc<Gauges>,
        events: SyncSender<Event>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connection,
            live: AtomicBool::new(true),
            in_hardware: AtomicBool::new(false),
            slot,
            clock,
            gauges,
            events,
            frames: AtomicU64::new(0),
            last_frame_ns: AtomicU64::new(0),
            last_packet_ns: AtomicU64::new(0),
            gate: Mutex::default(),
            refused_codec: Mutex::new(None),
            format: Mutex::new(None),
        })
    }

    /// Tells the supervisor. It reads several times a second; when 64 messages lie unread, more of them say nothing new
    /// and the frame-age watchdog still ends the connection, so they are counted and dropped rather than waited for.
    pub(crate) fn tell(&self, notice: Notice) {
        let notice = match notice {
            Notice::Fault(Fault::NoVideo) => Notice::Fault(self.no_video()),
            other => other,
        };
        if self.is_live() && self.events.try_send(Event::Notice(self.connection, notice)).is_err() {
            self.gauges.notices_dropped_total.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn no_video(&self) -> Fault {
        let refused = unpoisoned(self.refused_codec.lock()).clone();
        refused.map_or(Fault::NoVideo, |codec| Fault::UnsupportedCodec { codec })
    }

    /// The camera offered video in a coding we do not decode. That is a fault only if it offers nothing else.
    pub(crate) fn cannot_decode(&self, codec: String) {
        *unpoisoned(self.refused_codec.lock()) = Some(codec);
    }

    /// Nothing of this connection counts from now on.
    pub(crate) fn close(&self) {
        self.live.store(false, Ordering::Release);
    }

    fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }

    pub(crate) fn counted(&self) -> Counted {
        Counted {
            frames: self.frames.load(Ordering::Relaxed),
            last_frame: read(&self.last_frame_ns),
            last_packet: read(&self.last_packet_ns),
            gated: unpoisoned(self.gate.lock()).is_closed(),
        }
    }

    /// What was chosen for this stream, for the status and for falling back to software.
    pub(crate) fn chose(&self, codec: Codec, decoder: &gst::Element) {
        self.in_hardware.store(decodes_in_hardware(decoder), Ordering::Relaxed);
        let name = decoder.factory().map(|factory| factory.name().to_string());
        let mut picture = unpoisoned(self.gauges.picture.lock());
        (picture.codec, picture.decoder) = (Some(codec), name);
    }

    /// Whether the decoder of this connection works in hardware.
    pub(crate) fn is_in_hardware(&self) -> bool {
        self.in_hardware.load(Ordering::Relaxed)
    }

    /// Watches the depayloader: packets in, access units out.
    pub(crate) fn guard(self: &Arc<Self>, depayloader: &gst::Element) {
        let (Some(sink), Some(src)) = (depayloader.static_pad("sink"), depayloader.static_pad("src")) else {
            return;
        };
        let tap = self.clone();
        let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
        sink.add_probe(kinds, move |_, info| {
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => tap.on_packet(buffer),
                Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(|buffer| tap.on_packet(buffer)),
                Some(gst::PadProbeData::Event(event))
                    if event.structure().is_some_and(|said| said.name() == "GstRTPPacketLost") =>
                {
                    unpoisoned(tap.gate.lock()).on_loss_announced();
                }
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
        let tap = self.clone();
        src.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |_, info| {
            let passes = match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => tap.passes(buffer),
                // Part of a unit is of no use, so a list passes whole or not at all.
                Some(gst::PadProbeData::BufferList(list)) => list.iter().all(|buffer| tap.passes(buffer)),
                _ => true,
            };
            if passes { gst::PadProbeReturn::Ok } else { gst::PadProbeReturn::Drop }
        });
    }

    fn passes(&self, unit: &gst::BufferRef) -> bool {
        let is_key = !unit.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let pts_ns = unit.pts().map(gst::ClockTime::nseconds);
        unpoisoned(self.gate.lock()).on_unit(pts_ns, is_key) == Passage::Pass
    }

    fn on_packet(&self, buffer: &gst::BufferRef) {
        write(&self.last_packet_ns, self.clock.now().mono);
        let Some(packet) = rtp_packet(buffer) else { return };
        let added = unpoisoned(self.gate.lock()).on_packet(packet);
        self.gauges.packets_lost_total.fetch_add(added.packets_lost, Ordering::Relaxed);
        self.gauges.frames_gated_loss_total.fetch_add(added.frames_gated, Ordering::Relaxed);
    }

    /// The callbacks of the sink at the end of a live pipeline.
    pub(crate) fn callbacks(self: &Arc<Self>) -> gst_app::AppSinkCallbacks {
        let tap = self.clone();
        gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                if let Ok(sample) = sink.pull_sample() {
                    tap.on_sample(&sample);
                }
                Ok(gst::FlowSuccess::Ok)
            })
            .build()
    }

    fn on_sample(&self, sample: &gst::Sample) {
        if !self.is_live() {
            return;
        }
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps()) else { return };
        let Some(info) = self.info_of(caps) else { return };
        if buffer.flags().contains(gst::BufferFlags::CORRUPTED) {
            // The few damaged pictures a decoder does own up to.
            self.gauges.frames_gated_loss_total.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let now = self.clock.now();
        self.frames.fetch_add(1, Ordering::Relaxed);
        write(&self.last_frame_ns, now.mono);
        write(&self.gauges.last_frame_ns, now.mono);
        let sequence = self.gauges.frames_decoded_total.fetch_add(1, Ordering::Relaxed) + 1;
        let stamp = FrameStamp { sequence, mono: now.mono, wall: now.wall };
        self.slot.put(Decoded { buffer, info, stamp });
    }

    /// The geometry of a sample, worked out once per caps. Tells the supervisor about changes; gives nothing for
    /// pictures that are refused.
    fn info_of(&self, caps: &gst::CapsRef) -> Option<gst_video::VideoInfo> {
        let mut format = unpoisoned(self.format.lock());
        if let Some((known, info)) = format.as_ref()
            && known.as_ref() == caps
        {
            return Some(info.clone());
        }
        let Ok(info) = gst_video::VideoInfo::from_caps(caps) else {
            self.tell(Notice::Fault(Fault::FormatRefused));
            return None;
        };
        let (width, height) = (info.width(), info.height());
        if let Some(fault) = size_refused(width, height) {
            self.tell(Notice::Fault(fault));
            return None;
        }
        let changed = format.replace((caps.to_owned(), info.clone())).is_some_and(|(_, before)| {
            (before.width(), before.height(), before.format()) != (width, height, info.format())
        });
        drop(format);
        unpoisoned(self.gauges.picture.lock()).size = Some((width, height));
        if changed {
            self.tell(Notice::FormatChanged);
        }
        Some(info)
    }
}

fn read(nanos_plus_one: &AtomicU64) -> Option<Mono> {
    nanos_plus_one.load(Ordering::Acquire).checked_sub(1).map(Mono::from_nanos)
}

fn write(nanos_plus_one: &AtomicU64, at: Mono) {
    nanos_plus_one.store(at.as_nanos().saturating_add(1), Ordering::Release);
}

/// Sequence number and timestamp from the fixed part of an RTP header (RFC 3550, 5.1).
fn rtp_packet(buffer: &gst::BufferRef) -> Option<Packet> {
    let mut header = [0_u8; 8];
    buffer.copy_to_slice(0, &mut header).ok()?;
    Some(Packet {
        sequence: u16::from_be_bytes([header[2], header[3]]),
        timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        pts_ns: buffer.pts().map(gst::ClockTime::nseconds),
        discontinuous: buffer.flags().contains(gst::BufferFlags::DISCONT),
    })
}
