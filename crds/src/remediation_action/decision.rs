//! Decisions of users.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use modelward_wire::{Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A user's decision, as the operator read it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Number of the decision. Its annotation is `approval.modelward.io/<number>`.
    #[schemars(range(min = 1, max = 16))]
    pub number: i32,
    /// The decision: Approve or Reject.
    pub decision: DecisionKind,
    /// The user who decided, as authenticated by the API server.
    #[schemars(length(min = 1, max = 512))]
    pub user: String,
    /// Digest of the plan that the decision is about.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Time at which the operator first read the decision.
    pub seen_at: Time,
    /// Comment of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub comment: Option<String>,
    /// Why the decision does not count, such as another plan or a second approval by the same user. Absent if it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub void_because: Option<String>,
}

words! {
    /// A kind of decision.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum DecisionKind {
        /// The plan may be carried out.
        Approve,
        /// The plan may not be carried out. This is final.
        Reject,
    }
}
