//! What the people who review an alert are shown: pictures of its track, the enrolled photographs, and what was rejected
//! before.
//!
//! ```text
//! keep_evidence (short expiry) -> settle_evidence (expiry by the alert's stage) -> forget_evidence (rows, then their bytes)
//! ```
//!
//! A picture lives and goes with its alert: it is longer kept when people confirmed the alert, and erased with the person.

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::open::{Store, count_at};
use crate::sealed::{self, Place, no_key};
use rusqlite::{Connection, Transaction, named_params, params};
use sekisho_logic::id::{CameraId, PersonId};
use sekisho_logic::record::AlertId;
use sekisho_logic::time::WallMs;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

/// Pictures of people under a hold stay, whatever their time and however full the disk is.
const NOT_HELD: &str = "alert NOT IN (SELECT id FROM alerts WHERE person IN (SELECT person FROM holds))";
/// A patch is at most 240x240 pixels of three bytes, and PNG adds next to nothing where nothing can be saved.
const PICTURE_BYTES_MAX: usize = 256 * 1024;
/// A handful of numbers.
const QUALITY_BYTES_MAX: usize = 1000;
/// Bytes of a PNG file that are needed to know its size.
const PNG_HEAD_BYTES: usize = 24;

/// A picture to be kept with an alert.
#[derive(Clone)]
pub struct NewEvidence {
    /// Which alert. It may not be in the journal yet.
    pub alert: AlertId,
    /// Whose face it is thought to be: the picture is sealed with that person's key.
    pub person: PersonId,
    /// When the frame was taken.
    pub taken: WallMs,
    /// Distance between the eyes, in pixels of the camera's picture.
    pub inter_eye_px: f32,
    /// What else was measured of the face, as a JSON object.
    pub quality: String,
    /// The picture, a PNG file.
    pub png: Vec<u8>,
}

impl std::fmt::Debug for NewEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewEvidence({} at {}, {} bytes)", self.alert, self.taken.0, self.png.len())
    }
}

/// A kept picture, without its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct EvidenceRow {
    /// Its number, for [`Store::evidence_picture`]; never used twice.
    pub id: i64,
    /// When the frame was taken.
    pub taken: WallMs,
    /// Distance between the eyes, in pixels of the camera's picture.
    pub inter_eye_px: f32,
    /// What else was measured of the face, as a JSON object.
    pub quality: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// How long pictures are kept, in milliseconds, by what became of their alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceKeep {
    /// Neither confirmed nor rejected by people: from when the picture was written, and from when the time to vote was up.
    pub unconfirmed_ms: i64,
    /// Rejected: from then.
    pub rejected_ms: i64,
    /// Confirmed by people, not by policy alone: from then.
    pub confirmed_ms: i64,
    /// At most so long after it was written, for the cameras named here.
    pub at_most_ms: Vec<(CameraId, i64)>,
}

impl EvidenceKeep {
    /// The caps as SQLite reads them: an object of milliseconds by camera.
    fn caps(&self) -> String {
        let caps = self.at_most_ms.iter().map(|(camera, ms)| (camera.to_string(), json!(ms)));
        serde_json::Value::Object(caps.collect()).to_string()
    }
}

/// Pictures there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EvidenceStock {
    /// All of them.
    pub pictures: u64,
    /// Of which have expired and are still there.
    pub due: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// An enrolment photograph, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhotoRow {
    /// Its number, for [`Store::photo_bytes`]; never used twice.
    pub id: i64,
    /// Where the face is: left, top, width, height in pixels of the upright photograph. `None` until it was looked at again.
    pub face: Option<[u32; 4]>,
    /// When it was added.
    pub added: WallMs,
}

/// An alert of the same person that people turned down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierRejection {
    /// Which alert.
    pub alert: AlertId,
    /// Where.
    pub camera: CameraId,
    /// When it was rejected.
    pub at: WallMs,
    /// Why, as far as those who rejected it said so; in the order of their votes.
    pub reasons: Vec<String>,
}

