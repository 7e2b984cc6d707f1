//! `sekisho models`: are the networks what the manifest says.

use super::output::{json, line, table};
use super::{Failure, JsonFlag, chain};
use clap::Subcommand;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::manifest::Usage;
use sekisho_vision::session::Runtime;
use sekisho_vision::verify::verify;
use serde_json::json as document;
use std::path::Path;

/// What to do with the networks.
#[derive(Debug, Subcommand)]
pub enum ModelsVerb {
    /// Check every network of the manifest: hash, contract, a run on a stored input; and say its licence.
    Verify(JsonFlag),
}

/// Does what was asked.
///
/// # Errors
/// [`Failure::No`] when a network is not what the manifest says, [`Failure::Wrong`] when there is no manifest.
pub fn run(config: &Path, verb: ModelsVerb) -> Result<(), Failure> {
    let ModelsVerb::Verify(flag) = verb;
    let settings = super::check_config::load(config)?;
    let manifest = Manifest::load(&settings.models.manifest).map_err(Failure::wrong)?;
    let manifest = manifest.with_models_dir(&settings.models.dir);
    let runtime = Runtime::load(&settings.models.onnxruntime).map_err(Failure::wrong)?;
    let reports = verify(runtime, &manifest);
    let bad: Vec<_> = reports.iter().filter_map(|report| report.fault.as_ref()).map(|fault| chain(fault)).collect();
    if flag.json {
        json(&document!({
            "runtime": runtime.build_info(),
            "networks": reports.iter().map(|report| document!({
                "id": report.id, "role": report.role, "file": report.file, "digest": report.digest,
                "licence": report.licence, "licence-note": report.licence_note, "usage": report.usage,
                "valid": report.fault.is_none(), "fault": report.fault.as_ref().map(|fault| chain(fault)),
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
                if report.fault.is_none() { "valid".into() } else { "REFUSED".into() },
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
