//! Keeps the deciding loop's gallery up to date with the store, whoever edits it.

use super::books;
use super::decide::Order;
use super::pause::Pause;
use crate::notify::Beat;
use crate::site::{self, Galleries};
use crate::status::board::{Board, SecondPeople};
use sekisho_logic::gallery::Gallery;
use sekisho_logic::time::{Clock, Now};
use sekisho_store::{Network, PAUSE_MATCHING, StoreError, StoreHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// An edit, also one by the command line in another process, takes effect within about this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the gallery thread works with.
pub struct GalleryWatch {
    /// The store.
    pub store: StoreHandle,
    /// The deciding loop.
    pub orders: SyncSender<Order>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The network in use.
    pub first: Network,
    /// The second network, where there is one.
    pub second: Option<Network>,
    /// The galleries in force.
    pub in_force: Galleries,
    /// Where status reads from.
    pub board: Arc<Board>,
    /// Whether matching is paused.
    pub pause: Arc<Pause>,
    /// Set to end.
    pub stop: Arc<AtomicBool>,
    /// Its hand on the pulse.
    pub beat: Beat,
}

impl GalleryWatch {
    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut read_at = self.clock.now().wall;
        while !self.stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(LOOK_EVERY);
            let now = self.clock.now();
            self.beat.beat(now.mono);
            let asked = self.store.call(|store| Ok((store.gallery_version()?, store.switch(PAUSE_MATCHING)?)));
            let (version, paused) = match asked {
                Ok(Ok(answer)) => answer,
                Ok(Err::<_, StoreError>(_)) | Err(_) => continue,
            };
            self.pause.set(paused);
            // Grounds for matching somebody run out with time alone, and are back when the clock is set back.
            let expired = self.in_force.next_expires.is_some_and(|at| now.wall >= at) || now.wall < read_at;
            if version != self.in_force.version || expired {
                read_at = now.wall;
                self.read(now);
            }
        }
    }

    fn read(&mut self, now: Now) {
        let (first, second) = (self.first.clone(), self.second.clone());
        let rows = self.store.call(move |store| site::gallery_rows(store, &first, second.as_ref(), now.wall));
        let rows = match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::warn!("gallery: it could not be read: {error}; the one in force stays");
                return;
            }
            Err(_) => return,
        };
        let version = rows.0.version;
        match Galleries::of(rows, &self.first, self.second.as_ref()) {
            // Read because time passed, and nobody's grounds ran out meanwhile.
            Ok(new) if version == self.in_force.version && same_people(&new, &self.in_force) => {
                self.in_force.next_expires = new.next_expires;
            }
            Ok(new) => {
                // Full means that deciding is behind; the version stays unseen and this is tried again in half a second.
                if self.hand_over(&new) {
                    books::audit(&self.store, "gallery-loaded", None, new.about(), now.wall);
                    new.left_out.iter().for_each(|said| tracing::warn!("{said}"));
                    self.board.pin_second_people(SecondPeople::of(&new));
                    self.board.pin_without_grounds(new.without_grounds);
                    self.in_force = new;
                }
            }
            Err(error) => {
                tracing::error!("gallery: {error}; the one in force stays");
                self.in_force.version = version;
            }
        }
    }

    /// The second gallery goes first: whoever is new in the first one can be confirmed at once.
    fn hand_over(&self, new: &Galleries) -> bool {
        let second = new.second.as_ref().map(|second| Order::SecondGallery(Arc::clone(second)));
        second.is_none_or(|order| self.orders.try_send(order).is_ok())
            && self.orders.try_send(Order::Gallery(Arc::clone(&new.first))).is_ok()
    }
}

fn same_people(a: &Galleries, b: &Galleries) -> bool {
    let members = |gallery: &Option<Arc<Gallery>>| gallery.as_ref().map(|gallery| gallery.members().to_vec());
    a.first.members() == b.first.members() && members(&a.second) == members(&b.second)
}
