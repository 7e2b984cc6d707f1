//! A small grey copy of the frame for the motion gate: whole blocks of luma averaged, nothing else read.

use sekisho_logic::frame::FrameView;

/// A shrunken luma plane. Reused from frame to frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmallLuma {
    width: usize,
    height: usize,
    block_px: usize,
    values: Vec<u8>,
    sums: Vec<u16>,
}

/// Rows of one block are summed in 16 bits: 257 rows of 255 fit. Frames are at most 8192 pixels wide, so with copies
/// at least 32 wide a block never exceeds 256.
const COPY_WIDTH_MIN: usize = 32;

impl SmallLuma {
    /// Averages blocks of equal whole size so that the copy is at least `width_wanted` wide (where the frame is).
    /// A rest at the right and bottom smaller than a block is left out.
    pub fn fill(&mut self, view: &FrameView<'_>, width_wanted: usize) {
        let block = (view.width() / width_wanted.max(COPY_WIDTH_MIN)).clamp(1, view.height());
        self.block_px = block;
        self.width = view.width() / block;
        self.height = view.height() / block;
        self.values.clear();
        self.values.reserve(self.width * self.height);
        let luma = view.luma();
        let used = self.width * block;
        let area = u32::try_from(block * block).unwrap_or(u32::MAX);
        for line in 0..self.height {
            self.sums.clear();
            self.sums.resize(used, 0);
            for row in 0..block {
                let begin = (line * block + row) * luma.stride;
                for (sum, sample) in self.sums.iter_mut().zip(&luma.bytes[begin..begin + used]) {
                    // Wrapping, because the overflow check of debug builds keeps this loop from being vectorised.
                    *sum = sum.wrapping_add(u16::from(*sample));
                }
            }
            let averages = self.sums.chunks_exact(block).map(|block| {
                let sum: u32 = block.iter().map(|s| u32::from(*s)).sum();
                u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX)
            });
            self.values.extend(averages);
        }
    }

    /// Samples across.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Samples down.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Frame pixels a sample is wide and high.
    #[must_use]
    pub const fn block_px(&self) -> usize {
        self.block_px
    }

    /// The samples, row by row.
    #[must_use]
    pub fn values(&self) -> &[u8] {
        &self.values
    }
}
