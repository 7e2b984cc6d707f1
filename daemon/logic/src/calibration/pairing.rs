//! What is known of two networks together: how far the second one follows the first, and what both come to.
//!
//! Both networks look at the same pictures, and a false candidate was chosen because it resembles the person to the first
//! one, so neither network's own calibration says what the second one's agreement is worth. It was measured
//! (`models/calibrate/second.py`) on people neither network was trained on.

use serde::Deserialize;

/// The file as written. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawPairings {
    /// Version of this format; 1.
    pub format: u32,
    /// Pairs of networks.
    #[serde(default)]
    pub pair: Vec<RawPair>,
}

/// One pair.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawPair {
    /// Name of the pair, for people.
    pub id: String,
    /// SHA-256 of the first network's file, in hex.
    pub first: String,
    /// SHA-256 of the second network's file, in hex.
    pub second: String,
    /// Weight of the first network's log likelihood ratio.
    pub first_weight: f64,
    /// Weight of the second network's.
    pub second_weight: f64,
    /// Added to both.
    pub offset: f64,
    /// Size bins, ascending; the last one is open.
    pub bin: Vec<RawPairBin>,
}

/// One size bin of a pair.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawPairBin {
    /// Lower edge, inter-eye pixels of the source frame, inclusive.
    pub inter_eye_px_min: f32,
    /// Log likelihood ratio that 95 of 100 true candidates reach with the second network.
    pub reach_llr: f64,
    /// True candidates it was measured on.
    pub tracks: u32,
}

/// Why a pair is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPairing {
    /// Written by another version.
    #[error("format {0} is not known here (known: 1); write it again with this version's `make second`")]
    Format(u32),
    /// A number that cannot be.
    #[error("pair {pair}: {what}")]
    Pair {
        /// Its id.
        pair: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// What is known of one pair, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Pairing {
    weights: (f64, f64),
    offset: f64,
    /// (lower edge in pixels, log likelihood ratio), ascending.
    reach: Vec<(f32, f64)>,
}

impl Pairing {
    /// Checks a pair.
    ///
    /// # Errors
    /// [`BadPairing::Pair`], naming the pair.
    pub fn try_new(raw: &RawPair) -> Result<Self, BadPairing> {
        let bad = |what| BadPairing::Pair { pair: raw.id.clone(), what };
        let (first, second) = (raw.first_weight, raw.second_weight);
        let weights = [first, second].iter().all(|weight| (0.0..=1.0).contains(weight));
        if !weights || !raw.offset.is_finite() {
            return Err(bad("weights must lie between 0 and 1 and the offset must be finite"));
        }
        let finite = raw.bin.iter().all(|bin| bin.reach_llr.is_finite() && bin.inter_eye_px_min.is_finite());
        let ascending = raw.bin.is_sorted_by(|a, b| a.inter_eye_px_min < b.inter_eye_px_min);
        if raw.bin.is_empty() || !finite || !ascending {
            return Err(bad("size bins must be ascending, with finite numbers, and there must be at least one"));
        }
        let reach = raw.bin.iter().map(|bin| (bin.inter_eye_px_min, bin.reach_llr)).collect();
        Ok(Self { weights: (first, second), offset: raw.offset, reach })
    }

    /// The pair of these two networks in a file; `None` when it is not listed.
    ///
    /// # Errors
    /// [`BadPairing`] when the file or that pair is not usable.
    pub fn find(raw: &RawPairings, first: &str, second: &str) -> Result<Option<Self>, BadPairing> {
        if raw.format != 1 {
            return Err(BadPairing::Format(raw.format));
        }
        let pair = raw.pair.iter().find(|pair| pair.first == first && pair.second == second);
        pair.map(Self::try_new).transpose()
    }

    /// The log likelihood ratio that 95 of 100 true candidates of this size reach with the second network; `None` for sizes
    /// that were not measured.
    #[must_use]
    pub fn reach(&self, inter_eye_px: f32) -> Option<f64> {
        self.reach.iter().rev().find(|(from, _)| inter_eye_px >= *from).map(|(_, llr)| *llr)
    }

    /// Both networks' log likelihood ratios as one.
    #[must_use]
    pub fn combined(&self, first: f64, second: f64) -> f64 {
        self.weights.0 * first + self.weights.1 * second + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> RawPairings {
        let bin = |from, llr| RawPairBin { inter_eye_px_min: from, reach_llr: llr, tracks: 80 };
        let pair = RawPair {
            id: "a and b".into(),
            first: "a".into(),
            second: "b".into(),
            first_weight: 0.4,
            second_weight: 0.6,
            offset: -0.5,
            bin: vec![bin(6.0, 0.5), bin(11.0, 4.0)],
        };
        RawPairings { format: 1, pair: vec![pair] }
    }

    #[test]
    fn a_pair_is_found_by_both_its_networks_and_in_their_order() {
        let pairing = Pairing::find(&raw(), "a", "b").expect("valid").expect("listed");
        assert_eq!(Pairing::find(&raw(), "b", "a"), Ok(None));
        let reach = [5.9, 6.0, 10.9, 11.0, 300.0].map(|px| pairing.reach(px));
        assert_eq!(reach, [None, Some(0.5), Some(0.5), Some(4.0), Some(4.0)]);
        assert!((pairing.combined(5.0, 10.0) - 7.5).abs() < 1e-9);
    }

    #[test]
    fn a_pair_that_cannot_be_is_refused_by_name() {
        let spoilt: [fn(&mut RawPair); 5] = [
            |pair| pair.first_weight = 1.4,
            |pair| pair.second_weight = -0.1,
            |pair| pair.offset = f64::NAN,
            |pair| pair.bin[1].inter_eye_px_min = 6.0,
            |pair| pair.bin.clear(),
        ];
        for spoil in spoilt {
            let mut raw = raw();
            spoil(&mut raw.pair[0]);
            let refused = Pairing::find(&raw, "a", "b").expect_err("impossible");
            assert!(refused.to_string().contains("a and b"), "{refused}");
        }
        assert_eq!(Pairing::find(&RawPairings { format: 2, ..raw() }, "a", "b"), Err(BadPairing::Format(2)));
    }
}
