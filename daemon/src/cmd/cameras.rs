//! `sekisho cameras`: what the configured cameras send, and what they are good for.

use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::eyes::Loaded;
use crate::interrupt::Interrupt;
use crate::page::Language;
use crate::page::report::{self, Folder};
use crate::run::fleet::camera_settings;
use crate::run::look::Look;
use crate::site;
use crate::survey::live::{Watched, refusal};
use crate::survey::{Assumptions, Dating, Report, Surveyor};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sekisho_camera::camera::CameraSettings as Watch;
use sekisho_camera::status::CameraStatus;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::{Clock as _, WallMs};
use serde_json::json as document;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What to do with cameras.
#[derive(Debug, Subcommand)]
pub enum CamerasVerb {
    /// Connect to one camera and print what comes.
    Test(TestArgs),
    /// Measure for a day what a camera sees, and say what it is good for and what to mend. Compares nobody, keeps no
    /// picture.
    Survey(SurveyArgs),
    /// Search the local network for cameras (ONVIF WS-Discovery): address, name, model, place. The daemon itself never does.
    Discover(super::discover::DiscoverArgs),
}

/// Options of `cameras test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The camera, as named in the configuration.
    camera: String,
    /// How long to watch once pictures come (5s, 2m).
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    duration: Duration,
    #[command(flatten)]
    json: JsonFlag,
}

/// Options of `cameras survey`.
#[derive(Debug, Args)]
pub struct SurveyArgs {
    /// The camera, as named in the configuration. With --clip: whose settings to use.
    #[arg(required_unless_present = "clip")]
    camera: Option<String>,
    /// Measure recordings instead of the live camera.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    clip: Vec<PathBuf>,
    /// How long to measure the live camera (90s, 45m, 24h); Ctrl-C ends it early and still reports.
    #[arg(long, default_value = "24h", value_parser = duration, value_name = "TIME", conflicts_with = "clip")]
    duration: Duration,
    /// Folder for the page and its data. Without it they go to the current folder, or nowhere with --json.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Clips: the first picture was taken at this time (milliseconds since 1970, UTC), for figures by hour of the day.
    #[arg(long, default_value_t = 0, requires = "clip")]
    start_ms: i64,
    /// People that are going to be enrolled; thresholds rise with their number.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    people: u32,
    /// Horizontal angle of view of the lens in degrees, for advice in metres.
    #[arg(long, default_value_t = 80.0, value_parser = view_angle, value_name = "DEGREES")]
    view_deg: f32,
    /// The language the page opens in; it holds both.
    #[arg(long, value_enum, default_value_t)]
    language: Language,
    #[command(flatten)]
    json: JsonFlag,
}

/// Reads `90s`, `45m`, `24h`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time; write 90s, 45m, 24h or 1h30m, at most 31 days");
    let (mut seconds, mut digits) = (0_u64, String::new());
    for c in text.chars() {
        let unit = match c {
            '0'..='9' => {
                digits.push(c);
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            _ => return Err(wrong()),
        };
        let count: u64 = std::mem::take(&mut digits).parse().map_err(|_| wrong())?;
        seconds = count.checked_mul(unit).and_then(|more| seconds.checked_add(more)).ok_or_else(wrong)?;
    }
    let fits = digits.is_empty() && (1..=31 * 86_400).contains(&seconds);
    if fits { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}

fn view_angle(text: &str) -> Result<f32, String> {
    let degrees: f32 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (1.0..=170.0).contains(&degrees) { Ok(degrees) } else { Err("a lens sees 1 to 170 degrees".to_owned()) }
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, verb: &CamerasVerb) -> Result<(), Failure> {
    let settings = || super::check_config::load(config);
    match verb {
        CamerasVerb::Test(args) => test(&settings()?, args),
        CamerasVerb::Survey(args) => survey(&settings()?, args),
        // Searching comes before there is a configuration.
        CamerasVerb::Discover(args) => super::discover::run(args),
    }
}

/// A configured camera by name.
fn configured(settings: &Settings, name: &str) -> Result<(CameraId, CameraSettings), Failure> {
    let id = CameraId::try_new(name).map_err(Failure::wrong)?;
    let found = settings.cameras.get(&id).cloned();
    found.map(|its| (id, its)).ok_or_else(|| {
        let known: Vec<_> = settings.cameras.keys().map(ToString::to_string).collect();
        let known = if known.is_empty() { "no camera".to_owned() } else { known.join(", ") };
        Failure::Wrong(format!("there is no camera {name:?}; the configuration has {known}"))
    })
}

fn watch_settings(settings: &Settings, id: &CameraId, its: &CameraSettings) -> Result<Watch, Failure> {
    camera_settings(its, &site::credentials(settings)).map_err(|error| Failure::Wrong(format!("camera {id}: {error}")))
}

/// What came of a camera within a few seconds.
pub(super) struct Tested {
    status: CameraStatus,
    first_picture: Duration,
    frames: u64,
    /// Faces found.
    pub(super) faces: u64,
    /// The largest, from eye to eye.
    pub(super) largest_px: f32,
    fps: f64,
}

impl Tested {
    /// What came, for people.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let status = &self.status;
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let size = text(status.width.zip(status.height).map(|(width, height)| format!("{width}x{height}")));
        let rows = [
            ("codec", text(status.codec.map(|codec| codec.as_str().to_owned()))),
            ("decoder", text(status.decoder.clone())),
            ("size", size),
            ("pictures a second", format!("{:.1}", self.fps)),
            ("first picture after", format!("{} ms", self.first_picture.as_millis())),
            ("pictures analysed", self.frames.to_string()),
            ("faces found", self.faces.to_string()),
            ("largest face", format!("{:.1} px between the eyes", self.largest_px)),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).into()
    }
}

