//! The minimum of the logistic loss, by linfa's L-BFGS and Newton's method.
//!
//! The loss is `-Σ w ln P(class of row) + alpha/2 · |coefficients|²`, the intercept being free: scikit-learn's
//! `LogisticRegression(C=1/alpha)` with `sample_weight=w`. The loss is strictly convex, so there is one minimum. linfa comes near it, on
//! at most 8192 rows and without weights; from there a few Newton steps on all rows reach it to about twelve digits. So the
//! result depends on the data and not on the tolerance of a solver.

use linfa::{DatasetBase, traits::Fit as _};
use linfa_logistic::LogisticRegression as Solver;
use modelward_model::math::sigmoid;
use ndarray::{Array1, Array2, ArrayView2};

use super::design::Design;

/// Norm of the gradient at which linfa stops; the next one is tried if rounding stops it earlier.
const TOLERANCES: [f64; 3] = [1e-4, 1e-3, 1e-2];

/// A result whose gradient is larger, for a strength of 1, is not a minimum. The curvature is at least the strength in every coefficient,
/// so these are within this distance of the minimum.
const ACCEPTED: f64 = 1e-4;

/// Rows from which linfa computes the start. Its cost grows with them, and Newton's method only needs a start nearby.
pub(crate) const START_ROWS: usize = 8192;

const MAX_ITERATIONS: u64 = 2000;

const MAX_NEWTON_STEPS: usize = 50;

/// How often a step that leads away from the minimum is halved.
const MAX_HALVINGS: usize = 30;

/// A Newton step costs rows × columns²: with more columns each is found by conjugate gradients instead.
const MAX_NEWTON_COLUMNS: usize = 1000;

/// Steps of the conjugate gradients within one of Newton's.
const MAX_CONJUGATE_STEPS: usize = 200;

/// What the coefficients are fitted to.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The columns, one row each.
    pub x: Design<'a>,
    /// The class of each row.
    pub labels: &'a [bool],
    /// The weight of each row, if they differ.
    pub weights: Option<&'a [f32]>,
    /// Strength of the regularisation.
    pub alpha: f64,
}

/// Coefficients and intercept for P(class 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Coefficients {
    /// One coefficient per column.
    pub coef: Vec<f64>,
    /// The intercept.
    pub intercept: f64,
}

/// Why no minimum was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// The solver gave up at every tolerance.
    #[error("logistic regression failed")]
    Solver(#[source] linfa_logistic::error::Error),
    /// It stopped away from the minimum.
    #[error(
        "logistic regression did not converge: the gradient's norm is {0:e}, at most {1:e} is accepted; look for \
         columns of very large numbers"
    )]
    NotConverged(f64, f64),
}

/// The derivatives of the loss at one place.
struct Derivatives {
    /// That of the intercept last.
    gradient: Vec<f64>,
    /// The curvature of each row: weight · p · (1 - p).
    curvature: Vec<f64>,
}

/// Finds the minimum.
pub fn solve(problem: Problem<'_>) -> Result<Coefficients, SolveError> {
    let mut best = find_start(problem)?;
    let mut here = derivatives(problem, &best);
    for _ in 0..MAX_NEWTON_STEPS {
        let Some(step) = newton_step(problem, &here) else {
            break;
        };
        let Some((next, there)) = take_step(problem, &best, &here, &step) else {
            break;
        };
        (best, here) = (next, there);
    }
    let norm = norm(&here.gradient);
    // Rounding alone gives about this much in a sum over many rows.
    let accepted = ACCEPTED * problem.alpha.min(1.0) + 1e-12 * total_weight(problem);
    if norm <= accepted {
        Ok(best)
    } else {
        Err(SolveError::NotConverged(norm, accepted))
    }
}

