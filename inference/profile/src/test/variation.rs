//! How far two samples of one binned variable are apart.
//!
//! Both are samples: the reference has N values with observed shares p̂ of true shares p, the window n values with q̂ of
//! q. The effect is the total variation distance of the true shares, TV = ½ Σ |pᵦ − qᵦ|, the largest difference between
//! the probabilities of any event. Its estimate T = ½ Σ |p̂ᵦ − q̂ᵦ| is biased upwards: without drift T is about
//! 0.4·√((B−1)(1/N + 1/n)).
//!
//! **Lower bound.** Let e = (p̂ − q̂) − (p − q). By the triangle inequality T ≤ TV + ½ Σ |eᵦ| always, so with the
//! (1−δ)-quantile Q of W = ½ Σ |eᵦ|
//!
//! ```text
//! lower = T − Q        P(lower ≤ TV) ≥ 1 − δ
//! ```
//!
//! e is a difference of two multinomial means, so nearly normal with covariance
//! Σ = (diag p − ppᵀ)/N + (diag q − qqᵀ)/n. The moments of W are then those of folded normal variables: with
//! σᵦ² = Σᵦᵦ and the correlations ρ,
//!
//! ```text
//! E W   = ½ √(2/π) Σ σᵦ
//! Var W = ¼ · 2/π · Σₐᵦ σₐσᵦ (√(1 − ρ²) + ρ asin ρ − 1)
//! ```
//!
//! (E|XY| of a bivariate normal: Nabeya, Annals of the Institute of Statistical Mathematics 3, 1951). Q is the quantile
//! of the gamma distribution with these two moments and shares estimated by p̂ and q̂. For two bins it is within 1% of the
//! exact quantile. For many bins W is a sum of many small parts and nearly normal. The bound is tight without drift and
//! conservative with drift. `tests/verdict/simulation.rs` measures its coverage.
//!
//! The shares of σᵦ² are the observed or the pooled ones, whichever give the larger value: a bin that is empty in a small
//! sample by chance must not count as free of noise.
//!
//! **Upper bound.** Let A be the event for which p and q differ most. T ≥ p̂(A) − q̂(A), which is normal around TV with
//! a standard deviation of at most ½ √(1/N + 1/n): upper = T + z ½ √(1/N + 1/n), with T over all bins.
//!
//! **Groups.** Bins are joined into as many groups as the rows can fill (see `groups.rs`). Joining can only decrease TV,
//! so a lower bound remains a lower bound.
//!
//! **Three bounds for ordered bins.** Ten bins show changes that five do not, but a shift or a stretch of the whole
//! distribution shows in five with much less noise, and a shift most clearly in one half-line. If ordered bins have more
//! than five groups, the lower bound is therefore the largest of three, each at 1 − δ/3 (Bonferroni): T − Q in all
//! groups; T − Q in five groups of about equal pooled counts; and D − √(ln(2·3/δ)/(2n₀)), where D is the largest
//! difference of the two distribution functions at the edges of the bins (TV is at least the difference of a half-line;
//! Dvoretzky, Kiefer and Wolfowitz with Massart's constant, Annals of Probability 18, 1990).

use std::f64::consts::{FRAC_PI_2, PI};

use super::{
    contract::{Samples, Size},
    groups::{Cell, cells, coarse, most_groups, present, total},
};
use crate::stats::special::{gamma_quantile, normal_quantile};

/// Groups of the second bound for ordered bins.
const FIFTHS: usize = 5;

/// Minimum number of present values on each side, from which the noise is nearly normal.
const FEWEST_VALUES: u64 = 30;

/// How far the present values are apart. `None` if a side has fewer than 30.
///
/// Categories that are not in the training data, and those that were unknown when the categories were chosen, are one cell. Its
/// share in the reference is that among the rows that were not used to choose the categories.
pub(super) fn size(samples: &Samples<'_>, confidence: f64) -> Option<Size> {
    let ordered = samples.bins.is_ordered();
    let (reference, window) = (&samples.reference.values, &samples.window.values);
    let joined;
    let (reference, window) = match samples.unchosen {
        Some(unchosen) if !ordered && !samples.bins_are_fixed() => {
            joined = join_unseen(samples, &unchosen.values);
            (&joined.0, &joined.1)
        }
        _ => (reference, window),
    };
    if present(reference).min(present(window)) < FEWEST_VALUES {
        return None;
    }
    compare_counts(reference, window, ordered, confidence)
}

