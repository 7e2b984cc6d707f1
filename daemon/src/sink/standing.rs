//! How a sink is doing, for people and for other programs. A copy made for looking: nothing decides by it.

use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::SinkDepth;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Whether events get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SinkState {
    /// Nothing was tried yet.
    #[default]
    Starting,
    /// The last try succeeded.
    Ok,
    /// The last try failed; it goes on by itself.
    Failing,
    /// The receiver does not let us in, or what we need to ask is missing: somebody must act. Tries go on all the same.
    Denied,
}

impl SinkState {
    /// The word shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Denied => "denied",
        }
    }
}

/// One sink at a moment.
#[derive(Clone, Debug, Default)]
pub struct SinkView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// Where it delivers to, without anything secret.
    pub address: String,
    /// Whether events get through.
    pub state: SinkState,
    /// What waits in the outbox; a second old while deliveries run, ten at rest.
    pub depth: SinkDepth,
    /// Deliveries made since the start.
    pub delivered_total: u64,
    /// Tries that failed since the start.
    pub retries_total: u64,
    /// Deliveries given up since the start.
    pub dead_total: u64,
    /// What the last failed try was answered.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_at: Option<WallMs>,
    /// When the last delivery was made.
    pub last_delivered_at: Option<WallMs>,
    /// Nothing is tried before this.
    pub held_until: Option<Mono>,
}

impl SinkView {
    /// As JSON. `depth` is what the store says this moment, where it was asked.
    #[must_use]
    pub fn json(&self, now: Now, depth: Option<&SinkDepth>) -> Value {
        let depth = depth.unwrap_or(&self.depth);
        json!({
            "name": self.name,
            "kind": self.kind,
            "address": self.address,
            "state": self.state.as_str(),
            "pending": depth.pending,
            "delivered": depth.delivered,
            "dead": depth.dead,
            "oldest-pending": depth.oldest_pending.map(WallMs::to_rfc3339),
            "oldest-pending-age-s": depth.oldest_pending.map(|oldest| now.wall.0.saturating_sub(oldest.0).max(0) / 1000),
            "delivered-total": self.delivered_total,
            "retries-total": self.retries_total,
            "dead-total": self.dead_total,
            "last-error": self.last_error.as_ref().or(depth.last_error.as_ref()),
            "last-error-at": self.last_error_at.map(WallMs::to_rfc3339),
            "last-delivered-at": self.last_delivered_at.map(WallMs::to_rfc3339),
            "next-attempt-ms": self.held_until.map(|until| u64::try_from(until.since(now.mono).as_millis()).unwrap_or(u64::MAX)),
        })
    }
}

/// Where a sink's thread writes it down.
#[derive(Debug, Default)]
pub struct Standing(Mutex<SinkView>);

impl Standing {
    /// Of a sink that has done nothing yet.
    #[must_use]
    pub fn new(name: &str, kind: &'static str, address: String) -> Self {
        Self(Mutex::new(SinkView { name: name.to_owned(), kind, address, ..SinkView::default() }))
    }

    /// Changes it.
    pub fn with<T>(&self, change: impl FnOnce(&mut SinkView) -> T) -> T {
        change(&mut self.lock())
    }

    /// A copy.
    #[must_use]
    pub fn view(&self) -> SinkView {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, SinkView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
