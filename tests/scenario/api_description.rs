//! deploy/schema/openapi.json says what the socket answers: every route and no other is in it, and what the real daemon
//! answers has the form it says, with no field that it does not know.

use sekisho::status::wire;
use sekisho_logic::calibrate::{Finding, Stale};
use sekisho_logic::face::Unfit;
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::id::{CameraId, PersonId, TrackId};
use sekisho_logic::outcome::{Outcome, TrackVerdict, Undecidable};
use sekisho_logic::record::EvidenceRecord;
use sekisho_logic::role::{self, Role};
use sekisho_logic::suspension::{Subject, Suspension};
use sekisho_logic::time::{Mono, WallMs};
use sekisho_tests::browser::{Browser, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched, root};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Where answers of the event schema stand once it is part of the description.
const EVENT: &str = "#/components/schemas/EventFile";

/// Turns every `$ref` of a document into another one.
fn point(value: &mut Value, to: &impl Fn(&str) -> String) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(target) if key == "$ref" => *target = to(target),
                    inner => point(inner, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| point(item, to)),
        _ => {}
    }
}

fn read(file: &str) -> Value {
    let text = std::fs::read_to_string(root().join("deploy/schema").join(file)).expect("a shipped file");
    serde_json::from_str(&text).unwrap_or_else(|wrong| panic!("{file}: {wrong}"))
}

/// The description with the schema of events as a part of it.
struct Description(Value);

impl Description {
    fn read() -> Self {
        let (mut all, mut event) = (read("openapi.json"), read("event.schema.json"));
        event.as_object_mut().expect("an object").remove("$id");
        point(&mut event, &|target| target.replace("#/", &format!("{EVENT}/")));
        point(&mut all, &|target| target.replace("event.schema.json#", EVENT).replace("event.schema.json", EVENT));
        all["components"]["schemas"]["EventFile"] = event;
        Self(all)
    }

    /// Method and path of every operation with what is said of it.
    fn operations(&self) -> Vec<(String, String, &Value)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let each = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
        });
        each.collect()
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        let operation = &self.0["paths"][path][method.to_lowercase()];
        assert!(operation.is_object(), "{method} {path} is not described");
        operation
    }

    /// What is wrong with a value of the named schema: what does not fit, and fields that nothing describes.
    fn wrong(&self, name: &str, value: &Value) -> Vec<String> {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}"), "components": self.0["components"] });
        let validator = jsonschema::draft202012::new(&schema).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
        let fits = validator.iter_errors(value).map(|wrong| format!("{}: {wrong}", wrong.instance_path()));
        let mut wrong: Vec<_> = fits.collect();
        self.undescribed(&[&schema], value, name, &mut wrong);
        wrong
    }

    /// A schema with everything it refers to and all its alternatives, as schemas of one value.
    fn parts<'d>(&'d self, schema: &'d Value, into: &mut Vec<&'d Value>) {
        into.push(schema);
        if let Some(target) = schema["$ref"].as_str() {
            let found = self.0.pointer(target.trim_start_matches('#'));
            self.parts(found.unwrap_or_else(|| panic!("{target} leads nowhere")), into);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            schema[key].as_array().into_iter().flatten().for_each(|part| self.parts(part, into));
        }
    }

    /// Names fields of `value` that none of `schemas` knows. Receivers must bear unknown fields; we may not send them.
    fn undescribed(&self, schemas: &[&Value], value: &Value, at: &str, said: &mut Vec<String>) {
        let mut parts = Vec::new();
        schemas.iter().for_each(|schema| self.parts(schema, &mut parts));
        match value {
            Value::Object(fields) => {
                for (name, inner) in fields {
                    let known =
                        parts.iter().flat_map(|part| [&part["properties"][name], &part["additionalProperties"]]);
                    let known: Vec<_> = known.filter(|schema| schema.is_object() || **schema == true).collect();
                    let at = format!("{at}/{name}");
                    if known.is_empty() {
                        said.push(format!("{at} is not described"));
                    } else {
                        self.undescribed(&known, inner, &at, said);
                    }
                }
            }
            Value::Array(items) => {
                let of: Vec<_> = parts.iter().map(|part| &part["items"]).filter(|items| items.is_object()).collect();
                for (nth, item) in items.iter().enumerate() {
                    self.undescribed(&of, item, &format!("{at}/{nth}"), said);
                }
            }
            _ => {}
        }
    }

    /// Asks and holds the answer to what is described for `path` (a template) and the status it came with.
    fn ask(&self, daemon: &Daemon, method: &str, path: &str, template: &str, body: &str) -> (u16, Value) {
        let (status, said) = daemon.request(method, path, body).expect("an answer");
        let responses = &self.operation(method, template)["responses"];
        let response = &responses[status.to_string()];
        assert!(response.is_object(), "{method} {path}: {status} is not described: {said}");
        if response["content"]["text/plain"].is_object() {
            return (status, Value::String(said));
        }
        let name = schema_name(&response["content"]["application/json"]["schema"]);
        let value: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{method} {path}: no JSON: {said}"));
        let wrong = self.wrong(name, &value);
        assert!(wrong.is_empty(), "{method} {path} is no {name}: {wrong:#?}\n{value:#}");
        (status, value)
    }
}

