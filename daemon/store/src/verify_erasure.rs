//! Whether an erasure left nothing: what the database itself can say, and where its files are.

use crate::erase::{Erasure, ErasureStep};
use crate::error::StoreError;
use crate::needles::Needles;
use crate::open::{Store, count_at};
use crate::receipt::{ReceiptVerdict, receipt_verdict};
use rusqlite::types::ValueRef;
use sekisho_logic::id::PersonId;
use std::path::PathBuf;

/// What is left of somebody in the database and its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureCheck {
    /// The erasure; `None` when there was none.
    pub erasure: Option<Erasure>,
    /// Whether somebody is enrolled under this id since; what is theirs is not counted here.
    pub enrolled_again: bool,
    /// Rows of people, photographs, templates and pictures.
    pub rows: u64,
    /// Alerts and lines of the journal that tell the id.
    pub alerts: u64,
    /// Messages about them to receivers that are not delivered yet, or given up.
    pub deliveries: u64,
    /// Whether their key is in the key ring.
    pub key: bool,
    /// Pages of the database that are free and not given back.
    pub free_pages: u64,
    /// Bytes in the log after it was folded back: more than none while another process reads.
    pub log_bytes: u64,
    /// Whether the receipt is what was signed; `None` without one.
    pub receipt: Option<ReceiptVerdict>,
}

impl ErasureCheck {
    /// Whether nothing is left and the receipt says so.
    #[must_use]
    pub fn proven(&self) -> bool {
        self.erasure.as_ref().is_some_and(|erasure| erasure.step == ErasureStep::Done)
            && (self.rows, self.alerts, self.deliveries, self.free_pages, self.log_bytes) == (0, 0, 0, 0, 0)
            && !self.key
            && self.receipt == Some(ReceiptVerdict::Valid)
    }
}

impl Store {
    /// Looks for what is left of an erased person. Gives freed pages back and folds the log back first, as far as readers in
    /// other processes allow.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn check_erasure(&mut self, person: &PersonId) -> Result<ErasureCheck, StoreError> {
        self.scrub(person);
        let erasure = self.newest_erasure(person)?;
        let id = person.as_str();
        let asked = erasure.as_ref().map_or(i64::MAX, |erasure| erasure.asked.0);
        let enrolled_again = self.person(person)?.is_some_and(|person| person.enrolled.0 > asked);
        let until = if enrolled_again { asked } else { i64::MAX };
        let (rows, alerts, deliveries, free_pages) = self.read(|connection| {
            let count = |sql: &str| connection.query_row(sql, rusqlite::params![id, until], |row| count_at(row, 0));
            let rows = count(
                "SELECT (SELECT count(*) FROM people WHERE id = ?1 AND enrolled_ms <= ?2)
                    + (SELECT count(*) FROM photos WHERE person = ?1 AND added_ms <= ?2)
                    + (SELECT count(*) FROM templates WHERE person = ?1 AND added_ms <= ?2)
                    + (SELECT count(*) FROM evidence WHERE person = ?1 AND taken_ms <= ?2)
                    + (SELECT count(*) FROM suspensions WHERE kind = 'person' AND subject = ?1 AND since_ms <= ?2)",
            )?;
            let alerts = count(
                "SELECT (SELECT count(*) FROM alerts WHERE person = ?1 AND opened_ms <= ?2)
                    + (SELECT count(*) FROM journal WHERE json_extract(after, '$.opened') <= ?2
                       AND (json_extract(after, '$.person') = ?1 OR json_extract(before, '$.person') = ?1))",
            )?;
            let deliveries = count(
                "SELECT count(*) FROM outbox WHERE state <> 'delivered'
                 AND alert IN (SELECT id FROM alerts WHERE person = ?1 AND opened_ms <= ?2)",
            )?;
            let free = connection.query_row("PRAGMA freelist_count", [], |row| count_at(row, 0))?;
            Ok((rows, alerts, deliveries, free))
        })?;
        let key = self.ring()?.knows(id) && !enrolled_again;
        let log = self.files().into_iter().nth(1).and_then(|log| std::fs::metadata(log).ok());
        let receipt = erasure.as_ref().and_then(|erasure| erasure.receipt.as_deref()).map(receipt_verdict);
        let log_bytes = log.map_or(0, |about| about.len());
        Ok(ErasureCheck { erasure, enrolled_again, rows, alerts, deliveries, key, free_pages, log_bytes, receipt })
    }

    /// How many of the needles are in any value of any row, as SQL sees them: decrypted, but as sealed as they are stored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn rows_holding(&mut self, needles: &Needles) -> Result<usize, StoreError> {
        self.read(|connection| {
            let tables: Vec<String> = connection
                .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
                .query_map([], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut found = 0;
            for table in tables {
                let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\""))?;
                let columns = statement.column_count();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    for column in 0..columns {
                        found += match row.get_ref(column)? {
                            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => needles.found_in(bytes),
                            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
                        };
                    }
                }
            }
            Ok(found)
        })
    }

    /// The files of this store, there or not: database, log, shared memory, keys, and the list of erased people.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 5] {
        let beside = |ending: &str| {
            let mut name = self.path().file_name().unwrap_or_default().to_os_string();
            name.push(ending);
            self.path().with_file_name(name)
        };
        [
            self.path().to_path_buf(),
            beside("-wal"),
            beside("-shm"),
            self.keyring_path().to_path_buf(),
            self.path().with_file_name("erased.ndjson"),
        ]
    }
}
