//! First stage: what was written. The file as a tree of values, each with its line.

use super::problem::Findings;
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One value with the place it was written at.
pub(super) type RawValue<'t> = Spanned<DeValue<'t>>;
/// Keys and values of one section.
pub(super) type RawTable<'t> = DeTable<'t>;

/// The tree, and where each line of the text ends.
pub(super) struct Raw<'t> {
    pub(super) root: RawTable<'t>,
    line_ends: Vec<usize>,
}

impl<'t> Raw<'t> {
    /// Reads as much of `text` as can be read. Syntax errors go to `findings`; the line of the first one is returned
    /// beside the tree, because what follows it may have been understood wrongly.
    pub(super) fn parse(text: &'t str, findings: &mut Findings) -> (Self, Option<usize>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let line_ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let raw = Self { root: root.into_inner(), line_ends };
        let mut first = None;
        for error in errors {
            let line = error.span().map_or(1, |span| raw.line(&span));
            // The message is the parser's own words and never a piece of the file, which may hold a password in the
            // wrong place.
            findings.problem(
                (line, "", ""),
                format!("this line is not TOML: {}", error.message()),
                "one `key = value` or `[section]` a line, text in double quotes",
            );
            first = Some(first.map_or(line, |earlier: usize| earlier.min(line)));
        }
        (raw, first)
    }

    /// The line, from 1, that a place in the text lies in.
    pub(super) fn line(&self, place: &Range<usize>) -> usize {
        self.line_ends.partition_point(|end| *end < place.start) + 1
    }
}

/// A key or name that came from the file, short and without control characters, fit for a message.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 64;
    if text.chars().count() <= CHARS_MAX && !text.chars().any(char::is_control) && !text.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.is_empty() {
        short.push_str("\"\"");
    } else if text.chars().count() > CHARS_MAX {
        short.push_str("...");
    }
    Cow::Owned(short)
}

/// What a value is, with its article.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}
