//! From trials to tables. An appearance is one file of an enrolled person: the alert is about the visit, whatever number
//! of tracks it was seen in. Strangers are counted by track, as the FPIR is defined.

use super::judge::{End, Trial};
use crate::measure::Medium;
use sekisho_logic::calibration::Calibration;
use sekisho_logic::evaluation::{Claim, Share, Spread, Tally, claim_found, claim_rate, share, spread};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Size bins of a calibration: lower edge and upper edge (absent in the last), source pixels between the eyes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bins(pub Vec<(f32, Option<f32>)>);

impl Bins {
    /// The bins of `calibration`.
    #[must_use]
    pub fn of(calibration: &Calibration) -> Self {
        let mut edges: Vec<f32> = calibration.cells().map(|(from, _, _)| from).collect();
        edges.dedup();
        let upper = edges.iter().skip(1).map(|edge| Some(*edge)).chain([None]);
        Self(edges.iter().copied().zip(upper).collect())
    }

    /// Which bin a face size falls into; `None` below the smallest, and for no face.
    #[must_use]
    pub fn at(&self, px: f32) -> Option<usize> {
        self.0.iter().rposition(|(from, _)| px >= *from)
    }
}

/// The daemon's verdicts over one kind of material.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Headline {
    /// Appearances of enrolled people of which something could be compared.
    pub acquired: Share,
    /// Appearances that became a candidate of the right person (TPIR).
    pub found: Share,
    /// Appearances that became a candidate of another person.
    pub misnamed: Share,
    /// Appearances that were machine-confirmed: by disjoint frames, and by the second network where there is one.
    pub confirmed: Share,
    /// Appearances that disjoint frames alone would have confirmed.
    pub confirmed_alone: Share,
    /// Strangers' tracks that became a candidate (FPIR).
    pub false_candidates: Share,
    /// Strangers' tracks that were machine-confirmed.
    pub false_confirmed: Share,
    /// Strangers' tracks that disjoint frames alone would have confirmed.
    pub false_confirmed_alone: Share,
    /// Whether the number of people carries a statement about who is found.
    pub claim_found: Claim,
    /// Whether the strangers carry a statement about the target rate.
    pub claim_false: Claim,
}

/// One size bin.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SizeRow {
    /// Lower edge, source pixels between the eyes; absent for no face and what is smaller than every bin.
    pub from_px: Option<f32>,
    /// Upper edge; absent in the last bin.
    pub to_px: Option<f32>,
    /// Whether the calibration decides anything at this size.
    pub decidable: bool,
    /// The verdicts.
    pub verdicts: Headline,
}

/// One size bin at one frame count and target rate, judged once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cell {
    /// Lower edge of the bin, source pixels between the eyes.
    pub from_px: f32,
    /// Frames fused.
    pub frames: u32,
    /// Permitted FPIR, 0..1.
    pub target_fpir: f64,
    /// Whether the calibration decides.
    pub decidable: bool,
    /// Share of enrolled people's tracks with that many frames that name the right person.
    pub found: Share,
    /// Share of strangers' tracks with that many frames that name somebody.
    pub false_candidates: Share,
    /// Whether the strangers carry a statement about the target.
    pub claim: Claim,
}

/// Why tracks ended as they did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reason {
    /// The word for it.
    pub reason: &'static str,
    /// Whether it is a failure to acquire.
    pub unacquired: bool,
    /// Appearances of enrolled people.
    pub enrolled: u64,
    /// Strangers' tracks.
    pub strangers: u64,
}

/// An enrolled person's appearance: the tracks of one file.
struct Appearance<'t> {
    unit: &'t str,
    person: usize,
    px: f32,
    tracks: Vec<&'t Trial>,
}

impl<'t> Appearance<'t> {
    fn all(trials: &'t [Trial]) -> Vec<Self> {
        let mut by_file: BTreeMap<usize, Self> = BTreeMap::new();
        for trial in trials {
            let Some(person) = trial.person else { continue };
            let fresh = || Self { unit: &trial.unit, person, px: 0.0, tracks: Vec::new() };
            by_file.entry(trial.file).or_insert_with(fresh).tracks.push(trial);
        }
        let mut all: Vec<_> = by_file.into_values().collect();
        for appearance in &mut all {
            appearance.px = appearance.best().map_or(0.0, |track| track.px);
        }
        all
    }

    /// The track that speaks for it: most frames, then largest face.
    fn best(&self) -> Option<&'t Trial> {
        self.tracks.iter().copied().max_by(|a, b| a.frames.cmp(&b.frames).then(a.px.total_cmp(&b.px)))
    }

    fn found(&self) -> bool {
        self.tracks.iter().any(|track| track.named == Some(self.person))
    }

    fn misnamed(&self) -> bool {
        self.tracks.iter().any(|track| track.named.is_some_and(|named| named != self.person))
    }

    fn confirmed(&self) -> bool {
        self.tracks.iter().any(|track| track.named == Some(self.person) && track.confirmed)
    }

    fn confirmed_alone(&self) -> bool {
        self.tracks.iter().any(|track| track.named == Some(self.person) && track.confirmed_alone)
    }

    fn acquired(&self) -> bool {
        self.tracks.iter().any(|track| !matches!(track.end, End::Unacquired(_)))
    }

    fn end(&self) -> End {
        if self.found() {
            return End::Candidate;
        }
        self.best().map_or(End::Unacquired(crate::measure::Failure::NoFace), |track| track.end)
    }
}

