//! The file of a backup.
//!
//! ```text
//! "sekisho backup 1\n", one line of JSON: when, by which version, how it is locked (salt, costs of argon2id)
//! chunk 0, chunk 1, ... chunk n:   length in four bytes, then AES-256-GCM of up to a mebibyte
//! ```
//!
//! Each chunk is bound to the head's SHA-256, its number, and whether it is the last one. So a chunk that was changed, moved,
//! left out or taken from another backup does not open, and neither does a file that ends early. The key is derived anew for
//! each file from its salt. Inside are files, one behind the other: length and text of the name, length and bytes of the file.

use crate::cmd::Failure;
use argon2::{Algorithm, Argon2, Params, Version};
use sekisho_store::{DbKey, SealKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead as _, BufReader, Read, Write};
use zeroize::Zeroizing;

const HEAD: &str = "sekisho backup 1\n";
/// The line after it is some hundred bytes.
const LINE_BYTES_MAX: u64 = 4096;
const CHUNK_BYTES: usize = 1024 * 1024;
/// A chunk as sealed: format, nonce and tag are 29 bytes.
const SEALED_BYTES_MAX: u32 = 1024 * 1024 + 64;
const SALT_BYTES: usize = 16;
/// Costs of a passphrase: 64 MiB and three passes take a guesser's machine a quarter of a second each.
const ARGON2: (u32, u32) = (64 * 1024, 3);
/// What a head may ask for at the most, so that a hostile file cannot take the machine's memory or its day.
const ARGON2_MAX: (u32, u32) = (256 * 1024, 10);

/// What a backup is locked with.
#[derive(Debug)]
pub enum Lock {
    /// A key derived from the database's.
    Database(DbKey),
    /// A key in a file of its own.
    KeyFile(DbKey),
    /// Words, by argon2id.
    Passphrase(Zeroizing<String>),
}

impl Lock {
    const fn word(&self) -> &'static str {
        match self {
            Self::Database(_) => "database-key",
            Self::KeyFile(_) => "key-file",
            Self::Passphrase(_) => "passphrase",
        }
    }

    fn key(&self, salt: &[u8], (memory_kib, passes): (u32, u32)) -> Result<SealKey, Failure> {
        let purpose = format!("sekisho-backup-1 {}", hex::encode(salt));
        match self {
            Self::Database(key) | Self::KeyFile(key) => Ok(key.derive(&purpose)),
            Self::Passphrase(words) => {
                let odd = |error: argon2::Error| Failure::No(format!("the passphrase could not be used: {error}"));
                let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(odd)?;
                let mut bytes = Zeroizing::new([0_u8; 32]);
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                    .hash_password_into(words.as_bytes(), salt, bytes.as_mut_slice())
                    .map_err(odd)?;
                Ok(SealKey::derive(&bytes, &purpose))
            }
        }
    }
}

/// The line at the head, and its hash.
fn place(head: &[u8; 32], chunk: u64, last: bool) -> [Vec<u8>; 3] {
    [head.to_vec(), chunk.to_be_bytes().to_vec(), vec![u8::from(last)]]
}

/// Writes a container.
pub struct Sealer<W> {
    to: W,
    key: SealKey,
    head: [u8; 32],
    chunk: u64,
    waiting: Vec<u8>,
}

