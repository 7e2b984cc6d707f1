//! Enrolled people, their photos and what the networks made of them. Erasing a person is in erase.rs.

use crate::audit::{self, Entry};
use crate::enrolment::{
    Enrol, Enrolled, Enrolment, Grounds, NewTemplate, Person, PersonStatus, StoredPhoto, TemplateSource, Traces,
};
use crate::erase;
use crate::error::{Fault, StoreError};
use crate::evidence::face_text;
use crate::keyring::Ring;
use crate::open::{Store, count_at};
use crate::sealed::{self, Place, no_key};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sekisho_logic::grounds::TEXT_BYTES_MAX;
use sekisho_logic::id::{ERASED_PREFIX, ListId, PersonId};
use sekisho_logic::time::WallMs;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// A photo larger than this is not an enrolment photo: twice what a 24-megapixel phone camera writes.
const PHOTO_BYTES_MAX: usize = 32 * 1024 * 1024;
/// More photos of one person add nothing measurable to a prototype and much to the file.
const PHOTOS_MAX: usize = 64;
/// Photos times size bins times networks, with room to spare.
const TEMPLATES_MAX: usize = 4096;

impl Store {
    /// Enrols a person: row, photos, templates and audit row in one transaction.
    ///
    /// # Errors
    /// [`StoreError::AlreadyEnrolled`]; [`StoreError::Refused`] when something is over its bound or a template names a photo
    /// that is not there; otherwise the state of the disk.
    pub fn enrol(&mut self, how: Enrol, new: &Enrolment, actor: &str, now: WallMs) -> Result<Enrolled, StoreError> {
        check_bounds(new)?;
        // The key is on the disk before anything is sealed with it, and held until the rows are.
        let (held, ring) = self.key_for(new.person.as_str())?;
        let mut enrolled = self.write(|transaction| {
            let id = new.person.as_str();
            if id.starts_with(ERASED_PREFIX) || erase::under_way(transaction, id)? {
                return Err(StoreError::refused(format!(
                    "nobody can be enrolled as {id}: it is a name for erased people, or an erasure of {id} is under way; \
                     take another name, or try again once `sekisho gallery verify-erasure {id}` says that it is done"
                ))
                .into());
            }
            let there = find_status(transaction, id)?;
            match (how, there) {
                (Enrol::Add, Some(_)) => return Err(StoreError::AlreadyEnrolled { person: id.into() }.into()),
                (Enrol::Replace, Some(_)) => {
                    transaction.execute("DELETE FROM templates WHERE person = ?1", [id])?;
                    transaction.execute("DELETE FROM photos WHERE person = ?1", [id])?;
                }
                (Enrol::Add | Enrol::Replace, None) => {}
            }
            upsert_person(transaction, new, actor, now)?;
            let (ids, photos) = insert_photos(transaction, &ring, new, now)?;
            for template in &new.templates {
                let source = match template.source {
                    TemplateSource::Prototype => None,
                    TemplateSource::Photo(index) => {
                        let found = usize::try_from(index).ok().and_then(|index| ids.get(index)).copied();
                        Some(found.ok_or_else(|| {
                            StoreError::refused(format!("a template of {id} names photo {index} of {}", ids.len()))
                        })?)
                    }
                };
                insert_template(transaction, (&ring, id), template, source, now)?;
            }
            let detail = json!({
                "list": new.list.as_str(), "photos": photos, "templates": new.templates.len(), "replaced": there.is_some(),
                "grounds": crate::grounds::audited(&new.grounds),
            });
            record(transaction, now, actor, "enrol", id, detail)?;
            Ok(Enrolled {
                photos,
                templates: new.templates.len(),
                replaced: there.is_some(),
                status: there.unwrap_or(PersonStatus::Active),
                traces: Traces::Gone,
            })
        })?;
        drop(held);
        if enrolled.replaced {
            enrolled.traces = self.scrub(&new.person);
        }
        Ok(enrolled)
    }

