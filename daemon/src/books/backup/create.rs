//! Making a backup.
//!
//! Everything is first made in a folder of its own beside the place of the backup, proven there, and renamed into place as the
//! last step. So a file of the final name is a whole backup, whenever the machine or the process ends.

use super::container::{Lock, Opener, Sealer};
use super::{BESIDE, CONFIGURATION, DATABASE};
use crate::cmd::Failure;
use crate::config::Settings;
use crate::site;
use sekisho_logic::time::WallMs;
use sekisho_store::Store;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Begins the names of what is under way; what a crash left of it is cleared away by the next backup.
const UNDER_WAY: &str = ".sekisho-backup-";
/// What comes first in a container: the names, sizes and hashes of the others, and what the database holds.
pub(super) const MANIFEST: &str = "manifest.json";
/// A manifest is a kilobyte.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Where.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// What is in it.
    pub inventory: Value,
}

/// A folder that goes with whoever made it.
pub(super) struct Workshop(pub(super) PathBuf);

impl Workshop {
    fn beside(target: &Path) -> Result<Self, Failure> {
        let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        clear_leftovers(folder);
        Self::make(folder.join(format!("{UNDER_WAY}{}", std::process::id())))
    }

    pub(super) fn make(path: PathBuf) -> Result<Self, Failure> {
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::No(format!("{}: {error}; nothing was changed", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: {error}; remove it by hand", self.0.display());
        }
    }
}

/// Removes what backups left that were killed: folders named after processes that are no more.
fn clear_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(UNDER_WAY)).filter(|pid| !pid.is_empty());
        if pid.is_some_and(|pid| pid.bytes().all(|c| c.is_ascii_digit()) && !Path::new("/proc").join(pid).exists()) {
            let _tried = fs::remove_dir_all(entry.path());
        }
    }
}

/// The name of a backup made now.
fn named(now: WallMs) -> String {
    let at: String = now.to_rfc3339().chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("sekisho-{at}Z.backup")
}

/// Makes a backup at `to`, a file that is not there yet or a folder.
///
/// # Errors
/// [`Failure::No`] with one sentence; then there is no file of the final name.
pub fn create(
    settings: &Settings,
    (config, to): (&Path, &Path),
    store: &mut Store,
    lock: &Lock,
    now: WallMs,
) -> Result<Made, Failure> {
    let target = if to.is_dir() { to.join(named(now)) } else { to.to_path_buf() };
    if target.symlink_metadata().is_ok() {
        return Err(Failure::No(format!("{}: this file is there already; give another name", target.display())));
    }
    let no = |error: io::Error| Failure::No(format!("{}: {error}; no backup was made", target.display()));
    let workshop = Workshop::beside(&target)?;
    let copy = workshop.0.join(DATABASE);
    store.copy_to(&copy).map_err(Failure::no)?;
    let mut files = vec![(DATABASE.to_owned(), copy.clone())];
    let state = &settings.daemon.state_dir;
    files.extend(BESIDE.iter().map(|name| ((*name).to_owned(), state.join(name))).filter(|(_, path)| path.exists()));
    files.push((CONFIGURATION.to_owned(), config.to_path_buf()));
    // What lies beside is read once, so that what is hashed is what is packed.
    let mut parts = Vec::new();
    for (name, path) in files {
        let kept = if path == copy { path } else { copied(&path, &workshop.0.join(&name)).map_err(no)? };
        let (bytes, sha256) = digest(&kept).map_err(no)?;
        parts.push((name, kept, bytes, sha256));
    }
    let inventory = {
        let mut copied = Store::open_existing(&copy, site::database_key(settings)?).map_err(Failure::no)?;
        let inventory = copied.inventory().map_err(Failure::no)?;
        copied.close().map_err(Failure::no)?;
        inventory
    };
    // Opening it touched it.
    if let Some((_, path, bytes, sha256)) = parts.first_mut() {
        (*bytes, *sha256) = digest(path).map_err(no)?;
    }
    let listed = parts.iter().map(|(name, _, bytes, sha256)| json!({ "name": name, "bytes": bytes, "sha256": sha256 }));
    let manifest = json!({ "files": listed.collect::<Vec<_>>(), "inventory": inventory }).to_string();
    let draft = workshop.0.join("draft");
    pack(&draft, lock, &manifest, &parts, now).map_err(|error| match error {
        Failure::No(said) | Failure::Wrong(said) => {
            Failure::No(format!("{}: {said}; no backup was made", target.display()))
        }
    })?;
    prove(settings, &draft, lock, &workshop.0.join("proof"), &inventory)?;
    let (bytes, sha256) = digest(&draft).map_err(no)?;
    rename_new(&draft, &target).map_err(no)?;
    Ok(Made { file: target, bytes, sha256, inventory })
}

fn copied(from: &Path, to: &Path) -> io::Result<PathBuf> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    Ok(to.to_path_buf())
}

/// Length and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let bytes = io::copy(&mut file, &mut hasher)?;
    Ok((bytes, hex::encode(hasher.finalize())))
}

