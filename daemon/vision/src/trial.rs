//! Whether an accelerator computes what the processor computes, and how fast: run in a process that may die of it.
//!
//! Both look at the golden picture that comes with the networks. A detector must find the same faces, each side of a box and
//! each point within a pixel of its input; an embedder must turn each face into the same direction, alone and in every size
//! of batch it is run with. Then both take turns at one input, so that whatever else the machine does slows both alike.

use crate::accelerator::Accelerator;
use crate::aligner;
use crate::detector::{Detector, INPUT_SHAPES_PX, Sighting, StartError};
use crate::embedder::Embedder;
use crate::letterbox::Letterbox;
use crate::manifest::{Entry, Manifest, Role};
use crate::photo::{self, Photo, PhotoError};
use crate::planes::aligned::{Crop, CropSampler};
use crate::session::{LoadError, Place, Run, Runtime};
use sekisho_logic::embedding::Embedding;
use sekisho_logic::geometry::{Point, Rect};
use sekisho_logic::time::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Least cosine of an embedding with the processor's: what a network's renderings in 8 bits reach, and far above what two
/// photographs of one person have in common.
pub const COSINE_MIN: f32 = 0.99;

/// Most pixels of the detector's input by which a side or a point may differ.
pub const PIXELS_MAX: f32 = 1.0;

/// Score from which a face must be found by both, and what the other may give it: near the edge rounding decides.
const SCORE_MIN: f32 = 0.6;
const OTHER_SCORE_MIN: f32 = 0.5;

/// The difference that stands for a face which only one of both found.
pub const OTHER_FACES: f32 = 10_000.0;

/// Faces embedded by both; fewer when they take longer than [`COMPARING`], two at the least.
const CROPS_MAX: usize = 12;
const COMPARING: Duration = Duration::from_secs(10);

/// The detector's input that is timed: between the small ones for tracks and the large one for sweeps.
const MEASURED_PX: (usize, usize) = (320, 320);

/// Turns taken; fewer when they take longer than [`MEASURING`], three at the least unless that is four times as long.
const TURNS_MAX: usize = 60;
const MEASURING: Duration = Duration::from_secs(2);

/// How much two answers have in common.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// An embedder's: the least cosine.
    Cosine {
        /// Of the face that agreed least.
        worst: f32,
        /// Faces compared.
        faces: usize,
    },
    /// A detector's: the largest difference.
    Pixels {
        /// Pixels of the network's input; [`OTHER_FACES`] when one found a face where the other found none.
        worst: f32,
        /// Faces compared, over all input shapes.
        faces: usize,
    },
}

impl Agreement {
    /// Whether it is enough.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self {
            Self::Cosine { worst, faces } => *faces > 0 && *worst >= COSINE_MIN,
            Self::Pixels { worst, faces } => *faces > 0 && *worst <= PIXELS_MAX,
        }
    }
}

impl std::fmt::Display for Agreement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cosine { worst, faces } => write!(f, "cosine {worst:.4} at least over {faces} faces"),
            Self::Pixels { worst, .. } if *worst >= OTHER_FACES => f.write_str("other faces are found"),
            Self::Pixels { worst, faces } => write!(f, "{worst:.2} px at most over {faces} faces"),
        }
    }
}

/// How long one input takes, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Latency {
    /// Half of the runs are faster.
    pub median_ms: f64,
    /// Nineteen of twenty are.
    pub p95_ms: f64,
    /// Runs measured.
    pub runs: usize,
}

impl Latency {
    fn of(mut spans: Vec<Duration>) -> Self {
        spans.sort_unstable();
        let at = |percent: usize| {
            let index = (spans.len() * percent / 100).min(spans.len().saturating_sub(1));
            spans.get(index).map_or(0.0, |span| span.as_secs_f64() * 1000.0)
        };
        Self { median_ms: at(50), p95_ms: at(95), runs: spans.len() }
    }
}

/// What a trial found.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Findings {
    /// How much both agree.
    pub agreement: Agreement,
    /// The processor, in the same library and at the same time.
    pub cpu: Latency,
    /// The accelerator.
    pub accelerator: Latency,
}

impl Findings {
    /// How many times faster than the processor the accelerator is.
    #[must_use]
    pub fn speedup(&self) -> f64 {
        if self.accelerator.median_ms > 0.0 { self.cpu.median_ms / self.accelerator.median_ms } else { 0.0 }
    }
}

