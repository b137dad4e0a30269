//! How much each row counts when a model is fitted.

use modelward_crds::{ClassWeights, WeightSpec};
use modelward_wire::Decimal;

use crate::data::dataset::Dataset;

/// What a spec says about weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Weighting {
    /// All rows count the same.
    #[default]
    Equal,
    /// Both classes count the same in sum: scikit-learn's `class_weight="balanced"`.
    Balanced,
    /// A row of class 1 counts this many times, one of class 0 once.
    Positive(f32),
}

// === impl Weighting ===

impl Weighting {
    /// What this spec says.
    pub fn new(spec: Option<&WeightSpec>) -> Self {
        let Some(spec) = spec else {
            return Self::Equal;
        };
        match (spec.classes, spec.positive.as_ref().map(Decimal::to_f64)) {
            (ClassWeights::Balanced, _) => Self::Balanced,
            (ClassWeights::Equal, Some(positive)) => Self::Positive(positive as f32),
            (ClassWeights::Equal, None) => Self::Equal,
        }
    }

    /// The weight of each of these rows: its own by the column of weights, if there is one, times that of its class. `None` if they
    /// count the same.
    pub fn of_rows(self, data: &Dataset, rows: &[usize]) -> Option<Vec<f32>> {
        let column = data.row_columns.weights.as_ref();
        let own = |row: usize| column.map_or(1.0, |weights| weights.of_row[row]);
        let [zero, one] = match self {
            Self::Equal if column.is_none() => return None,
            Self::Equal => [1.0, 1.0],
            Self::Positive(positive) => [1.0, positive],
            Self::Balanced => {
                let mut sums = [0.0, 0.0];
                for row in rows {
                    sums[usize::from(data.labels[*row])] += f64::from(own(*row));
                }
                let all = sums[0] + sums[1];
                // In a class without rows, or in which none counts, it does not matter.
                sums.map(|sum| {
                    if sum > 0.0 {
                        (all / (2.0 * sum)) as f32
                    } else {
                        1.0
                    }
                })
            }
        };
        let weight = |row: &usize| own(*row) * if data.labels[*row] { one } else { zero };
        Some(rows.iter().map(weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::row_columns::Weights, fit::train::tests::data};

    #[test]
    fn balanced_classes_count_the_same_in_sum_whatever_rows_there_are() {
        let data = data();
        let rows: Vec<usize> = (0..40).collect();
        let weights = Weighting::Balanced.of_rows(&data, &rows).unwrap();
        let of = |class: bool| -> f32 {
            let rows = rows
                .iter()
                .zip(&weights)
                .filter(|(row, _)| data.labels[**row] == class);
            rows.map(|(_, weight)| weight).sum()
        };
        assert!((of(true) - 20.0).abs() < 1e-4 && (of(false) - 20.0).abs() < 1e-4);
        assert_eq!(Weighting::Equal.of_rows(&data, &rows), None);
    }

    #[test]
    fn a_row_counts_as_its_column_says_times_its_class() {
        let mut data = data();
        data.row_columns.weights = Some(Weights {
            column: "w".to_owned(),
            of_row: (0..60_u8).map(|row| f32::from(row % 3)).collect(),
        });
        let rows: Vec<usize> = (0..60).collect();
        let own = Weighting::Equal.of_rows(&data, &rows).unwrap();
        assert_eq!(own, data.row_columns.weights.as_ref().unwrap().of_row);
        let twice = Weighting::Positive(2.0).of_rows(&data, &rows).unwrap();
        for (row, weight) in twice.iter().enumerate() {
            assert_eq!(*weight, own[row] * if data.labels[row] { 2.0 } else { 1.0 });
        }
        let balanced = Weighting::Balanced.of_rows(&data, &rows).unwrap();
        let sum = |class: bool| -> f32 {
            let of_class = rows.iter().filter(|row| data.labels[**row] == class);
            of_class.map(|row| balanced[*row]).sum()
        };
        assert!(
            (sum(true) - sum(false)).abs() < 1e-3,
            "both classes count the same in sum"
        );
    }

    #[test]
    fn a_spec_sets_the_weight_of_class_1() {
        let spec: WeightSpec = serde_json::from_str(r#"{"positive": "2.5"}"#).unwrap();
        let weighting = Weighting::new(Some(&spec));
        assert_eq!(weighting, Weighting::Positive(2.5));
        let data = data();
        let weights = weighting.of_rows(&data, &[0, 1, 2, 3]).unwrap();
        for (row, weight) in weights.iter().enumerate() {
            assert_eq!(*weight, if data.labels[row] { 2.5 } else { 1.0 });
        }
    }
}
