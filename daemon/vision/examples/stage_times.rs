//! Prints processor milliseconds of every stage on a still picture: `cargo run --release -p sekisho-vision --example
//! stage_times`. Needs the networks, the runtime and a photograph fetched by deploy/setup; says so when they are absent.

use sekisho_logic::frame::{Chroma, FrameView, Matrix, Plane, Range};
use sekisho_logic::geometry::{Rect, Similarity};
use sekisho_logic::time::{Clock, Mono, Now, WallMs};
use sekisho_vision::analyser::{CameraEyes, CameraEyesSettings, Eyes};
use sekisho_vision::detector::{Detector, INPUT_SHAPES_PX};
use sekisho_vision::embedder::Embedder;
use sekisho_vision::manifest::Manifest;
use sekisho_vision::motion::MotionGate;
use sekisho_vision::photo::Photo;
use sekisho_vision::planes::Pixels;
use sekisho_vision::planes::aligned::{Crop, CropSampler};
use sekisho_vision::planes::luma::SmallLuma;
use sekisho_vision::planes::region::RegionSampler;
use sekisho_vision::session::Runtime;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

/// This thread's processor time, so that other programs on the machine do not count.
struct ProcessorTime;

impl Clock for ProcessorTime {
    fn now(&self) -> Now {
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let nanos = u64::try_from(spent.tv_sec * 1_000_000_000 + spent.tv_nsec).unwrap_or(0);
        Now { mono: Mono::from_nanos(nanos), wall: WallMs(0) }
    }
}

/// The best of several rounds, in milliseconds a call.
fn time(name: &str, calls: u32, mut work: impl FnMut()) {
    work();
    let mut best = f64::INFINITY;
    for _ in 0..7 {
        let begun = ProcessorTime.now().mono;
        for _ in 0..calls {
            work();
        }
        let spent = ProcessorTime.now().mono.since(begun).as_secs_f64() * 1000.0 / f64::from(calls);
        best = best.min(spent);
    }
    println!("{name:<44} {best:8.3} ms");
}

/// A photograph as video: its middle scaled into a frame of the given size.
fn frame_of(photo: &Photo, (width, height): (usize, usize)) -> Result<Vec<u8>, Box<dyn Error>> {
    let (w, h) = photo.pixels().size_px();
    let mut sampler = RegionSampler::default();
    let aspect = f32::from(u16::try_from(width)?) / f32::from(u16::try_from(height)?);
    let mut luma = Vec::new();
    // In eight bands, because one call makes no more pixels than a network may ask for.
    for band in 0..8_u8 {
        let top = h * f32::from(band) / 8.0;
        let region = Rect::new((w - h * aspect) / 2.0, top, h * aspect, h / 8.0);
        let planes = sampler.sample(photo.pixels(), region, (width, height / 8));
        let rgb = planes.red.iter().zip(planes.green).zip(planes.blue);
        luma.extend(rgb.map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b));
    }
    let byte = |v: f32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        {
            v.clamp(0.0, 255.0) as u8
        }
    };
    let mut bytes = vec![128; width * height * 3 / 2];
    bytes.iter_mut().zip(luma).for_each(|(byte_out, value)| *byte_out = byte(value));
    Ok(bytes)
}

