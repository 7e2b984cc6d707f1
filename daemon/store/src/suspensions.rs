//! People and cameras whose alerts are held back, across restarts.

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::open::Store;
use rusqlite::params;
use sekisho_logic::suspension::{Subject, Suspension};
use sekisho_logic::time::WallMs;
use serde_json::json;

impl Store {
    /// Notes a suspension. Nothing when the subject is suspended already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn suspend(&mut self, one: &Suspension) -> Result<(), StoreError> {
        self.write(|transaction| {
            let (kind, id) = (one.subject.kind(), one.subject.id());
            let new = transaction.execute(
                "INSERT INTO suspensions (kind, subject, since_ms, rejected, decided) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, subject) WHERE lifted_ms IS NULL DO NOTHING",
                params![kind, id, one.since.0, one.rejected, one.decided],
            )?;
            if new == 1 {
                let detail = json!({ "kind": kind, "rejected": one.rejected, "decided": one.decided });
                let entry = Entry { wall: one.since, actor: "daemon", action: "suspend", subject: Some(id), detail };
                audit::record(transaction, &entry)?;
            }
            Ok(())
        })
    }

    /// Ends a suspension. False when there was none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lift_suspension(&mut self, subject: &Subject, actor: &str, now: WallMs) -> Result<bool, StoreError> {
        self.write(|transaction| {
            let (kind, id) = (subject.kind(), subject.id());
            let lifted = transaction.execute(
                "UPDATE suspensions SET lifted_ms = ?3, lifted_by = ?4
                 WHERE kind = ?1 AND subject = ?2 AND lifted_ms IS NULL",
                params![kind, id, now.0, actor],
            )?;
            if lifted == 1 {
                let detail = json!({ "kind": kind });
                audit::record(transaction, &Entry { wall: now, actor, action: "lift", subject: Some(id), detail })?;
            }
            Ok(lifted == 1)
        })
    }

    /// What is suspended, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn suspensions(&mut self) -> Result<Vec<Suspension>, StoreError> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT kind, subject, since_ms, rejected, decided FROM suspensions WHERE lifted_ms IS NULL ORDER BY id",
            )?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                // An id that is no id belongs to nobody who could be matched.
                let subject = Subject::parse(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
                let (since, rejected, decided) = (WallMs(row.get(2)?), row.get(3)?, row.get(4)?);
                found.extend(subject.map(|subject| Suspension { subject, since, rejected, decided }));
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, person};
    use sekisho_logic::id::CameraId;

    #[test]
    fn a_suspension_lasts_over_restarts_until_somebody_lifts_it_and_both_are_audited() {
        let mut bench = Bench::new();
        let ann = Subject::Person(person("ann-1"));
        let gate = Subject::Camera(CameraId::try_new("gate").expect("name"));
        let one = |subject: &Subject, at| Suspension { subject: subject.clone(), since: at, rejected: 7, decided: 9 };
        for at in [WallMs(10), WallMs(20)] {
            bench.store.suspend(&one(&ann, at)).expect("noted");
        }
        bench.store.suspend(&one(&gate, WallMs(30))).expect("noted");
        bench.reload();
        assert_eq!(bench.store.suspensions().expect("read"), [one(&ann, WallMs(10)), one(&gate, WallMs(30))]);
        assert!(bench.store.lift_suspension(&ann, "uid:7", WallMs(40)).expect("lifted"));
        assert!(!bench.store.lift_suspension(&ann, "uid:7", WallMs(50)).expect("nothing to lift"));
        assert_eq!(bench.store.suspensions().expect("read"), [one(&gate, WallMs(30))]);
        bench.store.suspend(&one(&ann, WallMs(60))).expect("again");
        assert_eq!(bench.count("SELECT count(*) FROM suspensions"), 3, "history is kept");
        assert_eq!(bench.count("SELECT count(*) FROM audit WHERE action IN ('suspend', 'lift')"), 4);
    }
}
