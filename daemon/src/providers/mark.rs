//! Notices an accelerator that passes its trial and then takes the daemon with it.
//!
//! ```text
//! before the first trial, else before the first load: mark := ends + 1
//!   ran well for ten minutes, or ended in order: no mark
//!   mark is there at the next start on the same accelerator: that end was not in order
//! ```
//!
//! Drivers hang and crash in ways no error tells; all that can be known is that the process never came to its end.

use super::verdict::{Key, read_bounded, write_whole};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name. It holds the number of ends and, after a blank, of what.
const FILE: &str = "provider.running";

/// Ends in a row that were not in order, each within [`WELL_AFTER`] of its start, after which the accelerator counts as the
/// cause. One may be a power cut and two a bad day.
pub const ENDS_MAX: u32 = 3;

/// Running this long is running well. Longer than a service manager needs to notice a hang, many times over.
pub const WELL_AFTER: Duration = Duration::from_secs(600);

/// What ends are counted of: the networks on an accelerator with everything their verdicts depend on. Another driver or
/// device begins anew; a node that has another name after each crash does not.
#[must_use]
pub fn of<'k>(keys: impl Iterator<Item = &'k Key>) -> String {
    let mut hasher = Sha256::new();
    for key in keys {
        hasher.update(format!("{:?}\n", Key { confined: String::new(), ..key.clone() }));
    }
    hex::encode(hasher.finalize())
}

/// How many ends in a row of this were not in order.
fn unclean_ends(state_dir: &Path, of: &str) -> u32 {
    let place = state_dir.join(FILE);
    let text = read_bounded(&place).unwrap_or_else(|error| {
        tracing::warn!("{}: {error}; how earlier runs ended is not known", place.display());
        None
    });
    let counted = text.as_deref().and_then(|text| text.trim().split_once(' ')).filter(|(_, whose)| *whose == of);
    counted.and_then(|(ends, _)| ends.parse().ok()).unwrap_or(0)
}

/// The mark of a process that tries or uses an accelerator. Dropping it says that the process ended in order; one that is
/// killed or aborts drops nothing.
#[derive(Debug)]
pub struct Mark {
    place: PathBuf,
    ends_before: u32,
}

impl Mark {
    /// Counts this start as one that did not end in order, until it has.
    ///
    /// # Errors
    /// What the system said. Without a mark a crash would not be noticed, and no accelerator may be used.
    pub fn set(state_dir: &Path, of: &str) -> std::io::Result<Self> {
        let ends_before = unclean_ends(state_dir, of);
        // One that may not last counts nothing: it goes with what failed.
        let mark = Self { place: state_dir.join(FILE), ends_before };
        write_whole(&mark.place, format!("{} {of}\n", ends_before.saturating_add(1)).as_bytes())
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", mark.place.display())))?;
        Ok(mark)
    }

    /// How many ends in a row before this start were not in order.
    #[must_use]
    pub const fn ends_before(&self) -> u32 {
        self.ends_before
    }

    /// It ran well.
    pub fn clear(&self) {
        let _not_there_is_fine = std::fs::remove_file(&self.place);
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
    use super::super::verdict::tests::key;
    use super::*;

    #[test]
    fn only_ends_that_were_not_in_order_are_counted() {
        let dir = tempfile::tempdir().expect("a folder");
        let set = || Mark::set(dir.path(), "npu").expect("written");
        assert_eq!(unclean_ends(dir.path(), "npu"), 0);
        drop(set());
        assert_eq!(unclean_ends(dir.path(), "npu"), 0, "it ended in order");
        for ends in 1..=ENDS_MAX {
            let mark = set();
            assert_eq!(mark.ends_before(), ends - 1);
            std::mem::forget(mark);
            assert_eq!(unclean_ends(dir.path(), "npu"), ends, "it was killed");
        }
        set().clear();
        assert_eq!(unclean_ends(dir.path(), "npu"), 0, "it ran well");
    }

    #[test]
    fn what_one_accelerator_did_is_not_laid_at_anothers_door() {
        let dir = tempfile::tempdir().expect("a folder");
        for _ in 0..ENDS_MAX {
            std::mem::forget(Mark::set(dir.path(), "npu").expect("written"));
        }
        assert_eq!(unclean_ends(dir.path(), "gpu"), 0);
        std::mem::forget(Mark::set(dir.path(), "gpu").expect("written"));
        assert_eq!((unclean_ends(dir.path(), "gpu"), unclean_ends(dir.path(), "npu")), (1, 0));
        let one = key("a");
        let other = Key { driver: "newer".into(), ..one.clone() };
        assert_ne!(of([&one].into_iter()), of([&other].into_iter()));
        let renamed = Key { confined: "/dev/dri/renderD129 opens".into(), ..one.clone() };
        assert_eq!(of([&one].into_iter()), of([&renamed].into_iter()));
    }

    #[test]
    fn a_mark_that_cannot_be_set_is_an_error_and_one_that_is_no_file_counts_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(Mark::set(&dir.path().join("gone"), "npu").is_err());
        std::fs::create_dir(dir.path().join(FILE)).expect("in its place");
        assert_eq!(unclean_ends(dir.path(), "npu"), 0);
        assert!(Mark::set(dir.path(), "npu").is_err());
    }
}
