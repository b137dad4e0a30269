//! A column of 0 and 1 for each category.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, categories};
use crate::schema::{Feature, FeatureKind, Value};

/// A column for each category, named `NAME=CATEGORY`: 1 for the row's category, else 0. Missing and unknown categories have 0 everywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneHot {
    /// The categories of the input column, in order.
    pub categories: Vec<String>,
}

impl Transform for OneHot {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        let found = categories(inputs)?;
        if self.categories.len() != found.len() {
            return Err(Misfit::Count {
                field: "categories",
                found: self.categories.len(),
                expected: found.len(),
            });
        }
        if let Some((other, _)) = self.categories.iter().zip(found).find(|(own, of)| own != of) {
            return Err(Misfit::Category(other.clone()));
        }
        let column = |category| Feature::numeric(&format!("{name}={category}"));
        Ok(self.categories.iter().map(column).collect())
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let present = match inputs.first() {
            Some(Value::Category(index)) => Some(*index as usize),
            _ => None,
        };
        let column = |at| Value::Number(if present == Some(at) { 1.0 } else { 0.0 });
        out.extend((0..self.categories.len()).map(column));
    }
}
