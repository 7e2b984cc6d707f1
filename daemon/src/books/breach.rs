//! What somebody needs at hand in the 72 hours after a breach (GDPR Art. 33, APPI Art. 26): which kinds of data there are and
//! how many, how they are protected, who had access, what went out, and whether the books are whole. Nothing about anybody.

use crate::cmd::Failure;
use crate::cmd::audit::{Verified, checked, row};
use crate::cmd::output::field;
use crate::config::Settings;
use crate::site;
use sekisho_logic::time::WallMs;
use sekisho_store::{AuditFilter, AuditVerdict, DataClass, KeySource, SigningKey, Store};
use serde_json::{Value, json};

/// Rows of one kind in a report; more are a number.
const ROWS_MAX: u32 = 200;
/// Actions by which somebody got at data or let others get at it.
const ACCESS: [&str; 9] = [
    "review-login",
    "review-refused",
    "review-ticket-as",
    "pictures-shown",
    "export",
    "backup",
    "restore",
    "reviewer-added",
    "reviewer-removed",
];

/// The report; `since` narrows down who had access, not what there is.
///
/// # Errors
/// [`Failure::No`] when the database cannot be read.
pub fn report(settings: &Settings, store: &mut Store, since: WallMs, now: WallMs) -> Result<Value, Failure> {
    let classes = store.classes().map_err(Failure::no)?;
    let sinks = store.received_by_sinks().map_err(Failure::no)?;
    let mut access = serde_json::Map::new();
    for action in ACCESS {
        let filter = AuditFilter { since: Some(since), action: Some(action.into()), ..AuditFilter::default() };
        let rows = store.audit_find(&filter, ROWS_MAX).map_err(Failure::no)?;
        access.insert(action.to_owned(), rows.iter().map(row).collect());
    }
    let reviewers = store.reviewers().map_err(Failure::no)?.into_iter().map(|one| {
        json!({ "name": one.name, "role": one.role.as_str(), "unix-uid": one.unix_uid,
                "seen": one.seen.map(WallMs::to_rfc3339), "added": one.added.to_rfc3339() })
    });
    let reviewers: Vec<_> = reviewers.collect();
    let key = |source: KeySource| match source {
        KeySource::Credential => "a systemd credential: as well protected as the host's key or TPM it is sealed with",
        KeySource::File => "a file beside the database: whoever took the disk has both",
        KeySource::Network => "asked from a key server at each start: nothing on the disk opens the database",
        KeySource::Given => "handed over by the program",
    };
    let source = site::database_key(settings)?.source();
    let Verified { report, .. } = checked(settings, store, &[], None)?;
    let (seq, head) = store.audit_head().map_err(Failure::no)?;
    let class = |class: &DataClass| {
        let at = |ms: Option<i64>| ms.map(|ms| WallMs(ms).to_rfc3339());
        json!({ "name": class.name, "count": class.count, "first": at(class.first_ms), "last": at(class.last_ms) })
    };
    let configured: Vec<_> = settings
        .sinks
        .iter()
        .map(|(name, sink)| json!({ "name": name.to_string(), "kind": sink.kind.as_str() }))
        .collect();
    Ok(json!({
        "drawn-up": now.to_rfc3339(), "since": since.to_rfc3339(),
        "data": classes.iter().map(class).collect::<Vec<_>>(),
        "protection": {
            "database": "AES-256 (SQLCipher), whole file", "key": key(source),
            "signing-key-id": store.signing().map(SigningKey::id),
        },
        "access": access, "reviewers": reviewers,
        "sinks": { "configured": configured, "received": sinks.iter().map(class).collect::<Vec<_>>() },
        "audit": {
            "head": { "seq": seq, "hash": head }, "rows": report.rows, "signed-to": report.signed_to,
            "whole": matches!(report.verdict, AuditVerdict::Intact { .. }),
            "broken": match report.verdict {
                AuditVerdict::Intact { .. } => json!(null),
                AuditVerdict::Broken { seq, how } => json!({ "seq": seq, "how": how.to_string() }),
            },
        },
    }))
}

/// The report in Markdown.
#[must_use]
pub fn markdown(report: &Value) -> String {
    let mut text = vec![
        "# Data at this installation, for a breach notice".to_owned(),
        format!(
            "Drawn up {} by `sekisho breach-report`; access since {}.",
            field(report, "drawn-up"),
            field(report, "since")
        ),
        "It tells numbers, times and users; no person who is enrolled or was seen is named.".to_owned(),
        "## Kinds of data".to_owned(),
        "| kind | records | first | last |\n|---|---|---|---|".to_owned(),
    ];
    let each = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let line = |one: &Value| ["name", "count", "first", "last"].map(|name| field(one, name)).join(" | ");
    text.extend(each(&report["data"]).iter().map(|one| format!("| {} |", line(one))));
    text.push("Photographs, templates and pictures are biometric data (GDPR Art. 9(1)).".to_owned());
    text.push("## Protection".to_owned());
    text.push(format!("- Database: {}", field(&report["protection"], "database")));
    text.push(format!("- Its key: {}", field(&report["protection"], "key")));
    text.push("## Who had access".to_owned());
    for (action, rows) in report["access"].as_object().into_iter().flatten() {
        let rows = each(rows);
        text.push(format!("- {action}: {} (at most {ROWS_MAX} are shown)", rows.len()));
        text.extend(rows.iter().map(|row| {
            let detail = &row["detail"];
            format!("  - {} by {} {} (row {})", field(row, "at"), field(row, "actor"), detail, field(row, "seq"))
        }));
    }
    text.push("Reviewers:".to_owned());
    text.extend(
        each(&report["reviewers"])
            .iter()
            .map(|one| format!("- {} ({}), last seen {}", field(one, "name"), field(one, "role"), field(one, "seen"))),
    );
    text.push("## What went out".to_owned());
    text.push("| sink | deliveries kept on record | first | last |\n|---|---|---|---|".to_owned());
    text.extend(each(&report["sinks"]["received"]).iter().map(|one| format!("| {} |", line(one))));
    text.push("Deliveries hold no picture and no template; settled ones leave the record after a while.".to_owned());
    text.push("## The audit trail".to_owned());
    let audit = &report["audit"];
    text.push(format!(
        "- {}; head {} {}; signed up to row {}",
        if audit["whole"] == true { "whole".to_owned() } else { format!("BROKEN: {}", audit["broken"]) },
        field(&audit["head"], "seq"),
        field(&audit["head"], "hash"),
        field(audit, "signed-to"),
    ));
    // Tables stay in one piece.
    let mut out = String::new();
    for (at, piece) in text.iter().enumerate() {
        let table_goes_on = piece.starts_with("| ") && at > 0 && text[at - 1].starts_with('|');
        let list_goes_on =
            piece.trim_start().starts_with("- ") && at > 0 && text[at - 1].trim_start().starts_with("- ");
        out.push_str(if at == 0 {
            ""
        } else if table_goes_on || list_goes_on {
            "\n"
        } else {
            "\n\n"
        });
        out.push_str(piece);
    }
    out
}
