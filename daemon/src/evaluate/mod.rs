//! `sekisho evaluate`: labelled photographs and clips through the live path, and what that means.
//!
//! ```text
//! folders -> Folders::read (agree?) -> Folders::measure (eyes, tracker, quality) -> Court (watcher, calibration, policy)
//!         -> tables, curves, groups -> Impact -> Evaluation -> report page, JSON, a few lines on the terminal
//! ```

pub mod groups;
pub mod judge;
pub mod material;
pub mod note;
pub mod page;
pub mod scores;
pub mod summary;
pub mod tables;

use crate::cmd::Failure;
use crate::measure::{Medium, ProbeTrack};
use judge::{Court, Trial};
use material::{Enrolled, Sample};
use note::Note;
use scores::Curve;
use sekisho_logic::calibration::Calibration;
use sekisho_logic::evaluation::{Claim, Share};
use sekisho_logic::id::ListId;
use sekisho_logic::impact::{Impact, Measured, Rates, Site};
use sekisho_logic::policy::Policy;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tables::{Bins, Tables};

/// Target rates that are tried beside the configured one.
const TARGETS: [f64; 2] = [0.01, 0.001];

/// What was measured with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct About {
    /// Version of this program.
    pub version: &'static str,
    /// When, UTC.
    pub made: String,
    /// Networks, with digests and licences.
    pub models: serde_json::Value,
    /// Calibration in force.
    pub calibration_id: String,
    /// The second network's calibration; absent where machine confirmation was judged without a second network.
    pub second_calibration_id: Option<String>,
    /// The list whose policy was applied.
    pub list: ListId,
    /// Its permitted FPIR, 0..1.
    pub target_fpir: f64,
    /// Frame counts at which a track is judged.
    pub looks: Vec<u32>,
    /// Frame counts at which confirming frames are judged.
    pub confirm_looks: Vec<u32>,
    /// Smallest face that is compared, source pixels between the eyes.
    pub min_inter_eye_px: f32,
    /// Cosine that a candidate needs, by lower edge of the size bin and look.
    pub thresholds: Vec<Threshold>,
}

/// One threshold in force.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Threshold {
    /// Lower edge of the bin, source pixels between the eyes.
    pub from_px: f32,
    /// Frames fused.
    pub frames: u32,
    /// The cosine; absent where nothing is decided.
    pub cosine: Option<f32>,
}

/// Sizes of the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sizes {
    /// People enrolled.
    pub enrolled: usize,
    /// Templates of the gallery.
    pub templates: usize,
    /// Files with enrolled people.
    pub appearances: usize,
    /// Tracks of strangers.
    pub stranger_tracks: usize,
    /// Distinct strangers (folders or files).
    pub strangers: usize,
    /// Whether enrolled people, each left out of the gallery for the purpose, stand in for strangers.
    pub strangers_are_enrolled_people: bool,
}

/// The impact part.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SiteImpact {
    /// The inputs.
    pub site: Site,
    /// Whether they were given; else they are the defaults.
    pub given: bool,
    /// The rates it starts from.
    pub rates: Measured,
    /// Whether confirming could be measured; if not, every candidate is taken as reviewed.
    pub confirming_measured: bool,
    /// The results.
    pub impact: Impact,
}

/// Everything in the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evaluation {
    /// Version of this format; 1.
    pub format: u32,
    /// What was measured with.
    pub about: About,
    /// Sizes of the sample.
    pub sizes: Sizes,
    /// The verdicts the report speaks of: clips where enough people were filmed, photographs otherwise.
    pub main: Tables,
    /// The other kind of material, where there was any.
    pub other: Option<Tables>,
    /// FMR against FNMR by size.
    pub det: Vec<Curve>,
    /// FPIR against FNIR over all sizes.
    pub open_set: Curve,
    /// What it means for a site.
    pub site: SiteImpact,
    /// What has to be said about the material.
    pub notes: Vec<Note>,
}

/// What the judging needs.
pub struct Rules {
    /// From the configuration.
    pub policy: Policy,
    /// The list whose policy applies.
    pub list: ListId,
    /// In force.
    pub calibration: Arc<Calibration>,
    /// The second network's, where clips are judged with one.
    pub second: Option<Arc<Calibration>>,
    /// The site's numbers, and whether they were given.
    pub site: (Site, bool),
    /// Groups of people.
    pub groups: Vec<groups::Column>,
}

