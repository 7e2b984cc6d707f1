//! Which topics there are and what stands on them.
//!
//! ```text
//! PREFIX/cameras/CAMERA/alerts       every event of the camera, not retained
//! PREFIX/lists/LIST/alerts           the same events, by list
//! PREFIX/available                   online | offline, retained; offline is the last will
//! PREFIX/cameras/CAMERA/available    online | offline, retained: whether the camera streams
//! PREFIX/cameras/CAMERA/state        retained: whether an alert stands, and the last stage
//! DISCOVERY/binary_sensor/DEVICE/CAMERA-alert/config, DISCOVERY/sensor/DEVICE/CAMERA-stage/config
//!                                    retained: what Home Assistant makes of the above
//! ```
//!
//! Discovery is by single component, which every Home Assistant since 2017 understands, and which is cleared by one empty
//! message a topic. The retained state names no person.

use crate::config::sink_settings::{MqttSettings, SinkFilter};
use sekisho_logic::id::CameraId;
use sekisho_logic::record::{AlertRecord, Stage};
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The words of an availability topic.
pub(super) const ONLINE: &str = "online";
/// The other one.
pub(super) const OFFLINE: &str = "offline";

/// Retained topics and what is to stand on them.
pub(super) type Retained = BTreeMap<String, Vec<u8>>;

/// The topics of one sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    prefix: String,
    discovery: Option<String>,
    device: String,
}

/// What a camera's retained state says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CameraState {
    /// Whether an alert waits for people, or was confirmed just now.
    pub(super) open: bool,
    /// The alert that changed last.
    pub(super) last: Option<AlertRecord>,
    /// When `open` ends by itself.
    pub(super) ends: Option<WallMs>,
}

impl Topics {
    pub(super) fn new(settings: &MqttSettings) -> Self {
        Self {
            prefix: settings.topic_prefix.clone(),
            discovery: settings.discovery_prefix.clone(),
            device: settings.topic_prefix.replace('/', "-"),
        }
    }

    /// What the box is called by others: the prefix, which must differ from box to box anyway.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Whether the box is there.
    pub(super) fn available(&self) -> String {
        format!("{}/available", self.prefix)
    }

    /// Where an event goes.
    pub(super) fn of_event(&self, alert: &AlertRecord) -> [String; 2] {
        [
            format!("{}/cameras/{}/alerts", self.prefix, alert.camera),
            format!("{}/lists/{}/alerts", self.prefix, alert.list),
        ]
    }

    /// Our own retained topics, as filters: what a broker still holds from before, of cameras that are gone.
    pub(super) fn own(&self) -> Vec<String> {
        let mut filters =
            vec![format!("{}/cameras/+/available", self.prefix), format!("{}/cameras/+/state", self.prefix)];
        filters.extend(self.discovery.as_ref().map(|discovery| format!("{discovery}/+/{}/+/config", self.device)));
        filters
    }

    /// What is to stand on a camera's retained topics.
    pub(super) fn of_camera(&self, camera: &CameraId, up: bool, state: &CameraState) -> Retained {
        let topic = |what: &str| format!("{}/cameras/{camera}/{what}", self.prefix);
        let mut retained = Retained::from([
            (topic("available"), if up { ONLINE } else { OFFLINE }.into()),
            (topic("state"), state.json().to_string().into_bytes()),
        ]);
        if let Some(discovery) = &self.discovery {
            let config = |component: &str, what: &str, more: Value| {
                let topic = format!("{discovery}/{component}/{}/{camera}-{what}/config", self.device);
                (topic, self.entity(camera, what, more).to_string().into_bytes())
            };
            retained
                .extend([config("binary_sensor", "alert", alert_sensor()), config("sensor", "stage", stage_sensor())]);
        }
        retained
    }

