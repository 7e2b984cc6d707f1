//! Everything the database holds about one person, for that person: facts, never photographs, pictures or components of
//! templates, which go out as files or not at all.

use crate::audit::{COLUMNS, stored};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::types::Value as Cell;
use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use serde_json::{Map, Value, json};

/// A kind of records about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectSection {
    /// The row about the person with the grounds.
    Person,
    /// Photographs, without their bytes.
    Photos,
    /// Templates, without their components.
    Templates,
    /// Alerts as they stand.
    Alerts,
    /// Every change of them.
    Journal,
    /// Votes on them.
    Votes,
    /// Pictures kept with them, without their bytes.
    Pictures,
    /// Deliveries about them.
    Deliveries,
    /// Suspensions of their alerts.
    Suspensions,
    /// Holds.
    Holds,
    /// Rows of the audit trail about them.
    Audit,
}

impl SubjectSection {
    /// Every section, in the order they are written.
    pub const ALL: [Self; 11] = [
        Self::Person,
        Self::Photos,
        Self::Templates,
        Self::Alerts,
        Self::Journal,
        Self::Votes,
        Self::Pictures,
        Self::Deliveries,
        Self::Suspensions,
        Self::Holds,
        Self::Audit,
    ];

    /// The name in the export.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Photos => "photographs",
            Self::Templates => "templates",
            Self::Alerts => "alerts",
            Self::Journal => "journal",
            Self::Votes => "votes",
            Self::Pictures => "pictures",
            Self::Deliveries => "deliveries",
            Self::Suspensions => "suspensions",
            Self::Holds => "holds",
            Self::Audit => "audit",
        }
    }

    /// What is asked for; `?1` is the person. The order is that of time.
    const fn sql(self) -> &'static str {
        match self {
            Self::Person => {
                "SELECT id, list, display_name, status, status_ms, enrolled_ms, enrolled_by, purpose, legal_basis, consent_ref,
                        notice_version, alternative_offered, expires_ms FROM people WHERE id = ?1"
            }
            Self::Photos => "SELECT id, sha256, added_ms, length(bytes) AS bytes FROM photos WHERE person = ?1 ORDER BY id",
            Self::Templates => {
                "SELECT id, photo, kind, size_bin_px, model_digest, preprocessing, dim AS components, added_ms
                 FROM templates WHERE person = ?1 ORDER BY id"
            }
            Self::Alerts => {
                "SELECT id, stage, cause, opened_ms, changed_ms, record FROM alerts WHERE person = ?1 ORDER BY opened_ms, id"
            }
            Self::Journal => {
                "SELECT event_id, wall_ms, kind, after FROM journal
                 WHERE alert IN (SELECT id FROM alerts WHERE person = ?1) ORDER BY row"
            }
            Self::Votes => {
                "SELECT alert, reviewer, verdict, reason, wall_ms FROM votes
                 WHERE alert IN (SELECT id FROM alerts WHERE person = ?1) ORDER BY wall_ms, alert"
            }
            Self::Pictures => {
                "SELECT id, alert, taken_ms, inter_eye_px, quality, written_ms, expires_ms FROM evidence
                 WHERE alert IN (SELECT id FROM alerts WHERE person = ?1) ORDER BY taken_ms"
            }
            Self::Deliveries => {
                "SELECT sink, event_id, state, attempts, created_ms, changed_ms FROM outbox
                 WHERE alert IN (SELECT id FROM alerts WHERE person = ?1) ORDER BY id"
            }
            Self::Suspensions => {
                "SELECT since_ms, rejected, decided, lifted_ms, lifted_by FROM suspensions
                 WHERE kind = 'person' AND subject = ?1 ORDER BY id"
            }
            Self::Holds => "SELECT since_ms, by, reason FROM holds WHERE person = ?1",
            Self::Audit => "",
        }
    }
}

