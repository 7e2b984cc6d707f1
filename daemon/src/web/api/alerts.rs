//! Alerts: what waits, what was, one in full, and the vote.

use super::{Shared, parsed};
use crate::status::ballot::{self, NotCast};
use crate::web::listen::Client;
use crate::web::refusal::Refusal;
use crate::web::sessions::Caller;
use crate::web::store::ask;
use crate::web::trail::Refused;
use crate::web::view::{self, Looker, Material};
use crate::web::{Web, lock};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use sekisho_logic::alert::Ballot;
use sekisho_logic::id::{CameraId, ListId, PersonId};
use sekisho_logic::record::{AlertId, AlertRecord, Stage, Verdict};
use sekisho_logic::time::WallMs;
use sekisho_store::{AlertFilter, EvidenceRow, Store, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Alerts of the queue in one answer. Nobody looks at more before asking again.
const QUEUE_MAX: usize = 200;
/// Alerts of the history in one answer.
const PAGE_MAX: u32 = 200;
/// Earlier rejections that are shown, and how far back.
const EARLIER_MAX: u32 = 10;
const EARLIER_MS: i64 = 365 * 86_400_000;

/// An alert with its pictures and the person's name, as lists show it.
type Row = (AlertRecord, Vec<EvidenceRow>, Option<String>);

fn rows(store: &mut Store, alerts: Vec<AlertRecord>) -> Result<Vec<Row>, StoreError> {
    let mut names = BTreeMap::<PersonId, Option<String>>::new();
    let mut found = Vec::with_capacity(alerts.len());
    for alert in alerts {
        let name = match names.get(&alert.person) {
            Some(name) => name.clone(),
            None => {
                let name = store.person(&alert.person)?.and_then(|person| person.display_name);
                names.insert(alert.person.clone(), name.clone());
                name
            }
        };
        found.push((store.evidence(&alert.id)?, alert, name));
    }
    Ok(found.into_iter().map(|(pictures, alert, name)| (alert, pictures, name)).collect())
}

fn shown(rows: &[Row], looker: Looker<'_>) -> Vec<Value> {
    rows.iter().map(|(alert, pictures, name)| view::summary(alert, pictures, name.as_deref(), looker)).collect()
}

/// `GET /api/queue`
pub(super) async fn queue(State(web): Shared, Extension(caller): Extension<Caller>) -> Result<Json<Value>, Refusal> {
    let open = ask(&web.around.store, Store::open_alerts).await?;
    let open = open.into_iter().map(|open| open.record).filter(|alert| alert.votes_required > 0);
    let (mut waiting, candidates): (Vec<_>, Vec<_>) = open.partition(|alert| alert.stage == Stage::MachineConfirmed);
    let count = waiting.len();
    waiting.sort_by_cached_key(|alert| {
        let voted = web.reviewers.has_voted(alert, &caller.who.identity);
        (voted, alert.expires.map_or(i64::MAX, |expires| expires.0), alert.id.clone())
    });
    waiting.truncate(QUEUE_MAX);
    let found = ask(&web.around.store, move |store| rows(store, waiting)).await?;
    Ok(Json(json!({
        "alerts": shown(&found, looker(&web, &caller)),
        "waiting": count,
        "candidates": candidates.len(),
        "now": web.now().wall.to_rfc3339(),
        "calibration-stale": web.around.sources.board.calibration().stale,
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct HistoryQuery {
    stage: Option<String>,
    camera: Option<String>,
    person: Option<String>,
    list: Option<String>,
    from: Option<String>,
    until: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /api/alerts`
pub(super) async fn history(
    State(web): Shared,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Result<Json<Value>, Refusal> {
    let query: HistoryQuery = queried(&uri)?;
    let limit = query.limit.unwrap_or(50).clamp(1, PAGE_MAX);
    let filter = filter(&query)?;
    let mut found = ask(&web.around.store, move |store| {
        let alerts = store.alerts(&filter, limit + 1)?;
        rows(store, alerts)
    })
    .await?;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > most;
    found.truncate(most);
    Ok(Json(json!({ "alerts": shown(&found, looker(&web, &caller)), "more": more })))
}

fn filter(query: &HistoryQuery) -> Result<AlertFilter, Refusal> {
    let time = |text: &Option<String>| {
        let read = |text: &String| {
            WallMs::from_rfc3339(text)
                .ok_or_else(|| Refusal::bad(format!("{text:?} is no time such as 2026-11-24T10:00:00Z")))
        };
        text.as_ref().map(read).transpose()
    };
    let stage = query.stage.as_ref().map(|word| {
        Stage::parse(word).ok_or_else(|| {
            Refusal::bad(format!("{word:?} is no stage; the stages are {}", Stage::ALL.map(Stage::as_str).join(", ")))
        })
    });
    let bad = |error: sekisho_logic::id::BadName| Refusal::bad(error.to_string());
    Ok(AlertFilter {
        stage: stage.transpose()?,
        camera: query.camera.as_deref().map(CameraId::try_new).transpose().map_err(bad)?,
        person: query.person.as_deref().map(PersonId::try_new).transpose().map_err(bad)?,
        list: query.list.as_deref().map(ListId::try_new).transpose().map_err(bad)?,
        since: time(&query.from)?,
        until: time(&query.until)?,
        before: query.before.clone().map(AlertId),
    })
}

/// A query as what it should be.
fn queried<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let read = Query::<T>::try_from_uri(uri);
    read.map(|query| query.0).map_err(|error| Refusal::bad(format!("the query is not what was expected: {error}")))
}

/// `GET /api/alerts/{id}`
pub(super) async fn detail(
    State(web): Shared,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let material = material(&web, AlertId(id)).await?;
    Ok(Json(view::detail(&material, looker(&web, &caller))))
}

async fn material(web: &Web, id: AlertId) -> Result<Material, Refusal> {
    let since = WallMs(web.now().wall.0 - EARLIER_MS);
    let found = ask(&web.around.store, move |store| {
        let Some(alert) = store.alert(&id)?.map(|open| open.record) else { return Ok(None) };
        let person = store.person(&alert.person)?;
        let mut earlier = Vec::new();
        for one in store.earlier_rejections(&alert.person, since, EARLIER_MAX)? {
            if one.alert != alert.id {
                let pictured = !store.evidence(&one.alert)?.is_empty();
                earlier.push((one, pictured));
            }
        }
        Ok(Some(Material {
            pictures: store.evidence(&alert.id)?,
            photos: store.person_photos(&alert.person)?,
            person,
            earlier,
            alert,
        }))
    });
    found.await?.ok_or_else(|| Refusal::absent("there is no such alert"))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CastVote {
    verdict: Verdict,
    reason: Option<String>,
}

/// `POST /api/alerts/{id}/votes`
pub(super) async fn vote(
    State(web): Shared,
    Extension(client): Extension<Client>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let CastVote { verdict, reason } = parsed(&headers, &body)?;
    let at = web.now().mono;
    lock(&web.sessions).count_vote(&caller.key, at).map_err(|wait| {
        web.trail.refused(Refused::TooFast, Some(&caller.who.identity), client.address);
        Refusal::too_many("more votes in a minute than anybody can look at; wait a little", wait)
    })?;
    let alert = AlertId(id);
    let wanted = alert.clone();
    let known = ask(&web.around.store, move |store| store.alert(&wanted)).await?;
    let known = known.ok_or_else(|| Refusal::absent("there is no such alert"))?.record;
    let reviewer = web.reviewers.name_on(&known, &caller.who.identity);
    let cast =
        ballot::cast(&web.around.orders, &web.around.alerts, alert.clone(), Ballot { reviewer, verdict, reason });
    cast.await.map_err(|not| match not {
        NotCast::Busy | NotCast::Stopping => Refusal::unavailable(not.to_string()),
        NotCast::Refused(_) => Refusal::new(StatusCode::CONFLICT, not.to_string()),
        NotCast::Unwritten => Refusal::new(StatusCode::ACCEPTED, not.to_string()),
    })?;
    let material = material(&web, alert).await?;
    Ok(Json(view::detail(&material, looker(&web, &caller))))
}

fn looker<'l>(web: &'l Web, caller: &'l Caller) -> Looker<'l> {
    Looker { who: &caller.who, reviewers: &web.reviewers }
}
