//! A photograph as the frame a camera would have made of it: 4:2:0 planes of full range, so that probes take the same
//! way as live pictures.

use sekisho_logic::frame::{BadFrame, Chroma, FrameView, Matrix, Plane, Range};
use sekisho_vision::photo::Photo;
use sekisho_vision::planes::Pixels;

/// Owned I420 planes, BT.601, full range (what JPEG cameras send).
pub(super) struct StillFrame {
    size: (usize, usize),
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

impl StillFrame {
    /// Converts a photograph. Colour is averaged over squares of two by two, as every camera does.
    #[must_use]
    pub(super) fn of(photo: &Photo) -> Option<Self> {
        let Pixels::Rgb(view) = photo.pixels() else { return None };
        let (width, height) = (photo.pixels().width(), photo.pixels().height());
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let rgb = view.bytes();
        let mut luma = Vec::with_capacity(width * height);
        for [r, g, b] in rgb.as_chunks::<3>().0 {
            luma.push(byte(0.299 * f32::from(*r) + 0.587 * f32::from(*g) + 0.114 * f32::from(*b)));
        }
        let (mut blue, mut red) = (Vec::new(), Vec::new());
        for y in 0..half_height {
            for x in 0..half_width {
                let (mut sums, mut count) = ([0.0_f32; 3], 0.0_f32);
                for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let (row, column) = ((2 * y + row).min(height - 1), (2 * x + column).min(width - 1));
                    for (sum, value) in sums.iter_mut().zip(&rgb[(row * width + column) * 3..]) {
                        *sum += f32::from(*value);
                    }
                    count += 1.0;
                }
                let [r, g, b] = sums.map(|sum| sum / count);
                // ITU-T T.871 (JFIF), section 7.
                blue.push(byte(128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b));
                red.push(byte(128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b));
            }
        }
        Some(Self { size: (width, height), luma, blue, red })
    }

    /// The planes, borrowed.
    ///
    /// # Errors
    /// [`BadFrame`] when the photograph is smaller or larger than any stream may be.
    pub(super) fn view(&self) -> Result<FrameView<'_>, BadFrame> {
        let half = self.size.0.div_ceil(2);
        let plane = |bytes, stride| Plane { bytes, stride };
        let chroma = Chroma::I420 { u: plane(&self.blue, half), v: plane(&self.red, half) };
        FrameView::try_new(self.size, plane(&self.luma, self.size.0), chroma, Matrix::Bt601, Range::Full)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte before")]
fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn colours_come_out_as_jpeg_defines_them_and_odd_sides_are_covered() {
        let red = image::RgbImage::from_pixel(33, 17, image::Rgb([255, 0, 0]));
        let mut bytes = Cursor::new(Vec::new());
        red.write_to(&mut bytes, image::ImageFormat::Png).expect("encodes");
        let photo = Photo::decode(bytes.get_ref()).expect("decodes");
        let still = StillFrame::of(&photo).expect("a photograph is RGB");
        let view = still.view().expect("large enough");
        assert_eq!((view.width(), view.height(), view.luma().bytes[0]), (33, 17, 76));
        let Chroma::I420 { u, v } = view.chroma() else { panic!("three planes") };
        assert_eq!((u.bytes.len(), u.bytes[0], v.bytes[0]), (17 * 9, 85, 255));
    }
}
