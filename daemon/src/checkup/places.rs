//! Who may read and write what: the configuration, the state directory, keys, credentials; and who you are to the daemon.

use super::{Area, Finding, machine};
use crate::config::credentials::CredentialFault;
use crate::config::sink_settings::SinkKind;
use crate::config::{DEFAULT_PATH, Settings};
use crate::roles;
use crate::site;
use nix::unistd::User;
use std::fs::{Metadata, metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The user of the unit; the package makes it.
pub(crate) const SERVICE_USER: &str = "sekisho";

/// Files of the state directory that are looked at; it holds a dozen.
const ENTRIES_MAX: usize = 200;

/// The state directory that the unit makes and the package gives to its user.
const STATE_OF_UNIT: &str = "/var/lib/sekisho";
/// Where the shipped unit lets the service write: its StateDirectory=, LogsDirectory=, CacheDirectory= and RuntimeDirectory=.
const OPEN_IN_UNIT: [&str; 4] = [STATE_OF_UNIT, "/var/log/sekisho", "/var/cache/sekisho", "/run/sekisho"];

fn service_user() -> Option<User> {
    User::from_name(SERVICE_USER).ok().flatten()
}

/// The configuration file's own modes, whatever is in it.
pub(super) fn of_file(config: &Path) -> Vec<Finding> {
    let Ok(about) = metadata(config) else { return Vec::new() };
    let (place, mode) = (config.display().to_string(), about.mode() & 0o777);
    let mut found = Vec::new();
    if mode & 0o022 != 0 {
        let said =
            format!("others can write the configuration (mode {mode:03o}), and so decide who is matched and told");
        found.push(
            Finding::error((Area::Permissions, "config-writable"), &place, said).advise(format!("`chmod 644 {place}`")),
        );
    }
    if let Some(user) = service_user()
        && !reads(&user, &about)
    {
        let said = format!("user {SERVICE_USER} cannot read it (mode {mode:03o}), so the service does not start");
        found.push(
            Finding::error((Area::Permissions, "config-closed"), &place, said).advise(format!("`chmod 644 {place}`")),
        );
    }
    if found.is_empty() {
        found.push(Finding::ok((Area::Permissions, "config"), place, format!("mode {mode:03o}")));
    }
    found
}

fn reads(user: &User, about: &Metadata) -> bool {
    let mode = about.mode();
    mode & 0o004 != 0
        || (about.uid() == user.uid.as_raw() && mode & 0o400 != 0)
        || (about.gid() == user.gid.as_raw() && mode & 0o040 != 0)
}

/// Everything the settings of this configuration name.
pub(super) fn of_settings(settings: &Settings, config: &Path) -> Vec<Finding> {
    let of_unit = config == Path::new(DEFAULT_PATH);
    let mut found = state(settings, of_unit, service_user().map(|user| user.uid.as_raw()));
    if of_unit && let Some(unit) = machine::may_write() {
        found.extend(closed_by_unit(settings, &unit));
    }
    found.extend(keys(settings));
    found.extend(credentials(settings));
    found.extend(caller(settings));
    found
}

fn owner(uid: u32) -> String {
    User::from_uid(uid.into()).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

/// `of_unit`: whether the service uses this configuration; `service`: its user's number.
fn state(settings: &Settings, of_unit: bool, service: Option<u32>) -> Vec<Finding> {
    let state = &settings.daemon.state_dir;
    let place = state.display().to_string();
    let about = match metadata(state) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let said = "it is not there yet; the first start makes it";
            return vec![Finding::notice((Area::Permissions, "no-state-dir"), place, said)];
        }
        Err(error) => {
            let finding = Finding::error((Area::Permissions, "state-dir"), place, error.to_string());
            return vec![finding.advise("run this with sudo; check the path in [daemon] state-dir")];
        }
    };
    let mut found = Vec::new();
    if !about.is_dir() {
        return vec![
            Finding::error((Area::Permissions, "state-dir"), place, "it is no directory")
                .advise("check [daemon] state-dir"),
        ];
    }
    let mode = about.mode() & 0o777;
    if mode & 0o077 != 0 {
        let said = format!("others may enter the directory of the database (mode {mode:03o})");
        found.push(
            Finding::warning((Area::Permissions, "state-dir-open"), &place, said)
                .advise(format!("`chmod 700 {place}`")),
        );
    }
    let of_another = service.is_some_and(|service| service != about.uid());
    if of_another && (of_unit || state == Path::new(STATE_OF_UNIT)) {
        let said = format!("it belongs to {}, so the service cannot write there", owner(about.uid()));
        let advice = format!("`chown -R {SERVICE_USER}: {place}`");
        found.push(Finding::error((Area::Permissions, "state-dir-owner"), &place, said).advise(advice));
    }
    let foreign = std::fs::read_dir(state).into_iter().flatten().flatten().take(ENTRIES_MAX).find_map(|entry| {
        let its = entry.metadata().ok()?;
        (its.uid() != about.uid()).then(|| (entry.path(), its.uid()))
    });
    if let Some((file, uid)) = foreign {
        let said =
            format!("it belongs to {}, but its directory to {}, who cannot use it", owner(uid), owner(about.uid()));
        let advice = format!("`chown -R {}: {place}`", owner(about.uid()));
        found
            .push(Finding::error((Area::Permissions, "foreign-file"), file.display().to_string(), said).advise(advice));
    }
    if found.is_empty() {
        found.push(Finding::ok(
            (Area::Permissions, "state-dir"),
            place,
            format!("mode {mode:03o}, owner {}", owner(about.uid())),
        ));
    }
    found
}

