//! A calibration file as it is written, before anything in it is believed.

use serde::{Deserialize, Serialize};

/// The file as written. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawCalibration {
    /// Version of this format; 1.
    pub format: u32,
    /// Name of the calibration, kept with every alert.
    pub id: String,
    /// SHA-256 of the embedder's file, in hex.
    pub model_digest: String,
    /// Version of detector, aligner and sampling the scores were made with.
    pub preprocessing: String,
    /// Where the scores come from, for people.
    #[serde(default)]
    pub source: String,
    /// When it was made, RFC 3339; shipped tables may lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// What the scores are; absent in shipped tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_kind: Option<SourceKind>,
    /// The table it was regularised to, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prior_id: Option<String>,
    /// Size bins, ascending.
    #[serde(default)]
    pub bin: Vec<RawBin>,
}

/// Where a calibration's scores come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// It came with the network.
    Shipped,
    /// The site's own strangers, counted in passing.
    Shadow,
    /// The site's own labelled pictures.
    Labelled,
}

impl SourceKind {
    /// The word used in the file and in status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Shadow => "shadow",
            Self::Labelled => "labelled",
        }
    }
}

/// One size bin.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawBin {
    /// Lower edge, inter-eye pixels of the source frame, inclusive.
    pub inter_eye_px_min: f32,
    /// Upper edge, exclusive; absent in the last bin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inter_eye_px_max: Option<f32>,
    /// Rows, ascending by `n`.
    #[serde(default)]
    pub frames: Vec<RawRow>,
}

/// One frame count in one bin.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawRow {
    /// Frames fused; the row serves from this count up to the next row's.
    pub n: u32,
    /// Whether this row may be used to identify anybody.
    pub decidable: bool,
    /// Why not, when not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Genuine comparisons measured.
    pub genuine_count: u32,
    /// Their mean cosine.
    pub genuine_mean: f64,
    /// Their standard deviation.
    pub genuine_std: f64,
    /// Impostor comparisons measured.
    pub impostor_count: u64,
    /// Distinct people among the impostor probes.
    #[serde(default)]
    pub impostor_identities: u32,
    /// Their mean cosine.
    pub impostor_mean: f64,
    /// Their standard deviation.
    pub impostor_std: f64,
    /// Tracks (or labelled people) of the site behind this row; absent in shipped tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_count: Option<u64>,
    /// Of the evidence line, natural-log likelihood ratio per unit of cosine.
    pub llr_slope: f64,
    /// Of the evidence line.
    pub llr_offset: f64,
    /// The impostor tail, false match rate descending.
    pub tail: Vec<RawTail>,
}

/// One point of the impostor tail.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RawTail {
    /// Share of comparisons with one wrong person at or above the cosine.
    pub fmr: f64,
    /// The cosine.
    pub cosine: f64,
    /// Beyond what was observed, from a fitted tail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extrapolated: bool,
    /// Lower end of the cosine's 95 % interval, where it was reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_low: Option<f64>,
    /// Upper end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine_high: Option<f64>,
}

impl RawTail {
    /// A point that was counted, without an interval.
    #[must_use]
    pub const fn counted(fmr: f64, cosine: f64) -> Self {
        Self { fmr, cosine, extrapolated: false, cosine_low: None, cosine_high: None }
    }
}
