//! `sekisho breach-report`.

use super::audit::time;
use super::gallery::actor;
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::books::breach;
use crate::clock::SystemClock;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use serde_json::json as document;
use std::path::Path;

/// Options of `breach-report`.
#[derive(Clone, Debug, Args)]
pub struct BreachArgs {
    /// Who had access since this time (2026-11-24T10:00:00Z); a year back without it.
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<WallMs>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

const YEAR_MS: i64 = 366 * 86_400_000;

/// Draws it up and prints it.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, args: BreachArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    roles::require(Action::ReportBreach, &settings, &args.glass)?;
    let mut store = site::open_store(&settings)?;
    let now = SystemClock::start().now().wall;
    let since = args.since.unwrap_or(WallMs(now.0.saturating_sub(YEAR_MS)));
    let report = breach::report(&settings, &mut store, since, now)?;
    store
        .audit(now, &actor(), "breach-report", None, document!({ "since": since.to_rfc3339() }))
        .map_err(Failure::no)?;
    if args.json.json {
        json(&report);
    } else {
        line(&breach::markdown(&report));
    }
    Ok(())
}
