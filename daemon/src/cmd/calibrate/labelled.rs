//! Scores of labelled pictures: every probe with everybody's prototype, by size and frame count.

use crate::cmd::Failure;
use crate::cmd::output::watched;
use crate::config::Settings;
use crate::eyes::Loaded;
use crate::measure::{Measurer, Person, ProbeTrack, Skipped, Tree};
use indicatif::ProgressBar;
use sekisho_logic::calibrate::{Curve, RowEvidence, RowKey, SiteScores};
use sekisho_logic::calibration::{RawCalibration, SourceKind};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::time::WallMs;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Faces smaller than the site compares are looked at too: the table decides what is decidable, down to what the
/// configuration may ask for.
const INTER_EYE_PX_MIN: f32 = 4.0;

/// With fewer people there are no wrong comparisons to speak of.
const PEOPLE_MIN: usize = 5;

/// Scores of one row.
#[derive(Default)]
struct Scores {
    genuine: Vec<f32>,
    genuine_people: BTreeSet<String>,
    /// Wrong comparisons by the person (or file) whose face it was.
    impostor: BTreeMap<String, Vec<f32>>,
}

/// Looks at the two folders.
///
/// # Errors
/// [`Failure`] with one sentence; single files that cannot be used are said on standard error and left out.
pub(super) fn scores(
    settings: &Settings,
    loaded: &mut Loaded,
    prior: &RawCalibration,
    (gallery, probes): (&Path, &Path),
    now: WallMs,
) -> Result<SiteScores, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Wrong(error.to_string());
    let (known, shown) = (Tree::read(gallery).map_err(|e| wrong(&e))?, Tree::read(probes).map_err(|e| wrong(&e))?);
    let mut settings = settings.clone();
    settings.detect.min_inter_eye_px = INTER_EYE_PX_MIN;
    let mut eyes = loaded.eyes()?;
    let mut measurer = Measurer::new(&mut eyes, &settings)?;
    let files =
        known.people.iter().chain(&shown.people).map(|person| person.files.len()).sum::<usize>() + shown.loose.len();
    let bar = if watched() { ProgressBar::new(files as u64) } else { ProgressBar::hidden() };
    let mut prototypes = BTreeMap::new();
    for person in &known.people {
        prototypes.extend(prototype(&mut measurer, person, &bar).map(|found| (person.label.clone(), found)));
    }
    if prototypes.len() < PEOPLE_MIN {
        return Err(Failure::No(format!(
            "{}: {} people could be enrolled, at least {PEOPLE_MIN} are needed, a folder with photographs each",
            gallery.display(),
            prototypes.len()
        )));
    }
    let mut rows: BTreeMap<RowKey, Scores> = BTreeMap::new();
    let labelled =
        shown.people.iter().flat_map(|person| person.files.iter().map(move |file| (Some(&person.label), file)));
    for (label, file) in labelled.chain(shown.loose.iter().map(|file| (None, file))) {
        let unit = label.cloned().unwrap_or_else(|| file.path.display().to_string());
        match measurer.probe(label.map(String::as_str), &unit, file) {
            Ok(tracks) => tracks.iter().for_each(|track| {
                compare(track, &prototypes, prior, settings.track.min_interval, &mut rows);
            }),
            Err(skipped) => left_out(&skipped, &bar),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let people: BTreeSet<&String> = rows.values().flat_map(|row| &row.genuine_people).collect();
    if people.is_empty() {
        return Err(Failure::No(format!(
            "{}: no usable face of anybody who is in {} too; the folders of one person must have the same name",
            probes.display(),
            gallery.display()
        )));
    }
    let date = now.to_rfc3339();
    Ok(SiteScores {
        kind: SourceKind::Labelled,
        id: super::name(prior, &date),
        source: format!("{} people labelled at this site, regularisation from {}", people.len(), prior.id),
        date,
        rows: rows.into_iter().map(|(key, row)| (key, row.evidence())).collect(),
    })
}

impl Scores {
    fn evidence(self) -> RowEvidence {
        let impostor: Vec<Vec<f32>> = self.impostor.into_values().collect();
        RowEvidence {
            curve: Curve::from_labelled(&impostor),
            genuine: self.genuine,
            genuine_people: u32::try_from(self.genuine_people.len()).unwrap_or(u32::MAX),
        }
    }
}

fn left_out(skipped: &Skipped, bar: &ProgressBar) {
    bar.suspend(|| eprintln!("sekisho: left out: {skipped}"));
}

/// The unit mean of a person's enrolment templates.
fn prototype(measurer: &mut Measurer<'_>, person: &Person, bar: &ProgressBar) -> Option<Embedding> {
    let mut sum: Vec<f32> = Vec::new();
    for file in &person.files {
        match measurer.enrol(file) {
            Ok(found) => found.iter().for_each(|template| {
                sum.resize(template.embedding.dim(), 0.0);
                sum.iter_mut().zip(template.embedding.as_slice()).for_each(|(total, value)| *total += value);
            }),
            Err(skipped) => left_out(&skipped, bar),
        }
        bar.inc(1);
    }
    Embedding::try_new(&sum).ok()
}

/// Compares the track at every frame count of the table that it reaches.
fn compare(
    track: &ProbeTrack,
    prototypes: &BTreeMap<String, Embedding>,
    prior: &RawCalibration,
    min_interval: Duration,
    rows: &mut BTreeMap<RowKey, Scores>,
) {
    let counts: BTreeSet<u32> = prior.bin.iter().flat_map(|bin| bin.frames.iter().map(|row| row.n)).collect();
    for n in counts {
        let fused = track.fused(n, min_interval);
        let Some(template) = fused.template().filter(|_| fused.used() == n) else { return };
        let px = fused.inter_eye_px();
        let inside = |bin: &&sekisho_logic::calibration::RawBin| {
            px >= bin.inter_eye_px_min && bin.inter_eye_px_max.is_none_or(|to| px < to)
        };
        let Some(bin) = prior.bin.iter().find(inside) else { continue };
        let row = rows.entry(RowKey::new(bin.inter_eye_px_min, n)).or_default();
        for (label, prototype) in prototypes {
            let cosine = template.cosine(prototype);
            if track.person.as_ref() == Some(label) {
                row.genuine.push(cosine);
                row.genuine_people.insert(label.clone());
            } else {
                row.impostor.entry(track.unit.clone()).or_default().push(cosine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Medium, ProbeFrame};
    use sekisho_logic::face::{Alignment, Quality};
    use sekisho_logic::time::Mono;

    fn unit(values: &[f32]) -> Embedding {
        Embedding::try_new(values).expect("finite")
    }

    fn track(person: &str, frames: u64, px: f32) -> ProbeTrack {
        let quality = Quality {
            inter_eye_px: px,
            sharpness: 1.0,
            yaw_deg: 0.0,
            roll_deg: 0.0,
            brightness: 0.5,
            contrast: 0.2,
            alignment: Alignment::Landmarks,
        };
        let frame =
            |at| ProbeFrame { at: Mono::from_millis(at * 300), embedding: unit(&[1.0, 0.0]), quality, second: None };
        ProbeTrack {
            person: Some(person.to_owned()),
            unit: person.to_owned(),
            source: "clip.mp4".into(),
            medium: Medium::Clip,
            faces: 9,
            largest_px: px,
            frames: (0..frames).map(frame).collect(),
            unfit: BTreeMap::new(),
        }
    }

    #[test]
    fn a_track_is_compared_at_each_frame_count_it_reaches_and_in_its_size_alone() {
        let text = include_str!("../../../../models/calibration/sface-2021dec.toml");
        let prior: RawCalibration = toml::from_str(text).expect("the shipped table");
        let prototypes =
            [("ann", unit(&[1.0, 0.0])), ("bob", unit(&[0.0, 1.0]))].map(|(n, e)| (n.to_owned(), e)).into();
        let mut rows = BTreeMap::new();
        compare(&track("ann", 3, 20.0), &prototypes, &prior, Duration::from_millis(250), &mut rows);
        let keys: Vec<_> = rows.keys().map(|key| (key.from_mpx, key.frames)).collect();
        assert_eq!(keys, [(16_000, 1), (16_000, 2), (16_000, 3)]);
        for row in rows.values() {
            assert!((row.genuine[0] - 1.0).abs() < 1e-6 && row.impostor["ann"][0].abs() < 1e-6);
        }
    }
}
