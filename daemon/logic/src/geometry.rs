//! Points, boxes and similarity transforms. Names say where a coordinate lives: `_in_frame`, `_in_crop`; transforms
//! are named target-from-source: `crop_from_frame`.

/// A point in pixels; the centre of the top-left pixel is (0, 0), x to the right, y down.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// Pixels to the right.
    pub x: f32,
    /// Pixels down.
    pub y: f32,
}

impl Point {
    /// A point at (`x`, `y`).
    #[must_use]
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance in pixels.
    #[must_use]
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// An axis-parallel box in pixels.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, not negative in a valid box.
    pub width: f32,
    /// Height, not negative in a valid box.
    pub height: f32,
}

impl Rect {
    /// A box from its top-left corner and size.
    #[must_use]
    pub const fn new(x: f32, y: f32, width: f32, height: f32) -> Self {
        Self { x, y, width, height }
    }

    /// The middle.
    #[must_use]
    pub fn centre(self) -> Point {
        Point::new(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// Area in square pixels.
    #[must_use]
    pub fn area(self) -> f32 {
        self.width.max(0.0) * self.height.max(0.0)
    }

    /// Overlap area in square pixels.
    #[must_use]
    pub fn intersection(self, other: Self) -> f32 {
        let width = (self.x + self.width).min(other.x + other.width) - self.x.max(other.x);
        let height = (self.y + self.height).min(other.y + other.height) - self.y.max(other.y);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union, 0..=1; zero for two empty boxes.
    #[must_use]
    pub fn iou(self, other: Self) -> f32 {
        let shared = self.intersection(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { shared / union } else { 0.0 }
    }

    /// Moved by (`dx`, `dy`).
    #[must_use]
    pub fn shifted(self, dx: f32, dy: f32) -> Self {
        Self { x: self.x + dx, y: self.y + dy, ..self }
    }

    /// Grown about its centre by `factor`.
    #[must_use]
    pub fn scaled(self, factor: f32) -> Self {
        let centre = self.centre();
        let (width, height) = (self.width * factor, self.height * factor);
        Self { x: centre.x - width / 2.0, y: centre.y - height / 2.0, width, height }
    }

    /// Whether every number in it is finite.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite() && self.width.is_finite() && self.height.is_finite()
    }
}

/// The five facial points: the viewer's left eye, right eye, nose tip, left and right corner of the mouth.
pub type Landmarks = [Point; 5];

/// Side of the aligned crop that every embedder here takes, in pixels.
pub const CROP_PX: usize = 112;

/// Where the five points lie in an aligned 112x112 crop.
/// Source: the ArcFace reference alignment (InsightFace, `src1` template moved by +8 px for 112x112), the de-facto
/// standard that SFace, MobileFaceNet and most open embedders were trained with.
pub const ARCFACE_TEMPLATE: Landmarks = [
    Point::new(38.2946, 51.6963),
    Point::new(73.5318, 51.5014),
    Point::new(56.0252, 71.7366),
    Point::new(41.5493, 92.3655),
    Point::new(70.7299, 92.2041),
];

/// Distance between the eyes in an aligned crop, in pixels (35.24).
#[must_use]
pub fn crop_inter_eye_px() -> f32 {
    ARCFACE_TEMPLATE[0].distance(ARCFACE_TEMPLATE[1])
}

/// Rotation, uniform scale and shift: `x' = a x - b y + tx`, `y' = b x + a y + ty`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    a: f32,
    b: f32,
    tx: f32,
    ty: f32,
}

impl Similarity {
    /// From scale and shift, without rotation.
    #[must_use]
    pub const fn scale_shift(scale: f32, tx: f32, ty: f32) -> Self {
        Self { a: scale, b: 0.0, tx, ty }
    }

    /// The least-squares similarity that takes `from` to `to` (S. Umeyama, "Least-squares estimation of transformation
    /// parameters between two point patterns", IEEE PAMI 13(4), 1991, in its closed two-dimensional form).
    ///
    /// `None` when a coordinate is not finite or the source points coincide, so that no scale exists.
    #[must_use]
    pub fn fit(from: &[Point], to: &[Point]) -> Option<Self> {
        let n = from.len().min(to.len());
        if n < 2 || from.iter().chain(to).any(|p| !p.x.is_finite() || !p.y.is_finite()) {
            return None;
        }
        let count = f64::from(u32::try_from(n).ok()?);
        let mean = |points: &[Point]| {
            let sum = points[..n].iter().fold((0.0, 0.0), |s, p| (s.0 + f64::from(p.x), s.1 + f64::from(p.y)));
            (sum.0 / count, sum.1 / count)
        };
        let (from_mean, to_mean) = (mean(from), mean(to));
        let (mut dot, mut cross, mut spread) = (0.0, 0.0, 0.0);
        for (f, t) in from.iter().zip(to) {
            let (fx, fy) = (f64::from(f.x) - from_mean.0, f64::from(f.y) - from_mean.1);
            let (tx, ty) = (f64::from(t.x) - to_mean.0, f64::from(t.y) - to_mean.1);
            dot += fx * tx + fy * ty;
            cross += fx * ty - fy * tx;
            spread += fx * fx + fy * fy;
        }
        if spread < 1e-6 {
            return None;
        }
        let (a, b) = (dot / spread, cross / spread);
        if a.hypot(b) < 1e-6 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "pixel coordinates fit f32")]
        Some(Self {
            a: a as f32,
            b: b as f32,
            tx: (to_mean.0 - a * from_mean.0 + b * from_mean.1) as f32,
            ty: (to_mean.1 - b * from_mean.0 - a * from_mean.1) as f32,
        })
    }

