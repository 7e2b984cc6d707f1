//! What the live view shows, as plain data: no terminal, no daemon, no clock.

use crate::cmd::output::field;
use crate::local_time::LocalClock;
use sekisho_logic::time::WallMs;
use serde_json::Value;
use std::collections::VecDeque;

/// Lines of what happened that are kept.
const EVENTS_MAX: usize = 500;

/// How things stood when the daemon was last asked.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    /// Open alerts, those that wait for people first.
    pub(super) alerts: Vec<Value>,
    /// `/v1/cameras`.
    pub(super) cameras: Value,
    /// `/v1/status`.
    pub(super) status: Value,
}

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `q`, Ctrl-C.
    Leave,
    /// Escape.
    Close,
    Up,
    Down,
    First,
    Last,
    /// Enter.
    Details,
    /// `r`.
    Review,
    /// `?`.
    Help,
}

/// What a key came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Go on.
    Stay,
    /// The view is to end.
    Leave,
}

/// What lies over the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Nothing,
    Details,
    Review,
    Help,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `HH:MM:SS`, local.
    pub(super) time: String,
    /// The stage or kind, in capitals.
    pub(super) what: String,
    /// The rest.
    pub(super) text: String,
    /// Whether somebody should look: a watch list, a stale calibration.
    pub(super) loud: bool,
}

/// The whole view.
#[derive(Debug)]
pub(super) struct Screen {
    /// Open alerts: earliest deadline first, those that wait for people before candidates.
    pub(super) alerts: Vec<Value>,
    /// Cameras as the daemon told.
    pub(super) cameras: Vec<Value>,
    /// `/v1/status`.
    pub(super) status: Value,
    /// What happened, newest first.
    pub(super) events: VecDeque<Line>,
    /// The last alert that ended while this view was open: when, how, who, where.
    pub(super) ended: Option<String>,
    /// Place of the chosen alert.
    pub(super) chosen: usize,
    /// What lies over everything.
    pub(super) over: Over,
    /// Why the daemon cannot be reached; `None` while it can.
    pub(super) lost: Option<String>,
    /// When it was last reached.
    pub(super) fresh: WallMs,
    /// Now.
    pub(super) now: WallMs,
    /// Events that could not be shown in time.
    pub(super) shed: u64,
    /// Whether colours may be used.
    pub(super) colours: bool,
    /// The zone that times are shown in.
    pub(super) clock: LocalClock,
    dirty: bool,
}

/// Milliseconds since 1970 of a field; `None` where it is absent.
pub(super) fn at(document: &Value, name: &str) -> Option<WallMs> {
    document[name].as_str().and_then(WallMs::from_rfc3339)
}

/// A length of time in two units at the most.
pub(super) fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {:02} min", s / 3600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3600 % 24),
    }
}

impl Screen {
    pub(super) fn new(colours: bool, clock: LocalClock) -> Self {
        Self {
            alerts: Vec::new(),
            ended: None,
            cameras: Vec::new(),
            status: Value::Null,
            events: VecDeque::new(),
            chosen: 0,
            over: Over::Nothing,
            lost: None,
            fresh: WallMs(0),
            now: WallMs(0),
            shed: 0,
            colours,
            clock,
            dirty: true,
        }
    }

    /// Draw again.
    pub(super) fn touch(&mut self) {
        self.dirty = true;
    }

    /// Whether something changed since this was last asked.
    pub(super) fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// Time passes; seconds are shown.
    pub(super) fn tick(&mut self, now: WallMs, shed: u64) {
        self.dirty |= now.0 / 1000 != self.now.0 / 1000 || shed != self.shed;
        if self.fresh == WallMs(0) {
            self.fresh = now;
        }
        (self.now, self.shed) = (now, shed);
    }

    /// Takes over how things stand. The chosen alert stays chosen wherever it moves.
    pub(super) fn looked(&mut self, looked: Looked) {
        let chosen = self.chosen_id();
        self.alerts = looked.alerts;
        self.alerts.sort_by_key(|alert| {
            let waits = alert["stage"] == "machine-confirmed";
            (!waits, at(alert, "expires").unwrap_or(WallMs(i64::MAX)))
        });
        let place = chosen.and_then(|id| self.alerts.iter().position(|alert| alert["id"] == id.as_str()));
        self.chosen = place.unwrap_or(self.chosen).min(self.alerts.len().saturating_sub(1));
        self.cameras = looked.cameras["cameras"].as_array().cloned().unwrap_or_default();
        // A small terminal shows the first few: those that need somebody.
        self.cameras.sort_by_key(super::draw::sends);
        self.status = looked.status;
        (self.lost, self.fresh) = (None, self.now);
        self.dirty = true;
    }

