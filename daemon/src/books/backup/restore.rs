//! Putting a backup back.
//!
//! The new files are made whole and proven in a folder inside the state directory. Then a note is written that names them; from
//! that moment on the restore is decided, and whoever opens the database next finishes it if this process cannot. Before that
//! moment nothing of the old state was touched.

use super::container::Lock;
use super::create::{Unpacked, Workshop, digest, open_proven, sync_folder, unpack};
use super::{BESIDE, CONFIGURATION, DATABASE};
use crate::books::checkpoints;
use crate::books::erased::{self, FILE as ERASED};
use crate::cmd::Failure;
use crate::config::Settings;
use crate::site;
use sekisho_logic::time::WallMs;
use sekisho_store::{InstanceLock, Signed, Store, Tombstone, open_own};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where the new files wait.
const WAITING: &str = "restoring";
/// The note that decides.
const NOTE: &str = "restore.todo";
/// What the configuration of the backup is called beside the state; it is never put in force by itself.
const CONFIGURATION_ASIDE: &str = "sekisho.toml.from-backup";

/// How to put a backup back.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The backup.
    pub file: &'a Path,
    /// Whether a database that is there may be put aside.
    pub replace: bool,
    /// Whether what was put aside is then overwritten and deleted.
    pub purge_old: bool,
    /// Who asked.
    pub actor: &'a str,
    /// When.
    pub now: WallMs,
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// When the backup was made.
    pub made: String,
    /// People who were erased since then and were erased again.
    pub erased_again: Vec<String>,
    /// Where the old state lies; `None` when there was none, or it was purged.
    pub aside: Option<PathBuf>,
    /// What is in force now.
    pub inventory: Value,
}

