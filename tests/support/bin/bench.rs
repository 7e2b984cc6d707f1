//! `make bench`: what each stage costs in processor time, and what the whole daemon costs over their sum.
//!
//! Every figure of a stage is processor time of the thread or process that did it, not wall time, so that other work on
//! the machine disturbs it little; the daemon's overhead is a ratio of two such figures taken on the same clip in the same run.

use gstreamer::prelude::*;
use sekisho::clock::ThreadCpuClock;
use sekisho::config::Settings;
use sekisho::run::look::Look;
use sekisho_camera::clip::ClipReader;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::gallery::{Gallery, Member};
use sekisho_logic::id::{CameraId, ListId, PersonId};
use sekisho_logic::time::{Clock as _, Mono, WallMs};
use sekisho_tests::feed::{Clip, Feed};
use sekisho_tests::rtsp::RtspServer;
use sekisho_tests::site::{Daemon, Site, fetched, root};
use sekisho_vision::analyser::Eyes;
use sekisho_vision::manifest::{Entry, Manifest, Role};
use sekisho_vision::photo::{self, Photo, PhotoLimits};
use sekisho_vision::session::Runtime;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Components of the default embedder's templates.
const COMPONENTS: usize = 256;

type Anyhow<T> = Result<T, Box<dyn std::error::Error>>;

/// Processor time of this process so far.
fn process() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// Processor time of this thread so far.
fn thread() -> Mono {
    ThreadCpuClock.now().mono
}

fn ms(spent: Duration, count: u64) -> f64 {
    if count == 0 { 0.0 } else { spent.as_secs_f64() * 1000.0 / f64::from(u32::try_from(count).unwrap_or(u32::MAX)) }
}

/// Prints the processor time of one clip's stages; gives that of decoding one frame, in milliseconds.
fn kernels(label: &str, clip: &Path) -> Anyhow<f64> {
    let begun = process();
    let frames = ClipReader::open(clip, WallMs(0))?.try_fold(0_u64, |count, frame| frame.map(|_| count + 1))?;
    let decode_ms = ms(process().saturating_sub(begun), frames);

    let place = root().join(".sekisho");
    let runtime = Runtime::load(&place.join("onnxruntime/libonnxruntime.so.1.26.0"))?;
    let manifest = Manifest::load(&root().join("models/manifest.toml"))?.with_models_dir(&place.join("models"));
    let settings = Settings::default();
    let (detector, embedder) =
        (manifest.entry(&settings.models.detector)?.clone(), manifest.entry(&settings.models.embedder)?.clone());
    let mut eyes = Eyes::open(runtime, &manifest, &detector, &embedder, Arc::new(ThreadCpuClock))?;
    let site = Site::new();
    let camera = CameraId::try_new("bench")?;
    let its = sekisho::config::parse(
        &site.path("sekisho.toml"),
        "[cameras.bench]\nsource = \"file:///bench.mp4\"\nlists = [\"staff\"]\n",
    )?;
    let its = its.cameras.get(&camera).ok_or("no camera")?;
    let mut look = Look::new(&settings, &camera, its, 0);
    let (mut analysed, mut faces, mut stages) = (0_u64, 0_u64, BTreeMap::<&str, (Duration, u64)>::new());
    for frame in ClipReader::open(clip, WallMs(0))? {
        let frame = frame?;
        if !look.is_due(frame.stamp().mono) {
            continue;
        }
        faces += look.see(&mut eyes, &frame.view()?, frame.stamp(), frame.stamp().mono)?.faces.len() as u64;
        analysed += 1;
        for (stage, spent, calls) in eyes.take_times() {
            let entry = stages.entry(stage).or_default();
            *entry = (entry.0 + spent, entry.1 + calls);
        }
    }
    println!("\n{label}: {frames} frames, {analysed} analysed, {faces} faces");
    println!("  {:<10}{:>12}{:>22}{:>10}", "stage", "ms a call", "ms an analysed frame", "calls");
    println!("  {:<10}{decode_ms:>12.3}{:>22}{frames:>10}", "decode", "-");
    let mut vision = Duration::ZERO;
    for stage in ["motion", "sample", "detect", "align", "embed"] {
        let (spent, calls) = stages.get(stage).copied().unwrap_or_default();
        vision += spent;
        println!("  {stage:<10}{:>12.3}{:>22.3}{calls:>10}", ms(spent, calls), ms(spent, analysed));
    }
    println!("  {:<10}{:>12}{:>22.3}", "vision", "", ms(vision, analysed));
    Ok(decode_ms)
}

