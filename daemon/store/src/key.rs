//! The key the database is encrypted with: 32 random bytes, from a systemd credential or a file made at first run.
//!
//! The file holds 64 hexadecimal digits, so that it can be typed from paper when a box is rebuilt. What a key file does
//! not protect against: it lies on the same disk as the database, so whoever takes the disk has both.

use crate::own_file::open_own;
use crate::seal::SealKey;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Bytes of a key: AES-256.
const KEY_BYTES: usize = 32;
/// A key file is 64 digits and a line end. Reading stops here, so that a wrong path (a device, a film) cannot fill memory.
const FILE_BYTES_MAX: u64 = 256;
/// Tells temporary key files apart from each other within a process.
static DRAFTS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

/// A database key. Cannot be printed, copied or serialised; its memory is wiped when it is dropped.
pub struct DbKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    source: KeySource,
}

/// Where a key came from, for the status: they protect against different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A systemd credential; how well it is sealed (host key, TPM) is for systemd to say.
    Credential,
    /// A file beside the database: no protection once the disk is taken.
    File,
    /// A server on the network, asked at each start: nothing on the disk opens the database.
    Network,
    /// Handed over by the program.
    Given,
}

/// What to do when there is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfMissing {
    /// First run: make one.
    Create,
    /// A database exists already, so a new key could not open it.
    Refuse,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No such file, and none may be made.
    #[error("{}: the key file is missing; put back the file or credential the database was made with \
             (a new key could not read it)", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Others can read it.
    #[error("{}: the key file can be read by others (mode {mode:04o}); run `chmod 600 {}`", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a key.
    #[error("{}: not a key: {why}; expected 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never quotes the content.
        why: &'static str,
    },
    /// The operating system refused.
    #[error("{}: {doing} the key failed: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What was said.
        source: io::Error,
    },
}

