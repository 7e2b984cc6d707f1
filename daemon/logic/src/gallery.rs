//! The enrolled people as the matcher sees them: one high-resolution prototype each, all from one network.

use crate::embedding::{Embedding, dot};
use crate::id::{ListId, PersonId};
use std::collections::BTreeMap;

/// One enrolled person's place in the gallery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: PersonId,
    /// Under which policy.
    pub list: ListId,
}

/// An immutable set of prototypes. A change makes a new gallery; tracks in flight notice by its revision.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    revision: u64,
    model_digest: String,
    dim: usize,
    members: Vec<Member>,
    prototypes: Vec<f32>,
    enrollers: BTreeMap<PersonId, String>,
}

/// Why prototypes do not make a gallery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGallery {
    /// Prototypes of different length cannot come from one network.
    #[error(
        "the prototype of {person} has {found} components, {expected} are expected; run `sekisho gallery re-embed`"
    )]
    Dimension {
        /// Whose.
        person: PersonId,
        /// Components found.
        found: usize,
        /// Components of the first prototype.
        expected: usize,
    },
    /// Two prototypes for one person.
    #[error("{0} appears twice in the gallery")]
    Twice(PersonId),
}

/// The best and the second-best person for one probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest<'g> {
    /// The best.
    pub member: &'g Member,
    /// Cosine with the best.
    pub cosine: f32,
    /// Cosine with the second best; absent when nobody else was compared.
    pub runner_up: Option<f32>,
    /// How many people were compared: the gallery size that thresholds depend on.
    pub compared: usize,
}

impl Gallery {
    /// Builds a gallery from prototypes made by the network `model_digest`.
    ///
    /// # Errors
    /// [`BadGallery`] for mixed lengths or a person given twice.
    pub fn try_new(
        revision: u64,
        model_digest: &str,
        people: impl IntoIterator<Item = (Member, Embedding)>,
    ) -> Result<Self, BadGallery> {
        let mut gallery = Self { revision, model_digest: model_digest.to_owned(), ..Self::default() };
        let mut seen = std::collections::BTreeSet::new();
        for (member, prototype) in people {
            if gallery.members.is_empty() {
                gallery.dim = prototype.dim();
            } else if prototype.dim() != gallery.dim {
                let (found, expected) = (prototype.dim(), gallery.dim);
                return Err(BadGallery::Dimension { person: member.person, found, expected });
            }
            if !seen.insert(member.person.clone()) {
                return Err(BadGallery::Twice(member.person));
            }
            gallery.prototypes.extend_from_slice(prototype.as_slice());
            gallery.members.push(member);
        }
        Ok(gallery)
    }

    /// Everybody with their prototype's components, in the order given.
    pub fn entries(&self) -> impl Iterator<Item = (&Member, &[f32])> {
        self.members.iter().zip(self.prototypes.chunks_exact(self.dim.max(1)))
    }

    /// Notes who enrolled whom; names of people who are not in it are left out.
    #[must_use]
    pub fn with_enrollers(mut self, enrollers: impl IntoIterator<Item = (PersonId, String)>) -> Self {
        let known: std::collections::BTreeSet<_> = self.members.iter().map(|member| member.person.clone()).collect();
        self.enrollers = enrollers.into_iter().filter(|(person, _)| known.contains(person)).collect();
        self
    }

    /// Who enrolled a person, where that is known.
    #[must_use]
    pub fn enrolled_by(&self, person: &PersonId) -> Option<&str> {
        self.enrollers.get(person).map(String::as_str)
    }

    /// Cosine of a probe with one person's prototype; `None` when the person is not in it or the probe is of another network.
    #[must_use]
    pub fn cosine(&self, probe: &Embedding, person: &PersonId) -> Option<f32> {
        let at = self.members.iter().position(|member| member.person == *person)?;
        let prototype = self.prototypes.get(at * self.dim..(at + 1) * self.dim)?;
        (probe.dim() == self.dim).then(|| dot(probe.as_slice(), prototype))
    }

    /// Counts up with every change.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The network the prototypes come from.
    #[must_use]
    pub fn model_digest(&self) -> &str {
        &self.model_digest
    }

    /// Enrolled people.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether this person is enrolled.
    #[must_use]
    pub fn contains(&self, person: &PersonId) -> bool {
        self.members.iter().any(|member| member.person == *person)
    }

