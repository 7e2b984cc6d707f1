//! What measured rates mean for one site: a day's candidates and minutes, a year's money. Every formula is here and
//! nowhere else; the report prints the same ones with their numbers.
//!
//! ```text
//! passes             = people-per-day-and-camera * cameras
//! enrolled           = passes * enrolled-share            strangers = passes - enrolled
//! false candidates   = strangers * FPIR                   true candidates = enrolled * TPIR
//! missed             = enrolled * (1 - TPIR)
//! reviews            = strangers * F + enrolled * T * reviewed-share   (F, T: rates of the stage that is reviewed)
//! minutes            = reviews * minutes-per-review
//! year               = box + power + care + minutes / 60 * wage * days + missed events
//! missed events      = events-per-year * (1 - TPIR) * price-of-a-missed-event
//! ```

mod site;

pub use site::{BadSite, Input, Site};

use serde::Serialize;

/// Days of a year.
const DAYS: f64 = 365.0;
/// Hours of a year.
const HOURS: f64 = 8760.0;

/// Rates that were measured, 0..=1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rates {
    /// Share of enrolled people's appearances that become a candidate of that person (TPIR).
    pub found: f64,
    /// Share of strangers' tracks that become a candidate (FPIR).
    pub false_candidate: f64,
    /// Share of enrolled people's appearances that are confirmed by the machine. Equal to `found` where confirming could
    /// not be measured.
    pub found_confirmed: f64,
    /// Share of strangers' tracks that are confirmed by the machine. Equal to `false_candidate` where confirming could not
    /// be measured.
    pub false_confirmed: f64,
}

/// Measured rates with the ends of their intervals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Measured {
    /// As measured.
    pub value: Rates,
    /// Most favourable ends: most found, fewest false.
    pub best: Rates,
    /// Least favourable ends.
    pub worst: Rates,
}

/// A number with its range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ranged {
    /// From the measured rates.
    pub value: f64,
    /// Smallest over the intervals.
    pub low: f64,
    /// Largest over the intervals.
    pub high: f64,
}

/// One day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Day {
    /// People passing all cameras.
    pub passes: f64,
    /// Of these, enrolled.
    pub enrolled: f64,
    /// Of these, strangers.
    pub strangers: f64,
    /// Strangers who become a candidate.
    pub false_candidates: Ranged,
    /// Enrolled people who become a candidate.
    pub true_candidates: Ranged,
    /// Alerts the machine confirms, right and wrong.
    pub confirmed: Ranged,
    /// Of these, wrong.
    pub false_confirmed: Ranged,
    /// Enrolled people who pass and are not recognised.
    pub missed: Ranged,
    /// Alerts somebody looks at.
    pub reviews: Ranged,
    /// Minutes somebody looks.
    pub minutes: Ranged,
}

/// A year's costs of one way to go, in the site's currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Year {
    /// New cameras, shared over their years.
    pub cameras: f64,
    /// The box, shared over its years.
    pub equipment: f64,
    /// Electricity of the box.
    pub power: f64,
    /// Hours of care.
    pub care: f64,
    /// Reviewing.
    pub review: f64,
    /// Events that are missed.
    pub missed_events: f64,
}

impl Year {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.cameras + self.equipment + self.power + self.care + self.review + self.missed_events
    }
}

/// What one input does to the result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sensitivity {
    /// Key of the input.
    pub input: &'static str,
    /// Its value.
    pub value: f64,
    /// Year's total with half of it.
    pub total_at_half: f64,
    /// Year's total with twice of it; shares stop at one.
    pub total_at_double: f64,
    /// Advantage over replacing the cameras with half of it.
    pub advantage_at_half: f64,
    /// Advantage over replacing the cameras with twice of it.
    pub advantage_at_double: f64,
}

