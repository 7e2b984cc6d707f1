//! `sekisho status`: how the daemon is, in one screen.

use super::client::{Client, converse};
use super::output::{field, json, labelled, line, table};
use super::{Failure, JsonFlag};
use clap::Args;
use serde_json::Value;
use std::path::Path;

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    json: JsonFlag,
}

/// Asks and prints.
///
/// # Errors
/// [`Failure`] when the configuration cannot be read or no daemon answers.
pub fn run(config: &Path, args: &StatusArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let client = Client::new(&settings.daemon.socket);
    let (status, cameras) = converse(async {
        let status = client.get("/v1/status").await?;
        let cameras = client.get("/v1/cameras").await?;
        Ok((status, cameras))
    })?;
    if args.json.json {
        let mut whole = status;
        whole["cameras-detail"] = cameras["cameras"].clone();
        json(&whole);
    } else {
        print(&status, &cameras);
    }
    Ok(())
}

/// Where text begins, behind labels.
const INDENT: usize = 15;

fn prose(text: &str) {
    labelled(text, INDENT);
}

fn print(status: &Value, cameras: &Value) {
    line(&format!(
        "sekisho {} {}, up {} s",
        field(status, "version"),
        field(status, "state"),
        field(status, "uptime-s")
    ));
    head(status);
    let gallery = &status["gallery"];
    prose(&format!("  gallery      {} people (revision {})", field(gallery, "people"), field(gallery, "revision")));
    if gallery["people-without-grounds"].as_u64().is_some_and(|people| people > 0) {
        prose(&format!(
            "  NO GROUNDS   {} people are matched without complete grounds: `sekisho gallery grounds PERSON` records them",
            field(gallery, "people-without-grounds"),
        ));
    }
    groups(&status["groups"]);
    if status["dpo"] == "none" {
        prose("  dpo          none is named ([daemon] dpo-groups): admins hand out and erase people's data, on record");
    }
    prose(&format!("  alerts open  {}", field(&status["alerts"], "open")));
    status["suspensions"].as_array().into_iter().flatten().for_each(suspension);
    store(status);
    evidence(&status["evidence"]);
    retention(&status["retention"]);
    prose(&format!("  pad          {}: a photograph held up is not told from a face", field(status, "pad")));
    for said in status["undone"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        prose(&format!("  TO DO        {said}"));
    }
    let delay = &status["candidate-delay-ms"];
    prose(&format!(
        "  first usable face to candidate  p50 {} ms, p95 {} ms over {}",
        field(delay, "p50"),
        field(delay, "p95"),
        field(delay, "count"),
    ));
    line("");
    line(&camera_table(cameras));
}

/// Whether it matches at all, with what, and how strictly.
fn head(status: &Value) {
    let paused = &status["paused"];
    if paused.is_object() {
        prose(&format!(
            "  PAUSED       since {} by {}: {}; no face is looked for until `sekisho resume-matching`",
            field(paused, "since"),
            field(paused, "by"),
            field(paused, "reason"),
        ));
    }
    let models = &status["models"];
    prose(&format!(
        "  networks     {} + {} on {} ({})",
        field(&models["detector"], "id"),
        field(&models["embedder"], "id"),
        field(models, "device"),
        field(&models["embedder"], "usage"),
    ));
    if models["embedder"]["usage"] == "non-commercial" {
        prose(&format!(
            "  LICENCE      {} is for pilots; its weights may not be used commercially ([models] embedder names another)",
            field(&models["embedder"], "id"),
        ));
    }
    second(&models["second"], &status["second"]);
    ["detector", "embedder"].iter().for_each(|role| provider(role, &models[*role]));
    calibration(&status["calibration"]);
    for threshold in status["thresholds"].as_array().into_iter().flatten() {
        prose(&format!(
            "  list {:<8}target FPIR {} per mille per track, confirmed by {}",
            field(threshold, "list"),
            field(threshold, "target-fpir-per-mille"),
            field(threshold, "confirm"),
        ));
    }
    if let Some(list) = status["thresholds"].get(0) {
        line(&threshold_table(list));
    }
}

