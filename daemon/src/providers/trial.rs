//! The trial in a process of its own: whatever an accelerator's library does there, it is an answer.
//!
//! ```text
//! daemon                                   child, a hidden verb of the same program
//!   what to try, JSON    --stdin-->
//!                        <--stdout--       stage loading | comparing | measuring
//!                        <--stdout--       what was found, or why it does not run there
//! ```
//!
//! Death, silence past the limit and garbage are answers too.

use super::verdict::Outcome;
use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::cmd::output::line;
use crate::telemetry::{self, Audience};
use sekisho_logic::time::Clock as _;
use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sekisho_vision::manifest::Manifest;
use sekisho_vision::session::Runtime;
use sekisho_vision::trial::{Bench, Findings, Stage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Begins every line of the child that is meant; libraries print what they like.
const SIGN: &str = "sekisho-trial ";

/// How often the parent looks whether the child has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Lines of a child that may wait, and the longest; a library that prints for ever is cut off.
const LINES_MAX: usize = 64;
const LINE_BYTES_MAX: u64 = 4096;

/// Characters kept of what a library complained of last: ONNX Runtime begins with the place in its source and a signature.
const WORDS_MAX: usize = 600;

/// What the child is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Question {
    /// The manifest.
    pub manifest: PathBuf,
    /// Folder of the networks beside it.
    pub models: PathBuf,
    /// The stock ONNX Runtime.
    pub onnxruntime: PathBuf,
    /// Finds the faces that an embedder is tried with.
    pub detector: String,
    /// The network to try.
    pub network: String,
    /// Whose library.
    pub provider: String,
    /// Which kind of processor.
    pub device: String,
    /// Folder of the provider's libraries.
    pub folder: PathBuf,
    /// The provider's options.
    pub options: BTreeMap<String, String>,
}

impl Question {
    /// The accelerator it is about; `None` for words nobody knows.
    fn accelerator(&self) -> Option<Accelerator> {
        Some(Accelerator {
            provider: Provider::named(&self.provider)?,
            device: Device::named(&self.device)?,
            folder: self.folder.clone(),
            options: self.options.clone(),
        })
    }
}

/// What the child says at its end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Found(Findings),
    Refused(String),
}

/// The child's side: reads the question, answers, ends.
///
/// # Errors
/// [`Failure::Wrong`] when nobody asked anything sensible.
pub fn answer() -> Result<(), Failure> {
    // A trial that hangs must not outlive a daemon that was killed meanwhile.
    let _only_a_precaution = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    telemetry::start(Audience::Terminal, "error");
    let mut text = String::new();
    let read = std::io::stdin().take(1 << 20).read_to_string(&mut text);
    read.map_err(|error| Failure::Wrong(format!("the question cannot be read: {error}")))?;
    let question: Question = serde_json::from_str(&text)
        .map_err(|error| Failure::Wrong(format!("this verb is for the daemon's own use: {error}")))?;
    let said = attempt(&question).map_or_else(Said::Refused, Said::Found);
    let text = serde_json::to_string(&said).map_err(Failure::no)?;
    line(&format!("{SIGN}{text}"));
    Ok(())
}

fn attempt(question: &Question) -> Result<Findings, String> {
    let accelerator = question.accelerator().ok_or("no such provider or device")?;
    let manifest = Manifest::load(&question.manifest).map_err(|e| e.to_string())?.with_models_dir(&question.models);
    let entry = |id: &str| manifest.entry(id).map(std::sync::Arc::clone).map_err(|e| e.to_string());
    let (detector, network) = (entry(&question.detector)?, entry(&question.network)?);
    let mut told = |stage: Stage| line(&format!("{SIGN}{}", stage.as_str()));
    told(Stage::Loading);
    let runtime = Runtime::load(&accelerator.runtime(&question.onnxruntime)).map_err(|e| e.to_string())?;
    let clock = SystemClock::start();
    let mut bench = Bench { runtime, manifest: &manifest, detector: &detector, clock: &clock, told: &mut told };
    bench.try_network(&network, &accelerator)
}

