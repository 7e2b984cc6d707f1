//! What it comes to, in plain words, and what the sample does not carry.

use super::{Body, heading, html, paragraph, per_cent, same, say};
use crate::page::chart::number;
use crate::page::words::Said;
use sekisho_logic::evaluation::Claim;
use sekisho_logic::impact::Ranged;
use std::fmt::Write as _;

impl Body<'_> {
    pub(super) fn verdict(&self) -> String {
        let all = &self.of.main.all;
        let (found, falsely) = (&all.found, &all.false_candidates);
        let value = |share: &sekisho_logic::evaluation::Share| share.value().unwrap_or_default();
        let sentence = say(
            if self.of.site.confirming_measured { "verdict-clip" } else { "verdict-photo" },
            &same([
                ("found", per_cent(value(found))),
                ("low", per_cent(found.low)),
                ("high", per_cent(found.high)),
                ("false", number(1000.0 * value(falsely))),
                ("false_low", number(1000.0 * falsely.low)),
                ("false_high", number(1000.0 * falsely.high)),
            ]),
        );
        let mut out = heading("verdict");
        out += &format!("<div class=\"banner\">{}</div>\n", paragraph("head", &sentence));
        out += &self.cards();
        out += &paragraph("", &say("verdict-use", &[]));
        let limits = self.limits();
        if !limits.is_empty() {
            let _infallible =
                write!(out, "<div class=\"warn\"><strong>{}</strong><ul class=\"help\">", html("limits-of-sample"));
            limits.iter().for_each(|limit| out += &format!("<li>{}</li>", limit.html()));
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
        let mut out = String::from("<div class=\"tiles\">\n");
        for (key, figure) in [
            ("card-found", &found),
            ("card-false", &day.false_candidates),
            ("card-minutes", &day.minutes),
            ("card-missed", &day.missed),
        ] {
            let range = same([("low", number(figure.low)), ("high", number(figure.high))]);
            let _infallible = writeln!(
                out,
                "<div class=\"tile\"><b>{}</b><span>{}<br>{}</span></div>",
                number(figure.value),
                html(key),
                say("card-range", &range).html(),
            );
        }
        out += "</div>\n";
        if !self.of.site.given {
            out += &paragraph("note", &say("card-site-default", &[]));
        }
        out
    }

    fn limits(&self) -> Vec<Said> {
        let all = &self.of.main.all;
        let mut limits = Vec::new();
        if let Claim::NotClaimed { people, .. } = all.claim_found {
            let values = same([("people", all.found.people.to_string()), ("needed", people.to_string())]);
            limits.push(say("limit-found", &values));
        }
        if let Claim::NotClaimed { people, trials } = all.claim_false {
            let values = [
                ("of", Said::same(all.false_candidates.of)),
                ("people", Said::same(all.false_candidates.people)),
                ("target", self.target()),
                ("trials", Said::same(number_of(trials))),
                ("needed", Said::same(people)),
            ];
            limits.push(say("limit-false", &values));
        }
        // Beyond chance: even the lower end of the interval is above what was permitted.
        if all.false_candidates.of > 0 && all.false_candidates.low > self.of.about.target_fpir {
            limits.push(say("limit-over-target", &[("target", self.target())]));
        }
        if !self.of.site.confirming_measured {
            limits.push(say("limit-photos", &[]));
        }
        if self.of.sizes.strangers_are_enrolled_people {
            limits.push(say("limit-stand-in", &[]));
        }
        limits
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of tracks are far below 2^52")]
fn number_of(count: u64) -> String {
    number(count as f64)
}