    /// Everybody, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn people(&mut self) -> Result<Vec<Person>, StoreError> {
        self.select_people("", &[])
    }

    /// One person, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn person(&mut self, person: &PersonId) -> Result<Option<Person>, StoreError> {
        Ok(self.select_people("WHERE p.id = ?1", &[person.as_str().to_owned().into()])?.pop())
    }

    fn select_people(&mut self, condition: &str, values: &[Value]) -> Result<Vec<Person>, StoreError> {
        let path = self.path().to_path_buf();
        self.read(|connection| {
            let sql = format!(
                "SELECT p.id, p.list, p.display_name, p.status, p.status_ms, p.enrolled_ms, p.enrolled_by, p.purpose,
                        p.legal_basis, p.consent_ref, p.notice_version, p.alternative_offered, p.expires_ms,
                        (SELECT count(*) FROM photos WHERE person = p.id),
                        (SELECT count(*) FROM templates WHERE person = p.id)
                 FROM people p {condition} ORDER BY p.id"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut rows = statement.query(rusqlite::params_from_iter(values))?;
            let mut people = Vec::new();
            while let Some(row) = rows.next()? {
                people.push(to_person(row)?.ok_or_else(|| StoreError::Corrupt {
                    path: path.clone(),
                    detail: "a row of people holds an impossible id, list or status".into(),
                })?);
            }
            Ok(people)
        })
    }

    /// The kept photos of a person, in the order they were added.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`], or the state of the disk.
    pub fn photos(&mut self, person: &PersonId) -> Result<Vec<StoredPhoto>, StoreError> {
        let (ring, keys) = (self.ring()?, self.keyring_path().to_path_buf());
        self.read(|connection| {
            require(connection, person)?;
            let sql = "SELECT id, bytes, sha256, added_ms, sealing FROM photos WHERE person = ?1 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([person.as_str()])?;
            let mut photos = Vec::new();
            while let Some(row) = rows.next()? {
                let sha256: String = row.get(2)?;
                let place = Place::Photo { person: person.as_str(), sha256: &sha256 };
                let plain = sealed::open(&ring, &place, row.get(4)?, row.get_ref(1)?.as_blob().unwrap_or_default());
                let bytes = plain.ok_or_else(|| no_key(&keys, person.as_str()))?.to_vec();
                photos.push(StoredPhoto { id: row.get(0)?, bytes, sha256, added: WallMs(row.get(3)?) });
            }
            Ok(photos)
        })
    }

    /// Puts `templates` in place of all that the person has, after the photos were embedded anew.
    /// [`TemplateSource::Photo`] takes the id of a [`StoredPhoto`].
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`]; [`StoreError::Refused`] when a photo is not the person's; or the state of the disk.
    pub fn replace_templates(
        &mut self,
        person: &PersonId,
        templates: &[NewTemplate],
        actor: &str,
        now: WallMs,
    ) -> Result<Traces, StoreError> {
        if templates.len() > TEMPLATES_MAX {
            return Err(StoreError::refused(format!(
                "{} templates of one person; at most {TEMPLATES_MAX}",
                templates.len()
            )));
        }
        self.read(|connection| require(connection, person))?;
        let (held, ring) = self.key_for(person.as_str())?;
        self.write(|transaction| {
            let id = person.as_str();
            require(transaction, person)?;
            transaction.execute("DELETE FROM templates WHERE person = ?1", [id])?;
            let photos: HashSet<i64> = transaction
                .prepare_cached("SELECT id FROM photos WHERE person = ?1")?
                .query_map([id], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for template in templates {
                let source = match template.source {
                    TemplateSource::Prototype => None,
                    TemplateSource::Photo(photo) if photos.contains(&photo) => Some(photo),
                    TemplateSource::Photo(photo) => {
                        return Err(StoreError::refused(format!("photo {photo} is not one of {id}'s")).into());
                    }
                };
                insert_template(transaction, (&ring, id), template, source, now)?;
            }
            record(transaction, now, actor, "re-embed", id, json!({"templates": templates.len()}))
        })?;
        drop(held);
        Ok(self.scrub(person))
    }

    /// Changes whether a person is matched. A running daemon follows within a second.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`], or the state of the disk.
    pub fn set_status(
        &mut self,
        person: &PersonId,
        status: PersonStatus,
        actor: &str,
        now: WallMs,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let before = require(transaction, person)?;
            transaction.execute(
                "UPDATE people SET status = ?2, status_ms = ?3 WHERE id = ?1",
                params![person.as_str(), status.as_str(), now.0],
            )?;
            let detail = json!({"from": before.as_str(), "to": status.as_str()});
            record(transaction, now, actor, "status", person.as_str(), detail)
        })
    }

    /// `secure_delete` has zeroed the rows in the pages; this gives free pages back and replaces the log, which still holds
    /// the pages as they were before. A failure here must not hide that the deletion itself was committed.
    pub(crate) fn scrub(&mut self, whose: &dyn std::fmt::Display) -> Traces {
        let scrubbed = self
            .read(|connection| {
                // Each row is one page given back; a statement that is not asked to its end gives back one and no more.
                let mut statement = connection.prepare("PRAGMA incremental_vacuum")?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            })
            .and_then(|()| self.checkpoint());
        match scrubbed {
            Ok(true) => Traces::Gone,
            Ok(false) => Traces::InLog,
            Err(error) => {
                tracing::warn!(%whose, %error, "erased pages stay in the log until the next complete checkpoint");
                Traces::InLog
            }
        }
    }
}

