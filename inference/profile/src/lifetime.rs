//! How the level of a version's life is shared out over its windows, spans, features and tests.
//!
//! A test at 5% that is repeated window after window raises a false alarm sooner or later. Here each comparison of each
//! report has a level of its own, and all levels of a version's life add up to at most [`crate::Rule::ever`]:
//!
//! ```text
//! level = ever × wₜ × 1/(features + 3) × 1/spans × the test's share of its feature        Σ wₜ ≤ 1
//! ```
//!
//! wₜ is the probability that a time with P(later than s) = 1/(1 + log(1 + s/h)), h being an [`HOUR`], falls into window t or
//! into the idle time before it. It depends on when the window is and on nothing that was counted in it. The probability of
//! any alarm at any time is at most the sum of the levels (Bonferroni), however the comparisons depend on each other, and
//! they do: all share one reference, spans overlap, features go together.

use crate::{counts::Counts, error::JudgeError};

/// The scale of wₜ, in seconds: it falls a little faster than one over the time since the reference.
pub const HOUR: u64 = 3600;

/// The counts of one window since the reference was taken.
#[derive(Clone, Copy, Debug)]
pub struct WindowCounts<'a> {
    /// Seconds from the reference to the window's start.
    pub from: u64,
    /// Seconds from the reference to its end.
    pub to: u64,
    /// What was counted in it. No row of it is in the reference.
    pub counts: &'a Counts,
}

/// log wₜ of the last window. It is not known what was before the first one, so that one begins at its own start.
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
    // The difference of two logarithms would lose its digits where windows are short and long ago.
    let between = (before - since) as f64 / (HOUR as f64 + since as f64);
    Ok(libm::log(libm::log1p(between)) - libm::log(rarity(since)) - libm::log(rarity(before)))
}

// === impl WindowCounts ===

impl WindowCounts<'_> {
    /// Whether no row was answered in it, nor refused.
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