/// What one face costs with every embedder of the manifest, taken in turns so that a busy machine slows all alike.
fn embedders() -> Anyhow<()> {
    let place = root().join(".sekisho");
    let runtime = Runtime::load(&place.join("onnxruntime/libonnxruntime.so.1.26.0"))?;
    let manifest = Manifest::load(&root().join("models/manifest.toml"))?.with_models_dir(&place.join("models"));
    let detector = manifest.entry(&Settings::default().models.detector)?;
    let entries: Vec<_> = manifest.entries().filter(|entry| matches!(entry.role, Role::Embedder(_))).collect();
    let open = |entry: &&Arc<Entry>| Eyes::open(runtime, &manifest, detector, entry, Arc::new(ThreadCpuClock));
    let mut eyes = entries.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let photo = Photo::decode(&std::fs::read(place.join("demo/photos/astronaut.png"))?)?;
    let first = eyes.first_mut().ok_or("the manifest has no embedder")?;
    let crop = photo::find(first, photo.pixels(), &PhotoLimits::default())?.crop;
    let mut spent = vec![Vec::new(); eyes.len()];
    for _ in 0..80 {
        for (eyes, spent) in eyes.iter_mut().zip(&mut spent) {
            let begun = thread();
            std::hint::black_box(eyes.embed_crops(&[&crop]));
            spent.push(thread().since(begun));
        }
    }
    println!("\n  {:<22}{:>10}{:>12}", "embedder, a face", "least ms", "median ms");
    for (entry, mut spent) in entries.iter().zip(spent) {
        spent.sort_unstable();
        println!("  {:<22}{:>10.2}{:>12.2}", entry.id, ms(spent[0], 1), ms(spent[spent.len() / 2], 1));
    }
    Ok(())
}

/// A search among `people`, on one thread; against the plain loop over the same memory side by side.
fn matching(people: usize) -> Anyhow<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f32::from(u16::try_from(state >> 48).unwrap_or(0)) / 65_536.0 - 0.5
    };
    let list = ListId::try_new("staff")?;
    let mut vector = || Embedding::try_new(&(0..COMPONENTS).map(|_| random()).collect::<Vec<_>>());
    let prototypes = (0..people).map(|_| vector()).collect::<Result<Vec<_>, _>>()?;
    let probe = vector()?;
    let members = prototypes.iter().enumerate().map(|(at, prototype)| {
        PersonId::try_new(&format!("p{at}")).map(|person| (Member { person, list: list.clone() }, prototype.clone()))
    });
    let gallery = Gallery::try_new(1, "bench", members.collect::<Result<Vec<_>, _>>()?)?;
    let flat: Vec<f32> = prototypes.iter().flat_map(|prototype| prototype.as_slice().to_vec()).collect();
    let (mut ours, mut plain) = (Duration::MAX, Duration::MAX);
    let lists = [list];
    for _ in 0..9 {
        let begun = thread();
        std::hint::black_box(gallery.nearest(&probe, &lists));
        ours = ours.min(thread().since(begun));
        let begun = thread();
        let cosine = |row: &[f32]| row.iter().zip(probe.as_slice()).map(|(a, b)| a * b).sum::<f32>();
        std::hint::black_box(flat.chunks_exact(COMPONENTS).map(cosine).max_by(f32::total_cmp));
        plain = plain.min(thread().since(begun));
    }
    let ratio = plain.as_secs_f64() / ours.as_secs_f64().max(1e-9);
    println!("  {people:>7} people: {:>8.3} ms a track (plain loop / ours = {ratio:.1})", ms(ours, 1));
    Ok(())
}

/// Processor time a process has used so far, all threads, from `/proc/PID/stat`.
fn used(pid: u32) -> Anyhow<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after = stat.rsplit_once(')').ok_or("no stat")?.1;
    let ticks = |at: usize| after.split_whitespace().nth(at).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1000 / rustix::param::clock_ticks_per_second()))
}

/// What the daemon says it has done so far.
struct Progress {
    decoded: u64,
    analysed: f64,
    /// Processor time of all stages of vision, measured by the daemon itself under the same conditions as the whole.
    vision_ms: f64,
}

fn progress(daemon: &Daemon) -> Anyhow<Progress> {
    let cameras = daemon.get("/v1/cameras");
    let decoded =
        cameras["cameras"].as_array().into_iter().flatten().filter_map(|each| each["frames-decoded-total"].as_u64());
    let decoded = decoded.sum();
    let (_, page) = daemon.request("GET", "/metrics", "")?;
    let sum = |start: &str| {
        let values = page.lines().filter(|line| line.starts_with(start)).filter_map(|line| line.rsplit_once(' '));
        values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum::<f64>()
    };
    let analysed = sum("sekisho_vision_calls_total{stage=\"motion\"}");
    Ok(Progress { decoded, analysed, vision_ms: sum("sekisho_vision_cpu_seconds_total") * 1000.0 })
}

