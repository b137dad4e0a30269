//! Maps a model's score to a calibrated probability: the content of `calibration.json`.
//!
//! Both functions increase with the score, so the order of rows does not change.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    family::Scorer,
    math::{ln, sigmoid},
    schema::Row,
};

/// The format that this code writes and reads.
pub const CALIBRATION_FORMAT: u32 = 1;

/// Scores are clamped to this distance from 0 and 1 for the log-odds, which are infinite at 0 and 1.
const NEAREST: f64 = 1e-9;

/// The calibration of a model's scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CalibrationFile {
    /// [`CALIBRATION_FORMAT`].
    pub format: u32,
    /// The function.
    pub calibration: Calibration,
}

/// A function from scores to probabilities, both within 0 and 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Calibration {
    /// `1 / (1 + exp(-(slope · ln(s / (1 - s)) + intercept)))` (Platt 1999, on the log-odds).
    Platt {
        /// The slope, above 0.
        slope: f64,
        /// The intercept.
        intercept: f64,
    },
    /// Linear interpolation between these points, constant before the first and after the last.
    Isotonic {
        /// Scores, ascending.
        scores: Vec<f64>,
        /// The probability at each score, not descending.
        probabilities: Vec<f64>,
    },
}

/// Why a calibration cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// It has a format that this program does not know.
    #[error("calibration has format {0}, this program reads format {CALIBRATION_FORMAT}")]
    Format(u32),
    /// The slope is not above 0, or a number is not finite.
    #[error("the slope {slope} or the intercept {intercept} is not finite, or the slope is not above 0")]
    Platt {
        /// The slope.
        slope: f64,
        /// The intercept.
        intercept: f64,
    },
    /// There are no points, or they are out of range or not in order.
    #[error("the calibration has no points, or they are not within 0 and 1 or not in order")]
    Points,
}

/// A scorer with calibrated scores.
#[derive(Clone, Debug)]
pub struct CalibratedScorer {
    scorer: Arc<dyn Scorer>,
    calibration: Calibration,
}

// === impl CalibrationFile ===

impl CalibrationFile {
    /// The content of the file for this function.
    pub fn new(calibration: Calibration) -> Self {
        Self {
            format: CALIBRATION_FORMAT,
            calibration,
        }
    }

    /// Checks what serde cannot check, so that applying cannot fail.
    pub fn check(&self) -> Result<(), CalibrationError> {
        if self.format != CALIBRATION_FORMAT {
            return Err(CalibrationError::Format(self.format));
        }
        match &self.calibration {
            Calibration::Platt { slope, intercept } => {
                if slope.is_finite() && *slope > 0.0 && intercept.is_finite() {
                    return Ok(());
                }
                Err(CalibrationError::Platt {
                    slope: *slope,
                    intercept: *intercept,
                })
            }
            Calibration::Isotonic {
                scores,
                probabilities,
            } => {
                let is_within = |numbers: &[f64]| numbers.iter().all(|number| (0.0..=1.0).contains(number));
                let are_points = !scores.is_empty() && scores.len() == probabilities.len();
                let are_ordered = scores.is_sorted_by(|a, b| a < b) && probabilities.is_sorted();
                if are_points && are_ordered && is_within(scores) && is_within(probabilities) {
                    return Ok(());
                }
                Err(CalibrationError::Points)
            }
        }
    }
}

// === impl Calibration ===

impl Calibration {
    /// The calibrated probability of a score. Within 0 and 1, never NaN, with the same bits on any machine.
    pub fn apply(&self, score: f64) -> f64 {
        match self {
            Self::Platt { slope, intercept } => sigmoid(slope * log_odds(score) + intercept),
            Self::Isotonic {
                scores,
                probabilities,
            } => interpolate(scores, probabilities, score),
        }
    }
}

/// The log-odds of a score, also finite for 0 and 1.
pub fn log_odds(score: f64) -> f64 {
    let score = score.clamp(NEAREST, 1.0 - NEAREST);
    ln(score / (1.0 - score))
}

