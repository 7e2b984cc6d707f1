//! The grounds people are enrolled on: recorded or renewed later, and who lacks them.

use crate::enrolment::{Grounds, PersonStatus};
use crate::error::StoreError;
use crate::open::Store;
use crate::people::{record, require};
use rusqlite::{Connection, params};
use sekisho_logic::grounds::{NewGrounds, TEXT_BYTES_MAX};
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};

/// What the audit trail says of grounds. It outlives the person, so it holds no free text, in which names may stand.
pub(crate) fn audited(grounds: &NewGrounds) -> Value {
    json!({
        "legal-basis": grounds.legal_basis().as_str(),
        "alternative-offered": grounds.alternative_offered(),
        "expires": grounds.expires().to_rfc3339(),
    })
}

/// People who are matched at `now` although a part of their grounds is missing.
pub(crate) fn lacking(connection: &Connection, now: WallMs) -> Result<Vec<PersonId>, rusqlite::Error> {
    let sql = "SELECT id FROM people WHERE status = 'active' AND (expires_ms IS NULL OR expires_ms > ?1)
               AND (purpose IS NULL OR legal_basis IS NULL OR consent_ref IS NULL OR notice_version IS NULL
                    OR expires_ms IS NULL) ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map([now.0], |row| row.get::<_, String>(0))?;
    // An id that is no id is reported where the gallery is read.
    Ok(ids.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| PersonId::try_new(id).ok()).collect())
}

impl Store {
    /// Records or renews a person's grounds. Who withdrew does not come back by it.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] for somebody who withdrew; or the state of the disk.
    pub fn set_grounds(
        &mut self,
        person: &PersonId,
        new: &NewGrounds,
        actor: &str,
        now: WallMs,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            if require(transaction, person)? == PersonStatus::Withdrawn {
                return Err(StoreError::refused(format!(
                    "{person} withdrew and is to be erased; enrol them anew afterwards if they want to come back"
                ))
                .into());
            }
            let grounds = Grounds::from(new);
            transaction.execute(
                "UPDATE people SET purpose = ?2, legal_basis = ?3, consent_ref = ?4, notice_version = ?5,
                     alternative_offered = ?6, expires_ms = ?7 WHERE id = ?1",
                params![
                    person.as_str(),
                    grounds.purpose,
                    grounds.legal_basis,
                    grounds.consent_ref,
                    grounds.notice_version,
                    grounds.alternative_offered,
                    grounds.expires.map(|wall| wall.0),
                ],
            )?;
            record(transaction, now, actor, "grounds", person.as_str(), audited(new))
        })
    }
}

/// What a withdrawal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawal {
    /// The person is not matched from now on.
    Now,
    /// The person withdrew before, at that time; nothing changed.
    Before(WallMs),
}

impl Store {
    /// Takes a person out of matching for good, because they withdrew. A running daemon follows within a second.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] for a reason that is no line; or the state of the disk.
    pub fn withdraw(
        &mut self,
        person: &PersonId,
        reason: Option<&str>,
        actor: &str,
        now: WallMs,
    ) -> Result<Withdrawal, StoreError> {
        if reason.is_some_and(|text| text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control)) {
            return Err(StoreError::refused(format!("a reason is one line of at most {TEXT_BYTES_MAX} bytes")));
        }
        self.write(|transaction| {
            let id = person.as_str();
            let before = require(transaction, person)?;
            if before == PersonStatus::Withdrawn {
                let sql = "SELECT status_ms FROM people WHERE id = ?1";
                return Ok(Withdrawal::Before(WallMs(transaction.query_row(sql, [id], |row| row.get(0))?)));
            }
            transaction.execute(
                "UPDATE people SET status = ?2, status_ms = ?3 WHERE id = ?1",
                params![id, PersonStatus::Withdrawn.as_str(), now.0],
            )?;
            record(transaction, now, actor, "withdraw", id, json!({ "from": before.as_str(), "reason": reason }))?;
            Ok(Withdrawal::Now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Withdrawal;
    use crate::PersonStatus;
    use crate::testing::{Bench, grounds, list, person};
    use crate::{Enrol, Enrolment};
    use sekisho_logic::time::WallMs;

    fn enrolled(name: &str) -> Bench {
        let mut bench = Bench::new();
        let new = Enrolment {
            person: person(name),
            list: list("staff"),
            display_name: None,
            grounds: grounds(),
            photos: Vec::new(),
            faces: Vec::new(),
            templates: Vec::new(),
        };
        bench.store.enrol(Enrol::Add, &new, "uid:7", WallMs(1)).expect("enrolled");
        bench
    }

    #[test]
    fn who_is_from_before_grounds_is_counted_until_they_are_recorded() {
        let mut bench = enrolled("ann-1");
        let lacking = |bench: &mut Bench| bench.store.gallery("aa", "p", WallMs(5)).expect("read").without_grounds;
        assert!(lacking(&mut bench).is_empty());
        bench
            .store
            .write(|t| Ok(t.execute("UPDATE people SET consent_ref = NULL, expires_ms = NULL", [])?))
            .expect("old");
        assert_eq!(lacking(&mut bench), [person("ann-1")]);
        assert!(!bench.store.person(&person("ann-1")).expect("read").expect("there").grounds.complete());
        bench.store.set_grounds(&person("ann-1"), &grounds(), "uid:7", WallMs(2)).expect("recorded");
        assert!(lacking(&mut bench).is_empty());
        let ann = bench.store.person(&person("ann-1")).expect("read").expect("there");
        assert!(ann.grounds.complete());
        assert_eq!(ann.grounds.consent_ref.as_deref(), Some("HR-7"));
        let told = bench.count("SELECT count(*) FROM audit WHERE action = 'grounds' AND actor = 'uid:7'");
        assert_eq!(told, 1);
        assert_eq!(bench.count("SELECT count(*) FROM audit WHERE detail LIKE '%HR-7%'"), 0, "no free text is audited");
    }

    #[test]
    fn a_withdrawal_is_for_good_and_noted_once() {
        let mut bench = enrolled("ann-1");
        let ann = person("ann-1");
        let version = bench.store.gallery_version().expect("read");
        assert_eq!(bench.store.withdraw(&ann, Some("letter 4"), "uid:7", WallMs(2)).expect("done"), Withdrawal::Now);
        assert!(bench.store.gallery_version().expect("read") > version, "a running daemon notices");
        let again = bench.store.withdraw(&ann, None, "uid:8", WallMs(3)).expect("done");
        assert_eq!(again, Withdrawal::Before(WallMs(2)));
        let noted = "SELECT count(*) FROM audit WHERE action = 'withdraw' AND detail LIKE '%letter 4%'";
        assert_eq!((bench.count(noted), bench.count("SELECT count(*) FROM audit WHERE action = 'withdraw'")), (1, 1));
        assert!(bench.store.withdraw(&person("bob-1"), None, "uid:7", WallMs(4)).is_err());
    }

    #[test]
    fn new_grounds_do_not_bring_back_who_withdrew() {
        let mut bench = enrolled("ann-1");
        bench.store.set_status(&person("ann-1"), PersonStatus::Withdrawn, "uid:7", WallMs(2)).expect("withdrawn");
        let error = bench.store.set_grounds(&person("ann-1"), &grounds(), "uid:7", WallMs(3)).expect_err("refused");
        assert!(error.to_string().contains("withdrew"), "{error}");
    }
}
