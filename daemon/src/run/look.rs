//! One camera's way from a picture to tracked faces: detect, judge fitness, track, embed. Used alike by the running
//! daemon and by replay, so that both see the same.

use crate::config::settings::{CameraSettings, Motion, Settings};
use sekisho_logic::face::{FrameFaces, TrackedFace, Unfit};
use sekisho_logic::fitness::Floors;
use sekisho_logic::frame::{FrameStamp, FrameView};
use sekisho_logic::id::{CameraId, TrackId};
use sekisho_logic::time::Mono;
use sekisho_logic::tracker::{Tracker, TrackerSettings};
use sekisho_vision::analyser::{AnalyserError, CameraEyes, CameraEyesSettings, Eyes, FoundFace, Shown};
use std::collections::BTreeMap;
use std::time::Duration;

/// Track numbers of one camera: far more than a camera makes in a century at ten a second.
const TRACKS_EACH: u64 = 1 << 36;

/// One camera's eyes and memory.
pub struct Look {
    camera: CameraId,
    eyes: CameraEyes,
    tracker: Tracker,
    floors: Floors,
    min_interval: Duration,
    interval: Duration,
    last_analysed: Option<Mono>,
    last_embedded: BTreeMap<TrackId, Mono>,
}

impl Look {
    /// Eyes for `camera`; `nth` keeps its track numbers apart from other cameras'.
    #[must_use]
    pub fn new(settings: &Settings, camera: &CameraId, its: &CameraSettings, nth: u64) -> Self {
        let quality = &settings.quality;
        Self {
            camera: camera.clone(),
            eyes: CameraEyes::new(look_settings(settings, its)),
            tracker: Tracker::new(TrackerSettings { max_gap: settings.track.max_gap }, nth * TRACKS_EACH + 1),
            floors: Floors {
                inter_eye_px_min: its.min_inter_eye_px,
                sharpness_min: quality.sharpness_min,
                yaw_deg_max: quality.yaw_deg_max,
                roll_deg_max: quality.roll_deg_max,
                brightness_min: quality.brightness_min,
                brightness_max: quality.brightness_max,
                contrast_min: quality.contrast_min,
            },
            min_interval: settings.track.min_interval,
            interval: Duration::from_secs_f64(1.0 / its.analysed_fps.max(0.01)),
            last_analysed: None,
            last_embedded: BTreeMap::new(),
        }
    }

    /// Whose eyes these are.
    #[must_use]
    pub const fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// Whether a frame from `at` is due, keeping to the analysed frames per second. Frames come with jitter, so one that
    /// is a tenth of the interval early is taken.
    #[must_use]
    pub fn is_due(&self, at: Mono) -> bool {
        self.last_analysed.is_none_or(|last| at.since(last) + self.interval / 10 >= self.interval)
    }

    /// How long since the last analysed frame; zero before the first.
    #[must_use]
    pub fn idle_for(&self, at: Mono) -> Duration {
        self.last_analysed.map_or(Duration::ZERO, |last| at.since(last))
    }

    /// When the next frame is due.
    #[must_use]
    pub fn due_in(&self, at: Mono) -> Duration {
        self.last_analysed
            .map_or(Duration::ZERO, |last| self.interval.saturating_sub(at.since(last) + self.interval / 10))
    }

    /// Sees what there is in one frame.
    ///
    /// # Errors
    /// [`AnalyserError`] when a network failed; the frame is skipped.
    pub fn see(
        &mut self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        stamp: FrameStamp,
    ) -> Result<FrameFaces, AnalyserError> {
        let at = stamp.mono;
        self.last_analysed = Some(at);
        let expected: Vec<_> = self.tracker.expected(at).collect();
        let found = self.eyes.detect(eyes, view, at, &expected)?;
        let detected: Vec<_> = found.iter().map(|found| found.face).collect();
        let tracks = self.tracker.update(at, &detected);
        let mut faces = Vec::with_capacity(found.len());
        let mut wanted: Vec<(usize, &FoundFace)> = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "frames are at most 8192 pixels wide")]
        let frame_px = (view.width() as f32, view.height() as f32);
        for (found, track) in found.iter().zip(tracks) {
            let Some(track) = track else { continue };
            let fit = match found.shown {
                Shown::Partly => Err(Unfit::Cut),
                Shown::Whole => self.floors.fit(&found.quality, found.face.box_in_frame, frame_px),
            };
            let fit = fit.and_then(|()| self.is_new(track, at));
            if fit.is_ok() {
                wanted.push((faces.len(), found));
            }
            let embedding = Err(fit.err().unwrap_or(Unfit::NoEmbedding));
            faces.push(TrackedFace { track, face: found.face, quality: found.quality, embedding });
        }
        let crops: Vec<_> = wanted.iter().map(|(_, found)| *found).collect();
        for ((place, _), embedding) in wanted.iter().zip(eyes.embed(&crops)) {
            let face: &mut TrackedFace = &mut faces[*place];
            if let Ok(embedding) = &embedding {
                face.track = self.tracker.appearance(at, face.track, embedding);
                self.last_embedded.insert(face.track, at);
            }
            face.embedding = embedding;
        }
        Ok(FrameFaces { camera: self.camera.clone(), stamp, faces, ended: self.take_ended() })
    }

    /// The camera is gone: all tracks end.
    pub fn forget(&mut self) -> Vec<TrackId> {
        self.tracker.end_all();
        self.eyes.forget();
        self.last_analysed = None;
        self.take_ended()
    }

    /// A frame of a track that was embedded a moment ago would say the same again.
    fn is_new(&self, track: TrackId, at: Mono) -> Result<(), Unfit> {
        match self.last_embedded.get(&track) {
            Some(last) if at.since(*last) < self.min_interval => Err(Unfit::TooSoon),
            _ => Ok(()),
        }
    }

    fn take_ended(&mut self) -> Vec<TrackId> {
        let ended = self.tracker.take_ended();
        for track in &ended {
            self.last_embedded.remove(track);
        }
        ended
    }
}

fn look_settings(settings: &Settings, its: &CameraSettings) -> CameraEyesSettings {
    let detect = &settings.detect;
    CameraEyesSettings {
        full_frame_interval: detect.full_frame_interval,
        inter_eye_px_min: its.min_inter_eye_px,
        score_min: detect.detector_score_min,
        faces_max: usize::try_from(detect.max_faces_per_frame).unwrap_or(usize::MAX),
        gate_on_motion: detect.motion == Motion::Gated,
    }
}
