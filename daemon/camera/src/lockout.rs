//! Keeps us from locking the accounts of cameras: common models bar an account for 30 minutes after five wrong
//! passwords, and a program that retries every ten seconds keeps it barred for ever.
//!
//! All cameras share one [`AuthLockout`]; it counts per host and user, because that is what recorders and cameras
//! count by, whatever the port or path.
//!
//! ```text
//! begin -> Go(permit) -- permit.passed() or dropped --> nothing counted
//!                     \- permit.refused(now) --> one failure, remembered for 30 minutes
//! begin -> Busy: failures + attempts under way would exceed two; ask again in a moment
//! begin -> Hold(until): two failures within the last 30 minutes
//! ```
//!
//! Attempts under way count as if they had failed already: eight channels of one recorder that start together with a
//! wrong password would else make eight failures before the first answer is in.

use crate::secret::{Credential, Secret};
use crate::slot::unpoisoned;
use sekisho_logic::time::Mono;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Refused passwords allowed per host and user within [`WINDOW`].
pub const FAILURES_MAX: usize = 2;
/// How long a refusal is remembered.
pub const WINDOW: Duration = Duration::from_secs(30 * 60);

type Account = (String, String);

#[derive(Default)]
struct Ledger {
    failures: Vec<(Mono, Secret)>,
    under_way: usize,
}

/// The ledger of refused passwords, shared between all cameras.
#[derive(Default)]
pub struct AuthLockout {
    ledgers: Mutex<HashMap<Account, Ledger>>,
}

/// Whether a camera may present its password now.
pub enum Admission {
    /// Yes.
    Go(Permit),
    /// Others are trying the same account right now; ask again in a moment.
    Busy,
    /// No, not before this time, unless the configuration changes.
    Hold(Mono),
}

/// Leave for one attempt. Dropped without a word, the attempt counts for nothing: the camera was not reached.
pub struct Permit {
    lockout: Arc<AuthLockout>,
    account: Account,
    password: Secret,
}

impl AuthLockout {
    /// A ledger without entries.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for leave to present `who`'s password to `host`.
    #[must_use]
    pub fn begin(self: &Arc<Self>, host: &str, who: &Credential, now: Mono) -> Admission {
        let account = (host.to_owned(), who.user.clone());
        let mut ledgers = unpoisoned(self.ledgers.lock());
        let ledger = ledgers.entry(account.clone()).or_default();
        ledger.forget_old(now);
        if let Some(until) = ledger.held_until() {
            return Admission::Hold(until);
        }
        if ledger.failures.len() + ledger.under_way >= FAILURES_MAX {
            return Admission::Busy;
        }
        ledger.under_way += 1;
        Admission::Go(Permit { lockout: self.clone(), account, password: who.password.clone() })
    }

    /// Until when the account is held, if it is.
    #[must_use]
    pub fn held_until(&self, host: &str, who: &Credential, now: Mono) -> Option<Mono> {
        let mut ledgers = unpoisoned(self.ledgers.lock());
        let ledger = ledgers.get_mut(&(host.to_owned(), who.user.clone()))?;
        ledger.forget_old(now);
        ledger.held_until()
    }

    /// The configured password changed to `who`'s. Failures are forgotten, unless this very password is among those
    /// refused: eight channels of a recorder that are told of the same new password one after the other must not get
    /// two tries each.
    pub fn on_changed(&self, host: &str, who: &Credential) {
        if let Some(ledger) = unpoisoned(self.ledgers.lock()).get_mut(&(host.to_owned(), who.user.clone()))
            && ledger.failures.iter().all(|(_, refused)| *refused != who.password)
        {
            ledger.failures.clear();
        }
    }
}

impl Ledger {
    fn forget_old(&mut self, now: Mono) {
        self.failures.retain(|(at, _)| now.since(*at) < WINDOW);
    }

    fn held_until(&self) -> Option<Mono> {
        let first = self.failures.iter().map(|(at, _)| *at).min()?;
        (self.failures.len() >= FAILURES_MAX).then(|| first.plus(WINDOW))
    }
}

impl Permit {
    /// The camera accepted the password, or did not ask for it. Earlier refusals stay counted: another camera's entry
    /// may hold a wrong password for the same account.
    pub fn passed(self) {}

