//! Keeps the deciding loop's gallery up to date with the store, whoever edits it.

use super::decide::Order;
use crate::notify::Beat;
use crate::site;
use sekisho_logic::gallery::Gallery;
use sekisho_logic::time::{Clock, Now};
use sekisho_store::StoreHandle;
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
    pub model_digest: String,
    /// Its preprocessing.
    pub preprocessing: String,
    /// The version last read.
    pub version: i64,
    /// The gallery in force.
    pub in_force: Arc<Gallery>,
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
            if version != self.version || (now.wall.0 - read_at.0).abs() >= READ_EVERY_MS {
                read_at = now.wall;
                self.read(now);
            }
        }
    }

    fn read(&mut self, now: Now) {
        let (digest, preprocessing) = (self.model_digest.clone(), self.preprocessing.clone());
        let rows = self.store.call(move |store| store.gallery(&digest, &preprocessing, now.wall));
        let rows = match rows {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::warn!("gallery: it could not be read: {error}; the one in force stays");
                return;
            }
            Err(_) => return,
        };
        let version = rows.version;
        let left_out = site::left_out(&rows);
        match site::matcher_gallery(rows, &self.model_digest) {
            // Read because time passed, and nobody's grounds ran out meanwhile.
            Ok(gallery) if version == self.version && gallery.members() == self.in_force.members() => {}
            Ok(gallery) => {
                let gallery = Arc::new(gallery);
                // Full means that deciding is behind; the version stays unseen and this is tried again in half a second.
                if self.orders.try_send(Order::Gallery(Arc::clone(&gallery))).is_ok() {
                    left_out.iter().for_each(|said| tracing::warn!("{said}"));
                    (self.version, self.in_force) = (version, gallery);
                }
            }
            Err(error) => {
                tracing::error!("gallery: {error}; the one in force stays");
                self.version = version;
            }
        }
    }
}
