//! Evidence that grows over time and may be looked at after every window.
//!
//! A test at 5% that is repeated window after window raises a false alarm sooner or later. This one does not: with
//! probability 1 − `level` it never raises one, however often and whenever it is looked at, as long as nothing has
//! drifted since the reference. [`crate::judge()`] looks at one window by itself; [`crate::Judgement::confirmed`] puts the two
//! together.
//!
//! For one feature with k cells (bins, missing values being one of them), reference counts R of N rows and counts S of n
//! rows since some moment j:
//!
//! ```text
//! log Eⱼ = log ∫ Π θᵢ^Sᵢ dDirichlet(½)(θ) − max { Σ Sᵢ log θᵢ : θ in C }
//! C      = { θ : N·KL(R/N ‖ θ) ≤ t },  which holds the true shares with probability 1 − δ
//! E      = Σ wⱼ Eⱼ                                                         alarm at E ≥ 1/(α − δ)
//! ```
//!
//! The first term is a mixture over all shares (Lindon and Malek, NeurIPS 2022, arXiv 2011.03567); for fixed θ the ratio
//! is a martingale of mean 1. The reference is a sample and not the truth, so the ratio is taken against the most favourable
//! shares that the reference allows: taking R/N for the truth alarms in nearly every long run. The maximiser is
//! θ = (1 − u) S/n + u R/N, with the u that meets the bound.
//!
//! It is not known when a change began. Counts since the reference alone would bury a change of today under a quiet year, so E
//! is a mixture over the moments at which it may have begun, one for each window: its weight is the probability that a time
//! with P(later than t) = 1/(1 + log(1 + t/h)), h being an [`HOUR`], falls into that window or into the idle time before it.
//! Weights add up to at most 1, so the mixture is a martingale of mean at most 1 too, and by Ville's inequality it ever
//! reaches 1/(α − δ) with probability at most α − δ. Old windows that are left out only make E smaller: the promise holds
//! without them.
//!
//! Each feature is compared in three ways, and the largest E counts. Cells are sorted by the reference alone. Those with at
//! least five rows of it are compared among each other, with t = χ²ₖ₋₁ at 1 − δ, halved (Wilks); in many cells a small shift
//! of all values is lost in the noise, so where cells have an order, four groups of neighbours are compared too. The cells
//! with fewer rows are compared together with all others, with t = log(2/δ), which holds for any count (Chernoff). Each way
//! has a third of α, δ is half of that, and α is `level` divided by the number of features (Bonferroni).

use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    counts::{Counts, FeatureCount},
    error::JudgeError,
    number::Exact,
    stats::special::gamma_quantile,
};

/// Rows of the reference that a cell needs to be compared by itself.
const FULL: u64 = 5;
/// Groups of neighbouring cells.
const QUARTERS: usize = 4;
/// Ways to compare one feature.
const WAYS: f64 = 3.0;
/// The scale of the time at which a change begins, in seconds: the weight of a moment falls a little faster than one over
/// its distance from the reference, counted in these.
pub const HOUR: u64 = 3600;
/// The newest windows at which a change may have begun; each costs one look at every cell.
const STARTS: usize = 64;
/// The logarithm of evidence that is as good as none.
const LEAST: f64 = -1e6;
/// Newton's steps at most; eight to twenty are usual.
const STEPS: usize = 200;
/// Where they begin: next to S/n, where cells without a row have no logarithm.
const LEAST_SHARE: f64 = 1e-26;

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

/// What has been gathered against "nothing has changed" for one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureEvidence {
    /// Its name.
    pub name: String,
    /// Natural logarithm of the largest of its E, rounded to 6 places.
    pub log_evidence: Exact<f64>,
    /// What `log_evidence` must reach.
    pub log_threshold: Exact<f64>,
    /// Whether it does.
    pub alarm: bool,
}

/// One comparison's cells.
struct Cells {
    /// Rows of the reference, a cell each.
    reference: Vec<f64>,
    /// Rows of each window, newest first, a cell each.
    windows: Vec<Vec<f64>>,
    /// The bound on N·KL.
    t: f64,
}

