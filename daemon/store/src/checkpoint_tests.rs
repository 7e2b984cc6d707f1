use super::*;
use crate::audit_verify::AuditVerdict;
use crate::testing::{Bench, person, signing, story};

fn trail(rows: i64) -> Bench {
    let mut bench = Bench::new();
    bench.store.sign_with(signing(7));
    add(&mut bench, 0, rows);
    bench
}

fn add(bench: &mut Bench, from: i64, to: i64) {
    for n in from..to {
        bench.store.audit(WallMs(n * 1000), "uid:7", "test", None, json!({"n": n})).expect("written");
    }
}

fn sign(bench: &mut Bench, known: Option<&Checkpoint>) -> Signed {
    bench.store.audit_checkpoint(known, WallMs(99_000)).expect("asked")
}

fn new(signed: Signed) -> Checkpoint {
    match signed {
        Signed::New(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_head_is_signed_when_it_moved_and_reads_back_from_its_line() {
    let mut bench = trail(3);
    let checkpoint = new(sign(&mut bench, None));
    assert_eq!(Checkpoint::parse(&checkpoint.to_line()), Some(checkpoint.clone()));
    let public = bench.store.signing().expect("a key").public();
    assert!(checkpoint.is_signed_by(std::slice::from_ref(&public)) && checkpoint.key_id == name_of_key(&public));
    assert_eq!(sign(&mut bench, Some(&checkpoint)), Signed::Unmoved);
    add(&mut bench, 3, 4);
    assert_eq!(new(sign(&mut bench, Some(&checkpoint))).seq, 4);
    bench.store.sign_with(None);
    assert_eq!(sign(&mut bench, None), Signed::NoKey);
    for line in ["", "{}", "[1]", &checkpoint.to_line()[1..], &checkpoint.to_line().replace("\"seq\":3", "\"seq\":-3")]
    {
        assert_eq!(Checkpoint::parse(line), None, "{line}");
    }
}

#[test]
fn a_trail_that_does_not_continue_what_was_signed_is_not_signed_again() {
    let mut bench = trail(5);
    let known = new(sign(&mut bench, None));
    let tamper = |bench: &mut Bench, sql: &str| {
        let triggers = "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete;";
        bench.store.read(|c| Ok(c.execute_batch(&format!("{triggers}{sql}"))?)).expect("tampered");
    };
    let cut = "DELETE FROM audit WHERE seq > 2; DELETE FROM audit_checkpoints;
               UPDATE audit_head SET seq = 2, hash = (SELECT hash FROM audit WHERE seq = 2);";
    tamper(&mut bench, cut);
    assert_eq!(sign(&mut bench, Some(&known)), Signed::Broken { seq: 3, how: Break::Truncated });
    add(&mut bench, 10, 20);
    assert_eq!(sign(&mut bench, Some(&known)), Signed::Broken { seq: 5, how: Break::Rewritten });

    let mut bench = trail(5);
    tamper(&mut bench, "UPDATE audit SET detail = '{}' WHERE seq = 4;");
    assert_eq!(sign(&mut bench, None), Signed::Broken { seq: 4, how: Break::Edited });
}

#[test]
fn rows_past_the_audit_retention_go_from_the_beginning_and_the_rest_still_verifies() {
    let mut bench = trail(20);
    new(sign(&mut bench, None));
    assert_eq!(bench.store.audit_stock(WallMs(8000)).expect("asked"), (20, 8));
    assert_eq!(bench.store.audit_forget(WallMs(8000), WallMs(100_000)).expect("given up"), 8);
    assert_eq!(bench.store.audit_forget(WallMs(8000), WallMs(100_000)).expect("none left"), 0);
    add(&mut bench, 101, 104);
    new(sign(&mut bench, None));
    let report = bench.store.audit_verify().expect("verified");
    assert_eq!((report.from, report.rows, report.signed_to), (9, 16, 24));
    assert!(matches!(report.verdict, AuditVerdict::Intact { .. }), "{report:?}");
    assert_eq!(bench.store.audit_forget(WallMs(15_000), WallMs(200_000)).expect("given up"), 7);
    let report = bench.store.audit_verify().expect("verified");
    assert!(matches!(report.verdict, AuditVerdict::Intact { .. }) && report.from == 16, "{report:?}");
    let rows = bench.store.audit_entries(0, 1).expect("rows");
    assert_eq!(rows[0].seq, 16);
    let refused = bench.store.read(|c| Ok(c.execute_batch("DELETE FROM audit WHERE seq = 17")?)).expect_err("guarded");
    assert!(refused.to_string().contains("append-only"), "{refused}");
}

#[test]
fn a_broken_trail_is_not_shortened_and_nothing_goes_without_a_key() {
    let mut bench = trail(6);
    bench.store.sign_with(None);
    assert!(matches!(bench.store.audit_forget(WallMs(3000), WallMs(9)), Err(StoreError::Refused { .. })));
    bench.store.sign_with(signing(7));
    let edit = "DROP TRIGGER audit_no_update; UPDATE audit SET actor = 'x' WHERE seq = 2;";
    bench.store.read(|c| Ok(c.execute_batch(edit)?)).expect("tampered");
    let error = bench.store.audit_forget(WallMs(3000), WallMs(9)).expect_err("refused").to_string();
    assert!(error.contains("row 2"), "{error}");
    assert_eq!(bench.count("SELECT count(*) FROM audit"), 6);
}

#[test]
fn rows_about_somebody_under_a_hold_stay_with_all_that_follow() {
    let mut bench = trail(4);
    let new = crate::testing::enrolment("ann-1");
    bench.store.enrol(crate::Enrol::Add, &new, "uid:0", WallMs(4000)).expect("enrolled");
    for event in story("a-1") {
        bench.store.append(&event, &[], "daemon").expect("journalled");
    }
    bench.store.hold(&person("ann-1"), "case 7", "uid:0", WallMs(6000)).expect("held");
    assert_eq!(bench.store.audit_forget(WallMs(i64::MAX), WallMs(9000)).expect("given up"), 4, "up to the enrolment");
    bench.store.unhold(&person("ann-1"), "case closed", "uid:0", WallMs(9500)).expect("released");
    assert!(bench.store.audit_forget(WallMs(9400), WallMs(9600)).expect("given up") > 4);
}

#[test]
fn a_delivery_carries_the_row_that_was_written_with_its_event() {
    let mut bench = trail(2);
    bench.store.append(&story("a-1")[0], &["hook"], "daemon").expect("journalled");
    let head = bench.store.audit_head().expect("head");
    add(&mut bench, 2, 5);
    let due = bench.store.pending("hook", WallMs(5000), &crate::RetryPolicy::default(), 9).expect("due");
    let anchor = due[0].audit.clone().expect("anchored");
    assert_eq!((anchor.seq, anchor.hash), head);
}
