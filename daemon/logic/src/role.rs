//! Who may do what: one table for the socket, the review page and the command line.
//!
//! The duties are separate on purpose. Whoever enrols people and looks after cameras (admin) does not hand out or destroy
//! somebody's data, and whoever answers for the data (the data-protection officer) neither enrols nor decides alerts. A vote
//! of the enroller decides nothing alone; the alert machine holds to that, whatever somebody's role is.

/// What somebody is to this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at status and alerts, without faces.
    Viewer,
    /// Looks at faces and votes.
    Reviewer,
    /// Looks after cameras, people and reviewers; votes.
    Admin,
    /// The data-protection officer.
    Dpo,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Reviewer, Self::Admin, Self::Dpo];

    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Admin => "admin",
            Self::Dpo => "dpo",
        }
    }

    /// The key of `[daemon]` that names the groups with this role.
    #[must_use]
    pub const fn groups_key(self) -> &'static str {
        match self {
            Self::Viewer => "view-groups",
            Self::Reviewer => "review-groups",
            Self::Admin => "admin-groups",
            Self::Dpo => "dpo-groups",
        }
    }
}

/// The roles of one person. Somebody may have several; they may do what any of them may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub const fn and(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u8)
    }

    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether one of them permits this.
    #[must_use]
    pub fn may(self, action: Action) -> bool {
        permitted(action).iter().any(|role| self.has(*role))
    }

    /// Their words, for messages.
    #[must_use]
    pub fn words(self) -> String {
        let words: Vec<_> = Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::as_str).collect();
        if words.is_empty() { "no role".into() } else { words.join(" and ") }
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self::NONE.and(role)
    }
}

/// Something that can be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Status, cameras, alerts and history, without faces.
    Look,
    /// The faces of an alert and the enrolled face beside them.
    SeeFaces,
    /// Vote on an alert.
    Vote,
    /// Lift a suspension.
    LiftSuspension,
    /// Try again what was given up for a sink.
    Requeue,
    /// Open the review page in a reviewer's name.
    ActAsReviewer,
    /// Who may log in to the review page.
    ManageReviewers,
    /// Put people into the gallery, and make their templates anew.
    Enrol,
    /// Record or renew grounds.
    RecordGrounds,
    /// Take a person out of matching because they withdrew.
    Withdraw,
    /// Keep a person without matching them.
    Restrict,
    /// Correct what is kept about a person.
    Correct,
    /// Hand out everything that is kept about a person.
    Export,
    /// Erase a person, or verify that they are erased.
    Erase,
    /// Forbid or permit the erasure of a person's records.
    Hold,
    /// Read or verify the audit trail.
    Audit,
    /// Say what a breach touched.
    ReportBreach,
    /// Copy the database, or put a copy in its place.
    Backup,
    /// Change the keys or the space of the templates.
    Rekey,
    /// Stop matching.
    PauseMatching,
    /// Go on matching.
    ResumeMatching,
    /// Put a calibration in force.
    Calibrate,
}

use Role::{Admin, Dpo, Reviewer, Viewer};

/// The table: each action, what it is called in messages, and who may do it.
const TABLE: [(Action, &str, &[Role]); 22] = [
    (Action::Look, "looking", &[Viewer, Reviewer, Admin, Dpo]),
    (Action::SeeFaces, "looking at faces", &[Reviewer, Admin, Dpo]),
    (Action::Vote, "voting", &[Reviewer, Admin]),
    (Action::LiftSuspension, "lifting a suspension", &[Admin]),
    (Action::Requeue, "trying deliveries again", &[Admin]),
    (Action::ActAsReviewer, "opening the page in a reviewer's name", &[Admin]),
    (Action::ManageReviewers, "managing reviewers", &[Admin]),
    (Action::Enrol, "enrolling", &[Admin]),
    (Action::RecordGrounds, "recording grounds", &[Admin]),
    (Action::Withdraw, "withdrawal", &[Admin, Dpo]),
    (Action::Restrict, "restriction", &[Dpo]),
    (Action::Correct, "correction", &[Admin, Dpo]),
    (Action::Export, "export", &[Dpo]),
    (Action::Erase, "erasure", &[Dpo]),
    (Action::Hold, "a hold", &[Dpo]),
    (Action::Audit, "the audit trail", &[Dpo]),
    (Action::ReportBreach, "the breach report", &[Dpo]),
    (Action::Backup, "backup and restore", &[Admin]),
    (Action::Rekey, "changing keys", &[Admin]),
    (Action::PauseMatching, "stopping matching", &[Admin, Dpo]),
    (Action::ResumeMatching, "going on matching", &[Admin, Dpo]),
    (Action::Calibrate, "putting a calibration in force", &[Admin]),
];

impl Action {
    /// Every action.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(action, ..)| *action)
    }

    /// What it is called in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        TABLE.iter().find(|(action, ..)| *action == self).map_or("this", |(_, word, _)| word)
    }
}

/// The roles that permit an action.
#[must_use]
pub fn permitted(action: Action) -> &'static [Role] {
    TABLE.iter().find(|(other, ..)| *other == action).map_or(&[], |(.., roles)| roles)
}

/// What a request asks for: method, path with `*` for what differs, action.
type Routes = &'static [(&'static str, &'static str, Action)];

