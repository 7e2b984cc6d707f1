//! Who may log in to the review page, and which Unix user is the same person.
//!
//! A password is here only as what argon2id made of it, and that never reaches the audit trail, a message or `Debug`.

use crate::audit::{self, Entry};
use crate::error::{Fault, StoreError};
use crate::open::Store;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use sekisho_logic::id::ReviewerName;
use sekisho_logic::role::{Action, Role, Roles};
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Reviewers at the most. A site has a dozen; the daemon reads all of them twice a second.
pub const REVIEWERS_MAX: usize = 256;

/// What somebody may do at the review page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReviewerRole {
    /// Look, without faces.
    Viewer,
    /// Look and vote.
    Reviewer,
    /// Look, vote, lift suspensions.
    Admin,
    /// The data-protection officer: look at everything, decide nothing.
    Dpo,
}

impl ReviewerRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Reviewer, Self::Admin, Self::Dpo];

    /// The word used in the store, on the command line and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Admin => "admin",
            Self::Dpo => "dpo",
        }
    }

    /// The role that [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// The same as the program's table of permissions knows it.
    #[must_use]
    pub const fn role(self) -> Role {
        match self {
            Self::Viewer => Role::Viewer,
            Self::Reviewer => Role::Reviewer,
            Self::Admin => Role::Admin,
            Self::Dpo => Role::Dpo,
        }
    }

    /// Whether it permits something.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        Roles::from(self.role()).may(action)
    }

    /// Whether their votes count.
    #[must_use]
    pub fn votes(self) -> bool {
        self.may(Action::Vote)
    }
}

/// A reviewer, without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewer {
    /// As they type it.
    pub name: ReviewerName,
    /// What they may do.
    pub role: ReviewerRole,
    /// The same person's Unix user.
    pub unix_uid: Option<u32>,
    /// When they were added.
    pub added: WallMs,
    /// By whom (`uid:0`).
    pub added_by: String,
    /// When the password was set last. Goes up with every setting, so it also tells one password from the next.
    pub secret_set: WallMs,
    /// When they logged in last.
    pub seen: Option<WallMs>,
}

impl Reviewer {
    /// The name under which they vote and are audited: `reviewer:sato`.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("reviewer:{}", self.name)
    }
}

/// A reviewer to be added.
#[derive(Clone)]
pub struct NewReviewer {
    /// As they type it.
    pub name: ReviewerName,
    /// What they may do.
    pub role: ReviewerRole,
    /// What argon2id made of the password, in the PHC string format.
    pub secret: String,
    /// The same person's Unix user.
    pub unix_uid: Option<u32>,
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewerChange {
    /// It is done.
    Done,
    /// There is nobody of that name.
    NoSuchReviewer,
    /// Somebody of that name is there already.
    NameTaken,
    /// That Unix user is linked to this reviewer already.
    UidTaken(String),
    /// There are [`REVIEWERS_MAX`] already.
    TooMany,
}

/// Which Unix users and reviewers are the same person, so that nobody votes twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities(BTreeMap<u32, String>);

impl Identities {
    /// From the reviewers there are.
    #[must_use]
    pub fn of(reviewers: &[Reviewer]) -> Self {
        Self(reviewers.iter().filter_map(|one| Some((one.unix_uid?, one.identity()))).collect())
    }

    /// The one name of whoever is meant: `reviewer:sato` for `uid:1000` when sato is that user, anything else as it is.
    #[must_use]
    pub fn canonical(&self, identity: &str) -> String {
        let uid = identity.strip_prefix("uid:").and_then(|digits| digits.parse().ok());
        uid.and_then(|uid: u32| self.0.get(&uid)).map_or_else(|| identity.to_owned(), Clone::clone)
    }
}

const COLUMNS: &str = "name, role, unix_uid, added_ms, added_by, secret_ms, seen_ms";

impl Store {
    /// Adds a reviewer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_reviewer(&mut self, new: &NewReviewer, actor: &str, now: WallMs) -> Result<ReviewerChange, StoreError> {
        self.write(|transaction| {
            let there = all(transaction)?;
            if there.iter().any(|one| one.name == new.name) {
                return Ok(ReviewerChange::NameTaken);
            }
            if let Some(other) = there.iter().find(|one| one.unix_uid.is_some() && one.unix_uid == new.unix_uid) {
                return Ok(ReviewerChange::UidTaken(other.name.to_string()));
            }
            if there.len() >= REVIEWERS_MAX {
                return Ok(ReviewerChange::TooMany);
            }
            transaction.execute(
                "INSERT INTO reviewers (name, role, secret, unix_uid, added_ms, added_by, secret_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?5)",
                params![new.name.as_str(), new.role.as_str(), new.secret, new.unix_uid, now.0, actor],
            )?;
            let detail = json!({ "role": new.role.as_str(), "unix-uid": new.unix_uid });
            record(transaction, now, actor, "reviewer-added", &new.name, detail)?;
            Ok(ReviewerChange::Done)
        })
    }

