//! A survey of a live camera. The supervisor reconnects as in the running daemon; whatever happens to the camera, what
//! was measured stays.

use super::Surveyor;
use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::interrupt::Interrupt;
use indicatif::ProgressBar;
use sekisho_camera::camera::{Camera, CameraHandle, CameraSettings, Stopped};
use sekisho_camera::lockout::AuthLockout;
use sekisho_camera::slot::{Signal, Slot};
use sekisho_camera::status::{CameraState, CameraStatus};
use sekisho_logic::id::CameraId;
use sekisho_logic::time::{Clock as _, Mono};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A camera that gave no frame for this long has lost its tracks, as in the running daemon.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// Without a frame the loop looks around this often.
const IDLE: Duration = Duration::from_millis(250);

/// A camera that is being watched by one command.
pub struct Watched {
    /// Its supervisor.
    pub handle: CameraHandle,
    /// Where its frames arrive.
    pub slot: Arc<Slot>,
    /// Rings when one does.
    pub signal: Arc<Signal>,
}

impl Watched {
    /// Starts watching.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the settings can never work.
    pub fn start(id: &CameraId, settings: CameraSettings, clock: Arc<SystemClock>) -> Result<Self, Failure> {
        let signal = Signal::new();
        let slot = Slot::new(id.clone(), Arc::clone(&signal));
        let handle = Camera::spawn(id.clone(), settings, Arc::clone(&slot), clock, AuthLockout::new())
            .map_err(|error| Failure::Wrong(format!("camera {id}: {error}")))?;
        Ok(Self { handle, slot, signal })
    }

    /// Stops watching.
    pub fn stop(self) {
        let id = self.handle.id().clone();
        if self.handle.stop() == Stopped::LeftBehind {
            tracing::warn!("{id}: its thread hangs in GStreamer and is left behind");
        }
    }
}

/// Whether waiting on will not help.
#[must_use]
pub const fn is_hopeless(status: &CameraStatus) -> bool {
    matches!(status.state, CameraState::AuthHold | CameraState::BadConfig)
}

/// The fault of a camera as a refusal.
#[must_use]
pub fn refusal(id: &CameraId, status: &CameraStatus) -> Failure {
    let fault = status.last_fault.as_deref().unwrap_or("no picture came, and no fault was reported");
    Failure::No(format!("camera {id}: {fault}"))
}

/// How a live survey ended.
pub struct Ended {
    /// Before its time was over.
    pub early: bool,
    /// Faults of the camera, by reason.
    pub interruptions: BTreeMap<&'static str, u64>,
}

impl Surveyor<'_> {
    /// Measures what comes from a camera until `duration` is over or somebody asks to stop.
    ///
    /// # Errors
    /// [`Failure::No`] with the supervisor's reason when not one picture came.
    pub fn camera(
        &mut self,
        watched: &Watched,
        clock: &SystemClock,
        (duration, stop): (Duration, &Interrupt),
        bar: &ProgressBar,
    ) -> Result<Ended, Failure> {
        let begun = clock.now().mono;
        let (mut streaming_since, mut frames) = (None::<Mono>, 0_u64);
        bar.set_length(duration.as_secs());
        loop {
            let rung = watched.signal.rung_total();
            let now = clock.now().mono;
            let status = watched.handle.status();
            if stop.is_asked() || now.since(begun) >= duration || status.state == CameraState::Ended {
                break;
            }
            if frames == 0 && is_hopeless(&status) {
                return Err(refusal(watched.handle.id(), &status));
            }
            self.tell(bar, &status, now.since(begun));
            if !self.look.is_due(now) {
                std::thread::park_timeout(self.look.due_in(now).min(IDLE));
                continue;
            }
            match watched.slot.take() {
                Some(Ok(frame)) => {
                    if let Ok(view) = frame.view() {
                        self.take(&view, frame.stamp(), now);
                        frames += 1;
                        self.observed += streaming_since.map_or(Duration::ZERO, |last| now.since(last).min(LOST_AFTER));
                        streaming_since = Some(now);
                    }
                }
                Some(Err(error)) => tracing::debug!("{error}"),
                None => {
                    if streaming_since.is_some_and(|last| now.since(last) > LOST_AFTER) {
                        streaming_since = None;
                        self.pause();
                    }
                    let _rung = watched.signal.wait(rung, IDLE);
                }
            }
        }
        let status = watched.handle.status();
        if frames == 0 {
            return Err(refusal(watched.handle.id(), &status));
        }
        self.pause();
        let early = clock.now().mono.since(begun) < duration && status.state != CameraState::Ended;
        Ok(Ended { early, interruptions: status.reconnects_total })
    }

    fn tell(&self, bar: &ProgressBar, status: &CameraStatus, passed: Duration) {
        bar.set_position(passed.as_secs());
        let (tracks, faces) = (self.survey.tracks(), self.survey.faces());
        bar.set_message(format!("{}, {tracks} tracks, {faces} faces", status.state.as_str()));
    }
}
