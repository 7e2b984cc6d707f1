//! Writes the numbers in models/golden. `cargo run -p sekisho-vision --example write_golden -- ID OUTPUT` prints the
//! file that the manifest's key `golden` names; `-- faces EMBEDDER PHOTOGRAPH...` prints faces-EMBEDDER.txt. Run it with a runtime known to be right, and only when a
//! network is new: the answer is what later runtimes and accelerators are measured against.

use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_vision::analyser::Eyes;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::photo;
use sekisho_vision::selftest;
use sekisho_vision::session::{Runtime, Session};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// Enough of an answer to tell computations apart; a detector's are long.
const VALUES_MAX: usize = 256;

fn fetched() -> Result<(&'static Runtime, Manifest), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = root.join(".sekisho");
    let manifest = Manifest::load(&root.join("models/manifest.toml"))?.with_models_dir(&fetched.join("models"));
    Ok((Runtime::load(&fetched.join("onnxruntime/libonnxruntime.so.1.26.0"))?, manifest))
}

/// Time does not matter here.
struct NoTime;

impl Clock for NoTime {
    fn now(&self) -> Now {
        Now { mono: Mono::from_millis(0), wall: WallMs(0) }
    }
}

fn faces(id: &str, photographs: &[String]) -> Result<(), Box<dyn Error>> {
    let (runtime, manifest) = fetched()?;
    let (detector, embedder) = (manifest.entry("yunet-2023mar")?, manifest.entry(id)?);
    let mut eyes = Eyes::open(runtime, &manifest, detector, embedder, Arc::new(NoTime))?;
    println!("# Faces in photographs in the public domain, as found by yunet-2023mar and embedded by {id}:");
    println!("# file name, pixels between the eyes, unit mean of the embeddings of the crop and its mirror image.");
    println!("# astronaut.png: Eileen Collins (NASA). grace_hopper.jpg: Grace Hopper (US Navy).");
    for photograph in photographs {
        let name = Path::new(photograph).file_name().unwrap_or_default().display().to_string();
        let face = photo::enrol(&mut eyes, &std::fs::read(photograph)?)?;
        let numbers: Vec<_> = face.embedding.as_slice().iter().map(|value| format!("{value:.5}")).collect();
        println!("{name} {:.2} {}", face.quality.inter_eye_px, numbers.join(" "));
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, id, photographs @ ..] = arguments.as_slice()
        && verb == "faces"
    {
        return faces(id, photographs);
    }
    let [id, output] = arguments.as_slice() else {
        return Err("give the id of a network and one of its outputs".into());
    };
    let (runtime, manifest) = fetched()?;
    let mut entry = (**manifest.entry(id)?).clone();
    entry.golden = None;
    let mut session = Session::load(runtime, &manifest, &Arc::new(entry))?;
    let shape = selftest::test_shape(&session, 1);
    let values = selftest::answer(&mut session, shape, output)?;
    println!("# What {id} answers to the self-test's picture of {shape:?} (ONNX Runtime 1.26.0, CPU).");
    println!("output = \"{output}\"\nvalues = [");
    for line in values.iter().take(VALUES_MAX).collect::<Vec<_>>().chunks(8) {
        let numbers: Vec<_> = line.iter().map(|value| format!("{value:.6}")).collect();
        println!("  {},", numbers.join(", "));
    }
    println!("]");
    Ok(())
}
