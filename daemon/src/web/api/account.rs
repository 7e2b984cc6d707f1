//! Logging in and out.

use super::{Shared, parsed};
use crate::web::attempts::From;
use crate::web::cookie::{self, Cookies};
use crate::web::listen::Client;
use crate::web::origin::Source;
use crate::web::password::Lane;
use crate::web::refusal::Refusal;
use crate::web::sessions::{Act, By, Caller, Opened, Who};
use crate::web::store::ask;
use crate::web::trail::Refused;
use crate::web::{Web, lock};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sekisho_logic::id::ReviewerName;
use sekisho_store::Reviewer;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use zeroize::Zeroizing;

/// Under which every name that can be nobody's is counted.
const NOBODY: &str = "?";

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LogIn {
    name: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Presented {
    ticket: String,
}

/// `POST /api/login`
pub(super) async fn login(
    State(web): Shared,
    Extension(client): Extension<Client>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    from_the_page(&web, client, source)?;
    let LogIn { name, password } = parsed(&headers, &body)?;
    let password = Zeroizing::new(password);
    let name = ReviewerName::try_new(&name.trim().to_ascii_lowercase()).ok();
    let cookies = Cookies { encrypted: client.encrypted };
    let reviewers = web.reviewers.all();
    let known = name.as_ref().and_then(|name| reviewers.iter().find(|one| one.name == *name));
    let device = known.and_then(|one| cookies.known_device(&headers, &web.device_key, one));
    let lane = if device.is_some() { Lane::Known } else { Lane::Anybody };
    let identity = known.map(Reviewer::identity);
    let from = device.clone().map_or(From::Address(client.address), From::Device);
    let counted_as = name.as_ref().map_or(NOBODY, ReviewerName::as_str);
    let admitted = lock(&web.attempts).admit(web.now().mono, counted_as, from);
    let counted = admitted.map_err(|wait| {
        web.trail.refused(Refused::TooSoon, identity.as_deref(), client.address);
        Refusal::too_many("too many failed log-ins; wait, or ask for a ticket with `sekisho review`", wait)
    })?;
    let found = match &name {
        Some(name) => {
            let name = name.clone();
            // With everybody else as of the same moment, so that who was just added is known as whom they are linked to.
            let asked = ask(&web.around.store, move |store| Ok((store.reviewer_secret(&name)?, store.reviewers()?)));
            let (found, all) = asked.await?;
            web.reviewers.replace(all);
            found
        }
        None => None,
    };
    let (reviewer, stored) = found.unzip();
    let right = web.verifier.verify(stored, password, lane).await.map_err(|busy| {
        // Nothing was tried.
        lock(&web.attempts).succeeded(&counted);
        Refusal::too_many(busy.to_string(), Duration::from_secs(3))
    })?;
    let Some(reviewer) = reviewer.filter(|_| right) else {
        web.trail.refused(Refused::LogIn, identity.as_deref(), client.address);
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "name or password is wrong"));
    };
    lock(&web.attempts).succeeded(&counted);
    let who = Who {
        name: reviewer.name.to_string(),
        identity: reviewer.identity(),
        role: reviewer.role,
        by: By::Password { name: reviewer.name.clone(), set: reviewer.secret_set },
    };
    let mut answer = let_in(&web, client, &headers, who, "password")?;
    let number = device.map_or_else(|| cookie::new_device().map_err(unavailable), Ok)?;
    if let Some(line) = cookies.device(&web.device_key, &reviewer, &number) {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    Ok(answer)
}

/// `POST /api/ticket`
pub(super) async fn ticket(
    State(web): Shared,
    Extension(client): Extension<Client>,
    Extension(source): Extension<Source>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    from_the_page(&web, client, source)?;
    let Presented { ticket } = parsed(&headers, &body)?;
    let redeemed = lock(&web.tickets).redeem(&ticket, web.now().mono);
    let who = redeemed.filter(|who| who.holds(&web.reviewers.all()));
    let Some(who) = who else {
        web.trail.refused(Refused::Ticket, None, client.address);
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "the ticket was used or is too old; ask for another one"));
    };
    let by = if matches!(who.by, By::Admin { .. }) { "admins-ticket" } else { "ticket" };
    let_in(&web, client, &headers, who, by)
}

/// `POST /api/logout`
pub(super) async fn logout(
    State(web): Shared,
    Extension(client): Extension<Client>,
    Extension(caller): Extension<Caller>,
) -> Response {
    lock(&web.sessions).end(&caller.key);
    web.trail.logged_out(&caller.who.identity, "logged-out");
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Some(line) = (Cookies { encrypted: client.encrypted }).log_out() {
        answer.headers_mut().append(header::SET_COOKIE, line);
    }
    answer
}

/// `GET /api/session`
pub(super) async fn session(State(web): Shared, Extension(caller): Extension<Caller>) -> Json<Value> {
    Json(document(&web, &caller))
}

/// A log-in must say that it comes from the page: a page elsewhere must not be able to log a browser in as somebody else.
fn from_the_page(web: &Web, client: Client, source: Source) -> Result<(), Refusal> {
    if source == Source::Same {
        return Ok(());
    }
    web.trail.refused(Refused::Foreign, None, client.address);
    Err(Refusal::forbidden("a log-in comes from the page itself, with Origin or Sec-Fetch-Site"))
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::unavailable(error.to_string())
}

/// Opens the log-in; one that the browser had before is over.
fn let_in(web: &Web, client: Client, headers: &HeaderMap, who: Who, by: &'static str) -> Result<Response, Refusal> {
    web.count_log_in(&who.identity)
        .map_err(|wait| Refusal::too_many("too many log-ins of one person; wait a little", wait))?;
    let cookies = Cookies { encrypted: client.encrypted };
    if let Some(before) = cookies.token(headers).and_then(|token| web.caller(token, Act::Glance)) {
        lock(&web.sessions).end(&before.key);
        web.trail.logged_out(&before.who.identity, "logged-in-again");
    }
    let name = match &who.by {
        By::Password { name, .. } | By::Admin { name, .. } => Some(name.clone()),
        By::Ticket { linked, .. } => linked.as_ref().map(|(name, _)| name.clone()),
    };
    let identity = who.identity.clone();
    let opened = lock(&web.sessions).open(who, web.now(), web.limits());
    let Opened { token, caller } = opened.map_err(unavailable)?;
    web.trail.logged_in(name, &identity, by, client.address);
    let mut answer = Json(document(web, &caller)).into_response();
    let line: Option<HeaderValue> = cookies.log_in(&token);
    answer.headers_mut().extend(line.map(|line| (header::SET_COOKIE, line)));
    Ok(answer)
}

fn document(web: &Web, caller: &Caller) -> Value {
    json!({
        "name": caller.who.name,
        "identity": caller.who.identity,
        "role": caller.who.role.as_str(),
        "csrf": &*caller.csrf,
        "expires": caller.expires.to_rfc3339(),
        "version": env!("CARGO_PKG_VERSION"),
        "non-commercial": web.around.sources.facts.models["embedder"]["usage"] == "non-commercial",
    })
}
