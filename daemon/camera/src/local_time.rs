//! Wall-clock times as people at the site read them: GLib knows the machine's time zone and its changes.

use gstreamer::glib;
use sekisho_logic::time::WallMs;

/// A time where the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0..=23.
    pub hour: u8,
    /// `2026-11-24 21:05 +0900`.
    pub text: String,
}

/// The local time of `wall`; `None` for times beyond the calendar GLib knows (years 1 to 9999). Reads no clock.
#[must_use]
pub fn local(wall: WallMs) -> Option<LocalTime> {
    let time = glib::DateTime::from_unix_local(wall.0.div_euclid(1000)).ok()?;
    let hour = u8::try_from(time.hour()).ok()?;
    Some(LocalTime { hour, text: time.format("%Y-%m-%d %H:%M %z").ok()?.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_hours_and_times_beyond_the_calendar_are_none() {
        // The zone of the test machine is unknown; what holds in every zone with whole quarters of an hour is checked.
        let (now, later) = (WallMs(1_795_475_179_120), WallMs(1_795_475_179_120 + 3_600_000));
        let (now, later) = (local(now).expect("a time"), local(later).expect("a time"));
        assert!(now.hour < 24 && now.text.starts_with("2026-11-2") && now.text.len() == 22, "{now:?}");
        assert_eq!((now.hour + 1) % 24, later.hour);
        assert_eq!(local(WallMs(i64::MAX)), None);
    }
}
