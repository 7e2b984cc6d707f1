//! One file at a time through the eyes.

use super::still::StillFrame;
use super::{Material, Medium, ProbeFrame, ProbeTrack, SECOND_FRAMES_MAX, Template};
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::eyes::OpenEyes;
use crate::run::look::Look;
use crate::second::SecondEyes;
use sekisho_camera::clip::ClipReader;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::{FrameFaces, TrackedFace, Unfit};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::id::{CameraId, TrackId};
use sekisho_logic::time::{Mono, WallMs};
use sekisho_vision::photo::{self, EnrolledFace, Photo};
use sekisho_vision::planes::aligned::Crop;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Detector score from which a second face counts, as at enrolment: a pattern on a curtain must not cost a photograph.
const OTHER_SCORE_MIN: f32 = 0.75;

/// A second face of a photograph counts from this share of the first one's size: badges and buttons a tenth of it are
/// mistakes that a track of several frames would not make.
const OTHER_SIZE_MIN: f32 = 0.5;

/// Two boxes of which one covers this share of the smaller are one face found twice, whole and by its upper half (0.47 was
/// seen on a face 290 px wide). That happens to faces that fill a large photograph; people side by side cover each other
/// less.
const SAME_FACE_OVERLAP: f32 = 0.3;

/// Faces from which a track counts as somebody; fewer are passing mistakes of the detector.
const SOMEBODY_FACES: u32 = 3;

/// Frames of a gallery clip that become enrolment pictures at the most.
const GALLERY_FRAMES_MAX: usize = 8;

/// Time between two frames of a gallery clip that are tried.
const GALLERY_INTERVAL: Duration = Duration::from_millis(500);

/// Why a file gave nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SkipReason {
    /// It cannot be read or decoded, or a network failed.
    #[error("{0}")]
    Unreadable(String),
    /// A labelled file must show one person.
    #[error("{count} faces were found; a labelled photograph shows one person, so cut it or take another")]
    SeveralFaces {
        /// How many.
        count: usize,
    },
    /// Likewise for a clip.
    #[error(
        "two people are in view at {at_ms} ms; a clip in a person's folder shows that person alone, so cut it or move it \
         to the strangers"
    )]
    SeveralPeople {
        /// When, in the clip's own time.
        at_ms: u64,
    },
    /// A gallery file without a face that can be enrolled.
    #[error("{0}")]
    NotEnrollable(String),
}

/// A file that was left out, with the sentence to print.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct Skipped {
    /// Which.
    pub file: PathBuf,
    /// Why.
    pub why: SkipReason,
}

/// Turns files into probe tracks and gallery templates. Holds one thread's sessions.
pub struct Measurer<'a> {
    eyes: &'a mut OpenEyes,
    second: Option<&'a mut SecondEyes>,
    settings: &'a Settings,
    camera: CameraId,
    its: CameraSettings,
}

impl<'a> Measurer<'a> {
    /// A measurer that sees as a camera with the general settings does.
    ///
    /// # Errors
    /// None with the settings this program makes; [`Failure::Wrong`] should its own names ever be refused.
    pub fn new(eyes: &'a mut OpenEyes, settings: &'a Settings) -> Result<Self, Failure> {
        let source = sekisho_camera::source::Source::parse("file:///measured.mp4").map_err(Failure::wrong)?;
        let its = CameraSettings::unlisted(settings, source);
        Ok(Self { eyes, second: None, settings, camera: CameraId::try_new("measured").map_err(Failure::wrong)?, its })
    }

    /// The same measurer, showing enrolment pictures and the frames of clips to a second network as well. A photograph is
    /// one frame, which nothing can confirm, so probe photographs are not shown to it.
    #[must_use]
    pub fn with_second(mut self, second: Option<&'a mut SecondEyes>) -> Self {
        self.second = second;
        self
    }

