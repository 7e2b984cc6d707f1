//! Asks a camera what it offers at an address (RTSP `DESCRIBE`) and hangs up again: no stream is set up, and no GStreamer
//! is needed. For the doctor and the guided set-up, which want the camera's own answer to one question.
//!
//! ```text
//! connect -> DESCRIBE -> 401 with a challenge -> DESCRIBE with the password, once -> the answer
//! ```
//!
//! A password is presented once and never again by itself: cameras lock an account after a few wrong ones.

use crate::codec::Codec;
use crate::fault::printable;
use crate::secret::Credential;
use crate::source::RtspUrl;
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A description of one camera is two or three kilobytes; more than this is not read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a camera answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The status code: 200 is a description, 401 asks for a password, 404 does not know the path.
    pub code: u16,
    /// The words beside it, printable and short.
    pub reason: String,
    /// What the camera calls itself, where it does.
    pub server: Option<String>,
    /// Whether a password was presented.
    pub presented: bool,
    /// In which ways the camera asks for the password that was at hand, when none of them is known here.
    pub unknown_ways: Option<String>,
    /// RTP names of the videos in the description, such as `H264`.
    pub videos: Vec<String>,
}

impl Described {
    /// Whether there is a video here that can be decoded.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.code == 200 && self.videos.iter().any(|name| Codec::from_rtp(name).is_some())
    }

    /// What it means, in one sentence without a full stop.
    #[must_use]
    pub fn said(&self) -> String {
        let Self { code, reason, videos, presented, unknown_ways, .. } = self;
        match code {
            200 if self.is_usable() => format!("it answers and offers {}", videos.join(" and ")),
            200 if videos.is_empty() => "the camera offers no video at this address".to_owned(),
            200 => format!("the camera sends {}; set it to H.264, H.265 or MJPEG", videos.join(" and ")),
            401 if *presented => "the camera refused the user and password".to_owned(),
            401 => match unknown_ways {
                Some(ways) => {
                    format!(
                        "the camera asks for the password in a way that is not known here ({ways}); it was not sent"
                    )
                }
                None => "the camera asks for a user and a password, and none is given".to_owned(),
            },
            403 => "the camera forbids this user to look (403)".to_owned(),
            404 | 454 => format!("the camera does not know this path ({code})"),
            _ => format!("the camera answers {code} {reason}"),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there, or it hung up.
    #[error("no connection to {place}: {said}")]
    Unreachable {
        /// Host and port.
        place: String,
        /// What the system said.
        said: String,
    },
    /// It did not answer in time.
    #[error("{place} did not answer within {} s", limit.as_secs())]
    Silent {
        /// Host and port.
        place: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Something else listens there.
    #[error("what answers at {place} does not speak RTSP")]
    NotRtsp {
        /// Host and port.
        place: String,
    },
    /// An encrypted address. It can be connected to; what it offers only the pipeline can ask.
    #[error("{place} takes connections; what it offers over TLS was not asked")]
    Encrypted {
        /// Host and port.
        place: String,
    },
}

/// Asks, and waits no longer than `limit` in all, whatever the camera does.
///
/// # Errors
/// [`NoAnswer`].
pub fn describe(url: &RtspUrl, credential: Option<&Credential>, limit: Duration) -> Result<Described, NoAnswer> {
    let (answered, answer) = mpsc::channel();
    let place = format!("{}:{}", url.host(), url.port());
    let (asked, who, at) = (url.clone(), credential.cloned(), place.clone());
    // A name server or a trickling camera may hold a thread longer than the caller has patience; it ends by itself when its
    // bytes or its time-outs are used up.
    let spawned = std::thread::Builder::new().name("describe".into()).spawn(move || {
        let _nobody_waits_any_more = answered.send(ask(&asked, who.as_ref(), &at, limit));
    });
    if let Err(error) = spawned {
        return Err(NoAnswer::Unreachable { place, said: error.to_string() });
    }
    answer.recv_timeout(limit).unwrap_or(Err(NoAnswer::Silent { place, limit }))
}

fn ask(url: &RtspUrl, who: Option<&Credential>, place: &str, limit: Duration) -> Result<Described, NoAnswer> {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => NoAnswer::Silent { place: place.to_owned(), limit },
        io::ErrorKind::InvalidData => NoAnswer::NotRtsp { place: place.to_owned() },
        _ => NoAnswer::Unreachable { place: place.to_owned(), said: printable(&error.to_string()) },
    };
    let mut stream = connect(url, limit).map_err(|error| failed(&error))?;
    if url.as_str().starts_with("rtsps:") {
        return Err(NoAnswer::Encrypted { place: place.to_owned() });
    }
    let first = exchange(&mut stream, url, 1, None).map_err(|error| failed(&error))?;
    let (401, Some(who)) = (first.code, who) else { return Ok(first.described(false)) };
    let Some(challenge) = first.challenge() else {
        let unknown_ways = Some(first.ways());
        return Ok(Described { unknown_ways, ..first.described(false) });
    };
    let authorization = challenge.answer(who, url.as_str());
    // Some cameras close after a refusal; another connection carries the same challenge.
    let second = exchange(&mut stream, url, 2, Some(&authorization)).or_else(|_| {
        let mut stream = connect(url, limit)?;
        exchange(&mut stream, url, 2, Some(&authorization))
    });
    Ok(second.map_err(|error| failed(&error))?.described(true))
}

fn connect(url: &RtspUrl, limit: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (url.host(), url.port()).to_socket_addrs()?.take(4) {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => {
                stream.set_read_timeout(Some(limit))?;
                stream.set_write_timeout(Some(limit))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// An answer as it came.
#[derive(Debug, Default)]
struct Answer {
    code: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: String,
}

fn exchange(stream: &mut TcpStream, url: &RtspUrl, sequence: u32, authorization: Option<&str>) -> io::Result<Answer> {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    let request = Zeroizing::new(format!(
        "DESCRIBE {} RTSP/1.0\r\nCSeq: {sequence}\r\nUser-Agent: sekisho/{}\r\nAccept: application/sdp\r\n{authorization}\r\n",
        url.as_str(),
        env!("CARGO_PKG_VERSION"),
    ));
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut piece = [0_u8; 4096];
    loop {
        if let Some(answer) = Answer::parse(&bytes)? {
            return Ok(answer);
        }
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

impl Answer {
    /// The whole answer in `bytes`, `None` while some of it is missing.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let wrong = || io::Error::from(io::ErrorKind::InvalidData);
        let known = bytes.len().min(5);
        if bytes[..known] != b"RTSP/"[..known] {
            return Err(wrong());
        }
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
        let code = first.next().and_then(|code| code.parse().ok()).ok_or_else(wrong)?;
        let reason = printable(first.next().unwrap_or_default());
        let header =
            |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(header).collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").map(|(_, value)| value.parse::<usize>());
        let length = length.transpose().map_err(|_| wrong())?.unwrap_or(0);
        if length > ANSWER_BYTES_MAX {
            return Err(wrong());
        }
        let Some(body) = bytes.get(end + 4..end + 4 + length) else { return Ok(None) };
        Ok(Some(Self { code, reason, headers, body: String::from_utf8_lossy(body).into_owned() }))
    }

    fn described(self, presented: bool) -> Described {
        let server = self.headers.iter().find(|(name, _)| name == "server").map(|(_, value)| printable(value));
        let videos = videos(&self.body);
        Described { code: self.code, reason: self.reason, server, presented, unknown_ways: None, videos }
    }

    fn offers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str())
    }

    /// In which ways the camera asks, for people.
    fn ways(&self) -> String {
        let way = |offer: &str| {
            let (scheme, rest) = offer.split_once(' ').unwrap_or((offer, ""));
            let algorithm = parameter(rest, "algorithm").map(|name| format!(" {name}")).unwrap_or_default();
            printable(&format!("{scheme}{algorithm}"))
        };
        let ways: Vec<_> = self.offers().map(way).take(4).collect();
        if ways.is_empty() { "it names none".to_owned() } else { ways.join(", ") }
    }

    /// The challenge that can be answered best: a digest before a plain password.
    fn challenge(&self) -> Option<Challenge> {
        let mut challenges: Vec<_> = self.offers().filter_map(Challenge::parse).collect();
        challenges.sort_by_key(|challenge| challenge.rank());
        challenges.into_iter().next_back()
    }
}

/// RTP names of the videos of a session description (RFC 8866). Payload type 26 is MJPEG without being named.
fn videos(description: &str) -> Vec<String> {
    let (mut found, mut payloads) = (Vec::new(), Vec::<String>::new());
    for line in description.lines().map(str::trim) {
        if let Some(media) = line.strip_prefix("m=") {
            payloads.clear();
            if media.starts_with("video") {
                payloads = media.split_whitespace().skip(3).map(str::to_owned).collect();
                if payloads.iter().any(|payload| payload == "26") {
                    found.push("JPEG".to_owned());
                }
            }
        } else if let Some((payload, name)) = line.strip_prefix("a=rtpmap:").and_then(|map| map.split_once(' '))
            && payloads.iter().any(|known| known == payload)
        {
            found.push(printable(name.split('/').next().unwrap_or_default()).to_uppercase());
        }
    }
    found.truncate(8);
    found
}

/// How a camera wants the password (RFC 7616, RFC 7617).
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Digest { realm: String, nonce: String, opaque: Option<String>, auth: bool, sha256: bool },
}

impl Challenge {
    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let get = |name: &str| parameter(rest, name).filter(|value| !value.contains(['"', '\\', '\r', '\n']));
        let algorithm = get("algorithm").unwrap_or_else(|| "MD5".into()).to_uppercase();
        if !["MD5", "SHA-256"].contains(&algorithm.as_str()) {
            return None;
        }
        let auth = get("qop").is_some_and(|qop| qop.split(',').any(|word| word.trim() == "auth"));
        let (realm, nonce, opaque) = (get("realm")?, get("nonce")?, get("opaque"));
        Some(Self::Digest { realm, nonce, opaque, auth, sha256: algorithm == "SHA-256" })
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Basic => 0,
            Self::Digest { sha256: false, .. } => 1,
            Self::Digest { sha256: true, .. } => 2,
        }
    }

    /// The header's value. A plain password goes only to a camera that knows nothing better.
    fn answer(&self, who: &Credential, uri: &str) -> Zeroizing<String> {
        let Self::Digest { realm, nonce, opaque, auth, sha256 } = self else {
            let plain = Zeroizing::new(format!("{}:{}", who.user, who.password.expose()));
            return Zeroizing::new(format!("Basic {}", base64(plain.as_bytes())));
        };
        let hash = |text: &str| match sha256 {
            true => hex(&Sha256::digest(text)),
            false => hex(&Md5::digest(text)),
        };
        let user = who.user.replace(['"', '\\'], "");
        let secret = Zeroizing::new(format!("{user}:{realm}:{}", who.password.expose()));
        let (first, second) = (Zeroizing::new(hash(&secret)), hash(&format!("DESCRIBE:{uri}")));
        // One request under each nonce, so the count is one and the client's nonce need not be fresh.
        let (counted, response) = match auth {
            true => (
                ", qop=auth, nc=00000001, cnonce=\"73656b69\"",
                hash(&format!("{}:{nonce}:00000001:73656b69:auth:{second}", first.as_str())),
            ),
            false => ("", hash(&format!("{}:{nonce}:{second}", first.as_str()))),
        };
        let opaque = opaque.as_ref().map(|opaque| format!(", opaque=\"{opaque}\"")).unwrap_or_default();
        let algorithm = if *sha256 { ", algorithm=SHA-256" } else { "" };
        Zeroizing::new(format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\"{algorithm}{opaque}{counted}"
        ))
    }
}

