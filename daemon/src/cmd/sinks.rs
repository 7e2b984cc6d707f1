//! `sekisho sinks`: how deliveries go, and trying again what was given up.
//!
//! Both ask the running daemon. It alone knows what a sink is doing at the moment, it lets somebody look who must not open
//! the database, and what is requeued is tried at once.

use super::client::{Client, converse};
use super::output::{field, json, line, table};
use super::{Failure, JsonFlag};
use crate::config::sink_settings::SinkName;
use clap::{Args, Subcommand};
use serde_json::{Value, json as document};
use std::path::Path;

/// What to do with sinks.
#[derive(Debug, Subcommand)]
pub enum SinksVerb {
    /// Every sink: whether events get through, what waits, what was given up.
    List(ListArgs),
    /// Try again what a sink has given up.
    Requeue(RequeueArgs),
}

/// Options of `sinks list`.
#[derive(Clone, Copy, Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `sinks requeue`.
#[derive(Debug, Args)]
pub struct RequeueArgs {
    /// The sink, as named in the configuration.
    name: String,
    #[command(flatten)]
    json: JsonFlag,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] when the configuration cannot be read, no daemon answers, or it refuses.
pub fn run(config: &Path, verb: &SinksVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let client = Client::new(&settings.daemon.socket);
    converse(async {
        match verb {
            SinksVerb::List(args) => list(&client, *args).await,
            SinksVerb::Requeue(args) => requeue(&client, args).await,
        }
    })
}

async fn list(client: &Client, args: ListArgs) -> Result<(), Failure> {
    let answer = client.get("/v1/sinks").await?;
    if args.json.json {
        json(&answer);
    } else {
        line(&sink_table(&answer));
    }
    Ok(())
}

/// One row a sink, and below it the last error of each that has one.
#[must_use]
pub fn sink_table(answer: &Value) -> String {
    let sinks = answer["sinks"].as_array().cloned().unwrap_or_default();
    let columns = ["name", "kind", "state", "pending", "delivered", "dead", "oldest-pending"];
    let head = ["sink", "kind", "state", "pending", "delivered", "dead", "oldest"];
    let rows: Vec<Vec<String>> = sinks.iter().map(|sink| columns.map(|name| field(sink, name)).to_vec()).collect();
    let errors = sinks.iter().filter(|sink| sink["last-error"].is_string());
    let errors = errors.map(|sink| {
        format!("{}: last error {}: {}", field(sink, "name"), field(sink, "last-error-at"), field(sink, "last-error"))
    });
    std::iter::once(table(&head, &rows)).chain(errors).collect::<Vec<_>>().join("\n")
}

async fn requeue(client: &Client, args: &RequeueArgs) -> Result<(), Failure> {
    if SinkName::try_new(&args.name).is_none() {
        return Err(Failure::Wrong(format!(
            "{:?} is not the name of a sink; `sekisho sinks list` prints them",
            args.name
        )));
    }
    let answer = client.post(&format!("/v1/sinks/{}/requeue", args.name), &document!({})).await?;
    if args.json.json {
        json(&answer);
    } else {
        line(&format!("{}: {} events are tried again", args.name, field(&answer, "requeued")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_a_row_and_its_last_error_a_line() {
        let answer = document!({ "sinks": [
            { "name": "log", "kind": "event-log", "state": "ok", "pending": 0, "delivered": 7, "dead": 0 },
            { "name": "desk", "kind": "webhook", "state": "denied", "pending": 12, "delivered": 0, "dead": 3,
              "oldest-pending": "2026-11-24T10:00:00.000Z", "last-error": "https://desk answers 401 Unauthorized",
              "last-error-at": "2026-11-24T10:05:00.000Z" },
        ]});
        let wanted = "sink  kind       state   pending  delivered  dead  oldest\n\
                      log   event-log  ok      0        7          0     -\n\
                      desk  webhook    denied  12       0          3     2026-11-24T10:00:00.000Z\n\
                      desk: last error 2026-11-24T10:05:00.000Z: https://desk answers 401 Unauthorized";
        assert_eq!(sink_table(&answer), wanted);
    }
}
