//! Connecting to the database, with every setting that safety rests on set and read back on every connection.

use crate::disk::Ballast;
use crate::error::{Fault, StoreError};
use crate::key::DbKey;
use crate::migrate;
use crate::own_file::open_own;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a connection waits for another process before it gives up. The longest thing a tool does in one transaction
/// is storing one person's photos, tens of milliseconds.
pub(crate) const BUSY_MS: u64 = 5000;
/// The log is folded back into the database once it has this many pages (of 4 KiB): at most about 260 KiB of log, so that
/// a small ballast is enough to get going again on a full disk, and erased bytes do not stay in the log for long.
const CHECKPOINT_PAGES: i64 = 64;
/// After a large transaction (photos) the log file is cut back to this size when it is next reset.
const LOG_BYTES_MAX: i64 = 1024 * 1024;
/// Up to this size the whole file is checked at start; above it, everything but the pages of photos and pictures. Reading and decrypting
/// runs at some hundred megabytes a second, and the cold start has three seconds in all.
const FULL_CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What makes the file readable.
pub(crate) enum Cipher {
    Key(DbKey),
    /// Plain SQLite, so that a test can look for erased bytes in the files.
    #[cfg(test)]
    None,
}

impl Cipher {
    pub(crate) const fn key(&self) -> Option<&DbKey> {
        match self {
            Self::Key(key) => Some(key),
            #[cfg(test)]
            Self::None => None,
        }
    }
}

/// What the database is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Work; it is made where there is none.
    Create,
    /// Work; it must be there.
    Open,
    /// Looking: it must be there, and stays as it is.
    Look,
}

/// Opening needs a little room itself (the shared-memory file), so a daemon that restarts on a full disk could not even
/// start to put things right. It gives up the ballast for that, as it would have done while running.
pub(crate) fn connect_making_room(path: &Path, cipher: &Cipher, intent: Intent) -> Result<Connection, StoreError> {
    let first = connect(path, cipher, intent);
    if intent == Intent::Look
        || !matches!(first, Err(StoreError::DiskFull { .. }))
        || !Ballast::beside(path, 0).release().unwrap_or(false)
    {
        return first;
    }
    tracing::warn!(path = %path.display(), "the disk is full; the reserve was given up to open the database, free some space soon");
    connect(path, cipher, intent)
}

fn connect(path: &Path, cipher: &Cipher, intent: Intent) -> Result<Connection, StoreError> {
    prepare_files(path, intent)?;
    refuse_plain_file(path, cipher)?;
    // Without the CREATE flag: the file exists by now, and one that vanishes in between must not come back empty.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let log_holds_something = fs::metadata(log_of(path)).is_ok_and(|about| about.len() > 0);
    let mut connection =
        Connection::open_with_flags(without_links(path)?, flags).map_err(|error| Fault::Sql(error).at(path))?;
    unlock(&connection, cipher).map_err(|fault| fault.at(path))?;
    if connection.is_readonly("main").map_err(|error| Fault::Sql(error).at(path))? {
        return Err(StoreError::ReadOnly { path: path.into(), detail: "it could only be opened for reading".into() });
    }
    let found = migrate::identify(&connection, path)?;
    if found == 0 {
        let empty = fs::metadata(path).is_ok_and(|about| about.len() == 0);
        if intent == Intent::Look || (intent == Intent::Open && empty) {
            return Err(StoreError::Absent { path: path.into() });
        }
        // Only possible before the first table exists.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(|error| Fault::Sql(error).at(path))?;
    }
    if intent == Intent::Look {
        only_look(&connection, path, log_holds_something)?;
    }
    settle_settings(&connection, path, intent)?;
    match intent {
        Intent::Look if found < migrate::SCHEMA_VERSION => {
            return Err(StoreError::OlderSchema { path: path.into(), found, known: migrate::SCHEMA_VERSION });
        }
        Intent::Look => {}
        Intent::Create | Intent::Open => migrate::bring_up_to_date(&mut connection, path)?,
    }
    check_at_start(&connection, path)?;
    Ok(connection)
}

/// SQLite's log of the database at `path`.
fn log_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// The same file by a path whose directories are no links. SQLite refuses a link anywhere in a path; the administrator may well
/// have put the directory elsewhere by one, and only the file's own name is in the service's hands.
fn without_links(path: &Path) -> Result<PathBuf, StoreError> {
    let directory = directory_of(path);
    let real = fs::canonicalize(directory)
        .map_err(|error| StoreError::io(directory, "finding the directory of the database", error))?;
    Ok(real.join(path.file_name().unwrap_or_default()))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has SQLite refuse every change. The last connection to close folds the log back into the database: an empty log it may, but
/// what a crash left there waits for the next start.
fn only_look(connection: &Connection, path: &Path, log_holds_something: bool) -> Result<(), StoreError> {
    connection
        .pragma_update(None, "query_only", "ON")
        .and_then(|()| connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log_holds_something))
        .map_err(|error| Fault::Sql(error).at(path))
        .map(|_| ())
}

/// Makes or inspects the directory and the file: private modes, writable, and an answer in words when not.
fn prepare_files(path: &Path, intent: Intent) -> Result<(), StoreError> {
    let directory = directory_of(path);
    if intent == Intent::Create && !directory.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| StoreError::io(directory, "making the directory", error))?;
    }
    match open_own(path, OpenOptions::new().read(true).write(true)) {
        Ok(_) if intent == Intent::Look => {}
        Ok(file) => make_private(&file, path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if intent != Intent::Create {
                return Err(StoreError::Absent { path: path.into() });
            }
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)
                .and_then(|file| file.sync_all())
                .and_then(|()| File::open(directory)?.sync_all())
                .map_err(|error| StoreError::io(path, "making the database", error))?;
        }
        Err(error) => return Err(StoreError::io(path, "opening the database", error)),
    }
    let about =
        fs::metadata(directory).map_err(|error| StoreError::io(directory, "inspecting the directory", error))?;
    let mode = about.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(StoreError::Exposed { path: directory.into(), mode });
    }
    // SQLite makes its log beside the database; where it cannot, it fails much later and says less.
    rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)
        .map_err(|error| StoreError::io(directory, "writing to the directory", error))
}