    fn entity(&self, camera: &CameraId, what: &str, more: Value) -> Value {
        let state = format!("{}/cameras/{camera}/state", self.prefix);
        let mut config = json!({
            "name": format!("{camera} {what}"),
            "unique_id": format!("{}-{camera}-{what}", self.device),
            "state_topic": state,
            "json_attributes_topic": state,
            "availability": [
                { "topic": self.available() },
                { "topic": format!("{}/cameras/{camera}/available", self.prefix) },
            ],
            "availability_mode": "all",
            "qos": 1,
            "device": {
                "identifiers": [self.device],
                "name": if self.device == "sekisho" { "Sekisho".to_owned() } else { format!("Sekisho {}", self.device) },
                "manufacturer": "Sekisho",
                "model": "Two-stage face alerts",
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
            "origin": { "name": "Sekisho", "sw_version": env!("CARGO_PKG_VERSION") },
        });
        if let (Value::Object(config), Value::Object(more)) = (&mut config, more) {
            config.extend(more);
        }
        config
    }
}

fn alert_sensor() -> Value {
    json!({
        "value_template": "{{ value_json.open }}",
        "payload_on": "ON",
        "payload_off": "OFF",
        "icon": "mdi:account-alert",
    })
}

fn stage_sensor() -> Value {
    let options: Vec<_> = std::iter::once("none").chain(Stage::ALL.map(Stage::as_str)).collect();
    json!({
        "value_template": "{{ value_json.stage }}",
        "device_class": "enum",
        "options": options,
        "icon": "mdi:account-clock",
    })
}

impl CameraState {
    /// What a camera's latest alerts come to for a sink that is told of `filter`. `hold_ms` is how long a confirmed alert
    /// stands.
    pub(super) fn of(alerts: &[AlertRecord], filter: &SinkFilter, now: WallMs, hold_ms: i64) -> Self {
        let told = || alerts.iter().filter(|alert| filter.wants(alert));
        let waits = told().any(|alert| alert.stage == Stage::MachineConfirmed);
        // One from further in the future was stamped by a clock that has been set back since; it has stood long enough.
        let near = |alert: &AlertRecord| (-hold_ms..hold_ms).contains(&now.0.saturating_sub(alert.changed.0));
        let stands = told()
            .filter(|alert| alert.stage == Stage::Confirmed && near(alert))
            .map(|alert| alert.changed.0.saturating_add(hold_ms))
            .max();
        Self {
            open: waits || stands.is_some(),
            last: told().max_by_key(|alert| alert.changed).cloned(),
            ends: stands.map(WallMs),
        }
    }

