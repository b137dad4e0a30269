//! An ensemble of candidates.

use modelward_wire::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An ensemble: the weighted vote of calibrated candidates, as an additional candidate. Its members are chosen from the best trial of
/// each family and, with a search, the second best trial too.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnsembleSpec {
    /// Maximum number of members. Each member is scored for every request.
    #[serde(default = "default_max_members")]
    #[schemars(range(min = 2, max = 8))]
    pub max_members: i32,
    /// When the ensemble is selected. IfBetter: if it is better by selectBy than simpler candidates by more than one standard error of
    /// the difference. Always: whenever it has at least two members.
    #[serde(default, rename = "use")]
    pub use_when: EnsembleUse,
}

words! {
    /// When an ensemble is selected.
    #[derive(Default, JsonSchema)]
    pub enum EnsembleUse {
        /// If it is better than simpler candidates by more than one standard error of the difference.
        #[default]
        IfBetter,
        /// Whenever it has at least two members.
        Always,
    }
}

fn default_max_members() -> i32 {
    4
}
