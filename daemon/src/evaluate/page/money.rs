//! The site's day and year: every input, every formula with its numbers, and what would change the result.

use super::{Body, heading, html, paragraph, say};
use crate::page::chart::number;
use crate::page::headed;
use crate::page::words::Said;
use sekisho_logic::impact::{Ranged, Site, Year};

impl Body<'_> {
    pub(super) fn site(&self) -> String {
        let mut out = heading("site");
        if !self.of.site.given {
            out += &paragraph("warn", &say("site-default", &[]));
        }
        out += &format!("<h3>{}</h3>\n", html("inputs"));
        let rows = Site::INPUTS.iter().map(|input| {
            vec![self.input(input.key), number((input.get)(&self.of.site.site)), format!("<code>{}</code>", input.key)]
        });
        out += &headed(&[html("input"), html("value"), String::new()], &rows.collect::<Vec<_>>());
        out += &self.day();
        out += &self.year();
        out += &self.sensitivity();
        out
    }

    fn input(&self, key: &str) -> String {
        say(&format!("in-{key}"), &[("currency", self.currency())]).html()
    }

    fn currency(&self) -> Said {
        Said::same(&self.of.site.site.currency)
    }

    fn day(&self) -> String {
        let (site, day, rates) = (&self.of.site.site, &self.of.site.impact.day, &self.of.site.rates.value);
        let word = |key: &str, value: f64| format!("{} {}", html(key), number(value));
        let exact = |value: f64| Ranged { value, low: value, high: value };
        let rows: [(&str, String, &Ranged); 8] = [
            (
                "f-passes",
                format!("{} x {}", word("w-people", site.people_per_day_and_camera), word("w-cameras", site.cameras)),
                &exact(day.passes),
            ),
            (
                "f-strangers",
                format!("{} x (1 - {})", number(day.passes), number(site.enrolled_share)),
                &exact(day.strangers),
            ),
            (
                "f-false",
                format!("{} x FPIR {}", word("w-strangers", day.strangers), number(rates.false_candidate)),
                &day.false_candidates,
            ),
            (
                "f-true",
                format!("{} x TPIR {}", word("w-enrolled", day.enrolled), number(rates.found)),
                &day.true_candidates,
            ),
            (
                "f-confirmed",
                format!(
                    "{} x {} + {} x {}",
                    word("w-strangers", day.strangers),
                    word("w-false-confirmed", rates.false_confirmed),
                    word("w-enrolled", day.enrolled),
                    word("w-found-confirmed", rates.found_confirmed),
                ),
                &day.confirmed,
            ),
            (
                "f-missed",
                format!("{} x (1 - TPIR {})", word("w-enrolled", day.enrolled), number(rates.found)),
                &day.missed,
            ),
            (
                "f-reviews",
                format!(
                    "{} x {} + {} x {} x {}",
                    number(day.strangers),
                    number(rates.false_confirmed),
                    number(day.enrolled),
                    number(rates.found_confirmed),
                    word("w-reviewed", site.reviewed_share),
                ),
                &day.reviews,
            ),
            (
                "f-minutes",
                format!("{} x {}", number(day.reviews.value), word("w-minutes", site.minutes_per_review)),
                &day.minutes,
            ),
        ];
        let head = ["figure", "formula", "result"].map(html);
        let rows = rows.into_iter().map(|(key, formula, result)| {
            let spread = (result.high - result.low).abs() > 1e-9;
            let result = if spread { self.ranged(result).html() } else { number(result.value) };
            vec![html(key), formula, result]
        });
        format!("<h3>{}</h3>\n{}", html("day"), headed(&head, &rows.collect::<Vec<_>>()))
    }

    fn year(&self) -> String {
        let impact = &self.of.site.impact;
        let ways = [&impact.nothing, &impact.today, &impact.replacing];
        let row = |key: &str, part: &dyn Fn(&Year) -> f64| {
            let mut row = vec![html(key)];
            row.extend(ways.iter().map(|way| number(part(way))));
            row
        };
        let rows = [
            row("y-cameras", &|year| year.cameras),
            row("y-equipment", &|year| year.equipment),
            row("y-power", &|year| year.power),
            row("y-care", &|year| year.care),
            row("y-review", &|year| year.review),
            row("y-missed", &|year| year.missed_events),
            row("y-total", &Year::total).into_iter().map(|cell| format!("<b>{cell}</b>")).collect(),
        ];
        let currency = self.currency();
        let mut head = vec![String::new()];
        head.extend(["y-nothing", "y-today", "y-replacing"].map(html));
        let advantage = &impact.advantage;
        let (key, shown) = if advantage.value >= 0.0 {
            ("y-advantage", *advantage)
        } else {
            ("y-disadvantage", Ranged { value: -advantage.value, low: -advantage.high, high: -advantage.low })
        };
        let said = [
            ("amount", Said::same(number(shown.value))),
            ("currency", currency.clone()),
            ("low", Said::same(number(shown.low))),
            ("high", Said::same(number(shown.high))),
        ];
        let total = [("value", self.ranged(&impact.today_total)), ("currency", currency.clone())];
        format!(
            "<h3>{}</h3>\n{}<p><strong>{}</strong></p>\n<p>{}</p>\n",
            say("year", &[("currency", currency)]).html(),
            headed(&head, &rows),
            say(key, &said).html(),
            say("y-total-range", &total).html(),
        )
    }

    fn sensitivity(&self) -> String {
        let heads = ["input", "value", "s-total-half", "s-total-double", "s-adv-half", "s-adv-double"];
        let head: Vec<String> = heads.into_iter().map(html).collect();
        let rows = self.of.site.impact.sensitivity.iter().map(|row| {
            vec![
                self.input(row.input),
                number(row.value),
                number(row.total_at_half),
                number(row.total_at_double),
                number(row.advantage_at_half),
                number(row.advantage_at_double),
            ]
        });
        let currency = self.currency();
        format!(
            "<h3>{}</h3>\n<p>{}</p>\n{}",
            html("sensitivity"),
            say("sensitivity-lead", &[("currency", currency)]).html(),
            headed(&head, &rows.collect::<Vec<_>>()),
        )
    }
}
