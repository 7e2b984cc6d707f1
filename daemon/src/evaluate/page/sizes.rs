//! By face size and by number of pictures, the curves, the reasons, the groups.

use super::{Body, heading, html, open, paragraph, percent, same, say};
use crate::evaluate::scores::Curve;
use crate::evaluate::tables::{Cell, Headline};
use crate::page::chart::number;
use crate::page::curves::{Axes, Series, bar, curves};
use crate::page::words::Said;
use crate::page::{escaped, headed};
use sekisho_logic::evaluation::{Claim, Share, Spread};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

impl Body<'_> {
    pub(super) fn sizes(&self) -> String {
        let heads = ["size", "appearances", "compared", "found", "strangers", "false"];
        let head: Vec<String> = heads.into_iter().map(html).collect();
        let measured =
            self.of.main.sizes.iter().filter(|row| row.verdicts.found.of + row.verdicts.false_candidates.of > 0);
        let mut rows: Vec<Vec<String>> = measured
            .map(|row| {
                let mut cells = self.verdict_cells(self.size(row.from_px, row.to_px).html(), &row.verdicts);
                if !row.decidable && row.from_px.is_some() {
                    cells[0] += &open(&say("not-decidable", &[]));
                }
                cells
            })
            .collect();
        rows.push(self.verdict_cells(html("all-sizes"), &self.of.main.all));
        let mut out = heading("sizes");
        out += &paragraph("", &say("sizes-lead", &[]));
        out += &headed(&head, &rows);
        out += &self.plots();
        out += &self.missed();
        out += &self.frames();
        out
    }

    /// What is missed at round false rates, by curve.
    fn missed(&self) -> String {
        let curves = || self.of.det.iter().chain([&self.of.open_set]).filter(|curve| !curve.points.is_empty());
        let Some(first) = curves().next() else { return String::new() };
        let mut head = vec![String::new()];
        head.extend(
            first.missed_at.iter().map(|at| say("missed-at", &same([("n", number(1.0 / at.false_rate))])).html()),
        );
        let rows = curves().map(|curve| {
            let name = match curve.from_px {
                Some(from) => {
                    let size = self.size(Some(from), self.upper(from));
                    say("missed-fmr", &[("size", size)]).html()
                }
                None => html("missed-fpir"),
            };
            let shares = curve.missed_at.iter().map(|at| at.miss_rate.map_or_else(|| html("sample-small"), percent));
            [name].into_iter().chain(shares).collect()
        });
        let table = headed(&head, &rows.collect::<Vec<_>>());
        format!("<h3>{}</h3>\n{table}", html("missed-heading"))
    }

    fn verdict_cells(&self, name: String, verdicts: &Headline) -> Vec<String> {
        let found = &verdicts.found;
        let picture =
            found.value().map_or(String::new(), |value| bar(value, (found.low, found.high), &self.share(found).en));
        let unclaimed = |claim: Claim, counted: &Share| match claim {
            Claim::NotClaimed { people, .. } if counted.of > 0 && counted.people < people => {
                open(&say("claim-no-found", &[("people", Said::same(people))]))
            }
            Claim::NotClaimed { trials, .. } if counted.of > 0 => {
                open(&say("claim-no", &same([("trials", number(f64_of(trials)))])))
            }
            Claim::NotClaimed { .. } | Claim::Claimed => String::new(),
        };
        vec![
            name,
            found.of.to_string(),
            verdicts.acquired.value().map_or("-".into(), percent),
            self.share(found).html() + &picture + &unclaimed(verdicts.claim_found, found),
            verdicts.false_candidates.of.to_string(),
            self.of_1000(&verdicts.false_candidates).html()
                + &unclaimed(verdicts.claim_false, &verdicts.false_candidates),
        ]
    }

    fn plots(&self) -> String {
        let named = |key: &str, curve: &Curve| {
            let values = [
                ("size", self.size(curve.from_px, curve.from_px.and_then(|from| self.upper(from)))),
                ("genuine", Said::same(number(f64_of(curve.genuine)))),
                ("impostor", Said::same(number(f64_of(curve.impostor)))),
            ];
            Series {
                name: say(key, &values),
                points: curve.points.iter().map(|point| (point.false_rate, point.miss_rate)).collect(),
            }
        };
        let det: Vec<Series> = self.of.det.iter().map(|curve| named("series-size", curve)).collect();
        let open_set: Vec<Series> = [&self.of.open_set]
            .into_iter()
            .filter(|curve| !curve.points.is_empty())
            .map(|curve| named("series-all", curve))
            .collect();
        let figure = |key: &str, series: &[Series], (x, y): (&str, &str)| {
            let heading = html(key);
            if series.is_empty() {
                return format!("<figure><h3>{heading}</h3>{}</figure>\n", html("plot-none"));
            }
            let axes = Axes {
                x: say(x, &[]),
                y: say(y, &[]),
                x_min: floor_of(series),
                y_max: top_of(series),
                said: say(key, &[]),
            };
            format!("<figure><h3>{heading}</h3>\n{}</figure>\n", curves(series, &axes))
        };
        format!(
            "<div class=\"charts\">\n{}{}</div>\n",
            figure("plot-det", &det, ("axis-fmr", "axis-fnmr")),
            figure("plot-open", &open_set, ("axis-fpir", "axis-fnir")),
        )
    }

    /// One table a target rate: sizes down, frame counts across.
    fn frames(&self) -> String {
        let mut targets: Vec<f64> = self.of.main.cells.iter().map(|cell| cell.target_fpir).collect();
        targets.sort_by(f64::total_cmp);
        targets.dedup();
        let counts: BTreeSet<u32> = self.of.main.cells.iter().map(|cell| cell.frames).collect();
        let mut out = String::new();
        for target in targets {
            let cells: BTreeMap<(u32, u32), &Cell> = self
                .of
                .main
                .cells
                .iter()
                .filter(|cell| cell.target_fpir.to_bits() == target.to_bits())
                .map(|cell| ((cell.from_px.to_bits(), cell.frames), cell))
                .collect();
            let mut head = vec![html("size")];
            head.extend(counts.iter().map(|n| match n {
                1 => html("frames-one"),
                n => say("frames-count", &[("n", Said::same(n))]).html(),
            }));
            let sizes = self.of.main.sizes.iter().filter_map(|row| row.from_px.map(|from| (from, row.to_px)));
            let filled = sizes.filter(|(from, _)| counts.iter().any(|n| cells.contains_key(&(from.to_bits(), *n))));
            let rows = filled.map(|(from, to)| {
                let mut row = vec![self.size(Some(from), to).html()];
                row.extend(
                    counts.iter().map(|n| cells.get(&(from.to_bits(), *n)).map_or(String::new(), |c| self.cell(c))),
                );
                row
            });
            let heading = say("frames-heading", &[("target", self.rate(target))]).html();
            let _infallible = write!(out, "<h3>{heading}</h3>\n{}", headed(&head, &rows.collect::<Vec<_>>()));
        }
        if !out.is_empty() {
            out += &paragraph("note", &say("frames-lead", &[]));
        }
        out
    }

    fn cell(&self, cell: &Cell) -> String {
        if !cell.decidable {
            return format!("<small>{}</small>", html("not-decidable"));
        }
        let found = cell.found.value().map_or("-".into(), percent);
        let falsely = &cell.false_candidates;
        if falsely.of == 0 {
            return found;
        }
        let said = say("false-short", &[("hits", Said::same(falsely.hits)), ("of", Said::same(falsely.of))]).html();
        let said = if cell.claim == Claim::Claimed { said } else { format!("<em>{said}</em>") };
        format!("{found}<small>{said}</small>")
    }

    pub(super) fn reasons(&self) -> String {
        let head = ["reason", "appearances", "strangers"].map(html);
        let rows: Vec<Vec<String>> = self
            .of
            .main
            .reasons
            .iter()
            .map(|reason| {
                let mut name = html(&format!("reason-{}", reason.reason));
                if reason.unacquired {
                    name += &format!(" <small>{}</small>", html("unacquired"));
                }
                let share = |count: u64, all: u64| {
                    if all == 0 {
                        return "-".to_owned();
                    }
                    format!("{count} <small>{}</small>", percent(f64_of(count) / f64_of(all)))
                };
                let all = &self.of.main.all;
                vec![name, share(reason.enrolled, all.found.of), share(reason.strangers, all.false_candidates.of)]
            })
            .collect();
        heading("reasons") + &paragraph("", &say("reasons-lead", &[])) + &headed(&head, &rows)
    }

    pub(super) fn groups(&self) -> String {
        let mut out = heading("groups");
        let main = &self.of.main;
        if main.groups.is_empty() {
            return out + &paragraph("", &say("groups-none", &[]));
        }
        for grouped in &main.groups {
            out += &format!("<h3>{}</h3>\n", escaped(&grouped.column));
            out += &self.spread("groups-missed", "share-missed", &grouped.missed);
            if let Some(spread) = &grouped.false_candidates {
                out += &self.spread("groups-false", "share-false", spread);
            }
        }
        out
    }

    fn spread(&self, heading: &str, column: &str, spread: &Spread) -> String {
        let head = [html("group"), html("people"), html(column), String::new()];
        let rows: Vec<Vec<String>> = spread
            .groups
            .iter()
            .map(|group| {
                let share = &group.share;
                let people = share.people.to_string();
                // A share that the sample does not carry is not shown, or somebody would compare it all the same.
                if let Claim::NotClaimed { people: wanted, trials } = group.claim {
                    let values = [("people", Said::same(wanted)), ("trials", Said::same(trials))];
                    return vec![escaped(&group.group), people, open(&say("group-not-shown", &values)), String::new()];
                }
                let said = self.share(share);
                let picture =
                    share.value().map_or(String::new(), |value| bar(value, (share.low, share.high), &said.en));
                vec![escaped(&group.group), people, said.html(), picture]
            })
            .collect();
        let ratio = spread
            .worst_over_best
            .map_or_else(|| html("ratio-none"), |ratio| say("ratio", &same([("ratio", number(ratio))])).html());
        format!("<h4>{}</h4>\n{}<p>{ratio}</p>\n", html(heading), headed(&head, &rows))
    }
}

/// The power of ten at which the longest curve ends, within what a plot can show.
fn floor_of(series: &[Series]) -> f64 {
    let rates = series.iter().flat_map(|one| &one.points).map(|(rate, _)| *rate).filter(|rate| *rate > 0.0);
    10_f64.powf(rates.fold(0.1, f64::min).log10().floor()).clamp(1e-6, 1e-1)
}

/// The least round share above every curve.
fn top_of(series: &[Series]) -> f64 {
    let most = series.iter().flat_map(|one| &one.points).map(|(_, share)| *share).fold(0.0, f64::max);
    [0.1, 0.2, 0.5].into_iter().find(|top| *top >= most).unwrap_or(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
const fn f64_of(count: u64) -> f64 {
    count as f64
}
