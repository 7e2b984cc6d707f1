//! The time zone of schedules and quiet hours, as the deciding half can use it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sekisho_logic::hours::Zone;
use sekisho_logic::time::WallMs;

/// Changes of the clock are looked up from 2025 to 2060 (unix seconds): longer than any box stands, and few enough to keep.
const FROM_S: i64 = 1_735_689_600;
const UNTIL_S: i64 = 2_840_140_800;
/// Two a year, with room for a country that changes its mind.
const CHANGES_MAX: usize = 128;

/// The zone of that name, or the one the machine is set to for `system`. `None` when there is none.
///
/// The names are those of the IANA time-zone database: the machine's, or the copy that is built in where it has none. A
/// machine without a zone runs on UTC.
#[must_use]
pub fn zone(name: &str) -> Option<Zone> {
    let zone = match name {
        "system" => TimeZone::try_system().unwrap_or(TimeZone::UTC),
        _ => TimeZone::get(name).ok()?,
    };
    let from = Timestamp::from_second(FROM_S).ok()?;
    let changes = zone.following(from).take(CHANGES_MAX).map_while(|change| {
        let at = change.timestamp();
        (at.as_second() < UNTIL_S).then(|| (WallMs(at.as_millisecond()), change.offset().seconds()))
    });
    Some(Zone::new(zone.to_offset(from).seconds(), changes.collect()))
}

/// The end of a day (`2027-03-31`) in the zone of that name. `None` for what is no date, or no zone.
#[must_use]
pub fn end_of_day(name: &str, date: &str) -> Option<WallMs> {
    let zone = match name {
        "system" => TimeZone::try_system().unwrap_or(TimeZone::UTC),
        _ => TimeZone::get(name).ok()?,
    };
    // Ten characters, so that no time of day hides behind the date.
    let day: Date = (date.len() == 10).then(|| date.parse().ok())??;
    let next = day.tomorrow().ok()?.to_zoned(zone).ok()?;
    Some(WallMs(next.timestamp().as_millisecond()))
}

/// A clock on the wall where somebody looks at a terminal.
#[derive(Clone, Debug)]
pub struct LocalClock(TimeZone);

impl LocalClock {
    /// In the zone the machine is set to, or that `TZ` names.
    #[must_use]
    pub fn system() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// In UTC.
    #[must_use]
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// `HH:MM:SS` of a moment; empty for one that no calendar has.
    #[must_use]
    pub fn time_of_day(&self, at: WallMs) -> String {
        let moment = Timestamp::from_millisecond(at.0).ok();
        moment.map(|moment| moment.to_zoned(self.0.clone()).strftime("%H:%M:%S").to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::hours::WeekMinute;

    #[test]
    fn zones_follow_their_country_for_decades() {
        let berlin = zone("Europe/Berlin").expect("known");
        let at = |text| berlin.local(WallMs::from_rfc3339(text).expect("a time"));
        assert_eq!(at("2026-01-05T12:00:00Z"), WeekMinute::new(0, 13 * 60), "winter");
        assert_eq!(at("2026-07-06T12:00:00Z"), WeekMinute::new(0, 14 * 60), "summer");
        assert_eq!(at("2051-07-03T12:00:00Z"), WeekMinute::new(0, 14 * 60), "in 25 years");
        let tokyo = zone("Asia/Tokyo").expect("known");
        assert_eq!(tokyo.local(WallMs::from_rfc3339("2026-01-05T15:00:00Z").expect("a time")), WeekMinute::new(1, 0));
        assert!(zone("Mars/Olympus").is_none() && zone("").is_none());
        assert!(zone("system").is_some());
    }

    #[test]
    fn a_day_ends_where_the_site_is() {
        let end = |zone, date| end_of_day(zone, date).map(WallMs::to_rfc3339);
        assert_eq!(end("Asia/Tokyo", "2027-03-31").as_deref(), Some("2027-03-31T15:00:00.000Z"));
        assert_eq!(
            end("Europe/Berlin", "2027-03-28").as_deref(),
            Some("2027-03-28T22:00:00.000Z"),
            "a day of 23 hours"
        );
        for bad in ["", "2027-02-30", "tomorrow", "2027-03-31T10:00", "31.03.2027"] {
            assert_eq!(end("UTC", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_clock_on_the_wall_shows_its_own_zone() {
        let at = WallMs::from_rfc3339("2026-07-06T22:03:09Z").expect("a time");
        assert_eq!(LocalClock::utc().time_of_day(at), "22:03:09");
        let tokyo = LocalClock(TimeZone::get("Asia/Tokyo").expect("known"));
        assert_eq!(tokyo.time_of_day(at), "07:03:09");
        assert_eq!(LocalClock::utc().time_of_day(WallMs(i64::MAX)), "");
    }
}
