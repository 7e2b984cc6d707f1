//! What each path answers, and which role it asks for.

use super::access::Peer;
use super::ballot::{self, NotCast};
use super::blind::Reader;
use super::matching;
use super::sinks;
use super::view::Sources;
use super::wire::{self, SCHEMA_VERSION};
use crate::evaluate::summary::Summary;
use crate::run::decide::Order;
use crate::run::sinks::Roster;
use crate::web::refusal::Refusal as PageRefusal;
use crate::web::{Web, tickets};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sekisho_logic::alert::Ballot;
use sekisho_logic::id::{CameraId, PersonId};
use sekisho_logic::record::{AlertId, Stage, Verdict};
use sekisho_logic::role::{self, Action, Role};
use sekisho_logic::suspension::Subject;
use sekisho_store::{AlertFilter, JobRefused, ReviewerRole, Store, StoreError, StoreHandle};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt as _};

/// Alerts in one answer at the most.
const ALERTS_MAX: u32 = 1000;

/// What the framework says of a request it refuses is a line; more of it is not passed on.
const SAID_BYTES_MAX: usize = 4096;

/// Everything a request can reach.
#[derive(Clone)]
pub struct App {
    /// What status reads from.
    pub sources: Arc<Sources>,
    /// Committed alert events, as JSON lines.
    pub alerts: broadcast::Sender<Arc<str>>,
    /// Finished tracks, as JSON lines.
    pub verdicts: broadcast::Sender<Arc<str>>,
    /// The deciding loop.
    pub orders: SyncSender<Order>,
    /// The store thread.
    pub store: StoreHandle,
    /// The review page, and who is the same person.
    pub web: Arc<Web>,
    /// The sinks.
    pub sinks: Roster,
}

/// A refusal with its status code.
pub(super) struct Refusal(StatusCode, String);

impl Refusal {
    /// There is no such thing.
    pub(super) fn missing(what: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, what.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "schema-version": SCHEMA_VERSION, "error": self.1 }))).into_response()
    }
}

impl From<JobRefused> for Refusal {
    fn from(refused: JobRefused) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, refused.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Refused { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

/// The whole site map.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/cameras", get(async |State(app): State<App>| Json(app.sources.cameras())))
        .route("/v1/gallery", get(gallery))
        .route("/v1/alerts", get(alerts))
        .route("/v1/alerts/{id}", get(alert))
        .route("/v1/events", get(events))
        .route("/v1/review/ticket", post(ticket))
        .route("/v1/sinks", get(sinks::list))
        .route("/metrics", get(async |State(app): State<App>| app.sources.metrics()))
        .route("/healthz", get(healthz))
        .fallback(async || Refusal(StatusCode::NOT_FOUND, "there is no such path; see sekisho(1), SOCKET".into()))
        .route("/v1/alerts/{id}/votes", post(vote))
        .route("/v1/suspensions/lift", post(lift))
        .route("/v1/sinks/{name}/requeue", post(sinks::requeue))
        .route("/v1/matching/pause", post(matching::pause))
        .route("/v1/matching/resume", post(matching::resume))
        .layer(middleware::from_fn(permitted))
        .layer(middleware::map_response(in_one_form))
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(app)
}

/// Alive, and whether the calibration still fits. Always 200: no restart makes a calibration fit.
async fn healthz(State(app): State<App>) -> String {
    let stale = app.sources.board.calibration().stale;
    stale.map_or_else(|| "ok\n".to_owned(), |said| format!("calibration-stale: {said}\n"))
}

/// Refuses whoever's roles do not permit what the path asks for.
async fn permitted(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    let action = role::asked(role::SOCKET, request.method().as_str(), request.uri().path());
    if peer.roles.may(action) {
        return next.run(request).await;
    }
    let keys: Vec<_> = role::permitted(action).iter().map(|role| role.groups_key()).collect();
    let (uid, what, keys) = (peer.uid, action.as_str(), keys.join(" or "));
    let said = format!("user {uid} may not do this; {what} is for the groups named in [daemon] {keys}");
    Refusal(StatusCode::FORBIDDEN, said).into_response()
}

/// What the framework refuses by itself (a wrong method, a body that is no JSON, a query it does not know) comes as plain
/// text or as nothing; whoever asks is told it in the form of every other refusal.
async fn in_one_form(mut answer: Response) -> Response {
    let json = HeaderValue::from_static("application/json");
    if !answer.status().is_client_error() || answer.headers().get(header::CONTENT_TYPE) == Some(&json) {
        return answer;
    }
    let body = std::mem::take(answer.body_mut());
    let text = axum::body::to_bytes(body, SAID_BYTES_MAX).await.unwrap_or_default();
    let said = match String::from_utf8_lossy(&text).trim() {
        "" => answer.status().canonical_reason().unwrap_or("refused").to_lowercase() + "; see sekisho(1), SOCKET",
        said => said.to_owned(),
    };
    let (told, document) = Refusal(answer.status(), said).into_response().into_parts();
    answer.headers_mut().remove(header::CONTENT_LENGTH);
    answer.headers_mut().extend(told.headers);
    *answer.body_mut() = document;
    answer
}

async fn status(State(app): State<App>) -> Json<Value> {
    let mut status = app.sources.status();
    let dpo = app.web.settings(|settings| !settings.daemon.dpo_groups.is_empty());
    status["dpo"] = json!(if dpo { "configured" } else { "none" });
    let (settings, facts) = (app.web.settings(Clone::clone), app.sources.facts.clone());
    let digest = move || facts.models["embedder"]["digest"].as_str().unwrap_or_default().to_owned();
    let groups = tokio::task::spawn_blocking(move || Summary::standing(&settings, &digest())).await;
    status["groups"] = groups.unwrap_or_default();
    Json(status)
}

/// Asks the store off the I/O threads.
pub(super) async fn ask<T: Send + 'static>(
    store: &StoreHandle,
    question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let store = store.clone();
    let asked = tokio::task::spawn_blocking(move || store.call(question)).await;
    let answer = asked.map_err(|_| Refusal(StatusCode::SERVICE_UNAVAILABLE, "the store is being closed".into()))?;
    Ok(answer??)
}

