//! The thread that finishes what is to be gone: people who withdrew or whose grounds ran out, erasures that a crash or a
//! reader in another process held up, and values that an earlier version of this program left plain.
//!
//! Whoever withdrew is not matched from the moment the gallery is read again, half a second later; this is about the delay
//! after which their data goes, in which an error can still be put right. A wrong clock erases nobody: see
//! [`Retention`](crate::evidence::retention::Retention).

use crate::clock;
use crate::config::Settings;
use crate::evidence::retention::{Purge, Retention, Stock};
use crate::notify::Beat;
use sekisho_logic::time::{Clock, Now, WallMs};
use sekisho_store::{Erasure, ErasureStep, Store, StoreError, StoreHandle};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Between two signs of life, and how long a stop waits at the most.
const STEP: Duration = Duration::from_secs(1);
/// How often there is something to do.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Values sealed in one transaction, so that alert events never wait long behind them.
const SEAL_MAX: u32 = 64;

/// What the thread works with.
pub struct ErasureWatch {
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

impl ErasureWatch {
    /// Runs until told to stop.
    pub fn run(self) {
        self.seal();
        let (mut retention, mut look_at, mut held) = (Retention::default(), self.clock.now().mono, false);
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.clock.now();
            self.beat.beat(now.mono);
            if now.mono >= look_at {
                look_at = now.mono.plus(LOOK_EVERY);
                self.resume(now);
                self.erase_due(&mut retention, now, &mut held);
            }
            std::thread::park_timeout(STEP);
        }
    }

    /// Seals what is plain. A failure is no reason to stop: the next start tries again.
    fn seal(&self) {
        let mut sealed = 0;
        while !self.stop.load(Ordering::Relaxed) {
            self.beat.beat(self.clock.now().mono);
            match self.ask(|store| store.seal_rest(SEAL_MAX)) {
                Ok(done) => {
                    sealed += done.sealed;
                    if !done.more {
                        break;
                    }
                }
                Err(said) => {
                    tracing::warn!("photographs, templates or pictures were not sealed: {said}");
                    return;
                }
            }
        }
        if sealed > 0 {
            tracing::info!("{sealed} photographs, templates and pictures were sealed with their person's key");
        }
        if let Err(said) = self.ask(Store::collect_keys) {
            tracing::warn!("keys of nobody were not collected: {said}");
        }
    }

    fn resume(&self, now: Now) {
        match self.ask(move |store| store.resume_erasures(now.wall)) {
            Ok(after) => after.iter().for_each(tell),
            Err(said) => tracing::warn!("an erasure is not done yet: {said}; trying again in a minute"),
        }
    }

    fn erase_due(&self, retention: &mut Retention, now: Now, held: &mut bool) {
        let delay = self.settings.read().unwrap_or_else(PoisonError::into_inner).retention.erase_withdrawn_after;
        let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        let before = WallMs(now.wall.0.saturating_sub(delay));
        let due = match self.ask(move |store| store.due_for_erasure(before)) {
            Ok(due) => due,
            Err(said) => return tracing::warn!("who is to be erased is not known: {said}"),
        };
        let stock = Stock { kept: due.people, due: due.due.len() as u64 };
        match retention.look(now, clock::synchronised(), stock) {
            Purge::Nothing => *held = false,
            Purge::Held(why) => {
                if !std::mem::replace(held, true) {
                    let count = due.due.len();
                    tracing::warn!(
                        "{count} people are due for erasure and wait ({}); is the clock right?",
                        why.as_str()
                    );
                }
            }
            Purge::Go => {
                *held = false;
                for (person, cause) in due.due {
                    self.beat.beat(self.clock.now().mono);
                    let name = person.clone();
                    match self.ask(move |store| store.erase(&person, cause, "daemon", now.wall)) {
                        Ok(erasure) => tell(&erasure),
                        Err(said) => tracing::warn!("{name} was not erased: {said}; trying again in a minute"),
                    }
                }
            }
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        match self.store.call(question) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn tell(erasure: &Erasure) {
    match erasure.step {
        ErasureStep::Done => {
            tracing::info!("{}: erased ({}), erasure {}", erasure.person, erasure.cause.as_str(), erasure.id);
        }
        step @ (ErasureStep::Begun | ErasureStep::KeyDestroyed | ErasureStep::RowsDeleted | ErasureStep::Scrubbed) => {
            tracing::info!(
                "{}: erasure {} is at {}, trying again in a minute",
                erasure.person,
                erasure.id,
                step.as_str()
            );
        }
    }
}
