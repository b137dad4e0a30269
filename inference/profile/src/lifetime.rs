//! How the level of a version's life is distributed over its windows, spans, features and tests.
//!
//! A test at 5% that is repeated in every window raises a false alarm sooner or later. Here each comparison of each report
//! has its own level, and all levels of a version's life add up to at most [`crate::Rule::ever`]:
//!
//! ```text
//! level = ever × wₜ × 1/(features + 3) × 1/spans × the test's share of its feature        Σ wₜ ≤ 1
//! ```
//!
//! wₜ is the probability that a random time with P(later than s) = 1/(1 + log(1 + s/h)), where h is an [`HOUR`], falls into
//! window t or into the idle time before it. It depends on the time of the window, but not on what was counted in it. The
//! probability of any alarm at any time is at most the sum of the levels (Bonferroni), for any dependence between the
//! comparisons. They are dependent: all share one reference, spans overlap, and features are correlated.

use crate::{counts::Counts, error::JudgeError};

/// The scale of wₜ, in seconds. wₜ falls slightly faster than one over the time since the reference.
pub const HOUR: u64 = 3600;

/// The counts of one window since the reference was taken.
#[derive(Clone, Copy, Debug)]
pub struct WindowCounts<'a> {
    /// Seconds from the reference to the start of the window.
    pub from: u64,
    /// Seconds from the reference to its end.
    pub to: u64,
    /// The counts of the window. None of its rows is in the reference.
    pub counts: &'a Counts,
}

/// log wₜ of the last window. The time before the first window is unknown, so it does not belong to the first window.
pub(crate) fn log_weight(windows: &[WindowCounts<'_>]) -> Result<f64, JudgeError> {
    let mut before = windows.first().map_or(0, |first| first.from);
    let mut since = before;
    for window in windows {
        if !(before <= window.from && window.from < window.to) {
            return Err(JudgeError::Order);
        }
        since = before;
        before = window.to;
    }
    // 1/P(later than s).
    let rarity = |seconds: u64| 1.0 + libm::log1p(seconds as f64 / HOUR as f64);
    // The difference of two logarithms would lose precision if windows are short and far from the reference.
    let between = (before - since) as f64 / (HOUR as f64 + since as f64);
    Ok(libm::log(libm::log1p(between)) - libm::log(rarity(since)) - libm::log(rarity(before)))
}

// === impl WindowCounts ===

impl WindowCounts<'_> {
    /// Whether it has neither answered nor refused rows.
    pub(crate) fn is_empty(&self) -> bool {
        let features = &self.counts.features;
        features.rows == 0
            && self.counts.refused == 0
            && features.features.iter().all(|feature| feature.type_errors == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(counts: &Counts, times: &[(u64, u64)]) -> f64 {
        let windows: Vec<_> = times
            .iter()
            .map(|(from, to)| WindowCounts {
                from: *from,
                to: *to,
                counts,
            })
            .collect();
        libm::exp(log_weight(&windows).unwrap())
    }

    #[test]
    fn the_weights_of_a_life_add_up_to_at_most_one() {
        let counts = Counts::new(&crate::judge::tests::bins());
        for length in [20, 3600, 86_400] {
            let sum: f64 = (0..20_000_u64)
                .map(|index| {
                    let before = index.saturating_sub(1);
                    weight(
                        &counts,
                        &[
                            (before * length, before * length + length),
                            (index * length, (index + 1) * length),
                        ][usize::from(index == 0)..],
                    )
                })
                .sum();
            assert!(sum < 1.0 && sum > 0.7, "{length}: {sum}");
        }
    }

    #[test]
    fn idle_time_before_a_window_counts_for_it() {
        let counts = Counts::new(&crate::judge::tests::bins());
        let apart = weight(&counts, &[(0, 3600), (36_000, 39_600)]);
        let together = weight(&counts, &[(0, 3600), (3600, 7200)]);
        assert!(apart > together);
    }

    #[test]
    fn windows_out_of_order_are_refused() {
        let counts = Counts::new(&crate::judge::tests::bins());
        let window = |from, to| WindowCounts {
            from,
            to,
            counts: &counts,
        };
        for bad in [
            [window(0, 10), window(5, 15)],
            [window(10, 20), window(0, 10)],
            [window(0, 0), window(0, 10)],
        ] {
            assert_eq!(log_weight(&bad), Err(JudgeError::Order));
        }
    }
}
