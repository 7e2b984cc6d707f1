//! One camera's way from a picture to tracked faces: detect, judge fitness, track, embed. Used alike by the running
//! daemon and by replay, so that both see the same.

use crate::config::settings::{CameraSettings, Motion, Settings, StillFaces};
use crate::local_time;
use sekisho_logic::face::{DetectedFace, FrameFaces, TrackedFace, Unfit};
use sekisho_logic::fitness::Floors;
use sekisho_logic::frame::{FrameStamp, FrameView};
use sekisho_logic::geometry::Rect;
use sekisho_logic::hours::{Hours, Zone};
use sekisho_logic::id::{CameraId, TrackId};
use sekisho_logic::picture::FacePicture;
use sekisho_logic::still::Stillness;
use sekisho_logic::survey::MeasuredFace;
use sekisho_logic::time::Mono;
use sekisho_logic::tracker::{Tracker, TrackerSettings};
use sekisho_logic::zone::{Area, Place};
use sekisho_vision::analyser::{AnalyserError, CameraEyes, CameraEyesSettings, Cover, Eyes, FoundFace, Shown};
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
    /// Where and when faces may be compared.
    area: Area,
    schedule: Hours,
    zone: Zone,
    /// Whether anything is compared at all; see `Settings::not_matched`.
    matched: bool,
    last_embedded: BTreeMap<TrackId, Mono>,
    /// How each track has moved; absent where still faces are compared as well.
    still: Option<BTreeMap<TrackId, Stillness>>,
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
            area: its.scope.area.clone(),
            schedule: its.scope.schedule.clone(),
            zone: local_time::zone(&settings.daemon.time_zone).unwrap_or_default(),
            matched: settings.not_matched(its).is_none(),
            last_embedded: BTreeMap::new(),
            still: (settings.track.still_faces == StillFaces::LeftOut).then(BTreeMap::new),
        }
    }

    /// Eyes for single pictures: nothing moves in one, and no later frame can make up for what this one's work did not
    /// reach, so each is searched everywhere at once. All else is as in [`new`](Self::new).
    #[must_use]
    pub fn for_pictures(settings: &Settings, camera: &CameraId, its: &CameraSettings) -> Self {
        let wanted =
            CameraEyesSettings { gate_on_motion: false, work_px_max: usize::MAX, ..look_settings(settings, its) };
        Self { eyes: CameraEyes::new(wanted), still: None, ..Self::new(settings, camera, its, 0) }
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
        if !(self.matched && self.is_open(stamp)) {
            return Ok(self.nothing(view, stamp, taken));
        }
        let found = self.find(eyes, view, stamp, taken)?;
        let mut faces = Vec::with_capacity(found.len());
        let mut wanted: Vec<(usize, &FoundFace)> = Vec::new();
        for &Followed { ref found, ref track, fit } in &found {
            // The last question before anything biometric is made of a face.
            let fit = fit.and_then(|()| self.may_compare(&found.face, size_of(view), stamp));
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
        let mut pictures: Vec<_> = crops.iter().map(|found| self.picture(eyes, view, found, stamp)).collect();
        for (nth, ((place, _), embedding)) in wanted.iter().zip(eyes.embed(&crops)).enumerate() {
            let face: &mut TrackedFace = &mut faces[*place];
            if let Ok(embedding) = &embedding {
                face.track = self.tracker.appearance(at, face.track, embedding);
                self.last_embedded.insert(face.track, at);
                face.picture = pictures.get_mut(nth).and_then(Option::take);
            }
            face.embedding = embedding;
        }
        Ok(FrameFaces { camera: self.camera.clone(), stamp, frame_px: size_of(view), faces, ended: self.take_ended() })
    }

    /// Outside the camera's hours nothing is looked at, and whoever was in view has left.
    fn nothing(&mut self, view: &FrameView<'_>, stamp: FrameStamp, taken: Mono) -> FrameFaces {
        self.last_analysed = Some(stamp.mono);
        self.schedule(taken);
        self.tracker.end_all();
        let (faces, ended) = (Vec::new(), self.take_ended());
        FrameFaces { camera: self.camera.clone(), stamp, frame_px: size_of(view), faces, ended }
    }

    /// Whether the camera's purpose, hours, zones and masks allow a face to be compared, in a frame of `frame_px`.
    fn may_compare(&self, face: &DetectedFace, frame_px: (f32, f32), stamp: FrameStamp) -> Result<(), Unfit> {
        let inside = self.matched && self.is_open(stamp) && self.area.place(face, frame_px) == Place::Inside;
        if inside { Ok(()) } else { Err(Unfit::OutsideZone) }
    }

    fn is_open(&self, stamp: FrameStamp) -> bool {
        self.schedule.contains(self.zone.local(stamp.wall))
    }

    /// The face as it may be kept: whoever else is in the frame, or is expected to be, is covered.
    fn picture(
        &self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        found: &FoundFace,
        stamp: FrameStamp,
    ) -> Option<Arc<FacePicture>> {
        let subject = found.face.box_in_frame;
        let known = self.eyes.seen().iter().copied().chain(self.tracker.expected(stamp.mono));
        let others: Vec<Rect> = known.filter(|other| !same_face(*other, subject)).collect();
        eyes.picture(view, found, stamp, &Cover { others: &others, area: &self.area }).map(Arc::new)
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
        if !self.is_open(stamp) {
            return Ok((Vec::new(), self.nothing(view, stamp, taken).ended));
        }
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
        let frame_px = size_of(view);
        let mut found = self.eyes.detect(eyes, view, at, &expected)?;
        found.retain(|found| self.area.place(&found.face, frame_px) != Place::Masked);
        let detected: Vec<_> = found.iter().map(|found| found.face).collect();
        let tracks = self.tracker.update(at, &detected);
        let tracked = found.into_iter().zip(tracks).filter_map(|(found, track)| Some((found, track?)));
        let judged = tracked.map(|(found, track)| {
            let fit = match found.shown {
                Shown::Partly => Err(Unfit::Cut),
                Shown::Whole => self.floors.fit(&found.quality, found.face.box_in_frame, frame_px),
            };
            let moved = self.has_moved(track, &found.face);
            let fit = match self.area.place(&found.face, frame_px) {
                Place::Inside => fit.and(moved).and_then(|()| self.is_new(track, at)),
                Place::OutsideZones | Place::Masked => Err(Unfit::OutsideZone),
            };
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

    /// Whether a track is more than a picture on a wall, where those are left out.
    fn has_moved(&mut self, track: TrackId, face: &DetectedFace) -> Result<(), Unfit> {
        let Some(still) = &mut self.still else { return Ok(()) };
        let moved = still.entry(track).or_insert_with(|| Stillness::of(face)).see(face);
        if moved { Ok(()) } else { Err(Unfit::Static) }
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
            self.still.as_mut().and_then(|still| still.remove(track));
        }
        ended
    }
}

#[expect(clippy::cast_precision_loss, reason = "frames are at most 8192 pixels wide")]
const fn size_of(view: &FrameView<'_>) -> (f32, f32) {
    (view.width() as f32, view.height() as f32)
}

/// Whether a box is the subject itself, found again or expected where it is: nearly the same, or of about its size and mostly
/// on it (a detector finds large faces twice, whole and by their upper half). Of somebody else so much would be hidden that
/// nothing is left to be seen.
fn same_face(other: Rect, subject: Rect) -> bool {
    let of_the_smaller = other.intersection(subject) / other.area().min(subject.area()).max(f32::EPSILON);
    let alike = (0.5..=2.0).contains(&(other.width / subject.width));
    other.iou(subject) > 0.5 || (alike && of_the_smaller > 0.5)
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
        masks: its.scope.area.masks().to_vec(),
        ..CameraEyesSettings::default()
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "look_limits_tests.rs"]
mod limits_tests;
