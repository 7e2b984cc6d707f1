//! `sekisho replay`: recorded clips through the same eyes and the same judgement as live cameras.
//!
//! Every due frame is analysed, time is the clip's own, and ids are counted from the start, so the same clip, gallery
//! and configuration give the same output to the byte.

use super::alerts::told;
use super::output::{line, table, watched};
use super::{Failure, JsonFlag};
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::eyes::Loaded;
use crate::run::look::Look;
use crate::site;
use crate::status::wire;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sekisho_camera::clip::ClipReader;
use sekisho_logic::face::FrameFaces;
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::gallery::Gallery;
use sekisho_logic::id::CameraId;
use sekisho_logic::outcome::TrackVerdict;
use sekisho_logic::record::Stage;
use sekisho_logic::time::{Now, WallMs};
use sekisho_logic::watcher::{Action, Watcher};
use std::collections::BTreeMap;
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
    let mut eyes = loaded.eyes()?;
    let (camera, its) = viewpoint(&settings, args.camera.as_deref())?;
    let gallery = {
        let mut store = site::open_store(&settings)?;
        let now = crate::clock::SystemClock::start();
        let now = sekisho_logic::time::Clock::now(&now);
        let rows = store.gallery(loaded.embedder_digest(), loaded.preprocessing(), now.wall).map_err(Failure::no)?;
        site::left_out(&rows).iter().for_each(|said| eprintln!("sekisho: {said}"));
        Arc::new(site::matcher_gallery(rows, loaded.embedder_digest())?)
    };
    let mut policy = site::policy(&settings);
    policy.cameras.entry(camera.clone()).or_default().lists = its.lists.clone();
    for clip in &args.clips {
        let watcher = Watcher::new(policy.clone(), Arc::<Gallery>::clone(&gallery), Arc::clone(&calibration), 0);
        let mut replay = Replay {
            watcher,
            look: Look::new(&settings, &camera, &its, 0),
            json: args.json.json,
            verdicts: Vec::new(),
            stages: BTreeMap::new(),
        };
        replay.clip(&mut eyes.0, clip, WallMs(args.start_ms))?;
        if !args.json.json {
            replay.summary(clip);
        }
    }
    Ok(())
}

/// The camera to replay as.
fn viewpoint(settings: &Settings, name: Option<&str>) -> Result<(CameraId, CameraSettings), Failure> {
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
    let its = CameraSettings {
        enabled: true,
        source,
        credential: None,
        lists: settings.lists.keys().cloned().collect(),
        mode: sekisho_logic::policy::Mode::Live,
        stall: Duration::from_secs(5),
        analysed_fps: settings.detect.analysed_fps,
        min_inter_eye_px: settings.detect.min_inter_eye_px,
    };
    Ok((id, its))
}

struct Replay {
    watcher: Watcher,
    look: Look,
    json: bool,
    verdicts: Vec<TrackVerdict>,
    stages: BTreeMap<Stage, u64>,
}

impl Replay {
    fn clip(&mut self, eyes: &mut sekisho_vision::analyser::Eyes, clip: &Path, start: WallMs) -> Result<(), Failure> {
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
            self.take(&bar, |watcher| {
                let now = Now { mono: stamp.mono, wall: stamp.wall };
                let mut actions = watcher.on_faces(now, &faces);
                actions.extend(watcher.on_tick(now));
                actions
            });
        }
        bar.finish_and_clear();
        if let Some(stamp) = last {
            self.after(stamp);
        }
        Ok(())
    }

    /// The clip is over: tracks end, and what waits for evidence runs out of time.
    fn after(&mut self, last: FrameStamp) {
        let ended = self.look.forget();
        let nothing = FrameFaces { camera: self.look.camera().clone(), stamp: last, faces: Vec::new(), ended };
        let hidden = ProgressBar::hidden();
        self.take(&hidden, |watcher| watcher.on_faces(Now { mono: last.mono, wall: last.wall }, &nothing));
        let mut at = Now { mono: last.mono, wall: last.wall };
        for _ in 0..120 {
            at = Now { mono: at.mono.plus(Duration::from_secs(1)), wall: WallMs(at.wall.0 + 1000) };
            self.take(&hidden, |watcher| watcher.on_tick(at));
        }
    }

    fn take(&mut self, bar: &ProgressBar, ask: impl FnOnce(&mut Watcher) -> Vec<Action>) {
        for action in ask(&mut self.watcher) {
            let told_as = match action {
                Action::Journal(event) => {
                    *self.stages.entry(event.after.stage).or_default() += 1;
                    wire::event(&event)
                }
                Action::Verdict(verdict) => {
                    let json = wire::verdict(&verdict);
                    self.verdicts.push(*verdict);
                    json
                }
                Action::CandidateDelay(..) => continue,
            };
            bar.suspend(|| line(&if self.json { told_as.to_string() } else { told(&told_as) }));
        }
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
