//! The file of checkpoints beside the database: one signed head of the audit trail a line, to be shipped elsewhere.

use crate::config::Settings;
use sekisho_store::{Checkpoint, open_own};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A line is about 350 bytes.
const LINE_BYTES_MAX: usize = 2000;
/// An hourly checkpoint makes 9 000 lines a year; ten years are read.
const LINES_MAX: usize = 100_000;

/// Where the checkpoints of this installation lie.
#[must_use]
pub fn file(settings: &Settings) -> PathBuf {
    settings.daemon.state_dir.join("audit-checkpoints.ndjson")
}

/// Appends a checkpoint and syncs the file. A line that a crash left half-way is ended first.
///
/// # Errors
/// What the file system said; the checkpoint is in the database all the same.
pub fn append(path: &Path, checkpoint: &Checkpoint) -> io::Result<()> {
    let mut file = open_own(path, OpenOptions::new().create(true).read(true).append(true).mode(0o640))?;
    let mut line = checkpoint.to_line();
    line.push('\n');
    if file.metadata()?.len() > 0 {
        let mut last = [0_u8];
        file.seek(SeekFrom::End(-1))?;
        io::Read::read_exact(&mut file, &mut last)?;
        if last != *b"\n" {
            line.insert(0, '\n');
        }
    }
    file.write_all(line.as_bytes())?;
    file.sync_data()
}

/// What a file of checkpoints holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The checkpoints, as they stand there.
    pub checkpoints: Vec<Checkpoint>,
    /// Numbers of lines that are none, from 1. The last line may be half of one after a crash.
    pub unreadable: Vec<usize>,
}

/// Reads a file of checkpoints.
///
/// # Errors
/// What the file system said.
pub fn read(path: &Path) -> io::Result<Kept> {
    let mut kept = Kept::default();
    for (line, number) in BufReader::new(File::open(path)?).split(b'\n').zip(1_usize..) {
        let line = line?;
        if number > LINES_MAX || line.len() > LINE_BYTES_MAX {
            kept.unreadable.push(number);
            break;
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        match Checkpoint::parse(&text) {
            Some(checkpoint) => kept.checkpoints.push(checkpoint),
            None => kept.unreadable.push(number),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::time::WallMs;

    #[test]
    fn half_a_line_spoils_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("c.ndjson");
        let one = |seq| Checkpoint {
            seq,
            hash: "ab".repeat(32),
            wall: WallMs(5),
            key_id: "0011223344556677".into(),
            signature: "cd".repeat(64),
        };
        append(&path, &one(1)).expect("written");
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"seq\":2,").expect("torn");
        append(&path, &one(3)).expect("written");
        let kept = read(&path).expect("read");
        assert_eq!((kept.checkpoints, kept.unreadable), (vec![one(1), one(3)], vec![2]));
    }
}
