//! A network that is not what the manifest says is refused by name, whatever is wrong with it.

use crate::tiny::{self, Fault};
use crate::{eyes, fetched, manifest, manifest_text, root, runtime};
use sekisho_vision::detector::{Detector, StartError};
use sekisho_vision::embedder::Embedder;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::model_file::{FileError, ModelBytes};
use sekisho_vision::planes::aligned::Crop;
use sekisho_vision::session::{LoadError, Runtime, RuntimeError, Session};
use sekisho_vision::verify::verify;
use std::path::Path;
use tempfile::TempDir;

#[test]
fn every_shipped_network_verifies() {
    let (Some(runtime), Some(manifest)) = (runtime(), manifest(|text| text)) else { return };
    let reports = verify(runtime, &manifest);
    assert!(reports.len() >= 2);
    for report in reports {
        assert!(report.fault.is_none(), "{}: {:?}", report.id, report.fault);
        assert!(!report.licence.is_empty() && report.digest.len() == 64);
    }
}

#[test]
fn one_flipped_bit_in_a_real_network_is_refused_by_name() {
    let (Some(runtime), Some(good)) = (runtime(), fetched("models/face_detection_yunet_2023mar.onnx")) else { return };
    let dir = TempDir::new().expect("temporary folder");
    let mut bytes = std::fs::read(good).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dir.path().join("face_detection_yunet_2023mar.onnx"), bytes).expect("write");
    let manifest = Manifest::parse(&manifest_text(), &dir.path().join("manifest.toml")).expect("valid");
    let entry = manifest.entry("yunet-2023mar").expect("shipped");
    let error = Detector::load(runtime, &manifest, entry).expect_err("the hash differs");
    assert!(matches!(&error, StartError::Load(LoadError::File(_))));
    let message = error.to_string();
    for part in ["yunet-2023mar", "face_detection_yunet_2023mar.onnx", entry.sha256.as_str(), "deploy/setup"] {
        assert!(message.contains(part), "{message} does not say {part}");
    }
}

#[test]
fn a_detector_is_no_embedder() {
    let (Some(runtime), Some(manifest)) = (runtime(), manifest(|text| text)) else { return };
    let detector = manifest.entry("yunet-2023mar").expect("shipped");
    let message = Embedder::load(runtime, &manifest, detector).expect_err("wrong role").to_string();
    assert!(message.contains("yunet-2023mar") && message.contains("detector"), "{message}");
}

/// A folder with a manifest of one hand-made embedder whose file is `bytes` and whose text `change` may alter.
fn tiny_site(bytes: &[u8], size: usize, change: impl Fn(String) -> String) -> (TempDir, Manifest) {
    let dir = TempDir::new().expect("temporary folder");
    std::fs::write(dir.path().join("tiny.onnx"), bytes).expect("write");
    let text = format!(
        r#"manifest-version = 1
[models.tiny]
role = "embedder"
file = "tiny.onnx"
sha256 = "{nothing}"
source = "this test"
licence = "Apache-2.0"
licence-note = "made by a test"
usage = "commercial"
outputs = [{{ name = "embedding", shape = ["batch", {size}] }}]
[models.tiny.input]
name = "x"
layout = "nchw"
shape = ["batch", 3, 112, 112]
colour = "rgb"
mean = [0.0, 0.0, 0.0]
scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]
[models.tiny.embedder]
output = "embedding"
size = {size}
preprocessing-version = 1
crop-side-px = 112
batch-max = 4
"#,
        nothing = "0".repeat(64)
    );
    // The refusal of a wrong hash says what the right one is.
    let parse = |text: &str| Manifest::parse(text, &dir.path().join("manifest.toml")).expect("valid");
    let first = parse(&text);
    let text = match ModelBytes::read(first.entry("tiny").expect("there"), &dir.path().join("tiny.onnx")) {
        Err(FileError::WrongHash { found, expected, .. }) => text.replace(&expected, &found),
        other => panic!("no file has the hash zero: {other:?}"),
    };
    let manifest = Manifest::parse(&change(text), &dir.path().join("manifest.toml")).expect("valid");
    (dir, manifest)
}

fn load(runtime: &'static Runtime, manifest: &Manifest) -> Result<Embedder, StartError> {
    Embedder::load(runtime, manifest, manifest.entry("tiny").expect("there"))
}

fn refusal(bytes: &[u8], size: usize, change: impl Fn(String) -> String) -> Option<String> {
    let runtime = runtime()?;
    let (_dir, manifest) = tiny_site(bytes, size, change);
    Some(load(runtime, &manifest).expect_err("must be refused").to_string())
}

#[test]
fn an_embedder_of_another_size_runs_without_a_change_of_code() {
    let Some(runtime) = runtime() else { return };
    for size in [16, 256] {
        let (_dir, manifest) = tiny_site(&tiny::embedder(size, Fault::None), size, |text| text);
        let mut embedder = load(runtime, &manifest).expect("valid");
        let red = Crop::try_new([255, 0, 0].repeat(112 * 112)).expect("sized right");
        let blue = Crop::try_new([0, 0, 255].repeat(112 * 112)).expect("sized right");
        let found = embedder.embed(&[&red, &blue, &red]);
        let found: Vec<_> = found.into_iter().collect::<Result<_, _>>().expect("finite");
        assert!(found.iter().all(|e| e.dim() == size));
        assert!(found[0].cosine(&found[2]) > 0.999_9 && found[0].cosine(&found[1]) < 0.9);
        let version = embedder.version();
        assert_eq!((version.model.as_str(), version.size, version.model_digest.len()), ("tiny", size, 64));
    }
}