impl Store {
    /// Keeps pictures until `expires`, at most `most` an alert: the ones with the largest inter-eye distance stay. A picture
    /// of an alert and moment that is there already is not written again, and none of somebody who is not enrolled or was erased
    /// after it was taken. Gives how many of the new ones are there now.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when one is no PNG or too large, and then none is written; or the state of the disk.
    pub fn keep_evidence(
        &mut self,
        new: &[NewEvidence],
        now: WallMs,
        expires: WallMs,
        most: u32,
    ) -> Result<usize, StoreError> {
        new.iter().try_for_each(check)?;
        let people: BTreeSet<&PersonId> = new.iter().map(|one| &one.person).collect();
        for person in people {
            if self.person(person)?.is_some() && self.ring()?.key(person.as_str(), self.ring()?.epoch()).is_none() {
                self.key_for(person.as_str())?;
            }
        }
        let ring = self.ring()?;
        self.write(|transaction| {
            let mut written = Vec::with_capacity(new.len());
            for one in new {
                let person = one.person.as_str();
                if !may_be_kept(transaction, one)? {
                    continue;
                }
                let place = Place::Picture { person, alert: &one.alert.0, taken_ms: one.taken.0 };
                let (width, height) = png_size(&one.png).unwrap_or_default();
                let inserted = transaction
                    .prepare_cached(
                        "INSERT INTO evidence (alert, taken_ms, inter_eye_px, quality, written_ms, expires_ms, picture,
                                               sealing, person, width, height)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                         ON CONFLICT (alert, taken_ms) DO NOTHING",
                    )?
                    .execute(params![
                        one.alert.0,
                        one.taken.0,
                        f64::from(one.inter_eye_px),
                        one.quality,
                        now.0,
                        expires.0,
                        sealed::seal(&ring, &place, &one.png)?,
                        ring.epoch(),
                        person,
                        width,
                        height,
                    ])?;
                if inserted == 1 {
                    written.push((transaction.last_insert_rowid(), one));
                    keep_largest(transaction, &one.alert, most)?;
                }
            }
            let mut kept = 0;
            for (id, one) in written {
                if transaction.prepare_cached("SELECT 1 FROM evidence WHERE id = ?1")?.exists([id])? {
                    kept += 1;
                    // Which input led to the alert, told by its hash long after the picture itself is gone.
                    let detail = json!({ "picture": id, "sha256": hex::encode(Sha256::digest(&one.png)), "taken-ms": one.taken.0 });
                    let subject = Some(one.alert.0.as_str());
                    let entry = Entry { wall: now, actor: "daemon", action: "evidence-kept", subject, detail };
                    audit::record(transaction, &entry)?;
                }
            }
            Ok(kept)
        })
    }

    /// The pictures of an alert, in the order they were taken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evidence(&mut self, alert: &AlertId) -> Result<Vec<EvidenceRow>, StoreError> {
        let path = self.path().to_path_buf();
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, taken_ms, inter_eye_px, quality, width, height,
                        CASE WHEN sealing = 0 THEN substr(picture, 1, 24) END FROM evidence
                 WHERE alert = ?1 ORDER BY taken_ms",
            )?;
            let mut rows = statement.query([&alert.0])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let noted = row.get::<_, Option<u32>>(4)?.zip(row.get::<_, Option<u32>>(5)?);
                let head = row.get::<_, Option<Vec<u8>>>(6)?;
                let size = noted.or_else(|| head.as_deref().and_then(png_size));
                let (width, height) = size.ok_or_else(|| StoreError::Corrupt {
                    path: path.clone(),
                    detail: format!("a picture of alert {alert} is no PNG"),
                })?;
                #[expect(clippy::cast_possible_truncation, reason = "written from an f32")]
                let inter_eye_px = row.get::<_, f64>(2)? as f32;
                found.push(EvidenceRow {
                    id: row.get(0)?,
                    taken: WallMs(row.get(1)?),
                    inter_eye_px,
                    quality: row.get(3)?,
                    width,
                    height,
                });
            }
            Ok(found)
        })
    }

    /// One picture, a PNG file; `None` when it is not there (any more).
    ///
    /// # Errors
    /// [`StoreError::Keyring`] when it does not open; otherwise the state of the disk.
    pub fn evidence_picture(&mut self, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let (ring, keys) = (self.ring()?, self.keyring_path().to_path_buf());
        self.read(|connection| {
            let sql = "SELECT coalesce(person, ''), alert, taken_ms, sealing, picture FROM evidence WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([id])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let (person, alert): (String, String) = (row.get(0)?, row.get(1)?);
            let place = Place::Picture { person: &person, alert: &alert, taken_ms: row.get(2)? };
            let plain = sealed::open(&ring, &place, row.get(3)?, row.get_ref(4)?.as_blob().unwrap_or_default());
            Ok(Some(plain.ok_or_else(|| no_key(&keys, &person))?.to_vec()))
        })
    }

    /// Sets when each picture expires by what became of its alert, so that what is deleted next is what should be. Gives what
    /// there is afterwards, and how much of it is due at `now`.
    ///
    /// Every picture is reckoned anew each time: nothing hangs on having seen a certain event, and a changed `keep` holds for
    /// what was written before it. Only rows that change are written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn settle_evidence(&mut self, keep: &EvidenceKeep, now: WallMs) -> Result<EvidenceStock, StoreError> {
        self.write(|transaction| {
            transaction
                .prepare_cached(
                    "UPDATE evidence SET expires_ms = w.wanted FROM (
                        SELECT e.id, CASE
                            WHEN a.id IS NULL THEN e.written_ms + :unconfirmed
                            WHEN h.person IS NOT NULL THEN 9223372036854775807
                            WHEN p.id IS NULL THEN 0
                            ELSE min(e.written_ms + coalesce(c.value, 4611686018427387903), CASE
                            WHEN a.stage = 'confirmed' AND a.votes_required > 0 THEN a.changed_ms + :confirmed
                            WHEN a.stage = 'rejected' THEN a.changed_ms + :rejected
                            WHEN a.stage IN ('machine-confirmed', 'expired')
                                THEN max(e.written_ms, coalesce(a.expires_ms, a.changed_ms)) + :unconfirmed
                            ELSE e.written_ms + :unconfirmed END) END AS wanted
                        FROM evidence e LEFT JOIN alerts a ON a.id = e.alert LEFT JOIN people p ON p.id = a.person
                            LEFT JOIN holds h ON h.person = a.person LEFT JOIN json_each(:caps) c ON c.key = a.camera
                     ) AS w WHERE evidence.id = w.id AND evidence.expires_ms <> w.wanted",
                )?
                .execute(named_params! {
                    ":unconfirmed": keep.unconfirmed_ms, ":rejected": keep.rejected_ms, ":confirmed": keep.confirmed_ms,
                    ":caps": keep.caps(),
                })?;
            let stock = transaction.query_row(
                "SELECT count(*), coalesce(sum(expires_ms < ?1), 0), coalesce(sum(length(picture)), 0) FROM evidence",
                [now.0],
                |row| {
                    Ok(EvidenceStock { pictures: count_at(row, 0)?, due: count_at(row, 1)?, bytes: count_at(row, 2)? })
                },
            )?;
            Ok(stock)
        })
    }

    /// How many pictures there are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn evidence_count(&mut self) -> Result<u64, StoreError> {
        self.read(|connection| Ok(connection.query_row("SELECT count(*) FROM evidence", [], |row| count_at(row, 0))?))
    }

    /// Erases pictures that expired before `before`, oldest first, at most `limit`, and then the bytes they left behind. Gives
    /// how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_evidence(&mut self, before: WallMs, limit: u32) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM evidence WHERE id IN
             (SELECT id FROM evidence WHERE expires_ms < ?1 AND {NOT_HELD} ORDER BY expires_ms, id LIMIT ?2)"
        );
        self.forget(&sql, before, limit, "evidence-expired")
    }

    /// Erases the oldest pictures before their time, at most `limit`, because the disk is nearly full; none of a person under
    /// a legal hold, as far as they were settled. Gives how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_oldest_evidence(&mut self, now: WallMs, limit: u32) -> Result<usize, StoreError> {
        let sql = format!(
            "DELETE FROM evidence WHERE id IN
             (SELECT id FROM evidence WHERE ?1 IS NOT NULL AND {NOT_HELD} ORDER BY id LIMIT ?2)"
        );
        self.forget(&sql, now, limit, "evidence-for-room")
    }

    fn forget(&mut self, sql: &str, now: WallMs, limit: u32, action: &str) -> Result<usize, StoreError> {
        let gone = self.write(|transaction| {
            let gone = transaction.prepare_cached(sql)?.execute(params![now.0, limit])?;
            if gone > 0 {
                let detail = json!({ "pictures": gone });
                audit::record(transaction, &Entry { wall: now, actor: "daemon", action, subject: None, detail })?;
            }
            Ok(gone)
        })?;
        if gone > 0 {
            self.scrub(&"expired pictures");
        }
        Ok(gone)
    }

    /// The kept photographs of a person, in the order they were added; none when nobody of that name is enrolled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn person_photos(&mut self, person: &PersonId) -> Result<Vec<PhotoRow>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT id, face, added_ms FROM photos WHERE person = ?1 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([person.as_str()], |row| {
                let face = row.get::<_, Option<String>>(1)?;
                Ok(PhotoRow { id: row.get(0)?, face: face.as_deref().and_then(parse_face), added: WallMs(row.get(2)?) })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One photograph, the file as it was given (JPEG or PNG); `None` when it is not there (any more).
    ///
    /// # Errors
    /// [`StoreError::Keyring`] when it does not open; otherwise the state of the disk.
    pub fn photo_bytes(&mut self, id: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let (ring, keys) = (self.ring()?, self.keyring_path().to_path_buf());
        self.read(|connection| {
            let sql = "SELECT person, sha256, sealing, bytes FROM photos WHERE id = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([id])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let (person, sha256): (String, String) = (row.get(0)?, row.get(1)?);
            let place = Place::Photo { person: &person, sha256: &sha256 };
            let plain = sealed::open(&ring, &place, row.get(2)?, row.get_ref(3)?.as_blob().unwrap_or_default());
            Ok(Some(plain.ok_or_else(|| no_key(&keys, &person))?.to_vec()))
        })
    }

    /// Notes where the face is in a photograph: left, top, width, height in pixels of the upright photograph.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the photograph is not there or the box is empty; or the state of the disk.
    pub fn set_photo_face(&mut self, id: i64, face: [u32; 4]) -> Result<(), StoreError> {
        let text = face_text(face)?;
        self.write(|transaction| {
            match transaction.execute("UPDATE photos SET face = ?2 WHERE id = ?1", params![id, text])? {
                0 => Err(StoreError::refused(format!("photo {id} is not there")).into()),
                _ => Ok(()),
            }
        })
    }

    /// Alerts of a person that were rejected at `since` or later, newest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn earlier_rejections(
        &mut self,
        person: &PersonId,
        since: WallMs,
        limit: u32,
    ) -> Result<Vec<EarlierRejection>, StoreError> {
        let path = self.path().to_path_buf();
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, camera, changed_ms FROM alerts WHERE person = ?1 AND stage = 'rejected' AND changed_ms >= ?2
                 ORDER BY changed_ms DESC, id DESC LIMIT ?3",
            )?;
            let mut rows = statement.query(params![person.as_str(), since.0, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (alert, camera): (String, String) = (row.get(0)?, row.get(1)?);
                let camera = CameraId::try_new(&camera).map_err(|_| StoreError::Corrupt {
                    path: path.clone(),
                    detail: format!("alert {alert} names an impossible camera"),
                })?;
                let reasons = reasons(connection, &alert)?;
                found.push(EarlierRejection { alert: AlertId(alert), camera, at: WallMs(row.get(2)?), reasons });
            }
            Ok(found)
        })
    }
}

