//! What the daemon does when a person or a camera is suspended, and when somebody lifts it.

use crate::status::wire::SCHEMA_VERSION;
use sekisho_logic::suspension::{Subject, Suspension};
use sekisho_logic::time::WallMs;
use sekisho_store::StoreHandle;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Where suspensions are noted and told.
#[derive(Clone)]
pub struct Desk {
    /// Keeps them over restarts.
    pub store: StoreHandle,
    /// Listeners of the event stream.
    pub events: broadcast::Sender<Arc<str>>,
}

/// A suspension as clients see it.
#[must_use]
pub fn view(one: &Suspension) -> Value {
    json!({
        "kind": one.subject.kind(),
        "subject": one.subject.id(),
        "since": one.since.to_rfc3339(),
        "rejected": one.rejected,
        "decided": one.decided,
    })
}

impl Desk {
    /// Notes it, logs it, tells listeners.
    pub fn suspended(&self, one: Suspension) {
        let (kind, id) = (one.subject.kind(), one.subject.id().to_owned());
        tracing::error!(
            "{kind} {id} is suspended: people rejected {} of the last {} alerts they decided; no new alerts until \
             `sekisho alerts resume {kind} {id}`",
            one.rejected,
            one.decided,
        );
        self.tell("suspended", view(&one));
        let noted = self.store.submit(move |store| {
            if let Err(error) = store.suspend(&one) {
                tracing::error!("the suspension of {kind} {id} holds until the next restart only: {error}");
            }
        });
        if let Err(error) = noted {
            tracing::error!("a suspension holds until the next restart only: {error}");
        }
    }

    /// Notes that `actor` lifted a suspension.
    pub fn lifted(&self, subject: &Subject, actor: &str, now: WallMs) {
        let (kind, id) = (subject.kind(), subject.id());
        tracing::warn!("{kind} {id} is no longer suspended, by {actor}");
        self.tell("lifted", json!({ "kind": kind, "subject": id, "by": actor, "at": now.to_rfc3339() }));
        let (subject, actor) = (subject.clone(), actor.to_owned());
        let noted = self.store.submit(move |store| {
            if let Err(error) = store.lift_suspension(&subject, &actor, now) {
                tracing::error!("{} {} will be suspended again after a restart: {error}", subject.kind(), subject.id());
            }
        });
        if let Err(error) = noted {
            tracing::error!("a lifted suspension will be back after a restart: {error}");
        }
    }

    fn tell(&self, state: &str, mut event: Value) {
        (event["schema-version"], event["type"], event["state"]) =
            (json!(SCHEMA_VERSION), json!("suspension"), json!(state));
        // Nobody listening is the normal case.
        let _listeners = self.events.send(event.to_string().into());
    }
}
