//! The gallery follows a change of the network: what cannot be compared is said, and `gallery re-embed` makes it anew.

use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::WallMs;
use sekisho_store::{DbKey, Enrol, Enrolment, Grounds, IfMissing, Store};
use sekisho_tests::site::{Site, fetched, root};
use serde_json::Value;

fn photos(names: &[&str]) -> Vec<String> {
    let place = root().join(".sekisho/demo/photos");
    names.iter().map(|name| place.join(name).display().to_string()).collect()
}

/// Names the embedder in the site's configuration.
fn with_embedder(site: &Site, id: &str) {
    site.write_config("");
    let path = site.path("sekisho.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replace("[models]\n", &format!("[models]\nembedder = \"{id}\"\n"))).expect("writable");
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Two people enrolled with SFace, in a site whose configuration now names the student.
fn changed_site() -> Option<Site> {
    fetched()?;
    let site = Site::new();
    with_embedder(&site, "sface-2021dec");
    for (person, names) in [("eileen", &["astronaut.png"][..]), ("obama", &["obama.jpg", "obama2.jpg"])] {
        let mut args = vec!["gallery".to_owned(), "enroll".into(), person.into()];
        args.extend(photos(names));
        let _said = site.done(&args.iter().map(String::as_str).collect::<Vec<_>>());
    }
    with_embedder(&site, "sekisho-student-m");
    Some(site)
}

#[test]
fn a_running_daemon_names_whom_it_cannot_match_and_follows_the_re_embedding() {
    let Some(site) = changed_site() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    assert_eq!(daemon.get("/v1/gallery")["people-in-force"], 0);
    let log = daemon.log();
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
        grounds: Grounds::default(),
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
