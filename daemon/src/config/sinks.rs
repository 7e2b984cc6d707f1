//! `[sinks.NAME]`: who is told of alerts. The kind decides which keys there are.

use super::credentials;
use super::endpoint::{Endpoint, HTTP, MQTT};
use super::named::{NAMES, sections};
use super::problem::Findings;
use super::raw::{Raw, shown};
use super::reader::{ABSOLUTE_PATH, Reader, absolute_path};
use super::sink_settings::{
    EventLogSettings, InQuietHours, MqttSettings, RetrySettings, SinkFilter, SinkKind, SinkName, SinkSettings,
    WebhookSettings,
};
use super::suggest::nearest;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::record::Stage;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The certificates Debian's `ca-certificates` keeps up to date.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A kind before its keys are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    EventLog,
    Webhook,
    Mqtt,
}

const KINDS: [(&str, Kind); 3] = [("event-log", Kind::EventLog), ("webhook", Kind::Webhook), ("mqtt", Kind::Mqtt)];

/// Keys that only some kinds have.
const KEYS: [(&str, &[Kind]); 16] = [
    ("path", &[Kind::EventLog]),
    ("rotate-mib", &[Kind::EventLog]),
    ("keep-files", &[Kind::EventLog]),
    ("url", &[Kind::Webhook]),
    ("secret-credential", &[Kind::Webhook]),
    ("token-credential", &[Kind::Webhook]),
    ("ca-file", &[Kind::Webhook, Kind::Mqtt]),
    ("timeout-ms", &[Kind::Webhook, Kind::Mqtt]),
    ("broker", &[Kind::Mqtt]),
    ("credential", &[Kind::Mqtt]),
    ("client-credential", &[Kind::Mqtt]),
    ("client-id", &[Kind::Mqtt]),
    ("topic-prefix", &[Kind::Mqtt]),
    ("discovery-prefix", &[Kind::Mqtt]),
    ("message-expiry-s", &[Kind::Mqtt]),
    ("alert-hold-s", &[Kind::Mqtt]),
];

/// The sinks of the file.
pub(super) fn sinks(raw: &Raw<'_>, findings: &mut Findings) -> BTreeMap<SinkName, SinkSettings> {
    let mut sinks = BTreeMap::new();
    for named in sections(raw, findings, "sinks", SinkName::try_new) {
        let mut reader = Reader::new(raw, findings, (&named.full, "sinks.NAME"), named.line, Some(named.table));
        let sink = sink(&mut reader);
        reader.finish();
        if let Some(sink) = sink {
            sinks.insert(named.name, sink);
        }
    }
    sinks
}

fn sink(reader: &mut Reader<'_, '_>) -> Option<SinkSettings> {
    let words = KINDS.map(|(word, _)| word);
    let allowed = format!("allowed is {}", words.map(|word| format!("\"{word}\"")).join(" or "));
    let kind = reader.required("kind", &allowed, |text| {
        KINDS.iter().find(|(word, _)| *word == text).map(|(_, kind)| *kind).ok_or_else(|| {
            let hint = nearest(text, words).map_or(String::new(), |word| format!(" (did you mean \"{word}\"?)"));
            format!("\"{}\" is no kind of sink{hint}", shown(text))
        })
    });
    // Every key is read whatever the kind, so that the list of known keys is whole; what is out of place is said after.
    let connection = (reader.path("ca-file", SYSTEM_CERTIFICATES), reader.millis("timeout-ms", (100, 60_000), 10_000));
    let log = event_log(reader, kind);
    let (webhook, mqtt) = (webhook(reader, kind, connection.clone()), mqtt(reader, kind, connection));
    let filter = filter(reader, kind);
    let retry = RetrySettings {
        first: reader.millis("retry-first-ms", (100, 60_000), 1000),
        max: reader.seconds("retry-max-s", (1, 3600), 300),
        give_up_after: Duration::from_secs(3600 * reader.number::<u64>("give-up-after-h", (1, 8760), 168)),
    };
    misplaced(reader, kind?);
    let kind = match kind? {
        Kind::EventLog => SinkKind::EventLog(log?),
        Kind::Webhook => SinkKind::Webhook(webhook?),
        Kind::Mqtt => SinkKind::Mqtt(mqtt?),
    };
    Some(SinkSettings { kind, filter, retry })
}

/// Keys of another kind are no spelling mistakes, so they get a sentence of their own.
fn misplaced(reader: &mut Reader<'_, '_>, kind: Kind) {
    let word = |kind: Kind| KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| *word);
    for (key, of) in KEYS.iter().filter(|(_, of)| !of.contains(&kind)) {
        if reader.has(key) {
            let of: Vec<_> = of.iter().map(|kind| format!("\"{}\"", word(*kind))).collect();
            let wrong = format!("contradicts kind = \"{}\"", word(kind));
            reader.wrong(key, wrong, format!("only a sink of kind {} has it", of.join(" or ")));
        }
    }
}

/// A key that must be there with one kind and must not with others.
fn needed<T>(
    reader: &mut Reader<'_, '_>,
    needed: bool,
    key: &'static str,
    allowed: &str,
    check: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    if needed { reader.required(key, allowed, check) } else { reader.checked(key, None, allowed, check) }
}

