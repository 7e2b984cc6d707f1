//! `sekisho pause-matching` and `sekisho resume-matching`: the switch that stops all matching.
//!
//! The running daemon is told over its socket, so whoever administers it needs no access to the database. Where none runs,
//! the switch is set in the database, and a daemon that starts later begins paused.

use super::client::{Client, converse};
use super::gallery::actor;
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::site;
use clap::Args;
use sekisho_logic::time::Clock as _;
use sekisho_store::PAUSE_MATCHING;
use serde_json::json as document;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Options of `pause-matching`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Why; kept with the switch and in the audit trail.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    json: JsonFlag,
}

/// Pauses.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn pause(config: &Path, args: &PauseArgs) -> Result<(), Failure> {
    turn(config, Some(&args.reason), args.json)
}

/// Goes on.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn resume(config: &Path, flag: JsonFlag) -> Result<(), Failure> {
    turn(config, None, flag)
}

fn turn(config: &Path, reason: Option<&str>, flag: JsonFlag) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let changed = if UnixStream::connect(&settings.daemon.socket).is_ok() {
        let (path, body) = match reason {
            Some(reason) => ("/v1/matching/pause", document!({ "reason": reason })),
            None => ("/v1/matching/resume", document!({})),
        };
        let client = Client::new(&settings.daemon.socket);
        converse(client.post(path, &body))?["changed"] == true
    } else {
        in_database(&settings, reason)?
    };
    if flag.json {
        json(&document!({ "paused": reason.is_some(), "changed": changed }));
        return Ok(());
    }
    line(match (reason, changed) {
        (Some(_), true) => "matching is paused; `sekisho resume-matching` goes on with it",
        (Some(_), false) => "matching was paused already; the first reason stands",
        (None, true) => "matching goes on",
        (None, false) => "matching was not paused",
    });
    Ok(())
}

fn in_database(settings: &Settings, reason: Option<&str>) -> Result<bool, Failure> {
    let mut store = site::open_store(settings)?;
    let now = SystemClock::start().now().wall;
    let changed = store.set_switch(PAUSE_MATCHING, reason, &actor(), now).map_err(Failure::no)?;
    store.close().map_err(Failure::no)?;
    Ok(changed)
}
