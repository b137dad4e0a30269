//! Learning a calibration from scores of rows that the scoring model was not fitted on.

use modelward_crds::CalibrationMethod;
use modelward_model::{Calibration, calibration::log_odds, math::sigmoid};

/// The least rows that isotonic regression is fitted on: with fewer it follows single rows (Niculescu-Mizil and Caruana 2005).
pub const LEAST_ISOTONIC_ROWS: usize = 1000;

/// The least slope. A smaller one means that scores do not rise with the class; the function stays increasing.
const LEAST_SLOPE: f64 = 1e-3;

const MAX_STEPS: usize = 100;

/// How often a step that does not help is halved.
const MAX_HALVINGS: usize = 40;

/// The calibration by this method; none if there is nothing to learn from.
pub fn calibrate(method: CalibrationMethod, labels: &[bool], scores: &[f64]) -> Option<Calibration> {
    let positives = labels.iter().filter(|label| **label).count();
    if positives == 0 || positives == labels.len() {
        return None;
    }
    match method {
        CalibrationMethod::None => None,
        CalibrationMethod::Platt => Some(platt(labels, scores, positives)),
        CalibrationMethod::Isotonic => Some(isotonic(labels, scores)),
    }
}

/// The logistic function of the log-odds that fits best, each class being a little short of certain, as in Platt (1999).
fn platt(labels: &[bool], scores: &[f64], positives: usize) -> Calibration {
    let negatives = labels.len() - positives;
    let one = (positives as f64 + 1.0) / (positives as f64 + 2.0);
    let zero = 1.0 / (negatives as f64 + 2.0);
    let points: Vec<(f64, f64)> = labels
        .iter()
        .zip(scores)
        .map(|(label, score)| (log_odds(*score), if *label { one } else { zero }))
        .collect();
    let (mut slope, mut intercept) = (1.0, 0.0);
    let mut loss = loss_of(&points, slope, intercept);
    for _ in 0..MAX_STEPS {
        let Some((step_slope, step_intercept)) = newton_step(&points, slope, intercept) else {
            break;
        };
        // Halved until the loss falls (Lin, Lin and Weng 2007).
        let shorter = std::iter::successors(Some(1.0), |part| Some(part / 2.0))
            .take(MAX_HALVINGS)
            .find_map(|part: f64| {
                let next = (slope - part * step_slope, intercept - part * step_intercept);
                let found = loss_of(&points, next.0, next.1);
                (found < loss).then_some((next, found))
            });
        let Some((next, found)) = shorter else { break };
        ((slope, intercept), loss) = (next, found);
    }
    if slope.is_finite() && intercept.is_finite() && slope > LEAST_SLOPE {
        return Calibration::Platt { slope, intercept };
    }
    Calibration::Platt {
        slope: LEAST_SLOPE,
        intercept: log_odds(positives as f64 / labels.len() as f64),
    }
}

fn loss_of(points: &[(f64, f64)], slope: f64, intercept: f64) -> f64 {
    // ln(1 + e^z) - t·z, in a form that does not overflow.
    let loss = |(x, target): &(f64, f64)| {
        let z = slope * x + intercept;
        z.max(0.0) + ln_one_plus_exp(-z.abs()) - target * z
    };
    points.iter().map(loss).sum()
}

/// ln(1 + e^z) for z of at most 0.
fn ln_one_plus_exp(z: f64) -> f64 {
    -modelward_model::math::ln(sigmoid(-z))
}

fn newton_step(points: &[(f64, f64)], slope: f64, intercept: f64) -> Option<(f64, f64)> {
    let (mut of_slope, mut of_intercept) = (0.0, 0.0);
    let (mut xx, mut x1, mut ones) = (1e-12, 0.0, 1e-12);
    for (x, target) in points {
        let p = sigmoid(slope * x + intercept);
        let (error, curvature) = (p - target, p * (1.0 - p));
        of_slope += error * x;
        of_intercept += error;
        xx += curvature * x * x;
        x1 += curvature * x;
        ones += curvature;
    }
    let determinant = xx * ones - x1 * x1;
    if determinant <= 0.0 || !determinant.is_finite() || of_slope.hypot(of_intercept) < 1e-10 {
        return None;
    }
    Some((
        (ones * of_slope - x1 * of_intercept) / determinant,
        (xx * of_intercept - x1 * of_slope) / determinant,
    ))
}

