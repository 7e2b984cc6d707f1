//! Differences between groups of people.

use super::claim::Claim;
use super::interval::{Share, Tally, share};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One group's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spread {
    /// By name.
    pub groups: Vec<GroupShare>,
    /// Largest share over the smallest, among groups whose sample carries a claim. `None` with fewer than two of them,
    /// or when the smallest is zero.
    pub worst_over_best: Option<f64>,
}

/// Shares of an error (misses, false candidates) by group; every item is one person's group and trials. `claim` says which
/// samples carry a statement: see [`claim_found`](super::claim_found) and [`claim_rate`](super::claim_rate).
#[must_use]
pub fn spread<'a>(people: impl IntoIterator<Item = (&'a str, Tally)>, claim: impl Fn(&Share) -> Claim) -> Spread {
    let mut by_group: BTreeMap<&str, Vec<Tally>> = BTreeMap::new();
    for (group, tally) in people {
        by_group.entry(group).or_default().push(tally);
    }
    let groups: Vec<GroupShare> = by_group
        .into_iter()
        .map(|(group, tallies)| {
            let share = share(tallies);
            GroupShare { group: group.to_owned(), claim: claim(&share), share }
        })
        .collect();
    let claimed = groups.iter().filter(|group| group.claim == Claim::Claimed).filter_map(|group| group.share.value());
    let claimed: Vec<f64> = claimed.collect();
    let best = claimed.iter().copied().fold(f64::INFINITY, f64::min);
    let worst = claimed.iter().copied().fold(0.0, f64::max);
    let worst_over_best = (claimed.len() >= 2 && best > 0.0).then(|| worst / best);
    Spread { groups, worst_over_best }
}

impl Spread {
    /// The two groups that differ most, worst first, where they differ by at least `ratio_max` and their intervals do not
    /// overlap: less may be chance. Groups that carry no claim are left out.
    #[must_use]
    pub fn apart(&self, ratio_max: f64) -> Option<Apart<'_>> {
        let claimed = || self.groups.iter().filter(|group| group.claim == Claim::Claimed);
        let pairs = claimed().flat_map(|worst| claimed().map(move |best| (worst, best)));
        let apart = pairs.filter(|(worst, best)| worst.share.low > best.share.high).filter_map(|(worst, best)| {
            let (high, low) = (worst.share.value()?, best.share.value()?);
            // A group without an error has no ratio; its upper end says how small its rate may be at the most.
            let ratio = high / if low > 0.0 { low } else { best.share.high.max(1e-9) };
            (ratio >= ratio_max).then_some(Apart { worst: &worst.group, best: &best.group, ratio })
        });
        apart.max_by(|a, b| a.ratio.total_cmp(&b.ratio))
    }
}

/// Two groups that differ beyond chance and beyond what the site bears.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Apart<'s> {
    /// The group with more errors.
    pub worst: &'s str,
    /// The group with fewer.
    pub best: &'s str,
    /// How many times more; at least that where the better group has none.
    pub ratio: f64,
}

#[cfg(test)]
mod tests {
    use super::super::claim::{claim_found, claim_rate};
    use super::*;

    #[test]
    fn the_ratio_is_of_groups_large_enough_to_speak() {
        let tally = |hits| Tally { hits, of: 10 };
        let mut people = vec![("a", tally(1)); 12];
        people.extend(vec![("b", tally(3)); 10]);
        people.extend(vec![("c", tally(9)); 2]);
        let found = spread(people, |share| claim_found(share.people));
        assert_eq!(found.groups.len(), 3);
        assert!((found.worst_over_best.expect("two groups speak") - 3.0).abs() < 1e-12);
        assert!(matches!(found.groups[2].claim, Claim::NotClaimed { .. }));
        assert_eq!(spread([("a", tally(1))], |share| claim_found(share.people)).worst_over_best, None);
    }

    #[test]
    fn a_rate_below_three_over_the_trials_is_not_claimed() {
        let people = |count| vec![("a", Tally { hits: 0, of: 10 }); count];
        let claimed = |count| {
            spread(people(count), |share| claim_rate(share.people, share.of, 1e-3)).groups[0].claim == Claim::Claimed
        };
        assert!(!claimed(299) && claimed(300), "3000 trials for one in a thousand");
    }

    #[test]
    fn groups_are_apart_where_chance_and_the_sites_limit_are_both_passed() {
        let group = |name, hits, people| std::iter::repeat_n((name, Tally { hits, of: 10 }), people);
        let found = |people: Vec<(&'static str, Tally)>| spread(people, |share| claim_found(share.people));
        let far = found(group("a", 1, 200).chain(group("b", 4, 200)).chain(group("c", 9, 3)).collect());
        let apart = far.apart(2.0).expect("four times, and many people");
        assert_eq!((apart.worst, apart.best), ("b", "a"));
        assert!((apart.ratio - 4.0).abs() < 1e-9 && far.apart(5.0).is_none());
        let few = found(group("a", 1, 10).chain(group("b", 2, 10)).collect());
        assert_eq!(few.apart(1.5), None, "the intervals overlap");
        let none = found(group("a", 0, 300).chain(group("b", 1, 300)).collect());
        assert!(none.apart(2.0).is_some_and(|apart| apart.ratio >= 5.0), "against what its upper end allows");
    }
}
