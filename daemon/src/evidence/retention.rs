//! When what has expired may be erased: pictures, alerts, whatever is kept for a time. A wrong clock must not erase what
//! people still need: what is gone is gone. Each class of data has its own [`Retention`].
//!
//! ```text
//! clock known not to be synchronised, impossible, or stepped since the last look -> held
//! due <= a tenth of all, or only a handful -> go        due > a tenth -> held -- still so ten minutes later --> go
//! ```

use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::{DiskLevel, EvidenceStock, Space};
use std::time::Duration;

/// A large run waits this long, on the clock that does not step. A network clock is right again within minutes.
const WAIT: Duration = Duration::from_secs(600);
/// Up to so many (two or three alerts' pictures) no share of them is worth waiting for.
const HANDFUL: u64 = 20;
/// 2025-01-01: this program is younger than that, so a clock that says so is wrong.
const CLOCK_MIN: WallMs = WallMs(1_735_689_600_000);
/// 2100-01-01: a clock beyond it has a flat battery or a slip of the finger.
const CLOCK_MAX: WallMs = WallMs(4_102_444_800_000);
/// Between two looks the wall clock may be corrected by so much without being suspected.
const STEP_MS_MAX: u64 = 60_000;

/// Fewest pictures erased early at once: with less, a look every ten minutes would not keep up with a filling disk.
const EARLY_MIN: u64 = 64;

/// How many of the oldest pictures are erased before their time because the disk is nearly full: a tenth at a look. None
/// where all of them together are less than a hundredth of what is free: that would take from reviewers and give nothing back.
#[must_use]
pub const fn early(stock: &EvidenceStock, space: Space) -> u64 {
    match space.level() {
        DiskLevel::Ample => 0,
        DiskLevel::Low | DiskLevel::Scarce | DiskLevel::Reserve if stock.bytes <= space.free_bytes / 100 => 0,
        DiskLevel::Low | DiskLevel::Scarce | DiskLevel::Reserve => {
            let tenth = stock.pictures.div_ceil(10);
            if tenth > EARLY_MIN { tenth } else { EARLY_MIN }
        }
    }
}

/// What there is of one class of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// All of it.
    pub kept: u64,
    /// Of which has expired.
    pub due: u64,
}

/// What to do about what has expired, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// There are none.
    Nothing,
    /// Erase them.
    Go,
    /// Leave them for now.
    Held(Held),
}

/// Why what has expired is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// The wall clock shows a year that cannot be.
    ClockWrong,
    /// The machine means to synchronise its clock and has not yet.
    ClockUnsynchronised,
    /// The wall clock was moved since the last look.
    ClockStepped,
    /// More than a tenth of it would go at once.
    LargeRun,
}

impl Held {
    /// The word for status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClockWrong => "clock-wrong",
            Self::ClockUnsynchronised => "clock-not-synchronised",
            Self::ClockStepped => "clock-stepped",
            Self::LargeRun => "large-run",
        }
    }
}

/// Remembers the last look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    last: Option<Now>,
    /// Since when a large run waits.
    waiting: Option<Mono>,
}

impl Retention {
    /// Looks at what is there. `synchronised`: whether the wall clock is, where that is known.
    pub fn look(&mut self, now: Now, synchronised: Option<bool>, stock: Stock) -> Purge {
        let stepped = self.last.replace(now).is_some_and(|last| stepped(last, now));
        if stepped {
            self.waiting = None;
        }
        if stock.due == 0 {
            self.waiting = None;
            return Purge::Nothing;
        }
        if !(CLOCK_MIN..CLOCK_MAX).contains(&now.wall) {
            return Purge::Held(Held::ClockWrong);
        }
        if synchronised == Some(false) {
            self.waiting = None;
            return Purge::Held(Held::ClockUnsynchronised);
        }
        if stepped {
            return Purge::Held(Held::ClockStepped);
        }
        if stock.kept <= HANDFUL || stock.due.saturating_mul(10) <= stock.kept {
            return Purge::Go;
        }
        let since = *self.waiting.get_or_insert(now.mono);
        if now.mono.since(since) < WAIT {
            return Purge::Held(Held::LargeRun);
        }
        self.waiting = None;
        Purge::Go
    }
}

