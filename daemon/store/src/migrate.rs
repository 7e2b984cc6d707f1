//! Schema versions. A file says which it has (`user_version`), and each step takes it up by one in one transaction, so a
//! crash leaves it at one version or the next. Files of a newer program are refused unchanged.

use crate::error::{Fault, StoreError};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// `application_id` of our files: "SEKI".
pub const APPLICATION_ID: i32 = 0x5345_4B49;
/// The schema this program writes.
pub const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// Step `n` (counted from 0) takes a file from version `n` to `n + 1`. Steps are only ever added.
const STEPS: &[&str] =
    &[include_str!("schema.sql"), include_str!("step_2.sql"), include_str!("step_3.sql"), include_str!("step_4.sql")];

/// The version of the open file; 0 when it has no tables yet. Reads only, so that foreign and newer files stay untouched.
///
/// # Errors
/// [`StoreError::NotOurs`], [`StoreError::NewerSchema`] or what SQLite said.
pub(crate) fn identify(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    identify_against(connection, path, SCHEMA_VERSION)
}

fn identify_against(connection: &Connection, path: &Path, known: i64) -> Result<i64, StoreError> {
    let (application, found, tables) = connection
        .query_row(
            "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
                    (SELECT count(*) FROM sqlite_schema)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)),
        )
        .map_err(|error| Fault::Sql(error).at(path))?;
    if tables == 0 && application == 0 && found == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(StoreError::NotOurs {
            path: path.into(),
            detail: format!("its application id is {application:#x}"),
        });
    }
    if found > known {
        return Err(StoreError::NewerSchema { path: path.into(), found, known });
    }
    if found < 1 {
        return Err(StoreError::NotOurs { path: path.into(), detail: format!("its schema version is {found}") });
    }
    Ok(found)
}

/// Applies the steps that are missing.
///
/// # Errors
/// What SQLite said; the file is then at the last version whose step committed.
pub(crate) fn bring_up_to_date(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    apply(connection, path, STEPS)
}

fn apply(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    for (sql, to) in steps.iter().zip(1_i64..) {
        if identify_against(connection, path, known)? >= to {
            continue;
        }
        let mut step = || -> Result<bool, Fault> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Asked again under the write lock: another process may have done this step meanwhile.
            if identify_against(&transaction, path, known)? >= to {
                return Ok(false);
            }
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", to)?;
            transaction.commit()?;
            Ok(true)
        };
        if step().map_err(|fault| fault.at(path))? {
            tracing::info!(path = %path.display(), version = to, "schema brought up to date");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::testing::{KEY, key};

    /// What a later release will look like: a new column, a new table, content carried over.
    const NEXT: &str = "ALTER TABLE people ADD COLUMN note TEXT;
        CREATE TABLE tombstones (person TEXT NOT NULL PRIMARY KEY) STRICT;
        INSERT INTO meta (key, value) VALUES ('moved', (SELECT count(*) FROM people));";

    fn open_plain(path: &Path) -> Connection {
        let connection = Connection::open(path).expect("open");
        connection.execute_batch(&crate::DbKey::from_bytes(KEY).pragma()).expect("key");
        connection
    }

    fn shape(connection: &Connection) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
            .expect("prepared");
        let mut shape: Vec<String> =
            statement.query_map([], |row| row.get(0)).expect("query").map(|row| row.expect("row")).collect();
        for pragma in ["user_version", "application_id", "auto_vacuum"] {
            let value: i64 = connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).expect("pragma");
            shape.push(format!("{pragma} {value}"));
        }
        shape
    }

    #[test]
    fn the_oldest_schema_upgrades_to_what_a_fresh_file_has() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (old, fresh) = (dir.path().join("old"), dir.path().join("fresh"));
        let steps: Vec<&str> = STEPS.iter().copied().chain([NEXT]).collect();

        let mut connection = open_plain(&old);
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").expect("mode");
        apply(&mut connection, &old, &STEPS[..1]).expect("version 1");
        connection
            .execute_batch(
                "INSERT INTO people (id, list, status_ms, enrolled_ms, enrolled_by) VALUES ('ann-1', 'staff', 1, 1, 'uid:0')",
            )
            .expect("content");
        drop(connection);
        let mut connection = open_plain(&old);
        apply(&mut connection, &old, &steps).expect("upgraded");
        let upgraded = shape(&connection);
        let carried: String =
            connection.query_row("SELECT value FROM meta WHERE key = 'moved'", [], |row| row.get(0)).expect("carried");

        let mut connection = open_plain(&fresh);
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").expect("mode");
        apply(&mut connection, &fresh, &steps).expect("fresh");
        assert_eq!(upgraded, shape(&connection));
        assert_eq!(carried, "1", "the rows were there when the step ran");
        assert!(upgraded.contains(&format!("user_version {}", steps.len())));
    }

    #[test]
    fn the_store_itself_makes_that_fresh_file() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (ours, steps) = (dir.path().join("ours"), dir.path().join("steps"));
        Store::create_or_open(&ours, key()).expect("made").close().expect("closed");
        let mut connection = open_plain(&steps);
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").expect("mode");
        apply(&mut connection, &steps, STEPS).expect("steps");
        assert_eq!(shape(&open_plain(&ours)), shape(&connection));
    }

    #[test]
    fn a_failing_step_leaves_the_version_before_it() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db");
        Store::create_or_open(&path, key()).expect("made").close().expect("closed");
        let before = shape(&open_plain(&path));
        let half = "CREATE TABLE half (x INTEGER) STRICT; INSERT INTO nowhere VALUES (1);";
        let broken: Vec<&str> = STEPS.iter().copied().chain([half]).collect();
        let mut connection = open_plain(&path);
        apply(&mut connection, &path, &broken).expect_err("the step fails");
        assert_eq!(shape(&connection), before);
        drop(connection);
        Store::open_existing(&path, key()).expect("still ours");
    }

    #[test]
    fn a_newer_file_is_refused_unchanged() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db");
        Store::create_or_open(&path, key()).expect("made").close().expect("closed");
        let connection = open_plain(&path);
        connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("set");
        connection.close().expect("closed");
        let bytes = std::fs::read(&path).expect("read");
        let error = Store::create_or_open(&path, key()).expect_err("refused");
        assert!(matches!(error, StoreError::NewerSchema { found, known, .. } if found == known + 1), "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), bytes, "the file was touched");
    }

    #[test]
    fn a_foreign_file_is_refused_unchanged() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db");
        let connection = open_plain(&path);
        connection.execute_batch("CREATE TABLE other (x)").expect("other");
        connection.close().expect("closed");
        let bytes = std::fs::read(&path).expect("read");
        assert!(matches!(Store::create_or_open(&path, key()), Err(StoreError::NotOurs { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), bytes);

        let plain = dir.path().join("plain");
        Connection::open(&plain).expect("open").execute_batch("CREATE TABLE other (x)").expect("other");
        let error = Store::create_or_open(&plain, key()).expect_err("refused").to_string();
        assert!(error.contains("not encrypted"), "{error}");
    }
}
