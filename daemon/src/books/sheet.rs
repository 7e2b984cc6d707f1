//! What AI Act Art. 12(3) asks to be logged of each use of a remote identification, for one alert: (a) the period of the use,
//! (b) the reference database, (c) the input that led to the match, (d) who verified it. Drawn from journal and audit trail.

use crate::cmd::Failure;
use crate::cmd::audit::row;
use crate::cmd::output::field;
use sekisho_logic::record::AlertId;
use sekisho_store::{AuditEntry, AuditFilter, Store};
use serde_json::{Value, json};

/// Rows of one alert: events, pictures, exports. A handful.
const ROWS_MAX: u32 = 1000;

/// The sheet of one alert.
///
/// # Errors
/// [`Failure::No`] when there is no such alert in the audit trail any more.
pub fn of_alert(store: &mut Store, id: &str) -> Result<Value, Failure> {
    let filter = AuditFilter { subject: Some(id.to_owned()), ..AuditFilter::default() };
    let rows = store.audit_find(&filter, ROWS_MAX).map_err(Failure::no)?;
    let missing = || Failure::No(format!("the audit trail has no alert {id}; `sekisho alerts list` shows the latest"));
    let first = rows.iter().find(|row| row.action == "alert").ok_or_else(missing)?.clone();
    let mut before = |action: &str| -> Result<Option<AuditEntry>, Failure> {
        let filter = AuditFilter { action: Some(action.to_owned()), before: Some(first.seq), ..AuditFilter::default() };
        Ok(store.audit_find(&filter, 1).map_err(Failure::no)?.pop())
    };
    let (start, gallery, models) = (before("run-start")?, before("gallery-loaded")?, before("models-loaded")?);
    let calibration = before("calibration-loaded")?;
    let stop = match start.as_ref().and_then(|start| start.subject.clone()) {
        None => None,
        Some(run) => {
            let filter = AuditFilter { action: Some("run-stop".into()), subject: Some(run), ..AuditFilter::default() };
            store.audit_find(&filter, 1).map_err(Failure::no)?.pop()
        }
    };
    let record = store.alert(&AlertId(id.to_owned())).map_err(Failure::no)?.map(|open| open.record);
    let of = |action: &str| rows.iter().filter(|row| row.action == action).map(row).collect::<Vec<_>>();
    let events = of("alert");
    let votes: Vec<_> = events
        .iter()
        .filter(|event| event["detail"]["vote"].is_object())
        .map(|event| {
            let vote = &event["detail"]["vote"];
            json!({ "row": event["seq"], "reviewer": vote["reviewer"], "verdict": vote["verdict"], "at": event["at"] })
        })
        .collect();
    let inputs = of("evidence-kept").into_iter().chain(of("picture-hash"));
    let pictures = inputs.map(|kept| {
        let detail = &kept["detail"];
        let taken = detail["taken-ms"].as_i64().map(|ms| sekisho_logic::time::WallMs(ms).to_rfc3339());
        json!({ "row": kept["seq"], "picture": detail["picture"], "sha256": detail["sha256"], "taken": taken })
    });
    let place = |entry: Option<&AuditEntry>| entry.map(row);
    Ok(json!({
        "alert": id,
        "period": {
            "run": start.as_ref().and_then(|start| start.subject.clone()),
            "start": start.as_ref().map(|start| start.wall.to_rfc3339()),
            "end": stop.as_ref().map(|stop| stop.wall.to_rfc3339()),
            "opened": record.as_ref().map(|record| record.opened.to_rfc3339()),
            "changed": record.as_ref().map(|record| record.changed.to_rfc3339()),
        },
        "reference-database": place(gallery.as_ref()),
        "networks": place(models.as_ref()),
        "calibration": place(calibration.as_ref()),
        "input": { "camera": first_detail(&first, "camera"), "pictures": pictures.collect::<Vec<_>>() },
        "verified-by": votes,
        "events": events,
        "shown": of("pictures-shown"),
    }))
}

fn first_detail(entry: &AuditEntry, name: &str) -> Value {
    serde_json::from_str::<Value>(&entry.detail).map(|detail| detail[name].clone()).unwrap_or_default()
}

/// The sheet for people.
#[must_use]
pub fn lines(sheet: &Value) -> Vec<String> {
    let period = &sheet["period"];
    let database = &sheet["reference-database"];
    let mut lines = vec![
        format!("alert {}", field(sheet, "alert")),
        format!(
            "(a) period of use      {} from {} to {}; alert opened {}",
            field(period, "run"),
            field(period, "start"),
            period["end"].as_str().unwrap_or("now (or it did not stop in order)"),
            field(period, "opened"),
        ),
        format!(
            "(b) reference database version {}, {} people, digest {} (row {})",
            field(&database["detail"], "version"),
            field(&database["detail"], "people"),
            field(&database["detail"], "sha256"),
            field(database, "seq"),
        ),
        format!(
            "    networks           {} (row {}); calibration {}",
            field(&sheet["networks"]["detail"]["embedder"], "id"),
            field(&sheet["networks"], "seq"),
            field(&sheet["calibration"]["detail"], "id"),
        ),
    ];
    let pictures = sheet["input"]["pictures"].as_array().cloned().unwrap_or_default();
    lines.push(format!(
        "(c) input              camera {}, {} pictures",
        field(&sheet["input"], "camera"),
        pictures.len()
    ));
    lines.extend(pictures.iter().map(|picture| {
        format!(
            "    picture {:<6}     taken {}, SHA-256 {} (row {})",
            field(picture, "picture"),
            field(picture, "taken"),
            field(picture, "sha256"),
            field(picture, "row")
        )
    }));
    let votes = sheet["verified-by"].as_array().cloned().unwrap_or_default();
    if votes.is_empty() {
        lines.push("(d) verified by        nobody".to_owned());
    }
    lines.extend(votes.iter().map(|vote| {
        format!(
            "(d) verified by        {}: {} at {} (row {})",
            field(vote, "reviewer"),
            field(vote, "verdict"),
            field(vote, "at"),
            field(vote, "row")
        )
    }));
    lines.extend(sheet["events"].as_array().into_iter().flatten().map(|event| {
        let detail = &event["detail"];
        format!(
            "    row {:<8} {}  {} ({}) by {}",
            field(event, "seq"),
            field(event, "at"),
            field(detail, "stage"),
            field(detail, "cause"),
            field(event, "actor")
        )
    }));
    lines
}
