//! The charts of the report: time in view, sharpness, pose, places, hours.

use super::page::{ratio, say};
use super::{Report, WORDS};
use crate::page::Page;
use crate::page::chart::{Axis, Band, Bar, Tone, bands, bars};
use crate::page::words::Said;
use sekisho_logic::figures::{BinFigures, Counted, HourFigures};
use sekisho_logic::histogram::Spread;
use sekisho_logic::survey::PLACES;
use std::fmt::Write as _;

/// How far an axis of bars runs.
#[derive(Clone, Copy)]
pub(super) enum Ends {
    Trimmed,
    Whole,
}

/// Bars of `width` bins each; `Ends::Trimmed` leaves out the empty ones after the last that holds anything.
pub(super) fn grouped(
    counts: &[Counted],
    (width, ends): (usize, Ends),
    label: impl Fn(f32) -> String,
    tone: impl Fn(f32) -> Tone,
) -> Vec<Bar> {
    let used = match ends {
        Ends::Trimmed => counts.iter().rposition(|bin| bin.count > 0).map_or(0, |last| last + 1),
        Ends::Whole => counts.len(),
    };
    let chunks = counts[..used].chunks(width.max(1));
    #[expect(clippy::cast_precision_loss, reason = "counts of tracks and faces")]
    let bar = |chunk: &[Counted]| Bar {
        label: label(chunk[0].from),
        value: chunk.iter().map(|bin| bin.count).sum::<u64>() as f64,
        tone: tone(chunk[0].from),
    };
    chunks.map(bar).collect()
}

/// How the calibration stands at a size: nothing, less than half, or more of the enrolled people found.
pub(super) fn tone_of_px(bins: &[BinFigures], px: f32) -> Tone {
    let bin = bins.iter().find(|bin| px >= bin.from_px && bin.to_px.is_none_or(|to| px < to));
    match bin.and_then(|bin| bin.genuine_share) {
        Some(share) if share >= 0.5 => Tone::Good,
        Some(_) => Tone::Fair,
        None => Tone::Poor,
    }
}

pub(super) fn quality(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    page.add("h2", "", &say("quality", &[]));
    page.raw("<div class=\"charts\">");
    let first = f32::from(u16::try_from(report.looks.first().copied().unwrap_or(1)).unwrap_or(u16::MAX));
    let usable = grouped(
        &figures.usable_frames_counts,
        (1, Ends::Trimmed),
        |from| format!("{from:.0}"),
        |from| if from < first { Tone::Poor } else { Tone::Good },
    );
    let look = Said::same(format!("{first:.0}"));
    page.figure(
        &say("chart-usable", &[]),
        &bars("usable frames", "", &usable, &[]),
        &say("chart-usable-note", &[("look", look)]),
    );
    let sharp = grouped(&figures.sharpness_counts, (2, Ends::Trimmed), |from| format!("{from:.2}"), |_| Tone::Plain);
    page.figure(&say("chart-sharpness", &[]), &bars("sharpness", "", &sharp, &[]), &say("chart-sharpness-note", &[]));
    let yaw = grouped(&figures.yaw_deg_counts, (2, Ends::Whole), |from| format!("{:.0}", from + 5.0), |_| Tone::Plain);
    page.figure(&say("chart-yaw", &[]), &bars("yaw", "", &yaw, &[]), &say("chart-yaw-note", &[]));
    page.raw("</div>");
}

