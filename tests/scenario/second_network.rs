//! The second network with the real networks: it agrees about the right person, and without its agreement nobody is
//! machine-confirmed.

use sekisho_logic::id::PersonId;
use sekisho_logic::time::WallMs;
use sekisho_store::{DbKey, IfMissing, NewTemplate, Store, TemplateSource};
use sekisho_tests::site::{Site, fetched, root};
use serde_json::Value;
use std::path::PathBuf;

/// The demonstration's clip, in which Obama and Collins come close and Biden, a stranger, does; `None` (said aloud) when
/// set-up was not run.
fn clip() -> Option<String> {
    let clip = fetched()?.join("demo/clips/gate.mp4");
    if !clip.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", clip.display());
        return None;
    }
    Some(clip.display().to_string())
}

fn enrol(site: &Site, person: &str, photo: &str) {
    let photo = root().join(".sekisho/demo/photos").join(photo).display().to_string();
    let _said = site.enrol(&[person, &photo]);
}

/// Names the second network in the site's configuration.
fn with_second(site: &Site, second: &str) {
    site.write_config("");
    let path = site.path("sekisho.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replace("[models]\n", &format!("[models]\nsecond = \"{second}\"\n"))).expect("writable");
}

/// Alerts after each event of a replay, in order.
fn alerts(site: &Site, clip: &str) -> Vec<Value> {
    let text = site.done(&["replay", clip, "--json"]);
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["type"] != "track").map(|event| event["after"].clone()).collect()
}

fn at<'a>(alerts: &'a [Value], person: &str, stage: &str) -> Vec<&'a Value> {
    alerts.iter().filter(|alert| alert["person"] == person && alert["stage"] == stage).collect()
}

/// The site's database, while no daemon has it.
fn store(site: &Site) -> Store {
    let files: Vec<PathBuf> =
        std::fs::read_dir(site.path("state")).expect("made at enrolment").flatten().map(|entry| entry.path()).collect();
    let ending = |end: &str| files.iter().find(|path| path.extension().is_some_and(|found| found == end)).expect(end);
    let key = DbKey::from_file(ending("key"), IfMissing::Refuse).expect("a key");
    Store::create_or_open(ending("db"), key).expect("a database")
}

/// SHA-256 of a network of the shipped manifest.
fn digest(id: &str) -> String {
    let text = std::fs::read_to_string(root().join("models/manifest.toml")).expect("the shipped manifest");
    let entry = text.split(&format!("[models.{id}]")).nth(1).expect("an entry");
    let line = entry.lines().find(|line| line.starts_with("sha256 = ")).expect("a hash");
    line.split('"').nth(1).expect("quoted").to_owned()
}

/// Gives `person` the second network's prototype of `other`, and keeps the first one's.
fn exchange_second(site: &Site, person: &str, other: &str) {
    let mut store = store(site);
    let prototype = |store: &mut Store, who: &str, digest: &str| {
        let rows = store.gallery(digest, "1", WallMs(1)).expect("readable").rows;
        let row = rows.into_iter().find(|row| row.person.as_str() == who).expect("enrolled with both networks");
        NewTemplate {
            source: TemplateSource::Prototype,
            size_bin_px: None,
            model_digest: digest.to_owned(),
            preprocessing: "1".into(),
            embedding: row.embedding,
        }
    };
    let first = prototype(&mut store, person, &digest("sekisho-student-m"));
    let second = prototype(&mut store, other, &digest("sface-2021dec-int8"));
    let person = PersonId::try_new(person).expect("an id");
    store.replace_templates(&person, &[first, second], "uid:0", WallMs(2)).expect("written");
    store.close().expect("closed");
}

#[test]
fn whoever_is_machine_confirmed_has_the_second_networks_agreement_or_there_is_none() {
    let Some(clip) = clip() else { return };
    let site = Site::new();
    for (who, photo) in [("obama", "obama.jpg"), ("hopper", "grace_hopper.jpg"), ("collins", "astronaut.png")] {
        enrol(&site, who, photo);
    }
    let seconded = alerts(&site, &clip);
    for person in ["obama", "collins"] {
        let confirmed = at(&seconded, person, "machine-confirmed");
        assert_eq!(confirmed.len(), 1, "{person}: {seconded:#?}");
        let opinion = &confirmed[0]["second"];
        assert_eq!(opinion["agrees"], true, "{opinion}");
        assert_eq!(opinion["model-digest"], digest("sface-2021dec-int8"));
        assert_eq!(opinion["calibration-id"], "sface-2021dec-int8-celeba-1");
        assert!(opinion["llr"].as_f64() > Some(0.0) && opinion["combined-llr"].as_f64() > Some(0.0), "{opinion}");
        assert!((1..=5).contains(&opinion["frames-used"].as_u64().expect("a count")), "{opinion}");
        assert!(at(&seconded, person, "candidate").iter().all(|alert| alert["second"].is_null()), "not asked yet");
    }
    with_second(&site, "none");
    let alone = alerts(&site, &clip);
    let stages = |alerts: &[Value]| -> Vec<(Value, Value)> {
        alerts.iter().map(|alert| (alert["person"].clone(), alert["stage"].clone())).collect()
    };
    assert_eq!(stages(&alone), stages(&seconded), "it agreed about everybody");
    assert!(alone.iter().all(|alert| alert.as_object().expect("an alert").contains_key("second")), "the key stays");
    assert!(alone.iter().all(|alert| alert["second"].is_null()), "nobody was asked");
}

