//! How long alerts are kept after they came to an end, and what else there is to be kept for a time.
//!
//! ```text
//! alert ends -> kept for the site's days -> alert, journal, votes, deliveries and pictures go together, then their bytes
//!                         \-- its person is under a legal hold: kept until the hold is lifted
//! ```

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::open::{Store, count_at};
use rusqlite::{Connection, Transaction, params};
use sekisho_logic::record::AlertId;
use sekisho_logic::time::WallMs;
use serde_json::json;
use std::collections::BTreeMap;

/// Alerts there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SightingStock {
    /// All of them, open ones included.
    pub alerts: u64,
    /// Of which have ended before the time that was asked about, and may go.
    pub due: u64,
    /// Of which would have to go, were their person not under a legal hold.
    pub exempt: u64,
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Alerts.
    pub alerts: u64,
    /// Their events in the journal.
    pub events: u64,
    /// Votes on them.
    pub votes: u64,
    /// Deliveries of them, made or not.
    pub deliveries: u64,
    /// Pictures of them that were still there.
    pub pictures: u64,
}

/// What the store holds, in rows of each class of data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings(pub BTreeMap<&'static str, u64>);

/// Final stages: what an alert can no longer leave.
const ENDED: &str = "stage IN ('confirmed', 'rejected', 'expired', 'withdrawn')";

impl Store {
    /// How many alerts there are, and how many ended before `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn sightings(&mut self, before: WallMs) -> Result<SightingStock, StoreError> {
        self.read(|connection| {
            let sql = format!(
                "SELECT count(*), coalesce(sum(old AND NOT held), 0), coalesce(sum(old AND held), 0) FROM
                     (SELECT {ENDED} AND changed_ms < ?1 AS old, person IN (SELECT person FROM holds) AS held FROM alerts)"
            );
            let stock = connection.prepare_cached(&sql)?.query_row([before.0], |row| {
                Ok(SightingStock { alerts: count_at(row, 0)?, due: count_at(row, 1)?, exempt: count_at(row, 2)? })
            })?;
            Ok(stock)
        })
    }

    /// Erases alerts that ended before `before`, oldest first, at most `limit`, with all that belongs to them, and then the
    /// bytes they left behind. The journal's guard against deletion is down inside this transaction only. The audit trail
    /// notes how much went, not whose.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was erased then.
    pub fn forget_sightings(&mut self, before: WallMs, now: WallMs, limit: u32) -> Result<Forgotten, StoreError> {
        let gone = self.write(|transaction| {
            let sql = format!(
                "SELECT id FROM alerts WHERE {ENDED} AND changed_ms < ?1 AND person NOT IN (SELECT person FROM holds)
                 ORDER BY changed_ms, id LIMIT ?2"
            );
            let ids = transaction
                .prepare_cached(&sql)?
                .query_map(params![before.0, limit], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            if ids.is_empty() {
                return Ok(Forgotten::default());
            }
            let gone = erase_alerts(transaction, &ids)?;
            let detail = json!({
                "alerts": gone.alerts, "events": gone.events, "votes": gone.votes, "deliveries": gone.deliveries,
                "pictures": gone.pictures, "ended-before": before.to_rfc3339(),
            });
            let action = "sightings-expired";
            audit::record(transaction, &Entry { wall: now, actor: "daemon", action, subject: None, detail })?;
            Ok(gone)
        })?;
        if gone.alerts > 0 {
            self.scrub(&"expired alerts");
        }
        Ok(gone)
    }

    /// Notes the SHA-256 (in hex) of pictures of an alert that are not kept themselves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_picture_hashes(&mut self, hashes: &[(AlertId, String)], now: WallMs) -> Result<(), StoreError> {
        self.write(|transaction| {
            for (alert, hash) in hashes {
                let detail = json!({ "sha256": hash });
                let (actor, action, subject) = ("daemon", "picture-hash", Some(alert.0.as_str()));
                audit::record(transaction, &Entry { wall: now, actor, action, subject, detail })?;
            }
            Ok(())
        })
    }

    /// How many rows each table has, by its name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows_by_table(&mut self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?;
            let names = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
            let count = |name: String| {
                // The names are the schema's own and hold no quotes.
                let sql = format!("SELECT count(*) FROM \"{name}\"");
                let rows = connection.query_row(&sql, [], |row| count_at(row, 0))?;
                Ok((name, rows))
            };
            names.into_iter().map(count).collect::<Result<_, Fault>>()
        })
    }

    /// How many rows of each class of data there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn holdings(&mut self) -> Result<Holdings, StoreError> {
        const CLASSES: [(&str, &str); 12] = [
            ("people", "SELECT count(*) FROM people"),
            ("photographs", "SELECT count(*) FROM photos"),
            ("templates", "SELECT count(*) FROM templates"),
            ("pictures", "SELECT count(*) FROM evidence"),
            ("alerts", "SELECT count(*) FROM alerts"),
            ("journal", "SELECT count(*) FROM journal"),
            ("votes", "SELECT count(*) FROM votes"),
            ("deliveries", "SELECT count(*) FROM outbox"),
            ("audit", "SELECT count(*) FROM audit"),
            ("counts-of-strangers", "SELECT count(*) FROM shadow_scores"),
            ("reviewers", "SELECT count(*) FROM reviewers"),
            ("holds", "SELECT count(*) FROM holds"),
        ];
        self.read(|connection| {
            let count = |(class, sql): (&'static str, &str)| {
                Ok((class, connection.query_row(sql, [], |row| count_at(row, 0))?))
            };
            Ok(Holdings(CLASSES.into_iter().map(count).collect::<Result<_, Fault>>()?))
        })
    }
}

/// Deletes alerts and whatever refers to them.
fn erase_alerts(transaction: &Transaction<'_>, ids: &[String]) -> Result<Forgotten, Fault> {
    let ids = json!(ids).to_string();
    let delete = |sql: &str| -> Result<u64, Fault> { Ok(transaction.prepare_cached(sql)?.execute([&ids])? as u64) };
    const THEIRS: &str = "IN (SELECT value FROM json_each(?1))";
    let deliveries = delete(&format!("DELETE FROM outbox WHERE alert {THEIRS}"))?;
    let votes = delete(&format!("DELETE FROM votes WHERE alert {THEIRS}"))?;
    let pictures = delete(&format!("DELETE FROM evidence WHERE alert {THEIRS}"))?;
    let events = unguarded(transaction, || delete(&format!("DELETE FROM journal WHERE alert {THEIRS}")))?;
    let alerts = delete(&format!("DELETE FROM alerts WHERE id {THEIRS}"))?;
    Ok(Forgotten { alerts, events, votes, deliveries, pictures })
}

/// Does `work` with the journal's guard against deletion taken down, and puts it up again exactly as it was. Whatever fails
/// rolls the whole transaction back, the guard included.
pub(crate) fn unguarded<T>(connection: &Connection, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let guard: String = connection.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'journal_no_delete'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("DROP TRIGGER journal_no_delete")?;
    let done = work()?;
    connection.execute_batch(&guard)?;
    Ok(done)
}

#[cfg(test)]
#[path = "sightings_tests.rs"]
mod tests;
