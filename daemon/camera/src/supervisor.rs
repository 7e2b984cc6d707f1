//! One thread per camera that opens, watches, gives up and opens again.
//!
//! ```text
//! admitted? --no--> AuthHold / busy ------------------------------------------\
//!    | yes                                                                     |
//!    v                                                                         v
//! Connecting --> Streaming <--> Degraded --fault--> Stalled | BackingOff | AuthHold | BadConfig
//!    ^                              |                                          |
//!    |                              \--end of a clip--> Ended                  |
//!    \------------------- waited, or the configuration changed ---------------/
//! ```
//! Whatever ends a connection, its pipeline goes to the reaper and the next one is built from nothing.

use crate::backoff::{Backoff, random_jitter};
use crate::bus::Interpreter;
use crate::calm::{Calm, Say};
use crate::camera::{CameraSettings, Controls};
use crate::clip::{self, Packing};
use crate::codec::Hardware;
use crate::fault::{Fault, Remedy};
use crate::health::{Health, Verdict};
use crate::lockout::{Admission, AuthLockout, Permit};
use crate::reaper::{Reaper, STUCK_MAX};
use crate::rtsp;
use crate::slot::{Slot, unpoisoned};
use crate::source::{Repeat, Source};
use crate::status::{CameraState, Gauges};
use crate::tap::{Event, Notice, Tap};
use gstreamer as gst;
use gstreamer::prelude::*;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::{Clock, Mono};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Duration;

/// How often a running connection is looked at; a stall is noticed at most this long after its limit.
const TICK: Duration = Duration::from_millis(250);
/// How soon to ask again while others try the same account; an answer takes 10 to 200 ms.
const BUSY: Duration = Duration::from_millis(100);
/// How long a camera that wants a password we do not have is left alone.
const NO_CREDENTIAL: Duration = Duration::from_secs(30 * 60);
/// How long the tear-downs under way may hold up a stop, each.
const STOP_EACH: Duration = Duration::from_secs(1);

/// Everything one camera's thread owns.
pub(crate) struct Supervisor {
    pub(crate) id: CameraId,
    pub(crate) settings: CameraSettings,
    pub(crate) slot: Arc<Slot>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lockout: Arc<AuthLockout>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) controls: Arc<Controls>,
    pub(crate) events: Receiver<Event>,
    pub(crate) sender: SyncSender<Event>,
    pub(crate) backoff: Backoff,
    pub(crate) calm: Calm,
    pub(crate) reaper: Reaper,
    pub(crate) connections: u64,
    pub(crate) hardware: Hardware,
}

/// How a connection or a wait ended.
enum Ending {
    Stop,
    Reconfigured,
    /// The wait is over.
    Waited,
    /// A clip is over.
    ClipOver,
    /// The connection broke after pictures had come without a gap for so long.
    Fault(Fault, Duration),
}

/// A connection under way.
struct Connection {
    tap: Arc<Tap>,
    pipeline: gst::Pipeline,
    rtspsrc: Option<gst::Element>,
    permit: Option<Permit>,
    health: Health,
    kept_alive: Mono,
}

impl Supervisor {
    pub(crate) fn run(mut self) {
        loop {
            let ending = self.attempt();
            let ending = match ending {
                Ending::Fault(fault, good_for) => self.recover(&fault, good_for),
                Ending::ClipOver => self.after_clip(),
                other => other,
            };
            match ending {
                Ending::Stop => break,
                Ending::Reconfigured => self.apply_settings(),
                Ending::Waited | Ending::ClipOver | Ending::Fault(..) => {}
            }
        }
        self.slot.clear();
        self.reaper.finish(STOP_EACH);
        self.say_state(CameraState::Stopped, None);
    }