/// Where faces are seen and how large: one square a cell, darker with more faces, their mean size written into it.
pub(super) fn places(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    let most = figures.places.iter().map(|place| place.faces).max().unwrap_or(1);
    let (width, height) = figures.frame_px;
    let (cell_w, cell_h) = (480.0 / f32::from(PLACES.0), 480.0 * height / width.max(1.0) / f32::from(PLACES.1));
    let tall = cell_h * f32::from(PLACES.1);
    let mut svg = format!(
        "<svg viewBox=\"0 0 480 {tall:.0}\" role=\"img\" aria-label=\"places\"><rect x=\"0\" y=\"0\" width=\"480\" \
         height=\"{tall:.0}\" fill=\"#eef1f5\"/>"
    );
    for place in figures.places.iter().filter(|place| place.faces * 200 >= most) {
        let (x, y) = (cell_w * f32::from(place.column), cell_h * f32::from(place.row));
        let shade = 0.25 + 0.75 * ratio(place.faces, most).sqrt();
        let class = tone_of_px(&figures.bins, place.px).class();
        let _written = write!(
            svg,
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" opacity=\"{shade:.2}\">\
             <title>{} faces, {:.1} px</title></rect><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"strong\">{:.0}</text>",
            cell_w - 1.0,
            cell_h - 1.0,
            place.faces,
            place.px,
            x + cell_w / 2.0,
            y + cell_h / 2.0 + 4.0,
            place.px,
        );
    }
    svg.push_str("</svg>");
    page.add("h2", "", &say("places", &[]));
    page.raw("<div class=\"charts\">");
    page.figure(&say("places-map", &[]), &svg, &say("places-note", &[]));
    page.raw("</div>");
}

/// Fewer hours than this are clearer as a table.
const HOURS_FOR_CHARTS: usize = 4;

fn hours_table(page: &mut Page, hours: &[HourFigures]) {
    let head = ["hours-hour", "hours-tracks", "hours-picture", "hours-brightness", "hours-contrast", "hours-sharpness"];
    let mut rows = vec![head.map(|key| WORDS.say(key, &[]).html()).to_vec()];
    let middle = |spread: Option<Spread>| spread.map_or_else(|| "-".to_owned(), |spread| format!("{:.2}", spread.p50));
    rows.extend(hours.iter().map(|hour| {
        vec![
            hour.hour.to_string(),
            hour.tracks.to_string(),
            middle(hour.picture_brightness),
            middle(hour.face_brightness),
            middle(hour.face_contrast),
            middle(hour.sharpness),
        ]
    }));
    page.table(&rows);
    page.add("p", "note", &say("hours-table-note", &[]));
}

pub(super) fn hours(page: &mut Page, report: &Report) {
    let figures = &report.figures;
    // Without a date the hours of a recording mean nothing.
    if report.span.is_none() {
        return;
    }
    page.add("h2", "", &say("hours", &[]));
    if figures.hours.len() < HOURS_FOR_CHARTS {
        hours_table(page, &figures.hours);
        return;
    }
    page.raw("<div class=\"charts\">");
    let at = |hour: u8| figures.hours.iter().find(|figures| figures.hour == hour);
    #[expect(clippy::cast_precision_loss, reason = "a count of tracks")]
    let bar = |hour: u8| Bar {
        label: hour.to_string(),
        value: at(hour).map_or(0.0, |figures| figures.tracks as f64),
        tone: Tone::Plain,
    };
    let tracks: Vec<Bar> = (0..24).map(bar).collect();
    page.figure(&say("hours-tracks", &[]), &bars("tracks by hour", "", &tracks, &[]), &say("hours-note", &[]));
    let axis = Axis { range: (0.0, 1.0), log: false, ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0], label: String::new() };
    let half = Axis { range: (0.0, 0.5), log: false, ticks: vec![0.0, 0.1, 0.2, 0.3, 0.4, 0.5], label: String::new() };
    type Pick = fn(&HourFigures) -> Option<Spread>;
    let charts: [(&str, Pick, &Axis); 4] = [
        ("hours-picture", |hour| hour.picture_brightness, &axis),
        ("hours-brightness", |hour| hour.face_brightness, &axis),
        ("hours-contrast", |hour| hour.face_contrast, &half),
        ("hours-sharpness", |hour| hour.sharpness, &axis),
    ];
    for (key, pick, axis) in charts {
        let band = |hour: u8| {
            let spread = at(hour).and_then(pick);
            let range = spread.map(|spread| (f64::from(spread.p10), f64::from(spread.p50), f64::from(spread.p90)));
            Band { label: hour.to_string(), range }
        };
        let drawn: Vec<Band> = (0..24).map(band).collect();
        page.figure(&WORDS.say(key, &[]), &bands(key, axis, &drawn), &say("band-note", &[]));
    }
    page.raw("</div>");
}
