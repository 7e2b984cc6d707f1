//! From a cosine to evidence, through a table measured on people who are neither in training nor in test.
//!
//! A score means something only together with the size the face had and the number of frames behind it: genuine
//! scores fall from about 0.67 at 112 px to about 0.1 at 8 px, impostor scores hardly move. So the table has one row
//! for each (size bin, frame count), each holding
//!
//! - a line `llr = slope * cosine + offset` (logistic regression without prior), and
//! - the impostor tail: which cosine is exceeded by which share of comparisons with one wrong person.
//!
//! Thresholds are derived from a target error rate: in a gallery of `n` people a false-positive identification rate
//! `FPIR` allows each comparison a false match rate of `1 - (1 - FPIR)^(1/n)` (independent comparisons, ISO/IEC
//! 19795-1). A row that could not be measured is *not decidable*, and says why.

mod pairing;
pub mod raw;

pub use pairing::{BadPairing, Pairing, RawPair, RawPairBin, RawPairings};
pub use raw::{RawBin, RawCalibration, RawRow, RawTail, SourceKind};

/// With fewer comparisons or people a row's evidence says little; as in models/calibrate/fit.py.
const GENUINE_MIN: u32 = 100;
/// See [`GENUINE_MIN`].
const IDENTITIES_MIN: u32 = 50;

/// Why a calibration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCalibration {
    /// Written by another version.
    #[error("format {0} is not known here (known: 1); write it again with this version's calibration command")]
    Format(u32),
    /// A number that cannot be.
    #[error("bin from {bin} px, n = {n}: {what}")]
    Row {
        /// Lower edge of the bin, as text.
        bin: String,
        /// Row.
        n: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// Bins overlap, have gaps or are missing.
    #[error("size bins must be ascending, without gap or overlap, and there must be at least one")]
    Bins,
}

/// A checked table.
#[derive(Clone, Debug)]
pub struct Calibration {
    id: String,
    model_digest: String,
    preprocessing: String,
    date: Option<String>,
    source_kind: SourceKind,
    bins: Vec<Bin>,
    pairing: Option<Pairing>,
}

#[derive(Clone, Debug)]
struct Bin {
    from_px: f32,
    to_px: f32,
    rows: Vec<Row>,
}

/// One usable or unusable cell of the table.
#[derive(Clone, Debug)]
pub struct Row {
    frames: u32,
    decidable: bool,
    /// Whether its line rests on enough comparisons, decidable or not.
    measured: bool,
    slope: f64,
    offset: f64,
    /// Different people behind the impostor probes; at least 1.
    people: u32,
    /// Mean and standard deviation of the genuine cosines, as measured.
    genuine: (f64, f64),
    /// Standard deviation of the impostor cosines, as measured.
    impostor_deviation: f64,
    /// (log10 false match rate, cosine), rate descending, cosine ascending.
    tail: Vec<(f64, f64)>,
}

impl Calibration {
    /// Checks a file's content.
    ///
    /// # Errors
    /// [`BadCalibration`], naming the row.
    pub fn try_new(raw: RawCalibration) -> Result<Self, BadCalibration> {
        if raw.format != 1 {
            return Err(BadCalibration::Format(raw.format));
        }
        let mut bins = Vec::with_capacity(raw.bin.len());
        for bin in raw.bin {
            let to_px = bin.inter_eye_px_max.unwrap_or(f32::INFINITY);
            let joins = bins.last().is_none_or(|before: &Bin| (before.to_px - bin.inter_eye_px_min).abs() < 1e-3);
            if !joins || !bin.inter_eye_px_min.is_finite() || to_px <= bin.inter_eye_px_min {
                return Err(BadCalibration::Bins);
            }
            let rows = bin.frames.into_iter().map(|row| Row::try_new(bin.inter_eye_px_min, &row));
            let rows = rows.collect::<Result<Vec<_>, _>>()?;
            if rows.windows(2).any(|pair| pair[0].frames >= pair[1].frames) {
                return Err(BadCalibration::Bins);
            }
            bins.push(Bin { from_px: bin.inter_eye_px_min, to_px, rows });
        }
        if bins.is_empty() {
            return Err(BadCalibration::Bins);
        }
        Ok(Self {
            id: raw.id,
            model_digest: raw.model_digest,
            preprocessing: raw.preprocessing,
            date: raw.date,
            source_kind: raw.source_kind.unwrap_or(SourceKind::Shipped),
            bins,
            pairing: None,
        })
    }

