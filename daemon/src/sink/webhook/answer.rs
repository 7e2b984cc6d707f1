//! What an HTTP answer means for the event that was sent.
//!
//! ```text
//! 2xx                                       taken
//! 429, 503                                  down for as long as Retry-After says: the receiver is busy, not the event at fault
//! 3xx, 401, 403, 404, 405, 407, 410, 421    down: wrong address, secret or token. Every event would be answered so, and
//!                                           giving up on all of them because of a mistyped path would lose them
//! 400, 409, 413, 415, 422 and other 4xx     refused: this event is not wanted. Tried ten times, then dead
//! 408, 425, 5xx and anything else           failed: the next one may get through
//! ```

use crate::sink::outlet::{Down, DownCause, Outcome};
use hyper::StatusCode;
use sekisho_logic::time::WallMs;
use std::time::{Duration, UNIX_EPOCH};

/// The outcome. `said` is the status with a piece of the answer, one line.
#[must_use]
pub(super) fn outcome(status: StatusCode, retry_after: Option<Duration>, said: String) -> Outcome {
    match status.as_u16() {
        200..=299 => Outcome::Taken,
        429 | 503 => Outcome::Down(Down { why: said, cause: DownCause::Unreachable, wait: retry_after }),
        300..=399 | 401 | 403 | 404 | 405 | 407 | 410 | 421 => Outcome::Down(Down::denied(said)),
        408 | 425 => Outcome::Failed(said),
        400..=499 => Outcome::Refused(said),
        _ => Outcome::Failed(said),
    }
}

/// `Retry-After`: seconds, or a date. `None` for anything else.
#[must_use]
pub(super) fn retry_after(value: &str, now: WallMs) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.0).ok()?);
    Some(at.saturating_sub(now))
}

/// A piece of a receiver's text, fit for a log and a status page: one line, short, and not at all when it repeats who the
/// event is about.
#[must_use]
pub(super) fn excerpt(body: &[u8], person: &str) -> String {
    const CHARS_MAX: usize = 120;
    let text = String::from_utf8_lossy(body);
    if text.contains(person) {
        return String::new();
    }
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let line: String = text.chars().take(CHARS_MAX).map(plain).collect();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_somebodys_move() {
        let outcome = |code: u16| {
            let status = StatusCode::from_u16(code).expect("a status");
            outcome(status, Some(Duration::from_secs(7)), code.to_string())
        };
        for code in [200, 201, 202, 204] {
            assert_eq!(outcome(code), Outcome::Taken);
        }
        for code in [301, 302, 307, 308, 401, 403, 404, 405, 410] {
            assert!(matches!(outcome(code), Outcome::Down(down) if down.cause == DownCause::Denied), "{code}");
        }
        for code in [429, 503] {
            let Outcome::Down(down) = outcome(code) else { panic!("{code}") };
            assert_eq!((down.cause, down.wait), (DownCause::Unreachable, Some(Duration::from_secs(7))));
        }
        for code in [400, 406, 409, 413, 415, 422, 451] {
            assert_eq!(outcome(code), Outcome::Refused(code.to_string()));
        }
        for code in [100, 408, 425, 500, 502, 504, 599, 999] {
            assert_eq!(outcome(code), Outcome::Failed(code.to_string()));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_in_the_past() {
        let now = WallMs(784_111_777_000);
        assert_eq!(retry_after(" 120 ", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        for odd in ["soon", "", "-5", "1.5"] {
            assert_eq!(retry_after(odd, now), None, "{odd}");
        }
    }

    #[test]
    fn an_answer_is_shown_short_plain_and_without_the_person() {
        assert_eq!(
            excerpt(b" {\"error\":\r\n\t\"no\x1b[31m such field\"} ", "ann-3"),
            "{\"error\": \"no [31m such field\"}"
        );
        assert_eq!(excerpt(&vec![b'x'; 9000], "ann-3").len(), 120);
        assert_eq!(excerpt(b"already told of ann-3", "ann-3"), "");
        assert_eq!(excerpt(b"caf\xe9", "ann-3"), "caf\u{fffd}");
    }
}
