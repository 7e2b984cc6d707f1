//! Who may read and write what: the configuration, the state directory, keys, credentials; and who you are to the daemon.

use super::{Area, Finding};
use crate::config::Settings;
use crate::config::credentials::CredentialFault;
use crate::config::sink_settings::SinkKind;
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

/// Everything the settings name.
pub(super) fn of_settings(settings: &Settings) -> Vec<Finding> {
    let mut found = state(settings);
    found.extend(keys(settings));
    found.extend(credentials(settings));
    found.extend(caller(settings));
    found
}

fn owner(uid: u32) -> String {
    User::from_uid(uid.into()).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name)
}

fn state(settings: &Settings) -> Vec<Finding> {
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
    let of_service = service_user().is_some_and(|user| user.uid.as_raw() == about.uid());
    if state == Path::new("/var/lib/sekisho") && service_user().is_some() && !of_service {
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

fn keys(settings: &Settings) -> Vec<Finding> {
    let its = &settings.store;
    let files = [&its.key_file, &its.audit_key_file];
    let each = files.into_iter().filter_map(|file| {
        let mode = metadata(file).ok()?.mode() & 0o777;
        let place = file.display().to_string();
        (mode & 0o077 != 0).then(|| {
            let said = format!("others can read this key (mode {mode:03o}); the program refuses to use it");
            let advice = format!(
                "`chmod 600 {place}`; whoever could read it may have it: `sekisho gallery rekey` makes another"
            );
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
                let id = match fault {
                    CredentialFault::Exposed { .. } => "credential-exposed",
                    CredentialFault::NotAFile { .. } | CredentialFault::Unreadable { .. } => "credential-unusable",
                };
                let finding = Finding::error((Area::Permissions, id), format!("credential {name}"), fault.to_string());
                found.push(finding.advise(format!("`chmod 600 {place}/{name}`")));
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
