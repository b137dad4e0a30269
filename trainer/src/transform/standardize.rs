//! A number minus the mean, divided by the standard deviation: scikit-learn's `StandardScaler`.

use modelward_model::transform::{self as served, Fitted};

use super::contract::{ColumnOutline, Inputs, TransformKind};
use crate::family::encode::mean_and_scale;

/// The mean and the standard deviation of the numbers that are not missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standardize;

impl TransformKind for Standardize {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        inputs.iter().try_for_each(|input| input.check_numeric())?;
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        let (mean, scale) = mean_and_scale(&inputs.numbers());
        Ok(Fitted::Standardize(served::Standardize { mean, scale }))
    }
}
