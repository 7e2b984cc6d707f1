//! Alerts past their time, tended by the same thread and under the same guard as pictures.

use super::{FORGET_MAX, Recorder, Refused, ms};
use crate::evidence::retention::{Held, Purge, Retention, Stock};
use sekisho_logic::time::{Now, WallMs};
use std::time::Duration;

/// One look at them.
pub(super) struct Look<'r> {
    pub(super) recorder: &'r Recorder,
    /// Whether the last look left them, so that it is said once.
    pub(super) held: &'r mut bool,
}

impl Look<'_> {
    /// Erases alerts that ended longer ago than `keep`, with all that belongs to them.
    pub(super) fn tend(&mut self, retention: &mut Retention, keep: Duration, now: Now) -> Result<(), Refused> {
        let before = WallMs(now.wall.0.saturating_sub(ms(keep)));
        let stock = self.recorder.ask(move |store| store.sightings(before))?;
        let purge = retention.look(now, (self.recorder.synchronised)(), Stock { kept: stock.alerts, due: stock.due });
        let held = match purge {
            Purge::Held(held) => Some(held),
            Purge::Nothing | Purge::Go => None,
        };
        self.recorder.board.note_sightings(|view| {
            (view.kept, view.due, view.exempt, view.held) = (stock.alerts, stock.due, stock.exempt, held);
        });
        if let Some(held) = held.map(Held::as_str).filter(|_| !*self.held) {
            tracing::warn!(
                "{} of {} alerts are past their time by the clock and are not erased yet ({held}); is the clock right?",
                stock.due,
                stock.alerts,
            );
        }
        *self.held = held.is_some();
        if purge == Purge::Go { self.forget(before, now.wall) } else { Ok(()) }
    }

    /// Some at a time; between two times alert events go first.
    fn forget(&self, before: WallMs, now: WallMs) -> Result<(), Refused> {
        loop {
            self.recorder.beat.beat(self.recorder.clock.now().mono);
            let gone = self.recorder.ask(move |store| store.forget_sightings(before, now, FORGET_MAX))?;
            self.recorder.board.note_sightings(|view| {
                view.erased_total += gone.alerts;
                view.due = view.due.saturating_sub(gone.alerts);
                view.kept = view.kept.saturating_sub(gone.alerts);
            });
            if gone.alerts == 0 {
                return Ok(());
            }
        }
    }
}
