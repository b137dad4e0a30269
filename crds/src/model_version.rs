//! `ModelVersion`: one immutable version of a model.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest, Role, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::{ActionReference, VersionReference};

/// The message for an invalid tolerance.
const DECIMAL_FRACTION: &str =
    "write a decimal number above 0 and below 1 in quotes, such as \"0.1\"; percent signs are not allowed";
/// The pattern of a share, and the message for an invalid one.
const IS_SHARE: &str = "self.matches('^(0([.][0-9]{1,12})?|1([.]0{1,12})?)$')";
const SHARE: &str =
    "write a decimal number from 0 to 1 in quotes, such as \"0.5\"; percent signs are not allowed";
/// The pattern of a margin, and the message for an invalid one.
const IS_MARGIN: &str = "self.matches('^0([.][0-9]{1,12})?$')";
const MARGIN: &str =
    "write a decimal number from 0 and below 1 in quotes, such as \"0.02\"; percent signs are not allowed";
/// The pattern of a bound on a metric, and the message for an invalid one.
const IS_BOUND: &str = "self.matches('^[0-9]{1,12}([.][0-9]{1,12})?$')";
const BOUND: &str =
    "write a decimal number of at least 0 in quotes, such as \"0.75\"; percent signs are not allowed";
/// The pattern of an object's name, and the message for an invalid one.
const IS_OBJECT_NAME: &str = "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')";
const OBJECT_NAME: &str = "write a name as Kubernetes has them: lower-case letters, digits, '-' and '.'";
/// The pattern of a number in a column, and the message for an invalid one.
const IS_NUMBER: &str = "self.matches('^-?[0-9]{1,12}([.][0-9]{1,12})?$')";
const NUMBER: &str =
    "write a decimal number in quotes, such as \"-0.5\", with at most 12 digits on each side of the point";

/// A version of a model: where its data comes from, how it is trained and gated, and how it is served.
///
/// The fields `model`, `source` and `provenance` are immutable; create a new version instead. Settings for serving, monitoring and
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
    doc = "One version of a tabular model: its data, its training, its gates, and how it is served.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model", description = "The model that this is a version of"),
    printcolumn(name = "Family", type_ = "string", json_path = ".status.family", description = "The family that was selected"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".status.score", description = "The selecting metric: mean over out-of-fold predictions"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role", description = "The role of the version in its model"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether nothing is left to do"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready or not"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", description = "In words", priority = 1),
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
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.dataset.csv.columns) || \
    self.source.training.dataset.csv.columns.size() == 0 || \
    self.monitoring.tolerances.all(t, t.feature in self.source.training.dataset.csv.columns)")
    .message("monitoring.tolerances names a feature that is not in source.training.dataset.csv.columns; write the name exactly as it is there"))]
pub struct ModelVersionSpec {
    /// Name of the model that this is a version of. All versions of a model share one Service of this name. Immutable.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("write lower-case letters, digits and '-', starting with a letter: the model's Service has this name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("model is immutable; create a new ModelVersion instead"))]
    pub model: String,

    /// How the version is obtained. Immutable, so that the version that serves is the one that was trained and approved.
    #[x_kube(validation = Rule::new("self == oldSelf").message("source is immutable; create a new ModelVersion instead"))]
    pub source: Source,

    /// How the version is served once it has passed its gates.
    pub serving: ServingSpec,

    /// How its traffic is monitored for drift.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// The data that a new version is trained on when this one drifts. If absent, drift only raises an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retraining: Option<RetrainingSpec>,

    /// The action that created this version. Set by the operator; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("provenance is immutable; create a new ModelVersion instead"))]
    pub provenance: Option<Provenance>,
}

/// How a version's traffic is monitored for drift: in windows of event time, each judged after it has closed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringSpec {
    /// Length of a window in seconds. Windows are aligned to 1970-01-01T00:00:00Z; a row belongs to the window in which the
    /// server received it. The version with the greatest weight sets it for its model; a change rolls the Pods.
    #[serde(default = "default_window_seconds")]
    #[schemars(range(min = 10, max = 604_800))]
    pub window_seconds: i32,

    /// Delay in seconds between the end of a window and its evaluation, in which Pods report their counts.
    #[serde(default = "default_lateness_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub lateness_seconds: i32,

    /// Rows that a window needs to be judged. With fewer rows the verdict is InsufficientData, never NoDrift.
    #[serde(default = "default_minimum_rows")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub minimum_rows: i64,

    /// How far a feature's values (total variation) or its missing rate may differ from the reference, a decimal number above
    /// 0 and below 1. A feature drifts if the lower confidence bound of the difference is not below it.
    #[serde(default = "default_tolerance")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub tolerance: Decimal,

    /// Tolerances of individual features, instead of the general one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["feature".into()]))]
    pub tolerances: Vec<FeatureTolerance>,
}

