//! The `demo-camera` binary as a child process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running `demo-camera`; killed when dropped.
pub struct DemoCamera {
    child: Child,
    urls: Vec<String>,
}

impl DemoCamera {
    /// Starts `binary` with one stream `gate` showing `clip`, and waits until it can be watched.
    ///
    /// # Errors
    /// What it printed instead of being ready.
    pub fn start(binary: &str, port: u16, clip: &Path, login: (&str, &str)) -> Result<Self, String> {
        Self::start_named(binary, port, ("gate", clip), login)
    }

    /// The same with a stream of another name.
    ///
    /// # Errors
    /// What it printed instead of being ready.
    pub fn start_named(
        binary: &str,
        port: u16,
        (name, clip): (&str, &Path),
        (user, password): (&str, &str),
    ) -> Result<Self, String> {
        let folder = clip.parent().ok_or("the clip has no folder")?;
        let password_file = folder.join("password");
        let write = || std::fs::File::create(&password_file)?.write_all(password.as_bytes());
        write().map_err(|error| error.to_string())?;
        let mut child = Command::new(binary)
            .args(["--port", &port.to_string(), "--user", user, "--password-file"])
            .arg(&password_file)
            .arg("--stream")
            .arg(format!("{name}={}", clip.display()))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{binary}: {error}"))?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let first = lines.next().transpose().map_err(|error| error.to_string())?.unwrap_or_default();
        match first.strip_prefix("ready ") {
            Some(url) => Ok(Self { child, urls: vec![url.to_owned()] }),
            None => {
                let _gone = child.wait();
                Err(format!("it said {first:?}"))
            }
        }
    }

    /// The address it said was ready.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.urls[0]
    }

    /// Ends it as a power cut would.
    pub fn kill(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn terminate(mut self) -> std::io::Result<ExitStatus> {
        Command::new("kill").arg(self.child.id().to_string()).status()?;
        self.child.wait()
    }
}

impl Drop for DemoCamera {
    fn drop(&mut self) {
        self.kill();
    }
}
