//! A search over hyper-parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A search over the hyper-parameters of all families that the spec does not set, on the folds of the first repeat.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchSpec {
    /// Number of trials over all families. The first one of each family has the parameters of the spec and the defaults; a smaller number than there
    /// are families means one for each.
    #[serde(default = "default_trials")]
    #[schemars(range(min = 1, max = 1000))]
    pub trials: i32,
    /// Seed of the proposals.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
    /// No fold is fitted after this many seconds, except for the first trial of each family. A search that this ended cannot be repeated, and its bundle
    /// says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub time_limit_seconds: Option<i32>,
}

fn default_trials() -> i32 {
    30
}
