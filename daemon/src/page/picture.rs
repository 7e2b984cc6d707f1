//! Pixels inside a page: PNG or JPEG in a data address.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

/// Pictures with more pixels than this become JPEG: a PNG of a large face has ten times the bytes.
const PNG_PIXELS_MAX: u32 = 48 * 64;

/// Quality of the JPEGs; what is lost at 90 cannot be seen at a face's native size.
const JPEG_QUALITY: u8 = 90;

/// `width` x `height` RGB triples as a data address; `None` when the bytes are not that many.
#[must_use]
pub fn data_address(width: u32, height: u32, rgb: &[u8]) -> Option<String> {
    let wanted = usize::try_from(width).ok()?.checked_mul(usize::try_from(height).ok()?)?.checked_mul(3)?;
    if rgb.len() != wanted || rgb.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    let kind = if width * height <= PNG_PIXELS_MAX {
        let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
        encoder.write_image(rgb, width, height, ExtendedColorType::Rgb8).ok()?;
        "png"
    } else {
        let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
        encoder.write_image(rgb, width, height, ExtendedColorType::Rgb8).ok()?;
        "jpeg"
    };
    Some(format!("data:image/{kind};base64,{}", base64(&bytes)))
}

/// Base 64 with padding (RFC 4648, section 4).
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let part = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = part(0) << 16 | part(1) << 8 | part(2);
        for place in 0..4_usize {
            let letter = bits >> (18 - 6 * place) & 63;
            let known = usize::try_from(letter).ok().filter(|_| place <= chunk.len());
            out.push(known.map_or('=', |letter| char::from(LETTERS[letter])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn small_pictures_are_png_large_ones_jpeg_and_wrong_ones_nothing() {
        assert!(data_address(8, 8, &[9; 192]).is_some_and(|text| text.starts_with("data:image/png;base64,iVBOR")));
        let large = data_address(100, 100, &[9; 30_000]);
        assert!(large.is_some_and(|text| text.starts_with("data:image/jpeg;base64,/9j/")));
        assert_eq!(data_address(8, 8, &[9; 191]), None);
        assert_eq!(data_address(0, 0, &[]), None);
    }
}
