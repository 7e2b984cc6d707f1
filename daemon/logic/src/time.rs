//! Time as an argument. The daemon's one clock file produces these values; everything else receives them.

use std::time::Duration;

/// A point on the monotonic clock, in nanoseconds since an arbitrary origin. Steps of the wall clock do not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(u64);

impl Mono {
    /// From nanoseconds since the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds since the clock's origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the clock's origin, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point moved later by `by`, saturating at the end of the scale (584 years).
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time in milliseconds since the Unix epoch, UTC. For stamps that people read; never for time-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct WallMs(pub i64);

impl WallMs {
    /// RFC 3339 in UTC with milliseconds: `2026-11-23T23:06:19.120Z`. Years outside 0..=9999 are clamped.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let ms = self.0.clamp(-62_167_219_200_000, 253_402_300_799_999);
        let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (h, m, s, milli) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
        format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{milli:03}Z")
    }
}

impl WallMs {
    /// What [`to_rfc3339`](Self::to_rfc3339) wrote, or a bare date (`2026-11-24`); fractions of a second are dropped.
    /// `None` for anything else, other zones included.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
        let numbers = |text: &str, mark: char| -> Option<Vec<i64>> {
            text.split(mark).map(|part| part.parse::<u32>().ok().map(i64::from)).collect()
        };
        let [year, month, day] = numbers(date, '-')?[..] else { return None };
        let time = time.strip_suffix('Z')?;
        let [h, m, s] = numbers(time.split_once('.').map_or(time, |(whole, _)| whole), ':')?[..] else { return None };
        let sound = year <= 9999 && (1..=12).contains(&month) && (1..=31).contains(&day) && h < 24 && m < 60 && s < 61;
        // Hinnant, `days_from_civil`.
        let shifted = if month > 2 { year } else { year - 1 };
        let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
        let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        sound.then_some(Self(((days * 24 + h) * 60 + m) * 60_000 + s * 1000))
    }
}

/// Proleptic Gregorian date of a day number counted from 1970-01-01.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For every decision about duration.
    pub mono: Mono,
    /// For stamps only.
    pub wall: WallMs,
}

/// Whoever needs the time without being handed it takes one of these; the only real one is in the daemon.
pub trait Clock: Send + Sync {
    /// Both clocks now.
    fn now(&self) -> Now;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_never_goes_negative() {
        assert_eq!(Mono::from_millis(5).since(Mono::from_millis(9)), Duration::ZERO);
        assert_eq!(Mono::from_millis(9).since(Mono::from_millis(5)), Duration::from_millis(4));
    }

    #[test]
    fn what_was_written_is_read_back() {
        for ms in [0, 951_782_400_000, 1_795_475_179_000, -86_400_000] {
            assert_eq!(WallMs::from_rfc3339(&WallMs(ms).to_rfc3339()), Some(WallMs(ms)));
        }
        assert_eq!(WallMs::from_rfc3339("2000-02-29"), Some(WallMs(951_782_400_000)));
        for bad in ["", "yesterday", "2026-13-01", "2026-11-24T10:00:00+09:00", "2026-11-24T25:00:00Z"] {
            assert_eq!(WallMs::from_rfc3339(bad), None, "{bad}");
        }
    }

    #[test]
    fn rfc3339_knows_leap_years_and_the_epoch() {
        assert_eq!(WallMs(0).to_rfc3339(), "1970-01-01T00:00:00.000Z");
        assert_eq!(WallMs(951_782_400_000).to_rfc3339(), "2000-02-29T00:00:00.000Z");
        assert_eq!(WallMs(-1).to_rfc3339(), "1969-12-31T23:59:59.999Z");
        assert_eq!(WallMs(1_795_475_179_120).to_rfc3339(), "2026-11-23T23:06:19.120Z");
    }
}
