//! Metrics of a binary classifier, as scikit-learn defines them, and their means over folds.

use modelward_crds::MetricName;
use modelward_model::math::ln;
use serde::Serialize;

use crate::ranking::Ranking;

/// The metrics of one set of scored rows, in the order of [`MetricName::ALL`].
pub type Metrics = [f64; MetricName::ALL.len()];

/// A mean over folds with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error, corrected for folds that share training rows.
    pub standard_error: f64,
}

/// Rows by true and predicted class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Confusion {
    /// Rows of class 1 that are predicted as 1.
    pub true_positives: u64,
    /// Rows of class 0 that are predicted as 1.
    pub false_positives: u64,
    /// Rows of class 0 that are predicted as 0.
    pub true_negatives: u64,
    /// Rows of class 1 that are predicted as 0.
    pub false_negatives: u64,
}

/// Computes every metric. The class is 1 from the threshold on. If nothing is predicted as 1, precision and F1 are 0;
/// if a class has no rows, the area under the curve is one half and the balanced accuracy that of the other class.
pub fn metrics(labels: &[bool], scores: &[f64], threshold: f64) -> Metrics {
    let Confusion {
        true_positives: tp,
        false_positives: fp,
        true_negatives: tn,
        false_negatives: fn_,
    } = labels
        .iter()
        .copied()
        .zip(scores.iter().copied())
        .fold(Confusion::default(), |counts, (label, score)| {
            counts.and(label, score >= threshold)
        });
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for (label, score) in labels.iter().zip(scores) {
        let error = score - f64::from(u8::from(*label));
        brier += error * error;
        // The bound that scikit-learn sets: a certain and wrong score costs 36, not infinity.
        let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        log_loss -= ln(if *label { score } else { 1.0 - score });
    }
    let n = labels.len().max(1) as f64;
    let ratio = |part: u64, whole: u64| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let ranking = Ranking::new(scores);
    let value = |metric| match metric {
        MetricName::Accuracy => (tp + tn) as f64 / n,
        MetricName::Precision => ratio(tp, tp + fp),
        MetricName::Recall => ratio(tp, tp + fn_),
        MetricName::F1 => ratio(2 * tp, 2 * tp + fp + fn_),
        MetricName::RocAuc => ranking.roc_auc(labels, |_| 1),
        MetricName::LogLoss => log_loss / n,
        MetricName::Brier => brier / n,
        MetricName::PrAuc => ranking.average_precision(labels, |_| 1),
        MetricName::Mcc => matthews(tp, fp, tn, fn_),
        MetricName::BalancedAccuracy => balanced_accuracy(tp, fp, tn, fn_),
    };
    MetricName::ALL.map(value)
}

// === impl Confusion ===

impl Confusion {
    /// The same with one more row.
    #[must_use]
    pub fn and(mut self, label: bool, is_called: bool) -> Self {
        let place = match (label, is_called) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (false, false) => &mut self.true_negatives,
            (true, false) => &mut self.false_negatives,
        };
        *place += 1;
        self
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            true_positives: self.true_positives + other.true_positives,
            false_positives: self.false_positives + other.false_positives,
            true_negatives: self.true_negatives + other.true_negatives,
            false_negatives: self.false_negatives + other.false_negatives,
        }
    }
}

