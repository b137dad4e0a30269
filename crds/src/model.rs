//! `Model`: the record of one model, made by the operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{reference::ActionReference, remediation_action::ActionType};

/// What people may set on a model's record.
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
    doc = "The record of one model, made by the operator: what serves now, with which weight, and what served before. It stays when its versions go: history, holds and budgets are kept, and what serves next is approved.",
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
        description = "Its bundle"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".status.pods",
        description = "Ready and wanted Pods"
    ),
    printcolumn(
        name = "Available",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Available\")].status",
        description = "Whether requests are answered"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether nothing is left to do"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is ready or not"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        description = "In words",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelSpec {
    /// Whether the operator leaves what serves as it is. Versions go on training; none takes over.
    #[serde(default)]
    pub paused: bool,

    /// Uids of versions whose hold is lifted: they may be promoted again. `status.holds` lists what is held and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub lift_holds: Vec<String>,
}

/// What the operator saw and did.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Name of the version that answers with most weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub serving: Option<String>,
    /// Its bundle, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub serving_digest: Option<String>,
    /// Ready and wanted Pods: "2/2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub pods: Option<String>,
    /// Pods that are verified, warmed up and answering with the routes below.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub ready_pods: Option<i32>,
    /// The newest version that was ever routed. An older one never takes over from it by itself, also when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_routed: Option<RoutedVersion>,
    /// Name of the Secret that holds the key of the model's prediction ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub key_secret: Option<String>,
    /// The objects that the operator made for the model. One that exists and is not among them is not adopted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub children: Vec<ChildReference>,
    /// The Pod template that serves, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutStatus>,
    /// Digest of the routes file with which every Pod answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub serving_routes: Option<Digest>,
    /// What should serve: the routes that the operator rolls out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub routes: Vec<RouteStatus>,
    /// What served, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub history: Vec<ServedRecord>,
    /// The one action that is changing the model now. While it is set, no other one may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_action: Option<ActiveAction>,
    /// How many plans have been made for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub plan_sequence: Option<i64>,
    /// Versions that were left by a rollback or failed their promotion. None is promoted until its hold is lifted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["uid".into()]))]
    pub holds: Vec<Hold>,
    /// Actions that were proposed for the model by itself, newest first: cool-down and budgets are counted over them, and
    /// deleting an action does not give it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub proposals: Vec<Proposal>,
    /// When what serves was last returned to former routes. Actions that were proposed before and have not begun are void.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back_at: Option<Time>,
    /// Available, Ready, Reconciling and Stalled; Altered, Contested, UpgradeHeld and ProposalRefused where they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// An object that the operator made for a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChildReference {
    /// Its kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid: an object of the same name with another uid is another object.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Hash of what the operator wrote last. A child that differs although this is what is wanted was changed by another writer.
    #[schemars(length(max = 64))]
    pub applied: String,
}

/// The Pod template of a model.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Since when the Deployment has this Pod template.
    pub since: Time,
    /// Hash of the Pod template.
    #[schemars(length(max = 64))]
    pub template: String,
    /// Hash of what the operator's configuration (image, service account, ledger) puts into every Pod template.
    #[schemars(length(max = 64))]
    pub configuration: String,
    /// Whether the model was Ready with this configuration, or was not Ready before it: then other models need not wait for it.
    pub settled: bool,
}

/// One version that takes part in serving.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteStatus {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion: a version that was deleted and made again is another one.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its bundle.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Share of requests out of the sum of all weights.
    #[schemars(range(min = 0, max = 100))]
    pub weight: i32,
    /// Probability from which the class is 1, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub threshold: Decimal,
}

/// A version's place in the order of versions: by creation, then by name (`heart-2` before `heart-10`), then by uid.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutedVersion {
    /// When the ModelVersion was created.
    pub created_at: Time,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Its uid.
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
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action: ActionType,
    /// Digest of the plan that is carried out.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Which attempt this is, from 1.
    #[schemars(range(min = 1, max = 2))]
    pub attempt: i32,
    /// When the model was claimed for it.
    pub claimed_at: Time,
}

/// A version that is kept from being promoted.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Its bundle: another version of the same bundle is held too.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Since when.
    pub since: Time,
    /// The action that left it.
    pub action: ActionReference,
    /// Why, in words.
    #[schemars(length(max = 256))]
    pub reason: String,
}

/// An action that was proposed without a person.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// Name of the RemediationAction.
    #[schemars(length(max = 253))]
    pub name: String,
    /// What it does.
    #[serde(rename = "type")]
    pub action: ActionType,
    /// Uid of the object that it answers: a DriftReport, or the version to promote.
    #[schemars(length(max = 64))]
    pub cause: String,
    /// When.
    pub at: Time,
}

/// One entry of the history of what served.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedRecord {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Its bundle.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Share of requests that it answered with, out of the sum of all weights. 100 where it is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
    /// Probability from which the class was 1, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub threshold: Option<Decimal>,
    /// Since when every Pod answered with it.
    pub since: Time,
}