/// Everything computed for one site.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Impact {
    /// A day.
    pub day: Day,
    /// Without any system: every event is missed.
    pub nothing: Year,
    /// With the cameras that are there.
    pub today: Year,
    /// Range of its total over the measured intervals.
    pub today_total: Ranged,
    /// With new cameras and the same box.
    pub replacing: Year,
    /// What keeping the cameras saves a year over replacing them; negative when replacing pays.
    pub advantage: Ranged,
    /// Each input halved and doubled.
    pub sensitivity: Vec<Sensitivity>,
}

impl Impact {
    /// Computes it.
    #[must_use]
    pub fn of(site: &Site, measured: &Measured) -> Self {
        let today = year_today(site, &measured.value);
        let replacing = year_replacing(site, &measured.value);
        let over = |figure: &dyn Fn(&Rates) -> f64| ranged(measured, figure);
        let sensitivity = Site::INPUTS
            .iter()
            .map(|input| {
                let figures = |factor: f64| {
                    let moved = site.scaled(input, factor);
                    let today = year_today(&moved, &measured.value).total();
                    (today, year_replacing(&moved, &measured.value).total() - today)
                };
                let (half, double) = (figures(0.5), figures(2.0));
                Sensitivity {
                    input: input.key,
                    value: (input.get)(site),
                    total_at_half: half.0,
                    total_at_double: double.0,
                    advantage_at_half: half.1,
                    advantage_at_double: double.1,
                }
            })
            .collect();
        Self {
            day: day(site, measured),
            nothing: Year { missed_events: site.events_per_year * site.missed_event_price, ..NOTHING },
            today,
            today_total: over(&|rates| year_today(site, rates).total()),
            replacing,
            advantage: over(&|rates| year_replacing(site, rates).total() - year_today(site, rates).total()),
            sensitivity,
        }
    }
}

const NOTHING: Year = Year { cameras: 0.0, equipment: 0.0, power: 0.0, care: 0.0, review: 0.0, missed_events: 0.0 };

/// Over the measured rates and every combination of the ends of their intervals: found and false rates err apart.
fn ranged(measured: &Measured, figure: &dyn Fn(&Rates) -> f64) -> Ranged {
    let (best, worst) = (&measured.best, &measured.worst);
    let mixed = |found: &Rates, falsely: &Rates| Rates {
        found: found.found,
        found_confirmed: found.found_confirmed,
        false_candidate: falsely.false_candidate,
        false_confirmed: falsely.false_confirmed,
    };
    let value = figure(&measured.value);
    let corners = [mixed(best, best), mixed(best, worst), mixed(worst, best), mixed(worst, worst)];
    let all = corners.iter().map(figure).chain([value]);
    let (low, high) = all.fold((value, value), |(low, high), next| (low.min(next), high.max(next)));
    Ranged { value, low, high }
}

fn passes(site: &Site) -> (f64, f64) {
    let passes = site.people_per_day_and_camera * site.cameras;
    (passes * site.enrolled_share, passes * (1.0 - site.enrolled_share))
}

fn reviews(site: &Site, rates: &Rates) -> f64 {
    let (enrolled, strangers) = passes(site);
    strangers * rates.false_confirmed + enrolled * rates.found_confirmed * site.reviewed_share
}

fn day(site: &Site, measured: &Measured) -> Day {
    let (enrolled, strangers) = passes(site);
    let over = |figure: &dyn Fn(&Rates) -> f64| ranged(measured, figure);
    Day {
        passes: enrolled + strangers,
        enrolled,
        strangers,
        false_candidates: over(&|rates| strangers * rates.false_candidate),
        true_candidates: over(&|rates| enrolled * rates.found),
        confirmed: over(&|rates| strangers * rates.false_confirmed + enrolled * rates.found_confirmed),
        false_confirmed: over(&|rates| strangers * rates.false_confirmed),
        missed: over(&|rates| enrolled * (1.0 - rates.found)),
        reviews: over(&|rates| reviews(site, rates)),
        minutes: over(&|rates| reviews(site, rates) * site.minutes_per_review),
    }
}

