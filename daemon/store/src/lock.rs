//! One `run` at a time in a state directory. Tools may open the database beside it; a second daemon may not.

use crate::own_file::open_own;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Held for as long as the daemon runs. The kernel releases it with the process, however that ends, so there is no stale
/// lock to clean up after a crash; the file itself stays.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another instance runs here.
    #[error("{}: another sekisho is running here ({}); stop it first, or give this one a state directory of its own",
            path.display(), pid.map_or_else(|| "its process id is unknown".to_owned(), |pid| format!("process {pid}")))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds it, as it wrote there.
        pid: Option<u32>,
    },
    /// The operating system refused.
    #[error("{}: taking the lock failed: {source}; check the owner and mode of the directory", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What was said.
        source: io::Error,
    },
}

impl InstanceLock {
    /// Takes the lock of the state directory `dir`, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] with the holder's process id, or what the operating system said.
    pub fn acquire(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join("run.lock");
        let fail = |source: io::Error| LockError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = open_own(&path, &mut options).map_err(fail)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // The holder writes its number right after locking; reading too early just leaves it unknown.
                let _ = (&mut file).take(32).read_to_string(&mut text);
                return Err(LockError::Held { path, pid: text.trim().parse().ok() });
            }
            Err(error) => return Err(fail(error.into())),
        }
        // The number only improves the message, so a disk too full to take it must not stop the daemon.
        let note = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = note {
            tracing::warn!(path = %path.display(), %error, "the process id could not be noted in the lock file");
        }
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_instance_is_told_who_holds_the_lock() {
        let dir = tempfile::tempdir().expect("temp dir");
        let held = InstanceLock::acquire(dir.path()).expect("free");
        let error = InstanceLock::acquire(dir.path()).expect_err("held").to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        InstanceLock::acquire(dir.path()).expect("free again");
    }

    #[test]
    fn a_missing_directory_is_an_error_with_the_path() {
        let dir = tempfile::tempdir().expect("temp dir");
        let error = InstanceLock::acquire(&dir.path().join("gone")).expect_err("no such place").to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
