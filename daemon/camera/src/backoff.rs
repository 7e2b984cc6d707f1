//! How long a camera waits before the next attempt. Pure: the jitter comes in as an argument.

use crate::fault::Remedy;
use std::time::Duration;

/// First wait.
const FIRST: Duration = Duration::from_secs(1);
/// Longest wait before jitter: a camera that was off for an hour is back within 75 s of coming up.
const LONGEST: Duration = Duration::from_secs(60);
/// Pictures must have come for this long before a connection counts as good. Resetting on the mere connection makes a
/// camera that accepts and then fails be hammered once a second for ever.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Wait after a fault that only a person can mend.
const RECONFIGURE: Duration = Duration::from_secs(300);

/// Consecutive faults of one camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    faults: u32,
}

impl Backoff {
    /// Attempts in a row that ended in a fault.
    #[must_use]
    pub const fn faults(&self) -> u32 {
        self.faults
    }

    /// Counts a fault and says how long to wait. `good_for` is how long pictures came without a gap before it;
    /// `jitter` in 0..=1 spreads the wait over -25 % to +25 %, so that a switch that comes back is not met by all its
    /// cameras' clients in the same instant.
    #[must_use]
    pub fn on_fault(&mut self, remedy: Remedy, good_for: Duration, jitter: f64) -> Duration {
        if good_for >= GOOD_FOR {
            self.faults = 0;
        }
        let doubled = FIRST.saturating_mul(1 << self.faults.min(6)).min(LONGEST);
        self.faults = self.faults.saturating_add(1);
        let base = match remedy {
            Remedy::Retry | Remedy::Hold => doubled,
            Remedy::Reconfigure => RECONFIGURE,
        };
        base.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Forgets everything, because the configuration changed.
    pub fn reset(&mut self) {
        self.faults = 0;
    }
}

/// A number in 0..1 nobody can foresee, for jitter only. The standard library seeds its hashers from the system's
/// random source; that is enough to keep cameras apart and costs no dependency.
#[must_use]
pub(crate) fn random_jitter() -> f64 {
    use std::hash::{BuildHasher as _, RandomState};
    let bits = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ZERO: Duration = Duration::ZERO;

    #[test]
    fn waits_double_from_one_second_to_a_minute() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.on_fault(Remedy::Retry, ZERO, 0.5).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn only_half_a_minute_of_good_frames_resets_it() {
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            let _ = backoff.on_fault(Remedy::Retry, ZERO, 0.5);
        }
        assert_eq!(backoff.on_fault(Remedy::Retry, Duration::from_secs(29), 0.5).as_secs(), 16);
        assert_eq!(backoff.on_fault(Remedy::Retry, Duration::from_secs(30), 0.5).as_secs(), 1);
    }

    #[test]
    fn what_only_a_person_can_mend_is_looked_at_every_five_minutes() {
        assert_eq!(Backoff::default().on_fault(Remedy::Reconfigure, ZERO, 0.5).as_secs(), 300);
    }

    #[test]
    fn two_cameras_do_not_wait_alike() {
        let draws: Vec<f64> = (0..8).map(|_| random_jitter()).collect();
        assert!(draws.iter().all(|j| (0.0..=1.0).contains(j)));
        assert!(draws.iter().any(|j| (j - draws[0]).abs() > 1e-6), "{draws:?}");
    }

    proptest! {
        #[test]
        fn waits_stay_between_three_quarters_of_a_second_and_75_s(
            events in proptest::collection::vec((0_u64..60, -1.0_f64..2.0), 1..60)
        ) {
            let mut backoff = Backoff::default();
            let mut since_good = 0_u32;
            for (good_s, jitter) in events {
                since_good = if good_s >= 30 { 0 } else { since_good };
                let wait = backoff.on_fault(Remedy::Retry, Duration::from_secs(good_s), jitter).as_secs_f64();
                let base = f64::from(1_u32 << since_good.min(6)).min(60.0);
                prop_assert!(wait >= base * 0.749 && wait <= base * 1.251, "{wait} for {since_good} faults");
                since_good += 1;
            }
        }
    }
}
