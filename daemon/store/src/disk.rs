//! How much room is left, in steps that decide what is given up first, and a reserve for when nothing is left.
//!
//! ```text
//! Ample -> Low (purge oldest evidence early) -> Scarce (no new pictures) -> Reserve (alerts, outbox and audit only)
//! ```
//!
//! The reserve matters because on a truly full disk SQLite can neither delete nor checkpoint: both write first. Measured
//! on a 3 MB file system, freeing a ballast smaller than the write-ahead log did not help either; one of at least twice
//! its size did.

use crate::error::StoreError;
use crate::own_file::open_own;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Below this many bytes available the disk counts as full when SQLite reports an I/O error without saying why: SQLite
/// grows its shared-memory file by 32 KiB and the log by a page at a time.
const EXHAUSTED_BYTES: u64 = 64 * 1024;
/// Absolute floor of the ladder: below it only alerts, outbox and audit are written.
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;
/// Room that is never scarce, whatever share of the disk it is: a year of pictures and alerts of a busy site takes less.
const SCARCE_BYTES: u64 = 2 << 30;
/// The same floor for file names: the store needs a handful, evidence and logs of other programs take the rest.
const RESERVE_INODES: u64 = 256;

/// What may still be written. Ordered: more room is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    /// At least a tenth is free, or 4 GiB.
    Ample,
    /// Less than that of the bytes, or less than 10 % of the file names: purge the oldest evidence before its time.
    Low,
    /// Less than 5 % and 2 GiB, or 5 % of the file names: no new pictures; alerts go on as text.
    Scarce,
    /// Less than 256 MiB or 256 file names: everything but alerts, outbox and audit is frozen.
    Reserve,
}

impl DiskLevel {
    /// The word for status and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Low => "low",
            Self::Scarce => "scarce",
            Self::Reserve => "reserve",
        }
    }
}

/// Room on one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes we may still write.
    pub free_bytes: u64,
    /// Bytes there are.
    pub total_bytes: u64,
    /// Files we may still make. Meaningless when `total_inodes` is 0.
    pub free_inodes: u64,
    /// Files there can be; 0 on file systems that do not count them.
    pub total_inodes: u64,
}

impl Space {
    /// Measures the file system that `path` (a file or directory that exists) lies on.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn measure(path: &Path) -> Result<Self, StoreError> {
        let stat = rustix::fs::statvfs(path).map_err(|error| StoreError::io(path, "measuring free space", error))?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_inodes: stat.f_favail,
            total_inodes: stat.f_files,
        })
    }

    /// The step of the ladder this is.
    #[must_use]
    pub const fn level(self) -> DiskLevel {
        let inodes_counted = self.total_inodes > 0;
        if self.free_bytes < RESERVE_BYTES || (inodes_counted && self.free_inodes < RESERVE_INODES) {
            DiskLevel::Reserve
        } else if self.below(5, SCARCE_BYTES) {
            DiskLevel::Scarce
        } else if self.below(10, 2 * SCARCE_BYTES) {
            DiskLevel::Low
        } else {
            DiskLevel::Ample
        }
    }

    /// Less than `percent` is free. Of a large disk a few per cent are more than the store ever needs, so `enough` bytes are
    /// enough.
    const fn below(self, percent: u64, enough: u64) -> bool {
        let share = self.total_bytes / 100 * percent;
        self.free_bytes < if share < enough { share } else { enough }
            || (self.total_inodes > 0 && self.free_inodes < self.total_inodes / 100 * percent)
    }
}

/// Whether nothing more can be written where `path` lies. Unknown counts as no.
pub(crate) fn is_exhausted(path: &Path) -> bool {
    Space::measure(existing(path))
        .is_ok_and(|space| space.free_bytes < EXHAUSTED_BYTES || (space.total_inodes > 0 && space.free_inodes == 0))
}

