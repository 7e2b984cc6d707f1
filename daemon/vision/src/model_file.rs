//! A network's file: opened once, read once, hashed, and nothing but the hashed bytes is used afterwards.

use crate::manifest::Entry;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Far above any network that makes sense on a small box; bounds what a wrong path can make us read.
pub const BYTES_MAX: u64 = 256 << 20;

/// Why a file is not the network the manifest promises.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// There is no such file.
    #[error("model `{id}`: {} does not exist; run deploy/setup, or set the models folder in the configuration", path.display())]
    Missing {
        /// The network.
        id: String,
        /// Where it was expected.
        path: PathBuf,
    },
    /// A symbolic link, folder, pipe or device: not what an installation puts there.
    #[error("model `{id}`: {} is not a plain file (symbolic links are not followed); put the file itself there", path.display())]
    NotPlain {
        /// The network.
        id: String,
        /// The path.
        path: PathBuf,
    },
    /// Larger than [`BYTES_MAX`].
    #[error("model `{id}`: {} is larger than {} MiB and was not read", path.display(), BYTES_MAX >> 20)]
    TooLarge {
        /// The network.
        id: String,
        /// The path.
        path: PathBuf,
    },
    /// The system would not let us read it.
    #[error("model `{id}`: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The network.
        id: String,
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Some other file, or a damaged one. It is not used.
    #[error(
        "model `{id}`: {} has sha256 {found}, the manifest expects {expected}; the file was refused, run deploy/setup to fetch it again",
        path.display()
    )]
    WrongHash {
        /// The network.
        id: String,
        /// The path.
        path: PathBuf,
        /// Hex digest in the manifest.
        expected: String,
        /// Hex digest of what was read.
        found: String,
    },
}

/// The bytes of a network whose hash is right.
#[derive(Debug)]
pub struct ModelBytes {
    bytes: Vec<u8>,
    digest: String,
}

impl ModelBytes {
    /// Reads `path` and compares its hash with the contract.
    ///
    /// # Errors
    /// [`FileError`], naming the network and the file.
    pub fn read(entry: &Entry, path: &Path) -> Result<Self, FileError> {
        let (id, path_buf) = (entry.id.clone(), path.to_path_buf());
        let file = match open_plain(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(FileError::NotPlain { id, path: path_buf }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(FileError::Missing { id, path: path_buf });
            }
            Err(source) => return Err(FileError::Unreadable { id, path: path_buf, source }),
        };
        let mut bytes = Vec::new();
        if let Err(source) = file.take(BYTES_MAX + 1).read_to_end(&mut bytes) {
            return Err(FileError::Unreadable { id, path: path_buf, source });
        }
        if bytes.len() as u64 > BYTES_MAX {
            return Err(FileError::TooLarge { id, path: path_buf });
        }
        let digest = hex::encode(Sha256::digest(&bytes));
        if digest != entry.sha256 {
            return Err(FileError::WrongHash { id, path: path_buf, expected: entry.sha256.clone(), found: digest });
        }
        Ok(Self { bytes, digest })
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// Opens without following a link and without waiting on a pipe; `None` for anything but a plain file.
fn open_plain(path: &Path) -> std::io::Result<Option<std::fs::File>> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => {
            let file = std::fs::File::from(descriptor);
            Ok(file.metadata()?.is_file().then_some(file))
        }
        Err(rustix::io::Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn entry_with(sha256: &str) -> std::sync::Arc<Entry> {
        let text = include_str!("manifest/sample.toml").replace(&"0".repeat(64), sha256);
        let manifest = Manifest::parse(&text, Path::new("sample.toml")).expect("the sample is valid");
        manifest.entry("tiny").expect("it has this entry").clone()
    }

    #[test]
    fn a_single_flipped_bit_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let path = dir.path().join("tiny.onnx");
        let mut content = vec![7_u8; 4096];
        let good = hex::encode(Sha256::digest(&content));
        let entry = entry_with(&good);
        std::fs::write(&path, &content).expect("write");
        assert_eq!(ModelBytes::read(&entry, &path).expect("the hash is right").digest(), good);
        content[2048] ^= 0x10;
        std::fs::write(&path, &content).expect("write");
        let message = ModelBytes::read(&entry, &path).expect_err("one bit differs").to_string();
        for part in ["`tiny`", "tiny.onnx", good.as_str(), "deploy/setup"] {
            assert!(message.contains(part), "{message} does not say {part}");
        }
    }

    #[test]
    fn links_folders_and_absent_files_are_told_apart() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let entry = entry_with(&"1".repeat(64));
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("real"), b"x").expect("write");
        std::os::unix::fs::symlink(at("real"), at("link")).expect("link");
        assert!(matches!(ModelBytes::read(&entry, &at("link")), Err(FileError::NotPlain { .. })));
        assert!(matches!(ModelBytes::read(&entry, dir.path()), Err(FileError::NotPlain { .. })));
        assert!(matches!(ModelBytes::read(&entry, &at("none")), Err(FileError::Missing { .. })));
        assert!(matches!(ModelBytes::read(&entry, &at("real")), Err(FileError::WrongHash { .. })));
    }
}
