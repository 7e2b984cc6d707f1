//! The thread of the second network: shown a candidate's best pictures, it answers the deciding loop.
//!
//! ```text
//! decide --AlertPictures, bounded queue--> second --SecondAnswer--> decide
//! ```
//!
//! Nobody waits for it. What it has no time for, and what it cannot run, is answered as silence: the question stays open, and
//! the candidate is asked about again at its next look.

use super::decide::Order;
use crate::clock::ThreadCpuClock;
use crate::notify::Beat;
use crate::second::SecondEyes;
use crate::status::board::Board;
use sekisho_logic::second::SecondAnswer;
use sekisho_logic::time::Clock;
use sekisho_logic::watcher::AlertPictures;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Candidates that may wait for the second network. Each takes it a tenth of a second and holds a megabyte of pictures; more
/// than this at once is a flood of candidates, not people passing.
pub const ASKED_MAX: usize = 16;

/// Without a question the thread wakes this often to show that it is alive.
const IDLE: Duration = Duration::from_millis(250);

/// Where the deciding loop puts its questions; not connected without a second network.
#[derive(Clone, Debug, Default)]
pub struct SecondQueue(Option<SyncSender<Box<AlertPictures>>>);

impl SecondQueue {
    /// A queue and the end that is worked off.
    #[must_use]
    pub fn bounded() -> (Self, Receiver<Box<AlertPictures>>) {
        let (asked, asks) = sync_channel(ASKED_MAX);
        (Self(Some(asked)), asks)
    }

    /// Hands a question on without waiting; gives the answer at once when that is not possible.
    pub fn ask(&self, look: Box<AlertPictures>) -> Option<SecondAnswer> {
        let Some(asked) = &self.0 else { return Some(SecondAnswer::Silent("there is no second network".into())) };
        match asked.try_send(look) {
            Ok(()) => None,
            Err(TrySendError::Full(_)) => {
                Some(SecondAnswer::Silent(format!("{ASKED_MAX} candidates wait for the second network already")))
            }
            Err(TrySendError::Disconnected(_)) => Some(SecondAnswer::Silent("the second network has ended".into())),
        }
    }
}

/// What the thread works with.
pub struct SecondWorker {
    /// Its network.
    pub eyes: SecondEyes,
    /// What it is asked.
    pub asks: Receiver<Box<AlertPictures>>,
    /// Where answers go.
    pub orders: SyncSender<Order>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where time spent is noted.
    pub board: Arc<Board>,
    /// Its hand on the pulse.
    pub beat: Beat,
}

impl SecondWorker {
    /// Runs until nobody is left who could ask.
    pub fn run(mut self) {
        let mut failures = 0_u64;
        loop {
            self.beat.beat(self.clock.now().mono);
            let look = match self.asks.recv_timeout(IDLE) {
                Ok(look) => look,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let begun = ThreadCpuClock.now().mono;
            let answer = self.eyes.answer(&look);
            self.board.note_second_time(ThreadCpuClock.now().mono.since(begun), look.pictures.len());
            if let SecondAnswer::Silent(why) = &answer {
                failures += 1;
                if failures.is_power_of_two() {
                    tracing::warn!("second network: alert {}: {why} ({failures} such so far)", look.alert);
                }
            }
            // Waiting for room here is no harm: the deciding loop empties its queue and never waits for this thread.
            let order = Order::Second { alert: look.alert, answer };
            if self.orders.send(order).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::id::{CameraId, PersonId};
    use sekisho_logic::record::AlertId;

    fn look(at: usize) -> Box<AlertPictures> {
        let camera = CameraId::try_new("gate").expect("a name");
        let person = PersonId::try_new("ann-1").expect("a name");
        Box::new(AlertPictures { alert: AlertId(at.to_string()), person, camera, pictures: Vec::new() })
    }

    #[test]
    fn a_full_queue_answers_with_silence_at_once() {
        let (queue, asks) = SecondQueue::bounded();
        for at in 0..ASKED_MAX {
            assert!(queue.ask(look(at)).is_none());
        }
        assert!(matches!(queue.ask(look(99)), Some(SecondAnswer::Silent(why)) if why.contains("16 candidates")));
        assert_eq!(asks.recv().expect("the first one").alert, AlertId("0".into()));
        assert!(queue.ask(look(100)).is_none(), "there is room again");
    }

    #[test]
    fn without_a_network_nobody_is_asked() {
        assert!(matches!(SecondQueue::default().ask(look(0)), Some(SecondAnswer::Silent(_))));
        let (queue, asks) = SecondQueue::bounded();
        drop(asks);
        assert!(matches!(queue.ask(look(0)), Some(SecondAnswer::Silent(why)) if why.contains("ended")));
    }
}
