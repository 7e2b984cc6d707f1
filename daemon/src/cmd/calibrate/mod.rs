//! `sekisho calibrate`: from what this site showed to a calibration of its own.

mod labelled;

use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::eyes::Loaded;
use crate::roles::{self, BreakGlass};
use crate::site;
use clap::Args;
use sekisho_logic::calibrate::{Curve, RowEvidence, RowKey, SiteScores, fit, interval_at};
use sekisho_logic::calibration::{Calibration, RawCalibration, RawRow, SourceKind};
use sekisho_logic::policy::Policy;
use sekisho_logic::role::Action;
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{Network, Store, open_own};
use serde_json::{Value, json as document};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Fewer strangers than this in all leave the shipped table as it is for every purpose; saying "calibrated" would mislead.
const TRACKS_MIN: u64 = 50;

/// Options of `calibrate`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false, args = ["from_shadow", "labelled", "acknowledge", "reset_shadow"])]
pub struct CalibrateArgs {
    /// Fit the impostor side to the strangers counted in passing; the genuine side stays the shipped one.
    #[arg(long)]
    from_shadow: bool,
    /// Fit both sides to labelled pictures: a folder of photographs or clips a person.
    #[arg(long, requires_all = ["gallery", "probes"])]
    labelled: bool,
    /// With --labelled: good photographs, as for enrolment.
    #[arg(long, value_name = "DIR", requires = "labelled")]
    gallery: Option<PathBuf>,
    /// With --labelled: pictures as the cameras show the same people; files without a folder are strangers.
    #[arg(long, value_name = "DIR", requires = "labelled")]
    probes: Option<PathBuf>,
    /// Take a stale calibration as known: it is no longer called stale, and the tests begin anew.
    #[arg(long)]
    acknowledge: bool,
    #[command(flatten)]
    glass: BreakGlass,
    /// Erase everything counted about strangers.
    #[arg(long)]
    reset_shadow: bool,
    /// Write the calibration into this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["acknowledge", "reset_shadow"])]
    out: Option<PathBuf>,
    /// Put the calibration in force: a running daemon takes it within seconds.
    #[arg(long, conflicts_with_all = ["acknowledge", "reset_shadow"])]
    install: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// Does what was asked.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, args: &CalibrateArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    if args.install || args.acknowledge || args.reset_shadow {
        roles::require(Action::Calibrate, &settings, &args.glass)?;
    }
    let now = SystemClock::start().now().wall;
    let mut store = site::open_store(&settings)?;
    let said = if args.acknowledge {
        acknowledge(&mut store, now)?
    } else if args.reset_shadow {
        let erased = store.erase_counted(&actor(), now).map_err(Failure::no)?;
        (
            document!({ "looks-erased": erased.looks, "days-erased": erased.days }),
            format!("{} looks at strangers and {} days of traffic erased", erased.looks, erased.days),
        )
    } else {
        calibrate(&settings, &mut store, args, now)?
    };
    store.close().map_err(Failure::no)?;
    if args.json.json {
        json(&said.0)
    } else {
        line(&said.1)
    }
    Ok(())
}

fn acknowledge(store: &mut Store, now: WallMs) -> Result<(Value, String), Failure> {
    let stale = store.calibration_state().map_err(Failure::no)?.stale;
    let Some(stale) = stale else {
        return Err(Failure::No("the calibration is not stale, so there is nothing to acknowledge".into()));
    };
    store.clear_stale(&actor(), "acknowledged", now).map_err(Failure::no)?;
    Ok((
        document!({ "acknowledged": stale.finding.as_str(), "calibration-id": stale.calibration_id }),
        format!("acknowledged: {}; if it goes on, it will be noticed again", stale.finding.said()),
    ))
}

/// Who does this, for the audit.
fn actor() -> String {
    format!("uid:{}", rustix::process::getuid().as_raw())
}

