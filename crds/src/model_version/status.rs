//! The observed state of a version.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use modelward_wire::{Decimal, Digest, Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model_version::{training::SelectedFamily, validation::MetricName};

/// The observed state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// The role of the version in its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_word::<Role>")]
    pub role: Option<Role>,
    /// The family that was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<SelectedFamily>,
    /// The selecting metric, mean over the folds, for display: "F1 0.8151".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub score: Option<String>,
    /// Decision threshold, a decimal number: the class is 1 at or above this probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub threshold: Option<Decimal>,
    /// The snapshot that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// The files that the rows of the snapshot were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// The bundle of the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ArtifactStatus>,
    /// What the bundle was made of, if a model was imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Box<ImportedStatus>>,
    /// The image that trained the version (source.training.customTrainer), with its digest, as the node reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub custom_trainer_image: Option<String>,
    /// Metrics of the selected candidate, means over the folds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<MetricStatus>,
    /// Outcome of each gate, and of each comparison with a champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 13))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into(), "bound".into()]))]
    pub gates: Vec<GateStatus>,
    /// The first five violations found in the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub violations: Vec<ViolationStatus>,
    /// The first five warnings of the check of the data, also where it is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub warnings: Vec<ViolationStatus>,
    /// The result of the training in words: its rows, the selecting metric, why the candidate was selected, the metric on rows that were
    /// held out, and whether a time limit ended the search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub training_summary: Option<String>,
    /// The current or last snapshot Job, until it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,
    /// The current or last Job that makes the bundle, until it is no longer needed: a fit, or the import of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_attempt: Option<AttemptStatus>,
    /// DataValid, Trained, GatesPassed, Serving, Ready, Reconciling, Stalled and Published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A bundle or a snapshot in the artifact store.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatus {
    /// Digest of its manifest, which is its address.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Number of rows of a snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// The sha256 of the file that the rows were read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub source_sha256: Option<Digest>,
}

/// What a bundle was made of.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportedStatus {
    /// The format of the model: "LightGBM text", "XGBoost JSON", "XGBoost UBJSON", "ONNX" or "Modelward bundle".
    #[schemars(length(max = 64))]
    pub format: String,
    /// The sha256 of the bytes of its file; of a Modelward bundle the digest of its manifest.
    #[schemars(with = "String", length(max = 71))]
    pub file: Digest,
    /// The sha256 of the bytes of the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 71))]
    pub sample: Option<Digest>,
    /// Number of rows that traffic is compared with: those of the sample, or of the training of a Modelward bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: Option<i64>,
    /// What the alias of an MLflow model was resolved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowStatus>,
}

/// A version of a registered model of MLflow.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MlflowStatus {
    /// Its number.
    #[schemars(length(max = 64))]
    pub version: String,
    /// Id of the run that logged it, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub run: Option<String>,
}

/// A file that rows were read from.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Its name for display: "cleveland.csv".
    #[schemars(length(max = 256))]
    pub name: String,
    /// The sha256 of its bytes.
    #[schemars(with = "String", length(max = 71))]
    pub sha256: Digest,
    /// Number of rows read from it.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Number of rows of class 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub positive_rows: Option<i64>,
}

/// A metric over repeated folds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// Name of the metric.
    pub name: MetricName,
    /// Mean over the folds of all repeats, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub mean: Decimal,
    /// Standard error of the mean, a decimal number, corrected for folds that share training rows.
    #[schemars(with = "String", length(max = 26))]
    pub standard_error: Decimal,
}

/// Outcome of a gate.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Name of the metric.
    pub metric: MetricName,
    /// The bound and its direction: "atLeast 0.75", "notWorseThan heart-1 by 0.03 on all rows".
    #[schemars(length(max = 128))]
    pub bound: String,
    /// The value that was compared, a decimal number: the mean over the folds, less the standard errors that the gate asks for; for notWorseThan the lower bound of the difference, pooled
    /// over the folds.
    #[schemars(with = "String", length(max = 26))]
    pub value: Decimal,
    /// Whether it passed.
    pub passed: bool,
}

/// A violation found in the data, or a warning of its check.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViolationStatus {
    /// The column; empty if it concerns the whole table.
    #[schemars(length(max = 256))]
    pub column: String,
    /// The rule in CamelCase.
    #[schemars(length(max = 64))]
    pub rule: String,
    /// What was found and what was expected.
    #[schemars(length(max = 480))]
    pub message: String,
    /// Number of rows that the rule is about.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub count: i64,
    /// The first such row; the first data row is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub example_row: Option<i64>,
}

/// An attempt at a Job of this version.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Number of the attempt, from 1. There are at most two for the same input.
    #[schemars(range(min = 1, max = 100))]
    pub attempt: i32,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Uid of the Job, by which the ledger identifies its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// Hash of the Job's input: the dataset and the spec. When it changes, attempts are counted from 1 again.
    #[schemars(length(max = 64))]
    pub input: String,
    /// Whether the Job has ended and its result is recorded.
    #[serde(default)]
    pub finished: bool,
    /// When the attempt was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Reason why the Job's Pod does not run or the attempt has no outcome, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// A message with details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// Number of Jobs of this attempt that the cluster ended: an eviction, a lost node, an unreachable ledger. They do not
    /// use up an attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub interruptions: i32,
    /// When the next Job of this attempt starts, after one that the cluster ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Time>,
    /// How much of its work a running Job has done, in steps of 10 per cent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub percent: Option<i32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}
