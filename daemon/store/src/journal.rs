//! The journal of alerts. One transaction takes an event into everything at once: the alert as it stands now, the votes, the
//! journal, a delivery for each subscribed sink, and the audit trail. Handing in the same event again changes nothing.

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use crate::pseudonyms::without_the_erased;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sekisho_logic::id::{CameraId, ListId, PersonId};
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord, Stage};
use sekisho_logic::time::WallMs;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// An event to be journalled, and who is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The event.
    pub event: AlertEvent,
    /// Names of the sinks that subscribe to its stage.
    pub sinks: Vec<String>,
    /// Who made it happen: `daemon`, `uid:1000`.
    pub actor: String,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is in the journal now.
    New {
        /// Its place there.
        row: i64,
    },
    /// It was there already, with the same content; nothing changed and no sink is told again.
    AlreadyThere {
        /// Its place.
        row: i64,
    },
}

impl Appended {
    /// Its place in the journal.
    #[must_use]
    pub const fn row(self) -> i64 {
        match self {
            Self::New { row } | Self::AlreadyThere { row } => row,
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalRow {
    /// Its place; continue reading after the last one seen.
    pub row: i64,
    /// The event.
    pub event: AlertEvent,
}

/// An alert as it stands, ready to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAlert {
    /// The alert.
    pub record: AlertRecord,
    /// Sequence of its last event; the next event has one more.
    pub sequence: u32,
}

/// Which alerts; every condition that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// At this stage.
    pub stage: Option<Stage>,
    /// From this camera.
    pub camera: Option<CameraId>,
    /// About this person.
    pub person: Option<PersonId>,
    /// On this list.
    pub list: Option<ListId>,
    /// Opened at this time or later.
    pub since: Option<WallMs>,
    /// Opened before this time.
    pub until: Option<WallMs>,
    /// Older than this alert in the order of [`Store::alerts`]: the next page.
    pub before: Option<AlertId>,
}

/// What alerts can be narrowed down to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertMenus {
    /// Cameras that have had an alert.
    pub cameras: Vec<String>,
    /// Lists that have had one.
    pub lists: Vec<String>,
    /// People who have had one.
    pub people: Vec<String>,
}

impl Store {
    /// Journals one event for the sinks named, made by `actor`.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] for an id that is taken by other content; [`StoreError::Refused`] for an event that breaks a
    /// rule; otherwise the state of the disk, and then nothing of it is stored.
    pub fn append(&mut self, event: &AlertEvent, sinks: &[&str], actor: &str) -> Result<Appended, StoreError> {
        let run = self.run;
        self.write(|transaction| append_one(transaction, event, sinks.iter().copied(), actor, run))
    }

