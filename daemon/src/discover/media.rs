//! Asks a camera for the addresses of its streams (ONVIF Media, `GetProfiles` and `GetStreamUri`), with a user and a password.
//!
//! The password travels as a digest (WS-UsernameToken), and only to the machine that answered the search: where a camera says
//! that its services are on another machine, it is not believed.

use super::harmless;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use roxmltree::{Document, ParsingOptions};
use sekisho_camera::describe::base64;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take to begin, and each piece of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Profiles of a camera with many are some 50 kB.
const ANSWER_BYTES_MAX: u64 = 512 * 1024;
/// Elements of an answer.
const NODES_MAX: u32 = 50_000;
/// Profiles that are asked for their address; cameras have two or three.
const PROFILES_MAX: usize = 4;

/// A stream a camera offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The camera's name for it.
    pub profile: String,
    /// Pixels, where it says so.
    pub size: Option<(u32, u32)>,
    /// Its RTSP address.
    pub url: String,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Who<'w> {
    /// The user.
    pub user: &'w str,
    /// The password.
    pub password: &'w str,
}

/// The streams of the camera at `peer` whose device service is `service`.
///
/// # Errors
/// One sentence.
pub fn streams(peer: IpAddr, service: &str, who: Who<'_>) -> Result<Vec<Stream>, String> {
    let clock = "<GetSystemDateAndTime xmlns=\"http://www.onvif.org/ver10/device/wsdl\"/>";
    // The token must bear the camera's own time, or a camera without a clock refuses it. Everybody may ask for it.
    let created = call(peer, service, clock, None).ok().and_then(|text| camera_time(&text));
    let created = created.unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned());
    let ask = |at: &str, body: &str| call(peer, at, body, Some((who, created.as_str())));
    let capabilities = "<GetCapabilities xmlns=\"http://www.onvif.org/ver10/device/wsdl\"><Category>Media</Category></GetCapabilities>";
    let text = ask(service, capabilities)?;
    let media = first(&text, "Media", "XAddr").unwrap_or_else(|| service.to_owned());
    let profiles = profiles(&ask(&media, "<GetProfiles xmlns=\"http://www.onvif.org/ver10/media/wsdl\"/>")?)?;
    let mut found = Vec::new();
    for (token, size) in profiles.into_iter().take(PROFILES_MAX) {
        let body = format!(
            "<GetStreamUri xmlns=\"http://www.onvif.org/ver10/media/wsdl\"><StreamSetup>\
             <Stream xmlns=\"http://www.onvif.org/ver10/schema\">RTP-Unicast</Stream>\
             <Transport xmlns=\"http://www.onvif.org/ver10/schema\"><Protocol>RTSP</Protocol></Transport></StreamSetup>\
             <ProfileToken>{}</ProfileToken></GetStreamUri>",
            escaped(&token)
        );
        if let Some(url) = first(&ask(&media, &body)?, "MediaUri", "Uri").filter(|url| url.starts_with("rtsp")) {
            // Some cameras write the password into the address; it does not go further.
            let url = match url.split_once("://").map(|(scheme, rest)| (scheme, rest.split_once('@'))) {
                Some((scheme, Some((_, rest)))) => format!("{scheme}://{rest}"),
                _ => url,
            };
            found.push(Stream { profile: harmless(&token), size, url: harmless(&url) });
        }
    }
    if found.is_empty() { Err("the camera names no stream".to_owned()) } else { Ok(found) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn parsed(text: &str) -> Result<Document<'_>, String> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|_| "the camera's answer is not XML".to_owned())
}

/// The text of the first `inner` inside an `outer`, whatever their namespaces: makers take liberties with those.
fn first(text: &str, outer: &str, inner: &str) -> Option<String> {
    let document = parsed(text).ok()?;
    let place = document.descendants().find(|node| node.tag_name().name() == outer)?;
    let found = place.descendants().find(|node| node.tag_name().name() == inner)?;
    found.text().map(|text| text.trim().to_owned())
}

/// The camera's UTC time as the token wants it.
fn camera_time(text: &str) -> Option<String> {
    let part = |inner: &str| first(text, "UTCDateTime", inner)?.parse::<u16>().ok();
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        part("Year")?,
        part("Month")?,
        part("Day")?,
        part("Hour")?,
        part("Minute")?,
        part("Second")?
    ))
}

/// A profile's token, and the size of its video in pixels where it says so.
type Profile = (String, Option<(u32, u32)>);

/// Tokens of the profiles, with the size of their video.
fn profiles(text: &str) -> Result<Vec<Profile>, String> {
    let document = parsed(text)?;
    let each = document.descendants().filter(|node| node.tag_name().name() == "Profiles").filter_map(|profile| {
        let token = profile.attribute("token").filter(|token| token.len() <= 64)?.to_owned();
        let encoder = profile.descendants().find(|node| node.tag_name().name() == "VideoEncoderConfiguration")?;
        let number = |name: &str| {
            let found = encoder.descendants().find(|node| node.tag_name().name() == name)?;
            found.text()?.trim().parse().ok()
        };
        Some((token, number("Width").zip(number("Height"))))
    });
    Ok(each.collect())
}

