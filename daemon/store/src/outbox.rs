//! Deliveries still to be made. At least once, in order within an alert, given up only late and never silently.
//!
//! ```text
//! pending -> delivered -> forgotten      (the journal keeps the event)
//!    |  \--> pending, later              (a try failed: back-off, doubling)
//!    \-----> dead -------> forgotten     (failed too often for too long, or refused for good; kept for weeks, counted, can
//!               \--> pending              be requeued until then)
//! ```

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::journal::decode_event;
use crate::open::{Store, count_at};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sekisho_logic::record::AlertEvent;
use sekisho_logic::time::WallMs;
use serde_json::json;

/// Error texts of receivers are cut to this, so that a receiver cannot fill the database.
const ERROR_CHARS_MAX: usize = 300;

/// One delivery to make.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxItem {
    /// The event; its [`event_id`](AlertEvent::event_id) is what the receiver tells repeats by.
    pub event: AlertEvent,
    /// Tries that failed so far.
    pub attempts: u32,
    /// When the event happened.
    pub created: WallMs,
    /// The audit row that was written with it; `None` once that was given up, and for events from before there was one.
    pub audit: Option<AuditAnchor>,
}

/// A row of the audit trail, told to others: it fixes everything before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnchor {
    /// Its number.
    pub seq: i64,
    /// Its hash, in hex.
    pub hash: String,
}

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Wait after the first failure, in milliseconds; doubles with each further one.
    pub first_ms: i64,
    /// Longest wait, in milliseconds.
    pub max_ms: i64,
    /// Give up on events older than this, in milliseconds ...
    pub age_max_ms: i64,
    /// ... but only after so many failed tries. Age is read off the wall clock; without this, a clock that jumps ahead would
    /// give up on everything at once.
    pub attempts_min: u32,
}

impl Default for RetryPolicy {
    /// From one second to five minutes; given up after a week and at least 50 tries.
    fn default() -> Self {
        Self { first_ms: 1000, max_ms: 300_000, age_max_ms: 7 * 86_400_000, attempts_min: 50 }
    }
}

impl RetryPolicy {
    /// Milliseconds to wait after the `attempts`-th failure (counted from 1).
    #[must_use]
    pub fn wait_ms(&self, attempts: u32) -> i64 {
        let doublings = attempts.saturating_sub(1).min(40);
        self.first_ms.saturating_mul(1_i64 << doublings).clamp(0, self.max_ms.max(0))
    }
}

/// What became of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried {
    /// The receiver has the event.
    Delivered,
    /// It has not; to be tried again.
    Failed {
        /// What was said.
        why: String,
    },
    /// It will not take this event, however often it is sent.
    Dead {
        /// What was said.
        why: String,
    },
}

/// What lies where, for one sink.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkDepth {
    /// Which sink.
    pub sink: String,
    /// Still to be delivered.
    pub pending: u64,
    /// Delivered and not yet forgotten.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
    /// When the oldest pending event happened.
    pub oldest_pending: Option<WallMs>,
    /// What the last failed try of a delivery that is still pending or dead was answered; absent when none failed.
    pub last_error: Option<String>,
}

/// Deliveries that were never tried come first, so that one event a receiver chokes on cannot hold up the others by being
/// the oldest. Of each alert only the earliest pending one is offered.
const FRESH: &str = "o.attempts = 0";
/// A time of retry further ahead than the policy ever sets was written before the clock was set back, and counts as due.
const DUE_AGAIN: &str = "o.attempts > 0 AND (o.next_attempt_ms <= ?3 OR o.next_attempt_ms > ?3 + ?4)";