/// Shares by unit of whatever `counts` says of each item; items it gives `None` for are left out.
fn by_unit<'t, T: 't>(
    items: impl IntoIterator<Item = &'t T>,
    unit: impl Fn(&T) -> &str,
    hit: impl Fn(&T) -> bool,
) -> Share {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for item in items {
        let tally = tallies.entry(unit(item).to_owned()).or_default();
        tally.of += 1;
        tally.hits += u64::from(hit(item));
    }
    share(tallies.into_values())
}

fn headline(enrolled: &[&Appearance<'_>], strangers: &[&Trial], target_fpir: f64) -> Headline {
    let of = |hit: &dyn Fn(&Appearance<'_>) -> bool| {
        by_unit(enrolled.iter(), |appearance| appearance.unit, |appearance| hit(appearance))
    };
    let falsely = |hit: &dyn Fn(&Trial) -> bool| by_unit(strangers.iter(), |trial| &trial.unit, |trial| hit(trial));
    let found = of(&|appearance| appearance.found());
    let false_candidates = falsely(&|trial| trial.named.is_some());
    Headline {
        acquired: of(&|appearance| appearance.acquired()),
        found,
        misnamed: of(&|appearance| appearance.misnamed()),
        confirmed: of(&|appearance| appearance.confirmed()),
        confirmed_alone: of(&|appearance| appearance.confirmed_alone()),
        false_candidates,
        false_confirmed: falsely(&|trial| trial.confirmed),
        false_confirmed_alone: falsely(&|trial| trial.confirmed_alone),
        claim_found: claim_found(found.people),
        claim_false: claim_rate(false_candidates.people, false_candidates.of, target_fpir),
    }
}

/// Everything that is counted over one kind of material.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Tables {
    /// What the files were.
    pub medium: &'static str,
    /// All sizes together.
    pub all: Headline,
    /// By size.
    pub sizes: Vec<SizeRow>,
    /// By size, frame count and target.
    pub cells: Vec<Cell>,
    /// Why tracks ended as they did.
    pub reasons: Vec<Reason>,
    /// By each way to group people.
    pub groups: Vec<Grouped>,
}

/// Errors by group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grouped {
    /// The heading in the file.
    pub column: String,
    /// Misses (FNIR, 1 - TPIR) by group of enrolled people.
    pub missed: Spread,
    /// False candidates (FPIR) by group of strangers; absent where no stranger's group is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub false_candidates: Option<Spread>,
}

/// The word for a medium.
#[must_use]
pub const fn medium_word(medium: Medium) -> &'static str {
    match medium {
        Medium::Photo => "photo",
        Medium::Clip => "clip",
    }
}

/// Counts `trials` of one medium. `rates` are the tried targets, the first of them the configured one.
#[must_use]
pub fn tables(
    trials: &[Trial],
    medium: Medium,
    (bins, calibration): (&Bins, &Calibration),
    rates: &[f64],
    groups: &[super::groups::Column],
) -> Tables {
    let trials: Vec<Trial> = trials.iter().filter(|trial| trial.medium == medium).cloned().collect();
    let appearances = Appearance::all(&trials);
    let strangers: Vec<&Trial> = trials.iter().filter(|trial| trial.person.is_none()).collect();
    let target = rates.first().copied().unwrap_or(0.001);
    let in_bin = |bin: Option<usize>| {
        let enrolled: Vec<_> = appearances.iter().filter(|appearance| bins.at(appearance.px) == bin).collect();
        let passing: Vec<_> = strangers.iter().copied().filter(|trial| bins.at(trial.px) == bin).collect();
        headline(&enrolled, &passing, target)
    };
    let sized = bins.0.iter().enumerate().map(|(at, (from, to))| SizeRow {
        from_px: Some(*from),
        to_px: *to,
        decidable: calibration.cells().any(|(edge, _, decidable)| decidable && edge.to_bits() == from.to_bits()),
        verdicts: in_bin(Some(at)),
    });
    let below = SizeRow {
        from_px: None,
        to_px: bins.0.first().map(|(from, _)| *from),
        decidable: false,
        verdicts: in_bin(None),
    };
    Tables {
        medium: medium_word(medium),
        all: headline(&appearances.iter().collect::<Vec<_>>(), &strangers, target),
        sizes: [below].into_iter().chain(sized).collect(),
        cells: cells(&trials, bins, rates),
        reasons: reasons(&appearances, &strangers),
        groups: groups.iter().map(|column| grouped(column, &appearances, &strangers, target)).collect(),
    }
}

