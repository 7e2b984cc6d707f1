//! The only place that speaks to ONNX Runtime: one library a process, one session a network and worker.
//!
//! A session exists only after its file's hash, its tensors' names and shapes and a test run agreed with the manifest.

use crate::manifest::{Dim, Entry, Manifest};
use crate::model_file::{FileError, ModelBytes};
use crate::selftest;
use ort::ep::CPU;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The loaded ONNX Runtime. There is one in a process and it stays until the process ends.
#[derive(Debug)]
pub struct Runtime {
    environment: ort::environment::Environment,
    dylib: PathBuf,
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
        Ok(RUNTIME.get_or_init(|| Self { environment, dylib: path }))
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn dylib(&self) -> &Path {
        &self.dylib
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

/// One network, ready. It belongs to the thread that runs it; there is no lock in it.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    entry: Arc<Entry>,
    digest: String,
}

/// What one run answered; borrows the session's memory.
#[derive(Debug)]
pub struct Answer<'s> {
    outputs: ort::session::SessionOutputs<'s>,
    entry: &'s Entry,
}

impl Session {
    /// Reads, hashes, builds, checks and tries the network.
    ///
    /// # Errors
    /// [`LoadError`], naming network and file.
    pub fn load(runtime: &Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> Result<Self, LoadError> {
        Self::load_for(runtime, manifest, entry, Run::Often)
    }

    /// As [`load`](Self::load), for a session that runs as often as `run` says.
    ///
    /// # Errors
    /// As `load`.
    pub fn load_for(runtime: &Runtime, manifest: &Manifest, entry: &Arc<Entry>, run: Run) -> Result<Self, LoadError> {
        let path = manifest.file_of(entry);
        let bytes = ModelBytes::read(entry, &path)?;
        let mut session = Self::build(runtime, entry, &bytes, &path, run)?;
        let golden = entry.golden.as_deref().map(|golden| manifest.beside(golden));
        selftest::run(&mut session, golden.as_deref()).map_err(|detail| LoadError::SelfTest {
            id: entry.id.clone(),
            path,
            detail,
        })?;
        Ok(session)
    }

    /// As [`load`](Self::load) without the self-test.
    pub(crate) fn build(
        runtime: &Runtime,
        entry: &Arc<Entry>,
        bytes: &ModelBytes,
        path: &Path,
        run: Run,
    ) -> Result<Self, LoadError> {
        let make = || -> ort::Result<ort::session::Session> {
            // One thread and no spinning: cameras are the parallelism, and a spinning pool would take the cores from
            // the decoders. The memory pattern is off because a detector's input has several shapes, and the runtime
            // would plan and keep memory for each.
            ort::session::Session::builder(&runtime.environment)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_intra_op_spinning(false)?
                .with_memory_pattern(false)?
                .with_log_level(ort::logging::LogLevel::Warning)?
                .with_execution_providers([CPU::default().with_arena_allocator(run == Run::Often).build()])?
                .commit_from_memory(bytes.as_slice())
        };
        let inner = make().map_err(|error| LoadError::Refused {
            id: entry.id.clone(),
            path: path.to_path_buf(),
            detail: one_line(&error.to_string()),
        })?;
        let problems = contract_problems(entry, inner.inputs(), inner.outputs());
        if !problems.is_empty() {
            return Err(LoadError::Contract { id: entry.id.clone(), path: path.to_path_buf(), problems });
        }
        Ok(Self { inner, entry: entry.clone(), digest: bytes.digest().to_owned() })
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

    /// Runs the network on one NCHW tensor.
    ///
    /// # Errors
    /// [`RunError::Engine`] when the runtime fails or `values` does not fill `shape`.
    pub fn run(&mut self, shape: [usize; 4], values: &[f32]) -> Result<Answer<'_>, RunError> {
        let entry = &*self.entry;
        let engine =
            |error: ort::Error| RunError::Engine { id: entry.id.clone(), detail: one_line(&error.to_string()) };
        let input = TensorRef::from_array_view((shape, values)).map_err(engine)?;
        let outputs = self.inner.run(ort::inputs![entry.input.name.as_str() => input]).map_err(engine)?;
        Ok(Answer { outputs, entry })
    }
}

impl Answer<'_> {
    /// The values of one output after its shape was found to be `expected`.
    ///
    /// # Errors
    /// [`RunError::Shape`] for any other shape, [`RunError::Engine`] for an output that is not f32 or not there.
    pub fn tensor(&self, name: &str, expected: &[usize]) -> Result<&[f32], RunError> {
        let engine = |detail: String| RunError::Engine { id: self.entry.id.clone(), detail };
        let value = self.outputs.get(name).ok_or_else(|| engine(format!("there is no output `{name}`")))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(|e| engine(one_line(&e.to_string())))?;
        let same = shape.len() == expected.len()
            && shape.iter().zip(expected).all(|(found, expected)| usize::try_from(*found) == Ok(*expected));
        if !same {
            return Err(RunError::Shape {
                id: self.entry.id.clone(),
                output: name.to_owned(),
                found: shape.to_vec(),
                expected: format!("{expected:?}"),
            });
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
        Err(RunError::NotFinite { id: self.entry.id.clone(), output: name.to_owned(), at })
    }
}

/// Runtime messages carry line breaks and source positions; the first line says what happened.
fn one_line(message: &str) -> String {
    let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim();
    line.chars().take(400).collect()
}

fn contract_problems(entry: &Entry, inputs: &[Outlet], outputs: &[Outlet]) -> Vec<String> {
    let mut problems = Vec::new();
    let name = &entry.input.name;
    match inputs.iter().find(|input| input.name() == name) {
        Some(input) => problems.extend(shape_problem("input", name, &entry.input.shape, input.dtype())),
        None => problems.push(format!("it has no input `{name}`, it has {}", names(inputs))),
    }
    if inputs.len() > 1 {
        problems.push(format!("it has {} inputs ({}), one is allowed", inputs.len(), names(inputs)));
    }
    for wanted in &entry.outputs {
        match outputs.iter().find(|output| output.name() == wanted.name) {
            Some(output) => problems.extend(shape_problem("output", &wanted.name, &wanted.shape, output.dtype())),
            None => problems.push(format!("it has no output `{}`, it has {}", wanted.name, names(outputs))),
        }
    }
    problems
}

fn names(outlets: &[Outlet]) -> String {
    let shown: Vec<_> = outlets.iter().take(8).map(|outlet| format!("`{}`", outlet.name())).collect();
    let more = if outlets.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// A fixed size must be the same in the file; a free one must be free there too, else only one size would run.
fn shape_problem(what: &str, name: &str, declared: &[Dim], found: &ValueType) -> Option<String> {
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = found else {
        return Some(format!("{what} `{name}` is not a tensor of f32"));
    };
    let agrees = shape.len() == declared.len()
        && shape.iter().zip(declared).all(|(found, declared)| match declared {
            Dim::Fixed(size) => usize::try_from(*found) == Ok(*size),
            Dim::Free(_) => *found == -1,
        });
    if agrees {
        return None;
    }
    let declared: Vec<_> = declared.iter().map(ToString::to_string).collect();
    let found: Vec<_> = shape.iter().map(|d| if *d < 0 { "free".to_owned() } else { d.to_string() }).collect();
    Some(format!("{what} `{name}` is [{}], declared as [{}]", found.join(", "), declared.join(", ")))
}
