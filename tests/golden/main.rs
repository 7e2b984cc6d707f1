//! The real networks on the real ONNX Runtime, with answers kept as numbers. Skipped aloud where deploy/setup has not
//! fetched them.

mod contracts;
mod evidence;
mod faces;
mod picture;
mod tiny;

use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_vision::analyser::Eyes;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::photo::Photo;
use sekisho_vision::session::Runtime;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file that deploy/setup fetches, or `None` after saying so.
fn fetched(path: &str) -> Option<PathBuf> {
    let full = root().join(".sekisho").join(path);
    if full.exists() {
        return Some(full);
    }
    eprintln!("SKIPPED: .sekisho/{path} is not there; run deploy/setup");
    None
}

fn runtime() -> Option<&'static Runtime> {
    let dylib = fetched("onnxruntime/libonnxruntime.so.1.26.0")?;
    Some(Runtime::load(&dylib).expect("the fetched runtime loads"))
}

fn manifest_text() -> String {
    std::fs::read_to_string(root().join("models/manifest.toml")).expect("the shipped manifest")
}

/// The shipped manifest, its text changed by `change`, with the fetched networks.
fn manifest(change: impl Fn(String) -> String) -> Option<Manifest> {
    let models = fetched("models/face_recognition_sface_2021dec.onnx")?;
    let manifest = Manifest::parse(&change(manifest_text()), &root().join("models/manifest.toml")).expect("valid");
    Some(manifest.with_models_dir(models.parent().expect("a folder")))
}

/// Nothing here depends on time.
struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> Now {
        Now { mono: Mono::from_millis(0), wall: WallMs(0) }
    }
}

/// The embedders that ship.
const EMBEDDERS: [&str; 3] = ["sekisho-student-m", "sface-2021dec", "sface-2021dec-int8"];

fn eyes_with(manifest: &Manifest, embedder: &str) -> Option<Eyes> {
    let entry = |id| manifest.entry(id).expect("shipped");
    let (detector, embedder) = (entry("yunet-2023mar"), entry(embedder));
    Some(Eyes::open(runtime()?, manifest, detector, embedder, Arc::new(NoTime)).expect("the networks load"))
}

fn eyes_of(embedder: &str) -> Option<Eyes> {
    eyes_with(&manifest(|text| text)?, embedder)
}

/// With the default embedder.
fn eyes() -> Option<Eyes> {
    eyes_of(EMBEDDERS[0])
}

fn photo(name: &str) -> Option<Photo> {
    let bytes = std::fs::read(fetched(&format!("demo/photos/{name}"))?).expect("readable");
    Some(Photo::decode(&bytes).expect("a photograph"))
}
