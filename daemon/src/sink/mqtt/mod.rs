//! Publishes each event to an MQTT 5 broker, and keeps what stands there about the box and its cameras true.
//!
//! An event is ticked off when the broker has acknowledged it on both its topics. Connections are clean: what is not
//! acknowledged is still in the outbox, so neither side needs a memory of the other.
//!
//! *Why no ready-made client.* rumqttc ties itself to a TLS stack with known holes (rustls-webpki 0.102) and an abandoned PEM
//! reader, does not say which publication an acknowledgement was for, and repeats publications from a queue of its own; its
//! forks and the larger libraries bring ten times the code. What a publisher needs is in `packet.rs` and `link.rs`, and is
//! tested against a real broker.

mod link;
mod packet;
mod topics;

use super::net::{dial, tls};
use super::outlet::{CamerasUp, Closing, Down, Outcome, Setup};
use super::secrets;
use crate::config::credentials::CredentialPlaces;
use crate::config::sink_settings::{MqttSettings, SinkFilter, SinkKind};
use crate::status::wire;
use link::{Ack, Link, LinkError, said};
use packet::{Connect, Message};
use sekisho_logic::id::CameraId;
use sekisho_logic::record::{AlertRecord, Stage};
use sekisho_logic::time::{Mono, Now, WallMs};
use sekisho_store::{AlertFilter, OutboxItem, StoreError, StoreHandle};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use topics::{CameraState, OFFLINE, ONLINE, Retained, Topics};

/// Alerts of a camera that are looked at for its state, newest first. What is older than the last thirty-two is told by its
/// being open, or has been told long ago.
const ALERTS_A_CAMERA: u32 = 32;

/// Reasons that concern who we are and not what we publish.
const NOT_AUTHORISED: u8 = 0x87;
const QUOTA_EXCEEDED: u8 = 0x97;

/// One broker.
pub struct Mqtt {
    name: String,
    settings: MqttSettings,
    filter: SinkFilter,
    cameras: Vec<CameraId>,
    cameras_up: CamerasUp,
    places: CredentialPlaces,
    topics: Topics,
    link: Option<Link>,
    connected: Mono,
    /// What the broker has acknowledged on this connection as standing on its topics.
    shown: Retained,
    /// The cameras' states, and what they were reckoned from.
    states: BTreeMap<CameraId, CameraState>,
    reckoned: Option<i64>,
}

impl Mqtt {
    /// The broker that `settings` describe; nothing is opened yet.
    #[must_use]
    pub fn new(setup: &Setup, settings: MqttSettings) -> Self {
        let topics = Topics::new(&settings);
        Self {
            name: setup.name.clone(),
            filter: setup.settings.filter.clone(),
            cameras: concerned(setup),
            cameras_up: setup.cameras_up.clone(),
            places: setup.places.clone(),
            topics,
            settings,
            link: None,
            connected: Mono::default(),
            shown: Retained::new(),
            states: BTreeMap::new(),
            reckoned: None,
        }
    }

    /// Takes on other cameras or another filter with the connection as it is. False when the connection itself is to be
    /// another one.
    pub fn change(&mut self, setup: &Setup) -> bool {
        if setup.settings.kind != SinkKind::Mqtt(self.settings.clone()) {
            return false;
        }
        self.filter = setup.settings.filter.clone();
        self.cameras = concerned(setup);
        self.places = setup.places.clone();
        self.reckoned = None;
        true
    }

    /// Connects, unless connected. Returns for how long that has lasted.
    ///
    /// # Errors
    /// [`Down`] with what the broker, the system or a credential file said.
    pub async fn prepare(&mut self, now: Now) -> Result<Duration, Down> {
        if self.link.is_none() {
            let patience = self.settings.timeout;
            let late = || {
                Down::unreachable(format!("{}: no connection within {} ms", self.settings.broker, patience.as_millis()))
            };
            let link = tokio::time::timeout(patience, self.connect()).await.map_err(|_| late())??;
            self.link = Some(link);
            self.connected = now.mono;
            self.shown.clear();
            self.reckoned = None;
            let online = Retained::from([(self.topics.available(), ONLINE.into())]);
            self.show(online).await?;
        }
        Ok(now.mono.since(self.connected))
    }

