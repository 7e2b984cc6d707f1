//! The package for 64-bit ARM, cross-built here and run by an emulator, as far as that goes: the program starts, reads its
//! configuration, proves its networks and enrols somebody. What needs a running system of that kind (installing, the unit, a
//! camera) is not tried.

use sekisho_tests::site::{fetched, grounds};
use sekisho_tests::tree::{said, script};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EMULATOR: &str = "qemu-aarch64-static";

/// The unpacked package and the libraries it depends on.
struct Foreign {
    dir: tempfile::TempDir,
    sysroot: PathBuf,
}

impl Foreign {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, verb: &[&str]) -> Output {
        let plugins = self.sysroot.join("usr/lib/aarch64-linux-gnu/gstreamer-1.0");
        let mut command = Command::new(EMULATOR);
        command.arg("-L").arg(&self.sysroot).arg(self.path("usr/bin/sekisho"));
        command.arg("--config").arg(self.path("sekisho.toml")).args(verb);
        // The scanner of plugins is a program of the other architecture, which this kernel does not start; without it
        // GStreamer looks at them in its own process.
        command.env("GST_PLUGIN_SYSTEM_PATH", &plugins).env("GST_REGISTRY", self.path("registry.bin"));
        command.env("GST_REGISTRY_FORK", "no").env("RUST_LOG", "warn");
        command.output().expect("the emulator starts")
    }

    /// Runs a verb that must succeed, and prints what it said.
    fn done(&self, verb: &[&str]) -> String {
        let output = self.run(verb);
        let text = said(&output);
        println!("arm64: sekisho {}\n{text}", verb.join(" "));
        assert!(output.status.success(), "sekisho {verb:?}: {}\n{text}", output.status);
        text
    }
}

/// Builds the package and unpacks it; `None`, said aloud, where that cannot be.
fn unpacked() -> Option<Foreign> {
    for (tool, package) in [(EMULATOR, "qemu-user-static"), ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")] {
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("SKIPPED: {tool} is missing; install {package} (deploy/setup does)");
            return None;
        }
    }
    if cfg!(not(target_arch = "x86_64")) {
        eprintln!("SKIPPED: cross-building for arm64 is set up for x86-64 only");
        return None;
    }
    let library = Command::new("rustup").args(["target", "add", "aarch64-unknown-linux-gnu"]).output();
    if !library.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: Rust's library for 64-bit ARM is not here and could not be fetched: {library:?}");
        return None;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let out = dir.path().display().to_string();
    let _contents = script("build", &["--profile", "dev", "--arch", "arm64", "--version", "0.1.0", "--out", &out]);
    let package = dir.path().join("sekisho_0.1.0_arm64.deb");
    let field = |name: &str| {
        let output = Command::new("dpkg-deb").arg("--field").arg(&package).arg(name).output().expect("dpkg-deb");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(field("Architecture"), "arm64");
    for wanted in ["libc6 (>=", "libgstreamer1.0-0 (>=", "libssl3 (>="] {
        assert!(field("Depends").contains(wanted), "{}", field("Depends"));
    }
    let extracted = Command::new("dpkg-deb").arg("--extract").arg(&package).arg(dir.path()).output().expect("dpkg-deb");
    assert!(extracted.status.success(), "{}", said(&extracted));
    let sysroot = PathBuf::from(script("sysroot", &["arm64"]));
    Some(Foreign { dir, sysroot })
}

fn configuration(foreign: &Foreign) -> String {
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let models = foreign.path("usr/share/sekisho/models");
    format!(
        "[daemon]\nstate-dir = {}\nsocket = {}\ncredentials-dir = {}\nvision-workers = 1\n\
         [models]\nmanifest = {}\ndir = {}\nonnxruntime = {}\n[review]\nenabled = false\n",
        quoted(&foreign.path("state")),
        quoted(&foreign.path("sekisho.sock")),
        quoted(&foreign.path("credentials")),
        quoted(&models.join("manifest.toml")),
        quoted(&models),
        quoted(&foreign.path("usr/lib/sekisho/libonnxruntime.so")),
    )
}

#[test]
fn the_arm64_package_proves_its_networks_and_enrols_somebody_under_emulation() {
    let Some(fetched) = fetched() else { return };
    let Some(foreign) = unpacked() else { return };
    std::fs::write(foreign.path("sekisho.toml"), configuration(&foreign)).expect("writable");
    std::fs::create_dir(foreign.path("credentials")).expect("a fresh folder");
    assert!(foreign.done(&["--version"]).contains("sekisho 0."));
    let _checked = foreign.done(&["check-config"]);
    // Hash, contract and a run whose answer is compared with the stored one: ONNX Runtime computes on ARM what it does here.
    let networks = foreign.done(&["models", "verify"]);
    assert!(networks.matches(" valid").count() >= 3 && !networks.contains("REFUSED"), "{networks}");
    let photo = fetched.join("demo/photos/grace_hopper.jpg");
    if !photo.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", photo.display());
        return;
    }
    let photo = photo.display().to_string();
    let mut enrol =
        vec!["gallery".to_owned(), "enroll".into(), "hopper".into(), photo, "--list".into(), "staff".into()];
    enrol.extend(grounds());
    let _enrolled = foreign.done(&enrol.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(foreign.done(&["gallery", "list"]).contains("hopper"));
}