/// Puts a backup back.
///
/// # Errors
/// [`Failure::No`] with one sentence; then the old state is in force, unless the sentence says that the restore is decided.
pub fn restore(settings: &Settings, asked: Asked<'_>, lock: &Lock) -> Result<Restored, Failure> {
    let state = &settings.daemon.state_dir;
    let database = state.join(DATABASE);
    let _instance = InstanceLock::acquire(state).map_err(Failure::no)?;
    finish(state)?;
    if database.exists() && !asked.replace {
        return Err(Failure::No(format!(
            "{}: there is a database already; --replace puts it aside, nothing was changed",
            database.display()
        )));
    }
    let waiting = state.join(WAITING);
    // Of a restore that was killed before it was decided.
    let _leftover = fs::remove_dir_all(&waiting);
    let workshop = Workshop::make(waiting)?;
    let Unpacked { about, inventory, mut names } = unpack(asked.file, lock, &workshop.0)?;
    let made = about["created"].as_str().unwrap_or_default().to_owned();
    let mut store = open_proven(settings, &workshop.0, &inventory)?;
    store.sign_with(site::signing_key(settings)?);
    let present = if database.exists() { present(settings, &database)? } else { Present::default() };
    let told_by = [state.as_path(), folder_of(asked.file), &workshop.0];
    let tombstones = erased::union(&present.tombstones, &told_by)?;
    let again = store.apply_tombstones(&tombstones, asked.now).map_err(Failure::no)?;
    let erased_again: Vec<_> = again.iter().map(|erasure| erasure.person.to_string()).collect();
    let (_, sha256) = digest(asked.file).map_err(Failure::no)?;
    let detail = json!({
        "made": made, "sha256": sha256, "erased-again": erased_again.len(), "given-up": present.head,
    });
    store.audit_restored(detail, asked.actor, asked.now).map_err(Failure::no)?;
    let no = |error: io::Error| Failure::No(format!("{}: {error}; nothing was changed", state.display()));
    if let Signed::New(checkpoint) = store.audit_checkpoint(None, asked.now).map_err(Failure::no)? {
        let file = workshop.0.join("audit-checkpoints.ndjson");
        checkpoints::append(&file, &checkpoint).map_err(no)?;
        names.push("audit-checkpoints.ndjson".to_owned());
    }
    let inventory = store.inventory().map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    if !tombstones.is_empty() {
        erased::write(&workshop.0.join(ERASED), &tombstones, &told_by).map_err(no)?;
        names.push(ERASED.to_owned());
    }
    names.sort();
    names.dedup();
    decide(state, &names, asked.now).map_err(no)?;
    // Decided: what is in the workshop belongs to the state now.
    std::mem::forget(workshop);
    let aside = finish(state)?;
    let aside = match aside.filter(|_| present.there) {
        Some(aside) if asked.purge_old => {
            purge(&aside).map_err(|error| {
                Failure::No(format!("{}: restored, but the old state is left: {error}", aside.display()))
            })?;
            None
        }
        other => other,
    };
    Ok(Restored { made, erased_again, aside, inventory })
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// What the database that is put aside still has to say.
#[derive(Default)]
struct Present {
    there: bool,
    tombstones: Vec<Tombstone>,
    head: Value,
}

/// A database that does not open (which may be why a backup is put back) says nothing and stops nothing.
fn present(settings: &Settings, database: &Path) -> Result<Present, Failure> {
    let mut present = Present { there: true, ..Present::default() };
    match Store::open_existing(database, site::database_key(settings)?) {
        Ok(mut store) => {
            let (seq, hash) = store.audit_head().map_err(Failure::no)?;
            present.head = json!({ "seq": seq, "hash": hash });
            present.tombstones = store.tombstones().map_err(Failure::no)?;
            store.close().map_err(Failure::no)?;
        }
        Err(error) => eprintln!("sekisho: the present database is put aside unread: {error}"),
    }
    Ok(present)
}

/// Writes the note.
fn decide(state: &Path, names: &[String], now: WallMs) -> io::Result<()> {
    let at: String = now.to_rfc3339().chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    // Two restores of one second keep what they put aside apart.
    let plain = format!("before-restore-{at}Z");
    let numbered = (2..).map(|n: u32| format!("{plain}-{n}"));
    let aside = std::iter::once(plain.clone()).chain(numbered).find(|name| !state.join(name).exists()).unwrap_or(plain);
    let draft = state.join(format!("{NOTE}.draft"));
    let _leftover = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    File::open(state.join(WAITING))?.sync_all()?;
    file.write_all(json!({ "aside": aside, "names": names }).to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, state.join(NOTE))?;
    sync_folder(&draft)
}

/// Finishes a restore that was decided, whoever began it; gives where the old state lies. Nothing without a note. May be broken
/// off anywhere and called again.
///
/// # Errors
/// [`Failure::No`] when a file cannot be moved; the note stays.
pub fn finish(state: &Path) -> Result<Option<PathBuf>, Failure> {
    let note = state.join(NOTE);
    let text = match fs::read_to_string(&note) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::No(format!("{}: {error}", note.display()))),
    };
    swap(state, &text).map(Some).map_err(|error| {
        Failure::No(format!("{}: {error}; the restore is decided, and goes on when that is mended", note.display()))
    })
}

