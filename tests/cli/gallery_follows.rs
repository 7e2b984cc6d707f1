//! The gallery follows a change of the network: what cannot be compared is said, and `gallery re-embed` makes it anew.

use sekisho_logic::embedding::Embedding;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::WallMs;
use sekisho_store::{DbKey, Enrol, Enrolment, IfMissing, NewTemplate, Store, TemplateSource};
use sekisho_tests::site::{Site, fetched, root};
use sekisho_tests::store::new_grounds;
use serde_json::Value;

fn photos(names: &[&str]) -> Vec<String> {
    let place = root().join(".sekisho/demo/photos");
    names.iter().map(|name| place.join(name).display().to_string()).collect()
}

/// Names the embedder and the second network in the site's configuration.
fn with_networks(site: &Site, embedder: &str, second: &str) {
    site.write_config("");
    let path = site.path("sekisho.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let named = format!("[models]\nembedder = \"{embedder}\"\nsecond = \"{second}\"\n");
    std::fs::write(&path, text.replace("[models]\n", &named)).expect("writable");
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Two people enrolled with one network and no second one.
fn enrolled_site(embedder: &str) -> Option<Site> {
    fetched()?;
    let site = Site::new();
    with_networks(&site, embedder, "none");
    for (person, names) in [("eileen", &["astronaut.png"][..]), ("obama", &["obama.jpg", "obama2.jpg"])] {
        let mut args = vec![person.to_owned()];
        args.extend(photos(names));
        let _said = site.enrol(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    Some(site)
}

/// Two people enrolled with SFace, in a site whose configuration now names the student.
fn changed_site() -> Option<Site> {
    let site = enrolled_site("sface-2021dec")?;
    with_networks(&site, "sekisho-student-m", "none");
    Some(site)
}

#[test]
fn a_running_daemon_names_whom_it_cannot_match_and_follows_the_re_embedding() {
    let Some(site) = changed_site() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    assert_eq!(daemon.get("/v1/gallery")["people-in-force"], 0);
    let log = daemon.log();
    assert!(log.contains("second network: NONE"), "confirming without a second network is said: {log}");
    assert!(site.done(&["status"]).contains("second       NONE"));
    assert!(log.contains("2 people come from another network") && log.contains("gallery re-embed"), "{log}");
    let told = site.done(&["gallery", "re-embed"]);
    assert!(told.contains("eileen: 2 templates made") && told.contains("obama: 3 templates made"), "{told}");
    daemon.wait_until("both people in force", 10, |daemon| daemon.get("/v1/gallery")["people-in-force"] == 2);
    assert!(daemon.stop(5).success());
}

#[test]
fn only_who_lacks_templates_is_embedded_again_unless_asked() {
    let Some(site) = changed_site() else { return };
    let first = parsed(&site.done(&["gallery", "re-embed", "--json"]));
    assert_eq!(first["people"].as_array().map(Vec::len), Some(2), "{first}");
    assert_eq!(first["left"], Value::Array(Vec::new()));
    let again = parsed(&site.done(&["gallery", "re-embed", "--json"]));
    assert_eq!(again["people"], Value::Array(Vec::new()), "an interrupted run started again does only the rest");
    assert_eq!(parsed(&site.done(&["gallery", "re-embed", "eileen", "--json"]))["people"][0]["templates"], 2);
    assert_eq!(
        parsed(&site.done(&["gallery", "re-embed", "--all", "--json"]))["people"].as_array().map(Vec::len),
        Some(2)
    );
    let unknown = site.cli(&["gallery", "re-embed", "nobody"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody") && said.contains("not enrolled"), "{said}");
    assert_eq!(site.cli(&["gallery", "re-embed", "eileen", "--all"]).status.code(), Some(2), "either some or all");
}

#[test]
fn a_person_without_usable_photographs_is_left_as_they_were_and_the_others_are_done() {
    let Some(site) = changed_site() else { return };
    let state = site.path("state");
    let found = std::fs::read_dir(&state).expect("made at enrolment").flatten().map(|entry| entry.path());
    let files: Vec<_> = found.collect();
    let ending = |end: &str| files.iter().find(|path| path.extension().is_some_and(|found| found == end)).expect(end);
    let key = DbKey::from_file(ending("key"), IfMissing::Refuse).expect("a key");
    let mut store = Store::create_or_open(ending("db"), key).expect("a database");
    let ghost = Enrolment {
        person: PersonId::try_new("ghost").expect("an id"),
        list: ListId::try_new("staff").expect("an id"),
        display_name: None,
        grounds: new_grounds(),
        photos: vec![b"no picture".to_vec()],
        faces: Vec::new(),
        templates: Vec::new(),
    };
    store.enrol(Enrol::Add, &ghost, "uid:0", WallMs(1)).expect("enrolled");
    store.close().expect("closed");
    let output = site.cli(&["gallery", "re-embed"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("ghost: photograph 1 of 1") && said.contains("no usable photograph"), "{said}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("2 people embedded") && told.contains("ghost: left as it was"), "{told}");
}

#[test]
fn photographs_from_before_learn_where_their_face_is() {
    let Some(site) = changed_site() else { return };
    let made = parsed(&site.done(&["gallery", "re-embed", "--json"]));
    let word = |name: &str| made[name].as_str().expect("a word").to_owned();
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("a key");
    let mut store = Store::open_existing(&site.path("state/sekisho.db"), key).expect("a database");
    let hopper = PersonId::try_new("hopper").expect("an id");
    // As a version enrolled that did not note it: a template of the present network, and a photograph without a box.
    let old = Enrolment {
        person: hopper.clone(),
        list: ListId::try_new("staff").expect("an id"),
        display_name: None,
        grounds: new_grounds(),
        photos: vec![std::fs::read(&photos(&["grace_hopper.jpg"])[0]).expect("a photograph")],
        faces: Vec::new(),
        templates: vec![NewTemplate {
            source: TemplateSource::Prototype,
            size_bin_px: None,
            model_digest: word("model-digest"),
            preprocessing: word("preprocessing"),
            embedding: Embedding::try_new(&[1.0; 8]).expect("not zero"),
        }],
    };
    store.enrol(Enrol::Add, &old, "uid:0", WallMs(1)).expect("enrolled");
    assert_eq!(store.person_photos(&hopper).expect("read")[0].face, None);
    let again = parsed(&site.done(&["gallery", "re-embed", "--json"]));
    assert_eq!(again["people"][0]["person"], "hopper", "the others know already: {again}");
    let [_, _, width, height] = store.person_photos(&hopper).expect("read")[0].face.expect("noted now");
    assert!(width > 40 && height > width, "{width}x{height}");
    let nothing = parsed(&site.done(&["gallery", "re-embed", "--json"]));
    assert_eq!(nothing["people"], Value::Array(Vec::new()));
}

#[test]
fn who_lacks_the_second_networks_template_is_said_until_it_is_made() {
    let Some(site) = enrolled_site("sekisho-student-m") else { return };
    let alone = site.done(&["gallery", "list"]);
    assert!(alone.contains("yes") && !alone.contains("second network"), "{alone}");
    with_networks(&site, "sekisho-student-m", "auto");
    let listed = site.done(&["gallery", "list"]);
    assert!(listed.contains("first only") && listed.contains("2 people have no template of the second"), "{listed}");
    let shown = parsed(&site.done(&["gallery", "show", "obama", "--json"]));
    assert_eq!((&shown["first-network"], &shown["second-network"]), (&Value::Bool(true), &Value::Bool(false)));
    let mut daemon = site.start();
    daemon.wait_ready();
    let without = |daemon: &sekisho_tests::site::Daemon| daemon.get("/v1/status")["second"]["people-without"].clone();
    daemon.wait_until("both people counted", 10, |daemon| without(daemon) == 2);
    let (log, told) = (daemon.log(), site.done(&["status"]));
    assert!(log.contains("never machine-confirmed: eileen, obama"), "{log}");
    assert!(told.contains("sface-2021dec-int8") && told.contains("2 people have no template of it"), "{told}");
    let told = site.done(&["gallery", "re-embed"]);
    assert!(told.contains("eileen: 4 templates made") && told.contains("obama: 6 templates made"), "{told}");
    daemon.wait_until("both people known to both networks", 10, |daemon| without(daemon) == 0);
    assert!(daemon.stop(5).success());
    assert!(site.done(&["gallery", "list"]).contains("both"));
    let shown = parsed(&site.done(&["gallery", "show", "obama", "--json"]));
    assert_eq!((&shown["templates"], &shown["second-network"]), (&Value::from(6), &Value::Bool(true)));
}

#[test]
fn a_change_to_the_network_that_was_second_needs_no_re_embedding_of_the_first() {
    let Some(site) = enrolled_site("sface-2021dec") else { return };
    with_networks(&site, "sface-2021dec", "auto");
    let _made = site.done(&["gallery", "re-embed"]);
    with_networks(&site, "sekisho-student-m", "none");
    let listed = site.done(&["gallery", "list"]);
    assert!(listed.contains("yes") && !listed.contains("none"), "the student was second and is first now: {listed}");
}

#[test]
fn the_same_network_twice_is_refused_in_a_sentence() {
    let Some(site) = enrolled_site("sface-2021dec") else { return };
    with_networks(&site, "sface-2021dec", "sface-2021dec-int8");
    let output = site.cli(&["replay", "/nowhere.mp4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the same network as the embedder sface-2021dec") && said.trim().lines().count() == 1,
        "{said}"
    );
    with_networks(&site, "sface-2021dec", "nobody-knows");
    let output = site.cli(&["replay", "/nowhere.mp4"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("no model `nobody-knows`"), "{said}");
}
