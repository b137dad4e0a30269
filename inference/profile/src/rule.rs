//! What counts as drift.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{bins::Bins, error::JudgeError, number::Exact, sides::Sides};

/// What counts as drift.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// An effect below this is tolerated: total variation of values, change of a missing rate. 0.1.
    pub tolerance: Exact<f64>,
    /// Other tolerances of single features, by name.
    pub tolerances: BTreeMap<String, Exact<f64>>,
    /// Probability with which a lower bound holds. 0.95.
    pub confidence: Exact<f64>,
    /// Share of discoveries that may be false. 0.05.
    pub discoveries: Exact<f64>,
    /// Rows that a window and a reference need. 100.
    pub min_rows: u64,
    /// Present values that a feature needs on each side; below that its missing rate alone is judged. 30.
    pub min_present: u64,
    /// Probability that a version ever raises an alarm, over all its windows, while nothing drifts. 0.05.
    pub ever: Exact<f64>,
}

// === impl Rule ===

impl Default for Rule {
    fn default() -> Self {
        Self {
            tolerance: Exact::of(0.1),
            tolerances: BTreeMap::new(),
            confidence: Exact::of(0.95),
            discoveries: Exact::of(0.05),
            min_rows: 100,
            min_present: 30,
            ever: Exact::of(0.05),
        }
    }
}

impl Rule {
    /// Checks that every number is in its range and every named feature is one of the bins.
    pub fn check(&self, bins: &Bins) -> Result<(), JudgeError> {
        let tolerances = self
            .tolerances
            .iter()
            .map(|(name, value)| (format!("tolerance of {name}"), *value, true));
        let numbers = [
            ("tolerance".to_owned(), self.tolerance, true),
            ("confidence".to_owned(), self.confidence, false),
            ("discoveries".to_owned(), self.discoveries, false),
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
        let is_feature = |name: &str| bins.features.iter().any(|feature| feature.name == name);
        match self.tolerances.keys().find(|name| !is_feature(name)) {
            Some(unknown) => Err(JudgeError::UnknownFeature(unknown.clone())),
            None => Ok(()),
        }
    }

    /// The tolerance of one feature.
    pub fn tolerance_of(&self, feature: &str) -> Exact<f64> {
        *self.tolerances.get(feature).unwrap_or(&self.tolerance)
    }

    /// Whether both sides have rows enough to be compared.
    pub fn has_rows(&self, rows: Sides) -> bool {
        rows.least() >= self.min_rows
    }
}
