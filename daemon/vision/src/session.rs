//! One library a process, one session a network and worker.
//!
//! A session exists only after its file's hash, its tensors' names and shapes and a test run agreed with the manifest. One
//! on an accelerator falls to the processor, for good and for every worker, when its runs fail again and again.

use crate::accelerator::Accelerator;
use crate::engine::onnxruntime;
use crate::engine::{Engine, Outputs, Shapes, TensorInfo, Tensors};
use crate::manifest::{Dim, Entry, Manifest};
use crate::model_file::{FileError, ModelBytes};
use crate::selftest;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The loaded ONNX Runtime. There is one in a process and it stays until the process ends.
#[derive(Debug)]
pub struct Runtime {
    environment: ort::environment::Environment,
    dylib: PathBuf,
    plugins: Mutex<Vec<PathBuf>>,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Why ONNX Runtime is not there.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No such file.
    #[error("ONNX Runtime: {} does not exist; run deploy/setup, or set its path in the configuration", path.display())]
    Missing {
        /// Where it was expected.
        path: PathBuf,
    },
    /// The library is older than this program can talk to.
    #[error(
        "ONNX Runtime: {} is version {version}; 1.24 or newer is needed (1.26.0 is the one tested), run deploy/setup to get it",
        path.display()
    )]
    TooOld {
        /// The library.
        path: PathBuf,
        /// What it says it is.
        version: String,
    },
    /// It is no ONNX Runtime, or one for another machine.
    #[error("ONNX Runtime: {} cannot be used as the inference library ({detail}); run deploy/setup to fetch it again", path.display())]
    Unusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        detail: String,
    },
    /// A second library was asked for; the first stays.
    #[error("ONNX Runtime: {} is already loaded in this process, {} was not", loaded.display(), path.display())]
    AnotherLoaded {
        /// What was asked for.
        path: PathBuf,
        /// What is loaded.
        loaded: PathBuf,
    },
}

impl Runtime {
    /// Loads the library, or returns the one this process already has. Telemetry is switched off.
    ///
    /// # Errors
    /// [`RuntimeError`], naming the file and what to do.
    pub fn load(dylib: &Path) -> Result<&'static Self, RuntimeError> {
        // The guard only serialises two first calls; whoever held it when panicking left nothing half done.
        let _guard = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = dylib.canonicalize().map_err(|_| RuntimeError::Missing { path: dylib.to_path_buf() })?;
        if let Some(runtime) = RUNTIME.get() {
            return if runtime.dylib == path {
                Ok(runtime)
            } else {
                Err(RuntimeError::AnotherLoaded { path, loaded: runtime.dylib.clone() })
            };
        }
        let unusable = |detail: String| RuntimeError::Unusable { path: path.clone(), detail };
        let builder = ort::environment::init_from(&path).map_err(|error| match error {
            ort::LoadDynamicError::BadVersion { version_str, .. } => {
                RuntimeError::TooOld { path: path.clone(), version: version_str }
            }
            other => unusable(other.to_string()),
        })?;
        let environment =
            builder.with_name("sekisho").with_telemetry(false).build().map_err(|e| unusable(e.to_string()))?;
        // Below warnings it describes every node of every graph, several thousand lines a session.
        environment.set_log_level(ort::logging::LogLevel::Warning);
        Ok(RUNTIME.get_or_init(|| Self { environment, dylib: path, plugins: Mutex::default() }))
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn dylib(&self) -> &Path {
        &self.dylib
    }

    pub(crate) const fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }

    /// Registers a plugin under `name`, once a process.
    pub(crate) fn register(&self, name: &str, library: &Path) -> ort::Result<()> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        if !plugins.iter().any(|known| known == library) {
            self.environment.register_ep_library(name, library)?;
            plugins.push(library.to_path_buf());
        }
        Ok(())
    }

    /// What the library says about its build: version, commit, compiler flags.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }
}

