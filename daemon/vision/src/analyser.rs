//! One worker thread's eyes, and what each camera remembers between frames.
//!
//! [`Eyes`] owns the sessions and buffers and belongs to one thread. [`CameraEyes`] is one camera's motion model and
//! search schedule and goes wherever the camera is worked on. Durations are taken from the clock handed in, so that a
//! benchmark can measure processor time and a test nothing at all.

use crate::aligner;
use crate::detector::{Cut, Detector, Sighting, StartError, merge};
use crate::embedder::{Embedder, TemplateVersion};
use crate::manifest::{Entry, Manifest};
use crate::motion::{Motion, MotionGate};
use crate::plan::{Job, PlanSettings, Planner};
use crate::planes::aligned::{Crop, CropSampler};
use crate::planes::luma::SmallLuma;
use crate::planes::region::RegionSampler;
use crate::planes::{Pixels, px};
use crate::quality;
use crate::session::{RunError, Runtime};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{DetectedFace, Quality, Unfit};
use sekisho_logic::frame::{FrameStamp, FrameView};
use sekisho_logic::geometry::{CROP_PX, Point, Rect, Similarity};
use sekisho_logic::picture::{FacePicture, RgbPatch};
use sekisho_logic::pixelate::{blacken, pixelate_but};
use sekisho_logic::time::{Clock, Mono};
use sekisho_logic::zone::{Area, Polygon};
use std::sync::Arc;
use std::time::Duration;

/// How much of a face was to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it.
    Whole,
    /// The picture, or the part of it that was searched, ends in it.
    Partly,
}

/// A face that was found, aligned and judged.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFace {
    /// Where it is.
    pub face: DetectedFace,
    /// How good it is.
    pub quality: Quality,
    /// How much of it was to be seen; what is shown partly is not worth embedding.
    pub shown: Shown,
    /// Frame pixels to crop pixels.
    pub crop_from_frame: Similarity,
    /// The aligned picture.
    pub crop: Crop,
}

/// Why a frame could not be analysed.
pub type AnalyserError = RunError;

/// What the operator decides about looking.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraEyesSettings {
    /// How often the whole picture is searched, whatever moved.
    pub full_frame_interval: Duration,
    /// Distance between the eyes, in frame pixels, of the smallest face that must be found.
    pub inter_eye_px_min: f32,
    /// Least detector score of a face, 0..=1.
    pub score_min: f32,
    /// Most faces taken from one frame, best scores first; the rest is counted as dropped.
    pub faces_max: usize,
    /// Whether only what moved is searched between two searches of the whole picture. Without the gate every frame is
    /// searched as if all of it moved.
    pub gate_on_motion: bool,
    /// Detector input pixels a frame may cost; what does not fit waits for the next frame.
    pub work_px_max: usize,
    /// What moves inside these is not searched for.
    pub masks: Vec<Polygon>,
}

impl Default for CameraEyesSettings {
    fn default() -> Self {
        // 8 px between the eyes is a face 17 px wide. A score of 0.6 keeps most faces at the detector's floor.
        // 64 faces are a crowd, and their crops are 2.4 MB.
        Self {
            full_frame_interval: Duration::from_secs(3),
            inter_eye_px_min: 8.0,
            score_min: 0.6,
            faces_max: 64,
            gate_on_motion: true,
            work_px_max: PlanSettings::default().work_px_max,
            masks: Vec::new(),
        }
    }
}

/// Time and work since the last time they were taken. Iterating gives name, time and number of calls of each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Grey copy and motion gate.
    pub motion: Duration,
    /// Sampling regions for the detector.
    pub sample: Duration,
    /// The detector network and its decoding.
    pub detect: Duration,
    /// Alignment, crops and quality.
    pub align: Duration,
    /// The embedder network.
    pub embed: Duration,
    /// Frames looked at.
    pub frames: u64,
    /// Runs of the detector.
    pub detector_runs: u64,
    /// Detector runs wanted and put off because the frame's work was used up.
    pub detector_runs_deferred: u64,
    /// Faces found.
    pub faces: u64,
    /// Faces beyond the most a frame may have.
    pub faces_dropped: u64,
    /// Faces embedded, and those whose embedding failed.
    pub embeddings: u64,
    /// Of these, failed.
    pub embeddings_failed: u64,
}

