//! Where a camera's pictures come from: an RTSP address or a clip on disk.

use crate::secret::Credential;
use std::fmt;
use std::path::{Path, PathBuf};

/// How RTP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// Interleaved in the RTSP connection: passes firewalls, loses nothing. The default.
    #[default]
    Tcp,
    /// Separate datagrams, for the cameras that only do that well.
    Udp,
}

/// How fast a clip is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pace {
    /// As a camera would send it; frames nobody takes in time are superseded.
    #[default]
    RealTime,
    /// Every frame, as fast as it is taken; only [`ClipReader`](crate::clip::ClipReader) does this.
    AsFastAsPossible,
}

/// What happens at the end of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Repeat {
    /// It ends.
    #[default]
    Once,
    /// It starts again.
    Forever,
}

/// Where pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A camera.
    Rtsp {
        /// Its address, without user or password.
        url: RtspUrl,
        /// How RTP travels.
        transport: Transport,
        /// Who we are to it, when it asks.
        credential: Option<Credential>,
    },
    /// A clip on disk.
    Clip {
        /// The file.
        path: PathBuf,
        /// How fast it plays.
        pace: Pace,
        /// What happens at its end.
        repeat: Repeat,
    },
}

/// An `rtsp://` or `rtsps://` address that holds no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct RtspUrl {
    text: String,
    host: String,
    port: u16,
}

/// Why a source was refused. No variant quotes the text, because what was refused may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// User or password in the address.
    #[error(
        "the address holds an '@', so perhaps a user and a password; put `user:password` into a credential file and \
         name that file instead (an '@' that belongs to the path is written %40)"
    )]
    Credentials,
    /// A scheme nobody here speaks.
    #[error("the scheme {scheme:?} is not supported; use rtsp://, rtsps://, file:// or a path")]
    Scheme {
        /// What was written before `://`.
        scheme: String,
    },
    /// Nothing usable between `//` and the next `/`.
    #[error("the host is missing or holds characters that no host name has")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Blanks or control characters.
    #[error("the address holds a blank or a control character; write it as %20 or the like")]
    Blank,
    /// A `file://` address that names a host, or a bad percent escape.
    #[error("a file:// address is file:// followed by an absolute path")]
    FileUrl,
    /// Nothing at all.
    #[error("the source is empty")]
    Empty,
    /// A clip whose name says a container we do not read.
    #[error("the clip's extension {extension:?} is not one of {}", EXTENSIONS.join(", "))]
    Extension {
        /// What follows the last dot.
        extension: String,
    },
}

/// Clips are opened by what their name says, never by guessing at their content.
pub(crate) const EXTENSIONS: [&str; 10] = ["mp4", "m4v", "mov", "mkv", "webm", "h264", "264", "h265", "265", "hevc"];

impl Source {
    /// Reads `rtsp://host[:port]/path`, `rtsps://...`, `file:///absolute/path` or a plain path. RTSP starts as TCP
    /// without credential, clips as real time, once; the `with_*` functions change that.
    ///
    /// # Errors
    /// [`BadSource`], which never quotes what was written.
    pub fn parse(text: &str) -> Result<Self, BadSource> {
        if text.trim().is_empty() {
            return Err(BadSource::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::clip(Path::new(text));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" => Ok(Self::Rtsp {
                url: RtspUrl::parse(text, &scheme.to_ascii_lowercase(), rest)?,
                transport: Transport::Tcp,
                credential: None,
            }),
            "file" if rest.starts_with('/') => Self::clip(Path::new(&percent_decoded(rest)?)),
            "file" => Err(BadSource::FileUrl),
            _ if text.contains('@') && !scheme.contains('@') => Err(BadSource::Scheme { scheme: short(scheme) }),
            _ if scheme.contains('@') => Err(BadSource::Credentials),
            _ => Err(BadSource::Scheme { scheme: short(scheme) }),
        }
    }

    fn clip(path: &Path) -> Result<Self, BadSource> {
        let extension = extension_of(path);
        if EXTENSIONS.contains(&extension.as_str()) {
            Ok(Self::Clip { path: path.to_owned(), pace: Pace::RealTime, repeat: Repeat::Once })
        } else {
            Err(BadSource::Extension { extension: short(&extension) })
        }
    }

    /// The same source with `credential`; a clip needs none and is returned as it is.
    #[must_use]
    pub fn with_credential(mut self, given: Option<Credential>) -> Self {
        if let Self::Rtsp { credential, .. } = &mut self {
            *credential = given;
        }
        self
    }

    /// The same source over `transport`; a clip is returned as it is.
    #[must_use]
    pub fn with_transport(mut self, given: Transport) -> Self {
        if let Self::Rtsp { transport, .. } = &mut self {
            *transport = given;
        }
        self
    }

    /// The same clip with another pace and ending; a camera is returned as it is.
    #[must_use]
    pub fn with_playback(mut self, given_pace: Pace, given_repeat: Repeat) -> Self {
        if let Self::Clip { pace, repeat, .. } = &mut self {
            (*pace, *repeat) = (given_pace, given_repeat);
        }
        self
    }
}

/// For people: an address without its query, a clip with its path.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp { url, .. } => url.fmt(f),
            Self::Clip { path, .. } => path.display().fmt(f),
        }
    }
}

