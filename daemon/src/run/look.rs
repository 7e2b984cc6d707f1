//! One camera's way from a picture to tracked faces: detect, judge fitness, track, embed. Used alike by the running
//! daemon and by replay, so that both see the same.

use crate::config::settings::{CameraSettings, Motion, Settings};
use sekisho_logic::face::{FrameFaces, TrackedFace, Unfit};
use sekisho_logic::fitness::Floors;
use sekisho_logic::frame::{FrameStamp, FrameView};
use sekisho_logic::id::{CameraId, TrackId};
use sekisho_logic::survey::MeasuredFace;
use sekisho_logic::time::Mono;
use sekisho_logic::tracker::{Tracker, TrackerSettings};
use sekisho_vision::analyser::{AnalyserError, CameraEyes, CameraEyesSettings, Eyes, FoundFace, Shown};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How far apart the track numbers of two cameras begin. Tracks are told apart by camera and number, so a camera that
/// has had a million does no harm; the gap only makes a number easier to find in a log.
const TRACKS_EACH: u64 = 1_000_000;

/// One camera's eyes and memory.
pub struct Look {
    camera: CameraId,
    eyes: CameraEyes,
    tracker: Tracker,
    floors: Floors,
    min_interval: Duration,
    interval: Duration,
    /// When the next frame is due; absent before the first.
    due_at: Option<Mono>,
    last_analysed: Option<Mono>,
    last_embedded: BTreeMap<TrackId, Mono>,
}

/// A face with its track, and whether it is worth comparing.
struct Followed {
    found: FoundFace,
    track: TrackId,
    fit: Result<(), Unfit>,
}

impl Look {
    /// Eyes for `camera`; `nth` keeps its track numbers apart from other cameras'.
    #[must_use]
    pub fn new(settings: &Settings, camera: &CameraId, its: &CameraSettings, nth: u64) -> Self {
        Self {
            camera: camera.clone(),
            eyes: CameraEyes::new(look_settings(settings, its)),
            tracker: Tracker::new(TrackerSettings { max_gap: settings.track.max_gap }, nth * TRACKS_EACH + 1),
            floors: floors(settings, its),
            min_interval: settings.track.min_interval,
            interval: Duration::from_secs_f64(1.0 / its.analysed_fps.max(0.01)),
            due_at: None,
            last_analysed: None,
            last_embedded: BTreeMap::new(),
        }
    }

    /// Eyes for single pictures: nothing moves in one, and no later frame can make up for what this one's work did not
    /// reach, so each is searched everywhere at once. All else is as in [`new`](Self::new).
    #[must_use]
    pub fn for_pictures(settings: &Settings, camera: &CameraId, its: &CameraSettings) -> Self {
        let wanted =
            CameraEyesSettings { gate_on_motion: false, work_px_max: usize::MAX, ..look_settings(settings, its) };
        Self { eyes: CameraEyes::new(wanted), ..Self::new(settings, camera, its, 0) }
    }

    /// Whose eyes these are.
    #[must_use]
    pub const fn camera(&self) -> &CameraId {
        &self.camera
    }

    /// Whether a frame is due at `at`. Frames come with jitter, so one that is a tenth of the interval early is taken;
    /// the schedule itself does not drift by that.
    #[must_use]
    pub fn is_due(&self, at: Mono) -> bool {
        self.due_in(at).is_zero()
    }

    /// How long since the last analysed frame; zero before the first.
    #[must_use]
    pub fn idle_for(&self, at: Mono) -> Duration {
        self.last_analysed.map_or(Duration::ZERO, |last| at.since(last))
    }

    /// How long until the next frame is due.
    #[must_use]
    pub fn due_in(&self, at: Mono) -> Duration {
        self.due_at.map_or(Duration::ZERO, |due| due.since(at.plus(self.interval / 10)))
    }

    /// A frame is taken at `at`: the next one is due an interval after this one was, or, after a pause, an interval from
    /// now.
    fn schedule(&mut self, at: Mono) {
        let due = self.due_at.filter(|due| at.since(*due) < self.interval).unwrap_or(at);
        self.due_at = Some(due.plus(self.interval));
    }

    /// Sees what there is in one frame, taken at `taken`: now for a live camera, whose newest frame may be a little old,
    /// and the frame's own time in a replay.
    ///
    /// # Errors
    /// [`AnalyserError`] when a network failed; the frame is skipped.
    pub fn see(
        &mut self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        stamp: FrameStamp,
        taken: Mono,
    ) -> Result<FrameFaces, AnalyserError> {
        let at = stamp.mono;
        let found = self.find(eyes, view, stamp, taken)?;
        let mut faces = Vec::with_capacity(found.len());
        let mut wanted: Vec<(usize, &FoundFace)> = Vec::new();
        for Followed { found, track, fit } in &found {
            if fit.is_ok() {
                wanted.push((faces.len(), found));
            }
            let embedding = Err(fit.err().unwrap_or(Unfit::NoEmbedding));
            faces.push(TrackedFace {
                track: *track,
                face: found.face,
                quality: found.quality,
                embedding,
                picture: None,
            });
        }
        let crops: Vec<_> = wanted.iter().map(|(_, found)| *found).collect();
        let taken = |eyes: &mut Eyes, found: &FoundFace| eyes.picture(view, found, stamp).map(Arc::new);
        let mut pictures: Vec<_> = crops.iter().map(|found| taken(eyes, found)).collect();
        for (nth, ((place, _), embedding)) in wanted.iter().zip(eyes.embed(&crops)).enumerate() {
            let face: &mut TrackedFace = &mut faces[*place];
            if let Ok(embedding) = &embedding {
                face.track = self.tracker.appearance(at, face.track, embedding);
                self.last_embedded.insert(face.track, at);
                face.picture = pictures.get_mut(nth).and_then(Option::take);
            }
            face.embedding = embedding;
        }
        Ok(FrameFaces { camera: self.camera.clone(), stamp, faces, ended: self.take_ended() })
    }

