//! `fsync` fails at many points: while the store is opened, while it writes, while it folds its log back. It must not take a
//! commit for durable whose sync failed, and must go on by itself once syncs work again.

use sekisho_store::AuditVerdict;
use sekisho_tests::store::{journal, open};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the writer for 25 alerts with the `first`th to `first + 2`nd sync of each of its threads failing.
fn write_with_failing_syncs(dir: &Path, first: u32) -> std::io::Result<Output> {
    let last = first + 2;
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"])
        .arg(format!("inject=fsync,fdatasync:error=EIO:when={first}..{last}"))
        .arg(env!("CARGO_BIN_EXE_store_writer"))
        .arg(dir)
        .args([first.to_string().as_str(), "25"])
        .output()
}

#[test]
fn a_commit_whose_sync_failed_is_not_acknowledged_and_is_made_good() {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: strace is not installed or may not trace here; failing syncs are not tested");
        return;
    }
    let (mut ended, mut held, mut failed_to_open, mut acked_in_all) = (0, 0, 0, 0);
    for first in [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 45] {
        let dir = tempfile::tempdir().expect("temp dir");
        open(dir.path()).expect("made").close().expect("closed");
        let output = write_with_failing_syncs(dir.path(), first).expect("strace runs");
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        held += u32::from(said.lines().any(|line| line == "failed"));
        if output.status.success() {
            ended += 1;
        } else {
            // Only opening may fail, in words: there is nobody yet who could try again.
            assert!(!said.contains("ready") && complaint.contains("store_writer: "), "at {first}: {said} {complaint}");
            failed_to_open += 1;
        }
        let acked: BTreeSet<String> =
            said.lines().filter_map(|line| line.strip_prefix("ack ")).map(str::to_owned).collect();
        let mut store = open(dir.path()).expect("opened");
        let (ids, _) = journal(&mut store).expect("journal");
        assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), acked, "at {first}");
        assert_eq!(acked.len(), if output.status.success() { 100 } else { 0 }, "at {first}: {complaint}");
        assert_eq!(store.integrity_check().expect("checked"), Vec::<String>::new(), "at {first}");
        assert!(matches!(store.audit_verify().expect("verified").verdict, AuditVerdict::Intact { .. }));
        acked_in_all += acked.len();
    }
    println!(
        "runs with failing syncs that went on {ended} (seen to hold events in memory {held}) | that could not open {failed_to_open} | acknowledged {acked_in_all}"
    );
    assert!(ended > 5 && held > 0, "hardly any run met a failing sync while writing");
}
