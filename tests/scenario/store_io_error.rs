//! The kernel refuses writes for a while with an error that is not "no space". The store holds what it is given, opens the
//! file anew, and saves everything when writes are taken again.
//!
//! The refusal is a file size limit (EFBIG): it needs no privileges and can be lifted from outside while the process runs.

use sekisho_store::AuditVerdict;
use sekisho_tests::store::{journal, open};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn wait_for(lines: &Receiver<String>, acked: &mut Vec<String>, wanted: &str) {
    loop {
        let line = lines.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{wanted:?} was never said"));
        if let Some(id) = line.strip_prefix("ack ") {
            acked.push(id.to_owned());
        }
        if line.starts_with(wanted) {
            return;
        }
    }
}

#[test]
fn refused_writes_are_held_and_saved_when_writes_are_taken_again() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        eprintln!("SKIPPED: prlimit (util-linux) is not installed; refused writes are not tested");
        return;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    open(dir.path()).expect("made").close().expect("closed");
    // 900 KiB: room to begin with; the signal that goes with the limit is ignored so that the write fails instead.
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 1800; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_store_writer")])
        .arg(dir.path())
        .args(["1", "write"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let mut acked = Vec::new();
    wait_for(&lines, &mut acked, "failed");
    let before = acked.len();
    let lifted = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &child.id().to_string()]).status();
    assert!(lifted.expect("prlimit runs").success());
    wait_for(&lines, &mut acked, "saved");
    for _ in 0..20 {
        wait_for(&lines, &mut acked, "ack ");
    }
    child.kill().expect("killed");
    child.wait().expect("reaped");
    for line in lines.iter() {
        acked.extend(line.strip_prefix("ack ").map(str::to_owned));
    }
    let mut store = open(dir.path()).expect("opened");
    let (ids, alerts) = journal(&mut store).expect("journal");
    let journalled: BTreeSet<&String> = ids.iter().collect();
    assert!(acked.iter().all(|id| journalled.contains(id)), "something acknowledged is lost");
    assert!(alerts.values().all(|sequences| sequences.iter().zip(1..).all(|(sequence, at)| *sequence == at)), "a hole");
    assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new());
    assert!(matches!(store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }));
    let distinct = acked.iter().collect::<BTreeSet<_>>().len();
    println!("acks before writes were refused {before} | events acknowledged {distinct} | journalled {}", ids.len());
}
