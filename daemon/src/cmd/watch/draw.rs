//! The live view on a terminal. Colours only underline what words say already.

use super::screen::{Line, Over, Screen, at, span};
use crate::cmd::output::field;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line as Text, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row, Table, TableState, Wrap};
use serde_json::Value;

/// From this width on cameras stand beside the alerts, below it under them.
const WIDE: u16 = 120;

/// An alert with less time than this is marked.
const HURRY_MS: i64 = 120_000;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, screen: &mut Screen) {
    let notice = notices(screen);
    let rows = [
        Constraint::Length(1),
        Constraint::Length(u16::try_from(notice.len()).unwrap_or(0)),
        Constraint::Min(4),
        Constraint::Length(1),
    ];
    let [head, notes, middle, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(header(screen), head);
    frame.render_widget(Paragraph::new(notice), notes);
    let cameras = u16::try_from(screen.cameras.len()).unwrap_or(u16::MAX).saturating_add(3);
    if frame.area().width >= WIDE {
        let [left, right] = Layout::horizontal([Constraint::Fill(3), Constraint::Fill(2)]).areas(middle);
        let [top, bottom] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(left);
        alerts(frame, top, screen);
        events(frame, bottom, screen);
        camera_table(frame, right, screen);
    } else {
        let cameras = cameras.min(middle.height / 3).max(3);
        let areas = Layout::vertical([Constraint::Fill(3), Constraint::Length(cameras), Constraint::Fill(2)]);
        let [top, between, bottom] = areas.areas(middle);
        alerts(frame, top, screen);
        camera_table(frame, between, screen);
        events(frame, bottom, screen);
    }
    frame.render_widget(Paragraph::new(" q quit  arrows choose  enter details  r review  ? help").dim(), foot);
    over(frame, screen);
}

fn tint(screen: &Screen, colour: Color) -> Style {
    if screen.colours { Style::new().fg(colour) } else { Style::new() }
}

fn loud(screen: &Screen) -> Style {
    tint(screen, Color::Yellow).add_modifier(Modifier::BOLD)
}

fn bad(screen: &Screen) -> Style {
    tint(screen, Color::LightRed).add_modifier(Modifier::BOLD)
}

fn header(screen: &Screen) -> Paragraph<'static> {
    let link = match &screen.lost {
        None => Span::styled("live", tint(screen, Color::Green)),
        Some(_) => Span::styled(format!("NOT CURRENT, last {} ago", span(screen.now.0 - screen.fresh.0)), bad(screen)),
    };
    let waiting = screen.waiting();
    let counts = format!(
        "   for people {waiting}   candidates {}   cameras {} of {}   ",
        screen.alerts.len() - waiting,
        screen.streaming(),
        screen.cameras.len(),
    );
    let time = screen.clock.time_of_day(screen.now);
    Paragraph::new(Text::from(vec![" Sekisho  ".bold(), link, counts.into(), time.dim()]))
}

/// What everybody who looks has to know, a line each.
fn notices(screen: &Screen) -> Vec<Text<'static>> {
    let mut lines = Vec::new();
    if let Some(why) = &screen.lost {
        let why = why.lines().next().unwrap_or_default();
        lines.push(Text::styled(format!(" ! {why}; trying again"), bad(screen)));
    }
    let stale = &screen.status["calibration"]["stale"];
    if stale.is_object() {
        let said = field(stale, "said");
        lines.push(Text::styled(format!(" ! calibration is STALE: {said}; see `sekisho status`"), loud(screen)));
    }
    if screen.shed > 0 {
        let text = format!(" ! {} events were not shown; `sekisho alerts list` has them all", screen.shed);
        lines.push(Text::styled(text, loud(screen)));
    }
    lines
}

fn alerts(frame: &mut Frame, area: Rect, screen: &Screen) {
    let block = Block::bordered().title(" Open alerts ");
    if screen.alerts.is_empty() {
        let text = screen.ended.as_ref().map_or_else(
            || "Nothing is open. A candidate appears here as soon as a camera sees an enrolled person.".to_owned(),
            |ended| format!("Nothing is open any more. The last alert ended at {ended}."),
        );
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }).block(block), area);
        return;
    }
    let head = ["", "stage", "person", "list", "camera", "age", "left", "votes"];
    let rows = screen.alerts.iter().map(|alert| {
        let left = at(alert, "expires").map(|expires| expires.0 - screen.now.0);
        let opened = at(alert, "opened").map_or(screen.now, |opened| opened);
        let watch = alert["purpose"] == "watch";
        let hurry = alert["stage"] == "machine-confirmed" && left.is_some_and(|left| left < HURRY_MS);
        let cells = [
            Cell::new(if watch { "!" } else { " " }),
            Cell::new(stage(alert)),
            Cell::new(field(alert, "person")),
            Cell::new(field(alert, "list")),
            Cell::new(field(alert, "camera")),
            Cell::new(span(screen.now.0 - opened.0)),
            Cell::new(left.map_or_else(|| "-".into(), span)).style(if hurry { bad(screen) } else { Style::new() }),
            Cell::new(votes(alert)),
        ];
        Row::new(cells).style(if watch && alert["stage"] == "machine-confirmed" { loud(screen) } else { Style::new() })
    });
    let widths = [
        Constraint::Length(1),
        Constraint::Length(16),
        Constraint::Fill(5),
        Constraint::Fill(3),
        Constraint::Fill(4),
        Constraint::Length(11),
        Constraint::Length(11),
        Constraint::Length(6),
    ];
    let table = Table::new(rows, widths).header(Row::new(head).dim()).block(block);
    let table = table.row_highlight_style(Modifier::REVERSED);
    let mut state = TableState::new().with_selected(screen.chosen);
    frame.render_stateful_widget(table, area, &mut state);
}

