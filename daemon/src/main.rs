//! `sekisho`: two-stage face alerts for the cameras a site already has. See `sekisho --help` and `sekisho(1)`.

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match sekisho::cmd::Cli::try_parse() {
        Ok(cli) => sekisho::cmd::dispatch(cli),
        Err(error) => {
            let wrong = error.use_stderr();
            // Nothing is left to do when not even the usage text can be printed.
            let _printed = error.print();
            if wrong { ExitCode::from(2) } else { ExitCode::SUCCESS }
        }
    }
}