/// The value of one parameter of a challenge, with or without quotes.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim_start_matches([',', ' ']).trim();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 4648, with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for nth in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * nth) & 63) as usize];
            text.push(if nth <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::source::Source;

    fn ann() -> Credential {
        Credential { user: "Mufasa".into(), password: Secret::new("Circle of Life".into()) }
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        // The expected values were computed with Python's hashlib by RFC 2617, 3.2.2 and RFC 7616, 3.4.1.
        let challenge = Challenge::parse("Digest realm=\"r\", nonce=\"abc\"").expect("a challenge");
        let answer = challenge.answer(&ann(), "rtsp://c/x");
        assert!(answer.contains("response=\"203cffecb06bdc6f58c9ec865f8b22fc\""), "{}", &*answer);
        assert!(!answer.contains("Circle") && !answer.contains("qop"));
        let strong = "digest algorithm=SHA-256, qop=\"auth,auth-int\", realm=r, nonce=\"n\", opaque=\"o\"";
        let answer = Challenge::parse(strong).expect("a challenge").answer(&ann(), "rtsp://c/x");
        assert!(answer.contains("71d69751080604e1684c3cd08084179d53257acd67cf0d5a90cb253bcd223ba1"), "{}", &*answer);
        assert!(answer.contains("qop=auth") && answer.contains("opaque=\"o\"") && answer.contains("SHA-256"));
        assert_eq!(Challenge::parse("Digest realm=\"r\""), None, "no nonce");
        assert_eq!(Challenge::parse("Negotiate abc"), None);
        assert_eq!(base64(b"Mufasa:x"), "TXVmYXNhOng=");
        assert_eq!((base64(b"a"), base64(b"ab"), base64(b"abc")), ("YQ==".into(), "YWI=".into(), "YWJj".into()));
    }

    #[test]
    fn videos_are_found_by_their_names_and_sound_is_passed_over() {
        let text =
            "v=0\r\nm=audio 0 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n";
        assert_eq!(videos(text), ["H264"]);
        assert_eq!(videos("m=video 0 RTP/AVP 26\r\n"), ["JPEG"]);
        assert!(videos("m=audio 0 RTP/AVP 0\r\na=rtpmap:96 H264/90000").is_empty());
    }

    #[test]
    fn answers_are_bounded_and_nothing_else_than_rtsp_is_taken_for_one() {
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Answer::parse(b"RTSP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n").is_err());
        assert!(Answer::parse(b"RTSP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(Answer::parse(b"RTSP/1.0 banana\r\n\r\n").is_err());
        assert!(Answer::parse(b"RTSP/1.0 200 OK\r\nContent-Le").expect("so far so good").is_none());
        assert!(Answer::parse(b"").expect("nothing yet").is_none());
        let whole =
            Answer::parse(b"RTSP/1.0 404 Not Found\r\nServer: x\x1b[2J\r\n\r\n").expect("parsed").expect("whole");
        assert_eq!(whole.described(false).server.as_deref(), Some("x [2J"));
    }

    #[test]
    fn a_way_of_asking_that_is_not_known_is_told_as_what_it_is() {
        let stub = |header: &'static str| {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("bound").port();
            std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a connection");
                let _asked = stream.read(&mut [0_u8; 4096]);
                stream.write_all(format!("RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n{header}\r\n").as_bytes())
            });
            match Source::parse(&format!("rtsp://127.0.0.1:{port}/x")) {
                Ok(Source::Rtsp { url, .. }) => url,
                _ => panic!("an address"),
            }
        };
        for (header, ways) in [
            ("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess\r\n", "(Digest MD5-sess)"),
            ("WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Bearer x\r\n", "(Negotiate, Bearer)"),
            ("", "(it names none)"),
        ] {
            let said = |who: Option<&Credential>| {
                describe(&stub(header), who, Duration::from_secs(5)).expect("an answer").said()
            };
            let with = said(Some(&ann()));
            assert!(with.contains("not known here") && with.contains(ways), "{header}: {with}");
            assert!(said(None).contains("none is given"), "{header}");
        }
    }

    #[test]
    fn nobody_there_is_told_in_a_sentence() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let Ok(Source::Rtsp { url, .. }) = Source::parse(&format!("rtsp://127.0.0.1:{}/x", free.port())) else {
            panic!("an address");
        };
        let error = describe(&url, None, Duration::from_secs(5)).expect_err("nobody");
        assert!(matches!(error, NoAnswer::Unreachable { .. }) && error.to_string().contains("refused"), "{error}");
    }
}