/// What the settings have the service write where its unit, as `systemctl show` prints it, keeps the disk read-only.
fn closed_by_unit(settings: &Settings, unit: &str) -> Vec<Finding> {
    let facts: Vec<_> = unit.lines().filter_map(|line| line.split_once('=')).collect();
    if !facts.contains(&("ProtectSystem", "strict")) {
        return Vec::new();
    }
    let named = facts.iter().filter(|(fact, _)| matches!(*fact, "ReadWritePaths" | "BindPaths"));
    // "-": may be absent; "+": below the unit's root; a bind mount is written SOURCE:PLACE:OPTIONS.
    let named = named.flat_map(|(_, paths)| paths.split([' ', ':'])).map(|path| path.trim_start_matches(['-', '+']));
    let open: Vec<_> = OPEN_IN_UNIT.into_iter().chain(named).filter(|path| path.starts_with('/')).collect();
    let logs = settings.sinks.iter().filter_map(|(name, sink)| match &sink.kind {
        SinkKind::EventLog(log) => Some((log.path.as_path(), log.path.parent()?, format!("sink {name} writes there"))),
        SinkKind::Webhook(_) | SinkKind::Mqtt(_) => None,
    });
    let state = settings.daemon.state_dir.as_path();
    let wanted = std::iter::once((state, state, "the database lies there".to_owned())).chain(logs);
    let closed =
        wanted.filter(|(path, ..)| !open.iter().any(|open| path.starts_with(open))).map(|(path, folder, what)| {
            let said = format!("{what}, and the service's unit lets it write elsewhere only (ProtectSystem=strict)");
            let advice = format!(
                "`sudo systemctl edit sekisho`: ReadWritePaths={} in [Service]; the folder belongs to {SERVICE_USER}; \
             then `systemctl restart sekisho`",
                folder.display()
            );
            Finding::error((Area::Permissions, "closed-by-unit"), path.display().to_string(), said).advise(advice)
        });
    closed.collect()
}

fn keys(settings: &Settings) -> Vec<Finding> {
    let its = &settings.store;
    // Only the database's key can be changed under the data.
    let files = [
        (&its.key_file, "`sekisho gallery rekey` makes another"),
        (
            &its.audit_key_file,
            "keep what `sekisho audit key` prints, by which all that it signed can be checked, stop the service and remove \
             the file: the next start makes another",
        ),
    ];
    let each = files.into_iter().filter_map(|(file, another)| {
        let mode = metadata(file).ok()?.mode() & 0o777;
        let place = file.display().to_string();
        (mode & 0o077 != 0).then(|| {
            let said = format!("others can read this key (mode {mode:03o}); the program refuses to use it");
            let advice = format!("`chmod 600 {place}`; whoever could read it may have it: {another}");
            Finding::error((Area::Permissions, "key-exposed"), place, said).advise(advice)
        })
    });
    each.collect()
}

/// The credentials that cameras and sinks name.
fn credentials(settings: &Settings) -> Vec<Finding> {
    let directory = &settings.daemon.credentials_dir;
    let wanted = wanted(settings);
    if wanted.is_empty() {
        return Vec::new();
    }
    let place = directory.display().to_string();
    if std::fs::read_dir(directory).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        let said = "only root may look into it, so credentials were not looked at";
        return vec![
            Finding::notice((Area::Permissions, "credentials-closed"), place, said).advise("run this with sudo"),
        ];
    }
    let places = site::credentials(settings);
    let mut found = Vec::new();
    for (whose, name) in &wanted {
        match places.find(name) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let said = format!("{whose} names it, and there is none in {place}");
                let advice = format!(
                    "write it there, mode 600, one line; for a camera `user:password`: `install -m 600 /dev/stdin {place}/{name}`"
                );
                found.push(
                    Finding::error((Area::Permissions, "credential-missing"), format!("credential {name}"), said)
                        .advise(advice),
                );
            }
            Err(fault) => {
                let (id, advice) = match &fault {
                    CredentialFault::Exposed { path, .. } => {
                        ("credential-exposed", format!("`chmod 600 {}`", path.display()))
                    }
                    CredentialFault::NotAFile { path } | CredentialFault::Unreadable { path, .. } => {
                        let path = path.display();
                        let advice = format!(
                            "see what is there (`ls -ld {path}`), put it away, and write the credential anew: \
                             `install -m 600 /dev/stdin {path}`"
                        );
                        ("credential-unusable", advice)
                    }
                };
                let finding = Finding::error((Area::Permissions, id), format!("credential {name}"), fault.to_string());
                found.push(finding.advise(advice));
            }
        }
    }
    if found.is_empty() {
        let said = format!("{} credentials are there and private", wanted.len());
        found.push(Finding::ok((Area::Permissions, "credentials"), place, said));
    }
    found
}

