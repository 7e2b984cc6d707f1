//! Which faces of successive frames are one face: association by motion, corrected by appearance.
//!
//! ```text
//! detection --near a predicted box--> same track
//!     |                                   | embedding twice unlike the track --> new track (people crossed)
//!     \--else--> new track --embedding like a track lost nearby a moment ago--> that track goes on
//! lost for longer than the gap --> ended
//! ```
//!
//! Evidence of two people must never be fused, so a doubtful association makes a new track: that costs a second look
//! at somebody, the opposite could name a stranger.

use crate::embedding::Embedding;
use crate::face::DetectedFace;
use crate::geometry::{Point, Rect};
use crate::id::TrackId;
use crate::time::Mono;
use std::time::Duration;

/// Tracks of one camera at the most; a crowd beyond that is followed as far as it goes and counted.
pub const TRACKS_MAX: usize = 64;

/// Cosine to a track's appearance below which a face is somebody else. Impostor cosines scatter around 0 with a
/// standard deviation of about 0.1 at any size, while frames of one track resemble each other far above it. Measured
/// (`make quality`, models/quality/tracker.csv): no own frame in a hundred lies below it at any size, and 56 to 93 % of
/// other people's do.
const UNLIKE_BELOW: f32 = 0.15;

/// Cosine above which a new track continues a lost one. Four standard deviations of the impostor scores: of other people
/// it lets through 2.3 % at 6 to 8 px between the eyes, 0.3 % at 8 to 11 and below 0.04 % beyond, who would also have to
/// appear near the lost one.
const LIKE_ABOVE: f32 = 0.45;

/// Settings of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerSettings {
    /// A track unseen for this long has ended.
    pub max_gap: Duration,
}

/// Follows the faces of one camera.
#[derive(Debug)]
pub struct Tracker {
    settings: TrackerSettings,
    next: u64,
    live: Vec<Live>,
    ended: Vec<TrackId>,
    overflow_total: u64,
}

#[derive(Clone, Debug)]
struct Live {
    id: TrackId,
    box_in_frame: Rect,
    velocity: Point,
    last_seen: Mono,
    sightings: u32,
    appearance: Option<Embedding>,
    unlike_in_a_row: u32,
}

impl Live {
    fn born(id: TrackId, at: Mono, box_in_frame: Rect) -> Self {
        let velocity = Point::new(0.0, 0.0);
        Self { id, box_in_frame, velocity, last_seen: at, sightings: 1, appearance: None, unlike_in_a_row: 0 }
    }

    fn predicted(&self, at: Mono) -> Rect {
        // A face does not keep its velocity for long: beyond half a second the guess would run out of the picture.
        let seconds = at.since(self.last_seen).as_secs_f32().min(0.5);
        self.box_in_frame.shifted(self.velocity.x * seconds, self.velocity.y * seconds)
    }

    fn moved_to(&mut self, at: Mono, box_in_frame: Rect) {
        let seconds = at.since(self.last_seen).as_secs_f32();
        if seconds > 0.0 {
            let (from, to) = (self.box_in_frame.centre(), box_in_frame.centre());
            let fresh = Point::new((to.x - from.x) / seconds, (to.y - from.y) / seconds);
            let keep = if self.sightings == 1 { 0.0 } else { 0.5 };
            self.velocity = Point::new(
                keep * self.velocity.x + (1.0 - keep) * fresh.x,
                keep * self.velocity.y + (1.0 - keep) * fresh.y,
            );
        }
        self.box_in_frame = box_in_frame;
        self.last_seen = at;
        self.sightings = self.sightings.saturating_add(1);
    }
}

/// Face sizes a face may be from where its track expects it. A face is about 0.16 m wide and people walk at 1.5 m/s, so
/// between two of five analysed frames a second somebody passing by moves two face widths: a track that was seen once
/// and has no velocity yet must reach that far. Afterwards only the change of velocity counts.
const REACH_NEWBORN: f32 = 2.6;
const REACH_MOVING: f32 = 1.4;

