//! Asks a camera for the addresses of its streams (ONVIF Media, `GetProfiles` and `GetStreamUri`), with a user and a password.
//!
//! The password travels as a digest (WS-UsernameToken), and only to the machine that answered the search: where a camera says
//! that its services are on another machine, it is not believed.

use super::post::{Patience, post};
use super::{fit, harmless, xml};
use crate::config::holds_password;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use sekisho_camera::describe::base64;
use sekisho_camera::source::Source;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Elements of an answer.
const NODES_MAX: u32 = 50_000;
/// Profiles that are looked at; some cameras have one for each lens and use.
const PROFILES_READ_MAX: usize = 32;
/// Profiles that are asked for their address; cameras have two or three.
const PROFILES_MAX: usize = 4;

/// A stream a camera offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The camera's name for it.
    pub profile: String,
    /// Pixels, where it says so.
    pub size: Option<(u32, u32)>,
    /// Its RTSP address, on the camera itself.
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

/// What a camera answered about its streams: one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// On the camera itself.
    pub streams: Vec<Stream>,
    /// Why others were left out, a sentence each.
    pub left_out: Vec<String>,
}

/// The streams of the camera at `peer` whose device service is `service`.
///
/// # Errors
/// One sentence.
pub fn streams(peer: IpAddr, service: &str, who: Who<'_>, patience: &Patience) -> Result<Offer, String> {
    let clock = "<GetSystemDateAndTime xmlns=\"http://www.onvif.org/ver10/device/wsdl\"/>";
    // The token must bear the camera's own time, or a camera without a clock refuses it. Everybody may ask for it.
    let created = call(peer, service, clock, None, patience).ok().and_then(|text| camera_time(&text));
    let created = created.unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned());
    let ask = |at: &str, body: &str| call(peer, at, body, Some((who, created.as_str())), patience);
    let capabilities = "<GetCapabilities xmlns=\"http://www.onvif.org/ver10/device/wsdl\"><Category>Media</Category></GetCapabilities>";
    let text = ask(service, capabilities)?;
    let media = first(&text, "Media", "XAddr").unwrap_or_else(|| service.to_owned());
    let profiles = profiles(&ask(&media, "<GetProfiles xmlns=\"http://www.onvif.org/ver10/media/wsdl\"/>")?)?;
    let (mut streams, mut left_out) = (Vec::new(), Vec::new());
    for (token, size) in profiles.into_iter().take(PROFILES_MAX) {
        let body = format!(
            "<GetStreamUri xmlns=\"http://www.onvif.org/ver10/media/wsdl\"><StreamSetup>\
             <Stream xmlns=\"http://www.onvif.org/ver10/schema\">RTP-Unicast</Stream>\
             <Transport xmlns=\"http://www.onvif.org/ver10/schema\"><Protocol>RTSP</Protocol></Transport></StreamSetup>\
             <ProfileToken>{}</ProfileToken></GetStreamUri>",
            escaped(&token)
        );
        let profile = harmless(&token);
        let named = ask(&media, &body).map(|text| first(&text, "MediaUri", "Uri").unwrap_or_default());
        match named.and_then(|url| own(&url, peer)) {
            Ok(url) => streams.push(Stream { profile, size, url }),
            Err(why) => left_out.push(format!("{profile} is left out: {why}")),
        }
    }
    match (streams.is_empty(), left_out.is_empty()) {
        (false, _) => Ok(Offer { streams, left_out }),
        (true, false) => Err(left_out.join("; ")),
        (true, true) => Err("the camera names no stream".to_owned()),
    }
}

