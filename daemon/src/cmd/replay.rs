//! `sekisho replay`: recorded clips through the same eyes and the same judgement as live cameras.
//!
//! Every due frame is analysed, time is the clip's own, and ids are counted from the start, so the same clip, gallery
//! and configuration give the same output to the byte, and the same event log.

use super::alerts::told;
use super::output::{line, table, watched};
use super::{Failure, JsonFlag};
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::eyes::Loaded;
use crate::page::Language;
use crate::page::report::{self, Folder};
use crate::run::look::{self, Look};
use crate::second::{OpenSecond, SecondEyes};
use crate::sheet::{Setting, Sheet};
use crate::sink::event_log;
use crate::site::{self, Galleries};
use crate::status::wire;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sekisho_camera::clip::ClipReader;
use sekisho_logic::face::FrameFaces;
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::gallery::Gallery;
use sekisho_logic::id::CameraId;
use sekisho_logic::outcome::TrackVerdict;
use sekisho_logic::record::{AlertEvent, Stage};
use sekisho_logic::second::SecondNetwork;
use sekisho_logic::time::{Clock as _, Mono, Now, WallMs};
use sekisho_logic::watcher::{Action, Watcher};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Options of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Clips: MP4, MKV or raw H.264/H.265.
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// Replay as this configured camera: its lists, its rates. Without it, as one that may match every list.
    #[arg(long)]
    camera: Option<String>,
    /// The clip's first frame was taken at this time (milliseconds since 1970, UTC).
    #[arg(long, default_value_t = 0)]
    start_ms: i64,
    /// Write alert events to this new file, exactly as an event-log sink would.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write a page and a JSON file for each clip to this folder: for every track why it was decided or not, WITH THE
    /// FACES of whoever is on the recording. Only for recordings you are responsible for.
    #[arg(long, value_name = "DIR")]
    explain: Option<PathBuf>,
    /// The language the page opens in; it holds both.
    #[arg(long, value_enum, default_value_t)]
    language: Language,
    #[command(flatten)]
    json: JsonFlag,
}

/// Replays and prints.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, args: &ReplayArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let mut loaded = Loaded::open(&settings)?;
    let chosen = loaded.calibration_in_force()?;
    chosen.refused.iter().for_each(|said| eprintln!("sekisho: {said}"));
    let calibration = Arc::new(chosen.calibration);
    let (mut eyes, mut second) = (loaded.eyes()?, loaded.second()?);
    let (camera, its) = viewpoint(&settings, args.camera.as_deref())?;
    let Galleries { first: gallery, second: second_gallery, .. } = galleries(&settings, &loaded, second.as_ref())?;
    let mut policy = site::policy(&settings);
    if let Some(why) = settings.not_matched(&its) {
        return Err(Failure::Wrong(format!(
            "{camera}: its faces may not be compared ({}); `sekisho check-config` says what to write down, and --camera names \
             the camera a recording comes from",
            why.as_str()
        )));
    }
    policy.cameras.insert(camera.clone(), site::camera_policy(&settings, &its));
    let mut events = args.events.as_deref().map(EventFile::create).transpose()?;
    let folder = args.explain.as_deref().map(Folder::open).transpose()?;
    let (clock, mut stems) = (crate::clock::SystemClock::start(), BTreeSet::new());
    let (begun, mut analysed) = (clock.now().mono, Duration::ZERO);
    for clip in &args.clips {
        let mut watcher = Watcher::new(policy.clone(), Arc::<Gallery>::clone(&gallery), Arc::clone(&calibration), 0);
        if let (Some(open), Some(gallery)) = (&second, &second_gallery) {
            let calibration = Arc::clone(&open.calibration);
            watcher = watcher.with_second(SecondNetwork { gallery: Arc::clone(gallery), calibration });
        }
        let setting = || Setting {
            clip: clip.file_name().unwrap_or(clip.as_os_str()).to_string_lossy().into_owned(),
            camera: camera.to_string(),
            people: gallery.members().len(),
            model_digest: loaded.embedder_digest().to_owned(),
            calibration: Arc::clone(&calibration),
            policy: policy.clone(),
            floors: look::floors(&settings, &its),
        };
        let mut replay = Replay {
            watcher: if folder.is_some() { watcher.explaining() } else { watcher },
            look: Look::new(&settings, &camera, &its, 0),
            second: second.as_mut().map(|open| &mut open.eyes),
            json: args.json.json,
            verdicts: Vec::new(),
            stages: BTreeMap::new(),
            events: events.as_mut(),
            sheet: folder.as_ref().map(|_| Sheet::new(setting())),
        };
        analysed += replay.clip(&mut eyes.0, clip, WallMs(args.start_ms))?;
        if !args.json.json {
            replay.summary(clip);
        }
        if let (Some(folder), Some(sheet)) = (&folder, &replay.sheet) {
            write_sheet(folder, sheet, args.language, report::free_stem(clip, &mut stems))?;
        }
    }
    events.map_or(Ok(()), EventFile::finish)?;
    say_pace(analysed, clock.now().mono.since(begun));
    Ok(())
}