impl<W: Write> Sealer<W> {
    /// Begins a container: `about` is what its head says openly.
    ///
    /// # Errors
    /// [`Failure::No`] when the disk refuses.
    pub fn begin(mut to: W, lock: &Lock, mut about: Value) -> Result<Self, Failure> {
        let mut salt = [0_u8; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(|error| Failure::No(format!("no random numbers: {error}")))?;
        about["lock"] = json!(lock.word());
        about["salt"] = json!(hex::encode(salt));
        if matches!(lock, Lock::Passphrase(_)) {
            about["argon2id"] = json!({ "memory-kib": ARGON2.0, "passes": ARGON2.1 });
        }
        let head = format!("{HEAD}{about}\n");
        to.write_all(head.as_bytes()).map_err(Failure::no)?;
        let key = lock.key(&salt, ARGON2)?;
        Ok(Self { to, key, head: Sha256::digest(head).into(), chunk: 0, waiting: Vec::with_capacity(CHUNK_BYTES) })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// What the reader or the disk said.
    pub fn add(&mut self, name: &str, bytes: u64, mut from: impl Read) -> io::Result<()> {
        let length = u16::try_from(name.len()).map_err(io::Error::other)?;
        self.write_all(&length.to_be_bytes())?;
        self.write_all(name.as_bytes())?;
        self.write_all(&bytes.to_be_bytes())?;
        let copied = io::copy(&mut from.by_ref().take(bytes), self)?;
        if copied != bytes {
            return Err(io::Error::other(format!("{name} became shorter while it was read")));
        }
        Ok(())
    }

    /// Ends it; gives back what was written to.
    ///
    /// # Errors
    /// What the disk said.
    pub fn end(mut self) -> io::Result<W> {
        self.chunk(true)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn chunk(&mut self, last: bool) -> io::Result<()> {
        let [head, number, flag] = place(&self.head, self.chunk, last);
        let sealed = self
            .key
            .seal(&[&head, &number, &flag], &self.waiting)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let length = u32::try_from(sealed.len()).map_err(io::Error::other)?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&sealed)?;
        self.chunk += 1;
        self.waiting.clear();
        Ok(())
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.waiting.len();
        let taken = &bytes[..bytes.len().min(room)];
        self.waiting.extend_from_slice(taken);
        if self.waiting.len() == CHUNK_BYTES {
            self.chunk(false)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a container is not one, in words that follow its name.
fn spoiled(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// Reads a container.
pub struct Opener<R> {
    from: BufReader<R>,
    key: SealKey,
    head: [u8; 32],
    chunk: u64,
    open: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

/// What the head of a container says openly.
///
/// # Errors
/// What is wrong with it, in words that follow the file's name.
pub fn about(from: impl Read) -> io::Result<Value> {
    Ok(head(&mut BufReader::new(from))?.0)
}

fn head(from: &mut BufReader<impl Read>) -> io::Result<(Value, [u8; 32])> {
    let mut text = Vec::new();
    for _ in 0..2 {
        from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)?;
        if !text.starts_with(&HEAD.as_bytes()[..text.len().min(HEAD.len())]) || text.last() != Some(&b'\n') {
            return Err(spoiled("this is no Sekisho backup"));
        }
    }
    let about = text.get(HEAD.len()..).and_then(|line| serde_json::from_slice(line).ok());
    let about: Value = about.ok_or_else(|| spoiled("this is no Sekisho backup, or its head is damaged"))?;
    Ok((about, Sha256::digest(&text).into()))
}

impl<R: Read> Opener<R> {
    /// Opens a container; gives what its head says as well.
    ///
    /// # Errors
    /// [`Failure::No`], in words that follow the file's name.
    pub fn begin(from: R, lock: &Lock) -> Result<(Self, Value), Failure> {
        let mut from = BufReader::new(from);
        let no = |error: io::Error| Failure::No(error.to_string());
        let (about, head) = head(&mut from).map_err(no)?;
        if about["lock"] != lock.word() {
            let (wanted, given) = (about["lock"].as_str().unwrap_or("something unknown"), lock.word());
            return Err(Failure::No(format!("this backup is locked with a {wanted}, not with a {given}")));
        }
        let cost = |name: &str| about["argon2id"][name].as_u64().and_then(|cost| u32::try_from(cost).ok());
        let costs = (cost("memory-kib").unwrap_or(ARGON2.0), cost("passes").unwrap_or(ARGON2.1));
        let salt =
            about["salt"].as_str().and_then(|text| hex::decode(text).ok()).filter(|salt| salt.len() == SALT_BYTES);
        let (Some(salt), true) = (salt, costs.0 <= ARGON2_MAX.0 && costs.1 <= ARGON2_MAX.1) else {
            return Err(Failure::No("the head of this backup is damaged".into()));
        };
        let key = lock.key(&salt, costs)?;
        let mut opener = Self { from, key, head, chunk: 0, open: Zeroizing::new(Vec::new()), at: 0, ended: false };
        // The key is proven before anything else is said about the file.
        opener.next().map_err(no)?;
        Ok((opener, about))
    }

    fn next(&mut self) -> io::Result<()> {
        let mut length = [0_u8; 4];
        let cut = |_| spoiled("this backup is cut off");
        self.from.read_exact(&mut length).map_err(cut)?;
        let length = u32::from_be_bytes(length);
        if length > SEALED_BYTES_MAX {
            return Err(spoiled("this backup is damaged"));
        }
        let mut sealed = vec![0; length as usize];
        self.from.read_exact(&mut sealed).map_err(cut)?;
        let last = self.from.fill_buf()?.is_empty();
        let [head, number, flag] = place(&self.head, self.chunk, last);
        let opened = self.key.open(&[&head, &number, &flag], &sealed);
        self.open = opened.map_err(|_| {
            spoiled(if self.chunk == 0 {
                "this backup does not open: the key or passphrase is another one, or the file is damaged"
            } else {
                "this backup is damaged or cut off"
            })
        })?;
        (self.at, self.ended) = (0, last);
        self.chunk += 1;
        Ok(())
    }

    /// The next file's name and length, or `None` at the end. Its bytes are to be read next.
    ///
    /// # Errors
    /// What is wrong, in words that follow the file's name.
    pub fn entry(&mut self) -> io::Result<Option<(String, u64)>> {
        let mut length = [0_u8; 2];
        match self.read(&mut length[..1])? {
            0 => return Ok(None),
            _ => self.read_exact(&mut length[1..])?,
        }
        let mut name = vec![0; usize::from(u16::from_be_bytes(length))];
        self.read_exact(&mut name)?;
        let mut bytes = [0_u8; 8];
        self.read_exact(&mut bytes)?;
        let name = String::from_utf8(name).map_err(|_| spoiled("this backup is damaged"))?;
        Ok(Some((name, u64::from_be_bytes(bytes))))
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.open.len() {
            if self.ended {
                return Ok(0);
            }
            self.next()?;
        }
        let count = into.len().min(self.open.len() - self.at);
        into[..count].copy_from_slice(&self.open[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
#[path = "container_tests.rs"]
mod tests;
