//! `DriftReport`: one verdict on one window of one version's traffic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which traffic to judge.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "DriftReport",
    plural = "driftreports",
    singular = "driftreport",
    shortname = "drift",
    category = "modelward",
    namespaced,
    status = "DriftReportStatus",
    derive = "PartialEq",
    selectable = ".spec.version",
    doc = "One verdict on one window of one version's traffic.",
    printcolumn(
        name = "Version",
        type_ = "string",
        json_path = ".spec.version",
        description = "The version whose traffic is judged"
    ),
    printcolumn(
        name = "Verdict",
        type_ = "string",
        json_path = ".status.verdict",
        description = "Drift, NoDrift or InsufficientData"
    ),
    printcolumn(
        name = "Rows",
        type_ = "integer",
        json_path = ".status.rows",
        description = "Rows that were judged"
    ),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].status",
        description = "Whether a verdict could be given"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self == oldSelf").message("spec is immutable; create a new DriftReport instead"))]
#[x_kube(validation = Rule::new("timestamp(self.startTime) < timestamp(self.endTime)").message("startTime must be before endTime"))]
pub struct DriftReportSpec {
    /// Name of the ModelVersion.
    #[schemars(length(min = 1, max = 45))]
    pub version: String,
    /// Beginning of the window, by the time at which the server received a row.
    pub start_time: Time,
    /// End of the window; a row of this very moment belongs to the next one.
    pub end_time: Time,
}

/// The verdict, written once.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DriftReportStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<DriftVerdict>,
    /// Rows that were judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// Succeeded, Reconciling and Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// What a window's traffic says.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum DriftVerdict {
    /// At least one feature differs from the reference by more than the tolerance.
    Drift,
    /// Enough rows, and no such feature.
    NoDrift,
    /// Too few rows to say; never read as "no drift".
    InsufficientData,
}
