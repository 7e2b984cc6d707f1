//! A clean Debian tree to install the package into, and the service in it, started as the unit says.
//!
//! Commands run by `chroot` in a mount namespace of their own, so that nothing stays mounted; the network is this machine's.

use crate::site::root;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// What makes a process in the tree see itself: `sh -c` with the tree as `$0`. The rest is the command.
const ENTER: &str = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";

/// The same with what the unit's ProtectSystem=strict, PrivateTmp= and its directories come to: everything is read-only but
/// the four directories and empty temporary ones.
const ENTER_AS_SERVICE: &str = "set -e; mount --bind \"$0\" \"$0\"; mount -t proc proc \"$0/proc\"; \
    for place in var/lib/sekisho var/cache/sekisho var/log/sekisho run/sekisho; do mount --bind \"$0/$place\" \"$0/$place\"; done; \
    mount -t tmpfs tmpfs \"$0/tmp\"; mount -t tmpfs tmpfs \"$0/var/tmp\"; \
    mount -o remount,bind,ro \"$0\"; exec chroot \"$0\" \"$@\"";

/// What a command said, on both channels.
#[must_use]
pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs a script of `deploy/package`; gives the last line it printed.
///
/// # Panics
/// When it fails, with what it said.
#[must_use]
pub fn script(name: &str, arguments: &[&str]) -> String {
    let path = root().join("deploy/package").join(name);
    let output = Command::new(&path).args(arguments).output().expect("the script starts");
    assert!(output.status.success(), "{} {arguments:?}: {}", path.display(), said(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().last().unwrap_or_default().to_owned()
}

/// Whether packages can be built and installed here; says aloud why not.
#[must_use]
pub fn possible() -> bool {
    let missing = ["debootstrap", "dpkg-deb", "dpkg-shlibdeps", "unshare", "setpriv"].into_iter().find(|tool| {
        let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    });
    if let Some(missing) = missing {
        eprintln!("SKIPPED: {missing} is missing; run deploy/setup");
        return false;
    }
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: a tree is made, and a package installed into it, by root only");
        return false;
    }
    let apart = Command::new("unshare").args(["--mount", "true"]).output();
    if !apart.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this machine allows no mount namespace of its own: {apart:?}");
        return false;
    }
    true
}

/// A Debian tree in a temporary folder.
pub struct Tree {
    dir: tempfile::TempDir,
}

