//! A whole site in a temporary folder: configuration, credentials, the real `sekisho` binary, and a client for its
//! socket.

use crate::clock::RealClock;
use sekisho_logic::time::{Clock as _, WallMs};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The repository's root.
///
/// # Panics
/// When the sources this was built from are gone.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// What set-up fetched, or `None` (said aloud) when set-up was not run.
#[must_use]
pub fn fetched() -> Option<PathBuf> {
    let place = root().join(".sekisho");
    let there = place.join("models/face_recognition_sface_2021dec.onnx").exists()
        && place.join("models/face_recognition_sface_2021dec_int8bq.onnx").exists()
        && place.join("onnxruntime/libonnxruntime.so.1.26.0").exists();
    if !there {
        eprintln!("SKIPPED: {} holds no networks; run deploy/setup", place.display());
    }
    there.then_some(place)
}

/// A file of the shared test data, or `None` (said aloud) when it is absent.
#[must_use]
pub fn shared(file: &str) -> Option<PathBuf> {
    let place = std::env::var_os("SEKISHO_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    let path = place.join(file);
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent; set SEKISHO_SHARED to the folder that holds it", path.display());
        return None;
    }
    Some(path)
}

/// The program under test.
///
/// # Panics
/// When it was not built: `cargo build -p sekisho` comes before these tests.
#[must_use]
pub fn binary() -> PathBuf {
    let here = std::env::current_exe().expect("a test binary has a path");
    // A test lies in target/debug/deps, a helper program beside the program itself.
    let beside = here.parent().expect("a folder");
    let program = [beside.join("sekisho"), beside.join("../sekisho")].into_iter().find(|path| path.exists());
    let program = program.unwrap_or_else(|| beside.join("../sekisho"));
    assert!(program.exists(), "{} is missing; run `cargo build -p sekisho` first (make test does)", program.display());
    program
}

/// Every file of a folder and those in it, with its bytes.
///
/// # Panics
/// When something cannot be read.
#[must_use]
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), std::fs::read(entry.path()).expect("readable")));
        }
    }
    found
}

/// Grounds for an enrolment, as options: an ordinary employee who was offered another way in.
#[must_use]
pub fn grounds() -> Vec<String> {
    let ends = WallMs(RealClock::start().now().wall.0 + 300 * 86_400_000).to_rfc3339();
    let options = [
        ("--purpose", "entry log"),
        ("--legal-basis", "consent"),
        ("--record", "HR-7"),
        ("--notice", "2026-11"),
        ("--expires", &ends[..10]),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    options.chain(["--alternative-offered".to_owned()]).collect()
}

/// A temporary site.
pub struct Site {
    /// The folder.
    pub dir: tempfile::TempDir,
    body: String,
    models: String,
    review: String,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site without cameras.
    ///
    /// # Panics
    /// When no temporary folder can be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sekisho-").tempdir().expect("a temporary folder");
        std::fs::create_dir(dir.path().join("credentials")).expect("a fresh folder");
        // Sites run side by side on one machine, where the page's usual port is one.
        let site = Self { dir, body: String::new(), models: String::new(), review: "enabled = false\n".into() };
        site.write_config("");
        site
    }

    /// A path inside.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds sections to the configuration.
    pub fn configure(&mut self, toml: &str) -> &mut Self {
        self.body.push_str(toml);
        self.body.push('\n');
        self.write_config("");
        self
    }

    /// Adds to `[models]`.
    pub fn models(&mut self, toml: &str) -> &mut Self {
        self.models = toml.to_owned();
        self.write_config("");
        self
    }

    /// Says what stands in `[review]`; without this the page is not served.
    pub fn review(&mut self, toml: &str) -> &mut Self {
        self.review = toml.to_owned();
        self.write_config("");
        self
    }

    /// Writes the configuration with `more` at its end.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_config(&self, more: &str) {
        let fetched = root().join(".sekisho");
        let quoted = |path: PathBuf| format!("{:?}", path.display().to_string());
        let text = format!(
            "[daemon]\nstate-dir = {}\nsocket = {}\ncredentials-dir = {}\nvision-workers = 1\n\
             [models]\nmanifest = {}\ndir = {}\nonnxruntime = {}\n{}\n[review]\n{}\n{}\n{more}\n",
            quoted(self.path("state")),
            quoted(self.path("sekisho.sock")),
            quoted(self.path("credentials")),
            quoted(root().join("models/manifest.toml").canonicalize().expect("the manifest")),
            quoted(fetched.join("models")),
            quoted(fetched.join("onnxruntime/libonnxruntime.so.1.26.0")),
            self.models,
            self.review,
            self.body,
        );
        std::fs::write(self.path("sekisho.toml"), text).expect("a writable folder");
    }

    /// Puts `user:password` into a credential file of mode 600.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn credential(&self, name: &str, text: &str) {
        let path = self.path("credentials").join(name);
        std::fs::write(&path, text).expect("a writable folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("own file");
    }

    /// Runs a verb to its end.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.path("sekisho.toml")).args(args).env("RUST_LOG", "warn");
        command.output().expect("the program starts")
    }

    /// Runs a verb that must succeed; gives what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[must_use]
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "sekisho {args:?} failed: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Enrols with [`grounds`] and what else is given: `["ann", "photo.jpg", "--list", "watch"]`. Gives what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn enrol(&self, args: &[&str]) -> String {
        let grounds = grounds();
        let all = ["gallery", "enroll"].into_iter().chain(args.iter().copied());
        self.done(&all.chain(grounds.iter().map(String::as_str)).collect::<Vec<_>>())
    }

    /// Enrols as another Unix user would through sudo, so that whoever runs the tests is not the enroller. Only root can: gives
    /// whether it was so.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[must_use]
    pub fn enrol_as_another(&self, args: &[&str]) -> bool {
        let mut command = Command::new(binary());
        command.arg("--config").arg(self.path("sekisho.toml")).args(["gallery", "enroll"]).args(args).args(grounds());
        let output = command.env("SUDO_UID", "4242").env("RUST_LOG", "warn").output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gallery enroll {args:?} failed: {said}");
        rustix::process::getuid().is_root()
    }

    /// Starts the daemon; its log goes to `daemon.log`.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// The same with more environment variables.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Daemon {
        self.start_under(&[], environment)
    }

    /// The same by way of another program that starts what it is given, as `["unshare", "-n"]`; it must become the daemon by
    /// `exec`, so that signals reach it.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[must_use]
    pub fn start_under(&self, wrapper: &[&str], environment: &[(&str, &str)]) -> Daemon {
        let program = binary().display().to_string();
        let mut words = wrapper.iter().copied().chain([program.as_str()]);
        let first = words.next().unwrap_or_default().to_owned();
        let rest: Vec<_> = words.map(str::to_owned).collect();
        let notify = self.path("notify.sock");
        let _stale = std::fs::remove_file(&notify);
        let heard = UnixDatagram::bind(&notify).expect("a socket in a temporary folder");
        heard.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        let log = std::fs::File::options().create(true).append(true).open(self.path("daemon.log")).expect("a log");
        let child = Command::new(first)
            .args(rest)
            .arg("--config")
            .arg(self.path("sekisho.toml"))
            .arg("run")
            .env("NOTIFY_SOCKET", &notify)
            .env("RUST_LOG", "info,ort=warn")
            // As the unit sets them: what memory is given back depends on it.
            .env("MALLOC_ARENA_MAX", "1")
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .env_remove("JOURNAL_STREAM")
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Daemon { child, heard, socket: self.path("sekisho.sock"), log: self.path("daemon.log") }
    }
}

