//! The spec of a version: where it comes from, and how it is served, monitored and retrained.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model_version::{
        artifact::ArtifactSource, data::Dataset, monitoring::MonitoringSpec, retraining::RetrainingSpec,
        serving::ServingSpec, status::ModelVersionStatus, training::TrainingSource,
    },
    reference::{ActionReference, VersionReference},
};

/// Spec of a version of a model: where its data comes from, how it is trained and gated, and how it is served.
///
/// The fields `model`, `source` and `provenance` are immutable; create a new version instead. The settings for serving, monitoring and
/// retraining may be changed at any time.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "modelward.io",
    version = "v1alpha1",
    kind = "ModelVersion",
    plural = "modelversions",
    singular = "modelversion",
    shortname = "mv",
    category = "modelward",
    namespaced,
    status = "ModelVersionStatus",
    derive = "PartialEq",
    selectable = ".spec.model",
    doc = "A version of a tabular model: its data, its training, its gates, and how it is served.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model", description = "Name of the model"),
    printcolumn(name = "Family", type_ = "string", json_path = ".status.family", description = "Family of the selected candidate"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".status.score", description = "Selecting metric, as the mean over the folds"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role", description = "Role of the version in its model"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Status of the Ready condition"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Reason of the Ready condition"),
    printcolumn(name = "Percent", type_ = "integer", json_path = ".status.fitAttempt.percent", description = "Progress of a running training in percent, in steps of 10"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "Message of the Ready condition", priority = 1),
    printcolumn(name = "Bundle", type_ = "string", json_path = ".status.bundle.digest", description = "Digest of the bundle", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name must be at most 45 lower-case letters, digits and '-', starting with a letter: names of Jobs are made from it"),
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.provenance) == has(oldSelf.provenance)").message("provenance is immutable; create a new ModelVersion instead"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || self.monitoring.tolerances.all(t, t.feature != self.source.training.target.column)")
    .message("monitoring.tolerances names the target column, which is predicted and is not a feature"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.exclude) || \
    self.monitoring.tolerances.all(t, !(t.feature in self.source.training.exclude))")
    .message("monitoring.tolerances names a column of source.training.exclude, which is not a feature; remove it from one of the two"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.validation.groupBy) || \
    self.monitoring.tolerances.all(t, t.feature != self.source.training.validation.groupBy)")
    .message("monitoring.tolerances names the column of source.training.validation.groupBy, which is not a feature"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.weights) || \
    !has(self.source.training.weights.column) || self.monitoring.tolerances.all(t, t.feature != self.source.training.weights.column)")
    .message("monitoring.tolerances names the column of source.training.weights.column, which is not a feature"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.validation.timeSplit) || \
    self.monitoring.tolerances.all(t, t.feature != self.source.training.validation.timeSplit.column)")
    .message("monitoring.tolerances names the column of source.training.validation.timeSplit, which is not a feature"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.dataset.csv) || !has(self.source.training.dataset.csv.columns) || \
    self.source.training.dataset.csv.columns.size() == 0 || \
    self.monitoring.tolerances.all(t, t.feature in self.source.training.dataset.csv.columns)")
    .message("monitoring.tolerances names a feature that is not in source.training.dataset.csv.columns; write the name exactly as it is there"))]
#[x_kube(validation = Rule::new("!has(self.retraining) || !has(self.source.artifact) || has(self.source.artifact.bundle)")
    .message("an imported model has no training that could be repeated: remove retraining, and import its successor as a new ModelVersion"))]
#[x_kube(validation = Rule::new("!has(self.retraining) || !self.retraining.includeTrainingData || !has(self.source.training) || \
    !has(self.source.training.additionalDatasets) || self.source.training.additionalDatasets.size() + \
    self.retraining.datasets.filter(d, !self.source.training.additionalDatasets.exists(a, a.name == d.name)).size() <= 8")
    .message("retraining.datasets and source.training.additionalDatasets have more than 8 names together: remove some, or set retraining.includeTrainingData to false"))]
pub struct ModelVersionSpec {
    /// Name of the model. All versions of a model share one Service of this name. Immutable.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("write lower-case letters, digits and '-', starting with a letter: the model's Service has this name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("model is immutable; create a new ModelVersion instead"))]
    pub model: String,

    /// Where the version comes from. Immutable, so that the version that serves is the one that was trained and approved.
    #[x_kube(validation = Rule::new("self == oldSelf").message("source is immutable; create a new ModelVersion instead"))]
    pub source: Source,

    /// How the version is served once it has passed its gates.
    pub serving: ServingSpec,

    /// How the traffic of the version is monitored for drift.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// Data that a new version is trained on when this version drifts, and how the new version is promoted. If absent, drift only
    /// raises an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retraining: Option<RetrainingSpec>,

    /// Action that created this version. Set by the operator. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("provenance is immutable; create a new ModelVersion instead"))]
    pub provenance: Option<Provenance>,
}

/// Action that created a version.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// RemediationAction that created the version.
    pub action: ActionReference,
    /// Version from which this version was derived.
    pub parent: VersionReference,
}

/// Where a version comes from. Exactly one of the fields must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.training) != has(self.artifact)").message("exactly one of training and artifact must be set"))]
pub struct Source {
    /// Train a model on a dataset, in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingSource>,

    /// Serve a bundle that already exists in the artifact store, or a model that was trained elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Box<ArtifactSource>>,
}

// === impl Source ===

impl Source {
    /// All datasets that are read, in the order in which Jobs number them.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        let training = self.training.iter().flat_map(TrainingSource::datasets);
        training.chain(
            self.artifact
                .as_deref()
                .into_iter()
                .flat_map(ArtifactSource::datasets),
        )
    }
}