impl IntoIterator for StageTimes {
    type Item = (&'static str, Duration, u64);
    type IntoIter = std::array::IntoIter<Self::Item, 5>;

    fn into_iter(self) -> Self::IntoIter {
        [
            ("motion", self.motion, self.frames),
            ("sample", self.sample, self.detector_runs),
            ("detect", self.detect, self.detector_runs),
            ("align", self.align, self.faces),
            ("embed", self.embed, self.embeddings),
        ]
        .into_iter()
    }
}

/// The networks and buffers of one worker thread.
pub struct Eyes {
    detector: Detector,
    embedder: Embedder,
    crops: CropSampler,
    patches: RegionSampler,
    clock: Arc<dyn Clock>,
    times: StageTimes,
}

impl std::fmt::Debug for Eyes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Eyes").field("version", &self.version()).field("times", &self.times).finish_non_exhaustive()
    }
}

impl Eyes {
    /// Loads, checks and tries both networks.
    ///
    /// # Errors
    /// [`StartError`], naming network, file and key.
    pub fn open(
        runtime: &'static Runtime,
        manifest: &Manifest,
        detector: &Arc<Entry>,
        embedder: &Arc<Entry>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let networks = (Detector::load(runtime, manifest, detector)?, Embedder::load(runtime, manifest, embedder)?);
        Ok(Self::with(networks, clock))
    }

    /// Eyes that see with networks already loaded.
    #[must_use]
    pub fn with((detector, embedder): (Detector, Embedder), clock: Arc<dyn Clock>) -> Self {
        Self {
            detector,
            embedder,
            crops: CropSampler::default(),
            patches: RegionSampler::default(),
            clock,
            times: StageTimes::default(),
        }
    }

    /// What the embeddings made here are bound to.
    #[must_use]
    pub fn version(&self) -> TemplateVersion {
        self.embedder.version()
    }

    /// Times and counts since the last call.
    pub fn take_times(&mut self) -> StageTimes {
        std::mem::take(&mut self.times)
    }

    /// Embeds faces, in order. A failure is that face's, with the cause logged once a call.
    pub fn embed(&mut self, faces: &[&FoundFace]) -> Vec<Result<Embedding, Unfit>> {
        let crops: Vec<&Crop> = faces.iter().map(|face| &face.crop).collect();
        self.embed_crops(&crops)
    }

