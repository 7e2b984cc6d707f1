//! The trial in a process of its own: whatever an accelerator's library does there, it is an answer.
//!
//! ```text
//! daemon                                   child, a hidden verb of the same program
//!   what to try, JSON    --stdin-->
//!                        <--stdout--       stage loading | comparing | measuring
//!                        <--stdout--       what was found, or why it does not run there
//! ```
//!
//! Death, silence past the limit and garbage are answers too. A trial that was broken off or could not be made is none.

use super::verdict::Outcome;
use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::cmd::output::line;
use crate::telemetry::{self, Audience};
use sekisho_logic::time::Clock as _;
use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sekisho_vision::manifest::Manifest;
use sekisho_vision::session::Runtime;
use sekisho_vision::trial::{Bench, Findings, NoFindings, Stage};
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

/// How long is waited for the last words of a child that has ended; a process that it left behind may hold the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Signals by which somebody ends a process: a hang-up, an interrupt at the terminal, a service manager's stop.
const STOPS: [i32; 3] = [1, 2, 15];

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

/// Why there was no trial: nothing is learnt of the accelerator, and nothing remembered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoTrial {
    /// Somebody broke it off; those that would come next are not made either.
    #[error("its trial was broken off: {0}")]
    Stopped(String),
    /// It could not be made; the next may be.
    #[error("its trial could not be made: {0}")]
    Impossible(String),
}

/// What the child says at its end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Found(Findings),
    Refused(String),
    Unfit(String),
}

impl From<NoFindings> for Said {
    fn from(none: NoFindings) -> Self {
        let short = |why: String| why.chars().take(WORDS_MAX).collect();
        match none {
            NoFindings::Refused(why) => Self::Refused(short(why)),
            NoFindings::Unfit(why) => Self::Unfit(short(why)),
        }
    }
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
    let said = attempt(&question).map_or_else(Said::from, Said::Found);
    say(&serde_json::to_string(&said).map_err(Failure::no)?);
    Ok(())
}

/// One line that is meant. It begins with an end of line, because a library may have left half a line of its own.
fn say(text: &str) {
    line(&format!("\n{SIGN}{text}"));
}

fn attempt(question: &Question) -> Result<Findings, NoFindings> {
    fn unfit(error: impl std::fmt::Display) -> NoFindings {
        NoFindings::Unfit(error.to_string())
    }
    let accelerator = question.accelerator().ok_or_else(|| unfit("no such provider or device"))?;
    let manifest = Manifest::load(&question.manifest).map_err(unfit)?.with_models_dir(&question.models);
    let entry = |id: &str| manifest.entry(id).map(std::sync::Arc::clone).map_err(unfit);
    let (detector, network) = (entry(&question.detector)?, entry(&question.network)?);
    let mut told = |stage: Stage| say(stage.as_str());
    told(Stage::Loading);
    let runtime = Runtime::load(&accelerator.runtime(&question.onnxruntime)).map_err(|error| error.to_string())?;
    let clock = SystemClock::start();
    let mut bench = Bench { runtime, manifest: &manifest, detector: &detector, clock: &clock, told: &mut told };
    bench.try_network(&network, &accelerator)
}

/// Asks a child and waits for `limit` at the most, or until `stop` says that there is no time for it any more.
///
/// # Errors
/// [`NoTrial`] when nothing came of it that says anything about the accelerator.
pub fn ask(question: &Question, limit: Duration, stop: &dyn Fn() -> bool) -> Result<Outcome, NoTrial> {
    let child = start(question).map_err(|error| NoTrial::Impossible(format!("it could not be started: {error}")))?;
    Asked { child, stage: "starting".to_owned(), said: None, words: String::new() }.wait(limit, stop)
}

/// A child that is ended when it is let go before its end. It is reaped beside whoever lets go: a process that a driver holds
/// in the kernel does not die of anything.
struct Ward(Child);

impl Drop for Ward {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let _gone_already = self.0.kill();
        let pid = rustix::process::Pid::from_child(&self.0);
        let reap = move || {
            let _reaped = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        };
        // Without the thread it stays in the list of processes until this one ends.
        let _no_thread = std::thread::Builder::new().name("trial-end".into()).spawn(reap);
    }
}

fn start(question: &Question) -> std::io::Result<Ward> {
    // The name under which this very program runs, also when its file was replaced meanwhile.
    let mut command = Command::new(Path::new("/proc/self/exe"));
    // What belongs to the daemon stays with it: its line to the service manager, its watchdog, its secrets.
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "LISTEN_FDS", "LISTEN_PID"]
    {
        command.env_remove(name);
    }
    // What the libraries complain of is the reason people need; their warnings are not.
    command.env("RUST_LOG", "error").env("NO_COLOR", "1");
    command.args(["models", "try-provider"]);
    let mut child = Ward(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
    let text = serde_json::to_vec(question).map_err(std::io::Error::other)?;
    // The pipe holds the whole question, and closes with the end of this statement.
    if let Some(mut stdin) = child.0.stdin.take() {
        stdin.write_all(&text)?;
    }
    Ok(child)
}

/// A child that was asked.
struct Asked {
    child: Ward,
    stage: String,
    said: Option<Said>,
    words: String,
}