fn schema_name(schema: &Value) -> &str {
    schema["$ref"].as_str().and_then(|target| target.rsplit('/').next()).expect("a named schema")
}

/// A path with `*` for what differs.
fn starred(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "*" } else { part }).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_described_with_its_roles_and_nothing_else_is() {
    let description = Description::read();
    let told: BTreeMap<(String, String), BTreeSet<String>> = description
        .operations()
        .into_iter()
        .map(|(method, path, operation)| {
            let roles = operation["x-roles"].as_array().expect("roles");
            let roles = roles.iter().map(|role| role.as_str().expect("a word").to_owned()).collect();
            ((method, starred(&path)), roles)
        })
        .collect();
    let table: BTreeMap<_, BTreeSet<_>> = role::SOCKET
        .iter()
        .map(|(method, path, action)| {
            let roles = role::permitted(*action).iter().map(|role| role.as_str().to_owned()).collect();
            (((*method).to_owned(), (*path).to_owned()), roles)
        })
        .collect();
    assert_eq!(told, table, "the description and the table of roles differ");
    // And the router itself: a route that is in no table would be open to whoever may look.
    let source = std::fs::read_to_string(root().join("daemon/src/status/routes.rs")).expect("the router");
    let routes: BTreeSet<_> = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| {
            let (path, rest) = rest.split_once("\", ")?;
            let method = rest.split('(').next()?.to_uppercase();
            Some((method, starred(path)))
        })
        .collect();
    assert_eq!(routes, table.keys().cloned().collect(), "the router and the table of roles differ");
    let known: BTreeSet<_> = Role::ALL.map(|role| role.as_str().to_owned()).into();
    assert!(told.values().flatten().all(|role| known.contains(role)));
}

#[test]
fn the_description_is_whole() {
    let description = Description::read();
    assert_eq!((&description.0["openapi"], &description.0["info"]["version"]), (&json!("3.1.0"), &json!("1")));
    let schemas = description.0["components"]["schemas"].as_object().expect("schemas");
    let mut used = BTreeSet::new();
    let all = std::cell::RefCell::new(&mut used);
    let mut copy = description.0.clone();
    point(&mut copy, &|target| {
        assert!(description.0.pointer(target.trim_start_matches('#')).is_some(), "{target} leads nowhere");
        all.borrow_mut().insert(target.to_owned());
        target.to_owned()
    });
    for name in schemas.keys() {
        let target = format!("#/components/schemas/{name}");
        assert!(used.iter().any(|one| one.starts_with(&target)), "nothing uses {name}");
        jsonschema::draft202012::meta::validate(&schemas[name]).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in description.operations() {
        assert!(ids.insert(operation["operationId"].as_str().expect("an id")), "{method} {path}: its id is another's");
        let wanted: BTreeSet<_> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let given = operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "path");
        assert_eq!(given.filter_map(|one| one["name"].as_str()).collect::<BTreeSet<_>>(), wanted, "{method} {path}");
    }
}