/// How badly a detection fits a track: distance from the expected place in face sizes, plus the change of size; `None`
/// when it cannot be the same face. Longer gaps allow more.
fn misfit(track: &Live, at: Mono, found: Rect) -> Option<f32> {
    let (predicted, gap) = (track.predicted(at), at.since(track.last_seen));
    let size = predicted.area().sqrt().max(found.area().sqrt());
    if size <= 0.0 {
        return None;
    }
    let ratio = found.area().sqrt() / predicted.area().sqrt().max(1e-3);
    let distance = predicted.centre().distance(found.centre()) / size;
    let reach = if track.sightings == 1 { REACH_NEWBORN } else { REACH_MOVING } + gap.as_secs_f32().min(1.0);
    (distance <= reach && (0.55..=1.8).contains(&ratio)).then(|| distance + ratio.ln().abs())
}

impl Tracker {
    /// A tracker that numbers its tracks upward from `first`, so that several cameras can share one number space.
    #[must_use]
    pub const fn new(settings: TrackerSettings, first: u64) -> Self {
        Self { settings, next: first, live: Vec::new(), ended: Vec::new(), overflow_total: 0 }
    }

    /// Gives every detection of one frame its track: `None` only for detections beyond [`TRACKS_MAX`].
    /// Time that does not advance is treated as no time.
    pub fn update(&mut self, at: Mono, faces: &[DetectedFace]) -> Vec<Option<TrackId>> {
        self.end_lost(at);
        let mut pairs = Vec::new();
        for (t, track) in self.live.iter().enumerate() {
            for (f, face) in faces.iter().enumerate() {
                if let Some(cost) = misfit(track, at, face.box_in_frame) {
                    pairs.push((cost, t, f));
                }
            }
        }
        // Greedy by least misfit: with the few faces of one camera it differs from the optimal assignment only when
        // people overlap, and there the appearance check has the last word.
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let mut ids = vec![None; faces.len()];
        let mut taken = vec![false; self.live.len()];
        for (_, t, f) in pairs {
            if !taken[t] && ids[f].is_none() {
                taken[t] = true;
                ids[f] = Some(self.live[t].id);
                self.live[t].moved_to(at, faces[f].box_in_frame);
            }
        }
        for (id, face) in ids.iter_mut().zip(faces) {
            if id.is_none() {
                *id = self.begin(at, face.box_in_frame);
            }
        }
        ids
    }

    /// Tells the tracker what the face just assigned to `track` looks like; returns the track it really belongs to.
    pub fn appearance(&mut self, at: Mono, track: TrackId, embedding: &Embedding) -> TrackId {
        let Some(t) = self.live.iter().position(|live| live.id == track) else { return track };
        let Some(known) = self.live[t].appearance.clone() else {
            return self.resume_lost(at, t, embedding);
        };
        if known.cosine(embedding) < UNLIKE_BELOW {
            self.live[t].unlike_in_a_row += 1;
            if self.live[t].unlike_in_a_row >= 2 {
                return self.split(at, t, embedding);
            }
            return track;
        }
        let live = &mut self.live[t];
        live.unlike_in_a_row = 0;
        let blend: Vec<f32> =
            known.as_slice().iter().zip(embedding.as_slice()).map(|(a, b)| 0.8 * a + 0.2 * b).collect();
        live.appearance = Embedding::try_new(&blend).ok().or(Some(known));
        track
    }

    /// Tracks that ended since the last call.
    pub fn take_ended(&mut self) -> Vec<TrackId> {
        std::mem::take(&mut self.ended)
    }

    /// Ends every track: the camera was lost.
    pub fn end_all(&mut self) {
        self.ended.extend(self.live.drain(..).map(|live| live.id));
    }

