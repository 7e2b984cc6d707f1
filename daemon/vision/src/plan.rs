//! Which parts of a frame the detector looks at, and how much enlarged.
//!
//! The detector finds a face that is at least [`FACE_INPUT_PX`] high in its input. The smallest face an operator wants
//! therefore fixes the finest scale; larger faces are found in coarser levels, each a third of the one before, because
//! at the finest they would not fit the tiles. Per frame, in this order, until the work is used up:
//!
//! 1. regions that moved, coarse level first; fine tiles that do not fit into this frame take turns in the next ones;
//! 2. live tracks that none of these shows at a useful size (somebody standing still);
//! 3. the sweep: the whole picture, tile by tile over several frames, begun every `full_frame_interval`. One tile of it
//!    is done in every frame even when nothing is left, so that permanent motion cannot starve it.

use crate::detector::INPUT_SHAPES_PX;
use crate::letterbox::Letterbox;
use crate::motion::Motion;
use crate::planes::px;
use sekisho_logic::geometry::Rect;
use sekisho_logic::time::Mono;
use std::collections::VecDeque;
use std::time::Duration;

/// Height of a face in the input that is found with certainty: measured scores are 0.87 to 0.90 at 24 px, 0.57 to 0.76
/// at 16 px and next to nothing at 12 px.
pub const FACE_INPUT_PX: f32 = 24.0;

/// Enlarging more invents pixels and finds no more faces.
const SCALE_MAX: f32 = 3.0;

/// A level finds faces from [`FACE_INPUT_PX`] to this many times that height; then the next coarser one does.
const LEVEL_RATIO: f32 = 3.0;

/// Input pixels by which tiles overlap: the largest face of a level and a little more, so that each is whole somewhere.
const OVERLAP_PX: f32 = 80.0;

/// Most tiles of one level; a picture that would need more gets a coarser scale.
const TILES_MAX: usize = 64;

/// Tracks looked after; a crowd beyond that is found by motion and sweep.
const TRACKS_MAX: usize = 32;

/// Height of a tracked face in the input between which its five points are good: below they jitter by several percent
/// of the face, above the outer strides have trouble.
const TRACK_FACE_PX: (f32, f32) = (40.0, 200.0);

/// The height a tracked face is brought to: enlarged to the first, or shrunk to the second.
const TRACK_FACE_WANTED_PX: (f32, f32) = (48.0, 96.0);

/// How many face heights around a track are searched: a person walking past at 1.5 m/s moves about 1.4 face heights in
/// the 200 ms between frames.
const TRACK_REACH: f32 = 3.0;

/// What the operator decides about searching.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlanSettings {
    /// Height in frame pixels of the smallest face that must be found.
    pub face_px_min: f32,
    /// How often the whole picture is searched, whatever moved.
    pub full_frame_interval: Duration,
    /// Input pixels the detector may be given per frame; 100 000 cost about 3 ms of one 2.4 GHz core.
    pub work_px_max: usize,
}

impl Default for PlanSettings {
    fn default() -> Self {
        Self { face_px_min: 16.0, full_frame_interval: Duration::from_secs(3), work_px_max: 2 * 640 * 384 }
    }
}

/// Why a part is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Something moved there.
    Motion,
    /// A live track is there.
    Track,
    /// Its turn in the search of the whole picture.
    Sweep,
}

/// One run of the detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// What is seen, at which scale.
    pub letterbox: Letterbox,
    /// Why.
    pub why: Why,
}

impl Job {
    fn work_px(&self) -> usize {
        let (width, height) = self.letterbox.input_px();
        width * height
    }
}

/// What to do with one frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The runs, in order.
    pub jobs: Vec<Job>,
    /// Runs that moving regions and tracks asked for and that did not fit into this frame.
    pub deferred: usize,
}

/// The planner of one camera.
#[derive(Debug)]
pub struct Planner {
    settings: PlanSettings,
    frame_px: (f32, f32),
    sweep: VecDeque<Letterbox>,
    sweep_begun: Option<Mono>,
    turn: usize,
}

impl Planner {
    /// A planner that has seen nothing yet; its first plan begins a sweep.
    #[must_use]
    pub const fn new(settings: PlanSettings) -> Self {
        Self { settings, frame_px: (0.0, 0.0), sweep: VecDeque::new(), sweep_begun: None, turn: 0 }
    }