    /// From asking for leave to the end of the connection.
    fn attempt(&mut self) -> Ending {
        if self.reaper.stuck(self.clock.now().mono) >= STUCK_MAX {
            let said = format!("{STUCK_MAX} tear-downs hang; restart the service");
            return Ending::Fault(Fault::Broken { said }, Duration::ZERO);
        }
        let permit = match self.admission() {
            Ok(permit) => permit,
            Err(ending) => return ending,
        };
        self.say_state(CameraState::Connecting, None);
        self.connections += 1;
        let tap =
            Tap::new(self.connections, self.slot.clone(), self.clock.clone(), self.gauges.clone(), self.sender.clone());
        let (pipeline, rtspsrc) = match self.open(&tap) {
            Ok(opened) => opened,
            Err(fault) => return Ending::Fault(fault, Duration::ZERO),
        };
        let now = self.clock.now().mono;
        let health = Health::new(now, self.settings.stall);
        let mut connection = Connection { tap, pipeline, rtspsrc, permit, health, kept_alive: now };
        let ending = self.watch(&mut connection);
        self.give_up(connection, &ending);
        ending
    }

    /// Waits for leave to present the password. Sources without one need no leave.
    fn admission(&mut self) -> Result<Option<Permit>, Ending> {
        loop {
            let Source::Rtsp { url, credential: Some(credential), .. } = &self.settings.source else {
                return Ok(None);
            };
            let now = self.clock.now().mono;
            match self.lockout.begin(url.host(), credential, now) {
                Admission::Go(permit) => return Ok(Some(permit)),
                Admission::Busy => {
                    self.say_state(CameraState::Connecting, None);
                    match self.wait(now.plus(BUSY)) {
                        Ending::Waited => {}
                        other => return Err(other),
                    }
                }
                Admission::Hold(until) => {
                    let line = format!(
                        "user {:?} was refused twice by {}; held so that the account is not locked, until its \
                         credential changes or {}",
                        credential.user,
                        url.host(),
                        span(until.since(now))
                    );
                    self.say_fault("auth-hold", line, CameraState::AuthHold, until);
                    match self.wait(until) {
                        Ending::Waited => {}
                        other => return Err(other),
                    }
                }
            }
        }
    }

    fn open(&self, tap: &Arc<Tap>) -> Result<(gst::Pipeline, Option<gst::Element>), Fault> {
        let (pipeline, rtspsrc) = match &self.settings.source {
            Source::Rtsp { url, transport, credential } => {
                let (pipeline, rtspsrc) = rtsp::open((url, *transport, credential.as_ref()), self.hardware, tap)?;
                (pipeline, Some(rtspsrc))
            }
            Source::Clip { path, .. } => (clip::play(path, self.hardware, tap)?, None),
        };
        let (interpreter, told) = (Interpreter::new(self.settings.source.clone()), tap.clone());
        if let Some(bus) = pipeline.bus() {
            bus.set_sync_handler(move |_, message| {
                if let Some(notice) = interpreter.read(message) {
                    told.tell(notice);
                }
                gst::BusSyncReply::Drop
            });
        }
        if let Source::Clip { path, repeat: Repeat::Forever, .. } = &self.settings.source
            && matches!(Packing::of(path), Some(Packing::Container(_)))
        {
            clip::prepare_repeat(&pipeline);
        }
        // A refusal to start comes with a message that says why; the watch reads it.
        if pipeline.set_state(gst::State::Playing).is_err() {
            tap.tell(Notice::Fault(Fault::Broken { said: "the pipeline does not start".to_owned() }));
        }
        Ok((pipeline, rtspsrc))
    }

    fn watch(&mut self, connection: &mut Connection) -> Ending {
        loop {
            let event = self.events.recv_timeout(TICK).ok();
            if let Some(ending) = self.commanded() {
                return ending;
            }
            let now = self.clock.now().mono;
            let fault = match event {
                Some(Event::Notice(from, notice)) if from == self.connections => {
                    match self.on_notice(connection, notice, now) {
                        Ok(fault) => fault,
                        Err(ending) => return ending,
                    }
                }
                _ => None,
            };
            let fault = fault.or_else(|| self.look(connection, now));
            if let Some(fault) = fault {
                return Ending::Fault(fault, connection.health.good_for());
            }
        }
    }