    /// The two best people for `probe` among those on one of `lists`; `None` when nobody may be compared.
    /// Exhaustive search: exact, and at 100 000 people still within one track's budget (see `make bench`).
    #[must_use]
    pub fn nearest(&self, probe: &Embedding, lists: &[ListId]) -> Option<Nearest<'_>> {
        if probe.dim() != self.dim {
            return None;
        }
        let mut best: Option<(usize, f32)> = None;
        let mut runner_up: Option<f32> = None;
        let mut compared = 0;
        for (at, (member, prototype)) in self.members.iter().zip(self.prototypes.chunks_exact(self.dim)).enumerate() {
            if !lists.contains(&member.list) {
                continue;
            }
            compared += 1;
            let cosine = dot(probe.as_slice(), prototype);
            match best {
                Some((_, top)) if cosine <= top => runner_up = Some(runner_up.map_or(cosine, |r| r.max(cosine))),
                _ => {
                    runner_up = best.map(|(_, top)| top);
                    best = Some((at, cosine));
                }
            }
        }
        best.map(|(at, cosine)| Nearest { member: &self.members[at], cosine, runner_up, compared })
    }

    /// Cosines of `probe` with people other than `person`: with all of them up to `most`, of more with every `k`-th, from a
    /// place that `turn` says.
    #[must_use]
    pub fn some_others(
        &self,
        probe: &Embedding,
        lists: &[ListId],
        person: &PersonId,
        most: usize,
        turn: u64,
    ) -> Vec<f32> {
        if probe.dim() != self.dim {
            return Vec::new();
        }
        let allowed = |member: &Member| member.person != *person && lists.contains(&member.list);
        let step = self.members.len().div_ceil(most.max(1)).max(1);
        let skip = usize::try_from(turn).unwrap_or(0) % step;
        let people = self.members.iter().zip(self.prototypes.chunks_exact(self.dim.max(1)));
        // People on other lists lie in between, so fewer than `most` may come out; every person has the same chance.
        let taken = people.skip(skip).step_by(step).filter(|(member, _)| allowed(member));
        taken.map(|(_, prototype)| dot(probe.as_slice(), prototype)).take(most).collect()
    }

    /// Cosine of `probe` with one person's prototype.
    #[must_use]
    pub fn cosine_with(&self, probe: &Embedding, person: &PersonId) -> Option<f32> {
        let at = self.members.iter().position(|member| member.person == *person)?;
        let prototype = self.prototypes.chunks_exact(self.dim.max(1)).nth(at)?;
        (probe.dim() == self.dim).then(|| dot(probe.as_slice(), prototype))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(name: &str, list: &str) -> Member {
        Member { person: PersonId::try_new(name).expect("name"), list: ListId::try_new(list).expect("name") }
    }

    fn unit(values: &[f32]) -> Embedding {
        Embedding::try_new(values).expect("finite")
    }

    #[test]
    fn nearest_sees_only_the_lists_it_may_and_counts_them() {
        let people = [
            (member("ann", "staff"), unit(&[1.0, 0.0])),
            (member("bob", "watch"), unit(&[0.9, 0.1])),
            (member("cat", "staff"), unit(&[0.0, 1.0])),
        ];
        let gallery = Gallery::try_new(1, "d", people).expect("a gallery");
        let watch = [ListId::try_new("watch").expect("name")];
        let both = [watch[0].clone(), ListId::try_new("staff").expect("name")];
        let probe = unit(&[1.0, 0.05]);
        let hit = gallery.nearest(&probe, &watch).expect("bob");
        assert_eq!((hit.member.person.as_str(), hit.runner_up, hit.compared), ("bob", None, 1));
        let hit = gallery.nearest(&probe, &both).expect("ann");
        assert_eq!((hit.member.person.as_str(), hit.compared), ("ann", 3));
        assert!(gallery.nearest(&probe, &[]).is_none());
        assert!(gallery.nearest(&unit(&[1.0, 0.0, 0.0]), &both).is_none(), "another network's vector");
    }

    #[test]
    fn mixed_lengths_and_doubles_are_refused_by_name() {
        let mixed = [(member("ann", "staff"), unit(&[1.0, 0.0])), (member("bob", "staff"), unit(&[1.0]))];
        assert!(matches!(Gallery::try_new(1, "d", mixed), Err(BadGallery::Dimension { found: 1, expected: 2, .. })));
        let twice = [(member("ann", "staff"), unit(&[1.0])), (member("ann", "watch"), unit(&[1.0]))];
        assert!(matches!(Gallery::try_new(1, "d", twice), Err(BadGallery::Twice(_))));
    }

    proptest! {
        #[test]
        fn best_and_runner_up_are_the_two_largest(
            rows in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 8), 2..40),
            probe in prop::collection::vec(0.1_f32..1.0, 8),
        ) {
            let probe = unit(&probe);
            let people: Vec<_> = rows.iter().enumerate()
                .filter_map(|(i, row)| Some((member(&format!("p{i}"), "staff"), Embedding::try_new(row).ok()?)))
                .collect();
            prop_assume!(people.len() >= 2);
            let mut all: Vec<f32> = people.iter().map(|(_, e)| e.cosine(&probe)).collect();
            all.sort_by(f32::total_cmp);
            let gallery = Gallery::try_new(1, "d", people).expect("valid");
            let lists = [ListId::try_new("staff").expect("name")];
            let hit = gallery.nearest(&probe, &lists).expect("somebody");
            prop_assert!((hit.cosine - all[all.len() - 1]).abs() < 1e-5);
            prop_assert!((hit.runner_up.expect("two people") - all[all.len() - 2]).abs() < 1e-5);
        }
    }
}
