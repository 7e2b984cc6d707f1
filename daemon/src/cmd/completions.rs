//! `sekisho completions`: what a shell needs to complete verbs and options.

use super::{Cli, Failure};
use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};
use std::io::Write as _;

/// Options of `sekisho completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// For which shell. The Debian package has those of bash, zsh and fish in place.
    shell: Shell,
}

/// Prints the completions.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    // Written to memory first: the generator does not survive a reader that goes away.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "sekisho", &mut script);
    std::io::stdout().write_all(&script).map_err(|error| Failure::No(format!("cannot write the completions: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_the_verbs() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            generate(shell, &mut Cli::command(), "sekisho", &mut script);
            let script = String::from_utf8(script).expect("text");
            for verb in ["check-config", "pause-matching", "verify-erasure", "--config"] {
                // fish names long options without their dashes.
                assert!(script.contains(verb.trim_start_matches('-')), "{shell} does not know {verb}");
            }
        }
    }
}
