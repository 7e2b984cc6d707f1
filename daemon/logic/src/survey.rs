//! What a camera sees, measured without comparing anybody: sizes, sharpness, pose, light, tracks, and whether the
//! present calibration and policy could decide them. Only counts are kept; memory does not grow with time.
//!
//! A track is called decidable when at one of the policy's looks the calibration supports its face size and frame count,
//! exactly as the judge would ask. How many enrolled people such tracks would find is an estimate from the calibration's
//! genuine scores ([`Row::genuine_share`](crate::calibration::Row::genuine_share)); it is advice, no promise.

use crate::calibration::{Calibration, fmr_for_fpir};
use crate::face::{Quality, Unfit};
use crate::figures::{BinFigures, Counted, Figures, HourFigures, Place};
use crate::fusion::FRAMES_MAX;
use crate::geometry::Rect;
use crate::histogram::Histogram;
use crate::id::TrackId;
use crate::outcome::Undecidable;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Mean distance between the pupils of adults, in metres. Source: N. A. Dodgson, "Variation and extrema of human
/// interpupillary distance", Proc. SPIE 5291, 2004: mean 63 mm, most adults 54 to 74 mm.
pub const INTER_PUPIL_M: f32 = 0.063;

/// Columns and rows of the map of where faces are seen.
pub const PLACES: (u16, u16) = (16, 9);

/// Tracks followed at a time; the tracker has no more.
const LIVE_MAX: usize = crate::tracker::TRACKS_MAX * 2;

/// Numbers the survey asks about.
#[derive(Clone, Debug, PartialEq)]
pub struct SurveyPolicy {
    /// Frame counts at which a track is judged.
    pub looks: Vec<u32>,
    /// Frame counts at which later frames confirm.
    pub confirm_looks: Vec<u32>,
    /// Share of strangers' tracks that may become a candidate.
    pub target_fpir: f64,
    /// People a gallery is imagined to have.
    pub people: usize,
}

/// One face of one frame, measured and compared with nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredFace {
    /// The track it belongs to.
    pub track: TrackId,
    /// Where it is.
    pub box_in_frame: Rect,
    /// How good it is.
    pub quality: Quality,
    /// Whether it would have been compared.
    pub fit: Result<(), Unfit>,
}

/// One analysed frame.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'f> {
    /// Hour of the day where the camera is, 0..=23.
    pub hour: u8,
    /// Width and height in pixels.
    pub frame_px: (f32, f32),
    /// Mean luma of the whole picture, 0..=1.
    pub brightness: f32,
    /// Its faces.
    pub faces: &'f [MeasuredFace],
    /// Tracks that ended with it.
    pub ended: &'f [TrackId],
}

struct Live {
    hour: u8,
    faces: u32,
    largest_px: f32,
    usable: u32,
    /// Sizes of the first usable faces; what the looks would have seen.
    sizes: Vec<f32>,
    unfit: BTreeMap<Unfit, u32>,
}

struct Hour {
    frames: u64,
    faces: u64,
    tracks: u64,
    decidable: u64,
    picture: Histogram,
    brightness: Histogram,
    contrast: Histogram,
    sharpness: Histogram,
}

#[derive(Clone, Copy, Default)]
struct Bin {
    tracks: u64,
    decidable: u64,
    found: f64,
}

/// A survey under way.
pub struct Survey {
    policy: SurveyPolicy,
    calibration: Arc<Calibration>,
    frame_px: (f32, f32),
    live: BTreeMap<TrackId, Live>,
    hours: Vec<Hour>,
    bins: Vec<Bin>,
    fleeting: u64,
    confirmable: u64,
    undecided: BTreeMap<Undecidable, u64>,
    unfit: BTreeMap<Unfit, u64>,
    face_px: Histogram,
    track_px: Histogram,
    usable: Histogram,
    yaw: Histogram,
    sharpness: Histogram,
    places: Vec<(u64, f64)>,
}

fn unit_histogram() -> Histogram {
    Histogram::new(0.0, 1.0, 50)
}