    /// Where `p` goes.
    #[must_use]
    pub fn apply(self, p: Point) -> Point {
        Point::new(self.a * p.x - self.b * p.y + self.tx, self.b * p.x + self.a * p.y + self.ty)
    }

    /// The transform back. Scales below 1e-6 do not occur in a fitted transform.
    #[must_use]
    pub fn inverse(self) -> Self {
        let det = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / det, -self.b / det);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }

    /// The uniform scale factor.
    #[must_use]
    pub fn scale(self) -> f32 {
        self.a.hypot(self.b)
    }

    /// The rotation in radians, counter-clockwise in a y-down picture being negative.
    #[must_use]
    pub fn rotation(self) -> f32 {
        self.b.atan2(self.a)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn template_fits_itself() {
        let same = Similarity::fit(&ARCFACE_TEMPLATE, &ARCFACE_TEMPLATE).expect("the template has spread");
        assert!((same.scale() - 1.0).abs() < 1e-5 && same.rotation().abs() < 1e-5);
        assert!((crop_inter_eye_px() - 35.237_7).abs() < 1e-3);
    }

    #[test]
    fn coinciding_or_infinite_points_have_no_transform() {
        let same = [Point::new(3.0, 4.0); 5];
        assert_eq!(Similarity::fit(&same, &ARCFACE_TEMPLATE), None);
        let mut bad = ARCFACE_TEMPLATE;
        bad[2].x = f32::NAN;
        assert_eq!(Similarity::fit(&bad, &ARCFACE_TEMPLATE), None);
    }

    proptest! {
        #[test]
        fn fit_recovers_any_similarity_and_inverts(
            scale in 0.05_f32..20.0, turn in -3.0_f32..3.0, tx in -500.0_f32..500.0, ty in -500.0_f32..500.0,
        ) {
            let truth = Similarity { a: scale * turn.cos(), b: scale * turn.sin(), tx, ty };
            let moved = ARCFACE_TEMPLATE.map(|p| truth.apply(p));
            let found = Similarity::fit(&ARCFACE_TEMPLATE, &moved).expect("spread");
            for p in ARCFACE_TEMPLATE {
                prop_assert!(found.apply(p).distance(truth.apply(p)) < 0.02 * scale.max(1.0));
                prop_assert!(truth.inverse().apply(truth.apply(p)).distance(p) < 0.02);
            }
        }

        #[test]
        fn iou_is_symmetric_and_bounded(a in 0.0_f32..50.0, b in 0.0_f32..50.0, w in 0.1_f32..50.0, h in 0.1_f32..50.0) {
            let (p, q) = (Rect::new(a, b, w, h), Rect::new(b, a, h, w));
            let iou = p.iou(q);
            prop_assert!((0.0..=1.0001).contains(&iou) && (iou - q.iou(p)).abs() < 1e-6);
        }
    }
}
