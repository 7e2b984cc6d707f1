//! Networks, calibration, and whether anybody measured what comes of them.

use super::{Area, Depth, Finding};
use crate::clock::SystemClock;
use crate::cmd::chain;
use crate::config::Settings;
use crate::evaluate::summary::Summary;
use crate::networks::Networks;
use crate::providers;
use crate::providers::standing::{Shown, Why};
use crate::run::keeper;
use crate::site::{self, CalibrationPlaces};
use sekisho_logic::time::Clock as _;
use sekisho_vision::manifest::Usage;
use sekisho_vision::session::Runtime;
use sekisho_vision::verify::verify_one;

/// What is wrong with the networks in use, the calibration in force and what was measured.
pub(super) fn all(settings: &Settings, depth: Depth) -> Vec<Finding> {
    let networks = match Networks::choose(settings) {
        Ok(networks) => networks,
        Err(error) => {
            let finding = Finding::error((Area::Models, "manifest"), "", error.to_string());
            return vec![finding.advise("install the package again, or run deploy/setup; check [models]")];
        }
    };
    let mut found = match depth {
        Depth::Whole => verified(settings, &networks),
        Depth::Quick => files(&networks),
    };
    found.extend(in_use(&networks).filter(|entry| entry.usage == Usage::NonCommercial).map(|entry| {
        let said = "its weights are for pilots and may not be used commercially";
        let finding = Finding::notice((Area::Models, "not-commercial"), &entry.id, said);
        finding.advise(
            "a company's site takes another network after the pilot: [models] embedder, and models.md of the guide",
        )
    }));
    found.extend(calibration(settings, &networks));
    found.extend(networks.first().ok().map(|first| accuracy(settings, &first.model_digest)));
    found
}

fn in_use(networks: &Networks) -> impl Iterator<Item = &std::sync::Arc<sekisho_vision::manifest::Entry>> {
    [&networks.detector, &networks.embedder].into_iter().chain(&networks.second)
}

const AGAIN: &str =
    "install the package again, or run deploy/setup; the networks must be exactly those of the manifest";

/// Whether the files are there at all.
fn files(networks: &Networks) -> Vec<Finding> {
    let each = in_use(networks).map(|entry| {
        let file = networks.manifest.file_of(entry);
        match std::fs::metadata(&file) {
            Ok(_) => Finding::ok((Area::Models, "there"), &entry.id, "its file is there (not verified)"),
            Err(error) => {
                let said = format!("{}: {error}", file.display());
                Finding::error((Area::Models, "missing"), &entry.id, said).advise(AGAIN)
            }
        }
    });
    each.collect()
}

/// Hash, contract and self-test, as the daemon does them at its start.
fn verified(settings: &Settings, networks: &Networks) -> Vec<Finding> {
    let runtime = match Runtime::load(&settings.models.onnxruntime) {
        Ok(runtime) => runtime,
        Err(error) => {
            let finding = Finding::error(
                (Area::Models, "runtime"),
                settings.models.onnxruntime.display().to_string(),
                chain(&error).replace('\n', " "),
            );
            return vec![finding.advise("install the package again; check [models] onnxruntime")];
        }
    };
    let each = in_use(networks).map(|entry| {
        let report = verify_one(runtime, &networks.manifest, entry);
        match report.fault {
            None => Finding::ok((Area::Models, "verified"), &entry.id, "hash, contract and self-test agree"),
            Some(fault) => {
                let id = if report.file.exists() { "refused" } else { "missing" };
                Finding::error((Area::Models, id), &entry.id, chain(&fault).replace('\n', " ")).advise(AGAIN)
            }
        }
    });
    each.collect()
}