fn cells(trials: &[Trial], bins: &Bins, rates: &[f64]) -> Vec<Cell> {
    type Tallies<'t> = BTreeMap<&'t str, Tally>;
    let mut found: BTreeMap<(usize, u32, usize), (Tallies<'_>, Tallies<'_>, bool)> = BTreeMap::new();
    for trial in trials {
        for look in &trial.looks {
            let Some(bin) = bins.at(look.px) else { continue };
            let cell = found.entry((bin, look.frames, look.target)).or_default();
            cell.2 |= look.decidable;
            let tallies = if trial.person.is_some() { &mut cell.0 } else { &mut cell.1 };
            let tally = tallies.entry(&trial.unit).or_default();
            tally.of += 1;
            let hit = if trial.person.is_some() { look.named == trial.person } else { look.named.is_some() };
            tally.hits += u64::from(hit);
        }
    }
    let cell = |((bin, frames, target), (enrolled, strangers, decidable)): ((usize, u32, usize), _)| {
        let (enrolled, strangers): (Tallies<'_>, Tallies<'_>) = (enrolled, strangers);
        let false_candidates = share(strangers.into_values());
        Cell {
            from_px: bins.0[bin].0,
            frames,
            target_fpir: rates[target],
            decidable,
            found: share(enrolled.into_values()),
            false_candidates,
            claim: claim_rate(false_candidates.people, false_candidates.of, rates[target]),
        }
    };
    found
        .into_iter()
        .map(|(key, (enrolled, strangers, decidable))| cell((key, (enrolled, strangers, decidable))))
        .collect()
}

fn reasons(appearances: &[Appearance<'_>], strangers: &[&Trial]) -> Vec<Reason> {
    let mut counts: BTreeMap<End, (u64, u64)> = BTreeMap::new();
    appearances.iter().for_each(|appearance| counts.entry(appearance.end()).or_default().0 += 1);
    strangers.iter().for_each(|trial| counts.entry(trial.end).or_default().1 += 1);
    let reason = |(end, (enrolled, strangers)): (End, (u64, u64))| Reason {
        reason: end.as_str(),
        unacquired: matches!(end, End::Unacquired(_)),
        enrolled,
        strangers,
    };
    counts.into_iter().map(reason).collect()
}

fn grouped(
    column: &super::groups::Column,
    appearances: &[Appearance<'_>],
    strangers: &[&Trial],
    target: f64,
) -> Grouped {
    let missed = appearances.iter().map(|appearance| (appearance.unit, !appearance.found()));
    let falsely = strangers.iter().map(|trial| (trial.unit.as_str(), trial.named.is_some()));
    // A rate of false candidates is claimed only where three would have been seen at the target.
    let falsely = by_group(&column.of, falsely, |share| claim_rate(share.people, share.of, target));
    Grouped {
        column: column.name.clone(),
        missed: by_group(&column.of, missed, |share| claim_found(share.people)),
        false_candidates: Some(falsely).filter(|spread| !spread.groups.is_empty()),
    }
}

fn by_group<'t>(
    groups: &super::groups::GroupOf,
    items: impl Iterator<Item = (&'t str, bool)>,
    claim: impl Fn(&Share) -> Claim,
) -> Spread {
    let mut people: BTreeMap<&str, Tally> = BTreeMap::new();
    for (unit, hit) in items {
        let tally = people.entry(unit).or_default();
        tally.of += 1;
        tally.hits += u64::from(hit);
    }
    spread(people.into_iter().filter_map(|(unit, tally)| Some((groups.get(unit)?.as_str(), tally))), claim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::outcome::Undecidable;

    fn trial(unit: &str, person: Option<usize>, file: usize, px: f32, named: Option<usize>) -> Trial {
        Trial {
            unit: unit.into(),
            person,
            left_out: None,
            file,
            medium: Medium::Clip,
            px,
            frames: 6,
            end: if named.is_some() { End::Candidate } else { End::Undecided(Undecidable::Ambiguous) },
            named,
            confirmed: false,
            confirmed_alone: false,
            looks: Vec::new(),
            template: None,
        }
    }

    #[test]
    fn an_appearance_is_found_when_one_of_its_tracks_is() {
        let trials = [
            trial("ann", Some(0), 0, 10.0, None),
            trial("ann", Some(0), 0, 12.0, Some(0)),
            trial("bob", Some(1), 1, 12.0, Some(0)),
        ];
        let appearances = Appearance::all(&trials);
        let all = headline(&appearances.iter().collect::<Vec<_>>(), &[], 0.01);
        assert_eq!((all.found.hits, all.found.of, all.misnamed.hits), (1, 2, 1), "bob was taken for ann");
        assert_eq!(reasons(&appearances, &[]).iter().map(|reason| reason.enrolled).sum::<u64>(), 2);
    }

    #[test]
    fn sizes_fall_into_the_bins_of_the_calibration() {
        let bins = Bins(vec![(4.0, Some(8.0)), (8.0, None)]);
        assert_eq!([0.0, 4.0, 7.99, 8.0, 300.0].map(|px| bins.at(px)), [None, Some(0), Some(0), Some(1), Some(1)]);
    }
}
