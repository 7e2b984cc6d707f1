//! Runs of the daemon: which boot and run an event belongs to, and whether the run before ended in order.

use crate::audit::{self, Entry};
use crate::error::StoreError;
use crate::open::Store;
use rusqlite::{OptionalExtension, params};
use sekisho_logic::time::WallMs;
use serde_json::json;

/// What is noted about a run.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The kernel's random id of this boot.
    pub boot_id: String,
    /// Version of the program.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// How the run before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRun {
    /// There was none.
    None,
    /// In order.
    Stopped {
        /// When.
        at: WallMs,
    },
    /// It did not end by itself: killed, crashed, or the power went.
    Broke {
        /// When it had begun.
        started: WallMs,
    },
}

impl Store {
    /// Notes that a run begins. Everything journalled from here on carries its number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_run(&mut self, info: &RunInfo, now: WallMs) -> Result<LastRun, StoreError> {
        let (run, last) = self.write(|transaction| {
            let last: Option<(i64, Option<i64>)> = transaction
                .query_row("SELECT started_ms, stopped_ms FROM runs ORDER BY id DESC LIMIT 1", [], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            transaction.execute(
                "INSERT INTO runs (boot_id, version, pid, started_ms) VALUES (?1, ?2, ?3, ?4)",
                params![info.boot_id, info.version, info.pid, now.0],
            )?;
            let run = transaction.last_insert_rowid();
            let last = match last {
                None => LastRun::None,
                Some((_, Some(at))) => LastRun::Stopped { at: WallMs(at) },
                Some((started, None)) => LastRun::Broke { started: WallMs(started) },
            };
            let detail = json!({
                "boot": info.boot_id, "version": info.version,
                "last": match last { LastRun::None => "none", LastRun::Stopped { .. } => "stopped", LastRun::Broke { .. } => "broke" },
            });
            let subject = format!("run-{run}");
            let entry = Entry { wall: now, actor: "daemon", action: "run-start", subject: Some(&subject), detail };
            audit::record(transaction, &entry)?;
            Ok((run, last))
        })?;
        self.run = Some(run);
        Ok(last)
    }

    /// Notes that the run ends in order. Nothing when none was begun.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn end_run(&mut self, now: WallMs) -> Result<(), StoreError> {
        let Some(run) = self.run else { return Ok(()) };
        self.write(|transaction| {
            transaction.execute("UPDATE runs SET stopped_ms = ?2 WHERE id = ?1", [run, now.0])?;
            let subject = format!("run-{run}");
            let entry =
                Entry { wall: now, actor: "daemon", action: "run-stop", subject: Some(&subject), detail: json!({}) };
            audit::record(transaction, &entry)
        })?;
        self.run = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_run_that_did_not_stop_is_noticed_by_the_next() {
        let mut bench = Bench::new();
        let info = RunInfo { boot_id: "b-1".into(), version: "0.1.0".into(), pid: 7 };
        assert_eq!(bench.store.begin_run(&info, WallMs(10)).expect("begun"), LastRun::None);
        bench.reload();
        assert_eq!(bench.store.begin_run(&info, WallMs(20)).expect("begun"), LastRun::Broke { started: WallMs(10) });
        bench.store.end_run(WallMs(30)).expect("ended");
        bench.store.end_run(WallMs(31)).expect("ending twice is harmless");
        assert_eq!(bench.store.begin_run(&info, WallMs(40)).expect("begun"), LastRun::Stopped { at: WallMs(30) });
        let actions: Vec<_> = bench.store.audit_entries(0, 10).expect("rows").into_iter().map(|e| e.action).collect();
        assert_eq!(actions, ["run-start", "run-start", "run-stop", "run-start"]);
    }
}
