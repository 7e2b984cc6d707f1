//! Which accelerators this machine has, and what a verdict about one depends on.

use sekisho_vision::accelerator::{Accelerator, Device, Provider};
use sekisho_vision::manifest::{Entry, Manifest};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions};
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

/// Where systems keep the part of a driver that runs in the process, and a device's firmware.
const DRIVER_FOLDERS: [&str; 9] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu/intel-opencl",
    "/usr/lib/intel-opencl",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/firmware/intel/vpu",
    "/usr/lib/firmware/updates/intel/vpu",
];

/// How the names of these begin: Level Zero and OpenCL with their compilers, the neural processor's compiler and firmware;
/// Qualcomm's way to its signal processor. What a driver loads besides is not known here.
const fn driver_files(provider: Provider, device: Device) -> &'static [&'static str] {
    match (provider, device) {
        (_, Device::Cpu) => &[],
        (Provider::OpenVino, Device::Gpu) => {
            &["libze_intel_gpu.so", "libze_loader.so", "libigdrcl.so", "libOpenCL.so", "libigc.so", "libigdfcl.so"]
        }
        (Provider::OpenVino, Device::Npu) => {
            &["libze_intel_npu.so", "libze_intel_vpu.so", "libze_loader.so", "libnpu_driver_compiler.so", "vpu_"]
        }
        (Provider::Qnn, _) => &["libcdsprpc.so", "libadsprpc.so"],
    }
}

/// Size and time of the files in `folders` whose names begin as one of `names`, in order.
fn files_of(folders: &[&Path], names: &[&str]) -> Vec<String> {
    let of = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let wanted = entries.filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| names.iter().any(|begin| name.starts_with(begin)))
        });
        // What a link points to is what is loaded.
        let about = wanted.filter_map(|entry| Some((entry.path(), age(&std::fs::metadata(entry.path()).ok()?)?)));
        about.map(|(path, (size, changed))| format!("{} {size} {changed}", path.display())).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = if names.is_empty() { Vec::new() } else { folders.iter().copied().flat_map(of).collect() };
    found.sort();
    found
}

/// Size, and nanoseconds since 1970 at the last change.
fn age(about: &Metadata) -> Option<(u64, u128)> {
    let changed = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some((about.len(), changed.as_nanos()))
}

/// The driver as far as it can be known: the processor's name, the kernel and its modules, libraries and firmware.
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
        let files = driver_files(accelerator.provider, accelerator.device);
        parts.extend(files_of(&DRIVER_FOLDERS.map(Path::new), files));
    }
    joined(parts)
}

/// What this process may do: which of the accelerator's nodes it opens, and what it is confined by. An operator who admits a
/// device or executable memory to the service changes it.
pub(super) fn confined(accelerator: &Accelerator) -> String {
    let mut parts = Vec::new();
    for node in found(accelerator.provider, accelerator.device) {
        let opens = OpenOptions::new().read(true).write(true).open(&node).is_ok();
        parts.push(format!("{} {}", node.display(), if opens { "opens" } else { "does not open" }));
    }
    // A service that may not make memory executable carries one filter more.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parts.extend(status.lines().find(|line| line.starts_with("Seccomp_filters:")).map(|line| line.replace('\t', " ")));
    joined(parts)
}

fn joined(mut parts: Vec<String>) -> String {
    parts.retain(|part| !part.trim().is_empty());
    parts.join("; ")
}

/// What a network is measured with: the contracts, the golden picture and answer, and the detector that finds the faces.
pub(super) fn measure(manifest: &Manifest, file: &Path, detector: &Entry, entry: &Entry) -> String {
    let golden = entry.golden.as_deref().map(|golden| manifest.beside(golden));
    let read = [Some(file.to_path_buf()), manifest.golden_picture(), golden];
    let mut hasher = Sha256::new();
    for path in read.into_iter().flatten() {
        if let Ok(mut file) = File::open(&path) {
            let _unreadable_is_found_out_by_the_trial = std::io::copy(&mut file, &mut hasher);
        }
        hasher.update("\n");
    }
    hasher.update(&detector.sha256);
    hex::encode(hasher.finalize())
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
    let others: BTreeMap<_, _> =
        entries.filter_map(|entry| Some((entry.file_name(), age(&entry.metadata().ok()?)?))).collect();
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
    fn another_driver_in_the_process_is_another_driver() {
        let dir = tempfile::tempdir().expect("a folder");
        let folders = [Path::new("/nonexistent"), dir.path()];
        let names = driver_files(Provider::OpenVino, Device::Npu);
        std::fs::write(dir.path().join("libze_intel_npu.so.1.2"), "one").expect("written");
        std::fs::write(dir.path().join("libc.so.6"), "no driver").expect("written");
        let first = files_of(&folders, names);
        assert_eq!((first.len(), &first), (1, &files_of(&folders, names)), "asking twice changes nothing");
        std::fs::write(dir.path().join("libze_intel_npu.so.1.2"), "another").expect("written");
        assert_ne!(first, files_of(&folders, names));
        assert!(files_of(&folders, driver_files(Provider::OpenVino, Device::Cpu)).is_empty());
    }

    #[test]
    fn another_manifest_picture_or_answer_is_another_measure() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().join("manifest.toml");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        let text = include_str!("../../../models/manifest.toml");
        write("manifest.toml", text);
        let manifest = Manifest::load(&place).expect("the shipped one");
        let entry = manifest.entry("sekisho-student-m").expect("shipped");
        let detector = manifest.entry("yunet-2023mar").expect("shipped");
        std::fs::create_dir_all(dir.path().join("golden")).expect("a folder");
        let picture = manifest.golden_picture().expect("named");
        let answer = manifest.beside(entry.golden.as_deref().expect("named"));
        std::fs::create_dir_all(answer.parent().expect("a folder")).expect("made");
        let now = || measure(&manifest, &place, detector, entry);
        let mut seen = vec![now()];
        for (file, text) in
            [(&picture, "a picture".to_owned()), (&answer, "an answer".to_owned()), (&place, format!("{text}\n#\n"))]
        {
            std::fs::write(file, text).expect("written");
            seen.push(now());
        }
        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
        assert_ne!(now(), measure(&manifest, &place, entry, entry));
    }

    #[test]
    fn the_processor_is_always_there_and_its_name_is_part_of_the_driver() {
        assert_eq!(present(Provider::OpenVino, Device::Cpu), Ok(()));
        assert!(!driver(&accelerator(Path::new("/nonexistent"))).is_empty());
    }
}