    /// Journals several events in one transaction: all or none. The results are in the order given.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_all(&mut self, batch: &[Append]) -> Result<Vec<Appended>, StoreError> {
        let run = self.run;
        self.write(|transaction| {
            let one = |append: &Append| {
                append_one(transaction, &append.event, append.sinks.iter().map(String::as_str), &append.actor, run)
            };
            batch.iter().map(one).collect()
        })
    }

    /// Alerts, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn alerts(&mut self, filter: &AlertFilter, limit: u32) -> Result<Vec<AlertRecord>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, record FROM alerts
                 WHERE (?1 IS NULL OR stage = ?1) AND (?2 IS NULL OR camera = ?2) AND (?3 IS NULL OR person = ?3)
                   AND (?4 IS NULL OR list = ?4) AND opened_ms >= ?5 AND opened_ms < ?6
                   AND (?7 IS NULL OR (opened_ms, id) < (SELECT opened_ms, id FROM alerts WHERE id = ?7))
                 ORDER BY opened_ms DESC, id DESC LIMIT ?8",
            )?;
            let mut rows = statement.query(params![
                filter.stage.map(Stage::as_str),
                filter.camera.as_ref().map(CameraId::as_str),
                filter.person.as_ref().map(PersonId::as_str),
                filter.list.as_ref().map(ListId::as_str),
                filter.since.map_or(i64::MIN, |since| since.0),
                filter.until.map_or(i64::MAX, |until| until.0),
                filter.before.as_ref().map(|before| before.0.as_str()),
                limit,
            ])?;
            let mut alerts = Vec::new();
            while let Some(row) = rows.next()? {
                alerts.push(decode(connection, &row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?);
            }
            Ok(alerts)
        })
    }

    /// Cameras, lists and people that have had alerts, each at most `limit`, in alphabetical order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn alert_menus(&mut self, limit: u32) -> Result<AlertMenus, StoreError> {
        self.read(|connection| {
            let column = |name: &str| -> Result<Vec<String>, Fault> {
                let sql = format!("SELECT DISTINCT {name} FROM alerts ORDER BY {name} LIMIT ?1");
                let mut statement = connection.prepare_cached(&sql)?;
                Ok(statement.query_map([limit], |row| row.get(0))?.collect::<Result<_, _>>()?)
            };
            Ok(AlertMenus { cameras: column("camera")?, lists: column("list")?, people: column("person")? })
        })
    }

    /// One alert with the sequence of its last event, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn alert(&mut self, id: &AlertId) -> Result<Option<OpenAlert>, StoreError> {
        self.read(|connection| Ok(select_open(connection, "WHERE id = ?1", &[&id.0])?.pop()))
    }

    /// Every alert that is not final, oldest first: what a daemon that starts has to continue.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_alerts(&mut self) -> Result<Vec<OpenAlert>, StoreError> {
        self.read(|connection| {
            select_open(connection, "WHERE stage IN ('candidate', 'machine-confirmed') ORDER BY opened_ms, id", &[])
        })
    }

    /// The journal after place `row` (0 for the beginning), in order of commitment, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn events_since(&mut self, row: i64, limit: u32) -> Result<Vec<JournalRow>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT row, event_id, sequence, before, after FROM journal WHERE row > ?1 ORDER BY row LIMIT ?2",
            )?;
            let mut rows = statement.query(params![row, limit])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(1)?;
                let event = decode_event(connection, &id, row.get(2)?, row.get(3)?, row.get(4)?)?;
                events.push(JournalRow { row: row.get(0)?, event });
            }
            Ok(events)
        })
    }

    /// Place of the last event in the journal; 0 while it is empty.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn journal_end(&mut self) -> Result<i64, StoreError> {
        self.read(|connection| {
            Ok(connection.query_row("SELECT coalesce(max(row), 0) FROM journal", [], |row| row.get(0))?)
        })
    }
}