impl Asked {
    fn wait(mut self, limit: Duration, stop: &dyn Fn() -> bool) -> Result<Outcome, NoTrial> {
        let clock = SystemClock::start();
        let begun = clock.now().mono;
        let heard = lines(self.child.0.stdout.take());
        let muttered = lines(self.child.0.stderr.take());
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
            muttered.try_iter().for_each(|text| self.mutter(text));
            match self.child.0.try_wait() {
                Ok(Some(status)) => {
                    self.hear_out(&heard, &muttered);
                    return self.ended(status);
                }
                Ok(None) if stop() => return Err(NoTrial::Stopped("the daemon was told to stop".to_owned())),
                Ok(None) if clock.now().mono.since(begun) < limit => {}
                Ok(None) => {
                    let (why, limit_s) =
                        (format!("{}: it did not end within {} s", self.stage, limit.as_secs()), limit.as_secs());
                    return Ok(Outcome::Hung { why, limit_s });
                }
                Err(error) => return Err(NoTrial::Impossible(format!("it cannot be watched: {error}"))),
            }
        }
    }

    /// What was still on its way when the child ended.
    fn hear_out(&mut self, heard: &Receiver<String>, muttered: &Receiver<String>) {
        let clock = SystemClock::start();
        let begun = clock.now().mono;
        let left = || Some(LAST_WORDS.saturating_sub(clock.now().mono.since(begun))).filter(|left| !left.is_zero());
        while let Some(left) = left()
            && let Ok(text) = heard.recv_timeout(left)
        {
            self.hear(&text);
        }
        while let Some(left) = left()
            && let Ok(text) = muttered.recv_timeout(left)
        {
            self.mutter(text);
        }
    }

    fn mutter(&mut self, text: String) {
        if !text.trim().is_empty() {
            self.words = text;
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

    fn ended(self, status: ExitStatus) -> Result<Outcome, NoTrial> {
        let words = self.words.rsplit_once(" ERROR ").map_or(self.words.as_str(), |(_, words)| words);
        let words: String = words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
        let words = if words.is_empty() { String::new() } else { format!(" ({words})") };
        let crashed = |how: String| Ok(Outcome::Crashed(format!("{}: the trial ended {how}{words}", self.stage)));
        match (self.said, status.signal()) {
            (_, Some(signal)) if STOPS.contains(&signal) => {
                Err(NoTrial::Stopped(format!("its process was ended by signal {signal}")))
            }
            (_, Some(signal)) => crashed(format!("by signal {signal}")),
            (Some(Said::Unfit(why)), None) => Err(NoTrial::Impossible(why)),
            (Some(Said::Refused(why)), None) => Ok(Outcome::Refused(format!("{why}{words}"))),
            (Some(Said::Found(found)), None) if status.success() => Ok(Outcome::Ran(found)),
            (_, None) => crashed(format!("with {status}")),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a child that does this, within `limit`.
    fn child(script: &str, limit: Duration, stop: &dyn Fn() -> bool) -> Result<Outcome, NoTrial> {
        // Whoever runs this may ignore signals, as nohup does, and children inherit that.
        let mut command = Command::new("env");
        command
            .args(["--default-signal", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = Ward(command.spawn().expect("sh(1)"));
        Asked { child, stage: "starting".to_owned(), said: None, words: String::new() }.wait(limit, stop)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_last_line_is_heard_whatever_stands_around_it_and_whoever_holds_the_pipe() {
        for script in [
            r#"printf 'half a line'; printf '\nsekisho-trial {"refused":"no"}\n'"#,
            r#"sleep 5 & printf '\nsekisho-trial loading\n\nsekisho-trial {"refused":"no"}\n'"#,
            r#"echo 'a ERROR complaint' >&2; printf '\nsekisho-trial {"refused":"no"}\n'"#,
        ] {
            let Ok(Outcome::Refused(why)) = child(script, LONG, &|| false) else { panic!("{script}") };
            assert_eq!(why, if script.contains("ERROR") { "no (complaint)" } else { "no" }, "{script}");
        }
    }

    #[test]
    fn whoever_dies_hangs_or_says_nothing_is_an_answer() {
        let crashed = |script: &str| match child(script, LONG, &|| false) {
            Ok(Outcome::Crashed(why)) => why,
            other => panic!("{script}: {other:?}"),
        };
        assert!(crashed("kill -ABRT $$").contains("signal 6"));
        assert!(crashed("kill -KILL $$").contains("signal 9"));
        assert!(crashed("exit 0").contains("exit status: 0"));
        let hung = child("exec sleep 600", Duration::from_millis(200), &|| false).expect("an answer");
        assert!(matches!(hung, Outcome::Hung { limit_s: 0, .. }), "{hung:?}");
    }

    #[test]
    fn what_is_broken_off_or_cannot_be_made_is_no_answer() {
        for script in ["kill -HUP $$", "kill -INT $$", "kill -TERM $$"] {
            let none = child(script, LONG, &|| false).expect_err("no answer");
            assert!(matches!(none, NoTrial::Stopped(_)), "{script}: {none:?}");
        }
        let none = child("exec sleep 600", LONG, &|| true).expect_err("no answer");
        assert!(matches!(none, NoTrial::Stopped(_)), "{none:?}");
        let none = child(r#"echo 'sekisho-trial {"unfit":"no picture"}'"#, LONG, &|| false).expect_err("no answer");
        assert!(matches!(&none, NoTrial::Impossible(why) if why == "no picture"), "{none:?}");
    }

    #[test]
    fn a_child_that_is_let_go_is_ended_and_reaped() {
        let ward = Ward(Command::new("sleep").arg("600").spawn().expect("sleep(1)"));
        let place = PathBuf::from(format!("/proc/{}", ward.0.id()));
        assert!(place.exists());
        drop(ward);
        let gone = (0..600).any(|_| {
            std::thread::park_timeout(LOOK);
            !place.exists()
        });
        assert!(gone, "{} is still there", place.display());
    }
}