/// A tolerance of one feature.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeatureTolerance {
    /// Name of the feature.
    #[schemars(length(min = 1, max = 128))]
    pub feature: String,
    /// The tolerance, a decimal number above 0 and below 1.
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub tolerance: Decimal,
}

/// The data that a new version is trained on, and how it is promoted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrainingSpec {
    /// New data, with the same columns as the version's own dataset.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub datasets: Vec<NamedDataset>,

    /// Whether the new version is also trained on the data of this version.
    #[serde(default = "default_true")]
    pub include_training_data: bool,

    /// Minimum number of rows that this version was not trained on. With fewer, an alert is raised instead.
    #[serde(default = "default_minimum_new_rows")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_new_rows: i64,

    /// Minimum number of new rows of each class.
    #[serde(default = "default_minimum_rows_of_each_class")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_rows_of_each_class: i64,

    /// Whether the approval of the retraining also covers the promotion of the new version once its gates pass. Otherwise its
    /// promotion is proposed as a separate action.
    #[serde(default = "default_true")]
    pub serve_when_gates_pass: bool,

    /// How much worse than the version that serves the new one may be: the lower bound of the difference in the selecting
    /// metric must be at or above minus this decimal number.
    #[serde(default = "default_margin")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_MARGIN).message(MARGIN))]
    pub margin: Decimal,
}

/// A dataset with a name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedDataset {
    /// Its name, used in messages.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The location of its rows.
    pub dataset: Dataset,
}

/// The action that created a version.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// The RemediationAction.
    pub action: ActionReference,
    /// The version that it was derived from.
    pub parent: VersionReference,
}

/// How a version is obtained: exactly one of these.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.training) != has(self.artifact)").message("exactly one of training and artifact must be set"))]
pub struct Source {
    /// Train a model on a dataset, in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingSource>,

    /// Serve a bundle that already exists in the artifact store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactSource>,
}

/// A bundle in the artifact store of this namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArtifactSource {
    /// Digest of its manifest.
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub bundle: Digest,
    /// The class is 1 at or above this probability, a decimal number from 0 to 1.
    #[serde(default = "default_threshold")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub threshold: Decimal,
}

/// A training: data, target, features, and how the result is selected and gated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.exclude) || !(self.target.column in self.exclude)")
    .message("exclude names the target column, which is predicted and is not a feature; leave it out"))]
#[x_kube(validation = Rule::new("!has(self.features) || self.features.all(f, f.name != self.target.column)")
    .message("features names the target column, which is predicted and is not a feature; leave it out"))]
pub struct TrainingSource {
    /// The rows to train on.
    pub dataset: Dataset,

    /// Further datasets to train on, with the same columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub additional_datasets: Vec<NamedDataset>,

    /// The snapshot of these datasets, if they were already read and accepted: the datasets are not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub snapshot: Option<Digest>,

    /// The column to predict and when it counts as class 1.
    pub target: Target,

    /// Features that cannot be inferred completely. All other columns, except the target and excluded ones, are features
    /// too: Numeric if every value is a number, Categorical if most values are words. A column that mixes numbers and words,
    /// at least half of them numbers, has to be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<FeatureSpec>,

    /// Columns that are not features, such as an identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// Families to try. The best one by selectBy is selected.
    #[serde(default = "default_families")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub families: Vec<Family>,

    /// How candidates are evaluated: repeated stratified folds.
    #[serde(default)]
    pub validation: ValidationSpec,

    /// The metric that selects among candidates.
    #[serde(default)]
    pub select_by: MetricName,

    /// Bounds that the selected candidate must meet before it may serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,

    /// A version (the champion) that this one must not be worse than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,

    /// The window that later traffic is compared with. If absent, traffic is compared with the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<AcceptedWindow>,
}

/// A version that another one is compared with, on the same rows.
///
/// The new version passes if the lower bound (5%) of the difference in selectBy, by a paired bootstrap, is at or above minus
/// the margin: over all rows, and separately over the rows that the champion was not trained on.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Champion {
    /// Name of its ModelVersion, for display.
    #[schemars(length(min = 1, max = 45), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub version: String,
    /// Its bundle.
    #[schemars(schema_with = "crate::schema::digest")]
    pub bundle: Digest,
    /// The margin, a decimal number.
    #[serde(default = "default_margin")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_MARGIN).message(MARGIN))]
    pub margin: Decimal,
}

