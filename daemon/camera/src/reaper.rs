//! Tears pipelines down on threads of their own. GStreamer's maintainers call state changes of `rtspsrc` unfixably
//! racy: a tear-down may hang, and then it must hang alone.

use crate::status::Gauges;
use gstreamer as gst;
use gstreamer::prelude::*;
use sekisho_logic::time::Mono;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Measured tear-downs took up to 0.11 s, with a frozen camera too; this is not slowness any more.
const DEADLINE: Duration = Duration::from_secs(5);
/// With this many tear-downs hanging a camera is not rebuilt: each holds threads and memory that never come back.
pub(crate) const STUCK_MAX: usize = 3;

struct Burial {
    begun: Mono,
    done: Receiver<()>,
    is_counted: bool,
}

/// One camera's tear-downs.
pub(crate) struct Reaper {
    gauges: Arc<Gauges>,
    under_way: Vec<Burial>,
}

impl Reaper {
    pub(crate) const fn new(gauges: Arc<Gauges>) -> Self {
        Self { gauges, under_way: Vec::new() }
    }

    /// Takes a pipeline away. Returns at once.
    pub(crate) fn take(&mut self, pipeline: gst::Pipeline, now: Mono) {
        let (done, is_done) = channel::<()>();
        let bury = move || {
            if let Some(bus) = pipeline.bus() {
                bus.unset_sync_handler();
            }
            // A pipeline that refuses to stop cannot be helped; its parts go when the last reference does.
            let _stopped = pipeline.set_state(gst::State::Null);
            drop(pipeline);
            drop(done);
        };
        // Without a thread to spare the pipeline is dropped running, which GStreamer complains about but survives; the
        // supervisor must not hang in its place.
        if std::thread::Builder::new().name("cam-reaper".to_owned()).spawn(bury).is_ok() {
            self.under_way.push(Burial { begun: now, done: is_done, is_counted: false });
        }
    }

    /// Forgets what is done and counts what passed its deadline. Gives how many hang now.
    pub(crate) fn stuck(&mut self, now: Mono) -> usize {
        self.under_way.retain(|burial| !is_over(burial, Duration::ZERO));
        let mut stuck = 0;
        for burial in &mut self.under_way {
            if now.since(burial.begun) < DEADLINE {
                continue;
            }
            stuck += 1;
            if !burial.is_counted {
                burial.is_counted = true;
                self.gauges.teardowns_stuck_total.fetch_add(1, Ordering::Relaxed);
            }
        }
        stuck
    }

    /// Waits for what is under way, at most this long each.
    pub(crate) fn finish(&mut self, at_most: Duration) {
        for burial in self.under_way.drain(..) {
            let _over = is_over(&burial, at_most);
        }
    }
}

fn is_over(burial: &Burial, wait: Duration) -> bool {
    burial.done.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected)
}
