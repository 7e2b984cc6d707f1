//! What to do about a camera, from what a survey measured. Ordered by how much it helps.

use crate::figures::{Figures, px_per_m};

/// What the camera is good for as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// No track was seen: nothing can be said.
    NobodySeen,
    /// Few tracks can be decided at all.
    Unsuitable,
    /// Tracks can be decided, but enrolled people are found less often than not, or most tracks end before a candidate
    /// could be confirmed.
    CandidatesOnly,
    /// At least half of the enrolled people who pass are expected to be found, and half of the tracks can be confirmed.
    Suitable,
}

/// Least share of decidable tracks for [`Grade::CandidatesOnly`].
const DECIDABLE_MIN: f64 = 0.2;

/// Least expected share of enrolled people found for [`Grade::Suitable`].
const FOUND_MIN: f64 = 0.5;

/// Least share of confirmable tracks for [`Grade::Suitable`].
const CONFIRMABLE_MIN: f64 = 0.5;

/// Share of faces or tracks spoiled by one thing from which it is worth mending.
const WORTH_MENDING: f64 = 0.1;

/// Median brightness of faces below which light is the first thing to mend; the floor of the shipped configuration is
/// 0.04, where nothing is left to see.
const DARK: f32 = 0.2;

/// Median sharpness below which focus or shutter is to blame, for faces large enough to show it. Faces of in-focus
/// footage have 0.3 and more.
const SOFT: f32 = 0.2;

/// Below this size a face cannot fill the grid that sharpness is measured on, however good the lens.
const SHARPNESS_SAYS_FROM_PX: f32 = 9.0;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", tag = "kind")]
pub enum Advice {
    /// Bring the faces closer: move the camera, zoom, or both.
    Closer {
        /// Median inter-eye pixels now.
        have_px: f32,
        /// Inter-eye pixels to aim for.
        need_px: f32,
        /// By how much.
        factor: f32,
        /// Width of the scene at the faces now, metres.
        scene_width_m: f32,
        /// Width it should have, metres.
        scene_width_needed_m: f32,
        /// Distance of the faces from the camera now, metres, with the assumed angle of view.
        distance_m: f32,
        /// How much closer, metres.
        move_m: f32,
    },
    /// Take a larger stream of the same camera.
    MainStream {
        /// Width now.
        width_px: f32,
        /// Inter-eye pixels with a stream of 1920 on its longer side.
        then_px: f32,
    },
    /// More light on the faces.
    MoreLight {
        /// Hours of the day in which faces are dark; empty: always.
        hours: Vec<u8>,
    },
    /// Faces are too bright or washed out.
    LessExposure,
    /// Focus, or a shorter shutter time.
    Sharper {
        /// Median sharpness, 0..=1.
        sharpness: f32,
    },
    /// People look elsewhere.
    FaceTheCamera {
        /// Share of faces turned too far, 0..=1.
        share: f64,
    },
    /// People are in view too briefly.
    LongerInView {
        /// Median usable frames of a track.
        have: f32,
        /// Frames the first look takes.
        need: u32,
        /// Frames a candidate and its confirmation take together.
        need_confirmed: u32,
    },
    /// Faces pass along the edge of the picture.
    AwayFromTheEdge {
        /// Share of faces cut off, 0..=1.
        share: f64,
    },
}

/// Grade and advice.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Assessment {
    /// What the camera is good for.
    pub grade: Grade,
    /// What to do, most helpful first.
    pub advice: Vec<Advice>,
}

/// What cannot be measured in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Assumed {
    /// Horizontal angle of view of the lens, degrees.
    pub view_deg: f32,
    /// Frames the first look takes.
    pub look: u32,
    /// Frames the first confirming look takes.
    pub confirm_look: u32,
}

#[expect(clippy::cast_precision_loss, reason = "counts of tracks and faces")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Judges a survey.
#[must_use]
pub fn assess(figures: &Figures, assumed: Assumed) -> Assessment {
    let grade = if figures.tracks == 0 {
        Grade::NobodySeen
    } else if share(figures.tracks_decidable, figures.tracks) < DECIDABLE_MIN {
        Grade::Unsuitable
    } else if figures.found_share.is_none_or(|found| found < FOUND_MIN)
        || share(figures.tracks_confirmable, figures.tracks) < CONFIRMABLE_MIN
    {
        Grade::CandidatesOnly
    } else {
        Grade::Suitable
    };
    let advice = if figures.tracks == 0 {
        Vec::new()
    } else {
        let size = closer(figures, assumed.view_deg);
        let main_stream = size.as_ref().and_then(|_| main_stream(figures));
        size.into_iter()
            .chain(main_stream)
            .chain(light(figures))
            .chain(sharper(figures))
            .chain(pose(figures))
            .chain(longer(figures, assumed))
            .chain(edge(figures))
            .collect()
    };
    Assessment { grade, advice }
}

