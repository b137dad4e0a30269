//! Encodes a row as columns: imputes, then standardises numbers and one-hot encodes categories.
//!
//! Families that compute with columns share this. Families that use raw values do not need it.
//!
//! The steps are those of scikit-learn, so the numbers of `transforms.json` can be used there:
//! `SimpleImputer(strategy="median")` and `StandardScaler()` for numbers,
//! `SimpleImputer(strategy="most_frequent")` and `OneHotEncoder(handle_unknown="ignore")` for categories.
//! Indicators stay 0 and 1. If they were standardised, rarer categories would have more weight.

use serde::{Deserialize, Serialize};

use crate::schema::{FeatureKind, FeatureSchema, Row, Value};

/// The name of the file of transforms.
pub const TRANSFORMS_FILE: &str = "transforms.json";

/// The format that this code writes and reads.
pub const TRANSFORMS_FORMAT: u32 = 1;

/// Standardised values are clamped to this, far beyond any data, so that sums of them are finite.
const MAX_STANDARDISED: f64 = 1e100;

/// The fitted transform of each feature. The content of `transforms.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transforms {
    /// [`TRANSFORMS_FORMAT`].
    pub format: u32,
    /// One for each feature, in the order of the schema.
    pub features: Vec<FeatureTransform>,
}

/// The transform of one feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum FeatureTransform {
    /// One column: `(x - mean) / scale`. A missing x is replaced by `impute`.
    Standardise {
        /// The feature's name.
        feature: String,
        /// The median of the training rows.
        impute: f64,
        /// The mean of the training rows after imputing.
        mean: f64,
        /// Their standard deviation (of the population, as in `StandardScaler`), 1 if they are all equal.
        scale: f64,
    },
    /// A column for each category, in the order of the schema: 1 for the row's category, else 0. A missing category is
    /// replaced by `impute`. An unknown category has 0 everywhere.
    OneHot {
        /// The feature's name.
        feature: String,
        /// The most frequent category of the training rows, the first one if several are equally frequent.
        impute: String,
    },
}

/// Why transforms do not fit their schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransformError {
    /// It has a format that this program does not know.
    #[error("transforms have format {0}, this program reads format {TRANSFORMS_FORMAT}")]
    Format(u32),
    /// There is not one transform for each feature.
    #[error("there are {found} transforms for {expected} features")]
    Count {
        /// Number of transforms.
        found: usize,
        /// Number of features.
        expected: usize,
    },
    /// A name or kind does not match.
    #[error("the transform at {index} does not fit feature {feature:?}")]
    Mismatch {
        /// Position in the schema.
        index: usize,
        /// The feature there.
        feature: String,
    },
    /// A number is not finite, or a scale is not positive.
    #[error("feature {0:?} has a number that is not finite, or a scale that is not positive")]
    Number(String),
    /// The category to impute is not in the schema.
    #[error("feature {0:?} imputes {1:?}, which is not one of its categories")]
    Category(String, String),
}

/// Transforms that match their schema, ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoder {
    steps: Vec<Step>,
    width: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Standardise { impute: f64, mean: f64, scale: f64 },
    OneHot { impute: u32, width: u32 },
}

// === impl Encoder ===

