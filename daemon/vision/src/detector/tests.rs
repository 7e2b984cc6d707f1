use super::*;
use proptest::prelude::*;

fn face(x: f32, y: f32, w: f32, h: f32, score: f32) -> DetectedFace {
    DetectedFace {
        box_in_frame: Rect::new(x, y, w, h),
        landmarks_in_frame: [Point::new(x + w / 2.0, y + h / 2.0); 5],
        score,
    }
}

/// A grid of 4 x 2 cells in which only cell (2, 1) answers.
fn one_cell(class: f32, object: f32, offsets: [f32; 4]) -> Vec<DetectedFace> {
    let (mut classes, mut objects) = ([0.0; 8], [0.0; 8]);
    let (mut boxes, mut points) = (vec![0.0; 32], vec![0.0; 80]);
    (classes[6], objects[6]) = (class, object);
    boxes[24..28].copy_from_slice(&offsets);
    points[60..62].copy_from_slice(&[0.25, -0.5]);
    let grid = Grid { columns: 4, stride: 16.0, class: &classes, object: &objects, boxes: &boxes, points: &points };
    let mut faces = Vec::new();
    grid.decode(0.6, &mut faces);
    faces
}

#[test]
fn a_cell_decodes_by_the_published_formulas() {
    let faces = one_cell(0.81, 0.64, [0.5, 0.25, 2.0_f32.ln(), 3.0_f32.ln()]);
    assert_eq!(faces.len(), 1);
    let found = faces[0];
    assert!((found.score - 0.72).abs() < 1e-6);
    // Centre ((2 + 0.5) * 16, (1 + 0.25) * 16) = (40, 20), size (32, 48).
    let expected = Rect::new(24.0, -4.0, 32.0, 48.0);
    assert!(found.box_in_frame.iou(expected) > 0.999, "{:?}", found.box_in_frame);
    assert!(found.landmarks_in_frame[0].distance(Point::new(36.0, 8.0)) < 1e-4);
    assert!(found.landmarks_in_frame[4].distance(Point::new(32.0, 16.0)) < 1e-4);
}

#[test]
fn weak_and_infinite_cells_are_no_faces() {
    assert!(one_cell(0.59, 0.6, [0.0; 4]).is_empty());
    assert!(one_cell(1.0, 1.0, [0.0, 0.0, 200.0, 0.0]).is_empty());
    // Sigmoids rounded beyond 1 count as 1.
    assert!((one_cell(1.000_01, 1.0, [0.0; 4])[0].score - 1.0).abs() < 1e-6);
}

#[test]
fn neighbouring_cells_measure_one_face_together() {
    let mut faces = vec![
        face(100.0, 100.0, 40.0, 50.0, 0.9),
        face(103.0, 100.0, 40.0, 50.0, 0.6),
        // Overlaps too much to be another face and too little to be the same measurement.
        face(112.0, 112.0, 40.0, 50.0, 0.7),
        face(200.0, 100.0, 40.0, 50.0, 0.8),
    ];
    keep_best(&mut faces, NMS_IOU);
    assert_eq!(faces.len(), 2);
    assert!((faces[0].score - 0.9).abs() < 1e-6 && (faces[1].score - 0.8).abs() < 1e-6);
    assert!((faces[0].box_in_frame.x - 101.2).abs() < 1e-3, "{:?}", faces[0].box_in_frame);
    assert!((faces[0].landmarks_in_frame[2].x - 121.2).abs() < 1e-3);
}

#[test]
fn the_same_face_in_two_regions_is_reported_once_and_whole() {
    let whole = Sighting { face: face(100.0, 100.0, 40.0, 50.0, 0.7), cut: Cut::No };
    let half = Sighting { face: face(100.0, 100.0, 40.0, 22.0, 0.9), cut: Cut::AtRegion };
    let neighbour = Sighting { face: face(150.0, 100.0, 40.0, 50.0, 0.65), cut: Cut::No };
    let merged = merge(vec![half, neighbour, whole]);
    assert_eq!(merged, vec![whole, neighbour]);
    // Nothing saw it whole: the half is better than nothing.
    assert_eq!(merge(vec![half]), vec![half]);
}

proptest! {
    #[test]
    fn the_best_score_stays_and_faces_stay_where_they_were(
        list in prop::collection::vec((0.0_f32..300.0, 0.0_f32..200.0, 5.0_f32..80.0, 5.0_f32..80.0, 0.0_f32..1.0), 1..60),
    ) {
        let mut faces: Vec<_> = list.iter().map(|(x, y, w, h, s)| face(*x, *y, *w, *h, *s)).collect();
        let best = faces.iter().map(|f| f.score).fold(0.0, f32::max);
        keep_best(&mut faces, NMS_IOU);
        prop_assert!((faces[0].score - best).abs() < f32::EPSILON);
        prop_assert!(faces.len() <= list.len());
        for face in faces {
            // A mean of boxes lies among them.
            let near = |(x, y, w, h, _): &(f32, f32, f32, f32, f32)| face.box_in_frame.iou(Rect::new(*x, *y, *w, *h)) > 0.3;
            prop_assert!(list.iter().any(near));
        }
    }

    #[test]
    fn no_answer_makes_decoding_panic(values in prop::collection::vec(-1e30_f32..1e30, 16), columns in 0_usize..5) {
        let grid = Grid {
            columns, stride: 8.0, class: &values, object: &values, boxes: &values, points: &values,
        };
        let mut faces = Vec::new();
        grid.decode(0.0, &mut faces);
        prop_assert!(faces.iter().all(|f| f.box_in_frame.is_finite()));
    }
}
