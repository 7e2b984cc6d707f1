//! The Debian package in a clean tree: installed, enrolled into, watching a real RTSP camera as the unit says, upgraded,
//! kept from going back, removed and purged. One tree and one story, because installing takes a minute.

use sekisho_tests::feed::{Clip, Feed};
use sekisho_tests::rtsp::{Login, RtspServer};
use sekisho_tests::site::{binary, fetched, files, grounds, root};
use sekisho_tests::tree::{Tree, possible, said, script};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CANARY: &str = "c4nary-pa55";
/// A reference that is in no file but ours.
const PERSON: &str = "quenby-77";
const PACKAGES: &str = "/var/packages";

/// Packs the program under test for this machine, into the tree; gives its path there. A schema may be claimed that the
/// program does not have yet.
fn package(tree: &Tree, version: &str, schema: Option<i64>) -> String {
    let out = tree.path(PACKAGES);
    std::fs::create_dir_all(&out).expect("a folder");
    let (native, out) = (native(), out.display().to_string());
    let (program, schema) = (binary().display().to_string(), schema.map(|schema| schema.to_string()));
    let mut what = vec!["--program", &program, "--arch", &native, "--version", version, "--out", &out];
    what.extend(schema.iter().flat_map(|schema| ["--schema", schema]));
    let _contents = script("build", &what);
    format!("{PACKAGES}/sekisho_{version}_{native}.deb")
}

fn native() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().expect("dpkg");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn install<'a>(more: &[&'a str], package: &'a str) -> Vec<&'a str> {
    let mut command =
        vec!["apt-get", "install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"];
    command.extend(more);
    command.push(package);
    command
}

