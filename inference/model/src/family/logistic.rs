//! Logistic regression on the columns of [`encode`](crate::encode): the content of `model.json`, and scoring.
//!
//! The numbers can be used in scikit-learn. `X` has the columns of `columns`, encoded with `transforms.json`:
//!
//! ```python
//! m = json.load(open("model.json"))
//! lr = sklearn.linear_model.LogisticRegression(C=m["c"])
//! lr.classes_, lr.coef_, lr.intercept_ = (numpy.array(m[key]) for key in ("classes", "coef", "intercept"))
//! lr.predict_proba(X)[:, 1]
//! ```

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Family, FamilyError, FamilyFiles, Scorer,
    columns::{CLASSES, Head, HeadError, MODEL_FILE},
};
use crate::{
    encode::{Encoder, TRANSFORMS_FILE, Transforms, column_names},
    math::sigmoid,
    schema::{FeatureSchema, Row},
};

/// The format that this code writes and reads.
pub const MODEL_FORMAT: u32 = 1;

/// The family's name in the API and in `model.json`.
pub const LOGISTIC_REGRESSION: &str = "LogisticRegression";

/// Maximum size of a coefficient, so that sums are finite and no score is NaN.
const MAX_COEFFICIENT: f64 = 1e100;

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct LogisticRegression;

/// A logistic regression on encoded columns. The content of `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogisticModel {
    /// [`MODEL_FORMAT`].
    pub format: u32,
    /// [`LOGISTIC_REGRESSION`].
    pub family: String,
    /// The two classes, `[0, 1]`. Scores are probabilities of the second.
    pub classes: [u8; 2],
    /// Names of the columns: `age`, `thal=7`.
    pub columns: Vec<String>,
    /// One row with a coefficient for each column (the shape in scikit-learn).
    pub coef: [Vec<f64>; 1],
    /// The intercept.
    pub intercept: [f64; 1],
    /// The kind of regularisation, `l2`. It does not apply to the intercept.
    pub penalty: String,
    /// Its inverse strength, as in scikit-learn.
    pub c: f64,
}

/// Why a model does not fit its schema and transforms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The common fields of a model file or the transforms do not fit.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// There is not one coefficient for each column.
    #[error("model has {found} coefficients for {expected} columns")]
    Count {
        /// Number of coefficients.
        found: usize,
        /// Number of columns.
        expected: usize,
    },
    /// A coefficient is not finite or is too large.
    #[error("the coefficient of {0:?} is not finite or larger than 1e100")]
    Coefficient(String),
}

/// The encoder and the model.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticScorer {
    encoder: Encoder,
    coef: Vec<f64>,
    intercept: f64,
}

// === impl LogisticRegression ===

impl Family for LogisticRegression {
    fn name(&self) -> &'static str {
        LOGISTIC_REGRESSION
    }

    fn files(&self) -> &'static [&'static str] {
        &[TRANSFORMS_FILE, MODEL_FILE]
    }

    fn load(&self, files: &FamilyFiles<'_>, schema: &FeatureSchema) -> Result<Arc<dyn Scorer>, FamilyError> {
        let transforms: Transforms = files.parse(TRANSFORMS_FILE)?;
        let model: LogisticModel = files.parse(MODEL_FILE)?;
        match LogisticScorer::new(schema, &transforms, &model) {
            Ok(scorer) => Ok(Arc::new(scorer)),
            Err(error) => Err(FamilyError::invalid(error.file(), error)),
        }
    }
}

// === impl LogisticModel ===

impl LogisticModel {
    /// A model with these numbers for the columns of `schema`.
    pub fn new(schema: &FeatureSchema, coef: Vec<f64>, intercept: f64, c: f64) -> Self {
        Self {
            format: MODEL_FORMAT,
            family: LOGISTIC_REGRESSION.into(),
            classes: CLASSES,
            columns: column_names(schema),
            coef: [coef],
            intercept: [intercept],
            penalty: "l2".into(),
            c,
        }
    }
}

// === impl ModelError ===

impl ModelError {
    /// The file with the error.
    fn file(&self) -> &'static str {
        match self {
            Self::Head(error) => error.file(),
            _ => MODEL_FILE,
        }
    }
}

// === impl LogisticScorer ===

