//! The two-sample test of Kolmogorov and Smirnov.
//!
//! D is the largest difference between the shares of values below any threshold. If both sides are samples of the same
//! distribution, every order of the N + n values is equally likely, so the share of orders that reach D is its p-value. Ties,
//! or thresholds only at the edges of bins, can only make D smaller. So the p-value holds for any distribution, and for
//! thresholds that are chosen by looking at the data.

/// If the logarithm of a bound exceeds the level by more than this, the exact tail is assumed to exceed it too and is not computed.
const SLACK: f64 = 5.0;
/// Maximum number of steps for an exact p-value.
const MOST_STEPS: u128 = 4_000_000;
/// Parts of the integral that bounds the p-value if it would need more steps.
const PARTS: u32 = 400;

/// log P(D is at least `distance`/(Nn)) for samples of N = `many` and n = `few` values, where `distance` is a whole number:
/// the largest |n R − N W|, where R and W are the values of each side below a threshold.
///
/// Exact up to 4,000,000 steps if the p-value can be below exp(`log_level`), otherwise an upper bound.
pub fn log_tail(many: u64, few: u64, distance: u128, log_level: f64) -> f64 {
    if many == 0 || few == 0 || distance == 0 {
        return 0.0;
    }
    let (large, small) = (u128::from(many), u128::from(few));
    let d = distance as f64 / (large * small) as f64;
    if log_limit(many as f64, few as f64, d) > log_level + SLACK {
        return log_rough_bound(many as f64, few as f64, d);
    }
    let bound = log_bound(many as f64, few as f64, d);
    let steps = 2.0 * d * (large * small) as f64;
    if bound <= log_level || bound > log_level + SLACK || steps > MOST_STEPS as f64 {
        return bound;
    }
    libm::log(share_of_orders(many.max(few), many.min(few), distance)).min(bound)
}

/// log of the first term of the limit for large samples, 2 exp(−2 n₀ d²) with 1/n₀ = 1/N + 1/n. It is not a bound; it decides
/// whether computing a bound is worthwhile.
fn log_limit(many: f64, few: f64, d: f64) -> f64 {
    std::f64::consts::LN_2 - 2.0 * d * d / (1.0 / many + 1.0 / few)
}

/// A quick bound: A + B ≥ d only if A ≥ wd or B ≥ (1 − w)d, with the w that makes both equally likely.
fn log_rough_bound(many: f64, few: f64, d: f64) -> f64 {
    let spread = 1.0 / libm::sqrt(many) + 1.0 / libm::sqrt(few);
    (2.0 * std::f64::consts::LN_2 - 2.0 * d * d / (spread * spread)).min(0.0)
}

/// log P(A + B ≥ d), where A and B are the distances of the sides from their distribution: P(A ≥ a) ≤ 2 exp(−2Na²), and B
/// likewise (Dvoretzky, Kiefer, Wolfowitz; Massart, Annals of Probability 18, 1990). They are independent.
fn log_bound(many: f64, few: f64, d: f64) -> f64 {
    let log_survival = |rows: f64, a: f64| (std::f64::consts::LN_2 - 2.0 * rows * a * a).min(0.0);
    let step = d / f64::from(PARTS);
    // Σ P(A in the part) P(B ≥ d − the part's end), each relative to the largest term.
    let terms = (0..PARTS).map(|part| {
        let (from, to) = (f64::from(part) * step, f64::from(part + 1) * step);
        let (high, low) = (log_survival(many, from), log_survival(many, to));
        let in_part = if high > low {
            high + libm::log(-libm::expm1(low - high))
        } else {
            f64::NEG_INFINITY
        };
        in_part + log_survival(few, d - to)
    });
    let terms: Vec<f64> = terms.chain([log_survival(many, d)]).collect();
    log_sum(&terms).min(0.0)
}

/// log Σ exp.
pub fn log_sum(terms: &[f64]) -> f64 {
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + libm::log(terms.iter().map(|term| libm::exp(term - most)).sum())
}

