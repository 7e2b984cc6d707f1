//! `sekisho setup` as a newcomer uses it: at a real terminal against a camera that asks for a password, and unattended; to a
//! daemon that streams, knows one person and has told somebody. Whatever ends it early leaves nothing half-written.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use sekisho_tests::demo::DemoCamera;
use sekisho_tests::rtsp_stub::{Manner, RtspStub};
use sekisho_tests::site::{Site, binary, fetched};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const CAMERA: &str = env!("CARGO_BIN_EXE_demo-camera");
const LOGIN: (&str, &str) = ("admin", "canary-4711");

/// What a newcomer has: a camera and a photograph. `None` (said aloud) where set-up or demonstration were never run.
fn at_hand(site: &Site, stream: &str) -> Option<(DemoCamera, PathBuf)> {
    let place = fetched()?;
    let (clip, photo) = (place.join("demo/clips/gate.mp4"), place.join("demo/photos/grace_hopper.jpg"));
    if !clip.exists() || !photo.exists() {
        eprintln!("SKIPPED: {} is absent; run the demonstration once", clip.display());
        return None;
    }
    std::fs::create_dir(site.path("camera")).expect("a folder");
    let own = site.path("camera/clip.mp4");
    std::fs::copy(clip, &own).expect("copied");
    let camera = DemoCamera::start_named(CAMERA, 0, (stream, &own), LOGIN).expect("a camera");
    Some((camera, photo))
}

/// The program at a terminal of its own.
struct Terminal {
    keys: File,
    line: File,
    shown: Arc<Mutex<String>>,
    child: Child,
    read_to: usize,
}

