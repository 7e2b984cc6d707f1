//! Erasing a person: the key first, then the rows, then the bytes the rows left behind, and a signed receipt at the end.
//!
//! ```text
//! begun           noted, not matched any more, tombstone written
//!   |  key ring written without the person's keys, the old file overwritten
//! key-destroyed   whatever was sealed with them is noise now, wherever copies of it lie
//!   |  photographs, templates, pictures, deliveries, suspensions deleted; alerts and journal keep `erased-N` for the id
//! rows-deleted
//!   |  freed pages given back, the log folded back and cut to nothing; waits for readers in other processes
//! scrubbed
//!   |  receipt signed
//! done
//! ```
//!
//! Each step is durable and noted before the next begins, each may be done twice, and whoever opens the store next goes on
//! where a crash stopped it. The audit trail keeps the opaque id: it is the proof that the person was erased.

use crate::audit::{self, Entry};
use crate::enrolment::Traces;
use crate::error::{Fault, StoreError};
use crate::keyring::IfAbsent;
use crate::open::{Store, count_at};
use crate::pseudonyms::rename_alerts;
use crate::receipt;
use crate::rights::refuse_held;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use serde_json::json;

/// Alerts renamed in one transaction, so that alert events never wait long behind them.
const ALERTS_MAX: u32 = 100;

/// Why somebody is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErasureCause {
    /// Somebody asked for it.
    Asked,
    /// Consent was taken back some time ago.
    Withdrawn,
    /// The grounds ran out some time ago.
    Expired,
    /// A backup from before the erasure was restored.
    Restored,
}

impl ErasureCause {
    const ALL: [Self; 4] = [Self::Asked, Self::Withdrawn, Self::Expired, Self::Restored];

    /// The word used in the store and in receipts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Restored => "restored",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// The last step of an erasure that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErasureStep {
    /// It is noted, and the person is not matched any more.
    Begun,
    /// The person's keys are gone.
    KeyDestroyed,
    /// The rows are deleted.
    RowsDeleted,
    /// And so are their bytes.
    Scrubbed,
    /// The receipt is signed.
    Done,
}

impl ErasureStep {
    /// Every step, in order.
    pub const ALL: [Self; 5] = [Self::Begun, Self::KeyDestroyed, Self::RowsDeleted, Self::Scrubbed, Self::Done];

    /// The word used in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::KeyDestroyed => "key-destroyed",
            Self::RowsDeleted => "rows-deleted",
            Self::Scrubbed => "scrubbed",
            Self::Done => "done",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

/// What was erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ErasureCounts {
    /// Photographs given at enrolment.
    pub photos: u64,
    /// Templates.
    pub templates: u64,
    /// Pictures of alerts.
    pub pictures: u64,
    /// Alerts that do not tell the id any more.
    pub alerts: u64,
    /// Messages to receivers that were not delivered yet, or given up.
    pub deliveries: u64,
}

/// An erasure, under way or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// Its number; alerts then tell `erased-NUMBER`.
    pub id: i64,
    /// Who was erased: the opaque id.
    pub person: PersonId,
    /// Why.
    pub cause: ErasureCause,
    /// When it was asked for.
    pub asked: WallMs,
    /// By whom.
    pub asked_by: String,
    /// How far it has come.
    pub step: ErasureStep,
    /// When it was done.
    pub finished: Option<WallMs>,
    /// What was erased so far.
    pub counts: ErasureCounts,
    /// The signed receipt, as JSON, once done.
    pub receipt: Option<String>,
}

/// Who is to be erased because time passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueForErasure {
    /// Them, and why.
    pub due: Vec<(PersonId, ErasureCause)>,
    /// Everybody who is enrolled.
    pub people: u64,
}

/// Told after each step that is durable.
pub(crate) type OnStep = Box<dyn FnMut(&PersonId, ErasureStep) + Send>;

const COLUMNS: &str = "id, person, cause, asked_ms, asked_by, step, finished_ms, counts, receipt";

/// What to begin.
struct Begin<'a> {
    person: &'a PersonId,
    cause: ErasureCause,
    asked: WallMs,
    actor: &'a str,
    now: WallMs,
}

