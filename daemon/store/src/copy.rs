//! A copy of the database as it is at one moment, while others go on writing; and what is in one, in numbers.

use crate::audit::head;
use crate::error::{Fault, StoreError};
use crate::open::Store;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What there is of each kind of data: table, what marks it, and the column that says when.
const CLASSES: &[(&str, &str, &str)] = &[
    ("people", "people", "enrolled_ms"),
    ("enrolment-photographs", "photos", "added_ms"),
    ("templates", "templates", "added_ms"),
    ("alerts", "alerts", "opened_ms"),
    ("journal", "journal", "wall_ms"),
    ("votes", "votes", "wall_ms"),
    ("evidence-pictures", "evidence", "taken_ms"),
    ("deliveries", "outbox", "created_ms"),
    ("suspensions", "suspensions", "since_ms"),
    ("reviewers", "reviewers", "added_ms"),
    ("audit", "audit", "wall_ms"),
];

impl Store {
    /// Writes a copy of the database to a new file at `path` (mode 0600), encrypted with the same key, without free pages and
    /// without what was erased. Others may read and write meanwhile; the copy is of the moment it began.
    ///
    /// # Errors
    /// [`StoreError`] when the file is there already or cannot be written; what was begun of it is then removed.
    pub fn copy_to(&mut self, path: &Path) -> Result<(), StoreError> {
        let refused = |error| StoreError::io(path, "making the copy", error);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(refused)?;
        let target = path.to_string_lossy().into_owned();
        let copied = self.read(|connection| {
            connection.execute("VACUUM INTO ?1", [&target]).map_err(|error| match Fault::Sql(error).at(path) {
                // The database itself is well.
                StoreError::Corrupt { detail, .. } => StoreError::refused(format!("{}: {detail}", path.display())),
                other => other,
            })?;
            Ok(())
        });
        let copied = copied.and_then(|()| File::open(path).and_then(|file| file.sync_all()).map_err(refused));
        if copied.is_err() {
            // It is no use to anybody; the first error is the one to tell.
            let _gone = std::fs::remove_file(path);
        }
        copied
    }

    /// What is in the database, class by class: how many, and the first and the last time. Nothing about anybody.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn classes(&mut self) -> Result<Vec<DataClass>, StoreError> {
        self.read(|connection| {
            let one = |(name, table, column): &(&'static str, &'static str, &'static str)| {
                let sql = format!("SELECT count(*), min({column}), max({column}) FROM {table}");
                Ok(connection.query_row(&sql, [], |row| {
                    let count: i64 = row.get(0)?;
                    Ok(DataClass {
                        name: (*name).into(),
                        count: count.unsigned_abs(),
                        first_ms: row.get(1)?,
                        last_ms: row.get(2)?,
                    })
                })?)
            };
            CLASSES.iter().map(one).collect()
        })
    }

    /// The same as one JSON object with the audit trail's head, to compare a copy with what it was made of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn inventory(&mut self) -> Result<Value, StoreError> {
        let counts: serde_json::Map<_, _> =
            self.classes()?.into_iter().map(|class| (class.name.into_owned(), json!(class.count))).collect();
        let (seq, hash) = self.read(head)?;
        let schema: i64 = self.read(|c| Ok(c.query_row("PRAGMA user_version", [], |row| row.get(0))?))?;
        Ok(json!({ "schema": schema, "counts": counts, "audit-seq": seq, "audit-head": hex::encode(hash) }))
    }

    /// What went to each sink, delivered or still to be delivered, and when last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn received_by_sinks(&mut self) -> Result<Vec<DataClass>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT sink, count(*), min(changed_ms), max(changed_ms) FROM outbox WHERE state = 'delivered'
                       GROUP BY sink ORDER BY sink";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let count: i64 = row.get(1)?;
                let name: String = row.get(0)?;
                Ok(DataClass {
                    name: name.into(),
                    count: count.unsigned_abs(),
                    first_ms: row.get(2)?,
                    last_ms: row.get(3)?,
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

/// How much there is of something, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataClass {
    /// What.
    pub name: std::borrow::Cow<'static, str>,
    /// How many.
    pub count: u64,
    /// The first, in milliseconds since 1970.
    pub first_ms: Option<i64>,
    /// The last.
    pub last_ms: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, enrolment, key, story};
    use sekisho_logic::time::WallMs;

    #[test]
    fn a_copy_opens_with_the_same_key_alone_and_holds_the_same() {
        let mut bench = Bench::new();
        bench.store.enrol(crate::Enrol::Add, &enrolment("ann-1"), "uid:0", WallMs(1)).expect("enrolled");
        let copy = bench.dir.path().join("copy.db");
        let mut other = Store::open_existing(&bench.path(), key()).expect("another process");
        for event in story("a-1") {
            other.append(&event, &["hook"], "daemon").expect("journalled");
        }
        bench.store.copy_to(&copy).expect("copied");
        let wanted = bench.store.inventory().expect("counted");
        other.append(&story("a-2")[0], &[], "daemon").expect("journalled");
        let head = std::fs::read(&copy).expect("read");
        assert!(!head.starts_with(b"SQLite format 3"), "the copy is encrypted");
        assert!(Store::open_existing(&copy, crate::DbKey::from_bytes([1; 32])).is_err());
        let mut copied = Store::open_existing(&copy, key()).expect("opened");
        assert_eq!(copied.integrity_check().expect("checked"), Vec::<String>::new());
        assert_eq!(copied.inventory().expect("counted"), wanted);
        assert!(matches!(copied.audit_verify().expect("verified").verdict, crate::AuditVerdict::Intact { .. }));
        assert!(bench.store.copy_to(&copy).is_err(), "never over a file that is there");
    }
}
