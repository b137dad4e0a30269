//! The confusion matrix: rows by true and predicted class.

use super::svg::{Anchor, Svg};
use crate::fit::metrics::Confusion;

const LEFT: f64 = 92.0;
const TOP: f64 = 44.0;
const CELL: (f64, f64) = (140.0, 90.0);

pub(in super::super) fn confusion(counts: Confusion) -> String {
    let Confusion {
        true_positives,
        false_positives,
        true_negatives,
        false_negatives,
    } = counts;
    let description = format!(
        "Of class 0, {true_negatives} rows are predicted as 0 and {false_positives} as 1; of class 1, {false_negatives} as 0 and \
         {true_positives} as 1."
    );
    let mut svg = Svg::new(
        LEFT + 2.0 * CELL.0 + 8.0,
        TOP + 2.0 * CELL.1 + 8.0,
        "Confusion matrix",
        &description,
    );
    let rows = [
        [(true_negatives, true), (false_positives, false)],
        [(false_negatives, false), (true_positives, true)],
    ];
    for (down, row) in rows.iter().enumerate() {
        let y = TOP + CELL.1 * down as f64;
        let of_class: u64 = row.iter().map(|(count, _)| count).sum();
        svg.text(
            (LEFT - 10.0, y + CELL.1 / 2.0 - 3.0),
            Anchor::End,
            &format!("class {down}"),
        );
        svg.styled_text(
            (LEFT - 10.0, y + CELL.1 / 2.0 + 13.0),
            Anchor::End,
            "small",
            &format!("{of_class} rows"),
        );
        for (across, (count, is_right)) in row.iter().enumerate() {
            let x = LEFT + CELL.0 * across as f64;
            let share = *count as f64 / of_class.max(1) as f64;
            let class = if *is_right { "fill f0" } else { "fill f1" };
            svg.rect(
                (x + 1.0, y + 1.0),
                (CELL.0 - 2.0, CELL.1 - 2.0),
                class,
                0.06 + 0.34 * share,
            );
            let middle = x + CELL.0 / 2.0;
            svg.styled_text(
                (middle, y + CELL.1 / 2.0 + 2.0),
                Anchor::Middle,
                "big",
                &count.to_string(),
            );
            svg.text(
                (middle, y + CELL.1 / 2.0 + 22.0),
                Anchor::Middle,
                &format!("{:.1}% of class {down}", 100.0 * share),
            );
        }
    }
    svg.text(
        (LEFT + CELL.0 / 2.0, TOP - 10.0),
        Anchor::Middle,
        "predicted as 0",
    );
    svg.text(
        (LEFT + CELL.0 * 1.5, TOP - 10.0),
        Anchor::Middle,
        "predicted as 1",
    );
    svg.finish("confusion")
}
