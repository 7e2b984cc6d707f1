//! The packets of MQTT 5 that a publisher needs, between bytes and values. No clock, no socket.
//!
//! A publisher connects with a will, publishes with QoS 1, subscribes once to its own retained topics, pings and
//! disconnects. That is a tenth of the protocol; ready-made clients bring the rest, keep a queue of their own beside the
//! outbox, and do not say which event a PUBACK was for. (OASIS, MQTT Version 5.0, chapters 2 and 3.)

/// The largest packet taken from a broker, and announced to it. We are sent acknowledgements and our own retained topics.
pub(super) const PACKET_BYTES_MAX: usize = 16 * 1024;

/// Longest string a packet can carry.
const TEXT_BYTES_MAX: usize = 65_535;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// Larger than [`PACKET_BYTES_MAX`].
    #[error("it sent a packet of more than 16 KiB")]
    TooLarge,
    /// Against the protocol.
    #[error("it sent something that is not MQTT 5")]
    NotMqtt,
}

/// What a broker sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Whether we are let in, and on what terms.
    Connack(Connack),
    /// An acknowledgement: which publication, and with which reason.
    Puback { id: u16, reason: Reason },
    /// Answer to a subscription, one code a filter.
    Suback { codes: Vec<u8> },
    /// A message on a topic we subscribed to.
    Publish { topic: String, empty: bool },
    /// Answer to a ping.
    Pingresp,
    /// The broker is about to close.
    Disconnect { reason: Reason },
}

/// A reason code with the broker's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) code: u8,
    pub(super) words: String,
}

/// Terms of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Connack {
    pub(super) reason: Reason,
    /// Publications that may be unacknowledged.
    pub(super) receive_max: u16,
    /// Largest packet the broker takes, bytes.
    pub(super) packet_max: u32,
    /// The broker's own keep-alive, seconds, when it insists.
    pub(super) keep_alive_s: Option<u16>,
    /// Whether it keeps retained messages.
    pub(super) retains: bool,
    /// Whether it takes QoS 1.
    pub(super) qos_1: bool,
}

/// What we connect with.
#[derive(Clone, Copy)]
pub(super) struct Connect<'c> {
    pub(super) client_id: &'c str,
    pub(super) keep_alive_s: u16,
    /// Topic on which the broker says `offline` for us, retained, when we are gone.
    pub(super) will_topic: &'c str,
    pub(super) will: &'c str,
    pub(super) login: Option<(&'c str, &'c str)>,
}

/// One publication, always with QoS 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
    /// Seconds the broker keeps it for a subscriber that is away.
    pub(super) expiry_s: Option<u32>,
    pub(super) content_type: Option<&'static str>,
    /// Carried as the user property `event-id`.
    pub(super) event_id: Option<String>,
}

pub(super) fn connect(with: &Connect<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.push(5);
    let (clean_start, will, will_qos_1, will_retain) = (0x02, 0x04, 0x08, 0x20);
    let login = if with.login.is_some() { 0xC0 } else { 0 };
    body.push(clean_start | will | will_qos_1 | will_retain | login);
    body.extend(with.keep_alive_s.to_be_bytes());
    let mut properties = vec![0x27];
    properties.extend(u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX).to_be_bytes());
    prefixed(&mut body, &properties);
    text(&mut body, with.client_id);
    prefixed(&mut body, &[]);
    text(&mut body, with.will_topic);
    text(&mut body, with.will);
    if let Some((user, password)) = with.login {
        text(&mut body, user);
        text(&mut body, password);
    }
    packet(0x10, &body)
}

pub(super) fn publish(id: u16, message: &Message) -> Vec<u8> {
    let mut properties = Vec::new();
    if let Some(content_type) = message.content_type {
        // The payload is UTF-8 text, and of which kind.
        properties.extend([0x01, 1, 0x03]);
        text(&mut properties, content_type);
    }
    if let Some(seconds) = message.expiry_s {
        properties.push(0x02);
        properties.extend(seconds.to_be_bytes());
    }
    if let Some(event_id) = &message.event_id {
        properties.push(0x26);
        text(&mut properties, "event-id");
        text(&mut properties, event_id);
    }
    let mut body = Vec::with_capacity(message.payload.len() + message.topic.len() + properties.len() + 16);
    text(&mut body, &message.topic);
    body.extend(id.to_be_bytes());
    prefixed(&mut body, &properties);
    body.extend(&message.payload);
    packet(0x32 | u8::from(message.retain), &body)
}

/// Subscribes without our own messages coming back: only what the broker has retained.
pub(super) fn subscribe(id: u16, filters: &[String]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(id.to_be_bytes());
    prefixed(&mut body, &[]);
    for filter in filters {
        text(&mut body, filter);
        // QoS 0, no local, retain as published.
        body.push(0x04 | 0x08);
    }
    packet(0x82, &body)
}

pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];
/// With reason 0: the will is not to be sent.
pub(super) const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Takes the first packet off `bytes`; `None` while it is not whole.
///
/// # Errors
/// [`Malformed`]; the connection is of no use any more.
pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Packet>, Malformed> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    // Told from the first byte, so that a server of something else is not waited for.
    if !matches!(first, 0x20 | 0x30..=0x3F | 0x40 | 0x90 | 0xD0 | 0xE0) {
        return Err(Malformed::NotMqtt);
    }
    let mut head = Cursor(&bytes[1..]);
    let length = match head.variable() {
        Ok(length) => length,
        // At most four bytes say how long a packet is.
        Err(_) if bytes.len() < 5 => return Ok(None),
        Err(malformed) => return Err(malformed),
    };
    if length > PACKET_BYTES_MAX {
        return Err(Malformed::TooLarge);
    }
    let Some(body) = head.0.get(..length) else { return Ok(None) };
    let packet = decode(first, body)?;
    let used = bytes.len() - head.0.len() + length;
    bytes.drain(..used);
    Ok(Some(packet))
}

