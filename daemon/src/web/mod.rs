//! The review page: where people look at alerts and vote.
//!
//! ```text
//! browser -> listen (places, TLS, time limits) -> gate (host, origin, body) -> enter (log-in, csrf) -> api -> store, decide
//!                                                                                   |
//! socket: POST /v1/review/ticket -> tickets -> POST /api/ticket --------------------+
//! committed events -> relay (no score, no vote) -> event streams
//! follow, twice a second: the store's reviewers -> reviewers -> log-ins that no longer hold end
//! ```
//!
//! Nothing here decides about anybody: a vote is an order to the deciding loop, under a name the daemon vouches for.

pub mod api;
pub mod assets;
pub mod attempts;
pub mod cookie;
pub mod counts;
pub mod listen;
pub mod origin;
pub mod password;
pub mod refusal;
pub mod relay;
pub mod reviewers;
pub mod secret;
pub mod sessions;
pub mod store;
pub mod tickets;
pub mod tls;
pub mod trail;
pub mod view;

use crate::cmd::Failure;
use crate::config::Settings;
use crate::run::decide::Order;
use crate::status::view::Sources;
use attempts::Attempts;
use cookie::DeviceKey;
use counts::{Served, WebCounts};
use password::Verifier;
use refusal::Refusal;
use relay::Told;
use reviewers::Reviewers;
use sekisho_logic::time::{Clock, Now};
use sekisho_store::{Store, StoreHandle};
use sessions::{Act, Bucket, By, Caller, Limits, Sessions, Who};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tickets::Tickets;
use tokio::sync::{broadcast, watch};
use trail::Trail;

/// How often the store is asked who may still log in. What another process changes takes effect within about this time.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);

/// Log-ins of one person within a minute. Somebody who logs in more often is a program.
const LOG_INS_PER_MINUTE_MAX: u32 = 10;

/// Events an event stream may be behind before it is told that it missed some.
const BACKLOG_MAX: usize = 64;

/// What the page works with from elsewhere in the daemon.
pub struct Around {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The store thread.
    pub store: StoreHandle,
    /// The deciding loop.
    pub orders: SyncSender<Order>,
    /// Committed alert events, as JSON lines.
    pub alerts: broadcast::Sender<Arc<str>>,
    /// What status reads from.
    pub sources: Arc<Sources>,
    /// The settings in force.
    pub settings: Arc<RwLock<Settings>>,
    /// Counters of the page.
    pub counts: Arc<WebCounts>,
}

