//! Differences between groups of people.

use super::claim::{Claim, claim_found};
use super::interval::{Share, Tally, share};
use serde::Serialize;
use std::collections::BTreeMap;

/// One group's share.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupShare {
    /// The group, as the operator named it.
    pub group: String,
    /// Its share.
    pub share: Share,
    /// Whether its sample carries a claim.
    pub claim: Claim,
}

/// All groups and how far apart they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spread {
    /// By name.
    pub groups: Vec<GroupShare>,
    /// Largest share over the smallest, among groups whose sample carries a claim. `None` with fewer than two of them,
    /// or when the smallest is zero.
    pub worst_over_best: Option<f64>,
}

/// Shares of an error (misses, false candidates) by group; every item is one person's group and trials.
#[must_use]
pub fn spread<'a>(people: impl IntoIterator<Item = (&'a str, Tally)>) -> Spread {
    let mut by_group: BTreeMap<&str, Vec<Tally>> = BTreeMap::new();
    for (group, tally) in people {
        by_group.entry(group).or_default().push(tally);
    }
    let groups: Vec<GroupShare> = by_group
        .into_iter()
        .map(|(group, tallies)| {
            let share = share(tallies);
            GroupShare { group: group.to_owned(), claim: claim_found(share.people), share }
        })
        .collect();
    let claimed = groups.iter().filter(|group| group.claim == Claim::Claimed).filter_map(|group| group.share.value());
    let claimed: Vec<f64> = claimed.collect();
    let best = claimed.iter().copied().fold(f64::INFINITY, f64::min);
    let worst = claimed.iter().copied().fold(0.0, f64::max);
    let worst_over_best = (claimed.len() >= 2 && best > 0.0).then(|| worst / best);
    Spread { groups, worst_over_best }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_of_groups_large_enough_to_speak() {
        let tally = |hits| Tally { hits, of: 10 };
        let mut people = vec![("a", tally(1)); 12];
        people.extend(vec![("b", tally(3)); 10]);
        people.extend(vec![("c", tally(9)); 2]);
        let found = spread(people);
        assert_eq!(found.groups.len(), 3);
        assert!((found.worst_over_best.expect("two groups speak") - 3.0).abs() < 1e-12);
        assert!(matches!(found.groups[2].claim, Claim::NotClaimed { .. }));
        assert_eq!(spread([("a", tally(1))]).worst_over_best, None);
    }
}
