//! A stand-in for the daemon, made to be killed: journals alerts as fast as it can and delivers them to a file.
//!
//! `store_writer DIR RUN write|drain|ALERTS`. Prints `ready`, then `ack EVENT` for every event reported as committed, and
//! `failed` or `saved` when the state of the store changes. Deliveries go to `DIR/delivered.ndjson`, synced before they are marked.
//! `drain` only delivers what is pending, prints `drained` and ends; a number of alerts ends in order after so many.

use sekisho_logic::time::{Clock, WallMs};
use sekisho_store::{
    Append, InstanceLock, LastRun, OutboxItem, RetryPolicy, RunInfo, StorageState, StoreHandle, StoreThread,
    WorkerSettings,
};
use sekisho_tests::clock::RealClock;
use sekisho_tests::store::{Dice, SINK, open, story};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Events handed over and not yet acknowledged. Enough for batches, few enough that a kill meets many commits.
const IN_FLIGHT_MAX: u64 = 8;
/// How long the writer waits before it looks again whether the store changed its mind.
const TICK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, run, mode] = arguments.as_slice() else {
        eprintln!("usage: store_writer DIR RUN write|drain|ALERTS");
        return ExitCode::from(2);
    };
    let alerts = if mode == "write" { Some(u64::MAX) } else { mode.parse().ok() };
    match work(Path::new(dir), run, alerts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store_writer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Events sent and acknowledged, for the producer to wait on.
struct Flow {
    acked: Mutex<u64>,
    more: Condvar,
}

fn say(line: &str) {
    // In one write, so that a kill leaves a whole line or none. A reader that is gone is no reason to stop.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

/// Writes so many alerts, or without a number drains.
fn work(dir: &Path, run: &str, alerts: Option<u64>) -> Result<(), Box<dyn Error>> {
    let _lock = InstanceLock::acquire(dir)?;
    let clock = RealClock::start();
    let mut store = open(dir)?;
    let info = RunInfo { boot_id: "test-boot".into(), version: "test".into(), pid: std::process::id() };
    if matches!(store.begin_run(&info, clock.now().wall)?, LastRun::Broke { .. }) {
        say("broke");
    }
    let flow = Arc::new(Flow { acked: Mutex::new(0), more: Condvar::new() });
    let told = Arc::clone(&flow);
    let settings = WorkerSettings {
        ballast_bytes: 256 * 1024,
        retry_max: Duration::from_millis(100),
        ..WorkerSettings::default()
    };
    let handle =
        StoreThread::spawn(store, Arc::<RealClock>::clone(&clock) as Arc<dyn Clock>, settings, move |events| {
            for committed in &events {
                say(&format!("ack {}", committed.event.event_id()));
            }
            *told.acked.lock().unwrap_or_else(PoisonError::into_inner) += events.len() as u64;
            told.more.notify_all();
        })?;
    say("ready");
    let Some(alerts) = alerts else {
        let mut file = delivered_file(dir)?;
        while deliver(&handle, &mut file, &clock)? > 0 {}
        let report = handle.stop(Duration::from_secs(10));
        if !report.closed {
            return Err("the store was not closed".into());
        }
        say("drained");
        return Ok(());
    };
    let (consumer, ticks, mut file) = (handle.clone(), Arc::clone(&clock), delivered_file(dir)?);
    std::thread::spawn(move || {
        // A failed delivery is simply made again: this sink has no other receiver to fall back on.
        loop {
            if deliver(&consumer, &mut file, &ticks).unwrap_or(0) == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    produce(&handle, &flow, run, clock.now().wall, alerts)?;
    let report = handle.stop(Duration::from_secs(20));
    // A sync that fails while the log is folded back at the very end leaves the file unclosed; nothing is lost by that, the
    // next start folds it back, and the parent looks at the file itself.
    if report.events_unsaved > 0 { Err(format!("stopped badly: {report:?}").into()) } else { Ok(()) }
}

/// Sends so many stories, some events twice.
fn produce(handle: &StoreHandle, flow: &Flow, run: &str, opened: WallMs, alerts: u64) -> Result<(), Box<dyn Error>> {
    let sent = AtomicU64::new(0);
    let mut dice = Dice::new(run.parse().unwrap_or(1));
    let mut failed = false;
    let append = |event| -> Result<(), Box<dyn Error>> {
        handle.append(Append { event, sinks: vec![SINK.into()], actor: "daemon".into() })?;
        sent.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    for alert in 0..alerts {
        for event in story(&format!("r{run}-{alert}"), opened)? {
            if dice.roll(0, 8) == 0 {
                append(event.clone())?;
            }
            append(event)?;
            let mut acked = flow.acked.lock().unwrap_or_else(PoisonError::into_inner);
            while *acked + IN_FLIGHT_MAX < sent.load(Ordering::Relaxed) {
                acked = flow.more.wait_timeout(acked, TICK).unwrap_or_else(PoisonError::into_inner).0;
                let now_failed = handle.health().state != StorageState::Ok;
                if now_failed != failed {
                    failed = now_failed;
                    say(if failed { "failed" } else { "saved" });
                }
            }
        }
    }
    Ok(())
}

fn delivered_file(dir: &Path) -> Result<File, Box<dyn Error>> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(dir.join("delivered.ndjson"))?;
    // A kill in mid-write leaves half a line; the next one must not be glued to it.
    if file.metadata()?.len() > 0 {
        let mut last = [0_u8];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Delivers what is due, and returns how many that were.
fn deliver(handle: &StoreHandle, file: &mut File, clock: &RealClock) -> Result<usize, Box<dyn Error>> {
    let now = clock.now().wall;
    let items: Vec<OutboxItem> = handle.call(move |store| store.pending(SINK, now, &RetryPolicy::default(), 64))??;
    if items.is_empty() {
        return Ok(0);
    }
    let ids: Vec<String> = items.iter().map(|item| item.event.event_id()).collect();
    let lines: String = ids.iter().map(|id| format!("{{\"id\":\"{id}\"}}\n")).collect();
    file.write_all(lines.as_bytes())?;
    file.sync_data()?;
    let count = ids.len();
    handle.call(move |store| store.mark_delivered(SINK, &ids, now))??;
    Ok(count)
}