    /// As [`embed`](Self::embed), for crops kept apart from their faces.
    pub fn embed_crops(&mut self, crops: &[&Crop]) -> Vec<Result<Embedding, Unfit>> {
        if crops.is_empty() {
            return Vec::new();
        }
        let begun = self.clock.now().mono;
        let results = self.embedder.embed(crops);
        self.times.embed += self.clock.now().mono.since(begun);
        self.times.embeddings += results.len() as u64;
        let failed = results.iter().filter(|result| result.is_err()).count();
        self.times.embeddings_failed += failed as u64;
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            tracing::warn!(failed, of = results.len(), %error, "faces have no embedding; they stay tracked");
        }
        results.into_iter().map(|result| result.map_err(|_| Unfit::NoEmbedding)).collect()
    }

    /// Runs the detector on the given parts of a picture and joins what they saw.
    ///
    /// # Errors
    /// [`RunError`] when a run fails; what earlier runs of this picture saw is dropped with it.
    pub(crate) fn search(
        &mut self,
        pixels: Pixels<'_>,
        jobs: &[Job],
        score_min: f32,
    ) -> Result<Vec<Sighting>, RunError> {
        let frame_px = pixels.size_px();
        let mut sightings = Vec::new();
        for job in jobs {
            let begun = self.clock.now().mono;
            let prepared = self.detector.prepare(pixels, job.letterbox);
            let sampled = self.clock.now().mono;
            sightings.extend(self.detector.run(prepared, frame_px, score_min)?);
            self.times.sample += sampled.since(begun);
            self.times.detect += self.clock.now().mono.since(sampled);
            self.times.detector_runs += 1;
        }
        Ok(merge(sightings))
    }

    /// What a face looks like, for a second network and for people: its aligned crop, and the face with half its size around
    /// it at the camera's own resolution (smaller where that is more than [`PATCH_PX_MAX`] across). `None` when its box is not
    /// usable.
    ///
    /// Nobody else is to be seen on it, nor what is masked: `cover` says who and what.
    pub fn picture(
        &mut self,
        view: &FrameView<'_>,
        face: &FoundFace,
        stamp: FrameStamp,
        cover: &Cover<'_>,
    ) -> Option<FacePicture> {
        let pixels = Pixels::Frame(*view);
        let (region, (width, height)) = patch(face.face.box_in_frame, pixels.size_px())?;
        let planes = self.patches.sample(pixels, region, (width, height));
        let triples = planes.red.iter().zip(planes.green).zip(planes.blue);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
        let byte = |value: &f32| value.round().clamp(0.0, 255.0) as u8;
        let mut rgb: Vec<u8> = triples.flat_map(|((r, g), b)| [byte(r), byte(g), byte(b)]).collect();
        cover.apply(&mut rgb, (width, height), region, pixels.size_px(), face.face.box_in_frame);
        let side = u32::try_from(CROP_PX).ok()?;
        Some(FacePicture {
            stamp,
            quality: face.quality,
            aligned: RgbPatch::try_new(side, side, face.crop.rgb().to_vec())?,
            native: RgbPatch::try_new(u32::try_from(width).ok()?, u32::try_from(height).ok()?, rgb)?,
        })
    }

    /// Aligns, crops and judges one face; `None` when its box is not usable.
    pub(crate) fn judge(&mut self, pixels: Pixels<'_>, sighting: &Sighting) -> Option<FoundFace> {
        let aligned = aligner::align(&sighting.face)?;
        let crop = self.crops.sample(pixels, aligned.crop_from_frame)?;
        let partly = sighting.cut == Cut::AtRegion || leaves(sighting.face.box_in_frame, pixels.size_px());
        Some(FoundFace {
            face: sighting.face,
            quality: quality::measure(&crop, &aligned),
            shown: if partly { Shown::Partly } else { Shown::Whole },
            crop_from_frame: aligned.crop_from_frame,
            crop,
        })
    }
}

/// What must not be seen on a picture that may be kept.
#[derive(Clone, Copy, Debug)]
pub struct Cover<'a> {
    /// The boxes of all other faces, in frame pixels.
    pub others: &'a [Rect],
    /// What the camera may not show.
    pub area: &'a Area,
}

impl Cover<'_> {
    /// Pixelates the others and blackens what is masked in a patch of `width` x `height` pixels that shows `region` of the
    /// frame. The margin around other faces spares `subject`.
    fn apply(
        &self,
        rgb: &mut [u8],
        (width, height): (usize, usize),
        region: Rect,
        frame_px: (f32, f32),
        subject: Rect,
    ) {
        let (across, down) = (px(width) / region.width, px(height) / region.height);
        // Boxes are in pixel centres, regions in pixel edges.
        let in_patch = |face: Rect| {
            let (x, y) = (face.x + 0.5 - region.x, face.y + 0.5 - region.y);
            Rect::new(x * across, y * down, face.width * across, face.height * down)
        };
        let sides = (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0));
        for other in self.others {
            pixelate_but(rgb, sides.0, sides.1, in_patch(*other), Some(in_patch(subject)));
        }
        if !self.area.masks().is_empty() {
            let place =
                |x: f32, y: f32| Point::new((region.x + x / across) / frame_px.0, (region.y + y / down) / frame_px.1);
            blacken(rgb, sides.0, |x, y| self.area.hides(place(x, y)));
        }
    }
}

