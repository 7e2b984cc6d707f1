//! The thread of one sink: drives its delivery, and takes orders from elsewhere without making anybody wait.

use super::delivery::{Delivery, LOOK_EVERY, Step};
use super::outlet::{Closing, Outlet, Setup};
use super::standing::Standing;
use crate::notify::Beat;
use sekisho_logic::time::Clock;
use sekisho_store::StoreHandle;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::Notify;

/// How long a sink that ends may go on delivering what is due. Whatever it does not get to stays in the outbox.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

/// How long it may take to say goodbye after that.
const GOODBYE: Duration = Duration::from_secs(1);

/// The watchdog is fed this often while a sink waits for its receiver: however slow that is, the daemon is well.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// What the thread is to do; the latest order of each kind counts.
#[derive(Default)]
struct Orders {
    change: Option<Setup>,
    try_now: bool,
    stop: Option<Closing>,
}

/// A hand on a sink, to be held anywhere. No call waits.
pub struct Hand {
    orders: Mutex<Orders>,
    /// Interrupts what is being done.
    urgent: Notify,
    /// Ends a wait.
    look: Notify,
    standing: Arc<Standing>,
}

impl Hand {
    /// There may be something to deliver.
    pub fn wake(&self) {
        self.look.notify_one();
    }

    /// Whatever was held is to be tried now.
    pub fn try_now(&self) {
        self.lock().try_now = true;
        self.look.notify_one();
    }

    /// How the sink is doing.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.lock());
        self.urgent.notify_one();
    }

    fn take(&self) -> Orders {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Hand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hand").field("standing", &self.standing).finish_non_exhaustive()
    }
}

/// A running sink.
#[derive(Debug)]
pub struct Sink {
    hand: Arc<Hand>,
    thread: JoinHandle<()>,
}

struct Worker {
    setup: Setup,
    delivery: Delivery,
    outlet: Outlet,
    hand: Arc<Hand>,
    clock: Arc<dyn Clock>,
}

impl Sink {
    /// Starts delivering what the outbox holds for the sink.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(setup: Setup, store: StoreHandle, clock: Arc<dyn Clock>, beat: Beat) -> io::Result<Self> {
        let (kind, address) = (setup.settings.kind.as_str(), Outlet::address(&setup.settings));
        let standing = Arc::new(Standing::new(&setup.name, kind, address));
        let hand = Arc::new(Hand {
            orders: Mutex::default(),
            urgent: Notify::new(),
            look: Notify::new(),
            standing: Arc::clone(&standing),
        });
        let delivery = Delivery::new(&setup.name, store, Arc::clone(&clock), setup.settings.retry, standing);
        let outlet = Outlet::new(&setup);
        let name = format!("sink-{}", setup.name);
        let worker = Worker { setup, delivery, outlet, hand: Arc::clone(&hand), clock };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            runtime.block_on(worker.live(beat));
            // A name server that never answers must not hold up the end.
            runtime.shutdown_background();
        })?;
        Ok(Self { hand, thread })
    }

    /// A hand on it.
    #[must_use]
    pub fn hand(&self) -> &Arc<Hand> {
        &self.hand
    }

    /// Takes on another setup; nothing that waits is lost.
    pub fn change(&self, setup: Setup) {
        self.hand.order(|orders| orders.change = Some(setup));
    }

    /// Tells it to deliver what it can within two seconds and to end. Does not wait for it.
    pub fn begin_stop(&self, why: Closing) {
        self.hand.order(|orders| orders.stop = Some(why));
    }

    /// Tells it to end and waits until it has.
    pub fn stop(self, why: Closing) {
        self.begin_stop(why);
        if self.thread.join().is_err() {
            let name = self.hand.standing.view().name;
            tracing::error!("sink {name}: its thread panicked; what it had not delivered stays in the outbox");
        }
    }
}

impl Worker {
    async fn live(mut self, beat: Beat) {
        let clock = Arc::clone(&self.clock);
        // On the same thread: it beats while this one waits for a receiver, and stops when this one hangs in the store.
        let beating = tokio::spawn(async move {
            loop {
                beat.beat(clock.now().mono);
                tokio::time::sleep(BEAT_EVERY).await;
            }
        });
        let hand = Arc::clone(&self.hand);
        loop {
            let orders = hand.take();
            if let Some(setup) = orders.change {
                self.change(setup).await;
            }
            if orders.try_now {
                self.delivery.try_now();
            }
            if let Some(why) = orders.stop {
                self.end(why).await;
                break;
            }
            let step = tokio::select! {
                biased;
                () = hand.urgent.notified() => continue,
                step = self.delivery.step(&mut self.outlet) => step,
            };
            if let Step::Wait(wait) = step {
                tokio::select! {
                    biased;
                    () = hand.urgent.notified() => {}
                    () = hand.look.notified() => {}
                    () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                    down = self.outlet.idle() => { self.delivery.down(down); }
                }
            }
        }
        beating.abort();
    }

    async fn change(&mut self, setup: Setup) {
        self.delivery.settle();
        if tokio::time::timeout(GOODBYE, self.outlet.change(&setup)).await.is_err() {
            // The old receiver does not listen; it is left without a goodbye.
            self.outlet = Outlet::new(&setup);
        }
        self.delivery.change(setup.settings.retry);
        let (kind, address) = (setup.settings.kind.as_str(), Outlet::address(&setup.settings));
        self.hand.standing.with(|view| (view.kind, view.address) = (kind, address));
        self.setup = setup;
    }

    async fn end(&mut self, why: Closing) {
        let last = async { while self.delivery.step(&mut self.outlet).await == Step::Again {} };
        // Out of time is the normal end of a sink whose receiver is away.
        let _in_time = tokio::time::timeout(LAST_DELIVERIES, last).await;
        self.delivery.settle();
        if tokio::time::timeout(GOODBYE, self.outlet.close(why)).await.is_err() {
            tracing::debug!("sink {}: the receiver did not take the goodbye in time", self.setup.name);
        }
    }
}
