//! Providers for tests: those that set-up fetched, and one with a will of its own.

use crate::site::{Site, root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of a provider that set-up fetched, or `None` (said aloud).
#[must_use]
pub fn provider(name: &str) -> Option<PathBuf> {
    let place = root().join(".sekisho/providers").join(name);
    let library = place.join(format!("libonnxruntime_providers_{name}.so"));
    if !library.exists() {
        eprintln!("SKIPPED: {} is absent; deploy/setup fetches it, on x86_64 only", library.display());
        return None;
    }
    Some(place)
}

/// An OpenVINO whose ONNX Runtime does what a file says: `tests/support/shim/onnxruntime.c`.
pub struct Shim {
    folder: PathBuf,
    behaviour: PathBuf,
}

impl Shim {
    /// Builds it for a site and puts it where the site's configuration finds it; `None` (said aloud) where there is no OpenVINO
    /// or no C compiler.
    ///
    /// # Panics
    /// When the compiler refuses the source or no file can be written.
    #[must_use]
    pub fn install(site: &mut Site, models: &str) -> Option<Self> {
        let real = provider("openvino")?.canonicalize().expect("it is there").join("libonnxruntime.so.1.24.1");
        let (folder, behaviour) = (site.path("providers/openvino"), site.path("behaviour"));
        std::fs::create_dir_all(&folder).expect("a fresh folder");
        // What is looked for to see whether the provider is installed; the real one is found beside the real runtime.
        std::fs::write(folder.join("libonnxruntime_providers_openvino.so"), "see the shim").expect("written");
        let shim = Self { folder, behaviour };
        shim.build(&real)?;
        Self::configure(site, models);
        Some(shim)
    }

    /// What else `[models]` says of a site that has it.
    pub fn configure(site: &mut Site, models: &str) {
        let place = site.path("providers").display().to_string();
        site.models(&format!("provider-dir = {place:?}\nprovider = \"openvino\"\ndevice = \"cpu\"\n{models}\n"));
    }

    fn build(&self, real: &Path) -> Option<()> {
        let quoted = |name: &str, path: &Path| format!("-D{name}=\"{}\"", path.display());
        let built = Command::new("cc")
            .args(["-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"])
            .arg(quoted("REAL", real))
            .arg(quoted("BEHAVIOUR", &self.behaviour))
            .arg(root().join("tests/support/shim/onnxruntime.c"))
            .arg("-o")
            .arg(self.folder.join("libonnxruntime.so"))
            .status();
        match built {
            Ok(status) => assert!(status.success(), "the shim does not compile"),
            Err(error) => {
                eprintln!("SKIPPED: there is no C compiler: {error}");
                return None;
            }
        }
        Some(())
    }

    /// Another edition of the library: other bytes, the same behaviour.
    ///
    /// # Panics
    /// When it cannot be changed.
    pub fn change(&self) {
        let place = self.folder.join("libonnxruntime_providers_openvino.so");
        std::fs::write(place, "another edition").expect("written");
    }

    /// From now on its sessions do this; empty: what the real ones do.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn behave(&self, word: &str) {
        if word.is_empty() {
            let _not_there_is_fine = std::fs::remove_file(&self.behaviour);
        } else {
            std::fs::write(&self.behaviour, word).expect("written");
        }
    }
}