    /// The tracks of one file. `person` is the label of the folder it lies in, `None` for a stranger, whose files may
    /// show several people; `unit` is whom to resample together. A file always gives at least one track: when no
    /// face was found, one without faces, which counts as a failure to acquire.
    ///
    /// # Errors
    /// [`Skipped`] with one sentence; other files may be tried.
    pub fn probe(&mut self, person: Option<&str>, unit: &str, file: &Material) -> Result<Vec<ProbeTrack>, Skipped> {
        let skipped = |why| Skipped { file: file.path.clone(), why };
        let mut seen = match file.medium {
            Medium::Photo => self.photo(file).map_err(skipped)?,
            Medium::Clip => self.clip(file).map_err(skipped)?,
        };
        if person.is_some() {
            seen = match file.medium {
                Medium::Photo => alone_in_photo(seen).map_err(skipped)?,
                Medium::Clip => alone_in_clip(seen).map_err(skipped)?,
            };
        }
        if seen.is_empty() {
            seen.push(Seen::default());
        }
        Ok(seen
            .into_iter()
            .map(|track| ProbeTrack {
                person: person.map(str::to_owned),
                unit: unit.to_owned(),
                source: file.path.clone(),
                medium: file.medium,
                faces: track.faces,
                largest_px: track.largest_px,
                frames: track.frames,
                unfit: track.unfit,
            })
            .collect())
    }

    /// Templates of one gallery file, by the strict rules of enrolment: one of a photograph, up to eight of a clip.
    ///
    /// # Errors
    /// [`Skipped`] with one sentence.
    pub fn enrol(&mut self, file: &Material) -> Result<Vec<Template>, Skipped> {
        let skipped = |why| Skipped { file: file.path.clone(), why };
        let refused = |error: photo::PhotoError| skipped(SkipReason::NotEnrollable(error.to_string()));
        match file.medium {
            Medium::Photo => {
                let bytes = photo::read(&file.path).map_err(refused)?;
                let face = photo::enrol(&mut self.eyes.0, &bytes).map_err(refused)?;
                Ok(vec![self.template(face).map_err(skipped)?])
            }
            Medium::Clip => self.enrol_clip(file).map_err(skipped),
        }
    }

    fn template(&mut self, face: EnrolledFace) -> Result<Template, SkipReason> {
        let second = self.second.as_mut().map(|second| second.template(&face.crop)).transpose();
        let second = second.map_err(|error| SkipReason::NotEnrollable(format!("second network: {error}")))?;
        Ok(Template { embedding: face.embedding, second })
    }

    fn enrol_clip(&mut self, file: &Material) -> Result<Vec<Template>, SkipReason> {
        let (mut enrolled, mut due, mut last_refusal) = (Vec::new(), Mono::default(), None);
        for frame in ClipReader::open(&file.path, WallMs(0)).map_err(|error| clip_error(&error))? {
            let frame = frame.map_err(|error| clip_error(&error))?;
            let at = frame.stamp().mono;
            if at < due || enrolled.len() >= GALLERY_FRAMES_MAX {
                continue;
            }
            due = at.plus(GALLERY_INTERVAL);
            let view = frame.view().map_err(|error| SkipReason::Unreadable(error.to_string()))?;
            match photo::enrol_pixels(&mut self.eyes.0, view.into()) {
                Ok(face) => enrolled.push(self.template(face)?),
                Err(error) => last_refusal = Some(error.to_string()),
            }
        }
        if enrolled.is_empty() {
            let why = last_refusal.unwrap_or_else(|| "it has no pictures".into());
            return Err(SkipReason::NotEnrollable(format!("no picture of it can be enrolled; of the last one: {why}")));
        }
        Ok(enrolled)
    }

    /// A photograph is shown twice: first to be found, then as the frame that counts, because a live track too is
    /// looked at again at the size at which its five points are exact.
    fn photo(&mut self, file: &Material) -> Result<Vec<Seen>, SkipReason> {
        let unreadable = |error: &dyn std::fmt::Display| SkipReason::Unreadable(error.to_string());
        let bytes = photo::read(&file.path).map_err(|error| unreadable(&error))?;
        let picture = Photo::decode(&bytes).map_err(|error| unreadable(&error))?;
        let still = StillFrame::of(&picture).ok_or_else(|| unreadable(&"it is no photograph"))?;
        let view = still.view().map_err(|error| unreadable(&error))?;
        let mut look = Look::for_pictures(self.settings, &self.camera, &self.its);
        let again = Mono::default().plus(self.settings.track.min_interval);
        let mut faces = Vec::new();
        for (sequence, mono) in [(1, Mono::default()), (2, again)] {
            let stamp = FrameStamp { sequence, mono, wall: WallMs(0) };
            faces = look.see(&mut self.eyes.0, &view, stamp, mono).map_err(|error| unreadable(&error))?.faces;
        }
        Ok(distinct(faces).into_iter().map(|face| Seen::of(Mono::default(), face)).collect())
    }

