//! L2-regularised logistic regression by linfa.
//!
//! The loss is `-Σ ln P(class of row) + alpha/2 · |coefficients|²`, the intercept being free: scikit-learn's
//! `LogisticRegression(C=1/alpha)`. The loss is strictly convex, so both find the one minimum; how near they come to
//! it is their tolerance alone.

use linfa::{DatasetBase, traits::Fit as _};
use linfa_logistic::LogisticRegression;
use modelward_model::math::sigmoid;
use ndarray::{Array1, Array2};

/// Strength of the regularisation; scikit-learn's `C` is its inverse, 1 too.
pub const ALPHA: f64 = 1.0;

/// Norm of the gradient at which the solver stops. The curvature is at least alpha in every coefficient, so the
/// coefficients are within this distance of the minimum, the intercept nearly so.
const TOLERANCES: [f64; 3] = [1e-7, 1e-6, 1e-5];

/// A result whose gradient is larger is no minimum.
const ACCEPTED: f64 = 1e-4;

const MAX_ITERATIONS: u64 = 2000;

/// Coefficients and intercept for P(class 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    /// One a column.
    pub coef: Vec<f64>,
    /// The intercept.
    pub intercept: f64,
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
}

/// Fits the columns of `x` (one row each) to classes.
pub fn fit(x: Array2<f64>, labels: &[bool]) -> Result<Coefficients, LogisticError> {
    let targets: Array1<bool> = labels.iter().copied().collect();
    let data = DatasetBase::new(x, targets);
    let mut best: Option<(f64, Coefficients)> = None;
    let mut failure = None;
    // Where rounding stops the line search before the tolerance is met, the next one is tried.
    for tolerance in TOLERANCES {
        let parameters = LogisticRegression::default()
            .alpha(ALPHA)
            .max_iterations(MAX_ITERATIONS)
            .gradient_tolerance(tolerance);
        match parameters.fit(&data) {
            Ok(model) => {
                // linfa calls the more frequent class positive, whatever it is named.
                let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
                let found = Coefficients {
                    coef: model
                        .params()
                        .iter()
                        .map(|coefficient| sign * coefficient)
                        .collect(),
                    intercept: sign * model.intercept(),
                };
                let norm = gradient_norm(&data.records, labels, &found);
                if norm <= tolerance {
                    return Ok(found);
                }
                if best.as_ref().is_none_or(|(least, _)| norm < *least) {
                    best = Some((norm, found));
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    match (best, failure) {
        (Some((norm, found)), _) if norm <= ACCEPTED => Ok(found),
        (Some((norm, _)), _) => Err(LogisticError::NotConverged(norm)),
        (None, Some(error)) => Err(LogisticError::Solver(error)),
        (None, None) => Err(LogisticError::NotConverged(f64::NAN)),
    }
}

/// The Euclidean norm of the loss's gradient, computed apart from the solver.
fn gradient_norm(x: &Array2<f64>, labels: &[bool], model: &Coefficients) -> f64 {
    let mut gradient: Vec<f64> = model.coef.iter().map(|coefficient| ALPHA * coefficient).collect();
    let mut of_intercept = 0.0;
    for (row, label) in x.rows().into_iter().zip(labels) {
        let z = row
            .iter()
            .zip(&model.coef)
            .fold(model.intercept, |z, (x, w)| z + x * w);
        let error = sigmoid(z) - f64::from(u8::from(*label));
        for (place, x) in gradient.iter_mut().zip(row) {
            *place += error * x;
        }
        of_intercept += error;
    }
    gradient
        .iter()
        .fold(of_intercept * of_intercept, |sum, g| sum + g * g)
        .sqrt()
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
            let model = fit(rows(), &labels).unwrap();
            assert!(model.coef[0] > 0.5, "{split}: {model:?}");
        }
    }

    #[test]
    fn the_mean_probability_is_the_share_of_class_1_because_the_intercept_is_not_regularised() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let model = fit(rows(), &labels).unwrap();
        let mean: f64 = rows()
            .rows()
            .into_iter()
            .map(|row| sigmoid(model.intercept + row[0] * model.coef[0] + row[1] * model.coef[1]) / 10.0)
            .sum();
        assert!((mean - 0.4).abs() < 1e-8, "{mean}");
        assert!(gradient_norm(&rows(), &labels, &model) < 1e-6);
    }

    #[test]
    fn flipping_the_classes_flips_the_signs() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let flipped = labels.map(|label| !label);
        let (one, other) = (fit(rows(), &labels).unwrap(), fit(rows(), &flipped).unwrap());
        assert!((one.coef[0] + other.coef[0]).abs() < 1e-6);
        assert!((one.intercept + other.intercept).abs() < 1e-6);
    }

    #[test]
    fn one_class_alone_is_an_error() {
        assert!(matches!(fit(rows(), &[true; 10]), Err(LogisticError::Solver(_))));
    }
}