fn check_bounds(new: &Enrolment) -> Result<(), StoreError> {
    let refuse = |what: String| Err(StoreError::refused(format!("{}: {what}", new.person)));
    if new.photos.len() > PHOTOS_MAX {
        return refuse(format!("{} photos; at most {PHOTOS_MAX} help", new.photos.len()));
    }
    if new.templates.len() > TEMPLATES_MAX {
        return refuse(format!("{} templates; at most {TEMPLATES_MAX}", new.templates.len()));
    }
    if let Some((index, photo)) = new.photos.iter().enumerate().find(|(_, p)| p.is_empty() || p.len() > PHOTO_BYTES_MAX)
    {
        return refuse(format!("photo {index} has {} bytes; 1 to {PHOTO_BYTES_MAX} are stored", photo.len()));
    }
    if new.display_name.as_ref().is_some_and(|name| name.len() > TEXT_BYTES_MAX) {
        return refuse(format!("the name is longer than {TEXT_BYTES_MAX} bytes"));
    }
    Ok(())
}

fn find_status(connection: &Connection, id: &str) -> Result<Option<PersonStatus>, Fault> {
    let text: Option<String> = connection
        .prepare_cached("SELECT status FROM people WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    // The schema's CHECK allows only the words we know; should that ever fail, not matching is the safe reading.
    Ok(text.map(|text| PersonStatus::parse(&text).unwrap_or(PersonStatus::Restricted)))
}

pub(crate) fn require(connection: &Connection, person: &PersonId) -> Result<PersonStatus, Fault> {
    find_status(connection, person.as_str())?
        .ok_or_else(|| StoreError::NotEnrolled { person: person.as_str().into() }.into())
}

pub(crate) fn record(
    transaction: &Transaction<'_>,
    wall: WallMs,
    actor: &str,
    action: &str,
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), Fault> {
    audit::record(transaction, &Entry { wall, actor, action, subject: Some(subject), detail })
}

fn upsert_person(transaction: &Transaction<'_>, new: &Enrolment, actor: &str, now: WallMs) -> Result<(), Fault> {
    let grounds = Grounds::from(&new.grounds);
    transaction.execute(
        "INSERT INTO people (id, list, display_name, status_ms, enrolled_ms, enrolled_by, purpose, legal_basis, consent_ref,
                             notice_version, alternative_offered, expires_ms)
         VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET list = excluded.list, display_name = excluded.display_name,
             enrolled_ms = excluded.enrolled_ms, enrolled_by = excluded.enrolled_by, purpose = excluded.purpose,
             legal_basis = excluded.legal_basis, consent_ref = excluded.consent_ref,
             notice_version = excluded.notice_version, alternative_offered = excluded.alternative_offered,
             expires_ms = excluded.expires_ms",
        params![
            new.person.as_str(),
            new.list.as_str(),
            new.display_name,
            now.0,
            actor,
            grounds.purpose,
            grounds.legal_basis,
            grounds.consent_ref,
            grounds.notice_version,
            grounds.alternative_offered,
            grounds.expires.map(|wall| wall.0),
        ],
    )?;
    Ok(())
}

