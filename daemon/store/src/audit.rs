//! The audit trail: who did what, when, in a chain that shows tampering.
//!
//! Row `n` holds `hash = SHA-256("sekisho-audit-1" 0x00, prev_hash, seq, wall, actor, action, subject, detail)`, numbers as
//! eight bytes big-endian, each text as its length in eight bytes followed by its bytes, an absent subject as the length
//! 2^64 - 1. `prev_hash` is the hash of row `n - 1`. The last row's number and hash are kept apart as well, so that a cut-off
//! end shows. Somebody who can write the encrypted file could recompute the whole chain; what stands against that is the
//! head being told to others, which [`Store::audit_head`] is for.

use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sekisho_logic::time::WallMs;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"sekisho-audit-1\0";
type Hash = [u8; 32];

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// 1, 2, 3 ...
    pub seq: i64,
    /// When.
    pub wall: WallMs,
    /// Who: `daemon`, `uid:1000`.
    pub actor: String,
    /// What: `alert`, `enrol`, `remove`, ...
    pub action: String,
    /// About whom or what, as an opaque id.
    pub subject: Option<String>,
    /// The particulars, a JSON object.
    pub detail: String,
    /// The row's hash in hex.
    pub hash: String,
}

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Rows looked at.
    pub rows: u64,
    /// Whether the chain holds.
    pub verdict: AuditVerdict,
}

/// Whether the chain holds.
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

/// How a chain can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The row is not there, or another stands in its place.
    Missing,
    /// The row's content does not give its hash.
    Edited,
    /// The row does not continue the one before.
    Unlinked,
    /// The trail ends before (or after) the row noted as its last.
    Truncated,
}

/// What is written; the store adds number and hashes.
pub(crate) struct Entry<'a> {
    pub(crate) wall: WallMs,
    pub(crate) actor: &'a str,
    pub(crate) action: &'a str,
    pub(crate) subject: Option<&'a str>,
    pub(crate) detail: serde_json::Value,
}