impl Store {
    /// Deliveries for `sink` that are due at `now`, at most `limit`: first those never tried, then those whose wait is over,
    /// each oldest first, and of each alert only the earliest one still pending. So an alert's events go out in order, and a
    /// stuck alert does not hold up the others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending(
        &mut self,
        sink: &str,
        now: WallMs,
        policy: &RetryPolicy,
        limit: u32,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        self.read(|connection| {
            let mut items = due(connection, FRESH, &[&sink, &limit])?;
            let left = limit.saturating_sub(u32::try_from(items.len()).unwrap_or(u32::MAX));
            if left > 0 {
                items.extend(due(connection, DUE_AGAIN, &[&sink, &left, &now.0, &policy.max_ms])?);
            }
            Ok(items)
        })
    }

    /// Notes what became of several tries, all or none. Returns the ids of those given up. Noting a delivery twice is
    /// harmless, and nothing undoes one.
    ///
    /// # Errors
    /// [`StoreError`]; the deliveries will then be made again.
    pub fn note_tried(
        &mut self,
        sink: &str,
        tried: &[(String, Tried)],
        now: WallMs,
        policy: &RetryPolicy,
    ) -> Result<Vec<String>, StoreError> {
        self.write(|transaction| {
            let mut given_up = Vec::new();
            for (id, tried) in tried {
                let dead = match tried {
                    Tried::Delivered => {
                        deliver(transaction, sink, id, now)?;
                        false
                    }
                    Tried::Failed { why } => {
                        matches!(fail(transaction, sink, id, why, now, policy)?, Failed::Dead)
                    }
                    Tried::Dead { why } => bury(transaction, sink, id, why, now)?,
                };
                if dead {
                    given_up.push(id.clone());
                }
            }
            Ok(given_up)
        })
    }

    /// Marks deliveries as made. Returns how many were not marked before; marking twice is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; the deliveries will then be made again.
    pub fn mark_delivered(&mut self, sink: &str, event_ids: &[String], now: WallMs) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut marked = 0;
            for id in event_ids {
                marked += deliver(transaction, sink, id, now)?;
            }
            Ok(marked)
        })
    }

    /// Notes a failed try. Returns when the next is due, or `None` when the delivery is given up (or was not pending).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark_failed(
        &mut self,
        sink: &str,
        event_id: &str,
        why: &str,
        now: WallMs,
        policy: &RetryPolicy,
    ) -> Result<Option<WallMs>, StoreError> {
        self.write(|transaction| {
            Ok(match fail(transaction, sink, event_id, why, now, policy)? {
                Failed::Again(at) => Some(at),
                Failed::Dead | Failed::NotPending => None,
            })
        })
    }

    /// Gives up every pending delivery of `sink` whose event happened before `before`, at most `limit`, with the reason. For a
    /// sink that has been down for longer than its events may wait. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn give_up(
        &mut self,
        sink: &str,
        before: WallMs,
        why: &str,
        now: WallMs,
        limit: u32,
    ) -> Result<usize, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "UPDATE outbox SET state = 'dead', changed_ms = ?3, last_error = ?4 WHERE id IN
                     (SELECT id FROM outbox WHERE sink = ?1 AND state = 'pending' AND created_ms < ?2
                      ORDER BY id LIMIT ?5)",
                params![sink, before.0, now.0, cut(why), limit],
            )?)
        })
    }

    /// Makes every given-up delivery of `sink` pending again, from the first try, and notes in the audit trail who asked for
    /// it. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn requeue_dead(&mut self, sink: &str, now: WallMs, actor: &str) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let requeued = transaction.execute(
                "UPDATE outbox SET state = 'pending', attempts = 0, next_attempt_ms = ?2, changed_ms = ?2
                 WHERE sink = ?1 AND state = 'dead'",
                params![sink, now.0],
            )?;
            if requeued > 0 {
                let detail = json!({ "deliveries": requeued });
                audit::record(
                    transaction,
                    &Entry { wall: now, actor, action: "sink-requeue", subject: Some(sink), detail },
                )?;
            }
            Ok(requeued)
        })
    }

    /// Forgets deliveries of `sink` that were made before `delivered_before` or given up before `dead_before`, at most `limit`
    /// of each; the journal keeps the events. Returns how many of each, so that a caller goes on until both are 0.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_settled(
        &mut self,
        sink: &str,
        delivered_before: WallMs,
        dead_before: WallMs,
        limit: u32,
    ) -> Result<(usize, usize), StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "DELETE FROM outbox WHERE id IN
                     (SELECT id FROM outbox WHERE sink = ?1 AND state = ?2 AND changed_ms < ?3 LIMIT ?4)",
            )?;
            let delivered = statement.execute(params![sink, "delivered", delivered_before.0, limit])?;
            let dead = statement.execute(params![sink, "dead", dead_before.0, limit])?;
            Ok((delivered, dead))
        })
    }

    /// What lies where, by sink; also for sinks that are configured no more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_depths(&mut self) -> Result<Vec<SinkDepth>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT DISTINCT sink FROM outbox ORDER BY sink")?;
            let sinks = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
            sinks.into_iter().map(|sink| depth(connection, sink)).collect()
        })
    }

    /// What lies where, for one sink.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_depth(&mut self, sink: &str) -> Result<SinkDepth, StoreError> {
        self.read(|connection| depth(connection, sink.to_owned()))
    }
}

