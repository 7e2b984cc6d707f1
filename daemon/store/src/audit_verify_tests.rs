use super::*;
use crate::checkpoint::Signed;
use crate::testing::{Bench, signing};
use sekisho_logic::time::WallMs;
use serde_json::json;

/// Six rows.
fn trail() -> Bench {
    let mut bench = Bench::new();
    bench.store.sign_with(signing(7));
    add(&mut bench, 0, 6);
    bench
}

fn add(bench: &mut Bench, from: i64, to: i64) {
    for n in from..to {
        let subject = (n % 2 == 0).then_some("ann-1");
        bench.store.audit(WallMs(n), "uid:7", "test", subject, json!({"n": n})).expect("written");
    }
}

fn sign(bench: &mut Bench, at: i64) -> Checkpoint {
    match bench.store.audit_checkpoint(None, WallMs(at)).expect("asked") {
        Signed::New(checkpoint) => checkpoint,
        other => panic!("{other:?}"),
    }
}

/// Full access to the database, without the signing key.
fn tamper(bench: &mut Bench, sql: &str) {
    let triggers = "DROP TRIGGER IF EXISTS audit_no_update; DROP TRIGGER IF EXISTS audit_no_delete;";
    bench.store.read(|c| Ok(c.execute_batch(&format!("{triggers}{sql}"))?)).expect("tampered");
}

/// Computes the chain anew from row `from` on, head and all, as somebody would who knows how it is made.
fn recompute(bench: &mut Bench, from: i64) {
    bench
        .store
        .read(|c| {
            let mut prev: Hash =
                c.query_row("SELECT hash FROM audit WHERE seq = ?1", [from - 1], |row| row.get(0)).unwrap_or([0; 32]);
            let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq >= ?1 ORDER BY seq");
            let rows: Vec<Stored> = c.prepare(&sql)?.query_map([from], stored)?.collect::<Result<_, _>>()?;
            for Stored { entry, .. } in rows {
                let subject = entry.subject.as_deref();
                let hash = chain(&prev, entry.seq, entry.wall, &entry.actor, &entry.action, subject, &entry.detail);
                let sql = "UPDATE audit SET prev_hash = ?2, hash = ?3 WHERE seq = ?1";
                c.execute(sql, rusqlite::params![entry.seq, prev, hash])?;
                c.execute("UPDATE audit_head SET seq = ?1, hash = ?2", rusqlite::params![entry.seq, hash])?;
                prev = hash;
            }
            Ok(())
        })
        .expect("recomputed");
}

fn verdict_after(tampering: &str) -> AuditVerdict {
    let mut bench = trail();
    tamper(&mut bench, tampering);
    bench.store.audit_verify().expect("verified").verdict
}

fn broken(seq: i64, how: Break) -> AuditVerdict {
    AuditVerdict::Broken { seq, how }
}

fn held_against(bench: &mut Bench, kept: &[Checkpoint]) -> AuditVerdict {
    let keys = [bench.store.signing().expect("a key").public()];
    bench.store.audit_verify_with(&keys, kept).expect("verified").verdict
}

#[test]
fn an_untouched_trail_verifies() {
    let mut bench = trail();
    sign(&mut bench, 10);
    add(&mut bench, 6, 8);
    let report = bench.store.audit_verify().expect("verified");
    let (_, head) = bench.store.audit_head().expect("head");
    let wanted = AuditReport {
        from: 1,
        rows: 8,
        checkpoints: 1,
        superseded: 0,
        signed_to: 6,
        verdict: AuditVerdict::Intact { head },
    };
    assert_eq!(report, wanted);
}

#[test]
fn every_edited_column_shows_at_its_row() {
    for column in
        ["wall_ms = 99", "actor = 'uid:8'", "action = 'x'", "subject = 'bob-1'", "subject = NULL", "detail = '{}'"]
    {
        let verdict = verdict_after(&format!("UPDATE audit SET {column} WHERE seq = 3;"));
        assert_eq!(verdict, broken(3, Break::Edited), "{column}");
    }
}

#[test]
fn deletion_reordering_and_truncation_show() {
    assert_eq!(verdict_after("DELETE FROM audit WHERE seq = 1;"), broken(1, Break::Missing));
    assert_eq!(verdict_after("DELETE FROM audit WHERE seq = 4;"), broken(4, Break::Missing));
    assert_eq!(verdict_after("DELETE FROM audit WHERE seq >= 5;"), broken(5, Break::Truncated));
    assert_eq!(verdict_after("DELETE FROM audit;"), broken(1, Break::Truncated));
    let close_the_gap = "DELETE FROM audit WHERE seq = 4; UPDATE audit SET seq = seq - 1 WHERE seq > 4;";
    assert_eq!(verdict_after(close_the_gap), broken(4, Break::Edited));
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
                UPDATE audit SET seq = 3 WHERE seq = 100;";
    assert_eq!(verdict_after(swap), broken(2, Break::Edited));
    let relink = "UPDATE audit SET prev_hash = zeroblob(32) WHERE seq = 3;";
    assert_eq!(verdict_after(relink), broken(3, Break::Edited));
}

