//! The receiver is away for an hour while ten thousand events wait, and then everything arrives: in order for each alert,
//! nothing missing, and without the daemon growing. And how fast a backlog goes.

use sekisho::status::view::resident_bytes;
use sekisho_logic::time::Clock as _;
use sekisho_tests::clock::RealClock;
use sekisho_tests::delivering::Bench;
use sekisho_tests::hook::Hook;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const ALERTS: usize = 2500;
const SECRET: &str = "a-secret-of-sixteen";

/// A batch is 256 events of some three kilobytes, with what SQLite and the allocator keep for the next; the backlog in memory
/// would be several times as much.
const GROWTH_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Memory and speed are measured of the whole process, so one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn bench(port: u16) -> Bench {
    let url = format!("http://127.0.0.1:{port}/");
    let bench =
        Bench::new(&format!("[sinks.hook]\nkind = \"webhook\"\nurl = \"{url}\"\nsecret-credential = \"secret\"\n"));
    bench.credential("secret", SECRET);
    bench
}

#[test]
fn ten_thousand_events_outlast_an_hour_without_a_receiver() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let mut bench = bench(port);
    bench.happen("warm-up", 1);
    assert!(!bench.run(Duration::from_secs(10)));
    bench.happen("a", ALERTS);
    let before = resident_bytes();
    assert!(!bench.run(Duration::from_secs(3600)));
    let (away, knocks) = (resident_bytes(), bench.view().retries_total);
    assert!((12..=40).contains(&knocks), "one knock at a time, {knocks} in the hour");
    assert_eq!(bench.depth().pending, 4 * ALERTS as u64 + 4);

    let hook = Hook::start_at(&format!("127.0.0.1:{port}"), Some(SECRET), None);
    hook.forget_requests();
    let real = RealClock::start();
    let begun = (bench.clock.passed(), real.now().mono);
    assert!(bench.run(Duration::from_secs(3600)));
    let (waited, took) = (bench.clock.passed() - begun.0, real.now().mono.since(begun.1));
    let after = resident_bytes();

    let taken = hook.taken();
    let mut last = BTreeMap::<&str, u32>::new();
    for id in &taken {
        let (alert, sequence) = id.rsplit_once('.').expect("an event id");
        let last = last.entry(alert).or_default();
        *last += 1;
        assert_eq!(sequence, last.to_string(), "{id} came out of order");
    }
    assert_eq!(taken.len(), 4 * ALERTS + 4);
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len());
    let (repeats, bad, connections) = hook.counts();
    assert_eq!((repeats, bad), (0, 0));
    assert!(waited <= Duration::from_secs(301), "the longest wait and not more: {waited:?}");
    let grown = |bytes: u64| bytes.saturating_sub(before);
    println!(
        "{} events | away: {knocks} tries in an hour, resident {} KiB more | back after {} s at the latest, drained in {:.1} s \
         ({:.0} events/s, {connections} connections), resident {} KiB more",
        taken.len(),
        grown(away) / 1024,
        waited.as_secs(),
        took.as_secs_f64(),
        taken.len() as f64 / took.as_secs_f64(),
        grown(after) / 1024,
    );
    assert!(grown(away) < GROWTH_BYTES_MAX, "{} bytes more while the receiver was away", grown(away));
    assert!(grown(after) < GROWTH_BYTES_MAX, "{} bytes more after draining", grown(after));
}

#[test]
fn a_backlog_goes_at_five_hundred_events_a_second_and_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = Hook::start(Some(SECRET));
    hook.forget_requests();
    let mut bench = bench(hook.port());
    let real = RealClock::start();
    let mut best = 0.0_f64;
    // A machine that is busy with something else shows in one round or two, hardly in all.
    for round in 0..3 {
        bench.happen(&format!("r{round}"), 500);
        let begun = real.now().mono;
        assert!(bench.run(Duration::from_secs(3600)));
        let rate = 2000.0 / real.now().mono.since(begun).as_secs_f64();
        println!("2000 events at {rate:.0} events/s over one connection");
        best = best.max(rate);
    }
    assert_eq!(hook.counts(), (0, 0, 1));
    assert!(best >= 500.0, "only {best:.0} events/s");
}