/// Why a trial found nothing.
#[derive(Debug, thiserror::Error)]
pub enum NoFindings {
    /// The accelerator does not run the network, a sentence.
    #[error("{0}")]
    Refused(String),
    /// Something is missing without which nothing can be tried, a sentence. It says nothing about the accelerator.
    #[error("{0}")]
    Unfit(String),
}

impl From<StartError> for NoFindings {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Load(LoadError::File(error)) => Self::Unfit(error.to_string()),
            other => Self::Refused(other.to_string()),
        }
    }
}

/// What a run that failed comes to.
impl From<String> for NoFindings {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// How far a trial has come, for whoever has to say where it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The accelerator loads and compiles the network.
    Loading,
    /// Both look at the golden picture.
    Comparing,
    /// Both take turns.
    Measuring,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Loading, Self::Comparing, Self::Measuring];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Comparing => "comparing",
            Self::Measuring => "measuring",
        }
    }
}

/// Everything a trial works with.
pub struct Bench<'a> {
    /// The library, which must be the one the accelerator needs.
    pub runtime: &'static Runtime,
    /// All contracts.
    pub manifest: &'a Manifest,
    /// Finds the faces that embedders are tried with, on the processor.
    pub detector: &'a Arc<Entry>,
    /// Wall time.
    pub clock: &'a dyn Clock,
    /// Told at the beginning of each stage.
    pub told: &'a mut dyn FnMut(Stage),
}

