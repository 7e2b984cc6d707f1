//! What is written down about an alert. The store keeps these, the sinks send them, the alert machine makes them.
//!
//! An alert is one incident; each change of it is an [`AlertEvent`] with an id of its own, so that a receiver that is
//! sent the same event twice can tell. Nothing here holds an embedding or a picture.

use crate::id::{CameraId, ListId, PersonId, TrackId};
use crate::policy::Purpose;
use crate::time::WallMs;
use std::fmt;

/// One incident. Made of the wall time it began, the run of the daemon and a count, so that it is unique on the box,
/// sorts by time and is the same again when the same clip is replayed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AlertId(pub String);

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far an alert has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The fused evidence of one track passed the threshold. A lead, nothing more.
    Candidate,
    /// Later, disjoint frames passed it again, and the second network agreed where there is one.
    MachineConfirmed,
    /// As many distinct people as the list's policy asks agreed, or the policy asks for none. Final.
    Confirmed,
    /// A person looked and said no. Final.
    Rejected,
    /// Machine-confirmed, but nobody voted in time. Final.
    Expired,
    /// A candidate whose evidence turned, or that got no independent evidence in time. Final.
    Withdrawn,
}

impl Stage {
    /// Every stage, for tables and metrics.
    pub const ALL: [Self; 6] =
        [Self::Candidate, Self::MachineConfirmed, Self::Confirmed, Self::Rejected, Self::Expired, Self::Withdrawn];

    /// The word used in the journal, on the wire and in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::MachineConfirmed => "machine-confirmed",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The stage that [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Confirmed | Self::Rejected | Self::Expired | Self::Withdrawn)
    }
}

/// Why an alert is where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The candidate's frames passed the threshold.
    Evidence,
    /// Disjoint later frames passed it again, and the second network agreed where there is one.
    IndependentEvidence,
    /// The list is confirmed by the machine alone.
    PolicyMachine,
    /// A person voted.
    Vote,
    /// Later frames spoke against the candidate.
    EvidenceTurned,
    /// The person was gone before enough independent frames came.
    NoIndependentEvidence,
    /// Nobody voted before the alert's time was up.
    NoVoteInTime,
    /// The person was removed from the gallery.
    PersonRemoved,
    /// The daemon was stopped while the candidate was open; its frames are gone.
    Restarted,
    /// The second network's evidence spoke against the candidate.
    SecondDisagrees,
    /// Disjoint frames agreed, but the second network did not answer, or not clearly enough, before time was up.
    NoSecondOpinion,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 11] = [
        Self::Evidence,
        Self::IndependentEvidence,
        Self::PolicyMachine,
        Self::Vote,
        Self::EvidenceTurned,
        Self::NoIndependentEvidence,
        Self::NoVoteInTime,
        Self::PersonRemoved,
        Self::Restarted,
        Self::SecondDisagrees,
        Self::NoSecondOpinion,
    ];

    /// The word used in the journal and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::IndependentEvidence => "independent-evidence",
            Self::PolicyMachine => "policy-machine",
            Self::Vote => "vote",
            Self::EvidenceTurned => "evidence-turned",
            Self::NoIndependentEvidence => "no-independent-evidence",
            Self::NoVoteInTime => "no-vote-in-time",
            Self::PersonRemoved => "person-removed",
            Self::Restarted => "restarted",
            Self::SecondDisagrees => "second-disagrees",
            Self::NoSecondOpinion => "no-second-opinion",
        }
    }

    /// The cause that [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }
}

/// What a reviewer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is this person.
    Confirm,
    /// It is not.
    Reject,
    /// Cannot tell; counts for neither side.
    Unsure,
}

impl Verdict {
    /// The word used in the journal and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Reject => "reject",
            Self::Unsure => "unsure",
        }
    }

    /// The verdict that [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Confirm, Self::Reject, Self::Unsure].into_iter().find(|verdict| verdict.as_str() == text)
    }
}

/// A vote's reason is cut to this many characters: a sentence or two.
pub const REASON_CHARS_MAX: usize = 300;