fn pack(
    draft: &Path,
    lock: &Lock,
    manifest: &str,
    parts: &[(String, PathBuf, u64, String)],
    now: WallMs,
) -> Result<(), Failure> {
    let no = |error: io::Error| Failure::No(error.to_string());
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).map_err(no)?;
    let about = json!({ "created-ms": now.0, "created": now.to_rfc3339(), "version": env!("CARGO_PKG_VERSION") });
    let mut sealer = Sealer::begin(io::BufWriter::new(file), lock, about)?;
    sealer.add(MANIFEST, manifest.len() as u64, manifest.as_bytes()).map_err(no)?;
    for (name, path, bytes, _) in parts {
        sealer.add(name, *bytes, File::open(path).map_err(no)?).map_err(no)?;
    }
    let file = sealer.end().map_err(no)?.into_inner().map_err(|error| no(error.into_error()))?;
    file.sync_all().map_err(no)
}

/// Renames without ever replacing a file that appeared meanwhile.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    fs::remove_file(from)?;
    sync_folder(to)
}

pub(super) fn sync_folder(of: &Path) -> io::Result<()> {
    let folder = of.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// What a backup said of itself and what came out of it.
#[derive(Debug)]
pub(super) struct Unpacked {
    pub(super) about: Value,
    pub(super) inventory: Value,
    pub(super) names: Vec<String>,
}

/// Unpacks a backup into a folder that is not there yet, holding every file to its hash. Names are those known here and no
/// others, so nothing can be written elsewhere.
pub(super) fn unpack(file: &Path, lock: &Lock, into: &Path) -> Result<Unpacked, Failure> {
    let said = |what: &dyn std::fmt::Display| Failure::No(format!("{}: {what}; nothing was changed", file.display()));
    let no = |error: io::Error| said(&error);
    let opened = File::open(file).map_err(no)?;
    let (mut opener, about) = Opener::begin(opened, lock).map_err(|failure| said(&failure))?;
    let damaged = || said(&"this backup is damaged");
    let manifest = match opener.entry().map_err(no)? {
        Some((name, bytes)) if name == MANIFEST && bytes <= MANIFEST_BYTES_MAX => {
            let mut text = Vec::new();
            opener.by_ref().take(bytes).read_to_end(&mut text).map_err(no)?;
            serde_json::from_slice::<Value>(&text).map_err(|_| damaged())?
        }
        _ => return Err(damaged()),
    };
    let mut names = Vec::new();
    while let Some((name, bytes)) = opener.entry().map_err(no)? {
        let known = name == DATABASE || name == CONFIGURATION || BESIDE.contains(&name.as_str());
        let listed = manifest["files"].as_array().into_iter().flatten().find(|one| one["name"] == name.as_str());
        let Some(listed) = listed.filter(|_| known && !names.contains(&name)) else { return Err(damaged()) };
        let path = into.join(&name);
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(no)?;
        let copied = io::copy(&mut opener.by_ref().take(bytes), &mut to).map_err(no)?;
        to.flush().and_then(|()| to.sync_all()).map_err(no)?;
        let (_, sha256) = digest(&path).map_err(no)?;
        if copied != bytes || listed["bytes"] != bytes || listed["sha256"] != sha256.as_str() {
            return Err(damaged());
        }
        names.push(name);
    }
    if names.len() != manifest["files"].as_array().map_or(0, Vec::len)
        || names.first().is_none_or(|name| name != DATABASE)
    {
        return Err(damaged());
    }
    Ok(Unpacked { about, inventory: manifest["inventory"].clone(), names })
}

/// Opens an unpacked database and holds it to what the manifest says.
pub(super) fn open_proven(settings: &Settings, folder: &Path, inventory: &Value) -> Result<Store, Failure> {
    let path = folder.join(DATABASE);
    let mut store = Store::open_existing(&path, site::database_key(settings)?).map_err(Failure::no)?;
    if let Some(finding) = store.integrity_check().map_err(Failure::no)?.first() {
        return Err(Failure::No(format!("the database in the backup is damaged ({finding})")));
    }
    if store.inventory().map_err(Failure::no)? != *inventory
        && inventory["schema"] == store.inventory().map_err(Failure::no)?["schema"]
    {
        return Err(Failure::No("the database in the backup does not hold what its manifest says".to_owned()));
    }
    Ok(store)
}

/// Reads a backup back before it counts.
fn prove(settings: &Settings, draft: &Path, lock: &Lock, folder: &Path, inventory: &Value) -> Result<(), Failure> {
    let proof = Workshop::make(folder.to_path_buf())?;
    let unpacked = unpack(draft, lock, &proof.0)?;
    let store = open_proven(settings, &proof.0, &unpacked.inventory)?;
    store.close().map_err(Failure::no)?;
    if unpacked.inventory != *inventory {
        return Err(Failure::No("the backup read back differs from what was written; is the disk well?".to_owned()));
    }
    Ok(())
}
