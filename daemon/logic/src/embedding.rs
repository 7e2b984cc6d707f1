//! Embeddings exist only finite and at unit length; nothing downstream checks again.

use std::fmt;
use std::sync::Arc;

/// What a network said about one face: a unit vector, tagged with nothing. Cosine similarity is the dot product.
#[derive(Clone, PartialEq)]
pub struct Embedding(Arc<[f32]>);

/// Why a vector is no embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEmbedding {
    /// The network produced NaN or infinity.
    #[error("component {at} is not finite")]
    NotFinite {
        /// Index of the first such component.
        at: usize,
    },
    /// All components are (nearly) zero, so there is no direction.
    #[error("the vector has no length")]
    Zero,
}

impl Embedding {
    /// Scales `raw` to unit length.
    ///
    /// # Errors
    /// [`BadEmbedding`] for a component that is not finite or a vector without length.
    pub fn try_new(raw: &[f32]) -> Result<Self, BadEmbedding> {
        if let Some(at) = raw.iter().position(|v| !v.is_finite()) {
            return Err(BadEmbedding::NotFinite { at });
        }
        let norm = raw.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
        if norm < 1e-12 {
            return Err(BadEmbedding::Zero);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a component of a unit vector fits f32")]
        Ok(Self(raw.iter().map(|v| (f64::from(*v) / norm) as f32).collect()))
    }

    /// The components.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// Number of components.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.0.len()
    }

    /// Cosine similarity, -1..=1. Vectors of different length come from different networks and never meet here;
    /// the extra components count as zero.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        dot(&self.0, &other.0)
    }
}

/// Biometric data is never printed, not even by accident.
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embedding({} values)", self.0.len())
    }
}

/// Dot product in sixteen independent lanes: the plain iterator sum cannot be vectorised (float addition is not
/// associative) and was measured ten times slower.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0_f32; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = if a.len() == b.len() {
        chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum()
    } else {
        return a.iter().zip(b).map(|(x, y)| x * y).sum();
    };
    for (x, y) in chunks_a.zip(chunks_b) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_vector_is_refused() {
        assert_eq!(Embedding::try_new(&[0.0; 8]).err(), Some(BadEmbedding::Zero));
        assert_eq!(Embedding::try_new(&[]).err(), Some(BadEmbedding::Zero));
    }

    #[test]
    fn nan_is_refused_by_place() {
        assert_eq!(Embedding::try_new(&[1.0, f32::NAN]).err(), Some(BadEmbedding::NotFinite { at: 1 }));
    }

    #[test]
    fn cosine_of_itself_is_one_and_debug_tells_nothing() {
        let e = Embedding::try_new(&(0_u8..37).map(|i| f32::from(i) - 9.5).collect::<Vec<_>>()).expect("finite");
        assert!((e.cosine(&e) - 1.0).abs() < 1e-6);
        assert_eq!(format!("{e:?}"), "Embedding(37 values)");
    }
}
