use super::standing::{Shown, Standing};
use super::*;
use sekisho_vision::trial::{Agreement, Findings, Latency};
use std::path::Path;

fn settings(dir: &Path, models: &str) -> Settings {
    let text = format!("[models]\nprovider-dir = {:?}\n{models}", dir.display().to_string());
    crate::config::parse(Path::new("test.toml"), &text).expect("valid")
}

fn install(dir: &Path, provider: Provider) {
    let place = dir.join(provider.as_str());
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::write(place.join(provider.library()), "no library").expect("written");
}

fn absent(wish: Wish) -> String {
    if let Wish::Absent(why) = wish { why } else { panic!("it is there: {wish:?}") }
}

#[test]
fn without_any_library_the_processor_is_no_fallback() {
    let dir = tempfile::tempdir().expect("a folder");
    for models in ["", "device = \"cpu\"\n", "provider = \"cpu\"\n"] {
        assert_eq!(wish(&settings(dir.path(), models)), Wish::Processor, "{models}");
    }
}

#[test]
fn what_is_asked_for_and_not_there_is_named_with_its_place() {
    let dir = tempfile::tempdir().expect("a folder");
    let why = absent(wish(&settings(dir.path(), "provider = \"openvino\"\n")));
    assert!(why.contains("libonnxruntime_providers_openvino.so") && why.contains("is not there"), "{why}");
    let why = absent(wish(&settings(dir.path(), "device = \"npu\"\n")));
    assert!(why.contains("device = \"npu\"") && why.contains("openvino") && why.contains("qnn"), "{why}");
    install(dir.path(), Provider::OpenVino);
    if devices::present(Provider::OpenVino, Device::Npu).is_err() {
        let why = absent(wish(&settings(dir.path(), "device = \"npu\"\n")));
        assert!(why.contains("/dev/accel/accel*"), "{why}");
        let why = absent(wish(&settings(dir.path(), "device = \"npu\"\nprovider = \"openvino\"\n")));
        assert!(why.contains("no such device"), "{why}");
    }
}

#[test]
fn what_is_installed_is_taken_by_auto_but_for_an_emulator() {
    let dir = tempfile::tempdir().expect("a folder");
    install(dir.path(), Provider::Qnn);
    if devices::emulated(Provider::Qnn) {
        assert_eq!(wish(&settings(dir.path(), "")), Wish::Processor);
        let by_name = wish(&settings(dir.path(), "provider = \"qnn\"\nqnn-options = [\"soc_model=43\"]\n"));
        let Wish::Accelerator(found) = by_name else { panic!("{by_name:?}") };
        assert_eq!(found.options.get("soc_model").map(String::as_str), Some("43"));
    }
    install(dir.path(), Provider::OpenVino);
    let Wish::Accelerator(found) = wish(&settings(dir.path(), "")) else { panic!("it is installed") };
    assert_eq!(found.provider, Provider::OpenVino);
    assert_eq!(wish(&settings(dir.path(), "device = \"cpu\"\n")), Wish::Processor);
}

/// The shipped networks, each on OpenVINO with this many times the processor's pace.
fn standings(speedups: [f64; 2]) -> Standings {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/manifest.toml");
    let text = format!("[models]\nmanifest = {:?}\n", manifest.canonicalize().expect("shipped"));
    let settings = crate::config::parse(Path::new("test.toml"), &text).expect("valid");
    let networks = Networks::choose(&settings).expect("shipped");
    let accelerator = accelerator(&settings, Provider::OpenVino, Device::Gpu);
    let judged = networks.placed().zip(speedups).map(|((role, entry), speedup)| {
        let latency = |median_ms| Latency { median_ms, p95_ms: median_ms, runs: 5 };
        let agreement = Agreement::Cosine { worst: 1.0, faces: 3 };
        let outcome = Outcome::Ran(Findings { agreement, cpu: latency(speedup), accelerator: latency(1.0) });
        let key = key(&settings, &networks, &accelerator, entry);
        Standing::judged(role, entry, &accelerator, key, outcome, 1.1)
    });
    Standings::new(judged.collect(), &networks)
}

#[test]
fn only_who_was_on_the_accelerator_can_be_refused_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut standings = standings([2.0, 0.5]);
    for role in ["detector", "embedder"] {
        standings.refuse(role, "the library cannot be loaded", dir.path(), WallMs(1));
    }
    let words: Vec<_> = standings.shown().iter().map(|one: &Shown| one.verdict).collect();
    assert_eq!(words[..2], [Some("refused"), Some("slower")]);
    let kept = std::fs::read_to_string(dir.path().join(verdict::FILE)).expect("remembered");
    assert_eq!(kept.matches("\"refused\"").count(), 1, "the other keeps its older verdict: {kept}");
}

#[test]
fn what_fell_while_the_daemon_ran_is_told_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let standings = standings([2.0, 2.0]);
    assert!(standings.note_falls(dir.path(), WallMs(1)).is_empty());
    let Place::On(_, fallen) = standings.place("embedder") else { panic!("it passed") };
    fallen.fall("three runs failed".to_owned());
    let fell: Vec<_> =
        standings.note_falls(dir.path(), WallMs(2)).into_iter().map(|one| (one.role, one.verdict)).collect();
    assert_eq!(fell, [("embedder", Some("unstable"))]);
    assert!(standings.note_falls(dir.path(), WallMs(3)).is_empty());
}
