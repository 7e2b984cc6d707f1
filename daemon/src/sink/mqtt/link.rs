//! One connection to a broker: from the handshake to the last acknowledgement. Everything may be dropped while it waits and
//! taken up again later; bytes half sent are finished first.

use super::packet::{self, Connack, Connect, Malformed, Message, Packet, Reason};
use crate::sink::net::Socket;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Interval, MissedTickBehavior};

/// We ping twice in this time when nothing else is sent, and the broker gives us up after one and a half of it.
const KEEP_ALIVE_S: u16 = 30;

/// Publications in flight at the most; brokers say how many they bear (Mosquitto: 20).
const IN_FLIGHT_MAX: usize = 64;

/// Retained topics of ours that a broker may hold and that we note: what two hundred cameras have.
const HEARD_MAX: usize = 2048;

/// Why a connection is of no use, or none came about.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// The socket broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side does not speak MQTT 5.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// It closed, with its reason.
    #[error("the broker closed the connection{}", said(.0))]
    Closed(Reason),
    /// It did not let us in.
    #[error("the broker does not let us in{}", said(.0))]
    Refused(Reason),
    /// It answered no ping.
    #[error("the broker answers no ping")]
    Silent,
}

/// What a reason code means, with the broker's own words.
pub(super) fn said(reason: &Reason) -> String {
    let meaning = match reason.code {
        0x00 => "",
        0x01 => "it speaks an older MQTT than 5",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "it does not speak MQTT 5",
        0x85 => "it does not take our client id",
        0x86 => "bad user or password",
        0x87 => "not authorised",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8A => "banned",
        0x8B => "it is shutting down",
        0x8D => "it heard nothing from us",
        0x8E => "another client came with our client id; two boxes need different topic prefixes",
        0x90 => "topic name invalid",
        0x95 => "packet too large",
        0x97 => "quota exceeded",
        0x99 => "payload format invalid",
        0x9A => "it retains nothing",
        0x9B => "it does not take QoS 1",
        0x9F => "too many connections",
        _ => "for a reason of its own",
    };
    let words: String = reason.words.chars().filter(|c| !c.is_control()).take(120).collect();
    match (meaning.is_empty(), words.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(": {meaning} (0x{:02x})", reason.code),
        (true, false) => format!(": {words}"),
        (false, false) => format!(": {meaning} (0x{:02x}): {words}", reason.code),
    }
}

/// What became of one publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// The broker has it.
    Taken,
    /// It does not take it.
    Refused(Reason),
    /// Larger than it said it takes; not sent.
    TooLarge(usize),
}

/// An open connection.
pub(super) struct Link {
    socket: Box<dyn Socket>,
    /// Bytes received and not yet a packet.
    inbox: Vec<u8>,
    /// Bytes to be sent, and how many of them are.
    outbox: Vec<u8>,
    sent: usize,
    last_id: u16,
    terms: Connack,
    ping: Interval,
    /// A ping that is not answered yet.
    pinged: bool,
    /// Retained topics of ours that the broker has told us of.
    heard: Vec<String>,
}