fn decode(first: u8, body: &[u8]) -> Result<Packet, Malformed> {
    let mut body = Cursor(body);
    match first >> 4 {
        2 => {
            let _session_present = body.byte()?;
            connack(body.byte()?, &mut body)
        }
        3 => incoming(first & 0x0F, &mut body),
        4 => Ok(Packet::Puback { id: body.short()?, reason: reason(&mut body)? }),
        9 => {
            let _id = body.short()?;
            let _properties = body.properties()?;
            Ok(Packet::Suback { codes: body.0.to_vec() })
        }
        13 if body.0.is_empty() => Ok(Packet::Pingresp),
        14 => Ok(Packet::Disconnect { reason: reason(&mut body)? }),
        _ => Err(Malformed::NotMqtt),
    }
}

fn connack(code: u8, body: &mut Cursor<'_>) -> Result<Packet, Malformed> {
    let mut connack = Connack {
        reason: Reason { code, words: String::new() },
        receive_max: u16::MAX,
        packet_max: u32::MAX,
        keep_alive_s: None,
        retains: true,
        qos_1: true,
    };
    // A broker of MQTT 3 answers without properties.
    let properties = if body.0.is_empty() { Vec::new() } else { body.properties()? };
    for (id, value) in properties {
        match (id, value) {
            (0x21, Value::Number(number)) => connack.receive_max = u16::try_from(number).unwrap_or(u16::MAX).max(1),
            (0x24, Value::Number(number)) => connack.qos_1 = number >= 1,
            (0x25, Value::Number(number)) => connack.retains = number != 0,
            (0x27, Value::Number(number)) => connack.packet_max = number,
            (0x13, Value::Number(number)) => connack.keep_alive_s = u16::try_from(number).ok(),
            (0x1F, Value::Text(words)) => connack.reason.words = words,
            _ => {}
        }
    }
    Ok(Packet::Connack(connack))
}

/// A message for us. We subscribe with QoS 0, so another is against the protocol.
fn incoming(flags: u8, body: &mut Cursor<'_>) -> Result<Packet, Malformed> {
    if flags & 0x06 != 0 {
        return Err(Malformed::NotMqtt);
    }
    let topic = body.text()?;
    let _properties = body.properties()?;
    Ok(Packet::Publish { topic, empty: body.0.is_empty() })
}

/// Reason and properties, which may be left out from the end.
fn reason(body: &mut Cursor<'_>) -> Result<Reason, Malformed> {
    let code = if body.0.is_empty() { 0 } else { body.byte()? };
    let properties = if body.0.is_empty() { Vec::new() } else { body.properties()? };
    let words = properties.into_iter().find_map(|(id, value)| match value {
        Value::Text(words) if id == 0x1F => Some(words),
        Value::Text(_) | Value::Number(_) => None,
    });
    Ok(Reason { code, words: words.unwrap_or_default() })
}

/// The value of a property.
enum Value {
    Number(u32),
    Text(String),
}

/// What is left to read.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn bytes(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed::NotMqtt)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    fn short(&mut self) -> Result<u16, Malformed> {
        let bytes = self.bytes(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn word(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from(self.short()?) << 16 | u32::from(self.short()?))
    }

    fn variable(&mut self) -> Result<usize, Malformed> {
        let mut number = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed::NotMqtt)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = usize::from(self.short()?);
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed::NotMqtt)
    }

    fn properties(&mut self) -> Result<Vec<(u8, Value)>, Malformed> {
        let length = self.variable()?;
        let mut inside = Cursor(self.bytes(length)?);
        let mut found = Vec::new();
        while !inside.0.is_empty() {
            let id = inside.byte()?;
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Value::Number(inside.byte()?.into()),
                0x13 | 0x21 | 0x22 | 0x23 => Value::Number(inside.short()?.into()),
                0x02 | 0x11 | 0x18 | 0x27 => Value::Number(inside.word()?),
                0x0B => Value::Number(u32::try_from(inside.variable()?).unwrap_or(u32::MAX)),
                0x03 | 0x08 | 0x12 | 0x15 | 0x1A | 0x1C | 0x1F => Value::Text(inside.text()?),
                0x09 | 0x16 => {
                    let length = usize::from(inside.short()?);
                    inside.bytes(length)?;
                    continue;
                }
                0x26 => {
                    let (_name, _value) = (inside.text()?, inside.text()?);
                    continue;
                }
                _ => return Err(Malformed::NotMqtt),
            };
            found.push((id, value));
        }
        Ok(found)
    }
}

/// A string with its length in front. Ours are names and topics, far below the limit; what is longer is cut there.
fn text(to: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(TEXT_BYTES_MAX)];
    to.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend(bytes);
}

/// Bytes with their length in front, as properties have it.
fn prefixed(to: &mut Vec<u8>, bytes: &[u8]) {
    variable(to, bytes.len());
    to.extend(bytes);
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(body.len() + 5);
    packet.push(first);
    prefixed(&mut packet, body);
    packet
}

fn variable(to: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or_default();
        number >>= 7;
        if number == 0 {
            return to.push(low);
        }
        to.push(low | 0x80);
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
