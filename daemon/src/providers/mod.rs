//! On what the networks run, and why: the choice, its trial, and what became of it.
//!
//! ```text
//! settings + what is installed + devices -> one accelerator at most
//!   none asked for                            -> processor, without a word
//!   asked for and not there                   -> processor, and the reason
//!   one, for each network: verdict remembered     -> as it says
//!                          three bad ends in a row -> processor, remembered
//!                          never tried            -> trial in a child, remembered unless it was broken off
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
use mark::{ENDS_MAX, Mark};
use sd_notify::NotifyState;
use sekisho_logic::time::WallMs;
use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sekisho_vision::manifest::Entry;
use sekisho_vision::session::Place;
use standing::{Standing, Standings};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trial::NoTrial;
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
fn key(settings: &Settings, networks: &Networks, accelerator: &Accelerator, entry: &Entry) -> Key {
    Key {
        network: entry.id.clone(),
        digest: entry.sha256.clone(),
        provider: accelerator.provider.as_str().to_owned(),
        device: accelerator.device.as_str().to_owned(),
        library: devices::library(accelerator, &settings.models.onnxruntime),
        driver: devices::driver(accelerator),
        confined: devices::confined(accelerator),
        measure: devices::measure(&networks.manifest, &settings.models.manifest, &networks.detector, entry),
        options: accelerator.options.clone(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Tries a network in a child process, until `stop` says that there is no time for it any more.
///
/// # Errors
/// [`NoTrial`] when nothing is learnt of the accelerator.
pub fn try_out(
    settings: &Settings,
    networks: &Networks,
    entry: &Entry,
    accelerator: &Accelerator,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, NoTrial> {
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
    trial::ask(&question, models.provider_trial, stop)
}

/// Where each network of the daemon runs, found out if it is not known yet. `stop` says that the daemon is to end: what is not
/// tried by then is not tried. The state directory must be this process' own.
#[must_use]
pub fn settle(settings: &Settings, networks: &Networks, now: WallMs, stop: &dyn Fn() -> bool) -> Standings {
    let state_dir = &settings.daemon.state_dir;
    let processor = |absent: Option<&str>| {
        mark::reset(state_dir);
        Standings::on_processor(networks, absent)
    };
    let accelerator = match wish(settings) {
        Wish::Processor => return processor(None),
        Wish::Absent(why) => {
            tracing::warn!("{why}; everything runs on the processor");
            return processor(Some(&why));
        }
        Wish::Accelerator(accelerator) => accelerator,
    };
    let keys: Vec<_> = networks.placed().map(|(_, entry)| key(settings, networks, &accelerator, entry)).collect();
    let (least, limit) = (settings.models.provider_speedup_min, settings.models.provider_trial);
    let mut verdicts = Verdicts::read(state_dir);
    let known = |key| Some(verdicts.on(key)?.outcome.clone()).filter(|outcome| outcome.holds_for(limit));
    let known: Vec<_> = keys.iter().map(known).collect();
    let fails = |outcome: &Outcome| outcome.against(least).is_some();
    let (of, open) = (mark::of(keys.iter()), known.iter().any(|known| !known.as_ref().is_some_and(fails)));
    // Whatever ends this process or the machine from here on is counted: in a trial, in a load or in a run.
    let mark = match open.then(|| Mark::set(state_dir, &of)).transpose() {
        Ok(mark) => mark,
        Err(error) => return unwatched(networks, &accelerator, &error),
    };
    let ends = mark.as_ref().map_or(0, Mark::ends_before);
    let (mut judged, mut broken_off) = (Vec::new(), None::<NoTrial>);
    for ((role, entry), (key, known)) in networks.placed().zip(keys.into_iter().zip(known)) {
        let outcome = match (known, &broken_off) {
            (Some(outcome), _) if fails(&outcome) => Ok(outcome),
            _ if ends >= ENDS_MAX => Ok(Outcome::Unstable(format!(
                "the daemon ended out of order {ends} times in a row while it tried it or ran there"
            ))),
            (Some(outcome), _) => Ok(outcome),
            (None, Some(why)) => Err(why.clone()),
            (None, None) => tried_aloud(settings, networks, entry, &accelerator, stop),
        };
        judged.push(match outcome {
            Ok(outcome) => {
                if verdicts.on(&key).is_none_or(|verdict| verdict.outcome != outcome) {
                    verdicts.remember(key.clone(), outcome.clone(), now);
                }
                Standing::judged(role, entry, &accelerator, key, outcome, least)
            }
            Err(why) => {
                let postponed = Standing::postponed(role, entry, &accelerator, &why.to_string());
                broken_off = broken_off.or(Some(why).filter(|why| matches!(why, NoTrial::Stopped(_))));
                postponed
            }
        });
    }
    let standings = Standings::new(judged, networks);
    standings.say();
    let mark = mark.filter(|_| standings.any_on_accelerator());
    if mark.is_none() {
        mark::reset(state_dir);
    }
    standings.marked(mark)
}

/// Everything on the processor because no mark can be set.
fn unwatched(networks: &Networks, accelerator: &Accelerator, error: &std::io::Error) -> Standings {
    let why = format!("a crash of it would not be noticed: {error}");
    let all = networks.placed().map(|(role, entry)| Standing::postponed(role, entry, accelerator, &why));
    let standings = Standings::new(all.collect(), networks);
    standings.say();
    standings
}

fn tried_aloud(
    settings: &Settings,
    networks: &Networks,
    entry: &Entry,
    accelerator: &Accelerator,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, NoTrial> {
    let limit = settings.models.provider_trial;
    let (provider, device) = (accelerator.provider.as_str(), accelerator.device.as_str());
    tracing::info!("{}: tried on {device} by {provider}, for {} s at the most", entry.id, limit.as_secs());
    ask_for_time(limit);
    try_out(settings, networks, entry, accelerator, stop)
}

/// Has the service manager wait for another trial or load, and what else there is to do at a start. Compilers of neural
/// processors take a minute for a network.
pub fn ask_for_time(limit: Duration) {
    let more = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX).saturating_add(60_000_000);
    notify::tell(&[NotifyState::ExtendTimeoutUsec(more)]);
}

/// What the daemon remembers of a network on an accelerator, as far as it still holds.
#[must_use]
pub fn remembered(
    settings: &Settings,
    networks: &Networks,
    verdicts: &Verdicts,
    entry: &Entry,
    accelerator: &Accelerator,
) -> Option<(Key, Outcome)> {
    let key = key(settings, networks, accelerator, entry);
    let outcome = verdicts.on_any(&key)?.outcome.clone();
    outcome.holds_for(settings.models.provider_trial).then_some((key, outcome))
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
    let (least, verdicts) = (settings.models.provider_speedup_min, Verdicts::read(&settings.daemon.state_dir));
    let judged =
        networks.placed().map(|(role, entry)| match remembered(settings, networks, &verdicts, entry, &accelerator) {
            Some((key, outcome)) => Standing::judged(role, entry, &accelerator, key, outcome, least),
            None => Standing::untried(role, entry, &accelerator),
        });
    Standings::new(judged.collect(), networks)
}

/// The place of a network in a process whose ONNX Runtime is that of `accelerator`.
fn place(accelerator: &Accelerator) -> Place {
    Place::On(accelerator.clone(), Arc::default())
}

#[cfg(test)]
mod tests;
