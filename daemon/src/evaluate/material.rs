//! What `evaluate` is given: three folders and a list of groups, read, checked against each other and measured.

use super::note::Note;
use crate::cmd::Failure;
use crate::measure::{Material, Measurer, Medium, ProbeTrack, Template, Tree};
use indicatif::ProgressBar;
use sekisho_logic::embedding::Embedding;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Names in one sentence at the most; the rest is a number.
const NAMES_MAX: usize = 10;

/// Notes about single files that are kept; the rest is a number.
const FILE_NOTES_MAX: usize = 50;

/// The folders, read and checked, nothing measured yet.
#[derive(Debug)]
pub struct Folders {
    gallery: Tree,
    probes: Tree,
    strangers: Option<Tree>,
}

/// One person of the gallery.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Name of the folder.
    pub label: String,
    /// Unit mean of the templates of all usable files.
    pub prototype: Embedding,
    /// The same by the second network, where there is one.
    pub second: Option<Embedding>,
    /// How many templates that were.
    pub templates: usize,
}

/// Everything measured.
#[derive(Debug, Default)]
pub struct Sample {
    /// In the order of their labels.
    pub gallery: Vec<Enrolled>,
    /// Tracks of enrolled people.
    pub probes: Vec<ProbeTrack>,
    /// Tracks of strangers.
    pub strangers: Vec<ProbeTrack>,
    /// Whether a folder of strangers was given.
    pub strangers_given: bool,
    /// What has to be said.
    pub notes: Vec<Note>,
}

