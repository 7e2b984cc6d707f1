//! What is sealed with a person's key: photographs, templates and pictures of alerts, each for its own place.
//!
//! The column `sealing` is the epoch of the key, and of the rotation a template was turned by; 0 marks a value of an earlier
//! version of this program, which is plain until [`Store::seal_rest`] has been at it.

use crate::error::{Fault, StoreError};
use crate::evidence::png_size;
use crate::keyring::{IfAbsent, Ring, RingLock};
use crate::open::Store;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use sekisho_logic::embedding::Embedding;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a value is and whose.
pub(crate) enum Place<'a> {
    /// A photograph given at enrolment.
    Photo { person: &'a str, sha256: &'a str },
    /// A template.
    Template {
        person: &'a str,
        kind: &'a str,
        size_bin_px: Option<i64>,
        model_digest: &'a str,
        preprocessing: &'a str,
        /// Of the photograph; empty for a prototype.
        sha256: &'a str,
    },
    /// A picture of an alert.
    Picture { person: &'a str, alert: &'a str, taken_ms: i64 },
}

impl Place<'_> {
    const fn person(&self) -> &str {
        match self {
            Self::Photo { person, .. } | Self::Template { person, .. } | Self::Picture { person, .. } => person,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&[&[u8]]) -> T) -> T {
        match self {
            Self::Photo { person, sha256 } => work(&[b"photo", person.as_bytes(), sha256.as_bytes()]),
            Self::Template { person, kind, size_bin_px, model_digest, preprocessing, sha256 } => work(&[
                b"template",
                person.as_bytes(),
                kind.as_bytes(),
                &size_bin_px.unwrap_or(0).to_be_bytes(),
                model_digest.as_bytes(),
                preprocessing.as_bytes(),
                sha256.as_bytes(),
            ]),
            Self::Picture { person, alert, taken_ms } => {
                work(&[b"picture", person.as_bytes(), alert.as_bytes(), &taken_ms.to_be_bytes()])
            }
        }
    }
}

/// Seals `plain` with the newest key of the place's person.
pub(crate) fn seal(ring: &Ring, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, Fault> {
    let key = ring.key(place.person(), ring.epoch()).ok_or_else(|| no_key(Path::new("people.keys"), place.person()))?;
    let sealed = place.with(|place| key.seal(place, plain));
    sealed.map_err(|error| StoreError::refused(format!("no random bytes for sealing: {error}")).into())
}

/// Seals a template, turned by the newest rotation.
pub(crate) fn seal_template(ring: &Ring, place: &Place<'_>, embedding: &Embedding) -> Result<Vec<u8>, Fault> {
    let components = embedding.as_slice();
    let rotation = ring
        .rotation(ring.epoch(), components.len())
        .ok_or_else(|| no_key(Path::new("people.keys"), place.person()))?;
    let turned = Zeroizing::new(rotation.turn(components));
    seal(ring, place, &Zeroizing::new(turned.iter().flat_map(|component| component.to_le_bytes()).collect::<Vec<_>>()))
}

/// The plain value; `None` when its key is not there or it is damaged.
pub(crate) fn open(ring: &Ring, place: &Place<'_>, sealing: i64, value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if sealing == 0 {
        return Some(Zeroizing::new(value.to_vec()));
    }
    let key = ring.key(place.person(), u32::try_from(sealing).ok()?)?;
    place.with(|place| key.open(place, value).ok())
}

/// The template as the network made it; `None` when its key is not there or it is not what it claims to be.
pub(crate) fn open_template(ring: &Ring, place: &Place<'_>, sealing: i64, dim: i64, value: &[u8]) -> Option<Embedding> {
    let plain = open(ring, place, sealing, value)?;
    let (components, rest) = plain.as_chunks::<4>();
    if !rest.is_empty() || i64::try_from(components.len()).ok()? != dim {
        return None;
    }
    let values = Zeroizing::new(components.iter().map(|at| f32::from_le_bytes(*at)).collect::<Vec<_>>());
    if sealing == 0 {
        return Embedding::try_new(&values).ok();
    }
    let rotation = ring.rotation(u32::try_from(sealing).ok()?, values.len())?;
    Embedding::try_new(&Zeroizing::new(rotation.back(&values))).ok()
}

