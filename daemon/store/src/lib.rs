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
//! - Photographs, templates and pictures are stored sealed with their person's key, and of an erased person nothing is in any
//!   file any more (`at_no_step_is_anything_plain_in_any_file_and_in_the_end_nothing_at_all`), however often it was cut off
//!   (`erase_kill`).

mod actions;
mod audit;
mod audit_verify;
mod checkpoint;
mod connect;
mod copy;
mod disk;
mod enrolment;
mod erase;
mod error;
mod evidence;
mod gallery;
mod grounds;
mod handle;
mod journal;
mod key;
mod keyring;
mod lock;
mod migrate;
mod needles;
mod open;
mod outbox;
mod own_file;
mod people;
mod pseudonyms;
mod receipt;
mod reviewers;
mod rights;
mod ring;
mod run;
mod seal;
mod sealed;
mod shadow;
mod sightings;
mod sign;
mod subject;
mod suspensions;
mod switches;
mod tombstones;
mod verify_erasure;
mod worker;

#[cfg(test)]
mod testing;

pub use actions::ACTIONS;
pub use audit::{AuditEntry, AuditFilter};
pub use audit_verify::{AuditReport, AuditVerdict, Break};
pub use checkpoint::{CHECKPOINT_DOMAIN, Checkpoint, Signed, name_of_key};
pub use copy::DataClass;
pub use disk::{Ballast, DiskLevel, Space};
pub use enrolment::{
    Enrol, Enrolled, Enrolment, Grounds, NewTemplate, Person, PersonStatus, StoredPhoto, TemplateSource, Traces,
};
pub use erase::{DueForErasure, Erasure, ErasureCause, ErasureCounts, ErasureStep};
pub use error::StoreError;
pub use evidence::{EarlierRejection, EvidenceKeep, EvidenceRow, EvidenceStock, NewEvidence, PhotoRow};
pub use gallery::{GalleryRow, GalleryRows, OtherVersion};
pub use grounds::Withdrawal;
pub use handle::{CommittedEvent, JobRefused, StopReport, StorageState, StoreHandle, StoreHealth};
pub use journal::{AlertFilter, AlertMenus, Append, Appended, JournalRow, OpenAlert};
pub use key::{DbKey, IfMissing, KeyError, KeySource};
pub use lock::{InstanceLock, LockError};
pub use migrate::{APPLICATION_ID, SCHEMA_VERSION};
pub use needles::Needles;
pub use open::Store;
pub use outbox::{AuditAnchor, OutboxItem, RetryPolicy, SinkDepth, Tried};
pub use own_file::open_own;
pub use receipt::{ReceiptVerdict, receipt_verdict};
pub use reviewers::{Identities, NewReviewer, REVIEWERS_MAX, Reviewer, ReviewerChange, ReviewerRole};
pub use rights::{Correction, Hold};
pub use run::{LastRun, RunInfo};
pub use seal::{SealKey, Unsealable};
pub use sealed::Sealing;
pub use shadow::{CalibrationState, Counted, Erased, MeasuredTraffic, Network};
pub use sightings::{Forgotten, Holdings, SightingStock};
pub use sign::{SIGNATURE_BYTES, SigningKey, verified};
pub use subject::SubjectSection;
pub use switches::{PAUSE_MATCHING, Switch};
pub use tombstones::{TOMBSTONES_DOMAIN, Tombstone, read_tombstones};
pub use verify_erasure::ErasureCheck;
pub use worker::{StoreThread, WorkerSettings};
