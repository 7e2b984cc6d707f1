//! Pages for people: one file, no script, nothing fetched from anywhere, English and Japanese in one.
//!
//! ```text
//! words (TOML, both languages) -> Said --\
//! figures -> chart (SVG) ----------------- Page -> one HTML file -> report::write (mode 0600)
//! pixels -> picture (data address) ------/
//! ```
//!
//! Both languages are in the page; two radio buttons and a rule of the style sheet show one of them, so that it works
//! from a mail, from paper and with scripts forbidden.

pub mod brief;
pub mod chart;
pub mod curves;
pub mod picture;
pub mod report;
pub mod words;

use std::fmt::Write as _;
use words::Said;

const STYLE: &str = include_str!("style.css");

/// The language a page opens in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

/// A page under construction.
#[derive(Clone, Debug)]
pub struct Page {
    title: Said,
    first: Language,
    body: String,
}

/// Text fit to stand between tags and in quoted attributes.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

impl Page {
    /// An empty page.
    #[must_use]
    pub const fn new(title: Said, first: Language) -> Self {
        Self { title, first, body: String::new() }
    }

    /// Adds markup as it is. Whatever came from outside goes through [`escaped`] first.
    pub fn raw(&mut self, html: &str) -> &mut Self {
        self.body.push_str(html);
        self.body.push('\n');
        self
    }

    /// Adds `<tag class="class">text</tag>` in both languages.
    pub fn add(&mut self, tag: &str, class: &str, text: &Said) -> &mut Self {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{}\"", escaped(class)) };
        self.raw(&format!("<{tag}{class}>{}</{tag}>", text.html()))
    }

    /// Adds a table; the first row is its head. Cells are markup: [`Said::html`] or [`escaped`].
    pub fn table(&mut self, rows: &[Vec<String>]) -> &mut Self {
        self.raw(&table(rows))
    }

    /// Adds a chart under its heading, with a sentence that says how to read it.
    pub fn figure(&mut self, heading: &Said, svg: &str, note: &Said) -> &mut Self {
        self.raw(&format!("<figure><h3>{}</h3>{svg}<figcaption>{}</figcaption></figure>", heading.html(), note.html()))
    }

    /// The whole file.
    #[must_use]
    pub fn render(&self) -> String {
        let (en, ja) = match self.first {
            Language::En => (" checked", ""),
            Language::Ja => ("", " checked"),
        };
        let (lang, title) = match self.first {
            Language::En => ("en", &self.title.en),
            Language::Ja => ("ja", &self.title.ja),
        };
        let mut out = String::with_capacity(self.body.len() + STYLE.len() + 1024);
        // Writing to a string cannot fail.
        let _written = write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             img-src data:\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <input type=\"radio\" name=\"language\" id=\"language-en\"{en}>\
             <input type=\"radio\" name=\"language\" id=\"language-ja\"{ja}>\n\
             <nav><label for=\"language-en\">English</label><label for=\"language-ja\" lang=\"ja\">\
             &#26085;&#26412;&#35486;</label></nav>\n<main>\n{}</main>\n</body>\n</html>\n",
            escaped(title),
            self.body,
        );
        out
    }
}

/// A table as markup; the first row is its head. A wide one scrolls sideways by itself.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=\"wide\"><table>");
    for (at, row) in rows.iter().enumerate() {
        let (open, close) = if at == 0 { ("<th>", "</th>") } else { ("<td>", "</td>") };
        out.push_str(if at == 0 { "<thead><tr>" } else { "<tr>" });
        for cell in row {
            out.push_str(open);
            out.push_str(cell);
            out.push_str(close);
        }
        out.push_str(if at == 0 { "</tr></thead><tbody>" } else { "</tr>" });
    }
    out.push_str("</tbody></table></div>");
    out
}

/// The same with the head apart from the rows.
#[must_use]
pub fn headed(head: &[String], rows: &[Vec<String>]) -> String {
    let all: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(rows.iter().cloned()).collect();
    table(&all) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_cannot_become_markup() {
        let hostile = "<script>alert('x')</script>\" onload=\"y&";
        let mut page = Page::new(Said::same(hostile), Language::En);
        page.add("p", "note", &Said::same(hostile)).table(&[vec![escaped(hostile)]]);
        let html = page.render();
        assert!(!html.contains("<script") && !html.contains("\" onload="), "{html}");
        assert!(html.contains("&lt;script&gt;"));
    }

    #[test]
    fn both_languages_are_there_and_the_wanted_one_is_shown_first() {
        let said = Said { en: "door".into(), ja: "\u{6249}".into() };
        let mut page = Page::new(said.clone(), Language::Ja);
        page.add("p", "", &said);
        let html = page.render();
        assert!(html.contains("<span class=\"en\" lang=\"en\">door</span>"));
        assert!(html.contains("<span class=\"ja\" lang=\"ja\">\u{6249}</span>"));
        assert!(html.contains("id=\"language-ja\" checked") && html.contains("<html lang=\"ja\">"));
        assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"), "self-contained");
    }
}