    /// Plans one frame. `tracks` are boxes of live tracks where they are expected, in frame pixels.
    pub fn plan(&mut self, frame_px: (f32, f32), motion: &Motion, tracks: &[Rect], now: Mono) -> Plan {
        if frame_px != self.frame_px {
            self.frame_px = frame_px;
            self.sweep.clear();
            self.sweep_begun = None;
        }
        let whole = Rect::new(0.0, 0.0, frame_px.0, frame_px.1);
        let due = self.sweep_begun.is_none_or(|begun| now.since(begun) >= self.settings.full_frame_interval);
        // A sweep under way goes on, even when the light changes again: begun anew at every flicker it would never get
        // to its fine tiles.
        if self.sweep.is_empty() && (due || *motion == Motion::Everywhere) {
            let levels = levels(whole, self.finest(), frame_px);
            self.sweep = levels.into_iter().rev().flatten().collect();
            self.sweep_begun = Some(now);
        }
        let mut left = self.settings.work_px_max;
        let mut plan = Plan::default();
        if let Motion::Regions(regions) = motion {
            self.moving(regions, &mut left, &mut plan);
        }
        self.tracks(tracks, &mut left, &mut plan);
        let mut first = true;
        while let Some(letterbox) = self.sweep.front() {
            let job = Job { letterbox: *letterbox, why: Why::Sweep };
            if !first && job.work_px() > left {
                break;
            }
            self.sweep.pop_front();
            left = left.saturating_sub(job.work_px());
            plan.jobs.push(job);
            first = false;
        }
        plan
    }

    fn finest(&self) -> f32 {
        let scale = FACE_INPUT_PX / self.settings.face_px_min.max(1.0);
        scale.clamp(0.1, SCALE_MAX)
    }

    fn moving(&mut self, regions: &[Rect], left: &mut usize, plan: &mut Plan) {
        // A block of motion is smaller than the head it belongs to, and the detector wants surroundings.
        let margin = 2.0 * self.settings.face_px_min;
        let (mut coarse, mut fine) = (Vec::new(), Vec::new());
        for region in regions.iter().take(crate::motion::REGIONS_MAX) {
            let Some(area) = clipped(*region, margin, self.frame_px) else { continue };
            let mut levels = levels(area, self.finest(), self.frame_px);
            coarse.extend(levels.pop().unwrap_or_default());
            fine.extend(levels.into_iter().flatten());
        }
        let mut add = |letterbox: Letterbox, plan: &mut Plan| {
            let job = Job { letterbox, why: Why::Motion };
            // The first job always runs: a budget below one run would otherwise see nothing, ever.
            let fits = job.work_px() <= *left || plan.jobs.is_empty();
            if fits {
                *left = left.saturating_sub(job.work_px());
                plan.jobs.push(job);
            } else {
                plan.deferred += 1;
            }
            fits
        };
        for letterbox in coarse {
            add(letterbox, plan);
        }
        let begin = if fine.is_empty() { 0 } else { self.turn % fine.len() };
        fine.rotate_left(begin);
        let done = fine.iter().filter(|letterbox| add(**letterbox, plan)).count();
        self.turn = if done == fine.len() { 0 } else { begin + done.max(1) };
    }

    fn tracks(&self, tracks: &[Rect], left: &mut usize, plan: &mut Plan) {
        for face in tracks.iter().take(TRACKS_MAX).filter(|face| face.is_finite() && face.height >= 1.0) {
            let centre = face.centre();
            let in_frame = (0.0..self.frame_px.0).contains(&centre.x) && (0.0..self.frame_px.1).contains(&centre.y);
            if !in_frame || plan.jobs.iter().any(|job| shows(&job.letterbox, *face)) {
                continue;
            }
            let scale = (TRACK_FACE_WANTED_PX.0 / face.height)
                .clamp(0.01, SCALE_MAX)
                .max((TRACK_FACE_WANTED_PX.1 / face.height).min(1.0));
            let area = square(centre.x, centre.y, TRACK_REACH * face.height.max(face.width));
            for letterbox in tiles(area, scale, self.frame_px).into_iter().take(1) {
                let job = Job { letterbox, why: Why::Track };
                if job.work_px() <= *left || plan.jobs.is_empty() {
                    *left = left.saturating_sub(job.work_px());
                    plan.jobs.push(job);
                } else {
                    plan.deferred += 1;
                }
            }
        }
    }
}