fn calibrate(
    settings: &Settings,
    store: &mut Store,
    args: &CalibrateArgs,
    now: WallMs,
) -> Result<(Value, String), Failure> {
    let mut loaded = Loaded::open(settings)?;
    let places = loaded.calibration_places()?;
    let prior = site::read_calibration(&places.shipped)?;
    let before = places.choose()?;
    let network = Network { model_digest: places.model_digest.clone(), preprocessing: places.preprocessing.clone() };
    let scores = match (&args.gallery, &args.probes) {
        (Some(gallery), Some(probes)) => labelled::scores(settings, &mut loaded, &prior, (gallery, probes), now)?,
        _ => from_shadow(store, &network, &prior, now)?,
    };
    let fitted = fit(&prior, &scores);
    let after = Calibration::try_new(fitted.table.clone())
        .map_err(|error| Failure::No(format!("the scores do not make a calibration: {error}")))?;
    let rows = store.gallery(&network.model_digest, &network.preprocessing, now).map_err(Failure::no)?;
    let gallery = site::matcher_gallery(rows, &network.model_digest)?;
    let traffic = store.measured_traffic(now).map_err(Failure::no)?;
    let expected = settings.decide.strangers_per_camera_day;
    let policy = site::policy_at(settings, traffic.map_or(expected, |traffic| traffic.strangers_per_camera_day));
    let people = gallery.members().len().max(1);
    let changes = changes(&policy, people, &before.calibration, &after, &fitted.table, &scores);
    let mut written = Vec::new();
    let text = text(&fitted.table)?;
    if let Some(out) = &args.out {
        put(out, &text)?;
        written.push(out.clone());
    }
    if args.install {
        install(&places.own, &text)?;
        let detail =
            document!({ "source": scores.source, "before": before.calibration.id(), "rows": fitted.rows_moved });
        let noted = store.audit(now, &actor(), "calibration-installed", Some(after.id()), detail);
        noted.map_err(Failure::no)?;
        written.push(places.own.clone());
    }
    let tracks: u64 = scores.rows.values().map(|row| row.curve.clusters()).sum();
    let said =
        Said { before: before.calibration.id(), after: after.id(), people, tracks, policy: &policy, kind: scores.kind };
    Ok((said.json(&changes, &written), said.words(&changes, &written, args.install)))
}

/// The name of a site's table: that of the shipped one, and when it was made.
fn name(prior: &RawCalibration, date: &str) -> String {
    format!("{}+site-{}", prior.id, date.get(..19).unwrap_or(date).replace([':', '-'], ""))
}

fn from_shadow(
    store: &mut Store,
    network: &Network,
    prior: &RawCalibration,
    now: WallMs,
) -> Result<SiteScores, Failure> {
    let (tallies, unreadable) = store.counted_scores(network).map_err(Failure::no)?;
    if unreadable > 0 {
        eprintln!("sekisho: {unreadable} weeks of counts cannot be read and are left out");
    }
    let looks: u64 = tallies.values().map(sekisho_logic::calibrate::Tally::tracks).sum();
    if looks < TRACKS_MIN {
        return Err(Failure::No(format!(
            "{looks} looks at strangers were counted with this network, at least {TRACKS_MIN} are needed; keep the daemon \
             running with [shadow] enabled and at least two people enrolled (at best some hundred), and try again later"
        )));
    }
    let evidence = |tally| RowEvidence { curve: Curve::from_strangers(tally), genuine: Vec::new(), genuine_people: 0 };
    let rows: BTreeMap<RowKey, RowEvidence> = tallies.iter().map(|(row, tally)| (*row, evidence(tally))).collect();
    let date = now.to_rfc3339();
    Ok(SiteScores {
        kind: SourceKind::Shadow,
        id: name(prior, &date),
        source: format!("{looks} looks at strangers of this site, genuine side and regularisation from {}", prior.id),
        date,
        rows,
    })
}

/// One threshold, before and after.
struct Change {
    from_px: f32,
    to_px: Option<f32>,
    frames: u32,
    tracks: u64,
    before: Option<f32>,
    after: Option<f32>,
    interval: Option<(f64, f64)>,
    reason: String,
}

fn changes(
    policy: &Policy,
    people: usize,
    before: &Calibration,
    after: &Calibration,
    table: &RawCalibration,
    scores: &SiteScores,
) -> Vec<Change> {
    // The strictest list that any camera looks for: what is decided there is decided everywhere.
    let strictest = policy.lists.keys().min_by(|a, b| policy.target_fpir(a).total_cmp(&policy.target_fpir(b)));
    let Some(list) = strictest else { return Vec::new() };
    let fmr = policy.fmr_per_comparison(list, people, policy.looks.len());
    let mut found = Vec::new();
    for bin in &table.bin {
        for frames in &policy.looks {
            let raw: Option<&RawRow> = bin.frames.iter().rev().find(|row| row.n <= *frames);
            let Some(raw) = raw else { continue };
            let cosine = |table: &Calibration| {
                table.row(bin.inter_eye_px_min, *frames).map(|row| row.threshold(fmr).max(row.cosine_at_llr(0.0)))
            };
            let own = scores.rows.get(&RowKey::new(bin.inter_eye_px_min, raw.n));
            found.push(Change {
                from_px: bin.inter_eye_px_min,
                to_px: bin.inter_eye_px_max,
                frames: *frames,
                tracks: own.map_or(0, |row| row.curve.clusters()),
                before: cosine(before),
                after: cosine(after),
                interval: interval_at(raw, fmr).filter(|_| raw.decidable),
                reason: raw.reason.clone(),
            });
        }
    }
    found
}

impl Change {
    fn word(&self) -> &'static str {
        match (self.before, self.after) {
            (None, None) => "not decidable",
            (Some(_), None) => "no longer decidable",
            (None, Some(_)) => "decidable now",
            (Some(before), Some(after)) if (after - before).abs() < 0.005 => "as before",
            (Some(before), Some(after)) if after > before => "stricter",
            (Some(_), Some(_)) => "finds more",
        }
    }
}

