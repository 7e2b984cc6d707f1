//! Making a calibration fit a site: from anonymous score statistics or labelled scores to a table, and noticing when a
//! table has stopped to fit.
//!
//! ```text
//! Watcher --Sample a look--> Batch --> [store: a Tally a week and row] --Curve--> fit() + shipped table --> site table
//!                              \-----> drift::Watch --Stale--> status, events; Standing --> Watcher
//! ```
//!
//! What is counted about strangers are counts in cells of cosine, a size bin and frame count at a time. No embedding, no
//! picture, no person and no track can be told from them.

pub mod blend;
pub mod chart;
pub mod curve;
pub mod drift;
pub mod line;
pub mod monotone;
pub mod pareto;
pub mod tally;
#[cfg(test)]
mod testing;

pub use blend::{Fitted, RowEvidence, SiteScores, fit, interval_at};
pub use curve::Curve;
pub use drift::{DriftRules, Finding, Stale, Watch};
pub use tally::{Batch, RowKey, Sample, Tally};