/// Why a network cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is absent, unreadable or not the one in the manifest.
    #[error(transparent)]
    File(#[from] FileError),
    /// The hash is right, yet the runtime refuses the graph: the runtime does not fit the network.
    #[error("model `{id}`: ONNX Runtime refuses {}: {detail}", path.display())]
    Refused {
        /// The network.
        id: String,
        /// Its file.
        path: PathBuf,
        /// What the runtime said.
        detail: String,
    },
    /// The manifest describes another network than the file holds.
    #[error("model `{id}`: {} does not keep its contract: {}; correct the manifest", path.display(), problems.join("; "))]
    Contract {
        /// The network.
        id: String,
        /// Its file.
        path: PathBuf,
        /// Every difference.
        problems: Vec<String>,
    },
    /// It loads and then computes something else than it should.
    #[error("model `{id}`: {} failed its self-test: {detail}; it is not used", path.display())]
    SelfTest {
        /// The network.
        id: String,
        /// Its file.
        path: PathBuf,
        /// What was wrong.
        detail: String,
    },
}

/// Why one run gave nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The runtime failed; the next run may too, the caller counts.
    #[error("model `{id}`: the run failed: {detail}")]
    Engine {
        /// The network.
        id: String,
        /// What the runtime said.
        detail: String,
    },
    /// An answer of another shape than the contract's.
    #[error("model `{id}`: output `{output}` has shape {found:?}, expected {expected}")]
    Shape {
        /// The network.
        id: String,
        /// The output.
        output: String,
        /// What came.
        found: Vec<i64>,
        /// What the contract says for this input.
        expected: String,
    },
    /// NaN or infinity in an answer that cannot be split by face.
    #[error("model `{id}`: output `{output}` is not finite at {at}; the frame was not used")]
    NotFinite {
        /// The network.
        id: String,
        /// The output.
        output: String,
        /// Index of the first such value.
        at: usize,
    },
}

/// How often a session runs, and with it what it keeps between runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// On most frames: working memory is kept.
    Often,
    /// Now and then: working memory goes back to the system after each run.
    Seldom,
}

/// Where a network runs.
#[derive(Clone, Debug)]
pub enum Place {
    /// On the processor.
    Cpu,
    /// On an accelerator, until it has failed too often. All workers' sessions of one network share what is said then.
    On(Accelerator, Arc<Fallen>),
}

/// Why a network left its accelerator; empty while it has not.
#[derive(Debug, Default)]
pub struct Fallen(OnceLock<String>);

impl Fallen {
    /// The reason, a sentence.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// It leaves; every session that shares this goes on on the processor at its next run. The first reason stays.
    pub fn fall(&self, why: String) {
        self.0.get_or_init(|| why);
    }
}

/// Runs that fail one after the other before a network leaves its accelerator. One alone may be a hiccup of a driver; a
/// fifth of a second is how long five frames a second are then blind.
const FAILURES_MAX: u32 = 3;

/// Runs between two tries to go on on the processor: about a minute at five frames a second.
const PATIENCE: u32 = 300;

/// One network, ready. It belongs to the thread that runs it; there is no lock in it.
#[derive(Debug)]
pub struct Session {
    engine: Box<dyn Engine>,
    entry: Arc<Entry>,
    digest: String,
    spare: Option<Spare>,
}

/// What a session on an accelerator needs to go on without it.
#[derive(Debug)]
struct Spare {
    runtime: &'static Runtime,
    path: PathBuf,
    run: Run,
    failures: u32,
    /// Whether the last run gave something unusable, which only shows when it is read.
    unusable: AtomicBool,
    fallen: Arc<Fallen>,
    /// Runs until the processor is tried again, where it could not be had.
    patience: u32,
}

impl Spare {
    fn new(runtime: &'static Runtime, path: PathBuf, run: Run, fallen: Arc<Fallen>) -> Self {
        Self { runtime, path, run, failures: 0, unusable: AtomicBool::new(false), fallen, patience: 0 }
    }
}

/// What one run answered; borrows the session's memory.
#[derive(Debug)]
pub struct Answer<'s> {
    outputs: Outputs<'s>,
    entry: &'s Entry,
    unusable: Option<&'s AtomicBool>,
}

impl Session {
    /// Reads, hashes, builds, checks and tries the network on the processor.
    ///
    /// # Errors
    /// [`LoadError`], naming network and file.
    pub fn load(runtime: &'static Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> Result<Self, LoadError> {
        Self::load_in(&Place::Cpu, runtime, manifest, entry, Run::Often)
    }

