//! Precision against recall of every candidate.

use super::{
    colour,
    plot::{Plot, thin},
    stroke,
};
use crate::fit::bundle::card::scored::Scored;

pub(in super::super) fn precision_recall(candidates: &[Scored], selected: usize) -> String {
    let area = |of: &Scored| of.ranking.average_precision(&of.labels, |_| 1);
    let winner = &candidates[selected];
    let base = winner.positives() as f64 / (winner.labels.len() as f64).max(1.0);
    let counts = winner.confusion;
    let called = counts.true_positives + counts.false_positives;
    let description = format!(
        "Precision against recall. The average precision of {} is {:.3}; the share of class 1 among all rows is {base:.3}.",
        winner.family,
        area(winner),
    );
    let mut plot = Plot::new(
        "Precision and recall",
        &description,
        ("recall", "precision"),
        candidates.len() + 1,
        0.0,
    );
    plot.curve(&[(0.0, base), (1.0, base)], "guess");
    let others = (0..candidates.len()).filter(|at| *at != selected);
    for at in others.chain([selected]) {
        let along = |from: (f64, f64), to: (f64, f64)| to.0 - from.0 + (to.1 - from.1).abs() / 10.0;
        let points = thin(&candidates[at].precision_recall(), along);
        plot.curve(&points, &stroke(at, selected));
    }
    if called > 0 {
        let recall = counts.true_positives as f64 / winner.positives().max(1) as f64;
        let precision = counts.true_positives as f64 / called as f64;
        plot.ring((recall, precision), &colour(selected, selected));
    }
    for (at, candidate) in candidates.iter().enumerate() {
        let text = format!("{}: average precision {:.3}", candidate.family, area(candidate));
        plot.explain(&stroke(at, selected), &text);
    }
    plot.explain(
        "guess",
        &format!("share of class 1, {base:.3}; the ring is the threshold"),
    );
    plot.finish("pr")
}
