//! `sekisho gallery`: who is enrolled.
//!
//! These verbs open the database themselves, so they work whether the daemon runs or not; a running daemon follows
//! within a second.

use super::output::{json, line, table, watched};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::eyes::Loaded;
use crate::networks::Networks;
use crate::second::OpenSecond;
use crate::site;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::Clock as _;
use sekisho_store::{Enrol, Enrolment, Grounds, Network, NewTemplate, Person, Removed, Store, TemplateSource, Traces};
use sekisho_vision::photo::EnrolledFace;
use serde_json::{Value, json as document};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What to do with the gallery.
#[derive(Debug, Subcommand)]
pub enum GalleryVerb {
    /// Enrol a person from one or more photographs, each showing that person's face and no other.
    Enroll(EnrollArgs),
    /// Everybody who is enrolled.
    List(JsonFlag),
    /// One person.
    Show(PersonArgs),
    /// Make the templates anew from the kept photographs, after the network or its preprocessing changed.
    ReEmbed(super::re_embed::ReEmbedArgs),
    /// Erase a person: photographs, templates, pictures of their alerts, and the bytes they left behind.
    Remove(PersonArgs),
}

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
    /// Take these photographs instead of the present ones.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// A verb about one person.
#[derive(Debug, Args)]
pub struct PersonArgs {
    /// The person's reference.
    person: String,
    #[command(flatten)]
    json: JsonFlag,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, verb: GalleryVerb) -> Result<(), Failure> {
    match verb {
        GalleryVerb::Enroll(args) => enroll(config, &args),
        GalleryVerb::List(flag) => list(config, flag),
        GalleryVerb::Show(args) => show(config, &args),
        GalleryVerb::ReEmbed(args) => super::re_embed::run(config, &args),
        GalleryVerb::Remove(args) => remove(config, &args),
    }
}

/// The name under which the user of this command is audited. Under sudo it is who asked, not root: whoever enrols somebody
/// is to be told from whoever reviews their alerts. Only root could forge it, and root can do anything.
pub(super) fn actor() -> String {
    let uid = rustix::process::getuid().as_raw();
    let behind_sudo = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).filter(|_| uid == 0);
    format!("uid:{}", behind_sudo.unwrap_or(uid))
}

pub(super) fn person_id(text: &str) -> Result<PersonId, Failure> {
    PersonId::try_new(text).map_err(Failure::wrong)
}

fn enroll(config: &Path, args: &EnrollArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let person = person_id(&args.person)?;
    let list = ListId::try_new(&args.list).map_err(Failure::wrong)?;
    if !settings.lists.contains_key(&list) {
        let known: Vec<_> = settings.lists.keys().map(ToString::to_string).collect();
        let said = format!("there is no list {:?}; the configuration has {}", args.list, known.join(", "));
        return Err(Failure::Wrong(said));
    }
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
    let new = Enrolment {
        person: person.clone(),
        list,
        display_name: None,
        grounds: Grounds::default(),
        photos: files,
        faces: faces.iter().map(|face| Some(face.face_in_photo)).collect(),
        templates: templates((0..).zip(&faces), loaded.first(), second.as_mut())?,
    };
    let how = if args.replace { Enrol::Replace } else { Enrol::Add };
    let mut store = site::open_store(&settings)?;
    let now = SystemClock::start().now().wall;
    let done = store.enrol(how, &new, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    let sizes: Vec<_> = faces.iter().map(|face| face.quality.inter_eye_px).collect();
    if args.json.json {
        json(&document!({
            "person": person, "photos": done.photos, "templates": done.templates, "replaced": done.replaced,
            "status": done.status.as_str(), "inter-eye-px": sizes,
        }));
    } else {
        let sizes: Vec<_> = sizes.iter().map(|px| format!("{px:.0}")).collect();
        line(&format!("{person}: enrolled from {} photographs (inter-eye {} px)", done.photos, sizes.join(", ")));
    }
    Ok(())
}

/// A bar over `steps` for whoever watches; nothing for programs.
pub(super) fn bar(steps: usize, flag: JsonFlag) -> ProgressBar {
    let bar = if watched() && !flag.json { ProgressBar::new(steps as u64) } else { ProgressBar::hidden() };
    let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} {msg}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The templates of both networks: one a photograph, named by its number, and the prototype.
pub(super) fn templates<'a>(
    faces: impl IntoIterator<Item = (i64, &'a EnrolledFace)>,
    first: &Network,
    second: Option<&mut OpenSecond>,
) -> Result<Vec<NewTemplate>, Failure> {
    let faces: Vec<_> = faces.into_iter().collect();
    let mut made = of_network(faces.iter().map(|(photo, face)| (*photo, face.embedding.clone())), first)?;
    if let Some(OpenSecond { eyes, network, .. }) = second {
        let again = faces.iter().map(|(photo, face)| {
            let template = eyes.template(&face.crop);
            template.map(|template| (*photo, template)).map_err(|error| Failure::No(format!("second network: {error}")))
        });
        made.extend(of_network(again.collect::<Result<Vec<_>, _>>()?, network)?);
    }
    Ok(made)
}

/// One network's templates, and the unit mean of them all.
fn of_network(
    photos: impl IntoIterator<Item = (i64, Embedding)>,
    network: &Network,
) -> Result<Vec<NewTemplate>, Failure> {
    let new = |source, embedding| NewTemplate {
        source,
        size_bin_px: None,
        model_digest: network.model_digest.clone(),
        preprocessing: network.preprocessing.clone(),
        embedding,
    };
    let (mut sum, mut made) = (Vec::<f32>::new(), Vec::new());
    for (photo, embedding) in photos {
        let components = embedding.as_slice();
        sum.resize(components.len(), 0.0);
        for (total, value) in sum.iter_mut().zip(components) {
            *total += value;
        }
        made.push(new(TemplateSource::Photo(photo), embedding));
    }
    let prototype = Embedding::try_new(&sum)
        .map_err(|_| Failure::No("the photographs contradict each other; are they all of the same person?".into()))?;
    made.push(new(TemplateSource::Prototype, prototype));
    Ok(made)
}

/// Who has a template of which network.
struct Known {
    first: BTreeSet<PersonId>,
    /// `None` without a second network.
    second: Option<BTreeSet<PersonId>>,
}

impl Known {
    /// Without networks (no manifest, another name) the gallery can be listed all the same; what is not known is said.
    fn read(settings: &Settings, store: &mut Store) -> Result<Option<Self>, Failure> {
        let networks = Networks::choose(settings).and_then(|chosen| Ok((chosen.first()?, chosen.second()?)));
        let (first, second) = match networks {
            Ok(networks) => networks,
            Err(Failure::Wrong(said) | Failure::No(said)) => {
                eprintln!("sekisho: who has templates of the networks in use is not known: {said}");
                return Ok(None);
            }
        };
        let mut known = |of: &Network| store.templates_of(&of.model_digest, &of.preprocessing).map_err(Failure::no);
        Ok(Some(Self { first: known(&first)?, second: second.as_ref().map(known).transpose()? }))
    }

    /// The word for one person.
    fn word(&self, person: &PersonId) -> &'static str {
        match (self.first.contains(person), self.second.as_ref().map(|second| second.contains(person))) {
            (true, Some(true)) => "both",
            (true, Some(false)) => "first only",
            (false, Some(true)) => "second only",
            (true, None) => "yes",
            (false, Some(false) | None) => "none",
        }
    }
}

