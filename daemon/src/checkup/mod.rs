//! What is wrong with an installation, and what to do about each: what `sekisho doctor` prints. Looks, and changes nothing.
//!
//! ```text
//! configuration -> daemon's own word (running) --or-- probes (cameras)
//!               -> machine (clock, zone, disk, service), places (modes, owners), networks, books (keys, gallery, trail)
//!               -> Findings, sorted -> page | JSON
//! ```
//!
//! Every check is made as far as it can be: a broken configuration, a missing model, a disk that refuses are findings, never an
//! end. People are enrolled, erased and judged elsewhere: `gallery doctor` looks at each person; here only its sum is said.

mod books;
mod cameras;
mod machine;
mod networks;
mod page;
mod places;
mod running;

pub use page::{document, text};
pub(crate) use places::SERVICE_USER;

use crate::cmd::Failure;
use crate::cmd::client::{Client, converse};
use crate::config::{self, ConfigError, DEFAULT_PATH, Settings};
use serde_json::Value;
use std::path::Path;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Notice,
    /// Works, and somebody should see to it.
    Warning,
    /// Does not work, or is not safe.
    Error,
}

impl Level {
    /// Worst first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warning, Self::Notice, Self::Ok];

    /// The word in JSON and on the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a finding is about, in the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Area {
    Configuration,
    Daemon,
    Cameras,
    Sinks,
    Clock,
    Disk,
    Permissions,
    Keys,
    Models,
    Provider,
    Calibration,
    Accuracy,
    Gallery,
    Duties,
    Audit,
    Backups,
    TimeZone,
    Service,
}

impl Area {
    /// The word in JSON and on the page.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Daemon => "daemon",
            Self::Cameras => "cameras",
            Self::Sinks => "sinks",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Permissions => "permissions",
            Self::Keys => "keys",
            Self::Models => "models",
            Self::Provider => "provider",
            Self::Calibration => "calibration",
            Self::Accuracy => "accuracy",
            Self::Gallery => "gallery",
            Self::Duties => "duties",
            Self::Audit => "audit",
            Self::Backups => "backups",
            Self::TimeZone => "time-zone",
            Self::Service => "service",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub area: Area,
    /// The same word for the same finding in every release; for programs.
    pub id: &'static str,
    /// How bad.
    pub level: Level,
    /// Which camera, file or person; empty when the area says it.
    pub place: String,
    /// What is so, without a full stop.
    pub said: String,
    /// What to do next; empty when nothing is.
    pub advice: String,
}

