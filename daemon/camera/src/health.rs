//! Whether a running connection is well. Pure: told what happened and when, it says what that means.
//!
//! ```text
//! Connecting --first frame--> Streaming <--frame rate fell / recovered--> Degraded
//!      |                          |                                          |
//!      +--- no frame in time -----+--- frame too old, decoder or format -----+--> Fault
//! ```

use crate::fault::Fault;
use sekisho_logic::time::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// Decoder complaints within [`DECODE_WINDOW`] that end the connection: a camera that swaps its coding under the same
/// payload type produced 70 warnings and not one frame more.
const DECODE_WARNINGS_MAX: usize = 3;
/// See [`DECODE_WARNINGS_MAX`].
const DECODE_WINDOW: Duration = Duration::from_secs(5);
/// Two format changes closer together than this end the connection.
const FORMAT_APART: Duration = Duration::from_secs(1);
/// While the loss gate waits for a key frame and packets still come, frames may be this many times older than the
/// stall limit: cameras with one key frame every 10 s would else be torn down for every lost packet.
const GATED_STALL_FACTOR: u32 = 3;
/// The least time from the first packet sent to the first decoded frame: 3 s to connect, and key frames 10 s apart.
const FIRST_FRAME_MIN: Duration = Duration::from_secs(15);

/// What the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No frame yet, still in time.
    Connecting,
    /// Frames come.
    Streaming,
    /// Frames come, far fewer than usual.
    Degraded,
    /// It is over.
    Fault(Fault),
}

/// What the stream's threads counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Frames decoded on this connection.
    pub frames: u64,
    /// When the newest was decoded.
    pub last_frame: Option<Mono>,
    /// When the newest packet came; absent for sources without packets.
    pub last_packet: Option<Mono>,
    /// Whether the loss gate waits for a key frame.
    pub gated: bool,
}

/// The health of one connection, from its start to its fault.
#[derive(Debug)]
pub struct Health {
    stall: Duration,
    started: Mono,
    good_since: Option<Mono>,
    newest: Option<Mono>,
    warnings: VecDeque<Mono>,
    format_changed: Option<Mono>,
    rate: RateFloor,
}

impl Health {
    /// A connection begun at `now`, whose frames may be at most `stall` old.
    #[must_use]
    pub fn new(now: Mono, stall: Duration) -> Self {
        Self {
            stall,
            started: now,
            good_since: None,
            newest: None,
            warnings: VecDeque::new(),
            format_changed: None,
            rate: RateFloor::default(),
        }
    }

    /// The decoder complained.
    pub fn on_decode_warning(&mut self, now: Mono) -> Option<Fault> {
        self.warnings.retain(|at| now.since(*at) < DECODE_WINDOW);
        self.warnings.push_back(now);
        (self.warnings.len() >= DECODE_WARNINGS_MAX)
            .then_some(Fault::DecodeErrors { count: self.warnings.len(), within: DECODE_WINDOW })
    }

    /// The size or format of the pictures changed in mid-stream.
    pub fn on_format_change(&mut self, now: Mono) -> Option<Fault> {
        let before = self.format_changed.replace(now);
        before.is_some_and(|at| now.since(at) < FORMAT_APART).then_some(Fault::FormatFlapping)
    }

    /// Looks at the counters. Call it several times a second.
    pub fn check(&mut self, now: Mono, counted: Counted) -> Verdict {
        let Some(newest) = counted.last_frame else {
            let limit = FIRST_FRAME_MIN.max(self.stall.saturating_mul(GATED_STALL_FACTOR));
            return if now.since(self.started) > limit {
                Verdict::Fault(Fault::NoFirstFrame { limit })
            } else {
                Verdict::Connecting
            };
        };
        if self.newest.is_none_or(|before| newest.since(before) > self.stall) {
            self.good_since = Some(newest);
        }
        self.newest = Some(newest);
        let waiting_for_key = counted.gated && counted.last_packet.is_some_and(|at| now.since(at) <= self.stall);
        let limit = if waiting_for_key { self.stall.saturating_mul(GATED_STALL_FACTOR) } else { self.stall };
        let age = now.since(newest);
        if age > limit {
            return Verdict::Fault(Fault::Stalled { age, limit });
        }
        self.rate.observe(now, counted.frames);
        if self.rate.is_low() { Verdict::Degraded } else { Verdict::Streaming }
    }

    /// How long frames have come without a gap, up to the newest one.
    #[must_use]
    pub fn good_for(&self) -> Duration {
        match (self.good_since, self.newest) {
            (Some(since), Some(newest)) => newest.since(since),
            _ => Duration::ZERO,
        }
    }

    /// Frames per second over the last full bucket; absent until there is one.
    #[must_use]
    pub fn frames_per_s(&self) -> Option<f64> {
        self.rate.latest()
    }
}

/// Length of one bucket of the frame-rate history.
const BUCKET: Duration = Duration::from_secs(5);
/// Buckets kept: five minutes. A camera that sends fewer frames for good, as at night, is the new normal once half of
/// these are low.
const BUCKETS: usize = 60;
/// Low buckets in a row that make a stream degraded: 30 s.
const LOW_BUCKETS: u32 = 6;

/// Notices a stream that trickles: with every key frame lost, 0.8 of 15 frames a second still came and nothing was
/// reported.
#[derive(Debug, Default)]
struct RateFloor {
    bucket: Option<(Mono, u64)>,
    rates: VecDeque<f64>,
    low_run: u32,
}

impl RateFloor {
    fn observe(&mut self, now: Mono, frames: u64) {
        let Some((since, frames_before)) = self.bucket else {
            self.bucket = Some((now, frames));
            return;
        };
        let passed = now.since(since);
        if passed < BUCKET {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few thousand frames a bucket at most")]
        let rate = frames.saturating_sub(frames_before) as f64 / passed.as_secs_f64();
        let low = self.median().is_some_and(|median| rate < median * 0.5);
        self.low_run = if low { self.low_run.saturating_add(1) } else { 0 };
        if self.rates.len() == BUCKETS {
            self.rates.pop_front();
        }
        self.rates.push_back(rate);
        self.bucket = Some((now, frames));
    }

    fn median(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.rates.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn is_low(&self) -> bool {
        self.low_run >= LOW_BUCKETS
    }

    fn latest(&self) -> Option<f64> {
        self.rates.back().copied()
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