/// Asks a child and waits for `limit` at the most.
#[must_use]
pub fn ask(question: &Question, limit: Duration) -> Outcome {
    match start(question) {
        Ok(child) => Asked { child, stage: "starting".to_owned(), said: None, words: String::new() }.wait(limit),
        Err(error) => Outcome::Refused(format!("the trial could not be started: {error}")),
    }
}

fn start(question: &Question) -> std::io::Result<Child> {
    // The name under which this very program runs, also when its file was replaced meanwhile.
    let mut command = Command::new(Path::new("/proc/self/exe"));
    // What belongs to the daemon stays with it: its line to the service manager, its watchdog, its secrets.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID"]
    {
        command.env_remove(name);
    }
    // What the libraries complain of is the reason people need; their warnings are not.
    command.env("RUST_LOG", "error").env("NO_COLOR", "1");
    let mut child = command
        .args(["models", "try-provider"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = serde_json::to_vec(question).map_err(std::io::Error::other)?;
    // The pipe holds the whole question, and closes with the end of this statement.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&text)?;
    }
    Ok(child)
}

/// A child that was asked.
struct Asked {
    child: Child,
    stage: String,
    said: Option<Said>,
    words: String,
}

impl Asked {
    fn wait(mut self, limit: Duration) -> Outcome {
        let clock = SystemClock::start();
        let begun = clock.now().mono;
        let heard = lines(self.child.stdout.take());
        let muttered = lines(self.child.stderr.take());
        loop {
            // Whoever prints without end must not keep us from looking at the clock.
            for _ in 0..LINES_MAX {
                match heard.recv_timeout(LOOK) {
                    Ok(text) => self.hear(&text),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => {
                        std::thread::park_timeout(LOOK);
                        break;
                    }
                }
            }
            self.words = muttered.try_iter().filter(|text| !text.trim().is_empty()).last().unwrap_or(self.words);
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    heard.try_iter().for_each(|text| self.hear(&text));
                    return self.ended(status);
                }
                Ok(None) if clock.now().mono.since(begun) < limit => {}
                Ok(None) => {
                    let _gone_already = self.child.kill();
                    let _reaped = self.child.wait();
                    return Outcome::Hung(format!("{}: it did not end within {} s", self.stage, limit.as_secs()));
                }
                Err(error) => return Outcome::Crashed(format!("the trial cannot be watched: {error}")),
            }
        }
    }

    fn hear(&mut self, text: &str) {
        let Some(meant) = text.strip_prefix(SIGN) else { return };
        match serde_json::from_str(meant) {
            Ok(said) => self.said = Some(said),
            Err(_) if Stage::ALL.iter().any(|stage| stage.as_str() == meant) => meant.clone_into(&mut self.stage),
            Err(_) => {}
        }
    }

    fn ended(self, status: ExitStatus) -> Outcome {
        let words = self.words.rsplit_once(" ERROR ").map_or(self.words.as_str(), |(_, words)| words);
        let words: String = words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        match (self.said, status.signal()) {
            (_, Some(signal)) => Outcome::Crashed(format!("{}: the trial ended by signal {signal}{words}", self.stage)),
            (Some(Said::Refused(why)), None) => Outcome::Refused(format!("{why}{words}")),
            (Some(Said::Found(found)), None) if status.success() => Outcome::Ran(found),
            (_, None) => Outcome::Crashed(format!("{}: the trial ended with {status}{words}", self.stage)),
        }
    }
}

/// The lines of a pipe, read by a thread that ends with it.
fn lines(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (found, lines) = sync_channel(LINES_MAX);
    let Some(pipe) = pipe else { return lines };
    let read = move || {
        let mut reader = BufReader::new(pipe);
        loop {
            let mut bytes = Vec::new();
            match reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(1..) if found.send(String::from_utf8_lossy(&bytes).trim_end().to_owned()).is_ok() => {}
                _ => return,
            }
        }
    };
    // Without the thread nothing is heard and the time limit decides.
    let _no_thread = std::thread::Builder::new().name("trial".into()).spawn(read);
    lines
}
