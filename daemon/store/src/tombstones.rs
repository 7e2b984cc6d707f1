//! Tombstones: who was erased and when, so that a backup from before does not bring anybody back.
//!
//! They are in the database, and once more in `erased.ndjson` beside it, which a restore leaves alone: one signed line an
//! erasure, with the opaque id and nothing else about the person. A line whose signature does not hold is damaged and not
//! believed; who can write to the directory can erase people anyway, so the signature is no defence against them.

use crate::erase::Erasure;
use crate::error::StoreError;
use crate::open::Store;
use crate::own_file::open_own;
use crate::receipt::{ReceiptVerdict, signed, verdict};
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What a line of the file says it is.
pub const TOMBSTONES_DOMAIN: &str = "sekisho-erased-1";
const DOMAIN: &str = TOMBSTONES_DOMAIN;
/// A line is about 500 bytes; more than a hundred thousand erasures are no site's.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Somebody who was erased.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tombstone {
    /// Who: the opaque id.
    pub person: PersonId,
    /// When it was asked for; whoever is enrolled under this id afterwards is meant by nobody.
    pub asked: WallMs,
}

impl Store {
    /// Everybody who was erased, from the database and from the file beside it, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]. Lines of the file that do not read are left out and logged.
    pub fn tombstones(&mut self) -> Result<Vec<Tombstone>, StoreError> {
        let mut found: Vec<Tombstone> = self
            .erasures()?
            .into_iter()
            .map(|erasure| Tombstone { person: erasure.person, asked: erasure.asked })
            .collect();
        found.extend(lines(&beside(self.path()))?);
        found.sort_unstable_by(|a, b| (a.asked, &a.person).cmp(&(b.asked, &b.person)));
        found.dedup();
        Ok(found)
    }

    /// Erases again whoever of these is back: enrolled from before they asked to be erased, or told by alerts from before.
    /// Erasures that this database knows of are left alone, so nothing happens where no older backup was restored. Gives the
    /// erasures this made. A legal hold does not stop it: the hold that the backup remembers was lifted when they were erased.
    ///
    /// # Errors
    /// As [`erase`](Self::erase); those before it in the list are erased.
    pub fn apply_tombstones(&mut self, tombstones: &[Tombstone], now: WallMs) -> Result<Vec<Erasure>, StoreError> {
        let mut again = Vec::new();
        for Tombstone { person, asked } in tombstones {
            let back = self.read(|connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM erasures WHERE person = ?1 AND asked_ms >= ?2)
                             AND (EXISTS (SELECT 1 FROM people WHERE id = ?1 AND enrolled_ms < ?2)
                                  OR (EXISTS (SELECT 1 FROM alerts WHERE person = ?1 AND opened_ms < ?2)
                                      AND NOT EXISTS (SELECT 1 FROM people WHERE id = ?1)))",
                    )?
                    .exists(rusqlite::params![person.as_str(), asked.0])?)
            })?;
            if back {
                again.push(self.begin_restored(person, *asked, now)?);
            }
        }
        Ok(again)
    }

    /// Adds the line of an erasure, unless it is there.
    pub(crate) fn write_tombstone(&self, erasure: &Erasure) -> Result<(), StoreError> {
        let path = beside(self.path());
        let stone = Tombstone { person: erasure.person.clone(), asked: erasure.asked };
        if lines(&path)?.contains(&stone) {
            return Ok(());
        }
        let object = json!({
            "format": DOMAIN, "person": stone.person, "asked-ms": stone.asked.0, "cause": erasure.cause.as_str(),
        });
        let line = signed(object, DOMAIN, self.signing());
        append(&path, &line).map_err(|error| StoreError::io(&path, "noting who was erased", error))
    }
}

fn beside(database: &Path) -> PathBuf {
    database.with_file_name("erased.ndjson")
}

/// A crash may have left half a line; the new one begins on a line of its own.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open_own(path, OpenOptions::new().append(true).create(true).mode(0o600))?;
    file.write_all(format!("\n{line}\n").as_bytes())?;
    file.sync_all()?;
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
}

/// The tombstones in a file as [`Store::write_tombstone`] makes it; none where there is no file. Lines that do not read are left
/// out and logged.
///
/// # Errors
/// [`StoreError::Io`] when it is there and cannot be read.
pub fn read_tombstones(path: &Path) -> Result<Vec<Tombstone>, StoreError> {
    lines(path)
}

fn lines(path: &Path) -> Result<Vec<Tombstone>, StoreError> {
    let fail = |error| StoreError::io(path, "reading who was erased", error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    let text = String::from_utf8_lossy(&bytes);
    let (mut found, mut unread) = (Vec::new(), 0_u32);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match stone(line) {
            Some(stone) => found.push(stone),
            None => unread += 1,
        }
    }
    if unread > 0 {
        tracing::warn!(path = %path.display(), unread, "lines about erased people are damaged and were passed over");
    }
    Ok(found)
}

fn stone(line: &str) -> Option<Tombstone> {
    let object: Value = serde_json::from_str(line).ok()?;
    match verdict(&object, DOMAIN) {
        ReceiptVerdict::Valid | ReceiptVerdict::Unsigned => {}
        ReceiptVerdict::Invalid => return None,
    }
    let person = PersonId::try_new(object.get("person")?.as_str()?).ok()?;
    Some(Tombstone { person, asked: WallMs(object.get("asked-ms")?.as_i64()?) })
}
