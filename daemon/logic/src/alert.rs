//! The two-stage alert machine.
//!
//! ```text
//! Quiet -> Candidate -> MachineConfirmed -> Confirmed      (policy asks nobody, or enough distinct people agree)
//!              |               |       \--> Rejected       (enough distinct people say no)
//!              |               \----------> Expired        (nobody voted in time)
//!              \-> Withdrawn                               (evidence turned, the second network spoke against it, or
//!                                                           nothing independent came in time)
//! ```
//!
//! Where a second network is configured, disjoint frames alone do not confirm: they are kept with the open candidate
//! ([`AlertMachine::await_second`]) until the second network has agreed as well.
//!
//! At most one open alert per person and camera. After a final stage other than `Withdrawn` the person has to leave
//! (unseen for the visit gap), and the list's cool-down has to pass, before another alert can open. A person's verdict is never undone by a machine: final
//! stages have no way out. The person being removed from the gallery ends an open alert as `Withdrawn` or `Expired`.

use crate::id::{CameraId, ERASED_PREFIX, ListId, PersonId, TrackId};
use crate::policy::ListPolicy;
use crate::record::{
    AlertEvent, AlertId, AlertRecord, Cause, EvidenceRecord, REASON_CHARS_MAX, SecondOpinion, Stage, Verdict, Vote,
};
use crate::second::SecondSaid;
use crate::time::{Mono, Now, WallMs};
use std::collections::BTreeMap;
use std::time::Duration;

/// Open alerts at the most. A site has some dozens; thousands mean that something is wrong, and the machine must not
/// grow without bound while a person finds out what.
pub const OPEN_MAX: usize = 4096;

type Key = (CameraId, PersonId);

/// All open alerts and recent visits.
#[derive(Debug)]
pub struct AlertMachine {
    run: u32,
    next: u64,
    open: BTreeMap<Key, Open>,
    visits: BTreeMap<Key, Visit>,
    refused_total: u64,
}

#[derive(Debug)]
struct Open {
    record: AlertRecord,
    sequence: u32,
    deadline: Mono,
    /// Evidence of disjoint frames that waits for the second network.
    independent: Option<EvidenceRecord>,
    /// What the second network said last; told with the next event.
    opinion: Option<SecondOpinion>,
    /// How long the next alert for the same person and camera waits once this one has ended.
    cool_down: Duration,
}

#[derive(Debug)]
struct Visit {
    last_seen: Mono,
    settled: bool,
    /// No alert before this.
    cool_until: Mono,
}

impl Visit {
    const fn begun(at: Mono) -> Self {
        Self { last_seen: at, settled: false, cool_until: Mono::from_nanos(0) }
    }
}

/// What happens to an open alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Independent,
    PolicyAsksNobody,
    Turned,
    SecondAgainst,
    Deadline,
    DeadlineUnseconded,
    VotesToConfirm,
    VotesToReject,
    PersonRemoved,
    Restarted,
}

/// Every transition there is; anything else leaves the stage alone.
const fn step(stage: Stage, input: Input) -> Option<(Stage, Cause)> {
    match (stage, input) {
        (Stage::Candidate, Input::Independent) => Some((Stage::MachineConfirmed, Cause::IndependentEvidence)),
        (Stage::Candidate, Input::Turned) => Some((Stage::Withdrawn, Cause::EvidenceTurned)),
        (Stage::Candidate, Input::SecondAgainst) => Some((Stage::Withdrawn, Cause::SecondDisagrees)),
        (Stage::Candidate, Input::DeadlineUnseconded) => Some((Stage::Withdrawn, Cause::NoSecondOpinion)),
        (Stage::Candidate, Input::Deadline) => Some((Stage::Withdrawn, Cause::NoIndependentEvidence)),
        (Stage::Candidate, Input::PersonRemoved) => Some((Stage::Withdrawn, Cause::PersonRemoved)),
        (Stage::Candidate, Input::Restarted) => Some((Stage::Withdrawn, Cause::Restarted)),
        (Stage::MachineConfirmed, Input::PolicyAsksNobody) => Some((Stage::Confirmed, Cause::PolicyMachine)),
        (Stage::MachineConfirmed, Input::VotesToConfirm) => Some((Stage::Confirmed, Cause::Vote)),
        (Stage::MachineConfirmed, Input::VotesToReject) => Some((Stage::Rejected, Cause::Vote)),
        (Stage::MachineConfirmed, Input::Deadline) => Some((Stage::Expired, Cause::NoVoteInTime)),
        (Stage::MachineConfirmed, Input::PersonRemoved) => Some((Stage::Expired, Cause::PersonRemoved)),
        _ => None,
    }
}