    async fn connect(&self) -> Result<Link, Down> {
        let settings = &self.settings;
        let login = settings.credential.as_ref().map(|name| secrets::login(&self.places, name)).transpose();
        let client = settings.client_credential.as_ref().map(|name| secrets::read(&self.places, name)).transpose();
        let (login, client) = (login.map_err(Down::denied)?, client.map_err(Down::denied)?);
        let client_pem = client.as_ref().map(|pem| pem.as_str());
        let tls = settings.broker.tls().then(|| tls(&settings.ca_file, client_pem, &[])).transpose();
        let tls = tls.map_err(Down::denied)?;
        let socket = dial(&settings.broker, tls.as_ref()).await;
        let socket = socket.map_err(|error| Down::unreachable(format!("{}: {error}", settings.broker)))?;
        let client_id = settings.client_id.clone().unwrap_or_else(|| format!("{}-{}", self.topics.device(), self.name));
        let with = Connect {
            client_id: &client_id,
            keep_alive_s: 0,
            will_topic: &self.topics.available(),
            will: OFFLINE,
            login: login.as_ref().map(|(user, password)| (user.as_str(), password.as_str())),
        };
        let mut link = Link::open(socket, &with).await.map_err(|error| self.down(&error))?;
        // Without permission to read, topics of cameras that went while we were away stay; everything else works.
        if !link.subscribe(&self.topics.own()).await.map_err(|error| self.down(&error))? {
            tracing::info!(
                "sink {}: the broker does not let us read our own topics; those of removed cameras stay",
                self.name
            );
        }
        Ok(link)
    }

    /// Publishes the events and waits for the broker's acknowledgements.
    pub async fn hand_over(&mut self, _now: Now, items: &[OutboxItem]) -> Vec<Outcome> {
        let messages: Vec<Message> = items.iter().flat_map(|item| self.messages(item)).collect();
        let mut acks = vec![None; messages.len()];
        let broke = self.publish(&messages, &mut acks).await.err();
        let mut outcomes = Vec::new();
        for pair in acks.chunks(2) {
            match self.outcome(pair) {
                Some(outcome) => outcomes.push(outcome),
                // The first one without an answer may be what broke the connection; those behind it are innocent.
                None => {
                    outcomes.extend(broke.as_ref().map(|down| Outcome::Failed(down.why.clone())));
                    break;
                }
            }
        }
        outcomes
    }

    fn messages(&self, item: &OutboxItem) -> [Message; 2] {
        let payload = wire::delivery(item).to_string().into_bytes();
        self.topics.of_event(&item.event.after).map(|topic| Message {
            topic,
            payload: payload.clone(),
            retain: false,
            expiry_s: u32::try_from(self.settings.message_expiry.as_secs()).ok(),
            content_type: Some("application/json"),
            event_id: Some(item.event.event_id()),
        })
    }

    /// What the acknowledgements of an event's two messages come to; `None` while one is missing.
    fn outcome(&self, pair: &[Option<Ack>]) -> Option<Outcome> {
        let broker = &self.settings.broker;
        let mut outcome = Outcome::Taken;
        for ack in pair {
            match ack.as_ref()? {
                Ack::Taken => {}
                Ack::TooLarge(bytes) => {
                    outcome =
                        Outcome::Refused(format!("{broker}: the event has {bytes} bytes, more than the broker takes"));
                }
                Ack::Refused(reason) => {
                    let why = format!("{broker}: the event was not taken{}", said(reason));
                    return Some(match reason.code {
                        NOT_AUTHORISED => Outcome::Down(Down::denied(why)),
                        QUOTA_EXCEEDED => Outcome::Down(Down::unreachable(why)),
                        _ => Outcome::Refused(why),
                    });
                }
            }
        }
        Some(outcome)
    }

    /// Brings the retained topics up to date.
    ///
    /// # Errors
    /// [`Down`] when the broker went.
    pub async fn rest(&mut self, now: Now, store: &StoreHandle) -> Result<(), Down> {
        self.reckon(now.wall, store);
        let up: BTreeMap<_, _> = (self.cameras_up)().into_iter().collect();
        let mut wanted = Retained::from([(self.topics.available(), ONLINE.into())]);
        for (camera, state) in &self.states {
            wanted.extend(self.topics.of_camera(camera, up.get(camera).copied().unwrap_or(false), state));
        }
        let heard = self.link.as_mut().map(Link::heard).unwrap_or_default();
        let gone: BTreeSet<String> =
            heard.into_iter().chain(self.shown.keys().cloned()).filter(|topic| !wanted.contains_key(topic)).collect();
        // An empty message clears a topic.
        wanted.extend(gone.into_iter().map(|topic| (topic, Vec::new())));
        wanted.retain(|topic, payload| self.shown.get(topic) != Some(payload));
        self.show(wanted).await
    }