/// On what the networks will run, by what the daemon remembers, for when it does not say so itself; nothing is tried here.
pub(super) fn remembered(settings: &Settings) -> Vec<Finding> {
    let Ok(networks) = Networks::choose(settings) else { return Vec::new() };
    let finding = |one: Shown| match one.why {
        Why::Wanted => None,
        Why::Passed => Some(Finding::ok((Area::Provider, "passed"), one.role, one.reason)),
        Why::Untried => Some(Finding::notice((Area::Provider, "untried"), one.role, one.reason)),
        Why::Fallback => Some(fallback(one.role, &one.reason)),
    };
    providers::standing(settings, &networks).shown().into_iter().filter_map(finding).collect()
}

/// A network that was asked onto an accelerator and is not on it.
pub(super) fn fallback(role: &str, why: &str) -> Finding {
    let said = format!("it runs on the processor, because what was asked for was not taken: {why}");
    Finding::warning((Area::Provider, "fallback"), role, said).advise(
        "read ACCELERATORS in sekisho(1); `sekisho models bench` tries every device there is, and with --forget the next start \
         does; device = \"cpu\" in [models] asks for none",
    )
}

fn calibration(settings: &Settings, networks: &Networks) -> Vec<Finding> {
    let again = "install the package again; a site's own is made with `sekisho calibrate`";
    let places = networks.shipped_calibration(&networks.embedder).and_then(|shipped| {
        let first = networks.first()?;
        let own = site::site_calibration(settings);
        Ok(CalibrationPlaces { shipped, own, model_digest: first.model_digest, preprocessing: first.preprocessing })
    });
    let chosen = match places.and_then(|places| places.choose()) {
        Ok(chosen) => chosen,
        Err(error) => return vec![Finding::error((Area::Calibration, "none"), "", error.to_string()).advise(again)],
    };
    let now = SystemClock::start().now().wall;
    let said = keeper::view(&chosen, settings, now).json;
    let age = said["age-days"].as_u64().map_or_else(|| "of unknown age".to_owned(), |days| format!("{days} days old"));
    let own = chosen.file == site::site_calibration(settings);
    let mut found = Vec::new();
    if let Some(why) = &chosen.refused {
        let finding = Finding::error((Area::Calibration, "refused"), "", why.clone());
        found.push(finding.advise("`sekisho calibrate --from-shadow --install`"));
    }
    if said["old"] == true {
        let finding =
            Finding::warning((Area::Calibration, "old"), "", format!("it is {age}; cameras, light and people change"));
        found.push(finding.advise("`sekisho calibrate --from-shadow --install`"));
    }
    if !own && chosen.refused.is_none() {
        let said = format!("the shipped one is in force ({age}): it was never made to fit this site's cameras");
        let finding = Finding::warning((Area::Calibration, "not-of-this-site"), "", said);
        found.push(finding.advise(
            "before going live: two people enrolled or more, some weeks with mode = \"shadow\" in [decide], then `sekisho calibrate --from-shadow --install`",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok((Area::Calibration, "of-this-site"), "", format!("made for this site, {age}")));
    }
    found
}

/// Whether false identifications were measured with this network.
fn accuracy(settings: &Settings, model_digest: &str) -> Finding {
    let standing = Summary::standing(settings, model_digest);
    let measure = "before going live: `sekisho evaluate` with photographs of people here, --groups and --write-summary, as \
                   operate.md of the guide says";
    let bad = |id, said: String| Finding::warning((Area::Accuracy, id), "", said).advise(measure);
    if standing.is_null() {
        return bad(
            "not-measured",
            "nobody has measured how often strangers are taken for enrolled people here".into(),
        );
    }
    if let Some(said) = standing["unreadable"].as_str() {
        return bad("unreadable", said.to_owned());
    }
    if standing["of-network-in-use"] == false {
        return bad("of-another-network", "errors were measured with another network than the one in use".into());
    }
    let apart = standing["apart"].as_array().map_or(0, Vec::len);
    let made = standing["measured"].as_str().unwrap_or("at an unknown time");
    match apart {
        0 => Finding::ok((Area::Accuracy, "measured"), "", format!("errors were measured {made}")),
        _ => bad(
            "groups-apart",
            format!("{apart} groups of people are further apart in errors than the site bears (measured {made})"),
        ),
    }
}
