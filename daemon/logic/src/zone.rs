//! Where in its picture a camera may compare faces: polygons in fractions of the picture, so that they hold for whatever size
//! it sends.
//!
//! ```text
//! face in a mask -> never followed, never embedded, black in every picture kept
//! zones given and face in none of them -> followed and counted, never embedded
//! otherwise -> compared
//! ```

use crate::face::DetectedFace;
use crate::geometry::{Point, Rect};

/// Corners one polygon may have. A hand-drawn outline has a dozen; testing a face against more costs for nothing.
pub const CORNERS_MAX: usize = 64;

/// Smallest area, as a share of the picture: a hundredth of its width by a hundredth of its height.
pub const AREA_MIN: f32 = 1e-4;

/// Why corners make no polygon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPolygon {
    /// Fewer than three corners.
    #[error("a polygon has fewer than three corners")]
    TooFewCorners,
    /// More than [`CORNERS_MAX`] corners.
    #[error("a polygon has more than {CORNERS_MAX} corners")]
    TooManyCorners,
    /// A corner is not within the picture, or no number.
    #[error("a corner lies outside the picture: both numbers are fractions of it, from 0 to 1")]
    OutsidePicture,
    /// Two sides cross or touch: which part is inside would depend on the reader.
    #[error("two sides of a polygon cross or touch")]
    CrossesItself,
    /// Next to no area.
    #[error("a polygon has no area")]
    NoArea,
}

/// A simple polygon in fractions of the picture: (0, 0) is its top left, (1, 1) its bottom right corner.
#[derive(Clone, Debug, PartialEq)]
pub struct Polygon {
    corners: Vec<Point>,
}

impl Polygon {
    /// From its corners in order, either way round.
    ///
    /// # Errors
    /// [`BadPolygon`].
    pub fn try_new(corners: &[[f32; 2]]) -> Result<Self, BadPolygon> {
        if corners.len() < 3 {
            return Err(BadPolygon::TooFewCorners);
        }
        if corners.len() > CORNERS_MAX {
            return Err(BadPolygon::TooManyCorners);
        }
        if !corners.iter().flatten().all(|value| (0.0..=1.0).contains(value)) {
            return Err(BadPolygon::OutsidePicture);
        }
        let polygon = Self { corners: corners.iter().map(|[x, y]| Point::new(*x, *y)).collect() };
        if polygon.crosses_itself() {
            return Err(BadPolygon::CrossesItself);
        }
        if polygon.area() < AREA_MIN { Err(BadPolygon::NoArea) } else { Ok(polygon) }
    }

    /// Its corners, in fractions of the picture.
    #[must_use]
    pub fn corners(&self) -> &[Point] {
        &self.corners
    }

    /// Its area as a share of the picture.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.sides().map(|(a, b)| a.x * b.y - b.x * a.y).sum::<f32>().abs() / 2.0
    }

    /// Whether a point of the picture lies in it; one that is no number lies nowhere.
    #[must_use]
    pub fn contains(&self, at: Point) -> bool {
        // A ray to the right crosses the outline an odd number of times.
        let crossed = |(a, b): &(Point, Point)| {
            (a.y > at.y) != (b.y > at.y) && at.x < (b.x - a.x) * (at.y - a.y) / (b.y - a.y) + a.x
        };
        self.sides().filter(crossed).count() % 2 == 1
    }

    /// Whether all of a box (in fractions of the picture) lies in it, as far as corners tell: all four of the box's are
    /// inside, and none of its own lies in the box.
    #[must_use]
    pub fn holds(&self, rect: Rect) -> bool {
        let (right, bottom) = (rect.x + rect.width, rect.y + rect.height);
        let four = [(rect.x, rect.y), (right, rect.y), (rect.x, bottom), (right, bottom)];
        let within = |corner: &Point| (rect.x..=right).contains(&corner.x) && (rect.y..=bottom).contains(&corner.y);
        four.iter().all(|(x, y)| self.contains(Point::new(*x, *y))) && !self.corners.iter().any(within)
    }

    fn sides(&self) -> impl Iterator<Item = (Point, Point)> + '_ {
        let next = self.corners.iter().cycle().skip(1);
        self.corners.iter().zip(next).map(|(a, b)| (*a, *b))
    }

    fn crosses_itself(&self) -> bool {
        let sides: Vec<_> = self.sides().collect();
        let last = sides.len() - 1;
        sides.iter().enumerate().any(|(i, (a, b))| {
            a == b
                || sides.iter().enumerate().skip(i + 1).any(|(j, (c, d))| {
                    let neighbours = j == i + 1 || (i == 0 && j == last);
                    // Neighbours share a corner; they may not run back over each other.
                    if neighbours { folds((*a, *b), (*c, *d)) } else { touch((*a, *b), (*c, *d)) }
                })
        })
    }
}