fn view(bytes: &[u8], (width, height): (usize, usize)) -> Result<FrameView<'_>, Box<dyn Error>> {
    let (luma, chroma) = bytes.split_at(width * height);
    let (u, v) = chroma.split_at(width * height / 4);
    let half = width / 2;
    Ok(FrameView::try_new(
        (width, height),
        Plane { bytes: luma, stride: width },
        Chroma::I420 { u: Plane { bytes: u, stride: half }, v: Plane { bytes: v, stride: half } },
        Matrix::Bt601,
        Range::Full,
    )?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let fetched = root.join(".sekisho");
    let photo = fetched.join("demo/photos/astronaut.png");
    let dylib = fetched.join("onnxruntime/libonnxruntime.so.1.26.0");
    if !photo.exists() || !dylib.exists() {
        return Err("run deploy/setup first: the photograph or the runtime is not there".into());
    }
    let photo = Photo::decode(&std::fs::read(photo)?)?;
    let manifest = Manifest::load(&root.join("models/manifest.toml"))?.with_models_dir(&fetched.join("models"));
    let runtime = Runtime::load(&dylib)?;
    for size in [(640, 360), (1920, 1080)] {
        let bytes = frame_of(&photo, size)?;
        let view = view(&bytes, size)?;
        println!("frame {}x{}", size.0, size.1);
        sampling(view);
    }
    let (detector, embedder) = (manifest.entry("yunet-2023mar")?, manifest.entry("sekisho-student-m")?);
    networks(&mut Detector::load(runtime, &manifest, detector)?, &mut Embedder::load(runtime, &manifest, embedder)?);
    let mut eyes = Eyes::open(runtime, &manifest, detector, embedder, Arc::new(ProcessorTime))?;
    for size in [(640, 360), (1920, 1080)] {
        let bytes = frame_of(&photo, size)?;
        let view = view(&bytes, size)?;
        let mut camera = CameraEyes::new(CameraEyesSettings::default());
        let mut tracks = Vec::new();
        let mut faces = 0;
        eyes.take_times();
        for frame in 0..50_u64 {
            let found = camera.detect(&mut eyes, &view, Mono::from_millis(frame * 200), &tracks)?;
            faces += found.len();
            tracks = found.iter().map(|face| face.face.box_in_frame).collect();
            let list: Vec<_> = found.iter().collect();
            eyes.embed(&list);
        }
        println!("50 frames of {}x{}, a still face in them, {faces} faces seen; ms a frame:", size.0, size.1);
        for (stage, spent, calls) in eyes.take_times() {
            println!("  {stage:<10} {:8.3}   ({calls} calls)", spent.as_secs_f64() * 1000.0 / 50.0);
        }
    }
    Ok(())
}

fn sampling(view: FrameView<'_>) {
    let pixels = Pixels::Frame(view);
    let (width, height) = pixels.size_px();
    let (mut copy, mut gate) = (SmallLuma::default(), MotionGate::default());
    time("  grey copy, 160 wide", 50, || copy.fill(&view, 160));
    time("  motion gate", 50, || {
        gate.look(&copy);
    });
    let mut sampler = RegionSampler::default();
    let whole = Rect::new(0.0, 0.0, width, height);
    time("  whole frame to 320x192", 20, || {
        sampler.sample(pixels, whole, (320, 192));
    });
    time("  whole frame to 640x384", 20, || {
        sampler.sample(pixels, whole, (640, 384));
    });
    time("  160x96 enlarged to 320x192", 20, || {
        sampler.sample(pixels, Rect::new(100.0, 80.0, 160.0, 96.0), (320, 192));
    });
    let mut crops = CropSampler::default();
    for inter_eye in [8.0_f32, 24.0, 70.0] {
        let scale = 35.24 / inter_eye;
        let transform = Similarity::scale_shift(scale, 56.0 - scale * width / 2.0, 60.0 - scale * height / 2.0);
        time(&format!("  aligned crop, {inter_eye} px between the eyes"), 20, || {
            crops.sample(pixels, transform);
        });
    }
}

fn networks(detector: &mut Detector, embedder: &mut Embedder) {
    println!("networks, one thread");
    let grey = sekisho_vision::planes::RgbImage::try_new(640, 640, vec![120; 640 * 640 * 3]);
    if let Some(grey) = &grey {
        for shape in INPUT_SHAPES_PX {
            let region = Rect::new(0.0, 0.0, 640.0, 384.0);
            time(&format!("  detector {}x{} with sampling", shape.0, shape.1), 10, || {
                let _ = detector.detect(grey.view().into(), region, shape, 0.6);
            });
        }
    }
    let noise = (0..112 * 112 * 3_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0]).collect();
    if let Some(crop) = Crop::try_new(noise) {
        for count in [1, 2, 4, 8] {
            let list = vec![&crop; count];
            time(&format!("  embedder, {count} crops"), 5, || {
                embedder.embed(&list);
            });
        }
    }
}
