//! How each network stands: where it runs, and why there.

use super::mark::Mark;
use super::place;
use super::verdict::{Key, Outcome, Verdicts};
use crate::networks::Networks;
use sekisho_logic::time::WallMs;
use sekisho_vision::accelerator::Accelerator;
use sekisho_vision::manifest::Entry;
use sekisho_vision::session::Place;
use sekisho_vision::trial::Findings;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What is asked for, and whether it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// On the processor, as it should be.
    Wanted,
    /// On an accelerator that passed its trial.
    Passed,
    /// On the processor, because what was asked for cannot be had.
    Fallback,
    /// Not known yet: it is tried at the daemon's next start.
    Untried,
}

/// One network.
#[derive(Debug)]
pub struct Standing {
    /// `detector`, `embedder` or `second`.
    pub role: &'static str,
    /// The network's name.
    pub network: String,
    /// Where it was to run; `None`: on the processor.
    accelerator: Option<Accelerator>,
    /// Where it runs unless it fell meanwhile.
    place: Place,
    why: Why,
    /// One word for a fallback: `disagrees`, `slower`, `refused`, `crashed`, `hung`, `unstable`, `postponed`,
    /// `absent`.
    verdict: Option<&'static str>,
    reason: String,
    findings: Option<Findings>,
    key: Option<Key>,
}

/// A copy for whoever shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// `detector`, `embedder` or `second`.
    pub role: &'static str,
    /// The network's name.
    pub network: String,
    /// The provider in use; `cpu` for ONNX Runtime's own code.
    pub provider: &'static str,
    /// The kind of processor in use.
    pub device: &'static str,
    /// Whether that is what was asked for.
    pub why: Why,
    /// One word for a fallback.
    pub verdict: Option<&'static str>,
    /// A sentence.
    pub reason: String,
    /// What the trial found.
    pub findings: Option<Findings>,
}

impl Standing {
    pub(super) fn judged(
        role: &'static str,
        entry: &Entry,
        accelerator: &Accelerator,
        key: Key,
        outcome: Outcome,
        speedup_min: f64,
    ) -> Self {
        let on = format!("{} on {}", accelerator.provider.as_str(), accelerator.device.as_str());
        let findings = if let Outcome::Ran(found) = &outcome { Some(*found) } else { None };
        let (place, why, verdict, reason) = match (outcome.against(speedup_min), findings) {
            (Some((word, why)), _) => (Place::Cpu, Why::Fallback, Some(word), format!("{on} {word}: {why}")),
            (None, Some(found)) => {
                let said = format!(
                    "{on} agrees ({}) and keeps {:.2} times the processor's pace",
                    found.agreement,
                    found.speedup()
                );
                (place(accelerator), Why::Passed, None, said)
            }
            // Whatever did not run has a word against it.
            (None, None) => (Place::Cpu, Why::Fallback, Some("refused"), format!("{on}: the trial says nothing")),
        };
        let (network, accelerator) = (entry.id.clone(), Some(accelerator.clone()));
        Self { role, network, accelerator, place, why, verdict, reason, findings, key: Some(key) }
    }

    pub(super) fn untried(role: &'static str, entry: &Entry, accelerator: &Accelerator) -> Self {
        let on = format!("{} on {}", accelerator.provider.as_str(), accelerator.device.as_str());
        Self {
            accelerator: Some(accelerator.clone()),
            why: Why::Untried,
            reason: format!("{on} was not tried with it yet; the daemon does at its next start"),
            ..Self::plain(role, entry, None)
        }
    }

    /// Neither tried nor used at this start, for a reason that is not the accelerator's.
    pub(super) fn postponed(role: &'static str, entry: &Entry, accelerator: &Accelerator, why: &str) -> Self {
        let on = format!("{} on {}", accelerator.provider.as_str(), accelerator.device.as_str());
        Self {
            accelerator: Some(accelerator.clone()),
            why: Why::Fallback,
            verdict: Some("postponed"),
            reason: format!("{on} postponed: {why}; it is tried at the next start"),
            ..Self::plain(role, entry, None)
        }
    }

    fn plain(role: &'static str, entry: &Entry, absent: Option<&str>) -> Self {
        Self {
            role,
            network: entry.id.clone(),
            accelerator: None,
            place: Place::Cpu,
            why: if absent.is_some() { Why::Fallback } else { Why::Wanted },
            verdict: absent.map(|_| "absent"),
            reason: absent.unwrap_or("nothing else is asked for").to_owned(),
            findings: None,
            key: None,
        }
    }

    /// Why it left its accelerator while the daemon ran.
    fn fell(&self) -> Option<&str> {
        if let Place::On(_, fallen) = &self.place { fallen.why() } else { None }
    }

    fn shown(&self) -> Shown {
        let (role, network, findings) = (self.role, self.network.clone(), self.findings);
        let on = self.accelerator.as_ref().filter(|_| self.why == Why::Passed && self.fell().is_none());
        let (provider, device) = on.map_or(("cpu", "cpu"), |on| (on.provider.as_str(), on.device.as_str()));
        let (why, verdict, reason) = match (self.fell(), &self.accelerator) {
            (Some(fell), Some(from)) => {
                let reason = format!("{} on {} unstable: {fell}", from.provider.as_str(), from.device.as_str());
                (Why::Fallback, Some("unstable"), reason)
            }
            _ => (self.why, self.verdict, self.reason.clone()),
        };
        Shown { role, network, provider, device, why, verdict, reason, findings }
    }
}

