//! The secret rotation of embedding space: templates are stored turned, so that those of two sites, or of one site before
//! and after a renewal, cannot be linked without the secret.
//!
//! A rotation is an orthogonal matrix drawn evenly from all of them (by Householder reflections: G. W. Stewart, SIAM J. Numer.
//! Anal. 17, 1980; the signs as in F. Mezzadri, Notices of the AMS 54, 2007). It keeps every cosine, so it costs nothing in
//! recognition. What it does not do: whoever has the secret, or as many templates with their turned forms as there are
//! dimensions, can turn everything back.

use crate::embedding::dot;

/// Bytes of the secret that a rotation is made from.
pub const SEED_BYTES: usize = 32;

/// An orthogonal matrix of one dimension.
#[derive(Clone, PartialEq)]
pub struct Rotation {
    dim: usize,
    /// Row by row, and the same column by column: both ways are then plain dot products.
    rows: Vec<f32>,
    columns: Vec<f32>,
}

impl Rotation {
    /// The rotation that `seed` makes for vectors of `dim` components. The same both always give the same. Takes time as the
    /// third power of `dim`: a few milliseconds for 128, a fifth of a second for 512.
    #[must_use]
    pub fn of_seed(seed: &[u8; SEED_BYTES], dim: usize) -> Self {
        let mut numbers = Gaussian::new(seed, dim);
        let mut matrix: Vec<f64> = (0..dim * dim).map(|at| f64::from(u8::from(at % (dim + 1) == 0))).collect();
        let mut signs = vec![1.0; dim];
        for (from, sign) in signs.iter_mut().enumerate() {
            let mut mirror: Vec<f64> = (from..dim).map(|_| numbers.next()).collect();
            let length = mirror.iter().map(|v| v * v).sum::<f64>().sqrt();
            let first = mirror.first().copied().unwrap_or_default();
            let side = if first < 0.0 { -1.0 } else { 1.0 };
            *sign = -side;
            if let Some(head) = mirror.first_mut() {
                *head += side * length;
            }
            let square = mirror.iter().map(|v| v * v).sum::<f64>();
            if square <= 0.0 {
                continue;
            }
            for row in matrix.chunks_exact_mut(dim.max(1)) {
                let tail = &mut row[from..];
                let along = 2.0 * tail.iter().zip(&mirror).map(|(a, b)| a * b).sum::<f64>() / square;
                tail.iter_mut().zip(&mirror).for_each(|(value, by)| *value -= along * by);
            }
        }
        #[expect(clippy::cast_possible_truncation, reason = "a component of a unit vector fits f32")]
        let rows: Vec<f32> =
            matrix.iter().enumerate().map(|(at, value)| (value * signs[at % dim.max(1)]) as f32).collect();
        let columns = (0..dim * dim).map(|at| rows[(at % dim.max(1)) * dim + at / dim.max(1)]).collect();
        Self { dim, rows, columns }
    }

    /// The vector as it is stored. Components beyond the rotation's dimension do not exist; fewer count as zero.
    #[must_use]
    pub fn turn(&self, vector: &[f32]) -> Vec<f32> {
        self.times(&self.rows, vector)
    }

    /// The vector as the network made it.
    #[must_use]
    pub fn back(&self, turned: &[f32]) -> Vec<f32> {
        self.times(&self.columns, turned)
    }

    fn times(&self, matrix: &[f32], vector: &[f32]) -> Vec<f32> {
        matrix.chunks_exact(self.dim.max(1)).map(|row| dot(row, vector)).collect()
    }
}

/// The matrix is a secret: whoever knows it can turn templates back.
impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rotation({} dimensions)", self.dim)
    }
}

/// Normally distributed numbers from the key stream of `ChaCha20` (RFC 8439), two at a time (Box and Muller, 1958).
struct Gaussian {
    key: [u32; 8],
    dim: u32,
    block: u32,
    words: Vec<u32>,
    kept: Option<f64>,
}

impl Gaussian {
    fn new(seed: &[u8; SEED_BYTES], dim: usize) -> Self {
        let (words, _) = seed.as_chunks::<4>();
        let mut key = [0; 8];
        key.iter_mut().zip(words).for_each(|(word, bytes)| *word = u32::from_le_bytes(*bytes));
        Self { key, dim: u32::try_from(dim).unwrap_or(u32::MAX), block: 0, words: Vec::new(), kept: None }
    }

    /// Evenly in 0 (left out) to 1, of 53 bits.
    fn even(&mut self) -> f64 {
        if self.words.len() < 2 {
            self.words = chacha20(&self.key, self.block, [self.dim, 0, 0]).to_vec();
            self.block = self.block.wrapping_add(1);
        }
        let (high, low) = (self.words.pop().unwrap_or_default(), self.words.pop().unwrap_or_default());
        let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let part = (bits + 1) as f64;
        part / 9_007_199_254_740_992.0
    }