async fn gallery(State(app): State<App>) -> Result<Json<Value>, Refusal> {
    let people = ask(&app.store, Store::people).await?;
    let mut lists = serde_json::Map::new();
    for person in &people {
        let count = lists.get(person.list.as_str()).and_then(Value::as_u64).unwrap_or(0);
        lists.insert(person.list.to_string(), json!(count + 1));
    }
    let decide = app.sources.board.decide();
    Ok(Json(json!({
        "schema-version": SCHEMA_VERSION,
        "people": people.len(),
        "people-in-force": decide.gallery_people,
        "revision": decide.gallery_revision,
        "photos": people.iter().map(|person| person.photos).sum::<u64>(),
        "templates": people.iter().map(|person| person.templates).sum::<u64>(),
        "by-list": lists,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct AlertsQuery {
    stage: Option<String>,
    camera: Option<String>,
    person: Option<String>,
    limit: Option<u32>,
}

async fn alerts(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<AlertsQuery>,
) -> Result<Json<Value>, Refusal> {
    let bad = |said: String| Refusal(StatusCode::BAD_REQUEST, said);
    let known = || Stage::ALL.map(Stage::as_str).join(", ");
    let stage = query.stage.map(|word| {
        Stage::parse(&word).ok_or_else(|| bad(format!("{word:?} is no stage; the stages are {}", known())))
    });
    let filter = AlertFilter {
        stage: stage.transpose()?,
        camera: query.camera.map(|name| CameraId::try_new(&name).map_err(|e| bad(e.to_string()))).transpose()?,
        person: query.person.map(|name| PersonId::try_new(&name).map_err(|e| bad(e.to_string()))).transpose()?,
        ..AlertFilter::default()
    };
    let limit = query.limit.unwrap_or(50).min(ALERTS_MAX);
    let found = ask(&app.store, move |store| store.alerts(&filter, limit)).await?;
    let reader = Reader { peer, reviewers: &app.web.reviewers };
    let found: Vec<_> = found.iter().map(|alert| reader.alert(wire::alert(alert))).collect();
    Ok(Json(json!({ "schema-version": SCHEMA_VERSION, "alerts": found })))
}

async fn alert(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let wanted = AlertId(id.clone());
    let found = ask(&app.store, move |store| store.alert(&wanted)).await?;
    let missing =
        || Refusal(StatusCode::NOT_FOUND, format!("there is no alert {id:?}; `sekisho alerts list` has them"));
    let reader = Reader { peer, reviewers: &app.web.reviewers };
    let mut answer = reader.alert(wire::alert(&found.ok_or_else(missing)?.record));
    answer["schema-version"] = json!(SCHEMA_VERSION);
    Ok(Json(answer))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct CastVote {
    verdict: Verdict,
    reason: Option<String>,
}

/// Takes a vote and answers when it is in the journal.
async fn vote(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    Json(vote): Json<CastVote>,
) -> Result<Response, Refusal> {
    let (reviewers, alert) = (&app.web.reviewers, AlertId(id));
    let me = reviewers.canonical(&peer.reviewer());
    let wanted = alert.clone();
    let known = ask(&app.store, move |store| store.alert(&wanted)).await?;
    let reviewer = known.map_or_else(|| me.clone(), |known| reviewers.name_on(&known.record, &me));
    let ballot = Ballot { reviewer, verdict: vote.verdict, reason: vote.reason };
    let event = ballot::cast(&app.orders, &app.alerts, alert, ballot).await.map_err(|not| {
        let status = match &not {
            NotCast::Busy | NotCast::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            NotCast::Refused(_) => StatusCode::CONFLICT,
            NotCast::Unwritten => StatusCode::ACCEPTED,
        };
        Refusal(status, not.to_string())
    })?;
    Ok(Json(wire::event(&event)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct WantedTicket {
    as_reviewer: Option<String>,
}

/// A ticket for the review page, with the role that the kernel's word gives.
async fn ticket(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(wanted): Json<WantedTicket>,
) -> Result<Json<Value>, Refusal> {
    // The page knows one role of each: the one that may do most there.
    let role = match peer.roles {
        roles if roles.has(Role::Admin) => ReviewerRole::Admin,
        roles if roles.has(Role::Reviewer) => ReviewerRole::Reviewer,
        roles if roles.has(Role::Dpo) => ReviewerRole::Dpo,
        _ => ReviewerRole::Viewer,
    };
    let given = match wanted.as_reviewer {
        None => app.web.ticket(peer.uid, role),
        Some(_) if !peer.roles.may(Action::ActAsReviewer) => {
            let said = "only an admin opens the page in a reviewer's name; see [daemon] admin-groups";
            return Err(Refusal(StatusCode::FORBIDDEN, said.into()));
        }
        Some(reviewer) => app.web.ticket_as(peer.uid, &reviewer),
    };
    let given = given.map_err(|PageRefusal { status, said, .. }| Refusal(status, said))?;
    Ok(Json(json!({
        "schema-version": SCHEMA_VERSION,
        "url": given.url,
        "expires-s": tickets::GOOD_FOR.as_secs(),
        "certificate-sha256": given.fingerprint,
    })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Lifted {
    kind: String,
    subject: String,
}

/// Lifts a suspension.
async fn lift(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Json(wanted): Json<Lifted>,
) -> Result<Json<Value>, Refusal> {
    let stopping = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "the daemon is busy or stopping; try again".into());
    let subject = Subject::parse(&wanted.kind, &wanted.subject).ok_or_else(|| {
        let said = "allowed are {\"kind\":\"person\"|\"camera\",\"subject\":ID}";
        Refusal(StatusCode::BAD_REQUEST, said.into())
    })?;
    let (reply, answer) = oneshot::channel();
    let order = Order::Lift { subject, actor: app.web.reviewers.canonical(&peer.reviewer()), reply };
    app.orders.try_send(order).map_err(|_| stopping())?;
    if answer.await.map_err(|_| stopping())? {
        return Ok(Json(json!({ "schema-version": SCHEMA_VERSION, "lifted": wanted.subject })));
    }
    let said = format!("{} {} is not suspended; `sekisho status` shows what is", wanted.kind, wanted.subject);
    Err(Refusal(StatusCode::NOT_FOUND, said))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct EventsQuery {
    tracks: Option<String>,
}

async fn events(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<EventsQuery>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // Without `tracks` the second stream is one that nobody ever writes to.
    let tracks = query.tracks.map_or_else(|| broadcast::channel(1).1, |_| app.verdicts.subscribe());
    let (alerts, tracks) = (lines(app.alerts.subscribe()), lines(tracks));
    let stream = alerts.merge(tracks).map(move |line| {
        let reader = Reader { peer, reviewers: &app.web.reviewers };
        Ok(Event::default().data(reader.event(&line).as_deref().unwrap_or(&line)))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

/// A listener's bounded backlog: whoever is too slow is told how much was missed, and goes on with the newest.
fn lines(receiver: broadcast::Receiver<Arc<str>>) -> impl Stream<Item = Arc<str>> {
    BroadcastStream::new(receiver).map(|line| match line {
        Ok(line) => line,
        Err(BroadcastStreamRecvError::Lagged(count)) => json!({ "type": "missed", "count": count }).to_string().into(),
    })
}
