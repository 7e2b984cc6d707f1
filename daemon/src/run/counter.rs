//! Between the deciding loop and the calibration keeper: counts that add up, so nothing here can be full.

use sekisho_logic::calibrate::Batch;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts not yet written down. Bounded by the rows of the calibration and the cameras of the configuration.
#[derive(Debug, Default)]
pub struct Counter(Mutex<Batch>);

impl Counter {
    /// Adds.
    pub fn put(&self, batch: &Batch) {
        if !batch.is_empty() {
            self.lock().merge(batch);
        }
    }

    /// Takes everything.
    #[must_use]
    pub fn take(&self) -> Batch {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
