//! `sekisho dpia`: the fact sheet for an impact assessment.

use super::client::{Client, converse};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::dpia::{self, Facts};
use crate::page::Language;
use clap::Args;
use sekisho_logic::time::Clock as _;
use std::path::Path;

/// Options of `dpia`.
#[derive(Debug, Args)]
pub struct DpiaArgs {
    /// The language; with the profile "jp" Japanese unless this says otherwise.
    #[arg(long, value_enum)]
    language: Option<Language>,
    #[command(flatten)]
    json: JsonFlag,
}

/// Prints it. A daemon that does not answer is said in it and is no failure.
///
/// # Errors
/// [`Failure`] when the configuration or the database cannot be read.
pub fn run(config: &Path, args: &DpiaArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let client = Client::new(&settings.daemon.socket);
    let status = converse(async { client.get("/v1/status").await }).ok();
    let facts = Facts::gather(&settings, SystemClock::start().now().wall, status)?;
    let language = args.language.unwrap_or(super::notice::usual_language(&settings));
    if args.json.json {
        let open = dpia::open_points(&facts).into_iter().map(|point| match language {
            Language::En => point.en,
            Language::Ja => point.ja,
        });
        json(&facts.document(&open.collect::<Vec<_>>()));
    } else {
        line(&dpia::sheet(&facts).markdown(language));
    }
    Ok(())
}
