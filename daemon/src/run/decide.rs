//! The deciding loop: the one owner of tracks and alerts, on a thread of its own.
//!
//! It takes orders, asks the watcher, and does what the watcher says. It never waits for anything but the next order:
//! events the store cannot take at the moment stay here, in order, in a bounded queue.

use super::counter::Counter;
use super::second::SecondQueue;
use super::suspension::Desk;
use crate::evidence::recorder::PictureQueue;
use crate::notify::{Beat, Pulse};
use crate::status::board::{Board, DecideView, InForceView};
use crate::status::wire;
use sekisho_logic::alert::Ballot;
use sekisho_logic::calibration::Calibration;
use sekisho_logic::face::FrameFaces;
use sekisho_logic::gallery::Gallery;
use sekisho_logic::id::CameraId;
use sekisho_logic::policy::{Policy, Standing};
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord};
use sekisho_logic::second::SecondAnswer;
use sekisho_logic::suspension::{Subject, Suspension};
use sekisho_logic::thresholds;
use sekisho_logic::time::{Clock, Mono};
use sekisho_logic::watcher::{Action, Watcher};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::{broadcast, oneshot};

/// Orders that may wait for the loop. At five frames a second from 64 cameras this is a second's worth; when it is full
/// the vision worker drops the frame's faces and counts them.
pub const ORDERS_MAX: usize = 320;

/// Alert events held back while the store's own queue is full. Together with the store's ring this outlasts any alert
/// rate a site can have for hours; beyond it the oldest is dropped and counted, loudly.
const HELD_BACK_MAX: usize = 10_000;

/// How often time passes when nothing else happens.
const TICK: Duration = Duration::from_millis(200);

/// A part that has not moved for this long is stuck, and the service manager's watchdog is no longer fed.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// What can be asked of the loop.
#[derive(Debug)]
pub enum Order {
    /// One analysed frame.
    Faces(FrameFaces),
    /// A camera stopped delivering.
    CameraLost(CameraId),
    /// The gallery changed.
    Gallery(Arc<Gallery>),
    /// The second network's gallery changed.
    SecondGallery(Arc<Gallery>),
    /// The second network answered.
    Second {
        /// About which alert.
        alert: AlertId,
        /// What it said.
        answer: SecondAnswer,
    },
    /// The configuration was reloaded.
    Policy(Box<Policy>),
    /// Another calibration is in force.
    Calibration(Arc<Calibration>),
    /// The calibration became stale, or is no longer.
    Standing(Standing),
    /// A person votes. The answer is the event to wait for in the journal.
    Vote {
        /// On which alert.
        alert: AlertId,
        /// Who, by peer credentials or by session, and what they say.
        ballot: Ballot,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<AlertEvent, String>>,
    },
    /// Somebody lifts a suspension. The answer is whether there was one.
    Lift {
        /// Of whom.
        subject: Subject,
        /// Who lifts it, as the daemon authenticated them.
        actor: String,
        /// Where the answer goes.
        reply: oneshot::Sender<bool>,
    },
    /// Write down what there is and end.
    Stop,
}

/// Where alert events go to be written down. Must not wait.
pub trait Journal: Send {
    /// Takes the events, or gives them back when it cannot take them now.
    ///
    /// # Errors
    /// The events themselves.
    fn try_append(&self, events: Vec<AlertEvent>) -> Result<(), Vec<AlertEvent>>;
}

/// The parts the loop works with.
pub struct DecideLoop<J> {
    /// The state.
    pub watcher: Watcher,
    /// Where suspensions are noted and told.
    pub desk: Desk,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What to do.
    pub orders: Receiver<Order>,
    /// Where alert events go.
    pub journal: J,
    /// Where the view for status goes.
    pub board: Arc<Board>,
    /// Where finished tracks are announced.
    pub verdicts: broadcast::Sender<Arc<str>>,
    /// Every part that must keep moving.
    pub pulse: Arc<Pulse>,
    /// Whether the service manager watches.
    pub watchdog: Option<Duration>,
    /// Where counts of strangers go.
    pub counter: Arc<Counter>,
    /// Where pictures of alerts go.
    pub pictures: PictureQueue,
    /// Where questions to the second network go.
    pub second: SecondQueue,
}

