//! What the service manager is told, and the watchdog that only a daemon whose every part has moved may feed.

use sd_notify::NotifyState;
use sekisho_logic::time::Mono;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// One part of the daemon that must keep moving.
#[derive(Debug)]
struct Part {
    name: String,
    moved_ms: AtomicU64,
    gone: AtomicBool,
}

/// Knows when each part last moved.
#[derive(Debug, Default)]
pub struct Pulse {
    parts: Mutex<Vec<std::sync::Arc<Part>>>,
}

/// A part's hand on the pulse.
#[derive(Debug)]
pub struct Beat(std::sync::Arc<Part>);

impl Beat {
    /// This part is alive.
    pub fn beat(&self, at: Mono) {
        self.0.moved_ms.store(at.as_millis(), Ordering::Relaxed);
    }
}

/// A part that ended in order is not stuck.
impl Drop for Beat {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Relaxed);
    }
}

impl Pulse {
    /// Registers a part. It counts as moved at `at`.
    pub fn register(&self, name: &str, at: Mono) -> Beat {
        let part = std::sync::Arc::new(Part {
            name: name.to_owned(),
            moved_ms: AtomicU64::new(at.as_millis()),
            gone: AtomicBool::new(false),
        });
        if let Ok(mut parts) = self.parts.lock() {
            parts.retain(|part| !part.gone.load(Ordering::Relaxed));
            parts.push(std::sync::Arc::clone(&part));
        }
        Beat(part)
    }

    /// Parts that have not moved for longer than `limit`.
    #[must_use]
    pub fn stuck(&self, at: Mono, limit: Duration) -> Vec<String> {
        let Ok(parts) = self.parts.lock() else { return vec!["pulse".into()] };
        let moved = |part: &Part| Mono::from_millis(part.moved_ms.load(Ordering::Relaxed));
        let here = parts.iter().filter(|part| !part.gone.load(Ordering::Relaxed));
        here.filter(|part| at.since(moved(part)) > limit).map(|part| part.name.clone()).collect()
    }
}

/// Tells the service manager something; without one nothing happens.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("service manager could not be told: {error}");
    }
}

/// The interval the service manager wants to hear from us in, if it watches.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_stopped_is_named() {
        let pulse = Pulse::default();
        let vision = pulse.register("vision-0", Mono::from_millis(1000));
        let _store = pulse.register("store", Mono::from_millis(1000));
        vision.beat(Mono::from_millis(12_000));
        assert_eq!(pulse.stuck(Mono::from_millis(12_500), Duration::from_secs(10)), ["store"]);
        assert!(pulse.stuck(Mono::from_millis(10_500), Duration::from_secs(10)).is_empty());
        drop(vision);
        assert_eq!(
            pulse.stuck(Mono::from_millis(99_000), Duration::from_secs(10)),
            ["store"],
            "one that ended is not stuck"
        );
    }
}
