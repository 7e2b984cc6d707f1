//! How one kind of receiver is spoken to, and what can come of it.

use super::event_log::EventLog;
use super::mqtt::Mqtt;
use super::webhook::Webhook;
use crate::config::credentials::CredentialPlaces;
use crate::config::sink_settings::{SinkKind, SinkSettings};
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Now;
use sekisho_store::{OutboxItem, StoreHandle};
use std::sync::Arc;
use std::time::Duration;

/// What came of handing one event over. A variant exists because the delivery does something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Taken,
    /// This event did not get through; whether the next would is not known.
    Failed(String),
    /// The receiver answered that it does not want this event. Another event it may well take.
    Refused(String),
    /// No event gets through at the moment.
    Down(Down),
}

/// Why nothing gets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// What was said, one line.
    pub why: String,
    /// Who must do something.
    pub cause: DownCause,
    /// How long the receiver asked us to wait.
    pub wait: Option<Duration>,
}

/// Whose move it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCause {
    /// Not there, or too busy: time may mend it.
    Unreachable,
    /// Not let in, wrong address, no credential: somebody must mend it.
    Denied,
}

impl Down {
    /// Time may mend it.
    #[must_use]
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self { why: why.into(), cause: DownCause::Unreachable, wait: None }
    }

    /// Somebody must mend it.
    #[must_use]
    pub fn denied(why: impl Into<String>) -> Self {
        Self { why: why.into(), cause: DownCause::Denied, wait: None }
    }
}

/// What is known before the first event of a batch is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// A connection stands, and for how long it has.
    For(Duration),
    /// Only a delivery will tell.
    Unknown,
}

/// Why a sink ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The daemon stops; the sink comes back with it.
    Stopped,
    /// The configuration has it no more.
    Removed,
}

/// Every camera that is watched, and whether it streams.
pub type CamerasUp = Arc<dyn Fn() -> Vec<(CameraId, bool)> + Send + Sync>;

/// Everything an outlet is made of.
#[derive(Clone)]
pub struct Setup {
    /// The sink's name.
    pub name: String,
    /// What the configuration says.
    pub settings: SinkSettings,
    /// Cameras in use, in alphabetical order.
    pub cameras: Vec<CameraId>,
    /// Where credentials lie.
    pub places: CredentialPlaces,
    /// Asks which cameras stream.
    pub cameras_up: CamerasUp,
}

/// One receiver.
#[derive(Debug)]
pub enum Outlet {
    /// A file.
    EventLog(EventLog),
    /// An HTTP receiver.
    Webhook(Box<Webhook>),
    /// A broker.
    Mqtt(Box<Mqtt>),
}

impl Outlet {
    /// The receiver that `setup` describes; nothing is opened yet.
    #[must_use]
    pub fn new(setup: &Setup) -> Self {
        match &setup.settings.kind {
            SinkKind::EventLog(settings) => Self::EventLog(EventLog::new(&setup.name, settings.clone())),
            SinkKind::Webhook(settings) => {
                Self::Webhook(Box::new(Webhook::new(settings.clone(), setup.places.clone())))
            }
            SinkKind::Mqtt(settings) => Self::Mqtt(Box::new(Mqtt::new(setup, settings.clone()))),
        }
    }

    /// Where events go, without anything secret.
    #[must_use]
    pub fn address(settings: &SinkSettings) -> String {
        match &settings.kind {
            SinkKind::EventLog(log) => log.path.display().to_string(),
            SinkKind::Webhook(webhook) => webhook.url.to_string(),
            SinkKind::Mqtt(mqtt) => format!("{} {}/", mqtt.broker, mqtt.topic_prefix),
        }
    }

    /// Events that are handed over in one go. Fewer go twice after a crash, more share a sync or a round trip.
    #[must_use]
    pub const fn together(&self) -> usize {
        match self {
            Self::EventLog(_) => 256,
            Self::Webhook(_) => 1,
            Self::Mqtt(_) => 32,
        }
    }

    /// Opens what must be open before an event can be handed over.
    ///
    /// # Errors
    /// [`Down`] when nothing could be delivered.
    pub async fn prepare(&mut self, now: Now) -> Result<Reached, Down> {
        match self {
            Self::EventLog(_) => Ok(Reached::Unknown),
            Self::Webhook(webhook) => webhook.prepare().map(|()| Reached::Unknown),
            Self::Mqtt(mqtt) => mqtt.prepare(now).await.map(Reached::For),
        }
    }

    /// Hands over at most [`together`](Self::together) events. The outcomes are in the order of the events; there are fewer
    /// when it was no use to go on.
    pub async fn hand_over(&mut self, now: Now, items: &[OutboxItem]) -> Vec<Outcome> {
        match self {
            Self::EventLog(log) => log.hand_over(items),
            Self::Webhook(webhook) => match items.first() {
                Some(item) => vec![webhook.hand_over(now, item).await],
                None => Vec::new(),
            },
            Self::Mqtt(mqtt) => mqtt.hand_over(now, items).await,
        }
    }

    /// Nothing is waiting: what is not an event is brought up to date.
    ///
    /// # Errors
    /// [`Down`] when the receiver went.
    pub async fn rest(&mut self, now: Now, store: &StoreHandle) -> Result<(), Down> {
        match self {
            Self::EventLog(_) | Self::Webhook(_) => Ok(()),
            Self::Mqtt(mqtt) => mqtt.rest(now, store).await,
        }
    }

    /// Keeps a connection alive until it breaks. May be dropped at any time.
    pub async fn idle(&mut self) -> Down {
        match self {
            Self::EventLog(_) | Self::Webhook(_) => std::future::pending().await,
            Self::Mqtt(mqtt) => mqtt.idle().await,
        }
    }

    /// Takes on another setup, keeping an open connection where it still fits.
    pub async fn change(&mut self, setup: &Setup) {
        let fits = match (&mut *self, &setup.settings.kind) {
            (Self::Mqtt(mqtt), SinkKind::Mqtt(_)) => mqtt.change(setup),
            (Self::EventLog(log), SinkKind::EventLog(settings)) => log.change(settings),
            // The webhook reads its credentials anew, which is what a reload is often for.
            _ => false,
        };
        if !fits {
            self.close(Closing::Removed).await;
            *self = Self::new(setup);
        }
    }

    /// Takes leave of the receiver.
    pub async fn close(&mut self, why: Closing) {
        match self {
            Self::EventLog(_) | Self::Webhook(_) => {}
            Self::Mqtt(mqtt) => mqtt.close(why).await,
        }
    }
}
