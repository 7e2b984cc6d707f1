//! What is wrong with the gallery, person by person, and what to do about it. For people: nothing here decides an alert.
//!
//! Every limit says where it comes from. Findings that make an enrolment worthless or wrong are errors, and enrolling
//! refuses them; the others are warnings.

use crate::calibration::{Calibration, Row, upper_normal};
use crate::embedding::Embedding;
use crate::face::Quality;
use crate::id::PersonId;
use crate::time::WallMs;
use serde::Serialize;
use std::fmt::Write as _;

/// Between the eyes of the aligned 112-pixel picture lie 35 pixels; a photograph with fewer is enlarged to it and shows the
/// networks less than they can use. Inter-eye pixels.
pub const INTER_EYE_PX_GOOD: f32 = 35.0;
/// Half of the least sharp of the demonstration's six portraits, which measure 0.62 to 0.91. One of them blurred by a fifth of
/// the distance between the eyes measures 0.16.
pub const SHARPNESS_GOOD: f32 = 0.3;
/// Beyond this many degrees one eye begins to hide. ISO/IEC 19794-5 asks for 5 in passports.
pub const YAW_DEG_GOOD: f32 = 25.0;
/// Mean luma of a face that is neither in shadow nor washed out, with room for every skin in good light. A rule of thumb.
pub const BRIGHTNESS_GOOD: (f32, f32) = (0.15, 0.85);
/// Standard deviation of luma below which a face is flat as in fog: half of the least of the demonstration's six portraits,
/// which measure 0.118 to 0.192.
pub const CONTRAST_GOOD: f32 = 0.06;
/// Two photographs this alike to every network are one photograph, saved twice. Of different photographs of one person three
/// in a thousand would pass by one network (mean 0.50, deviation 0.17 in models/calibration/sekisho-student-m.toml, taken as
/// normal); copies saved anew stay above, which `tests/cli/gallery_doctor.rs` tries.
pub const DUPLICATE_COSINE: f32 = 0.97;
/// Photographs that make a template steadier than one does; more add little.
pub const PHOTOS_GOOD: usize = 2;
/// Faces change: beyond this many days since a photograph was added a new one is due. A rule of thumb, half a passport's life.
pub const PHOTO_DAYS_OLD: i64 = 5 * 365;
/// From this share of one person's probes that would raise another one on, the two are named. Ten times the rate at which
/// strangers may raise anybody by default.
pub const CONFUSED_SHARE: f64 = 0.01;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Works, and could work better.
    Warning,
    /// Does not work, or works wrongly.
    Error,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// A word for programs.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Whose gallery entry.
    pub person: PersonId,
    /// The other person, where two are concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<PersonId>,
    /// Which photographs, as the caller named them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub photos: Vec<String>,
    /// What is wrong, a sentence.
    pub said: String,
    /// What to do, a sentence.
    pub advice: &'static str,
}

/// A photograph and what the networks made of it.
#[derive(Clone, Debug)]
pub struct Photo {
    /// The caller's name for it.
    pub name: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// When it was added; `None` while it is being enrolled.
    pub added: Option<WallMs>,
    /// The face, or why there is none to enrol, a sentence.
    pub face: Result<Face, String>,
}

/// The one face of a photograph.
#[derive(Clone, Debug)]
pub struct Face {
    /// How good it is.
    pub quality: Quality,
    /// The template of each network, the first one first.
    pub templates: Vec<Embedding>,
}

/// Floors that the site's cameras are held to; what a camera's picture must have, an enrolled photograph must have too.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Least sharpness, 0..=1.
    pub sharpness_min: f32,
    /// Degrees the head may be turned.
    pub yaw_deg_max: f32,
    /// Least and greatest mean luma, 0..=1.
    pub brightness: (f32, f32),
    /// Least standard deviation of luma, 0..=1.
    pub contrast_min: f32,
}

/// What judging photographs needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'b> {
    /// Floors of the site.
    pub gate: Gate,
    /// What similarities mean, by network, in the order of [`Face::templates`].
    pub calibrations: &'b [&'b Calibration],
    /// The time.
    pub now: WallMs,
}

/// Largest face size there is a row for; photographs are compared by it.
const LARGE_PX: f32 = 1000.0;