/// All networks of a daemon.
#[derive(Debug)]
pub struct Standings {
    all: Vec<Standing>,
    /// Falls that were written down already, by role.
    noted: Mutex<Vec<&'static str>>,
    /// There while it may yet be that the accelerator takes the process with it.
    mark: Option<Mark>,
}

impl Standings {
    pub(super) fn new(mut judged: Vec<Standing>, networks: &Networks) -> Self {
        judged.extend(second(networks));
        Self { all: judged, noted: Mutex::default(), mark: None }
    }

    pub(super) fn marked(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    /// The process runs well, or ends in order.
    pub fn well(&self) {
        self.mark.iter().for_each(Mark::clear);
    }

    /// All on the processor; `absent` says why not where it was asked for.
    #[must_use]
    pub fn on_processor(networks: &Networks, absent: Option<&str>) -> Self {
        Self::new(networks.placed().map(|(role, entry)| Standing::plain(role, entry, absent)).collect(), networks)
    }

    /// Where the network of `role` runs.
    #[must_use]
    pub fn place(&self, role: &str) -> Place {
        self.all.iter().find(|one| one.role == role).map_or(Place::Cpu, |one| one.place.clone())
    }

    /// The ONNX Runtime that everything in the process runs in: that of the accelerator in use, else `stock`.
    #[must_use]
    pub fn runtime(&self, stock: &Path) -> PathBuf {
        let on = self.all.iter().find_map(|one| match &one.place {
            Place::On(accelerator, _) => Some(accelerator),
            Place::Cpu => None,
        });
        on.map_or_else(|| stock.to_path_buf(), |accelerator| accelerator.runtime(stock))
    }

    /// Whether any network runs on an accelerator.
    #[must_use]
    pub fn any_on_accelerator(&self) -> bool {
        self.all.iter().any(|one| matches!(one.place, Place::On(..)))
    }

    /// For whoever shows it.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        self.all.iter().map(Standing::shown).collect()
    }

    /// The network of `role` was refused in the daemon itself: it stays on the processor, and that is remembered. Where it was
    /// not on an accelerator its older verdict stays.
    pub fn refuse(&mut self, role: &str, why: &str, state_dir: &Path, now: WallMs) {
        for one in self.all.iter_mut().filter(|one| one.role == role) {
            let Place::On(accelerator, fallen) = &one.place else { continue };
            let reason = format!(
                "{} refused: it passed its trial and not the daemon's own check: {why}",
                accelerator.provider.as_str()
            );
            tracing::warn!("{} ({role}): {reason}; it runs on the processor", one.network);
            if let Some(key) = &one.key {
                Verdicts::read(state_dir).remember(key.clone(), Outcome::Refused(why.to_owned()), now);
            }
            fallen.fall(reason.clone());
            (one.place, one.why, one.verdict, one.reason) = (Place::Cpu, Why::Fallback, Some("refused"), reason);
        }
    }

    /// Writes down what fell since the last call, so that the next start does not try it again; gives it for the books.
    pub fn note_falls(&self, state_dir: &Path, now: WallMs) -> Vec<Shown> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fell = Vec::new();
        for one in self.all.iter().filter(|one| !noted.contains(&one.role)).collect::<Vec<_>>() {
            let (Some(why), Some(key)) = (one.fell(), &one.key) else { continue };
            tracing::error!("{} ({}) runs on the processor from now on: {why}", one.network, one.role);
            Verdicts::read(state_dir).remember(key.clone(), Outcome::Unstable(why.to_owned()), now);
            noted.push(one.role);
            fell.push(one.shown());
        }
        fell
    }

    /// One line a network in the log, where there is anything to say.
    pub(super) fn say(&self) {
        for one in self.shown() {
            match one.why {
                Why::Passed => tracing::info!("{} ({}): {}", one.network, one.role, one.reason),
                Why::Fallback => tracing::warn!("{} ({}) runs on the processor: {}", one.network, one.role, one.reason),
                Why::Wanted | Why::Untried => {}
            }
        }
    }

    /// Adds to `about`, which has an object for each role, where that network runs.
    pub fn add_to(&self, about: &mut Value) {
        let shown = self.shown();
        for one in shown.iter().filter(|one| about[one.role].is_object()).collect::<Vec<_>>() {
            let its = &mut about[one.role];
            (its["provider"], its["device"]) = (json!(one.provider), json!(one.device));
            (its["fallback"], its["reason"]) = (json!(one.verdict), json!(one.reason));
            its["trial"] = json!(one.findings);
        }
        let mut devices: Vec<_> = shown.iter().filter(|one| one.role != "second").map(|one| one.device).collect();
        devices.dedup();
        about["device"] = json!(devices.join(" and "));
    }
}

fn second(networks: &Networks) -> Option<Standing> {
    let entry = networks.second.as_deref()?;
    let reason = "it is asked about candidates only".to_owned();
    Some(Standing { reason, ..Standing::plain("second", entry, None) })
}
