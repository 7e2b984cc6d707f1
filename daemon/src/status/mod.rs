//! What the outside may see: views with a version, never read from by the daemon itself.

pub mod access;
pub mod ballot;
pub mod blind;
pub mod board;
mod matching;
pub mod metrics;
pub mod routes;
pub mod server;
mod sinks;
pub mod view;
pub mod wire;
