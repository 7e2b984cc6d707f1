//! The real clock, for tests that run against real sockets and real video.

use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Both clocks of the machine.
#[derive(Debug)]
pub struct RealClock {
    origin: Instant,
}

impl RealClock {
    /// A clock whose monotonic side starts now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "tests on real video need real time, and only this file reads it")]
    pub fn start() -> Arc<Self> {
        Arc::new(Self { origin: Instant::now() })
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "tests on real video need real time, and only this file reads it")]
    fn now(&self) -> Now {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Now { mono: Mono::from_nanos(nanos), wall: WallMs(i64::try_from(wall).unwrap_or(i64::MAX)) }
    }
}
