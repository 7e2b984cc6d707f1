//! Random configurations, and faces wherever and whenever: the real file format, the real eyes' rules, the real watcher.

use super::*;
use crate::evaluate::judge::tests::calibration;
use crate::site;
use proptest::prelude::*;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{Alignment, Quality};
use sekisho_logic::gallery::{Gallery, Member};
use sekisho_logic::geometry::Point;
use sekisho_logic::id::{ListId, PersonId};
use sekisho_logic::time::{Now, WallMs};
use sekisho_logic::watcher::{Action, Watcher};
use std::path::Path;

/// Corners on a grid of twentieths.
type Outline = Vec<(u8, u8)>;

/// What a camera may be told, and what it is told otherwise about the law.
#[derive(Clone, Debug)]
struct Told {
    zones: Vec<Outline>,
    masks: Vec<Outline>,
    /// Hours of the day, from and to.
    hours: Option<(u8, u8)>,
    lists: Vec<&'static str>,
    purpose: bool,
    refuse: bool,
}

/// A quadrilateral around its middle never crosses itself.
fn outline() -> impl Strategy<Value = Outline> {
    (2_u8..18, 2_u8..18, prop::collection::vec(1_u8..9, 4)).prop_map(|(x, y, arms)| {
        let clamp = |value: i32| u8::try_from(value.clamp(0, 20)).expect("clamped");
        let (x, y) = (i32::from(x), i32::from(y));
        let arm = |nth: usize| i32::from(arms[nth]);
        vec![
            (clamp(x - arm(0)), clamp(y)),
            (clamp(x), clamp(y - arm(1))),
            (clamp(x + arm(2)), clamp(y)),
            (clamp(x), clamp(y + arm(3))),
        ]
    })
}

fn told() -> impl Strategy<Value = Told> {
    let outlines = || prop::collection::vec(outline(), 0..3);
    let hours = prop::option::of((0_u8..24, 0_u8..24));
    let lists = prop::sample::subsequence(vec!["staff", "watch", "guests"], 1..=3);
    (outlines(), outlines(), hours, lists, any::<bool>(), any::<bool>())
        .prop_map(|(zones, masks, hours, lists, purpose, refuse)| Told { zones, masks, hours, lists, purpose, refuse })
}

impl Told {
    fn file(&self) -> String {
        let shape = |outlines: &[Outline]| {
            let point = |(x, y): &(u8, u8)| format!("[{}, {}]", f32::from(*x) / 20.0, f32::from(*y) / 20.0);
            let one = |outline: &Outline| format!("[{}]", outline.iter().map(point).collect::<Vec<_>>().join(", "));
            format!("[{}]", outlines.iter().map(one).collect::<Vec<_>>().join(", "))
        };
        let names = self.lists.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let mut text = format!(
            "[daemon]\ntime-zone = \"UTC\"\n[privacy]\nrequire-purpose = \"{}\"\n[lists.guests]\n\
             [cameras.gate]\nsource = \"file:///a.mp4\"\nlists = [{names}]\nzones = {}\nmasks = {}\n",
            if self.refuse { "refuse" } else { "warn" },
            shape(&self.zones),
            shape(&self.masks),
        );
        if let Some((from, to)) = self.hours {
            text.push_str(&format!("schedule = [\"{from:02}:00-{to:02}:00\"]\n"));
        }
        if self.purpose {
            text.push_str("purpose = \"To try it out\"\nlegal-basis = \"consent\"\n");
        }
        text
    }

    /// What the words mean, reckoned in another way than the program does: by the winding number around (`x`, `y`), in
    /// twentieths, at an hour of the day.
    fn allows(&self, x: f32, y: f32, hour: u8, list: &str) -> bool {
        let inside = |outline: &Outline| {
            let turns = (0..outline.len()).map(|nth| {
                let corner = |nth: usize| {
                    let (cx, cy) = outline[nth % outline.len()];
                    (f32::from(cx) - x, f32::from(cy) - y)
                };
                let ((ax, ay), (bx, by)) = (corner(nth), corner(nth + 1));
                (ax * by - ay * bx).atan2(ax * bx + ay * by)
            });
            turns.sum::<f32>().abs() > std::f32::consts::PI
        };
        let open = self
            .hours
            .is_none_or(|(from, to)| if from < to { (from..to).contains(&hour) } else { hour >= from || hour < to });
        let zoned = self.zones.is_empty() || self.zones.iter().any(inside);
        let lawful = self.purpose || !self.refuse;
        lawful && open && zoned && !self.masks.iter().any(inside) && self.lists.contains(&list)
    }
}

