//! `ModelVersion`: one immutable version of a model.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use modelward_wire::{Decimal, Digest, Role, words};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reference::{ActionReference, VersionReference};

/// What a wrong tolerance is answered with.
const DECIMAL_FRACTION: &str =
    "write a decimal number above 0 and below 1 in quotes, such as \"0.1\"; a per cent sign is not read";
/// What a share of all is, and what a wrong one is answered with.
const IS_SHARE: &str = "self.matches('^(0([.][0-9]{1,12})?|1([.]0{1,12})?)$')";
const SHARE: &str =
    "write a decimal number from 0 to 1 in quotes, such as \"0.5\"; a per cent sign is not read";
/// What a margin is, and what a wrong one is answered with.
const IS_MARGIN: &str = "self.matches('^0([.][0-9]{1,12})?$')";
const MARGIN: &str =
    "write a decimal number from 0 and below 1 in quotes, such as \"0.02\"; a per cent sign is not read";
/// What a bound on a metric is, and what a wrong one is answered with.
const IS_BOUND: &str = "self.matches('^[0-9]{1,12}([.][0-9]{1,12})?$')";
const BOUND: &str =
    "write a decimal number of at least 0 in quotes, such as \"0.75\"; a per cent sign is not read";
/// What the name of an object is, and what a wrong one is answered with.
const IS_OBJECT_NAME: &str = "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')";
const OBJECT_NAME: &str = "write a name as Kubernetes has them: lower-case letters, digits, '-' and '.'";
/// What a value of a column is, and what a wrong one is answered with.
const IS_NUMBER: &str = "self.matches('^-?[0-9]{1,12}([.][0-9]{1,12})?$')";
const NUMBER: &str =
    "write a decimal number in quotes, such as \"-0.5\", with at most 12 digits on each side of the point";

/// A version of a model: where its data comes from, how it is trained and gated, and how it is served.
///
/// What the version is (`model`, `source`, `provenance`) never changes once it was created; make a new version instead. How
/// it is served, watched and retrained may be changed at any time.
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
    doc = "One immutable version of a tabular model: where its data comes from, how it is trained, gated and served.",
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model", description = "The model that this is a version of"),
    printcolumn(name = "Family", type_ = "string", json_path = ".status.family", description = "The family that was selected"),
    printcolumn(name = "Metric", type_ = "string", json_path = ".status.score", description = "The selecting metric: mean over out-of-fold predictions"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role", description = "What the version does for its model"),
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
    .message("monitoring.tolerances names the target column, which is predicted and is no feature"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.exclude) || \
    self.monitoring.tolerances.all(t, !(t.feature in self.source.training.exclude))")
    .message("monitoring.tolerances names a column of source.training.exclude, which is no feature; take it out of one of the two"))]
#[x_kube(validation = Rule::new("!has(self.source.training) || !has(self.monitoring.tolerances) || !has(self.source.training.dataset.csv.columns) || \
    self.source.training.dataset.csv.columns.size() == 0 || \
    self.monitoring.tolerances.all(t, t.feature in self.source.training.dataset.csv.columns)")
    .message("monitoring.tolerances names a feature that is not in source.training.dataset.csv.columns; write the name as it stands there"))]
pub struct ModelVersionSpec {
    /// Name of the model that this is a version of. Versions of one model share a Service of this name. Immutable.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("write lower-case letters, digits and '-', starting with a letter: the model's Service has this name"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("model is immutable; create a new ModelVersion instead"))]
    pub model: String,

    /// Where the version comes from. Immutable: what was trained and approved is what is served.
    #[x_kube(validation = Rule::new("self == oldSelf").message("source is immutable; create a new ModelVersion instead"))]
    pub source: Source,

    /// How the version is served once its gates passed.
    pub serving: ServingSpec,

    /// How its traffic is watched for drift.
    #[serde(default)]
    pub monitoring: MonitoringSpec,

    /// On which data a new version is trained when this one drifts. Where it is absent, drift only raises an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retraining: Option<RetrainingSpec>,

    /// The action that made this version. The operator sets it; immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("provenance is immutable; create a new ModelVersion instead"))]
    pub provenance: Option<Provenance>,
}

