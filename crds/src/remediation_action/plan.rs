//! The plan of an action: what its approval covers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use modelward_wire::{Decimal, Digest, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model_version::{ArtifactStatus, Champion, Gate, SourceStatus},
    reference::{PlannedReference, VersionReference},
};

/// Exactly what would be done.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ActionPlan {
    /// The sha256 of `content`. A decision names this digest and does not apply to any other plan.
    #[schemars(schema_with = "crate::schema::digest")]
    pub digest: Digest,
    /// Version of the format of `content`.
    #[schemars(range(min = 1, max = 1000))]
    pub plan_format: i32,
    /// Sequence number of the plan. It increases with each plan of the model, so that returning to earlier routes does not restore
    /// earlier approvals.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub plan_sequence: i64,
    /// Risk of the action, by the operator's configuration.
    pub risk: Risk,
    /// Number of different users who must approve the plan.
    #[schemars(range(min = 0, max = 8))]
    pub approvals_required: i32,
    /// Users whose approval does not count: those who created or changed the version that would be promoted or retrained. They
    /// may reject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub excluded_approvers: Vec<String>,
    /// Time at which the plan expires.
    pub not_after: Time,
    /// Human-readable summary of what would be done.
    #[schemars(length(min = 1, max = 16384))]
    pub summary: String,
    /// Content of the plan as canonical JSON. The digest is computed from it.
    #[schemars(length(min = 2, max = 65536))]
    pub content: String,
    /// Routes that serve now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub present_routes: Vec<PlannedRoute>,
    /// Routes that would serve after the action. A version that has not been trained yet is not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["version".into()]))]
    pub planned_routes: Vec<PlannedRoute>,
    /// Snapshot that a RetrainModel would train on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// Files that the rows of the snapshot were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// Reference that later traffic would be compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<PlannedReference>,
    /// Training of a RetrainModel, and the gates that the new version must pass before it may serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<PlannedTraining>,
    /// Users who, after its creation, changed the spec of the version that would be promoted or retrained, in the order of their first
    /// changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 512)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub changed_by: Vec<String>,
    /// Version that would be promoted, returned to or retrained, at the time of the plan. Any change of its spec causes a new plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<PlannedVersion>,
    /// Fields of the spec, and files, in which the planned version differs from the version that serves. If no version serves, all
    /// fields are listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub differences: Vec<PlannedDifference>,
}

/// A field in which the planned version differs from the version that serves.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDifference {
    /// Path of the field in the spec, or the file whose bytes differ.
    #[schemars(length(min = 1, max = 512))]
    pub field: String,
    /// Current value as JSON. A long value is truncated and followed by its sha256. Absent if the field is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub before: Option<String>,
    /// Planned value, in the same form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub after: Option<String>,
}

/// A ModelVersion at one generation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedVersion {
    /// Name of the ModelVersion.
    #[schemars(length(min = 1, max = 45))]
    pub name: String,
    /// Uid of the ModelVersion.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// `metadata.generation` of the ModelVersion, which the API server increments with each change of the spec.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub generation: i64,
}

/// A training, as listed in a plan.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PlannedTraining {
    /// Version that is retrained.
    pub target: VersionReference,
    /// Datasets, in the order in which they are read.
    #[schemars(length(max = 17))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub datasets: Vec<PlannedDataset>,
    /// Gates that the new version must pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,
    /// Version that the new version must not be worse than, with its bundle and the margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,
    /// Whether the approval of this plan also covers the promotion of the new version once its gates pass.
    pub serve_when_gates_pass: bool,
}

/// A dataset, as listed in a plan.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedDataset {
    /// Name of the dataset in the spec. The first dataset of the version has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub name: Option<String>,
    /// Location of the dataset: `ConfigMap heart-disease, key hungarian.csv`, or an address. An address of more than 1024 characters is
    /// truncated; `locationSha256` covers all of it.
    #[schemars(length(min = 1, max = 1600))]
    pub location: String,
    /// The sha256 of the full location.
    #[schemars(schema_with = "crate::schema::digest")]
    pub location_sha256: Digest,
    /// Host of the address, if the location is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 260))]
    pub host: Option<String>,
    /// The sha256 that the spec requires for the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub sha256: Option<Digest>,
}

words! {
    /// The risk of an action.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Risk {
        /// No approval is needed.
        Low,
        /// One approval, unless the operator's configuration requires more.
        Medium,
        /// Two approvals, unless the operator's configuration requires more.
        High,
    }
}

/// A version that takes part in serving, before or after the action.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRoute {
    /// Name of the ModelVersion.
    #[schemars(length(max = 253))]
    pub version: String,
    /// Uid of the ModelVersion.
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
