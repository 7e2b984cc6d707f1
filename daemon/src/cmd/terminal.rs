//! Secrets from people and files.

use super::Failure;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// A password is a line; a longer one is a wrong file.
const LINE_BYTES_MAX: u64 = 4096;

/// What a terminal sends for Ctrl-C.
const CTRL_C: u8 = 3;

/// The terminal with its echo off, which comes back however this ends.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn open() -> std::io::Result<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // The line break alone is echoed, so that the cursor goes on.
        silent.local_modes.insert(LocalModes::ECHONL);
        // Ctrl-C ends the line instead of the program, so that the echo comes back before the program goes.
        silent.local_modes.remove(LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
        tcsetattr(&terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }

    fn ask(&mut self, prompt: &str) -> std::io::Result<Zeroizing<String>> {
        write!(self.terminal, "{prompt}: ")?;
        self.terminal.flush()?;
        let mut line = Zeroizing::new(String::new());
        let mut byte = [0_u8; 1];
        let mut bytes = Zeroizing::new(Vec::with_capacity(1024));
        while bytes.len() < 1024 && self.terminal.read(&mut byte)? == 1 && byte[0] != b'\n' {
            if byte[0] == CTRL_C {
                return Err(std::io::Error::new(std::io::ErrorKind::Interrupted, "interrupted"));
            }
            bytes.push(byte[0]);
        }
        line.push_str(std::str::from_utf8(&bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))?);
        Ok(line)
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _gone = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

fn first_line(from: impl Read) -> std::io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(from.take(LINE_BYTES_MAX)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(line)
}

/// Asks for a secret twice at the terminal, without showing it.
///
/// # Errors
/// [`Failure::Wrong`] when both differ or there is no terminal.
pub fn ask_twice(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let no_terminal = |error: std::io::Error| {
        Failure::Wrong(format!("there is no terminal to ask at ({error}); use --password-file FILE or --generate"))
    };
    let mut quiet = Quiet::open().map_err(no_terminal)?;
    let first = quiet.ask(prompt).map_err(no_terminal)?;
    let second = quiet.ask("The same again").map_err(no_terminal)?;
    if *first != *second {
        return Err(Failure::Wrong("the two are not the same; nothing was changed".into()));
    }
    Ok(first)
}

/// Asks for a secret once at the terminal, without showing it.
///
/// # Errors
/// [`Failure::No`] when it was interrupted, [`Failure::Wrong`] when there is no terminal.
pub fn ask_once(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let asked = Quiet::open().and_then(|mut quiet| quiet.ask(prompt));
    asked.map_err(|error| match error.kind() {
        std::io::ErrorKind::Interrupted => Failure::No("interrupted; nothing was changed".into()),
        _ => Failure::Wrong(format!("there is no terminal to ask at ({error}); give a password file")),
    })
}

/// The first line of a private file, or of standard input (`-`).
///
/// # Errors
/// [`Failure::Wrong`] when others can read the file, or it cannot be read.
pub fn secret_from(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let wrong = |error: std::io::Error| Failure::Wrong(format!("{}: {error}", path.display()));
    if path == Path::new("-") {
        return first_line(std::io::stdin()).map_err(wrong);
    }
    let file = File::open(path).map_err(wrong)?;
    let about = file.metadata().map_err(wrong)?;
    let mode = about.mode() & 0o777;
    if about.is_file() && mode & 0o077 != 0 {
        let said = format!("{}: others can read it (mode {mode:03o}); run `chmod 600` on it", path.display());
        return Err(Failure::Wrong(said));
    }
    first_line(file).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_where_it_ends() {
        for (given, wanted) in [("a b \n", "a b "), ("x\r\ny\n", "x"), ("", ""), ("last", "last")] {
            assert_eq!(first_line(given.as_bytes()).expect("read").as_str(), wanted);
        }
    }

    #[test]
    fn a_file_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("password");
        std::fs::write(&path, "correct horse\n").expect("own file");
        let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("own file");
        mode(0o640);
        assert!(secret_from(&path).expect_err("refused").to_string().contains("chmod 600"));
        mode(0o600);
        assert_eq!(secret_from(&path).expect("read").as_str(), "correct horse");
        assert!(secret_from(&dir.path().join("none")).is_err());
    }
}