/// One person's say on one alert.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Vote {
    /// Who, as the daemon authenticated them (`uid:1000`, `reviewer:sato`); never a name the client sent.
    pub reviewer: String,
    /// What they said.
    pub verdict: Verdict,
    /// Why, in their words or one of the page's; at most [`REASON_CHARS_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub wall: WallMs,
}

/// The numbers behind a stage, as they were when it was reached.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EvidenceRecord {
    /// Fused cosine similarity with the person's prototype.
    pub cosine: f32,
    /// Natural-log likelihood ratio of that similarity at this face size and frame count.
    pub llr: f32,
    /// Log likelihood ratio ahead of the runner-up; absent with one person in the gallery.
    pub runner_up_gap: Option<f32>,
    /// The false-positive identification rate the threshold in force was derived from, per track.
    pub target_fpir: f64,
    /// Median inter-eye distance of the frames used, in source pixels.
    pub inter_eye_px: f32,
    /// Frames fused.
    pub frames_used: u32,
    /// Frames of the track that were left out, by reason.
    pub frames_unfit: Vec<(String, u32)>,
    /// SHA-256 of the embedder's file, in hex.
    pub model_digest: String,
    /// Name of the calibration in force.
    pub calibration_id: String,
}

/// What the second network made of the best frames.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecondOpinion {
    /// Whether it speaks for the person clearly enough for the policy.
    pub agrees: bool,
    /// Fused cosine similarity with the person's prototype, both by the second network.
    pub cosine: f32,
    /// Natural-log likelihood ratio of that similarity, by the second network's own calibration.
    pub llr: f32,
    /// Both networks' evidence together, as natural-log likelihood ratio: as measured for the pair
    /// ([`crate::calibration::Pairing::combined`]), else their mean.
    pub combined_llr: f32,
    /// Median inter-eye distance of the frames used, in source pixels.
    pub inter_eye_px: f32,
    /// Frames fused.
    pub frames_used: u32,
    /// SHA-256 of the second network's file, in hex.
    pub model_digest: String,
    /// Name of its calibration.
    pub calibration_id: String,
}

/// An alert as it stands.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AlertRecord {
    /// Which incident.
    pub id: AlertId,
    /// Where.
    pub camera: CameraId,
    /// Who it may be.
    pub person: PersonId,
    /// Under which policy.
    pub list: ListId,
    /// What being recognised means for people on that list.
    pub purpose: Purpose,
    /// The track that raised it.
    pub track: TrackId,
    /// How far it has come.
    pub stage: Stage,
    /// Why it is there.
    pub cause: Cause,
    /// When the candidate was raised.
    pub opened: WallMs,
    /// When it changed last.
    pub changed: WallMs,
    /// When it ends by itself if nothing happens; absent once final.
    pub expires: Option<WallMs>,
    /// Distinct people whose vote to confirm the policy asks for.
    pub votes_required: u32,
    /// Votes so far, at most one a reviewer.
    pub votes: Vec<Vote>,
    /// Evidence of the candidate.
    pub candidate: EvidenceRecord,
    /// Evidence of the confirming, disjoint frames, once there.
    pub confirmation: Option<EvidenceRecord>,
    /// What the second network made of the best frames, once asked; absent where none is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<SecondOpinion>,
    /// Who enrolled the person; their vote alone decides nothing. Absent when unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled_by: Option<String>,
    /// Whether it was raised in the list's quiet hours: recorded and reviewed, but sinks that keep quiet are not told.
    #[serde(default)]
    pub quiet: bool,
}

/// One change of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertEvent {
    /// The alert before; absent when it is new.
    pub before: Option<AlertRecord>,
    /// The alert after.
    pub after: AlertRecord,
    /// 1 for the first event of an alert, then counting up by one.
    pub sequence: u32,
}

impl AlertEvent {
    /// `<alert id>.<sequence>`: the idempotency key of every delivery of this event.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("{}.{}", self.after.id, self.sequence)
    }

    /// `new`, `update` or `end`, as in Frigate's event stream.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        if self.after.stage.is_final() {
            "end"
        } else if self.before.is_none() {
            "new"
        } else {
            "update"
        }
    }
}
