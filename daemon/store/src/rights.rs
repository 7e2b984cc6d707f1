//! Rights of the people who are enrolled: restriction, correction, and the hold that keeps records for a dispute.

use crate::audit::{self, Entry};
use crate::enrolment::PersonStatus;
use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::WallMs;
use serde_json::json;

/// Reasons are a line: a file reference or a sentence.
const REASON_BYTES_MAX: usize = 300;
/// As long as a name may be at enrolment.
const NAME_BYTES_MAX: usize = 1000;

/// Records that must not be erased or purged for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// About whom.
    pub person: PersonId,
    /// Since when.
    pub since: WallMs,
    /// Put in force by whom.
    pub by: String,
    /// The file reference or the words.
    pub reason: String,
}

/// What is to be corrected about a person; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct Correction {
    /// The list, and with it the policy.
    pub list: Option<ListId>,
    /// The name for the operator's eyes; an empty one removes it.
    pub display_name: Option<String>,
}

impl Store {
    /// Sets a person's status with the reason for it. False when it was so already.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] for an empty or long reason, or when `from` is given and the
    /// status is another one; or the state of the disk.
    pub fn change_status(
        &mut self,
        person: &PersonId,
        (from, to): (Option<PersonStatus>, PersonStatus),
        reason: &str,
        actor: &str,
        now: WallMs,
    ) -> Result<bool, StoreError> {
        check_reason(person, reason)?;
        self.write(|transaction| {
            let before = status(transaction, person)?;
            if before == to.as_str() {
                return Ok(false);
            }
            if let Some(from) = from.filter(|from| from.as_str() != before) {
                let (from, to) = (from.as_str(), to.as_str());
                let said = format!("{person} is {before}, and only who is {from} can become {to} again this way");
                return Err(StoreError::refused(said).into());
            }
            transaction.execute(
                "UPDATE people SET status = ?2, status_ms = ?3 WHERE id = ?1",
                params![person.as_str(), to.as_str(), now.0],
            )?;
            let detail = json!({ "from": before, "to": to.as_str(), "reason": reason });
            note(transaction, person, "status", detail, actor, now)?;
            Ok(true)
        })
    }

    /// Corrects facts about a person. Gives the names of those that changed.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] for a name that is too long; or the state of the disk.
    pub fn correct(
        &mut self,
        person: &PersonId,
        correction: &Correction,
        actor: &str,
        now: WallMs,
    ) -> Result<Vec<&'static str>, StoreError> {
        if correction.display_name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(StoreError::refused(format!("{person}: a name is longer than {NAME_BYTES_MAX} bytes")));
        }
        self.write(|transaction| {
            status(transaction, person)?;
            let (mut changed, mut detail) = (Vec::new(), json!({}));
            if let Some(list) = &correction.list {
                let before: String =
                    transaction
                        .query_row("SELECT list FROM people WHERE id = ?1", [person.as_str()], |row| row.get(0))?;
                if before != list.as_str() {
                    transaction
                        .execute("UPDATE people SET list = ?2 WHERE id = ?1", [person.as_str(), list.as_str()])?;
                    changed.push("list");
                    detail["list"] = json!({ "from": before, "to": list.as_str() });
                }
            }
            if let Some(name) = &correction.display_name {
                let name = Some(name.trim()).filter(|name| !name.is_empty());
                let done = transaction.execute(
                    "UPDATE people SET display_name = ?2 WHERE id = ?1 AND display_name IS NOT ?2",
                    params![person.as_str(), name],
                )?;
                if done > 0 {
                    changed.push("display-name");
                }
            }
            if !changed.is_empty() {
                detail["changed"] = json!(changed);
                note(transaction, person, "correct", detail, actor, now)?;
            }
            Ok(changed)
        })
    }

    /// Puts a hold in force: until it is lifted nothing about the person is erased or purged. False when there is one already,
    /// which stays as it was.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] for an empty or long reason; or the state of the disk.
    pub fn hold(&mut self, person: &PersonId, reason: &str, actor: &str, now: WallMs) -> Result<bool, StoreError> {
        check_reason(person, reason)?;
        self.write(|transaction| {
            status(transaction, person)?;
            let put = transaction.execute(
                "INSERT INTO holds (person, since_ms, by, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                params![person.as_str(), now.0, actor, reason],
            )?;
            if put > 0 {
                note(transaction, person, "hold", json!({ "reason": reason }), actor, now)?;
            }
            Ok(put > 0)
        })
    }

    /// Lifts a hold. False when there is none.
    ///
    /// # Errors
    /// As [`hold`](Self::hold).
    pub fn unhold(&mut self, person: &PersonId, reason: &str, actor: &str, now: WallMs) -> Result<bool, StoreError> {
        check_reason(person, reason)?;
        self.write(|transaction| {
            status(transaction, person)?;
            let lifted = transaction.execute("DELETE FROM holds WHERE person = ?1", [person.as_str()])?;
            if lifted > 0 {
                note(transaction, person, "unhold", json!({ "reason": reason }), actor, now)?;
            }
            Ok(lifted > 0)
        })
    }

    /// Every hold in force, by person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn holds(&mut self) -> Result<Vec<Hold>, StoreError> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT person, since_ms, by, reason FROM holds ORDER BY person")?;
            let mut rows = statement.query([])?;
            let mut holds = Vec::new();
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                let person = PersonId::try_new(&id).map_err(|error| StoreError::refused(error.to_string()))?;
                holds.push(Hold { person, since: WallMs(row.get(1)?), by: row.get(2)?, reason: row.get(3)? });
            }
            Ok(holds)
        })
    }
}

/// Refuses to go on while records about this person are under a hold.
pub(crate) fn refuse_held(connection: &Connection, person: &PersonId) -> Result<(), Fault> {
    let since: Option<i64> = connection
        .query_row("SELECT since_ms FROM holds WHERE person = ?1", [person.as_str()], |row| row.get(0))
        .optional()?;
    match since {
        None => Ok(()),
        Some(since) => {
            Err(StoreError::Held { person: person.as_str().into(), since: WallMs(since).to_rfc3339() }.into())
        }
    }
}

fn check_reason(person: &PersonId, reason: &str) -> Result<(), StoreError> {
    if reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(StoreError::refused(format!("{person}: a reason of 1 to {REASON_BYTES_MAX} bytes is needed")));
    }
    Ok(())
}

fn status(connection: &Connection, person: &PersonId) -> Result<String, Fault> {
    let found = connection
        .query_row("SELECT status FROM people WHERE id = ?1", [person.as_str()], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::NotEnrolled { person: person.as_str().into() }.into())
}

fn note(
    transaction: &Transaction<'_>,
    person: &PersonId,
    action: &str,
    detail: serde_json::Value,
    actor: &str,
    wall: WallMs,
) -> Result<(), Fault> {
    audit::record(transaction, &Entry { wall, actor, action, subject: Some(person.as_str()), detail })
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
