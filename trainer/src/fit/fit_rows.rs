//! A model of many rows, compared with its library.

use crate::{
    data::dataset::{Dataset, Sample},
    family::{FitError, FittedModel, TrainableFamily},
    fit::{error::TrainError, evaluate::check_parity, plan::Plan},
};

/// Rows, at most and evenly spread, on which the model of all rows is compared with what was exported of it.
const COMPARED: usize = 1 << 16;

/// Fits a family on these rows, all or those that are not held out, and compares the exported model with the library's on some of them.
pub(super) fn fit_rows(
    data: &Dataset,
    plan: &Plan,
    family: &dyn TrainableFamily,
    rows: Vec<usize>,
) -> Result<Box<dyn FittedModel>, TrainError> {
    let weights = plan.weighting.of_rows(data, &rows);
    let sample = Sample {
        weights: weights.as_deref(),
        ..Sample::of(data, &rows)
    };
    let fitted = family
        .fit(sample.into())
        .map_err(|source: FitError| TrainError::Whole {
            family: family.served().name(),
            source,
        })?;
    let apart = rows.len().div_ceil(COMPARED).max(1);
    let some: Vec<usize> = rows.into_iter().step_by(apart).collect();
    check_parity(family, &*fitted, data, &some)?;
    Ok(fitted)
}
