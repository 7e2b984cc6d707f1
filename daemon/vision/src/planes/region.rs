//! A rectangle of a picture as three planes of another size.

use super::axis::Axis;
use super::{Component, Pixels};
use crate::manifest::{Colour, InputContract};
use sekisho_logic::geometry::Rect;

/// Resamples rectangles. Keeps its buffers, so one per thread and stage.
#[derive(Debug, Default)]
pub struct RegionSampler {
    across: Axis,
    down: Axis,
    row: Vec<f32>,
    planes: [Vec<f32>; 3],
    width: usize,
    height: usize,
}

/// Red, green and blue planes of 0..=255, row by row, borrowed from the sampler.
#[derive(Clone, Copy, Debug)]
pub struct RgbPlanes<'a> {
    /// Red.
    pub red: &'a [f32],
    /// Green.
    pub green: &'a [f32],
    /// Blue.
    pub blue: &'a [f32],
    /// Pixels a row.
    pub width: usize,
}

/// The most output pixels one call makes; twice the largest shape in use. A larger wish is a bug upstream and gives an
/// empty result rather than an allocation of any size.
const OUT_PX_MAX: usize = 2 * 1280 * 736;

impl RegionSampler {
    /// Samples `region` (pixel edges) into `width` x `height`. Outside the picture its edge pixels repeat.
    /// The planes are empty when the region or the size makes no sense.
    pub fn sample(&mut self, pixels: Pixels<'_>, region: Rect, (width, height): (usize, usize)) -> RgbPlanes<'_> {
        let makes_sense =
            region.is_finite() && region.width > 0.0 && region.height > 0.0 && width * height <= OUT_PX_MAX;
        (self.width, self.height) = if makes_sense { (width, height) } else { (0, 0) };
        for plane in &mut self.planes {
            plane.clear();
            plane.resize(self.width * self.height, 0.0);
        }
        if self.width * self.height > 0 {
            for component in pixels.components().list.into_iter().flatten() {
                self.component(&component, region);
            }
            if let Some(conversion) = pixels.conversion() {
                let [y, u, v] = &mut self.planes;
                conversion.apply(y, u, v);
            }
        }
        let [red, green, blue] = &self.planes;
        RgbPlanes { red, green, blue, width: self.width }
    }

    /// One plane, vertically first: that pass runs along memory and shrinks what the second one has to read.
    ///
    /// Chroma samples are taken as lying in the middle of their four luma samples, as JPEG has it. H.264 puts them a
    /// quarter of a chroma sample further left, which is below what any network here resolves.
    fn component(&mut self, component: &Component<'_>, region: Rect) {
        let reduction = if component.reduction == 2 { 0.5 } else { 1.0 };
        let scaled = |v: f32| f64::from(v) * reduction;
        self.across.set(scaled(region.x), scaled(region.width), self.width, component.width);
        self.down.set(scaled(region.y), scaled(region.height), self.height, component.height);
        let (first, end) = self.across.span();
        let channels = component.channels;
        let (from, to) = (first * channels, end * channels);
        self.row.clear();
        self.row.resize(to - from, 0.0);
        for (line, (start, weights)) in self.down.rows().enumerate() {
            self.row.fill(0.0);
            for (offset, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
                let begin = (start + offset) * component.plane.stride;
                let samples = component.plane.bytes.get(begin + from..begin + to).unwrap_or_default();
                for (sum, sample) in self.row.iter_mut().zip(samples) {
                    *sum += weight * f32::from(*sample);
                }
            }
            for channel in 0..channels {
                let out = &mut self.planes[component.first + channel][line * self.width..][..self.width];
                self.across.apply(&self.row, first, channels, channel, out);
            }
        }
    }
}

impl RgbPlanes<'_> {
    /// Writes one image of a network's input: channel order, mean and scale as its contract says.
    /// `out` is filled plane by plane; what does not fit is left out.
    pub fn write_tensor(&self, contract: &InputContract, out: &mut [f32]) {
        let order = match contract.colour {
            Colour::Rgb => [self.red, self.green, self.blue],
            Colour::Bgr => [self.blue, self.green, self.red],
        };
        if self.red.is_empty() {
            return;
        }
        for (channel, (plane, out)) in order.iter().zip(out.chunks_exact_mut(self.red.len())).enumerate() {
            let (mean, scale) = (contract.mean[channel], contract.scale[channel]);
            for (value, out) in plane.iter().zip(out) {
                *out = (value - mean) * scale;
            }
        }
    }
}
