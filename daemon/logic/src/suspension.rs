//! People and cameras whose alerts are rejected too often are suspended: no new alerts, a notice, until somebody lifts it.
//!
//! A person with a look-alike among the passers-by, or a camera that was turned into the sun, costs the reviewers' trust in
//! every other alert. Each has a control chart of its own ([`Cusum`]) over what people decided.

use crate::calibrate::chart::Cusum;
use crate::id::{CameraId, PersonId};
use crate::time::WallMs;
use std::collections::BTreeMap;

/// Charts kept at the most; beyond it the longest untouched one is forgotten. A hundred thousand people, most of whom are
/// never voted on, fit.
const CHARTS_MAX: usize = 20_000;

/// Whose alerts are held back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// A person, at every camera.
    Person(PersonId),
    /// A camera, for every person.
    Camera(CameraId),
}

impl Subject {
    /// `person` or `camera`, as stored and sent.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Person(_) => "person",
            Self::Camera(_) => "camera",
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Person(person) => person.as_str(),
            Self::Camera(camera) => camera.as_str(),
        }
    }

    /// From [`kind`](Self::kind) and [`id`](Self::id); `None` when that is no subject.
    #[must_use]
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "person" => PersonId::try_new(id).ok().map(Self::Person),
            "camera" => CameraId::try_new(id).ok().map(Self::Camera),
            _ => None,
        }
    }
}

/// One suspension, with the figures that led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspension {
    /// Whose alerts are held back.
    pub subject: Subject,
    /// Since when.
    pub since: WallMs,
    /// Rejected alerts since the chart began.
    pub rejected: u32,
    /// Alerts that people decided since then.
    pub decided: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Chart {
    cusum: Cusum,
    rejected: u32,
    decided: u32,
    touched: u64,
}

/// All charts and what is suspended.
#[derive(Debug, Default)]
pub struct Suspensions {
    charts: BTreeMap<Subject, Chart>,
    suspended: BTreeMap<Subject, Suspension>,
    turn: u64,
    held_back_total: u64,
}

impl Suspensions {
    /// Takes back what was suspended when the daemon stopped.
    pub fn restore(&mut self, suspended: impl IntoIterator<Item = Suspension>) {
        self.suspended.extend(suspended.into_iter().map(|one| (one.subject.clone(), one)));
    }

    /// People decided on an alert. Gives what is suspended by it; at most a person and a camera.
    pub fn decided(
        &mut self,
        at: WallMs,
        person: &PersonId,
        camera: &CameraId,
        rejected: bool,
        borne: f64,
    ) -> Vec<Suspension> {
        let subjects = [Subject::Person(person.clone()), Subject::Camera(camera.clone())];
        let mut new = Vec::new();
        for subject in subjects {
            self.turn += 1;
            let chart = self.charts.entry(subject.clone()).or_default();
            chart.touched = self.turn;
            chart.decided = chart.decided.saturating_add(1);
            chart.rejected = chart.rejected.saturating_add(u32::from(rejected));
            let signals = chart.cusum.take(rejected, borne);
            if signals && !self.suspended.contains_key(&subject) {
                let (rejected, decided) = (chart.rejected, chart.decided);
                let one = Suspension { subject: subject.clone(), since: at, rejected, decided };
                self.charts.remove(&subject);
                self.suspended.insert(subject, one.clone());
                new.push(one);
            }
        }
        while self.charts.len() > CHARTS_MAX {
            let oldest = self.charts.iter().min_by_key(|(_, chart)| chart.touched).map(|(subject, _)| subject.clone());
            oldest.and_then(|subject| self.charts.remove(&subject));
        }
        new
    }

    /// Somebody lifted a suspension; its chart begins anew. False when there was none.
    pub fn lift(&mut self, subject: &Subject) -> bool {
        self.charts.remove(subject);
        self.suspended.remove(subject).is_some()
    }

    /// Whether an alert about `person` at `camera` is held back; counted when so.
    pub fn holds_back(&mut self, person: &PersonId, camera: &CameraId) -> bool {
        let held = self.suspended.contains_key(&Subject::Person(person.clone()))
            || self.suspended.contains_key(&Subject::Camera(camera.clone()));
        self.held_back_total += u64::from(held);
        held
    }

    /// What is suspended.
    pub fn iter(&self) -> impl Iterator<Item = &Suspension> {
        self.suspended.values()
    }

    /// Candidates held back.
    #[must_use]
    pub const fn held_back_total(&self) -> u64 {
        self.held_back_total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> (PersonId, CameraId, CameraId) {
        let camera = |name| CameraId::try_new(name).expect("name");
        (PersonId::try_new("ann").expect("name"), camera("gate"), camera("yard"))
    }

    #[test]
    fn a_person_rejected_again_and_again_is_suspended_everywhere_until_it_is_lifted() {
        let (ann, gate, yard) = ids();
        let mut all = Suspensions::default();
        let at = WallMs(5);
        let new: Vec<_> = (0..20).flat_map(|_| all.decided(at, &ann, &gate, true, 0.2)).collect();
        assert_eq!(new.len(), 2, "the person and the only camera that showed them");
        let person = &new[0];
        assert_eq!((person.subject.kind(), person.subject.id()), ("person", "ann"));
        assert!((3..=12).contains(&person.rejected) && person.rejected == person.decided, "{person:?}");
        assert!(all.holds_back(&ann, &yard));
        assert_eq!(all.held_back_total(), 1);
        assert!(all.lift(&Subject::Person(ann.clone())) && !all.lift(&Subject::Person(ann.clone())));
        assert!(!all.holds_back(&ann, &yard) && all.holds_back(&ann, &gate), "the camera's stays");
        assert!(all.decided(at, &ann, &yard, true, 0.2).is_empty(), "its chart begins anew");
    }

    #[test]
    fn rejections_that_are_borne_suspend_nobody() {
        let (ann, gate, _) = ids();
        let mut all = Suspensions::default();
        for nth in 0..200 {
            assert!(all.decided(WallMs(5), &ann, &gate, nth % 6 == 0, 0.2).is_empty(), "decision {nth}");
        }
    }

    #[test]
    fn charts_of_ever_new_people_and_cameras_stay_bounded() {
        let mut all = Suspensions::default();
        for nth in 0..CHARTS_MAX {
            let person = PersonId::try_new(&format!("p-{nth}")).expect("name");
            let camera = CameraId::try_new(&format!("c-{}", nth.min(CHARTS_MAX / 2 + 40))).expect("name");
            all.decided(WallMs(5), &person, &camera, false, 0.2);
            if nth > CHARTS_MAX / 2 + 40 {
                break;
            }
        }
        assert_eq!(all.charts.len(), CHARTS_MAX);
    }

    #[test]
    fn a_subject_reads_back() {
        let (ann, gate, _) = ids();
        for subject in [Subject::Person(ann), Subject::Camera(gate)] {
            assert_eq!(Subject::parse(subject.kind(), subject.id()), Some(subject));
        }
        assert_eq!(Subject::parse("list", "staff"), None);
    }
}