/// Whether a tracked face would be seen well in a run that is planned anyway.
fn shows(letterbox: &Letterbox, face: Rect) -> bool {
    let near = face.scaled(2.0);
    let height = face.height * letterbox.scale();
    (TRACK_FACE_PX.0..=TRACK_FACE_PX.1).contains(&height)
        && letterbox.seen_in_frame().intersection(near) > 0.99 * near.area()
}

fn square(x: f32, y: f32, side: f32) -> Rect {
    Rect::new(x - side / 2.0, y - side / 2.0, side, side)
}

/// The region grown by `margin` and cut to the frame; `None` when nothing of it is inside.
fn clipped(region: Rect, margin: f32, frame_px: (f32, f32)) -> Option<Rect> {
    let (left, top) = ((region.x - margin).max(0.0), (region.y - margin).max(0.0));
    let right = (region.x + region.width + margin).min(frame_px.0);
    let bottom = (region.y + region.height + margin).min(frame_px.1);
    let area = Rect::new(left, top, right - left, bottom - top);
    (area.is_finite() && area.width > 0.0 && area.height > 0.0).then_some(area)
}

/// Tiles of every level that `region` needs, finest first; the last level is a single tile.
pub(crate) fn levels(region: Rect, finest: f32, frame_px: (f32, f32)) -> Vec<Vec<Letterbox>> {
    // Eight levels span a factor of 2187, more than any picture has pixels across.
    const LEVELS_MAX: usize = 8;
    let mut levels = Vec::new();
    let mut scale = finest;
    for _ in 0..LEVELS_MAX {
        let tiles = tiles(region, scale, frame_px);
        let last = tiles.len() <= 1;
        levels.push(tiles);
        if last {
            break;
        }
        scale /= LEVEL_RATIO;
    }
    levels
}

/// Covers `region` at `scale` with the shape that costs the least.
fn tiles(region: Rect, scale: f32, frame_px: (f32, f32)) -> Vec<Letterbox> {
    let mut scale = scale;
    loop {
        let (width, height) = (region.width * scale, region.height * scale);
        let best = INPUT_SHAPES_PX
            .iter()
            .map(|shape| (*shape, count(width, shape.0), count(height, shape.1)))
            .min_by_key(|((w, h), across, down)| (w * h).saturating_mul(across.saturating_mul(*down)));
        let Some(((w, h), across, down)) = best else { return Vec::new() };
        if across.saturating_mul(down) > TILES_MAX {
            scale *= 0.8;
            continue;
        }
        let (tile_width, tile_height) = (px(w) / scale, px(h) / scale);
        let mut tiles = Vec::with_capacity(across * down);
        for row in 0..down {
            for column in 0..across {
                let x = place(region.x, region.width, tile_width, column, across);
                let y = place(region.y, region.height, tile_height, row, down);
                tiles.extend(Letterbox::fit(Rect::new(x, y, tile_width, tile_height), frame_px, (w, h)));
            }
        }
        return tiles;
    }
}

/// Tiles of `tile_px` needed for `length` input pixels; far more than allowed when the shape is too small to tile with.
fn count(length: f32, tile_px: usize) -> usize {
    let tile = px(tile_px);
    if length <= tile {
        return 1;
    }
    if tile < 3.0 * OVERLAP_PX || !length.is_finite() {
        return usize::MAX;
    }
    let tiles = ((length - OVERLAP_PX) / (tile - OVERLAP_PX)).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1..=100000 before")]
    {
        tiles.clamp(1.0, 100_000.0) as usize
    }
}

/// Where tile `at` of `count` begins: evenly spread, the first and the last flush with the region, one alone centred.
fn place(from: f32, length: f32, tile: f32, at: usize, count: usize) -> f32 {
    if count <= 1 {
        return from + (length - tile) / 2.0;
    }
    from + (length - tile) * px(at) / px(count - 1)
}

#[cfg(test)]
mod tests;
