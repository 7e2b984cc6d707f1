//! The command line: one verb a file.

mod alert_pictures;
pub mod alerts;
pub mod audit;
pub mod backup;
pub mod breach;
pub mod calibrate;
pub mod cameras;
pub mod check_config;
pub mod checkup;
pub mod client;
pub mod completions;
pub mod discover;
pub mod doctor;
pub mod dpia;
pub mod enrol;
pub mod erase;
pub mod evaluate;
pub mod gallery;
pub mod grounds;
pub mod models;
mod models_bench;
pub mod notice;
pub mod output;
pub mod pause;
pub mod re_embed;
pub mod rekey;
pub mod replay;
pub mod review;
pub mod reviewers;
pub mod rights;
pub mod run;
pub mod setup;
pub mod sinks;
pub mod status;
pub mod terminal;
pub mod watch;
pub mod withdraw;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Two-stage face alerts for the cameras a site already has.
///
/// Exit codes: 0 done, 1 the answer is no or something failed, 2 the command line or the configuration is wrong.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/sekisho/sekisho.toml")]
    pub config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Watch the cameras until told to stop. What the service runs.
    Run(run::RunArgs),
    /// Check the configuration and print every mistake with file and line.
    CheckConfig(check_config::CheckConfigArgs),
    /// A guided first run: camera, password, purpose, keys, a first person, who is told. Asks, or takes options with --yes.
    Setup(Box<setup::SetupArgs>),
    /// One page of what is wrong with this installation and what to do about it, whether the daemon runs or not.
    Doctor(checkup::CheckupArgs),
    /// Ask the running daemon how it is.
    Status(status::StatusArgs),
    /// Cameras: find them, try one, or measure for a day what it is good for.
    #[command(subcommand)]
    Cameras(cameras::CamerasVerb),
    /// Enrolled people.
    #[command(subcommand)]
    Gallery(gallery::GalleryVerb),
    /// Alerts: list, show, watch, vote.
    #[command(subcommand)]
    Alerts(alerts::AlertsVerb),
    /// Stop all matching at once and until further notice; streams stay up. Holds over restarts.
    PauseMatching(pause::PauseArgs),
    /// Go on with matching.
    ResumeMatching(JsonFlag),
    /// Open the review page: faces side by side, queue, votes.
    Review(review::ReviewArgs),
    /// Who may log in to the review page.
    #[command(subcommand)]
    Reviewers(reviewers::ReviewersVerb),
    /// The audit trail: who did what, when, and whether anybody changed it since.
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Backups: make one, list and clear away old ones.
    #[command(subcommand)]
    Backup(backup::BackupVerb),
    /// Put a backup back. The daemon must be stopped.
    Restore(backup::RestoreArgs),
    /// What a breach would concern, for the notice that is due within 72 hours, in Markdown.
    BreachReport(breach::BreachArgs),
    /// Sinks: how deliveries go, and trying again what was given up.
    #[command(subcommand)]
    Sinks(sinks::SinksVerb),
    /// Run recorded clips through the same eyes and the same judgement, and print what would have happened.
    Replay(replay::ReplayArgs),
    /// Measure with labelled photographs or clips what is found, what is missed and what it costs; write a report.
    Evaluate(evaluate::EvaluateArgs),
    /// Fit the calibration to this site, and look after it.
    Calibrate(calibrate::CalibrateArgs),
    /// Print the sign at the door and the notice behind it, as the configuration means them.
    Notice(notice::NoticeArgs),
    /// Print the facts a data-protection impact assessment starts from, as Markdown or JSON.
    Dpia(dpia::DpiaArgs),
    /// The networks: hashes, contracts, licences.
    #[command(subcommand)]
    Models(models::ModelsVerb),
    /// Print what a shell needs to complete verbs and options.
    Completions(completions::CompletionsArgs),
}

/// Output for programs instead of people.
#[derive(Clone, Copy, Debug, Args)]
pub struct JsonFlag {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The answer is no, or something went wrong while doing it. Exit code 1.
    #[error("{0}")]
    No(String),
    /// The command line or the configuration is wrong; trying again will not help. Exit code 2.
    #[error("{0}")]
    Wrong(String),
}

impl Failure {
    /// Exit code 1 with the error's own sentence, and its causes one a line.
    pub fn no(error: impl std::error::Error) -> Self {
        Self::No(chain(&error))
    }

    /// Exit code 2 likewise.
    pub fn wrong(error: impl std::error::Error) -> Self {
        Self::Wrong(chain(&error))
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::No(_) => ExitCode::from(1),
            Self::Wrong(_) => ExitCode::from(2),
        }
    }
}

/// An error and its causes, one a line. A cause that its parent has quoted already is left out.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let line = next.to_string();
        if !text.contains(&line) {
            text.push_str("\n  because ");
            text.push_str(&line);
        }
        cause = next.source();
    }
    text
}

/// Does what the command line says.
#[must_use]
pub fn dispatch(cli: Cli) -> ExitCode {
    let config = &cli.config;
    let result = match cli.verb {
        Verb::Run(args) => run::run(config, &args),
        Verb::CheckConfig(args) => check_config::run(config, args),
        Verb::Setup(args) => setup::run(config, &args),
        Verb::Doctor(args) => checkup::run(config, args),
        Verb::Status(args) => status::run(config, &args),
        Verb::Cameras(verb) => cameras::run(config, &verb),
        Verb::Gallery(verb) => gallery::run(config, verb),
        Verb::Alerts(verb) => alerts::run(config, verb),
        Verb::Audit(verb) => audit::run(config, &verb),
        Verb::Backup(verb) => backup::run(config, &verb),
        Verb::Restore(args) => backup::put_back(config, &args),
        Verb::BreachReport(args) => breach::run(config, args),
        Verb::Sinks(verb) => sinks::run(config, &verb),
        Verb::PauseMatching(args) => pause::pause(config, &args),
        Verb::ResumeMatching(flag) => pause::resume(config, flag),
        Verb::Review(args) => review::run(config, &args),
        Verb::Reviewers(verb) => reviewers::run(config, &verb),
        Verb::Replay(args) => replay::run(config, &args),
        Verb::Evaluate(args) => evaluate::run(config, &args),
        Verb::Calibrate(args) => calibrate::run(config, &args),
        Verb::Notice(args) => notice::run(config, &args),
        Verb::Dpia(args) => dpia::run(config, &args),
        Verb::Models(verb) => models::run(config, verb),
        Verb::Completions(args) => completions::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("sekisho: {failure}");
            failure.code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn no_two_options_of_a_verb_have_one_name() {
        Cli::command().debug_assert();
    }
}
