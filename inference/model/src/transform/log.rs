//! The natural logarithm.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_numeric, only_number, rounded};
use crate::{
    math::ln,
    schema::{Feature, FeatureKind, Value},
};

/// `ln(x + offset)`. Missing if `x + offset` is not above 0, or if x is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Log {
    /// The offset, at least 0. It is a 32-bit float, except in bundles of earlier trainers.
    pub offset: f64,
}

impl Transform for Log {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_numeric(inputs)?;
        if !(self.offset.is_finite() && self.offset >= 0.0) {
            return Err(Misfit::Number("offset"));
        }
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let positive = only_number(inputs)
            .map(|x| x + self.offset)
            .filter(|sum| *sum > 0.0);
        out.push(positive.map_or(Value::Missing, |sum| rounded(ln(sum))));
    }
}
