//! What a sample may be used to claim.

use serde::{Deserialize, Serialize};

/// Fewer distinct people than this carry no claim about people.
pub const PEOPLE_MIN: usize = 10;

/// An error rate is claimed only where the sample would show at least this many errors at the target.
pub const ERRORS_MIN: u64 = 3;

/// Whether a figure is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Claim {
    /// The sample carries it.
    Claimed,
    /// It does not; the figure is shown for orientation only.
    NotClaimed {
        /// Distinct people it would need.
        people: usize,
        /// Trials it would need.
        trials: u64,
    },
}

/// Whether a sample carries a statement about an error rate of `target` (0..1).
#[must_use]
pub fn claim_rate(people: usize, trials: u64, target: f64) -> Claim {
    #[expect(clippy::cast_precision_loss, reason = "a small constant")]
    let wanted = ERRORS_MIN as f64 / target.max(1e-9);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and at most 3e9")]
    let trials_min = (wanted - 1e-6).ceil() as u64;
    if people >= PEOPLE_MIN && trials >= trials_min {
        return Claim::Claimed;
    }
    Claim::NotClaimed { people: PEOPLE_MIN, trials: trials_min }
}

/// Whether a sample carries a statement about how many people are found.
#[must_use]
pub const fn claim_found(people: usize) -> Claim {
    if people >= PEOPLE_MIN {
        return Claim::Claimed;
    }
    Claim::NotClaimed { people: PEOPLE_MIN, trials: PEOPLE_MIN as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_expected_errors_and_ten_people_carry_a_claim() {
        assert_eq!(claim_rate(10, 300, 0.01), Claim::Claimed);
        assert_eq!(claim_rate(10, 299, 0.01), Claim::NotClaimed { people: 10, trials: 300 });
        assert_eq!(claim_rate(9, 5000, 0.01), Claim::NotClaimed { people: 10, trials: 300 });
        assert_eq!(claim_rate(400, 2999, 0.001), Claim::NotClaimed { people: 10, trials: 3000 });
        assert_eq!(claim_found(9), Claim::NotClaimed { people: 10, trials: 10 });
        assert_eq!(claim_found(10), Claim::Claimed);
    }
}
