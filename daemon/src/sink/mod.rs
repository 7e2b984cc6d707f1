//! Receivers of alert events. Each is told what the outbox holds for it, at least once and in order for each alert.
//!
//! ```text
//! journal + outbox --pending--> Delivery --hand over--> Outlet: event log | webhook | MQTT
//!        ^                         |  |
//!        +--- delivered, failed ---+  +--- counts, state, last error ---> Standing (status, metrics)
//! ```
//!
//! One thread a sink ([`thread`]) drives one [`delivery::Delivery`], which knows when to try, to wait and to give up and
//! nothing about how events travel; an [`outlet::Outlet`] knows how one kind of receiver is spoken to and nothing about
//! retries. A kind more is a variant of `Outlet` and a section of keys in `config/sinks.rs`.

pub mod delivery;
pub mod event_log;
pub mod mqtt;
pub mod net;
pub mod outlet;
pub mod secrets;
pub mod standing;
pub mod thread;
pub mod webhook;
