//! Camera passwords: read from a file, kept in memory that is wiped, never printed.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A camera password. It has neither `Debug` nor `Display` nor `Serialize`, so it cannot reach a log, an error or a
/// status page by accident, and its memory is wiped when it is dropped.
///
/// ```compile_fail
/// let secret = sekisho_camera::secret::Secret::new("hunter2".to_owned());
/// println!("{secret:?}");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the password over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password itself, for the one caller that hands it to `rtspsrc`.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of the password blanked. For text that came from a camera or from GStreamer and
    /// goes into a log: a camera could echo what it was sent.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(self.0.as_str(), "***") }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Secret {}

/// Who we are to a camera.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user name; not secret, it appears in messages.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?}, password not shown)", self.user)
    }
}

/// Why a credential file could not be used. Never quotes the file's content.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read; another start may succeed.
    #[error("credential file {path}: {cause}; the camera that names it cannot be opened")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file can be read but says nothing usable; somebody must edit it.
    #[error("credential file {path}: {wrong}; write `user:password` on one line, or the user and the password on two")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        wrong: &'static str,
    },
}

/// A credential file is two short words. More than this is some other file named by mistake.
const FILE_BYTES_MAX: u64 = 4096;

impl Credential {
    /// Reads `user:password` (split at the first colon) or a user and a password on two lines. The password may hold
    /// anything but a line break and may be empty, as it is on many cameras fresh from the box.
    ///
    /// # Errors
    /// [`CredentialError`] when the file cannot be read, is longer than 4096 bytes, is not UTF-8 or has another shape.
    pub fn from_file(path: &Path) -> Result<Self, CredentialError> {
        let unreadable = |cause| CredentialError::Unreadable { path: path.to_owned(), cause };
        let malformed = |wrong| CredentialError::Malformed { path: path.to_owned(), wrong };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        // Allocated at its full size before reading, because a vector that grows leaves copies of the password behind.
        let capacity = usize::try_from(FILE_BYTES_MAX + 1).unwrap_or(4097);
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(malformed("it is longer than 4096 bytes"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed("it is not UTF-8 text"))?;
        Self::parse(text).map_err(malformed)
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let lines: Vec<&str> = text.lines().collect();
        let (user, password) = match lines.as_slice() {
            [line] => line.split_once(':').ok_or("its one line has no colon")?,
            [user, password] if !password.is_empty() => (*user, *password),
            [line, _] => line.split_once(':').ok_or("its second line is empty")?,
            [] => return Err("it is empty"),
            _ => return Err("it has more than two lines"),
        };
        if user.is_empty() {
            return Err("the user is empty");
        }
        if user.chars().chain(password.chars()).any(char::is_control) {
            return Err("it holds a control character");
        }
        Ok(Self { user: user.to_owned(), password: Secret::new(password.to_owned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, String), &'static str> {
        Credential::parse(text).map(|c| (c.user.clone(), c.password.expose().to_owned()))
    }

    #[test]
    fn one_line_or_two_are_understood() {
        let want = Ok(("ann".to_owned(), "p:w".to_owned()));
        assert_eq!(parsed("ann:p:w"), want);
        assert_eq!(parsed("ann:p:w\n"), want);
        assert_eq!(parsed("ann\r\np:w\r\n"), want);
        assert_eq!(parsed("admin:\n"), Ok(("admin".to_owned(), String::new())));
    }

    #[test]
    fn other_shapes_are_refused_without_quoting_the_file() {
        for bad in ["", "\n", "only-a-word", ":pw", "a\nb\nc", "ann:p\u{7}w", "ann\n\n"] {
            let Err(wrong) = parsed(bad) else { panic!("{bad:?} was accepted") };
            assert!(!wrong.contains("pw"), "{wrong}");
        }
    }

    #[test]
    fn the_password_is_in_no_debug_text_and_is_scrubbed_from_foreign_text() {
        let credential = Credential::parse("ann:canary-7731").expect("well-formed");
        assert!(!format!("{credential:?}").contains("canary"));
        assert_eq!(credential.password.scrub("you sent canary-7731!"), "you sent ***!");
        assert_eq!(Secret::new(String::new()).scrub("abc"), "abc");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Credential::from_file(Path::new("/nonexistent/gate")).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/gate"), "{error}");
    }
}