fn append_one<'a>(
    transaction: &Transaction<'_>,
    event: &AlertEvent,
    sinks: impl Iterator<Item = &'a str>,
    actor: &str,
    run: Option<i64>,
) -> Result<Appended, Fault> {
    let erased = without_the_erased(transaction, event)?;
    let event = erased.as_ref().unwrap_or(event);
    let (id, after) = (event.event_id(), &event.after);
    if event.sequence == 0 {
        return Err(StoreError::refused(format!("event {id}: sequences count from 1")).into());
    }
    if event.before.as_ref().is_some_and(|before| before.id != after.id) {
        return Err(StoreError::refused(format!("event {id}: before and after are different alerts")).into());
    }
    let before_json = event.before.as_ref().map(|before| encode(&id, before)).transpose()?;
    let after_json = encode(&id, after)?;
    let there: Option<(i64, Option<String>, String)> = transaction
        .prepare_cached("SELECT row, before, after FROM journal WHERE event_id = ?1")?
        .query_row([&id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some((row, before_there, after_there)) = there {
        // What was journalled of an erased person was rewritten since.
        return if erased.is_some() || (before_there == before_json && after_there == after_json) {
            Ok(Appended::AlreadyThere { row })
        } else {
            Err(StoreError::Conflict { event_id: id }.into())
        };
    }
    let newest = upsert_alert(transaction, after, event.sequence, &after_json)?;
    if newest {
        write_votes(transaction, after)?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO journal (event_id, alert, sequence, wall_ms, kind, before, after, run)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            id,
            after.id.0,
            event.sequence,
            after.changed.0,
            event.kind(),
            before_json,
            after_json,
            run
        ])?;
    let row = transaction.last_insert_rowid();
    let evidence = after.confirmation.as_ref().unwrap_or(&after.candidate);
    let mut detail = json!({
        "event": id, "stage": after.stage.as_str(), "cause": after.cause.as_str(),
        "camera": after.camera.as_str(), "person": after.person.as_str(), "votes": after.votes.len(),
        // Against which content of the gallery, by which network and table, and a seal on the journal's own words.
        "gallery-version": crate::gallery::version(transaction)?,
        "model-digest": evidence.model_digest, "calibration-id": evidence.calibration_id,
        "record-sha256": hex::encode(Sha256::digest(&after_json)),
    });
    // Who verified: the vote that this event brought. Its reason is in the reviewer's own words and stays in the journal.
    let before_votes = event.before.as_ref().map_or(&[][..], |before| &before.votes);
    if let Some(vote) = after.votes.iter().find(|vote| !before_votes.contains(vote)) {
        detail["vote"] = json!({ "reviewer": vote.reviewer, "verdict": vote.verdict.as_str() });
    }
    let subject = Some(after.id.0.as_str());
    let entry = Entry { wall: after.changed, actor, action: "alert", subject, detail };
    let audit_seq = audit::record_at(transaction, &entry)?;
    for sink in sinks {
        // A sink named twice is told once.
        transaction
            .prepare_cached(
                "INSERT INTO outbox (sink, event_id, alert, sequence, created_ms, next_attempt_ms, changed_ms, audit_seq)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5, ?6) ON CONFLICT (sink, event_id) DO NOTHING",
            )?
            .execute(params![sink, id, after.id.0, event.sequence, after.changed.0, audit_seq])?;
    }
    Ok(Appended::New { row })
}

/// Makes the alert what `after` says, unless a later event has been here. Returns whether it did.
fn upsert_alert(transaction: &Transaction<'_>, after: &AlertRecord, sequence: u32, json: &str) -> Result<bool, Fault> {
    let changed = transaction
        .prepare_cached(
            "INSERT INTO alerts (id, camera, person, list, track, stage, cause, opened_ms, changed_ms, expires_ms,
                                 votes_required, sequence, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (id) DO UPDATE SET camera = excluded.camera, person = excluded.person, list = excluded.list,
                 track = excluded.track, stage = excluded.stage, cause = excluded.cause, opened_ms = excluded.opened_ms,
                 changed_ms = excluded.changed_ms, expires_ms = excluded.expires_ms,
                 votes_required = excluded.votes_required, sequence = excluded.sequence, record = excluded.record
             WHERE excluded.sequence > alerts.sequence",
        )?
        .execute(params![
            after.id.0,
            after.camera.as_str(),
            after.person.as_str(),
            after.list.as_str(),
            // The column is for reading; a track number past 2^63 shows as negative there and whole in the record.
            after.track.0.cast_signed(),
            after.stage.as_str(),
            after.cause.as_str(),
            after.opened.0,
            after.changed.0,
            after.expires.map(|expires| expires.0),
            after.votes_required,
            sequence,
            json,
        ])?;
    Ok(changed == 1)
}

fn write_votes(transaction: &Transaction<'_>, after: &AlertRecord) -> Result<(), Fault> {
    for vote in &after.votes {
        transaction
            .prepare_cached(
                "INSERT INTO votes (alert, reviewer, verdict, reason, wall_ms) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (alert, reviewer) DO UPDATE SET
                     verdict = excluded.verdict, reason = excluded.reason, wall_ms = excluded.wall_ms",
            )?
            .execute(params![after.id.0, vote.reviewer, vote.verdict.as_str(), vote.reason, vote.wall.0])?;
    }
    Ok(())
}

fn select_open(
    connection: &Connection,
    condition: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<OpenAlert>, Fault> {
    let mut statement = connection.prepare_cached(&format!("SELECT id, record, sequence FROM alerts {condition}"))?;
    let mut rows = statement.query(values)?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let record = decode(connection, &row.get::<_, String>(0)?, &row.get::<_, String>(1)?)?;
        open.push(OpenAlert { record, sequence: row.get(2)? });
    }
    Ok(open)
}

fn encode(id: &str, record: &AlertRecord) -> Result<String, Fault> {
    serde_json::to_string(record).map_err(|error| StoreError::refused(format!("event {id}: {error}")).into())
}

fn decode(connection: &Connection, id: &str, json: &str) -> Result<AlertRecord, Fault> {
    serde_json::from_str(json).map_err(|error| {
        let path = connection.path().unwrap_or_default().into();
        StoreError::Corrupt { path, detail: format!("the record of {id} does not read: {error}") }.into()
    })
}

/// Puts an event together again from its columns.
pub(crate) fn decode_event(
    connection: &Connection,
    id: &str,
    sequence: u32,
    before: Option<String>,
    after: String,
) -> Result<AlertEvent, Fault> {
    let before = before.map(|json| decode(connection, id, &json)).transpose()?;
    Ok(AlertEvent { before, after: decode(connection, id, &after)?, sequence })
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