/// The stage in words that say what is asked for.
fn stage(alert: &Value) -> String {
    match alert["stage"].as_str() {
        Some("machine-confirmed") => "waits for people".into(),
        _ => field(alert, "stage"),
    }
}

/// Votes cast of those the list asks for; how people voted stays hidden while others still have to.
fn votes(alert: &Value) -> String {
    let required = alert["votes-required"].as_u64().unwrap_or(0);
    let cast = alert["votes-cast"].as_u64().or_else(|| alert["votes"].as_array().map(|votes| votes.len() as u64));
    let cast = cast.unwrap_or(0);
    if required == 0 { "-".into() } else { format!("{cast}/{required}") }
}

/// Whether a camera needs nobody.
pub(super) fn sends(camera: &Value) -> bool {
    matches!(camera["state"].as_str(), Some("streaming" | "ended"))
}

fn camera_table(frame: &mut Frame, area: Rect, screen: &Screen) {
    let rows = screen.cameras.iter().map(|camera| {
        let good = sends(camera);
        let age = camera["last-frame-age-ms"].as_i64();
        let cells = [
            Cell::new(if good { " " } else { "!" }),
            Cell::new(field(camera, "name")),
            Cell::new(field(camera, "state")),
            Cell::new(age.map_or_else(|| "never".into(), |ms| if ms < 2000 { "now".into() } else { span(ms) })),
            Cell::new(field(camera, "fps")),
            Cell::new(field(camera, "faces")),
        ];
        Row::new(cells).style(if good { Style::new() } else { bad(screen) })
    });
    let widths = [
        Constraint::Length(1),
        Constraint::Fill(2),
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(5),
        Constraint::Length(7),
    ];
    let head = Row::new(["", "camera", "state", "picture", "fps", "faces"]).dim();
    frame.render_widget(Table::new(rows, widths).header(head).block(Block::bordered().title(" Cameras ")), area);
}

fn events(frame: &mut Frame, area: Rect, screen: &Screen) {
    let block = Block::bordered().title(" What happened, newest first ");
    let lines: Vec<_> =
        screen.events.iter().take(usize::from(area.height)).map(|line| event_line(screen, line)).collect();
    let empty = lines.is_empty();
    let text = if empty { vec![Text::from("Nothing since this view was opened.").dim()] } else { lines };
    frame.render_widget(Paragraph::new(text).block(block), area);
}

fn event_line(screen: &Screen, line: &Line) -> Text<'static> {
    let style = if line.loud { loud(screen) } else { Style::new() };
    let mark = if line.loud { "! " } else { "  " };
    Text::from(vec![
        Span::styled(mark, style),
        Span::raw(format!("{:<9}", line.time)).dim(),
        Span::styled(format!("{:<18} ", line.what), style),
        Span::raw(line.text.clone()),
    ])
}

/// What lies over the view, if anything.
fn over(frame: &mut Frame, screen: &Screen) {
    let (title, lines) = match screen.over {
        Over::Nothing => return,
        Over::Details => match screen.alert() {
            Some(alert) => (" Alert ", details(screen, alert)),
            None => return,
        },
        Over::Review => (" Review ", review(screen)),
        Over::Help => (" Keys ", help()),
    };
    let area = frame.area();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let [area] = Layout::horizontal([Constraint::Max(76)]).flex(ratatui::layout::Flex::Center).areas(area);
    let [area] = Layout::vertical([Constraint::Max(height)]).flex(ratatui::layout::Flex::Center).areas(area);
    let block = Block::bordered().title(title).title_bottom(" Esc closes ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// An alert in full, without its evidence: whoever is to vote judges the pictures first.
fn details(screen: &Screen, alert: &Value) -> Vec<Text<'static>> {
    let names = ["person", "list", "purpose", "camera", "stage", "cause", "face-px", "frames-used"];
    let mut lines: Vec<_> = names.iter().map(|name| Text::from(format!("{name:<14}{}", field(alert, name)))).collect();
    for name in ["opened", "changed", "expires"] {
        let Some(at) = at(alert, name) else { continue };
        let away = at.0 - screen.now.0;
        let away = if away < 0 { format!("{} ago", span(-away)) } else { format!("in {}", span(away)) };
        lines.push(Text::from(format!("{name:<14}{} ({away})", screen.clock.time_of_day(at))));
    }
    lines.push(Text::from(format!("{:<14}{}", "votes", votes(alert))));
    lines.push(Text::from(format!("{:<14}{}", "id", field(alert, "id"))));
    lines.push(Text::from(""));
    lines.push(Text::from("Pictures: press r. Evidence, after your vote: sekisho alerts show ID").dim());
    lines
}

fn review(screen: &Screen) -> Vec<Text<'static>> {
    let what = match screen.waiting() {
        0 => "No alert waits for people now.".to_owned(),
        1 => "1 alert waits for people.".to_owned(),
        waiting => format!("{waiting} alerts wait for people."),
    };
    vec![
        Text::from(what),
        Text::from(""),
        Text::from("Pictures are looked at, and votes cast, on the review page. In another terminal:"),
        Text::from("    sekisho review").bold(),
        Text::from("prints its address, good for one log-in."),
    ]
}

fn help() -> Vec<Text<'static>> {
    let keys = [
        ("up down, k j", "choose an alert"),
        ("enter", "its details"),
        ("r", "how to look at its pictures and vote"),
        ("Esc", "close what lies over the view"),
        ("q, Ctrl-C", "quit"),
        ("!", "a watch list, or something that needs a person"),
    ];
    keys.iter().map(|(key, does)| Text::from(format!("{key:<14}{does}"))).collect()
}
