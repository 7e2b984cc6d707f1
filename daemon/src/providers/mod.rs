//! On what the networks run, and why: the choice, its trial, and what became of it.
//!
//! ```text
//! settings + what is installed + devices -> one accelerator at most
//!   none asked for                            -> processor, without a word
//!   asked for and not there                   -> processor, and the reason
//!   one, for each network: verdict remembered -> as it says
//!                          never tried        -> trial in a child, remembered
//! ```
//!
//! One accelerator is tried and nothing after it: what an operator sees in the status is what was asked for, or a reason.
//! The detector and the embedder are judged apart. The second network stays on the processor: it is asked about candidates
//! only, and its opinion is worth most where nothing of the way is shared. Commands at a terminal run on the processor too,
//! so that templates are made by what accelerators are measured against.

mod devices;
pub mod mark;
pub mod standing;
pub mod trial;
pub mod verdict;

use crate::config::Settings;
use crate::config::settings::{DeviceChoice, ProviderChoice};
use crate::networks::Networks;
use crate::notify;
use crate::site;
use mark::{ENDS_MAX, Mark};
use sd_notify::NotifyState;
use sekisho_logic::time::WallMs;
use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sekisho_vision::manifest::Entry;
use sekisho_vision::session::Place;
use standing::{Standing, Standings};
use std::path::PathBuf;
use std::sync::Arc;
use verdict::{Key, Outcome, Verdicts};

/// What the settings come to on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The processor: nothing else is asked for or installed.
    Processor,
    /// What was asked for is not there; a sentence.
    Absent(String),
    /// This one.
    Accelerator(Accelerator),
}

/// Where a provider's libraries lie.
#[must_use]
pub fn folder(settings: &Settings, provider: Provider) -> PathBuf {
    settings.models.provider_dir.join(provider.as_str())
}

/// Whether a provider's libraries are there.
#[must_use]
pub fn installed(settings: &Settings, provider: Provider) -> bool {
    folder(settings, provider).join(provider.library()).exists()
}

/// A provider on a device, as the settings have it.
fn accelerator(settings: &Settings, provider: Provider, device: Device) -> Accelerator {
    let options = settings.models.provider_options.get(&provider).cloned().unwrap_or_default();
    Accelerator { provider, device, folder: folder(settings, provider), options }
}

/// The devices a provider computes on, in the order in which `auto` prefers them.
const fn devices_of(provider: Provider) -> &'static [Device] {
    match provider {
        Provider::OpenVino => &[Device::Npu, Device::Gpu, Device::Cpu],
        Provider::Qnn => &[Device::Npu],
    }
}

/// Every provider that is installed, on every device there is.
#[must_use]
pub fn all(settings: &Settings) -> Vec<Accelerator> {
    let installed = Provider::ALL.into_iter().filter(|provider| installed(settings, *provider));
    let each = installed.flat_map(|provider| {
        let there = devices_of(provider).iter().filter(move |device| there(provider, **device).is_ok());
        there.map(move |device| accelerator(settings, provider, *device))
    });
    each.collect()
}

/// Whether the device is there, or can be emulated where that is asked for by name.
fn there(provider: Provider, device: Device) -> Result<(), String> {
    if devices::emulated(provider) { Ok(()) } else { devices::present(provider, device) }
}

/// What the settings come to.
#[must_use]
pub fn wish(settings: &Settings) -> Wish {
    let (provider, device) = (settings.models.provider, settings.models.device);
    match (provider, device) {
        (ProviderChoice::Cpu, _) | (ProviderChoice::Auto, DeviceChoice::Named(Device::Cpu)) => Wish::Processor,
        (ProviderChoice::Auto, DeviceChoice::Auto) => {
            // An emulator is never what somebody meant who said nothing.
            let found = all(settings).into_iter().find(|found| !devices::emulated(found.provider));
            found.map_or(Wish::Processor, Wish::Accelerator)
        }
        (ProviderChoice::Auto, DeviceChoice::Named(device)) => {
            let real = |found: &Accelerator| found.device == device && !devices::emulated(found.provider);
            all(settings).into_iter().find(real).map_or_else(|| no_device(settings, device), Wish::Accelerator)
        }
        (ProviderChoice::Named(provider), device) => by_name(settings, provider, device),
    }
}

fn no_device(settings: &Settings, device: Device) -> Wish {
    let computing = || Provider::ALL.into_iter().filter(|provider| devices_of(*provider).contains(&device));
    let said: Vec<_> = computing()
        .map(|provider| match (installed(settings, provider), devices::present(provider, device)) {
            (true, Err(why)) => format!("{}: {why}", provider.as_str()),
            (true, Ok(())) => format!("{}: it would be emulated; name the provider to have that", provider.as_str()),
            (false, _) => {
                format!("{}: its libraries are not in {}", provider.as_str(), folder(settings, provider).display())
            }
        })
        .collect();
    Wish::Absent(format!("[models] device = \"{}\" cannot be had: {}", device.as_str(), said.join("; ")))
}

