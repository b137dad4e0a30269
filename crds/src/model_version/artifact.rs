//! A bundle that exists, or a model that was trained elsewhere.

use kube::KubeSchema;
use modelward_wire::{Decimal, Digest};
use serde::{Deserialize, Serialize};

use crate::model_version::{
    columns::{FeatureSpec, Target},
    data::{CredentialsSecret, Dataset},
    rules::{IS_SHARE, SHARE},
};

/// The keys of a Secret that an MLflow server takes.
pub const MLFLOW_KEYS: [&str; 3] = [
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
];

/// A bundle in the artifact store of this namespace, or a model that was trained elsewhere and becomes one: exactly one of bundle, file
/// and mlflow.
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
    /// Digest of the manifest of a bundle in the store. It is served as it is, without a Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub bundle: Option<Digest>,

    /// A model that was trained elsewhere: text of LightGBM, JSON or UBJSON of XGBoost, or ONNX, recognised by its content; or, on a
    /// volume, the folder of a bundle. It is read once, from the same places as a dataset, and checked with the sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<Dataset>>,

    /// A model in the registry of an MLflow server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlflow: Option<MlflowModel>,

    /// Rows with the scores that the model has to give them. Required, unless the model is a bundle that Modelward published to MLflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Box<ModelSample>>,

    /// The class is 1 at or above this probability, a decimal number from 0 to 1. If absent, it is 0.5, and of an imported bundle its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(max = 14))]
    #[x_kube(validation = Rule::new(IS_SHARE).message(SHARE))]
    pub threshold: Option<Decimal>,
}

/// A model in the registry of an MLflow server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MlflowModel {
    /// The address of the tracking server, as in MLFLOW_TRACKING_URI. It has to give out artifacts itself (`--artifacts-destination`).
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

    /// The alias of the model's version, such as `champion`. It is resolved once, when the model is imported; status.imported has the
    /// version and the run. If the alias is moved later, create a new ModelVersion.
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new("self.matches('^[-_a-zA-Z0-9]+$')").message("write the alias alone, without '@': letters, digits, '-' and '_'"))]
    pub alias: String,

    /// The Secret in this namespace with the credentials for the server: of it only the keys MLFLOW_TRACKING_TOKEN,
    /// MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are read, by the Job that imports the model. If absent, none are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<CredentialsSecret>,
}

/// Rows of the features of a model, with the scores that it gives them where it was trained.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.dataset.moreFiles)").message("a sample is one file; remove moreFiles"))]
#[x_kube(validation = Rule::new("!has(self.features) || self.features.all(f, !has(f.monotone))")
    .message("monotone is a constraint on a training, and this model is trained already; remove it"))]
#[x_kube(validation = Rule::new("!has(self.target) || !has(self.features) || self.features.all(f, f.name != self.target.column)")
    .message("features names the target column, which is predicted and is not a feature; leave it out"))]
pub struct ModelSample {
    /// A CSV or Parquet file of 10 to 100,000 rows, from the same places as a dataset.
    pub dataset: Dataset,

    /// The column with the true class and when it counts as class 1, if the sample has one. The metrics of these rows are on the model card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,

    /// What the file of the model does not say of its features: categories in the order of their codes, ranges, whether they are required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub features: Vec<FeatureSpec>,

    /// Columns that are not features, such as an identifier.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub exclude: Vec<String>,

    /// The column with the expected probability of class 1. If absent, it is the column `expected`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub expected: Option<String>,

    /// The column with the expected raw score, which is compared bit for bit. If absent, it is the column `expected_raw`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub expected_raw: Option<String>,
}

// === impl ArtifactSource ===

impl ArtifactSource {
    /// What its import reads from the places of datasets, in their order: the file of the model, then the sample. None of a bundle in the
    /// store.
    pub fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        let sample = self.sample.as_deref().map(|sample| &sample.dataset);
        self.file.as_deref().into_iter().chain(sample)
    }
}
