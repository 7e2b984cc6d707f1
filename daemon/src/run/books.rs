//! The thread that keeps the daemon's books: signs the audit trail's head, watches the clock, gives up audit rows past their
//! time.
//!
//! ```text
//! start, every hour, every thousand rows, stop -> checkpoint -> database, audit-checkpoints.ndjson, once a day the log
//! every second -> has the wall clock been moved, does the system vouch for it
//! every ten minutes -> audit rows past [retention] audit-days, guarded like pictures against a wrong clock
//! ```

use crate::books::checkpoints;
use crate::clock;
use crate::config::Settings;
use crate::evidence::retention::{Purge, Retention, Stock};
use crate::notify::Beat;
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_store::{Checkpoint, Signed, Store, StoreError, StoreHandle};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Beat's sisters wait seconds; a checkpoint an hour is what an auditor can still lay beside other logs.
const SIGN_EVERY: Duration = Duration::from_secs(3600);
/// So many rows are signed without waiting for the hour: a storm of alerts, or somebody at work in the trail.
const SIGN_ROWS: i64 = 1000;
/// How often rows are counted, and rows past their time are looked for.
const COUNT_EVERY: Duration = Duration::from_secs(60);
const TEND_EVERY: Duration = Duration::from_secs(600);
/// The head is said in the log so often, for sites that ship their logs elsewhere.
const SAY_EVERY: Duration = Duration::from_secs(86_400);
/// Network time corrects by less; what is more is a step that somebody must know of.
const STEP_MS_MIN: u64 = 60_000;

/// What the thread works with.
pub struct Books {
    /// The store.
    pub store: StoreHandle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub settings: Arc<RwLock<Settings>>,
    /// Set to end.
    pub stop: Arc<AtomicBool>,
    /// Its hand on the pulse.
    pub beat: Beat,
}

/// What it remembers.
struct Memory {
    ledger: Ledger,
    signed: Mono,
    counted: Mono,
    tended: Mono,
    last: Now,
    vouched: Option<bool>,
    retention: Retention,
}

impl Books {
    /// Runs until told to stop. The last checkpoint is made by whoever stops the store, after the last row.
    pub fn run(self) {
        let now = self.clock.now();
        let file = checkpoints::file(&self.settings());
        let mut memory = Memory {
            ledger: Ledger::open(file),
            signed: now.mono,
            counted: now.mono,
            tended: now.mono,
            last: now,
            vouched: Some(true),
            retention: Retention::default(),
        };
        memory.ledger.sign(&self.store, now);
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(LOOK_EVERY);
            let now = self.clock.now();
            self.beat.beat(now.mono);
            self.watch_clock(&mut memory, now);
            let hour = now.mono.since(memory.signed) >= SIGN_EVERY;
            if hour || (now.mono.since(memory.counted) >= COUNT_EVERY && self.many_rows(&mut memory, now)) {
                memory.signed = now.mono;
                memory.ledger.sign(&self.store, now);
            }
            if now.mono.since(memory.tended) >= TEND_EVERY {
                memory.tended = now.mono;
                self.give_up(&mut memory, now);
            }
        }
    }

    fn settings(&self) -> Settings {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn many_rows(&self, memory: &mut Memory, now: Now) -> bool {
        memory.counted = now.mono;
        matches!(self.store.call(Store::unsigned_rows), Ok(Ok(rows)) if rows >= SIGN_ROWS)
    }

    fn watch_clock(&self, memory: &mut Memory, now: Now) {
        let went = i64::try_from(now.mono.since(memory.last.mono).as_millis()).unwrap_or(i64::MAX);
        let by = now.wall.0.saturating_sub(memory.last.wall.0).saturating_sub(went);
        let before = std::mem::replace(&mut memory.last, now);
        if by.unsigned_abs() > STEP_MS_MIN {
            tracing::warn!("the wall clock was moved by {} s; nothing is erased until it has been steady", by / 1000);
            let detail = json!({ "by-ms": by, "from": before.wall.to_rfc3339(), "to": now.wall.to_rfc3339() });
            self.note("clock-step", detail, now.wall);
        }
        let vouched = clock::synchronised();
        if vouched.is_some() && vouched != memory.vouched {
            let action = if vouched == Some(true) { "clock-synchronised" } else { "clock-unsynchronised" };
            self.note(action, json!({}), now.wall);
            memory.vouched = vouched;
        }
    }

    fn note(&self, action: &'static str, detail: serde_json::Value, now: WallMs) {
        audit(&self.store, action, None, detail, now);
    }

    /// Gives up audit rows past their time. The guard against a wrong clock is the one of the pictures.
    fn give_up(&self, memory: &mut Memory, now: Now) {
        let keep = i64::try_from(self.settings().retention.audit.as_millis()).unwrap_or(i64::MAX);
        let before = WallMs(now.wall.0.saturating_sub(keep));
        let Ok(Ok((rows, due))) = self.store.call(move |store| store.audit_stock(before)) else { return };
        match memory.retention.look(now, clock::synchronised(), Stock { kept: rows, due }) {
            Purge::Nothing | Purge::Held(_) => {}
            Purge::Go => {
                let done = self.store.call(move |store| {
                    let mut gone = 0;
                    loop {
                        match store.audit_forget(before, now.wall)? {
                            0 => return Ok::<_, StoreError>(gone),
                            some => gone += some,
                        }
                    }
                });
                match done {
                    Ok(Ok(gone)) => tracing::info!("{gone} audit rows past their time were given up"),
                    Ok(Err(error)) => tracing::error!("audit rows past their time stay: {error}"),
                    Err(_) => {}
                }
            }
        }
    }
}

