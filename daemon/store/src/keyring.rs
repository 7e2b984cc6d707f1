//! The key ring: one random key a person, in a file of its own beside the database, so that destroying a key destroys
//! whatever was sealed with it.
//!
//! `people.keys` holds a line that names the format and one sealed copy of the ring, or two while the database's key is being
//! changed: whichever of the two keys opens the database opens the file. The ring is small, is never in the database, in its
//! log or in a backup of the database alone, and is always written whole:
//!
//! ```text
//! lock -> read -> edit -> draft, synced -> old file linked to people.keys.old -> draft renamed over it -> directory synced
//!                                                 \-> people.keys.old overwritten with zeros, synced, removed
//! ```
//!
//! A crash leaves the ring before or the ring after, and what it leaves beside them is overwritten by the next edit. What
//! overwriting cannot reach: old blocks that a flash disk or a file system with snapshots keeps for itself. They hold the
//! ring sealed under a key that is derived from the database's, so they are worth something only together with that key.
//!
//! An *epoch* is one generation of all keys together with the secret rotation of templates. A renewal begins a new epoch,
//! seals everything anew, and then forgets the older one.

use crate::error::StoreError;
use crate::key::DbKey;
use crate::own_file::open_own;
use crate::seal::SealKey;
use rustix::fs::FlockOperation;
use sekisho_logic::rotation::{Rotation, SEED_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// First line of the file.
const HEAD: &[u8] = b"sekisho people's keys 1\n";
/// What the copies are sealed as.
const PLACE: [&[u8]; 1] = [b"people.keys"];
/// A hundred thousand people come to ten megabytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
const KEY_BYTES: usize = 32;

/// Rotations that were made already, by epoch and dimension.
type Rotations = HashMap<(u32, usize), Arc<Rotation>>;

/// Everybody's keys as they were when the file was read.
#[derive(Clone, Default)]
pub(crate) struct Ring {
    /// Goes up with every edit.
    generation: u64,
    /// The secret of the rotation, by epoch.
    seeds: BTreeMap<u32, Zeroizing<[u8; SEED_BYTES]>>,
    people: BTreeMap<String, BTreeMap<u32, Arc<SealKey>>>,
    /// Made when first needed; shared by rings of the same secrets.
    rotations: Arc<Mutex<Rotations>>,
}

impl Ring {
    /// A ring without people, in its first epoch.
    fn first() -> Result<Self, getrandom::Error> {
        let mut ring = Self::default();
        ring.begin_epoch()?;
        Ok(ring)
    }

    /// The epoch new values are sealed in.
    pub(crate) fn epoch(&self) -> u32 {
        self.seeds.keys().next_back().copied().unwrap_or(0)
    }

    /// Whether a renewal is under way.
    pub(crate) fn renewing(&self) -> bool {
        self.seeds.len() > 1
    }

    /// A person's key of an epoch.
    pub(crate) fn key(&self, person: &str, epoch: u32) -> Option<&Arc<SealKey>> {
        self.people.get(person)?.get(&epoch)
    }

    /// Whether there is any key of the person.
    pub(crate) fn knows(&self, person: &str) -> bool {
        self.people.contains_key(person)
    }

    /// Everybody there is a key of.
    pub(crate) fn people(&self) -> impl Iterator<Item = &str> {
        self.people.keys().map(String::as_str)
    }

    /// The rotation of an epoch for vectors of this length.
    pub(crate) fn rotation(&self, epoch: u32, dim: usize) -> Option<Arc<Rotation>> {
        let seed = self.seeds.get(&epoch)?;
        let mut made = self.rotations.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(made.entry((epoch, dim)).or_insert_with(|| Arc::new(Rotation::of_seed(seed, dim)))))
    }

    /// Gives the person a key of the newest epoch, if there is none.
    pub(crate) fn add(&mut self, person: &str) -> Result<(), getrandom::Error> {
        let epoch = self.epoch();
        let keys = self.people.entry(person.to_owned()).or_default();
        if let std::collections::btree_map::Entry::Vacant(place) = keys.entry(epoch) {
            place.insert(Arc::new(SealKey::random()?));
        }
        Ok(())
    }

    /// Forgets every key of the person. False when there was none.
    pub(crate) fn forget(&mut self, person: &str) -> bool {
        self.people.remove(person).is_some()
    }

    /// Begins a new epoch, with a key for everybody there is one of.
    pub(crate) fn begin_epoch(&mut self) -> Result<u32, getrandom::Error> {
        let epoch = self.epoch().saturating_add(1);
        let mut seed = Zeroizing::new([0; SEED_BYTES]);
        getrandom::fill(seed.as_mut_slice())?;
        self.seeds.insert(epoch, seed);
        for keys in self.people.values_mut() {
            keys.insert(epoch, Arc::new(SealKey::random()?));
        }
        Ok(epoch)
    }

    /// Forgets every epoch but the newest.
    pub(crate) fn end_older_epochs(&mut self) {
        let epoch = self.epoch();
        self.seeds.retain(|of, _| *of == epoch);
        self.people.values_mut().for_each(|keys| keys.retain(|of, _| *of == epoch));
        self.people.retain(|_, keys| !keys.is_empty());
        self.rotations = Arc::default();
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved up front: a growing vector would leave copies of keys behind in freed memory.
        let room: usize =
            self.people.iter().map(|(name, keys)| 1 + name.len() + 4 + keys.len() * (4 + KEY_BYTES)).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(16 + self.seeds.len() * (4 + SEED_BYTES) + room));
        out.extend(self.generation.to_le_bytes());
        out.extend(count(self.seeds.len()));
        for (epoch, seed) in &self.seeds {
            out.extend(epoch.to_le_bytes());
            out.extend(seed.as_slice());
        }
        out.extend(count(self.people.len()));
        for (name, keys) in &self.people {
            // An id has at most 64 bytes.
            out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            out.extend(name.as_bytes());
            out.extend(count(keys.len()));
            for (epoch, key) in keys {
                out.extend(epoch.to_le_bytes());
                out.extend(key.bytes().as_slice());
            }
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut ring = Self { generation: u64::from_le_bytes(take(&mut rest)?), ..Self::default() };
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let epoch = u32::from_le_bytes(take(&mut rest)?);
            ring.seeds.insert(epoch, Zeroizing::new(take(&mut rest)?));
        }
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let [length] = take(&mut rest)?;
            let (name, after) = rest.split_at_checked(usize::from(length))?;
            rest = after;
            let mut keys = BTreeMap::new();
            for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
                let epoch = u32::from_le_bytes(take(&mut rest)?);
                keys.insert(epoch, Arc::new(SealKey::from_bytes(Zeroizing::new(take(&mut rest)?))));
            }
            ring.people.insert(std::str::from_utf8(name).ok()?.to_owned(), keys);
        }
        (rest.is_empty() && !ring.seeds.is_empty()).then_some(ring)
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ring({} people, epoch {})", self.people.len(), self.epoch())
    }
}

fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

/// What the file looked like when it was read; another look means that somebody edited it.
type Stamp = (u64, i64, i64, u64);

/// The file of keys, and what was read of it last.
pub(crate) struct Keyring {
    path: PathBuf,
    /// What the file is sealed with; derived from the database's key.
    seal: SealKey,
    read: Option<(Stamp, Arc<Ring>)>,
}

/// Held while the ring is edited, and while something is written that rests on a key being there.
pub(crate) struct RingLock {
    _file: File,
}

/// What was found instead of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfAbsent {
    /// Nothing is sealed yet: make one.
    Make,
    /// Something is: it was lost, and a new one could not open anything.
    Refuse,
}

impl Keyring {
    /// The ring beside `database`. Opens nothing yet.
    pub(crate) fn beside(database: &Path, key: Option<&DbKey>) -> Self {
        Self { path: database.with_file_name("people.keys"), seal: seal_of(key), read: None }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The ring as it is in the file now; `None` when there is no file.
    pub(crate) fn ring(&mut self) -> Result<Option<Arc<Ring>>, StoreError> {
        let stamp = match fs::metadata(&self.path) {
            Ok(about) => (about.ino(), about.mtime(), about.mtime_nsec(), about.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(&self.path, "inspecting people's keys", error)),
        };
        if let Some((_, ring)) = self.read.as_ref().filter(|(read, _)| *read == stamp) {
            return Ok(Some(Arc::clone(ring)));
        }
        let mut ring = self.decoded()?;
        if let Some((_, before)) = &self.read
            && before.seeds == ring.seeds
        {
            ring.rotations = Arc::clone(&before.rotations);
        }
        let ring = Arc::new(ring);
        self.read = Some((stamp, Arc::clone(&ring)));
        Ok(Some(ring))
    }

    /// Waits for its turn to edit.
    pub(crate) fn lock(&self) -> Result<RingLock, StoreError> {
        let path = self.path.with_file_name("people.keys.lock");
        let fail = |error: io::Error| StoreError::io(&path, "locking people's keys", error);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = open_own(&path, &mut options).map_err(fail)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(|error| fail(error.into()))?;
        Ok(RingLock { _file: file })
    }

    /// Edits the ring: reads it as it is now, and writes it whole if `edit` says that it changed. Gives the ring after.
    pub(crate) fn edit(
        &mut self,
        _lock: &RingLock,
        if_absent: IfAbsent,
        edit: impl FnOnce(&mut Ring) -> Result<bool, getrandom::Error>,
    ) -> Result<Arc<Ring>, StoreError> {
        let random = |path: &Path, error: getrandom::Error| {
            StoreError::io(path, "drawing a key", io::Error::other(error.to_string()))
        };
        self.wipe_leftovers()?;
        let (mut ring, new) = match (self.ring()?, if_absent) {
            (Some(ring), _) => (Ring::clone(&ring), false),
            (None, IfAbsent::Make) => (Ring::first().map_err(|error| random(&self.path, error))?, true),
            (None, IfAbsent::Refuse) => return Err(lost(&self.path, "is missing")),
        };
        if edit(&mut ring).map_err(|error| random(&self.path, error))? || new {
            ring.generation = ring.generation.saturating_add(1);
            self.write(&ring, &[&self.seal])?;
            self.read = None;
        }
        self.ring()?.ok_or_else(|| lost(&self.path, "is missing"))
    }

    /// Makes the file open with both the present and the `next` database key.
    pub(crate) fn open_to_next(&mut self, _lock: &RingLock, next: &DbKey) -> Result<(), StoreError> {
        let Some(ring) = self.ring()? else { return Ok(()) };
        self.read = None;
        self.write(&ring, &[&self.seal, &seal_of(Some(next))])
    }

    /// From now on the file is sealed with what `key` gives. Drops the copy for any other key.
    pub(crate) fn close_to_others(&mut self, _lock: &RingLock, key: &DbKey) -> Result<(), StoreError> {
        self.seal = seal_of(Some(key));
        self.read = None;
        let Some(ring) = self.ring()? else { return Ok(()) };
        self.write(&ring, &[&self.seal])
    }

    /// Overwrites what a crash in an earlier edit left beside the file.
    pub(crate) fn wipe_leftovers(&self) -> Result<(), StoreError> {
        for ending in ["old", "draft"] {
            wipe(&self.beside_it(ending)).map_err(|error| StoreError::io(&self.path, "overwriting old keys", error))?;
        }
        Ok(())
    }

    fn beside_it(&self, ending: &str) -> PathBuf {
        self.path.with_file_name(format!("people.keys.{ending}"))
    }

    fn decoded(&self) -> Result<Ring, StoreError> {
        let damaged = |what| lost(&self.path, what);
        let fail = |error| StoreError::io(&self.path, "reading people's keys", error);
        let file = open_own(&self.path, OpenOptions::new().read(true)).map_err(fail)?;
        let about = file.metadata().map_err(fail)?;
        if about.mode() & 0o077 != 0 {
            return Err(StoreError::Keyring {
                path: self.path.clone(),
                detail: format!("can be read by others (mode {:04o}); run `chmod 600` on it", about.mode() & 0o7777),
            });
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
        let mut rest = bytes.strip_prefix(HEAD).ok_or_else(|| damaged("is damaged"))?;
        while !rest.is_empty() {
            let length = take(&mut rest).map(u32::from_le_bytes).and_then(|length| usize::try_from(length).ok());
            let copy = length.and_then(|length| rest.split_at_checked(length));
            let (copy, after) = copy.ok_or_else(|| damaged("is cut short"))?;
            rest = after;
            if let Ok(plain) = self.seal.open(&PLACE, copy) {
                return Ring::decode(&plain).ok_or_else(|| damaged("is damaged"));
            }
        }
        Err(damaged("does not open with the database's key: it is damaged, or belongs to another installation"))
    }

    fn write(&self, ring: &Ring, seals: &[&SealKey]) -> Result<(), StoreError> {
        let fail = |error| StoreError::io(&self.path, "writing people's keys", error);
        let plain = ring.encode();
        let mut bytes = HEAD.to_vec();
        for seal in seals {
            let sealed = seal.seal(&PLACE, &plain).map_err(|error| fail(io::Error::other(error.to_string())))?;
            bytes.extend(count(sealed.len()));
            bytes.extend(sealed);
        }
        let (draft, old) = (self.beside_it("draft"), self.beside_it("old"));
        let replace = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            // Kept under a second name, so that what is replaced can still be reached, also after a crash.
            match fs::hard_link(&self.path, &old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            fs::rename(&draft, &self.path)?;
            File::open(self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
                .sync_all()?;
            wipe(&old)
        };
        replace().map_err(fail)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", self.path.display())
    }
}

fn seal_of(key: Option<&DbKey>) -> SealKey {
    // Only a test's plain database has no key.
    key.map_or_else(
        || SealKey::derive(&[0; KEY_BYTES], "people.keys"),
        |key| SealKey::derive(key.bytes(), "people.keys"),
    )
}

pub(crate) fn lost(path: &Path, what: &str) -> StoreError {
    StoreError::Keyring {
        path: path.into(),
        detail: format!("{what}; restore it from the backup that fits the database"),
    }
}

/// Overwrites a file with zeros, has that on the disk, and removes it. Nothing where there is none. One that has another name
/// as well only loses this name: a crash between the two steps of a replacement leaves the file in use with two.
pub(crate) fn wipe(path: &Path) -> io::Result<()> {
    let mut file = match open_own(path, OpenOptions::new().write(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if about.nlink() > 1 {
        return fs::remove_file(path);
    }
    let mut left = about.len();
    let zeros = [0; 4096];
    while left > 0 {
        let step = usize::try_from(left).unwrap_or(zeros.len()).min(zeros.len());
        file.write_all(&zeros[..step])?;
        left -= step as u64;
    }
    file.sync_all()?;
    fs::remove_file(path)
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