struct Report<'r> {
    person: &'r PersonId,
    found: Vec<Finding>,
}

impl Report<'_> {
    fn add(&mut self, kind: &'static str, severity: Severity, photos: &[&str], (said, advice): (String, &'static str)) {
        let photos = photos.iter().map(|&name| name.to_owned()).collect();
        self.found.push(Finding { kind, severity, person: self.person.clone(), other: None, photos, said, advice });
    }
}

/// Judges the photographs of one person.
#[must_use]
pub fn photographs(person: &PersonId, photos: &[Photo], bench: &Bench<'_>) -> Vec<Finding> {
    let mut report = Report { person, found: Vec::new() };
    for photo in photos {
        match &photo.face {
            Ok(face) => quality(&photo.name, &face.quality, &bench.gate, &mut report),
            Err(why) => report.add(
                "no-usable-face",
                Severity::Error,
                &[&photo.name],
                (why.clone(), "Take another photograph: one person, from the front, in even light."),
            ),
        }
        let days = photo.added.map_or(0, |added| (bench.now.0 - added.0) / 86_400_000);
        if days > PHOTO_DAYS_OLD {
            report.add(
                "old-photo",
                Severity::Warning,
                &[&photo.name],
                (format!("was added {days} days ago"), "Faces change; add a recent photograph."),
            );
        }
    }
    duplicates(photos, &mut report);
    outliers(photos, bench, &mut report);
    let usable = photos.iter().filter(|photo| photo.face.is_ok()).count();
    if (1..PHOTOS_GOOD).contains(&usable) {
        report.add(
            "few-photos",
            Severity::Warning,
            &[],
            (
                format!("{usable} usable photograph"),
                "Add one or two from other days, with and without glasses: several make a steadier template.",
            ),
        );
    }
    report.found
}

fn quality(name: &str, face: &Quality, gate: &Gate, report: &mut Report<'_>) {
    let mut say = |kind, bad: bool, poor: bool, said: String, advice| {
        if bad || poor {
            report.add(kind, if bad { Severity::Error } else { Severity::Warning }, &[name], (said, advice));
        }
    };
    let (px, yaw) = (face.inter_eye_px, face.yaw_deg.abs());
    let poor = px < INTER_EYE_PX_GOOD;
    let said = format!("the eyes are {px:.0} px apart, {INTER_EYE_PX_GOOD:.0} or more are good");
    say("small-face", false, poor, said, "Take the photograph from closer by, or do not scale it down.");
    let (bad, poor) = (face.sharpness < gate.sharpness_min, face.sharpness < SHARPNESS_GOOD);
    let said = format!("the face is blurred (sharpness {:.2}, {SHARPNESS_GOOD} or more is good)", face.sharpness);
    say("blurred", bad, poor, said, "Hold still, focus on the face, and do not photograph a print or a screen.");
    let said = format!("the head is turned by about {yaw:.0} degrees, up to {YAW_DEG_GOOD:.0} are good");
    say("turned", yaw > gate.yaw_deg_max, yaw > YAW_DEG_GOOD, said, "Look straight into the camera.");
    let light = face.brightness;
    let out = |(low, high): (f32, f32)| light < low || light > high;
    let word = if light < 0.5 { "dark" } else { "bright" };
    let said = format!("the face is too {word} (mean brightness {light:.2})");
    say(
        "light",
        out(gate.brightness),
        out(BRIGHTNESS_GOOD),
        said,
        "Light the face evenly, without a window behind it.",
    );
    let (bad, poor) = (face.contrast < gate.contrast_min, face.contrast < CONTRAST_GOOD);
    let said = format!("the face has little contrast ({:.3})", face.contrast);
    say("contrast", bad, poor, said, "Wipe the lens and avoid haze, backlight and heavy filters.");
}

fn faces(photos: &[Photo]) -> Vec<(&Photo, &Face)> {
    photos.iter().filter_map(|photo| Some((photo, photo.face.as_ref().ok()?))).collect()
}

