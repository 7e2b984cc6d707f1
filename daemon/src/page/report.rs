//! Putting reports into a folder: the page and the JSON beside it, readable by their owner only, each complete or not
//! there at all.

use crate::cmd::Failure;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A folder that reports can be written to; tried before the work, so that a day's survey does not end in an error.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Takes a folder, making it (mode 0700) when it is absent; one that is there keeps its mode.
    ///
    /// # Errors
    /// [`Failure::No`] when it cannot be made or written to.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let folder = Self(path.to_owned());
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| folder.refused(&error))?;
        }
        let trial = path.join(format!(".sekisho-{}", std::process::id()));
        let tried = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&trial);
        tried.and_then(|_| std::fs::remove_file(&trial)).map_err(|error| folder.refused(&error))?;
        Ok(folder)
    }

    /// Writes a file of mode 0600, replacing one of that name; gives its path.
    ///
    /// # Errors
    /// [`Failure::No`] naming the file.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        self.write_bytes(name, text.as_bytes())
    }

    /// As [`write`](Self::write), for what is no text.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_bytes(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!(".{name}.{}", std::process::id())));
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        write().map_err(|error| {
            // What is left of a failed attempt is no report.
            let _removed = std::fs::remove_file(&fresh);
            Failure::No(format!("{}: {error}; choose a folder with room that you may write to", path.display()))
        })?;
        Ok(path)
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::No(format!(
            "reports cannot be written to {}: {error}; choose a folder that you may write to",
            self.0.display()
        ))
    }
}

/// A clip's or camera's name as part of a file name: letters, digits, '-' and '_', at most 60 of them.
#[must_use]
pub fn file_stem(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let stem: String = name.chars().map(plain).take(60).collect();
    let stem = stem.trim_matches('-');
    if stem.is_empty() { "clip".to_owned() } else { stem.to_owned() }
}

/// The file stem for the report of a clip, told apart from those given out before.
pub fn free_stem(clip: &Path, given: &mut BTreeSet<String>) -> String {
    let stem = file_stem(&clip.file_stem().unwrap_or_default().to_string_lossy());
    let more = (2..).map(|count: u32| format!("{stem}-{count}"));
    let free = std::iter::once(stem.clone()).chain(more).find(|name| !given.contains(name)).unwrap_or(stem);
    given.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn reports_are_for_their_owner_and_replace_older_ones() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("new/deeper");
        let folder = Folder::open(&path).expect("made");
        let file = folder.write("a.html", "one").expect("written");
        assert_eq!(folder.write("a.html", "two").expect("written again"), file);
        assert_eq!(std::fs::read_to_string(&file).expect("there"), "two");
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&file)), (0o700, 0o600));
        assert_eq!(std::fs::read_dir(&path).expect("a folder").count(), 1, "nothing else is left behind");
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_one_sentence() {
        let place = tempfile::NamedTempFile::new().expect("a file");
        let said = Folder::open(&place.path().join("x")).expect_err("no folder").to_string();
        assert!(said.contains("choose a folder") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn names_of_clips_become_plain_file_names() {
        assert_eq!(file_stem("../..//etc passwd.mp4"), "etc-passwd-mp4");
        assert_eq!(file_stem("///"), "clip");
        let mut given = BTreeSet::new();
        let clips = ["a/gate.mp4", "b/gate.mkv", "gate.mp4"].map(|clip| free_stem(Path::new(clip), &mut given));
        assert_eq!(clips, ["gate", "gate-2", "gate-3"]);
    }
}