impl Encoder {
    /// Checks that transforms fit a schema.
    pub fn new(schema: &FeatureSchema, transforms: &Transforms) -> Result<Self, TransformError> {
        if transforms.format != TRANSFORMS_FORMAT {
            return Err(TransformError::Format(transforms.format));
        }
        let (found, expected) = (transforms.features.len(), schema.features.len());
        if found != expected {
            return Err(TransformError::Count { found, expected });
        }
        let mut steps = Vec::with_capacity(expected);
        for (index, (feature, transform)) in schema.features.iter().zip(&transforms.features).enumerate() {
            let name = || feature.name.clone();
            steps.push(match (&feature.kind, transform) {
                (
                    FeatureKind::Numeric { .. },
                    FeatureTransform::Standardise {
                        feature: of,
                        impute,
                        mean,
                        scale,
                    },
                ) if *of == feature.name => {
                    if !(impute.is_finite() && mean.is_finite() && scale.is_finite() && *scale > 0.0) {
                        return Err(TransformError::Number(name()));
                    }
                    Step::Standardise {
                        impute: *impute,
                        mean: *mean,
                        scale: *scale,
                    }
                }
                (
                    FeatureKind::Categorical { categories },
                    FeatureTransform::OneHot { feature: of, impute },
                ) if *of == feature.name => {
                    let position = categories
                        .iter()
                        .position(|category| category == impute)
                        .ok_or_else(|| TransformError::Category(name(), impute.clone()))?;
                    Step::OneHot {
                        impute: position as u32,
                        width: categories.len() as u32,
                    }
                }
                _ => {
                    return Err(TransformError::Mismatch {
                        index,
                        feature: name(),
                    });
                }
            });
        }
        let width = steps.iter().map(Step::width).sum();
        Ok(Self { steps, width })
    }

    /// Number of columns of the model.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Calls `visit(column, value)` in ascending order: for each number, even if its standardised value is 0, and for the
    /// column of each category, with 1.
    ///
    /// **The other columns of a categorical feature are skipped**, and all columns of an unknown category: their value is
    /// 0, so a sum of products does not need them. A family in which zeros contribute needs [`Self::visit_all`].
    ///
    /// If a row is too short, the rest counts as missing. An index out of range counts as an unknown category. So a row of
    /// another schema gives a wrong score, but never a crash.
    #[inline]
    pub fn visit(&self, row: &Row, mut visit: impl FnMut(usize, f64)) {
        let mut column = 0;
        let mut values = row.values().iter();
        for step in &self.steps {
            let value = values.next().copied().unwrap_or(Value::Missing);
            match *step {
                Step::Standardise { impute, mean, scale } => {
                    let x = if let Value::Number(x) = value {
                        f64::from(x)
                    } else {
                        impute
                    };
                    visit(
                        column,
                        ((x - mean) / scale).clamp(-MAX_STANDARDISED, MAX_STANDARDISED),
                    );
                }
                Step::OneHot { impute, width } => {
                    let index = match value {
                        Value::Category(index) => index,
                        Value::Missing => impute,
                        Value::Number(_) | Value::Unknown => width,
                    };
                    if index < width {
                        visit(column + index as usize, 1.0);
                    }
                }
            }
            column += step.width();
        }
    }

    /// Calls `visit(column, value)` for every column, in ascending order. See [`Self::visit`].
    #[inline]
    pub fn visit_all(&self, row: &Row, mut visit: impl FnMut(usize, f64)) {
        let mut next = 0;
        self.visit(row, |column, value| {
            (next..column).for_each(|skipped| visit(skipped, 0.0));
            visit(column, value);
            next = column + 1;
        });
        (next..self.width).for_each(|skipped| visit(skipped, 0.0));
    }

    /// Writes every column of a row to the first [`Self::width`] elements of `out`.
    pub fn encode(&self, row: &Row, out: &mut [f64]) {
        self.visit_all(row, |column, value| {
            if let Some(place) = out.get_mut(column) {
                *place = value;
            }
        });
    }
}

impl Step {
    fn width(&self) -> usize {
        match self {
            Self::Standardise { .. } => 1,
            Self::OneHot { width, .. } => *width as usize,
        }
    }
}

