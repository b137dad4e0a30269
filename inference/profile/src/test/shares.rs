//! The test of all cells of a feature together. It finds many small changes, or values that spread.
//!
//! Cells are bins that were fixed before the compared rows were counted. So only rows of the reference that were not used to
//! choose the bins are compared ([`Samples::unchosen`]). Given how many values each cell has in both samples together, the cells are
//! split in the middle repeatedly. At each split the number of window values on the left is hypergeometric, given all splits above
//! it. The two-sided p-values p₁ … pₖ are each at least as large as a uniform variable, given the ones before, so
//!
//! ```text
//! P(−Σ log pᵢ ≥ x) ≤ P(Gamma(k) ≥ x)
//! ```
//!
//! (Fisher, Statistical Methods for Research Workers, 1932). The positions of the splits depend only on both samples together.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    groups::{Cell, cells, coarse, dense, present, total},
    variation,
};
use crate::{
    bins::FeatureBins,
    sides::Sides,
    stats::{hypergeometric::Split, special::log_gamma_upper},
};

/// Categories that are compared individually. The rarer ones form one group.
const MOST_CATEGORIES: usize = 32;
/// Groups of adjacent bins. With more groups a spread would be lost in noise.
const QUARTERS: usize = 4;

/// The test of all cells together.
#[derive(Clone, Copy, Debug)]
pub struct Shares;

// === impl Shares ===

impl DriftTest for Shares {
    fn name(&self) -> &'static str {
        "shares"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Values
    }

    fn weight(&self, bins: &FeatureBins) -> f64 {
        if bins.is_ordered() { 1.0 } else { 2.0 }
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(
            samples.unchosen.unwrap_or(samples.reference),
            samples.window,
            |side| present(&side.values),
        )
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        let unchosen = samples.unchosen?;
        let groups = if samples.bins.is_ordered() {
            let (before, now) = (
                within_range(&unchosen.values),
                within_range(&samples.window.values),
            );
            coarse(cells(&before, &now), true, QUARTERS)
        } else {
            let known = |side: &[u64]| -> Vec<u64> {
                let (unseen, known): (Vec<_>, Vec<_>) = side
                    .iter()
                    .enumerate()
                    .partition(|(slot, _)| samples.is_unseen(*slot));
                let unseen = unseen
                    .into_iter()
                    .fold(0, |sum: u64, (_, rows)| sum.saturating_add(*rows));
                known.into_iter().map(|(_, rows)| *rows).chain([unseen]).collect()
            };
            let cells = cells(&known(&unchosen.values), &known(&samples.window.values));
            let all = total(&cells);
            if all.reference == 0 || all.window == 0 {
                return None;
            }
            dense(coarse(cells, false, MOST_CATEGORIES), false)
        };
        let all = total(&groups);
        if all.reference == 0 || all.window == 0 || groups.len() < 2 {
            return None;
        }
        let (sum, splits) = split(&groups);
        Some(log_gamma_upper(splits, -sum))
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        variation::size(samples, confidence)
    }
}

/// The slots, with those outside of the range added to their neighbours: the range is given by the minimum and maximum of all
/// rows of the reference, so it was not fixed before they were counted.
fn within_range(slots: &[u64]) -> Vec<u64> {
    let mut slots = slots.to_vec();
    if slots.len() > 3 {
        let last = slots.len() - 1;
        slots[1] = slots[1].saturating_add(slots[0]);
        slots[last - 1] = slots[last - 1].saturating_add(slots[last]);
        (slots[0], slots[last]) = (0, 0);
    }
    slots
}

/// Σ log p of the splits of these groups, and the number of splits.
fn split(groups: &[Cell]) -> (f64, u32) {
    if groups.len() < 2 {
        return (0.0, 0);
    }
    let all = total(groups);
    // The split that is closest to the middle of the pooled counts.
    let at = (1..groups.len())
        .min_by_key(|at| {
            let left: u128 = groups[..*at].iter().map(|cell| cell.pooled()).sum();
            (2 * left).abs_diff(all.pooled())
        })
        .unwrap_or(1);
    let (left, right) = groups.split_at(at);
    let hits = total(left);
    let own = Split::new(hits.reference, all.reference, hits.window, all.window).log_two_sided();
    let ((a, many), (b, more)) = (split(left), split(right));
    (own + a + b, many + more + 1)
}
