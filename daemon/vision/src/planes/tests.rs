use super::aligned::CropSampler;
use super::luma::SmallLuma;
use super::region::RegionSampler;
use super::*;
use proptest::prelude::*;
use sekisho_logic::geometry::{CROP_PX, Point, Rect, Similarity};

/// Planes with padded rows, filled by a function of channel and position.
pub(crate) struct Picture {
    size: (usize, usize),
    luma: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
    uv: Vec<u8>,
    pad: usize,
}

impl Picture {
    pub(crate) fn new(size: (usize, usize), pad: usize, of: impl Fn(usize, usize, usize) -> u8) -> Self {
        let half = (size.0.div_ceil(2), size.1.div_ceil(2));
        let plane = |channel: usize, (width, height): (usize, usize)| {
            let mut bytes = Vec::new();
            for y in 0..height {
                bytes.extend((0..width).map(|x| of(channel, x, y)));
                bytes.extend(std::iter::repeat_n(255, pad));
            }
            bytes
        };
        let mut uv = Vec::new();
        for y in 0..half.1 {
            for x in 0..half.0 {
                uv.extend([of(1, x, y), of(2, x, y)]);
            }
            uv.extend(std::iter::repeat_n(255, pad));
        }
        Self { size, luma: plane(0, size), u: plane(1, half), v: plane(2, half), uv, pad }
    }

    pub(crate) fn i420(&self, matrix: Matrix, range: Range) -> FrameView<'_> {
        let half = self.size.0.div_ceil(2) + self.pad;
        let chroma =
            Chroma::I420 { u: Plane { bytes: &self.u, stride: half }, v: Plane { bytes: &self.v, stride: half } };
        self.view(chroma, matrix, range)
    }

    pub(crate) fn nv12(&self, matrix: Matrix, range: Range) -> FrameView<'_> {
        let chroma = Chroma::Nv12 { uv: Plane { bytes: &self.uv, stride: self.size.0.div_ceil(2) * 2 + self.pad } };
        self.view(chroma, matrix, range)
    }

    fn view<'a>(&'a self, chroma: Chroma<'a>, matrix: Matrix, range: Range) -> FrameView<'a> {
        let luma = Plane { bytes: &self.luma, stride: self.size.0 + self.pad };
        FrameView::try_new(self.size, luma, chroma, matrix, range).expect("the planes are long enough")
    }
}

/// The I420 rendering of an RGB picture: BT.601, full range, chroma averaged over 2x2.
pub(crate) fn i420_of_rgb(rgb: &[u8], (width, height): (usize, usize)) -> Picture {
    let at = |x: usize, y: usize| {
        let i = (y.min(height - 1) * width + x.min(width - 1)) * 3;
        [f32::from(rgb[i]), f32::from(rgb[i + 1]), f32::from(rgb[i + 2])]
    };
    Picture::new((width, height), 0, |channel, x, y| {
        let luma = |[r, g, b]: [f32; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        if channel == 0 {
            return to_byte(luma(at(x, y)));
        }
        let mut sum = 0.0;
        for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let p = at(2 * x + dx, 2 * y + dy);
            sum += if channel == 1 { (p[2] - luma(p)) / 1.772 } else { (p[0] - luma(p)) / 1.402 };
        }
        to_byte(sum / 4.0 + 128.0)
    })
}

pub(crate) fn to_byte(value: f32) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    {
        (value + 0.5).clamp(0.0, 255.0) as u8
    }
}

/// A small picture side as a count.
pub(crate) fn whole_px(value: f32) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    {
        value.clamp(1.0, 4096.0) as usize
    }
}

fn noise(channel: usize, x: usize, y: usize) -> u8 {
    let mut h = x.wrapping_mul(374_761_393) ^ y.wrapping_mul(668_265_263) ^ channel.wrapping_mul(1_442_695_041);
    h = (h ^ (h >> 13)).wrapping_mul(1_274_126_177);
    h.to_le_bytes()[3]
}

/// Slow structure, so that interpolation has something it can be right about.
fn waves(channel: usize, x: usize, y: usize) -> u8 {
    let (x, y) = (px(x), px(y));
    to_byte(128.0 + 60.0 * (x / 9.0 + px(channel)).sin() + 50.0 * (y / 7.0).cos())
}