/// The names of the model's columns: `age` for a number, `thal=7` for a category.
pub fn column_names(schema: &FeatureSchema) -> Vec<String> {
    let mut names = Vec::new();
    for feature in &schema.features {
        match &feature.kind {
            FeatureKind::Numeric { .. } => names.push(feature.name.clone()),
            FeatureKind::Categorical { categories } => {
                names.extend(
                    categories
                        .iter()
                        .map(|category| format!("{}={category}", feature.name)),
                );
            }
        }
    }
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::schema::Feature;

    pub(crate) fn schema() -> FeatureSchema {
        FeatureSchema::new(vec![
            Feature::numeric("age"),
            Feature::categorical("sex", &["0", "1"]),
        ])
        .unwrap()
    }

    pub(crate) fn transforms() -> Transforms {
        Transforms {
            format: TRANSFORMS_FORMAT,
            features: vec![
                FeatureTransform::Standardise {
                    feature: "age".into(),
                    impute: 50.0,
                    mean: 40.0,
                    scale: 5.0,
                },
                FeatureTransform::OneHot {
                    feature: "sex".into(),
                    impute: "1".into(),
                },
            ],
        }
    }

    fn encoded(values: Vec<Value>) -> [f64; 3] {
        let mut out = [9.0; 3];
        Encoder::new(&schema(), &transforms())
            .unwrap()
            .encode(&Row::new(values), &mut out);
        out
    }

    #[test]
    fn numbers_are_standardised_and_categories_get_a_column_each() {
        assert_eq!(
            encoded(vec![Value::Number(45.0), Value::Category(0)]),
            [1.0, 1.0, 0.0]
        );
        assert_eq!(column_names(&schema()), ["age", "sex=0", "sex=1"]);
    }

    #[test]
    fn missing_values_are_imputed_and_unknown_categories_are_zero() {
        assert_eq!(encoded(vec![Value::Missing, Value::Missing]), [2.0, 0.0, 1.0]);
        assert_eq!(
            encoded(vec![Value::Number(40.0), Value::Unknown]),
            [0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn a_visit_skips_the_absent_categories_alone_and_a_visit_of_all_skips_nothing() {
        let encoder = Encoder::new(&schema(), &transforms()).unwrap();
        for (values, present, all) in [
            // A number that equals the mean is visited.
            (
                vec![Value::Number(40.0), Value::Category(1)],
                vec![(0, 0.0), (2, 1.0)],
                [(0, 0.0), (1, 0.0), (2, 1.0)],
            ),
            (
                vec![Value::Number(45.0), Value::Category(0)],
                vec![(0, 1.0), (1, 1.0)],
                [(0, 1.0), (1, 1.0), (2, 0.0)],
            ),
            (
                vec![Value::Missing, Value::Unknown],
                vec![(0, 2.0)],
                [(0, 2.0), (1, 0.0), (2, 0.0)],
            ),
        ] {
            let row = Row::new(values);
            let (mut some, mut every) = (Vec::new(), Vec::new());
            encoder.visit(&row, |column, value| some.push((column, value)));
            encoder.visit_all(&row, |column, value| every.push((column, value)));
            assert_eq!((some, every), (present, all.to_vec()), "{row:?}");
        }
    }

    #[test]
    fn a_row_of_another_schema_does_no_harm() {
        assert_eq!(encoded(vec![]), [2.0, 0.0, 1.0]);
        assert_eq!(
            encoded(vec![Value::Category(7), Value::Category(7)]),
            [2.0, 0.0, 0.0]
        );
    }

    #[test]
    fn transforms_that_do_not_fit_are_refused() {
        let mut short = transforms();
        short.features.pop();
        let error = Encoder::new(&schema(), &short).unwrap_err();
        assert_eq!(
            error,
            TransformError::Count {
                found: 1,
                expected: 2
            }
        );
        let mut swapped = transforms();
        swapped.features.reverse();
        let error = Encoder::new(&schema(), &swapped).unwrap_err();
        assert_eq!(
            error,
            TransformError::Mismatch {
                index: 0,
                feature: "age".into()
            }
        );
        let mut zero = transforms();
        zero.features[0] = FeatureTransform::Standardise {
            feature: "age".into(),
            impute: 0.0,
            mean: 0.0,
            scale: 0.0,
        };
        assert_eq!(
            Encoder::new(&schema(), &zero).unwrap_err(),
            TransformError::Number("age".into())
        );
    }
}