/// The evidence of each feature by the end of the last of `windows`. They come in the order of time and do not overlap; those
/// without rows, and any number of old ones, may be left out.
///
/// With probability 1 − `level` (above 0, below 1) there is never an alarm of any feature while nothing drifts.
pub fn evidence(
    bins: &Bins,
    reference: &Counts,
    windows: &[WindowCounts<'_>],
    level: Exact<f64>,
) -> Result<Vec<FeatureEvidence>, JudgeError> {
    if !(level.get() > 0.0 && level.get() < 1.0) {
        return Err(JudgeError::Rule {
            field: "level".to_owned(),
            value: level,
            at_most_one: false,
        });
    }
    reference.check(bins).map_err(JudgeError::Reference)?;
    for window in windows {
        window.counts.check(bins).map_err(JudgeError::Window)?;
    }
    let log_weights = log_weights(windows)?;
    let each = level.get() / bins.features.len() as f64 / WAYS;
    let delta = each / 2.0;
    let log_threshold = rounded(-libm::log(each - delta));
    let judged = bins.features.iter().enumerate();
    Ok(judged
        .map(|(index, feature)| {
            let reference = &reference.features.features[index];
            let newest_first = windows.iter().rev();
            let counted: Vec<_> = newest_first
                .map(|window| &window.counts.features.features[index])
                .collect();
            let comparisons = comparisons(reference, &counted, delta, feature.is_ordered());
            let log_evidence = comparisons
                .iter()
                .map(|cells| log_mixture(cells, &log_weights))
                .fold(f64::NEG_INFINITY, f64::max);
            let log_evidence = rounded(log_evidence.max(LEAST));
            FeatureEvidence {
                name: feature.name.clone(),
                log_evidence,
                log_threshold,
                alarm: log_evidence >= log_threshold,
            }
        })
        .collect())
}

/// log wⱼ of each window, newest first: P(later than a) − P(later than b), where it ends at b and the one before it ended at a.
/// It is not known what was before the first one, so a is its own start.
fn log_weights(windows: &[WindowCounts<'_>]) -> Result<Vec<f64>, JudgeError> {
    // 1/P(later than t).
    let rarity = |seconds: u64| 1.0 + libm::log1p(seconds as f64 / HOUR as f64);
    let mut before = windows.first().map_or(0, |first| first.from);
    let mut weights = Vec::with_capacity(windows.len());
    for window in windows {
        if !(before <= window.from && window.from < window.to) {
            return Err(JudgeError::Order);
        }
        // The difference of two logarithms would lose its digits where windows are short and long ago.
        let between = (window.to - before) as f64 / (HOUR as f64 + before as f64);
        weights
            .push(libm::log(libm::log1p(between)) - libm::log(rarity(before)) - libm::log(rarity(window.to)));
        before = window.to;
    }
    weights.reverse();
    Ok(weights)
}

/// The comparisons of one feature, by which group of cells a cell is counted in.
fn comparisons(
    reference: &FeatureCount,
    newest_first: &[&FeatureCount],
    delta: f64,
    ordered: bool,
) -> Vec<Cells> {
    let of =
        |count: &FeatureCount| -> Vec<u64> { count.values.iter().chain([&count.missing]).copied().collect() };
    let cells = of(reference);
    let windows: Vec<Vec<u64>> = newest_first.iter().map(|count| of(count)).collect();
    let grouped = |groups: &[Option<usize>], t: &dyn Fn(usize) -> f64| -> Cells {
        let many = groups.iter().flatten().max().map_or(0, |last| last + 1);
        let sums = |cells: &[u64]| {
            let mut sums = vec![0.0; many];
            for (rows, group) in cells.iter().zip(groups) {
                if let Some(group) = group {
                    sums[*group] += *rows as f64;
                }
            }
            sums
        };
        Cells {
            reference: sums(&cells),
            windows: windows.iter().map(|window| sums(window)).collect(),
            t: t(many),
        }
    };
    let wilks = |many: usize| gamma_quantile(0.5 * (many - 1) as f64, 1.0 - delta);
    let chernoff = |_| libm::log(2.0 / delta);
    let is_full = |rows: &u64| *rows >= FULL;
    let apart: Vec<_> = cells
        .iter()
        .map(|rows| Some(usize::from(!is_full(rows))))
        .collect();
    let mut next = 0..;
    let each: Vec<_> = cells
        .iter()
        .map(|rows| is_full(rows).then(|| next.next()).flatten())
        .collect();
    let full = each.iter().flatten().count();
    let mut found = vec![grouped(&apart, &chernoff)];
    if full >= 2 {
        found.push(grouped(&each, &wilks));
    }
    if ordered && full > QUARTERS + 1 {
        found.push(grouped(&quarters(&reference.values, reference.missing), &wilks));
    }
    found
}

/// Neighbouring cells in four groups with about as many rows of the reference, and missing values in a fifth.
fn quarters(values: &[u64], missing: u64) -> Vec<Option<usize>> {
    let is_full = |rows: u64| rows >= FULL;
    let all: u64 = values.iter().copied().filter(|rows| is_full(*rows)).sum();
    let mut before = 0;
    let mut groups: Vec<Option<usize>> = values
        .iter()
        .map(|rows| {
            is_full(*rows).then(|| {
                let middle = u128::from(before) * 2 + u128::from(*rows);
                before += rows;
                (middle * QUARTERS as u128 / (u128::from(all) * 2)) as usize
            })
        })
        .collect();
    // A heavy cell leaves a group empty.
    let mut kept: Vec<usize> = groups.iter().flatten().copied().collect();
    kept.dedup();
    for group in groups.iter_mut().flatten() {
        *group = kept.partition_point(|kept| kept < group);
    }
    groups.push(is_full(missing).then_some(kept.len()));
    groups
}

/// log Σ wⱼ Eⱼ over the newest windows at which a change may have begun.
fn log_mixture(cells: &Cells, log_weights: &[f64]) -> f64 {
    let mut since: Vec<(f64, f64)> = cells.reference.iter().map(|rows| (*rows, 0.0)).collect();
    let mut terms = Vec::with_capacity(log_weights.len().min(STARTS));
    for (window, log_weight) in cells.windows.iter().zip(log_weights).take(STARTS) {
        for (cell, rows) in since.iter_mut().zip(window) {
            cell.1 += rows;
        }
        terms.push(log_weight + log_e(&since, cells.t));
    }
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + libm::log(terms.iter().map(|term| libm::exp(term - largest)).sum())
}

/// log E of cells (reference, since) with the bound `t` on N·KL.
fn log_e(cells: &[(f64, f64)], t: f64) -> f64 {
    let many: f64 = cells.iter().map(|cell| cell.0).sum();
    let rows: f64 = cells.iter().map(|cell| cell.1).sum();
    if many == 0.0 || rows == 0.0 {
        // Nothing to compare with, or nothing seen.
        return 0.0;
    }
    let start = 0.5 * cells.len() as f64;
    let mixture = libm::lgamma(start) - libm::lgamma(start + rows)
        + cells
            .iter()
            .map(|cell| libm::lgamma(0.5 + cell.1) - libm::lgamma(0.5))
            .sum::<f64>();
    // The most favourable shares lie on the way from S/n (u = 0) to R/N (u = 1).
    let share = |cell: &(f64, f64), u: f64| (1.0 - u) * (cell.1 / rows) + u * (cell.0 / many);
    let seen: Vec<_> = cells.iter().filter(|cell| cell.0 > 0.0).copied().collect();
    // N·KL and its slope. It is convex in u and falls to 0 at u = 1, so Newton's steps from the left stay on the left: the
    // shares that are found are just outside of C, and the most favourable ones are not missed by rounding.
    let divergence = |u: f64| -> (f64, f64) {
        seen.iter().fold((0.0, 0.0), |(value, slope), cell| {
            let (reference, theta) = (cell.0 / many, share(cell, u));
            (
                value + cell.0 * libm::log(reference / theta),
                slope - cell.0 * (reference - cell.1 / rows) / theta,
            )
        })
    };
    let mut u = LEAST_SHARE;
    for _ in 0..STEPS {
        let (value, slope) = divergence(u);
        // Not above the bound, or flat.
        if !(value > t && slope < 0.0) {
            break;
        }
        let next = u + (value - t) / -slope;
        if !(next < 1.0 && next > u) {
            break;
        }
        let is_close = next - u <= 1e-12 * u;
        u = next;
        if is_close {
            break;
        }
    }
    let favourable: f64 = cells
        .iter()
        .filter(|cell| cell.1 > 0.0)
        .map(|cell| cell.1 * libm::log(share(cell, u)))
        .sum();
    mixture - favourable
}

fn rounded(value: f64) -> Exact<f64> {
    // Rounding may give a negative zero.
    Exact::of((value * 1e6).round() / 1e6 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::tests::bins;

    #[test]
    fn shares_that_the_reference_allows_are_no_evidence() {
        // Rows in proportion: the mixture pays for its choice, about half a log n for each free share.
        let cells = [(100.0, 1000.0), (100.0, 1000.0), (103.0, 1030.0)];
        let t = gamma_quantile(1.0, 0.99);
        assert!(log_e(&cells, t) < -5.0);
        assert_eq!(log_e(&[(100.0, 0.0), (3.0, 0.0)], t), 0.0);
        assert_eq!(log_e(&[(0.0, 10.0), (0.0, 10.0)], t), 0.0);
    }

    #[test]
    fn what_the_reference_never_saw_becomes_evidence_row_by_row() {
        let t = libm::log(2.0 / 0.001);
        let log_e = |seen: f64| log_e(&[(303.0, 100.0 - seen), (0.0, seen)], t);
        assert!(log_e(1.0) < 0.0);
        assert!(log_e(90.0) > 100.0);
        let rising: Vec<f64> = (5..90).map(|seen| log_e(f64::from(seen))).collect();
        assert!(rising.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_weights_of_all_windows_are_what_has_passed_of_one() {
        let counts = Counts::new(&bins());
        let window = |from, to| WindowCounts {
            from,
            to,
            counts: &counts,
        };
        let sum = |windows: &[WindowCounts<'_>]| -> f64 {
            let weights = log_weights(windows).unwrap();
            weights.into_iter().map(libm::exp).sum()
        };
        let day = [window(0, 60), window(60, 3600), window(80_000, 86_400)];
        let later = |seconds: f64| 1.0 / (1.0 + libm::log(1.0 + seconds / 3600.0));
        assert!((sum(&day) - (1.0 - later(86_400.0))).abs() < 1e-12);
        // What was before the first one is not its own.
        assert!((sum(&day[1..]) - (later(60.0) - later(86_400.0))).abs() < 1e-12);
        assert_eq!(sum(&[]), 0.0);
    }

    #[test]
    fn neighbours_are_grouped_by_the_rows_of_the_reference() {
        let groups = |values: &[u64], missing| quarters(values, missing);
        assert_eq!(
            groups(&[0, 10, 10, 10, 10, 0], 4),
            [None, Some(0), Some(1), Some(2), Some(3), None, None]
        );
        assert_eq!(
            groups(&[5, 5, 5, 5, 5, 5, 5, 5], 9)[6..],
            [Some(3), Some(3), Some(4)]
        );
        // One value is most of them.
        assert_eq!(groups(&[90, 5, 5], 5), [Some(0), Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn windows_that_are_not_in_order_are_refused() {
        let bins = bins();
        let counts = Counts::new(&bins);
        let level = Exact::new(0.05).unwrap();
        let judged = |windows: &[(u64, u64)]| {
            let windows: Vec<_> = windows
                .iter()
                .map(|(from, to)| WindowCounts {
                    from: *from,
                    to: *to,
                    counts: &counts,
                })
                .collect();
            evidence(&bins, &counts, &windows, level)
        };
        for wrong in [
            &[(60, 120), (0, 60)][..],
            &[(0, 60), (0, 60)],
            &[(0, 60), (59, 90)],
            &[(60, 60)],
        ] {
            assert_eq!(judged(wrong), Err(JudgeError::Order));
        }
        assert!(judged(&[]).unwrap().iter().all(|feature| !feature.alarm));
    }

    #[test]
    fn a_change_of_today_is_not_buried_under_a_quiet_year() {
        let quiet = vec![5_000.0, 5_000.0];
        let changed = vec![80.0, 20.0];
        let cells = |windows: Vec<Vec<f64>>| Cells {
            reference: vec![150.0, 150.0],
            windows,
            t: libm::log(2.0 / 0.001),
        };
        let year: Vec<f64> = vec![libm::log(1e-7); 64];
        let mut windows = vec![quiet; 64];
        assert!(log_mixture(&cells(windows.clone()), &year) < -10.0);
        windows[0].clone_from(&changed);
        let one = log_mixture(&cells(windows.clone()), &year);
        windows[1] = changed;
        let two = log_mixture(&cells(windows), &year);
        assert!(two > one + 5.0, "{one}, then {two}");
    }

    #[test]
    fn more_rows_than_any_window_has_stay_finite() {
        let huge = 1e15;
        let t = gamma_quantile(0.5, 0.99);
        assert!(log_e(&[(huge, huge), (huge, 0.0)], t).is_finite());
        assert!(log_e(&[(5.0, 0.0), (5.0, huge)], t).is_finite());
    }
}
