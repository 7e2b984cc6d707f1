//! Talking to the running daemon over its socket.

use super::Failure;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// An answer larger than this is not from our daemon.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to be.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of the daemon listening at `socket`.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// GETs a JSON document.
    ///
    /// # Errors
    /// [`Failure::No`] when the daemon is not running, refuses, or answers nonsense.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.whole(Method::GET, path, None).await
    }

    /// POSTs a JSON document.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.whole(Method::POST, path, Some(body)).await
    }

    /// Opens the event stream and hands each event's `data` to `each` until the daemon goes or `each` says stop.
    ///
    /// # Errors
    /// As [`get`](Self::get); also when the stream breaks off.
    pub async fn events(&self, path: &str, mut each: impl FnMut(&str) -> Next) -> Result<(), Failure> {
        let response = self.send(Method::GET, path, None).await?;
        let mut body = response.into_body();
        let mut pending = String::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.broke(&error))?;
            let Some(bytes) = frame.data_ref() else { continue };
            pending.push_str(&String::from_utf8_lossy(bytes));
            if pending.len() > ANSWER_MAX_BYTES {
                return Err(Failure::No(format!("{}: one event is larger than 16 MiB", self.socket.display())));
            }
            while let Some(end) = pending.find('\n') {
                let line: String = pending.drain(..=end).collect();
                if let Some(data) = line.trim_end().strip_prefix("data: ")
                    && each(data) == Next::Stop
                {
                    return Ok(());
                }
            }
        }
        Err(Failure::No(format!("{}: the daemon closed the event stream; it was stopped", self.socket.display())))
    }

    async fn whole(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let answer = tokio::time::timeout(PATIENCE, async {
            let response = self.send(method, path, body).await?;
            let bytes = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
            bytes.map(http_body_util::Collected::to_bytes).map_err(|error| {
                Failure::No(format!("{}: the answer to {path} broke off: {error}", self.socket.display()))
            })
        });
        let bytes = answer.await.map_err(|_| {
            Failure::No(format!(
                "{}: no answer to {path} within 10 s; see `systemctl status sekisho`",
                self.socket.display()
            ))
        })??;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::No(format!("{}: the answer to {path} is not JSON ({error})", self.socket.display()))
        })
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            Failure::No(match error.kind() {
                std::io::ErrorKind::PermissionDenied => format!(
                    "{}: permission denied; your user needs a group named in [daemon] view-groups",
                    self.socket.display()
                ),
                _ => format!(
                    "no daemon answers at {} ({error}); start it with `systemctl start sekisho` or `sekisho run`",
                    self.socket.display()
                ),
            })
        })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broke(&error))?;
        tokio::spawn(connection);
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sekisho")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| Failure::Wrong(format!("{path} cannot be asked for: {error}")))?;
        let response = sender.send_request(request).await.map_err(|error| self.broke(&error))?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let bytes =
            Limited::new(response.into_body(), 65_536).collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let said = serde_json::from_slice::<Value>(&bytes).ok().and_then(|v| v["error"].as_str().map(str::to_owned));
        Err(Failure::No(said.unwrap_or_else(|| format!("the daemon answered {status} to {path}"))))
    }

    fn broke(&self, error: &hyper::Error) -> Failure {
        Failure::No(format!("{}: the connection to the daemon broke: {error}", self.socket.display()))
    }
}

/// Whether to go on listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Give me more.
    Listen,
    /// Enough.
    Stop,
}

/// Runs one conversation with the daemon on a runtime of its own.
///
/// # Errors
/// Whatever the conversation fails with; [`Failure::No`] when no runtime can be had.
pub fn converse<T>(talk: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::No(format!("no I/O runtime: {error}")))?.block_on(talk)
}
