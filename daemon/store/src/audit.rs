//! The audit trail: who did what, when, in a chain that shows tampering.
//!
//! Row `n` holds `hash = SHA-256("sekisho-audit-1" 0x00, prev_hash, seq, wall, actor, action, subject, detail)`, numbers as
//! eight bytes big-endian, each text as its length in eight bytes followed by its bytes, an absent subject as the length
//! 2^64 - 1. `prev_hash` is the hash of row `n - 1`. The last row's number and hash are kept apart as well, so that a cut-off
//! end shows. Somebody who can write the encrypted file could recompute the whole chain; against that stand the signed
//! checkpoints (`checkpoint.rs`), copies of them elsewhere, and the rows' hashes that receivers of alerts were told.
//! `audit_verify.rs` holds a trail against all of that.

use crate::actions;
use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"sekisho-audit-1\0";
pub(crate) type Hash = [u8; 32];

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

/// Which rows; every condition that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Written at this time or later.
    pub since: Option<WallMs>,
    /// Written before this time.
    pub until: Option<WallMs>,
    /// By this actor.
    pub actor: Option<String>,
    /// This action.
    pub action: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Before this row.
    pub before: Option<i64>,
    /// About this person or an alert about them.
    pub person: Option<PersonId>,
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
    record_at(transaction, entry).map(|_| ())
}

/// The same; gives the row's number.
pub(crate) fn record_at(transaction: &Transaction<'_>, entry: &Entry<'_>) -> Result<i64, Fault> {
    debug_assert!(
        actions::known(entry.action),
        "audit action {:?} is not in daemon/store/src/actions.rs",
        entry.action
    );
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
    Ok(seq)
}

pub(crate) fn chain(
    prev: &Hash,
    seq: i64,
    wall: WallMs,
    actor: &str,
    action: &str,
    subject: Option<&str>,
    detail: &str,
) -> Hash {
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

/// A row as it lies there.
pub(crate) struct Stored {
    pub(crate) entry: AuditEntry,
    pub(crate) prev: Hash,
    pub(crate) hash: Hash,
}

pub(crate) fn stored(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
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

pub(crate) const COLUMNS: &str = "seq, wall_ms, actor, action, subject, detail, prev_hash, hash";

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

    /// The latest rows that match, at most `limit`, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_find(&mut self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM audit
                 WHERE wall_ms >= ?1 AND wall_ms < ?2 AND (?3 IS NULL OR actor = ?3) AND (?4 IS NULL OR action = ?4)
                   AND (?5 IS NULL OR subject = ?5) AND (?6 IS NULL OR seq < ?6)
                   AND (?7 IS NULL OR subject = ?7 OR subject IN (SELECT id FROM alerts WHERE person = ?7)
                        OR json_extract(detail, '$.person') = ?7)
                 ORDER BY seq DESC LIMIT ?8"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let values = params![
                filter.since.map_or(i64::MIN, |since| since.0),
                filter.until.map_or(i64::MAX, |until| until.0),
                filter.actor,
                filter.action,
                filter.subject,
                filter.before,
                filter.person.as_ref().map(PersonId::as_str),
                limit,
            ];
            let rows = statement.query_map(values, |row| stored(row).map(|stored| stored.entry))?;
            let mut found: Vec<_> = rows.collect::<Result<_, _>>()?;
            found.reverse();
            Ok(found)
        })
    }
}

pub(crate) fn head(connection: &Connection) -> Result<(i64, Hash), Fault> {
    let head = connection
        .query_row("SELECT seq, hash FROM audit_head WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(head.unwrap_or((0, [0; 32])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, story};

    fn trail() -> Bench {
        let mut bench = Bench::new();
        for n in 0..6 {
            let subject = (n % 2 == 0).then_some("ann-1");
            bench.store.audit(WallMs(n), "uid:7", "test", subject, serde_json::json!({"n": n})).expect("written");
        }
        bench
    }

    #[test]
    fn the_trail_pages_and_is_found_by_who_what_when_and_about_whom() {
        let mut bench = trail();
        let page = bench.store.audit_entries(4, 10).expect("page");
        assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [5, 6]);
        let mut find = |filter: AuditFilter, limit| {
            let found = bench.store.audit_find(&filter, limit).expect("found");
            found.iter().map(|entry| entry.seq).collect::<Vec<_>>()
        };
        let any = AuditFilter::default;
        assert_eq!(find(any(), 2), [5, 6], "the latest, oldest first");
        assert_eq!(find(AuditFilter { before: Some(5), ..any() }, 2), [3, 4]);
        assert_eq!(find(AuditFilter { subject: Some("ann-1".into()), ..any() }, 9), [1, 3, 5]);
        assert_eq!(find(AuditFilter { since: Some(WallMs(2)), until: Some(WallMs(4)), ..any() }, 9), [3, 4]);
        assert_eq!(find(AuditFilter { actor: Some("uid:8".into()), ..any() }, 9), Vec::<i64>::new());
        assert_eq!(find(AuditFilter { action: Some("test".into()), ..any() }, 9).len(), 6);
        bench.store.append(&story("a-1")[0], &[], "daemon").expect("journalled");
        let person = Some(crate::testing::person("ann-1"));
        let about = bench.store.audit_find(&AuditFilter { person, ..any() }, 9).expect("found");
        assert_eq!(about.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 3, 5, 7], "and their alerts");
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
        assert!(matches!(bench.store.audit_verify().expect("verified").verdict, crate::AuditVerdict::Intact { .. }));
    }
}
