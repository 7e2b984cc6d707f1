//! YuNet: every face in a region of the picture.
//!
//! Input and decoding as published with the network (W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level Face
//! Detector", Machine Intelligence Research 2023): three grids of strides 8, 16 and 32; a cell's score is the geometric
//! mean of class and objectness, its box and points are offsets in strides.

use crate::letterbox::Letterbox;
use crate::manifest::{Decoder, Entry, Manifest, ManifestError};
use crate::planes::region::RegionSampler;
use crate::planes::{Pixels, px};
use crate::session::{Answer, LoadError, Place, Run, RunError, Runtime, Session};
use sekisho_logic::face::DetectedFace;
use sekisho_logic::geometry::{Point, Rect};
use std::sync::Arc;

/// The only input shapes ever run, width and height. The runtime keeps memory for every shape it has seen, so there are
/// few; both sides are multiples of 32, which the network's strides need. Milliseconds of the network alone on one
/// idle 2.4 GHz core: 0.4, 1.0, 1.7, 2.9, 6.9.
pub const INPUT_SHAPES_PX: [(usize, usize); 5] = [(128, 128), (192, 192), (320, 192), (320, 320), (640, 384)];

/// Overlap above which two boxes are one face; the value the network was published with.
pub const NMS_IOU: f32 = 0.3;

/// Overlap from which a weaker candidate is another measurement of the same face, taken from a neighbouring cell. Box and
/// points of a face are the mean of all of these, weighted by score: against taking the best one alone, the spread of
/// the points over repeated looks (shifted by whole pixels, other exposure, noise) fell by a third, from 4.0 to 2.7 % of
/// the inter-eye distance at 35 px and from 11.5 to 7.4 % at 10 px (250 CelebA faces; 0.5 and 0.7 give the same).
const SAME_IOU: f32 = 0.6;

/// Candidates this much weaker than the least acceptable score still count as measurements.
const WEAKER: f32 = 0.75;

/// Candidates kept per run before duplicates are removed, best first. A real frame has a few dozen; the bound is for a
/// hostile picture, because removing duplicates is quadratic.
const CANDIDATES_MAX: usize = 1024;

const STRIDES: [usize; 3] = [8, 16, 32];

const OUTPUTS: [[&str; 4]; 3] = [
    ["cls_8", "obj_8", "bbox_8", "kps_8"],
    ["cls_16", "obj_16", "bbox_16", "kps_16"],
    ["cls_32", "obj_32", "bbox_32", "kps_32"],
];

/// Why there is no detector or embedder.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not for this role.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The network is not usable.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// The detector of one worker thread.
#[derive(Debug)]
pub struct Detector {
    session: Session,
    sampler: RegionSampler,
    tensor: Vec<f32>,
}

/// A face as seen in one region.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// The face, in frame pixels.
    pub face: DetectedFace,
    /// Whether it reached a border of the region behind which the picture goes on.
    pub cut: Cut,
}

/// Whether a region showed the whole of a face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    No,
    /// The region ended at it; another region may show it better.
    AtRegion,
}

/// A picture ready to be run.
#[derive(Clone, Copy, Debug)]
pub struct Prepared(Letterbox);

impl Detector {
    /// Loads, checks and tries a detector.
    ///
    /// # Errors
    /// [`StartError`], naming network, file and key.
    pub fn load(runtime: &'static Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> Result<Self, StartError> {
        Self::load_in(&Place::Cpu, runtime, manifest, entry)
    }

    /// As [`load`](Self::load), in the place given.
    ///
    /// # Errors
    /// As `load`; what an accelerator refuses is refused here.
    pub fn load_in(
        place: &Place,
        runtime: &'static Runtime,
        manifest: &Manifest,
        entry: &Arc<Entry>,
    ) -> Result<Self, StartError> {
        match entry.detector()? {
            Decoder::Yunet => {}
        }
        let session = Session::load_in(place, runtime, manifest, entry, Run::Often)?;
        Ok(Self { session, sampler: RegionSampler::default(), tensor: Vec::new() })
    }