struct Said<'a> {
    before: &'a str,
    after: &'a str,
    people: usize,
    tracks: u64,
    policy: &'a Policy,
    kind: SourceKind,
}

impl Said<'_> {
    fn fpir(&self) -> f64 {
        self.policy.lists.keys().map(|list| self.policy.target_fpir(list)).fold(1.0, f64::min)
    }

    fn json(&self, changes: &[Change], written: &[PathBuf]) -> Value {
        let rows = changes.iter().map(|change| {
            document!({
                "from-px": change.from_px, "to-px": change.to_px, "frames": change.frames,
                "site-tracks": change.tracks, "cosine-before": change.before, "cosine-after": change.after,
                "cosine-low": change.interval.map(|(low, _)| low), "cosine-high": change.interval.map(|(_, high)| high),
                "change": change.word(), "reason": change.reason,
            })
        });
        document!({
            "before": self.before, "after": self.after, "people": self.people, "site-looks": self.tracks,
            "target-fpir-per-mille": self.fpir() * 1000.0, "thresholds": rows.collect::<Vec<_>>(), "written": written,
        })
    }

    fn words(&self, changes: &[Change], written: &[PathBuf], installed: bool) -> String {
        let cosine = |cosine: Option<f32>| cosine.map_or("-".to_owned(), |cosine| format!("{cosine:.3}"));
        let rows = changes.iter().map(|change| {
            vec![
                change.to_px.map_or(format!("{}-", change.from_px), |to| format!("{}-{to}", change.from_px)),
                change.frames.to_string(),
                change.tracks.to_string(),
                cosine(change.before),
                cosine(change.after),
                change.interval.map_or("-".into(), |(low, high)| format!("{low:.3}-{high:.3}")),
                if change.reason.is_empty() {
                    change.word().to_owned()
                } else {
                    format!("{}: {}", change.word(), change.reason)
                },
            ]
        });
        let faces = if self.kind == SourceKind::Labelled { "people" } else { "strangers" };
        let head = ["px", "frames", faces, "before", "after", "95 % interval", ""];
        let mut text = format!(
            "{} -> {}\nthreshold (cosine) at {:.3} strangers in a thousand, {} people enrolled\n\n{}\n\n",
            self.before,
            self.after,
            self.fpir() * 1000.0,
            self.people,
            table(&head, &rows.collect::<Vec<_>>())
        );
        let count = |word: &str| changes.iter().filter(|change| change.word() == word).count();
        text.push_str(&format!(
            "{} {}. Of {} thresholds {} are stricter, {} find more, {} stay; {} are no longer decidable.\n",
            self.tracks,
            if self.kind == SourceKind::Labelled {
                "labelled people and strangers, counted in each row"
            } else {
                "looks at strangers"
            },
            changes.len(),
            count("stricter"),
            count("finds more"),
            count("as before"),
            count("no longer decidable"),
        ));
        if changes.iter().all(|change| change.tracks == 0) {
            text.push_str(
                "Nothing reached a number of frames at which tracks are judged ([decide] candidate-looks-frames), so \
                 thresholds moved by their neighbours' evidence alone. A photograph is one frame: take clips.\n",
            );
        }
        for file in written {
            text.push_str(&format!("written: {}\n", file.display()));
        }
        text.push_str(if installed {
            "In force: a running daemon takes it within seconds."
        } else {
            "Not in force; --install puts it in force."
        });
        text
    }
}

const HEAD: &str = "# Calibration of this site, made by `sekisho calibrate`; do not edit. The fields are explained in sekisho(1),\n\
                    # CALIBRATION, and in the shipped table that prior-id names.\n\n";

fn text(table: &RawCalibration) -> Result<String, Failure> {
    let body =
        toml::to_string(table).map_err(|error| Failure::No(format!("the calibration cannot be written: {error}")))?;
    Ok(format!("{HEAD}{body}"))
}

/// Puts a calibration where the daemon looks for it. Made by root, it is given to whom the state directory belongs, or the
/// daemon could not read it.
fn install(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::{MetadataExt as _, lchown};
    put(path, text)?;
    let no = |error: std::io::Error| Failure::No(format!("{}: {error}; give it to the service's user", path.display()));
    let owner = std::fs::metadata(path.parent().unwrap_or(Path::new("."))).map_err(no)?;
    let own = std::fs::metadata(path).map_err(no)?;
    if (own.uid(), own.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    lchown(path, Some(owner.uid()), Some(owner.gid())).map_err(no)
}

/// Writes a file whole or not at all, for its owner's eyes.
fn put(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let no = |error: std::io::Error| Failure::No(format!("{}: {error}", path.display()));
    let new = path.with_extension("toml.new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = open_own(&new, options.write(true).create(true).truncate(true).mode(0o600)).map_err(no)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(no)?;
    std::fs::rename(&new, path).map_err(no)
}
