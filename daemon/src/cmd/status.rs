//! `sekisho status`: how the daemon is, in one screen.

use super::client::{Client, converse};
use super::output::{field, json, line, table};
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

fn print(status: &Value, cameras: &Value) {
    line(&format!(
        "sekisho {} {}, up {} s",
        field(status, "version"),
        field(status, "state"),
        field(status, "uptime-s")
    ));
    let (models, gallery) = (&status["models"], &status["gallery"]);
    line(&format!(
        "  networks     {} + {} on {} ({})",
        field(&models["detector"], "id"),
        field(&models["embedder"], "id"),
        field(models, "device"),
        field(&models["embedder"], "usage"),
    ));
    line(&format!("  calibration  {}", field(&status["calibration"], "id")));
    for threshold in status["thresholds"].as_array().into_iter().flatten() {
        line(&format!(
            "  list {:<8}target FPIR {} per mille per track, confirmed by {}",
            field(threshold, "list"),
            field(threshold, "target-fpir-per-mille"),
            field(threshold, "confirm"),
        ));
    }
    line(&format!("  gallery      {} people (revision {})", field(gallery, "people"), field(gallery, "revision")));
    line(&format!("  alerts open  {}", field(&status["alerts"], "open")));
    line(&format!("  store        {}", field(&status["store"], "state")));
    let delay = &status["candidate-delay-ms"];
    line(&format!(
        "  first usable face to candidate  p50 {} ms, p95 {} ms over {}",
        field(delay, "p50"),
        field(delay, "p95"),
        field(delay, "count"),
    ));
    line("");
    line(&camera_table(cameras));
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
