//! POSTs each event to an HTTP receiver, over one kept connection.
//!
//! One request at a time: the answer to an event decides what is done with the next. hyper speaks HTTP/1.1, as it does at
//! the status socket; unlike ready-made clients it resolves the receiver's name only when it connects, follows no redirect,
//! heeds no proxy variable, and lets a stop cut a request off.

mod answer;
pub mod sign;

use super::net::{dial, tls};
use super::outlet::{Down, Outcome};
use super::secrets;
use crate::config::credentials::CredentialPlaces;
use crate::config::sink_settings::WebhookSettings;
use crate::status::wire;
use answer::{excerpt, outcome, retry_after};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use ring::hmac;
use rustls::ClientConfig;
use sekisho_logic::time::{Now, WallMs};
use sekisho_store::OutboxItem;
use std::sync::Arc;
use std::time::Duration;

/// Of an answer's body no more is read; a longer one costs the connection and nothing else.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// An answer's head may be so long, and have so many fields.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEAD_FIELDS_MAX: usize = 64;
/// The status has come; the rest of the answer may take this long and not more.
const REST_PATIENCE: Duration = Duration::from_secs(2);

/// One webhook.
pub struct Webhook {
    settings: WebhookSettings,
    places: CredentialPlaces,
    keys: Option<Keys>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// What a request is made with.
struct Keys {
    secret: Option<hmac::Key>,
    bearer: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
}

/// Why a request has no answer.
enum Unanswered {
    /// There was no connection: the event was not sent.
    NotSent(String),
    /// It may have been sent.
    Broke(String),
    /// A kept connection turned out to be closed: worth a second try on a new one.
    Stale,
}

impl Webhook {
    /// The webhook that `settings` describe; nothing is opened yet.
    #[must_use]
    pub fn new(settings: WebhookSettings, places: CredentialPlaces) -> Self {
        Self { settings, places, keys: None, connection: None }
    }

    /// Reads credentials and certificates, once; again after the receiver has not let us in.
    ///
    /// # Errors
    /// [`Down`] that says which file is missing or wrong.
    pub fn prepare(&mut self) -> Result<(), Down> {
        if self.keys.is_none() {
            self.keys = Some(self.read_keys().map_err(Down::denied)?);
        }
        Ok(())
    }

    fn read_keys(&self) -> Result<Keys, String> {
        let read = |name: &Option<String>| name.as_ref().map(|name| secrets::read(&self.places, name)).transpose();
        let secret = read(&self.settings.secret_credential)?.map(|secret| sign::key(&secret)).transpose()?;
        let bearer = match read(&self.settings.token_credential)? {
            None => None,
            Some(token) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.as_str()))
                    .map_err(|_| "the token credential holds something that no header can carry".to_owned())?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let tls = self.settings.url.tls().then(|| tls(&self.settings.ca_file, None, &["http/1.1"])).transpose()?;
        Ok(Keys { secret, bearer, tls })
    }

    /// Sends one event and says what came of it.
    pub async fn hand_over(&mut self, now: Now, item: &OutboxItem) -> Outcome {
        let body = Bytes::from(wire::delivery(item).to_string());
        let id = item.event.event_id();
        let mut tries = 0;
        let unanswered = loop {
            match self.ask(now.wall, &id, body.clone()).await {
                Ok(response) => return self.read(now.wall, response, item.event.after.person.as_str()).await,
                Err(Unanswered::Stale) if tries == 0 => tries = 1,
                Err(unanswered) => break unanswered,
            }
        };
        let to = &self.settings.url;
        match unanswered {
            Unanswered::NotSent(why) => Outcome::Down(Down::unreachable(format!("{to}: {why}"))),
            Unanswered::Broke(why) => Outcome::Failed(format!("{to}: {why}")),
            Unanswered::Stale => Outcome::Failed(format!("{to}: the connection was closed before an answer came")),
        }
    }

    async fn ask(&mut self, now: WallMs, id: &str, body: Bytes) -> Result<Response<Incoming>, Unanswered> {
        let patience = self.settings.timeout;
        // Taken out, so that a connection on which something was cut off is never used again.
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let is_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connected = tokio::time::timeout(patience, self.connect()).await;
                let late = || Unanswered::NotSent(format!("no connection within {} ms", patience.as_millis()));
                connected.map_err(|_| late())?.map_err(Unanswered::NotSent)?
            }
        };
        let request = self.request(now, id, body).map_err(Unanswered::NotSent)?;
        let answer = async {
            // A kept connection that the other side has closed is noticed here at the latest.
            connection.ready().await.map_err(|_| Unanswered::Stale)?;
            connection.send_request(request).await.map_err(|error| {
                let closed = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
                if is_kept && closed { Unanswered::Stale } else { Unanswered::Broke(chain(&error)) }
            })
        };
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => {
                let answer = answer?;
                self.connection = Some(connection);
                Ok(answer)
            }
            Err(_) => Err(Unanswered::Broke(format!("no answer within {} ms", patience.as_millis()))),
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let tls = self.keys.as_ref().and_then(|keys| keys.tls.as_ref());
        let socket = dial(&self.settings.url, tls).await.map_err(|error| error.to_string())?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEAD_FIELDS_MAX)
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| chain(&error))?;
        // Ends with the connection; how it ended shows in the request that was under way.
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        Ok(sender)
    }

    fn request(&self, now: WallMs, id: &str, body: Bytes) -> Result<Request<Full<Bytes>>, String> {
        let url = &self.settings.url;
        let mut request = Request::post(url.target())
            .header("host", url.authority())
            .header("user-agent", concat!("sekisho/", env!("CARGO_PKG_VERSION")))
            .header("content-type", "application/json")
            .header("accept", "*/*")
            .header("idempotency-key", id);
        if let Some(keys) = &self.keys {
            if let Some(key) = &keys.secret {
                request = request.header(sign::HEADER, sign::signature(key, now, &body));
            }
            if let Some(bearer) = &keys.bearer {
                request = request.header(AUTHORIZATION, bearer);
            }
        }
        request.body(Full::new(body)).map_err(|error| format!("the request cannot be made: {error}"))
    }

    /// The status decides. The rest is read so that the connection can be kept, and for its words when the answer is no.
    async fn read(&mut self, now: WallMs, response: Response<Incoming>, person: &str) -> Outcome {
        let (head, body) = response.into_parts();
        let rest = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let rest = match tokio::time::timeout(REST_PATIENCE.min(self.settings.timeout), rest).await {
            Ok(Ok(rest)) => rest.to_bytes(),
            // Too long, too slow or broken off: no connection to keep.
            Ok(Err(_)) | Err(_) => {
                self.connection = None;
                Bytes::new()
            }
        };
        let wait = head.headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
        let words = excerpt(&rest, person);
        let said =
            format!("{} answers {}{}{words}", self.settings.url, head.status, if words.is_empty() { "" } else { ": " });
        let outcome = outcome(head.status, wait, said);
        if matches!(&outcome, Outcome::Down(_)) {
            // Perhaps the secret or the token was changed meanwhile.
            self.keys = None;
        }
        outcome
    }
}

/// An error and its causes on one line.
fn chain(error: &hyper::Error) -> String {
    crate::cmd::chain(error).replace("\n  because ", ": ")
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("url", &self.settings.url).finish_non_exhaustive()
    }
}
