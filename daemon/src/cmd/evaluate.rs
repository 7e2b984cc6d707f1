//! `sekisho evaluate`: what the cameras' pictures allow, measured before anybody relies on it.

use super::output::{json, line, watched};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::evaluate::summary::Summary;
use crate::evaluate::{About, Evaluation, Rules, evaluate, groups, material::Folders, page};
use crate::eyes::Loaded;
use crate::measure::Measurer;
use crate::page::report::Folder;
use crate::page::words::Said;
use crate::site;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sekisho_logic::id::ListId;
use sekisho_logic::impact::Site;
use sekisho_logic::time::Clock as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Options of `evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// Photographs or clips to enrol from: one sub-folder a person.
    #[arg(long, value_name = "DIR")]
    gallery: PathBuf,
    /// Pictures or clips of the same people as the cameras see them: one sub-folder a person.
    #[arg(long, value_name = "DIR")]
    probes: PathBuf,
    /// Pictures or clips of people who are not in the gallery, with or without sub-folders.
    #[arg(long, value_name = "DIR")]
    strangers: Option<PathBuf>,
    /// Groups to compare: a CSV file of `person,group`, or with a heading `person,sex,age-band,...` for several ways to group.
    /// The labels are for this test alone; nothing keeps them.
    #[arg(long, value_name = "FILE")]
    groups: Option<PathBuf>,
    /// Keep how far the groups are apart, without anybody's label, so that the daemon's status warns of it.
    #[arg(long, requires = "groups")]
    write_summary: bool,
    /// The site's traffic and prices (see site-example.toml).
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Take the policy of this list.
    #[arg(long, default_value = "watch")]
    list: String,
    /// Where report.html and report.json go.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    #[command(flatten)]
    json: JsonFlag,
}

/// Measures, judges, writes the report.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn run(config: &Path, args: &EvaluateArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let list = ListId::try_new(&args.list).map_err(Failure::wrong)?;
    if !settings.lists.contains_key(&list) {
        let known: Vec<_> = settings.lists.keys().map(ToString::to_string).collect();
        let said = format!("there is no list {:?}; the configuration has {}", args.list, known.join(", "));
        return Err(Failure::Wrong(said));
    }
    let given = read_site(args.site.as_deref())?;
    let folders = Folders::read(&args.gallery, &args.probes, args.strangers.as_deref())?;
    let (probes, strangers) = folders.labels();
    let groups = args.groups.as_deref().map(|path| groups::read(path, &probes, &strangers)).transpose()?;
    let groups = groups.unwrap_or_default();
    let folder = Folder::open(&args.out)?;

    let mut loaded = Loaded::open(&settings)?;
    let calibration = Arc::new(loaded.calibration()?);
    let mut eyes = loaded.eyes()?;
    // Nothing confirms a photograph, so without clips there is nothing to ask a second network.
    let mut second = if folders.has_clips() { loaded.second()? } else { None };
    let second_calibration = second.as_ref().map(|open| Arc::clone(&open.calibration));
    let bar = progress(folders.files(), args.json);
    let mut measurer = Measurer::new(&mut eyes, &settings)?.with_second(second.as_mut().map(|open| &mut open.eyes));
    let sample = folders.measure(&mut measurer, &bar)?;
    bar.set_message("judging");

    let policy = site::policy(&settings);
    let about = About {
        version: env!("CARGO_PKG_VERSION"),
        made: SystemClock::start().now().wall.to_rfc3339(),
        models: loaded.about(),
        calibration_id: calibration.id().to_owned(),
        second_calibration_id: second_calibration.as_ref().map(|second| second.id().to_owned()),
        target_fpir: policy.target_fpir(&list),
        list: list.clone(),
        looks: policy.looks.clone(),
        confirm_looks: policy.confirm_looks.clone(),
        min_inter_eye_px: settings.detect.min_inter_eye_px,
        thresholds: Vec::new(),
    };
    let rules = Rules { policy, list, calibration, second: second_calibration, site: given, groups };
    let evaluation = evaluate(&sample, &rules, about)?;
    bar.finish_and_clear();
    let document = serde_json::to_value(&evaluation).map_err(Failure::no)?;
    folder.write("report.json", &format!("{document:#}\n"))?;
    let report = folder.write("report.html", &page::report(&evaluation))?;
    if args.write_summary {
        Summary::of(&evaluation, loaded.embedder_digest()).write(&settings)?;
    }
    for note in &evaluation.notes {
        let values: Vec<(&str, Said)> = note.values.iter().map(|(name, value)| (*name, Said::same(value))).collect();
        eprintln!("sekisho: {}", page::say(&note.word(), &values).en);
    }
    if args.json.json {
        json(&document);
    } else {
        summary(&evaluation, &report);
    }
    Ok(())
}

fn read_site(path: Option<&Path>) -> Result<(Site, bool), Failure> {
    let Some(path) = path else { return Ok((Site::default(), false)) };
    let wrong = |what: String| Failure::Wrong(format!("--site {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let site: Site = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    Ok((site.checked().map_err(|error| wrong(error.to_string()))?, true))
}

fn progress(files: usize, flag: JsonFlag) -> ProgressBar {
    let bar = if watched() && !flag.json { ProgressBar::new(files as u64) } else { ProgressBar::hidden() };
    bar.set_style(
        ProgressStyle::with_template("  {bar:30} {pos}/{len}, {eta} left  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn summary(evaluation: &Evaluation, report: &Path) {
    let all = &evaluation.main.all;
    let share = |share: &sekisho_logic::evaluation::Share| {
        share.value().map_or("not measured".into(), |value| {
            format!(
                "{} of {} ({:.1} %, 95 % between {:.1} and {:.1})",
                share.hits,
                share.of,
                100.0 * value,
                100.0 * share.low,
                100.0 * share.high,
            )
        })
    };
    let day = &evaluation.site.impact.day;
    line(&format!("judged            {}", page::say(&format!("medium-{}", evaluation.main.medium), &[]).en));
    line(&format!("compared          {}", share(&all.acquired)));
    line(&format!("found (TPIR)      {}", share(&all.found)));
    line(&format!("strangers (FPIR)  {}", share(&all.false_candidates)));
    if evaluation.site.confirming_measured {
        line(&format!("machine-confirmed {}", share(&all.confirmed)));
        line(&format!("  strangers       {}", share(&all.false_confirmed)));
        match &evaluation.about.second_calibration_id {
            Some(_) => line(&format!(
                "  by disjoint frames alone {} of {}, strangers {} of {}",
                all.confirmed_alone.hits,
                all.confirmed_alone.of,
                all.false_confirmed_alone.hits,
                all.false_confirmed_alone.of,
            )),
            None => line("  by disjoint frames alone: no second network is configured"),
        }
    }
    line(&format!(
        "a day             {:.1} false candidates, {:.0} enrolled passes missed, {:.0} minutes of looking ({})",
        day.false_candidates.value, day.missed.value, day.minutes.value, evaluation.site.site.name,
    ));
    line(&format!("report            {}", report.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_example_shows_every_key_with_its_default() {
        let text = include_str!("../../../deploy/site-example.toml");
        let parse = |text: &str| toml::from_str::<Site>(text).expect("it parses");
        assert_eq!(parse(text), Site::default());
        let uncommented: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()) && line.contains(" = "))
            .collect();
        assert_eq!(parse(&uncommented.join("\n")), Site::default());
        for key in Site::INPUTS.iter().map(|input| input.key).chain(["name", "currency"]) {
            assert!(uncommented.iter().any(|line| line.starts_with(&format!("{key} = "))), "{key} is not shown");
        }
    }
}
