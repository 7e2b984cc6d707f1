//! Opening the database, with every setting that safety rests on set and read back on every connection.

use crate::disk::{Ballast, Space};
use crate::erase::OnStep;
use crate::error::{Fault, StoreError};
use crate::key::{DbKey, KeySource};
use crate::keyring::Keyring;
use crate::migrate;
use crate::sign::SigningKey;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
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
pub(crate) const CHECKPOINT_PAGES: i64 = 64;
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
    const fn key(&self) -> Option<&DbKey> {
        match self {
            Self::Key(key) => Some(key),
            #[cfg(test)]
            Self::None => None,
        }
    }
}

/// The open store. One owner; move it into a [`StoreThread`](crate::StoreThread) to share it.
pub struct Store {
    /// Absent only between a failed [`reopen`](Self::reopen) and the next one that succeeds.
    connection: Option<Connection>,
    path: PathBuf,
    cipher: Cipher,
    /// Set when an error makes the open descriptors untrustworthy; the next use opens the file anew.
    spoiled: bool,
    /// The row of `runs` this process writes under.
    pub(crate) run: Option<i64>,
    /// What people's photographs, templates and pictures are sealed with.
    pub(crate) keyring: Keyring,
    /// Who is told of each step of an erasure.
    pub(crate) on_step: Option<OnStep>,
    /// What receipts and the trail's heads are signed with; absent in tools that sign nothing.
    pub(crate) signing: Option<SigningKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Refuse,
}

impl Store {
    /// Opens the database at `path`, or makes it (mode 0600, in a directory of mode 0700) with the present schema. An older
    /// schema is brought up to date.
    ///
    /// # Errors
    /// [`StoreError`]; each variant says what to do.
    pub fn create_or_open(path: &Path, key: DbKey) -> Result<Self, StoreError> {
        Self::open(path, Cipher::Key(key), Missing::Create)
    }

    /// Opens the database at `path`; never makes one.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; otherwise as [`create_or_open`](Self::create_or_open).
    pub fn open_existing(path: &Path, key: DbKey) -> Result<Self, StoreError> {
        Self::open(path, Cipher::Key(key), Missing::Refuse)
    }

    /// The same without encryption.
    #[cfg(test)]
    pub(crate) fn create_or_open_plain(path: &Path) -> Result<Self, StoreError> {
        Self::open(path, Cipher::None, Missing::Create)
    }

    fn open(path: &Path, cipher: Cipher, missing: Missing) -> Result<Self, StoreError> {
        let connection = connect_making_room(path, &cipher, missing)?;
        let keyring = Keyring::beside(path, cipher.key());
        Ok(Self {
            connection: Some(connection),
            path: path.into(),
            cipher,
            spoiled: false,
            run: None,
            keyring,
            on_step: None,
            signing: None,
        })
    }

    /// Closes every descriptor and opens the database again. Done by itself after an I/O error, before the next use.
    ///
    /// After a failed sync the kernel may count pages as written that never reached the disk; read back, they look whole. So
    /// everything the log holds is copied into the database anew and synced there before any of it counts as stored.
    ///
    /// # Errors
    /// As [`open_existing`](Self::open_existing), and [`StoreError::Busy`] while a reader elsewhere keeps the log from being
    /// copied. The store stays usable: every later call tries to open again.
    pub fn reopen(&mut self) -> Result<(), StoreError> {
        self.spoiled = true;
        // Closed before it is opened: the shared-memory file is only mapped anew once its last user is gone.
        drop(self.connection.take());
        let connection = connect_making_room(&self.path, &self.cipher, Missing::Refuse)?;
        if !fold_back(&connection).map_err(|fault| fault.at(&self.path))? {
            return Err(StoreError::Busy { path: self.path.clone(), waited_ms: BUSY_MS });
        }
        self.connection = Some(connection);
        self.spoiled = false;
        Ok(())
    }

    /// Encrypts the whole database, and the keys of people, with `next` from now on. To be called while nobody else has the
    /// database open. A crash leaves it readable with the old key or with the next: whoever opens it tries both until
    /// [`DbKey::install_next`] was called.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while another process reads; otherwise the state of the disk.
    pub fn change_key(&mut self, next: DbKey) -> Result<(), StoreError> {
        let lock = self.keyring.lock()?;
        self.keyring.open_to_next(&lock, &next)?;
        if !self.checkpoint()? {
            return Err(StoreError::Busy { path: self.path.clone(), waited_ms: BUSY_MS });
        }
        self.read(|connection| Ok(connection.execute_batch(&next.pragma_rekey())?))?;
        self.keyring.close_to_others(&lock, &next)?;
        self.cipher = Cipher::Key(next);
        // Opened anew, so that it is proven to open.
        self.reopen()
    }

    /// Where the key of the database came from.
    #[must_use]
    pub const fn key_source(&self) -> KeySource {
        match &self.cipher {
            Cipher::Key(key) => key.source(),
            #[cfg(test)]
            Cipher::None => KeySource::Given,
        }
    }

