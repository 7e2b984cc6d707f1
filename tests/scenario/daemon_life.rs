//! The real binary from start to stop: live cameras, restarts, second instances, reloads, secrets.

use sekisho_tests::feed::{Clip, Coding, Feed};
use sekisho_tests::rtsp::{Login, RtspServer};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use sekisho_tests::stills::cut_last_frame;
use std::time::Duration;

const CANARY: &str = "c4nary-pa55";

fn login() -> Login {
    Login { user: "viewer".into(), password: CANARY.into() }
}

fn state_of(daemon: &Daemon, camera: &str) -> String {
    let cameras = daemon.get("/v1/cameras");
    let found = cameras["cameras"].as_array().into_iter().flatten().find(|each| each["name"] == camera);
    found.and_then(|camera| camera["state"].as_str()).unwrap_or("absent").to_owned()
}

#[test]
fn a_person_on_an_rtsp_camera_is_confirmed_written_and_told() {
    if fetched().is_none() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let mut site = Site::new();
    let photo = site.path("middle.png");
    cut_last_frame(&clip, &[((160, 20, 140, 160), &photo)]).expect("a still");
    let _said = site.enrol(&["middle", &photo.display().to_string()]);
    let feed = Feed::Clip(Clip::load(&clip).expect("a clip"));
    let server = RtspServer::start("127.0.0.1", 0, Some(&login()), &[("gate", feed)]).expect("a server");
    site.credential("gate", &format!("viewer:{CANARY}\n"));
    let events = site.path("events.ndjson");
    site.configure(&format!(
        "[cameras.gate]\nsource = {:?}\ncredential = \"gate\"\nlists = [\"staff\"]\n\
         [sinks.log]\nkind = \"event-log\"\npath = {:?}\nstages = [\"confirmed\"]\n",
        server.url("gate"),
        events.display().to_string(),
    ));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("a confirmed alert", 60, |daemon| {
        daemon.get("/v1/alerts?stage=confirmed")["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty())
    });
    daemon.wait_until("a line in the event log", 10, |_| events.exists());
    let line = std::fs::read_to_string(&events).expect("a log");
    let event: serde_json::Value = serde_json::from_str(line.lines().next().expect("a line")).expect("JSON");
    assert_eq!(event["after"]["person"], "middle");
    assert_eq!(event["after"]["stage"], "confirmed");
    assert_eq!(event["type"], "end");
    let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
    assert!(metrics.contains("sekisho_camera_up{camera=\"gate\"} 1"), "{metrics}");
    assert!(!metrics.contains("middle"), "a person's reference is on the metrics page");

    let place = format!("/proc/{}", daemon.pid());
    let (status, cameras) = (daemon.get("/v1/status").to_string(), daemon.get("/v1/cameras").to_string());
    for (what, text) in [
        ("log", daemon.log()),
        ("command line", std::fs::read_to_string(format!("{place}/cmdline")).expect("own process")),
        ("environment", std::fs::read_to_string(format!("{place}/environ")).expect("own process")),
        ("status", status),
        ("cameras", cameras),
        ("metrics", metrics),
        ("event log", line),
    ] {
        assert!(!text.contains(CANARY), "the camera's password is in the {what}");
    }
    let ended = daemon.stop(5);
    assert!(ended.success(), "exit code with networks loaded: {ended}");
}

#[test]
fn a_watch_list_alert_waits_for_a_person_and_one_vote_ends_it() {
    if fetched().is_none() {
        return;
    }
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let mut site = Site::new();
    let photo = site.path("left.png");
    cut_last_frame(&clip, &[((16, 40, 140, 180), &photo)]).expect("a still");
    let by_another = site.enrol_as_another(&["left", &photo.display().to_string(), "--list", "watch"]);
    site.configure(&format!(
        "[cameras.gate]\nsource = {:?}\nlists = [\"watch\"]\n",
        format!("file://{}", clip.canonicalize().expect("the clip").display()),
    ));
    let mut daemon = site.start();
    daemon.wait_ready();
    let open = |daemon: &Daemon| {
        daemon.get("/v1/alerts?stage=machine-confirmed")["alerts"][0]["id"].as_str().map(str::to_owned)
    };
    daemon.wait_until("an alert that waits for a person", 60, |daemon| open(daemon).is_some());
    let id = open(&daemon).expect("just seen");
    daemon.signal("KILL");
    drop(daemon);
    let mut daemon = site.start();
    daemon.wait_ready();
    assert_eq!(
        daemon.get(&format!("/v1/alerts/{id}"))["stage"],
        "machine-confirmed",
        "a restart does not end the wait"
    );
    let said = site.done(&["alerts", "confirm", &id]);
    assert!(said.contains("CONFIRMED"), "{said}");
    let again = site.cli(&["alerts", "reject", &id]);
    assert_eq!(again.status.code(), Some(1), "a person's verdict is final");
    let alert = daemon.get(&format!("/v1/alerts/{id}"));
    let ended = if by_another { "confirmed" } else { "machine-confirmed" };
    assert_eq!(alert["stage"], ended, "whoever enrolled the person does not decide alone");
    assert_eq!(alert["votes"].as_array().map(Vec::len), Some(1));
    assert!(daemon.stop(5).success());
}

#[test]
fn a_second_instance_is_turned_away_and_a_dead_ones_socket_is_replaced() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut first = site.start();
    first.wait_ready();
    let second = site.cli(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains(&first.pid().to_string()), "it names the process that holds the lock: {said}");
    assert_eq!(first.get("/v1/status")["state"], "watching", "the first is undisturbed");
    first.signal("KILL");
    drop(first);
    assert!(site.path("sekisho.sock").exists(), "kill -9 leaves the socket behind");
    let mut third = site.start();
    third.wait_ready();
    assert!(third.log().contains("did not stop in order"), "{}", third.log());
    assert!(third.stop(5).success());
}

