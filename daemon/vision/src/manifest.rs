//! `models/manifest.toml`: what every network must be. The file itself documents its keys.
//!
//! Reading it collects every problem before answering, each named by file and key, so that one look repairs all.

mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The version of the alignment and sampling code in this crate. Raised whenever a crop of the same picture changes
/// beyond rounding, because templates made before are then no longer comparable.
pub const PREPROCESSING_VERSION: u32 = 1;

/// What a network may be used for: the stricter of its licence and its training data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Usage {
    /// No restriction known.
    Commercial,
    /// Research and pilots only.
    NonCommercial,
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commercial => "commercial",
            Self::NonCommercial => "non-commercial",
        })
    }
}

/// One dimension of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Chosen at each run; the name is for people.
    Free(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Free(name) => f.write_str(name),
        }
    }
}

/// Order of the colour planes a network expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What goes in. The layout is always NCHW.
#[derive(Clone, Debug, PartialEq)]
pub struct InputContract {
    /// Tensor name.
    pub name: String,
    /// Batch, 3, height, width.
    pub shape: [Dim; 4],
    /// Order of the channels.
    pub colour: Colour,
    /// Subtracted from a pixel (0..=255), one a channel in the order of `colour`.
    pub mean: [f32; 3],
    /// What the difference is multiplied with.
    pub scale: [f32; 3],
}

/// One tensor that comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputContract {
    /// Tensor name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<Dim>,
}

/// How a detector's outputs become faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoder {
    /// YuNet 2023mar: anchor-free, strides 8, 16 and 32, five landmarks.
    Yunet,
}

/// What only an embedder has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderContract {
    /// Which output is the embedding.
    pub output: String,
    /// Its number of components.
    pub size: usize,
    /// `[x, y, width, height]` of the 112x112 crop that is stretched to the input; `[0, 0, 112, 112]` is all of it.
    pub crop_part: [usize; 4],
    /// Input width and height in pixels.
    pub input_size_px: (usize, usize),
    /// Most crops in one run.
    pub batch_max: usize,
    /// Version of alignment and sampling its templates are bound to.
    pub preprocessing_version: u32,
    /// Calibration table, relative to the manifest.
    pub calibration: Option<PathBuf>,
}

/// What a network is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Finds faces.
    Detector(Decoder),
    /// Turns an aligned face into a vector.
    Embedder(EmbedderContract),
}

impl Role {
    /// The word used in the manifest.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Detector(_) => "detector",
            Self::Embedder(_) => "embedder",
        }
    }
}

/// The contract of one network.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name it is chosen by.
    pub id: String,
    /// File name.
    pub file: PathBuf,
    /// SHA-256 of the file, lower-case hex.
    pub sha256: String,
    /// Where it comes from, for people.
    pub source: String,
    /// SPDX identifier.
    pub licence: String,
    /// What the identifier does not say.
    pub licence_note: String,
    /// What the weights may be used for.
    pub usage: Usage,
    /// What goes in.
    pub input: InputContract,
    /// What comes out.
    pub outputs: Vec<OutputContract>,
    /// What it is for.
    pub role: Role,
    /// Stored answer to the self-test's input, relative to the manifest.
    pub golden: Option<PathBuf>,
    /// The entry whose network this is with its weights written otherwise.
    pub rendering_of: Option<String>,
}

impl Entry {
    /// Whether both are one network, perhaps with weights written otherwise: they make the same mistakes.
    #[must_use]
    pub fn is_same_network(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 || self.network() == other.network()
    }

    /// The network's name, whichever way its weights are written.
    #[must_use]
    pub fn network(&self) -> &str {
        self.rendering_of.as_deref().unwrap_or(&self.id)
    }

    /// The embedder's part of the contract.
    ///
    /// # Errors
    /// [`ManifestError::WrongRole`] for any other network.
    pub fn embedder(&self) -> Result<&EmbedderContract, ManifestError> {
        match &self.role {
            Role::Embedder(contract) => Ok(contract),
            Role::Detector(_) => Err(self.wrong_role("an embedder")),
        }
    }

    /// The detector's decoder.
    ///
    /// # Errors
    /// [`ManifestError::WrongRole`] for any other network.
    pub fn detector(&self) -> Result<Decoder, ManifestError> {
        match self.role {
            Role::Detector(decoder) => Ok(decoder),
            Role::Embedder(_) => Err(self.wrong_role("a detector")),
        }
    }