    fn on_notice(&mut self, connection: &mut Connection, notice: Notice, now: Mono) -> Result<Option<Fault>, Ending> {
        match notice {
            Notice::Admitted => {
                if let Some(permit) = connection.permit.take() {
                    permit.passed();
                }
                Ok(None)
            }
            Notice::Fault(Fault::WrongPassword) => {
                if let Some(permit) = connection.permit.take() {
                    permit.refused(now);
                }
                Ok(Some(Fault::WrongPassword))
            }
            Notice::Fault(fault) => Ok(Some(fault)),
            Notice::DecodeWarning => Ok(connection.health.on_decode_warning(now)),
            Notice::FormatChanged => Ok(connection.health.on_format_change(now)),
            Notice::SegmentDone => {
                clip::rewind(&connection.pipeline);
                Ok(None)
            }
            Notice::Ended if matches!(self.settings.source, Source::Clip { .. }) => Err(Ending::ClipOver),
            Notice::Ended => Ok(Some(Fault::Closed)),
        }
    }

    /// The look at the counters, several times a second.
    fn look(&mut self, connection: &mut Connection, now: Mono) -> Option<Fault> {
        let counted = connection.tap.counted();
        let state = match connection.health.check(now, counted) {
            Verdict::Fault(fault) => return Some(fault),
            Verdict::Connecting => CameraState::Connecting,
            Verdict::Streaming => CameraState::Streaming,
            Verdict::Degraded => CameraState::Degraded,
        };
        self.reaper.stuck(now);
        self.say_running(state, connection.health.frames_per_s(), now);
        let is_due = now.since(connection.kept_alive) >= self.settings.keep_alive;
        if let (CameraState::Streaming | CameraState::Degraded, Some(rtspsrc), true) =
            (state, &connection.rtspsrc, is_due && self.settings.keeps_alive())
        {
            connection.kept_alive = now;
            if !rtsp::keep_alive(rtspsrc) {
                tracing::debug!(camera = %self.id, "the keep-alive could not be queued");
            }
        }
        None
    }

    fn give_up(&mut self, connection: Connection, ending: &Ending) {
        connection.tap.close();
        let counted = connection.tap.counted();
        if matches!(ending, Ending::Fault(..)) && counted.frames == 0 && connection.tap.is_in_hardware() {
            tracing::warn!(camera = %self.id, "the hardware decoder gave no frame; decoding in software from now on");
            self.hardware = Hardware::Avoided;
        }
        drop(connection.permit);
        drop(connection.rtspsrc);
        // The last frame before a fault or the end of a clip is as good as any; one of another source is not.
        if matches!(ending, Ending::Stop | Ending::Reconfigured) {
            self.slot.clear();
        }
        self.reaper.take(connection.pipeline, self.clock.now().mono);
    }

    /// Says what happened and waits as long as it takes.
    fn recover(&mut self, fault: &Fault, good_for: Duration) -> Ending {
        let now = self.clock.now().mono;
        let delay = self.backoff.on_fault(fault.remedy(), good_for, random_jitter());
        let (state, until) = match (fault, fault.remedy()) {
            (Fault::WrongPassword, _) => match self.held_until(now) {
                Some(until) => (CameraState::AuthHold, until),
                None => (CameraState::BackingOff, now.plus(delay)),
            },
            (_, Remedy::Hold) => (CameraState::AuthHold, now.plus(NO_CREDENTIAL)),
            (_, Remedy::Reconfigure) => (CameraState::BadConfig, now.plus(delay)),
            (Fault::Stalled { .. } | Fault::NoFirstFrame { .. }, _) => (CameraState::Stalled, now.plus(delay)),
            (_, Remedy::Retry) => (CameraState::BackingOff, now.plus(delay)),
        };
        let what_next = match state {
            CameraState::AuthHold => "held until its credential changes or".to_owned(),
            _ => format!("reconnecting, attempt {}, in", self.backoff.faults() + 1),
        };
        *unpoisoned(self.gauges.said.lock()).reconnects_total.entry(fault.reason()).or_default() += 1;
        unpoisoned(self.gauges.said.lock()).last_fault = Some(fault.to_string());
        let line = format!("{fault}; {what_next} {}", span(until.since(now)));
        self.say_fault(fault.reason(), line, state, until);
        self.wait(until)
    }

