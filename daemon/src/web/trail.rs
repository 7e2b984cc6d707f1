//! Audit rows of the review page. What strangers can cause is bounded: of refusals the first few of a minute are written
//! one by one, the others as one row with their number.

use super::store::note;
use sekisho_logic::id::ReviewerName;
use sekisho_logic::time::{Clock, Mono};
use sekisho_store::StoreHandle;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Refusals of one minute that get a row of their own.
const ROWS_PER_MINUTE_MAX: u32 = 6;
const MINUTE: Duration = Duration::from_secs(60);

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// A wrong name or password.
    LogIn,
    /// A log-in before its wait was over.
    TooSoon,
    /// A ticket that is none, or used, or old.
    Ticket,
    /// A request another page made.
    Foreign,
    /// A change without the value it must carry.
    Csrf,
    /// Something the role does not allow.
    Role,
    /// Votes faster than anybody looks.
    TooFast,
}

impl Refused {
    const fn as_str(self) -> &'static str {
        match self {
            Self::LogIn => "log-in",
            Self::TooSoon => "log-in-too-soon",
            Self::Ticket => "ticket",
            Self::Foreign => "foreign-page",
            Self::Csrf => "csrf",
            Self::Role => "role",
            Self::TooFast => "votes-too-fast",
        }
    }
}

#[derive(Debug, Default)]
struct Gate {
    minute: Option<Mono>,
    written: u32,
    more: BTreeMap<Refused, u64>,
}

/// The audit trail as the page writes it.
pub struct Trail {
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    gate: Mutex<Gate>,
}

impl Trail {
    /// A trail that writes to `store`.
    #[must_use]
    pub fn new(store: StoreHandle, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, gate: Mutex::default() }
    }

    /// Somebody logged in. Reviewers are noted as seen.
    pub fn logged_in(&self, name: Option<ReviewerName>, identity: &str, by: &'static str, address: IpAddr) {
        tracing::info!("review: {identity} logged in by {by} from {address}");
        let (identity, now) = (identity.to_owned(), self.clock.now().wall);
        let detail = json!({ "by": by, "address": address.to_string() });
        note(&self.store, "a log-in was not audited", move |store| {
            store.note_login(name.as_ref(), &identity, detail, now)
        });
    }

    /// An admin of the box got a ticket in a reviewer's name.
    pub fn stood_in(&self, admin: &str, reviewer: &str) {
        tracing::warn!("review: {admin} opens the page as {reviewer}");
        self.write(admin, "review-ticket-as", json!({ "reviewer": reviewer }));
    }

    /// A log-in ended: `logged-out`, `reset-or-removed`.
    pub fn logged_out(&self, identity: &str, why: &'static str) {
        tracing::info!("review: {identity} is logged out ({why})");
        self.write(identity, "review-logout", json!({ "why": why }));
    }

    /// Something was refused. `identity` only where it is known: what a stranger typed as a name may be a password.
    pub fn refused(&self, what: Refused, identity: Option<&str>, address: IpAddr) {
        let detail = json!({ "what": what.as_str(), "address": address.to_string() });
        if self.admit(what) {
            let who = identity.unwrap_or("unknown");
            tracing::warn!("review: refused {} ({who} from {address})", what.as_str());
            self.write(who, "review-refused", detail);
        }
    }

    /// Time passes: what was only counted is written.
    pub fn tick(&self) {
        let now = self.clock.now().mono;
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let over = gate.minute.is_some_and(|began| now.since(began) >= MINUTE);
        let gate = if over { std::mem::take(&mut *gate) } else { return };
        if gate.more.is_empty() {
            return;
        }
        let more: Value = gate.more.iter().map(|(what, count)| (what.as_str().to_owned(), json!(count))).collect();
        tracing::warn!("review: refused in the last minute besides those named: {more}");
        self.write("unknown", "review-refused", json!({ "more": more }));
    }

    fn admit(&self, what: Refused) -> bool {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.minute.get_or_insert(self.clock.now().mono);
        if gate.written < ROWS_PER_MINUTE_MAX {
            gate.written += 1;
            return true;
        }
        *gate.more.entry(what).or_default() += 1;
        false
    }

    fn write(&self, actor: &str, action: &'static str, detail: Value) {
        let (actor, now) = (actor.to_owned(), self.clock.now().wall);
        note(&self.store, "an audit row was not written", move |store| store.audit(now, &actor, action, None, detail));
    }
}