fn mode_and_owner(tree: &Tree, path: &str) -> (u32, u32) {
    let about = std::fs::metadata(tree.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    (about.mode() & 0o777, about.uid())
}

/// The user's number in the tree.
fn service_user(tree: &Tree) -> u32 {
    let users = tree.text("/etc/passwd");
    let line = users.lines().find(|line| line.starts_with("sekisho:")).expect("no user sekisho");
    line.split(':').nth(2).and_then(|number| number.parse().ok()).expect("a number")
}

/// What a command printed; null where that is no JSON, as while the service is not there yet.
fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// What is in place after the first installation, and that nothing was started.
fn is_installed(tree: &Tree, output: &str) {
    let user = service_user(tree);
    for (path, want) in [
        ("/etc/sekisho/credentials", (0o700, 0)),
        ("/var/lib/sekisho", (0o700, user)),
        ("/etc/systemd/system/sekisho.service.d", (0o755, 0)),
        ("/etc/sekisho/sekisho.toml", (0o644, 0)),
        ("/usr/bin/sekisho", (0o755, 0)),
    ] {
        assert_eq!(mode_and_owner(tree, path), want, "{path}");
    }
    for group in ["sekisho-review", "sekisho-admin", "sekisho-dpo"] {
        assert!(tree.text("/etc/group").lines().any(|line| line.starts_with(&format!("{group}:"))), "no group {group}");
    }
    assert!(
        tree.path("/etc/systemd/system/multi-user.target.wants/sekisho.service").is_symlink(),
        "not enabled\n{output}"
    );
    assert!(output.contains("README.Debian"), "it does not say what comes first:\n{output}");
    assert!(tree.path("/usr/share/doc/sekisho/README.Debian").exists());
    assert!(std::fs::read_dir(tree.path("/var/lib/sekisho")).expect("a folder").next().is_none(), "something was made");
    for path in [
        "/usr/share/man/man1/sekisho.1.gz",
        "/usr/share/man/man5/sekisho.toml.5.gz",
        "/usr/share/bash-completion/completions/sekisho",
        "/usr/share/zsh/vendor-completions/_sekisho",
        "/usr/share/fish/vendor_completions.d/sekisho.fish",
        "/usr/share/doc/sekisho/copyright",
        "/usr/share/doc/sekisho/guide/privacy.ja.md",
        "/usr/share/doc/sekisho/deploy/schema/event.schema.json",
    ] {
        // A minimal container may leave out documentation; debootstrap's tree does not.
        assert!(tree.path(path).exists(), "{path} is not in the package");
    }
    let checked = tree.done(&["sekisho", "check-config"]);
    assert!(!checked.contains("error"), "{checked}");
    let networks = tree.done(&["sekisho", "models", "verify"]);
    assert!(networks.contains("absent, not asked for") && !networks.contains("REFUSED"), "{networks}");
    println!("{networks}");
}

/// Every tag is mended, or explained in `deploy/package/overrides`.
fn lintian_is_content(package: &str) {
    let checked =
        Command::new("lintian").args(["--allow-root", "--fail-on", "error,warning,info", "-I", package]).output();
    match checked {
        Ok(checked) => assert!(checked.status.success(), "{}", said(&checked)),
        Err(error) => eprintln!("SKIPPED: lintian cannot be run here: {error}"),
    }
}

/// Starts the service and waits until its camera is streaming and, where `alerted`, until the person was confirmed.
fn watches(tree: &Tree, alerted: bool) {
    let mut service = tree.start_service();
    service.wait_for("the camera streaming", |_| {
        json(&tree.run(&["sekisho", "status", "--json"]))["cameras"]["streaming"] == 1
    });
    if alerted {
        service.wait_for("a confirmed alert", |_| {
            let alerts = json(&tree.run(&["sekisho", "alerts", "list", "--json"]));
            let alerts = alerts.as_array().or(alerts["alerts"].as_array()).cloned().unwrap_or_default();
            alerts.iter().any(|alert| alert["stage"] == "confirmed" && alert["person"] == PERSON)
        });
    }
    let status = tree.done(&["sekisho", "status"]);
    println!("{status}");
    assert!(!status.contains(CANARY) && !service.log().contains(CANARY), "the camera's password is told");
    service.stop();
}

/// Everything in the tree that still speaks of us: by name, by what is in it, or as user or group.
fn left_behind(tree: &Tree) -> Vec<String> {
    let root = tree.path("/");
    let inside = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_owned();
    // What apt and dpkg write about every package, and the packages themselves.
    let others = ["var/log/apt", "var/log/dpkg.log", "var/lib/dpkg", "var/cache", "var/lib/apt", "var/packages"];
    let of_others =
        |path: &Path| others.iter().any(|other| path.starts_with(other)) && !path.starts_with("var/cache/sekisho");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = inside(&entry.path());
            if of_others(&path) && path != Path::new("var/cache") {
                continue;
            }
            if path.to_string_lossy().contains("sekisho") {
                found.push(path.display().to_string());
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    let mut search = Command::new("grep");
    search.args(["--recursive", "--files-with-matches", "--text", "--fixed-strings", "--devices=skip"]);
    let hits = search.args(["-e", CANARY, "-e", PERSON]).arg(&root).output().expect("grep");
    assert!(hits.status.code() < Some(2), "{}", said(&hits));
    let hits = String::from_utf8_lossy(&hits.stdout).into_owned();
    found.extend(hits.lines().map(|line| inside(Path::new(line)).display().to_string()));
    for list in ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"] {
        let text = tree.text(list);
        found.extend(text.lines().filter(|line| line.contains("sekisho")).map(|line| format!("{list}: {line}")));
    }
    found
}

/// A camera with a password, written into the configuration, and the enrolment of somebody who walks past it.
fn camera_and_person(tree: &Tree, clip: &Path, photo: &Path) -> RtspServer {
    let login = Login { user: "viewer".into(), password: CANARY.into() };
    let feed = Feed::Clip(Clip::load(clip).expect("a clip"));
    let server = RtspServer::start("127.0.0.1", 0, Some(&login), &[("gate", feed)]).expect("a server");
    let config = tree.text("/etc/sekisho/sekisho.toml");
    let camera =
        format!("[cameras.gate]\nsource = {:?}\ncredential = \"gate\"\nlists = [\"staff\"]\n", server.url("gate"));
    // Other tests serve the page on this machine's ports, which the tree shares.
    let config = config.replacen("[review]\n", "[review]\nenabled = false\n", 1);
    std::fs::write(tree.path("/etc/sekisho/sekisho.toml"), format!("{config}\n{camera}")).expect("writable");
    std::fs::write(tree.path("/etc/sekisho/credentials/gate"), format!("viewer:{CANARY}\n")).expect("writable");
    std::fs::copy(photo, tree.path("/var/tmp/photo.png")).expect("a copy");
    let mut enrol = vec!["gallery".to_owned(), "enroll".into(), PERSON.into(), "/var/tmp/photo.png".into()];
    enrol.extend(["--list".to_owned(), "staff".into()]);
    enrol.extend(grounds());
    let _enrolled = tree.as_service(&enrol.iter().map(String::as_str).collect::<Vec<_>>());
    std::fs::remove_file(tree.path("/var/tmp/photo.png")).expect("our copy");
    server
}

/// An older program is not put onto newer data, says why, and leaves the newer one as it was.
fn does_not_go_back(tree: &Tree, first: &str) {
    let back = tree.run(&install(&["--allow-downgrades"], first));
    assert!(!back.status.success(), "an older program was put onto newer data:\n{}", said(&back));
    let told = said(&back);
    assert!(told.contains("sekisho 0.1.0 is not installed: it reads databases up to schema"), "{told}");
    assert!(told.contains("Install sekisho 0.2.0 or newer again"), "{told}");
    // The stamp that refuses outlives everything but a purge.
    assert!(told.contains("copy erased.ndjson out of /var/lib/sekisho, purge sekisho"), "{told}");
    println!("{}", told.lines().filter(|line| line.contains("schema")).collect::<Vec<_>>().join("\n"));
    let state = tree.done(&["dpkg-query", "-W", "-f", "${Version} ${db:Status-Abbrev}", "sekisho"]);
    assert!(state.starts_with("0.2.0 ii"), "the newer program is not whole any more: {state}");
    assert!(tree.as_service(&["gallery", "list"]).contains(PERSON), "the refusal harmed the gallery");
}

/// A folder that stands for the root of a disk, and one of the package's own scripts, made to speak of it.
struct Played {
    dir: tempfile::TempDir,
}

impl Played {
    fn new(script: &str) -> Self {
        let played = Self { dir: tempfile::tempdir().expect("a folder") };
        for folder in ["etc/sekisho", "var/lib/sekisho", "var/lib/sekisho-package", "srv", "bin"] {
            std::fs::create_dir_all(played.path(folder)).expect("own folder");
        }
        // What would change this machine's own users and units.
        for program in [
            "deb-systemd-helper",
            "deb-systemd-invoke",
            "getent",
            "groupdel",
            "systemctl",
            "systemd-sysusers",
            "systemd-tmpfiles",
            "userdel",
        ] {
            let path = played.path("bin").join(program);
            let knows_nobody = if program == "getent" { "exit 2" } else { "" };
            let text = format!("#!/bin/sh\necho \"{program} $*\"\n{knows_nobody}\n");
            std::fs::write(&path, text).expect("own file");
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("own file");
        }
        let script = std::fs::read_to_string(root().join("deploy/package/control").join(script)).expect("the script");
        let there = played.path("");
        let lines = script.lines().map(|line| {
            let tops = ["etc/", "var/", "run/"].into_iter().flat_map(|top| [' ', '=', '>'].map(|before| (before, top)));
            let moved = tops.fold(line.to_owned(), |line, (before, top)| {
                line.replace(&format!("{before}/{top}"), &format!("{before}{}{top}", there.display()))
            });
            moved + "\n"
        });
        std::fs::write(played.path("script"), lines.skip(1).collect::<String>()).expect("own file");
        played
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    fn plant(&self, folder: &str, names: &[&str]) {
        for name in names {
            let path = self.path(folder).join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("own folder");
            std::fs::write(path, PERSON).expect("own file");
        }
    }

    /// The script must end well; gives what it said.
    fn run(&self, words: &str, before: &str) -> String {
        let mut shell = Command::new("unshare");
        shell.args(["--mount", "sh", "-c", &format!("{before}sh -e \"$0\" {words}")]).arg(self.path("script"));
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.path("bin").display());
        let output = shell.current_dir("/").env("PATH", path).output().expect("unshare(1) starts");
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    }

    /// Every file below the folder, but for the script and the programs.
    fn left(&self) -> Vec<String> {
        let own = |path: &Path| path.starts_with(self.path("bin")) || path == self.path("script");
        let files = files(self.dir.path()).into_iter().map(|(path, _)| path).filter(|path| !own(path));
        files.map(|path| path.strip_prefix(self.dir.path()).unwrap_or(&path).display().to_string()).collect()
    }
}

/// Whatever the program may leave in its state directory.
const STATE: [&str; 22] = [
    "people.keys",
    "people.keys.lock",
    "people.keys.old",
    "store.key",
    "store.key.new",
    "audit.key",
    ".key-draft-7-0",
    "sekisho.db",
    "sekisho.db-wal",
    "ballast",
    "run.lock",
    "erased.ndjson",
    "audit-checkpoints.ndjson",
    "calibration.toml",
    "calibration.toml.new",
    "groups.toml",
    "providers.json",
    "review-key.pem",
    "events.ndjson.1",
    "before-restore-20261127T170000Z/sekisho.db",
    "restoring/people.keys",
    "sekisho.toml.from-backup",
];

#[test]
fn a_purge_finds_the_state_wherever_it_lies_and_always_ends() {
    if !possible() {
        return;
    }
    for line in ["state-dir = \"PLACE\"", "  state-dir='PLACE' # the large disk", "daemon.state-dir = \"PLACE\""] {
        let removal = Played::new("postrm");
        let elsewhere = removal.path("srv/state").display().to_string();
        removal.plant("srv/state", &STATE);
        removal.plant("srv/state", &["of-somebody-else.db"]);
        removal.plant("var/lib/sekisho", &STATE);
        let text = format!("[daemon]\n#state-dir = \"/not/this\"\n{}\n", line.replace("PLACE", &elsewhere));
        std::fs::write(removal.path("etc/sekisho/sekisho.toml"), text).expect("own file");
        let _noted = removal.run("remove", "");
        assert!(removal.path("srv/state/sekisho.db").exists(), "a removal erases data");
        std::fs::remove_file(removal.path("etc/sekisho/sekisho.toml")).expect("as dpkg does before it purges");
        let told = removal.run("purge", "");
        assert_eq!(removal.left(), ["srv/state/of-somebody-else.db"], "{line}: {told}");
        assert!(told.contains("srv/state is kept"), "{told}");
    }

    // By a link, and as a mount.
    let removal = Played::new("postrm");
    std::fs::remove_dir(removal.path("var/lib/sekisho")).expect("own folder");
    removal.plant("srv/large", &STATE);
    std::os::unix::fs::symlink(removal.path("srv/large"), removal.path("var/lib/sekisho")).expect("own link");
    let told = removal.run("purge", "");
    assert_eq!(removal.left(), [""; 0], "{told}");
    assert!(!removal.path("var/lib/sekisho").is_symlink());
    let removal = Played::new("postrm");
    removal.plant("var/lib/sekisho", &STATE);
    removal.plant("etc/sekisho", &["credentials/gate"]);
    let place = removal.path("var/lib/sekisho").display().to_string();
    let told = removal.run("purge", &format!("mount --bind {place} {place}; "));
    assert_eq!(removal.left(), [""; 0], "{told}");
    assert!(told.contains("could not be erased whole"), "{told}");
}

#[test]
fn only_an_upgrade_restarts_the_service_and_a_refused_one_does_not() {
    if !possible() {
        return;
    }
    let played = Played::new("postinst");
    std::fs::create_dir_all(played.path("run/systemd/system")).expect("own folder");
    for (words, restarts) in [
        ("configure ''", false),
        ("configure 0.1.0", true),
        ("abort-upgrade 0.1.0", false),
        ("abort-remove", false),
        ("abort-deconfigure in-favour sekisho 0.1.0", false),
    ] {
        // The helpers' words go nowhere; the invocation is seen by what it writes.
        let invoke = played.path("bin/deb-systemd-invoke");
        let seen = played.path("restarted");
        std::fs::write(&invoke, format!("#!/bin/sh\necho \"$*\" >{}\n", seen.display())).expect("own file");
        let told = played.run(words, "");
        let was = std::fs::read_to_string(&seen).unwrap_or_default();
        assert_eq!(was.contains("restart sekisho.service"), restarts, "{words}: {told}");
        let _gone = std::fs::remove_file(&seen);
    }
}

#[test]
fn the_package_installs_watches_upgrades_keeps_what_it_must_and_purges_everything() {
    let Some(fetched) = fetched() else { return };
    let (clip, photo) = (fetched.join("demo/clips/gate.mp4"), fetched.join("demo/photos/astronaut.png"));
    if !clip.exists() || !photo.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", clip.display());
        return;
    }
    if !possible() {
        return;
    }
    let tree = Tree::new();
    let schema = sekisho_store::SCHEMA_VERSION;
    let (first, next) = (package(&tree, "0.1.0", None), package(&tree, "0.2.0", Some(schema + 1)));
    lintian_is_content(&tree.path(&first).display().to_string());
    let preinst = tree.done(&["sh", "-c", &format!("dpkg-deb --ctrl-tarfile {first} | tar -xO ./preinst")]);
    assert!(
        preinst.contains(&format!("schema={schema}\n")),
        "the package has another schema than the program:\n{preinst}"
    );
    let output = tree.done(&install(&[], &first));
    is_installed(&tree, &output);

    let _camera = camera_and_person(&tree, &clip, &photo);
    watches(&tree, true);

    let _upgraded = tree.done(&install(&[], &next));
    assert!(tree.as_service(&["gallery", "list"]).contains(PERSON), "the upgrade lost the gallery");
    assert!(tree.text("/etc/sekisho/sekisho.toml").contains("[cameras.gate]"), "the upgrade lost the configuration");
    watches(&tree, false);

    does_not_go_back(&tree, &first);
    let _removed = tree.done(&["apt-get", "remove", "--yes", "sekisho"]);
    assert!(!tree.path("/usr/bin/sekisho").exists(), "the program stays after a removal");
    assert!(tree.path("/var/lib/sekisho/sekisho.db").exists(), "a removal erases data");
    let refused = tree.run(&install(&[], &first));
    assert!(!refused.status.success() && said(&refused).contains("Install sekisho 0.2.0"), "{}", said(&refused));
    let _again = tree.done(&install(&[], &next));
    assert!(tree.as_service(&["gallery", "list"]).contains(PERSON), "the gallery did not outlive a removal");

    // What else may lie about by then.
    std::fs::write(tree.path("/var/log/sekisho/events.ndjson"), PERSON).expect("writable");
    let before = left_behind(&tree);
    assert!(before.iter().any(|path| path.contains("credentials/gate")), "the scan finds what is there: {before:?}");
    let purged = tree.done(&["apt-get", "purge", "--yes", "sekisho"]);
    let left = left_behind(&tree);
    assert!(left.is_empty(), "left after the purge: {left:#?}\n{purged}");
}
