//! Plots of rates as SVG: a small bar with its interval, and miss rates over a logarithmic false rate.

use super::chart::Axis;
use super::escaped;
use super::words::Said;
use std::fmt::Write as _;

/// Colours that stay apart for people with colour blindness and in grey (Okabe and Ito, 2008), dark ones first.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"];

/// Colour of the `nth` series.
#[must_use]
pub const fn colour(nth: usize) -> &'static str {
    COLOURS[nth % COLOURS.len()]
}

/// A bar from zero to `value` with its interval `(low, high)`, on a scale of 0..=1, small enough for a cell of a table.
#[must_use]
pub fn bar(value: f64, (low, high): (f64, f64), said: &str) -> String {
    let x = |share: f64| 2.0 + 116.0 * share.clamp(0.0, 1.0);
    format!(
        "<svg class=\"bar\" viewBox=\"0 0 120 14\" role=\"img\" aria-label=\"{}\">\
         <rect x=\"2\" y=\"3\" width=\"116\" height=\"8\" fill=\"#e8ebef\"/>\
         <rect x=\"2\" y=\"3\" width=\"{:.1}\" height=\"8\" fill=\"{}\"/>\
         <path d=\"M{:.1} 7H{:.1}M{:.1} 4v6M{:.1} 4v6\" stroke=\"#111\" fill=\"none\"/></svg>",
        escaped(said),
        x(value) - 2.0,
        colour(0),
        x(low),
        x(high),
        x(low),
        x(high),
    )
}

/// One line of a plot: its name and its points (x, y), both 0..=1.
pub struct Series {
    /// Shown in the legend.
    pub name: Said,
    /// In order.
    pub points: Vec<(f64, f64)>,
}

/// What the axes of a plot say, and how far they reach.
pub struct Axes {
    /// Below the plot.
    pub x: Said,
    /// Left of it.
    pub y: Said,
    /// Smallest rate on the x axis: a power of ten, 1e-6..=1e-1.
    pub x_min: f64,
    /// Largest share on the y axis, 0.1..=1.
    pub y_max: f64,
    /// What it shows, for those who cannot see it.
    pub said: Said,
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;

/// Curves of a miss rate (linear) over a false rate (logarithmic). Points left of the axis are left out, so a
/// curve ends where its sample does.
#[must_use]
pub fn curves(series: &[Series], axes: &Axes) -> String {
    let across = Axis { range: (axes.x_min, 1.0), log: true, ticks: Vec::new(), label: String::new() };
    let x = |rate: f64| LEFT + (WIDTH - LEFT - RIGHT) * across.place(rate);
    let y = |share: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (share / axes.y_max).min(1.0));
    let mut out =
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escaped(&axes.said.en));
    let mut rate = 1.0;
    while rate >= axes.x_min * 0.99 {
        let label = if rate > 0.5 { "1".into() } else { format!("1/{:.0}", 1.0 / rate) };
        let at = x(rate);
        let _infallible = writeln!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{:.1}\"/><text x=\"{at:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{label}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 16.0,
        );
        rate /= 10.0;
    }
    for step in 0..=5_u8 {
        let share = f64::from(step) / 5.0 * axes.y_max;
        let at = y(share);
        let _infallible = writeln!(
            out,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{:.0} %</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            100.0 * share,
        );
    }
    for (nth, one) in series.iter().enumerate() {
        let mut path = String::new();
        let mut before: Option<f64> = None;
        for (rate, share) in one.points.iter().filter(|(rate, _)| *rate >= axes.x_min) {
            // Between two points the higher miss rate holds: a staircase, as the sample is one.
            let command = if before.is_some() { "L" } else { "M" };
            let step = before.map_or(String::new(), |share| format!("L{:.1} {:.1}", x(*rate), y(share)));
            let _infallible = write!(path, "{step}{command}{:.1} {:.1}", x(*rate), y(*share));
            before = Some(*share);
        }
        let _infallible = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2.2\"{}/>",
            colour(nth),
            if nth % 2 == 1 { " stroke-dasharray=\"7 3\"" } else { "" },
        );
    }
    let _infallible = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
         <text transform=\"translate(12 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n</svg>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0,
        axes.x.svg(),
        (TOP + HEIGHT - BOTTOM) / 2.0,
        axes.y.svg(),
    );
    out.push_str("<ul class=\"legend\">");
    for (nth, one) in series.iter().enumerate() {
        let dash = if nth % 2 == 1 { "dashed" } else { "solid" };
        let _infallible =
            write!(out, "<li><i style=\"border-top:3px {dash} {}\"></i>{}</li>", colour(nth), one.name.html());
    }
    out.push_str("</ul>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_its_axis_does_and_names_are_text() {
        let series = [Series { name: Said::same("a <b>"), points: vec![(1.0, 0.0), (0.01, 0.5), (1e-9, 1.0)] }];
        let axes = Axes { x: Said::same("x"), y: Said::same("y"), x_min: 1e-3, y_max: 1.0, said: Said::same("curve") };
        let svg = curves(&series, &axes);
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("1/1000") && !svg.contains("NaN"));
        assert_eq!(svg.matches("stroke-width").count(), 1);
        let path = svg.split("<path d=\"").find(|part| part.contains("stroke-width")).expect("the curve");
        assert_eq!(path.matches('L').count(), 2, "one step and one line to the second point: {path}");
    }
}
