//! What others hold of the store thread: a handle that never waits for the disk unless asked to.

use crate::disk::{DiskLevel, Space};
use crate::journal::{Append, Appended};
use crate::open::Store;
use crate::ring::Ring;
use sekisho_logic::record::AlertEvent;
use sekisho_logic::time::{Clock, Mono, Now};
use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An event that is safely in the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedEvent {
    /// The event.
    pub event: AlertEvent,
    /// Its place, and whether it was there before.
    pub appended: Appended,
}

/// Whether events reach the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageState {
    /// The last batch was committed.
    Ok,
    /// They wait in memory (`storage-failed`).
    Failed {
        /// Since when, on both clocks.
        since: Now,
        /// Failed tries since then.
        tries: u32,
        /// What the last one said.
        cause: String,
    },
}

/// The store thread, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreHealth {
    /// Whether events reach the disk.
    pub state: StorageState,
    /// Events in memory only.
    pub events_waiting: usize,
    /// Requests waiting.
    pub jobs_waiting: usize,
    /// Events committed.
    pub events_committed_total: u64,
    /// Events that went because the ring was full.
    pub events_dropped_total: u64,
    /// Events the store refused for themselves.
    pub events_refused_total: u64,
    /// Requests refused because too many waited.
    pub jobs_refused_total: u64,
    /// Step of the disk ladder; absent until it was measured, or when it cannot be.
    pub disk: Option<DiskLevel>,
    /// Room on the disk, when measured.
    pub space: Option<Space>,
    /// Whether the ballast is in place.
    pub ballast: bool,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobRefused {
    /// Too many wait already. Try again.
    #[error("the store is busy; try again")]
    Full,
    /// The store has been stopped.
    #[error("the store is stopped")]
    Stopped,
}

/// How the thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Events that were still in memory only, and are lost with the process.
    pub events_unsaved: usize,
    /// Whether the log was folded back and the file closed.
    pub closed: bool,
}

pub(crate) type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Asks the store thread; clones share it. When the last one goes without [`stop`](Self::stop), the thread makes one try to
/// save what waits, and ends.
#[derive(Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
    #[expect(dead_code, reason = "held for its Drop")]
    alive: Arc<Alive>,
}

struct Alive {
    shared: Arc<Shared>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        let now = self.shared.clock.now().mono;
        self.shared.lock().stop_by.get_or_insert(now);
        self.shared.changed.notify_all();
    }
}

