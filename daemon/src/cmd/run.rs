//! `sekisho run`: what the service runs.

use super::Failure;
use crate::telemetry::{self, Audience};
use clap::Args;
use std::path::Path;

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {}

/// Runs until told to stop.
///
/// # Errors
/// [`Failure`] when it cannot start.
pub fn run(config: &Path, _args: &RunArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    telemetry::start(Audience::Service, settings.daemon.log_level.as_str());
    end_on_panic();
    crate::run::run(config, settings)
}

/// A part that panicked has lost its state, and a daemon with a dead part looks healthy and sees nothing. So a panic is
/// logged and ends the process; the service manager starts a new one, and the journal has everything that was decided.
fn end_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        tracing::error!("a part of the daemon panicked: {panic}; ending, the service manager restarts it");
        std::process::abort();
    }));
}