/// On what a network runs, where there is something to say: an accelerator, or why not.
fn provider(role: &str, network: &Value) {
    if network["fallback"].is_string() {
        prose(&format!("  ON CPU       {role} {}: {}", field(network, "id"), field(network, "reason")));
    } else if network["provider"].as_str().is_some_and(|provider| provider != "cpu") {
        prose(&format!("  {role:<12} {}", field(network, "reason")));
    }
}

fn suspension(one: &Value) {
    prose(&format!(
        "  SUSPENDED    {kind} {subject} since {}: people rejected {} of {} alerts; no new ones until `sekisho alerts \
         resume {kind} {subject}`",
        field(one, "since"),
        field(one, "rejected"),
        field(one, "decided"),
        kind = field(one, "kind"),
        subject = field(one, "subject"),
    ));
}

/// Where everything is kept, what its key protects against, and who is told.
fn store(status: &Value) {
    prose(&format!("  store        {}", field(&status["store"], "state")));
    let key = &status["keys"]["database"];
    let (from, protects) = (field(key, "from"), field(key, "protects-against"));
    prose(&format!("  database key from {from}; it protects against {protects}"));
    prose(&format!("               and not against {}", field(key, "does-not-protect-against")));
    for sink in status["sinks"].as_array().into_iter().flatten() {
        let waits = format!("{} pending, {} given up", field(sink, "pending"), field(sink, "dead"));
        prose(&format!("  sink {:<8}{} ({}), {waits}", field(sink, "name"), field(sink, "state"), field(sink, "kind")));
    }
}

/// Groups of people that the latest evaluation found further apart than the site bears.
fn groups(groups: &Value) {
    if let Some(said) = groups["unreadable"].as_str() {
        prose(&format!("  GROUPS       {said}"));
    }
    for apart in groups["apart"].as_array().into_iter().flatten() {
        prose(&format!(
            "  GROUPS       {}, by {}: {} {} times {} (more than {} is not borne; measured {})",
            field(apart, "error"),
            field(apart, "column"),
            field(apart, "worst"),
            field(apart, "ratio"),
            field(apart, "best"),
            field(groups, "ratio-max"),
            field(groups, "measured"),
        ));
    }
    if groups["of-network-in-use"] == false {
        prose("  GROUPS       were measured with another network; evaluate again with --groups and --write-summary");
    }
}

