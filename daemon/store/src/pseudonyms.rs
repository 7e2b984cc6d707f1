//! Alerts and journal without the erased: a number in place of the id, and nothing that was measured of the likeness.

use crate::erase::{Erasure, ErasureCounts, add_counts};
use crate::error::Fault;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use sekisho_logic::id::{ERASED_PREFIX, PersonId};
use sekisho_logic::record::{AlertEvent, AlertRecord, EvidenceRecord};

/// What alerts tell instead of the id.
fn pseudonym(erasure: i64) -> String {
    format!("{}{erasure}", ERASED_PREFIX)
}

/// Takes the id and the measured likeness out of at most `limit` of the person's alerts and all of their journal, and deletes
/// their pictures and what was not delivered of them. Gives how many alerts there were.
pub(crate) fn rename_alerts(transaction: &Transaction<'_>, erasure: &Erasure, limit: u32) -> Result<u64, Fault> {
    let alerts: Vec<(String, String)> = transaction
        .prepare_cached("SELECT id, record FROM alerts WHERE person = ?1 LIMIT ?2")?
        .query_map(params![erasure.person.as_str(), limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    if alerts.is_empty() {
        return Ok(0);
    }
    let name = pseudonym(erasure.id);
    let unguarded = without_trigger(transaction, "journal_no_update")?;
    let mut counts = ErasureCounts { alerts: alerts.len() as u64, ..ErasureCounts::default() };
    for (alert, record) in &alerts {
        transaction.prepare_cached("UPDATE alerts SET person = ?2, record = ?3 WHERE id = ?1")?.execute(params![
            alert,
            name,
            renamed(record, &name)
        ])?;
        let rows: Vec<(i64, Option<String>, String)> = transaction
            .prepare_cached("SELECT row, before, after FROM journal WHERE alert = ?1")?
            .query_map([alert], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<_, _>>()?;
        for (row, before, after) in rows {
            transaction
                .prepare_cached("UPDATE journal SET before = ?2, after = ?3 WHERE row = ?1")?
                .execute(params![row, before.map(|record| renamed(&record, &name)), renamed(&after, &name)])?;
        }
        let gone = |sql: &str| Ok::<u64, Fault>(transaction.prepare_cached(sql)?.execute([alert])? as u64);
        counts.pictures += gone("DELETE FROM evidence WHERE alert = ?1")?;
        counts.deliveries += gone("DELETE FROM outbox WHERE alert = ?1 AND state IN ('pending', 'dead')")?;
    }
    transaction.execute_batch(&unguarded)?;
    add_counts(transaction, erasure.id, counts)?;
    Ok(counts.alerts)
}

/// Drops a trigger for the rest of the transaction; gives the statement that restores it.
fn without_trigger(transaction: &Transaction<'_>, name: &str) -> Result<String, Fault> {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?1";
    let restore: String = transaction.query_row(sql, [name], |row| row.get(0))?;
    transaction.execute_batch(&format!("DROP TRIGGER {name}"))?;
    Ok(restore)
}

/// A record as JSON without the person. One that does not read is emptied: better no record than the id.
fn renamed(json: &str, name: &str) -> String {
    let record = serde_json::from_str::<AlertRecord>(json)
        .ok()
        .and_then(|mut record| forget_person(&mut record, name).then(|| serde_json::to_string(&record).ok()).flatten());
    record.unwrap_or_else(|| "{}".into())
}

/// Puts the pseudonym in place of the person, and takes out how alike the face was. False for an impossible name.
fn forget_person(record: &mut AlertRecord, name: &str) -> bool {
    let Ok(person) = PersonId::try_new(name) else { return false };
    record.person = person;
    let blank = |of: &mut EvidenceRecord| (of.cosine, of.llr, of.runner_up_gap) = (0.0, 0.0, None);
    blank(&mut record.candidate);
    record.confirmation.iter_mut().for_each(blank);
    if let Some(second) = &mut record.second {
        (second.cosine, second.llr, second.combined_llr) = (0.0, 0.0, 0.0);
    }
    true
}

/// An event about somebody whose rows are erased is journalled without them: a running daemon may still end their alerts. Gives
/// whether it was so.
pub(crate) fn without_the_erased(connection: &Connection, event: &AlertEvent) -> Result<Option<AlertEvent>, Fault> {
    let erasure: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM erasures WHERE person = ?1 AND step IN ('rows-deleted', 'scrubbed', 'done')
                 AND (asked_ms >= ?2 OR NOT EXISTS (SELECT 1 FROM people WHERE id = ?1))
             ORDER BY asked_ms >= ?2 DESC, abs(asked_ms - ?2), id LIMIT 1",
        )?
        .query_row(params![event.after.person.as_str(), event.after.opened.0], |row| row.get(0))
        .optional()?;
    Ok(erasure.map(|erasure| {
        let (mut event, name) = (event.clone(), pseudonym(erasure));
        forget_person(&mut event.after, &name);
        if let Some(before) = &mut event.before {
            forget_person(before, &name);
        }
        event
    }))
}
