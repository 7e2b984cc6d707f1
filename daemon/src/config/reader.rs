//! From what was written to typed values: one reader a section. Each call names a key, its bounds and its default, and
//! that call is the only place where they stand; the list of known keys, which the shipped file and the man page are
//! held to, is a record of these calls.

use super::problem::{Findings, KeyInfo};
use super::raw::{Raw, RawTable, RawValue, kind, shown};
use super::suggest::nearest;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use toml::de::DeValue;

/// Reads one section.
pub(super) struct Reader<'r, 't> {
    raw: &'r Raw<'t>,
    findings: &'r mut Findings,
    /// As written: `cameras.gate`.
    name: String,
    /// As documented: `cameras.NAME`.
    pattern: &'static str,
    line: usize,
    table: Option<&'r RawTable<'t>>,
    asked: Vec<&'static str>,
}

/// A number that can be read, compared and shown.
pub(super) trait Number: FromStr + PartialOrd + Display + Copy {
    /// What it is called in messages.
    const WORD: &'static str;
    /// Whether `1.5` can be one.
    const FRACTIONS: bool;
}

impl Number for f64 {
    const WORD: &'static str = "a number";
    const FRACTIONS: bool = true;
}

impl Number for f32 {
    const WORD: &'static str = "a number";
    const FRACTIONS: bool = true;
}

impl Number for u32 {
    const WORD: &'static str = "a whole number";
    const FRACTIONS: bool = false;
}

impl Number for u64 {
    const WORD: &'static str = "a whole number";
    const FRACTIONS: bool = false;
}

