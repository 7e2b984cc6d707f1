//! The MQTT sink against a real Mosquitto with TLS and passwords, and against brokers that misbehave.

use sekisho::sink::delivery::Step;
use sekisho::sink::outlet::Closing;
use sekisho::sink::standing::SinkState;
use sekisho_logic::id::CameraId;
use sekisho_tests::broker::{Broker, Listener, PASSWORD, USER, installed};
use sekisho_tests::delivering::{Bench, settings};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

const CAMERAS: &str = "[cameras.gate]\nsource = \"file:///gate.mp4\"\n[cameras.yard]\nsource = \"file:///yard.mp4\"\n";

/// `[sinks.hook]` for a broker, with more lines.
fn sink(broker: &Broker, more: &str) -> String {
    format!(
        "[sinks.hook]\nkind = \"mqtt\"\nbroker = \"mqtts://localhost:{}\"\ncredential = \"broker\"\nca-file = \"{}\"\n\
         timeout-ms = 3000\n{more}\n",
        broker.port,
        broker.certificates.ca.display(),
    )
}

fn bench(broker: &Broker, more: &str) -> Bench {
    let bench = Bench::new(&format!("{CAMERAS}{}", sink(broker, more)));
    bench.credential("broker", &format!("{USER}:{PASSWORD}\n"));
    *bench.up.lock().expect("whole") = vec![(camera("gate"), true), (camera("yard"), false)];
    bench
}

fn camera(name: &str) -> CameraId {
    CameraId::try_new(name).expect("a name")
}

