//! The machine: clock, time zone, disk, service manager.

use super::{Area, Finding};
use crate::clock::{SystemClock, synchronised};
use crate::config::Settings;
use crate::local_time::LocalClock;
use sekisho_logic::hours::Hours;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{DiskLevel, Space};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The first of January 2026: no release is older, so a clock before it was never set.
const RELEASED_MS: i64 = 1_767_225_600_000;
/// How long a program of the system may take to answer; those asked here answer from memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers are a few lines.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// What a program of the system prints; `None` when it is missing, fails or takes too long.
fn printed(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let out = child.stdout.take()?;
    let (said, hears) = mpsc::channel();
    let reader = std::thread::Builder::new().name("printed".into()).spawn(move || {
        let mut text = String::new();
        let read = out.take(ANSWER_BYTES_MAX).read_to_string(&mut text);
        let _nobody_waits_any_more = said.send(read.map(|_| text));
    });
    let text = reader.ok().and_then(|_| hears.recv_timeout(PATIENCE).ok()).and_then(Result::ok);
    if text.is_none() {
        let _gone = child.kill();
    }
    child.wait().ok().filter(std::process::ExitStatus::success).and(text)
}

/// Whether systemd runs this machine.
fn is_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether anything vouches for the clock, and what the daemon noticed of it.
pub(super) fn clock(status: Option<&Value>) -> Vec<Finding> {
    let mut found = Vec::new();
    let now = SystemClock::start().now().wall;
    let set = "`timedatectl set-ntp true` (where it is refused: `apt install systemd-timesyncd`), or set the clock by hand; until then \
               nothing is erased before its time";
    if now.0 < RELEASED_MS {
        let said = format!("it says {}, which is before this program was made", now.to_rfc3339());
        found.push(Finding::error((Area::Clock, "wrong"), "", said).advise(set));
    }
    let vouched = synchronised().or_else(|| {
        let asked = is_systemd().then(|| printed("timedatectl", &["show", "--property=NTPSynchronized", "--value"]))?;
        match asked?.trim() {
            "yes" => Some(true),
            "no" => Some(false),
            _ => None,
        }
    });
    found.push(match vouched {
        Some(true) => {
            Finding::ok((Area::Clock, "synchronised"), "", format!("synchronised; it is {}", now.to_rfc3339()))
        }
        Some(false) => {
            Finding::warning((Area::Clock, "not-synchronised"), "", "it is not synchronised with the network")
                .advise(set)
        }
        None => Finding::notice(
            (Area::Clock, "nobody-vouches"),
            "",
            format!("nothing on this machine says whether it is right; it says {}", now.to_rfc3339()),
        )
        .advise("compare it with another clock, or install a time service (`apt install systemd-timesyncd`)"),
    });
    found.extend(status.and_then(held));
    found
}

/// What is not erased in time because the daemon does not trust the clock.
fn held(status: &Value) -> Option<Finding> {
    let classes = status["retention"].as_object()?;
    let held = classes.iter().filter_map(|(class, its)| Some((class, its["held"].as_str()?, its["due"].as_u64()?)));
    let held: Vec<_> = held.map(|(class, why, due)| format!("{due} {class} ({why})")).collect();
    (!held.is_empty()).then(|| {
        let said =
            format!("the daemon does not trust the clock, so what has expired is not erased: {}", held.join(", "));
        Finding::warning((Area::Clock, "erasure-held"), "", said)
            .advise("see that the clock is right; it goes on by itself")
    })
}

/// Whether the clock stands behind what this installation has written already.
pub(super) fn behind(newest: WallMs, now: WallMs) -> Option<Finding> {
    /// Clocks of two processes read a moment apart, and a leap second.
    const SLACK_MS: i64 = 5_000;
    (newest.0 > now.0.saturating_add(SLACK_MS)).then(|| {
        let said = format!(
            "it says {}, but this installation has already written something at {}: it was moved back, or was wrong then",
            now.to_rfc3339(),
            newest.to_rfc3339()
        );
        Finding::error((Area::Clock, "behind"), "", said)
            .advise("set the clock right (`timedatectl set-ntp true`); `sekisho audit show --action clock-step` lists its jumps")
    })
}