    /// Reckons the cameras' states anew when an event was committed since, or one of them has ended.
    fn reckon(&mut self, now: WallMs, store: &StoreHandle) {
        let ended = self.states.values().any(|state| state.ends.is_some_and(|ends| ends <= now));
        let Ok(Ok(end)) = store.call(sekisho_store::Store::journal_end) else { return };
        if self.reckoned == Some(end) && !ended {
            return;
        }
        let cameras = self.cameras.clone();
        let asked = store.call(move |store| -> Result<Vec<(CameraId, Vec<AlertRecord>)>, StoreError> {
            let latest = |camera: CameraId| {
                let filter = AlertFilter { camera: Some(camera.clone()), ..AlertFilter::default() };
                let mut alerts = store.alerts(&filter, ALERTS_A_CAMERA)?;
                let open = AlertFilter { stage: Some(Stage::MachineConfirmed), ..filter };
                alerts.extend(store.alerts(&open, ALERTS_A_CAMERA)?);
                Ok((camera, alerts))
            };
            cameras.into_iter().map(latest).collect()
        });
        // A store that cannot be read now is asked again in a second.
        let Ok(Ok(latest)) = asked else { return };
        let hold_ms = i64::try_from(self.settings.alert_hold.as_millis()).unwrap_or(i64::MAX);
        let state = |alerts: &[AlertRecord]| CameraState::of(alerts, &self.filter, now, hold_ms);
        self.states = latest.into_iter().map(|(camera, alerts)| (camera, state(&alerts))).collect();
        self.reckoned = Some(end);
    }

    /// Publishes retained messages and notes what the broker has.
    async fn show(&mut self, retained: Retained) -> Result<(), Down> {
        if retained.is_empty() {
            return Ok(());
        }
        let messages: Vec<Message> = retained
            .into_iter()
            .map(|(topic, payload)| Message {
                content_type: payload.starts_with(b"{").then_some("application/json"),
                topic,
                payload,
                retain: true,
                expiry_s: None,
                event_id: None,
            })
            .collect();
        let mut acks = vec![None; messages.len()];
        let published = self.publish(&messages, &mut acks).await;
        for (message, ack) in messages.into_iter().zip(acks) {
            if let Some(Ack::Refused(reason)) = &ack {
                tracing::warn!("sink {}: {} was not taken{}", self.name, message.topic, said(reason));
            }
            // Refused or not: said once a connection is enough.
            match ack {
                Some(_) if message.payload.is_empty() => drop(self.shown.remove(&message.topic)),
                Some(_) => drop(self.shown.insert(message.topic, message.payload)),
                None => {}
            }
        }
        published
    }

    async fn publish(&mut self, messages: &[Message], acks: &mut [Option<Ack>]) -> Result<(), Down> {
        let patience = self.settings.timeout;
        let Some(link) = self.link.as_mut() else {
            return Err(Down::unreachable(format!("{}: not connected", self.settings.broker)));
        };
        let down = match tokio::time::timeout(patience, link.publish(messages, acks)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => self.down(&error),
            Err(_) => Down::unreachable(format!(
                "{}: no acknowledgement within {} ms",
                self.settings.broker,
                patience.as_millis()
            )),
        };
        self.link = None;
        Err(down)
    }

    /// Answers and sends pings until the connection breaks.
    pub async fn idle(&mut self) -> Down {
        let Some(link) = self.link.as_mut() else { return std::future::pending().await };
        loop {
            if let Err(error) = link.next().await {
                let down = self.down(&error);
                self.link = None;
                return down;
            }
        }
    }

    /// Says goodbye. A sink that is removed for good takes what stands on its topics along.
    pub async fn close(&mut self, why: Closing) {
        let mut last = Retained::from([(self.topics.available(), Vec::from(OFFLINE))]);
        if why == Closing::Removed {
            last.extend(std::mem::take(&mut self.shown).into_keys().map(|topic| (topic, Vec::new())));
        }
        if self.link.is_some()
            && let Err(down) = self.show(last).await
        {
            tracing::debug!("sink {}: {}", self.name, down.why);
        }
        if let Some(link) = self.link.take()
            && let Err(error) = link.disconnect().await
        {
            tracing::debug!("sink {}: {error}", self.name);
        }
    }

    fn down(&self, error: &LinkError) -> Down {
        let why = format!("{}: {error}", self.settings.broker);
        match error {
            LinkError::Refused(reason) if !matches!(reason.code, 0x88 | 0x89 | 0x97 | 0x9F) => Down::denied(why),
            LinkError::Io(_)
            | LinkError::Malformed(_)
            | LinkError::Closed(_)
            | LinkError::Refused(_)
            | LinkError::Silent => Down::unreachable(why),
        }
    }
}

/// The cameras whose state is shown: those in use that the sink is told of.
fn concerned(setup: &Setup) -> Vec<CameraId> {
    let told = &setup.settings.filter.cameras;
    setup.cameras.iter().filter(|camera| told.is_empty() || told.contains(camera)).cloned().collect()
}

impl std::fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqtt").field("broker", &self.settings.broker).finish_non_exhaustive()
    }
}
