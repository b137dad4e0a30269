//! The function from raw scores to probabilities.

use crate::math::{sigmoid, sigmoid_single};

/// The function from raw scores to probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// LightGBM's `binary`: the logistic function of the raw score times this number, in double precision.
    Sigmoid(f64),
    /// XGBoost's `binary:logistic` and `reg:logistic`: the logistic function in single precision.
    SigmoidSingle,
    /// XGBoost's `reg:squarederror`: the raw score itself, clamped to 0 and 1.
    Clamp,
}

// === impl Output ===

impl Output {
    /// The probability of a raw score.
    pub fn apply(self, raw: f64) -> f64 {
        match self {
            Self::Sigmoid(factor) => sigmoid(factor * raw),
            Self::SigmoidSingle => f64::from(sigmoid_single(raw as f32)),
            Self::Clamp => raw.clamp(0.0, 1.0),
        }
    }
}
