//! What is meant by `[sinks.NAME]`.

use super::endpoint::Endpoint;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::record::{AlertRecord, Stage};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One receiver of alert events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkSettings {
    /// Where events go.
    pub kind: SinkKind,
    /// Which events it is told of.
    pub filter: SinkFilter,
    /// When it is tried again.
    pub retry: RetrySettings,
}

/// Which events a sink is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkFilter {
    /// The stages; at least one.
    pub stages: Vec<Stage>,
    /// The lists; empty: all.
    pub lists: Vec<ListId>,
    /// The cameras; empty: all.
    pub cameras: Vec<CameraId>,
    /// What about alerts raised in quiet hours.
    pub in_quiet_hours: InQuietHours,
}

impl SinkFilter {
    /// Whether an alert that has come to be so is for this sink.
    #[must_use]
    pub fn wants(&self, alert: &AlertRecord) -> bool {
        self.stages.contains(&alert.stage) && self.concerns(alert)
    }

    /// Whether an alert is for this sink at any stage.
    #[must_use]
    pub fn concerns(&self, alert: &AlertRecord) -> bool {
        (self.lists.is_empty() || self.lists.contains(&alert.list))
            && (self.cameras.is_empty() || self.cameras.contains(&alert.camera))
            && (self.in_quiet_hours == InQuietHours::Tell || !alert.quiet)
    }
}

/// What a sink does with alerts raised in the quiet hours of their list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InQuietHours {
    /// It is told of them like of any other.
    Tell,
    /// It is not told.
    KeepSilent,
}

/// When a failed delivery is tried again, and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Wait after the first failure; doubles with each further one ...
    pub first: Duration,
    /// ... up to this.
    pub max: Duration,
    /// Events older than this are given up.
    pub give_up_after: Duration,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// A file, one JSON object a line.
    EventLog(EventLogSettings),
    /// An HTTP receiver.
    Webhook(WebhookSettings),
    /// An MQTT broker.
    Mqtt(MqttSettings),
}

impl SinkKind {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::EventLog(_) => "event-log",
            Self::Webhook(_) => "webhook",
            Self::Mqtt(_) => "mqtt",
        }
    }
}

/// An event log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventLogSettings {
    /// The file; absolute.
    pub path: PathBuf,
    /// A file that has grown to this many bytes is put aside; 0: never.
    pub rotate_bytes: u64,
    /// Files put aside that are kept.
    pub keep_files: u32,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where to POST.
    pub url: Endpoint,
    /// Credential with the secret that signs each request.
    pub secret_credential: Option<String>,
    /// Credential with a bearer token.
    pub token_credential: Option<String>,
    /// Certificates that are trusted to sign the receiver's.
    pub ca_file: PathBuf,
    /// How long connecting may take, and how long the answer.
    pub timeout: Duration,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// Where it is.
    pub broker: Endpoint,
    /// Credential with `user:password`.
    pub credential: Option<String>,
    /// Credential with a client certificate and its private key, in PEM.
    pub client_credential: Option<String>,
    /// What we are called at the broker; `None`: made of the topic prefix and the sink's name.
    pub client_id: Option<String>,
    /// Certificates that are trusted to sign the broker's.
    pub ca_file: PathBuf,
    /// How long connecting, or an acknowledgement, may take.
    pub timeout: Duration,
    /// First levels of all our topics, without a slash at either end.
    pub topic_prefix: String,
    /// First levels of Home Assistant's discovery topics; `None`: it is not told.
    pub discovery_prefix: Option<String>,
    /// How long the broker keeps an event for a subscriber that is away.
    pub message_expiry: Duration,
    /// How long a camera's alert sensor stays on after a confirmed alert.
    pub alert_hold: Duration,
}

/// A sink, as named in the configuration (`[sinks.door-log]`). Same letters as a camera's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SinkName(String);

impl SinkName {
    /// Checks and wraps a name; `None` when no camera could be called so.
    #[must_use]
    pub fn try_new(text: &str) -> Option<Self> {
        CameraId::try_new(text).ok().map(|_| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
