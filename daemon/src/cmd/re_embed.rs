//! `sekisho gallery re-embed`: the gallery follows a change of the network.
//!
//! A template says which network made it and is never compared with another's, so after a change everybody must be
//! embedded again from the photographs that were kept. Each person is one transaction: an interrupted run has done
//! whole people, and started again it does the rest. A person whose photographs give no template keeps the old ones.

use super::gallery::{actor, bar, person_id, templates};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::eyes::{Loaded, OpenEyes};
use crate::roles::{self, BreakGlass};
use crate::second::OpenSecond;
use crate::site;
use clap::Args;
use sekisho_logic::id::PersonId;
use sekisho_logic::role::Action;
use sekisho_logic::time::Clock as _;
use sekisho_store::{Network, Store, Traces};
use serde_json::{Value, json as document};
use std::collections::BTreeSet;
use std::path::Path;

/// Options of `gallery re-embed`.
#[derive(Debug, Args)]
pub struct ReEmbedArgs {
    /// Only these people; without any, everybody who lacks a template of one of the networks in use, or has a photograph of
    /// which it is not known where the face is.
    people: Vec<String>,
    /// Everybody, also those who lack none.
    #[arg(long, conflicts_with = "people")]
    all: bool,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// What became of one person.
struct Done {
    person: PersonId,
    /// Templates made; zero when the old ones were left in place.
    templates: usize,
    /// Photographs that give no template any more, and why.
    refused: Vec<String>,
    traces: Traces,
}

/// Embeds again and prints what became of everybody.
///
/// # Errors
/// [`Failure::No`] when somebody has no usable photograph, after all others were done.
pub fn run(config: &Path, args: &ReEmbedArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Enrol, &settings, &args.glass)?;
    let mut loaded = Loaded::open(&settings)?;
    let (mut eyes, mut second) = (loaded.eyes()?, loaded.second()?);
    let mut store = site::open_store(&settings)?;
    let wanted = wanted(&mut store, args, loaded.first(), second.as_ref())?;
    let bar = bar(wanted.len(), args.json);
    let mut results = Vec::with_capacity(wanted.len());
    for person in wanted {
        bar.set_message(person.to_string());
        let done = one(&mut store, &mut eyes, (loaded.first(), second.as_mut()), person)?;
        bar.suspend(|| tell(&done, args.json));
        results.push(done);
        bar.inc(1);
    }
    bar.finish_and_clear();
    store.close().map_err(Failure::no)?;
    conclude(&results, args.json, &loaded, second.as_ref())
}

/// Who is to be embedded again, by id.
fn wanted(
    store: &mut Store,
    args: &ReEmbedArgs,
    first: &Network,
    second: Option<&OpenSecond>,
) -> Result<BTreeSet<PersonId>, Failure> {
    if !args.people.is_empty() {
        return args.people.iter().map(|text| person_id(text)).collect();
    }
    let people: BTreeSet<_> = store.people().map_err(Failure::no)?.into_iter().map(|person| person.id).collect();
    if args.all {
        return Ok(people);
    }
    let mut made = |of: &Network| store.templates_of(&of.model_digest, &of.preprocessing).map_err(Failure::no);
    let (first, second) = (made(first)?, second.map(|open| made(&open.network)).transpose()?);
    let whole =
        |person: &PersonId| first.contains(person) && second.as_ref().is_none_or(|second| second.contains(person));
    let mut wanted = BTreeSet::new();
    for person in people {
        let mut without = || store.person_photos(&person).map(|photos| photos.iter().any(|photo| photo.face.is_none()));
        if !whole(&person) || without().map_err(Failure::no)? {
            wanted.insert(person);
        }
    }
    Ok(wanted)
}

fn one(
    store: &mut Store,
    eyes: &mut OpenEyes,
    (first, second): (&Network, Option<&mut OpenSecond>),
    person: PersonId,
) -> Result<Done, Failure> {
    let photos = store.photos(&person).map_err(Failure::no)?;
    let (mut faces, mut refused) = (Vec::new(), Vec::new());
    for (photo, number) in photos.iter().zip(1..) {
        match eyes.kept_photo(&photo.bytes) {
            Ok(face) => {
                store.set_photo_face(photo.id, face.face_in_photo).map_err(Failure::no)?;
                faces.push((photo.id, face));
            }
            Err(error) => refused.push(format!("photograph {number} of {}: {error}", photos.len())),
        }
    }
    let left = |refused| Done { person: person.clone(), templates: 0, refused, traces: Traces::Gone };
    if faces.is_empty() {
        return Ok(left(refused));
    }
    let made = match templates(faces.iter().map(|(photo, face)| (*photo, face)), first, second) {
        Ok(made) => made,
        Err(why) => {
            refused.push(why.to_string());
            return Ok(left(refused));
        }
    };
    let now = SystemClock::start().now().wall;
    let traces = store.replace_templates(&person, &made, &actor(), now).map_err(Failure::no)?;
    Ok(Done { person, templates: made.len(), refused, traces })
}

fn tell(done: &Done, flag: JsonFlag) {
    for why in &done.refused {
        eprintln!("sekisho: {}: {why}", done.person);
    }
    if flag.json {
        return;
    }
    line(&match (done.templates, done.refused.len()) {
        (0, 0) => format!("{}: left as it was, no photograph is kept; enrol again with `--replace`", done.person),
        (0, _) => {
            format!("{}: left as it was, no kept photograph is usable; enrol again with `--replace`", done.person)
        }
        (made, 0) => format!("{}: {made} templates made", done.person),
        (made, without) => format!("{}: {made} templates made, {without} photographs gave none", done.person),
    });
}

fn conclude(results: &[Done], flag: JsonFlag, loaded: &Loaded, second: Option<&OpenSecond>) -> Result<(), Failure> {
    let left: Vec<_> = results.iter().filter(|done| done.templates == 0).map(|done| done.person.to_string()).collect();
    let in_log = results.iter().any(|done| done.traces == Traces::InLog);
    if flag.json {
        let one = |done: &Done| -> Value {
            document!({ "person": done.person, "templates": done.templates, "refused": done.refused })
        };
        json(&document!({
            "people": results.iter().map(one).collect::<Vec<_>>(), "left": left, "traces-gone": !in_log,
            "model-digest": loaded.embedder_digest(), "preprocessing": loaded.preprocessing(),
            "second-digest": second.map(|open| &open.network.model_digest),
        }));
    } else {
        let done = results.len() - left.len();
        let digest = loaded.embedder_digest();
        let beside = second.map(|open| format!(" and {:.12}...", open.network.model_digest)).unwrap_or_default();
        line(&format!("{done} people embedded with {digest:.12}...{beside}, preprocessing {}", loaded.preprocessing()));
        if in_log {
            line("encrypted remains of the old templates stay in the log until the daemon's next checkpoint");
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::No(format!(
        "{} people have no usable photograph and are not matched: {}",
        left.len(),
        left.join(", ")
    )))
}