impl Link {
    /// Introduces us over `socket`. Takes as long as it takes: the caller has the limit.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn open(socket: Box<dyn Socket>, with: &Connect<'_>) -> Result<Self, LinkError> {
        let mut link = Self {
            socket,
            inbox: Vec::new(),
            outbox: packet::connect(&Connect { keep_alive_s: KEEP_ALIVE_S, ..*with }),
            sent: 0,
            last_id: 0,
            terms: Connack {
                reason: Reason { code: 0, words: String::new() },
                receive_max: 1,
                packet_max: u32::MAX,
                keep_alive_s: None,
                retains: true,
                qos_1: true,
            },
            ping: every(Duration::from_secs(u64::from(KEEP_ALIVE_S))),
            pinged: false,
            heard: Vec::new(),
        };
        link.flush().await?;
        let Packet::Connack(terms) = link.read().await? else { return Err(Malformed::NotMqtt.into()) };
        let refused = |code| LinkError::Refused(Reason { code, words: String::new() });
        if terms.reason.code != 0 {
            return Err(LinkError::Refused(terms.reason));
        } else if !terms.qos_1 {
            return Err(refused(0x9B));
        } else if !terms.retains {
            return Err(refused(0x9A));
        }
        let keep_alive_s = terms.keep_alive_s.unwrap_or(KEEP_ALIVE_S).clamp(2, KEEP_ALIVE_S);
        link.ping = every(Duration::from_millis(u64::from(keep_alive_s) * 500));
        link.terms = terms;
        Ok(link)
    }

    /// Asks for our own retained topics. They come to [`heard`](Self::heard) with whatever is waited for next. Returns whether
    /// the broker lets us.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn subscribe(&mut self, filters: &[String]) -> Result<bool, LinkError> {
        let id = self.next_id();
        self.outbox.extend(packet::subscribe(id, filters));
        self.flush().await?;
        loop {
            if let Packet::Suback { codes } = self.next().await? {
                return Ok(codes.iter().all(|code| *code < 0x80));
            }
        }
    }

    /// Publishes and waits for the acknowledgement of each; `acks`, as long as `messages`, is filled as they come.
    ///
    /// # Errors
    /// [`LinkError`]; what is not acknowledged by then may or may not have arrived.
    pub(super) async fn publish(&mut self, messages: &[Message], acks: &mut [Option<Ack>]) -> Result<(), LinkError> {
        let window = usize::from(self.terms.receive_max).min(IN_FLIGHT_MAX);
        let mut in_flight: Vec<(u16, usize)> = Vec::new();
        let mut next = 0;
        while next < messages.len() || !in_flight.is_empty() {
            while next < messages.len() && in_flight.len() < window {
                let id = self.next_id();
                let bytes = packet::publish(id, &messages[next]);
                if bytes.len() as u64 > u64::from(self.terms.packet_max) {
                    acks[next] = Some(Ack::TooLarge(bytes.len()));
                } else {
                    self.outbox.extend(bytes);
                    in_flight.push((id, next));
                }
                next += 1;
            }
            self.flush().await?;
            if in_flight.is_empty() {
                continue;
            }
            // One of an earlier call that was cut off is nobody's here.
            if let Packet::Puback { id, reason } = self.next().await?
                && let Some(at) = in_flight.iter().position(|(sent, _)| *sent == id)
            {
                let (_, message) = in_flight.swap_remove(at);
                // 0x10: nobody subscribes at the moment. The broker has it all the same.
                acks[message] = Some(if reason.code < 0x80 { Ack::Taken } else { Ack::Refused(reason) });
            }
        }
        Ok(())
    }

    /// The next packet that is not dealt with here; pings go out meanwhile.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn next(&mut self) -> Result<Packet, LinkError> {
        loop {
            match self.read().await? {
                Packet::Pingresp => self.pinged = false,
                Packet::Publish { topic, empty } => {
                    if !empty && self.heard.len() < HEARD_MAX {
                        self.heard.push(topic);
                    }
                }
                Packet::Disconnect { reason } => return Err(LinkError::Closed(reason)),
                packet @ (Packet::Connack(_) | Packet::Puback { .. } | Packet::Suback { .. }) => return Ok(packet),
            }
        }
    }

    /// Topics heard since the last call.
    pub(super) fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.heard)
    }

    /// Says goodbye, so that the broker does not send the will.
    ///
    /// # Errors
    /// [`LinkError`].
    pub(super) async fn disconnect(mut self) -> Result<(), LinkError> {
        self.outbox.extend(packet::DISCONNECT);
        self.flush().await?;
        self.socket.shutdown().await?;
        Ok(())
    }

    async fn read(&mut self) -> Result<Packet, LinkError> {
        loop {
            if let Some(packet) = packet::take(&mut self.inbox)? {
                return Ok(packet);
            }
            let mut bytes = [0_u8; 4096];
            tokio::select! {
                read = self.socket.read(&mut bytes) => match read? {
                    0 => return Err(LinkError::Closed(Reason { code: 0, words: String::new() })),
                    count => self.inbox.extend(&bytes[..count]),
                },
                _ = self.ping.tick() => {
                    if std::mem::replace(&mut self.pinged, true) {
                        return Err(LinkError::Silent);
                    }
                    self.outbox.extend(packet::PINGREQ);
                }
            }
            self.flush().await?;
        }
    }

    /// Sends what is to be sent. Dropped half-way it goes on where it was.
    async fn flush(&mut self) -> Result<(), LinkError> {
        while self.sent < self.outbox.len() {
            let count = self.socket.write(&self.outbox[self.sent..]).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
            self.sent += count;
        }
        self.outbox.clear();
        self.sent = 0;
        self.socket.flush().await?;
        Ok(())
    }

    fn next_id(&mut self) -> u16 {
        // From 1; zero is not allowed. With 64 in flight an id is free again long before its turn comes.
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }
}

/// Ticks after `span` for the first time, and does not make up for what it missed.
fn every(span: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + span, span);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("terms", &self.terms).finish_non_exhaustive()
    }
}
