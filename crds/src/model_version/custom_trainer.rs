//! A training by an image of the user's own.

use kube::KubeSchema;
use modelward_wire::words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An image that trains in place of the families of the trainer.
///
/// It gets all rows but the held-out ones, and leaves one file of a model, which is imported and measured on the held-out rows.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomTrainer {
    /// The image. The operator's configuration has to allow it: the Helm value trainer.custom.images.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(r"self.matches('^[a-z0-9]([a-z0-9._/:-]*[a-z0-9])?(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$')")
        .message("write an image as registry/repository:tag or registry/repository@sha256:DIGEST, in lower-case letters"))]
    pub image: String,

    /// The format of the model that it leaves: LightGBM text, XGBoost JSON or UBJSON, or ONNX of scikit-learn.
    pub format: CustomFormat,

    /// Arguments of its program. If absent, they are those of the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub args: Vec<String>,

    /// Environment variables. Names that begin with MODELWARD_ are the operator's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<CustomVariable>,

    /// A service account of this namespace. The image gets a token of it for the API server, for example to create a TrainJob. The operator's
    /// configuration has to allow the account for the image: the Helm value trainer.custom.serviceAccounts. If absent, the image gets no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
}

/// An environment variable.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomVariable {
    /// Its name.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z_][A-Za-z0-9_]*$')").message("write letters, digits and '_', not beginning with a digit"))]
    #[x_kube(validation = Rule::new("!self.startsWith('MODELWARD_')")
        .message("names that begin with MODELWARD_ are set by the operator; choose another name"))]
    pub name: String,
    /// Its value. Every user who may read the version sees it: it is no place for a password.
    #[schemars(length(max = 4096))]
    pub value: String,
}

words! {
    /// A format of models that an image leaves.
    #[derive(JsonSchema)]
    pub enum CustomFormat {
        /// The text of LightGBM.
        LightGBM,
        /// JSON or UBJSON of XGBoost.
        XGBoost,
        /// ONNX, as skl2onnx exports models of scikit-learn.
        Onnx,
    }
}
