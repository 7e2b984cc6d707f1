//! `sekisho backup` and `sekisho restore`.

use super::gallery::actor;
use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::books::backup::create::{Made, create};
use crate::books::backup::restore::{Asked, Restored, restore};
use crate::books::backup::shelf::{self, Shelved};
use crate::books::backup::{self, container::Lock};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::{Args, Subcommand};
use sekisho_logic::role::Action;
use sekisho_logic::time::Clock as _;
use serde_json::{Value, json as document};
use std::path::{Path, PathBuf};

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    /// Make an encrypted, verified backup of everything, also while the daemon runs.
    Create(CreateArgs),
    /// The backups in a folder, and which are past their time.
    List(FolderArgs),
    /// Delete the backups in a folder that are past [retention] backups-days; the newest always stays.
    Prune(FolderArgs),
}

/// What a backup is locked with; without these a key derived from the database's.
#[derive(Debug, Args)]
pub struct LockArgs {
    /// The key in this file (64 hexadecimal digits, mode 0600).
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
    key_file: Option<PathBuf>,
    /// The words in the first line of this file (mode 0600).
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl LockArgs {
    fn lock(&self, settings: &Settings) -> Result<Lock, Failure> {
        backup::lock(settings, self.key_file.as_deref(), self.passphrase_file.as_deref())
    }
}

/// Options of `backup create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// A file that is not there yet, or a folder, where it is named after the time.
    to: PathBuf,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `backup list` and `backup prune`.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// The folder.
    folder: PathBuf,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup.
    file: PathBuf,
    /// Put a database that is there aside.
    #[arg(long)]
    replace: bool,
    /// Overwrite and delete what was put aside, once the backup is in force.
    #[arg(long, requires = "replace")]
    purge_old: bool,
    #[command(flatten)]
    lock: LockArgs,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, verb: &BackupVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let glass = match verb {
        BackupVerb::Create(args) => &args.glass,
        BackupVerb::List(args) | BackupVerb::Prune(args) => &args.glass,
    };
    roles::require(Action::Backup, &settings, glass)?;
    match verb {
        BackupVerb::Create(args) => make(config, &settings, args),
        BackupVerb::List(args) => list(&settings, args),
        BackupVerb::Prune(args) => prune(&settings, args),
    }
}

fn make(config: &Path, settings: &Settings, args: &CreateArgs) -> Result<(), Failure> {
    let lock = args.lock.lock(settings)?;
    let mut store = site::open_store(settings)?;
    let now = SystemClock::start().now().wall;
    let Made { file, bytes, sha256, inventory } = create(settings, (config, &args.to), &mut store, &lock, now)?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    let detail = document!({ "file": name, "bytes": bytes, "sha256": sha256, "counts": inventory["counts"] });
    store.audit(now, &actor(), "backup", None, detail).map_err(Failure::no)?;
    if args.json.json {
        json(&document!({ "file": file, "bytes": bytes, "sha256": sha256, "inventory": inventory }));
    } else {
        let count = |name: &str| inventory["counts"][name].to_string();
        line(&format!(
            "{}: {bytes} bytes, read back and whole: {} people, {} photographs, {} alerts; SHA-256 {sha256}",
            file.display(),
            count("people"),
            count("enrolment-photographs"),
            count("alerts"),
        ));
        if !matches!(lock, Lock::Database(_)) {
            line("it opens only where the database's key is as well, which is not in it");
        }
    }
    Ok(())
}

fn shelved(one: &Shelved) -> Value {
    document!({
        "file": one.file, "created": one.created.to_rfc3339(), "lock": one.lock, "bytes": one.bytes, "due": one.due,
    })
}

fn list(settings: &Settings, args: &FolderArgs) -> Result<(), Failure> {
    let now = SystemClock::start().now().wall;
    let found = shelf::look(&args.folder, settings.retention.backups, now)?;
    if args.json.json {
        json(&document!({ "backups": found.iter().map(shelved).collect::<Vec<_>>() }));
        return Ok(());
    }
    let rows = found.iter().map(|one| {
        let due = if one.due { "past its time" } else { "" };
        vec![
            one.created.to_rfc3339(),
            one.bytes.to_string(),
            one.lock.clone(),
            one.file.display().to_string(),
            due.into(),
        ]
    });
    line(&table(&["made", "bytes", "locked with", "file", ""], &rows.collect::<Vec<_>>()));
    Ok(())
}

fn prune(settings: &Settings, args: &FolderArgs) -> Result<(), Failure> {
    let mut store = site::open_store(settings)?;
    let now = SystemClock::start().now().wall;
    let gone = shelf::prune(&args.folder, settings.retention.backups, now)?;
    if !gone.is_empty() {
        let detail = document!({ "backups": gone.len() });
        store.audit(now, &actor(), "backup-pruned", None, detail).map_err(Failure::no)?;
    }
    if args.json.json {
        json(&document!({ "deleted": gone.iter().map(shelved).collect::<Vec<_>>() }));
    } else {
        gone.iter().for_each(|one| line(&format!("{}: deleted", one.file.display())));
        line(&format!("{} backups deleted", gone.len()));
    }
    Ok(())
}

/// `sekisho restore`.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn put_back(config: &Path, args: &RestoreArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::Backup, &settings, &args.glass)?;
    let lock = args.lock.lock(&settings)?;
    let (actor, now) = (actor(), SystemClock::start().now().wall);
    let asked = Asked { file: &args.file, replace: args.replace, purge_old: args.purge_old, actor: &actor, now };
    let Restored { made, erased_again, aside, inventory } = restore(&settings, asked, &lock)?;
    if args.json.json {
        json(&document!({ "made": made, "erased-again": erased_again, "aside": aside, "inventory": inventory }));
        return Ok(());
    }
    line(&format!("the backup of {made} is in force: {} people", inventory["counts"]["people"]));
    if !erased_again.is_empty() {
        line(&format!("erased again, because they were erased since: {}", erased_again.join(", ")));
    }
    if let Some(aside) = aside {
        line(&format!("the state before lies in {}; delete it when it is not needed any more", aside.display()));
    }
    Ok(())
}
