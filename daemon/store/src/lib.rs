//! The store: people and their templates, alerts and their journal, what is still to be delivered, and the audit trail.
//!
//! One SQLite file, encrypted whole by SQLCipher. This crate is the only user of rusqlite; nothing of it shows in the
//! interface. It reads no clock: whoever calls says what time it is.
//!
//! ```text
//! AlertEvent -> StoreHandle::append -> [ring in memory] -> one transaction: alert + votes + journal + outbox + audit
//!                                                                    |
//!                              on_committed (wakes sinks, SSE) <-----+-----> Store::pending -> sink -> note_tried
//! ```
//!
//! Three promises, and the tests that hold them:
//! - An event reported as committed survives kill -9, a full disk and a disk that comes back (`store_kill`,
//!   `store_disk_full`).
//! - An event is journalled once, however often it is handed in
//!   (`repeated_and_reordered_events_keep_the_books_straight`).
//! - The photos and templates of a removed person are in no file any more
//!   (`after_removal_no_file_holds_photo_or_template`), nor are the pictures of their alerts
//!   (`after_removal_no_file_holds_a_picture_of_their_alerts`).

mod audit;
mod disk;
mod enrolment;
mod error;
mod evidence;
mod gallery;
mod handle;
mod journal;
mod key;
mod lock;
mod migrate;
mod open;
mod outbox;
mod people;
mod reviewers;
mod ring;
mod run;
mod shadow;
mod suspensions;
mod worker;

#[cfg(test)]
mod testing;

pub use audit::{AuditEntry, AuditReport, AuditVerdict, Break};
pub use disk::{Ballast, DiskLevel, Space};
pub use enrolment::{
    Enrol, Enrolled, Enrolment, Grounds, NewTemplate, Person, PersonStatus, Removed, StoredPhoto, TemplateSource,
    Traces,
};
pub use error::StoreError;
pub use evidence::{EarlierRejection, EvidenceKeep, EvidenceRow, EvidenceStock, NewEvidence, PhotoRow};
pub use gallery::{GalleryRow, GalleryRows, OtherVersion};
pub use handle::{CommittedEvent, JobRefused, StopReport, StorageState, StoreHandle, StoreHealth};
pub use journal::{AlertFilter, AlertMenus, Append, Appended, JournalRow, OpenAlert};
pub use key::{DbKey, IfMissing, KeyError, KeySource};
pub use lock::{InstanceLock, LockError};
pub use migrate::{APPLICATION_ID, SCHEMA_VERSION};
pub use open::Store;
pub use outbox::{OutboxItem, RetryPolicy, SinkDepth, Tried};
pub use reviewers::{Identities, NewReviewer, REVIEWERS_MAX, Reviewer, ReviewerChange, ReviewerRole};
pub use run::{LastRun, RunInfo};
pub use shadow::{CalibrationState, Counted, Erased, MeasuredTraffic, Network};
pub use worker::{StoreThread, WorkerSettings};
