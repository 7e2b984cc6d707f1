//! What this crate's own tests share: a store in a temporary directory, and events to put into it.

use crate::{DbKey, Store};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::Purpose;
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord, Cause, EvidenceRecord, Stage, Verdict, Vote};
use sekisho_logic::time::WallMs;
use std::path::PathBuf;

pub(crate) const KEY: [u8; 32] = [0x5a; 32];

pub(crate) fn key() -> DbKey {
    DbKey::from_bytes(KEY)
}

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let store = Store::create_or_open(&dir.path().join("sekisho.db"), key()).expect("made");
        Self { store, dir }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("sekisho.db")
    }

    /// The store as the next process would see it.
    pub(crate) fn reload(&mut self) {
        self.store = Store::open_existing(&self.path(), key()).expect("opened again");
    }

    pub(crate) fn count(&mut self, sql: &str) -> i64 {
        self.store.read(|connection| Ok(connection.query_row(sql, [], |row| row.get(0))?)).expect(sql)
    }
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::try_new(name).expect("a name")
}

pub(crate) fn list(name: &str) -> ListId {
    ListId::try_new(name).expect("a name")
}

/// A key to sign with, another for each `seed`.
pub(crate) fn signing(seed: u8) -> Option<crate::SigningKey> {
    crate::SigningKey::new(&DbKey::from_bytes([seed; 32]))
}

/// Somebody on the list `watch`, without photographs.
pub(crate) fn enrolment(name: &str) -> crate::Enrolment {
    crate::Enrolment {
        person: person(name),
        list: list("watch"),
        display_name: Some("Ann Example".into()),
        grounds: grounds(),
        photos: Vec::new(),
        faces: Vec::new(),
        templates: Vec::new(),
    }
}

/// Complete grounds that last for ever, as far as tests go.
pub(crate) fn grounds() -> NewGrounds {
    grounds_until(WallMs(253_402_300_799_000))
}

pub(crate) fn grounds_until(expires: WallMs) -> NewGrounds {
    let draft = GroundsDraft {
        purpose: Some("entry".into()),
        legal_basis: Some(LegalBasis::Consent),
        record: Some("HR-7".into()),
        notice: Some("3".into()),
        expires: Some(expires),
        alternative_offered: true,
    };
    NewGrounds::try_new(draft, Purpose::EntryLog, WallMs(0), u32::MAX).expect("complete")
}

/// Bytes that occur nowhere else, so that they can be looked for in files.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // xorshift64; any generator without visible structure would do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// A unit vector that depends on `seed`.
pub(crate) fn embedding(dim: usize, seed: u64) -> Embedding {
    let bytes = noise(dim * 2, seed);
    let raw: Vec<f32> = bytes.chunks_exact(2).map(|pair| f32::from(i16::from_be_bytes([pair[0], pair[1]]))).collect();
    Embedding::try_new(&raw).expect("finite and not zero")
}

fn evidence() -> EvidenceRecord {
    EvidenceRecord {
        cosine: 0.61,
        llr: 9.25,
        runner_up_gap: Some(3.5),
        target_fpir: 1e-3,
        inter_eye_px: 21.5,
        frames_used: 6,
        frames_unfit: vec![("blurred".into(), 2)],
        model_digest: "ab".repeat(32),
        calibration_id: "sface-2021dec/1".into(),
    }
}

pub(crate) fn record(alert: &str, stage: Stage) -> AlertRecord {
    let confirmed = stage != Stage::Candidate && stage != Stage::Withdrawn;
    AlertRecord {
        id: AlertId(alert.into()),
        camera: CameraId::try_new("gate").expect("a name"),
        person: person("ann-1"),
        list: list("watch"),
        track: TrackId(7),
        stage,
        cause: Cause::Evidence,
        opened: WallMs(1000),
        changed: WallMs(1000),
        expires: (!stage.is_final()).then_some(WallMs(61_000)),
        purpose: sekisho_logic::policy::Purpose::Watch,
        votes_required: 1,
        votes: Vec::new(),
        candidate: evidence(),
        confirmation: confirmed.then(evidence),
        second: None,
        enrolled_by: None,
        quiet: false,
    }
}

pub(crate) fn vote(reviewer: &str, verdict: Verdict) -> Vote {
    Vote { reviewer: reviewer.into(), verdict, reason: None, wall: WallMs(1500) }
}

/// The first four events of an alert, in order: candidate, machine-confirmed, a vote, confirmed.
pub(crate) fn story(alert: &str) -> Vec<AlertEvent> {
    let stages = [Stage::Candidate, Stage::MachineConfirmed, Stage::MachineConfirmed, Stage::Confirmed];
    let mut before: Option<AlertRecord> = None;
    let mut events = Vec::new();
    for (stage, sequence) in stages.into_iter().zip(1_u32..) {
        let mut after = record(alert, stage);
        after.changed = WallMs(1000 + i64::from(sequence));
        if sequence >= 3 {
            after.votes.push(vote("uid:7", Verdict::Confirm));
        }
        events.push(AlertEvent { before: before.clone(), after: after.clone(), sequence });
        before = Some(after);
    }
    events
}
