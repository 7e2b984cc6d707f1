//! Cameras: the only crate that knows GStreamer.
//!
//! ```text
//! Source -> Camera (one supervising thread) -> pipeline -> Slot -> Frame -> FrameView
//!                |  Health, Backoff, AuthLockout decide        \- Signal wakes the vision worker
//!                \- CameraStatus
//! clip   -> ClipReader -> every Frame, in order, as fast as it is taken
//! ```
//!
//! What decides (`health`, `backoff`, `lockout`, `loss_gate`, `calm`) is pure and told the time; what acts
//! (`supervisor`, the pipelines) only carries it out.

pub mod backoff;
pub mod calm;
pub mod fault;
pub mod frame;
pub mod health;
pub mod lockout;
pub mod loss_gate;
pub mod secret;
pub mod slot;
pub mod source;