    /// The network in use.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Samples the region the letterbox shows into the input tensor.
    pub fn prepare(&mut self, pixels: Pixels<'_>, letterbox: Letterbox) -> Prepared {
        let (width, height) = letterbox.input_px();
        let planes = self.sampler.sample(pixels, letterbox.seen_in_frame(), (width, height));
        self.tensor.resize(3 * width * height, 0.0);
        planes.write_tensor(&self.session.entry().input, &mut self.tensor);
        Prepared(letterbox)
    }

    /// Runs the network on what was prepared last. Faces come best first, duplicates removed.
    ///
    /// # Errors
    /// [`RunError`] when the network fails or answers with something that is not finite.
    pub fn run(&mut self, prepared: Prepared, frame_px: (f32, f32), score_min: f32) -> Result<Vec<Sighting>, RunError> {
        let Prepared(letterbox) = prepared;
        let (width, height) = letterbox.input_px();
        let answer = self.session.run([1, 3, height, width], &self.tensor)?;
        let mut faces = decode(&answer, (width, height), score_min * WEAKER)?;
        keep_best(&mut faces, NMS_IOU);
        faces.retain(|face| face.score >= score_min);
        Ok(faces
            .iter()
            .map(|face| letterbox.face_to_frame(face))
            .map(|face| {
                let cut = if letterbox.cuts(face.box_in_frame, frame_px) { Cut::AtRegion } else { Cut::No };
                Sighting { face, cut }
            })
            .collect())
    }

    /// Every face in `region` (pixel edges), looked at in an input of `input_px`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn detect(
        &mut self,
        pixels: Pixels<'_>,
        region: Rect,
        input_px: (usize, usize),
        score_min: f32,
    ) -> Result<Vec<Sighting>, RunError> {
        let frame_px = pixels.size_px();
        let Some(letterbox) = Letterbox::fit(region, frame_px, input_px) else { return Ok(Vec::new()) };
        let prepared = self.prepare(pixels, letterbox);
        self.run(prepared, frame_px, score_min)
    }
}

/// All three grids of one answer, in input pixels.
fn decode(answer: &Answer<'_>, (width, height): (usize, usize), score_min: f32) -> Result<Vec<DetectedFace>, RunError> {
    let mut faces = Vec::new();
    for (stride, [class, object, boxes, points]) in STRIDES.into_iter().zip(OUTPUTS) {
        let cells = (width / stride) * (height / stride);
        let grid = Grid {
            columns: width / stride,
            stride: px(stride),
            class: answer.finite_tensor(class, &[1, cells, 1])?,
            object: answer.finite_tensor(object, &[1, cells, 1])?,
            boxes: answer.finite_tensor(boxes, &[1, cells, 4])?,
            points: answer.finite_tensor(points, &[1, cells, 10])?,
        };
        grid.decode(score_min, &mut faces);
    }
    Ok(faces)
}

/// One grid of cells.
struct Grid<'a> {
    columns: usize,
    stride: f32,
    class: &'a [f32],
    object: &'a [f32],
    boxes: &'a [f32],
    points: &'a [f32],
}

impl Grid<'_> {
    fn decode(&self, score_min: f32, faces: &mut Vec<DetectedFace>) {
        let (boxes, points) = (self.boxes.as_chunks::<4>().0, self.points.as_chunks::<10>().0);
        let cells = self.class.iter().zip(self.object).zip(boxes.iter().zip(points));
        for (at, ((class, object), (offsets, points))) in cells.enumerate() {
            let product = class.clamp(0.0, 1.0) * object.clamp(0.0, 1.0);
            if product < score_min * score_min {
                continue;
            }
            let (column, row) = (px(at % self.columns.max(1)), px(at / self.columns.max(1)));
            let centre = Point::new((column + offsets[0]) * self.stride, (row + offsets[1]) * self.stride);
            let (width, height) = (offsets[2].exp() * self.stride, offsets[3].exp() * self.stride);
            let mut landmarks_in_frame = [Point::new(0.0, 0.0); 5];
            for (point, [x, y]) in landmarks_in_frame.iter_mut().zip(points.as_chunks::<2>().0) {
                *point = Point::new((column + x) * self.stride, (row + y) * self.stride);
            }
            let box_in_frame = Rect::new(centre.x - width / 2.0, centre.y - height / 2.0, width, height);
            // exp of a large offset is infinite; such a box is no face.
            if box_in_frame.is_finite() {
                faces.push(DetectedFace { box_in_frame, landmarks_in_frame, score: product.sqrt() });
            }
        }
    }
}

