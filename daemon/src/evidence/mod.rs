//! What the people who review an alert are shown, and for how long it is kept.
//!
//! ```text
//! decide --AlertPictures, only with an alert--> [queue] -> recorder: PNG -> store (short expiry)
//!                                                          \--every ten minutes--> expiry by the alert's stage -> erase
//! enrolled photograph (store) -> portrait -> whoever reviews
//! ```
//!
//! Losing a picture loses no alert: whatever is full, slow or refused here is counted and left out.

pub mod portrait;
pub mod recorder;
pub mod retention;
