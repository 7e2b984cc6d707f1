//! Charts as inline SVG: bars and bands (lines are in `curves`), and numbers as people write them. They scale with the page, print as they look, and need no script.
//!
//! Every chart is 480 units wide, so that on a phone its 12.5-unit letters are still about ten pixels high.

use super::escaped;
use std::fmt::Write as _;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 26.0;

/// What a bar or band says by its colour; the meaning also stands in words beside the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Tone {
    /// Good.
    Good,
    /// So-so.
    Fair,
    /// Bad.
    Poor,
    /// Neither.
    #[default]
    Plain,
}

impl Tone {
    /// Its class in the style sheet.
    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
            Self::Plain => "plain",
        }
    }
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Under it; as many are drawn as there is room for.
    pub label: String,
    /// Its height, 0 or more.
    pub value: f64,
    /// Its colour.
    pub tone: Tone,
}

/// A dashed upright line with a word at its top.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where: bars from the left (2.5 is the middle of the third one).
    pub at: f64,
    /// The word.
    pub label: String,
}

/// A vertical range with a tick in it, such as tenth, fiftieth and ninetieth of a hundred values.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Under it.
    pub label: String,
    /// Lower end, tick, upper end; `None` leaves the place empty.
    pub range: Option<(f64, f64, f64)>,
}

/// How an axis runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Smallest and largest value.
    pub range: (f64, f64),
    /// Logarithmic; the range is above zero then.
    pub log: bool,
    /// Values that are written at it.
    pub ticks: Vec<f64>,
    /// What it counts, for people.
    pub label: String,
}

impl Axis {
    /// A linear axis from 0 with round ticks that reach `most`.
    #[must_use]
    pub fn from_zero(most: f64, label: &str) -> Self {
        let step = round_step(most.max(1e-9) / 4.0);
        let end = (most.max(1e-9) / step).ceil().max(1.0);
        let ticks = (0..=20_u8).map(f64::from).take_while(|n| *n <= end).map(|n| n * step).collect();
        Self { range: (0.0, end * step), log: false, ticks, label: label.to_owned() }
    }

    /// Where `value` lies, 0 to 1 and clamped to that; 0 for what is not finite.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        let part = if self.log {
            (value.max(f64::MIN_POSITIVE) / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// 1, 2 or 5 times a power of ten, at least `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * power).find(|step| *step >= raw * 0.999).unwrap_or(10.0 * power)
}

/// A number as short as it can be said: `0.05`, `12`, `1500`.
#[must_use]
pub fn short(value: f64) -> String {
    let text = if value.abs() >= 10.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if value.abs() >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.4}")
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number with as many digits as it is worth: three significant ones, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size < 1e-9 {
        return "0".into();
    }
    let decimals = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        s if s >= 0.1 => 2,
        s if s >= 0.01 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let rest = rest.map(|rest| rest.trim_end_matches('0')).filter(|rest| !rest.is_empty());
    rest.map_or_else(|| format!("{sign}{grouped}"), |rest| format!("{sign}{grouped}.{rest}"))
}

/// Bars side by side. `unit` goes to the top of the upright axis; `marks` are drawn over them.
#[must_use]
pub fn bars(name: &str, unit: &str, bars: &[Bar], marks: &[Mark]) -> String {
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let mut axis = Axis::from_zero(if most > 0.0 { most } else { 1.0 }, unit);
    if bars.iter().all(|bar| bar.value.fract().abs() < 1e-9) {
        // Counts have no halves.
        axis.ticks.retain(|tick| tick.fract().abs() < 1e-9);
    }
    let mut out = begin(name, HEIGHT);
    upright(&mut out, &axis);
    let slot = (WIDTH - LEFT - RIGHT) / as_f64(bars.len().max(1));
    for (at, bar) in bars.iter().enumerate() {
        let height = (HEIGHT - TOP - BOTTOM) * axis.place(bar.value);
        let x = LEFT + slot * as_f64(at) + slot * 0.1;
        let _written = write!(
            out,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}: {}</title></rect>",
            bar.tone.class(),
            HEIGHT - BOTTOM - height,
            slot * 0.8,
            escaped(&bar.label),
            short(bar.value),
        );
    }
    labels(&mut out, slot, bars.iter().map(|bar| bar.label.as_str()));
    let mut free_from = 0.0;
    for mark in marks.iter().filter(|mark| (0.0..=as_f64(bars.len())).contains(&mark.at)) {
        let x = LEFT + slot * mark.at;
        draw_mark(&mut out, x, &mark.label, &mut free_from);
    }
    out.push_str("</svg>");
    out
}

