//! Which accelerators this machine has, and what a verdict about one depends on.

use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Where the kernel shows processors other than the one it runs on: folder, beginning of the name.
const fn nodes(provider: Provider, device: Device) -> &'static [(&'static str, &'static str)] {
    match (provider, device) {
        (_, Device::Cpu) => &[],
        (Provider::OpenVino, Device::Npu) => &[("/dev/accel", "accel")],
        (_, Device::Gpu) => &[("/dev/dri", "renderD")],
        (Provider::Qnn, Device::Npu) => &[("/dev", "fastrpc-cdsp"), ("/dev", "adsprpc-smd")],
    }
}

/// The nodes there are, in order.
fn found(provider: Provider, device: Device) -> Vec<PathBuf> {
    let entries = nodes(provider, device).iter().flat_map(|(folder, begin)| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(move |path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(begin))
        })
    });
    let mut found: Vec<_> = entries.collect();
    found.sort();
    found
}

/// Whether the machine has it; else why not, half a sentence.
///
/// # Errors
/// What is missing.
pub(super) fn present(provider: Provider, device: Device) -> Result<(), String> {
    if device == Device::Cpu || !found(provider, device).is_empty() {
        return Ok(());
    }
    let places: Vec<_> = nodes(provider, device).iter().map(|(folder, begin)| format!("{folder}/{begin}*")).collect();
    Err(format!("this machine has no such device ({} is not there)", places.join(" or ")))
}

/// Whether QNN would only be emulated: its libraries for x86-64 hold no driver.
pub(super) const fn emulated(provider: Provider) -> bool {
    matches!(provider, Provider::Qnn) && cfg!(target_arch = "x86_64")
}

/// Kernel modules that drive accelerators.
const MODULES: [&str; 4] = ["intel_vpu", "i915", "xe", "fastrpc"];

/// The driver as far as it can be known, what this process may open of it, and what it is confined by: an operator who
/// admits a device or executable memory to the service changes it.
pub(super) fn driver(accelerator: &Accelerator) -> String {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cpuinfo = text("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let mut parts = vec![model.trim_start_matches([' ', '\t', ':']).to_owned()];
    if accelerator.device != Device::Cpu {
        parts.push(format!("Linux {}", text("/proc/sys/kernel/osrelease")));
        parts.extend(MODULES.iter().filter_map(|module| {
            let version = text(&format!("/sys/module/{module}/version"));
            Path::new(&format!("/sys/module/{module}")).exists().then(|| format!("{module} {version}"))
        }));
    }
    for node in found(accelerator.provider, accelerator.device) {
        let opens = OpenOptions::new().read(true).write(true).open(&node).is_ok();
        parts.push(format!("{} {}", node.display(), if opens { "opens" } else { "does not open" }));
    }
    // A service that may not make memory executable carries one filter more.
    let status = text("/proc/self/status");
    parts.extend(status.lines().find(|line| line.starts_with("Seccomp_filters:")).map(|line| line.replace('\t', " ")));
    parts.retain(|part| !part.trim().is_empty());
    parts.join("; ")
}

/// What the libraries are: the content of the provider's own and of the ONNX Runtime it needs, and name, size and time of
/// everything else in its folder, which may be hundreds of megabytes.
pub(super) fn library(accelerator: &Accelerator, stock: &Path) -> String {
    let mut hasher = Sha256::new();
    for path in [accelerator.folder.join(accelerator.provider.library()), accelerator.runtime(stock)] {
        if let Ok(mut file) = File::open(&path) {
            let _unreadable_is_found_out_by_the_trial = std::io::copy(&mut file, &mut hasher);
        }
    }
    let entries = std::fs::read_dir(&accelerator.folder).into_iter().flatten().flatten();
    let others: BTreeMap<_, _> = entries
        .filter_map(|entry| {
            let about = entry.metadata().ok()?;
            let changed = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Some((entry.file_name(), (about.len(), changed.as_nanos())))
        })
        .collect();
    for (name, (size, changed)) in others {
        hasher.update(format!("{}\0{size}\0{changed}\n", name.display()));
    }
    hex::encode(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accelerator(folder: &Path) -> Accelerator {
        let folder = folder.to_owned();
        Accelerator { provider: Provider::OpenVino, device: Device::Cpu, folder, options: BTreeMap::new() }
    }

    #[test]
    fn a_changed_or_added_library_is_another_library() {
        let dir = tempfile::tempdir().expect("a folder");
        let accelerator = accelerator(dir.path());
        std::fs::write(dir.path().join(Provider::OpenVino.library()), "one").expect("written");
        let stock = Path::new("/nonexistent");
        let first = library(&accelerator, stock);
        assert_eq!(first, library(&accelerator, stock), "asking twice changes nothing");
        std::fs::write(dir.path().join("libopenvino.so"), "x").expect("written");
        let second = library(&accelerator, stock);
        assert_ne!(first, second);
        std::fs::write(dir.path().join(Provider::OpenVino.library()), "two").expect("written");
        assert_ne!(second, library(&accelerator, stock));
    }

    #[test]
    fn the_processor_is_always_there_and_its_name_is_part_of_the_driver() {
        assert_eq!(present(Provider::OpenVino, Device::Cpu), Ok(()));
        assert!(!driver(&accelerator(Path::new("/nonexistent"))).is_empty());
    }
}
