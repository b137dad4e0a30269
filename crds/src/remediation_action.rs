//! `RemediationAction`: one proposed change to what runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is proposed.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "RemediationAction",
    plural = "remediationactions",
    singular = "remediationaction",
    shortname = "ra",
    category = "modelward",
    namespaced,
    status = "RemediationActionStatus",
    derive = "PartialEq",
    selectable = ".spec.model",
    doc = "One proposed change to what runs, with its evidence, its plan and its decisions.",
    printcolumn(
        name = "Model",
        type_ = "string",
        json_path = ".spec.model",
        description = "The model that would change"
    ),
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = ".spec.type",
        description = "What would be done"
    ),
    printcolumn(
        name = "Approved",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Approved\")].status",
        description = "Whether enough people approved"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Whether it ended well"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason",
        description = "Where it stands"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable; create a new RemediationAction instead"))]
pub struct RemediationActionSpec {
    /// Name of the model.
    #[schemars(length(min = 1, max = 40))]
    pub model: String,
    /// What would be done.
    #[serde(rename = "type")]
    pub action: ActionType,
}

/// A kind of change.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum ActionType {
    /// Tell people.
    SendAlert,
    /// Train a new version on fresh data.
    RetrainModel,
    /// Let a version that passed its gates answer requests.
    PromoteModel,
    /// Return to what served before.
    RollbackModel,
}

/// Where the action stands.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemediationActionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Approved, Executed, Verified, Succeeded, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