/// Stores the photos and returns, for each given photo, the id it has, and how many are new.
fn insert_photos(
    transaction: &Transaction<'_>,
    ring: &Ring,
    new: &Enrolment,
    now: WallMs,
) -> Result<(Vec<i64>, usize), Fault> {
    let person = new.person.as_str();
    let (mut ids, mut stored) = (Vec::with_capacity(new.photos.len()), 0);
    for (photo, nth) in new.photos.iter().zip(0..) {
        let face = new.faces.get(nth).copied().flatten().map(face_text).transpose()?;
        let sha256 = hex::encode(Sha256::digest(photo));
        let there: Option<i64> = transaction
            .prepare_cached("SELECT id FROM photos WHERE person = ?1 AND sha256 = ?2")?
            .query_row([person, &sha256], |row| row.get(0))
            .optional()?;
        if let Some(id) = there {
            ids.push(id);
            continue;
        }
        transaction
            .prepare_cached(
                "INSERT INTO photos (person, bytes, sha256, added_ms, face, sealing) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                person,
                sealed::seal(ring, &Place::Photo { person, sha256: &sha256 }, photo)?,
                sha256,
                now.0,
                face,
                ring.epoch()
            ])?;
        ids.push(transaction.last_insert_rowid());
        stored += 1;
    }
    Ok((ids, stored))
}

fn insert_template(
    transaction: &Transaction<'_>,
    (ring, person): (&Ring, &str),
    template: &NewTemplate,
    photo: Option<i64>,
    now: WallMs,
) -> Result<(), Fault> {
    let kind = if photo.is_some() { "photo" } else { "prototype" };
    let sha256: String = match photo {
        Some(photo) => transaction
            .prepare_cached("SELECT sha256 FROM photos WHERE id = ?1")?
            .query_row([photo], |row| row.get(0))?,
        None => String::new(),
    };
    let place = Place::Template {
        person,
        kind,
        size_bin_px: template.size_bin_px.map(i64::from),
        model_digest: &template.model_digest,
        preprocessing: &template.preprocessing,
        sha256: &sha256,
    };
    transaction
        .prepare_cached(
            "INSERT INTO templates (person, photo, kind, size_bin_px, model_digest, preprocessing, dim, vector, added_ms,
                                    sealing)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            person,
            photo,
            kind,
            template.size_bin_px,
            template.model_digest,
            template.preprocessing,
            i64::try_from(template.embedding.dim()).unwrap_or(i64::MAX),
            sealed::seal_template(ring, &place, &template.embedding)?,
            now.0,
            ring.epoch(),
        ])?;
    Ok(())
}

fn to_person(row: &Row<'_>) -> Result<Option<Person>, rusqlite::Error> {
    let (id, list, status): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
    let (Ok(id), Ok(list), Some(status)) =
        (PersonId::try_new(&id), ListId::try_new(&list), PersonStatus::parse(&status))
    else {
        return Ok(None);
    };
    let grounds = Grounds {
        purpose: row.get(7)?,
        legal_basis: row.get(8)?,
        consent_ref: row.get(9)?,
        notice_version: row.get(10)?,
        alternative_offered: row.get(11)?,
        expires: row.get::<_, Option<i64>>(12)?.map(WallMs),
    };
    Ok(Some(Person {
        id,
        list,
        display_name: row.get(2)?,
        status,
        status_wall: WallMs(row.get(4)?),
        enrolled: WallMs(row.get(5)?),
        enrolled_by: row.get(6)?,
        grounds,
        photos: count_at(row, 13)?,
        templates: count_at(row, 14)?,
    }))
}

#[cfg(test)]
#[path = "people_tests.rs"]
pub(crate) mod tests;
