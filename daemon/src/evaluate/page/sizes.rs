//! By face size and by number of pictures, the curves, the reasons, the groups.

use super::{Body, percent};
use crate::evaluate::scores::Curve;
use crate::evaluate::tables::{Cell, Headline};
use crate::report::html::{escape, number, table};
use crate::report::plot::{Axes, Series, bar, curves};
use sekisho_logic::evaluation::{Claim, Share, Spread};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

impl Body<'_> {
    pub(super) fn sizes(&self) -> String {
        let heads = ["size", "appearances", "compared", "found", "strangers", "false"];
        let head: Vec<String> = heads.iter().map(|key| self.words.of(key)).collect();
        let measured =
            self.of.main.sizes.iter().filter(|row| row.verdicts.found.of + row.verdicts.false_candidates.of > 0);
        let mut rows: Vec<Vec<String>> = measured
            .map(|row| {
                let mut cells = self.verdict_cells(self.size(row.from_px, row.to_px), &row.verdicts);
                if !row.decidable && row.from_px.is_some() {
                    cells[0] += &format!("<small class=\"open\">{}</small>", self.words.of("not-decidable"));
                }
                cells
            })
            .collect();
        rows.push(self.verdict_cells(self.words.of("all-sizes"), &self.of.main.all));
        let mut out = self.heading("sizes");
        out += &self.paragraph("", &self.words.of("sizes-lead"));
        out += &table(&head, &rows);
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
            first.missed_at.iter().map(|at| self.words.with("missed-at", &[("n", &number(1.0 / at.false_rate))])),
        );
        let rows = curves().map(|curve| {
            let name = match curve.from_px {
                Some(from) => {
                    let size = self.size(Some(from), self.upper(from));
                    self.words.with("missed-fmr", &[("size", &size)])
                }
                None => self.words.of("missed-fpir"),
            };
            let shares =
                curve.missed_at.iter().map(|at| at.miss_rate.map_or_else(|| self.words.of("sample-small"), percent));
            [name].into_iter().chain(shares).collect()
        });
        let table = table(&head, &rows.collect::<Vec<_>>());
        format!("<h3>{}</h3>\n{table}", self.words.of("missed-heading"))
    }

    fn verdict_cells(&self, name: String, verdicts: &Headline) -> Vec<String> {
        let found = &verdicts.found;
        let picture =
            found.value().map_or(String::new(), |value| bar(value, found.low, found.high, &self.share(found)));
        let open = |claim: Claim, counted: &Share| match claim {
            Claim::NotClaimed { people, .. } if counted.of > 0 && counted.people < people => {
                let needed = self.words.with("claim-no-found", &[("people", &people.to_string())]);
                format!("<small class=\"open\">{needed}</small>")
            }
            Claim::NotClaimed { trials, .. } if counted.of > 0 => {
                let values = [("trials", number(f64_of(trials)))];
                format!("<small class=\"open\">{}</small>", self.values("claim-no", &values))
            }
            Claim::NotClaimed { .. } | Claim::Claimed => String::new(),
        };
        vec![
            name,
            found.of.to_string(),
            verdicts.acquired.value().map_or("-".into(), percent),
            self.share(found) + &picture + &open(verdicts.claim_found, found),
            verdicts.false_candidates.of.to_string(),
            self.of_1000(&verdicts.false_candidates) + &open(verdicts.claim_false, &verdicts.false_candidates),
        ]
    }

    fn plots(&self) -> String {
        let named = |key: &str, curve: &Curve| {
            let values = [
                ("size", self.size(curve.from_px, curve.from_px.and_then(|from| self.upper(from)))),
                ("genuine", number(f64_of(curve.genuine))),
                ("impostor", number(f64_of(curve.impostor))),
            ];
            Series {
                name: self.values(key, &values),
                points: curve.points.iter().map(|point| (point.false_rate, point.miss_rate)).collect(),
            }
        };
        let det: Vec<Series> = self.of.det.iter().map(|curve| named("series-size", curve)).collect();
        let open: Vec<Series> = [&self.of.open_set]
            .into_iter()
            .filter(|curve| !curve.points.is_empty())
            .map(|curve| named("series-all", curve))
            .collect();
        let figure = |key: &str, series: &[Series], (x, y): (&str, &str)| {
            let caption = self.words.of(key);
            if series.is_empty() {
                return format!("<figure><figcaption>{caption}</figcaption>{}</figure>\n", self.words.of("plot-none"));
            }
            let axes = Axes {
                x: self.words.of(x),
                y: self.words.of(y),
                x_min: floor_of(series),
                y_max: top_of(series),
                said: caption.clone(),
            };
            format!("<figure><figcaption>{caption}</figcaption>\n{}</figure>\n", curves(series, &axes))
        };
        format!(
            "<div class=\"plots\">\n{}{}</div>\n",
            figure("plot-det", &det, ("axis-fmr", "axis-fnmr")),
            figure("plot-open", &open, ("axis-fpir", "axis-fnir")),
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
            let mut head = vec![self.words.of("size")];
            head.extend(counts.iter().map(|n| match n {
                1 => self.words.of("frames-one"),
                n => self.words.with("frames-count", &[("n", &n.to_string())]),
            }));
            let sizes = self.of.main.sizes.iter().filter_map(|row| row.from_px.map(|from| (from, row.to_px)));
            let filled = sizes.filter(|(from, _)| counts.iter().any(|n| cells.contains_key(&(from.to_bits(), *n))));
            let rows = filled.map(|(from, to)| {
                let mut row = vec![self.size(Some(from), to)];
                row.extend(
                    counts.iter().map(|n| cells.get(&(from.to_bits(), *n)).map_or(String::new(), |c| self.cell(c))),
                );
                row
            });
            let heading = self.words.with("frames-heading", &[("target", &self.rate(target))]);
            let _infallible = write!(out, "<h3>{heading}</h3>\n{}", table(&head, &rows.collect::<Vec<_>>()));
        }
        if !out.is_empty() {
            out += &self.paragraph("note", &self.words.of("frames-lead"));
        }
        out
    }

    fn cell(&self, cell: &Cell) -> String {
        if !cell.decidable {
            return format!("<small>{}</small>", self.words.of("not-decidable"));
        }
        let found = cell.found.value().map_or("-".into(), percent);
        let falsely = &cell.false_candidates;
        if falsely.of == 0 {
            return found;
        }
        let counts = [("hits", falsely.hits.to_string()), ("of", falsely.of.to_string())];
        let said = self.values("false-short", &counts);
        let said = if cell.claim == Claim::Claimed { said } else { format!("<em>{said}</em>") };
        format!("{found}<small>{said}</small>")
    }

    pub(super) fn reasons(&self) -> String {
        let head = ["reason", "appearances", "strangers"].map(|key| self.words.of(key));
        let rows: Vec<Vec<String>> = self
            .of
            .main
            .reasons
            .iter()
            .map(|reason| {
                let mut name = self.words.of(&format!("reason-{}", reason.reason));
                if reason.unacquired {
                    name += &format!(" <small>{}</small>", self.words.of("unacquired"));
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
        self.heading("reasons") + &self.paragraph("", &self.words.of("reasons-lead")) + &table(&head, &rows)
    }

    pub(super) fn groups(&self) -> String {
        let mut out = self.heading("groups");
        let main = &self.of.main;
        if main.missed_by_group.is_none() && main.false_by_group.is_none() {
            return out + &self.paragraph("", &self.words.of("groups-none"));
        }
        if let Some(spread) = &main.missed_by_group {
            out += &self.spread("groups-missed", "share-missed", spread);
        }
        if let Some(spread) = &main.false_by_group {
            out += &self.spread("groups-false", "share-false", spread);
        }
        out
    }

    fn spread(&self, heading: &str, column: &str, spread: &Spread) -> String {
        let head = [self.words.of("group"), self.words.of("people"), self.words.of(column), String::new()];
        let rows: Vec<Vec<String>> = spread
            .groups
            .iter()
            .map(|group| {
                let share = &group.share;
                let mut said = self.share(share);
                if let Claim::NotClaimed { people, .. } = group.claim {
                    let needed = self.words.with("claim-no-found", &[("people", &people.to_string())]);
                    said += &format!("<small class=\"open\">{needed}</small>");
                }
                let picture = share.value().map_or(String::new(), |value| bar(value, share.low, share.high, &said));
                vec![escape(&group.group), share.people.to_string(), said, picture]
            })
            .collect();
        let ratio = spread.worst_over_best.map_or_else(
            || self.words.of("ratio-none"),
            |ratio| self.words.with("ratio", &[("ratio", &number(ratio))]),
        );
        format!("<h3>{}</h3>\n{}<p>{ratio}</p>\n", self.words.of(heading), table(&head, &rows))
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
