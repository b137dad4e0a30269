//! One metric of every candidate: the mean with one standard error to each side.

use super::{
    colour,
    svg::{Anchor, Svg},
};
use crate::fit::metrics::Estimate;

const LEFT: f64 = 136.0;
const SIDE: f64 = 170.0;
const WIDTH: f64 = 400.0;
const TOP: f64 = 26.0;
const LINE: f64 = 24.0;

/// Distances of the marks of an axis, the greatest first, with their decimal places.
const STEPS: [(f64, usize); 15] = [
    (10.0, 0),
    (5.0, 0),
    (2.0, 0),
    (1.0, 0),
    (0.5, 1),
    (0.2, 1),
    (0.1, 1),
    (0.05, 2),
    (0.02, 2),
    (0.01, 2),
    (0.005, 3),
    (0.002, 3),
    (0.001, 3),
    (0.000_5, 4),
    (0.000_2, 4),
];

/// The figure of one metric; `heading` says whether higher is better.
pub(in super::super) fn estimates(
    key: &str,
    heading: &str,
    candidates: &[(&str, Estimate)],
    selected: usize,
) -> String {
    let ends = |side: f64| {
        candidates
            .iter()
            .map(move |(_, of)| of.mean + side * of.standard_error)
    };
    let low = ends(-1.0).fold(f64::INFINITY, f64::min);
    let high = ends(1.0).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = if high - low < 1e-3 {
        (low - 5e-3, high + 5e-3)
    } else {
        (low, high)
    };
    let place = |value: f64| LEFT + SIDE * (0.04 + 0.92 * (value - low) / (high - low));
    let said: Vec<String> = candidates
        .iter()
        .map(|(family, of)| format!("{family} {:.4} ± {:.4}", of.mean, of.standard_error))
        .collect();
    let bottom = TOP + LINE * candidates.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 26.0, heading, &format!("{}.", said.join("; ")));
    svg.styled_text((0.0, 14.0), Anchor::Start, "strong-text", heading);
    for (value, text) in marks(low, high) {
        svg.line((place(value), TOP), (place(value), bottom), "grid");
        svg.text((place(value), bottom + 16.0), Anchor::Middle, &text);
    }
    svg.line((LEFT, bottom), (LEFT + SIDE, bottom), "axis");
    for (at, (family, of)) in candidates.iter().enumerate() {
        let y = TOP + LINE * (at as f64 + 0.5);
        let class = colour(at, selected);
        let (from, to) = (of.mean - of.standard_error, of.mean + of.standard_error);
        svg.label((LEFT - 8.0, y + 4.0), Anchor::End, 20, family);
        svg.line((place(from), y), (place(to), y), &format!("bar {class}"));
        svg.circle((place(of.mean), y), 4.5, &format!("dot {class}"));
        let text = format!("{:.3} ± {:.3}", of.mean, of.standard_error);
        svg.text((WIDTH, y + 4.0), Anchor::End, &text);
    }
    svg.finish(key)
}

/// Round numbers between two ends, at least two if the ends differ.
fn marks(low: f64, high: f64) -> Vec<(f64, String)> {
    let between = |(step, places): (f64, usize)| {
        let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
        // Marks that are close to each other cover each other's numbers.
        let every = ((last - first) / 4 + 1).max(1);
        (first..=last)
            .filter(|at| at % every == 0)
            .map(|at| at as f64 * step)
            .map(|value| (value, format!("{value:.places$}")))
            .collect::<Vec<_>>()
    };
    let each = STEPS.into_iter().map(between);
    each.into_iter()
        .find(|marks| marks.len() >= 2)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let texts =
            |low, high| -> Vec<String> { marks(low, high).into_iter().map(|(_, text)| text).collect() };
        assert_eq!(texts(0.71, 0.93), ["0.8", "0.9"]);
        assert_eq!(texts(0.8012, 0.8068), ["0.802", "0.804", "0.806"]);
        assert_eq!(texts(-0.3, 0.9), ["0.0", "0.5"]);
    }
}
