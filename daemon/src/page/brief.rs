//! A short document of headings, sentences, lists and tables, written out as plain text, Markdown or a page: for what people
//! print, file or hang up.

use super::words::Said;
use super::{Language, Page, headed};

/// A piece of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Heading(Said),
    Line(Said),
    Item(Said),
    Table(Vec<Said>, Vec<Vec<Said>>),
}

/// The document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    title: Said,
    pieces: Vec<Piece>,
}

/// One language of a text.
fn of(said: &Said, language: Language) -> &str {
    match language {
        Language::En => &said.en,
        Language::Ja => &said.ja,
    }
}

/// A cell of a Markdown table, or a line: nothing in it may end the cell or begin something else.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

impl Brief {
    /// An empty document.
    #[must_use]
    pub const fn new(title: Said) -> Self {
        Self { title, pieces: Vec::new() }
    }

    /// Its title.
    #[must_use]
    pub const fn title(&self) -> &Said {
        &self.title
    }

    /// Begins a section.
    pub fn heading(&mut self, said: Said) -> &mut Self {
        self.pieces.push(Piece::Heading(said));
        self
    }

    /// Adds a paragraph.
    pub fn line(&mut self, said: Said) -> &mut Self {
        self.pieces.push(Piece::Line(said));
        self
    }

    /// Adds an item of a list.
    pub fn item(&mut self, said: Said) -> &mut Self {
        self.pieces.push(Piece::Item(said));
        self
    }

    /// Adds a table with its head.
    pub fn table(&mut self, head: Vec<Said>, rows: Vec<Vec<Said>>) -> &mut Self {
        self.pieces.push(Piece::Table(head, rows));
        self
    }

    /// As Markdown, which is fit to be read as it is.
    #[must_use]
    pub fn markdown(&self, language: Language) -> String {
        let mut out = format!("# {}\n", plain(of(&self.title, language)));
        let mut in_list = false;
        for piece in &self.pieces {
            let is_item = matches!(piece, Piece::Item(_));
            if !(in_list && is_item) {
                out.push('\n');
            }
            in_list = is_item;
            match piece {
                Piece::Heading(said) => out.push_str(&format!("## {}\n", plain(of(said, language)))),
                Piece::Line(said) => out.push_str(&format!("{}\n", plain(of(said, language)))),
                Piece::Item(said) => out.push_str(&format!("- {}\n", plain(of(said, language)))),
                Piece::Table(head, rows) => {
                    let line = |cells: &[Said]| {
                        let cells: Vec<_> = cells.iter().map(|cell| plain(of(cell, language))).collect();
                        format!("| {} |\n", cells.join(" | "))
                    };
                    out.push_str(&line(head));
                    out.push_str(&format!("|{}\n", "---|".repeat(head.len())));
                    rows.iter().for_each(|row| out.push_str(&line(row)));
                }
            }
        }
        out
    }

    /// Adds all of it to a page.
    pub fn onto(&self, page: &mut Page) {
        let mut in_list = false;
        for piece in &self.pieces {
            let is_item = matches!(piece, Piece::Item(_));
            if is_item != in_list {
                page.raw(if is_item { "<ul>" } else { "</ul>" });
            }
            in_list = is_item;
            match piece {
                Piece::Heading(said) => {
                    page.add("h2", "", said);
                }
                Piece::Line(said) => {
                    page.add("p", "", said);
                }
                Piece::Item(said) => {
                    page.add("li", "", said);
                }
                Piece::Table(head, rows) => {
                    let cells = |row: &[Said]| row.iter().map(Said::html).collect::<Vec<_>>();
                    let rows: Vec<_> = rows.iter().map(|row| cells(row)).collect();
                    page.raw(&headed(&cells(head), &rows));
                }
            }
        }
        if in_list {
            page.raw("</ul>");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_wrote_cannot_become_markup_in_either_form() {
        let hostile = Said::same("a | b <script>x</script>\n# c");
        let mut brief = Brief::new(Said::same("t"));
        brief.heading(Said::same("h")).item(hostile.clone()).item(Said::same("second"));
        brief.table(vec![Said::same("k")], vec![vec![hostile]]);
        let text = brief.markdown(Language::En);
        assert!(text.contains("- a \\| b &lt;script>x&lt;/script> # c\n- second\n"), "{text}");
        let mut page = Page::new(Said::same("t"), Language::En);
        brief.onto(&mut page);
        let html = page.render();
        assert!(!html.contains("<script") && html.contains("<ul>") && html.contains("</ul>"), "{html}");
    }
}
