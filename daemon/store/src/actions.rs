//! Every action the audit trail knows, with one line on what such a row says. The manual page `sekisho(1)` lists the same, and
//! a row with any other action is a mistake that the tests stop.

/// What a kind of row is called, and what it tells.
pub const ACTIONS: &[(&str, &str)] = &[
    // The daemon.
    ("run-start", "the daemon started: boot, version, how the run before ended"),
    ("run-stop", "the daemon stopped in order"),
    ("config-loaded", "the configuration in force at the start: SHA-256 of the file, number of keys"),
    (
        "config-reloaded",
        "the configuration was read again: names of the keys that changed, and which wait for a restart",
    ),
    ("config-refused", "a changed configuration was wrong and is not in force"),
    ("models-loaded", "the networks in use: names and SHA-256"),
    ("accelerator-left", "a network left its accelerator while the daemon ran: which, and why"),
    ("gallery-loaded", "the reference database in use from here on: version, digest, number of people"),
    ("calibration-loaded", "the calibration in use from here on, and the target rate"),
    ("thresholds", "counted traffic moved the target rate: from, to"),
    ("clock-step", "the wall clock was moved by more than a minute: by how much"),
    ("clock-unsynchronised", "the system no longer vouches for the wall clock"),
    ("clock-synchronised", "the system vouches for the wall clock again"),
    // People.
    ("enrol", "a person was enrolled or enrolled anew: list, counts"),
    ("re-embed", "a person's templates were made anew"),
    ("correct", "facts about a person were corrected: which, never the name itself"),
    ("status", "a person's status changed: from, to, why"),
    ("grounds", "the grounds of an enrolment were recorded or renewed: which"),
    ("withdraw", "a person withdrew and is not matched any more: why"),
    ("erase", "the erasure of a person began: why"),
    ("erased", "the erasure of a person was finished: what and how much"),
    ("rekey", "keys and the space of the templates were renewed: which"),
    ("acting-as-dpo", "an admin did the officer's work where no officer is named: what"),
    ("break-glass", "somebody did what their role does not permit: what, and why"),
    ("hold", "records about a person must not be erased: why"),
    ("unhold", "they may be erased again: why"),
    ("export", "what is held about a person was written out for them: counts"),
    // Alerts.
    ("alert", "an alert changed: event, stage, cause, camera, person, and the vote that changed it"),
    ("evidence-kept", "pictures of an alert were kept: their numbers and SHA-256"),
    ("evidence-expired", "pictures whose time was up were erased"),
    ("sightings-expired", "alerts past their retention were erased: how many"),
    ("evidence-for-room", "pictures were erased before their time because the disk is nearly full"),
    ("picture-hash", "the SHA-256 of a picture that was not kept"),
    ("pictures-shown", "pictures of an alert were written to files by somebody at a terminal"),
    ("suspend", "alerts of a person or a camera are held back because too many were rejected"),
    ("lift", "somebody lifted a suspension"),
    ("sink-requeue", "given-up deliveries of a sink were made pending again"),
    ("pause-matching-on", "somebody stopped all matching: why"),
    ("pause-matching-off", "somebody let matching go on"),
    // The calibration.
    ("calibration-installed", "somebody installed another calibration"),
    ("calibration-stale", "the calibration was found not to fit any more"),
    ("calibration-fresh", "the calibration counts as fitting again: who said so"),
    ("shadow-reset", "what was counted about strangers' scores was erased"),
    // Reviewers.
    ("reviewer-added", "somebody may log in to the review page: role, Unix user"),
    ("reviewer-removed", "a reviewer may no longer log in"),
    ("reviewer-reset", "a reviewer's password was set anew"),
    ("review-login", "somebody logged in: how, from which address"),
    ("review-logout", "a log-in ended"),
    (
        "review-refused",
        "a log-in or request was refused; after the sixth of a minute the others as one row with their number",
    ),
    ("review-ticket-as", "an administrator opened the page in a reviewer's name"),
    // The books themselves.
    ("audit-retention", "rows past the audit retention were given up: how many, up to which"),
    ("backup", "a backup was written: its SHA-256, what is in it"),
    ("backup-pruned", "backups past their time were deleted: how many"),
    ("restore", "this database is a backup that was put back: when it was made; the trail after it is another one"),
    ("breach-report", "somebody drew up what a breach would concern"),
];

/// Whether the trail knows this action.
#[must_use]
pub(crate) fn known(action: &str) -> bool {
    // Actions in this crate's tests are their own.
    cfg!(test) && action == "test" || ACTIONS.iter().any(|(name, _)| *name == action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_line_and_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ACTIONS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), ACTIONS.len());
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        assert!(ACTIONS.iter().all(|(name, what)| plain(name) && what.len() > 10 && what.len() < 120));
    }
}
