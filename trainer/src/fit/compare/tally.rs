//! A metric of one model, where each row is there so many times.

use modelward_crds::MetricName;
use modelward_model::math::ln;

use crate::fit::{
    candidate::Candidate,
    metrics::{balanced_accuracy, matthews},
};

/// Scores that are ranked a draw, at most: of larger data, the first repeats alone have their area under the curve.
const RANKED: usize = 2_000_000;

/// The scores of one model.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    /// Each repeat's score of each row.
    pub(crate) repeats: Vec<Vec<f64>>,
    /// Whether each is classified as 1.
    pub(crate) called: Vec<Vec<bool>>,
}

/// What a metric needs to know of one model's scores, so that a draw costs one pass over the rows.
pub(crate) enum Tally {
    /// How many of the repeats call each row 1, and how many repeats there are.
    Called(Vec<u64>, u64),
    /// The mean loss of each row.
    Losses(Vec<f64>),
    /// For each repeat, the rows by rising score, and whether each has a greater score than the one before.
    Ranked(Vec<Vec<(usize, bool)>>),
}

// === impl Scores ===

impl Scores {
    /// Scores that are classified by one threshold.
    pub(crate) fn by_threshold(threshold: f64, repeats: Vec<Vec<f64>>) -> Self {
        let call = |scores: &Vec<f64>| scores.iter().map(|score| *score >= threshold).collect();
        Self {
            called: repeats.iter().map(call).collect(),
            repeats,
        }
    }

    /// A candidate's scores, each classified by the threshold that the other folds chose.
    pub(crate) fn out_of_fold(rows: usize, candidate: &Candidate) -> Self {
        let count = candidate.folds.iter().map(|fold| fold.repeat + 1).max();
        Self::of_repeats(rows, candidate, count.unwrap_or(0))
    }

    /// Those of the first repeat alone.
    pub(crate) fn of_first_repeat(rows: usize, candidate: &Candidate) -> Self {
        Self::of_repeats(rows, candidate, 1)
    }

    fn of_repeats(rows: usize, candidate: &Candidate, count: usize) -> Self {
        let mut repeats = vec![vec![0.0; rows]; count];
        let mut called = vec![vec![false; rows]; count];
        for fold in candidate.folds.iter().filter(|fold| fold.repeat < count) {
            for (row, score) in fold.rows.iter().zip(&fold.scores) {
                repeats[fold.repeat][*row] = *score;
                called[fold.repeat][*row] = *score >= fold.threshold;
            }
        }
        Self { repeats, called }
    }
}

// === impl Tally ===

impl Tally {
    pub(crate) fn new(scores: &Scores, rows: &[usize], labels: &[bool], metric: MetricName) -> Self {
        let repeats = &scores.repeats;
        let mean_loss = |loss: fn(bool, f64) -> f64| {
            let of = |(row, label): (&usize, &bool)| {
                let sum: f64 = repeats.iter().map(|scores| loss(*label, scores[*row])).sum();
                sum / repeats.len() as f64
            };
            Self::Losses(rows.iter().zip(labels).map(of).collect())
        };
        match metric {
            MetricName::Accuracy
            | MetricName::Precision
            | MetricName::Recall
            | MetricName::F1
            | MetricName::Mcc
            | MetricName::BalancedAccuracy => {
                let called = |row: &usize| {
                    let ones = scores.called.iter().filter(|called| called[*row]);
                    ones.count() as u64
                };
                Self::Called(rows.iter().map(called).collect(), repeats.len() as u64)
            }
            MetricName::LogLoss => mean_loss(|label, score| {
                let score = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
                -ln(if label { score } else { 1.0 - score })
            }),
            MetricName::Brier => mean_loss(|label, score| {
                let error = score - f64::from(u8::from(label));
                error * error
            }),
            MetricName::RocAuc | MetricName::PrAuc => {
                let most = (RANKED / rows.len().max(1)).max(1);
                Self::Ranked(
                    repeats
                        .iter()
                        .take(most)
                        .map(|scores| ranked(scores, rows))
                        .collect(),
                )
            }
        }
    }