/// Non-maximum suppression: of faces that overlap more than `iou_max` one stays, with the best score and the mean place
/// of all that agree with it.
fn keep_best(faces: &mut Vec<DetectedFace>, iou_max: f32) {
    faces.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    faces.truncate(CANDIDATES_MAX);
    let mut kept: Vec<(DetectedFace, Mean)> = Vec::new();
    for face in faces.drain(..) {
        let overlaps = kept.iter_mut().map(|(best, mean)| (best.box_in_frame.iou(face.box_in_frame), mean));
        match overlaps.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
            Some((iou, mean)) if iou >= SAME_IOU => mean.add(&face),
            Some((iou, _)) if iou > iou_max => {}
            _ => kept.push((face, Mean::of(&face))),
        }
    }
    faces.extend(kept.into_iter().map(|(best, mean)| mean.face(best.score)));
}

/// Sums of box and points, weighted by score.
struct Mean {
    weight: f32,
    sums: [f32; 14],
}

impl Mean {
    fn of(face: &DetectedFace) -> Self {
        let mut mean = Self { weight: 0.0, sums: [0.0; 14] };
        mean.add(face);
        mean
    }

    fn add(&mut self, face: &DetectedFace) {
        let Rect { x, y, width, height } = face.box_in_frame;
        let points = face.landmarks_in_frame.iter().flat_map(|p| [p.x, p.y]);
        // A score of zero would leave a face without a place.
        let weight = face.score.max(1e-3);
        self.weight += weight;
        for (sum, value) in self.sums.iter_mut().zip([x, y, width, height].into_iter().chain(points)) {
            *sum += weight * value;
        }
    }

    fn face(&self, score: f32) -> DetectedFace {
        let [x, y, width, height, points @ ..] = self.sums.map(|sum| sum / self.weight);
        let mut landmarks_in_frame = [Point::new(0.0, 0.0); 5];
        for (point, [x, y]) in landmarks_in_frame.iter_mut().zip(points.as_chunks::<2>().0) {
            *point = Point::new(*x, *y);
        }
        DetectedFace { box_in_frame: Rect::new(x, y, width, height), landmarks_in_frame, score }
    }
}

/// Joins what several regions saw. A whole face beats one that its region cut; then the better score wins. A box that
/// lies mostly inside a better one is part of it: half a face at a region's border.
#[must_use]
pub fn merge(mut sightings: Vec<Sighting>) -> Vec<Sighting> {
    // Part of the smaller box that must lie inside the larger one to be the same face. Two faces one behind the other
    // cover each other less, or the hidden one would not have been found.
    const INSIDE_MIN: f32 = 0.6;
    sightings.sort_by(|a, b| {
        (a.cut == Cut::AtRegion).cmp(&(b.cut == Cut::AtRegion)).then(b.face.score.total_cmp(&a.face.score))
    });
    sightings.truncate(CANDIDATES_MAX);
    let mut kept: Vec<Sighting> = Vec::new();
    for sighting in sightings {
        let this = sighting.face.box_in_frame;
        let known = kept.iter().any(|better| {
            let other = better.face.box_in_frame;
            let smaller = this.area().min(other.area()).max(f32::MIN_POSITIVE);
            other.iou(this) > NMS_IOU || other.intersection(this) > INSIDE_MIN * smaller
        });
        if !known {
            kept.push(sighting);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