/// Longest side of a patch, in pixels: a face that large is recognised from a smaller copy as well, and a track keeps
/// several.
const PATCH_PX_MAX: f32 = 240.0;

/// The part of the picture around a face, on whole pixels, and the size it is kept at.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides are between 1 and PATCH_PX_MAX")]
fn patch(face: Rect, (width, height): (f32, f32)) -> Option<(Rect, (usize, usize))> {
    if !face.is_finite() {
        return None;
    }
    // Boxes are in pixel centres, regions in pixel edges.
    let left = (face.x + 0.5 - face.width / 4.0).floor().max(0.0);
    let top = (face.y + 0.5 - face.height / 4.0).floor().max(0.0);
    let right = (face.x + 0.5 + face.width * 1.25).ceil().min(width);
    let bottom = (face.y + 0.5 + face.height * 1.25).ceil().min(height);
    let region = Rect::new(left, top, right - left, bottom - top);
    if region.width < 1.0 || region.height < 1.0 {
        return None;
    }
    let scale = (PATCH_PX_MAX / region.width.max(region.height)).min(1.0);
    let side = |length: f32| (length * scale).round().max(1.0) as usize;
    Some((region, (side(region.width), side(region.height))))
}

/// Whether a noticeable part of a face (a twentieth of its box) is outside the picture.
fn leaves(face: Rect, (width, height): (f32, f32)) -> bool {
    face.intersection(Rect::new(-0.5, -0.5, width, height)) < 0.95 * face.area()
}

/// What one camera's eyes remember: background, search schedule.
#[derive(Debug)]
pub struct CameraEyes {
    settings: CameraEyesSettings,
    copy: SmallLuma,
    gate: MotionGate,
    planner: Planner,
    /// Whatever may be a face in the last frame, in frame pixels.
    seen: Vec<Rect>,
}

/// From this score on something may be a face, so it is not shown on somebody else's picture, though it is not followed.
const DOUBTFUL_SCORE: f32 = 0.3;

/// The boxes of whatever may be a face; from the `doubtful_from`th on they are doubtful. Of those, what lies on a face that is
/// none is a part of it: an eye, a mouth, its upper half.
fn possible(sightings: &[Sighting], doubtful_from: usize) -> Vec<Rect> {
    let boxes: Vec<Rect> = sightings.iter().map(|sighting| sighting.face.box_in_frame).collect();
    let (sure, doubtful) = boxes.split_at(doubtful_from);
    let on_a_face = |rect: &Rect| {
        let Point { x, y } = rect.centre();
        sure.iter()
            .any(|face| (face.x..face.x + face.width).contains(&x) && (face.y..face.y + face.height).contains(&y))
    };
    sure.iter().chain(doubtful.iter().filter(|rect| !on_a_face(rect))).copied().collect()
}

/// What moved, without what moved inside a mask.
fn unmasked(motion: Motion, masks: &[Polygon], frame_px: (f32, f32)) -> Motion {
    match motion {
        Motion::Regions(mut regions) if !masks.is_empty() => {
            let share = |rect: &Rect| {
                let (x, y) = (rect.x / frame_px.0, rect.y / frame_px.1);
                Rect::new(x, y, rect.width / frame_px.0, rect.height / frame_px.1)
            };
            regions.retain(|region| !masks.iter().any(|mask| mask.holds(share(region))));
            if regions.is_empty() { Motion::Still } else { Motion::Regions(regions) }
        }
        other => other,
    }
}

/// Width of the grey copy the motion gate works on: with it, a block of motion on a 640 px frame is 16 px.
const COPY_WIDTH: usize = 160;

impl CameraEyes {
    /// Eyes that have seen nothing yet.
    #[must_use]
    pub fn new(settings: CameraEyesSettings) -> Self {
        Self {
            copy: SmallLuma::default(),
            gate: MotionGate::default(),
            planner: Planner::new(PlanSettings {
                face_px_min: aligner::face_height_px(settings.inter_eye_px_min),
                full_frame_interval: settings.full_frame_interval,
                work_px_max: settings.work_px_max,
            }),
            seen: Vec::new(),
            settings,
        }
    }

