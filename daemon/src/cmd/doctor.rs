//! `sekisho gallery doctor`: what is wrong with the gallery, and the same judgement at each enrolment.

use super::gallery::{bar, person_id};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::eyes::{Loaded, OpenEyes};
use crate::run::keeper::CAMERA_DAYS_MIN;
use crate::second::OpenSecond;
use crate::site;
use clap::Args;
use indicatif::ProgressBar;
use sekisho_logic::calibration::Calibration;
use sekisho_logic::doctor::{
    Bench, Entry, Face, Finding, GallerySize, Gate, Operating, Photo, Severity, confusable, photographs,
};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{Network, Person, Store};
use sekisho_vision::photo::EnrolledFace;
use serde_json::json as document;
use std::collections::BTreeSet;
use std::path::Path;

/// Options of `gallery doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Only these people; without any, everybody.
    people: Vec<String>,
    #[command(flatten)]
    json: JsonFlag,
}

/// What judging needs of the site.
pub(super) struct Doctor<'d> {
    settings: &'d Settings,
    calibration: &'d Calibration,
    second: Option<&'d Calibration>,
    now: WallMs,
}

impl<'d> Doctor<'d> {
    pub(super) const fn new(
        settings: &'d Settings,
        calibration: &'d Calibration,
        second: Option<&'d Calibration>,
        now: WallMs,
    ) -> Self {
        Self { settings, calibration, second, now }
    }

    /// Photographs of one person.
    pub(super) fn photographs(&self, person: &PersonId, photos: &[Photo]) -> Vec<Finding> {
        let quality = &self.settings.quality;
        let gate = Gate {
            sharpness_min: quality.sharpness_min,
            yaw_deg_max: quality.yaw_deg_max,
            brightness: (quality.brightness_min, quality.brightness_max),
            contrast_min: quality.contrast_min,
        };
        let calibrations: Vec<_> = [Some(self.calibration), self.second].into_iter().flatten().collect();
        photographs(person, photos, &Bench { gate, calibrations: &calibrations, now: self.now })
    }

    /// Where candidates come about, by face size, among so many people of a list.
    fn operating(&self, list: &ListId, people: usize) -> Vec<Operating> {
        let policy = site::policy(self.settings);
        let fmr = policy.fmr_per_comparison(list, people, policy.looks.len());
        let frames = policy.looks.first().copied().unwrap_or(1);
        let each = self.calibration.bins().filter_map(|(from_px, _)| {
            let row = self.calibration.row(from_px, frames)?;
            let cosine = row.threshold(fmr).max(row.cosine_at_llr(0.0));
            Some(Operating { from_px, frames, cosine })
        });
        each.collect()
    }

    /// Who is alike: one new person among all, or everybody with everybody.
    pub(super) fn confusable(
        &self,
        new: Option<(&PersonId, &Embedding)>,
        list: &ListId,
        all: &[(PersonId, Embedding)],
    ) -> Vec<Finding> {
        let entries: Vec<_> = all.iter().map(|(person, prototype)| Entry { person, prototype }).collect();
        let new = new.map(|(person, prototype)| Entry { person, prototype });
        let people = all.len() + usize::from(new.is_some());
        confusable(new, &entries, self.calibration, &self.operating(list, people))
    }

    /// What the gallery's size means.
    pub(super) fn size(&self, store: &mut Store, list: &ListId, people: usize) -> Result<GallerySize, Failure> {
        let counted = store.measured_traffic(self.now).map_err(Failure::no)?;
        let counted = counted.filter(|counted| counted.camera_days >= CAMERA_DAYS_MIN);
        let strangers =
            counted.map_or(self.settings.decide.strangers_per_camera_day, |counted| counted.strangers_per_camera_day);
        let fpir = site::policy_at(self.settings, strangers).target_fpir(list);
        Ok(GallerySize::of(people, fpir, strangers))
    }
}

/// The prototypes of the first network, of everybody who is matched.
pub(super) fn prototypes(
    store: &mut Store,
    first: &Network,
    now: WallMs,
) -> Result<Vec<(PersonId, Embedding)>, Failure> {
    let rows = store.gallery(&first.model_digest, &first.preprocessing, now).map_err(Failure::no)?;
    let whole = rows.rows.into_iter().filter(|row| row.size_bin_px.is_none());
    Ok(whole.map(|row| (row.person, row.embedding)).collect())
}

/// A face as the doctor judges it.
pub(super) fn face(found: &EnrolledFace, second: Option<&mut OpenSecond>) -> Result<Face, Failure> {
    let mut templates = vec![found.embedding.clone()];
    if let Some(open) = second {
        let made = open.eyes.template(&found.crop);
        templates.push(made.map_err(|error| Failure::No(format!("second network: {error}")))?);
    }
    Ok(Face { quality: found.quality, templates })
}

/// One line for people.
pub(super) fn words(finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "ERROR",
    };
    let photos = if finding.photos.is_empty() { String::new() } else { format!("{}: ", finding.photos.join(" and ")) };
    format!("{level}: {}: {photos}{}. {}", finding.person, finding.said, finding.advice)
}

/// Judges the gallery and prints what was found.
///
/// # Errors
/// [`Failure::No`] when something is wrong that keeps somebody from being matched rightly.
pub fn run(config: &Path, args: &DoctorArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let wanted: BTreeSet<_> = args.people.iter().map(|text| person_id(text)).collect::<Result<_, _>>()?;
    let mut store = site::open_store(&settings)?;
    let judged = judge(&settings, &mut store, &wanted, |people| bar(people, args.json))?;
    if let Some(size) = judged.size.filter(|_| !args.json.json) {
        line(&size.said());
    }
    store.close().map_err(Failure::no)?;
    conclude(&judged.found, judged.people, args.json)
}

