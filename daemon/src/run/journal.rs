//! From the deciding loop to the store thread: which sinks hear of which event.

use super::decide::Journal;
use crate::config::Settings;
use crate::config::sink_settings::SinkFilter;
use sekisho_logic::record::{AlertEvent, Cause};
use sekisho_store::{Append, StoreHandle};
use std::sync::{Arc, PoisonError, RwLock};

/// Sinks and what they are told of; replaced by a reload.
pub type Subscriptions = Arc<RwLock<Vec<(String, SinkFilter)>>>;

/// The subscriptions the settings mean.
#[must_use]
pub fn subscriptions(settings: &Settings) -> Vec<(String, SinkFilter)> {
    settings.sinks.iter().map(|(name, sink)| (name.to_string(), sink.filter.clone())).collect()
}

/// The store thread as a journal.
#[derive(Clone, Debug)]
pub struct StoreJournal {
    /// The store.
    pub store: StoreHandle,
    /// Who is told.
    pub subscriptions: Subscriptions,
}

impl Journal for StoreJournal {
    fn try_append(&self, events: Vec<AlertEvent>) -> Result<(), Vec<AlertEvent>> {
        let mut events = events.into_iter();
        while let Some(event) = events.next() {
            let subscriptions = self.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
            let wanted = subscriptions.iter().filter(|(_, filter)| filter.wants(&event.after));
            let sinks = wanted.map(|(name, _)| name.clone()).collect();
            drop(subscriptions);
            let append = Append { actor: actor(&event), sinks, event: event.clone() };
            if self.store.append(append).is_err() {
                return Err(std::iter::once(event).chain(events).collect());
            }
        }
        Ok(())
    }
}

/// Who made it happen: the last voter for a vote, else the daemon.
fn actor(event: &AlertEvent) -> String {
    let voter = event.after.votes.last().filter(|_| event.after.cause == Cause::Vote);
    voter.map_or_else(|| "daemon".to_owned(), |vote| vote.reviewer.clone())
}