    /// The camera was lost: what comes next may show something else, so nothing is remembered.
    pub fn forget(&mut self) {
        *self = Self::new(self.settings.clone());
    }

    /// The boxes, in frame pixels, of whatever may have been a face in the frame that was looked at last, also what was too
    /// doubtful or one too many to be followed.
    #[must_use]
    pub fn seen(&self) -> &[Rect] {
        &self.seen
    }

    /// Every face that is worth looking for in this frame: where something moved, where live tracks are expected
    /// (`track_boxes`, frame pixels), and in the part of the picture whose turn it is.
    ///
    /// # Errors
    /// [`RunError`] when the detector fails; the frame is lost, the next one may be tried.
    pub fn detect(
        &mut self,
        eyes: &mut Eyes,
        view: &FrameView<'_>,
        now: Mono,
        track_boxes: &[Rect],
    ) -> Result<Vec<FoundFace>, RunError> {
        let begun = eyes.clock.now().mono;
        let motion = if self.settings.gate_on_motion {
            self.copy.fill(view, COPY_WIDTH);
            unmasked(self.gate.look(&self.copy), &self.settings.masks, (px(view.width()), px(view.height())))
        } else {
            Motion::Regions(vec![Rect::new(0.0, 0.0, px(view.width()), px(view.height()))])
        };
        eyes.times.motion += eyes.clock.now().mono.since(begun);
        eyes.times.frames += 1;
        let pixels = Pixels::Frame(*view);
        let plan = self.planner.plan(pixels.size_px(), &motion, track_boxes, now);
        eyes.times.detector_runs_deferred += plan.deferred as u64;
        let mut sightings = eyes.search(pixels, &plan.jobs, self.settings.score_min.min(DOUBTFUL_SCORE))?;
        sightings.sort_by(|a, b| b.face.score.total_cmp(&a.face.score));
        let doubtful_from = sightings.partition_point(|sighting| sighting.face.score >= self.settings.score_min);
        self.seen = possible(&sightings, doubtful_from);
        sightings.truncate(doubtful_from);
        eyes.times.faces += sightings.len() as u64;
        eyes.times.faces_dropped += sightings.len().saturating_sub(self.settings.faces_max) as u64;
        sightings.truncate(self.settings.faces_max);
        let begun = eyes.clock.now().mono;
        let faces = sightings.iter().filter_map(|sighting| eyes.judge(pixels, sighting)).collect();
        eyes.times.align += eyes.clock.now().mono.since(begun);
        Ok(faces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_the_face_with_half_its_size_around_it_pixel_for_pixel() {
        let (region, size) = patch(Rect::new(99.5, 49.5, 40.0, 60.0), (640.0, 360.0)).expect("a patch");
        assert_eq!((region, size), (Rect::new(90.0, 35.0, 60.0, 90.0), (60, 90)));
        let (region, size) = patch(Rect::new(-20.0, -20.0, 40.0, 60.0), (640.0, 360.0)).expect("a patch");
        assert!(region.x.abs() < 1e-6 && region.y.abs() < 1e-6 && size.0 < 60, "{region:?}");
        let (_, size) = patch(Rect::new(0.0, 0.0, 600.0, 300.0), (640.0, 360.0)).expect("a patch");
        assert_eq!(size.0, 240);
        assert_eq!(patch(Rect::new(900.0, 0.0, 40.0, 60.0), (640.0, 360.0)), None);
        assert_eq!(patch(Rect::new(f32::NAN, 0.0, 40.0, 60.0), (640.0, 360.0)), None);
    }

    #[test]
    fn a_face_half_outside_is_shown_partly() {
        let frame = (640.0, 360.0);
        assert!(!leaves(Rect::new(-0.5, -0.5, 40.0, 50.0), frame));
        assert!(leaves(Rect::new(-10.0, 100.0, 40.0, 50.0), frame));
        assert!(leaves(Rect::new(300.0, 340.0, 40.0, 50.0), frame));
    }
}