    /// Removes a reviewer. Their votes stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_reviewer(
        &mut self,
        name: &ReviewerName,
        actor: &str,
        now: WallMs,
    ) -> Result<ReviewerChange, StoreError> {
        self.write(|transaction| {
            if transaction.execute("DELETE FROM reviewers WHERE name = ?1", [name.as_str()])? == 0 {
                return Ok(ReviewerChange::NoSuchReviewer);
            }
            record(transaction, now, actor, "reviewer-removed", name, json!({}))?;
            Ok(ReviewerChange::Done)
        })
    }

    /// Sets another password (its argon2id hash). Whoever is logged in with the old one is to be logged out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_reviewer_secret(
        &mut self,
        name: &ReviewerName,
        secret: &str,
        actor: &str,
        now: WallMs,
    ) -> Result<ReviewerChange, StoreError> {
        self.write(|transaction| {
            // At least one more than before, also when the clock was set back.
            let changed = transaction.execute(
                "UPDATE reviewers SET secret = ?2, secret_ms = max(?3, secret_ms + 1) WHERE name = ?1",
                params![name.as_str(), secret, now.0],
            )?;
            if changed == 0 {
                return Ok(ReviewerChange::NoSuchReviewer);
            }
            record(transaction, now, actor, "reviewer-reset", name, json!({}))?;
            Ok(ReviewerChange::Done)
        })
    }

    /// Everybody, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reviewers(&mut self) -> Result<Vec<Reviewer>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM reviewers ORDER BY name");
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([], reviewer)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// One reviewer with the hash of the password, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reviewer_secret(&mut self, name: &ReviewerName) -> Result<Option<(Reviewer, String)>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS}, secret FROM reviewers WHERE name = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let found = statement.query_row([name.as_str()], |row| Ok((reviewer(row)?, row.get(7)?))).optional()?;
            Ok(found)
        })
    }

    /// The reviewer who is this Unix user, or `None`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn reviewer_of_uid(&mut self, uid: u32) -> Result<Option<Reviewer>, StoreError> {
        self.read(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM reviewers WHERE unix_uid = ?1");
            Ok(connection.prepare_cached(&sql)?.query_row([uid], reviewer).optional()?)
        })
    }

    /// Which Unix users and reviewers are the same person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn identities(&mut self) -> Result<Identities, StoreError> {
        Ok(Identities::of(&self.reviewers()?))
    }

    /// Notes a log-in: when the reviewer was seen, and the audit row `review-login`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_login(
        &mut self,
        name: Option<&ReviewerName>,
        identity: &str,
        detail: Value,
        now: WallMs,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            if let Some(name) = name {
                transaction
                    .execute("UPDATE reviewers SET seen_ms = ?2 WHERE name = ?1", params![name.as_str(), now.0])?;
            }
            let entry = Entry { wall: now, actor: identity, action: "review-login", subject: None, detail };
            audit::record(transaction, &entry)
        })
    }

    /// A random value that is made at the first call and stays for the life of the database: 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Refused`] when the system gives no random numbers.
    pub fn lasting_random(&mut self, purpose: &str) -> Result<String, StoreError> {
        let mut fresh = [0_u8; 32];
        getrandom::fill(&mut fresh).map_err(|error| StoreError::refused(format!("no random numbers: {error}")))?;
        self.write(|transaction| {
            let key = format!("random-{purpose}");
            transaction.execute(
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING",
                params![key, hex::encode(fresh)],
            )?;
            Ok(transaction.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?)
        })
    }
}

fn all(transaction: &Transaction<'_>) -> Result<Vec<Reviewer>, Fault> {
    let mut statement = transaction.prepare_cached(&format!("SELECT {COLUMNS} FROM reviewers"))?;
    let rows = statement.query_map([], reviewer)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn reviewer(row: &Row<'_>) -> Result<Reviewer, rusqlite::Error> {
    let (name, role): (String, String) = (row.get(0)?, row.get(1)?);
    let odd = |column, text: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, text.into())
    };
    Ok(Reviewer {
        name: ReviewerName::try_new(&name).map_err(|error| odd(0, error.to_string()))?,
        // The schema's CHECK allows only the words we know.
        role: ReviewerRole::parse(&role).ok_or_else(|| odd(1, format!("{role:?} is no role")))?,
        unix_uid: row.get(2)?,
        added: WallMs(row.get(3)?),
        added_by: row.get(4)?,
        secret_set: WallMs(row.get(5)?),
        seen: row.get::<_, Option<i64>>(6)?.map(WallMs),
    })
}