fn about(person: &Person, known: Option<&Known>) -> Value {
    document!({
        "person": person.id,
        "list": person.list,
        "status": person.status.as_str(),
        "enrolled": person.enrolled.to_rfc3339(),
        "enrolled-by": person.enrolled_by,
        "expires": person.grounds.expires.map(sekisho_logic::time::WallMs::to_rfc3339),
        "photos": person.photos,
        "templates": person.templates,
        "first-network": known.map(|known| known.first.contains(&person.id)),
        "second-network": known.and_then(|known| Some(known.second.as_ref()?.contains(&person.id))),
    })
}

fn list(config: &Path, flag: JsonFlag) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let mut store = site::open_store(&settings)?;
    let people = store.people().map_err(Failure::no)?;
    let known = Known::read(&settings, &mut store)?;
    if flag.json {
        let about = |person| about(person, known.as_ref());
        json(&document!({ "people": people.iter().map(about).collect::<Vec<_>>() }));
        return Ok(());
    }
    let rows = people.iter().map(|person| {
        vec![
            person.id.to_string(),
            person.list.to_string(),
            person.status.as_str().to_owned(),
            person.photos.to_string(),
            known.as_ref().map_or("?", |known| known.word(&person.id)).to_owned(),
            person.enrolled.to_rfc3339(),
        ]
    });
    line(&table(&["person", "list", "status", "photos", "networks", "enrolled"], &rows.collect::<Vec<_>>()));
    if let Some(Known { first, second: Some(second) }) = &known {
        let lacking = people.iter().filter(|person| first.contains(&person.id) && !second.contains(&person.id)).count();
        if lacking > 0 {
            line(&format!(
                "{lacking} people have no template of the second network: they become candidates and no machine confirms \
                 them; `sekisho gallery re-embed` makes their templates"
            ));
        }
    }
    Ok(())
}

fn show(config: &Path, args: &PersonArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let mut store = site::open_store(&settings)?;
    let wanted = person_id(&args.person)?;
    let found = store.person(&wanted).map_err(Failure::no)?;
    let missing = || Failure::No(format!("{wanted} is not enrolled; `sekisho gallery list` shows who is"));
    let found = found.ok_or_else(missing)?;
    let known = Known::read(&settings, &mut store)?;
    let person = about(&found, known.as_ref());
    if args.json.json {
        json(&person);
        return Ok(());
    }
    for name in ["person", "list", "status", "enrolled", "enrolled-by", "expires", "photos", "templates"] {
        line(&format!("{name:<12}{}", super::output::field(&person, name)));
    }
    line(&format!("{:<12}{}", "networks", known.map_or("?", |known| known.word(&found.id))));
    Ok(())
}

fn remove(config: &Path, args: &PersonArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let person = person_id(&args.person)?;
    let mut store = site::open_store(&settings)?;
    let done = store.remove(&person, &actor(), SystemClock::start().now().wall).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    let traces = match done.traces {
        Traces::Gone => "no bytes of them are left in the database's files",
        Traces::InLog => "encrypted remains stay in the log until the daemon's next checkpoint",
    };
    if args.json.json {
        let gone = done.traces == Traces::Gone;
        json(&document!({
            "person": person, "photos": done.photos, "templates": done.templates, "pictures": done.pictures,
            "traces-gone": gone,
        }));
    } else {
        let Removed { photos, templates, pictures, .. } = done;
        line(&format!(
            "{person}: {photos} photographs, {templates} templates and {pictures} pictures of alerts erased; {traces}"
        ));
    }
    Ok(())
}
