//! The webhook against a receiver that signs for what it takes, and one that misbehaves in every way we could think of.

use sekisho::sink::standing::SinkState;
use sekisho_tests::certificates::Certificates;
use sekisho_tests::delivering::Bench;
use sekisho_tests::hook::{Hook, Manner};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const SECRET: &str = "5ecret-of-the-desk-c4nary";
const HOUR: Duration = Duration::from_secs(3600);

/// A bench whose webhook leads to `url`; `more` is more configuration.
fn bench(url: &str, more: &str) -> Bench {
    let bench = Bench::new(&format!("[sinks.hook]\nkind = \"webhook\"\nurl = \"{url}\"\ntimeout-ms = 300\n{more}\n"));
    bench.credential("secret", SECRET);
    bench
}

fn signed(hook: &Hook) -> Bench {
    bench(&hook.url(), "secret-credential = \"secret\"")
}

/// Events of each alert were taken first in the order in which they happened, and none is missing.
#[track_caller]
fn all_in_order(taken: &[String], alerts: usize) {
    let mut last = BTreeMap::<&str, u32>::new();
    for id in taken {
        let (alert, sequence) = id.rsplit_once('.').expect("an event id");
        let last = last.entry(alert).or_default();
        *last += 1;
        assert_eq!(sequence, last.to_string(), "{id} came out of order");
    }
    assert_eq!(last.len(), alerts);
    assert!(last.values().all(|count| *count == 4), "{last:?}");
}

#[test]
fn an_event_is_a_signed_request_with_its_id_on_a_kept_connection() {
    let hook = Hook::start(Some(SECRET));
    let mut bench = bench(&hook.url(), "secret-credential = \"secret\"\ntoken-credential = \"token\"");
    bench.credential("token", "t0ken-c4nary\n");
    bench.happen("a", 3);
    assert!(bench.run(HOUR));
    all_in_order(&hook.taken(), 3);
    assert_eq!(hook.counts(), (0, 0, 1), "no repeat, no bad signature, one connection");
    let requests = hook.requests();
    assert_eq!(requests.len(), 12);
    for request in &requests {
        assert_eq!(request.head[":line"], "POST /hooks/sekisho?site=1 HTTP/1.1");
        assert_eq!(request.head["content-type"], "application/json");
        assert_eq!(request.head["authorization"], "Bearer t0ken-c4nary");
        assert!(request.head["user-agent"].starts_with("sekisho/"));
        assert_eq!(request.event["id"], request.id());
        assert_eq!(request.signed, Some(true));
        let time = request.head["sekisho-signature"].strip_prefix("t=").and_then(|rest| rest.split(',').next());
        assert_eq!(time, Some("1795564800"), "the time is that of the sending");
    }
    let view = bench.view();
    assert_eq!((view.state, view.delivered_total, view.retries_total), (SinkState::Ok, 12, 0));
    let shown = format!("{view:?}");
    assert!(!shown.contains("c4nary") && !shown.contains("/hooks"), "{shown}");
}

#[test]
fn a_receiver_that_misbehaves_gets_everything_in_order_all_the_same() {
    let hook = Hook::start(Some(SECRET));
    let mut bench = signed(&hook);
    bench.happen("a", 8);
    hook.next([
        Manner::Drop,
        Manner::Take,
        Manner::TakeAndClose,
        Manner::Take,
        Manner::TakeTwice,
        Manner::Say(500, ""),
        Manner::TakeAndBreakOff,
        Manner::Dawdle(Duration::from_millis(600)),
        Manner::TakeAndGoOn,
        Manner::Say(502, "connection: close"),
        Manner::Take,
        Manner::Say(425, "x-long: yes"),
    ]);
    assert!(bench.run(HOUR));
    all_in_order(&hook.taken(), 8);
    let (repeats, bad, connections) = hook.counts();
    assert_eq!(bad, 0);
    // Only the answer that came too late was taken without our knowing it.
    assert_eq!(
        repeats,
        1,
        "{:?}",
        hook.requests().iter().map(|r| (r.id().to_owned(), r.manner.clone())).collect::<Vec<_>>()
    );
    assert!((5..=9).contains(&connections), "{connections} connections");
    assert_eq!(bench.view().state, SinkState::Ok);
    assert_eq!((bench.depth().pending, bench.depth().dead), (0, 0));
}

