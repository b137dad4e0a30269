//! Clips values to bounds.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_numeric, only_number, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// The nearest number within the bounds. A missing number stays missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clip {
    /// The lower bound, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The upper bound, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Transform for Clip {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_numeric(inputs)?;
        let is_wrong = |bound: &f64| rounded(*bound) == Value::Missing;
        if self.min.iter().any(is_wrong) {
            return Err(Misfit::Number("min"));
        }
        if self.max.iter().any(is_wrong) || self.min.zip(self.max).is_some_and(|(min, max)| min > max) {
            return Err(Misfit::Number("max"));
        }
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let clipped = only_number(inputs).map(|x| {
            let x = self.min.map_or(x, |min| x.max(min));
            self.max.map_or(x, |max| x.min(max))
        });
        out.push(clipped.map_or(Value::Missing, rounded));
    }
}
