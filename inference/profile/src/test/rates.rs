//! Two proportions, such as two missing rates.

use modelward_wire::DriftAspect;

use super::contract::{DriftTest, Estimate, Samples};
use crate::{
    counts::FeatureCount,
    rule::Rule,
    sides::Sides,
    stats::special::{normal_quantile, normal_upper},
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

/// Above this variance of the hypergeometric law its sum would take long, and the normal law is as good.
const EXACT_VARIANCE: f64 = 1e6;

// === impl MissingRate ===

impl DriftTest for MissingRate {
    fn name(&self) -> &'static str {
        "missing-rate"
    }

    fn aspect(&self) -> DriftAspect {
        DriftAspect::MissingRate
    }

    fn counts(&self, samples: &Samples<'_>) -> Sides {
        Sides::of(samples.reference, samples.window, |side| side.missing)
    }

    fn compare(&self, samples: &Samples<'_>, rule: &Rule) -> Option<Estimate> {
        let rate = |side: &FeatureCount| Rate {
            hits: side.missing,
            of: side.seen().unwrap_or(u64::MAX),
        };
        compare_rates(
            rate(samples.reference),
            rate(samples.window),
            rule.confidence.get(),
        )
    }
}

/// Compares two rates. `None` where one of them is of nothing.
///
/// The interval is Newcombe's hybrid score interval (method 10 of Statistics in Medicine 17, 1998, 873-890): with
/// d = p₁ − p₀ and Wilson's limits (lᵢ, uᵢ) of each rate,
///
/// ```text
/// d − √((p₁ − l₁)² + (u₀ − p₀)²)  ≤  p₁ − p₀  ≤  d + √((u₁ − p₁)² + (p₀ − l₀)²)
/// ```
///
/// with z = Φ⁻¹(1 − (1 − `confidence`)/2) on either side, because the sign is not known beforehand: the lower bound of
/// |p₁ − p₀|, 0 where the interval holds 0, is then right with probability `confidence` whatever the sign.
///
/// The p-value is the central form of Fisher's exact test (twice the smaller tail of the hypergeometric law, at most
/// 1; Fay, Biostatistics 11, 2010, 373-374), which never promises more than it holds, however small the counts. Where
/// the law's variance is over a million its tails are those of the normal law, with continuity correction.
pub fn compare_rates(reference: Rate, window: Rate, confidence: f64) -> Option<Estimate> {
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
    Some(Estimate {
        estimate: d.abs(),
        lower: lower.min(1.0),
        upper: upper.min(1.0),
        p_value: fisher(reference, window),
    })
}

/// The rate and Wilson's limits of it (JASA 22, 1927, 209-212).
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

/// The p-value of Fisher's exact test: twice the smaller tail of the number of hits in the window, given all hits and both sizes.
pub(super) fn fisher(reference: Rate, window: Rate) -> f64 {
    let (small, large) = (window.of as f64, reference.of as f64);
    let (seen, hits) = (window.hits as f64, reference.hits as f64 + window.hits as f64);
    let all = small + large;
    let mean = small * (hits / all);
    let variance = mean * (large / all) * ((all - hits) / (all - 1.0).max(1.0));
    if variance > EXACT_VARIANCE {
        let z = ((seen - mean).abs() - 0.5).max(0.0) / libm::sqrt(variance);
        return (2.0 * normal_upper(z)).min(1.0);
    }
    let least = (hits - large).max(0.0);
    let most = hits.min(small);
    let mode = libm::floor((small + 1.0) * ((hits + 1.0) / (all + 2.0))).clamp(least, most);
    // Weights relative to the mode's, from there outwards: no factorials, no cancellation. A weight that underflows
    // is 38 standard deviations away.
    let (mut total, mut below, mut above) = (0.0, 0.0, 0.0);
    let mut add = |k: f64, weight: f64| {
        total += weight;
        if k <= seen {
            below += weight;
        }
        if k >= seen {
            above += weight;
        }
    };
    let (mut k, mut weight) = (mode, 1.0);
    while k <= most && weight > 0.0 {
        add(k, weight);
        weight *= (small - k) * (hits - k) / ((k + 1.0) * (large - hits + k + 1.0));
        k += 1.0;
    }
    (k, weight) = (mode, 1.0);
    while k > least && weight > 0.0 {
        weight *= k * (large - hits + k) / ((small - k + 1.0) * (hits - k + 1.0));
        k -= 1.0;
        add(k, weight);
    }
    (2.0 * f64::min(below, above) / total).min(1.0)
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
        assert_eq!((change.estimate, change.lower, change.p_value), (0.0, 0.0, 1.0));
        let all = compare_rates(rate(303, 303), rate(147, 147), 0.95).unwrap();
        assert_eq!((all.estimate, all.lower, all.p_value), (0.0, 0.0, 1.0));
        assert_eq!(compare_rates(rate(0, 0), rate(1, 2), 0.95), None);
    }

    #[test]
    fn the_exact_and_the_normal_tails_meet() {
        // The variance of the law is just under a million in the first and just over it in the second.
        let exact = compare_rates(rate(3_990_000, 7_990_000), rate(4_004_000, 8_000_000), 0.95).unwrap();
        let normal = compare_rates(rate(4_000_000, 8_020_000), rate(4_004_000, 8_000_000), 0.95).unwrap();
        assert!(exact.p_value > 1e-6 && exact.p_value < 1.0);
        let again = |r: f64, of: f64| {
            let (hits, all) = (r + 4_004_000.0, of + 8_000_000.0);
            let mean = 8_000_000.0 * hits / all;
            let variance = mean * (of / all) * ((all - hits) / (all - 1.0));
            2.0 * normal_upper(((4_004_000.0 - mean).abs() - 0.5) / libm::sqrt(variance))
        };
        assert!((exact.p_value / again(3_990_000.0, 7_990_000.0) - 1.0).abs() < 1e-3);
        assert!((normal.p_value / again(4_000_000.0, 8_020_000.0) - 1.0).abs() < 1e-12);
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
            prop_assert!((0.0..=1.0).contains(&one.p_value));
            let other = compare_rates(window, reference, 0.95).unwrap();
            prop_assert!((one.p_value - other.p_value).abs() < 1e-10);
            prop_assert!((one.lower - other.lower).abs() < 1e-12);
            let missing = |rate: Rate| Rate { hits: rate.of - rate.hits, of: rate.of };
            let complement = compare_rates(missing(reference), missing(window), 0.95).unwrap();
            prop_assert!((one.p_value - complement.p_value).abs() < 1e-10);
        }
    }
}
