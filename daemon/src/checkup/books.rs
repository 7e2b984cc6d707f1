//! What lies in the database: whether it opens, what its key protects against, the people, the audit trail, backups.

use super::{Area, Depth, Finding, machine};
use crate::clock::SystemClock;
use crate::cmd::audit;
use crate::cmd::doctor::{self, Judged};
use crate::config::Settings;
use crate::site::Look;
use crate::{keys, roles, site};
use indicatif::ProgressBar;
use sekisho_logic::doctor::Severity;
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{AuditFilter, AuditVerdict, KeySource, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

/// A backup older than this is called old: a week of enrolments, verdicts and calibration is what a site can do again by hand.
const BACKUP_DAYS_MAX: i64 = 7;
/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Everything that needs the database open. It is opened for looking.
pub(super) fn all(settings: &Settings, depth: Depth) -> Vec<Finding> {
    let place = settings.store.database.display().to_string();
    let mut store = match site::open_to_look(settings) {
        Ok(Look::Store(store)) => store,
        Ok(Look::Older(said)) => {
            let said = format!("{said}; until then people, trail and backups are not looked at");
            return vec![Finding::notice((Area::Keys, "older-schema"), "", said)];
        }
        Ok(Look::Nothing) => {
            let said = "there is no database yet; keys and database are made at the first start, or by `sekisho setup`";
            return vec![Finding::notice((Area::Keys, "none-yet"), place, said)];
        }
        Err(error) => {
            let sealed = keys::sealed_for_the_service(settings, &site::credentials(settings));
            return vec![unopened(settings, place, &error.to_string(), sealed.as_deref())];
        }
    };
    let mut found = vec![protection(store.key_source())];
    let now = SystemClock::start().now().wall;
    found.extend(newest(&mut store).and_then(|newest| machine::behind(newest, now)));
    found.extend(stale(&mut store));
    found.push(gallery(settings, &mut store, depth));
    found.extend(grounds(&mut store, now));
    found.push(backups(&mut store, now));
    found.push(trail(settings, &mut store, depth));
    // Nothing was written, so there is nothing to fold back: the connection is merely dropped.
    found
}

fn unopened(settings: &Settings, place: String, said: &str, sealed: Option<&Path>) -> Finding {
    let closed =
        |path: &Path| std::fs::File::open(path).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    if closed(&settings.store.database) || closed(&settings.store.key_file) || closed(&settings.daemon.state_dir) {
        let why =
            "only root and the service's own user may open it, so people, keys, trail and backups were not looked at";
        return Finding::notice((Area::Keys, "not-looked-at"), place, why).advise("run this with sudo");
    }
    if let Some(sealed) = sealed {
        let why = format!(
            "its key is sealed for the service ({}), so people, trail and backups were not looked at",
            sealed.display()
        );
        let handed = [&settings.store.key_credential, &settings.store.audit_key_credential]
            .map(|name| format!("--property=LoadCredentialEncrypted={name}:sekisho.{name}"));
        let advice = format!("`sudo systemd-run --quiet --pty --collect {} sekisho doctor`", handed.join(" "));
        return Finding::notice((Area::Keys, "not-looked-at"), place, why).advise(advice);
    }
    let said = said.replace('\n', " ");
    let advice = "mend what it says; a damaged database is put back with `sekisho restore FILE --replace`";
    Finding::error((Area::Keys, "database-closed"), place, said).advise(advice)
}

fn protection(source: KeySource) -> Finding {
    let about = keys::protection(source);
    let word = |name: &str| about[name].as_str().unwrap_or_default().to_owned();
    let said = format!(
        "the key of the database comes from {}; it protects against {}, not against {}",
        match source {
            KeySource::Network => "a server on the network",
            KeySource::Credential => "a credential of systemd",
            KeySource::File => "a file on this disk",
            KeySource::Given => "elsewhere",
        },
        word("protects-against"),
        word("does-not-protect-against"),
    );
    match source {
        KeySource::File => Finding::notice((Area::Keys, "file"), "", said).advise(
            "if a stolen box is a risk here: key-url in [store], or a sealed credential (sekisho.toml(5), [store])",
        ),
        KeySource::Network | KeySource::Credential | KeySource::Given => {
            Finding::ok((Area::Keys, "kept-apart"), "", said)
        }
    }
}

fn rows(store: &mut Store, action: Option<&str>) -> Option<WallMs> {
    let filter = AuditFilter { action: action.map(str::to_owned), ..AuditFilter::default() };
    store.audit_find(&filter, 1).ok()?.last().map(|row| row.wall)
}

/// When the latest row of the trail was written.
fn newest(store: &mut Store) -> Option<WallMs> {
    rows(store, None)
}

fn stale(store: &mut Store) -> Option<Finding> {
    let stale = store.calibration_state().ok()?.stale?;
    let said = format!("stale since {}: {}", stale.since.to_rfc3339(), stale.finding.said());
    let advice =
        "`sekisho calibrate --from-shadow --install`, or `sekisho calibrate --acknowledge` if the change is known";
    Some(Finding::warning((Area::Calibration, "stale"), "", said).advise(advice))
}

/// The sum of what `gallery doctor` says of each person.
fn gallery(settings: &Settings, store: &mut Store, depth: Depth) -> Finding {
    let list = "`sekisho gallery doctor` names each";
    let people = match store.people() {
        Ok(people) => people.len(),
        Err(error) => {
            return Finding::error((Area::Gallery, "unreadable"), "", error.to_string())
                .advise("`sekisho gallery list`");
        }
    };
    if people == 0 {
        let finding = Finding::warning((Area::Gallery, "empty"), "", "nobody is enrolled, so nobody can be recognised");
        return finding.advise("`sekisho gallery enroll`, or `sekisho setup`");
    }
    if depth == Depth::Quick {
        return Finding::ok((Area::Gallery, "counted"), "", format!("{people} people (photographs not looked at)"));
    }
    match doctor::judge(settings, store, &BTreeSet::new(), |_| ProgressBar::hidden()) {
        Err(error) => {
            Finding::error((Area::Gallery, "not-judged"), "", error.to_string().replace('\n', " ")).advise(list)
        }
        Ok(judged) => summed(&judged, list),
    }
}

fn summed(judged: &Judged, list: &str) -> Finding {
    let count = |severity| judged.found.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let mut kinds = BTreeMap::<&str, usize>::new();
    judged.found.iter().for_each(|finding| *kinds.entry(finding.kind).or_default() += 1);
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let said = format!("{} people, {errors} errors, {warnings} warnings ({})", judged.people, kinds.join(", "));
    match (errors, warnings) {
        (0, 0) => Finding::ok((Area::Gallery, "healthy"), "", format!("{} people, nothing to mend", judged.people)),
        (0, _) => Finding::warning((Area::Gallery, "warnings"), "", said).advise(list),
        _ => Finding::error((Area::Gallery, "errors"), "", said).advise(list),
    }
}

/// Whose grounds run out within a month: nobody is matched after that day.
fn grounds(store: &mut Store, now: WallMs) -> Option<Finding> {
    let soon = WallMs(now.0.saturating_add(30 * DAY_MS));
    let people = store.people().ok()?;
    let ending =
        people.iter().filter(|person| person.grounds.expires.is_some_and(|end| end > now && end <= soon)).count();
    (ending > 0).then(|| {
        let said = format!("the grounds of {ending} people run out within 30 days; then they are not matched any more");
        Finding::notice((Area::Gallery, "grounds-end-soon"), "", said)
            .advise("`sekisho gallery list`, `sekisho gallery grounds PERSON`")
    })
}

fn backups(store: &mut Store, now: WallMs) -> Finding {
    let make = "`sekisho backup create DIR`, on another disk and every day (a timer)";
    match rows(store, Some("backup")) {
        None => {
            let said = "no backup was ever made: a broken disk takes people, verdicts and trail with it";
            Finding::warning((Area::Backups, "none"), "", said).advise(make)
        }
        Some(made) => {
            let days = now.0.saturating_sub(made.0) / DAY_MS;
            let said = format!("the latest was made {} ({days} days ago)", made.to_rfc3339());
            match days > BACKUP_DAYS_MAX {
                true => Finding::warning((Area::Backups, "old"), "", said).advise(make),
                false => Finding::ok((Area::Backups, "recent"), "", said),
            }
        }
    }
}

fn trail(settings: &Settings, store: &mut Store, depth: Depth) -> Finding {
    if depth == Depth::Quick {
        return Finding::notice((Area::Audit, "not-looked-at"), "", "not verified with --quick")
            .advise("`sekisho audit verify`");
    }
    if !roles::may(Action::Audit, settings) {
        let said = "not verified: reading the trail is for the data-protection officer";
        return Finding::notice((Area::Audit, "not-permitted"), "", said);
    }
    let keep = "keep this database and every copy of its checkpoints, and find out who could write here; `sekisho audit verify`";
    match audit::checked(settings, store, &[], None) {
        Err(error) => Finding::error((Area::Audit, "unreadable"), "", error.to_string()).advise(keep),
        Ok(verified) => match verified.report.verdict {
            AuditVerdict::Intact { .. } => {
                let said = format!(
                    "the trail is whole: {} rows, {} checkpoints agree",
                    verified.report.rows, verified.report.checkpoints
                );
                Finding::ok((Area::Audit, "whole"), "", said)
            }
            AuditVerdict::Broken { seq, how } => {
                Finding::error((Area::Audit, "broken"), "", format!("the trail is broken at row {seq}: {how}"))
                    .advise(keep)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_key_that_is_sealed_for_the_service_is_no_error_and_nothing_is_to_be_replaced() {
        let settings = crate::config::parse(Path::new("test.toml"), "[store]\naudit-key-credential = \"trail\"\n");
        let settings = settings.expect("valid");
        let refused = || unopened(&settings, "sekisho.db".into(), "the key file is missing", None);
        assert!(refused().level == Level::Error && refused().advice.contains("--replace"));
        let sealed = Path::new("/etc/credstore.encrypted/sekisho.store-key");
        let found = unopened(&settings, "sekisho.db".into(), "the service is handed this key", Some(sealed));
        assert_eq!((found.level, found.id), (Level::Notice, "not-looked-at"));
        assert!(found.said.contains("its key is sealed for the service"), "{found:?}");
        for handed in ["store-key:sekisho.store-key", "trail:sekisho.trail"] {
            assert!(found.advice.contains(&format!("LoadCredentialEncrypted={handed}")), "{found:?}");
        }
        assert!(!found.advice.contains("restore"), "{found:?}");
    }
}
