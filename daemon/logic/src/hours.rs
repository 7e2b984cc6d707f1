//! Hours of the week, in local time: when a list is matched, and when its alerts keep quiet.

use crate::time::WallMs;
use std::fmt;

const DAY_MIN: u16 = 24 * 60;
const WEEK_MIN: u16 = 7 * DAY_MIN;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A minute of the week in local time, 0 for Monday 00:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeekMinute(u16);

impl WeekMinute {
    /// From local time: days since Monday and minutes since midnight; both are reduced to a week.
    #[must_use]
    pub const fn new(day: u16, minute: u16) -> Self {
        Self((day % 7 * DAY_MIN + minute % DAY_MIN) % WEEK_MIN)
    }
}

/// Parts of the week. Half-open windows; one that ends before it begins runs over the end of the week.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Hours {
    windows: Vec<(u16, u16)>,
    always: bool,
}

/// Why a text names no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{given}\" names no hours; write \"mon-fri 07:00-19:00\", \"sat 08:00-12:00\" or, for every day, \"22:00-06:00\""
)]
pub struct BadHours {
    given: String,
}

impl Hours {
    /// The whole week.
    #[must_use]
    pub const fn always() -> Self {
        Self { windows: Vec::new(), always: true }
    }

    /// No time at all.
    #[must_use]
    pub const fn never() -> Self {
        Self { windows: Vec::new(), always: false }
    }

    /// Reads windows such as `mon-fri 07:00-19:00`, `sat,sun 10:00-16:00`, `fri-mon 18:00-24:00` or, for every day,
    /// `22:00-06:00`; `always` is the whole week. A window that ends at or before its beginning ends on the day after. No window is no time.
    ///
    /// # Errors
    /// [`BadHours`] naming the first text that cannot be read.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, BadHours> {
        let (mut windows, mut always) = (Vec::new(), false);
        for text in texts {
            if text.trim().eq_ignore_ascii_case("always") {
                always = true;
                continue;
            }
            let read = window(text).ok_or_else(|| BadHours { given: text.chars().take(40).collect() })?;
            windows.extend(read);
        }
        Ok(if always { Self::always() } else { Self { windows, always: false } })
    }

    /// Whether `at` lies in it.
    #[must_use]
    pub fn contains(&self, at: WeekMinute) -> bool {
        let inside = |&(from, to): &(u16, u16)| {
            if from < to { (from..to).contains(&at.0) } else { at.0 >= from || at.0 < to }
        };
        self.always || self.windows.iter().any(inside)
    }
}

/// The windows of one text, one a day.
fn window(text: &str) -> Option<Vec<(u16, u16)>> {
    let lower = text.trim().to_ascii_lowercase();
    let (days, times) = lower.rsplit_once(' ').unwrap_or(("mon-sun", &lower));
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    if from == DAY_MIN {
        return None;
    }
    let length = if to > from { to - from } else { to + DAY_MIN - from };
    let mut windows = Vec::new();
    for part in days.trim().split(',') {
        let number = |name: &str| DAYS.iter().position(|day| *day == name.trim());
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        let count = (last + 7 - first) % 7 + 1;
        for day in (first..first + count).map(|day| u16::try_from(day % 7).unwrap_or(0)) {
            let begin = day * DAY_MIN + from;
            let end = (begin + length) % WEEK_MIN;
            windows.push((begin, end));
        }
    }
    Some(windows)
}

/// `07:30` as minutes since midnight, up to `24:00`.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
    let total = hours * 60 + minutes;
    (minutes < 60 && total <= DAY_MIN).then_some(total)
}

/// Offsets of local time from UTC, as far ahead as they are known. This crate reads no clock and no time-zone files, so
/// whoever makes the policy looks them up.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Zone {
    offset_s: i32,
    changes: Vec<(WallMs, i32)>,
}