    /// The same table for a network that is second to another one, with what is known of the two together.
    #[must_use]
    pub fn as_second(mut self, pairing: Pairing) -> Self {
        self.pairing = Some(pairing);
        self
    }

    /// What is known of this network beside the one it is second to.
    #[must_use]
    pub const fn pairing(&self) -> Option<&Pairing> {
        self.pairing.as_ref()
    }

    /// Name of the calibration.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// SHA-256 of the embedder it was made with.
    #[must_use]
    pub fn model_digest(&self) -> &str {
        &self.model_digest
    }

    /// Preprocessing version it was made with.
    #[must_use]
    pub fn preprocessing(&self) -> &str {
        &self.preprocessing
    }

    /// When it was made, RFC 3339, where the file says so.
    #[must_use]
    pub fn date(&self) -> Option<&str> {
        self.date.as_deref()
    }

    /// Where its scores come from.
    #[must_use]
    pub const fn source_kind(&self) -> SourceKind {
        self.source_kind
    }

    /// The decidable row for faces of `inter_eye_px` fused over `frames`, and where it begins: lower edge of its bin in
    /// pixels, its frame count.
    #[must_use]
    pub fn place(&self, inter_eye_px: f32, frames: u32) -> Option<(f32, u32, &Row)> {
        let bin = self.bins.iter().find(|bin| (bin.from_px..bin.to_px).contains(&inter_eye_px))?;
        self.row(inter_eye_px, frames).map(|row| (bin.from_px, row.frames, row))
    }

    /// Size bins as (lower edge, upper edge) in pixels; the last upper edge is infinite.
    pub fn bins(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.bins.iter().map(|bin| (bin.from_px, bin.to_px))
    }

    /// The row for faces of `inter_eye_px` fused over `frames`; `None` where nothing was measured or what was measured
    /// does not carry a decision.
    #[must_use]
    pub fn row(&self, inter_eye_px: f32, frames: u32) -> Option<&Row> {
        let bin = self.bins.iter().find(|bin| (bin.from_px..bin.to_px).contains(&inter_eye_px))?;
        bin.rows.iter().rev().find(|row| row.frames <= frames).filter(|row| row.decidable)
    }

    /// The row whose evidence was measured for faces of `inter_eye_px` fused over `frames`, whether or not it may identify
    /// anybody by itself: too little to find one in a gallery can be enough to speak about one person. `None` where nothing,
    /// or too little, was measured.
    #[must_use]
    pub fn evidence_row(&self, inter_eye_px: f32, frames: u32) -> Option<&Row> {
        let bin = self.bins.iter().find(|bin| (bin.from_px..bin.to_px).contains(&inter_eye_px))?;
        bin.rows.iter().rev().find(|row| row.frames <= frames).filter(|row| row.measured)
    }

    /// Fewest frames with which faces of `inter_eye_px` can be decided; `None` when none suffice.
    #[must_use]
    pub fn frames_needed(&self, inter_eye_px: f32) -> Option<u32> {
        let bin = self.bins.iter().find(|bin| (bin.from_px..bin.to_px).contains(&inter_eye_px))?;
        bin.rows.iter().find(|row| row.decidable).map(|row| row.frames)
    }

    /// Smallest face, inter-eye pixels, that can be decided with `frames` frames; `None` when no size can.
    #[must_use]
    pub fn decidable_from_px(&self, frames: u32) -> Option<f32> {
        self.bins.iter().map(|bin| bin.from_px).find(|px| self.row(*px, frames).is_some())
    }

