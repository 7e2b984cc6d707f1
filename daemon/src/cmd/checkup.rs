//! `sekisho doctor`: one page of what is wrong with this installation and what to do. (The gallery's own doctor is
//! `gallery doctor`, in `cmd/doctor.rs`.)

use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::checkup::{self, Depth, Level};
use clap::Args;
use std::path::Path;

/// Options of `doctor`.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckupArgs {
    /// Leave out what takes long: self-tests of networks, photographs of people, the walk along the audit trail.
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// Looks and prints. Changes nothing.
///
/// # Errors
/// [`Failure::No`] with an error among the findings, [`Failure::Wrong`] without a readable configuration.
pub fn run(config: &Path, args: CheckupArgs) -> Result<(), Failure> {
    let report = checkup::examine(config, if args.quick { Depth::Quick } else { Depth::Whole });
    if args.json.json {
        json(&checkup::document(&report));
    } else {
        line(&checkup::text(&report));
    }
    let errors = report.count(Level::Error);
    match (report.configured, errors) {
        (false, _) => Err(Failure::Wrong("the configuration cannot be used; the page says why".into())),
        (true, 0) => Ok(()),
        (true, 1) => Err(Failure::No("1 error; the page says what to do".into())),
        (true, errors) => Err(Failure::No(format!("{errors} errors; the page says what to do about each"))),
    }
}
