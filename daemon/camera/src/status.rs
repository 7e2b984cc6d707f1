//! What a camera says about itself: counts, ages and sentences, no secrets.

use crate::codec::Codec;
use crate::slot::unpoisoned;
use sekisho_logic::time::Mono;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where a camera stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameraState {
    /// An attempt is under way, no frame yet.
    Connecting,
    /// Frames come.
    Streaming,
    /// Frames come, but for half a minute fewer than half as many as usual.
    Degraded,
    /// Pictures stopped while the connection stood; it is being rebuilt.
    Stalled,
    /// Waiting before the next attempt.
    BackingOff,
    /// The password was refused; held so that the camera does not lock the account.
    AuthHold,
    /// Something only a person can mend; looked at again every five minutes.
    BadConfig,
    /// A clip that plays once is over.
    Ended,
    /// Stopped on request.
    Stopped,
}

impl CameraState {
    /// Every state, for tables and metrics.
    pub const ALL: [Self; 9] = [
        Self::Connecting,
        Self::Streaming,
        Self::Degraded,
        Self::Stalled,
        Self::BackingOff,
        Self::AuthHold,
        Self::BadConfig,
        Self::Ended,
        Self::Stopped,
    ];

    /// The word in status, metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Streaming => "streaming",
            Self::Degraded => "degraded",
            Self::Stalled => "stalled",
            Self::BackingOff => "backing-off",
            Self::AuthHold => "auth-hold",
            Self::BadConfig => "bad-config",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
        }
    }
}

/// A camera at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraStatus {
    /// Where it stands.
    pub state: CameraState,
    /// Age of the newest decoded frame, in milliseconds; absent before the first.
    pub last_frame_age_ms: Option<u64>,
    /// Coding of the current or last connection.
    pub codec: Option<Codec>,
    /// The element that decodes it.
    pub decoder: Option<String>,
    /// Width in pixels of the newest frame.
    pub width: Option<u32>,
    /// Height in pixels of the newest frame.
    pub height: Option<u32>,
    /// Decoded frames per second over the last 5 s; absent before that.
    pub frames_per_s: Option<f64>,
    /// Faults since the start, by reason; each is one reconnection.
    pub reconnects_total: BTreeMap<&'static str, u64>,
    /// Frames decoded since the start.
    pub frames_decoded_total: u64,
    /// Frames replaced in the slot before anybody took them.
    pub frames_superseded_total: u64,
    /// Frames that did not pass because a packet was lost before them.
    pub frames_gated_loss_total: u64,
    /// RTP packets that never came.
    pub packets_lost_total: u64,
    /// Messages of GStreamer that were dropped because the supervisor had 64 unread ones.
    pub notices_dropped_total: u64,
    /// Pipelines whose tear-down took longer than its deadline; each may hold a thread for ever.
    pub teardowns_stuck_total: u64,
    /// The last fault and what happens next, in one sentence.
    pub last_error: Option<String>,
    /// The last fault alone, for whoever does not wait for what happens next.
    pub last_fault: Option<String>,
    /// Milliseconds until the next attempt, while waiting.
    pub next_attempt_ms: Option<u64>,
}

/// What the picture is like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Picture {
    pub(crate) codec: Option<Codec>,
    pub(crate) decoder: Option<String>,
    pub(crate) size: Option<(u32, u32)>,
}

/// What the supervisor last said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) state: CameraState,
    pub(crate) frames_per_s: Option<f64>,
    pub(crate) reconnects_total: BTreeMap<&'static str, u64>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_fault: Option<String>,
    pub(crate) next_attempt: Option<Mono>,
}

/// Written by the camera's threads, read by whoever asks.
#[derive(Debug)]
pub(crate) struct Gauges {
    /// Nanoseconds on the monotonic clock plus one; 0 stands for never.
    pub(crate) last_frame_ns: AtomicU64,
    pub(crate) frames_decoded_total: AtomicU64,
    pub(crate) frames_gated_loss_total: AtomicU64,
    pub(crate) packets_lost_total: AtomicU64,
    pub(crate) notices_dropped_total: AtomicU64,
    pub(crate) teardowns_stuck_total: AtomicU64,
    pub(crate) picture: Mutex<Picture>,
    pub(crate) said: Mutex<Said>,
}

impl Default for Gauges {
    fn default() -> Self {
        Self {
            last_frame_ns: AtomicU64::new(0),
            frames_decoded_total: AtomicU64::new(0),
            frames_gated_loss_total: AtomicU64::new(0),
            packets_lost_total: AtomicU64::new(0),
            notices_dropped_total: AtomicU64::new(0),
            teardowns_stuck_total: AtomicU64::new(0),
            picture: Mutex::default(),
            said: Mutex::new(Said {
                state: CameraState::Connecting,
                frames_per_s: None,
                reconnects_total: BTreeMap::new(),
                last_error: None,
                last_fault: None,
                next_attempt: None,
            }),
        }
    }
}

impl Gauges {
    /// Everything together. "Streaming" is claimed only while the newest frame is younger than twice `stall`, whatever
    /// the supervisor last said: it may itself be stuck.
    pub(crate) fn status(&self, now: Mono, stall: Duration, frames_superseded_total: u64) -> CameraStatus {
        let said = unpoisoned(self.said.lock()).clone();
        let picture = unpoisoned(self.picture.lock()).clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let age = count(&self.last_frame_ns).checked_sub(1).map(|ns| now.since(Mono::from_nanos(ns)));
        let is_old = age.is_none_or(|age| age > stall.saturating_mul(2));
        let state = match said.state {
            CameraState::Streaming | CameraState::Degraded if is_old => CameraState::Stalled,
            state => state,
        };
        CameraStatus {
            state,
            last_frame_age_ms: age.map(millis),
            codec: picture.codec,
            decoder: picture.decoder,
            width: picture.size.map(|(width, _)| width),
            height: picture.size.map(|(_, height)| height),
            frames_per_s: said.frames_per_s,
            reconnects_total: said.reconnects_total,
            frames_decoded_total: count(&self.frames_decoded_total),
            frames_superseded_total,
            frames_gated_loss_total: count(&self.frames_gated_loss_total),
            packets_lost_total: count(&self.packets_lost_total),
            notices_dropped_total: count(&self.notices_dropped_total),
            teardowns_stuck_total: count(&self.teardowns_stuck_total),
            last_error: said.last_error,
            last_fault: said.last_fault,
            next_attempt_ms: said.next_attempt.map(|at| millis(at.since(now))),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streaming_is_not_claimed_on_an_old_frame() {
        let gauges = Gauges::default();
        let stall = Duration::from_secs(5);
        unpoisoned(gauges.said.lock()).state = CameraState::Streaming;
        gauges.last_frame_ns.store(Mono::from_millis(1_000).as_nanos() + 1, Ordering::Relaxed);
        assert_eq!(gauges.status(Mono::from_millis(11_000), stall, 0).state, CameraState::Streaming);
        let late = gauges.status(Mono::from_millis(11_001), stall, 0);
        assert_eq!((late.state, late.last_frame_age_ms), (CameraState::Stalled, Some(10_001)));
    }

    #[test]
    fn every_state_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = CameraState::ALL.iter().map(|state| state.as_str()).collect();
        assert_eq!(words.len(), CameraState::ALL.len());
    }
}