/// One question and its answer's body.
fn call(peer: IpAddr, service: &str, body: &str, who: Option<(Who<'_>, &str)>) -> Result<String, String> {
    let rest =
        service.strip_prefix("http://").ok_or_else(|| format!("{} is not asked: it is not http", harmless(service)))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => {
            (host, port.parse().map_err(|_| "its port is no number".to_owned())?)
        }
        _ => (authority, 80_u16),
    };
    if host.trim_matches(['[', ']']).parse::<IpAddr>() != Ok(peer) {
        return Err(format!("{} is not asked: it is another machine than {peer}, which answered", harmless(authority)));
    }
    let envelope = envelope(body, who)?;
    let no = |error: std::io::Error| format!("{peer}: {error}");
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(peer, port), PATIENCE).map_err(no)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(no)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(no)?;
    // HTTP/1.0: the answer ends with the connection and comes in one piece.
    let request = format!(
        "POST /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/soap+xml; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{envelope}",
        envelope.len()
    );
    if path.contains(['\r', '\n', ' ']) {
        return Err("its address cannot be asked for".to_owned());
    }
    stream.write_all(request.as_bytes()).map_err(no)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).map_err(no)?;
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("what answers does not speak HTTP")?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401") => Err("the camera refused the user and password (its ONVIF user may be another one)".to_owned()),
        _ if body.contains("NotAuthorized") => {
            Err("the camera refused the user and password (its ONVIF user may be another one)".to_owned())
        }
        Some(code) => Err(format!("the camera answers {}", harmless(code))),
        None => Err("what answers does not speak HTTP".to_owned()),
    }
}

/// WS-Security, UsernameToken Profile 1.0: `Base64(SHA-1(nonce + created + password))`.
fn envelope(body: &str, who: Option<(Who<'_>, &str)>) -> Result<String, String> {
    let mut header = String::new();
    if let Some((who, created)) = who {
        let mut nonce = [0_u8; 16];
        getrandom::fill(&mut nonce).map_err(|error| format!("no randomness: {error}"))?;
        let digest = token(&nonce, created, who.password);
        let name = escaped(who.user);
        let space = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss";
        let written = write!(
            header,
            "<s:Header><Security s:mustUnderstand=\"1\" xmlns=\"{space}-wssecurity-secext-1.0.xsd\"><UsernameToken>\
             <Username>{name}</Username><Password Type=\"{space}-username-token-profile-1.0#PasswordDigest\">{digest}</Password>\
             <Nonce EncodingType=\"{space}-soap-message-security-1.0#Base64Binary\">{}</Nonce>\
             <Created xmlns=\"{space}-wssecurity-utility-1.0.xsd\">{created}</Created></UsernameToken></Security></s:Header>",
            base64(&nonce),
        );
        written.map_err(|error| error.to_string())?;
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">{header}\
         <s:Body>{body}</s:Body></s:Envelope>"
    ))
}

fn token(nonce: &[u8], created: &str, password: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, created.as_bytes(), password.as_bytes()].concat()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_one_of_the_onvif_programmers_guide() {
        // ONVIF Application Programmer's Guide 1.0, 6.1.1: nonce LKqI6G/AikKCQrN0zqZFlg== and what comes of it.
        let nonce = [44, 170, 136, 232, 111, 192, 138, 66, 130, 66, 179, 116, 206, 166, 69, 150];
        let made = token(&nonce, "2010-09-16T07:50:45Z", "userpassword");
        assert_eq!(
            (base64(&nonce).as_str(), made.as_str()),
            ("LKqI6G/AikKCQrN0zqZFlg==", "tuOSpGlFlIXsozq4HFNeeGeFLEI=")
        );
        assert_ne!(made, token(&nonce, "2010-09-16T07:50:46Z", "userpassword"));
    }

    #[test]
    fn nobody_but_the_machine_that_answered_is_asked() {
        let who = Who { user: "ann", password: "secret-word" };
        let peer = IpAddr::from([192, 0, 2, 1]);
        for service in
            ["http://192.0.2.2/onvif", "http://evil.example/onvif", "https://192.0.2.1/onvif", "http://192.0.2.1:x/"]
        {
            let error = streams(peer, service, who).expect_err("refused");
            assert!(!error.contains("secret-word"), "{error}");
        }
    }

    #[test]
    fn profiles_and_times_are_read_whatever_the_prefix() {
        let text = "<a:E xmlns:a=\"x\"><a:Profiles token=\"p1\"><b:VideoEncoderConfiguration xmlns:b=\"y\"><b:Width>640</b:Width>\
                    <b:Height>360</b:Height></b:VideoEncoderConfiguration></a:Profiles><a:Profiles token=\"p2\"/></a:E>";
        assert_eq!(profiles(text), Ok(vec![("p1".to_owned(), Some((640, 360)))]));
        let time = "<t:UTCDateTime xmlns:t=\"z\"><t:Time><t:Hour>7</t:Hour><t:Minute>8</t:Minute><t:Second>9</t:Second></t:Time>\
                    <t:Date><t:Year>2026</t:Year><t:Month>1</t:Month><t:Day>2</t:Day></t:Date></t:UTCDateTime>";
        assert_eq!(camera_time(time).as_deref(), Some("2026-01-02T07:08:09Z"));
        assert!(profiles("no XML").is_err());
    }
}
