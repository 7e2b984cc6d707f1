//! The daemon itself with sinks on the network: killed, reloaded, stopped, asked, and made to wait.

use sekisho_tests::broker::{Broker, Listener, PASSWORD, USER, installed};
use sekisho_tests::delivering::prefill;
use sekisho_tests::hook::{Hook, Manner};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

const SECRET: &str = "5ecret-of-the-desk-c4nary";

fn hook_sink(url: &str, more: &str) -> String {
    format!(
        "[sinks.desk]\nkind = \"webhook\"\nurl = \"{url}\"\nsecret-credential = \"desk\"\nretry-first-ms = 100\n\
         retry-max-s = 1\n{more}\n"
    )
}

fn site(sinks: &str) -> Site {
    let mut site = Site::new();
    site.credential("desk", SECRET);
    site.configure(sinks);
    site
}

fn sink(daemon: &Daemon, name: &str) -> Value {
    let sinks = daemon.get("/v1/sinks");
    let found = sinks["sinks"].as_array().into_iter().flatten().find(|sink| sink["name"] == name);
    found.cloned().unwrap_or_default()
}

#[track_caller]
fn in_order(taken: &[String], alerts: usize) {
    let mut last = BTreeMap::<&str, u32>::new();
    for id in taken {
        let (alert, sequence) = id.rsplit_once('.').expect("an event id");
        let last = last.entry(alert).or_default();
        *last += 1;
        assert_eq!(sequence, last.to_string(), "{id} came out of order");
    }
    assert_eq!((last.len(), taken.len()), (alerts, alerts * 4));
}

#[test]
fn kill_9_while_delivering_loses_nothing_and_repeats_little() {
    if fetched().is_none() {
        return;
    }
    let hook = Hook::start(Some(SECRET));
    hook.usually(Manner::Dawdle(Duration::from_millis(2)));
    let site = site(&hook_sink(&hook.url(), ""));
    prefill(&site, &["desk"], "a", 300);
    let mut lives = 0;
    let mut seen = 0;
    while hook.taken().len() < 1000 && lives < 20 {
        let mut daemon = site.start();
        daemon.wait_until("some deliveries", 60, |_| hook.taken().len() >= (seen + 150).min(1200));
        daemon.signal("KILL");
        drop(daemon);
        seen = hook.taken().len();
        lives += 1;
    }
    assert!(lives >= 2, "it was never killed in the middle");
    let mut daemon = site.start();
    daemon.wait_until("the rest", 60, |_| hook.taken().len() == 1200);
    daemon.wait_ready();
    daemon.wait_until("an empty outbox", 10, |daemon| sink(daemon, "desk")["pending"] == 0);
    in_order(&hook.taken(), 300);
    let (repeats, bad, _) = hook.counts();
    println!("killed {lives} times: {repeats} of 1200 events came twice");
    assert_eq!(bad, 0);
    assert!(repeats <= 130 * lives, "{repeats} repeats after {lives} kills: more than what waits to be noted");
    assert_eq!(sink(&daemon, "desk")["delivered"], 1200);
    let log = daemon.log();
    assert!(!log.contains("c4nary") && !log.contains("/hooks/"), "the log tells a secret:\n{log}");
    assert!(daemon.stop(5).success());
}

