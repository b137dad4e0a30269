//! An existing bundle, or a model that was trained elsewhere.

use kube::KubeSchema;
use modelward_wire::{Decimal, Digest};
use serde::{Deserialize, Serialize};

use crate::model_version::{
    columns::{FeatureSpec, Target},
    data::{CredentialsSecret, Dataset},
    rules::{IS_SHARE, SHARE},
};

/// The keys of a Secret that are used for an MLflow server.
pub const MLFLOW_KEYS: [&str; 3] = [
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
];

/// A bundle in the artifact store of this namespace, or a model that was trained elsewhere, from which a bundle is made. Exactly one of
/// bundle, file and mlflow must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.bundle), has(self.file), has(self.mlflow)].filter(x, x).size() == 1")
    .message("exactly one of bundle, file and mlflow must be set"))]
#[x_kube(validation = Rule::new("!has(self.file) || has(self.sample)")
    .message("a model file needs a sample: rows with the scores that the model gives them where it was trained"))]
#[x_kube(validation = Rule::new("!has(self.bundle) || !has(self.sample)")
    .message("sample is for a model that is imported; a bundle in the store is served as it is"))]
#[x_kube(validation = Rule::new("!has(self.file) || !has(self.file.moreFiles) && (!has(self.file.csv) || ((!has(self.file.csv.header) || self.file.csv.header) && \
    (!has(self.file.csv.delimiter) || self.file.csv.delimiter == ',') && (!has(self.file.csv.decimal) || self.file.csv.decimal == '.') && !has(self.file.csv.columns) && !has(self.file.csv.rename) && \
    !has(self.file.csv.missing) && !has(self.file.csv.thousands)))")
    .message("file is one file of a model: remove moreFiles and csv; the format of the sample is in sample.dataset.csv"))]
pub struct ArtifactSource {
    /// Digest of the manifest of a bundle in the artifact store. The bundle is served unchanged, without a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub bundle: Option<Digest>,

    /// Model that was trained elsewhere: LightGBM text, XGBoost JSON or UBJSON, or ONNX, recognized by its content; or the folder of a
    /// bundle on a volume. It is read once, from the same sources as a dataset, and checked with the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<Dataset>>,

    /// Model in the registry of an MLflow server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowModel>,

    /// Rows with the scores that the model must give them. Required, unless the model is a bundle that Modelward published to MLflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Box<ModelSample>>,

    /// Decision threshold, as a decimal number from 0 to 1. The class is 1 if the probability is at or above it. If absent, it is 0.5,
    /// or for an imported bundle the threshold of the bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub threshold: Option<Decimal>,
}

/// A model in the registry of an MLflow server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MlflowModel {
    /// Address of the tracking server, as in MLFLOW_TRACKING_URI. The server must serve artifacts itself (`--artifacts-destination`).
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!-~]+$') && !self.matches('[?#]')")
        .message("write the address of the server, such as http://mlflow.mlflow.svc:5000, without a query"))]
    #[x_kube(validation = Rule::new("!self.matches('^[a-z]+://[^/?#]*@')")
        .message("remove the user name and password: every user who may read the version would see them; name a Secret in credentialsSecret"))]
    pub uri: String,

    /// Name of the registered model.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[^/:]+$')").message("write the name of the registered model alone, without '/' and ':'"))]
    pub model: String,

    /// Alias of a version of the registered model, such as `champion`. It is resolved once, when the model is imported; status.imported
    /// has the version and the run. If the alias moves later, create a new ModelVersion.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^[-_a-zA-Z0-9]+$')").message("write the alias alone, without '@': letters, digits, '-' and '_'"))]
    pub alias: String,

    /// Secret in this namespace with the credentials for the server. Only the Job that imports the model gets them, and only the keys
    /// MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. If absent, no credentials are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<CredentialsSecret>,
}

/// Rows with the features of a model, and the scores that the model gives them where it was trained.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.dataset.moreFiles)").message("a sample is one file; remove moreFiles"))]
#[x_kube(validation = Rule::new("!has(self.features) || self.features.all(f, !has(f.monotone))")
    .message("monotone is a constraint on a training, and this model is trained already; remove it"))]
#[x_kube(validation = Rule::new("!has(self.target) || !has(self.features) || self.features.all(f, f.name != self.target.column)")
    .message("features names the target column, which is predicted and is not a feature; leave it out"))]
pub struct ModelSample {
    /// CSV or Parquet file of 10 to 100,000 rows, from the same sources as a dataset.
    pub dataset: Dataset,

    /// Column with the true class, if the sample has one, and which of its values are class 1. The model card has the metrics of these
    /// rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,

    /// Properties of the features that the file of the model does not have: categories in the order of their codes, ranges, and whether
    /// a feature is required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<FeatureSpec>,

    /// Columns that are not features, such as an identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// Column with the expected probability of class 1. If absent, the column `expected`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub expected: Option<String>,

    /// Column with the expected raw score, which is compared bit for bit. If absent, the column `expected_raw`, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub expected_raw: Option<String>,
}

// === impl ArtifactSource ===

impl ArtifactSource {
    /// The datasets that its import reads, in order: the file of the model, then the sample. There are none for a bundle in the
    /// artifact store.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        let sample = self.sample.as_deref().map(|sample| &sample.dataset);
        self.file.as_deref().into_iter().chain(sample)
    }
}
