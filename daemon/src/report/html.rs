//! The frame of a page: one file, style inside, languages switched by links, readable on paper.

use super::words::Language;
use std::fmt::Write as _;

/// Text as HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A whole page. `bodies` holds what stands in the page, in each language; the link of a language is `#TAG`, and without
/// one the first is shown. Nothing is loaded from anywhere.
#[must_use]
pub fn page(title: &str, bodies: &[(Language, String)]) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n",
        bodies.first().map_or("en", |(language, _)| language.tag()),
        escape(title),
        include_str!("page.css"),
    );
    // The one that is shown without a link comes last, so that a chosen one before it can hide it (`:target ~`).
    for (language, body) in bodies.iter().rev() {
        let tag = language.tag();
        let _infallible = write!(out, "<main id=\"{tag}\" lang=\"{tag}\">\n{body}</main>\n");
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// A table; cells are HTML already. The first column holds the names of the rows.
#[must_use]
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut out = String::from("<div class=\"scroll\"><table>\n<thead><tr>");
    for cell in head {
        let _infallible = write!(out, "<th scope=\"col\">{cell}</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for (at, cell) in row.iter().enumerate() {
            let (open, close) = if at == 0 { ("<th scope=\"row\">", "</th>") } else { ("<td>", "</td>") };
            let _infallible = write!(out, "{open}{cell}{close}");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}

/// A number with as many digits as it is worth: three significant ones, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-9 {
        return "0".into();
    }
    let decimals = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        s if s >= 0.1 => 2,
        s if s >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = rest.map(|rest| rest.trim_end_matches('0')).filter(|rest| !rest.is_empty());
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_they_are_worth() {
        for (value, text) in [
            (0.0, "0"),
            (0.00123, "0.0012"),
            (0.5, "0.5"),
            (1.8, "1.8"),
            (12.34, "12.3"),
            (1_234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
            (999_999.9, "1,000,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn text_cannot_become_markup() {
        let hostile = escape("<script>alert('\"&')</script>");
        assert!(!hostile.contains(['<', '>', '"', '\'']), "{hostile}");
    }
}
