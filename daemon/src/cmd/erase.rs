//! `sekisho gallery erase` and `sekisho gallery verify-erasure`.

use super::gallery::{EraseArgs, actor, person_id};
use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::config::sink_settings::SinkKind;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::id::PersonId;
use sekisho_logic::role::Action;
use sekisho_logic::time::Clock as _;
use sekisho_store::{Erasure, ErasureCause, ErasureCheck, ErasureStep, Needles, ReceiptVerdict, Store};
use serde_json::{Value, json as document};
use std::path::{Path, PathBuf};

/// Folders within folders that are looked into; deeper ones are no backup's.
const DEPTH_MAX: u32 = 8;

/// Options of `gallery verify-erasure`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The reference of somebody who was erased.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    person: Option<String>,
    /// Everybody who was erased.
    #[arg(long)]
    all: bool,
    /// A file that must not be found anywhere: a photograph as it was given, a template as raw 32-bit floats.
    #[arg(long, value_name = "FILE")]
    needle: Vec<PathBuf>,
    /// Look into this folder as well: backups, logs.
    #[arg(long, value_name = "DIR")]
    also: Vec<PathBuf>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn erase(config: &Path, EraseArgs { of: args, glass }: &EraseArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Erase, &settings, glass)?;
    let person = person_id(&args.person)?;
    let mut store = site::open_store(&settings)?;
    let now = SystemClock::start().now().wall;
    let done = store.erase(&person, ErasureCause::Asked, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    if args.json.json {
        json(&told(&done));
        return Ok(());
    }
    let counts = done.counts;
    let traces = match done.step {
        ErasureStep::Done => "no bytes of them are left in the database's files".to_owned(),
        ErasureStep::Begun | ErasureStep::KeyDestroyed | ErasureStep::RowsDeleted | ErasureStep::Scrubbed => {
            "another process is reading: sealed remains stay in the log until the daemon or the next command has removed \
             them; `sekisho gallery verify-erasure` tells"
                .to_owned()
        }
    };
    line(&format!(
        "{person}: {} photographs, {} templates and {} pictures of {} alerts erased, the key destroyed; {traces}",
        counts.photos, counts.templates, counts.pictures, counts.alerts,
    ));
    done.receipt.iter().for_each(|receipt| line(receipt));
    Ok(())
}

fn told(erasure: &Erasure) -> Value {
    let receipt = erasure.receipt.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    document!({
        "person": erasure.person, "erasure": erasure.id, "cause": erasure.cause.as_str(), "step": erasure.step.as_str(),
        "asked": erasure.asked.to_rfc3339(), "erased": erasure.counts,
        "traces-gone": erasure.step >= ErasureStep::Scrubbed, "receipt": receipt,
    })
}

/// One file that was looked into.
struct Searched {
    path: PathBuf,
    found: Result<usize, String>,
}

pub(super) fn verify(config: &Path, args: &VerifyArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Erase, &settings, &args.glass)?;
    let mut store = site::open_store(&settings)?;
    let people: Vec<PersonId> = match &args.person {
        Some(person) => vec![person_id(person)?],
        None => {
            let mut people: Vec<_> =
                store.erasures().map_err(Failure::no)?.into_iter().map(|erasure| erasure.person).collect();
            people.sort_unstable();
            people.dedup();
            people
        }
    };
    let checks = people.iter().map(|person| store.check_erasure(person).map_err(Failure::no));
    let checks: Vec<ErasureCheck> = checks.collect::<Result<_, _>>()?;
    let needles = needles(&args.needle)?;
    let rows = store.rows_holding(&needles).map_err(Failure::no)?;
    let searched = search(&places(&settings, &store, args), &needles);
    store.close().map_err(Failure::no)?;
    let found: usize = rows + searched.iter().filter_map(|one| one.found.as_ref().ok()).sum::<usize>();
    let unread = searched.iter().filter(|one| one.found.is_err()).count();
    let proven = checks.iter().all(ErasureCheck::proven) && found == 0 && unread == 0;
    if args.json.json {
        let one = |(person, check): (&PersonId, &ErasureCheck)| about(person, check);
        let files = searched.iter().map(
            |one| document!({ "file": one.path, "found": one.found.as_ref().ok(), "error": one.found.as_ref().err() }),
        );
        json(&document!({
            "proven": proven, "people": people.iter().zip(&checks).map(one).collect::<Vec<_>>(),
            "needles": needles.count(), "rows-holding": rows, "files": files.collect::<Vec<_>>(),
        }));
    } else {
        print(&people, &checks, &needles, rows, &searched);
    }
    if proven {
        return Ok(());
    }
    Err(Failure::No(format!(
        "not proven: {} of {} people have something left, {found} pieces of the given files were found, {unread} files \
         could not be read; stop other commands and try again, then look at the lines above",
        checks.iter().filter(|check| !check.proven()).count(),
        checks.len(),
    )))
}

