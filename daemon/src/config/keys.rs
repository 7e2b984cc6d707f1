//! Which keys of the file changed, by name: what the audit trail may know of a configuration. Values are never told.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// More names than this are a number in the audit row.
const NAMES_MAX: usize = 60;

/// The keys a file sets, each with its value as text, and the file's hash.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WrittenKeys {
    keys: BTreeMap<String, String>,
    sha256: String,
}

impl WrittenKeys {
    /// What the file at `path` sets; nothing when it cannot be read, which whoever reads the settings from it reports.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        std::fs::read_to_string(path).map_or_else(|_| Self::default(), |text| Self::of(&text))
    }

    /// What this text sets.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut keys = BTreeMap::new();
        if let Ok(table) = text.parse::<toml::Table>() {
            flatten("", &table, &mut keys);
        }
        Self { keys, sha256: hex::encode(Sha256::digest(text)) }
    }

    /// SHA-256 of the file, in hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// How many keys are set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Names of keys that were added, taken away or given another value, in alphabetical order.
    #[must_use]
    pub fn changed(&self, new: &Self) -> Vec<String> {
        let all = self.keys.keys().chain(new.keys.keys()).collect::<std::collections::BTreeSet<_>>();
        let mut names: Vec<String> =
            all.into_iter().filter(|key| self.keys.get(*key) != new.keys.get(*key)).cloned().collect();
        if names.len() > NAMES_MAX {
            let more = names.len() - NAMES_MAX;
            names.truncate(NAMES_MAX);
            names.push(format!("and {more} more"));
        }
        names
    }
}

impl std::fmt::Debug for WrittenKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WrittenKeys({})", self.keys.len())
    }
}

fn flatten(under: &str, table: &toml::Table, keys: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let name = if under.is_empty() { name.clone() } else { format!("{under}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&name, inner, keys),
            other => drop(keys.insert(name, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_keys_are_named_and_values_are_not() {
        let old = WrittenKeys::of("[decide]\nmode = \"live\"\n[sinks.desk]\nurl = \"https://old-host/\"\n");
        let new = WrittenKeys::of("# a remark\n[sinks.desk]\nurl = \"https://canary-host/\"\nretry-max-s = 9\n");
        assert_eq!(old.changed(&new), ["decide.mode", "sinks.desk.retry-max-s", "sinks.desk.url"]);
        assert_eq!(old.changed(&old.clone()), Vec::<String>::new());
        assert!(!format!("{new:?} {:?}", old.changed(&new)).contains("canary"));
        let many: String = (0..100).map(|n| format!("k{n} = 1\n")).collect();
        assert_eq!(old.changed(&WrittenKeys::of(&many)).len(), NAMES_MAX + 1);
    }
}
