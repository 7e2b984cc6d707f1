//! What the event streams of the page hear: that something changed, and where. Never a score, never a vote.

use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast;

/// One named event of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: &'static str,
    /// Its data, JSON.
    pub data: String,
}

/// Turns committed events into what the page may hear, once for all listeners; ends with the daemon.
pub async fn relay(mut events: broadcast::Receiver<Arc<str>>, told: broadcast::Sender<Arc<Told>>) {
    loop {
        let event = match events.recv().await {
            Ok(line) => shorten(&line),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(missed(count)),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if let Some(event) = event {
            // Nobody listening is the normal case.
            let _listeners = told.send(Arc::new(event));
        }
    }
}

/// That so many events were not told.
#[must_use]
pub fn missed(count: u64) -> Told {
    Told { name: "missed", data: json!({ "count": count }).to_string() }
}

fn shorten(line: &str) -> Option<Told> {
    let event: Value = serde_json::from_str(line).ok()?;
    let some = |from: &Value, keys: &[&str]| {
        let kept = keys.iter().filter_map(|key| Some(((*key).to_owned(), from.get(*key)?.clone())));
        Value::Object(kept.collect()).to_string()
    };
    match event["type"].as_str()? {
        "new" | "update" | "end" => {
            Some(Told { name: "alert", data: some(&event["after"], &["id", "stage", "camera", "list"]) })
        }
        "suspension" => {
            let keys = ["state", "kind", "subject", "since", "rejected", "decided"];
            Some(Told { name: "suspension", data: some(&event, &keys) })
        }
        "calibration" => Some(Told { name: "calibration", data: some(&event, &["state", "at", "calibration-id"]) }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::wire;
    use crate::web::reviewers::tests::alert;
    use sekisho_logic::record::AlertEvent;

    #[test]
    fn an_alert_is_told_without_score_person_or_vote() {
        let event = AlertEvent { before: None, after: alert(&["reviewer:ito"]), sequence: 3 };
        let told = shorten(&wire::event(&event).to_string()).expect("told");
        assert_eq!(told.name, "alert");
        let data: Value = serde_json::from_str(&told.data).expect("JSON");
        assert_eq!(data, json!({ "id": "a-1", "stage": "machine-confirmed", "camera": "gate", "list": "watch" }));
    }

    #[test]
    fn other_events_keep_their_names_and_nonsense_is_nothing() {
        let line =
            json!({ "type": "suspension", "state": "suspended", "kind": "camera", "subject": "gate", "rejected": 7 });
        assert_eq!(shorten(&line.to_string()).map(|told| told.name), Some("suspension"));
        assert_eq!(
            shorten("{\"type\":\"calibration\",\"state\":\"fresh\"}").map(|told| told.name),
            Some("calibration")
        );
        assert_eq!(shorten("{\"type\":\"track\"}"), None);
        assert_eq!(shorten("nonsense"), None);
    }
}
