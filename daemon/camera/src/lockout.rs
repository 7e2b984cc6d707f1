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

#[derive(Debug, Default)]
struct Ledger {
    failures: Vec<Mono>,
    under_way: usize,
}

/// The ledger of refused passwords, shared between all cameras.
#[derive(Debug, Default)]
pub struct AuthLockout {
    ledgers: Mutex<HashMap<Account, Ledger>>,
}

/// Whether a camera may present its password now.
#[derive(Debug)]
pub enum Admission {
    /// Yes.
    Go(Permit),
    /// Others are trying the same account right now; ask again in a moment.
    Busy,
    /// No, not before this time, unless the configuration changes.
    Hold(Mono),
}

/// Leave for one attempt. Dropped without a word, the attempt counts for nothing: the camera was not reached.
#[derive(Debug)]
pub struct Permit {
    lockout: Arc<AuthLockout>,
    account: Account,
}

impl AuthLockout {
    /// A ledger without entries.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for leave to present `user`'s password to `host`.
    #[must_use]
    pub fn begin(self: &Arc<Self>, host: &str, user: &str, now: Mono) -> Admission {
        let account = (host.to_owned(), user.to_owned());
        let mut ledgers = unpoisoned(self.ledgers.lock());
        let ledger = ledgers.entry(account.clone()).or_default();
        ledger.failures.retain(|at| now.since(*at) < WINDOW);
        if ledger.failures.len() >= FAILURES_MAX {
            let until = ledger.failures.iter().min().map_or(now, |first| first.plus(WINDOW));
            return Admission::Hold(until);
        }
        if ledger.failures.len() + ledger.under_way >= FAILURES_MAX {
            return Admission::Busy;
        }
        ledger.under_way += 1;
        Admission::Go(Permit { lockout: self.clone(), account })
    }

    /// Forgets the failures of one account, because its configured password changed.
    pub fn forget(&self, host: &str, user: &str) {
        if let Some(ledger) = unpoisoned(self.ledgers.lock()).get_mut(&(host.to_owned(), user.to_owned())) {
            ledger.failures.clear();
        }
    }
}

impl Permit {
    /// The camera accepted the password, or did not ask for it. Earlier refusals stay counted: another camera's entry
    /// may hold a wrong password for the same account.
    pub fn passed(self) {}

    /// The camera refused the password at `now`.
    pub fn refused(self, now: Mono) {
        if let Some(ledger) = unpoisoned(self.lockout.ledgers.lock()).get_mut(&self.account) {
            ledger.failures.push(now);
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

    fn go(lockout: &Arc<AuthLockout>, host: &str, at_s: u64) -> Permit {
        match lockout.begin(host, "ann", AT(at_s)) {
            Admission::Go(permit) => permit,
            other => panic!("expected leave at {at_s} s, got {other:?}"),
        }
    }

    #[test]
    fn the_third_attempt_waits_for_half_an_hour() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 10).refused(AT(10));
        assert!(matches!(lockout.begin("nvr", "ann", AT(20)), Admission::Hold(until) if until == AT(1800)));
        assert!(matches!(lockout.begin("nvr", "ann", AT(1799)), Admission::Hold(_)));
        go(&lockout, "nvr", 1800).refused(AT(1800));
        assert!(matches!(lockout.begin("nvr", "ann", AT(1801)), Admission::Hold(until) if until == AT(1810)));
    }

    #[test]
    fn accounts_are_counted_apart() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 1).refused(AT(1));
        go(&lockout, "yard", 2).passed();
        assert!(matches!(lockout.begin("nvr", "bob", AT(2)), Admission::Go(_)));
    }

    #[test]
    fn attempts_under_way_count_as_failures_until_they_are_answered() {
        let lockout = AuthLockout::new();
        let (first, second) = (go(&lockout, "nvr", 0), go(&lockout, "nvr", 0));
        assert!(matches!(lockout.begin("nvr", "ann", AT(0)), Admission::Busy));
        first.passed();
        let third = go(&lockout, "nvr", 1);
        second.refused(AT(1));
        assert!(matches!(lockout.begin("nvr", "ann", AT(1)), Admission::Busy));
        drop(third);
        go(&lockout, "nvr", 2).passed();
    }

    #[test]
    fn a_changed_password_starts_afresh() {
        let lockout = AuthLockout::new();
        go(&lockout, "nvr", 0).refused(AT(0));
        go(&lockout, "nvr", 1).refused(AT(1));
        lockout.forget("nvr", "ann");
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
                    if let Admission::Go(permit) = lockout.begin("nvr", "ann", AT(now_s)) {
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
