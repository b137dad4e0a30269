//! The two-sample test of Kolmogorov and Smirnov on the bins of an ordered feature.
//!
//! The largest difference of the distribution functions at the edges of bins is at most the largest difference at any threshold,
//! and the distribution of the latter does not depend on that of the values ([`kolmogorov`]). So it does not matter that the cuts
//! are quantiles of the reference, or that the bins end at its minimum and maximum.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    groups::present,
    variation,
};
use crate::{bins::FeatureBins, sides::Sides, stats::kolmogorov};

/// The test of ordered values.
#[derive(Clone, Copy, Debug)]
pub struct Distribution;

// === impl Distribution ===

impl DriftTest for Distribution {
    fn name(&self) -> &'static str {
        "kolmogorov-smirnov"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Values
    }

    fn weight(&self, bins: &FeatureBins) -> f64 {
        if bins.is_ordered() { 4.0 } else { 0.0 }
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| present(&side.values))
    }

    fn log_p(&self, samples: &Samples<'_>, log_level: f64) -> Option<f64> {
        log_p(&samples.reference.values, &samples.window.values, log_level)
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        variation::size(samples, confidence)
    }
}

/// log p of two arrays of counts over the same ordered slots. `None` if one of them is empty.
pub(super) fn log_p(reference: &[u64], window: &[u64], log_level: f64) -> Option<f64> {
    let (many, few) = (present(reference), present(window));
    if many == 0 || few == 0 {
        return None;
    }
    let (mut before, mut now, mut distance) = (0_u128, 0_u128, 0_u128);
    for (reference, window) in reference.iter().zip(window) {
        before += u128::from(*reference);
        now += u128::from(*window);
        let (left, right) = (
            before.saturating_mul(u128::from(few)),
            now.saturating_mul(u128::from(many)),
        );
        distance = distance.max(left.abs_diff(right));
    }
    Some(kolmogorov::log_tail(many, few, distance, log_level))
}