#[test]
fn a_second_network_that_knows_somebody_else_withdraws_the_candidate() {
    let Some(clip) = clip() else { return };
    let site = Site::new();
    enrol(&site, "obama", "obama.jpg");
    enrol(&site, "hopper", "grace_hopper.jpg");
    exchange_second(&site, "obama", "hopper");
    let alerts = alerts(&site, &clip);
    assert!(!at(&alerts, "obama", "candidate").is_empty(), "the first network still finds him: {alerts:#?}");
    assert!(at(&alerts, "obama", "machine-confirmed").is_empty(), "{alerts:#?}");
    let withdrawn = at(&alerts, "obama", "withdrawn");
    assert_eq!(withdrawn.len(), at(&alerts, "obama", "candidate").len(), "{alerts:#?}");
    let disagreed = withdrawn.iter().find(|alert| alert["cause"] == "second-disagrees").expect("it spoke against him");
    assert_eq!(disagreed["second"]["agrees"], false);
    assert!(disagreed["second"]["llr"].as_f64() < Some(0.0), "{disagreed}");
    assert!(disagreed["candidate"]["llr"].as_f64() > Some(0.0), "the first network's evidence is as it was");
}

#[test]
fn who_has_no_second_template_becomes_a_candidate_and_is_never_machine_confirmed() {
    let Some(clip) = clip() else { return };
    let site = Site::new();
    with_second(&site, "none");
    enrol(&site, "obama", "obama.jpg");
    with_second(&site, "auto");
    let alerts = alerts(&site, &clip);
    assert!(!at(&alerts, "obama", "candidate").is_empty() && at(&alerts, "obama", "machine-confirmed").is_empty());
    let withdrawn = at(&alerts, "obama", "withdrawn");
    assert!(withdrawn.iter().any(|alert| alert["cause"] == "no-second-opinion"), "{withdrawn:#?}");
    assert!(withdrawn.iter().all(|alert| alert["second"].is_null()));
}

#[test]
fn the_running_daemon_asks_counts_and_tells() {
    let Some(clip) = clip() else { return };
    let mut site = Site::new();
    enrol(&site, "collins", "astronaut.png");
    site.configure(&format!("[cameras.gate]\nsource = \"file://{clip}\"\nlists = [\"staff\"]\n"));
    let mut daemon = site.start();
    daemon.wait_ready();
    // She is confirmed some twelve seconds into the clip; a machine that does much else takes longer.
    let agreed = |daemon: &sekisho_tests::site::Daemon| daemon.get("/v1/status")["second"]["agreed-total"].as_u64();
    daemon.wait_until("the second network's agreement", 60, |daemon| agreed(daemon) > Some(0));
    let alerts = |daemon: &sekisho_tests::site::Daemon| daemon.get("/v1/alerts?stage=confirmed")["alerts"].clone();
    daemon.wait_until("the alert in the journal", 10, |daemon| {
        alerts(daemon).as_array().is_some_and(|all| !all.is_empty())
    });
    let alert = alerts(&daemon)[0].clone();
    assert_eq!((&alert["person"], &alert["second"]["agrees"]), (&"collins".into(), &Value::Bool(true)));
    let shown = site.done(&["alerts", "show", alert["id"].as_str().expect("an id")]);
    assert!(shown.contains("second network") && shown.contains("agrees: llr"), "{shown}");
    let status = daemon.get("/v1/status");
    assert_eq!(status["models"]["second"]["id"], "sface-2021dec-int8");
    let second = &status["second"];
    let count = |name: &str| second[name].as_u64().expect(name);
    let answered: u64 =
        ["agreed", "against", "open", "silent", "late"].map(|word| count(&format!("{word}-total"))).iter().sum();
    assert!(count("asked-total") >= answered && count("people") == 1 && count("people-without") == 0, "{second}");
    let (_, page) = daemon.request("GET", "/metrics", "").expect("a page");
    let agreed = page.lines().find(|line| line.starts_with("sekisho_second_answers_total{answer=\"agreed\"}"));
    assert!(agreed.and_then(|line| line.rsplit_once(' ')).is_some_and(|(_, value)| value != "0.0"), "{page}");
    assert!(daemon.stop(10).success());
}
