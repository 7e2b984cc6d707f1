//! What an operator says about a site. `deploy/site-example.toml` explains every key and holds the defaults.

use serde::{Deserialize, Serialize};

/// The inputs. Money is in `currency`; shares are 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Site {
    /// Name of the site, for the report.
    pub name: String,
    /// Sign or code of the currency, for the report.
    pub currency: String,
    /// People who pass one camera in a day, each counted once a pass.
    pub people_per_day_and_camera: f64,
    /// Cameras.
    pub cameras: f64,
    /// Share of these people who are enrolled.
    pub enrolled_share: f64,
    /// Minutes one look at an alert takes.
    pub minutes_per_review: f64,
    /// Share of right alerts that somebody looks at: 0 for an entry log, 1 for a watch list. Wrong ones are always
    /// looked at.
    pub reviewed_share: f64,
    /// Price of an hour of whoever looks.
    pub wage_per_hour: f64,
    /// How often in a year somebody passes whom one must not miss.
    pub events_per_year: f64,
    /// What one missed event costs.
    pub missed_event_price: f64,
    /// Price of one new camera, mounted.
    pub camera_price: f64,
    /// Years a camera lives.
    pub camera_years: f64,
    /// Share of enrolled people's appearances that new cameras would find.
    pub found_share_with_new_cameras: f64,
    /// Price of the box.
    pub box_price: f64,
    /// Years it lives.
    pub box_years: f64,
    /// Watts it draws.
    pub box_watts: f64,
    /// Price of a kilowatt hour.
    pub price_per_kwh: f64,
    /// Hours of care a year.
    pub care_hours_per_year: f64,
}

impl Default for Site {
    /// A small office building in Japan; see `deploy/site-example.toml` for where each number comes from.
    fn default() -> Self {
        Self {
            name: "example site".into(),
            currency: "JPY".into(),
            people_per_day_and_camera: 300.0,
            cameras: 4.0,
            enrolled_share: 0.1,
            minutes_per_review: 0.5,
            reviewed_share: 0.1,
            wage_per_hour: 1800.0,
            events_per_year: 12.0,
            missed_event_price: 50_000.0,
            camera_price: 120_000.0,
            camera_years: 7.0,
            found_share_with_new_cameras: 0.9,
            box_price: 120_000.0,
            box_years: 5.0,
            box_watts: 15.0,
            price_per_kwh: 31.0,
            care_hours_per_year: 12.0,
        }
    }
}

/// What kind of number an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 0 and more.
    Amount,
    /// More than 0: something is divided by it.
    Divisor,
    /// 0..=1.
    Share,
}

/// One input: its key, and how to read and change it.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// As in the file.
    pub key: &'static str,
    kind: Kind,
    /// Reads it.
    pub get: fn(&Site) -> f64,
    at: fn(&mut Site) -> &mut f64,
}

/// Why the inputs are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{key} = {value} cannot be: {wanted}")]
pub struct BadSite {
    key: &'static str,
    value: f64,
    wanted: &'static str,
}

macro_rules! inputs {
    ($($key:literal $field:ident $kind:ident),+ $(,)?) => {
        &[$(Input { key: $key, kind: Kind::$kind, get: |site| site.$field, at: |site| &mut site.$field }),+]
    };
}

impl Site {
    /// Every number, in the order of the file.
    pub const INPUTS: &'static [Input] = inputs![
        "people-per-day-and-camera" people_per_day_and_camera Amount,
        "cameras" cameras Amount,
        "enrolled-share" enrolled_share Share,
        "minutes-per-review" minutes_per_review Amount,
        "reviewed-share" reviewed_share Share,
        "wage-per-hour" wage_per_hour Amount,
        "events-per-year" events_per_year Amount,
        "missed-event-price" missed_event_price Amount,
        "camera-price" camera_price Amount,
        "camera-years" camera_years Divisor,
        "found-share-with-new-cameras" found_share_with_new_cameras Share,
        "box-price" box_price Amount,
        "box-years" box_years Divisor,
        "box-watts" box_watts Amount,
        "price-per-kwh" price_per_kwh Amount,
        "care-hours-per-year" care_hours_per_year Amount,
    ];

    /// Checks every number.
    ///
    /// # Errors
    /// [`BadSite`], naming the first key that cannot be.
    pub fn checked(self) -> Result<Self, BadSite> {
        for input in Self::INPUTS {
            let value = (input.get)(&self);
            // Written so that NaN is refused.
            let (good, wanted) = match input.kind {
                Kind::Amount => ((0.0..=1e12).contains(&value), "it must be a number from 0 up"),
                Kind::Divisor => ((0.01..=1e12).contains(&value), "it must be 0.01 or more"),
                Kind::Share => ((0.0..=1.0).contains(&value), "it is a share from 0 to 1"),
            };
            if !good {
                return Err(BadSite { key: input.key, value, wanted });
            }
        }
        Ok(self)
    }

    /// The same site with one input multiplied; a share stops at one.
    #[must_use]
    pub fn scaled(&self, input: &Input, factor: f64) -> Self {
        let mut site = self.clone();
        let value = (input.at)(&mut site);
        *value *= factor;
        if input.kind == Kind::Share {
            *value = value.min(1.0);
        }
        site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_numbers_are_refused_by_key() {
        let said = |site: Site| site.checked().map(|_| ()).expect_err("refused").to_string();
        assert!(said(Site { enrolled_share: 1.2, ..Site::default() }).contains("enrolled-share"));
        assert!(said(Site { box_years: 0.0, ..Site::default() }).contains("box-years"));
        assert!(said(Site { cameras: f64::NAN, ..Site::default() }).contains("cameras"));
        assert!(Site::default().checked().is_ok());
    }

    #[test]
    fn every_number_is_an_input_and_each_is_its_own() {
        for (at, input) in Site::INPUTS.iter().enumerate() {
            let moved = Site::default().scaled(input, 0.5);
            for (other, unmoved) in Site::INPUTS.iter().enumerate() {
                let (now, before) = ((unmoved.get)(&moved), (unmoved.get)(&Site::default()));
                assert_eq!((now - before).abs() > 1e-12, at == other, "{} moved {}", input.key, unmoved.key);
            }
        }
    }
}
