//! A vision worker: one thread that owns its networks and looks through its cameras' eyes.

use super::decide::Order;
use super::look::Look;
use super::pause::Pause;
use crate::notify::Beat;
use crate::status::board::Board;
use sekisho_camera::slot::{Signal, Slot};
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Clock;
use sekisho_vision::analyser::Eyes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::Duration;

/// Without a frame, a worker wakes this often to show that it is alive and to see whether cameras came or went.
const IDLE: Duration = Duration::from_millis(250);

/// A camera that gave no frame for this long has lost its tracks, whatever the tracker's own patience.
const LOST_AFTER: Duration = Duration::from_secs(5);

/// What a worker can be told.
pub enum Assign {
    /// Look through this camera's slot as well (again, with other settings, when it was there).
    Camera(Box<Look>, Arc<Slot>),
    /// Stop looking there.
    Drop(CameraId),
    /// End.
    Stop,
}

/// The parts of one worker.
pub struct VisionWorker {
    /// Its networks.
    pub eyes: Eyes,
    /// Rung by any of its slots, and by whoever assigns.
    pub signal: Arc<Signal>,
    /// What it is told.
    pub assigned: Receiver<Assign>,
    /// Where faces go.
    pub orders: SyncSender<Order>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where time spent is noted.
    pub board: Arc<Board>,
    /// Whether matching is paused.
    pub pause: Arc<Pause>,
    /// Its hand on the pulse.
    pub beat: Beat,
}

struct Seat {
    look: Look,
    slot: Arc<Slot>,
    watching: bool,
    failures: u64,
}

impl VisionWorker {
    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut seats: BTreeMap<CameraId, Seat> = BTreeMap::new();
        loop {
            // Read before looking: a frame that comes in between is then not slept through.
            let seen = self.signal.rung_total();
            let now = self.clock.now().mono;
            self.beat.beat(now);
            while let Ok(assign) = self.assigned.try_recv() {
                match assign {
                    Assign::Camera(look, slot) => {
                        let seat = Seat { look: *look, slot, watching: false, failures: 0 };
                        if let Some(mut old) = seats.insert(seat.slot.camera().clone(), seat) {
                            old.look.forget();
                            self.lost(old.slot.camera());
                        }
                    }
                    Assign::Drop(camera) => {
                        seats.remove(&camera);
                        self.lost(&camera);
                    }
                    Assign::Stop => return,
                }
            }
            for seat in seats.values_mut() {
                self.serve(seat);
            }
            let now = self.clock.now().mono;
            let next = seats.values().map(|seat| seat.look.due_in(now)).fold(IDLE, Duration::min);
            if next > Duration::ZERO && !seats.is_empty() {
                // Nothing is due: frames that come meanwhile replace each other in their slots.
                std::thread::park_timeout(next);
            } else {
                let _rung = self.signal.wait(seen, IDLE);
            }
        }
    }

    fn serve(&mut self, seat: &mut Seat) {
        let now = self.clock.now().mono;
        if !seat.look.is_due(now) {
            return;
        }
        let Some(frame) = seat.slot.take() else {
            if seat.watching && seat.look.idle_for(now) > LOST_AFTER {
                seat.watching = false;
                seat.look.forget();
                self.lost(seat.slot.camera());
            }
            return;
        };
        if self.pause.is_on() {
            // The frame was taken, so that the camera counts as alive, and goes unseen.
            drop(frame);
            if std::mem::take(&mut seat.watching) {
                seat.look.forget();
                self.lost(seat.slot.camera());
            }
            return;
        }
        seat.watching = true;
        let camera = seat.slot.camera().clone();
        let faces = match &frame {
            Ok(frame) => match frame.view() {
                Ok(view) => seat.look.see(&mut self.eyes, &view, frame.stamp(), now).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            Err(error) => Err(error.to_string()),
        };
        let times = self.eyes.take_times();
        self.board.note_times(&times);
        match faces {
            Ok(faces) => match self.orders.try_send(Order::Faces(faces)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => self.board.note_faces_dropped(),
                Err(TrySendError::Disconnected(_)) => {}
            },
            Err(error) => {
                seat.failures += 1;
                if seat.failures.is_power_of_two() {
                    tracing::warn!("{camera}: a frame was skipped: {error} ({} so far)", seat.failures);
                }
            }
        }
    }

    fn lost(&self, camera: &CameraId) {
        if let Err(TrySendError::Full(_)) = self.orders.try_send(Order::CameraLost(camera.clone())) {
            // Its tracks will then end by their own time limit.
            self.board.note_faces_dropped();
        }
    }
}
