//! The values of some rows as the libraries take them: 32-bit floats, column by column.

use crate::data::dataset::{Sample, Values};

/// The values of some rows of a dataset, one column after the other. A category is its index; a missing value is NaN.
#[derive(Clone, Debug, Default)]
pub struct Matrix {
    values: Vec<f32>,
    rows: usize,
}

// === impl Matrix ===

impl Matrix {
    /// The values of these rows.
    pub fn gather(sample: Sample<'_>) -> Self {
        let mut matrix = Self::default();
        matrix.fill(sample, sample.rows);
        matrix
    }

    /// Replaces the content by the values of `rows`, in the same memory.
    pub(super) fn fill(&mut self, sample: Sample<'_>, rows: &[usize]) {
        self.values.clear();
        self.rows = rows.len();
        self.values.reserve(rows.len() * sample.data.columns.len());
        for column in &sample.data.columns {
            match column {
                Values::Numbers(numbers) => self.values.extend(rows.iter().map(|row| numbers[*row])),
                Values::Categories(categories) => {
                    self.values
                        .extend(rows.iter().map(|row| code_of(categories[*row])));
                }
            }
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// All values, one column after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    #[cfg(test)]
    pub(super) fn columns(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.rows.max(1))
    }
}

/// Indices are far below 2^24, so that a 32-bit float holds each.
fn code_of(category: u32) -> f32 {
    match category {
        Values::MISSING | Values::UNKNOWN => f32::NAN,
        index => index as f32,
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row, Value};

    use super::*;
    use crate::data::dataset::Dataset;

    #[test]
    fn the_rows_that_were_asked_for_are_there_column_by_column() {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b"]),
        ])
        .unwrap();
        let rows = [
            Row::new(vec![Value::Number(1.5), Value::Category(1)]),
            Row::new(vec![Value::Number(2.5), Value::Missing]),
            Row::new(vec![Value::Missing, Value::Category(0)]),
        ];
        let data = Dataset::from_rows(schema, &rows, vec![true; 3]);
        let matrix = Matrix::gather(Sample::of(&data, &[0, 2]));
        let columns: Vec<&[f32]> = matrix.columns().collect();
        assert_eq!(columns[0][0], 1.5);
        assert!(columns[0][1].is_nan());
        assert_eq!(columns[1], [1.0, 0.0]);
    }
}
