//! The one thread that owns the store. Events to be journalled wait in a bounded ring and are never refused for a reason the
//! disk gives; everything else comes as a closure that is run on the thread between two batches.
//!
//! ```text
//!            append                      commit
//! (anyone) ---------> [ring] --batch--> Saving --------> on_committed, next batch
//!                        ^                 | storage error (full, read-only, I/O, busy)
//!                        |                 v
//!                        +--- put back -- Failed: give up the ballast if the disk is full, reopen after I/O errors,
//!                                         back off 50 ms ... 5 s, try the oldest events again
//! ```
//!
//! An event the store refuses for itself (same id, other content) is dropped, counted and logged, so that it cannot hold up
//! the events behind it.

use crate::disk::{Ballast, Space};
use crate::error::StoreError;
use crate::handle::{CommittedEvent, Job, Shared, StopReport, StorageState, StoreHandle};
use crate::journal::{Append, Appended};
use crate::open::Store;
use sekisho_logic::time::{Clock, Mono};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// While stopping, the back-off does not grow past this: there are only seconds left.
const STOPPING_RETRY: Duration = Duration::from_millis(100);

/// Sizes and paces of the store thread.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Events kept in memory while the disk refuses them. One is about 3 KiB, so 10 000 are 30 MiB: a day of alerts of a busy
    /// site. Beyond it the oldest goes and is counted.
    pub ring_max: usize,
    /// Requests that may wait; more are refused to whoever asks.
    pub jobs_max: usize,
    /// Events in one transaction. Larger ones save syncs but make the log, and with it the ballast, larger.
    pub batch_max: usize,
    /// Size of the ballast file beside the database, in bytes: at least twice the largest log. 0: none.
    pub ballast_bytes: u64,
    /// First wait after a failure; doubles up to `retry_max`.
    pub retry_first: Duration,
    /// Longest wait after a failure.
    pub retry_max: Duration,
    /// How often the room on the disk is looked at when nothing happens.
    pub tend_every: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            ring_max: 10_000,
            jobs_max: 256,
            batch_max: 64,
            // The log is checkpointed at 260 KiB; one batch of 64 events adds at most 1 MiB; doubled, and rounded up.
            ballast_bytes: 4 * 1024 * 1024,
            retry_first: Duration::from_millis(50),
            retry_max: Duration::from_secs(5),
            tend_every: Duration::from_secs(10),
        }
    }
}

type OnCommitted = Box<dyn FnMut(Vec<CommittedEvent>) + Send>;

/// Starts the thread.
#[derive(Debug)]
pub struct StoreThread;

impl StoreThread {
    /// Moves `store` to a thread of its own. `on_committed` is called there after each commit, with the events in the order
    /// committed; it must not block.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(
        store: Store,
        clock: Arc<dyn Clock>,
        settings: WorkerSettings,
        on_committed: impl FnMut(Vec<CommittedEvent>) + Send + 'static,
    ) -> std::io::Result<StoreHandle> {
        let ballast = (settings.ballast_bytes > 0).then(|| Ballast::beside(store.path(), settings.ballast_bytes));
        let shared = Arc::new(Shared::new(settings.ring_max, settings.jobs_max, clock));
        let now = shared.clock.now().mono;
        let worker = Worker {
            store,
            ballast,
            settings,
            on_committed: Box::new(on_committed),
            shared: Arc::clone(&shared),
            tries: 0,
            retry_at: None,
            tended: now,
            hurried: false,
        };
        std::thread::Builder::new().name("store".into()).spawn(move || worker.run())?;
        Ok(StoreHandle::new(shared))
    }
}

struct Worker {
    store: Store,
    ballast: Option<Ballast>,
    settings: WorkerSettings,
    on_committed: OnCommitted,
    shared: Arc<Shared>,
    /// Failed tries in a row.
    tries: u32,
    /// No try before this.
    retry_at: Option<Mono>,
    /// When the disk was last looked at.
    tended: Mono,
    /// Whether the first try after being told to stop has been made.
    hurried: bool,
}