fn started(more: &str) -> Option<(tempfile::TempDir, Broker)> {
    if !installed() {
        return None;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let broker = Broker::start(dir.path(), more);
    Some((dir, broker))
}

/// Ids heard on a topic, repeats left out; each alert's must come in order.
#[track_caller]
fn ids(listener: &Listener, topic: &str) -> Vec<String> {
    let mut ids = Vec::<String>::new();
    let mut last = BTreeMap::<String, u32>::new();
    for heard in listener.heard().into_iter().filter(|heard| heard.topic == topic) {
        let id = heard.json()["id"].as_str().expect("an id").to_owned();
        if ids.contains(&id) {
            continue;
        }
        let (alert, sequence) = id.rsplit_once('.').expect("an event id");
        let last = last.entry(alert.to_owned()).or_default();
        *last += 1;
        assert_eq!(sequence, last.to_string(), "{id} came out of order");
        ids.push(id);
    }
    ids
}

#[test]
fn events_go_to_both_topics_with_their_properties_and_the_cameras_stand_on_theirs() {
    let Some((_dir, broker)) = started("") else { return };
    let listener = broker.listen();
    let mut bench = bench(&broker, "message-expiry-s = 600");
    bench.happen("a", 100);
    assert!(bench.run(HOUR));
    listener.wait_until("every event", 10, |listener| ids(listener, "sekisho/lists/watch/alerts").len() == 400);
    assert_eq!(ids(&listener, "sekisho/cameras/gate/alerts").len(), 400);
    let event = listener.last("sekisho/cameras/gate/alerts").expect("heard");
    assert!(!event.retain, "an event is not news for whoever comes later");
    assert_eq!(event.properties["content-type"], "application/json");
    assert_eq!(event.properties["user-properties"]["event-id"], event.json()["id"]);
    assert_eq!(event.properties["message-expiry-interval"], 600);
    let view = bench.view();
    assert_eq!((view.state, view.delivered_total, view.retries_total), (SinkState::Ok, 400, 0));

    // Whoever comes later finds how things stand.
    let later = broker.listen();
    later.wait_until("the box", 10, |later| later.last("sekisho/available").is_some_and(|up| up.payload == "online"));
    later.wait_until("the gate", 10, |later| later.last("sekisho/cameras/gate/state").is_some());
    assert_eq!(later.last("sekisho/cameras/gate/available").map(|up| up.payload).as_deref(), Some("online"));
    assert_eq!(later.last("sekisho/cameras/yard/available").map(|up| up.payload).as_deref(), Some("offline"));
    let gate = later.last("sekisho/cameras/gate/state").expect("heard").json();
    assert_eq!((gate["open"].as_str(), gate["stage"].as_str()), (Some("ON"), Some("confirmed")));
    assert!(!gate.to_string().contains("ann-1"), "{gate}");
    let yard = later.last("sekisho/cameras/yard/state").expect("heard").json();
    assert_eq!((yard["open"].as_str(), yard["stage"].as_str()), (Some("OFF"), Some("none")));

    // A minute after the confirmation the sensor goes off by itself.
    bench.clock.pass(Duration::from_secs(61));
    let _rested = bench.step();
    listener.wait_until("the gate off", 10, |listener| {
        listener.last("sekisho/cameras/gate/state").is_some_and(|state| state.json()["open"] == "OFF")
    });
}

#[test]
fn home_assistant_finds_the_cameras_and_loses_those_that_are_gone() {
    let Some((_dir, broker)) = started("") else { return };
    // Left behind by a camera that was removed while we were not running, and topics of others that look alike.
    for topic in ["homeassistant/sensor/sekisho/dock-stage/config", "sekisho/cameras/dock/state"] {
        broker.retain(topic, "{\"old\":1}");
    }
    for topic in ["homeassistant/sensor/other/dock-stage/config", "sekisho-2/cameras/dock/state"] {
        broker.retain(topic, "{\"theirs\":1}");
    }
    let mut bench = bench(&broker, "");
    assert!(matches!(bench.step(), Step::Wait(_)));
    // What the broker holds comes with the next thing that is waited for.
    bench.happen("a", 1);
    assert!(bench.run(HOUR));
    let listener = broker.listen();
    let config = |listener: &Listener, topic: &str| listener.last(topic).filter(|heard| !heard.payload.is_empty());
    let alert = "homeassistant/binary_sensor/sekisho/gate-alert/config";
    listener.wait_until("the sensors", 10, |listener| {
        ["gate", "yard"].iter().all(|camera| {
            config(listener, &format!("homeassistant/binary_sensor/sekisho/{camera}-alert/config")).is_some()
                && config(listener, &format!("homeassistant/sensor/sekisho/{camera}-stage/config")).is_some()
        })
    });
    let told = config(&listener, alert).expect("just heard").json();
    assert_eq!(told["unique_id"], "sekisho-gate-alert");
    assert_eq!(told["state_topic"], "sekisho/cameras/gate/state");
    assert_eq!(told["availability"][0]["topic"], "sekisho/available");
    assert_eq!(told["availability"][1]["topic"], "sekisho/cameras/gate/available");
    assert_eq!((&told["availability_mode"], &told["device"]["identifiers"][0]), (&"all".into(), &"sekisho".into()));
    assert!(told["origin"]["name"].is_string());
    let template = told["value_template"].as_str().expect("a template");
    assert_eq!(template, "{{ value_json.open }}");
    let stage = config(&listener, "homeassistant/sensor/sekisho/gate-stage/config").expect("heard").json();
    assert!(stage["options"].as_array().is_some_and(|options| options.contains(&Value::from("machine-confirmed"))));
    assert!(
        listener
            .heard()
            .iter()
            .all(|heard| !heard.topic.contains("sekisho/dock") && heard.topic != "sekisho/cameras/dock/state")
    );
    assert!(config(&listener, "homeassistant/sensor/other/dock-stage/config").is_some(), "another device's");
    assert!(config(&listener, "sekisho-2/cameras/dock/state").is_some(), "another box's");

    // The yard is taken out of the configuration; then the whole sink.
    bench.setup.cameras.retain(|camera| camera.as_str() != "yard");
    let setup = bench.setup.clone();
    bench.outlet(async |outlet| outlet.change(&setup).await);
    let _rested = bench.step();
    listener.wait_until("the yard cleared", 10, |listener| {
        let empty = |topic: &str| listener.last(topic).is_some_and(|heard| heard.payload.is_empty());
        empty("homeassistant/binary_sensor/sekisho/yard-alert/config")
            && empty("homeassistant/sensor/sekisho/yard-stage/config")
            && empty("sekisho/cameras/yard/state")
            && empty("sekisho/cameras/yard/available")
    });
    assert!(config(&listener, alert).is_some(), "the gate stays");
    bench.outlet(async |outlet| outlet.close(Closing::Removed).await);
    listener.wait_until("everything cleared", 10, |listener| {
        listener.last(alert).is_some_and(|heard| heard.payload.is_empty())
            && listener.last("sekisho/available").is_some_and(|heard| heard.payload.is_empty())
    });
}

#[test]
fn a_broker_that_is_killed_gets_the_rest_when_it_is_back() {
    let Some((_dir, mut broker)) = started("") else { return };
    let mut bench = bench(&broker, "");
    let before = broker.listen();
    bench.happen("a", 3);
    assert!(bench.run(HOUR));
    before.wait_until("the first", 10, |listener| ids(listener, "sekisho/cameras/gate/alerts").len() == 12);
    broker.kill();
    bench.happen("b", 40);
    assert!(!bench.run(HOUR));
    assert_eq!(bench.depth().pending, 160);
    assert_eq!(bench.view().state, SinkState::Failing);
    broker.restart();
    let listener = broker.listen();
    assert!(bench.run(HOUR));
    listener.wait_until("the rest", 10, |listener| ids(listener, "sekisho/cameras/gate/alerts").len() == 160);
    listener.wait_until("the retained topics, which the broker has lost", 10, |listener| {
        listener.last("sekisho/available").is_some_and(|heard| heard.payload == "online")
            && listener.last("homeassistant/sensor/sekisho/gate-stage/config").is_some()
    });
    assert_eq!(bench.view().state, SinkState::Ok);
}

#[test]
fn a_wrong_password_is_said_and_nothing_is_lost_by_it() {
    let Some((_dir, broker)) = started("") else { return };
    let mut bench = bench(&broker, "");
    bench.credential("broker", "box:wr0ng-c4nary");
    bench.happen("a", 2);
    assert!(!bench.run(HOUR));
    let view = bench.view();
    assert_eq!(view.state, SinkState::Denied);
    let said = view.last_error.clone().unwrap_or_default();
    assert!(said.contains("does not let us in: not authorised") || said.contains("bad user or password"), "{said}");
    assert!(!format!("{view:?}").contains("c4nary"));
    bench.credential("broker", &format!("{USER}:{PASSWORD}"));
    assert!(bench.run(HOUR));
    assert_eq!(bench.depth().delivered, 8);
}

#[test]
fn a_broker_that_asks_for_our_certificate_gets_it() {
    let Some((_dir, broker)) = started("require_certificate true") else { return };
    let pem = std::fs::read_to_string(&broker.certificates.client).expect("just made");
    let mut without = bench(&broker, "");
    without.happen("a", 1);
    assert!(!without.run(Duration::from_secs(600)));
    let mut with = bench(&broker, "client-credential = \"client\"");
    with.credential("client", &pem);
    with.happen("a", 1);
    assert!(with.run(HOUR));
    assert_eq!(with.depth().delivered, 4);
}

#[test]
fn a_broker_that_forbids_the_topic_holds_everything_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let acl = dir.path().join("acl");
    std::fs::write(&acl, format!("user {USER}\ntopic write sekisho/available\n")).expect("written");
    let Some((_dir, mut broker)) = started(&format!("acl_file {}", acl.display())) else { return };
    let mut bench = bench(&broker, "");
    bench.happen("a", 30);
    assert!(!bench.run(HOUR));
    assert_eq!(bench.view().state, SinkState::Denied);
    assert!(bench.view().last_error.is_some_and(|said| said.contains("not authorised")));
    assert_eq!((bench.depth().pending, bench.depth().dead), (120, 0));
    std::fs::write(&acl, format!("user {USER}\ntopic readwrite #\n")).expect("written");
    broker.kill();
    broker.restart();
    assert!(bench.run(HOUR));
    assert_eq!(bench.depth().delivered, 120);
}