#[test]
fn a_receiver_that_asks_for_time_gets_it() {
    let hook = Hook::start(None);
    let mut bench = bench(&hook.url(), "");
    bench.happen("a", 5);
    hook.next([Manner::Say(429, "retry-after: 90")]);
    assert!(!bench.run(Duration::from_secs(89)));
    assert_eq!(hook.requests().len(), 1, "one knock, and quiet for as long as was asked");
    assert!(bench.view().last_error.is_some_and(|said| said.contains("answers 429")));
    assert!(bench.run(HOUR));
    all_in_order(&hook.taken(), 5);
    hook.next([Manner::Say(503, "retry-after: Wed, 25 Nov 2026 13:00:00 GMT")]);
    bench.happen("b", 1);
    let begun = bench.clock.passed();
    assert!(bench.run(3 * HOUR));
    let waited = bench.clock.passed() - begun;
    assert!(
        waited >= Duration::from_secs(3600) && waited < Duration::from_secs(3700),
        "an hour at the most: {waited:?}"
    );
}

#[test]
fn an_event_the_receiver_will_not_have_dies_alone() {
    let hook = Hook::start(None);
    let mut bench = bench(&hook.url(), "");
    bench.happen("a", 20);
    hook.about("a-3.2", Manner::Say(422, "x: y"));
    // The receiver fails at these as at nothing else. Three in a row look as if it failed at everything.
    let fails = ["a-5.1", "a-6.1", "a-7.1"];
    fails.iter().for_each(|id| hook.about(id, Manner::Say(500, "")));
    assert!(!bench.run(Duration::from_secs(5)));
    assert!(hook.taken().len() >= 80 - 3 - 3 * 4, "all but four alerts went through at once: {}", hook.taken().len());
    assert!(!bench.run(Duration::from_secs(1800)));
    let taken = hook.taken();
    assert!(
        !taken.contains(&"a-3.2".to_owned()) && taken.contains(&"a-3.3".to_owned()),
        "the alert goes on without it"
    );
    let refused = hook.requests().iter().filter(|request| request.id() == "a-3.2").count();
    assert_eq!(refused, 10, "ten times is enough");
    let depth = bench.depth();
    assert_eq!((depth.dead, depth.pending), (1, 12), "those that fail are still tried, and hold up their own alerts");
    assert!(bench.view().dead_total == 1 && bench.view().state == SinkState::Failing);
    // Somebody mends the receiver and asks for the dead one.
    hook.about("a-3.2", Manner::Take);
    fails.iter().for_each(|id| hook.about(id, Manner::Take));
    let now = sekisho_logic::time::Clock::now(&*bench.clock).wall;
    let requeued =
        bench.store.call(move |store| store.requeue_dead("hook", now, "uid:0")).expect("runs").expect("done");
    assert_eq!(requeued, 1);
    bench.delivery.try_now();
    assert!(bench.run(HOUR));
    assert_eq!(hook.taken().len(), 80);
}

#[test]
fn a_wrong_address_or_token_loses_nothing_however_long_it_takes() {
    let hook = Hook::start(None);
    let mut bench = bench(&hook.url(), "token-credential = \"token\"");
    bench.happen("a", 50);
    assert!(!bench.run(HOUR));
    assert!(hook.requests().is_empty());
    let view = bench.view();
    assert_eq!(view.state, SinkState::Denied);
    assert!(view.last_error.is_some_and(|said| said.contains("there is no credential \"token\"")));
    bench.credential("token", "expired");
    for status in [401, 403, 404, 410, 308] {
        hook.usually(Manner::Say(status, "location: http://127.0.0.1:1/elsewhere"));
        let before = hook.requests().len();
        assert!(!bench.run(HOUR));
        let knocks = hook.requests().len() - before;
        assert!((10..=16).contains(&knocks), "{status}: a knock every five minutes, not {knocks} an hour");
        assert_eq!(bench.view().state, SinkState::Denied, "{status}");
    }
    assert_eq!(bench.depth().dead, 0);
    hook.usually(Manner::Take);
    bench.credential("token", "fresh");
    assert!(bench.run(HOUR));
    all_in_order(&hook.taken(), 50);
    assert_eq!(hook.requests().last().map(|last| last.head["authorization"].clone()).as_deref(), Some("Bearer fresh"));
}