impl StoreHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { alive: Arc::new(Alive { shared: Arc::clone(&shared) }), shared }
    }

    /// Hands an event over. Never waits and never fails for the disk: it is safe once `on_committed` has named it.
    ///
    /// # Errors
    /// [`JobRefused::Stopped`] once the store is being stopped; the event is then not taken.
    pub fn append(&self, append: Append) -> Result<(), JobRefused> {
        let mut inbox = self.shared.lock();
        if inbox.stop_by.is_some() || inbox.ended.is_some() {
            return Err(JobRefused::Stopped);
        }
        if let Some(dropped) = inbox.ring.push(append) {
            log_dropped(&dropped, inbox.ring.dropped_total());
        }
        drop(inbox);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Has `job` run on the store thread; returns at once. An async caller sends the answer through a oneshot of its own.
    ///
    /// # Errors
    /// [`JobRefused`].
    pub fn submit(&self, job: impl FnOnce(&mut Store) + Send + 'static) -> Result<(), JobRefused> {
        let mut inbox = self.shared.lock();
        if inbox.stop_by.is_some() || inbox.ended.is_some() {
            return Err(JobRefused::Stopped);
        }
        if inbox.jobs.len() >= self.shared.jobs_max {
            inbox.health.jobs_refused_total += 1;
            return Err(JobRefused::Full);
        }
        inbox.jobs.push_back(Box::new(job));
        drop(inbox);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Has `question` run on the store thread; the answer comes through the receiver.
    ///
    /// # Errors
    /// [`JobRefused`]. The receiver reports a disconnection when the store stops before the answer.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<Receiver<T>, JobRefused> {
        let (answer, receiver) = mpsc::sync_channel(1);
        self.submit(move |store| {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(question(store));
        })?;
        Ok(receiver)
    }

    /// Has `question` run on the store thread and waits for the answer. Not for async code, nor for the store thread itself.
    ///
    /// # Errors
    /// [`JobRefused`].
    pub fn call<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Result<T, JobRefused> {
        self.ask(question)?.recv().map_err(|_| JobRefused::Stopped)
    }

    /// How it goes.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        let inbox = self.shared.lock();
        StoreHealth {
            events_waiting: inbox.ring.len() + inbox.in_flight.len(),
            jobs_waiting: inbox.jobs.len(),
            events_dropped_total: inbox.ring.dropped_total(),
            ..inbox.health.clone()
        }
    }

    /// The oldest events that are in memory only, at most `limit`: what a sink can still be given while the disk refuses.
    #[must_use]
    pub fn unsaved(&self, limit: usize) -> Vec<AlertEvent> {
        let inbox = self.shared.lock();
        inbox.in_flight.iter().chain(inbox.ring.iter()).take(limit).map(|append| append.event.clone()).collect()
    }

    /// Takes no more, saves what waits, answers what was asked, folds the log back and closes the file; gives up `within`
    /// this time.
    #[must_use]
    pub fn stop(&self, within: Duration) -> StopReport {
        let now = self.shared.clock.now().mono;
        let mut inbox = self.shared.lock();
        inbox.stop_by = Some(now.plus(within));
        self.shared.changed.notify_all();
        // The thread keeps to the deadline between two calls of SQLite; half a second more lets the last one return.
        let patience = within + Duration::from_millis(500);
        inbox = self
            .shared
            .changed
            .wait_timeout_while(inbox, patience, |inbox| inbox.ended.is_none())
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        let unsaved = inbox.ring.len() + inbox.in_flight.len();
        inbox.ended.unwrap_or(StopReport { events_unsaved: unsaved, closed: false })
    }
}

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreHandle").field("health", &self.health()).finish_non_exhaustive()
    }
}

pub(crate) struct Inbox {
    pub(crate) ring: Ring<Append>,
    /// The batch being written, so that it counts as waiting and can be seen.
    pub(crate) in_flight: Vec<Append>,
    pub(crate) jobs: VecDeque<Job>,
    /// Stop, at the latest then.
    pub(crate) stop_by: Option<Mono>,
    pub(crate) ended: Option<StopReport>,
    pub(crate) health: StoreHealth,
}

pub(crate) struct Shared {
    pub(crate) inbox: Mutex<Inbox>,
    pub(crate) changed: Condvar,
    jobs_max: usize,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Shared {
    pub(crate) fn new(ring_max: usize, jobs_max: usize, clock: Arc<dyn Clock>) -> Self {
        let health = StoreHealth {
            state: StorageState::Ok,
            events_waiting: 0,
            jobs_waiting: 0,
            events_committed_total: 0,
            events_dropped_total: 0,
            events_refused_total: 0,
            jobs_refused_total: 0,
            disk: None,
            space: None,
            ballast: false,
        };
        let inbox = Inbox {
            ring: Ring::new(ring_max),
            in_flight: Vec::new(),
            jobs: VecDeque::new(),
            stop_by: None,
            ended: None,
            health,
        };
        Self { inbox: Mutex::new(inbox), changed: Condvar::new(), jobs_max: jobs_max.max(1), clock }
    }

    /// A panic elsewhere leaves the queue itself whole, so the lock is taken over.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_dropped(dropped: &Append, total: u64) {
    // The first, then at every doubling: a full ring loses an event with each new one.
    if total.is_power_of_two() {
        let event = dropped.event.event_id();
        tracing::error!(
            event,
            total,
            "an alert event was dropped: the disk refuses writes and the memory ring is full"
        );
    }
}
