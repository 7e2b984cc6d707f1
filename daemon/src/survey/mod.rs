//! `sekisho cameras survey`: a camera or clips measured, and the report about it.
//!
//! The detector, the quality measures and the tracker are those of the running daemon; nothing is embedded and nobody is
//! compared. No picture is kept.

mod charts;
pub mod live;
mod page;
mod text;

use crate::clock::SystemClock;
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::interrupt::Interrupt;
use crate::page::Language;
use crate::page::words::Words;
use crate::run::look::Look;
use crate::{cmd::Failure, status::wire};
use indicatif::ProgressBar;
use sekisho_camera::clip::ClipReader;
use sekisho_camera::local_time;
use sekisho_logic::advice::{Assessment, Assumed, assess};
use sekisho_logic::calibration::Calibration;
use sekisho_logic::figures::Figures;
use sekisho_logic::frame::{FrameStamp, FrameView, Range};
use sekisho_logic::id::CameraId;
use sekisho_logic::survey::{Seen, Survey, SurveyPolicy};
use sekisho_logic::time::{Mono, WallMs};
use sekisho_vision::analyser::Eyes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The texts of the report. The file is built in; a test proves that it can be read.
static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("words.toml")).unwrap_or_default());

/// What the operator assumes.
#[derive(Clone, Copy, Debug)]
pub struct Assumptions {
    /// People a gallery is imagined to have.
    pub people: usize,
    /// Horizontal angle of view of the lens, degrees.
    pub view_deg: f32,
}

/// A survey under way, with the eyes it looks through.
pub struct Surveyor<'e> {
    eyes: &'e mut Eyes,
    look: Look,
    survey: Survey,
    calibration: Arc<Calibration>,
    policy: SurveyPolicy,
    assumptions: Assumptions,
    analysed_fps: f64,
    min_px: f32,
    observed: Duration,
    span: Option<(WallMs, WallMs)>,
    dating: Dating,
    skipped: u64,
}

/// Whether the stamps of the pictures are times of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dating {
    /// They are: a live camera, or a recording whose start was given.
    Dated,
    /// They count from nothing: figures by hour would mean nothing.
    Undated,
}

/// A finished survey.
pub struct Report {
    /// The camera or the clips.
    pub name: String,
    /// What was measured.
    pub figures: Figures,
    /// What it means.
    pub assessment: Assessment,
    /// First and last analysed picture, for a live camera.
    span: Option<(String, String)>,
    observed: Duration,
    interruptions: BTreeMap<&'static str, u64>,
    ended_early: bool,
    skipped: u64,
    target_fpir: f64,
    looks: Vec<u32>,
    confirm_looks: Vec<u32>,
    assumptions: Assumptions,
    analysed_fps: f64,
    min_px: f32,
    calibration_id: String,
}

impl<'e> Surveyor<'e> {
    /// Eyes that have seen nothing, for `camera` as it is configured.
    #[must_use]
    pub fn new(
        settings: &Settings,
        (camera, its): (&CameraId, &CameraSettings),
        eyes: &'e mut Eyes,
        calibration: &Arc<Calibration>,
        (assumptions, dating): (Assumptions, Dating),
    ) -> Self {
        // A camera's lists may differ in their rate; the strictest one says what can be relied on.
        let rates = its.lists.iter().filter_map(|list| settings.lists.get(list)).filter_map(|list| list.own_fpir);
        let policy = SurveyPolicy {
            looks: settings.decide.looks.clone(),
            confirm_looks: settings.decide.confirm_looks.clone(),
            target_fpir: rates.fold(settings.decide.target_fpir, f64::min),
            people: assumptions.people,
        };
        Self {
            eyes,
            look: Look::new(settings, camera, its, 0),
            survey: Survey::new(policy.clone(), Arc::clone(calibration)),
            calibration: Arc::clone(calibration),
            policy,
            assumptions,
            analysed_fps: its.analysed_fps,
            min_px: its.min_inter_eye_px,
            observed: Duration::ZERO,
            span: None,
            dating,
            skipped: 0,
        }
    }

