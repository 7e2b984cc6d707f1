//! What status says, gathered from the parts at the moment somebody asks.

use super::board::{Board, DecideView, EvidenceView, InForceView, SecondPeople, VerdictCounts};
use super::server::SocketCounts;
use super::wire::SCHEMA_VERSION;
use crate::evidence::retention::Held;
use crate::providers::standing::Standings;
use crate::run::pause::Pause;
use crate::run::suspension;
use crate::sink::standing::SinkView;
use crate::web::counts::WebCounts;
use sekisho_camera::status::CameraStatus;
use sekisho_logic::id::CameraId;
use sekisho_logic::policy::ConfirmBy;
use sekisho_logic::record::Stage;
use sekisho_logic::time::{Clock, Now};
use sekisho_store::{StorageState, StoreHealth};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Facts that do not change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it started.
    pub started: Now,
    /// Networks in use, as JSON: ids, digests, usage, runtime version, device.
    pub models: Value,
    /// On what they run.
    pub standings: Arc<Standings>,
    /// Where the keys come from and what that protects against, as JSON.
    pub keys: Value,
}

/// Everything the routes read from.
pub struct Sources {
    /// Unchanging facts.
    pub facts: Facts,
    /// Whether matching is paused.
    pub pause: Arc<Pause>,
    /// Where the loops pin their views.
    pub board: Arc<Board>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Asks every camera.
    pub cameras: Box<dyn Fn() -> Vec<(CameraId, CameraStatus)> + Send + Sync>,
    /// Asks the store thread.
    pub store: Box<dyn Fn() -> StoreHealth + Send + Sync>,
    /// Asks every sink.
    pub sinks: Box<dyn Fn() -> Vec<SinkView> + Send + Sync>,
    /// What the configuration leaves undone, a sentence each.
    pub undone: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Counters of the socket.
    pub socket: Arc<SocketCounts>,
    /// Counters of the review page.
    pub review: Arc<WebCounts>,
}

/// Resident memory of this process in bytes, from `/proc/self/statm`; 0 where there is none.
#[must_use]
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

