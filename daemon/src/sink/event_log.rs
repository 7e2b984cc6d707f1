//! A file with one JSON object a line.
//!
//! Lines are written and synced before the outbox is told, so a crash in between writes a line twice, under the same
//! `id`; it never loses one.

use crate::notify::Beat;
use crate::status::wire;
use sekisho_logic::record::AlertEvent;
use sekisho_logic::time::Clock;
use sekisho_store::{JobRefused, OutboxItem, RetryPolicy, StoreError, StoreHandle};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events in one write: large enough that the sync is shared, small enough that a repeat after a crash is short.
const BATCH_MAX: u32 = 256;

/// How often the outbox is looked at when nobody woke us: for retries that have become due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A running event log.
#[derive(Debug)]
pub struct EventLog {
    name: String,
    wake: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Wake {
    Look,
    Stop,
}

struct Worker {
    name: String,
    path: PathBuf,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    beat: Beat,
    failing: bool,
}

impl EventLog {
    /// Starts writing what the outbox holds for the sink `name`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(name: &str, path: &Path, store: StoreHandle, clock: Arc<dyn Clock>, beat: Beat) -> io::Result<Self> {
        let (wake, wakes) = sync_channel(1);
        let worker = Worker { name: name.to_owned(), path: path.to_owned(), store, clock, beat, failing: false };
        let thread = std::thread::Builder::new().name(format!("sink-{name}")).spawn(move || worker.run(&wakes))?;
        Ok(Self { name: name.to_owned(), wake, thread: Some(thread) })
    }

    /// A hand that can wake it from anywhere.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static {
        let wake = self.wake.clone();
        move || {
            let _waiting = wake.try_send(Wake::Look);
        }
    }

    /// Writes what there is and ends.
    pub fn stop(mut self) {
        // A send that fails means the thread is gone, which is what is wanted.
        let _gone = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("sink {}: its thread panicked; what it had not delivered stays in the outbox", self.name);
        }
    }
}

impl Worker {
    fn run(mut self, wakes: &Receiver<Wake>) {
        loop {
            self.beat.beat(self.clock.now().mono);
            while self.deliver() {
                self.beat.beat(self.clock.now().mono);
            }
            match wakes.recv_timeout(LOOK_EVERY) {
                Ok(Wake::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        while self.deliver() {}
    }

    /// Delivers one batch; whether there may be more.
    fn deliver(&mut self) -> bool {
        let (name, now) = (self.name.clone(), self.clock.now().wall);
        let asked = self.store.call(move |store| store.pending(&name, now, &RetryPolicy::default(), BATCH_MAX));
        let items = match flat(asked) {
            Ok(items) if items.is_empty() => return false,
            Ok(items) => items,
            Err(error) => {
                tracing::debug!("sink {}: the outbox cannot be read now: {error}", self.name);
                return false;
            }
        };
        match self.write(&items) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("sink {}: {} takes events again", self.name, self.path.display());
                }
                self.mark(&items)
            }
            Err(error) => {
                self.note_failure(&items, &error);
                false
            }
        }
    }

    fn write(&self, items: &[OutboxItem]) -> io::Result<()> {
        let mut lines = Vec::new();
        for item in items {
            write_line(&mut lines, &item.event)?;
        }
        // Opened anew for each batch, so that a log rotated away by name is simply made again.
        let fresh = !self.path.exists();
        let mut file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
        file.write_all(&lines)?;
        file.sync_data()?;
        if fresh && let Some(directory) = self.path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(())
    }

    fn mark(&self, items: &[OutboxItem]) -> bool {
        let ids: Vec<_> = items.iter().map(|item| item.event.event_id()).collect();
        let (name, now) = (self.name.clone(), self.clock.now().wall);
        match flat(self.store.call(move |store| store.mark_delivered(&name, &ids, now))) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(
                    "sink {}: {} events were written but not ticked off ({error}); they will be written again",
                    self.name,
                    items.len()
                );
                false
            }
        }
    }

    fn note_failure(&mut self, items: &[OutboxItem], error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(
                "sink {}: {}: {error}; events stay in the outbox and are tried again",
                self.name,
                self.path.display()
            );
        }
        let ids: Vec<_> = items.iter().map(|item| item.event.event_id()).collect();
        let (name, now, why) = (self.name.clone(), self.clock.now().wall, error.to_string());
        let noted = flat(self.store.call(move |store| {
            ids.iter().try_for_each(|id| store.mark_failed(&name, id, &why, now, &RetryPolicy::default()).map(drop))
        }));
        if let Err(error) = noted {
            tracing::debug!("sink {}: the failure could not be noted: {error}", self.name);
        }
    }
}

/// Writes an event as its line of the log; a replay writes the same.
///
/// # Errors
/// What the writer said.
pub fn write_line(mut to: impl io::Write, event: &AlertEvent) -> io::Result<()> {
    serde_json::to_writer(&mut to, &wire::event(event))?;
    to.write_all(b"\n")
}

/// Both ways in which the store can say no, as one sentence.
fn flat<T>(asked: Result<Result<T, StoreError>, JobRefused>) -> Result<T, String> {
    asked.map_err(|refused| refused.to_string())?.map_err(|error| error.to_string())
}
