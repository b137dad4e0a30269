//! Observed state of a version.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use modelward_wire::{Decimal, Digest, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::{training::SelectedFamily, validation::MetricName};

/// Observed state of the version.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// Role of the version in its model: Pending, Candidate, Live, Retired or Rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_word::<Role>")]
    pub role: Option<Role>,
    /// Family of the selected candidate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<SelectedFamily>,
    /// Selecting metric, as the mean over the folds, for display: "F1 0.8151".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub score: Option<String>,
    /// Decision threshold, as a decimal number. The class is 1 if the probability is at or above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub threshold: Option<Decimal>,
    /// Snapshot that the version was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// Files that the rows of the snapshot were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// Bundle of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ArtifactStatus>,
    /// Model that the bundle was made from, if a model was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<ImportedStatus>>,
    /// Image that trained the version (source.training.customTrainer), with its digest, as reported by the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub custom_trainer_image: Option<String>,
    /// Metrics of the selected candidate, as means over the folds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<MetricStatus>,
    /// Outcomes of the gates and of the comparisons with a champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 13))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into(), "bound".into()]))]
    pub gates: Vec<GateStatus>,
    /// First five violations found in the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub violations: Vec<ViolationStatus>,
    /// First five warnings about the data, even if the data was rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub warnings: Vec<ViolationStatus>,
    /// Human-readable summary of the training: the rows, the selecting metric, why the candidate was selected, the metric on held-out
    /// rows, and whether a time limit ended the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub training_summary: Option<String>,
    /// Current or last snapshot Job. Cleared when it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,
    /// Current or last Job that makes the bundle: the fit, or the import of a model. Cleared when it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_attempt: Option<AttemptStatus>,
    /// Conditions of the version: DataValid, Trained, GatesPassed, Serving, Ready, Reconciling, Stalled and Published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A bundle or a snapshot in the artifact store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatus {
    /// Digest of the manifest, which is the address of the artifact.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of rows, if it is a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// The sha256 of the file that the rows were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub source_sha256: Option<Digest>,
}

/// The model that a bundle was made from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedStatus {
    /// Format of the model: "LightGBM text", "XGBoost JSON", "XGBoost UBJSON", "ONNX" or "Modelward bundle".
    #[schemars(length(max = 64))]
    pub format: String,
    /// The sha256 of the file of the model. For a Modelward bundle, the digest of its manifest.
    #[schemars(with = "String", length(max = 71))]
    pub file: Digest,
    /// The sha256 of the file of the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub sample: Option<Digest>,
    /// Number of rows that traffic is compared with: those of the sample, or those that a Modelward bundle was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// Version that the alias of an MLflow model was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowStatus>,
}

/// A version of a registered model in MLflow.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MlflowStatus {
    /// Number of the version.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Id of the run that logged the version, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub run: Option<String>,
}

/// A file that rows were read from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Name of the file for display, such as "cleveland.csv".
    #[schemars(length(max = 256))]
    pub name: String,
    /// The sha256 of the file.
    #[schemars(with = "String", length(max = 71))]
    pub sha256: Digest,
    /// Number of rows that were read from the file.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Number of rows of class 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub positive_rows: Option<i64>,
}

/// A metric, as the mean over repeated folds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// Name of the metric.
    pub name: MetricName,
    /// Mean over the folds of all repeats, as a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub mean: Decimal,
    /// Standard error of the mean, as a decimal number, corrected for training rows that folds share.
    #[schemars(with = "String", length(max = 26))]
    pub standard_error: Decimal,
}

/// Outcome of a gate.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Name of the metric.
    pub metric: MetricName,
    /// Bound and its direction, such as "atLeast 0.75" or "notWorseThan heart-1 by 0.03 on all rows".
    #[schemars(length(max = 128))]
    pub bound: String,
    /// Value that was compared, as a decimal number: the mean over the folds, minus the standard errors of the gate for atLeast, or plus
    /// them for atMost. For notWorseThan, the lower bound of the difference, pooled over the folds.
    #[schemars(with = "String", length(max = 26))]
    pub value: Decimal,
    /// Whether the gate passed.
    pub passed: bool,
}

/// A violation found in the data, or a warning about it.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViolationStatus {
    /// Name of the column. Empty if the whole table is concerned.
    #[schemars(length(max = 256))]
    pub column: String,
    /// Rule in CamelCase.
    #[schemars(length(max = 64))]
    pub rule: String,
    /// What was found and what was expected.
    #[schemars(length(max = 480))]
    pub message: String,
    /// Number of rows concerned.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub count: i64,
    /// First such row. The first row of data is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub example_row: Option<i64>,
}

/// An attempt at a Job.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Number of the attempt, starting at 1. There are at most two for the same input.
    #[schemars(range(min = 1, max = 100))]
    pub attempt: i32,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Uid of the Job, by which the ledger identifies its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// Hash of the input of the Job: the dataset and the spec. If it changes, attempts are counted from 1 again.
    #[schemars(length(max = 64))]
    pub input: String,
    /// Whether the Job has ended and its result is recorded.
    #[serde(default)]
    pub finished: bool,
    /// Time at which the attempt was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Reason in CamelCase why the Pod of the Job does not run or the attempt has no outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Human-readable message with details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Number of Jobs of this attempt that the cluster ended, for example by an eviction, a lost node or an unreachable ledger. They do
    /// not use up an attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub interruptions: i32,
    /// Time at which the next Job of this attempt starts, after the cluster ended one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// Progress of the running Job in percent, in steps of 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