/// A value as sentences, tables and figures show it: rounded to four places, without a negative zero.
pub(crate) fn four_places(value: f64) -> String {
    let text = format!("{value:.4}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|digit| matches!(digit, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

/// The Matthews correlation of classes and predictions; 0 if either has only one value.
pub(crate) fn matthews(tp: u64, fp: u64, tn: u64, fn_: u64) -> f64 {
    let [tp, fp, tn, fn_] = [tp, fp, tn, fn_].map(|count| count as f64);
    let product = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
    if product == 0.0 {
        return 0.0;
    }
    (tp * tn - fp * fn_) / product.sqrt()
}

/// The mean recall of the classes that occur.
pub(crate) fn balanced_accuracy(tp: u64, fp: u64, tn: u64, fn_: u64) -> f64 {
    let recall = |right: u64, wrong: u64| (right + wrong > 0).then(|| right as f64 / (right + wrong) as f64);
    match (recall(tp, fn_), recall(tn, fp)) {
        (Some(one), Some(zero)) => f64::midpoint(one, zero),
        (one, zero) => one.or(zero).unwrap_or(0.0),
    }
}

/// The mean over J folds and its standard error `sd · √(1/J + n_test/n_train)` (Nadeau and Bengio 2003): folds share
/// training rows, so the naive `sd/√J` is several times too small.
pub fn estimate(values: &[f64], test_to_train: f64) -> Estimate {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    let variance = squares / (n - 1.0).max(1.0);
    Estimate {
        mean,
        standard_error: (variance * (1.0 / n + test_to_train)).sqrt(),
    }
}

/// The place of a metric in [`Metrics`].
pub fn position(metric: MetricName) -> usize {
    MetricName::ALL
        .iter()
        .position(|other| *other == metric)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LABELS: [bool; 6] = [false, false, true, true, false, true];
    const SCORES: [f64; 6] = [0.1, 0.4, 0.35, 0.8, 0.5, 0.5];

    fn metric(metric: MetricName) -> f64 {
        metrics(&LABELS, &SCORES, 0.5)[position(metric)]
    }

    /// The expected numbers are scikit-learn's.
    #[test]
    fn four_places_are_rounded_and_have_no_negative_zero() {
        let shown = [0.823_951, 0.668_16, -0.25, -0.000_01, 1.0].map(four_places);
        assert_eq!(shown, ["0.8240", "0.6682", "-0.2500", "0.0000", "1.0000"]);
    }

    #[test]
    fn every_metric_of_a_small_sample_is_right() {
        let near = |metric_name, expected: f64| {
            let found = metric(metric_name);
            assert!(
                (found - expected).abs() < 1e-12,
                "{metric_name:?} is {found}, expected {expected}"
            );
        };
        near(MetricName::Accuracy, 4.0 / 6.0);
        near(MetricName::Precision, 2.0 / 3.0);
        near(MetricName::Recall, 2.0 / 3.0);
        near(MetricName::F1, 2.0 / 3.0);
        near(MetricName::RocAuc, 6.5 / 9.0);
        near(MetricName::LogLoss, 0.545_907_696_059_432_6);
        near(MetricName::Brier, 0.188_75);
    }

    #[test]
    fn certain_and_wrong_is_finite_and_nothing_called_one_is_zero() {
        let found = metrics(&[true, true, false], &[0.0, 0.2, 0.1], 0.5);
        assert!(found[position(MetricName::LogLoss)].is_finite());
        assert_eq!(found[position(MetricName::Precision)], 0.0);
        assert_eq!(found[position(MetricName::F1)], 0.0);
        assert!(metrics(&[], &[], 0.5).iter().all(|metric| metric.is_finite()));
    }

    #[test]
    fn the_standard_error_counts_the_overlap_of_folds() {
        let found = estimate(&[0.7, 0.8, 0.9, 0.8], 0.25);
        assert!((found.mean - 0.8).abs() < 1e-15);
        let sd = (0.02_f64 / 3.0).sqrt();
        assert!((found.standard_error - sd * 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!(estimate(&[0.7], 0.25).standard_error, 0.0);
    }

    proptest! {
        #[test]
        fn the_area_under_the_curve_is_the_share_of_ordered_pairs(
            rows in prop::collection::vec((any::<bool>(), 0_u8..6), 0..40)
        ) {
            let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 8.0).collect();
            let (mut sum, mut pairs) = (0.0, 0.0);
            for (up, _) in labels.iter().enumerate().filter(|(_, label)| **label) {
                for (down, _) in labels.iter().enumerate().filter(|(_, label)| !**label) {
                    pairs += 1.0;
                    sum += if scores[up] > scores[down] { 1.0 } else if scores[up] == scores[down] { 0.5 } else { 0.0 };
                }
            }
            let expected = if pairs == 0.0 { 0.5 } else { sum / pairs };
            prop_assert!((metrics(&labels, &scores, 0.5)[position(MetricName::RocAuc)] - expected).abs() < 1e-12);
        }
    }
}
