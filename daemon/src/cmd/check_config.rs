//! `sekisho check-config`: what CI, packaging and operators all run.

use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::config::{self, ConfigError, Settings};
use clap::Args;
use serde_json::json as document;
use std::path::Path;

/// Options of `check-config`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckConfigArgs {
    #[command(flatten)]
    json: JsonFlag,
}

/// Reads the configuration for a verb.
///
/// # Errors
/// [`Failure::Wrong`] with every mistake on a line of its own.
pub fn load(config: &Path) -> Result<Settings, Failure> {
    config::load(config).map_err(Failure::wrong)
}

/// Checks and prints.
///
/// # Errors
/// [`Failure::Wrong`] with every mistake on a line of its own.
pub fn run(config: &Path, args: CheckConfigArgs) -> Result<(), Failure> {
    let read = config::load(config);
    if args.json.json {
        let problems = match &read {
            Err(ConfigError::Invalid(problems)) => problems
                .list()
                .iter()
                .map(|problem| {
                    document!({
                        "line": problem.line, "section": problem.section, "key": problem.key,
                        "wrong": problem.wrong, "allowed": problem.allowed,
                    })
                })
                .collect(),
            Err(ConfigError::Unreadable { cause, .. }) => vec![document!({ "wrong": cause.to_string() })],
            Ok(_) => Vec::new(),
        };
        let (undone, profile) = match &read {
            Ok(settings) => (settings.undone(), settings.profile_changes()),
            Err(_) => (Vec::new(), [].as_slice()),
        };
        json(&document!({
            "file": config, "valid": read.is_ok(), "problems": problems, "undone": undone, "profile-changes": profile,
        }));
    }
    let settings = read.map_err(Failure::wrong)?;
    if !args.json.json {
        let cameras = settings.cameras.values().filter(|camera| camera.enabled).count();
        line(&format!("{}: valid; {cameras} cameras enabled, {} lists", config.display(), settings.lists.len()));
        for change in settings.profile_changes() {
            line(&format!("  profile {}: {change}", settings.privacy.profile.as_str()));
        }
        for said in settings.undone() {
            line(&format!("  to do: {said}"));
        }
    }
    Ok(())
}
