//! The test of single categories: whether one is more or less frequent than before.
//!
//! If both samples have the same distribution, the number of a category's rows in the window is hypergeometric, given how
//! often each category is in both samples together. Category v with cᵥ of T values is tested at level × cᵥ/T. Over all
//! categories, including those that are not in the training data, this adds up to the level. Categories that are not tested
//! use none of it. The weights depend only on both samples together, so there may be any number of categories.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    groups::present,
    variation,
};
use crate::{bins::FeatureBins, sides::Sides, stats::hypergeometric::Split};

/// The tail is not computed below this many standard deviations from the mean, because it cannot reach a level.
const WORTH_A_TAIL: f64 = 2.0;

/// The test of single categories.
#[derive(Clone, Copy, Debug)]
pub struct Category;

// === impl Category ===

impl DriftTest for Category {
    fn name(&self) -> &'static str {
        "category"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Values
    }

    fn weight(&self, bins: &FeatureBins) -> f64 {
        if bins.is_ordered() { 0.0 } else { 2.0 }
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| present(&side.values))
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        let (reference, window) = (&samples.reference.values, &samples.window.values);
        let (many, few) = (u128::from(present(reference)), u128::from(present(window)));
        if many == 0 || few == 0 {
            return None;
        }
        let all = (many + few) as f64;
        let last = reference.len() - 1;
        // Categories that are not in the training data share one slot, so none of them can be tested alone.
        let words = reference.iter().zip(window).take(last);
        let log_p = words.map(|(before, now)| {
            let (before, now) = (u128::from(*before), u128::from(*now));
            let pooled = (before + now) as f64;
            let split = Split::new(before, many, now, few);
            if split.deviations().abs() >= WORTH_A_TAIL {
                split.log_two_sided() - libm::log(pooled / all)
            } else {
                0.0
            }
        });
        Some(log_p.fold(0.0, f64::min))
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        variation::size(samples, confidence)
    }
}