impl Hour {
    fn new() -> Self {
        Self {
            frames: 0,
            faces: 0,
            tracks: 0,
            decidable: 0,
            picture: unit_histogram(),
            brightness: unit_histogram(),
            contrast: Histogram::new(0.0, 0.5, 50),
            sharpness: unit_histogram(),
        }
    }
}

impl Survey {
    /// A survey that has seen nothing.
    #[must_use]
    pub fn new(policy: SurveyPolicy, calibration: Arc<Calibration>) -> Self {
        let bins = vec![Bin::default(); calibration.bins().count()];
        Self {
            policy,
            calibration,
            frame_px: (0.0, 0.0),
            live: BTreeMap::new(),
            hours: (0..24).map(|_| Hour::new()).collect(),
            bins,
            fleeting: 0,
            confirmable: 0,
            undecided: BTreeMap::new(),
            unfit: BTreeMap::new(),
            face_px: Histogram::new(0.0, 128.0, 256),
            track_px: Histogram::new(0.0, 128.0, 256),
            usable: Histogram::new(0.0, 100.0, 100),
            yaw: Histogram::new(-90.0, 90.0, 36),
            sharpness: unit_histogram(),
            places: vec![(0, 0.0); usize::from(PLACES.0) * usize::from(PLACES.1)],
        }
    }

    /// Takes one analysed frame.
    pub fn on_frame(&mut self, seen: &Seen<'_>) {
        let at = usize::from(seen.hour.min(23));
        self.frame_px = seen.frame_px;
        self.hours[at].frames += 1;
        self.hours[at].picture.add(seen.brightness);
        for face in seen.faces {
            self.on_face(seen, at, face);
        }
        for track in seen.ended {
            self.end(*track);
        }
    }

    /// The camera is gone or the survey is over: no track goes on.
    pub fn end_all(&mut self) {
        while let Some(track) = self.live.keys().next().copied() {
            self.end(track);
        }
    }

    /// Tracks that ended so far, those seen in one frame only left out.
    #[must_use]
    pub fn tracks(&self) -> u64 {
        self.hours.iter().map(|hour| hour.tracks).sum()
    }

    /// Faces measured so far.
    #[must_use]
    pub const fn faces(&self) -> u64 {
        self.face_px.total()
    }

    fn on_face(&mut self, seen: &Seen<'_>, at: usize, face: &MeasuredFace) {
        let quality = &face.quality;
        let hour = &mut self.hours[at];
        hour.faces += 1;
        hour.brightness.add(quality.brightness);
        hour.contrast.add(quality.contrast);
        hour.sharpness.add(quality.sharpness);
        self.face_px.add(quality.inter_eye_px);
        self.sharpness.add(quality.sharpness);
        self.yaw.add(quality.yaw_deg);
        if let Some(place) = place(face.box_in_frame, seen.frame_px) {
            let (count, sum) = &mut self.places[place];
            (*count, *sum) = (*count + 1, *sum + f64::from(quality.inter_eye_px));
        }
        if let Err(why) = face.fit {
            *self.unfit.entry(why).or_default() += 1;
        }
        if !self.live.contains_key(&face.track) && self.live.len() >= LIVE_MAX {
            // The tracker never gets here; were it to, the oldest number is over.
            self.live.keys().next().copied().into_iter().for_each(|oldest| self.end(oldest));
        }
        let live = self.live.entry(face.track).or_insert_with(|| Live {
            hour: seen.hour.min(23),
            faces: 0,
            largest_px: 0.0,
            usable: 0,
            sizes: Vec::new(),
            unfit: BTreeMap::new(),
        });
        live.faces = live.faces.saturating_add(1);
        live.largest_px = live.largest_px.max(quality.inter_eye_px);
        match face.fit {
            Ok(()) => {
                live.usable = live.usable.saturating_add(1);
                if live.sizes.len() < FRAMES_MAX as usize {
                    live.sizes.push(quality.inter_eye_px);
                }
            }
            Err(why) => *live.unfit.entry(why).or_default() += 1,
        }
    }

