//! The report as one page, in every language. The order is the reader's: what it comes to, then by size, then why
//! people were missed, groups, the site's day and year, and how it was measured.

mod method;
mod money;
mod sizes;
mod verdict;

use super::Evaluation;
use crate::report::html::{escape, number, page};
use crate::report::words::{Language, Words};
use sekisho_logic::evaluation::Share;
use sekisho_logic::impact::Ranged;

/// Sentences of the report.
const WORDS: &str = include_str!("../words.toml");

/// The sentences in one language.
///
/// # Errors
/// What is wrong with the data file; the tests keep it right.
pub fn words(language: Language) -> Result<Words, String> {
    Words::read(WORDS, language)
}

/// The whole report.
///
/// # Errors
/// What is wrong with the data file.
pub fn report(evaluation: &Evaluation) -> Result<String, String> {
    let mut bodies = Vec::new();
    for language in Language::ALL {
        bodies.push((language, Body { words: words(language)?, of: evaluation }.all()));
    }
    Ok(page(&format!("Sekisho: {}", evaluation.site.site.name), &bodies))
}

/// One language's page.
struct Body<'e> {
    words: Words,
    of: &'e Evaluation,
}

impl Body<'_> {
    fn all(&self) -> String {
        let parts = [
            self.head(),
            self.verdict(),
            self.sizes(),
            self.reasons(),
            self.groups(),
            self.site(),
            self.method(),
            self.remarks(),
        ];
        parts.concat()
    }

    fn head(&self) -> String {
        let other = Language::ALL.into_iter().find(|language| *language != self.words.language());
        let tag = other.map_or("en", Language::tag);
        let site = if self.of.site.given { escape(&self.of.site.site.name) } else { self.words.of("example-site") };
        let about = &self.of.about;
        // To the minute: 2026-11-24T22:06:05.604Z becomes 2026-11-24 22:06 UTC.
        let made = format!("{} UTC", about.made.get(..16).unwrap_or(&about.made).replace('T', " "));
        format!(
            "<p class=\"switch\"><a href=\"#{tag}\" lang=\"{tag}\">{}</a></p>\n<h1>{}</h1>\n<p class=\"sub\">{}</p>\n",
            self.words.of("other-language"),
            self.words.of("title"),
            self.words.with("subtitle", &[("site", &site), ("made", &made), ("version", about.version)]),
        )
    }

    fn heading(&self, key: &str) -> String {
        format!("<h2>{}</h2>\n", self.words.of(key))
    }

    fn paragraph(&self, class: &str, text: &str) -> String {
        format!("<p class=\"{class}\">{text}</p>\n")
    }

    /// `62 % (55 to 69)`, or that nothing was measured.
    fn share(&self, share: &Share) -> String {
        let Some(value) = share.value() else { return self.words.of("none-measured") };
        let range = [("value", percent(value)), ("low", per_cent(share.low)), ("high", per_cent(share.high))];
        self.values("range", &range)
    }

    /// The same of 1,000 and without unit, for small rates.
    fn of_1000(&self, share: &Share) -> String {
        let Some(value) = share.value() else { return self.words.of("none-measured") };
        let range = [value, share.low, share.high].map(|rate| number(1000.0 * rate));
        let [value, low, high] = range;
        self.values("range", &[("value", value), ("low", low), ("high", high)])
    }

    fn per_mille(&self, share: &Share) -> String {
        self.words.with("per-1000", &[("value", &self.of_1000(share))])
    }

    fn ranged(&self, figure: &Ranged) -> String {
        let range = [("value", number(figure.value)), ("low", number(figure.low)), ("high", number(figure.high))];
        self.values("range", &range)
    }

    fn values(&self, key: &str, values: &[(&str, String)]) -> String {
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.words.with(key, &values)
    }

    fn target(&self) -> String {
        self.rate(self.of.about.target_fpir)
    }

    fn rate(&self, rate: f64) -> String {
        self.words.with("per-1000", &[("value", &number(1000.0 * rate))])
    }

    /// Upper edge of the bin that begins at `from_px`.
    fn upper(&self, from_px: f32) -> Option<f32> {
        let row =
            self.of.main.sizes.iter().find(|row| row.from_px.is_some_and(|from| from.to_bits() == from_px.to_bits()));
        row.and_then(|row| row.to_px)
    }

    fn size(&self, from_px: Option<f32>, to_px: Option<f32>) -> String {
        let px = |edge: f32| number(f64::from(edge));
        match (from_px, to_px) {
            (Some(from), Some(to)) => self.values("size-range", &[("from", px(from)), ("to", px(to))]),
            (Some(from), None) => self.values("size-last", &[("from", px(from))]),
            (None, to) => self.values("size-below", &[("to", to.map_or("?".into(), px))]),
        }
    }
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
    use crate::report::words::MISSING;
    use sekisho_logic::impact::Site;
    use sekisho_logic::outcome::Undecidable;

    #[test]
    fn every_outcome_input_and_remark_has_its_words_in_both_languages() {
        for language in Language::ALL {
            let words = words(language).expect("a good data file");
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
                assert!(!words.of(&key).starts_with(MISSING), "{key} has no {}", language.tag());
            }
        }
    }

    #[test]
    fn shares_keep_a_decimal_where_it_matters() {
        assert_eq!([0.0, 0.0123, 0.099, 0.0999, 0.5, 1.0].map(per_cent), ["0", "1.2", "9.9", "10", "50", "100"],);
    }
}
