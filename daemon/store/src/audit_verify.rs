//! Whether an audit trail is whole: its chain of hashes, its beginning, and every checkpoint that anybody kept.

use crate::audit::{AuditEntry, COLUMNS, Hash, Stored, chain, head, stored};
use crate::checkpoint::{Checkpoint, FLOOR_DOMAIN, RESTORE_DOMAIN, checkpoint, floor_at, message};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use crate::sign::{SigningKey, verified};
use rusqlite::Connection;
use sekisho_logic::time::WallMs;
use std::collections::BTreeMap;

/// How a trail can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The row is not there, or another stands in its place.
    Missing,
    /// The row's content does not give its hash.
    Edited,
    /// The row does not continue the one before.
    Unlinked,
    /// The trail ends before (or after) the row noted as its last, or before a row that was signed.
    Truncated,
    /// The row is whole, and another one than was signed: it or one before it was written anew with everything after.
    Rewritten,
    /// The checkpoint of the row is not signed by a known key.
    Signature,
    /// Rows before it are gone, and nothing signed says that they were given up.
    Floor,
}

impl Break {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Edited => "edited",
            Self::Unlinked => "unlinked",
            Self::Truncated => "truncated",
            Self::Rewritten => "rewritten",
            Self::Signature => "signature",
            Self::Floor => "floor",
        }
    }
}

impl std::fmt::Display for Break {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "the row is missing, or another stands in its place",
            Self::Edited => "the row was edited",
            Self::Unlinked => "the row does not continue the one before",
            Self::Truncated => "the trail was cut off here",
            Self::Rewritten => "the row is another one than was signed: it or one before it was rewritten",
            Self::Signature => "the checkpoint of the row is not signed by a known key",
            Self::Floor => "rows before it are gone without a signed note that they were given up",
        })
    }
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// The first row there is; rows before it were given up.
    pub from: i64,
    /// Rows looked at.
    pub rows: u64,
    /// Checkpoints that were held against the trail and agree with it.
    pub checkpoints: u64,
    /// Checkpoints of a trail that was given up when a backup was put back.
    pub superseded: u64,
    /// The last row that a checkpoint vouches for; 0 when none does.
    pub signed_to: i64,
    /// Whether the trail is whole.
    pub verdict: AuditVerdict,
}

/// Whether the trail is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    /// From the first row to the head.
    Intact {
        /// Hash of the last row, in hex.
        head: String,
    },
    /// Something was changed.
    Broken {
        /// The first row that does not fit.
        seq: i64,
        /// In which way.
        how: Break,
    },
}

impl Store {
    /// Checks the whole trail and the checkpoints in the database, signed by this store's own key.
    ///
    /// # Errors
    /// [`StoreError`] when the trail could not be read; a broken trail is a verdict, not an error.
    pub fn audit_verify(&mut self) -> Result<AuditReport, StoreError> {
        let keys: Vec<_> = self.signing().map(SigningKey::public).into_iter().collect();
        self.audit_verify_with(&keys, &[])
    }

    /// Checks the whole trail against the checkpoints in the database and `kept`, which were kept elsewhere. `keys` are the
    /// public keys (hex) that are trusted.
    ///
    /// # Errors
    /// As [`audit_verify`](Self::audit_verify).
    pub fn audit_verify_with(&mut self, keys: &[String], kept: &[Checkpoint]) -> Result<AuditReport, StoreError> {
        self.read(|connection| verify(connection, keys, kept))
    }
}

/// Number and hash of the last row that was reached, or the first that does not fit and how.
pub(crate) type Walked = Result<(i64, Hash), (i64, Break)>;

/// Follows the chain from the row after `from` up to row `to`; gives number and hash of the last row, or the first row that
/// does not fit. `visit` may end it with a finding of its own.
pub(crate) fn walk(
    connection: &Connection,
    from: (i64, Hash),
    to: i64,
    mut visit: impl FnMut(&Stored) -> Result<(), (i64, Break)>,
) -> Result<Walked, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([from.0, to])?;
    let (mut seq, mut prev) = from;
    while let Some(row) = rows.next()? {
        let found = stored(row)?;
        let (entry, expected) = (&found.entry, seq + 1);
        let again = chain(
            &found.prev,
            entry.seq,
            entry.wall,
            &entry.actor,
            &entry.action,
            entry.subject.as_deref(),
            &entry.detail,
        );
        if entry.seq != expected {
            return Ok(Err((expected, Break::Missing)));
        }
        if again != found.hash {
            return Ok(Err((expected, Break::Edited)));
        }
        if found.prev != prev {
            return Ok(Err((expected, Break::Unlinked)));
        }
        if let Err(broken) = visit(&found) {
            return Ok(Err(broken));
        }
        (seq, prev) = (entry.seq, found.hash);
    }
    Ok(Ok((seq, prev)))
}