#[test]
fn an_event_larger_than_the_broker_takes_is_not_sent_and_not_repeated_for_ever() {
    let Some((_dir, broker)) = started("max_packet_size 800") else { return };
    let mut bench = bench(&broker, "discovery-prefix = \"\"");
    bench.happen("a", 1);
    assert!(bench.run(8 * HOUR));
    assert_eq!((bench.depth().dead, bench.depth().delivered), (4, 0));
    assert!(bench.view().last_error.is_some_and(|said| said.contains("more than the broker takes")));
    assert!(!broker.log().contains("oversize"), "{}", broker.log());
}

/// A broker that acknowledges so many publications and then says nothing more, on each connection.
fn tight_lipped(acks: usize) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            count.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || mumble(stream, acks));
        }
    });
    (port, connections)
}

fn mumble(mut stream: TcpStream, mut acks: usize) {
    let mut first = [0_u8];
    while stream.read_exact(&mut first).is_ok() {
        let (mut length, mut shift, mut byte) = (0_usize, 0, [0x80_u8]);
        while byte[0] & 0x80 != 0 {
            stream.read_exact(&mut byte).expect("a length");
            length |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).expect("a body");
        let answer = match first[0] >> 4 {
            1 => vec![0x20, 3, 0, 0, 0],
            8 => vec![0x90, 6, body[0], body[1], 0, 0, 0, 0],
            3 if acks > 0 => {
                acks -= 1;
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                vec![0x40, 2, body[topic + 2], body[topic + 3]]
            }
            _ => Vec::new(),
        };
        if stream.write_all(&answer).is_err() {
            break;
        }
    }
}

#[test]
fn only_what_is_acknowledged_on_both_topics_counts_as_delivered() {
    // One for the box's availability, two for the first event, one for the second.
    let (port, connections) = tight_lipped(4);
    let mut bench = Bench::new(&format!(
        "[sinks.hook]\nkind = \"mqtt\"\nbroker = \"mqtt://127.0.0.1:{port}\"\ntimeout-ms = 300\ngive-up-after-h = 1\n"
    ));
    bench.happen("a", 3);
    let _first = bench.step();
    let depth = bench.depth();
    assert_eq!((depth.delivered, depth.pending), (1, 11), "half an event is none");
    assert!(bench.view().last_error.is_some_and(|said| said.contains("no acknowledgement within 300 ms")));
    // An event a connection, and in the end all of them.
    assert!(bench.run(8 * HOUR));
    assert_eq!(bench.depth().delivered, 12);
    assert!(connections.load(Ordering::Relaxed) >= 11);
}

#[test]
fn a_server_of_something_else_is_told_from_a_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _sent = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let mut bench = Bench::new(&format!("[sinks.hook]\nkind = \"mqtt\"\nbroker = \"mqtt://127.0.0.1:{port}\"\n"));
    bench.happen("a", 1);
    assert!(!bench.run(Duration::from_secs(60)));
    let said = bench.view().last_error.unwrap_or_default();
    assert!(said.contains("it sent something that is not MQTT 5"), "{said}");
    let (_, cameras) = settings(&format!("{CAMERAS}[sinks.hook]\nkind = \"mqtt\"\nbroker = \"mqtt://b\"\n"));
    assert_eq!(cameras.len(), 2);
}
