use super::*;
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