/// Connects to a camera and watches it for `duration` once pictures come.
///
/// # Errors
/// [`Failure`] with the camera's own reason, or when the networks cannot be loaded.
pub(super) fn try_camera(
    settings: &Settings,
    (id, its): (&CameraId, &CameraSettings),
    watch: Watch,
    duration: Duration,
) -> Result<Tested, Failure> {
    let mut loaded = Loaded::open(settings)?;
    let mut eyes = loaded.eyes()?;
    let clock = crate::survey::clock();
    let watched = Watched::start(id, watch, Arc::clone(&clock))?;
    let looked = look_at(&watched, &clock, Look::new(settings, id, its, 0), &mut eyes.0, duration);
    watched.stop();
    let mut tested = looked?;
    // The supervisor averages over five seconds; before that the count speaks.
    #[expect(clippy::cast_precision_loss, reason = "frames of some seconds")]
    let counted = tested.status.frames_decoded_total as f64 / duration.as_secs_f64();
    tested.fps = (tested.status.frames_per_s.unwrap_or(counted) * 10.0).round() / 10.0;
    Ok(tested)
}

fn test(settings: &Settings, args: &TestArgs) -> Result<(), Failure> {
    let (id, its) = configured(settings, &args.camera)?;
    let watch = watch_settings(settings, &id, &its)?;
    let tested = try_camera(settings, (&id, &its), watch, args.duration)?;
    let status = &tested.status;
    if args.json.json {
        json(&document!({
            "camera": id, "codec": status.codec.map(sekisho_camera::Codec::as_str), "decoder": status.decoder,
            "width": status.width, "height": status.height, "fps": tested.fps,
            "first-picture-ms": tested.first_picture.as_millis(), "frames-analysed": tested.frames,
            "faces": tested.faces, "largest-face-px": (f64::from(tested.largest_px) * 10.0).round() / 10.0,
        }));
        return Ok(());
    }
    line(&table(&[id.as_str(), ""], &tested.rows()));
    Ok(())
}

/// How long the first picture may take: a camera that streams key frames every ten seconds, and a slow network.
const FIRST_PICTURE: Duration = Duration::from_secs(20);

/// Without a frame the loop looks around this often.
const IDLE: Duration = Duration::from_millis(100);

fn look_at(
    watched: &Watched,
    clock: &SystemClock,
    mut look: Look,
    eyes: &mut sekisho_vision::analyser::Eyes,
    duration: Duration,
) -> Result<Tested, Failure> {
    let begun = clock.now().mono;
    let (mut first, mut frames, mut faces, mut largest_px) = (None, 0, 0, 0.0_f32);
    loop {
        let rung = watched.signal.rung_total();
        let now = clock.now().mono;
        let status = watched.handle.status();
        match first {
            // One fault is an answer here; the daemon would try again.
            None if status.last_fault.is_some() || now.since(begun) > FIRST_PICTURE => {
                return Err(refusal(watched.handle.id(), &status));
            }
            Some(at) if now.since(at) >= duration => {
                return Ok(Tested { status, first_picture: at.since(begun), frames, faces, largest_px, fps: 0.0 });
            }
            _ => {}
        }
        if let Some(Ok(frame)) = watched.slot.take() {
            first.get_or_insert(now);
            let seen = frame.view().ok().and_then(|view| look.measure(eyes, &view, frame.stamp(), now).ok());
            if let Some((found, _)) = seen {
                frames += 1;
                faces += found.len() as u64;
                largest_px = found.iter().map(|face| face.quality.inter_eye_px).fold(largest_px, f32::max);
            }
        } else {
            let _rung = watched.signal.wait(rung, IDLE);
        }
    }
}

