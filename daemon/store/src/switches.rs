//! Switches that outlive a restart: who turned them on, when and why.

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::open::Store;
use rusqlite::{OptionalExtension as _, params};
use sekisho_logic::time::WallMs;
use serde_json::json;

/// The name of the switch that stops all matching.
pub const PAUSE_MATCHING: &str = "pause-matching";
/// A reason is a line, not a document.
const REASON_BYTES_MAX: usize = 500;

/// A switch that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// When it was turned on.
    pub since: WallMs,
    /// By whom.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
}

impl Store {
    /// The switch `name`; `None` while it is off.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn switch(&mut self, name: &str) -> Result<Option<Switch>, StoreError> {
        self.read(|connection| {
            let row = connection
                .prepare_cached("SELECT since_ms, by, reason FROM switches WHERE name = ?1")?
                .query_row([name], |row| {
                    Ok(Switch { since: WallMs(row.get(0)?), by: row.get(1)?, reason: row.get(2)? })
                })
                .optional()?;
            Ok(row)
        })
    }

    /// Turns `name` on (with a reason) or off (`None`), with its audit row. False when it was so already; nothing is then
    /// written.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the reason is empty or too long; otherwise the state of the disk.
    pub fn set_switch(
        &mut self,
        name: &str,
        reason: Option<&str>,
        actor: &str,
        now: WallMs,
    ) -> Result<bool, StoreError> {
        if reason.is_some_and(|reason| reason.trim().is_empty() || reason.len() > REASON_BYTES_MAX) {
            return Err(StoreError::refused(format!("{name}: a reason of 1 to {REASON_BYTES_MAX} bytes is needed")));
        }
        self.write(|transaction| {
            let changed = match reason {
                Some(reason) => transaction.execute(
                    "INSERT INTO switches (name, since_ms, by, reason) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                    params![name, now.0, actor, reason],
                )?,
                None => transaction.execute("DELETE FROM switches WHERE name = ?1", [name])?,
            };
            if changed > 0 {
                let action = format!("{name}-{}", if reason.is_some() { "on" } else { "off" });
                let detail = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
                audit::record(transaction, &Entry { wall: now, actor, action: &action, subject: None, detail })?;
            }
            Ok(changed > 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_switch_stays_on_over_a_restart_and_leaves_its_traces_in_the_trail() {
        let mut bench = Bench::new();
        let set = |bench: &mut Bench, reason, at| {
            bench.store.set_switch(PAUSE_MATCHING, reason, "uid:7", WallMs(at)).expect("written")
        };
        assert!(set(&mut bench, Some("the works council asked"), 5));
        assert!(!set(&mut bench, Some("again"), 6), "the first reason stands");
        bench.reload();
        let switch = bench.store.switch(PAUSE_MATCHING).expect("read").expect("on");
        assert_eq!((switch.since, switch.reason.as_str()), (WallMs(5), "the works council asked"));
        assert!(set(&mut bench, None, 7) && !set(&mut bench, None, 8));
        assert_eq!(bench.store.switch(PAUSE_MATCHING).expect("read"), None);
        let trail = bench.store.audit_entries(0, 10).expect("trail");
        let actions: Vec<_> = trail.iter().map(|entry| entry.action.as_str()).collect();
        assert_eq!(actions, ["pause-matching-on", "pause-matching-off"]);
        let empty = bench.store.set_switch(PAUSE_MATCHING, Some(" "), "uid:7", WallMs(9));
        assert!(matches!(empty, Err(StoreError::Refused { .. })), "{empty:?}");
    }
}
