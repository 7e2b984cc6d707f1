//! The deciding loop's whole state: tracks in, alerts and verdicts out. No waiting, no clock, no I/O.
//!
//! ```text
//! frames of a track -> primary fusion --look identifies--> alert machine: candidate
//!                                                               |  from here on every frame goes to
//!                                        secondary fusion <-----/  the second, disjoint fusion
//!                                            |-- look identifies the same person --> second network asked
//!                                            |                    |-- agrees, or there is none --> machine-confirmed
//!                                            |                    |-- open --> asked again at the next look
//!                                            |                    \-- against --> withdrawn
//!                                            \-- evidence at or below the limit, or somebody else --> withdrawn
//! track ended -> verdict (identified | not enrolled | not decidable, and why)
//! ```
//!
//! A track is judged at the policy's few frame counts only, each with its share of the target rate; the end of a track
//! adds no look. A different track of the same person on the same camera is disjoint by nature, so its own
//! identification confirms an open candidate too.

mod asking;
mod track;

use self::track::{Accused, BestPictures, Key, Track, note_look};
use crate::alert::{AlertMachine, Ballot, VoteRefused};
use crate::calibrate::tally::Batch;
use crate::calibration::Calibration;
use crate::embedding::Embedding;
use crate::explain::{Fate, LookAt};
use crate::face::{FrameFaces, TrackedFace, Unfit};
use crate::frame::FrameStamp;
use crate::fusion::{Fusion, Offered};
use crate::gallery::{Gallery, Member};
use crate::id::{CameraId, PersonId, TrackId};
use crate::judge::{Bench, Judgement};
use crate::outcome::{Outcome, TrackVerdict, Undecidable};
use crate::picture::FacePicture;
use crate::policy::{Mode, Policy, Standing};
use crate::record::{AlertEvent, AlertId, AlertRecord, Stage};
use crate::second::{SecondCounts, SecondNetwork};
use crate::suspension::{Suspension, Suspensions};
use crate::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Tracks of all cameras held at the most: 64 a camera for 64 cameras. Beyond it the longest unseen one gets its
/// verdict early, counted.
pub const TRACKS_MAX: usize = 4096;

/// What the daemon must do about something.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write this to journal, outbox and audit, then let the sinks have it.
    Journal(Box<AlertEvent>),
    /// A track has its verdict: count it, show it. Not stored.
    Verdict(Box<TrackVerdict>),
    /// A candidate was raised this long after the first usable face of its track.
    CandidateDelay(CameraId, Duration),
    /// Show these pictures to the second network and come back with [`Watcher::on_second`].
    AskSecond(Box<AlertPictures>),
    /// Keep these pictures with the alert, for the people who review it.
    Evidence(Box<AlertPictures>),
    /// People rejected too many alerts of a person or a camera: note it and tell somebody.
    Suspended(Suspension),
}

/// Pictures that belong to an open alert.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPictures {
    /// Which alert.
    pub alert: AlertId,
    /// Whom it is about.
    pub person: PersonId,
    /// Where.
    pub camera: CameraId,
    /// The best frames of the track, in the order they were taken.
    pub pictures: Vec<Arc<FacePicture>>,
}

/// A track in flight, for the live view.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LiveTrack {
    /// Where.
    pub camera: CameraId,
    /// Which.
    pub track: TrackId,
    /// Latest inter-eye distance, source pixels.
    pub inter_eye_px: f32,
    /// Frames fused.
    pub frames_used: u32,
    /// Whether an alert rests on it.
    pub alerting: bool,
}

/// State of deciding.
#[derive(Debug)]
pub struct Watcher {
    policy: Policy,
    gallery: Arc<Gallery>,
    calibration: Arc<Calibration>,
    alerts: AlertMachine,
    tracks: BTreeMap<(CameraId, TrackId), Track>,
    overflow_total: u64,
    counted: Batch,
    explains: bool,
    second: Option<SecondNetwork>,
    second_counts: SecondCounts,
    suspensions: Suspensions,
}

impl Watcher {
    /// A watcher without tracks or alerts.
    #[must_use]
    pub fn new(policy: Policy, gallery: Arc<Gallery>, calibration: Arc<Calibration>, run: u32) -> Self {
        Self {
            policy,
            gallery,
            calibration,
            alerts: AlertMachine::new(run),
            tracks: BTreeMap::new(),
            overflow_total: 0,
            counted: Batch::default(),
            explains: false,
            second: None,
            second_counts: SecondCounts::default(),
            suspensions: Suspensions::default(),
        }
    }

    /// The same watcher, confirming nothing by machine without a second network's agreement.
    #[must_use]
    pub fn with_second(mut self, second: SecondNetwork) -> Self {
        self.second = Some(second);
        self
    }

