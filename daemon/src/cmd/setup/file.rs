//! What set-up writes: each file whole or not at all, private where it must be, and in the end everything with its right owner.

use crate::checkup::SERVICE_USER;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::sink_settings::SinkKind;
use nix::unistd::User;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

/// What a new configuration begins with: the shipped one, which is its own manual and means the defaults.
const SHIPPED: &str = include_str!("../../../../deploy/config.toml");
/// Depth of folders below the state directory that are given to its owner.
const DEPTH_MAX: usize = 4;

/// The text of the configuration that is there, or of the shipped one.
pub(super) fn text(config: &Path) -> Result<(String, bool), Failure> {
    match std::fs::read_to_string(config) {
        Ok(text) => Ok((text, true)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((SHIPPED.to_owned(), false)),
        Err(error) => Err(Failure::Wrong(format!("{}: {error}; run this with sudo", config.display()))),
    }
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// `text` with `[section]` and its keys at the end.
pub(super) fn with_section(text: &str, section: &str, keys: &[(&str, String)]) -> String {
    let lines: String = keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    format!("{}\n\n[{section}]\n{lines}", text.trim_end())
}

/// `text` with keys in a section that may be there already. They must not be set there.
pub(super) fn with_keys(text: &str, section: &str, keys: &[(&str, String)]) -> String {
    let head = format!("[{section}]");
    let Some(at) = text.lines().position(|line| line.trim() == head) else { return with_section(text, section, keys) };
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let new = keys.iter().map(|(key, value)| format!("{key} = {value}"));
    lines.splice(at + 1..at + 1, new);
    lines.join("\n") + "\n"
}

/// Writes a file beside its place and puts it there when it is whole.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let no =
        |error: io::Error| Failure::No(format!("{}: {error}; run this with sudo, or check the folder", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let _left_over = std::fs::remove_file(&draft);
    let write = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error| {
        let _draft = std::fs::remove_file(&draft);
        no(error)
    })
}

/// Makes a folder with this mode, and those above it; one that is there stays as it is.
pub(super) fn folder(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        folder(above, 0o755)?;
    }
    let made = DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| Failure::No(format!("{}: {error}; run this with sudo", path.display())))
}

/// Where the configuration that was there is kept.
pub(super) fn kept(config: &Path) -> PathBuf {
    let mut name = config.file_name().unwrap_or_default().to_owned();
    name.push(".before-setup");
    config.with_file_name(name)
}

/// Gives what root made to the service's user, so that the service can use it. Without root there is nothing to give.
pub(super) fn settle(settings: &Settings, made_state: bool) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let state = &settings.daemon.state_dir;
    let service = User::from_name(SERVICE_USER).ok().flatten();
    let no = |path: &Path, error: io::Error| {
        Failure::No(format!("{}: {error}; the service may not be able to use it", path.display()))
    };
    if made_state && let Some(user) = &service {
        chown(state, Some(user.uid.as_raw()), Some(user.gid.as_raw())).map_err(|error| no(state, error))?;
    }
    let Ok(about) = std::fs::metadata(state) else { return Ok(()) };
    give(state, (about.uid(), about.gid()), DEPTH_MAX).map_err(|error| no(state, error))?;
    // Event logs in the service's own folder.
    for sink in settings.sinks.values() {
        let SinkKind::EventLog(log) = &sink.kind else { continue };
        let Some(folder) = log.path.parent().filter(|folder| folder.ends_with("log/sekisho")) else { continue };
        if folder.is_dir() && about.uid() != 0 {
            chown(folder, Some(about.uid()), Some(about.gid())).map_err(|error| no(folder, error))?;
            give(folder, (about.uid(), about.gid()), 1).map_err(|error| no(folder, error))?;
        }
    }
    Ok(())
}

/// Everything in a folder that belongs to root goes to `to`. Links are not followed.
fn give(folder: &Path, to: (u32, u32), depth: usize) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.uid() == 0 && to.0 != 0 && !about.is_symlink() {
            chown(entry.path(), Some(to.0), Some(to.1))?;
        }
        if about.is_dir() && depth > 0 {
            give(&entry.path(), to, depth - 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn read(text: &str) -> Settings {
        config::parse(Path::new("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    #[test]
    fn sections_and_keys_go_into_the_shipped_file_without_harming_a_comment() {
        let privacy = [("controller", quoted("Kabushiki \"Kaisha\" \\ 1"))];
        let text = with_keys(SHIPPED, "privacy", &privacy);
        let text = with_section(&text, "cameras.gate", &[("source", quoted("rtsp://192.0.2.1/a?b=1&c=2"))]);
        let settings = read(&text);
        assert_eq!(settings.privacy.controller.as_deref(), Some("Kabushiki \"Kaisha\" \\ 1"));
        assert_eq!(settings.cameras.len(), 1);
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(comments(&text), comments(SHIPPED));
        assert_eq!(read(&with_keys("", "privacy", &privacy)).privacy.controller, settings.privacy.controller);
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_has_its_mode() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        put(&path, b"one", 0o600).expect("written");
        put(&path, b"two", 0o600).expect("written over");
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "no draft is left");
        assert!(put(&dir.path().join("no/such/folder"), b"x", 0o600).is_err());
    }
}
