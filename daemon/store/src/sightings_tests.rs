use super::*;
use crate::testing::{Bench, story};
use sekisho_logic::record::{AlertEvent, Stage};

const DAY: i64 = 86_400_000;

/// An alert that came to `stage` at `changed_ms`, told to one sink.
fn ended(bench: &mut Bench, id: &str, changed_ms: i64) {
    for event in story(id) {
        let mut event: AlertEvent = event;
        event.after.changed = WallMs(changed_ms);
        bench.store.append(&event, &["log"], "daemon").expect("stored");
    }
}

fn hold(bench: &mut Bench, person: &str) {
    let sql = format!(
        "INSERT INTO people (id, list, status_ms, enrolled_ms, enrolled_by) VALUES ('{person}', 'watch', 1, 1, 'uid:0');
         INSERT INTO holds (person, since_ms, by, reason) VALUES ('{person}', 1, 'uid:0', 'case 7')"
    );
    bench.store.write(|transaction| Ok(transaction.execute_batch(&sql)?)).expect("held");
}

#[test]
fn alerts_go_with_all_that_belongs_to_them_and_the_journal_is_guarded_again() {
    let mut bench = Bench::new();
    ended(&mut bench, "a-old", 10 * DAY);
    ended(&mut bench, "a-new", 50 * DAY);
    let schema = |bench: &mut Bench| {
        let sql = "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema ORDER BY name)";
        bench
            .store
            .read(|connection| Ok(connection.query_row(sql, [], |row| row.get::<_, String>(0))?))
            .expect("schema")
    };
    let (before, events) = (schema(&mut bench), i64::try_from(story("a").len()).expect("few"));
    let stock = bench.store.sightings(WallMs(30 * DAY)).expect("stock");
    assert_eq!(stock, SightingStock { alerts: 2, due: 1, exempt: 0 });
    let gone = bench.store.forget_sightings(WallMs(30 * DAY), WallMs(60 * DAY), 10).expect("erased");
    assert_eq!((gone.alerts, gone.votes), (1, 1));
    assert_eq!(gone.events, events.unsigned_abs());
    assert_eq!(gone.deliveries, events.unsigned_abs());
    for table in ["alerts WHERE id", "journal WHERE alert", "votes WHERE alert", "outbox WHERE alert"] {
        assert_eq!(bench.count(&format!("SELECT count(*) FROM {table} = 'a-old'")), 0, "{table}");
        assert!(bench.count(&format!("SELECT count(*) FROM {table} = 'a-new'")) > 0, "{table}");
    }
    assert_eq!(schema(&mut bench), before);
    let refused = bench.store.write(|transaction| Ok(transaction.execute("DELETE FROM journal", [])?));
    assert!(refused.is_err(), "the journal is append-only again");
    assert_eq!(bench.store.sightings(WallMs(30 * DAY)).expect("stock").due, 0);
    let audited = bench.store.audit_entries(0, 100).expect("trail");
    let told = audited.iter().find(|entry| entry.action == "sightings-expired").expect("audited");
    assert!(told.detail.contains("\"alerts\":1") && !told.detail.contains("a-old"), "{}", told.detail);
    bench.reload();
    assert!(bench.store.integrity_check().expect("checked").is_empty());
}

#[test]
fn open_alerts_and_those_of_people_under_a_hold_stay() {
    let mut bench = Bench::new();
    ended(&mut bench, "a-1", DAY);
    let open = story("a-2").into_iter().take(2);
    for event in open {
        bench.store.append(&event, &[], "daemon").expect("stored");
    }
    assert_eq!(bench.store.sightings(WallMs(30 * DAY)).expect("stock").due, 1, "the open one is not due");
    hold(&mut bench, "ann-1");
    let stock = bench.store.sightings(WallMs(30 * DAY)).expect("stock");
    assert_eq!(stock, SightingStock { alerts: 2, due: 0, exempt: 1 });
    let gone = bench.store.forget_sightings(WallMs(30 * DAY), WallMs(60 * DAY), 10).expect("asked");
    assert_eq!(gone, Forgotten::default());
    bench.store.write(|transaction| Ok(transaction.execute("DELETE FROM holds", [])?)).expect("lifted");
    assert_eq!(bench.store.forget_sightings(WallMs(30 * DAY), WallMs(60 * DAY), 10).expect("erased").alerts, 1);
    assert_eq!(bench.store.open_alerts().expect("open").len(), 1);
    assert!(bench.store.open_alerts().expect("open").iter().all(|open| open.record.stage == Stage::MachineConfirmed));
}

#[test]
fn what_there_is_is_counted_by_class() {
    let mut bench = Bench::new();
    ended(&mut bench, "a-1", DAY);
    let holdings = bench.store.holdings().expect("counted").0;
    assert_eq!((holdings["alerts"], holdings["votes"], holdings["templates"]), (1, 1, 0));
    bench.store.note_picture_hashes(&[(AlertId("a-1".into()), "ab".repeat(32))], WallMs(DAY)).expect("noted");
    let trail = bench.store.audit_entries(0, 100).expect("trail");
    let noted = trail.iter().find(|entry| entry.action == "picture-hash").expect("audited");
    assert!(noted.subject.as_deref() == Some("a-1") && noted.detail.contains("abab"), "{noted:?}");
}
