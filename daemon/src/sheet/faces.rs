//! The faces of a recording, a bounded number of each track, spread over its time.

use crate::page::picture;
use sekisho_logic::face::FrameFaces;
use sekisho_logic::frame::FrameView;
use sekisho_logic::geometry::Rect;
use sekisho_logic::id::TrackId;
use sekisho_vision::planes::Pixels;
use sekisho_vision::planes::region::RegionSampler;
use std::collections::BTreeMap;

/// Faces of one track that are shown: those that were compared, and those that were not.
const COMPARED_MAX: usize = 12;
const LEFT_OUT_MAX: usize = 8;

/// Tracks whose faces are shown. At twenty faces of a few kilobytes each the page stays below some tens of megabytes.
const TRACKS_MAX: usize = 400;

/// How much wider and higher than the face the picture is, so that hair and chin are on it.
const MARGIN: f32 = 1.4;

/// Longer side of a picture at the most, pixels; larger faces are scaled down to it.
const SIDE_PX_MAX: f32 = 160.0;

/// One face, cut out of its frame.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The frame's sequence number.
    pub sequence: u64,
    /// The picture as a data address.
    pub address: String,
    /// Width of the cut in the camera's own pixels.
    pub width: u32,
}

/// Faces by track.
#[derive(Default)]
pub struct Album {
    sampler: RegionSampler,
    strips: BTreeMap<TrackId, Strip>,
}

#[derive(Default)]
struct Strip {
    compared: Thinned,
    left_out: Thinned,
}

/// Every `stride`th of what is offered; the stride doubles whenever the room is used up, so that what is kept stays
/// spread evenly and is the same for the same clip.
#[derive(Default)]
struct Thinned {
    kept: Vec<Shot>,
    skip: u32,
    offered: u64,
}

impl Thinned {
    fn offer(&mut self, most: usize, shot: impl FnOnce() -> Option<Shot>) {
        let turn = |skip: u32, at: u64| at.is_multiple_of(1_u64 << skip.min(40));
        let at = self.offered;
        self.offered += 1;
        if !turn(self.skip, at) {
            return;
        }
        if self.kept.len() >= most {
            let mut place = 0_usize;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.skip += 1;
            if !turn(self.skip, at) {
                return;
            }
        }
        self.kept.extend(shot());
    }
}

impl Album {
    /// Takes the faces of one frame.
    pub fn take(&mut self, view: &FrameView<'_>, frame: &FrameFaces) {
        for face in &frame.faces {
            if !self.strips.contains_key(&face.track) && self.strips.len() >= TRACKS_MAX {
                continue;
            }
            let strip = self.strips.entry(face.track).or_default();
            let (list, most) = match face.embedding {
                Ok(_) => (&mut strip.compared, COMPARED_MAX),
                Err(_) => (&mut strip.left_out, LEFT_OUT_MAX),
            };
            let sampler = &mut self.sampler;
            list.offer(most, || cut(sampler, view, face.face.box_in_frame, frame.stamp.sequence));
        }
    }

    /// The faces of a track, oldest first.
    #[must_use]
    pub fn of(&self, track: TrackId) -> Vec<&Shot> {
        let Some(strip) = self.strips.get(&track) else { return Vec::new() };
        let mut shots: Vec<&Shot> = strip.compared.kept.iter().chain(&strip.left_out.kept).collect();
        shots.sort_by_key(|shot| shot.sequence);
        shots
    }
}

/// The face with some of what is around it, in the camera's own pixels unless that is too much.
fn cut(sampler: &mut RegionSampler, view: &FrameView<'_>, face: Rect, sequence: u64) -> Option<Shot> {
    let pixels = Pixels::from(*view);
    let (frame_width, frame_height) = pixels.size_px();
    let wanted = face.scaled(MARGIN);
    // Checked first: `max` below would turn what is no number into an edge.
    if !wanted.is_finite() {
        return None;
    }
    let (left, top) = (wanted.x.floor().max(0.0), wanted.y.floor().max(0.0));
    let (right, bottom) =
        ((wanted.x + wanted.width).ceil().min(frame_width), (wanted.y + wanted.height).ceil().min(frame_height));
    let region = Rect::new(left, top, right - left, bottom - top);
    if region.width < 4.0 || region.height < 4.0 {
        return None;
    }
    let scale = (SIDE_PX_MAX / region.width.max(region.height)).min(1.0);
    let size = (whole(region.width * scale), whole(region.height * scale));
    let planes = sampler.sample(pixels, region, (size.0 as usize, size.1 as usize));
    let triples = planes.red.iter().zip(planes.green).zip(planes.blue);
    let rgb: Vec<u8> = triples.flat_map(|((red, green), blue)| [byte(*red), byte(*green), byte(*blue)]).collect();
    let address = picture::data_address(size.0, size.1, &rgb)?;
    Some(Shot { sequence, address, width: whole(region.width) })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a side of a frame: 4 to 8192")]
fn whole(side: f32) -> u32 {
    side.round().clamp(1.0, 8192.0) as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte first")]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::frame::{Chroma, Matrix, Plane, Range};

    #[test]
    fn what_is_kept_is_bounded_and_spread_over_the_whole_time() {
        let mut list = Thinned::default();
        for sequence in 0..1000 {
            list.offer(8, || Some(Shot { sequence, address: String::new(), width: 1 }));
        }
        let kept: Vec<_> = list.kept.iter().map(|shot| shot.sequence).collect();
        assert!((4..=8).contains(&kept.len()), "{kept:?}");
        assert!(kept[0] == 0 && kept[kept.len() - 1] >= 750, "{kept:?}");
        let gaps: Vec<_> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]), "{kept:?}");
    }

    #[test]
    fn a_face_at_the_edge_is_cut_there_and_one_outside_is_none() {
        let (luma, chroma) = (vec![128_u8; 64 * 48], vec![128_u8; 32 * 24]);
        let plane = |bytes, stride| Plane { bytes, stride };
        let chroma = Chroma::I420 { u: plane(&chroma, 32), v: plane(&chroma, 32) };
        let view = FrameView::try_new((64, 48), plane(&luma, 64), chroma, Matrix::Bt601, Range::Full).expect("a frame");
        let mut sampler = RegionSampler::default();
        let shot = cut(&mut sampler, &view, Rect::new(-10.0, 10.0, 20.0, 20.0), 1).expect("half a face");
        assert_eq!(shot.width, 14);
        assert!(cut(&mut sampler, &view, Rect::new(100.0, 10.0, 20.0, 20.0), 1).is_none());
        assert!(cut(&mut sampler, &view, Rect::new(f32::NAN, 10.0, 20.0, 20.0), 1).is_none());
    }
}