impl<J: Journal> DecideLoop<J> {
    /// Runs until told to stop or nobody is left to give orders.
    pub fn run(mut self, open: Vec<(AlertRecord, u32)>, suspended: Vec<Suspension>) {
        let beat = self.pulse.register("decide", self.clock.now().mono);
        let mut held = Held { in_force: self.in_force(), ..Held::default() };
        self.watcher.restore_suspensions(suspended);
        let actions = self.watcher.restore(self.clock.now(), open);
        self.act(actions, &mut held);
        let mut last_tick = Mono::default();
        loop {
            let order = self.orders.recv_timeout(TICK);
            let now = self.clock.now();
            match order {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(order) => self.obey(order, &mut held),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if now.mono.since(last_tick) >= TICK {
                last_tick = now.mono;
                let actions = self.watcher.on_tick(now);
                self.act(actions, &mut held);
                self.counter.put(&self.watcher.take_counted());
                self.pin(&held);
                self.feed_watchdog(&beat, now.mono);
            }
            held.flush(&self.journal);
        }
        held.flush(&self.journal);
        self.counter.put(&self.watcher.take_counted());
        self.pin(&held);
        if !held.events.is_empty() {
            tracing::error!(
                "decide: {} alert events could not be handed to the store before the stop",
                held.events.len()
            );
        }
    }

    fn obey(&mut self, order: Order, held: &mut Held) {
        let now = self.clock.now();
        let actions = match order {
            Order::Faces(frame) => self.watcher.on_faces(now, &frame),
            Order::CameraLost(camera) => self.watcher.on_camera_lost(&camera),
            Order::Gallery(gallery) => {
                tracing::info!(
                    "gallery: {} people in force (revision {})",
                    gallery.members().len(),
                    gallery.revision()
                );
                let actions = self.watcher.on_gallery(now, gallery);
                held.in_force = self.in_force();
                actions
            }
            Order::SecondGallery(gallery) => {
                tracing::debug!("gallery: the second network knows {} people", gallery.members().len());
                self.watcher.on_second_gallery(gallery);
                Vec::new()
            }
            Order::Second { alert, answer } => self.watcher.on_second(now, &alert, &answer),
            Order::Policy(policy) => {
                self.watcher.on_policy(*policy);
                held.in_force = self.in_force();
                Vec::new()
            }
            Order::Calibration(calibration) => {
                tracing::info!("calibration: {} is in force", calibration.id());
                self.watcher.on_calibration(calibration);
                held.in_force = self.in_force();
                Vec::new()
            }
            Order::Standing(standing) => {
                self.watcher.on_standing(standing);
                held.in_force = self.in_force();
                Vec::new()
            }
            Order::Vote { alert, ballot, reply } => {
                let voted = self.watcher.on_vote(now, &alert, &ballot);
                let answer = match &voted {
                    Ok(actions) => actions.iter().find_map(journalled).cloned().ok_or_else(|| "no event".to_owned()),
                    Err(refused) => Err(refused.to_string()),
                };
                // A client that went away does not take its vote back.
                let _gone = reply.send(answer);
                voted.unwrap_or_default()
            }
            Order::Lift { subject, actor, reply } => {
                let lifted = self.watcher.lift(&subject);
                if lifted {
                    self.desk.lifted(&subject, &actor, now.wall);
                }
                // A client that went away does not take it back.
                let _gone = reply.send(lifted);
                Vec::new()
            }
            Order::Stop => Vec::new(),
        };
        self.act(actions, held);
    }

    fn act(&mut self, actions: Vec<Action>, held: &mut Held) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Journal(event) => {
                    let after = &event.after;
                    tracing::info!(
                        "{}: alert {} {} is {} ({}), inter-eye {:.1} px, {} frames",
                        after.camera,
                        after.id,
                        after.person,
                        after.stage.as_str(),
                        after.cause.as_str(),
                        after.candidate.inter_eye_px,
                        after.candidate.frames_used,
                    );
                    self.board.count_stage(&after.camera, after.stage);
                    held.push(*event);
                }
                Action::Verdict(verdict) => {
                    self.board.count_verdict(&verdict);
                    // Nobody listening is the normal case.
                    let _listeners = self.verdicts.send(wire::verdict(&verdict).to_string().into());
                }
                Action::CandidateDelay(_, delay) => self.board.note_delay(delay),
                Action::Suspended(one) => self.desk.suspended(one),
                Action::Evidence(look) => self.pictures.put(look),
                Action::AskSecond(look) => {
                    let alert = look.alert.clone();
                    if let Some(answer) = self.second.ask(look) {
                        actions.extend(self.watcher.on_second(self.clock.now(), &alert, &answer));
                    }
                }
            }
        }
    }

    /// Rates and thresholds, reckoned anew when something they depend on changed.
    fn in_force(&self) -> Arc<InForceView> {
        let policy = self.watcher.policy();
        let lists = policy.lists.iter().map(|(name, list)| (name.clone(), policy.target_fpir(name), list.confirm));
        Arc::new(InForceView {
            lists: lists.collect(),
            thresholds: thresholds::in_force(policy, self.watcher.calibration(), self.watcher.gallery()),
        })
    }

    fn pin(&self, held: &Held) {
        let gallery = self.watcher.gallery();
        self.board.pin(DecideView {
            open: self.watcher.open_alerts().cloned().collect(),
            tracks: self.watcher.live_tracks().collect(),
            suspensions: self.watcher.suspensions().cloned().collect(),
            held_back_total: self.watcher.held_back_total(),
            gallery_people: gallery.members().len(),
            gallery_revision: gallery.revision(),
            overflow_total: self.watcher.overflow_total(),
            journal_waiting: held.events.len(),
            journal_dropped_total: held.dropped_total,
            in_force: Arc::clone(&held.in_force),
            second: self.watcher.second_counts(),
        });
    }

    fn feed_watchdog(&self, beat: &Beat, at: Mono) {
        beat.beat(at);
        if self.watchdog.is_none() {
            return;
        }
        let stuck = self.pulse.stuck(at, STUCK_AFTER);
        if stuck.is_empty() {
            crate::notify::tell(&[sd_notify::NotifyState::Watchdog]);
        } else {
            tracing::error!("watchdog: {} not moving for 10 s; the service manager will restart us", stuck.join(", "));
        }
    }
}

fn journalled(action: &Action) -> Option<&AlertEvent> {
    match action {
        Action::Journal(event) => Some(event),
        Action::Verdict(_)
        | Action::CandidateDelay(..)
        | Action::AskSecond(_)
        | Action::Evidence(_)
        | Action::Suspended(_) => None,
    }
}

/// Alert events on their way to the store, and what was reckoned for status.
#[derive(Debug, Default)]
struct Held {
    in_force: Arc<InForceView>,
    events: VecDeque<AlertEvent>,
    dropped_total: u64,
}

impl Held {
    fn push(&mut self, event: AlertEvent) {
        if self.events.len() >= HELD_BACK_MAX {
            let lost = self.events.pop_front();
            self.dropped_total += 1;
            tracing::error!(
                "decide: alert event {} was lost: {HELD_BACK_MAX} events wait for a store that does not take them",
                lost.map(|event| event.event_id()).unwrap_or_default(),
            );
        }
        self.events.push_back(event);
    }

    fn flush(&mut self, journal: &impl Journal) {
        if self.events.is_empty() {
            return;
        }
        if let Err(back) = journal.try_append(self.events.drain(..).collect()) {
            self.events.extend(back);
        }
    }
}
