//! What `sekisho models verify` shows: every network of the manifest, checked as the daemon checks it at start.

use crate::manifest::{Entry, Manifest, Usage};
use crate::model_file::ModelBytes;
use crate::selftest;
use crate::session::{Runtime, Session};
use std::path::PathBuf;
use std::sync::Arc;

/// How one check ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "result", content = "reason")]
pub enum Check {
    /// As it must be.
    Passed,
    /// Not; the sentence says what to do.
    Failed(String),
    /// An earlier check failed.
    NotRun,
}

impl Check {
    /// Whether it passed.
    #[must_use]
    pub const fn passed(&self) -> bool {
        matches!(self, Self::Passed)
    }
}

/// One network.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ModelReport {
    /// Manifest id.
    pub id: String,
    /// `detector` or `embedder`.
    pub role: &'static str,
    /// Where its file is or was expected.
    pub file: PathBuf,
    /// SHA-256 the manifest asks for.
    pub sha256: String,
    /// SPDX identifier.
    pub licence: String,
    /// What the identifier does not say.
    pub licence_note: String,
    /// What the weights may be used for.
    pub usage: Usage,
    /// The file is there and is the right one.
    pub file_check: Check,
    /// Its tensors are as declared.
    pub contract_check: Check,
    /// It computes what it should.
    pub self_test: Check,
}

impl ModelReport {
    /// Whether the network can be used.
    #[must_use]
    pub const fn usable(&self) -> bool {
        self.file_check.passed() && self.contract_check.passed() && self.self_test.passed()
    }
}

/// Checks every network of the manifest, one after the other.
#[must_use]
pub fn verify(runtime: &Runtime, manifest: &Manifest) -> Vec<ModelReport> {
    manifest.entries().map(|entry| verify_one(runtime, manifest, entry)).collect()
}

/// Checks one network.
#[must_use]
pub fn verify_one(runtime: &Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> ModelReport {
    let file = manifest.file_of(entry);
    let mut report = ModelReport {
        id: entry.id.clone(),
        role: entry.role.as_str(),
        file: file.clone(),
        sha256: entry.sha256.clone(),
        licence: entry.licence.clone(),
        licence_note: entry.licence_note.clone(),
        usage: entry.usage,
        file_check: Check::NotRun,
        contract_check: Check::NotRun,
        self_test: Check::NotRun,
    };
    let bytes = match ModelBytes::read(entry, &file) {
        Ok(bytes) => bytes,
        Err(error) => {
            report.file_check = Check::Failed(error.to_string());
            return report;
        }
    };
    report.file_check = Check::Passed;
    let mut session = match Session::build(runtime, entry, &bytes, &file) {
        Ok(session) => session,
        Err(error) => {
            report.contract_check = Check::Failed(error.to_string());
            return report;
        }
    };
    report.contract_check = Check::Passed;
    let golden = entry.golden.as_deref().map(|golden| manifest.beside(golden));
    report.self_test = match selftest::run(&mut session, golden.as_deref()) {
        Ok(()) => Check::Passed,
        Err(detail) => Check::Failed(detail),
    };
    report
}
