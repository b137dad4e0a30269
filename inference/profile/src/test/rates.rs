//! Two proportions, such as two missing rates.

use modelward_wire::DriftAspect;

use super::contract::{DriftTest, Samples, Size};
use crate::{
    bins::FeatureBins,
    counts::FeatureCount,
    sides::Sides,
    stats::{hypergeometric::Split, special::normal_quantile},
};

/// The test of how often a feature is missing.
#[derive(Clone, Copy, Debug)]
pub struct MissingRate;

/// `hits` of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Rows that have the property; at most `of`.
    pub hits: u64,
    /// All rows.
    pub of: u64,
}

// === impl MissingRate ===

impl DriftTest for MissingRate {
    fn name(&self) -> &'static str {
        "missing-rate"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::MissingRate
    }

    fn weight(&self, _bins: &FeatureBins) -> f64 {
        1.0
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| side.missing)
    }

    fn log_p(&self, samples: &Samples<'_>, _log_level: f64) -> Option<f64> {
        let [before, now] = [samples.reference, samples.window].map(missing);
        (before.of > 0 && now.of > 0).then(|| split(before, now).log_two_sided())
    }

    fn size(&self, samples: &Samples<'_>, confidence: f64) -> Option<Size> {
        let [before, now] = [samples.reference, samples.window].map(missing);
        compare_rates(before, now, confidence)
    }
}

fn missing(side: &FeatureCount) -> Rate {
    Rate {
        hits: side.missing,
        of: side.seen().unwrap_or(u64::MAX),
    }
}

/// log p of "the window's rate is not higher", by Fisher's exact test.
pub fn log_p_of_rise(reference: Rate, window: Rate) -> f64 {
    split(reference, window).log_upper_tail()
}

fn split(reference: Rate, window: Rate) -> Split {
    Split::new(
        reference.hits.into(),
        reference.of.into(),
        window.hits.into(),
        window.of.into(),
    )
}

/// Compares two rates. `None` if one of them has no rows.
///
/// The interval is Newcombe's hybrid score interval (method 10 of Statistics in Medicine 17, 1998, 873-890): with
/// d = p₁ − p₀ and Wilson's limits (lᵢ, uᵢ) of each rate,
///
/// ```text
/// d − √((p₁ − l₁)² + (u₀ − p₀)²)  ≤  p₁ − p₀  ≤  d + √((u₁ − p₁)² + (p₀ − l₀)²)
/// ```
///
/// with z = Φ⁻¹(1 − (1 − `confidence`)/2) on both sides, because the sign is not known beforehand. The lower bound of
/// |p₁ − p₀|, which is 0 if the interval contains 0, then holds with probability `confidence` for either sign.
pub fn compare_rates(reference: Rate, window: Rate, confidence: f64) -> Option<Size> {
    if reference.of == 0 || window.of == 0 {
        return None;
    }
    let z = normal_quantile(f64::midpoint(1.0, confidence));
    let (p0, low0, high0) = wilson(reference, z);
    let (p1, low1, high1) = wilson(window, z);
    let d = p1 - p0;
    let from = d - libm::sqrt((p1 - low1) * (p1 - low1) + (high0 - p0) * (high0 - p0));
    let to = d + libm::sqrt((high1 - p1) * (high1 - p1) + (p0 - low0) * (p0 - low0));
    let (lower, upper) = if from > 0.0 {
        (from, to)
    } else if to < 0.0 {
        (-to, -from)
    } else {
        (0.0, to.max(-from))
    };
    Some(Size {
        estimate: d.abs(),
        lower: lower.min(1.0),
        upper: upper.min(1.0),
    })
}

/// The rate and its Wilson limits (JASA 22, 1927, 209-212).
fn wilson(rate: Rate, z: f64) -> (f64, f64, f64) {
    let n = rate.of as f64;
    let p = rate.hits.min(rate.of) as f64 / n;
    let z2 = z * z;
    let centre = p + z2 / (2.0 * n);
    let half = z * libm::sqrt(p * (1.0 - p) / n + z2 / (4.0 * n * n));
    let scale = 1.0 + z2 / n;
    (
        p,
        ((centre - half) / scale).max(0.0),
        ((centre + half) / scale).min(1.0),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(hits: u64, of: u64) -> Rate {
        Rate { hits, of }
    }

    #[test]
    fn nothing_missing_on_either_side_is_no_change() {
        let change = compare_rates(rate(0, 303), rate(0, 147), 0.95).unwrap();
        assert_eq!((change.estimate, change.lower), (0.0, 0.0));
        let all = compare_rates(rate(303, 303), rate(147, 147), 0.95).unwrap();
        assert_eq!((all.estimate, all.lower), (0.0, 0.0));
        assert_eq!(compare_rates(rate(0, 0), rate(1, 2), 0.95), None);
    }

    proptest! {
        #[test]
        fn the_sign_and_the_side_do_not_matter_and_bounds_are_in_order(
            (n0, n1) in (1..500_u64, 1..500_u64), (a, b) in (0.0..=1.0, 0.0..=1.0),
        ) {
            let hits = |of: u64, share: f64| rate((of as f64 * share) as u64, of);
            let (reference, window) = (hits(n0, a), hits(n1, b));
            let one = compare_rates(reference, window, 0.95).unwrap();
            prop_assert!(0.0 <= one.lower && one.lower <= one.estimate + 1e-12 && one.estimate <= one.upper + 1e-12 && one.upper <= 1.0);
            let other = compare_rates(window, reference, 0.95).unwrap();
            prop_assert!((one.lower - other.lower).abs() < 1e-12);
            let missing = |rate: Rate| Rate { hits: rate.of - rate.hits, of: rate.of };
            let complement = compare_rates(missing(reference), missing(window), 0.95).unwrap();
            prop_assert!((one.lower - complement.lower).abs() < 1e-12);
        }
    }
}
