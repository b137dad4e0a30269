//! Rows that passed every check, by column.

use std::collections::{BTreeSet, HashSet};

use modelward_model::{FeatureKind, FeatureSchema, Row, Value, math::shortest};
use sha2::{Digest as _, Sha256};

use crate::data::row_columns::RowColumns;

/// If there are this many rows for each combination of values, repeats are expected.
const ROWS_OF_A_COMBINATION: u64 = 10;

/// What is trained on: the columns of a schema and the class of each row.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// The features.
    pub schema: FeatureSchema,
    /// One per feature, in the schema's order, each with a value per row.
    pub columns: Vec<Values>,
    /// The class of each row, in the order of the source.
    pub labels: Vec<bool>,
    /// The columns that are not features.
    pub row_columns: RowColumns,
}

/// The values of one feature. Four bytes per value, missing or not.
#[derive(Clone, Debug)]
pub enum Values {
    /// Numbers; NaN is a missing one, and all other values are finite.
    Numbers(Vec<f32>),
    /// Indices of categories, [`Values::MISSING`] and [`Values::UNKNOWN`].
    Categories(Vec<u32>),
}

/// Rows of a dataset: those of the training part of a fold, or all.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Where they are.
    pub data: &'a Dataset,
    /// Their indices, ascending.
    pub rows: &'a [usize],
    /// How much each of them counts, if they count differently.
    pub weights: Option<&'a [f32]>,
}

/// A value in a column of numbers.
fn number_of(value: Value) -> f32 {
    match value {
        Value::Number(number) if number.is_finite() => number,
        _ => f32::NAN,
    }
}

/// A value in a column of categories.
fn category_of(value: Value) -> u32 {
    match value {
        Value::Category(index) => index,
        Value::Unknown => Values::UNKNOWN,
        Value::Number(_) | Value::Missing => Values::MISSING,
    }
}

// === impl Dataset ===

impl Dataset {
    /// A dataset of these rows, which fit the schema.
    pub fn from_rows(schema: FeatureSchema, rows: &[Row], labels: Vec<bool>) -> Self {
        let columns = schema.features.iter().enumerate().map(|(index, feature)| {
            let values = rows
                .iter()
                .map(|row| row.values().get(index).copied().unwrap_or(Value::Missing));
            Values::of(&feature.kind, values)
        });
        Self {
            columns: columns.collect(),
            schema,
            labels,
            row_columns: RowColumns::default(),
        }
    }