impl DbKey {
    /// A key from raw bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self { bytes: Zeroizing::new(bytes), source: KeySource::Given }
    }

    /// A key from the 64 hexadecimal digits that `origin` (an address, for messages) gave over the network. Blanks and line
    /// ends around them are passed over.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_network(text: &[u8], origin: &str) -> Result<Self, KeyError> {
        decode(text, Path::new(origin), KeySource::Network)
    }

    /// A key from the systemd credential `name` in `directory` (the value of `CREDENTIALS_DIRECTORY`). The file's mode is
    /// not judged: systemd opens credentials to the service's user by an access list, which shows as a group bit.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, unreadable or not 64 hexadecimal digits.
    pub fn from_credential(directory: &Path, name: &str) -> Result<Self, KeyError> {
        let path = directory.join(name);
        let file = OpenOptions::new().read(true).open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => KeyError::Missing { path: path.clone() },
            _ => KeyError::Io { path: path.clone(), doing: "opening", source },
        })?;
        parse(file, &path, KeySource::Credential)
    }

    /// The key in the file at `path`. `if_missing` says whether a missing file is made (mode 0600, synced to the disk
    /// before it is used) or refused.
    ///
    /// # Errors
    /// [`KeyError`] when it is missing, readable by others, unreadable by us or not 64 hexadecimal digits.
    pub fn from_file(path: &Path, if_missing: IfMissing) -> Result<Self, KeyError> {
        match read_file(path) {
            Err(KeyError::Missing { .. }) if if_missing == IfMissing::Create => {
                create(path)?;
                read_file(path)
            }
            other => other,
        }
    }

    /// The key that is to take the place of the one in the file at `path`: in a file of its own beside it, named `.new`, made
    /// unless a change that was cut off left one.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn next_to(path: &Path) -> Result<Self, KeyError> {
        Self::from_file(&beside(path, ".new"), IfMissing::Create)
    }

    /// The same, `None` where there is no such file.
    ///
    /// # Errors
    /// As [`from_file`](Self::from_file).
    pub fn next_if_any(path: &Path) -> Result<Option<Self>, KeyError> {
        match Self::from_file(&beside(path, ".new"), IfMissing::Refuse) {
            Ok(key) => Ok(Some(key)),
            Err(KeyError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the file of the next key in the place of `path`, and overwrites the old one.
    ///
    /// # Errors
    /// What the operating system said; the next key is then still where it was.
    pub fn install_next(path: &Path) -> Result<(), KeyError> {
        let (next, old) = (beside(path, ".new"), beside(path, ".old"));
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let install = || -> io::Result<()> {
            crate::keyring::wipe(&old)?;
            fs::hard_link(path, &old)?;
            fs::rename(&next, path)?;
            File::open(directory)?.sync_all()?;
            crate::keyring::wipe(&old)
        };
        install().map_err(|source| KeyError::Io { path: path.into(), doing: "putting in place", source })
    }

    /// Where the key came from.
    #[must_use]
    pub const fn source(&self) -> KeySource {
        self.source
    }

    /// A key for another purpose, derived from this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> SealKey {
        SealKey::derive(&self.bytes, purpose)
    }

    /// The key itself, for what is derived from it.
    pub(crate) const fn bytes(&self) -> &Zeroizing<[u8; KEY_BYTES]> {
        &self.bytes
    }

    /// The statement that must come before any other on a connection. The raw form skips key derivation, which would
    /// add nothing to 32 random bytes but a quarter of a second to every start.
    pub(crate) fn pragma(&self) -> Zeroizing<String> {
        self.statement("key")
    }

    /// The statement that encrypts an open database anew with this key.
    pub(crate) fn pragma_rekey(&self) -> Zeroizing<String> {
        self.statement("rekey")
    }

    fn statement(&self, name: &str) -> Zeroizing<String> {
        let mut digits = Zeroizing::new([0_u8; KEY_BYTES * 2]);
        // The buffer is exactly twice the key, the only length this can refuse.
        let _ = hex::encode_to_slice(self.bytes.as_slice(), digits.as_mut_slice());
        let mut text = Zeroizing::new(String::with_capacity(KEY_BYTES * 2 + 32));
        text.push_str("PRAGMA ");
        text.push_str(name);
        text.push_str(" = \"x'");
        for digit in digits.iter() {
            text.push(char::from(*digit));
        }
        text.push_str("'\";");
        text
    }
}

impl std::fmt::Debug for DbKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DbKey({:?}, hidden)", self.source)
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

fn read_file(path: &Path) -> Result<DbKey, KeyError> {
    let file = open_own(path, OpenOptions::new().read(true)).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => KeyError::Missing { path: path.into() },
        _ => KeyError::Io { path: path.into(), doing: "opening", source },
    })?;
    let about = file.metadata().map_err(|source| KeyError::Io { path: path.into(), doing: "inspecting", source })?;
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Readable { path: path.into(), mode });
    }
    parse(file, path, KeySource::File)
}

fn parse(file: File, path: &Path, source: KeySource) -> Result<DbKey, KeyError> {
    // Reserved up front: a growing vector would leave copies of the key behind in freed memory.
    let mut text = Zeroizing::new(Vec::with_capacity(512));
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(|source| KeyError::Io {
        path: path.into(),
        doing: "reading",
        source,
    })?;
    decode(&text, path, source)
}

/// The key that `text` writes.
fn decode(text: &[u8], path: &Path, source: KeySource) -> Result<DbKey, KeyError> {
    let malformed = |why| KeyError::Malformed { path: path.into(), why };
    let digits = text.trim_ascii();
    if digits.is_empty() {
        return Err(malformed("the file is empty"));
    }
    if digits.len() != KEY_BYTES * 2 {
        return Err(malformed("the length is wrong"));
    }
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    hex::decode_to_slice(digits, bytes.as_mut_slice()).map_err(|_| malformed("a character is no hexadecimal digit"))?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Err(malformed("all digits are zero"));
    }
    Ok(DbKey { bytes, source })
}