/// Distance of a plane `width_m` wide that fills the picture: `width / (2 tan(view / 2))`.
fn distance_m(width_m: f32, view_deg: f32) -> f32 {
    width_m / (2.0 * (view_deg.to_radians() / 2.0).tan())
}

fn closer(figures: &Figures, view_deg: f32) -> Option<Advice> {
    let (have_px, need_px) = (figures.track_px?.p50, figures.good_px?);
    if have_px >= need_px || have_px <= 0.0 {
        return None;
    }
    let factor = need_px / have_px;
    let scene_width_m = figures.frame_px.0 / px_per_m(have_px);
    let distance = distance_m(scene_width_m, view_deg);
    Some(Advice::Closer {
        have_px,
        need_px,
        factor,
        scene_width_m,
        scene_width_needed_m: scene_width_m / factor,
        distance_m: distance,
        move_m: distance * (1.0 - 1.0 / factor),
    })
}

/// Sub-streams are at most 1280 wide; with a main stream of 1920 faces grow in proportion.
fn main_stream(figures: &Figures) -> Option<Advice> {
    let longer = figures.frame_px.0.max(figures.frame_px.1);
    let small = longer > 0.0 && longer < 1280.0;
    small.then(|| Advice::MainStream {
        width_px: figures.frame_px.0,
        then_px: figures.track_px.map_or(0.0, |spread| spread.p50) * 1920.0 / longer,
    })
}

fn unfit(figures: &Figures, why: crate::face::Unfit) -> f64 {
    share(figures.faces_unfit.get(why.as_str()).copied().unwrap_or(0), figures.faces)
}

fn light(figures: &Figures) -> Option<Advice> {
    let faces = |hour: &crate::figures::HourFigures| hour.face_brightness.filter(|spread| spread.count >= 5);
    let measured: Vec<_> = figures.hours.iter().filter_map(|hour| Some((hour.hour, faces(hour)?))).collect();
    let dark: Vec<u8> = measured.iter().filter(|(_, spread)| spread.p50 < DARK).map(|(hour, _)| *hour).collect();
    if !dark.is_empty() {
        let always = dark.len() == measured.len();
        return Some(Advice::MoreLight { hours: if always { Vec::new() } else { dark } });
    }
    if unfit(figures, crate::face::Unfit::Exposure) < WORTH_MENDING {
        return None;
    }
    let bright = measured.iter().any(|(_, spread)| spread.p90 > 0.85);
    Some(if bright { Advice::LessExposure } else { Advice::MoreLight { hours: Vec::new() } })
}

fn sharper(figures: &Figures) -> Option<Advice> {
    let (sharpness, px) = (figures.sharpness?, figures.face_px?);
    let soft = sharpness.p50 < SOFT && px.p50 >= SHARPNESS_SAYS_FROM_PX;
    let blurred = unfit(figures, crate::face::Unfit::Blurred) >= WORTH_MENDING;
    (soft || blurred).then_some(Advice::Sharper { sharpness: sharpness.p50 })
}

fn pose(figures: &Figures) -> Option<Advice> {
    let share = unfit(figures, crate::face::Unfit::Pose);
    (share >= WORTH_MENDING).then_some(Advice::FaceTheCamera { share })
}

fn longer(figures: &Figures, assumed: Assumed) -> Option<Advice> {
    let have = figures.usable_frames?.p50.floor();
    let need_confirmed = assumed.look + assumed.confirm_look;
    #[expect(clippy::cast_precision_loss, reason = "a count of frames")]
    let few = have < need_confirmed as f32;
    few.then_some(Advice::LongerInView { have, need: assumed.look, need_confirmed })
}

fn edge(figures: &Figures) -> Option<Advice> {
    let share = unfit(figures, crate::face::Unfit::Cut);
    (share >= WORTH_MENDING).then_some(Advice::AwayFromTheEdge { share })
}