fn duplicates(photos: &[Photo], report: &mut Report<'_>) {
    let faces = faces(photos);
    for (count, (photo, face)) in faces.iter().enumerate() {
        for (other, its) in &faces[..count] {
            let alike = |(a, b): (&Embedding, &Embedding)| a.cosine(b) >= DUPLICATE_COSINE;
            let mut pairs = face.templates.iter().zip(&its.templates).peekable();
            let same = photo.sha256 == other.sha256 || (pairs.peek().is_some() && pairs.all(alike));
            if same {
                report.add(
                    "duplicate-photo",
                    Severity::Warning,
                    &[&other.name, &photo.name],
                    (
                        "are the same picture".into(),
                        "Leave one out, and take another one on another day: a copy adds nothing.",
                    ),
                );
            }
        }
    }
}

/// The direction of several templates together.
fn together(templates: &[&Embedding]) -> Option<Embedding> {
    let mut sum = vec![0.0_f32; templates.first()?.dim()];
    for template in templates {
        sum.iter_mut().zip(template.as_slice()).for_each(|(total, value)| *total += value);
    }
    Embedding::try_new(&sum).ok()
}

/// A photograph against all others of the person together: an error where every network's evidence speaks for two people,
/// a warning where the first network finds less than 95 of 100 comparisons of one person do at this size.
fn outliers(photos: &[Photo], bench: &Bench<'_>, report: &mut Report<'_>) {
    let faces = faces(photos);
    if faces.len() < 2 {
        return;
    }
    let mut told = false;
    for (count, (photo, face)) in faces.iter().enumerate() {
        let (mut speaks, mut text, mut weak) = (Vec::new(), String::new(), false);
        for (nth, calibration) in bench.calibrations.iter().enumerate() {
            let others = faces.iter().enumerate().filter(|(other, _)| *other != count);
            let others: Vec<_> = others.filter_map(|(_, (_, its))| its.templates.get(nth)).collect();
            let (Some(own), Some(rest)) = (face.templates.get(nth), together(&others)) else { continue };
            // One photograph is one frame; a table without that row is asked for its next one.
            let Some(row) = (1..=6).find_map(|frames| calibration.evidence_row(LARGE_PX, frames)) else { continue };
            let cosine = own.cosine(&rest);
            speaks.push(row.llr(cosine) < 0.0);
            weak |= nth == 0 && row.llr(cosine) < row.reach();
            let least = row.cosine_at_llr(row.reach());
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{}similarity {cosine:.2}, usually {least:.2} or more",
                if nth > 0 { "; second network " } else { "" }
            );
        }
        let bad = !speaks.is_empty() && speaks.iter().all(|against| *against);
        // Of two photographs that contradict each other nobody knows which is the wrong one.
        if !(bad || weak) || (faces.len() == 2 && told) {
            continue;
        }
        told = true;
        let names: Vec<&str> = if faces.len() == 2 {
            faces.iter().map(|(photo, _)| photo.name.as_str()).collect()
        } else {
            vec![&photo.name]
        };
        let severity = if bad { Severity::Error } else { Severity::Warning };
        let said = format!("is unlike the person's other photographs ({text})");
        report.add(
            "outlier-photo",
            severity,
            &names,
            (said, "Make sure that it shows the same person; if it does, take a better one."),
        );
    }
}

/// Somebody in the gallery.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// Who.
    pub person: &'e PersonId,
    /// The prototype of the first network.
    pub prototype: &'e Embedding,
}

/// One face size, and what a candidate needs there.
#[derive(Clone, Copy, Debug)]
pub struct Operating {
    /// Lower edge of the size bin, inter-eye pixels.
    pub from_px: f32,
    /// Frames of the first look.
    pub frames: u32,
    /// The cosine a candidate needs.
    pub cosine: f32,
}

/// What one person's probes do to another one who is like them, at one face size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Confusion {
    /// Lower edge of the size bin, inter-eye pixels.
    pub from_px: f32,
    /// Share of the one's probes that reach the other's threshold: what happens where only the other is looked for.
    pub share: f64,
    /// The same where both are looked for, and the nearer one is named: at the most.
    pub share_both: f64,
}