fn evidence(evidence: &Value) {
    let lost: u64 = evidence["dropped-total"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum();
    let lost = if lost > 0 { format!(", {lost} could not be kept") } else { String::new() };
    prose(&format!("  pictures     {} of alerts kept{lost}", field(evidence, "pictures")));
    if let Some(held) = evidence["held"].as_str() {
        let due = field(evidence, "due");
        prose(&format!("  NOT ERASED   {due} pictures have expired by the clock ({held}); is the clock right?"));
    }
}

/// Each class of data that is kept for a time.
fn retention(classes: &Value) {
    for (class, its) in classes.as_object().into_iter().flatten().filter(|(_, its)| its.is_object()) {
        let held = its["held"].as_str().map_or_else(String::new, |why| format!(", not erased yet ({why})"));
        prose(&format!(
            "  kept         {class}: {}, {} past their time{held}, {} on legal hold",
            field(its, "kept"),
            field(its, "due"),
            field(its, "on-legal-hold"),
        ));
    }
}

fn second(network: &Value, said: &Value) {
    if !network.is_object() {
        prose("  second       NONE: disjoint frames of one network alone make a machine-confirmed alert");
        return;
    }
    prose(&format!(
        "  second       {} ({}): asked {}, agreed {}, against {}, open {}, silent {}, late {}",
        field(network, "id"),
        field(network, "usage"),
        field(said, "asked-total"),
        field(said, "agreed-total"),
        field(said, "against-total"),
        field(said, "open-total"),
        field(said, "silent-total"),
        field(said, "late-total"),
    ));
    if said["people-without"].as_u64().is_some_and(|without| without > 0) {
        prose(&format!(
            "               {} people have no template of it and are never machine-confirmed: `sekisho gallery re-embed`",
            field(said, "people-without"),
        ));
    }
}

fn calibration(calibration: &Value) {
    let age = calibration["age-days"].as_u64().map_or("date unknown".into(), |days| format!("{days} days old"));
    let old = if calibration["old"] == true { ", OLD: calibrate again" } else { "" };
    prose(&format!("  calibration  {} ({}, {age}{old})", field(calibration, "id"), field(calibration, "source")));
    if let Some(said) = calibration["refused"].as_str() {
        prose(&format!("  REFUSED      {said}"));
    }
    let stale = &calibration["stale"];
    if stale.is_object() {
        prose(&format!(
            "  STALE        since {}: {}; policy: {}",
            field(stale, "since"),
            field(stale, "said"),
            field(stale, "on-drift")
        ));
        prose("               calibrate again (`sekisho calibrate --from-shadow --install`) or take it as known");
        prose("               (`sekisho calibrate --acknowledge`)");
    }
    if calibration["counts-strangers"] == false {
        line(
            "               strangers are not counted ([shadow] enabled = false): drift of their scores is not noticed",
        );
    }
    let target = &calibration["target"];
    if target["by"] == "false-candidates-per-camera-day" {
        prose(&format!(
            "  budget       {} false candidates a camera and day at {} strangers ({}, {} camera-days counted)",
            field(target, "false-candidates-per-camera-day"),
            field(target, "strangers-per-camera-day"),
            field(target, "strangers-are"),
            field(target, "camera-days-counted"),
        ));
    }
}

/// The thresholds of one list: a row a face size, a column a look.
#[must_use]
pub fn threshold_table(list: &Value) -> String {
    let cells = list["by-size"].as_array().cloned().unwrap_or_default();
    let mut frames: Vec<u64> = cells.iter().filter_map(|cell| cell["frames"].as_u64()).collect();
    frames.sort_unstable();
    frames.dedup();
    let mut sizes: Vec<(String, Vec<String>)> = Vec::new();
    for cell in &cells {
        let px = |name: &str| cell[name].as_f64().map_or(String::new(), |px| px.to_string());
        let size = format!("{}-{} px", px("from-px"), px("to-px"));
        let cosine = cell["cosine"].as_f64().map_or("not decidable".into(), |cosine| format!("{cosine:.3}"));
        match sizes.last_mut().filter(|(last, _)| *last == size) {
            Some((_, row)) => row.push(cosine),
            None => sizes.push((size, vec![cosine])),
        }
    }
    let rows: Vec<_> = sizes.into_iter().map(|(size, cosines)| [vec![size], cosines].concat()).collect();
    let head: Vec<String> = frames.iter().map(|frames| format!("{frames} frames")).collect();
    let first = format!("  cosine, {}", field(list, "list"));
    let head: Vec<&str> = std::iter::once(first.as_str()).chain(head.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|mut row| {
            row[0] = format!("  {}", row[0]);
            row
        })
        .collect();
    table(&head, &rows)
}

/// One row a camera.
#[must_use]
pub fn camera_table(cameras: &Value) -> String {
    let head = ["camera", "state", "size", "fps", "age ms", "faces", "identified", "not enrolled", "not decidable"];
    let rows = cameras["cameras"].as_array().into_iter().flatten().map(|camera| {
        let verdicts = &camera["verdicts"];
        let undecided = verdicts["not-decidable"].as_object().into_iter().flatten();
        let undecided: Vec<_> = undecided.map(|(why, count)| format!("{why} {count}")).collect();
        vec![
            field(camera, "name"),
            field(camera, "state"),
            format!("{}x{}", field(camera, "width"), field(camera, "height")),
            field(camera, "fps"),
            field(camera, "last-frame-age-ms"),
            field(camera, "faces"),
            field(verdicts, "identified"),
            field(verdicts, "not-enrolled"),
            if undecided.is_empty() { "0".into() } else { undecided.join(", ") },
        ]
    });
    table(&head, &rows.collect::<Vec<_>>())
}