/// Names for a sentence, the first ten of them.
#[must_use]
pub fn names<S: AsRef<str>>(all: &[S]) -> String {
    let shown: Vec<_> = all.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    let more = all.len().saturating_sub(NAMES_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Folders {
    /// Reads the folders and holds them against each other.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when one is missing or empty, has files where people's folders belong, when a probe's person
    /// is not in the gallery, or somebody is in the gallery and among the strangers.
    pub fn read(gallery: &Path, probes: &Path, strangers: Option<&Path>) -> Result<Self, Failure> {
        let tree =
            |option: &str, path: &Path| Tree::read(path).map_err(|error| Failure::Wrong(format!("{option}: {error}")));
        let folders = Self {
            gallery: tree("--gallery", gallery)?,
            probes: tree("--probes", probes)?,
            strangers: strangers.map(|path| tree("--strangers", path)).transpose()?,
        };
        for (option, tree, path) in [("--gallery", &folders.gallery, gallery), ("--probes", &folders.probes, probes)] {
            if let Some(loose) = tree.loose.first() {
                return Err(Failure::Wrong(format!(
                    "{option}: {} lies in {} itself, so nobody knows whom it shows; put it into a sub-folder named after \
                     the person",
                    loose.path.display(),
                    path.display(),
                )));
            }
        }
        folders.agree()?;
        Ok(folders)
    }

    fn agree(&self) -> Result<(), Failure> {
        let enrolled: BTreeSet<&str> = self.gallery.people.iter().map(|person| person.label.as_str()).collect();
        let absent: Vec<&str> =
            self.probes.people.iter().map(|p| p.label.as_str()).filter(|label| !enrolled.contains(label)).collect();
        if !absent.is_empty() {
            return Err(Failure::Wrong(format!(
                "--probes: not in the gallery: {}; add a folder of the same name to the gallery, or move theirs to the \
                 strangers",
                names(&absent),
            )));
        }
        let both = self.strangers.iter().flat_map(|tree| &tree.people).map(|p| p.label.as_str());
        let both: Vec<&str> = both.filter(|label| enrolled.contains(label)).collect();
        if !both.is_empty() {
            return Err(Failure::Wrong(format!(
                "--strangers: also in the gallery: {}; a stranger is nobody who is enrolled, so rename or remove one of \
                 the two folders",
                names(&both),
            )));
        }
        Ok(())
    }

    /// Labels of all people with probes, and of strangers with folders.
    #[must_use]
    pub fn labels(&self) -> (Vec<&str>, Vec<&str>) {
        let strangers = self.strangers.iter().flat_map(|tree| &tree.people).map(|p| p.label.as_str());
        (self.probes.people.iter().map(|p| p.label.as_str()).collect(), strangers.collect())
    }

    /// Whether there is a clip among the probes or strangers: without one no confirming can be measured.
    #[must_use]
    pub fn has_clips(&self) -> bool {
        let of = |tree: &Tree| {
            let files = tree.people.iter().flat_map(|person| &person.files).chain(&tree.loose);
            files.into_iter().any(|file| file.medium == Medium::Clip)
        };
        of(&self.probes) || self.strangers.as_ref().is_some_and(of)
    }

    /// Files to look at.
    #[must_use]
    pub fn files(&self) -> usize {
        self.gallery.files() + self.probes.files() + self.strangers.as_ref().map_or(0, Tree::files)
    }

    /// Looks at every file. Files that give nothing are left out with a note.
    ///
    /// # Errors
    /// [`Failure::No`] when nothing usable is left of the gallery or of the probes.
    pub fn measure(&self, measurer: &mut Measurer<'_>, bar: &ProgressBar) -> Result<Sample, Failure> {
        let mut sample = Sample { strangers_given: self.strangers.is_some(), ..Sample::default() };
        let mut reader = Reader { measurer, bar, skipped: Vec::new(), seen: BTreeMap::new() };
        reader.gallery(&self.gallery, &mut sample)?;
        let enrolled: BTreeSet<String> = sample.gallery.iter().map(|person| person.label.clone()).collect();
        let begun = reader.skipped.len();
        for person in &self.probes.people {
            if !enrolled.contains(&person.label) {
                bar.inc(person.files.len() as u64);
                continue;
            }
            for file in &person.files {
                sample.probes.extend(reader.probe(Some(&person.label), &person.label, file, &mut sample.notes));
            }
        }
        if sample.probes.is_empty() {
            return Err(reader.nothing_left("--probes", begun));
        }
        if let Some(strangers) = &self.strangers {
            let begun = reader.skipped.len();
            for person in &strangers.people {
                for file in &person.files {
                    sample.strangers.extend(reader.probe(None, &person.label, file, &mut sample.notes));
                }
            }
            for file in &strangers.loose {
                let unit = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                sample.strangers.extend(reader.probe(None, &unit, file, &mut sample.notes));
            }
            if sample.strangers.is_empty() {
                return Err(reader.nothing_left("--strangers", begun));
            }
        }
        reader.note_skipped(&mut sample.notes);
        self.note_ignored(&mut sample.notes);
        Ok(sample)
    }

    fn note_ignored(&self, notes: &mut Vec<Note>) {
        let trees = [Some(&self.gallery), Some(&self.probes), self.strangers.as_ref()];
        let ignored: Vec<String> =
            trees.into_iter().flatten().flat_map(|tree| &tree.ignored).map(|path| path.display().to_string()).collect();
        if !ignored.is_empty() {
            notes.push(Note::new("ignored", [("count", ignored.len().to_string()), ("names", names(&ignored))]));
        }
    }
}

/// Looks at files one after the other.
struct Reader<'m, 'e> {
    measurer: &'m mut Measurer<'e>,
    bar: &'m ProgressBar,
    skipped: Vec<String>,
    /// SHA-256 of every file of the gallery.
    seen: BTreeMap<[u8; 32], PathBuf>,
}

impl Reader<'_, '_> {
    fn gallery(&mut self, tree: &Tree, sample: &mut Sample) -> Result<(), Failure> {
        let (mut single, mut failed) = (Vec::new(), Vec::new());
        for person in &tree.people {
            let mut templates: Vec<Template> = Vec::new();
            for file in &person.files {
                self.step(&file.path);
                if let Some(digest) = digest(&file.path) {
                    self.seen.insert(digest, file.path.clone());
                }
                match self.measurer.enrol(file) {
                    Ok(found) => templates.extend(found),
                    Err(skipped) => self.skipped.push(skipped.to_string()),
                }
            }
            match mean(templates.iter().map(|template| &template.embedding)) {
                Some(prototype) => {
                    let second = mean(templates.iter().filter_map(|template| template.second.as_ref()));
                    if person.files.len() == 1 {
                        single.push(person.label.clone());
                    }
                    let (label, templates) = (person.label.clone(), templates.len());
                    sample.gallery.push(Enrolled { label, prototype, second, templates });
                }
                None => failed.push(person.label.clone()),
            }
        }
        if sample.gallery.is_empty() {
            return Err(self.nothing_left("--gallery", 0));
        }
        for (key, people) in [("one-photo", single), ("not-enrolled", failed)] {
            if !people.is_empty() {
                let (count, of) = (people.len().to_string(), tree.people.len().to_string());
                sample.notes.push(Note::new(key, [("count", count), ("of", of), ("names", names(&people))]));
            }
        }
        Ok(())
    }

    fn probe(&mut self, who: Option<&str>, unit: &str, file: &Material, notes: &mut Vec<Note>) -> Vec<ProbeTrack> {
        self.step(&file.path);
        if let Some(twin) = digest(&file.path).and_then(|digest| self.seen.get(&digest)) {
            if notes.len() < FILE_NOTES_MAX {
                let values = [("file", file.path.display().to_string()), ("other", twin.display().to_string())];
                notes.push(Note::new("same-file", values));
            }
            return Vec::new();
        }
        self.measurer.probe(who, unit, file).unwrap_or_else(|skipped| {
            self.skipped.push(skipped.to_string());
            Vec::new()
        })
    }

    fn step(&self, path: &Path) {
        self.bar.set_message(path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        self.bar.inc(1);
    }

    /// The failure that every file since the `begun`th skipped one was left out.
    fn nothing_left(&self, option: &str, begun: usize) -> Failure {
        let skipped = &self.skipped[begun.min(self.skipped.len())..];
        Failure::No(match skipped.first() {
            Some(first) => {
                format!(
                    "{option}: nothing usable is left; {} files were left out, the first was {first}",
                    skipped.len()
                )
            }
            None => {
                format!("{option}: nothing usable is left, because every file is in the gallery as well; take others")
            }
        })
    }

    fn note_skipped(&self, notes: &mut Vec<Note>) {
        for said in self.skipped.iter().take(FILE_NOTES_MAX) {
            notes.push(Note::new("skipped", [("said", said.clone())]));
        }
        if let Some(more) = self.skipped.len().checked_sub(FILE_NOTES_MAX).filter(|more| *more > 0) {
            notes.push(Note::new("skipped-more", [("count", more.to_string())]));
        }
    }
}

/// SHA-256 of a file; `None` for one that cannot be read, which is said where it is looked at.
fn digest(path: &Path) -> Option<[u8; 32]> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path).ok()?, &mut hasher).ok()?;
    Some(hasher.finalize().into())
}

fn mean<'t>(templates: impl Iterator<Item = &'t Embedding>) -> Option<Embedding> {
    let mut sum = Vec::new();
    for template in templates {
        sum.resize(template.dim(), 0.0_f32);
        sum.iter_mut().zip(template.as_slice()).for_each(|(sum, value)| *sum += value);
    }
    Embedding::try_new(&sum).ok()
}
