//! The report as a page.

use super::charts::{Ends, grouped, hours, places, quality, tone_of_px};
use super::{Report, WORDS};
use crate::page::chart::{Mark, Tone, bars};
use crate::page::words::Said;
use crate::page::{Language, Page, escaped};
use sekisho_logic::advice::{Advice, Grade};
use sekisho_logic::figures::{BinFigures, Dori, px_per_m};
use sekisho_logic::survey::INTER_PUPIL_M;
use std::fmt::Write as _;

pub(super) fn say(key: &str, values: &[(&str, Said)]) -> Said {
    WORDS.say(key, values)
}

/// Whole numbers as they are, small ones with a decimal.
fn number(value: f32) -> Said {
    Said::same(if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") })
}

/// A share as so many of a hundred: a percent sign beside faces is taken for certainty.
fn of_hundred(share: f64) -> Said {
    Said::same(format!("{:.0}", (share * 100.0).clamp(0.0, 100.0)))
}

#[expect(clippy::cast_precision_loss, reason = "counts of tracks and faces")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

pub(super) fn render(report: &Report, language: Language) -> String {
    let title = say("title", &[("name", Said::same(&report.name))]);
    let mut page = Page::new(title.clone(), language);
    page.add("h1", "", &title);
    page.add("p", "sub", &subtitle(report));
    banner(&mut page, report);
    if report.figures.tracks == 0 {
        page.add("h2", "", &say("what-to-do", &[]));
        let said = say("nobody-help", &[("px", number(report.min_px))]);
        page.add("p", "", &said);
    } else {
        tiles(&mut page, report);
        advice_list(&mut page, report);
        sizes(&mut page, report);
        undecided(&mut page, report);
        quality(&mut page, report);
        places(&mut page, report);
    }
    hours(&mut page, report);
    notes(&mut page, report);
    page.render()
}

fn subtitle(report: &Report) -> Said {
    let (width, height) = report.figures.frame_px;
    let values = [
        ("width", Said::same(format!("{width:.0}"))),
        ("height", Said::same(format!("{height:.0}"))),
        ("fps", Said::same(crate::page::chart::short(report.analysed_fps))),
        ("observed", duration(report.observed.as_secs())),
    ];
    match &report.span {
        Some((from, to)) => {
            let mut values = values.to_vec();
            values.extend([("from", Said::same(from)), ("to", Said::same(to))]);
            say("subtitle-live", &values)
        }
        None => say("subtitle-clip", &values),
    }
}

/// A time span in both languages.
fn duration(seconds: u64) -> Said {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let values = [("h", Said::same(hours)), ("m", Said::same(minutes)), ("s", Said::same(seconds))];
    if hours > 0 { say("span-hours", &values) } else { say("span-minutes", &values) }
}

const fn tone(grade: Grade) -> Tone {
    match grade {
        Grade::NobodySeen => Tone::Plain,
        Grade::Unsuitable => Tone::Poor,
        Grade::CandidatesOnly => Tone::Fair,
        Grade::Suitable => Tone::Good,
    }
}

fn banner(page: &mut Page, report: &Report) {
    page.raw(&format!("<div class=\"banner {}\">", tone(report.assessment.grade).class()));
    page.add("p", "head", &headline(report));
    if report.figures.tracks > 0 {
        page.add("p", "", &expectation(report));
        page.add("p", "", &dori_summary(report));
    }
    page.raw("</div>");
    if report.ended_early {
        page.add("p", "warn", &say("ended-early", &[("observed", duration(report.observed.as_secs()))]));
    }
    if report.figures.tracks > 0 && report.figures.tracks < 30 {
        page.add("p", "warn", &say("few-tracks", &[("tracks", Said::same(report.figures.tracks))]));
    }
    if !report.interruptions.is_empty() {
        let list: Vec<_> = report.interruptions.iter().map(|(why, count)| format!("{why} {count}")).collect();
        page.add("p", "warn", &say("interruptions", &[("list", Said::same(list.join(", ")))]));
    }
}

/// The whole survey in one sentence.
pub(super) fn headline(report: &Report) -> Said {
    let Some(px) = report.figures.track_px else { return say("grade-nobody-seen", &[]) };
    let whole = |value: f32| Said::same(format!("{value:.0}"));
    let values = [("low", whole(px.p10.floor())), ("high", whole(px.p90.ceil())), ("median", whole(px.p50))];
    match report.assessment.grade {
        Grade::NobodySeen => say("grade-nobody-seen", &[]),
        Grade::Unsuitable => say("grade-unsuitable", &values),
        Grade::CandidatesOnly => say("grade-candidates-only", &values),
        Grade::Suitable => say("grade-suitable", &values),
    }
}

/// What that means for enrolled people.
pub(super) fn expectation(report: &Report) -> Said {
    let figures = &report.figures;
    say(
        "expectation",
        &[
            ("decidable", of_hundred(ratio(figures.tracks_decidable, figures.tracks))),
            ("found", of_hundred(figures.found_share.unwrap_or(0.0))),
            ("people", Said::same(report.assumptions.people)),
            ("one-in", Said::same(format!("{:.0}", 1.0 / report.target_fpir.max(1e-9)))),
        ],
    )
}

/// Where the middle face stands by EN 62676-4.
fn dori_summary(report: &Report) -> Said {
    let px = report.figures.track_px.map_or(0.0, |spread| spread.p50);
    let class = WORDS.say(&format!("class-{}", Dori::of(px).as_str()), &[]);
    say("dori-summary", &[("density", Said::same(format!("{:.0}", px_per_m(px)))), ("class", class)])
}

fn tiles(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    let px = figures.track_px.map_or(0.0, |spread| spread.p50);
    let usable = figures.usable_frames.map_or(0.0, |spread| spread.p50.floor());
    let mut out = String::from("<div class=\"tiles\">");
    for (value, key) in [
        (Said::same(figures.tracks), "tile-tracks"),
        (Said::same(crate::page::chart::short(report.tracks_per_hour().round())), "tile-per-hour"),
        (number(px), "tile-px"),
        (Said::same(format!("{:.0}", px_per_m(px))), "tile-density"),
        (Said::same(format!("{usable:.0}")), "tile-usable"),
        (of_hundred(ratio(figures.tracks_decidable, figures.tracks)), "tile-decidable"),
        (of_hundred(ratio(figures.tracks_confirmable, figures.tracks)), "tile-confirmable"),
        (of_hundred(figures.found_share.unwrap_or(0.0)), "tile-found"),
    ] {
        let label = WORDS.say(key, &[]);
        let _written = write!(out, "<div class=\"tile\"><b>{}</b><span>{}</span></div>", value.html(), label.html());
    }
    out.push_str("</div>");
    page.raw(&out);
}

fn advice_list(page: &mut Page, report: &Report) {
    page.add("h2", "", &say("what-to-do", &[]));
    if report.assessment.advice.is_empty() {
        page.add("p", "", &say("nothing-to-do", &[]));
        return;
    }
    let items: String =
        report.assessment.advice.iter().map(|one| format!("<li>{}</li>", advice(report, one).html())).collect();
    page.raw(&format!("<ol class=\"advice\">{items}</ol>"));
}

/// One piece of advice in words.
pub(super) fn advice(report: &Report, advice: &Advice) -> Said {
    let metres = |value: f32| Said::same(format!("{value:.1}"));
    match advice {
        Advice::Closer { have_px, need_px, factor, scene_width_m, scene_width_needed_m, distance_m, move_m } => say(
            "advice-closer",
            &[
                ("have", number(*have_px)),
                ("need", number(*need_px)),
                ("factor", metres(*factor)),
                ("width", metres(*scene_width_m)),
                ("needed", metres(*scene_width_needed_m)),
                ("distance", metres(*distance_m)),
                ("move", metres(*move_m)),
                ("view", Said::same(format!("{:.0}", report.assumptions.view_deg))),
            ],
        ),
        Advice::MainStream { width_px, then_px } => {
            say("advice-main-stream", &[("width", Said::same(format!("{width_px:.0}"))), ("then", number(*then_px))])
        }
        Advice::MoreLight { hours } if hours.is_empty() => say("advice-light", &[]),
        Advice::MoreLight { hours } => {
            let hours: Vec<_> = hours.iter().map(ToString::to_string).collect();
            say("advice-light-hours", &[("hours", Said::same(hours.join(", ")))])
        }
        Advice::LessExposure => say("advice-exposure", &[]),
        Advice::Sharper { sharpness } => say("advice-sharper", &[("sharpness", Said::same(format!("{sharpness:.2}")))]),
        Advice::FaceTheCamera { share } => say("advice-pose", &[("share", of_hundred(*share))]),
        Advice::LongerInView { have, need, need_confirmed } => say(
            "advice-longer",
            &[
                ("have", Said::same(format!("{have:.0}"))),
                ("need", Said::same(need)),
                ("confirmed", Said::same(need_confirmed)),
            ],
        ),
        Advice::AwayFromTheEdge { share } => say("advice-edge", &[("share", of_hundred(*share))]),
    }
}

fn sizes(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    page.add("h2", "", &say("sizes", &[]));
    // Bins are half a pixel wide; wide ranges are drawn two or four pixels a bar.
    let top = figures.track_px_counts.iter().rposition(|bin| bin.count > 0).unwrap_or(0);
    let (width, px_a_bar) = if top < 80 {
        (2, 1.0)
    } else if top < 160 {
        (4, 2.0)
    } else {
        (8, 4.0)
    };
    let drawn = grouped(
        &figures.track_px_counts,
        (width, Ends::Trimmed),
        |from| format!("{from:.0}"),
        |from| tone_of_px(&figures.bins, from + px_a_bar / 2.0),
    );
    let marks: Vec<Mark> = Dori::LEAST_PX_PER_M
        .iter()
        .skip(1)
        .map(|(_, least)| Mark { at: f64::from(least * INTER_PUPIL_M / px_a_bar), label: format!("{least} px/m") })
        .collect();
    page.raw("<div class=\"charts\">");
    page.figure(&say("chart-sizes", &[]), &bars("inter-eye px", "", &drawn, &marks), &say("chart-sizes-note", &[]));
    page.raw(&format!("<div><h3>{}</h3>", say("dori", &[]).html()));
    let dori = figures.dori();
    let mut rows =
        vec![["dori-class", "dori-density", "dori-px", "column-tracks"].map(|key| WORDS.say(key, &[]).html()).to_vec()];
    for (class, least) in Dori::LEAST_PX_PER_M.iter().rev() {
        rows.push(vec![
            WORDS.say(&format!("dori-{}", class.as_str()), &[]).html(),
            format!("{least}"),
            format!("{:.1}", least * INTER_PUPIL_M),
            dori.get(class).copied().unwrap_or(0).to_string(),
        ]);
    }
    let below = dori.get(&Dori::Below).copied().unwrap_or(0);
    rows.push(vec![say("dori-below", &[]).html(), "-".into(), "-".into(), below.to_string()]);
    page.table(&rows);
    page.add("p", "note", &say("dori-note", &[]));
    page.raw("</div></div>");
    page.add("h3", "", &say("bins", &[]));
    let head = ["bin-px", "column-tracks", "bin-decidable", "bin-frames", "bin-found"];
    let mut rows = vec![head.map(|key| WORDS.say(key, &[]).html()).to_vec()];
    let first = report.looks.first().copied().unwrap_or(1);
    rows.extend(figures.bins.iter().map(|bin| bin_row(bin, first)));
    page.table(&rows);
    page.add("p", "note", &say("bins-note", &[("people", Said::same(report.assumptions.people))]));
}

/// A row of the table of sizes; no fewer pictures than the first look takes are ever enough.
fn bin_row(bin: &BinFigures, first_look: u32) -> Vec<String> {
    let found = bin.genuine_share.map(|share| say("so-many-of-hundred", &[("count", of_hundred(share))]));
    vec![
        bin.to_px.map_or_else(
            || say("bin-and-more", &[("from", Said::same(bin.from_px))]).html(),
            |to| format!("{} - {to}", bin.from_px),
        ),
        bin.tracks.to_string(),
        bin.decidable.to_string(),
        bin.frames_needed.map_or_else(|| say("bin-never", &[]).html(), |frames| frames.max(first_look).to_string()),
        found.map_or_else(|| say("bin-never", &[]).html(), |said| said.html()),
    ]
}

fn undecided(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    page.add("h2", "", &say("undecided", &[]));
    let parts = [
        (figures.tracks_confirmable, Tone::Good),
        (figures.tracks_decidable.saturating_sub(figures.tracks_confirmable), Tone::Fair),
        (figures.tracks.saturating_sub(figures.tracks_decidable), Tone::Poor),
    ];
    let mut out = String::from("<div class=\"share\">");
    for (count, tone) in parts {
        let _written = write!(
            out,
            "<i class=\"{}\" style=\"width:{:.2}%\"></i>",
            tone.class(),
            100.0 * ratio(count, figures.tracks)
        );
    }
    page.raw(&format!("{out}</div>"));
    let values = parts.map(|(count, _)| Said::same(count));
    let [confirmable, candidates, none] = values;
    page.add(
        "p",
        "note",
        &say("share-note", &[("confirmable", confirmable), ("candidates", candidates), ("none", none)]),
    );
    if !figures.undecided.is_empty() {
        let mut rows = vec![vec![say("column-reason", &[]).html(), say("column-tracks", &[]).html()]];
        let mut reasons: Vec<_> = figures.undecided.iter().collect();
        reasons.sort_by_key(|(why, count)| (std::cmp::Reverse(**count), **why));
        rows.extend(
            reasons
                .into_iter()
                .map(|(why, count)| vec![WORDS.say(&format!("reason-{why}"), &[]).html(), count.to_string()]),
        );
        page.table(&rows);
    }
}

fn notes(page: &mut Page, report: &Report) {
    page.add("h2", "", &say("how", &[]));
    let view = Said::same(format!("{:.0}", report.assumptions.view_deg));
    page.add("p", "", &say("how-privacy", &[]));
    page.add("p", "", &say("how-px", &[("view", view)]));
    page.add("p", "", &say("how-decidable", &[]));
    page.add("p", "", &say("how-once", &[("once", Said::same(report.figures.tracks_seen_once))]));
    page.add("p", "", &say("how-limits", &[("px", number(report.min_px))]));
    let list = |frames: &[u32]| Said::same(frames.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let said = say(
        "footer",
        &[
            ("frames", Said::same(report.figures.frames)),
            ("faces", Said::same(report.figures.faces)),
            ("calibration", Said::same(escaped(&report.calibration_id))),
            ("looks", list(&report.looks)),
            ("confirm", list(&report.confirm_looks)),
            ("version", Said::same(env!("CARGO_PKG_VERSION"))),
        ],
    );
    page.add("footer", "", &said);
}