/// What came of looking at a gallery.
pub(crate) struct Judged {
    /// What is wrong, with whom.
    pub(crate) found: Vec<Finding>,
    /// How many people were looked at.
    pub(crate) people: usize,
    /// What the gallery's size means; absent without a list.
    pub(crate) size: Option<GallerySize>,
}

/// Looks at `wanted`, or at everybody when nobody is named.
///
/// # Errors
/// [`Failure`] when somebody is not enrolled, or networks or database refuse.
pub(crate) fn judge(
    settings: &Settings,
    store: &mut Store,
    wanted: &BTreeSet<PersonId>,
    bar: impl FnOnce(usize) -> ProgressBar,
) -> Result<Judged, Failure> {
    let now = SystemClock::start().now().wall;
    let mut loaded = Loaded::open(settings)?;
    let (mut eyes, mut second) = (loaded.eyes()?, loaded.second()?);
    let calibration = loaded.calibration()?;
    let its = second.as_ref().map(|open| std::sync::Arc::clone(&open.calibration));
    let doctor = Doctor::new(settings, &calibration, its.as_deref(), now);
    let people = store.people().map_err(Failure::no)?;
    if let Some(unknown) = wanted.iter().find(|id| !people.iter().any(|person| person.id == **id)) {
        return Err(Failure::No(format!("{unknown} is not enrolled; `sekisho gallery list` shows who is")));
    }
    let chosen = || people.iter().filter(|person| wanted.is_empty() || wanted.contains(&person.id));
    let known = known(store, loaded.first(), second.as_ref().map(|open| &open.network))?;
    let bar = bar(chosen().count());
    let mut found = Vec::new();
    for person in chosen() {
        bar.set_message(person.id.to_string());
        let photos = kept(store, person, &mut eyes, second.as_mut())?;
        found.extend(doctor.photographs(&person.id, &photos));
        found.extend(entry(person, &photos, &known, now));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let all = prototypes(store, loaded.first(), now)?;
    let mut size = None;
    if let Some(strictest) = settings.lists.keys().next() {
        let concerns = |pair: &Finding| {
            wanted.is_empty()
                || wanted.contains(&pair.person)
                || pair.other.as_ref().is_some_and(|it| wanted.contains(it))
        };
        found.extend(doctor.confusable(None, strictest, &all).into_iter().filter(concerns));
        size = Some(doctor.size(store, strictest, all.len())?);
    }
    Ok(Judged { found, people: chosen().count(), size })
}

fn conclude(found: &[Finding], people: usize, flag: JsonFlag) -> Result<(), Failure> {
    let errors = found.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = found.len() - errors;
    if flag.json {
        json(&document!({ "people": people, "errors": errors, "warnings": warnings, "findings": found }));
    } else {
        found.iter().for_each(|finding| line(&words(finding)));
        line(&format!("{people} people looked at: {errors} errors, {warnings} warnings"));
    }
    if errors == 0 { Ok(()) } else { Err(Failure::No(format!("{errors} errors in the gallery"))) }
}

/// Who has a template of each network.
struct Known(BTreeSet<PersonId>, Option<BTreeSet<PersonId>>);

fn known(store: &mut Store, first: &Network, second: Option<&Network>) -> Result<Known, Failure> {
    let mut of =
        |network: &Network| store.templates_of(&network.model_digest, &network.preprocessing).map_err(Failure::no);
    Ok(Known(of(first)?, second.map(of).transpose()?))
}

/// The kept photographs, looked at again.
fn kept(
    store: &mut Store,
    person: &Person,
    eyes: &mut OpenEyes,
    mut second: Option<&mut OpenSecond>,
) -> Result<Vec<Photo>, Failure> {
    let photos = store.photos(&person.id).map_err(Failure::no)?;
    let mut judged = Vec::with_capacity(photos.len());
    for (photo, number) in photos.iter().zip(1..) {
        let face = match eyes.kept_photo(&photo.bytes) {
            Ok(found) => Ok(self::face(&found, second.as_deref_mut())?),
            Err(error) => Err(error.to_string()),
        };
        let (name, sha256) = (format!("photograph {number}"), photo.sha256.clone());
        judged.push(Photo { name, sha256, added: Some(photo.added), face });
    }
    Ok(judged)
}

/// What is wrong with the entry itself.
fn entry(person: &Person, photos: &[Photo], known: &Known, now: WallMs) -> Vec<Finding> {
    let finding = |kind, severity, said: String, advice| Finding {
        kind,
        severity,
        person: person.id.clone(),
        other: None,
        photos: Vec::new(),
        said,
        advice,
    };
    let mut found = Vec::new();
    if photos.is_empty() {
        let advice = "Enrol again with --replace, so that templates can be made anew when the network changes.";
        found.push(finding("no-photo", Severity::Warning, "no photograph is kept".into(), advice));
    }
    let embed = "`sekisho gallery re-embed` makes the templates.";
    if !known.0.contains(&person.id) {
        found.push(finding("no-template", Severity::Error, "has no template and is not matched".into(), embed));
    }
    if known.1.as_ref().is_some_and(|second| !second.contains(&person.id)) {
        let said = "has no template of the second network and is never machine-confirmed".to_owned();
        found.push(finding("no-second-template", Severity::Warning, said, embed));
    }
    if person.grounds.expires.is_some_and(|expires| expires <= now) {
        let advice = "Renew them with `sekisho gallery grounds`, or erase the person.";
        found.push(finding("grounds-expired", Severity::Warning, "the grounds ran out".into(), advice));
    } else if !person.grounds.complete() {
        let advice = "Record them with `sekisho gallery grounds`.";
        found.push(finding("grounds-incomplete", Severity::Warning, "parts of the grounds are missing".into(), advice));
    }
    found
}