    fn end(&mut self, track: TrackId) {
        let Some(live) = self.live.remove(&track) else { return };
        if live.faces < 2 {
            // One face in one frame is more often wallpaper than a person; it would spoil the shares.
            self.fleeting += 1;
            return;
        }
        let px = median(&live.sizes).unwrap_or(live.largest_px);
        let judged = self.judge(&live);
        self.track_px.add(px);
        #[expect(clippy::cast_precision_loss, reason = "a count of frames")]
        self.usable.add(live.usable as f32);
        let hour = &mut self.hours[usize::from(live.hour)];
        hour.tracks += 1;
        hour.decidable += u64::from(judged.is_ok());
        let bin = self.calibration.bins().position(|(from, to)| (from..to).contains(&px)).unwrap_or(0);
        if let Some(bin) = self.bins.get_mut(bin) {
            bin.tracks += 1;
            bin.decidable += u64::from(judged.is_ok());
            bin.found += judged.as_ref().map_or(0.0, |decided| decided.found);
        }
        match judged {
            Ok(decided) => self.confirmable += u64::from(decided.confirmable),
            Err(why) => *self.undecided.entry(why).or_default() += 1,
        }
    }

    /// What the judge could have made of it.
    fn judge(&self, live: &Live) -> Result<Decided, Undecidable> {
        let (looks, confirm) = (&self.policy.looks, self.policy.confirm_looks.first().copied().unwrap_or(1));
        if looks.first().is_none_or(|first| live.usable < *first) {
            let main = live.unfit.iter().filter(|(why, _)| **why != Unfit::TooSoon).max_by_key(|(_, count)| **count);
            return Err(Undecidable::from_unfit(main.map(|(why, _)| *why)));
        }
        let fmr = self.fmr(looks.len());
        let mut decided: Option<Decided> = None;
        for look in looks.iter().filter(|look| **look <= live.usable) {
            let frames = *look as usize;
            let Some(px) = live.sizes.get(..frames).and_then(median) else { continue };
            let Some(row) = self.calibration.row(px, *look) else { continue };
            let found = row.genuine_share(row.threshold(fmr));
            let later = live.sizes.get(frames..frames + confirm as usize).and_then(median);
            let confirmable = later.is_some_and(|px| self.calibration.row(px, confirm).is_some());
            let best = decided.get_or_insert(Decided { found, confirmable });
            *best = Decided { found: best.found.max(found), confirmable: best.confirmable || confirmable };
        }
        decided.ok_or(Undecidable::NoCalibration)
    }

    fn fmr(&self, looks: usize) -> f64 {
        let share = f64::from(u32::try_from(looks.max(1)).unwrap_or(u32::MAX));
        fmr_for_fpir(self.policy.target_fpir / share, self.policy.people)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let sum = |of: fn(&Hour) -> u64| self.hours.iter().map(of).sum::<u64>();
        Figures {
            frame_px: self.frame_px,
            frames: sum(|hour| hour.frames),
            faces: self.faces(),
            tracks: self.tracks(),
            tracks_seen_once: self.fleeting,
            tracks_decidable: sum(|hour| hour.decidable),
            tracks_confirmable: self.confirmable,
            found_share: self.found_share(),
            undecided: self.undecided.iter().map(|(why, count)| (why.as_str(), *count)).collect(),
            faces_unfit: self.unfit.iter().map(|(why, count)| (why.as_str(), *count)).collect(),
            face_px: self.face_px.spread(),
            track_px: self.track_px.spread(),
            usable_frames: self.usable.spread(),
            yaw_deg: self.yaw.spread(),
            sharpness: self.sharpness.spread(),
            track_px_counts: counted(&self.track_px),
            usable_frames_counts: counted(&self.usable),
            yaw_deg_counts: counted(&self.yaw),
            sharpness_counts: counted(&self.sharpness),
            bins: self.bin_figures(),
            hours: self.hour_figures(),
            places: self.place_figures(),
            good_px: self.good_px(),
            least_px: self.calibration.decidable_from_px(self.policy.looks.first().copied().unwrap_or(1)),
        }
    }