    /// The same watcher, noting for every verdict how it came about. For recordings: it costs memory for each face.
    #[must_use]
    pub const fn explaining(mut self) -> Self {
        self.explains = true;
        self
    }

    /// Takes back what was open at the last stop. See [`AlertMachine::restore`].
    pub fn restore(&mut self, now: Now, alerts: impl IntoIterator<Item = (AlertRecord, u32)>) -> Vec<Action> {
        journal(self.alerts.restore(now, alerts))
    }

    /// One analysed frame.
    pub fn on_faces(&mut self, now: Now, frame: &FrameFaces) -> Vec<Action> {
        let mut actions = Vec::new();
        // Cameras' eyes see to hours and zones before a face is embedded; here it is asked once more, by the policy in force.
        let open = self.policy.is_open(&frame.camera, frame.stamp.wall);
        for face in frame.faces.iter().filter(|_| open) {
            let admitted = self.policy.admits(&frame.camera, &face.face, frame.frame_px);
            self.on_face(now, (&frame.camera, frame.stamp), face, admitted, &mut actions);
        }
        for track in &frame.ended {
            actions.extend(self.end_track(&(frame.camera.clone(), *track)));
        }
        actions
    }

    /// Time passes. To be called at least once a second.
    pub fn on_tick(&mut self, now: Now) -> Vec<Action> {
        let mut actions = journal(self.alerts.tick(now, self.policy.visit_gap));
        let expires = self.policy.track_expires;
        let stale = self.tracks.iter().filter(|(_, track)| now.mono.since(track.last.mono) > expires);
        for key in stale.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            actions.extend(self.end_track(&key));
        }
        actions
    }

    /// The camera is gone: its tracks are over.
    pub fn on_camera_lost(&mut self, camera: &CameraId) -> Vec<Action> {
        let keys: Vec<_> = self.tracks.keys().filter(|(at, _)| at == camera).cloned().collect();
        keys.iter().filter_map(|key| self.end_track(key)).collect()
    }

    /// The gallery changed. Alerts of people who are no longer in it end.
    pub fn on_gallery(&mut self, now: Now, gallery: Arc<Gallery>) -> Vec<Action> {
        self.gallery = gallery;
        let gallery = Arc::clone(&self.gallery);
        journal(self.alerts.people_removed(now, |person| gallery.contains(person)))
    }

    /// The configuration was reloaded. The standing is not part of it and stays.
    pub fn on_policy(&mut self, policy: Policy) {
        self.policy = Policy { standing: self.policy.standing, ..policy };
    }

    /// The calibration became stale, or is no longer.
    pub const fn on_standing(&mut self, standing: Standing) {
        self.policy.standing = standing;
    }

    /// Another calibration is in force, for tracks in flight too. Looks at strangers under the old one are dropped.
    pub fn on_calibration(&mut self, calibration: Arc<Calibration>) {
        self.calibration = calibration;
        self.tracks.values_mut().for_each(|track| track.samples.clear());
    }

    /// What was counted since the last time.
    pub fn take_counted(&mut self) -> Batch {
        std::mem::take(&mut self.counted)
    }

    /// The calibration in force.
    #[must_use]
    pub const fn calibration(&self) -> &Arc<Calibration> {
        &self.calibration
    }

    /// The policy in force, with its standing.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// A person voted.
    ///
    /// # Errors
    /// [`VoteRefused`], with the reason in words.
    pub fn on_vote(&mut self, now: Now, alert: &AlertId, ballot: &Ballot) -> Result<Vec<Action>, VoteRefused> {
        let event = self.alerts.vote(now, alert, ballot)?;
        let rejected = match event.after.stage {
            Stage::Confirmed => false,
            Stage::Rejected => true,
            Stage::Candidate | Stage::MachineConfirmed | Stage::Expired | Stage::Withdrawn => {
                return Ok(journal([event]));
            }
        };
        self.counted.confirmed += u64::from(!rejected);
        self.counted.rejected += u64::from(rejected);
        let (person, camera) = (event.after.person.clone(), event.after.camera.clone());
        let borne = self.policy.suspend_rejected;
        let new = self.suspensions.decided(now.wall, &person, &camera, rejected, borne);
        Ok(journal([event]).into_iter().chain(new.into_iter().map(Action::Suspended)).collect())
    }

    /// Open alerts.
    pub fn open_alerts(&self) -> impl Iterator<Item = &AlertRecord> {
        self.alerts.all_open()
    }

    /// Tracks in flight.
    pub fn live_tracks(&self) -> impl Iterator<Item = LiveTrack> + '_ {
        self.tracks.iter().map(|((camera, track), state)| LiveTrack {
            camera: camera.clone(),
            track: *track,
            inter_eye_px: state.latest_px,
            frames_used: state.primary.used() + state.accused.as_ref().map_or(0, |accused| accused.secondary.used()),
            alerting: state.accused.is_some(),
        })
    }

    /// The gallery in force.
    #[must_use]
    pub const fn gallery(&self) -> &Arc<Gallery> {
        &self.gallery
    }

    /// Tracks that got their verdict early because there were too many, and candidates refused for the same reason.
    #[must_use]
    pub const fn overflow_total(&self) -> u64 {
        self.overflow_total + self.alerts.refused_total()
    }

    fn on_face(
        &mut self,
        now: Now,
        (camera, stamp): (&CameraId, FrameStamp),
        face: &TrackedFace,
        admitted: bool,
        out: &mut Vec<Action>,
    ) {
        let key = (camera.clone(), face.track);
        if !self.tracks.contains_key(&key) && self.tracks.len() >= TRACKS_MAX {
            self.overflow_total += 1;
            let oldest = self.tracks.iter().min_by_key(|(_, track)| track.last.mono).map(|(key, _)| key.clone());
            out.extend(oldest.and_then(|key| self.end_track(&key)));
        }
        let explains = self.explains;
        let track = self.tracks.entry(key.clone()).or_insert_with(|| Track::begin(stamp, explains));
        track.note(stamp, &face.quality);
        let embedding = if admitted { face.embedding.as_ref() } else { Err(&Unfit::OutsideZone) };
        let fate = match (embedding, &mut track.accused) {
            (Err(why), accused) => {
                accused.as_mut().map_or(&mut track.primary, |accused| &mut accused.secondary).leave_out(*why);
                Fate::LeftOut(*why)
            }
            (Ok(embedding), None) => self.on_primary(now, &key, embedding, face, out),
            (Ok(embedding), Some(_)) => self.on_secondary(now, &key, embedding, face, out),
        };
        if let Some(told) = self.tracks.get_mut(&key).and_then(|track| track.told.as_mut()) {
            told.note_face(stamp, face.quality, fate);
        }
        if let Some(accused) = self.tracks.get(&key).and_then(|track| track.accused.as_ref()) {
            self.alerts.seen(stamp.mono, camera, &accused.person);
        }
    }

    fn on_primary(
        &mut self,
        now: Now,
        key: &Key,
        embedding: &Embedding,
        face: &TrackedFace,
        out: &mut Vec<Action>,
    ) -> Fate {
        let bench = Bench { gallery: &self.gallery, calibration: &self.calibration, policy: &self.policy };
        let Some(track) = self.tracks.get_mut(key) else { return Fate::Settled };
        let stamp = track.last;
        track.first_usable.get_or_insert(stamp.mono);
        let offered = track.primary.offer(stamp.mono, embedding, &face.quality, self.policy.min_interval);
        if offered == Offered::Used {
            track.best.offer(face.picture.as_ref(), self.policy.second.frames);
        }
        let fate = Fate::of(offered, Fate::Used);
        if offered != Offered::Used || !due(&self.policy.looks, &mut track.looks_done, track.primary.used()) {
            return fate;
        }
        let lists = self.policy.lists_now(&key.0, now.wall);
        let judged = bench.judge(&track.primary, &lists, self.policy.looks.len());
        note_look(&mut track.told, LookAt::Candidate, stamp, &track.primary, &judged);
        track.last_judgement = Some(judged.outcome.clone());
        if self.policy.counts_strangers {
            let sample = bench.sample(&track.primary, &lists, &judged, key.1.0);
            // Two looks may share a row; a row counts each track once.
            let new = sample.filter(|sample| track.samples.iter().all(|other| other.row != sample.row));
            track.samples.extend(new);
        }
        let Judgement { outcome: Outcome::Identified { person, evidence }, best: Some((member, _)), .. } = judged
        else {
            return fate;
        };
        let delay = track.first_usable.map_or(Duration::ZERO, |first| stamp.mono.since(first));
        track.accused = Some(Accused {
            person: person.clone(),
            list: member.list.clone(),
            evidence: evidence.clone(),
            since: stamp,
            secondary: Fusion::default(),
            looks_done: 0,
            settled: false,
            best: BestPictures::default(),
        });
        if self.policy.mode_of(&key.0) == Mode::Shadow {
            return fate;
        }
        let already = self.alerts.open(&key.0, &person).is_some_and(|open| open.track != key.1);
        if already {
            out.extend(self.confirm(now, key, &member, evidence));
            return fate;
        }
        let raised = self.raise(now, key, &member, evidence);
        if !raised.is_empty() {
            out.extend(raised);
            out.push(Action::CandidateDelay(key.0.clone(), delay));
        }
        fate
    }

    fn on_secondary(
        &mut self,
        now: Now,
        key: &Key,
        embedding: &Embedding,
        face: &TrackedFace,
        out: &mut Vec<Action>,
    ) -> Fate {
        let bench = Bench { gallery: &self.gallery, calibration: &self.calibration, policy: &self.policy };
        let Some(track) = self.tracks.get_mut(key) else { return Fate::Settled };
        let stamp = track.last;
        let Some(accused) = track.accused.as_mut().filter(|accused| !accused.settled) else { return Fate::Settled };
        // The frame right after the candidate's last one is disjoint only when it is as far away as any other two.
        if stamp.mono.since(accused.since.mono) < self.policy.min_interval {
            accused.secondary.leave_out(Unfit::TooSoon);
            return Fate::LeftOut(Unfit::TooSoon);
        }
        let offered = accused.secondary.offer(stamp.mono, embedding, &face.quality, self.policy.min_interval);
        if offered == Offered::Used {
            accused.best.offer(face.picture.as_ref(), self.policy.second.frames);
        }
        let fate = Fate::of(offered, Fate::UsedToConfirm);
        if offered != Offered::Used
            || !due(&self.policy.confirm_looks, &mut accused.looks_done, accused.secondary.used())
        {
            return fate;
        }
        let lists = self.policy.lists_now(&key.0, now.wall);
        let judged = bench.judge(&accused.secondary, &lists, self.policy.confirm_looks.len());
        note_look(&mut track.told, LookAt::Confirmation, stamp, &accused.secondary, &judged);
        let member = Member { person: accused.person.clone(), list: accused.list.clone() };
        match judged {
            Judgement { outcome: Outcome::Identified { person, evidence }, .. } if person == member.person => {
                // With a second network the track goes on gathering, in case it is asked again.
                accused.settled = self.second.is_none();
                out.extend(self.confirm(now, key, &member, evidence));
            }
            Judgement { outcome: Outcome::Identified { .. } | Outcome::NotEnrolled, .. } => {
                accused.settled = true;
                track.last_judgement = Some(Outcome::NotDecidable(Undecidable::Ambiguous));
                out.extend(journal(self.alerts.turned(now, &key.0, &member.person)));
            }
            Judgement { best: Some((best, evidence)), .. }
                if best.person != member.person || f64::from(evidence.llr) <= self.policy.withdraw_llr_max =>
            {
                accused.settled = true;
                track.last_judgement = Some(Outcome::NotDecidable(Undecidable::Ambiguous));
                out.extend(journal(self.alerts.turned(now, &key.0, &member.person)));
            }
            Judgement { .. } => {}
        }
        fate
    }

    fn end_track(&mut self, key: &Key) -> Option<Action> {
        let mut track = self.tracks.remove(key)?;
        let bench = Bench { gallery: &self.gallery, calibration: &self.calibration, policy: &self.policy };
        let lists = self.policy.lists_now(&key.0, track.last.wall);
        let judged = !track.samples.is_empty();
        let candidate = track.accused.is_some();
        let samples = std::mem::take(&mut track.samples);
        let mut verdict = track.verdict(key, &bench, &lists);
        // Identified, or accused and then cleared: somebody enrolled more likely than not, so no stranger.
        if candidate || judged {
            let traffic = self.counted.traffic.entry(key.0.clone()).or_default();
            traffic.candidates += u64::from(candidate);
            traffic.strangers += u64::from(!candidate);
        }
        if !candidate {
            samples.iter().for_each(|sample| self.counted.rows.entry(sample.row).or_default().add(sample));
        }
        if self.policy.mode_of(&key.0) == Mode::Shadow && matches!(verdict.outcome, Outcome::Identified { .. }) {
            verdict.outcome = Outcome::NotDecidable(Undecidable::ShadowMode);
        }
        Some(Action::Verdict(Box::new(verdict)))
    }
}

fn journal(events: impl IntoIterator<Item = AlertEvent>) -> Vec<Action> {
    events.into_iter().map(|event| Action::Journal(Box::new(event))).collect()
}

/// Whether `used` frames have reached the next look; passes it when so.
fn due(looks: &[u32], done: &mut usize, used: u32) -> bool {
    let reached = looks.get(*done).is_some_and(|look| used >= *look);
    *done += usize::from(reached);
    reached
}

#[cfg(test)]
#[path = "watcher_tests.rs"]
pub(crate) mod tests;

#[cfg(test)]
#[path = "watcher_shadow_tests.rs"]
mod shadow_tests;
