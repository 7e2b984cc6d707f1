//! What a survey came to: plain numbers, for the report and for its JSON. Nothing about any person.

use crate::histogram::Spread;
use crate::survey::INTER_PUPIL_M;
use std::collections::BTreeMap;

/// One bin of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Counted {
    /// Lower edge.
    pub from: f32,
    /// Values in it.
    pub count: u64,
}

/// One size bin of the calibration.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BinFigures {
    /// Lower edge, inter-eye pixels.
    pub from_px: f32,
    /// Upper edge; absent in the last bin.
    pub to_px: Option<f32>,
    /// Tracks whose median face was in it.
    pub tracks: u64,
    /// Of these, decidable.
    pub decidable: u64,
    /// Fewest frames with which the calibration decides here; absent when none suffice.
    pub frames_needed: Option<u32>,
    /// Share of enrolled people expected to pass the threshold at the first look, 0..=1; absent where nothing is decided.
    pub genuine_share: Option<f64>,
}

/// One hour of the day.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HourFigures {
    /// 0..=23, local time where the program runs.
    pub hour: u8,
    /// Frames analysed.
    pub frames: u64,
    /// Faces measured.
    pub faces: u64,
    /// Tracks that began in it.
    pub tracks: u64,
    /// Of these, decidable.
    pub decidable: u64,
    /// Mean luma of whole pictures, 0..=1.
    pub picture_brightness: Option<Spread>,
    /// Mean luma of faces, 0..=1.
    pub face_brightness: Option<Spread>,
    /// Standard deviation of luma in faces, 0..=1.
    pub face_contrast: Option<Spread>,
    /// Sharpness of faces, 0..=1.
    pub sharpness: Option<Spread>,
}

/// One cell of the map of where faces are seen.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Place {
    /// From the left, 0-based.
    pub column: u16,
    /// From the top, 0-based.
    pub row: u16,
    /// Faces seen in it.
    pub faces: u64,
    /// Their mean inter-eye distance, pixels.
    pub px: f32,
}

/// The whole survey in numbers.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figures {
    /// Width and height of the pictures.
    pub frame_px: (f32, f32),
    /// Frames analysed.
    pub frames: u64,
    /// Faces measured.
    pub faces: u64,
    /// Tracks of at least two faces.
    pub tracks: u64,
    /// Tracks of one face, left out of everything below.
    pub tracks_seen_once: u64,
    /// Tracks that could be judged at one look at least.
    pub tracks_decidable: u64,
    /// Of these, with enough later frames to confirm.
    pub tracks_confirmable: u64,
    /// Share of enrolled people passing like this who are expected to become a candidate, 0..=1; an estimate.
    pub found_share: Option<f64>,
    /// Tracks that could not be judged, by reason.
    pub undecided: BTreeMap<&'static str, u64>,
    /// Faces that would not have been compared, by reason.
    pub faces_unfit: BTreeMap<&'static str, u64>,
    /// Inter-eye distance of all faces, pixels.
    pub face_px: Option<Spread>,
    /// Median inter-eye distance of the tracks, pixels.
    pub track_px: Option<Spread>,
    /// Usable frames a track.
    pub usable_frames: Option<Spread>,
    /// Degrees turned to the side.
    pub yaw_deg: Option<Spread>,
    /// Sharpness, 0..=1.
    pub sharpness: Option<Spread>,
    /// Tracks by median inter-eye distance.
    pub track_px_counts: Vec<Counted>,
    /// Tracks by usable frames.
    pub usable_frames_counts: Vec<Counted>,
    /// Faces by yaw.
    pub yaw_deg_counts: Vec<Counted>,
    /// Faces by sharpness.
    pub sharpness_counts: Vec<Counted>,
    /// By size bin of the calibration.
    pub bins: Vec<BinFigures>,
    /// By hour of the day, those without a frame left out.
    pub hours: Vec<HourFigures>,
    /// Where faces are seen.
    pub places: Vec<Place>,
    /// Inter-eye pixels from which half of the enrolled people are expected to be found.
    pub good_px: Option<f32>,
    /// Inter-eye pixels from which anything is decided at the first look.
    pub least_px: Option<f32>,
}

/// The DORI classes of EN 62676-4:2015 (what a person watching can do) with their least pixels per metre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dori {
    /// Below detection.
    Below,
    /// 25 px/m: somebody is there.
    Detection,
    /// 62.5 px/m: what they wear.
    Observation,
    /// 125 px/m: somebody known is recognised.
    Recognition,
    /// 250 px/m: somebody unknown can be identified beyond doubt.
    Identification,
}

impl Dori {
    /// The classes with their least pixels per metre, ascending.
    pub const LEAST_PX_PER_M: [(Self, f32); 4] =
        [(Self::Detection, 25.0), (Self::Observation, 62.5), (Self::Recognition, 125.0), (Self::Identification, 250.0)];

    /// The class of a face of `inter_eye_px`.
    #[must_use]
    pub fn of(inter_eye_px: f32) -> Self {
        let density = px_per_m(inter_eye_px);
        let reached = Self::LEAST_PX_PER_M.into_iter().rev().find(|(_, least)| density >= *least);
        reached.map_or(Self::Below, |(class, _)| class)
    }

    /// The word in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Below => "below",
            Self::Detection => "detection",
            Self::Observation => "observation",
            Self::Recognition => "recognition",
            Self::Identification => "identification",
        }
    }
}

/// Pixels per metre at the face, from the distance between its eyes: `inter_eye_px / 0.063 m`.
#[must_use]
pub const fn px_per_m(inter_eye_px: f32) -> f32 {
    inter_eye_px / INTER_PUPIL_M
}

impl Figures {
    /// Tracks by DORI class of their median face.
    #[must_use]
    pub fn dori(&self) -> BTreeMap<Dori, u64> {
        let mut counts = BTreeMap::new();
        for bin in self.track_px_counts.iter().filter(|bin| bin.count > 0) {
            // Half a pixel wide; its middle stands for it.
            *counts.entry(Dori::of(bin.from + 0.25)).or_default() += bin.count;
        }
        counts
    }
}