    /// Only these rows, with the whole schema.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        Self {
            schema: self.schema.clone(),
            columns: self.columns.iter().map(|column| column.of_rows(rows)).collect(),
            labels: rows.iter().map(|row| self.labels[*row]).collect(),
            row_columns: self.row_columns.of_rows(rows),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows of class 1.
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|label| **label).count()
    }

    /// The values of a row, in the schema's order.
    pub fn values(&self, row: usize) -> impl ExactSizeIterator<Item = Value> + Clone + '_ {
        self.columns.iter().map(move |column| column.value(row))
    }

    /// A row as a model takes it.
    pub fn row(&self, row: usize) -> Row {
        Row::new(self.values(row).collect())
    }

    /// All rows in order, made one after the other.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        (0..self.len()).map(|row| self.row(row))
    }

    /// For each row, the index of the first row with the same values; its own if it is the first. Classes may differ.
    ///
    /// Rows are ordered by a hash of their values, and only rows of one hash are compared: a comparison reads every column.
    pub fn first_of_its_values(&self) -> Vec<usize> {
        let mut order: Vec<(u64, usize)> = self.hashes().into_iter().zip(0..).collect();
        order.sort_unstable();
        let mut first: Vec<usize> = (0..self.len()).collect();
        for same_hash in order.chunk_by_mut(|a, b| a.0 == b.0) {
            if let [_] = same_hash {
                continue;
            }
            same_hash.sort_unstable_by(|(_, a), (_, b)| self.compare_values(*a, *b).then(a.cmp(b)));
            for same in same_hash.chunk_by(|(_, a), (_, b)| self.compare_values(*a, *b).is_eq()) {
                for (_, row) in same {
                    first[*row] = same[0].1;
                }
            }
        }
        first
    }

    /// For each row, the row that no fold separates it from: the first one with the same values, or itself if
    /// [repeats are expected](Self::combinations_if_repeats_are_expected).
    pub fn kept_together(&self) -> Vec<usize> {
        match self.combinations_if_repeats_are_expected() {
            Some(_) => (0..self.len()).collect(),
            None => self.first_of_its_values(),
        }
    }

    /// The number of combinations that the columns' values have, if there are ten rows or more for each of them.
    ///
    /// Rows with the same values are then different cases, as in a table of counts. A model can be tested on the values
    /// that it was fitted on, as in service; kept together, they would be tested by models that never saw these values.
    pub fn combinations_if_repeats_are_expected(&self) -> Option<u64> {
        let limit = self.len() as u64 / ROWS_OF_A_COMBINATION;
        let mut combinations = 1_u64;
        for column in &self.columns {
            combinations = combinations.saturating_mul(column.count_keys(limit)?);
            if combinations > limit {
                return None;
            }
        }
        Some(combinations)
    }

    /// A number for each row that is equal if the values are equal.
    fn hashes(&self) -> Vec<u64> {
        // An odd number without a pattern: multiplied by it, all bits of a value reach the upper ones.
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hashes = vec![0_u64; self.len()];
        for column in &self.columns {
            for (row, hash) in hashes.iter_mut().enumerate() {
                let mixed = (hash.rotate_left(23) ^ u64::from(column.key(row))).wrapping_mul(FACTOR);
                *hash = mixed ^ (mixed >> 32);
            }
        }
        hashes
    }

    fn compare_values(&self, a: usize, b: usize) -> std::cmp::Ordering {
        let mut columns = self.columns.iter();
        let differing =
            columns.find_map(|column| Some(column.key(a).cmp(&column.key(b))).filter(|o| o.is_ne()));
        differing.unwrap_or(std::cmp::Ordering::Equal)
    }

    /// 32 hexadecimal digits that name a row by its content: the first half of the sha256 of `name`, unit separator,
    /// value, record separator for every feature in the order of names, then the class.
    ///
    /// The same row in another snapshot, at another position or with another order of columns, has the same hash.
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
            .zip(self.values(index))
            .filter(|(feature, _)| names.contains(feature.name.as_str()))
            .collect();
        features.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        for (feature, value) in features {
            let text = match (value, &feature.kind) {
                (Value::Number(number), _) => shortest(number).to_string(),
                (Value::Category(index), FeatureKind::Categorical { categories }) => {
                    categories.get(index as usize).cloned().unwrap_or_default()
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

// === impl Values ===

impl Values {
    /// A category that is missing.
    pub const MISSING: u32 = u32::MAX;

    /// A category that the schema does not have.
    pub const UNKNOWN: u32 = u32::MAX - 1;

    /// The values of a feature of this kind. One of another kind is missing.
    pub fn of(kind: &FeatureKind, values: impl Iterator<Item = Value>) -> Self {
        match kind {
            FeatureKind::Numeric { .. } => Self::Numbers(values.map(number_of).collect()),
            FeatureKind::Categorical { .. } => Self::Categories(values.map(category_of).collect()),
        }
    }

    /// No values yet, of a feature of this kind, with memory for this many.
    pub fn with_capacity(kind: &FeatureKind, rows: usize) -> Self {
        match kind {
            FeatureKind::Numeric { .. } => Self::Numbers(Vec::with_capacity(rows)),
            FeatureKind::Categorical { .. } => Self::Categories(Vec::with_capacity(rows)),
        }
    }

    /// No values yet, of a feature of this kind.
    pub fn empty(kind: &FeatureKind) -> Self {
        Self::of(kind, std::iter::empty())
    }

    /// Adds a value at the end. One of another kind is missing.
    pub fn push(&mut self, value: Value) {
        match self {
            Self::Numbers(numbers) => numbers.push(number_of(value)),
            Self::Categories(categories) => categories.push(category_of(value)),
        }
    }

    /// The values of these rows, in their order.
    #[must_use]
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(rows.iter().map(|row| numbers[*row]).collect()),
            Self::Categories(categories) => {
                Self::Categories(rows.iter().map(|row| categories[*row]).collect())
            }
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(numbers) => numbers.len(),
            Self::Categories(categories) => categories.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a row. There must be such a row.
    pub fn value(&self, row: usize) -> Value {
        match self {
            Self::Numbers(numbers) if numbers[row].is_nan() => Value::Missing,
            Self::Numbers(numbers) => Value::Number(numbers[row]),
            Self::Categories(categories) => match categories[row] {
                Self::MISSING => Value::Missing,
                Self::UNKNOWN => Value::Unknown,
                index => Value::Category(index),
            },
        }
    }

    /// How many different values there are, without missing and unknown ones.
    pub fn count_distinct(&self) -> u64 {
        let mut keys: Vec<u32> = match self {
            Self::Numbers(numbers) => {
                let present = numbers.iter().filter(|number| !number.is_nan());
                present.map(|number| (number + 0.0).to_bits()).collect()
            }
            Self::Categories(categories) => {
                let known = categories.iter().filter(|index| **index < Self::UNKNOWN);
                known.copied().collect()
            }
        };
        keys.sort_unstable();
        keys.dedup();
        keys.len() as u64
    }

    /// How many different values there are, a missing one among them, unless they are more than `limit`.
    fn count_keys(&self, limit: u64) -> Option<u64> {
        let mut keys = HashSet::new();
        for row in 0..self.len() {
            if keys.insert(self.key(row)) && keys.len() as u64 > limit {
                return None;
            }
        }
        Some(keys.len() as u64)
    }

    /// A key that is equal if the values are equal.
    fn key(&self, row: usize) -> u32 {
        match self {
            // Zero has two signs and one value, a missing number one of many bit patterns.
            Self::Numbers(numbers) if numbers[row].is_nan() => u32::MAX,
            Self::Numbers(numbers) => (numbers[row] + 0.0).to_bits(),
            Self::Categories(categories) => categories[row],
        }
    }
}

/// Missing values are equal.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        let same_kind = matches!(
            (self, other),
            (Self::Numbers(_), Self::Numbers(_)) | (Self::Categories(_), Self::Categories(_))
        );
        same_kind && self.len() == other.len() && (0..self.len()).all(|row| self.key(row) == other.key(row))
    }
}