/// A window of traffic that was accepted as the new normal.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceptedWindow {
    /// Digest of its bins and counts in the ledger.
    #[schemars(schema_with = "crate::schema::digest")]
    pub counts: Digest,
    /// Number of its rows.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Start of the window.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub start_time: Time,
    /// End of the window.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub end_time: Time,
}

/// A CSV file, from exactly one location.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.uri), has(self.persistentVolumeClaim)].filter(x, x).size() == 1")
    .message("exactly one of configMap, uri and persistentVolumeClaim must be set"))]
pub struct Dataset {
    /// A key of a ConfigMap in this namespace. The version waits until the ConfigMap exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,

    /// An http or https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!-~]+$')")
        .message("write an address that begins with http:// or https:// and has only ASCII characters, with %20 for a space"))]
    #[x_kube(validation = Rule::new("!self.matches('^https?://[^/?#]*@')")
        .message("remove the user name and password: every user who may read the version would see them"))]
    pub uri: Option<String>,

    /// A file on a PersistentVolumeClaim in this namespace. The version waits until the claim exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimSource>,

    /// The digest that the file must have: "sha256:" and 64 hexadecimal digits. If absent, any content is accepted and its
    /// digest is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub sha256: Option<Digest>,

    /// The format of the file.
    #[serde(default)]
    pub csv: CsvFormat,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub name: String,
    /// Key that contains the file.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("write a key of the ConfigMap: letters, digits, '-', '_' and '.', and neither \".\" nor a name that begins with \"..\""))]
    pub key: String,
}

/// A file on a PersistentVolumeClaim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersistentVolumeClaimSource {
    /// Name of the claim.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub claim_name: String,
    /// Path of the file relative to the volume's root, without "..".
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)*$')")
        .message("write the path from the volume's root without a leading '/', such as data/heart.csv; letters, digits, '-', '_' and '.' are allowed"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(p, p == '..')").message("path may not contain '..'"))]
    pub path: String,
}

/// The format of a CSV file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.header || (has(self.columns) && size(self.columns) > 0)").message("columns must be set where the file has no header"))]
pub struct CsvFormat {
    /// Whether the first line names the columns.
    #[serde(default = "default_true")]
    pub header: bool,
    /// Names of the columns, in the order of the file. Required without a header; with a header, both must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub columns: Vec<String>,
    /// Texts that mean "missing", in addition to the empty text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub missing: Vec<String>,
    /// The character between fields.
    #[serde(default = "default_delimiter")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self in [',', ';', '|', '\\t']")
        .message("write one of \",\", \";\", \"|\" and \"\\t\" (a tab, in double quotes)"))]
    pub delimiter: String,
}

/// The column to predict.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    /// Name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub column: String,
    /// When a row belongs to class 1; every other row belongs to class 0. If absent, the column must contain 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_when: Option<PositiveWhen>,
}

/// When a row belongs to class 1.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.greaterThan) != has(self.equals)").message("exactly one of greaterThan and equals must be set"))]
pub struct PositiveWhen {
    /// If the column, read as a number, is greater than this decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub greater_than: Option<Decimal>,
    /// If the column equals this text. Numbers are compared as numbers: "1" equals "1.0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub equals: Option<String>,
}

/// Properties of a feature.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.kind == 'Categorical' || !has(self.categories)").message("categories may be set for a Categorical feature only"))]
#[x_kube(validation = Rule::new("self.kind == 'Numeric' || !has(self.range)").message("range may be set for a Numeric feature only"))]
pub struct FeatureSpec {
    /// Name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How its values are read. Use Categorical for numeric category codes.
    pub kind: FeatureKind,
    /// The categories that may occur in the data. Inferred if absent. Numbers are compared as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub categories: Option<Vec<String>>,
    /// The range that values in the data must be in. If absent, it is inferred and used only for warnings when serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
    /// Whether a prediction without this feature is rejected. Otherwise the value is imputed.
    #[serde(default)]
    pub required: bool,
    /// The largest share of rows with a missing value, a decimal number from 0 to 1. Unlimited if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub max_missing_ratio: Option<Decimal>,
}

/// An inclusive range of decimal numbers.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.min) || has(self.max)").message("at least one of min and max must be set"))]
#[x_kube(validation = Rule::new("!has(self.min) || !has(self.max) || ![self.min, self.max].all(n, n.matches('^-?[0-9]+([.][0-9]+)?$')) || \
    double(self.min) <= double(self.max)").message("min must be at most max"))]