/// Both sides with all unseen categories in one cell, the last.
fn join_unseen(samples: &Samples<'_>, unchosen: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let slots = 0..unchosen.len();
    let (unseen, known): (Vec<usize>, Vec<usize>) = slots.partition(|slot| samples.is_unseen(*slot));
    let of = |side: &[u64], slots: &[usize]| {
        slots
            .iter()
            .fold(0, |sum: u64, slot| sum.saturating_add(side[*slot]))
    };
    let (reference, window) = (&samples.reference.values, &samples.window.values);
    let all = present(reference) as f64;
    let share = of(unchosen, &unseen) as f64 / present(unchosen).max(1) as f64;
    let left = (1.0 - share) * all / of(reference, &known).max(1) as f64;
    let scaled = |rows: u64| (rows as f64 * left).round() as u64;
    let before = known.iter().map(|slot| scaled(reference[*slot]));
    let now = known.iter().map(|slot| window[*slot]);
    (
        before.chain([(share * all).round() as u64]).collect(),
        now.chain([of(window, &unseen)]).collect(),
    )
}

/// Compares two arrays of counts over the same bins. `None` if one of them is empty.
///
/// The estimate is T over the groups, or the lower bound if that is larger. The lower bound is 0 if T is within its noise.
/// Each bound alone holds with probability `confidence`. Counts above 2⁵³ lose precision.
pub fn compare_counts(reference: &[u64], window: &[u64], ordered: bool, confidence: f64) -> Option<Size> {
    let cells = cells(reference, window);
    let all = total(&cells);
    if all.reference == 0 || all.window == 0 {
        return None;
    }
    let (many, few) = (all.reference as f64, all.window as f64);
    // n₀ and 1/n₀ = 1/N + 1/n.
    let inverse = 1.0 / many + 1.0 / few;
    let shares = |cells: &[Cell]| -> (Vec<f64>, Vec<f64>) {
        cells
            .iter()
            .map(|cell| (cell.reference as f64 / many, cell.window as f64 / few))
            .unzip()
    };
    let distance = |(p, q): &(Vec<f64>, Vec<f64>)| {
        (0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>()).min(1.0)
    };
    let whole = distance(&shares(&cells));
    let groups = coarse(cells.clone(), ordered, most_groups(inverse));
    let bound = |groups: &[Cell], confidence: f64| {
        let shares = shares(groups);
        distance(&shares) - noise_quantile(&shares.0, &shares.1, many, few, confidence)
    };
    let estimate = distance(&shares(&groups));
    let lower = if ordered && groups.len() > FIFTHS {
        let each = 1.0 - (1.0 - confidence) / 3.0;
        let fifths = coarse(cells.clone(), true, FIFTHS);
        bound(&groups, each)
            .max(bound(&fifths, each))
            .max(edge_bound(&cells, inverse, each))
    } else {
        bound(&groups, confidence)
    };
    let spread = 0.5 * libm::sqrt(inverse) * normal_quantile(confidence);
    Some(Size {
        estimate: estimate.max(lower),
        lower: lower.max(0.0),
        upper: (whole + spread).min(1.0),
    })
}

/// The lower bound from half-lines: see above. `inverse` is 1/n₀.
fn edge_bound(cells: &[Cell], inverse: f64, confidence: f64) -> f64 {
    let all = total(cells);
    let (mut largest, mut before) = (
        0.0,
        Cell {
            reference: 0,
            window: 0,
        },
    );
    for cell in cells {
        before = before.and(*cell);
        let difference =
            before.reference as f64 / all.reference as f64 - before.window as f64 / all.window as f64;
        largest = f64::max(largest, difference.abs());
    }
    largest - libm::sqrt(0.5 * inverse * libm::log(2.0 / (1.0 - confidence)))
}

