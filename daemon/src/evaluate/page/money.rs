//! The site's day and year: every input, every formula with its numbers, and what would change the result.

use super::Body;
use crate::report::html::{escape, number, table};
use sekisho_logic::impact::{Ranged, Site, Year};

impl Body<'_> {
    pub(super) fn site(&self) -> String {
        let mut out = self.heading("site");
        if !self.of.site.given {
            out += &self.paragraph("open", &self.words.of("site-default"));
        }
        out += &format!("<h3>{}</h3>\n", self.words.of("inputs"));
        let rows = Site::INPUTS.iter().map(|input| {
            vec![self.input(input.key), number((input.get)(&self.of.site.site)), format!("<code>{}</code>", input.key)]
        });
        out += &table(&[self.words.of("input"), self.words.of("value"), String::new()], &rows.collect::<Vec<_>>());
        out += &self.day();
        out += &self.year();
        out += &self.sensitivity();
        out
    }

    fn input(&self, key: &str) -> String {
        self.words.with(&format!("in-{key}"), &[("currency", &escape(&self.of.site.site.currency))])
    }

    fn day(&self) -> String {
        let (site, day, rates) = (&self.of.site.site, &self.of.site.impact.day, &self.of.site.rates.value);
        let word = |key: &str, value: f64| format!("{} {}", self.words.of(key), number(value));
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
        let head = ["figure", "formula", "result"].map(|key| self.words.of(key));
        let rows = rows.into_iter().map(|(key, formula, result)| {
            let spread = (result.high - result.low).abs() > 1e-9;
            let result = if spread { self.ranged(result) } else { number(result.value) };
            vec![self.words.of(key), formula, result]
        });
        format!("<h3>{}</h3>\n{}", self.words.of("day"), table(&head, &rows.collect::<Vec<_>>()))
    }

    fn year(&self) -> String {
        let impact = &self.of.site.impact;
        let ways = [&impact.nothing, &impact.today, &impact.replacing];
        let row = |key: &str, part: &dyn Fn(&Year) -> f64| {
            let mut row = vec![self.words.of(key)];
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
        let currency = escape(&self.of.site.site.currency);
        let mut head = vec![String::new()];
        head.extend(["y-nothing", "y-today", "y-replacing"].map(|key| self.words.of(key)));
        let advantage = &impact.advantage;
        let (key, shown) = if advantage.value >= 0.0 {
            ("y-advantage", *advantage)
        } else {
            ("y-disadvantage", Ranged { value: -advantage.value, low: -advantage.high, high: -advantage.low })
        };
        let said = [
            ("amount", number(shown.value)),
            ("currency", currency.clone()),
            ("low", number(shown.low)),
            ("high", number(shown.high)),
        ];
        let total = [("value", self.ranged(&impact.today_total)), ("currency", currency.clone())];
        format!(
            "<h3>{}</h3>\n{}<p><strong>{}</strong></p>\n<p>{}</p>\n",
            self.words.with("year", &[("currency", &currency)]),
            table(&head, &rows),
            self.values(key, &said),
            self.values("y-total-range", &total),
        )
    }

    fn sensitivity(&self) -> String {
        let heads = ["input", "value", "s-total-half", "s-total-double", "s-adv-half", "s-adv-double"];
        let head: Vec<String> = heads.iter().map(|key| self.words.of(key)).collect();
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
        let currency = escape(&self.of.site.site.currency);
        format!(
            "<h3>{}</h3>\n<p>{}</p>\n{}",
            self.words.of("sensitivity"),
            self.words.with("sensitivity-lead", &[("currency", &currency)]),
            table(&head, &rows.collect::<Vec<_>>()),
        )
    }
}
