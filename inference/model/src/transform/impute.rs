//! Replaces missing values.

use serde::{Deserialize, Serialize};

use super::contract::{Misfit, Transform, check_count, rounded};
use crate::schema::{Feature, FeatureKind, Value};

/// Replaces missing values. An unknown category stays unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Impute {
    /// The value that replaces missing ones.
    pub value: Filling,
    /// Whether there is a second column, `NAME.missing`, which is 1 if the value was missing and 0 otherwise.
    pub indicator: bool,
}

/// The value that replaces missing ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Filling {
    /// For a column of numbers.
    Number(f64),
    /// For a column of categories.
    Category {
        /// The canonical category. If the column does not have it, it is added after the others.
        name: String,
        /// Its index among the categories of the output column.
        index: u32,
    },
}

impl Transform for Impute {
    fn columns(&self, name: &str, inputs: &[&FeatureKind]) -> Result<Vec<Feature>, Misfit> {
        check_count(inputs, 1)?;
        let mut made = Feature::numeric(name);
        match (&self.value, inputs) {
            (Filling::Number(number), [FeatureKind::Numeric { .. }]) => {
                if rounded(*number) == Value::Missing {
                    return Err(Misfit::Number("value"));
                }
            }
            (Filling::Category { name, index }, [FeatureKind::Categorical { categories }]) => {
                let mut categories = categories.clone();
                if !categories.contains(name) {
                    categories.push(name.clone());
                }
                if categories.get(*index as usize) != Some(name) {
                    return Err(Misfit::Category(name.clone()));
                }
                made.kind = FeatureKind::Categorical { categories };
            }
            (Filling::Number(_), _) => return Err(Misfit::NotNumeric),
            (Filling::Category { .. }, _) => return Err(Misfit::NotCategorical),
        }
        let mut columns = vec![made];
        if self.indicator {
            columns.push(Feature::numeric(&format!("{name}.missing")));
        }
        Ok(columns)
    }

    fn apply(&self, inputs: &[Value], out: &mut Vec<Value>) {
        let value = inputs.first().copied().unwrap_or(Value::Missing);
        let filled = match (&self.value, value) {
            (Filling::Number(number), Value::Missing) => rounded(*number),
            (Filling::Category { index, .. }, Value::Missing) => Value::Category(*index),
            (_, present) => present,
        };
        out.push(filled);
        if self.indicator {
            out.push(Value::Number(if value == Value::Missing { 1.0 } else { 0.0 }));
        }
    }
}