    fn held_until(&self, now: Mono) -> Option<Mono> {
        match &self.settings.source {
            Source::Rtsp { url, credential: Some(credential), .. } => {
                self.lockout.held_until(url.host(), credential, now)
            }
            Source::Rtsp { .. } | Source::Clip { .. } => None,
        }
    }

    /// A clip that repeats and could not be rewound is opened again at once; one that does not is over.
    fn after_clip(&mut self) -> Ending {
        if matches!(self.settings.source, Source::Clip { repeat: Repeat::Forever, .. }) {
            return Ending::Waited;
        }
        self.say_state(CameraState::Ended, None);
        tracing::info!(camera = %self.id, "the clip is over");
        self.wait(Mono::from_nanos(u64::MAX))
    }

    /// Sleeps until `until`, a stop or a new configuration.
    fn wait(&mut self, until: Mono) -> Ending {
        loop {
            if let Some(ending) = self.commanded() {
                return ending;
            }
            let now = self.clock.now().mono;
            if now >= until {
                return Ending::Waited;
            }
            self.reaper.stuck(now);
            // Left-over news of the connection that ended only wake us early.
            let _news = self.events.recv_timeout(until.since(now).min(TICK));
        }
    }

    fn commanded(&self) -> Option<Ending> {
        if self.controls.is_stopped() {
            return Some(Ending::Stop);
        }
        self.controls.has_settings().then_some(Ending::Reconfigured)
    }

    fn apply_settings(&mut self) {
        let Some(settings) = self.controls.take_settings() else { return };
        if let Source::Rtsp { url, credential: Some(credential), .. } = &settings.source {
            self.lockout.on_changed(url.host(), credential);
        }
        self.settings = settings;
        self.hardware = self.settings.hardware;
        self.backoff.reset();
        tracing::info!(camera = %self.id, source = %self.settings.source, "new settings");
    }

    fn say_running(&mut self, state: CameraState, frames_per_s: Option<f64>, now: Mono) {
        let mut said = unpoisoned(self.gauges.said.lock());
        let before = std::mem::replace(&mut said.state, state);
        (said.frames_per_s, said.next_attempt) = (frames_per_s, None);
        drop(said);
        if before == state {
            return;
        }
        match (state, self.calm.on(state.as_str(), now)) {
            (_, Say::Nothing) => {}
            (CameraState::Degraded, Say::Full) => tracing::warn!(
                camera = %self.id,
                "far fewer frames than usual for 30 s; check the camera's network"
            ),
            (_, Say::Full) => {
                let picture = unpoisoned(self.gauges.picture.lock()).clone();
                let codec = picture.codec.map_or("?", |codec| codec.as_str());
                let (width, height) = picture.size.unwrap_or_default();
                let decoder = picture.decoder.unwrap_or_default();
                tracing::info!(camera = %self.id, "{}: {codec} {width}x{height}, decoded by {decoder}", state.as_str());
            }
            (_, Say::Repeated(times)) => {
                tracing::info!(camera = %self.id, "{} again, {times} times since the last line", state.as_str());
            }
        }
    }

    fn say_state(&self, state: CameraState, next_attempt: Option<Mono>) {
        let mut said = unpoisoned(self.gauges.said.lock());
        (said.state, said.next_attempt, said.frames_per_s) = (state, next_attempt, None);
    }

    fn say_fault(&mut self, kind: &'static str, line: String, state: CameraState, until: Mono) {
        self.say_state(state, Some(until));
        match self.calm.on(kind, self.clock.now().mono) {
            Say::Full => tracing::warn!(camera = %self.id, "{line}"),
            Say::Repeated(times) => {
                tracing::warn!(camera = %self.id, "{line} ({times} times since the last line)");
            }
            Say::Nothing => {}
        }
        unpoisoned(self.gauges.said.lock()).last_error = Some(format!("{}: {line}", self.id));
    }
}

/// A wait, for people.
fn span(wait: Duration) -> String {
    let seconds = wait.as_secs_f64().round();
    if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}
