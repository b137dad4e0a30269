//! From a version to the record of its model. Pure.

use kube::Resource as _;
use modelward_crds::{Model, ModelVersion};
use serde_json::json;

use crate::{Error, apply::build};

/// The record of the version's model. No version owns it, because it outlives them.
pub fn model(version: &ModelVersion) -> Result<Model, Error> {
    build(
        "Model",
        json!({
            "apiVersion": Model::api_version(&()),
            "kind": Model::kind(&()),
            "metadata": {"name": version.spec.model},
            "spec": {},
        }),
    )
}
