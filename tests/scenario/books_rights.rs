//! What a person who is enrolled may ask for: a copy of everything (P7), restriction, correction and hold (P8); and what must be
//! at hand after a breach (P22).

use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::record::{AlertId, Verdict, Vote};
use sekisho_logic::time::{Clock as _, Mono, WallMs};
use sekisho_store::{Append, Enrol, Enrolment, Network, NewTemplate, Store, TemplateSource};
use sekisho_tests::clock::RealClock;
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Site, fetched};
use sekisho_tests::store::{setting, story};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn person(name: &str) -> PersonId {
    PersonId::try_new(name).expect("a name")
}

#[test]
fn a_person_is_given_everything_that_is_held_about_them_and_nobody_elses() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4242");
    planted::enrol(&mut store, "bob-2", "uid:4242");
    planted::alert(&mut store, &Alert { person: "bob-2", ..Alert::of("a-bob", 1) });
    planted::alert(&mut store, &Alert::of("a-ann", 1));
    let open = store.alert(&AlertId("a-ann".into())).expect("read").expect("there");
    let mut after = open.record.clone();
    after.votes.push(Vote {
        reviewer: "reviewer:sato".into(),
        verdict: Verdict::Unsure,
        reason: Some("too dark".into()),
        wall: planted::now(),
    });
    let event = sekisho_logic::record::AlertEvent { before: Some(open.record), after, sequence: open.sequence + 1 };
    store.append(&event, &["desk"], "reviewer:sato").expect("appended");
    drop(store);
    let out = site.path("for-ann");
    let told = json(&site.done(&["gallery", "export", "ann-1", "--out", &out.display().to_string(), "--json"]));
    assert_eq!(told["files"], 3, "a photograph and two pictures: {told}");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&out), mode(&out.join("records.json"))), (0o700, 0o600));
    let text = std::fs::read_to_string(out.join("records.json")).expect("records");
    let records = json(&text);
    let count = |section: &str| records[section].as_array().map_or(0, Vec::len);
    assert_eq!(["person", "photographs", "alerts", "journal", "votes", "pictures"].map(count), [1, 1, 1, 3, 1, 2]);
    assert_eq!((count("deliveries"), records["deliveries"][0]["sink"].as_str()), (1, Some("desk")));
    assert!(count("audit") >= 5, "{}", records["audit"]);
    assert_eq!(records["person"][0]["display-name"], "Ann Example");
    assert_eq!(records["votes"][0]["reason"], "too dark");
    for others in ["sato", "bob-2", "a-bob", "uid:4242"] {
        assert!(!text.contains(others), "{others}");
    }
    assert!(!text.contains("vector"), "a template's facts, not its components");
    for file in std::fs::read_dir(&out).expect("a folder").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        assert!(
            ["records.json", "photograph-1.jpg", "alert-a-ann-1.png", "alert-a-ann-2.png"].contains(&name.as_str()),
            "{name}"
        );
    }
    let again = site.cli(&["gallery", "export", "ann-1", "--out", &out.display().to_string()]);
    assert_eq!(again.status.code(), Some(1), "never into a folder that is there");
    let nobody = site.cli(&["gallery", "export", "eve-9", "--out", &site.path("no").display().to_string()]);
    assert!(nobody.status.code() == Some(1) && !site.path("no").exists());
    let trail = json(&site.done(&["audit", "show", "--action", "export", "--json"]));
    assert_eq!(trail["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(trail["rows"][0]["subject"], "ann-1");
}

#[test]
fn ten_thousand_sightings_are_written_out() {
    let site = Site::new();
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:0");
    let sightings = setting("SEKISHO_SIGHTINGS", 10_000);
    let mut batch = Vec::new();
    for n in 0..sightings {
        let opened = WallMs(1_795_000_000_000 + i64::try_from(n).expect("small") * 1000);
        // As a sighting on an entry log: a candidate and its confirmation.
        let events = story(&format!("s-{n}"), opened).expect("a story").into_iter().take(2);
        batch.extend(events.map(|event| Append { event, sinks: vec!["log".into()], actor: "daemon".into() }));
        if batch.len() >= 512 || n + 1 == sightings {
            let _rows = store.append_all(&std::mem::take(&mut batch)).expect("appended");
        }
    }
    let who = store.alert(&AlertId("s-0".into())).expect("read").expect("there").record.person;
    if who != person("ann-1") {
        planted::enrol(&mut store, who.as_str(), "uid:0");
    }
    drop(store);
    let out = site.path("out").display().to_string();
    let (clock, began) = stopwatch();
    let told = json(&site.done(&["gallery", "export", who.as_str(), "--out", &out, "--records-only", "--json"]));
    let took = clock.now().mono.since(began);
    println!(
        "{sightings} sightings in {took:.1?}, {} bytes",
        std::fs::metadata(site.path("out/records.json")).expect("there").len()
    );
    assert_eq!(told["records"]["alerts"], sightings);
}

/// A clock, and the moment on it from which something is measured that is printed and never judged.
fn stopwatch() -> (std::sync::Arc<RealClock>, Mono) {
    let clock = RealClock::start();
    let began = clock.now().mono;
    (clock, began)
}

/// Enrols somebody with a template of the network in use, so that the daemon matches them.
fn matched(store: &mut Store, name: &str, network: &Network) {
    let raw: Vec<f32> = (0_u16..128).map(|n| f32::from(n) - 60.0).collect();
    let template = NewTemplate {
        source: TemplateSource::Prototype,
        size_bin_px: None,
        model_digest: network.model_digest.clone(),
        preprocessing: network.preprocessing.clone(),
        embedding: sekisho_logic::embedding::Embedding::try_new(&raw).expect("a vector"),
    };
    let new = Enrolment {
        person: person(name),
        list: ListId::try_new("watch").expect("a name"),
        display_name: None,
        grounds: sekisho_tests::store::new_grounds(),
        photos: Vec::new(),
        faces: Vec::new(),
        templates: vec![template],
    };
    let _done = store.enrol(Enrol::Add, &new, "uid:0", planted::now()).expect("enrolled");
}

#[test]
fn whoever_is_restricted_is_matched_no_more_within_a_minute_and_a_hold_keeps_what_is_about_them() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = site.start();
    daemon.wait_ready();
    let mut store = planted::store(&site);
    let models = json(&site.done(&["audit", "show", "--action", "models-loaded", "--json"]));
    let detail = &models["rows"][0]["detail"];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let network =
        Network { model_digest: text(&detail["embedder"]["sha256"]), preprocessing: text(&detail["preprocessing"]) };
    matched(&mut store, "ann-1", &network);
    matched(&mut store, "bob-2", &network);
    drop(store);
    let loaded = |site: &Site| {
        let rows = json(&site.done(&["audit", "show", "--action", "gallery-loaded", "--limit", "1", "--json"]));
        rows["rows"][0]["detail"]["people"].as_u64()
    };
    daemon.wait_until("both in the gallery", 30, |_| loaded(&site) == Some(2));
    let (clock, began) = stopwatch();
    let said = site.done(&["gallery", "restrict", "ann-1", "--reason", "Art. 18, letter of 27 November"]);
    assert!(said.contains("not matched"), "{said}");
    daemon.wait_until("one of them out of it", 60, |_| loaded(&site) == Some(1));
    println!("restricted within {:.1?}", clock.now().mono.since(began));
    assert!(site.done(&["gallery", "restrict", "ann-1", "--reason", "again"]).contains("already"));
    let _said = site.done(&["gallery", "release", "ann-1", "--reason", "settled"]);
    daemon.wait_until("both again", 60, |_| loaded(&site) == Some(2));

    let _said = site.done(&["gallery", "hold", "ann-1", "--reason", "case 7"]);
    let refused = site.cli(&["gallery", "erase", "ann-1"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && text.contains("legal hold"), "{text}");
    let _said = site.done(&["gallery", "unhold", "ann-1", "--reason", "case closed"]);
    let said = site.done(&["gallery", "correct", "ann-1", "--list", "staff", "--display-name", "Anna"]);
    assert!(said.contains("list, display-name"), "{said}");
    assert_eq!(site.cli(&["gallery", "correct", "ann-1"]).status.code(), Some(2));
    assert_eq!(site.cli(&["gallery", "correct", "ann-1", "--list", "nowhere"]).status.code(), Some(2));
    let _said = site.done(&["gallery", "erase", "ann-1"]);
    let rows = json(&site.done(&["audit", "show", "--subject", "ann-1", "--json"]));
    let actions: Vec<_> = rows["rows"].as_array().expect("rows").iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["enrol", "status", "status", "hold", "unhold", "correct", "erase", "erased"]);
    assert!(daemon.stop(10).success());
}