fn year_today(site: &Site, rates: &Rates) -> Year {
    Year {
        cameras: 0.0,
        equipment: site.box_price / site.box_years,
        power: site.box_watts / 1000.0 * HOURS * site.price_per_kwh,
        care: site.care_hours_per_year * site.wage_per_hour,
        review: reviews(site, rates) * site.minutes_per_review / 60.0 * site.wage_per_hour * DAYS,
        missed_events: site.events_per_year * (1.0 - rates.found) * site.missed_event_price,
    }
}

/// New cameras find `found-share-with-new-cameras`; the box, its care and reviewing are needed all the same.
fn year_replacing(site: &Site, rates: &Rates) -> Year {
    let found = site.found_share_with_new_cameras.max(rates.found);
    let kept = if rates.found > 0.0 { rates.found_confirmed / rates.found } else { 1.0 };
    let rates = Rates { found, found_confirmed: found * kept, ..*rates };
    Year { cameras: site.cameras * site.camera_price / site.camera_years, ..year_today(site, &rates) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        Site {
            people_per_day_and_camera: 500.0,
            cameras: 4.0,
            enrolled_share: 0.1,
            minutes_per_review: 0.5,
            reviewed_share: 1.0,
            wage_per_hour: 20.0,
            events_per_year: 10.0,
            missed_event_price: 1000.0,
            camera_price: 900.0,
            camera_years: 6.0,
            found_share_with_new_cameras: 0.9,
            box_price: 800.0,
            box_years: 5.0,
            box_watts: 10.0,
            price_per_kwh: 0.25,
            care_hours_per_year: 12.0,
            ..Site::default()
        }
    }

    fn rates(found: f64, falsely: f64) -> Rates {
        Rates { found, false_candidate: falsely, found_confirmed: found, false_confirmed: falsely }
    }

    fn near(value: f64, wanted: f64) {
        assert!((value - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{value} instead of {wanted}");
    }

    #[test]
    fn a_site_worked_out_by_hand() {
        let measured = Measured { value: rates(0.6, 0.001), best: rates(0.7, 0.0), worst: rates(0.5, 0.01) };
        let impact = Impact::of(&site(), &measured);
        let day = impact.day;
        near(day.passes, 2000.0);
        near(day.strangers, 1800.0);
        near(day.false_candidates.value, 1.8);
        near(day.false_candidates.high, 18.0);
        near(day.missed.value, 80.0);
        near(day.missed.low, 60.0);
        near(day.reviews.value, 121.8);
        near(day.minutes.value, 60.9);
        near(impact.today.equipment, 160.0);
        near(impact.today.power, 21.9);
        near(impact.today.care, 240.0);
        near(impact.today.review, 60.9 / 60.0 * 20.0 * 365.0);
        near(impact.today.missed_events, 4000.0);
        near(impact.nothing.total(), 10_000.0);
        near(impact.replacing.cameras, 600.0);
        near(impact.replacing.missed_events, 1000.0);
        assert!(impact.advantage.low <= impact.advantage.value && impact.advantage.value <= impact.advantage.high);
    }

    #[test]
    fn doubling_an_input_moves_what_it_should() {
        let measured = Measured { value: rates(0.6, 0.001), best: rates(0.6, 0.001), worst: rates(0.6, 0.001) };
        let impact = Impact::of(&site(), &measured);
        let of = |key: &str| *impact.sensitivity.iter().find(|row| row.input == key).expect("an input");
        let total = impact.today.total();
        near(of("missed-event-price").total_at_double, total + 4000.0);
        near(of("camera-price").total_at_double, total);
        near(of("camera-price").advantage_at_double - impact.advantage.value, 600.0);
        near(of("box-years").total_at_half, total + 160.0);
        assert_eq!(impact.sensitivity.len(), Site::INPUTS.len());
        let shared = of("found-share-with-new-cameras");
        assert!(shared.advantage_at_double.is_finite(), "a share stops at one");
    }
}
