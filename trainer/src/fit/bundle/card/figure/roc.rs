//! The receiver operating characteristic of every candidate.

use super::{
    colour,
    plot::{Plot, thin},
    stroke,
};
use crate::fit::bundle::card::scored::Scored;

pub(in super::super) fn roc(candidates: &[Scored], selected: usize) -> String {
    let area = |of: &Scored| of.ranking.roc_auc(&of.labels, |_| 1);
    let winner = &candidates[selected];
    let counts = winner.confusion;
    let rate = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let answered = (
        rate(counts.false_positives, winner.negatives()),
        rate(counts.true_positives, winner.positives()),
    );
    let description = format!(
        "True positive rate against false positive rate. The area under the curve of {} is {:.3}. At the threshold, {:.3} of class 0 and \
         {:.3} of class 1 are predicted as 1.",
        winner.family,
        area(winner),
        answered.0,
        answered.1,
    );
    let mut plot = Plot::new(
        "Receiver operating characteristic",
        &description,
        ("false positive rate", "true positive rate (recall)"),
        candidates.len() + 1,
        0.0,
    );
    plot.curve(&[(0.0, 0.0), (1.0, 1.0)], "guess");
    let others = (0..candidates.len()).filter(|at| *at != selected);
    for at in others.chain([selected]) {
        let points = thin(&candidates[at].roc(), |from, to| to.0 - from.0 + to.1 - from.1);
        plot.curve(&points, &stroke(at, selected));
    }
    plot.ring(answered, &colour(selected, selected));
    for (at, candidate) in candidates.iter().enumerate() {
        let text = format!("{}: area {:.3}", candidate.family, area(candidate));
        plot.explain(&stroke(at, selected), &text);
    }
    plot.explain("guess", "guessing; the ring is the threshold");
    plot.finish("roc")
}