    fn found_share(&self) -> Option<f64> {
        let (tracks, found) = self.bins.iter().fold((0, 0.0), |sum, bin| (sum.0 + bin.tracks, sum.1 + bin.found));
        #[expect(clippy::cast_precision_loss, reason = "a count of tracks")]
        (tracks > 0).then(|| found / tracks as f64)
    }

    fn bin_figures(&self) -> Vec<BinFigures> {
        let fmr = self.fmr(self.policy.looks.len());
        let look = self.policy.looks.first().copied().unwrap_or(1);
        let one = |((from_px, to_px), bin): ((f32, f32), &Bin)| BinFigures {
            from_px,
            to_px: to_px.is_finite().then_some(to_px),
            tracks: bin.tracks,
            decidable: bin.decidable,
            frames_needed: self.calibration.frames_needed(from_px),
            genuine_share: self.calibration.row(from_px, look).map(|row| row.genuine_share(row.threshold(fmr))),
        };
        self.calibration.bins().zip(&self.bins).map(one).collect()
    }

    /// The smallest size at which half of the enrolled people who pass are expected to be found at the most frames a
    /// look has; where no size reaches that, the lower edge of the largest.
    fn good_px(&self) -> Option<f32> {
        let (fmr, frames) = (self.fmr(self.policy.looks.len()), self.policy.looks.last().copied().unwrap_or(1));
        let share = |px: f32| self.calibration.row(px, frames).map(|row| row.genuine_share(row.threshold(fmr)));
        let edges: Vec<f32> = self.calibration.bins().map(|(from, _)| from).collect();
        let half = edges.iter().find(|px| share(**px).is_some_and(|share| share >= 0.5));
        half.or_else(|| edges.iter().rfind(|px| share(**px).is_some())).copied()
    }

    fn hour_figures(&self) -> Vec<HourFigures> {
        let seen = (0_u8..24).zip(&self.hours).filter(|(_, hour)| hour.frames > 0);
        seen.map(|(at, hour)| HourFigures {
            hour: at,
            frames: hour.frames,
            faces: hour.faces,
            tracks: hour.tracks,
            decidable: hour.decidable,
            picture_brightness: hour.picture.spread(),
            face_brightness: hour.brightness.spread(),
            face_contrast: hour.contrast.spread(),
            sharpness: hour.sharpness.spread(),
        })
        .collect()
    }

    fn place_figures(&self) -> Vec<Place> {
        let cells = (0_u16..).zip(&self.places).filter(|(_, (count, _))| *count > 0);
        cells
            .map(|(at, (count, sum))| {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_precision_loss,
                    reason = "a mean of pixel distances"
                )]
                let px = (sum / *count as f64) as f32;
                Place { column: at % PLACES.0, row: at / PLACES.0, faces: *count, px }
            })
            .collect()
    }
}

#[derive(Clone, Copy)]
struct Decided {
    found: f64,
    confirmable: bool,
}

fn counted(histogram: &Histogram) -> Vec<Counted> {
    histogram.bins().map(|(from, count)| Counted { from, count }).collect()
}

fn median(sizes: impl AsRef<[f32]>) -> Option<f32> {
    let mut sizes = sizes.as_ref().to_vec();
    sizes.sort_by(f32::total_cmp);
    sizes.get(sizes.len() / 2).copied()
}

/// Which cell of the map a face is in.
fn place(face: Rect, (width, height): (f32, f32)) -> Option<usize> {
    let centre = face.centre();
    let part = |at: f32, of: f32, cells: u16| {
        let cell = at / of * f32::from(cells);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the cells first")]
        let cell = cell.clamp(0.0, f32::from(cells - 1)) as usize;
        (of > 0.0 && at.is_finite()).then_some(cell)
    };
    Some(part(centre.y, height, PLACES.1)? * usize::from(PLACES.0) + part(centre.x, width, PLACES.0)?)
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