const FRAME_PX: (f32, f32) = (640.0, 360.0);

/// A small face with its eyes' middle and its box' middle at one point, in twentieths of the picture.
fn face(x: f32, y: f32) -> DetectedFace {
    let middle = Point::new(x / 20.0 * FRAME_PX.0 - 0.5, y / 20.0 * FRAME_PX.1 - 0.5);
    let point = |dx: f32, dy: f32| Point::new(middle.x + dx, middle.y + dy);
    DetectedFace {
        box_in_frame: Rect::new(middle.x - 15.0, middle.y - 18.0, 30.0, 36.0),
        landmarks_in_frame: [point(-6.0, 0.0), point(6.0, 0.0), point(0.0, 5.0), point(-5.0, 10.0), point(5.0, 10.0)],
        score: 0.9,
    }
}

/// Whether the eyes let the face pass, and whether a watcher that is shown it all the same raises an alert.
fn seen(told: &Told, at: (f32, f32), hour: u8, list: &str) -> (bool, bool) {
    let settings = crate::config::parse(Path::new("t.toml"), &told.file()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let camera = CameraId::try_new("gate").expect("a name");
    let look = Look::new(&settings, &camera, &settings.cameras[&camera], 0);
    let embedding = Embedding::try_new(&[1.0, 0.0, 0.0]).expect("finite");
    let member =
        Member { person: PersonId::try_new("ann").expect("a name"), list: ListId::try_new(list).expect("a name") };
    let gallery = Gallery::try_new(1, "feed", [(member, embedding.clone())]).expect("a gallery");
    let mut watcher = Watcher::new(site::policy(&settings), Arc::new(gallery), calibration(), 1);
    let quality = Quality {
        inter_eye_px: 12.0,
        sharpness: 1.0,
        yaw_deg: 0.0,
        roll_deg: 0.0,
        brightness: 0.5,
        contrast: 0.2,
        alignment: Alignment::Landmarks,
    };
    let (mut passed, mut alerted) = (false, false);
    for nth in 0..12_u64 {
        let wall = WallMs(i64::from(hour) * 3_600_000 + 1_800_000 + i64::try_from(nth).expect("few") * 300);
        let stamp = FrameStamp { sequence: nth, mono: Mono::from_millis(1000 + nth * 300), wall };
        let its = face(at.0, at.1);
        passed |= look.may_compare(&its, FRAME_PX, stamp).is_ok();
        let shown =
            TrackedFace { track: TrackId(1), face: its, quality, embedding: Ok(embedding.clone()), picture: None };
        let frame =
            FrameFaces { camera: camera.clone(), stamp, frame_px: FRAME_PX, faces: vec![shown], ended: Vec::new() };
        let actions = watcher.on_faces(Now { mono: stamp.mono, wall }, &frame);
        alerted |= actions.iter().any(|action| matches!(action, Action::Journal(_)));
    }
    (passed, alerted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn no_face_outside_a_cameras_limits_is_ever_compared_or_alerts(
        told in told(),
        // Between the lines of the grid, so that no point lies on a side by rounding.
        (x, y) in (0_u8..80, 0_u8..80),
        hour in 0_u8..24,
        list in prop::sample::select(vec!["staff", "watch", "guests"]),
    ) {
        let at = (f32::from(x) / 4.0 + 0.113, f32::from(y) / 4.0 + 0.127);
        // Corners of an outline at the picture's edge may fall together; such a file is refused, which is no camera at all.
        prop_assume!(crate::config::parse(Path::new("t.toml"), &told.file()).is_ok());
        let allowed = told.allows(at.0, at.1, hour, list);
        let anywhere = told.lists.iter().any(|any| told.allows(at.0, at.1, hour, any));
        let (passed, alerted) = seen(&told, at, hour, list);
        prop_assert_eq!(passed, anywhere, "embedded");
        prop_assert_eq!(alerted, allowed, "alerted");
    }
}