    /// What the second network makes of faces of a clip whose tracks may still need it, in their order.
    fn seconds(&mut self, faces: &[TrackedFace], tracks: &BTreeMap<TrackId, Seen>) -> Vec<Option<Embedding>> {
        let Some(second) = &mut self.second else { return vec![None; faces.len()] };
        let needed = |face: &TrackedFace| {
            let so_far = tracks.get(&face.track).map_or(0, |seen| seen.frames.len());
            let picture = face.picture.as_ref().filter(|_| face.embedding.is_ok() && so_far < SECOND_FRAMES_MAX);
            picture.and_then(|picture| Crop::try_new(picture.aligned.rgb().to_vec()))
        };
        let crops: Vec<Option<Crop>> = faces.iter().map(needed).collect();
        let mut made = second.embed(&crops.iter().flatten().collect::<Vec<_>>()).into_iter();
        // A face the second network cannot take is one it is not shown, as in the daemon.
        crops.iter().map(|crop| crop.as_ref().and_then(|_| made.next()?.ok())).collect()
    }

    fn clip(&mut self, file: &Material) -> Result<Vec<Seen>, SkipReason> {
        let mut look = Look::new(self.settings, &self.camera, &self.its, 0);
        let mut tracks: BTreeMap<TrackId, Seen> = BTreeMap::new();
        for frame in ClipReader::open(&file.path, WallMs(0)).map_err(|error| clip_error(&error))? {
            let frame = frame.map_err(|error| clip_error(&error))?;
            let stamp = frame.stamp();
            if !look.is_due(stamp.mono) {
                continue;
            }
            let view = frame.view().map_err(|error| SkipReason::Unreadable(error.to_string()))?;
            let found = look.see(&mut self.eyes.0, &view, stamp, stamp.mono);
            let FrameFaces { faces, .. } = found.map_err(|error| SkipReason::Unreadable(error.to_string()))?;
            let seconds = self.seconds(&faces, &tracks);
            for (face, second) in faces.into_iter().zip(seconds) {
                tracks.entry(face.track).or_default().add(stamp.mono, face, second);
            }
        }
        Ok(tracks.into_values().collect())
    }
}

/// What a clip's reader says names the file already; the sentence here must not name it twice.
fn clip_error(error: &sekisho_camera::clip::ClipError) -> SkipReason {
    use sekisho_camera::clip::ClipError;
    SkipReason::Unreadable(match error {
        ClipError::Open { fault, .. } => format!("the clip cannot be opened: {fault}"),
        ClipError::BrokeOff { frames, fault, .. } => format!("the clip breaks off after {frames} frames: {fault}"),
        ClipError::Frame { frame, .. } => frame.to_string(),
    })
}

/// A track while its file is read.
#[derive(Default)]
struct Seen {
    faces: u32,
    largest_px: f32,
    /// First and last time it was seen.
    span: Option<(Mono, Mono)>,
    frames: Vec<ProbeFrame>,
    unfit: BTreeMap<Unfit, u32>,
}

impl Seen {
    fn of(at: Mono, face: TrackedFace) -> Self {
        let mut seen = Self::default();
        seen.add(at, face, None);
        seen
    }

    fn add(&mut self, at: Mono, face: TrackedFace, second: Option<Embedding>) {
        self.faces += 1;
        self.largest_px = self.largest_px.max(face.quality.inter_eye_px);
        self.span = Some((self.span.map_or(at, |(from, _)| from), at));
        match face.embedding {
            Ok(embedding) => self.frames.push(ProbeFrame { at, embedding, quality: face.quality, second }),
            Err(why) => *self.unfit.entry(why).or_default() += 1,
        }
    }
}

