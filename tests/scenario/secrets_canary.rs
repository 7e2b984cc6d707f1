//! Every secret the program is given is looked for in every place it could have come out at. Each secret holds the same word,
//! which stands nowhere else.

use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{AlertFilter, DbKey, IfMissing, Store};
use sekisho_tests::browser::{self, Browser};
use sekisho_tests::clock::RealClock;
use sekisho_tests::hook::{Hook, Manner};
use sekisho_tests::rtsp_stub::{self, RtspStub};
use sekisho_tests::site::{Daemon, Site, fetched};
use sekisho_tests::store;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const CANARY: &str = "kanaria58213";

/// What one place said, as text.
type Places = BTreeMap<&'static str, String>;

/// Cameras, webhook, broker and key server, each with a secret; most of them refuse, because errors are what talks most.
fn site(camera: &RtspStub, hook: &Hook) -> Site {
    let mut site = Site::new();
    for (name, text) in [
        ("gate", format!("ann:{CANARY}-camera")),
        ("desk-secret", format!("{CANARY}-hook-secret")),
        ("desk-token", format!("{CANARY}-hook-token")),
        ("broker", format!("house:{CANARY}-broker")),
    ] {
        site.credential(name, &text);
    }
    let log = site.path("events.ndjson");
    site.review("listen = \"127.0.0.1:0\"\n");
    site.configure(&format!(
        "[cameras.gate]\nsource = \"{}\"\ncredential = \"gate\"\nlists = [\"watch\"]\n\
         [sinks.log]\nkind = \"event-log\"\npath = \"{}\"\n\
         [sinks.desk]\nkind = \"webhook\"\nurl = \"{}\"\nsecret-credential = \"desk-secret\"\n\
         token-credential = \"desk-token\"\nretry-first-ms = 100\n\
         [sinks.house]\nkind = \"mqtt\"\nbroker = \"mqtt://127.0.0.1:1\"\ncredential = \"broker\"\nretry-first-ms = 100\n",
        camera.url(),
        log.display(),
        hook.url(),
    ));
    site
}

fn plant(site: &Site) {
    let state = site.path("state");
    std::fs::create_dir_all(&state).expect("a writable folder");
    let key = DbKey::from_file(&state.join("store.key"), IfMissing::Create).expect("a key");
    let mut store = Store::create_or_open(&state.join("sekisho.db"), key).expect("a store");
    let now = RealClock::start().now().wall;
    for event in store::story("a-1", WallMs(now.0)).expect("events") {
        store.append(&event, &["log", "desk", "house"], "daemon").expect("journalled");
    }
    store.close().expect("closed");
}

/// Command lines and environments of a process and of those it started.
fn processes(pid: u32) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if id != pid && parent != Some(pid) {
            continue;
        }
        for file in ["cmdline", "environ", "comm"] {
            let bytes = std::fs::read(entry.path().join(file)).unwrap_or_default();
            let _infallible = writeln!(text, "{}", String::from_utf8_lossy(&bytes));
        }
    }
    text
}

/// Every byte of every file below, but for the credentials themselves.
fn files(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, kind) = (entry.path(), entry.file_type().expect("a kind"));
        if kind.is_dir() && path.file_name() != Some("credentials".as_ref()) {
            text.push_str(&files(&path));
        } else if kind.is_file() && path.file_name() != Some("password".as_ref()) {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).expect("readable")));
        }
    }
    text
}

fn said(site: &Site, args: &[&str]) -> String {
    let out = site.cli(args);
    String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr)
}

/// What the decrypted database says: the trail, the alerts, and what sinks noted of their errors.
fn database(site: &Site) -> String {
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("a key");
    let mut store = Store::open_existing(&site.path("state/sekisho.db"), key).expect("a database");
    let trail = store.audit_entries(0, 10_000).expect("the trail");
    let alerts = store.alerts(&AlertFilter::default(), 100).expect("alerts");
    let events = store.events_since(0, 1000).expect("the journal");
    let sinks = store.outbox_depths().expect("sinks");
    let reviewers = store.reviewers().expect("reviewers");
    format!("{trail:?}\n{alerts:?}\n{events:?}\n{sinks:?}\n{reviewers:?}")
}

