//! `sekisho gallery withdraw`: a person takes their consent back, or objects.

use super::gallery::{actor, person_id};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::role::Action;
use sekisho_logic::time::Clock as _;
use sekisho_store::Withdrawal;
use serde_json::json as document;
use std::path::Path;

/// Options of `gallery withdraw`.
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// The person's reference.
    person: String,
    /// Where it is filed, or in which words; kept in the audit trail, which outlives the person: no names.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    glass: BreakGlass,
    #[command(flatten)]
    json: JsonFlag,
}

/// Takes the person out of matching at once. Nobody comes back by it: they are erased, and enrolled anew if they want to.
///
/// # Errors
/// [`Failure::No`] when nobody of that reference is enrolled, or the caller may not.
pub fn run(config: &Path, args: &WithdrawArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let person = person_id(&args.person)?;
    roles::require(Action::Withdraw, &settings, &args.glass)?;
    let mut store = site::open_store(&settings)?;
    let now = SystemClock::start().now().wall;
    let done = store.withdraw(&person, args.reason.as_deref(), &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    let since = match done {
        Withdrawal::Now => now,
        Withdrawal::Before(since) => since,
    };
    if args.json.json {
        json(&document!({ "person": person, "status": "withdrawn", "since": since.to_rfc3339() }));
        return Ok(());
    }
    line(&match done {
        Withdrawal::Now => format!("{person}: withdrawn; a running daemon stops matching them within a second"),
        Withdrawal::Before(since) => format!("{person}: withdrew already, {}", since.to_rfc3339()),
    });
    Ok(())
}