/// The result of this step, if the gradient is smaller there. At the limit of rounding no part of the step makes it smaller.
fn take_step(
    problem: Problem<'_>,
    from: &Coefficients,
    here: &Derivatives,
    step: &[f64],
) -> Option<(Coefficients, Derivatives)> {
    let before = norm(&here.gradient);
    // Near the minimum a full step is right; far from it a shorter one may be needed.
    let halvings = if before > ACCEPTED { MAX_HALVINGS } else { 0 };
    let parts = std::iter::successors(Some(1.0), |part| Some(part / 2.0));
    parts.take(halvings + 1).find_map(|part| {
        let next = from.less(step, part);
        let there = derivatives(problem, &next);
        (norm(&there.gradient) < before).then_some((next, there))
    })
}

/// A place near the minimum: that of some of the rows, without their weights.
fn find_start(problem: Problem<'_>) -> Result<Coefficients, SolveError> {
    let rows = problem.x.rows();
    // Newton's method starts from zero if linfa finds no start.
    let nothing = || Coefficients {
        coef: vec![0.0; problem.x.columns()],
        intercept: 0.0,
    };
    let count = rows.min(START_ROWS);
    let chosen: Vec<usize> = (0..count).map(|at| at * rows / count).collect();
    let labels: Array1<bool> = chosen.iter().map(|row| problem.labels[*row]).collect();
    let some = problem.x.select(&chosen);
    let alpha = if count < rows {
        problem.alpha * START_ROWS as f64 / rows as f64
    } else {
        problem.alpha
    };
    let found = approximate(&DatasetBase::new(some.view(), labels), alpha);
    let is_one_class = problem.labels.windows(2).all(|pair| pair[0] == pair[1]);
    found.or_else(|error| {
        if count == rows && is_one_class {
            Err(error)
        } else {
            Ok(nothing())
        }
    })
}

/// The minimum as near as linfa comes.
fn approximate(
    data: &DatasetBase<ArrayView2<'_, f64>, Array1<bool>>,
    alpha: f64,
) -> Result<Coefficients, SolveError> {
    let mut failure = SolveError::NotConverged(f64::NAN, ACCEPTED);
    for tolerance in TOLERANCES {
        let parameters = Solver::default()
            .alpha(alpha)
            .max_iterations(MAX_ITERATIONS)
            .gradient_tolerance(tolerance);
        match parameters.fit(data) {
            Ok(model) => {
                // linfa calls the more frequent class positive, whatever it is named.
                let sign = if model.labels().pos.class { 1.0 } else { -1.0 };
                let coef = model.params().iter().map(|coefficient| sign * coefficient);
                return Ok(Coefficients {
                    coef: coef.collect(),
                    intercept: sign * model.intercept(),
                });
            }
            Err(error) => failure = SolveError::Solver(error),
        }
    }
    Err(failure)
}

// === derivatives ===

fn derivatives(problem: Problem<'_>, model: &Coefficients) -> Derivatives {
    let coef = model.coef.iter();
    let mut gradient: Vec<f64> = coef.map(|coefficient| problem.alpha * coefficient).collect();
    let mut of_intercept = 0.0;
    let mut curvature = Vec::with_capacity(problem.x.rows());
    problem.x.each(|row| {
        let index = curvature.len();
        let p = probability(row, model);
        let mut error = p - f64::from(u8::from(problem.labels[index]));
        let mut of_row = p * (1.0 - p);
        if let Some(weights) = problem.weights {
            let weight = f64::from(weights[index]);
            error *= weight;
            of_row *= weight;
        }
        for (place, x) in gradient.iter_mut().zip(row) {
            *place += error * x;
        }
        of_intercept += error;
        curvature.push(of_row);
    });
    gradient.push(of_intercept);
    Derivatives { gradient, curvature }
}

/// The inverse of the loss's second derivative times its gradient; `None` if that is singular.
fn newton_step(problem: Problem<'_>, here: &Derivatives) -> Option<Vec<f64>> {
    if problem.x.columns() <= MAX_NEWTON_COLUMNS {
        solve_linear(hessian(problem, &here.curvature), &here.gradient)
    } else {
        conjugate_gradients(problem, here)
    }
}

