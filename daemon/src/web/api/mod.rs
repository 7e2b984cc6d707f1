//! Every path of the page, and what a request must show before it is looked at.

mod account;
mod alerts;
mod events;
pub mod pictures;
mod site;

use super::listen::Client;
use super::origin::{self, Source};
use super::refusal::Refusal;
use super::sessions::Act;
use super::trail::Refused;
use super::{Web, assets};
use crate::web::cookie::Cookies;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Limited};
use sekisho_logic::role;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A body holds a name and a password, or a vote with a sentence.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// A body must be complete within this time.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// What every answer says to browsers: nothing from elsewhere, nothing inline, in no frame, kept by nobody.
const LINES: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

type Shared = State<Arc<Web>>;

/// The whole site map.
pub fn router(web: Arc<Web>) -> Router {
    let inside = Router::new()
        .route("/api/logout", post(account::logout))
        .route("/api/session", get(account::session))
        .route("/api/queue", get(alerts::queue))
        .route("/api/alerts", get(alerts::history))
        .route("/api/alerts/{id}", get(alerts::detail))
        .route("/api/alerts/{id}/votes", post(alerts::vote))
        .route("/api/alerts/{id}/pictures/{n}", get(pictures::picture))
        .route("/api/people/{person}/photos/{n}", get(pictures::photo))
        .route("/api/cameras", get(site::cameras))
        .route("/api/filters", get(site::filters))
        .route("/api/suspensions", get(site::suspensions))
        .route("/api/suspensions/lift", post(site::lift))
        .route("/api/matching/pause", post(site::pause))
        .route("/api/matching/resume", post(site::resume))
        .route("/api/events", get(events::events))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&web), enter));
    Router::new()
        .route("/", get(async |headers: HeaderMap| asset("index.html", &headers)))
        .route("/assets/{name}", get(async |Path(name): Path<String>, headers: HeaderMap| asset(&name, &headers)))
        .route("/api/login", post(account::login))
        .route("/api/ticket", post(account::ticket))
        .merge(inside)
        .fallback(async || Refusal::absent("there is no such path"))
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path is not asked in this way")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&web), gate))
        .with_state(web)
}

fn asset(name: &str, headers: &HeaderMap) -> Response {
    assets::answer(name, headers).unwrap_or_else(|| Refusal::absent("there is no such file").into_response())
}

/// What holds for every request: meant for this page, not made by another one, small, and complete in time.
async fn gate(State(web): Shared, Extension(client): Extension<Client>, request: Request, next: Next) -> Response {
    let mut answer = match admit(&web, client, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    if answer.status().is_client_error() {
        web.around.counts.refused_total.fetch_add(1, Ordering::Relaxed);
    }
    let lines = answer.headers_mut();
    for (name, value) in LINES {
        lines.insert(name, HeaderValue::from_static(value));
    }
    lines.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

async fn admit(web: &Web, client: Client, request: Request) -> Result<Request, Refusal> {
    let Some(host) = origin::host_of(request.headers(), request.uri()) else {
        return Err(Refusal::bad("a request names one host"));
    };
    let ours = web.settings(|settings| origin::is_ours(host, client.local, &settings.review.names));
    if !ours {
        web.trail.refused(Refused::Foreign, None, client.address);
        let said =
            "this is not the review page of that name; use this machine's address, or add the name to [review] names";
        return Err(Refusal::new(StatusCode::MISDIRECTED_REQUEST, said));
    }
    let source = origin::source_of(request.headers(), host, client.encrypted);
    let opens = request.method() == Method::GET && request.uri().path() == "/";
    if source == Source::Foreign && !(opens && origin::opens_the_page(request.headers())) {
        web.trail.refused(Refused::Foreign, None, client.address);
        return Err(Refusal::forbidden("another page may not ask this"));
    }
    let (mut parts, body) = request.into_parts();
    let read = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let late = || Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request did not come in time");
    let large = |_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "a request has at most 16 KiB");
    let bytes = read.map_err(|_| late())?.map_err(large)?.to_bytes();
    parts.extensions.insert(source);
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

/// Requests that the page makes by itself while nobody does anything.
const GLANCES: [&str; 5] = ["/api/queue", "/api/cameras", "/api/suspensions", "/api/session", "/api/events"];

/// What holds for everything behind the log-in.
async fn enter(State(web): Shared, Extension(client): Extension<Client>, mut request: Request, next: Next) -> Response {
    let cookies = Cookies { encrypted: client.encrypted };
    let glance = GLANCES.contains(&request.uri().path());
    let act = if glance { Act::Glance } else { Act::Deed };
    let caller = cookies.token(request.headers()).and_then(|token| web.caller(token, act));
    let Some(caller) = caller else {
        return Refusal::new(StatusCode::UNAUTHORIZED, "log in first").into_response();
    };
    if request.method() == Method::POST {
        let given = request.headers().get("x-sekisho-csrf").map_or(&b""[..], HeaderValue::as_bytes);
        if !caller.carries(given) {
            web.trail.refused(Refused::Csrf, Some(&caller.who.identity), client.address);
            return Refusal::forbidden("the page is of another log-in; load it again").into_response();
        }
    }
    let action = role::asked(role::PAGE, request.method().as_str(), request.uri().path());
    if !caller.who.role.may(action) {
        web.trail.refused(Refused::Role, Some(&caller.who.identity), client.address);
        let (role, what) = (caller.who.role.as_str(), action.as_str());
        return Refusal::forbidden(format!("your role, {role}, does not permit {what}")).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// A JSON body as what it should be.
fn parsed<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::bad(format!("the body is not what was expected: {error}")))
}
