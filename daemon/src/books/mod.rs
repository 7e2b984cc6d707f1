//! The books: what a data-protection officer and an auditor read, and what keeps them whole.

pub mod backup;
pub mod breach;
pub mod checkpoints;
pub mod erased;
pub mod export;
pub mod sheet;