/// Writes an audit row of the daemon; a failure is logged, the store itself says the rest.
pub fn audit(
    store: &StoreHandle,
    action: &'static str,
    subject: Option<String>,
    detail: serde_json::Value,
    now: WallMs,
) {
    match store.call(move |store| store.audit(now, "daemon", action, subject.as_deref(), detail)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("the audit row {action} was not written: {error}"),
        Err(error) => tracing::warn!("the audit row {action} was not written: {error}"),
    }
}

/// The checkpoints as this daemon makes them.
#[derive(Debug)]
pub struct Ledger {
    file: PathBuf,
    known: Option<Checkpoint>,
    said: Option<Mono>,
    broken: bool,
}

impl Ledger {
    /// Continues the file of checkpoints: what stands there last must still be true.
    #[must_use]
    pub fn open(file: PathBuf) -> Self {
        let known =
            checkpoints::read(&file).ok().and_then(|kept| kept.checkpoints.into_iter().max_by_key(|one| one.seq));
        Self { file, known, said: None, broken: false }
    }

    /// Has the head signed and puts it into the file.
    pub fn sign(&mut self, store: &StoreHandle, now: Now) {
        let known = self.known.clone();
        match store.call(move |store| store.audit_checkpoint(known.as_ref(), now.wall)) {
            Ok(Ok(Signed::New(checkpoint))) => {
                if let Err(error) = checkpoints::append(&self.file, &checkpoint) {
                    tracing::warn!("{}: {error}; the checkpoint is in the database alone", self.file.display());
                }
                if self.said.is_none_or(|said| now.mono.since(said) >= SAY_EVERY) {
                    self.said = Some(now.mono);
                    let Checkpoint { seq, hash, key_id, .. } = &checkpoint;
                    tracing::info!("audit head {seq} {hash} signed {key_id}");
                }
                self.known = Some(checkpoint);
            }
            Ok(Ok(Signed::Broken { seq, how })) => {
                if !std::mem::replace(&mut self.broken, true) {
                    tracing::error!(
                        "THE AUDIT TRAIL IS BROKEN at row {seq}: {how}; it is not signed any more; keep the files and run \
                         `sekisho audit verify`"
                    );
                }
            }
            Ok(Ok(Signed::Unmoved | Signed::NoKey)) => {}
            Ok(Err(error)) => tracing::warn!("the audit trail was not signed: {error}; trying again within the hour"),
            Err(_) => {}
        }
    }
}
