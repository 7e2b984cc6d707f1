//! What is remembered of trials, so that each is made once: a file in the state directory.

use sekisho_logic::time::WallMs;
use sekisho_store::open_own;
use sekisho_vision::trial::Findings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name.
pub const FILE: &str = "providers.json";

/// Verdicts kept, the newest. A box has two networks and one accelerator; the rest is the past.
const VERDICTS_MAX: usize = 64;

/// Bytes read of a file in the state directory, a hundred times what they hold.
const BYTES_MAX: u64 = 1 << 20;

/// Everything a verdict depends on. When any of it changes, the question is asked anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Key {
    /// The network's name.
    pub network: String,
    /// SHA-256 of its file.
    pub digest: String,
    /// Whose library.
    pub provider: String,
    /// Which kind of processor.
    pub device: String,
    /// Digest over the libraries.
    pub library: String,
    /// Driver and processor.
    pub driver: String,
    /// What the process may do with them; a command at a terminal may do something else than the service.
    pub confined: String,
    /// Digest over what it is measured with: the manifest, the golden picture and answer, what finds the faces.
    pub measure: String,
    /// The provider's options.
    pub options: BTreeMap<String, String>,
    /// This program's version.
    pub program: String,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran; whether it agrees and is fast enough follows from what was found.
    Ran(Findings),
    /// It does not run there, in the library's words.
    Refused(String),
    /// The process died of it.
    Crashed(String),
    /// It did not end in time.
    #[serde(rename_all = "kebab-case")]
    Hung {
        /// Where it hung.
        why: String,
        /// The time it had.
        limit_s: u64,
    },
    /// The trial went well and then the daemon did not.
    Unstable(String),
}

impl Outcome {
    /// Whether it still tells something when a trial may take `limit`: with more time one that hung may come to its end.
    #[must_use]
    pub const fn holds_for(&self, limit: Duration) -> bool {
        !matches!(self, Self::Hung { limit_s, .. } if *limit_s < limit.as_secs())
    }

    /// The word for people: `ran` is judged by [`against`](Self::against).
    #[must_use]
    pub fn against(&self, speedup_min: f64) -> Option<(&'static str, String)> {
        match self {
            Self::Ran(found) if !found.agreement.holds() => {
                Some(("disagrees", format!("it computes something else than the processor: {}", found.agreement)))
            }
            Self::Ran(found) if found.speedup() < speedup_min => Some((
                "slower",
                format!(
                    "it takes {:.1} ms where the processor takes {:.1} ms; {speedup_min} times as fast is asked for \
                     ([models] provider-speedup-min)",
                    found.accelerator.median_ms, found.cpu.median_ms,
                ),
            )),
            Self::Ran(_) => None,
            Self::Refused(why) => Some(("refused", why.clone())),
            Self::Crashed(why) => Some(("crashed", why.clone())),
            Self::Hung { why, .. } => Some(("hung", why.clone())),
            Self::Unstable(why) => Some(("unstable", why.clone())),
        }
    }
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Verdict {
    /// Of what.
    pub key: Key,
    /// How it ended.
    pub outcome: Outcome,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// All that are remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Verdicts {
    verdicts: Vec<Verdict>,
    #[serde(skip)]
    place: PathBuf,
}

impl Verdicts {
    /// Reads what is remembered; nothing when there is no such file. One that cannot be understood is said and forgotten.
    #[must_use]
    pub fn read(state_dir: &Path) -> Self {
        let place = state_dir.join(FILE);
        let forgotten = |error: &dyn std::fmt::Display| {
            tracing::warn!("{}: {error}; accelerators are tried again", place.display());
            Self::default()
        };
        let known = match read_bounded(&place) {
            Ok(Some(text)) => serde_json::from_str(&text).unwrap_or_else(|error| forgotten(&error)),
            Ok(None) => Self::default(),
            Err(error) => forgotten(&error),
        };
        Self { place, ..known }
    }

    /// The verdict on exactly this.
    #[must_use]
    pub fn on(&self, key: &Key) -> Option<&Verdict> {
        self.verdicts.iter().rev().find(|verdict| verdict.key == *key)
    }

    /// The same for a process that may be confined otherwise than the daemon, whose verdicts these are.
    #[must_use]
    pub fn on_any(&self, key: &Key) -> Option<&Verdict> {
        let same = |old: &Key| Key { confined: key.confined.clone(), ..old.clone() } == *key;
        self.on(key).or_else(|| self.verdicts.iter().rev().find(|verdict| same(&verdict.key)))
    }

    /// Takes a verdict in place of the older ones on the network with that provider and device, and writes the file.
    pub fn remember(&mut self, key: Key, outcome: Outcome, at: WallMs) {
        let same = |old: &Key| (&old.network, &old.provider, &old.device) == (&key.network, &key.provider, &key.device);
        self.verdicts.retain(|verdict| !same(&verdict.key));
        self.verdicts.push(Verdict { key, outcome, at_ms: at.0 });
        let surplus = self.verdicts.len().saturating_sub(VERDICTS_MAX);
        self.verdicts.drain(..surplus);
        if let Err(error) = self.write() {
            tracing::warn!("{}: {error}; accelerators are tried again at the next start", self.place.display());
        }
    }

