//! The memory of erasures around a restore: who was erased and when it was asked for, from every place that tells, so that a
//! backup from before forgets them again. Opaque ids and times, nothing else.

use crate::cmd::Failure;
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use sekisho_store::{TOMBSTONES_DOMAIN, Tombstone, read_tombstones};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The file, in the state directory and beside backups.
pub const FILE: &str = "erased.ndjson";

/// The tombstones of the files in these folders and those given, each person once with the latest time.
///
/// # Errors
/// [`Failure::No`] when a file is there and cannot be read: who is in it must not come back.
pub fn union(given: &[Tombstone], folders: &[&Path]) -> Result<Vec<Tombstone>, Failure> {
    let mut latest = BTreeMap::<PersonId, WallMs>::new();
    let mut all = given.to_vec();
    for folder in folders {
        all.extend(read_tombstones(&folder.join(FILE)).map_err(Failure::no)?);
    }
    for Tombstone { person, asked } in all {
        let at = latest.entry(person).or_insert(asked);
        *at = WallMs(at.0.max(asked.0));
    }
    Ok(latest.into_iter().map(|(person, asked)| Tombstone { person, asked }).collect())
}

/// Writes a file that remembers all of these: the signed lines of the files in `folders` as they are, and a plain one for
/// whoever is in none of them.
///
/// # Errors
/// What the file system said.
pub fn write(file: &Path, tombstones: &[Tombstone], folders: &[&Path]) -> io::Result<()> {
    let (mut lines, mut told) = (Vec::<String>::new(), Vec::new());
    for folder in folders {
        let path = folder.join(FILE);
        told.extend(read_tombstones(&path).map_err(|error| io::Error::other(error.to_string()))?);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if !lines.iter().any(|there| there == line) {
                lines.push(line.to_owned());
            }
        }
    }
    for Tombstone { person, asked } in tombstones.iter().filter(|stone| !told.contains(stone)) {
        lines.push(json!({ "format": TOMBSTONES_DOMAIN, "person": person, "asked-ms": asked.0 }).to_string());
    }
    let mut to = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    lines.iter().try_for_each(|line| writeln!(to, "{line}"))?;
    to.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_of_all_places_come_together_with_the_latest_time_and_are_written_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let stone = |name: &str, at| Tombstone { person: PersonId::try_new(name).expect("a name"), asked: WallMs(at) };
        write(&dir.path().join(FILE), &[stone("ann-1", 5), stone("bob-2", 7)], &[]).expect("written");
        let folders = [dir.path(), Path::new("/nowhere")];
        let all = union(&[stone("ann-1", 9), stone("cat-3", 1)], &folders).expect("readable");
        assert_eq!(all, [stone("ann-1", 9), stone("bob-2", 7), stone("cat-3", 1)]);
        let again = tempfile::tempdir().expect("a folder");
        write(&again.path().join(FILE), &all, &folders).expect("written");
        assert_eq!(union(&[], &[again.path()]).expect("readable"), all);
        let lines = std::fs::read_to_string(again.path().join(FILE)).expect("text");
        assert_eq!(lines.lines().count(), 4, "both of one person's, and nobody twice: {lines}");
    }
}