    /// As [`load`](Self::load), in the place given, for a session that runs as often as `run` says.
    ///
    /// # Errors
    /// As `load`. What an accelerator refuses is refused here; nothing else is tried.
    pub fn load_in(
        place: &Place,
        runtime: &'static Runtime,
        manifest: &Manifest,
        entry: &Arc<Entry>,
        run: Run,
    ) -> Result<Self, LoadError> {
        let path = manifest.file_of(entry);
        let bytes = ModelBytes::read(entry, &path)?;
        let (engine, spare) = match place {
            Place::Cpu => (onnxruntime::on_cpu(runtime, bytes.as_slice(), run), None),
            Place::On(accelerator, fallen) => {
                let engine = onnxruntime::on(accelerator, runtime, entry, bytes.as_slice());
                (engine, Some(Spare::new(runtime, path.clone(), run, Arc::clone(fallen))))
            }
        };
        Self::proven(engine, manifest, entry, (&bytes, path), spare)
    }

    /// Holds what was built to its contract and tries it.
    fn proven(
        engine: Result<Box<dyn Engine>, String>,
        manifest: &Manifest,
        entry: &Arc<Entry>,
        (bytes, path): (&ModelBytes, PathBuf),
        spare: Option<Spare>,
    ) -> Result<Self, LoadError> {
        let id = || entry.id.clone();
        let engine = engine.map_err(|detail| LoadError::Refused { id: id(), path: path.clone(), detail })?;
        let problems = contract_problems(entry, &engine.tensors(), engine.shapes());
        if !problems.is_empty() {
            return Err(LoadError::Contract { id: id(), path, problems });
        }
        let mut session = Self { engine, entry: entry.clone(), digest: bytes.digest().to_owned(), spare };
        let golden = entry.golden.as_deref().map(|golden| manifest.beside(golden));
        selftest::run(&mut session, golden.as_deref()).map_err(|detail| LoadError::SelfTest {
            id: id(),
            path,
            detail,
        })?;
        Ok(session)
    }

    /// The contract it keeps.
    #[must_use]
    pub fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// SHA-256 of the file it was made from, lower-case hex.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Most images in one run, where the contract allows `most`.
    #[must_use]
    pub fn batch_max(&self, most: usize) -> usize {
        match self.engine.shapes() {
            Shapes::Free => most,
            Shapes::Only(shapes) => shapes.iter().map(|shape| shape[0]).max().unwrap_or(1).min(most),
        }
    }

    /// Runs the network on one NCHW tensor.
    ///
    /// # Errors
    /// [`RunError::Engine`] when the engine fails or `values` does not fill `shape`.
    pub fn run(&mut self, shape: [usize; 4], values: &[f32]) -> Result<Answer<'_>, RunError> {
        self.leave_what_failed();
        let Self { engine, entry, spare, .. } = self;
        let outputs = engine.run(&entry.input.name, shape, values);
        let outputs = outputs.map_err(|detail| {
            spare.iter().for_each(|spare| spare.unusable.store(true, Ordering::Relaxed));
            RunError::Engine { id: entry.id.clone(), detail }
        })?;
        Ok(Answer { outputs, entry, unusable: spare.as_ref().map(|spare| &spare.unusable) })
    }

    /// What the last run answered was of no use although its numbers were in order: no vector of it was an embedding.
    pub(crate) fn distrust(&self) {
        self.spare.iter().for_each(|spare| spare.unusable.store(true, Ordering::Relaxed));
    }

    /// Counts what failed on an accelerator, and goes on on the processor when it was too much here or for another worker.
    fn leave_what_failed(&mut self) {
        let Some(spare) = &mut self.spare else { return };
        spare.failures = if spare.unusable.swap(false, Ordering::Relaxed) { spare.failures + 1 } else { 0 };
        if spare.failures >= FAILURES_MAX {
            spare.fallen.fall(format!("{FAILURES_MAX} runs one after the other failed while the daemon ran"));
        }
        if spare.fallen.why().is_none() {
            return;
        }
        if spare.patience > 0 {
            spare.patience -= 1;
            return;
        }
        let bytes = ModelBytes::read(&self.entry, &spare.path).map_err(|error| error.to_string());
        match bytes.and_then(|bytes| onnxruntime::on_cpu(spare.runtime, bytes.as_slice(), spare.run)) {
            Ok(engine) => {
                self.engine = engine;
                self.spare = None;
            }
            // The file is gone or there is no memory: the accelerator's errors go on and say that nothing is seen.
            Err(error) => {
                spare.patience = PATIENCE;
                tracing::error!(
                    "model `{}`: it cannot go on on the processor: {error}; tried again soon",
                    self.entry.id
                );
            }
        }
    }
}