/// A site with alerts, a suspended camera and sinks, one of which was there before.
fn site() -> Site {
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::enrol(&mut store, "bob-1", "uid:4711");
    planted::alert(&mut store, &Alert::of("a-1", 2));
    planted::alert(&mut store, &Alert { person: "bob-1", ..Alert::of("a-2", 1) });
    let camera = CameraId::try_new("yard").expect("a name");
    let since = planted::now();
    store.suspend(&Suspension { subject: Subject::Camera(camera), since, rejected: 4, decided: 5 }).expect("noted");
    store.close().expect("closed");
    let log = site.path("events.ndjson");
    site.configure(&format!(
        "[sinks.log]\nkind = \"event-log\"\npath = {:?}\n[cameras.gate]\nsource = \"rtsp://127.0.0.1:9/none\"",
        log.display().to_string(),
    ));
    site
}

/// Waits until the daemon watches and has taken up what was planted in its database.
fn settle(daemon: &mut Daemon) {
    daemon.wait_ready();
    daemon.wait_until("what was planted is back", 10, |daemon| {
        daemon.get("/v1/status")["suspensions"][0].is_object() && daemon.get("/v1/alerts")["alerts"][0].is_object()
    });
}

#[test]
fn what_the_daemon_answers_has_the_described_form_and_no_other_field() {
    let Some(_) = fetched() else { return };
    let (description, site) = (Description::read(), site());
    let mut daemon = site.start();
    settle(&mut daemon);
    let mut asked = BTreeSet::new();
    let mut ask = |method: &str, path: &str, template: &str, body: &str, wanted: u16| {
        let (status, value) = description.ask(&daemon, method, path, template, body);
        assert_eq!(status, wanted, "{method} {path}: {value}");
        asked.insert((method.to_owned(), template.to_owned()));
        value
    };
    for path in ["/v1/status", "/v1/cameras", "/v1/gallery", "/v1/alerts", "/v1/sinks", "/metrics", "/healthz"] {
        let _described = ask("GET", path, path, "", 200);
    }
    assert_eq!(ask("GET", "/v1/status", "/v1/status", "", 200)["suspensions"][0]["subject"], "yard");
    let narrowed =
        ask("GET", "/v1/alerts?stage=machine-confirmed&camera=gate&person=ann-1&limit=1", "/v1/alerts", "", 200);
    assert_eq!((&narrowed["alerts"][0]["id"], narrowed["alerts"][0]["blind"].as_bool()), (&json!("a-1"), Some(true)));
    let one = ask("GET", "/v1/alerts/a-1", "/v1/alerts/{id}", "", 200);
    assert_eq!((&one["id"], &one["blind"]), (&json!("a-1"), &json!(true)));
    let ticket = ask("POST", "/v1/review/ticket", "/v1/review/ticket", "{}", 200);
    assert!(ticket["url"].as_str().is_some_and(|url| url.contains("#ticket=")), "{ticket}");
    let lift = "{\"kind\":\"camera\",\"subject\":\"yard\"}";
    let _lifted = ask("POST", "/v1/suspensions/lift", "/v1/suspensions/lift", lift, 200);
    let _requeued = ask("POST", "/v1/sinks/log/requeue", "/v1/sinks/{name}/requeue", "", 200);
    let paused = ask("POST", "/v1/matching/pause", "/v1/matching/pause", "{\"reason\":\"a drill\"}", 200);
    assert_eq!(paused["paused"]["reason"], "a drill");
    let _paused = ask("GET", "/v1/status", "/v1/status", "", 200);
    let _resumed = ask("POST", "/v1/matching/resume", "/v1/matching/resume", "", 200);
    let votes = "/v1/alerts/{id}/votes";
    let voted = ask("POST", "/v1/alerts/a-1/votes", votes, "{\"verdict\":\"confirm\",\"reason\":\"recognised\"}", 200);
    assert_eq!(voted["after"]["votes"][0]["verdict"], "confirm");
    let _whole = ask("GET", "/v1/alerts/a-1", "/v1/alerts/{id}", "", 200);
    // Refusals, one of each kind; the statuses are described and the form is the one of every refusal.
    let long = format!("{{\"reason\":\"{}\"}}", "x".repeat(600));
    for (method, path, template, body, wanted) in [
        ("GET", "/v1/alerts?stage=nonsense", "/v1/alerts", "", 400),
        ("GET", "/v1/alerts?colour=red", "/v1/alerts", "", 400),
        ("GET", "/v1/events?colour=red", "/v1/events", "", 400),
        ("GET", "/v1/alerts/none", "/v1/alerts/{id}", "", 404),
        ("POST", "/v1/alerts/a-1/votes", votes, "{\"verdict\":\"confirm\"}", 409),
        ("POST", "/v1/alerts/a-1/votes", votes, "{\"verdict\":\"maybe\"}", 422),
        ("POST", "/v1/alerts/a-1/votes", votes, "nonsense", 400),
        ("POST", "/v1/suspensions/lift", "/v1/suspensions/lift", lift, 404),
        ("POST", "/v1/suspensions/lift", "/v1/suspensions/lift", "{\"kind\":\"list\",\"subject\":\"x\"}", 400),
        ("POST", "/v1/sinks/none/requeue", "/v1/sinks/{name}/requeue", "", 404),
        ("POST", "/v1/review/ticket", "/v1/review/ticket", "{\"as-reviewer\":\"nobody\"}", 404),
        ("POST", "/v1/matching/pause", "/v1/matching/pause", &long, 400),
    ] {
        let _refused = ask(method, path, template, body, wanted);
    }
    let routes: BTreeSet<_> = description.operations().into_iter().map(|(method, path, _)| (method, path)).collect();
    assert_eq!(asked, routes, "not every operation was asked");
    for (method, path, wanted) in [
        ("GET", "/v1/nothing", 404),
        ("GET", "/", 404),
        ("DELETE", "/v1/alerts", 405),
        ("GET", "/v1/matching/pause", 405),
    ] {
        let (status, said) = daemon.request(method, path, "").expect("an answer");
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{method} {path}: no JSON: {said}"));
        assert_eq!((status, description.wrong("Error", &said)), (wanted, Vec::new()), "{method} {path}");
    }
    assert!(daemon.stop(5).success());
}

