use super::*;
use proptest::prelude::*;

fn polygon(corners: &[[f32; 2]]) -> Polygon {
    Polygon::try_new(corners).expect("a polygon")
}

fn face(x: f32, y: f32, side: f32) -> DetectedFace {
    let point = |dx: f32, dy: f32| Point::new(x + dx * side, y + dy * side);
    DetectedFace {
        box_in_frame: Rect::new(x - side / 2.0, y - side / 2.0, side, side),
        landmarks_in_frame: [point(-0.2, 0.0), point(0.2, 0.0), point(0.0, 0.1), point(-0.15, 0.3), point(0.15, 0.3)],
        score: 0.9,
    }
}

#[test]
fn a_point_is_inside_or_not() {
    let corner = polygon(&[[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.5, 0.9], [0.5, 0.5], [0.1, 0.5]]);
    for ((x, y), inside) in [
        ((0.3, 0.3), true),
        ((0.7, 0.8), true),
        ((0.3, 0.7), false),
        ((0.05, 0.3), false),
        ((0.95, 0.5), false),
        ((f32::NAN, 0.3), false),
    ] {
        assert_eq!(corner.contains(Point::new(x, y)), inside, "({x}, {y})");
    }
    assert!((corner.area() - 0.48).abs() < 1e-5, "{}", corner.area());
    assert!(corner.holds(Rect::new(0.2, 0.2, 0.1, 0.1)) && !corner.holds(Rect::new(0.3, 0.3, 0.3, 0.4)));
}

#[test]
fn corners_that_make_no_polygon_are_refused_each_for_its_reason() {
    for (corners, why) in [
        (vec![[0.0, 0.0], [1.0, 1.0]], BadPolygon::TooFewCorners),
        (vec![[0.5, 0.5]; 65], BadPolygon::TooManyCorners),
        (vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.1]], BadPolygon::OutsidePicture),
        (vec![[0.0, 0.0], [1.0, 0.0], [f32::NAN, 1.0]], BadPolygon::OutsidePicture),
        (vec![[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]], BadPolygon::CrossesItself),
        (vec![[0.0, 0.0], [1.0, 0.0], [0.5, 0.0], [0.5, 1.0]], BadPolygon::CrossesItself),
        (vec![[0.2, 0.2], [0.2, 0.2], [0.8, 0.2], [0.5, 0.8]], BadPolygon::CrossesItself),
        (vec![[0.5, 0.5], [0.501, 0.5], [0.5, 0.501]], BadPolygon::NoArea),
    ] {
        assert_eq!(Polygon::try_new(&corners), Err(why), "{corners:?}");
    }
    for either_way in [[[0.1, 0.2], [0.9, 0.2], [0.9, 0.9]], [[0.9, 0.9], [0.9, 0.2], [0.1, 0.2]]] {
        assert!(Polygon::try_new(&either_way).is_ok());
    }
}

#[test]
fn a_mask_counts_more_than_a_zone_and_both_points_must_be_inside() {
    let half = polygon(&[[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]]);
    let hole = polygon(&[[0.1, 0.1], [0.3, 0.1], [0.3, 0.3], [0.1, 0.3]]);
    let area = Area::new(vec![half], vec![hole]);
    let size = (640.0, 360.0);
    assert_eq!(area.place(&face(250.0, 200.0, 40.0), size), Place::Inside);
    assert_eq!(area.place(&face(500.0, 200.0, 40.0), size), Place::OutsideZones);
    assert_eq!(area.place(&face(120.0, 70.0, 40.0), size), Place::Masked);
    let mut odd = face(250.0, 200.0, 40.0);
    odd.box_in_frame = odd.box_in_frame.shifted(200.0, 0.0);
    assert_eq!(area.place(&odd, size), Place::OutsideZones, "eyes in the zone, box outside");
    odd.landmarks_in_frame[0].x = f32::NAN;
    assert_eq!(area.place(&odd, size), Place::OutsideZones);
    assert_eq!(Area::default().place(&odd, (0.0, 0.0)), Place::Inside, "no limits");
    assert_eq!(area.place(&face(250.0, 200.0, 40.0), (0.0, 0.0)), Place::OutsideZones, "an unknown size");
}

proptest! {
    /// Sampled area and computed area agree, so inside means the same everywhere.
    #[test]
    fn inside_and_area_agree(corners in prop::collection::vec((0_u8..=20, 0_u8..=20), 3..9)) {
        let corners: Vec<[f32; 2]> = corners.iter().map(|(x, y)| [f32::from(*x) / 20.0, f32::from(*y) / 20.0]).collect();
        let Ok(polygon) = Polygon::try_new(&corners) else { return Ok(()) };
        let mut inside = 0.0;
        for x in 0..100_u8 {
            for y in 0..100_u8 {
                let at = Point::new((f32::from(x) + 0.5) / 100.0, (f32::from(y) + 0.5) / 100.0);
                inside += f32::from(u8::from(polygon.contains(at)));
            }
        }
        prop_assert!((inside / 10_000.0 - polygon.area()).abs() < 0.06, "{} {}", inside / 10_000.0, polygon.area());
    }

    #[test]
    fn no_numbers_make_it_panic(corners in prop::collection::vec(any::<[f32; 2]>(), 0..70), at in any::<[f32; 2]>()) {
        if let Ok(polygon) = Polygon::try_new(&corners) {
            let _either = polygon.contains(Point::new(at[0], at[1]));
        }
    }
}