/// What is held against the rows on the way.
struct Against<'a> {
    keys: &'a [String],
    by_row: BTreeMap<i64, Vec<Checkpoint>>,
    /// Signed rows that say that a backup was put back: number and time.
    restored: Vec<(i64, WallMs)>,
    rows: u64,
    agreed: u64,
    superseded: u64,
    signed_to: i64,
}

impl Against<'_> {
    fn row(&mut self, row: &Stored) -> Result<(), (i64, Break)> {
        self.rows += 1;
        if row.entry.action == "restore" && is_signed_restore(&row.entry, &row.prev, self.keys) {
            self.restored.push((row.entry.seq, row.entry.wall));
        }
        self.checkpoints_of(row.entry.seq, Some(&row.entry.hash))
    }

    /// Holds the checkpoints of a row against its hash; `None`: there is no such row.
    fn checkpoints_of(&mut self, seq: i64, hash: Option<&str>) -> Result<(), (i64, Break)> {
        for checkpoint in self.by_row.remove(&seq).unwrap_or_default() {
            if !checkpoint.is_signed_by(self.keys) {
                return Err((seq, Break::Signature));
            }
            if hash == Some(&checkpoint.hash) {
                self.agreed += 1;
                self.signed_to = self.signed_to.max(seq);
            } else if self.restored.iter().any(|(row, wall)| *row <= seq && checkpoint.wall <= *wall) {
                self.superseded += 1;
            } else {
                return Err((seq, if hash.is_some() { Break::Rewritten } else { Break::Truncated }));
            }
        }
        Ok(())
    }
}

fn is_signed_restore(entry: &AuditEntry, prev: &Hash, keys: &[String]) -> bool {
    let detail: serde_json::Value = serde_json::from_str(&entry.detail).unwrap_or_default();
    let signature = detail["signature"].as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
    let message = message(entry.seq, prev, entry.wall);
    keys.iter().any(|public| verified(public, RESTORE_DOMAIN, &message, &signature))
}

fn verify(connection: &Connection, keys: &[String], kept: &[Checkpoint]) -> Result<AuditReport, Fault> {
    let floor = floor_at(connection)?;
    let mut statement = connection.prepare("SELECT seq, hash, wall_ms, key_id, signature FROM audit_checkpoints")?;
    let in_file = statement.query_map([], checkpoint)?.collect::<Result<Vec<_>, _>>()?;
    let mut by_row = BTreeMap::<i64, Vec<Checkpoint>>::new();
    // What vouched for rows that were given up vouches for nothing any more.
    for checkpoint in in_file.iter().chain(kept).filter(|checkpoint| checkpoint.seq >= floor.0) {
        let there = by_row.entry(checkpoint.seq).or_default();
        if !there.contains(checkpoint) {
            there.push(checkpoint.clone());
        }
    }
    let mut against = Against { keys, by_row, restored: Vec::new(), rows: 0, agreed: 0, superseded: 0, signed_to: 0 };
    let result = if floor.0 == 0 || floor_is_signed(connection, floor, keys)? {
        let begun = if floor.0 == 0 { Ok(()) } else { against.checkpoints_of(floor.0, Some(&hex::encode(floor.1))) };
        match begun {
            Ok(()) => walk(connection, floor, i64::MAX, |row| against.row(row))?,
            Err(broken) => Err(broken),
        }
    } else {
        Err((floor.0 + 1, Break::Floor))
    };
    let result = match result {
        Ok(end) if head(connection)? == end => {
            let beyond: Vec<i64> = against.by_row.keys().copied().collect();
            let past = beyond.into_iter().try_for_each(|seq| against.checkpoints_of(seq, None));
            past.map(|()| end).map_err(|(seq, how)| (if how == Break::Truncated { end.0 + 1 } else { seq }, how))
        }
        Ok(end) => Err((end.0 + 1, Break::Truncated)),
        Err(broken) => Err(broken),
    };
    Ok(AuditReport {
        from: floor.0 + 1,
        rows: against.rows,
        checkpoints: against.agreed,
        superseded: against.superseded,
        signed_to: against.signed_to,
        verdict: match result {
            Ok((_, hash)) => AuditVerdict::Intact { head: hex::encode(hash) },
            Err((seq, how)) => AuditVerdict::Broken { seq, how },
        },
    })
}

fn floor_is_signed(connection: &Connection, (seq, hash): (i64, Hash), keys: &[String]) -> Result<bool, Fault> {
    let (wall, signature): (Option<i64>, Option<Vec<u8>>) =
        connection.query_row("SELECT wall_ms, signature FROM audit_floor WHERE id = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let message = message(seq, &hash, WallMs(wall.unwrap_or_default()));
    let signature = signature.unwrap_or_default();
    Ok(keys.iter().any(|public| verified(public, FLOOR_DOMAIN, &message, &signature)))
}

#[cfg(test)]
#[path = "audit_verify_tests.rs"]
mod tests;