fn filter(reader: &mut Reader<'_, '_>, kind: Option<Kind>) -> SinkFilter {
    let words = Stage::ALL.map(Stage::as_str);
    let allowed = format!("allowed are {} in square brackets", words.join(", "));
    let stages = reader.words("stages", &words, &allowed, |text| {
        Stage::parse(text).ok_or_else(|| {
            let hint = nearest(text, words).map_or(String::new(), |word| format!(" (did you mean \"{word}\"?)"));
            format!("holds \"{}\", which is no stage{hint}", shown(text))
        })
    });
    if stages.is_empty() {
        reader.wrong("stages", "is empty, so this sink would never be told anything", allowed);
    }
    let no_name = |text: &str| format!("holds \"{}\", which is no name; {NAMES}", shown(text));
    let lists = "allowed are names of lists in square brackets, as [\"watch\"]; [] is all";
    let cameras = "allowed are names of cameras in square brackets, as [\"gate\"]; [] is all";
    // A file is for the record and misses nothing. A desk or a house is told in order to act, and quiet hours are the
    // hours in which nobody wants that.
    let quiet = if matches!(kind, Some(Kind::EventLog) | None) { InQuietHours::Tell } else { InQuietHours::KeepSilent };
    SinkFilter {
        stages,
        lists: reader.words("lists", &[], lists, |text| ListId::try_new(text).map_err(|_| no_name(text))),
        cameras: reader.words("cameras", &[], cameras, |text| CameraId::try_new(text).map_err(|_| no_name(text))),
        in_quiet_hours: reader.choice_or(
            "in-quiet-hours",
            &[("tell", InQuietHours::Tell), ("keep-silent", InQuietHours::KeepSilent)],
            quiet,
        ),
    }
}

fn event_log(reader: &mut Reader<'_, '_>, kind: Option<Kind>) -> Option<EventLogSettings> {
    let path = needed(reader, kind == Some(Kind::EventLog), "path", ABSOLUTE_PATH, absolute_path);
    // Four gibibytes of text are more than anybody opens.
    let rotate_mib: u64 = reader.number("rotate-mib", (0, 4096), 64);
    let keep_files = reader.number("keep-files", (1, 1000), 8);
    Some(EventLogSettings { path: path?, rotate_bytes: rotate_mib * 1024 * 1024, keep_files })
}

fn credential(reader: &mut Reader<'_, '_>, key: &'static str) -> Option<String> {
    reader.checked(key, None, credentials::NAMES, credentials::name)
}

const URLS: &str = "allowed is https://HOST[:PORT]/PATH or http://...; user and password do not belong there: see secret-credential and \
     token-credential";
const BROKERS: &str = "allowed is mqtts://HOST[:PORT] or mqtt://HOST[:PORT]; user and password go to a credential file that `credential` names";

/// What every sink on the network has: trusted certificates and patience.
type Connection = (PathBuf, Duration);

fn webhook(reader: &mut Reader<'_, '_>, kind: Option<Kind>, (ca_file, timeout): Connection) -> Option<WebhookSettings> {
    let url = needed(reader, kind == Some(Kind::Webhook), "url", URLS, |text| Endpoint::parse(text, &HTTP));
    let (secret, token) = (credential(reader, "secret-credential"), credential(reader, "token-credential"));
    Some(WebhookSettings { url: url?, secret_credential: secret, token_credential: token, ca_file, timeout })
}

fn mqtt(reader: &mut Reader<'_, '_>, kind: Option<Kind>, (ca_file, timeout): Connection) -> Option<MqttSettings> {
    let broker = needed(reader, kind == Some(Kind::Mqtt), "broker", BROKERS, |text| Endpoint::parse(text, &MQTT));
    let login = credential(reader, "credential");
    let client = credential(reader, "client-credential");
    let ids =
        "allowed are 1 to 64 characters of a-z, A-Z, 0-9, '-', '_' and '.', or \"\" for one made of the topic prefix";
    let client_id = reader.checked("client-id", Some(""), ids, client_id).flatten();
    let topics = "allowed are levels of a-z, A-Z, 0-9, '-' and '_', separated by '/', at most 128 characters";
    let prefix = reader.checked("topic-prefix", Some("sekisho"), topics, topic);
    let none = format!("{topics}; \"\" tells Home Assistant nothing");
    let discovery = reader.checked("discovery-prefix", Some("homeassistant"), &none, |text| match text {
        "" => Ok(None),
        _ => topic(text).map(Some),
    });
    let expiry = reader.seconds("message-expiry-s", (10, 2_592_000), 86_400);
    let hold = reader.seconds("alert-hold-s", (1, 86_400), 60);
    Some(MqttSettings {
        broker: broker?,
        credential: login,
        client_credential: client,
        client_id,
        ca_file,
        timeout,
        topic_prefix: prefix.unwrap_or_else(|| "sekisho".to_owned()),
        discovery_prefix: discovery.flatten(),
        message_expiry: expiry,
        alert_hold: hold,
    })
}

fn client_id(text: &str) -> Result<Option<String>, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text {
        "" => Ok(None),
        _ if text.len() <= 64 && text.chars().all(plain) => Ok(Some(text.to_owned())),
        _ => Err(format!("\"{}\" is no client id", shown(text))),
    }
}

fn topic(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let level = |level: &str| !level.is_empty() && level.chars().all(plain);
    if text.len() <= 128 && text.split('/').all(level) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{}\" cannot begin a topic", shown(text)))
}
