//! Calm logs: the first occurrence in full, then a count a minute. A camera must not be able to fill the journal.

use sekisho_logic::time::Mono;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often repetitions are summed up.
const EVERY: Duration = Duration::from_secs(60);

/// What to log now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// The first of its kind, or the first after a quiet minute: in full.
    Full,
    /// It has happened this often since the last line.
    Repeated(u64),
    /// Nothing; it is counted.
    Nothing,
}

/// Decides what to log, per kind of event. Kinds are words from the code, so there are few.
#[derive(Debug, Default)]
pub struct Calm {
    kinds: BTreeMap<&'static str, (Mono, u64)>,
}

impl Calm {
    /// An event of `kind` happened at `now`.
    pub fn on(&mut self, kind: &'static str, now: Mono) -> Say {
        let Some((said, unsaid)) = self.kinds.get_mut(kind) else {
            self.kinds.insert(kind, (now, 0));
            return Say::Full;
        };
        *unsaid += 1;
        if now.since(*said) < EVERY {
            return Say::Nothing;
        }
        let count = std::mem::take(unsaid);
        *said = now;
        if count == 1 { Say::Full } else { Say::Repeated(count) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_one_line_and_then_one_a_minute() {
        let mut calm = Calm::default();
        let lines: Vec<(u64, Say)> = (0..1300)
            .map(|tenth| (tenth, calm.on("closed", Mono::from_millis(tenth * 100))))
            .filter(|(_, say)| *say != Say::Nothing)
            .collect();
        assert_eq!(lines, [(0, Say::Full), (600, Say::Repeated(600)), (1200, Say::Repeated(600))]);
    }

    #[test]
    fn kinds_do_not_hide_each_other_and_rare_events_stay_whole() {
        let mut calm = Calm::default();
        assert_eq!(calm.on("closed", Mono::from_millis(0)), Say::Full);
        assert_eq!(calm.on("stalled", Mono::from_millis(1)), Say::Full);
        assert_eq!(calm.on("closed", Mono::from_millis(90_000)), Say::Full);
    }
}