impl Bench<'_> {
    /// Tries one network.
    ///
    /// # Errors
    /// [`NoFindings`] when the network does not run there at all; that it disagrees or is slow is a finding.
    pub fn try_network(&mut self, entry: &Arc<Entry>, accelerator: &Accelerator) -> Result<Findings, NoFindings> {
        let photo = self.golden_picture()?;
        let place = Place::On(accelerator.clone(), Arc::default());
        match &entry.role {
            Role::Detector(_) => self.detectors(entry, &place, &photo),
            Role::Embedder(_) => self.embedders(entry, &place, &photo),
        }
    }

    /// How long the network takes on the processor alone, at the input that trials measure.
    ///
    /// # Errors
    /// [`NoFindings`] when it does not run.
    pub fn time_on_cpu(&mut self, entry: &Arc<Entry>) -> Result<Latency, NoFindings> {
        let photo = self.golden_picture()?;
        let nothing = || Ok(());
        let (cpu, _) = match &entry.role {
            Role::Detector(_) => {
                let mut cpu = Detector::load(self.runtime, self.manifest, entry)?;
                let letterbox = whole(&photo, MEASURED_PX).ok_or_else(empty)?;
                self.turns(|| look(&mut cpu, &photo, letterbox).map(|_| ()), nothing)?
            }
            Role::Embedder(_) => {
                let crops = self.crops(&photo)?;
                let crop = crops.first().ok_or_else(faceless)?;
                let mut cpu = Embedder::load(self.runtime, self.manifest, entry)?;
                self.turns(|| embed(&mut cpu, crop).map(|_| ()), nothing)?
            }
        };
        Ok(cpu)
    }

    fn golden_picture(&self) -> Result<Photo, NoFindings> {
        let path: PathBuf = self.manifest.golden_picture().ok_or_else(|| {
            NoFindings::Unfit("the manifest names no golden-picture, without which nothing can be compared".to_owned())
        })?;
        let unfit = |error: PhotoError| NoFindings::Unfit(format!("{}: {error}", path.display()));
        Photo::decode(&photo::read(&path).map_err(unfit)?).map_err(unfit)
    }

    fn detectors(&mut self, entry: &Arc<Entry>, place: &Place, photo: &Photo) -> Result<Findings, NoFindings> {
        let mut cpu = Detector::load(self.runtime, self.manifest, entry)?;
        (self.told)(Stage::Loading);
        let mut other = Detector::load_in(place, self.runtime, self.manifest, entry)?;
        (self.told)(Stage::Comparing);
        let (mut worst, mut faces) = (0.0_f32, 0);
        for input_px in INPUT_SHAPES_PX {
            let Some(letterbox) = whole(photo, input_px) else { continue };
            let (one, two) = (look(&mut cpu, photo, letterbox)?, look(&mut other, photo, letterbox)?);
            worst = worst.max(apart(&one, &two, letterbox.scale()));
            faces += one.iter().filter(|sighting| sighting.face.score >= SCORE_MIN).count();
        }
        if faces == 0 {
            return Err(faceless());
        }
        (self.told)(Stage::Measuring);
        let letterbox = whole(photo, MEASURED_PX).ok_or_else(empty)?;
        let (cpu, accelerator) = self.turns(
            || look(&mut cpu, photo, letterbox).map(|_| ()),
            || look(&mut other, photo, letterbox).map(|_| ()),
        )?;
        Ok(Findings { agreement: Agreement::Pixels { worst, faces }, cpu, accelerator })
    }

    fn embedders(&mut self, entry: &Arc<Entry>, place: &Place, photo: &Photo) -> Result<Findings, NoFindings> {
        let crops = self.crops(photo)?;
        let mut cpu = Embedder::load(self.runtime, self.manifest, entry)?;
        (self.told)(Stage::Loading);
        let mut other = Embedder::load_in(place, self.runtime, self.manifest, entry, Run::Often)?;
        (self.told)(Stage::Comparing);
        let (begun, mut worst, mut alone) = (self.clock.now().mono, 1.0_f32, Vec::new());
        for crop in &crops {
            let (one, two) = (embed(&mut cpu, crop)?, embed(&mut other, crop)?);
            worst = worst.min(one.cosine(&two));
            alone.push((crop, one));
            if alone.len() >= 2 && self.clock.now().mono.since(begun) > COMPARING {
                break;
            }
        }
        for size in other.batches() {
            // Where there are fewer faces some come twice.
            let batch: Vec<_> = alone.iter().cycle().take(size).collect();
            let crops: Vec<_> = batch.iter().map(|(crop, _)| *crop).collect();
            for ((_, one), two) in batch.iter().zip(other.embed(&crops)) {
                worst = worst.min(one.cosine(&two.map_err(|error| error.to_string())?));
            }
        }
        (self.told)(Stage::Measuring);
        let crop = crops.first().ok_or_else(faceless)?;
        let (cpu, accelerator) =
            self.turns(|| embed(&mut cpu, crop).map(|_| ()), || embed(&mut other, crop).map(|_| ()))?;
        Ok(Findings { agreement: Agreement::Cosine { worst, faces: alone.len() }, cpu, accelerator })
    }

    /// The aligned faces of the golden picture, best first.
    fn crops(&self, photo: &Photo) -> Result<Vec<Crop>, NoFindings> {
        let mut detector = Detector::load(self.runtime, self.manifest, self.detector)?;
        let letterbox = whole(photo, (640, 384)).ok_or_else(empty)?;
        let sightings = look(&mut detector, photo, letterbox)?;
        let mut sampler = CropSampler::default();
        let sure = sightings.iter().filter(|sighting| sighting.face.score >= SCORE_MIN);
        let crops =
            sure.filter_map(|sighting| sampler.sample(photo.pixels(), aligner::align(&sighting.face)?.crop_from_frame));
        let crops: Vec<_> = crops.take(CROPS_MAX).collect();
        if crops.is_empty() { Err(faceless()) } else { Ok(crops) }
    }

    fn turns(
        &self,
        mut cpu: impl FnMut() -> Result<(), String>,
        mut other: impl FnMut() -> Result<(), String>,
    ) -> Result<(Latency, Latency), String> {
        let (begun, mut spans) = (self.clock.now().mono, (Vec::new(), Vec::new()));
        for turn in 0..TURNS_MAX {
            let start = self.clock.now().mono;
            cpu()?;
            let between = self.clock.now().mono;
            other()?;
            let end = self.clock.now().mono;
            spans.0.push(between.since(start));
            spans.1.push(end.since(between));
            let spent = end.since(begun);
            if spent > MEASURING * 4 || (turn >= 2 && spent > MEASURING) {
                break;
            }
        }
        Ok((Latency::of(spans.0), Latency::of(spans.1)))
    }
}

fn empty() -> NoFindings {
    NoFindings::Unfit("the golden picture is empty".to_owned())
}

fn faceless() -> NoFindings {
    NoFindings::Unfit("no face is found in the golden picture".to_owned())
}

fn whole(photo: &Photo, input_px: (usize, usize)) -> Option<Letterbox> {
    let frame_px = photo.pixels().size_px();
    Letterbox::fit(Rect::new(0.0, 0.0, frame_px.0, frame_px.1), frame_px, input_px)
}

