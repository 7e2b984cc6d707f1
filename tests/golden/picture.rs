//! Photographs as video frames, and scenes with a face in them.

use sekisho_logic::frame::{Chroma, FrameView, Matrix, Plane, Range};
use sekisho_logic::geometry::Rect;
use sekisho_vision::planes::region::RegionSampler;
use sekisho_vision::planes::{Pixels, RgbImage};

/// An owned I420 frame.
pub(crate) struct Frame {
    size: (usize, usize),
    bytes: Vec<u8>,
    matrix: Matrix,
    range: Range,
}

impl Frame {
    /// Encodes RGB as a camera would: chroma averaged over 2x2.
    pub(crate) fn of(picture: &RgbImage, matrix: Matrix, range: Range) -> Self {
        let pixels = Pixels::Rgb(picture.view());
        let (width, height) = (pixels.width() / 2 * 2, pixels.height() / 2 * 2);
        let (red, blue) = if matrix == Matrix::Bt601 { (0.299, 0.114) } else { (0.2126, 0.0722) };
        let (gain, offset, chroma) =
            if range == Range::Full { (1.0, 0.0, 1.0) } else { (219.0 / 255.0, 16.0, 224.0 / 255.0) };
        let at = |x: usize, y: usize| {
            let i = (y * pixels.width() + x) * 3;
            [0, 1, 2].map(|c| f32::from(picture.view().bytes()[i + c]))
        };
        let luma = |[r, g, b]: [f32; 3]| red * r + (1.0 - red - blue) * g + blue * b;
        let mut bytes = Vec::with_capacity(width * height * 3 / 2);
        for y in 0..height {
            bytes.extend((0..width).map(|x| byte(luma(at(x, y)) * gain + offset)));
        }
        for plane in 0..2 {
            for y in 0..height / 2 {
                for x in 0..width / 2 {
                    let mut sum = 0.0;
                    for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                        let p = at(2 * x + dx, 2 * y + dy);
                        let (colour, weight) = if plane == 0 { (p[2], blue) } else { (p[0], red) };
                        sum += (colour - luma(p)) / (2.0 * (1.0 - weight));
                    }
                    bytes.push(byte(sum / 4.0 * chroma + 128.0));
                }
            }
        }
        Self { size: (width, height), bytes, matrix, range }
    }

    pub(crate) fn view(&self) -> FrameView<'_> {
        let (width, height) = self.size;
        let (luma, chroma) = self.bytes.split_at(width * height);
        let (u, v) = chroma.split_at(width * height / 4);
        let half = width / 2;
        let chroma = Chroma::I420 { u: Plane { bytes: u, stride: half }, v: Plane { bytes: v, stride: half } };
        FrameView::try_new(self.size, Plane { bytes: luma, stride: width }, chroma, self.matrix, self.range)
            .expect("the planes fit")
    }
}

fn byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a byte")]
    {
        (value + 0.5).clamp(0.0, 255.0) as u8
    }
}

/// A length in whole pixels, rounded down.
pub(crate) fn whole(length: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what a picture can have")]
    {
        length.clamp(0.0, 65_535.0) as usize
    }
}

/// The region of a picture in another size.
pub(crate) fn resized(pixels: Pixels<'_>, region: Rect, size: (usize, usize)) -> RgbImage {
    let mut sampler = RegionSampler::default();
    let planes = sampler.sample(pixels, region, size);
    let rgb = planes.red.iter().zip(planes.green).zip(planes.blue);
    let bytes = rgb.flat_map(|((r, g), b)| [byte(*r), byte(*g), byte(*b)]).collect();
    RgbImage::try_new(size.0, size.1, bytes).expect("sized right")
}

/// All of a picture, `factor` times smaller.
pub(crate) fn shrunk(pixels: Pixels<'_>, factor: f32) -> RgbImage {
    let (width, height) = pixels.size_px();
    let size = (whole(width / factor) / 2 * 2, whole(height / factor) / 2 * 2);
    let region = Rect::new(0.0, 0.0, size.0 as f32 * factor, size.1 as f32 * factor);
    resized(pixels, region, size)
}

/// A textured grey scene of 640x360 with `face` pasted at each place, top left corners.
pub(crate) fn scene(face: Option<&RgbImage>, places: &[(usize, usize)]) -> RgbImage {
    let (width, height) = (640, 360);
    let mut bytes = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let grain = ((x * 73) ^ (y * 151)) % 7;
            bytes.extend([u8::try_from((x / 40 * 17 + y / 30 * 29) % 60 + 70 + grain).expect("below 137"); 3]);
        }
    }
    for (left, top) in places {
        let Some(face) = face else { break };
        let view = Pixels::Rgb(face.view());
        for y in 0..view.height().min(height - top) {
            let row = view.width().min(width - left) * 3;
            let from = &face.view().bytes()[y * view.width() * 3..][..row];
            bytes[((top + y) * width + left) * 3..][..row].copy_from_slice(from);
        }
    }
    RgbImage::try_new(width, height, bytes).expect("sized right")
}
