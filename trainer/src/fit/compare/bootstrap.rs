//! The lower bound of a difference.

use modelward_crds::MetricName;

use crate::fit::{compare::tally::Tally, folds::SplitMix64, resample::Units};

/// Draws of the bootstrap.
pub const RESAMPLES: usize = 2_000;

/// The index of the 5th percentile of this many draws.
const LOWER: usize = RESAMPLES / 20 - 1;

/// The lower bound of challenger minus champion on these rows, which are drawn as these units; higher is better.
pub(super) fn lower_bound(
    tallies: &[Tally; 2],
    labels: &[bool],
    units: &mut Units,
    metric: MetricName,
    seed: u64,
) -> f64 {
    let [champion, challenger] = tallies;
    let mut random = SplitMix64::new(seed);
    let mut times = vec![0_u64; labels.len()];
    let mut differences: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            units.draw(&mut random, &mut times);
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
