use super::*;
use proptest::prelude::*;

const TURNS: [(u8, Orientation); 8] = [
    (1, Orientation::NoTransforms),
    (2, Orientation::FlipHorizontal),
    (3, Orientation::Rotate180),
    (4, Orientation::FlipVertical),
    (5, Orientation::Rotate90FlipH),
    (6, Orientation::Rotate90),
    (7, Orientation::Rotate270FlipH),
    (8, Orientation::Rotate270),
];

/// No two pixels near each other are alike.
fn pattern(width: u32, height: u32) -> DynamicImage {
    let byte = |value: u32| u8::try_from(value % 251).expect("below 251");
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        image::Rgb([byte(x * 7 + y * 3), byte(x * 13), byte(y * 17 + 40)])
    }))
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("encodes");
    bytes.into_inner()
}

/// A JPEG with an EXIF block that holds an orientation and a word that must not come out again.
fn with_exif(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend([0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0]);
    // The camera's maker, 20 bytes of text behind the directory.
    exif.extend([0x0F, 0x01, 2, 0, 20, 0, 0, 0, 38, 0, 0, 0]);
    exif.extend([0, 0, 0, 0]);
    exif.extend(b"Whereabouts 35N 139E");
    let length = u16::try_from(exif.len() + 2).expect("short").to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &exif, &jpeg[2..]].concat()
}

fn decoded(jpeg: &[u8]) -> RgbImage {
    image::load_from_memory_with_format(jpeg, ImageFormat::Jpeg).expect("a JPEG").into_rgb8()
}

/// Mean difference of two pictures of one size, in steps of 0..=255.
fn apart(one: &RgbImage, other: &RgbImage) -> f64 {
    assert_eq!(one.dimensions(), other.dimensions());
    let sum: u64 = one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let mean = sum as f64 / one.as_raw().len() as f64;
    mean
}

proptest! {
    #[test]
    fn cutting_before_turning_is_cutting_after_it(
        (width, height) in (1_u32..40, 1_u32..40),
        (left, top) in (0_u32..40, 0_u32..40),
        (w, h) in (1_u32..40, 1_u32..40),
        which in 0_usize..8,
    ) {
        let (_, turn) = TURNS[which];
        let stored = pattern(width, height);
        let mut upright = stored.clone();
        upright.apply_orientation(turn);
        let (across, down) = (upright.width(), upright.height());
        prop_assert_eq!(swaps(turn), (across, down) == (height, width) && (width != height || swaps(turn)));
        let (x, y) = (left.min(across - 1), top.min(down - 1));
        let region = [x, y, w.min(across - x), h.min(down - y)];
        let [sx, sy, sw, sh] = as_stored(region, (across, down), turn);
        let mut cut = stored.crop_imm(sx, sy, sw, sh);
        cut.apply_orientation(turn);
        prop_assert_eq!(cut, upright.crop_imm(region[0], region[1], region[2], region[3]));
    }

    #[test]
    fn the_margin_stays_within_the_picture_and_holds_the_face(
        (across, down) in (1_u32..9000, 1_u32..9000),
        face in any::<[u32; 4]>(),
        small in (0_u32..9000, 0_u32..9000, 1_u32..9000, 1_u32..9000),
    ) {
        for face in [face, [small.0, small.1, small.2, small.3]] {
            let Some([x, y, w, h]) = around(face, (across, down)) else { continue };
            prop_assert!(w >= 1 && h >= 1 && x + w <= across && y + h <= down);
            let seen_to = |from: u32, length: u32, of: u32| from.saturating_add(length).min(of);
            prop_assert!(x <= face[0] && seen_to(face[0], face[2], across) <= x + w);
            prop_assert!(y <= face[1] && seen_to(face[1], face[3], down) <= y + h);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), face in any::<Option<[u32; 4]>>()) {
        let png = [b"\x89PNG\r\n\x1a\n".as_slice(), &bytes].concat();
        let jpeg = [b"\xFF\xD8\xFF".as_slice(), &bytes].concat();
        for hostile in [bytes, png, jpeg] {
            let said = portrait(&hostile, face).expect_err("noise is no picture").to_string();
            prop_assert!(!said.contains('\n'), "{}", said);
        }
    }
}

