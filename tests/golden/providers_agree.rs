//! The whole student and the whole detector on real providers: OpenVINO's CPU device, and Qualcomm's emulator of its HTP.
//! `sekisho models bench` measures; the figures are printed.

use sekisho_tests::shim::provider;
use sekisho_tests::site::{Site, fetched};
use serde_json::Value;

/// What the bench says of each network on a provider, with nothing asked of its pace.
fn bench(name: &str, models: &str) -> Option<Vec<Value>> {
    fetched()?;
    let folder = provider(name)?;
    let mut site = Site::new();
    // A folder that holds this provider alone.
    std::fs::create_dir(site.path("providers")).expect("a fresh folder");
    std::os::unix::fs::symlink(folder.canonicalize().expect("it is there"), site.path("providers").join(name))
        .expect("a link");
    let place = site.path("providers").display().to_string();
    site.models(&format!(
        "provider-dir = {place:?}\nprovider = \"{name}\"\nprovider-speedup-min = 0.0\nprovider-trial-s = 1200\n{models}\n"
    ));
    let said: Value = serde_json::from_str(&site.done(&["models", "bench", "--json"])).expect("JSON");
    let rows = said["networks"].as_array().expect("a list").clone();
    for row in &rows {
        eprintln!(
            "{name}: {} on {} by {}: median {} ms, agreement {}, {}: {}",
            row["network"],
            row["device"],
            row["provider"],
            row["median-ms"],
            row["agreement"],
            row["verdict"],
            row["reason"],
        );
    }
    Some(rows)
}

fn whole_networks_agree(rows: &[Value], name: &str) {
    for (network, measure) in [("yunet-2023mar", "pixels"), ("sekisho-student-m", "cosine")] {
        let row =
            rows.iter().find(|row| row["network"] == network && row["provider"] == name).expect("it was measured");
        assert_eq!((&row["verdict"], &row["chosen"]), (&"agrees".into(), &true.into()), "{row}");
        let agreement = &row["agreement"][measure];
        let worst = agreement["worst"].as_f64().expect("a figure");
        assert!(if measure == "pixels" { worst <= 1.0 } else { worst >= 0.99 }, "{row}");
        assert!(agreement["faces"].as_u64().is_some_and(|faces| faces >= 2), "{row}");
        assert!(row["median-ms"].as_f64().is_some_and(|ms| ms > 0.0), "{row}");
    }
    let processor = rows.iter().filter(|row| row["provider"] == "cpu").count();
    assert_eq!(processor, 2, "the processor is measured too");
}

#[test]
fn student_and_detector_agree_on_openvino() {
    let Some(rows) = bench("openvino", "device = \"cpu\"") else { return };
    whole_networks_agree(&rows, "openvino");
}

#[test]
fn student_and_detector_agree_on_qualcomms_emulated_npu() {
    let options = "qnn-options = [\"soc_model=43\", \"htp_arch=73\"]";
    let Some(rows) = bench("qnn", options) else { return };
    whole_networks_agree(&rows, "qnn");
}
