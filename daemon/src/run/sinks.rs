//! The running sinks: started, changed and stopped, and found by whoever has something for them.

use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::sink_settings::{SinkName, SinkSettings};
use crate::notify::Pulse;
use crate::sink::outlet::{CamerasUp, Closing, Setup};
use crate::sink::standing::SinkView;
use crate::sink::thread::{Hand, Sink};
use crate::site;
use sekisho_logic::time::Clock;
use sekisho_store::StoreHandle;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// A hand on every running sink, for the threads that wake them and for status.
#[derive(Clone, Default)]
pub struct Roster(Arc<RwLock<BTreeMap<String, Arc<Hand>>>>);

impl Roster {
    /// Tells every sink that there may be something for it. Waits for nobody.
    pub fn wake_all(&self) {
        self.each(|hand| hand.wake());
    }

    /// Has a sink try now what it holds back. False when there is none of that name.
    #[must_use]
    pub fn try_now(&self, name: &str) -> bool {
        let hands = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hands.get(name).map(|hand| hand.try_now()).is_some()
    }

    /// How every sink is doing.
    #[must_use]
    pub fn views(&self) -> Vec<SinkView> {
        let mut views = Vec::new();
        self.each(|hand| views.push(hand.standing().view()));
        views
    }

    fn each(&self, mut act: impl FnMut(&Hand)) {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().for_each(|hand| act(hand));
    }

    fn put(&self, name: &str, hand: Option<Arc<Hand>>) {
        let mut hands = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match hand {
            Some(hand) => drop(hands.insert(name.to_owned(), hand)),
            None => drop(hands.remove(name)),
        }
    }
}

/// All sinks and what they are made of.
pub(super) struct Sinks {
    running: BTreeMap<String, Sink>,
    roster: Roster,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    pulse: Arc<Pulse>,
    cameras_up: CamerasUp,
}

impl Sinks {
    pub(super) fn new(
        roster: Roster,
        store: StoreHandle,
        clock: Arc<dyn Clock>,
        pulse: Arc<Pulse>,
        cameras_up: CamerasUp,
    ) -> Self {
        Self { running: BTreeMap::new(), roster, store, clock, pulse, cameras_up }
    }

    /// Brings the running sinks to what the settings say. One that is there goes on with what it has in hand: it takes its new
    /// settings on between two deliveries.
    ///
    /// # Errors
    /// [`Failure::No`] when the system gives no thread; the sinks before it run.
    pub(super) fn follow(&mut self, settings: &Settings) -> Result<(), Failure> {
        let gone = |name: &String| SinkName::try_new(name).is_none_or(|name| !settings.sinks.contains_key(&name));
        for name in self.running.keys().filter(|name| gone(name)).cloned().collect::<Vec<_>>() {
            self.roster.put(&name, None);
            if let Some(sink) = self.running.remove(&name) {
                sink.stop(Closing::Removed);
            }
        }
        for (name, its) in &settings.sinks {
            let setup = self.setup(settings, name.as_str(), its);
            match self.running.get(name.as_str()) {
                Some(sink) => sink.change(setup),
                None => self.start(setup)?,
            }
        }
        self.note_unclaimed(settings);
        Ok(())
    }

    fn start(&mut self, setup: Setup) -> Result<(), Failure> {
        let name = setup.name.clone();
        let beat = self.pulse.register(&format!("sink-{name}"), self.clock.now().mono);
        let sink = Sink::spawn(setup, self.store.clone(), Arc::clone(&self.clock), beat)
            .map_err(|error| Failure::No(format!("sink {name}: no thread: {error}")))?;
        self.roster.put(&name, Some(Arc::clone(sink.hand())));
        self.running.insert(name, sink);
        Ok(())
    }

    fn setup(&self, settings: &Settings, name: &str, its: &SinkSettings) -> Setup {
        Setup {
            name: name.to_owned(),
            settings: its.clone(),
            cameras: settings.cameras.iter().filter(|(_, camera)| camera.enabled).map(|(id, _)| id.clone()).collect(),
            places: site::credentials(settings),
            cameras_up: Arc::clone(&self.cameras_up),
        }
    }

    /// Says what waits for sinks that are not configured: perhaps one was renamed.
    fn note_unclaimed(&self, settings: &Settings) {
        let known = |name: &str| SinkName::try_new(name).is_some_and(|name| settings.sinks.contains_key(&name));
        let Ok(Ok(depths)) = self.store.call(sekisho_store::Store::outbox_depths) else { return };
        for depth in depths.iter().filter(|depth| depth.pending + depth.dead > 0 && !known(&depth.sink)) {
            tracing::warn!(
                "{} events wait for the sink {}, which is not configured; they stay until it is",
                depth.pending + depth.dead,
                depth.sink,
            );
        }
    }

    /// Ends all, side by side.
    pub(super) fn stop_all(&mut self) {
        for (name, sink) in &self.running {
            self.roster.put(name, None);
            sink.begin_stop(Closing::Stopped);
        }
        for (_, sink) in std::mem::take(&mut self.running) {
            sink.stop(Closing::Stopped);
        }
    }
}
