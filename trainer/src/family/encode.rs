//! Learning the transforms of a model that computes with columns from the rows of one training fold, and applying them.

use std::collections::BTreeMap;

use modelward_model::{Encoder, FeatureKind, FeatureTransform, Transforms, encode::TRANSFORMS_FORMAT};
use ndarray::Array2;

use crate::data::dataset::{Sample, Values};

/// The transforms of these rows. They depend on no other row.
///
/// A number that is missing in all these rows is imputed as 0; such a category as the first of the schema.
pub fn fit(sample: Sample<'_>) -> Transforms {
    let features = sample.data.schema.features.iter().zip(&sample.data.columns);
    let features = features.map(|(feature, column)| match (&feature.kind, column) {
        (FeatureKind::Categorical { categories }, _) => {
            one_hot(&feature.name, categories, column, sample.rows)
        }
        (FeatureKind::Numeric { .. }, _) => standardise(&feature.name, column, sample.rows),
    });
    Transforms {
        format: TRANSFORMS_FORMAT,
        features: features.collect(),
    }
}

/// The columns of these rows, one row each.
pub fn columns(encoder: &Encoder, sample: Sample<'_>) -> Array2<f64> {
    let mut columns = Array2::zeros((sample.len(), encoder.width()));
    for (row, mut out) in sample.rows.iter().zip(columns.rows_mut()) {
        encoder.visit(&sample.data.row(*row), |column, value| out[column] = value);
    }
    columns
}

/// What a missing value is imputed as, by the name of the feature.
pub fn imputed(transforms: &Transforms) -> BTreeMap<String, String> {
    let features = transforms.features.iter().map(|transform| match transform {
        FeatureTransform::Standardise { feature, impute, .. } => (feature.clone(), impute.to_string()),
        FeatureTransform::OneHot { feature, impute } => (feature.clone(), impute.clone()),
    });
    features.collect()
}

fn standardise(name: &str, column: &Values, rows: &[usize]) -> FeatureTransform {
    let mut present: Vec<f64> = rows.iter().filter_map(|row| number(column, *row)).collect();
    present.sort_by(f64::total_cmp);
    let impute = median(&present);
    let values: Vec<f64> = rows
        .iter()
        .map(|row| number(column, *row).unwrap_or(impute))
        .collect();
    let (mean, scale) = mean_and_scale(&values);
    FeatureTransform::Standardise {
        feature: name.to_owned(),
        impute,
        mean,
        scale,
    }
}

/// The mean of these numbers and their standard deviation (of the population), 1 if they are all equal.
pub(crate) fn mean_and_scale(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    // Rounding alone gives a variance this small: the bound is scikit-learn's.
    let noise = n * mean * f64::EPSILON;
    let constant = variance <= n * f64::EPSILON * variance + noise * noise;
    (mean, if constant { 1.0 } else { variance.sqrt() })
}

fn one_hot(name: &str, categories: &[String], column: &Values, rows: &[usize]) -> FeatureTransform {
    let frequent = match column {
        Values::Categories(values) => {
            frequent_category(categories.len(), rows.iter().map(|row| values[*row]))
        }
        Values::Numbers(_) => 0,
    };
    let impute = categories.get(frequent).cloned().unwrap_or_default();
    FeatureTransform::OneHot {
        feature: name.to_owned(),
        impute,
    }
}

/// The index of the most frequent of this many categories, the first of equally frequent ones.
pub(crate) fn frequent_category(categories: usize, indices: impl Iterator<Item = u32>) -> usize {
    let mut counts = vec![0_usize; categories];
    for index in indices {
        if let Some(count) = counts.get_mut(index as usize) {
            *count += 1;
        }
    }
    // `max_by_key` keeps the last of equals; in reverse order that is the first.
    let counts = counts.iter().enumerate().rev();
    counts.max_by_key(|(_, count)| **count).map_or(0, |(at, _)| at)
}

fn number(column: &Values, row: usize) -> Option<f64> {
    match column {
        Values::Numbers(numbers) => Some(f64::from(numbers[row])).filter(|number| !number.is_nan()),
        Values::Categories(_) => None,
    }
}

/// The median of sorted numbers; 0 without numbers.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::{Feature, FeatureSchema, Row, Value};

    use super::*;
    use crate::data::dataset::Dataset;

    fn fitted(numbers: &[Option<f32>], categories: &[Option<u32>]) -> (FeatureSchema, Transforms) {
        let schema = FeatureSchema::new(vec![
            Feature::numeric("x"),
            Feature::categorical("c", &["a", "b", "c"]),
        ])
        .unwrap();
        let rows: Vec<Row> = numbers
            .iter()
            .zip(categories)
            .map(|(x, c)| {
                Row::new(vec![
                    x.map_or(Value::Missing, Value::Number),
                    c.map_or(Value::Missing, Value::Category),
                ])
            })
            .collect();
        let data = Dataset::from_rows(schema.clone(), &rows, vec![false; rows.len()]);
        let all: Vec<usize> = (0..rows.len()).collect();
        let transforms = fit(Sample::of(&data, &all));
        (schema, transforms)
    }

    #[test]
    fn numbers_get_their_median_and_the_moments_after_imputing() {
        let (_, transforms) = fitted(&[Some(1.0), None, Some(3.0), Some(8.0)], &[None; 4]);
        // Imputed: 1, 3, 3, 8; mean 3.75, population variance 6.6875.
        assert_eq!(
            transforms.features[0],
            FeatureTransform::Standardise {
                feature: "x".into(),
                impute: 3.0,
                mean: 3.75,
                scale: 6.6875_f64.sqrt()
            }
        );
    }

    #[test]
    fn equally_frequent_categories_are_imputed_by_the_first() {
        let categories = [Some(2), Some(1), Some(1), Some(2), None];
        let (_, transforms) = fitted(&[None; 5], &categories);
        assert_eq!(
            transforms.features[1],
            FeatureTransform::OneHot {
                feature: "c".into(),
                impute: "b".into()
            }
        );
    }

    #[test]
    fn constant_and_absent_columns_give_transforms_that_can_be_used() {
        let (schema, transforms) = fitted(&[Some(0.1), Some(0.1), Some(0.1)], &[None; 3]);
        assert!(matches!(
            transforms.features[0],
            FeatureTransform::Standardise { scale: 1.0, .. }
        ));
        Encoder::new(&schema, &transforms).unwrap();
        let (schema, transforms) = fitted(&[None, None], &[None, None]);
        Encoder::new(&schema, &transforms).unwrap();
    }
}
