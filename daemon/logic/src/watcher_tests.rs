//! Situations at the checkpoint, told as scripts.

use super::*;
use crate::calibration::tests::plain;
use crate::explain::Explanation;
use crate::face::{Alignment, DetectedFace, Quality};
use crate::geometry::{ARCFACE_TEMPLATE, Rect};
use crate::hours::Zone;
use crate::id::{ListId, PersonId};
use crate::picture::RgbPatch;
use crate::policy::{CameraPolicy, ConfirmBy, ListPolicy, Purpose, SecondPolicy};
use crate::record::Stage;
use crate::second::SecondAnswer;
use crate::time::{Mono, WallMs};
use proptest::prelude::*;

const PEOPLE: [&str; 3] = ["ann", "bob", "cat"];

/// A face of this cosine to a person's prototype and 0 to everybody else's.
pub(super) fn like(person: &str, cosine: f32) -> Embedding {
    let mut values = [0.0_f32; 8];
    let axis = PEOPLE.iter().position(|name| *name == person).expect("one of the three");
    values[axis] = cosine;
    values[7] = (1.0 - cosine * cosine).max(0.0).sqrt();
    Embedding::try_new(&values).expect("finite")
}

pub(crate) fn policy(confirm: ConfirmBy) -> Policy {
    let list = ListId::try_new("staff").expect("name");
    let cameras = ["gate", "yard"].map(|name| {
        (CameraId::try_new(name).expect("name"), CameraPolicy { lists: vec![list.clone()], ..CameraPolicy::default() })
    });
    Policy {
        looks: vec![3, 6, 12],
        confirm_looks: vec![3, 6],
        min_interval: Duration::from_millis(250),
        runner_up_llr_min: 2.0,
        not_enrolled_llr_max: -4.0,
        withdraw_llr_max: 0.0,
        visit_gap: Duration::from_secs(60),
        candidate_expires: Duration::from_secs(30),
        track_expires: Duration::from_secs(5),
        lists: [(list, ListPolicy::new(Purpose::EntryLog, confirm, Duration::from_secs(900), 0.01))].into(),
        lists_at: BTreeMap::new(),
        zone: Zone::default(),
        second: SecondPolicy::default(),
        suspend_rejected: 0.2,
        cameras: cameras.into(),
        counts_strangers: true,
        standing: Standing::default(),
    }
}

/// The three.
pub(crate) fn enrolled() -> Gallery {
    let list = ListId::try_new("staff").expect("name");
    let members = PEOPLE
        .map(|name| (Member { person: PersonId::try_new(name).expect("name"), list: list.clone() }, like(name, 1.0)));
    Gallery::try_new(1, "feed", members).expect("a gallery")
}

fn picture(stamp: FrameStamp, quality: Quality) -> FacePicture {
    let patch = || RgbPatch::try_new(1, 1, vec![0; 3]).expect("three bytes");
    FacePicture { stamp, quality, aligned: patch(), native: patch() }
}

pub(super) struct World {
    pub(super) watcher: Watcher,
    at_ms: u64,
    sequence: u64,
    pub(super) alerts: Vec<(Stage, String)>,
    pub(super) last_record: Option<AlertRecord>,
    verdicts: Vec<TrackVerdict>,
    delays: Vec<Duration>,
    pub(super) asked: Vec<AlertPictures>,
    pub(super) evidence: Vec<AlertPictures>,
    pub(super) suspended: Vec<Suspension>,
}

