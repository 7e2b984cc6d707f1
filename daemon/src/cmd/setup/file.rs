//! What set-up writes: each file whole or not at all, private where it must be, and in the end everything with its right owner.

use crate::checkup::SERVICE_USER;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::sink_settings::SinkKind;
use nix::unistd::User;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::{DirBuilder, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
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

/// `text` with keys in a section that may be there already. What it said of these keys before goes.
pub(super) fn with_keys(text: &str, section: &str, keys: &[(&str, String)]) -> String {
    let Some(at) = text.lines().position(|line| heads(line, section)) else {
        return with_section(text, section, keys);
    };
    let (before, after): (Vec<_>, Vec<_>) = (text.lines().take(at + 1).collect(), text.lines().skip(at + 1).collect());
    let end = after.iter().position(|line| line.trim_start().starts_with('[')).unwrap_or(after.len());
    let stays = |line: &&&str| !keys.iter().any(|(key, _)| sets(line, key));
    let new: Vec<_> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    let own = new.iter().map(String::as_str).chain(after[..end].iter().filter(stays).copied());
    before.into_iter().chain(own).chain(after[end..].iter().copied()).map(|line| format!("{line}\n")).collect()
}

/// Whether a line begins `[section]`, with a remark perhaps.
fn heads(line: &str, section: &str) -> bool {
    let inner = line.trim().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    inner.is_some_and(|(name, rest)| {
        name.trim() == section && matches!(rest.trim_start().bytes().next(), None | Some(b'#'))
    })
}

fn sets(line: &str, key: &str) -> bool {
    line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
}

/// Refuses where the configuration is not as it was read: what somebody else wrote meanwhile is not to be lost.
pub(super) fn unchanged(config: &Path, (before, there): (&str, bool)) -> Result<(), Failure> {
    let now = match std::fs::read_to_string(config) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::No(format!("{}: {error}; nothing was written", config.display()))),
    };
    match now.as_deref() == there.then_some(before) {
        true => Ok(()),
        false => Err(Failure::No(format!(
            "{} was changed meanwhile, so nothing was written; run `sekisho setup` again",
            config.display()
        ))),
    }
}

/// A name for a credential that no other file has: `name`, else `name-2` and so on. A file that says the same will do.
pub(super) fn free(folder: &Path, name: &str, text: &[u8]) -> Result<String, Failure> {
    let mut names = (1..=99).map(|nth| if nth == 1 { name.to_owned() } else { format!("{name}-{nth}") });
    let found = names.find(|name| {
        let path = folder.join(name);
        path.symlink_metadata().is_err() || std::fs::read(&path).is_ok_and(|there| there == text)
    });
    found.ok_or_else(|| Failure::No(format!("{} holds {name} to {name}-99; nothing was changed", folder.display())))
}

/// Writes a file beside its place and puts it there when it is whole, with the mode that is given, whatever the umask, and the
/// owner and group of `like`.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32, like: Option<&Metadata>) -> Result<(), Failure> {
    let no =
        |error: io::Error| Failure::No(format!("{}: {error}; run this with sudo, or check the folder", path.display()));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = path.with_file_name(name);
    let _left_over = std::fs::remove_file(&draft);
    let write = || {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        let own = file.metadata()?;
        if let Some(like) = like.filter(|like| (like.uid(), like.gid()) != (own.uid(), own.gid())) {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    write().map_err(|error| {
        let _draft = std::fs::remove_file(&draft);
        no(error)
    })
}

/// Makes a folder with this mode, whatever the umask, and those above it; one that is there stays as it is.
pub(super) fn folder(path: &Path, mode: u32) -> Result<(), Failure> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        folder(above, 0o755)?;
    }
    let made = DirBuilder::new().mode(mode).create(path);
    let made = made.and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)));
    made.map_err(|error| Failure::No(format!("{}: {error}; run this with sudo", path.display())))
}

/// Where the configuration that was there is kept.
pub(super) fn kept(config: &Path) -> PathBuf {
    let mut name = config.file_name().unwrap_or_default().to_owned();
    name.push(".before-setup");
    config.with_file_name(name)
}

/// Who owns what is written here.
pub(super) fn user() -> String {
    let id = nix::unistd::geteuid();
    User::from_uid(id).ok().flatten().map_or_else(|| format!("user {id}"), |user| user.name)
}

/// Gives what root made to the service's user, so that the service can use it. Without root there is nothing to give.
///
/// The folders belong to that user, who may change what lies there at any moment: whoever took the service over would have root
/// give away a system file in its place. So nothing is looked at by its path twice: what was opened is looked at, and given.
pub(super) fn settle(settings: &Settings, made_state: bool) -> Result<(), Failure> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let state = &settings.daemon.state_dir;
    let service = User::from_name(SERVICE_USER).ok().flatten();
    let no = |path: &Path, error: io::Error| {
        Failure::No(format!("{}: {error}; the service may not be able to use it", path.display()))
    };
    // By whatever links lead to it: they stand in the configuration's path and not in the service's folder.
    let Ok(opened) = rustix::fs::open(state, FOLDER, Mode::empty()) else { return Ok(()) };
    if made_state && let Some(user) = &service {
        let to = (Uid::from_raw(user.uid.as_raw()), Gid::from_raw(user.gid.as_raw()));
        rustix::fs::fchown(&opened, Some(to.0), Some(to.1)).map_err(|error| no(state, error.into()))?;
    }
    let about = rustix::fs::fstat(&opened).map_err(|error| no(state, error.into()))?;
    let to = (Uid::from_raw(about.st_uid), Gid::from_raw(about.st_gid));
    if to.0.is_root() {
        return Ok(());
    }
    give(&opened, to, DEPTH_MAX).map_err(|error| no(state, error.into()))?;
    // Event logs in the service's own folder.
    for sink in settings.sinks.values() {
        let SinkKind::EventLog(log) = &sink.kind else { continue };
        let Some(folder) = log.path.parent().filter(|folder| folder.ends_with("log/sekisho")) else { continue };
        // What lies in the state directory was given already, and there the path is not to be trusted.
        if folder.starts_with(state) {
            continue;
        }
        let Ok(opened) = rustix::fs::open(folder, FOLDER | OFlags::NOFOLLOW, Mode::empty()) else { continue };
        let given = rustix::fs::fchown(&opened, Some(to.0), Some(to.1)).and_then(|()| give(&opened, to, 1));
        given.map_err(|error| no(folder, error.into()))?;
    }
    Ok(())
}

