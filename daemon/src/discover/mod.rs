//! Cameras on the local network: asks by WS-Discovery (ONVIF Core, 7.3) and collects the answers. Only a person's command does
//! this; the daemon itself never searches.
//!
//! ```text
//! each interface: Probe -> 239.255.255.250:3702 (multicast)     <- ProbeMatches from whoever is there -> Found
//! Found + user and password -> ONVIF Media over HTTP -> addresses of its streams        (media)
//! an address without a path -> the paths of makers, one DESCRIBE each                   (paths)
//! ```
//!
//! Whoever is on the network may answer, with anything: answers are bounded in size and number, also for each sender, must name
//! the question and come from a network of this machine, are parsed without DTD or entities, and their words are stripped of
//! what a terminal would obey.

pub mod media;
pub mod paths;
mod post;
mod probe;
mod xml;

use crate::clock::SystemClock;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use sekisho_logic::time::Clock as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

pub use post::Patience;
pub use probe::Match;

/// Where devices listen (WS-Discovery, 2.4).
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 3702);
/// A datagram carries no more.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Answers that are read at the most; a shop floor has dozens of cameras, a liar has millions.
const ANSWERS_MAX: usize = 2_000;
/// Devices that are listed at the most.
const DEVICES_MAX: usize = 256;
/// Devices that one sender may name; a recorder speaks for a few.
pub const DEVICES_OF_ONE_MAX: usize = 8;
/// Answers of one sender that are read: some send each several times.
pub const ANSWERS_OF_ONE_MAX: usize = 32;
/// Senders in other networks that are named.
const ELSEWHERE_MAX: usize = 8;
/// An address of a service or stream; real ones have about a hundred characters.
const ADDRESS_BYTES_MAX: usize = 500;
/// How often the question is sent: datagrams get lost.
const PROBES: usize = 2;
/// Between two looks at whether time is over.
const LOOK: Duration = Duration::from_millis(200);

/// A camera that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the answer came from.
    pub address: IpAddr,
    /// What it says of itself.
    pub about: Match,
}

/// What a search came to.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// By address.
    pub found: Vec<Found>,
    /// Answers that were no answers: truncated, not XML, to another question, something else.
    pub unreadable: usize,
    /// Devices and answers that were passed over because one sender gave many, or there were too many in all.
    pub left_out: usize,
    /// Senders that are on no network of this machine, so that the sender may be made up. They are not listed.
    pub elsewhere: BTreeSet<IpAddr>,
    /// The addresses the question went out from.
    pub from: Vec<Ipv4Addr>,
}

/// The machine's own addresses on networks where cameras may be: interfaces that are up and know multicast.
///
/// # Errors
/// What the system said.
pub fn interfaces() -> io::Result<Vec<Ipv4Addr>> {
    let usable = |flags: InterfaceFlags| {
        flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_MULTICAST)
            && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
    };
    let all = getifaddrs().map_err(io::Error::from)?.filter(|its| usable(its.flags));
    let mut found: Vec<Ipv4Addr> = all.filter_map(|its| Some(its.address?.as_sockaddr_in()?.ip())).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Networks of this machine, each as an address of ours and a mask.
fn networks() -> io::Result<Vec<(Ipv4Addr, Ipv4Addr)>> {
    let all = getifaddrs().map_err(io::Error::from)?;
    Ok(all.filter_map(|its| Some((its.address?.as_sockaddr_in()?.ip(), its.netmask?.as_sockaddr_in()?.ip()))).collect())
}

/// Asks from each address of `from` and listens for `span`.
///
/// # Errors
/// When from none of them a question can be sent, the last reason.
pub fn search(from: &[Ipv4Addr], span: Duration) -> io::Result<Search> {
    let (mut sockets, networks) = (Vec::new(), networks()?);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no network interface is up");
    for address in from {
        match ask(*address) {
            Ok((socket, id)) => sockets.push((*address, socket, id)),
            Err(error) => last = error,
        }
    }
    if sockets.is_empty() {
        return Err(last);
    }
    let from = sockets.iter().map(|(address, ..)| *address).collect();
    let listen = |socket, id| listen(socket, id, &networks, span);
    let each: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = sockets.iter().map(|(_, socket, id)| scope.spawn(|| listen(socket, id))).collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut all = Heard::default();
    for mut heard in each {
        all.unreadable += heard.unreadable;
        all.left_out += heard.left_out;
        all.elsewhere.append(&mut heard.elsewhere);
        heard.devices.into_iter().for_each(|((address, _), about)| all.take(address, about));
    }
    let found = all.devices.into_iter().map(|((address, _), about)| Found { address, about }).collect();
    Ok(Search { found, unreadable: all.unreadable, left_out: all.left_out, elsewhere: all.elsewhere, from })
}

/// Sends the question; its id comes with the socket. A socket that is bound to an address sends multicast by the interface of
/// that address.
fn ask(from: Ipv4Addr) -> io::Result<(UdpSocket, String)> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    // One hop: cameras of this network, not of the next.
    socket.set_multicast_ttl_v4(1)?;
    let (question, id) = probe::question();
    for _ in 0..PROBES {
        socket.send_to(question.as_bytes(), GROUP)?;
    }
    Ok((socket, id))
}

/// What came to one socket, bounded.
#[derive(Debug, Default)]
struct Heard {
    devices: BTreeMap<(IpAddr, String), Match>,
    unreadable: usize,
    left_out: usize,
    elsewhere: BTreeSet<IpAddr>,
}