/// The second derivative: its lower half.
fn hessian(problem: Problem<'_>, curvature: &[f64]) -> Array2<f64> {
    let n = problem.x.columns() + 1;
    let mut hessian = Array2::zeros((n, n));
    let lower = hessian.as_slice_mut().unwrap_or_default();
    let mut with_one = vec![1.0; n];
    let mut curvature = curvature.iter();
    problem.x.each(|row| {
        let curvature = curvature.next().copied().unwrap_or_default();
        with_one[..n - 1].copy_from_slice(row);
        for i in 0..n {
            let scaled = curvature * with_one[i];
            // Most columns of a category are 0.
            if scaled != 0.0 {
                let line = &mut lower[i * n..=i * n + i];
                for (place, value) in line.iter_mut().zip(&with_one) {
                    *place += scaled * value;
                }
            }
        }
    });
    for i in 0..n - 1 {
        lower[i * n + i] += problem.alpha;
    }
    hessian
}

/// Newton's step without the matrix (Hestenes and Stiefel 1952): each product with it is a pass over the rows.
fn conjugate_gradients(problem: Problem<'_>, here: &Derivatives) -> Option<Vec<f64>> {
    let n = here.gradient.len();
    let (mut step, mut residual) = (vec![0.0; n], here.gradient.clone());
    let mut direction = residual.clone();
    let mut square = dot(&residual, &residual);
    // An exact step pays off only near the minimum (Nocedal and Wright, section 7.1).
    let enough = (square.sqrt().min(1.0) * square.sqrt() * 1e-3).max(1e-13);
    for _ in 0..MAX_CONJUGATE_STEPS {
        if square.sqrt() <= enough {
            break;
        }
        let product = times_hessian(problem, &here.curvature, &direction);
        let curvature = dot(&direction, &product);
        if curvature <= 0.0 || !curvature.is_finite() {
            return None;
        }
        let length = square / curvature;
        for at in 0..n {
            step[at] += length * direction[at];
            residual[at] -= length * product[at];
        }
        let next = dot(&residual, &residual);
        for (place, residual) in direction.iter_mut().zip(&residual) {
            *place = residual + next / square * *place;
        }
        square = next;
    }
    Some(step)
}

