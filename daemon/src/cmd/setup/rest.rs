//! After the camera: who answers, who is told, the keys, the first person, and a test alert.

use super::ask::{Asker, Question, say};
use super::camera::basis;
use super::file::{self, quoted};
use super::{Draft, SetupArgs};
use crate::clock::SystemClock;
use crate::cmd::enrol::{self, EnrollArgs};
use crate::cmd::grounds::GroundsArgs;
use crate::cmd::output::line;
use crate::cmd::{Failure, client};
use crate::config::Settings;
use crate::config::sink_settings::{SinkKind, SinkSettings};
use crate::page::words::Said;
use crate::roles::{self, BreakGlass};
use crate::sink::outlet::{Closing, Outcome, Outlet, Setup};
use crate::site::Look;
use crate::{keys, site};
use sekisho_logic::grounds::GroundsDraft;
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::policy::Purpose;
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord, Cause, EvidenceRecord, Stage};
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::OutboxItem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Photographs asked for at the terminal at the most; `gallery enroll` takes more.
const PHOTOS_MAX: usize = 8;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// How long a receiver may take to be told.
const PATIENCE: Duration = Duration::from_secs(20);

fn short(text: &str) -> Result<String, String> {
    match text.len() > 1000 || text.chars().any(char::is_control) {
        true => Err("at most 1000 bytes on one line".to_owned()),
        false => Ok(text.trim().to_owned()),
    }
}

/// Who answers for the processing, as it will stand on the notice. May be left for later.
pub(super) fn controller(
    asker: Asker,
    args: &SetupArgs,
    settings: &Settings,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for (key, there, given, option, text) in [
        ("controller", &settings.privacy.controller, &args.controller, "--controller", say("controller", &[])),
        ("contact", &settings.privacy.contact, &args.contact, "--contact", say("contact", &[])),
    ] {
        if there.is_none() {
            let question = Question { text, option, given: given.as_deref(), default: Some("") };
            let answer = asker.text(&question, short)?;
            if !answer.is_empty() {
                keys.push((key, quoted(&answer)));
            }
        }
    }
    if !keys.is_empty() && !draft.keys("privacy", &keys) {
        let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        asker.tell(&say("by-hand", &[("keys", &keys.join("\n"))]));
    }
    Ok(())
}

/// Who is told of alerts.
pub(super) fn sink(asker: Asker, args: &SetupArgs, settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    if !settings.sinks.is_empty() {
        let names: Vec<_> = settings.sinks.keys().map(ToString::to_string).collect();
        asker.tell(&say("sinks-there", &[("names", &names.join(", "))]));
        return Ok(());
    }
    let words = [
        ("event-log".to_owned(), say("sink-event-log", &[])),
        ("webhook".to_owned(), say("sink-webhook", &[])),
        ("mqtt".to_owned(), say("sink-mqtt", &[])),
        ("none".to_owned(), say("sink-none", &[])),
    ];
    let question =
        Question { text: say("sink", &[]), option: "--sink", given: args.sink.as_deref(), default: Some("event-log") };
    let kind = asker.choose(&question, &words)?;
    let (key, option, text, default) = match kind.as_str() {
        "event-log" => ("path", "--sink-path", say("sink-path", &[]), Some(log_path(settings))),
        "webhook" => ("url", "--sink-url", say("sink-url", &[]), None),
        "mqtt" => ("broker", "--sink-url", say("sink-broker", &[]), None),
        _ => return Ok(()),
    };
    let given = if key == "path" { &args.sink_path } else { &args.sink_url };
    let question = Question { text, option, given: given.as_deref(), default: default.as_deref() };
    // The configuration's own reader says whether the address will do.
    let keys = asker.text(&question, |address| {
        let keys = [("kind", quoted(&kind)), (key, quoted(address))];
        let text = file::with_section(&draft.text, "sinks.alerts", &keys);
        crate::config::parse(Path::new("sekisho.toml"), &text).map(|_| keys).map_err(|problems| {
            let all = problems.list().iter().map(ToString::to_string);
            all.collect::<Vec<_>>().join("; ")
        })
    })?;
    draft.section("sinks.alerts", &keys);
    Ok(())
}

/// Where the service may write a log; by hand, beside the database.
fn log_path(settings: &Settings) -> String {
    match settings.daemon.state_dir == Path::new("/var/lib/sekisho") {
        true => "/var/log/sekisho/events.ndjson".to_owned(),
        false => settings.daemon.state_dir.join("events.ndjson").display().to_string(),
    }
}