/// Everybody enrolled, by both networks; who cannot be matched or confirmed is said.
fn galleries(settings: &Settings, loaded: &Loaded, second: Option<&OpenSecond>) -> Result<Galleries, Failure> {
    let mut store = site::open_store(settings)?;
    let now = crate::clock::SystemClock::start().now().wall;
    let second = second.map(|open| &open.network);
    let rows = site::gallery_rows(&mut store, loaded.first(), second, now).map_err(Failure::no)?;
    let galleries = Galleries::of(rows, loaded.first(), second)?;
    galleries.left_out.iter().for_each(|said| eprintln!("sekisho: {said}"));
    Ok(galleries)
}

/// How fast it went, for whoever waits. Not on standard output, which is the same to the byte every time.
fn say_pace(analysed: Duration, took: Duration) {
    let (analysed, took) = (analysed.as_secs_f64(), took.as_secs_f64().max(1e-3));
    eprintln!("sekisho: {analysed:.1} s of video in {took:.1} s, {:.1} times as fast as real time", analysed / took);
}

fn write_sheet(folder: &Folder, sheet: &Sheet, language: Language, stem: String) -> Result<(), Failure> {
    let page = folder.write(&format!("{stem}.html"), &sheet.page(language))?;
    let data = folder.write(&format!("{stem}.json"), &format!("{:#}\n", sheet.document()))?;
    eprintln!("sekisho: {} and {} show faces and say why; keep them to yourself", page.display(), data.display());
    Ok(())
}

/// A new file of events, as a sink would have written it.
struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Never an existing file: it may be the log of a running daemon.
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path).map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists => "name a file that does not exist yet",
                _ => "name a file in a folder that you may write to",
            };
            Failure::No(format!("events cannot be written to {}: {error}; {hint}", path.display()))
        })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn take(&mut self, event: &AlertEvent) -> Result<(), Failure> {
        event_log::write_line(&mut self.file, &wire::event(event)).map_err(|error| self.refused(&error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &io::Error) -> Failure {
        Failure::No(format!(
            "events cannot be written to {}: {error}; make room or name another file",
            self.path.display()
        ))
    }
}

/// The camera to replay as.
pub(super) fn viewpoint(settings: &Settings, name: Option<&str>) -> Result<(CameraId, CameraSettings), Failure> {
    if let Some(name) = name {
        let id = CameraId::try_new(name).map_err(Failure::wrong)?;
        let known: Vec<_> = settings.cameras.keys().map(ToString::to_string).collect();
        let found = settings.cameras.get(&id).cloned();
        return found.map(|its| (id, its)).ok_or_else(|| {
            Failure::Wrong(format!("there is no camera {name:?}; the configuration has {}", known.join(", ")))
        });
    }
    let id = CameraId::try_new("replay").map_err(Failure::wrong)?;
    let source = sekisho_camera::source::Source::parse("file:///replay.mp4").map_err(Failure::wrong)?;
    let its = CameraSettings::unlisted(settings, source);
    Ok((id, its))
}

struct Replay<'r> {
    watcher: Watcher,
    look: Look,
    second: Option<&'r mut SecondEyes>,
    json: bool,
    verdicts: Vec<TrackVerdict>,
    stages: BTreeMap<Stage, u64>,
    events: Option<&'r mut EventFile>,
    sheet: Option<Sheet>,
}