/// How a version's traffic is watched for drift: in windows of event time, each judged when it has closed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MonitoringSpec {
    /// Length of a window in seconds. Windows tile the time since 1970, by the time at which the server received a row. The
    /// version that answers with most weight sets it for its model; changing it starts new Pods.
    #[serde(default = "default_window_seconds")]
    #[schemars(range(min = 10, max = 604_800))]
    pub window_seconds: i32,

    /// How long after its end a window is judged, in seconds: Pods report their counts in the meantime.
    #[serde(default = "default_lateness_seconds")]
    #[schemars(range(min = 5, max = 3600))]
    pub lateness_seconds: i32,

    /// Rows that a window needs to be judged. Fewer are InsufficientData, never "no drift".
    #[serde(default = "default_minimum_rows")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub minimum_rows: i64,

    /// How far a feature's values (total variation) or its missing rate may differ from the reference, a decimal number above
    /// 0 and below 1. Drift is what differs by more with confidence.
    #[serde(default = "default_tolerance")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new("self.matches('^0[.][0-9]{1,12}$') && !self.matches('^0[.]0+$')").message(DECIMAL_FRACTION))]
    pub tolerance: Decimal,

    /// Other tolerances of single features.
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

/// What a new version is trained on, and what becomes of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RetrainingSpec {
    /// Fresh data, in the columns of the version's own.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub datasets: Vec<NamedDataset>,

    /// Whether the data of this version is trained on too.
    #[serde(default = "default_true")]
    pub include_training_data: bool,

    /// Rows that this version was not trained on, which there must be. With fewer, an alert is raised instead.
    #[serde(default = "default_minimum_new_rows")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_new_rows: i64,

    /// New rows that there must be of each class.
    #[serde(default = "default_minimum_rows_of_each_class")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub minimum_rows_of_each_class: i64,

    /// Whether the new version takes over when its gates pass, by the approval of the retraining. Otherwise its promotion is
    /// proposed by itself.
    #[serde(default = "default_true")]
    pub serve_when_gates_pass: bool,

    /// How much worse than the version that serves the new one may be, by the lower bound of the difference of the selecting
    /// metric, a decimal number.
    #[serde(default = "default_margin")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_MARGIN).message(MARGIN))]
    pub margin: Decimal,
}

/// A dataset with a name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedDataset {
    /// Its name, for people and for messages.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where its rows are.
    pub dataset: Dataset,
}

/// The action that made a version.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Provenance {
    /// The RemediationAction.
    pub action: ActionReference,
    /// The version that it was made from.
    pub parent: VersionReference,
}

/// Where a version comes from: exactly one of these.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.training) != has(self.artifact)").message("exactly one of training and artifact must be set"))]
pub struct Source {
    /// Train a model on a dataset, in this cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingSource>,

    /// Serve a bundle that is in the artifact store already.
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
    /// Probability from which the class is 1, a decimal number from 0 to 1.
    #[serde(default = "default_threshold")]
    #[schemars(with = "String", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub threshold: Decimal,
}

/// A training: data, target, features, and how the result is selected and gated.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.exclude) || !(self.target.column in self.exclude)")
    .message("exclude names the target column, which is predicted and is no feature; leave it out"))]
#[x_kube(validation = Rule::new("!has(self.features) || self.features.all(f, f.name != self.target.column)")
    .message("features names the target column, which is predicted and is no feature; leave it out"))]
pub struct TrainingSource {
    /// The rows to train on.
    pub dataset: Dataset,

    /// More rows to train on, in the same columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub additional_datasets: Vec<NamedDataset>,

    /// The frozen rows of these datasets, where they were read and accepted before: the datasets are not read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_digest")]
    pub snapshot: Option<Digest>,

    /// The column to predict and when it counts as class 1.
    pub target: Target,

    /// Features that need to be said more about than can be inferred. Columns that are not listed here, other than the
    /// target and excluded ones, are features too: Numeric where every value is a number, Categorical where most are words.
    /// A column that mixes numbers and words, at least half of them numbers, has to be listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<FeatureSpec>,

    /// Columns that are not features, such as a row's identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// Families to try. The one that is best by selectBy is kept.
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

    /// Bounds that the selected candidate must keep before it may serve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into()]))]
    pub gates: Vec<Gate>,

    /// A version that this one must not be worse than.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_worse_than: Option<Champion>,

    /// What later traffic is compared with. Where it is absent, the data that the version is trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<AcceptedWindow>,
}