impl Terminal {
    fn run(site: &Site, args: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).expect("ours");
        unlockpt(&keys).expect("ours");
        let name = ptsname(&keys, Vec::new()).expect("a name").into_string().expect("plain");
        let line = File::options().read(true).write(true).open(name).expect("its other end");
        let end = || line.try_clone().expect("a descriptor");
        // Whoever runs tests in the background may have Ctrl-C ignored, and children inherit that.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", "setsid", "--ctty"])
            .arg(binary())
            .arg("--config")
            .arg(site.path("sekisho.toml"))
            .arg("setup")
            .args(args);
        let child =
            command.env("LANG", "C.UTF-8").env("RUST_LOG", "warn").stdin(end()).stdout(end()).stderr(end()).spawn();
        let (keys, shown) = (File::from(keys), Arc::new(Mutex::new(String::new())));
        let (mut from, into) = (keys.try_clone().expect("a descriptor"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = from.read(&mut buffer) {
                into.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self { keys, line, shown, child: child.expect("setsid of util-linux"), read_to: 0 }
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for `words` after what was waited for before.
    #[track_caller]
    fn until(&mut self, words: &str) {
        for _ in 0..1200 {
            let shown = self.shown();
            if let Some(at) = shown[self.read_to..].find(words) {
                self.read_to += at + words.len();
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                std::thread::sleep(Duration::from_millis(200));
                assert!(
                    self.shown()[self.read_to..].contains(words),
                    "ended with {status} before {words:?}:\n{}",
                    self.shown()
                );
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{words:?} was never shown:\n{}", self.shown());
    }

    fn answer(&mut self, question: &str, answer: &str) {
        self.until(question);
        self.keys.write_all(format!("{answer}\n").as_bytes()).expect("typed");
    }

    fn ended(&mut self) -> Option<i32> {
        for _ in 0..1200 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not end:\n{}", self.shown());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The daemon, set up, watches the camera, knows the person, and somebody was told.
fn works(site: &Site) {
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("pictures", 60, |daemon| daemon.get("/v1/status")["cameras"]["streaming"] == 1);
    assert_eq!(daemon.get("/v1/status")["gallery"]["people"], 1);
    let told = std::fs::read_to_string(site.path("state/events.ndjson")).expect("an event log");
    assert!(told.contains("test-alert") && told.contains("withdrawn"), "{told}");
    let doctor = site.cli(&["doctor", "--quick"]);
    assert_eq!(doctor.status.code(), Some(0), "{}", text(&doctor));
    assert!(daemon.stop(5).success());
}

fn private(site: &Site) {
    let credential = site.path("credentials/gate");
    assert_eq!(std::fs::read_to_string(&credential).expect("a credential"), format!("{}:{}\n", LOGIN.0, LOGIN.1));
    assert_eq!(std::fs::metadata(&credential).expect("there").permissions().mode() & 0o777, 0o600);
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    assert!(!config.contains(LOGIN.1), "the password is in the configuration");
}

#[test]
fn a_newcomer_comes_from_nothing_to_a_watching_daemon_at_the_terminal() {
    let site = Site::new();
    let Some((camera, photo)) = at_hand(&site, "stream1") else { return };
    let before = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let host = camera.url().trim_start_matches("rtsp://").split('/').next().expect("a host").to_owned();
    let mut terminal = Terminal::run(&site, &[]);
    for (question, answer) in [
        ("Language", ""),
        ("Search the local network", "n"),
        ("The camera's address", "nonsense://x"),
        ("will not do", host.as_str()),
        ("camera's user", LOGIN.0),
    ] {
        terminal.answer(question, answer);
    }
    terminal.answer("Its password", "mistyped");
    terminal.until("Type user and password again");
    terminal.answer("camera's user", "");
    terminal.answer("Its password", LOGIN.1);
    terminal.until("TP-Link");
    terminal.until("it answers and offers H264");
    terminal.answer("called in alerts", "");
    terminal.until("pictures a second");
    terminal.answer("compared for at this camera", "");
    terminal.answer("it must be said", "Keep banned people out");
    terminal.answer("legal basis", "5");
    terminal.answer("answers for the processing", "Example K.K.");
    terminal.answer("people turn to", "");
    terminal.answer("told of alerts", "");
    terminal.answer("The file", "");
    terminal.until("source = ");
    terminal.answer("Write it?", "");
    terminal.until("not against");
    terminal.answer("Enrol a first person", "");
    terminal.answer("A reference", "grace");
    terminal.answer("which list", "");
    terminal.answer("this person is matched for", "entry log");
    terminal.answer("legal basis", "consent");
    terminal.answer("is filed", "HR-1");
    terminal.answer("version of the notice", "");
    terminal.answer("last day", "");
    terminal.answer("another way", "y");
    terminal.answer("A photograph", "/nonexistent.jpg");
    terminal.answer("there is no file", &photo.display().to_string());
    terminal.answer("Another one", "/nor-is-this.jpg");
    terminal.answer("nor-is-this", "");
    terminal.answer("Send a test alert", "");
    terminal.until("was told");
    terminal.until("systemctl restart sekisho");
    terminal.until("sekisho alerts watch");
    assert_eq!(terminal.ended(), Some(0), "{}", terminal.shown());
    assert!(!terminal.shown().contains(LOGIN.1), "the password was shown");
    assert!(!terminal.shown().contains("mistyped"), "a password was shown");
    let kept = std::fs::read_to_string(site.path("sekisho.toml.before-setup")).expect("a backup");
    assert_eq!(kept, before, "what was there is kept");
    private(&site);
    works(&site);
}

fn unattended(site: &Site, camera: &str, photo: &str, more: &[&str]) -> Output {
    std::fs::write(site.path("camera/answer"), LOGIN.1).expect("written");
    std::fs::set_permissions(site.path("camera/answer"), std::fs::Permissions::from_mode(0o600)).expect("own file");
    let file = site.path("camera/answer").display().to_string();
    let mut args = vec![
        "setup",
        "--yes",
        "--camera-url",
        camera,
        "--camera-user",
        LOGIN.0,
        "--camera-password-file",
        &file,
        "--camera-purpose",
        "entry log",
        "--camera-legal-basis",
        "consent",
        "--person",
        "grace",
        "--photo",
        photo,
        "--record",
        "HR-1",
        "--alternative-offered",
    ];
    args.extend(more);
    site.cli(&args)
}

#[test]
fn unattended_it_comes_as_far_and_a_second_run_changes_nothing() {
    let site = Site::new();
    let Some((camera, photo)) = at_hand(&site, "gate") else { return };
    let photo = photo.display().to_string();
    let first = unattended(&site, camera.url(), &photo, &[]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first));
    private(&site);
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let host = camera.url().trim_end_matches("/gate");
    for url in [camera.url(), host] {
        let again = unattended(&site, url, &photo, &["--language", "ja"]);
        assert_eq!(again.status.code(), Some(0), "{}", text(&again));
        assert!(text(&again).contains("\u{767b}\u{9332}\u{6e08}\u{307f}"), "it speaks Japanese: {}", text(&again));
        assert_eq!(std::fs::read_to_string(site.path("sekisho.toml")).expect("there"), config, "{url}: written twice");
    }
    works(&site);
}

#[test]
fn as_root_everything_ends_with_the_owner_of_the_state_directory() {
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let site = Site::new();
    let Some((camera, photo)) = at_hand(&site, "gate") else { return };
    std::fs::create_dir(site.path("state")).expect("a folder");
    std::os::unix::fs::chown(site.path("state"), Some(4242), Some(4242)).expect("root may");
    site.credential("gate", "of:something else\n");
    let done = unattended(&site, camera.url(), &photo.display().to_string(), &["--skip-camera-test"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    owned(&site, 4);
    assert_eq!(std::fs::metadata(site.path("credentials/gate-2")).expect("there").uid(), 0, "passwords stay root's");
    let other = std::fs::read_to_string(site.path("credentials/gate")).expect("there");
    assert_eq!(other, "of:something else\n", "a credential is not written over");
}

/// Everything in the state directory, `least` files or more, belongs to the user whom it was given.
#[track_caller]
fn owned(site: &Site, least: usize) {
    let owners: Vec<_> = std::fs::read_dir(site.path("state")).expect("a folder").flatten().collect();
    assert!(owners.len() >= least, "database, keys, log: {owners:?}");
    for entry in owners {
        assert_eq!(entry.metadata().expect("there").uid(), 4242, "{}", entry.path().display());
    }
}

/// A camera that only says what it has, and the options that answer everything up to the question whether to write.
fn stub(path: &str) -> (RtspStub, Vec<String>) {
    let video = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n".to_owned();
    let stub = RtspStub::start(Manner::Describe(video)).expect("a camera");
    let url = stub.url().replace("/stub", path);
    let options = [
        ("--language", "en"),
        ("--camera-url", &url),
        ("--camera-name", "gate"),
        ("--camera-user", ""),
        ("--camera-purpose", "entry log"),
        ("--camera-legal-basis", "consent"),
        ("--controller", "K.K."),
        ("--contact", "reception"),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
    (stub, options.chain(["--skip-camera-test".to_owned()]).collect())
}

fn with<'a>(options: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    options.iter().map(String::as_str).chain(more.iter().copied()).collect()
}

#[test]
fn as_root_ctrl_c_after_writing_leaves_nothing_that_the_service_cannot_use() {
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    let (_camera, options) = stub("/live");
    for stop_at in ["Enrol a first person", "Send a test alert"] {
        let site = Site::new();
        std::fs::create_dir(site.path("state")).expect("a folder");
        std::os::unix::fs::chown(site.path("state"), Some(4242), Some(4242)).expect("root may");
        let mut terminal = Terminal::run(&site, &with(&options, &["--sink", "event-log"]));
        terminal.answer("The file", "");
        terminal.answer("Write it?", "");
        if stop_at != "Enrol a first person" {
            terminal.answer("Enrol a first person", "n");
        }
        terminal.until(stop_at);
        terminal.keys.write_all(&[3]).expect("typed");
        assert_ne!(terminal.ended(), Some(0), "{}", terminal.shown());
        owned(&site, 3);
    }
}

#[test]
fn what_the_service_has_to_read_stays_readable_whatever_the_umask() {
    let (site, (_camera, options)) = (Site::new(), stub("/live"));
    let config = site.path("sekisho.toml");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o640)).expect("own file");
    let root = rustix::process::getuid().is_root();
    if root {
        std::os::unix::fs::chown(&config, Some(4242), Some(4343)).expect("root may");
    }
    let log = site.path("log/sekisho/events.ndjson").display().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(binary()).arg("--config").arg(&config);
    command.args(["setup", "--yes"]).args(with(&options, &["--sink", "event-log", "--sink-path", &log]));
    let done = command.env("RUST_LOG", "warn").output().expect("a shell");
    assert_eq!(done.status.code(), Some(0), "{}", text(&done));
    let about = |name: &str| std::fs::metadata(site.path(name)).expect("there");
    let mode = |name: &str| about(name).permissions().mode() & 0o777;
    for file in ["sekisho.toml", "sekisho.toml.before-setup"] {
        assert_eq!(mode(file), 0o640, "{file}");
        if root {
            assert_eq!((about(file).uid(), about(file).gid()), (4242, 4343), "{file}");
        }
    }
    assert_eq!((mode("log"), mode("log/sekisho")), (0o755, 0o750));
}

#[test]
fn what_is_added_is_shown_and_an_edit_meanwhile_is_kept() {
    let (mut site, (_camera, options)) = (Site::new(), stub("/live"));
    site.configure("[privacy] # ours\nprofile = \"jp\"\ncontroller = \"\"");
    let options = with(&options, &["--sink", "none"]);
    let mut terminal = Terminal::run(&site, &options);
    for words in ["This is added", "[cameras.gate]", "purpose = \"entry log\"", "[privacy]", "controller = \"K.K.\""] {
        terminal.until(words);
    }
    let edited = std::fs::read_to_string(site.path("sekisho.toml")).expect("there") + "# an edit\n";
    std::fs::write(site.path("sekisho.toml"), &edited).expect("writable");
    terminal.answer("Write it?", "");
    terminal.until("changed meanwhile");
    assert_eq!(terminal.ended(), Some(1), "{}", terminal.shown());
    unchanged(&site, &edited);

    let mut again = Terminal::run(&site, &options);
    again.answer("Write it?", "");
    again.until(".before-setup");
    again.answer("Enrol a first person", "n");
    assert_eq!(again.ended(), Some(0), "{}", again.shown());
    let valid = site.cli(&["check-config"]);
    assert_eq!(valid.status.code(), Some(0), "{}", text(&valid));
}

#[test]
fn a_mistyped_password_is_asked_for_again_and_presented_once() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let stub = RtspStub::start(Manner::RefuseEverybody).expect("a camera");
    let mut terminal = Terminal::run(&site, &["--language", "en", "--camera-url", &stub.url()]);
    terminal.answer("camera's user", "admin");
    for nth in 1..=2 {
        terminal.answer("Its password", "canary");
        terminal.until("refused the user and password");
        terminal.until("Type user and password again");
        terminal.answer("camera's user", "");
        terminal.until("Its password");
        assert_eq!(stub.passwords_presented(), nth, "each is presented once");
        terminal.read_to -= "Its password".len();
    }
    terminal.keys.write_all(&[3]).expect("typed");
    assert_ne!(terminal.ended(), Some(0), "{}", terminal.shown());
    unchanged(&site, &config);
}

/// Everything of the site but the camera's folder.
fn unchanged(site: &Site, config: &str) {
    assert_eq!(std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration"), config);
    assert!(!site.path("state").exists() && !site.path("sekisho.toml.before-setup").exists(), "something was written");
    assert_eq!(std::fs::read_dir(site.path("credentials")).expect("a folder").count(), 0, "a credential was written");
}

#[test]
fn what_cannot_be_answered_or_used_ends_with_nothing_written() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let nothing_given = site.cli(&["setup", "--yes"]);
    assert_eq!(nothing_given.status.code(), Some(2));
    assert!(text(&nothing_given).contains("--camera-url must be given"), "{}", text(&nothing_given));
    let no_terminal = site.cli(&["setup"]);
    assert!(
        no_terminal.status.code() == Some(2) && text(&no_terminal).contains("no terminal"),
        "{}",
        text(&no_terminal)
    );
    let inside = site.cli(&["setup", "--yes", "--camera-url", "rtsp://127.0.0.1:9/user=ann&password=canary"]);
    assert!(
        inside.status.code() == Some(2)
            && text(&inside).contains("holds a password")
            && !text(&inside).contains("canary"),
        "{}",
        text(&inside)
    );
    let nobody = site.cli(&["setup", "--yes", "--camera-url", "rtsp://127.0.0.1:9/x", "--camera-purpose", "x"]);
    assert!(nobody.status.code() == Some(1) && text(&nobody).contains("refused"), "{}", text(&nobody));
    let (_camera, options) = stub("/live");
    for (more, why) in [
        (["--person", "ann", "--photo", "/dev/null"].as_slice(), "--record must be given; nothing was changed"),
        (&["--person", "ann", "--photo", "/nonexistent.jpg", "--record", "HR-1"], "another way"),
        (
            &["--person", "ann", "--photo", "/nonexistent.jpg", "--record", "HR-1", "--alternative-offered"],
            "there is no file /nonexistent.jpg",
        ),
    ] {
        let incomplete = site.cli(&[&["setup", "--yes"], &with(&options, more)[..]].concat());
        assert!(incomplete.status.code() == Some(2) && text(&incomplete).contains(why), "{}", text(&incomplete));
        unchanged(&site, &config);
    }
    if let Some((camera, photo)) = at_hand(&site, "gate") {
        let photo = photo.display().to_string();
        let refused = unattended(&site, camera.url(), &photo, &["--camera-url", "rtsp://127.0.0.1:9/x"]);
        assert_eq!(refused.status.code(), Some(2), "an address twice is a wrong command line");
        std::fs::write(site.path("camera/answer"), "wrong").expect("written");
        let file = site.path("camera/answer").display().to_string();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("own file");
        let args =
            ["setup", "--yes", "--camera-url", camera.url(), "--camera-user", LOGIN.0, "--camera-password-file", &file];
        let wrong = site.cli(&[&args[..], &["--camera-purpose", "x", "--camera-legal-basis", "consent"]].concat());
        assert!(
            wrong.status.code() == Some(1) && text(&wrong).contains("refused the user and password"),
            "{}",
            text(&wrong)
        );
        unchanged(&site, &config);
    }
    std::fs::write(site.path("sekisho.toml"), "[nonsense]\n").expect("writable");
    let broken = site.cli(&["setup", "--yes", "--camera-url", "rtsp://127.0.0.1:9/x"]);
    assert!(broken.status.code() == Some(2) && text(&broken).contains("nonsense"), "{}", text(&broken));
    unchanged(&site, "[nonsense]\n");
}

#[test]
fn ctrl_c_at_any_question_leaves_everything_as_it_was_and_the_echo_on() {
    let site = Site::new();
    let config = std::fs::read_to_string(site.path("sekisho.toml")).expect("a configuration");
    let questions = ["Language", "Search the local network", "The camera's address", "camera's user", "Its password"];
    for stop_at in 0..questions.len() {
        let mut terminal = Terminal::run(&site, &[]);
        for (question, answer) in questions.iter().zip(["", "n", "127.0.0.1:9", "admin"]).take(stop_at) {
            terminal.answer(question, answer);
        }
        terminal.until(questions[stop_at]);
        if questions[stop_at] == "Its password" {
            terminal.until(":");
            std::thread::sleep(Duration::from_millis(300));
            let modes = tcgetattr(&terminal.line).expect("a terminal").local_modes;
            assert!(!modes.contains(LocalModes::ECHO), "a password is not shown");
        }
        terminal.keys.write_all(&[3]).expect("typed");
        assert_ne!(terminal.ended(), Some(0), "{}", terminal.shown());
        let modes = tcgetattr(&terminal.line).expect("a terminal").local_modes;
        assert!(
            modes.contains(LocalModes::ECHO | LocalModes::ISIG),
            "{}: the terminal stays usable",
            questions[stop_at]
        );
        unchanged(&site, &config);
    }
}
