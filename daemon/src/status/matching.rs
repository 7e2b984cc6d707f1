//! The routes that pause matching and go on with it.

use super::access::Peer;
use super::routes::{App, Refusal, ask};
use super::wire::SCHEMA_VERSION;
use axum::Json;
use axum::extract::{Extension, State};
use sekisho_store::PAUSE_MATCHING;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Why {
    reason: String,
}

/// Pauses; answers once it is in the store and in force.
pub(super) async fn pause(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(why): Json<Why>,
) -> Result<Json<Value>, Refusal> {
    turn(&app, peer, Some(why.reason)).await
}

/// Goes on.
pub(super) async fn resume(State(app): State<App>, Extension(peer): Extension<Peer>) -> Result<Json<Value>, Refusal> {
    turn(&app, peer, None).await
}

async fn turn(app: &App, peer: Peer, reason: Option<String>) -> Result<Json<Value>, Refusal> {
    let (actor, now) = (app.web.reviewers.canonical(&peer.reviewer()), app.sources.clock.now().wall);
    let (changed, switch) = ask(&app.store, move |store| {
        let changed = store.set_switch(PAUSE_MATCHING, reason.as_deref(), &actor, now)?;
        Ok((changed, store.switch(PAUSE_MATCHING)?))
    })
    .await?;
    app.sources.pause.set(switch);
    Ok(Json(json!({ "schema-version": SCHEMA_VERSION, "changed": changed, "paused": app.sources.paused() })))
}