// === impl Sample ===

impl<'a> Sample<'a> {
    /// These rows, all counting the same.
    pub fn of(data: &'a Dataset, rows: &'a [usize]) -> Self {
        Self {
            data,
            rows,
            weights: None,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The class of each row.
    pub fn labels(&self) -> Vec<bool> {
        self.rows.iter().map(|row| self.data.labels[*row]).collect()
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::Feature;

    use super::*;

    #[test]
    fn the_hash_of_a_row_does_not_depend_on_the_order_of_columns_nor_of_categories() {
        let one = Dataset::from_rows(
            FeatureSchema::new(vec![
                Feature::numeric("age"),
                Feature::categorical("sex", &["0", "1"]),
            ])
            .unwrap(),
            &[Row::new(vec![Value::Number(6.2), Value::Category(1)])],
            vec![true],
        );
        let other = Dataset::from_rows(
            FeatureSchema::new(vec![
                Feature::categorical("sex", &["1", "0"]),
                Feature::numeric("age"),
            ])
            .unwrap(),
            &[Row::new(vec![Value::Category(0), Value::Number(6.2)])],
            vec![true],
        );
        assert_eq!(one.row_hash(0), other.row_hash(0));
        assert_eq!(one.row_hash(0).len(), 32);
        let relabelled = Dataset {
            labels: vec![false],
            ..one.clone()
        };
        assert_ne!(one.row_hash(0), relabelled.row_hash(0));
    }

    #[test]
    fn rows_come_back_as_they_were_and_equal_ones_are_found() {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b"]),
        ])
        .unwrap();
        let rows = [
            Row::new(vec![Value::Number(0.0), Value::Category(1)]),
            Row::new(vec![Value::Missing, Value::Unknown]),
            Row::new(vec![Value::Number(-0.0), Value::Category(1)]),
            Row::new(vec![Value::Missing, Value::Missing]),
            Row::new(vec![Value::Missing, Value::Unknown]),
        ];
        let data = Dataset::from_rows(schema, &rows, vec![true; 5]);
        assert_eq!(data.rows().collect::<Vec<_>>(), rows);
        assert_eq!(data.first_of_its_values(), [0, 1, 0, 3, 1]);
        assert_eq!(data.kept_together(), data.first_of_its_values());
    }

    #[test]
    fn rows_of_a_table_of_counts_are_different_cases() {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("child"),
            Feature::categorical("class", &["first", "second"]),
        ])
        .unwrap();
        // Missing is a value: three numbers times two categories.
        let rows: Vec<Row> = (0..60)
            .map(|row| {
                let child = [Value::Number(0.0), Value::Number(1.0), Value::Missing][row % 3];
                Row::new(vec![child, Value::Category(row as u32 % 2)])
            })
            .collect();
        let data = Dataset::from_rows(schema.clone(), &rows, vec![true; 60]);
        assert_eq!(data.combinations_if_repeats_are_expected(), Some(6));
        assert_eq!(data.kept_together(), (0..60).collect::<Vec<_>>());
        let fewer = Dataset::from_rows(schema, &rows[..59], vec![true; 59]);
        assert_eq!(fewer.combinations_if_repeats_are_expected(), None);
        assert_eq!(fewer.kept_together(), fewer.first_of_its_values());
    }

    #[test]
    fn the_first_row_of_each_value_is_found_among_many() {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b", "c"]),
        ]);
        let rows: Vec<Row> = (0..3000_u32)
            .map(|at| {
                let number = Value::Number((at * 7919 % 211) as f32 / 8.0);
                Row::new(vec![number, Value::Category(at / 5 % 3)])
            })
            .collect();
        let data = Dataset::from_rows(schema.unwrap(), &rows, vec![true; rows.len()]);
        let naive = rows
            .iter()
            .map(|row| rows.iter().position(|other| other == row).unwrap());
        assert_eq!(data.first_of_its_values(), naive.collect::<Vec<_>>());
    }
}