pub struct ValueRange {
    /// Smallest value, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub min: Option<Decimal>,
    /// Largest value, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub max: Option<Decimal>,
}

words! {
    /// How a feature's values are read.
    #[derive(JsonSchema)]
    pub enum FeatureKind {
        /// As numbers.
        Numeric,
        /// As names of categories.
        Categorical,
    }

    /// A family of models.
    #[derive(PartialOrd, Ord, JsonSchema)]
    pub enum Family {
        /// L2-regularised logistic regression on imputed, one-hot encoded and standardised features.
        LogisticRegression,
    }
}

/// Repeated stratified folds.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidationSpec {
    /// Folds per repeat. In each repeat every row is scored once, by a model that was not trained on it.
    #[serde(default = "default_folds")]
    #[schemars(range(min = 2, max = 20))]
    pub folds: i32,
    /// How many times the folds are drawn.
    #[serde(default = "default_repeats")]
    #[schemars(range(min = 1, max = 100))]
    pub repeats: i32,
    /// Seed of every random choice. The same data, spec and seed give the same bundle, byte for byte.
    #[serde(default)]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: i64,
}

words! {
    /// A metric of a binary classifier. Class 1 is the positive class.
    #[derive(Default, PartialOrd, Ord, JsonSchema)]
    pub enum MetricName {
        /// Share of correct classes at the decision threshold.
        Accuracy,
        /// Share of the rows classified as 1 that are 1.
        Precision,
        /// Share of the rows that are 1 that were classified as 1.
        Recall,
        /// Harmonic mean of precision and recall at the decision threshold.
        #[default]
        F1,
        /// Area under the receiver operating characteristic.
        RocAuc,
        /// Mean negative log-likelihood, in nats. Lower is better.
        LogLoss,
        /// Mean squared difference between probability and class. Lower is better.
        Brier,
    }
}

/// A bound on a metric.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.atLeast) != has(self.atMost)").message("exactly one of atLeast and atMost must be set"))]
#[x_kube(validation = Rule::new("self.metric == 'LogLoss' || [has(self.atLeast) ? self.atLeast : '0', has(self.atMost) ? self.atMost : '0']\
    .all(bound, !bound.matches('^[0-9]+([.][0-9]+)?$') || bound.matches('^(0*|0*1([.]0*)?|0+[.][0-9]+)$'))")
    .message("the bound of a metric other than LogLoss is between 0 and 1: write \"0.75\" for 75%"))]
pub struct Gate {
    /// The metric, as the mean over out-of-fold predictions.
    pub metric: MetricName,
    /// The smallest value that passes, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_BOUND).message(BOUND))]
    pub at_least: Option<Decimal>,
    /// The largest value that passes, a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_BOUND).message(BOUND))]
    pub at_most: Option<Decimal>,
}

/// How a version is served.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServingSpec {
    /// Number of Pods that serve the model. An autoscaler chooses within the bounds.
    #[serde(default)]
    pub replicas: ReplicaBounds,

    /// Who may request predictions. There is no default: open access has to be chosen explicitly.
    pub access: Access,

    /// Target of the autoscaler: mean CPU utilization as a percentage of the request.
    #[serde(default = "default_target_cpu")]
    #[schemars(range(min = 10, max = 100))]
    pub target_cpu_utilization_percent: i32,

    /// Resource requests and limits of each Pod.
    #[serde(default)]
    pub resources: ResourceBounds,
}

/// Bounds on the number of Pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("min must be at most max"))]
pub struct ReplicaBounds {
    /// Minimum number of Pods.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub min: i32,
    /// Maximum number of Pods.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub max: i32,
}

words! {
    /// Who may request predictions.
    #[derive(JsonSchema)]
    pub enum Access {
        /// Every client that can reach the Service.
        Open,
    }
}

/// Resource requests and limits of a Pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.limits.memory) || !isQuantity(self.limits.memory) || quantity(self.limits.memory).compareTo(quantity('64Mi')) >= 0")
    .message("limits.memory must be at least 64Mi, which a Pod that serves needs to start"))]
#[x_kube(validation = Rule::new("(has(self.requests.memory) && !isQuantity(self.requests.memory)) || (has(self.limits.memory) && !isQuantity(self.limits.memory)) || \
    quantity(has(self.requests.memory) ? self.requests.memory : '64Mi')\
    .compareTo(quantity(has(self.limits.memory) ? self.limits.memory : '512Mi')) <= 0")
    .message("requests.memory (64Mi where it is absent) must be at most limits.memory (512Mi where it is absent)"))]