#[test]
fn colours_come_out_as_the_standards_say() {
    // Y, Cb, Cr of the 75 % bars' white, red, green and blue; the RGB they stand for is 191 where lit.
    // Source of the triples: ITU-R BT.601-7 and BT.709-6 equations, rounded to 8 bits.
    let bars = [
        (Matrix::Bt601, Range::Limited, [180, 128, 128], [191.0, 191.0, 191.0]),
        (Matrix::Bt601, Range::Limited, [65, 100, 212], [191.0, 0.0, 0.0]),
        (Matrix::Bt601, Range::Limited, [112, 72, 58], [0.0, 191.0, 0.0]),
        (Matrix::Bt601, Range::Limited, [35, 212, 114], [0.0, 0.0, 191.0]),
        (Matrix::Bt709, Range::Limited, [51, 109, 212], [191.0, 0.0, 0.0]),
        (Matrix::Bt709, Range::Limited, [133, 63, 52], [0.0, 191.0, 0.0]),
        (Matrix::Bt709, Range::Limited, [28, 212, 120], [0.0, 0.0, 191.0]),
        (Matrix::Bt601, Range::Full, [57, 96, 224], [191.0, 0.0, 0.0]),
    ];
    for (matrix, range, yuv, rgb) in bars {
        let picture = Picture::new((16, 16), 3, |channel, _, _| yuv[channel]);
        let mut sampler = RegionSampler::default();
        let view = picture.i420(matrix, range);
        let planes = sampler.sample(view.into(), Rect::new(0.0, 0.0, 16.0, 16.0), (4, 4));
        for (plane, expected) in [planes.red, planes.green, planes.blue].into_iter().zip(rgb) {
            assert!((plane[5] - expected).abs() < 2.6, "{matrix:?} {range:?} {yuv:?}: {}", plane[5]);
        }
    }
}

#[test]
fn nv12_and_i420_give_the_same_pixels() {
    let picture = Picture::new((49, 35), 7, waves);
    let (mut a, mut b) = (RegionSampler::default(), RegionSampler::default());
    let region = Rect::new(-3.2, 4.1, 40.0, 33.3);
    for size in [(64, 48), (13, 9)] {
        let left = a.sample(picture.i420(Matrix::Bt601, Range::Limited).into(), region, size);
        let right = b.sample(picture.nv12(Matrix::Bt601, Range::Limited).into(), region, size);
        for (l, r) in [(left.red, right.red), (left.green, right.green), (left.blue, right.blue)] {
            assert!(l.iter().zip(r).all(|(l, r)| (l - r).abs() < 0.01));
        }
    }
}

#[test]
fn shrinking_equals_the_naive_area_average() {
    let (width, height) = (40_usize, 30_usize);
    let rgb: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [noise(0, x, y), noise(1, x, y), noise(2, x, y)]))
        .collect();
    let view = RgbView::try_new(width, height, &rgb).expect("sized right");
    let mut sampler = RegionSampler::default();
    // 5 x 6 source pixels to one, region on whole pixels: the truth is a plain mean.
    let planes = sampler.sample(view.into(), Rect::new(5.0, 6.0, 30.0, 24.0), (6, 4));
    for (channel, plane) in [planes.red, planes.green, planes.blue].into_iter().enumerate() {
        for (at, value) in plane.iter().enumerate() {
            let (cx, cy) = (5 + at % 6 * 5, 6 + at / 6 * 6);
            let mut sum = 0.0;
            for y in cy..cy + 6 {
                for x in cx..cx + 5 {
                    sum += f32::from(noise(channel, x, y));
                }
            }
            assert!((value - sum / 30.0).abs() < 0.01, "{value} is not {}", sum / 30.0);
        }
    }
}

#[test]
fn outside_the_picture_its_edge_repeats() {
    let rgb: Vec<u8> = (0..16 * 16).flat_map(|i| if i % 16 == 0 { [200, 0, 0] } else { [10, 20, 30] }).collect();
    let view = RgbView::try_new(16, 16, &rgb).expect("sized right");
    let mut sampler = RegionSampler::default();
    let planes = sampler.sample(view.into(), Rect::new(-32.0, 0.0, 32.0, 16.0), (32, 16));
    assert!(planes.red.iter().all(|v| (v - 200.0).abs() < 0.01));
    let planes = sampler.sample(view.into(), Rect::new(100.0, 100.0, 8.0, 8.0), (8, 8));
    assert!(planes.blue.iter().all(|v| (v - 30.0).abs() < 0.01));
}

#[test]
fn senseless_regions_give_nothing() {
    let picture = Picture::new((32, 32), 0, noise);
    let mut sampler = RegionSampler::default();
    let view = picture.i420(Matrix::Bt601, Range::Limited);
    for region in [
        Rect::new(f32::NAN, 0.0, 4.0, 4.0),
        Rect::new(0.0, 0.0, 0.0, 4.0),
        Rect::new(0.0, 0.0, f32::INFINITY, 4.0),
        Rect::new(0.0, 0.0, -4.0, 4.0),
    ] {
        assert!(sampler.sample(view.into(), region, (8, 8)).red.is_empty());
    }
    assert!(sampler.sample(view.into(), Rect::new(0.0, 0.0, 4.0, 4.0), (100_000, 100_000)).red.is_empty());
}

#[test]
fn the_small_copy_is_the_mean_of_its_blocks() {
    let picture = Picture::new((321, 181), 5, noise);
    let mut copy = SmallLuma::default();
    copy.fill(&picture.i420(Matrix::Bt601, Range::Limited), 160);
    assert_eq!((copy.width(), copy.height(), copy.block_px()), (160, 90, 2));
    for (x, y) in [(0, 0), (159, 89), (80, 45)] {
        let sum: u32 =
            [(0, 0), (1, 0), (0, 1), (1, 1)].iter().map(|(dx, dy)| u32::from(noise(0, 2 * x + dx, 2 * y + dy))).sum();
        assert_eq!(u32::from(copy.values()[y * 160 + x]), (sum + 2) / 4);
    }
    let tiny = Picture::new((16, 16), 0, noise);
    copy.fill(&tiny.i420(Matrix::Bt601, Range::Limited), 160);
    assert_eq!((copy.width(), copy.height(), copy.block_px()), (16, 16, 1));
}

