//! The importance of the features, the greatest first.

use super::svg::{Anchor, Svg, columns};
use crate::fit::{
    importance::{FeatureImportance, Importance},
    metrics::four_places,
};

/// Features that are shown, at most.
pub(in super::super) const SHOWN: usize = 20;

/// Characters of a name that are shown, at most, and the width of one.
const NAME: (usize, f64) = (34, 7.2);

const WIDTH: f64 = 800.0;

/// The room for the numbers.
const NUMBERS: f64 = 120.0;

const TOP: f64 = 8.0;
const LINE: f64 = 24.0;

pub(in super::super) fn importance(importance: &Importance) -> String {
    let mut ranked: Vec<&FeatureImportance> = importance.features.iter().collect();
    // Stable: of equal ones the first of the schema is first.
    ranked.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    ranked.truncate(SHOWN);
    let end = |of: &&FeatureImportance| of.mean + of.standard_deviation;
    let start = |of: &&FeatureImportance| of.mean - of.standard_deviation;
    let high = ranked.iter().map(end).fold(0.01, f64::max);
    let low = ranked.iter().map(start).fold(0.0, f64::min);
    let longest = ranked.iter().map(|of| columns(&of.name).clamp(8, NAME.0)).max();
    let left = 16.0 + NAME.1 * longest.unwrap_or(NAME.0) as f64;
    let side = WIDTH - NUMBERS - left;
    let place = |value: f64| left + side * (value - low) / (high - low);
    let most = ranked.first().map_or(String::new(), |of| {
        format!(" The most important one is {}, {:.4}.", of.name, of.mean)
    });
    let description = format!(
        "The mean decrease of the area under the ROC curve when the values of a feature are shuffled, for {} features.{most}",
        ranked.len()
    );
    let bottom = TOP + LINE * ranked.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 26.0, "Importance of the features", &description);
    svg.line((place(0.0), TOP), (place(0.0), bottom), "axis");
    for (at, of) in ranked.iter().enumerate() {
        let y = TOP + LINE * (at as f64 + 0.5);
        svg.label((left - 10.0, y + 4.0), Anchor::End, NAME.0, &of.name);
        let (from, to) = (place(of.mean.min(0.0)), place(of.mean.max(0.0)));
        svg.rect((from, y - 7.0), (to - from, 14.0), "fill f0", 0.6);
        svg.line((place(start(of)), y), (place(end(of)), y), "whisker");
        let text = format!("{} ± {:.4}", four_places(of.mean), of.standard_deviation);
        svg.text((WIDTH, y + 4.0), Anchor::End, &text);
    }
    svg.text(
        (left + side / 2.0, bottom + 18.0),
        Anchor::Middle,
        "decrease of the area under the ROC curve",
    );
    svg.finish("importance")
}