#[test]
fn a_reload_adds_a_camera_without_touching_the_others() {
    if fetched().is_none() {
        return;
    }
    let feed = Feed::pattern(Coding::H264, (320, 240));
    let streams = [("gate", feed.clone()), ("yard", feed)];
    let server = RtspServer::start("127.0.0.1", 0, Some(&login()), &streams).expect("a server");
    let mut site = Site::new();
    site.credential("cams", &format!("viewer:{CANARY}\n"));
    let camera = |server: &RtspServer, name: &str| {
        format!("[cameras.{name}]\nsource = {:?}\ncredential = \"cams\"\nlists = [\"staff\"]\n", server.url(name))
    };
    site.configure(&camera(&server, "gate"));
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("gate streaming", 20, |daemon| state_of(daemon, "gate") == "streaming");
    site.write_config("[cameras.gate]\nno-such-key = 1\n");
    daemon.signal("HUP");
    daemon.wait_until("the mistake in the log", 10, |daemon| daemon.log().contains("stays as it was"));
    assert_eq!(state_of(&daemon, "gate"), "streaming", "a wrong file changes nothing");
    site.configure(&camera(&server, "yard"));
    daemon.signal("HUP");
    daemon.wait_until("yard streaming", 20, |daemon| state_of(daemon, "yard") == "streaming");
    let cameras = daemon.get("/v1/cameras");
    let gate = cameras["cameras"].as_array().into_iter().flatten().find(|each| each["name"] == "gate").expect("gate");
    assert_eq!(gate["reconnects-total"], serde_json::json!({}), "its stream was dropped");
    assert!(daemon.stop(5).success());
}

/// What a camera says of itself.
fn camera_of(daemon: &Daemon, name: &str) -> serde_json::Value {
    let cameras = daemon.get("/v1/cameras");
    let found = cameras["cameras"].as_array().into_iter().flatten().find(|each| each["name"] == name);
    found.cloned().unwrap_or_default()
}

