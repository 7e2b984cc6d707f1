//! `sekisho models bench`: what each network costs on each device of this machine, and which would be chosen.

use super::output::{json, line, table};
use super::{Failure, JsonFlag};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::networks::Networks;
use crate::providers::trial::NoTrial;
use crate::providers::verdict::{Outcome, Verdicts, forget};
use crate::providers::{self, Wish};
use clap::Args;
use sekisho_vision::accelerator::Accelerator;
use sekisho_vision::manifest::Entry;
use sekisho_vision::session::Runtime;
use sekisho_vision::trial::{Bench, Findings, Latency, Stage};
use serde_json::{Value, json as document};
use std::path::Path;
use std::sync::Arc;

/// Options of `models bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Also forget the verdicts that the daemon remembers, so that its next start tries everything anew.
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    json: JsonFlag,
}

/// One line: a network on a device.
struct Row {
    role: &'static str,
    network: String,
    provider: &'static str,
    device: &'static str,
    latency: Option<Latency>,
    findings: Option<Findings>,
    /// `processor`, `agrees`, or the word against it.
    verdict: &'static str,
    reason: String,
    /// What the daemon goes by instead, where it remembers something else than was found now.
    remembered: Option<String>,
    chosen: bool,
}

/// Measures and prints. Each accelerator is tried in a process of its own, whatever the configuration asks for.
///
/// # Errors
/// [`Failure::Wrong`] when configuration or networks are wrong, [`Failure::No`] when the processor itself fails.
pub(super) fn run(config: &Path, args: &BenchArgs) -> Result<(), Failure> {
    let settings = super::check_config::load(config)?;
    let networks = Networks::choose(&settings)?;
    if args.forget {
        let state_dir = &settings.daemon.state_dir;
        forget(state_dir)
            .map_err(|error| Failure::No(format!("{}: {error}; the verdicts are still there", state_dir.display())))?;
    }
    let wished = match providers::wish(&settings) {
        Wish::Accelerator(accelerator) => Some(accelerator),
        Wish::Processor | Wish::Absent(_) => None,
    };
    let (mut rows, verdicts) = (Vec::new(), Verdicts::read(&settings.daemon.state_dir));
    for (role, entry) in networks.placed() {
        let mut of_it = vec![processor(&settings, &networks, role, entry)?];
        for accelerator in providers::all(&settings) {
            let found = providers::try_out(&settings, &networks, entry, &accelerator, &|| false);
            let known = providers::remembered(&settings, &networks, &verdicts, entry, &accelerator);
            let known = known.as_ref().map(|(_, outcome)| outcome);
            of_it.push(row(&settings, (role, entry), (&accelerator, wished.as_ref()), &found, known));
        }
        let taken = of_it.iter().any(|row| row.chosen);
        of_it[0].chosen = !taken;
        rows.extend(of_it);
    }
    print(&rows, args.json);
    Ok(())
}

fn processor(settings: &Settings, networks: &Networks, role: &'static str, entry: &Arc<Entry>) -> Result<Row, Failure> {
    let runtime = Runtime::load(&settings.models.onnxruntime).map_err(Failure::wrong)?;
    let (clock, mut told) = (SystemClock::start(), |_: Stage| {});
    let (manifest, detector) = (&networks.manifest, &networks.detector);
    let latency = Bench { runtime, manifest, detector, clock: &clock, told: &mut told }.time_on_cpu(entry);
    let latency = latency.map_err(|error| Failure::No(format!("{}: {error}", entry.id)))?;
    Ok(Row {
        role,
        network: entry.id.clone(),
        provider: "cpu",
        device: "cpu",
        latency: Some(latency),
        findings: None,
        verdict: "processor",
        reason: "what the others are measured against".to_owned(),
        remembered: None,
        chosen: false,
    })
}

fn row(
    settings: &Settings,
    (role, entry): (&'static str, &Entry),
    (accelerator, wished): (&Accelerator, Option<&Accelerator>),
    found: &Result<Outcome, NoTrial>,
    known: Option<&Outcome>,
) -> Row {
    let findings = if let Ok(Outcome::Ran(found)) = found { Some(*found) } else { None };
    let against = |outcome: &Outcome| outcome.against(settings.models.provider_speedup_min);
    let now = match found {
        Ok(outcome) => against(outcome),
        Err(none) => Some(("postponed", none.to_string())),
    };
    let then = known.map(against);
    // What the daemon remembers it goes by.
    let chosen = wished == Some(accelerator) && then.as_ref().unwrap_or(&now).is_none();
    let word = |against: &Option<(&'static str, String)>| against.as_ref().map_or("agrees", |(word, _)| *word);
    let remembered = then.filter(|then| word(then) != word(&now)).map(|then| {
        let why = then.as_ref().map_or(String::new(), |(_, why)| format!(": {why}"));
        format!("the daemon goes by what it remembers, {}{why}; --forget has it tried anew", word(&then))
    });
    let (verdict, reason) = now.unwrap_or(("agrees", "it may be used".to_owned()));
    Row {
        role,
        network: entry.id.clone(),
        provider: accelerator.provider.as_str(),
        device: accelerator.device.as_str(),
        latency: findings.map(|found| found.accelerator),
        findings,
        verdict,
        reason,
        remembered,
        chosen,
    }
}

fn print(rows: &[Row], flag: JsonFlag) {
    if flag.json {
        json(&document!({ "networks": rows.iter().map(document_of).collect::<Vec<_>>() }));
        return;
    }
    let ms = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let cells = rows.iter().map(|row| {
        vec![
            row.network.clone(),
            row.provider.to_owned(),
            row.device.to_owned(),
            ms(row.latency.map(|latency| latency.median_ms)),
            ms(row.latency.map(|latency| latency.p95_ms)),
            row.findings.map_or("-".to_owned(), |found| format!("{:.2}", found.speedup())),
            row.findings.map_or("-".to_owned(), |found| found.agreement.to_string()),
            row.verdict.to_owned(),
            if row.chosen { "yes".to_owned() } else { String::new() },
        ]
    });
    let head = ["network", "provider", "device", "median ms", "p95 ms", "times cpu", "agreement", "verdict", "chosen"];
    line(&table(&head, &cells.collect::<Vec<_>>()));
    for row in rows.iter().filter(|row| !["processor", "agrees"].contains(&row.verdict)) {
        line(&format!("{} on {} by {}: {}: {}", row.network, row.device, row.provider, row.verdict, row.reason));
    }
    for row in rows {
        if let Some(said) = &row.remembered {
            line(&format!("{} on {} by {}: {said}", row.network, row.device, row.provider));
        }
    }
}

fn document_of(row: &Row) -> Value {
    document!({
        "role": row.role, "network": row.network, "provider": row.provider, "device": row.device,
        "median-ms": row.latency.map(|latency| latency.median_ms), "p95-ms": row.latency.map(|latency| latency.p95_ms),
        "runs": row.latency.map(|latency| latency.runs), "times-cpu": row.findings.map(|found| found.speedup()),
        "agreement": row.findings.map(|found| found.agreement), "verdict": row.verdict, "reason": row.reason,
        "remembered": row.remembered, "chosen": row.chosen,
    })
}
