//! Signed checkpoints: the trail's head, signed with a key that whoever can write the database does not have.
//!
//! A checkpoint says: "when it was `wall`, row `seq` was the last one and had this hash". Signed is, for the domain
//! [`CHECKPOINT_DOMAIN`], `seq` and `wall` as eight bytes big-endian each with the hash between them. Each lies in the database
//! and, one JSON object a line, in a file beside it that can be shipped elsewhere: rows before a checkpoint that lies elsewhere
//! cannot be changed by anybody without its being found.
//!
//! Nothing is signed that does not continue what was signed before. So a trail that was rewritten gets no further checkpoint.

use crate::audit::{Entry, Hash, head, record};
use crate::audit_verify::{Break, walk};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use crate::sign::{SIGNATURE_BYTES, SigningKey, key_id, verified};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};

/// What a checkpoint is signed for.
pub const CHECKPOINT_DOMAIN: &str = "sekisho-audit-checkpoint-1";
/// What the beginning of a trail whose older rows were given up is signed for. Another domain, so that nobody can cut a trail
/// at one of its checkpoints and call that its beginning.
pub(crate) const FLOOR_DOMAIN: &str = "sekisho-audit-floor-1";
/// What the row that says "this is a backup put back" is signed for.
pub(crate) const RESTORE_DOMAIN: &str = "sekisho-audit-restore-1";
/// Rows given up in one transaction, so that alert events never wait long behind them.
const FORGET_MAX: i64 = 5000;

/// A signed head of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the row that was the last one.
    pub seq: i64,
    /// Its hash, in hex.
    pub hash: String,
    /// When it was signed.
    pub wall: WallMs,
    /// Which key: the first 16 hex digits of the public key's SHA-256.
    pub key_id: String,
    /// The signature, in hex.
    pub signature: String,
}

impl Checkpoint {
    /// One line of the file: a JSON object.
    #[must_use]
    pub fn to_line(&self) -> String {
        json!({
            "seq": self.seq, "hash": self.hash, "wall-ms": self.wall.0, "at": self.wall.to_rfc3339(), "key-id": self.key_id,
            "signature": self.signature,
        })
        .to_string()
    }

    /// The checkpoint that [`to_line`](Self::to_line) wrote; `None` for anything else.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let hex_of = |name: &str, bytes: usize| {
            let text = value[name].as_str()?.to_owned();
            (hex::decode(&text).ok()?.len() == bytes).then_some(text)
        };
        Some(Self {
            seq: value["seq"].as_i64().filter(|seq| *seq > 0)?,
            hash: hex_of("hash", 32)?,
            wall: WallMs(value["wall-ms"].as_i64()?),
            key_id: value["key-id"].as_str()?.to_owned(),
            signature: hex_of("signature", SIGNATURE_BYTES)?,
        })
    }

    /// Whether one of these public keys (hex) made the signature.
    #[must_use]
    pub fn is_signed_by(&self, keys: &[String]) -> bool {
        let (Ok(hash), Ok(signature)) = (hex::decode(&self.hash), hex::decode(&self.signature)) else { return false };
        let message = message(self.seq, &hash, self.wall);
        keys.iter().any(|public| verified(public, CHECKPOINT_DOMAIN, &message, &signature))
    }
}

/// What came of asking for a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// A new one.
    New(Checkpoint),
    /// Nothing was written since the last one.
    Unmoved,
    /// The store has no key to sign with.
    NoKey,
    /// The trail does not continue what was signed before, so it was not signed.
    Broken {
        /// The first row that does not fit.
        seq: i64,
        /// In which way.
        how: Break,
    },
}

pub(crate) fn message(seq: i64, hash: &[u8], wall: WallMs) -> Vec<u8> {
    [&seq.to_be_bytes(), hash, &wall.0.to_be_bytes()].concat()
}

/// The short name of a public key in hex; of nothing for what is no key.
#[must_use]
pub fn name_of_key(public: &str) -> String {
    hex::decode(public.trim()).map(|bytes| key_id(&bytes)).unwrap_or_default()
}

