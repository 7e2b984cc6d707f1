//! Who is logged in to the review page. In memory only: a restart logs everybody out.
//!
//! ```text
//! log-in --(new id, always)--> open --act--> open
//!                               | idle too long, open too long, logged out, password reset, reviewer removed,
//!                               | Unix user linked otherwise, pushed out by newer ones
//!                               \--> gone; its event streams end
//! ```
//!
//! The browser holds 256 random bits; here is only their SHA-256. Time is the monotonic clock's, as an argument.

use super::secret::{self, Digest, NoRandom};
use sekisho_logic::id::ReviewerName;
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::{Reviewer, ReviewerRole};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq as _;
use tokio::sync::{Semaphore, watch};

/// Log-ins at a time. Some dozen people with some browsers each; beyond it the one idle for longest goes.
pub const SESSIONS_MAX: usize = 256;
/// Log-ins of one person at a time, so that nobody can push out the others.
pub const SESSIONS_EACH_MAX: usize = 8;
/// Event streams of one log-in: a few tabs.
pub const STREAMS_EACH_MAX: usize = 4;
/// Votes of one log-in within a minute. A reviewer looks at each alert; a program that votes for one does not.
pub const VOTES_PER_MINUTE_MAX: u32 = 30;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// What the page calls them.
    pub name: String,
    /// The name under which they vote and are audited: `reviewer:sato`, `uid:1000`.
    pub identity: String,
    /// What they may do.
    pub role: ReviewerRole,
    /// How they proved it.
    pub by: By,
}

/// How somebody proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// With the password that was set then.
    Password {
        /// The reviewer.
        name: ReviewerName,
        /// When it was set.
        set: WallMs,
    },
    /// With a ticket that the kernel's word got them at the socket.
    Ticket {
        /// Their Unix user.
        uid: u32,
        /// The reviewer who is that user, and when their password was set.
        linked: Option<(ReviewerName, WallMs)>,
    },
    /// With a ticket that an admin of the box got in their name; audited with who that was.
    Admin {
        /// The admin's Unix user.
        uid: u32,
        /// The reviewer.
        name: ReviewerName,
        /// When their password was set.
        set: WallMs,
    },
}

impl Who {
    /// Whether it still holds, by the reviewers there are now.
    #[must_use]
    pub fn holds(&self, reviewers: &[Reviewer]) -> bool {
        match &self.by {
            By::Password { name, set } | By::Admin { name, set, .. } => {
                reviewers.iter().any(|one| one.name == *name && one.secret_set == *set && one.role == self.role)
            }
            By::Ticket { uid, linked } => {
                let now = reviewers.iter().find(|one| one.unix_uid == Some(*uid));
                now.map(|one| (&one.name, one.secret_set)) == linked.as_ref().map(|(name, set)| (name, *set))
            }
        }
    }
}

/// What a browser is given at log-in.
#[derive(Debug)]
pub struct Opened {
    /// For the cookie.
    pub token: String,
    /// Who is logged in.
    pub caller: Caller,
}

/// Whoever sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Which log-in.
    pub key: Digest,
    /// Who.
    pub who: Arc<Who>,
    /// What every change must carry.
    pub csrf: Arc<str>,
    /// When the log-in ends if nothing happens.
    pub expires: WallMs,
    /// Places for event streams.
    pub streams: Arc<Semaphore>,
    /// Turns true when the log-in ends.
    pub over: watch::Receiver<bool>,
}

impl Caller {
    /// Whether `given` is the value every change must carry; takes the same time whatever it is.
    #[must_use]
    pub fn carries(&self, given: &[u8]) -> bool {
        self.csrf.as_bytes().ct_eq(given).into()
    }
}

/// Whether somebody did something, or only the page asked how things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody did something.
    Deed,
    /// The page asked by itself.
    Glance,
}

/// How long log-ins last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without a deed.
    pub idle: Duration,
    /// In all.
    pub longest: Duration,
}

#[derive(Debug)]
struct Session {
    who: Arc<Who>,
    csrf: Arc<str>,
    began: Mono,
    deed: Mono,
    votes: Bucket,
    streams: Arc<Semaphore>,
    over: Over,
}

