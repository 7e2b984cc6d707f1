//! Cameras, what alerts can be narrowed down to, and suspensions.

use super::{Shared, parsed};
use crate::run::decide::Order;
use crate::run::suspension;
use crate::web::Web;
use crate::web::refusal::Refusal;
use crate::web::sessions::Caller;
use crate::web::store::ask;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use sekisho_logic::record::Stage;
use sekisho_logic::suspension::Subject;
use sekisho_store::PAUSE_MATCHING;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tokio::sync::oneshot;

/// A reason for pausing is a line; the store refuses more as well.
const REASON_BYTES_MAX: usize = 500;

/// Words in one menu; more cannot be chosen from.
const MENU_MAX: u32 = 2000;

/// `GET /api/cameras`
pub(super) async fn cameras(State(web): Shared) -> Json<Value> {
    let mut view = web.around.sources.cameras();
    for camera in view["cameras"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        // Who is in view at this moment belongs to alerts, if anywhere.
        camera.remove("tracks");
    }
    Json(json!({ "cameras": view["cameras"] }))
}

/// `GET /api/filters`
pub(super) async fn filters(State(web): Shared) -> Result<Json<Value>, Refusal> {
    let (cameras, lists) = web.settings(|settings| {
        let cameras: BTreeSet<String> = settings.cameras.keys().map(ToString::to_string).collect();
        let lists: BTreeSet<String> = settings.lists.keys().map(ToString::to_string).collect();
        (cameras, lists)
    });
    let seen = ask(&web.around.store, |store| store.alert_menus(MENU_MAX)).await?;
    let with = |mut known: BTreeSet<String>, seen: Vec<String>| {
        known.extend(seen);
        known
    };
    Ok(Json(json!({
        "cameras": with(cameras, seen.cameras),
        "lists": with(lists, seen.lists),
        "stages": Stage::ALL,
        "people": seen.people,
    })))
}

/// `GET /api/suspensions`
pub(super) async fn suspensions(State(web): Shared) -> Json<Value> {
    let decide = web.around.sources.board.decide();
    Json(json!({
        "suspensions": decide.suspensions.iter().map(suspension::view).collect::<Vec<_>>(),
        "paused": web.around.sources.paused(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Pause {
    reason: String,
}

/// `POST /api/matching/pause`
pub(super) async fn pause(
    State(web): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Pause { reason } = parsed(&headers, &body)?;
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(Refusal::bad("say why, in at most 500 bytes"));
    }
    turn(&web, caller, Some(reason)).await
}

/// `POST /api/matching/resume`
pub(super) async fn resume(State(web): Shared, Extension(caller): Extension<Caller>) -> Result<StatusCode, Refusal> {
    turn(&web, caller, None).await
}

async fn turn(web: &Web, caller: Caller, reason: Option<String>) -> Result<StatusCode, Refusal> {
    let (actor, now) = (caller.who.identity.clone(), web.now().wall);
    let switch = ask(&web.around.store, move |store| {
        store.set_switch(PAUSE_MATCHING, reason.as_deref(), &actor, now)?;
        store.switch(PAUSE_MATCHING)
    })
    .await?;
    web.around.sources.pause.set(switch);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Lift {
    kind: String,
    subject: String,
}

/// `POST /api/suspensions/lift`
pub(super) async fn lift(
    State(web): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let Lift { kind, subject } = parsed(&headers, &body)?;
    let parsed =
        Subject::parse(&kind, &subject).ok_or_else(|| Refusal::bad("that is neither a person nor a camera"))?;
    let (reply, answer) = oneshot::channel();
    let order = Order::Lift { subject: parsed, actor: caller.who.identity.clone(), reply };
    let busy = || Refusal::unavailable("the daemon is busy or stopping; try again");
    web.around.orders.try_send(order).map_err(|_| busy())?;
    if answer.await.map_err(|_| busy())? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal::absent(format!("{kind} {subject} is not suspended")))
}
