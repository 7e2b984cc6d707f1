use super::settings::{SinkKind, SinkName};
use super::sink_settings::{InQuietHours, MqttSettings, SinkSettings, WebhookSettings};
use super::*;
use std::time::Duration;

fn read(text: &str) -> Result<Settings, Problems> {
    parse(Path::new("s.toml"), text)
}

fn sink(text: &str) -> SinkSettings {
    let settings = read(&format!("[sinks.x]\n{text}")).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    settings.sinks[&SinkName::try_new("x").expect("a name")].clone()
}

/// The one complaint about a sink of these lines.
fn complaint(text: &str) -> String {
    let said = read(&format!("[sinks.x]\n{text}")).err().map(|problems| problems.to_string()).unwrap_or_default();
    assert_eq!(said.lines().count(), 1, "{text}\n{said}");
    said
}

const LOG: &str = "kind = \"event-log\"\npath = \"/x\"\n";
const HOOK: &str = "kind = \"webhook\"\nurl = \"https://desk.example/hooks/1\"\n";
const MQTT: &str = "kind = \"mqtt\"\nbroker = \"mqtts://broker.example\"\n";

fn webhook(text: &str) -> WebhookSettings {
    let SinkKind::Webhook(webhook) = sink(text).kind else { panic!("{text}") };
    webhook
}

fn mqtt(text: &str) -> MqttSettings {
    let SinkKind::Mqtt(mqtt) = sink(text).kind else { panic!("{text}") };
    mqtt
}

#[test]
fn a_kind_needs_little_and_its_defaults_are_those_documented() {
    let log = sink(LOG);
    assert!(
        matches!(&log.kind, SinkKind::EventLog(log) if log.rotate_bytes == 64 * 1024 * 1024 && log.keep_files == 8)
    );
    assert_eq!(log.filter.stages.len(), 6);
    assert!(log.filter.lists.is_empty() && log.filter.cameras.is_empty());
    assert_eq!(log.filter.in_quiet_hours, InQuietHours::Tell, "the record misses nothing");
    assert_eq!((log.retry.first, log.retry.max), (Duration::from_secs(1), Duration::from_secs(300)));
    assert_eq!(log.retry.give_up_after, Duration::from_secs(7 * 86_400));
    let hook = webhook(HOOK);
    assert_eq!((hook.url.host(), hook.url.port(), hook.timeout), ("desk.example", 443, Duration::from_secs(10)));
    assert!(hook.secret_credential.is_none() && hook.token_credential.is_none());
    assert_eq!(sink(HOOK).filter.in_quiet_hours, InQuietHours::KeepSilent);
    let house = mqtt(MQTT);
    assert_eq!((house.broker.port(), house.broker.tls(), house.topic_prefix.as_str()), (8883, true, "sekisho"));
    assert_eq!((house.discovery_prefix.as_deref(), house.client_id), (Some("homeassistant"), None));
    assert_eq!(sink(MQTT).filter.in_quiet_hours, InQuietHours::KeepSilent);
}

#[test]
fn every_key_of_a_sink_is_read() {
    let log =
        sink(&format!("{LOG}rotate-mib = 0\nkeep-files = 3\nin-quiet-hours = \"keep-silent\"\nlists = [\"watch\"]\n"));
    assert!(matches!(&log.kind, SinkKind::EventLog(log) if log.rotate_bytes == 0 && log.keep_files == 3));
    assert_eq!(log.filter.in_quiet_hours, InQuietHours::KeepSilent);
    assert_eq!(log.filter.lists.len(), 1);
    let hook = sink(&format!(
        "{HOOK}secret-credential = \"s\"\ntoken-credential = \"t\"\nca-file = \"/ca\"\ntimeout-ms = 500\n\
         retry-first-ms = 200\nretry-max-s = 5\ngive-up-after-h = 2\nin-quiet-hours = \"tell\"\n"
    ));
    assert_eq!(hook.retry.give_up_after, Duration::from_secs(7200));
    assert_eq!((hook.retry.first, hook.retry.max), (Duration::from_millis(200), Duration::from_secs(5)));
    assert_eq!(hook.filter.in_quiet_hours, InQuietHours::Tell);
    let SinkKind::Webhook(hook) = hook.kind else { panic!("a webhook") };
    assert_eq!((hook.secret_credential.as_deref(), hook.token_credential.as_deref()), (Some("s"), Some("t")));
    assert_eq!((hook.ca_file, hook.timeout), (PathBuf::from("/ca"), Duration::from_millis(500)));
    let house = mqtt(&format!(
        "{MQTT}credential = \"c\"\nclient-credential = \"d\"\nclient-id = \"box-2\"\ntopic-prefix = \"site/box-2\"\n\
         discovery-prefix = \"\"\nmessage-expiry-s = 60\nalert-hold-s = 5\n"
    ));
    assert_eq!((house.credential.as_deref(), house.client_credential.as_deref()), (Some("c"), Some("d")));
    assert_eq!((house.client_id.as_deref(), house.topic_prefix.as_str()), (Some("box-2"), "site/box-2"));
    assert_eq!((house.discovery_prefix, house.message_expiry.as_secs(), house.alert_hold.as_secs()), (None, 60, 5));
}