/// glibc's settings in the shipped unit: one arena, and memory given back.
const UNIT_ENVIRONMENT: [(&str, &str); 2] = [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

fn live(label: &str, clip: &Path, decode_ms: f64, cameras: usize, seconds: u64) -> Anyhow<()> {
    let mut site = Site::new();
    for (person, photo) in [("collins", "astronaut.png"), ("hopper", "grace_hopper.jpg"), ("obama", "obama.jpg")] {
        let photo = root().join(".sekisho/demo/photos").join(photo).display().to_string();
        let _said = site.enrol(&[person, &photo]);
    }
    let names: Vec<_> = (0..cameras).map(|at| format!("gate-{at}")).collect();
    let feeds = names.iter().map(|_| Clip::load(clip).map(Feed::Clip)).collect::<Result<Vec<_>, _>>()?;
    let streams: Vec<_> = names.iter().map(String::as_str).zip(feeds).collect();
    let server = RtspServer::start("127.0.0.1", 0, None, &streams)?;
    for name in &names {
        site.configure(&format!("[cameras.{name}]\nsource = {:?}\nlists = [\"staff\"]\n", server.url(name)));
    }
    let mut daemon = site.start_with(&UNIT_ENVIRONMENT);
    daemon.wait_ready();
    let all =
        |daemon: &Daemon| daemon.get("/v1/status")["cameras"]["streaming"].as_u64() == u64::try_from(cameras).ok();
    daemon.wait_until("frames from every camera", 60, all);
    let (before, cpu_before) = (progress(&daemon)?, used(daemon.pid())?);
    std::thread::sleep(Duration::from_secs(seconds));
    let (after, cpu_after) = (progress(&daemon)?, used(daemon.pid())?);
    let count = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let (decoded, analysed) = (count(after.decoded - before.decoded), after.analysed - before.analysed);
    let whole_ms = (cpu_after.saturating_sub(cpu_before)).as_secs_f64() * 1000.0;
    let kernels_ms = decoded * decode_ms + after.vision_ms - before.vision_ms;
    let status = daemon.get("/v1/status");
    let delay = &status["candidate-delay-ms"];
    println!(
        "  {label}: {decoded:.0} frames decoded and {analysed:.0} analysed in {seconds} s; daemon {whole_ms:.0} ms, its \
         kernels {kernels_ms:.0} ms: whole / sum = {:.2}; {:.1} % of a core; resident {:.0} MB; first usable face to \
         candidate p50 {} ms, p95 {} ms over {}",
        whole_ms / kernels_ms.max(1.0),
        whole_ms / 10.0 / count(seconds),
        status["memory-bytes"].as_f64().unwrap_or(0.0) / 1e6,
        delay["p50"],
        delay["p95"],
        delay["count"],
    );
    if !daemon.stop(10).success() {
        return Err("the daemon did not stop in order".into());
    }
    Ok(())
}

/// The demonstration's gate at 1920x1080, made once: the same people, nine times the pixels.
fn enlarged(clip: &Path) -> Anyhow<PathBuf> {
    let path = root().join(".sekisho/bench/gate-1080.mp4");
    if path.exists() {
        return Ok(path);
    }
    std::fs::create_dir_all(root().join(".sekisho/bench"))?;
    let draft = path.with_extension("part");
    let pipeline = gstreamer::parse::launch(&format!(
        "filesrc location={:?} ! qtdemux ! h264parse ! avdec_h264 ! videoscale method=3 ! \
         video/x-raw,width=1920,height=1080,format=I420 ! x264enc speed-preset=veryfast tune=zerolatency bitrate=3800 \
         key-int-max=50 ! h264parse ! mp4mux ! filesink location={:?}",
        clip.display().to_string(),
        draft.display().to_string(),
    ))?;
    pipeline.set_state(gstreamer::State::Playing)?;
    let bus = pipeline.bus().ok_or("no bus")?;
    let ended = bus.timed_pop_filtered(None, &[gstreamer::MessageType::Eos, gstreamer::MessageType::Error]);
    pipeline.set_state(gstreamer::State::Null)?;
    if !ended.is_some_and(|message| message.type_() == gstreamer::MessageType::Eos) {
        return Err("the clip could not be enlarged".into());
    }
    std::fs::rename(draft, &path)?;
    Ok(path)
}

fn run() -> Anyhow<()> {
    sekisho_camera::init().map_err(|fault| fault.to_string())?;
    fetched().ok_or("run deploy/setup first")?;
    let small = root().join(".sekisho/demo/clips/gate.mp4");
    let large = enlarged(&small)?;
    let seconds = std::env::var("SECONDS_LIVE").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    println!("processor time; {} cores", std::thread::available_parallelism()?);
    let clips = [("640x360, 15 fps", small.as_path()), ("1920x1080, 15 fps", large.as_path())];
    let kernels = clips.iter().map(|(label, clip)| kernels(label, clip)).collect::<Anyhow<Vec<_>>>()?;
    embedders()?;
    println!("\nmatch, {COMPONENTS} components");
    for people in [1_000, 10_000, 100_000] {
        matching(people)?;
    }
    println!("\nthe whole daemon over RTSP");
    for ((label, clip), decode_ms) in clips.iter().zip(&kernels) {
        live(&format!("1 camera, {label}"), clip, *decode_ms, 1, seconds)?;
    }
    live(&format!("4 cameras, {}", clips[0].0), clips[0].1, kernels[0], 4, seconds)?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
