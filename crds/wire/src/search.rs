//! The rounds of a search over hyper-parameters, kept while a Job trains.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The format that this code writes.
pub const SEARCH_FORMAT: u32 = 1;

/// Maximum size of a round as JSON, in bytes.
pub const MAX_SEARCH_ROUND_BYTES: u64 = 4 << 20;

/// Maximum number of rounds: a thousand trials in rounds of one.
pub const MAX_SEARCH_ROUNDS: u32 = 1000;

/// The result of one round of a search. Floats are stored as their bits, so that a search that continues after it results in the
/// same bundle, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchRound {
    /// [`SEARCH_FORMAT`].
    pub format: u32,
    /// Seconds from the start of the search to the end of this round, including those of earlier Jobs.
    pub seconds: u64,
    /// Its trials, in the order in which they were proposed.
    pub trials: Vec<SearchTrial>,
}

/// One trial of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchTrial {
    /// Its number, from 1.
    pub number: u32,
    /// The family.
    pub family: String,
    /// The proposal: names and values.
    pub parameters: BTreeMap<String, String>,
    /// For each hyper-parameter that is varied, the bits of its position on its scale. Empty for the first trial of a family.
    pub places: Vec<u64>,
    /// Number of boosting rounds of the model that is fitted on all rows, if the rounds are chosen on the folds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u32>,
    /// Folds that were evaluated.
    pub folds: u32,
    /// For each fold, the bits of the value that pruning compares.
    pub worth: Vec<u64>,
    /// The bits of the mean of each metric, if all folds were evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<u64>>,
    /// The out-of-fold scores of all folds in order, as 64-bit floats (little endian) in base64. Absent if a search has too many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<String>,
    /// Why it could not be fitted, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}