#[test]
fn what_was_given_up_is_shown_and_requeued() {
    if fetched().is_none() {
        return;
    }
    let hook = Hook::start(Some(SECRET));
    hook.about("a-1.2", Manner::Say(422, "x: y"));
    let site = site(&hook_sink(&hook.url(), ""));
    prefill(&site, &["desk"], "a", 3);
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("an event given up", 30, |daemon| sink(daemon, "desk")["dead"] == 1);
    daemon.wait_until("the others delivered", 10, |_| hook.taken().len() == 11);
    let said = site.done(&["sinks", "list"]);
    let row = said.lines().find(|line| line.starts_with("desk ")).expect("a row");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["desk", "webhook", "ok", "0", "11", "1", "-"], "{said}");
    assert!(said.contains("answers 422") && !said.contains("/hooks/"), "{said}");
    let listed: Value = serde_json::from_str(&site.done(&["sinks", "list", "--json"])).expect("JSON");
    assert_eq!(listed["sinks"][0]["dead"], 1);
    assert!(listed["sinks"][0]["retries-total"].as_u64().is_some_and(|retries| retries >= 9), "{listed:#}");
    daemon.wait_until("the numbers on the metrics page", 15, |daemon| {
        let (_, metrics) = daemon.request("GET", "/metrics", "").expect("an answer");
        let has = |line: &str| metrics.lines().any(|found| found == line);
        has("sekisho_sink_dead{sink=\"desk\",kind=\"webhook\"} 1.0")
            && has("sekisho_sink_pending{sink=\"desk\",kind=\"webhook\"} 0.0")
            && has("sekisho_sink_failing{sink=\"desk\",kind=\"webhook\"} 0.0")
            && has("sekisho_sink_delivered_total{sink=\"desk\",kind=\"webhook\"} 11.0")
    });
    let status = daemon.get("/v1/status");
    assert_eq!((&status["sinks"][0]["name"], &status["sinks"][0]["dead"]), (&"desk".into(), &1.into()));
    assert!(site.done(&["status"]).contains("sink desk    ok (webhook), 0 pending, 1 given up"));

    assert_eq!(site.cli(&["sinks", "requeue", "nobody"]).status.code(), Some(1));
    assert_eq!(site.cli(&["sinks", "requeue", "No/body"]).status.code(), Some(2));
    hook.about("a-1.2", Manner::Take);
    assert_eq!(site.done(&["sinks", "requeue", "desk"]), "desk: 1 events are tried again\n");
    daemon.wait_until("it delivered", 10, |_| hook.taken().len() == 12);
    assert_eq!(site.done(&["sinks", "requeue", "desk"]), "desk: 0 events are tried again\n");
    assert!(daemon.stop(5).success());
}

#[test]
fn a_reload_changes_sinks_and_loses_nothing() {
    if fetched().is_none() {
        return;
    }
    let mut site = site("");
    let log = site.path("events.ndjson");
    let file = format!("[sinks.log]\nkind = \"event-log\"\npath = \"{}\"\n", log.display());
    prefill(&site, &["desk", "log"], "a", 50);
    site.configure(&file);
    site.write_config(&hook_sink("http://127.0.0.1:1/", ""));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the log written", 20, |daemon| sink(daemon, "log")["delivered"] == 200);
    daemon.wait_until("the desk failing", 20, |daemon| sink(daemon, "desk")["state"] == "failing");
    assert_eq!(sink(&daemon, "desk")["pending"], 200);
    // Away and back: what waits for it stays.
    site.write_config("");
    daemon.signal("HUP");
    daemon.wait_until("the desk gone", 10, |daemon| sink(daemon, "desk")["state"] == "not-configured");
    assert_eq!(sink(&daemon, "desk")["pending"], 200);
    daemon.wait_until("it is said in the log", 10, |daemon| {
        daemon.log().contains("200 events wait for the sink desk, which is not configured")
    });
    assert_eq!(daemon.request("POST", "/v1/sinks/desk/requeue", "{}").expect("an answer").0, 404);
    let hook = Hook::start(Some(SECRET));
    hook.usually(Manner::Dawdle(Duration::from_millis(5)));
    site.write_config(&hook_sink(&hook.url(), ""));
    daemon.signal("HUP");
    daemon.wait_until("half of it delivered", 20, |_| hook.taken().len() > 60);
    // Another address in the middle of it, and another secret, without a restart.
    let other = Hook::start(Some("another-secret-altogether"));
    site.credential("desk", "another-secret-altogether");
    site.write_config(&hook_sink(&other.url(), "timeout-ms = 2000"));
    daemon.signal("HUP");
    daemon.wait_until("the rest delivered", 20, |_| {
        let mut all = hook.taken();
        all.extend(other.taken());
        all.sort();
        all.dedup();
        all.len() == 200
    });
    daemon.wait_until("nothing left", 10, |daemon| sink(daemon, "desk")["pending"] == 0);
    let both = hook.taken().iter().filter(|id| other.taken().contains(id)).count();
    assert!(both <= 1, "{both} events went to both: only the one under way may");
    assert_eq!((hook.counts().1, other.counts().1), (0, 0), "signed with the wrong secret");
    assert!(!other.taken().is_empty());
    assert_eq!(std::fs::read_to_string(&log).expect("the log").lines().count(), 200, "the log was not disturbed");
    assert!(daemon.stop(5).success());
}

