//! The switch that stops all matching.
//!
//! ```text
//! CLI, socket, page -> store (outlives a restart) -> gallery thread, every half second -> Pause -> vision workers
//! ```
//!
//! While it is on, frames are taken and dropped unseen: no face is looked for, none is embedded, nobody is compared. Streams
//! stay up, so that matching goes on at once when it is turned off. People may still vote on alerts that were raised before.

use sekisho_store::Switch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// Whether matching is paused, and by whom.
#[derive(Debug, Default)]
pub struct Pause {
    on: AtomicBool,
    why: RwLock<Option<Switch>>,
}

impl Pause {
    /// As the store says at the start.
    #[must_use]
    pub fn new(switch: Option<Switch>) -> Self {
        let pause = Self::default();
        pause.set(switch);
        pause
    }

    /// Whether frames are to be dropped unseen. Costs nothing; asked for each frame.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Who turned it on, when and why; `None` while it is off.
    #[must_use]
    pub fn why(&self) -> Option<Switch> {
        self.why.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Follows the store. Logs when something changed.
    pub fn set(&self, switch: Option<Switch>) {
        let mut why = self.why.write().unwrap_or_else(PoisonError::into_inner);
        if *why == switch {
            return;
        }
        match &switch {
            Some(Switch { since, by, reason }) => tracing::warn!(
                "MATCHING IS PAUSED since {} by {by} ({reason}); no face is looked for until `sekisho resume-matching`",
                since.to_rfc3339(),
            ),
            None => tracing::warn!("matching goes on"),
        }
        self.on.store(switch.is_some(), Ordering::Relaxed);
        *why = switch;
    }
}
