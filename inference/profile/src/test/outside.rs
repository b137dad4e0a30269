//! The test of values outside of the training data: below its minimum, above its maximum, and unseen categories.
//!
//! **Ends.** The minimum and the maximum of the reference are the ends of the range. If N + n values have the same distribution,
//! the largest k are all in the window with probability (n)ₖ/(N + n)ₖ. This is the hypergeometric tail of k values of the window
//! and none of the reference. Ties can only reduce the number of values outside. Each end has half of the level.
//!
//! **Unseen categories.** The categories are chosen by one half of the rows. If nothing changes, other categories are equally
//! frequent in the other half and in the window, for any distribution.

use modelward_wire::DriftAspect;

use super::{
    contract::{DriftTest, Samples, Size},
    groups::present,
    rates::{Rate, compare_rates},
};
use crate::{bins::FeatureBins, counts::FeatureCount, sides::Sides, stats::hypergeometric::Split};

/// The test of values outside.
#[derive(Clone, Copy, Debug)]
pub struct Outside;

// === impl Outside ===

impl DriftTest for Outside {
    fn name(&self) -> &'static str {
        "outside"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::Outside
    }

    fn weight(&self, _bins: &FeatureBins) -> f64 {
        1.0
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(side(samples), samples.window, |counts| outside(samples, counts))
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        let reference = side(samples);
        let (many, few) = (present(&reference.values), present(&samples.window.values));
        if many == 0 || few == 0 {
            return None;
        }
        let tail = |before: u64, now: u64| {
            Split::new(before.into(), many.into(), now.into(), few.into()).log_upper_tail()
        };
        if samples.bins.is_ordered() {
            let ends = samples.bins.outside();
            let log_p = ends.map(|slot| tail(reference.values[slot], samples.window.values[slot]));
            return Some((log_p.fold(0.0, f64::min) + std::f64::consts::LN_2).min(0.0));
        }
        samples.unchosen?;
        Some(tail(
            outside(samples, reference),
            outside(samples, samples.window),
        ))
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        let reference = side(samples);
        let rate = |side: &FeatureCount, more: u64| Rate {
            hits: outside(samples, side).saturating_add(more),
            of: present(&side.values).saturating_add(more),
        };
        // The ranges below the minimum and above the maximum of N values are two of N + 1 spacings.
        let spacings = if samples.bins.is_ordered() && !samples.bins_are_fixed() {
            2
        } else {
            0
        };
        let (before, now) = (rate(reference, spacings), rate(samples.window, 0));
        let size = compare_rates(before, now, confidence)?;
        // Fewer values outside than before are not drift.
        let is_more =
            u128::from(now.hits) * u128::from(before.of) > u128::from(before.hits) * u128::from(now.of);
        Some(if is_more {
            size
        } else {
            Size { lower: 0.0, ..size }
        })
    }
}

/// The rows of the reference that estimate how often values are outside.
fn side<'a>(samples: &Samples<'a>) -> &'a FeatureCount {
    if samples.bins.is_ordered() {
        samples.reference
    } else {
        samples.unchosen.unwrap_or(samples.reference)
    }
}

fn outside(samples: &Samples<'_>, side: &FeatureCount) -> u64 {
    let slots = 0..side.values.len();
    let is_outside = |slot: &usize| {
        if samples.bins.is_ordered() {
            samples.bins.outside().any(|end| end == *slot)
        } else {
            samples.is_unseen(*slot)
        }
    };
    slots
        .filter(is_outside)
        .map(|slot| side.values[slot])
        .fold(0, u64::saturating_add)
}