    /// The metric where each row is there so many times.
    pub(crate) fn value(&self, metric: MetricName, labels: &[bool], times: &[u64]) -> f64 {
        match self {
            Self::Called(called, repeats) => {
                let (mut tp, mut fp, mut positives, mut rows) = (0, 0, 0, 0);
                for ((label, called), times) in labels.iter().zip(called).zip(times) {
                    rows += times * repeats;
                    if *label {
                        positives += times * repeats;
                        tp += times * called;
                    } else {
                        fp += times * called;
                    }
                }
                let ratio = |part: u64, whole: u64| {
                    if whole == 0 {
                        0.0
                    } else {
                        part as f64 / whole as f64
                    }
                };
                match metric {
                    MetricName::Accuracy => ratio(tp + (rows - positives - fp), rows),
                    MetricName::Precision => ratio(tp, tp + fp),
                    MetricName::Recall => ratio(tp, positives),
                    MetricName::Mcc => matthews(tp, fp, rows - positives - fp, positives - tp),
                    MetricName::BalancedAccuracy => {
                        balanced_accuracy(tp, fp, rows - positives - fp, positives - tp)
                    }
                    _ => ratio(2 * tp, positives + tp + fp),
                }
            }
            Self::Losses(losses) => {
                let (mut sum, mut rows) = (0.0, 0);
                for (loss, times) in losses.iter().zip(times) {
                    sum += loss * *times as f64;
                    rows += times;
                }
                sum / rows.max(1) as f64
            }
            Self::Ranked(repeats) => {
                let of_metric = if metric == MetricName::PrAuc {
                    average_precision
                } else {
                    area
                };
                let areas: f64 = repeats.iter().map(|order| of_metric(order, labels, times)).sum();
                areas / repeats.len().max(1) as f64
            }
        }
    }
}

/// Indices of `rows` by rising score, and whether each begins a new one.
fn ranked(scores: &[f64], rows: &[usize]) -> Vec<(usize, bool)> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|a, b| scores[rows[*a]].total_cmp(&scores[rows[*b]]));
    let begins = |at: usize| at == 0 || scores[rows[order[at]]] > scores[rows[order[at - 1]]];
    order
        .iter()
        .enumerate()
        .map(|(at, row)| (*row, begins(at)))
        .collect()
}

/// The average precision where each row is there so many times; 0 where class 1 is absent.
fn average_precision(order: &[(usize, bool)], labels: &[bool], times: &[u64]) -> f64 {
    let (mut found, mut seen, mut up, mut sum) = (0_u64, 0_u64, 0_u64, 0.0);
    // From the greatest score down: a group ends with the row that begins it upwards.
    for (row, begins) in order.iter().rev() {
        seen += times[*row];
        if labels[*row] {
            up += times[*row];
        }
        if *begins && up > 0 {
            found += up;
            sum += up as f64 * found as f64 / seen as f64;
            up = 0;
        }
    }
    if found == 0 { 0.0 } else { sum / found as f64 }
}

/// The area under the curve, ties counted half, where each row is there so many times; one half where a class is absent.
fn area(order: &[(usize, bool)], labels: &[bool], times: &[u64]) -> f64 {
    let (mut halves, mut below, mut up, mut down) = (0_u128, 0_u128, 0_u128, 0_u128);
    let (mut positives, mut negatives) = (0_u128, 0_u128);
    for (row, begins) in order {
        if *begins {
            halves += up * (2 * below + down);
            below += down;
            (up, down) = (0, 0);
        }
        let times = u128::from(times[*row]);
        if labels[*row] {
            up += times;
            positives += times;
        } else {
            down += times;
            negatives += times;
        }
    }
    halves += up * (2 * below + down);
    if positives == 0 || negatives == 0 {
        return 0.5;
    }
    halves as f64 / (2 * positives * negatives) as f64
}
