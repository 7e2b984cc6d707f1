//! What `sekisho models verify` shows: every network of the manifest, checked as the daemon checks it at start.

use crate::manifest::{Entry, Manifest, Usage};
use crate::session::{LoadError, Runtime, Session};
use std::path::PathBuf;
use std::sync::Arc;

/// One network.
#[derive(Debug)]
pub struct ModelReport {
    /// Manifest id.
    pub id: String,
    /// `detector` or `embedder`.
    pub role: &'static str,
    /// Where its file is or was expected.
    pub file: PathBuf,
    /// SHA-256 the manifest asks for; the file has it unless `fault` says otherwise.
    pub digest: String,
    /// SPDX identifier.
    pub licence: String,
    /// What the identifier does not say.
    pub licence_note: String,
    /// What the weights may be used for.
    pub usage: Usage,
    /// The first check that failed, in order: the file and its hash, the runtime, the tensors' names and shapes, the
    /// self-test. `None`: all passed.
    pub fault: Option<LoadError>,
}

/// Checks every network of the manifest, one after the other.
#[must_use]
pub fn verify(runtime: &'static Runtime, manifest: &Manifest) -> Vec<ModelReport> {
    manifest.entries().map(|entry| verify_one(runtime, manifest, entry)).collect()
}

/// Checks one network.
#[must_use]
pub fn verify_one(runtime: &'static Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> ModelReport {
    ModelReport {
        id: entry.id.clone(),
        role: entry.role.as_str(),
        file: manifest.file_of(entry),
        digest: entry.sha256.clone(),
        licence: entry.licence.clone(),
        licence_note: entry.licence_note.clone(),
        usage: entry.usage,
        fault: Session::load(runtime, manifest, entry).err(),
    }
}
