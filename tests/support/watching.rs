//! Watching cameras in tests: one camera with its slot, waits with limits, and a log that can be searched.

use crate::clock::RealClock;
use sekisho_camera::{
    AuthLockout, Camera, CameraHandle, CameraSettings, CameraState, CameraStatus, Credential, Frame, Secret, Signal,
    Slot, Source,
};
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Clock;
use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// A camera under test.
pub struct Watched {
    /// Its handle.
    pub handle: CameraHandle,
    /// Where its frames arrive.
    pub slot: Arc<Slot>,
    signal: Arc<Signal>,
    clock: Arc<RealClock>,
}

/// Settings for an RTSP address or a path, with a login when one is given.
///
/// # Panics
/// When the source is refused.
#[must_use]
pub fn settings(source: &str, login: Option<(&str, &str)>) -> CameraSettings {
    let credential =
        login.map(|(user, password)| Credential { user: user.to_owned(), password: Secret::new(password.to_owned()) });
    let source = Source::parse(source).unwrap_or_else(|wrong| panic!("{source}: {wrong}"));
    CameraSettings::new(source.with_credential(credential))
}

impl Watched {
    /// Starts a camera with a lock-out ledger of its own.
    #[must_use]
    pub fn start(name: &str, settings: CameraSettings) -> Self {
        Self::start_with(name, settings, AuthLockout::new())
    }

    /// Starts a camera that shares `lockout` with others.
    ///
    /// # Panics
    /// When the camera cannot be spawned.
    #[must_use]
    pub fn start_with(name: &str, settings: CameraSettings, lockout: Arc<AuthLockout>) -> Self {
        let id = CameraId::try_new(name).unwrap_or_else(|wrong| panic!("{wrong}"));
        let (signal, clock) = (Signal::new(), RealClock::start());
        let slot = Slot::new(id.clone(), signal.clone());
        let handle = Camera::spawn(id, settings, slot.clone(), clock.clone(), lockout)
            .unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        Self { handle, slot, signal, clock }
    }

    /// The next frame, or nothing when none comes in time.
    ///
    /// # Panics
    /// When a frame cannot be mapped.
    #[must_use]
    pub fn frame_within(&self, limit: Duration) -> Option<Frame> {
        let until = self.clock.now().mono.plus(limit);
        loop {
            let seen = self.signal.rung_total();
            if let Some(frame) = self.slot.take() {
                return Some(frame.unwrap_or_else(|wrong| panic!("{wrong}")));
            }
            let left = until.since(self.clock.now().mono);
            if left.is_zero() {
                return None;
            }
            let _rung = self.signal.wait(seen, left);
        }
    }

    /// `count` frames, each within `limit` of the one before.
    ///
    /// # Panics
    /// When one does not come; the status is printed.
    #[must_use]
    pub fn frames(&self, count: usize, limit: Duration) -> Vec<Frame> {
        let one = |at| {
            self.frame_within(limit).unwrap_or_else(|| {
                panic!("{}: frame {at} did not come within {limit:?}: {:?}", self.handle.id(), self.handle.status())
            })
        };
        (0..count).map(one).collect()
    }

    /// Waits until the status satisfies `wanted`; gives it and how long that took.
    ///
    /// # Panics
    /// When that takes longer than `limit`; the status is printed.
    #[must_use]
    pub fn until(&self, limit: Duration, wanted: impl Fn(&CameraStatus) -> bool) -> (CameraStatus, Duration) {
        let begun = self.clock.now().mono;
        loop {
            let status = self.handle.status();
            let passed = self.clock.now().mono.since(begun);
            if wanted(&status) {
                return (status, passed);
            }
            assert!(passed < limit, "{}: still {status:?} after {passed:?}", self.handle.id());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a state.
    #[must_use]
    pub fn until_state(&self, state: CameraState, limit: Duration) -> (CameraStatus, Duration) {
        self.until(limit, |status| status.state == state)
    }
}

/// Everything logged in this process since the first call, in full.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Starts collecting; once a process, later calls give the same log.
    #[must_use]
    pub fn collected() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let writer = log.clone();
            let collector = tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            // Somebody else collecting already would leave this log empty, which the tests that search it notice.
            let _set = tracing::subscriber::set_global_default(collector);
            log
        })
        .clone()
    }

    /// What was logged so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
