//! The thread that keeps the pictures of alerts, and erases them when their time is up.
//!
//! The deciding loop offers pictures and never waits: a full queue loses them, counted. The store is asked like by anybody
//! else, between two batches of alert events, and not at all while it cannot take those.

use crate::config::Settings;
use crate::config::settings::{EvidenceSettings, Pictures};
use crate::evidence::retention::{Purge, Retention, Stock, early};
use crate::notify::Beat;
use crate::status::board::Board;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _};
use sekisho_logic::id::CameraId;
use sekisho_logic::picture::{FacePicture, RgbPatch};
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_logic::watcher::AlertPictures;
use sekisho_store::{DiskLevel, EvidenceKeep, NewEvidence, StorageState, Store, StoreError, StoreHandle};
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Looks that may wait for the thread. One holds at most five pictures, together a quarter of a megabyte at the sizes that
/// old cameras give and one megabyte at the most. A burst of as many alerts at once is a crowd at every camera.
const LOOKS_MAX: usize = 32;
/// Encoded pictures that may wait for the disk, about 10 kB each.
const WAITING_MAX: usize = 128;
/// Pictures in one transaction.
const BATCH_MAX: usize = 32;
/// A picture the disk did not take for so long is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// Time between two tries while the disk refuses, and between two signs of life.
const RETRY: Duration = Duration::from_secs(2);
/// How often expired pictures are looked for.
const TEND_EVERY: Duration = Duration::from_secs(600);
/// The first time after the start: whatever expired while the box was off must not wait, the start itself must not either.
const TEND_FIRST: Duration = Duration::from_secs(5);
/// Pictures erased in one transaction, so that alert events never wait long behind them.
const FORGET_MAX: u32 = 64;

/// Where the deciding loop leaves pictures.
#[derive(Debug)]
pub struct PictureQueue {
    looks: SyncSender<Box<AlertPictures>>,
    board: Arc<Board>,
}

/// A queue and its other end.
#[must_use]
pub fn queue(board: &Arc<Board>) -> (PictureQueue, Receiver<Box<AlertPictures>>) {
    let (looks, taken) = sync_channel(LOOKS_MAX);
    (PictureQueue { looks, board: Arc::clone(board) }, taken)
}

impl PictureQueue {
    /// Leaves the pictures of an alert; never waits. When there is no room they are dropped and counted.
    pub fn put(&self, look: Box<AlertPictures>) {
        match self.looks.try_send(look) {
            Ok(()) => {}
            Err(TrySendError::Full(look) | TrySendError::Disconnected(look)) => {
                self.board.note_evidence(|view| view.drop("queue-full", look.pictures.len()));
            }
        }
    }
}

/// What the thread works with.
pub struct Recorder {
    /// What the deciding loop leaves.
    pub looks: Receiver<Box<AlertPictures>>,
    /// The store.
    pub store: StoreHandle,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The configuration in force.
    pub settings: Arc<RwLock<Settings>>,
    /// Where status reads from.
    pub board: Arc<Board>,
    /// Its hand on the pulse.
    pub beat: Beat,
    /// Whether the wall clock is synchronised, where that is known.
    pub synchronised: fn() -> Option<bool>,
}

/// What it remembers.
#[derive(Default)]
struct Memory {
    waiting: VecDeque<(Mono, NewEvidence)>,
    retry_at: Option<Mono>,
    retention: Retention,
    sightings: Retention,
    failures: u64,
    held: bool,
    sightings_held: bool,
}

/// What the settings say about keeping.
struct Kept {
    evidence: EvidenceSettings,
    sightings: Duration,
    at_most_ms: Vec<(CameraId, i64)>,
}

impl Recorder {
    /// Runs until the deciding loop is gone; what waits then is tried once more.
    pub fn run(self) {
        let mut memory = Memory::default();
        let mut tend_at = self.clock.now().mono.plus(TEND_FIRST);
        loop {
            let look = self.looks.recv_timeout(RETRY);
            let now = self.clock.now();
            self.beat.beat(now.mono);
            let stopping = matches!(look, Err(RecvTimeoutError::Disconnected));
            let settings = self.settings();
            for look in look.into_iter().chain(self.looks.try_iter().take(LOOKS_MAX)) {
                self.take(&mut memory, &look, &settings.evidence, now.mono);
            }
            if stopping || memory.retry_at.is_none_or(|at| now.mono >= at) {
                self.write(&mut memory, &settings.evidence, now);
            }
            self.give_up(&mut memory, now.mono, stopping);
            if stopping {
                return;
            }
            if now.mono >= tend_at {
                tend_at = now.mono.plus(TEND_EVERY);
                self.tend(&mut memory, &settings, now);
            }
        }
    }