    /// Every cell as (lower edge px, frames, decidable), for status and tests.
    pub fn cells(&self) -> impl Iterator<Item = (f32, u32, bool)> + '_ {
        self.bins.iter().flat_map(|bin| bin.rows.iter().map(|row| (bin.from_px, row.frames, row.decidable)))
    }
}

impl Row {
    fn try_new(from_px: f32, raw: &RawRow) -> Result<Self, BadCalibration> {
        let bad = |what| BadCalibration::Row { bin: format!("{from_px}"), n: raw.n, what };
        let line = raw.llr_slope.is_finite() && raw.llr_offset.is_finite() && raw.llr_slope > 0.0;
        let measured = line && raw.genuine_count >= GENUINE_MIN && raw.impostor_identities >= IDENTITIES_MIN;
        let genuine = (raw.genuine_mean, raw.genuine_std);
        let (slope, offset, frames, impostor_deviation) = (raw.llr_slope, raw.llr_offset, raw.n, raw.impostor_std);
        if !raw.decidable {
            let (tail, decidable) = (Vec::new(), false);
            let people = 1;
            return Ok(Self { frames, decidable, measured, slope, offset, people, genuine, impostor_deviation, tail });
        }
        if !line {
            return Err(bad("llr-slope must be positive and both numbers of the line finite"));
        }
        let tail: Vec<_> = raw.tail.iter().map(|point| (point.fmr.log10(), point.cosine)).collect();
        if tail.len() < 2 {
            return Err(bad("the impostor tail needs at least two points"));
        }
        if tail.iter().any(|(rate, cosine)| !rate.is_finite() || *rate > 0.0 || !(-1.0..=1.5).contains(cosine)) {
            return Err(bad("a tail point has a rate outside 0..=1 or an impossible cosine"));
        }
        if tail.windows(2).any(|pair| pair[1].0 >= pair[0].0 || pair[1].1 <= pair[0].1) {
            return Err(bad("the tail must have falling rates and rising cosines"));
        }
        let people = raw.impostor_identities.max(1);
        // A row that may identify somebody may speak about somebody.
        let (decidable, measured) = (true, true);
        Ok(Self { frames, decidable, measured, slope, offset, people, genuine, impostor_deviation, tail })
    }

    /// Different people behind the impostor probes.
    #[must_use]
    pub const fn people(&self) -> u32 {
        self.people
    }

    /// The points of the impostor tail as (false match rate, cosine), rates falling.
    pub fn knots(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.tail.iter().map(|(rate, cosine)| (10_f64.powf(*rate), *cosine))
    }

    /// Mean and standard deviation of the genuine cosines, as measured.
    #[must_use]
    pub const fn genuine(&self) -> (f64, f64) {
        self.genuine
    }

    /// Standard deviation of the impostor cosines, as measured.
    #[must_use]
    pub const fn impostor_deviation(&self) -> f64 {
        self.impostor_deviation
    }

    /// Natural-log likelihood ratio of a cosine.
    #[must_use]
    pub fn llr(&self, cosine: f32) -> f64 {
        self.slope * f64::from(cosine) + self.offset
    }

    /// The cosine whose log likelihood ratio is `llr`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a cosine fits f32")]
    pub fn cosine_at_llr(&self, llr: f64) -> f32 {
        ((llr - self.offset) / self.slope) as f32
    }

    /// How much likelihood ratio a difference of cosines is.
    #[must_use]
    pub fn llr_gap(&self, cosine: f32, runner_up: f32) -> f64 {
        self.slope * (f64::from(cosine) - f64::from(runner_up))
    }

    /// The log likelihood ratio that 95 of 100 genuine comparisons are expected to reach, taking their cosines for normally
    /// distributed with the measured mean and deviation.
    #[must_use]
    pub fn reach(&self) -> f64 {
        // The normal distribution's 5 % quantile.
        const Z: f64 = -1.645;
        let (mean, deviation) = self.genuine;
        self.slope * (mean + Z * deviation) + self.offset
    }