/// Tells the event streams of a log-in that it is over, however it ends.
#[derive(Debug)]
struct Over(watch::Sender<bool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// So many within a minute, and then as many as the minutes bring.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    left: f64,
    at: Mono,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(at: Mono, per_minute: u32) -> Self {
        Self { left: f64::from(per_minute), at }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, at: Mono, per_minute: u32) -> Result<(), Duration> {
        let per_minute = f64::from(per_minute);
        self.left = (self.left + at.since(self.at).as_secs_f64() * per_minute / 60.0).min(per_minute);
        self.at = at;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) * 60.0 / per_minute))
    }
}

/// Everybody who is logged in.
#[derive(Debug, Default)]
pub struct Sessions {
    open: HashMap<Digest, Session>,
}

impl Sessions {
    /// Somebody logged in. Ids are never taken over from before, so nobody can be made to use one that others know.
    ///
    /// # Errors
    /// [`NoRandom`].
    pub fn open(&mut self, who: Who, now: Now, limits: Limits) -> Result<Opened, NoRandom> {
        let (token, csrf) = (secret::token()?, secret::token()?);
        self.sweep(now.mono, limits);
        let own = self.longest_idle(|session| session.who.identity == who.identity, SESSIONS_EACH_MAX);
        let any = own.or_else(|| self.longest_idle(|_| true, SESSIONS_MAX));
        any.and_then(|key| self.open.remove(&key));
        let key = secret::digest(&token);
        let session = Session {
            who: Arc::new(who),
            csrf: csrf.into(),
            began: now.mono,
            deed: now.mono,
            votes: Bucket::full(now.mono, VOTES_PER_MINUTE_MAX),
            streams: Arc::new(Semaphore::new(STREAMS_EACH_MAX)),
            over: Over(watch::channel(false).0),
        };
        let caller = caller(key, &session, now, limits);
        self.open.insert(key, session);
        Ok(Opened { token, caller })
    }

    /// Who holds `token`.
    pub fn find(&mut self, token: &str, now: Now, limits: Limits, act: Act) -> Option<Caller> {
        let key = secret::digest(token);
        let session = self.open.get_mut(&key)?;
        if !lasts(session, now.mono, limits) {
            self.open.remove(&key);
            return None;
        }
        if act == Act::Deed {
            session.deed = now.mono;
        }
        Some(caller(key, session, now, limits))
    }

    /// Counts a vote.
    ///
    /// # Errors
    /// How long until the next one is taken.
    pub fn count_vote(&mut self, key: &Digest, at: Mono) -> Result<(), Duration> {
        self.open.get_mut(key).map_or(Ok(()), |session| session.votes.take(at, VOTES_PER_MINUTE_MAX))
    }

    /// Ends a log-in.
    pub fn end(&mut self, key: &Digest) {
        self.open.remove(key);
    }

    /// Ends what has lasted too long.
    pub fn sweep(&mut self, at: Mono, limits: Limits) {
        self.open.retain(|_, session| lasts(session, at, limits));
    }

    /// Ends every log-in that `holds` does not hold for; says of whom.
    pub fn keep(&mut self, holds: impl Fn(&Who) -> bool) -> Vec<String> {
        let mut ended = Vec::new();
        self.open.retain(|_, session| {
            let kept = holds(&session.who);
            if !kept {
                ended.push(session.who.identity.clone());
            }
            kept
        });
        ended
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// The one of `those` without a deed for longest, when there are `most` of them or more.
    fn longest_idle(&self, those: impl Fn(&Session) -> bool, most: usize) -> Option<Digest> {
        let those = || self.open.iter().filter(|(_, session)| those(session));
        if those().count() < most {
            return None;
        }
        those().min_by_key(|(_, session)| session.deed).map(|(key, _)| *key)
    }
}

fn lasts(session: &Session, at: Mono, limits: Limits) -> bool {
    at.since(session.deed) < limits.idle && at.since(session.began) < limits.longest
}

fn caller(key: Digest, session: &Session, now: Now, limits: Limits) -> Caller {
    let idle = limits.idle.saturating_sub(now.mono.since(session.deed));
    let left = limits.longest.saturating_sub(now.mono.since(session.began)).min(idle);
    Caller {
        key,
        who: Arc::clone(&session.who),
        csrf: Arc::clone(&session.csrf),
        expires: WallMs(now.wall.0.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX))),
        streams: Arc::clone(&session.streams),
        over: session.over.0.subscribe(),
    }
}

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
