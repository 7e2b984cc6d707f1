//! Erases a person and, at a chosen step, kills itself with SIGKILL, as a power cut would.
//!
//! `eraser DIR PERSON STEP` with a step's word, or `none`. Prints `ready` before it begins and `done` at the end.

use sekisho_logic::id::PersonId;
use sekisho_logic::time::Clock as _;
use sekisho_store::ErasureCause;
use sekisho_tests::clock::RealClock;
use sekisho_tests::store::open_signing;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, person, step] = arguments.as_slice() else {
        eprintln!("usage: eraser DIR PERSON STEP");
        return ExitCode::from(2);
    };
    match work(Path::new(dir), person, step) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eraser: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

fn work(dir: &Path, person: &str, cut: &str) -> Result<(), Box<dyn Error>> {
    let mut store = open_signing(dir)?;
    let cut = cut.to_owned();
    store.on_erasure_step(move |_, step| {
        if step.as_str() == cut {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    say("ready");
    store.erase(&PersonId::try_new(person)?, ErasureCause::Asked, "uid:7", RealClock::start().now().wall)?;
    say("done");
    Ok(())
}