impl Tree {
    /// Unpacks the tree of `deploy/package/tree`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let packed = script("tree", &[]);
        let dir = tempfile::Builder::new().prefix("sekisho-tree-").tempdir().expect("a temporary folder");
        let mut unpack = Command::new("tar");
        unpack.args(["--extract", "--numeric-owner", "--same-permissions", "--file", &packed]).arg("--directory");
        let unpacked = unpack.arg(dir.path()).output().expect("tar");
        assert!(unpacked.status.success(), "{}", said(&unpacked));
        // The service's user must be able to enter.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("own folder");
        // Names are looked up as here; debootstrap's copy may be from another day.
        let _none = std::fs::copy("/etc/resolv.conf", dir.path().join("etc/resolv.conf"));
        Self { dir }
    }

    /// A path in the tree, as seen from outside.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside.trim_start_matches('/'))
    }

    /// A file's text.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    pub fn text(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).unwrap_or_else(|error| panic!("{inside}: {error}"))
    }

    fn enter(&self, how: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", how]).arg(self.dir.path());
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a command in the tree as root, with nothing to read.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, command: &[&str]) -> Output {
        self.enter(ENTER).args(command).stdin(Stdio::null()).output().expect("unshare(1) starts")
    }

    /// Runs a command that must succeed; gives what it said.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn done(&self, command: &[&str]) -> String {
        let output = self.run(command);
        assert!(output.status.success(), "{command:?} in the tree: {}\n{}", output.status, said(&output));
        said(&output)
    }

    /// A verb of the program as the service's user, as `sudo -u sekisho sekisho ...` runs it.
    ///
    /// # Panics
    /// When it fails, with what it said.
    pub fn as_service(&self, verb: &[&str]) -> String {
        let user = ["setpriv", "--reuid=sekisho", "--regid=sekisho", "--init-groups", "sekisho"];
        self.done(&user.iter().chain(verb).copied().collect::<Vec<_>>())
    }

    /// Starts what the installed unit starts, with its user, environment, directories and credentials.
    ///
    /// # Panics
    /// When the unit or the program is not there.
    #[must_use]
    pub fn start_service(&self) -> Service {
        let unit = self.text("/lib/systemd/system/sekisho.service");
        let setting = |key: &str| {
            let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            values.map(str::to_owned).collect::<Vec<_>>()
        };
        let (user, group) = (setting("User").concat(), setting("Group").concat());
        let owner = format!("{user}:{group}");
        for (key, base) in [("State", "/var/lib"), ("Runtime", "/run"), ("Logs", "/var/log"), ("Cache", "/var/cache")] {
            let (name, mode) =
                (setting(&format!("{key}Directory")).concat(), setting(&format!("{key}DirectoryMode")).concat());
            let place = format!("{base}/{name}");
            let _made = self.done(&["mkdir", "-p", &place]);
            let _owned = self.done(&["chown", &owner, &place]);
            let _kept = self.done(&["chmod", &mode, &place]);
        }
        let (prefix, credentials) = setting("LoadCredential").concat().split_once(':').map(own).expect("NAME:PATH");
        let given = "/run/credentials/sekisho.service";
        let copy = format!(
            "rm -rf {given} && mkdir -p {given} && for file in {credentials}/*; do \
             [ ! -e \"$file\" ] || install -m 400 \"$file\" {given}/{prefix}_${{file##*/}}; done && chown -R {owner} {given} && chmod 700 {given}"
        );
        let _copied = self.done(&["sh", "-c", &copy]);
        let notify = self.path("/run/notify.sock");
        let _stale = std::fs::remove_file(&notify);
        let heard = UnixDatagram::bind(&notify).expect("a socket in the tree");
        heard.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        std::fs::set_permissions(&notify, std::fs::Permissions::from_mode(0o777)).expect("own socket");
        let mut command = self.enter(ENTER_AS_SERVICE);
        command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={group}"), "--init-groups"]);
        command.args(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "--ambient-caps=-all"]);
        command.args([
            "prlimit",
            "--core=0",
            "--nofile=4096",
            "env",
            "NOTIFY_SOCKET=/run/notify.sock",
            "RUST_LOG=info,ort=warn",
        ]);
        command
            .arg(format!("CREDENTIALS_DIRECTORY={given}"))
            .args(setting("Environment").iter().flat_map(|line| line.split(' ')));
        command.args(setting("ExecStart").concat().split(' '));
        let log = std::fs::File::create(self.path("/run/daemon.log")).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the service starts");
        let mut service = Service { child, heard, log: self.path("/run/daemon.log"), credentials: self.path(given) };
        service.wait_ready();
        service
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

fn own((left, right): (&str, &str)) -> (String, String) {
    (left.to_owned(), right.to_owned())
}

/// The running service. Killed when dropped.
pub struct Service {
    child: Child,
    heard: UnixDatagram,
    log: PathBuf,
    credentials: PathBuf,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Service {
    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        let read = std::fs::File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text));
        read.map(|_length| text).unwrap_or_default()
    }

    fn wait_ready(&mut self) {
        let mut buffer = [0_u8; 4096];
        self.wait_for("READY=1", |service| {
            let length = service.heard.recv(&mut buffer).unwrap_or(0);
            String::from_utf8_lossy(&buffer[..length]).contains("READY=1")
        });
    }

    /// Waits until `holds`, ten minutes at the most.
    ///
    /// # Panics
    /// When the service ends or it never holds, with the log.
    pub fn wait_for(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        for _ in 0..1200 {
            if holds(self) {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the service ended with {status} before {what}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("{what} did not happen:\n{}", self.log());
    }

    /// Stops it as the service manager does.
    ///
    /// # Panics
    /// When it does not end well.
    pub fn stop(mut self) {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill(1)");
        let ended = self.child.wait().expect("own child");
        // The service manager keeps them for as long as the service runs.
        std::fs::remove_dir_all(&self.credentials).expect("the service's credentials");
        assert!(ended.success(), "the service ended with {ended}:\n{}", self.log());
        // The journal, which names people, is outside of the tree's keeping.
        std::fs::remove_file(&self.log).expect("the service's log");
    }
}
