//! A folder of backups: what lies there, and what is past its time. A backup still holds who was erased since it was made.

use super::container;
use crate::cmd::Failure;
use sekisho_logic::time::WallMs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A backup on the shelf, as its head says; nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelved {
    /// Where.
    pub file: PathBuf,
    /// When it was made.
    pub created: WallMs,
    /// What it is locked with.
    pub lock: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it is older than backups are kept.
    pub due: bool,
}

/// The backups in `folder`, oldest first. Other files are passed over.
///
/// # Errors
/// [`Failure::No`] when the folder cannot be read.
pub fn look(folder: &Path, keep: Duration, now: WallMs) -> Result<Vec<Shelved>, Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| Failure::No(format!("{}: {error}", folder.display())))?;
    let before = now.0.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX));
    let one = |entry: std::fs::DirEntry| {
        let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let head = container::about(std::fs::File::open(entry.path()).ok()?).ok()?;
        let created = WallMs(head["created-ms"].as_i64()?);
        let lock = head["lock"].as_str()?.to_owned();
        Some(Shelved { file: entry.path(), created, lock, bytes: about.len(), due: created.0 < before })
    };
    let mut found: Vec<_> = entries.flatten().filter_map(one).collect();
    found.sort_by_key(|one| (one.created.0, one.file.clone()));
    Ok(found)
}

/// Deletes the backups that are due, except the newest of all: a clock that is wrong must not take the last one. Gives those
/// that went.
///
/// # Errors
/// [`Failure::No`] when one cannot be deleted; those before it are gone.
pub fn prune(folder: &Path, keep: Duration, now: WallMs) -> Result<Vec<Shelved>, Failure> {
    let mut found = look(folder, keep, now)?;
    let _newest = found.pop();
    let due: Vec<_> = found.into_iter().filter(|one| one.due).collect();
    for one in &due {
        std::fs::remove_file(&one.file).map_err(|error| Failure::No(format!("{}: {error}", one.file.display())))?;
    }
    Ok(due)
}

#[cfg(test)]
mod tests {
    use super::*;
    use container::{Lock, Sealer};
    use sekisho_store::DbKey;
    use serde_json::json;

    #[test]
    fn what_is_past_its_time_goes_and_the_newest_never() {
        let dir = tempfile::tempdir().expect("a folder");
        let put = |name: &str, day: i64| {
            let lock = Lock::KeyFile(DbKey::from_bytes([1; 32]));
            let about = json!({ "created-ms": day * 86_400_000 });
            let bytes = Sealer::begin(Vec::new(), &lock, about).expect("begun").end().expect("ended");
            std::fs::write(dir.path().join(name), bytes).expect("written");
        };
        for (name, day) in [("a", 1), ("b", 20), ("c", 40)] {
            put(name, day);
        }
        std::fs::write(dir.path().join("notes.txt"), "not ours").expect("written");
        let keep = Duration::from_secs(30 * 86_400);
        let names = |found: Vec<Shelved>| {
            found.into_iter().filter_map(|one| Some(one.file.file_name()?.to_str()?.to_owned())).collect::<Vec<_>>()
        };
        let at = |day: i64| WallMs(day * 86_400_000);
        assert_eq!(
            names(look(dir.path(), keep, at(41)).expect("looked").into_iter().filter(|one| one.due).collect()),
            ["a"]
        );
        assert_eq!(names(prune(dir.path(), keep, at(41)).expect("pruned")), ["a"]);
        assert_eq!(names(prune(dir.path(), keep, at(9000)).expect("pruned")), ["b"], "a clock gone mad");
        assert_eq!(names(look(dir.path(), keep, at(41)).expect("looked")), ["c"]);
        assert!(dir.path().join("notes.txt").exists());
    }
}
