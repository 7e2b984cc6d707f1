//! What status says about the review page: where it is, how many use it, and what was turned away.

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

/// Where the page is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Served {
    /// Not yet, or not at all.
    #[default]
    No,
    /// Here.
    At {
        /// Address and port, the real one where a free one was asked for.
        address: SocketAddr,
        /// SHA-256 of the certificate, as browsers show it; `None` without encryption.
        fingerprint: Option<String>,
    },
    /// It should be, and cannot: a sentence.
    Failed(String),
}

/// Counters of the page.
#[derive(Debug, Default)]
pub struct WebCounts {
    served: RwLock<Served>,
    /// Connections open.
    pub clients: AtomicUsize,
    /// Event streams open.
    pub streams: AtomicUsize,
    /// People logged in.
    pub logged_in: AtomicUsize,
    /// Connections taken.
    pub accepted_total: AtomicU64,
    /// Connections turned away because too many were open.
    pub shed_total: AtomicU64,
    /// Connections that never finished their handshake.
    pub handshakes_failed_total: AtomicU64,
    /// Event streams turned away.
    pub streams_refused_total: AtomicU64,
    /// Requests refused for another reason.
    pub refused_total: AtomicU64,
}

impl WebCounts {
    /// Says where the page is.
    pub fn set_served(&self, served: Served) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = served;
    }

    /// Where the page is.
    #[must_use]
    pub fn served(&self) -> Served {
        self.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As status shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let (state, address, cause) = match self.served() {
            Served::No => ("off", None, None),
            Served::At { address, .. } => ("served", Some(address.to_string()), None),
            Served::Failed(cause) => ("failed", None, Some(cause)),
        };
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        json!({
            "state": state,
            "address": address,
            "cause": cause,
            "clients": self.clients.load(Ordering::Relaxed),
            "streams": self.streams.load(Ordering::Relaxed),
            "logged-in": self.logged_in.load(Ordering::Relaxed),
            "accepted-total": count(&self.accepted_total),
            "shed-total": count(&self.shed_total),
            "handshakes-failed-total": count(&self.handshakes_failed_total),
            "streams-refused-total": count(&self.streams_refused_total),
            "refused-total": count(&self.refused_total),
        })
    }
}
