//! What the matcher is given: the prototypes of everybody who may be matched now, all of one network.

use crate::error::StoreError;
use crate::open::{Store, count_at};
use crate::sealed::{Place, open_template};
use rusqlite::{Connection, params};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::WallMs;
use std::collections::BTreeSet;

/// One prototype.
#[derive(Clone, Debug)]
pub struct GalleryRow {
    /// Whose.
    pub person: PersonId,
    /// Under which policy.
    pub list: ListId,
    /// Inter-eye pixels the photos were degraded to before embedding; `None`: as they are.
    pub size_bin_px: Option<u32>,
    /// Who enrolled the person: `reviewer:NAME` where a reviewer is linked to that Unix user, `uid:N` otherwise.
    pub enrolled_by: String,
    /// The prototype.
    pub embedding: Embedding,
}

/// Prototypes of another network or preprocessing, which cannot be compared with this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherVersion {
    /// Which network.
    pub model_digest: String,
    /// Which preprocessing.
    pub preprocessing: String,
    /// How many prototypes.
    pub prototypes: u64,
    /// Of how many people.
    pub people: u64,
}

/// The prototypes, and what is not among them.
#[derive(Clone, Debug, Default)]
pub struct GalleryRows {
    /// Prototypes by person, then size.
    pub rows: Vec<GalleryRow>,
    /// People who may be matched but have no prototype of this network: invisible until `gallery re-embed`.
    pub without_prototype: Vec<PersonId>,
    /// People who are enrolled but not matched: withdrawn, restricted or expired.
    pub people_inactive: u64,
    /// People who are matched although parts of their grounds are missing, from before grounds were asked for.
    pub without_grounds: Vec<PersonId>,
    /// Prototypes of other versions.
    pub other_versions: Vec<OtherVersion>,
    /// Prototypes of this version that are no unit vector of the length they claim, or sealed by a key we do not have.
    pub unreadable: u64,
    /// When the next of these people's grounds run out; `None`: never.
    pub next_expires: Option<WallMs>,
    /// [`Store::gallery_version`] of this content.
    pub version: i64,
}

/// A person is matched while active and not past the end of the grounds. `?3` is the time.
const MATCHED: &str = "p.status = 'active' AND (p.expires_ms IS NULL OR p.expires_ms > ?3)";

impl Store {
    /// The prototypes of the network `model_digest` (SHA-256 in hex) under `preprocessing`, of people who may be matched at
    /// `now`. Prototypes of other versions are counted, never mixed in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn gallery(&mut self, model_digest: &str, preprocessing: &str, now: WallMs) -> Result<GalleryRows, StoreError> {
        let (path, ring) = (self.path().to_path_buf(), self.ring_if_readable());
        self.read(|connection| {
            // One read transaction, so that all counts speak of the same moment.
            let snapshot = connection.unchecked_transaction()?;
            let mut gallery = GalleryRows { version: version(&snapshot)?, ..GalleryRows::default() };
            let sql = format!(
                "SELECT t.person, p.list, t.size_bin_px, t.dim, t.vector, t.sealing,
                     coalesce((SELECT 'reviewer:' || r.name FROM reviewers r WHERE 'uid:' || r.unix_uid = p.enrolled_by),
                              p.enrolled_by)
                 FROM templates t JOIN people p ON p.id = t.person
                 WHERE t.kind = 'prototype' AND t.model_digest = ?1 AND t.preprocessing = ?2 AND {MATCHED}
                 ORDER BY t.person, coalesce(t.size_bin_px, 0)"
            );
            let mut statement = snapshot.prepare_cached(&sql)?;
            let mut rows = statement.query(params![model_digest, preprocessing, now.0])?;
            while let Some(row) = rows.next()? {
                let (person, list) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
                let (Ok(person), Ok(list)) = (PersonId::try_new(&person), ListId::try_new(&list)) else {
                    return Err(StoreError::Corrupt { path, detail: "a person's id or list is no name".into() }.into());
                };
                let place = Place::Template {
                    person: person.as_str(),
                    kind: "prototype",
                    size_bin_px: row.get(2)?,
                    model_digest,
                    preprocessing,
                    sha256: "",
                };
                let vector = row.get_ref(4)?.as_blob().unwrap_or_default();
                match open_template(&ring, &place, row.get(5)?, row.get(3)?, vector) {
                    Some(embedding) => {
                        let (size_bin_px, enrolled_by) = (row.get(2)?, row.get(6)?);
                        gallery.rows.push(GalleryRow { person, list, size_bin_px, enrolled_by, embedding });
                    }
                    None => gallery.unreadable += 1,
                }
            }
            let sql = format!(
                "SELECT p.id FROM people p WHERE {MATCHED} AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.person = p.id
                 AND t.kind = 'prototype' AND t.model_digest = ?1 AND t.preprocessing = ?2) ORDER BY p.id"
            );
            let mut statement = snapshot.prepare_cached(&sql)?;
            let mut rows = statement.query(params![model_digest, preprocessing, now.0])?;
            while let Some(row) = rows.next()? {
                gallery.without_prototype.extend(PersonId::try_new(&row.get::<_, String>(0)?));
            }
            gallery.people_inactive = snapshot.query_row(
                "SELECT count(*) FROM people p WHERE NOT (p.status = 'active' AND (p.expires_ms IS NULL OR p.expires_ms > ?1))",
                [now.0],
                |row| count_at(row, 0),
            )?;
            gallery.without_grounds = crate::grounds::lacking(&snapshot, now)?;
            gallery.next_expires = snapshot
                .query_row(
                    "SELECT min(expires_ms) FROM people WHERE status = 'active' AND expires_ms > ?1",
                    [now.0],
                    |row| row.get::<_, Option<i64>>(0),
                )?
                .map(WallMs);
            gallery.other_versions = other_versions(&snapshot, model_digest, preprocessing)?;
            Ok(gallery)
        })
    }

    /// Everybody, matched or not, who has a prototype of this network and preprocessing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn templates_of(&mut self, model_digest: &str, preprocessing: &str) -> Result<BTreeSet<PersonId>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT DISTINCT person FROM templates
                       WHERE kind = 'prototype' AND model_digest = ?1 AND preprocessing = ?2";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([model_digest, preprocessing], |row| row.get::<_, String>(0))?;
            // An id that is no id belongs to nobody that could be listed.
            Ok(rows.collect::<Result<Vec<_>, _>>()?.iter().filter_map(|id| PersonId::try_new(id).ok()).collect())
        })
    }

    /// A number that goes up with every change of people or templates, by whichever process. Reading it costs one page, so a
    /// daemon can ask every second; together with [`data_version`](Self::data_version) not even that.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn gallery_version(&mut self) -> Result<i64, StoreError> {
        self.read(|connection| Ok(version(connection)?))
    }
}

pub(crate) fn version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("SELECT version FROM gallery_state WHERE id = 1")?.query_row([], |row| row.get(0))
}

fn other_versions(
    connection: &Connection,
    model: &str,
    preprocessing: &str,
) -> Result<Vec<OtherVersion>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT model_digest, preprocessing, count(*), count(DISTINCT person) FROM templates
             WHERE kind = 'prototype' AND NOT (model_digest = ?1 AND preprocessing = ?2)
             GROUP BY model_digest, preprocessing ORDER BY 3 DESC, 1, 2",
        )?
        .query_map([model, preprocessing], |row| {
            Ok(OtherVersion {
                model_digest: row.get(0)?,
                preprocessing: row.get(1)?,
                prototypes: count_at(row, 2)?,
                people: count_at(row, 3)?,
            })
        })?
        .collect()
}