impl World {
    pub(super) fn new(confirm: ConfirmBy) -> Self {
        let watcher = Watcher::new(policy(confirm), Arc::new(enrolled()), Arc::new(plain()), 1);
        Self {
            watcher,
            at_ms: 1000,
            sequence: 0,
            alerts: Vec::new(),
            last_record: None,
            verdicts: Vec::new(),
            delays: Vec::new(),
            asked: Vec::new(),
            evidence: Vec::new(),
            suspended: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { mono: Mono::from_millis(self.at_ms), wall: WallMs(i64::try_from(self.at_ms).expect("small")) }
    }

    /// The second network answered.
    pub(super) fn answer(&mut self, alert: &AlertId, answer: &SecondAnswer) -> &mut Self {
        let actions = self.watcher.on_second(self.now(), alert, answer);
        self.take(actions);
        self
    }

    /// Somebody votes, and the vote counts.
    pub(super) fn votes(&mut self, alert: &AlertId, ballot: &Ballot) -> &mut Self {
        let actions = self.watcher.on_vote(self.now(), alert, ballot).expect("counts");
        self.take(actions);
        self
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Journal(event) => {
                    self.alerts.push((event.after.stage, event.after.person.to_string()));
                    self.last_record = Some(event.after);
                }
                Action::Verdict(verdict) => self.verdicts.push(*verdict),
                Action::CandidateDelay(_, delay) => self.delays.push(delay),
                Action::AskSecond(look) => self.asked.push(*look),
                Action::Evidence(look) => self.evidence.push(*look),
                Action::Suspended(one) => self.suspended.push(one),
            }
        }
    }

    /// Shows one face on one track for a while at five frames a second.
    pub(super) fn show(
        &mut self,
        camera: &str,
        track: u64,
        embedding: &Result<Embedding, Unfit>,
        for_ms: u64,
    ) -> &mut Self {
        self.show_px(camera, track, embedding, for_ms, 12.0)
    }

    pub(super) fn show_px(
        &mut self,
        camera: &str,
        track: u64,
        embedding: &Result<Embedding, Unfit>,
        for_ms: u64,
        px: f32,
    ) -> &mut Self {
        for _ in 0..for_ms.div_ceil(300) {
            let stamp = FrameStamp { sequence: self.sequence, mono: self.now().mono, wall: self.now().wall };
            let quality = Quality {
                inter_eye_px: px,
                sharpness: 0.8,
                yaw_deg: 0.0,
                roll_deg: 0.0,
                brightness: 0.5,
                contrast: 0.2,
                alignment: Alignment::Landmarks,
            };
            let face = TrackedFace {
                track: TrackId(track),
                face: DetectedFace {
                    box_in_frame: Rect::new(0.0, 0.0, 40.0, 50.0),
                    landmarks_in_frame: ARCFACE_TEMPLATE,
                    score: 0.9,
                },
                quality,
                embedding: embedding.clone(),
                picture: Some(Arc::new(picture(stamp, quality))),
            };
            let camera = CameraId::try_new(camera).expect("name");
            let frame = FrameFaces { camera, stamp, frame_px: (640.0, 360.0), faces: vec![face], ended: Vec::new() };
            let actions = self.watcher.on_faces(self.now(), &frame);
            self.take(actions);
            self.at_ms += 300;
            self.sequence += 1;
        }
        self
    }

    pub(super) fn wait(&mut self, ms: u64) -> &mut Self {
        self.at_ms += ms;
        let actions = self.watcher.on_tick(self.now());
        self.take(actions);
        self
    }

    pub(super) fn expect(&mut self, alerts: &[(Stage, &str)]) -> &mut Self {
        let seen: Vec<_> = self.alerts.drain(..).collect();
        let seen: Vec<_> = seen.iter().map(|(stage, person)| (*stage, person.as_str())).collect();
        assert_eq!(seen, alerts, "at {} ms", self.at_ms);
        self
    }

    pub(super) fn verdict(&self) -> &Outcome {
        &self.verdicts.last().expect("a verdict").outcome
    }
}

#[test]
fn an_enrolled_person_is_a_candidate_then_confirmed_by_later_frames() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 600).expect(&[]);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 300).expect(&[(Stage::Candidate, "ann")]);
    assert_eq!(world.delays, [Duration::from_millis(600)], "from the first usable face");
    world.show("gate", 1, &Ok(like("ann", 0.6)), 600).expect(&[]);
    let both = [(Stage::MachineConfirmed, "ann"), (Stage::Confirmed, "ann")];
    world.show("gate", 1, &Ok(like("ann", 0.6)), 300).expect(&both);
    world.wait(6_000).expect(&[]);
    assert!(matches!(world.verdict(), Outcome::Identified { person, .. } if person.as_str() == "ann"));
}

#[test]
fn lookalike_becomes_a_candidate_and_is_withdrawn() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.52)), 900).expect(&[(Stage::Candidate, "ann")]);
    world.show("gate", 1, &Ok(like("ann", 0.12)), 900).expect(&[(Stage::Withdrawn, "ann")]);
    world.show("gate", 1, &Ok(like("ann", 0.52)), 9_000).expect(&[]);
    world.wait(6_000);
    assert_eq!(world.verdict().as_str(), "not-decidable");
}

#[test]
fn a_stranger_raises_nothing_and_is_not_enrolled() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.05)), 9_000).wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotEnrolled);
}

