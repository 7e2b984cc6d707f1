//! When to hand events over, when to wait, and when to give up; the same for every kind of sink.
//!
//! ```text
//!            a batch that is due          outcome by outcome
//! [outbox] ----------------------> outlet ------------------> noted in one transaction, then the next batch
//!
//! Taken     delivered. Whatever was held is released.
//! Failed    this event waits, doubling; the next one is tried. Three new events in a row: hold.
//! Refused   the same, and dead after ten such answers. Ten in a row, the last of them new: hold.
//! Down      hold: nothing is tried before the wait is over.
//! ```
//!
//! *Why a hold*: with the receiver away and ten thousand events waiting, one knock at the door is enough. *Why fresh events
//! first* (the outbox offers them so): an event on which the receiver chokes would otherwise be knocked with for ever, and
//! keep out all others. An event that fails holds up its own alert alone, because an alert's events go out in order.

use super::outlet::{Down, DownCause, Outcome, Outlet, Reached};
use super::standing::{SinkState, Standing};
use crate::config::sink_settings::RetrySettings;
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_store::{JobRefused, OutboxItem, RetryPolicy, StoreError, StoreHandle, Tried};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often the outbox is looked at when nobody woke us: for retries that have become due.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Events read from the outbox at once: few enough that a repeat after a crash is short and memory stays flat.
const BATCH_MAX: u32 = 256;

/// Outcomes are noted in the store after so many, or after so long: what is not noted is delivered again after a crash.
const NOTED_AFTER: usize = 128;
const NOTED_WITHIN: Duration = Duration::from_millis(100);

/// Events never tried before that may fail one after the other before the receiver itself is held to be the cause.
const FAILED_IN_A_ROW: u32 = 3;

/// Events that may be refused one after the other before the receiver itself is held to be the cause.
const REFUSED_IN_A_ROW: u32 = 10;

/// Refusals after which an event is dead. With the default waits these take eight and a half minutes: long enough for a
/// receiver that is being updated to come to its senses.
const REFUSALS_MAX: u32 = 10;

/// Events whose refusals are counted. More refused events than this at a time are counted anew from time to time, which
/// costs some more tries and nothing else.
const REFUSED_EVENTS_MAX: usize = 1024;

/// The longest wait a receiver may ask for.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// A connection that stood for so long shows that the receiver is well.
const STEADY: Duration = Duration::from_secs(60);

/// Deliveries made are kept in the outbox for a day, for whoever looks into what happened ...
const DELIVERED_KEPT_MS: i64 = 86_400_000;
/// ... and those given up for ninety days, to be requeued. The journal keeps the events in any case.
const DEAD_KEPT_MS: i64 = 90 * DELIVERED_KEPT_MS;
/// Rows forgotten, or given up, at once: a short transaction.
const SWEEP_MAX: u32 = 1000;
/// How often there is sweeping.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A receiver that keeps coming and going is not in the log more often than this.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more: call again.
    Again,
    /// Nothing to do for so long, unless something new is committed.
    Wait(Duration),
}

/// One sink's deliveries.
pub struct Delivery {
    name: String,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    policy: RetryPolicy,
    standing: Arc<Standing>,
    /// Tried and not yet noted in the store.
    unsettled: Vec<(String, Tried)>,
    /// Refusals of events that are still tried.
    refusals: BTreeMap<String, u32>,
    failed_in_a_row: u32,
    refused_in_a_row: u32,
    /// Holds since the last delivery.
    holds: u32,
    /// When the log was last told that nothing gets through, and whether it has still to be told of the end of that.
    said: Option<Mono>,
    owed: bool,
    /// Tries to note outcomes that failed in a row.
    unnoted: u32,
    held_until: Option<Mono>,
    looked: Option<Mono>,
    swept: Option<Mono>,
    /// Whether numbers changed since the store was last asked for them.
    stirred: bool,
}