/// Requests of the status socket. What is not here only looks.
pub const SOCKET: Routes = &[
    ("GET", "/v1/status", Action::Look),
    ("GET", "/v1/cameras", Action::Look),
    ("GET", "/v1/gallery", Action::Look),
    ("GET", "/v1/alerts", Action::Look),
    ("GET", "/v1/alerts/*", Action::Look),
    ("GET", "/v1/events", Action::Look),
    ("GET", "/v1/sinks", Action::Look),
    ("GET", "/metrics", Action::Look),
    ("GET", "/healthz", Action::Look),
    ("POST", "/v1/review/ticket", Action::Look),
    ("POST", "/v1/alerts/*/votes", Action::Vote),
    ("POST", "/v1/suspensions/lift", Action::LiftSuspension),
    ("POST", "/v1/sinks/*/requeue", Action::Requeue),
    ("POST", "/v1/matching/pause", Action::PauseMatching),
    ("POST", "/v1/matching/resume", Action::ResumeMatching),
];

/// Requests of the review page behind its log-in.
pub const PAGE: Routes = &[
    ("POST", "/api/logout", Action::Look),
    ("GET", "/api/session", Action::Look),
    ("GET", "/api/queue", Action::Look),
    ("GET", "/api/alerts", Action::Look),
    ("GET", "/api/alerts/*", Action::Look),
    ("GET", "/api/cameras", Action::Look),
    ("GET", "/api/filters", Action::Look),
    ("GET", "/api/suspensions", Action::Look),
    ("GET", "/api/events", Action::Look),
    ("GET", "/api/alerts/*/pictures/*", Action::SeeFaces),
    ("GET", "/api/people/*/photos/*", Action::SeeFaces),
    ("POST", "/api/alerts/*/votes", Action::Vote),
    ("POST", "/api/suspensions/lift", Action::LiftSuspension),
    ("POST", "/api/matching/pause", Action::PauseMatching),
    ("POST", "/api/matching/resume", Action::ResumeMatching),
];

/// What a request asks for. A path that no route has is answered with "not found" and needs no more than looking.
#[must_use]
pub fn asked(routes: Routes, method: &str, path: &str) -> Action {
    let fits = |template: &str| {
        let (mut parts, mut wanted) = (path.split('/'), template.split('/'));
        loop {
            match (parts.next(), wanted.next()) {
                (None, None) => return true,
                (Some(_), Some("*")) => {}
                (Some(part), Some(want)) if part == want => {}
                _ => return false,
            }
        }
    };
    // HEAD asks for what GET would give.
    let method = if method == "HEAD" { "GET" } else { method };
    let found = routes.iter().find(|(of, template, _)| *of == method && fits(template));
    found.map_or(Action::Look, |(.., action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as somebody would sign it: viewer, reviewer, admin, dpo.
    const SIGNED: [(Action, [bool; 4]); 22] = [
        (Action::Look, [true, true, true, true]),
        (Action::SeeFaces, [false, true, true, true]),
        (Action::Vote, [false, true, true, false]),
        (Action::LiftSuspension, [false, false, true, false]),
        (Action::Requeue, [false, false, true, false]),
        (Action::ActAsReviewer, [false, false, true, false]),
        (Action::ManageReviewers, [false, false, true, false]),
        (Action::Enrol, [false, false, true, false]),
        (Action::RecordGrounds, [false, false, true, false]),
        (Action::Withdraw, [false, false, true, true]),
        (Action::Restrict, [false, false, false, true]),
        (Action::Correct, [false, false, true, true]),
        (Action::Export, [false, false, false, true]),
        (Action::Erase, [false, false, false, true]),
        (Action::Hold, [false, false, false, true]),
        (Action::Audit, [false, false, false, true]),
        (Action::ReportBreach, [false, false, false, true]),
        (Action::Backup, [false, false, true, false]),
        (Action::Rekey, [false, false, true, false]),
        (Action::PauseMatching, [false, false, true, true]),
        (Action::ResumeMatching, [false, false, true, true]),
        (Action::Calibrate, [false, false, true, false]),
    ];

    #[test]
    fn every_role_may_do_what_is_signed_and_nothing_else() {
        assert_eq!(Action::all().collect::<Vec<_>>(), SIGNED.map(|(action, _)| action));
        for (action, signed) in SIGNED {
            for (role, may) in Role::ALL.into_iter().zip(signed) {
                assert_eq!(Roles::from(role).may(action), may, "{role:?} {action:?}");
            }
            assert!(!Roles::NONE.may(action), "{action:?}");
        }
    }

    #[test]
    fn duties_are_separate() {
        for action in [Action::Export, Action::Erase, Action::Hold, Action::Audit, Action::Restrict] {
            assert_eq!(permitted(action), [Role::Dpo], "{action:?}");
        }
        let dpo = Roles::from(Role::Dpo);
        assert!(!dpo.may(Action::Vote) && !dpo.may(Action::Enrol) && !dpo.may(Action::ManageReviewers));
        let both = Roles::from(Role::Reviewer).and(Role::Dpo);
        assert!(both.may(Action::Vote) && both.may(Action::Export) && !both.may(Action::Enrol));
        assert_eq!((both.words().as_str(), Roles::NONE.words().as_str()), ("reviewer and dpo", "no role"));
    }

    #[test]
    fn a_request_asks_for_what_its_path_says() {
        assert_eq!(asked(SOCKET, "POST", "/v1/alerts/a-1/votes"), Action::Vote);
        assert_eq!(asked(SOCKET, "GET", "/v1/alerts/a-1"), Action::Look);
        assert_eq!(asked(SOCKET, "POST", "/v1/suspensions/lift"), Action::LiftSuspension);
        assert_eq!(asked(PAGE, "GET", "/api/alerts/a-1/pictures/2"), Action::SeeFaces);
        assert_eq!(asked(PAGE, "GET", "/api/people/ann-1/photos/1"), Action::SeeFaces);
        assert_eq!(asked(PAGE, "HEAD", "/api/people/ann-1/photos/1"), Action::SeeFaces);
        assert_eq!(asked(PAGE, "GET", "/api/nothing"), Action::Look);
    }
}
