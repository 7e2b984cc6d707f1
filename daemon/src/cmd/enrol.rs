//! `sekisho gallery enroll`: a person, photographs, and the grounds on which they may be matched.

use super::doctor::{self, Doctor};
use super::gallery::{actor, bar, of_network, person_id, templates};
use super::grounds::GroundsArgs;
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::eyes::Loaded;
use crate::roles::{self, BreakGlass};
use crate::second::OpenSecond;
use crate::site;
use clap::Args;
use sekisho_logic::doctor::{Finding, GallerySize, Photo, Severity};
use sekisho_logic::grounds::GroundsDraft;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{Enrol, Enrolment, Store};
use sekisho_vision::photo::EnrolledFace;
use serde_json::json as document;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of `gallery enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// A reference for the person, used in alerts and logs (a-z, 0-9, '-', '_').
    person: String,
    /// Photographs, JPEG or PNG. Several, from different days, make a better template than one.
    #[arg(required = true)]
    photos: Vec<PathBuf>,
    /// The list the person belongs to; its policy decides what being recognised means.
    #[arg(long, default_value = "staff")]
    list: String,
    /// A name for people's eyes; never in logs, alerts or the audit trail.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Take these photographs instead of the present ones. Grounds that are not given stay as they are.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    grounds: GroundsArgs,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

impl EnrollArgs {
    /// A new person with these photographs, as the guided set-up asks for them.
    pub(super) fn first(person: &str, photos: Vec<PathBuf>, list: &str, grounds: GroundsArgs) -> Self {
        let json = JsonFlag { json: false };
        let (person, list) = (person.to_owned(), list.to_owned());
        Self { person, photos, list, name: None, replace: false, grounds, glass: BreakGlass::default(), json }
    }
}

/// Enrols. Grounds are checked before a photograph is opened.
///
/// # Errors
/// [`Failure::Wrong`] without complete grounds; [`Failure::No`] when a photograph enrols nobody or the store refuses.
pub fn run(config: &Path, args: &EnrollArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let person = person_id(&args.person)?;
    let list = ListId::try_new(&args.list).map_err(Failure::wrong)?;
    let now = SystemClock::start().now().wall;
    let before = match args.replace {
        true => site::open_store(&settings)?.person(&person).map_err(Failure::no)?,
        false => None,
    };
    let present = before.as_ref().map_or_else(GroundsDraft::default, |before| before.grounds.draft());
    let grounds = args.grounds.complete(&settings, &list, present, now)?;
    roles::require(Action::Enrol, &settings, &args.glass)?;
    let mut loaded = Loaded::open(&settings)?;
    let (mut eyes, mut second) = (loaded.eyes()?, loaded.second()?);
    let bar = bar(args.photos.len(), args.json);
    let (mut files, mut faces) = (Vec::new(), Vec::new());
    for path in &args.photos {
        bar.set_message(path.display().to_string());
        let (bytes, face) = eyes.photo(path)?;
        files.push(bytes);
        faces.push(face);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut store = site::open_store(&settings)?;
    let examined = Examined { person: &person, list: &list, paths: &args.photos, files: &files, faces: &faces, now };
    let judged = examine(&settings, &loaded, second.as_mut(), &mut store, &examined)?;
    let new = Enrolment {
        person: person.clone(),
        list,
        display_name: args.name.clone().or_else(|| before.and_then(|before| before.display_name)),
        grounds,
        photos: files,
        faces: faces.iter().map(|face| Some(face.face_in_photo)).collect(),
        templates: templates((0..).zip(&faces), loaded.first(), second.as_mut())?,
    };
    let how = if args.replace { Enrol::Replace } else { Enrol::Add };
    let done = store.enrol(how, &new, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    let sizes: Vec<_> = faces.iter().map(|face| face.quality.inter_eye_px).collect();
    if args.json.json {
        json(&document!({
            "person": person, "photos": done.photos, "templates": done.templates, "replaced": done.replaced,
            "status": done.status.as_str(), "inter-eye-px": sizes,
            "expires": new.grounds.expires().to_rfc3339(), "warnings": judged.warnings, "gallery-size": judged.size,
        }));
    } else {
        let sizes: Vec<_> = sizes.iter().map(|px| format!("{px:.0}")).collect();
        line(&format!("{person}: enrolled from {} photographs (inter-eye {} px)", done.photos, sizes.join(", ")));
        judged.warnings.iter().for_each(|finding| line(&doctor::words(finding)));
        line(&judged.size.said());
    }
    Ok(())
}

/// What is to be enrolled, as the doctor looks at it.
struct Examined<'e> {
    person: &'e PersonId,
    list: &'e ListId,
    paths: &'e [PathBuf],
    files: &'e [Vec<u8>],
    faces: &'e [EnrolledFace],
    now: WallMs,
}

/// What the doctor said, without errors.
struct Judged {
    warnings: Vec<Finding>,
    size: GallerySize,
}

/// Judges photographs before anybody is enrolled with them, and what the gallery will be with one more.
///
/// # Errors
/// [`Failure::No`] with every error, one a line: such photographs enrol nobody.
fn examine(
    settings: &Settings,
    loaded: &Loaded,
    mut second: Option<&mut OpenSecond>,
    store: &mut Store,
    of: &Examined<'_>,
) -> Result<Judged, Failure> {
    let calibration = loaded.calibration()?;
    let its = second.as_ref().map(|open| Arc::clone(&open.calibration));
    let judge = Doctor::new(settings, &calibration, its.as_deref(), of.now);
    let mut photos = Vec::with_capacity(of.faces.len());
    for ((path, bytes), face) in of.paths.iter().zip(of.files).zip(of.faces) {
        let face = Ok(doctor::face(face, second.as_deref_mut())?);
        let (name, sha256) = (path.display().to_string(), hex::encode(Sha256::digest(bytes)));
        photos.push(Photo { name, sha256, added: None, face });
    }
    let mut found = judge.photographs(of.person, &photos);
    let errors: Vec<_> = found.iter().filter(|one| one.severity == Severity::Error).map(doctor::words).collect();
    if !errors.is_empty() {
        return Err(Failure::No(format!("{} was not enrolled\n  {}", of.person, errors.join("\n  "))));
    }
    let mut all = doctor::prototypes(store, loaded.first(), of.now)?;
    all.retain(|(person, _)| person != of.person);
    let own = of_network((0..).zip(of.faces.iter().map(|face| face.embedding.clone())), loaded.first())?;
    if let Some(prototype) = own.last() {
        found.extend(judge.confusable(Some((of.person, &prototype.embedding)), of.list, &all));
    }
    Ok(Judged { warnings: found, size: judge.size(store, of.list, all.len() + 1)? })
}