/// Makes keys and database where there are none, and says what protects what. Gives how many people are enrolled.
pub(super) fn make_keys(asker: Asker, settings: &Settings) -> Result<usize, Failure> {
    let mut store = site::open_store(settings)?;
    let about = keys::protection(store.key_source());
    let word = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    let place = settings.store.key_file.display().to_string();
    asker.tell(&say(
        "keys",
        &[
            ("from", &word("from")),
            ("place", &place),
            ("for", &word("protects-against")),
            ("not", &word("does-not-protect-against")),
        ],
    ));
    let people = store.people().map_err(Failure::no)?.len();
    store.close().map_err(Failure::no)?;
    Ok(people)
}

/// With `--yes`: whether the options say all about the person, so that nothing is written when they do not.
pub(super) fn check_person(asker: Asker, args: &SetupArgs, settings: &Settings, draft: &Draft) -> Result<(), Failure> {
    let Some(name) = args.person.as_ref().filter(|_| asker.yes) else { return Ok(()) };
    let id = PersonId::try_new(name).map_err(Failure::wrong)?;
    // A database that cannot be looked at is named when it is used.
    if let Ok(Look::Store(mut store)) = site::open_to_look(settings)
        && store.person(&id).is_ok_and(|there| there.is_some())
    {
        return Ok(());
    }
    if !roles::may(Action::Enrol, settings) {
        roles::require(Action::Enrol, settings, &BreakGlass::default())?;
    }
    let list = list(asker, args, settings)?;
    let now = SystemClock::start().now().wall;
    let of_list = ListId::try_new(&list).map_err(Failure::wrong)?;
    grounds(asker, args, settings, draft, &list)?.complete(settings, &of_list, GroundsDraft::default(), now)?;
    match args.photo.iter().find(|photo| !photo.is_file()) {
        Some(photo) => Err(Failure::Wrong(format!("--photo: there is no file {}", photo.display()))),
        None => Ok(()),
    }
}

/// The list the person goes to.
fn list(asker: Asker, args: &SetupArgs, settings: &Settings) -> Result<String, Failure> {
    let lists: Vec<_> = settings.lists.iter().map(|(id, list)| (id.to_string(), of_list(list.purpose))).collect();
    let question =
        Question { text: say("list", &[]), option: "--list", given: args.list.as_deref(), default: Some("staff") };
    asker.choose(&question, &lists)
}

/// The first person, from photographs and with grounds. `settle` gives away what was made, before each question.
pub(super) fn person(
    asker: Asker,
    args: &SetupArgs,
    (config, settings): (&Path, &Settings),
    draft: &Draft,
    people: usize,
    settle: &dyn Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    if let Some(name) = &args.person {
        let id = PersonId::try_new(name).map_err(Failure::wrong)?;
        let mut store = site::open_store(settings)?;
        let known = store.person(&id).map_err(Failure::no)?.is_some();
        store.close().map_err(Failure::no)?;
        settle()?;
        if known {
            asker.tell(&say("person-there", &[("person", name)]));
            return Ok(());
        }
    } else if people > 0 || asker.yes {
        asker
            .tell(&say(if people > 0 { "people-there" } else { "nobody-enrolled" }, &[("count", &people.to_string())]));
        return Ok(());
    } else if !asker.confirm(&say("enrol", &[]), true)? {
        return Ok(());
    }
    match roles::require(Action::Enrol, settings, &BreakGlass::default()) {
        Ok(()) => {}
        // Said before eight questions are answered for nothing; the rest of the set-up is for whoever may do it.
        Err(refused @ Failure::No(_)) if !asker.yes && args.person.is_none() => {
            line(&refused.to_string());
            return Ok(());
        }
        Err(refused) => return Err(refused),
    }
    let question =
        Question { text: say("person", &[]), option: "--person", given: args.person.as_deref(), default: None };
    let person = asker
        .text(&question, |text| PersonId::try_new(text).map(|id| id.to_string()).map_err(|error| error.to_string()))?;
    let list = list(asker, args, settings)?;
    let grounds = grounds(asker, args, settings, draft, &list)?;
    let mut given = args.photo.clone();
    loop {
        let photos = if given.is_empty() { photos(asker)? } else { std::mem::take(&mut given) };
        let enrolled = enrol::run(config, &EnrollArgs::first(&person, photos, &list, grounds.clone()));
        settle()?;
        match enrolled {
            Ok(()) => return Ok(()),
            Err(error) if asker.yes || matches!(error, Failure::Wrong(_)) => return Err(error),
            Err(error) => {
                line(&error.to_string());
                if !asker.confirm(&say("another-photo", &[]), true)? {
                    return Ok(());
                }
            }
        }
    }
}