/// Adds a row within the transaction of what it tells about.
pub(crate) fn record(transaction: &Transaction<'_>, entry: &Entry<'_>) -> Result<(), Fault> {
    let (last, prev): (i64, Hash) = transaction
        .prepare_cached("SELECT seq, hash FROM audit_head WHERE id = 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let seq = last + 1;
    let detail = entry.detail.to_string();
    let hash = chain(&prev, seq, entry.wall, entry.actor, entry.action, entry.subject, &detail);
    transaction
        .prepare_cached(
            "INSERT INTO audit (seq, wall_ms, actor, action, subject, detail, prev_hash, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![seq, entry.wall.0, entry.actor, entry.action, entry.subject, detail, prev, hash])?;
    transaction
        .prepare_cached("UPDATE audit_head SET seq = ?1, hash = ?2 WHERE id = 1")?
        .execute(params![seq, hash])?;
    Ok(())
}

fn chain(prev: &Hash, seq: i64, wall: WallMs, actor: &str, action: &str, subject: Option<&str>, detail: &str) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(prev);
    hasher.update(seq.to_be_bytes());
    hasher.update(wall.0.to_be_bytes());
    for text in [Some(actor), Some(action), subject, Some(detail)] {
        match text {
            Some(text) => {
                hasher.update((text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
            None => hasher.update(u64::MAX.to_be_bytes()),
        }
    }
    hasher.finalize().into()
}

struct Stored {
    entry: AuditEntry,
    prev: Hash,
    hash: Hash,
}

fn stored(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
    let hash: Hash = row.get(7)?;
    Ok(Stored {
        entry: AuditEntry {
            seq: row.get(0)?,
            wall: WallMs(row.get(1)?),
            actor: row.get(2)?,
            action: row.get(3)?,
            subject: row.get(4)?,
            detail: row.get(5)?,
            hash: hex::encode(hash),
        },
        prev: row.get(6)?,
        hash,
    })
}

const COLUMNS: &str = "seq, wall_ms, actor, action, subject, detail, prev_hash, hash";

impl Store {
    /// Writes a row about something that changed nothing else in the store (a log-in, a configuration, a model load).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit(
        &mut self,
        wall: WallMs,
        actor: &str,
        action: &str,
        subject: Option<&str>,
        detail: serde_json::Value,
    ) -> Result<(), StoreError> {
        self.write(|transaction| record(transaction, &Entry { wall, actor, action, subject, detail }))
    }

    /// Rows after number `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_entries(&mut self, after: i64, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![after, limit], |row| stored(row).map(|stored| stored.entry))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Number and hash (hex) of the last row; number 0 while there is none. Told to a receiver, it fixes everything before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_head(&mut self) -> Result<(i64, String), StoreError> {
        self.read(|connection| {
            let (seq, hash) = head(connection)?;
            Ok((seq, hex::encode(hash)))
        })
    }

    /// Recomputes the whole chain.
    ///
    /// # Errors
    /// [`StoreError`] when the trail could not be read; a broken chain is a verdict, not an error.
    pub fn audit_verify(&mut self) -> Result<AuditReport, StoreError> {
        self.read(verify)
    }
}

fn head(connection: &Connection) -> Result<(i64, Hash), Fault> {
    let head = connection
        .query_row("SELECT seq, hash FROM audit_head WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(head.unwrap_or((0, [0; 32])))
}

fn verify(connection: &Connection) -> Result<AuditReport, Fault> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    let (mut seq, mut prev, mut count) = (0_i64, [0_u8; 32], 0_u64);
    while let Some(row) = rows.next()? {
        let found = stored(row)?;
        let (entry, expected) = (&found.entry, seq + 1);
        count += 1;
        let again = chain(
            &found.prev,
            entry.seq,
            entry.wall,
            &entry.actor,
            &entry.action,
            entry.subject.as_deref(),
            &entry.detail,
        );
        let broken = if entry.seq != expected {
            Some(Break::Missing)
        } else if again != found.hash {
            Some(Break::Edited)
        } else if found.prev != prev {
            Some(Break::Unlinked)
        } else {
            None
        };
        if let Some(how) = broken {
            return Ok(AuditReport { rows: count, verdict: AuditVerdict::Broken { seq: expected, how } });
        }
        (seq, prev) = (entry.seq, found.hash);
    }
    let verdict = if head(connection)? == (seq, prev) {
        AuditVerdict::Intact { head: hex::encode(prev) }
    } else {
        AuditVerdict::Broken { seq: seq + 1, how: Break::Truncated }
    };
    Ok(AuditReport { rows: count, verdict })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn trail() -> Bench {
        let mut bench = Bench::new();
        for n in 0..6 {
            let subject = (n % 2 == 0).then_some("ann-1");
            bench.store.audit(WallMs(n), "uid:7", "config", subject, serde_json::json!({"n": n})).expect("written");
        }
        bench
    }

    fn verdict_after(tampering: &str) -> AuditVerdict {
        let mut bench = trail();
        let triggers = "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;";
        bench.store.read(|c| Ok(c.execute_batch(&format!("{triggers}{tampering}"))?)).expect("tampered");
        bench.store.audit_verify().expect("verified").verdict
    }

    #[test]
    fn an_untouched_trail_verifies_and_pages() {
        let mut bench = trail();
        let report = bench.store.audit_verify().expect("verified");
        let (seq, head) = bench.store.audit_head().expect("head");
        assert_eq!((report.rows, seq), (6, 6));
        assert_eq!(report.verdict, AuditVerdict::Intact { head });
        let page = bench.store.audit_entries(4, 10).expect("page");
        assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn every_edited_column_shows_at_its_row() {
        for column in
            ["wall_ms = 99", "actor = 'uid:8'", "action = 'x'", "subject = 'bob-1'", "subject = NULL", "detail = '{}'"]
        {
            let verdict = verdict_after(&format!("UPDATE audit SET {column} WHERE seq = 3;"));
            assert_eq!(verdict, AuditVerdict::Broken { seq: 3, how: Break::Edited }, "{column}");
        }
    }

    #[test]
    fn deletion_reordering_and_truncation_show() {
        let broken = |seq, how| AuditVerdict::Broken { seq, how };
        assert_eq!(verdict_after("DELETE FROM audit WHERE seq = 1;"), broken(1, Break::Missing));
        assert_eq!(verdict_after("DELETE FROM audit WHERE seq = 4;"), broken(4, Break::Missing));
        assert_eq!(verdict_after("DELETE FROM audit WHERE seq >= 5;"), broken(5, Break::Truncated));
        assert_eq!(verdict_after("DELETE FROM audit;"), broken(1, Break::Truncated));
        let close_the_gap = "DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = seq - 1 WHERE seq > 4;";
        assert_eq!(verdict_after(close_the_gap), broken(4, Break::Edited));
        let swap = "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
                    UPDATE audit SET seq = 3 WHERE seq = 100;";
        assert_eq!(verdict_after(swap), broken(2, Break::Edited));
        let relink = "UPDATE audit SET prev_hash = zeroblob(32) WHERE seq = 3;";
        assert_eq!(verdict_after(relink), broken(3, Break::Edited));
    }

    #[test]
    fn the_triggers_refuse_update_delete_and_replace() {
        let mut bench = trail();
        for sql in [
            "UPDATE audit SET actor = 'x' WHERE seq = 2",
            "DELETE FROM audit WHERE seq = 6",
            "REPLACE INTO audit SELECT seq, wall_ms, 'x', action, subject, detail, prev_hash, hash FROM audit WHERE seq = 2",
        ] {
            let error = bench.store.read(|c| Ok(c.execute_batch(sql)?)).expect_err(sql).to_string();
            assert!(error.contains("append-only"), "{sql}: {error}");
        }
        assert!(matches!(bench.store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }));
    }
}