/// Why a vote does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteRefused {
    /// No such open alert.
    #[error("there is no open alert {0}; it may have ended, see `sekisho alerts show {0}`")]
    NotOpen(AlertId),
    /// The machine itself is not sure yet.
    #[error("alert {0} is still a candidate; votes are taken once independent frames have confirmed it")]
    StillCandidate(AlertId),
    /// One person, one vote.
    #[error("{reviewer} has already voted on alert {alert}; a vote cannot be changed")]
    Twice {
        /// The alert.
        alert: AlertId,
        /// The reviewer.
        reviewer: String,
    },
    /// An absurd number of votes.
    #[error("alert {0} has 64 votes already; no more are taken")]
    TooMany(AlertId),
}

/// What one person says on one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ballot {
    /// Who, as the daemon authenticated them.
    pub reviewer: String,
    /// What they say.
    pub verdict: Verdict,
    /// Why; cut to [`REASON_CHARS_MAX`] characters, control characters become spaces.
    pub reason: Option<String>,
}

/// Votes on one alert at the most. Nobody has so many reviewers; an alert must not grow without bound all the same.
const VOTES_MAX: usize = 64;

fn plain_reason(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_CHARS_MAX);
    plain.collect::<String>().trim().to_owned()
}

/// Whether enough distinct people say `verdict`, and not only the one who enrolled the person.
fn decided(record: &AlertRecord, verdict: Verdict) -> bool {
    let voters = || record.votes.iter().filter(|vote| vote.verdict == verdict);
    let needed = usize::try_from(record.votes_required.max(1)).unwrap_or(usize::MAX);
    voters().count() >= needed && voters().any(|vote| Some(&vote.reviewer) != record.enrolled_by.as_ref())
}

/// What a new candidate is about.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Where.
    pub camera: CameraId,
    /// Who it may be.
    pub person: PersonId,
    /// Under which policy.
    pub list: ListId,
    /// The track behind it.
    pub track: TrackId,
    /// Who enrolled the person, where that is known.
    pub enrolled_by: Option<String>,
}

impl Sighting {
    fn key(&self) -> Key {
        (self.camera.clone(), self.person.clone())
    }
}

impl AlertMachine {
    /// A machine without alerts. `run` tells one run of the daemon from the next in alert ids.
    #[must_use]
    pub const fn new(run: u32) -> Self {
        Self { run, next: 1, open: BTreeMap::new(), visits: BTreeMap::new(), refused_total: 0 }
    }

    /// Takes back the alerts that were open when the daemon stopped, each with the number of events it had.
    /// Candidates are withdrawn, for the frames they waited to compare are gone; machine-confirmed ones go on waiting
    /// for people.
    pub fn restore(&mut self, now: Now, alerts: impl IntoIterator<Item = (AlertRecord, u32)>) -> Vec<AlertEvent> {
        let mut events = Vec::new();
        for (record, sequence) in alerts {
            if record.stage.is_final() || self.open.len() >= OPEN_MAX {
                continue;
            }
            let left_ms = record.expires.map_or(0, |expires| expires.0.saturating_sub(now.wall.0).max(0));
            let deadline = now.mono.plus(Duration::from_millis(left_ms.unsigned_abs()));
            let key = (record.camera.clone(), record.person.clone());
            self.visits.insert(key.clone(), Visit::begun(now.mono));
            self.open.insert(
                key.clone(),
                Open { record, sequence, deadline, independent: None, opinion: None, cool_down: Duration::ZERO },
            );
            // Somebody who was erased meanwhile is told by a pseudonym, and cannot be seen again.
            let erased = key.1.as_str().starts_with(ERASED_PREFIX);
            let input = if erased { Input::PersonRemoved } else { Input::Restarted };
            events.extend(self.apply(now, &key, input, |_| ()));
        }
        events
    }