    /// The share of genuine comparisons expected at or above `cosine`, 0..=1, taking them for normally distributed with
    /// the measured mean and deviation: an estimate for advice, no part of any decision.
    #[must_use]
    pub fn genuine_share(&self, cosine: f32) -> f64 {
        let (mean, deviation) = self.genuine;
        let z = (f64::from(cosine) - mean) / deviation.max(1e-6);
        upper_normal(z).clamp(0.0, 1.0)
    }

    /// The cosine that at most a share `fmr` of impostor comparisons reaches. Between tail points the logarithm of the
    /// rate is interpolated; beyond the last one the last two points are continued, which for a tail that falls at
    /// least exponentially (a Gaussian does) errs to the safe side. A row that is not decidable has none: infinite.
    #[must_use]
    pub fn threshold(&self, fmr: f64) -> f32 {
        let wanted = fmr.clamp(1e-12, 1.0).log10();
        let Some(last) = self.tail.len().checked_sub(1) else { return f32::INFINITY };
        let upper = self.tail.iter().position(|(rate, _)| *rate <= wanted).unwrap_or(last).clamp(1, last);
        let ((rate_a, cos_a), (rate_b, cos_b)) = (self.tail[upper - 1], self.tail[upper]);
        let cosine = cos_a + (wanted - rate_a) * (cos_b - cos_a) / (rate_b - rate_a);
        #[expect(clippy::cast_possible_truncation, reason = "a cosine fits f32")]
        let cosine = cosine as f32;
        cosine
    }
}

/// Share of a standard normal distribution above `z`. Source: Abramowitz and Stegun, "Handbook of Mathematical
/// Functions", 26.2.17; absolute error below 7.5e-8.
pub(crate) fn upper_normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let sum = series.into_iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum;
    if z >= 0.0 { tail } else { 1.0 - tail }
}

