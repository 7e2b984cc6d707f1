//! The sheet of `sekisho replay --explain`: for every track why it was decided or not, with its faces.
//!
//! Faces are pictures of people, and nothing else in this program writes them to a file. They are taken only here, only
//! because an operator asked for it on a recording of their own, and the files are for their owner alone.

mod document;
mod faces;
mod page;

pub use faces::Album;

use crate::page::Language;
use crate::page::words::Words;
use sekisho_logic::calibration::Calibration;
use sekisho_logic::explain::{Explanation, Help, help};
use sekisho_logic::fitness::Floors;
use sekisho_logic::id::TrackId;
use sekisho_logic::outcome::TrackVerdict;
use sekisho_logic::policy::Policy;
use sekisho_logic::record::{AlertEvent, Stage};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The texts of the sheet. The file is built in; a test proves that it can be read.
static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("words.toml")).unwrap_or_default());

/// What is the same for the whole recording.
pub struct Setting {
    /// The clip, as the operator called it.
    pub clip: String,
    /// The camera it was replayed as.
    pub camera: String,
    /// People compared with.
    pub people: usize,
    /// SHA-256 of the embedder's file, in hex.
    pub model_digest: String,
    /// Scores to evidence.
    pub calibration: Arc<Calibration>,
    /// Numbers that decide.
    pub policy: Policy,
    /// Floors of quality.
    pub floors: Floors,
}

/// What is gathered about one recording.
pub struct Sheet {
    setting: Setting,
    album: Album,
    tracks: Vec<Told>,
    stages: BTreeMap<TrackId, Vec<Stage>>,
}

/// One track of the sheet.
struct Told {
    verdict: TrackVerdict,
    explanation: Explanation,
    help: Vec<Help>,
}

impl Sheet {
    /// An empty sheet.
    #[must_use]
    pub fn new(setting: Setting) -> Self {
        Self { setting, album: Album::default(), tracks: Vec::new(), stages: BTreeMap::new() }
    }

    /// Where its faces are gathered.
    pub const fn album(&mut self) -> &mut Album {
        &mut self.album
    }

    /// A track has its verdict.
    pub fn verdict(&mut self, verdict: &TrackVerdict) {
        let mut verdict = verdict.clone();
        let Some(explanation) = verdict.explanation.take() else { return };
        let setting = &self.setting;
        let help = help(&verdict, &explanation, &setting.calibration, &setting.policy, &setting.floors);
        self.tracks.push(Told { verdict, explanation: *explanation, help });
    }

    /// An alert changed.
    pub fn event(&mut self, event: &AlertEvent) {
        self.stages.entry(event.after.track).or_default().push(event.after.stage);
    }

    /// The page.
    #[must_use]
    pub fn page(&self, language: Language) -> String {
        page::render(self, language)
    }

    /// The same as data, without pictures.
    #[must_use]
    pub fn document(&self) -> Value {
        document::document(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::face::Unfit;
    use sekisho_logic::outcome::Undecidable;

    #[test]
    fn every_text_is_written_in_both_languages() {
        let sources = [include_str!("page.rs"), include_str!("document.rs")];
        let words = Words::parse(include_str!("words.toml")).expect("valid TOML");
        assert_eq!(words.faults(&sources), Vec::<String>::new());
        let keys = Undecidable::ALL.map(|reason| format!("reason-{}", reason.as_str()));
        let fates = Unfit::ALL.map(|why| format!("fate-{}", why.as_str()));
        let stages = Stage::ALL.map(|stage| format!("stage-{}", stage.as_str()));
        for key in keys.iter().chain(&fates).chain(&stages) {
            assert!(words.has(key), "{key} is not written");
        }
    }
}
