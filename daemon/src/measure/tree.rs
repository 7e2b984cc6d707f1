//! Folders of labelled material: one sub-folder a person, in it photographs and clips of that person.

use std::path::{Path, PathBuf};

/// What a file is, by its extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// JPEG or PNG: one picture.
    Photo,
    /// A recording.
    Clip,
}

/// One file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Material {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub medium: Medium,
}

/// One person's sub-folder; its name is the person's label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Name of the sub-folder.
    pub label: String,
    /// Its files, by name; at least one.
    pub files: Vec<Material>,
}

/// A folder of labelled material.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// Sub-folders by name.
    pub people: Vec<Person>,
    /// Files that lie beside the sub-folders.
    pub loose: Vec<Material>,
    /// Files that are neither photograph nor clip, and sub-folders without either.
    pub ignored: Vec<PathBuf>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTree {
    /// It is not there, is no folder, or may not be read.
    #[error("{path}: {why}; give a folder with one sub-folder a person")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// It holds nothing to look at.
    #[error("{path} holds no photographs (jpg, png) and no clips (mp4, mkv, h264) in sub-folders, one a person")]
    Empty {
        /// Which.
        path: PathBuf,
    },
}

impl Tree {
    /// Reads a folder. Names that begin with a dot are passed over; names that are not Unicode are shown as they can be.
    ///
    /// # Errors
    /// [`BadTree`] when it cannot be read or has no photograph and no clip at all.
    pub fn read(root: &Path) -> Result<Self, BadTree> {
        let mut tree = Self::default();
        for path in entries(root)? {
            if !path.is_dir() {
                tree.sort_in(path);
                continue;
            }
            let label = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let mut inside = Self::default();
            entries(&path)?.into_iter().for_each(|file| inside.sort_in(file));
            tree.ignored.append(&mut inside.ignored);
            if inside.loose.is_empty() {
                tree.ignored.push(path);
            } else {
                tree.people.push(Person { label, files: inside.loose });
            }
        }
        if tree.people.is_empty() && tree.loose.is_empty() {
            return Err(BadTree::Empty { path: root.to_owned() });
        }
        Ok(tree)
    }

    /// Files to look at.
    #[must_use]
    pub fn files(&self) -> usize {
        self.loose.len() + self.people.iter().map(|person| person.files.len()).sum::<usize>()
    }

    fn sort_in(&mut self, path: PathBuf) {
        match medium(&path) {
            Some(medium) => self.loose.push(Material { path, medium }),
            None => self.ignored.push(path),
        }
    }
}

/// What a file is, by its extension; `None` for what is not looked at.
fn medium(path: &Path) -> Option<Medium> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "jpg" | "jpeg" | "png" => Some(Medium::Photo),
        "mp4" | "m4v" | "mov" | "mkv" | "webm" | "h264" | "264" | "h265" | "265" | "hevc" => Some(Medium::Clip),
        _ => None,
    }
}

/// The entries of a folder in the order of their names, so that two runs see the same.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, BadTree> {
    let unreadable = |error: std::io::Error| BadTree::Unreadable { path: folder.to_owned(), why: error.to_string() };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_loose_files_and_what_is_neither_are_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let put = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            std::fs::write(path, b"x").expect("a file");
        };
        let names = ["bob/b.MP4", "ann/2.jpg", "ann/1.PNG", "ann/notes.txt", "passing.mkv", ".hidden/x.jpg"];
        names.into_iter().for_each(put);
        std::fs::create_dir(dir.path().join("cat")).expect("a folder");
        let tree = Tree::read(dir.path()).expect("usable");
        let labels: Vec<_> = tree.people.iter().map(|person| (person.label.as_str(), person.files.len())).collect();
        assert_eq!(labels, [("ann", 2), ("bob", 1)]);
        assert_eq!(tree.people[1].files[0].medium, Medium::Clip);
        assert_eq!((tree.loose.len(), tree.files()), (1, 4));
        assert_eq!(tree.ignored, [dir.path().join("ann/notes.txt"), dir.path().join("cat")]);
    }

    #[test]
    fn a_folder_that_is_missing_or_empty_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let missing = Tree::read(&dir.path().join("nowhere")).expect_err("not there").to_string();
        assert!(missing.contains("nowhere") && missing.contains("sub-folder"), "{missing}");
        assert!(matches!(Tree::read(dir.path()), Err(BadTree::Empty { .. })));
    }
}
