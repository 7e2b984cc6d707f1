//! Making faces unrecognisable in a picture that is kept, for ever: what is written over cannot be computed back.
//!
//! A covered face is a few solid cells, each the mean of what was there. The cells are laid over the whole face, also when
//! the picture shows only a part of it, so that a cut face does not get finer ones.

use crate::geometry::Rect;

/// Cells across and down that a covered region has. A face fills two thirds of its region, so four cells: less than two
/// between the eyes, a quarter of the least that any camera is compared at. Eight is what is commonly allowed at the most.
pub const CELLS: u16 = 6;

/// How much wider and higher than the face's box the region is: hair, ears and chin lie outside a detector's box.
pub const REGION_OVER_FACE: f32 = 1.5;

/// Pixelates the face whose box is `face`, with what belongs to a head around it, in an RGB picture of `width` x `height`
/// pixels (8 bits a channel, rows from the top, no padding). `face` is in pixels of that picture, in which the first pixel
/// reaches from 0 to 1, and may lie partly or wholly outside. A box that is not finite covers the whole picture.
pub fn pixelate(rgb: &mut [u8], width: u32, height: u32, face: Rect) {
    pixelate_but(rgb, width, height, face, None);
}

/// As [`pixelate`], but what lies inside `keep` is left alone where it is outside `face` itself: somebody else's head may be
/// near, and the margin must not take the one face that the picture is for.
pub fn pixelate_but(rgb: &mut [u8], width: u32, height: u32, face: Rect, keep: Option<Rect>) {
    let all = Rect::new(0.0, 0.0, size(width), size(height));
    let (face, keep) = if face.is_finite() { (face, keep) } else { (all, None) };
    let region = face.scaled(REGION_OVER_FACE);
    let cell = Rect::new(0.0, 0.0, region.width / f32::from(CELLS), region.height / f32::from(CELLS));
    for row in 0..CELLS {
        for column in 0..CELLS {
            let at = cell.shifted(region.x + cell.width * f32::from(column), region.y + cell.height * f32::from(row));
            level(rgb, (width, height), at, |x, y| !keep.is_some_and(|keep| holds(keep, x, y) && !holds(face, x, y)));
        }
    }
}

/// Makes every pixel black whose middle `covers` says so of (x, y in pixels of the picture).
pub fn blacken(rgb: &mut [u8], width: u32, covers: impl Fn(f32, f32) -> bool) {
    let mut at = (0_u32, 0_u32);
    for pixel in rgb.chunks_exact_mut(3) {
        if covers(size(at.0) + 0.5, size(at.1) + 0.5) {
            pixel.fill(0);
        }
        at = if at.0 + 1 >= width { (0, at.1 + 1) } else { (at.0 + 1, at.1) };
    }
}

/// Gives every pixel whose middle is in `cell`, and that `takes` wants covered, the mean of them.
fn level(rgb: &mut [u8], (width, height): (u32, u32), cell: Rect, takes: impl Fn(f32, f32) -> bool) {
    let (columns, rows) = (middles(cell.x, cell.width, width), middles(cell.y, cell.height, height));
    let inside: Vec<usize> = rows
        .flat_map(|y| columns.clone().map(move |x| (x, y)))
        .filter(|(x, y)| takes(size(*x) + 0.5, size(*y) + 0.5))
        .filter_map(|(x, y)| usize::try_from((u64::from(y) * u64::from(width) + u64::from(x)) * 3).ok())
        .filter(|first| first + 3 <= rgb.len())
        .collect();
    for channel in 0..3 {
        let sum: u64 = inside.iter().map(|first| u64::from(rgb[first + channel])).sum();
        let mean = sum.checked_div(inside.len() as u64).and_then(|mean| u8::try_from(mean).ok()).unwrap_or(0);
        inside.iter().for_each(|first| rgb[first + channel] = mean);
    }
}

/// The pixels of a side of `of` pixels whose middle lies in `length` from `from`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the picture")]
fn middles(from: f32, length: f32, of: u32) -> std::ops::Range<u32> {
    let pixel = |edge: f32| (edge - 0.5).ceil().clamp(0.0, size(of)) as u32;
    pixel(from)..pixel(from + length)
}

fn holds(rect: Rect, x: f32, y: f32) -> bool {
    (rect.x..rect.x + rect.width).contains(&x) && (rect.y..rect.y + rect.height).contains(&y)
}

