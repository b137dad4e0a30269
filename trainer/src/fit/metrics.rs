//! Metrics of a binary classifier, as scikit-learn defines them, and their means over folds.

use modelward_crds::MetricName;
use modelward_model::math::ln;

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

/// Computes every metric. The class is 1 from the threshold on. Where nothing is called 1, precision and F1 are 0;
/// where a class has no rows, the area under the curve is one half and the balanced accuracy that of the other class.
pub fn metrics(labels: &[bool], scores: &[f64], threshold: f64) -> Metrics {
    let (mut tp, mut fp, mut tn, mut fn_) = (0_u64, 0_u64, 0_u64, 0_u64);
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for (label, score) in labels.iter().zip(scores) {
        match (*label, *score >= threshold) {
            (true, true) => tp += 1,
            (false, true) => fp += 1,
            (false, false) => tn += 1,
            (true, false) => fn_ += 1,
        }
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
    let value = |metric| match metric {
        MetricName::Accuracy => (tp + tn) as f64 / n,
        MetricName::Precision => ratio(tp, tp + fp),
        MetricName::Recall => ratio(tp, tp + fn_),
        MetricName::F1 => ratio(2 * tp, 2 * tp + fp + fn_),
        MetricName::RocAuc => roc_auc(labels, scores),
        MetricName::LogLoss => log_loss / n,
        MetricName::Brier => brier / n,
        MetricName::PrAuc => average_precision(labels, scores),
        MetricName::Mcc => matthews(tp, fp, tn, fn_),
        MetricName::BalancedAccuracy => balanced_accuracy(tp, fp, tn, fn_),
    };
    MetricName::ALL.map(value)
}

/// Matthews' correlation of the classes with the answers; 0 where one of them has one value alone.
pub(crate) fn matthews(tp: u64, fp: u64, tn: u64, fn_: u64) -> f64 {
    let [tp, fp, tn, fn_] = [tp, fp, tn, fn_].map(|count| count as f64);
    let product = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
    if product == 0.0 {
        return 0.0;
    }
    (tp * tn - fp * fn_) / product.sqrt()
}

/// The mean of the recalls of the classes that there are.
pub(crate) fn balanced_accuracy(tp: u64, fp: u64, tn: u64, fn_: u64) -> f64 {
    let recall = |right: u64, wrong: u64| (right + wrong > 0).then(|| right as f64 / (right + wrong) as f64);
    match (recall(tp, fn_), recall(tn, fp)) {
        (Some(one), Some(zero)) => f64::midpoint(one, zero),
        (one, zero) => one.or(zero).unwrap_or(0.0),
    }
}

/// The mean precision over the rows of class 1, from the greatest score down; rows of equal scores come together. 0 without such rows.
fn average_precision(labels: &[bool], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let (mut found, mut seen, mut sum) = (0_u64, 0_u64, 0.0);
    for group in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let up = group.iter().filter(|row| labels[**row]).count() as u64;
        found += up;
        seen += group.len() as u64;
        sum += up as f64 * found as f64 / seen as f64;
    }
    if found == 0 { 0.0 } else { sum / found as f64 }
}

/// The probability that a row of class 1 scores above one of class 0, ties counting half.
fn roc_auc(labels: &[bool], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let positives = labels.iter().filter(|label| **label).count() as u64;
    let negatives = labels.len() as u64 - positives;
    if positives == 0 || negatives == 0 {
        return 0.5;
    }
    // Pairs in halves, so that the sum stays a whole number.
    let (mut halves, mut below, mut start) = (0_u128, 0_u128, 0);
    while start < order.len() {
        let tied = order[start..]
            .iter()
            .take_while(|row| scores[**row] == scores[order[start]])
            .count();
        let group = &order[start..start + tied];
        let up = group.iter().filter(|row| labels[**row]).count() as u128;
        let down = tied as u128 - up;
        halves += up * (2 * below + down);
        below += down;
        start += tied;
    }
    halves as f64 / (2 * u128::from(positives) * u128::from(negatives)) as f64
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
            prop_assert!((roc_auc(&labels, &scores) - expected).abs() < 1e-12);
        }
    }
}