fn wanted(settings: &Settings) -> Vec<(String, String)> {
    let cameras = settings.cameras.iter().filter(|(_, camera)| camera.enabled);
    let of_cameras = cameras.filter_map(|(id, camera)| Some((format!("camera {id}"), camera.credential.clone()?)));
    let of_sinks = settings.sinks.iter().flat_map(|(name, sink)| {
        let names = match &sink.kind {
            SinkKind::EventLog(_) => Vec::new(),
            SinkKind::Webhook(its) => vec![its.secret_credential.clone(), its.token_credential.clone()],
            SinkKind::Mqtt(its) => vec![its.credential.clone(), its.client_credential.clone()],
        };
        names.into_iter().flatten().map(move |credential| (format!("sink {name}"), credential))
    });
    of_cameras.chain(of_sinks).collect()
}

fn caller(settings: &Settings) -> Option<Finding> {
    let held = roles::of_caller(settings);
    let user = owner(roles::caller());
    if held.is_none() {
        let group = settings.daemon.view_groups.first().map_or(SERVICE_USER, String::as_str);
        let said = format!("you ({user}) are in none of the groups that may ask the daemon");
        let advice = format!("`sudo adduser {user} {group}`, then log in again");
        return Some(Finding::warning((Area::Permissions, "no-role"), "", said).advise(advice));
    }
    Some(Finding::ok((Area::Permissions, "role"), "", format!("you ({user}) have the role {}", held.words())))
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_state_directory_that_is_not_the_services_is_named_wherever_it_lies() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = format!("[daemon]\nstate-dir = {:?}\n", dir.path().display().to_string());
        let settings = crate::config::parse(Path::new("test.toml"), &text).expect("valid");
        let own = metadata(dir.path()).expect("own folder").uid();
        let named =
            |of_unit, service| state(&settings, of_unit, service).iter().any(|finding| finding.id == "state-dir-owner");
        assert!(named(true, Some(own + 1)));
        assert!(!named(true, Some(own)) && !named(true, None), "the service's own, or no service here");
        assert!(!named(false, Some(own + 1)), "another configuration than the service's");
    }

    #[test]
    fn what_lies_where_the_unit_cannot_write_is_named_with_the_drop_in_that_opens_it() {
        let text = "[daemon]\nstate-dir = \"/srv/sekisho\"\n\
                    [sinks.near]\nkind = \"event-log\"\npath = \"/var/log/sekisho/events.ndjson\"\n\
                    [sinks.far]\nkind = \"event-log\"\npath = \"/mnt/logs/events.ndjson\"\n";
        let settings = crate::config::parse(Path::new("test.toml"), text).expect("valid");
        let of = |unit: &str| {
            let found = closed_by_unit(&settings, unit);
            assert!(found.iter().all(|finding| finding.level == Level::Error && finding.id == "closed-by-unit"));
            found.into_iter().map(|finding| (finding.place, finding.advice)).collect::<Vec<_>>()
        };
        let found = of("ProtectSystem=strict\nReadWritePaths=\nBindPaths=\n");
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["/srv/sekisho", "/mnt/logs/events.ndjson"]);
        assert!(
            found[0].1.contains("ReadWritePaths=/srv/sekisho ") && found[1].1.contains("ReadWritePaths=/mnt/logs ")
        );
        assert!(of("ProtectSystem=strict\nReadWritePaths=-/srv/sekisho /mnt/logs\nBindPaths=\n").is_empty());
        assert!(of("ProtectSystem=strict\nReadWritePaths=/srv\nBindPaths=/data/logs:/mnt/logs:rbind\n").is_empty());
        assert!(of("ProtectSystem=no\nReadWritePaths=\n").is_empty());
        assert_eq!(closed_by_unit(&Settings::default(), "ProtectSystem=strict\nReadWritePaths=\n"), []);
    }
}
