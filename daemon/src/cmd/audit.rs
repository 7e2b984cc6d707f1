//! `sekisho audit`: who did what, when, and whether anybody changed it since.
//!
//! These verbs open the database themselves, so they work whether the daemon runs or not.

use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::books::checkpoints::{self, Kept};
use crate::books::sheet;
use crate::config::Settings;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::{Args, Subcommand};
use sekisho_logic::role::Action;
use sekisho_logic::time::WallMs;
use sekisho_store::{AuditEntry, AuditFilter, AuditReport, AuditVerdict, SigningKey, Store, name_of_key};
use serde_json::{Value, json as document};
use std::path::{Path, PathBuf};

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// The latest rows, oldest first; or everything about one alert.
    Show(ShowArgs),
    /// Check the whole trail against its signed checkpoints. Exit code 1 when anything was edited, deleted, reordered or cut
    /// off.
    Verify(VerifyArgs),
    /// Print the public key that checkpoints and receipts are signed with. Keep it apart from this machine.
    Key(JsonFlag),
}

/// Options of `audit show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Only rows from this time on (2026-11-24T10:00:00Z).
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<WallMs>,
    /// Only rows before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<WallMs>,
    /// Only rows by this actor ('daemon', 'uid:1000', 'reviewer:sato').
    #[arg(long)]
    actor: Option<String>,
    /// Only rows of this action; the manual page lists them.
    #[arg(long)]
    action: Option<String>,
    /// Only rows about this person, alert or reviewer.
    #[arg(long)]
    subject: Option<String>,
    /// At most this many, the latest.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// What the law asks of one alert: the period of use, the reference database, the input that led to it, who verified it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until", "actor", "action", "subject"])]
    alert: Option<String>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `audit verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Trust this public key instead of the one of this installation; may be given several times, for keys used earlier.
    #[arg(long, value_name = "HEX")]
    public_key: Vec<String>,
    /// Hold the trail against the checkpoints in this file, such as a copy that lies elsewhere, instead of the one in the
    /// state directory.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// A time on the command line.
pub(super) fn time(text: &str) -> Result<WallMs, String> {
    WallMs::from_rfc3339(text).ok_or_else(|| "a time looks like 2026-11-24T10:00:00Z".to_owned())
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence; for `verify` also when the trail is broken.
pub fn run(config: &Path, verb: &AuditVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    match verb {
        AuditVerb::Show(args) => roles::require(Action::Audit, &settings, &args.glass)?,
        AuditVerb::Verify(args) => roles::require(Action::Audit, &settings, &args.glass)?,
        AuditVerb::Key(_) => {}
    }
    let mut store = site::open_store(&settings)?;
    match verb {
        AuditVerb::Show(args) => show(&mut store, args),
        AuditVerb::Verify(args) => verify(&settings, &mut store, args),
        AuditVerb::Key(flag) => key(&store, *flag),
    }
}

fn show(store: &mut Store, args: &ShowArgs) -> Result<(), Failure> {
    if let Some(id) = &args.alert {
        let sheet = sheet::of_alert(store, id)?;
        if args.json.json {
            json(&sheet);
        } else {
            sheet::lines(&sheet).iter().for_each(|text| line(text));
        }
        return Ok(());
    }
    let filter = AuditFilter {
        since: args.since,
        until: args.until,
        actor: args.actor.clone(),
        action: args.action.clone(),
        subject: args.subject.clone(),
        ..AuditFilter::default()
    };
    let rows = store.audit_find(&filter, args.limit).map_err(Failure::no)?;
    if args.json.json {
        json(&document!({ "rows": rows.iter().map(row).collect::<Vec<_>>() }));
        return Ok(());
    }
    let cells = rows.iter().map(|row| {
        let AuditEntry { seq, wall, actor, action, subject, detail, .. } = row;
        let subject = subject.as_deref().unwrap_or("-");
        vec![seq.to_string(), wall.to_rfc3339(), actor.clone(), action.clone(), subject.to_owned(), detail.clone()]
    });
    line(&table(&["row", "time", "by", "action", "about", "detail"], &cells.collect::<Vec<_>>()));
    Ok(())
}

/// A row as a JSON document.
pub(crate) fn row(entry: &AuditEntry) -> Value {
    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_else(|_| entry.detail.clone().into());
    document!({
        "seq": entry.seq, "at": entry.wall.to_rfc3339(), "actor": entry.actor, "action": entry.action,
        "subject": entry.subject, "detail": detail, "hash": entry.hash,
    })
}

/// What verification comes to, for whoever needs it besides this verb.
pub(crate) struct Verified {
    pub(crate) report: AuditReport,
    pub(crate) kept: Kept,
    pub(crate) against: Option<PathBuf>,
}

/// Checks the trail against the database's checkpoints and those of a file: `given`, or the one in the state directory.
pub(crate) fn checked(
    settings: &Settings,
    store: &mut Store,
    keys: &[String],
    given: Option<&Path>,
) -> Result<Verified, Failure> {
    let own = checkpoints::file(settings);
    let against = given.map(Path::to_path_buf).or_else(|| own.exists().then_some(own));
    let kept = match &against {
        None => Kept::default(),
        Some(file) => checkpoints::read(file).map_err(|error| Failure::No(format!("{}: {error}", file.display())))?,
    };
    let own_key: Vec<_> = store.signing().map(SigningKey::public).into_iter().collect();
    let keys = if keys.is_empty() { &own_key } else { keys };
    let report = store.audit_verify_with(keys, &kept.checkpoints).map_err(Failure::no)?;
    Ok(Verified { report, kept, against })
}

fn verify(settings: &Settings, store: &mut Store, args: &VerifyArgs) -> Result<(), Failure> {
    if let Some(wrong) = args.public_key.iter().find(|key| hex::decode(key.trim()).map_or(0, |bytes| bytes.len()) != 32)
    {
        return Err(Failure::Wrong(format!(
            "{wrong:?} is not a public key; `sekisho audit key` prints 64 hexadecimal digits"
        )));
    }
    let Verified { report, kept, against } = checked(settings, store, &args.public_key, args.checkpoints.as_deref())?;
    // The last line may be half of one after a crash; any other was damaged or is none of ours.
    let damaged = kept.unreadable.iter().filter(|number| **number <= kept.checkpoints.len()).count();
    if args.json.json {
        json(&as_json(&report, &kept, against.as_deref()));
    }
    if let AuditVerdict::Broken { seq, how } = &report.verdict {
        return Err(Failure::No(format!(
            "the audit trail is broken at row {seq}: {how}; keep this database and every copy of its checkpoints, and find \
             out who could write here"
        )));
    }
    if damaged > 0 {
        let file = against.unwrap_or_default();
        return Err(Failure::No(format!("{}: {damaged} lines are no checkpoints; take another copy", file.display())));
    }
    if args.json.json {
        return Ok(());
    }
    let AuditReport { from, rows, checkpoints, superseded, signed_to, .. } = report;
    line(&format!("the audit trail is whole: {rows} rows from {from} on, {checkpoints} checkpoints agree"));
    line(&match signed_to {
        0 => "no checkpoint vouches for it yet; the daemon signs it at start, every hour and at stop".to_owned(),
        _ => format!("signed up to row {signed_to}"),
    });
    if superseded > 0 {
        line(&format!("{superseded} checkpoints belong to a trail that was given up when a backup was put back"));
    }
    Ok(())
}

fn as_json(report: &AuditReport, kept: &Kept, against: Option<&Path>) -> Value {
    let (whole, head, broken) = match &report.verdict {
        AuditVerdict::Intact { head } => (true, document!(head), document!(null)),
        AuditVerdict::Broken { seq, how } => {
            (false, document!(null), document!({ "seq": seq, "how": how.as_str(), "said": how.to_string() }))
        }
    };
    document!({
        "whole": whole, "head": head, "broken": broken, "from": report.from, "rows": report.rows,
        "checkpoints": report.checkpoints, "superseded": report.superseded, "signed-to": report.signed_to,
        "file": against, "unreadable-lines": kept.unreadable,
    })
}

fn key(store: &Store, flag: JsonFlag) -> Result<(), Failure> {
    let public =
        store.signing().map(SigningKey::public).ok_or_else(|| Failure::No("there is no signing key".into()))?;
    let id = name_of_key(&public);
    if flag.json {
        json(&document!({ "public-key": public, "key-id": id, "algorithm": "Ed25519" }));
    } else {
        line(&format!("{public}\nkey id {id}, Ed25519; keep it apart from this machine"));
    }
    Ok(())
}