/// What is said when somebody's key is not in the file.
pub(crate) fn no_key(path: &Path, person: &str) -> StoreError {
    StoreError::Keyring {
        path: path.into(),
        detail: format!(
            "holds no key that opens what is stored of {person}; restore it from the backup that fits the database, or \
             erase {person} and enrol again"
        ),
    }
}

/// How far sealing has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Values sealed anew by this call.
    pub sealed: u64,
    /// Values that were passed over because their key is not there or they are damaged.
    pub unreadable: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl Store {
    /// Where everybody's keys are: a file of its own beside the database. A backup needs both.
    #[must_use]
    pub fn keyring_path(&self) -> &Path {
        self.keyring.path()
    }

    /// Everybody's keys now; none when there is no file.
    pub(crate) fn ring(&mut self) -> Result<Arc<Ring>, StoreError> {
        Ok(self.keyring.ring()?.unwrap_or_default())
    }

    /// The same for whoever must go on without them: what is sealed is unreadable then.
    pub(crate) fn ring_if_readable(&mut self) -> Arc<Ring> {
        self.ring().unwrap_or_else(|error| {
            tracing::error!("{error}; nobody whose templates are sealed can be matched");
            Arc::default()
        })
    }

    /// Sees to it that the person has a key, and keeps others from editing the ring until the lock is let go: a key without
    /// a row is collected.
    pub(crate) fn key_for(&mut self, person: &str) -> Result<(RingLock, Arc<Ring>), StoreError> {
        let sealed = self.read(|connection| any_sealed(connection, None))?;
        let theirs = sealed && self.read(|connection| any_sealed(connection, Some(person)))?;
        let lock = self.keyring.lock()?;
        let if_absent = if sealed { IfAbsent::Refuse } else { IfAbsent::Make };
        let ring = self.keyring.edit(&lock, if_absent, |ring| {
            let new = !ring.knows(person) && !theirs;
            if new {
                ring.add(person)?;
            }
            Ok(new)
        })?;
        if ring.key(person, ring.epoch()).is_none() {
            return Err(no_key(self.keyring.path(), person));
        }
        Ok((lock, ring))
    }

    /// Seals with the present keys what is plain or sealed with older ones, at most `limit` values, and forgets the older keys
    /// once nothing is left. To be called until there is no more; afterwards the old bytes are overwritten.
    ///
    /// # Errors
    /// [`StoreError::Keyring`] when the keys are missing or damaged; otherwise the state of the disk.
    pub fn seal_rest(&mut self, limit: u32) -> Result<Sealing, StoreError> {
        let lock = self.keyring.lock()?;
        let Some(ring) = self.keys_for_all(&lock)? else { return Ok(Sealing::default()) };
        let keys = Arc::clone(&ring);
        let done = self.write(move |transaction| {
            let mut done = Sealing::default();
            for table in [photos_anew, templates_anew, pictures_anew] {
                table(transaction, &keys, limit, &mut done)?;
            }
            Ok(done)
        })?;
        if !done.more && ring.renewing() {
            // Their rows are scrubbed first: until then the older keys may still be needed to go on after a crash.
            self.scrub(&"values sealed anew");
            self.keyring.edit(&lock, IfAbsent::Refuse, |ring| {
                ring.end_older_epochs();
                Ok(true)
            })?;
        } else if !done.more && done.sealed > 0 {
            self.scrub(&"values sealed anew");
        }
        Ok(done)
    }

    /// Begins a renewal: new keys for everybody and a new rotation. [`seal_rest`](Self::seal_rest) does the work.
    ///
    /// # Errors
    /// As [`seal_rest`](Self::seal_rest).
    pub fn renew_keys(&mut self) -> Result<(), StoreError> {
        let lock = self.keyring.lock()?;
        if self.keys_for_all(&lock)?.is_none() {
            return Ok(());
        }
        // One that was begun and not ended is gone on with.
        let begin = |ring: &mut Ring| if ring.renewing() { Ok(false) } else { ring.begin_epoch().map(|_| true) };
        self.keyring.edit(&lock, IfAbsent::Refuse, begin).map(drop)
    }

    /// Forgets keys of nobody: of enrolments that were cut off between key and row. Gives how many.
    ///
    /// # Errors
    /// As [`seal_rest`](Self::seal_rest).
    pub fn collect_keys(&mut self) -> Result<usize, StoreError> {
        let lock = self.keyring.lock()?;
        let Some(ring) = self.keyring.ring()? else { return Ok(0) };
        let known: BTreeSet<String> = self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT id FROM people")?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })?;
        let unused: Vec<String> = ring.people().filter(|name| !known.contains(*name)).map(str::to_owned).collect();
        if !unused.is_empty() {
            self.keyring
                .edit(&lock, IfAbsent::Refuse, |ring| Ok(unused.iter().filter(|name| ring.forget(name)).count() > 0))?;
        }
        Ok(unused.len())
    }

    /// The ring with a key for everybody whose values are plain; `None` while there is neither a ring nor anything to seal.
    fn keys_for_all(&mut self, lock: &RingLock) -> Result<Option<Arc<Ring>>, StoreError> {
        let sealed = self.read(|connection| any_sealed(connection, None))?;
        let plain: Vec<String> = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM people p WHERE EXISTS (SELECT 1 FROM photos WHERE person = p.id AND sealing = 0)
                    OR EXISTS (SELECT 1 FROM templates WHERE person = p.id AND sealing = 0)
                    OR EXISTS (SELECT 1 FROM evidence e JOIN alerts a ON a.id = e.alert
                               WHERE a.person = p.id AND e.sealing = 0)",
            )?;
            Ok(statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })?;
        let orphans = self.read(|connection| {
            Ok(connection.prepare_cached("SELECT 1 FROM evidence WHERE sealing = 0 LIMIT 1")?.exists([])?)
        })?;
        if !sealed && plain.is_empty() && !orphans && self.keyring.ring()?.is_none() {
            return Ok(None);
        }
        let if_absent = if sealed { IfAbsent::Refuse } else { IfAbsent::Make };
        let ring = self.keyring.edit(lock, if_absent, |ring| {
            let new: Vec<&String> = plain.iter().filter(|person| !ring.knows(person)).collect();
            new.iter().try_for_each(|person| ring.add(person))?;
            Ok(!new.is_empty())
        })?;
        Ok(Some(ring))
    }
}