/// A version that another one is compared with, on the same rows.
///
/// The new one passes where the lower bound (5%) of the difference of selectBy, by a paired bootstrap, is at or above minus
/// the margin: over all rows, and over those alone that the champion was not trained on.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Champion {
    /// Name of its ModelVersion, for people.
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
    /// Digest of its counts and the bins that they are in, as the ledger keeps them.
    #[schemars(schema_with = "crate::schema::digest")]
    pub counts: Digest,
    /// Its rows.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// Its beginning.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub start_time: Time,
    /// Its end.
    #[schemars(regex(pattern = crate::TIME_PATTERN))]
    pub end_time: Time,
}

/// Rows in a CSV file, from exactly one place.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.uri), has(self.persistentVolumeClaim)].filter(x, x).size() == 1")
    .message("exactly one of configMap, uri and persistentVolumeClaim must be set"))]
pub struct Dataset {
    /// A key of a ConfigMap in this namespace. Where it is absent, the version waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,

    /// An http or https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!-~]+$')")
        .message("write an address that begins with http:// or https:// and has ASCII characters alone, a space as %20"))]
    #[x_kube(validation = Rule::new("!self.matches('^https?://[^/?#]*@')")
        .message("leave the user name and password out: everyone who may read the version would see them"))]
    pub uri: Option<String>,

    /// A file on a PersistentVolumeClaim in this namespace. Where the claim is absent, the version waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimSource>,

    /// The sha256 that the file must have, "sha256:" and 64 hexadecimal digits. It is recorded where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub sha256: Option<Digest>,

    /// How the file is written.
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
    /// Key that holds the file.
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
    /// Path of the file from the volume's root, without ".." in it.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)*$')")
        .message("write the path from the volume's root without a leading '/', such as data/heart.csv; letters, digits, '-', '_' and '.' are allowed"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(p, p == '..')").message("path may not contain '..'"))]
    pub path: String,
}

/// How a CSV file is written.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.header || (has(self.columns) && size(self.columns) > 0)").message("columns must be set where the file has no header"))]
pub struct CsvFormat {
    /// Whether the first line names the columns.
    #[serde(default = "default_true")]
    pub header: bool,
    /// Names of the columns in the file's order. Needed without a header; with one, the header must say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub columns: Vec<String>,
    /// Texts that mean "missing", beside the empty text.
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
    /// When a row belongs to class 1; every other row belongs to class 0. Where it is absent, the column must hold 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_when: Option<PositiveWhen>,
}

/// When a row belongs to class 1.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.greaterThan) != has(self.equals)").message("exactly one of greaterThan and equals must be set"))]
pub struct PositiveWhen {
    /// Where the column, read as a number, is greater than this decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    #[x_kube(validation = Rule::new(IS_NUMBER).message(NUMBER))]
    pub greater_than: Option<Decimal>,
    /// Where the column is this text. Numbers are compared as numbers: "1" is "1.0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub equals: Option<String>,
}

/// What is known of a feature beyond its name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.kind == 'Categorical' || !has(self.categories)").message("categories may be set for a Categorical feature only"))]
#[x_kube(validation = Rule::new("self.kind == 'Numeric' || !has(self.range)").message("range may be set for a Numeric feature only"))]
pub struct FeatureSpec {
    /// Name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// How its values are read. Numeric codes of categories are Categorical.
    pub kind: FeatureKind,
    /// The categories that may occur in the data. Inferred where they are not set. Numbers are compared as numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub categories: Option<Vec<String>>,
    /// The range that values in the data must keep. Inferred, and only warned about when serving, where it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<ValueRange>,
    /// Whether a prediction without this feature is refused instead of imputed.
    #[serde(default)]
    pub required: bool,
    /// The largest share of rows that may miss it, a decimal number from 0 to 1. Unlimited where it is not set.
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
    /// Folds of each repeat. Every row is scored once a repeat by a model that has not seen it.
    #[serde(default = "default_folds")]
    #[schemars(range(min = 2, max = 20))]
    pub folds: i32,
    /// How often the folds are drawn anew.
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
        /// Share of right classes at the decision threshold.
        Accuracy,
        /// Share of rows called 1 that are 1.
        Precision,
        /// Share of rows that are 1 that were called 1.
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
    /// How many Pods serve the model. An autoscaler chooses within the bounds.
    #[serde(default)]
    pub replicas: ReplicaBounds,