#[test]
fn a_receiver_that_never_answers_holds_up_neither_the_watchdog_nor_the_stop() {
    if fetched().is_none() {
        return;
    }
    let hook = Hook::start(Some(SECRET));
    hook.usually(Manner::Dawdle(Duration::from_secs(40)));
    let site = site(&hook_sink(&hook.url(), "timeout-ms = 60000"));
    prefill(&site, &["desk"], "a", 2);
    let mut daemon = site.start_with(&[("WATCHDOG_USEC", "30000000")]);
    daemon.wait_ready();
    daemon.wait_until("a request under way", 10, |_| !hook.requests().is_empty());
    // Five a second, for longer than a part may stand still.
    for _ in 0..65 {
        daemon.wait_told("WATCHDOG=1", 50);
    }
    assert!(!daemon.log().contains("not moving"), "{}", daemon.log());
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
    assert!(daemon.stop(5).success());
}

fn mqtt_sink(broker: &Broker) -> String {
    format!(
        "[sinks.house]\nkind = \"mqtt\"\nbroker = \"mqtts://127.0.0.1:{}\"\ncredential = \"broker\"\nca-file = \"{}\"\n\
         retry-first-ms = 100\nretry-max-s = 1\n",
        broker.port,
        broker.certificates.ca.display(),
    )
}

fn says(listener: &Listener, topic: &str, payload: &str) -> bool {
    listener.last(topic).is_some_and(|heard| heard.payload == payload)
}

#[test]
fn a_broker_hears_of_alerts_cameras_and_of_our_end() {
    if fetched().is_none() || !installed() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut broker = Broker::start(dir.path(), "");
    let mut site = Site::new();
    site.credential("broker", &format!("{USER}:{PASSWORD}\n"));
    let clip = clip.canonicalize().expect("the clip");
    let camera = |name: &str| {
        format!("[cameras.{name}]\nsource = \"file://{}\"\nrepeat = \"forever\"\nlists = [\"staff\"]\n", clip.display())
    };
    site.configure(&mqtt_sink(&broker)).configure(&camera("gate"));
    site.write_config(&camera("yard"));
    prefill(&site, &["house"], "a", 20);
    let listener = broker.listen();
    let mut daemon = site.start();
    daemon.wait_ready();
    listener.wait_until("the box", 10, |listener| says(listener, "sekisho/available", "online"));
    listener.wait_until("the cameras", 20, |listener| {
        ["gate", "yard"].iter().all(|camera| says(listener, &format!("sekisho/cameras/{camera}/available"), "online"))
    });
    listener.wait_until("every event", 20, |listener| {
        listener.heard().iter().filter(|heard| heard.topic == "sekisho/lists/watch/alerts").count() >= 80
    });
    let config = |camera: &str| format!("homeassistant/binary_sensor/sekisho/{camera}-alert/config");
    listener.wait_until("the sensors", 10, |listener| {
        ["gate", "yard"].iter().all(|camera| listener.last(&config(camera)).is_some())
    });

    // A camera is taken out while we run.
    site.write_config("");
    daemon.signal("HUP");
    listener.wait_until("the yard cleared", 10, |listener| {
        says(listener, &config("yard"), "") && says(listener, "sekisho/cameras/yard/state", "")
    });
    assert!(!says(&listener, &config("gate"), ""));

    // Killed: the broker tells.
    daemon.signal("KILL");
    drop(daemon);
    listener.wait_until("the last will", 10, |listener| says(listener, "sekisho/available", "offline"));

    // A camera that came and went while we did not run, as the broker remembers it.
    broker.retain(&config("dock"), "{\"old\":1}");
    let mut daemon = site.start();
    daemon.wait_ready();
    listener.wait_until("the dock cleared", 10, |listener| says(listener, &config("dock"), ""));
    listener.wait_until("the box back", 10, |listener| says(listener, "sekisho/available", "online"));

    // The broker is killed and forgets everything; it is told again.
    broker.kill();
    daemon.wait_until("the house failing", 10, |daemon| sink(daemon, "house")["state"] == "failing");
    broker.restart();
    let again = broker.listen();
    again.wait_until("the box, the gate and its sensors once more", 20, |again| {
        says(again, "sekisho/available", "online")
            && says(again, "sekisho/cameras/gate/available", "online")
            && again.last(&config("gate")).is_some()
    });
    daemon.wait_until("the house well", 10, |daemon| sink(daemon, "house")["state"] == "ok");
    assert!(!daemon.log().contains(PASSWORD));
    assert!(daemon.stop(6).success());
    again.wait_until("a goodbye", 10, |again| says(again, "sekisho/available", "offline"));
}