/// Ranges side by side on one axis.
#[must_use]
pub fn bands(name: &str, axis: &Axis, bands: &[Band]) -> String {
    let mut out = begin(name, HEIGHT);
    upright(&mut out, axis);
    let slot = (WIDTH - LEFT - RIGHT) / as_f64(bands.len().max(1));
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axis.place(value);
    for (at, band) in bands.iter().enumerate() {
        let Some((low, tick, high)) = band.range else { continue };
        let (x, width) = (LEFT + slot * as_f64(at) + slot * 0.2, slot * 0.6);
        let _written = write!(
            out,
            "<rect class=\"pale\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\"><title>{}: {} - {} - {}</title></rect>\
             <rect class=\"plain\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"3\"/>",
            y(high),
            (y(low) - y(high)).max(1.0),
            escaped(&band.label),
            short(low),
            short(tick),
            short(high),
            y(tick) - 1.5,
        );
    }
    labels(&mut out, slot, bands.iter().map(|band| band.label.as_str()));
    out.push_str("</svg>");
    out
}

fn begin(name: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{}\">", escaped(name))
}

fn upright(out: &mut String, axis: &Axis) {
    for tick in &axis.ticks {
        let y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axis.place(*tick);
        let _written = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            short(*tick),
        );
    }
    let _written = write!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/><text x=\"0\" y=\"10\">{}</text>",
        WIDTH - RIGHT,
        HEIGHT - BOTTOM,
        HEIGHT - BOTTOM,
        escaped(&axis.label),
    );
}

/// Labels under the slots, as many as stand apart.
fn labels<'a>(out: &mut String, slot: f64, labels: impl Iterator<Item = &'a str> + Clone) {
    let longest = labels.clone().map(|label| label.chars().count()).max().unwrap_or(1);
    let (wanted, mut every) = (as_f64(longest) * 7.5 + 6.0, 1);
    while slot * as_f64(every) < wanted && every < 1000 {
        every += 1;
    }
    for (at, label) in labels.enumerate().filter(|(at, _)| at % every == 0) {
        let _written = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            LEFT + slot * (as_f64(at) + 0.5),
            HEIGHT - BOTTOM + 16.0,
            escaped(label),
        );
    }
}

/// A mark; its word goes a line lower when it would run into the one before.
fn draw_mark(out: &mut String, x: f64, label: &str, free_from: &mut f64) {
    let width = as_f64(label.chars().count()) * 6.8 + 8.0;
    let fits_right = x + width < WIDTH;
    let left = if fits_right { x + 4.0 } else { x - width };
    let y = if left < *free_from { TOP + 26.0 } else { TOP + 11.0 };
    *free_from = left + width;
    let _written = write!(
        out,
        "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/><text class=\"word\" x=\"{left:.1}\" y=\"{y:.1}\">{}</text>",
        HEIGHT - BOTTOM,
        escaped(label),
    );
}

/// Counts here are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "counts in charts are small")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_ticks_that_reach_the_top() {
        for most in [0.3, 1.0, 7.0, 11.0, 99.0, 1234.0] {
            let axis = Axis::from_zero(most, "");
            assert!(axis.range.1 >= most && axis.range.1 <= most * 2.5, "{most}: {axis:?}");
            assert!((2..=7).contains(&axis.ticks.len()), "{most}: {axis:?}");
        }
        assert_eq!([0.05, 12.0, 1500.0, 2.5, 0.0].map(short), ["0.05", "12", "1500", "2.5", "0"]);
    }

    #[test]
    fn numbers_have_the_digits_they_are_worth() {
        for (value, text) in [
            (0.0, "0"),
            (0.00123, "0.0012"),
            (0.5, "0.5"),
            (1.8, "1.8"),
            (12.34, "12.3"),
            (1_234.5, "1,234"),
            (-1_234_567.0, "-1,234,567"),
            (999_999.9, "1,000,000"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_logarithmic_axis_spaces_decades_evenly_and_survives_zero() {
        let axis = Axis { range: (1e-4, 1.0), log: true, ticks: vec![], label: String::new() };
        assert!((axis.place(1e-2) - 0.5).abs() < 1e-9);
        assert!(axis.place(0.0).abs() < 1e-9 && axis.place(f64::NAN).is_finite());
    }

    #[test]
    fn the_tallest_bar_is_as_high_as_its_value_says_and_names_are_escaped() {
        let two = [("a<b", 10.0), ("c", 5.0)];
        let two = two.map(|(label, value)| Bar { label: label.into(), value, tone: Tone::Good });
        let svg = bars("sizes", "tracks", &two, &[Mark { at: 1.0, label: "250 px/m".into() }]);
        let heights: Vec<f64> = svg
            .split("<rect")
            .skip(1)
            .map(|rect| rect.split(" height=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a height"))
            .map(|height| height.parse().expect("a number"))
            .collect();
        assert!((heights[0] - 2.0 * heights[1]).abs() < 0.2, "{heights:?}");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
        let none = bars("none", "", &[], &[]);
        assert!(none.starts_with("<svg") && none.ends_with("</svg>") && !none.contains("NaN"));
    }
}
