//! The open store: the connection, its key, and how work is done on it. How it is connected says [`connect`](crate::connect).

use crate::connect::{BUSY_MS, Cipher, Intent, connect_making_room, lines};
use crate::disk::Space;
use crate::erase::OnStep;
use crate::error::{Fault, StoreError};
use crate::key::{DbKey, KeySource};
use crate::keyring::Keyring;
use crate::sign::SigningKey;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// The open store. One owner; move it into a [`StoreThread`](crate::StoreThread) to share it.
pub struct Store {
    /// Absent only between a failed [`reopen`](Self::reopen) and the next one that succeeds.
    connection: Option<Connection>,
    path: PathBuf,
    cipher: Cipher,
    /// Set when an error makes the open descriptors untrustworthy; the next use opens the file anew.
    spoiled: bool,
    /// How it is opened anew.
    again: Intent,
    /// The row of `runs` this process writes under.
    pub(crate) run: Option<i64>,
    /// What people's photographs, templates and pictures are sealed with.
    pub(crate) keyring: Keyring,
    /// Who is told of each step of an erasure.
    pub(crate) on_step: Option<OnStep>,
    /// What receipts and the trail's heads are signed with; absent in tools that sign nothing.
    pub(crate) signing: Option<SigningKey>,
}

impl Store {
    /// Opens the database at `path`, or makes it (mode 0600, in a directory of mode 0700) with the present schema. An older
    /// schema is brought up to date.
    ///
    /// # Errors
    /// [`StoreError`]; each variant says what to do.
    pub fn create_or_open(path: &Path, key: DbKey) -> Result<Self, StoreError> {
        Self::open(path, Cipher::Key(key), Intent::Create)
    }

    /// Opens the database at `path`; never makes one.
    ///
    /// # Errors
    /// [`StoreError::Absent`] when there is none; otherwise as [`create_or_open`](Self::create_or_open).
    pub fn open_existing(path: &Path, key: DbKey) -> Result<Self, StoreError> {
        Self::open(path, Cipher::Key(key), Intent::Open)
    }

    /// Opens the database at `path` for looking: neither its content nor its form, mode or log is changed, and whatever would
    /// change it is refused.
    ///
    /// # Errors
    /// [`StoreError::OlderSchema`] where it would have to be brought up to date first; otherwise as
    /// [`open_existing`](Self::open_existing).
    pub fn open_to_look(path: &Path, key: DbKey) -> Result<Self, StoreError> {
        Self::open(path, Cipher::Key(key), Intent::Look)
    }

    /// [`create_or_open`](Self::create_or_open) without encryption.
    #[cfg(test)]
    pub(crate) fn create_or_open_plain(path: &Path) -> Result<Self, StoreError> {
        Self::open(path, Cipher::None, Intent::Create)
    }

    fn open(path: &Path, cipher: Cipher, intent: Intent) -> Result<Self, StoreError> {
        let connection = connect_making_room(path, &cipher, intent)?;
        let keyring = Keyring::beside(path, cipher.key());
        Ok(Self {
            connection: Some(connection),
            path: path.into(),
            cipher,
            spoiled: false,
            again: if intent == Intent::Look { Intent::Look } else { Intent::Open },
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
        let connection = connect_making_room(&self.path, &self.cipher, self.again)?;
        if self.again != Intent::Look && !fold_back(&connection).map_err(|fault| fault.at(&self.path))? {
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

/// A count from column `index`. SQLite has no unsigned numbers; a count is never negative.
pub(crate) fn count_at(row: &rusqlite::Row<'_>, index: usize) -> Result<u64, rusqlite::Error> {
    row.get::<_, i64>(index).map(|count| u64::try_from(count).unwrap_or(0))
}

/// Whether the whole log is in the database now.
fn fold_back(connection: &Connection) -> Result<bool, Fault> {
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;
