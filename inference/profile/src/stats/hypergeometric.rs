//! Tails of the hypergeometric distribution: k of c marked rows are in the window, which has n of all T rows.
//!
//! If reference and window are samples of the same distribution, any count of the window has this distribution, given the
//! counts of both together: every choice of n of the T rows is equally likely. The distribution itself can be any.

/// How a count may be split between the reference and the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// Rows of the reference.
    reference: f64,
    /// Rows of the window.
    window: f64,
    /// Marked rows of the window.
    hits: f64,
    /// Marked rows of both.
    pooled: f64,
}

/// Terms of a tail that are added. The rest is bounded by a geometric series.
const TERMS: usize = 64;
/// The logarithm of a probability that is practically zero.
pub const LEAST: f64 = -1e6;

// === impl Split ===

impl Split {
    /// `before` of `reference` rows and `now` of `window` rows are marked. Counts above 2⁵³ lose precision.
    pub fn new(before: u128, reference: u128, now: u128, window: u128) -> Self {
        Self {
            reference: reference as f64,
            window: window as f64,
            hits: now.min(window) as f64,
            pooled: (before.min(reference) + now.min(window)) as f64,
        }
    }

    /// The same split with the sides swapped.
    fn swapped(self) -> Self {
        Self {
            reference: self.window,
            window: self.reference,
            hits: self.pooled - self.hits,
            pooled: self.pooled,
        }
    }

    /// An upper bound of log P(at least this many marked rows in the window), up to rounding.
    pub fn log_upper_tail(self) -> f64 {
        let Self {
            reference,
            window,
            hits,
            pooled,
        } = self;
        let all = reference + window;
        if all == 0.0 || hits * all <= window * pooled {
            return 0.0;
        }
        // The ratio of successive terms decreases, so a geometric series bounds the rest.
        let ratio = |k: f64| (pooled - k) * (window - k) / ((k + 1.0) * (reference - pooled + k + 1.0));
        let (mut sum, mut term, mut k) = (1.0, 1.0, hits);
        for _ in 0..TERMS {
            term *= ratio(k);
            k += 1.0;
            if term <= 0.0 {
                break;
            }
            sum += term;
            if term < sum * f64::EPSILON {
                break;
            }
        }
        let next = ratio(k);
        if term > 0.0 && next < 1.0 {
            sum += term * next / (1.0 - next);
        } else if term > 0.0 {
            return 0.0;
        }
        (self.log_mass() + libm::log(sum)).clamp(LEAST, 0.0)
    }

    /// How many standard deviations the marked rows of the window are from their mean. 0 if they cannot vary.
    pub fn deviations(self) -> f64 {
        let all = self.reference + self.window;
        let mean = self.window * (self.pooled / all);
        let variance = mean * (self.reference / all) * ((all - self.pooled) / (all - 1.0));
        if variance > 0.0 {
            (self.hits - mean) / libm::sqrt(variance)
        } else {
            0.0
        }
    }

    /// log P(a split at least as uneven as this one, on either side): twice the smaller tail, at most 1.
    pub fn log_two_sided(self) -> f64 {
        let smaller = self.log_upper_tail().min(self.swapped().log_upper_tail());
        (smaller + std::f64::consts::LN_2).min(0.0)
    }

    /// log P(exactly this many), by three binomial masses (Loader, Fast and Accurate Computation of Binomial Probabilities, 2000).
    fn log_mass(self) -> f64 {
        let all = self.reference + self.window;
        let share = self.window / all;
        log_binomial(self.hits, self.pooled, share)
            + log_binomial(self.window - self.hits, all - self.pooled, share)
            - log_binomial(self.window, all, share)
    }
}

