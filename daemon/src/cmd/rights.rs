//! `sekisho gallery restrict|release|hold|unhold|correct|export`: the rights of those who are enrolled.

use super::gallery::{actor, person_id};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::books::export::{self, Exported};
use crate::clock::SystemClock;
use crate::eyes::Loaded;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{Correction, PersonStatus, Store};
use serde_json::json as document;
use std::path::{Path, PathBuf};

/// A verb about one person that needs a reason.
#[derive(Debug, Args)]
pub struct ReasonArgs {
    /// The person's reference.
    person: String,
    /// Why: a file reference or a sentence, kept in the audit trail. No names.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `gallery correct`.
#[derive(Debug, Args)]
pub struct CorrectArgs {
    /// The person's reference.
    person: String,
    /// The list the person belongs to.
    #[arg(long)]
    list: Option<String>,
    /// The name for the operator's eyes; "" removes it.
    #[arg(long)]
    display_name: Option<String>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `gallery export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The person's reference.
    person: String,
    /// A folder that is not there yet; it is made for you alone. WHAT IS IN IT IS THAT PERSON'S: hand it over and delete it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Records only: no photographs and no pictures.
    #[arg(long)]
    records_only: bool,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// What a verb with a reason does.
#[derive(Clone, Copy, Debug)]
pub enum Right {
    /// Keep, but do not match.
    Restrict,
    /// Match again.
    Release,
    /// Erase nothing.
    Hold,
    /// Erase again as usual.
    Unhold,
}

/// Restriction and hold.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn exercise(config: &Path, args: &ReasonArgs, right: Right) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let action = match right {
        Right::Restrict | Right::Release => Action::Restrict,
        Right::Hold | Right::Unhold => Action::Hold,
    };
    roles::require(action, &settings, &args.glass)?;
    let person = person_id(&args.person)?;
    let mut store = site::open_store(&settings)?;
    let (actor, now) = (actor(), SystemClock::start().now().wall);
    let changed = done(&mut store, &person, right, &args.reason, &actor, now)?;
    store.close().map_err(Failure::no)?;
    let (done, already) = match right {
        Right::Restrict => ("is kept and not matched any more", "was restricted already"),
        Right::Release => ("is matched again, as far as list and expiry allow", "was not restricted"),
        Right::Hold => ("nothing about them is erased until the hold is lifted", "was under a hold already"),
        Right::Unhold => ("what is past its time may be erased again", "was under no hold"),
    };
    if args.json.json {
        json(&document!({ "person": person, "changed": changed }));
    } else {
        line(&format!("{person}: {}", if changed { done } else { already }));
    }
    Ok(())
}

fn done(
    store: &mut Store,
    person: &PersonId,
    right: Right,
    reason: &str,
    actor: &str,
    now: WallMs,
) -> Result<bool, Failure> {
    let status = |from, to| (from, to);
    let changed = match right {
        Right::Restrict => {
            let change = status(Some(PersonStatus::Active), PersonStatus::Restricted);
            store.change_status(person, change, reason, actor, now)
        }
        Right::Release => {
            let change = status(Some(PersonStatus::Restricted), PersonStatus::Active);
            store.change_status(person, change, reason, actor, now)
        }
        Right::Hold => store.hold(person, reason, actor, now),
        Right::Unhold => store.unhold(person, reason, actor, now),
    };
    changed.map_err(Failure::no)
}

/// Correction.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn correct(config: &Path, args: &CorrectArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Correct, &settings, &args.glass)?;
    let person = person_id(&args.person)?;
    let list = args.list.as_deref().map(ListId::try_new).transpose().map_err(Failure::wrong)?;
    if let Some(list) = list.as_ref().filter(|list| !settings.lists.contains_key(*list)) {
        return Err(Failure::Wrong(format!("there is no list {list} in the configuration")));
    }
    if list.is_none() && args.display_name.is_none() {
        return Err(Failure::Wrong("say what to correct: --list or --display-name".to_owned()));
    }
    let mut store = site::open_store(&settings)?;
    let correction = Correction { list, display_name: args.display_name.clone() };
    let now = SystemClock::start().now().wall;
    let changed = store.correct(&person, &correction, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    if args.json.json {
        json(&document!({ "person": person, "changed": changed }));
    } else if changed.is_empty() {
        line(&format!("{person}: it was so already"));
    } else {
        line(&format!("{person}: corrected {}", changed.join(", ")));
    }
    Ok(())
}

/// Export.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn export(config: &Path, args: &ExportArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Export, &settings, &args.glass)?;
    let person = person_id(&args.person)?;
    let mut store = site::open_store(&settings)?;
    if store.person(&person).map_err(Failure::no)?.is_none() {
        return Err(Failure::No(format!("{person} is not enrolled; `sekisho gallery list` shows who is")));
    }
    let mut eyes = match args.records_only {
        true => None,
        false => Some(Loaded::open(&settings)?.eyes()?),
    };
    export::folder(&args.out)?;
    let now = SystemClock::start().now().wall;
    // Noted before anything is written: what is not noted does not leave.
    let detail = document!({ "pictures": !args.records_only });
    store.audit(now, &actor(), "export", Some(person.as_str()), detail).map_err(Failure::no)?;
    let done = export::export(&mut store, &person, &args.out, eyes.as_mut(), now)?;
    let Exported { records, files, covered, left_out } = &done;
    let out = args.out.display();
    if args.json.json {
        json(&document!({
            "person": person, "folder": args.out, "records": records, "files": files, "faces-covered": covered,
            "left-out": left_out,
        }));
    } else {
        let all: u64 = records.values().sum();
        line(&format!("{person}: {all} records and {files} pictures in {out}; {covered} faces of others covered"));
        left_out.iter().for_each(|said| line(&format!("left out: {said}")));
    }
    Ok(())
}