fn needles(files: &[PathBuf]) -> Result<Needles, Failure> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|error| Failure::Wrong(format!("{}: {error}", path.display())));
    let files = files.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let needles = Needles::of(files.iter().map(Vec::as_slice));
    if !files.is_empty() && needles.count() == 0 {
        return Err(Failure::Wrong("the given files hold nothing that could be told from padding".into()));
    }
    Ok(needles)
}

/// Everything that might hold something: the store's files, the state directory, event logs, and what was named.
fn places(settings: &Settings, store: &Store, args: &VerifyArgs) -> Vec<PathBuf> {
    // An event log and the files put aside, which are named after it.
    let logs = settings.sinks.values().filter_map(|sink| match &sink.kind {
        SinkKind::EventLog(log) => Some(log.path.clone()),
        SinkKind::Webhook(_) | SinkKind::Mqtt(_) => None,
    });
    let folders = std::iter::once(&settings.daemon.state_dir).chain(&args.also);
    let mut files: Vec<PathBuf> = store.files().into_iter().filter(|file| file.exists()).collect();
    folders.for_each(|folder| gather(folder, 0, &mut files));
    for log in logs {
        let (Some(folder), Some(name)) = (log.parent(), log.file_name()) else { continue };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let its = entries.filter(|entry| {
            entry.file_name().to_string_lossy().starts_with(name.to_string_lossy().as_ref())
                && entry.file_type().is_ok_and(|kind| kind.is_file())
        });
        files.extend(its.map(|entry| entry.path()));
    }
    files.sort_unstable();
    files.dedup();
    files
}

fn gather(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        files.push(folder.to_path_buf());
        return;
    };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => gather(&entry.path(), depth + 1, files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            Ok(_) | Err(_) => {}
        }
    }
}

fn search(files: &[PathBuf], needles: &Needles) -> Vec<Searched> {
    let one = |path: &PathBuf| Searched {
        path: path.clone(),
        found: needles.found_in_file(path).map_err(|error| error.to_string()),
    };
    files.iter().map(one).collect()
}

const fn word(receipt: Option<ReceiptVerdict>) -> &'static str {
    match receipt {
        None => "none",
        Some(ReceiptVerdict::Valid) => "valid",
        Some(ReceiptVerdict::Unsigned) => "unsigned",
        Some(ReceiptVerdict::Invalid) => "invalid",
    }
}

fn about(person: &PersonId, check: &ErasureCheck) -> Value {
    document!({
        "person": person, "proven": check.proven(), "erasure": check.erasure.as_ref().map(told), "rows": check.rows,
        "alerts": check.alerts, "deliveries": check.deliveries, "key-left": check.key, "free-pages": check.free_pages,
        "log-bytes": check.log_bytes, "receipt": word(check.receipt),
    })
}

fn print(people: &[PersonId], checks: &[ErasureCheck], needles: &Needles, rows: usize, searched: &[Searched]) {
    let lines: Vec<Vec<String>> = people
        .iter()
        .zip(checks)
        .map(|(person, check)| {
            vec![
                person.to_string(),
                check.erasure.as_ref().map_or("never erased", |erasure| erasure.step.as_str()).to_owned(),
                check.rows.to_string(),
                check.alerts.to_string(),
                check.deliveries.to_string(),
                if check.key { "there" } else { "gone" }.to_owned(),
                check.free_pages.to_string(),
                check.log_bytes.to_string(),
                word(check.receipt).to_owned(),
            ]
        })
        .collect();
    let head = ["person", "erasure", "rows", "alerts", "deliveries", "key", "free pages", "log bytes", "receipt"];
    line(&table(&head, &lines));
    if needles.count() == 0 {
        line("no file was given to look for (--needle)");
        return;
    }
    let files: Vec<Vec<String>> = searched
        .iter()
        .map(|one| {
            let found = one.found.as_ref().map_or_else(|error| error.clone(), ToString::to_string);
            vec![one.path.display().to_string(), found]
        })
        .chain([vec!["rows of the database, decrypted".to_owned(), rows.to_string()]])
        .collect();
    line(&table(&["looked into", "pieces found"], &files));
    line(&format!("{} pieces of 32 bytes were looked for in {} files", needles.count(), searched.len()));
}
