//! How far groups of people were apart in the latest evaluation that was kept: `groups.toml` in the state directory, and
//! what the daemon's status makes of it. Rates by group and nothing about anybody.

use super::Evaluation;
use super::tables::Grouped;
use crate::cmd::Failure;
use crate::config::Settings;
use sekisho_logic::evaluation::Spread;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// Larger files are not this one; eight columns of some groups are a few kilobytes.
const BYTES_MAX: u64 = 1 << 20;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Version of this format; 1.
    format: u32,
    /// When it was measured, UTC.
    made: String,
    /// SHA-256 of the embedder's file.
    model_digest: String,
    /// Calibration in force then.
    calibration_id: String,
    /// The permitted FPIR, 0..1.
    target_fpir: f64,
    /// What was judged: clips or photographs.
    medium: String,
    /// By each way to group people.
    columns: Vec<Grouped>,
}

/// Where the summary lies.
#[must_use]
pub fn place(settings: &Settings) -> PathBuf {
    settings.daemon.state_dir.join("groups.toml")
}

impl Summary {
    /// Of an evaluation with groups.
    #[must_use]
    pub fn of(evaluation: &Evaluation, model_digest: &str) -> Self {
        Self {
            format: 1,
            made: evaluation.about.made.clone(),
            model_digest: model_digest.to_owned(),
            calibration_id: evaluation.about.calibration_id.clone(),
            target_fpir: evaluation.about.target_fpir,
            medium: evaluation.main.medium.to_owned(),
            columns: evaluation.main.groups.clone(),
        }
    }

    /// Puts it where the daemon's status looks.
    ///
    /// # Errors
    /// [`Failure::No`] when the state directory cannot be written.
    pub fn write(&self, settings: &Settings) -> Result<(), Failure> {
        let place = place(settings);
        let no = |error: &dyn std::fmt::Display| Failure::No(format!("{}: {error}", place.display()));
        let text = toml::to_string(self).map_err(|error| no(&error))?;
        let new = place.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = sekisho_store::open_own(&new, &mut options).map_err(|e| no(&e))?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| no(&error))?;
        std::fs::rename(&new, &place).map_err(|error| no(&error))
    }

    fn read(settings: &Settings) -> Result<Option<Self>, String> {
        let place = place(settings);
        let said = |error: String| format!("{}: {error}; evaluate again with --write-summary", place.display());
        match std::fs::metadata(&place) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(said(error.to_string())),
            Ok(about) if about.len() > BYTES_MAX => return Err(said("it is too long".into())),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(&place).map_err(|error| said(error.to_string()))?;
        toml::from_str(&text).map(Some).map_err(|error| said(error.message().to_owned()))
    }

    /// What status says: `null` where nothing was measured, else when, whether it is about the network in use, and which
    /// groups are further apart than the site bears.
    #[must_use]
    pub fn standing(settings: &Settings, model_digest: &str) -> Value {
        match Self::read(settings) {
            Ok(None) => Value::Null,
            Ok(Some(summary)) => summary.judged(settings.drift.groups_ratio_max, model_digest),
            Err(said) => json!({ "unreadable": said }),
        }
    }

    fn judged(&self, ratio_max: f64, model_digest: &str) -> Value {
        let each = self.columns.iter().flat_map(|column| {
            let one = |error: &'static str, spread: &Spread| {
                let apart = spread.apart(ratio_max)?;
                Some(json!({
                    "column": column.column, "error": error, "worst": apart.worst, "best": apart.best,
                    "ratio": (apart.ratio * 10.0).round() / 10.0,
                }))
            };
            let falsely = column.false_candidates.as_ref().and_then(|spread| one("false-candidates", spread));
            [one("missed", &column.missed), falsely].into_iter().flatten()
        });
        json!({
            "measured": self.made,
            "of-network-in-use": self.model_digest == model_digest,
            "ratio-max": ratio_max,
            "apart": each.collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::evaluation::{Tally, claim_found, spread};
    use std::path::Path;

    fn summary() -> Summary {
        let group = |name, hits| std::iter::repeat_n((name, Tally { hits, of: 10 }), 100);
        let missed = spread(group("a", 1).chain(group("b", 4)), |share| claim_found(share.people));
        Summary {
            format: 1,
            made: "2026-11-27T12:00:00.000Z".into(),
            model_digest: "ab".repeat(32),
            calibration_id: "c/1".into(),
            target_fpir: 1e-3,
            medium: "photo".into(),
            columns: vec![Grouped { column: "age-band".into(), missed, false_candidates: None }],
        }
    }

    fn settings(dir: &Path, more: &str) -> Settings {
        let text = format!("[daemon]\nstate-dir = {:?}\n{more}", dir.display().to_string());
        crate::config::parse(Path::new("test.toml"), &text).expect("valid")
    }

    #[test]
    fn groups_beyond_the_sites_limit_are_named_and_within_it_are_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let usual = settings(dir.path(), "");
        assert_eq!(Summary::standing(&usual, "x"), Value::Null, "nothing was measured");
        summary().write(&usual).expect("written");
        assert_eq!(Summary::read(&usual).expect("read"), Some(summary()), "what was written is read");
        let said = Summary::standing(&usual, &"ab".repeat(32));
        assert_eq!((&said["apart"][0]["worst"], &said["apart"][0]["ratio"]), (&json!("b"), &json!(4.0)));
        assert_eq!((&said["apart"][0]["column"], &said["of-network-in-use"]), (&json!("age-band"), &json!(true)));
        assert_eq!(Summary::standing(&usual, "other")["of-network-in-use"], false);
        let patient = settings(dir.path(), "[drift]\ngroups-ratio-max = 5.0\n");
        assert_eq!(Summary::standing(&patient, "x")["apart"], json!([]));
        std::fs::write(dir.path().join("groups.toml"), "nonsense").expect("writable");
        assert!(
            Summary::standing(&usual, "x")["unreadable"].as_str().is_some_and(|said| said.contains("evaluate again"))
        );
    }
}