/// The words one key accepts, with what each means.
pub(super) type Choices<T> = [(&'static str, T)];

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

fn listed<T: Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}

impl<'r, 't> Reader<'r, 't> {
    /// A reader of `table`, or of defaults alone when the file has no such section.
    pub(super) fn new(
        raw: &'r Raw<'t>,
        findings: &'r mut Findings,
        (name, pattern): (&str, &'static str),
        line: usize,
        table: Option<&'r RawTable<'t>>,
    ) -> Self {
        if table.is_some() {
            findings.wrote(name, "", line);
        }
        Self { raw, findings, name: name.to_owned(), pattern, line, table, asked: Vec::new() }
    }

    fn knows(&mut self, key: &'static str, default: Option<String>, allowed: &str) {
        self.asked.push(key);
        let (section, allowed) = (self.pattern.to_owned(), allowed.to_owned());
        self.findings.knows(KeyInfo { section, key, default, allowed });
    }

    fn find(&mut self, key: &'static str) -> Option<(usize, &'r RawValue<'t>)> {
        let (found, value) = self.table?.get_key_value(key)?;
        let line = self.raw.line(&found.span());
        self.findings.wrote(&self.name, key, line);
        Some((line, value))
    }

    /// Notes what is wrong with `key`; for callers that look deeper into a value than its type.
    pub(super) fn wrong(&mut self, key: &'static str, wrong: impl Into<String>, allowed: impl Into<String>) {
        let line = self.table.and_then(|table| table.get_key_value(key)).map(|(found, _)| self.raw.line(&found.span()));
        self.findings.problem((line.unwrap_or(self.line), &self.name, key), wrong, allowed);
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    fn number_from<N: Number>(
        &mut self,
        (line, value): (usize, &RawValue<'t>),
        key: &'static str,
        (min, max): (N, N),
        allowed: &str,
    ) -> Option<N> {
        let digits = match value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) if N::FRACTIONS => Some(number.as_str()),
            _ => None,
        };
        let Some(digits) = digits else {
            let wrong = format!("is {}", kind(value.get_ref()));
            self.findings.problem((line, &self.name, key), wrong, allowed);
            return None;
        };
        // Also false for NaN, which is no setting.
        let number = digits.parse::<N>().ok().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let wrong = format!("{} is out of range", shown(digits));
            self.findings.problem((line, &self.name, key), wrong, allowed);
        }
        number
    }

    /// A number from `min` to `max`.
    pub(super) fn number<N: Number>(&mut self, key: &'static str, (min, max): (N, N), default: N) -> N {
        let allowed = format!("allowed is {} from {min} to {max}", N::WORD);
        // A default such as 5.0 is shown as 5.0, so that nobody thinks a fraction is not allowed.
        let mut text = default.to_string();
        if N::FRACTIONS && !text.contains('.') {
            text.push_str(".0");
        }
        self.knows(key, Some(text), &allowed);
        let found = self.find(key).and_then(|found| self.number_from(found, key, (min, max), &allowed));
        found.unwrap_or(default)
    }

    /// A number from `min` to `max`; without it `inherited` is in force.
    pub(super) fn number_or<N: Number>(&mut self, key: &'static str, (min, max): (N, N), inherited: N) -> N {
        let allowed = format!("allowed is {} from {min} to {max}", N::WORD);
        self.knows(key, None, &allowed);
        let found = self.find(key).and_then(|found| self.number_from(found, key, (min, max), &allowed));
        found.unwrap_or(inherited)
    }

    /// A span of time in whole milliseconds.
    pub(super) fn millis(&mut self, key: &'static str, bounds: (u64, u64), default: u64) -> Duration {
        Duration::from_millis(self.number(key, bounds, default))
    }

    /// A span of time in whole seconds.
    pub(super) fn seconds(&mut self, key: &'static str, bounds: (u64, u64), default: u64) -> Duration {
        Duration::from_secs(self.number(key, bounds, default))
    }

    /// A whole number, or the word that leaves the choice to the program (`None`).
    pub(super) fn number_or_word(&mut self, key: &'static str, (min, max): (u32, u32), word: &str) -> Option<u32> {
        let allowed = format!("allowed is \"{word}\" or a whole number from {min} to {max}");
        self.knows(key, Some(quoted(word)), &allowed);
        let (line, value) = self.find(key)?;
        if value.get_ref().as_str() == Some(word) {
            return None;
        }
        self.number_from((line, value), key, (min, max), &allowed)
    }

    /// One to sixteen whole numbers, each greater than the one before.
    pub(super) fn ascending(&mut self, key: &'static str, (min, max): (u32, u32), default: &[u32]) -> Vec<u32> {
        const LENGTH_MAX: usize = 16;
        let allowed = format!(
            "allowed are 1 to {LENGTH_MAX} whole numbers from {min} to {max} in square brackets, each greater than the \
             one before"
        );
        self.knows(key, Some(listed(default)), &allowed);
        let Some((line, value)) = self.find(key) else { return default.to_vec() };
        let Some(items) = value.get_ref().as_array() else {
            self.findings.problem((line, &self.name, key), format!("is {}", kind(value.get_ref())), allowed);
            return default.to_vec();
        };
        let mut numbers = Vec::with_capacity(items.len().min(LENGTH_MAX));
        for item in items.iter() {
            match self.number_from((line, item), key, (min, max), &allowed) {
                Some(number) => numbers.push(number),
                None => return default.to_vec(),
            }
        }
        if numbers.is_empty() || numbers.len() > LENGTH_MAX || !numbers.is_sorted_by(|a, b| a < b) {
            self.findings.problem((line, &self.name, key), "is empty, too long or not ascending", allowed);
            return default.to_vec();
        }
        numbers
    }

    fn text_from(&mut self, key: &'static str, allowed: &str) -> Option<&'r str> {
        let (line, value) = self.find(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.findings.problem((line, &self.name, key), format!("is {}", kind(value.get_ref())), allowed);
        }
        text
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, choices: &Choices<T>, default: T) -> T {
        let words: Vec<String> = choices.iter().map(|(word, _)| quoted(word)).collect();
        let allowed = format!("allowed is {}", words.join(" or "));
        let shown_default = choices.iter().find(|(_, meaning)| *meaning == default).map(|(word, _)| quoted(word));
        self.knows(key, shown_default, &allowed);
        self.chosen(key, choices, default, allowed)
    }

    /// One of a few words; without it `inherited` is in force.
    pub(super) fn choice_or<T: Copy>(&mut self, key: &'static str, choices: &Choices<T>, inherited: T) -> T {
        let words: Vec<String> = choices.iter().map(|(word, _)| quoted(word)).collect();
        let allowed = format!("allowed is {}", words.join(" or "));
        self.knows(key, None, &allowed);
        self.chosen(key, choices, inherited, allowed)
    }

    fn chosen<T: Copy>(&mut self, key: &'static str, choices: &Choices<T>, default: T, allowed: String) -> T {
        let Some(text) = self.text_from(key, &allowed) else { return default };
        if let Some((_, meaning)) = choices.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        let hint = nearest(text, choices.iter().map(|(word, _)| *word));
        let hint = hint.map_or(String::new(), |word| format!("did you mean \"{word}\"? "));
        self.wrong(key, format!("\"{}\" is none of the words known here", shown(text)), hint + &allowed);
        default
    }

    /// True or false.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let allowed = "allowed is true or false, without quotes";
        self.knows(key, Some(default.to_string()), allowed);
        let Some((line, value)) = self.find(key) else { return default };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.findings.problem((line, &self.name, key), format!("is {}", kind(value.get_ref())), allowed);
            default
        })
    }

    /// Text that `check` accepts and turns into a value. `check` says what is wrong without quoting the text, unless
    /// the text cannot be a secret. `None` when absent or wrong.
    pub(super) fn checked<T>(
        &mut self,
        key: &'static str,
        default: Option<&str>,
        allowed: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.knows(key, default.map(quoted), allowed);
        let text = match self.text_from(key, allowed) {
            Some(text) => text,
            None => default?,
        };
        check(text).map_err(|wrong| self.wrong(key, wrong, allowed)).ok()
    }

    /// A key that must be there, like [`checked`](Self::checked) otherwise.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        allowed: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.wrong(key, "is missing", allowed);
        }
        self.checked(key, None, allowed, check)
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &'static str, default: &str) -> PathBuf {
        let found = self.checked(key, Some(default), ABSOLUTE_PATH, absolute_path);
        found.unwrap_or_else(|| PathBuf::from(default))
    }

    /// Up to 64 different words that `check` accepts.
    pub(super) fn words<T: PartialEq>(
        &mut self,
        key: &'static str,
        default: &[&str],
        allowed: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.knows(key, Some(listed(&default.iter().map(|word| quoted(word)).collect::<Vec<_>>())), allowed);
        self.written(key, allowed, &check)
            .unwrap_or_else(|| default.iter().filter_map(|word| check(word).ok()).collect())
    }

    /// As [`words`](Self::words) without a default: `None` when the file does not say.
    pub(super) fn words_or<T: PartialEq>(
        &mut self,
        key: &'static str,
        allowed: &str,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.knows(key, None, allowed);
        self.written(key, allowed, &check)
    }

    fn written<T: PartialEq>(
        &mut self,
        key: &'static str,
        allowed: &str,
        check: &impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        const LENGTH_MAX: usize = 64;
        let (line, value) = self.find(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.findings.problem((line, &self.name, key), format!("is {}", kind(value.get_ref())), allowed);
            return None;
        };
        let (mut words, mut all_good) = (Vec::new(), true);
        for item in items.iter() {
            let line = self.raw.line(&item.span());
            let problem = match item.get_ref().as_str().map(check) {
                None => format!("holds {}", kind(item.get_ref())),
                Some(Err(wrong)) => wrong,
                Some(Ok(word)) if words.contains(&word) => "names the same thing twice".to_owned(),
                Some(Ok(_)) if words.len() >= LENGTH_MAX => format!("holds more than {LENGTH_MAX} entries"),
                Some(Ok(word)) => {
                    words.push(word);
                    continue;
                }
            };
            all_good = false;
            self.findings.problem((line, &self.name, key), problem, allowed);
        }
        all_good.then_some(words)
    }

    /// Up to sixteen outlines, each a list of points of two numbers; `None` when absent or wrong.
    pub(super) fn outlines(&mut self, key: &'static str, allowed: &str) -> Option<Vec<Vec<[f32; 2]>>> {
        const OUTLINES_MAX: usize = 16;
        self.knows(key, None, allowed);
        let (line, value) = self.find(key)?;
        let read = value.get_ref().as_array().and_then(|outlines| {
            let outlines = outlines.iter().map(|outline| outline.get_ref().as_array()?.iter().map(point).collect());
            outlines.collect::<Option<Vec<Vec<_>>>>()
        });
        let wrong = match &read {
            Some(outlines) if outlines.len() <= OUTLINES_MAX => return read,
            Some(_) => format!("holds more than {OUTLINES_MAX} outlines"),
            None => "is no list of outlines".to_owned(),
        };
        self.findings.problem((line, &self.name, key), wrong, allowed);
        None
    }

    /// The sections below this one that stand under `key`, each with its name and line.
    pub(super) fn subsections(&mut self, key: &'static str) -> Vec<(String, usize, &'r RawTable<'t>)> {
        self.asked.push(key);
        let Some((line, value)) = self
            .table
            .and_then(|table| table.get_key_value(key))
            .map(|(found, value)| (self.raw.line(&found.span()), value))
        else {
            return Vec::new();
        };
        let hint = format!("write a section of its own: [{}.{key}.NAME]", self.name);
        let Some(group) = value.get_ref().as_table() else {
            self.findings.problem((line, &self.name, key), format!("is {}", kind(value.get_ref())), hint);
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in group {
            let line = self.raw.line(&name.span());
            match value.get_ref().as_table() {
                Some(table) => found.push((name.get_ref().to_string(), line, table)),
                None => {
                    let wrong = format!("{} is {}", shown(name.get_ref()), kind(value.get_ref()));
                    self.findings.problem((line, &self.name, key), wrong, hint.clone());
                }
            }
        }
        found
    }

    /// What was found wrong so far, for a reader of a section below this one.
    pub(super) const fn findings(&mut self) -> (&'r Raw<'t>, &mut Findings) {
        (self.raw, self.findings)
    }

    /// Every key that nobody asked for is an error; the last call on a reader.
    pub(super) fn finish(self) {
        let Some(table) = self.table else { return };
        for (key, _) in table.iter().filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref())) {
            let line = self.raw.line(&key.span());
            let hint = match nearest(key.get_ref(), self.asked.iter().copied()) {
                Some(word) => format!("did you mean {word}?"),
                None if key.get_ref().contains("pass") => {
                    "passwords go to a credential file that `credential` names".to_owned()
                }
                None => format!("the keys here are {}", self.asked.join(", ")),
            };
            self.findings.problem((line, &self.name, &shown(key.get_ref())), "this key is not known", hint);
        }
    }
}

fn point(value: &RawValue<'_>) -> Option<[f32; 2]> {
    let number = |value: &RawValue<'_>| match value.get_ref() {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    };
    match &value.get_ref().as_array()?[..] {
        [x, y] => Some([number(x)?, number(y)?]),
        _ => None,
    }
}

/// What [`absolute_path`] asks for.
pub(super) const ABSOLUTE_PATH: &str = "allowed is an absolute path, as \"/var/lib/sekisho\"";

/// A path that means the same wherever the program was started.
pub(super) fn absolute_path(text: &str) -> Result<PathBuf, String> {
    // PATH_MAX of Linux; a longer one cannot be opened.
    const BYTES_MAX: usize = 4095;
    let path = Path::new(text);
    if text.len() > BYTES_MAX || text.chars().any(char::is_control) {
        Err("is too long for a path or holds control characters".to_owned())
    } else if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        Err("is not an absolute path, or holds \"..\"".to_owned())
    } else {
        Ok(path.to_owned())
    }
}
