//! What was counted about strangers' scores, and whether the calibration still fits them.

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::{OptionalExtension, Transaction, params};
use sekisho_logic::calibrate::chart::{Cusum, DayCount};
use sekisho_logic::calibrate::{Batch, RowKey, Stale, Tally, Watch};
use sekisho_logic::time::WallMs;
use serde_json::json;
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;
const WEEK_DAYS: i64 = 7;

/// The network whose scores are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// SHA-256 of the embedder's file, in hex.
    pub model_digest: String,
    /// Version of alignment and scaling.
    pub preprocessing: String,
}

/// What the daemon and the command line tell each other.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationState {
    /// Goes up when the statistics are erased.
    pub epoch: i64,
    /// Why the calibration does not fit any more.
    pub stale: Option<Stale>,
}

/// Whether counts were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// They were.
    Added,
    /// The statistics were erased meanwhile; what was counted before that is not wanted any more.
    Erased,
}

/// What an erasure removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Looks at tracks counted.
    pub looks: u64,
    /// Days of traffic.
    pub days: u64,
}

/// Strangers a camera and day, as counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredTraffic {
    /// Mean over camera-days.
    pub strangers_per_camera_day: f64,
    /// Whole camera-days counted.
    pub camera_days: u64,
}

impl Store {
    /// Adds what was counted, and forgets what is older than `keep_days`. One transaction.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was added then.
    pub fn add_counted(
        &mut self,
        network: &Network,
        epoch: i64,
        batch: &Batch,
        now: WallMs,
        keep_days: i64,
    ) -> Result<Counted, StoreError> {
        let day = now.0.div_euclid(DAY_MS);
        self.write(|transaction| {
            let current: i64 =
                transaction.query_row("SELECT epoch FROM calibration_state WHERE id = 1", [], |row| row.get(0))?;
            if current != epoch {
                return Ok(Counted::Erased);
            }
            for (row, tally) in &batch.rows {
                add_scores(transaction, network, day.div_euclid(WEEK_DAYS), *row, tally)?;
            }
            for (camera, traffic) in &batch.traffic {
                transaction
                    .prepare_cached(
                        "INSERT INTO shadow_traffic (day, camera, strangers, candidates) VALUES (?1, ?2, ?3, ?4)
                         ON CONFLICT (day, camera) DO UPDATE SET
                             strangers = strangers + excluded.strangers, candidates = candidates + excluded.candidates",
                    )?
                    .execute(params![day, camera.as_str(), small(traffic.strangers), small(traffic.candidates)])?;
            }
            let oldest = day - keep_days;
            transaction.execute("DELETE FROM shadow_traffic WHERE day < ?1", [oldest])?;
            transaction.execute("DELETE FROM shadow_scores WHERE week < ?1", [oldest.div_euclid(WEEK_DAYS)])?;
            Ok(Counted::Added)
        })
    }