    /// Where live tracks are expected at `at`, so that the detector looks there.
    pub fn expected(&self, at: Mono) -> impl Iterator<Item = Rect> + '_ {
        self.live.iter().map(move |live| live.predicted(at))
    }

    /// Detections that got no track because there were too many.
    #[must_use]
    pub const fn overflow_total(&self) -> u64 {
        self.overflow_total
    }

    fn begin(&mut self, at: Mono, box_in_frame: Rect) -> Option<TrackId> {
        if self.live.len() >= TRACKS_MAX {
            self.overflow_total += 1;
            return None;
        }
        let id = TrackId(self.next);
        self.next += 1;
        self.live.push(Live::born(id, at, box_in_frame));
        Some(id)
    }

    fn end_lost(&mut self, at: Mono) {
        let (gap, ended) = (self.settings.max_gap, &mut self.ended);
        self.live.retain(|live| {
            let keep = at.since(live.last_seen) <= gap;
            if !keep {
                ended.push(live.id);
            }
            keep
        });
    }

    /// A track without appearance so far takes this one, or turns out to continue a track lost a moment ago.
    fn resume_lost(&mut self, at: Mono, t: usize, embedding: &Embedding) -> TrackId {
        let here = self.live[t].box_in_frame;
        let lost = self.live.iter().enumerate().filter(|(_, other)| other.last_seen < at).filter_map(|(o, other)| {
            let cosine = other.appearance.as_ref()?.cosine(embedding);
            let size = here.area().sqrt().max(other.box_in_frame.area().sqrt());
            // Somebody walks at most about four face heights a second across a picture.
            let reach = size * (2.0 + 4.0 * at.since(other.last_seen).as_secs_f32());
            let near = other.box_in_frame.centre().distance(here.centre()) <= reach;
            (near && cosine >= LIKE_ABOVE).then_some((cosine, o))
        });
        let best = lost.max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, o)) = best.filter(|(_, o)| *o != t) else {
            self.live[t].appearance = Some(embedding.clone());
            return self.live[t].id;
        };
        let newborn = self.live[t].clone();
        let resumed = &mut self.live[o];
        resumed.moved_to(newborn.last_seen, newborn.box_in_frame);
        resumed.velocity = newborn.velocity;
        let id = resumed.id;
        self.ended.push(newborn.id);
        self.live.remove(t);
        id
    }

    fn split(&mut self, at: Mono, t: usize, embedding: &Embedding) -> TrackId {
        let (old, box_in_frame) = (self.live[t].id, self.live[t].box_in_frame);
        self.ended.push(old);
        self.live.remove(t);
        let id = TrackId(self.next);
        self.next += 1;
        let mut fresh = Live::born(id, at, box_in_frame);
        fresh.appearance = Some(embedding.clone());
        self.live.push(fresh);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SETTINGS: TrackerSettings = TrackerSettings { max_gap: Duration::from_millis(1500) };

    fn face(x: f32, y: f32, size: f32) -> DetectedFace {
        let at = |dx: f32, dy: f32| Point::new(x + dx * size, y + dy * size);
        DetectedFace {
            box_in_frame: Rect::new(x, y, size, size),
            landmarks_in_frame: [at(0.3, 0.4), at(0.7, 0.4), at(0.5, 0.6), at(0.35, 0.8), at(0.65, 0.8)],
            score: 0.9,
        }
    }

    fn unit(values: &[f32]) -> Embedding {
        Embedding::try_new(values).expect("finite")
    }

    fn one(tracker: &mut Tracker, ms: u64, x: f32) -> TrackId {
        tracker.update(Mono::from_millis(ms), &[face(x, 50.0, 20.0)])[0].expect("room")
    }

    #[test]
    fn a_walker_keeps_one_track_through_a_short_gap() {
        let mut tracker = Tracker::new(SETTINGS, 1);
        let first = one(&mut tracker, 0, 10.0);
        for (ms, x) in [(200, 22.0), (400, 34.0), (600, 46.0), (1200, 76.0), (1400, 88.0)] {
            assert_eq!(one(&mut tracker, ms, x), first, "at {ms} ms");
        }
        assert!(tracker.take_ended().is_empty());
        tracker.update(Mono::from_millis(4000), &[]);
        assert_eq!(tracker.take_ended(), [first]);
    }

    #[test]
    fn somebody_passing_at_walking_pace_is_one_track() {
        let mut tracker = Tracker::new(SETTINGS, 1);
        let step = 20.0 * 1.5 * 0.2 / 0.16;
        let ids: Vec<_> =
            (0_u16..6).map(|n| one(&mut tracker, u64::from(n) * 200, 10.0 + f32::from(n) * step)).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn two_people_who_swap_places_are_split_not_fused() {
        let mut tracker = Tracker::new(SETTINGS, 1);
        let (ann, bob) = (unit(&[1.0, 0.0, 0.0]), unit(&[0.0, 1.0, 0.0]));
        let id = one(&mut tracker, 0, 10.0);
        assert_eq!(tracker.appearance(Mono::from_millis(0), id, &ann), id);
        for ms in [200, 400] {
            assert_eq!(one(&mut tracker, ms, 10.0), id);
            let now = tracker.appearance(Mono::from_millis(ms), id, &bob);
            assert_eq!(now == id, ms == 200, "one odd frame is forgiven, two are somebody else");
        }
        assert_eq!(tracker.take_ended(), [id]);
    }

    #[test]
    fn somebody_hidden_behind_a_pillar_is_the_same_somebody() {
        let mut tracker = Tracker::new(SETTINGS, 1);
        let ann = unit(&[1.0, 0.2, 0.0]);
        let id = one(&mut tracker, 0, 10.0);
        tracker.appearance(Mono::from_millis(0), id, &ann);
        let reborn = one(&mut tracker, 1000, 90.0);
        assert_ne!(reborn, id, "too far for motion alone");
        assert_eq!(tracker.appearance(Mono::from_millis(1000), reborn, &ann), id);
        assert_eq!(tracker.take_ended(), [reborn]);
    }

    #[test]
    fn a_crowd_is_bounded_and_counted() {
        let mut tracker = Tracker::new(SETTINGS, 1);
        let crowd: Vec<_> = (0..100_u8).map(|i| face(f32::from(i) * 40.0, 0.0, 20.0)).collect();
        let ids = tracker.update(Mono::from_millis(0), &crowd);
        assert_eq!(ids.iter().flatten().count(), TRACKS_MAX);
        assert_eq!(tracker.overflow_total(), 36);
    }

    proptest! {
        #[test]
        fn reordered_and_arbitrary_frames_never_share_a_track(
            frames in prop::collection::vec(
                (0_u64..20_000, prop::collection::vec((0.0_f32..600.0, 0.0_f32..300.0, 5.0_f32..60.0, 0_usize..3), 0..8)),
                1..40,
            ),
        ) {
            let looks = [unit(&[1.0, 0.0, 0.0]), unit(&[0.0, 1.0, 0.0]), unit(&[0.0, 0.6, 0.8])];
            let mut tracker = Tracker::new(SETTINGS, 1);
            let mut over = BTreeSet::new();
            for (ms, faces) in frames {
                let at = Mono::from_millis(ms);
                let found: Vec<_> = faces.iter().map(|(x, y, size, _)| face(*x, *y, *size)).collect();
                let ids: Vec<_> = tracker.update(at, &found).into_iter().flatten().collect();
                prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "two faces, one track");
                let looked: Vec<_> =
                    ids.iter().zip(&faces).map(|(id, face)| tracker.appearance(at, *id, &looks[face.3])).collect();
                for id in tracker.take_ended() {
                    prop_assert!(over.insert(id), "{} ended twice", id);
                }
                for id in looked {
                    prop_assert!(!over.contains(&id), "{} came back from the dead", id);
                }
            }
        }
    }
}
