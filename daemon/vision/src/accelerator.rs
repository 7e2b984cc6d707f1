//! A provider on a device: what a network may run on besides ONNX Runtime's own processor code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whose library computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// Intel's OpenVINO. Its package brings an ONNX Runtime of its own, built with it; libraries of two packages do not mix.
    OpenVino,
    /// Qualcomm's QNN on the Hexagon processor (HTP), a plugin of the stock ONNX Runtime. On x86-64 the same library emulates
    /// the processor, a thousand times slower: enough to prove, not to use.
    Qnn,
}

impl Provider {
    /// All of them, in the order in which `auto` looks.
    pub const ALL: [Self; 2] = [Self::OpenVino, Self::Qnn];

    /// The word used in configuration, status and folders.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenVino => "openvino",
            Self::Qnn => "qnn",
        }
    }

    /// The provider of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == name)
    }

    /// The library that must lie in the provider's folder.
    #[must_use]
    pub const fn library(self) -> &'static str {
        match self {
            Self::OpenVino => "libonnxruntime_providers_openvino.so",
            Self::Qnn => "libonnxruntime_providers_qnn.so",
        }
    }
}

/// What kind of processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// A neural processor.
    Npu,
    /// A graphics processor.
    Gpu,
    /// The processor itself.
    Cpu,
}

impl Device {
    /// The word used in configuration and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Npu => "npu",
            Self::Gpu => "gpu",
            Self::Cpu => "cpu",
        }
    }

    /// The device of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Npu, Self::Gpu, Self::Cpu].into_iter().find(|device| device.as_str() == name)
    }
}

/// A provider on a device, with where its libraries lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// Whose library.
    pub provider: Provider,
    /// Which processor.
    pub device: Device,
    /// Folder of the provider's libraries.
    pub folder: PathBuf,
    /// The provider's own options, as its maker names them.
    pub options: BTreeMap<String, String>,
}

impl Accelerator {
    /// The ONNX Runtime it needs: its own, or `stock`. Everything in a process runs in one library, so networks that stay on
    /// the processor run in this one as well.
    #[must_use]
    pub fn runtime(&self, stock: &Path) -> PathBuf {
        match self.provider {
            Provider::OpenVino => onnxruntime_in(&self.folder).unwrap_or_else(|| self.folder.join("libonnxruntime.so")),
            Provider::Qnn => stock.to_path_buf(),
        }
    }

    /// Whether each input shape needs a compilation of its own. Neural processors know no other way.
    #[must_use]
    pub fn compiles_shapes(&self) -> bool {
        self.provider == Provider::Qnn || self.device == Device::Npu
    }
}

/// The ONNX Runtime in a folder, whatever version its name carries; the last by name when there are several.
#[must_use]
pub fn onnxruntime_in(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("libonnxruntime.so"))
    };
    entries.filter(named).max()
}