    /// Takes a frame that is due. One that a network fails on is skipped and counted.
    fn take(&mut self, view: &FrameView<'_>, stamp: FrameStamp, taken: Mono) {
        let hour = match self.dating {
            Dating::Dated => local_time::local(stamp.wall).map_or(0, |local| local.hour),
            Dating::Undated => 0,
        };
        match self.look.measure(self.eyes, view, stamp, taken) {
            Ok((faces, ended)) => {
                #[expect(clippy::cast_precision_loss, reason = "frames are at most 8192 pixels wide")]
                let frame_px = (view.width() as f32, view.height() as f32);
                let brightness = mean_luma(view);
                self.survey.on_frame(&Seen { hour, frame_px, brightness, faces: &faces, ended: &ended });
            }
            Err(error) => {
                self.skipped += 1;
                if self.skipped.is_power_of_two() {
                    tracing::warn!("a frame was skipped: {error} ({} so far)", self.skipped);
                }
            }
        }
        let begun = self.span.map_or(stamp.wall, |(begun, _)| begun);
        self.span = Some((begun, stamp.wall));
    }

    /// The camera is gone or a clip is over.
    fn pause(&mut self) {
        self.look.forget();
        self.survey.end_all();
    }

    /// Measures a clip as fast as it can be read; whether it was left early.
    ///
    /// # Errors
    /// [`Failure::No`] with one sentence naming the clip.
    pub fn clip(&mut self, clip: &Path, start: WallMs, stop: &Interrupt, bar: &ProgressBar) -> Result<bool, Failure> {
        let no = |error: &dyn std::fmt::Display| Failure::No(format!("{}: {error}", clip.display()));
        let reader = ClipReader::open(clip, start).map_err(|error| no(&error))?;
        bar.set_length(reader.duration_ms().unwrap_or(0));
        bar.set_message(clip.display().to_string());
        let mut last = None;
        for frame in reader {
            if stop.is_asked() {
                break;
            }
            let frame = frame.map_err(|error| no(&error))?;
            let stamp = frame.stamp();
            bar.set_position(stamp.mono.as_millis());
            last = Some(stamp.mono);
            if self.look.is_due(stamp.mono) {
                let view = frame.view().map_err(|error| no(&error))?;
                self.take(&view, stamp, stamp.mono);
            }
        }
        self.pause();
        match last {
            Some(last) => self.observed += last.since(Mono::default()),
            None if !stop.is_asked() => return Err(no(&"it holds no picture; is the recording complete?")),
            None => {}
        }
        Ok(stop.is_asked())
    }

    /// What came of it.
    #[must_use]
    pub fn report(self, name: &str, ended_early: bool, interruptions: BTreeMap<&'static str, u64>) -> Report {
        let figures = self.survey.figures();
        let first = |looks: &[u32]| looks.first().copied().unwrap_or(1);
        let assumed = Assumed {
            view_deg: self.assumptions.view_deg,
            look: first(&self.policy.looks),
            confirm_look: first(&self.policy.confirm_looks),
        };
        let text = |wall: WallMs| local_time::local(wall).map_or_else(|| wall.to_rfc3339(), |local| local.text);
        Report {
            name: name.to_owned(),
            assessment: assess(&figures, assumed),
            figures,
            span: self.span.filter(|_| self.dating == Dating::Dated).map(|(from, to)| (text(from), text(to))),
            observed: self.observed,
            interruptions,
            ended_early,
            skipped: self.skipped,
            target_fpir: self.policy.target_fpir,
            looks: self.policy.looks,
            confirm_looks: self.policy.confirm_looks,
            assumptions: self.assumptions,
            analysed_fps: self.analysed_fps,
            min_px: self.min_px,
            calibration_id: self.calibration.id().to_owned(),
        }
    }
}