    fn settings(&self) -> Kept {
        let settings = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        let caps = settings.cameras.iter().filter_map(|(id, camera)| Some((id.clone(), ms(camera.scope.keep?))));
        let (evidence, sightings) = (settings.evidence.clone(), settings.retention.sightings);
        Kept { evidence, sightings, at_most_ms: caps.collect() }
    }

    fn take(&self, memory: &mut Memory, look: &AlertPictures, settings: &EvidenceSettings, at: Mono) {
        match settings.pictures {
            Pictures::None => return,
            Pictures::HashOnly | Pictures::Faces => {}
        }
        for picture in &look.pictures {
            match encoded(look, picture) {
                Ok(new) => memory.waiting.push_back((at, new)),
                Err(error) => {
                    tracing::warn!("{}: a picture of alert {} could not be encoded: {error}", look.camera, look.alert);
                    self.board.note_evidence(|view| view.drop("not-encoded", 1));
                }
            }
        }
        let over = memory.waiting.len().saturating_sub(WAITING_MAX);
        if over > 0 {
            memory.waiting.drain(..over);
            self.board.note_evidence(|view| view.drop("storage-failed", over));
        }
    }

    /// Hands what waits to the store, as far as the state of the disk allows.
    fn write(&self, memory: &mut Memory, settings: &EvidenceSettings, now: Now) {
        let health = self.store.health();
        if health.disk.is_some_and(|level| level >= DiskLevel::Scarce) {
            let left_out = memory.waiting.len();
            memory.waiting.clear();
            self.board.note_evidence(|view| view.drop("disk-nearly-full", left_out));
            return;
        }
        match health.state {
            StorageState::Ok => {}
            // What room there is belongs to the alerts.
            StorageState::Failed { .. } => return,
        }
        while !memory.waiting.is_empty() {
            let batch: Vec<_> = memory.waiting.iter().take(BATCH_MAX).map(|(_, new)| new.clone()).collect();
            let count = batch.len();
            match self.keep(batch, settings, now.wall) {
                Ok(()) => {}
                Err(Refused::Later(said)) => {
                    memory.retry_at = Some(now.mono.plus(RETRY));
                    self.note_failure(memory, &said);
                    return;
                }
                // One of the batch is at fault: written one by one, it alone is lost.
                Err(Refused::Never(_)) => {
                    for (_, new) in memory.waiting.iter().take(count) {
                        if let Err(Refused::Never(said) | Refused::Later(said)) =
                            self.keep(vec![new.clone()], settings, now.wall)
                        {
                            tracing::warn!("a picture of alert {} was not kept: {said}", new.alert);
                            self.board.note_evidence(|view| view.drop("refused", 1));
                        }
                    }
                }
            }
            memory.waiting.drain(..count);
            memory.retry_at = None;
        }
    }

