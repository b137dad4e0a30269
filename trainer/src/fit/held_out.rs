//! How the selected candidate performs on the rows that are held out.
//!
//! It is fitted on all others and measured on them; the model that serves is then fitted on all rows.

use serde::Serialize;

use crate::{
    data::dataset::Dataset,
    family::TrainableFamily,
    fit::{
        candidate::{Candidate, apply},
        error::TrainError,
        evaluate::score_rows,
        fit_rows::fit_rows,
        metrics::{Metrics, metrics},
        plan::Plan,
        splits::Splits,
    },
};

/// How the selected candidate performed on the rows that were held out.
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

/// Fits the selected candidate on the rows that are not held out, and measures it on those that are, with the calibration and threshold that serve,
/// or, in the order of time with a gap, with those that are known by then. An ensemble has the weights and calibrations that serve.
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
    let (calibration, threshold) = match &candidate.before_held_out {
        Some((calibration, threshold)) => (calibration.as_ref(), threshold),
        None => (candidate.calibration.as_ref(), &candidate.threshold),
    };
    let mut scores = score_rows(fitted.scorer(), data, held_out);
    for score in &mut scores {
        *score = apply(calibration, *score);
    }
    let labels: Vec<bool> = held_out.iter().map(|row| data.labels[*row]).collect();
    Ok(Some(HeldOutOutcome {
        rows: labels.len(),
        positive_rows: labels.iter().filter(|label| **label).count(),
        metrics: metrics(&labels, &scores, threshold.to_f64()),
    }))
}
