//! Paths under which makers offer their streams, for an address that was given without one.

use sekisho_camera::describe::{Described, NoAnswer, describe};
use sekisho_camera::secret::Credential;
use sekisho_camera::source::{RtspUrl, Source};
use std::time::Duration;

/// Maker and path, large stream before small. Few, and each as the maker's support pages and several independent lists of
/// cameras have it; whoever has another camera finds the path in its manual and types it.
pub const PATHS: [(&str, &str); 14] = [
    ("Hikvision", "/Streaming/Channels/101"),
    ("Hikvision", "/Streaming/Channels/102"),
    ("Dahua, Amcrest", "/cam/realmonitor?channel=1&subtype=0"),
    ("Dahua, Amcrest", "/cam/realmonitor?channel=1&subtype=1"),
    ("Axis", "/axis-media/media.amp"),
    ("Hanwha", "/profile1/media.smp"),
    ("Hanwha", "/profile2/media.smp"),
    ("Reolink", "/h264Preview_01_main"),
    ("Reolink", "/h264Preview_01_sub"),
    ("TP-Link", "/stream1"),
    ("TP-Link", "/stream2"),
    ("Milesight", "/main"),
    ("Milesight", "/sub"),
    ("others", "/"),
];

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one address answered.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The whole address.
    pub url: String,
    /// Who uses that path.
    pub maker: &'static str,
    /// The answer.
    pub answer: Result<Described, NoAnswer>,
}

impl Tried {
    /// Whether a stream was found here.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.answer.as_ref().is_ok_and(Described::is_usable)
    }

    /// Whether trying on makes it worse or is no use: a password that was refused would lock the account, and who is not
    /// there or speaks something else will not change by another path.
    #[must_use]
    pub fn ends_the_search(&self) -> bool {
        match &self.answer {
            Ok(answer) => answer.code == 401 || answer.code == 403,
            Err(_) => true,
        }
    }
}

/// Scheme and place of an address, and what comes after.
fn parts(address: &str) -> (&str, &str) {
    let place = address.find("://").map_or(0, |at| at + 3);
    address.split_at(address[place..].find(['/', '?', '#']).map_or(address.len(), |at| place + at))
}

/// Whether an address has a path of its own.
#[must_use]
pub fn has_path(url: &RtspUrl) -> bool {
    !matches!(parts(url.as_str()).1, "" | "/")
}

/// Asks the camera at `url` for each known path, until a password is refused. `each` hears every answer as it comes.
pub fn try_all(url: &RtspUrl, credential: Option<&Credential>, mut each: impl FnMut(&Tried)) -> Vec<Tried> {
    let base = parts(url.as_str()).0;
    let mut tried = Vec::new();
    for (maker, path) in PATHS {
        let url = format!("{base}{path}");
        let Ok(Source::Rtsp { url: address, .. }) = Source::parse(&url) else { continue };
        let one = Tried { url, maker, answer: describe(&address, credential, PATIENCE) };
        each(&one);
        let ends = one.ends_the_search();
        tried.push(one);
        if ends {
            break;
        }
    }
    tried
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_makes_an_address_and_none_stands_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for (maker, path) in PATHS {
            assert!(
                Source::parse(&format!("rtsp://192.0.2.1{path}")).is_ok() && path.starts_with('/'),
                "{maker} {path}"
            );
            assert!(seen.insert(path), "{path} stands twice");
        }
        let with = |text: &str| match Source::parse(text) {
            Ok(Source::Rtsp { url, .. }) => has_path(&url),
            _ => panic!("an address"),
        };
        assert!(with("rtsp://192.0.2.1/x") && with("rtsp://192.0.2.1?x"));
        assert!(!with("rtsp://192.0.2.1/") && !with("rtsp://192.0.2.1:554"));
    }
}