fn turn(a: Point, b: Point, c: Point) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// Whether `p` lies on the side from `a` to `b`, given that all three are in line.
fn on(a: Point, b: Point, p: Point) -> bool {
    (a.x.min(b.x)..=a.x.max(b.x)).contains(&p.x) && (a.y.min(b.y)..=a.y.max(b.y)).contains(&p.y)
}

fn touch((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let turns = [turn(a, b, c), turn(a, b, d), turn(c, d, a), turn(c, d, b)];
    let apart = |p: f32, q: f32| (p > 0.0 && q < 0.0) || (p < 0.0 && q > 0.0);
    let level = |turn: f32| turn.abs() <= f32::EPSILON;
    (apart(turns[0], turns[1]) && apart(turns[2], turns[3]))
        || (level(turns[0]) && on(a, b, c))
        || (level(turns[1]) && on(a, b, d))
        || (level(turns[2]) && on(c, d, a))
        || (level(turns[3]) && on(c, d, b))
}

/// Whether two sides that share a corner lie on each other beyond it.
fn folds((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let (shared, one, other) = if b == c { (b, a, d) } else { (a, b, c) };
    let ahead = (one.x - shared.x) * (other.x - shared.x) + (one.y - shared.y) * (other.y - shared.y);
    turn(shared, one, other).abs() <= f32::EPSILON && ahead > 0.0
}

/// What of a camera's picture may be compared.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Area {
    zones: Vec<Polygon>,
    masks: Vec<Polygon>,
}

/// Where a face is, as far as an [`Area`] is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It may be compared.
    Inside,
    /// In none of the zones.
    OutsideZones,
    /// In a mask.
    Masked,
}

impl Area {
    /// Zones in which faces are compared (none: everywhere), and masks in which they never are.
    #[must_use]
    pub const fn new(zones: Vec<Polygon>, masks: Vec<Polygon>) -> Self {
        Self { zones, masks }
    }

    /// Where faces are compared; empty: everywhere.
    #[must_use]
    pub fn zones(&self) -> &[Polygon] {
        &self.zones
    }

    /// Where nothing is compared and nothing shown.
    #[must_use]
    pub fn masks(&self) -> &[Polygon] {
        &self.masks
    }

    /// Where a face of a picture of `frame_px` (width, height) is. Its point is the one between its eyes; where that and the
    /// middle of its box differ in what they say, the stricter answer holds, so that points the detector guessed wrongly
    /// open no door.
    #[must_use]
    pub fn place(&self, face: &DetectedFace, frame_px: (f32, f32)) -> Place {
        if self.zones.is_empty() && self.masks.is_empty() {
            return Place::Inside;
        }
        let [left, right, ..] = face.landmarks_in_frame;
        let between = Point::new(f32::midpoint(left.x, right.x), f32::midpoint(left.y, right.y));
        let points = [between, face.box_in_frame.centre()].map(|point| {
            // The first pixel's middle is (0, 0).
            Point::new((point.x + 0.5) / frame_px.0, (point.y + 0.5) / frame_px.1)
        });
        if points.iter().any(|at| self.masks.iter().any(|mask| mask.contains(*at))) {
            return Place::Masked;
        }
        let known = points.iter().all(|at| at.x.is_finite() && at.y.is_finite());
        let zoned = |at: &Point| self.zones.is_empty() || self.zones.iter().any(|zone| zone.contains(*at));
        if known && points.iter().all(zoned) { Place::Inside } else { Place::OutsideZones }
    }

    /// Whether a point (fractions of the picture) is masked.
    #[must_use]
    pub fn hides(&self, at: Point) -> bool {
        self.masks.iter().any(|mask| mask.contains(at))
    }
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
