//! One number divided by another.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_pair, number, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// The first number divided by the second. Missing if one is missing, the second is 0, or the result does not fit into single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {}

impl Transform for Ratio {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_pair(inputs)?;
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let quotient = match inputs {
            // Division by 0 gives infinity or NaN, which is missing.
            [a, b] => number(*a).zip(number(*b)).map(|(a, b)| a / b),
            _ => None,
        };
        out.push(quotient.map_or(Value::Missing, rounded));
    }
}
