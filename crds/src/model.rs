//! `Model`: the record of one model, made by the operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    doc = "The record of one model, made by the operator: what serves now, with which weight, and what served before. It exists as long as a ModelVersion of the model does.",
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
    /// Available, Ready, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
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

/// A version's place in the order of versions: by creation, then by uid.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutedVersion {
    /// When the ModelVersion was created.
    pub created_at: Time,
    /// Its uid.
    #[schemars(length(max = 64))]
    pub uid: String,
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
    /// Since when every Pod answered with it.
    pub since: Time,
}
