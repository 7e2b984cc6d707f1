//! Whether a request was meant for this page and comes from it.
//!
//! A page elsewhere can make a browser send requests here: to a name of its own that it lets point to our address (DNS
//! rebinding), or to our address across sites. The first is recognised by the name in `Host`, the second by `Origin` and
//! `Sec-Fetch-Site`, which no page can set.

use axum::http::{HeaderMap, Uri, header};
use std::net::IpAddr;

/// Whether `host` (as in the header `Host`) is this machine: an address of it, a configured name, or `localhost` on
/// loopback. The port does not matter: tunnels change it.
#[must_use]
pub fn is_ours(host: &str, local: IpAddr, names: &[String]) -> bool {
    let Some(name) = without_port(host) else { return false };
    let (name, local) = (name.to_ascii_lowercase(), local.to_canonical());
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&name);
    match address.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            address == local || (local.is_loopback() && address.is_loopback())
        }
        Err(_) => names.contains(&name) || (local.is_loopback() && name == "localhost"),
    }
}

fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(_) => host.split_at(host.find(']')? + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    (port.is_empty() || digits).then_some(name)
}

/// The one host a request names; `None` when it names none, several, or one in the address line and another in the header.
#[must_use]
pub fn host_of<'r>(headers: &'r HeaderMap, uri: &'r Uri) -> Option<&'r str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?.to_str().ok()?;
    let same = uri.authority().is_none_or(|named| named.as_str() == host);
    (hosts.next().is_none() && same).then_some(host)
}

/// What a request says about where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The browser says: from this page.
    Same,
    /// Nothing; an old browser, or no browser.
    Silent,
    /// From elsewhere, or contradictory.
    Foreign,
}

/// Where a request comes from, by what only browsers set.
#[must_use]
pub fn source_of(headers: &HeaderMap, host: &str, encrypted: bool) -> Source {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let (origin, site) = (text("origin"), text("sec-fetch-site"));
    let own = format!("{}://{host}", if encrypted { "https" } else { "http" });
    match (origin, site) {
        (None, None) => Source::Silent,
        (origin, site)
            if origin.is_none_or(|origin| origin.eq_ignore_ascii_case(&own))
                && site.is_none_or(|site| site == "same-origin") =>
        {
            Source::Same
        }
        _ => Source::Foreign,
    }
}

/// Whether a request is somebody opening the page itself, from a bookmark or a link elsewhere.
#[must_use]
pub fn opens_the_page(headers: &HeaderMap) -> bool {
    let is = |name: &str, wanted: &str| headers.get(name).is_none_or(|value| value == wanted);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn only_this_machine_is_ours() {
        let names = ["guard.example".to_owned()];
        let ours = |host: &str, local: &str| is_ours(host, local.parse().expect("an address"), &names);
        for (host, local) in [
            ("127.0.0.1:7788", "127.0.0.1"),
            ("localhost:9000", "127.0.0.1"),
            ("LOCALHOST", "::1"),
            ("[::1]:7788", "127.0.0.1"),
            ("guard.example:7788", "10.0.0.5"),
            ("10.0.0.5", "10.0.0.5"),
            ("10.0.0.5", "::ffff:10.0.0.5"),
            ("[2001:db8::5]:7788", "2001:db8::5"),
        ] {
            assert!(ours(host, local), "{host} at {local}");
        }
        for (host, local) in [
            ("evil.example", "127.0.0.1"),
            ("evil.example:7788", "10.0.0.5"),
            ("localhost.evil.example", "127.0.0.1"),
            ("127.0.0.1.evil.example", "127.0.0.1"),
            ("localhost", "10.0.0.5"),
            ("127.0.0.1", "10.0.0.5"),
            ("10.0.0.6", "10.0.0.5"),
            ("guard.example.", "10.0.0.5"),
            ("127.0.0.1:7788@evil.example", "127.0.0.1"),
            ("127.0.0.1:", "127.0.0.1"),
            ("[::1", "::1"),
            ("", "127.0.0.1"),
        ] {
            assert!(!ours(host, local), "{host} at {local}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let relative = Uri::from_static("/api");
        assert_eq!(host_of(&headers(&[("host", "a")]), &relative), Some("a"));
        assert_eq!(host_of(&headers(&[]), &relative), None);
        assert_eq!(host_of(&headers(&[("host", "a"), ("host", "a")]), &relative), None);
        let absolute = Uri::from_static("http://b/api");
        assert_eq!(host_of(&headers(&[("host", "a")]), &absolute), None);
        assert_eq!(host_of(&headers(&[("host", "b")]), &absolute), Some("b"));
    }

    #[test]
    fn what_comes_from_elsewhere_is_foreign() {
        let source = |lines: &[(&'static str, &'static str)]| source_of(&headers(lines), "127.0.0.1:7788", false);
        assert_eq!(source(&[]), Source::Silent);
        assert_eq!(source(&[("origin", "http://127.0.0.1:7788")]), Source::Same);
        assert_eq!(source(&[("sec-fetch-site", "same-origin")]), Source::Same);
        for line in [
            ("origin", "https://127.0.0.1:7788"),
            ("origin", "http://127.0.0.1:7789"),
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(source(&[line]), Source::Foreign, "{line:?}");
        }
        let both = [("origin", "http://127.0.0.1:7788"), ("sec-fetch-site", "cross-site")];
        assert_eq!(source(&both), Source::Foreign);
    }
}