impl Store {
    /// Erases a person and everything stored of them, and gives how far it came: [`ErasureStep::Done`] with the receipt, or an
    /// earlier step when a reader in another process holds on to the old log; the next [`resume_erasures`]
    /// (Self::resume_erasures) goes on from there. Erasing somebody who was erased gives that erasure again.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`] for somebody unknown; [`StoreError::Refused`] while a legal hold is in force;
    /// [`StoreError::Keyring`] when the file of keys is damaged; or the state of the disk. What was begun is then gone on with.
    pub fn erase(
        &mut self,
        person: &PersonId,
        cause: ErasureCause,
        actor: &str,
        now: WallMs,
    ) -> Result<Erasure, StoreError> {
        let under_way = self.newest_erasure(person)?;
        let enrolled = self.person(person)?.is_some();
        let erasure = match under_way {
            Some(erasure) if erasure.step < ErasureStep::Done || !enrolled => erasure,
            Some(_) | None if enrolled => self.begin_erasure(&Begin { person, cause, asked: now, actor, now })?,
            Some(_) | None => return Err(StoreError::NotEnrolled { person: person.as_str().into() }),
        };
        self.go_on(erasure, now)
    }

    /// Goes on with every erasure that is under way; gives them as they are afterwards. One that cannot go on holds up no other.
    ///
    /// # Errors
    /// The first that was met; the others were tried all the same.
    pub fn resume_erasures(&mut self, now: WallMs) -> Result<Vec<Erasure>, StoreError> {
        let under_way = self.select_erasures("WHERE step <> 'done' ORDER BY id", &[])?;
        let (mut after, mut failed) = (Vec::new(), None);
        for erasure in under_way {
            match self.go_on(erasure, now) {
                Ok(erasure) => after.push(erasure),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(after), Err)
    }

    /// Who is to be erased: whoever withdrew, or whose grounds ran out, before `before`, unless a legal hold is in force or the
    /// person is restricted, and how many people there are in all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn due_for_erasure(&mut self, before: WallMs) -> Result<DueForErasure, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, status FROM people WHERE id NOT IN (SELECT person FROM holds)
                 AND ((status = 'withdrawn' AND status_ms < ?1) OR (status = 'active' AND expires_ms < ?1)) ORDER BY id",
            )?;
            let rows: Vec<(String, String)> = statement
                .query_map([before.0], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let cause = |status: &str| {
                if status == "withdrawn" { ErasureCause::Withdrawn } else { ErasureCause::Expired }
            };
            let due = rows.iter().filter_map(|(id, status)| Some((PersonId::try_new(id).ok()?, cause(status))));
            let people = connection.query_row("SELECT count(*) FROM people", [], |row| count_at(row, 0))?;
            Ok(DueForErasure { due: due.collect(), people })
        })
    }

    /// The newest erasure of a person, `None` when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest_erasure(&mut self, person: &PersonId) -> Result<Option<Erasure>, StoreError> {
        Ok(self.select_erasures("WHERE person = ?1 ORDER BY id DESC LIMIT 1", &[&person.as_str()])?.pop())
    }

    /// Every erasure, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn erasures(&mut self) -> Result<Vec<Erasure>, StoreError> {
        self.select_erasures("ORDER BY id", &[])
    }

    /// Has `told` called after each step of an erasure that is durable.
    pub fn on_erasure_step(&mut self, told: impl FnMut(&PersonId, ErasureStep) + Send + 'static) {
        self.on_step = Some(Box::new(told));
    }

    pub(crate) fn begin_restored(
        &mut self,
        person: &PersonId,
        asked: WallMs,
        now: WallMs,
    ) -> Result<Erasure, StoreError> {
        let erasure =
            self.begin_erasure(&Begin { person, cause: ErasureCause::Restored, asked, actor: "daemon", now })?;
        self.go_on(erasure, now)
    }

    fn select_erasures(&mut self, rest: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Erasure>, StoreError> {
        let path = self.path().to_path_buf();
        self.read(|connection| {
            let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM erasures {rest}"))?;
            let mut rows = statement.query(values)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let erasure = to_erasure(row)?;
                found.push(erasure.ok_or_else(|| StoreError::Corrupt {
                    path: path.clone(),
                    detail: "a row of erasures holds an impossible id, cause or step".into(),
                })?);
            }
            Ok(found)
        })
    }

    fn begin_erasure(&mut self, begin: &Begin<'_>) -> Result<Erasure, StoreError> {
        let Begin { person, cause, asked, actor, now } = *begin;
        let id = self.write(|transaction| {
            if cause != ErasureCause::Restored {
                refuse_held(transaction, person)?;
            }
            let known = transaction
                .prepare_cached("SELECT id FROM erasures WHERE person = ?1 AND step <> 'done'")?
                .query_row([person.as_str()], |row| row.get::<_, i64>(0))
                .optional()?;
            if let Some(id) = known {
                return Ok(id);
            }
            transaction.execute(
                "INSERT INTO erasures (person, cause, asked_ms, asked_by, step) VALUES (?1, ?2, ?3, ?4, 'begun')",
                params![person.as_str(), cause.as_str(), asked.0, actor],
            )?;
            let id = transaction.last_insert_rowid();
            transaction.execute(
                "UPDATE people SET status = 'withdrawn', status_ms = ?2 WHERE id = ?1 AND status <> 'withdrawn'",
                params![person.as_str(), now.0],
            )?;
            let detail = json!({ "erasure": id, "cause": cause.as_str() });
            let subject = Some(person.as_str());
            audit::record(transaction, &Entry { wall: now, actor, action: "erase", subject, detail })?;
            Ok(id)
        })?;
        self.erasure_of(id)
    }

    fn erasure_of(&mut self, id: i64) -> Result<Erasure, StoreError> {
        let found = self.select_erasures("WHERE id = ?1", &[&id])?.pop();
        found.ok_or_else(|| StoreError::refused(format!("there is no erasure {id}")))
    }

    /// Takes an erasure as far as it goes.
    fn go_on(&mut self, mut erasure: Erasure, now: WallMs) -> Result<Erasure, StoreError> {
        loop {
            let next = match erasure.step {
                ErasureStep::Begun => {
                    self.told(&erasure);
                    self.write_tombstone(&erasure)?;
                    self.destroy_key(&erasure.person)?;
                    self.note_step(erasure.id, ErasureStep::KeyDestroyed)?
                }
                ErasureStep::KeyDestroyed => self.delete_rows(&erasure)?,
                ErasureStep::RowsDeleted => match self.scrub(&erasure.person) {
                    Traces::Gone => self.note_step(erasure.id, ErasureStep::Scrubbed)?,
                    Traces::InLog => return Ok(erasure),
                },
                ErasureStep::Scrubbed => self.sign_off(&erasure, now)?,
                ErasureStep::Done => return Ok(erasure),
            };
            erasure = next;
            if erasure.step > ErasureStep::Begun {
                self.told(&erasure);
            }
        }
    }

    fn told(&mut self, erasure: &Erasure) {
        if let Some(told) = &mut self.on_step {
            told(&erasure.person, erasure.step);
        }
    }

    fn note_step(&mut self, id: i64, step: ErasureStep) -> Result<Erasure, StoreError> {
        self.write(|transaction| set_step(transaction, id, step))?;
        self.erasure_of(id)
    }

    fn destroy_key(&mut self, person: &PersonId) -> Result<(), StoreError> {
        let lock = self.keyring.lock()?;
        if self.keyring.ring()?.is_none() {
            // Lost together with everybody else's: there is nothing to destroy but what a crash left.
            return self.keyring.wipe_leftovers();
        }
        self.keyring.edit(&lock, IfAbsent::Refuse, |ring| Ok(ring.forget(person.as_str()))).map(drop)
    }

    fn delete_rows(&mut self, erasure: &Erasure) -> Result<Erasure, StoreError> {
        // Some at a time first; what an alert event adds meanwhile goes in the last transaction.
        while self.write(|transaction| rename_alerts(transaction, erasure, ALERTS_MAX))? > 0 {}
        self.write(|transaction| {
            while rename_alerts(transaction, erasure, ALERTS_MAX)? > 0 {}
            let person = erasure.person.as_str();
            let gone = |sql: &str| Ok::<u64, Fault>(transaction.execute(sql, [person])? as u64);
            let counts = ErasureCounts {
                pictures: gone("DELETE FROM evidence WHERE person = ?1")?,
                templates: gone("DELETE FROM templates WHERE person = ?1")?,
                photos: gone("DELETE FROM photos WHERE person = ?1")?,
                ..ErasureCounts::default()
            };
            gone("DELETE FROM suspensions WHERE kind = 'person' AND subject = ?1")?;
            gone("DELETE FROM people WHERE id = ?1")?;
            add_counts(transaction, erasure.id, counts)?;
            set_step(transaction, erasure.id, ErasureStep::RowsDeleted)
        })?;
        self.erasure_of(erasure.id)
    }

    fn sign_off(&mut self, erasure: &Erasure, now: WallMs) -> Result<Erasure, StoreError> {
        let signing = self.signing.take();
        let result = self.write(|transaction| {
            let open: bool = transaction
                .prepare_cached("SELECT 1 FROM erasures WHERE id = ?1 AND step = 'scrubbed'")?
                .exists([erasure.id])?;
            if !open {
                return Ok(());
            }
            let counts = serde_json::to_value(erasure.counts).unwrap_or_default();
            let detail = json!({ "erasure": erasure.id, "cause": erasure.cause.as_str(), "erased": counts });
            let subject = Some(erasure.person.as_str());
            let actor = &erasure.asked_by;
            audit::record(transaction, &Entry { wall: now, actor, action: "erased", subject, detail })?;
            let receipt = receipt::made(erasure, now, audit::head(transaction)?, signing.as_ref());
            transaction.execute(
                "UPDATE erasures SET step = 'done', finished_ms = ?2, receipt = ?3 WHERE id = ?1",
                params![erasure.id, now.0, receipt],
            )?;
            Ok(())
        });
        self.signing = signing;
        result?;
        if let Err(error) = self.checkpoint() {
            tracing::debug!(%error, "the log keeps the receipt until the next checkpoint");
        }
        self.erasure_of(erasure.id)
    }
}

