//! What the page is told when something is not done: a status and one sentence.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sekisho_store::{JobRefused, StoreError};
use serde_json::json;
use std::time::Duration;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// One sentence.
    pub said: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal that trying again does not change.
    #[must_use]
    pub fn new(status: StatusCode, said: impl Into<String>) -> Self {
        Self { status, said: said.into(), retry_after: None }
    }

    /// 400.
    #[must_use]
    pub fn bad(said: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, said)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(said: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, said)
    }

    /// 404.
    #[must_use]
    pub fn absent(said: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, said)
    }

    /// 503.
    #[must_use]
    pub fn unavailable(said: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, said)
    }

    /// 429, with the wait.
    #[must_use]
    pub fn too_many(said: impl Into<String>, wait: Duration) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, said: said.into(), retry_after: Some(wait) }
    }
}

impl From<JobRefused> for Refusal {
    fn from(refused: JobRefused) -> Self {
        Self::unavailable(refused.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        // The sentence names files of the machine, which are the operator's business.
        tracing::warn!("review: {error}");
        Self::unavailable("the store cannot answer now; `sekisho status` says why")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Some(wait) = self.retry_after else {
            return (self.status, Json(json!({ "error": self.said }))).into_response();
        };
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let body = Json(json!({ "error": self.said, "retry-after-s": seconds.max(1) }));
        let lines = [(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))];
        (self.status, lines, body).into_response()
    }
}