/// Whether anything is sealed, of anybody or of one person.
fn any_sealed(connection: &Connection, person: Option<&str>) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT 1 FROM photos WHERE sealing > 0 AND (?1 IS NULL OR person = ?1))
                   OR EXISTS (SELECT 1 FROM templates WHERE sealing > 0 AND (?1 IS NULL OR person = ?1))
                   OR EXISTS (SELECT 1 FROM evidence WHERE sealing > 0 AND (?1 IS NULL OR person = ?1))";
    Ok(connection.prepare_cached(sql)?.query_row([person], |row| row.get(0))?)
}

type Anew = fn(&Transaction<'_>, &Ring, u32, &mut Sealing) -> Result<(), Fault>;
const _: [Anew; 3] = [photos_anew, templates_anew, pictures_anew];

/// Goes through a table's stale rows until the limit is reached. `one` says whether the row could be sealed.
fn each_stale(
    transaction: &Transaction<'_>,
    table: &str,
    (ring, limit): (&Ring, u32),
    done: &mut Sealing,
    mut one: impl FnMut(i64) -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let sql = format!("SELECT id FROM {table} WHERE sealing < ?1 ORDER BY id");
    let ids: Vec<i64> =
        transaction.prepare_cached(&sql)?.query_map([ring.epoch()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for id in ids {
        if done.sealed >= u64::from(limit) {
            done.more = true;
            return Ok(());
        }
        let sealed = one(id)?;
        done.sealed += u64::from(sealed);
        done.unreadable += u64::from(!sealed);
    }
    Ok(())
}

fn photos_anew(transaction: &Transaction<'_>, ring: &Ring, limit: u32, done: &mut Sealing) -> Result<(), Fault> {
    each_stale(transaction, "photos", (ring, limit), done, |id| {
        let (person, sha256, sealing, bytes): (String, String, i64, Vec<u8>) = transaction
            .prepare_cached("SELECT person, sha256, sealing, bytes FROM photos WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let place = Place::Photo { person: &person, sha256: &sha256 };
        let Some(plain) = open(ring, &place, sealing, &bytes).filter(|_| ring.key(&person, ring.epoch()).is_some())
        else {
            return Ok(false);
        };
        let sealed = seal(ring, &place, &plain)?;
        transaction.prepare_cached("UPDATE photos SET bytes = ?2, sealing = ?3 WHERE id = ?1")?.execute(params![
            id,
            sealed,
            ring.epoch()
        ])?;
        Ok(true)
    })
}

fn templates_anew(transaction: &Transaction<'_>, ring: &Ring, limit: u32, done: &mut Sealing) -> Result<(), Fault> {
    each_stale(transaction, "templates", (ring, limit), done, |id| {
        let mut statement = transaction.prepare_cached(
            "SELECT t.person, t.kind, t.size_bin_px, t.model_digest, t.preprocessing, coalesce(f.sha256, ''), t.sealing,
                    t.dim, t.vector
             FROM templates t LEFT JOIN photos f ON f.id = t.photo WHERE t.id = ?1",
        )?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        let text = |at: usize| row.get::<_, String>(at);
        let (person, kind, model_digest, preprocessing, sha256) = (text(0)?, text(1)?, text(3)?, text(4)?, text(5)?);
        let place = Place::Template {
            person: &person,
            kind: &kind,
            size_bin_px: row.get(2)?,
            model_digest: &model_digest,
            preprocessing: &preprocessing,
            sha256: &sha256,
        };
        let vector = row.get_ref(8)?.as_blob().unwrap_or_default();
        let plain = open_template(ring, &place, row.get(6)?, row.get(7)?, vector);
        let Some(plain) = plain.filter(|_| ring.key(&person, ring.epoch()).is_some()) else { return Ok(false) };
        let sealed = seal_template(ring, &place, &plain)?;
        transaction
            .prepare_cached("UPDATE templates SET vector = ?2, sealing = ?3 WHERE id = ?1")?
            .execute(params![id, sealed, ring.epoch()])?;
        Ok(true)
    })
}

/// A picture from before this version has no person; it is its alert's. One whose person is not enrolled is erased.
fn pictures_anew(transaction: &Transaction<'_>, ring: &Ring, limit: u32, done: &mut Sealing) -> Result<(), Fault> {
    each_stale(transaction, "evidence", (ring, limit), done, |id| {
        let (alert, taken_ms, sealing, bytes): (String, i64, i64, Vec<u8>) = transaction
            .prepare_cached("SELECT alert, taken_ms, sealing, picture FROM evidence WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        let person: Option<String> = transaction
            .prepare_cached(
                "SELECT p.id FROM evidence e LEFT JOIN alerts a ON a.id = e.alert
                 JOIN people p ON p.id = coalesce(e.person, a.person) WHERE e.id = ?1",
            )?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let size = |plain: &[u8]| png_size(plain);
        let Some(person) = person else {
            transaction.prepare_cached("DELETE FROM evidence WHERE id = ?1")?.execute([id])?;
            return Ok(true);
        };
        let place = Place::Picture { person: &person, alert: &alert, taken_ms };
        let plain = open(ring, &place, sealing, &bytes).filter(|_| ring.key(&person, ring.epoch()).is_some());
        let Some((plain, (width, height))) = plain.and_then(|plain| Some((size(&plain)?, plain))).map(|(s, p)| (p, s))
        else {
            return Ok(false);
        };
        let sealed = seal(ring, &place, &plain)?;
        transaction
            .prepare_cached(
                "UPDATE evidence SET picture = ?2, sealing = ?3, person = ?4, width = ?5, height = ?6 WHERE id = ?1",
            )?
            .execute(params![id, sealed, ring.epoch(), person, width, height])?;
        Ok(true)
    })
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
