//! Receivers of alert events. Each takes what the outbox holds for it, at least once and in order for each alert.

pub mod event_log;
