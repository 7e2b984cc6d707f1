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
//! (`supervisor`, `rtsp`, `clip`, `tap`, `reaper`) only carries it out.

pub mod backoff;
mod bus;
pub mod calm;
pub mod camera;
mod chain;
pub mod clip;
pub mod codec;
pub mod describe;
pub mod fault;
pub mod frame;
pub mod health;
pub mod local_time;
pub mod lockout;
pub mod loss_gate;
mod reaper;
mod rtsp;
pub mod secret;
pub mod slot;
pub mod source;
pub mod status;
mod supervisor;
mod tap;

pub use camera::{Camera, CameraHandle, CameraSettings, SpawnError, Stopped};
pub use clip::{ClipError, ClipReader};
pub use codec::{Codec, Hardware};
pub use fault::Fault;
pub use frame::Frame;
pub use lockout::AuthLockout;
pub use secret::{Credential, CredentialError, Secret};
pub use slot::{Signal, Slot};
pub use source::{BadSource, Pace, Repeat, RtspUrl, Source, Transport};
pub use status::{CameraState, CameraStatus};

/// Starts GStreamer. Called by whatever needs it; calling it early makes a broken installation show at the start.
///
/// # Errors
/// [`Fault::Broken`] when GStreamer or its registry does not load.
pub fn init() -> Result<(), Fault> {
    gstreamer::init().map_err(|error| Fault::Broken { said: fault::printable(error.message()) })
}
