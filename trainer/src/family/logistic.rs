//! L2-regularised logistic regression by linfa, its last digits by Newton's method.
//!
//! The loss is `-Σ ln P(class of row) + alpha/2 · |coefficients|²`, the intercept being free: scikit-learn's
//! `LogisticRegression(C=1/alpha)`. The loss is strictly convex, so there is one minimum. linfa's L-BFGS comes near it
//! and stops where rounding ends its line search; from there a few Newton steps, which need no line search, reach it
//! to about twelve digits. So the result is that of the data and not that of a solver's tolerance.

use linfa::{DatasetBase, traits::Fit as _};
use linfa_logistic::LogisticRegression as Solver;
use modelward_model::{
    Encoder, Family, Scorer, Transforms,
    encode::TRANSFORMS_FILE,
    family::{
        columns::{HeadError, MODEL_FILE},
        logistic::{self as served, LogisticModel, LogisticScorer, ModelError},
    },
    files::json,
    math::sigmoid,
};
use ndarray::{Array1, Array2, ArrayView1};

use super::{FitError, FittedModel, ModelReport, Parameter, Parameters, TrainableFamily};
use crate::{data::dataset::Sample, family::encode};

/// Strength of the regularisation.
const ALPHA: f64 = 1.0;

/// The same as scikit-learn has it.
const C: f64 = 1.0 / ALPHA;

/// Norm of the gradient at which linfa stops; the next one is tried where rounding stops it before.
const TOLERANCES: [f64; 3] = [1e-4, 1e-3, 1e-2];

/// A result whose gradient is larger is no minimum. The curvature is at least alpha in every coefficient, so these
/// are within this distance of the minimum.
const ACCEPTED: f64 = 1e-4;

const MAX_ITERATIONS: u64 = 2000;

const MAX_NEWTON_STEPS: usize = 20;

/// A Newton step costs rows × columns²: with more columns linfa's result stays as it is.
const MAX_NEWTON_COLUMNS: usize = 1000;

/// The family.
#[derive(Clone, Copy, Debug)]
pub struct LogisticRegression;

#[derive(Debug)]
struct FittedLogistic {
    transforms: Transforms,
    model: LogisticModel,
    scorer: LogisticScorer,
}

/// Coefficients and intercept for P(class 1), one coefficient a column.
#[derive(Clone, Debug, PartialEq)]
struct Coefficients {
    coef: Vec<f64>,
    intercept: f64,
}

/// Why no model was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogisticError {
    /// The solver gave up at every tolerance.
    #[error("logistic regression failed")]
    Solver(#[source] linfa_logistic::error::Error),
    /// It stopped away from the minimum.
    #[error(
        "logistic regression did not converge: the gradient's norm is {0:e}, at most {ACCEPTED:e} is accepted; look for \
         columns of very large numbers"
    )]
    NotConverged(f64),
    /// What was found cannot be served.
    #[error("the fitted model is not valid")]
    Model(#[from] ModelError),
}

// === impl LogisticRegression ===

impl TrainableFamily for LogisticRegression {
    fn served(&self) -> &'static dyn Family {
        &served::LogisticRegression
    }

    fn parameters(&self) -> Parameters {
        Parameters::new([("penalty", Parameter::Text("l2")), ("c", Parameter::Number(C))])
    }

    fn fit(&self, sample: Sample<'_>) -> Result<Box<dyn FittedModel>, FitError> {
        Ok(Box::new(FittedLogistic::new(sample)?))
    }
}

// === impl FittedLogistic ===

impl FittedLogistic {
    fn new(sample: Sample<'_>) -> Result<Self, LogisticError> {
        let schema = &sample.data.schema;
        let transforms = encode::fit(sample);
        let encoder = Encoder::new(schema, &transforms)
            .map_err(HeadError::from)
            .map_err(ModelError::from)?;
        let found = solve(encode::columns(&encoder, sample), &sample.labels())?;
        let model = LogisticModel::new(schema, found.coef, found.intercept, C);
        let scorer = LogisticScorer::new(schema, &transforms, &model)?;
        Ok(Self {
            transforms,
            model,
            scorer,
        })
    }
}

impl FittedModel for FittedLogistic {
    fn scorer(&self) -> &dyn Scorer {
        &self.scorer
    }

