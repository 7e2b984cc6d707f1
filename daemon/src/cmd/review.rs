//! `sekisho review`: opens the review page for whoever may use the socket, without a password.

use super::client::{Client, converse};
use super::output::{json, line};
use super::{Failure, JsonFlag};
use clap::Args;
use serde_json::json as document;
use std::path::Path;
use std::process::{Command, Stdio};

/// Options of `review`.
#[derive(Debug, Args)]
pub struct ReviewArgs {
    /// Print the address instead of opening a browser.
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// Asks for a ticket and opens the page, where there is a display.
///
/// # Errors
/// [`Failure`] when no daemon answers, it refuses, or the page is not served.
pub fn run(config: &Path, args: &ReviewArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let client = Client::new(&settings.daemon.socket);
    let ticket = converse(client.post("/v1/review/ticket", &document!({})))?;
    if args.json.json {
        json(&ticket);
        return Ok(());
    }
    let Some(url) = ticket["url"].as_str() else {
        return Err(Failure::No("the daemon answered without an address; is it of the same version?".into()));
    };
    let fingerprint = ticket["certificate-sha256"].as_str();
    if !args.print && has_display() && opened(url) {
        line("The review page opens in your browser.");
    } else {
        line(url);
        line(&format!("Good once, within {} s.", ticket["expires-s"]));
    }
    if let Some(fingerprint) = fingerprint {
        line(&format!("The browser must show this SHA-256 fingerprint of the certificate: {fingerprint}"));
    }
    Ok(())
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Whether the desktop's opener took the address.
fn opened(url: &str) -> bool {
    let opener =
        Command::new("xdg-open").arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    opener.is_ok_and(|status| status.success())
}