/// The page's state.
pub struct Web {
    around: Around,
    /// The reviewers there are.
    pub reviewers: Reviewers,
    sessions: Mutex<Sessions>,
    tickets: Mutex<Tickets>,
    attempts: Mutex<Attempts>,
    log_ins: Mutex<BTreeMap<String, Bucket>>,
    verifier: Verifier,
    trail: Trail,
    device_key: DeviceKey,
    told: broadcast::Sender<Arc<Told>>,
    portraits: Mutex<api::pictures::Portraits>,
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("counts", &self.around.counts).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Web {
    /// The page's state, with the reviewers there are now. Waits for the store.
    ///
    /// # Errors
    /// [`Failure::No`] when the store or the system refuses.
    pub fn new(around: Around) -> Result<Self, Failure> {
        let asked = around
            .store
            .call(|store| Ok::<_, sekisho_store::StoreError>((store.reviewers()?, store.lasting_random("devices")?)));
        let (all, key) = asked.map_err(Failure::no)?.map_err(Failure::no)?;
        let device_key = DeviceKey::from_hex(&key)
            .ok_or_else(|| Failure::No("the database holds something else where the browsers' key should be".into()))?;
        let reviewers = Reviewers::default();
        reviewers.replace(all);
        Ok(Self {
            reviewers,
            sessions: Mutex::default(),
            tickets: Mutex::default(),
            attempts: Mutex::default(),
            log_ins: Mutex::default(),
            verifier: Verifier::new().map_err(Failure::no)?,
            trail: Trail::new(around.store.clone(), Arc::clone(&around.clock)),
            device_key,
            told: broadcast::channel(BACKLOG_MAX).0,
            portraits: Mutex::default(),
            around,
        })
    }

    /// Starts serving, when the settings ask for it, and following the store in any case. Must be called inside a tokio
    /// runtime; everything ends when `stop` turns true.
    pub fn start(self: &Arc<Self>, stop: &watch::Receiver<bool>) -> watch::Sender<u64> {
        let (reload, reloads) = watch::channel(0);
        tokio::spawn(Arc::clone(self).follow(stop.clone()));
        if self.settings(|settings| settings.review.enabled) {
            tokio::spawn(relay::relay(self.around.alerts.subscribe(), self.told.clone()));
            let app = api::router(Arc::clone(self));
            tokio::spawn(listen::serve(Arc::clone(self), app, reloads, stop.clone()));
        }
        reload
    }

    fn now(&self) -> Now {
        self.around.clock.now()
    }

    pub(crate) fn settings<T>(&self, read: impl FnOnce(&Settings) -> T) -> T {
        read(&self.around.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn limits(&self) -> Limits {
        self.settings(|settings| Limits { idle: settings.review.session_idle, longest: settings.review.session_max })
    }

    /// Who holds this token.
    fn caller(&self, token: &str, act: Act) -> Option<Caller> {
        lock(&self.sessions).find(token, self.now(), self.limits(), act)
    }

    /// Counts one more log-in of somebody.
    fn count_log_in(&self, identity: &str) -> Result<(), Duration> {
        let (mut counted, at) = (lock(&self.log_ins), self.now().mono);
        if counted.len() >= 2 * sekisho_store::REVIEWERS_MAX {
            counted.clear();
        }
        let bucket = counted.entry(identity.to_owned()).or_insert_with(|| Bucket::full(at, LOG_INS_PER_MINUTE_MAX));
        bucket.take(at, LOG_INS_PER_MINUTE_MAX)
    }

    /// A ticket for a Unix user whom the kernel vouches for, and the address it is for.
    ///
    /// # Errors
    /// [`Refusal`] when the page is not served.
    pub fn ticket(&self, uid: u32, role: sekisho_store::ReviewerRole) -> Result<Ticket, Refusal> {
        let linked = self.reviewers.all().iter().find(|one| one.unix_uid == Some(uid)).cloned();
        let unix = || nix::unistd::User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
        let identity = self.reviewers.canonical(&format!("uid:{uid}"));
        let name = linked.as_ref().map(|one| one.name.to_string()).or_else(unix).unwrap_or_else(|| identity.clone());
        let linked = linked.map(|one| (one.name, one.secret_set));
        self.ticket_of(Who { name, identity, role, by: By::Ticket { uid, linked } })
    }

    /// A ticket in a reviewer's name, for an admin of the box: a shared screen, a demonstration. It is audited. Whoever is
    /// root could set the reviewer a password all the same; this way it shows who did it.
    ///
    /// # Errors
    /// [`Refusal`] when there is no such reviewer or the page is not served.
    pub fn ticket_as(&self, admin: u32, reviewer: &str) -> Result<Ticket, Refusal> {
        let found = self.reviewers.all().iter().find(|one| one.name.as_str() == reviewer).cloned();
        let one = found.ok_or_else(|| {
            let said = "there is no such reviewer; `sekisho reviewers list` shows them";
            Refusal::new(axum::http::StatusCode::NOT_FOUND, said)
        })?;
        let by = By::Admin { uid: admin, name: one.name.clone(), set: one.secret_set };
        let who = Who { name: one.name.to_string(), identity: one.identity(), role: one.role, by };
        let ticket = self.ticket_of(who)?;
        self.trail.stood_in(&self.reviewers.canonical(&format!("uid:{admin}")), &one.identity());
        Ok(ticket)
    }

    fn ticket_of(&self, who: Who) -> Result<Ticket, Refusal> {
        let (address, fingerprint) = match self.around.counts.served() {
            Served::At { address, fingerprint } => (address, fingerprint),
            Served::Failed(cause) => {
                return Err(Refusal::unavailable(format!("the review page is not served: {cause}")));
            }
            Served::No => {
                let said = "the review page is not served; see [review] enabled in the configuration";
                return Err(Refusal::new(axum::http::StatusCode::CONFLICT, said));
            }
        };
        let token =
            lock(&self.tickets).give(who, self.now().mono).map_err(|error| Refusal::unavailable(error.to_string()))?;
        let names = self.settings(|settings| settings.review.names.clone());
        let url = format!("{}#ticket={token}", page_address(address, fingerprint.is_some(), &names));
        Ok(Ticket { url, fingerprint })
    }

    /// The groups that give roles changed: whoever has a role by one asks again.
    pub fn forget_tickets(&self) {
        let ended = lock(&self.sessions).keep(|who| matches!(who.by, By::Password { .. }));
        ended.iter().for_each(|identity| self.trail.logged_out(identity, "groups-changed"));
        *lock(&self.tickets) = Tickets::default();
    }

    /// Follows what other processes change.
    async fn follow(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut gallery = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                () = stopped(&mut stop) => return,
            }
            let asked =
                store::ask(&self.around.store, |store: &mut Store| Ok((store.reviewers()?, store.gallery_version()?)));
            // Whoever was let in stays while the disk refuses; what can be known is known again when it answers.
            let Ok((all, version)) = asked.await else { continue };
            self.reviewers.replace(all);
            let reviewers = self.reviewers.all();
            let mut sessions = lock(&self.sessions);
            let ended = sessions.keep(|who| who.holds(&reviewers));
            sessions.sweep(self.now().mono, self.limits());
            self.around.counts.logged_in.store(sessions.count(), Ordering::Relaxed);
            drop(sessions);
            ended.iter().for_each(|identity| self.trail.logged_out(identity, "reset-or-removed"));
            self.trail.tick();
            if gallery.replace(version).is_some_and(|before| before != version) {
                // Somebody may have been erased; what was cut from their photographs goes too.
                lock(&self.portraits).clear();
            }
        }
    }
}

/// Until the daemon stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone stops as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// A ticket, as the socket gives it out.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The page's address with the ticket behind the `#`, which browsers send to nobody.
    pub url: String,
    /// SHA-256 of the page's certificate; `None` without encryption.
    pub fingerprint: Option<String>,
}

/// The address for a browser on this machine, or the first of the site's names.
fn page_address(address: SocketAddr, encrypted: bool, names: &[String]) -> String {
    let scheme = if encrypted { "https" } else { "http" };
    let ip = address.ip();
    let host = match names.first() {
        Some(name) if !ip.is_loopback() => name.clone(),
        _ if ip.is_unspecified() => "localhost".to_owned(),
        _ if ip.is_ipv6() => format!("[{ip}]"),
        _ => ip.to_string(),
    };
    format!("{scheme}://{host}:{}/", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_a_browser_can_use() {
        let at = |text: &str, encrypted, names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            page_address(text.parse().expect("an address"), encrypted, &names)
        };
        assert_eq!(at("127.0.0.1:7788", false, &["guard.example"]), "http://127.0.0.1:7788/");
        assert_eq!(at("0.0.0.0:443", true, &[]), "https://localhost:443/");
        assert_eq!(at("0.0.0.0:443", true, &["guard.example"]), "https://guard.example:443/");
        assert_eq!(at("[::1]:7788", false, &[]), "http://[::1]:7788/");
        assert_eq!(at("10.0.0.5:7788", true, &[]), "https://10.0.0.5:7788/");
    }
}
