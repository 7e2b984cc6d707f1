//! Everything that ends a connection to a camera. All faults go the same way (tear down, wait, rebuild from scratch);
//! what differs is how long to wait and what to tell the operator.

use std::fmt;
use std::time::Duration;

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The camera refused the user and password.
    WrongPassword,
    /// The camera wants a user and a password and none is configured.
    NoCredential,
    /// The camera does not know the path.
    NotFound,
    /// The camera's description holds no video.
    NoVideo,
    /// Video in a coding we do not decode.
    UnsupportedCodec {
        /// Its RTP name.
        codec: String,
    },
    /// Pictures beyond [`FRAME_LONG_SIDE_MAX`] x [`FRAME_SHORT_SIDE_MAX`].
    TooLarge {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A clip that cannot be opened or read.
    BadClip {
        /// What GStreamer said.
        said: String,
    },
    /// A GStreamer element is not installed.
    MissingElement {
        /// Its name.
        element: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// No connection, or what answered does not speak RTSP.
    Unreachable {
        /// What GStreamer said.
        said: String,
    },
    /// The camera stopped answering on the RTSP connection.
    TimedOut,
    /// The camera closed the connection.
    Closed,
    /// The connection stands but pictures stopped.
    Stalled {
        /// Age of the newest picture.
        age: Duration,
        /// The limit it passed.
        limit: Duration,
    },
    /// The connection stands but no picture ever came.
    NoFirstFrame {
        /// The limit that passed.
        limit: Duration,
    },
    /// The decoder complained too often, as it does when the camera changed its coding in mid-stream.
    DecodeErrors {
        /// How often.
        count: usize,
        /// Within what time.
        within: Duration,
    },
    /// The picture's format changed faster than any honest camera changes it.
    FormatFlapping,
    /// Decoder and consumer found no common picture format.
    FormatRefused,
    /// Anything else that broke the stream.
    Broken {
        /// What GStreamer said.
        said: String,
    },
}

/// Frames with a longer side are refused: 4096x2304 is what the largest cameras we know deliver, and a stream that
/// claims more is more likely an attack on our memory than a picture.
pub const FRAME_LONG_SIDE_MAX: u32 = 4096;
/// As [`FRAME_LONG_SIDE_MAX`], for the shorter side. Sides, not width and height, so that a camera mounted on its side
/// is served too.
pub const FRAME_SHORT_SIDE_MAX: u32 = 2304;

/// The fault of pictures of this size, if there is one.
pub(crate) fn size_refused(width: u32, height: u32) -> Option<Fault> {
    let is_too_large = width.max(height) > FRAME_LONG_SIDE_MAX || width.min(height) > FRAME_SHORT_SIDE_MAX;
    is_too_large.then_some(Fault::TooLarge { width, height })
}

/// How long a fault keeps a camera waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It may be over in a moment: 1 s, doubling to 60 s.
    Retry,
    /// Somebody has to change the camera or the configuration: look again every 5 minutes.
    Reconfigure,
    /// Trying again may lock the account: wait for a change of the configuration, or 30 minutes.
    Hold,
}

