//! What is wrong with a configuration file: collected, never thrown, so that one look at the file mends all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong, with its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// Section as written between the brackets; empty where there is none.
    pub section: String,
    /// Key; empty when the whole section is meant.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What is allowed, or what to do.
    pub allowed: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.section.is_empty(), self.key.is_empty()) {
            (true, true) => {}
            (true, false) => write!(f, "{}: ", self.key)?,
            (false, true) => write!(f, "[{}]: ", self.section)?,
            (false, false) => write!(f, "[{}] {}: ", self.section, self.key)?,
        }
        write!(f, "{}; {}", self.wrong, self.allowed)
    }
}

/// Everything that is wrong with one file, sorted by line; at least one problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    /// The problems, sorted by line.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The file they are in.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// One problem a line: `FILE:LINE: [section] key: what is wrong; what is allowed`.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, problem) in self.list.iter().enumerate() {
            if count > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}: {problem}", self.file.display(), problem.line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// What a key is, as the reader itself knows it: the source of the tests that hold the shipped file and the man page
/// to the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyInfo {
    /// The section; named ones read `cameras.NAME`, `lists.NAME`, `sinks.NAME`.
    pub section: String,
    /// The key.
    pub key: &'static str,
    /// The default as it would be written in the file; absent when the key is required, or when leaving it out means
    /// something no value says (inherit, none).
    pub default: Option<String>,
    /// The allowed values in words.
    pub allowed: String,
}

/// What reading a file has found out so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: BTreeSet<Problem>,
    /// Line of every key that was written, by section and key; of every section under an empty key.
    written: BTreeMap<(String, String), usize>,
    /// Keys that were written wrongly. Their default stands in for them, so nothing may be concluded from their value.
    bad: BTreeSet<(String, String)>,
    keys: BTreeSet<KeyInfo>,
}

impl Findings {
    pub(super) fn problem(
        &mut self,
        (line, section, key): (usize, &str, &str),
        wrong: impl Into<String>,
        allowed: impl Into<String>,
    ) {
        self.bad.insert((section.to_owned(), key.to_owned()));
        self.note((line, section, key), wrong.into(), allowed.into());
    }

    fn note(&mut self, (line, section, key): (usize, &str, &str), wrong: String, allowed: String) {
        let (section, key) = (section.to_owned(), key.to_owned());
        self.problems.insert(Problem { line, section, key, wrong, allowed });
    }

    pub(super) fn wrote(&mut self, section: &str, key: &str, line: usize) {
        self.written.insert((section.to_owned(), key.to_owned()), line);
    }

    pub(super) fn knows(&mut self, info: KeyInfo) {
        self.keys.insert(info);
    }

    pub(super) fn is_written(&self, section: &str, key: &str) -> bool {
        self.written.contains_key(&(section.to_owned(), key.to_owned()))
    }

    /// Two or more settings, each fine by itself, that cannot be meant together. The blame goes to the one written
    /// last in the file; nothing is said when one of them was wrong by itself, because its value is only a stand-in.
    pub(super) fn contradiction(&mut self, settings: &[(&str, &str)], wrong: String, allowed: String) {
        let owned = |(section, key): &(&str, &str)| ((*section).to_owned(), (*key).to_owned());
        if settings.iter().any(|setting| self.bad.contains(&owned(setting))) {
            return;
        }
        let written =
            settings.iter().filter_map(|setting| self.written.get(&owned(setting)).map(|line| (*line, *setting)));
        let (line, (section, key)) = written.max_by_key(|(line, _)| *line).unwrap_or((1, settings[0]));
        self.note((line, section, key), wrong, allowed);
    }

    pub(super) fn keys(self) -> Vec<KeyInfo> {
        self.keys.into_iter().collect()
    }

    /// Forgets everything found from `line` on: after a syntax error the meaning of what follows is a guess.
    pub(super) fn forget_from(&mut self, line: usize) {
        self.problems.retain(|problem| problem.line < line);
    }

    /// Takes over the problems of `other`.
    pub(super) fn add(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    pub(super) fn into_result<T>(self, file: &Path, settings: T) -> Result<T, Problems> {
        if self.problems.is_empty() {
            return Ok(settings);
        }
        Err(Problems { file: file.to_owned(), list: self.problems.into_iter().collect() })
    }
}