/// The share of one person's probes that would raise another person whose prototype is `similarity` away.
///
/// A probe's cosine to its own prototype has mean `m` and deviation `s` (genuine comparisons of the calibration at this
/// size), and what of it lies across is as among strangers (deviation `t` of impostor comparisons). So its cosine to the
/// other's prototype is taken as normal with mean `m c` and variance `s^2 c^2 + t^2 (1 - c^2)`, and the share is what lies
/// above the threshold. To be named where both are looked for, it must also be nearer to the other than to its own. An
/// estimate for advice; a calibration with few people behind it carries it no further than to the first digit.
#[must_use]
pub fn confusion(similarity: f32, row: &Row, at: &Operating) -> Confusion {
    let (c, (mean, deviation), strange) = (f64::from(similarity), row.genuine(), row.impostor_deviation());
    let across = (strange * strange * (1.0 - c * c)).max(0.0);
    let above = |threshold: f64, mean: f64, variance: f64| upper_normal((threshold - mean) / variance.sqrt().max(1e-6));
    let share = above(f64::from(at.cosine), mean * c, deviation * deviation * c * c + across);
    let nearer = above(0.0, mean * (c - 1.0), deviation * deviation * (1.0 - c) * (1.0 - c) + across);
    Confusion { from_px: at.from_px, share, share_both: share.min(nearer) }
}

/// Pairs whom the first network confuses more than [`CONFUSED_SHARE`] at some face size: `new` among `all`, or everybody with
/// everybody when `new` is `None`.
#[must_use]
pub fn confusable(
    new: Option<Entry<'_>>,
    all: &[Entry<'_>],
    calibration: &Calibration,
    operating: &[Operating],
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut pair = |a: Entry<'_>, b: Entry<'_>| {
        let similarity = a.prototype.cosine(b.prototype);
        let by_size = operating.iter().filter_map(|at| {
            let row = calibration.row(at.from_px, at.frames)?;
            Some(confusion(similarity, row, at))
        });
        let worst = by_size.max_by(|a, b| a.share.total_cmp(&b.share));
        if let Some(worst) = worst.filter(|worst| worst.share >= CONFUSED_SHARE) {
            found.push(Finding {
                kind: "confusable",
                severity: Severity::Warning,
                person: a.person.clone(),
                other: Some(b.person.clone()),
                photos: Vec::new(),
                said: format!(
                    "looks like {} to the first network (similarity {similarity:.2}): about {:.1} % of the one's \
                     appearances at {:.0} px and more would raise the other where only the other is looked for, at most \
                     {:.1} % where both are",
                    b.person,
                    100.0 * worst.share,
                    worst.from_px,
                    100.0 * worst.share_both,
                ),
                advice: "Add better photographs of both, have people confirm alerts of either, and keep both on lists \
                         that the same cameras look for.",
            });
        }
    };
    match new {
        Some(new) => all.iter().filter(|other| other.person != new.person).for_each(|other| pair(new, *other)),
        None => {
            for (count, a) in all.iter().enumerate() {
                all[..count].iter().for_each(|b| pair(*a, *b));
            }
        }
    }
    found
}

/// What a gallery of `people` means at a target rate, for whoever enrols.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GallerySize {
    /// People compared with.
    pub people: usize,
    /// Share of strangers' tracks that may raise anybody.
    pub fpir: f64,
    /// Share of comparisons with one wrong person that may pass, so that `fpir = 1 - (1 - fmr)^people`.
    pub fmr: f64,
    /// Strangers a camera and day.
    pub strangers_per_camera_day: f64,
    /// Strangers who become candidates a camera and day.
    pub false_candidates_per_camera_day: f64,
}

impl GallerySize {
    /// As the target rate and the traffic make it.
    #[must_use]
    pub fn of(people: usize, fpir: f64, strangers_per_camera_day: f64) -> Self {
        let fmr = crate::calibration::fmr_for_fpir(fpir, people);
        let false_candidates_per_camera_day = fpir * strangers_per_camera_day;
        Self { people, fpir, fmr, strangers_per_camera_day, false_candidates_per_camera_day }
    }

    /// A sentence.
    #[must_use]
    pub fn said(&self) -> String {
        format!(
            "{} people in the gallery: so that {} of 1000 strangers' tracks raise anybody, one comparison in {:.0} may be \
             wrong; at {:.0} strangers a camera and day that is {:.2} false candidates a camera and day",
            self.people,
            per_mille(self.fpir),
            1.0 / self.fmr.max(1e-12),
            self.strangers_per_camera_day,
            self.false_candidates_per_camera_day,
        )
    }
}

/// A share as people read it, per mille.
fn per_mille(share: f64) -> f64 {
    (share * 1e6).round() / 1e3
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