/// A running daemon. Killed when dropped.
pub struct Daemon {
    /// The process.
    pub child: Child,
    heard: UnixDatagram,
    socket: PathBuf,
    log: PathBuf,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Daemon {
    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for READY=1.
    ///
    /// # Panics
    /// When it ends or stays silent for a minute, with its log.
    pub fn wait_ready(&mut self) -> &mut Self {
        self.wait_told("READY=1", 600);
        self
    }

    /// Waits until the service manager is told `word`, `tries` tenths of a second at the most.
    ///
    /// # Panics
    /// When it is not, with the log.
    pub fn wait_told(&mut self, word: &str, tries: u32) {
        let mut buffer = [0_u8; 4096];
        for _ in 0..tries {
            if let Ok(length) = self.heard.recv(&mut buffer)
                && String::from_utf8_lossy(&buffer[..length]).contains(word)
            {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended with {status} before {word}:\n{}", self.log());
            }
        }
        panic!("the daemon never said {word}:\n{}", self.log());
    }

    /// Waits until `holds`, asking four times a second, `seconds` at the most.
    ///
    /// # Panics
    /// When it never holds, with the log.
    pub fn wait_until(&mut self, what: &str, seconds: u32, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..seconds * 4 {
            if holds(self) {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended with {status} while waiting for {what}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        panic!("{what} did not happen within {seconds} s:\n{}", self.log());
    }

    /// Asks its socket.
    ///
    /// # Panics
    /// When it does not answer with 200 and JSON.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, "").expect("an answer");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// One request with its own connection: status code and body.
    ///
    /// # Errors
    /// What the socket said.
    pub fn request(&self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        // In one piece: an answer that needs no body may come, and the connection close, before a second one is written.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Ok((status, body.to_owned()))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When `kill` cannot be started.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.expect("kill(1)").success());
    }

    /// Asks it to stop and waits, `seconds` at the most.
    ///
    /// # Panics
    /// When it does not end in time, with its log.
    pub fn stop(mut self, seconds: u32) -> ExitStatus {
        self.signal("TERM");
        for _ in 0..seconds * 20 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the daemon did not stop within {seconds} s:\n{}", self.log());
    }
}