fn of_list(purpose: Purpose) -> Said {
    match purpose {
        Purpose::EntryLog => say("list-entry-log", &[]),
        Purpose::Watch => say("list-watch", &[]),
    }
}

/// One photograph at least, and as many more as there are.
fn photos(asker: Asker) -> Result<Vec<PathBuf>, Failure> {
    let file = |text: &str| match Path::new(text).is_file() {
        true => Ok(PathBuf::from(text)),
        false => Err(format!("there is no file {text:?}")),
    };
    let question = Question { text: say("photo", &[]), option: "--photo", given: None, default: None };
    let mut photos = vec![asker.text(&question, file)?];
    let question = Question { text: say("photo-more", &[]), option: "--photo", given: None, default: Some("") };
    let more = |text: &str| if text.is_empty() { Ok(None) } else { file(text).map(Some) };
    while photos.len() < PHOTOS_MAX
        && let Some(photo) = asker.text(&question, more)?
    {
        photos.push(photo);
    }
    Ok(photos)
}

/// On which grounds the person may be matched: each part an option, or a question.
fn grounds(
    asker: Asker,
    args: &SetupArgs,
    settings: &Settings,
    draft: &Draft,
    list: &str,
) -> Result<GroundsArgs, Failure> {
    // The camera of this run, or one that was set up before.
    let earlier =
        settings.cameras.values().find_map(|camera| camera.scope.purpose.clone().zip(camera.scope.legal_basis));
    let of_camera = draft.purpose.as_ref().or(earlier.as_ref());
    let list = ListId::try_new(list).map_err(Failure::wrong)?;
    let shared = settings.lists.get(&list).map(|list| list.grounds.clone()).unwrap_or_default();
    let given = &args.grounds;
    let some = |text: &str| match short(text)?.as_str() {
        "" => Err("it must be said".to_owned()),
        text => Ok(text.to_owned()),
    };
    let purpose = shared.purpose.or_else(|| of_camera.map(|(purpose, _)| purpose.clone()));
    let question = Question {
        text: say("person-purpose", &[]),
        option: "--purpose",
        given: given.purpose.as_deref(),
        default: purpose.as_deref(),
    };
    let purpose = asker.text(&question, some)?;
    let default = shared
        .legal_basis
        .or_else(|| of_camera.map(|(_, basis)| *basis))
        .map(sekisho_logic::lawful::LegalBasis::as_str);
    let basis = basis(asker, say("person-basis", &[]), "--legal-basis", given.legal_basis.as_deref(), default)?;
    let question =
        Question { text: say("record", &[]), option: "--record", given: given.record.as_deref(), default: None };
    let record = asker.text(&question, some)?;
    let now = SystemClock::start().now().wall;
    let month: String = now.to_rfc3339().chars().take(7).collect();
    let notice = shared.notice.unwrap_or(month);
    let question = Question {
        text: say("notice", &[]),
        option: "--notice",
        given: given.notice.as_deref(),
        default: Some(&notice),
    };
    let notice = asker.text(&question, some)?;
    let days = i64::from(settings.enrol.expires_days_max.min(365)) - 1;
    let end: String = WallMs(now.0 + days * DAY_MS).to_rfc3339().chars().take(10).collect();
    let question = Question {
        text: say("expires", &[]),
        option: "--expires",
        given: given.expires.as_deref(),
        default: Some(&end),
    };
    let expires = asker.text(&question, |text| {
        let end = crate::local_time::end_of_day(&settings.daemon.time_zone, text);
        end.map(|_| text.to_owned()).ok_or_else(|| format!("{text:?} is no day; write it as 2027-03-31"))
    })?;
    let alternative = given.alternative_offered || asker.confirm(&say("alternative", &[]), false)?;
    Ok(GroundsArgs {
        purpose: Some(purpose),
        legal_basis: Some(basis.as_str().to_owned()),
        record: Some(record),
        notice: Some(notice),
        expires: Some(expires),
        alternative_offered: alternative,
    })
}

