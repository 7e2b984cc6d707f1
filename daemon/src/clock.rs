//! The only file that reads a clock.

use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks. The monotonic one starts one hour up, so that "an hour ago" is always a valid time.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

const HEAD_START_NANOS: u64 = 3_600_000_000_000;

impl SystemClock {
    /// Starts the monotonic scale.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now(&self) -> Now {
        let up = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX - HEAD_START_NANOS);
        // Before 1970 only a broken clock is; it stamps 1970 and every duration stays right.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: Mono::from_nanos(HEAD_START_NANOS.saturating_add(up)),
            wall: WallMs(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

/// Where systemd-timesyncd says that it has the time.
const TIMESYNC: &str = "/run/systemd/timesync";

/// Whether the wall clock is synchronised with the network, where that can be known: `systemd-timesyncd` notes it in `/run`.
/// `None` with another time service or none; asking the kernel is among the calls that the service is denied.
#[must_use]
pub fn synchronised() -> Option<bool> {
    synchronised_by(std::path::Path::new(TIMESYNC))
}

fn synchronised_by(directory: &std::path::Path) -> Option<bool> {
    directory.is_dir().then(|| directory.join("synchronized").exists())
}

/// Processor time of the calling thread, for measuring what work costs whatever else the machine does meanwhile. Its
/// readings on different threads have nothing to do with each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadCpuClock;

impl Clock for ThreadCpuClock {
    fn now(&self) -> Now {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = spent.tv_sec.unsigned_abs().saturating_mul(1_000_000_000);
        Now { mono: Mono::from_nanos(seconds.saturating_add(spent.tv_nsec.unsigned_abs())), wall: WallMs(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_service_is_believed_where_there_is_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().join("timesync");
        assert_eq!(synchronised_by(&place), None);
        std::fs::create_dir(&place).expect("made");
        assert_eq!(synchronised_by(&place), Some(false));
        std::fs::write(place.join("synchronized"), "").expect("written");
        assert_eq!(synchronised_by(&place), Some(true));
    }
}
