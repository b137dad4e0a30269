//! Rows that passed every check, typed.

use std::collections::{BTreeSet, HashMap};

use modelward_model::{FeatureKind, FeatureSchema, Row, Value, math::shortest};
use sha2::{Digest as _, Sha256};

/// What is trained on: rows of a schema and their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The features.
    pub schema: FeatureSchema,
    /// One row a line of the source, in its order.
    pub rows: Vec<Row>,
    /// The class of each row.
    pub labels: Vec<bool>,
}

// === impl Dataset ===

impl Dataset {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows of class 1.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|label| **label).count()
    }

    /// For each row, the index of the first row with the same values; its own where it is the first. Classes may differ.
    pub fn first_of_its_values(&self) -> Vec<usize> {
        let mut first: HashMap<Vec<(u8, u32)>, usize> = HashMap::with_capacity(self.len());
        let key = |value: &Value| match value {
            // Zero has two signs and one value.
            Value::Number(number) => (0, (number + 0.0).to_bits()),
            Value::Category(index) => (1, *index),
            Value::Unknown => (2, 0),
            Value::Missing => (3, 0),
        };
        let rows = self.rows.iter().enumerate();
        rows.map(|(index, row)| {
            *first
                .entry(row.values().iter().map(key).collect())
                .or_insert(index)
        })
        .collect()
    }

    /// 32 hexadecimal digits that name a row by its content: the first half of the sha256 of `name`, unit separator,
    /// value, record separator for every feature in the order of names, then the class.
    ///
    /// The same row in another snapshot, at another place or with other columns' order, has the same hash.
    pub fn row_hash(&self, index: usize) -> String {
        self.row_hash_of(index, &self.schema.names().collect())
    }

    /// The hash that the row would have in data of these features alone.
    pub fn row_hash_of(&self, index: usize, names: &BTreeSet<&str>) -> String {
        let mut hash = Sha256::new();
        let mut features: Vec<_> = self
            .schema
            .features
            .iter()
            .zip(self.rows[index].values())
            .filter(|(feature, _)| names.contains(feature.name.as_str()))
            .collect();
        features.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for (feature, value) in features {
            let text = match (value, &feature.kind) {
                (Value::Number(number), _) => shortest(*number).to_string(),
                (Value::Category(index), FeatureKind::Categorical { categories }) => {
                    categories.get(*index as usize).cloned().unwrap_or_default()
                }
                _ => String::new(),
            };
            hash.update(&feature.name);
            hash.update([0x1f]);
            hash.update(text);
            hash.update([0x1e]);
        }
        hash.update(if self.labels[index] { "1" } else { "0" });
        hex::encode(&hash.finalize()[..16])
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::Feature;

    use super::*;

    #[test]
    fn the_hash_of_a_row_does_not_depend_on_the_order_of_columns_nor_of_categories() {
        let one = Dataset {
            schema: FeatureSchema::new(vec![
                Feature::numeric("age"),
                Feature::categorical("sex", &["0", "1"]),
            ])
            .unwrap(),
            rows: vec![Row::new(vec![Value::Number(6.2), Value::Category(1)])],
            labels: vec![true],
        };
        let other = Dataset {
            schema: FeatureSchema::new(vec![
                Feature::categorical("sex", &["1", "0"]),
                Feature::numeric("age"),
            ])
            .unwrap(),
            rows: vec![Row::new(vec![Value::Category(0), Value::Number(6.2)])],
            labels: vec![true],
        };
        assert_eq!(one.row_hash(0), other.row_hash(0));
        assert_eq!(one.row_hash(0).len(), 32);
        let relabelled = Dataset {
            labels: vec![false],
            ..one.clone()
        };
        assert_ne!(one.row_hash(0), relabelled.row_hash(0));
    }
}