fn survey(settings: &Settings, args: &SurveyArgs) -> Result<(), Failure> {
    let (id, its) = match &args.camera {
        Some(name) => configured(settings, name)?,
        None => super::replay::viewpoint(settings, None)?,
    };
    // Before anything takes time: a day's work must not end in a folder that cannot be written to.
    let here = PathBuf::from(".");
    let folder = match (&args.out, args.json.json) {
        (Some(out), _) => Some(Folder::open(out)?),
        (None, false) => Some(Folder::open(&here)?),
        (None, true) => None,
    };
    let mut loaded = Loaded::open(settings)?;
    let calibration = Arc::new(loaded.calibration()?);
    let mut eyes = loaded.eyes()?;
    let assumptions =
        Assumptions { people: usize::try_from(args.people).unwrap_or(usize::MAX), view_deg: args.view_deg };
    let dated = args.clip.is_empty() || args.start_ms != 0;
    let assumed = (assumptions, if dated { Dating::Dated } else { Dating::Undated });
    let surveyor = Surveyor::new(settings, (&id, &its), &mut eyes.0, &calibration, assumed);
    let bar = progress(args.clip.is_empty());
    let made = if args.clip.is_empty() {
        let watch = watch_settings(settings, &id, &its)?;
        live(surveyor, &id, watch, args.duration, &bar)
    } else {
        clips(surveyor, args, &bar)
    };
    bar.finish_and_clear();
    let (report, stem) = made?;
    if args.json.json {
        json(&report.document());
    } else {
        line(&report.text());
    }
    if let Some(folder) = folder {
        let page = folder.write(&format!("{stem}.html"), &report.page(args.language))?;
        let data = folder.write(&format!("{stem}.json"), &format!("{:#}\n", report.document()))?;
        eprintln!("sekisho: written to {} and {}", page.display(), data.display());
    }
    Ok(())
}

fn live(
    mut surveyor: Surveyor<'_>,
    id: &CameraId,
    watch: Watch,
    duration: Duration,
    bar: &ProgressBar,
) -> Result<(Report, String), Failure> {
    let clock = crate::survey::clock();
    let watched = Watched::start(id, watch, Arc::clone(&clock))?;
    let signal = Arc::clone(&watched.signal);
    let stop = Interrupt::listen(move || signal.ring())?;
    let ended = surveyor.camera(&watched, &clock, (duration, &stop), bar);
    watched.stop();
    let ended = ended?;
    let report = surveyor.report(id.as_str(), ended.early, ended.interruptions);
    Ok((report, format!("survey-{}", report::file_stem(id.as_str()))))
}

fn clips(mut surveyor: Surveyor<'_>, args: &SurveyArgs, bar: &ProgressBar) -> Result<(Report, String), Failure> {
    let stop = Interrupt::listen(|| {})?;
    let mut left_early = false;
    for clip in &args.clip {
        left_early = surveyor.clip(clip, WallMs(args.start_ms), &stop, bar)?;
        if left_early {
            break;
        }
    }
    let names: Vec<_> =
        args.clip.iter().map(|clip| clip.file_name().unwrap_or(clip.as_os_str()).to_string_lossy()).collect();
    let stem = args.clip.first().map(|clip| clip.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    let stem = report::file_stem(&stem.unwrap_or_default());
    let report = surveyor.report(&names.join(", "), left_early, std::collections::BTreeMap::new());
    Ok((report, format!("survey-{stem}")))
}

/// A line that says how far it is, on standard error and only when somebody looks at it.
fn progress(live: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = if live { "  {bar:24} {elapsed} {msg}" } else { "  {bar:24} {percent} % {msg}" };
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("45m", 2700), ("24h", 86_400), ("1h30m", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "5", "h", "1d", "-3s", "99999999999999999999s", "18446744073709551615h", "32000h"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(view_angle("80").is_ok() && view_angle("0").is_err() && view_angle("nan").is_err());
    }
}
