//! The configuration file: TOML, kebab-case keys with their unit in the name, unknown keys are errors.
//!
//! ```text
//! text --raw--> tree with line numbers --read, named, sinks--> Settings --check--> Settings | Problems
//!                                                           \--diff--> ReloadPlan
//! ```
//!
//! All that is wrong is found at once: a wrong value is replaced by its default and reading goes on. Only [`load`]
//! touches the disk. To add a key: one line in `read` or `named` with its bounds and default, a field in `settings`,
//! a paragraph in `deploy/config.toml` and in the man page (tests ask for both), and a word in `diff` when a reload
//! cannot apply it.

mod check;
pub mod credentials;
mod diff;
mod duties;
pub mod endpoint;
mod keys;
mod lists;
mod named;
pub mod privacy;
mod problem;
mod raw;
mod read;
mod reader;
pub mod review;
pub mod settings;
pub mod sink_settings;
mod sinks;
mod suggest;

#[cfg(test)]
mod privacy_tests;
#[cfg(test)]
mod shipped_tests;
#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod tests;

pub use diff::{Change, ReloadPlan, diff};
pub use keys::WrittenKeys;
pub(crate) use named::holds_password;
pub use problem::{KeyInfo, Problem, Problems};
pub use settings::Settings;

use problem::Findings;
use raw::Raw;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Where the file is unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/sekisho/sekisho.toml";

/// The shipped file with every key explained is about 20 kB, so this is a wrong path (a clip, a device), not a
/// configuration.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read; it may be there later.
    #[error("{path}: {cause}; nothing was configured")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file was read and somebody must edit it. A restart changes nothing.
    #[error(transparent)]
    Invalid(#[from] Problems),
}

/// Reads the file at `path`.
///
/// # Errors
/// [`ConfigError::Unreadable`] when it cannot be read, [`ConfigError::Invalid`] with everything that is wrong with it.
pub fn load(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(parse_bytes(path, &bytes)?)
}

/// Reads the bytes of a file; `path` is for messages only.
///
/// # Errors
/// [`Problems`], also for a file that is too long or not UTF-8.
pub fn parse_bytes(path: &Path, bytes: &[u8]) -> Result<Settings, Problems> {
    let mut findings = Findings::default();
    if bytes.len() as u64 > FILE_BYTES_MAX {
        findings.problem(
            (1, "", ""),
            "the file is longer than 1 MiB",
            "a configuration is a few kilobytes; is the path right?",
        );
        return findings.into_result(path, Settings::default());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(path, text),
        Err(wrong) => {
            let line = bytes[..wrong.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            findings.problem((line, "", ""), "this line is not UTF-8 text", "save the file as UTF-8");
            findings.into_result(path, Settings::default())
        }
    }
}

/// Reads the text of a file; `path` is for messages only.
///
/// # Errors
/// [`Problems`]: everything that is wrong, sorted by line. After a syntax error the rest of the file is checked for
/// syntax only.
pub fn parse(path: &Path, text: &str) -> Result<Settings, Problems> {
    let mut syntax = Findings::default();
    let (raw, broken_at) = Raw::parse(text, &mut syntax);
    let mut findings = Findings::default();
    let settings = read::settings(&raw, &mut findings);
    match broken_at {
        Some(line) => {
            findings.forget_from(line);
            findings.add(syntax);
        }
        None => check::contradictions(&settings, &mut findings),
    }
    findings.into_result(path, settings)
}

/// Every key that [`parse`] knows, as the reader itself reports it.
#[must_use]
pub fn known_keys() -> Vec<KeyInfo> {
    let mut findings = Findings::default();
    let named = "[lists.name]\n[cameras.name]\n[sinks.name]\n";
    let (raw, _) = Raw::parse(named, &mut findings);
    let _ = read::settings(&raw, &mut findings);
    findings.keys()
}

impl Default for Settings {
    fn default() -> Self {
        let mut findings = Findings::default();
        let (raw, _) = Raw::parse("", &mut findings);
        read::settings(&raw, &mut findings)
    }
}