impl Answer<'_> {
    /// The values of one output after its shape was found to be `expected`.
    ///
    /// # Errors
    /// [`RunError::Shape`] for any other shape, [`RunError::Engine`] for an output that is not f32 or not there.
    pub fn tensor(&self, name: &str, expected: &[usize]) -> Result<&[f32], RunError> {
        let engine = |detail: String| self.noted(RunError::Engine { id: self.entry.id.clone(), detail });
        let (shape, values) = self.outputs.tensor(name).map_err(engine)?;
        let same = shape.len() == expected.len()
            && shape.iter().zip(expected).all(|(found, expected)| usize::try_from(*found) == Ok(*expected));
        if !same {
            return Err(self.noted(RunError::Shape {
                id: self.entry.id.clone(),
                output: name.to_owned(),
                found: shape.to_vec(),
                expected: format!("{expected:?}"),
            }));
        }
        Ok(values)
    }

    /// As [`tensor`](Self::tensor), and every value is finite.
    ///
    /// # Errors
    /// Those of `tensor`, and [`RunError::NotFinite`].
    pub fn finite_tensor(&self, name: &str, expected: &[usize]) -> Result<&[f32], RunError> {
        let values = self.tensor(name, expected)?;
        // Summing v * 0 is 0 unless a value is NaN or infinite, and vectorises; a search for the place follows only then.
        if values.iter().map(|v| v * 0.0).sum::<f32>() == 0.0 {
            return Ok(values);
        }
        let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        Err(self.noted(RunError::NotFinite { id: self.entry.id.clone(), output: name.to_owned(), at }))
    }

    fn noted(&self, error: RunError) -> RunError {
        self.unusable.iter().for_each(|unusable| unusable.store(true, Ordering::Relaxed));
        error
    }
}

/// What differs between a contract and what an engine says of its network.
fn contract_problems(entry: &Entry, tensors: &Tensors, shapes: &Shapes) -> Vec<String> {
    let Tensors { inputs, outputs } = tensors;
    let mut problems = Vec::new();
    let name = &entry.input.name;
    match inputs.iter().find(|input| input.name == *name) {
        Some(input) => problems.extend(shape_problem("input", input, &entry.input.shape, shapes)),
        None => problems.push(format!("it has no input `{name}`, it has {}", names(inputs))),
    }
    if inputs.len() > 1 {
        problems.push(format!("it has {} inputs ({}), one is allowed", inputs.len(), names(inputs)));
    }
    for wanted in &entry.outputs {
        match outputs.iter().find(|output| output.name == wanted.name) {
            Some(output) => problems.extend(shape_problem("output", output, &wanted.shape, shapes)),
            None => problems.push(format!("it has no output `{}`, it has {}", wanted.name, names(outputs))),
        }
    }
    problems
}

fn names(tensors: &[TensorInfo]) -> String {
    let shown: Vec<_> = tensors.iter().take(8).map(|tensor| format!("`{}`", tensor.name)).collect();
    let more = if tensors.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A fixed size must be the same in the file; a free one must be free there too, else only one size would run, unless the
/// engine was made for certain sizes.
fn shape_problem(what: &str, tensor: &TensorInfo, declared: &[Dim], shapes: &Shapes) -> Option<String> {
    let name = &tensor.name;
    let Some(shape) = &tensor.shape else { return Some(format!("{what} `{name}` is not a tensor of f32")) };
    let agrees = shape.len() == declared.len()
        && shape.iter().zip(declared).all(|(found, declared)| match declared {
            Dim::Fixed(size) => usize::try_from(*found) == Ok(*size),
            Dim::Free(_) => *found == -1 || matches!(shapes, Shapes::Only(_)),
        });
    if agrees {
        return None;
    }
    let declared: Vec<_> = declared.iter().map(ToString::to_string).collect();
    let found: Vec<_> = shape.iter().map(|d| if *d < 0 { "free".to_owned() } else { d.to_string() }).collect();
    Some(format!("{what} `{name}` is [{}], declared as [{}]", found.join(", "), declared.join(", ")))
}
