//! Random numbers for this module's tests: the same ones every time.

use super::tally::{RowKey, Sample, Tally, cell};

/// splitmix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box and Muller (1958).
    pub(crate) fn normal(&mut self, mean: f64, std: f64) -> f64 {
        let (u, v) = (self.next().max(1e-300), self.next());
        mean + std * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// The same as a cosine is kept.
    #[expect(clippy::cast_possible_truncation, reason = "a cosine fits f32")]
    pub(crate) fn cosine(&mut self, mean: f64, std: f64) -> f32 {
        self.normal(mean, std) as f32
    }
}

/// A stranger before a gallery of `people`: every comparison N(mean, std). With `enrolled`, the person is in it.
pub(crate) fn look(random: &mut Random, people: usize, (mean, std): (f64, f64), enrolled: Option<f32>) -> Sample {
    let others = people - usize::from(enrolled.is_some());
    let mut cosines: Vec<f32> = (0..others).map(|_| random.cosine(mean, std)).collect();
    cosines.extend(enrolled);
    let top = (0..people).max_by(|a, b| cosines[*a].total_cmp(&cosines[*b])).expect("somebody");
    let best = cell(cosines.swap_remove(top));
    let rest = cosines.iter().map(|cosine| cell(*cosine)).collect();
    Sample { row: RowKey::new(16.0, 3), people: u32::try_from(people).expect("small"), best, rest }
}

pub(crate) fn strangers(random: &mut Random, tracks: usize, people: usize, law: (f64, f64)) -> Tally {
    let mut tally = Tally::default();
    (0..tracks).for_each(|_| tally.add(&look(random, people, law, None)));
    tally
}