/// The share of the orders of `large` and `small` values in which |small·i − large·j| reaches `distance`, where i and j are the
/// values of each side so far (Hodges, Arkiv för Matematik 3, 1957). All summands are nonnegative, so no precision is lost.
fn share_of_orders(large: u64, small: u64, distance: u128) -> f64 {
    let distance = i128::try_from(distance).unwrap_or(i128::MAX);
    let (rows, columns) = (i128::from(large), i128::from(small));
    let last = small as usize;
    // outside[j]: the share of the orders of i and j values that has reached the distance.
    let mut outside = vec![0.0; last + 1];
    let is_outside = |i: i128, j: i128| (columns * i - rows * j).abs() >= distance;
    for (j, share) in outside.iter_mut().enumerate() {
        *share = f64::from(u8::from(is_outside(0, j as i128)));
    }
    // Along an edge |rows·j| increases with j, so once the distance is reached, it stays reached.
    for i in 1..=rows {
        let inside_from = ((columns * i - distance) / rows).max(0) as usize;
        let inside_to = (((columns * i + distance) / rows) as usize + 1).min(last);
        // Everything left of the band is outside.
        if inside_from > 0 {
            outside[inside_from - 1] = 1.0;
        }
        let row = i as f64;
        for j in inside_from..=inside_to {
            outside[j] = if is_outside(i, j as i128) {
                1.0
            } else if j == 0 {
                outside[0]
            } else {
                let column = j as f64;
                // An order of i and j values ends with a value of one side or the other.
                (row * outside[j] + column * outside[j - 1]) / (row + column)
            };
        }
        for share in outside.iter_mut().skip(inside_to + 1) {
            *share = 1.0;
        }
    }
    outside[last]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of orders, by enumerating all of them.
    fn by_walking(i: i128, j: i128, many: i128, few: i128, distance: i128) -> f64 {
        if (few * i - many * j).abs() >= distance {
            return 1.0;
        }
        if i == many && j == few {
            return 0.0;
        }
        let left = (many - i + few - j) as f64;
        let mut share = 0.0;
        if i < many {
            share += (many - i) as f64 / left * by_walking(i + 1, j, many, few, distance);
        }
        if j < few {
            share += (few - j) as f64 / left * by_walking(i, j + 1, many, few, distance);
        }
        share
    }

    #[test]
    fn the_exact_tail_is_the_share_of_all_orders() {
        for (many, few) in [(1, 1), (5, 4), (7, 3), (3, 7), (8, 8), (9, 2)] {
            for distance in 1..=(many * few) {
                let walked = by_walking(0, 0, many, few, distance);
                let (large, small) = (many.max(few) as u64, many.min(few) as u64);
                let found = share_of_orders(large, small, distance as u128);
                assert!(
                    (found - walked).abs() < 1e-12,
                    "{many} {few} {distance}: {found} {walked}"
                );
            }
        }
    }

    #[test]
    fn the_bound_is_above_the_exact_tail_by_a_few_units_at_most() {
        for (many, few) in [
            (100_u64, 100_u64),
            (303, 100),
            (303, 147),
            (3000, 300),
            (303, 3000),
        ] {
            let product = many * few;
            for share in [0.05, 0.1, 0.2, 0.3] {
                let distance = u128::from(product) * (share * 1000.0) as u128 / 1000;
                let exact = libm::log(share_of_orders(many.max(few), many.min(few), distance));
                let bound = log_bound(many as f64, few as f64, distance as f64 / product as f64);
                assert!(bound >= exact - 1e-9, "{many} {few} {share}: {bound} {exact}");
                println!(
                    "{many} {few} {share}: exact {exact:.3}, bound {bound:.3}, asymptotic {:.3}",
                    std::f64::consts::LN_2 - 2.0 * share * share * product as f64 / (many + few) as f64
                );
            }
        }
    }
}
