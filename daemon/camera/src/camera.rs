//! A camera as the daemon holds it: settings in, status out, frames into its slot.

use crate::backoff::Backoff;
use crate::calm::Calm;
use crate::codec::Hardware;
use crate::fault::Fault;
use crate::lockout::AuthLockout;
use crate::reaper::Reaper;
use crate::slot::{Slot, unpoisoned};
use crate::source::{Pace, Source, Transport};
use crate::status::{CameraStatus, Gauges};
use crate::supervisor::Supervisor;
use crate::tap::Event;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Unread news a supervisor may have; see `Tap::tell` for what happens beyond.
const EVENTS_MAX: usize = 64;
/// How long [`CameraHandle::stop`] waits for the camera's thread: the first picture of a clip may take 2 s, a
/// tear-down 1 s. The daemon is to be gone within 5 s.
const STOP_MAX: Duration = Duration::from_millis(3500);

/// How a camera is to be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraSettings {
    /// Where the pictures come from.
    pub source: Source,
    /// Age of the newest frame at which a connection is given up.
    pub stall: Duration,
    /// How often an RTSP camera is told over TCP that we are alive. GStreamer 1.22 does not do it by itself while
    /// packets flow; a camera commonly waits 60 s, a few wait 30 s, and the time-out it announces cannot be read from
    /// `rtspsrc`, hence 20 s for all of them. Zero turns it off.
    pub keep_alive: Duration,
    /// Whether a decoder in hardware may be used.
    pub hardware: Hardware,
}

impl CameraSettings {
    /// The usual: 5 s to a stall, 20 s between keep-alives, hardware preferred.
    #[must_use]
    pub const fn new(source: Source) -> Self {
        Self {
            source,
            stall: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
            hardware: Hardware::Preferred,
        }
    }

    /// Keep-alives are missing over TCP only.
    pub(crate) fn keeps_alive(&self) -> bool {
        let is_tcp = matches!(self.source, Source::Rtsp { transport: Transport::Tcp, .. });
        is_tcp && !self.keep_alive.is_zero()
    }

    fn check(&self) -> Result<(), SpawnError> {
        if matches!(self.source, Source::Clip { pace: Pace::AsFastAsPossible, .. }) {
            return Err(SpawnError::NotLive);
        }
        if self.stall < Duration::from_millis(200) {
            return Err(SpawnError::StallTooShort);
        }
        Ok(())
    }
}

/// Why a camera cannot be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// GStreamer does not start.
    #[error("{0}")]
    Gstreamer(Fault),
    /// A clip at full speed has no newest frame; a reader takes every one.
    #[error("a clip played as fast as possible is read with the clip reader, not watched like a camera")]
    NotLive,
    /// No camera delivers that steadily.
    #[error("a stall limit below 200 ms would end every connection")]
    StallTooShort,
    /// The system gives no thread.
    #[error("no thread for the camera: {0}")]
    Thread(std::io::Error),
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The camera's thread is gone.
    Cleanly,
    /// It hung and was left behind; it puts no frame into the slot any more once it comes to.
    LeftBehind,
}

/// What the handle sets and the thread reads.
#[derive(Debug, Default)]
pub(crate) struct Controls {
    stop: AtomicBool,
    settings: Mutex<Option<CameraSettings>>,
}

impl Controls {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn has_settings(&self) -> bool {
        unpoisoned(self.settings.lock()).is_some()
    }

    pub(crate) fn take_settings(&self) -> Option<CameraSettings> {
        unpoisoned(self.settings.lock()).take()
    }
}

/// Starts cameras.
#[derive(Debug)]
pub struct Camera;

impl Camera {
    /// Starts watching a camera on a thread of its own. Frames go into `slot`; refused passwords are counted in
    /// `lockout`, which all cameras share. Returns at once; how it goes is in [`CameraHandle::status`].
    ///
    /// # Errors
    /// [`SpawnError`] when this can never work; a camera that does not answer is no error.
    pub fn spawn(
        id: CameraId,
        settings: CameraSettings,
        slot: Arc<Slot>,
        clock: Arc<dyn Clock>,
        lockout: Arc<AuthLockout>,
    ) -> Result<CameraHandle, SpawnError> {
        settings.check()?;
        crate::init().map_err(SpawnError::Gstreamer)?;
        let (sender, events) = sync_channel(EVENTS_MAX);
        let (gauges, controls) = (Arc::new(Gauges::default()), Arc::new(Controls::default()));
        let (alive, is_over) = channel::<()>();
        let supervisor = Supervisor {
            id: id.clone(),
            settings: settings.clone(),
            slot: slot.clone(),
            clock: clock.clone(),
            lockout,
            gauges: gauges.clone(),
            controls: controls.clone(),
            events,
            sender: sender.clone(),
            backoff: Backoff::default(),
            calm: Calm::default(),
            reaper: Reaper::new(gauges.clone()),
            connections: 0,
            hardware: settings.hardware,
        };
        std::thread::Builder::new()
            .name(format!("cam-{id}"))
            .spawn(move || {
                supervisor.run();
                drop(alive);
            })
            .map_err(SpawnError::Thread)?;
        Ok(CameraHandle { id, settings, slot, clock, gauges, controls, sender, is_over })
    }
}

/// A camera being watched. Dropped, it stops.
pub struct CameraHandle {
    id: CameraId,
    settings: CameraSettings,
    slot: Arc<Slot>,
    clock: Arc<dyn Clock>,
    gauges: Arc<Gauges>,
    controls: Arc<Controls>,
    sender: SyncSender<Event>,
    is_over: Receiver<()>,
}

impl std::fmt::Debug for CameraHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CameraHandle({}, {})", self.id, self.settings.source)
    }
}

impl CameraHandle {
    /// Its name.
    #[must_use]
    pub const fn id(&self) -> &CameraId {
        &self.id
    }

    /// Where it stands now. Never waits for the camera.
    #[must_use]
    pub fn status(&self) -> CameraStatus {
        self.gauges.status(self.clock.now().mono, self.settings.stall, self.slot.superseded_total())
    }

    /// Gives it other settings. When they differ from the ones in force it reconnects at once, whatever it was waiting
    /// for, and a changed password is tried afresh; when they do not, nothing happens to the stream.
    ///
    /// # Errors
    /// [`SpawnError`] when the settings can never work; the old ones stay in force.
    pub fn reconfigure(&mut self, settings: CameraSettings) -> Result<(), SpawnError> {
        settings.check()?;
        if settings != self.settings {
            self.settings = settings.clone();
            *unpoisoned(self.controls.settings.lock()) = Some(settings);
            self.wake();
        }
        Ok(())
    }

    /// Tells it to stop without waiting; several cameras then stop side by side.
    pub fn begin_stop(&self) {
        self.controls.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Stops it and waits for its thread, 3.5 s at most.
    #[must_use]
    pub fn stop(self) -> Stopped {
        self.begin_stop();
        match self.is_over.recv_timeout(STOP_MAX) {
            Err(RecvTimeoutError::Disconnected) => Stopped::Cleanly,
            Ok(()) | Err(RecvTimeoutError::Timeout) => Stopped::LeftBehind,
        }
    }

    /// When the channel is full the thread is awake anyway, and it looks at its controls at every turn.
    fn wake(&self) {
        let _woken = self.sender.try_send(Event::Wake);
    }
}

impl Drop for CameraHandle {
    fn drop(&mut self) {
        self.begin_stop();
    }
}
