//! Looking for given bytes in files, whatever the files are: the proof that something is not there any more.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Bytes of a piece: long enough not to come about by chance, short enough to be found where a page of a database cuts.
const PIECE_BYTES: usize = 32;
/// Fewer different bytes than this are padding or a table that many files share.
const DIFFERENT_MIN: usize = 12;
/// Read at once.
const BLOCK_BYTES: usize = 1024 * 1024;

/// What is looked for: every whole piece of 32 bytes of the given files that is like no padding. Wherever 63 bytes of a file
/// lie in one piece, one of them is found.
#[derive(Clone, Default)]
pub struct Needles {
    /// By their first eight bytes.
    pieces: HashMap<[u8; 8], Vec<[u8; PIECE_BYTES]>>,
    count: usize,
}

impl Needles {
    /// The pieces of these files.
    #[must_use]
    pub fn of<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles = Self::default();
        let all: HashSet<[u8; PIECE_BYTES]> =
            files.into_iter().flat_map(|file| file.as_chunks::<PIECE_BYTES>().0).copied().collect();
        for piece in all {
            let different: HashSet<u8> = piece.iter().copied().collect();
            if let (true, Some(head)) = (different.len() >= DIFFERENT_MIN, piece.first_chunk::<8>()) {
                needles.pieces.entry(*head).or_default().push(piece);
                needles.count += 1;
            }
        }
        needles
    }

    /// How many pieces there are to look for.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// How many of them are in `bytes`.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> usize {
        let mut found = HashSet::new();
        self.note(bytes, &mut found);
        found.len()
    }

    /// How many of them are in a file.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn found_in_file(&self, path: &Path) -> io::Result<usize> {
        let (mut file, mut found) = (File::open(path)?, HashSet::new());
        let (mut block, mut kept) = (vec![0; BLOCK_BYTES], 0);
        loop {
            let read = file.read(&mut block[kept..])?;
            self.note(&block[..kept + read], &mut found);
            if read == 0 {
                return Ok(found.len());
            }
            // What a border between two blocks would cut in two is looked at again with the next.
            let end = kept + read;
            let from = end.saturating_sub(PIECE_BYTES - 1);
            block.copy_within(from..end, 0);
            kept = end - from;
        }
    }

    fn note(&self, bytes: &[u8], found: &mut HashSet<[u8; PIECE_BYTES]>) {
        if self.pieces.is_empty() {
            return;
        }
        for window in bytes.windows(PIECE_BYTES) {
            let Some(head) = window.first_chunk::<8>() else { continue };
            if let Some(pieces) = self.pieces.get(head) {
                found.extend(pieces.iter().filter(|piece| piece.as_slice() == window));
            }
        }
    }
}

/// What is looked for is what must not be shown.
impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needles({} pieces)", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::noise;

    #[test]
    fn every_stretch_of_63_bytes_is_found_wherever_it_lies_and_padding_is_not() {
        let secret = [noise(640, 5), vec![0; 640]].concat();
        let needles = Needles::of([secret.as_slice()]);
        assert_eq!(needles.count(), 20);
        let hay = vec![0_u8; 5000];
        assert_eq!(needles.found_in(&hay), 0);
        for from in 0..600 {
            let mut hay = noise(5000, 9);
            let at = 7 * from;
            hay.splice(at..at, secret[from.min(577)..][..63].iter().copied());
            assert!(needles.found_in(&hay) >= 1, "{from}");
        }
        assert_eq!(needles.found_in(&secret), 20);
    }

    #[test]
    fn a_file_is_searched_across_the_borders_of_its_blocks() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("hay");
        let secret = noise(32, 5);
        let needles = Needles::of([secret.as_slice()]);
        for at in [0, BLOCK_BYTES - 40, BLOCK_BYTES - 16, BLOCK_BYTES, 2 * BLOCK_BYTES - 50, 2 * BLOCK_BYTES - 1] {
            let mut hay = vec![7; 3 * BLOCK_BYTES];
            hay[at..at + 32].copy_from_slice(&secret);
            std::fs::write(&path, &hay).expect("written");
            assert_eq!(needles.found_in_file(&path).expect("read"), 1, "{at}");
        }
    }
}
