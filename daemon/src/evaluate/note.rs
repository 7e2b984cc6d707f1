//! What has to be said about the material, once on the terminal and once in the report, in the reader's language.

use serde::Serialize;
use std::collections::BTreeMap;

/// One remark: a key of `words.toml` (there with `note-` before it) and the values its sentence needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// Which sentence.
    pub key: &'static str,
    /// What stands in it.
    pub values: BTreeMap<&'static str, String>,
}

impl Note {
    /// A remark.
    #[must_use]
    pub fn new<const N: usize>(key: &'static str, values: [(&'static str, String); N]) -> Self {
        Self { key, values: values.into_iter().collect() }
    }

    /// Key of its sentence among the words.
    #[must_use]
    pub fn word(&self) -> String {
        format!("note-{}", self.key)
    }
}