#[test]
fn a_reload_changes_thresholds_lists_and_cameras_and_the_untouched_stream_goes_on() {
    if fetched().is_none() {
        return;
    }
    let feed = Feed::pattern(Coding::H264, (320, 240));
    let streams = ["gate", "yard", "road", "attic"].map(|name| (name, feed.clone()));
    let server = RtspServer::start("127.0.0.1", 0, Some(&login()), &streams).expect("a server");
    let mut site = Site::new();
    site.credential("cams", &format!("viewer:{CANARY}\n"));
    let camera = |name: &str, stream: &str, lists: &str| {
        format!("[cameras.{name}]\nsource = {:?}\ncredential = \"cams\"\nlists = {lists}\n", server.url(stream))
    };
    site.configure(&camera("gate", "gate", "[\"staff\"]"));
    let target = |per_mille: &str| format!("[decide]\ntarget-fpir-per-mille = {per_mille}\n");
    site.write_config(&(target("1.0") + &camera("yard", "yard", "[\"staff\"]")));
    let mut daemon = site.start();
    daemon.wait_ready();
    for name in ["gate", "yard"] {
        daemon.wait_until("both streaming", 30, |daemon| state_of(daemon, name) == "streaming");
    }
    let frames = |daemon: &Daemon| camera_of(daemon, "gate")["frames-decoded-total"].as_u64().expect("a count");
    let (frames_before, in_force) = (frames(&daemon), daemon.get("/v1/status")["thresholds"].clone());
    let of_list = |thresholds: &serde_json::Value, name: &str| {
        thresholds.as_array().into_iter().flatten().find(|list| list["list"] == name).cloned()
    };
    let rate =
        |thresholds: &serde_json::Value| of_list(thresholds, "staff").expect("a list")["target-fpir-per-mille"].clone();
    assert_eq!(rate(&in_force), 1.0);
    assert!(of_list(&in_force, "guests").is_none());

    // ExecReload= of the unit is this signal.
    let changed = [
        target("0.5"),
        "[lists.guests]\npurpose = \"watch\"\nconfirm = \"human\"\n".into(),
        camera("yard", "attic", "[\"staff\", \"guests\"]"),
        camera("road", "road", "[\"guests\"]"),
    ];
    site.write_config(&changed.concat());
    daemon.signal("HUP");
    daemon.wait_until("the added camera streaming", 30, |daemon| state_of(daemon, "road") == "streaming");
    daemon.wait_until("the changed camera on its new stream", 30, |daemon| {
        server.faults("attic").played_total() == 1 && state_of(daemon, "yard") == "streaming"
    });
    daemon.wait_until("the new thresholds and lists", 10, |daemon| {
        let in_force = daemon.get("/v1/status")["thresholds"].clone();
        rate(&in_force) == 0.5 && of_list(&in_force, "guests").is_some()
    });
    daemon.wait_until("more frames of the untouched camera", 10, |daemon| frames(daemon) > frames_before);
    assert_eq!(camera_of(&daemon, "gate")["reconnects-total"], serde_json::json!({}), "its stream was dropped");
    let played = ["gate", "yard", "road", "attic"].map(|name| server.faults(name).played_total());
    assert_eq!(played, [1, 1, 1, 1], "somebody connected to a camera again that had not changed");
    assert!(
        !daemon.log().contains("takes effect at the next restart"),
        "something waits for a restart:\n{}",
        daemon.log()
    );
    assert!(daemon.stop(5).success());
}

#[test]
fn an_enrolment_and_a_removal_reach_the_running_daemon_by_themselves() {
    let Some(fetched) = fetched() else { return };
    let photo = fetched.join("demo/photos/astronaut.png");
    if !photo.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", photo.display());
        return;
    }
    let site = Site::new();
    let mut daemon = site.start();
    daemon.wait_ready();
    let in_force = |daemon: &Daemon| daemon.get("/v1/gallery")["people-in-force"].as_u64();
    assert_eq!(in_force(&daemon), Some(0));
    let _said = site.enrol(&["eileen", &photo.display().to_string()]);
    daemon.wait_until("the enrolled person in force", 5, |daemon| in_force(daemon) == Some(1));
    let _said = site.done(&["gallery", "erase", "eileen"]);
    daemon.wait_until("the removed person gone", 5, |daemon| in_force(daemon) == Some(0));
    assert_eq!(daemon.log().matches("1 people in force").count(), 1, "the enrolment is said once:\n{}", daemon.log());
    assert!(daemon.stop(5).success());
}

#[test]
fn the_watchdog_is_fed_while_everything_moves() {
    if fetched().is_none() {
        return;
    }
    let site = Site::new();
    let mut daemon = site.start_with(&[("WATCHDOG_USEC", "30000000")]);
    daemon.wait_ready();
    daemon.wait_told("WATCHDOG=1", 100);
    daemon.signal("TERM");
    daemon.wait_told("STOPPING=1", 100);
    std::thread::sleep(Duration::from_millis(10));
    assert!(daemon.stop(5).success());
}