    /// Where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Room where the database is.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn space(&self) -> Result<Space, StoreError> {
        Space::measure(&self.path)
    }

    /// SQLite's counter of commits by *other* connections: as long as two calls give the same value, no other process has
    /// changed anything. Costs no disk access.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn data_version(&mut self) -> Result<i64, StoreError> {
        self.read(|connection| Ok(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?))
    }

    /// Checks the whole file: structure, indexes, constraints, foreign keys. Returns what is wrong, at most 100 lines, empty
    /// when all is well. Reads everything; for idle times.
    ///
    /// # Errors
    /// [`StoreError`] when the check itself could not run.
    pub fn integrity_check(&mut self) -> Result<Vec<String>, StoreError> {
        self.read(|connection| {
            let mut findings = lines(connection, "PRAGMA integrity_check(100)")?;
            findings.retain(|line| line != "ok");
            let orphans: i64 =
                connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
            if orphans > 0 {
                findings.push(format!("{orphans} rows refer to rows that are not there"));
            }
            Ok(findings)
        })
    }

    /// Folds the whole log back into the database and cuts it to nothing. False when a reader in another process kept some
    /// of it in use; it is then done by a later checkpoint.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn checkpoint(&mut self) -> Result<bool, StoreError> {
        self.read(fold_back)
    }

    /// Folds the log back and closes the file.
    ///
    /// # Errors
    /// [`StoreError`] when the log could not be folded back; nothing is lost, the next start does it.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.checkpoint()?;
        match self.connection.take().map(Connection::close) {
            Some(Err((_, error))) => Err(Fault::Sql(error).at(&self.path)),
            None | Some(Ok(())) => Ok(()),
        }
    }

    /// Makes the next use open the file anew, as after an I/O error.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.spoiled = true;
    }

    fn ready(&mut self) -> Result<(), StoreError> {
        if self.spoiled || self.connection.is_none() { self.reopen() } else { Ok(()) }
    }

    fn settle<T>(&mut self, result: Result<T, Fault>) -> Result<T, StoreError> {
        result.map_err(|fault| {
            let error = fault.at(&self.path);
            self.spoiled |= error.spoils_connection();
            error
        })
    }

    /// Runs `work` in one transaction that holds the write lock from its beginning.
    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.ready()?;
        let Some(connection) = self.connection.as_mut() else {
            return Err(StoreError::Absent { path: self.path.clone() });
        };
        let result = (|| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        self.settle(result)
    }

    /// Runs `work` on the connection, outside any transaction.
    pub(crate) fn read<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.ready()?;
        let Some(connection) = self.connection.as_ref() else {
            return Err(StoreError::Absent { path: self.path.clone() });
        };
        let result = work(connection);
        self.settle(result)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).field("spoiled", &self.spoiled).finish_non_exhaustive()
    }
}

/// Opening needs a little room itself (the shared-memory file), so a daemon that restarts on a full disk could not even
/// start to put things right. It gives up the ballast for that, as it would have done while running.
fn connect_making_room(path: &Path, cipher: &Cipher, missing: Missing) -> Result<Connection, StoreError> {
    let first = connect(path, cipher, missing);
    if !matches!(first, Err(StoreError::DiskFull { .. })) || !Ballast::beside(path, 0).release().unwrap_or(false) {
        return first;
    }
    tracing::warn!(path = %path.display(), "the disk is full; the reserve was given up to open the database, free some space soon");
    connect(path, cipher, missing)
}

fn connect(path: &Path, cipher: &Cipher, missing: Missing) -> Result<Connection, StoreError> {
    prepare_files(path, missing)?;
    refuse_plain_file(path, cipher)?;
    // Without the CREATE flag: the file exists by now, and one that vanishes in between must not come back empty.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| Fault::Sql(error).at(path))?;
    unlock(&connection, cipher).map_err(|fault| fault.at(path))?;
    if connection.is_readonly("main").map_err(|error| Fault::Sql(error).at(path))? {
        return Err(StoreError::ReadOnly { path: path.into(), detail: "it could only be opened for reading".into() });
    }
    let found = migrate::identify(&connection, path)?;
    if found == 0 {
        if missing == Missing::Refuse && fs::metadata(path).is_ok_and(|about| about.len() == 0) {
            return Err(StoreError::Absent { path: path.into() });
        }
        // Only possible before the first table exists.
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(|error| Fault::Sql(error).at(path))?;
    }
    settle_settings(&connection, path)?;
    migrate::bring_up_to_date(&mut connection, path)?;
    check_at_start(&connection, path)?;
    Ok(connection)
}

/// Makes or inspects the directory and the file: private modes, writable, and an answer in words when not.
fn prepare_files(path: &Path, missing: Missing) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if missing == Missing::Create && !directory.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| StoreError::io(directory, "making the directory", error))?;
    }
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => make_private(&file, path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if missing == Missing::Refuse {
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

fn settle_settings(connection: &Connection, path: &Path) -> Result<(), StoreError> {
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
    for (name, value, wanted) in settings {
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

/// A count from column `index`. SQLite has no unsigned numbers; a count is never negative.
pub(crate) fn count_at(row: &rusqlite::Row<'_>, index: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(index).map(|count| u64::try_from(count).unwrap_or(0))
}

/// Whether the whole log is in the database now.
fn fold_back(connection: &Connection) -> Result<bool, Fault> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

fn lines(connection: &Connection, sql: &str) -> Result<Vec<String>, rusqlite::Error> {
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