impl Store {
    /// Hands every record of one section about `person` to `take`, in the order of time, one at a time: however many there are,
    /// they are never all in memory. Stops when `take` fails and gives its error.
    ///
    /// # Errors
    /// [`StoreError`]; the inner error is the one of `take`.
    pub fn subject_records<E>(
        &mut self,
        person: &PersonId,
        section: SubjectSection,
        mut take: impl FnMut(Value) -> Result<(), E>,
    ) -> Result<Result<u64, E>, StoreError> {
        self.read(|connection| {
            let sql = match section {
                SubjectSection::Audit => format!(
                    "SELECT {COLUMNS} FROM audit
                     WHERE subject = ?1 OR subject IN (SELECT id FROM alerts WHERE person = ?1)
                        OR json_extract(detail, '$.person') = ?1 ORDER BY seq"
                ),
                _ => section.sql().to_owned(),
            };
            let mut statement = connection.prepare(&sql)?;
            let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let mut rows = statement.query([person.as_str()])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let record = if section == SubjectSection::Audit {
                    let entry = stored(row)?.entry;
                    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
                    json!({ "row": entry.seq, "at": entry.wall.to_rfc3339(), "actor": entry.actor, "action": entry.action,
                            "subject": entry.subject, "detail": detail })
                } else {
                    let mut record = Map::new();
                    for (name, at) in names.iter().zip(0..) {
                        let (name, value) = field(name, row.get(at)?);
                        record.insert(name, value);
                    }
                    Value::Object(record)
                };
                if let Err(error) = take(record) {
                    return Ok(Err(error));
                }
                count += 1;
            }
            Ok::<_, Fault>(Ok(count))
        })
    }
}

/// A column as it is told: times in words, JSON as JSON.
fn field(column: &str, cell: Cell) -> (String, Value) {
    let name = column.strip_suffix("_ms").unwrap_or(column).replace('_', "-");
    let value = match cell {
        Cell::Null | Cell::Blob(_) => Value::Null,
        Cell::Integer(number) if column.ends_with("_ms") => WallMs(number).to_rfc3339().into(),
        Cell::Integer(number) => number.into(),
        Cell::Real(number) => number.into(),
        Cell::Text(text) if matches!(column, "record" | "after" | "quality") => {
            serde_json::from_str(&text).unwrap_or_else(|_| text.into())
        }
        Cell::Text(text) => text.into(),
    };
    (name, value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, enrolment, person, story};

    #[test]
    fn everything_about_a_person_is_told_and_nothing_about_anybody_else() {
        let mut bench = Bench::new();
        for name in ["ann-1", "bob-2"] {
            bench.store.enrol(crate::Enrol::Add, &enrolment(name), "uid:0", WallMs(1)).expect("enrolled");
        }
        for event in story("a-1") {
            bench.store.append(&event, &["hook"], "daemon").expect("journalled");
        }
        bench.store.hold(&person("bob-2"), "canary-reason", "uid:7", WallMs(2)).expect("held");
        let mut told = |who: &str| {
            let mut all = Vec::new();
            for section in SubjectSection::ALL {
                let take = |record: Value| {
                    all.push((section.as_str(), record));
                    Ok::<_, ()>(())
                };
                bench.store.subject_records(&person(who), section, take).expect("read").expect("taken");
            }
            all
        };
        let (ann, bob) = (told("ann-1"), told("bob-2"));
        let of = |all: &[(&str, Value)], section: &str| all.iter().filter(|(name, _)| *name == section).count();
        assert_eq!([of(&ann, "person"), of(&ann, "alerts"), of(&ann, "journal"), of(&ann, "votes")], [1, 1, 4, 1]);
        assert_eq!([of(&ann, "deliveries"), of(&ann, "audit"), of(&ann, "holds")], [4, 5, 0]);
        assert_eq!([of(&bob, "person"), of(&bob, "alerts"), of(&bob, "audit"), of(&bob, "holds")], [1, 0, 2, 1]);
        assert!(!format!("{ann:?}").contains("canary-reason"));
        assert_eq!(ann[0].1["enrolled"], "1970-01-01T00:00:00.001Z");
    }
}