/// The event stream of a daemon, from the moment on at which it is listened to.
struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(site: &Site) -> Self {
        let mut stream = UnixStream::connect(site.path("sekisho.sock")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.write_all(b"GET /v1/events?tracks=yes HTTP/1.1\r\nhost: t\r\n\r\n").expect("a request");
        let mut stream = Self(BufReader::new(stream));
        while !stream.line().is_empty() {}
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    /// The next thing told.
    fn told(&mut self) -> Value {
        loop {
            let line = self.line();
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap_or_else(|wrong| panic!("{wrong}: {data}"));
            }
        }
    }
}

#[test]
fn lines_of_the_event_stream_have_the_described_form() {
    let Some(_) = fetched() else { return };
    let (description, site) = (Description::read(), site());
    reviewer(&site, "ito", "reviewer", &[]);
    let mut daemon = site.start();
    settle(&mut daemon);
    let mut stream = Stream::open(&site);
    let mut next = |kind: &str| {
        let told = stream.told();
        let wrong = description.wrong("StreamLine", &told);
        assert!(wrong.is_empty(), "{wrong:#?}\n{told:#}");
        assert_eq!(told["type"], kind, "{told:#}");
        told
    };
    let lift = "{\"kind\":\"camera\",\"subject\":\"yard\"}";
    assert_eq!(daemon.request("POST", "/v1/suspensions/lift", lift).expect("an answer").0, 200);
    assert_eq!(next("suspension")["state"], "lifted");
    let mut ito = Browser::logged_in(address(&mut daemon), "ito");
    let answer = ito.post("/api/alerts/a-1/votes", &json!({ "verdict": "unsure" }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(next("update")["after"]["blind"], true, "whoever listens here has yet to vote");
    let vote = "{\"verdict\":\"reject\",\"reason\":\"other-person\"}";
    assert_eq!(daemon.request("POST", "/v1/alerts/a-1/votes", vote).expect("an answer").0, 200);
    assert_eq!(next("update")["after"]["votes"][1]["verdict"], "reject", "who has voted is told all");
    let vote = "{\"verdict\":\"confirm\"}";
    assert_eq!(daemon.request("POST", "/v1/alerts/a-2/votes", vote).expect("an answer").0, 200);
    assert_eq!(next("end")["after"]["stage"], "confirmed");
    let id = daemon.get("/v1/status")["calibration"]["id"].as_str().expect("an id").to_owned();
    let stale = Stale { since: planted::now(), calibration_id: id, finding: Finding::Rejections };
    planted::store(&site).raise_stale(&stale, planted::now()).expect("raised");
    assert_eq!(next("calibration")["state"], "calibration-stale");
    let (_, status) = description.ask(&daemon, "GET", "/v1/status", "/v1/status", "");
    assert!(status["calibration"]["stale"].is_object(), "{status}");
    let _said = site.done(&["calibrate", "--acknowledge"]);
    assert_eq!(next("calibration")["state"], "fresh");
    assert!(daemon.stop(5).success());
}

#[test]
fn finished_tracks_and_what_only_a_slow_listener_hears_have_the_described_form() {
    let description = Description::read();
    let stamp = |ms: u64| {
        let wall = WallMs(1_795_564_800_000 + i64::try_from(ms).expect("small"));
        FrameStamp { sequence: ms, mono: Mono::from_millis(ms), wall }
    };
    let evidence = EvidenceRecord {
        cosine: 0.61,
        llr: 9.25,
        runner_up_gap: None,
        target_fpir: 1e-3,
        inter_eye_px: 21.5,
        frames_used: 6,
        frames_unfit: Vec::new(),
        model_digest: "ab".repeat(32),
        calibration_id: "c/1".into(),
    };
    let person = PersonId::try_new("ann-1").expect("a name");
    for outcome in
        [Outcome::Identified { person, evidence }, Outcome::NotEnrolled, Outcome::NotDecidable(Undecidable::TooSmall)]
    {
        let verdict = TrackVerdict {
            camera: CameraId::try_new("gate").expect("a name"),
            track: TrackId(7),
            outcome,
            began: stamp(1000),
            ended: stamp(2500),
            faces: 9,
            frames_used: 6,
            inter_eye_px: 21.5,
            unfit: vec![(Unfit::Blurred, 2)],
            explanation: None,
        };
        let told = wire::verdict(&verdict);
        assert_eq!(description.wrong("StreamLine", &told), Vec::<String>::new(), "{told:#}");
    }
    assert_eq!(description.wrong("StreamLine", &json!({ "type": "missed", "count": 3 })), Vec::<String>::new());
    // And the test can fail.
    for (value, said) in [
        (json!({ "type": "missed", "count": 0 }), "is not valid"),
        (json!({ "type": "missed", "count": 3, "percent": 97 }), "percent is not described"),
    ] {
        let wrong = description.wrong("StreamLine", &value).join("; ");
        assert!(wrong.contains(said), "{value}: {wrong}");
    }
}
