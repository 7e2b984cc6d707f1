//! `[review]`: where the review page is served, and to how many.

use super::credentials;
use super::problem::Findings;
use super::reader::{ABSOLUTE_PATH, Reader, absolute_path};
use super::settings::Settings;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Serving the review page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewSettings {
    /// Whether it is served at all.
    pub enabled: bool,
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether connections are encrypted. Never [`Tls::Off`] beyond this machine.
    pub tls: Tls,
    /// The certificate with its chain, PEM; none: one of our own making.
    pub certificate: Option<PathBuf>,
    /// Credential that holds the certificate's key; used when there is no key file.
    pub key_credential: String,
    /// The certificate's key, PEM.
    pub key_file: Option<PathBuf>,
    /// Host names under which browsers reach the page, beside addresses and `localhost`.
    pub names: Vec<String>,
    /// Whoever does nothing for this long is logged out.
    pub session_idle: Duration,
    /// Whoever logged in this long ago is logged out.
    pub session_max: Duration,
    /// Connections at a time.
    pub clients_max: usize,
    /// Connections at a time from one address.
    pub clients_per_address_max: usize,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Where they leave the machine, or a certificate is given.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl ReviewSettings {
    /// Whether connections are encrypted.
    #[must_use]
    pub const fn encrypted(&self) -> bool {
        match self.tls {
            Tls::On => true,
            Tls::Off => false,
            Tls::Auto => self.certificate.is_some() || !self.listen.ip().is_loopback(),
        }
    }
}

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7788);

pub(super) fn review(reader: &mut Reader<'_, '_>) -> ReviewSettings {
    let listen = "allowed is an address with a port, as \"127.0.0.1:7788\" or \"[::1]:7788\"; names are not looked up";
    let file = |text: &str| if text.is_empty() { Ok(None) } else { absolute_path(text).map(Some) };
    let files = format!("{ABSOLUTE_PATH}, or \"\" for none");
    let credential = reader.checked("key-credential", Some("review-key"), credentials::NAMES, credentials::name);
    let names = "allowed are host names in square brackets, in lower case and without port, as [\"guard.example\"]";
    // More connections than this need more descriptors and memory than the unit gives.
    let clients = (4, 1024);
    let at_most = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    ReviewSettings {
        enabled: reader.flag("enabled", true),
        listen: reader
            .checked("listen", Some("127.0.0.1:7788"), listen, |text| {
                text.parse().map_err(|_| "is not an address with a port".to_owned())
            })
            .unwrap_or(LISTEN),
        tls: reader.choice("tls", &[("auto", Tls::Auto), ("on", Tls::On), ("off", Tls::Off)], Tls::Auto),
        certificate: reader.checked("certificate", Some(""), &files, file).flatten(),
        key_credential: credential.unwrap_or_else(|| "review-key".to_owned()),
        key_file: reader.checked("key-file", Some(""), &files, file).flatten(),
        names: reader.words("names", &[], names, host_name),
        // A guard's page must not stay open for whoever walks by, nor close every few minutes.
        session_idle: Duration::from_secs(60 * reader.number::<u64>("session-idle-min", (1, 720), 30)),
        session_max: Duration::from_secs(3600 * reader.number::<u64>("session-max-h", (1, 168), 12)),
        clients_max: at_most(reader.number("clients-max", clients, 128)),
        clients_per_address_max: at_most(reader.number("clients-per-address-max", clients, 32)),
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let label = |part: &str| (1..=63).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('-');
    // An address in this list would have no effect: addresses are taken when they are this machine's.
    if text.len() <= 253 && text.split('.').all(label) && text.parse::<std::net::IpAddr>().is_err() {
        return Ok(text.to_owned());
    }
    Err("holds something that is no host name".to_owned())
}

/// What cannot be meant together.
pub(super) fn contradictions(settings: &Settings, findings: &mut Findings) {
    let review = &settings.review;
    if review.tls == Tls::Off && !review.listen.ip().is_loopback() {
        findings.contradiction(
            &[("review", "listen"), ("review", "tls")],
            format!(
                "tls = \"off\" with listen = \"{}\" would send passwords and faces readably over the network",
                review.listen
            ),
            "leave tls out (a certificate is made where none is given), or listen on 127.0.0.1".to_owned(),
        );
    }
    if review.tls == Tls::Off && review.certificate.is_some() {
        findings.contradiction(
            &[("review", "certificate"), ("review", "tls")],
            "with tls = \"off\" the certificate has no effect".to_owned(),
            "leave one of the two out".to_owned(),
        );
    }
    if review.key_file.is_some() && review.certificate.is_none() {
        findings.contradiction(
            &[("review", "key-file"), ("review", "certificate")],
            "a key without its certificate has no effect".to_owned(),
            "name the certificate too, or leave both out".to_owned(),
        );
    }
    if review.session_idle > review.session_max {
        findings.contradiction(
            &[("review", "session-idle-min"), ("review", "session-max-h")],
            format!(
                "session-idle-min {} is longer than session-max-h {}, so it has no effect",
                review.session_idle.as_secs() / 60,
                review.session_max.as_secs() / 3600
            ),
            "session-idle-min must be the shorter".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    fn said(text: &str) -> String {
        parse(Path::new("s.toml"), text).err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    fn good(text: &str) -> ReviewSettings {
        parse(Path::new("s.toml"), text).unwrap_or_else(|problems| panic!("{problems}")).review
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        assert!(!good("").encrypted());
        assert!(!good("[review]\nlisten = \"[::1]:80\"\ntls = \"off\"\n").encrypted());
        for listen in ["0.0.0.0:7788", "192.168.1.5:443", "[::]:7788"] {
            assert!(good(&format!("[review]\nlisten = \"{listen}\"\n")).encrypted(), "{listen}");
            let refused = said(&format!("[review]\nlisten = \"{listen}\"\ntls = \"off\"\n"));
            assert!(refused.contains("readably over the network"), "{refused}");
        }
        assert!(good("[review]\ncertificate = \"/etc/c.pem\"\nkey-file = \"/etc/k.pem\"\n").encrypted());
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        for (text, wanted) in [
            ("listen = \"localhost:7788\"", "is not an address with a port"),
            ("key-file = \"/etc/k.pem\"", "a key without its certificate"),
            ("certificate = \"/etc/c.pem\"\ntls = \"off\"", "the certificate has no effect"),
            ("session-idle-min = 120\nsession-max-h = 1", "must be the shorter"),
            ("names = [\"Guard.example\"]", "no host name"),
            ("names = [\"10.0.0.1\"]", "no host name"),
            ("certificate = \"c.pem\"", "not an absolute path"),
            ("clients-max = 0", "out of range"),
        ] {
            let found = said(&format!("[review]\n{text}\n"));
            assert!(found.contains(wanted) && found.lines().count() == 1, "{text}: {found}");
        }
    }
}