#[test]
fn every_way_a_camera_can_be_held_comes_out_upright() {
    let photo = pattern(120, 80).resize_exact(360, 240, FilterType::Triangle);
    for (number, turn) in TURNS {
        let file = with_exif(&encoded(&photo, ImageFormat::Jpeg), number);
        let mut upright = photo.clone();
        upright.apply_orientation(turn);
        let face = [100, 60, 60, 80];
        let cut = decoded(&portrait(&file, Some(face)).expect("a portrait"));
        let [x, y, w, h] = around(face, (upright.width(), upright.height())).expect("inside");
        assert!(apart(&cut, &upright.crop_imm(x, y, w, h).into_rgb8()) < 6.0, "orientation {number}");
        let whole = decoded(&portrait(&file, None).expect("a portrait"));
        assert!(apart(&whole, &upright.into_rgb8()) < 6.0, "orientation {number}");
    }
}

#[test]
fn nothing_of_the_files_metadata_comes_out() {
    let file = with_exif(&encoded(&pattern(100, 100), ImageFormat::Jpeg), 6);
    let has = |bytes: &[u8], word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(has(&file, b"Exif") && has(&file, b"Whereabouts"));
    let shown = portrait(&file, None).expect("a portrait");
    assert!(!has(&shown, b"Exif") && !has(&shown, b"Whereabouts") && !has(&shown, &[0xFF, 0xE1]));
}

#[test]
fn large_photographs_are_scaled_down_and_small_ones_left() {
    for (size, face, wanted) in [
        ((3000, 2000), None, (480, 320)),
        ((1000, 1500), None, (320, 480)),
        ((300, 200), None, (300, 200)),
        ((3000, 2000), Some([1000, 500, 1000, 1000]), (480, 480)),
        ((300, 200), Some([100, 50, 40, 60]), (68, 102)),
        ((300, 200), Some([400, 50, 40, 60]), (300, 200)),
    ] {
        let file = encoded(&pattern(size.0, size.1), ImageFormat::Png);
        let shown = decoded(&portrait(&file, face).expect("a portrait"));
        assert_eq!(shown.dimensions(), wanted, "{size:?} {face:?}");
    }
    // Averaged on the way, not picked: a pattern finer than the portrait's pixels becomes its mean.
    let stripes = RgbImage::from_fn(2400, 2400, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
    let shown = decoded(&portrait(&encoded(&stripes.into(), ImageFormat::Png), None).expect("a portrait"));
    assert!(shown.as_raw().iter().all(|value| value.abs_diff(100) < 30));
}

#[test]
fn grey_and_transparent_photographs_are_shown_too() {
    let grey = DynamicImage::ImageLuma8(pattern(60, 40).into_luma8());
    let clear = DynamicImage::ImageRgba16(pattern(60, 40).into_rgba16());
    for picture in [grey, clear] {
        let shown = portrait(&encoded(&picture, ImageFormat::Png), Some([10, 10, 20, 20])).expect("a portrait");
        assert_eq!(decoded(&shown).dimensions(), (34, 34));
    }
}

/// Width, height, bits and kind of colour stand at byte 16 of a PNG; its checksum follows.
fn huge(width: u32, height: u32, bits: u8, colour: u8) -> Vec<u8> {
    let mut png = encoded(&pattern(8, 8), ImageFormat::Png);
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    (png[24], png[25]) = (bits, colour);
    let mut crc = u32::MAX;
    for byte in &png[12..29] {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 });
    }
    png[29..33].copy_from_slice(&(!crc).to_be_bytes());
    png
}

#[test]
fn what_would_fill_the_memory_is_refused_from_its_header() {
    for file in [huge(100_000, 100_000, 8, 2), huge(7000, 8000, 8, 0), huge(5000, 6000, 16, 6)] {
        let said = portrait(&file, None).expect_err("refused");
        assert!(matches!(said, PortraitError::TooLarge { .. } | PortraitError::Damaged { .. }), "{said}");
    }
    let said = portrait(&vec![0xFF; BYTES_MAX + 1], None).expect_err("refused");
    assert!(matches!(said, PortraitError::TooLarge { .. }), "{said}");
    assert!(matches!(portrait(b"GIF89a and more", None), Err(PortraitError::Damaged { .. })));
}