fn interpolate(scores: &[f64], probabilities: &[f64], score: f64) -> f64 {
    let behind = scores.partition_point(|known| *known <= score);
    let last = scores.len().saturating_sub(1);
    match behind {
        0 => probabilities.first().copied().unwrap_or(score),
        _ if behind > last => probabilities[last],
        _ => {
            let (left, right) = (behind - 1, behind);
            let part = (score - scores[left]) / (scores[right] - scores[left]);
            let (from, to) = (probabilities[left], probabilities[right]);
            (from + part * (to - from)).clamp(from, to)
        }
    }
}

// === impl CalibratedScorer ===

impl CalibratedScorer {
    /// Calibrates the scores of a scorer with a checked function.
    pub fn new(scorer: Arc<dyn Scorer>, calibration: Calibration) -> Self {
        Self { scorer, calibration }
    }
}

impl Scorer for CalibratedScorer {
    fn score(&self, row: &Row) -> f64 {
        self.calibration.apply(self.scorer.score(row))
    }

    fn score_rows(&self, rows: &[Row], out: &mut Vec<f64>) {
        let first = out.len();
        self.scorer.score_rows(rows, out);
        for score in &mut out[first..] {
            *score = self.calibration.apply(*score);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn isotonic() -> Calibration {
        Calibration::Isotonic {
            scores: vec![0.2, 0.4, 0.8],
            probabilities: vec![0.1, 0.1, 0.9],
        }
    }

    #[test]
    fn points_are_joined_by_lines_and_level_outside() {
        let at = |score| isotonic().apply(score);
        assert_eq!(
            [at(0.0), at(0.2), at(0.3), at(0.8), at(1.0)],
            [0.1, 0.1, 0.1, 0.9, 0.9]
        );
        assert!((at(0.6) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_slope_of_one_without_intercept_changes_nothing() {
        let same = Calibration::Platt {
            slope: 1.0,
            intercept: 0.0,
        };
        assert!((same.apply(0.3) - 0.3).abs() < 1e-15);
        assert!(same.apply(0.0) < 1e-8 && same.apply(1.0) > 1.0 - 1e-8);
    }

    #[test]
    fn functions_that_fall_or_leave_the_interval_are_refused() {
        let check = |calibration| CalibrationFile::new(calibration).check();
        check(isotonic()).unwrap();
        let points = |scores: &[f64], probabilities: &[f64]| Calibration::Isotonic {
            scores: scores.to_vec(),
            probabilities: probabilities.to_vec(),
        };
        for (scores, probabilities) in [
            (&[][..], &[][..]),
            (&[0.1], &[0.1, 0.2]),
            (&[0.2, 0.1], &[0.1, 0.2]),
            (&[0.1, 0.1], &[0.1, 0.2]),
            (&[0.1, 0.2], &[0.3, 0.2]),
            (&[0.1, 0.2], &[0.3, 1.2]),
            (&[0.1, f64::NAN], &[0.3, 0.4]),
        ] {
            assert_eq!(
                check(points(scores, probabilities)),
                Err(CalibrationError::Points)
            );
        }
        for (slope, intercept) in [(0.0, 1.0), (-1.0, 0.0), (f64::NAN, 0.0), (1.0, f64::INFINITY)] {
            let platt = Calibration::Platt { slope, intercept };
            assert!(matches!(check(platt), Err(CalibrationError::Platt { .. })));
        }
        let other = CalibrationFile {
            format: 2,
            calibration: isotonic(),
        };
        assert_eq!(other.check(), Err(CalibrationError::Format(2)));
    }

    proptest! {
        #[test]
        fn a_greater_score_never_has_a_smaller_probability(
            one in 0.0_f64..=1.0, other in 0.0_f64..=1.0, slope in 1e-6_f64..1e3, intercept in -1e3_f64..1e3
        ) {
            for calibration in [Calibration::Platt { slope, intercept }, isotonic()] {
                let (low, high) = (calibration.apply(one.min(other)), calibration.apply(one.max(other)));
                prop_assert!(low <= high && (0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            }
        }
    }
}