fn by_name(settings: &Settings, provider: Provider, device: DeviceChoice) -> Wish {
    let absent =
        |why: String| Wish::Absent(format!("[models] provider = \"{}\" cannot be had: {why}", provider.as_str()));
    if !installed(settings, provider) {
        let place = folder(settings, provider).join(provider.library());
        return absent(format!("{} is not there; put the provider's libraries into that folder", place.display()));
    }
    let device = match device {
        DeviceChoice::Named(device) => Some(device),
        DeviceChoice::Auto => devices_of(provider).iter().copied().find(|device| there(provider, *device).is_ok()),
    };
    match device {
        None => absent("this machine has no device for it".to_owned()),
        Some(device) => match there(provider, device) {
            Ok(()) => Wish::Accelerator(accelerator(settings, provider, device)),
            Err(why) => absent(format!("device {}: {why}", device.as_str())),
        },
    }
}

/// What a verdict on `entry` depends on.
fn key(settings: &Settings, accelerator: &Accelerator, entry: &Entry) -> Key {
    Key {
        network: entry.id.clone(),
        digest: entry.sha256.clone(),
        provider: accelerator.provider.as_str().to_owned(),
        device: accelerator.device.as_str().to_owned(),
        library: devices::library(accelerator, &settings.models.onnxruntime),
        driver: devices::driver(accelerator),
        options: accelerator.options.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Tries a network in a child process.
#[must_use]
pub fn try_out(settings: &Settings, networks: &Networks, entry: &Entry, accelerator: &Accelerator) -> Outcome {
    let models = &settings.models;
    let question = trial::Question {
        manifest: models.manifest.clone(),
        models: models.dir.clone(),
        onnxruntime: models.onnxruntime.clone(),
        detector: networks.detector.id.clone(),
        network: entry.id.clone(),
        provider: accelerator.provider.as_str().to_owned(),
        device: accelerator.device.as_str().to_owned(),
        folder: accelerator.folder.clone(),
        options: accelerator.options.clone(),
    };
    trial::ask(&question, models.provider_trial)
}

/// Where each network of the daemon runs, found out if it is not known yet.
#[must_use]
pub fn settle(settings: &Settings, networks: &Networks, now: WallMs) -> Standings {
    let accelerator = match wish(settings) {
        Wish::Processor => return Standings::on_processor(networks, None),
        Wish::Absent(why) => {
            tracing::warn!("{why}; everything runs on the processor");
            return Standings::on_processor(networks, Some(&why));
        }
        Wish::Accelerator(accelerator) => accelerator,
    };
    let state_dir = &settings.daemon.state_dir;
    // At the very first start nobody has made it yet; a failure is said where the verdict cannot be written.
    let _said_later = site::make_private(state_dir);
    let mut verdicts = Verdicts::read(state_dir);
    let ends = mark::unclean_ends(state_dir);
    let mut judged = Vec::new();
    for (role, entry) in networks.placed() {
        let key = key(settings, &accelerator, entry);
        let known = verdicts.on(&key).map(|verdict| verdict.outcome.clone());
        let outcome = known.unwrap_or_else(|| {
            let found = tried_aloud(settings, networks, entry, &accelerator);
            verdicts.remember(key.clone(), found.clone(), now);
            found
        });
        let outcome = if ends >= ENDS_MAX && outcome.against(settings.models.provider_speedup_min).is_none() {
            let why = format!("the daemon ended out of order {ends} times in a row while it ran there");
            let unstable = Outcome::Unstable(why);
            verdicts.remember(key.clone(), unstable.clone(), now);
            unstable
        } else {
            outcome
        };
        judged.push(Standing::judged(role, entry, &accelerator, key, outcome, settings.models.provider_speedup_min));
    }
    if ends >= ENDS_MAX {
        mark::reset(state_dir);
    }
    let standings = Standings::new(judged, networks);
    standings.say();
    let mark = standings.any_on_accelerator().then(|| Mark::set(state_dir));
    standings.marked(mark)
}

fn tried_aloud(settings: &Settings, networks: &Networks, entry: &Entry, accelerator: &Accelerator) -> Outcome {
    let limit = settings.models.provider_trial;
    let (provider, device) = (accelerator.provider.as_str(), accelerator.device.as_str());
    tracing::info!("{}: tried on {device} by {provider}, for {} s at the most", entry.id, limit.as_secs());
    // The service manager waits for a start as long as it is told; compilers of neural processors take a minute.
    let more = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX).saturating_add(60_000_000);
    notify::tell(&[NotifyState::ExtendTimeoutUsec(more)]);
    try_out(settings, networks, entry, accelerator)
}

/// How each network stands by what is remembered, without trying anything: what `sekisho doctor` shows. Networks whose
/// verdict is not known are marked so.
#[must_use]
pub fn standing(settings: &Settings, networks: &Networks) -> Standings {
    let accelerator = match wish(settings) {
        Wish::Processor => return Standings::on_processor(networks, None),
        Wish::Absent(why) => return Standings::on_processor(networks, Some(&why)),
        Wish::Accelerator(accelerator) => accelerator,
    };
    let verdicts = Verdicts::read(&settings.daemon.state_dir);
    let judged = networks.placed().map(|(role, entry)| {
        let key = key(settings, &accelerator, entry);
        match verdicts.on(&key) {
            Some(verdict) => {
                let (outcome, least) = (verdict.outcome.clone(), settings.models.provider_speedup_min);
                Standing::judged(role, entry, &accelerator, key, outcome, least)
            }
            None => Standing::untried(role, entry, &accelerator),
        }
    });
    Standings::new(judged.collect(), networks)
}

/// The place of a network in a process whose ONNX Runtime is that of `accelerator`.
fn place(accelerator: &Accelerator) -> Place {
    Place::On(accelerator.clone(), Arc::default())
}

#[cfg(test)]
mod tests;
