//! A metric of one model on rows that occur any number of times.

use modelward_crds::MetricName;
use modelward_model::math::ln;

use crate::{
    fit::{
        candidate::Candidate,
        metrics::{balanced_accuracy, matthews},
    },
    ranking::Ranking,
};

/// The most scores that are ranked per draw: for larger data, the area under the curve is that of the first repeats.
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
    /// How many of the repeats predict class 1 for each row, and how many repeats there are.
    Called(Vec<u64>, u64),
    /// The mean loss of each row.
    Losses(Vec<f64>),
    /// The rows of each repeat by score.
    Ranked(Vec<Ranking>),
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

    /// No scores yet, with room for those of so many rows.
    pub(crate) fn without_rows(repeats: usize, rows: usize) -> Self {
        Self {
            repeats: (0..repeats).map(|_| Vec::with_capacity(rows)).collect(),
            called: (0..repeats).map(|_| Vec::with_capacity(rows)).collect(),
        }
    }

    /// Adds a row with its score of each repeat, and whether it is classified as 1.
    pub(crate) fn push_row(&mut self, answers: impl Iterator<Item = (f64, bool)>) {
        let repeats = self.repeats.iter_mut().zip(&mut self.called);
        for ((scores, called), (score, is_one)) in repeats.zip(answers) {
            scores.push(score);
            called.push(is_one);
        }
    }

    /// A candidate's scores, each classified by the threshold that the other folds chose.
    pub(crate) fn out_of_fold(rows: usize, candidate: &Candidate) -> Self {
        let count = candidate.folds.iter().map(|fold| fold.repeat + 1).max();
        Self::of_repeats(rows, candidate, count.unwrap_or(0))
    }

    /// Only those of the first repeat.
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
                let rank = |scores: &Vec<f64>| {
                    let of_rows: Vec<f64> = rows.iter().map(|row| scores[*row]).collect();
                    Ranking::new(&of_rows)
                };
                Self::Ranked(repeats.iter().take(most).map(rank).collect())
            }
        }
    }

    /// The metric if each row occurs this many times.
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
                let area = |ranking: &Ranking| match metric {
                    MetricName::PrAuc => ranking.average_precision(labels, |row| times[row]),
                    _ => ranking.roc_auc(labels, |row| times[row]),
                };
                let areas: f64 = repeats.iter().map(area).sum();
                areas / repeats.len().max(1) as f64
            }
        }
    }
}
