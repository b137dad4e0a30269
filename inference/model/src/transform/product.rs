//! One number times another.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_pair, number, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// The first number times the second. Missing if one of them is missing, or if the result does not fit into single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {}

impl Transform for Product {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_pair(inputs)?;
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let product = match inputs {
            [a, b] => number(*a).zip(number(*b)).map(|(a, b)| a * b),
            _ => None,
        };
        out.push(product.map_or(Value::Missing, rounded));
    }
}