fn record(
    transaction: &Transaction<'_>,
    wall: WallMs,
    actor: &str,
    action: &str,
    name: &ReviewerName,
    detail: Value,
) -> Result<(), Fault> {
    let subject = format!("reviewer:{name}");
    audit::record(transaction, &Entry { wall, actor, action, subject: Some(&subject), detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g";

    fn name(text: &str) -> ReviewerName {
        ReviewerName::try_new(text).expect("a name")
    }

    fn new(text: &str, uid: Option<u32>) -> NewReviewer {
        NewReviewer { name: name(text), role: ReviewerRole::Reviewer, secret: HASH.into(), unix_uid: uid }
    }

    #[test]
    fn a_reviewer_is_added_found_reset_and_removed_and_the_trail_says_so_without_the_hash() {
        let mut bench = Bench::new();
        let store = &mut bench.store;
        assert_eq!(
            store.add_reviewer(&new("sato", Some(1000)), "uid:0", WallMs(10)).expect("asked"),
            ReviewerChange::Done
        );
        let (found, secret) = store.reviewer_secret(&name("sato")).expect("asked").expect("there");
        assert_eq!((found.identity().as_str(), secret.as_str(), found.seen), ("reviewer:sato", HASH, None));
        assert_eq!(store.reviewer_of_uid(1000).expect("asked").map(|one| one.name), Some(name("sato")));
        store.note_login(Some(&name("sato")), "reviewer:sato", json!({ "by": "password" }), WallMs(20)).expect("noted");
        assert_eq!(store.reviewers().expect("asked")[0].seen, Some(WallMs(20)));
        let reset =
            |store: &mut Store| store.set_reviewer_secret(&name("sato"), HASH, "uid:0", WallMs(5)).expect("asked");
        assert_eq!((reset(store), reset(store)), (ReviewerChange::Done, ReviewerChange::Done));
        let set = store.reviewers().expect("asked")[0].secret_set;
        assert_eq!(set, WallMs(12), "each setting counts up, also when the clock was set back");
        assert_eq!(store.remove_reviewer(&name("sato"), "uid:0", WallMs(30)).expect("asked"), ReviewerChange::Done);
        assert_eq!(store.reviewers().expect("asked"), []);
        let trail = store.audit_entries(0, 20).expect("trail");
        let actions: Vec<_> = trail.iter().map(|row| row.action.as_str()).collect();
        assert_eq!(actions, ["reviewer-added", "review-login", "reviewer-reset", "reviewer-reset", "reviewer-removed"]);
        assert!(trail.iter().all(|row| !row.detail.contains("argon2")), "{trail:?}");
    }

    #[test]
    fn names_and_unix_users_are_given_once_and_nobody_unknown_is_changed() {
        let mut bench = Bench::new();
        let store = &mut bench.store;
        let mut add = |new| store.add_reviewer(&new, "uid:0", WallMs(1)).expect("asked");
        assert_eq!(add(new("sato", Some(1000))), ReviewerChange::Done);
        assert_eq!(add(new("sato", None)), ReviewerChange::NameTaken);
        assert_eq!(add(new("ito", Some(1000))), ReviewerChange::UidTaken("sato".into()));
        assert_eq!((add(new("ito", None)), add(new("abe", None))), (ReviewerChange::Done, ReviewerChange::Done));
        for count in 3..REVIEWERS_MAX {
            assert_eq!(add(new(&format!("r{count}"), None)), ReviewerChange::Done);
        }
        assert_eq!(add(new("one-more", None)), ReviewerChange::TooMany);
        let none = ReviewerChange::NoSuchReviewer;
        assert_eq!(store.remove_reviewer(&name("nobody"), "uid:0", WallMs(1)).expect("asked"), none);
        assert_eq!(store.set_reviewer_secret(&name("nobody"), HASH, "uid:0", WallMs(1)).expect("asked"), none);
    }

    #[test]
    fn a_linked_unix_user_and_the_reviewer_are_one() {
        let mut bench = Bench::new();
        bench.store.add_reviewer(&new("sato", Some(1000)), "uid:0", WallMs(1)).expect("added");
        let identities = bench.store.identities().expect("asked");
        for (given, wanted) in [
            ("uid:1000", "reviewer:sato"),
            ("reviewer:sato", "reviewer:sato"),
            ("uid:1001", "uid:1001"),
            ("uid:", "uid:"),
            ("daemon", "daemon"),
        ] {
            assert_eq!(identities.canonical(given), wanted);
        }
    }

    #[test]
    fn a_lasting_random_value_lasts() {
        let mut bench = Bench::new();
        let first = bench.store.lasting_random("devices").expect("made");
        bench.reload();
        assert_eq!((bench.store.lasting_random("devices").expect("there"), first.len()), (first, 64));
        assert_ne!(
            bench.store.lasting_random("other").expect("made"),
            bench.store.lasting_random("devices").expect("made")
        );
    }
}