    /// The daemon cannot be reached.
    pub(super) fn lost(&mut self, why: String) {
        self.lost = Some(why);
        self.dirty = true;
    }

    /// Something happened.
    pub(super) fn happened(&mut self, event: &Value) {
        let line = told(event, &self.clock);
        if event["type"] == "end" {
            let after = &event["after"];
            let (person, camera) = (field(after, "person"), field(after, "camera"));
            self.ended = Some(format!("{} {} {person} at {camera}", line.time, line.what));
        }
        self.events.push_front(line);
        self.events.truncate(EVENTS_MAX);
        self.dirty = true;
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, key: Key) -> Wish {
        self.dirty = true;
        let last = self.alerts.len().saturating_sub(1);
        match key {
            Key::Leave => return Wish::Leave,
            Key::Close => self.over = Over::Nothing,
            Key::Up => self.chosen = self.chosen.saturating_sub(1),
            Key::Down => self.chosen = (self.chosen + 1).min(last),
            Key::First => self.chosen = 0,
            Key::Last => self.chosen = last,
            Key::Details => self.put_over(Over::Details),
            Key::Review => self.put_over(Over::Review),
            Key::Help => self.put_over(Over::Help),
        }
        Wish::Stay
    }

    /// The same key again takes it away.
    fn put_over(&mut self, what: Over) {
        let possible = what != Over::Details || !self.alerts.is_empty();
        self.over = if self.over == what || !possible { Over::Nothing } else { what };
    }

    /// The chosen alert.
    pub(super) fn alert(&self) -> Option<&Value> {
        self.alerts.get(self.chosen)
    }

    fn chosen_id(&self) -> Option<String> {
        self.alert().and_then(|alert| alert["id"].as_str()).map(str::to_owned)
    }

    /// Alerts that wait for people.
    pub(super) fn waiting(&self) -> usize {
        self.alerts.iter().filter(|alert| alert["stage"] == "machine-confirmed").count()
    }

    /// Cameras that send pictures.
    pub(super) fn streaming(&self) -> usize {
        self.cameras.iter().filter(|camera| camera["state"] == "streaming").count()
    }
}

/// An event as a line of the view. Evidence stays out of it: whoever looks here may be asked to vote in a moment.
fn told(event: &Value, clock: &LocalClock) -> Line {
    let time = |document: &Value, name: &str| at(document, name).map(|at| clock.time_of_day(at)).unwrap_or_default();
    let line = |time: String, what: &str, text: String, loud| Line { time, what: what.to_uppercase(), text, loud };
    match event["type"].as_str() {
        Some("track") => {
            let reason = event["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let person = event["person"].as_str().map(|person| format!(" {person}")).unwrap_or_default();
            let text = format!(
                "{}{person}{reason}, {} of {} faces, {} px",
                field(event, "camera"),
                field(event, "frames-used"),
                field(event, "faces"),
                field(event, "face-px")
            );
            line(time(event, "ended"), &field(event, "decision"), text, false)
        }
        Some("missed") => line(
            String::new(),
            "missed",
            format!("{} events: this terminal was too slow; `sekisho alerts list` has them all", field(event, "count")),
            true,
        ),
        Some("calibration") => {
            let text = event["said"].as_str().unwrap_or_default().to_owned();
            let what = format!("calibration {}", field(event, "state"));
            line(time(event, "at"), &what, text, event["state"] == "stale")
        }
        Some("suspension") => line(time(event, "at"), "suspension", field(event, "subject"), true),
        _ => {
            let after = &event["after"];
            let settled = matches!(after["stage"].as_str(), Some("withdrawn" | "rejected" | "expired"));
            let text = format!(
                "{} at {} ({}), {} px, {} frames",
                field(after, "person"),
                field(after, "camera"),
                field(after, "cause"),
                field(after, "face-px"),
                field(after, "frames-used")
            );
            let loud = after["purpose"] == "watch" && !settled;
            line(time(after, "changed"), &field(after, "stage"), text, loud)
        }
    }
}
