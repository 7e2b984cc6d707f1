use super::*;

const SAMPLE: &str = include_str!("sample.toml");

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(text, Path::new("etc/sample.toml"))
}

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ManifestError::Invalid { problems, .. }) => problems,
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn the_shipped_manifest_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/manifest.toml");
    let manifest = Manifest::load(&path).expect("the shipped manifest is valid");
    assert_eq!(manifest.entry("sface-2021dec").expect("shipped").embedder().expect("an embedder").size, 128);
    assert!(manifest.pairs().is_some_and(|pairs| pairs.ends_with("models/calibration/pairs.toml")));
    assert_eq!(manifest.entry("yunet-2023mar").expect("shipped").detector().expect("a detector"), Decoder::Yunet);
    let text = std::fs::read_to_string(&path).expect("readable");
    // Every key the reader knows is explained at the head of the file.
    let head = text.split("manifest-version").next().expect("has a head");
    for key in [
        "role",
        "file",
        "sha256",
        "source",
        "licence",
        "licence-note",
        "usage",
        "golden",
        "rendering-of",
        "outputs",
        "name",
        "layout",
        "shape",
        "colour",
        "mean, scale",
        "decoder",
        "output",
        "size",
        "preprocessing-version",
        "crop-side-px",
        "crop-part",
        "batch-max",
        "calibration",
    ] {
        assert!(head.contains(&format!("#   {key} ")), "{key} is not explained");
    }
}

#[test]
fn a_contract_of_another_shape_is_declared_without_code() {
    let manifest = parse(SAMPLE).expect("valid");
    let entry = manifest.entry("tiny").expect("there");
    let contract = entry.embedder().expect("an embedder");
    assert_eq!((contract.size, contract.crop_part, contract.input_size_px), (256, [8, 0, 96, 112], (128, 128)));
    assert_eq!(entry.usage, Usage::NonCommercial);
    assert_eq!(
        manifest.beside(contract.calibration.as_deref().expect("stated")),
        Path::new("etc/calibration/tiny.toml")
    );
}

#[test]
fn two_renderings_of_one_network_are_the_same_network() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/manifest.toml");
    let manifest = Manifest::load(&path).expect("the shipped manifest is valid");
    let entry = |id| manifest.entry(id).expect("shipped");
    let (whole, small) = (entry("sface-2021dec"), entry("sface-2021dec-int8"));
    assert!(whole.is_same_network(small) && small.is_same_network(whole) && small.is_same_network(small));
    assert!(!small.is_same_network(entry("sekisho-student-m")));
    let found = problems(&SAMPLE.replace("file = \"tiny.onnx\"", "file = \"tiny.onnx\"\nrendering-of = \"tiny\""));
    assert!(found.len() == 1 && found[0].starts_with("models.tiny.rendering-of:"), "{found:?}");
}

#[test]
fn unknown_ids_and_wrong_roles_say_what_there_is() {
    let manifest = parse(SAMPLE).expect("valid");
    let message = manifest.entry("nobody").expect_err("unknown").to_string();
    assert!(message.contains("etc/sample.toml") && message.contains("`finder`, `tiny`"), "{message}");
    let message = manifest.entry("finder").expect("there").embedder().expect_err("a detector").to_string();
    assert!(message.contains("`finder`") && message.contains("detector"), "{message}");
}

#[test]
fn every_problem_is_reported_at_once_with_its_key() {
    let broken = SAMPLE
        .replace("colour = \"bgr\"", "color = \"bgr\"")
        .replace("usage = \"non-commercial\"", "usage = \"maybe\"")
        .replace(&format!("sha256 = \"{}\"", "0".repeat(64)), "sha256 = \"abc\"")
        .replace("file = \"tiny.onnx\"", "file = \"../tiny.onnx\"")
        .replace("size = 256", "size = 128")
        .replace("crop-part = [8, 0, 96, 112]", "crop-part = [24, 0, 96, 112]");
    let found = problems(&broken);
    for key in [
        "models.tiny.input.colour: is missing",
        "models.tiny.input.color: is not a key",
        "models.tiny.usage: \"maybe\"",
        "models.tiny.sha256:",
        "models.finder.sha256:",
        "models.tiny.file:",
        "models.tiny.embedder.size:",
        "models.tiny.embedder.crop-part:",
    ] {
        assert!(found.iter().any(|p| p.starts_with(key)), "{key} is not in {found:#?}");
    }
    let message = parse(&broken).expect_err("invalid").to_string();
    assert!(message.starts_with("etc/sample.toml: ") && message.contains("problems"), "{message}");
}

#[test]
fn syntax_errors_name_the_line() {
    let found = problems("manifest-version = 1\n[models\n");
    assert!(found.len() == 1 && found[0].contains("line 2"), "{found:?}");
}

#[test]
fn another_preprocessing_version_is_refused() {
    let found = problems(&SAMPLE.replace("preprocessing-version = 1", "preprocessing-version = 2"));
    assert_eq!(found.len(), 1, "{found:?}");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(at in 0_usize..1600, cut in 0_usize..40, put in "[ -~\n]{0,12}") {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        let from = at.min(text.len());
        let to = (from + cut).min(text.len());
        text.splice(from..to, put.chars());
        let _ = parse(&text.into_iter().collect::<String>());
    }
}
