//! What counts as drift.

use std::collections::BTreeMap;

use modelward_wire::{DriftAspect, LEAST_REFERENCE_ROWS};
use serde::{Deserialize, Serialize};

use crate::{bins::Bins, error::JudgeError, number::Exact, season::Season, sides::Sides};

/// What counts as drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// A total variation of values below this is tolerated. 0.1.
    pub tolerance: Exact<f64>,
    /// A change below this is tolerated in the rates of missing values, values outside of the training data, wrong types and refused
    /// rows. 0.02.
    pub rate_tolerance: Exact<f64>,
    /// Tolerances of single features by name. They replace both of the above.
    pub tolerances: BTreeMap<String, Exact<f64>>,
    /// Probability with which the lower bound of a size holds. 0.95.
    pub confidence: Exact<f64>,
    /// Minimum number of rows of a window and of a reference. 100.
    pub min_rows: u64,
    /// Maximum probability of a false alarm over all windows of a version. 0.05.
    pub ever: Exact<f64>,
    /// How traffic repeats. If absent, each window is compared with the whole reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<Season>,
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Self {
        Self {
            tolerance: Exact::of(0.1),
            rate_tolerance: Exact::of(0.02),
            tolerances: BTreeMap::new(),
            confidence: Exact::of(0.95),
            min_rows: LEAST_REFERENCE_ROWS,
            ever: Exact::of(0.05),
            season: None,
        }
    }
}

impl Rule {
    /// Checks that every number is in its range and that the bins have every named feature.
    pub fn check(&self, bins: &Bins) -> Result<(), JudgeError> {
        let tolerances = self
            .tolerances
            .iter()
            .map(|(name, value)| (format!("tolerance of {name}"), *value, true));
        let numbers = [
            ("tolerance".to_owned(), self.tolerance, true),
            ("rateTolerance".to_owned(), self.rate_tolerance, true),
            ("confidence".to_owned(), self.confidence, false),
            ("ever".to_owned(), self.ever, false),
        ];
        for (field, value, at_most_one) in numbers.into_iter().chain(tolerances) {
            let number = value.get();
            if !(number > 0.0 && (number < 1.0 || at_most_one && number == 1.0)) {
                return Err(JudgeError::Rule {
                    field,
                    value,
                    at_most_one,
                });
            }
        }
        if self.season.is_some_and(|season| season.seconds == 0) {
            return Err(JudgeError::Season);
        }
        let is_feature = |name: &str| bins.features.iter().any(|feature| feature.name == name);
        match self.tolerances.keys().find(|name| !is_feature(name)) {
            Some(unknown) => Err(JudgeError::UnknownFeature(unknown.clone())),
            None => Ok(()),
        }
    }

    /// The tolerance of an aspect of one feature.
    pub fn tolerance_of(&self, feature: &str, aspect: DriftAspect) -> Exact<f64> {
        let of_aspect = match aspect {
            DriftAspect::Values | DriftAspect::Scores | DriftAspect::Traffic => self.tolerance,
            DriftAspect::Outside
            | DriftAspect::MissingRate
            | DriftAspect::TypeErrors
            | DriftAspect::Refused => self.rate_tolerance,
        };
        self.tolerances.get(feature).copied().unwrap_or(of_aspect)
    }

    /// Whether both sides have enough rows to be compared.
    pub fn has_rows(&self, rows: Sides) -> bool {
        rows.least() >= self.min_rows
    }
}
