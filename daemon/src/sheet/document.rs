//! The sheet as data. The same numbers as on the page, no pictures.

use super::{Sheet, Told, page};
use crate::status::wire;
use sekisho_logic::explain::{Help, LookNote};
use serde_json::{Value, json};

pub(super) fn document(sheet: &Sheet) -> Value {
    let setting = &sheet.setting;
    let tracks: Vec<_> = sheet.tracks.iter().map(|told| track(sheet, told)).collect();
    json!({
        "schema-version": wire::SCHEMA_VERSION,
        "clip": setting.clip,
        "camera": setting.camera,
        "people-compared-with": setting.people,
        "model-digest": setting.model_digest,
        "calibration-id": setting.calibration.id(),
        "candidate-looks-frames": setting.policy.looks,
        "confirm-looks-frames": setting.policy.confirm_looks,
        "tracks": tracks,
    })
}

fn track(sheet: &Sheet, told: &Told) -> Value {
    let mut value = wire::verdict(&told.verdict);
    let sizes = told
        .explanation
        .inter_eye_px()
        .map(|(least, median, most)| json!({ "least": round(least), "median": round(median), "most": round(most) }));
    let more = json!({
        "stages": sheet.stages.get(&told.verdict.track).cloned().unwrap_or_default(),
        "inter-eye-px": sizes,
        "face-list": told.explanation.faces.iter().map(|face| json!({
            "frame": face.stamp.sequence,
            "at-ms": face.stamp.mono.as_millis(),
            "inter-eye-px": round(face.quality.inter_eye_px),
            "sharpness": round(face.quality.sharpness),
            "yaw-deg": round(face.quality.yaw_deg),
            "brightness": round(face.quality.brightness),
            "contrast": round(face.quality.contrast),
            "fate": face.fate.as_str(),
        })).collect::<Vec<_>>(),
        "faces-unlisted": told.explanation.faces_unnoted,
        "looks": told.explanation.looks.iter().map(look).collect::<Vec<_>>(),
        "reason-said": page::reason(told).json(),
        "would-have-helped": told.help.iter().map(help).collect::<Vec<_>>(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn look(look: &LookNote) -> Value {
    let evidence = look.best.as_ref().map(|(_, evidence)| evidence);
    json!({
        "at": look.at.as_str(),
        "at-ms": look.stamp.mono.as_millis(),
        "frames-used": look.frames_used,
        "inter-eye-px": round(look.inter_eye_px),
        "nearest-person": look.best.as_ref().map(|(member, _)| &member.person),
        "cosine": evidence.map(|evidence| round4(evidence.cosine)),
        "cosine-min": look.bar.map(|bar| round4(bar.cosine_min)),
        "llr": evidence.map(|evidence| round(evidence.llr)),
        "llr-min": look.bar.map(|bar| round(bar.llr_min)),
        "runner-up-gap": evidence.and_then(|evidence| evidence.runner_up_gap).map(round),
        "runner-up-gap-min": look.bar.map(|bar| round(bar.gap_llr_min)),
        "compared": look.bar.map(|bar| bar.compared),
        "decision": look.outcome.as_str(),
        "reason": look.outcome.reason().map(sekisho_logic::outcome::Undecidable::as_str),
    })
}

fn help(help: &Help) -> Value {
    let said = page::help(help).json();
    let (kind, have, need) = match *help {
        Help::MoreFrames { have, need } => ("more-frames", json!(have), json!(need)),
        Help::LargerFaces { have_px, need_px } => ("larger-faces", json!(round(have_px)), json!(round(need_px))),
        Help::MoreEvidence { have_llr, need_llr, .. } => {
            ("more-evidence", json!(round(have_llr)), json!(round(need_llr)))
        }
        Help::ApartFromRunnerUp { have_llr, need_llr } => {
            ("apart-from-runner-up", json!(round(have_llr)), json!(round(need_llr)))
        }
        Help::ConfirmingFrames { have, need } => ("confirming-frames", json!(have), json!(need)),
        Help::Sharper { have, need } => ("sharper", json!(round(have)), json!(round(need))),
        Help::Frontal { have_deg, most_deg } => ("frontal", json!(round(have_deg)), json!(round(most_deg))),
        Help::Light { have } => ("light", json!(round(have)), Value::Null),
        Help::WholeFace => ("whole-face", Value::Null, Value::Null),
        Help::SomebodyEnrolled => ("somebody-enrolled", Value::Null, Value::Null),
    };
    json!({ "kind": kind, "have": have, "need": need, "said": said })
}

fn round(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}

fn round4(value: f32) -> f64 {
    (f64::from(value) * 10_000.0).round() / 10_000.0
}
