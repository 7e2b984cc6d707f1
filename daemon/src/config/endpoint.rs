//! Where a sink on the network is: a short, strict reading of URLs. What was refused may be a password written in the wrong
//! place, so no message quotes it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// One scheme that is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// As written before `://`.
    pub word: &'static str,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Port where none is written.
    pub port: u16,
    /// Whether a path may follow.
    pub path: bool,
}

/// Schemes of a webhook.
pub const HTTP: [Scheme; 2] = [
    Scheme { word: "https", tls: true, port: 443, path: true },
    Scheme { word: "http", tls: false, port: 80, path: true },
];

/// Schemes of a broker.
pub const MQTT: [Scheme; 2] = [
    Scheme { word: "mqtts", tls: true, port: 8883, path: false },
    Scheme { word: "mqtt", tls: false, port: 1883, path: false },
];

/// An address on the network.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    target: String,
}

/// Longest address taken; what is longer is no address.
const BYTES_MAX: usize = 2048;

impl Endpoint {
    /// Reads `SCHEME://HOST[:PORT][/PATH]`. Names are ASCII; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// What is wrong, without the text itself.
    pub fn parse(text: &str, schemes: &[Scheme]) -> Result<Self, String> {
        if text.len() > BYTES_MAX || text.chars().any(|c| !c.is_ascii_graphic()) {
            return Err("is too long, or holds blanks or letters outside ASCII".to_owned());
        }
        let (word, rest) =
            text.split_once("://").ok_or_else(|| format!("has no scheme such as {}://", schemes[0].word))?;
        let scheme = schemes.iter().find(|scheme| scheme.word.eq_ignore_ascii_case(word));
        let scheme = *scheme.ok_or_else(|| "has a scheme that this kind of sink does not speak".to_owned())?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("holds a user or a password (not shown here)".to_owned());
        }
        if target.contains('#') {
            return Err("holds a '#', which no server is ever sent".to_owned());
        }
        if !scheme.path && !matches!(target, "" | "/") {
            return Err("goes on after the host".to_owned());
        }
        let (host, port) = host_and_port(authority)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        if target.parse::<hyper::http::uri::PathAndQuery>().is_err() {
            return Err("has a path that cannot be sent (not shown here)".to_owned());
        }
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port), target })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.scheme.tls
    }

    /// Name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query. May hold a secret, as the addresses of many receivers do: not for messages.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Host and port as a `Host` header has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.port { host } else { format!("{host}:{}", self.port) }
    }

    /// Whether it is this machine, so that nothing sent there leaves it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Without path and query, which may hold a secret.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.word, self.authority())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self}, path not shown)")
    }
}

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((inside, after))) => {
            let address: Ipv6Addr =
                inside.parse().map_err(|_| "has no IPv6 address between its brackets".to_owned())?;
            (address.to_string(), after.strip_prefix(':').or_else(|| after.is_empty().then_some("none")))
        }
        Some(None) => return Err("has a '[' without a ']'".to_owned()),
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, "none"), |(host, port)| (host, port));
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
                return Err("has no host, or one that is no name and no address".to_owned());
            }
            (host.to_ascii_lowercase(), Some(port))
        }
    };
    let wrong = || "has a port that is no number from 1 to 65535".to_owned();
    match port {
        Some("none") => Ok((host, None)),
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
            _ => Err(wrong()),
        },
        None => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endpoint, String> {
        Endpoint::parse(text, &HTTP)
    }

    #[test]
    fn parts_are_what_was_written() {
        let desk = read("https://Desk.example/hooks/a?b=c").expect("good");
        assert_eq!((desk.tls(), desk.host(), desk.port()), (true, "desk.example", 443));
        assert_eq!((desk.target(), desk.authority().as_str()), ("/hooks/a?b=c", "desk.example"));
        let plain = read("http://10.0.0.7:8080").expect("good");
        assert_eq!((plain.tls(), plain.port(), plain.target()), (false, 8080, "/"));
        assert_eq!(plain.authority(), "10.0.0.7:8080");
        let six = read("http://[fd00::1]:81?x").expect("good");
        assert_eq!((six.host(), six.authority().as_str(), six.target()), ("fd00::1", "[fd00::1]:81", "/?x"));
        assert!(read("http://[::1]/").expect("good").is_loopback() && !six.is_loopback());
        let broker = Endpoint::parse("mqtts://broker", &MQTT).expect("good");
        assert_eq!((broker.port(), broker.to_string().as_str()), (8883, "mqtts://broker"));
    }

    #[test]
    fn neither_a_message_nor_a_view_repeats_what_may_be_secret() {
        let shown = read("https://desk/hooks/canary").expect("good");
        assert!(!format!("{shown} {shown:?}").contains("canary"));
        for text in [
            "https://ann:canary@desk/",
            "https://canary@desk/",
            "canary",
            "canary://desk/",
            "https://desk:canary/",
            "https://desk/x#canary",
            "https://can ary/",
            "https://desk/<canary>",
            "https://[canary]/",
            "https://[canary/",
            "https:///canary",
            "https://desk:0/canary",
            "https://desk:99999/canary",
            "https://desk:+80/canary",
            "https://[::1]canary/",
        ] {
            let wrong = read(text).expect_err(text);
            assert!(!wrong.contains("canary"), "{text}: {wrong}");
        }
        assert!(Endpoint::parse("mqtt://broker/canary", &MQTT).is_err());
        assert!(read(&format!("http://x/{}", "x".repeat(BYTES_MAX))).is_err());
    }
}
