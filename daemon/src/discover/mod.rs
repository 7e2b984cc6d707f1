//! Cameras on the local network: asks by WS-Discovery (ONVIF Core, 7.3) and collects the answers. Only a person's command does
//! this; the daemon itself never searches.
//!
//! ```text
//! each interface: Probe -> 239.255.255.250:3702 (multicast)     <- ProbeMatches from whoever is there -> Found
//! Found + user and password -> ONVIF Media over HTTP -> addresses of its streams        (media)
//! an address without a path -> the paths of makers, one DESCRIBE each                   (paths)
//! ```
//!
//! Whoever is on the network may answer, with anything: answers are bounded in size and number, parsed without DTD or
//! entities, and their words are stripped of what a terminal would obey.

pub mod media;
pub mod paths;
mod probe;

use crate::clock::SystemClock;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use sekisho_logic::time::Clock as _;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

pub use probe::Match;

/// Where devices listen (WS-Discovery, 2.4).
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 3702);
/// A datagram carries no more.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Answers that are read at the most; a shop floor has dozens of cameras, a liar has millions.
const ANSWERS_MAX: usize = 2_000;
/// Devices that are listed at the most.
const DEVICES_MAX: usize = 256;
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
    /// Answers that were no answers: truncated, not XML, something else.
    pub unreadable: usize,
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

/// Asks from each address of `from` and listens for `span`.
///
/// # Errors
/// When from none of them a question can be sent, the last reason.
pub fn search(from: &[Ipv4Addr], span: Duration) -> io::Result<Search> {
    let mut sockets = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no network interface is up");
    for address in from {
        match ask(*address) {
            Ok(socket) => sockets.push((*address, socket)),
            Err(error) => last = error,
        }
    }
    if sockets.is_empty() {
        return Err(last);
    }
    let from = sockets.iter().map(|(address, _)| *address).collect();
    let heard: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = sockets.iter().map(|(_, socket)| scope.spawn(|| listen(socket, span))).collect();
        all.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    let mut search = Search { from, ..Search::default() };
    let mut devices = BTreeMap::new();
    for (found, unreadable) in heard {
        search.unreadable += unreadable;
        for one in found {
            if devices.len() < DEVICES_MAX || devices.contains_key(&(one.address, one.about.endpoint.clone())) {
                devices.insert((one.address, one.about.endpoint.clone()), one);
            }
        }
    }
    search.found = devices.into_values().collect();
    Ok(search)
}

/// Sends the question. A socket that is bound to an address sends multicast by the interface of that address.
fn ask(from: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_read_timeout(Some(LOOK))?;
    // One hop: cameras of this network, not of the next.
    socket.set_multicast_ttl_v4(1)?;
    let question = probe::question();
    for _ in 0..PROBES {
        socket.send_to(question.as_bytes(), GROUP)?;
    }
    Ok(socket)
}

fn listen(socket: &UdpSocket, span: Duration) -> (Vec<Found>, usize) {
    let clock = SystemClock::start();
    let begun = clock.now().mono;
    let (mut found, mut unreadable, mut answers) = (Vec::new(), 0, 0);
    let mut datagram = vec![0_u8; DATAGRAM_BYTES_MAX];
    while clock.now().mono.since(begun) < span && answers < ANSWERS_MAX {
        let Ok((length, sender)) = socket.recv_from(&mut datagram) else { continue };
        answers += 1;
        match probe::matches(&datagram[..length]) {
            Some(matches) if found.len() < DEVICES_MAX * PROBES => {
                let address = SocketAddr::ip(&sender);
                found.extend(matches.into_iter().map(|about| Found { address, about }));
            }
            Some(_) => {}
            None => unreadable += 1,
        }
    }
    (found, unreadable)
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
}