#[test]
fn what_cannot_be_meant_is_named_with_what_is_allowed() {
    for (text, want) in [
        (
            "kind = \"webhok\"\nurl = \"https://x/\"\n".to_owned(),
            "\"webhok\" is no kind of sink (did you mean \"webhook\"?)",
        ),
        ("kind = \"webhook\"\n".to_owned(), "[sinks.x] url: is missing; allowed is https://HOST"),
        ("kind = \"mqtt\"\n".to_owned(), "broker: is missing; allowed is mqtts://HOST"),
        ("kind = \"webhook\"\nurl = \"ftp://x/\"\n".to_owned(), "has a scheme that this kind of sink does not speak"),
        ("kind = \"webhook\"\nurl = \"desk\"\n".to_owned(), "has no scheme such as https://"),
        ("kind = \"webhook\"\nurl = \"https://ann:canary@desk/\"\n".to_owned(), "holds a user or a password"),
        ("kind = \"mqtt\"\nbroker = \"mqtts://ann:canary@b\"\n".to_owned(), "holds a user or a password"),
        ("kind = \"mqtt\"\nbroker = \"mqtt://b/topic\"\n".to_owned(), "goes on after the host"),
        (
            format!("{LOG}url = \"https://x/\"\n"),
            "url: contradicts kind = \"event-log\"; only a sink of kind \"webhook\" has it",
        ),
        (
            format!("{HOOK}broker = \"mqtt://x\"\n"),
            "broker: contradicts kind = \"webhook\"; only a sink of kind \"mqtt\"",
        ),
        (format!("{LOG}timeout-ms = 500\n"), "only a sink of kind \"webhook\" or \"mqtt\" has it"),
        (format!("{HOOK}rotate-mib = 5\n"), "contradicts kind = \"webhook\""),
        (format!("{HOOK}secret-credential = \"ann:canary\"\n"), "is not the name of a credential (not shown here)"),
        (format!("{HOOK}password = \"canary\"\n"), "passwords go to a credential file"),
        (format!("{MQTT}topic-prefix = \"a//b\"\n"), "\"a//b\" cannot begin a topic"),
        (format!("{MQTT}topic-prefix = \"a/+\"\n"), "cannot begin a topic"),
        (format!("{MQTT}topic-prefix = \"\"\n"), "cannot begin a topic"),
        (format!("{MQTT}client-id = \"a b\"\n"), "is no client id"),
        (format!("{LOG}in-quiet-hours = \"silent\"\n"), "allowed is \"tell\" or \"keep-silent\""),
        (format!("{LOG}lists = [\"wach\"]\n"), "lists: there is no list \"wach\"; did you mean \"watch\"?"),
        (format!("{LOG}cameras = [\"gate\"]\n"), "cameras: there is no camera \"gate\"; the cameras are "),
        (format!("{LOG}retry-first-ms = 60000\nretry-max-s = 5\n"), "retry-max-s: the first wait, 60000 ms, is longer"),
        (format!("{LOG}give-up-after-h = 0\n"), "0 is out of range"),
        (
            "kind = \"webhook\"\nurl = \"http://desk/\"\ntoken-credential = \"t\"\n".to_owned(),
            "the token would go over the network for everybody to read; use https://",
        ),
    ] {
        let said = complaint(&text);
        assert!(said.contains(want) && !said.contains("canary"), "{said}\nwanted: {want}");
    }
    webhook("kind = \"webhook\"\nurl = \"http://127.0.0.1:9/\"\ntoken-credential = \"t\"\n");
}

#[test]
fn one_set_of_topics_has_one_writer() {
    let two = |prefix: &str| format!("[sinks.a]\n{MQTT}[sinks.b]\n{MQTT}topic-prefix = \"{prefix}\"\n");
    let said = read(&two("sekisho")).expect_err("the same topics").to_string();
    assert!(said.contains("[sinks.b] topic-prefix: sinks a and b use the same topics"), "{said}");
    assert!(read(&two("sekisho-2")).is_ok());
}

#[test]
fn a_reload_knows_a_sink_by_what_it_means() {
    let settings = |more: &str| read(&format!("[sinks.x]\n{HOOK}{more}")).expect("good");
    assert!(diff(&settings(""), &settings("timeout-ms = 10000\n")).is_empty());
    assert_eq!(diff(&settings(""), &settings("timeout-ms = 500\n")).sinks_changed.len(), 1);
    assert_eq!(diff(&settings(""), &settings("in-quiet-hours = \"tell\"\n")).sinks_changed.len(), 1);
}
