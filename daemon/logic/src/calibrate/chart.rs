//! Control charts: rejections by people, and candidates a day.

/// Cumulative sum of a stream of yes and no (Page, Biometrika 41, 1954), for the share of alerts that people reject.
///
/// `S = max(0, S + llr)` with the log likelihood ratio of "three times as many as borne" against "as many as borne"; it
/// signals at `S >= ln 5000`. By Lorden (Ann. Math. Stat. 42, 1971) the mean number of votes to a false signal is then at
/// least 5000: more than a year at a dozen votes a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cusum {
    sum: f64,
}

const SIGNAL_AT: f64 = 8.517; // ln 5000

impl Cusum {
    /// Takes one vote; true when it signals. `borne` is the share of rejections that is in order.
    pub fn take(&mut self, rejected: bool, borne: f64) -> bool {
        let borne = borne.clamp(0.001, 0.9);
        let worse = (3.0 * borne).min(0.5 * (1.0 + borne));
        let step = if rejected { (worse / borne).ln() } else { ((1.0 - worse) / (1.0 - borne)).ln() };
        self.sum = (self.sum + step).max(0.0);
        self.sum >= SIGNAL_AT
    }
}

/// One day of one box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayCount {
    /// Tracks of strangers, and candidates, together.
    pub tracks: u64,
    /// Candidates.
    pub candidates: u64,
}

/// Days that make the baseline.
const BASELINE_DAYS: usize = 14;
/// A day with fewer tracks says nothing.
const TRACKS_MIN: u64 = 50;

/// Whether the last day had far more candidates than the fourteen before it: a p' chart, which takes the spread from day to
/// day into account (Laney, Quality Engineering 14(4), 2002). Signals above four sigma and twice the usual share. Genuine
/// candidates come and go with the day, which is why the days themselves, not a formula, say how much is usual.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn candidate_flood(days: &[DayCount]) -> Option<(f64, f64)> {
    let days: Vec<&DayCount> = days.iter().filter(|day| day.tracks >= TRACKS_MIN).collect();
    let (last, before) = days.split_last()?;
    let before = &before[before.len().checked_sub(BASELINE_DAYS)?..];
    let tracks: u64 = before.iter().map(|day| day.tracks).sum();
    let candidates: u64 = before.iter().map(|day| day.candidates).sum();
    // Half a candidate more, so that fourteen days without one do not make the first one a signal.
    let usual = (candidates as f64 + 0.5) / (tracks as f64 + 1.0);
    let share = |day: &DayCount| day.candidates as f64 / day.tracks as f64;
    let sigma = |day: &DayCount| (usual * (1.0 - usual) / day.tracks as f64).sqrt();
    let scores: Vec<f64> = before.iter().map(|day| (share(day) - usual) / sigma(day)).collect();
    // 1.128: mean range of two normal values.
    let range = scores.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>() / (scores.len() - 1) as f64;
    let spread = (range / 1.128).max(1.0);
    let now = share(last);
    (last.candidates >= 5 && now > 2.0 * usual && now > usual + 4.0 * spread * sigma(last)).then_some((now, usual))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Random;
    use super::*;

    /// Votes until the chart signals.
    fn votes_to_signal(random: &mut Random, share: f64, most: usize) -> Option<usize> {
        let mut chart = Cusum::default();
        (0..most).find(|_| chart.take(random.next() < share, 0.2))
    }

    #[test]
    fn as_many_rejections_as_borne_signal_less_than_once_in_five_thousand_votes() {
        let mut random = Random(11);
        let signals = (0..60).filter(|_| votes_to_signal(&mut random, 0.2, 5000).is_some()).count();
        assert!(signals < 40, "{signals} of 60 runs of 5000 votes signalled");
        let signals = (0..60).filter(|_| votes_to_signal(&mut random, 0.2, 200).is_some()).count();
        assert!(signals <= 3, "{signals} of 60 runs of 200 votes signalled");
    }

    #[test]
    fn three_times_as_many_signal_within_fifty_votes() {
        let mut random = Random(12);
        let delays: Vec<_> = (0..60).map(|_| votes_to_signal(&mut random, 0.6, 1000).expect("signals")).collect();
        assert!(delays.iter().sum::<usize>() / 60 < 50, "{delays:?}");
    }

    fn days(random: &mut Random, count: usize, share: f64, wander: f64) -> Vec<DayCount> {
        let day = |_| {
            let share = (share * (1.0 + wander * (2.0 * random.next() - 1.0))).clamp(0.0, 1.0);
            let candidates = (0..400).filter(|_| random.next() < share).count() as u64;
            DayCount { tracks: 400, candidates }
        };
        (0..count).map(day).collect()
    }

    #[test]
    fn days_that_differ_as_days_do_are_usual_and_a_flood_is_not() {
        let mut random = Random(13);
        let quiet = days(&mut random, 1500, 0.08, 0.5);
        let signals = (15..quiet.len()).filter(|end| candidate_flood(&quiet[..*end]).is_some()).count();
        assert!(signals <= 3, "{signals} of 1485 usual days signalled");
        let mut flooded = days(&mut random, 15, 0.02, 0.3);
        flooded.push(DayCount { tracks: 400, candidates: 80 });
        assert!(candidate_flood(&flooded).is_some());
        assert_eq!(candidate_flood(&flooded[..10]), None, "too few days to know what is usual");
    }
}