    /// The camera refused the password at `now`.
    pub fn refused(self, now: Mono) {
        if let Some(ledger) = unpoisoned(self.lockout.ledgers.lock()).get_mut(&self.account) {
            ledger.failures.push((now, self.password.clone()));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut ledgers = unpoisoned(self.lockout.ledgers.lock());
        if let Some(ledger) = ledgers.get_mut(&self.account) {
            ledger.under_way = ledger.under_way.saturating_sub(1);
            // An account without failures or attempts needs no entry; a configuration reloaded for years must not
            // leave one behind for every address it ever held.
            if ledger.under_way == 0 && ledger.failures.is_empty() {
                ledgers.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: fn(u64) -> Mono = |seconds| Mono::from_millis(seconds * 1000);

    fn who(user: &str, password: &str) -> Credential {
        Credential { user: user.to_owned(), password: Secret::new(password.to_owned()) }
    }

    fn ask(lockout: &Arc<AuthLockout>, host: &str, at_s: u64) -> Admission {
        lockout.begin(host, &who("ann", "old"), AT(at_s))
    }

    fn go(lockout: &Arc<AuthLockout>, host: &str, at_s: u64) -> Permit {
        let Admission::Go(permit) = ask(lockout, host, at_s) else { panic!("no leave at {at_s} s") };
        permit
    }

    #[test]
    fn the_third_attempt_waits_for_half_an_hour() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 10).refused(AT(10));
        assert!(matches!(ask(&lockout, "nvr", 20), Admission::Hold(until) if until == AT(1800)));
        assert!(matches!(ask(&lockout, "nvr", 1799), Admission::Hold(_)));
        go(&lockout, "nvr", 1800).refused(AT(1800));
        assert!(matches!(ask(&lockout, "nvr", 1801), Admission::Hold(until) if until == AT(1810)));
    }

    #[test]
    fn accounts_are_counted_apart() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 1).refused(AT(1));
        go(&lockout, "yard", 2).passed();
        assert!(matches!(lockout.begin("nvr", &who("bob", "old"), AT(2)), Admission::Go(_)));
    }

    #[test]
    fn attempts_under_way_count_as_failures_until_they_are_answered() {
        let lockout = AuthLockout::new();
        let (first, second) = (go(&lockout, "nvr", 0), go(&lockout, "nvr", 0));
        assert!(matches!(ask(&lockout, "nvr", 0), Admission::Busy));
        first.passed();
        let third = go(&lockout, "nvr", 1);
        second.refused(AT(1));
        assert!(matches!(ask(&lockout, "nvr", 1), Admission::Busy));
        drop(third);
        go(&lockout, "nvr", 2).passed();
    }

    #[test]
    fn a_changed_password_starts_afresh() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 1).refused(AT(1));
        lockout.on_changed("nvr", &who("ann", "old"));
        assert!(lockout.held_until("nvr", &who("ann", "old"), AT(2)).is_some(), "that password was refused");
        lockout.on_changed("nvr", &who("ann", "new"));
        go(&lockout, "nvr", 2).passed();
        assert!(unpoisoned(lockout.ledgers.lock()).is_empty(), "an idle account leaves no entry");
    }

    proptest! {
        /// Whatever many cameras do in whatever order, no 30 minutes see more than two refusals.
        #[test]
        fn never_three_refusals_within_the_window(
            steps in proptest::collection::vec((0_u64..600, 0_u8..4, 0_usize..4), 1..120)
        ) {
            let lockout = AuthLockout::new();
            let (mut now_s, mut open, mut refusals) = (0_u64, Vec::new(), Vec::<u64>::new());
            for (pass_s, what, which) in steps {
                now_s += pass_s;
                if what < 2 {
                    if let Admission::Go(permit) = ask(&lockout, "nvr", now_s) {
                        open.push(permit);
                    }
                } else if !open.is_empty() {
                    let permit = open.swap_remove(which % open.len());
                    if what == 2 {
                        permit.refused(AT(now_s));
                        refusals.push(now_s);
                    }
                }
            }
            for window in refusals.windows(3) {
                prop_assert!(window[2] - window[0] >= 1800, "{refusals:?}");
            }
        }
    }
}