#[test]
fn one_lucky_frame_among_many_names_nobody() {
    let mut world = World::new(ConfirmBy::Machine);
    for _ in 0..12 {
        world.show("gate", 1, &Ok(like("bob", 0.05)), 900).show("gate", 1, &Ok(like("bob", 0.9)), 300);
    }
    assert!(world.alerts.iter().all(|(stage, _)| *stage != Stage::Confirmed), "{:?}", world.alerts);
}

#[test]
fn a_face_too_small_for_the_calibration_is_not_decidable_however_alike() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show_px("gate", 1, &Ok(like("ann", 0.99)), 9_000, 3.0).wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotDecidable(Undecidable::NoCalibration));
}

#[test]
fn the_reason_is_what_most_frames_lacked() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Err(Unfit::Blurred), 1_500).show("gate", 1, &Err(Unfit::Pose), 600);
    world.wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotDecidable(Undecidable::Blurred));
    assert_eq!(world.verdicts[0].unfit, [(Unfit::Blurred, 5), (Unfit::Pose, 2)]);
}

#[test]
fn two_enrolled_people_who_fit_alike_are_not_told_apart() {
    let mut world = World::new(ConfirmBy::Machine);
    let between = Embedding::try_new(&[0.5, 0.49, 0.0, 0.0, 0.0, 0.0, 0.0, 0.714]).expect("finite");
    world.show("gate", 1, &Ok(between), 9_000).wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotDecidable(Undecidable::LookAlikes));
}

#[test]
fn a_second_track_of_the_same_person_is_independent_evidence() {
    let mut world = World::new(ConfirmBy::Human);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    world.wait(2_000);
    world.show("gate", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::MachineConfirmed, "ann")]);
}

#[test]
fn another_camera_is_another_visit() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    world.show("yard", 2, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
}

#[test]
fn a_camera_without_lists_matches_nobody() {
    let mut world = World::new(ConfirmBy::Machine);
    let mut policy = policy(ConfirmBy::Machine);
    policy.cameras.clear();
    world.watcher.on_policy(policy);
    world.show("gate", 1, &Ok(like("ann", 0.99)), 9_000).wait(6_000).expect(&[]);
    assert_eq!(world.verdict(), &Outcome::NotEnrolled);
}

#[test]
fn a_person_who_leaves_unconfirmed_is_withdrawn() {
    let mut world = World::new(ConfirmBy::Machine);
    world.show("gate", 1, &Ok(like("ann", 0.6)), 900).expect(&[(Stage::Candidate, "ann")]);
    world.wait(31_000).expect(&[(Stage::Withdrawn, "ann")]);
}

proptest! {
    #[test]
    fn whatever_is_shown_nothing_is_confirmed_without_two_disjoint_sets_of_frames(
        shows in prop::collection::vec((0_u64..4, 0_usize..3, -0.3_f32..1.0, 0_u64..4_000, 2.0_f32..40.0), 1..40),
    ) {
        let mut world = World::new(ConfirmBy::Machine);
        for (track, person, cosine, ms, px) in shows {
            let embedding = like(PEOPLE[person], cosine);
            world.show_px(["gate", "yard"][person % 2], track + 1, &Ok(embedding), ms, px).wait(100);
        }
        world.wait(40_000).wait(40_000);
        let mut open: BTreeMap<String, Stage> = BTreeMap::new();
        for (stage, person) in &world.alerts {
            if *stage == Stage::Confirmed {
                prop_assert!(open.values().any(|s| *s == Stage::MachineConfirmed), "{:?}", world.alerts);
            }
            open.insert(person.clone(), *stage);
        }
        prop_assert_eq!(world.watcher.live_tracks().count(), 0, "tracks left behind");
        for verdict in &world.verdicts {
            prop_assert!(verdict.faces >= verdict.frames_used);
            if let Outcome::Identified { evidence, .. } = &verdict.outcome {
                prop_assert!(evidence.frames_used >= 3 && evidence.inter_eye_px >= 4.0);
            }
        }
    }
}

/// What is told about the only track of a world that explains.
fn told(world: &World) -> (&TrackVerdict, &Explanation) {
    let verdict = world.verdicts.last().expect("a verdict");
    (verdict, verdict.explanation.as_deref().expect("the watcher was asked to explain"))
}

const FLOORS: crate::fitness::Floors = crate::fitness::Floors {
    inter_eye_px_min: 2.0,
    sharpness_min: 0.1,
    yaw_deg_max: 45.0,
    roll_deg_max: 35.0,
    brightness_min: 0.04,
    brightness_max: 0.95,
    contrast_min: 0.02,
};

fn helped(world: &World) -> Vec<crate::explain::Help> {
    let (verdict, told) = told(world);
    crate::explain::help(verdict, told, &plain(), &policy(ConfirmBy::Machine), &FLOORS)
}

