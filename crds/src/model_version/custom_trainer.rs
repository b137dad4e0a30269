//! A training by an image that the user provides.

use kube::KubeSchema;
use modelward_wire::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An image that trains in place of the families of the trainer.
///
/// The image gets all rows except the held-out ones and writes a model file, which is imported and measured on the held-out rows.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomTrainer {
    /// Image to run. The operator's configuration must allow it (Helm value trainer.custom.images).
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$')")
        .message("write an image as registry/repository:tag or registry/repository@sha256:DIGEST, in lower-case letters"))]
    pub image: String,

    /// Format of the model file that the image writes: LightGBM text, XGBoost JSON or UBJSON, or ONNX of scikit-learn.
    pub format: CustomFormat,

    /// Arguments of the program. If absent, those of the image are used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,

    /// Environment variables. Names that begin with MODELWARD_ are reserved for the operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<CustomVariable>,

    /// Name of a service account in this namespace. The image gets a token of this account for the API server, for example to create a
    /// TrainJob. The operator's configuration must allow the account for the image (Helm value trainer.custom.serviceAccounts). If
    /// absent, the image gets no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
}

/// An environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomVariable {
    /// Name of the variable.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message("write letters, digits and '_', not beginning with a digit"))]
    #[x_kube(validation = Rule::new("!self.startsWith('MODELWARD_')")
        .message("names that begin with MODELWARD_ are set by the operator; choose another name"))]
    pub name: String,
    /// Value of the variable. Every user who may read the version can see it, so do not put a password here.
    #[schemars(length(max = 4096))]
    pub value: String,
}

words! {
    /// A format of the model files that images write.
    #[derive(JsonSchema)]
    pub enum CustomFormat {
        /// LightGBM text.
        LightGBM,
        /// XGBoost JSON or UBJSON.
        XGBoost,
        /// ONNX, as skl2onnx exports scikit-learn models.
        Onnx,
    }
}
