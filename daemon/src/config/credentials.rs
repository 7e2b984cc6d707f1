//! From the name of a credential to its file. The secret itself is read by whoever uses it and never passes through
//! the settings.
//!
//! ```text
//! name --> $CREDENTIALS_DIRECTORY/camera_NAME, then .../NAME   (systemd: LoadCredential=camera:DIRECTORY, or NAME)
//!      \-> credentials-dir/NAME                                (started by root, or without systemd)
//! ```

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What a credential may be called.
pub(super) const NAMES: &str = "allowed is the name of a credential file, not what is in it: a-z, A-Z, 0-9, '-', '_' and '.', not first, at most 64";

/// systemd names the files of a directory given as `LoadCredential=camera:DIRECTORY` after the id and the file.
const DIRECTORY_PREFIX: &str = "camera_";

/// Checks a name. What was refused may be a password written in the wrong place, so it is not quoted.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&text.len()) && text.chars().all(plain) && !text.starts_with('.') {
        Ok(text.to_owned())
    } else {
        Err("is not the name of a credential (not shown here)".to_owned())
    }
}

/// Where credentials are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialPlaces {
    handed_over: Option<PathBuf>,
    configured: PathBuf,
}

/// A credential that was found but must not be used. Absent is no error: some credentials are optional.
#[derive(Debug, thiserror::Error)]
pub enum CredentialFault {
    /// Others can read it. Somebody must look at who did.
    #[error(
        "credential {path} can be read by others (mode {mode:03o}); it is not used until `chmod 600` makes it private"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a device, a pipe.
    #[error("credential {path} is not a regular file; it is not used")]
    NotAFile {
        /// What was found there.
        path: PathBuf,
    },
    /// The system would not say.
    #[error("credential {path}: {cause}; it is not used")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl CredentialPlaces {
    /// systemd's directory, as found in the environment variable `CREDENTIALS_DIRECTORY` (the caller reads it, so that
    /// tests need not change their environment), and the configured one.
    #[must_use]
    pub fn new(credentials_directory: Option<OsString>, configured: &Path) -> Self {
        let handed_over = credentials_directory.filter(|dir| !dir.is_empty()).map(PathBuf::from);
        Self { handed_over, configured: configured.to_owned() }
    }

    /// Whether systemd handed anything over, as it does to the service.
    #[must_use]
    pub const fn are_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    /// The file of credential `name`; `None` when there is none anywhere.
    ///
    /// # Errors
    /// [`CredentialFault`] when there is one that must not be used. The search then stops: a private file elsewhere
    /// would hide that this one is exposed.
    pub fn find(&self, name: &str) -> Result<Option<PathBuf>, CredentialFault> {
        if let Some(dir) = &self.handed_over {
            for file in [format!("{DIRECTORY_PREFIX}{name}"), name.to_owned()] {
                // systemd gives the service its copy by an access list, and the mask of such a list is shown as the
                // group's bits: 0440 there does not mean that a group can read it.
                if let Some(path) = usable(dir.join(file), 0o007)? {
                    return Ok(Some(path));
                }
            }
        }
        usable(self.configured.join(name), 0o077)
    }
}

fn usable(path: PathBuf, forbidden: u32) -> Result<Option<PathBuf>, CredentialFault> {
    // Follows links on purpose: secrets are often links into a mounted volume. What counts is the file.
    let about = match std::fs::metadata(&path) {
        Ok(about) => about,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        // The configured directory belongs to root and is closed to everybody else; under systemd the copies of its
        // files were looked at before. A closed directory holds nothing for this process.
        Err(cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
        Err(cause) => return Err(CredentialFault::Unreadable { path, cause }),
    };
    let mode = about.mode() & 0o777;
    if !about.is_file() {
        Err(CredentialFault::NotAFile { path })
    } else if mode & forbidden != 0 {
        Err(CredentialFault::Exposed { path, mode })
    } else {
        Ok(Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn put(dir: &Path, name: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, "ann:secret").expect("temporary file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own file");
        path
    }

    #[test]
    fn systemd_comes_first_then_the_configured_directory() {
        let (handed, own) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let places = CredentialPlaces::new(Some(handed.path().into()), own.path());
        assert_eq!(places.find("gate").expect("absent is no fault"), None);
        let plain = put(own.path(), "gate", 0o600);
        assert_eq!(places.find("gate").expect("private"), Some(plain));
        let single = put(handed.path(), "gate", 0o440);
        assert_eq!(places.find("gate").expect("mask of an access list"), Some(single));
        let of_directory = put(handed.path(), "camera_gate", 0o400);
        assert_eq!(places.find("gate").expect("private"), Some(of_directory));
        assert!(CredentialPlaces::new(Some(OsString::new()), own.path()).find("gate").expect("private").is_some());
    }

    #[test]
    fn a_file_others_can_read_is_refused_by_name_and_not_passed_over() {
        let (handed, own) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        let places = CredentialPlaces::new(Some(handed.path().into()), own.path());
        for mode in [0o640, 0o604, 0o620] {
            put(own.path(), "gate", mode);
            let fault = places.find("gate").expect_err("exposed");
            assert!(matches!(&fault, CredentialFault::Exposed { mode: found, .. } if *found == mode), "{fault}");
            assert!(fault.to_string().contains("gate") && !fault.to_string().contains("secret"), "{fault}");
        }
        put(own.path(), "gate", 0o600);
        put(handed.path(), "gate", 0o404);
        assert!(matches!(places.find("gate"), Err(CredentialFault::Exposed { .. })));
    }

    #[test]
    fn what_is_no_file_is_no_credential() {
        let own = tempfile::tempdir().expect("dir");
        std::fs::create_dir(own.path().join("gate")).expect("dir");
        let places = CredentialPlaces::new(None, own.path());
        assert!(matches!(places.find("gate"), Err(CredentialFault::NotAFile { .. })));
        assert!(matches!(places.find("gate/x/../y"), Ok(None)));
    }

    #[test]
    fn a_directory_closed_to_this_user_holds_nothing() {
        let own = tempfile::tempdir().expect("dir");
        let closed = own.path().join("closed");
        std::fs::create_dir(&closed).expect("dir");
        put(&closed, "gate", 0o600);
        let mode = |mode| std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(mode)).expect("own dir");
        mode(0o000);
        let found = CredentialPlaces::new(None, &closed).find("gate");
        let root = std::fs::read_dir(&closed).is_ok();
        mode(0o700);
        // Nothing is closed to root, who finds the file.
        assert_eq!(found.expect("no fault").is_some(), root);
    }

    #[test]
    fn names_are_plain_and_a_refused_one_is_not_repeated() {
        assert_eq!(name("gate.password-1"), Ok("gate.password-1".to_owned()));
        for bad in ["", ".hidden", "a/b", "ann:hunter2", "caf\u{e9}", &"x".repeat(65)] {
            let wrong = name(bad).expect_err("no name");
            assert!(!wrong.contains("hunter2"), "{wrong}");
        }
    }
}
