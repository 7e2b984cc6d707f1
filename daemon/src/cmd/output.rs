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
