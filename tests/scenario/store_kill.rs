//! The daemon's stand-in is killed with SIGKILL again and again on the same database. Afterwards everything that was ever
//! acknowledged is in the journal, everything in the journal is delivered, and file and audit chain are whole.

use sekisho_store::AuditVerdict;
use sekisho_tests::store::{Dice, SINK, journal, open, setting};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn start(dir: &Path, run: u64, mode: &str) -> (Child, Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_store_writer"))
        .arg(dir)
        .arg(run.to_string())
        .arg(mode)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let lines = follow(child.stdout.take().expect("piped"));
    (child, lines)
}

/// Whole lines only: what a kill cut off was not said.
fn follow(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if let Some(whole) = line.strip_suffix('\n') {
                let _ = sender.send(whole.to_owned());
            }
            line.clear();
        }
    });
    lines
}

#[derive(Default)]
struct Tally {
    acked: BTreeSet<String>,
    broke: u64,
    before_ready: u64,
}

impl Tally {
    fn note(&mut self, line: &str) {
        if let Some(id) = line.strip_prefix("ack ") {
            self.acked.insert(id.to_owned());
        }
        self.broke += u64::from(line == "broke");
    }
}

/// One life: start, wait, SIGKILL. One in five is killed at a time counted from its start, so that opening, recovery and
/// migration are hit too; the others while they write.
fn live_and_die(dir: &Path, run: u64, dice: &mut Dice, tally: &mut Tally) {
    let (mut child, lines) = start(dir, run, "write");
    let mut ready = false;
    let wait_ms = if dice.roll(0, 5) == 0 {
        dice.roll(1, 40)
    } else {
        loop {
            let line = lines.recv_timeout(Duration::from_secs(30)).expect("the writer gets ready");
            tally.note(&line);
            if line == "ready" {
                ready = true;
                break;
            }
        }
        dice.roll(20, 151)
    };
    std::thread::sleep(Duration::from_millis(wait_ms));
    child.kill().expect("killed");
    let status = child.wait().expect("reaped");
    assert!(status.code().is_none(), "run {run} ended by itself: {status}");
    // Everything said before the kill is still in the pipe.
    for line in lines.iter() {
        ready |= line == "ready";
        tally.note(&line);
    }
    tally.before_ready += u64::from(!ready);
}

/// Deliveries by event id, and lines that a kill cut in two.
fn deliveries(dir: &Path) -> (BTreeMap<String, u64>, Vec<String>, u64) {
    let text = std::fs::read_to_string(dir.join("delivered.ndjson")).expect("delivered");
    let (mut times, mut order, mut torn) = (BTreeMap::new(), Vec::new(), 0);
    for line in text.lines() {
        match serde_json::from_str::<serde_json::Value>(line).ok().and_then(|v| Some(v.get("id")?.as_str()?.to_owned()))
        {
            Some(id) => {
                *times.entry(id.clone()).or_insert(0) += 1;
                order.push(id);
            }
            None => torn += 1,
        }
    }
    (times, order, torn)
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_journalled_twice_by_kill_9() {
    let (kills, seed) = (setting("SEKISHO_KILLS", 200), setting("SEKISHO_SEED", 1));
    let dir = tempfile::tempdir().expect("temp dir");
    let (mut dice, mut tally) = (Dice::new(seed), Tally::default());
    for run in 0..kills {
        live_and_die(dir.path(), run, &mut dice, &mut tally);
    }
    let (mut child, lines) = start(dir.path(), kills, "drain");
    let said: Vec<String> = lines.iter().collect();
    assert!(child.wait().expect("ended").success(), "the last run ends in order");
    assert!(said.iter().any(|line| line == "drained"), "{said:?}");

    let mut store = open(dir.path()).expect("opened");
    let (ids, alerts) = journal(&mut store).expect("journal");
    let journalled: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(journalled.len(), ids.len(), "an event id is in the journal twice");
    let lost: Vec<_> = tally.acked.iter().filter(|id| !journalled.contains(id)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    for (alert, sequences) in &alerts {
        let whole: Vec<u32> = (1..=4).take(sequences.len()).collect();
        assert_eq!(sequences, &whole, "{alert} has a hole or is out of order");
    }

    let (times, order, torn) = deliveries(dir.path());
    let undelivered: Vec<_> = ids.iter().filter(|id| !times.contains_key(*id)).collect();
    assert!(undelivered.is_empty(), "journalled and never delivered: {undelivered:?}");
    let unknown: Vec<_> = times.keys().filter(|id| !journalled.contains(id)).collect();
    assert!(unknown.is_empty(), "delivered before it was in the journal: {unknown:?}");
    let mut seen = BTreeMap::<&str, u32>::new();
    for id in &order {
        let (alert, sequence) = id.rsplit_once('.').expect("an event id");
        let (last, sequence): (_, u32) = (seen.entry(alert).or_insert(0), sequence.parse().expect("a number"));
        assert!(sequence <= *last + 1, "{id} was delivered before the events in front of it");
        *last = sequence.max(*last);
    }
    let depths = store.outbox_depths().expect("depths");
    assert!(depths.iter().all(|depth| depth.sink == SINK && depth.pending == 0 && depth.dead == 0), "{depths:?}");

    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new());
    let report = store.audit_verify().expect("verified");
    assert!(matches!(report.verdict, AuditVerdict::Intact { .. }), "{report:?}");
    let duplicates: u64 = times.values().map(|times| times - 1).sum();
    println!(
        "kills {kills} ({} before ready) | acked {} | committed {} | of those not acked {} | duplicates delivered {duplicates} | \
         lines cut in two {torn} | audit rows {} | runs that found the one before broken {}",
        tally.before_ready,
        tally.acked.len(),
        ids.len(),
        ids.len() - tally.acked.len(),
        report.rows,
        tally.broke + u64::from(said.iter().any(|line| line == "broke")),
    );
    assert!(tally.acked.len() as u64 > kills, "too little was written for the test to mean anything");
}
