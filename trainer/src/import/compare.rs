//! Compares the scores of a model with those that were expected.

use modelward_model::{Row, Value};
use serde::Serialize;

use crate::import::{
    contract::{ImportError, Loaded, Tolerance},
    sample::Sample,
};

/// The result of a comparison that found no difference.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Rows.
    pub rows: usize,
    /// Whether probabilities were compared.
    pub probabilities: bool,
    /// Whether raw scores were compared, bit for bit.
    pub raw_scores: bool,
    /// The tolerance of a probability, in words.
    pub tolerance: &'static str,
    /// The largest difference of a probability.
    pub largest_difference: f64,
}

/// The score of each row, if all are as expected.
pub fn compare_scores(sample: &Sample, loaded: &Loaded) -> Result<(Vec<f64>, Compared), ImportError> {
    let mut scores = Vec::with_capacity(sample.rows.len());
    loaded.scorer.score_rows(&sample.rows, &mut scores);
    let mut compared = Compared {
        rows: scores.len(),
        probabilities: sample.expected.is_some(),
        raw_scores: sample.raw.is_some(),
        tolerance: loaded.tolerance.describe(),
        largest_difference: 0.0,
    };
    if let Some(raw) = &sample.raw {
        compare_raw(sample, loaded, raw)?;
    }
    if let Some(expected) = &sample.expected {
        compared.largest_difference = compare_probabilities(sample, &scores, expected, loaded.tolerance)?;
    }
    Ok((scores, compared))
}

/// The largest difference, or the first row that differs by more than it may.
fn compare_probabilities(
    sample: &Sample,
    scores: &[f64],
    expected: &[f64],
    tolerance: Tolerance,
) -> Result<f64, ImportError> {
    let pairs = || scores.iter().copied().zip(expected.iter().copied());
    let differing: Vec<usize> = pairs()
        .enumerate()
        .filter(|(_, (found, expected))| !tolerance.accepts(*found, *expected))
        .map(|(at, _)| at)
        .collect();
    let Some(first) = differing.first().copied() else {
        let distances = pairs().map(|(found, expected)| (found - expected).abs());
        return Ok(distances.fold(0.0, f64::max));
    };
    let is_missing = |at: &usize| has_missing(&sample.rows[*at]);
    let hint = if pairs().all(|(found, expected)| (found - (1.0 - expected)).abs() < 1e-5) {
        "the expected scores are those of class 0: give those of class 1, predict_proba(X)[:, 1]"
    } else if differing.iter().all(is_missing) && tolerance == Tolerance::Millionth {
        "all rows that differ lack a value: the export of this model lost the direction of missing values; impute them before the model, or use \
         HistGradientBoostingClassifier"
    } else {
        "numbers are read in single precision: compute the expected scores from X.astype(numpy.float32), and write them with all digits"
    };
    Err(ImportError::Refused(format!(
        "row {} of the sample: {} is expected, the model scores {}; {} of {} rows differ by more than {}; {hint}",
        sample.numbers[first],
        show(expected[first]),
        show(scores[first]),
        differing.len(),
        scores.len(),
        tolerance.describe()
    )))
}

/// Bit for bit: in double precision for LightGBM, in single precision for XGBoost.
fn compare_raw(sample: &Sample, loaded: &Loaded, expected: &[f64]) -> Result<(), ImportError> {
    let Some(trees) = &loaded.trees else {
        return Err(ImportError::Refused(
            "a model in ONNX and a bundle have no raw scores to compare: give the expected probabilities, and list the column of raw scores \
             with --exclude"
                .to_owned(),
        ));
    };
    let mut found = Vec::with_capacity(sample.rows.len());
    trees.raw_rows(&sample.rows, &mut found);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let is_single = trees.output() == modelward_model::family::tree::Output::SigmoidSingle;
        let expected = if is_single {
            f64::from(*expected as f32)
        } else {
            *expected
        };
        // Zeros of both signs are one number in a file.
        if *found != expected {
            return Err(ImportError::Refused(format!(
                "row {} of the sample: the raw score {expected:e} is expected, the model has {found:e}; raw scores must be equal to the last \
                 bit: compute them from X.astype(numpy.float32), and write them with all digits",
                sample.numbers[at]
            )));
        }
    }
    Ok(())
}

/// All digits that a score has: for one of single precision no more than these.
fn show(score: f64) -> String {
    let single = score as f32;
    if f64::from(single) == score {
        single.to_string()
    } else {
        score.to_string()
    }
}

fn has_missing(row: &Row) -> bool {
    row.values().contains(&Value::Missing)
}