fn times_hessian(problem: Problem<'_>, curvature: &[f64], vector: &[f64]) -> Vec<f64> {
    let last = vector.len() - 1;
    let coef = &vector[..last];
    let mut product: Vec<f64> = coef.iter().map(|value| problem.alpha * value).collect();
    product.push(0.0);
    let mut curvature = curvature.iter();
    problem.x.each(|row| {
        let curvature = curvature.next().copied().unwrap_or_default();
        let scaled = curvature * (dot(row, coef) + vector[last]);
        for (place, x) in product.iter_mut().zip(row) {
            *place += scaled * x;
        }
        product[last] += scaled;
    });
    product
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

fn probability(row: &[f64], model: &Coefficients) -> f64 {
    let terms = row.iter().zip(&model.coef);
    sigmoid(terms.fold(model.intercept, |z, (x, w)| z + x * w))
}

fn total_weight(problem: Problem<'_>) -> f64 {
    match problem.weights {
        Some(weights) => weights.iter().map(|weight| f64::from(*weight)).sum(),
        None => problem.labels.len() as f64,
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(gradient: &[f64]) -> f64 {
    dot(gradient, gradient).sqrt()
}

// === impl Coefficients ===

impl Coefficients {
    /// These less a part of a step, whose last number is the intercept's.
    fn less(&self, step: &[f64], part: f64) -> Self {
        let coef = self.coef.iter().zip(step);
        Self {
            coef: coef
                .map(|(coefficient, step)| coefficient - part * step)
                .collect(),
            intercept: self.intercept - part * step[self.coef.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Axis;

    use super::*;

    fn problem<'a>(x: &'a Array2<f64>, labels: &'a [bool]) -> Problem<'a> {
        Problem {
            x: Design::Held(x),
            labels,
            weights: None,
            alpha: 1.0,
        }
    }

    fn fit(x: &Array2<f64>, labels: &[bool]) -> Result<Coefficients, SolveError> {
        solve(problem(x, labels))
    }

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
            let model = fit(&rows(), &labels).unwrap();
            assert!(model.coef[0] > 0.5, "{split}: {model:?}");
        }
    }

    #[test]
    fn the_mean_probability_is_the_share_of_class_1_because_the_intercept_is_not_regularised() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let model = fit(&rows(), &labels).unwrap();
        let mean: f64 = rows()
            .rows()
            .into_iter()
            .map(|row| sigmoid(model.intercept + row[0] * model.coef[0] + row[1] * model.coef[1]) / 10.0)
            .sum();
        assert!((mean - 0.4).abs() < 1e-14, "{mean}");
        assert!(norm(&derivatives(problem(&rows(), &labels), &model).gradient) < 1e-13);
    }

    #[test]
    fn flipping_the_classes_flips_the_signs() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let flipped = labels.map(|label| !label);
        let (one, other) = (fit(&rows(), &labels).unwrap(), fit(&rows(), &flipped).unwrap());
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
        let model = fit(&x, &labels).unwrap();
        assert!(model.coef[0] > 0.0 && model.coef[0] < 0.1, "{model:?}");
    }

    #[test]
    fn one_class_alone_is_an_error() {
        assert!(matches!(fit(&rows(), &[true; 10]), Err(SolveError::Solver(_))));
    }

    #[test]
    fn a_weight_of_two_is_the_row_twice() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let twice = [0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9];
        let longer = rows().select(Axis(0), &twice);
        let of_longer: Vec<bool> = twice.iter().map(|row| labels[*row]).collect();
        let mut weights = [1.0_f32; 10];
        (weights[2], weights[7]) = (2.0, 2.0);
        let x = rows();
        let weighted = solve(Problem {
            weights: Some(&weights),
            ..problem(&x, &labels)
        });
        let (weighted, repeated) = (weighted.unwrap(), fit(&longer, &of_longer).unwrap());
        for (one, other) in weighted.coef.iter().zip(&repeated.coef) {
            assert!((one - other).abs() < 1e-12, "{weighted:?} {repeated:?}");
        }
    }

    #[test]
    fn more_rows_than_the_start_has_come_to_the_same_minimum_as_a_start_from_all() {
        let n = 3 * START_ROWS;
        let x = Array2::from_shape_fn((n, 3), |(row, at)| {
            ((row * (7 + 4 * at)) % 101) as f64 / 50.0 - 1.0
        });
        let labels: Vec<bool> = (0..n)
            .map(|row| x[(row, 0)] + x[(row, 1)] + ((row * 13) % 97) as f64 / 40.0 > 1.3)
            .collect();
        let model = fit(&x, &labels).unwrap();
        assert!(norm(&derivatives(problem(&x, &labels), &model).gradient) < 1e-8);
    }

    #[test]
    fn conjugate_gradients_give_the_same_step_as_the_whole_matrix() {
        let labels = [false, false, true, false, false, true, false, true, false, true];
        let x = rows();
        let model = Coefficients {
            coef: vec![0.1, -0.2],
            intercept: 0.05,
        };
        let here = derivatives(problem(&x, &labels), &model);
        let exact = newton_step(problem(&x, &labels), &here).unwrap();
        let found = conjugate_gradients(problem(&x, &labels), &here).unwrap();
        for (exact, found) in exact.iter().zip(&found) {
            assert!((exact - found).abs() < 1e-3 * exact.abs(), "{exact} {found}");
        }
    }
}
