//! A column of 0 and 1 for each category: scikit-learn's `OneHotEncoder(categories=…, handle_unknown="ignore")`.

use modelward_model::transform::{self as served, Fitted};

use super::contract::{ColumnOutline, Inputs, TransformKind};

/// A column for each category of the feature, also for those that the training rows lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct OneHot;

impl TransformKind for OneHot {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        let [input] = inputs else {
            return Err("reads one column".to_owned());
        };
        let categories = input.check_categorical()?.unwrap_or_default().iter();
        let column = |category| ColumnOutline::numeric(format!("{name}={category}"));
        Ok(categories.map(column).collect())
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        Ok(Fitted::OneHot(served::OneHot {
            categories: inputs.categories().to_vec(),
        }))
    }
}
