//! Keeps the deciding loop's gallery up to date with the store, whoever edits it.

use super::decide::Order;
use crate::notify::Beat;
use crate::site::{self, Galleries};
use crate::status::board::{Board, SecondPeople};
use sekisho_logic::gallery::Gallery;
use sekisho_logic::time::{Clock, Now};
use sekisho_store::{Network, StoreHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// An edit, also one by the command line in another process, takes effect within about this time.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Grounds for matching somebody run out with time alone; so often the gallery is read even if nobody edited it.
const READ_EVERY_MS: i64 = 30_000;

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
            let version = match self.store.call(sekisho_store::Store::gallery_version) {
                Ok(Ok(version)) => version,
                Ok(Err(_)) | Err(_) => continue,
            };
            if version != self.in_force.version || (now.wall.0 - read_at.0).abs() >= READ_EVERY_MS {
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
            Ok(new) if version == self.in_force.version && same_people(&new, &self.in_force) => {}
            Ok(new) => {
                // Full means that deciding is behind; the version stays unseen and this is tried again in half a second.
                if self.hand_over(&new) {
                    new.left_out.iter().for_each(|said| tracing::warn!("{said}"));
                    self.board.pin_second_people(SecondPeople::of(&new));
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
