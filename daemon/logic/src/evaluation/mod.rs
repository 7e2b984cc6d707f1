//! Honest statistics of recognition trials: shares with intervals, error curves, groups, and the refusal to claim what
//! a sample cannot carry. Words and formulas as in ISO/IEC 19795-1; pure functions of counts and scores.
//!
//! - **FMR / FNMR**: share of comparisons with a wrong person that pass / with the right person that fail.
//! - **FPIR**: share of strangers' searches that return somebody. **TPIR**: share of enrolled people's searches that
//!   return that person; `FNIR = 1 - TPIR`. A failure to acquire counts as a miss.

mod claim;
mod curve;
mod groups;
mod interval;

pub use claim::{Claim, ERRORS_MIN, PEOPLE_MIN, claim_found, claim_rate};
pub use curve::{CurvePoint, Scores};
pub use groups::{Apart, GroupShare, Spread, spread};
pub use interval::{How, Share, SplitMix, Tally, share};