/// Makes a key file. It is written under another name and linked into place, so that neither a crash nor a second
/// process starting at the same moment can see half a key, and an existing file is never replaced.
fn create(path: &Path) -> Result<(), KeyError> {
    let fail = |doing| move |source| KeyError::Io { path: path.into(), doing, source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let count = DRAFTS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let draft = directory.join(format!(".key-draft-{}-{count}", std::process::id()));
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    getrandom::fill(key.as_mut_slice()).map_err(|error| fail("drawing")(io::Error::other(error.to_string())))?;
    let mut line = Zeroizing::new([b'\n'; KEY_BYTES * 2 + 1]);
    let _ = hex::encode_to_slice(key.as_slice(), &mut line[..KEY_BYTES * 2]);

    // A draft of a crashed process with our number again holds a key nobody uses.
    let _ = fs::remove_file(&draft);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(line.as_slice())?;
        file.sync_all()
    };
    let written = write().and_then(|()| match fs::hard_link(&draft, path) {
        // Another process was first; its key counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = fs::remove_file(&draft);
    written.map_err(fail("writing"))?;
    removed.map_err(fail("tidying after writing"))?;
    File::open(directory).and_then(|dir| dir.sync_all()).map_err(fail("syncing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_file_is_made_once_private_and_read_back() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db.key");
        let first = DbKey::from_file(&path, IfMissing::Create).expect("made");
        let again = DbKey::from_file(&path, IfMissing::Refuse).expect("read");
        assert_eq!(first.bytes, again.bytes);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1, "no draft is left behind");
        assert!(first.bytes.iter().any(|byte| *byte != 0));
    }

    #[test]
    fn a_missing_key_is_refused_when_a_database_exists() {
        let dir = tempfile::tempdir().expect("temp dir");
        let error = DbKey::from_file(&dir.path().join("db.key"), IfMissing::Refuse).expect_err("refused");
        assert!(error.to_string().contains("key file is missing"), "{error}");
    }

    #[test]
    fn a_key_file_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db.key");
        drop(DbKey::from_file(&path, IfMissing::Create).expect("made"));
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let error = DbKey::from_file(&path, IfMissing::Create).expect_err("refused").to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:04o}")), "{error}");
        }
    }

    #[test]
    fn malformed_keys_are_refused_without_quoting_them() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db.key");
        let zeros = "0".repeat(64);
        let not_hex = format!("{}g", "a".repeat(63));
        let long = "a".repeat(5000);
        for text in ["", "\n", "abc123", &"a".repeat(63), &"a".repeat(66), &not_hex, &zeros, &long] {
            fs::write(&path, text).expect("write");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
            let error = DbKey::from_file(&path, IfMissing::Create).expect_err("refused").to_string();
            assert!(error.contains("64 hexadecimal digits"), "{error}");
            assert!(text.trim().is_empty() || !error.contains(text.trim()), "the content leaked: {error}");
        }
    }

    #[test]
    fn a_credential_is_read_and_a_missing_one_named() {
        let dir = tempfile::tempdir().expect("temp dir");
        fs::write(dir.path().join("db.key"), format!("{}\n", "ab".repeat(32))).expect("write");
        let key = DbKey::from_credential(dir.path(), "db.key").expect("read");
        assert_eq!((key.source(), key.bytes[0]), (KeySource::Credential, 0xab));
        let error = DbKey::from_credential(dir.path(), "other").expect_err("refused").to_string();
        assert!(error.contains("other"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_key_is_not_followed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (real, link) = (dir.path().join("real"), dir.path().join("db.key"));
        drop(DbKey::from_file(&real, IfMissing::Create).expect("made"));
        std::os::unix::fs::symlink(&real, &link).expect("link");
        assert!(matches!(DbKey::from_file(&link, IfMissing::Create), Err(KeyError::Io { .. })));
    }

    #[test]
    fn processes_racing_for_the_first_key_agree() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("db.key");
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| DbKey::from_file(&path, IfMissing::Create).expect("a key").bytes))
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[test]
    fn debug_hides_the_key() {
        let text = format!("{:?}", DbKey::from_bytes([0xab; 32]));
        assert_eq!(text, "DbKey(Given, hidden)");
        assert!(DbKey::from_bytes([0xab; 32]).pragma().contains(&"ab".repeat(32)));
    }
}