impl Sources {
    /// `/v1/status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let (now, decide, delays) = (self.clock.now(), self.board.decide(), self.board.delays());
        let cameras = (self.cameras)();
        let store = (self.store)();
        let mut by_stage = BTreeMap::<&str, u64>::new();
        for (stage, count) in self.board.verdicts().values().flat_map(|counts| &counts.stages) {
            *by_stage.entry(stage.as_str()).or_default() += count;
        }
        let streaming = cameras.iter().filter(|(_, status)| status.state.as_str() == "streaming").count();
        json!({
            "schema-version": SCHEMA_VERSION,
            "version": env!("CARGO_PKG_VERSION"),
            "state": self.state(&store),
            "paused": self.paused(),
            "started": self.facts.started.wall.to_rfc3339(),
            "uptime-s": now.mono.since(self.facts.started.mono).as_secs(),
            "models": self.models(),
            "calibration": self.board.calibration().json,
            "thresholds": thresholds_json(&decide.in_force),
            "keys": self.facts.keys,
            "gallery": {
                "people": decide.gallery_people,
                "revision": decide.gallery_revision,
                "people-without-grounds": self.board.without_grounds(),
            },
            "second": second_json(&decide, self.board.second_people()),
            "alerts": { "open": decide.open.len(), "events-by-stage": by_stage, "held-back-total": decide.held_back_total },
            "suspensions": decide.suspensions.iter().map(suspension::view).collect::<Vec<_>>(),
            "cameras": { "total": cameras.len(), "streaming": streaming },
            "store": store_json(&store, &decide),
            "sinks": (self.sinks)().iter().map(|sink| sink.json(now, None)).collect::<Vec<_>>(),
            "evidence": evidence_json(&self.board.evidence()),
            "retention": retention_json(&self.board),
            "undone": (self.undone)(),
            "candidate-delay-ms": { "p50": delays.p50_ms, "p95": delays.p95_ms, "count": delays.count },
            "faces-dropped-total": self.board.faces_dropped_total(),
            "detector-runs-deferred-total": self.board.overload().0,
            "faces-over-limit-total": self.board.overload().1,
            "overflow-total": decide.overflow_total,
            "memory-bytes": resident_bytes(),
            "clients": {
                "accepted-total": self.socket.accepted_total.load(Ordering::Relaxed),
                "shed-total": self.socket.shed_total.load(Ordering::Relaxed),
                "denied-total": self.socket.denied_total.load(Ordering::Relaxed),
            },
            "review": self.review.json(),
            "pad": "none",
        })
    }

    /// The networks, with where they run now.
    fn models(&self) -> Value {
        let mut models = self.facts.models.clone();
        self.facts.standings.add_to(&mut models);
        models
    }

    fn state(&self, store: &StoreHealth) -> &'static str {
        match store.state {
            StorageState::Failed { .. } => "storage-failed",
            StorageState::Ok if self.pause.is_on() => "paused",
            StorageState::Ok => "watching",
        }
    }

    /// Who paused matching, when and why; null while it is not paused.
    #[must_use]
    pub fn paused(&self) -> Option<Value> {
        let switch = self.pause.why()?;
        Some(json!({ "since": switch.since.to_rfc3339(), "by": switch.by, "reason": switch.reason }))
    }

    /// `/v1/cameras`.
    #[must_use]
    pub fn cameras(&self) -> Value {
        let (decide, verdicts) = (self.board.decide(), self.board.verdicts());
        let cameras: Vec<_> = (self.cameras)()
            .into_iter()
            .map(|(id, status)| {
                let mut view = camera_json(&id, &status);
                counts_into(&mut view, verdicts.get(&id));
                let tracks: Vec<_> = decide.tracks.iter().filter(|track| track.camera == id).collect();
                view.insert("tracks".into(), json!(tracks));
                Value::Object(view)
            })
            .collect();
        json!({ "schema-version": SCHEMA_VERSION, "cameras": cameras })
    }

    /// `/metrics`, in the Prometheus text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        super::metrics::render(&super::metrics::Reading {
            cameras: (self.cameras)(),
            verdicts: self.board.verdicts(),
            stages: self.board.stages(),
            decide: self.board.decide(),
            delays: self.board.delays(),
            faces_dropped_total: self.board.faces_dropped_total(),
            memory_bytes: resident_bytes(),
            paused: self.pause.is_on(),
            storage_failed: matches!((self.store)().state, StorageState::Failed { .. }),
            calibration: self.board.calibration(),
            sinks: (self.sinks)(),
            now: self.clock.now(),
            evidence: self.board.evidence(),
            second_people: self.board.second_people(),
            standings: self.facts.standings.shown(),
        })
    }
}

/// Each class of data that is kept for a time: how much there is, how much is past its time, and why that is still there.
fn retention_json(board: &Board) -> Value {
    let (pictures, sightings) = (board.evidence(), board.sightings());
    let one = |kept: u64, due: u64, exempt: u64, held: Option<Held>| json!({ "kept": kept, "due": due, "on-legal-hold": exempt, "held": held.map(Held::as_str) });
    json!({
        "pictures": one(pictures.pictures, pictures.due, 0, pictures.held),
        "sightings": one(sightings.kept, sightings.due, sightings.exempt, sightings.held),
        "clock-synchronised": crate::clock::synchronised(),
    })
}

/// What the second network was asked and said, and whom it knows; `null` where there is none.
fn second_json(decide: &DecideView, people: SecondPeople) -> Value {
    let Some(counts) = decide.second else { return Value::Null };
    json!({
        "asked-total": counts.asked,
        "agreed-total": counts.agreed,
        "against-total": counts.against,
        "open-total": counts.open,
        "silent-total": counts.silent,
        "late-total": counts.late,
        "people": people.with,
        "people-without": people.without,
    })
}

