//! Looking and voting through the page: who decides, what is seen before and after, and what others hear.

use sekisho_tests::browser::{Browser, address, reviewer};
use sekisho_tests::planted::{self, Alert, EVIDENCE};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn started(people: &[&str], alerts: &[Alert<'_>]) -> Option<(Site, Daemon, SocketAddr)> {
    fetched()?;
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    for name in people {
        reviewer(&site, name, if *name == "vera" { "viewer" } else { "reviewer" }, &[]);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    for one in alerts {
        planted::alert(&mut store, one);
    }
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let address = address(&mut daemon);
    Some((site, daemon, address))
}

fn vote(browser: &mut Browser, alert: &str, verdict: &str) -> (u16, Value) {
    let answer =
        browser.post(&format!("/api/alerts/{alert}/votes"), &json!({ "verdict": verdict, "reason": "recognised" }));
    (answer.status, answer.json())
}

/// Whether any number of the evidence is in a text.
fn speaks(text: &str) -> bool {
    EVIDENCE.iter().any(|number| text.contains(number))
}

#[test]
fn two_people_decide_and_neither_sees_anything_of_the_evidence_before_voting() {
    let Some((site, daemon, address)) = started(&["sato", "ito", "vera"], &[Alert::of("a-1", 2)]) else { return };
    let (mut sato, mut ito, mut vera) =
        (Browser::logged_in(address, "sato"), Browser::logged_in(address, "ito"), Browser::logged_in(address, "vera"));
    let before = sato.get("/api/alerts/a-1");
    let view = before.json();
    assert!(view["blind"] == true && view["may-vote"] == true && !speaks(&before.text()), "{view}");
    for key in ["votes", "llr", "cosine", "fpir", "second", "combined-llr"] {
        assert!(view.get(key).is_none(), "{key}: {view}");
    }
    assert_eq!((&view["votes-required"], &view["votes-cast"], &view["face-px"]), (&json!(2), &json!(0), &json!(17.2)));
    assert_eq!((&view["display-name"], &view["quality"][0]["reason"]), (&json!("Ann Example"), &json!("blurred")));
    assert_eq!(
        view["pictures"][1],
        json!({
            "n": 2, "taken": view["pictures"][1]["taken"], "face-px": 17.2, "width": 52, "height": 70,
            "quality": { "sharpness": 0.31, "yaw-deg": 4.0 },
        })
    );
    for path in ["/api/queue", "/api/alerts"] {
        assert!(!speaks(&sato.get(path).text()), "{path}");
    }
    let seen = vera.get("/api/alerts/a-1");
    assert!(seen.json()["blind"] == false && seen.json()["llr"] == 9.25, "{}", seen.text());

    let (status, view) = vote(&mut sato, "a-1", "confirm");
    assert_eq!((status, &view["stage"], &view["blind"]), (200, &json!("machine-confirmed"), &json!(false)));
    assert_eq!((&view["llr"], &view["fpir"], &view["combined-llr"]), (&json!(9.25), &json!(0.001), &json!(6.85)));
    assert_eq!((&view["votes"][0]["reviewer"], &view["voted"]), (&json!("reviewer:sato"), &json!(true)));
    let again = vote(&mut sato, "a-1", "reject");
    assert!(
        again.0 == 409 && again.1["error"].as_str().is_some_and(|said| said.contains("already voted")),
        "{again:?}"
    );
    let still = ito.get("/api/alerts/a-1");
    assert!(still.json()["blind"] == true && still.json()["votes-cast"] == 1, "{}", still.text());
    assert!(!speaks(&still.text()) && !still.text().contains("sato"), "the other vote is not told");
    let (status, view) = vote(&mut ito, "a-1", "confirm");
    assert_eq!((status, &view["stage"], &view["votes-cast"]), (200, &json!("confirmed"), &json!(2)));
    assert_eq!(daemon.get("/v1/alerts/a-1")["stage"], "confirmed");
    assert!(daemon.stop(5).success());
    let rows = planted::store(&site).audit_entries(0, 1000).expect("the trail");
    let voters: Vec<_> =
        rows.iter().filter(|row| row.action == "alert" && row.actor.starts_with("reviewer:")).collect();
    assert_eq!(voters.iter().map(|row| row.actor.as_str()).collect::<Vec<_>>(), ["reviewer:sato", "reviewer:ito"]);
}

#[test]
fn whoever_enrolled_the_person_does_not_decide_alone_by_page_or_socket() {
    let planted = Alert { enrolled_by: Some("uid:0"), ..Alert::of("a-1", 1) };
    let Some((site, mut daemon, address)) = started(&["ito"], &[planted]) else { return };
    let root = rustix::process::getuid().as_raw();
    assert_eq!(root, 0, "these tests run as root");
    // Linked only now: the alert still knows the enroller by the Unix user.
    reviewer(&site, "sato", "reviewer", &["--unix-user", "root"]);
    daemon.wait_until("the new reviewer", 5, |_| {
        Browser::new(address).log_in("sato", sekisho_tests::browser::PASSWORD).status == 200
    });
    let mut sato = Browser::logged_in(address, "sato");
    let view = sato.get("/api/alerts/a-1").json();
    assert!(view["caller-enrolled"] == true && view["enrolled-by"] == "reviewer:sato", "{view}");
    let (status, view) = vote(&mut sato, "a-1", "confirm");
    assert_eq!(
        (status, &view["stage"]),
        (200, &json!("machine-confirmed")),
        "their vote counts and decides nothing alone"
    );
    let by_socket = site.cli(&["alerts", "confirm", "a-1"]);
    let said = String::from_utf8_lossy(&by_socket.stderr).into_owned();
    assert!(by_socket.status.code() == Some(1) && said.contains("already voted"), "one person, one vote: {said}");
    let mut ito = Browser::logged_in(address, "ito");
    assert_eq!(ito.get("/api/alerts/a-1").json()["caller-enrolled"], false);
    assert_eq!(vote(&mut ito, "a-1", "confirm").1["stage"], "confirmed");
    assert!(daemon.stop(5).success());
}

#[test]
fn the_queue_has_what_is_due_first_and_what_i_voted_on_last_and_the_history_pages() {
    let alerts: Vec<Alert<'_>> = [("a-1", 900_000, "gate"), ("a-2", 300_000, "yard"), ("a-3", 600_000, "dock")]
        .map(|(id, lasts_ms, camera)| Alert { lasts_ms, camera, ..Alert::of(id, 2) })
        .to_vec();
    let Some((_site, daemon, address)) = started(&["sato"], &alerts) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    let ids = |answer: Value| -> Vec<String> {
        answer["alerts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|alert| Some(alert["id"].as_str()?.to_owned()))
            .collect()
    };
    assert_eq!(ids(sato.get("/api/queue").json()), ["a-2", "a-3", "a-1"]);
    assert_eq!(vote(&mut sato, "a-2", "unsure").0, 200);
    let queue = sato.get("/api/queue").json();
    assert_eq!(
        (&queue["waiting"], &queue["candidates"], &queue["alerts"][2]["voted"]),
        (&json!(3), &json!(0), &json!(true))
    );
    assert_eq!(ids(queue), ["a-3", "a-1", "a-2"]);
    let page = sato.get("/api/alerts?limit=2").json();
    assert_eq!((&page["more"], ids(page.clone())), (&json!(true), vec!["a-3".to_owned(), "a-2".to_owned()]));
    let page = sato.get("/api/alerts?limit=2&before=a-2").json();
    assert_eq!((&page["more"], ids(page.clone())), (&json!(false), vec!["a-1".to_owned()]));
    assert_eq!(
        ids(sato.get("/api/alerts?camera=yard&stage=machine-confirmed&list=watch&person=ann-1").json()),
        ["a-2"]
    );
    assert_eq!(ids(sato.get("/api/alerts?until=2020-01-01T00:00:00Z").json()), Vec::<String>::new());
    for bad in ["stage=nonsense", "colour=red", "from=yesterday", "limit=many", "camera=../etc"] {
        let answer = sato.get(&format!("/api/alerts?{bad}"));
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{bad}: {}", answer.text());
    }
    let menus = sato.get("/api/filters").json();
    assert_eq!((&menus["cameras"], &menus["people"]), (&json!(["dock", "gate", "yard"]), &json!(["ann-1"])));
    assert_eq!(menus["stages"].as_array().map(Vec::len), Some(6));
    assert!(daemon.stop(5).success());
}

#[test]
fn pictures_are_shown_at_native_size_and_faces_cut_out_of_photographs() {
    let Some((_site, daemon, address)) = started(&["sato"], &[Alert::of("a-1", 1)]) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    let picture = sato.get("/api/alerts/a-1/pictures/2");
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/png")));
    assert_eq!(picture.header("cache-control"), Some("no-store"));
    let decoded = image::load_from_memory(&picture.body).expect("a PNG");
    assert_eq!((decoded.width(), decoded.height()), (52, 70));
    for _ in 0..2 {
        let photo = sato.get("/api/people/ann-1/photos/1");
        assert_eq!((photo.status, photo.header("content-type")), (200, Some("image/jpeg")), "{}", photo.text());
        let decoded = image::load_from_memory(&photo.body).expect("a JPEG");
        // The face is 200x260 of 800x1000; with its margin it is about 340x442 and never more than 480.
        assert!(
            (300..=400).contains(&decoded.width()) && (400..=480).contains(&decoded.height()),
            "{}x{}",
            decoded.width(),
            decoded.height()
        );
    }
    for path in [
        "/api/alerts/a-1/pictures/0",
        "/api/alerts/a-1/pictures/3",
        "/api/alerts/a-1/pictures/-1",
        "/api/alerts/a-2/pictures/1",
        "/api/people/ann-1/photos/2",
        "/api/people/bob-1/photos/1",
        "/api/people/..%2fann-1/photos/1",
        "/api/alerts/..%2f..%2fetc%2fpasswd",
    ] {
        assert_eq!(sato.get(path).status, 404, "{path}");
    }
    assert_eq!(Browser::new(address).get("/api/alerts/a-1/pictures/1").status, 401);
    assert!(daemon.stop(5).success());
}

#[test]
fn an_event_stream_tells_that_something_changed_and_never_what_was_said() {
    let Some((_site, daemon, address)) = started(&["sato", "ito"], &[Alert::of("a-1", 2)]) else { return };
    let (sato, mut ito) = (Browser::logged_in(address, "sato"), Browser::logged_in(address, "ito"));
    let (status, mut events) = sato.listen().expect("an event stream");
    assert_eq!(status, 200);
    assert_eq!(vote(&mut ito, "a-1", "reject").0, 200);
    let (name, data) = events.next_event().expect("an event");
    assert_eq!(name, "alert");
    assert_eq!(data, json!({ "id": "a-1", "stage": "machine-confirmed", "camera": "gate", "list": "watch" }));
    assert!(daemon.stop(5).success());
}

#[test]
fn cameras_are_shown_without_who_is_in_view() {
    let Some((site, daemon, address)) = started(&["sato"], &[]) else { return };
    site.write_config("[cameras.gate]\nsource = \"rtsp://127.0.0.1:1/none\"\n");
    daemon.signal("HUP");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let cameras = Browser::logged_in(address, "sato").get("/api/cameras").json();
    let gate = &cameras["cameras"][0];
    assert!(gate["name"] == "gate" && gate["state"].is_string() && gate.get("tracks").is_none(), "{cameras}");
    assert!(daemon.stop(5).success());
}
