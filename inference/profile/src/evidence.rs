//! Evidence that grows over time and may be looked at after every window.
//!
//! A test at 5% that is repeated on growing counts raises a false alarm sooner or later. This one does not: with
//! probability 1 − `level` it never raises one, however often and whenever it is looked at, as long as nothing has
//! drifted since the reference. It needs all counts since then, summed; it is no part of [`crate::judge()`], which looks
//! at one window by itself.
//!
//! For one feature with k cells (bins, missing values being one of them), reference counts R of N rows and counts S of n
//! rows since:
//!
//! ```text
//! log E = log ∫ Π θᵢ^Sᵢ dDirichlet(½)(θ) − max { Σ Sᵢ log θᵢ : θ in C }      alarm at E ≥ 1/(α − δ)
//! C     = { θ : N·KL(R/N ‖ θ) ≤ t },  which holds the true shares with probability 1 − δ
//! ```
//!
//! The first term is a mixture over all shares (Lindon and Malek, NeurIPS 2022, arXiv 2011.03567); for fixed θ the ratio
//! is a martingale of mean 1, so by Ville's inequality it reaches 1/(α − δ) with probability at most α − δ. The reference
//! is a sample and not the truth, so the ratio is taken against the most favourable shares that the reference allows:
//! taking R/N for the truth alarms in nearly every long run. The maximiser is θ ∝ S + λR, with the λ that meets the
//! bound.
//!
//! Cells are sorted by the reference alone. Those with at least five rows of it are compared among each other, with
//! t = χ²ₖ₋₁ at 1 − δ, halved (Wilks). The others together are compared with these, two cells, with t = log(2/δ), which
//! holds for any count (Chernoff). Each comparison has half of α, δ is half of that again, and α is `level` divided by
//! the number of features (Bonferroni).

use serde::{Deserialize, Serialize};

use crate::{
    bins::Bins,
    counts::{Counts, FeatureCount},
    judge::JudgeError,
    number::Exact,
    stats::special::gamma_quantile,
};

/// Rows of the reference that a cell needs to be compared by itself.
const FULL: u64 = 5;

/// What has been gathered against "nothing has changed" for one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureEvidence {
    /// Its name.
    pub name: String,
    /// Natural logarithm of the larger of its two E, rounded to 6 places.
    pub log_evidence: Exact<f64>,
    /// What `log_evidence` must reach.
    pub log_threshold: Exact<f64>,
    /// Whether it does.
    pub alarm: bool,
}

/// The evidence of each feature by now. `since` holds all rows since the reference was taken, and no row of it.
///
/// With probability 1 − `level` (above 0, below 1) there is never an alarm of any feature while nothing drifts.
pub fn evidence(
    bins: &Bins,
    reference: &Counts,
    since: &Counts,
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
    since.check(bins).map_err(JudgeError::Window)?;
    let each = level.get() / bins.features.len() as f64 / 2.0;
    let delta = each / 2.0;
    let log_threshold = rounded(-libm::log(each - delta));
    let counts = reference.features.features.iter().zip(&since.features.features);
    let judged = bins.features.iter().zip(counts);
    Ok(judged
        .map(|(feature, (reference, since))| {
            let log_evidence = rounded(of_feature(reference, since, delta));
            FeatureEvidence {
                name: feature.name.clone(),
                log_evidence,
                log_threshold,
                alarm: log_evidence >= log_threshold,
            }
        })
        .collect())
}

/// The larger log E of the two comparisons.
fn of_feature(reference: &FeatureCount, since: &FeatureCount, delta: f64) -> f64 {
    let cells = |count: &FeatureCount| -> Vec<f64> {
        count
            .values
            .iter()
            .chain([&count.missing])
            .map(|count| *count as f64)
            .collect()
    };
    let (reference, since) = (cells(reference), cells(since));
    let (full, rare): (Vec<_>, Vec<_>) = reference
        .into_iter()
        .zip(since)
        .partition(|(reference, _)| *reference >= FULL as f64);
    let sum = |cells: &[(f64, f64)]| {
        cells
            .iter()
            .fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    };
    let apart = log_e(&[sum(&full), sum(&rare)], libm::log(2.0 / delta));
    if full.len() < 2 {
        return apart;
    }
    let within = log_e(&full, gamma_quantile(0.5 * (full.len() - 1) as f64, 1.0 - delta));
    apart.max(within)
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
    let share = |cell: &(f64, f64), lambda: f64| (cell.1 + lambda * cell.0) / (rows + lambda * many);
    let divergence = |lambda: f64| -> f64 {
        let seen = cells.iter().filter(|cell| cell.0 > 0.0);
        seen.map(|cell| cell.0 * libm::log(cell.0 / many / share(cell, lambda)))
            .sum()
    };
    // It falls from its value at S/n to 0 at R/N. The end kept is the one just outside C: the most favourable shares
    // are not missed by rounding.
    let (mut low, mut high) = (-60.0, 60.0);
    for _ in 0..64 {
        let middle = f64::midpoint(low, high);
        if divergence(libm::exp(middle)) > t {
            low = middle;
        } else {
            high = middle;
        }
    }
    let lambda = libm::exp(low);
    let favourable: f64 = cells
        .iter()
        .filter(|cell| cell.1 > 0.0)
        .map(|cell| cell.1 * libm::log(share(cell, lambda)))
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
    fn more_rows_than_any_window_has_stay_finite() {
        let huge = 1e15;
        let t = gamma_quantile(0.5, 0.99);
        assert!(log_e(&[(huge, huge), (huge, 0.0)], t).is_finite());
        assert!(log_e(&[(5.0, 0.0), (5.0, huge)], t).is_finite());
    }
}
