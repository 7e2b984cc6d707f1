//! `sekisho models`: are the networks what the manifest says, and on what they had best run.

use super::models_bench::{self, BenchArgs};
use super::output::{json, line, table};
use super::{Failure, JsonFlag, chain};
use crate::networks::Networks;
use crate::providers::trial;
use clap::Subcommand;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::manifest::Usage;
use sekisho_vision::session::Runtime;
use sekisho_vision::verify::{ModelReport, verify};
use serde_json::json as document;
use std::path::Path;

/// What to do with the networks.
#[derive(Debug, Subcommand)]
pub enum ModelsVerb {
    /// Check every network of the manifest: hash, contract, a run on a stored input; and say its licence.
    Verify(JsonFlag),
    /// Measure the networks on the processor and on every accelerator there is: latency, agreement, verdict.
    Bench(BenchArgs),
    /// For the daemon's own use: tries a network on an accelerator, as standard input says.
    #[command(hide = true)]
    TryProvider,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure::No`] when a network is not what the manifest says, [`Failure::Wrong`] when there is no manifest.
pub fn run(config: &Path, verb: ModelsVerb) -> Result<(), Failure> {
    match verb {
        ModelsVerb::Verify(flag) => verify_all(config, flag),
        ModelsVerb::Bench(args) => models_bench::run(config, &args),
        ModelsVerb::TryProvider => trial::answer(),
    }
}

fn verify_all(config: &Path, flag: JsonFlag) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let manifest = Manifest::load(&settings.models.manifest).map_err(Failure::wrong)?;
    let manifest = manifest.with_models_dir(&settings.models.dir);
    let runtime = Runtime::load(&settings.models.onnxruntime).map_err(Failure::wrong)?;
    let reports = verify(runtime, &manifest);
    // What the configuration does not ask for need not be installed: the package leaves the largest network to another one.
    let chosen = Networks::choose(&settings).ok();
    let asked_for = |id: &str| {
        let chosen =
            chosen.as_ref().map(|chosen| [Some(&chosen.detector), Some(&chosen.embedder), chosen.second.as_ref()]);
        chosen.is_none_or(|chosen| chosen.into_iter().flatten().any(|entry| entry.id == id))
    };
    let absent = |report: &ModelReport| !asked_for(&report.id) && !report.file.exists();
    let faults = reports.iter().filter(|report| !absent(report)).filter_map(|report| report.fault.as_ref());
    let bad: Vec<_> = faults.map(|fault| chain(fault)).collect();
    if flag.json {
        json(&document!({
            "runtime": runtime.build_info(),
            "networks": reports.iter().map(|report| document!({
                "id": report.id, "role": report.role, "file": report.file, "digest": report.digest,
                "licence": report.licence, "licence-note": report.licence_note, "usage": report.usage,
                "valid": report.fault.is_none(), "absent": absent(report), "fault": report.fault.as_ref().map(|fault| chain(fault)),
            })).collect::<Vec<_>>(),
            "valid": bad.is_empty(),
        }));
    } else {
        let rows = reports.iter().map(|report| {
            vec![
                report.id.clone(),
                report.role.to_string(),
                report.licence.clone(),
                usage(report.usage).to_owned(),
                match &report.fault {
                    None => "valid".into(),
                    Some(_) if absent(report) => "absent, not asked for".into(),
                    Some(_) => "REFUSED".into(),
                },
            ]
        });
        line(&table(&["network", "role", "licence", "usage", "state"], &rows.collect::<Vec<_>>()));
    }
    if bad.is_empty() { Ok(()) } else { Err(Failure::No(bad.join("\n"))) }
}

/// The word people read.
#[must_use]
pub const fn usage(usage: Usage) -> &'static str {
    match usage {
        Usage::Commercial => "commercial",
        Usage::NonCommercial => "non-commercial",
    }
}