/// Judges a measured sample and computes everything.
///
/// # Errors
/// [`Failure::No`] when the prototypes make no gallery.
pub fn evaluate(sample: &Sample, rules: &Rules, about: About) -> Result<Evaluation, Failure> {
    let mut rates = vec![about.target_fpir];
    rates.extend(TARGETS.iter().filter(|rate| (*rate / about.target_fpir - 1.0).abs() > 1e-6));
    let policy = (rules.policy.clone(), rules.list.clone());
    let calibrations = (Arc::clone(&rules.calibration), rules.second.clone());
    let court = Court::new(&sample.gallery, policy, calibrations, rates.clone())?;
    let trials = judged(sample, &court)?;
    let bins = Bins::of(&rules.calibration);
    let count = |medium| tables::tables(&trials, medium, (&bins, &rules.calibration), &rates, &rules.groups);
    let (clips, photos) = (count(Medium::Clip), count(Medium::Photo));
    let clips_speak = clips.all.claim_found == Claim::Claimed || photos.all.found.of == 0;
    let (medium, main, other) =
        if clips_speak { (Medium::Clip, clips, photos) } else { (Medium::Photo, photos, clips) };
    let of_medium: Vec<Trial> = trials.iter().filter(|trial| trial.medium == medium).cloned().collect();
    let mut notes = sample.notes.clone();
    notes.extend(scores::doubles(sample, &of_medium, &rules.calibration));
    let thresholds = bins.0.iter().flat_map(|(from, _)| {
        let looks = &rules.policy.looks;
        let court = &court;
        looks.iter().map(move |frames| Threshold {
            from_px: *from,
            frames: *frames,
            cosine: court.threshold(*from, *frames, looks.len()),
        })
    });
    let about = About { thresholds: thresholds.collect(), ..about };
    Ok(Evaluation {
        format: 1,
        sizes: sizes(sample, &trials),
        det: scores::det(&of_medium, &sample.gallery, &bins),
        open_set: scores::open_set(&of_medium, &sample.gallery, &rules.calibration),
        site: site_impact(&main, medium, &rules.site, about.target_fpir),
        main,
        other: Some(other).filter(|other| other.all.found.of + other.all.false_candidates.of > 0),
        about,
        notes,
    })
}

/// Every track judged: enrolled people's against the whole gallery, strangers' likewise. Without strangers, enrolled
/// people stand in for them, each judged against the gallery without that person.
fn judged(sample: &Sample, court: &Court) -> Result<Vec<Trial>, Failure> {
    let place: BTreeMap<&str, usize> =
        sample.gallery.iter().enumerate().map(|(at, person)| (person.label.as_str(), at)).collect();
    let mut trials = Vec::new();
    let probes = by_file(&sample.probes);
    for (file, tracks) in probes.iter().enumerate() {
        let person = tracks.first().and_then(|track| track.person.as_deref()).and_then(|label| place.get(label));
        trials.extend(court.hear(file, person.copied(), tracks));
    }
    for (at, tracks) in by_file(&sample.strangers).iter().enumerate() {
        trials.extend(court.hear(probes.len() + at, None, tracks));
    }
    if sample.strangers_given || sample.gallery.len() < 2 {
        return Ok(trials);
    }
    let mut by_person: BTreeMap<usize, Vec<&Vec<&ProbeTrack>>> = BTreeMap::new();
    for tracks in &probes {
        let label = tracks.first().and_then(|track| track.person.as_deref()).unwrap_or_default();
        by_person.entry(place.get(label).copied().unwrap_or_default()).or_default().push(tracks);
    }
    let mut file = probes.len();
    for (person, files) in by_person {
        let court = court.without(&sample.gallery, person)?;
        for tracks in files {
            trials.extend(court.hear(file, None, tracks));
            file += 1;
        }
    }
    Ok(trials)
}

fn by_file(tracks: &[ProbeTrack]) -> Vec<Vec<&ProbeTrack>> {
    let mut files: Vec<Vec<&ProbeTrack>> = Vec::new();
    for track in tracks {
        match files.last_mut() {
            Some(file) if file.first().is_some_and(|first| first.source == track.source) => file.push(track),
            _ => files.push(vec![track]),
        }
    }
    files
}

fn sizes(sample: &Sample, trials: &[Trial]) -> Sizes {
    let strangers: Vec<&Trial> = trials.iter().filter(|trial| trial.person.is_none()).collect();
    let units: std::collections::BTreeSet<&str> = strangers.iter().map(|trial| trial.unit.as_str()).collect();
    Sizes {
        enrolled: sample.gallery.len(),
        templates: sample.gallery.iter().map(|person: &Enrolled| person.templates).sum(),
        appearances: by_file(&sample.probes).len(),
        stranger_tracks: strangers.len(),
        strangers: units.len(),
        strangers_are_enrolled_people: !sample.strangers_given,
    }
}

fn site_impact(main: &Tables, medium: Medium, (site, given): &(Site, bool), target_fpir: f64) -> SiteImpact {
    let all = &main.all;
    let confirming_measured = medium == Medium::Clip;
    // Where nobody could stand in for a stranger, what the thresholds promise is all that is known.
    let value = |share: &Share| share.value().unwrap_or(target_fpir);
    let (found_confirmed, false_confirmed) =
        if confirming_measured { (all.confirmed, all.false_confirmed) } else { (all.found, all.false_candidates) };
    let rates = |end: fn(&Share, bool) -> f64| Rates {
        found: end(&all.found, true),
        found_confirmed: end(&found_confirmed, true),
        false_candidate: end(&all.false_candidates, false),
        false_confirmed: end(&false_confirmed, false),
    };
    let measured = Measured {
        value: Rates {
            found: value(&all.found),
            found_confirmed: value(&found_confirmed),
            false_candidate: value(&all.false_candidates),
            false_confirmed: value(&false_confirmed),
        },
        best: rates(|share, high| if high { share.high } else { share.low }),
        worst: rates(|share, high| if high { share.low } else { share.high }),
    };
    SiteImpact {
        site: site.clone(),
        given: *given,
        rates: measured,
        confirming_measured,
        impact: Impact::of(site, &measured),
    }
}
