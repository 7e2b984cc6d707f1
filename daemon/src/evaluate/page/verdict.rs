//! What it comes to, in plain words, and what the sample does not carry.

use super::{Body, per_cent};
use crate::report::html::number;
use sekisho_logic::evaluation::Claim;
use sekisho_logic::impact::Ranged;
use std::fmt::Write as _;

impl Body<'_> {
    pub(super) fn verdict(&self) -> String {
        let all = &self.of.main.all;
        let (found, falsely) = (&all.found, &all.false_candidates);
        let value = |share: &sekisho_logic::evaluation::Share| share.value().unwrap_or_default();
        let sentence = self.values(
            if self.of.site.confirming_measured { "verdict-clip" } else { "verdict-photo" },
            &[
                ("found", per_cent(value(found))),
                ("low", per_cent(found.low)),
                ("high", per_cent(found.high)),
                ("false", number(1000.0 * value(falsely))),
                ("false_low", number(1000.0 * falsely.low)),
                ("false_high", number(1000.0 * falsely.high)),
            ],
        );
        let mut out = self.heading("verdict");
        out += &self.paragraph("lead", &sentence);
        out += &self.cards();
        out += &self.paragraph("", &self.words.of("verdict-use"));
        let limits = self.limits();
        if !limits.is_empty() {
            let _infallible =
                write!(out, "<div class=\"box\"><strong>{}</strong><ul>", self.words.of("limits-of-sample"));
            limits.iter().for_each(|limit| out += &format!("<li>{limit}</li>"));
            out += "</ul></div>\n";
        }
        out
    }

    fn cards(&self) -> String {
        let day = &self.of.site.impact.day;
        let found = &self.of.main.all.found;
        let found = Ranged {
            value: 100.0 * found.value().unwrap_or_default(),
            low: 100.0 * found.low,
            high: 100.0 * found.high,
        };
        let mut out = String::from("<div class=\"cards\">\n");
        for (key, figure) in [
            ("card-found", &found),
            ("card-false", &day.false_candidates),
            ("card-minutes", &day.minutes),
            ("card-missed", &day.missed),
        ] {
            let range = [("low", number(figure.low)), ("high", number(figure.high))];
            let _infallible = writeln!(
                out,
                "<div class=\"card\"><b>{}</b><span>{}</span><span>{}</span></div>",
                number(figure.value),
                self.words.of(key),
                self.values("card-range", &range),
            );
        }
        out += "</div>\n";
        if !self.of.site.given {
            out += &self.paragraph("note", &self.words.of("card-site-default"));
        }
        out
    }

    fn limits(&self) -> Vec<String> {
        let all = &self.of.main.all;
        let mut limits = Vec::new();
        if let Claim::NotClaimed { people, .. } = all.claim_found {
            let values = [("people", all.found.people.to_string()), ("needed", people.to_string())];
            limits.push(self.values("limit-found", &values));
        }
        if let Claim::NotClaimed { people, trials } = all.claim_false {
            let values = [
                ("of", all.false_candidates.of.to_string()),
                ("people", all.false_candidates.people.to_string()),
                ("target", self.target()),
                ("trials", number_of(trials)),
                ("needed", people.to_string()),
            ];
            limits.push(self.values("limit-false", &values));
        }
        // Beyond chance: even the lower end of the interval is above what was permitted.
        if all.false_candidates.of > 0 && all.false_candidates.low > self.of.about.target_fpir {
            limits.push(self.values("limit-over-target", &[("target", self.target())]));
        }
        if !self.of.site.confirming_measured {
            limits.push(self.words.of("limit-photos"));
        }
        if self.of.sizes.strangers_are_enrolled_people {
            limits.push(self.words.of("limit-stand-in"));
        }
        limits
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tracks are far below 2^52")]
fn number_of(count: u64) -> String {
    number(count as f64)
}