/// The zone of schedules.
pub(super) fn time_zone(settings: &Settings) -> Vec<Finding> {
    let name = &settings.daemon.time_zone;
    let now = SystemClock::start().now().wall;
    let unset =
        name == "system" && std::env::var_os("TZ").is_none() && std::fs::symlink_metadata("/etc/localtime").is_err();
    let hours = settings
        .lists
        .values()
        .any(|list| list.rules.schedule != Hours::always() || list.rules.quiet != Hours::never());
    let said = format!("{name}; the time here is {}", LocalClock::system().time_of_day(now));
    let set = "`timedatectl set-timezone Asia/Tokyo`, or time-zone in [daemon]";
    let is_utc = |zone: std::path::PathBuf| zone.ends_with("UTC") || zone.ends_with("UCT");
    if name == "system" && std::env::var_os("TZ").is_none() && std::fs::read_link("/etc/localtime").is_ok_and(is_utc) {
        let said = format!("{said}, which is UTC: whoever reads times of alerts has to know");
        return vec![Finding::notice((Area::TimeZone, "utc"), "", said).advise(set)];
    }
    if !unset {
        return vec![Finding::ok((Area::TimeZone, "set"), "", said)];
    }
    let said = "the machine has no time zone, so hours in the configuration are taken as UTC";
    vec![match hours {
        true => Finding::warning((Area::TimeZone, "unset"), "", said).advise(set),
        false => Finding::notice((Area::TimeZone, "unset"), "", said).advise(set),
    }]
}

/// Room, and whether it can be written to.
pub(super) fn disk(settings: &Settings) -> Vec<Finding> {
    let state = &settings.daemon.state_dir;
    let there = existing(state);
    let place = state.display().to_string();
    let mut found = Vec::new();
    let flags = rustix::fs::statvfs(&there).map(|stat| stat.f_flag);
    if flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) {
        let said = "its file system is mounted read-only, so nothing can be kept";
        let advice = format!(
            "`mount -o remount,rw {}`; a disk that turned read-only by itself is failing: `dmesg`",
            there.display()
        );
        found.push(Finding::error((Area::Disk, "read-only"), &place, said).advise(advice));
    }
    let space = match Space::measure(&there) {
        Ok(space) => space,
        Err(error) => {
            found.push(Finding::error((Area::Disk, "unmeasured"), place, error.to_string()).advise("check the mount"));
            return found;
        }
    };
    let free = format!("{} free of {}", bytes(space.free_bytes), bytes(space.total_bytes));
    let room = "make room: `journalctl --vacuum-size=100M`, `apt clean`, old backups (`sekisho backup prune DIR`)";
    found.push(match space.level() {
        DiskLevel::Ample => Finding::ok((Area::Disk, "room"), place, free),
        DiskLevel::Low => {
            Finding::warning((Area::Disk, "low"), place, format!("{free}; the oldest pictures go before their time"))
                .advise(room)
        }
        DiskLevel::Scarce => {
            Finding::warning((Area::Disk, "scarce"), place, format!("{free}; no pictures of alerts are kept"))
                .advise(room)
        }
        DiskLevel::Reserve => {
            Finding::error((Area::Disk, "full"), place, format!("{free}; only alerts themselves are kept")).advise(room)
        }
    });
    found
}

/// The directory, or the nearest one above it that is there.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn bytes(count: u64) -> String {
    match count {
        0..0x4000_0000 => format!("{} MiB", count >> 20),
        _ => format!("{} GiB", count >> 30),
    }
}

/// What the service manager says of the unit.
pub(super) fn service() -> Vec<Finding> {
    if !is_systemd() {
        let said = "systemd does not run here, so the service was not looked at";
        return vec![Finding::notice((Area::Service, "not-looked-at"), "", said)];
    }
    let asked = "LoadState,UnitFileState,ActiveState,Result,NRestarts,NeedDaemonReload";
    match printed("systemctl", &["show", "sekisho.service", "--property", asked]) {
        Some(text) => unit(&text),
        None => {
            let said = "systemctl gives no answer about sekisho.service";
            vec![Finding::notice((Area::Service, "not-looked-at"), "", said).advise("run this with sudo")]
        }
    }
}

