//! Notices an accelerator that passes its trial and then takes the daemon with it.
//!
//! ```text
//! start on an accelerator: mark := ends + 1 -> ran well for ten minutes, or stopped in order: no mark
//!                          mark is there at the next start: that end was not in order
//! ```
//!
//! Drivers hang and crash in ways no error tells; all that can be known is that the process never came to its end.

use super::verdict::write_whole;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name.
const FILE: &str = "provider.running";

/// Ends in a row that were not in order, each within [`WELL_AFTER`] of its start, after which the accelerator counts as the
/// cause. One may be a power cut and two a bad day.
pub const ENDS_MAX: u32 = 3;

/// Running this long is running well. Longer than a service manager needs to notice a hang, many times over.
pub const WELL_AFTER: Duration = Duration::from_secs(600);

/// How many ends in a row were not in order.
#[must_use]
pub fn unclean_ends(state_dir: &Path) -> u32 {
    std::fs::read_to_string(state_dir.join(FILE)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// The mark of a process that runs on an accelerator. Dropping it says that the process ended in order; one that is killed
/// or aborts drops nothing.
#[derive(Debug)]
pub struct Mark(PathBuf);

impl Mark {
    /// Counts this start as one that did not end in order, until it has.
    #[must_use]
    pub fn set(state_dir: &Path) -> Self {
        let place = state_dir.join(FILE);
        let ends = unclean_ends(state_dir).saturating_add(1);
        if let Err(error) = write_whole(&place, format!("{ends}\n").as_bytes()) {
            tracing::warn!("{}: {error}; a crash of the accelerator would not be noticed", place.display());
        }
        Self(place)
    }

    /// It ran well.
    pub fn clear(&self) {
        let _not_there_is_fine = std::fs::remove_file(&self.0);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Starts counting anew.
pub fn reset(state_dir: &Path) {
    let _not_there_is_fine = std::fs::remove_file(state_dir.join(FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_that_were_not_in_order_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(unclean_ends(dir.path()), 0);
        drop(Mark::set(dir.path()));
        assert_eq!(unclean_ends(dir.path()), 0, "it ended in order");
        for ends in 1..=ENDS_MAX {
            std::mem::forget(Mark::set(dir.path()));
            assert_eq!(unclean_ends(dir.path()), ends, "it was killed");
        }
        Mark::set(dir.path()).clear();
        assert_eq!(unclean_ends(dir.path()), 0, "it ran well");
    }
}