/// Tells every sink of an alert that is none, and that it is over: under the person `test-alert`, withdrawn at once. It goes to
/// the receivers directly and into no journal.
pub(super) fn test_alert(asker: Asker, args: &SetupArgs, settings: &Settings) -> Result<(), Failure> {
    if settings.sinks.is_empty() || args.no_test_alert || !asker.confirm(&say("test-alert", &[]), true)? {
        return Ok(());
    }
    for (name, sink) in &settings.sinks {
        let (name, address) = (name.to_string(), Outlet::address(sink));
        let values = [("sink", name.as_str()), ("address", address.as_str())];
        match tell(settings, &name, sink) {
            Ok(()) => asker.tell(&say("told", &values)),
            Err(why) => {
                asker.tell(&say("not-told", &values));
                line(&format!("  {why}"));
            }
        }
    }
    Ok(())
}

fn tell(settings: &Settings, name: &str, sink: &SinkSettings) -> Result<(), String> {
    if let SinkKind::EventLog(log) = &sink.kind
        && let Some(folder) = log.path.parent()
    {
        file::folder(folder, 0o750).map_err(|error| error.to_string())?;
    }
    let cameras: Vec<CameraId> = settings.cameras.keys().cloned().collect();
    let setup = Setup {
        name: name.to_owned(),
        settings: sink.clone(),
        cameras: cameras.clone(),
        places: site::credentials(settings),
        cameras_up: Arc::new(Vec::new),
    };
    let camera = cameras
        .into_iter()
        .next()
        .map_or_else(|| CameraId::try_new("test-camera"), Ok)
        .map_err(|error| error.to_string())?;
    let items = items(camera)?;
    let told = client::converse(async {
        let mut outlet = Outlet::new(&setup);
        let told = tokio::time::timeout(PATIENCE, hand(&mut outlet, &items)).await;
        outlet.close(Closing::Stopped).await;
        told.map_err(|_| Failure::No(format!("no answer within {} s", PATIENCE.as_secs())))?.map_err(Failure::No)
    });
    told.map_err(|error| error.to_string())
}

async fn hand(outlet: &mut Outlet, items: &[OutboxItem]) -> Result<(), String> {
    let clock = SystemClock::start();
    outlet.prepare(clock.now()).await.map_err(|down| down.why)?;
    for batch in items.chunks(outlet.together().max(1)) {
        for outcome in outlet.hand_over(clock.now(), batch).await {
            match outcome {
                Outcome::Taken => {}
                Outcome::Failed(why) | Outcome::Refused(why) => return Err(why),
                Outcome::Down(down) => return Err(down.why),
            }
        }
    }
    Ok(())
}

/// A candidate and its withdrawal.
fn items(camera: CameraId) -> Result<Vec<OutboxItem>, String> {
    let now = SystemClock::start().now().wall;
    let evidence = EvidenceRecord {
        cosine: 0.0,
        llr: 0.0,
        runner_up_gap: None,
        target_fpir: 0.001,
        inter_eye_px: 1.0,
        frames_used: 1,
        frames_unfit: Vec::new(),
        model_digest: "0".repeat(64),
        calibration_id: "test-alert".into(),
    };
    let candidate = AlertRecord {
        id: AlertId(format!("test-{}", now.0)),
        camera,
        person: PersonId::try_new("test-alert").map_err(|error| error.to_string())?,
        list: ListId::try_new("staff").map_err(|error| error.to_string())?,
        purpose: Purpose::EntryLog,
        track: TrackId(0),
        stage: Stage::Candidate,
        cause: Cause::Evidence,
        opened: now,
        changed: now,
        expires: Some(WallMs(now.0 + 1000)),
        votes_required: 0,
        votes: Vec::new(),
        candidate: evidence,
        confirmation: None,
        second: None,
        enrolled_by: None,
        quiet: false,
    };
    let withdrawn =
        AlertRecord { stage: Stage::Withdrawn, cause: Cause::EvidenceTurned, expires: None, ..candidate.clone() };
    let events = [
        AlertEvent { before: None, after: candidate.clone(), sequence: 1 },
        AlertEvent { before: Some(candidate), after: withdrawn, sequence: 2 },
    ];
    Ok(events.map(|event| OutboxItem { event, attempts: 0, created: now, audit: None }).into())
}