impl Heard {
    fn hear(&mut self, sender: IpAddr, datagram: &[u8], id: &str, networks: &[(Ipv4Addr, Ipv4Addr)]) {
        match probe::matches(datagram, id) {
            None => self.unreadable += 1,
            Some(matches) if is_near(sender, networks) => {
                matches.into_iter().for_each(|about| self.take(sender, about));
            }
            Some(_) if self.elsewhere.len() < ELSEWHERE_MAX => {
                self.elsewhere.insert(sender);
            }
            Some(_) => self.left_out += 1,
        }
    }

    fn take(&mut self, sender: IpAddr, about: Match) {
        let key = (sender, about.endpoint.clone());
        if self.devices.contains_key(&key) {
            return;
        }
        let of_sender = self.devices.keys().filter(|(its, _)| *its == sender).count();
        if of_sender < DEVICES_OF_ONE_MAX && self.devices.len() < DEVICES_MAX {
            self.devices.insert(key, about);
        } else {
            self.left_out += 1;
        }
    }
}

/// Whether a sender is on one of these networks: the sender of a datagram can be made up, and who is asked next with a digest
/// of the password is not to be anybody in the world.
fn is_near(sender: IpAddr, networks: &[(Ipv4Addr, Ipv4Addr)]) -> bool {
    let IpAddr::V4(sender) = sender else { return false };
    networks.iter().any(|(own, mask)| own.to_bits() & mask.to_bits() == sender.to_bits() & mask.to_bits())
}

fn listen(socket: &UdpSocket, id: &str, networks: &[(Ipv4Addr, Ipv4Addr)], span: Duration) -> Heard {
    let clock = SystemClock::start();
    let begun = clock.now().mono;
    let (mut heard, mut answers, mut senders) = (Heard::default(), 0, BTreeMap::new());
    let mut datagram = vec![0_u8; DATAGRAM_BYTES_MAX];
    while clock.now().mono.since(begun) < span && answers < ANSWERS_MAX {
        let Ok((length, sender)) = socket.recv_from(&mut datagram) else { continue };
        let of_sender = senders.entry(sender.ip()).or_insert(0);
        if *of_sender >= ANSWERS_OF_ONE_MAX {
            heard.left_out += 1;
            continue;
        }
        *of_sender += 1;
        answers += 1;
        heard.hear(sender.ip(), &datagram[..length], id, networks);
    }
    heard
}

/// An address from the network as it is, or nothing where it is too long or holds what no address does: cut or cleaned it would
/// be another one.
fn fit(address: &str) -> Option<&str> {
    (address.len() <= ADDRESS_BYTES_MAX && address.bytes().all(|byte| byte.is_ascii_graphic())).then_some(address)
}

/// Words from the network, fit for a terminal: no control characters, none that turn the direction of writing, 120 at the
/// most.
#[must_use]
pub fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let flat = text.chars().filter(|c| !turns(*c)).map(|c| if c.is_control() { ' ' } else { c });
    flat.take(120).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_from_the_network_cannot_move_the_cursor_or_turn_the_line() {
        assert_eq!(harmless("a\x1b[2J\r\nb\u{202e}c"), "a [2J bc");
        assert_eq!(harmless(&"x".repeat(5000)).len(), 120);
        assert_eq!(harmless("\u{7384}\u{95a2}"), "\u{7384}\u{95a2}", "names in Japanese stay");
    }

    #[test]
    fn one_sender_names_a_few_devices_and_what_is_left_out_is_counted() {
        let networks = [(Ipv4Addr::new(192, 0, 2, 5), Ipv4Addr::new(255, 255, 255, 0))];
        let (id, mut heard) = ("uuid:1", Heard::default());
        let answer = |from: usize, count: usize| {
            let one = |nth: usize| {
                format!(
                    "<d:ProbeMatch><w:EndpointReference><w:Address>{}</w:Address></w:EndpointReference></d:ProbeMatch>",
                    from + nth
                )
            };
            format!(
                "<e xmlns:w=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
                 xmlns:d=\"http://schemas.xmlsoap.org/ws/2005/04/discovery\"><w:RelatesTo>{id}</w:RelatesTo>{}</e>",
                (0..count).map(one).collect::<String>()
            )
        };
        let liar = IpAddr::from([192, 0, 2, 66]);
        for from in (0..256).step_by(32) {
            heard.hear(liar, answer(from, 32).as_bytes(), id, &networks);
        }
        assert_eq!((heard.devices.len(), heard.left_out), (DEVICES_OF_ONE_MAX, 256 - DEVICES_OF_ONE_MAX));
        let camera = IpAddr::from([192, 0, 2, 7]);
        heard.hear(camera, answer(1, 1).as_bytes(), id, &networks);
        heard.hear(camera, answer(1, 1).as_bytes(), id, &networks);
        assert_eq!(heard.devices.len(), DEVICES_OF_ONE_MAX + 1, "the honest are heard, once");
        let far = IpAddr::from([198, 51, 100, 1]);
        heard.hear(far, answer(1, 1).as_bytes(), id, &networks);
        assert_eq!((heard.devices.len(), heard.elsewhere.contains(&far)), (DEVICES_OF_ONE_MAX + 1, true));
        assert!(!is_near(IpAddr::from([192, 0, 3, 7]), &networks) && !is_near(IpAddr::from([0; 16]), &networks));
    }
}
