//! `Model`: the record of a model, created by the operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{reference::ActionReference, remediation_action::ActionType};

/// Settings of a model that users may change.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "Model",
    plural = "models",
    singular = "model",
    category = "modelward",
    namespaced,
    status = "ModelStatus",
    derive = "PartialEq",
    doc = "The record of a model, created by the operator: the versions that serve now, their weights, and the versions that served before. It outlives its versions: history, holds and budgets are kept, and the next version needs an approval.",
    printcolumn(
        name = "Serving",
        type_ = "string",
        json_path = ".status.serving",
        description = "The version that answers requests"
    ),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.servingDigest",
        description = "Digest of the bundle of that version"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".status.pods",
        description = "Number of ready Pods and of desired Pods"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "Whether the model answers requests"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Status of the Ready condition"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Reason of the Ready condition"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "Message of the Ready condition",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// Whether the routes of the model are frozen. New versions are still trained, but none takes over.
    #[serde(default)]
    pub paused: bool,

    /// Uids of versions whose hold is lifted, so that they may be promoted again. `status.holds` lists the holds with their
    /// reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub lift_holds: Vec<String>,
}

/// Observed state and record of the model.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Name of the serving version with the greatest weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub serving: Option<String>,
    /// Digest of the bundle of that version, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub serving_digest: Option<String>,
    /// Number of ready Pods and of desired Pods, such as "2/2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub pods: Option<String>,
    /// Number of Pods that are verified, warmed up and serving these routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub ready_pods: Option<i32>,
    /// The newest version that was ever routed. An older version never replaces it automatically, even if the newest one was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_routed: Option<RoutedVersion>,
    /// Name of the Secret that contains the key of the model's prediction ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key_secret: Option<String>,
    /// Objects that the operator created for the model. The operator does not adopt existing objects that are not in this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub children: Vec<ChildReference>,
    /// The current Pod template, and since when it has been used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Digest of the last routes file that all Pods served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub serving_routes: Option<Digest>,
    /// Desired routes. The operator rolls them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub routes: Vec<RouteStatus>,
    /// Versions that have served, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub history: Vec<ServedRecord>,
    /// The action that holds the claim on the model. While this is set, no other action may change the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_action: Option<ActiveAction>,
    /// Number of plans made for the model so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub plan_sequence: Option<i64>,
    /// Versions that were rolled back, or whose promotion failed. They are not promoted until the hold is lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub holds: Vec<Hold>,
    /// Actions that the operator proposed for the model, newest first. The cool-down and the budgets are computed from this list, so
    /// deleting an action does not reset them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub proposals: Vec<Proposal>,
    /// Time of the last rollback. Actions that were proposed before it and have not started are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<Time>,
    /// Conditions of the model: Available, Ready, Reconciling and Stalled; also Altered, Contested, UpgradeHeld and ProposalRefused if
    /// they apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An object that the operator created for a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildReference {
    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Uid of the object. An object with the same name and a different uid is a different object.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Hash of what the operator last wrote. If the hash is still the desired one and the object differs, another client changed the
    /// object.
    #[schemars(length(max = 64))]
    pub applied: String,
}

/// The Pod template of a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Time at which the Deployment got this Pod template.
    pub since: Time,
    /// Hash of the Pod template.
    #[schemars(length(max = 64))]
    pub template: String,
    /// Hash of the parts of the Pod template that come from the operator's configuration (image, service account, ledger).
    #[schemars(length(max = 64))]
    pub configuration: String,
    /// Whether the model has been Ready with this configuration, or was not Ready before it. Other models do not wait for a settled
    /// model.
    pub settled: bool,
}

/// A version that takes part in serving.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion. A version that was deleted and recreated has a different uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Digest of its bundle.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Weight of the version. Its share of requests is its weight divided by the sum of all weights.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// Decision threshold, as a decimal number. The class is 1 if the probability is at or above it.
    #[schemars(with = "String", length(max = 26))]
    pub threshold: Decimal,
}

/// Position of a version in the order of versions: by creation time, then by name (`heart-2` before `heart-10`), then by uid.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutedVersion {
    /// Time at which the ModelVersion was created.
    pub created_at: Time,
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
}

/// The action that is changing a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ActiveAction {
    /// Name of the RemediationAction.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Uid of the RemediationAction.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Type of the action.
    #[serde(rename = "type")]
    pub action: ActionType,
    /// Digest of the plan that is being carried out.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of the attempt, starting at 1.
    #[schemars(range(min = 1, max = 2))]
    pub attempt: i32,
    /// Time at which the action claimed the model.
    pub claimed_at: Time,
}

/// A version that may not be promoted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Digest of its bundle. Other versions with the same bundle are also on hold.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Time at which the version was put on hold.
    pub since: Time,
    /// The action that put the version on hold.
    pub action: ActionReference,
    /// Human-readable reason.
    #[schemars(length(max = 256))]
    pub reason: String,
}

/// An action that the operator proposed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Name of the RemediationAction.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Type of the action.
    #[serde(rename = "type")]
    pub action: ActionType,
    /// Uid of the object that caused the proposal: a DriftReport, or the version to promote.
    #[schemars(length(max = 64))]
    pub cause: String,
    /// Time at which the action was proposed.
    pub at: Time,
    /// Why the action was proposed, if it is an alert about drift. The cool-down of alerts applies to each reason separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
}

/// An entry in the history of versions that have served.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedRecord {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Digest of its bundle.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Weight of the version, relative to the sum of all weights. Treated as 100 if it was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
    /// Decision threshold, as a decimal number. The class was 1 if the probability was at or above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub threshold: Option<Decimal>,
    /// Time from which all Pods served the version.
    pub since: Time,
}