/// Whoever may do everything with the database but has no signing key cannot hide it from a kept checkpoint.
#[test]
fn full_access_without_the_signing_key_is_found_out_by_a_kept_checkpoint() {
    // The end cut off, head and checkpoints with it.
    let mut bench = trail();
    let kept = [sign(&mut bench, 10)];
    let cut = "DELETE FROM audit WHERE seq >= 5; DELETE FROM audit_checkpoints;
               UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit WHERE seq = 4);";
    tamper(&mut bench, cut);
    assert!(matches!(held_against(&mut bench, &[]), AuditVerdict::Intact { .. }), "the database alone cannot tell");
    assert_eq!(held_against(&mut bench, &kept), broken(5, Break::Truncated));
    // And filled up again with other rows.
    add(&mut bench, 50, 60);
    assert_eq!(held_against(&mut bench, &kept), broken(6, Break::Rewritten));

    // A row edited, and everything after computed anew.
    let mut bench = trail();
    let first = sign(&mut bench, 10);
    add(&mut bench, 6, 9);
    let second = sign(&mut bench, 20);
    tamper(&mut bench, "UPDATE audit SET actor = 'uid:0' WHERE seq = 8;");
    recompute(&mut bench, 8);
    assert_eq!(held_against(&mut bench, &[]), broken(9, Break::Rewritten), "the database's own checkpoint");
    tamper(&mut bench, "DELETE FROM audit_checkpoints WHERE seq = 9;");
    assert_eq!(held_against(&mut bench, &[first.clone(), second]), broken(9, Break::Rewritten));
    assert!(matches!(held_against(&mut bench, &[first]), AuditVerdict::Intact { .. }), "what nobody kept is lost");
}

#[test]
fn a_checkpoint_that_nobody_known_signed_is_found() {
    let mut bench = trail();
    let checkpoint = sign(&mut bench, 10);
    let mut forged = checkpoint.clone();
    forged.wall = WallMs(11);
    assert_eq!(held_against(&mut bench, &[forged]), broken(6, Break::Signature));
    let ours = bench.store.signing().expect("a key").public();
    bench.store.sign_with(signing(8));
    let theirs = bench.store.signing().expect("a key").public();
    let verdict =
        |bench: &mut Bench, keys: &[String]| bench.store.audit_verify_with(keys, &[]).expect("verified").verdict;
    assert_eq!(
        verdict(&mut bench, std::slice::from_ref(&theirs)),
        broken(6, Break::Signature),
        "signed by another key"
    );
    assert!(matches!(verdict(&mut bench, &[theirs, ours]), AuditVerdict::Intact { .. }), "both keys are known");
}

#[test]
fn a_beginning_that_was_cut_off_is_told_from_one_that_was_given_up() {
    let mut bench = trail();
    sign(&mut bench, 10);
    add(&mut bench, 6, 9);
    // At a checkpoint, with the floor set to it: signed it is, but as no floor.
    let cut = "DELETE FROM audit WHERE seq <= 6;
        UPDATE audit_floor SET (seq, hash, wall_ms, key_id, signature) =
            (SELECT seq, hash, wall_ms, key_id, signature FROM audit_checkpoints WHERE seq = 6);";
    tamper(&mut bench, cut);
    assert_eq!(bench.store.audit_verify().expect("verified").verdict, broken(7, Break::Floor));
}

#[test]
fn checkpoints_of_a_trail_that_a_restore_gave_up_are_told_from_tampering() {
    let mut bench = trail();
    assert!(bench.store.checkpoint().expect("folded"));
    let database = std::fs::read(bench.path()).expect("the backup");
    add(&mut bench, 6, 12);
    let kept = [sign(&mut bench, 20)];
    bench.store.checkpoint().expect("folded");
    let path = bench.path();
    let Bench { store, dir: _kept } = bench;
    store.close().expect("closed");
    std::fs::write(&path, database).expect("put back");
    let mut store = Store::open_existing(&path, crate::testing::key()).expect("opened");
    store.sign_with(signing(7));
    let keys = [store.signing().expect("a key").public()];
    let verify = |store: &mut Store| store.audit_verify_with(&keys, &kept).expect("verified");
    assert_eq!(verify(&mut store).verdict, broken(7, Break::Truncated));
    store.sign_with(None);
    store.audit_restored(json!({}), "uid:0", WallMs(25)).expect("noted by somebody without the key");
    assert_eq!(verify(&mut store).verdict, broken(8, Break::Truncated), "an unsigned restore excuses nothing");
    store.sign_with(signing(7));
    store.audit_restored(json!({}), "uid:0", WallMs(30)).expect("noted");
    let report = verify(&mut store);
    assert!(matches!(report.verdict, AuditVerdict::Intact { .. }), "{report:?}");
    assert_eq!(report.superseded, 1);
}
