//! A number for each category: the parameters of target and frequency encoding.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, categories, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// A number for each category, one for missing values and one for unknown categories.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ByCategory {
    /// For each category of the input column.
    pub values: Vec<f64>,
    /// For a missing value.
    pub missing: f64,
    /// For a category that is not in the training data.
    pub unknown: f64,
}

impl Transform for ByCategory {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        let expected = categories(inputs)?.len();
        if self.values.len() != expected {
            return Err(Misfit::Count {
                field: "values",
                found: self.values.len(),
                expected,
            });
        }
        // Each is a rate or a share of rows.
        let is_share = |value: &f64| (0.0..=1.0).contains(value);
        if !self.values.iter().all(is_share) {
            return Err(Misfit::Number("values"));
        }
        if !is_share(&self.missing) {
            return Err(Misfit::Number("missing"));
        }
        if !is_share(&self.unknown) {
            return Err(Misfit::Number("unknown"));
        }
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let number = match inputs.first() {
            Some(Value::Category(index)) => self.values.get(*index as usize).copied().unwrap_or(self.unknown),
            Some(Value::Missing) | None => self.missing,
            Some(Value::Unknown | Value::Number(_)) => self.unknown,
        };
        out.push(rounded(number));
    }
}