impl LogisticScorer {
    /// Checks that the three match.
    pub fn new(
        schema: &FeatureSchema,
        transforms: &Transforms,
        model: &LogisticModel,
    ) -> Result<Self, ModelError> {
        let head = Head {
            format: model.format,
            family: &model.family,
            classes: model.classes,
            columns: &model.columns,
        };
        let encoder = head.check(LOGISTIC_REGRESSION, MODEL_FORMAT, schema, transforms)?;
        let [coef] = &model.coef;
        let [intercept] = model.intercept;
        if coef.len() != encoder.width() {
            return Err(ModelError::Count {
                found: coef.len(),
                expected: encoder.width(),
            });
        }
        let bad = |number: &f64| !number.is_finite() || number.abs() > MAX_COEFFICIENT;
        if let Some(index) = coef.iter().position(bad) {
            return Err(ModelError::Coefficient(model.columns[index].clone()));
        }
        if bad(&intercept) {
            return Err(ModelError::Coefficient("intercept".into()));
        }
        Ok(Self {
            encoder,
            coef: coef.clone(),
            intercept,
        })
    }
}

impl Scorer for LogisticScorer {
    fn score(&self, row: &Row) -> f64 {
        let mut z = self.intercept;
        // Columns are added in ascending order, each product rounded first, so the result is the same on any machine.
        self.encoder.visit(row, |column, value| {
            if let Some(coefficient) = self.coef.get(column) {
                z += coefficient * value;
            }
        });
        sigmoid(z)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        encode::{
            FeatureTransform,
            tests::{schema, transforms},
        },
        family::conformance,
        files::json,
        schema::Value,
    };

    fn scorer() -> LogisticScorer {
        let model = LogisticModel::new(&schema(), vec![0.5, -1.0, 1.0], 0.25, 1.0);
        LogisticScorer::new(&schema(), &transforms(), &model).unwrap()
    }

    #[test]
    fn a_score_is_the_sigmoid_of_the_sum() {
        let row = Row::new(vec![Value::Number(45.0), Value::Category(0)]);
        assert_eq!(scorer().score(&row), sigmoid(0.25 + 0.5 - 1.0));
        let missing = Row::new(vec![Value::Missing, Value::Missing]);
        assert_eq!(scorer().score(&missing), sigmoid(0.25 + 1.0 + 1.0));
    }

    #[test]
    fn a_model_that_does_not_fit_is_refused_with_what_is_wrong() {
        let refuse = |change: fn(&mut LogisticModel)| {
            let mut model = LogisticModel::new(&schema(), vec![0.5, -1.0, 1.0], 0.25, 1.0);
            change(&mut model);
            LogisticScorer::new(&schema(), &transforms(), &model).unwrap_err()
        };
        assert!(matches!(
            refuse(|m| m.format = 2),
            ModelError::Head(HeadError::Format { found: 2, .. })
        ));
        assert!(matches!(
            refuse(|m| m.classes = [1, 0]),
            ModelError::Head(HeadError::Classes(_))
        ));
        assert!(matches!(
            refuse(|m| m.columns.swap(1, 2)),
            ModelError::Head(HeadError::Columns { .. })
        ));
        assert!(matches!(
            refuse(|m| m.coef[0].truncate(2)),
            ModelError::Count {
                found: 2,
                expected: 3
            }
        ));
        assert_eq!(
            refuse(|m| m.coef[0][2] = f64::NAN),
            ModelError::Coefficient("sex=1".into())
        );
        assert_eq!(
            refuse(|m| m.intercept[0] = 1e101),
            ModelError::Coefficient("intercept".into())
        );
    }

    #[test]
    fn the_family_does_what_is_asked_of_every_one() {
        let model = LogisticModel::new(&schema(), vec![0.5, -1.0, 1.0], 0.25, 1.0);
        let files = [
            (TRANSFORMS_FILE, json(&transforms()).unwrap()),
            (MODEL_FILE, json(&model).unwrap()),
        ];
        conformance::check(&LogisticRegression, &schema(), &files).unwrap();
    }

    proptest! {
        #[test]
        fn no_row_has_a_score_outside_zero_to_one(
            age: f32, index: u32, coef: [f64; 3], scale in 1e-308_f64..1e308, mean: f64
        ) {
            let mut transforms = transforms();
            transforms.features[0] =
                FeatureTransform::Standardise { feature: "age".into(), impute: 0.0, mean, scale };
            let model = LogisticModel::new(&schema(), coef.to_vec(), 0.0, 1.0);
            if let Ok(scorer) = LogisticScorer::new(&schema(), &transforms, &model) {
                let score = scorer.score(&Row::new(vec![Value::Number(age), Value::Category(index)]));
                prop_assert!((0.0..=1.0).contains(&score), "{}", score);
            }
        }
    }
}
