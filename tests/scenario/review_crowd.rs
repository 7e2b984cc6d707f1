//! A thousand clients, and some that never read. The page turns most away with a sentence; alerts, votes and the socket go on,
//! and memory stays where it was.

use sekisho_tests::browser::{Browser, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

fn started(review: &str, alerts: usize) -> Option<(Site, Daemon, SocketAddr)> {
    fetched()?;
    let mut site = Site::new();
    site.review(&format!("listen = \"127.0.0.1:0\"\n{review}"));
    for name in ["sato", "ito"] {
        reviewer(&site, name, "reviewer", &[]);
    }
    let mut store = planted::store(&site);
    for n in 0..alerts {
        let person = format!("p-{n}");
        planted::enrol(&mut store, &person, "uid:4711");
        planted::alert(&mut store, &Alert { person: &person, ..Alert::of(&format!("a-{n}"), 2) });
    }
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let address = address(&mut daemon);
    Some((site, daemon, address))
}

fn number(view: &Value, name: &str) -> u64 {
    view[name].as_u64().unwrap_or_else(|| panic!("{name}: {view}"))
}

#[test]
fn a_thousand_event_streams_are_bounded_and_alerts_and_socket_go_on() {
    let Some((_site, daemon, address)) = started("", 1) else { return };
    // Another address is not held back by this one's crowd.
    let mut ito = Browser { from: Some(Ipv4Addr::new(127, 0, 0, 9)), ..Browser::new(address) };
    assert_eq!(ito.log_in("ito", sekisho_tests::browser::PASSWORD).status, 200);
    let sato = Browser::logged_in(address, "sato");
    let memory = |daemon: &Daemon| number(&daemon.get("/v1/status"), "memory-bytes");
    let before = memory(&daemon);
    let mut streams = Vec::new();
    let mut statuses = BTreeMap::<u16, usize>::new();
    for n in 0..1000_u32 {
        // A few hundred addresses, as a network would have.
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(n % 200).expect("small") + 1);
        let browser = Browser { from: Some(from), ..sato.clone() };
        let (status, stream) = browser.listen().map_or((0, None), |(status, stream)| (status, Some(stream)));
        *statuses.entry(status).or_default() += 1;
        streams.extend(stream);
    }
    println!("answers to 1000 event streams of one log-in: {statuses:?}");
    assert_eq!(statuses.get(&200), Some(&4), "{statuses:?}");
    assert!(statuses.get(&429).is_some_and(|refused| *refused >= 100), "{statuses:?}");
    assert_eq!(statuses.values().sum::<usize>(), 1000);
    let view = daemon.get("/v1/status")["review"].clone();
    assert!(number(&view, "clients") <= 128 && number(&view, "streams") == 4, "{view}");
    assert!(number(&view, "streams-refused-total") >= 100, "{view}");

    let (status, mut heard) =
        Browser { from: Some(Ipv4Addr::new(127, 0, 1, 250)), ..ito.clone() }.listen().unwrap_or_else(|_| {
            streams.clear();
            std::thread::sleep(Duration::from_millis(500));
            ito.listen().expect("a stream once the crowd is gone")
        });
    assert_eq!(status, 200);
    let voted = ito.post("/api/alerts/a-0/votes", &json!({ "verdict": "reject", "reason": "not-the-same-person" }));
    assert_eq!(voted.status, 200, "{}", voted.text());
    assert_eq!(heard.next_event().expect("an event").0, "alert");
    assert_eq!(daemon.get("/v1/alerts/a-0")["votes-required"], 2, "the socket answers");
    let after = memory(&daemon);
    println!("resident memory: {before} -> {after} bytes");
    assert!(after < before + 32 * 1024 * 1024, "{before} -> {after}");
    assert!(daemon.stop(5).success());
}

#[test]
fn connections_are_bounded_for_each_address_and_in_all_and_the_rest_is_told_so() {
    let Some((_site, mut daemon, address)) = started("clients-max = 40\nclients-per-address-max = 10", 0) else {
        return;
    };
    let at = |last| Browser { from: Some(Ipv4Addr::new(127, 0, 2, last)), ..Browser::new(address) };
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut stream = at(1).connect().expect("a connection");
        stream.write_all(b"GET / HTTP/1.1\r\n").expect("half a request");
        held.push(stream);
    }
    daemon.wait_until("ten clients", 5, |daemon| number(&daemon.get("/v1/status")["review"], "clients") == 10);
    let eleventh = at(1).get("/");
    assert!(
        eleventh.status == 503 && eleventh.json()["error"].as_str().is_some_and(|said| said.contains("too many")),
        "{}",
        eleventh.text()
    );
    assert_eq!(eleventh.header("retry-after"), Some("60"));
    assert_eq!(at(2).get("/").status, 200, "others have places");
    for last in 3..=10 {
        held.extend((0..5).map(|_| at(last).connect().expect("a connection")));
    }
    daemon.wait_until("all places taken", 20, |daemon| {
        // Somebody who was about to leave may have held a place when the last of the crowd came.
        held.push(at(11).connect().expect("a connection"));
        number(&daemon.get("/v1/status")["review"], "clients") == 40
    });
    assert_eq!(at(200).get("/").status, 503);
    drop(held);
    daemon.wait_until("places again", 15, |_| at(200).get("/").status == 200);
    assert!(number(&daemon.get("/v1/status")["review"], "shed-total") >= 2);
    assert!(daemon.stop(5).success());
}

#[test]
fn a_listener_that_does_not_read_is_told_what_it_missed_or_dropped() {
    let Some((_site, mut daemon, address)) = started("", 40) else { return };
    let (sato, mut ito) = (Browser::logged_in(address, "sato"), Browser::logged_in(address, "ito"));
    // Slow: reads nothing until all has happened. Each event is some hundred bytes, so the system keeps them for it.
    let (_, mut slow) = sato.listen().expect("an event stream");
    let mut deaf: Vec<_> = (0..3).map(|_| sato.listen().expect("an event stream")).collect();
    let votes = 35;
    for n in 0..votes {
        let mut cast = || ito.post(&format!("/api/alerts/a-{n}/votes"), &json!({ "verdict": "unsure" }));
        let mut answer = cast();
        while answer.status == 429 {
            std::thread::sleep(Duration::from_secs(answer.json()["retry-after-s"].as_u64().expect("a wait")));
            answer = cast();
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut told = 0_u64;
    while told < votes {
        let (name, data) = slow.next_event().expect("an event");
        told += if name == "missed" { data["count"].as_u64().expect("a number") } else { 1 };
    }
    assert_eq!(told, votes, "every event was told or counted as missed");
    deaf.clear();
    daemon.wait_until("their places free", 10, |daemon| number(&daemon.get("/v1/status")["review"], "streams") <= 1);
    assert!(daemon.stop(5).success());
}