    /// The fused evidence of a track passed the threshold. `None` when an alert is open already, when this visit has
    /// had its alert, or when there are too many (counted).
    pub fn candidate(
        &mut self,
        now: Now,
        sighting: &Sighting,
        policy: &ListPolicy,
        evidence: EvidenceRecord,
        timing: CandidateTiming,
    ) -> Option<AlertEvent> {
        let key = sighting.key();
        let over = self.touch(now.mono, &key, timing.visit_gap);
        if over || self.open.contains_key(&key) {
            return None;
        }
        if self.open.len() >= OPEN_MAX {
            self.refused_total += 1;
            return None;
        }
        let id = AlertId(format!("{}-{:06x}-{}", now.wall.0, self.run & 0x00ff_ffff, self.next));
        self.next += 1;
        let record = AlertRecord {
            id,
            camera: sighting.camera.clone(),
            person: sighting.person.clone(),
            list: sighting.list.clone(),
            purpose: policy.purpose,
            track: sighting.track,
            stage: Stage::Candidate,
            cause: Cause::Evidence,
            opened: now.wall,
            changed: now.wall,
            expires: Some(later(now.wall, timing.expires)),
            votes_required: policy.votes,
            votes: Vec::new(),
            candidate: evidence,
            confirmation: None,
            second: None,
            enrolled_by: sighting.enrolled_by.clone(),
            quiet: timing.quiet,
        };
        let event = AlertEvent { before: None, after: record.clone(), sequence: 1 };
        let deadline = now.mono.plus(timing.expires);
        let cool_down = policy.cool_down;
        self.open.insert(key, Open { record, sequence: 1, deadline, independent: None, opinion: None, cool_down });
        Some(event)
    }

    /// Disjoint later frames agreed. With a list that asks nobody this confirms the alert as well.
    pub fn independent(
        &mut self,
        now: Now,
        camera: &CameraId,
        person: &PersonId,
        policy: &ListPolicy,
        evidence: EvidenceRecord,
    ) -> Vec<AlertEvent> {
        let key = (camera.clone(), person.clone());
        let expires = later(now.wall, policy.vote_expires);
        let mut events = Vec::new();
        events.extend(self.apply(now, &key, Input::Independent, |record| {
            record.confirmation = Some(evidence);
            record.expires = Some(expires);
        }));
        if events.is_empty() {
            return events;
        }
        if let Some(open) = self.open.get_mut(&key) {
            open.deadline = now.mono.plus(policy.vote_expires);
            if open.record.votes_required == 0 {
                events.extend(self.apply(now, &key, Input::PolicyAsksNobody, |_| ()));
            }
        }
        events
    }

    /// Disjoint later frames agreed, and the second network is to be asked: the evidence is kept until it has answered.
    /// Gives the alert to ask about; `None` when there is no such candidate.
    pub fn await_second(
        &mut self,
        now: Now,
        camera: &CameraId,
        person: &PersonId,
        evidence: EvidenceRecord,
    ) -> Option<AlertId> {
        let open = self.open.get_mut(&(camera.clone(), person.clone()))?;
        if open.record.stage != Stage::Candidate || open.deadline <= now.mono {
            return None;
        }
        open.independent = Some(evidence);
        Some(open.record.id.clone())
    }

    /// What the second network was asked about: the candidate and the disjoint frames' evidence. `None` once the alert is no
    /// candidate any more.
    #[must_use]
    pub fn awaiting_second(&self, alert: &AlertId) -> Option<(&AlertRecord, &EvidenceRecord)> {
        let open = self.open.values().find(|open| open.record.id == *alert)?;
        (open.record.stage == Stage::Candidate).then_some((&open.record, open.independent.as_ref()?))
    }