impl Zone {
    /// Local time runs `offset_s` seconds ahead of UTC, and from each of `changes` on by the offset given there.
    #[must_use]
    pub fn new(offset_s: i32, mut changes: Vec<(WallMs, i32)>) -> Self {
        changes.sort_by_key(|(at, _)| *at);
        Self { offset_s, changes }
    }

    /// The local minute of the week.
    #[must_use]
    pub fn local(&self, wall: WallMs) -> WeekMinute {
        let latest = self.changes.partition_point(|(at, _)| *at <= wall).checked_sub(1);
        let offset_s = latest.and_then(|at| self.changes.get(at)).map_or(self.offset_s, |(_, offset_s)| *offset_s);
        let minutes = (wall.0.div_euclid(1000) + i64::from(offset_s)).div_euclid(60);
        // 1970-01-01 was a Thursday.
        let in_week = (minutes + 3 * i64::from(DAY_MIN)).rem_euclid(i64::from(WEEK_MIN));
        WeekMinute(u16::try_from(in_week).unwrap_or(0))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({} s, {} changes)", self.offset_s, self.changes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(texts: &[&str]) -> Hours {
        Hours::parse(texts.iter().copied()).expect("hours")
    }

    #[test]
    fn office_hours_are_monday_to_friday() {
        let office = hours(&["mon-fri 07:00-19:00", "sat 08:00-12:00"]);
        for (day, minute, inside) in
            [(0, 420, true), (0, 419, false), (4, 1139, true), (4, 1140, false), (5, 480, true), (6, 600, false)]
        {
            assert_eq!(office.contains(WeekMinute::new(day, minute)), inside, "day {day}, minute {minute}");
        }
    }

    #[test]
    fn a_night_runs_into_the_next_day_and_over_the_end_of_the_week() {
        let night = hours(&["22:00-06:00"]);
        for day in 0..7 {
            assert!(night.contains(WeekMinute::new(day, 1320)) && night.contains(WeekMinute::new(day, 359)));
            assert!(!night.contains(WeekMinute::new(day, 360)) && !night.contains(WeekMinute::new(day, 1319)));
        }
        let sunday = hours(&["sun 22:00-06:00"]);
        assert!(sunday.contains(WeekMinute::new(0, 100)), "Monday morning");
        assert!(!sunday.contains(WeekMinute::new(6, 100)), "Sunday morning");
        assert!(hours(&["mon 00:00-24:00"]).contains(WeekMinute::new(0, 1439)));
        assert!(hours(&["00:00-00:00"]).contains(WeekMinute::new(3, 700)), "a whole day");
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in
            ["", "25:00-26:00", "mon", "mon-fri", "mon-foo 07:00-08:00", "7:00-8:00", "07:60-08:00", "24:00-01:00"]
        {
            let said = Hours::parse([text]).expect_err(text).to_string();
            assert!(said.contains("mon-fri 07:00-19:00"), "{said}");
        }
    }

    #[test]
    fn summer_time_moves_the_hours() {
        // Berlin: 2026-03-29T01:00:00Z from one hour to two.
        let change = WallMs::from_rfc3339("2026-03-29T01:00:00Z").expect("a time");
        let zone = Zone::new(3600, vec![(change, 7200)]);
        let at = |text| zone.local(WallMs::from_rfc3339(text).expect("a time"));
        assert_eq!(at("2026-03-29T00:59:00Z"), WeekMinute::new(6, 119));
        assert_eq!(at("2026-03-29T01:00:00Z"), WeekMinute::new(6, 180));
        assert_eq!(Zone::default().local(WallMs(0)), WeekMinute::new(3, 0), "a Thursday");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _either = Hours::parse([text.as_str()]);
        }

        #[test]
        fn every_moment_has_a_minute_of_the_week(wall in any::<i64>(), offset in -50_000_i32..50_000) {
            let wall = WallMs(wall / 4);
            prop_assert!(Zone::new(offset, Vec::new()).local(wall).0 < WEEK_MIN);
        }
    }
}
