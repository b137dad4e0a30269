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
    /// A row of class 1 counts so many times, one of class 0 once.
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

    /// The weight of each of these rows; `None` where they count the same.
    pub fn of_rows(self, data: &Dataset, rows: &[usize]) -> Option<Vec<f32>> {
        let [zero, one] = match self {
            Self::Equal => return None,
            Self::Positive(positive) => [1.0, positive],
            Self::Balanced => {
                let ones = rows.iter().filter(|row| data.labels[**row]).count();
                let half = |count: usize| (rows.len() as f64 / (2.0 * count.max(1) as f64)) as f32;
                [half(rows.len() - ones), half(ones)]
            }
        };
        let weight = |row: &usize| if data.labels[*row] { one } else { zero };
        Some(rows.iter().map(weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::train::tests::data;

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