/// A stream's address as it may be used: on the camera itself, as the password goes there next, and without user and password,
/// which some cameras write into it. An address that has to be cut or cleaned would be another one.
fn own(url: &str, peer: IpAddr) -> Result<String, String> {
    let odd = || "its address is none that can be used".to_owned();
    let (scheme, rest) = fit(url).and_then(|url| url.split_once("://")).ok_or_else(odd)?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let bare = format!("{scheme}://{place}{}", path.replace('@', "%40"));
    match Source::parse(&bare) {
        Ok(Source::Rtsp { .. }) if holds_password(&bare) => {
            Err("its address holds a password, which the configuration refuses".to_owned())
        }
        Ok(Source::Rtsp { url, .. }) if url.host().parse() == Ok(peer) => Ok(url.as_str().to_owned()),
        Ok(Source::Rtsp { url, .. }) => {
            Err(format!("{} is another machine than {peer}, which answered", harmless(url.host())))
        }
        Ok(Source::Clip { .. }) | Err(_) => Err(odd()),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The text of the first `inner` inside an `outer`, whatever their namespaces: makers take liberties with those.
fn first(text: &str, outer: &str, inner: &str) -> Option<String> {
    let document = xml::parsed(text, NODES_MAX)?;
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
    let document = xml::parsed(text, NODES_MAX).ok_or("the camera's answer is not XML that can be read")?;
    let each = document.descendants().filter(|node| node.tag_name().name() == "Profiles").take(PROFILES_READ_MAX);
    let each = each.filter_map(|profile| {
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
fn call(
    peer: IpAddr,
    service: &str,
    body: &str,
    who: Option<(Who<'_>, &str)>,
    patience: &Patience,
) -> Result<String, String> {
    match post(peer, service, &envelope(body, who)?, patience)? {
        (200, body) => Ok(body),
        (code, body) if code == 401 || body.contains("NotAuthorized") => {
            Err("the camera refused the user and password (its ONVIF user may be another one)".to_owned())
        }
        (code, _) => Err(format!("the camera answers {code}")),
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

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn nobody_but_the_machine_that_answered_is_asked() {
        let who = Who { user: "ann", password: "secret-word" };
        for (service, why) in [
            ("http://192.0.2.2/onvif", "192.0.2.2 is not asked: it is another machine than 192.0.2.1, which answered"),
            (
                "http://evil.example/onvif",
                "evil.example is not asked: it is another machine than 192.0.2.1, which answered",
            ),
            ("https://192.0.2.1/onvif", "https://192.0.2.1/onvif is not asked: it is not http"),
            ("http://192.0.2.1:x/", "its port is no number"),
            ("http://192.0.2.1/a b", "its address cannot be asked for"),
        ] {
            assert_eq!(streams(PEER, service, who, &Patience::default()), Err(why.to_owned()), "{service}");
        }
    }

    #[test]
    fn a_streams_address_is_the_cameras_own_without_a_password_or_none() {
        for (named, taken) in [
            ("rtsp://192.0.2.1/live", "rtsp://192.0.2.1/live"),
            ("rtsp://admin:p@ss@192.0.2.1:554/live", "rtsp://192.0.2.1:554/live"),
            ("rtsp://192.0.2.1/a@b?c=d@e", "rtsp://192.0.2.1/a%40b?c=d%40e"),
        ] {
            assert_eq!(own(named, PEER).as_deref(), Ok(taken), "{named}");
        }
        for foreign in ["rtsp://192.0.2.9/live", "rtsp://ann:192.0.2.1@evil.example/", "rtsp://192.0.2.1@192.0.2.9/"] {
            let why = own(foreign, PEER).expect_err("refused");
            assert!(why.contains("another machine") && !why.contains("ann"), "{foreign}: {why}");
        }
        let long = format!("rtsp://192.0.2.1/{}", "x".repeat(500));
        for odd in
            [&long, "rtsp://192.0.2.1/a\u{1b}[2J", "rtsp://192.0.2.1/\u{202e}x", "http://192.0.2.1/live", "", "live"]
        {
            assert_eq!(own(odd, PEER), Err("its address is none that can be used".to_owned()), "{odd}");
        }
        let inside = own("rtsp://192.0.2.1/user=ann&password=canary", PEER).expect_err("refused");
        assert!(inside.contains("holds a password") && !inside.contains("canary"), "{inside}");
        let slashed = own("rtsp://admin:secret/word@192.0.2.1/live", PEER).expect_err("its host is not clear");
        assert!(!slashed.contains("secret"), "{slashed}");
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