/// A box as the column `photos.face` holds it.
///
/// # Errors
/// [`StoreError::Refused`] for an empty one.
pub(crate) fn face_text([left, top, width, height]: [u32; 4]) -> Result<String, StoreError> {
    if width == 0 || height == 0 {
        return Err(StoreError::refused("a face without width or height"));
    }
    Ok(format!("{left},{top},{width},{height}"))
}

fn parse_face(text: &str) -> Option<[u32; 4]> {
    let sides: Vec<u32> = text.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    sides.try_into().ok()
}

fn check(new: &NewEvidence) -> Result<(), StoreError> {
    let refuse = |what: String| Err(StoreError::refused(format!("a picture of alert {}: {what}", new.alert)));
    if new.png.len() > PICTURE_BYTES_MAX {
        return refuse(format!("{} bytes; at most {PICTURE_BYTES_MAX} are stored", new.png.len()));
    }
    if png_size(&new.png).is_none() {
        return refuse("not a PNG file".into());
    }
    if !new.inter_eye_px.is_finite() || new.quality.len() > QUALITY_BYTES_MAX {
        return refuse(format!("no usable size, or a quality of more than {QUALITY_BYTES_MAX} bytes"));
    }
    Ok(())
}

/// Width and height from the header of a PNG file.
pub(crate) fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let head = bytes.get(..PNG_HEAD_BYTES)?;
    let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (width, height) = (number(16)?, number(20)?);
    (head.starts_with(b"\x89PNG\r\n\x1a\n") && &head[12..16] == b"IHDR" && width > 0 && height > 0)
        .then_some((width, height))
}

fn keep_largest(transaction: &Transaction<'_>, alert: &AlertId, most: u32) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "DELETE FROM evidence WHERE alert = ?1 AND id NOT IN
                 (SELECT id FROM evidence WHERE alert = ?1 ORDER BY inter_eye_px DESC, id LIMIT ?2)",
        )?
        .execute(params![alert.0, most])?;
    Ok(())
}

/// Nothing is kept of somebody who is not enrolled, or who was erased after the picture was taken.
fn may_be_kept(transaction: &Transaction<'_>, one: &NewEvidence) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM people WHERE id = ?1
               AND NOT EXISTS (SELECT 1 FROM erasures WHERE person = ?1 AND asked_ms >= ?2)";
    Ok(transaction.prepare_cached(sql)?.exists(params![one.person.as_str(), one.taken.0])?)
}

fn reasons(connection: &Connection, alert: &str) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT reason FROM votes WHERE alert = ?1 AND verdict = 'reject' AND reason IS NOT NULL
         ORDER BY wall_ms, reviewer",
    )?;
    let rows = statement.query_map([alert], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
pub(crate) mod tests;
