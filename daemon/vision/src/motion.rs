//! Where did something move? Answered on the small grey copy, so that detection runs only there.
//!
//! A background picture follows the scene by a running average, slowly where something moves. Every block of the copy
//! is compared with it after the median difference of all blocks has been taken out: a cloud or an exposure step moves
//! the median, a person does not. A block moves when its difference exceeds a floor and several times its own usual
//! noise. When most blocks move at once, or the median itself jumps, the light changed: the background is replaced and
//! the frame is looked at as a whole.
//!
//! ```text
//! first frame, other size        -> Everywhere
//! median jumps, most blocks move -> Everywhere, background replaced
//! some blocks move               -> Regions (at most REGIONS_MAX, in frame pixels)
//! none                           -> Still
//! ```

use crate::planes::luma::SmallLuma;
use crate::planes::px;
use sekisho_logic::geometry::Rect;

/// What moved.
#[derive(Clone, Debug, PartialEq)]
pub enum Motion {
    /// Nothing.
    Still,
    /// These parts, in frame pixels (edges), each at least one block large.
    Regions(Vec<Rect>),
    /// Nothing can be said about parts: the first frame, or the light changed.
    Everywhere,
}

/// Most regions reported; above it the two that waste least when joined are joined.
pub const REGIONS_MAX: usize = 6;

/// Side of a block in samples of the copy; 16 frame pixels for a copy of a quarter, a face at the detector's floor.
const BLOCK: usize = 4;

/// Least mean difference of a block, in luma steps of 255, that can be motion: twice what H.264 at CCTV bit rates
/// flickers in flat areas.
const DIFFERENCE_FLOOR: f32 = 4.0;

/// How many times its usual noise a block must differ.
const NOISE_FACTOR: f32 = 3.0;

/// Share of blocks above which the cause is the light and not somebody. A person filling 60 % of the picture is
/// reported as a light change, which only means that the whole frame is searched.
const LIGHT_SHARE: f32 = 0.6;

/// Jump of the median between two frames, in luma steps, that is a light change by itself.
const LIGHT_JUMP: f32 = 12.0;

/// Part of the new picture in the background per frame where nothing moves: at five frames a second a moved chair is
/// background after about ten seconds.
const LEARN_STILL: f32 = 1.0 / 16.0;

/// The same where something moves, so that a person who stands still is not learnt within a visit.
const LEARN_MOVING: f32 = 1.0 / 128.0;

/// The motion gate of one camera.
#[derive(Debug, Default)]
pub struct MotionGate {
    background: Vec<f32>,
    noise: Vec<f32>,
    width: usize,
    height: usize,
    means: Vec<f32>,
    absolutes: Vec<f32>,
    moving: Vec<bool>,
    sorted: Vec<f32>,
}

impl MotionGate {
    /// Compares the copy with the background and lets the background follow it.
    pub fn look(&mut self, copy: &SmallLuma) -> Motion {
        if copy.width() < BLOCK || copy.height() < BLOCK {
            return Motion::Everywhere;
        }
        if (copy.width(), copy.height()) != (self.width, self.height) {
            self.restart(copy);
            return Motion::Everywhere;
        }
        self.compare(copy);
        let light = self.median_difference();
        let (columns, rows) = (self.width / BLOCK, self.height / BLOCK);
        let mut count = 0.0;
        for (at, moving) in self.moving.iter_mut().enumerate() {
            // With the light's share taken out, what is left of the block's spread is motion or noise.
            let difference = (self.absolutes[at] - light.abs()).max((self.means[at] - light).abs()).max(0.0);
            *moving = difference > DIFFERENCE_FLOOR.max(NOISE_FACTOR * self.noise[at]);
            if *moving {
                count += 1.0;
            } else {
                self.noise[at] += (difference - self.noise[at]) * LEARN_STILL;
            }
        }
        let blocks = px(columns * rows);
        if light.abs() > LIGHT_JUMP || count > LIGHT_SHARE * blocks {
            self.restart(copy);
            return Motion::Everywhere;
        }
        self.learn(copy, light);
        if count < 0.5 {
            return Motion::Still;
        }
        let block_px = px(copy.block_px() * BLOCK);
        let regions = join(components(&self.moving, columns, rows));
        Motion::Regions(regions.into_iter().map(|area| area.in_frame(block_px)).collect())
    }

    fn restart(&mut self, copy: &SmallLuma) {
        (self.width, self.height) = (copy.width(), copy.height());
        let blocks = (self.width / BLOCK) * (self.height / BLOCK);
        self.background.clear();
        self.background.extend(copy.values().iter().map(|v| f32::from(*v)));
        // The noise of a block survives a light change: it belongs to the camera and to what hangs there.
        self.noise.resize(blocks, 1.0);
        self.moving.clear();
        self.moving.resize(blocks, false);
    }

