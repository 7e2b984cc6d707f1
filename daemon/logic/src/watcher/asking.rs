//! From a track's evidence to the alert machine, with the second network between them.

use super::track::{BestPictures, Key};
use super::{Action, AlertPictures, Watcher, journal};
use crate::alert::{CandidateTiming, Sighting};
use crate::gallery::{Gallery, Member};
use crate::outcome::{Outcome, Undecidable};
use crate::picture::FacePicture;
use crate::policy::Mode;
use crate::record::{AlertId, EvidenceRecord, Stage};
use crate::second::{SecondAnswer, SecondCounts, SecondSaid};
use crate::suspension::{Subject, Suspension};
use crate::time::Now;
use std::sync::Arc;

impl Watcher {
    /// The second network's answer about the pictures it was shown.
    pub fn on_second(&mut self, now: Now, alert: &AlertId, answer: &SecondAnswer) -> Vec<Action> {
        let Some(second) = &self.second else { return Vec::new() };
        let counts = &mut self.second_counts;
        let Some((record, evidence)) = self.alerts.awaiting_second(alert) else {
            counts.late += 1;
            return Vec::new();
        };
        let lists = self.policy.lists_now(&record.camera, now.wall);
        let said = second.judge(answer, &record.person, &lists, evidence.llr, &self.policy.second);
        match (answer, &said) {
            (SecondAnswer::Silent(_), _) => counts.silent += 1,
            (_, SecondSaid::Agrees(_)) => counts.agreed += 1,
            (_, SecondSaid::Against(_)) => counts.against += 1,
            (_, SecondSaid::Open(_)) => counts.open += 1,
        }
        let (camera, person) = (record.camera.clone(), record.person.clone());
        let Some(policy) = self.policy.list_at(&record.list, &record.camera) else { return Vec::new() };
        let events = self.alerts.second(now, alert, policy, said);
        let withdrawn = events.last().is_some_and(|event| event.after.stage == Stage::Withdrawn);
        // The alert may rest on several tracks of the person; none of them is asked about again.
        let tracks = self.tracks.iter_mut().filter(|((at, _), _)| !events.is_empty() && *at == camera);
        for track in tracks.map(|(_, track)| track) {
            let Some(accused) = track.accused.as_mut().filter(|accused| accused.person == person) else { continue };
            accused.settled = true;
            if withdrawn {
                track.last_judgement = Some(Outcome::NotDecidable(Undecidable::Ambiguous));
            }
        }
        journal(events)
    }

    /// The second network's gallery changed.
    pub fn on_second_gallery(&mut self, gallery: Arc<Gallery>) {
        if let Some(second) = &mut self.second {
            second.gallery = gallery;
        }
    }

    /// What became of the second network's answers so far; `None` without one.
    #[must_use]
    pub fn second_counts(&self) -> Option<SecondCounts> {
        self.second.is_some().then_some(self.second_counts)
    }

    /// People enrolled with the second network; `None` without one.
    #[must_use]
    pub fn second_gallery(&self) -> Option<&Arc<Gallery>> {
        self.second.as_ref().map(|second| &second.gallery)
    }

    /// Takes back what was suspended when the daemon stopped.
    pub fn restore_suspensions(&mut self, suspended: impl IntoIterator<Item = Suspension>) {
        self.suspensions.restore(suspended);
    }

    /// Somebody lifted a suspension. False when there was none.
    pub fn lift(&mut self, subject: &Subject) -> bool {
        self.suspensions.lift(subject)
    }

    /// What is suspended.
    pub fn suspensions(&self) -> impl Iterator<Item = &Suspension> {
        self.suspensions.iter()
    }

    /// Candidates held back because their person or camera is suspended.
    #[must_use]
    pub const fn held_back_total(&self) -> u64 {
        self.suspensions.held_back_total()
    }

    pub(super) fn raise(&mut self, now: Now, key: &Key, member: &Member, evidence: EvidenceRecord) -> Vec<Action> {
        let Some(policy) = self.policy.list_at(&member.list, &key.0) else { return Vec::new() };
        if self.suspensions.holds_back(&member.person, &key.0) {
            return Vec::new();
        }
        let sighting = Sighting {
            camera: key.0.clone(),
            person: member.person.clone(),
            list: member.list.clone(),
            track: key.1,
            enrolled_by: self.gallery.enrolled_by(&member.person).map(str::to_owned),
        };
        let timing = CandidateTiming {
            expires: self.policy.candidate_expires,
            visit_gap: self.policy.visit_gap,
            quiet: policy.quiet.contains(self.policy.zone.local(now.wall)),
        };
        let Some(event) = self.alerts.candidate(now, &sighting, policy, evidence, timing) else { return Vec::new() };
        let shown = self.evidence(&event.after.id, key);
        journal([event]).into_iter().chain(shown).collect()
    }

    /// Disjoint frames agreed: asks the second network, or confirms where there is none.
    pub(super) fn confirm(&mut self, now: Now, key: &Key, member: &Member, evidence: EvidenceRecord) -> Vec<Action> {
        if !self.policy.standing.confirms || self.policy.mode_of(&key.0) == Mode::Shadow {
            return Vec::new();
        }
        let Some(policy) = self.policy.list_at(&member.list, &key.0) else { return Vec::new() };
        let Some(open) = self.alerts.open(&key.0, &member.person).filter(|open| open.stage == Stage::Candidate) else {
            return Vec::new();
        };
        let alert = open.id.clone();
        if self.second.is_none() {
            let events = self.alerts.independent(now, &key.0, &member.person, policy, evidence);
            let shown = self.evidence(&alert, key);
            return journal(events).into_iter().chain(shown).collect();
        }
        let Some(alert) = self.alerts.await_second(now, &key.0, &member.person, evidence) else { return Vec::new() };
        let pictures = self.pictures(key);
        if pictures.is_empty() {
            // Nothing to show: the question stays open, and ends with the candidate's time.
            return Vec::new();
        }
        self.second_counts.asked += 1;
        let look =
            AlertPictures { alert: alert.clone(), person: member.person.clone(), camera: key.0.clone(), pictures };
        self.evidence(&alert, key).into_iter().chain([Action::AskSecond(Box::new(look))]).collect()
    }

    /// The track's best pictures, for the people who review the alert.
    fn evidence(&self, alert: &AlertId, key: &Key) -> Option<Action> {
        let pictures = self.pictures(key);
        let person = self.tracks.get(key)?.accused.as_ref()?.person.clone();
        let look = AlertPictures { alert: alert.clone(), person, camera: key.0.clone(), pictures };
        (!look.pictures.is_empty()).then(|| Action::Evidence(Box::new(look)))
    }

    fn pictures(&self, key: &Key) -> Vec<Arc<FacePicture>> {
        let Some(track) = self.tracks.get(key) else { return Vec::new() };
        let accused = track.accused.as_ref().map(|accused| &accused.best);
        let all: Vec<&BestPictures> = std::iter::once(&track.best).chain(accused).collect();
        BestPictures::of(&all, self.policy.second.frames)
    }
}

#[cfg(test)]
#[path = "asking_tests.rs"]
mod tests;