impl Finding {
    fn new(level: Level, (area, id): (Area, &'static str), place: impl Into<String>, said: impl Into<String>) -> Self {
        Self { area, id, level, place: place.into(), said: said.into(), advice: String::new() }
    }

    fn ok(what: (Area, &'static str), place: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Level::Ok, what, place, said)
    }

    fn notice(what: (Area, &'static str), place: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Level::Notice, what, place, said)
    }

    fn warning(what: (Area, &'static str), place: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Level::Warning, what, place, said)
    }

    fn error(what: (Area, &'static str), place: impl Into<String>, said: impl Into<String>) -> Self {
        Self::new(Level::Error, what, place, said)
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    Whole,
    /// What takes no more than seconds: no self-test of networks, no photographs, no walk along the audit trail.
    Quick,
}

/// Everything that was found, and whether there is a configuration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Sorted: area, worst first, place.
    pub findings: Vec<Finding>,
    /// Whether the configuration could be read.
    pub configured: bool,
}

impl Report {
    /// How many findings there are of a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// The worst level.
    #[must_use]
    pub fn worst(&self) -> Level {
        self.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// Looks at everything.
#[must_use]
pub fn examine(config: &Path, depth: Depth) -> Report {
    let read = config::load(config);
    let mut findings = configuration(config, &read);
    findings.extend(places::of_file(config));
    findings.extend(machine::service());
    match &read {
        Ok(settings) => {
            let told = ask(settings);
            findings.extend(machine::clock(told.as_ref().ok().map(|told| &told.status)));
            findings.extend(machine::time_zone(settings));
            findings.extend(machine::disk(settings));
            findings.extend(places::of_settings(settings, config));
            findings.extend(duties(settings));
            match &told {
                Ok(told) => findings.extend(running::all(settings, &told.status, &told.cameras)),
                Err(error) => {
                    let silent = running::silent(settings, &error.to_string());
                    // A daemon that merely does not answer us has its own connections to the cameras.
                    if silent.id == running::STOPPED {
                        findings.extend(cameras::probe(settings));
                    }
                    findings.push(silent);
                    findings.extend(networks::remembered(settings));
                }
            }
            findings.extend(networks::all(settings, depth));
            findings.extend(books::all(settings, depth));
        }
        Err(_) => {
            findings.extend(machine::clock(None));
            let said = "cameras, database, networks and all else were not looked at, because there is no configuration";
            findings.push(Finding::notice((Area::Configuration, "not-looked-at"), "", said));
        }
    }
    if config == Path::new(DEFAULT_PATH) {
        for finding in &mut findings {
            finding.advice = spelled(&finding.advice);
        }
    }
    findings.sort_by(|a, b| (a.area, b.level, &a.place, a.id).cmp(&(b.area, a.level, &b.place, b.id)));
    Report { findings, configured: read.is_ok() }
}

/// Commands as one types them on a box where the service has its own user.
fn spelled(advice: &str) -> String {
    const BY_THE_SERVICE: [&str; 7] = ["audit", "backup", "calibrate", "evaluate", "gallery", "restore", "reviewers"];
    const BY_ROOT: [&str; 13] = [
        "sekisho cameras",
        "sekisho models",
        "sekisho setup",
        "systemctl",
        "timedatectl",
        "journalctl",
        "apt ",
        "mount",
        "ss ",
        "chmod",
        "chown",
        "install -m",
        "ls -ld",
    ];
    let mut spelled = advice.to_owned();
    for verb in BY_THE_SERVICE {
        spelled = spelled.replace(&format!("`sekisho {verb}"), &format!("`sudo -u {SERVICE_USER} sekisho {verb}"));
    }
    for command in BY_ROOT {
        spelled = spelled.replace(&format!("`{command}"), &format!("`sudo {command}"));
    }
    spelled
}

/// What the daemon said.
struct Told {
    status: Value,
    cameras: Value,
}

fn ask(settings: &Settings) -> Result<Told, Failure> {
    let client = Client::new(&settings.daemon.socket);
    converse(async { Ok(Told { status: client.get("/v1/status").await?, cameras: client.get("/v1/cameras").await? }) })
}

fn configuration(config: &Path, read: &Result<Settings, ConfigError>) -> Vec<Finding> {
    let file = config.display().to_string();
    match read {
        Ok(settings) => {
            let cameras = settings.cameras.values().filter(|camera| camera.enabled).count();
            let valid = format!("valid; {cameras} cameras enabled, {} lists", settings.lists.len());
            let mut found = vec![Finding::ok((Area::Configuration, "valid"), &file, valid)];
            if cameras == 0 {
                let none = Finding::warning(
                    (Area::Cameras, "no-camera"),
                    "",
                    "no camera is configured, so nothing is watched",
                );
                found.push(none.advise("`sekisho setup` finds one and writes it down"));
            }
            found
        }
        Err(ConfigError::Unreadable { cause, .. }) => {
            let missing = cause.kind() == std::io::ErrorKind::NotFound;
            let id = if missing { "missing" } else { "unreadable" };
            let advice = match cause.kind() {
                std::io::ErrorKind::NotFound => "`sekisho setup` writes one; `--config FILE` names another",
                std::io::ErrorKind::PermissionDenied => "run this with sudo, or `chmod 644` the file",
                _ => "check the path; `--config FILE` names another",
            };
            vec![Finding::error((Area::Configuration, id), &file, cause.to_string()).advise(advice)]
        }
        Err(ConfigError::Invalid(problems)) => {
            let each = problems.list().iter().map(|problem| {
                let place = format!("{file}:{}", problem.line);
                let key = match (problem.section.is_empty(), problem.key.is_empty()) {
                    (true, true) => String::new(),
                    (true, false) => format!("{}: ", problem.key),
                    (false, true) => format!("[{}]: ", problem.section),
                    (false, false) => format!("[{}] {}: ", problem.section, problem.key),
                };
                let said = format!("{key}{}", problem.wrong);
                Finding::error((Area::Configuration, "invalid"), place, said).advise(problem.allowed.clone())
            });
            each.collect()
        }
    }
}

/// What the law and the notice still ask for.
fn duties(settings: &Settings) -> Vec<Finding> {
    let undone = settings.undone();
    if undone.is_empty() {
        return vec![Finding::ok((Area::Duties, "done"), "", "purpose, legal basis and notice are written down")];
    }
    let held: Vec<_> = settings.held_cameras().map(|(id, _)| format!("camera {id}:")).collect();
    let each = undone.into_iter().map(|said| {
        let is_held = held.iter().any(|camera| said.starts_with(camera.as_str()));
        let id = if is_held { "camera-held" } else { "undone" };
        // The sentence ends in what to do.
        let (said, advice) = said.rsplit_once("; ").map_or((said.as_str(), ""), |(said, advice)| (said, advice));
        Finding::warning((Area::Duties, id), "", said).advise(advice)
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::spelled;

    #[test]
    fn commands_are_spelled_as_they_work_on_a_box() {
        let said =
            "`sekisho gallery doctor` names each; `timedatectl set-ntp true`, `sekisho alerts list`, `chmod 600 x`";
        let whole = "`sudo -u sekisho sekisho gallery doctor` names each; `sudo timedatectl set-ntp true`, \
                     `sekisho alerts list`, `sudo chmod 600 x`";
        assert_eq!(spelled(said), whole);
    }
}
