//! A search over hyper-parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A search over the hyper-parameters that the spec does not set, for all families, on the folds of the first repeat.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchSpec {
    /// Number of trials over all families. The first trial of each family uses the parameters of the spec and the defaults. If there
    /// are fewer trials than families, each family gets one.
    #[serde(default = "default_trials")]
    #[schemars(range(min = 1, max = 1000))]
    pub trials: i32,
    /// Seed of the search.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
    /// Time limit in seconds. After it, no further fold is fitted, except for the first trial of each family. A search that the limit
    /// ended cannot be repeated, and its bundle says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub time_limit_seconds: Option<i32>,
}

fn default_trials() -> i32 {
    30
}