    fn files(&self) -> Result<Vec<(&'static str, Vec<u8>)>, serde_json::Error> {
        Ok(vec![
            (TRANSFORMS_FILE, json(&self.transforms)?),
            (MODEL_FILE, json(&self.model)?),
        ])
    }

    fn report(&self) -> ModelReport {
        let LogisticModel {
            columns,
            coef: [coef],
            intercept: [intercept],
            c,
            ..
        } = &self.model;
        let rows = columns
            .iter()
            .zip(coef)
            .map(|(column, coefficient)| vec![column.clone(), format!("{coefficient:.4}")]);
        ModelReport {
            sentence: format!(
                "Coefficients of the log-odds, intercept {intercept:.4}. Numbers are standardised, so that their coefficients are \
                 per standard deviation; categories have an indicator each. L2-regularised with C = {c}."
            ),
            headings: vec!["Column", "Coefficient"],
            rows: rows.collect(),
            imputed: encode::imputed(&self.transforms),
        }
    }
}

// === solver ===

/// Fits the columns of `x` (one row each) to classes.
fn solve(x: Array2<f64>, labels: &[bool]) -> Result<Coefficients, LogisticError> {
    let data = DatasetBase::new(x, labels.iter().copied().collect::<Array1<bool>>());
    let start = approximate(&data)?;
    let x = &data.records;
    let (mut best, mut gradient) = (start.clone(), gradient(x, labels, &start));
    if x.ncols() <= MAX_NEWTON_COLUMNS {
        for _ in 0..MAX_NEWTON_STEPS {
            let Some(next) = newton_step(x, &best, &gradient) else {
                break;
            };
            let of_next = self::gradient(x, labels, &next);
            // Rounding is reached where a step no longer brings the gradient down.
            if norm(&of_next).total_cmp(&norm(&gradient)).is_ge() {
                break;
            }
            (best, gradient) = (next, of_next);
        }
    }
    let norm = norm(&gradient);
    if norm <= ACCEPTED {
        Ok(best)
    } else {
        Err(LogisticError::NotConverged(norm))
    }
}

/// The minimum as near as linfa comes.
fn approximate(data: &DatasetBase<Array2<f64>, Array1<bool>>) -> Result<Coefficients, LogisticError> {
    let mut failure = LogisticError::NotConverged(f64::NAN);
    for tolerance in TOLERANCES {
        let parameters = Solver::default()
            .alpha(ALPHA)
            .max_iterations(MAX_ITERATIONS)
            .gradient_tolerance(tolerance);
        match parameters.fit(data) {
            Ok(model) => {
                // linfa calls the more frequent class positive, whatever it is named.
                let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
                return Ok(Coefficients {
                    coef: model
                        .params()
                        .iter()
                        .map(|coefficient| sign * coefficient)
                        .collect(),
                    intercept: sign * model.intercept(),
                });
            }
            Err(error) => failure = LogisticError::Solver(error),
        }
    }
    Err(failure)
}

/// The loss's gradient, that of the intercept last.
fn gradient(x: &Array2<f64>, labels: &[bool], model: &Coefficients) -> Vec<f64> {
    let mut gradient: Vec<f64> = model.coef.iter().map(|coefficient| ALPHA * coefficient).collect();
    let mut of_intercept = 0.0;
    for (row, label) in x.rows().into_iter().zip(labels) {
        let error = probability(row, model) - f64::from(u8::from(*label));
        for (place, x) in gradient.iter_mut().zip(row) {
            *place += error * x;
        }
        of_intercept += error;
    }
    gradient.push(of_intercept);
    gradient
}

/// The model less the inverse of the loss's second derivative times its gradient; `None` where that is singular.
fn newton_step(x: &Array2<f64>, model: &Coefficients, gradient: &[f64]) -> Option<Coefficients> {
    let n = gradient.len();
    let mut hessian = Array2::<f64>::zeros((n, n));
    for row in x.rows() {
        let p = probability(row, model);
        let weight = p * (1.0 - p);
        let value = |at: usize| row.get(at).copied().unwrap_or(1.0);
        for i in 0..n {
            let scaled = weight * value(i);
            // Most columns of a category are 0.
            if scaled != 0.0 {
                for j in 0..=i {
                    hessian[(i, j)] += scaled * value(j);
                }
            }
        }
    }
    for i in 0..n - 1 {
        hessian[(i, i)] += ALPHA;
    }
    let step = solve_linear(hessian, gradient)?;
    let coef = model
        .coef
        .iter()
        .zip(&step)
        .map(|(coefficient, step)| coefficient - step)
        .collect();
    Some(Coefficients {
        coef,
        intercept: model.intercept - step[n - 1],
    })
}