#[test]
fn wrong_names_and_shapes_are_refused() {
    let network = tiny::embedder(16, Fault::None);
    let wrong: [(&str, &str, &str); 4] = [
        ("name = \"x\"", "name = \"data\"", "no input `data`"),
        ("shape = [\"batch\", 3, 112, 112]", "shape = [\"batch\", 3, 128, 128]", "[free, 3, 112, 112]"),
        ("name = \"embedding\"", "name = \"fc1\"", "no output `fc1`"),
        ("shape = [\"batch\", 3, 112, 112]", "shape = [1, 3, 112, 112]", "declared as [1, 3, 112, 112]"),
    ];
    for (from, to, said) in wrong {
        let change = |text: String| {
            let text = text.replace(from, to);
            let text =
                if to.contains("fc1") { text.replace("output = \"embedding\"", "output = \"fc1\"") } else { text };
            if to.contains("[1,") { text.replace("batch-max = 4", "batch-max = 1") } else { text }
        };
        let Some(message) = refusal(&network, 16, change) else { return };
        assert!(message.contains("`tiny`") && message.contains("tiny.onnx") && message.contains(said), "{message}");
    }
    let Some(message) = refusal(&network, 32, |text| text) else { return };
    assert!(message.contains("`embedding` is [free, 16], declared as [batch, 32]"), "{message}");
}

#[test]
fn extra_inputs_answers_that_are_no_numbers_and_garbage_are_refused() {
    let Some(message) = refusal(&tiny::embedder(16, Fault::SecondInput), 16, |text| text) else { return };
    assert!(message.contains("2 inputs"), "{message}");
    let Some(message) = refusal(&tiny::embedder(16, Fault::NotANumber), 16, |text| text) else { return };
    assert!(message.contains("self-test") && message.contains("not finite"), "{message}");
    let Some(message) = refusal(b"this is no ONNX file", 16, |text| text) else { return };
    assert!(message.contains("tiny.onnx") && message.contains("refuses") && !message.contains('\n'), "{message}");
}

#[test]
fn a_network_that_answers_otherwise_than_its_golden_file_is_refused() {
    let Some(runtime) = runtime() else { return };
    let with_golden = |text: String| text.replace("usage =", "golden = \"golden.toml\"\nusage =");
    let (dir, manifest) = tiny_site(&tiny::embedder(16, Fault::None), 16, with_golden);
    let golden = dir.path().join("golden.toml");
    let numbers = |sign: f32| {
        let list: Vec<_> = (0..16_u8).map(|i| format!("{:.1}", sign * (f32::from(i) - 7.5))).collect();
        format!("output = \"embedding\"\nvalues = [{}]\n", list.join(", "))
    };
    std::fs::write(&golden, numbers(1.0)).expect("write");
    let message = load(runtime, &manifest).expect_err("another answer").to_string();
    assert!(message.contains("self-test") && message.contains("cosine"), "{message}");
    std::fs::write(&golden, "values = [nonsense").expect("write");
    let message = load(runtime, &manifest).expect_err("no golden file").to_string();
    assert!(message.contains("golden.toml"), "{message}");
}

#[test]
fn a_second_or_missing_runtime_is_refused_in_a_sentence() {
    let Some(runtime) = runtime() else { return };
    let message = Runtime::load(Path::new("/nonexistent/libonnxruntime.so")).expect_err("missing").to_string();
    assert!(message.contains("/nonexistent/libonnxruntime.so") && message.contains("deploy/setup"), "{message}");
    let other = root().join("models/manifest.toml");
    let error = Runtime::load(&other).expect_err("one is loaded");
    assert!(matches!(error, RuntimeError::AnotherLoaded { .. }), "{error}");
    assert_eq!(Runtime::load(runtime.dylib()).expect("the same again").dylib(), runtime.dylib());
}

#[test]
fn an_input_of_the_wrong_size_is_an_error_and_no_crash() {
    let (Some(runtime), Some(manifest)) = (runtime(), manifest(|text| text)) else { return };
    let entry = manifest.entry("sface-2021dec").expect("shipped");
    let mut session = Session::load(runtime, &manifest, entry).expect("loads");
    let values = vec![0.0; 3 * 112 * 112];
    assert!(session.run([2, 3, 112, 112], &values).is_err());
    assert!(session.run([1, 3, 56, 56], &values[..3 * 56 * 56]).is_err());
    // And it still works.
    let answer = session.run([1, 3, 112, 112], &values).expect("the right size");
    assert_eq!(answer.finite_tensor("fc1", &[1, 128]).expect("finite").len(), 128);
    assert!(answer.finite_tensor("fc1", &[1, 256]).is_err() && answer.finite_tensor("fc2", &[1, 128]).is_err());
}

#[test]
fn networks_start_twice_in_one_process() {
    let (Some(_first), Some(_second)) = (eyes(), eyes()) else { return };
}