/// log P(k of n) if each is marked with probability p.
fn log_binomial(k: f64, n: f64, p: f64) -> f64 {
    let q = 1.0 - p;
    if k <= 0.0 {
        return if n <= 0.0 { 0.0 } else { n * libm::log1p(-p) };
    }
    if k >= n {
        return n * libm::log(p);
    }
    let correction = stirling_error(n) - stirling_error(k) - stirling_error(n - k);
    correction - deviance(k, n * p) - deviance(n - k, n * q)
        + 0.5 * libm::log(n / (2.0 * std::f64::consts::PI * k * (n - k)))
}

/// log n! − log(√(2πn) (n/e)ⁿ) for n ≥ 1.
fn stirling_error(n: f64) -> f64 {
    if n < 16.0 {
        return libm::lgamma(n + 1.0) - (n + 0.5) * libm::log(n) + n - 0.918_938_533_204_672_7;
    }
    let square = n * n;
    (1.0 / 12.0
        - (1.0 / 360.0 - (1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square) / square) / square)
        / n
}

/// x log(x/m) + m − x, without loss of precision if x is near m.
fn deviance(x: f64, m: f64) -> f64 {
    let d = x - m;
    if d.abs() >= 0.1 * (x + m) {
        return x * libm::log(x / m) - d;
    }
    let v = d / (x + m);
    let (mut sum, mut power) = (d * v, 2.0 * x * v);
    for step in 1..1000 {
        power *= v * v;
        let next = sum + power / f64::from(2 * step + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same tail from factorials, term by term.
    fn by_factorials(before: u64, reference: u64, now: u64, window: u64) -> f64 {
        let log_choose = |n: u64, k: u64| {
            libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
        };
        let pooled = before + now;
        let least = pooled.saturating_sub(reference);
        let mass = |k: u64| {
            libm::exp(
                log_choose(pooled, k) + log_choose(reference + window - pooled, window - k)
                    - log_choose(reference + window, window),
            )
        };
        (now.max(least)..=pooled.min(window)).map(mass).sum()
    }

    #[test]
    fn the_largest_of_all_rows_is_in_the_window_as_often_as_its_share() {
        // All k rows above the maximum of the reference are in the window: (n)ₖ / (N + n)ₖ.
        let one = Split::new(0, 303, 1, 147).log_upper_tail();
        assert!((libm::exp(one) - 147.0 / 450.0).abs() < 1e-12);
        let three = Split::new(0, 303, 3, 147).log_upper_tail();
        let exact = (147.0 / 450.0) * (146.0 / 449.0) * (145.0 / 448.0);
        assert!((libm::exp(three) / exact - 1.0).abs() < 1e-12);
    }

    #[test]
    fn tails_far_out_and_of_huge_counts_are_numbers() {
        let far = Split::new(0, 1_000_000, 300_000, 1_000_000).log_upper_tail();
        assert!(far < -200_000.0 && far > LEAST);
        let huge = Split::new(
            u128::from(u64::MAX / 2),
            u128::from(u64::MAX),
            u128::from(u64::MAX),
            u128::from(u64::MAX),
        );
        assert!(huge.log_upper_tail() <= 0.0 && huge.log_two_sided() <= 0.0);
        assert_eq!(Split::new(0, 0, 0, 0).log_two_sided(), 0.0);
        let all = Split::new(0, 10, 10, 10).log_two_sided();
        assert!((libm::exp(all) * 184_756.0 - 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn a_tail_is_the_sum_of_its_terms_and_never_less(
            (reference, window) in (1..400_u64, 1..400_u64), (a, b) in (0.0..=1.0, 0.0..=1.0),
        ) {
            let hits = |of: u64, share: f64| (of as f64 * share) as u64;
            let (before, now) = (hits(reference, a), hits(window, b));
            let split = Split::new(before.into(), reference.into(), now.into(), window.into());
            let (found, exact) = (libm::exp(split.log_upper_tail()), by_factorials(before, reference, now, window));
            prop_assert!(found >= exact * (1.0 - 1e-9), "{found} {exact}");
            if now * (reference + window) > window * (before + now) {
                prop_assert!(found <= exact * 1.01, "{found} {exact}");
            }
        }
    }
}
