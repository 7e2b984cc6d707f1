//! The shapes that leave the daemon: alert events and track verdicts, as JSON.
//!
//! Event envelopes follow Frigate's `type / before / after`, with our own fields. Numbers are what they are called: a
//! log likelihood ratio, a target rate, pixels. There is no percentage anywhere. Nothing here holds a picture or an
//! embedding.

use sekisho_logic::outcome::TrackVerdict;
use sekisho_logic::record::{AlertEvent, AlertRecord, EvidenceRecord, SecondOpinion};
use sekisho_store::OutboxItem;
use serde_json::{Value, json};

/// Version of every JSON document this daemon emits. Fields may be added without raising it.
pub const SCHEMA_VERSION: u32 = 1;

/// An alert as clients see it.
#[must_use]
pub fn alert(record: &AlertRecord) -> Value {
    let latest = record.confirmation.as_ref().unwrap_or(&record.candidate);
    json!({
        "id": record.id,
        "camera": record.camera,
        "person": record.person,
        "list": record.list,
        "purpose": record.purpose,
        "track": record.track,
        "stage": record.stage,
        "cause": record.cause,
        "quiet": record.quiet,
        "decision": "identified",
        "opened": record.opened.to_rfc3339(),
        "changed": record.changed.to_rfc3339(),
        "expires": record.expires.map(sekisho_logic::time::WallMs::to_rfc3339),
        "votes-required": record.votes_required,
        "enrolled-by": record.enrolled_by,
        "quiet": record.quiet,
        "votes": record.votes.iter().map(|vote| json!({
            "reviewer": vote.reviewer, "verdict": vote.verdict, "reason": vote.reason, "at": vote.wall.to_rfc3339(),
        })).collect::<Vec<_>>(),
        "llr": round(latest.llr),
        "runner-up-gap": latest.runner_up_gap.map(round),
        "fpir": latest.target_fpir,
        "face-px": round(latest.inter_eye_px),
        "frames-used": latest.frames_used,
        "frames-unfit": counts(&latest.frames_unfit),
        "model-digest": latest.model_digest,
        "calibration-id": latest.calibration_id,
        "candidate": evidence(&record.candidate),
        "confirmation": record.confirmation.as_ref().map(evidence),
        "second": record.second.as_ref().map(second),
    })
}

/// What the second network made of the best frames.
fn second(opinion: &SecondOpinion) -> Value {
    json!({
        "agrees": opinion.agrees,
        "cosine": cosine(opinion.cosine),
        "llr": round(opinion.llr),
        "combined-llr": round(opinion.combined_llr),
        "face-px": round(opinion.inter_eye_px),
        "frames-used": opinion.frames_used,
        "model-digest": opinion.model_digest,
        "calibration-id": opinion.calibration_id,
    })
}

/// The numbers behind one stage. What both stages share (network, calibration, target) stands in the alert itself.
fn evidence(evidence: &EvidenceRecord) -> Value {
    json!({
        "cosine": cosine(evidence.cosine),
        "llr": round(evidence.llr),
        "runner-up-gap": evidence.runner_up_gap.map(round),
        "face-px": round(evidence.inter_eye_px),
        "frames-used": evidence.frames_used,
        "frames-unfit": counts(&evidence.frames_unfit),
    })
}

fn counts(unfit: &[(String, u32)]) -> Value {
    Value::Object(unfit.iter().map(|(why, count)| (why.clone(), json!(count))).collect())
}

/// One change of one alert.
#[must_use]
pub fn event(event: &AlertEvent) -> Value {
    json!({
        "schema-version": SCHEMA_VERSION,
        "id": event.event_id(),
        "type": event.kind(),
        "before": event.before.as_ref().map(alert),
        "after": alert(&event.after),
    })
}

/// An event as a sink sends it: with the audit row that was written with it, so that whoever receives it can tell later
/// whether the trail up to there was changed.
#[must_use]
pub fn delivery(item: &OutboxItem) -> Value {
    let mut sent = event(&item.event);
    if let Some(anchor) = &item.audit {
        sent["audit"] = json!({ "seq": anchor.seq, "hash": anchor.hash });
    }
    sent
}

/// The final word on one track. Names a person only when the track was identified.
#[must_use]
pub fn verdict(verdict: &TrackVerdict) -> Value {
    use sekisho_logic::outcome::Outcome;
    let evidence = match &verdict.outcome {
        Outcome::Identified { evidence, .. } => Some(evidence),
        Outcome::NotEnrolled | Outcome::NotDecidable(_) => None,
    };
    let person = match &verdict.outcome {
        Outcome::Identified { person, .. } => Some(person),
        Outcome::NotEnrolled | Outcome::NotDecidable(_) => None,
    };
    json!({
        "schema-version": SCHEMA_VERSION,
        "type": "track",
        "camera": verdict.camera,
        "track": verdict.track,
        "decision": verdict.outcome.as_str(),
        "reason": verdict.outcome.reason().map(sekisho_logic::outcome::Undecidable::as_str),
        "person": person,
        "llr": evidence.map(|e| round(e.llr)),
        "began": verdict.began.wall.to_rfc3339(),
        "ended": verdict.ended.wall.to_rfc3339(),
        "faces": verdict.faces,
        "frames-used": verdict.frames_used,
        "face-px": round(verdict.inter_eye_px),
        "frames-unfit": verdict.unfit.iter().map(|(why, n)| (why.as_str().to_owned(), json!(n)))
            .collect::<serde_json::Map<_, _>>(),
    })
}

/// Four decimals: two templates of the same pictures differ in the fifth.
fn cosine(value: f32) -> f64 {
    (f64::from(value) * 10_000.0).round() / 10_000.0
}

/// Two decimals: what the measurement carries.
fn round(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}