/// Q: see above.
fn noise_quantile(p: &[f64], q: &[f64], many: f64, few: f64, confidence: f64) -> f64 {
    let covariance = |a: usize, b: usize| {
        let own = |p: &[f64]| if a == b { p[a] * (1.0 - p[a]) } else { -p[a] * p[b] };
        own(p) / many + own(q) / few
    };
    let seen: Vec<f64> = (0..p.len())
        .map(|b| libm::sqrt(covariance(b, b).max(0.0)))
        .collect();
    let sigma: Vec<f64> = (0..p.len())
        .map(|b| {
            let pooled = (p[b] * many + q[b] * few) / (many + few);
            let own = |share: f64| f64::max(share * (1.0 - share), pooled * (1.0 - pooled));
            libm::sqrt(own(p[b]) / many + own(q[b]) / few)
        })
        .collect();
    let mean = 0.5 * libm::sqrt(2.0 / PI) * sigma.iter().sum::<f64>();
    let mut sum = 0.0;
    for a in 0..p.len() {
        sum += sigma[a] * sigma[a] * (FRAC_PI_2 - 1.0);
        for b in 0..a {
            let scale = seen[a] * seen[b];
            if scale > 0.0 {
                let rho = (covariance(a, b) / scale).clamp(-1.0, 1.0);
                let shape = libm::sqrt((1.0 - rho * rho).max(0.0)) + rho * libm::asin(rho) - 1.0;
                sum += 2.0 * sigma[a] * sigma[b] * shape;
            }
        }
    }
    let variance = 0.25 * (2.0 / PI) * sum;
    if mean <= 0.0 || variance <= 0.0 {
        return mean;
    }
    gamma_quantile(mean * mean / variance, confidence) * (variance / mean)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_shares_are_no_difference() {
        let same = compare_counts(&[100, 200, 300], &[10, 20, 30], true, 0.95).unwrap();
        assert!(same.estimate < 1e-15 && same.lower == 0.0, "{same:?}");
    }

    #[test]
    fn one_value_alone_tells_nothing_and_samples_without_overlap_everything() {
        let constant = compare_counts(&[0, 300, 0], &[0, 100, 0], true, 0.95).unwrap();
        assert_eq!((constant.estimate, constant.lower), (0.0, 0.0));
        let apart = compare_counts(&[300, 0], &[0, 100], true, 0.95).unwrap();
        assert!(apart.estimate == 1.0 && apart.lower > 0.9, "{apart:?}");
        assert_eq!(compare_counts(&[300, 0], &[0, 0], true, 0.95), None);
    }

    #[test]
    fn a_new_word_beside_a_large_reference_is_noticed_for_what_it_is() {
        let mut reference = vec![25_000; 4];
        reference.push(0);
        let one = compare_counts(&reference, &[25, 25, 25, 24, 1], false, 0.95).unwrap();
        assert_eq!(one.lower, 0.0);
        let many = compare_counts(&reference, &[20, 20, 20, 15, 25], false, 0.95).unwrap();
        assert!(many.lower > 0.1, "{many:?}");
    }

    proptest! {
        #[test]
        fn bounds_are_in_order_and_sides_and_bins_may_change_places(
            counts in prop::collection::vec((0..200_u64, 0..200_u64), 2..40), ordered: bool,
        ) {
            let (reference, window): (Vec<u64>, Vec<u64>) = counts.iter().copied().unzip();
            let Some(one) = compare_counts(&reference, &window, ordered, 0.95) else { return Ok(()) };
            prop_assert!(0.0 <= one.lower && one.lower <= one.estimate && one.estimate <= one.upper && one.upper <= 1.0);
            let other = compare_counts(&window, &reference, ordered, 0.95).unwrap();
            prop_assert!((one.estimate - other.estimate).abs() < 1e-12 && (one.lower - other.lower).abs() < 1e-9);
        }

        #[test]
        fn more_rows_of_the_same_shares_never_lower_the_bound(
            counts in prop::collection::vec((1..50_u64, 1..50_u64), 2..12),
        ) {
            let (reference, window): (Vec<u64>, Vec<u64>) = counts.iter().copied().unzip();
            let times = |by: u64| {
                let more = |counts: &[u64]| counts.iter().map(|count| count * by).collect::<Vec<_>>();
                compare_counts(&more(&reference), &more(&window), true, 0.95).unwrap().lower
            };
            prop_assert!(times(1000) >= times(100) - 1e-12);
        }
    }
}