    /// As [`see`](Self::see), but measures only: no face is embedded, so tracks are followed by motion alone. Gives the
    /// faces and the tracks that ended.
    ///
    /// # Errors
    /// [`AnalyserError`] when a network failed; the frame is skipped.
    pub fn measure(
        &mut self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        stamp: FrameStamp,
        taken: Mono,
    ) -> Result<(Vec<MeasuredFace>, Vec<TrackId>), AnalyserError> {
        let found = self.find(eyes, view, stamp, taken)?;
        let faces = found.into_iter().map(|Followed { found, track, fit }| {
            if fit.is_ok() {
                self.last_embedded.insert(track, stamp.mono);
            }
            MeasuredFace { track, box_in_frame: found.face.box_in_frame, quality: found.quality, fit }
        });
        let faces = faces.collect();
        Ok((faces, self.take_ended()))
    }

    /// Detects, tracks and says which faces are worth comparing.
    fn find(
        &mut self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        stamp: FrameStamp,
        taken: Mono,
    ) -> Result<Vec<Followed>, AnalyserError> {
        let at = stamp.mono;
        self.last_analysed = Some(at);
        self.schedule(taken);
        let expected: Vec<_> = self.tracker.expected(at).collect();
        let found = self.eyes.detect(eyes, view, at, &expected)?;
        let detected: Vec<_> = found.iter().map(|found| found.face).collect();
        let tracks = self.tracker.update(at, &detected);
        #[expect(clippy::cast_precision_loss, reason = "frames are at most 8192 pixels wide")]
        let frame_px = (view.width() as f32, view.height() as f32);
        let tracked = found.into_iter().zip(tracks).filter_map(|(found, track)| Some((found, track?)));
        let judged = tracked.map(|(found, track)| {
            let fit = match found.shown {
                Shown::Partly => Err(Unfit::Cut),
                Shown::Whole => self.floors.fit(&found.quality, found.face.box_in_frame, frame_px),
            };
            let fit = fit.and_then(|()| self.is_new(track, at));
            Followed { found, track, fit }
        });
        Ok(judged.collect())
    }

    /// The camera is gone: all tracks end.
    pub fn forget(&mut self) -> Vec<TrackId> {
        self.tracker.end_all();
        self.eyes.forget();
        (self.last_analysed, self.due_at) = (None, None);
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

/// The floors of quality in force at a camera.
#[must_use]
pub const fn floors(settings: &Settings, its: &CameraSettings) -> Floors {
    let quality = &settings.quality;
    Floors {
        inter_eye_px_min: its.min_inter_eye_px,
        sharpness_min: quality.sharpness_min,
        yaw_deg_max: quality.yaw_deg_max,
        roll_deg_max: quality.roll_deg_max,
        brightness_min: quality.brightness_min,
        brightness_max: quality.brightness_max,
        contrast_min: quality.contrast_min,
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
        ..CameraEyesSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames analysed in ten seconds of a camera with `fps`, looked at the moment they are due, when the newest frame
    /// is up to one frame interval old.
    fn analysed(fps: f64, analysed_fps: f64) -> usize {
        let mut settings = Settings::default();
        settings.detect.analysed_fps = analysed_fps;
        let text =
            format!("[cameras.gate]\nsource = \"file:///a.mp4\"\nlists = [\"staff\"]\nanalysed-fps = {analysed_fps}\n");
        let parsed = crate::config::parse(std::path::Path::new("test.toml"), &text).expect("valid");
        let camera = CameraId::try_new("gate").expect("a name");
        let mut look = Look::new(&settings, &camera, &parsed.cameras[&camera], 0);
        let (mut count, mut taken_frame) = (0, None);
        for ms in 0..10_000_u32 {
            let at = Mono::from_millis(u64::from(ms) + 1000);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            let newest = (f64::from(ms) * fps / 1000.0) as u64;
            if look.is_due(at) && taken_frame != Some(newest) {
                taken_frame = Some(newest);
                look.schedule(at);
                count += 1;
            }
        }
        count
    }

    #[test]
    fn the_analysed_rate_is_kept_whatever_the_camera_sends() {
        for fps in [6.0, 10.0, 12.0, 15.0, 25.0, 30.0] {
            let count = analysed(fps, 5.0);
            assert!((48..=52).contains(&count), "{count} of {fps} frames a second in ten seconds");
        }
        assert!((28..=31).contains(&analysed(3.0, 5.0)), "a slow camera is looked at as often as it sends");
    }
}