/// Lists with their rates, and the cosine that each size and look asks for; `null` where nothing is decided.
fn thresholds_json(in_force: &InForceView) -> Value {
    let lists = in_force.lists.iter().map(|(name, fpir, confirm)| {
        let rows = in_force.thresholds.iter().filter(|row| row.list == *name).map(|row| {
            json!({
                "from-px": row.from_px,
                "to-px": row.to_px.is_finite().then_some(row.to_px),
                "frames": row.frames,
                "people": row.people,
                "fmr": row.fmr,
                "cosine": row.cosine.map(|cosine| (f64::from(cosine) * 1e4).round() / 1e4),
            })
        });
        json!({
            "list": name,
            "target-fpir-per-mille": (fpir * 1e9).round() / 1e6,
            "confirm": match confirm {
                ConfirmBy::Machine => "machine",
                ConfirmBy::Human => "human",
                ConfirmBy::TwoPerson => "two-person",
            },
            "by-size": rows.collect::<Vec<_>>(),
        })
    });
    Value::Array(lists.collect())
}

fn counts_into(view: &mut Map<String, Value>, counts: Option<&VerdictCounts>) {
    let empty = VerdictCounts::default();
    let counts = counts.unwrap_or(&empty);
    let undecided: Map<_, _> =
        counts.not_decidable.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect();
    let unfit: Map<_, _> =
        counts.faces_unfit.iter().map(|(why, count)| (why.as_str().to_owned(), json!(count))).collect();
    let stages: Map<_, _> = Stage::ALL
        .iter()
        .filter_map(|stage| Some((stage.as_str().to_owned(), json!(counts.stages.get(stage)?))))
        .collect();
    view.insert("faces".into(), json!(counts.faces));
    view.insert("faces-unfit".into(), Value::Object(unfit));
    view.insert("alert-events".into(), Value::Object(stages));
    view.insert(
        "verdicts".into(),
        json!({
            "identified": counts.identified,
            "not-enrolled": counts.not_enrolled,
            "not-decidable": undecided,
        }),
    );
}

fn camera_json(id: &CameraId, status: &CameraStatus) -> Map<String, Value> {
    let view = json!({
        "name": id,
        "state": status.state.as_str(),
        "last-frame-age-ms": status.last_frame_age_ms,
        "codec": status.codec.map(|codec| codec.as_str()),
        "decoder": status.decoder,
        "width": status.width,
        "height": status.height,
        "fps": status.frames_per_s.map(|fps| (fps * 10.0).round() / 10.0),
        "reconnects-total": status.reconnects_total,
        "frames-decoded-total": status.frames_decoded_total,
        "frames-superseded-total": status.frames_superseded_total,
        "frames-gated-loss-total": status.frames_gated_loss_total,
        "packets-lost-total": status.packets_lost_total,
        "teardowns-stuck-total": status.teardowns_stuck_total,
        "last-error": status.last_error,
        "next-attempt-ms": status.next_attempt_ms,
    });
    match view {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn evidence_json(view: &EvidenceView) -> Value {
    json!({
        "pictures": view.pictures,
        "bytes": view.bytes,
        "due": view.due,
        "held": view.held.map(Held::as_str),
        "written-total": view.written_total,
        "erased-total": view.erased_total,
        "dropped-total": view.dropped_total,
    })
}

fn store_json(health: &StoreHealth, decide: &DecideView) -> Value {
    let (state, cause, since) = match &health.state {
        StorageState::Ok => ("ok", None, None),
        StorageState::Failed { since, cause, .. } => ("storage-failed", Some(cause), Some(since.wall.to_rfc3339())),
    };
    json!({
        "state": state,
        "cause": cause,
        "since": since,
        "events-waiting": health.events_waiting + decide.journal_waiting,
        "events-committed-total": health.events_committed_total,
        "events-dropped-total": health.events_dropped_total + decide.journal_dropped_total,
        "events-refused-total": health.events_refused_total,
        "disk": health.disk.map(|level| format!("{level:?}").to_lowercase()),
        "free-bytes": health.space.map(|space| space.free_bytes),
        "ballast": health.ballast,
    })
}