#[test]
fn after_a_breach_one_command_says_what_there_was_who_had_access_and_whether_the_books_are_whole() {
    let site = Site::new();
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:0");
    planted::alert(&mut store, &Alert::of("a-1", 1));
    drop(store);
    let words = site.done(&["reviewers", "add", "sato", "--role", "reviewer", "--generate"]);
    assert!(!words.is_empty());
    let out = site.path("out").display().to_string();
    let _said = site.done(&["gallery", "export", "ann-1", "--out", &out, "--records-only"]);
    let report = json(&site.done(&["breach-report", "--json"]));
    let class = |name: &str| {
        let found = report["data"].as_array().expect("classes").iter().find(|one| one["name"] == name);
        found.expect(name)["count"].as_u64()
    };
    assert_eq!(
        ["people", "enrolment-photographs", "alerts", "evidence-pictures", "reviewers"].map(class),
        [Some(1), Some(1), Some(1), Some(2), Some(1)]
    );
    assert_eq!(report["audit"]["whole"], true);
    assert_eq!(report["access"]["export"].as_array().map(Vec::len), Some(1));
    assert_eq!(report["reviewers"][0]["name"], "sato");
    assert!(report["protection"]["key"].as_str().expect("words").contains("whoever took the disk has both"));
    let text = site.done(&["breach-report"]);
    for heading in ["## Kinds of data", "## Protection", "## Who had access", "## What went out", "## The audit trail"]
    {
        assert!(text.contains(heading), "{text}");
    }
    assert!(text.contains("| evidence-pictures | 2 |"), "{text}");
    assert!(!text.contains("Ann Example") && !report.to_string().contains("Ann Example"));
    let later = json(&site.done(&["breach-report", "--since", "2099-01-01T00:00:00Z", "--json"]));
    assert_eq!(later["access"]["export"].as_array().map(Vec::len), Some(0));
}
