//! What the store scenarios share: stories of alerts, dice, a scratch file system that can be filled or locked.

use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::Purpose;
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord, Cause, EvidenceRecord, Stage, Verdict, Vote};
use sekisho_logic::time::WallMs;
use sekisho_store::{DbKey, IfMissing, SigningKey, Store, StoreError};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the sink that the scenarios deliver to.
pub const SINK: &str = "ndjson";

/// A small generator of numbers without visible pattern; the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts at `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number in `low..high` (`low` when the range is empty).
    pub fn roll(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        low + (self.0 >> 16) % high.saturating_sub(low).max(1)
    }
}

/// Complete grounds that last for ever, as far as tests go.
///
/// # Panics
/// Never: nothing is missing.
#[must_use]
pub fn new_grounds() -> NewGrounds {
    let draft = GroundsDraft {
        purpose: Some("entry log".into()),
        legal_basis: Some(LegalBasis::Consent),
        record: Some("HR-7".into()),
        notice: Some("2026-11".into()),
        expires: Some(WallMs(253_402_300_799_000)),
        alternative_offered: true,
    };
    NewGrounds::try_new(draft, Purpose::EntryLog, WallMs(0), u32::MAX).expect("complete")
}

/// A number from the environment, for longer or shorter runs.
#[must_use]
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Opens (or makes) the store in `dir`, with a key file beside it.
///
/// # Errors
/// As the store and the key say.
pub fn open(dir: &Path) -> Result<Store, Box<dyn Error>> {
    let path = dir.join("sekisho.db");
    let if_missing = if path.exists() { IfMissing::Refuse } else { IfMissing::Create };
    let key = DbKey::from_file(&dir.join("db.key"), if_missing)?;
    Ok(Store::create_or_open(&path, key)?)
}

/// The same, signing with a key in a file of its own.
///
/// # Errors
/// As the store and the keys say.
pub fn open_signing(dir: &Path) -> Result<Store, Box<dyn Error>> {
    let mut store = open(dir)?;
    store.sign_with(SigningKey::new(&DbKey::from_file(&dir.join("audit.key"), IfMissing::Create)?));
    Ok(store)
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

/// The four events of one alert, in order: candidate, machine-confirmed, a vote, confirmed.
///
/// # Errors
/// Never with these names; they are checked like any other.
pub fn story(alert: &str, opened: WallMs) -> Result<Vec<AlertEvent>, Box<dyn Error>> {
    let stages = [Stage::Candidate, Stage::MachineConfirmed, Stage::MachineConfirmed, Stage::Confirmed];
    let mut before: Option<AlertRecord> = None;
    let mut events = Vec::new();
    for (stage, sequence) in stages.into_iter().zip(1_u32..) {
        let changed = WallMs(opened.0 + i64::from(sequence));
        let vote = Vote { reviewer: "uid:7".into(), verdict: Verdict::Confirm, reason: None, wall: changed };
        let after = AlertRecord {
            id: AlertId(alert.into()),
            camera: CameraId::try_new("gate")?,
            person: PersonId::try_new("ann-1")?,
            list: ListId::try_new("watch")?,
            track: TrackId(7),
            stage,
            cause: Cause::Evidence,
            opened,
            changed,
            expires: (!stage.is_final()).then_some(WallMs(opened.0 + 60_000)),
            purpose: sekisho_logic::policy::Purpose::Watch,
            votes_required: 1,
            votes: if sequence >= 3 { vec![vote] } else { Vec::new() },
            candidate: evidence(),
            confirmation: (sequence >= 2).then(evidence),
            second: None,
            enrolled_by: None,
            quiet: false,
        };
        events.push(AlertEvent { before: before.clone(), after: after.clone(), sequence });
        before = Some(after);
    }
    Ok(events)
}

/// What a journal holds: event ids in order of commitment, and the sequences of each alert in that order.
pub type Journal = (Vec<String>, BTreeMap<String, Vec<u32>>);

/// Reads the whole journal.
///
/// # Errors
/// As the store says.
pub fn journal(store: &mut Store) -> Result<Journal, StoreError> {
    let (mut ids, mut alerts, mut row) = (Vec::new(), BTreeMap::<String, Vec<u32>>::new(), 0);
    loop {
        let page = store.events_since(row, 500)?;
        let Some(last) = page.last() else { return Ok((ids, alerts)) };
        row = last.row;
        for entry in page {
            ids.push(entry.event.event_id());
            alerts.entry(entry.event.after.id.0.clone()).or_default().push(entry.event.sequence);
        }
    }
}

/// A file system in memory, mounted for the length of a test.
#[derive(Debug)]
pub struct Scratch {
    /// Where it is mounted.
    pub path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Scratch {
    /// Mounts a tmpfs with `options` (`size=3m`). `Err` with the reason when that is not permitted; skip aloud then.
    ///
    /// # Errors
    /// What `mount` said.
    pub fn mount(options: &str) -> Result<Self, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("disk");
        std::fs::create_dir(&path)?;
        run("mount", &["-t", "tmpfs", "-o", &format!("mode=0700,{options}"), "sekisho-test"], &path)?;
        Ok(Self { path, _dir: dir })
    }

    /// Mounts it again with `options` (`ro`, `rw`).
    ///
    /// # Errors
    /// What `mount` said.
    pub fn remount(&self, options: &str) -> Result<(), Box<dyn Error>> {
        run("mount", &["-o", &format!("remount,{options}")], &self.path)
    }

    /// Fills it until `leave_bytes` are free; returns the file to delete.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn fill(&self, leave_bytes: u64) -> Result<PathBuf, Box<dyn Error>> {
        use std::io::Write;
        let filler = self.path.join("filler");
        let free = sekisho_store::Space::measure(&self.path)?.free_bytes;
        let mut file = std::fs::File::create(&filler)?;
        let block = vec![0x55_u8; 4096];
        for _ in 0..free.saturating_sub(leave_bytes) / 4096 {
            if file.write_all(&block).is_err() {
                break;
            }
        }
        Ok(filler)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Lazily, so that a test that failed with the store still open does not leave the mount behind.
        if let Err(error) = run("umount", &["-l"], &self.path) {
            eprintln!("{} stays mounted: {error}", self.path.display());
        }
    }
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Result<(), Box<dyn Error>> {
    let output = Command::new(program).args(arguments).arg(path).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
