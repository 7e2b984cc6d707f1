//! The report as one page, in every language. The order is the reader's: what it comes to, then by size, then why
//! people were missed, groups, the site's day and year, and how it was measured.

mod confirm;
mod method;
mod money;
mod sizes;
mod verdict;

use super::Evaluation;
use crate::page::chart::number;
use crate::page::words::{Said, Words};
use crate::page::{Language, Page};
use sekisho_logic::evaluation::Share;
use sekisho_logic::impact::Ranged;
use std::sync::LazyLock;

/// Sentences of the report; a test holds the file right.
static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("../words.toml")).unwrap_or_default());

/// A sentence of the report with its values, in both languages.
#[must_use]
pub fn say(key: &str, values: &[(&str, Said)]) -> Said {
    WORDS.say(key, values)
}

/// The whole report: one file, both languages.
#[must_use]
pub fn report(evaluation: &Evaluation) -> String {
    let title = Said::same(format!("Sekisho: {}", evaluation.site.site.name));
    let mut page = Page::new(title, Language::En);
    page.raw(&Body { of: evaluation }.all());
    page.render()
}

/// What stands in the page.
struct Body<'e> {
    of: &'e Evaluation,
}

impl Body<'_> {
    fn all(&self) -> String {
        let parts = [
            self.head(),
            self.verdict(),
            self.sizes(),
            self.confirmation(),
            self.reasons(),
            self.groups(),
            self.site(),
            self.method(),
            self.remarks(),
        ];
        parts.concat()
    }

    fn head(&self) -> String {
        let site = if self.of.site.given { Said::same(&self.of.site.site.name) } else { say("example-site", &[]) };
        let about = &self.of.about;
        // To the minute: 2026-11-24T22:06:05.604Z becomes 2026-11-24 22:06 UTC.
        let made = format!("{} UTC", about.made.get(..16).unwrap_or(&about.made).replace('T', " "));
        let values = [("site", site), ("made", Said::same(made)), ("version", Said::same(about.version))];
        format!("<h1>{}</h1>\n{}", html("title"), paragraph("sub", &say("subtitle", &values)))
    }

    /// `62 % (55 to 69)`, or that nothing was measured.
    fn share(&self, share: &Share) -> Said {
        let Some(value) = share.value() else { return say("none-measured", &[]) };
        say("range", &same([("value", percent(value)), ("low", per_cent(share.low)), ("high", per_cent(share.high))]))
    }

    /// The same of 1,000 and without unit, for small rates.
    fn of_1000(&self, share: &Share) -> Said {
        let Some(value) = share.value() else { return say("none-measured", &[]) };
        let [value, low, high] = [value, share.low, share.high].map(|rate| number(1000.0 * rate));
        say("range", &same([("value", value), ("low", low), ("high", high)]))
    }

    fn per_mille(&self, share: &Share) -> Said {
        say("per-1000", &[("value", self.of_1000(share))])
    }

    fn ranged(&self, figure: &Ranged) -> Said {
        let range = [("value", number(figure.value)), ("low", number(figure.low)), ("high", number(figure.high))];
        say("range", &same(range))
    }

    fn target(&self) -> Said {
        self.rate(self.of.about.target_fpir)
    }

    fn rate(&self, rate: f64) -> Said {
        say("per-1000", &same([("value", number(1000.0 * rate))]))
    }

    /// Upper edge of the bin that begins at `from_px`.
    fn upper(&self, from_px: f32) -> Option<f32> {
        let row =
            self.of.main.sizes.iter().find(|row| row.from_px.is_some_and(|from| from.to_bits() == from_px.to_bits()));
        row.and_then(|row| row.to_px)
    }

    fn size(&self, from_px: Option<f32>, to_px: Option<f32>) -> Said {
        let px = |edge: f32| number(f64::from(edge));
        match (from_px, to_px) {
            (Some(from), Some(to)) => say("size-range", &same([("from", px(from)), ("to", px(to))])),
            (Some(from), None) => say("size-last", &same([("from", px(from))])),
            (None, to) => say("size-below", &same([("to", to.map_or("?".into(), px))])),
        }
    }
}

/// A sentence without values, as markup.
fn html(key: &str) -> String {
    say(key, &[]).html()
}

/// Values that are the same in both languages.
fn same<const N: usize>(values: [(&str, String); N]) -> [(&str, Said); N] {
    values.map(|(name, value)| (name, Said::same(value)))
}

fn heading(key: &str) -> String {
    format!("<h2>{}</h2>\n", html(key))
}

fn paragraph(class: &str, said: &Said) -> String {
    format!("<p class=\"{class}\">{}</p>\n", said.html())
}

/// What the sample is too small for, under a figure.
fn open(said: &Said) -> String {
    format!("<small class=\"open\">{}</small>", said.html())
}

/// `62 %`, with a decimal below ten.
fn percent(share: f64) -> String {
    format!("{} %", per_cent(share))
}

fn per_cent(share: f64) -> String {
    let value = 100.0 * share;
    if value < 9.95 && value > 1e-9 { format!("{value:.1}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::impact::Site;
    use sekisho_logic::outcome::Undecidable;

    #[test]
    fn every_text_is_written_in_both_languages() {
        let words = Words::parse(include_str!("../words.toml")).expect("valid TOML");
        let sources = [
            include_str!("mod.rs"),
            include_str!("verdict.rs"),
            include_str!("sizes.rs"),
            include_str!("money.rs"),
            include_str!("method.rs"),
            include_str!("confirm.rs"),
        ];
        let sources = sources.map(|text| {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            ["html(\"", "heading(\"", "row(\""].iter().fold(code.to_owned(), |code, asks| code.replace(asks, "say(\""))
        });
        let sources = sources.each_ref().map(String::as_str);
        assert!(sources.concat().matches("say(\"").count() > 60, "the sources are searched");
        assert_eq!(words.faults(&sources), Vec::<String>::new());
    }

    #[test]
    fn every_outcome_input_and_remark_has_its_words() {
        let reasons =
            Undecidable::ALL.map(Undecidable::as_str).into_iter().chain(["no-face", "not-enrolled", "candidate"]);
        let keys = reasons.map(|reason| format!("reason-{reason}"));
        let keys = keys.chain(Site::INPUTS.iter().map(|input| format!("in-{}", input.key)));
        let notes = [
            "one-photo",
            "not-enrolled",
            "doubles",
            "stranger-enrolled",
            "same-file",
            "skipped",
            "skipped-more",
            "ignored",
        ];
        for key in keys.chain(notes.map(|note| format!("note-{note}"))) {
            assert!(WORDS.has(&key), "{key}");
        }
    }

    #[test]
    fn shares_keep_a_decimal_where_it_matters() {
        assert_eq!([0.0, 0.0123, 0.099, 0.0999, 0.5, 1.0].map(per_cent), ["0", "1.2", "9.9", "10", "50", "100"],);
    }
}
