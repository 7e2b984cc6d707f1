//! `sekisho gallery`: who is enrolled.
//!
//! These verbs open the database themselves, so they work whether the daemon runs or not; a running daemon follows
//! within a second.

use super::output::{json, line, table, watched};
use super::rights::{self, CorrectArgs, ExportArgs, ReasonArgs, Right};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::networks::Networks;
use crate::roles::BreakGlass;
use crate::second::OpenSecond;
use crate::site;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::PersonId;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{Network, NewTemplate, Person, Store, TemplateSource};
use sekisho_vision::photo::EnrolledFace;
use serde_json::{Value, json as document};
use std::collections::BTreeSet;
use std::path::Path;

/// What to do with the gallery.
#[derive(Debug, Subcommand)]
pub enum GalleryVerb {
    /// Enrol a person from one or more photographs, each showing that person's face and no other.
    Enroll(super::enrol::EnrollArgs),
    /// Everybody who is enrolled.
    List(JsonFlag),
    /// One person.
    Show(PersonArgs),
    /// Record or renew the grounds on which a person is enrolled.
    Grounds(super::grounds::GroundsVerb),
    /// What is wrong with photographs and entries, who may be taken for whom, and what to do about it.
    Doctor(super::doctor::DoctorArgs),
    /// The person withdrew: stop matching them, for good.
    Withdraw(super::withdraw::WithdrawArgs),
    /// Make the templates anew from the kept photographs, after the network or its preprocessing changed.
    ReEmbed(super::re_embed::ReEmbedArgs),
    /// Keep a person but match them no more, while a dispute is open or at their request.
    Restrict(ReasonArgs),
    /// End a restriction.
    Release(ReasonArgs),
    /// Have nothing about a person erased or purged until the hold is lifted.
    Hold(ReasonArgs),
    /// Lift a hold.
    Unhold(ReasonArgs),
    /// Correct facts about a person.
    Correct(CorrectArgs),
    /// Write out for a person all that is held about them; faces of others are covered.
    Export(ExportArgs),
    /// Erase a person: key, photographs, templates, pictures of their alerts, and the bytes they left behind; with a receipt.
    #[command(visible_alias = "remove")]
    Erase(EraseArgs),
    /// Prove that nothing is left of somebody who was erased.
    VerifyErasure(super::erase::VerifyArgs),
    /// Renew every person's key, the rotation of templates and the database's key. The daemon must be stopped.
    Rekey(super::rekey::RekeyArgs),
}

/// A verb about one person.
#[derive(Debug, Args)]
pub struct PersonArgs {
    /// The person's reference.
    pub(super) person: String,
    #[command(flatten)]
    pub(super) json: JsonFlag,
}

/// Options of `gallery erase`.
#[derive(Debug, Args)]
pub struct EraseArgs {
    #[command(flatten)]
    pub(super) of: PersonArgs,
    #[command(flatten)]
    pub(super) glass: BreakGlass,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, verb: GalleryVerb) -> Result<(), Failure> {
    match verb {
        GalleryVerb::Enroll(args) => super::enrol::run(config, &args),
        GalleryVerb::Grounds(args) => super::grounds::run(config, &args),
        GalleryVerb::List(flag) => list(config, flag),
        GalleryVerb::Show(args) => show(config, &args),
        GalleryVerb::Doctor(args) => super::doctor::run(config, &args),
        GalleryVerb::Withdraw(args) => super::withdraw::run(config, &args),
        GalleryVerb::ReEmbed(args) => super::re_embed::run(config, &args),
        GalleryVerb::Restrict(args) => rights::exercise(config, &args, Right::Restrict),
        GalleryVerb::Release(args) => rights::exercise(config, &args, Right::Release),
        GalleryVerb::Hold(args) => rights::exercise(config, &args, Right::Hold),
        GalleryVerb::Unhold(args) => rights::exercise(config, &args, Right::Unhold),
        GalleryVerb::Correct(args) => rights::correct(config, &args),
        GalleryVerb::Export(args) => rights::export(config, &args),
        GalleryVerb::Erase(args) => super::erase::erase(config, &args),
        GalleryVerb::VerifyErasure(args) => super::erase::verify(config, &args),
        GalleryVerb::Rekey(args) => super::rekey::run(config, &args),
    }
}

pub(super) use crate::roles::actor;

pub(super) fn person_id(text: &str) -> Result<PersonId, Failure> {
    PersonId::try_new(text).map_err(Failure::wrong)
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
pub(super) fn of_network(
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
    let grounds = &person.grounds;
    document!({
        "person": person.id,
        "list": person.list,
        "status": person.status.as_str(),
        "enrolled": person.enrolled.to_rfc3339(),
        "enrolled-by": person.enrolled_by,
        "display-name": person.display_name,
        "purpose": grounds.purpose,
        "legal-basis": grounds.legal_basis,
        "record": grounds.consent_ref,
        "notice": grounds.notice_version,
        "alternative-offered": grounds.alternative_offered,
        "expires": grounds.expires.map(sekisho_logic::time::WallMs::to_rfc3339),
        "grounds-complete": grounds.complete(),
        "photos": person.photos,
        "templates": person.templates,
        "first-network": known.map(|known| known.first.contains(&person.id)),
        "second-network": known.and_then(|known| Some(known.second.as_ref()?.contains(&person.id))),
    })
}

/// Until when the grounds last, or that they do not.
fn until(person: &Person, now: WallMs) -> String {
    match person.grounds.expires {
        Some(expires) if expires <= now => "EXPIRED".to_owned(),
        // The end of a day is the beginning of the next one.
        Some(WallMs(end)) if person.grounds.complete() => format!("until {:.10}", WallMs(end - 1).to_rfc3339()),
        Some(_) | None => "INCOMPLETE".to_owned(),
    }
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
    let now = SystemClock::start().now().wall;
    let rows = people.iter().map(|person| {
        vec![
            person.id.to_string(),
            person.list.to_string(),
            person.status.as_str().to_owned(),
            person.photos.to_string(),
            known.as_ref().map_or("?", |known| known.word(&person.id)).to_owned(),
            person.enrolled.to_rfc3339(),
            until(person, now),
        ]
    });
    line(&table(&["person", "list", "status", "photos", "networks", "enrolled", "grounds"], &rows.collect::<Vec<_>>()));
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

/// What `gallery show` prints, in this order.
const SHOWN: [&str; 14] = [
    "person",
    "display-name",
    "list",
    "status",
    "enrolled",
    "enrolled-by",
    "purpose",
    "legal-basis",
    "record",
    "notice",
    "alternative-offered",
    "expires",
    "photos",
    "templates",
];

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
    for name in SHOWN {
        line(&format!("{name:<21}{}", super::output::field(&person, name)));
    }
    line(&format!("{:<21}{}", "networks", known.map_or("?", |known| known.word(&found.id))));
    if !found.grounds.complete() {
        line(&format!("the grounds are not complete; `sekisho gallery grounds {wanted}` records them"));
    }
    Ok(())
}
