//! What is remembered of trials, so that each is made once: a file in the state directory.

use sekisho_logic::time::WallMs;
use sekisho_vision::trial::Findings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The file's name.
pub const FILE: &str = "providers.json";

/// Verdicts kept, the newest. A box has two networks and one accelerator; the rest is the past.
const VERDICTS_MAX: usize = 64;

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
    /// Driver and processor, and what the process may do with them.
    pub driver: String,
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
    Hung(String),
    /// The trial went well and then the daemon did not.
    Unstable(String),
}

impl Outcome {
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
            Self::Hung(why) => Some(("hung", why.clone())),
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
        let known = match std::fs::read_to_string(&place) {
            Ok(text) => serde_json::from_str(&text).unwrap_or_else(|error| {
                tracing::warn!("{}: {error}; accelerators are tried again", place.display());
                Self::default()
            }),
            Err(_) => Self::default(),
        };
        Self { place, ..known }
    }

    /// The verdict on exactly this.
    #[must_use]
    pub fn on(&self, key: &Key) -> Option<&Verdict> {
        self.verdicts.iter().rev().find(|verdict| verdict.key == *key)
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

/// Writes a file so that a reader sees the old one or the new one, whatever happens meanwhile.
pub(super) fn write_whole(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = place.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, place)
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
            Key { options: BTreeMap::from([("precision".into(), "FP16".into())]), ..key("a") },
        ] {
            assert!(again.on(&other).is_none(), "{other:?}");
        }
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
        assert_eq!(word(&Outcome::Hung(String::new()), 0.0), Some("hung"));
    }
}
