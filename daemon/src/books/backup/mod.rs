//! Backups: one encrypted file, made while the daemon runs, verified before it counts, and put back as a whole or not at all.
//!
//! ```text
//! create:  copy of the database, key ring, calibration, configuration -> container -> read back and proven -> renamed into place
//! restore: container -> folder beside the state, proven, those erased since erased again -> note -> swapped, file by file
//!                                                                                     \-> after a crash: swapped by the next
//! ```

pub mod container;
pub mod create;
pub mod restore;
pub mod shelf;

use crate::cmd::Failure;
use crate::config::Settings;
use crate::site;
use container::Lock;
use sekisho_store::{DbKey, IfMissing};
use std::path::Path;
use zeroize::Zeroizing;

/// The database inside a backup and in the state directory.
pub(crate) const DATABASE: &str = "sekisho.db";
/// Files that travel with the database where they are there, by their names in the state directory. The ring of people's
/// keys is copied after the database: who is erased in between is erased in the backup too.
pub(crate) const BESIDE: [&str; 4] = ["people.keys", "calibration.toml", "erased.ndjson", "audit-checkpoints.ndjson"];
/// The configuration, which holds no secrets; it is in the backup for whoever builds the box anew and is never put back by
/// itself.
pub(crate) const CONFIGURATION: &str = "sekisho.toml";
/// A passphrase file is a line.
const PASSPHRASE_BYTES_MAX: u64 = 1024;
/// Shorter ones can be guessed off-line, argon2 or not.
const PASSPHRASE_CHARS_MIN: usize = 12;

/// What locks a backup: a passphrase, a key file, or a key derived from the database's.
///
/// # Errors
/// [`Failure`] when the file with it cannot be read or holds none.
pub fn lock(settings: &Settings, key_file: Option<&Path>, passphrase_file: Option<&Path>) -> Result<Lock, Failure> {
    match (key_file, passphrase_file) {
        (Some(file), _) => Ok(Lock::KeyFile(DbKey::from_file(file, IfMissing::Refuse).map_err(Failure::no)?)),
        (None, Some(file)) => Ok(Lock::Passphrase(passphrase(file)?)),
        (None, None) => Ok(Lock::Database(site::database_key(settings)?)),
    }
}

fn passphrase(file: &Path) -> Result<Zeroizing<String>, Failure> {
    use std::io::Read as _;
    use std::os::unix::fs::MetadataExt as _;
    let no = |said: String| Failure::No(format!("{}: {said}", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| no(error.to_string()))?;
    let mode = opened.metadata().map_err(|error| no(error.to_string()))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(no(format!("the passphrase can be read by others (mode {mode:04o}); run `chmod 600` on it")));
    }
    let mut text = Zeroizing::new(String::with_capacity(2048));
    opened.take(PASSPHRASE_BYTES_MAX).read_to_string(&mut text).map_err(|error| no(error.to_string()))?;
    let line = Zeroizing::new(text.lines().next().unwrap_or_default().trim().to_owned());
    if line.chars().count() < PASSPHRASE_CHARS_MIN {
        return Err(no(format!("a passphrase has {PASSPHRASE_CHARS_MIN} characters at least")));
    }
    Ok(line)
}