#[x_kube(validation = Rule::new("!has(self.limits.cpu) || !isQuantity(self.limits.cpu) || (has(self.requests.cpu) && !isQuantity(self.requests.cpu)) || \
    quantity(has(self.requests.cpu) ? self.requests.cpu : '100m').compareTo(quantity(self.limits.cpu)) <= 0")
    .message("requests.cpu (100m where it is absent) must be at most limits.cpu"))]
pub struct ResourceBounds {
    /// Resource requests. Defaults: cpu 100m, memory 64Mi.
    #[serde(default)]
    pub requests: ResourceAmounts,
    /// Resource limits. Defaults: no cpu limit, memory 512Mi.
    #[serde(default)]
    pub limits: ResourceAmounts,
}

/// Amounts of CPU and memory as Kubernetes quantities.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceAmounts {
    /// CPUs: "2", or in thousandths, "250m".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,9}m?$')")
        .message("write whole processors, \"2\", or thousandths of one, \"250m\""))]
    pub cpu: Option<String>,
    /// Bytes with a binary suffix: "256Mi", "2Gi".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,9}(Ki|Mi|Gi)$')")
        .message("write a whole number with Ki, Mi or Gi, such as \"512Mi\" or \"1Gi\""))]
    pub memory: Option<String>,
}

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
    pub family: Option<Family>,
    /// The selecting metric, for display: "F1 0.8151".
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
    /// Out-of-fold metrics of the selected candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<MetricStatus>,
    /// Outcome of each gate, and of each comparison with a champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into(), "bound".into()]))]
    pub gates: Vec<GateStatus>,
    /// The first five violations found in the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub violations: Vec<ViolationStatus>,
    /// The current or last snapshot Job, until it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,
    /// The current or last fit Job, until it is no longer needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit_attempt: Option<AttemptStatus>,
    /// DataValid, Trained, GatesPassed, Serving, Ready, Reconciling and Stalled.
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
    /// Mean, a decimal number.
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
    /// The value that was compared, a decimal number.
    #[schemars(with = "String", length(max = 26))]
    pub value: Decimal,
    /// Whether it passed.
    pub passed: bool,
}

/// A violation found in the data.
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
    #[schemars(length(max = 256))]
    pub message: String,
    /// Number of rows that violate the rule.
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
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

// === defaults ===

fn default_families() -> Vec<Family> {
    vec![Family::LogisticRegression]
}

fn default_true() -> bool {
    true
}

fn default_delimiter() -> String {
    ",".to_owned()
}

fn default_folds() -> i32 {
    5
}

fn default_repeats() -> i32 {
    10
}

fn default_min_replicas() -> i32 {
    2
}

fn default_max_replicas() -> i32 {
    4
}

fn default_target_cpu() -> i32 {
    80
}

fn default_window_seconds() -> i32 {
    3600
}

fn default_lateness_seconds() -> i32 {
    30
}

fn default_minimum_rows() -> i64 {
    100
}

fn default_minimum_new_rows() -> i64 {
    100
}

fn default_minimum_rows_of_each_class() -> i64 {
    30
}

fn default_tolerance() -> Decimal {
    decimal("0.1")
}

fn default_margin() -> Decimal {
    decimal("0.03")
}

fn default_threshold() -> Decimal {
    decimal("0.5")
}

fn decimal(text: &'static str) -> Decimal {
    // A constant of this file, and a test parses each.
    text.parse()
        .unwrap_or_else(|_| unreachable!("{text} is a decimal number"))
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        Self {
            window_seconds: default_window_seconds(),
            lateness_seconds: default_lateness_seconds(),
            minimum_rows: default_minimum_rows(),
            tolerance: default_tolerance(),
            tolerances: Vec::new(),
        }
    }
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            header: true,
            columns: Vec::new(),
            missing: Vec::new(),
            delimiter: default_delimiter(),
        }
    }
}

impl Default for ValidationSpec {
    fn default() -> Self {
        Self {
            folds: default_folds(),
            repeats: default_repeats(),
            seed: 0,
        }
    }
}

impl Default for ReplicaBounds {
    fn default() -> Self {
        Self {
            min: default_min_replicas(),
            max: default_max_replicas(),
        }
    }
}

// === impl TrainingSource ===

impl TrainingSource {
    /// All datasets, in the order in which their rows are read: `dataset`, then the additional ones.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        std::iter::once(&self.dataset).chain(self.additional_datasets.iter().map(|named| &named.dataset))
    }
}

// === impl MetricName ===

impl MetricName {
    /// Whether a greater value is better.
    pub const fn higher_is_better(self) -> bool {
        !matches!(self, Self::LogLoss | Self::Brier)
    }
}
