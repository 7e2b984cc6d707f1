//! What can go wrong with the store. A variant exists because somebody does something different about it.

use crate::disk;
use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Why the store could not do what it was asked. Each prints as one sentence with the place and the advice.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no database yet. Create one, or look elsewhere.
    #[error("{}: there is no database here; it is made by the first `sekisho run` or `sekisho gallery enroll`", path.display())]
    Absent {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there but does not open with this key. Never overwrite it.
    #[error("{}: does not open with this key: the key belongs to another installation, or the file's first page is damaged; \
             restore the key file or credential it was made with", path.display())]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// A database, but not one of ours.
    #[error("{}: this is not a Sekisho database ({detail}); check the path", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        detail: String,
    },
    /// Written by a newer program. Never touched.
    #[error("{}: schema version {found} is newer than this program knows ({known}); install the newer sekisho, \
             nothing was changed", path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// Written by an older program, and opened for looking only. The next start brings it up to date.
    #[error("{}: schema {found}, this program writes {known}; the next start brings it up to date", path.display())]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// What this program writes.
        known: i64,
    },
    /// The content contradicts itself. Quarantine and restore.
    #[error("{}: the database is damaged ({detail}); stop the service, keep the file, restore the last backup", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What the check said first.
        detail: String,
    },
    /// The file or its file system cannot be written. Hold and retry; somebody must remount or change modes.
    #[error("{}: cannot be written ({detail}); check the mount and the owner of the directory", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What refused.
        detail: String,
    },
    /// No space left. Hold and retry; nothing acknowledged is lost.
    #[error("{}: the disk is full; alerts wait in memory until space is freed", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// Another process held the database for longer than we wait. Try again.
    #[error("{}: another process has held the database for more than {waited_ms} ms; try again", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// How long we waited.
        waited_ms: u64,
    },
    /// The operating system refused a read, a write or a sync. Reopen before trying again.
    #[error("{}: {doing} failed: {source}; the database is reopened before the next try", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What was said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory lets others replace our files. Somebody must fix it.
    #[error("{}: others may write here (mode {mode:04o}); run `chmod 700` on it, the store will not be opened before", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A setting that safety rests on did not take. Do not run.
    #[error("{}: {setting} reads back as {found:?} instead of {wanted:?}; refusing to run with less safety than promised", path.display())]
    Setting {
        /// The database.
        path: PathBuf,
        /// Which setting.
        setting: &'static str,
        /// What was asked for.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// The file with people's keys is missing, damaged or lacks a key. Restore it.
    #[error("{}: the file with people's keys {detail}", path.display())]
    Keyring {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// Enrolling somebody who is already there. Ask for replacement.
    #[error("{person} is already enrolled; use replace to take the new photos instead of the old")]
    AlreadyEnrolled {
        /// Who.
        person: String,
    },
    /// Nobody of that name.
    #[error("{person} is not enrolled; `sekisho gallery list` shows who is")]
    NotEnrolled {
        /// Who was meant.
        person: String,
    },
    /// Records about this person are under a hold. Somebody must lift it first.
    #[error(
        "{person}: records are under a legal hold since {since} and are not erased; `sekisho gallery unhold` lifts it"
    )]
    Held {
        /// Who.
        person: String,
        /// Since when.
        since: String,
    },
    /// The same event id with other content: a bug in the caller, and never retried.
    #[error("event {event_id} is already in the journal with other content; this one is not stored")]
    Conflict {
        /// The id.
        event_id: String,
    },
    /// What was handed in breaks a rule of the store; retrying cannot help.
    #[error("refused: {what}")]
    Refused {
        /// Which rule.
        what: String,
    },
    /// SQLite refused a statement of ours: a bug in this program.
    #[error("{}: the store refused a statement: {source}; please report this", path.display())]
    Statement {
        /// The database.
        path: PathBuf,
        /// What was said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same request may succeed later without being changed: the disk, the file or a lock is the obstacle.
    #[must_use]
    pub const fn is_storage(&self) -> bool {
        match self {
            Self::Absent { .. }
            | Self::WrongKey { .. }
            | Self::NotOurs { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Corrupt { .. }
            | Self::ReadOnly { .. }
            | Self::DiskFull { .. }
            | Self::Busy { .. }
            | Self::Io { .. }
            | Self::Exposed { .. }
            | Self::Setting { .. }
            | Self::Keyring { .. } => true,
            Self::AlreadyEnrolled { .. }
            | Self::NotEnrolled { .. }
            | Self::Held { .. }
            | Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::Statement { .. } => false,
        }
    }

    /// Whether the open connection must not be trusted any more. After a failed sync the kernel may have dropped the
    /// dirty pages and will report the next sync on the same descriptor as a success, so the file is opened anew.
    pub(crate) const fn spoils_connection(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::ReadOnly { .. } | Self::Corrupt { .. })
    }

    pub(crate) fn io(path: &Path, doing: &'static str, source: impl Into<std::io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DiskFull { path: path.into() },
            std::io::ErrorKind::ReadOnlyFilesystem | std::io::ErrorKind::PermissionDenied => {
                Self::ReadOnly { path: path.into(), detail: format!("{doing}: {source}") }
            }
            _ => Self::Io { path: path.into(), doing, source: Box::new(source) },
        }
    }

    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }
}

/// What stops a piece of work inside the crate; becomes a [`StoreError`] once the path is at hand.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Fault {
    /// Decides what an error of SQLite means for whoever asked.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Sql(error) => error,
        };
        let path_buf = path.to_path_buf();
        let Some(code) = error.sqlite_error_code() else {
            return StoreError::Statement { path: path_buf, source: Box::new(error) };
        };
        match code {
            ErrorCode::DiskFull => StoreError::DiskFull { path: path_buf },
            ErrorCode::NotADatabase => StoreError::WrongKey { path: path_buf },
            ErrorCode::DatabaseCorrupt => StoreError::Corrupt { path: path_buf, detail: error.to_string() },
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                StoreError::Busy { path: path_buf, waited_ms: crate::connect::BUSY_MS }
            }
            ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                StoreError::ReadOnly { path: path_buf, detail: error.to_string() }
            }
            // On a full file system SQLite reports some failures (growing the shared-memory file, syncing a file whose
            // blocks were never allocated) as plain I/O errors; what to do about them is what one does about ENOSPC.
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => {
                if disk::is_exhausted(path) {
                    StoreError::DiskFull { path: path_buf }
                } else if disk::is_read_only(path) {
                    StoreError::ReadOnly { path: path_buf, detail: "the file system is mounted read-only".into() }
                } else {
                    StoreError::Io { path: path_buf, doing: "the database", source: Box::new(error) }
                }
            }
            ErrorCode::ConstraintViolation => StoreError::refused(format!("the schema forbids it: {error}")),
            _ => StoreError::Statement { path: path_buf, source: Box::new(error) },
        }
    }
}