/// Where the unit lets the service write, as `systemctl show` prints it; `None` where there is no unit or no systemd.
pub(super) fn may_write() -> Option<String> {
    let asked = "LoadState,ProtectSystem,ReadWritePaths,BindPaths";
    let text = is_systemd().then(|| printed("systemctl", &["show", "sekisho.service", "--property", asked]))??;
    text.lines().any(|line| line == "LoadState=loaded").then_some(text)
}

fn unit(text: &str) -> Vec<Finding> {
    let facts: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let fact = |name: &str| facts.get(name).copied().unwrap_or_default();
    if fact("LoadState") == "not-found" {
        let said = "there is no unit sekisho.service, so nothing starts the program after a power cut";
        return vec![
            Finding::warning((Area::Service, "no-unit"), "", said)
                .advise("install the package, or systemd/sekisho.service"),
        ];
    }
    let mut found = Vec::new();
    if fact("UnitFileState") != "enabled" {
        let said = "it does not start by itself after a power cut";
        found.push(Finding::warning((Area::Service, "not-enabled"), "", said).advise("`systemctl enable sekisho`"));
    }
    if fact("ActiveState") == "failed" {
        let said = format!("systemd gave it up ({})", fact("Result"));
        let advice = "`journalctl -u sekisho -n 50`; mend that, then `systemctl start sekisho`";
        found.push(Finding::error((Area::Service, "failed"), "", said).advise(advice));
    }
    let restarts = fact("NRestarts").parse().unwrap_or(0_u32);
    if restarts > 0 {
        let said = format!("systemd had to start it anew {restarts} times");
        found.push(
            Finding::warning((Area::Service, "restarts"), "", said)
                .advise("`journalctl -u sekisho` around those times"),
        );
    }
    if fact("NeedDaemonReload") == "yes" {
        let said = "its unit was changed and systemd has not read it";
        found.push(Finding::warning((Area::Service, "unread-unit"), "", said).advise("`systemctl daemon-reload`"));
    }
    if found.is_empty() {
        found.push(Finding::ok((Area::Service, "enabled"), "", format!("enabled and {}", fact("ActiveState"))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ids(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_unit_is_judged_by_what_systemd_says() {
        let well = "LoadState=loaded\nUnitFileState=enabled\nActiveState=active\nResult=success\nNRestarts=0\nNeedDaemonReload=no\n";
        assert_eq!(ids(&unit(well)), ["enabled"]);
        let ill = "LoadState=loaded\nUnitFileState=disabled\nActiveState=failed\nResult=watchdog\nNRestarts=4\nNeedDaemonReload=yes\n";
        assert_eq!(ids(&unit(ill)), ["not-enabled", "failed", "restarts", "unread-unit"]);
        assert_eq!(ids(&unit("LoadState=not-found\n")), ["no-unit"]);
        assert!(!unit("").is_empty());
    }

    #[test]
    fn a_clock_behind_what_was_written_is_an_error() {
        assert!(behind(WallMs(10_000), WallMs(9_000)).is_none(), "a moment is nothing");
        let found = behind(WallMs(2_000_000_000_000), WallMs(1_900_000_000_000)).expect("behind");
        assert_eq!((found.id, found.level), ("behind", super::super::Level::Error));
    }

    #[test]
    fn what_is_held_back_for_the_clock_is_said() {
        let status =
            json!({ "retention": { "pictures": { "due": 3, "held": "clock-stepped" }, "clock-synchronised": false } });
        let found = held(&status).expect("held");
        assert!(found.said.contains("3 pictures (clock-stepped)"), "{}", found.said);
        assert!(held(&json!({ "retention": { "pictures": { "due": 3, "held": null } } })).is_none());
    }

    #[test]
    fn a_program_that_is_missing_or_fails_is_no_answer() {
        assert_eq!(printed("/nonexistent/program", &[]), None);
        assert_eq!(printed("false", &[]), None);
        assert_eq!(printed("echo", &["a"]).as_deref(), Some("a\n"));
    }
}