/// SQLite gives the log and the shared-memory file the mode of the database, so this one mode covers all three.
fn make_private(file: &File, path: &Path) -> Result<(), StoreError> {
    let about = file.metadata().map_err(|error| StoreError::io(path, "inspecting the database", error))?;
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"), "the database was open to others; set to 0600");
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .map_err(|error| StoreError::io(path, "closing the database to others", error))?;
    }
    Ok(())
}

/// With a key, SQLCipher reads a plain database as noise and would report a wrong key.
fn refuse_plain_file(path: &Path, cipher: &Cipher) -> Result<(), StoreError> {
    match cipher {
        Cipher::Key(_) => {}
        #[cfg(test)]
        Cipher::None => return Ok(()),
    }
    let mut head = [0_u8; 16];
    let read = File::open(path).and_then(|mut file| file.read(&mut head));
    match read {
        Ok(16) if head.starts_with(b"SQLite format 3\0") => {
            Err(StoreError::NotOurs { path: path.into(), detail: "an SQLite file that is not encrypted".into() })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::io(path, "reading the database", error)),
    }
}

/// Keys the connection, before anything else, and proves the key by reading the first page.
///
/// `cipher_memory_security` stays off. The key itself lies in SQLCipher's own locked memory either way; on, it would also
/// lock and wipe every page buffer, and loading 50 000 templates took 1.6 s instead of 0.5 s (batches 3.6 times as long) on
/// a loaded two-core machine, while the gallery built from those pages stays readable in memory all the same. The service
/// turns off core dumps and swap instead.
fn unlock(connection: &Connection, cipher: &Cipher) -> Result<(), Fault> {
    match cipher {
        Cipher::Key(key) => {
            connection.execute_batch(&key.pragma())?;
            // SQLCipher would print its own lines to standard error; what matters of them comes back as an error.
            connection.execute_batch("PRAGMA cipher_log_level = NONE")?;
        }
        #[cfg(test)]
        Cipher::None => {}
    }
    connection.busy_timeout(Duration::from_millis(BUSY_MS))?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(())
}

fn settle_settings(connection: &Connection, path: &Path, intent: Intent) -> Result<(), StoreError> {
    let settings: [(&'static str, &str, &str); 12] = [
        // A commit returns only once the log is synced: an acknowledged alert survives a power cut.
        ("journal_mode", "WAL", "wal"),
        ("synchronous", "FULL", "2"),
        // Erased bytes are overwritten with zeros, in the pages and in the free space of pages.
        ("secure_delete", "ON", "1"),
        ("foreign_keys", "ON", "1"),
        // So that REPLACE cannot slip past the triggers that keep journal and audit append-only.
        ("recursive_triggers", "ON", "1"),
        ("wal_autocheckpoint", "64", "64"),
        ("journal_size_limit", "1048576", "1048576"),
        ("busy_timeout", "5000", "5000"),
        // Sorting never spills templates into a temporary file.
        ("temp_store", "MEMORY", "2"),
        ("cell_size_check", "ON", "1"),
        // A damaged file must not be able to make us call functions from its schema.
        ("trusted_schema", "OFF", "0"),
        ("auto_vacuum", "", "2"),
    ];
    debug_assert!(settings[5].1 == CHECKPOINT_PAGES.to_string() && settings[6].1 == LOG_BYTES_MAX.to_string());
    // The mode of the log is the file's own and not the connection's; the next start settles it.
    let its_own = usize::from(intent == Intent::Look);
    for (name, value, wanted) in settings.into_iter().skip(its_own) {
        if !value.is_empty() {
            connection
                .pragma_update(None, name, value)
                .or_else(|error| match error {
                    // Some of these answer with the new value; that is no failure.
                    rusqlite::Error::ExecuteReturnedResults => Ok(()),
                    other => Err(other),
                })
                .map_err(|error| Fault::Sql(error).at(path))?;
        }
        let found = connection
            .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .map_err(|error| Fault::Sql(error).at(path))?;
        let found = match found {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        if found != wanted {
            return Err(StoreError::Setting { path: path.into(), setting: name, wanted: wanted.into(), found });
        }
    }
    // Refuses statements that could corrupt the file from within (writing the schema table, shadow tables).
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .map_err(|error| Fault::Sql(error).at(path))
        .map(|_| ())
}

fn check_at_start(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let size = fs::metadata(path).map_or(0, |about| about.len());
    let checks: &[&str] = if size <= FULL_CHECK_BYTES_MAX {
        &["PRAGMA quick_check(1)"]
    } else {
        &[
            "PRAGMA quick_check('sqlite_schema')",
            "PRAGMA quick_check('people')",
            "PRAGMA quick_check('templates')",
            "PRAGMA quick_check('alerts')",
            "PRAGMA quick_check('votes')",
            "PRAGMA quick_check('outbox')",
            "PRAGMA quick_check('audit')",
        ]
    };
    for check in checks {
        let findings = lines(connection, check).map_err(|error| Fault::Sql(error).at(path))?;
        if let Some(detail) = findings.into_iter().find(|line| line != "ok") {
            return Err(StoreError::Corrupt { path: path.into(), detail });
        }
    }
    Ok(())
}

pub(crate) fn lines(connection: &Connection, sql: &str) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}
