//! The share of the category among the training rows.

use modelward_model::transform::{ByCategory, Fitted};

use super::contract::{ColumnOutline, Inputs, TransformKind};
use crate::data::dataset::Values;

/// The share of the training rows that have the category, or lack a value; 0 for one that none has. It says nothing about classes, so rows
/// that are fitted on and rows that are scored have the same values.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrequencyEncode;

impl TransformKind for FrequencyEncode {
    fn outline(&self, name: &str, inputs: &[&ColumnOutline]) -> Result<Vec<ColumnOutline>, String> {
        for input in inputs {
            input.check_categorical()?;
        }
        Ok(vec![ColumnOutline::numeric(name)])
    }

    fn fit(&self, inputs: &Inputs<'_>) -> Result<Fitted, String> {
        let indices = inputs.indices();
        let mut counts = vec![0_u64; inputs.categories().len()];
        let mut missing = 0_u64;
        for index in indices {
            match counts.get_mut(*index as usize) {
                Some(count) => *count += 1,
                None => missing += u64::from(*index == Values::MISSING),
            }
        }
        let share = |count: u64| count as f64 / indices.len().max(1) as f64;
        Ok(Fitted::FrequencyEncode(ByCategory {
            values: counts.into_iter().map(share).collect(),
            missing: share(missing),
            unknown: 0.0,
        }))
    }
}