impl Fault {
    /// The word by which reconnects are counted.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong-password",
            Self::NoCredential => "no-credential",
            Self::NotFound => "not-found",
            Self::NoVideo => "no-video",
            Self::UnsupportedCodec { .. } => "unsupported-codec",
            Self::TooLarge { .. } => "too-large",
            Self::BadClip { .. } => "bad-clip",
            Self::MissingElement { .. } => "missing-element",
            Self::Unreachable { .. } => "unreachable",
            Self::TimedOut => "timed-out",
            Self::Closed => "closed",
            Self::Stalled { .. } => "stalled",
            Self::NoFirstFrame { .. } => "no-first-frame",
            Self::DecodeErrors { .. } => "decode-errors",
            Self::FormatFlapping => "format-flapping",
            Self::FormatRefused => "format-refused",
            Self::Broken { .. } => "broken",
        }
    }

    /// How long it keeps the camera waiting.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::WrongPassword | Self::NoCredential => Remedy::Hold,
            Self::NotFound
            | Self::NoVideo
            | Self::UnsupportedCodec { .. }
            | Self::TooLarge { .. }
            | Self::BadClip { .. }
            | Self::MissingElement { .. } => Remedy::Reconfigure,
            Self::Unreachable { .. }
            | Self::TimedOut
            | Self::Closed
            | Self::Stalled { .. }
            | Self::NoFirstFrame { .. }
            | Self::DecodeErrors { .. }
            | Self::FormatFlapping
            | Self::FormatRefused
            | Self::Broken { .. } => Remedy::Retry,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword => f.write_str("the camera refused the user and password"),
            Self::NoCredential => f.write_str(
                "the camera asks for a user and a password and none is configured; name a credential file for it",
            ),
            Self::NotFound => f.write_str("the camera does not know this path; check the address"),
            Self::NoVideo => f.write_str("the camera offers no video at this address"),
            Self::UnsupportedCodec { codec } => {
                write!(f, "the camera sends {codec}; set it to H.264, H.265 or MJPEG")
            }
            Self::TooLarge { width, height } => write!(
                f,
                "frames of {width}x{height} are beyond {FRAME_LONG_SIDE_MAX}x{FRAME_SHORT_SIDE_MAX}; \
                 choose a smaller stream on the camera"
            ),
            Self::BadClip { said } => write!(f, "the clip cannot be played: {said}"),
            Self::MissingElement { element, package } => {
                write!(f, "the GStreamer element {element} is missing; install {package}")
            }
            Self::Unreachable { said } => write!(f, "no RTSP connection: {said}"),
            Self::TimedOut => f.write_str("the camera stopped answering"),
            Self::Closed => f.write_str("the camera closed the connection"),
            Self::Stalled { age, limit } => {
                write!(f, "no frame for {:.1} s (limit {:.1} s)", age.as_secs_f64(), limit.as_secs_f64())
            }
            Self::NoFirstFrame { limit } => write!(f, "connected, but no frame within {:.0} s", limit.as_secs_f64()),
            Self::DecodeErrors { count, within } => write!(
                f,
                "the decoder failed {count} times within {:.0} s; the camera may have changed its coding",
                within.as_secs_f64()
            ),
            Self::FormatFlapping => f.write_str("the picture format changed more than once within a second"),
            Self::FormatRefused => f.write_str("the decoded pictures are not 8-bit 4:2:0; choose a plain profile"),
            Self::Broken { said } => write!(f, "the stream broke: {said}"),
        }
    }
}

/// Text from a camera or from GStreamer, fit for one line of a log: printable ASCII only (a camera must not be able to
/// write line breaks or terminal codes into a journal) and at most 160 characters.
pub(crate) fn printable(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { ' ' }).take(160).collect();
    flat.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_cannot_write_control_codes_or_essays_into_the_log() {
        let hostile = format!("bad\r\n\u{1b}[31mred\u{202e}{}", "x".repeat(1000));
        let text = printable(&hostile);
        assert!(text.starts_with("bad   [31mred"), "{text}");
        assert!(text.len() <= 160);
    }

    #[test]
    fn sizes_are_limited_by_side_and_a_turned_camera_is_served() {
        assert_eq!(size_refused(4096, 2304), None);
        assert_eq!(size_refused(2304, 4096), None);
        assert_eq!(size_refused(4097, 16), Some(Fault::TooLarge { width: 4097, height: 16 }));
        assert_eq!(size_refused(2305, 2305), Some(Fault::TooLarge { width: 2305, height: 2305 }));
    }

    #[test]
    fn sentences_say_what_to_do() {
        let said = Fault::Stalled { age: Duration::from_millis(5200), limit: Duration::from_secs(5) }.to_string();
        assert_eq!(said, "no frame for 5.2 s (limit 5.0 s)");
        let said = Fault::TooLarge { width: 7680, height: 4320 }.to_string();
        assert!(said.contains("7680x4320") && said.contains("4096x2304"), "{said}");
    }
}
