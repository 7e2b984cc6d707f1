//! `demo-camera`: shows clips as RTSP cameras with a digest password, for ever. The H.264 of the clips is passed on as
//! it is. Prints one line a stream when it can be watched; ends with 0 on SIGTERM or Ctrl-C.

use clap::Parser;
use sekisho_camera::Credential;
use sekisho_tests::feed::{Clip, Feed};
use sekisho_tests::rtsp::{Login, RtspServer};
use std::path::PathBuf;
use std::process::ExitCode;

/// Shows clips as RTSP cameras.
#[derive(Parser)]
#[command(name = "demo-camera")]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    address: String,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 8554)]
    port: u16,
    /// The user every client must log in as; without it nobody is asked.
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with the password, or with `user:password`.
    #[arg(long, requires = "user")]
    password_file: Option<PathBuf>,
    /// A stream and its clip, as in `yard=clip.mp4`; may be given several times.
    #[arg(long = "stream", required = true, value_name = "NAME=CLIP")]
    streams: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            eprintln!("demo-camera: {wrong}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    sekisho_camera::init().map_err(|fault| fault.to_string())?;
    let login = login(arguments)?;
    let mut feeds = Vec::new();
    for given in &arguments.streams {
        let (name, clip) = given.split_once('=').ok_or_else(|| format!("--stream {given}: write NAME=CLIP"))?;
        feeds.push((name, Feed::Clip(Clip::load(&PathBuf::from(clip))?)));
    }
    // Signals are caught before the first line is printed: whoever reads it may send one at once.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let mut interrupted = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
        let mut server = RtspServer::start(&arguments.address, arguments.port, login.as_ref(), &feeds)?;
        for (name, _) in &feeds {
            println!("ready {}", server.url(name));
        }
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        server.kill();
        Ok(())
    })
}

/// The file may hold what the daemon's credential file holds, so that both can read the same one.
fn login(arguments: &Arguments) -> Result<Option<Login>, String> {
    let (Some(user), Some(path)) = (&arguments.user, &arguments.password_file) else { return Ok(None) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    // The one reader of such files knows its shapes; a lone word is a password.
    let is_whole = Credential::from_file(path).is_ok_and(|credential| credential.user == *user);
    let whole = text.trim_end_matches(['\r', '\n']);
    let password = if is_whole {
        whole.get(user.len()..).unwrap_or_default().trim_start_matches([':', '\r', '\n'])
    } else {
        whole
    };
    if password.is_empty() || password.contains('\n') {
        return Err(format!("{}: no password for {user}", path.display()));
    }
    Ok(Some(Login { user: user.clone(), password: password.to_owned() }))
}
