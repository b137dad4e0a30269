//! One number by another.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_pair, number, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// The first number by the second. Missing where one of them is, where the second is 0, and where single precision does not hold the result.
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
            // By 0 it is infinite or no number, which is missing.
            [a, b] => number(*a).zip(number(*b)).map(|(a, b)| a / b),
            _ => None,
        };
        out.push(quotient.map_or(Value::Missing, rounded));
    }
}