    fn keep(&self, batch: Vec<NewEvidence>, settings: &EvidenceSettings, now: WallMs) -> Result<(), Refused> {
        if settings.pictures == Pictures::HashOnly {
            let hash = |one: NewEvidence| (one.alert, hex::encode(Sha256::digest(&one.png)));
            let hashes: Vec<_> = batch.into_iter().map(hash).collect();
            return self.ask(move |store| store.note_picture_hashes(&hashes, now));
        }
        let (expires, most) = (WallMs(now.0.saturating_add(ms(settings.keep_unconfirmed))), settings.pictures_max);
        let (kept, pictures) = self.ask(move |store| {
            let kept = store.keep_evidence(&batch, now, expires, most)?;
            Ok((kept, store.evidence_count()?))
        })?;
        self.board.note_evidence(|view| {
            view.written_total += kept as u64;
            view.pictures = pictures;
        });
        Ok(())
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        match self.store.call(question) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_storage() => Err(Refused::Later(error.to_string())),
            Ok(Err(error)) => Err(Refused::Never(error.to_string())),
            Err(error) => Err(Refused::Later(error.to_string())),
        }
    }

    /// Logged at powers of two; the store itself says the rest.
    fn note_failure(&self, memory: &mut Memory, said: &str) {
        memory.failures += 1;
        if memory.failures.is_power_of_two() {
            tracing::warn!("pictures of alerts: {said}; trying again ({} so far)", memory.failures);
        }
    }

    /// A picture is not worth waiting for the disk for ever: memory is no place to keep faces in.
    fn give_up(&self, memory: &mut Memory, at: Mono, stopping: bool) {
        let old = |since: &Mono| stopping || at.since(*since) >= GIVE_UP_AFTER;
        let count = memory.waiting.iter().take_while(|(since, _)| old(since)).count();
        if count > 0 {
            memory.waiting.drain(..count);
            self.board.note_evidence(|view| view.drop("storage-failed", count));
            tracing::warn!(
                "{count} pictures of alerts were not kept: the disk did not take them; the alerts are not affected"
            );
        }
    }

    /// Erases what has expired, and the oldest when the disk is nearly full.
    fn tend(&self, memory: &mut Memory, settings: &Kept, now: Now) {
        let done = self.try_tend(memory, settings, now).and_then(|()| {
            let mut look = sightings::Look { recorder: self, held: &mut memory.sightings_held };
            look.tend(&mut memory.sightings, settings.sightings, now)
        });
        if let Err(Refused::Later(said) | Refused::Never(said)) = done {
            self.note_failure(memory, &said);
        }
    }

    fn try_tend(&self, memory: &mut Memory, settings: &Kept, now: Now) -> Result<(), Refused> {
        let keep = EvidenceKeep { at_most_ms: settings.at_most_ms.clone(), ..keep(&settings.evidence) };
        let stock = self.ask(move |store| store.settle_evidence(&keep, now.wall))?;
        let there = Stock { kept: stock.pictures, due: stock.due };
        let purge = memory.retention.look(now, (self.synchronised)(), there);
        let held = match purge {
            Purge::Held(held) => Some(held),
            Purge::Nothing | Purge::Go => None,
        };
        self.board.note_evidence(|view| {
            (view.pictures, view.bytes, view.due) = (stock.pictures, stock.bytes, stock.due);
            view.held = held;
        });
        if let Some(held) = held.filter(|_| !memory.held) {
            tracing::warn!(
                "{} of {} pictures of alerts have expired by the clock and are not erased yet ({}); is the clock right?",
                stock.due,
                stock.pictures,
                held.as_str(),
            );
        }
        memory.held = held.is_some();
        match purge {
            Purge::Go => self.forget(stock.due, move |store, most| store.forget_evidence(now.wall, most))?,
            Purge::Nothing | Purge::Held(_) => {}
        }
        let most = self.store.health().space.map_or(0, |space| early(&stock, space));
        if most > 0 {
            let left = self.board.evidence().pictures;
            tracing::warn!(
                "the disk is nearly full: at most {most} of {left} pictures of alerts are erased early, oldest first"
            );
            self.forget(most, move |store, most| store.forget_oldest_evidence(now.wall, most))?;
        }
        Ok(())
    }

    /// Erases at most `most`, some at a time; between two times alert events go first.
    fn forget(
        &self,
        most: u64,
        erase: impl Fn(&mut Store, u32) -> Result<usize, StoreError> + Copy + Send + 'static,
    ) -> Result<(), Refused> {
        let mut left = most;
        while left > 0 {
            self.beat.beat(self.clock.now().mono);
            let batch = u32::try_from(left).unwrap_or(u32::MAX).min(FORGET_MAX);
            let (gone, pictures) = self.ask(move |store| Ok((erase(store, batch)?, store.evidence_count()?)))?;
            self.board.note_evidence(|view| {
                view.erased_total += gone as u64;
                view.due = view.due.saturating_sub(gone as u64);
                view.pictures = pictures;
            });
            if gone == 0 {
                return Ok(());
            }
            left = left.saturating_sub(gone as u64);
        }
        Ok(())
    }
}

/// Why the store did not do it.
enum Refused {
    /// The disk, or too many requests: worth trying again.
    Later(String),
    /// What was asked is wrong.
    Never(String),
}

/// How long pictures are kept by the settings.
#[must_use]
pub fn keep(settings: &EvidenceSettings) -> EvidenceKeep {
    EvidenceKeep {
        unconfirmed_ms: ms(settings.keep_unconfirmed),
        rejected_ms: ms(settings.keep_rejected),
        confirmed_ms: ms(settings.keep_confirmed),
        at_most_ms: Vec::new(),
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn encoded(look: &AlertPictures, picture: &FacePicture) -> Result<NewEvidence, image::ImageError> {
    let mut quality = serde_json::to_value(picture.quality).unwrap_or_default();
    if let Some(measured) = quality.as_object_mut() {
        // Has a column of its own.
        measured.remove("inter-eye-px");
    }
    Ok(NewEvidence {
        alert: look.alert.clone(),
        person: look.person.clone(),
        taken: picture.stamp.wall,
        inter_eye_px: picture.quality.inter_eye_px,
        quality: quality.to_string(),
        png: png(&picture.native)?,
    })
}

/// The patch as a PNG file, pixel for pixel.
fn png(patch: &RgbPatch) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Vec::with_capacity(patch.rgb().len());
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive).write_image(
        patch.rgb(),
        patch.width(),
        patch.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes)
}

#[path = "sightings.rs"]
mod sightings;

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
