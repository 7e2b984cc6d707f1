//! `sekisho alerts watch` on a terminal: it draws, follows what happens, and leaves the terminal as it was.

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use sekisho_logic::id::PersonId;
use sekisho_logic::time::Clock as _;
use sekisho_logic::time::WallMs;
use sekisho_tests::clock::RealClock;
use sekisho_tests::site::{Daemon, Site, binary, fetched};
use sekisho_tests::store;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A program on a terminal of its own.
struct Terminal {
    keys: File,
    line: File,
    screen: Arc<Mutex<vt100::Parser>>,
    child: Child,
}

const fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    fn run(site: &Site, args: &[&str]) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).expect("ours");
        unlockpt(&keys).expect("ours");
        let name = ptsname(&keys, Vec::new()).expect("a name").into_string().expect("plain");
        let line = File::options().read(true).write(true).open(name).expect("its other end");
        tcsetwinsize(&line, size(80, 24)).expect("a size");
        let end = || line.try_clone().expect("a descriptor");
        // A terminal belongs to a session; --ctty makes this one the program's own, so that it hears of changes of size.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(binary())
            .arg("--config")
            .arg(site.path("sekisho.toml"))
            .args(["alerts", "watch"])
            .args(args);
        let child =
            command.env("TERM", "xterm-256color").env("TZ", "UTC").stdin(end()).stdout(end()).stderr(end()).spawn();
        let child = child.expect("setsid of util-linux");
        let keys = File::from(keys);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 100)));
        let (mut from, into) = (keys.try_clone().expect("a descriptor"), Arc::clone(&screen));
        let listen = move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = from.read(&mut buffer) {
                into.lock().unwrap_or_else(PoisonError::into_inner).process(&buffer[..length]);
            }
        };
        std::thread::Builder::new().name("terminal".into()).spawn(listen).expect("a thread");
        Self { keys, line, screen, child }
    }

    /// What stands on the screen.
    fn shown(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Whether a view lies over what a shell would show.
    fn is_view(&self) -> bool {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen()
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.line, size(columns, rows)).expect("a size");
    }

    fn until(&self, words: &str) {
        for _ in 0..400 {
            if self.shown().contains(words) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("{words:?} was not drawn within 10 s:\n{}", self.shown());
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    fn end(&mut self) -> ExitStatus {
        for _ in 0..200 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("it did not end within 5 s:\n{}", self.shown());
    }

    /// Whether lines are edited and echoed again, as a shell expects.
    fn is_ordinary(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }
}

impl Terminal {
    /// Whether a shell has its terminal again; what was written last may still be on its way.
    fn is_given_back(&self) -> bool {
        for _ in 0..40 {
            if !self.is_view() && self.is_ordinary() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        false
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A site whose alert `a-0` waits for people.
fn waiting() -> Option<(Site, Daemon)> {
    fetched()?;
    let site = Site::new();
    let state = site.path("state");
    std::fs::create_dir_all(&state).expect("a writable folder");
    let key =
        sekisho_store::DbKey::from_file(&state.join("store.key"), sekisho_store::IfMissing::Create).expect("a key");
    let mut store = sekisho_store::Store::create_or_open(&state.join("sekisho.db"), key).expect("a store");
    let now = RealClock::start().now().wall;
    for mut event in store::story("a-0", now).expect("events").into_iter().take(2) {
        for record in event.before.iter_mut().chain([&mut event.after]) {
            record.person = PersonId::try_new("hopper").expect("a name");
            record.expires = Some(WallMs(now.0 + 3_600_000));
        }
        store.append(&event, &[], "daemon").expect("journalled");
    }
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the alert is back", 5, |daemon| daemon.get("/v1/status")["alerts"]["open"] == 1);
    Some((site, daemon))
}

#[test]
fn the_view_follows_what_happens_and_q_gives_the_terminal_back() {
    let Some((site, daemon)) = waiting() else { return };
    let mut terminal = Terminal::run(&site, &[]);
    for words in ["Sekisho  live", "Open alerts", "! waits for people hopper", "What happened"] {
        terminal.until(words);
    }
    assert!(terminal.is_view() && !terminal.is_ordinary(), "keys are read one by one");
    terminal.press("\r");
    terminal.until("Pictures: press r");
    terminal.press("\u{1b}");
    // Escape and a letter at once would be another key.
    terminal.until("What happened, newest first");
    terminal.press("r");
    terminal.until("sekisho review");
    terminal.press("r");
    terminal.resize(150, 40);
    // From this width on the cameras stand beside the alerts.
    terminal.until("Open alerts \u{2500}");
    for _ in 0..100 {
        if terminal.shown().lines().any(|line| line.contains("Open alerts") && line.contains("Cameras")) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = terminal.shown();
    assert!(shown.lines().any(|line| line.contains("Open alerts") && line.contains("Cameras")), "{shown}");
    let _told = site.done(&["alerts", "reject", "a-0"]);
    terminal.until("REJECTED");
    terminal.until("Nothing is open");
    assert!(daemon.stop(5).success(), "a terminal that watches does not hold up the end");
    terminal.until("NOT CURRENT");
    terminal.press("q");
    assert!(terminal.end().success());
    assert!(terminal.is_given_back(), "lines are edited and echoed again");
}

#[test]
fn whatever_ends_it_the_terminal_is_given_back() {
    let Some((site, _daemon)) = waiting() else { return };
    for signal in ["TERM", "HUP", ""] {
        let mut terminal = Terminal::run(&site, &["--tracks"]);
        terminal.until("waits for people");
        if signal.is_empty() {
            terminal.press("\u{3}");
        } else {
            let pid = terminal.child.id().to_string();
            assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("kill").success());
        }
        assert!(terminal.end().success(), "{signal}");
        assert!(terminal.is_given_back(), "{signal:?} left the terminal as it was not");
    }
}

#[test]
fn who_wants_lines_or_has_no_terminal_gets_lines() {
    let Some((site, _daemon)) = waiting() else { return };
    let mut terminal = Terminal::run(&site, &["--plain"]);
    std::thread::sleep(Duration::from_millis(500));
    let _told = site.done(&["alerts", "reject", "a-0"]);
    terminal.until("hopper (vote)");
    assert!(!terminal.is_view() && terminal.is_ordinary());
    terminal.child.kill().expect("a child");
}