impl Store {
    /// Signs the trail's head if it moved since the last checkpoint and continues it. `known` is a checkpoint the caller
    /// remembers from before, so that one that vanished from the database is missed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_checkpoint(&mut self, known: Option<&Checkpoint>, now: WallMs) -> Result<Signed, StoreError> {
        let Some(public) = self.signing().map(SigningKey::public) else { return Ok(Signed::NoKey) };
        let known = known.filter(|known| known.is_signed_by(std::slice::from_ref(&public)));
        let looked = self.read(|connection| look(connection, known))?;
        let (seq, hash) = match looked {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Signed::Unmoved),
            Err((seq, how)) => return Ok(Signed::Broken { seq, how }),
        };
        let Some(key) = self.signing() else { return Ok(Signed::NoKey) };
        let signature = key.sign(CHECKPOINT_DOMAIN, &message(seq, &hash, now));
        let checkpoint =
            Checkpoint { seq, hash: hex::encode(hash), wall: now, key_id: key.id(), signature: hex::encode(signature) };
        let key_id = checkpoint.key_id.clone();
        self.write(|transaction| {
            transaction.execute(
                "INSERT INTO audit_checkpoints (seq, hash, wall_ms, key_id, signature) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (seq) DO NOTHING",
                params![seq, hash, now.0, key_id, signature],
            )?;
            Ok(())
        })?;
        Ok(Signed::New(checkpoint))
    }

    /// The last checkpoint in the database, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_checkpoint(&mut self) -> Result<Option<Checkpoint>, StoreError> {
        self.read(last)
    }

    /// Rows written since the last checkpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsigned_rows(&mut self) -> Result<i64, StoreError> {
        self.read(|connection| {
            let sql = "SELECT (SELECT seq FROM audit_head) - coalesce((SELECT max(seq) FROM audit_checkpoints), 0)";
            Ok(connection.query_row(sql, [], |row| row.get(0))?)
        })
    }

    /// How many rows were written before `before` and could be given up: all rows there are, and those.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_stock(&mut self, before: WallMs) -> Result<(u64, u64), StoreError> {
        self.read(|connection| {
            let rows: i64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
            let (floor, _) = floor_at(connection)?;
            let due = (last_due(connection, before)? - floor).max(0);
            Ok((rows.unsigned_abs(), due.unsigned_abs()))
        })
    }

    /// Gives up rows written before `before` from the beginning of the trail, some thousands at most, and signs where it begins
    /// now. Rows about somebody under a hold, and all that follow them, stay. Gives how many went.
    ///
    /// # Errors
    /// [`StoreError::Refused`] without a key to sign with, or when the trail is broken: what proves that must not go.
    pub fn audit_forget(&mut self, before: WallMs, now: WallMs) -> Result<u64, StoreError> {
        let looked = self.read(|connection| {
            let (floor, hash) = floor_at(connection)?;
            let to = last_due(connection, before)?.min(floor + FORGET_MAX);
            if to <= floor {
                return Ok(Ok(None));
            }
            if let Err(broken) = walk(connection, (floor, hash), i64::MAX, |_| Ok(()))? {
                return Ok(Err(broken));
            }
            let hash: Hash = connection.query_row("SELECT hash FROM audit WHERE seq = ?1", [to], |row| row.get(0))?;
            Ok(Ok(Some((to, hash, to - floor))))
        })?;
        let (seq, hash, rows) = match looked {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(0),
            Err((seq, how)) => {
                return Err(StoreError::refused(format!(
                    "no audit rows are given up while the trail is broken at row {seq} ({how}); keep the file and run \
                     `sekisho audit verify`"
                )));
            }
        };
        let key =
            self.signing().ok_or_else(|| StoreError::refused("no key to sign the audit trail's beginning with"))?;
        let (signature, key_id) = (key.sign(FLOOR_DOMAIN, &message(seq, &hash, now)), key.id());
        self.write(|transaction| {
            let detail = json!({ "rows": rows, "until": seq, "until-hash": hex::encode(hash) });
            let entry = Entry { wall: now, actor: "daemon", action: "audit-retention", subject: None, detail };
            record(transaction, &entry)?;
            transaction.execute_batch("DROP TRIGGER audit_no_delete")?;
            transaction.execute("DELETE FROM audit WHERE seq <= ?1", [seq])?;
            transaction.execute_batch(
                "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;",
            )?;
            transaction.execute("DELETE FROM audit_checkpoints WHERE seq < ?1", [seq])?;
            transaction.execute(
                "UPDATE audit_floor SET seq = ?1, hash = ?2, wall_ms = ?3, key_id = ?4, signature = ?5 WHERE id = 1",
                params![seq, hash, now.0, key_id, signature],
            )?;
            Ok(())
        })?;
        self.scrub(&"audit rows past their time");
        Ok(rows.unsigned_abs())
    }

    /// Notes that this database is a backup that was put back, signed, so that checkpoints from the trail that was given up
    /// for it are known as such.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn audit_restored(&mut self, mut detail: Value, actor: &str, now: WallMs) -> Result<(), StoreError> {
        let (seq, hash) = self.read(head)?;
        if let Some(key) = self.signing() {
            detail["signature"] = hex::encode(key.sign(RESTORE_DOMAIN, &message(seq + 1, &hash, now))).into();
        }
        self.write(|transaction| {
            record(transaction, &Entry { wall: now, actor, action: "restore", subject: None, detail })
        })
    }
}