fn explaining() -> World {
    let mut world = World::new(ConfirmBy::Machine);
    world.watcher = world.watcher.explaining();
    world
}

#[test]
fn nothing_is_noted_unless_asked_and_the_decision_is_the_same() {
    let show = |world: &mut World| {
        world.show("gate", 1, &Ok(like("ann", 0.6)), 3_000).wait(6_000);
        let mut verdict = world.verdicts.remove(0);
        (std::mem::take(&mut world.alerts), verdict.explanation.take().is_some(), verdict)
    };
    let (silent, talking) = (show(&mut World::new(ConfirmBy::Machine)), show(&mut explaining()));
    assert!(!silent.1 && talking.1);
    assert_eq!((silent.0, silent.2), (talking.0, talking.2));
}

#[test]
fn every_face_has_a_fate_and_every_look_its_numbers() {
    let mut world = explaining();
    world.show("gate", 1, &Err(Unfit::Blurred), 300).show("gate", 1, &Ok(like("ann", 0.6)), 2_400).wait(6_000);
    let (verdict, told) = told(&world);
    let fates: Vec<_> = told.faces.iter().map(|face| face.fate.as_str()).collect();
    let confirm = "used-to-confirm";
    assert_eq!(fates, ["blurred", "used", "used", "used", confirm, confirm, confirm, "settled", "settled"]);
    assert_eq!((verdict.faces, verdict.frames_used), (9, 6));
    let looks: Vec<_> = told.looks.iter().map(|look| (look.at.as_str(), look.frames_used)).collect();
    assert_eq!(looks, [("candidate", 3), ("confirmation", 3)]);
    let ((member, evidence), bar) = (told.looks[0].best.as_ref().expect("ann"), told.looks[0].bar.expect("a bar"));
    assert_eq!((member.person.as_str(), bar.compared), ("ann", 3));
    assert!(evidence.cosine >= bar.cosine_min && evidence.llr >= bar.llr_min, "{evidence:?} {bar:?}");
    assert!(helped(&world).is_empty(), "nothing was missing");
}

#[test]
fn what_would_have_helped_is_said_in_numbers() {
    use crate::explain::Help;
    let mut world = explaining();
    world.show("gate", 1, &Ok(like("ann", 0.6)), 600).wait(6_000);
    assert_eq!(helped(&world), [Help::MoreFrames { have: 2, need: 3 }]);
    world.show_px("gate", 2, &Ok(like("ann", 0.6)), 1_200, 3.0).wait(6_000);
    assert_eq!(helped(&world), [Help::LargerFaces { have_px: 3.0, need_px: 4.0 }]);
    world.show("gate", 3, &Ok(like("ann", 0.6)), 1_200).wait(6_000);
    assert_eq!(helped(&world), [Help::ConfirmingFrames { have: 1, need: 3 }]);
    world.show("gate", 4, &Err(Unfit::Cut), 900).wait(6_000);
    assert_eq!(helped(&world), [Help::WholeFace, Help::MoreFrames { have: 0, need: 3 }]);
    world.show("gate", 5, &Ok(like("bob", 0.22)), 1_200).wait(6_000);
    assert!(
        matches!(helped(&world)[..], [Help::MoreEvidence { have_llr, need_llr, next_look: Some(6) }] if have_llr < need_llr),
        "{:?}",
        helped(&world)
    );
    let between = Embedding::try_new(&[0.5, 0.49, 0.0, 0.0, 0.0, 0.0, 0.0, 0.714]).expect("finite");
    world.show("gate", 6, &Ok(between), 1_200).wait(6_000);
    assert!(matches!(helped(&world)[..], [Help::ApartFromRunnerUp { have_llr, need_llr }] if have_llr < need_llr));
    world.show("yard", 7, &Ok(like("cat", 0.0)), 1_200).wait(6_000);
    assert!(helped(&world).is_empty(), "a clear no needs no help");
}

#[test]
fn what_is_noted_of_somebody_who_stands_there_for_an_hour_is_bounded() {
    let mut world = explaining();
    world.show("gate", 1, &Ok(like("ann", 0.05)), 3_600_000).wait(6_000);
    let (verdict, told) = told(&world);
    assert_eq!(told.faces.len(), crate::explain::FACES_NOTED_MAX);
    assert_eq!(told.faces.len() + told.faces_unnoted as usize, verdict.faces as usize);
    assert!(told.looks.len() <= 4, "{}", told.looks.len());
}