impl RtspUrl {
    fn parse(text: &str, scheme: &str, rest: &str) -> Result<Self, BadSource> {
        if text.contains('@') {
            return Err(BadSource::Credentials);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(BadSource::Blank);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((v6, after)) => {
                v6.parse::<std::net::Ipv6Addr>().map_err(|_| BadSource::Host)?;
                (v6, after.strip_prefix(':').or(if after.is_empty() { None } else { Some("x") }))
            }
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(BadSource::Host);
        }
        let port = match port {
            None => {
                if scheme == "rtsps" {
                    322
                } else {
                    554
                }
            }
            Some(digits) => digits.parse::<u16>().ok().filter(|port| *port != 0).ok_or(BadSource::Port)?,
        };
        Ok(Self { text: format!("{scheme}://{rest}"), host: host.to_ascii_lowercase(), port })
    }

    /// The whole address, for GStreamer. It holds no user and no password of ours, but a query may hold anything, so
    /// people are shown [`Display`](fmt::Display) instead.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host in lower case, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 554 (`rtsp`) or 322 (`rtsps`) when none was written.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// The address up to its query or the first thing that looks like a password: several cheap cameras want
/// `rtsp://host/user=x&password=y&channel=1`.
impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lower = self.text.to_ascii_lowercase();
        let cut = ["?", "#", "password", "passwd", "pwd=", "pass="].iter().filter_map(|mark| lower.find(mark)).min();
        match cut {
            Some(at) => write!(f, "{}...", &self.text[..at]),
            None => f.write_str(&self.text),
        }
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

pub(crate) fn extension_of(path: &Path) -> String {
    path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn short(text: &str) -> String {
    text.chars().take(16).collect()
}

fn percent_decoded(text: &str) -> Result<String, BadSource> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap_or(b'x'), bytes.next().unwrap_or(b'x')];
            let hex = std::str::from_utf8(&hex).map_err(|_| BadSource::FileUrl)?;
            out.push(u8::from_str_radix(hex, 16).map_err(|_| BadSource::FileUrl)?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| BadSource::FileUrl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host_port(text: &str) -> Result<(String, u16), BadSource> {
        match Source::parse(text)? {
            Source::Rtsp { url, .. } => Ok((url.host().to_owned(), url.port())),
            Source::Clip { .. } => panic!("{text} became a clip"),
        }
    }

    #[test]
    fn addresses_give_host_and_port() {
        assert_eq!(host_port("rtsp://Gate.local/main"), Ok(("gate.local".into(), 554)));
        assert_eq!(host_port("RTSPS://10.0.0.7"), Ok(("10.0.0.7".into(), 322)));
        assert_eq!(host_port("rtsp://[fe80::1]:8554/x?y=1"), Ok(("fe80::1".into(), 8554)));
        for (bad, why) in [
            ("rtsp:///x", BadSource::Host),
            ("rtsp://a b/x", BadSource::Blank),
            ("rtsp://host:0/x", BadSource::Port),
            ("rtsp://host:99999/x", BadSource::Port),
            ("rtsp://[::1]x/y", BadSource::Port),
            ("rtsp://[zz]/y", BadSource::Host),
            ("http://host/x", BadSource::Scheme { scheme: "http".into() }),
            ("file://host/x.mp4", BadSource::FileUrl),
            ("file:///x%zz.mp4", BadSource::FileUrl),
            ("  ", BadSource::Empty),
            ("clip.avi", BadSource::Extension { extension: "avi".into() }),
        ] {
            assert_eq!(Source::parse(bad).err(), Some(why), "{bad}");
        }
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for text in [
            "rtsp://ann:canary@host/x",
            "rtsp://ann:can/ary@host/x",
            "rtsp://ann@host/x",
            "rtsps://ann:canary@host:322/",
        ] {
            let error = Source::parse(text).expect_err("holds a password");
            assert_eq!(error, BadSource::Credentials, "{text}");
            assert!(!error.to_string().contains("can"), "{error}");
            assert!(error.to_string().contains("credential file"), "{error}");
        }
    }

    #[test]
    fn clips_come_from_paths_and_file_addresses() {
        let path = |text: &str| match Source::parse(text) {
            Ok(Source::Clip { path, .. }) => path,
            other => panic!("{other:?}"),
        };
        assert_eq!(path("clips/yard.MP4"), PathBuf::from("clips/yard.MP4"));
        assert_eq!(path("file:///srv/a%20b.mkv"), PathBuf::from("/srv/a b.mkv"));
    }

    #[test]
    fn what_looks_like_a_password_in_a_path_is_not_shown() {
        for text in ["rtsp://h/user=a&password=canary&ch=1", "rtsp://h/x?token=canary", "rtsp://h/x;PWD=canary"] {
            let source = Source::parse(text).expect("an address without '@'");
            assert!(!format!("{source} {source:?}").contains("canary"), "{source:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
            if let Ok(source) = Source::parse(&text) {
                let _ = format!("{source} {source:?}");
            }
        }

        #[test]
        fn no_accepted_address_holds_an_at_sign(text in "rtsps?://[a-z:@/.0-9%?\\[\\]]{0,40}") {
            if let Ok(Source::Rtsp { url, .. }) = Source::parse(&text) {
                prop_assert!(!url.as_str().contains('@'));
                prop_assert!(!url.host().is_empty());
            }
        }
    }
}