#[test]
fn an_upright_crop_at_scale_one_is_the_picture_itself() {
    let rgb: Vec<u8> = (0..150_usize)
        .flat_map(|y| (0..160_usize).flat_map(move |x| [noise(0, x, y), noise(1, x, y), noise(2, x, y)]))
        .collect();
    let view = RgbView::try_new(160, 150, &rgb).expect("sized right");
    let crop = CropSampler::default()
        .sample(view.into(), Similarity::scale_shift(1.0, -20.0, -10.0))
        .expect("a plain transform");
    for (at, pixel) in crop.rgb().chunks_exact(3).enumerate() {
        let (x, y) = (20 + at % CROP_PX, 10 + at / CROP_PX);
        assert_eq!(pixel, [noise(0, x, y), noise(1, x, y), noise(2, x, y)]);
    }
    let mirror = crop.mirrored();
    assert_eq!(mirror.rgb()[..3], crop.rgb()[111 * 3..112 * 3]);
    assert_eq!(mirror.mirrored(), crop);
}

#[test]
fn absurd_transforms_have_no_crop() {
    let picture = Picture::new((64, 64), 0, waves);
    let view = picture.i420(Matrix::Bt601, Range::Limited);
    let mut sampler = CropSampler::default();
    for transform in [
        Similarity::scale_shift(0.0, 0.0, 0.0),
        Similarity::scale_shift(f32::NAN, 0.0, 0.0),
        Similarity::scale_shift(1e6, 0.0, 0.0),
        Similarity::scale_shift(1.0, f32::INFINITY, 0.0),
    ] {
        assert!(sampler.sample(view.into(), transform).is_none());
    }
}

/// The brightness at a real position, of a picture smooth enough that sampling it anyhow gives the same.
fn smooth(x: f32, y: f32) -> f32 {
    128.0 + 50.0 * (x / 40.0).sin() + 50.0 * (y / 33.0).cos()
}

proptest! {
    #[test]
    fn a_crop_shows_what_lies_where_the_transform_says(
        size in 0.2_f32..6.0, turn in -0.7_f32..0.7, x in 60.0_f32..200.0, y in 60.0_f32..200.0,
    ) {
        let rgb: Vec<u8> = (0..256_u16).flat_map(|y| (0..256_u16).flat_map(move |x| {
            [to_byte(smooth(f32::from(x), f32::from(y))); 3]
        })).collect();
        let view = RgbView::try_new(256, 256, &rgb).expect("sized right");
        let corners = [Point::new(0.0, 0.0), Point::new(111.0, 0.0)];
        let at = Point::new(x + 111.0 * size.recip() * turn.cos(), y + 111.0 * size.recip() * turn.sin());
        let crop_from_frame = Similarity::fit(&[Point::new(x, y), at], &corners).expect("two points apart");
        let crop = CropSampler::default().sample(view.into(), crop_from_frame).expect("a plain transform");
        let back = crop_from_frame.inverse();
        for (u, v) in [(0_u8, 0_u8), (56, 56), (111, 0), (30, 100), (111, 111)] {
            let p = back.apply(Point::new(f32::from(u), f32::from(v)));
            let inside = (3.0..252.0).contains(&p.x) && (3.0..252.0).contains(&p.y);
            if inside {
                let found = f32::from(crop.rgb()[(usize::from(v) * CROP_PX + usize::from(u)) * 3]);
                prop_assert!((found - smooth(p.x, p.y)).abs() < 2.5, "{found} at {p:?} is not {}", smooth(p.x, p.y));
            }
        }
    }
}

#[test]
fn a_frame_and_its_photograph_give_the_same_crop() {
    let (width, height) = (200_usize, 160_usize);
    let rgb: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| [waves(0, x, y), waves(1, x, y), waves(2, x, y)]))
        .collect();
    let picture = i420_of_rgb(&rgb, (width, height));
    let photo = RgbView::try_new(width, height, &rgb).expect("sized right");
    let mut sampler = CropSampler::default();
    for transform in [Similarity::scale_shift(0.7, -4.0, 3.0), Similarity::scale_shift(2.5, -120.0, -90.0)] {
        let a = sampler.sample(photo.into(), transform).expect("plain");
        let b = sampler.sample(picture.i420(Matrix::Bt601, Range::Full).into(), transform).expect("plain");
        let difference: f32 =
            a.rgb().iter().zip(b.rgb()).map(|(a, b)| (f32::from(*a) - f32::from(*b)).abs()).sum::<f32>();
        let mean = difference / (112.0 * 112.0 * 3.0);
        assert!(mean < 3.0, "mean difference {mean} of 255");
    }
}