fn from_outside(daemon: &mut Daemon, site: &Site, places: &mut Places) {
    let of = |daemon: &Daemon, path: &str| daemon.request("GET", path, "").expect("an answer").1;
    for (place, path) in [
        ("status", "/v1/status"),
        ("cameras", "/v1/cameras"),
        ("sinks", "/v1/sinks"),
        ("alerts", "/v1/alerts"),
        ("metrics", "/metrics"),
    ] {
        places.insert(place, of(daemon, path));
    }
    places.insert("processes", processes(daemon.pid()));
    let verbs: [&[&str]; 14] = [
        &["status"],
        &["check-config"],
        &["sinks", "list"],
        &["alerts", "list", "--json"],
        &["reviewers", "list"],
        &["gallery", "list"],
        &["models", "verify"],
        &["audit", "show", "--json"],
        &["audit", "verify"],
        &["breach-report"],
        &["dpia"],
        &["notice"],
        &["gallery", "doctor"],
        &["cameras", "test", "gate", "--duration", "2s"],
    ];
    places.insert("command line", verbs.iter().map(|verb| said(site, verb)).collect());
    let address = browser::address(daemon);
    let mut page = Browser::logged_in(address, "ann");
    let mut wrong = Browser::new(address);
    let refused = wrong.log_in("ann", &format!("{CANARY}-mistyped"));
    assert_eq!(refused.status, 401);
    let paths = ["/", "/api/session", "/api/queue", "/api/alerts", "/api/cameras", "/api/suspensions", "/api/filters"];
    let answers: String = paths.iter().map(|path| page.get(path).text()).collect();
    places.insert("review page", answers + &refused.text());
}

#[test]
fn no_secret_comes_out_anywhere() {
    if fetched().is_none() {
        return;
    }
    let camera = RtspStub::start(rtsp_stub::Manner::RefuseEverybody).expect("a port");
    let hook = Hook::start(None);
    hook.usually(Manner::Say(500, "x-said: no"));
    let site = site(&camera, &hook);
    plant(&site);
    browser::reviewer(&site, "ann", "admin", &[]);
    // Everything our own code can say, and GStreamer's warnings.
    let mut daemon = site.start_with(&[("RUST_LOG", "sekisho=trace,debug"), ("GST_DEBUG", "2")]);
    daemon.wait_ready();
    daemon.wait_until("the camera refused us", 20, |_| camera.passwords_presented() >= 2);
    daemon.wait_until("the webhook was tried", 20, |_| !hook.requests().is_empty());
    daemon.wait_until("the broker was tried", 20, |daemon| {
        daemon.get("/v1/sinks")["sinks"].as_array().is_some_and(|sinks| {
            sinks.iter().any(|sink| sink["name"] == "house" && sink["state"] != "ok" && sink["state"] != "starting")
        })
    });
    let mut places = Places::new();
    from_outside(&mut daemon, &site, &mut places);
    site.write_config("[oops]\n");
    daemon.signal("HUP");
    daemon.wait_until("the bad configuration refused", 10, |daemon| daemon.log().contains("oops"));
    // How a crash looks: the log ends with whatever the runtime says.
    daemon.signal("ABRT");
    let _ended = daemon.child.wait().expect("it ends");
    places.insert("log and crash", daemon.log());
    places.insert("database", database(&site));
    places.insert("event log", std::fs::read_to_string(site.path("events.ndjson")).unwrap_or_default());
    places.insert("files of the site", files(site.dir.path()));
    let posted: String = hook.requests().into_iter().map(|request| request.body).collect();
    places.insert("bodies that were posted", posted);
    assert!(places.len() >= 12, "{:?}", places.keys());
    for (place, text) in &places {
        assert!(!text.is_empty(), "{place}: nothing was read there, so nothing is shown by it");
        let at = text.find(CANARY);
        let around = at.map(|at| text.chars().skip(at.saturating_sub(80)).take(200).collect::<String>());
        assert_eq!(around, None, "{place} holds a secret");
    }
}
