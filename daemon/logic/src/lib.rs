//! The deciding half of Sekisho: pure functions of (state, event, time).
//!
//! Nothing here waits, reads a clock, opens a file or knows a foreign library; that is a compiler fact, because the
//! crate depends on nothing that could. Cameras, networks, the store and the sinks live in their own crates and speak
//! to this one in the types below.
//!
//! ```text
//! FrameView -> [vision] -> DetectedFace -> Tracker -> TrackedFace -> Watcher -> Action -> [store, sinks]
//! ```

pub mod advice;
pub mod alert;
pub mod calibrate;
pub mod calibration;
pub mod doctor;
pub mod embedding;
pub mod evaluation;
pub mod explain;
pub mod face;
pub mod figures;
pub mod fitness;
pub mod frame;
pub mod fusion;
pub mod gallery;
pub mod geometry;
pub mod grounds;
pub mod histogram;
pub mod hours;
pub mod id;
pub mod impact;
pub mod judge;
pub mod lawful;
pub mod outcome;
pub mod picture;
pub mod pixelate;
pub mod policy;
pub mod record;
pub mod role;
pub mod rotation;
pub mod second;
pub mod still;
pub mod survey;
pub mod suspension;
pub mod thresholds;
pub mod time;
pub mod tracker;
pub mod watcher;
pub mod zone;