/// The first two values are the sink and the limit; what `which` asks for follows.
fn due(connection: &Connection, which: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<OutboxItem>, Fault> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT o.event_id, o.attempts, o.created_ms, j.sequence, j.before, j.after, a.seq, a.hash
         FROM outbox o JOIN journal j ON j.event_id = o.event_id LEFT JOIN audit a ON a.seq = o.audit_seq
         WHERE o.sink = ?1 AND o.state = 'pending' AND {which}
           AND NOT EXISTS (SELECT 1 FROM outbox earlier WHERE earlier.sink = o.sink AND earlier.alert = o.alert
                           AND earlier.sequence < o.sequence AND earlier.state = 'pending')
         ORDER BY o.id LIMIT ?2"
    ))?;
    let mut rows = statement.query(values)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let event = decode_event(connection, &id, row.get(3)?, row.get(4)?, row.get(5)?)?;
        let anchor: (Option<i64>, Option<[u8; 32]>) = (row.get(6)?, row.get(7)?);
        let audit = anchor.0.zip(anchor.1).map(|(seq, hash)| AuditAnchor { seq, hash: hex::encode(hash) });
        items.push(OutboxItem { event, attempts: row.get(1)?, created: WallMs(row.get(2)?), audit });
    }
    Ok(items)
}

fn deliver(transaction: &Transaction<'_>, sink: &str, id: &str, now: WallMs) -> Result<usize, Fault> {
    let mut statement = transaction.prepare_cached(
        "UPDATE outbox SET state = 'delivered', changed_ms = ?3
         WHERE sink = ?1 AND event_id = ?2 AND state <> 'delivered'",
    )?;
    Ok(statement.execute(params![sink, id, now.0])?)
}

/// What a failed try leads to.
enum Failed {
    Again(WallMs),
    Dead,
    NotPending,
}

fn fail(
    transaction: &Transaction<'_>,
    sink: &str,
    id: &str,
    why: &str,
    now: WallMs,
    policy: &RetryPolicy,
) -> Result<Failed, Fault> {
    let there: Option<(u32, i64)> = transaction
        .prepare_cached(
            "SELECT attempts, created_ms FROM outbox WHERE sink = ?1 AND event_id = ?2 AND state = 'pending'",
        )?
        .query_row([sink, id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((attempts, created_ms)) = there else { return Ok(Failed::NotPending) };
    let attempts = attempts.saturating_add(1);
    let dead = attempts >= policy.attempts_min && now.0.saturating_sub(created_ms) > policy.age_max_ms;
    let next = now.0.saturating_add(policy.wait_ms(attempts));
    transaction
        .prepare_cached(
            "UPDATE outbox SET state = ?3, attempts = ?4, next_attempt_ms = ?5, changed_ms = ?6, last_error = ?7
             WHERE sink = ?1 AND event_id = ?2",
        )?
        .execute(params![sink, id, if dead { "dead" } else { "pending" }, attempts, next, now.0, cut(why)])?;
    Ok(if dead { Failed::Dead } else { Failed::Again(WallMs(next)) })
}

fn bury(transaction: &Transaction<'_>, sink: &str, id: &str, why: &str, now: WallMs) -> Result<bool, Fault> {
    let mut statement = transaction.prepare_cached(
        "UPDATE outbox SET state = 'dead', attempts = attempts + 1, changed_ms = ?3, last_error = ?4
         WHERE sink = ?1 AND event_id = ?2 AND state = 'pending'",
    )?;
    Ok(statement.execute(params![sink, id, now.0, cut(why)])? == 1)
}

fn depth(connection: &Connection, sink: String) -> Result<SinkDepth, Fault> {
    let count = "(SELECT count(*) FROM outbox WHERE sink = ?1 AND state = ";
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {count}'pending'), {count}'delivered'), {count}'dead'),
                (SELECT min(created_ms) FROM outbox WHERE sink = ?1 AND state = 'pending'),
                (SELECT last_error FROM outbox WHERE sink = ?1 AND state IN ('pending', 'dead')
                 AND last_error IS NOT NULL ORDER BY changed_ms DESC LIMIT 1)"
    ))?;
    Ok(statement.query_row([&sink], |row| {
        Ok(SinkDepth {
            sink: sink.clone(),
            pending: count_at(row, 0)?,
            delivered: count_at(row, 1)?,
            dead: count_at(row, 2)?,
            oldest_pending: row.get::<_, Option<i64>>(3)?.map(WallMs),
            last_error: row.get(4)?,
        })
    })?)
}

fn cut(why: &str) -> String {
    why.chars().take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
