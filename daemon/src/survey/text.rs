//! The report in a few lines, for a terminal.

use super::{Report, page};
use crate::cmd::output::table;

pub(super) fn text(report: &Report) -> String {
    let mut lines = vec![report.name.clone(), page::headline(report).en];
    let figures = &report.figures;
    if figures.tracks > 0 {
        lines.push(page::expectation(report).en);
    }
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    row("pictures analysed", figures.frames.to_string());
    row("faces, tracks", format!("{}, {}", figures.faces, figures.tracks));
    row(
        "tracks that can be decided, confirmed",
        format!("{}, {}", figures.tracks_decidable, figures.tracks_confirmable),
    );
    if let Some(px) = figures.track_px {
        row(
            "px between the eyes, tenth / half / nine tenths",
            format!("{:.1} / {:.1} / {:.1}", px.p10, px.p50, px.p90),
        );
    }
    if let Some(usable) = figures.usable_frames {
        row("usable pictures a track, half have at least", format!("{:.0}", usable.p50.floor()));
    }
    for (why, count) in &figures.undecided {
        row(&format!("not decidable: {why}"), count.to_string());
    }
    lines.push(table(&["measured", ""], &rows));
    for (at, advice) in report.assessment.advice.iter().enumerate() {
        lines.push(format!("{}. {}", at + 1, page::advice(report, advice).en));
    }
    lines.join("\n")
}
