//! One slot per camera between the decoder's thread and the vision worker: the newest frame wins, what it replaces is
//! counted. A [`Signal`] lets one worker wait for any of its cameras.
//!
//! ```text
//! decoder of gate --put--> Slot(gate) --\
//!                                        Signal --wait--> one vision worker --take--> Frame
//! decoder of yard --put--> Slot(yard) --/
//! ```

use crate::frame::{Decoded, Frame, UnmappableFrame};
use sekisho_logic::id::CameraId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Rings when any of the slots that share it receives a frame.
#[derive(Debug, Default)]
pub struct Signal {
    rung_total: Mutex<u64>,
    ring: Condvar,
}

impl Signal {
    /// A signal nobody has rung yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How often it rang so far. Read it before looking into the slots and hand it to [`wait`](Self::wait): a frame
    /// that arrives in between is then not slept through.
    #[must_use]
    pub fn rung_total(&self) -> u64 {
        *unpoisoned(self.rung_total.lock())
    }

    /// Returns at once when it rang since `seen`, else sleeps until it rings or `timeout` has passed. Gives the count
    /// to pass the next time.
    #[must_use]
    pub fn wait(&self, seen: u64, timeout: Duration) -> u64 {
        let guard = unpoisoned(self.rung_total.lock());
        let (guard, _) =
            self.ring.wait_timeout_while(guard, timeout, |rung| *rung == seen).unwrap_or_else(PoisonError::into_inner);
        *guard
    }

    /// Wakes whoever waits; also used to make a worker notice that it shall stop.
    pub fn ring(&self) {
        *unpoisoned(self.rung_total.lock()) += 1;
        self.ring.notify_all();
    }
}

/// The mailbox of one camera. It holds at most one frame, so a slow worker costs one frame of memory per camera and is
/// always given the newest picture.
#[derive(Debug)]
pub struct Slot {
    camera: CameraId,
    newest: Mutex<Option<Decoded>>,
    superseded_total: AtomicU64,
    signal: Arc<Signal>,
}

impl Slot {
    /// An empty slot for `camera` that rings `signal`.
    #[must_use]
    pub fn new(camera: CameraId, signal: Arc<Signal>) -> Arc<Self> {
        Arc::new(Self { camera, newest: Mutex::new(None), superseded_total: AtomicU64::new(0), signal })
    }

    /// Whose frames these are.
    #[must_use]
    pub const fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// Leaves a frame, replacing and counting one that nobody took.
    pub(crate) fn put(&self, frame: Decoded) {
        let replaced = unpoisoned(self.newest.lock()).replace(frame);
        if replaced.is_some() {
            self.superseded_total.fetch_add(1, Ordering::Relaxed);
        }
        self.signal.ring();
        // `replaced` is freed here, outside the lock: giving a buffer back to its pool may take a while.
    }

    /// Takes the newest frame, if there is one nobody took. Only now is its memory mapped.
    ///
    /// # Errors
    /// [`UnmappableFrame`] when the picture is not what its caps say; the frame is gone then.
    pub fn take(&self) -> Option<Result<Frame, UnmappableFrame>> {
        let taken = unpoisoned(self.newest.lock()).take();
        taken.map(Decoded::map)
    }

    /// Frames that were replaced before anybody took them.
    #[must_use]
    pub fn superseded_total(&self) -> u64 {
        self.superseded_total.load(Ordering::Relaxed)
    }

    /// Drops a frame nobody took, because its camera was stopped or rebuilt.
    pub(crate) fn clear(&self) {
        let dropped = unpoisoned(self.newest.lock()).take();
        drop(dropped);
    }
}

/// A mutex is poisoned when a holder panicked; the data guarded here is valid after every single assignment.
pub(crate) fn unpoisoned<T>(lock: std::sync::LockResult<MutexGuard<'_, T>>) -> MutexGuard<'_, T> {
    lock.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::tests::decoded;

    fn slot(signal: &Arc<Signal>) -> Arc<Slot> {
        Slot::new(CameraId::try_new("gate").expect("a name"), signal.clone())
    }

    #[test]
    fn newest_frame_wins_and_the_others_are_counted() {
        let slot = slot(&Signal::new());
        for sequence in 1..=5 {
            slot.put(decoded(sequence, 64, 48));
        }
        let frame = slot.take().expect("a frame").expect("mappable");
        assert_eq!(frame.stamp().sequence, 5);
        assert_eq!(slot.superseded_total(), 4);
        assert!(slot.take().is_none(), "a frame is given out once");
    }

    #[test]
    fn a_frame_between_looking_and_waiting_is_not_slept_through() {
        let signal = Signal::new();
        let (gate, yard) = (slot(&signal), slot(&signal));
        let seen = signal.rung_total();
        assert!(gate.take().is_none() && yard.take().is_none());
        yard.put(decoded(1, 64, 48));
        assert_eq!(signal.wait(seen, Duration::from_secs(60)), seen + 1);
    }

    #[test]
    fn one_worker_hears_any_of_its_cameras() {
        let signal = Signal::new();
        let yard = slot(&signal);
        let seen = signal.rung_total();
        let putter = std::thread::spawn(move || yard.put(decoded(1, 64, 48)));
        assert!(signal.wait(seen, Duration::from_secs(60)) > seen);
        putter.join().expect("the putter ends");
    }

    #[test]
    fn waiting_ends_at_the_timeout() {
        let signal = Signal::new();
        assert_eq!(signal.wait(signal.rung_total(), Duration::from_millis(5)), 0);
    }
}