    /// Mean signed and absolute difference of every block.
    fn compare(&mut self, copy: &SmallLuma) {
        let (columns, rows) = (self.width / BLOCK, self.height / BLOCK);
        self.means.clear();
        self.means.resize(columns * rows, 0.0);
        self.absolutes.clear();
        self.absolutes.resize(columns * rows, 0.0);
        let lines = copy.values().chunks_exact(self.width).zip(self.background.chunks_exact(self.width));
        let per_sample = 1.0 / px(BLOCK * BLOCK);
        for (y, (line, background)) in lines.take(rows * BLOCK).enumerate() {
            let begin = y / BLOCK * columns;
            let blocks = line.chunks_exact(BLOCK).zip(background.chunks_exact(BLOCK));
            let sums = self.means[begin..].iter_mut().zip(&mut self.absolutes[begin..]);
            for ((line, background), (mean, absolute)) in blocks.zip(sums).take(columns) {
                for (now, before) in line.iter().zip(background) {
                    let difference = f32::from(*now) - before;
                    *mean += difference * per_sample;
                    *absolute += difference.abs() * per_sample;
                }
            }
        }
    }

    fn median_difference(&mut self) -> f32 {
        self.sorted.clear();
        self.sorted.extend_from_slice(&self.means);
        let middle = self.sorted.len() / 2;
        let (_, median, _) = self.sorted.select_nth_unstable_by(middle, f32::total_cmp);
        *median
    }

    /// The background follows at once what all blocks share, slowly what is there, very slowly what moves.
    fn learn(&mut self, copy: &SmallLuma, light: f32) {
        let (columns, rows) = (self.width / BLOCK, self.height / BLOCK);
        for (y, (line, background)) in
            copy.values().chunks_exact(self.width).zip(self.background.chunks_exact_mut(self.width)).enumerate()
        {
            let begin = (y / BLOCK).min(rows - 1) * columns;
            for (x, (now, before)) in line.iter().zip(background).enumerate() {
                let moving = self.moving[begin + (x / BLOCK).min(columns - 1)];
                let rate = if moving { LEARN_MOVING } else { LEARN_STILL };
                *before += light;
                *before += (f32::from(*now) - *before) * rate;
            }
        }
    }
}

/// A rectangle of blocks: first and one past the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Area {
    fn join(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            top: self.top.min(other.top),
            right: self.right.max(other.right),
            bottom: self.bottom.max(other.bottom),
        }
    }

    const fn blocks(self) -> usize {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// Blocks in the joined rectangle that are in neither.
    fn waste(self, other: Self) -> usize {
        self.join(other).blocks().saturating_sub(self.blocks() + other.blocks())
    }

    const fn touches(self, other: Self) -> bool {
        self.left <= other.right && other.left <= self.right && self.top <= other.bottom && other.top <= self.bottom
    }

    fn in_frame(self, block_px: f32) -> Rect {
        let [left, top, right, bottom] =
            [self.left, self.top, self.right, self.bottom].map(|blocks| px(blocks) * block_px);
        Rect::new(left, top, right - left, bottom - top)
    }
}

/// Boxes of connected moving blocks (eight neighbours).
fn components(moving: &[bool], columns: usize, rows: usize) -> Vec<Area> {
    let mut seen = vec![false; moving.len()];
    let mut areas = Vec::new();
    let mut open = Vec::new();
    for first in 0..moving.len() {
        if !moving[first] || seen[first] {
            continue;
        }
        seen[first] = true;
        open.push(first);
        let (x, y) = (first % columns, first / columns);
        let mut area = Area { left: x, top: y, right: x + 1, bottom: y + 1 };
        while let Some(at) = open.pop() {
            let (x, y) = (at % columns, at / columns);
            area = area.join(Area { left: x, top: y, right: x + 1, bottom: y + 1 });
            for ny in y.saturating_sub(1)..(y + 2).min(rows) {
                for nx in x.saturating_sub(1)..(x + 2).min(columns) {
                    let next = ny * columns + nx;
                    if moving[next] && !seen[next] {
                        seen[next] = true;
                        open.push(next);
                    }
                }
            }
        }
        areas.push(area);
    }
    areas
}

