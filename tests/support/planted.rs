//! Alerts put into a site's database before the daemon starts, with an enrolled person and pictures: the daemon takes up
//! machine-confirmed ones as if it had stopped a moment ago.

use crate::clock::RealClock;
use crate::site::Site;
use crate::store::new_grounds;
use image::{DynamicImage, ImageFormat, RgbImage};
use sekisho_logic::id::{CameraId, ListId, PersonId, TrackId};
use sekisho_logic::policy::Purpose;
use sekisho_logic::record::{AlertEvent, AlertId, AlertRecord, Cause, EvidenceRecord, SecondOpinion, Stage};
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{DbKey, Enrol, Enrolment, IfMissing, NewEvidence, Store};
use std::io::Cursor;

/// Numbers that must not be in an answer before the vote, as they would be written.
pub const EVIDENCE: [&str; 6] = ["9.25", "0.6123", "3.57", "4.44", "6.85", "0.5321"];

/// The site's database; made when there is none.
///
/// # Panics
/// When it cannot be opened.
#[must_use]
pub fn store(site: &Site) -> Store {
    if !site.path("state/store.key").exists() {
        let _made = site.done(&["gallery", "list"]);
    }
    let key = DbKey::from_file(&site.path("state/store.key"), IfMissing::Refuse).expect("the site's key");
    Store::open_existing(&site.path("state/sekisho.db"), key).expect("the site's database")
}

/// The wall clock.
#[must_use]
pub fn now() -> WallMs {
    RealClock::start().now().wall
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let shade = |x: u32, y: u32| image::Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], (x ^ y).to_le_bytes()[0]]);
    let picture = DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, shade));
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).expect("memory");
    bytes.into_inner()
}

/// Enrols a person with one photograph and no template, so that nobody is matched.
///
/// # Panics
/// When the database refuses.
pub fn enrol(store: &mut Store, person: &str, by: &str) {
    let new = Enrolment {
        person: PersonId::try_new(person).expect("a name"),
        list: ListId::try_new("watch").expect("a name"),
        display_name: Some("Ann Example".into()),
        grounds: new_grounds(),
        photos: vec![png(800, 1000)],
        faces: vec![Some([300, 300, 200, 260])],
        templates: Vec::new(),
    };
    store.enrol(Enrol::Add, &new, by, now()).expect("enrolled");
}

/// An alert to be put into the database.
#[derive(Clone, Debug)]
pub struct Alert<'a> {
    /// Its id.
    pub id: &'a str,
    /// Whom it is about.
    pub person: &'a str,
    /// Where.
    pub camera: &'a str,
    /// How many people must agree.
    pub votes: u32,
    /// Who enrolled the person, as the alert knows it.
    pub enrolled_by: Option<&'a str>,
    /// How long it waits.
    pub lasts_ms: i64,
}

impl<'a> Alert<'a> {
    /// An alert about `ann-1` that waits for so many people.
    #[must_use]
    pub const fn of(id: &'a str, votes: u32) -> Self {
        Self { id, person: "ann-1", camera: "gate", votes, enrolled_by: None, lasts_ms: 900_000 }
    }
}

fn evidence() -> EvidenceRecord {
    EvidenceRecord {
        cosine: 0.6123,
        llr: 9.25,
        runner_up_gap: Some(3.57),
        target_fpir: 1e-3,
        inter_eye_px: 17.2,
        frames_used: 6,
        frames_unfit: vec![("blurred".into(), 4)],
        model_digest: "ab".repeat(32),
        calibration_id: "test/1".into(),
    }
}

fn second() -> SecondOpinion {
    SecondOpinion {
        agrees: true,
        cosine: 0.5321,
        llr: 4.44,
        combined_llr: 6.85,
        inter_eye_px: 17.2,
        frames_used: 5,
        model_digest: "cd".repeat(32),
        calibration_id: "test/2".into(),
    }
}

/// Puts a machine-confirmed alert with two pictures into the database.
///
/// # Panics
/// When the database refuses.
pub fn alert(store: &mut Store, planted: &Alert<'_>) {
    let opened = now();
    let candidate = AlertRecord {
        id: AlertId(planted.id.into()),
        camera: CameraId::try_new(planted.camera).expect("a name"),
        person: PersonId::try_new(planted.person).expect("a name"),
        list: ListId::try_new("watch").expect("a name"),
        purpose: Purpose::Watch,
        track: TrackId(7),
        stage: Stage::Candidate,
        cause: Cause::Evidence,
        opened,
        changed: opened,
        expires: Some(WallMs(opened.0 + 30_000)),
        votes_required: planted.votes,
        votes: Vec::new(),
        candidate: evidence(),
        confirmation: None,
        second: None,
        enrolled_by: planted.enrolled_by.map(str::to_owned),
        quiet: false,
    };
    let confirmed = AlertRecord {
        stage: Stage::MachineConfirmed,
        cause: Cause::IndependentEvidence,
        expires: Some(WallMs(opened.0 + planted.lasts_ms)),
        confirmation: Some(evidence()),
        second: Some(second()),
        ..candidate.clone()
    };
    let pictures: Vec<_> = (1..=2)
        .map(|n| NewEvidence {
            alert: candidate.id.clone(),
            person: candidate.person.clone(),
            taken: WallMs(opened.0 + n),
            inter_eye_px: 17.2,
            quality: r#"{"sharpness":0.31,"yaw-deg":4.0}"#.into(),
            png: png(52, 70),
        })
        .collect();
    store.keep_evidence(&pictures, opened, WallMs(opened.0 + 3_600_000), 8).expect("kept");
    let events = [
        AlertEvent { before: None, after: candidate.clone(), sequence: 1 },
        AlertEvent { before: Some(candidate), after: confirmed, sequence: 2 },
    ];
    for event in events {
        store.append(&event, &[], "daemon").expect("appended");
    }
}