fn set_step(transaction: &Transaction<'_>, id: i64, step: ErasureStep) -> Result<(), Fault> {
    // Two processes may be at the same erasure; whoever is behind takes nothing back.
    let behind: Vec<&str> = ErasureStep::ALL.into_iter().filter(|of| *of < step).map(ErasureStep::as_str).collect();
    let sql = format!("UPDATE erasures SET step = ?2 WHERE id = ?1 AND step IN ('{}')", behind.join("', '"));
    transaction.execute(&sql, params![id, step.as_str()])?;
    Ok(())
}

pub(crate) fn add_counts(transaction: &Transaction<'_>, id: i64, more: ErasureCounts) -> Result<(), Fault> {
    let text: Option<String> =
        transaction.query_row("SELECT counts FROM erasures WHERE id = ?1", [id], |row| row.get(0))?;
    let mut counts = counts_of(text.as_deref());
    counts.photos += more.photos;
    counts.templates += more.templates;
    counts.pictures += more.pictures;
    counts.alerts += more.alerts;
    counts.deliveries += more.deliveries;
    let text = serde_json::to_string(&counts).map_err(|error| StoreError::refused(error.to_string()))?;
    transaction.execute("UPDATE erasures SET counts = ?2 WHERE id = ?1", params![id, text])?;
    Ok(())
}

fn counts_of(text: Option<&str>) -> ErasureCounts {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether the person is being erased at the moment: nobody of that id is enrolled before it is done.
pub(crate) fn under_way(connection: &Connection, person: &str) -> Result<bool, Fault> {
    Ok(connection.prepare_cached("SELECT 1 FROM erasures WHERE person = ?1 AND step <> 'done'")?.exists([person])?)
}

fn to_erasure(row: &Row<'_>) -> Result<Option<Erasure>, rusqlite::Error> {
    let (person, cause, step): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(5)?);
    let (Ok(person), Some(cause), Some(step)) =
        (PersonId::try_new(&person), ErasureCause::parse(&cause), ErasureStep::parse(&step))
    else {
        return Ok(None);
    };
    Ok(Some(Erasure {
        id: row.get(0)?,
        person,
        cause,
        asked: WallMs(row.get(3)?),
        asked_by: row.get(4)?,
        step,
        finished: row.get::<_, Option<i64>>(6)?.map(WallMs),
        counts: counts_of(row.get::<_, Option<String>>(7)?.as_deref()),
        receipt: row.get(8)?,
    }))
}

#[cfg(test)]
#[path = "erase_tests.rs"]
mod tests;