impl Replay<'_> {
    /// Replays one clip; gives how much video that was.
    fn clip(
        &mut self,
        eyes: &mut sekisho_vision::analyser::Eyes,
        clip: &Path,
        start: WallMs,
    ) -> Result<Duration, Failure> {
        let no = |error: &dyn std::fmt::Display| Failure::No(format!("{}: {error}", clip.display()));
        let reader = ClipReader::open(clip, start).map_err(|error| no(&error))?;
        let bar = match reader.duration_ms() {
            Some(ms) if watched() && !self.json => ProgressBar::new(ms),
            _ => ProgressBar::hidden(),
        };
        bar.set_style(
            ProgressStyle::with_template("  {bar:30} {percent} % {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_message(clip.display().to_string());
        let mut last: Option<FrameStamp> = None;
        for frame in reader {
            let frame = frame.map_err(|error| no(&error))?;
            let stamp = frame.stamp();
            bar.set_position(stamp.wall.0.saturating_sub(start.0).unsigned_abs());
            last = Some(stamp);
            if !self.look.is_due(stamp.mono) {
                continue;
            }
            let view = frame.view().map_err(|error| no(&error))?;
            let faces = self.look.see(eyes, &view, stamp, stamp.mono).map_err(|error| no(&error))?;
            if let Some(sheet) = &mut self.sheet {
                sheet.album().take(&view, &faces);
            }
            let now = Now { mono: stamp.mono, wall: stamp.wall };
            self.take(&bar, now, |watcher| {
                let mut actions = watcher.on_faces(now, &faces);
                actions.extend(watcher.on_tick(now));
                actions
            })?;
        }
        bar.finish_and_clear();
        let Some(stamp) = last else {
            return Err(no(&"it holds no picture; is the recording complete?"));
        };
        self.after(stamp)?;
        Ok(stamp.mono.since(Mono::default()))
    }

    /// The clip is over: tracks end, and what waits for evidence runs out of time.
    fn after(&mut self, last: FrameStamp) -> Result<(), Failure> {
        let ended = self.look.forget();
        let nothing = FrameFaces {
            camera: self.look.camera().clone(),
            stamp: last,
            frame_px: (0.0, 0.0),
            faces: Vec::new(),
            ended,
        };
        let hidden = ProgressBar::hidden();
        let mut at = Now { mono: last.mono, wall: last.wall };
        self.take(&hidden, at, |watcher| watcher.on_faces(at, &nothing))?;
        for _ in 0..120 {
            at = Now { mono: at.mono.plus(Duration::from_secs(1)), wall: WallMs(at.wall.0 + 1000) };
            self.take(&hidden, at, |watcher| watcher.on_tick(at))?;
        }
        Ok(())
    }

    fn take(
        &mut self,
        bar: &ProgressBar,
        now: Now,
        ask: impl FnOnce(&mut Watcher) -> Vec<Action>,
    ) -> Result<(), Failure> {
        let mut actions = VecDeque::from(ask(&mut self.watcher));
        while let Some(action) = actions.pop_front() {
            let told_as = match action {
                Action::Journal(event) => {
                    if let Some(events) = &mut self.events {
                        events.take(&event)?;
                    }
                    if let Some(sheet) = &mut self.sheet {
                        sheet.event(&event);
                    }
                    *self.stages.entry(event.after.stage).or_default() += 1;
                    wire::event(&event)
                }
                Action::Verdict(verdict) => {
                    let json = wire::verdict(&verdict);
                    if let Some(sheet) = &mut self.sheet {
                        sheet.verdict(&verdict);
                    }
                    self.verdicts.push(TrackVerdict { explanation: None, ..*verdict });
                    json
                }
                Action::AskSecond(look) => {
                    // The daemon's second network answers a moment later; a recording can wait for it.
                    if let Some(eyes) = &mut self.second {
                        let answer = eyes.answer(&look);
                        actions.extend(self.watcher.on_second(now, &look.alert, &answer));
                    }
                    continue;
                }
                Action::CandidateDelay(..) | Action::Evidence(_) | Action::Suspended(_) => continue,
            };
            bar.suspend(|| line(&if self.json { told_as.to_string() } else { told(&told_as) }));
        }
        Ok(())
    }

    fn summary(&self, clip: &Path) {
        let mut outcomes: BTreeMap<String, (u64, f32)> = BTreeMap::new();
        for verdict in &self.verdicts {
            let reason = verdict.outcome.reason().map(|reason| format!(": {}", reason.as_str())).unwrap_or_default();
            let entry = outcomes.entry(format!("{}{reason}", verdict.outcome.as_str())).or_default();
            *entry = (entry.0 + 1, entry.1.max(verdict.inter_eye_px));
        }
        let rows = outcomes
            .iter()
            .map(|(outcome, (tracks, px))| vec![outcome.clone(), tracks.to_string(), format!("{px:.1}")]);
        line(&format!("\n{}: {} tracks", clip.display(), self.verdicts.len()));
        line(&table(&["outcome", "tracks", "largest median inter-eye px"], &rows.collect::<Vec<_>>()));
        let stages: Vec<_> = self.stages.iter().map(|(stage, count)| format!("{} {count}", stage.as_str())).collect();
        line(&format!("alert events: {}\n", if stages.is_empty() { "none".into() } else { stages.join(", ") }));
    }
}