fn look(detector: &mut Detector, photo: &Photo, letterbox: Letterbox) -> Result<Vec<Sighting>, String> {
    let pixels = photo.pixels();
    let prepared = detector.prepare(pixels, letterbox);
    detector.run(prepared, pixels.size_px(), OTHER_SCORE_MIN).map_err(|error| error.to_string())
}

fn embed(embedder: &mut Embedder, crop: &Crop) -> Result<Embedding, String> {
    let mut one = embedder.embed(&[crop]);
    one.pop().ok_or("the embedder answers nothing")?.map_err(|error| error.to_string())
}

/// The largest difference of the faces that either is sure of, `scale` times what it is in the frame; [`OTHER_FACES`] when
/// the other has none.
fn apart(one: &[Sighting], two: &[Sighting], scale: f32) -> f32 {
    let from = |sure: &[Sighting], other: &[Sighting]| {
        let sure = sure.iter().filter(|sighting| sighting.face.score >= SCORE_MIN);
        let nearest = |sighting: &Sighting| {
            other.iter().map(|other| distance(sighting, other) * scale).fold(OTHER_FACES, f32::min)
        };
        sure.map(nearest).fold(0.0, f32::max)
    };
    from(one, two).max(from(two, one))
}

/// The largest difference of a side or a point.
fn distance(one: &Sighting, two: &Sighting) -> f32 {
    let sides = |rect: Rect| [rect.x, rect.y, rect.x + rect.width, rect.y + rect.height];
    let (a, b) = (sides(one.face.box_in_frame), sides(two.face.box_in_frame));
    let sides = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let points = one.face.landmarks_in_frame.iter().zip(two.face.landmarks_in_frame);
    let points = points.map(|(a, b): (&Point, Point)| (a.x - b.x).abs().max((a.y - b.y).abs()));
    sides.chain(points).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Cut;
    use crate::model_file::FileError;
    use sekisho_logic::face::DetectedFace;

    fn face(x: f32, score: f32) -> Sighting {
        let landmarks_in_frame = [Point::new(x, 5.0); 5];
        Sighting {
            face: DetectedFace { box_in_frame: Rect::new(x, 5.0, 20.0, 30.0), landmarks_in_frame, score },
            cut: Cut::No,
        }
    }

    #[test]
    fn a_face_that_only_one_finds_is_no_agreement_and_a_doubtful_one_is_nothing() {
        assert!((apart(&[face(10.0, 0.9)], &[face(10.5, 0.8)], 1.0) - 0.5).abs() < 1e-5);
        assert!(apart(&[face(10.0, 0.9), face(200.0, 0.9)], &[face(10.0, 0.9)], 1.0) > 100.0);
        assert!(apart(&[], &[face(10.0, 0.9)], 1.0) >= OTHER_FACES);
        assert!(apart(&[face(10.0, 0.9)], &[face(10.0, 0.9), face(300.0, 0.55)], 1.0) < 1e-5);
    }

    #[test]
    fn a_network_that_cannot_be_read_says_nothing_about_the_accelerator() {
        let (id, path) = ("yunet".to_owned(), PathBuf::from("/nonexistent"));
        let missing = LoadError::File(FileError::Missing { id: id.clone(), path: path.clone() });
        assert!(matches!(NoFindings::from(StartError::Load(missing)), NoFindings::Unfit(_)));
        let refused = LoadError::Refused { id, path, detail: "no such operator".into() };
        assert!(matches!(NoFindings::from(StartError::Load(refused)), NoFindings::Refused(_)));
    }

    #[test]
    fn nothing_compared_is_no_agreement() {
        assert!(!Agreement::Pixels { worst: 0.0, faces: 0 }.holds());
        assert!(!Agreement::Cosine { worst: 1.0, faces: 0 }.holds());
        assert!(Agreement::Cosine { worst: 0.991, faces: 3 }.holds());
        assert!(!Agreement::Pixels { worst: f32::NAN, faces: 3 }.holds());
    }

    #[test]
    fn the_median_is_of_what_was_measured() {
        let latency = Latency::of([4, 1, 3, 2, 100].map(Duration::from_millis).to_vec());
        assert!((latency.median_ms - 3.0).abs() < 1e-9 && (latency.p95_ms - 100.0).abs() < 1e-9);
        assert_eq!(latency.runs, 5);
    }
}
