//! deploy/schema/event.schema.json says what sinks send: real events of every stage fit, and what is not an event does not.

use jsonschema::Validator;
use sekisho::status::wire;
use sekisho_logic::alert::{AlertMachine, Ballot, CandidateTiming, Sighting};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::policy::{ConfirmBy, ListPolicy};
use sekisho_logic::record::{AlertEvent, Cause, EvidenceRecord, Stage, Verdict};
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::{AuditAnchor, OutboxItem};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

fn validator() -> Validator {
    let path = sekisho_tests::site::root().join("deploy/schema/event.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|wrong| panic!("the schema itself: {wrong}"));
    jsonschema::draft202012::new(&schema).expect("a schema")
}

fn evidence(cosine: f32) -> EvidenceRecord {
    EvidenceRecord {
        cosine,
        llr: 9.25,
        runner_up_gap: (cosine > 0.6).then_some(3.5),
        target_fpir: 1e-3,
        inter_eye_px: 21.5,
        frames_used: 6,
        frames_unfit: vec![("blurred".into(), 2)],
        model_digest: "ab".repeat(32),
        calibration_id: "sekisho-student-m/1".into(),
    }
}

/// The alert machine itself, so that these are events as they happen.
struct Story {
    machine: AlertMachine,
    at_ms: u64,
    events: Vec<AlertEvent>,
}

impl Story {
    fn new() -> Self {
        Self { machine: AlertMachine::new(0xC0_FFEE), at_ms: 5000, events: Vec::new() }
    }

    fn now(&self) -> Now {
        let wall = WallMs(1_795_564_800_000 + i64::try_from(self.at_ms).expect("small"));
        Now { mono: Mono::from_millis(self.at_ms), wall }
    }

    /// As the configuration makes it.
    fn policy(confirm: ConfirmBy) -> ListPolicy {
        let settings = sekisho::config::parse(Path::new("test.toml"), "").expect("valid");
        let watch = sekisho::site::policy(&settings).lists.into_iter().find(|(name, _)| name.as_str() == "watch");
        ListPolicy { confirm, votes: confirm.votes(), ..watch.expect("it is always there").1 }
    }

    /// Raises a candidate about `person`, and confirms it by more frames when asked.
    fn raise(&mut self, person: &str, confirm: ConfirmBy, independent: bool) {
        self.at_ms += 1000;
        let camera = CameraId::try_new("gate").expect("a name");
        let person = PersonId::try_new(person).expect("a name");
        let list = ListId::try_new("watch").expect("a name");
        let sighting = Sighting {
            camera: camera.clone(),
            person: person.clone(),
            list,
            track: TrackId(7),
            enrolled_by: Some("uid:0".into()),
        };
        let timing =
            CandidateTiming { expires: Duration::from_secs(30), visit_gap: Duration::from_secs(60), quiet: false };
        let (now, policy) = (self.now(), Self::policy(confirm));
        self.events.extend(self.machine.candidate(now, &sighting, &policy, evidence(0.58), timing));
        if independent {
            self.at_ms += 1000;
            let now = self.now();
            self.events.extend(self.machine.independent(now, &camera, &person, &policy, evidence(0.66)));
        }
    }

    fn vote(&mut self, reviewer: &str, verdict: Verdict) {
        self.at_ms += 1000;
        let id = self.events.last().expect("an alert").after.id.clone();
        let ballot = Ballot { reviewer: reviewer.to_owned(), verdict, reason: Some("recognised".into()) };
        self.events.push(self.machine.vote(self.now(), &id, &ballot).expect("it counts"));
    }

    fn wait(&mut self, seconds: u64) {
        self.at_ms += seconds * 1000;
        self.events.extend(self.machine.tick(self.now(), Duration::from_secs(60)));
    }
}

fn events() -> Vec<AlertEvent> {
    let mut story = Story::new();
    story.raise("ann-1", ConfirmBy::Machine, true);
    story.raise("ben-2", ConfirmBy::TwoPerson, true);
    story.vote("uid:7", Verdict::Confirm);
    story.vote("uid:8", Verdict::Unsure);
    story.vote("uid:9", Verdict::Confirm);
    story.raise("cat-3", ConfirmBy::Human, true);
    story.vote("uid:7", Verdict::Reject);
    story.raise("dan-4", ConfirmBy::Human, false);
    story.wait(31);
    story.raise("eve-5", ConfirmBy::Human, true);
    story.wait(901);
    story.events
}

#[test]
fn events_of_every_stage_fit() {
    let (validator, events) = (validator(), events());
    for event in &events {
        let sent = wire::event(event);
        let wrong: Vec<_> =
            validator.iter_errors(&sent).map(|wrong| format!("{}: {wrong}", wrong.instance_path())).collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{sent:#}");
    }
    let stages: BTreeSet<_> = events.iter().map(|event| event.after.stage).collect();
    assert_eq!(stages, BTreeSet::from(Stage::ALL), "a stage was not tried");
    let types: BTreeSet<_> = events.iter().map(AlertEvent::kind).collect();
    assert_eq!(types, BTreeSet::from(["end", "new", "update"]));
    // Causes are an open set in the schema; their form is held to here.
    for cause in Cause::ALL {
        let mut event = wire::event(&events[0]);
        event["after"]["cause"] = json!(cause.as_str());
        assert!(validator.is_valid(&event), "{}", cause.as_str());
    }
}

#[test]
fn a_delivery_names_the_audit_row_that_was_written_with_it() {
    let (validator, event) = (validator(), events().remove(0));
    let mut item = OutboxItem { event, attempts: 0, created: WallMs(1), audit: None };
    assert_eq!(wire::delivery(&item), wire::event(&item.event));
    item.audit = Some(AuditAnchor { seq: 7, hash: "ab".repeat(32) });
    let sent = wire::delivery(&item);
    assert!(validator.is_valid(&sent), "{sent:#}");
    assert_eq!(sent["audit"], json!({ "seq": 7, "hash": "ab".repeat(32) }));
    for wrong in [json!({ "seq": 0, "hash": "ab".repeat(32) }), json!({ "seq": 7 }), json!({ "seq": 7, "hash": "AB" })]
    {
        let mut sent = sent.clone();
        sent["audit"] = wrong;
        assert!(!validator.is_valid(&sent), "{}", sent["audit"]);
    }
}

#[test]
fn fields_may_be_added_anywhere() {
    let (validator, events) = (validator(), events());
    let mut event = wire::event(events.iter().find(|event| event.after.votes.len() == 3).expect("three votes"));
    event["more"] = json!(1);
    event["after"]["third"] = json!({ "agrees": true, "cosine": 0.7, "llr": 8.0 });
    event["after"]["confirmation"]["second"] = json!({ "agrees": true });
    event["after"]["votes"][0]["reason"] = json!("same coat");
    event["before"]["quiet-until"] = json!(null);
    assert!(validator.is_valid(&event));
}

#[test]
fn what_is_not_an_event_does_not_fit() {
    let (validator, events) = (validator(), events());
    let pick = |stage: Stage| wire::event(events.iter().find(|event| event.after.stage == stage).expect("tried"));
    let (new, end) = (pick(Stage::Candidate), pick(Stage::Rejected));
    assert!(validator.is_valid(&new) && validator.is_valid(&end));
    let sections = ["", "/after", "/after/candidate", "/after/confirmation", "/after/votes/0", "/before"];
    let mut tried = 0;
    for section in sections {
        let names: Vec<String> =
            end.pointer(section).and_then(Value::as_object).expect(section).keys().cloned().collect();
        for name in names {
            let (mut without, mut wrong) = (end.clone(), end.clone());
            without.pointer_mut(section).and_then(Value::as_object_mut).expect("an object").remove(&name);
            assert!(!validator.is_valid(&without), "{section}/{name} may be left out");
            wrong.pointer_mut(section).expect("an object")[&name] = json!([["nonsense"]]);
            assert!(!validator.is_valid(&wrong), "{section}/{name} may be nonsense");
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} fields were tried");
    for (event, path, value) in [
        (&new, "/schema-version", json!(2)),
        (&new, "/id", json!("no-number")),
        (&new, "/type", json!("end")),
        (&new, "/type", json!("update")),
        (&new, "/before", new["after"].clone()),
        (&new, "/after/stage", json!("confirmed")),
        (&new, "/after/stage", json!("suspected")),
        (&new, "/after/fpir", json!(1.5)),
        (&new, "/after/fpir", json!(0)),
        (&new, "/after/face-px", json!(-3)),
        (&new, "/after/frames-used", json!(0)),
        (&new, "/after/llr", json!("9.25")),
        (&new, "/after/candidate/cosine", json!(61)),
        (&new, "/after/opened", json!("yesterday")),
        (&new, "/after/person", json!("Ann Smith")),
        (&new, "/after/model-digest", json!("abc")),
        (&end, "/type", json!("new")),
        (&end, "/after/stage", json!("machine-confirmed")),
        (&end, "/after/expires", end["after"]["changed"].clone()),
        (&end, "/after/votes/0/verdict", json!("maybe")),
    ] {
        let mut event = event.clone();
        *event.pointer_mut(path).expect(path) = value;
        assert!(!validator.is_valid(&event), "{path} = {}", event.pointer(path).expect("just set"));
    }
    for name in ["confidence", "percent"] {
        let mut event = new.clone();
        event["after"][name] = json!(97);
        assert!(!validator.is_valid(&event), "nobody calibrated a {name}");
    }
    assert!(!validator.is_valid(&json!([])) && !validator.is_valid(&json!("event")));
}
