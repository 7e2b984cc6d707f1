//! What people read at a terminal.

use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};

/// Prints a JSON document, indented.
pub fn json(value: &Value) {
    line(&format!("{value:#}"));
}

/// Prints one line. A closed pipe (`| head`) is no error worth a message.
pub fn line(text: &str) {
    let _closed_pipe = writeln!(std::io::stdout(), "{text}");
}

/// Whether somebody looks at standard output right now.
#[must_use]
pub fn watched() -> bool {
    std::io::stdout().is_terminal()
}

/// How wide the terminal is that somebody looks at; `None` where nobody does.
fn columns() -> Option<usize> {
    if !watched() {
        return None;
    }
    ratatui::crossterm::terminal::size().ok().map(|(columns, _)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// Prints a line whose first `indent` bytes are a label; on a terminal it is folded between words, under its text.
pub fn labelled(text: &str, indent: usize) {
    match (columns(), text.split_at_checked(indent)) {
        (Some(columns), Some((label, said))) => wrapped(said, label, indent, columns).iter().for_each(|one| line(one)),
        _ => line(text),
    }
}

/// `head` and `text` in lines of at most `columns`, from the second on below column `indent`; a word that is longer than a
/// line (a path) stands alone on one.
#[must_use]
pub fn wrapped(text: &str, head: &str, indent: usize, columns: usize) -> Vec<String> {
    let mut lines = vec![head.to_owned()];
    let mut is_fresh = true;
    for word in text.split_whitespace() {
        let last = lines.last_mut();
        let length = last.as_ref().map_or(0, |line| line.chars().count());
        let gap = usize::from(!is_fresh);
        match last {
            Some(line) if is_fresh || length + gap + word.chars().count() <= columns => {
                line.push_str(if is_fresh { "" } else { " " });
                line.push_str(word);
            }
            _ => lines.push(format!("{:indent$}{word}", "")),
        }
        is_fresh = false;
    }
    lines
}

/// A plain table: columns as wide as their widest cell, two spaces apart.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let print = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![print(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| print(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A field of a JSON document as a person would write it; `-` when it is absent.
#[must_use]
pub fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["gate".into(), "5".into()], vec!["yard-left".into(), "12".into()]];
        assert_eq!(table(&["camera", "faces"], &rows), "camera     faces\ngate       5\nyard-left  12");
    }
}
