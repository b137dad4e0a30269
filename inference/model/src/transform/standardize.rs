//! A number minus the mean, divided by the standard deviation.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_numeric, only_number, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// `(x - mean) / scale`. A missing number stays missing, as in scikit-learn's `StandardScaler`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Standardize {
    /// The mean of the numbers of the training rows.
    pub mean: f64,
    /// Their standard deviation (of the population), 1 if they are all equal.
    pub scale: f64,
}

impl Transform for Standardize {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_numeric(inputs)?;
        if !self.mean.is_finite() {
            return Err(Misfit::Number("mean"));
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(Misfit::Number("scale"));
        }
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let standardized = only_number(inputs).map(|x| (x - self.mean) / self.scale);
        out.push(standardized.map_or(Value::Missing, rounded));
    }
}