/// The non-decreasing function that fits best: pool adjacent violators, each pool a level line between its least and greatest score.
fn isotonic(labels: &[bool], scores: &[f64]) -> Calibration {
    struct Pool {
        first: f64,
        last: f64,
        positives: u64,
        rows: u64,
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut pools: Vec<Pool> = Vec::new();
    for group in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let mut pool = Pool {
            first: scores[group[0]],
            last: scores[group[0]],
            positives: group.iter().filter(|row| labels[**row]).count() as u64,
            rows: group.len() as u64,
        };
        // Shares are compared by whole numbers.
        let falls = |before: &Pool, pool: &Pool| {
            u128::from(before.positives) * u128::from(pool.rows)
                >= u128::from(pool.positives) * u128::from(before.rows)
        };
        while let Some(before) = pools.pop_if(|before| falls(before, &pool)) {
            pool = Pool {
                first: before.first,
                last: pool.last,
                positives: before.positives + pool.positives,
                rows: before.rows + pool.rows,
            };
        }
        pools.push(pool);
    }
    let (mut at, mut probabilities) = (Vec::new(), Vec::new());
    for pool in pools {
        let share = pool.positives as f64 / pool.rows as f64;
        at.push(pool.first.clamp(0.0, 1.0));
        probabilities.push(share);
        if pool.last > pool.first {
            at.push(pool.last.clamp(0.0, 1.0));
            probabilities.push(share);
        }
    }
    Calibration::Isotonic {
        scores: at,
        probabilities,
    }
}

#[cfg(test)]
mod tests {
    use modelward_model::CalibrationFile;
    use proptest::prelude::*;

    use super::*;

    /// Rows of which as many are of class 1 as `truth` of their score says.
    fn rows(truth: impl Fn(f64) -> f64) -> (Vec<bool>, Vec<f64>) {
        let mut rows = Vec::new();
        for step in 1..100_u32 {
            let score = f64::from(step) / 100.0;
            let ones = (truth(score) * 40.0).round() as usize;
            rows.extend((0..40).map(|at| (at < ones, score)));
        }
        rows.into_iter().unzip()
    }

    #[test]
    fn platt_finds_the_function_that_made_the_classes() {
        let (labels, scores) = rows(|score| sigmoid(2.0 * log_odds(score) - 0.5));
        let Some(Calibration::Platt { slope, intercept }) =
            calibrate(CalibrationMethod::Platt, &labels, &scores)
        else {
            unreachable!("both classes are there")
        };
        assert!(
            (slope - 2.0).abs() < 0.05 && (intercept + 0.5).abs() < 0.05,
            "{slope} {intercept}"
        );
    }

    #[test]
    fn isotonic_finds_any_rising_function() {
        let truth = |score: f64| if score < 0.5 { 0.1 } else { 0.9 };
        let (labels, scores) = rows(truth);
        let calibration = calibrate(CalibrationMethod::Isotonic, &labels, &scores).unwrap();
        for score in [0.1, 0.3, 0.6, 0.9] {
            assert!(
                (calibration.apply(score) - truth(score)).abs() < 0.02,
                "{calibration:?}"
            );
        }
    }

    #[test]
    fn scores_that_fall_with_the_class_give_a_function_that_rises_all_the_same() {
        let (labels, scores) = rows(|score| 1.0 - score);
        for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic] {
            let calibration = calibrate(method, &labels, &scores).unwrap();
            CalibrationFile::new(calibration.clone()).check().unwrap();
            assert!((calibration.apply(0.2) - 0.5).abs() < 0.01, "{calibration:?}");
        }
        assert_eq!(
            calibrate(CalibrationMethod::Platt, &[true, true], &[0.1, 0.2]),
            None
        );
    }

    proptest! {
        #[test]
        fn whatever_the_scores_a_calibration_can_be_served(
            rows in prop::collection::vec((any::<bool>(), prop_oneof![Just(0.0), Just(1.0), 0.0_f64..=1.0]), 2..60)
        ) {
            let (labels, scores): (Vec<bool>, Vec<f64>) = rows.into_iter().unzip();
            for method in [CalibrationMethod::Platt, CalibrationMethod::Isotonic] {
                if let Some(calibration) = calibrate(method, &labels, &scores) {
                    prop_assert_eq!(CalibrationFile::new(calibration).check(), Ok(()));
                }
            }
        }
    }
}
