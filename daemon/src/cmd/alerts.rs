//! `sekisho alerts`: list, show, watch, and vote.

use super::client::{Client, Next, converse};
use super::output::{field, json, line, table};
use super::{Failure, JsonFlag, alert_pictures};
use clap::{Args, Subcommand};
use serde_json::{Value, json as document};
use std::path::{Path, PathBuf};

/// What to do with alerts.
#[derive(Debug, Subcommand)]
pub enum AlertsVerb {
    /// The latest alerts, newest first.
    List(ListArgs),
    /// One alert with its evidence and votes.
    Show(ShowArgs),
    /// Show open alerts, cameras and what happens, as it happens. Plain lines where nobody looks at a terminal.
    Watch(WatchArgs),
    /// Vote: this is the person.
    Confirm(VoteArgs),
    /// Vote: this is not the person.
    Reject(VoteArgs),
    /// Lift the suspension of a person or a camera whose alerts were rejected too often.
    Resume(ResumeArgs),
}

/// Options of `alerts list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only alerts at this stage (candidate, machine-confirmed, confirmed, rejected, expired, withdrawn).
    #[arg(long)]
    stage: Option<String>,
    /// Only alerts of this camera.
    #[arg(long)]
    camera: Option<String>,
    /// At most this many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `alerts show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The alert's id, as `alerts list` prints it.
    id: String,
    /// Also write the pictures of its track and the enrolled face to this folder, as files for you alone. Opens the
    /// database itself, so it is for root and the service's own user, and is audited. FACES OF PEOPLE: delete them after use.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `alerts watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Show finished tracks too, also those of people who are not enrolled (without naming anybody).
    #[arg(long)]
    tracks: bool,
    /// Print a line for each thing that happens instead of the live view.
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `alerts confirm` and `alerts reject`.
#[derive(Debug, Args)]
pub struct VoteArgs {
    /// The alert's id.
    id: String,
    /// Why, a few words; kept with the vote and shown to the next reviewer of this person.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `alerts resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// What is suspended: `person` or `camera`.
    #[arg(value_parser = ["person", "camera"])]
    kind: String,
    /// Its id, as `sekisho status` prints it.
    id: String,
    #[command(flatten)]
    json: JsonFlag,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] when the configuration cannot be read, no daemon answers, or it refuses.
pub fn run(config: &Path, verb: AlertsVerb) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    if let AlertsVerb::Show(ShowArgs { id, pictures: Some(folder), json }) = &verb {
        plain("an alert id", id)?;
        tell(&alert_pictures::write(&settings, id, folder)?, *json);
        return Ok(());
    }
    let client = Client::new(&settings.daemon.socket);
    converse(async {
        match verb {
            AlertsVerb::List(args) => list(&client, &args).await,
            AlertsVerb::Show(args) => show(&client, &args).await,
            AlertsVerb::Watch(args) => watch(&client, &args).await,
            AlertsVerb::Confirm(args) => vote(&client, &args, "confirm").await,
            AlertsVerb::Reject(args) => vote(&client, &args, "reject").await,
            AlertsVerb::Resume(args) => resume(&client, &args).await,
        }
    })
}