/// The head, if it moved since the last checkpoint and continues it and `known`; otherwise the first row that does not fit.
type Looked = Result<Option<(i64, Hash)>, (i64, Break)>;

fn look(connection: &Connection, known: Option<&Checkpoint>) -> Result<Looked, Fault> {
    let ((seq, hash), last) = (head(connection)?, last(connection)?);
    if seq == 0 {
        return Ok(known.map_or(Ok(None), |_| Err((1, Break::Truncated))));
    }
    let floor = floor_at(connection)?;
    let mut from = floor;
    for checkpoint in [known, last.as_ref()].into_iter().flatten().filter(|checkpoint| checkpoint.seq >= floor.0) {
        if checkpoint.seq > seq {
            return Ok(Err((seq + 1, Break::Truncated)));
        }
        let there: Option<Hash> = connection
            .query_row("SELECT hash FROM audit WHERE seq = ?1", [checkpoint.seq], |row| row.get(0))
            .optional()?;
        let there = there.or((checkpoint.seq == floor.0).then_some(floor.1));
        match there {
            None => return Ok(Err((checkpoint.seq, Break::Missing))),
            Some(hash) if hex::encode(hash) != checkpoint.hash => return Ok(Err((checkpoint.seq, Break::Rewritten))),
            Some(hash) => from = if checkpoint.seq > from.0 { (checkpoint.seq, hash) } else { from },
        }
    }
    if last.is_some_and(|last| last.seq == seq) {
        return Ok(Ok(None));
    }
    Ok(match walk(connection, from, i64::MAX, |_| Ok(()))? {
        Err(broken) => Err(broken),
        Ok(end) if end != (seq, hash) => Err((end.0 + 1, Break::Truncated)),
        Ok(_) => Ok(Some((seq, hash))),
    })
}

pub(crate) fn checkpoint(row: &Row<'_>) -> Result<Checkpoint, rusqlite::Error> {
    let (hash, signature): (Hash, [u8; SIGNATURE_BYTES]) = (row.get(1)?, row.get(4)?);
    Ok(Checkpoint {
        seq: row.get(0)?,
        hash: hex::encode(hash),
        wall: WallMs(row.get(2)?),
        key_id: row.get(3)?,
        signature: hex::encode(signature),
    })
}

fn last(connection: &Connection) -> Result<Option<Checkpoint>, Fault> {
    let sql = "SELECT seq, hash, wall_ms, key_id, signature FROM audit_checkpoints ORDER BY seq DESC LIMIT 1";
    Ok(connection.query_row(sql, [], checkpoint).optional()?)
}

/// Where the trail begins: number and hash of the last row given up.
pub(crate) fn floor_at(connection: &Connection) -> Result<(i64, Hash), Fault> {
    let floor = connection
        .query_row("SELECT seq, hash FROM audit_floor WHERE id = 1", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(floor.unwrap_or((0, [0; 32])))
}

/// The last row that may be given up: before the first that is too young, and before the first about somebody under a hold.
fn last_due(connection: &Connection, before: WallMs) -> Result<i64, Fault> {
    let sql = "SELECT min(coalesce((SELECT min(seq) FROM audit WHERE wall_ms >= ?1), (SELECT seq FROM audit_head) + 1),
                          coalesce((SELECT min(seq) FROM audit WHERE subject IN (SELECT person FROM holds)
                                    OR subject IN (SELECT id FROM alerts WHERE person IN (SELECT person FROM holds))),
                                   9223372036854775807)) - 1";
    Ok(connection.query_row(sql, [before.0], |row| row.get(0))?)
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