/// The false match rate each comparison may have so that a search among `people` stays at `fpir`.
/// `1 - (1 - fpir)^(1/people)`, computed without cancellation.
#[must_use]
pub fn fmr_for_fpir(fpir: f64, people: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "galleries are far below 2^52 people")]
    let people = people.max(1) as f64;
    -((-fpir).ln_1p() / people).exp_m1()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table for the tests of this crate: one bin from 4 px up, impostors N(0, 0.1), genuine around 0.5.
    pub(crate) fn plain() -> Calibration {
        Calibration::try_new(plain_raw()).expect("a valid table")
    }

    /// The same as written.
    pub(crate) fn plain_raw() -> RawCalibration {
        let tail = [(1e-1, 0.128), (1e-2, 0.233), (1e-3, 0.309), (1e-4, 0.372), (1e-5, 0.426)];
        let row = |n| RawRow {
            n,
            decidable: true,
            reason: String::new(),
            genuine_count: 500,
            genuine_mean: 0.5,
            genuine_std: 0.1,
            impostor_count: 100_000,
            impostor_identities: 500,
            impostor_mean: 0.0,
            impostor_std: 0.1,
            site_count: None,
            llr_slope: 50.0,
            llr_offset: -12.5,
            tail: tail.iter().map(|&(fmr, cosine)| RawTail::counted(fmr, cosine)).collect(),
        };
        let tiny = RawRow { decidable: false, reason: "no separation".into(), ..row(1) };
        RawCalibration {
            format: 1,
            id: "test".into(),
            model_digest: "feed".into(),
            preprocessing: "1".into(),
            source: String::new(),
            date: None,
            source_kind: None,
            prior_id: None,
            bin: vec![
                RawBin { inter_eye_px_min: 2.0, inter_eye_px_max: Some(4.0), frames: vec![tiny] },
                RawBin { inter_eye_px_min: 4.0, inter_eye_px_max: None, frames: vec![row(2), row(6)] },
            ],
        }
    }

    #[test]
    fn an_unmeasured_size_or_count_is_not_decidable() {
        let table = plain();
        assert!(table.row(1.0, 5).is_none() && table.row(3.0, 5).is_none(), "below support");
        assert!(table.row(8.0, 1).is_none(), "fewer frames than any row");
        assert!(table.row(8.0, 2).is_some() && table.row(500.0, 99).is_some());
    }

    #[test]
    fn threshold_rises_as_the_allowed_rate_falls_and_hits_the_measured_points() {
        let table = plain();
        let row = table.row(10.0, 3).expect("a row");
        assert!((row.threshold(1e-3) - 0.309).abs() < 1e-6);
        let steps: Vec<f32> = [0.5, 1e-1, 3e-2, 1e-4, 1e-5, 1e-7].iter().map(|f| row.threshold(*f)).collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    }

    #[test]
    fn what_is_missing_is_said_in_frames_and_pixels() {
        let table = plain();
        assert_eq!((table.frames_needed(8.0), table.frames_needed(3.0)), (Some(2), None));
        assert_eq!((table.decidable_from_px(2), table.decidable_from_px(1)), (Some(4.0), None));
    }

    #[test]
    fn a_measured_row_speaks_about_one_person_although_it_identifies_nobody() {
        let mut raw = plain_raw();
        raw.bin[1].frames[0].decidable = false;
        let table = Calibration::try_new(raw.clone()).expect("a valid table");
        assert!(table.row(20.0, 3).is_none());
        let row = table.evidence_row(20.0, 3).expect("measured");
        assert!((row.llr(0.35) - 5.0).abs() < 1e-4 && (row.reach() - 4.275).abs() < 1e-3);
        assert!(row.threshold(1e-3).is_infinite(), "nobody is identified by it");
        raw.bin[1].frames[0].impostor_identities = 10;
        let table = Calibration::try_new(raw.clone()).expect("a valid table");
        assert!(table.evidence_row(20.0, 3).is_none(), "too few people to speak of");
        raw.bin[1].frames[0].llr_slope = 0.0;
        assert!(Calibration::try_new(raw).expect("a valid table").evidence_row(20.0, 3).is_none(), "no line at all");
    }

    #[test]
    fn the_share_of_genuine_comparisons_above_a_cosine_is_that_of_the_normal_distribution() {
        let table = plain();
        let row = table.row(10.0, 3).expect("a row");
        // Genuine N(0.5, 0.1): textbook values of the upper tail.
        for (cosine, share) in [(0.5, 0.5), (0.6, 0.158_655), (0.7, 0.022_750), (0.3, 0.977_250)] {
            assert!((row.genuine_share(cosine) - share).abs() < 1e-5, "{cosine}: {}", row.genuine_share(cosine));
        }
    }

    #[test]
    fn more_people_allow_each_comparison_less() {
        assert!((fmr_for_fpir(0.01, 1) - 0.01).abs() < 1e-12);
        let hundred = fmr_for_fpir(0.01, 100);
        assert!((1.0 - (1.0 - hundred).powi(100) - 0.01).abs() < 1e-9 && hundred < 1.01e-4);
        assert!(fmr_for_fpir(1e-9, 1_000_000) > 0.0);
    }

    #[test]
    fn a_tail_that_does_not_fall_is_refused() {
        let mut raw = RawRow {
            n: 1,
            decidable: true,
            reason: String::new(),
            genuine_count: 1,
            genuine_mean: 0.0,
            genuine_std: 0.0,
            impostor_count: 1,
            impostor_identities: 1,
            impostor_mean: 0.0,
            impostor_std: 0.0,
            site_count: None,
            llr_slope: 1.0,
            llr_offset: 0.0,
            tail: vec![RawTail::counted(1e-1, 0.3), RawTail::counted(1e-2, 0.2)],
        };
        assert!(Row::try_new(4.0, &raw).is_err());
        raw.tail[1].cosine = f64::NAN;
        assert!(Row::try_new(4.0, &raw).is_err());
        raw.tail[1].cosine = 0.4;
        assert!(Row::try_new(4.0, &raw).is_ok());
        raw.llr_slope = -1.0;
        assert!(Row::try_new(4.0, &raw).is_err());
    }
}
