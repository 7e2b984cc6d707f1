//! The words of enrolment: people, their grounds, their photos and templates.

use sekisho_logic::embedding::Embedding;
use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::time::WallMs;

/// What to do when the person is enrolled already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enrol {
    /// Refuse: the person must be new.
    Add,
    /// Take the new photos, templates, list and grounds instead of the old; the old bytes are erased. The status stays, so
    /// that replacing photos does not bring back a person who withdrew. Adds the person when there is none.
    Replace,
}

/// Whether a person is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonStatus {
    /// Matched.
    Active,
    /// Took consent back: not matched, to be erased.
    Withdrawn,
    /// Kept but not matched, at the person's request or during a dispute.
    Restricted,
}

impl PersonStatus {
    /// Every status.
    pub const ALL: [Self; 3] = [Self::Active, Self::Withdrawn, Self::Restricted];

    /// The word used in the store and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
            Self::Restricted => "restricted",
        }
    }

    /// The status that [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// On which grounds a person is enrolled, as the store has it: rows from before grounds were asked for lack them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grounds {
    /// What the person is matched for.
    pub purpose: Option<String>,
    /// On which legal basis.
    pub legal_basis: Option<String>,
    /// Where the consent or decision is filed.
    pub consent_ref: Option<String>,
    /// Which version of the notice the person was given.
    pub notice_version: Option<String>,
    /// Whether another way in was offered.
    pub alternative_offered: Option<bool>,
    /// After this the person is not matched any more.
    pub expires: Option<WallMs>,
}

impl Grounds {
    /// Whether all that a new enrolment must have is there.
    #[must_use]
    pub fn complete(&self) -> bool {
        let draft = self.draft();
        draft.purpose.is_some()
            && draft.legal_basis.is_some()
            && draft.record.is_some()
            && draft.notice.is_some()
            && draft.expires.is_some()
    }

    /// What is there, to be completed.
    #[must_use]
    pub fn draft(&self) -> GroundsDraft {
        GroundsDraft {
            purpose: self.purpose.clone(),
            legal_basis: self.legal_basis.as_deref().and_then(LegalBasis::parse),
            record: self.consent_ref.clone(),
            notice: self.notice_version.clone(),
            expires: self.expires,
            alternative_offered: self.alternative_offered.unwrap_or(false),
        }
    }
}

impl From<&NewGrounds> for Grounds {
    fn from(new: &NewGrounds) -> Self {
        Self {
            purpose: Some(new.purpose().to_owned()),
            legal_basis: Some(new.legal_basis().as_str().to_owned()),
            consent_ref: Some(new.record().to_owned()),
            notice_version: Some(new.notice().to_owned()),
            alternative_offered: Some(new.alternative_offered()),
            expires: Some(new.expires()),
        }
    }
}

/// Everything that is stored at an enrolment.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Who.
    pub person: PersonId,
    /// Under which policy.
    pub list: ListId,
    /// A name for the operator's eyes.
    pub display_name: Option<String>,
    /// On which grounds.
    pub grounds: NewGrounds,
    /// The photo files as given (JPEG or PNG bytes).
    pub photos: Vec<Vec<u8>>,
    /// Where the face is in each of them, as in [`PhotoRow::face`](crate::PhotoRow::face); fewer than there are photos where
    /// it is not known.
    pub faces: Vec<Option<[u32; 4]>>,
    /// What the networks made of them.
    pub templates: Vec<NewTemplate>,
}

/// A template to be stored.
#[derive(Clone, Debug)]
pub struct NewTemplate {
    /// What it was made of.
    pub source: TemplateSource,
    /// Inter-eye pixels the photos were degraded to first; `None`: as they are.
    pub size_bin_px: Option<u32>,
    /// SHA-256 of the network's file, in hex.
    pub model_digest: String,
    /// Version of alignment and scaling.
    pub preprocessing: String,
    /// The template itself.
    pub embedding: Embedding,
}

/// What a template was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateSource {
    /// One photo: at enrolment its index in [`Enrolment::photos`], later the id of a [`StoredPhoto`].
    Photo(i64),
    /// All of the person's photos together.
    Prototype,
}

/// What an enrolment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Photos stored; a photo given twice is stored once.
    pub photos: usize,
    /// Templates stored.
    pub templates: usize,
    /// Whether somebody was there before.
    pub replaced: bool,
    /// The person's status now.
    pub status: PersonStatus,
    /// What is left of replaced photos and templates.
    pub traces: Traces,
}

/// Whether erased bytes are gone from the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// From database and log.
    Gone,
    /// The rows are gone, but another process was reading, so the (encrypted) log still holds old pages; they go with the
    /// next complete checkpoint, at the latest when the last process closes the database.
    InLog,
}

/// A person as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// Under which policy.
    pub list: ListId,
    /// A name for the operator's eyes; never for logs, alerts or audit.
    pub display_name: Option<String>,
    /// Whether matched.
    pub status: PersonStatus,
    /// When the status changed last.
    pub status_wall: WallMs,
    /// When enrolled.
    pub enrolled: WallMs,
    /// By whom.
    pub enrolled_by: String,
    /// On which grounds.
    pub grounds: Grounds,
    /// Photos kept.
    pub photos: u64,
    /// Templates kept.
    pub templates: u64,
}

/// A kept photo.
#[derive(Clone)]
pub struct StoredPhoto {
    /// Its number, for [`TemplateSource::Photo`].
    pub id: i64,
    /// The file as given.
    pub bytes: Vec<u8>,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// When added.
    pub added: WallMs,
}

impl std::fmt::Debug for StoredPhoto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredPhoto({}, {} bytes)", self.id, self.bytes.len())
    }
}
