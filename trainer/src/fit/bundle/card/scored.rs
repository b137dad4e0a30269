//! The rows that the figures show: those that the first repeat tested, once each.

use crate::{
    fit::{candidate::Candidate, metrics::Confusion},
    ranking::{Called, Ranking},
};

/// Out-of-fold scores of one candidate with their classes. A row that no fold tested is not among them.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) family: &'static str,
    pub(super) labels: Vec<bool>,
    pub(super) scores: Vec<f64>,
    pub(super) ranking: Ranking,
    /// The answers at the thresholds that other folds chose.
    pub(super) confusion: Confusion,
}

/// Rows of neighbouring scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    pub(super) rows: usize,
    /// The mean score.
    pub(super) score: f64,
    /// The share of class 1.
    pub(super) share: f64,
    /// Its 95% interval.
    pub(super) interval: (f64, f64),
}

// === impl Scored ===

impl Scored {
    pub(super) fn of(candidate: &Candidate, labels: &[bool]) -> Self {
        let folds = || candidate.folds.iter().filter(|fold| fold.repeat == 0);
        let scores: Vec<f64> = folds().flat_map(|fold| fold.scores.iter().copied()).collect();
        Self {
            family: candidate.family,
            labels: folds()
                .flat_map(|fold| fold.rows.iter().map(|row| labels[*row]))
                .collect(),
            ranking: Ranking::new(&scores),
            scores,
            confusion: folds().fold(Confusion::default(), |sum, fold| sum.plus(fold.confusion(labels))),
        }
    }

    pub(super) fn positives(&self) -> u64 {
        self.labels.iter().filter(|label| **label).count() as u64
    }

    pub(super) fn negatives(&self) -> u64 {
        self.labels.len() as u64 - self.positives()
    }

    /// False positive rates with true positive rates, from (0, 0) to (1, 1).
    pub(super) fn roc(&self) -> Vec<(f64, f64)> {
        let (ones, zeros) = (self.positives().max(1) as f64, self.negatives().max(1) as f64);
        let called = self.ranking.called(&self.labels);
        let point = |at: Called| (at.wrong as f64 / zeros, at.right as f64 / ones);
        called.into_iter().map(point).collect()
    }

    /// Recalls with precisions. Without rows there is no precision, so the first is that of the greatest score.
    pub(super) fn precision_recall(&self) -> Vec<(f64, f64)> {
        let ones = self.positives().max(1) as f64;
        let called = self.ranking.called(&self.labels);
        let point = |at: &Called| {
            let precision = at.right as f64 / (at.right + at.wrong) as f64;
            (at.right as f64 / ones, precision)
        };
        called.iter().skip(1).map(point).collect()
    }

    /// Bins of about equally many rows; rows of one score are in one bin.
    pub(super) fn bins(&self, most: usize, least_rows: usize) -> Vec<Bin> {
        let order = self.ranking.order();
        let count = (order.len() / least_rows.max(1)).clamp(1, most);
        let (mut bins, mut start) = (Vec::new(), 0);
        for at in 0..order.len() {
            let is_full = (at + 1) * count >= (bins.len() + 1) * order.len();
            let is_last = at + 1 == order.len();
            if is_last || is_full && self.scores[order[at]] != self.scores[order[at + 1]] {
                bins.push(self.bin(&order[start..=at]));
                start = at + 1;
            }
        }
        bins
    }

    fn bin(&self, rows: &[usize]) -> Bin {
        let n = rows.len() as f64;
        let ones = rows.iter().filter(|row| self.labels[**row]).count() as f64;
        Bin {
            rows: rows.len(),
            score: rows.iter().map(|row| self.scores[*row]).sum::<f64>() / n,
            share: ones / n,
            interval: wilson(ones, n),
        }
    }

    /// Rows of class 1 and of class 0 by score, in bins of equal width.
    pub(super) fn histogram(&self, bins: usize) -> Vec<(u64, u64)> {
        let mut counts = vec![(0, 0); bins];
        for (label, score) in self.labels.iter().zip(&self.scores) {
            let at = ((score.clamp(0.0, 1.0) * bins as f64) as usize).min(bins - 1);
            if *label {
                counts[at].0 += 1;
            } else {
                counts[at].1 += 1;
            }
        }
        counts
    }
}

/// The 95% interval of a share (Wilson 1927).
fn wilson(ones: f64, n: f64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    let share = ones / n;
    let whole = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / whole;
    let half = Z / whole * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        family::Parameters,
        fit::{candidate::ScoredFold, train::tests::plan},
    };

    /// A candidate whose first repeat tests these rows of more.
    pub(in crate::fit::bundle::card) fn scored(scores: &[f64], labels: &[bool]) -> Scored {
        let all: Vec<bool> = [false, true].into_iter().chain(labels.iter().copied()).collect();
        let fold = |repeat| ScoredFold {
            repeat,
            fold: 0,
            rows: (2..all.len()).collect(),
            scores: scores.to_vec(),
        };
        let candidate = crate::fit::candidate::Candidate::new(
            "Any",
            Parameters::new([]),
            crate::fit::labels::Labels::at_any_time(&all),
            &[fold(0), fold(1)],
            &plan(),
        );
        Scored::of(&candidate.unwrap(), &all)
    }

    #[test]
    fn rows_that_no_fold_tested_are_in_no_figure() {
        let found = scored(&[0.9, 0.2, 0.6, 0.4], &[true, false, false, true]);
        assert_eq!((found.positives(), found.negatives()), (2, 2));
        let counts = found.confusion;
        assert_eq!(
            (
                counts.true_positives,
                counts.false_positives,
                counts.false_negatives
            ),
            (1, 1, 1)
        );
        assert_eq!(found.roc().len(), 5);
        assert_eq!(found.precision_recall()[0], (0.5, 1.0));
    }

    #[test]
    fn bins_have_equally_many_rows_and_do_not_part_equal_scores() {
        let scores: Vec<f64> = (0..100).map(|at| f64::from(at) / 100.0).collect();
        let labels: Vec<bool> = (0..100).map(|at| at >= 50).collect();
        let bins = scored(&scores, &labels).bins(10, 5);
        assert!(bins.iter().all(|bin| bin.rows == 10), "{bins:?}");
        assert_eq!((bins[0].share, bins[9].share), (0.0, 1.0));
        let tied = scored(&[0.5; 40], &labels[30..70]).bins(10, 4);
        assert_eq!(tied.iter().map(|bin| bin.rows).collect::<Vec<_>>(), [40]);
        assert_eq!(scored(&scores[..7], &labels[..7]).bins(10, 20).len(), 1);
    }

    /// The expected numbers are statsmodels' `proportion_confint(method="wilson")`.
    #[test]
    fn the_interval_of_a_share_is_wilsons() {
        let (low, high) = wilson(8.0, 10.0);
        assert!(
            (low - 0.490_162).abs() < 1e-5 && (high - 0.943_318).abs() < 1e-5,
            "{low} {high}"
        );
        assert_eq!(wilson(0.0, 10.0).0, 0.0);
    }
}
