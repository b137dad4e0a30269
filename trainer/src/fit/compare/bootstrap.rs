//! The lower bound of a difference.

use modelward_crds::MetricName;

use crate::fit::{compare::tally::Tally, folds::SplitMix64};

/// Draws of the bootstrap.
pub const RESAMPLES: usize = 2_000;

/// The index of the 5th percentile of this many draws.
const LOWER: usize = RESAMPLES / 20 - 1;

/// The lower bound of challenger minus champion; higher is better.
pub(super) fn lower_bound(tallies: &[Tally; 2], labels: &[bool], metric: MetricName, seed: u64) -> f64 {
    let [champion, challenger] = tallies;
    let mut random = SplitMix64::new(seed);
    let mut times = vec![0_u64; labels.len()];
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            times.fill(0);
            for _ in 0..labels.len() {
                times[random.below(labels.len() as u64) as usize] += 1;
            }
            let difference =
                challenger.value(metric, labels, &times) - champion.value(metric, labels, &times);
            if metric.higher_is_better() {
                difference
            } else {
                -difference
            }
        })
        .collect();
    differences.sort_by(f64::total_cmp);
    differences[LOWER]
}