    /// The second network answered. Agreement turns the evidence that waited into a machine-confirmed alert.
    pub fn second(&mut self, now: Now, alert: &AlertId, policy: &ListPolicy, said: SecondSaid) -> Vec<AlertEvent> {
        let Some((record, evidence)) = self.awaiting_second(alert) else { return Vec::new() };
        let (camera, person, evidence) = (record.camera.clone(), record.person.clone(), evidence.clone());
        let key = (camera, person);
        let Some(open) = self.open.get_mut(&key) else { return Vec::new() };
        match said {
            SecondSaid::Agrees(opinion) => {
                open.opinion = Some(opinion);
                self.independent(now, &key.0, &key.1, policy, evidence)
            }
            SecondSaid::Against(opinion) => {
                open.opinion = Some(opinion);
                self.apply(now, &key, Input::SecondAgainst, |_| ()).into_iter().collect()
            }
            SecondSaid::Open(opinion) => {
                open.opinion = opinion.or_else(|| open.opinion.take());
                Vec::new()
            }
        }
    }

    /// Later frames of the candidate's track spoke against it.
    pub fn turned(&mut self, now: Now, camera: &CameraId, person: &PersonId) -> Option<AlertEvent> {
        self.apply(now, &(camera.clone(), person.clone()), Input::Turned, |_| ())
    }

    /// The person is still in view, so the visit goes on.
    pub fn seen(&mut self, at: Mono, camera: &CameraId, person: &PersonId) {
        if let Some(visit) = self.visits.get_mut(&(camera.clone(), person.clone())) {
            visit.last_seen = visit.last_seen.max(at);
        }
    }

    /// A person's say.
    ///
    /// # Errors
    /// [`VoteRefused`]: not open, still a candidate, or the same reviewer again.
    pub fn vote(&mut self, now: Now, alert: &AlertId, ballot: &Ballot) -> Result<AlertEvent, VoteRefused> {
        let found = self.open.iter_mut().find(|(_, open)| open.record.id == *alert);
        let Some((key, open)) = found else { return Err(VoteRefused::NotOpen(alert.clone())) };
        if open.deadline <= now.mono {
            return Err(VoteRefused::NotOpen(alert.clone()));
        }
        if open.record.stage == Stage::Candidate {
            return Err(VoteRefused::StillCandidate(alert.clone()));
        }
        if open.record.votes.iter().any(|vote| vote.reviewer == ballot.reviewer) {
            return Err(VoteRefused::Twice { alert: alert.clone(), reviewer: ballot.reviewer.clone() });
        }
        if open.record.votes.len() >= VOTES_MAX {
            return Err(VoteRefused::TooMany(alert.clone()));
        }
        let (key, before) = (key.clone(), open.record.clone());
        let reason = ballot.reason.as_deref().map(plain_reason).filter(|reason| !reason.is_empty());
        let vote = Vote { reviewer: ballot.reviewer.clone(), verdict: ballot.verdict, reason, wall: now.wall };
        open.record.votes.push(vote);
        let input = if decided(&open.record, Verdict::Confirm) {
            Some(Input::VotesToConfirm)
        } else if decided(&open.record, Verdict::Reject) {
            Some(Input::VotesToReject)
        } else {
            None
        };
        if let Some(mut event) = input.and_then(|input| self.apply(now, &key, input, |_| ())) {
            event.before = Some(before);
            return Ok(event);
        }
        let Some(open) = self.open.get_mut(&key) else { return Err(VoteRefused::NotOpen(alert.clone())) };
        open.sequence += 1;
        open.record.cause = Cause::Vote;
        open.record.changed = now.wall;
        Ok(AlertEvent { before: Some(before), after: open.record.clone(), sequence: open.sequence })
    }