fn swap(state: &Path, note: &str) -> io::Result<PathBuf> {
    let note: Value = serde_json::from_str(note).map_err(io::Error::other)?;
    let plain = |name: &&str| name.starts_with("before-restore-") && !name.contains('/');
    let aside =
        state.join(note["aside"].as_str().filter(plain).ok_or_else(|| io::Error::other("the note is damaged"))?);
    let waiting = state.join(WAITING);
    if !aside.exists() {
        fs::create_dir(&aside)?;
        fs::set_permissions(&aside, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    let named: Vec<&str> = note["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // The log of the old database must never meet the new one.
    let logs = ["sekisho.db-wal", "sekisho.db-shm"];
    for name in logs.into_iter().filter(|_| waiting.join(DATABASE).exists()) {
        put_aside(&state.join(name), &aside.join(name))?;
    }
    for name in [DATABASE].iter().chain(&BESIDE) {
        // The memory of erasures is only ever added to.
        if waiting.join(name).exists() || (!named.contains(name) && *name != ERASED) {
            put_aside(&state.join(name), &aside.join(name))?;
        }
        if waiting.join(name).exists() {
            fs::rename(waiting.join(name), state.join(name))?;
        }
    }
    if waiting.join(CONFIGURATION).exists() {
        fs::rename(waiting.join(CONFIGURATION), state.join(CONFIGURATION_ASIDE))?;
    }
    sync_folder(&aside)?;
    if waiting.exists() {
        fs::remove_dir_all(&waiting)?;
    }
    fs::remove_file(state.join(NOTE))?;
    sync_folder(&aside)?;
    Ok(aside)
}

/// Moves a file unless it was moved already.
fn put_aside(from: &Path, to: &Path) -> io::Result<()> {
    if from.exists() && !to.exists() { fs::rename(from, to) } else { Ok(()) }
}

/// Overwrites and deletes what was put aside. On flash, old blocks may remain; they are encrypted.
fn purge(aside: &Path) -> io::Result<()> {
    for entry in fs::read_dir(aside)? {
        let path = entry?.path();
        let mut file = open_own(&path, OpenOptions::new().write(true))?;
        let length = file.metadata()?.len();
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.sync_all()?;
        fs::remove_file(&path)?;
    }
    fs::remove_dir(aside)?;
    sync_folder(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).expect("written");
        fs::create_dir(dir.path().join(WAITING)).expect("made");
        for name in ["sekisho.db", "sekisho.db-wal", "people.keys", "calibration.toml"] {
            put(name, "old");
        }
        put("store.key", "kept");
        for name in ["sekisho.db", "calibration.toml", "sekisho.toml"] {
            put(&format!("{WAITING}/{name}"), "new");
        }
        dir
    }

    /// Every step of the swap may be the last one of its process: what a second one makes of it is always the new state.
    #[test]
    fn a_decided_restore_is_finished_from_wherever_it_broke_off() {
        let names: Vec<String> = ["calibration.toml", "sekisho.db", "sekisho.toml"].map(str::to_owned).to_vec();
        // The moves in the order of the swap; each prefix of them is what a crash can leave.
        let aside = "before-restore-20261127T170000Z";
        let moves = [
            ("sekisho.db-wal", format!("{aside}/sekisho.db-wal")),
            ("sekisho.db", format!("{aside}/sekisho.db")),
            ("restoring/sekisho.db", "sekisho.db".to_owned()),
            ("people.keys", format!("{aside}/people.keys")),
            ("calibration.toml", format!("{aside}/calibration.toml")),
            ("restoring/calibration.toml", "calibration.toml".to_owned()),
            ("restoring/sekisho.toml", CONFIGURATION_ASIDE.to_owned()),
        ];
        for done in 0..=moves.len() {
            let dir = state();
            decide(dir.path(), &names, WallMs(1_795_798_800_000)).expect("decided");
            let note: Value =
                serde_json::from_str(&fs::read_to_string(dir.path().join(NOTE)).expect("a note")).expect("JSON");
            let made = note["aside"].as_str().expect("a name").to_owned();
            fs::create_dir(dir.path().join(&made)).expect("made");
            for (from, to) in &moves[..done] {
                fs::rename(dir.path().join(from), dir.path().join(to.replace(aside, &made))).expect("moved");
            }
            let put_aside = finish(dir.path()).expect("finished").expect("something to finish");
            let read = |path: PathBuf| fs::read_to_string(path).ok();
            let now = |name: &str| read(dir.path().join(name));
            assert_eq!(now("sekisho.db").as_deref(), Some("new"), "after {done} moves");
            assert_eq!(now("calibration.toml").as_deref(), Some("new"));
            assert_eq!((now("sekisho.db-wal"), now("people.keys")), (None, None));
            assert_eq!(now("store.key").as_deref(), Some("kept"));
            for name in ["sekisho.db", "sekisho.db-wal", "people.keys", "calibration.toml"] {
                assert_eq!(read(put_aside.join(name)).as_deref(), Some("old"), "{name} after {done} moves");
            }
            assert_eq!(finish(dir.path()).expect("asked"), None, "once");
            purge(&put_aside).expect("purged");
            assert!(!put_aside.exists());
        }
    }
}