/// The people of a photograph, the best face first: fit ones before unfit ones, then by the detector's score.
fn distinct(mut faces: Vec<TrackedFace>) -> Vec<TrackedFace> {
    let order = |face: &TrackedFace| (face.embedding.is_err(), -face.face.score);
    faces.sort_by(|a, b| {
        let (a, b) = (order(a), order(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut people: Vec<TrackedFace> = Vec::new();
    for face in faces {
        let Some(first) = people.first() else {
            people.push(face);
            continue;
        };
        let large = face.quality.inter_eye_px >= OTHER_SIZE_MIN * first.quality.inter_eye_px;
        let here = face.face.box_in_frame;
        let twice = people.iter().any(|other| {
            let there = other.face.box_in_frame;
            here.intersection(there) > SAME_FACE_OVERLAP * here.area().min(there.area())
        });
        if face.embedding.is_ok() && face.face.score >= OTHER_SCORE_MIN && large && !twice {
            people.push(face);
        }
    }
    people
}

fn alone_in_photo(seen: Vec<Seen>) -> Result<Vec<Seen>, SkipReason> {
    if seen.len() > 1 { Err(SkipReason::SeveralFaces { count: seen.len() }) } else { Ok(seen) }
}

/// The tracks of a clip that shows one person: passing mistakes of the detector are left out, and two tracks that are
/// seen at the same time are two people.
fn alone_in_clip(seen: Vec<Seen>) -> Result<Vec<Seen>, SkipReason> {
    let mut somebody: Vec<Seen> = seen.into_iter().filter(|track| track.faces >= SOMEBODY_FACES).collect();
    somebody.sort_by_key(|track| track.span);
    let mut until: Option<Mono> = None;
    for (from, to) in somebody.iter().filter_map(|track| track.span) {
        if until.is_some_and(|until| from < until) {
            return Err(SkipReason::SeveralPeople { at_ms: from.as_millis() });
        }
        until = until.max(Some(to));
    }
    Ok(somebody)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(from_ms: u64, to_ms: u64, faces: u32) -> Seen {
        Seen { faces, span: Some((Mono::from_millis(from_ms), Mono::from_millis(to_ms))), ..Seen::default() }
    }

    fn face(x: f32, size: f32, score: f32, fit: bool) -> TrackedFace {
        use sekisho_logic::face::{Alignment, DetectedFace, Quality};
        use sekisho_logic::geometry::{Point, Rect};
        let embedding = Embedding::try_new(&[1.0]).map_err(|_| Unfit::NoEmbedding);
        TrackedFace {
            track: TrackId(1),
            face: DetectedFace {
                box_in_frame: Rect::new(x, 0.0, size, size),
                landmarks_in_frame: [Point::new(0.0, 0.0); 5],
                score,
            },
            quality: Quality {
                inter_eye_px: size / 2.0,
                sharpness: 1.0,
                yaw_deg: 0.0,
                roll_deg: 0.0,
                brightness: 0.5,
                contrast: 0.2,
                alignment: Alignment::Landmarks,
            },
            embedding: if fit { embedding } else { Err(Unfit::Cut) },
            picture: None,
        }
    }

    #[test]
    fn a_photograph_has_as_many_people_as_large_fit_faces_in_different_places() {
        let count = |faces: &[(f32, f32, f32, bool)]| {
            distinct(faces.iter().map(|(x, size, score, fit)| face(*x, *size, *score, *fit)).collect()).len()
        };
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&[(0.0, 100.0, 0.6, false)]), 1, "an unfit face is a failure with a reason");
        assert_eq!(count(&[(0.0, 100.0, 0.9, true), (200.0, 80.0, 0.8, true)]), 2);
        assert_eq!(count(&[(0.0, 100.0, 0.9, true), (60.0, 80.0, 0.85, true)]), 1, "one face found twice");
        assert_eq!(count(&[(0.0, 100.0, 0.9, true), (200.0, 20.0, 0.85, true)]), 1, "a badge");
        assert_eq!(count(&[(0.0, 100.0, 0.9, true), (200.0, 90.0, 0.7, true)]), 1, "a doubtful one");
        assert_eq!(count(&[(0.0, 100.0, 0.9, true), (200.0, 90.0, 0.9, false)]), 1, "an unfit one");
    }

    #[test]
    fn tracks_that_follow_each_other_are_one_person_and_overlapping_ones_are_two() {
        let after = alone_in_clip(vec![track(5000, 9000, 20), track(0, 4000, 20)]).expect("one person");
        assert_eq!(after.len(), 2);
        let passing = alone_in_clip(vec![track(0, 9000, 40), track(4000, 4200, 2)]).expect("one person");
        assert_eq!(passing.len(), 1, "two faces are a mistake of the detector");
        let two = alone_in_clip(vec![track(0, 4000, 20), track(3000, 9000, 20)]).err();
        assert_eq!(two, Some(SkipReason::SeveralPeople { at_ms: 3000 }));
    }
}