    fn wrong_role(&self, wanted: &'static str) -> ManifestError {
        ManifestError::WrongRole { id: self.id.clone(), is: self.role.as_str(), wanted }
    }
}

/// Every network the installation knows, by id.
#[derive(Clone, Debug)]
pub struct Manifest {
    path: PathBuf,
    pairs: Option<PathBuf>,
    golden_picture: Option<PathBuf>,
    dirs: Vec<PathBuf>,
    entries: BTreeMap<String, Arc<Entry>>,
}

/// Why there is no manifest, or no such entry in it.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("{}: cannot read the model manifest: {source}", path.display())]
    Unreadable {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file can be read but does not say what it must. All problems are listed, each with its key.
    #[error("{}: {} in the model manifest:\n  {}", path.display(), count(problems.len()), problems.join("\n  "))]
    Invalid {
        /// The manifest.
        path: PathBuf,
        /// `key: what is wrong`, in the order of the file's sections.
        problems: Vec<String>,
    },
    /// The configuration names a network that is not in the manifest.
    #[error("{}: there is no model `{id}`; the manifest knows {}", path.display(), known.join(", "))]
    Unknown {
        /// The manifest.
        path: PathBuf,
        /// What was asked for.
        id: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The configuration names a detector where an embedder is wanted, or the other way round.
    #[error("model `{id}` is of role `{is}` where {wanted} is wanted; choose another id")]
    WrongRole {
        /// The network.
        id: String,
        /// Its role.
        is: &'static str,
        /// What it was to be.
        wanted: &'static str,
    },
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".into() } else { format!("{problems} problems") }
}

/// A manifest of any sensible length is far below this; it bounds what a wrong path can make us read.
const BYTES_MAX: u64 = 1 << 20;

impl Manifest {
    /// Reads and checks the whole file.
    ///
    /// # Errors
    /// [`ManifestError::Unreadable`], or [`ManifestError::Invalid`] with every problem at once.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let text =
            read_bounded(path).map_err(|source| ManifestError::Unreadable { path: path.to_path_buf(), source })?;
        Self::parse(&text, path)
    }

    /// As [`load`](Self::load), from text already read; `path` is named in messages and its folder is where files are
    /// looked for first.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`] with every problem at once.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ManifestError> {
        let invalid = |problems| ManifestError::Invalid { path: path.to_path_buf(), problems };
        let table = text.parse::<toml::Table>().map_err(|e| invalid(vec![e.to_string().trim_end().to_owned()]))?;
        let read::Stated { entries, pairs, golden_picture } = read::entries(&table).map_err(invalid)?;
        let beside = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Self { path: path.to_path_buf(), pairs, golden_picture, dirs: vec![beside], entries })
    }

    /// Also looks for files in `dir`, after the folders already known.
    #[must_use]
    pub fn with_models_dir(mut self, dir: &Path) -> Self {
        self.dirs.push(dir.to_path_buf());
        self
    }

    /// The contract of one network.
    ///
    /// # Errors
    /// [`ManifestError::Unknown`], listing what there is.
    pub fn entry(&self, id: &str) -> Result<&Arc<Entry>, ManifestError> {
        self.entries.get(id).ok_or_else(|| ManifestError::Unknown {
            path: self.path.clone(),
            id: id.to_owned(),
            known: self.entries.keys().map(|known| format!("`{known}`")).collect(),
        })
    }

    /// All contracts, by id.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// Where the file of `entry` is: the first folder that holds it, else where it was expected last.
    #[must_use]
    pub fn file_of(&self, entry: &Entry) -> PathBuf {
        let mut places = self.dirs.iter().map(|dir| dir.join(&entry.file));
        places
            .clone()
            .find(|place| place.symlink_metadata().is_ok())
            .or_else(|| places.next_back())
            .unwrap_or_else(|| entry.file.clone())
    }

    /// Where it is written what was measured of two networks together, if anywhere.
    #[must_use]
    pub fn pairs(&self) -> Option<PathBuf> {
        self.pairs.as_deref().map(|pairs| self.beside(pairs))
    }

    /// The picture that accelerators are tried with, if the manifest names one.
    #[must_use]
    pub fn golden_picture(&self) -> Option<PathBuf> {
        self.golden_picture.as_deref().map(|picture| self.beside(picture))
    }

    /// A path the manifest states relative to itself: a golden answer or a calibration.
    #[must_use]
    pub fn beside(&self, relative: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(relative)
    }
}

pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(std::io::Error::other("larger than 1 MiB, which no manifest is"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