/// How a folder is opened to be read.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Every file and folder in `folder` that belongs to root goes to `to`, but for links and files that have another name elsewhere.
fn give(folder: &OwnedFd, to: (Uid, Gid), depth: usize) -> rustix::io::Result<()> {
    let itself = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if [c".", c".."].contains(&entry.file_name()) {
            continue;
        }
        let opened = match rustix::fs::openat(folder, entry.file_name(), itself, Mode::empty()) {
            // The service may run and tidy up meanwhile.
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        let about = rustix::fs::fstat(&opened)?;
        let is_folder = match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile if about.st_nlink == 1 => false,
            _ => continue,
        };
        if about.st_uid == 0 {
            rustix::fs::chownat(&opened, c"", Some(to.0), Some(to.1), AtFlags::EMPTY_PATH)?;
        }
        if is_folder && depth > 0 {
            give(&rustix::fs::openat(&opened, c".", FOLDER, Mode::empty())?, to, depth - 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use rustix::fs::{CWD, RenameFlags};
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering};

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

    /// Somebody swaps a folder of the service for a link to a system's folder, and back, all the while.
    #[test]
    fn nothing_outside_is_given_away_however_fast_a_folder_becomes_a_link() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        for folder in ["state", "state/kept", "etc"] {
            std::fs::create_dir(path(folder)).expect("own folder");
        }
        for file in ["state/kept/one", "etc/shadow", "etc/passwd"] {
            std::fs::write(path(file), "x").expect("own file");
        }
        std::fs::hard_link(path("etc/passwd"), path("state/passwd")).expect("linked");
        symlink(path("etc"), path("link")).expect("linked");
        let opened = rustix::fs::open(path("state"), FOLDER, Mode::empty()).expect("opened");
        let to = (Uid::from_raw(4242), Gid::from_raw(4242));
        give(&opened, to, DEPTH_MAX).expect("given");
        let owner = |name: &str| std::fs::symlink_metadata(path(name)).expect("there").uid();
        assert_eq!([owner("state/kept"), owner("state/kept/one")], [4242, 4242]);
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, path("link"), CWD, path("state/kept"), RenameFlags::EXCHANGE)
                        .expect("swapped");
                }
            });
            // It was given away within the first thousand when paths were gone by.
            for _ in 0..20_000 {
                give(&opened, to, DEPTH_MAX).expect("given");
            }
            ended.store(true, Ordering::Relaxed);
        });
        for name in ["etc", "etc/shadow", "etc/passwd", "state/passwd"] {
            assert_eq!(owner(name), 0, "{name} was given away");
        }
    }

    #[test]
    fn a_section_with_a_remark_or_an_empty_key_is_extended() {
        let keys = [("controller", quoted("K.K."))];
        for text in [
            "[privacy] # ours\nprofile = \"jp\"\n",
            "[ privacy ]\nprofile = \"jp\"\ncontroller = \"\"\n",
            "[privacy]\ncontroller=''\nprofile = \"jp\"\n#controller = \"somebody\"\n[daemon]\n",
        ] {
            let settings = read(&with_keys(text, "privacy", &keys));
            assert_eq!(settings.privacy.controller.as_deref(), Some("K.K."), "{text}");
            assert_eq!(settings.privacy.profile, read("[privacy]\nprofile = \"jp\"\n").privacy.profile, "{text}");
        }
        let other = "[sinks.a]\nkind = \"event-log\"\npath = \"/x\"\n[privacy]\n";
        assert!(
            with_keys(other, "privacy", &[("path", quoted("/y"))]).contains("path = \"/x\""),
            "another section's key"
        );
    }

    #[test]
    fn a_credential_that_is_there_is_not_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let name = |text: &str| free(dir.path(), "gate", text.as_bytes()).expect("a name");
        assert_eq!(name("a:b\n"), "gate");
        std::fs::write(dir.path().join("gate"), "a:b\n").expect("written");
        assert_eq!((name("a:b\n").as_str(), name("a:c\n").as_str()), ("gate", "gate-2"));
    }

    #[test]
    fn what_somebody_wrote_meanwhile_is_not_lost() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = dir.path().join("sekisho.toml");
        unchanged(&config, (SHIPPED, false)).expect("still not there");
        std::fs::write(&config, "a").expect("written");
        unchanged(&config, ("a", true)).expect("as it was");
        for before in [("b", true), (SHIPPED, false), ("a", false)] {
            let error = unchanged(&config, before).expect_err("refused").to_string();
            assert!(error.contains("changed meanwhile"), "{error}");
        }
        std::fs::remove_file(&config).expect("own file");
        unchanged(&config, ("a", true)).expect_err("gone");
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_has_its_mode() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        put(&path, b"one", 0o600, None).expect("written");
        put(&path, b"two", 0o600, None).expect("written over");
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
        assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1, "no draft is left");
        assert!(put(&dir.path().join("no/such/folder"), b"x", 0o600, None).is_err());
    }
}
