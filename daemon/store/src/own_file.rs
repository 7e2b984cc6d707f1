//! Opening a file that is this program's own. Root's commands work in a directory that belongs to the service's user, so a link
//! in such a place may have been put there by whoever took the service over, for root to write through it.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens by these `options`, which then do not follow a link in the place of the file itself.
///
/// # Errors
/// What the operating system said; for a link, what it is and what to do.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path).map_err(|error| {
        match error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            true => io::Error::other("it is a link, which is not followed; find out who made it, and remove it"),
            false => error,
        }
    })
}