/// Whether the wall clock went otherwise than the monotonic one.
fn stepped(last: Now, now: Now) -> bool {
    let went = i64::try_from(now.mono.since(last.mono).as_millis()).unwrap_or(i64::MAX);
    now.wall.0.saturating_sub(last.wall.0).abs_diff(went) > STEP_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24.
    const TODAY: i64 = 1_795_475_179_000;
    const DAY_MS: i64 = 86_400_000;

    /// `minutes` after the start, by a wall clock that is `ahead_ms` ahead.
    fn at(minutes: u64, ahead_ms: i64) -> Now {
        let ms = minutes * 60_000;
        Now { mono: Mono::from_millis(ms), wall: WallMs(TODAY + i64::try_from(ms).expect("small") + ahead_ms) }
    }

    fn stock(kept: u64, due: u64) -> Stock {
        Stock { kept, due }
    }

    /// A look with a clock of which it is not known whether it is synchronised.
    fn look(retention: &mut Retention, now: Now, stock: Stock) -> Purge {
        retention.look(now, None, stock)
    }

    #[test]
    fn pictures_go_early_only_where_that_makes_room() {
        const MIB: u64 = 1024 * 1024;
        let space = |free: u64, total: u64| Space {
            free_bytes: free * MIB,
            total_bytes: total * MIB,
            free_inodes: 0,
            total_inodes: 0,
        };
        let stock = |pictures, mib: u64| EvidenceStock { pictures, due: 0, bytes: mib * MIB };
        for (pictures, mib, free, total, wanted) in [
            (5000, 500, 2000, 8000, 0),
            (5000, 50, 700, 8000, 500),
            (100, 8, 700, 8000, 64),
            // A large disk that others filled: 20 GB are left, and all pictures are 5 MB.
            (500, 5, 20_000, 250_000, 0),
            (500, 5, 100, 8000, 64),
            (0, 0, 0, 8000, 0),
        ] {
            assert_eq!(early(&stock(pictures, mib), space(free, total)), wanted, "{pictures} {mib} {free}");
        }
    }

    #[test]
    fn a_few_expired_pictures_go_at_once() {
        let mut retention = Retention::default();
        assert_eq!(look(&mut retention, at(0, 0), stock(0, 0)), Purge::Nothing);
        assert_eq!(look(&mut retention, at(10, 0), stock(100, 10)), Purge::Go);
        assert_eq!(look(&mut retention, at(20, 0), stock(HANDFUL, HANDFUL)), Purge::Go, "all of a handful");
        assert_eq!(look(&mut retention, at(30, 0), stock(100, 0)), Purge::Nothing);
    }

    #[test]
    fn a_large_run_needs_a_second_look_ten_minutes_later() {
        let mut retention = Retention::default();
        let large = stock(100, 11);
        assert_eq!(look(&mut retention, at(0, 0), large), Purge::Held(Held::LargeRun));
        assert_eq!(look(&mut retention, at(9, 0), large), Purge::Held(Held::LargeRun));
        assert_eq!(look(&mut retention, at(10, 0), large), Purge::Go);
        assert_eq!(look(&mut retention, at(20, 0), large), Purge::Held(Held::LargeRun), "each run waits for itself");
        assert_eq!(look(&mut retention, at(25, 0), stock(100, 0)), Purge::Nothing);
        assert_eq!(look(&mut retention, at(35, 0), large), Purge::Held(Held::LargeRun), "the wait was over");
    }

    #[test]
    fn a_clock_that_jumped_ahead_and_back_erases_nothing() {
        let mut retention = Retention::default();
        assert_eq!(look(&mut retention, at(0, 0), stock(100, 0)), Purge::Nothing);
        // A year ahead everything has expired.
        assert_eq!(look(&mut retention, at(10, 365 * DAY_MS), stock(100, 100)), Purge::Held(Held::ClockStepped));
        assert_eq!(look(&mut retention, at(15, 365 * DAY_MS), stock(100, 100)), Purge::Held(Held::LargeRun));
        assert_eq!(look(&mut retention, at(20, 0), stock(100, 1)), Purge::Held(Held::ClockStepped));
        assert_eq!(look(&mut retention, at(30, 0), stock(100, 1)), Purge::Go);
    }

    #[test]
    fn a_step_begins_the_wait_of_a_large_run_anew() {
        let mut retention = Retention::default();
        let large = stock(100, 50);
        assert_eq!(look(&mut retention, at(0, 0), large), Purge::Held(Held::LargeRun));
        assert_eq!(look(&mut retention, at(10, DAY_MS), large), Purge::Held(Held::ClockStepped));
        assert_eq!(look(&mut retention, at(20, DAY_MS), large), Purge::Held(Held::LargeRun));
        assert_eq!(look(&mut retention, at(30, DAY_MS), large), Purge::Go);
    }

    #[test]
    fn an_unsynchronised_clock_erases_nothing_until_it_is_right() {
        let mut retention = Retention::default();
        for minutes in [0, 10, 20] {
            let held = retention.look(at(minutes, 0), Some(false), stock(100, 50));
            assert_eq!(held, Purge::Held(Held::ClockUnsynchronised));
        }
        assert_eq!(retention.look(at(30, 0), Some(true), stock(100, 50)), Purge::Held(Held::LargeRun));
        assert_eq!(retention.look(at(40, 0), Some(true), stock(100, 50)), Purge::Go);
    }

    #[test]
    fn an_impossible_year_erases_nothing_however_long_it_lasts() {
        for wrong in [0, 4_102_444_800_000] {
            let mut retention = Retention::default();
            for minutes in [0, 10, 20, 30] {
                let now = Now { wall: WallMs(wrong + minutes * 60_000), ..at(minutes.unsigned_abs(), 0) };
                assert_eq!(look(&mut retention, now, stock(10, 1)), Purge::Held(Held::ClockWrong));
            }
        }
    }
}
