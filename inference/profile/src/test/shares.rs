//! The test of all cells of a feature together: many small changes, or values that spread.
//!
//! Cells are bins that were fixed before the rows that are compared were counted: those rows of the reference by which they were
//! not chosen ([`Samples::unchosen`]). Given how many values each cell has in both samples together, they are split at the
//! middle again and again, and at each split the number of window values on the left is hypergeometric, given all splits above it. Its
//! two-sided p-values p₁ … pₖ are each at least as large as a uniform variable, given those before, so
//!
//! ```text
//! P(−Σ log pᵢ ≥ x) ≤ P(Gamma(k) ≥ x)
//! ```
//!
//! (Fisher, Statistical Methods for Research Workers, 1932). Where the splits are depends on both samples together alone.

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

/// Categories that are compared by themselves; the rarer ones are one group.
const MOST_CATEGORIES: usize = 32;
/// Groups of neighbouring bins; more would bury a spread in noise.
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

/// The slots, with those outside of the range added to their neighbours: the range ends at the least and greatest value of all
/// rows of the reference, so it is none that was fixed before.
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

/// Σ log p of the splits of these groups, and how many there are.
fn split(groups: &[Cell]) -> (f64, u32) {
    if groups.len() < 2 {
        return (0.0, 0);
    }
    let all = total(groups);
    // The split that is nearest to the middle of what both have together.
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
