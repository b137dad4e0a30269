//! The position of the category in an order.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, categories};
use crate::schema::{Feature, FeatureKind, Value};

/// Maximum position. Single precision represents all integers up to it.
const MAX_RANK: u32 = 1 << 24;

/// The position of the category in an order, from 0. Missing and unknown categories are missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ordinal {
    /// The position of each category of the input column.
    pub ranks: Vec<u32>,
}

impl Transform for Ordinal {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        let expected = categories(inputs)?.len();
        if self.ranks.len() != expected {
            return Err(Misfit::Count {
                field: "ranks",
                found: self.ranks.len(),
                expected,
            });
        }
        if self.ranks.iter().any(|rank| *rank > MAX_RANK) {
            return Err(Misfit::Number("ranks"));
        }
        Ok(vec![Feature::numeric(name)])
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let rank = match inputs.first() {
            Some(Value::Category(index)) => self.ranks.get(*index as usize),
            _ => None,
        };
        out.push(rank.map_or(Value::Missing, |rank| Value::Number(*rank as f32)));
    }
}