    /// Everything counted for a network, by row. Tallies that cannot be read are left out and counted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counted_scores(&mut self, network: &Network) -> Result<(BTreeMap<RowKey, Tally>, u64), StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT from_mpx, frames, tally FROM shadow_scores WHERE model_digest = ?1 AND preprocessing = ?2",
            )?;
            let mut rows = statement.query([&network.model_digest, &network.preprocessing])?;
            let (mut found, mut unreadable) = (BTreeMap::<RowKey, Tally>::new(), 0);
            while let Some(row) = rows.next()? {
                let key = RowKey { from_mpx: row.get(0)?, frames: row.get(1)? };
                match Tally::from_bytes(&row.get::<_, Vec<u8>>(2)?) {
                    Some(tally) => found.entry(key).or_default().merge(&tally),
                    None => unreadable += 1,
                }
            }
            Ok((found, unreadable))
        })
    }

    /// Strangers a camera and day over the last 28 whole days; `None` while nothing was counted. A camera's first day is
    /// left out, for it began somewhere in it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn measured_traffic(&mut self, now: WallMs) -> Result<Option<MeasuredTraffic>, StoreError> {
        let today = now.0.div_euclid(DAY_MS);
        self.read(|connection| {
            let (days, strangers): (i64, i64) = connection.query_row(
                "SELECT count(*), coalesce(sum(strangers), 0) FROM shadow_traffic AS t
                 WHERE day < ?1 AND day >= ?1 - 28
                   AND day > (SELECT min(day) FROM shadow_traffic AS f WHERE f.camera = t.camera)",
                [today],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
            let mean = strangers as f64 / days.max(1) as f64;
            let camera_days = days.unsigned_abs();
            Ok((days > 0).then_some(MeasuredTraffic { strangers_per_camera_day: mean, camera_days }))
        })
    }

    /// Whole days before today, oldest first, all cameras together; at most 60.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn counted_days(&mut self, now: WallMs) -> Result<Vec<DayCount>, StoreError> {
        let today = now.0.div_euclid(DAY_MS);
        self.read(|connection| {
            let mut statement = connection.prepare(
                "SELECT sum(strangers) + sum(candidates), sum(candidates) FROM shadow_traffic
                 WHERE day < ?1 AND day >= ?1 - 60 GROUP BY day ORDER BY day",
            )?;
            let rows = statement.query_map([today], |row| {
                let (tracks, candidates): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(DayCount { tracks: tracks.unsigned_abs(), candidates: candidates.unsigned_abs() })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Erases everything counted, with the windows of the drift tests, and notes who asked for it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn erase_counted(&mut self, actor: &str, now: WallMs) -> Result<Erased, StoreError> {
        self.write(|transaction| {
            let looks: i64 =
                transaction.query_row("SELECT coalesce(sum(tracks), 0) FROM shadow_scores", [], |row| row.get(0))?;
            let days: i64 =
                transaction.query_row("SELECT count(DISTINCT day) FROM shadow_traffic", [], |row| row.get(0))?;
            transaction.execute_batch(
                "DELETE FROM shadow_scores; DELETE FROM shadow_traffic; DELETE FROM drift_windows;
                 UPDATE calibration_state SET epoch = epoch + 1, watch = '{}' WHERE id = 1;",
            )?;
            let detail = json!({ "looks": looks, "days": days });
            audit::record(transaction, &Entry { wall: now, actor, action: "shadow-reset", subject: None, detail })?;
            Ok(Erased { looks: looks.unsigned_abs(), days: days.unsigned_abs() })
        })
    }

    /// What daemon and command line tell each other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn calibration_state(&mut self) -> Result<CalibrationState, StoreError> {
        self.read(|connection| {
            let (epoch, stale): (i64, Option<String>) =
                connection.query_row("SELECT epoch, stale FROM calibration_state WHERE id = 1", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            Ok(CalibrationState { epoch, stale: stale.and_then(|text| serde_json::from_str(&text).ok()) })
        })
    }

    /// Notes that the calibration does not fit any more. One that is noted already stays.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn raise_stale(&mut self, stale: &Stale, now: WallMs) -> Result<(), StoreError> {
        let text = serde_json::to_string(stale).unwrap_or_else(|_| "{}".to_owned());
        self.write(|transaction| {
            let raised = transaction
                .execute("UPDATE calibration_state SET stale = ?1 WHERE id = 1 AND stale IS NULL", [&text])?;
            if raised == 0 {
                return Ok(());
            }
            let detail = json!({ "cause": stale.finding.as_str(), "said": stale.finding.said() });
            let subject = Some(stale.calibration_id.as_str());
            let entry = Entry { wall: now, actor: "daemon", action: "calibration-stale", subject, detail };
            audit::record(transaction, &entry)
        })
    }

    /// Takes it back: somebody acknowledged it, or another calibration is in force. False when it was not stale.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn clear_stale(&mut self, actor: &str, why: &str, now: WallMs) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let was: Option<String> = transaction
                .query_row("SELECT stale FROM calibration_state WHERE id = 1", [], |row| row.get(0))
                .optional()?
                .flatten();
            let Some(was) = was else { return Ok(false) };
            transaction.execute("UPDATE calibration_state SET stale = NULL, watch = '{}' WHERE id = 1", [])?;
            transaction.execute("DELETE FROM drift_windows", [])?;
            let was: Option<Stale> = serde_json::from_str(&was).ok();
            let subject = was.as_ref().map(|stale| stale.calibration_id.as_str());
            let detail = json!({ "why": why, "cause": was.as_ref().map(|stale| stale.finding.as_str()) });
            audit::record(transaction, &Entry { wall: now, actor, action: "calibration-fresh", subject, detail })?;
            Ok(true)
        })
    }

    /// The watch as it was last kept; a new one when it was over another calibration.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn drift_watch(&mut self, calibration_id: &str) -> Result<Watch, StoreError> {
        self.read(|connection| {
            let (id, chart): (String, String) =
                connection.query_row("SELECT watch_id, watch FROM calibration_state WHERE id = 1", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            if id != calibration_id {
                return Ok(Watch::new(calibration_id));
            }
            let mut statement = connection.prepare("SELECT from_mpx, frames, tally FROM drift_windows")?;
            let rows = statement
                .query_map([], |row| Ok((RowKey { from_mpx: row.get(0)?, frames: row.get(1)? }, row.get(2)?)))?
                .collect::<Result<Vec<_>, _>>()?;
            let votes: Cusum = serde_json::from_str(&chart).unwrap_or_default();
            Ok(Watch::from_parts(id, votes, rows))
        })
    }

    /// Keeps the watch, unless the statistics were erased since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_drift_watch(&mut self, watch: &Watch, epoch: i64) -> Result<(), StoreError> {
        let (id, votes, rows) = watch.parts();
        let chart = serde_json::to_string(&votes).unwrap_or_else(|_| "{}".to_owned());
        self.write(|transaction| {
            let kept = transaction.execute(
                "UPDATE calibration_state SET watch_id = ?1, watch = ?2 WHERE id = 1 AND epoch = ?3",
                params![id, chart, epoch],
            )?;
            if kept == 0 {
                return Ok(());
            }
            transaction.execute("DELETE FROM drift_windows", [])?;
            for (row, tally) in rows {
                transaction
                    .prepare_cached("INSERT INTO drift_windows (from_mpx, frames, tally) VALUES (?1, ?2, ?3)")?
                    .execute(params![row.from_mpx, row.frames, tally])?;
            }
            Ok(())
        })
    }
}

fn add_scores(
    transaction: &Transaction<'_>,
    network: &Network,
    week: i64,
    row: RowKey,
    tally: &Tally,
) -> Result<(), Fault> {
    let key = params![network.model_digest, network.preprocessing, week, row.from_mpx, row.frames];
    let before: Option<Vec<u8>> = transaction
        .prepare_cached(
            "SELECT tally FROM shadow_scores
             WHERE model_digest = ?1 AND preprocessing = ?2 AND week = ?3 AND from_mpx = ?4 AND frames = ?5",
        )?
        .query_row(key, |row| row.get(0))
        .optional()?;
    let mut whole = before.and_then(|bytes| Tally::from_bytes(&bytes)).unwrap_or_default();
    whole.merge(tally);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO shadow_scores
                 (model_digest, preprocessing, week, from_mpx, frames, tracks, tally) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            network.model_digest,
            network.preprocessing,
            week,
            row.from_mpx,
            row.frames,
            small(whole.tracks()),
            whole.to_bytes()
        ])?;
    Ok(())
}

fn small(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "shadow_tests.rs"]
mod tests;
