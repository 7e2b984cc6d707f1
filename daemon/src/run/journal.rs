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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use sekisho_logic::record::AlertRecord;
    use serde_json::json;
    use std::path::Path;

    fn alert(camera: &str, list: &str, stage: &str, quiet: bool) -> AlertRecord {
        let evidence = json!({
            "cosine": 0.6, "llr": 9.0, "runner-up-gap": null, "target-fpir": 1e-3, "inter-eye-px": 20.0, "frames-used": 6,
            "frames-unfit": [], "model-digest": "ab", "calibration-id": "c",
        });
        let record = json!({
            "id": "a", "camera": camera, "person": "ann-1", "list": list, "purpose": "watch", "track": 1, "stage": stage,
            "cause": "evidence", "opened": 0, "changed": 0, "expires": null, "votes-required": 1, "votes": [],
            "candidate": evidence, "confirmation": null, "quiet": quiet,
        });
        serde_json::from_value(record).expect("a record")
    }

    #[test]
    fn a_sink_is_told_of_what_it_asked_for_and_of_nothing_else() {
        let text = "[cameras.gate]\nsource = \"file:///g.mp4\"\n[cameras.yard]\nsource = \"file:///y.mp4\"\n\
                    [sinks.all]\nkind = \"event-log\"\npath = \"/a\"\n\
                    [sinks.loud]\nkind = \"webhook\"\nurl = \"http://x/\"\nin-quiet-hours = \"tell\"\nlists = [\"watch\"]\n\
                    [sinks.some]\nkind = \"mqtt\"\nbroker = \"mqtt://x\"\nstages = [\"confirmed\", \"machine-confirmed\"]\n\
                    cameras = [\"gate\"]\n";
        let settings = config::parse(Path::new("s.toml"), text).expect("valid");
        let told = |alert: &AlertRecord| -> Vec<String> {
            subscriptions(&settings)
                .into_iter()
                .filter(|(_, filter)| filter.wants(alert))
                .map(|(name, _)| name)
                .collect()
        };
        assert_eq!(told(&alert("gate", "watch", "confirmed", false)), ["all", "loud", "some"]);
        assert_eq!(told(&alert("gate", "watch", "candidate", false)), ["all", "loud"]);
        assert_eq!(told(&alert("yard", "watch", "confirmed", false)), ["all", "loud"]);
        assert_eq!(told(&alert("gate", "staff", "confirmed", false)), ["all", "some"]);
        assert_eq!(told(&alert("gate", "watch", "confirmed", true)), ["all", "loud"], "some keeps quiet");
    }
}