/// Marks the thread as ended however it ends, so that nobody waits for it in vain.
struct Ended {
    shared: Arc<Shared>,
    closed: bool,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let mut inbox = self.shared.lock();
        // Dropping the jobs disconnects whoever waits for their answers.
        inbox.jobs.clear();
        let events_unsaved = inbox.ring.len() + inbox.in_flight.len();
        inbox.ended = Some(StopReport { events_unsaved, closed: self.closed });
        drop(inbox);
        self.shared.changed.notify_all();
    }
}

impl Worker {
    fn run(mut self) {
        let mut ended = Ended { shared: Arc::clone(&self.shared), closed: false };
        self.tend();
        while let Some((batch, jobs)) = self.next() {
            if batch > 0 {
                self.save();
            }
            for job in jobs {
                job(&mut self.store);
            }
            self.tend_when_due();
        }
        let path = self.store.path().to_path_buf();
        match self.store.close() {
            Ok(()) => ended.closed = true,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the database was not closed in order; nothing is lost")
            }
        }
    }

    /// Waits for something to do. `None`: stop. The batch stays visible in `in_flight`; its length is returned.
    fn next(&mut self) -> Option<(usize, Vec<Job>)> {
        let mut inbox = self.shared.lock();
        loop {
            let now = self.shared.clock.now().mono;
            let stopping = inbox.stop_by;
            if stopping.is_some() && !std::mem::replace(&mut self.hurried, true) {
                self.retry_at = None;
            }
            if stopping
                .is_some_and(|by| now >= by && (self.tries > 0 || inbox.ring.len() == 0) && inbox.jobs.is_empty())
            {
                return None;
            }
            let due = self.retry_at.is_none_or(|at| now >= at);
            let batch = if due { inbox.ring.take(self.settings.batch_max.max(1)) } else { Vec::new() };
            let jobs: Vec<Job> = inbox.jobs.drain(..).collect();
            if !batch.is_empty() || !jobs.is_empty() {
                let count = batch.len();
                inbox.in_flight = batch;
                return Some((count, jobs));
            }
            if stopping.is_some() && inbox.ring.len() == 0 {
                return None;
            }
            let retry_in = self.retry_at.filter(|_| inbox.ring.len() > 0).map(|at| at.since(now));
            let stop_in = stopping.map(|by| by.since(now));
            let wait = [retry_in, stop_in].into_iter().flatten().fold(self.settings.tend_every, Duration::min);
            // At least a millisecond, so that a clock that stands still cannot make this spin.
            let wait = wait.max(Duration::from_millis(1));
            let (woken, timeout) =
                self.shared.changed.wait_timeout(inbox, wait).unwrap_or_else(PoisonError::into_inner);
            inbox = woken;
            if timeout.timed_out() && inbox.stop_by.is_none() && inbox.ring.len() == 0 && inbox.jobs.is_empty() {
                return Some((0, Vec::new()));
            }
        }
    }

    /// Writes the batch in flight.
    fn save(&mut self) {
        let batch = self.shared.lock().in_flight.clone();
        match self.store.append_all(&batch) {
            Ok(appended) => self.committed(batch, &appended),
            Err(error) if error.is_storage() => self.failed(&error, batch),
            // One event of the batch is at fault: written one by one, it alone is lost.
            Err(_) => self.save_one_by_one(batch),
        }
    }

    fn save_one_by_one(&mut self, batch: Vec<Append>) {
        let mut rest = VecDeque::from(batch);
        while let Some(append) = rest.pop_front() {
            match self.store.append_all(std::slice::from_ref(&append)) {
                Ok(appended) => self.committed(vec![append], &appended),
                Err(error) if error.is_storage() => {
                    rest.push_front(append);
                    return self.failed(&error, rest.into());
                }
                Err(error) => {
                    tracing::error!(event = append.event.event_id(), %error, "an alert event was refused and is not journalled");
                    let mut inbox = self.shared.lock();
                    inbox.health.events_refused_total += 1;
                }
            }
        }
        self.shared.lock().in_flight.clear();
    }

    fn committed(&mut self, batch: Vec<Append>, appended: &[Appended]) {
        let recovered = std::mem::take(&mut self.tries) > 0;
        self.retry_at = None;
        let mut inbox = self.shared.lock();
        inbox.in_flight.clear();
        inbox.health.state = StorageState::Ok;
        inbox.health.events_committed_total += batch.len() as u64;
        let waiting = inbox.ring.len();
        drop(inbox);
        if recovered {
            tracing::info!(path = %self.store.path().display(), waiting, "the store takes writes again");
        }
        let events = batch.into_iter().zip(appended);
        (self.on_committed)(
            events.map(|(append, appended)| CommittedEvent { event: append.event, appended: *appended }).collect(),
        );
    }

    fn failed(&mut self, error: &StoreError, batch: Vec<Append>) {
        let now = self.shared.clock.now();
        self.tries = self.tries.saturating_add(1);
        let doublings = (self.tries - 1).min(16);
        let mut wait = self.settings.retry_first.saturating_mul(1 << doublings).min(self.settings.retry_max);
        if matches!(error, StoreError::DiskFull { .. }) && self.make_room() {
            wait = Duration::ZERO;
        }
        let mut inbox = self.shared.lock();
        if inbox.stop_by.is_some() {
            wait = wait.min(STOPPING_RETRY);
        }
        self.retry_at = Some(now.mono.plus(wait));
        inbox.in_flight.clear();
        let gone = inbox.ring.put_back(batch);
        let since = match inbox.health.state {
            StorageState::Failed { since, .. } => since,
            StorageState::Ok => now,
        };
        inbox.health.state = StorageState::Failed { since, tries: self.tries, cause: error.to_string() };
        let (waiting, dropped) = (inbox.ring.len(), inbox.ring.dropped_total());
        drop(inbox);
        if self.tries.is_power_of_two() {
            let next_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(%error, tries = self.tries, waiting, dropped, next_ms, "storage-failed: alert events wait in memory");
        } else if gone > 0 {
            tracing::debug!(gone, dropped, "alert events dropped from the full ring");
        }
    }

    /// Gives up the ballast and folds the log back. Returns whether there was anything to give up.
    fn make_room(&mut self) -> bool {
        let released = match self.ballast.as_ref().map(Ballast::release) {
            Some(Ok(released)) => released,
            Some(Err(error)) => {
                tracing::warn!(%error, "the ballast could not be given up");
                false
            }
            None => false,
        };
        if released {
            tracing::warn!(path = %self.store.path().display(), "the disk is full; the reserve was given up, free some space soon");
            if let Err(error) = self.store.checkpoint() {
                tracing::warn!(%error, "the log could not be folded back after room was made");
            }
        }
        self.measure();
        released
    }

    fn tend_when_due(&mut self) {
        let now = self.shared.clock.now().mono;
        if now.since(self.tended) >= self.settings.tend_every {
            self.tended = now;
            self.tend();
        }
    }

    /// Looks at the room on the disk and puts the ballast back when there is plenty.
    fn tend(&mut self) {
        let space = self.measure();
        let Some(ballast) = self.ballast.as_ref().filter(|ballast| self.tries == 0 && !ballast.is_there()) else {
            return;
        };
        // Twice its size must be left beside it: otherwise the ballast itself would be what fills the disk.
        if space.is_some_and(|space| space.free_bytes >= ballast.size_bytes().saturating_mul(3)) {
            if let Err(error) = ballast.fill() {
                tracing::warn!(%error, "no room could be set aside for a full disk");
            }
            self.measure();
        }
    }

    fn measure(&mut self) -> Option<Space> {
        let space = self.store.space().ok();
        let mut inbox = self.shared.lock();
        inbox.health.space = space;
        inbox.health.disk = space.map(Space::level);
        inbox.health.ballast = self.ballast.as_ref().is_some_and(Ballast::is_there);
        space
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