/// Whether the file system of `path` is mounted read-only. Unknown counts as no.
pub(crate) fn is_read_only(path: &Path) -> bool {
    rustix::fs::statvfs(existing(path)).is_ok_and(|stat| stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

fn existing(path: &Path) -> &Path {
    if path.exists() { path } else { path.parent().unwrap_or(path) }
}

/// A file that only takes up room, to be given up when there is none left.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    size_bytes: u64,
}

impl Ballast {
    /// A ballast of `size_bytes` at `path`; nothing is written yet.
    #[must_use]
    pub const fn new(path: PathBuf, size_bytes: u64) -> Self {
        Self { path, size_bytes }
    }

    /// The ballast that belongs to the database at `path`: the file `ballast` in the same directory.
    #[must_use]
    pub fn beside(path: &Path, size_bytes: u64) -> Self {
        Self::new(path.with_file_name("ballast"), size_bytes)
    }

    /// Its size when there, in bytes.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether it is there in full.
    #[must_use]
    pub fn is_there(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|about| about.len() >= self.size_bytes)
    }

    /// Takes up the room unless it is taken up already. On failure nothing is left behind.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] when there is not that much; otherwise what the operating system said.
    pub fn fill(&self) -> Result<(), StoreError> {
        if self.is_there() {
            return Ok(());
        }
        let fill = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let file = open_own(&self.path, options.write(true).create(true).truncate(true).mode(0o600))?;
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.size_bytes) {
                // File systems without fallocate: writing takes up the room as well.
                Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&file, self.size_bytes)?,
                other => other?,
            }
            file.sync_all()
        };
        fill().map_err(|error| {
            let _ = fs::remove_file(&self.path);
            StoreError::io(&self.path, "setting room aside", error)
        })
    }

    /// Gives the room back. Returns whether there was any.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn release(&self) -> Result<bool, StoreError> {
        // Shortened first: on copy-on-write file systems a full disk can refuse to unlink but not to truncate.
        let shortened = open_own(&self.path, OpenOptions::new().write(true)).and_then(|file| file.set_len(0));
        match shortened.and_then(|()| fs::remove_file(&self.path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io(&self.path, "giving room back", error)),
        }
    }
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let block = [0_u8; 64 * 1024];
    let mut left = bytes;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        file.write_all(&block[..now])?;
        left -= now as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn space(free_bytes: u64, free_inodes: u64) -> Space {
        Space { free_bytes, total_bytes: 100 * GIB, free_inodes, total_inodes: 1_000_000 }
    }

    #[test]
    fn the_ladder_looks_at_bytes_and_at_file_names() {
        assert_eq!(space(50 * GIB, 500_000).level(), DiskLevel::Ample);
        assert_eq!(space(9 * GIB, 500_000).level(), DiskLevel::Ample, "a small share of much is enough");
        assert_eq!(space(3 * GIB, 500_000).level(), DiskLevel::Low);
        let small = |free_bytes| Space { total_bytes: 16 * GIB, ..space(free_bytes, 500_000) };
        assert_eq!(small(GIB).level(), DiskLevel::Low);
        assert_eq!(small(700 << 20).level(), DiskLevel::Scarce);
        assert_eq!(space(50 * GIB, 90_000).level(), DiskLevel::Low);
        assert_eq!(space(GIB, 500_000).level(), DiskLevel::Scarce);
        assert_eq!(space(50 * GIB, 40_000).level(), DiskLevel::Scarce);
        assert_eq!(space(200 << 20, 500_000).level(), DiskLevel::Reserve);
        assert_eq!(space(50 * GIB, 100).level(), DiskLevel::Reserve);
        let uncounted = Space { total_inodes: 0, ..space(50 * GIB, 0) };
        assert_eq!(uncounted.level(), DiskLevel::Ample);
    }

    #[test]
    fn ballast_takes_up_room_and_gives_it_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let ballast = Ballast::new(dir.path().join("ballast"), 300_000);
        assert!(!ballast.is_there() && !ballast.release().expect("nothing to release"));
        ballast.fill().expect("room");
        ballast.fill().expect("already there");
        let about = fs::metadata(dir.path().join("ballast")).expect("there");
        let on_disk = std::os::unix::fs::MetadataExt::blocks(&about) * 512;
        assert!(ballast.is_there() && on_disk >= 300_000, "only {on_disk} bytes are taken up");
        assert!(ballast.release().expect("released") && !ballast.is_there());
    }

    #[test]
    fn space_is_measured_where_the_file_is() {
        let dir = tempfile::tempdir().expect("temp dir");
        let space = Space::measure(dir.path()).expect("measured");
        assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
        assert!(Space::measure(&dir.path().join("gone")).is_err());
        assert!(!is_read_only(dir.path()));
    }
}
