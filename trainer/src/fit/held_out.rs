//! Rows that are held out of the evaluation.
//!
//! No search, fold, calibration or threshold sees them. At the end the selected candidate is fitted on all others and measured on them; the model that serves is
//! then fitted on all rows.
//!
//! | folds | held out |
//! |---|---|
//! | of rows, of groups | parts that no fold separates, in a shuffled order, as long as no class has more than its share |
//! | in the order of time | the latest rows; rows of one time are on one side |

use serde::Serialize;

use crate::{
    data::{dataset::Dataset, row_columns::Times},
    family::TrainableFamily,
    fit::{
        candidate::{Candidate, apply},
        error::TrainError,
        evaluate::score_rows,
        folds::{SplitMix64, mix},
        grouped::Part,
        metrics::{Metrics, metrics},
        plan::Plan,
        splits::{SplitError, Splits},
        train::fit_rows,
    },
};

/// Which draws these are; no repeat of the folds, no comparison and no correction has the same.
const STREAM: u64 = 1_004;

/// How the selected candidate did on the rows that were held out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldOutOutcome {
    /// How many rows were held out.
    pub rows: usize,
    /// Rows of class 1 among them.
    pub positive_rows: usize,
    /// In the order of `MetricName::ALL`.
    #[serde(skip)]
    pub metrics: Metrics,
}

/// Fits the selected candidate on the rows that are not held out, and measures it on those that are, with the calibration and threshold that serve.
pub(super) fn measure(
    data: &Dataset,
    plan: &Plan,
    splits: &Splits,
    family: &dyn TrainableFamily,
    candidate: &Candidate,
) -> Result<Option<HeldOutOutcome>, TrainError> {
    let Some((held_out, others)) = splits.held_out() else {
        return Ok(None);
    };
    let fitted = fit_rows(data, plan, family, others)?;
    let mut scores = score_rows(fitted.scorer(), data, held_out);
    for score in &mut scores {
        *score = apply(candidate.calibration.as_ref(), *score);
    }
    let labels: Vec<bool> = held_out.iter().map(|row| data.labels[*row]).collect();
    Ok(Some(HeldOutOutcome {
        rows: labels.len(),
        positive_rows: labels.iter().filter(|label| **label).count(),
        metrics: metrics(&labels, &scores, candidate.threshold.to_f64()),
    }))
}

/// The rows of parts of so large a share, ascending.
pub(super) fn draw(parts: &[Part], share: f64, seed: u64) -> Result<Vec<usize>, SplitError> {
    let mut order: Vec<&Part> = parts.iter().collect();
    SplitMix64::new(mix(seed) ^ mix(STREAM)).shuffle(&mut order);
    let wanted = [0, 1].map(|class| {
        let total: usize = parts.iter().map(|part| part.of_class[class]).sum();
        (total as f64 * share).round() as usize
    });
    let mut taken = [0, 0];
    let mut rows = Vec::new();
    for part in order {
        if (0..2).all(|class| taken[class] + part.of_class[class] <= wanted[class]) {
            for (taken, count) in taken.iter_mut().zip(part.of_class) {
                *taken += count;
            }
            rows.extend_from_slice(&part.rows);
        }
    }
    if let Some(class) = taken.iter().position(|count| *count == 0) {
        return Err(SplitError::HeldOut { class: class as u8 });
    }
    rows.sort_unstable();
    Ok(rows)
}

/// The latest rows of so large a share, ascending.
pub(super) fn latest(times: &Times, labels: &[bool], share: f64) -> Result<Vec<usize>, SplitError> {
    let of_row = &times.of_row;
    let mut order: Vec<usize> = (0..of_row.len()).collect();
    order.sort_by_key(|row| of_row[*row]);
    let mut start = order.len() - (order.len() as f64 * share).round() as usize;
    while start > 0 && start < order.len() && of_row[order[start]] == of_row[order[start - 1]] {
        start += 1;
    }
    let mut rows = order.split_off(start.min(order.len()));
    for class in [false, true] {
        if !rows.iter().any(|row| labels[*row] == class) {
            return Err(SplitError::HeldOut {
                class: u8::from(class),
            });
        }
    }
    rows.sort_unstable();
    Ok(rows)
}