/// Mean luma of a picture, 0..=1, from every eighth pixel of every eighth row.
fn mean_luma(view: &FrameView<'_>) -> f32 {
    let (luma, mut sum, mut count) = (view.luma(), 0_u64, 0_u64);
    for y in (0..view.height()).step_by(8) {
        let row = luma.bytes.get(y * luma.stride..y * luma.stride + view.width()).unwrap_or_default();
        for value in row.iter().step_by(8) {
            sum += u64::from(*value);
            count += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a sum over at most a million bytes")]
    let mean = sum as f32 / count.max(1) as f32;
    match view.range() {
        Range::Limited => ((mean - 16.0) / 219.0).clamp(0.0, 1.0),
        Range::Full => mean / 255.0,
    }
}

impl Report {
    /// The page.
    #[must_use]
    pub fn page(&self, language: Language) -> String {
        page::render(self, language)
    }

    /// For the terminal.
    #[must_use]
    pub fn text(&self) -> String {
        text::text(self)
    }

    /// As data.
    #[must_use]
    pub fn document(&self) -> Value {
        let said: Vec<_> = self.assessment.advice.iter().map(|one| page::advice(self, one).json()).collect();
        json!({
            "schema-version": wire::SCHEMA_VERSION,
            "type": "camera-survey",
            "name": self.name,
            "began": self.span.as_ref().map(|(began, _)| began),
            "ended": self.span.as_ref().map(|(_, ended)| ended),
            "observed-s": self.observed.as_secs(),
            "ended-early": self.ended_early,
            "interruptions": self.interruptions,
            "frames-skipped": self.skipped,
            "assumed": {
                "gallery-people": self.assumptions.people,
                "view-deg": self.assumptions.view_deg,
                "inter-pupil-mm": sekisho_logic::survey::INTER_PUPIL_M * 1000.0,
            },
            "target-fpir": self.target_fpir,
            "candidate-looks-frames": self.looks,
            "confirm-looks-frames": self.confirm_looks,
            "analysed-fps": self.analysed_fps,
            "min-inter-eye-px": self.min_px,
            "calibration-id": self.calibration_id,
            "assessment": self.assessment,
            "summary-said": page::headline(self).json(),
            "advice-said": said,
            "dori-tracks": self.figures.dori().iter().map(|(class, count)| (class.as_str().to_owned(), json!(count)))
                .collect::<serde_json::Map<_, _>>(),
            "figures": rounded(serde_json::to_value(&self.figures).unwrap_or_default()),
        })
    }

    /// Tracks an hour of observation.
    fn tracks_per_hour(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of tracks")]
        let tracks = self.figures.tracks as f64;
        tracks * 3600.0 / self.observed.as_secs_f64().max(1.0)
    }
}

/// Four decimals are more than any of these measurements carries; single precision printed in full would not look so.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map_or(Value::Null, |number| json!((number * 10_000.0).round() / 10_000.0))
        }
        Value::Array(list) => list.into_iter().map(rounded).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, rounded(value))).collect()),
        other => other,
    }
}

/// A clock to run a survey by.
#[must_use]
pub fn clock() -> Arc<SystemClock> {
    Arc::new(SystemClock::start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::outcome::Undecidable;

    #[test]
    fn every_text_is_written_in_both_languages() {
        let words = Words::parse(include_str!("words.toml")).expect("valid TOML");
        assert_eq!(
            words.faults(&[include_str!("page.rs"), include_str!("charts.rs"), include_str!("text.rs")]),
            Vec::<String>::new()
        );
        for key in
            ["hours-hour", "hours-picture", "hours-brightness", "hours-contrast", "hours-sharpness", "tile-found"]
        {
            assert!(words.has(key), "{key}");
        }
        for reason in Undecidable::ALL {
            assert!(words.has(&format!("reason-{}", reason.as_str())), "{}", reason.as_str());
        }
    }

    #[test]
    fn numbers_are_rounded_where_they_are_kept() {
        let value = rounded(json!({ "a": [0.123_456_7, 3], "b": "x", "c": f64::from(0.063_f32) }));
        for (class, _) in sekisho_logic::figures::Dori::LEAST_PX_PER_M {
            assert!(WORDS.has(&format!("class-{}", class.as_str())));
        }
        assert_eq!(value, json!({ "a": [0.1235, 3], "b": "x", "c": 0.063 }));
    }
}