impl Delivery {
    /// Deliveries of the sink `name`.
    #[must_use]
    pub fn new(
        name: &str,
        store: StoreHandle,
        clock: Arc<dyn Clock>,
        retry: RetrySettings,
        standing: Arc<Standing>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            store,
            clock,
            policy: policy(retry),
            standing,
            unsettled: Vec::new(),
            refusals: BTreeMap::new(),
            failed_in_a_row: 0,
            refused_in_a_row: 0,
            holds: 0,
            said: None,
            owed: false,
            unnoted: 0,
            held_until: None,
            looked: None,
            swept: None,
            stirred: true,
        }
    }

    /// Other waits from now on; what was held is tried at once.
    pub fn change(&mut self, retry: RetrySettings) {
        self.policy = policy(retry);
        self.try_now();
    }

    /// Ends a hold: somebody has done something about it.
    pub fn try_now(&mut self) {
        self.release();
        self.stirred = true;
    }

    /// Tries one batch. When the future is dropped, at most the events in the receiver's hands at that moment are handed
    /// over again.
    pub async fn step(&mut self, outlet: &mut Outlet) -> Step {
        if !self.settle() {
            return Step::Wait(LOOK_EVERY);
        }
        let now = self.clock.now();
        self.sweep(now);
        if let Some(left) = self.held_until.map(|until| until.since(now.mono)).filter(|left| !left.is_zero()) {
            self.look(now);
            return Step::Wait(left);
        }
        match outlet.prepare(now).await {
            Ok(reached) => self.reached(reached),
            Err(down) => return self.down(down),
        }
        let Some(items) = self.due(now) else { return Step::Wait(LOOK_EVERY) };
        let held = self.hand_over(outlet, &items).await;
        if !self.settle() {
            return Step::Wait(LOOK_EVERY);
        }
        if let Some(wait) = held {
            return Step::Wait(wait);
        }
        self.look(self.clock.now());
        if !items.is_empty() {
            return Step::Again;
        }
        match outlet.rest(self.clock.now(), &self.store).await {
            Ok(()) => Step::Wait(LOOK_EVERY),
            Err(down) => self.down(down),
        }
    }

    /// Notes what was tried. False while the store does not take it; nothing more is tried until it does, so that a full disk
    /// does not make a receiver see the same events again and again.
    pub fn settle(&mut self) -> bool {
        if self.unsettled.is_empty() {
            return true;
        }
        let (name, tried, policy, now) =
            (self.name.clone(), self.unsettled.clone(), self.policy, self.clock.now().wall);
        match flat(self.store.call(move |store| store.note_tried(&name, &tried, now, &policy))) {
            Ok(dead) => {
                self.unnoted = 0;
                self.unsettled.clear();
                self.stirred = true;
                self.bury(&dead);
                true
            }
            Err(error) => {
                self.unnoted = self.unnoted.saturating_add(1);
                if self.unnoted.is_power_of_two() {
                    tracing::warn!(
                        "sink {}: {} deliveries could not be noted ({error}); no more are made until they are, try {}",
                        self.name,
                        self.unsettled.len(),
                        self.unnoted,
                    );
                }
                false
            }
        }
    }

    /// A receiver that is not there, or went.
    pub fn down(&mut self, down: Down) -> Step {
        Step::Wait(self.hold(&down))
    }

    /// What is due, or nothing when the store cannot say.
    fn due(&self, now: Now) -> Option<Vec<OutboxItem>> {
        let (name, policy) = (self.name.clone(), self.policy);
        match flat(self.store.call(move |store| store.pending(&name, now.wall, &policy, BATCH_MAX))) {
            Ok(items) => Some(items),
            Err(error) => {
                tracing::debug!("sink {}: the outbox cannot be read now: {error}", self.name);
                None
            }
        }
    }

    /// Hands the events over until all are, or it is no use to go on. Returns the wait when there is a hold.
    async fn hand_over(&mut self, outlet: &mut Outlet, items: &[OutboxItem]) -> Option<Duration> {
        let mut noted = self.clock.now().mono;
        for chunk in items.chunks(outlet.together().max(1)) {
            let now = self.clock.now();
            let due = self.unsettled.len() >= NOTED_AFTER || now.mono.since(noted) >= NOTED_WITHIN;
            if due && !self.settle() {
                return None;
            }
            if due {
                noted = now.mono;
            }
            let outcomes = outlet.hand_over(now, chunk).await;
            let whole = outcomes.len() == chunk.len();
            let mut held = None;
            for (item, outcome) in chunk.iter().zip(outcomes) {
                held = self.judge(item, outcome).or(held);
            }
            if held.is_some() {
                return held;
            }
            // Fewer outcomes than events: the outlet gave up. Failures in a row: what became due meanwhile comes first.
            if !whole || self.failed_in_a_row >= FAILED_IN_A_ROW {
                return None;
            }
        }
        None
    }

    /// Takes one outcome in. Returns the wait when there is a hold now.
    fn judge(&mut self, item: &OutboxItem, outcome: Outcome) -> Option<Duration> {
        let id = item.event.event_id();
        let (tried, held) = match outcome {
            Outcome::Taken => {
                self.taken(&id);
                (Tried::Delivered, None)
            }
            Outcome::Failed(why) => {
                self.failed_in_a_row += 1;
                let fresh = item.attempts == 0 && self.failed_in_a_row >= FAILED_IN_A_ROW;
                self.note_failure(&why, SinkState::Failing);
                let held = fresh.then(|| self.hold(&Down::unreachable(why.clone())));
                (Tried::Failed { why }, held)
            }
            Outcome::Refused(why) => {
                self.refused_in_a_row += 1;
                self.note_failure(&why, SinkState::Failing);
                let dead = self.count_refusal(&id) >= REFUSALS_MAX;
                let row = item.attempts == 0 && self.refused_in_a_row >= REFUSED_IN_A_ROW;
                let held = row.then(|| self.hold(&Down::unreachable(why.clone())));
                (if dead { Tried::Dead { why } } else { Tried::Failed { why } }, held)
            }
            Outcome::Down(down) => {
                let held = self.hold(&down);
                (Tried::Failed { why: down.why }, Some(held))
            }
        };
        if tried != Tried::Delivered {
            self.standing.with(|view| view.retries_total += 1);
        }
        self.unsettled.push((id, tried));
        held
    }

    fn taken(&mut self, id: &str) {
        self.refusals.remove(id);
        (self.failed_in_a_row, self.refused_in_a_row) = (0, 0);
        self.release();
        let now = self.clock.now().wall;
        self.standing.with(|view| {
            view.delivered_total += 1;
            view.last_delivered_at = Some(now);
            view.state = SinkState::Ok;
        });
        if std::mem::take(&mut self.owed) {
            tracing::info!("sink {}: events get through again", self.name);
        }
    }

    fn reached(&mut self, reached: Reached) {
        match reached {
            Reached::Unknown => {}
            Reached::For(Duration::ZERO) => {
                self.held(None);
                let address = self.standing.with(|view| {
                    view.state = SinkState::Ok;
                    view.address.clone()
                });
                tracing::info!("sink {}: connected to {address}", self.name);
            }
            Reached::For(stood) if stood >= STEADY => self.holds = 0,
            Reached::For(_) => {}
        }
    }

    fn count_refusal(&mut self, id: &str) -> u32 {
        if self.refusals.len() >= REFUSED_EVENTS_MAX && !self.refusals.contains_key(id) {
            self.refusals.clear();
        }
        let count = self.refusals.entry(id.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn release(&mut self) {
        self.holds = 0;
        self.held(None);
    }

    fn held(&mut self, until: Option<Mono>) {
        self.held_until = until;
        self.standing.with(|view| view.held_until = until);
    }

    /// Nothing is tried for a while, each time twice as long. Returns how long.
    fn hold(&mut self, down: &Down) -> Duration {
        self.holds = self.holds.saturating_add(1);
        let own = Duration::from_millis(self.policy.wait_ms(self.holds).unsigned_abs());
        let wait = own.max(down.wait.unwrap_or_default().min(WAIT_MAX));
        let now = self.clock.now();
        self.held(Some(now.mono.plus(wait)));
        let state = match down.cause {
            DownCause::Unreachable => SinkState::Failing,
            DownCause::Denied => SinkState::Denied,
        };
        self.note_failure(&down.why, state);
        // The first, then at every doubling; a receiver that comes and goes is spoken of once a minute.
        let lately = self.said.is_some_and(|said| now.mono.since(said) < SAID_EVERY);
        if self.holds.is_power_of_two() && (self.holds > 1 || !lately) {
            (self.said, self.owed) = (Some(now.mono), true);
            let (name, why, tries, next_s) = (&self.name, &down.why, self.holds, wait.as_secs_f32());
            match down.cause {
                DownCause::Unreachable => {
                    tracing::warn!("sink {name}: {why}; events stay in the outbox, try {tries}, next in {next_s:.0} s")
                }
                DownCause::Denied => tracing::error!(
                    "sink {name}: {why}; this needs somebody. Events stay in the outbox, try {tries}, next in {next_s:.0} s"
                ),
            }
        }
        self.give_up(now, &down.why);
        wait
    }

    /// Events that were never tried, because the receiver is away, do not wait for ever either. The tries guard against a
    /// clock that jumps ahead.
    fn give_up(&mut self, now: Now, why: &str) {
        if self.holds < self.policy.attempts_min {
            return;
        }
        let (name, before, why) =
            (self.name.clone(), now.wall.0.saturating_sub(self.policy.age_max_ms), why.to_owned());
        let given_up = self.store.call(move |store| store.give_up(&name, WallMs(before), &why, now.wall, SWEEP_MAX));
        if let Ok(count @ 1..) = flat(given_up) {
            self.count_dead(count, "they waited longer than give-up-after-h");
        }
    }

    fn bury(&mut self, dead: &[String]) {
        for id in dead {
            self.refusals.remove(id);
        }
        if let Some(first) = dead.first() {
            let why = self.standing.view().last_error.unwrap_or_default();
            self.count_dead(dead.len(), &format!("{first}: {why}"));
        }
    }

    fn count_dead(&mut self, count: usize, why: &str) {
        self.stirred = true;
        let total = self.standing.with(|view| {
            view.dead_total += count as u64;
            view.dead_total
        });
        tracing::error!(
            "sink {}: {count} events were given up ({why}), {total} since the start; `sekisho sinks requeue {}` tries them again",
            self.name,
            self.name
        );
    }

    fn note_failure(&self, why: &str, state: SinkState) {
        let now = self.clock.now().wall;
        self.standing.with(|view| {
            view.state = state;
            view.last_error = Some(why.to_owned());
            view.last_error_at = Some(now);
        });
    }

    /// Brings the numbers for status up to date: at once after a change, but not more than once a second, and now and then at
    /// rest, because others may requeue.
    fn look(&mut self, now: Now) {
        let every = if self.stirred { LOOK_EVERY } else { 10 * LOOK_EVERY };
        if self.looked.is_some_and(|looked| now.mono.since(looked) < every) {
            return;
        }
        let name = self.name.clone();
        if let Ok(depth) = flat(self.store.call(move |store| store.outbox_depth(&name))) {
            (self.looked, self.stirred) = (Some(now.mono), false);
            self.standing.with(|view| view.depth = depth);
        }
    }

    fn sweep(&mut self, now: Now) {
        if self.swept.is_some_and(|swept| now.mono.since(swept) < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now.mono);
        let before = move |kept_ms: i64| WallMs(now.wall.0.saturating_sub(kept_ms));
        let name = self.name.clone();
        let swept = self
            .store
            .call(move |store| store.forget_settled(&name, before(DELIVERED_KEPT_MS), before(DEAD_KEPT_MS), SWEEP_MAX));
        match flat(swept) {
            Ok((_, 0)) | Err(_) => {}
            Ok((_, dead)) => {
                tracing::warn!("sink {}: {dead} events given up 90 days ago cannot be requeued any more", self.name);
            }
        }
    }
}

/// The outbox's numbers. As many tries as fill half the time an event may wait, at least five and at most fifty, must have
/// failed before age alone decides.
fn policy(retry: RetrySettings) -> RetryPolicy {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let tries = retry.give_up_after.as_secs() / 2 / retry.max.as_secs().max(1);
    RetryPolicy {
        first_ms: ms(retry.first),
        max_ms: ms(retry.max),
        age_max_ms: ms(retry.give_up_after),
        attempts_min: u32::try_from(tries).unwrap_or(u32::MAX).clamp(5, 50),
    }
}

/// Both ways in which the store can say no, as one sentence.
fn flat<T>(asked: Result<Result<T, StoreError>, JobRefused>) -> Result<T, String> {
    asked.map_err(|refused| refused.to_string())?.map_err(|error| error.to_string())
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("name", &self.name).field("holds", &self.holds).finish_non_exhaustive()
    }
}