    /// Who may ask for predictions. There is no default: open access is a decision.
    pub access: Access,

    /// Mean CPU use, in per cent of the request, that the autoscaler aims at.
    #[serde(default = "default_target_cpu")]
    #[schemars(range(min = 10, max = 100))]
    pub target_cpu_utilization_percent: i32,

    /// What each Pod asks for and may use.
    #[serde(default)]
    pub resources: ResourceBounds,
}

/// Bounds of the number of Pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.min <= self.max").message("min must be at most max"))]
pub struct ReplicaBounds {
    /// Fewest Pods.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub min: i32,
    /// Most Pods.
    #[serde(default = "default_max_replicas")]
    #[schemars(range(min = 1, max = 100))]
    pub max: i32,
}

words! {
    /// Who may ask for predictions.
    #[derive(JsonSchema)]
    pub enum Access {
        /// Everyone who can reach the Service.
        Open,
    }
}

/// What a Pod asks for and may use.
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
    /// What the scheduler sets aside. Defaults: cpu 100m, memory 64Mi.
    #[serde(default)]
    pub requests: ResourceAmounts,
    /// What the Pod may use at most. Defaults: no cpu limit, memory 512Mi.
    #[serde(default)]
    pub limits: ResourceAmounts,
}

/// Amounts of CPU and memory as Kubernetes quantities.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResourceAmounts {
    /// Processors: "2", or thousandths, "250m".
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

/// What the operator saw and did.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelVersionStatus {
    /// The generation that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub observed_generation: Option<i64>,
    /// What the version does for its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::optional_word::<Role>")]
    pub role: Option<Role>,
    /// The family that was selected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// The selecting metric for people: "F1 0.8151".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub score: Option<String>,
    /// Decision threshold, a decimal number: the class is 1 from this probability on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 26))]
    pub threshold: Option<Decimal>,
    /// The data that it was trained on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<ArtifactStatus>,
    /// The files that its rows were read from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sources: Vec<SourceStatus>,
    /// The bundle that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<ArtifactStatus>,
    /// Out-of-fold metrics of the selected candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub metrics: Vec<MetricStatus>,
    /// Outcome of every gate, and of each comparison with a champion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["metric".into(), "bound".into()]))]
    pub gates: Vec<GateStatus>,
    /// The first five rules that the data breaks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub violations: Vec<ViolationStatus>,
    /// The snapshot Job, as long as it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_attempt: Option<AttemptStatus>,
    /// The fit Job, as long as it matters.
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
    /// Digest of its manifest: its address.
    #[schemars(with = "String", length(max = 71))]
    pub digest: Digest,
    /// Rows of a snapshot.
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
    /// How a person names it: "cleveland.csv".
    #[schemars(length(max = 256))]
    pub name: String,
    /// The sha256 of its bytes.
    #[schemars(with = "String", length(max = 71))]
    pub sha256: Digest,
    /// Rows read from it.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub rows: i64,
    /// How many of them are of class 1.
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

/// A rule that the data breaks.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ViolationStatus {
    /// The column, empty where the whole table is meant.
    #[schemars(length(max = 256))]
    pub column: String,
    /// The rule in CamelCase.
    #[schemars(length(max = 64))]
    pub rule: String,
    /// What was found and what was expected.
    #[schemars(length(max = 256))]
    pub message: String,
    /// Rows that break it.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub count: i64,
    /// The first such row, the first data row being 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_i64))]
    pub example_row: Option<i64>,
}

/// A Job of this version.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Which attempt this is, from 1. The same input is tried twice.
    #[schemars(range(min = 1, max = 100))]
    pub attempt: i32,
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Uid of the Job: the ledger knows results by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub job_uid: Option<String>,
    /// What the Job reads: changes when the dataset or the spec does, and then counts attempts anew.
    #[schemars(length(max = 64))]
    pub input: String,
    /// Whether the Job ended and its result was recorded.
    #[serde(default)]
    pub finished: bool,
    /// When the attempt was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Why the Job's Pod does not run, or why the attempt has no outcome, in CamelCase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
    /// How many Jobs of this attempt ended because of the cluster: an eviction, a lost node, an unreachable ledger. They
    /// use up no attempt.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub interruptions: i32,
    /// When the next Job of this attempt is made, after one that ended because of the cluster.
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