/// Solves `a · x = b` by Cholesky's decomposition; of the symmetric `a` only the lower half is read.
fn solve_linear(mut a: Array2<f64>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let inner: f64 = (0..j).map(|k| a[(i, k)] * a[(j, k)]).sum();
            a[(i, j)] -= inner;
            if i > j {
                a[(i, j)] /= a[(j, j)];
            } else if a[(j, j)] > 0.0 {
                a[(j, j)] = a[(j, j)].sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| a[(i, k)] * x[k]).sum();
        x[i] = (x[i] - inner) / a[(i, i)];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| a[(k, i)] * x[k]).sum();
        x[i] = (x[i] - inner) / a[(i, i)];
    }
    Some(x)
}

fn probability(row: ArrayView1<'_, f64>, model: &Coefficients) -> f64 {
    sigmoid(
        row.iter()
            .zip(&model.coef)
            .fold(model.intercept, |z, (x, w)| z + x * w),
    )
}

fn norm(gradient: &[f64]) -> f64 {
    gradient.iter().map(|part| part * part).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten rows of two columns with overlapping classes.
    fn rows() -> Array2<f64> {
        let column = [-1.6, -1.1, -0.7, -0.2, 0.0, 0.3, 0.4, 0.9, 1.2, 1.7];
        Array2::from_shape_fn((10, 2), |(row, at)| {
            if at == 0 {
                column[row]
            } else {
                column[(row * 3) % 10]
            }
        })
    }

    #[test]
    fn a_greater_column_means_a_greater_probability_whichever_class_is_more_frequent() {
        for split in [3, 5, 7] {
            let labels: Vec<bool> = (0..10).map(|row| row >= split).collect();
            let model = solve(rows(), &labels).unwrap();
            assert!(model.coef[0] > 0.5, "{split}: {model:?}");
        }
    }

    #[test]
    fn the_mean_probability_is_the_share_of_class_1_because_the_intercept_is_not_regularised() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let model = solve(rows(), &labels).unwrap();
        let mean: f64 = rows()
            .rows()
            .into_iter()
            .map(|row| sigmoid(model.intercept + row[0] * model.coef[0] + row[1] * model.coef[1]) / 10.0)
            .sum();
        assert!((mean - 0.4).abs() < 1e-14, "{mean}");
        assert!(norm(&gradient(&rows(), &labels, &model)) < 1e-13);
    }

    #[test]
    fn flipping_the_classes_flips_the_signs() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let flipped = labels.map(|label| !label);
        let (one, other) = (solve(rows(), &labels).unwrap(), solve(rows(), &flipped).unwrap());
        assert!((one.coef[0] + other.coef[0]).abs() < 1e-13);
        assert!((one.intercept + other.intercept).abs() < 1e-13);
    }

    #[test]
    fn a_system_of_equations_is_solved_and_a_singular_one_is_not() {
        let a = Array2::from_shape_vec((2, 2), vec![4.0, 0.0, 2.0, 5.0]).unwrap();
        assert_eq!(solve_linear(a, &[8.0, 12.0]).unwrap(), [1.0, 2.0]);
        assert_eq!(solve_linear(Array2::zeros((2, 2)), &[1.0, 1.0]), None);
    }

    #[test]
    fn classes_that_a_column_separates_still_have_one_minimum() {
        let labels: Vec<bool> = (0..10).map(|row| row >= 5).collect();
        let x = Array2::from_shape_fn((10, 1), |(row, _)| if row >= 5 { 1000.0 } else { -1000.0 });
        let model = solve(x, &labels).unwrap();
        assert!(model.coef[0] > 0.0 && model.coef[0] < 0.1, "{model:?}");
    }

    #[test]
    fn one_class_alone_is_an_error() {
        assert!(matches!(
            solve(rows(), &[true; 10]),
            Err(LogisticError::Solver(_))
        ));
    }
}
