//! `/v1/sinks`: how each sink is doing, and giving back to it what it gave up.

use super::access::Peer;
use super::routes::{App, Refusal, ask};
use super::wire::SCHEMA_VERSION;
use axum::Json;
use axum::extract::{Extension, Path, State};
use sekisho_store::{SinkDepth, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every sink that runs, and every name that something still waits for. Numbers are those of the store this moment.
pub(super) async fn list(State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let depths = ask(&app.store, Store::outbox_depths).await?;
    let mut depths: BTreeMap<String, SinkDepth> = depths.into_iter().map(|depth| (depth.sink.clone(), depth)).collect();
    let now = app.sources.clock.now();
    let running = app.sinks.views().into_iter().map(|view| {
        let depth = depths.remove(&view.name).unwrap_or_default();
        view.json(now, Some(&depth))
    });
    let mut sinks: Vec<_> = running.collect();
    let waiting = depths.into_values().filter(|depth| depth.pending + depth.dead > 0);
    sinks.extend(waiting.map(|depth| {
        json!({
            "name": depth.sink,
            "state": "not-configured",
            "pending": depth.pending,
            "delivered": depth.delivered,
            "dead": depth.dead,
            "oldest-pending": depth.oldest_pending.map(sekisho_logic::time::WallMs::to_rfc3339),
            "last-error": depth.last_error,
        })
    }));
    Ok(Json(json!({ "schema-version": SCHEMA_VERSION, "sinks": sinks })))
}

/// Makes the deliveries that were given up pending again, and has the sink try at once.
pub(super) async fn requeue(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let running = app.sinks.views().into_iter().any(|view| view.name == name);
    if !running {
        return Err(Refusal::missing(format!("there is no sink {name:?}; `sekisho sinks list` has them")));
    }
    let (sink, now, actor) = (name.clone(), app.sources.clock.now().wall, peer.reviewer());
    let requeued = ask(&app.store, move |store| store.requeue_dead(&sink, now, &actor)).await?;
    // Also with nothing to requeue: whoever asks has mended something.
    let _runs = app.sinks.try_now(&name);
    Ok(Json(json!({ "schema-version": SCHEMA_VERSION, "sink": name, "requeued": requeued })))
}