#[test]
fn a_store_that_takes_no_notes_does_not_make_the_receiver_hear_everything_again_and_again() {
    let hook = Hook::start(None);
    hook.usually(Manner::Dawdle(Duration::from_millis(100)));
    let mut bench = bench(&hook.url(), "");
    bench.happen("a", 3);
    let store = bench.store.clone();
    let stopping = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        store.stop(Duration::from_secs(5))
    });
    for _ in 0..20 {
        let _waits = bench.step();
        bench.clock.pass(Duration::from_secs(1));
    }
    assert!(stopping.join().expect("stopped").closed);
    assert_eq!(hook.requests().len(), 3, "the first event of each alert, once");
}

#[test]
fn what_nobody_takes_for_too_long_is_given_up_and_kept() {
    let mut bench = bench("http://127.0.0.1:1/", "give-up-after-h = 2\nretry-max-s = 60");
    bench.happen("old", 30);
    assert!(!bench.run(HOUR));
    bench.happen("new", 30);
    assert!(!bench.run(HOUR + Duration::from_secs(300)));
    let depth = bench.depth();
    assert_eq!((depth.dead, depth.pending), (120, 120), "the old ones, whether they were tried or not");
    assert!(bench.view().last_error.is_some_and(|said| said.contains("http://127.0.0.1:1: Connection refused")));
}

#[test]
fn a_receiver_with_a_certificate_of_our_own_authority_is_trusted_and_no_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let certificates = Certificates::make(dir.path());
    let hook = Hook::start_at("127.0.0.1:0", Some(SECRET), Some(&certificates));
    let ca = certificates.ca.display().to_string();
    let mut own = bench(&hook.url(), &format!("secret-credential = \"secret\"\nca-file = \"{ca}\""));
    own.happen("a", 3);
    assert!(own.run(HOUR));
    all_in_order(&hook.taken(), 3);
    assert_eq!(hook.counts(), (0, 0, 1));
    let mut public = bench(&hook.url(), "secret-credential = \"secret\"");
    public.happen("b", 1);
    assert!(!public.run(HOUR));
    assert_eq!(hook.taken().len(), 12, "nothing was said to a stranger");
    let said = public.view().last_error.unwrap_or_default();
    assert!(said.contains("certificate"), "{said}");
    let name = hook.url().replace("127.0.0.1", "127.0.0.2");
    let mut elsewhere = bench(&name, &format!("ca-file = \"{ca}\""));
    elsewhere.happen("c", 1);
    assert!(!elsewhere.run(Duration::from_secs(5)));
    assert_eq!(hook.taken().len(), 12, "the certificate is for another name");
}

/// The lines of the example in the manual, between `.Bd -literal` and `.Ed` after the words that introduce it.
fn example() -> String {
    let page = std::fs::read_to_string(sekisho_tests::site::root().join("deploy/man/sekisho.1")).expect("the manual");
    let from = page.find("A receiver in Python checks it so:").expect("the example");
    let lines = page[from..].lines().skip_while(|line| !line.starts_with(".Bd -literal")).skip(1);
    lines.take_while(|line| *line != ".Ed").map(|line| line.replace("\\e", "\\")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_manuals_example_tells_a_true_signature_from_a_false_one() {
    let hook = Hook::start(None);
    let mut bench = signed(&hook);
    bench.happen("a", 1);
    assert!(bench.run(HOUR));
    let request = &hook.requests()[0];
    let check = |header: &str, body: &str, now: &str| {
        let program = format!(
            "{}\nimport sys\nprint(genuine(sys.argv[1].encode(), sys.argv[2], sys.argv[3].encode(), now=float(sys.argv[4])))",
            example()
        );
        let output = Command::new("python3").arg("-c").arg(program).args([SECRET, header, body, now]).output();
        let output = output.expect("python3 is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim() == "True"
    };
    let header = &request.head["sekisho-signature"];
    assert!(check(header, &request.body, "1795564801"));
    assert!(!check(header, &request.body.replace("ann-1", "ann-2"), "1795564801"), "another body");
    assert!(!check(&header.replace("t=1795564800", "t=1795564801"), &request.body, "1795564801"), "another time");
    assert!(!check(header, &request.body, "1795568400"), "an hour later somebody sends it again");
}