    fn next(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let (radius, angle) = ((-2.0 * self.even().ln()).sqrt(), std::f64::consts::TAU * self.even());
        self.kept = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

/// One block of the key stream.
fn chacha20(key: &[u32; 8], counter: u32, nonce: [u32; 3]) -> [u32; 16] {
    const ROUNDS: [[usize; 4]; 8] = [
        [0, 4, 8, 12],
        [1, 5, 9, 13],
        [2, 6, 10, 14],
        [3, 7, 11, 15],
        [0, 5, 10, 15],
        [1, 6, 11, 12],
        [2, 7, 8, 13],
        [3, 4, 9, 14],
    ];
    // "expand 32-byte k"
    let mut begun = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574, 0, 0, 0, 0, 0, 0, 0, 0, counter, 0, 0, 0];
    begun[4..12].copy_from_slice(key);
    begun[13..].copy_from_slice(&nonce);
    let mut state: [u32; 16] = begun;
    for [a, b, c, d] in std::iter::repeat_n(ROUNDS, 10).flatten() {
        for (x, y, z, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
            state[x] = state[x].wrapping_add(state[y]);
            state[z] = (state[z] ^ state[x]).rotate_left(by);
        }
    }
    state.iter_mut().zip(begun).for_each(|(word, first)| *word = word.wrapping_add(first));
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedding::Embedding;
    use proptest::prelude::*;

    fn vector(seed: u8, dim: usize) -> Embedding {
        let mut numbers = Gaussian::new(&[seed; SEED_BYTES], dim);
        #[expect(clippy::cast_possible_truncation, reason = "numbers near one")]
        let raw: Vec<f32> = (0..dim).map(|_| numbers.next() as f32).collect();
        Embedding::try_new(&raw).expect("finite")
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
    }

    /// RFC 8439, section 2.3.2.
    #[test]
    fn the_key_stream_is_chacha20() {
        let bytes: Vec<u8> = (0..32).collect();
        let mut key = [0; 8];
        key.iter_mut()
            .zip(bytes.chunks_exact(4))
            .for_each(|(word, at)| *word = u32::from_le_bytes(at.try_into().expect("four")));
        let block = chacha20(&key, 1, [0x0900_0000, 0x4a00_0000, 0]);
        assert_eq!(block[..4], [0xe4e7_f110, 0x1559_3bd1, 0x1fdd_0f50, 0xc471_20a3]);
        assert_eq!(block[15], 0x4e3c_50a2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn turning_is_orthogonal_and_keeps_every_cosine(seed: [u8; 32], dim in 1_usize..160, a: u8, b: u8) {
            let rotation = Rotation::of_seed(&seed, dim);
            for (i, row) in rotation.rows.chunks_exact(dim).enumerate() {
                for (j, other) in rotation.rows.chunks_exact(dim).enumerate() {
                    let wanted = f32::from(u8::from(i == j));
                    prop_assert!((dot(row, other) - wanted).abs() < 1e-5, "{i} {j}");
                }
            }
            let (a, b) = (vector(a, dim), vector(b, dim));
            let (turned_a, turned_b) = (rotation.turn(a.as_slice()), rotation.turn(b.as_slice()));
            prop_assert!((dot(&turned_a, &turned_b) - a.cosine(&b)).abs() < 1e-5);
            let back = rotation.back(&turned_a);
            prop_assert!(back.iter().zip(a.as_slice()).all(|(x, y)| (x - y).abs() < 1e-5));
        }
    }

    /// Of random directions in 128 dimensions the cosine has mean 0 and standard deviation 1/sqrt(128) = 0.088.
    #[test]
    fn the_same_face_under_two_secrets_is_as_unlike_as_any_two() {
        let cosines: Vec<f32> = (0..200_u8)
            .map(|n| {
                let face = vector(n, 128);
                let (mut one, mut other) = ([n; SEED_BYTES], [n; SEED_BYTES]);
                (one[0], other[0]) = (1, 2);
                let turned = [one, other].map(|seed| Rotation::of_seed(&seed, 128).turn(face.as_slice()));
                cosine(&turned[0], &turned[1])
            })
            .collect();
        let count = 200.0;
        let mean = cosines.iter().sum::<f32>() / count;
        let spread = (cosines.iter().map(|c| (c - mean).powi(2)).sum::<f32>() / count).sqrt();
        assert!(mean.abs() < 0.03 && (0.07..0.11).contains(&spread), "mean {mean}, spread {spread}");
        assert!(cosines.iter().all(|c| c.abs() < 0.45), "nobody is recognised: {cosines:?}");
        // And a turned vector is as unlike its own plain form.
        let face = vector(3, 128);
        assert!(cosine(&Rotation::of_seed(&[9; SEED_BYTES], 128).turn(face.as_slice()), face.as_slice()).abs() < 0.45);
    }

    #[test]
    fn the_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Rotation::of_seed(&[1; SEED_BYTES], 3)), "Rotation(3 dimensions)");
    }
}
