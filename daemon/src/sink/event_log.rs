//! A file with one JSON object a line.
//!
//! Lines are written and synced before the outbox is told, so a crash in between writes a line twice, under the same
//! `id`; it never loses one.
//!
//! ```text
//! events.ndjson --(grown to rotate-mib)--> events.ndjson.1 --> .2 --> ... --> .keep-files --> removed
//! ```
//!
//! The file is opened anew for each batch, so one that others rotate away by name is simply made again. A link in its place is
//! not followed: `sekisho setup` writes a test alert as root, into a folder that is the service's.

use super::outlet::{Down, Outcome};
use crate::config::sink_settings::EventLogSettings;
use crate::status::wire;
use sekisho_store::{OutboxItem, open_own};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// One event log.
#[derive(Debug)]
pub struct EventLog {
    name: String,
    settings: EventLogSettings,
    /// The file whose end was looked at.
    seen: Option<FileId>,
    /// A file in which a write of ours may have ended half-way, and its length before.
    torn: Option<(FileId, u64)>,
}

/// Device and inode: a file that was rotated away is another one.
type FileId = (u64, u64);

impl EventLog {
    /// The log that `settings` describe; it is made with the first event.
    #[must_use]
    pub fn new(name: &str, settings: EventLogSettings) -> Self {
        Self { name: name.to_owned(), settings, seen: None, torn: None }
    }

    /// Writes by other settings from now on. Always fits: nothing is held open.
    pub fn change(&mut self, settings: &EventLogSettings) -> bool {
        self.settings = settings.clone();
        true
    }

    /// Writes events and syncs the file.
    pub fn hand_over(&mut self, items: &[OutboxItem]) -> Vec<Outcome> {
        match self.write(items) {
            Ok(bytes) => {
                if self.settings.rotate_bytes > 0
                    && bytes >= self.settings.rotate_bytes
                    && let Err(error) = self.rotate()
                {
                    // Written is written; the file grows on until it can be put aside.
                    tracing::warn!(
                        "sink {}: {} could not be put aside: {error}; it grows on, and this is tried again",
                        self.name,
                        self.settings.path.display()
                    );
                }
                items.iter().map(|_| Outcome::Taken).collect()
            }
            Err(error) => vec![Outcome::Down(Down::unreachable(format!("{}: {error}", self.settings.path.display())))],
        }
    }

    /// Returns the size of the file afterwards.
    fn write(&mut self, items: &[OutboxItem]) -> io::Result<u64> {
        let mut lines = Vec::new();
        for item in items {
            write_line(&mut lines, &wire::delivery(item))?;
        }
        let path = &self.settings.path;
        let fresh = !path.exists();
        let mut file = open_own(path, OpenOptions::new().create(true).read(true).append(true).mode(0o640))?;
        let about = file.metadata()?;
        let this = (about.dev(), about.ino());
        if let Some((_, length)) = self.torn.filter(|(torn, length)| *torn == this && about.len() > *length) {
            // Cut short by a full disk: the piece of a line would spoil the next one.
            file.set_len(length)?;
        } else if self.seen != Some(this) && !ends_in_a_line(&mut file, about.len())? {
            // Somebody's earlier crash. What is there stays; the line is ended.
            lines.insert(0, b'\n');
        }
        self.torn = Some((this, file.metadata()?.len()));
        file.write_all(&lines)?;
        file.sync_data()?;
        if fresh {
            sync_directory(path)?;
        }
        (self.torn, self.seen) = (None, Some(this));
        let length = file.metadata()?.len();
        Ok(length)
    }

    /// Puts the file aside, the older ones one further, the oldest away. Begins at the far end, so that a crash in between
    /// leaves a gap in the numbers and no file on top of another.
    fn rotate(&self) -> io::Result<()> {
        let path = &self.settings.path;
        for number in (1..self.settings.keep_files).rev() {
            rename_if_there(&numbered(path, number), &numbered(path, number + 1))?;
        }
        rename_if_there(path, &numbered(path, 1))?;
        sync_directory(path)
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn ends_in_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0_u8];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Writes an event, as it is sent, as its line of the log; a replay writes the same.
///
/// # Errors
/// What the writer said.
pub fn write_line(mut to: impl io::Write, sent: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut to, sent)?;
    to.write_all(b"\n")
}