    fn json(&self) -> Value {
        let last = self.last.as_ref();
        json!({
            "open": if self.open { "ON" } else { "OFF" },
            "stage": last.map_or("none", |alert| alert.stage.as_str()),
            "list": last.map(|alert| &alert.list),
            "purpose": last.map(|alert| &alert.purpose),
            "alert": last.map(|alert| &alert.id),
            "changed": last.map(|alert| alert.changed.to_rfc3339()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::SinkKind;
    use crate::config::sink_settings::InQuietHours;
    use crate::config::{Settings, parse};
    use std::path::Path;

    fn settings(more: &str) -> MqttSettings {
        let text = format!("[sinks.x]\nkind = \"mqtt\"\nbroker = \"mqtt://b\"\n{more}");
        let settings: Settings = parse(Path::new("s.toml"), &text).expect("valid");
        let Some(SinkKind::Mqtt(mqtt)) = settings.sinks.into_values().next().map(|sink| sink.kind) else {
            panic!("a broker")
        };
        mqtt
    }

    /// Read as the store reads it, so that fields with a default need not be named.
    fn alert(id: &str, stage: Stage, changed: i64) -> AlertRecord {
        let evidence = json!({
            "cosine": 0.6, "llr": 9.0, "runner-up-gap": null, "target-fpir": 1e-3, "inter-eye-px": 20.0, "frames-used": 6,
            "frames-unfit": [], "model-digest": "ab", "calibration-id": "c",
        });
        let record = json!({
            "id": id, "camera": "gate", "person": "ann-1", "list": "watch", "purpose": "watch", "track": 1, "stage": stage,
            "cause": "evidence", "opened": 0, "changed": changed, "expires": null, "votes-required": 1, "votes": [],
            "candidate": evidence, "confirmation": null,
        });
        serde_json::from_value(record).expect("a record")
    }

    fn told_of(stages: &[Stage]) -> SinkFilter {
        let in_quiet_hours = InQuietHours::KeepSilent;
        SinkFilter { stages: stages.to_vec(), lists: Vec::new(), cameras: Vec::new(), in_quiet_hours }
    }

    #[test]
    fn the_sensor_is_on_while_somebody_is_to_look_and_a_while_after_a_confirmation() {
        let all = told_of(&Stage::ALL);
        let state = |alerts: &[AlertRecord], now| CameraState::of(alerts, &all, WallMs(now), 60_000);
        assert!(!state(&[], 0).open);
        assert!(!state(&[alert("a", Stage::Candidate, 5)], 10).open, "a candidate is a lead, not a fact");
        let waiting = state(&[alert("a", Stage::MachineConfirmed, 5)], 9_000_000);
        assert!(waiting.open && waiting.ends.is_none());
        let confirmed = state(&[alert("a", Stage::Confirmed, 5)], 60_004);
        assert_eq!((confirmed.open, confirmed.ends), (true, Some(WallMs(60_005))));
        assert!(!state(&[alert("a", Stage::Confirmed, 5)], 60_005).open);
        assert!(!state(&[alert("a", Stage::Confirmed, 60_006)], 5).open, "the clock was set back");
        let both = state(&[alert("a", Stage::Rejected, 9), alert("b", Stage::MachineConfirmed, 5)], 10);
        assert!(both.open);
        assert_eq!(both.last.map(|alert| alert.stage), Some(Stage::Rejected));
    }

    #[test]
    fn the_state_shows_nothing_the_sink_is_not_told() {
        let only = told_of(&[Stage::Confirmed]);
        let alerts = [alert("a", Stage::MachineConfirmed, 9), alert("b", Stage::Confirmed, 5)];
        let state = CameraState::of(&alerts, &only, WallMs(100_000), 60_000);
        assert!(!state.open);
        assert_eq!(state.json()["stage"], "confirmed");
        let mut quiet = alert("a", Stage::MachineConfirmed, 9);
        quiet.quiet = true;
        let state = CameraState::of(&[quiet], &told_of(&Stage::ALL), WallMs(10), 60_000);
        assert_eq!((state.open, state.json()["stage"].as_str()), (false, Some("none")));
        let told = CameraState::of(&alerts, &told_of(&Stage::ALL), WallMs(10), 60_000).json().to_string();
        assert!(!told.contains("ann-1"), "a retained message names nobody");
    }

    #[test]
    fn home_assistant_is_told_of_two_entities_a_camera() {
        let topics = Topics::new(&settings("topic-prefix = \"site/box-2\"\ndiscovery-prefix = \"ha\"\n"));
        let camera = CameraId::try_new("gate").expect("a name");
        let retained = topics.of_camera(&camera, true, &CameraState::of(&[], &told_of(&Stage::ALL), WallMs(0), 1));
        let names: Vec<_> = retained.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "ha/binary_sensor/site-box-2/gate-alert/config",
                "ha/sensor/site-box-2/gate-stage/config",
                "site/box-2/cameras/gate/available",
                "site/box-2/cameras/gate/state",
            ]
        );
        let config: Value = serde_json::from_slice(&retained[names[0]]).expect("JSON");
        assert_eq!(config["availability"][0]["topic"], "site/box-2/available");
        assert_eq!(config["unique_id"], "site-box-2-gate-alert");
        let quiet = Topics::new(&settings("discovery-prefix = \"\"\n"));
        assert_eq!(quiet.of_camera(&camera, false, &CameraState::of(&[], &told_of(&[]), WallMs(0), 1)).len(), 2);
        assert_eq!(quiet.own().len(), 2);
    }
}
