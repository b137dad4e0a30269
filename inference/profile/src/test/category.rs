//! The test of single categories: one that is more or less frequent than it was.
//!
//! Given how often each word is in both samples together, how many of a word's rows are in the window is hypergeometric where
//! both are samples of one law. Word v of cᵥ among T values is tested at level × cᵥ/T. Over all words, those that
//! training never saw among them, that adds up to the level; words that are not tested use up nothing. So no word is chosen:
//! the weights depend on both samples together alone, and there may be any number of words.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    groups::present,
    variation,
};
use crate::{bins::FeatureBins, sides::Sides, stats::hypergeometric::Split};

/// Standard deviations from the mean below which no tail can reach a level: it is not computed.
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
        // Words that training never saw are in one slot together: none of them can be tested by itself.
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