/// Joins boxes that touch, then the cheapest pairs until few enough are left.
fn join(mut areas: Vec<Area>) -> Vec<Area> {
    // Several hundred specks would make the pairwise search slow; beyond this they are one region.
    const AREAS_MAX: usize = 64;
    if areas.len() > AREAS_MAX {
        return areas.into_iter().reduce(Area::join).into_iter().collect();
    }
    loop {
        let mut best: Option<(usize, usize, usize)> = None;
        for i in 0..areas.len() {
            for j in i + 1..areas.len() {
                let waste = if areas[i].touches(areas[j]) { 0 } else { areas[i].waste(areas[j]) + 1 };
                if best.is_none_or(|(least, _, _)| waste < least) {
                    best = Some((waste, i, j));
                }
            }
        }
        match best {
            Some((waste, i, j)) if waste == 0 || areas.len() > REGIONS_MAX => {
                let other = areas.swap_remove(j);
                areas[i] = areas[i].join(other);
            }
            _ => return areas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planes::tests::Picture;
    use proptest::prelude::*;
    use sekisho_logic::frame::{Matrix, Range};

    /// A textured scene with grain that differs from frame to frame, `brighter` steps lighter, with a square of another
    /// texture at `visitor`.
    fn scene(frame: usize, brighter: u8, visitor: Option<(usize, usize)>) -> SmallLuma {
        let picture = Picture::new((320, 192), 0, |_, x, y| {
            let texture = (x / 12 * 37 + y / 9 * 53) % 90 + 60;
            let grain = (x.wrapping_mul(73) ^ y.wrapping_mul(151) ^ frame.wrapping_mul(7919)) % 5;
            let shown = match visitor {
                Some((left, top)) if (left..left + 40).contains(&x) && (top..top + 64).contains(&y) => 220 - x % 30,
                _ => texture,
            };
            u8::try_from((shown + grain).min(255)).unwrap_or(255).saturating_add(brighter)
        });
        let mut copy = SmallLuma::default();
        copy.fill(&picture.i420(Matrix::Bt601, Range::Limited), 160);
        copy
    }

    fn settled() -> MotionGate {
        let mut gate = MotionGate::default();
        assert_eq!(gate.look(&scene(0, 0, None)), Motion::Everywhere);
        for frame in 1..20 {
            assert_eq!(gate.look(&scene(frame, 0, None)), Motion::Still, "frame {frame}");
        }
        gate
    }

    #[test]
    fn somebody_walking_is_found_where_they_are() {
        let mut gate = settled();
        for step in 0..10 {
            let (left, top) = (40 + 16 * step, 64);
            match gate.look(&scene(100 + step, 0, Some((left, top)))) {
                Motion::Regions(regions) => {
                    let body = Rect::new(px(left), px(top), 40.0, 64.0);
                    let covered: f32 = regions.iter().map(|r| r.intersection(body)).sum();
                    assert!(covered > 0.9 * body.area(), "step {step}: {regions:?}");
                    let area: f32 = regions.iter().map(|r| r.area()).sum();
                    assert!(area < 4.0 * body.area(), "step {step}: {regions:?}");
                }
                other => panic!("step {step}: {other:?}"),
            }
        }
    }

    #[test]
    fn somebody_standing_still_is_seen_for_a_while() {
        let mut gate = settled();
        for frame in 0..50 {
            let motion = gate.look(&scene(200 + frame, 0, Some((120, 64))));
            assert!(matches!(motion, Motion::Regions(_)), "frame {frame}: {motion:?}");
        }
    }

    #[test]
    fn slow_light_is_no_motion_and_a_switched_lamp_is_everywhere() {
        let mut gate = settled();
        for step in 0..30_u8 {
            assert_eq!(gate.look(&scene(300 + usize::from(step), step, None)), Motion::Still, "step {step}");
        }
        assert_eq!(gate.look(&scene(400, 70, None)), Motion::Everywhere);
        assert_eq!(gate.look(&scene(401, 70, None)), Motion::Still);
    }

    #[test]
    fn another_frame_size_starts_again() {
        let mut gate = settled();
        let picture = Picture::new((640, 360), 0, |_, _, _| 90);
        let mut copy = SmallLuma::default();
        copy.fill(&picture.i420(Matrix::Bt601, Range::Limited), 160);
        assert_eq!(gate.look(&copy), Motion::Everywhere);
        assert_eq!(gate.look(&copy), Motion::Still);
    }

    proptest! {
        #[test]
        fn regions_are_few_inside_and_cover_what_moves(bits in prop::collection::vec(any::<bool>(), 40 * 22)) {
            let areas = join(components(&bits, 40, 22));
            prop_assert!(areas.len() <= REGIONS_MAX);
            for (at, _) in bits.iter().enumerate().filter(|(_, moving)| **moving) {
                let (x, y) = (at % 40, at / 40);
                prop_assert!(areas.iter().any(|a| (a.left..a.right).contains(&x) && (a.top..a.bottom).contains(&y)));
            }
            prop_assert!(areas.iter().all(|a| a.right <= 40 && a.bottom <= 22 && a.left < a.right && a.top < a.bottom));
        }
    }
}