    /// Time passes: deadlines fall due, finished visits are forgotten.
    pub fn tick(&mut self, now: Now, visit_gap: Duration) -> Vec<AlertEvent> {
        let due: Vec<_> =
            self.open.iter().filter(|(_, open)| open.deadline <= now.mono).map(|(k, _)| k.clone()).collect();
        let mut events = Vec::new();
        for key in &due {
            let waits = self.open.get(key).is_some_and(|open| open.independent.is_some());
            // A machine-confirmed alert knows one deadline only.
            let input = match self.open.get(key).map(|open| open.record.stage) {
                Some(Stage::Candidate) if waits => Input::DeadlineUnseconded,
                _ => Input::Deadline,
            };
            events.extend(self.apply(now, key, input, |_| ()));
        }
        let open = &self.open;
        self.visits.retain(|key, visit| {
            open.contains_key(key) || now.mono.since(visit.last_seen) < visit_gap || now.mono < visit.cool_until
        });
        events
    }

    /// Ends the open alerts of everybody whom `still_enrolled` does not know.
    pub fn people_removed(&mut self, now: Now, still_enrolled: impl Fn(&PersonId) -> bool) -> Vec<AlertEvent> {
        let gone: Vec<_> = self.open.keys().filter(|(_, person)| !still_enrolled(person)).cloned().collect();
        gone.iter().filter_map(|key| self.apply(now, key, Input::PersonRemoved, |_| ())).collect()
    }

    /// The open alert of a person on a camera.
    #[must_use]
    pub fn open(&self, camera: &CameraId, person: &PersonId) -> Option<&AlertRecord> {
        self.open.get(&(camera.clone(), person.clone())).map(|open| &open.record)
    }

    /// All open alerts.
    pub fn all_open(&self) -> impl Iterator<Item = &AlertRecord> {
        self.open.values().map(|open| &open.record)
    }

    /// Candidates refused because [`OPEN_MAX`] were open.
    #[must_use]
    pub const fn refused_total(&self) -> u64 {
        self.refused_total
    }

    /// Notes a sighting; tells whether this visit has had its alert or the last one's cool-down is not over.
    fn touch(&mut self, at: Mono, key: &Key, visit_gap: Duration) -> bool {
        let visit = self.visits.entry(key.clone()).or_insert(Visit::begun(at));
        if at.since(visit.last_seen) >= visit_gap && !self.open.contains_key(key) {
            visit.settled = false;
        }
        visit.last_seen = visit.last_seen.max(at);
        visit.settled || at < visit.cool_until
    }

    fn apply(&mut self, now: Now, key: &Key, input: Input, edit: impl FnOnce(&mut AlertRecord)) -> Option<AlertEvent> {
        let open = self.open.get_mut(key)?;
        // What is due is over, even when the tick that will say so has not come yet.
        if input == Input::Independent && open.deadline <= now.mono {
            return None;
        }
        let (stage, cause) = step(open.record.stage, input)?;
        let before = open.record.clone();
        edit(&mut open.record);
        open.record.second = open.opinion.take().or_else(|| open.record.second.take());
        open.record.stage = stage;
        open.record.cause = cause;
        open.record.changed = now.wall;
        open.sequence += 1;
        if stage.is_final() {
            open.record.expires = None;
        }
        let event = AlertEvent { before: Some(before), after: open.record.clone(), sequence: open.sequence };
        if stage.is_final() {
            let cool_down = open.cool_down;
            self.open.remove(key);
            if let Some(visit) = self.visits.get_mut(key)
                && stage != Stage::Withdrawn
            {
                visit.settled = true;
                visit.cool_until = now.mono.plus(cool_down);
            }
        }
        Some(event)
    }
}

/// What of the policy a new candidate needs besides its list.
#[derive(Clone, Copy, Debug)]
pub struct CandidateTiming {
    /// How long it waits for independent evidence.
    pub expires: Duration,
    /// How long somebody must be unseen to have left.
    pub visit_gap: Duration,
    /// Whether the list keeps quiet at this hour.
    pub quiet: bool,
}

fn later(wall: WallMs, by: Duration) -> WallMs {
    WallMs(wall.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
#[path = "alert_tests.rs"]
mod tests;