#[expect(clippy::cast_precision_loss, reason = "pictures are at most 8192 pixels wide")]
const fn size(px: u32) -> f32 {
    px as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// No two pixels near each other are alike.
    fn pattern(width: u32, height: u32) -> Vec<u8> {
        let byte = |value: u32| u8::try_from(value % 251).expect("below 251");
        (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| [byte(x * 7 + y * 3), byte(x * 13 + 5), byte(y * 17 + 40)]))
            .collect()
    }

    fn pixel(rgb: &[u8], width: u32, x: u32, y: u32) -> [u8; 3] {
        let first = usize::try_from((y * width + x) * 3).expect("small");
        [rgb[first], rgb[first + 1], rgb[first + 2]]
    }

    #[test]
    fn a_face_becomes_a_few_solid_cells_and_the_rest_stays() {
        let before = pattern(100, 80);
        let mut after = before.clone();
        let face = Rect::new(20.0, 20.0, 40.0, 40.0);
        pixelate(&mut after, 100, 80, face);
        let region = face.scaled(REGION_OVER_FACE);
        let mut colours = BTreeSet::new();
        for y in 0..80 {
            for x in 0..100 {
                let seen = pixel(&after, 100, x, y);
                if holds(region, size(x) + 0.5, size(y) + 0.5) {
                    colours.insert(seen);
                } else {
                    assert_eq!(seen, pixel(&before, 100, x, y), "({x}, {y}) is outside");
                }
            }
        }
        assert!(colours.len() <= usize::from(CELLS * CELLS), "{} colours", colours.len());
    }

    #[test]
    fn the_face_the_picture_is_for_is_spared_by_the_margin_and_not_by_the_face_beside_it() {
        let before = pattern(100, 40);
        let mut after = before.clone();
        // The other face reaches two pixels into the subject's box, its margin seven.
        let (subject, other) = (Rect::new(10.0, 5.0, 30.0, 30.0), Rect::new(38.0, 5.0, 20.0, 30.0));
        pixelate_but(&mut after, 100, 40, other, Some(subject));
        assert_eq!(pixel(&after, 100, 36, 20), pixel(&before, 100, 36, 20), "margin over the subject");
        assert_ne!(pixel(&after, 100, 39, 20), pixel(&before, 100, 39, 20), "the other face itself");
        assert_ne!(pixel(&after, 100, 60, 20), pixel(&before, 100, 60, 20), "margin elsewhere");
    }

    #[test]
    fn a_box_that_is_nowhere_covers_everything() {
        let mut rgb = pattern(30, 30);
        pixelate(&mut rgb, 30, 30, Rect::new(f32::NAN, 0.0, 5.0, 5.0));
        let colours: BTreeSet<_> = rgb.chunks(3).map(<[u8]>::to_vec).collect();
        assert!(colours.len() <= usize::from(CELLS * CELLS), "{} colours", colours.len());
    }

    #[test]
    fn what_is_masked_is_black() {
        let mut rgb = pattern(10, 10);
        blacken(&mut rgb, 10, |x, y| x < 5.0 && y > 5.0);
        assert_eq!(pixel(&rgb, 10, 4, 5), [0; 3]);
        assert_ne!(pixel(&rgb, 10, 5, 5), [0; 3]);
        assert_ne!(pixel(&rgb, 10, 4, 4), [0; 3]);
    }

    proptest! {
        /// Two pictures that differ only in details of one face come out alike: nothing of the details is left.
        #[test]
        fn details_are_gone_for_good(seed in any::<u32>(), x in -20.0_f32..60.0, y in -20.0_f32..60.0, side in 12.0_f32..60.0) {
            let face = Rect::new(x, y, side, side);
            let (mut one, mut other) = (pattern(64, 64), pattern(64, 64));
            // Swapping two pixels of a cell changes details and no mean.
            let cell = face.scaled(REGION_OVER_FACE);
            let cell = Rect::new(cell.x, cell.y, cell.width / f32::from(CELLS), cell.height / f32::from(CELLS));
            let inside: Vec<usize> = (0..64_u32 * 64)
                .filter(|at| holds(cell, size(at % 64) + 0.5, size(at / 64) + 0.5))
                .filter_map(|at| usize::try_from(at * 3).ok())
                .collect();
            if let (Some(a), Some(b)) = (inside.first(), inside.get(seed as usize % inside.len().max(1))) {
                (0..3).for_each(|channel| other.swap(a + channel, b + channel));
            }
            pixelate(&mut one, 64, 64, face);
            pixelate(&mut other, 64, 64, face);
            prop_assert_eq!(one, other);
        }

        #[test]
        fn no_box_makes_it_panic(x in any::<f32>(), y in any::<f32>(), w in any::<f32>(), h in any::<f32>(), width in 1_u32..40, height in 1_u32..40) {
            let mut rgb = pattern(width, height);
            pixelate(&mut rgb, width, height, Rect::new(x, y, w, h));
            prop_assert_eq!(rgb.len(), pattern(width, height).len());
        }
    }
}
