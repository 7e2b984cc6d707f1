//! Enrolled people, their photos and what the networks made of them. Removing a person removes the bytes, not just rows.

use crate::audit::{self, Entry};
use crate::enrolment::{
    Enrol, Enrolled, Enrolment, Grounds, NewTemplate, Person, PersonStatus, Removed, StoredPhoto, TemplateSource,
    Traces,
};
use crate::error::{Fault, StoreError};
use crate::evidence::face_text;
use crate::open::{Store, count_at};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use sekisho_logic::id::{ListId, PersonId};
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
/// Names and grounds are lines, not documents.
const TEXT_BYTES_MAX: usize = 1000;

impl Store {
    /// Enrols a person: row, photos, templates and audit row in one transaction.
    ///
    /// # Errors
    /// [`StoreError::AlreadyEnrolled`]; [`StoreError::Refused`] when something is over its bound or a template names a photo
    /// that is not there; otherwise the state of the disk.
    pub fn enrol(&mut self, how: Enrol, new: &Enrolment, actor: &str, now: WallMs) -> Result<Enrolled, StoreError> {
        check_bounds(new)?;
        let mut enrolled = self.write(|transaction| {
            let id = new.person.as_str();
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
            let (ids, photos) = insert_photos(transaction, id, new, now)?;
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
                insert_template(transaction, id, template, source, now)?;
            }
            let detail = json!({
                "list": new.list.as_str(), "photos": photos, "templates": new.templates.len(), "replaced": there.is_some(),
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
        self.read(|connection| {
            require(connection, person)?;
            let sql = "SELECT id, bytes, sha256, added_ms FROM photos WHERE person = ?1 AND sealing = 0 ORDER BY id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([person.as_str()], |row| {
                Ok(StoredPhoto { id: row.get(0)?, bytes: row.get(1)?, sha256: row.get(2)?, added: WallMs(row.get(3)?) })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
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
                insert_template(transaction, id, template, source, now)?;
            }
            record(transaction, now, actor, "re-embed", id, json!({"templates": templates.len()}))
        })?;
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

    /// Erases a person: row, photos, templates and the pictures of their alerts, and then the bytes they left in free space
    /// and log. Alerts keep the opaque id.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`], or the state of the disk.
    pub fn remove(&mut self, person: &PersonId, actor: &str, now: WallMs) -> Result<Removed, StoreError> {
        let (photos, templates, pictures) = self.write(|transaction| {
            let id = person.as_str();
            require(transaction, person)?;
            let templates = transaction.execute("DELETE FROM templates WHERE person = ?1", [id])? as u64;
            let photos = transaction.execute("DELETE FROM photos WHERE person = ?1", [id])? as u64;
            let of_theirs = "DELETE FROM evidence WHERE alert IN (SELECT id FROM alerts WHERE person = ?1)";
            let pictures = transaction.execute(of_theirs, [id])? as u64;
            transaction.execute("DELETE FROM people WHERE id = ?1", [id])?;
            let detail = json!({"photos": photos, "templates": templates, "pictures": pictures});
            record(transaction, now, actor, "remove", id, detail)?;
            Ok((photos, templates, pictures))
        })?;
        Ok(Removed { photos, templates, pictures, traces: self.scrub(person) })
    }

    /// `secure_delete` has zeroed the rows in the pages; this gives free pages back and replaces the log, which still holds
    /// the pages as they were before. A failure here must not hide that the deletion itself was committed.
    pub(crate) fn scrub(&mut self, whose: &dyn std::fmt::Display) -> Traces {
        let scrubbed = self
            .read(|connection| Ok(connection.execute_batch("PRAGMA incremental_vacuum")?))
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
    let grounds = &new.grounds;
    let texts =
        [&new.display_name, &grounds.purpose, &grounds.legal_basis, &grounds.consent_ref, &grounds.notice_version];
    if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
        return refuse(format!("a name or ground is longer than {TEXT_BYTES_MAX} bytes"));
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

fn require(connection: &Connection, person: &PersonId) -> Result<PersonStatus, Fault> {
    find_status(connection, person.as_str())?
        .ok_or_else(|| StoreError::NotEnrolled { person: person.as_str().into() }.into())
}

fn record(
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
    let grounds = &new.grounds;
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
    person: &str,
    new: &Enrolment,
    now: WallMs,
) -> Result<(Vec<i64>, usize), Fault> {
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
            .prepare_cached("INSERT INTO photos (person, bytes, sha256, added_ms, face) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![person, photo, sha256, now.0, face])?;
        ids.push(transaction.last_insert_rowid());
        stored += 1;
    }
    Ok((ids, stored))
}

fn insert_template(
    transaction: &Transaction<'_>,
    person: &str,
    template: &NewTemplate,
    photo: Option<i64>,
    now: WallMs,
) -> Result<(), Fault> {
    let components = template.embedding.as_slice();
    let bytes: zeroize::Zeroizing<Vec<u8>> =
        zeroize::Zeroizing::new(components.iter().flat_map(|component| component.to_le_bytes()).collect());
    transaction
        .prepare_cached(
            "INSERT INTO templates (person, photo, kind, size_bin_px, model_digest, preprocessing, dim, vector, added_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            person,
            photo,
            if photo.is_some() { "photo" } else { "prototype" },
            template.size_bin_px,
            template.model_digest,
            template.preprocessing,
            i64::try_from(components.len()).unwrap_or(i64::MAX),
            bytes.as_slice(),
            now.0,
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
mod tests;