    fn write(&self) -> std::io::Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
        write_whole(&self.place, text.as_bytes())
    }
}

/// Forgets every verdict; whether there were any.
///
/// # Errors
/// What the system said.
pub fn forget(state_dir: &Path) -> std::io::Result<bool> {
    match std::fs::remove_file(state_dir.join(FILE)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a plain file holds, a link not followed; `None` when there is none.
pub(super) fn read_bounded(place: &Path) -> std::io::Result<Option<String>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(place) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    let mut text = String::new();
    file.take(BYTES_MAX).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// Writes a file so that a reader sees the old one or the new one, whatever happens meanwhile, and the new one once this has
/// returned.
pub(super) fn write_whole(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = place.with_extension("new");
    let mut file = open_own(&fresh, OpenOptions::new().write(true).create(true).truncate(true))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, place)?;
    place.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use sekisho_vision::trial::{Agreement, Latency};

    pub(in crate::providers) fn key(library: &str) -> Key {
        Key {
            network: "yunet".into(),
            digest: "00".into(),
            provider: "openvino".into(),
            device: "cpu".into(),
            library: library.into(),
            driver: String::new(),
            confined: String::new(),
            measure: String::new(),
            options: BTreeMap::new(),
            program: "1".into(),
        }
    }

    fn ran(worst: f32, cpu: f64, other: f64) -> Outcome {
        let latency = |median_ms| Latency { median_ms, p95_ms: median_ms, runs: 5 };
        let agreement = Agreement::Cosine { worst, faces: 3 };
        Outcome::Ran(Findings { agreement, cpu: latency(cpu), accelerator: latency(other) })
    }

    #[test]
    fn a_verdict_outlives_the_process_and_a_change_of_anything_asks_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut verdicts = Verdicts::read(dir.path());
        assert!(verdicts.on(&key("a")).is_none());
        verdicts.remember(key("a"), Outcome::Crashed("signal 6".into()), WallMs(5));
        let again = Verdicts::read(dir.path());
        assert_eq!(again.on(&key("a")).map(|verdict| verdict.at_ms), Some(5));
        for other in [
            key("b"),
            Key { driver: "newer".into(), ..key("a") },
            Key { digest: "11".into(), ..key("a") },
            Key { program: "2".into(), ..key("a") },
            Key { confined: "may not open it".into(), ..key("a") },
            Key { measure: "another picture".into(), ..key("a") },
            Key { options: BTreeMap::from([("precision".into(), "FP16".into())]), ..key("a") },
        ] {
            assert!(again.on(&other).is_none(), "{other:?}");
        }
        let terminal = Key { confined: "may open it".into(), ..key("a") };
        assert_eq!(again.on_any(&terminal).map(|verdict| verdict.at_ms), Some(5), "the daemon's, shown at a terminal");
        assert!(again.on_any(&Key { driver: "newer".into(), ..terminal }).is_none());
        std::fs::write(dir.path().join(FILE), "nonsense").expect("written");
        assert!(Verdicts::read(dir.path()).on(&key("a")).is_none());
        assert!(forget(dir.path()).expect("removed") && !forget(dir.path()).expect("gone already"));
    }

    #[test]
    fn only_who_agrees_and_is_fast_enough_is_used_and_zero_asks_for_no_speed() {
        let word = |outcome: &Outcome, least| outcome.against(least).map(|(word, _)| word);
        assert_eq!(word(&ran(0.999, 10.0, 5.0), 1.1), None);
        assert_eq!(word(&ran(0.999, 10.0, 9.5), 1.1), Some("slower"));
        assert_eq!(word(&ran(0.999, 10.0, 900.0), 0.0), None);
        assert_eq!(word(&ran(0.98, 10.0, 1.0), 0.0), Some("disagrees"));
        assert_eq!(word(&ran(f32::NAN, 10.0, 1.0), 0.0), Some("disagrees"));
        let hung = Outcome::Hung { why: String::new(), limit_s: 120 };
        assert_eq!(word(&hung, 0.0), Some("hung"));
        let holds = [60, 120, 121].map(|limit_s| hung.holds_for(Duration::from_secs(limit_s)));
        assert_eq!(holds, [true, true, false], "more time than it had asks anew");
        assert!(ran(0.98, 10.0, 1.0).holds_for(Duration::from_secs(1800)));
    }

    #[test]
    fn nothing_but_a_plain_file_of_reasonable_size_is_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        assert!(read_bounded(&file).expect("nothing there").is_none());
        std::fs::write(&file, "x".repeat((1 << 20) + 7)).expect("written");
        assert_eq!(read_bounded(&file).expect("readable").map(|text| text.len()), Some(1 << 20));
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        assert!(read_bounded(&link).is_err(), "a link is not followed");
        assert!(read_bounded(dir.path()).is_err(), "a folder is no file");
    }
}
