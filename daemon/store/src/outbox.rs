//! Deliveries still to be made. At least once, in order within an alert, given up only late and never silently.
//!
//! ```text
//! pending -> delivered
//!    |  \--> pending, later        (a try failed: back-off, doubling)
//!    \-----> dead                  (failed too often for too long; kept, counted, can be requeued)
//! ```

use crate::error::StoreError;
use crate::journal::decode_event;
use crate::open::{Store, count_at};
use rusqlite::{OptionalExtension, params};
use sekisho_logic::record::AlertEvent;
use sekisho_logic::time::WallMs;

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

/// What lies where, for one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl Store {
    /// Deliveries for `sink` that are due at `now`, oldest first, at most `limit`, and of each alert only the earliest one still
    /// pending: an alert's events go out in order, and a stuck alert does not hold up the others.
    ///
    /// A time of retry further ahead than `policy` ever sets was written before the clock was set back, and counts as due.
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
            let mut statement = connection.prepare_cached(
                "SELECT o.event_id, o.attempts, o.created_ms, j.sequence, j.before, j.after
                 FROM outbox o JOIN journal j ON j.event_id = o.event_id
                 WHERE o.sink = ?1 AND o.state = 'pending'
                   AND (o.attempts = 0 OR o.next_attempt_ms <= ?2 OR o.next_attempt_ms > ?2 + ?3)
                   AND NOT EXISTS (SELECT 1 FROM outbox earlier WHERE earlier.sink = o.sink AND earlier.alert = o.alert
                                   AND earlier.sequence < o.sequence AND earlier.state = 'pending')
                 ORDER BY o.id LIMIT ?4",
            )?;
            let mut rows = statement.query(params![sink, now.0, policy.max_ms, limit])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                let event = decode_event(connection, &id, row.get(3)?, row.get(4)?, row.get(5)?)?;
                items.push(OutboxItem { event, attempts: row.get(1)?, created: WallMs(row.get(2)?) });
            }
            Ok(items)
        })
    }

    /// Marks deliveries as made. Returns how many were not marked before; marking twice is harmless.
    ///
    /// # Errors
    /// [`StoreError`]; the deliveries will then be made again.
    pub fn mark_delivered(&mut self, sink: &str, event_ids: &[String], now: WallMs) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(
                "UPDATE outbox SET state = 'delivered', changed_ms = ?3
                 WHERE sink = ?1 AND event_id = ?2 AND state <> 'delivered'",
            )?;
            let mut marked = 0;
            for id in event_ids {
                marked += statement.execute(params![sink, id, now.0])?;
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
        let why: String = why.chars().take(ERROR_CHARS_MAX).collect();
        self.write(|transaction| {
            let there: Option<(u32, i64)> = transaction
                .prepare_cached(
                    "SELECT attempts, created_ms FROM outbox WHERE sink = ?1 AND event_id = ?2 AND state = 'pending'",
                )?
                .query_row([sink, event_id], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((attempts, created_ms)) = there else { return Ok(None) };
            let attempts = attempts.saturating_add(1);
            let dead = attempts >= policy.attempts_min && now.0.saturating_sub(created_ms) > policy.age_max_ms;
            let next = now.0.saturating_add(policy.wait_ms(attempts));
            transaction
                .prepare_cached(
                    "UPDATE outbox SET state = ?3, attempts = ?4, next_attempt_ms = ?5, changed_ms = ?6, last_error = ?7
                     WHERE sink = ?1 AND event_id = ?2",
                )?
                .execute(params![sink, event_id, if dead { "dead" } else { "pending" }, attempts, next, now.0, why])?;
            Ok((!dead).then_some(WallMs(next)))
        })
    }

    /// Makes every given-up delivery of `sink` pending again, from the first try. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn requeue_dead(&mut self, sink: &str, now: WallMs) -> Result<usize, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "UPDATE outbox SET state = 'pending', attempts = 0, next_attempt_ms = ?2, changed_ms = ?2
                 WHERE sink = ?1 AND state = 'dead'",
                params![sink, now.0],
            )?)
        })
    }

    /// Forgets deliveries made before `before`, at most `limit`; the journal keeps the events. Returns how many, so that a
    /// caller goes on until 0.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_delivered(&mut self, before: WallMs, limit: u32) -> Result<usize, StoreError> {
        self.write(|transaction| {
            Ok(transaction.execute(
                "DELETE FROM outbox WHERE id IN
                     (SELECT id FROM outbox WHERE state = 'delivered' AND changed_ms < ?1 LIMIT ?2)",
                params![before.0, limit],
            )?)
        })
    }

    /// What lies where, by sink.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn outbox_depths(&mut self) -> Result<Vec<SinkDepth>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT sink, sum(state = 'pending'), sum(state = 'delivered'), sum(state = 'dead'),
                        min(CASE WHEN state = 'pending' THEN created_ms END)
                 FROM outbox GROUP BY sink ORDER BY sink",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(SinkDepth {
                    sink: row.get(0)?,
                    pending: count_at(row, 1)?,
                    delivered: count_at(row, 2)?,
                    dead: count_at(row, 3)?,
                    oldest_pending: row.get::<_, Option<i64>>(4)?.map(WallMs),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