/// Ids and names go into a path: anything that could end the segment is refused before it is sent.
fn plain(what: &str, text: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.len() <= 128 && text.chars().all(plain) {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{text:?} is not {what}; `sekisho alerts list` prints them")))
}

async fn list(client: &Client, args: &ListArgs) -> Result<(), Failure> {
    let mut path = format!("/v1/alerts?limit={}", args.limit);
    for (name, value) in [("stage", &args.stage), ("camera", &args.camera)] {
        if let Some(value) = value {
            plain(&format!("a {name}"), value)?;
            path.push_str(&format!("&{name}={value}"));
        }
    }
    let answer = client.get(&path).await?;
    if args.json.json {
        json(&answer);
        return Ok(());
    }
    let head = ["opened", "stage", "person", "camera", "px", "frames", "llr", "cause", "id"];
    let rows = answer["alerts"].as_array().into_iter().flatten().map(|alert| {
        ["opened", "stage", "person", "camera", "face-px", "frames-used", "llr", "cause", "id"]
            .map(|name| field(alert, name))
            .to_vec()
    });
    line(&table(&head, &rows.collect::<Vec<_>>()));
    Ok(())
}

async fn show(client: &Client, args: &ShowArgs) -> Result<(), Failure> {
    plain("an alert id", &args.id)?;
    tell(&client.get(&format!("/v1/alerts/{}", args.id)).await?, args.json);
    Ok(())
}

fn tell(alert: &Value, flag: JsonFlag) {
    if flag.json {
        json(alert);
        return;
    }
    for name in [
        "id",
        "stage",
        "cause",
        "person",
        "list",
        "purpose",
        "camera",
        "opened",
        "changed",
        "expires",
        "votes-required",
        "fpir",
    ] {
        line(&format!("{name:<16}{}", field(alert, name)));
    }
    for (name, evidence) in [("candidate", &alert["candidate"]), ("confirmation", &alert["confirmation"])] {
        if evidence.is_object() {
            line(&format!(
                "{name:<16}llr {}, cosine {}, {} frames, inter-eye {} px",
                field(evidence, "llr"),
                field(evidence, "cosine"),
                field(evidence, "frames-used"),
                field(evidence, "face-px"),
            ));
        }
    }
    let second = &alert["second"];
    if second.is_object() {
        line(&format!(
            "{:<16}{}: llr {}, cosine {}, {} frames, inter-eye {} px; both networks together llr {}",
            "second network",
            if second["agrees"] == true { "agrees" } else { "does not agree" },
            field(second, "llr"),
            field(second, "cosine"),
            field(second, "frames-used"),
            field(second, "face-px"),
            field(second, "combined-llr"),
        ));
    }
    for vote in alert["votes"].as_array().into_iter().flatten() {
        line(&format!(
            "vote            {} by {} at {}",
            field(vote, "verdict"),
            field(vote, "reviewer"),
            field(vote, "at")
        ));
    }
    for picture in alert["pictures"].as_array().into_iter().flatten() {
        let (file, taken, px) = (field(picture, "file"), field(picture, "taken"), field(picture, "face-px"));
        line(&format!("picture         {file}, taken {taken}, inter-eye {px} px"));
    }
    for photo in alert["photos"].as_array().into_iter().flatten() {
        line(&format!("enrolled        {}, added {}", field(photo, "file"), field(photo, "added")));
    }
}

async fn watch(client: &Client, args: &WatchArgs) -> Result<(), Failure> {
    if !args.json.json && !args.plain && super::watch::possible() {
        return super::watch::live(client, args.tracks).await;
    }
    let path = if args.tracks { "/v1/events?tracks=yes" } else { "/v1/events" };
    client
        .events(path, |data| {
            if args.json.json {
                line(data);
            } else if let Ok(event) = serde_json::from_str::<Value>(data) {
                line(&told(&event));
            }
            Next::Listen
        })
        .await
}

/// An event as one line.
#[must_use]
pub fn told(event: &Value) -> String {
    if event["type"] == "track" {
        let reason = event["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let person = event["person"].as_str().map(|person| format!(" {person}")).unwrap_or_default();
        return format!(
            "{}  {:<10} track {:<5} {}{person}{reason}, {} of {} faces used, inter-eye {} px",
            field(event, "ended"),
            field(event, "camera"),
            field(event, "track"),
            field(event, "decision"),
            field(event, "frames-used"),
            field(event, "faces"),
            field(event, "face-px"),
        );
    }
    if event["type"] == "missed" {
        return format!(
            "... {} events were missed: this terminal was too slow; `sekisho alerts list` has them all",
            field(event, "count")
        );
    }
    if event["type"] == "calibration" {
        let said = event["said"].as_str().map(|said| format!(": {said}")).unwrap_or_default();
        let (id, state) = (field(event, "calibration-id"), field(event, "state").to_uppercase());
        return format!("{}! calibration {id} is {state}{said}", field(event, "at"));
    }
    if event["type"] == "suspension" {
        let (kind, subject) = (field(event, "kind"), field(event, "subject"));
        return if event["state"] == "lifted" {
            format!("{}  {kind} {subject} is no longer suspended, by {}", field(event, "at"), field(event, "by"))
        } else {
            let (rejected, decided) = (field(event, "rejected"), field(event, "decided"));
            format!(
                "{}! {kind} {subject} is SUSPENDED: people rejected {rejected} of {decided} alerts",
                field(event, "since")
            )
        };
    }
    let after = &event["after"];
    // Somebody on a watch list who has not been turned down is what the operator must not overlook.
    let settled = matches!(after["stage"].as_str(), Some("withdrawn" | "rejected" | "expired"));
    let mark = if after["purpose"] == "watch" && !settled { "!" } else { " " };
    format!(
        "{}{mark} {:<10} {:<18} {} ({}), inter-eye {} px, {} frames, llr {}, alert {}",
        field(after, "changed"),
        field(after, "camera"),
        field(after, "stage").to_uppercase(),
        field(after, "person"),
        field(after, "cause"),
        field(after, "face-px"),
        field(after, "frames-used"),
        field(after, "llr"),
        field(after, "id"),
    )
}

async fn vote(client: &Client, args: &VoteArgs, verdict: &str) -> Result<(), Failure> {
    plain("an alert id", &args.id)?;
    let answer = client
        .post(&format!("/v1/alerts/{}/votes", args.id), &document!({ "verdict": verdict, "reason": args.reason }))
        .await?;
    if args.json.json {
        json(&answer);
    } else {
        line(&told(&answer));
    }
    Ok(())
}

async fn resume(client: &Client, args: &ResumeArgs) -> Result<(), Failure> {
    plain("an id", &args.id)?;
    let asked = document!({ "kind": args.kind, "subject": args.id });
    let answer = client.post("/v1/suspensions/lift", &asked).await?;
    if args.json.json {
        json(&answer);
    } else {
        line(&format!("{} {} raises alerts again", args.kind, args.id));
    }
    Ok(())
}
